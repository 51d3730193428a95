//! Stories of lists: what a search or a scan finds, as it comes in, and what is
//! taken from it.

use super::*;
use crate::results::{Listed, Results};
use chordal_core::name::FileName;
use chordal_view::{Behind, ScanRow, SearchRow};

fn with_search(row: SearchRow) -> Arc<Snapshot> {
    Arc::new(Snapshot { search: Some(Arc::new(row)), ..fixture::member() })
}

fn with_scan(row: ScanRow) -> Arc<Snapshot> {
    Arc::new(Snapshot { scan: Some(Arc::new(row)), ..fixture::member() })
}

/// The search of the fixtures after its first so many contents.
fn running(contents: usize) -> SearchRow {
    let mut row = fixture::search();
    row.contents.truncate(contents);
    row.running = true;
    row
}

fn is_open(app: &App) -> bool {
    matches!(app.overlay, Some(Overlay::Results))
}

fn results(app: &App) -> &Results {
    app.nodes[app.shown].results.as_ref().expect("there are results")
}

/// A dashboard whose search for `sky` has ended.
fn searched() -> App {
    let mut app = app();
    run(&mut app, "find sky");
    app.reply(0, Ok(Outcome::Found(fixture::search())));
    app
}

fn scanned() -> App {
    let mut app = app();
    run(&mut app, "scan");
    app.reply(0, Ok(Outcome::Scanned(fixture::scan())));
    app
}

fn ambiguous(line: &str) -> App {
    let mut app = app();
    run(&mut app, line);
    let mut contents = fixture::search().contents;
    contents.truncate(2);
    let name = contents[0].names[0].clone();
    app.reply(0, Ok(Outcome::Ambiguous { name, contents }));
    app
}

fn get(name: &str) -> Command {
    Command::Get { name: name.into(), to: None, no_reshare: false }
}

#[test]
fn a_search_that_was_typed_here_opens_its_results_while_it_runs() {
    let mut app = app();
    run(&mut app, "find sky");
    app.snapshot_changed(0, with_search(running(0)));
    assert!(is_open(&app) && results(&app).is_running());
    app.snapshot_changed(0, with_search(running(2)));
    assert_eq!(results(&app).rows(), 2);
    app.reply(0, Ok(Outcome::Found(fixture::search())));
    assert!(is_open(&app) && !results(&app).is_running());
    assert_eq!((results(&app).rows(), told(&app)), (4, ""));
}

#[test]
fn the_search_of_somebody_else_opens_nothing() {
    let mut app = app();
    app.snapshot_changed(0, with_search(running(2)));
    assert_eq!((is_open(&app), app.nodes[0].results.is_none()), (false, true));
    run(&mut app, "find something-else");
    app.snapshot_changed(0, with_search(SearchRow { number: 2, ..running(2) }));
    assert!(!is_open(&app), "another pattern was asked for here");
}

#[test]
fn results_that_were_closed_stay_closed_and_r_opens_them_again() {
    let mut app = app();
    run(&mut app, "find sky");
    app.snapshot_changed(0, with_search(running(1)));
    key(&mut app, KeyCode::Esc);
    assert_eq!((is_open(&app), app.focus), (false, Focus::Prompt));
    app.snapshot_changed(0, with_search(running(2)));
    assert!(!is_open(&app));
    app.reply(0, Ok(Outcome::Found(fixture::search())));
    assert!(!is_open(&app));
    assert_eq!(told(&app), "find sky: 4 contents on 7 nodes; Esc, then r shows them again");
    key(&mut app, KeyCode::Esc);
    text(&mut app, "r");
    assert!(is_open(&app));
    text(&mut app, "r");
    assert!(!is_open(&app));
}

#[test]
fn without_results_r_says_what_makes_some() {
    let mut app = panels();
    text(&mut app, "r");
    assert_eq!((is_open(&app), told(&app)), (false, "no results yet: find and scan list some"));
}

#[test]
fn enter_fetches_the_selected_content_by_a_name_that_means_it_only() {
    let mut app = searched();
    let done = key(&mut app, KeyCode::Enter);
    assert_eq!(submitted(&done), [(0, get("SkyShip.jpg@a1a1a1a1"))]);
    assert!(done.contains(&UiEffect::Remember("get SkyShip.jpg@a1a1a1a1".into())));
    assert!(!is_open(&app));
    let mut app = searched();
    key(&mut app, KeyCode::Down);
    key(&mut app, KeyCode::Down);
    let done = key(&mut app, KeyCode::Enter);
    let name = "Skyline of a rather large city at night.mkv";
    assert_eq!(submitted(&done), [(0, get(name))]);
}

#[test]
fn contents_that_begin_alike_get_as_many_digits_as_tell_them_apart() {
    let mut row = fixture::search();
    row.contents.truncate(2);
    row.contents[0].root.0[..8].copy_from_slice(&[0xab; 8]);
    row.contents[1].root.0[..8].copy_from_slice(&[0xab; 8]);
    (row.contents[0].root.0[8], row.contents[1].root.0[8]) = (0x1f, 0x1e);
    let results = Results::new(Listed::Search(Arc::new(row)));
    let word = |at| results.content(at).and_then(|content| results.word(content));
    assert_eq!(word(0), Some(format!("SkyShip.jpg@{}1f", "ab".repeat(8))));
    assert_eq!(word(1), Some(format!("SkyShip.jpg@{}1e", "ab".repeat(8))));
}

#[test]
fn right_chooses_one_source_and_another_row_all_of_them_again() {
    let mut app = searched();
    key(&mut app, KeyCode::Down);
    key(&mut app, KeyCode::Up);
    key(&mut app, KeyCode::Right);
    key(&mut app, KeyCode::Right);
    let command = |app: &App| results(app).command(&app.nodes[0].snapshot).expect("a command");
    assert_eq!(command(&app), "request SkyShip.jpg@a1a1a1a1 127.0.0.1:2002");
    key(&mut app, KeyCode::Left);
    assert_eq!(command(&app), "request SkyShip.jpg@a1a1a1a1 127.0.0.1:2001", "never this node");
    for _ in 0..9 {
        key(&mut app, KeyCode::Right);
    }
    assert_eq!(command(&app), "request SkyShip.jpg@a1a1a1a1 127.0.0.1:5003");
    key(&mut app, KeyCode::Down);
    assert_eq!(command(&app), "get SkyShip.jpg@a7a7a7a7");
    key(&mut app, KeyCode::Right);
    let request = Command::Request {
        name: "SkyShip.jpg@a7a7a7a7".into(),
        peer: "127.0.0.1:2003".into(),
        to: None,
        no_reshare: false,
    };
    assert_eq!(submitted(&key(&mut app, KeyCode::Enter)), [(0, request)]);
}

#[test]
fn a_chosen_content_stays_chosen_while_others_come_in_before_it() {
    let mut app = app();
    run(&mut app, "find sky");
    let mut late = running(4);
    let first = late.contents.remove(0);
    app.snapshot_changed(0, with_search(late.clone()));
    key(&mut app, KeyCode::Down);
    let chosen = results(&app).content(1).map(|content| content.root);
    late.contents.insert(0, first);
    app.snapshot_changed(0, with_search(late));
    assert_eq!(results(&app).table.selected, 2);
    assert_eq!(results(&app).content(2).map(|content| content.root), chosen);
}

#[test]
fn a_get_of_a_name_with_several_contents_asks_and_keeps_its_options() {
    let mut app = ambiguous("get SkyShip.jpg --to \"my dir/\" --no-reshare");
    assert!(is_open(&app));
    key(&mut app, KeyCode::Down);
    let expected = Command::Get {
        name: "SkyShip.jpg@a7a7a7a7".into(),
        to: Some("my dir/".into()),
        no_reshare: true,
    };
    assert_eq!(submitted(&key(&mut app, KeyCode::Enter)), [(0, expected)]);
}

#[test]
fn a_new_command_is_typed_below_the_results_and_closes_them() {
    let mut app = searched();
    text(&mut app, "re");
    assert_eq!((line(&app), is_open(&app)), ("re", true));
    assert_eq!(key(&mut app, KeyCode::Down), [], "it is for the history now");
    text(&mut app, "quest x 2001");
    let done = key(&mut app, KeyCode::Enter);
    let request =
        Command::Request { name: "x".into(), peer: "2001".into(), to: None, no_reshare: false };
    assert_eq!((submitted(&done), is_open(&app)), (vec![(0, request)], false));
}

#[test]
fn q_closes_results_and_qu_goes_on_to_quit() {
    let mut app = searched();
    text(&mut app, "q");
    assert!(!is_open(&app));
    text(&mut app, "u");
    assert_eq!(line(&app), "qu");
}

#[test]
fn y_copies_the_word_that_the_prompt_would_take() {
    let mut app = searched();
    assert_eq!(text(&mut app, "y"), [UiEffect::Copy("SkyShip.jpg@a1a1a1a1".into())]);
    let mut app = scanned();
    assert_eq!(text(&mut app, "y"), [UiEffect::Copy("127.0.0.1:5003".into())]);
}

#[test]
fn letters_move_in_results_when_no_command_is_typed() {
    let mut app = searched();
    key(&mut app, KeyCode::Esc);
    key(&mut app, KeyCode::Esc);
    text(&mut app, "rjjk");
    assert_eq!(results(&app).table.selected, 1);
    text(&mut app, "G");
    assert_eq!(results(&app).table.selected, 3);
    text(&mut app, "gl");
    assert_eq!((results(&app).table.selected, results(&app).choice), (0, 1));
    text(&mut app, "z6d");
    assert_eq!((app.zoom, app.panel, told(&app)), (false, Panel::Ring, ""), "not in sight");
    text(&mut app, ":");
    assert_eq!((is_open(&app), app.focus), (false, Focus::Prompt));
}

#[test]
fn the_wheel_moves_in_results() {
    let mut app = searched();
    let kind = MouseEventKind::ScrollDown;
    app.mouse(MouseEvent { kind, column: 5, row: 5, modifiers: KeyModifiers::NONE });
    assert_eq!(results(&app).table.selected, 3);
}

#[test]
fn a_scan_links_with_a_node_or_joins_it() {
    let mut app = scanned();
    assert!(is_open(&app));
    let peer = || "127.0.0.1:5003".to_owned();
    let mut joining = scanned();
    key(&mut joining, KeyCode::Right);
    assert_eq!(
        submitted(&key(&mut joining, KeyCode::Enter)),
        [(0, Command::Join { contact: peer() })]
    );
    assert_eq!(submitted(&key(&mut app, KeyCode::Enter)), [(0, Command::Connect { peer: peer() })]);
}

#[test]
fn a_port_without_a_node_says_why_nothing_can_be_done() {
    let mut app = scanned();
    key(&mut app, KeyCode::Home);
    assert_eq!(key(&mut app, KeyCode::Enter), []);
    assert!(told(&app).starts_with("a registry"), "{}", told(&app));
    key(&mut app, KeyCode::Down);
    assert_eq!(told(&app), "");
    assert_eq!(key(&mut app, KeyCode::Enter), []);
    assert!(told(&app).starts_with("nobody answers"), "{}", told(&app));
    assert!(is_open(&app));
}

#[test]
fn the_first_node_that_a_scan_finds_is_selected_until_a_key_chooses() {
    let mut app = app();
    run(&mut app, "scan 5000-5009");
    let at = |app: &App| results(app).port(results(app).table.selected).map(|port| port.address);
    let port = |port| Some(([127, 0, 0, 1], port).into());
    let mut row = fixture::scan();
    let late = row.ports.remove(3);
    row.done -= 1;
    app.snapshot_changed(0, with_scan(row));
    assert_eq!(at(&app), port(5005));
    key(&mut app, KeyCode::Down);
    let mut row = fixture::scan();
    assert_eq!(row.ports[3], late);
    app.snapshot_changed(0, with_scan(row.clone()));
    assert_eq!(at(&app), port(5006), "the key counts");
    row.ports.truncate(3);
    let none = Results::new(Listed::Scan(Arc::new(row)));
    assert_eq!(none.table.selected, 0);
}

#[test]
fn a_scan_of_many_ports_lists_those_with_somebody_behind() {
    let mut row = fixture::scan();
    row.total = 1_000;
    let results = Results::new(Listed::Scan(Arc::new(row)));
    let listed: Vec<u16> =
        (0..results.rows()).filter_map(|at| Some(results.port(at)?.address.port())).collect();
    assert_eq!(listed, [5000, 5002, 5003, 5005, 5007, 5009]);
}

#[test]
fn a_scan_shows_its_progress_as_soon_as_it_runs() {
    let mut app = app();
    run(&mut app, "scan 5000-5009");
    let mut row = fixture::scan();
    row.ports.truncate(4);
    row.done = 4;
    app.snapshot_changed(0, with_scan(row));
    assert!(is_open(&app) && results(&app).is_running());
    key(&mut app, KeyCode::Esc);
    app.reply(0, Ok(Outcome::Scanned(fixture::scan())));
    assert!(told(&app).starts_with("scan 127.0.0.1: 3 nodes behind 10 ports"), "{}", told(&app));
}

#[test]
fn a_question_is_not_pushed_away_by_results() {
    let mut app = app();
    run(&mut app, "find sky");
    run(&mut app, "rm SkyShip.jpg");
    let question = app.overlay.clone();
    app.snapshot_changed(0, with_search(running(1)));
    app.reply(0, Ok(Outcome::Found(fixture::search())));
    assert_eq!(app.overlay, question);
    assert!(told(&app).contains("4 contents"), "{}", told(&app));
}

#[test]
fn results_of_another_node_of_a_lab_wait_for_it() {
    let mut app = lab();
    app.focus = Focus::Prompt;
    run(&mut app, "find sky");
    app.focus = Focus::Panels;
    text(&mut app, "n");
    app.reply(0, Ok(Outcome::Found(fixture::search())));
    assert!(!is_open(&app));
    text(&mut app, "r");
    assert!(!is_open(&app), "this node has none");
    text(&mut app, "Nr");
    assert!(is_open(&app));
}

#[test]
fn what_a_search_or_scan_brings_reaches_the_terminal_clean() {
    let evil = "x\u{1b}]0;owned\u{7}";
    let mut scan = fixture::scan();
    scan.ports[1].found = Behind::NotChordal(evil.into());
    let (peer, space) = (fixture::peer(1), Space::default());
    scan.ports[5].found = Behind::OtherRing { peer, ring: evil.into(), space };
    let mut snapshot = (*with_scan(scan.clone())).clone();
    snapshot.search = Some(Arc::new(SearchRow { pattern: evil.into(), ..running(1) }));
    snapshot.peers = Arc::new(fixture::peers());
    Arc::make_mut(&mut snapshot.peers)[0].why = Some(evil.into());
    snapshot.registries = fixture::registries();
    snapshot.registries[0].note = Some(evil.into());
    let mut app = app();
    app.snapshot_changed(0, Arc::new(snapshot));
    run(&mut app, "scan");
    app.reply(0, Ok(Outcome::Scanned(scan)));
    let shown = format!("{:?} {:?}", app.snapshot(), app.nodes[0].results);
    assert!(!shown.contains("\\u{1b}") && !shown.contains("\\u{7}"), "{shown}");
}

#[test]
fn a_name_is_as_good_as_its_hash_when_one_content_has_it() {
    let name = FileName::new("a b.txt").expect("a name");
    let mut content = fixture::search().contents.remove(3);
    content.names = vec![name.clone()];
    let contents = vec![content.clone()];
    let results = Results::new(Listed::Contents { name, contents, options: String::new() });
    assert_eq!(results.word(&content).as_deref(), Some("a b.txt"));
    let commands = results.commands(&fixture::member());
    assert_eq!(commands[..2], ["get \"a b.txt\"", "request \"a b.txt\" 127.0.0.1:2005"]);
    // What only a linked peer outside the ring has is taken from that peer.
    content.outside = true;
    let name = FileName::new("a b.txt").expect("a name");
    let contents = vec![content];
    let results = Results::new(Listed::Contents { name, contents, options: String::new() });
    let command = results.command(&fixture::member());
    assert_eq!(command.as_deref(), Some("request \"a b.txt\" 127.0.0.1:2005"));
}
