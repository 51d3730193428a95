//! The index as others have it: what is shared, by name and by content, and the commands
//! `share` and `unshare`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::inputs::ask;
use chordal_core::error::{CommandError, PathFault};
use chordal_core::id::Space;
use chordal_core::name::FileName;
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::Manifest;
use chordal_core::wire::query;
use chordal_store::{Stamp, is_unfinished};
use chordal_view::{FileRow, Outcome};

use super::file::{OpenShare, SharedFile, shown};
use super::index::{Entry, Index};
use super::opening::Answer;
use super::roots::{Origin, Root};
use super::walk;
use super::watch::Changes;

/// Commands and offers waiting for the task.
const QUEUE: usize = 64;

/// What the task will be asked to do.
#[derive(Debug)]
pub(crate) struct Inputs(pub(super) mpsc::Receiver<Input>);

#[derive(Debug)]
pub(super) enum Input {
    /// Share these paths.
    Share {
        /// They were there a moment ago.
        paths: Vec<Root>,
        /// Where the answer goes, once all files are hashed.
        answer: Answer,
    },
    /// Share something no longer.
    Unshare {
        /// A name or a path, as it was typed.
        what: String,
        /// Where the answer goes.
        answer: Answer,
    },
    /// Read a file again: its bytes are not what its marks promised.
    Doubt {
        /// Where it lies.
        path: PathBuf,
    },
    /// Share a finished download.
    Offer {
        /// The entry for the index.
        entry: Entry,
    },
}

/// What is shared. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shares {
    pub(super) index: Arc<Mutex<Index>>,
    changed: Arc<Notify>,
    changes: Changes,
    inputs: mpsc::Sender<Input>,
}

impl Shares {
    /// An empty index, and what its task is asked.
    pub(crate) fn new() -> (Shares, Inputs) {
        let (inputs, asked) = mpsc::channel(QUEUE);
        let shares = Shares {
            index: Arc::default(),
            changed: Arc::default(),
            changes: Changes::default(),
            inputs,
        };
        (shares, Inputs(asked))
    }

    /// Files offered now, and their bytes.
    pub(crate) fn totals(&self) -> (u32, u64) {
        let (files, bytes) = self.index.lock().totals();
        (u32::try_from(files).unwrap_or(u32::MAX), bytes)
    }

    /// The first files from behind `after`, in the order of names, whose name
    /// passes; at most `most`.
    pub(crate) fn page(
        &self,
        passes: impl Fn(&str) -> bool,
        after: Option<&FileName>,
        most: usize,
    ) -> Vec<SharedFile> {
        let index = self.index.lock();
        let rows = index.behind(after).filter(|entry| passes(entry.name.as_str()));
        rows.take(most).map(|entry| index.file(entry)).collect()
    }

    /// All files offered now, in the order of names.
    pub(crate) fn all(&self) -> Vec<SharedFile> {
        self.page(|_| true, None, usize::MAX)
    }

    /// Waits until something is offered that was not, or no longer; at once
    /// when that happened since the last call returned. For one task.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The file with this name.
    pub(crate) fn named(&self, name: &FileName) -> Option<SharedFile> {
        let index = self.index.lock();
        index.named(name).map(|entry| index.file(entry))
    }

    /// A file with this content.
    pub(crate) fn with_content(&self, root: &ContentHash) -> Option<SharedFile> {
        let index = self.index.lock();
        index.with_content(*root).next().map(|entry| index.file(entry))
    }

    /// The manifest of a shared content.
    pub(crate) fn manifest(&self, root: &ContentHash) -> Option<Manifest> {
        self.index.lock().with_content(*root).next().map(|entry| (*entry.manifest).clone())
    }

    /// Opens a shared content, if a file of it is still what was hashed, as far as
    /// its marks tell, and still lies within what is shared. One that does not is
    /// looked at again. Blocks.
    pub(crate) fn open(&self, root: &ContentHash) -> Option<OpenShare> {
        let entries: Vec<Entry> = self.index.lock().with_content(*root).cloned().collect();
        entries.into_iter().find_map(|entry| {
            let opened = walk::open_within(&entry.path, &entry.below);
            let like = |stamp: &Stamp| stamp.of_bytes() == entry.stamp.of_bytes();
            let opened = opened.ok().filter(|(_, stamp)| like(stamp));
            if opened.as_ref().is_none_or(|(_, stamp)| *stamp != entry.stamp) {
                self.changes.mark(entry.path.clone());
            }
            let (file, _) = opened?;
            Some(OpenShare { file, manifest: entry.manifest, path: entry.path })
        })
    }

    /// The bytes of a shared content are not what its marks promised: it is not
    /// offered until its file was read again.
    pub(crate) fn doubt(&self, share: &OpenShare) {
        let root = share.manifest.root();
        let known = |entry: &Entry| entry.manifest.root() == root;
        self.change(|index| {
            if index.at(&share.path).is_some_and(known) {
                index.remove(&share.path);
            }
        });
        // Should its queue be full: it is met again.
        let _ = self.inputs.try_send(Input::Doubt { path: share.path.clone() });
    }

    /// How many nodes share this name with this content, this one included, as
    /// far as the ring knows: for the screen.
    pub(crate) fn known_sources(&self, name: &FileName, sources: u16) {
        if self.index.lock().set_sources(name, sources) {
            self.changes.poke();
        }
    }

    /// Shares a finished download under its name. It is not read again: these
    /// are its pieces.
    pub(crate) fn offer(&self, path: &Path, name: &FileName, manifest: &Manifest) {
        let found = path.canonicalize().and_then(|path| {
            let stamp = Stamp::of(&path.metadata()?);
            Ok((path, stamp))
        });
        let (path, stamp) = match found {
            Ok(found) if found.1.size == manifest.size() => found,
            other => {
                tracing::debug!(?other, "a download is not offered: it is not there any more");
                return;
            }
        };
        let (below, manifest) = (path.clone(), Arc::new(manifest.clone()));
        let entry = Entry { name: name.clone(), path, below, stamp, manifest };
        if self.inputs.try_send(Input::Offer { entry }).is_err() {
            tracing::warn!("too much is shared at once: a download is not offered");
        }
    }

    /// The first files from behind `after`, in the order of names, as other
    /// nodes are sent them; at most `most`.
    pub(crate) fn told(&self, after: Option<&FileName>, most: usize) -> Vec<query::SharedFile> {
        let index = self.index.lock();
        let entries = index.behind(after).take(most);
        entries.map(|entry| index.shared_file(entry)).collect()
    }

    /// The files whose name passes as the screen and `ls` show them.
    pub(crate) fn rows(&self, space: Space, passes: impl Fn(&str) -> bool) -> Vec<FileRow> {
        let index = self.index.lock();
        let entries = index.behind(None).filter(|entry| passes(entry.name.as_str()));
        entries.map(|entry| FileRow::shared(index.shared_file(entry), space)).collect()
    }

    /// Changes the index and tells the task that follows what is offered.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        let mut index = self.index.lock();
        let before = index.revision();
        let result = change(&mut index);
        if index.revision() != before {
            self.changed.notify_one();
        }
        result
    }

    /// What changed on the disk.
    pub(super) const fn changes(&self) -> &Changes {
        &self.changes
    }
}

/// The command `share`: answers when the files are hashed and offered.
pub(crate) async fn share(shares: &Shares, paths: Vec<PathBuf>) -> Result<Outcome, CommandError> {
    let paths = tokio::task::block_in_place(|| {
        paths.iter().map(|path| root_at(path)).collect::<Result<Vec<Root>, CommandError>>()
    })?;
    ask(&shares.inputs, |answer| Input::Share { paths, answer }).await?
}

/// The command `unshare`.
pub(crate) async fn unshare(shares: &Shares, what: String) -> Result<Outcome, CommandError> {
    ask(&shares.inputs, |answer| Input::Unshare { what, answer }).await?
}

/// What a path that a person typed stands for. A file keeps the name by which
/// it was called, whatever a link leads to.
fn root_at(path: &Path) -> Result<Root, CommandError> {
    let cannot = |why: &dyn std::fmt::Display| CommandError::Local {
        path: shown(path),
        fault: PathFault::Unshareable(why.to_string()),
    };
    let unreadable = |error: std::io::Error| cannot(&format!("{error}; check the path"));
    let real = path.canonicalize().map_err(unreadable)?;
    let metadata = real.metadata().map_err(unreadable)?;
    let name = if metadata.is_file() {
        if is_unfinished(&real) {
            return Err(cannot(&"it is an unfinished download"));
        }
        let last = path.file_name().or(real.file_name()).unwrap_or_default();
        let text = last.to_str().ok_or_else(|| cannot(&"its name is no text; rename it"))?;
        Some(FileName::new(text).map_err(|error| cannot(&error))?)
    } else if metadata.is_dir() {
        None
    } else {
        return Err(cannot(&"it is neither a file nor a directory"));
    };
    Ok(Root { path: real, name, origin: Origin::Command })
}
