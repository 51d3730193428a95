//! What may stand on the command line: here, what the process-level words (a
//! node, `lab`, `tmux`, `seed`) take; in [`sim`], what `sim` takes; in [`words`],
//! how all words are read.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum, ValueHint};
use clap_complete::Shell;

use chordal_core::id::Space;
use chordal_core::limits::{MAX_REPLICAS, MAX_RING_NAME, MAX_SUCCESSORS, MAX_VNODES};
use chordal_core::wire::handshake::is_ring_name;
use chordal_engine::TransferLimits;
use chordal_tui::theme::ThemeChoice;
use chordal_view::command;

use super::{address, amount};

pub(super) mod sim;
mod words;

pub(super) use words::{BadArgs, command, read};

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
    /// Simulate rings.
    Sim(sim::SimArgs),
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
    /// The address at which others reach this node, when it is not ADDR: HOST or HOST:PORT
    #[arg(
        long,
        value_name = "ADDR",
        env = "CHORDAL_ADVERTISE",
        value_parser = address::parse_advertised
    )]
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
    /// Copies of a file without which no put is acknowledged here; those made stay
    #[arg(
        long,
        value_name = "N",
        env = "CHORDAL_MIN_COPIES",
        default_value_t = 1,
        value_parser = copies()
    )]
    pub(super) min_copies: u8,
    /// How long a node that leaves may take to hand its files over, such as 10m [default: as long as bytes move, and 30 s without any progress]
    #[arg(
        long,
        value_name = "TIME",
        env = "CHORDAL_LEAVE_DEADLINE",
        value_parser = humantime::parse_duration
    )]
    pub(super) leave_deadline: Option<Duration>,
    /// A registry, which tells this node of others and is told which are dead; give several
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
    /// Of any kind.
    #[command(flatten)]
    pub(super) any: AnyTransferArgs,
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
        TransferLimits { sources: usize::from(self.sources), ..self.any.limits() }
    }
}

/// The same for transfers that have one other side.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Transfers")]
pub(super) struct AnyTransferArgs {
    /// Bytes a second that are sent at the most, such as 500k, 10M or 1.5MiB; 0: no limit
    #[arg(
        long,
        value_name = "RATE",
        env = "CHORDAL_LIMIT_UP",
        default_value = "0",
        value_parser = amount::rate
    )]
    pub(super) limit_up: u64,
    /// Bytes a second that are received at the most; 0: no limit
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
}

impl AnyTransferArgs {
    /// As the engine takes them.
    pub(super) fn limits(&self) -> TransferLimits {
        TransferLimits {
            up: Some(self.limit_up).filter(|rate| *rate > 0),
            down: Some(self.limit_down).filter(|rate| *rate > 0),
            at_once: usize::from(self.at_once),
            ..TransferLimits::default()
        }
    }
}

/// Copies of a file, as many as a ring may keep.
fn copies() -> clap::builder::RangedI64ValueParser<u8> {
    clap::value_parser!(u8).range(1..=i64::from(MAX_REPLICAS))
}

/// A host takes at most one in so many of all places: others want some, too.
const CROWDED: u128 = 8;

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
        value_parser = copies()
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
    /// Places on the ring for this host, 1 to 64: more of them share the load more evenly
    #[arg(
        long,
        value_name = "V",
        env = "CHORDAL_VNODES",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_VNODES))
    )]
    pub(super) vnodes: u16,
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

    /// Checks what no single setting can: whether several places fit together with
    /// the rest.
    ///
    /// # Errors
    /// Which do not, and what to do.
    pub(super) fn check(&self) -> Result<(), String> {
        let RingArgs { bits, replicas, successors, vnodes, .. } = *self;
        if vnodes > 1 && successors < replicas {
            return Err(format!(
                "--successors {successors} is too few for --vnodes {vnodes} with --replicas \
                 {replicas}: a list must name a node of as many hosts as there are copies; give \
                 --successors {replicas} or more"
            ));
        }
        let places = 1u128 << bits.min(127);
        if vnodes > 1 && u128::from(vnodes) * CROWDED > places {
            return Err(format!(
                "--vnodes {vnodes} is too many for the {places} places of --bits {bits}: hosts \
                 would find most of them taken; give fewer, or more bits"
            ));
        }
        Ok(())
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
    /// The look.
    #[command(flatten)]
    pub(super) look: LookArgs,
}

/// What a dashboard looks like.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(next_help_heading = "Screen")]
pub(super) struct LookArgs {
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
    /// How long a download waits for a source when none is left.
    pub(super) wait: Duration,
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
mod tests;
