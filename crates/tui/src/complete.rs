//! What the word under the cursor can become: commands, options, and arguments
//! by their [`Kind`].
//!
//! The table of commands decides what stands where; the snapshot, the history
//! and the local directories supply the words. The only I/O is listing the
//! directory that a local path is being typed in, once per directory
//! ([`Directory`]).

use chordal_view::Snapshot;
use chordal_view::command::{Flag, Kind, Spec, TABLE, Typed, spec};

use super::history::History;

mod candidates;

pub use candidates::{Directory, expand_home};
use candidates::{Source, distinct};

/// Candidates offered at once: more than a menu shows, few enough to make in
/// no time.
const MAX_CANDIDATES: usize = 100;

/// One completion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// What it puts into the line.
    pub text: String,
    /// What it is, in a few words.
    pub help: String,
}

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
    // A colon may stand before the command.
    let trimmed = line.trim_start();
    let trimmed = trimmed.strip_prefix(':').unwrap_or(trimmed);
    let mut typed = Typed::read(trimmed);
    typed.start += line.len() - trimmed.len();
    let mut source = Source { snapshot, history, directory };
    let Some((command, given)) = typed.words.split_first() else {
        let mut items = commands(&typed.current);
        items.truncate(MAX_CANDIDATES);
        return Completions { start: typed.start, items, description: word_help(&typed.current) };
    };
    let Some(spec) = spec(command) else {
        return Completions { start: typed.start, ..Completions::default() };
    };
    let (mut items, description) = match place(spec, given, &typed.current) {
        Place::Flag => (flags(spec, given, &typed.current), flag_help(spec, &typed.current)),
        Place::Argument { kind, description } => {
            let mut items = Vec::new();
            if let (Kind::Peer, Some(name)) = (kind, given.first()) {
                items = source.sources(name, &typed.current);
            }
            items.extend(source.words(kind, &typed.current));
            (distinct(items), description)
        }
        Place::Value { flag, inline } => {
            let (typed, before) = match (&inline, typed.current.split_once('=')) {
                (true, Some((name, typed))) => (typed, format!("{name}=")),
                _ => (typed.current.as_str(), String::new()),
            };
            let (what, kind) = flag.value.unwrap_or(("", Kind::Text));
            let mut items = source.words(kind, typed);
            for item in &mut items {
                item.text.insert_str(0, &before);
            }
            (items, format!("{} {what}: {}", flag.name, flag.help))
        }
        Place::Sentence(description) => (Vec::new(), description),
        Place::Nothing => (Vec::new(), spec.usage()),
    };
    items.truncate(MAX_CANDIDATES);
    Completions { start: typed.start, items, description }
}

/// What stands under the cursor behind a command's name.
enum Place {
    Flag,
    Argument { kind: Kind, description: String },
    Value { flag: &'static Flag, inline: bool },
    Sentence(String),
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
    let repeated = spec.arguments.last().filter(|argument| argument.repeated);
    match spec.arguments.get(positional).or(repeated) {
        // A sentence is not guessed word by word.
        Some(argument) if argument.repeated && argument.kind == Kind::Text => {
            Place::Sentence(format!("{}: {}", argument.name, argument.help))
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

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

    /// A node with links, a search, a scan and a shared file.
    fn rich() -> Snapshot {
        let mut snapshot = (*fixture::eight().nodes[0].snapshot).clone();
        snapshot.search = Some(std::sync::Arc::new(fixture::search()));
        snapshot.scan = Some(std::sync::Arc::new(fixture::scan()));
        snapshot
    }

    fn rich_texts(line: &str) -> Vec<String> {
        let found = complete(line, &rich(), &History::default(), &mut Directory::default());
        found.items.into_iter().map(|item| item.text).collect()
    }

    #[test]
    fn what_was_found_completes_with_its_hash_where_a_name_stands_for_several() {
        let both = ["SkyShip.jpg@a1a1a1a1", "SkyShip.jpg@a7a7a7a7"];
        let all = rich_texts("get sky");
        assert_eq!(all[..2], both);
        assert_eq!(all[2], "\"Skyline of a rather large city at night.mkv\"");
        assert_eq!(rich_texts("get SkyShip.jpg@a7"), [both[1]]);
        assert_eq!(rich_texts("get notes/"), ["notes/sky.md"]);
        assert_eq!(rich_texts("rm notes/"), Vec::<String>::new(), "it need not be on the ring");
    }

    #[test]
    fn a_request_offers_those_first_who_have_the_file() {
        let all = rich_texts("request notes/sky.md ");
        assert_eq!(all[..2], ["127.0.0.1:2005", "127.0.0.1:2006"]);
        assert_eq!(all.iter().filter(|text| *text == "127.0.0.1:2005").count(), 1);
        assert_eq!(rich_texts("request SkyShip.jpg@a7a7a7a7 :2")[0], ":2003");
    }

    #[test]
    fn peers_complete_from_links_and_scans_too_and_disconnect_knows_links_only() {
        assert_eq!(rich_texts("ping :50"), [":5003", ":5005", ":5009"]);
        let linked = rich_texts("disconnect ");
        let ports = [2001, 2003, 2004, 2005, 5003];
        assert_eq!(linked, ports.map(|port| format!("127.0.0.1:{port}")));
    }

    #[test]
    fn unshare_knows_what_is_shared_from_here() {
        assert_eq!(rich_texts("unshare "), ["SkyShip.jpg", "talks/2026/chord.pdf"]);
        assert_eq!(rich_texts("rm talks"), Vec::<String>::new(), "it is not on the ring");
    }

    #[test]
    fn scan_offers_hosts_and_ranges_of_ports() {
        assert_eq!(rich_texts("scan "), ["127.0.0.1", "2000-2009", "5000-5009"]);
        assert_eq!(rich_texts("scan 127.0.0.1 5"), ["5000-5009"]);
    }

    #[test]
    fn every_path_of_a_list_completes_but_no_word_of_a_sentence() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("x.jpg"), "x").expect("written");
        let root = directory.path().to_str().expect("plain");
        assert_eq!(texts(&format!("share a b {root}/")), [format!("{root}/x.jpg")]);
        assert_eq!(texts("say sky"), Vec::<String>::new());
        assert_eq!(description("say hello "), "TEXT: a sentence");
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
        assert_eq!(texts("put a --"), ["--as", "--overwrite", "--min-copies"]);
        assert_eq!(texts("put a --as b "), ["--overwrite", "--min-copies"]);
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
            "put PATH [--as NAME] [--overwrite] [--min-copies N]: store a file on the ring"
        );
        assert_eq!(description("put "), "PATH: a file or directory on this machine");
        assert_eq!(description("put a --as "), "--as NAME: the name on the ring");
        assert_eq!(
            description("put a --overwrite"),
            "--overwrite: replace other content under the name"
        );
        assert_eq!(description("leave "), "leave");
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
