//! `chordal sim …`: which experiment, on how many nodes, from which seed.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint};

use chordal_core::limits::MAX_VNODES;
use chordal_sim::tables::Experiment;

use super::LookArgs;
use super::words::BadArgs;

/// The seed when nobody gives one: so that everybody sees the same tables.
pub(in crate::cli) const SEED: u64 = 1;

/// `chordal sim EXPERIMENT` or `chordal sim run FILE`.
#[derive(Debug, PartialEq)]
pub(in crate::cli) struct SimArgs {
    /// What to simulate.
    pub(in crate::cli) what: What,
    /// Answer as JSON.
    pub(in crate::cli) json: bool,
    /// Where the points go, as CSV.
    pub(in crate::cli) csv: Option<PathBuf>,
    /// Under the dashboard instead, which looks like this.
    pub(in crate::cli) watch: Option<LookArgs>,
}

/// What to simulate.
#[derive(Debug, PartialEq)]
pub(in crate::cli) enum What {
    /// A table of the papers.
    Table {
        /// Which.
        experiment: Experiment,
        /// How many nodes.
        nodes: u64,
        /// From which seed.
        seed: u64,
    },
    /// A scenario from a file.
    Run {
        /// The file.
        file: PathBuf,
        /// Instead of the file's own seed.
        seed: Option<u64>,
    },
    /// A ring under the dashboard.
    Watch(WatchArgs),
}

/// `chordal sim watch`.
#[derive(Clone, Debug, PartialEq, Args)]
pub(in crate::cli) struct WatchArgs {
    /// How many hosts, 1 to 100000
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_WATCHED))
    )]
    pub(in crate::cli) nodes: u32,
    /// Seed of all random choices
    #[arg(long, value_name = "S", default_value_t = SEED)]
    pub(in crate::cli) seed: u64,
    /// Ring positions of each host
    #[arg(
        long,
        value_name = "V",
        default_value_t = 1,
        value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_VNODES))
    )]
    pub(in crate::cli) vnodes: u16,
    /// Begin with one host, which the others join one after the other
    #[arg(long)]
    pub(in crate::cli) grow: bool,
    /// Hosts a second that come, and as many that die
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = rate)]
    pub(in crate::cli) churn: f64,
    /// Lookups a second, of random keys by random hosts
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = rate)]
    pub(in crate::cli) lookups: f64,
    /// Puts a second, and as many gets
    #[arg(long, value_name = "R", default_value_t = 0.0, value_parser = rate)]
    pub(in crate::cli) puts: f64,
    /// Begin with the time stopped
    #[arg(long)]
    pub(in crate::cli) paused: bool,
    /// The look.
    #[command(flatten)]
    pub(in crate::cli) look: LookArgs,
}

/// Hosts that can be watched: more would not move fluently.
pub(in crate::cli) const MAX_WATCHED: u32 = 100_000;

/// Events a second that make sense: more than that nobody could follow.
const RATES: std::ops::RangeInclusive<f64> = 0.0..=1_000.0;

/// Reads a number of events a second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if RATES.contains(&rate) => Ok(rate),
        _ => Err(format!("'{text}' is no number of events a second; allowed is 0 to 1000")),
    }
}

const WATCHED: &str = "\
Space stops the time and lets it go on, < and > change its speed, a full stop is one event. After \
Esc: n shows the next node, K kills it, R starts it again, A adds one, P cuts the network into two \
halves, H heals it, ? lists all keys. Typed commands (lookup, put, get, rm, ls, ring, leave, join) \
act on the simulated node that is shown.
Examples:
  chordal sim watch                            20 hosts that have settled
  chordal sim watch --nodes 1000 --churn 0.5   hosts come and go
  chordal sim watch --nodes 50 --grow          a ring grows from one host";

const SCENES: &str = "\
Every run prints its seed first, and the same seed gives the same output, byte for byte; the \
trace is a fingerprint of every event. The exit code is 1 when a target is missed.
Examples:
  chordal sim failures                        a thousand nodes, of which up to half fail at once
  chordal sim paths --nodes 1048576           up to a million nodes (about 11 GiB)
  chordal sim churn --seed 7 --csv churn.csv  the points of the plot, for a plot of your own
  chordal sim run disaster.toml               your own scenario";

/// The definition of `sim` and of what stands behind it.
pub(super) fn command() -> Command {
    let root = Command::new("sim")
        .about("simulate rings: the papers' tables, scenarios from files")
        .after_help(SCENES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand_help_heading("Experiments");
    let root =
        Experiment::ALL.into_iter().map(table).map(watchable).fold(root, Command::subcommand);
    let root = root.subcommand(
        WatchArgs::augment_args(Command::new("watch"))
            .about("watch a simulated ring in the dashboard, and interfere")
            .after_help(WATCHED),
    );
    root.subcommand(watchable(
        Command::new("run")
            .about("play a scenario from a file, and check what it says must hold")
            .after_help("Example: chordal sim run tests/scenarios/partition.toml --seed 7")
            .arg(
                Arg::new("file")
                    .value_name("FILE")
                    .required(true)
                    .value_parser(clap::value_parser!(PathBuf))
                    .value_hint(ValueHint::FilePath)
                    .help("the scenario, in TOML"),
            )
            .arg(seed().help("instead of the seed in the file"))
            .arg(json())
            .arg(csv()),
    ))
}

fn table(experiment: Experiment) -> Command {
    let about = experiment.about();
    let (limits, default) = (about.limits, about.nodes);
    let (least, most) = (*limits.start(), *limits.end());
    Command::new(about.name)
        .about(about.summary)
        .long_about(format!("{}.\n\n{}", sentence(about.summary), about.details))
        .after_help(format!("Example: chordal sim {} --seed 7", about.name))
        .arg(
            Arg::new("nodes")
                .long("nodes")
                .value_name("N")
                .value_parser(clap::value_parser!(u64).range(least..=most))
                .default_value(default.to_string())
                .help(format!("{}, {least} to {most}", about.nodes_are)),
        )
        .arg(seed().default_value(SEED.to_string()).help("seed of all random choices"))
        .arg(json())
        .arg(csv())
}

/// A command whose simulation can be watched.
fn watchable(command: Command) -> Command {
    let watch = Arg::new("watch")
        .long("watch")
        .action(ArgAction::SetTrue)
        .conflicts_with_all(["json", "csv"])
        .help("play it in the dashboard instead: pause, step, kill, cut the network");
    // They bring a description of their own, which is not the command's.
    let (about, long) = (command.get_about().cloned(), command.get_long_about().cloned());
    let mut command = LookArgs::augment_args(command.arg(watch)).long_about(None);
    if let Some(about) = about {
        command = command.about(about);
    }
    match long {
        Some(long) => command.long_about(long),
        None => command,
    }
}

fn seed() -> Arg {
    Arg::new("seed").long("seed").value_name("S").value_parser(clap::value_parser!(u64))
}

fn json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("answer as JSON")
}

fn csv() -> Arg {
    Arg::new("csv")
        .long("csv")
        .value_name("FILE")
        .value_parser(clap::value_parser!(PathBuf))
        .value_hint(ValueHint::FilePath)
        .help("write the table to this file too, and further tables beside it")
}

/// A summary as the beginning of a text.
fn sentence(summary: &str) -> String {
    let mut chars = summary.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Reads what clap found behind `sim`.
pub(super) fn read(given: &ArgMatches) -> Result<SimArgs, BadArgs> {
    let missing = || BadArgs::Wrong("what to simulate? See: chordal sim --help".to_owned());
    let (word, given) = given.subcommand().ok_or_else(missing)?;
    if word == "watch" {
        let what = What::Watch(WatchArgs::from_arg_matches(given)?);
        return Ok(SimArgs { what, json: false, csv: None, watch: None });
    }
    let seed = given.get_one::<u64>("seed").copied();
    let json = given.get_flag("json");
    let look = given.get_flag("watch").then(|| LookArgs::from_arg_matches(given));
    let watch = look.transpose()?;
    let csv = given.get_one::<PathBuf>("csv").cloned();
    if word == "run" {
        let file = given.get_one::<PathBuf>("file").cloned().ok_or_else(missing)?;
        return Ok(SimArgs { what: What::Run { file, seed }, json, csv, watch });
    }
    let all = Experiment::ALL.into_iter();
    let experiment = all.into_iter().find(|one| one.about().name == word).ok_or_else(missing)?;
    let nodes = given.get_one("nodes").copied().unwrap_or(experiment.about().nodes);
    let seed = seed.unwrap_or(SEED);
    Ok(SimArgs { what: What::Table { experiment, nodes, seed }, json, csv, watch })
}
