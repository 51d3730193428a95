//! Blob files: one per content, named by its hash.
//!
//! A blob appears under its name only when it is complete, verified and its
//! bytes are fsynced; that its name is durable as well is
//! [`Blobs::sync_name`]'s work. Who places and who removes a content at the same
//! time is settled above ([`super::contents`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::disk::{Disk, create_dirs, parent};
use super::error::{StoreError, on};
use super::partial::Partial;
use super::partials::Partials;
use super::room::{self, Ledger, Room};
use crate::name::FileName;
use crate::record::{Content, ContentHash, Record, Version};
use crate::transfer::manifest::Manifest;

/// The extension of the sidecars of 0.2.0, which named the records of a blob.
const SIDECAR: &str = "names";

/// The directories `blobs/` and `partial/`.
#[derive(Debug)]
pub(super) struct Blobs {
    disk: Arc<dyn Disk>,
    contents: PathBuf,
    /// The directories in `blobs/` that are there durably. Locked while one is
    /// made, so that nobody uses it before.
    shelves: Mutex<BTreeSet<PathBuf>>,
    /// The bytes of all blobs.
    pub(super) ledger: Ledger,
    /// Contents on their way in.
    pub(super) partials: Partials,
}

/// What lies in `blobs/`.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Contents with their bytes.
    pub(super) blobs: BTreeMap<ContentHash, u64>,
    /// Sidecars of 0.2.0.
    pub(super) sidecars: Vec<Sidecar>,
}

/// A sidecar of 0.2.0.
#[derive(Debug)]
pub(super) struct Sidecar {
    root: ContentHash,
    path: PathBuf,
}

impl Blobs {
    /// Makes the directories and finds what an earlier process left
    /// unfinished.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Blobs, StoreError> {
        let contents = dir.join("blobs");
        let partial = dir.join("partial");
        for dir in [&contents, &partial] {
            create_dirs(&*disk, dir).map_err(on("create", dir))?;
        }
        let partials = Partials::open(Arc::clone(&disk), partial)?;
        let (shelves, ledger) = (Mutex::default(), Ledger::default());
        Ok(Blobs { disk, contents, shelves, ledger, partials })
    }

    /// Where a content lies or would lie.
    pub(super) fn path(&self, root: &ContentHash) -> PathBuf {
        let hex = root.to_string();
        self.contents.join(&hex[..2]).join(hex)
    }

    /// The bytes of a content's blob; `None` when there is none.
    pub(super) fn size(&self, root: &ContentHash) -> Result<Option<u64>, StoreError> {
        let path = self.path(root);
        self.disk.size(&path).map_err(on("look at", &path))
    }

    /// Opens a content for reading.
    pub(super) fn open_blob(&self, root: &ContentHash) -> Result<Option<File>, StoreError> {
        let path = self.path(root);
        match self.disk.reader(&path) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(on("open", &path)(error)),
        }
    }

    /// All that is there.
    pub(super) fn all(&self) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let shelves = self.disk.list(&self.contents).map_err(on("list", &self.contents))?;
        for dir in &shelves {
            for path in self.disk.list(dir).map_err(on("list", dir))? {
                let root = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
                match (root, path.extension()) {
                    (Some(root), None) => {
                        let len = self.disk.size(&path).map_err(on("look at", &path))?;
                        found.blobs.extend(len.map(|len| (root, len)));
                    }
                    (Some(root), Some(extension)) if extension == SIDECAR => {
                        found.sidecars.push(Sidecar { root, path });
                    }
                    // Not ours: somebody put it here, it does no harm.
                    _ => {}
                }
            }
        }
        Ok(found)
    }

    /// Moves a complete and fsynced partial file to its content's place.
    pub(super) fn place(&self, partial: &Partial) -> Result<(), StoreError> {
        let to = self.path(&partial.manifest().root());
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        self.make_shelf(&mut shelves, parent(&to))?;
        // Still locked: of two that place the same content only one counts.
        let replaced = self.disk.size(&to).map_err(on("look at", &to))?;
        self.disk.rename(partial.path(), &to).map_err(on("move a file to", &to))?;
        self.ledger.add(partial.manifest().size());
        self.ledger.subtract(replaced.unwrap_or_default());
        Ok(())
    }

    /// Makes durable that a content was placed. Not shared among many: contents
    /// that come in at the same time seldom lie in one directory, and disks sync
    /// several faster side by side than one after another.
    pub(super) fn sync_name(&self, root: &ContentHash) -> Result<(), StoreError> {
        let path = self.path(root);
        let dir = parent(&path);
        self.disk.sync_dir(dir).map_err(on("sync", dir))
    }

    /// Removes a content. It may come back if the power fails, as one that
    /// nobody needs, which the next start removes.
    pub(super) fn remove(&self, root: &ContentHash) -> Result<(), StoreError> {
        let path = self.path(root);
        let size = self.size(root)?;
        self.disk.remove(&path).map_err(on("remove", &path))?;
        self.ledger.subtract(size.unwrap_or_default());
        Ok(())
    }

    /// Makes a content's blob what is left of it, for whoever takes the content
    /// in again soon: every piece is looked at first.
    pub(super) fn set_aside(&self, root: &ContentHash, size: u64) -> Result<(), StoreError> {
        self.partials.adopt(&self.path(root), root, size)?;
        self.ledger.subtract(size);
        Ok(())
    }

    /// A file for a content, when there is room for it; what was left of others
    /// goes if that helps.
    pub(super) fn begin(&self, manifest: &Manifest) -> Result<Arc<Partial>, StoreError> {
        loop {
            let begun = self.partials.begin(manifest, |here, promised| {
                let size = manifest.size();
                self.ledger.fits(&*self.disk, &self.contents, size, here, promised)
            });
            match begun {
                Err(StoreError::NoRoom { .. }) if self.partials.give_way() => {}
                begun => return begun,
            }
        }
    }

    /// What is used and what is free.
    pub(super) fn room(&self) -> Result<Room, StoreError> {
        let used = self.ledger.kept() + self.partials.bytes();
        let free = room::free(&*self.disk, &self.contents)?;
        Ok(Room { used, free, quota: self.ledger.quota() })
    }

    /// Keeps the bytes of a damaged content where nothing touches them; where.
    pub(super) fn keep_damaged(
        &self,
        root: &ContentHash,
        size: u64,
    ) -> Result<PathBuf, StoreError> {
        let dir = self.contents.with_file_name("damaged");
        create_dirs(&*self.disk, &dir).map_err(on("create", &dir))?;
        let (from, to) = (self.path(root), dir.join(root.to_string()));
        self.disk.rename(&from, &to).map_err(on("move a damaged file to", &to))?;
        self.ledger.subtract(size);
        Ok(to)
    }

    /// The records that a sidecar of 0.2.0 names.
    pub(super) fn named_in(&self, sidecar: &Sidecar) -> Result<Vec<Record>, StoreError> {
        let Sidecar { root, path } = sidecar;
        let bytes = self.disk.read(path).map_err(on("read", path))?;
        Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|text| line(*root, text)).collect())
    }

    /// Removes a sidecar of 0.2.0.
    pub(super) fn remove_sidecar(&self, sidecar: &Sidecar) -> Result<(), StoreError> {
        self.disk.remove(&sidecar.path).map_err(on("remove", &sidecar.path))
    }

    /// Makes a directory of `blobs/`, durably, unless it is known to be there.
    fn make_shelf(&self, shelves: &mut BTreeSet<PathBuf>, dir: &Path) -> Result<(), StoreError> {
        if !shelves.contains(dir) {
            let made = match self.disk.size(dir).map_err(on("look at", dir))? {
                None => self.disk.create_dir(dir),
                // Perhaps made just before a crash, and not durable yet.
                Some(_) => Ok(()),
            };
            made.map_err(on("create", dir))?;
            let above = parent(dir);
            self.disk.sync_dir(above).map_err(on("sync", above))?;
            shelves.insert(dir.to_owned());
        }
        Ok(())
    }
}

/// A line of a sidecar: counter, bytes and name, with tabs between, which no
/// name may hold. A damaged line names nothing.
fn line(root: ContentHash, text: &str) -> Option<Record> {
    let mut parts = text.splitn(3, '\t');
    let counter = parts.next()?.parse().ok()?;
    let size = parts.next()?.parse().ok()?;
    let name = FileName::try_from(parts.next()?.to_owned()).ok()?;
    Some(Record { name, version: Version { counter, root }, content: Content::File { size } })
}
