//! Lists of results from which one row is taken: what a `find` found, what a
//! `scan` found, the contents that share a name.
//!
//! A list is filled while its command runs and stays with its node until the
//! next one, so that it can be opened again. What Enter would do to the
//! selected row is a line of the command language, and is shown as such.

use std::borrow::Cow;
use std::sync::Arc;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::layout::Position;

use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_view::command::{Command, parse_line, quote};
use chordal_view::text::clean;
use chordal_view::{
    Behind, FoundContent, Level, Outcome, ScanRow, ScannedPort, SearchRow, Snapshot,
};

use super::reducer::{PAGE, UiEffect, moved};
use super::state::{App, Focus, Overlay, TableState};

/// Ports up to which a scan lists the silent ones too.
const MAX_LISTED_PORTS: u16 = 20;

/// Hexadecimal digits of a hash that tell contents apart, at least.
const HASH_DIGITS: usize = 8;

/// A list of results and where one is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Results {
    /// What is listed.
    pub of: Listed,
    /// Selected row and scroll offset.
    pub table: TableState,
    /// Which of [`Results::commands`] Enter carries out.
    pub choice: usize,
    /// A key has chosen the row: it stays chosen wherever new results move it.
    pub kept: bool,
}

/// What is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listed {
    /// The contents of a search.
    Search(Arc<SearchRow>),
    /// The contents under the name of a `get`.
    Contents {
        /// The name.
        name: FileName,
        /// The contents.
        contents: Vec<FoundContent>,
        /// The options of that `get`, with a blank before them.
        options: String,
    },
    /// The ports of a scan.
    Scan(Arc<ScanRow>),
}

impl Results {
    /// A list with its first row selected; of a scan the first with a node.
    pub fn new(of: Listed) -> Results {
        let mut results = Results { of, table: TableState::default(), choice: 0, kept: false };
        results.table.selected = results.first();
        results
    }

    /// The row that is selected until a key chooses one: the first from which
    /// something can be taken.
    fn first(&self) -> usize {
        let Listed::Scan(scan) = &self.of else { return 0 };
        ports(scan).position(is_node).unwrap_or(0)
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        match &self.of {
            Listed::Search(search) => search.contents.len(),
            Listed::Contents { contents, .. } => contents.len(),
            Listed::Scan(scan) => ports(scan).count(),
        }
    }

    /// The content in a row.
    pub fn content(&self, row: usize) -> Option<&FoundContent> {
        self.contents().get(row)
    }

    /// The port in a row of a scan.
    pub fn port(&self, row: usize) -> Option<&ScannedPort> {
        match &self.of {
            Listed::Scan(scan) => ports(scan).nth(row),
            Listed::Search(_) | Listed::Contents { .. } => None,
        }
    }

    /// The command that made the list, as it would be typed.
    pub fn title(&self) -> String {
        match &self.of {
            Listed::Search(search) => format!("find {}", search.pattern),
            Listed::Contents { name, .. } => format!("get {name}"),
            Listed::Scan(scan) => format!("scan {}", scan.host),
        }
    }

    /// Whether results may still come.
    pub fn is_running(&self) -> bool {
        match &self.of {
            Listed::Search(search) => search.running,
            Listed::Contents { .. } => false,
            Listed::Scan(scan) => scan.done < scan.total,
        }
    }

    /// The lines that can be carried out on the selected row; the first is the
    /// one that is usually wanted.
    pub fn commands(&self, snapshot: &Snapshot) -> Vec<String> {
        let at = self.table.selected;
        if let Some(content) = self.content(at) {
            return self.content_commands(content, snapshot);
        }
        self.port(at).map(|port| port_commands(port, snapshot)).unwrap_or_default()
    }

    /// The line that Enter carries out on the selected row.
    pub fn command(&self, snapshot: &Snapshot) -> Option<String> {
        let mut commands = self.commands(snapshot);
        let last = commands.len().checked_sub(1)?;
        Some(commands.swap_remove(self.choice.min(last)))
    }

    /// The sources of a content from which it can be requested, in the order of
    /// their commands behind the first.
    pub fn sources<'a>(
        content: &'a FoundContent,
        snapshot: &'a Snapshot,
    ) -> impl Iterator<Item = &'a Peer> {
        content.sources.iter().filter(|peer| peer.address() != snapshot.me.address())
    }

    /// Fetch it from all, or from each of its sources. What is outside the ring is taken from
    /// who has it.
    fn content_commands(&self, content: &FoundContent, snapshot: &Snapshot) -> Vec<String> {
        let Some(word) = self.word(content) else { return Vec::new() };
        let options = match &self.of {
            Listed::Contents { options, .. } => options.as_str(),
            Listed::Search(_) | Listed::Scan(_) => "",
        };
        let word = quote(&word);
        let one = |peer: &Peer| format!("request {word} {}", peer.address());
        let first = match content.sources.first() {
            Some(peer) if content.outside => one(peer),
            _ => format!("get {word}{options}"),
        };
        std::iter::once(first).chain(Results::sources(content, snapshot).map(one)).collect()
    }

    /// A name for a content that means this one only: with the first digits of
    /// its hash where another content has the name too.
    pub fn word(&self, content: &FoundContent) -> Option<String> {
        let name = match &self.of {
            Listed::Contents { name, .. } => name,
            Listed::Search(_) | Listed::Scan(_) => content.names.first()?,
        };
        let rivals = self.contents().iter().filter(|other| {
            let same_name =
                other.names.contains(name) || matches!(self.of, Listed::Contents { .. });
            other.root != content.root && same_name
        });
        let hash = content.root.to_string();
        let alike = |other: &FoundContent| {
            let other = other.root.to_string();
            hash.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
        };
        // One digit more than the most alike of them shares.
        let digits = rivals.map(|other| (alike(other) + 1).max(HASH_DIGITS)).max();
        Some(match digits {
            None => name.to_string(),
            Some(digits) => format!("{name}@{}", &hash[..digits.min(hash.len())]),
        })
    }

    fn contents(&self) -> &[FoundContent] {
        match &self.of {
            Listed::Search(search) => &search.contents,
            Listed::Contents { contents, .. } => contents,
            Listed::Scan(_) => &[],
        }
    }

    /// Takes in what has been found since.
    fn update(&mut self, of: Listed) {
        let before = std::mem::replace(&mut self.of, of);
        let at = self.table.selected;
        let place = match (&before, &self.of) {
            (Listed::Search(before), Listed::Search(now)) => {
                let chosen = before.contents.get(at).map(|content| content.root);
                now.contents.iter().position(|content| Some(content.root) == chosen)
            }
            (Listed::Scan(before), Listed::Scan(now)) => {
                let chosen = ports(before).nth(at).map(|port| port.address);
                ports(now).position(|port| Some(port.address) == chosen)
            }
            _ => None,
        };
        self.table.selected = if self.kept { place.unwrap_or(at) } else { self.first() };
        self.table.selected = self.table.selected.min(self.rows().saturating_sub(1));
    }

    /// Whether both are states of one search or scan.
    fn is_same(&self, of: &Listed) -> bool {
        match (&self.of, of) {
            (Listed::Search(one), Listed::Search(other)) => one.number == other.number,
            (Listed::Scan(one), Listed::Scan(other)) => one.number == other.number,
            _ => false,
        }
    }

    /// What was found, in a sentence.
    fn summary(&self) -> String {
        let count = |n: usize, one: &str, many: &str| match n {
            0 => format!("no {one}"),
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        };
        let found = match &self.of {
            Listed::Search(search) => {
                let nodes = count(search.answered as usize, "node", "nodes");
                format!("{} on {nodes}", count(self.rows(), "content", "contents"))
            }
            Listed::Contents { .. } => count(self.rows(), "content", "contents"),
            Listed::Scan(scan) => {
                let nodes = scan.ports.iter().filter(|port| is_node(port)).count();
                format!("{} behind {} ports", count(nodes, "node", "nodes"), scan.total)
            }
        };
        format!("{}: {found}", self.title())
    }
}

/// The ports that a scan lists: all of a few, or those with somebody behind.
fn ports(scan: &ScanRow) -> impl Iterator<Item = &ScannedPort> {
    let all = scan.total <= MAX_LISTED_PORTS;
    scan.ports.iter().filter(move |port| all || port.found != Behind::Inactive)
}

/// Whether a node other than this one is behind a port.
const fn is_node(port: &ScannedPort) -> bool {
    matches!(port.found, Behind::Node(_) | Behind::OtherRing { .. })
}

/// What can be done with what is behind a port.
fn port_commands(port: &ScannedPort, snapshot: &Snapshot) -> Vec<String> {
    let words: &[&str] = match &port.found {
        Behind::Node(peer) => {
            let linked = snapshot.peers.iter().any(|row| row.peer == *peer && row.link.is_some());
            let member = snapshot.members.iter().any(|member| member.peer == *peer);
            match (linked, member) {
                (false, false) => &["connect", "join", "ping"],
                (false, true) => &["connect", "ping"],
                (true, false) => &["join", "ping", "disconnect"],
                (true, true) => &["ping", "disconnect"],
            }
        }
        Behind::OtherRing { .. } => &["join"],
        Behind::Registry | Behind::Me | Behind::NotChordal(_) | Behind::Inactive => &[],
    };
    words.iter().map(|word| format!("{word} {}", port.address)).collect()
}

impl App {
    /// The results of the shown node, while they lie over the panels.
    pub fn open_results(&self) -> Option<&Results> {
        match self.overlay {
            Some(Overlay::Results) => self.nodes[self.shown].results.as_ref(),
            _ => None,
        }
    }

    /// Shows the last results once more.
    pub(super) fn reopen_results(&mut self) {
        if self.nodes[self.shown].results.is_some() {
            self.overlay = Some(Overlay::Results);
        } else {
            self.tell(Level::Warn, "no results yet: find and scan list some".to_owned());
        }
    }

    /// A new snapshot of a node: the search or scan that runs for this
    /// dashboard shows what it has found so far.
    pub(super) fn results_changed(&mut self, node: usize, before: &Snapshot) {
        let now = &self.nodes[node].snapshot;
        let search = now.search.clone().filter(|row| match &before.search {
            Some(before) => !Arc::ptr_eq(before, row),
            None => true,
        });
        let scan = now.scan.clone().filter(|row| match &before.scan {
            Some(before) => !Arc::ptr_eq(before, row),
            None => true,
        });
        for of in [search.map(Listed::Search), scan.map(Listed::Scan)].into_iter().flatten() {
            if let Some(results) = &mut self.nodes[node].results
                && results.is_same(&of)
            {
                results.update(of);
            } else if self.is_asked_here(node, &of, before) {
                self.nodes[node].results = Some(Results::new(of));
                if node == self.shown && self.has_room() {
                    self.overlay = Some(Overlay::Results);
                }
            }
        }
    }

    /// Whether a search or scan has begun since `before`, by a line that was
    /// typed here: clients of the node search and scan too.
    fn is_asked_here(&self, node: usize, of: &Listed, before: &Snapshot) -> bool {
        let is_new = match of {
            Listed::Search(row) => {
                before.search.as_ref().is_none_or(|before| before.number != row.number)
            }
            Listed::Scan(row) => {
                before.scan.as_ref().is_none_or(|before| before.number != row.number)
            }
            Listed::Contents { .. } => false,
        };
        let asks = |line: &str| match (parse_line(line), of) {
            (Ok(Command::Find { pattern }), Listed::Search(row)) => pattern == row.pattern,
            (Ok(Command::Scan { .. }), Listed::Scan(_)) => true,
            _ => false,
        };
        let mut running = self.control.running.iter().filter(|running| running.node == node);
        is_new && running.any(|running| asks(&running.line))
    }

    /// Whether results may take the place over the panels.
    fn has_room(&self) -> bool {
        matches!(self.overlay, None | Some(Overlay::Output { .. } | Overlay::Results))
    }

    /// A command of a node ended: its results are listed. Gives an outcome back
    /// that is no list.
    pub(super) fn results_ended(
        &mut self,
        node: usize,
        line: &str,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let of = match outcome {
            Outcome::Found(mut row) => {
                wash_search(&mut row);
                Listed::Search(Arc::new(row))
            }
            Outcome::Scanned(mut row) => {
                wash_scan(&mut row);
                Listed::Scan(Arc::new(row))
            }
            Outcome::Ambiguous { name, contents } => {
                Listed::Contents { name, contents, options: options(line) }
            }
            other => return Some(other),
        };
        let tab = self.nodes.get_mut(node)?;
        let was_shown = match &mut tab.results {
            Some(results) if results.is_same(&of) => {
                results.update(of);
                true
            }
            results => {
                *results = Some(Results::new(of));
                false
            }
        };
        let summary = tab.results.as_ref().map(Results::summary).unwrap_or_default();
        let is_open = matches!(self.overlay, Some(Overlay::Results));
        if node == self.shown && !was_shown && self.has_room() {
            self.overlay = Some(Overlay::Results);
            self.prompt.message = None;
        } else if node != self.shown || !is_open {
            let keys = if self.focus == Focus::Prompt { "Esc, then r" } else { "r" };
            self.tell(Level::Info, format!("{summary}; {keys} shows them again"));
        }
        None
    }

    /// A key while results lie over the panels; `None`: the key is meant for
    /// what is below them. At the prompt typing goes on meanwhile.
    pub(super) fn results_key(&mut self, key: KeyEvent) -> Option<Vec<UiEffect>> {
        self.open_results()?;
        let typing = self.focus == Focus::Prompt;
        let free = !typing || self.prompt.input.value().is_empty();
        if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
            return None;
        }
        match key.code {
            KeyCode::Esc => self.overlay = None,
            _ if !free => return None,
            KeyCode::Char('q') => {
                self.control.closed_by_q = typing;
                self.overlay = None;
            }
            KeyCode::Enter => return Some(self.take_result()),
            // No command starts with a y.
            KeyCode::Char('y') => return Some(self.copy_result()),
            KeyCode::Up => self.select_result(-1),
            KeyCode::Down => self.select_result(1),
            KeyCode::PageUp => self.select_result(-PAGE),
            KeyCode::PageDown => self.select_result(PAGE),
            KeyCode::Home => self.select_result(isize::MIN),
            KeyCode::End => self.select_result(isize::MAX),
            KeyCode::Right => self.choose_command(1),
            KeyCode::Left => self.choose_command(-1),
            // Letters begin a command at the prompt.
            _ if typing => return None,
            KeyCode::Char('r') => self.overlay = None,
            KeyCode::Char('k') => self.select_result(-1),
            KeyCode::Char('j') => self.select_result(1),
            KeyCode::Char('g') => self.select_result(isize::MIN),
            KeyCode::Char('G') => self.select_result(isize::MAX),
            KeyCode::Char('l') => self.choose_command(1),
            KeyCode::Char('h') => self.choose_command(-1),
            KeyCode::Char(':') => {
                self.overlay = None;
                self.focus = Focus::Prompt;
            }
            // The rest belongs to panels that are not in sight.
            KeyCode::Char('?') => return None,
            _ => {}
        }
        Some(Vec::new())
    }

    /// Moves the selection of the open results.
    pub(super) fn select_result(&mut self, rows: isize) {
        let Some(results) = &mut self.nodes[self.shown].results else { return };
        let before = results.table.selected;
        results.table.selected = moved(before, rows, results.rows());
        results.kept = true;
        if results.table.selected != before {
            results.choice = 0;
        }
        self.prompt.message = None;
    }

    /// A click selects the row under it.
    pub(super) fn click_result(&mut self, at: Position) {
        let Some(area) = self.memory.rows.filter(|area| area.contains(at)) else { return };
        let Some(offset) = self.open_results().map(|results| results.table.offset) else { return };
        let row = offset + usize::from(at.y - area.y);
        self.select_result(isize::MIN);
        self.select_result(isize::try_from(row).unwrap_or(isize::MAX));
    }

    fn choose_command(&mut self, step: isize) {
        let tab = &mut self.nodes[self.shown];
        let Some(results) = &mut tab.results else { return };
        let count = results.commands(&tab.snapshot).len();
        results.choice = moved(results.choice.min(count.saturating_sub(1)), step, count);
        results.kept = true;
    }

    /// Carries out what is shown for the selected row.
    fn take_result(&mut self) -> Vec<UiEffect> {
        let tab = &self.nodes[self.shown];
        let Some(results) = &tab.results else { return Vec::new() };
        let Some(line) = results.command(&tab.snapshot) else {
            let why = match results.port(results.table.selected).map(|port| &port.found) {
                Some(Behind::Registry) => "a registry: nodes started with --seed ask it for peers",
                Some(Behind::Me) => "this is the node that looked",
                Some(Behind::NotChordal(_)) => "this does not speak chordal; choose a node",
                Some(_) => "nobody answers there; choose a node",
                None => "there is nothing to take; Esc closes the list",
            };
            self.tell(Level::Warn, why.to_owned());
            return Vec::new();
        };
        self.overlay = None;
        self.prompt.message = None;
        self.prompt.history.push(&line);
        let mut done = vec![UiEffect::Remember(line.clone())];
        done.extend(self.run_confirmed(&line));
        done
    }

    fn copy_result(&mut self) -> Vec<UiEffect> {
        let Some(results) = &self.nodes[self.shown].results else { return Vec::new() };
        let at = results.table.selected;
        let text = match results.content(at) {
            Some(content) => results.word(content).map(|word| quote(&word)),
            None => results.port(at).map(|port| port.address.to_string()),
        };
        let Some(text) = text else { return Vec::new() };
        self.tell(Level::Info, format!("copied {text}"));
        vec![UiEffect::Copy(text)]
    }
}

/// The options of a `get` as they would be typed, with a blank before each.
fn options(line: &str) -> String {
    let Ok(Command::Get { to, no_reshare, .. }) = parse_line(line) else {
        return String::new();
    };
    let mut options = String::new();
    if let Some(to) = to {
        options.push_str(" --to ");
        options.push_str(&quote(&to.to_string_lossy()));
    }
    if no_reshare {
        options.push_str(" --no-reshare");
    }
    options
}

/// Whether a search carries text that a terminal would obey.
pub(super) fn is_dirty_search(row: &SearchRow) -> bool {
    is_dirty(&row.pattern)
}

/// Whether a scan carries text that a terminal would obey.
pub(super) fn is_dirty_scan(row: &ScanRow) -> bool {
    is_dirty(&row.host) || row.ports.iter().any(|port| foreign(&port.found).is_some_and(is_dirty))
}

/// Cleans the texts of a search that may come from elsewhere.
pub(super) fn wash_search(row: &mut SearchRow) {
    row.pattern = clean(&row.pattern).into_owned();
}

/// Cleans the texts of a scan that come from elsewhere.
pub(super) fn wash_scan(row: &mut ScanRow) {
    row.host = clean(&row.host).into_owned();
    for port in &mut row.ports {
        match &mut port.found {
            Behind::OtherRing { ring: text, .. } | Behind::NotChordal(text) => {
                *text = clean(text).into_owned();
            }
            Behind::Node(_) | Behind::Registry | Behind::Me | Behind::Inactive => {}
        }
    }
}

fn foreign(found: &Behind) -> Option<&str> {
    match found {
        Behind::OtherRing { ring: text, .. } | Behind::NotChordal(text) => Some(text),
        Behind::Node(_) | Behind::Registry | Behind::Me | Behind::Inactive => None,
    }
}

fn is_dirty(text: &str) -> bool {
    matches!(clean(text), Cow::Owned(_))
}
