//! What keys, nodes and signals do to the dashboard, told as stories.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Rect;

use chordal_core::id::{Id, Space};
use chordal_view::{
    Command, CommandError, Finger, Level, LookupRow, Membership, Outcome, Reason, Snapshot,
    TransferState, UiEvent,
};

use super::fixture;
use super::panel::Panel;
use super::reducer::UiEffect;
use super::state::{App, Confirmed, Focus, Overlay, Trail};

mod panels;
mod prompt;
pub(crate) mod registry;
mod results;
mod simulation;

fn refused(why: &str) -> CommandError {
    Reason::State.because(why)
}

fn app() -> App {
    of(fixture::member())
}

fn of(snapshot: Snapshot) -> App {
    fixture::started(vec![snapshot])
}

/// A lab of three nodes.
fn lab() -> App {
    let nodes = [2000, 2001, 2002];
    let node = |port| Snapshot { me: fixture::peer(port), ..fixture::member() };
    let mut app = fixture::started(nodes.map(node).to_vec());
    app.lab = true;
    app.focus = Focus::Panels;
    app
}

fn panels() -> App {
    let mut app = app();
    app.focus = Focus::Panels;
    app
}

fn key(app: &mut App, code: KeyCode) -> Vec<UiEffect> {
    app.key(KeyEvent::new(code, KeyModifiers::NONE))
}

fn control(app: &mut App, c: char) -> Vec<UiEffect> {
    app.key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL))
}

/// Types text; what the keys asked for, all together.
fn text(app: &mut App, text: &str) -> Vec<UiEffect> {
    text.chars().flat_map(|c| key(app, KeyCode::Char(c))).collect()
}

fn run(app: &mut App, line: &str) -> Vec<UiEffect> {
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
    UiEvent { unix_ms: 0, level: Level::Info, step: None, text: text.to_owned() }
}

fn submitted(done: &[UiEffect]) -> Vec<(usize, Command)> {
    done.iter()
        .filter_map(|one| match one {
            UiEffect::Submit { node, command, .. } => Some((*node, command.clone())),
            _ => None,
        })
        .collect()
}

proptest::proptest! {
    /// Whatever is pressed, nothing panics and every selection stays inside.
    #[test]
    fn no_keys_break_it(keys in proptest::collection::vec((0u8..140, 0u8..8), 0..200)) {
        let mut app = lab();
        let mut ticket = 0;
        let found = super::results::Listed::Search(Arc::new(fixture::search()));
        app.nodes[0].results = Some(super::results::Results::new(found));
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
                if let UiEffect::Submit { .. } = one {
                    app.reply(ticket, Ok(Outcome::Said { links: 0 }));
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
