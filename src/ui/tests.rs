//! What keys, nodes and signals do to the dashboard, told as stories.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Rect;

use crate::id::Id;
use crate::view::{
    Command, CommandFailed, Finger, Level, LookupRow, Outcome, Snapshot, Standing, TransferState,
    UiEvent,
};

use super::reducer::Do;
use super::sample;
use super::state::{App, Confirmed, Focus, Overlay, Panel, Trail};

fn app() -> App {
    of(sample::snapshot())
}

fn of(snapshot: Snapshot) -> App {
    let mut app = App::new(vec![Arc::new(snapshot)], Default::default(), Default::default());
    app.control.leave_deadline = Duration::from_secs(10);
    app
}

/// A lab of three nodes.
fn lab() -> App {
    let snapshots = [2000, 2001, 2002].map(|port| {
        let me = sample::peer(port);
        Arc::new(Snapshot { me, ..sample::snapshot() })
    });
    let mut app = App::new(snapshots.to_vec(), Default::default(), Default::default());
    app.lab = true;
    app.focus = Focus::Panels;
    app
}

fn panels() -> App {
    let mut app = app();
    app.focus = Focus::Panels;
    app
}

fn key(app: &mut App, code: KeyCode) -> Vec<Do> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn control(app: &mut App, c: char) -> Vec<Do> {
    app.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
}

/// Types text; what the keys asked for, all together.
fn text(app: &mut App, text: &str) -> Vec<Do> {
    text.chars().flat_map(|c| key(app, KeyCode::Char(c))).collect()
}

fn run(app: &mut App, line: &str) -> Vec<Do> {
    let mut done = text(app, line);
    done.extend(key(app, KeyCode::Enter));
    done
}

fn line(app: &App) -> &str {
    app.prompt.input.value()
}

fn told(app: &App) -> &str {
    app.prompt.message.as_ref().map_or("", |message| &message.text)
}

fn event(text: &str) -> UiEvent {
    UiEvent { unix_ms: 0, level: Level::Info, text: text.to_owned() }
}

fn submitted(done: &[Do]) -> Vec<(usize, Command)> {
    done.iter()
        .filter_map(|one| match one {
            Do::Submit { node, command, .. } => Some((*node, command.clone())),
            _ => None,
        })
        .collect()
}

// Typing first.

#[test]
fn what_is_typed_at_the_start_is_a_command() {
    let mut app = app();
    let done = run(&mut app, "join 127.0.0.1:2000");
    let join = Command::Join { contact: "127.0.0.1:2000".into() };
    assert_eq!(submitted(&done), [(0, join)]);
    assert!(done.contains(&Do::Remember("join 127.0.0.1:2000".into())));
    assert_eq!(line(&app), "");
    assert_eq!(app.prompt.running.as_deref(), Some("join 127.0.0.1:2000"));
}

#[test]
fn esc_and_tab_on_an_empty_line_lead_to_the_panels_and_colon_and_enter_back() {
    for out in [KeyCode::Esc, KeyCode::Tab] {
        for back in [KeyCode::Char(':'), KeyCode::Enter, KeyCode::Esc] {
            let mut app = app();
            key(&mut app, out);
            assert_eq!(app.focus, Focus::Panels);
            key(&mut app, back);
            assert_eq!((app.focus, line(&app)), (Focus::Prompt, ""));
        }
    }
}

#[test]
fn single_keys_act_only_in_the_panels() {
    let mut app = app();
    text(&mut app, "z");
    assert_eq!((app.zoom, line(&app)), (false, "z"));
    key(&mut app, KeyCode::Esc);
    text(&mut app, "z");
    assert_eq!((app.zoom, line(&app)), (true, "z"));
}

#[test]
fn a_released_key_does_nothing() {
    let mut app = app();
    let mut event = KeyEvent::new(KeyCode::Char('x'), KeyModifiers::NONE);
    event.kind = KeyEventKind::Release;
    app.key(event);
    assert_eq!(line(&app), "");
}

#[test]
fn a_line_is_edited_as_in_a_shell() {
    let mut app = app();
    text(&mut app, "get old");
    control(&mut app, 'w');
    assert_eq!(line(&app), "get ");
    control(&mut app, 'a');
    control(&mut app, 'k');
    assert_eq!(line(&app), "");
    control(&mut app, 'y');
    assert_eq!(line(&app), "get ");
    key(&mut app, KeyCode::Home);
    key(&mut app, KeyCode::Delete);
    text(&mut app, "w");
    assert_eq!(line(&app), "wet ");
    key(&mut app, KeyCode::End);
    control(&mut app, 'u');
    assert_eq!(line(&app), "");
}

#[test]
fn pasted_text_is_typed_and_never_carried_out() {
    let mut app = panels();
    app.paste("put a.txt\nleave\n");
    assert_eq!((app.focus, line(&app)), (Focus::Prompt, "put a.txt leave"));
    assert!(app.control.running.is_empty());
    app.paste("\u{1b}[2J");
    assert_eq!(line(&app), "put a.txt leave?[2J");
    app.paste(&"x".repeat(100_000));
    assert_eq!(line(&app).len(), 4_096);
}

// Errors and answers.

#[test]
fn a_wrong_line_stays_with_its_complaint_until_it_is_changed() {
    let mut app = app();
    assert!(run(&mut app, "jion :2000").is_empty());
    assert_eq!(line(&app), "jion :2000");
    assert_eq!(told(&app), "unknown command 'jion', did you mean 'join'?; ? lists all");
    key(&mut app, KeyCode::Backspace);
    assert_eq!(told(&app), "");
    control(&mut app, 'u');
    run(&mut app, "ping");
    assert!(told(&app).ends_with("Usage: ping PEER"));
}

#[test]
fn commands_run_side_by_side_and_the_prompt_stays_free() {
    let mut app = app();
    let first = run(&mut app, "ping :2001");
    run(&mut app, "ping :2002");
    assert_eq!(app.prompt.running.as_deref(), Some("ping :2002 (and 1 more)"));
    text(&mut app, "inf");
    let [Do::Remember(_), Do::Submit { ticket, .. }] = first.as_slice() else {
        panic!("{first:?}");
    };
    app.reply(*ticket, Ok(Outcome::Pong { peer: sample::peer(2001), micros: 840 }));
    assert_eq!(told(&app), "127.0.0.1:2001 answered in 840 µs");
    assert_eq!(app.prompt.running.as_deref(), Some("ping :2002"));
    assert_eq!(line(&app), "inf");
    app.reply(99, Err(CommandFailed("nobody asked".into())));
    assert!(told(&app).contains("840"));
}

#[test]
fn a_failed_command_says_so_in_one_line() {
    let mut app = app();
    run(&mut app, "get x");
    app.reply(0, Err(CommandFailed("get x: no such file\u{1b}[31m".into())));
    let message = app.prompt.message.as_ref().expect("a message");
    assert_eq!((message.level, told(&app)), (Level::Error, "get x: no such file?[31m"));
}

#[test]
fn a_long_answer_lies_over_the_panels_and_typing_goes_on_below_it() {
    let mut app = app();
    run(&mut app, "fingers");
    answer_fingers(&mut app, 0);
    let Some(Overlay::Output { title, lines, scroll: 0 }) = &app.overlay else {
        panic!("{:?}", app.overlay);
    };
    assert_eq!((title.as_str(), lines.len()), ("fingers", 31));
    key(&mut app, KeyCode::PageDown);
    key(&mut app, KeyCode::Down);
    assert!(matches!(app.overlay, Some(Overlay::Output { scroll: 11, .. })));
    for _ in 0..9 {
        key(&mut app, KeyCode::PageDown);
    }
    assert!(matches!(app.overlay, Some(Overlay::Output { scroll: 30, .. })));
    text(&mut app, "join :2001");
    assert!(app.overlay.is_some());
    key(&mut app, KeyCode::Enter);
    assert_eq!((app.overlay.is_none(), app.control.running.len()), (true, 1));
}

fn answer_fingers(app: &mut App, ticket: u64) {
    let finger = |index| Finger { index, start: Id::new(1), node: None };
    let fingers = (0..30).map(finger).collect();
    app.reply(ticket, Ok(Outcome::Fingers { fingers, space: Default::default() }));
}

#[test]
fn q_closes_an_answer_and_quit_can_still_be_typed() {
    let mut app = app();
    run(&mut app, "fingers");
    answer_fingers(&mut app, 0);
    text(&mut app, "q");
    assert_eq!((app.overlay.is_none(), line(&app)), (true, ""));
    text(&mut app, "info");
    assert_eq!(line(&app), "info");
    control(&mut app, 'u');

    run(&mut app, "fingers");
    answer_fingers(&mut app, 1);
    text(&mut app, "quit");
    assert_eq!(line(&app), "quit");
}

#[test]
fn a_lookups_hops_are_told_below_so_that_the_ring_stays_in_sight() {
    let mut app = app();
    run(&mut app, "lookup SkyShip.jpg");
    let outcome = Outcome::Lookup {
        text: "SkyShip.jpg".into(),
        key: Id::new(189),
        owner: sample::peer(2000),
        hops: vec![crate::view::Hop { peer: sample::peer(2002), micros: Some(840) }],
        space: Default::default(),
    };
    app.reply(0, Ok(outcome));
    assert_eq!(app.overlay, None);
    assert!(told(&app).starts_with("SkyShip.jpg has key 189"));
}

#[test]
fn an_answer_does_not_push_a_question_away() {
    let mut app = app();
    run(&mut app, "fingers");
    run(&mut app, "quit");
    answer_fingers(&mut app, 0);
    assert!(matches!(app.overlay, Some(Overlay::Confirm { .. })));
    assert!(told(&app).starts_with("FINGER"));
}

// History and completion.

#[test]
fn up_and_down_walk_the_lines_that_start_alike() {
    let mut app = app();
    for line in ["put a", "get x", "put b"] {
        app.prompt.history.push(line);
    }
    text(&mut app, "pu");
    key(&mut app, KeyCode::Up);
    assert_eq!(line(&app), "put b");
    key(&mut app, KeyCode::Up);
    key(&mut app, KeyCode::Up);
    assert_eq!(line(&app), "put a");
    key(&mut app, KeyCode::Down);
    assert_eq!(line(&app), "put b");
    key(&mut app, KeyCode::Down);
    assert_eq!(line(&app), "pu");
}

#[test]
fn ctrl_r_searches_older_lines() {
    let mut app = app();
    for line in ["ping :2001", "info", "ping :2002"] {
        app.prompt.history.push(line);
    }
    text(&mut app, "x");
    control(&mut app, 'r');
    text(&mut app, "pin");
    assert_eq!((line(&app), app.prompt.search.as_deref()), ("ping :2002", Some("pin")));
    control(&mut app, 'r');
    assert_eq!(line(&app), "ping :2001");
    control(&mut app, 'r');
    assert_eq!(line(&app), "ping :2001");
    assert_eq!(control(&mut app, 'c'), []);
    assert_eq!((line(&app), app.prompt.search.as_deref()), ("x", None));

    control(&mut app, 'u');
    control(&mut app, 'r');
    text(&mut app, "2001");
    let done = key(&mut app, KeyCode::Enter);
    assert_eq!(submitted(&done), [(0, Command::Ping { peer: ":2001".into() })]);
}

#[test]
fn the_ghost_comes_from_the_history_first_and_right_takes_it() {
    let mut app = app();
    app.prompt.history.push("join 192.0.2.7:2000");
    text(&mut app, "jo");
    assert_eq!(app.prompt.ghost, "in 192.0.2.7:2000");
    key(&mut app, KeyCode::Right);
    assert_eq!((line(&app), app.prompt.ghost.as_str()), ("join 192.0.2.7:2000", ""));

    control(&mut app, 'u');
    text(&mut app, "get Sky");
    assert_eq!(app.prompt.ghost, "Ship.jpg");
    key(&mut app, KeyCode::Left);
    assert_eq!(app.prompt.ghost, "");
    key(&mut app, KeyCode::End);
    assert_eq!(app.prompt.ghost, "Ship.jpg");
    key(&mut app, KeyCode::End);
    assert_eq!(line(&app), "get SkyShip.jpg");
}

#[test]
fn tab_completes_what_is_certain_and_then_goes_round() {
    let mut app = app();
    text(&mut app, "pi");
    key(&mut app, KeyCode::Tab);
    assert_eq!(line(&app), "ping ");
    key(&mut app, KeyCode::Tab);
    assert_eq!(line(&app), "ping 127.0.0.1:200");
    assert!(app.prompt.menu.is_empty());
    key(&mut app, KeyCode::Tab);
    assert_eq!((line(&app), app.prompt.menu.len()), ("ping 127.0.0.1:2001", 2));
    key(&mut app, KeyCode::Tab);
    assert_eq!((line(&app), app.prompt.menu_selected), ("ping 127.0.0.1:2002", Some(1)));
    key(&mut app, KeyCode::Tab);
    key(&mut app, KeyCode::BackTab);
    assert_eq!(line(&app), "ping 127.0.0.1:2002");
    key(&mut app, KeyCode::Esc);
    assert_eq!((line(&app), app.focus), ("ping 127.0.0.1:200", Focus::Prompt));
    assert!(app.prompt.menu.is_empty());
    key(&mut app, KeyCode::Tab);
    let done = key(&mut app, KeyCode::Enter);
    assert_eq!(submitted(&done), [(0, Command::Ping { peer: "127.0.0.1:2001".into() })]);
}

#[test]
fn completion_in_the_middle_keeps_what_follows() {
    let mut app = app();
    text(&mut app, "get Sky --to x");
    for _ in 0.." --to x".len() {
        key(&mut app, KeyCode::Left);
    }
    key(&mut app, KeyCode::Tab);
    assert_eq!(line(&app), "get SkyShip.jpg --to x");
}

#[test]
fn a_line_of_the_table_describes_what_is_being_typed() {
    let mut app = app();
    text(&mut app, "put");
    assert!(app.prompt.description.starts_with("put PATH"));
    text(&mut app, " ");
    assert_eq!(app.prompt.description, "PATH: a file on this machine");
    control(&mut app, 'u');
    assert_eq!(app.prompt.description, "");
}

// Help.

#[test]
fn a_question_mark_opens_the_help_which_is_searched_by_typing() {
    for focus in [Focus::Prompt, Focus::Panels] {
        let mut app = app();
        app.focus = focus;
        text(&mut app, "?");
        key(&mut app, KeyCode::Enter);
        text(&mut app, "fin");
        assert_eq!(app.overlay, Some(Overlay::Help { filter: "fin".into(), scroll: 0 }));
        key(&mut app, KeyCode::Esc);
        assert_eq!((app.overlay.is_none(), line(&app)), (true, ""));
    }
}

#[test]
fn q_closes_the_help_unless_something_is_searched_for() {
    let mut app = app();
    run(&mut app, "help");
    key(&mut app, KeyCode::Down);
    assert!(matches!(app.overlay, Some(Overlay::Help { scroll: 1, .. })));
    text(&mut app, "/quit");
    assert_eq!(app.overlay, Some(Overlay::Help { filter: "/quit".into(), scroll: 0 }));
    for _ in 0..5 {
        key(&mut app, KeyCode::Backspace);
    }
    text(&mut app, "q");
    assert_eq!(app.overlay, None);
}

#[test]
fn help_with_a_word_explains_that_command() {
    let mut app = app();
    assert_eq!(submitted(&run(&mut app, "help put")), []);
    let Some(Overlay::Output { lines, .. }) = &app.overlay else { panic!("no answer") };
    assert!(lines[0].starts_with("put PATH"));
}

// Leaving.

#[test]
fn quit_with_files_says_where_they_go_and_waits_for_a_yes() {
    let mut app = app();
    run(&mut app, "quit");
    let question = "leave: 1 file goes to 495".to_owned();
    assert_eq!(app.overlay, Some(Overlay::Confirm { question, action: Confirmed::Quit }));
    assert_eq!(text(&mut app, "n"), []);
    assert_eq!(app.overlay, None);
    run(&mut app, "quit");
    assert_eq!(text(&mut app, "y"), [Do::Leave]);
    assert!(matches!(app.overlay, Some(Overlay::Leaving { .. })));
}

#[test]
fn quit_without_files_or_without_a_ring_asks_nothing() {
    let mut empty = of(Snapshot { files: Arc::default(), ..sample::snapshot() });
    assert!(run(&mut empty, "quit").contains(&Do::Leave));
    let mut alone =
        of(Snapshot { standing: Standing::Alone, successors: Vec::new(), ..sample::snapshot() });
    assert!(run(&mut alone, "exit").contains(&Do::Leave));
}

#[test]
fn ctrl_c_and_signals_never_ask_and_the_second_one_ends_now() {
    let mut app = app();
    app.now = Duration::from_secs(5);
    assert_eq!(control(&mut app, 'c'), [Do::Leave]);
    let (since, deadline) = (Duration::from_secs(5), Duration::from_secs(15));
    assert_eq!(app.overlay, Some(Overlay::Leaving { since, deadline }));
    assert_eq!(text(&mut app, "qy:x"), []);
    assert_eq!(control(&mut app, 'c'), [Do::EndNow]);
    assert_eq!(app.terminate(), [Do::EndNow]);
    assert_eq!(self::app().terminate(), [Do::Leave]);
}

#[test]
fn ctrl_d_on_an_empty_line_quits_and_in_a_line_deletes() {
    let mut app = app();
    text(&mut app, "ab");
    key(&mut app, KeyCode::Home);
    control(&mut app, 'd');
    assert_eq!(line(&app), "b");
    control(&mut app, 'd');
    control(&mut app, 'd');
    assert!(matches!(app.overlay, Some(Overlay::Confirm { .. })));
}

#[test]
fn leave_and_rm_are_carried_out_only_after_a_yes() {
    let mut app = app();
    for (typed, command) in
        [("leave", Command::Leave), ("rm SkyShip.jpg", Command::Rm { name: "SkyShip.jpg".into() })]
    {
        assert_eq!(submitted(&run(&mut app, typed)), []);
        key(&mut app, KeyCode::Enter);
        assert_eq!(app.overlay, None, "Enter is no yes");
        run(&mut app, typed);
        assert_eq!(submitted(&text(&mut app, "y")), [(0, command)]);
    }
}

#[test]
fn q_in_the_panels_closes_what_is_open_before_it_quits() {
    let mut app = panels();
    text(&mut app, "z?");
    text(&mut app, "q");
    assert_eq!((app.overlay.is_none(), app.zoom), (true, true));
    text(&mut app, "q");
    assert!(!app.zoom);
    text(&mut app, "q");
    assert!(matches!(app.overlay, Some(Overlay::Confirm { .. })));
}

#[test]
fn ctrl_z_and_ctrl_l_work_everywhere() {
    for focus in [Focus::Prompt, Focus::Panels] {
        let mut app = app();
        app.focus = focus;
        assert_eq!(control(&mut app, 'z'), [Do::Suspend]);
        assert_eq!(control(&mut app, 'l'), [Do::Repaint]);
        app.open_help();
        assert_eq!(control(&mut app, 'l'), [Do::Repaint]);
    }
}

// Panels.

#[test]
fn digits_jump_and_tab_cycles_through_the_panels() {
    let mut app = panels();
    for (digit, panel) in ('1'..='6').zip(Panel::ALL) {
        text(&mut app, &digit.to_string());
        assert_eq!(app.panel, panel);
    }
    key(&mut app, KeyCode::Tab);
    assert_eq!(app.panel, Panel::Ring);
    key(&mut app, KeyCode::BackTab);
    assert_eq!(app.panel, Panel::Events);
}

#[test]
fn a_selection_stays_inside_its_table_even_when_the_table_shrinks() {
    let mut app = panels();
    text(&mut app, "2jj");
    key(&mut app, KeyCode::Down);
    assert_eq!(app.tables[Panel::Fingers.index()].selected, 3);
    text(&mut app, "G");
    key(&mut app, KeyCode::PageDown);
    assert_eq!(app.tables[Panel::Fingers.index()].selected, 9);
    key(&mut app, KeyCode::PageUp);
    assert_eq!(app.tables[Panel::Fingers.index()].selected, 0);
    text(&mut app, "G");
    let mut smaller = sample::snapshot();
    smaller.fingers.truncate(4);
    app.snapshot_changed(0, Arc::new(smaller));
    assert_eq!(app.tables[Panel::Fingers.index()].selected, 3);
    app.snapshot_changed(0, Arc::new(Snapshot { fingers: Vec::new(), ..sample::snapshot() }));
    text(&mut app, "j");
    assert_eq!(app.tables[Panel::Fingers.index()].selected, 0);
}

#[test]
fn the_selected_row_is_copied_as_the_prompt_would_take_it() {
    let mut app = panels();
    assert_eq!(text(&mut app, "4y"), [Do::Copy("SkyShip.jpg".into())]);
    assert_eq!(told(&app), "copied SkyShip.jpg");
    assert_eq!(text(&mut app, "3jy"), [Do::Copy("127.0.0.1:2002".into())]);
    assert_eq!(text(&mut app, "1y"), [Do::Copy("127.0.0.1:2001".into())]);
    assert_eq!(text(&mut app, "6y"), []);
    assert!(told(&app).contains("no row"));
}

#[test]
fn the_snapshot_is_exported_as_json_that_reads_back() {
    let done = text(&mut panels(), "e");
    let [Do::Export { name, json }] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!(name, "chordal-466.json");
    let read: Snapshot = serde_json::from_str(json).expect("a snapshot");
    assert_eq!(read.me, sample::peer(2000));
}

#[test]
fn the_mouse_is_off_until_m_and_then_clicks_and_scrolls() {
    let mut app = app();
    assert!(!app.mouse);
    app.areas =
        vec![(Panel::Files, Rect::new(10, 0, 10, 5)), (Panel::Events, Rect::new(0, 5, 20, 5))];
    let at = |kind, column, row| MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    key(&mut app, KeyCode::Esc);
    assert_eq!(text(&mut app, "m"), [Do::Mouse(true)]);
    app.mouse(at(MouseEventKind::Down(MouseButton::Left), 12, 1));
    assert_eq!(app.panel, Panel::Files);
    for number in 0..10 {
        app.event(0, event(&number.to_string()));
    }
    app.mouse(at(MouseEventKind::ScrollUp, 3, 7));
    assert_eq!((app.panel, app.log.scrolled), (Panel::Files, 3));
    assert_eq!(text(&mut app, "m"), [Do::Mouse(false)]);
}

// Events.

#[test]
fn following_stops_on_scroll_and_counts_what_is_new() {
    let mut app = panels();
    for number in 0..10 {
        app.event(0, event(&number.to_string()));
    }
    text(&mut app, "6kk");
    assert_eq!((app.log.scrolled, app.log.unseen), (2, 0));
    for number in 10..14 {
        app.event(0, event(&number.to_string()));
    }
    assert_eq!((app.log.scrolled, app.log.unseen), (6, 4));
    assert_eq!(text(&mut app, "y"), [Do::Copy("7".into())], "the same line as before");
    text(&mut app, "f");
    assert_eq!((app.log.scrolled, app.log.unseen), (0, 0));
}

#[test]
fn events_are_searched_and_filtered_by_level() {
    let mut app = panels();
    app.event(0, event("node 48 joined"));
    app.event(0, UiEvent { level: Level::Detail, ..event("stabilize") });
    app.event(0, UiEvent { level: Level::Error, ..event("node 48 died") });
    let shown = |app: &App| app.visible_events().map(|e| e.text.clone()).collect::<Vec<_>>();
    assert_eq!(shown(&app), ["node 48 joined", "node 48 died"]);
    text(&mut app, "/DIED");
    assert_eq!(shown(&app), ["node 48 died"]);
    key(&mut app, KeyCode::Enter);
    text(&mut app, "z");
    assert!(app.zoom, "keys act again");
    key(&mut app, KeyCode::Esc);
    assert_eq!((app.log.search.is_none(), app.zoom), (true, true));
    text(&mut app, "ll");
    assert_eq!(shown(&app), ["node 48 died"]);
    text(&mut app, "l");
    assert_eq!(shown(&app).len(), 3);
}

#[test]
fn the_oldest_events_go_when_there_are_too_many() {
    let mut app = app();
    for number in 0..=super::state::MAX_EVENTS {
        app.event(0, event(&number.to_string()));
    }
    let events = &app.nodes[0].events;
    assert_eq!((events.len(), events[0].text.as_str()), (super::state::MAX_EVENTS, "1"));
}

// Freezing.

#[test]
fn a_frozen_picture_stands_still_and_nothing_is_lost() {
    let mut app = panels();
    app.event(0, event("before"));
    text(&mut app, " ");
    app.event(0, event("meanwhile"));
    app.snapshot_changed(0, Arc::new(Snapshot { uptime_ms: 99_000, ..sample::snapshot() }));
    assert_eq!(app.snapshot().uptime_ms, 60_000);
    assert_eq!(app.nodes[0].events.len(), 1);
    assert_eq!(app.frozen.as_ref().map(|frozen| frozen.events), Some(1));
    text(&mut app, " ");
    assert_eq!(app.snapshot().uptime_ms, 99_000);
    assert_eq!(app.nodes[0].events.len(), 2);
}

#[test]
fn a_new_lookup_starts_a_trail_and_an_old_one_does_not() {
    let lookup = |number| LookupRow {
        number,
        text: "x".into(),
        key: Id::new(1),
        hops: Vec::new(),
        owner: None,
    };
    let snapshot =
        |number| Arc::new(Snapshot { lookup: Some(lookup(number)), ..sample::snapshot() });
    let mut app = of((*snapshot(1)).clone());
    app.now = Duration::from_secs(3);
    app.snapshot_changed(0, snapshot(1));
    assert_eq!(app.trail, None);
    app.snapshot_changed(0, snapshot(2));
    let trail = Some(Trail { number: 2, since: Duration::from_secs(3) });
    assert_eq!(app.trail, trail);
    app.now = Duration::from_secs(4);
    app.snapshot_changed(0, snapshot(2));
    assert_eq!(app.trail, trail);
}

// The lab.

#[test]
fn a_lab_goes_round_its_nodes_and_commands_go_to_the_shown_one() {
    let mut app = lab();
    text(&mut app, "n");
    assert_eq!(app.shown, 1);
    text(&mut app, "NN");
    assert_eq!(app.shown, 2);
    app.focus = Focus::Prompt;
    assert_eq!(submitted(&run(&mut app, "info")), [(2, Command::Info)]);
    app.focus = Focus::Panels;
    text(&mut app, "n");
    app.reply(0, Err(CommandFailed("no".into())));
    assert_eq!(told(&app), "495: no");
}

#[test]
fn a_node_is_killed_after_a_yes_and_restarted_only_when_down() {
    let mut app = lab();
    assert_eq!(text(&mut app, "R"), []);
    assert!(told(&app).contains("K kills it first"));
    text(&mut app, "K");
    let question = "kill node 466 127.0.0.1:2000, as a crash would".to_owned();
    assert_eq!(app.overlay, Some(Overlay::Confirm { question, action: Confirmed::Kill }));
    assert_eq!(text(&mut app, "y"), [Do::Kill(0)]);
    let down = Snapshot { standing: Standing::Down, ..sample::snapshot() };
    app.snapshot_changed(0, Arc::new(down));
    assert_eq!(text(&mut app, "K"), []);
    assert_eq!(app.overlay, None);
    app.focus = Focus::Prompt;
    assert_eq!(submitted(&run(&mut app, "info")), []);
    assert_eq!(told(&app), "info: this node is down; R starts it again");
    app.focus = Focus::Panels;
    assert_eq!(text(&mut app, "R"), [Do::Restart(0)]);
}

#[test]
fn without_a_lab_its_keys_do_nothing() {
    let mut app = panels();
    assert_eq!(text(&mut app, "nNKRA"), []);
    assert_eq!(app.overlay, None);
}

#[test]
fn quitting_a_lab_names_everything_that_ends() {
    let mut app = lab();
    text(&mut app, "q");
    let question = "quit: all 3 nodes end, with 3 copies".to_owned();
    assert_eq!(app.overlay, Some(Overlay::Confirm { question, action: Confirmed::Quit }));
}

#[test]
fn a_node_that_is_added_becomes_the_last() {
    let mut app = lab();
    assert_eq!(text(&mut app, "A"), [Do::Add]);
    app.node_added(Arc::new(Snapshot { me: sample::peer(2003), ..sample::snapshot() }));
    text(&mut app, "N");
    assert_eq!((app.shown, app.snapshot().me), (3, sample::peer(2003)));
}

// Foreign text.

#[test]
fn no_text_of_another_node_reaches_the_terminal_unclean() {
    let evil = "x\u{1b}]0;owned\u{7}";
    let mut dirty = sample::snapshot();
    dirty.ring = evil.into();
    dirty.fault = Some(evil.into());
    dirty.transfers[0].name = evil.into();
    dirty.transfers[1].state = TransferState::Failed(evil.into());
    let mut app = app();
    app.snapshot_changed(0, Arc::new(dirty));
    app.event(0, event(evil));
    app.background_panic(evil);
    let shown = format!("{:?} {:?} {:?}", app.snapshot(), app.nodes[0].events, app.banner);
    assert!(!shown.contains("\\u{1b}") && !shown.contains("\\u{7}"), "{shown}");
}

#[test]
fn a_clean_snapshot_is_shared_and_not_copied() {
    let mut app = app();
    let snapshot = Arc::new(sample::snapshot());
    app.snapshot_changed(0, Arc::clone(&snapshot));
    assert!(Arc::ptr_eq(&app.nodes[0].snapshot, &snapshot));
}

proptest::proptest! {
    /// Whatever is pressed, nothing panics and every selection stays inside.
    #[test]
    fn no_keys_break_it(keys in proptest::collection::vec((0u8..140, 0u8..8), 0..200)) {
        let mut app = lab();
        let mut ticket = 0;
        for (number, with) in keys {
            let code = match number {
                0..128 => KeyCode::Char(char::from(number.max(32))),
                128 => KeyCode::Enter,
                129 => KeyCode::Esc,
                130 => KeyCode::Tab,
                131 => KeyCode::BackTab,
                132 => KeyCode::Up,
                133 => KeyCode::Down,
                134 => KeyCode::Left,
                135 => KeyCode::Right,
                136 => KeyCode::Home,
                137 => KeyCode::End,
                138 => KeyCode::PageUp,
                _ => KeyCode::Backspace,
            };
            let modifiers = match with {
                0 => KeyModifiers::CONTROL,
                1 => KeyModifiers::ALT,
                _ => KeyModifiers::NONE,
            };
            for one in app.key(KeyEvent::new(code, modifiers)) {
                if let Do::Submit { .. } = one {
                    app.reply(ticket, Ok(Outcome::Quit));
                    ticket += 1;
                }
            }
            app.event(app.shown, event("something"));
            for panel in Panel::ALL {
                proptest::prop_assert!(
                    app.tables[panel.index()].selected < app.rows(panel).max(1)
                );
            }
        }
    }
}
