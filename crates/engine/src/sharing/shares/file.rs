//! A file that is shared, and its bytes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chordal_core::name::FileName;
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::{Manifest, PieceIndex};

/// Files shared by one node: each takes a few kilobytes of memory here and in
/// the ring, and one look at the disk finds them all within a second.
pub(super) const MAX_FILES: usize = 100_000;

/// A shared file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedFile {
    /// Its name for others.
    pub(crate) name: FileName,
    /// Where it lies.
    pub(crate) path: PathBuf,
    /// Its content when it was hashed.
    pub(crate) root: ContentHash,
    /// Its bytes.
    pub(crate) size: u64,
    /// It came as a download and is offered onward.
    pub(crate) downloaded: bool,
}

/// A shared content that is open. Its bytes are verified before they are passed on: its
/// user may write to it at any moment.
#[derive(Debug)]
pub(crate) struct OpenShare {
    pub(super) file: File,
    /// What it was when it was hashed.
    pub(crate) manifest: Arc<Manifest>,
    pub(super) path: PathBuf,
}

impl OpenShare {
    /// Reads a piece; `false`: it is not what it was. Blocks.
    pub(crate) fn read(&self, index: PieceIndex, piece: &mut Vec<u8>) -> bool {
        piece.resize(self.manifest.len_of(index) as usize, 0);
        let read = self.file.read_exact_at(piece, self.manifest.offset_of(index));
        read.is_ok() && self.manifest.verify(index, piece)
    }
}

/// A path as people read it: names on the disk may hold anything.
pub(super) fn shown(path: &Path) -> String {
    let text = path.to_string_lossy();
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}

/// A number of files in words.
pub(super) fn file_count(files: usize) -> String {
    if files == 1 { "1 file".to_owned() } else { format!("{files} files") }
}
