//! The `chordal` program: everything is in the library; see [`chordal::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    chordal::cli::main()
}
