//! The dashboard of registries: pictures of whole screens, what must hold at every
//! size, and the keys.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use crate::draw;
use crate::draw::tests::text_of;
use crate::panel::{Memory, Panel};
use crate::reducer::UiEffect;
use crate::state::{App, Focus, MAX_EVENTS, Overlay};
use crate::theme::{Glyphs, Theme};
use chordal_core::peer::Peer;
use chordal_view::{Level, Liveness, RegisteredPeer, RegistryState, Snapshot, UiEvent};

/// Seconds of the Unix epoch at which the pictures are taken.
const NOW: u64 = 1_763_726_643;

/// The sizes of three layouts, and that of a pane among many.
const SIZES: [(u16, u16); 4] = [(160, 45), (80, 24), (50, 12), (20, 4)];

fn peer(port: u16, index: u16) -> Peer {
    Peer::new(([127, 0, 0, 1], port).into(), index)
}

pub(crate) fn listed(port: u16) -> RegisteredPeer {
    RegisteredPeer {
        peer: peer(port, 0),
        ring: "chordal".to_owned(),
        member: true,
        since_unix_s: NOW - 3_725,
        checked_ms: Some(118_000),
        liveness: Liveness::Up,
    }
}

pub(crate) fn snapshot(port: u16, peers: Vec<RegisteredPeer>) -> Snapshot {
    let registry = RegistryState { check_ms: 5_000, subscribers: peers.len(), peers, refused: 0 };
    let registry = Some(registry);
    Snapshot { uptime_ms: 120_000, registry, ..Snapshot::empty(peer(port, 0)) }
}

pub(crate) fn event(number: u64) -> UiEvent {
    const LINES: [(Level, &str); 4] = [
        (Level::Info, "127.0.0.1:2000 came, on ring 'chordal'"),
        (Level::Info, "127.0.0.1:2003 left"),
        (Level::Warn, "127.0.0.1:2002 was removed: it did not answer two checks"),
        (Level::Detail, "127.0.0.1:2001 reports 127.0.0.1:2002 dead"),
    ];
    let (level, text) = LINES[(number % 4) as usize];
    let unix_ms = (NOW - 60 + number) * 1_000;
    UiEvent { unix_ms, level, step: None, text: format!("{text} ({number})") }
}

fn app(snapshots: Vec<Snapshot>) -> App {
    let snapshots = snapshots.into_iter().map(Arc::new).collect();
    let mut app = App::new(snapshots, Theme::standard(), Glyphs::unicode());
    (app.now, app.unix_s) = (Duration::from_secs(3), NOW);
    app
}

/// Three registries, of which the last has ended; peers in every state.
fn three() -> App {
    let late = RegisteredPeer { liveness: Liveness::Suspect, ..listed(2002) };
    let unseen = RegisteredPeer {
        peer: peer(2003, 2),
        liveness: Liveness::Suspect,
        checked_ms: None,
        since_unix_s: NOW - 2,
        ..listed(2003)
    };
    let other = RegisteredPeer { ring: "blue".to_owned(), member: false, ..listed(2001) };
    let mut first = snapshot(5000, vec![listed(2000), other, late, unseen]);
    first.events_dropped = 7;
    first.registry.as_mut().expect("a registry").refused = 2;
    let mut app = app(vec![first, snapshot(5001, vec![listed(2000)]), snapshot(5002, Vec::new())]);
    (0..30).for_each(|number| app.event(0, event(number)));
    app.ended(2);
    app
}

fn crowded() -> App {
    let rows = (0..300).map(|n| listed(2000 + n)).collect();
    app(vec![snapshot(5000, rows)])
}

/// The screen as text, trailing blanks cut.
fn picture(app: &mut App, width: u16, height: u16) -> String {
    app.memory = Memory::default();
    let backend = TestBackend::new(width, height);
    let mut terminal = Terminal::new(backend).expect("a test backend never fails");
    terminal.draw(|frame| draw::draw(frame, app)).expect("a test backend never fails");
    text_of(terminal.backend().buffer())
}

fn assert_pictures(name: &str, mut app: App) {
    for (width, height) in SIZES {
        let text = picture(&mut app, width, height);
        insta::assert_snapshot!(format!("{name}-{width}x{height}"), text);
    }
}

fn press(app: &mut App, code: KeyCode) -> Vec<UiEffect> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn type_char(app: &mut App, c: char) -> Vec<UiEffect> {
    press(app, KeyCode::Char(c))
}

#[test]
fn three_registries_one_of_which_has_ended() {
    assert_pictures("three", three());
    let mut ascii = three();
    ascii.glyphs = Glyphs::ascii();
    assert_pictures("three-ascii", ascii);
}

#[test]
fn a_registry_that_nobody_knows_yet() {
    assert_pictures("nobody", app(vec![snapshot(5000, Vec::new())]));
}

#[test]
fn more_peers_than_rows() {
    let mut app = crowded();
    press(&mut app, KeyCode::End);
    assert_pictures("crowded", app);
}

#[test]
fn the_help_lists_all_keys() {
    let mut app = three();
    type_char(&mut app, '?');
    assert_pictures("help", app);
}

#[test]
fn a_fault_is_seen_at_every_size_with_room_for_a_word() {
    let mut app = three();
    app.background_panic("a task \u{1b}broke");
    for (width, height) in SIZES {
        let text = picture(&mut app, width, height);
        assert!(text.contains("a task ?broke"), "{width}x{height}:\n{text}");
    }
}

#[test]
fn a_key_moves_between_registries_and_a_digit_goes_to_one() {
    let mut app = three();
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.shown, 1);
    press(&mut app, KeyCode::BackTab);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.shown, 2);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.shown, 0);
    type_char(&mut app, '3');
    assert_eq!(app.shown, 2);
    type_char(&mut app, '9');
    assert_eq!(app.shown, 2, "there is no ninth");
}

#[test]
fn a_selection_stays_with_its_peer_while_the_list_changes() {
    let mut app = app(vec![snapshot(5000, vec![listed(2000), listed(2005)])]);
    press(&mut app, KeyCode::Down);
    let more = (2000..2008).map(listed).collect();
    app.snapshot_changed(0, Arc::new(snapshot(5000, more)));
    let selected = |app: &App| app.tables[Panel::Peers.index()].selected;
    assert_eq!(selected(&app), 5);
    assert_eq!(type_char(&mut app, 'y'), [UiEffect::Copy("127.0.0.1:2005".to_owned())]);
    app.snapshot_changed(0, Arc::new(snapshot(5000, vec![listed(2001)])));
    assert_eq!(selected(&app), 0);
    app.snapshot_changed(0, Arc::new(snapshot(5000, Vec::new())));
    assert_eq!(type_char(&mut app, 'y'), [], "there is nobody to copy");
}

#[test]
fn a_frozen_picture_stands_still_and_then_catches_up() {
    let mut app = app(vec![snapshot(5000, vec![listed(2000)])]);
    type_char(&mut app, ' ');
    let frozen = picture(&mut app, 160, 45);
    app.now += Duration::from_secs(60);
    app.unix_s += 60;
    app.snapshot_changed(0, Arc::new(snapshot(5000, Vec::new())));
    app.event(0, event(1));
    let later = picture(&mut app, 160, 45);
    let rest = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    assert_eq!(rest(&later), rest(&frozen), "only the first row counts on");
    assert!(later.contains("FROZEN 1m 00s · +1 event"), "{later}");
    type_char(&mut app, ' ');
    let free = picture(&mut app, 160, 45);
    assert!(free.contains("Nobody is on the list yet") && free.contains("left (1)"), "{free}");
}

#[test]
fn ages_count_on_between_two_reports() {
    let mut app = app(vec![snapshot(5000, vec![listed(2000)])]);
    assert!(picture(&mut app, 160, 45).contains("5s ago"));
    app.now += Duration::from_secs(4);
    assert!(picture(&mut app, 160, 45).contains("9s ago"));
    app.ended(0);
    app.now += Duration::from_secs(4);
    assert!(picture(&mut app, 160, 45).contains("9s ago"), "an ended registry's clock stands");
}

#[test]
fn who_scrolled_back_keeps_the_lines_before_their_eyes() {
    let mut app = three();
    press(&mut app, KeyCode::Right);
    assert_eq!(app.panel, Panel::Events);
    (0..3).for_each(|_| drop(press(&mut app, KeyCode::Up)));
    assert_eq!(app.log.scrolled, 3);
    app.event(0, event(30));
    assert_eq!(app.log.scrolled, 4);
    assert!(!picture(&mut app, 160, 45).contains("(30)"));
    type_char(&mut app, 'f');
    assert!(picture(&mut app, 160, 45).contains("(30)"));
    press(&mut app, KeyCode::Home);
    assert!(picture(&mut app, 160, 45).contains("(0)"));
}

#[test]
fn events_are_bounded_and_clean() {
    let mut app = app(vec![snapshot(5000, Vec::new())]);
    for number in 0..MAX_EVENTS as u64 + 10 {
        let text = format!("\u{1b}[2J{number}");
        app.event(0, UiEvent { text, ..event(number) });
    }
    assert_eq!(app.nodes[0].events.len(), MAX_EVENTS);
    assert_eq!(app.nodes[0].events[0].text, "?[2J10");
}

#[test]
fn q_closes_what_is_open_before_it_ends_the_program() {
    let mut app = three();
    type_char(&mut app, 'z');
    type_char(&mut app, '?');
    assert!(matches!(app.overlay, Some(Overlay::Help { .. })));
    assert_eq!(type_char(&mut app, 'q'), []);
    assert!(app.overlay.is_none() && app.zoom);
    assert_eq!(type_char(&mut app, 'q'), []);
    assert!(!app.zoom);
    assert_eq!(type_char(&mut app, 'q'), [UiEffect::Leave]);
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    let mut app = three();
    type_char(&mut app, '?');
    assert_eq!(app.key(interrupt), [UiEffect::Leave], "at any time");
}

#[test]
fn there_is_no_prompt_to_type_into() {
    let mut app = three();
    press(&mut app, KeyCode::Esc);
    type_char(&mut app, ':');
    press(&mut app, KeyCode::Enter);
    app.paste("quit");
    assert_eq!((app.focus, app.prompt.input.value()), (Focus::Panels, ""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn no_size_and_no_keys_panic(
        width in 0u16..200,
        height in 0u16..60,
        which in 0usize..3,
        keys in proptest::collection::vec(
            prop::sample::select(vec![
                KeyCode::Tab, KeyCode::BackTab, KeyCode::Left, KeyCode::Up, KeyCode::Down,
                KeyCode::PageUp, KeyCode::PageDown, KeyCode::Home, KeyCode::End, KeyCode::Esc,
                KeyCode::Char('z'), KeyCode::Char('?'), KeyCode::Char(' '), KeyCode::Char('f'),
                KeyCode::Char('y'), KeyCode::Char('2'),
            ]),
            0..8,
        ),
    ) {
        let mut app = match which {
            0 => three(),
            1 => crowded(),
            _ => app(vec![snapshot(5000, Vec::new())]),
        };
        for key in keys {
            press(&mut app, key);
        }
        let text = picture(&mut app, width, height);
        // Whatever fits: a screen of some size is never blank.
        prop_assert!(width < 6 || height == 0 || !text.trim().is_empty());
        let few = snapshot(5000, vec![listed(2000)]);
        app.snapshot_changed(0, Arc::new(few));
        picture(&mut app, width, height);
    }
}
