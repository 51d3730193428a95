//! What may stand on the command line.
//!
//! The process-level words (a node, `lab`, `tmux`, `seed`, `completions`) are written
//! here; the subcommands that act through a ring member come out of
//! [`TABLE`], which also feeds the prompt and the help, so that no word is
//! described twice.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::builder::styling::{AnsiColor, Styles};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::engine::TransferLimits;
use crate::id::{DEFAULT_BITS, Space};
use crate::limits::{MAX_REPLICAS, MAX_RING_NAME, MAX_SUCCESSORS};
use crate::ui::theme::ThemeChoice;
use crate::view::command::{self, Kind, Spec, TABLE};
use crate::wire::handshake::is_ring_name;

use super::{address, amount, settings};

/// Nodes of a lab at the most: each has its own store, its own connections to
/// the others and a place on one screen.
pub(super) const MAX_LAB: usize = 64;

/// Panes of one tmux window: more are too small to read.
pub(super) const MAX_PANES: u16 = 16;

/// Registries of one process, or of one lab: nobody needs more to lose some.
pub(super) const MAX_SEEDS: u16 = 16;

/// Puts and gets of one user at a time: each has threads and buffers of its own.
const MAX_AT_ONCE: i64 = 64;

/// Sources of one download at a time: more fill no link further, and each takes
/// two threads and a share of the memory.
const MAX_SOURCES: i64 = 16;

/// The shortest time between two checks of a peer: below it a registry only
/// asks.
const MIN_CHECK: Duration = Duration::from_millis(100);

/// The longest: a connection that is used less often is closed by its peer.
const MAX_CHECK: Duration = Duration::from_secs(50);

/// The shortest time between stabilizations: below it a ring talks only about
/// itself.
const MIN_STABILIZE: Duration = Duration::from_millis(20);

/// The longest: beyond it a death goes unnoticed for as long.
const MAX_STABILIZE: Duration = Duration::from_secs(3600);

/// What the program is asked to do.
#[derive(Debug)]
pub(super) enum Invocation {
    /// Be a node.
    Node(Box<NodeArgs>),
    /// Be several nodes.
    Lab(Box<LabArgs>),
    /// Start several programs, each a node.
    Tmux(TmuxArgs),
    /// Be one or several registries.
    Seed(SeedArgs),
    /// Carry out one command through a member.
    Remote(RemoteArgs),
    /// Compute an identifier, here.
    Id {
        /// Of what.
        text: String,
        /// In which space.
        space: Space,
        /// As JSON.
        json: bool,
    },
    /// Look which ports of a host have nodes behind them, from here.
    Scan(ScanArgs),
    /// Print a template of the file of settings.
    Config,
    /// Write a shell's completion script.
    Completions(Shell),
}

/// `chordal [ADDR [PORT]]`.
#[derive(Debug, Args)]
pub(super) struct NodeArgs {
    /// Where to listen: HOST:PORT, :PORT, PORT, or HOST and PORT as two words
    #[arg(value_name = "ADDR", env = "CHORDAL_LISTEN", default_value = address::DEFAULT_TEXT)]
    pub(super) address: String,
    /// The port, when ADDR is a host
    #[arg(value_name = "PORT")]
    pub(super) port: Option<String>,
    /// A member to join through; give several, and they are tried in turn
    #[arg(
        long,
        value_name = "ADDR",
        env = "CHORDAL_JOIN",
        value_delimiter = ',',
        value_parser = address::parse
    )]
    pub(super) join: Vec<SocketAddr>,
    /// The address at which others reach this node, when it is not ADDR
    #[arg(long, value_name = "ADDR", env = "CHORDAL_ADVERTISE", value_parser = address::parse)]
    pub(super) advertise: Option<SocketAddr>,
    /// Where files, the log and the known peers are kept
    #[arg(long, value_name = "DIR", env = "CHORDAL_DATA_DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// Where downloads go; peer_PORT_downloads in the working directory by default
    #[arg(long, value_name = "DIR", env = "CHORDAL_DOWNLOAD_DIR", value_hint = ValueHint::DirPath)]
    pub(super) download_dir: Option<PathBuf>,
    /// How often stored files are read again to find damage, such as 24h; 0s: never
    #[arg(
        long,
        value_name = "TIME",
        env = "CHORDAL_SCRUB_EVERY",
        default_value = "24h",
        value_parser = humantime::parse_duration
    )]
    pub(super) scrub_every: Duration,
    /// Bytes of files that this node stores for the ring at the most, like 500M or 20GiB; 0: as many as its disk holds
    #[arg(
        long,
        value_name = "SIZE",
        env = "CHORDAL_QUOTA",
        default_value = "0",
        value_parser = amount::bytes
    )]
    pub(super) quota: u64,
    /// A registry that tells who there is and is told who is dead; give several
    #[arg(
        long = "seed",
        value_name = "ADDR",
        env = "CHORDAL_SEEDS",
        value_delimiter = ',',
        value_parser = address::parse
    )]
    pub(super) seeds: Vec<SocketAddr>,
    /// A directory (or file) to share from the start; changes in it are followed
    #[arg(
        long,
        value_name = "DIR",
        env = "CHORDAL_SHARE",
        value_delimiter = ',',
        value_hint = ValueHint::AnyPath
    )]
    pub(super) share: Vec<PathBuf>,
    /// Do not offer finished downloads to others
    #[arg(
        long,
        env = "CHORDAL_NO_RESHARE",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub(super) no_reshare: bool,
    /// The transfers.
    #[command(flatten)]
    pub(super) transfers: TransferArgs,
    /// The ring.
    #[command(flatten)]
    pub(super) ring: RingArgs,
    /// The screen.
    #[command(flatten)]
    pub(super) screen: ScreenArgs,
}

impl NodeArgs {
    /// Where the node listens.
    pub(super) fn listen(&self) -> Result<SocketAddr, address::BadAddress> {
        match &self.port {
            Some(port) => address::parse_pair(&self.address, port),
            None => address::parse(&self.address),
        }
    }
}

/// How much transfers may take.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Transfers")]
pub(super) struct TransferArgs {
    /// Bytes a second that are sent at the most, such as 500k, 10M or 1.5MiB; 0: no limit
    #[arg(
        long,
        value_name = "RATE",
        env = "CHORDAL_LIMIT_UP",
        default_value = "0",
        value_parser = amount::rate
    )]
    pub(super) limit_up: u64,
    /// Likewise received
    #[arg(
        long,
        value_name = "RATE",
        env = "CHORDAL_LIMIT_DOWN",
        default_value = "0",
        value_parser = amount::rate
    )]
    pub(super) limit_down: u64,
    /// Puts and gets that run at a time, 1 to 64; others wait for their turn
    #[arg(
        long = "transfers",
        value_name = "N",
        env = "CHORDAL_TRANSFERS",
        default_value_t = TransferLimits::default().at_once as u16,
        value_parser = clap::value_parser!(u16).range(1..=MAX_AT_ONCE)
    )]
    pub(super) at_once: u16,
    /// Sources of one download that work at a time, 1 to 16
    #[arg(
        long,
        value_name = "N",
        env = "CHORDAL_SOURCES",
        default_value_t = TransferLimits::default().sources as u16,
        value_parser = clap::value_parser!(u16).range(1..=MAX_SOURCES)
    )]
    pub(super) sources: u16,
}

impl TransferArgs {
    /// As the engine takes them.
    pub(super) fn limits(&self) -> TransferLimits {
        TransferLimits {
            up: Some(self.limit_up).filter(|rate| *rate > 0),
            down: Some(self.limit_down).filter(|rate| *rate > 0),
            at_once: usize::from(self.at_once),
            sources: usize::from(self.sources),
        }
    }
}

/// What all nodes of one ring agree on, and how a node keeps its place.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Ring")]
pub(super) struct RingArgs {
    /// Bits of an identifier, 1 to 128
    #[arg(
        long,
        value_name = "M",
        env = "CHORDAL_BITS",
        default_value_t = Space::default().bits(),
        value_parser = clap::value_parser!(u8).range(1..=128)
    )]
    pub(super) bits: u8,
    /// Copies of each file
    #[arg(
        long,
        value_name = "K",
        env = "CHORDAL_REPLICAS",
        default_value_t = 3,
        value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_REPLICAS))
    )]
    pub(super) replicas: u8,
    /// Entries in the successor list
    #[arg(
        long,
        value_name = "R",
        env = "CHORDAL_SUCCESSORS",
        default_value_t = 16,
        value_parser = clap::value_parser!(u8).range(1..=MAX_SUCCESSORS as i64)
    )]
    pub(super) successors: u8,
    /// Time between stabilizations, such as 500ms or 2s
    #[arg(
        long,
        value_name = "TIME",
        env = "CHORDAL_STABILIZE",
        default_value = "1s",
        value_parser = stabilize
    )]
    pub(super) stabilize: Duration,
    /// The ring's name: nodes of another ring are refused
    #[arg(
        long = "ring",
        value_name = "NAME",
        env = "CHORDAL_RING",
        default_value = "chordal",
        value_parser = ring_name
    )]
    pub(super) name: String,
}

impl RingArgs {
    /// The identifier space.
    pub(super) fn space(&self) -> Space {
        Space::new(self.bits).unwrap_or_default()
    }
}

/// How a node shows itself.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Screen")]
pub(super) struct ScreenArgs {
    /// No dashboard: log to standard error, print 'ready ID ADDR' once it listens
    #[arg(long, env = "CHORDAL_HEADLESS", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) headless: bool,
    /// How --headless logs
    #[arg(long, value_name = "FORMAT", env = "CHORDAL_LOG_FORMAT", default_value = "text")]
    pub(super) log_format: LogFormat,
    /// Colours of the dashboard [default: standard, or mono when NO_COLOR is set]
    #[arg(
        long,
        value_name = "THEME",
        env = "CHORDAL_THEME",
        value_parser = PossibleValuesParser::new(ThemeChoice::ALL.map(ThemeChoice::name))
    )]
    pub(super) theme: Option<String>,
    /// Draw with ASCII characters only [default: where the locale is not UTF-8]
    #[arg(long, env = "CHORDAL_ASCII", value_parser = clap::builder::BoolishValueParser::new())]
    pub(super) ascii: bool,
}

/// The form of a headless node's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `chordal lab [N]`.
#[derive(Debug, Args)]
pub(super) struct LabArgs {
    /// How many nodes, 1 to 64
    #[arg(
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u8).range(1..=MAX_LAB as i64)
    )]
    pub(super) nodes: u8,
    /// The first node's port, the others follow; free ports without it
    #[arg(long, value_name = "PORT")]
    pub(super) port: Option<u16>,
    /// Start N registries too; the nodes find each other through them. From port 5000 up with --port, on free ports without it
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = clap::value_parser!(u16).range(0..=i64::from(MAX_SEEDS))
    )]
    pub(super) seeds: u16,
    /// Keep the nodes' files here, in a directory each; removed at the end without it
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// Where downloads go; peer_PORT_downloads in the working directory by default
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) download_dir: Option<PathBuf>,
    /// The transfers.
    #[command(flatten)]
    pub(super) transfers: TransferArgs,
    /// The ring.
    #[command(flatten)]
    pub(super) ring: RingArgs,
    /// The screen.
    #[command(flatten)]
    pub(super) screen: ScreenArgs,
}

/// `chordal tmux [N]`.
#[derive(Debug, Args)]
pub(super) struct TmuxArgs {
    /// How many nodes, 1 to 16
    #[arg(
        value_name = "N",
        default_value_t = 3,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_PANES))
    )]
    pub(super) panes: u16,
    /// The first node's port; the others follow
    #[arg(long, value_name = "PORT", default_value_t = address::DEFAULT_PORT)]
    pub(super) port: u16,
    /// Start N registries too, from port 5000 up, in a pane; the nodes find each other through them
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        value_parser = clap::value_parser!(u16).range(0..=i64::from(MAX_SEEDS))
    )]
    pub(super) seeds: u16,
    /// The name of the tmux session
    #[arg(long, value_name = "NAME", default_value = "chordal")]
    pub(super) session: String,
    /// Only print the tmux commands
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Further arguments of every node, after --
    #[arg(last = true, value_name = "NODE ARGUMENTS")]
    pub(super) rest: Vec<String>,
}

/// `chordal seed [ADDR]`.
#[derive(Debug, Args)]
pub(super) struct SeedArgs {
    /// Where to listen: HOST:PORT, :PORT, PORT or HOST [default: 127.0.0.1:5000]
    #[arg(value_name = "ADDR")]
    pub(super) address: Option<String>,
    /// How many registries, on consecutive ports, 1 to 16
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_SEEDS))
    )]
    pub(super) count: u16,
    /// Time between two checks of a peer, such as 500ms or 5s
    #[arg(
        long,
        value_name = "TIME",
        env = "CHORDAL_CHECK",
        default_value = "5s",
        value_parser = check
    )]
    pub(super) check: Duration,
    /// Where the lists and the log are kept, each list in a directory seed-IP-PORT
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
    /// The screen.
    #[command(flatten)]
    pub(super) screen: ScreenArgs,
}

/// A command of the table, to be carried out through a member.
#[derive(Debug)]
pub(super) struct RemoteArgs {
    /// What to do.
    pub(super) command: command::Command,
    /// Through whom.
    pub(super) via: SocketAddr,
    /// Answer as JSON.
    pub(super) json: bool,
    /// Where `get` saves: the working directory without it.
    pub(super) download_dir: Option<PathBuf>,
    /// How much its bytes may take.
    pub(super) transfers: TransferLimits,
}

/// `chordal scan [HOST] [FROM-TO]`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ScanArgs {
    /// A host; this one without it.
    pub(super) host: Option<String>,
    /// Ports; the usual ones without them.
    pub(super) ports: Option<String>,
    /// Answer as JSON.
    pub(super) json: bool,
}

/// Why the words are no invocation.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadArgs {
    /// Asked for help or the version, or used a word wrongly: clap says it.
    #[error(transparent)]
    Clap(#[from] clap::Error),
    /// Anything else: one sentence.
    #[error("{0}")]
    Wrong(String),
}

/// Reads the words of the command line, the program's name first.
/// `defaults` puts the user's settings into the definition first.
pub(super) fn read(
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
    let matches = command.try_get_matches_from(words)?;
    let Some((word, given)) = matches.subcommand() else {
        return Ok(Invocation::Node(Box::new(NodeArgs::from_arg_matches(&matches)?)));
    };
    match word {
        "lab" => Ok(Invocation::Lab(Box::new(LabArgs::from_arg_matches(given)?))),
        "tmux" => Ok(Invocation::Tmux(TmuxArgs::from_arg_matches(given)?)),
        "seed" => Ok(Invocation::Seed(SeedArgs::from_arg_matches(given)?)),
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

/// The whole command line, for parsing, help and completions.
pub(super) fn command() -> Command {
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
                .about("run a registry: it tells nodes who there is; it is on no ring")
                .after_help(
                    "Nodes take its address with --seed. It prints 'ready registry ADDR' with \
                     --headless.\nExample: chordal seed --count 3",
                ),
        );
    let root =
        TABLE.iter().filter(|spec| spec.remote).map(subcommand).fold(root, Command::subcommand);
    let root = root.subcommand(
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
                .value_hint(hint(argument.kind)),
        );
    }
    for flag in spec.flags {
        let arg = Arg::new(flag.name).long(flag.name.trim_start_matches('-')).help(flag.help);
        command = command.arg(match flag.value {
            Some((value, kind)) => arg.value_name(value).value_hint(hint(kind)),
            None => arg.action(ArgAction::SetTrue),
        });
    }
    if spec.reads {
        command = command
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("answer as JSON"));
    }
    if moves_files(spec) {
        command = TransferArgs::augment_args(command).next_help_heading(None::<&str>);
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

/// Whether a command's own process moves the bytes of files.
fn moves_files(spec: &Spec) -> bool {
    ["put", "get", "request"].contains(&spec.name)
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
    let mut words = vec![spec.name.to_owned()];
    for flag in spec.flags {
        if flag.value.is_none() {
            words.extend(given.get_flag(flag.name).then(|| flag.name.to_owned()));
        } else if let Some(value) = given.get_one::<String>(flag.name) {
            words.push(format!("{}={value}", flag.name));
        }
    }
    words.push("--".to_owned());
    for argument in spec.arguments {
        words.extend(given.get_many::<String>(argument.name).into_iter().flatten().cloned());
    }
    let json = spec.reads && given.get_flag("json");
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
        transfers: match moves_files(spec) {
            true => TransferArgs::from_arg_matches(given)?.limits(),
            false => TransferLimits::default(),
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

fn stabilize(text: &str) -> Result<Duration, String> {
    time_within(text, MIN_STABILIZE, MAX_STABILIZE)
}

fn check(text: &str) -> Result<Duration, String> {
    time_within(text, MIN_CHECK, MAX_CHECK)
}

fn time_within(text: &str, least: Duration, most: Duration) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if (least..=most).contains(&time) {
        return Ok(time);
    }
    Err(format!(
        "choose {} to {}",
        humantime::format_duration(least),
        humantime::format_duration(most)
    ))
}

fn ring_name(text: &str) -> Result<String, String> {
    // What others would refuse in a greeting must not begin.
    if is_ring_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!(
        "a ring's name has 1 to {MAX_RING_NAME} ASCII letters, digits and signs, no blanks"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invoke(line: &str) -> Result<Invocation, BadArgs> {
        let words = std::iter::once("chordal").chain(line.split_whitespace());
        read(words.map(Into::into).collect(), |command, _| Ok(command))
    }

    fn node(line: &str) -> NodeArgs {
        match invoke(line) {
            Ok(Invocation::Node(node)) => *node,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn through(line: &str) -> RemoteArgs {
        match invoke(line) {
            Ok(Invocation::Remote(remote)) => remote,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn wrong(line: &str) -> String {
        match invoke(line) {
            Err(error) => error.to_string(),
            Ok(other) => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_remote_word_of_the_table_is_a_subcommand_with_its_usage() {
        let root = command();
        for spec in TABLE {
            for word in spec.words().filter(|word| *word != "help") {
                assert_eq!(root.find_subcommand(word).is_some(), spec.remote, "{word}");
            }
            let Some(sub) = root.find_subcommand(spec.name).filter(|_| spec.remote) else {
                continue;
            };
            for flag in spec.flags {
                assert!(sub.get_arguments().any(|arg| arg.get_id() == flag.name), "{}", flag.name);
            }
        }
    }

    #[test]
    fn a_node_is_named_by_one_word_or_two() {
        for (line, address) in [
            ("", "127.0.0.1:2000"),
            ("127.0.0.1 2001", "127.0.0.1:2001"),
            (":2001", "127.0.0.1:2001"),
            ("2001 --headless", "127.0.0.1:2001"),
            ("--ascii [::1]:2000", "[::1]:2000"),
            ("localhost 2002", "127.0.0.1:2002"),
        ] {
            let listen = node(line).listen().expect("an address");
            assert_eq!(listen.to_string(), address, "{line}");
        }
    }

    #[test]
    fn a_node_takes_the_settings_of_its_ring() {
        let args = node(
            ":2001 --join 127.0.0.1:2000 --join :2002 --bits 16 --replicas 2 --successors 4 \
             --stabilize 250ms --ring blue",
        );
        let join: Vec<_> = args.join.iter().map(ToString::to_string).collect();
        assert_eq!(join, ["127.0.0.1:2000", "127.0.0.1:2002"]);
        assert_eq!(args.ring.space().bits(), 16);
        assert_eq!((args.ring.replicas, args.ring.successors), (2, 4));
        assert_eq!(args.ring.stabilize, Duration::from_millis(250));
        assert_eq!(args.ring.name, "blue");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        for line in [
            "--bits 0",
            "--bits 129",
            "--replicas 0",
            "--replicas 17",
            "--successors 65",
            "--stabilize 1ms",
            "--stabilize soon",
            "--advertise nowhere",
            "--theme plaid",
            "lab 65",
            "lab 0",
            "tmux 17",
            "tmux --seeds 17",
            "lab --seeds many",
            "seed --count 0",
            "seed --count 17",
            "seed --check 1ms",
            "seed --check 2m",
            "--limit-up fast",
            "--limit-down 10",
            "--transfers 0",
            "--sources 17",
            "get x --limit-down 1.2.3M",
            "ls --limit-down 1M",
        ] {
            assert!(invoke(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_remote_command_is_what_the_prompt_would_make_of_it() {
        for (line, prompt) in [
            ("put a.jpg --as b.jpg --overwrite", "put a.jpg --as b.jpg --overwrite"),
            ("upload --as=-x -- --odd", "put --as=-x -- --odd"),
            ("download SkyShip.jpg --to /tmp", "get SkyShip.jpg --to /tmp"),
            ("ls --ring --via :2001", "ls --ring"),
            ("ls *.jpg --json", "ls *.jpg"),
            ("trace 189", "lookup 189"),
            ("ping :2001", "ping :2001"),
            ("ring", "ring"),
        ] {
            let expected = command::parse_line(prompt).expect(prompt);
            assert_eq!(through(line).command, expected, "{line}");
        }
        assert_eq!(through("info").via, address::DEFAULT);
        assert_eq!(through("info --via 2005").via.port(), 2005);
        assert!(through("ls --json").json);
        assert_eq!(through("get a --download-dir d").download_dir, Some("d".into()));
    }

    #[test]
    fn limits_are_those_of_a_node_of_a_lab_and_of_a_single_get() {
        let words = "--limit-up 500k --limit-down 1.5MiB/s --transfers 2 --sources 16";
        let limits =
            TransferLimits { up: Some(500_000), down: Some(3 << 19), at_once: 2, sources: 16 };
        assert_eq!(node(words).transfers.limits(), limits);
        assert_eq!(through(&format!("get x {words}")).transfers, limits);
        match invoke(&format!("lab 3 {words}")) {
            Ok(Invocation::Lab(lab)) => assert_eq!(lab.transfers.limits(), limits),
            other => panic!("{other:?}"),
        }
        assert_eq!(node("").transfers.limits(), TransferLimits::default());
        assert_eq!(through("put x --limit-up 0").transfers, TransferLimits::default());
        assert_eq!(through("ls").transfers, TransferLimits::default());
    }

    #[test]
    fn an_id_is_computed_here() {
        match invoke("id SkyShip.jpg --bits 40") {
            Ok(Invocation::Id { text, space, json: false }) => {
                assert_eq!((text.as_str(), space.bits()), ("SkyShip.jpg", 40));
            }
            other => panic!("{other:?}"),
        }
        assert!(invoke("id x --via :2000").is_err());
    }

    #[test]
    fn a_scan_needs_no_member() {
        let scan = |line| match invoke(line) {
            Ok(Invocation::Scan(ScanArgs { host, ports, json })) => (host, ports, json),
            other => panic!("{other:?}"),
        };
        let word = |text: &str| Some(text.to_owned());
        assert_eq!(scan("scan"), (None, None, false));
        assert_eq!(scan("scan 5000-5009 --json"), (None, word("5000-5009"), true));
        assert_eq!(scan("scan ::1 5000"), (word("::1"), word("5000"), false));
        assert!(wrong("scan 5009-5000").contains("Usage: scan [HOST] [FROM-TO]"));
        assert!(invoke("scan --via :2000").is_err());
    }

    #[test]
    fn a_stray_word_gets_advice() {
        for (line, part) in [
            ("dowload SkyShip.jpg --to x", "did you mean 'download'?"),
            ("lba", "did you mean 'lab'?"),
            ("jion 127.0.0.1:2000", "chordal --join ADDR"),
            ("join 127.0.0.1:2000", "chordal --join ADDR"),
            ("share /tmp", "chordal --share PATH"),
            ("unshare x", "typed at the prompt of a running node"),
            ("xyzzy", "see 'chordal --help'"),
        ] {
            let problem = wrong(line);
            assert!(problem.contains(part), "{line}: {problem}");
        }
    }

    #[test]
    fn help_shows_the_scenes() {
        let Err(BadArgs::Clap(error)) = invoke("--help") else { panic!("help is an early end") };
        let text = error.to_string();
        for part in ["Scenes:", "chordal lab", "--via", "lookup", "Exit codes"] {
            assert!(text.contains(part), "{part}");
        }
    }
}
