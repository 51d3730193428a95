//! Stories of the panels: focus, selection, events, freezing, a lab's nodes, and
//! what nodes report.

use super::*;
use crate::state::MAX_EVENTS;
use chordal_view::TransferRow;

#[test]
fn digits_jump_and_tab_cycles_through_the_panels() {
    let mut app = panels();
    for (digit, panel) in ('1'..='7').zip(Panel::ALL) {
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
    let mut smaller = fixture::member();
    smaller.fingers.truncate(4);
    app.snapshot_changed(0, Arc::new(smaller));
    assert_eq!(app.tables[Panel::Fingers.index()].selected, 3);
    app.snapshot_changed(0, Arc::new(Snapshot { fingers: Vec::new(), ..fixture::member() }));
    text(&mut app, "j");
    assert_eq!(app.tables[Panel::Fingers.index()].selected, 0);
}

#[test]
fn the_selected_row_is_copied_as_the_prompt_would_take_it() {
    let mut app = panels();
    assert_eq!(text(&mut app, "4y"), [UiEffect::Copy("SkyShip.jpg".into())]);
    assert_eq!(told(&app), "copied SkyShip.jpg");
    assert_eq!(text(&mut app, "3jy"), [UiEffect::Copy("127.0.0.1:2002".into())]);
    assert_eq!(text(&mut app, "1y"), [UiEffect::Copy("127.0.0.1:2001".into())]);
    assert_eq!(text(&mut app, "7y"), []);
    assert!(told(&app).contains("no row"));
}

#[test]
fn c_stops_the_selected_transfer() {
    let mut app = panels();
    assert_eq!(submitted(&text(&mut app, "5c")), [(0, Command::Cancel { number: 4 })]);
    assert_eq!(submitted(&text(&mut app, "1c")), []);
    assert!(told(&app).contains("select a transfer"));
}

#[test]
fn p_has_the_selected_transfer_wait_and_go_on() {
    let mut snapshot = fixture::member();
    snapshot.transfers[1].state = TransferState::Paused;
    let mut app = of(snapshot);
    app.focus = Focus::Panels;
    let offered = |app: &App| {
        let hints = crate::action::hints(app);
        hints.into_iter().find(|(key, _)| key == "p").map(|(_, what)| what)
    };
    assert_eq!(submitted(&text(&mut app, "5p")), [(0, Command::Pause { number: 4 })]);
    assert_eq!(offered(&app), Some("pause"));
    assert_eq!(submitted(&text(&mut app, "jp")), [(0, Command::Resume { number: 3 })]);
    assert_eq!(offered(&app), Some("resume"));
    assert_eq!(submitted(&text(&mut app, "1p")), []);
    assert!(told(&app).contains("select a transfer"));
    assert_eq!(offered(&app), None);
}

#[test]
fn keys_act_on_the_row_that_is_seen_when_files_stand_below_their_directory() {
    let mut snapshot = fixture::member();
    let file = |number| TransferRow { number, part_of: Some(3), ..snapshot.transfers[0].clone() };
    let (file, other) = (file(9), snapshot.transfers[0].clone());
    let whole = TransferRow { state: TransferState::Running, ..snapshot.transfers[1].clone() };
    snapshot.transfers = vec![file, other, whole];
    let mut app = of(snapshot);
    app.focus = Focus::Panels;
    assert_eq!(submitted(&text(&mut app, "5Gc")), [(0, Command::Cancel { number: 9 })]);
    assert_eq!(submitted(&text(&mut app, "kc")), [(0, Command::Cancel { number: 3 })]);
}

#[test]
fn d_ends_the_link_with_the_selected_peer_and_tells_when_there_is_none() {
    let mut app = of(Snapshot {
        peers: Arc::new(fixture::peers()),
        registries: fixture::registries(),
        ..fixture::member()
    });
    app.focus = Focus::Panels;
    let disconnect = Command::Disconnect { peer: "127.0.0.1:2003".into() };
    assert_eq!(submitted(&text(&mut app, "6jd")), [(0, disconnect)]);
    assert_eq!(text(&mut app, "y"), [UiEffect::Copy("127.0.0.1:2003".into())]);
    assert_eq!(submitted(&text(&mut app, "jjjd")), [], "the shunned one");
    assert_eq!(told(&app), "127.0.0.1:2006 is not linked; connect 127.0.0.1:2006 links it");
    assert_eq!(submitted(&text(&mut app, "Gd")), [], "a registry");
    assert_eq!(text(&mut app, "y"), [UiEffect::Copy("127.0.0.1:5002".into())]);
    assert_eq!(submitted(&text(&mut app, "1d")), []);
    assert!(told(&app).contains("6 shows them"));
}

#[test]
fn shared_files_stay_with_their_user_when_a_node_leaves() {
    let mut snapshot = fixture::member();
    let mut files = snapshot.files.to_vec();
    files.push(chordal_view::FileRow { role: chordal_view::Role::Shared, ..files[0].clone() });
    snapshot.files = Arc::new(files.into());
    let mut app = of(snapshot);
    run(&mut app, "leave");
    let Some(Overlay::Confirm { question, .. }) = &app.overlay else { panic!("it asks") };
    assert_eq!(question, "leave: 1 file goes to 495");
}

#[test]
fn the_snapshot_is_exported_as_json_that_reads_back() {
    let done = text(&mut panels(), "e");
    let [UiEffect::Export { name, json }] = done.as_slice() else { panic!("{done:?}") };
    assert_eq!(name, "chordal-466.json");
    let read: Snapshot = serde_json::from_str(json).expect("a snapshot");
    assert_eq!(read.me, fixture::peer(2000));
}

#[test]
fn the_mouse_is_off_until_m_and_then_clicks_and_scrolls() {
    let mut app = app();
    assert!(!app.mouse);
    app.areas =
        vec![(Panel::Files, Rect::new(10, 0, 10, 5)), (Panel::Events, Rect::new(0, 5, 20, 5))];
    let at = |kind, column, row| MouseEvent { kind, column, row, modifiers: KeyModifiers::NONE };
    key(&mut app, KeyCode::Esc);
    assert_eq!(text(&mut app, "m"), [UiEffect::Mouse(true)]);
    app.mouse(at(MouseEventKind::Down(MouseButton::Left), 12, 1));
    assert_eq!(app.panel, Panel::Files);
    for number in 0..10 {
        app.event(0, event(&number.to_string()));
    }
    app.mouse(at(MouseEventKind::ScrollUp, 3, 7));
    assert_eq!((app.panel, app.log.scrolled), (Panel::Files, 3));
    assert_eq!(text(&mut app, "m"), [UiEffect::Mouse(false)]);
}

#[test]
fn following_stops_on_scroll_and_counts_what_is_new() {
    let mut app = panels();
    for number in 0..10 {
        app.event(0, event(&number.to_string()));
    }
    text(&mut app, "7kk");
    assert_eq!((app.log.scrolled, app.log.unseen), (2, 0));
    for number in 10..14 {
        app.event(0, event(&number.to_string()));
    }
    assert_eq!((app.log.scrolled, app.log.unseen), (6, 4));
    assert_eq!(text(&mut app, "y"), [UiEffect::Copy("7".into())], "the same line as before");
    text(&mut app, "f");
    assert_eq!((app.log.scrolled, app.log.unseen), (0, 0));
}

#[test]
fn events_are_searched_and_filtered_by_level() {
    let mut app = panels();
    app.event(0, event("node 48 joined"));
    app.event(0, UiEvent { level: Level::Detail, ..event("stabilize") });
    app.event(0, UiEvent { level: Level::Traffic, ..event("node 48 took a") });
    app.event(0, UiEvent { level: Level::Error, ..event("node 48 died") });
    let shown = |app: &App| app.visible_events().map(|e| e.text.clone()).collect::<Vec<_>>();
    assert_eq!(shown(&app), ["node 48 joined", "node 48 took a", "node 48 died"]);
    text(&mut app, "/DIED");
    assert_eq!(shown(&app), ["node 48 died"]);
    key(&mut app, KeyCode::Enter);
    text(&mut app, "z");
    assert!(app.zoom, "keys act again");
    key(&mut app, KeyCode::Esc);
    assert_eq!((app.log.search.is_none(), app.zoom), (true, true));
    text(&mut app, "ll");
    assert_eq!(shown(&app), ["node 48 died"]);
    text(&mut app, "ll");
    assert_eq!(shown(&app).len(), 4, "with details");
    text(&mut app, "l");
    assert_eq!(shown(&app), ["node 48 joined", "node 48 took a", "node 48 died"]);
    text(&mut app, "l");
    assert_eq!(shown(&app), ["node 48 joined", "node 48 died"], "without traffic");
}

#[test]
fn the_oldest_events_go_when_there_are_too_many() {
    let mut app = app();
    for number in 0..=MAX_EVENTS {
        app.event(0, event(&number.to_string()));
    }
    let events = &app.nodes[0].events;
    assert_eq!((events.len(), events[0].text.as_str()), (MAX_EVENTS, "1"));
}

#[test]
fn a_frozen_picture_stands_still_and_nothing_is_lost() {
    let mut app = panels();
    app.event(0, event("before"));
    text(&mut app, " ");
    app.event(0, event("meanwhile"));
    app.snapshot_changed(0, Arc::new(Snapshot { uptime_ms: 99_000, ..fixture::member() }));
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
        |number| Arc::new(Snapshot { lookup: Some(lookup(number)), ..fixture::member() });
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
    app.reply(0, Err(refused("no")));
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
    assert_eq!(text(&mut app, "y"), [UiEffect::Kill(0)]);
    let down = Snapshot { membership: Membership::Down, ..fixture::member() };
    app.snapshot_changed(0, Arc::new(down));
    assert_eq!(text(&mut app, "K"), []);
    assert_eq!(app.overlay, None);
    app.focus = Focus::Prompt;
    assert_eq!(submitted(&run(&mut app, "info")), []);
    assert_eq!(told(&app), "info: this node is down; Esc, then R starts it again");
    app.focus = Focus::Panels;
    assert_eq!(text(&mut app, "R"), [UiEffect::Restart(0)]);
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
    assert_eq!(text(&mut app, "A"), [UiEffect::Add]);
    app.node_added(Arc::new(Snapshot { me: fixture::peer(2003), ..fixture::member() }));
    assert!(told(&app).starts_with("node 4, "), "{}", told(&app));
    text(&mut app, "N");
    assert_eq!((app.shown, app.snapshot().me), (3, fixture::peer(2003)));
}

#[test]
fn no_text_of_another_node_reaches_the_terminal_unclean() {
    let evil = "x\u{1b}]0;owned\u{7}";
    let mut dirty = fixture::member();
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
    let snapshot = Arc::new(fixture::member());
    app.snapshot_changed(0, Arc::clone(&snapshot));
    assert!(Arc::ptr_eq(&app.nodes[0].snapshot, &snapshot));
}

#[test]
fn explain_mode_names_the_command_behind_a_key() {
    let mut app = panels();
    text(&mut app, "4");
    assert_eq!(told(&app), "");
    text(&mut app, "x");
    assert!(told(&app).contains("l shows details"), "{}", told(&app));
    text(&mut app, "4");
    assert_eq!(told(&app), "the same as the command: ls");
    text(&mut app, "x");
    assert_eq!(told(&app), "explanations off");
}

#[test]
fn an_answer_goes_when_the_next_key_of_the_panels_is_pressed() {
    let mut app = panels();
    text(&mut app, "4y");
    assert_eq!(told(&app), "copied SkyShip.jpg");
    text(&mut app, "1");
    assert_eq!(told(&app), "");
}

#[test]
fn a_failure_of_an_older_command_names_it() {
    let mut app = app();
    run(&mut app, "get SkyShip.jpg");
    run(&mut app, "cancel 4");
    app.reply(0, Err(refused("cancelled")));
    assert_eq!(told(&app), "get SkyShip.jpg: cancelled");
    app.reply(1, Err(refused("there is no transfer 4")));
    assert_eq!(told(&app), "there is no transfer 4");
}
