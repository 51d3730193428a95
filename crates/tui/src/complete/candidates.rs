//! Words for the arguments of commands: what the node shows of peers, files and
//! results, what the history remembers, what is in a local directory.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::history::History;
use crate::results::{Listed, Results};
use chordal_core::peer::Peer;
use chordal_view::command::{Kind, quote, split};
use chordal_view::{Behind, FileRow, FoundContent, Liveness, Role, Snapshot, TransferState, text};

use super::{Completion, MAX_CANDIDATES, commands};

/// Entries read from a directory: a huge one must not delay a key.
const MAX_ENTRIES: usize = 2_000;

/// Lines of the history searched for words.
const MAX_REMEMBERED: usize = 200;

/// One entry of a local directory.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    is_directory: bool,
}

/// The local directory listed last.
#[derive(Debug, Default)]
pub struct Directory {
    at: Option<PathBuf>,
    entries: Vec<Entry>,
}

impl Directory {
    /// Forgets the listing: files may have come since.
    pub fn forget(&mut self) {
        self.at = None;
    }

    fn list(&mut self, path: &Path) -> &[Entry] {
        if self.at.as_deref() != Some(path) {
            self.entries = read(path);
            self.at = Some(path.to_owned());
        }
        &self.entries
    }
}

/// A directory that cannot be read simply offers nothing.
fn read(path: &Path) -> Vec<Entry> {
    let Ok(entries) = std::fs::read_dir(path) else {
        return Vec::new();
    };
    let entry = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        // A name that a terminal would obey cannot go onto the ring either.
        let plain = text::clean(&name) == name.as_str();
        plain.then(|| Entry { is_directory: entry.path().is_dir(), name })
    };
    let mut entries: Vec<Entry> = entries.take(MAX_ENTRIES).flatten().filter_map(entry).collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// A path as it was typed, with `~/` replaced by the home directory.
pub fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}

/// Where the words of arguments come from.
pub(super) struct Source<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) history: &'a History,
    pub(super) directory: &'a mut Directory,
}

impl Source<'_> {
    /// The words of a kind that what was typed can become.
    pub(super) fn words(&mut self, kind: Kind, typed: &str) -> Vec<Completion> {
        let items = match kind {
            Kind::Peer => {
                let mut items = self.peers(typed);
                items.extend(self.remembered(&["join", "connect", "ping"], typed, "used before"));
                items
            }
            Kind::Linked => self.linked(typed),
            Kind::LocalPath => self.paths(typed),
            Kind::RingFile => self.names(typed, |file| file.role != Role::Shared),
            Kind::Content => {
                let mut items = self.found(typed);
                items.extend(self.names(typed, |_| true));
                items
            }
            Kind::KeyOrName | Kind::Pattern => self.names(typed, |_| true),
            Kind::SharedFile => {
                let mut items = self.files(typed, |file| file.role == Role::Shared);
                items.extend(self.remembered(&["share"], typed, "shared before"));
                items
            }
            Kind::Host => {
                let mut items = self.hosts(typed);
                items.extend(self.ports(typed));
                items
            }
            Kind::Ports => self.ports(typed),
            Kind::Text => {
                let mut items = self.names(typed, |_| true);
                items.extend(self.peers(typed));
                items
            }
            Kind::Transfer => self.transfers(typed, TransferState::is_under_way),
            Kind::Paused => self.transfers(typed, |state| *state == TransferState::Paused),
            Kind::Word => commands(typed),
        };
        distinct(items)
    }

    /// Members of the ring, linked peers and those that a scan found.
    fn peers(&self, typed: &str) -> Vec<Completion> {
        let snapshot = self.snapshot;
        let members = snapshot.members.iter().map(|member| (member.peer, state(member.liveness)));
        let linked = snapshot
            .peers
            .iter()
            .map(|row| (row.peer, if row.link.is_some() { "linked" } else { "known" }));
        let scan = snapshot.scan.iter().flat_map(|scan| &scan.ports);
        let scanned = scan.filter_map(|port| match &port.found {
            Behind::Node(peer) => Some((*peer, "found by scan")),
            Behind::OtherRing { peer, .. } => Some((*peer, "on another ring")),
            Behind::Registry | Behind::Me | Behind::NotChordal(_) | Behind::Inactive => None,
        });
        let mut seen: Vec<Peer> = vec![snapshot.me];
        let mut items = Vec::new();
        for (peer, state) in members.chain(linked).chain(scanned) {
            if items.len() >= MAX_CANDIDATES {
                break;
            }
            if !seen.contains(&peer) {
                seen.push(peer);
                items.extend(self.peer(peer, state, typed));
            }
        }
        items
    }

    fn linked(&self, typed: &str) -> Vec<Completion> {
        let rows = self.snapshot.peers.iter().filter(|row| row.link.is_some());
        rows.filter_map(|row| self.peer(row.peer, state(row.liveness), typed)).collect()
    }

    /// Those that have what was found under a name.
    pub(super) fn sources(&self, name: &str, typed: &str) -> Vec<Completion> {
        let Some(search) = &self.snapshot.search else { return Vec::new() };
        let results = Results::new(Listed::Search(Arc::clone(search)));
        let plain = name.rsplit_once('@').map_or(name, |(plain, _)| plain);
        let has = |content: &&FoundContent| {
            let named = |wanted: &str| content.names.iter().any(|own| own.as_str() == wanted);
            named(name) || named(plain) && results.word(content).is_some_and(|word| word == name)
        };
        let peers = search.contents.iter().filter(has).flat_map(|content| &content.sources);
        let others = peers.filter(|peer| peer.address() != self.snapshot.me.address());
        others.filter_map(|peer| self.peer(*peer, "has it", typed)).take(MAX_CANDIDATES).collect()
    }

    /// A peer as address, as `:port` or port on this host, or as id: whichever is
    /// being typed.
    fn peer(&self, peer: Peer, state: &str, typed: &str) -> Option<Completion> {
        let space = self.snapshot.space;
        let address = peer.address();
        let id = space.show(peer.id(space));
        let full = address.to_string();
        let port = format!(":{}", address.port());
        let near = address.ip() == self.snapshot.me.address().ip();
        if full.starts_with(typed) {
            Some(Completion { text: full, help: format!("id {id}, {state}") })
        } else if port.starts_with(typed) && near {
            Some(Completion { text: port, help: format!("id {id}, {state}") })
        } else if port[1..].starts_with(typed) && near {
            Some(Completion { text: port[1..].to_owned(), help: format!("id {id}, {state}") })
        } else if id.starts_with(typed) {
            Some(Completion { text: id, help: format!("{full}, {state}") })
        } else {
            None
        }
    }

    /// Hosts of which something is known, this node's own first.
    fn hosts(&self, typed: &str) -> Vec<Completion> {
        let snapshot = self.snapshot;
        let own = std::iter::once((snapshot.me.address().ip(), "this node's host"));
        let members =
            snapshot.members.iter().map(|member| (member.peer.address().ip(), "a member"));
        let linked = snapshot.peers.iter().map(|row| (row.peer.address().ip(), "a linked peer"));
        let lists = snapshot.registries.iter().map(|row| (row.address.ip(), "a registry"));
        let mut seen: Vec<IpAddr> = Vec::new();
        let mut items = Vec::new();
        for (host, what) in own.chain(members).chain(linked).chain(lists) {
            if items.len() >= MAX_CANDIDATES {
                break;
            }
            if !seen.contains(&host) {
                seen.push(host);
                let text = host.to_string();
                let item = Completion { text, help: what.to_owned() };
                items.extend(Some(item).filter(|item| item.text.starts_with(typed)));
            }
        }
        items.extend(self.remembered(&["scan"], typed, "used before"));
        items
    }

    /// Ranges of ports worth a look.
    fn ports(&self, typed: &str) -> Vec<Completion> {
        let decade = self.snapshot.me.address().port() / 10 * 10;
        let own = (decade, "around this node's own port");
        let ranges = [own, (2_000, "where nodes usually start"), (5_000, "where registries start")];
        let item = |(from, help): (u16, &str)| Completion {
            text: format!("{from}-{}", from.saturating_add(9)),
            help: help.to_owned(),
        };
        ranges.map(item).into_iter().filter(|item| item.text.starts_with(typed)).collect()
    }

    /// What the last search found, each content by a word that means it only.
    fn found(&self, typed: &str) -> Vec<Completion> {
        let Some(search) = &self.snapshot.search else { return Vec::new() };
        let results = Results::new(Listed::Search(Arc::clone(search)));
        let item = |content: &FoundContent| {
            // Of `NAME@` the digits are asked for.
            let name = typed.rsplit_once('@').map_or(typed, |(name, _)| name);
            content.names.first().filter(|own| fits(own.as_str(), name))?;
            let word = results.word(content).filter(|word| fits(word, typed))?;
            let sources = match content.sources.len() {
                1 => "1 source".to_owned(),
                n => format!("{n} sources"),
            };
            let help = format!("{}, {sources}", text::bytes(content.size));
            Some(Completion { text: quote(&word), help })
        };
        search.contents.iter().filter_map(item).take(MAX_CANDIDATES).collect()
    }

    /// Names of files held here, and of those in the history.
    fn names(&self, typed: &str, wanted: fn(&FileRow) -> bool) -> Vec<Completion> {
        let mut items = self.files(typed, wanted);
        let words = ["get", "download", "request", "rm", "lookup", "trace"];
        items.extend(self.remembered(&words, typed, "used before"));
        let stored = self.remembered(&["put", "upload"], "", "stored before");
        items.extend(stored.into_iter().filter_map(|item| {
            let word = split(&item.text).ok()?.pop()?;
            let name = word.rsplit('/').next()?;
            fits(name, typed).then(|| Completion { text: quote(name), help: item.help })
        }));
        items
    }

    fn files(&self, typed: &str, wanted: fn(&FileRow) -> bool) -> Vec<Completion> {
        let space = self.snapshot.space;
        let here = self.snapshot.files.iter().filter(|file| wanted(file));
        let item = |file: &FileRow| {
            let place = match file.role {
                Role::Shared => "shared from here".to_owned(),
                Role::Owner | Role::Replica => format!("key {}", space.show(file.key)),
            };
            Completion {
                text: quote(file.name.as_str()),
                help: format!("{}, {place}", text::bytes(file.size)),
            }
        };
        here.filter(|file| fits(file.name.as_str(), typed)).take(MAX_CANDIDATES).map(item).collect()
    }

    /// First arguments of these commands in the history, newest first.
    fn remembered(&self, words: &[&str], typed: &str, help: &str) -> Vec<Completion> {
        let argument = |line: &str| {
            let line = split(line.trim_start_matches(':')).ok()?;
            let [command, argument, ..] = line.as_slice() else { return None };
            let wanted = words.contains(&command.as_str()) && fits(argument, typed);
            (wanted && !argument.starts_with("--"))
                .then(|| Completion { text: quote(argument), help: help.to_owned() })
        };
        self.history.newest_first().take(MAX_REMEMBERED).filter_map(argument).collect()
    }

    fn paths(&mut self, typed: &str) -> Vec<Completion> {
        let (before, start) = match typed.rfind('/') {
            Some(slash) => typed.split_at(slash + 1),
            None => ("", typed),
        };
        let at = if before.is_empty() { PathBuf::from(".") } else { expand_home(before) };
        let hidden = start.starts_with('.');
        let wanted = |entry: &&Entry| {
            entry.name.starts_with(start) && (hidden || !entry.name.starts_with('.'))
        };
        let item = |entry: &Entry| {
            let (slash, help) = if entry.is_directory { ("/", "directory") } else { ("", "file") };
            let path = format!("{before}{}{slash}", entry.name);
            Completion { text: quote(&path), help: help.to_owned() }
        };
        self.directory.list(&at).iter().filter(wanted).take(MAX_CANDIDATES).map(item).collect()
    }

    fn transfers(&self, typed: &str, wanted: impl Fn(&TransferState) -> bool) -> Vec<Completion> {
        let rows = self.snapshot.transfers.iter().filter(|row| wanted(&row.state));
        rows.map(|row| {
            let share = row.done.saturating_mul(100).checked_div(row.total).unwrap_or(0);
            Completion { text: row.number.to_string(), help: format!("{} {share} %", row.name) }
        })
        .filter(|item| item.text.starts_with(typed))
        .collect()
    }
}

/// Each word once, where it stands first.
pub(super) fn distinct(mut items: Vec<Completion>) -> Vec<Completion> {
    let mut seen: Vec<String> = Vec::new();
    items.retain(|item| {
        let new = !seen.contains(&item.text);
        if new {
            seen.push(item.text.clone());
        }
        new
    });
    items
}

const fn state(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Up => "up",
        Liveness::Suspect => "suspect",
        Liveness::Dead => "dead",
    }
}

/// Names are matched from their start, whatever the case.
fn fits(name: &str, typed: &str) -> bool {
    let mut name = name.chars().flat_map(char::to_lowercase);
    typed.chars().flat_map(char::to_lowercase).all(|c| name.next() == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_read_once_until_it_is_forgotten() {
        let root = tempfile::tempdir().expect("a directory");
        let mut directory = Directory::default();
        assert!(directory.list(root.path()).is_empty());
        std::fs::write(root.path().join("new"), "x").expect("written");
        assert!(directory.list(root.path()).is_empty());
        directory.forget();
        assert_eq!(directory.list(root.path()).len(), 1);
    }
}
