//! What the word under the cursor can become: commands, options, and arguments
//! by their [`Kind`].
//!
//! The table of commands decides what stands where; the snapshot, the history
//! and the local directories supply the words. The only I/O is listing the
//! directory that a local path is being typed in, once per directory
//! ([`Directory`]).

use std::path::{Path, PathBuf};

use crate::view::command::{Flag, Kind, Spec, TABLE, quote, spec, split};
use crate::view::{Liveness, Snapshot, TransferState, text};

use super::history::History;
use super::state::Completion;

/// Candidates offered at once: more than a menu shows, few enough to make in
/// no time.
const MAX_CANDIDATES: usize = 100;

/// Entries read from a directory: a huge one must not delay a key.
const MAX_ENTRIES: usize = 2_000;

/// Lines of the history searched for words.
const MAX_REMEMBERED: usize = 200;

/// What can be said about the word under the cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Completions {
    /// Where the word starts: a byte of the line.
    pub start: usize,
    /// What it can become, best first, quoted where needed.
    pub items: Vec<Completion>,
    /// One line on what is being typed.
    pub description: String,
}

/// Completes the last word of `line`, which ends at the cursor.
pub fn complete(
    line: &str,
    snapshot: &Snapshot,
    history: &History,
    directory: &mut Directory,
) -> Completions {
    let scan = scan(line);
    let mut source = Source { snapshot, history, directory };
    let Some((command, given)) = scan.words.split_first() else {
        let mut items = commands(&scan.current);
        items.truncate(MAX_CANDIDATES);
        return Completions { start: scan.start, items, description: word_help(&scan.current) };
    };
    let Some(spec) = spec(command) else {
        return Completions { start: scan.start, ..Completions::default() };
    };
    let (mut items, description) = match place(spec, given, &scan.current) {
        Place::Flag => (flags(spec, given, &scan.current), flag_help(spec, &scan.current)),
        Place::Argument { kind, description } => (source.words(kind, &scan.current), description),
        Place::Value { flag, inline } => {
            let (typed, before) = match (&inline, scan.current.split_once('=')) {
                (true, Some((name, typed))) => (typed, format!("{name}=")),
                _ => (scan.current.as_str(), String::new()),
            };
            let (what, kind) = flag.value.unwrap_or(("", Kind::Text));
            let mut items = source.words(kind, typed);
            for item in &mut items {
                item.text.insert_str(0, &before);
            }
            (items, format!("{} {what}: {}", flag.name, flag.help))
        }
        Place::Nothing => (Vec::new(), spec.usage()),
    };
    items.truncate(MAX_CANDIDATES);
    Completions { start: scan.start, items, description }
}

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

/// A line taken apart as [`split`] does, but forgiving an open quotation mark.
struct Scan {
    /// The words before the one under the cursor.
    words: Vec<String>,
    /// The word under the cursor, without its quotation marks.
    current: String,
    /// Where it starts: a byte of the line.
    start: usize,
}

fn scan(line: &str) -> Scan {
    let mut scan = Scan { words: Vec::new(), current: String::new(), start: line.len() };
    let mut open = false;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    let colon = line.len() - line.trim_start().len();
    for (at, c) in line.char_indices() {
        if at == colon && c == ':' {
            continue;
        }
        if quote.is_none() && !escaped && c.is_whitespace() {
            if open {
                scan.words.push(std::mem::take(&mut scan.current));
                open = false;
            }
            continue;
        }
        if !open {
            (open, scan.start) = (true, at);
        }
        match (quote, c) {
            _ if escaped => {
                scan.current.push(c);
                escaped = false;
            }
            (Some(q), _) if c == q => quote = None,
            (Some('\''), _) => scan.current.push(c),
            (_, '\\') => escaped = true,
            (None, '\'' | '"') => quote = Some(c),
            _ => scan.current.push(c),
        }
    }
    if !open {
        scan.start = line.len();
    }
    scan
}

/// What stands under the cursor behind a command's name.
enum Place {
    Flag,
    Argument { kind: Kind, description: String },
    Value { flag: &'static Flag, inline: bool },
    Nothing,
}

fn place(spec: &'static Spec, given: &[String], current: &str) -> Place {
    let mut positional = 0;
    let mut options = true;
    let mut awaited: Option<&'static Flag> = None;
    for word in given {
        if awaited.take().is_some() {
            continue;
        }
        if options && word == "--" {
            options = false;
        } else if options && word.starts_with("--") {
            awaited = find_flag(spec, word).filter(|flag| flag.value.is_some());
        } else {
            positional += 1;
        }
    }
    if let Some(flag) = awaited {
        return Place::Value { flag, inline: false };
    }
    if options && current.starts_with('-') {
        if let Some((name, _)) = current.split_once('=')
            && let Some(flag) = find_flag(spec, name).filter(|flag| flag.value.is_some())
        {
            return Place::Value { flag, inline: true };
        }
        return Place::Flag;
    }
    match spec.arguments.get(positional) {
        Some(argument) => Place::Argument {
            kind: argument.kind,
            description: format!("{}: {}", argument.name, argument.help),
        },
        None if options && !spec.flags.is_empty() => Place::Flag,
        None => Place::Nothing,
    }
}

fn find_flag(spec: &'static Spec, word: &str) -> Option<&'static Flag> {
    spec.flags.iter().find(|flag| flag.name == word)
}

fn commands(typed: &str) -> Vec<Completion> {
    let names = TABLE.iter().map(|spec| (spec.name, spec.summary.to_owned()));
    let aliases = TABLE.iter().flat_map(|spec| {
        spec.aliases.iter().map(|&alias| (alias, format!("{}: {}", spec.name, spec.summary)))
    });
    let all = names.chain(aliases.filter(|_| !typed.is_empty()));
    all.filter(|(word, _)| word.starts_with(typed))
        .map(|(word, help)| Completion { text: word.to_owned(), help })
        .collect()
}

fn word_help(word: &str) -> String {
    spec(word).map(|spec| format!("{}: {}", spec.usage(), spec.summary)).unwrap_or_default()
}

fn flags(spec: &'static Spec, given: &[String], typed: &str) -> Vec<Completion> {
    let free = |flag: &&Flag| !given.iter().any(|word| word == flag.name);
    let fits = |flag: &&Flag| flag.name.starts_with(typed);
    let item = |flag: &Flag| Completion { text: flag.name.to_owned(), help: flag.help.to_owned() };
    spec.flags.iter().filter(free).filter(fits).map(item).collect()
}

fn flag_help(spec: &'static Spec, typed: &str) -> String {
    match find_flag(spec, typed) {
        Some(flag) => format!("{}: {}", flag.name, flag.help),
        None => spec.usage(),
    }
}

/// Where the words of arguments come from.
struct Source<'a> {
    snapshot: &'a Snapshot,
    history: &'a History,
    directory: &'a mut Directory,
}

impl Source<'_> {
    fn words(&mut self, kind: Kind, typed: &str) -> Vec<Completion> {
        let mut items = match kind {
            Kind::Peer | Kind::Linked => self.peers(typed),
            Kind::LocalPath => self.paths(typed),
            Kind::RingFile | Kind::Content | Kind::SharedFile | Kind::KeyOrName | Kind::Pattern => {
                self.names(typed)
            }
            Kind::Host | Kind::Ports => Vec::new(),
            Kind::Text => {
                let mut items = self.names(typed);
                items.extend(self.peers(typed));
                items
            }
            Kind::Transfer => self.transfers(typed),
            Kind::Word => commands(typed),
        };
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

    fn peers(&self, typed: &str) -> Vec<Completion> {
        let space = self.snapshot.space;
        let own = self.snapshot.me.address();
        let mut items = Vec::new();
        for member in &self.snapshot.members {
            let address = member.peer.address();
            if address == own {
                continue;
            }
            let id = space.show(member.peer.id(space));
            let state = match member.liveness {
                Liveness::Up => "up",
                Liveness::Suspect => "suspect",
                Liveness::Dead => "dead",
            };
            let full = address.to_string();
            let port = format!(":{}", address.port());
            if full.starts_with(typed) {
                items.push(Completion { text: full, help: format!("id {id}, {state}") });
            } else if port.starts_with(typed) && address.ip() == own.ip() {
                items.push(Completion { text: port, help: format!("id {id}, {state}") });
            } else if id.starts_with(typed) {
                items.push(Completion { text: id, help: format!("{full}, {state}") });
            }
        }
        items.extend(self.remembered(&["join", "ping"], typed, "used before"));
        items
    }

    fn names(&self, typed: &str) -> Vec<Completion> {
        let space = self.snapshot.space;
        let here = self.snapshot.files.iter().filter(|file| fits(file.name.as_str(), typed));
        let mut items: Vec<Completion> = here
            .take(MAX_CANDIDATES)
            .map(|file| Completion {
                text: quote(file.name.as_str()),
                help: format!("{}, key {}", text::bytes(file.size), space.show(file.key)),
            })
            .collect();
        let words = ["get", "download", "rm", "lookup", "trace"];
        items.extend(self.remembered(&words, typed, "used before"));
        let stored = self.remembered(&["put", "upload"], "", "stored before");
        items.extend(stored.into_iter().filter_map(|item| {
            let word = split(&item.text).ok()?.pop()?;
            let name = word.rsplit('/').next()?;
            fits(name, typed).then(|| Completion { text: quote(name), help: item.help })
        }));
        items
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

    fn transfers(&self, typed: &str) -> Vec<Completion> {
        let live = |state: &TransferState| {
            matches!(state, TransferState::Running | TransferState::Securing { .. })
        };
        let rows = self.snapshot.transfers.iter().filter(|row| live(&row.state));
        rows.map(|row| {
            let share = row.done.saturating_mul(100).checked_div(row.total).unwrap_or(0);
            Completion { text: row.number.to_string(), help: format!("{} {share} %", row.name) }
        })
        .filter(|item| item.text.starts_with(typed))
        .collect()
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
    use crate::ui::fixture;

    fn texts(line: &str) -> Vec<String> {
        texts_with(line, &History::default())
    }

    fn texts_with(line: &str, history: &History) -> Vec<String> {
        let snapshot = fixture::member();
        complete(line, &snapshot, history, &mut Directory::default())
            .items
            .into_iter()
            .map(|item| item.text)
            .collect()
    }

    fn description(line: &str) -> String {
        complete(line, &fixture::member(), &History::default(), &mut Directory::default())
            .description
    }

    #[test]
    fn the_first_word_is_a_command_or_an_alias() {
        assert_eq!(texts("l"), ["leave", "ls", "lookup", "lp"]);
        assert_eq!(texts(":down"), ["download"]);
        assert_eq!(texts("").len(), TABLE.len());
        assert_eq!(texts("nonsense x"), Vec::<String>::new());
    }

    #[test]
    fn peers_complete_as_address_port_or_id() {
        assert_eq!(texts("ping "), ["127.0.0.1:2001", "127.0.0.1:2002"]);
        assert_eq!(texts("ping :2"), [":2001", ":2002"]);
        assert_eq!(texts("ping 49"), ["495"]);
        let mut history = History::default();
        history.push("join 192.0.2.7:2000");
        assert_eq!(texts_with("join 192", &history), ["192.0.2.7:2000"]);
    }

    #[test]
    fn ring_files_complete_from_the_snapshot_and_from_what_was_stored() {
        assert_eq!(texts("get sky"), ["SkyShip.jpg"]);
        let mut history = History::default();
        history.push("put \"/tmp/my file.txt\"");
        assert_eq!(texts_with("get my", &history), ["\"my file.txt\""]);
        assert_eq!(texts_with("get \"my fi", &history), ["\"my file.txt\""]);
    }

    #[test]
    fn local_paths_complete_step_by_step_and_hide_dot_files() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path();
        std::fs::create_dir(root.join("my dir")).expect("made");
        std::fs::write(root.join("my dir/x.jpg"), "x").expect("written");
        std::fs::write(root.join(".hidden"), "x").expect("written");
        std::fs::write(root.join("bad\u{1b}name"), "x").expect("written");
        let root = root.to_str().expect("plain");
        assert_eq!(texts(&format!("put {root}/")), [format!("\"{root}/my dir/\"")]);
        assert_eq!(texts(&format!("put \"{root}/my dir/")), [format!("\"{root}/my dir/x.jpg\"")]);
        assert_eq!(texts(&format!("put {root}/.h")), [format!("{root}/.hidden")]);
        assert_eq!(texts(&format!("get a --to={root}/.h")), [format!("--to={root}/.hidden")]);
    }

    #[test]
    fn options_complete_once_and_their_values_by_kind() {
        assert_eq!(texts("put a --"), ["--as", "--overwrite"]);
        assert_eq!(texts("put a --as b "), ["--overwrite"]);
        assert_eq!(texts("put a --as Sky"), ["SkyShip.jpg"]);
        assert_eq!(texts("put -- --"), Vec::<String>::new());
    }

    #[test]
    fn transfers_complete_by_number_when_they_can_be_cancelled() {
        assert_eq!(texts("cancel "), ["4"]);
    }

    #[test]
    fn one_line_describes_what_is_being_typed() {
        assert_eq!(
            description("put"),
            "put PATH [--as NAME] [--overwrite]: store a file on the ring"
        );
        assert_eq!(description("put "), "PATH: a file on this machine");
        assert_eq!(description("put a --as "), "--as NAME: the name on the ring");
        assert_eq!(
            description("put a --overwrite"),
            "--overwrite: replace other content under the name"
        );
        assert_eq!(description("leave "), "leave");
    }

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

    proptest::proptest! {
        #[test]
        fn any_line_completes_from_a_place_inside_it(line in ".{0,40}") {
            let snapshot = fixture::member();
            let found =
                complete(&line, &snapshot, &History::default(), &mut Directory::default());
            proptest::prop_assert!(line.is_char_boundary(found.start));
        }
    }
}
