//! The command line: arguments, subcommands, output, exit codes.
//!
//! This is the only layer that prints, and the one that knows all others: it
//! starts engines, puts the dashboard before them, and carries single commands
//! through a ring member.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage. Results go to standard output,
//! everything else to standard error; a reader that closes the pipe early
//! (`chordal ls | head -1`) is no failure.

use std::any::Any;
use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use chordal_core::error::CommandError;
use chordal_core::id::Space;
use chordal_engine::Config;
use chordal_view::{Outcome, text};

mod address;
mod amount;
mod args;
mod dashboard;
mod json;
mod lab;
mod log;
mod node;
mod places;
mod progress;
mod remote;
mod scan;
mod seed;
mod settings;
mod signals;
mod sim;
mod tmux;

use args::{BadArgs, Invocation};

/// Exit code of something that did not work.
const FAILED: u8 = 1;

/// Exit code of words that mean nothing.
const WRONG_USAGE: u8 = 2;

/// Why the program ends without having done what it was asked for: one
/// sentence on what failed, on what, what to do.
#[derive(Debug)]
enum Failure {
    /// The words are wrong: exit code 2.
    Usage(String),
    /// The words are right, the deed failed: exit code 1.
    Failed(String),
    /// A command failed: exit code 2 for its words, otherwise 1.
    Command {
        /// Why.
        error: CommandError,
        /// As JSON, for scripts.
        json: bool,
    },
}

impl Failure {
    /// Says what failed on standard error: the exit code.
    fn tell(self) -> u8 {
        match self {
            Failure::Usage(problem) => {
                say_error(&problem);
                WRONG_USAGE
            }
            Failure::Failed(problem) => {
                say_error(&problem);
                FAILED
            }
            Failure::Command { error, json } => {
                if json {
                    let _ = writeln!(io::stderr().lock(), "{}", json::error(&error));
                } else {
                    say_error(&error.to_string());
                }
                if matches!(error, CommandError::Usage(_)) { WRONG_USAGE } else { FAILED }
            }
        }
    }
}

/// Runs the program with the words of the process.
pub fn main() -> ExitCode {
    main_with(std::env::args_os().collect(), |_| ())
}

/// Runs the program with these words, of which the first is its name. A node's
/// configuration passes through `adjust` before the node starts: tests put a disk
/// that fails or a clock that is wrong there.
pub fn main_with(words: Vec<OsString>, adjust: fn(&mut Config)) -> ExitCode {
    // A dashboard that panics gives its terminal back while it unwinds.
    match panic::catch_unwind(AssertUnwindSafe(|| run(words, adjust))) {
        Ok(code) => code,
        Err(cause) => {
            say_error(&crash(cause.as_ref()));
            ExitCode::from(FAILED)
        }
    }
}

/// The command line as clap sees it: every subcommand, argument and option with its help.
/// The reference is made from it.
pub fn definition() -> clap::Command {
    args::command()
}

fn run(words: Vec<OsString>, adjust: fn(&mut Config)) -> ExitCode {
    let invocation = match args::read(words, user_settings) {
        Ok(invocation) => invocation,
        Err(BadArgs::Clap(error)) => {
            // Help and the version come this way too, for standard output. A
            // closed pipe is nobody's fault.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(WRONG_USAGE));
        }
        Err(BadArgs::Wrong(problem)) => {
            say_error(&problem);
            return ExitCode::from(WRONG_USAGE);
        }
    };
    let end = match invocation {
        Invocation::Node(args) => node::run(*args, adjust),
        Invocation::Lab(args) => lab::run(*args),
        Invocation::Tmux(args) => tmux::run(&args),
        Invocation::Seed(args) => seed::run(args),
        Invocation::Remote(args) => remote::run(args),
        Invocation::Id { text, space, json } => id(text, space, json),
        Invocation::Scan(args) => scan::run(&args),
        Invocation::Sim(args) => sim::run(&args),
        Invocation::Config => print(settings::template(&args::command()).as_bytes()),
        Invocation::Completions(shell) => completions(shell),
    };
    match end {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.tell()),
    }
}

fn user_settings(command: clap::Command, words: &[OsString]) -> Result<clap::Command, String> {
    settings::apply(command, words).map_err(|error| error.to_string())
}

fn id(text: String, space: Space, json: bool) -> Result<(), Failure> {
    let id = space.hash(&text);
    show(&Outcome::IdOf { text, space, id }, json)
}

fn completions(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(), "chordal", &mut script);
    print(&script)
}

/// Prints how a command ended.
fn show(outcome: &Outcome, as_json: bool) -> Result<(), Failure> {
    let value = if as_json { json::value(outcome) } else { None };
    let mut text = match value {
        Some(value) => value.to_string(),
        None => text::lines(outcome).join("\n"),
    };
    text.push('\n');
    print(text.as_bytes())
}

/// Writes to standard output at once. A reader that went away wants no more.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Failed(format!(
            "cannot write to standard output: {error}; check where it leads"
        ))),
        _ => Ok(()),
    }
}

/// Writes one message to standard error, if that still leads anywhere.
fn say_error(problem: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {problem}");
}

/// What to say after a panic: the program's own fault.
fn crash(cause: &(dyn Any + Send)) -> String {
    let what = cause
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("unknown cause");
    let place = match log::directory() {
        Some(directory) if !log::is_quiet() => {
            format!("; the log in {} tells more", directory.display())
        }
        _ => String::new(),
    };
    format!(
        "chordal {} crashed: {what}{place}. This is a bug: please report it",
        env!("CARGO_PKG_VERSION")
    )
}

/// The runtime on which everything asynchronous of the program runs.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .map_err(|error| {
            Failure::Failed(format!(
                "cannot start worker threads: {error}; close other programs or raise the limits"
            ))
        })?;
    runtime.block_on(async { signals::outlive_file_limit() })?;
    Ok(runtime)
}

/// Threads that move bytes, made as needed. All nodes of a lab share them, and
/// a copy that waits for a thread at its source must get one: 64 nodes fetch
/// at most 512 files at once.
const BLOCKING_THREADS: usize = 2_048;

/// Lets the process open as many files as the system allows it to: each
/// connection is one, and many systems begin with 1 024.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused, what there is must do.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_names_the_version_and_the_cause() {
        for cause in [
            panic::catch_unwind(|| panic!("a {}", "wheel came off")),
            panic::catch_unwind(|| panic!("a wheel came off")),
        ] {
            let message = crash(cause.expect_err("it panics").as_ref());
            assert!(message.contains("a wheel came off"), "{message}");
            assert!(message.contains(env!("CARGO_PKG_VERSION")), "{message}");
        }
    }
}
