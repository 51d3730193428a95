//! Blob files: one per content, named by its hash, with a sidecar that names
//! the records which refer to it.
//!
//! A blob appears under its name only when it is complete, verified and
//! fsynced (data → fsync → rename → fsync of the directory); a sidecar is
//! replaced in the same way. A blob's sidecar is removed before the blob, so
//! that a blob without one is nobody's.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{Disk, create_dirs, parent};
use super::error::{StoreError, on};
use super::partial::Partial;
use super::partials::Partials;
use crate::name::FileName;
use crate::record::{Content, ContentHash, Record, Version};

/// What the extension of a sidecar is.
const NAMES: &str = "names";

/// The directories `blobs/` and `partial/`.
#[derive(Debug)]
pub(super) struct Blobs {
    disk: Arc<dyn Disk>,
    contents: PathBuf,
    partial: PathBuf,
    /// Contents on their way in.
    pub(super) partials: Partials,
    /// Makes names of temporary files in `partial/` differ; those of an earlier
    /// process are removed before the first is made.
    next: AtomicU64,
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
        let partials = Partials::open(Arc::clone(&disk), partial.clone())?;
        Ok(Blobs { disk, contents, partial, partials, next: AtomicU64::new(0) })
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

    /// All blobs with their bytes; sidecars that lost their blob are removed.
    pub(super) fn all(&self) -> Result<BTreeMap<ContentHash, u64>, StoreError> {
        let mut found = BTreeMap::new();
        let mut sidecars = Vec::new();
        for dir in self.disk.list(&self.contents).map_err(on("list", &self.contents))? {
            for path in self.disk.list(&dir).map_err(on("list", &dir))? {
                let root = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
                match (root, path.extension()) {
                    (Some(root), None) => {
                        let len = self.disk.size(&path).map_err(on("look at", &path))?;
                        found.extend(len.map(|len| (root, len)));
                    }
                    (Some(root), Some(extension)) if extension == NAMES => {
                        sidecars.push((root, path));
                    }
                    // Not ours: somebody put it here, it does no harm.
                    _ => {}
                }
            }
        }
        for (root, path) in sidecars {
            if !found.contains_key(&root) {
                self.disk.remove(&path).map_err(on("remove", &path))?;
            }
        }
        Ok(found)
    }

    /// Moves a complete partial file to its content's place, durably.
    pub(super) fn place(&self, partial: &Partial) -> Result<(), StoreError> {
        self.settle(partial.path(), &self.path(&partial.manifest().root()))
    }

    /// The records that a content's sidecar names.
    pub(super) fn names(&self, root: &ContentHash) -> Result<Vec<Record>, StoreError> {
        let path = self.path(root).with_extension(NAMES);
        match self.disk.read(&path) {
            Ok(bytes) => {
                Ok(String::from_utf8_lossy(&bytes).lines().filter_map(|l| line(*root, l)).collect())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(on("read", &path)(error)),
        }
    }

    /// Replaces a content's sidecar, durably.
    pub(super) fn set_names(
        &self,
        root: &ContentHash,
        records: &[Record],
    ) -> Result<(), StoreError> {
        let line = |r: &Record| format!("{}\t{}\t{}\n", r.version.counter, r.size(), r.name);
        let text = records.iter().map(line).collect::<Vec<_>>().concat();
        let target = self.path(root).with_extension(NAMES);
        let temporary = self.fresh(NAMES);
        let file = self.disk.create(&temporary).map_err(on("create", &temporary))?;
        let written = file.write_at(0, text.as_bytes()).and_then(|()| file.sync());
        let placed = written
            .map_err(on("write", &temporary))
            .and_then(|()| self.settle(&temporary, &target));
        if placed.is_err() {
            // The next start removes it if this fails too.
            let _ = self.disk.remove(&temporary);
        }
        placed
    }

    /// Removes a content: its sidecar, then its blob.
    pub(super) fn remove(&self, root: &ContentHash) -> Result<(), StoreError> {
        let blob = self.path(root);
        let names = blob.with_extension(NAMES);
        for path in [&names, &blob] {
            self.disk.remove(path).map_err(on("remove", path))?;
        }
        let dir = parent(&blob);
        if self.disk.size(dir).map_err(on("look at", dir))?.is_some() {
            self.disk.sync_dir(dir).map_err(on("sync", dir))?;
        }
        Ok(())
    }

    fn settle(&self, from: &Path, to: &Path) -> Result<(), StoreError> {
        let dir = parent(to);
        create_dirs(&*self.disk, dir).map_err(on("create", dir))?;
        self.disk.rename(from, to).map_err(on("move a file to", to))?;
        self.disk.sync_dir(dir).map_err(on("sync", dir))
    }

    fn fresh(&self, stem: &str) -> PathBuf {
        self.partial.join(format!("{stem}.{}", self.next.fetch_add(1, Ordering::Relaxed)))
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
