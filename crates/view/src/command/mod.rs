//! The command language: one table behind the prompt, the subcommands of the
//! command line and the help.
//!
//! [`TABLE`] is the only place that names commands, their aliases, arguments
//! and options. [`parse_line`] reads a line as it was typed at the prompt;
//! [`parse_words`] reads words that a shell has split already.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::target;
use chordal_core::limits::MAX_REPLICAS;

mod table;

pub use table::{Argument, Flag, Kind, Spec, TABLE, spec};

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
        /// Copies without which it fails.
        min_copies: u8,
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
    /// Offer files without copying them.
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
        /// Do not offer it to others afterwards.
        no_reshare: bool,
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
    /// Have a transfer wait.
    Pause {
        /// Its number.
        number: u64,
    },
    /// Have a paused transfer go on.
    Resume {
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
    /// End the program now, whatever is handed over.
    QuitNow,
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
    #[error("{problem}\nUsage: {}", spec.usage_as(word))]
    Usage {
        /// What is wrong.
        problem: String,
        /// The command.
        spec: &'static Spec,
        /// The word of its that was typed.
        word: &'static str,
    },
    /// A quotation mark without its partner.
    #[error("a quotation mark is not closed")]
    Quote,
}

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
    parse_words(&words.into_iter().map(OsString::from).collect::<Vec<_>>())
}

/// Reads words that are split already, the command first. Those that stand for
/// local paths may be any bytes, all others are text.
pub fn parse_words(words: &[OsString]) -> Result<Command, ParseError> {
    let Some((word, rest)) = words.split_first() else {
        return Err(ParseError::Empty);
    };
    let word = word.to_string_lossy();
    let Some(spec) = spec(&word) else {
        let nearest = nearest(&word);
        return Err(ParseError::Unknown { word: word.into_owned(), nearest });
    };
    let word = spec.words().find(|known| *known == word).unwrap_or(spec.name);
    let given = Given::sort(spec, word, rest)?;
    given.command()
}

/// Splits a line into words, as a shell would: blanks separate, quotation
/// marks keep together, a backslash takes the next character as it is.
pub fn split(line: &str) -> Result<Vec<String>, ParseError> {
    let mut typed = Typed::read(line);
    if typed.quote.is_some() {
        return Err(ParseError::Quote);
    }
    if typed.escaped {
        typed.current.push('\\');
    }
    typed.words.extend(typed.open.then_some(typed.current));
    Ok(typed.words)
}

/// A line as far as it was typed; its last word may not be complete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// The words before the last one.
    pub words: Vec<String>,
    /// The last word, without its quotation marks; empty behind a blank.
    pub current: String,
    /// Where it starts: a byte of the line.
    pub start: usize,
    /// There is a last word, maybe an empty one in quotation marks.
    open: bool,
    quote: Option<char>,
    escaped: bool,
}

impl Typed {
    /// Takes a line apart.
    pub fn read(line: &str) -> Typed {
        let mut typed = Typed::default();
        for (at, c) in line.char_indices() {
            typed.read_char(at, c);
        }
        if !typed.open {
            typed.start = line.len();
        }
        typed
    }

    fn read_char(&mut self, at: usize, c: char) {
        if self.quote.is_none() && !self.escaped && c.is_whitespace() {
            if std::mem::take(&mut self.open) {
                self.words.push(std::mem::take(&mut self.current));
            }
            return;
        }
        if !self.open {
            (self.open, self.start) = (true, at);
        }
        match (self.quote, c) {
            _ if std::mem::take(&mut self.escaped) => self.current.push(c),
            (Some(q), _) if c == q => self.quote = None,
            (Some('\''), _) => self.current.push(c),
            (_, '\\') => self.escaped = true,
            (None, '\'' | '"') => self.quote = Some(c),
            _ => self.current.push(c),
        }
    }
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
pub fn distance(a: &str, b: &str) -> usize {
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

/// The value of `--min-copies`; one copy is always made.
fn min_copies(
    spec: &'static Spec,
    word: &'static str,
    value: Option<String>,
) -> Result<u8, ParseError> {
    let Some(value) = value else { return Ok(1) };
    let number = value.parse().ok().filter(|number| (1..=MAX_REPLICAS).contains(number));
    number.ok_or_else(|| ParseError::Usage {
        problem: format!("--min-copies is a number from 1 to {MAX_REPLICAS}, not '{value}'"),
        spec,
        word,
    })
}

/// A command's words, sorted into arguments and options.
struct Given {
    spec: &'static Spec,
    word: &'static str,
    arguments: Vec<OsString>,
    flags: Vec<(&'static str, Option<OsString>)>,
}

impl Given {
    fn sort(
        spec: &'static Spec,
        word: &'static str,
        words: &[OsString],
    ) -> Result<Given, ParseError> {
        let usage = |problem: String| ParseError::Usage { problem, spec, word };
        let checked = |what: &str, kind: Kind, value: &OsString| {
            if kind == Kind::LocalPath || value.to_str().is_some() {
                return Ok(value.clone());
            }
            let shown = value.to_string_lossy();
            Err(usage(format!("{what} is a text; '{shown}' is no UTF-8, as only a path may be")))
        };
        let mut given = Given { spec, word, arguments: Vec::new(), flags: Vec::new() };
        let mut words = words.iter();
        let mut options = true;
        while let Some(word) = words.next() {
            let option = word.to_str().filter(|word| options && word.starts_with("--"));
            if option == Some("--") {
                options = false;
            } else if let Some(option) = option {
                let (name, inline) = match option.split_once('=') {
                    Some((name, value)) => (name, Some(OsString::from(value))),
                    None => (option, None),
                };
                let Some(flag) = spec.flags.iter().find(|flag| flag.name == name) else {
                    return Err(usage(format!("{} has no option {name}", given.word)));
                };
                let value = match (flag.value, inline) {
                    (None, None) => None,
                    (None, Some(_)) => return Err(usage(format!("{name} takes no value"))),
                    (Some(_), Some(value)) => Some(value),
                    (Some((what, kind)), None) => match words.next() {
                        Some(value) => Some(checked(what, kind, value)?),
                        None => return Err(usage(format!("{name} needs a {what}"))),
                    },
                };
                given.flags.push((flag.name, value));
            } else {
                let argument = spec.arguments.get(given.arguments.len());
                let argument = argument.or(spec.arguments.last());
                given.arguments.push(match argument {
                    Some(argument) => checked(argument.name, argument.kind, word)?,
                    None => word.clone(),
                });
            }
        }
        let needed = spec.arguments.iter().filter(|argument| !argument.optional).count();
        if let Some(missing) = spec.arguments.get(given.arguments.len())
            && given.arguments.len() < needed
        {
            return Err(usage(format!("{} needs {}: {}", given.word, missing.name, missing.help)));
        }
        let repeated = spec.arguments.last().is_some_and(|argument| argument.repeated);
        if given.arguments.len() > spec.arguments.len() && !repeated {
            let extra = given.arguments[spec.arguments.len()].to_string_lossy();
            return Err(usage(format!("'{extra}' is one word too many")));
        }
        Ok(given)
    }

    fn command(mut self) -> Result<Command, ParseError> {
        let Given { spec, word: typed, .. } = self;
        let paths = std::mem::take(&mut self.arguments);
        let words: Vec<String> =
            paths.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        let mut arguments = words.clone().into_iter();
        // `sort` has checked that everything needed is there.
        let mut next = move || arguments.next().unwrap_or_default();
        let mut optional = || Some(next()).filter(|word| !word.is_empty());
        Ok(match spec.name {
            "join" => Command::Join { contact: optional().unwrap_or_default() },
            "leave" => Command::Leave,
            "put" => Command::Put {
                path: paths.into_iter().next().unwrap_or_default().into(),
                name: self.text("--as"),
                overwrite: self.has("--overwrite"),
                min_copies: min_copies(spec, typed, self.text("--min-copies"))?,
            },
            "get" => Command::Get {
                name: optional().unwrap_or_default(),
                to: self.value("--to").map(PathBuf::from),
                no_reshare: self.has("--no-reshare"),
            },
            "share" => Command::Share { paths: paths.into_iter().map(PathBuf::from).collect() },
            "unshare" => Command::Unshare { name: optional().unwrap_or_default() },
            "find" => Command::Find { pattern: optional().unwrap_or_default() },
            "request" => Command::Request {
                name: optional().unwrap_or_default(),
                peer: optional().unwrap_or_default(),
                to: self.value("--to").map(PathBuf::from),
                no_reshare: self.has("--no-reshare"),
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
            "cancel" | "pause" | "resume" => {
                let word = optional().unwrap_or_default();
                let Ok(number) = word.parse() else {
                    let problem = format!("'{word}' is not the number of a transfer");
                    return Err(ParseError::Usage { problem, spec, word: typed });
                };
                match spec.name {
                    "pause" => Command::Pause { number },
                    "resume" => Command::Resume { number },
                    _ => Command::Cancel { number },
                }
            }
            "help" => Command::Help { command: optional() },
            "quit" => Command::Quit,
            "quit!" => Command::QuitNow,
            other => unreachable!("'{other}' stands in the table but has no command"),
        })
    }

    fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|(name, _)| *name == flag)
    }

    fn value(&self, flag: &str) -> Option<OsString> {
        self.flags.iter().rev().find(|(name, _)| *name == flag).and_then(|(_, value)| value.clone())
    }

    fn text(&self, flag: &str) -> Option<String> {
        self.value(flag).map(|value| value.to_string_lossy().into_owned())
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
    let usage = |problem| ParseError::Usage { problem, spec, word: spec.name };
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
                let words: Vec<OsString> = words.into_iter().map(OsString::from).collect();
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
                overwrite: true,
                min_copies: 1,
            })
        );
        let put = parse_line("put a --min-copies 2");
        assert!(matches!(put, Ok(Command::Put { min_copies: 2, .. })), "{put:?}");
        let put = parse_line("put a --min-copies none").expect_err("no number");
        assert!(
            put.to_string().starts_with("--min-copies is a number from 1 to 16, not 'none'"),
            "{put}"
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
            (
                "put a --as",
                "--as needs a NAME\nUsage: put PATH [--as NAME] [--overwrite] [--min-copies N]",
            ),
            (
                "sf",
                "sf needs PATTERN: * and ? match, a plain word matches anywhere, in small or capital letters\nUsage: sf PATTERN",
            ),
            ("lp x", "'x' is one word too many\nUsage: lp"),
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
