//! How the dashboard takes in what nodes report: snapshots, events, and the
//! ends of commands.
//!
//! Texts that may come from other nodes are cleaned here once more, so that
//! nothing behind this point can send a control character to the terminal.

use std::collections::VecDeque;
use std::sync::Arc;

use chordal_view::text::{self, clean};
use chordal_view::{CommandError, Level, Membership, Outcome, Snapshot, TransferState, UiEvent};

use super::panel::Panel;
use super::results;
use super::state::{App, MAX_EVENTS, Message, NodeTab, Overlay, Trail};

/// Lines of a lookup's answer that still fit below the prompt, so that its
/// hops can be watched on the ring.
const MAX_MESSAGE_LINES: usize = 6;

impl App {
    /// A node published a new snapshot.
    pub fn snapshot_changed(&mut self, node: usize, snapshot: Arc<Snapshot>) {
        let row = self.registered_row(node, &snapshot);
        let Some(tab) = self.nodes.get_mut(node) else { return };
        let old = std::mem::replace(&mut tab.snapshot, cleaned(snapshot));
        tab.at = self.now;
        let before = old.lookup.as_ref().map(|lookup| lookup.number);
        let lookup = tab.snapshot.lookup.as_ref().map(|lookup| lookup.number);
        self.results_changed(node, &old);
        if node != self.shown {
            return;
        }
        match lookup {
            Some(number) if before != lookup => {
                self.trail = Some(Trail { number, since: self.now });
            }
            None => self.trail = None,
            Some(_) => {}
        }
        if let Some(row) = row {
            self.tables[Panel::Peers.index()].selected = row;
        }
        keep_selections(self);
    }

    /// Where the selected peer of a registry stands in the registry's new list. A first
    /// row is not followed: it is selected where the user has selected nothing.
    fn registered_row(&self, node: usize, after: &Snapshot) -> Option<usize> {
        let at = self.tables[Panel::Peers.index()].selected;
        let before = self.nodes.get(node).filter(|_| node == self.shown && at > 0)?;
        let peer = before.snapshot.registry.as_ref()?.peers.get(at)?.peer;
        after.registry.as_ref()?.peers.iter().position(|row| row.peer == peer)
    }

    /// A node or registry is gone for good. A registry shows its last list as such, and
    /// its age stands still.
    pub(super) fn ended(&mut self, node: usize) {
        let Some(tab) = self.nodes.get_mut(node).filter(|tab| tab.snapshot.registry.is_some())
        else {
            return;
        };
        let snapshot = Arc::make_mut(&mut tab.snapshot);
        snapshot.uptime_ms += self.now.saturating_sub(tab.at).as_millis() as u64;
        snapshot.membership = Membership::Down;
    }

    /// One more node came into the lab.
    pub fn node_added(&mut self, snapshot: Arc<Snapshot>) {
        let (id, place) =
            (snapshot.space.show(snapshot.me.id(snapshot.space)), self.nodes.len() + 1);
        self.nodes.push(NodeTab { at: self.now, ..NodeTab::new(cleaned(snapshot)) });
        self.tell(Level::Info, format!("node {place}, {id}, joins the ring; n and N go to it"));
    }

    /// A node told an event. While the picture is frozen it waits.
    pub fn event(&mut self, node: usize, mut event: UiEvent) {
        if let std::borrow::Cow::Owned(text) = clean(&event.text) {
            event.text = text;
        }
        match &mut self.frozen {
            Some(frozen) => {
                frozen.events += usize::from(node == self.shown);
                push(&mut self.control.held, (node, event));
            }
            None => self.show_event(node, event),
        }
    }

    /// Lets the events come that waited while the picture was frozen.
    pub(super) fn release_held(&mut self) {
        for (node, event) in std::mem::take(&mut self.control.held) {
            self.show_event(node, event);
        }
    }

    fn show_event(&mut self, node: usize, event: UiEvent) {
        let scrolled = node == self.shown && self.log.scrolled > 0 && self.log.shows(&event);
        let Some(tab) = self.nodes.get_mut(node) else { return };
        push(&mut tab.events, event);
        if scrolled {
            // The lines under the reader's eyes stay where they are.
            self.log.unseen += 1;
            self.log.scrolled = (self.log.scrolled + 1).min(self.rows(Panel::Events) - 1);
        }
    }

    /// A command ended.
    pub fn reply(&mut self, ticket: u64, result: Result<Outcome, CommandError>) {
        let running = &mut self.control.running;
        let Some(at) = running.iter().position(|running| running.ticket == ticket) else {
            return;
        };
        let ended = running.remove(at);
        self.show_running();
        let whose = match self.nodes.get(ended.node) {
            Some(tab) if ended.node != self.shown => {
                let snapshot = &tab.snapshot;
                format!("{}: ", snapshot.space.show(snapshot.me.id(snapshot.space)))
            }
            _ => String::new(),
        };
        match result {
            Err(error) => {
                // Of an older command it is said which one failed.
                let older = ticket + 1 != self.control.next_ticket;
                let which = if older { format!("{}: ", ended.line) } else { String::new() };
                self.tell(
                    Level::Error,
                    format!("{whose}{which}{}", clean_lines(&error.to_string())),
                );
            }
            Ok(outcome) => {
                let Some(outcome) = self.results_ended(ended.node, &ended.line, outcome) else {
                    return;
                };
                let mut lines = text::lines(&outcome);
                let lookup = matches!(outcome, Outcome::Lookup { .. });
                let brief = lines.len() == 1 || (lookup && lines.len() <= MAX_MESSAGE_LINES);
                let free =
                    matches!(self.overlay, None | Some(Overlay::Output { .. } | Overlay::Results));
                if brief && !always_long(&outcome) {
                    self.tell(Level::Info, format!("{whose}{}", lines.join("\n")));
                } else if free {
                    let title = format!("{whose}{}", ended.line);
                    self.overlay = Some(Overlay::Output { title, lines, scroll: 0 });
                    self.prompt.message = None;
                } else {
                    let more = lines.len() - 1;
                    lines.truncate(1);
                    let first = lines.concat();
                    self.tell(Level::Info, format!("{whose}{first} … {more} more"));
                }
            }
        }
    }

    /// A task of the background panicked.
    pub fn background_panic(&mut self, what: &str) {
        self.banner = Some(clean(what).into_owned());
    }

    pub(super) fn show_running(&mut self) {
        self.prompt.running = match self.control.running.as_slice() {
            [] => None,
            [one] => Some(one.line.clone()),
            [older @ .., last] => Some(format!("{} (and {} more)", last.line, older.len())),
        };
    }
}

/// Lists are shown as lists even when they happen to be short.
fn always_long(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Info(_) | Outcome::Ring { .. } | Outcome::Fingers { .. })
}

/// Keeps every selection inside its table when the tables have changed.
pub(super) fn keep_selections(app: &mut App) {
    for panel in Panel::ALL {
        let last = app.rows(panel).saturating_sub(1);
        let table = &mut app.tables[panel.index()];
        table.selected = table.selected.min(last);
        table.offset = table.offset.min(last);
    }
}

fn push<T>(queue: &mut VecDeque<T>, item: T) {
    if queue.len() == MAX_EVENTS {
        queue.pop_front();
    }
    queue.push_back(item);
}

/// Messages may have several lines; each is cleaned for itself.
fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// The snapshot with every foreign text cleaned; the same one when all were.
fn cleaned(mut snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
    let dirty = |text: &str| matches!(clean(text), std::borrow::Cow::Owned(_));
    let foreign = [Some(&snapshot.ring), Some(&snapshot.version), snapshot.fault.as_ref()];
    let lookup = snapshot.lookup.as_ref().map(|lookup| &lookup.text);
    let transfer = |row: &chordal_view::TransferRow| {
        dirty(&row.name) || matches!(&row.state, TransferState::Failed(why) if dirty(why))
    };
    let peer = |row: &chordal_view::PeerRow| row.why.as_deref().is_some_and(dirty);
    let registry = |row: &chordal_view::RegistryRow| row.note.as_deref().is_some_and(dirty);
    let any = foreign.into_iter().flatten().chain(lookup).any(|text| dirty(text))
        || snapshot.transfers.iter().any(transfer)
        || snapshot.peers.iter().any(peer)
        || snapshot.registries.iter().any(registry)
        || snapshot.search.as_deref().is_some_and(results::needs_cleaning_search)
        || snapshot.scan.as_deref().is_some_and(results::needs_cleaning_scan);
    if any {
        let wash = |text: &mut String| *text = clean(text).into_owned();
        let snapshot = Arc::make_mut(&mut snapshot);
        wash(&mut snapshot.ring);
        wash(&mut snapshot.version);
        snapshot.fault.iter_mut().for_each(wash);
        snapshot.lookup.iter_mut().for_each(|lookup| wash(&mut lookup.text));
        for row in &mut snapshot.transfers {
            wash(&mut row.name);
            if let TransferState::Failed(why) = &mut row.state {
                wash(why);
            }
        }
        if snapshot.peers.iter().any(peer) {
            let peers = Arc::make_mut(&mut snapshot.peers);
            peers.iter_mut().filter_map(|row| row.why.as_mut()).for_each(wash);
        }
        snapshot.registries.iter_mut().filter_map(|row| row.note.as_mut()).for_each(wash);
        if let Some(row) = &mut snapshot.search {
            results::clean_search(Arc::make_mut(row));
        }
        if let Some(row) = &mut snapshot.scan {
            results::clean_scan(Arc::make_mut(row));
        }
    }
    snapshot
}

/// The line that stands below the prompt at the start.
pub(super) fn first_message(text: &str) -> Message {
    Message { level: Level::Info, text: clean_lines(text) }
}
