//! `chordal sim`: the papers' tables from the simulator, and scenarios.
//!
//! The seed comes first, the result goes to standard output, and whatever
//! differs from run to run (how far it is, how long it took) to standard error.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use chordal_sim::plot::Glyphs;
use chordal_sim::tables::{Progress, Report, play};
use chordal_view::text::duration;

use super::args::LookArgs;
use super::args::sim::{MAX_WATCHED, SimArgs, What};
use super::failure::Failure;
use super::output::print;

mod data;
mod scenario;
mod staged;
mod text;
mod watch;

/// Cells of a line when nobody can say how wide the terminal is.
const WIDTH: usize = 80;

/// Simulates, and prints what came out. A missed target is a failure.
pub(super) fn run(args: &SimArgs) -> Result<(), Failure> {
    if let Some(look) = &args.watch {
        return watched(&args.what, look.clone());
    }
    match &args.what {
        What::Table { experiment, nodes, seed } => {
            let name = experiment.about().name;
            carry_out(name, *seed, args, |told| experiment.run(*nodes, *seed, told))
        }
        What::Run { file, seed } => {
            let scenario = scenario::read(file, *seed)?;
            carry_out("run", scenario.setup.seed, args, |told| play(&scenario, told))
        }
        What::Watch(watch) => watch::run(staged::ring(watch)?, watch.paused, watch.look.clone()),
    }
}

/// The same under the dashboard.
fn watched(what: &What, look: LookArgs) -> Result<(), Failure> {
    let scenario = match what {
        What::Table { experiment, nodes, seed } => {
            let hosts = u32::try_from(*nodes).unwrap_or(u32::MAX).min(MAX_WATCHED);
            staged::experiment(*experiment, hosts, *seed)
        }
        What::Run { file, seed } => scenario::read(file, *seed)?,
        What::Watch(watch) => staged::ring(watch)?,
    };
    watch::run(scenario, false, look)
}

fn carry_out(
    name: &'static str,
    seed: u64,
    args: &SimArgs,
    work: impl FnOnce(Progress<'_>) -> Report,
) -> Result<(), Failure> {
    let started = Instant::now();
    begin(name, seed, args.json)?;
    if let Some(path) = &args.csv {
        // Rather now than after a minute of simulation.
        data::writable(path)?;
    }
    let bar = bar(name);
    let report = work(&|done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();
    if let Some(path) = &args.csv {
        data::write_csv(&report, path)?;
    }
    if args.json {
        print(format!("{}\n", data::json(&report)).as_bytes())?;
    } else {
        print(text::lines(&report, look()).join("\n").as_bytes())?;
    }
    took(started);
    judge(&report)
}

/// Says from which seed everything follows, before anything else: on standard
/// output, unless that is for a program.
fn begin(name: &str, seed: u64, json: bool) -> Result<(), Failure> {
    let line = format!("chordal sim {name}, seed {seed}\n");
    if !json {
        return print(line.as_bytes());
    }
    // To have nobody who reads it is no failure.
    let _ = io::stderr().lock().write_all(line.as_bytes());
    Ok(())
}

/// A bar on standard error, invisible unless that is a terminal.
fn bar(name: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr());
    let template = "{prefix} [{bar:40}] {percent:>3} % {elapsed}, {eta} left";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(name);
    bar
}

/// How long it took is different every time, so it is no result.
fn took(started: Instant) {
    let _ = writeln!(io::stderr().lock(), "took {}", duration(started.elapsed()));
}

/// How the terminal wants its lines.
#[derive(Clone, Copy, Debug)]
struct Look {
    /// Cells across.
    width: usize,
    /// Braille and blocks, or ASCII.
    glyphs: Glyphs,
    /// Colours.
    colours: bool,
}

fn look() -> Look {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let plain = set("NO_COLOR").is_some() || set("TERM").is_some_and(|term| term == "dumb");
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    // Whoever reads a pipe or a file can be expected to know Unicode.
    let terminal = io::stdout().is_terminal();
    let narrow = locale.is_some_and(|name| !name.to_uppercase().replace('-', "").contains("UTF8"));
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let width = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    Look {
        width: width.unwrap_or(WIDTH),
        glyphs: if plain || (terminal && narrow) { Glyphs::Ascii } else { Glyphs::Unicode },
        colours: terminal && !plain,
    }
}

/// A missed target ends with exit code 1 and says which.
fn judge(report: &Report) -> Result<(), Failure> {
    let missed: Vec<_> =
        report.missed().map(|target| format!("{} ({})", target.what, target.found)).collect();
    if missed.is_empty() {
        return Ok(());
    }
    Err(Failure::Failed(format!(
        "{} of {} targets of '{}' missed with seed {}: {}; the same seed shows it again",
        missed.len(),
        report.targets.len(),
        report.experiment,
        report.seed,
        missed.join(", ")
    )))
}

/// What to say when a file cannot be written.
fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Failed(format!(
        "cannot write {}: {error}; check the path and the room",
        path.display()
    ))
}
