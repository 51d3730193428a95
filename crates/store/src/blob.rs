//! Blob files: one per content, named by its hash.
//!
//! A blob appears under its name only when it is complete, verified and its bytes are
//! fsynced; [`Blobs::sync_name`] makes the name durable as well. A small blob may be
//! *loose* instead: nothing of it is durable until the journal has it ([`super::journal`]).
//! Threads that place and remove the same content at the same time are kept apart one level
//! up ([`super::contents`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile, create_dirs, parent};
use super::error::{StoreError, on};
use super::partial::Partial;
use super::partials::Partials;
use super::room::{self, Ledger, Room};
use chordal_core::name::FileName;
use chordal_core::record::{Content, ContentHash, Record, Version};
use chordal_core::transfer::manifest::Manifest;

/// The extension of the sidecars of 0.2.0, which named the records of a blob.
const SIDECAR: &str = "names";

/// The name of the file that [`Blobs::probe`] writes to test the disk.
pub(super) const PROBE: &str = "probe";

/// The directories `blobs/` and `partial/`.
#[derive(Debug)]
pub(super) struct Blobs {
    disk: Arc<dyn Disk>,
    contents: PathBuf,
    /// The directories in `blobs/` whose existence is durable. Locked while a directory is
    /// made, so that no thread uses it before it is durable, and while a blob is moved to
    /// its place or removed.
    shelves: Mutex<BTreeSet<PathBuf>>,
    /// Contents in their place of which nothing is durable yet.
    loose: Mutex<BTreeSet<ContentHash>>,
    /// The bytes of all blobs.
    pub(super) ledger: Ledger,
    /// Contents on their way in.
    pub(super) partials: Partials,
}

/// What is in `blobs/`.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Contents with their bytes.
    pub(super) blobs: BTreeMap<ContentHash, u64>,
    /// Sidecars of 0.2.0.
    pub(super) sidecars: Vec<Sidecar>,
    /// Files that are not the store's; they are left alone.
    pub(super) unknown: Vec<PathBuf>,
}

/// A sidecar of 0.2.0.
#[derive(Debug)]
pub(super) struct Sidecar {
    root: ContentHash,
    path: PathBuf,
}

impl Blobs {
    /// Makes the directories and finds the unfinished files of an earlier process.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Blobs, StoreError> {
        let contents = dir.join("blobs");
        let partial = dir.join("partial");
        for dir in [&contents, &partial] {
            create_dirs(&*disk, dir).map_err(on("create", dir))?;
        }
        let lies_on = |path: &Path| disk.file_system(path).map_err(on("look at", path));
        if lies_on(&partial)? != lies_on(&contents)? {
            return Err(StoreError::Apart { one: partial, other: contents });
        }
        for shelf in disk.list(&contents).map_err(on("list", &contents))? {
            // Contents are moved into these directories.
            let part = shelf.file_name().and_then(|name| name.to_str());
            let own = part.is_some_and(|name| {
                name.len() == 2 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            if own && matches!(disk.file_system(&shelf), Ok(there) if there != lies_on(&contents)?)
            {
                return Err(StoreError::Apart { one: shelf, other: contents });
            }
        }
        let partials = Partials::open(Arc::clone(&disk), partial)?;
        let (shelves, loose, ledger) = (Mutex::default(), Mutex::default(), Ledger::default());
        Ok(Blobs { disk, contents, shelves, loose, ledger, partials })
    }

    /// Writes a file durably, as a content is written, and removes it.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        let (new, to) = (self.partials.dir().join(PROBE), self.contents.join(PROBE));
        self.write_new(&new, PROBE.as_bytes())?.sync().map_err(on("sync", &new))?;
        self.disk.rename(&new, &to).map_err(on("move a file to", &to))?;
        self.disk.sync_dir(&self.contents).map_err(on("sync", &self.contents))?;
        self.disk.remove(&to).map_err(on("remove", &to))
    }

    /// The directory of the contents.
    pub(super) fn dir(&self) -> &Path {
        &self.contents
    }

    /// The path of a content's blob, whether it exists or not.
    pub(super) fn path(&self, root: &ContentHash) -> PathBuf {
        let hex = root.to_string();
        self.contents.join(&hex[..2]).join(hex)
    }

    /// The bytes of a content's blob; `None` when there is none.
    pub(super) fn size(&self, root: &ContentHash) -> Result<Option<u64>, StoreError> {
        let path = self.path(root);
        let size = self.disk.size(&path).map_err(on("look at", &path))?;
        // A directory at this path is not a blob.
        Ok(size.filter(|_| self.disk.is_file(&path).unwrap_or(true)))
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

    /// Everything that `blobs/` holds.
    pub(super) fn all(&self) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let shelves = self.disk.list(&self.contents).map_err(on("list", &self.contents))?;
        for dir in &shelves {
            let paths = match self.disk.list(dir) {
                Ok(paths) => paths,
                // A user's file, or a link without a target.
                Err(why) if is_none(&why) => {
                    found.unknown.push(dir.clone());
                    continue;
                }
                Err(why) => return Err(on("list", dir)(why)),
            };
            for path in paths {
                match self.disk.is_file(&path) {
                    Ok(true) => {}
                    Err(why) if !is_none(&why) => return Err(on("look at", &path)(why)),
                    _ => {
                        found.unknown.push(path);
                        continue;
                    }
                }
                let root = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
                match (root, path.extension()) {
                    (Some(root), None) => {
                        let len = self.disk.size(&path).map_err(on("look at", &path))?;
                        found.blobs.extend(len.map(|len| (root, len)));
                    }
                    (Some(root), Some(extension)) if extension == SIDECAR => {
                        found.sidecars.push(Sidecar { root, path });
                    }
                    // Not a file of the store: it does no harm.
                    _ => found.unknown.push(path),
                }
            }
        }
        Ok(found)
    }

    /// Moves a complete and fsynced partial file to its content's place.
    pub(super) fn place(&self, partial: &Partial) -> Result<(), StoreError> {
        let to = self.path(&partial.manifest().root());
        let mut shelves = self.shelves.lock();
        self.make_shelf(&mut shelves, parent(&to))?;
        // Still locked: of two threads that place the same content only one is counted.
        let replaced = self.disk.size(&to).map_err(on("look at", &to))?;
        self.disk.rename(partial.path(), &to).map_err(on("move a file to", &to))?;
        self.ledger.add(partial.manifest().size());
        self.ledger.subtract(replaced.unwrap_or_default());
        Ok(())
    }

    /// Moves a complete partial file, of which nothing is durable, to its content's place,
    /// unless a blob is there already: that one may be durable, and only a durable one may
    /// replace it. Returns whether the file was moved.
    pub(super) fn place_loosely(&self, partial: &Partial) -> Result<bool, StoreError> {
        let root = partial.manifest().root();
        let to = self.path(&root);
        let mut shelves = self.shelves.lock();
        self.make_shelf(&mut shelves, parent(&to))?;
        if self.disk.size(&to).map_err(on("look at", &to))?.is_some() {
            return Ok(false);
        }
        // Before the rename makes the blob visible to other threads.
        self.loose.lock().insert(root);
        if let Err(why) = self.disk.rename(partial.path(), &to) {
            self.fasten(&root);
            return Err(on("move a file to", &to)(why));
        }
        self.ledger.add(partial.manifest().size());
        Ok(true)
    }

    /// The bytes of a content of which nothing is durable; `None` for any other.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when they are not what was written.
    pub(super) fn loose_bytes(&self, root: &ContentHash) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.is_loose(root) {
            return Ok(None);
        }
        let path = self.path(root);
        let bytes = self.disk.read(&path).map_err(on("read", &path))?;
        if *blake3::hash(&bytes).as_bytes() != root.0 {
            return Err(StoreError::Damaged { path });
        }
        Ok(Some(bytes))
    }

    /// Whether nothing of a content is durable.
    pub(super) fn is_loose(&self, root: &ContentHash) -> bool {
        self.loose.lock().contains(root)
    }

    /// Notes that a content is durable now, or removed.
    pub(super) fn fasten(&self, root: &ContentHash) {
        self.loose.lock().remove(root);
    }

    /// Puts a content in its place, not durably, unless it is there intact. `new` is the
    /// path at which the file is written first. Only called at start.
    pub(super) fn restore(
        &self,
        new: &Path,
        root: &ContentHash,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let to = self.path(root);
        let is_there = self.disk.size(&to).map_err(on("look at", &to))?.is_some();
        if is_there && self.disk.read(&to).map_err(on("read", &to))? == bytes {
            return Ok(());
        }
        self.make_shelf(&mut self.shelves.lock(), parent(&to))?;
        self.write_new(new, bytes)?;
        self.disk.rename(new, &to).map_err(on("move a file to", &to))
    }

    /// Makes a content durable that [`Blobs::restore`] found or put here, if it is still
    /// here. `new` is the path at which a file is written if necessary. Only called at
    /// start.
    pub(super) fn secure(
        &self,
        new: &Path,
        root: &ContentHash,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.path(root);
        if self.disk.size(&path).map_err(on("look at", &path))?.is_none() {
            return Ok(());
        }
        let file = self.disk.open(&path).map_err(on("open", &path))?;
        if file.sync().is_ok() {
            return self.sync_name(root);
        }
        // The disk lost bytes that the page cache still shows, and reports that only once.
        // If the rewrite fails too, the next start must not take these bytes for durable.
        self.rewrite(new, root, bytes).inspect_err(|_| drop(self.disk.remove(&path)))
    }

    /// Writes a content once more, durably, if it is here. `new` is the path at which the
    /// file is written first.
    pub(super) fn rewrite(
        &self,
        new: &Path,
        root: &ContentHash,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let to = self.path(root);
        if self.disk.size(&to).map_err(on("look at", &to))?.is_none() {
            return Ok(());
        }
        let file = self.write_new(new, bytes)?;
        file.sync().map_err(on("sync", new))?;
        let shelves = self.shelves.lock();
        // Still locked: a content that was removed meanwhile does not come back.
        if let Some(replaced) = self.disk.size(&to).map_err(on("look at", &to))? {
            self.disk.rename(new, &to).map_err(on("move a file to", &to))?;
            self.ledger.add(bytes.len() as u64);
            self.ledger.subtract(replaced);
        }
        drop(shelves);
        self.sync_name(root)
    }

    fn write_new(&self, new: &Path, bytes: &[u8]) -> Result<Box<dyn DiskFile>, StoreError> {
        self.disk.remove(new).map_err(on("remove", new))?;
        let file = self.disk.create(new).map_err(on("create", new))?;
        file.write_at(0, bytes).map_err(on("write", new))?;
        Ok(file)
    }

    /// Makes the name of a placed content durable. Contents are not grouped for this: those
    /// that arrive at the same time are seldom in the same directory, and a disk syncs
    /// several directories faster in parallel than in sequence.
    pub(super) fn sync_name(&self, root: &ContentHash) -> Result<(), StoreError> {
        let path = self.path(root);
        let dir = parent(&path);
        self.disk.sync_dir(dir).map_err(on("sync", dir))
    }

    /// Removes a content. If the power fails it may come back without a record; the next
    /// start removes it then.
    pub(super) fn remove(&self, root: &ContentHash) -> Result<(), StoreError> {
        let path = self.path(root);
        let _shelves = self.shelves.lock();
        let size = self.size(root)?;
        self.disk.remove(&path).map_err(on("remove", &path))?;
        self.fasten(root);
        self.ledger.subtract(size.unwrap_or_default());
        Ok(())
    }

    /// Turns a content's blob into a partial file, for an upload of the same content in the
    /// near future; every piece is verified before it counts.
    pub(super) fn set_aside(&self, root: &ContentHash, size: u64) -> Result<(), StoreError> {
        let _shelves = self.shelves.lock();
        self.partials.adopt(&self.path(root), root, size)?;
        self.fasten(root);
        self.ledger.subtract(size);
        Ok(())
    }

    /// Opens a partial file for a content if there is room for it. If there is not, retires
    /// the journal (`retire`) or removes unfinished uploads of other contents, when that
    /// helps.
    pub(super) fn begin(
        &self,
        manifest: &Manifest,
        retire: impl Fn(),
        make_room: impl Fn() -> bool,
    ) -> Result<Arc<Partial>, StoreError> {
        loop {
            let begun = self.partials.begin(manifest, |here, promised| {
                let size = manifest.size();
                self.ledger.fits(&*self.disk, &self.contents, size, here, promised)
            });
            let Err(StoreError::NoRoom { needs, free, left, .. }) = begun else { return begun };
            let recent = self.ledger.recent();
            let fits = |left: u64| needs <= left.saturating_add(recent);
            if recent > 0 && fits(free) && left.is_none_or(fits) {
                retire();
                if self.ledger.recent() < recent {
                    continue;
                }
            }
            if !make_room() && !self.partials.give_way() {
                return begun;
            }
        }
    }

    /// Bytes that are used and bytes that are free.
    pub(super) fn room(&self) -> Result<Room, StoreError> {
        let used = self.ledger.kept() + self.partials.bytes();
        let free = room::free(&*self.disk, &self.contents)?;
        Ok(Room { used, free, quota: self.ledger.quota() })
    }

    /// Moves the bytes of a damaged content to a directory that nothing else touches;
    /// returns the path.
    pub(super) fn keep_damaged(
        &self,
        root: &ContentHash,
        size: u64,
    ) -> Result<PathBuf, StoreError> {
        let dir = self.contents.with_file_name("damaged");
        create_dirs(&*self.disk, &dir).map_err(on("create", &dir))?;
        let (from, to) = (self.path(root), dir.join(root.to_string()));
        let _shelves = self.shelves.lock();
        self.disk.rename(&from, &to).map_err(on("move a damaged file to", &to))?;
        self.fasten(root);
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
                // It may have been made just before a crash and not be durable yet.
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

/// Parses a line of a sidecar: counter, bytes and name, separated by tabs, which a name
/// cannot contain. Returns `None` for a damaged line.
fn line(root: ContentHash, text: &str) -> Option<Record> {
    let mut parts = text.splitn(3, '\t');
    let counter = parts.next()?.parse().ok()?;
    let size = parts.next()?.parse().ok()?;
    let name = FileName::try_from(parts.next()?.to_owned()).ok()?;
    Some(Record { name, version: Version { counter, root }, content: Content::File { size } })
}

/// Whether the error says that there is no such directory or file.
pub(super) fn is_none(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::NotFound)
}
