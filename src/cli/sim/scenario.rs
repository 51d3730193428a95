//! `chordal sim run`: a scenario from a file.

use std::path::Path;

use super::Failure;

pub(super) fn run(_file: &Path, _seed: Option<u64>, _json: bool) -> Result<(), Failure> {
    Ok(())
}
