//! Small text files beside what is stored.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chordal_descriptors::{FILE_PATIENCE, wait_out};

/// Replaces a file in one step: after a crash it is the old one or the new one, and the new
/// one when this has returned. `head` is its first lines.
///
/// # Errors
/// The disk's.
pub fn replace_text(path: &Path, head: &str, text: &str) -> std::io::Result<()> {
    let draft: PathBuf = path.with_extension("toml.new");
    let mut file = wait_out(FILE_PATIENCE, || fs::File::create(&draft))?;
    file.write_all(head.as_bytes())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    path.parent().map_or(Ok(()), |directory| {
        wait_out(FILE_PATIENCE, || fs::File::open(directory))?.sync_all()
    })
}
