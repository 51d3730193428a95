//! How the words of the command line are read.
//!
//! The subcommands that act through a ring member come out of [`TABLE`], which
//! also feeds the prompt and the help, so that no word is described twice.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::styling::{AnsiColor, Styles};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use clap_complete::Shell;

use chordal_core::id::{DEFAULT_BITS, Space};
use chordal_engine::TransferLimits;
use chordal_view::command::{self, Kind, Spec, TABLE};

use super::super::{address, settings};
use super::{
    AnyTransferArgs, Invocation, LabArgs, NodeArgs, RemoteArgs, ScanArgs, SeedArgs, TmuxArgs,
    TransferArgs, sim,
};

/// Why the words are no invocation.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum BadArgs {
    /// Asked for help or the version, or used a word wrongly: clap says it.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// Anything else: one sentence.
    #[error("{0}")]
    Wrong(String),
}

/// Reads the words of the command line, the program's name first.
/// `defaults` puts the user's settings into the definition first.
pub(in crate::cli) fn read(
    words: Vec<OsString>,
    defaults: impl FnOnce(Command, &[OsString]) -> Result<Command, String>,
) -> Result<Invocation, BadArgs> {
    if let Some(first) = words.get(1).and_then(|word| word.to_str())
        && let Some(problem) = stray(first, words.get(2).and_then(|word| word.to_str()))
    {
        return Err(BadArgs::Wrong(problem));
    }
    // Somebody who asks for help gets it, whatever the file of settings says.
    let asks = |word: &OsString| word == "--help" || word == "-h" || word == "--version";
    let first = words.get(1).and_then(|word| word.to_str()).unwrap_or_default();
    let command = if ["help", "config", "completions"].contains(&first) || words.iter().any(asks) {
        command()
    } else {
        defaults(command(), &words).map_err(BadArgs::Wrong)?
    };
    let word = first.to_owned();
    let matches = command.try_get_matches_from(words).map_err(|error| incomplete(&word, error))?;
    let Some((word, given)) = matches.subcommand() else {
        return Ok(Invocation::Node(Box::new(NodeArgs::from_arg_matches(&matches)?)));
    };
    match word {
        "lab" => Ok(Invocation::Lab(Box::new(LabArgs::from_arg_matches(given)?))),
        "tmux" => Ok(Invocation::Tmux(TmuxArgs::from_arg_matches(given)?)),
        "seed" => Ok(Invocation::Seed(SeedArgs::from_arg_matches(given)?)),
        "sim" => Ok(Invocation::Sim(sim::read(given)?)),
        "config" => Ok(Invocation::Config),
        "completions" => {
            let shell = given.get_one::<Shell>("SHELL").copied();
            shell
                .map(Invocation::Completions)
                .ok_or_else(|| BadArgs::Wrong("completions needs a SHELL".to_owned()))
        }
        word => remote(word, given),
    }
}

/// What clap says of wrong words; of a word of the table without the argument
/// that it needs, what the prompt says: what that is, and the usage.
fn incomplete(word: &str, error: clap::Error) -> BadArgs {
    let needs_one = command::spec(word).is_some_and(|spec| spec.arguments.len() == 1);
    if error.kind() == ErrorKind::MissingRequiredArgument
        && needs_one
        && let Err(problem) = command::parse_words(&[word.into()])
    {
        return BadArgs::Wrong(problem.to_string());
    }
    error.into()
}

/// The whole command line, for parsing, help and completions.
pub(in crate::cli) fn command() -> Command {
    let styles = Styles::styled()
        .header(AnsiColor::Green.on_default().bold())
        .usage(AnsiColor::Green.on_default().bold())
        .literal(AnsiColor::Cyan.on_default())
        .placeholder(AnsiColor::Cyan.on_default());
    let root = NodeArgs::augment_args(Command::new("chordal"))
        .arg(settings::argument())
        .version(env!("CARGO_PKG_VERSION"))
        .about("A Chord ring that you can watch: every terminal is a node with a live dashboard.")
        .override_usage(
            "chordal [ADDR [PORT]] [--join ADDR]… [OPTIONS]\n       chordal COMMAND [ARGUMENTS]",
        )
        .after_help(SCENES)
        .styles(styles)
        .args_conflicts_with_subcommands(true)
        .subcommand_help_heading("Commands");
    let root = root
        .subcommand(
            LabArgs::augment_args(Command::new("lab"))
                .about("run N real nodes in this process, one dashboard over all")
                .after_help(
                    "Keys in the dashboard switch the node that is shown, kill one, restart it or \
                     add one.\nExample: chordal lab 5",
                ),
        )
        .subcommand(
            TmuxArgs::augment_args(Command::new("tmux"))
                .about("run N nodes, each in a tmux pane of its own")
                .after_help("Example: chordal tmux 3 -- --stabilize 500ms"),
        )
        .subcommand(
            SeedArgs::augment_args(Command::new("seed"))
                .about("run a registry: it tells nodes of each other and is on no ring")
                .after_help(
                    "Nodes take its address with --seed. It prints 'ready registry ADDR' with \
                     --headless.\nExample: chordal seed --count 3",
                ),
        );
    let root =
        TABLE.iter().filter(|spec| spec.remote).map(subcommand).fold(root, Command::subcommand);
    let root = root.subcommand(sim::command()).subcommand(
        Command::new("config")
            .about("print a template of the file of settings")
            .after_help("Example: chordal config > ~/.config/chordal/config.toml"),
    );
    root.subcommand(
        Command::new("completions")
            .about("print a completion script for a shell")
            .after_help("Example: chordal completions bash > ~/.local/share/bash-completion/completions/chordal")
            .arg(
                Arg::new("SHELL")
                    .required(true)
                    .value_parser(clap::value_parser!(Shell))
                    .help("the shell"),
            ),
    )
}

const SCENES: &str = "\
Scenes:
  A classroom on one machine: the second node joins the first, files travel between them.
    chordal                                   a node on 127.0.0.1:2000
    chordal :2001 --join 127.0.0.1:2000       in a second terminal
    then type in either: put SkyShip.jpg   get SkyShip.jpg   lookup SkyShip.jpg   ?
    chordal lab                               eight nodes under one dashboard
    chordal tmux 3                            three nodes in three panes
    chordal seed --count 2                    two registries, on ports 5000 and 5001
    chordal :2002 --seed :5000 --seed :5001   a node that finds the others through them
  An office: machines share files without a server.
    chordal 10.0.0.7:2000 --headless
    chordal 10.0.0.8:2000 --join 10.0.0.7:2000
    chordal scan 10.0.0.8                     which ports there have nodes behind them
  A script: act through a member without joining.
    chordal put report.pdf --via 10.0.0.7:2000
    chordal ls --ring --json --via 10.0.0.7:2000
  A laboratory: rings of up to a million simulated nodes, beside the papers' tables.
    chordal sim failures
    chordal sim paths --nodes 1048576

Each option of a node can also be set by its CHORDAL_… variable or in config.toml.
Exit codes: 0 done, 1 failed, 2 wrong usage.";

/// The subcommand of a table's entry.
fn subcommand(spec: &'static Spec) -> Command {
    let mut command = Command::new(spec.name)
        .about(spec.summary)
        .after_help(spec.details)
        .visible_aliases(spec.aliases);
    for argument in spec.arguments {
        command = command.arg(
            Arg::new(argument.name)
                .help(argument.help)
                .required(!argument.optional)
                .action(if argument.repeated { ArgAction::Append } else { ArgAction::Set })
                .value_parser(clap::value_parser!(OsString))
                .value_hint(hint(argument.kind)),
        );
    }
    for flag in spec.flags {
        let arg = Arg::new(flag.name).long(flag.name.trim_start_matches('-')).help(flag.help);
        command = command.arg(match flag.value {
            Some((value, kind)) => arg
                .value_name(value)
                .value_parser(clap::value_parser!(OsString))
                .value_hint(hint(kind)),
            None => arg.action(ArgAction::SetTrue),
        });
    }
    if spec.takes_json() {
        command = command
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("answer as JSON"));
    }
    if let Some(moves) = Moves::of(spec) {
        let augmented = match moves {
            Moves::FromMany => TransferArgs::augment_args(command),
            Moves::WithOne => AnyTransferArgs::augment_args(command),
        };
        // They bring a description of their own, which is not the command's.
        command = augmented.about(spec.summary).next_help_heading(None::<&str>);
    }
    if fetches(spec) {
        command = command.arg(
            Arg::new("wait")
                .long("wait")
                .value_name("TIME")
                .value_parser(humantime::parse_duration)
                .default_value("30s")
                .help("how long to wait for a source when none is left, such as 10m or 0s"),
        );
    }
    if spec.name == "get" {
        command = command.arg(
            Arg::new("download-dir")
                .long("download-dir")
                .value_name("DIR")
                .env("CHORDAL_DOWNLOAD_DIR")
                .value_parser(clap::value_parser!(PathBuf))
                .value_hint(ValueHint::DirPath)
                .help("where to save it without --to [default: the working directory]"),
        );
    }
    if spec.name == "id" {
        // Computed here: there is no member to ask how many bits its ring has.
        return command.arg(
            Arg::new("bits")
                .long("bits")
                .value_name("M")
                .env("CHORDAL_BITS")
                .value_parser(clap::value_parser!(u8).range(1..=128))
                .help(format!("bits of an identifier, 1 to 128 [default: {DEFAULT_BITS}]")),
        );
    }
    if spec.name == "scan" {
        // It is for those who know no member yet.
        return command;
    }
    command.arg(
        Arg::new("via")
            .long("via")
            .value_name("ADDR")
            .env("CHORDAL_VIA")
            .default_value(address::DEFAULT_TEXT)
            .value_parser(address::parse)
            .help("the ring member to act through"),
    )
}

/// How a command's own process moves the bytes of files.
enum Moves {
    /// From several sources at a time.
    FromMany,
    /// To or from one node.
    WithOne,
}

impl Moves {
    /// `None`: it moves none.
    fn of(spec: &Spec) -> Option<Moves> {
        match spec.name {
            "get" => Some(Moves::FromMany),
            "put" | "request" => Some(Moves::WithOne),
            _ => None,
        }
    }
}

/// Whether a command downloads a file.
fn fetches(spec: &Spec) -> bool {
    matches!(spec.name, "get" | "request")
}

const fn hint(kind: Kind) -> ValueHint {
    match kind {
        Kind::LocalPath => ValueHint::AnyPath,
        Kind::Host => ValueHint::Hostname,
        Kind::Peer
        | Kind::Linked
        | Kind::Ports
        | Kind::Content
        | Kind::SharedFile
        | Kind::RingFile
        | Kind::KeyOrName
        | Kind::Pattern
        | Kind::Text
        | Kind::Transfer
        | Kind::Paused
        | Kind::Word => ValueHint::Other,
    }
}

/// Reads what clap found for a table's entry by the table's own parser, so that
/// both languages mean the same.
fn remote(word: &str, given: &ArgMatches) -> Result<Invocation, BadArgs> {
    let Some(spec) = command::spec(word) else {
        return Err(BadArgs::Wrong(format!("unknown command '{word}'")));
    };
    let mut words = vec![OsString::from(spec.name)];
    for flag in spec.flags {
        if flag.value.is_none() {
            words.extend(given.get_flag(flag.name).then(|| flag.name.into()));
        } else if let Some(value) = given.get_one::<OsString>(flag.name) {
            words.extend([flag.name.into(), value.clone()]);
        }
    }
    words.push("--".into());
    for argument in spec.arguments {
        words.extend(given.get_many::<OsString>(argument.name).into_iter().flatten().cloned());
    }
    let json = spec.takes_json() && given.get_flag("json");
    let command =
        command::parse_words(&words).map_err(|error| BadArgs::Wrong(error.to_string()))?;
    if let command::Command::Id { text } = command {
        let space = given.get_one::<u8>("bits").and_then(|bits| Space::new(*bits));
        return Ok(Invocation::Id { text, space: space.unwrap_or_default(), json });
    }
    if let command::Command::Scan { host, ports } = command {
        return Ok(Invocation::Scan(ScanArgs { host, ports, json }));
    }
    Ok(Invocation::Remote(RemoteArgs {
        command,
        via: given.get_one("via").copied().unwrap_or(address::DEFAULT),
        json,
        download_dir: given.try_get_one::<PathBuf>("download-dir").ok().flatten().cloned(),
        wait: given.try_get_one("wait").ok().flatten().copied().unwrap_or_default(),
        transfers: match Moves::of(spec) {
            Some(Moves::FromMany) => TransferArgs::from_arg_matches(given)?.limits(),
            Some(Moves::WithOne) => AnyTransferArgs::from_arg_matches(given)?.limits(),
            None => TransferLimits::default(),
        },
    }))
}

/// What to say about a first word that is neither an option, nor a subcommand,
/// nor an address: clap would take it for an address.
fn stray(word: &str, next: Option<&str>) -> Option<String> {
    if word.starts_with('-') || word == "help" || address::has_form(word) {
        return None;
    }
    let root = command();
    let mut known: Vec<&str> =
        root.get_subcommands().flat_map(|sub| sub.get_name_and_visible_aliases()).collect();
    if known.contains(&word) {
        return None;
    }
    if let Some(advice) = prompt_only(word) {
        return Some(format!("'{word}' {advice}"));
    }
    for word in TABLE.iter().flat_map(Spec::words) {
        known.push(word);
    }
    if let Some(near) = command::nearest_of(word, known) {
        if let Some(advice) = prompt_only(near) {
            return Some(format!("unknown command '{word}', did you mean '{near}'? It {advice}"));
        }
        return Some(format!(
            "unknown command '{word}', did you mean '{near}'? Try: chordal {near} --help"
        ));
    }
    // A host's name and its port as two words.
    if next.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    Some(format!(
        "'{word}' is neither a command nor an address; see 'chordal --help', or give HOST:PORT"
    ))
}

/// What to say about a word of the table that only a running node knows.
fn prompt_only(word: &str) -> Option<String> {
    let spec = command::spec(word).filter(|spec| !spec.remote)?;
    let instead = match spec.name {
        "join" => "start a node that joins with: chordal --join ADDR",
        "share" => "start a node that shares with: chordal --share PATH",
        _ => "start one with: chordal",
    };
    Some(format!("is typed at the prompt of a running node; {instead}"))
}
