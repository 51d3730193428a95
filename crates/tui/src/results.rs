//! Lists of results from which one row is taken: what a `find` found, what a
//! `scan` found, the contents that share a name.
//!
//! A list is filled while its command runs and stays with its node until the
//! next one, so that it can be opened again. What Enter would do to the
//! selected row is a line of the command language, and is shown as such.

use std::borrow::Cow;
use std::sync::Arc;

use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_view::command::quote;
use chordal_view::text::clean;
use chordal_view::{Behind, FoundContent, ScanRow, ScannedPort, SearchRow, Snapshot};

use super::panel::TableState;

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
    pub(super) fn update(&mut self, of: Listed) {
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
    pub(super) fn is_same(&self, of: &Listed) -> bool {
        match (&self.of, of) {
            (Listed::Search(one), Listed::Search(other)) => one.number == other.number,
            (Listed::Scan(one), Listed::Scan(other)) => one.number == other.number,
            _ => false,
        }
    }

    /// What was found, in a sentence.
    pub(super) fn summary(&self) -> String {
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

/// The ports that a scan lists: all if there are few, otherwise those that answered.
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

/// Whether a search carries text that a terminal would obey.
pub(super) fn needs_cleaning_search(row: &SearchRow) -> bool {
    needs_cleaning(&row.pattern)
}

/// Whether a scan carries text that a terminal would obey.
pub(super) fn needs_cleaning_scan(row: &ScanRow) -> bool {
    needs_cleaning(&row.host)
        || row.ports.iter().any(|port| foreign(&port.found).is_some_and(needs_cleaning))
}

/// Cleans the texts of a search that may come from elsewhere.
pub(super) fn clean_search(row: &mut SearchRow) {
    row.pattern = clean(&row.pattern).into_owned();
}

/// Cleans the texts of a scan that come from elsewhere.
pub(super) fn clean_scan(row: &mut ScanRow) {
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

fn needs_cleaning(text: &str) -> bool {
    matches!(clean(text), Cow::Owned(_))
}
