//! Pictures of whole screens, and what must hold at every size.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyModifiers, MouseButton, MouseEvent, MouseEventKind};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier};
use unicode_width::UnicodeWidthStr;

use super::{Class, TICK, draw, wants_tick};
use crate::complete::Completion;
use crate::fixture;
use crate::panel::Panel;
use crate::results::{Listed, Results};
use crate::state::{App, Confirmed, Focus, Frozen, Message, Overlay, Trail};
use crate::theme::{Glyphs, Theme};
use chordal_view::{Level, Liveness, Membership, Speed, State, Step, TransferState, Unsettled};

/// The sizes of the four layouts, and that of a pane among many.
const SIZES: [(u16, u16); 5] = [(160, 45), (100, 30), (80, 24), (50, 12), (20, 4)];

fn screen(app: &mut App, width: u16, height: u16) -> Terminal<TestBackend> {
    app.memory = super::Memory::default();
    let mut terminal =
        Terminal::new(TestBackend::new(width, height)).expect("a test backend never fails");
    terminal.draw(|frame| draw(frame, app)).expect("a test backend never fails");
    terminal
}

fn buffer(app: &mut App, width: u16, height: u16) -> Buffer {
    screen(app, width, height).backend().buffer().clone()
}

/// The screen as text, trailing blanks cut.
fn picture(app: &mut App, width: u16, height: u16) -> String {
    text_of(&buffer(app, width, height))
}

/// What a screen shows, trailing blanks cut.
pub(crate) fn text_of(buffer: &Buffer) -> String {
    let (width, height) = (buffer.area.width, buffer.area.height);
    let row = |y| {
        let mut text = String::new();
        let mut x = 0;
        while x < width {
            let symbol = buffer[(x, y)].symbol();
            text.push_str(symbol);
            // A wide character has its second cell too.
            x += symbol.width().max(1) as u16;
        }
        text.trim_end().to_owned()
    };
    (0..height).map(row).collect::<Vec<_>>().join("\n")
}

fn assert_pictures(name: &str, mut app: App) {
    for (width, height) in SIZES {
        let text = picture(&mut app, width, height);
        insta::assert_snapshot!(format!("{name}-{width}x{height}"), text);
    }
}

fn in_panel(mut app: App, panel: Panel) -> App {
    app.focus = Focus::Panels;
    app.panel = panel;
    app
}

fn in_ascii(mut app: App) -> App {
    app.glyphs = Glyphs::ascii();
    app
}

fn with_overlay(mut app: App, overlay: Overlay) -> App {
    app.overlay = Some(overlay);
    app
}

fn help() -> Overlay {
    Overlay::Help { filter: String::new(), scroll: 0 }
}

fn output() -> Overlay {
    let lines = (0..40).map(|i| format!("{:>4}  127.0.0.1:{}  up", i * 25, 2000 + i)).collect();
    Overlay::Output { title: "ring".to_owned(), lines, scroll: 3 }
}

fn confirm() -> Overlay {
    Overlay::Confirm {
        question: "Leave the ring? 7 files go to 495 at 127.0.0.1:2002.".to_owned(),
        action: Confirmed::Quit,
    }
}

fn leaving() -> Overlay {
    Overlay::Leaving { since: Duration::from_secs(57) }
}

fn with_results(mut app: App, of: Listed, selected: usize) -> App {
    let mut results = Results::new(of);
    results.table.selected = selected;
    app.nodes[0].results = Some(results);
    with_overlay(app, Overlay::Results)
}

fn searched() -> App {
    with_results(fixture::eight(), Listed::Search(Arc::new(fixture::search())), 2)
}

/// The first answers have just come.
fn searching() -> App {
    let mut search = fixture::search();
    search.contents.truncate(1);
    search.silent.clear();
    search.peers[1].1 = None;
    (search.answered, search.depth, search.running) = (2, 1, true);
    with_results(fixture::eight(), Listed::Search(Arc::new(search)), 0)
}

fn scanned() -> App {
    with_results(fixture::eight(), Listed::Scan(Arc::new(fixture::scan())), 3)
}

/// Seven of a thousand ports tried.
fn scanning() -> App {
    let mut scan = fixture::scan();
    scan.ports.truncate(7);
    (scan.total, scan.done) = (1_000, 7);
    with_results(fixture::eight(), Listed::Scan(Arc::new(scan)), 0)
}

fn ambiguous() -> App {
    let mut contents = fixture::search().contents;
    contents.truncate(2);
    let name = contents[0].names[0].clone();
    let of = Listed::Contents { name, contents, options: " --no-reshare".to_owned() };
    let mut app = with_results(fixture::eight(), of, 0);
    if let Some(results) = &mut app.nodes[0].results {
        results.choice = 2;
    }
    app
}

fn typing(mut app: App, line: &str) -> App {
    app.prompt.input = tui_input::Input::new(line.to_owned());
    app
}

/// A half-typed command with everything that helps to finish it.
fn completing(app: App) -> App {
    let mut app = typing(app, "get le");
    app.prompt.ghost = "cture-04.pdf".to_owned();
    app.prompt.description = "get NAME [--to PATH]: fetch a file from the ring".to_owned();
    app.prompt.menu_selected = Some(0);
    for (text, help) in [
        ("lecture-04.pdf", "19 MB, 3/3 copies"),
        ("letters/to-grandmother.txt", "4.2 kB, 1/3 copies"),
    ] {
        app.prompt.menu.push(Completion { text: text.to_owned(), help: help.to_owned() });
    }
    app
}

fn failing(app: App) -> App {
    let mut app = typing(app, "cancel x");
    let text = "'x' is not the number of a transfer\nUsage: cancel N".to_owned();
    app.prompt.message = Some(Message { level: Level::Error, text });
    app
}

#[test]
fn a_node_alone() {
    assert_pictures("alone", fixture::alone());
    assert_pictures("alone-ascii", in_ascii(fixture::alone()));
}

#[test]
fn three_nodes() {
    assert_pictures("three", fixture::three());
    assert_pictures("three-ascii", in_ascii(fixture::three()));
}

#[test]
fn eight_nodes() {
    assert_pictures("eight", fixture::eight());
    assert_pictures("eight-ascii", in_ascii(fixture::eight()));
}

#[test]
fn many_nodes() {
    assert_pictures("sixty", fixture::sixty());
    assert_pictures("huge", fixture::huge());
}

#[test]
fn a_successor_dies() {
    assert_pictures("dead", in_panel(fixture::dead_successor(), Panel::Neighbours));
}

#[test]
fn each_panel_with_the_focus() {
    for panel in Panel::ALL {
        let name = panel.title().to_lowercase();
        let mut app = in_panel(fixture::eight(), panel);
        app.tables[panel.index()].selected = 2;
        for (width, height) in [(160, 45), (80, 24)] {
            let text = picture(&mut app, width, height);
            insta::assert_snapshot!(format!("focus-{name}-{width}x{height}"), text);
        }
        app.zoom = true;
        insta::assert_snapshot!(format!("zoom-{name}-100x30"), picture(&mut app, 100, 30));
    }
}

#[test]
fn each_overlay() {
    assert_pictures("help", with_overlay(fixture::three(), help()));
    assert_pictures("help-ascii", in_ascii(with_overlay(fixture::three(), help())));
    let filter = "get".to_owned();
    assert_pictures(
        "help-get",
        with_overlay(fixture::three(), Overlay::Help { filter, scroll: 0 }),
    );
    assert_pictures("output", with_overlay(fixture::eight(), output()));
    assert_pictures("confirm", with_overlay(fixture::eight(), confirm()));
    assert_pictures("leaving", with_overlay(fixture::eight(), leaving()));
}

#[test]
fn results_to_choose_from() {
    assert_pictures("found", searched());
    assert_pictures("found-ascii", in_ascii(searched()));
    assert_pictures("finding", searching());
    assert_pictures("scanned", scanned());
    assert_pictures("scanned-ascii", in_ascii(scanned()));
    assert_pictures("scanning", scanning());
    assert_pictures("which", ambiguous());
    let mut nothing = fixture::search();
    nothing.contents.clear();
    assert_pictures(
        "found-nothing",
        with_results(fixture::three(), Listed::Search(Arc::new(nothing)), 0),
    );
}

#[test]
fn a_click_selects_the_row_under_it() {
    let mut app = searched();
    let buffer = buffer(&mut app, 100, 30);
    let symbol = |x, y| buffer[(x, y)].symbol();
    let line = |y| (0..100).map(|x| symbol(x, y)).collect::<String>();
    let row = (0..30).find(|y| line(*y).contains("notes/sky.md")).expect("it is listed");
    let kind = MouseEventKind::Down(MouseButton::Left);
    let modifiers = KeyModifiers::NONE;
    app.mouse(MouseEvent { kind, column: 20, row, modifiers });
    let selected = |app: &App| app.nodes[0].results.as_ref().map(|list| list.table.selected);
    assert_eq!(selected(&app), Some(3));
    app.mouse(MouseEvent { kind, column: 20, row: 0, modifiers });
    assert_eq!(selected(&app), Some(3), "not a row");
}

#[test]
fn the_prompt_helps() {
    assert_pictures("completing", completing(fixture::eight()));
    assert_pictures("failing", failing(fixture::three()));
}

#[test]
fn frozen_with_a_fault_in_a_lab() {
    let mut app = in_panel(fixture::eight(), Panel::Events);
    app.lab = true;
    app.log.search = Some("skyship".to_owned());
    app.log.scrolled = 1;
    app.log.unseen = 14;
    let mut snapshot = (*app.nodes[0].snapshot).clone();
    snapshot.fault = Some("the census task ended: see the log; restart the node".to_owned());
    let snapshot = Arc::new(snapshot);
    app.frozen =
        Some(Frozen { since: Duration::from_secs(48), events: 37, snapshot, at: Duration::ZERO });
    assert_pictures("frozen", app);
}

#[test]
fn a_simulation() {
    assert_pictures("simulation", fixture::simulated());
    let mut running = in_panel(fixture::simulated(), Panel::Ring);
    let mut snapshot = (*running.nodes[0].snapshot).clone();
    if let Some(simulation) = &mut snapshot.simulation {
        (simulation.running, simulation.parts, simulation.down) = (true, 1, 0);
        (simulation.speed, simulation.pace) = (Speed::MOST, Some(731.4));
    }
    running.nodes[0].snapshot = Arc::new(snapshot);
    assert_pictures("simulation-keys", running);
    assert_pictures("simulation-help", with_overlay(fixture::simulated(), help()));
}

#[test]
fn ascii_means_ascii() {
    let apps: [fn() -> App; 6] =
        [fixture::alone, fixture::eight, fixture::sixty, fixture::huge, fixture::simulated, || {
            with_overlay(completing(fixture::eight()), help())
        }];
    for make in apps {
        for (width, height) in SIZES {
            let text = picture(&mut in_ascii(make()), width, height);
            assert!(text.is_ascii(), "{text}");
        }
    }
}

#[test]
fn the_prompt_always_has_the_last_row() {
    for (width, height) in SIZES.into_iter().chain([(30, 2), (30, 1), (200, 3)]) {
        let text = picture(&mut typing(fixture::eight(), "lookup 189"), width, height);
        let last = text.lines().nth(usize::from(height) - 1).unwrap_or_default();
        assert!(last.starts_with("❯ lookup 189"), "{width}×{height}: {last}");
    }
}

#[test]
fn the_cursor_stands_behind_what_is_typed() {
    let mut terminal = screen(&mut typing(fixture::three(), "join :2"), 80, 24);
    let cursor = terminal.get_cursor_position().expect("a test backend never fails");
    assert_eq!((cursor.x, cursor.y), (9, 23));
}

#[test]
fn the_focus_is_seen_without_colour() {
    let mut app = in_panel(fixture::eight(), Panel::Files);
    app.theme = Theme::mono();
    let text = picture(&mut app, 160, 45);
    assert!(text.contains("▶ 4 Files"), "{text}");
    let thick = text.chars().filter(|c| *c == '┏').count();
    assert_eq!(thick, 1, "one panel has the thick frame");
    app.focus = Focus::Prompt;
    assert!(!picture(&mut app, 160, 45).contains('┏'), "no panel has the focus now");
}

#[test]
fn the_light_tells_of_trouble_by_glyph_word_and_colour() {
    let at = |app: &mut App, glyph: &str| {
        let buffer = buffer(app, 160, 45);
        // From the right: the row starts with the node itself.
        let x = (0..160).rev().find(|x| buffer[(*x, 0)].symbol() == glyph).expect("the light");
        (buffer[(x + 2, 0)].symbol().to_owned(), buffer[(x, 0)].fg)
    };
    assert_eq!(at(&mut fixture::eight(), "●"), ("h".to_owned(), Color::Green));
    assert_eq!(at(&mut fixture::dead_successor(), "▲").1, Color::Magenta);
}

#[test]
fn this_node_stands_out_on_the_ring() {
    let mut app = fixture::eight();
    app.trail = None;
    let buffer = buffer(&mut app, 160, 45);
    let ring = (2..30).flat_map(|y| (0..70).map(move |x| (x, y)));
    let me: Vec<_> = ring.filter(|at| buffer[*at].symbol() == "◆").collect();
    let [me] = me.as_slice() else { panic!("one glyph for this node, not {me:?}") };
    assert_eq!(buffer[*me].fg, Color::Cyan);
    assert!(buffer[*me].modifier.contains(Modifier::BOLD));
}

#[test]
fn nothing_is_coloured_in_mono() {
    let mut app = fixture::dead_successor();
    app.theme = Theme::mono();
    for (width, height) in SIZES {
        let buffer = buffer(&mut app, width, height);
        assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset));
    }
}

#[test]
fn a_dead_node_is_seen_among_many() {
    let mut app = fixture::sixty();
    assert!(picture(&mut app, 160, 45).contains('✕'));
}

#[test]
fn the_class_of_the_layout_is_remembered() {
    let mut app = fixture::three();
    let mut terminal = Terminal::new(TestBackend::new(160, 45)).expect("a test backend");
    terminal.draw(|frame| draw(frame, &mut app)).expect("drawn");
    assert_eq!(app.memory.class, Some(Class::Wide));
    terminal.backend_mut().resize(158, 44);
    terminal.draw(|frame| draw(frame, &mut app)).expect("drawn");
    assert_eq!(app.memory.class, Some(Class::Wide));
    assert_eq!(app.areas.len(), Panel::ALL.len());
}

#[test]
fn a_selected_row_far_down_is_seen() {
    let mut app = in_panel(fixture::sixty(), Panel::Files);
    app.tables[Panel::Files.index()].selected = 99;
    app.zoom = true;
    let text = picture(&mut app, 160, 45);
    let name = app.snapshot().files[99].name.last().to_owned();
    assert!(text.contains(&name), "{name} in\n{text}");
    assert!(app.tables[Panel::Files.index()].offset > 0);
}

#[test]
fn scrolling_past_the_end_stops_there() {
    let mut app = with_overlay(fixture::three(), output());
    if let Some(Overlay::Output { scroll, .. }) = &mut app.overlay {
        *scroll = usize::MAX;
    }
    assert!(picture(&mut app, 80, 24).contains("2039"));
    let Some(Overlay::Output { scroll, .. }) = app.overlay else { panic!("still there") };
    assert!(scroll < 40);
}

#[test]
fn ticks_only_while_something_moves() {
    assert_eq!(wants_tick(&fixture::alone()), None);
    let mut app = fixture::three();
    assert_eq!(wants_tick(&app), None);
    app.trail = Some(Trail { number: 1, since: app.now });
    assert_eq!(wants_tick(&app), Some(TICK));
    app.now += Duration::from_secs(10);
    assert_eq!(wants_tick(&app), None, "the trail has faded");
    let mut app = fixture::eight();
    app.trail = None;
    assert_eq!(wants_tick(&app), Some(TICK), "a transfer runs");
    let mut snapshot = (*app.nodes[0].snapshot).clone();
    snapshot.transfers.iter_mut().for_each(|row| row.state = TransferState::Done);
    app.nodes[0].snapshot = Arc::new(snapshot);
    assert_eq!(wants_tick(&app), None);
}

/// Everything that can be on a screen at once, in turns.
fn many_apps() -> Vec<App> {
    let makes: [fn() -> App; 6] = [
        fixture::alone,
        fixture::three,
        fixture::eight,
        fixture::sixty,
        fixture::huge,
        fixture::dead_successor,
    ];
    let mut apps: Vec<App> = makes.iter().map(|make| make()).collect();
    for overlay in [help(), output(), confirm(), leaving()] {
        apps.push(with_overlay(fixture::eight(), overlay));
    }
    apps.extend([searched(), searching(), scanned(), scanning(), ambiguous()]);
    for panel in Panel::ALL {
        let mut app = in_panel(fixture::eight(), panel);
        app.zoom = panel.index() % 2 == 0;
        apps.push(app);
    }
    apps.push(completing(fixture::eight()));
    apps.push(failing(in_ascii(fixture::sixty())));
    for membership in [Membership::Joining, Membership::Leaving, Membership::Left, Membership::Down]
    {
        let mut app = fixture::three();
        let mut snapshot = (*app.nodes[0].snapshot).clone();
        snapshot.membership = membership;
        snapshot.fault = Some("something broke".to_owned());
        app.nodes[0].snapshot = Arc::new(snapshot);
        apps.push(app);
    }
    apps
}

/// Draws at one size, keeping what the app remembers of the last one.
fn assert_draws(app: &mut App, width: u16, height: u16) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a test backend");
    terminal.draw(|frame| draw(frame, app)).expect("drawn");
    let blank = terminal.backend().buffer().content.iter().all(|cell| cell.symbol() == " ");
    assert!(!blank || width == 0 || height == 0, "blank at {width}×{height}");
}

#[test]
fn no_size_panics_or_is_blank() {
    let mut apps = many_apps();
    let count = apps.len();
    let mut turn = 0;
    for width in (0..=200).step_by(3) {
        for height in 0..=60 {
            // Each picture meets sizes of every class; the turns differ by row.
            turn += 1;
            assert_draws(&mut apps[turn % count], width, height);
        }
    }
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..1_500 {
        let (width, height) = (random.u16(0..=200), random.u16(0..=60));
        assert_draws(&mut apps[random.usize(0..count)], width, height);
    }
    for app in &mut apps {
        for (width, height) in (0..=24).step_by(3).flat_map(|w| (0..=14).map(move |h| (w, h))) {
            assert_draws(app, width, height);
        }
    }
}

/// A ring of three, of which one died a moment ago.
fn with_a_ghost() -> App {
    let mut app = fixture::three();
    let snapshot = Arc::make_mut(&mut app.nodes[0].snapshot);
    let gone = snapshot.successors.remove(1).peer;
    for member in &mut snapshot.members {
        if member.peer == gone {
            member.liveness = Liveness::Dead;
        }
    }
    snapshot.health.margin = Some(1);
    app
}

#[test]
fn who_is_gone_is_shown_but_not_counted_among_the_nodes() {
    let text = picture(&mut with_a_ghost(), 100, 30);
    assert!(text.contains("2 nodes · 1 gone") && !text.contains("3 nodes"), "{text}");
}

#[test]
fn the_light_has_a_word_for_every_state() {
    let mut app = fixture::eight();
    for (state, words) in [
        (State::Healthy, "● healthy"),
        (State::Alone, "● alone"),
        (State::Left, "▲ left"),
        (State::SickDisk, "▲ sick disk"),
        (State::CutOff { missing: 7 }, "▲ cut off (from 7 members)"),
        (State::Repairing { files: 3 }, "▲ repairing (3 files)"),
        (
            State::Converging { seen: 45, why: Unsettled::Growing },
            "▲ converging (45 seen, still growing)",
        ),
    ] {
        Arc::make_mut(&mut app.nodes[0].snapshot).state = state;
        let text = picture(&mut app, 160, 45);
        assert!(text.contains(words), "{words}: {text}");
    }
    let text = picture(&mut app, 160, 45);
    assert!(text.contains("as seen from here"), "another node may see more: {text}");
}

#[test]
fn the_murmur_of_the_protocol_is_no_traffic() {
    let mut app = fixture::three();
    let quiet = picture(&mut app, 160, 45);
    assert!(!quiet.contains("/s"), "{quiet}");
    Arc::make_mut(&mut app.nodes[0].snapshot).traffic.down_rate = 2_400_000;
    assert!(picture(&mut app, 160, 45).contains("2.4 MB/s"));
}

#[test]
fn explanations_stand_below_their_events_and_fit_any_panel() {
    let mut app = fixture::three();
    app.explain = true;
    let text = picture(&mut app, 160, 45);
    assert!(text.contains("└ time-out: a peer that misses its answers"), "{text}");
    for (width, height) in SIZES {
        picture(&mut app, width, height);
    }
    // Three steps of one kind are explained once.
    let node = &mut app.nodes[0];
    let mut step = node.events[1].clone();
    step.step = Some(Step::Successor);
    node.events = vec![step; 3].into();
    let text = picture(&mut app, 160, 45);
    assert_eq!(text.matches("└ stabilize").count(), 1, "{text}");
}

#[test]
fn an_answer_leaves_the_row_of_hints_in_sight() {
    let text = picture(&mut failing(fixture::three()), 80, 24);
    let rows: Vec<_> = text.lines().collect();
    assert!(rows[22].starts_with(" TYPE"), "{text}");
    assert!(rows[21].contains("Usage: cancel N"), "{text}");
}

#[test]
fn a_table_in_an_answer_keeps_its_columns() {
    let mut app = fixture::three();
    let text = "found\n  HOP  ID\n    1  48".to_owned();
    app.prompt.message = Some(Message { level: Level::Info, text });
    let text = picture(&mut app, 80, 24);
    assert!(text.contains("\n     HOP  ID\n       1  48\n"), "{text}");
}

#[test]
fn a_node_that_is_down_says_what_to_do_and_its_old_tables_are_dim() {
    let mut app = fixture::eight();
    (app.lab, app.trail) = (true, None);
    Arc::make_mut(&mut app.nodes[0].snapshot).membership = Membership::Down;
    assert!(picture(&mut app, 100, 30).contains("R restarts it"));
    let buffer = buffer(&mut app, 160, 45);
    let fingers = buffer.content().iter().filter(|cell| cell.modifier.contains(Modifier::DIM));
    assert!(fingers.count() > 160, "the tables are what it knew last");
}

#[test]
fn a_transfer_that_is_done_is_full_even_when_no_byte_had_to_move() {
    let mut app = in_panel(fixture::eight(), Panel::Transfers);
    let snapshot = Arc::make_mut(&mut app.nodes[0].snapshot);
    snapshot.transfers.truncate(4);
    snapshot.transfers.drain(..3);
    snapshot.transfers[0].kind = chordal_view::TransferKind::Upload;
    (snapshot.transfers[0].done, app.zoom) = (0, true);
    let text = picture(&mut app, 100, 30);
    assert!(text.contains("100%") && !text.contains(" 0%"), "{text}");
}

#[test]
fn directories_waiting_transfers_and_limits() {
    for (width, height) in [(50, 12), (80, 24), (100, 30), (160, 45), (250, 80)] {
        let mut app = in_panel(fixture::busy(), Panel::Transfers);
        let text = picture(&mut app, width, height);
        insta::assert_snapshot!(format!("busy-{width}x{height}"), text);
        app.zoom = true;
        let text = picture(&mut app, width, height);
        insta::assert_snapshot!(format!("busy-zoom-{width}x{height}"), text);
    }
}

#[test]
fn the_number_of_a_transfer_is_never_cut() {
    let mut app = in_panel(fixture::eight(), Panel::Transfers);
    app.zoom = true;
    Arc::make_mut(&mut app.nodes[0].snapshot).transfers[0].number = 12_345;
    for (width, height) in [(80, 24), (100, 30), (160, 45)] {
        let text = picture(&mut app, width, height);
        assert!(text.contains(" 12345 ") || text.contains("▌12345 "), "{text}");
    }
}

#[test]
fn a_transfer_of_nothing_yet_or_of_nothing_at_all_is_not_full() {
    let mut app = in_panel(fixture::eight(), Panel::Transfers);
    let snapshot = Arc::make_mut(&mut app.nodes[0].snapshot);
    snapshot.transfers.truncate(1);
    (snapshot.transfers[0].done, snapshot.transfers[0].total, app.zoom) = (0, 0, true);
    for state in [TransferState::Running, TransferState::Failed("no such file".into())] {
        Arc::make_mut(&mut app.nodes[0].snapshot).transfers[0].state = state;
        let text = picture(&mut app, 100, 30);
        assert!(text.contains(" 0%") && !text.contains("100%"), "{text}");
        assert!(text.contains("name"), "a single transfer has its titles too: {text}");
    }
}

#[test]
fn a_links_age_goes_on_while_its_node_is_at_rest_and_stands_still_in_a_frozen_picture() {
    let mut app = in_panel(fixture::three(), Panel::Peers);
    app.zoom = true;
    let tab = &mut app.nodes[0];
    let snapshot = Arc::make_mut(&mut tab.snapshot);
    snapshot.uptime_ms = 60_000;
    let mut rows = fixture::peers();
    rows.truncate(1);
    rows[0].since_ms = 20_000;
    snapshot.peers = Arc::new(rows);
    tab.at = Duration::from_secs(10);
    app.now = Duration::from_secs(10);
    assert!(picture(&mut app, 100, 30).contains("40s"));
    app.now = Duration::from_secs(25);
    assert!(picture(&mut app, 100, 30).contains("55s"));
    assert!(wants_tick(&app).is_some(), "the age is to be seen growing");
    let snapshot = Arc::clone(&app.nodes[0].snapshot);
    app.frozen =
        Some(Frozen { since: Duration::from_secs(25), events: 0, snapshot, at: app.nodes[0].at });
    app.now = Duration::from_secs(90);
    assert!(picture(&mut app, 100, 30).contains("55s"));
    app.frozen = None;
    app.panel = Panel::Ring;
    assert_eq!(wants_tick(&app), None);
}

#[test]
fn an_answer_shrinks_to_its_first_line_while_the_next_is_typed() {
    let mut app = fixture::three();
    let text = "stored on\n466\n495".to_owned();
    app.prompt.message = Some(Message { level: Level::Info, text });
    assert!(picture(&mut app, 80, 24).contains("\n   495"));
    let text = picture(&mut typing(app, "get"), 80, 24);
    assert!(text.contains("stored on") && !text.contains("\n   495"), "{text}");
}

#[test]
fn each_state_of_a_transfer_looks_its_own_way_and_what_failed_is_not_all_there() {
    let mut app = fixture::eight();
    app.panel = Panel::Transfers;
    app.zoom = true;
    let states = [
        (TransferState::Queued, "queued"),
        (TransferState::Running, "running"),
        (TransferState::Paused, "paused"),
        (TransferState::Waiting, "waits"),
        (TransferState::Securing { copies: 1, wanted: 3 }, "1/3 copies"),
        (TransferState::Done, "done in"),
        (TransferState::Failed("no room".into()), "failed"),
        (TransferState::Cancelled, "cancelled"),
    ];
    let snapshot = Arc::make_mut(&mut app.nodes[0].snapshot);
    let pattern = snapshot.transfers[0].clone();
    snapshot.transfers = states
        .iter()
        .zip(1..)
        .map(|((state, _), number)| chordal_view::TransferRow {
            number,
            name: format!("file-{number}"),
            state: state.clone(),
            done: pattern.total,
            rate: 1,
            ended_ms: Some(52_000),
            ..pattern.clone()
        })
        .collect();
    for ascii in [false, true] {
        app.glyphs = if ascii { Glyphs::ascii() } else { Glyphs::unicode() };
        let mut glyphs = Vec::new();
        let wide = picture(&mut app, 160, 45);
        let narrow = picture(&mut app, 80, 24);
        app.zoom = false;
        let cramped = picture(&mut app, 80, 30);
        app.zoom = true;
        for ((state, word), number) in states.iter().zip(1..) {
            let line = |screen: &str| {
                let row = screen.lines().find(|row| row.contains(&format!("file-{number}")));
                row.unwrap_or_else(|| panic!("no file-{number} in\n{screen}")).to_owned()
            };
            let (wide, narrow, cramped) = (line(&wide), line(&narrow), line(&cramped));
            let in_full = *state == TransferState::Waiting && wide.contains("waiting for a source");
            assert!(wide.contains(word) || in_full, "{wide}");
            let whole = !matches!(state, TransferState::Failed(_) | TransferState::Cancelled);
            assert_eq!(wide.contains("100%"), whole, "{wide}");
            let short = match state {
                TransferState::Waiting => "waits",
                TransferState::Cancelled => "cancel",
                TransferState::Queued | TransferState::Paused | TransferState::Failed(_) => word,
                _ => "",
            };
            assert!(narrow.contains(short) && cramped.contains(short), "{narrow}\n{cramped}");
            let before = wide.split("file-").next().expect("it has a beginning").trim_end();
            glyphs.push(before.chars().last());
        }
        let apart: std::collections::BTreeSet<_> = glyphs.iter().collect();
        assert_eq!(apart.len(), states.len(), "{glyphs:?}");
    }
}
