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
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

use chordal_core::id::Space;
use chordal_engine::Config;
use chordal_view::Outcome;

mod address;
mod amount;
mod args;
mod dashboard;
mod failure;
mod json;
mod lab;
mod log;
mod node;
mod output;
mod places;
mod progress;
mod remote;
mod runtime;
mod scan;
mod seed;
mod settings;
mod signals;
mod sim;
mod tmux;

use args::{BadArgs, Invocation};
use failure::{FAILED, Failure, WRONG_USAGE};
use output::{print, say_error, show};

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
