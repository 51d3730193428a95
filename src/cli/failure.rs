//! Why the program ends without success, and its exit codes.

use std::io::{self, Write};

use chordal_core::error::CommandError;

use super::json;
use super::output::say_error;

/// Exit code of something that did not work.
pub(super) const FAILED: u8 = 1;

/// Exit code of words that mean nothing.
pub(super) const WRONG_USAGE: u8 = 2;

/// Why the program ends without having done what it was asked for: one
/// sentence on what failed, on what, what to do.
#[derive(Debug)]
pub(super) enum Failure {
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
    pub(super) fn tell(self) -> u8 {
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
