//! How keys change the dashboard: pure transitions of [`App`].
//!
//! A transition changes the state and returns what is to be done outside of it
//! ([`UiEffect`]); the event loop does it. Nothing here knows a terminal or a clock.
//! Keys of the command line are in `prompt`, what nodes report in `ingest`.

use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{
    KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::layout::Position;

use chordal_core::peer::Peer;
use chordal_view::command::{Command, quote};
use chordal_view::{
    Level, Membership, Neighbour, Snapshot, TransferRow, TransferState, UiEvent, transfers,
};

use super::SimulationRequest;
use super::action::{self, Action};
use super::explain;
use super::ingest;
use super::panel::{PAGE, Panel, moved};
use super::state::{App, Confirmed, Focus, Frozen, Message, NodeTab, Overlay};

/// Rows that one notch of the wheel moves.
const NOTCH: isize = 3;

/// What the event loop has to do for the reducer.
#[derive(Clone, Debug, PartialEq)]
pub enum UiEffect {
    /// Hand a command to a node; its end comes back with the ticket.
    Submit {
        /// Which node.
        node: usize,
        /// The command's number.
        ticket: u64,
        /// What to do.
        command: Command,
    },
    /// Append a line to the history's file.
    Remember(String),
    /// Leave the ring with every node, then end.
    Leave,
    /// End now.
    EndNow,
    /// Give the terminal back and stop until the shell continues the process.
    Suspend,
    /// Draw everything again.
    Repaint,
    /// Switch the mouse on or off.
    Mouse(bool),
    /// Put text onto the clipboard.
    Copy(String),
    /// Write JSON into the working directory.
    Export {
        /// The file's name.
        name: String,
        /// The shown snapshot.
        json: String,
    },
    /// Kill this node of the lab.
    Kill(usize),
    /// Start this node of the lab again.
    Restart(usize),
    /// Add a node to the lab.
    Add,
    /// Ask the simulation for something.
    Simulate(SimulationRequest),
}

/// A second signal within this time repeats the first: shells and
/// `timeout` signal a process and its group.
pub const SAME_WISH: Duration = Duration::from_secs(1);

impl App {
    /// A key was pressed.
    pub fn key(&mut self, key: KeyEvent) -> Vec<UiEffect> {
        if key.kind == KeyEventKind::Release {
            return Vec::new();
        }
        if let Some(done) = self.everywhere(key) {
            return done;
        }
        match &self.overlay {
            Some(Overlay::Leaving { .. }) => return Vec::new(),
            Some(Overlay::Confirm { .. }) => return self.confirm_key(key),
            Some(Overlay::Help { .. }) => {
                self.help_key(key);
                return Vec::new();
            }
            Some(Overlay::Output { .. } | Overlay::Results) | None => {}
        }
        if let Some(done) = self.results_key(key).or_else(|| self.output_key(key)) {
            return done;
        }
        match self.focus {
            Focus::Prompt => self.prompt_key(key),
            Focus::Panels => self.panel_key(key),
        }
    }

    /// Text was pasted: it is typed, never carried out.
    pub fn paste(&mut self, text: &str) {
        let text = chordal_view::text::clean(text.trim_end_matches(['\r', '\n']));
        let registry = self.is_registry();
        match (&mut self.overlay, self.focus) {
            (Some(Overlay::Help { filter, scroll }), _) => {
                filter.push_str(&text);
                *scroll = 0;
            }
            (Some(Overlay::Confirm { .. } | Overlay::Leaving { .. }), _) => {}
            (_, Focus::Panels) if self.control.searching_log => {
                self.log.search.get_or_insert_default().push_str(&text);
            }
            _ if registry => {}
            _ => {
                self.focus = Focus::Prompt;
                self.insert(&text);
            }
        }
    }

    /// The mouse was clicked or its wheel turned.
    pub fn mouse(&mut self, event: MouseEvent) {
        let at = Position::new(event.column, event.row);
        let under = self.areas.iter().find(|(_, area)| area.contains(at)).map(|(panel, _)| *panel);
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) if self.overlay.is_none() => {
                if let Some(panel) = under {
                    self.panel = panel;
                    self.focus = Focus::Panels;
                }
            }
            MouseEventKind::Down(MouseButton::Left) => self.click_result(at),
            MouseEventKind::ScrollUp => self.wheel(under, -NOTCH),
            MouseEventKind::ScrollDown => self.wheel(under, NOTCH),
            _ => {}
        }
    }

    /// A signal asked the program to end: never a question.
    pub fn terminate(&mut self) -> Vec<UiEffect> {
        if let Some(Overlay::Leaving { since }) = self.overlay {
            let again = self.now.saturating_sub(since) > SAME_WISH;
            return if again { vec![UiEffect::EndNow] } else { Vec::new() };
        }
        self.overlay = Some(Overlay::Leaving { since: self.now });
        vec![UiEffect::Leave]
    }

    /// `quit`: asks first when files are held.
    pub(super) fn quit(&mut self) -> Vec<UiEffect> {
        // A simulation or a registry holds no files that could be lost.
        if self.simulation().is_some() || self.is_registry() {
            return self.terminate();
        }
        let question =
            if self.nodes.len() > 1 { self.lab_question() } else { self.leave_question() };
        match question {
            Some(question) => {
                let action = Confirmed::Quit;
                self.overlay = Some(Overlay::Confirm { question, action });
                Vec::new()
            }
            None => self.terminate(),
        }
    }

    /// Where the files of the shown node would go, if it has any to hand over.
    pub(super) fn leave_question(&self) -> Option<String> {
        let snapshot = &self.nodes[self.shown].snapshot;
        let on_a_ring = matches!(snapshot.membership, Membership::Member | Membership::Joining);
        // The node's other places leave with it.
        let host = snapshot.me.address();
        let stays = |heir: &&Neighbour| on_a_ring && heir.peer.address() != host;
        let heir = snapshot.successors.iter().find(stays)?;
        let heir = snapshot.space.show(heir.peer.id(snapshot.space));
        match snapshot.files.kept() {
            0 => None,
            1 => Some(format!("leave: 1 file goes to {heir}")),
            files => Some(format!("leave: {files} files go to {heir}")),
        }
    }

    fn lab_question(&self) -> Option<String> {
        let up = |snapshot: &&Snapshot| snapshot.membership != Membership::Down;
        let live = || self.nodes.iter().map(|node| &*node.snapshot).filter(up);
        let files: usize = live().map(|snapshot| snapshot.files.kept()).sum();
        (files > 0).then(|| format!("quit: all {} nodes end, with {files} copies", live().count()))
    }

    /// Keys that work in every state.
    fn everywhere(&mut self, key: KeyEvent) -> Option<Vec<UiEffect>> {
        let searching = self.focus == Focus::Prompt && self.prompt.search.is_some();
        if !key.modifiers.contains(KeyModifiers::CONTROL)
            || (searching && key.code == KeyCode::Char('c'))
        {
            return None;
        }
        match action::action(self, key)? {
            Action::Leave => Some(self.terminate()),
            Action::Repaint => Some(vec![UiEffect::Repaint]),
            Action::Suspend => Some(vec![UiEffect::Suspend]),
            _ => None,
        }
    }

    fn confirm_key(&mut self, key: KeyEvent) -> Vec<UiEffect> {
        match key.code {
            KeyCode::Char('y' | 'Y') => {
                let Some(Overlay::Confirm { action, .. }) = self.overlay.take() else {
                    return Vec::new();
                };
                match action {
                    Confirmed::Run(line) => self.run_confirmed(&line),
                    Confirmed::Quit => self.terminate(),
                    Confirmed::Kill => vec![UiEffect::Kill(self.shown)],
                }
            }
            KeyCode::Char('n' | 'N' | 'q') | KeyCode::Esc | KeyCode::Enter => {
                self.overlay = None;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn help_key(&mut self, key: KeyEvent) {
        let Some(Overlay::Help { filter, scroll }) = &mut self.overlay else { return };
        match key.code {
            KeyCode::Esc | KeyCode::F(1) => self.overlay = None,
            KeyCode::Char('q') if filter.is_empty() => self.overlay = None,
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => {
                filter.push(c);
                *scroll = 0;
            }
            KeyCode::Backspace => {
                filter.pop();
                *scroll = 0;
            }
            // The drawing code knows how long the list is and holds the scroll.
            code => scroll_key(code, scroll, usize::MAX),
        }
    }

    /// Handles a key while an answer is open. `None`: the key is meant
    /// for what is below it. At the prompt typing goes on meanwhile.
    fn output_key(&mut self, key: KeyEvent) -> Option<Vec<UiEffect>> {
        let Some(Overlay::Output { lines, scroll, .. }) = &mut self.overlay else {
            return None;
        };
        let typing = self.focus == Focus::Prompt;
        let empty = self.prompt.input.value().is_empty();
        let code = match key.code {
            KeyCode::Esc => KeyCode::Esc,
            KeyCode::Enter | KeyCode::Char('q') if !typing || empty => {
                self.control.closed_by_q = typing && key.code == KeyCode::Char('q');
                KeyCode::Esc
            }
            KeyCode::PageUp | KeyCode::PageDown => key.code,
            KeyCode::Up | KeyCode::Down if !typing || empty => key.code,
            KeyCode::Home | KeyCode::End if !typing => key.code,
            KeyCode::Char('k') if !typing => KeyCode::Up,
            KeyCode::Char('j') if !typing => KeyCode::Down,
            // No command starts with a y.
            KeyCode::Char('y') if !typing || empty => {
                let text = lines.join("\n");
                self.tell(Level::Info, "copied the answer");
                return Some(vec![UiEffect::Copy(text)]);
            }
            _ => return None,
        };
        if code == KeyCode::Esc {
            self.overlay = None;
        } else {
            scroll_key(code, scroll, lines.len());
        }
        Some(Vec::new())
    }

    fn panel_key(&mut self, key: KeyEvent) -> Vec<UiEffect> {
        if self.control.searching_log {
            self.search_key(key);
            return Vec::new();
        }
        if key.code == KeyCode::Esc {
            self.escape();
            return Vec::new();
        }
        if let KeyCode::Char(digit @ '1'..='9') = key.code
            && self.is_registry()
        {
            self.show(digit as usize - '1' as usize);
            return Vec::new();
        }
        match action::action(self, key) {
            Some(action) => {
                // An answer was read when the next key is pressed.
                self.prompt.message = None;
                self.act(action)
            }
            None => Vec::new(),
        }
    }

    /// Esc in the panels takes one thing back; at last it leads to the prompt.
    fn escape(&mut self) {
        if self.log.search.is_some() {
            self.log.search = None;
        } else if !self.close_panel() && !self.is_registry() {
            self.focus = Focus::Prompt;
        }
    }

    /// Undoes the zoom, or in the dashboard of registries first the freeze. Returns true
    /// if there was one.
    fn close_panel(&mut self) -> bool {
        if self.is_registry() && self.frozen.is_some() {
            self.freeze();
            return true;
        }
        std::mem::take(&mut self.zoom)
    }

    fn search_key(&mut self, key: KeyEvent) {
        let search = self.log.search.get_or_insert_default();
        match key.code {
            KeyCode::Enter => {
                self.control.searching_log = false;
                if search.is_empty() {
                    self.log.search = None;
                }
            }
            KeyCode::Esc => {
                self.control.searching_log = false;
                self.log.search = None;
            }
            KeyCode::Backspace => {
                search.pop();
            }
            KeyCode::Char(c) if !key.modifiers.contains(KeyModifiers::CONTROL) => search.push(c),
            _ => {}
        }
        (self.log.scrolled, self.log.unseen) = (0, 0);
    }

    /// Carries out an action.
    pub(super) fn act(&mut self, action: Action) -> Vec<UiEffect> {
        if let Some(line) = explain::command(action).filter(|_| self.explain) {
            self.tell(Level::Info, format!("the same as the command: {line}"));
        }
        match action {
            Action::Prompt => self.focus = Focus::Prompt,
            Action::Help => self.open_help(),
            Action::Close => return self.close(),
            Action::Zoom => self.zoom = !self.zoom,
            Action::Freeze => self.freeze(),
            Action::NextPanel => self.cycle_panel(1),
            Action::PreviousPanel => self.cycle_panel(self.panels().len() - 1),
            Action::Panel(panel) => self.panel = panel,
            Action::Up => self.select(self.panel, -1),
            Action::Down => self.select(self.panel, 1),
            Action::PageUp => self.select(self.panel, -PAGE),
            Action::PageDown => self.select(self.panel, PAGE),
            Action::First => self.select(self.panel, isize::MIN),
            Action::Last => self.select(self.panel, isize::MAX),
            Action::Search => {
                self.panel = Panel::Events;
                self.control.searching_log = true;
                self.log.search = Some(String::new());
            }
            Action::Level => self.next_level(),
            Action::Follow => (self.log.scrolled, self.log.unseen) = (0, 0),
            Action::Copy => return self.copy(),
            Action::Cancel => return self.steer(|_| "cancel"),
            Action::Pause => {
                return self.steer(|row| match row.state {
                    TransferState::Paused => "resume",
                    _ => "pause",
                });
            }
            Action::Disconnect => return self.disconnect(),
            Action::Results => self.reopen_results(),
            Action::Export => return self.export(),
            Action::Explain => {
                self.explain = !self.explain;
                let state = match (self.explain, self.log.level) {
                    (false, _) => "explanations off",
                    (true, Level::Detail) => "explanations on: events say why",
                    (true, _) => "explanations on: events say why; 7, then l shows details too",
                };
                self.tell(Level::Info, state);
            }
            Action::Mouse => {
                self.mouse = !self.mouse;
                let state = if self.mouse { "on: click and wheel" } else { "off" };
                self.tell(Level::Info, format!("mouse {state}"));
                return vec![UiEffect::Mouse(self.mouse)];
            }
            Action::NextNode
            | Action::PreviousNode
            | Action::Kill
            | Action::Restart
            | Action::Add
            | Action::Run
            | Action::Step
            | Action::Faster
            | Action::Slower
            | Action::Part
            | Action::Heal
            | Action::Visit => return self.control_nodes(action),
            Action::Repaint => return vec![UiEffect::Repaint],
            Action::Suspend => return vec![UiEffect::Suspend],
            Action::Leave => return self.terminate(),
        }
        Vec::new()
    }

    /// Actions on nodes, and on the time of simulated ones.
    fn control_nodes(&mut self, action: Action) -> Vec<UiEffect> {
        if let Some(simulation) = self.simulation().cloned() {
            return self.simulate(action, &simulation);
        }
        match action {
            Action::NextNode => self.show((self.shown + 1) % self.nodes.len()),
            Action::PreviousNode => {
                self.show(self.shown.checked_sub(1).unwrap_or(self.nodes.len() - 1));
            }
            Action::Kill => self.ask_kill(),
            Action::Restart => return self.restart(),
            Action::Add => return vec![UiEffect::Add],
            _ => {}
        }
        Vec::new()
    }

    pub(super) fn open_help(&mut self) {
        self.overlay = Some(Overlay::Help { filter: String::new(), scroll: 0 });
    }

    /// Shows a line below the prompt.
    pub(super) fn tell(&mut self, level: Level, text: impl Into<String>) {
        self.prompt.message = Some(Message { level, text: text.into() });
        self.prompt.complaint = false;
    }

    /// Says why a key does nothing.
    pub(super) fn refuse(&mut self, why: impl Into<String>) -> Vec<UiEffect> {
        self.tell(Level::Warn, why);
        Vec::new()
    }

    fn close(&mut self) -> Vec<UiEffect> {
        if self.overlay.take().is_some() || self.close_panel() { Vec::new() } else { self.quit() }
    }

    fn freeze(&mut self) {
        if self.frozen.take().is_some() {
            self.release_held();
        } else {
            let NodeTab { snapshot, at, .. } = &self.nodes[self.shown];
            let (snapshot, at) = (Arc::clone(snapshot), *at);
            self.frozen = Some(Frozen { since: self.now, events: 0, snapshot, at });
        }
    }

    fn cycle_panel(&mut self, step: usize) {
        let panels = self.panels();
        let at = panels.iter().position(|panel| *panel == self.panel).unwrap_or(0);
        self.panel = panels[(at + step) % panels.len()];
    }

    fn next_level(&mut self) {
        self.log.level = match self.log.level {
            Level::Detail => Level::Traffic,
            Level::Traffic => Level::Info,
            Level::Info => Level::Warn,
            Level::Warn => Level::Error,
            Level::Error => Level::Detail,
        };
        (self.log.scrolled, self.log.unseen) = (0, 0);
    }

    fn wheel(&mut self, under: Option<Panel>, rows: isize) {
        let length = match &self.overlay {
            Some(Overlay::Help { .. }) => usize::MAX,
            Some(Overlay::Output { lines, .. }) => lines.len(),
            _ => 0,
        };
        match &mut self.overlay {
            Some(Overlay::Help { scroll, .. } | Overlay::Output { scroll, .. }) => {
                *scroll = moved(*scroll, rows, length);
            }
            Some(Overlay::Results) => self.select_result(rows),
            Some(_) => {}
            None => self.select(under.unwrap_or(self.panel), rows),
        }
    }

    /// Moves the selection of a panel; in the events it scrolls.
    fn select(&mut self, panel: Panel, rows: isize) {
        let length = self.rows(panel);
        if panel == Panel::Events {
            // Line 0 is the newest and stands at the bottom.
            self.log.scrolled = moved(self.log.scrolled, rows.saturating_neg(), length);
            if self.log.scrolled == 0 {
                self.log.unseen = 0;
            }
        } else {
            let table = &mut self.tables[panel.index()];
            table.selected = moved(table.selected, rows, length);
        }
    }

    /// How many rows a panel has.
    pub fn rows(&self, panel: Panel) -> usize {
        let snapshot = self.snapshot();
        match panel {
            Panel::Ring => snapshot.members.len(),
            Panel::Fingers => snapshot.fingers.len(),
            Panel::Neighbours => {
                usize::from(snapshot.predecessor.is_some()) + snapshot.successors.len()
            }
            Panel::Files => snapshot.files.len(),
            Panel::Transfers => transfers::listed(&snapshot.transfers).len(),
            Panel::Peers => match &snapshot.registry {
                Some(registry) => registry.peers.len(),
                None => snapshot.peers.len() + snapshot.registries.len(),
            },
            Panel::Events => self.visible_events().count(),
        }
    }

    /// The events that the filter and the search let through, oldest first.
    pub fn visible_events(&self) -> impl DoubleEndedIterator<Item = &UiEvent> {
        self.nodes[self.shown].events.iter().filter(|event| self.log.shows(event))
    }

    fn copy(&mut self) -> Vec<UiEffect> {
        match self.selected_text() {
            Some(text) => {
                self.tell(Level::Info, format!("copied {text}"));
                vec![UiEffect::Copy(text)]
            }
            None => self.refuse("there is no row to copy in this panel"),
        }
    }

    /// The node of the selected row, where rows are nodes.
    pub(super) fn selected_node(&self) -> Option<Peer> {
        let snapshot = self.snapshot();
        let at = self.tables[self.panel.index()].selected;
        match self.panel {
            Panel::Ring => snapshot.members.get(at).map(|member| member.peer),
            Panel::Fingers => snapshot.fingers.get(at)?.node,
            Panel::Neighbours => {
                let mut all = snapshot.predecessor.iter().chain(&snapshot.successors);
                all.nth(at).map(|neighbour| neighbour.peer)
            }
            Panel::Files | Panel::Transfers | Panel::Peers | Panel::Events => None,
        }
    }

    fn selected_text(&self) -> Option<String> {
        let snapshot = self.snapshot();
        let at = self.tables[self.panel.index()].selected;
        let address = |peer: &Peer| peer.address().to_string();
        match self.panel {
            Panel::Ring | Panel::Fingers | Panel::Neighbours => {
                self.selected_node().as_ref().map(address)
            }
            Panel::Files => snapshot.files.get(at).map(|file| quote(file.name.as_str())),
            Panel::Transfers => self.selected_transfer().map(|row| quote(&row.name)),
            Panel::Peers => match (&snapshot.registry, at.checked_sub(snapshot.peers.len())) {
                (Some(registry), _) => registry.peers.get(at).map(|row| address(&row.peer)),
                (None, None) => snapshot.peers.get(at).map(|row| address(&row.peer)),
                (None, Some(at)) => snapshot.registries.get(at).map(|row| row.address.to_string()),
            },
            Panel::Events => {
                self.visible_events().rev().nth(self.log.scrolled).map(|event| event.text.clone())
            }
        }
    }

    /// The transfer on which the keys of its panel act.
    pub(super) fn selected_transfer(&self) -> Option<&TransferRow> {
        let at = self.tables[Panel::Transfers.index()].selected;
        let rows = transfers::listed(&self.snapshot().transfers);
        rows.get(at).copied().filter(|_| self.panel == Panel::Transfers)
    }

    /// Carries out a command on the selected transfer.
    fn steer(&mut self, command: impl Fn(&TransferRow) -> &'static str) -> Vec<UiEffect> {
        let line = self.selected_transfer().map(|row| format!("{} {}", command(row), row.number));
        match line {
            Some(line) => self.run_confirmed(&line),
            None => self.refuse("select a transfer first: 5 shows them"),
        }
    }

    fn disconnect(&mut self) -> Vec<UiEffect> {
        let at = self.tables[Panel::Peers.index()].selected;
        let selected = self.snapshot().peers.get(at).filter(|_| self.panel == Panel::Peers);
        match selected.map(|row| (row.peer.address(), row.link)) {
            Some((address, Some(_))) => self.run_confirmed(&format!("disconnect {address}")),
            Some((address, None)) => {
                self.refuse(format!("{address} is not linked; connect {address} links it"))
            }
            None => self.refuse("select a linked peer first: 6 shows them"),
        }
    }

    fn export(&mut self) -> Vec<UiEffect> {
        let snapshot = self.snapshot();
        let name = format!("chordal-{}.json", snapshot.space.show(snapshot.me.id(snapshot.space)));
        match serde_json::to_string_pretty(snapshot) {
            Ok(json) => vec![UiEffect::Export { name, json }],
            Err(why) => {
                self.tell(Level::Error, format!("the snapshot cannot be written as JSON: {why}"));
                Vec::new()
            }
        }
    }

    /// Shows another node or registry, if there is one with this number.
    fn show(&mut self, at: usize) {
        if at == self.shown || at >= self.nodes.len() {
            return;
        }
        if self.frozen.take().is_some() {
            self.release_held();
        }
        self.shown = at;
        self.log = super::state::LogView { level: self.log.level, ..Default::default() };
        self.trail = None;
        ingest::keep_selections(self);
    }

    fn ask_kill(&mut self) {
        let snapshot = &self.nodes[self.shown].snapshot;
        if snapshot.membership == Membership::Down {
            self.tell(Level::Warn, "this node is down already; R starts it again");
            return;
        }
        let id = snapshot.space.show(snapshot.me.id(snapshot.space));
        let question = format!("kill node {id} {}, as a crash would", snapshot.me);
        self.overlay = Some(Overlay::Confirm { question, action: Confirmed::Kill });
    }

    fn restart(&mut self) -> Vec<UiEffect> {
        if self.is_up() {
            return self.refuse("this node runs; K kills it first");
        }
        vec![UiEffect::Restart(self.shown)]
    }
}

fn scroll_key(code: KeyCode, scroll: &mut usize, length: usize) {
    let rows = match code {
        KeyCode::Up => -1,
        KeyCode::Down => 1,
        KeyCode::PageUp => -PAGE,
        KeyCode::PageDown => PAGE,
        KeyCode::Home => isize::MIN,
        KeyCode::End => isize::MAX,
        _ => return,
    };
    *scroll = moved(*scroll, rows, length);
}
