//! What changed on the disk, as the system tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Paths that are remembered as changed: of more, everything is looked at.
const MAX_CHANGED: usize = 4_096;

/// Attempts to watch a directory in which directories come and go meanwhile.
const ATTEMPTS: u32 = 3;

/// Paths that changed and were not looked at since. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    marks: Mutex<Marks>,
    told: Notify,
}

#[derive(Debug, Default)]
struct Marks {
    paths: BTreeSet<PathBuf>,
    lost: bool,
}

impl Changes {
    /// This path changed.
    pub(super) fn mark(&self, path: PathBuf) {
        let mut marks = self.inner.marks.lock();
        if marks.paths.len() < MAX_CHANGED {
            marks.paths.insert(path);
        } else {
            marks.lost = true;
        }
        drop(marks);
        self.inner.told.notify_one();
    }

    /// Changes were lost: everything has to be looked at.
    pub(super) fn lose(&self) {
        self.inner.marks.lock().lost = true;
        self.inner.told.notify_one();
    }

    /// Nothing changed on the disk, but the task that follows changes must look up.
    pub(super) fn poke(&self) {
        self.inner.told.notify_one();
    }

    /// Waits for the first change since the last call returned.
    pub(super) async fn come(&self) {
        self.inner.told.notified().await;
    }

    /// What changed since the last call; `None`: anything may have.
    pub(super) fn take(&self) -> Option<BTreeSet<PathBuf>> {
        let mut marks = self.inner.marks.lock();
        let Marks { paths, lost } = std::mem::take(&mut *marks);
        (!lost).then_some(paths)
    }

    fn hear(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.lose(),
            // That a program reads a file (as this node does) is no change.
            Ok(Event { kind: EventKind::Access(access), paths, .. }) => {
                if access == AccessKind::Close(AccessMode::Write) {
                    paths.into_iter().for_each(|path| self.mark(path));
                }
            }
            Ok(event) => event.paths.into_iter().for_each(|path| self.mark(path)),
            Err(error) => {
                tracing::warn!(%error, "the system does not tell all changes in shared directories");
                self.lose();
            }
        }
    }
}

/// The directories that the system watches. Its calls block.
#[derive(Debug)]
pub(super) struct Watching {
    changes: Changes,
    watcher: Option<RecommendedWatcher>,
    /// By path: which directory it was when it was watched (device, inode), and
    /// whether the system agreed to.
    watched: BTreeMap<PathBuf, ((u64, u64), bool)>,
    /// The system watches nothing at all: it is not asked again.
    refused: bool,
}

impl Watching {
    /// None yet.
    pub(super) const fn new(changes: Changes) -> Watching {
        Watching { changes, watcher: None, watched: BTreeMap::new(), refused: false }
    }

    /// As on a system that watches nothing.
    #[cfg(test)]
    pub(super) fn refused(changes: Changes) -> Watching {
        Watching { refused: true, ..Watching::new(changes) }
    }

    /// Has a directory and all below it watched, if it is not yet. Whether the
    /// system does: otherwise it has to be looked at again and again.
    pub(super) fn follow(&mut self, path: &Path, identity: (u64, u64)) -> bool {
        match self.watched.get(path) {
            Some((known, agreed)) if *known == identity => return *agreed,
            Some(_) => self.leave(path),
            None => {}
        }
        let agreed = !self.refused && self.watch(path);
        self.watched.insert(path.to_owned(), (identity, agreed));
        agreed
    }

    /// Watches a directory no longer.
    pub(super) fn leave(&mut self, path: &Path) {
        if self.watched.remove(path).is_none() {
            return;
        }
        // What is watched for two of them goes with either.
        let near = |other: &PathBuf| other.starts_with(path) || path.starts_with(other);
        if self.watched.keys().any(near) {
            self.watcher = None;
            self.watched.clear();
            self.changes.lose();
        } else if let Some(watcher) = &mut self.watcher {
            // One that is gone is not watched anyhow.
            let _ = watcher.unwatch(path);
        }
    }

    fn watch(&mut self, path: &Path) -> bool {
        if self.watcher.is_none() {
            let changes = self.changes.clone();
            let config = Config::default().with_follow_symlinks(false);
            match RecommendedWatcher::new(move |event| changes.hear(event), config) {
                Ok(watcher) => self.watcher = Some(watcher),
                Err(error) => {
                    tracing::warn!(%error, "the system watches no directories; they are polled");
                    self.refused = true;
                    return false;
                }
            }
        }
        let Some(watcher) = &mut self.watcher else { return false };
        for _ in 0..ATTEMPTS {
            match watcher.watch(path, RecursiveMode::Recursive) {
                Ok(()) => return true,
                Err(error) => {
                    tracing::warn!(%error, path = %path.display(), "a directory is not watched");
                    if !matches!(error.kind, notify::ErrorKind::PathNotFound) {
                        break;
                    }
                }
            }
        }
        // What could be watched of it would only be told twice.
        let _ = watcher.unwatch(path);
        false
    }
}
