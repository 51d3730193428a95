//! The command language: one table behind the prompt, the subcommands of the
//! command line and the help.
//!
//! [`TABLE`] is the only place that names commands, their aliases, arguments
//! and options. [`parse_line`] reads a line as it was typed at the prompt;
//! [`parse_words`] reads words that a shell has split already.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::target;

/// One command, understood but not resolved: addresses, ids and names are
/// still the words that were typed, because what they mean depends on the node
/// that carries the command out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Enter the ring of this member.
    Join {
        /// PEER.
        contact: String,
    },
    /// Hand over files and leave.
    Leave,
    /// Store a file.
    Put {
        /// A local file.
        path: PathBuf,
        /// Its name on the ring; the path's last component without it.
        name: Option<String>,
        /// Replace other content.
        overwrite: bool,
    },
    /// Fetch a file.
    Get {
        /// Its name.
        name: String,
        /// Where to save it; the download directory without it.
        to: Option<PathBuf>,
        /// Do not offer it to others afterwards.
        no_reshare: bool,
    },
    /// Remove a file.
    Rm {
        /// Its name.
        name: String,
    },
    /// List files.
    Ls {
        /// Only names that match (`*`, `?`; a plain word matches anywhere).
        pattern: Option<String>,
        /// Those of the whole ring instead of this node's.
        ring: bool,
    },
    /// Identity and neighbours.
    Info,
    /// The finger table.
    Fingers,
    /// Members and invariants.
    Ring,
    /// The hops of a lookup.
    Lookup {
        /// A key or a file's name.
        target: String,
    },
    /// A round trip.
    Ping {
        /// PEER.
        peer: String,
    },
    /// The identifier of a text.
    Id {
        /// The text.
        text: String,
    },
    /// Offer files from where they lie.
    Share {
        /// Files and directories.
        paths: Vec<PathBuf>,
    },
    /// Offer them no longer.
    Unshare {
        /// A shared file's name, or a path that was shared.
        name: String,
    },
    /// Search the linked peers and the whole ring.
    Find {
        /// `*`, `?`; a plain word matches anywhere.
        pattern: String,
    },
    /// Fetch a file from exactly one peer.
    Request {
        /// The file's name there.
        name: String,
        /// PEER.
        peer: String,
        /// Where to save it; the download directory without it.
        to: Option<PathBuf>,
    },
    /// Look which ports of a host have nodes behind them.
    Scan {
        /// A host; this node's own without it.
        host: Option<String>,
        /// FROM-TO.
        ports: Option<String>,
    },
    /// Link with a peer.
    Connect {
        /// PEER.
        peer: String,
    },
    /// End the link with a peer.
    Disconnect {
        /// PEER.
        peer: String,
    },
    /// Links, registries, reputations.
    Peers,
    /// Tell everyone.
    Say {
        /// The sentence.
        text: String,
    },
    /// Running and recent transfers.
    Transfers,
    /// Stop a transfer.
    Cancel {
        /// Its number.
        number: u64,
    },
    /// Explain the commands, or one.
    Help {
        /// Which.
        command: Option<String>,
    },
    /// End the program.
    Quit,
}

/// What an argument stands for: how to complete it and how to describe it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An address, `:port`, a bare port or a unique prefix of a node's id.
    Peer,
    /// A file on this machine.
    LocalPath,
    /// A name on the ring.
    RingFile,
    /// A name on the ring, a shared or a found one, maybe with `@HASH` behind it.
    Content,
    /// A name that this node shares.
    SharedFile,
    /// A linked peer.
    Linked,
    /// A host of the network.
    Host,
    /// A range of ports.
    Ports,
    /// A key or a name on the ring.
    KeyOrName,
    /// A pattern over names.
    Pattern,
    /// Anything.
    Text,
    /// The number of a transfer.
    Transfer,
    /// A command's name.
    Word,
}

/// A positional argument.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// As the usage line shows it.
    pub name: &'static str,
    /// What it stands for.
    pub kind: Kind,
    /// Whether it may be left out.
    pub optional: bool,
    /// Whether it takes all the words that are left (the last argument only).
    pub repeated: bool,
    /// One line.
    pub help: &'static str,
}

/// An option.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    /// With its dashes: `--as`.
    pub name: &'static str,
    /// The value that it takes, if it takes one.
    pub value: Option<(&'static str, Kind)>,
    /// One line.
    pub help: &'static str,
}

/// Everything that is said about a command, anywhere.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The word.
    pub name: &'static str,
    /// Other words for it.
    pub aliases: &'static [&'static str],
    /// Positional arguments, in order.
    pub arguments: &'static [Argument],
    /// Options.
    pub flags: &'static [Flag],
    /// One line: what it does.
    pub summary: &'static str,
    /// A short paragraph: what happens, and an example.
    pub details: &'static str,
    /// Whether the command line has it as a subcommand (with `--via`).
    pub remote: bool,
    /// Whether it only reads: `--json` applies.
    pub reads: bool,
}

impl Spec {
    /// `put PATH [--as NAME] [--overwrite]`, `share PATH…`.
    pub fn usage(&self) -> String {
        let mut line = self.name.to_owned();
        for argument in self.arguments {
            let more = if argument.repeated { "…" } else { "" };
            let shown = if argument.optional {
                format!(" [{}{more}]", argument.name)
            } else {
                format!(" {}{more}", argument.name)
            };
            line.push_str(&shown);
        }
        for flag in self.flags {
            let shown = match flag.value {
                Some((value, _)) => format!(" [{} {value}]", flag.name),
                None => format!(" [{}]", flag.name),
            };
            line.push_str(&shown);
        }
        line
    }

    /// Every word for it, the name first.
    pub fn words(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }
}

const fn argument(name: &'static str, kind: Kind, help: &'static str) -> Argument {
    Argument { name, kind, optional: false, repeated: false, help }
}

const fn optional(name: &'static str, kind: Kind, help: &'static str) -> Argument {
    Argument { name, kind, optional: true, repeated: false, help }
}

const fn repeated(name: &'static str, kind: Kind, help: &'static str) -> Argument {
    Argument { name, kind, optional: false, repeated: true, help }
}

const PEER_HELP: &str = "an address, :port, a bare port, or the start of a node's id";

/// The commands, in the order in which the help lists them.
pub const TABLE: &[Spec] = &[
    Spec {
        name: "join",
        aliases: &[],
        arguments: &[argument("ADDR", Kind::Peer, PEER_HELP)],
        flags: &[],
        summary: "enter a ring through any of its members",
        details: "Finds this node's place on the ring, takes over the successor list there and the \
                  files whose keys now belong here. A node that is alone takes over the ring's name, \
                  bits and replica count. A node with members of its own merges the two rings. \
                  Example: join 127.0.0.1:2000",
        remote: false,
        reads: false,
    },
    Spec {
        name: "leave",
        aliases: &[],
        arguments: &[],
        flags: &[],
        summary: "hand over this node's files and leave the ring",
        details: "Every file held here is copied to where it belongs without this node before it is \
                  given up. The program goes on, alone; join brings it back.",
        remote: false,
        reads: false,
    },
    Spec {
        name: "put",
        aliases: &["upload"],
        arguments: &[argument("PATH", Kind::LocalPath, "a file on this machine")],
        flags: &[
            Flag {
                name: "--as",
                value: Some(("NAME", Kind::RingFile)),
                help: "the name on the ring",
            },
            Flag { name: "--overwrite", value: None, help: "replace other content under the name" },
        ],
        summary: "store a file on the ring",
        details: "Answers when all copies are on disk: the owner of the name's key and its next \
                  successors. Other content under the same name is refused without --overwrite. \
                  Example: put SkyShip.jpg",
        remote: true,
        reads: false,
    },
    Spec {
        name: "get",
        aliases: &["download"],
        arguments: &[argument(
            "NAME",
            Kind::Content,
            "a file on the ring or shared by somebody; NAME@HASH chooses between contents",
        )],
        flags: &[
            Flag {
                name: "--to",
                value: Some(("PATH", Kind::LocalPath)),
                help: "a file or directory to save it to",
            },
            Flag {
                name: "--no-reshare",
                value: None,
                help: "do not offer it to others afterwards",
            },
        ],
        summary: "fetch a file from all who have it",
        details: "Downloads from all holders and sharers side by side, and goes on without those that \
                  die. Every piece is verified; the file appears under its name only when it is \
                  whole, and never over another file: name (1).ext. When the name stands for several \
                  contents they are listed, and NAME@HASH takes one by the first digits of its hash. \
                  Example: get SkyShip.jpg",
        remote: true,
        reads: false,
    },
    Spec {
        name: "rm",
        aliases: &[],
        arguments: &[argument("NAME", Kind::RingFile, "a file on the ring")],
        flags: &[],
        summary: "remove a file from the ring",
        details: "Leaves a marker in its place that keeps old copies from coming back.",
        remote: true,
        reads: false,
    },
    Spec {
        name: "ls",
        aliases: &["files"],
        arguments: &[optional(
            "PATTERN",
            Kind::Pattern,
            "only these names: * and ? match, a plain word matches anywhere",
        )],
        flags: &[Flag { name: "--ring", value: None, help: "the files of the whole ring" }],
        summary: "list the files held here, or on the whole ring",
        details: "For each file: its key, size, this node's part (owner or replica) and the copies \
                  that exist of those wanted. Example: ls '*.jpg' --ring",
        remote: true,
        reads: true,
    },
    Spec {
        name: "share",
        aliases: &[],
        arguments: &[repeated("PATH", Kind::LocalPath, "files or directories on this machine")],
        flags: &[],
        summary: "offer files to others from where they lie",
        details: "The files stay where they are; the ring remembers who has them, and others get and \
                  find them. A directory's files are named by their path below it, and changes in it \
                  are followed. Example: share ~/Pictures",
        remote: false,
        reads: false,
    },
    Spec {
        name: "unshare",
        aliases: &[],
        arguments: &[argument("NAME", Kind::SharedFile, "a shared file's name, or a shared path")],
        flags: &[],
        summary: "stop offering a shared file or directory",
        details: "The file itself stays where it is. Example: unshare SkyShip.jpg",
        remote: false,
        reads: false,
    },
    Spec {
        name: "find",
        aliases: &["sf"],
        arguments: &[argument(
            "PATTERN",
            Kind::Pattern,
            "* and ? match, a plain word matches anywhere, in small or capital letters",
        )],
        flags: &[],
        summary: "search the linked peers and the whole ring for files",
        details: "Linked peers answer first, one line each; then every node of the ring is asked over \
                  a tree of finger intervals. Results come in as they are found, each content once \
                  with all who have it. Example: find *.jpg",
        remote: true,
        reads: true,
    },
    Spec {
        name: "request",
        aliases: &[],
        arguments: &[
            argument("NAME", Kind::Content, "a file that the peer has"),
            argument("PEER", Kind::Peer, PEER_HELP),
        ],
        flags: &[Flag {
            name: "--to",
            value: Some(("PATH", Kind::LocalPath)),
            help: "a file or directory to save it to",
        }],
        summary: "fetch a file from exactly one peer",
        details: "Takes the bytes from this peer and nobody else, whether it stores the file for the \
                  ring or shares it. Example: request SkyShip.jpg 5003",
        remote: true,
        reads: false,
    },
    Spec {
        name: "scan",
        aliases: &[],
        arguments: &[
            optional("HOST", Kind::Host, "a host; this one without it"),
            optional("FROM-TO", Kind::Ports, "ports, at most 1024 of them"),
        ],
        flags: &[],
        summary: "look which ports of a host have nodes behind them",
        details: "All ports are tried side by side, one second each, and whatever answers says whether \
                  it is a node, and on which ring, or a registry. Without ports: the ten around this \
                  node's own (around 2000, where there is none), and 5000-5009. \
                  Example: scan 127.0.0.1 5000-5009",
        remote: true,
        reads: true,
    },
    Spec {
        name: "connect",
        aliases: &[],
        arguments: &[argument("PEER", Kind::Peer, PEER_HELP)],
        flags: &[],
        summary: "link with a peer",
        details: "Linked peers watch each other, pass on what people say, and are searched first. The \
                  peer need not be on this ring. Example: connect 5003",
        remote: false,
        reads: false,
    },
    Spec {
        name: "disconnect",
        aliases: &[],
        arguments: &[argument("PEER", Kind::Linked, PEER_HELP)],
        flags: &[],
        summary: "end the link with a peer",
        details: "It is not drawn at random again for a while. Example: disconnect 5003",
        remote: false,
        reads: false,
    },
    Spec {
        name: "peers",
        aliases: &["lp"],
        arguments: &[],
        flags: &[],
        summary: "list linked peers, registries and whom not to trust",
        details: "Why there is a link, whether the peer lives, its round trip, what it shares, and \
                  what speaks against it.",
        remote: true,
        reads: true,
    },
    Spec {
        name: "say",
        aliases: &[],
        arguments: &[repeated("TEXT", Kind::Text, "a sentence")],
        flags: &[],
        summary: "tell everyone something",
        details: "Floods over the links; everyone sees it once, among the events. \
                  Example: say the backup is done",
        remote: true,
        reads: false,
    },
    Spec {
        name: "info",
        aliases: &[],
        arguments: &[],
        flags: &[],
        summary: "show identity, predecessor and successors",
        details: "The node's id is the SHA-1 of its address, modulo 2^bits.",
        remote: true,
        reads: true,
    },
    Spec {
        name: "fingers",
        aliases: &[],
        arguments: &[],
        flags: &[],
        summary: "show the finger table",
        details: "Finger i is the first node at or after id + 2^i: the shortcuts that make lookups \
                  logarithmic.",
        remote: true,
        reads: true,
    },
    Spec {
        name: "ring",
        aliases: &[],
        arguments: &[],
        flags: &[],
        summary: "list every member and check the ring's invariants",
        details: "Walks the ring, asks each member for its own neighbours and checks: exactly one \
                  ring, in the order of the ids, with valid successor lists.",
        remote: true,
        reads: true,
    },
    Spec {
        name: "lookup",
        aliases: &["trace"],
        arguments: &[argument("KEY|NAME", Kind::KeyOrName, "a key, or a file's name")],
        flags: &[],
        summary: "find the owner of a key and show every hop",
        details: "A number below 2^bits is a key, anything else a name. Example: lookup SkyShip.jpg",
        remote: true,
        reads: true,
    },
    Spec {
        name: "ping",
        aliases: &[],
        arguments: &[argument("PEER", Kind::Peer, PEER_HELP)],
        flags: &[],
        summary: "measure the round trip to a peer",
        details: "Example: ping :2001",
        remote: true,
        reads: false,
    },
    Spec {
        name: "id",
        aliases: &[],
        arguments: &[argument("TEXT", Kind::Text, "an address or a file's name")],
        flags: &[],
        summary: "compute the identifier of a text",
        details: "SHA-1 of the text, modulo 2^bits. Example: id SkyShip.jpg",
        remote: true,
        reads: true,
    },
    Spec {
        name: "transfers",
        aliases: &[],
        arguments: &[],
        flags: &[],
        summary: "list running and recent transfers",
        details: "Each with its number, which cancel takes.",
        remote: false,
        reads: true,
    },
    Spec {
        name: "cancel",
        aliases: &[],
        arguments: &[argument("N", Kind::Transfer, "the number of a running transfer")],
        flags: &[],
        summary: "stop a running transfer",
        details: "Nothing half-written is left behind. Example: cancel 3",
        remote: false,
        reads: false,
    },
    Spec {
        name: "help",
        aliases: &["?"],
        arguments: &[optional("COMMAND", Kind::Word, "the command to explain")],
        flags: &[],
        summary: "explain the commands, or one of them",
        details: "Example: help put",
        remote: false,
        reads: false,
    },
    Spec {
        name: "quit",
        aliases: &["exit"],
        arguments: &[],
        flags: &[],
        summary: "leave the ring and end the program",
        details: "Hands over this node's files first, within a time limit.",
        remote: false,
        reads: false,
    },
];

/// The entry for a word: a command's name or an alias.
pub fn spec(word: &str) -> Option<&'static Spec> {
    TABLE.iter().find(|spec| spec.words().any(|w| w == word))
}

/// Why a line is not a command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Nothing was typed.
    #[error("type a command, or ? for help")]
    Empty,
    /// No such word.
    #[error("unknown command '{word}'{}", suggest(*.nearest))]
    Unknown {
        /// The word.
        word: String,
        /// A command that looks like it.
        nearest: Option<&'static str>,
    },
    /// A known word with wrong arguments.
    #[error("{problem}\nUsage: {}", spec.usage())]
    Usage {
        /// What is wrong.
        problem: String,
        /// The command.
        spec: &'static Spec,
    },
    /// A quotation mark without its partner.
    #[error("a quotation mark is not closed")]
    Quote,
}

impl PartialEq for Spec {
    fn eq(&self, other: &Spec) -> bool {
        self.name == other.name
    }
}

impl Eq for Spec {}

fn suggest(nearest: Option<&'static str>) -> String {
    match nearest {
        Some(word) => format!("; did you mean '{word}'?"),
        None => "; ? lists all".to_owned(),
    }
}

/// Reads a line as typed at the prompt. A leading `:` is ignored.
pub fn parse_line(line: &str) -> Result<Command, ParseError> {
    let line = line.trim();
    let words = split(line.strip_prefix(':').unwrap_or(line))?;
    parse_words(&words)
}

/// Reads words that are split already, the command first.
pub fn parse_words(words: &[String]) -> Result<Command, ParseError> {
    let Some((word, rest)) = words.split_first() else {
        return Err(ParseError::Empty);
    };
    let Some(spec) = spec(word) else {
        return Err(ParseError::Unknown { word: word.clone(), nearest: nearest(word) });
    };
    let given = Given::sort(spec, rest)?;
    given.command()
}

/// Splits a line into words, as a shell would: blanks separate, quotation
/// marks keep together, a backslash takes the next character as it is.
pub fn split(line: &str) -> Result<Vec<String>, ParseError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), _) if c == q => quote = None,
            (Some('\''), _) => word.get_or_insert_default().push(c),
            (_, '\\') => match chars.next() {
                Some(next) => word.get_or_insert_default().push(next),
                None => word.get_or_insert_default().push('\\'),
            },
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err(ParseError::Quote);
    }
    words.extend(word);
    Ok(words)
}

/// Puts a word into quotation marks where [`split`] would take it apart.
pub fn quote(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !matches!(c, '\'' | '"' | '\\');
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    let escaped: String = word
        .chars()
        .flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c]))
        .collect();
    format!("\"{escaped}\"")
}

/// The command whose name is closest to a mistyped word, if one is close.
fn nearest(word: &str) -> Option<&'static str> {
    nearest_of(word, TABLE.iter().flat_map(Spec::words))
}

/// The one of some known words that is closest to a mistyped one, if one is
/// close.
pub fn nearest_of<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (distance(word, known), known))
        .filter(|(distance, known)| *distance <= known.len().div_ceil(3).min(2))
        .min()
        .map(|(_, known)| known)
}

/// Edit distance in which a swap of neighbours counts as one step.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(32).collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A command's words, sorted into arguments and options.
struct Given {
    spec: &'static Spec,
    arguments: Vec<String>,
    flags: Vec<(&'static str, Option<String>)>,
}

impl Given {
    fn sort(spec: &'static Spec, words: &[String]) -> Result<Given, ParseError> {
        let usage = |problem: String| ParseError::Usage { problem, spec };
        let mut given = Given { spec, arguments: Vec::new(), flags: Vec::new() };
        let mut words = words.iter();
        let mut options = true;
        while let Some(word) = words.next() {
            if options && word == "--" {
                options = false;
            } else if options && word.starts_with("--") {
                let (name, inline) = match word.split_once('=') {
                    Some((name, value)) => (name, Some(value.to_owned())),
                    None => (word.as_str(), None),
                };
                let Some(flag) = spec.flags.iter().find(|flag| flag.name == name) else {
                    return Err(usage(format!("{} has no option {name}", spec.name)));
                };
                let value = match (flag.value, inline) {
                    (None, None) => None,
                    (None, Some(_)) => return Err(usage(format!("{name} takes no value"))),
                    (Some(_), Some(value)) => Some(value),
                    (Some((what, _)), None) => match words.next() {
                        Some(value) => Some(value.clone()),
                        None => return Err(usage(format!("{name} needs a {what}"))),
                    },
                };
                given.flags.push((flag.name, value));
            } else {
                given.arguments.push(word.clone());
            }
        }
        let needed = spec.arguments.iter().filter(|argument| !argument.optional).count();
        if let Some(missing) = spec.arguments.get(given.arguments.len())
            && given.arguments.len() < needed
        {
            return Err(usage(format!("{} needs {}: {}", spec.name, missing.name, missing.help)));
        }
        let repeated = spec.arguments.last().is_some_and(|argument| argument.repeated);
        if given.arguments.len() > spec.arguments.len() && !repeated {
            let extra = &given.arguments[spec.arguments.len()];
            return Err(usage(format!("'{extra}' is one word too many")));
        }
        Ok(given)
    }

    fn command(mut self) -> Result<Command, ParseError> {
        let spec = self.spec;
        let words = std::mem::take(&mut self.arguments);
        let mut arguments = words.clone().into_iter();
        // `sort` has checked that everything needed is there.
        let mut next = move || arguments.next().unwrap_or_default();
        let mut optional = || Some(next()).filter(|word| !word.is_empty());
        Ok(match spec.name {
            "join" => Command::Join { contact: optional().unwrap_or_default() },
            "leave" => Command::Leave,
            "put" => Command::Put {
                path: optional().unwrap_or_default().into(),
                name: self.value("--as"),
                overwrite: self.has("--overwrite"),
            },
            "get" => Command::Get {
                name: optional().unwrap_or_default(),
                to: self.value("--to").map(PathBuf::from),
                no_reshare: self.has("--no-reshare"),
            },
            "share" => Command::Share { paths: words.into_iter().map(PathBuf::from).collect() },
            "unshare" => Command::Unshare { name: optional().unwrap_or_default() },
            "find" => Command::Find { pattern: optional().unwrap_or_default() },
            "request" => Command::Request {
                name: optional().unwrap_or_default(),
                peer: optional().unwrap_or_default(),
                to: self.value("--to").map(PathBuf::from),
            },
            "scan" => scan(spec, words)?,
            "connect" => Command::Connect { peer: optional().unwrap_or_default() },
            "disconnect" => Command::Disconnect { peer: optional().unwrap_or_default() },
            "peers" => Command::Peers,
            "say" => Command::Say { text: words.join(" ") },
            "rm" => Command::Rm { name: optional().unwrap_or_default() },
            "ls" => Command::Ls { pattern: optional(), ring: self.has("--ring") },
            "info" => Command::Info,
            "fingers" => Command::Fingers,
            "ring" => Command::Ring,
            "lookup" => Command::Lookup { target: optional().unwrap_or_default() },
            "ping" => Command::Ping { peer: optional().unwrap_or_default() },
            "id" => Command::Id { text: optional().unwrap_or_default() },
            "transfers" => Command::Transfers,
            "cancel" => {
                let word = optional().unwrap_or_default();
                match word.parse() {
                    Ok(number) => Command::Cancel { number },
                    Err(_) => {
                        let problem = format!("'{word}' is not the number of a transfer");
                        return Err(ParseError::Usage { problem, spec });
                    }
                }
            }
            "help" => Command::Help { command: optional() },
            "quit" => Command::Quit,
            other => unreachable!("'{other}' stands in the table but has no command"),
        })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == flag)
    }

    fn value(&self, flag: &str) -> Option<String> {
        self.flags.iter().rev().find(|(name, _)| *name == flag).and_then(|(_, value)| value.clone())
    }
}

/// `scan [HOST] [FROM-TO]`: a single word of digits and dashes is a range of
/// ports.
fn scan(spec: &'static Spec, words: Vec<String>) -> Result<Command, ParseError> {
    let ports =
        |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_digit() || c == '-');
    let (host, ports) = match words.as_slice() {
        [only] if ports(only) => (None, Some(only.clone())),
        [] => (None, None),
        [host] => (Some(host.clone()), None),
        [host, range, ..] => (Some(host.clone()), Some(range.clone())),
    };
    let usage = |problem| ParseError::Usage { problem, spec };
    host.as_deref().map(target::host).transpose().map_err(usage)?;
    ports.as_deref().map(target::ports).transpose().map_err(usage)?;
    Ok(Command::Scan { host, ports })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_command_of_the_table_is_understood_under_every_word() {
        for spec in TABLE {
            for word in spec.words() {
                let mut words = vec![word.to_owned()];
                words.extend(spec.arguments.iter().filter(|a| !a.optional).map(|_| "1".to_owned()));
                assert!(parse_words(&words).is_ok(), "{word}");
            }
        }
    }

    #[test]
    fn words_are_unique() {
        let mut words: Vec<_> = TABLE.iter().flat_map(Spec::words).collect();
        words.sort_unstable();
        let count = words.len();
        words.dedup();
        assert_eq!(words.len(), count);
    }

    #[test]
    fn a_line_may_start_with_a_colon_and_quote_names() {
        assert_eq!(
            parse_line(":put \"my file.jpg\" --as 'a b' --overwrite"),
            Ok(Command::Put {
                path: "my file.jpg".into(),
                name: Some("a b".into()),
                overwrite: true
            })
        );
        assert_eq!(
            parse_line("get x --to=y"),
            Ok(Command::Get { name: "x".into(), to: Some("y".into()), no_reshare: false })
        );
        assert_eq!(
            parse_line("get -- --odd"),
            Ok(Command::Get { name: "--odd".into(), to: None, no_reshare: false })
        );
        assert_eq!(
            parse_line("share a b"),
            Ok(Command::Share { paths: vec!["a".into(), "b".into()] })
        );
        assert_eq!(parse_line("say hello, you"), Ok(Command::Say { text: "hello, you".into() }));
        assert_eq!(
            parse_line("scan 5000-5009"),
            Ok(Command::Scan { host: None, ports: Some("5000-5009".into()) })
        );
        assert_eq!(
            parse_line("scan localhost"),
            Ok(Command::Scan { host: Some("localhost".into()), ports: None })
        );
        assert_eq!(parse_line("put 'x"), Err(ParseError::Quote));
        assert_eq!(parse_line("  "), Err(ParseError::Empty));
    }

    #[test]
    fn wrong_arguments_print_the_usage_line() {
        for (line, expected) in [
            (
                "join",
                "join needs ADDR: an address, :port, a bare port, or the start of a node's id\nUsage: join ADDR",
            ),
            ("leave now", "'now' is one word too many\nUsage: leave"),
            ("put a --as", "--as needs a NAME\nUsage: put PATH [--as NAME] [--overwrite]"),
            ("ls --rign", "ls has no option --rign\nUsage: ls [PATTERN] [--ring]"),
            ("cancel x", "'x' is not the number of a transfer\nUsage: cancel N"),
            (
                "scan 5009-5000",
                "'5009-5000' goes down; write the lower port first: 5000-5009\nUsage: scan [HOST] [FROM-TO]",
            ),
        ] {
            let error = parse_line(line).expect_err(line);
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn unknown_words_suggest_the_nearest_command() {
        for (word, expected) in [
            ("jion", Some("join")),
            ("fnigers", Some("fingers")),
            ("dowload", Some("download")),
            ("lokup", Some("lookup")),
            ("xyzzy", None),
        ] {
            let Err(ParseError::Unknown { nearest, .. }) = parse_line(word) else {
                panic!("{word} is unknown");
            };
            assert_eq!(nearest, expected, "{word}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_word_is_one_word(word in ".*") {
            prop_assert_eq!(split(&quote(&word)), Ok(vec![word]));
        }

        #[test]
        fn no_line_panics(line in ".*") {
            let _ = parse_line(&line);
        }
    }
}
