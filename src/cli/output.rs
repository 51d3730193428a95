//! Standard output and standard error.

use std::io::{self, ErrorKind, Write};

use chordal_view::{Outcome, text};

use super::failure::Failure;
use super::json;

/// Prints how a command ended.
pub(super) fn show(outcome: &Outcome, as_json: bool) -> Result<(), Failure> {
    let value = if as_json { json::value(outcome) } else { None };
    let mut text = match value {
        Some(value) => value.to_string(),
        None => text::lines(outcome).join("\n"),
    };
    text.push('\n');
    print(text.as_bytes())
}

/// Writes to standard output at once. A reader that went away wants no more.
pub(super) fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::Failed(format!(
            "cannot write to standard output: {error}; check where it leads"
        ))),
        _ => Ok(()),
    }
}

/// Writes one message to standard error, if that still leads anywhere.
pub(super) fn say_error(problem: &str) {
    let _ = writeln!(io::stderr().lock(), "error: {problem}");
}
