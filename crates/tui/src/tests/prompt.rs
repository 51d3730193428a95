//! Stories of the command line: typing, answers, history, completion, help, leaving.

use super::super::SAME_WISH;
use super::*;

#[test]
fn what_is_typed_at_the_start_is_a_command() {
    let mut app = app();
    let done = run(&mut app, "join 127.0.0.1:2000");
    let join = Command::Join { contact: "127.0.0.1:2000".into() };
    assert_eq!(submitted(&done), [(0, join)]);
    assert!(done.contains(&UiEffect::Remember("join 127.0.0.1:2000".into())));
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

#[test]
fn a_wrong_line_stays_with_its_complaint_until_it_is_changed() {
    let mut app = app();
    assert!(run(&mut app, "jion :2000").is_empty());
    assert_eq!(line(&app), "jion :2000");
    assert_eq!(told(&app), "unknown command 'jion'; did you mean 'join'?");
    key(&mut app, KeyCode::Backspace);
    assert_eq!(told(&app), "");
    control(&mut app, 'u');
    run(&mut app, "ping");
    assert!(told(&app).ends_with("Usage: ping PEER"));
}

#[test]
fn behind_a_refused_line_a_letter_begins_the_next_and_a_blank_amends_it() {
    let mut app = app();
    run(&mut app, "connect");
    assert!(told(&app).ends_with("Usage: connect PEER"));
    text(&mut app, "lp");
    assert_eq!((line(&app), told(&app)), ("lp", ""));
    control(&mut app, 'u');
    run(&mut app, "connect");
    text(&mut app, " :2001");
    assert_eq!(line(&app), "connect :2001");
    control(&mut app, 'u');
    run(&mut app, "put 'a b");
    key(&mut app, KeyCode::Left);
    text(&mut app, "x");
    assert_eq!(line(&app), "put 'a xb", "who moves amends");
    control(&mut app, 'k');
    control(&mut app, 'u');
    run(&mut app, "reqest a :2001");
    app.paste("ls");
    assert_eq!(line(&app), "ls");
    control(&mut app, 'u');
    run(&mut app, "reqest a :2001");
    text(&mut app, "l");
    key(&mut app, KeyCode::Backspace);
    control(&mut app, 'y');
    assert_eq!(line(&app), "reqest a :2001");
}

#[test]
fn commands_run_side_by_side_and_the_prompt_stays_free() {
    let mut app = app();
    let first = run(&mut app, "ping :2001");
    run(&mut app, "ping :2002");
    assert_eq!(app.prompt.running.as_deref(), Some("ping :2002 (and 1 more)"));
    text(&mut app, "inf");
    let [UiEffect::Remember(_), UiEffect::Submit { ticket, .. }] = first.as_slice() else {
        panic!("{first:?}");
    };
    app.reply(*ticket, Ok(Outcome::Pong { peer: fixture::peer(2001), micros: 840 }));
    assert_eq!(told(&app), "127.0.0.1:2001 answered in 840 µs");
    assert_eq!(app.prompt.running.as_deref(), Some("ping :2002"));
    assert_eq!(line(&app), "inf");
    app.reply(99, Err(refused("nobody asked")));
    assert!(told(&app).contains("840"));
}

#[test]
fn a_failed_command_says_so_in_one_line() {
    let mut app = app();
    run(&mut app, "get x");
    app.reply(0, Err(refused("get x: no such file\u{1b}[31m")));
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
    app.reply(ticket, Ok(Outcome::Fingers { fingers, space: Space::default() }));
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
fn y_copies_an_answer() {
    let mut app = app();
    run(&mut app, "help quit");
    let done = text(&mut app, "y");
    assert!(
        matches!(done.as_slice(), [UiEffect::Copy(text)] if text.starts_with("quit: leave the ring")),
        "{done:?}"
    );
}

#[test]
fn a_lookups_hops_are_told_below_so_that_the_ring_stays_in_sight() {
    let mut app = app();
    run(&mut app, "lookup SkyShip.jpg");
    let outcome = Outcome::Lookup {
        text: "SkyShip.jpg".into(),
        key: Id::new(189),
        owner: fixture::peer(2000),
        hops: vec![chordal_view::Hop { peer: fixture::peer(2002), micros: Some(840) }],
        space: Space::default(),
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
    assert_eq!(app.prompt.description, "PATH: a file or directory on this machine");
    control(&mut app, 'u');
    assert_eq!(app.prompt.description, "");
}

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

#[test]
fn quit_with_files_says_where_they_go_and_waits_for_a_yes() {
    let mut app = app();
    run(&mut app, "quit");
    let question = "leave: 1 file goes to 495".to_owned();
    assert_eq!(app.overlay, Some(Overlay::Confirm { question, action: Confirmed::Quit }));
    assert_eq!(text(&mut app, "n"), []);
    assert_eq!(app.overlay, None);
    run(&mut app, "quit");
    assert_eq!(text(&mut app, "y"), [UiEffect::Leave]);
    assert!(matches!(app.overlay, Some(Overlay::Leaving { .. })));
}

#[test]
fn quit_without_files_or_without_a_ring_asks_nothing() {
    let mut empty = of(Snapshot { files: Arc::default(), ..fixture::member() });
    assert!(run(&mut empty, "quit").contains(&UiEffect::Leave));
    let mut alone =
        of(Snapshot { membership: Membership::Alone, successors: Vec::new(), ..fixture::member() });
    assert!(run(&mut alone, "exit").contains(&UiEffect::Leave));
}

#[test]
fn ctrl_c_and_signals_never_ask_and_the_second_one_ends_now() {
    let mut app = app();
    app.now = Duration::from_secs(5);
    assert_eq!(control(&mut app, 'c'), [UiEffect::Leave]);
    let since = Duration::from_secs(5);
    assert_eq!(app.overlay, Some(Overlay::Leaving { since }));
    assert_eq!(text(&mut app, "qy:x"), []);
    app.now = since + SAME_WISH;
    assert_eq!(app.terminate(), [], "a signal to the group comes twice");
    app.now += Duration::from_millis(1);
    assert_eq!(control(&mut app, 'c'), [UiEffect::EndNow]);
    assert_eq!(app.terminate(), [UiEffect::EndNow]);
    assert_eq!(self::app().terminate(), [UiEffect::Leave]);
    assert!(run(&mut self::app(), "quit!").contains(&UiEffect::EndNow), "nobody waits for files");
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
        assert_eq!(control(&mut app, 'z'), [UiEffect::Suspend]);
        assert_eq!(control(&mut app, 'l'), [UiEffect::Repaint]);
        app.open_help();
        assert_eq!(control(&mut app, 'l'), [UiEffect::Repaint]);
    }
}
