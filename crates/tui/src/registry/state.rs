//! Everything that a frame is drawn from, and how keys and reports change it.
//! Pure: what has to be done outside comes back as a [`Do`].

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::keys::{self, Action};
use crate::draw::Class;
use crate::state::{MAX_EVENTS, TableState};
use crate::theme::{Glyphs, Theme};
use chordal_view::UiEvent;
use chordal_view::registry::{RegisteredPeer, RegistrySnapshot};
use chordal_view::text::clean;

/// Rows that PgUp and PgDn go.
const PAGE: usize = 10;

/// What the loop has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Do {
    /// End the dashboard.
    End,
    /// Stop the process.
    Suspend,
    /// Draw every cell anew.
    Repaint,
    /// Put this onto the clipboard.
    Copy(String),
}

/// A panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    /// The list.
    Peers,
    /// What happened.
    Events,
}

/// A registry.
#[derive(Debug)]
pub(super) struct Tab {
    /// The picture that is shown.
    pub(super) snapshot: Arc<RegistrySnapshot>,
    /// When it arrived, on the dashboard's clock.
    pub(super) seen: Duration,
    /// The latest one, while the picture is frozen.
    latest: Option<(Arc<RegistrySnapshot>, Duration)>,
    /// Its latest events, oldest first, at most [`MAX_EVENTS`].
    pub(super) events: VecDeque<UiEvent>,
    /// Events that came while the picture is frozen.
    held: VecDeque<UiEvent>,
    /// The selected peer.
    pub(super) table: TableState,
    /// Events between the newest and the last one that is seen.
    pub(super) scrolled: usize,
    /// The registry has ended; what is shown is what it knew last.
    pub(super) ended: bool,
}

/// A picture that stands still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frozen {
    /// Since when, on the dashboard's clock.
    pub(super) since: Duration,
    /// Since when, in seconds of the Unix epoch.
    unix_s: u64,
}

/// The whole state.
#[derive(Debug)]
pub(super) struct App {
    /// The registries; at least one.
    pub(super) tabs: Vec<Tab>,
    /// The one that is shown.
    pub(super) shown: usize,
    /// Where the keys go.
    pub(super) panel: Panel,
    /// The focused panel fills the screen.
    pub(super) zoom: bool,
    /// The list of keys is open, scrolled by as many lines.
    pub(super) help: Option<usize>,
    /// The picture stands still.
    pub(super) frozen: Option<Frozen>,
    /// What failed in the background.
    pub(super) banner: Option<String>,
    /// What the last key came to; goes with the next one.
    pub(super) message: Option<String>,
    /// Since the dashboard's start.
    pub(super) now: Duration,
    /// Seconds since the Unix epoch.
    pub(super) unix_s: u64,
    /// The class of the last layout.
    pub(super) class: Option<Class>,
    /// Colours.
    pub(super) theme: Theme,
    /// Characters.
    pub(super) glyphs: Glyphs,
}

impl App {
    /// The state at the start; `snapshots` must not be empty.
    pub(super) fn new(snapshots: Vec<Arc<RegistrySnapshot>>, theme: Theme, glyphs: Glyphs) -> App {
        let tab = |snapshot| Tab {
            snapshot,
            seen: Duration::ZERO,
            latest: None,
            events: VecDeque::new(),
            held: VecDeque::new(),
            table: TableState::default(),
            scrolled: 0,
            ended: false,
        };
        App {
            tabs: snapshots.into_iter().map(tab).collect(),
            shown: 0,
            panel: Panel::Peers,
            zoom: false,
            help: None,
            frozen: None,
            banner: None,
            message: None,
            now: Duration::ZERO,
            unix_s: 0,
            class: None,
            theme,
            glyphs,
        }
    }

    /// The registry that is shown.
    pub(super) fn tab(&self) -> Option<&Tab> {
        self.tabs.get(self.shown)
    }

    /// Milliseconds since the shown registry's start, at the moment that the
    /// picture stands for.
    pub(super) fn uptime_ms(&self, tab: &Tab) -> u64 {
        let moment = self.frozen.map_or(self.now, |frozen| frozen.since);
        let since = if tab.ended { Duration::ZERO } else { moment.saturating_sub(tab.seen) };
        tab.snapshot.uptime_ms.saturating_add(since.as_millis() as u64)
    }

    /// Seconds since the Unix epoch, at the moment that the picture stands for.
    pub(super) fn moment_unix_s(&self) -> u64 {
        self.frozen.map_or(self.unix_s, |frozen| frozen.unix_s)
    }

    /// Events that wait behind the frozen picture of the shown registry.
    pub(super) fn held(&self) -> usize {
        self.tab().map_or(0, |tab| tab.held.len())
    }

    /// A registry published a new snapshot. `true`: the picture changed.
    pub(super) fn snapshot_changed(&mut self, at: usize, snapshot: Arc<RegistrySnapshot>) -> bool {
        let (now, frozen) = (self.now, self.frozen.is_some());
        let Some(tab) = self.tabs.get_mut(at) else { return false };
        if frozen {
            tab.latest = Some((snapshot, now));
        } else {
            tab.take(snapshot, now);
        }
        // The row of tabs has a number of every registry.
        !frozen
    }

    /// A registry told an event. `true`: the picture changed.
    pub(super) fn event(&mut self, at: usize, mut event: UiEvent) -> bool {
        if let Cow::Owned(text) = clean(&event.text) {
            event.text = text;
        }
        let Some(tab) = self.tabs.get_mut(at) else { return false };
        if self.frozen.is_some() {
            push(&mut tab.held, event);
        } else {
            tab.tell(event);
        }
        // A frozen picture counts what it does not show.
        at == self.shown
    }

    /// A registry is gone for good.
    pub(super) fn ended(&mut self, at: usize) {
        let uptime = self.tabs.get(at).map(|tab| self.uptime_ms(tab));
        if let (Some(tab), Some(uptime)) = (self.tabs.get_mut(at), uptime) {
            tab.ended = true;
            // Its clock stands still.
            Arc::make_mut(&mut tab.snapshot).uptime_ms = uptime;
        }
    }

    /// A task of the background panicked.
    pub(super) fn background_panic(&mut self, what: &str) {
        self.banner = Some(clean(what).into_owned());
    }

    /// A key was pressed.
    pub(super) fn key(&mut self, event: KeyEvent) -> Option<Do> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        self.message = None;
        if event.code == KeyCode::Esc {
            self.close();
            return None;
        }
        if let KeyCode::Char(digit @ '1'..='9') = event.code
            && event.modifiers == KeyModifiers::NONE
            && self.help.is_none()
        {
            self.show(digit as usize - '1' as usize);
            return None;
        }
        let action = keys::action(event)?;
        match action {
            Action::End => return Some(Do::End),
            Action::Suspend => return Some(Do::Suspend),
            Action::Repaint => return Some(Do::Repaint),
            Action::Close => return (!self.close()).then_some(Do::End),
            Action::Help => self.help = if self.help.is_some() { None } else { Some(0) },
            _ if self.help.is_some() => self.scroll_help(action),
            Action::NextRegistry => self.show((self.shown + 1) % self.tabs.len().max(1)),
            Action::PreviousRegistry => {
                self.show(self.shown.checked_sub(1).unwrap_or(self.tabs.len().saturating_sub(1)));
            }
            Action::OtherPanel => {
                self.panel = match self.panel {
                    Panel::Peers => Panel::Events,
                    Panel::Events => Panel::Peers,
                };
            }
            Action::Zoom => self.zoom = !self.zoom,
            Action::Freeze => self.freeze(),
            Action::Follow => {
                if let Some(tab) = self.tabs.get_mut(self.shown) {
                    tab.scrolled = 0;
                }
            }
            Action::Copy => {
                let tab = self.tab()?;
                let address = tab.selected()?.peer.address().to_string();
                self.message = Some(format!("copied {address}"));
                return Some(Do::Copy(address));
            }
            Action::Up
            | Action::Down
            | Action::PageUp
            | Action::PageDown
            | Action::First
            | Action::Last => self.go(action),
        }
        None
    }

    /// Closes what lies open; `false`: nothing did.
    fn close(&mut self) -> bool {
        if self.help.take().is_some() {
            return true;
        }
        if self.frozen.is_some() {
            self.freeze();
            return true;
        }
        std::mem::take(&mut self.zoom)
    }

    fn show(&mut self, at: usize) {
        if at < self.tabs.len() {
            self.shown = at;
        }
    }

    fn freeze(&mut self) {
        if self.frozen.take().is_none() {
            self.frozen = Some(Frozen { since: self.now, unix_s: self.unix_s });
            return;
        }
        for tab in &mut self.tabs {
            if let Some((snapshot, seen)) = tab.latest.take() {
                tab.take(snapshot, seen);
            }
            for event in std::mem::take(&mut tab.held) {
                tab.tell(event);
            }
        }
    }

    fn scroll_help(&mut self, action: Action) {
        if let Some(scroll) = &mut self.help {
            // Drawing keeps it inside the text.
            *scroll = step(*scroll, action, keys::list().len());
        }
    }

    fn go(&mut self, action: Action) {
        let panel = self.panel;
        let Some(tab) = self.tabs.get_mut(self.shown) else { return };
        match panel {
            Panel::Peers => {
                tab.table.selected = step(tab.table.selected, action, tab.snapshot.peers.len());
            }
            Panel::Events => {
                // Counted from the newest, at the bottom.
                let last = tab.events.len().saturating_sub(1);
                let from_top = step(last - tab.scrolled.min(last), action, tab.events.len());
                tab.scrolled = last - from_top;
            }
        }
    }
}

impl Tab {
    /// The selected peer.
    fn selected(&self) -> Option<&RegisteredPeer> {
        self.snapshot.peers.get(self.table.selected)
    }

    /// Shows a snapshot; the selection stays with its peer.
    fn take(&mut self, snapshot: Arc<RegistrySnapshot>, seen: Duration) {
        let selected = self.selected().map(|row| row.peer);
        let place = |peer| snapshot.peers.iter().position(|row| row.peer == peer);
        let last = snapshot.peers.len().saturating_sub(1);
        self.table.selected = match selected {
            // The first row is where nobody has chosen yet.
            Some(peer) if self.table.selected > 0 => {
                place(peer).unwrap_or(self.table.selected.min(last))
            }
            _ => 0,
        };
        (self.snapshot, self.seen) = (snapshot, seen);
    }

    fn tell(&mut self, event: UiEvent) {
        push(&mut self.events, event);
        if self.scrolled > 0 {
            // The lines under the reader's eyes stay where they are.
            self.scrolled = (self.scrolled + 1).min(self.events.len() - 1);
        }
    }
}

/// One step among some rows.
fn step(at: usize, action: Action, rows: usize) -> usize {
    let last = rows.saturating_sub(1);
    match action {
        Action::Up => at.saturating_sub(1),
        Action::Down => at.saturating_add(1).min(last),
        Action::PageUp => at.saturating_sub(PAGE),
        Action::PageDown => at.saturating_add(PAGE).min(last),
        Action::First => 0,
        Action::Last => last,
        _ => at,
    }
}

fn push(events: &mut VecDeque<UiEvent>, event: UiEvent) {
    if events.len() == MAX_EVENTS {
        events.pop_front();
    }
    events.push_back(event);
}
