//! The store: the files that this node keeps for the ring, on disk. All calls block.
//!
//! # The directory
//! | path | holds |
//! |---|---|
//! | `lock` | nothing; locked while a process uses the directory |
//! | `catalogue.redb` | records, manifests, settings, manifests of files outside of the store |
//! | `names.log` | the records again, one per line (`log`) |
//! | `blobs/<aa>/<hash>` | a content, complete and verified |
//! | `recent/<number>.log` | recent small contents and lines (`journal`) |
//! | `damaged/<hash>` | the bytes of a damaged content of which no other copy was found |
//! | `partial/<hash>.part` | an incoming content, or what an upload left at most an hour ago |
//! | `partial/<hash>.part.map` | which of its pieces are here, one bit each: a hint |
//!
//! `peers.toml` and `log/` beside them are not the store's.
//!
//! # The order that survives a crash
//! - **In:** data → fsync → rename → fsync of the directory ([`Incoming::finish`]), for
//!   many contents in parallel; then, for all callers that commit at the same time together
//!   (`commit`), lines in the log of names → fsync, and one transaction of the catalogue.
//!   [`Store::commit`] returns after the last of them, so everything that it acknowledged
//!   has all of them.
//! - **In, small:** data → rename, nothing of it durable; then, for all callers together,
//!   lines in the log of names, bytes and lines in the journal → fsync of the journal, and
//!   the transaction, which is not synced. Later: fsync of the log of names and of the
//!   catalogue → of the whole file system → the file of the journal is removed.
//! - **Out:** the catalogue, then the log, then the blob. Only the first is waited for:
//!   what a crash leaves of the others is not used.
//! - After a crash the contents of the journal are first put back into `blobs/`; then its
//!   lines that the catalogue does not have yet are applied to it.
//! - So after a crash at any point, a blob without a record was never acknowledged or was
//!   already removed from the records: the next start removes it. A record whose blob is
//!   missing is dropped and reported, so that the ring restores it.
//! - The catalogue is the authority. If it is lost or damaged (it is then renamed to
//!   `catalogue.redb.damaged`), it is rebuilt from the log of names; only settings are
//!   lost. A new catalogue only counts once it was filled in one transaction, so a crash
//!   meanwhile repeats that. Manifests are hashed again when they are needed.
//! - A lost or damaged log is rewritten from the catalogue. Chordal 0.2.0 had a file
//!   `<hash>.names` beside every blob instead; these are read if the catalogue is lost, and
//!   removed once there is a log.
//!
//! # What holds
//! Every record of a file names a blob with its size and content. Versions of a name only
//! grow. A blob that was finished stays until a record that names its content was committed
//! and removed again, or until the process ends.
//!
//! A content that lost to a newer version is nevertheless kept for a day (`trash`): its
//! blob stays where it was, a row of the catalogue names it, and it is the first to be
//! removed when room is needed.
//!
//! The store never talks to the network and never decides what a node should
//! keep.

mod backend;
mod blob;
mod catalogue;
mod changes;
mod commit;
mod contents;
mod damage;
mod disk;
mod download;
mod error;
mod group;
mod journal;
mod log;
mod partial;
mod partials;
mod recovery;
mod room;
mod stamp;
mod text;
mod trash;

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;

use std::any::Any;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use blob::Blobs;
use catalogue::Catalogue;
pub use changes::{Deed, Leftover};
use commit::Commits;
use contents::Contents;
pub use damage::{SetAside, Verified};
pub use disk::{Disk, DiskFile, RealDisk, Space, list};
pub use download::{Download, Pieces, Place, is_unfinished};
pub use error::{IncomingError, StoreError};
use journal::{Bounds, Journal};
use partial::Partial;
pub use recovery::{Lock, lock};
pub use room::Room;
pub use stamp::Stamp;
pub use text::replace_text;
use trash::Trash;
pub use trash::Trashed;

use chordal_core::limits::EAGER_BYTES;
use chordal_core::name::FileName;
use chordal_core::record::{ContentHash, Record};
use chordal_core::transfer::manifest::{Manifest, ManifestBuilder, PieceIndex};
use chordal_core::transfer::pieces::PieceSet;

/// Bytes read at once while hashing: whole pieces keep the disk busy and
/// BLAKE3's wide instructions fed.
const HASH_BUFFER_BYTES: usize = 1024 * 1024;

/// After this time without a commit the journal is retired, so that a start need not read
/// it.
const JOURNAL_RESTS: Duration = Duration::from_secs(10);

/// The open store. Clones are the same store. Another process can open the directory when
/// the last clone and the last [`Incoming`] are dropped.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<OpenStore>,
}

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// All records, in the order of names.
    pub records: Vec<Record>,
    /// The catalogue was lost or damaged and was rebuilt.
    pub rebuilt: bool,
    /// Number of blobs without a record that were removed.
    pub removed_orphans: usize,
    /// What the user should know, one sentence each.
    pub notes: Vec<String>,
}

/// A store that is open: what the clones of a [`Store`] share.
#[derive(Debug)]
struct OpenStore {
    blobs: Arc<Blobs>,
    catalogue: Catalogue,
    commits: Arc<Commits>,
    contents: Contents,
    trash: Trash,
    /// Dropped after all of the above.
    _lock: Lock,
    /// Dropped last.
    at_end: OnceLock<Box<dyn Any + Send + Sync>>,
}

impl Store {
    /// Opens the store in a directory, which is made if it does not exist, and repairs what
    /// a crash left (see [`Recovery`]).
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has the directory; otherwise the disk's.
    /// Damage is not an error.
    pub fn open(dir: &Path) -> Result<(Store, Recovery), StoreError> {
        Store::open_on(dir, Arc::new(RealDisk))
    }

    /// Keeps a value until the store is closed: when it is dropped, another process can
    /// open the directory. The first value counts.
    pub fn drop_at_end(&self, value: impl Any + Send + Sync) {
        let _ = self.shared.at_end.set(Box::new(value));
    }

    /// As [`Store::open`], on another disk.
    pub fn open_on(dir: &Path, disk: Arc<dyn Disk>) -> Result<(Store, Recovery), StoreError> {
        Store::open_with(dir, disk, Bounds::default())
    }

    fn open_with(
        dir: &Path,
        disk: Arc<dyn Disk>,
        bounds: Bounds,
    ) -> Result<(Store, Recovery), StoreError> {
        disk::create_dirs(&*disk, dir).map_err(error::on("create", dir))?;
        let lock = recovery::lock(dir)?;
        let blobs = Blobs::open(Arc::clone(&disk), dir)?;
        let mut journal = Journal::open(Arc::clone(&disk), dir, bounds, &blobs)?;
        let (catalogue, log, recovery) =
            recovery::recover(dir, disk, &blobs, &mut journal, now_s())?;
        let (blobs, commits) = (Arc::new(blobs), Arc::new(Commits::new(log, journal)));
        let contents = Contents::default();
        let trash = Trash::new(catalogue.trash()?);
        let shared = OpenStore {
            blobs,
            catalogue,
            commits,
            contents,
            trash,
            _lock: lock,
            at_end: OnceLock::new(),
        };
        Ok((Store { shared: Arc::new(shared) }, recovery))
    }

    /// All records, in the order of names.
    pub fn records(&self) -> Result<Vec<Record>, StoreError> {
        self.shared.catalogue.records()
    }

    /// The record of a name.
    pub fn record(&self, name: &FileName) -> Result<Option<Record>, StoreError> {
        self.shared.catalogue.record(name)
    }

    /// A name that refers to this content, for display.
    pub fn name_of(&self, root: &ContentHash) -> Option<FileName> {
        self.shared.catalogue.one_referring(root).ok()?
    }

    /// Whether a content is here, committed or not.
    pub fn holds(&self, root: &ContentHash) -> bool {
        matches!(self.shared.blobs.size(root), Ok(Some(_)))
    }

    /// The manifest of a content that is here. If the catalogue does not have it (because
    /// it was rebuilt), it is hashed from the blob, which takes as long as reading it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the blob's bytes do not give its hash.
    pub fn manifest(&self, root: &ContentHash) -> Result<Option<Manifest>, StoreError> {
        if let Some(manifest) = self.shared.contents.manifest(root) {
            return Ok(Some(manifest));
        }
        // The blob can still be read when the catalogue fails.
        if let Ok(Some(manifest)) = self.shared.catalogue.manifest(root) {
            return Ok(Some(manifest));
        }
        let Some(blob) = self.open_blob(root)? else { return Ok(None) };
        let path = self.shared.blobs.path(root);
        let manifest = hash_open_file(&blob, |_| ControlFlow::Continue(()))
            .map_err(error::on("read", &path))?;
        if manifest.root() != *root {
            return Err(StoreError::Damaged { path });
        }
        if let Err(error) = self.shared.catalogue.set_manifest(&manifest) {
            tracing::debug!(%error, "a manifest is not kept");
        }
        Ok(Some(manifest))
    }

    /// Opens a content for reading; `None` when it is not here. The open file
    /// stays readable when the content is removed meanwhile.
    pub fn open_blob(&self, root: &ContentHash) -> Result<Option<File>, StoreError> {
        self.shared.blobs.open_blob(root)
    }

    /// Starts to take in a content, or resumes what an earlier attempt left of it. Several
    /// callers may take in the same content at once: they fill the same file. What a killed
    /// process left is read and verified first, which takes as long as reading it.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when the content does not fit on the disk or into the quota;
    /// nothing was written then.
    pub fn begin(&self, manifest: Manifest) -> Result<Incoming, StoreError> {
        self.resume(manifest, |_| ControlFlow::Continue(()))
    }

    /// As [`Store::begin`]; `step` is called with the number of bytes of an earlier attempt
    /// as they are verified. It may stop that: then none of them count.
    pub fn resume(
        &self,
        manifest: Manifest,
        mut step: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Incoming, StoreError> {
        let rest = || self.rest(Duration::ZERO);
        let partial = self.shared.blobs.begin(&manifest, rest, || self.empty_a_little())?;
        let incoming = Incoming { partial, store: self.clone() };
        incoming.partial.look(&mut step);
        // A file of one piece is written at once: it may use the reserve if other contents
        // took the room meanwhile.
        if manifest.count() > 1 {
            incoming.partial.reserve()?;
        }
        Ok(incoming)
    }

    /// Bytes on the disk of incoming contents and of unfinished uploads.
    pub fn unfinished_bytes(&self) -> u64 {
        self.shared.blobs.partials.bytes()
    }

    /// Makes room: removes the content that has been in the trash longest, or else the
    /// oldest unfinished upload. Returns whether there was one.
    pub fn give_way(&self) -> bool {
        self.empty_a_little() || self.shared.blobs.partials.give_way()
    }

    /// Removes unfinished uploads that are older than about an hour and returns their
    /// number. Also empties the trash of contents older than a day, and retires the journal
    /// when there was no recent commit.
    pub fn expire(&self) -> usize {
        self.rest(JOURNAL_RESTS);
        self.empty_trash(now_s());
        self.shared.blobs.partials.expire(SystemTime::now())
    }

    /// Retires the journal when nothing was committed for so long.
    fn rest(&self, at_least: Duration) {
        let OpenStore { blobs, catalogue, commits, .. } = &*self.shared;
        match commits.rest(at_least, catalogue, blobs) {
            Ok(()) => {}
            // Tried for every content for which there is no room; each of these is reported
            // already.
            Err(error) if error.is_full() => {
                tracing::debug!(%error, "recent files stay in the journal");
            }
            Err(error) => tracing::warn!(%error, "recent files stay in the journal"),
        }
    }

    /// Tests whether the disk accepts new files: writes a small file as a content is
    /// written, and a row of the catalogue.
    ///
    /// # Errors
    /// The disk's, if it does not.
    pub fn probe(&self) -> Result<(), StoreError> {
        let OpenStore { blobs, catalogue, commits, .. } = &*self.shared;
        blobs.probe()?;
        commits.probe()?;
        catalogue.set_meta("chordal.probe", &now_s().to_be_bytes())
    }

    /// The bytes that contents use and the bytes that are free for them; those in the trash
    /// count as free.
    pub fn room(&self) -> Result<Room, StoreError> {
        let (room, trash) = (self.shared.blobs.room()?, self.shared.trash.bytes());
        let used = room.used.saturating_sub(trash);
        Ok(Room { used, free: room.free.saturating_add(trash), ..room })
    }

    /// Limits the bytes that contents may use in all; none are removed when they use more
    /// already. Without it, only the disk is the limit.
    pub fn set_quota(&self, quota: Option<u64>) {
        self.shared.blobs.ledger.set_quota(quota);
    }

    /// The number of the finish of a content that is here and not committed, for
    /// [`Store::give_up`]; `None` when there is no such content.
    pub fn claim(&self, root: &ContentHash) -> Option<u64> {
        self.shared.contents.claim(root)
    }

    /// Removes a content that no record names, unless it was finished again since
    /// [`Store::claim`] returned this number.
    pub fn give_up(&self, root: &ContentHash, claim: u64) {
        if self.shared.contents.give_up(root, claim) {
            self.release(*root);
        }
    }

    /// A small setting that was stored with [`Store::set_meta`].
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.catalogue.meta(key)
    }

    /// Stores a small setting, durably. Keys that begin with `chordal.` belong to the
    /// store.
    pub fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.shared.catalogue.set_meta(key, value)
    }

    /// The manifest of a file outside of the store, if it was stored with
    /// [`Store::keep_hashed`] for the same path and the same stamp.
    pub fn hashed(&self, path: &Path, stamp: &Stamp) -> Result<Option<Manifest>, StoreError> {
        self.shared.catalogue.hashed(path, stamp)
    }

    /// Stores the manifests of files outside of the store, so that the next start need not
    /// read them again. A newer one for a path replaces the older.
    pub fn keep_hashed(&self, files: &[(&Path, Stamp, &Manifest)]) -> Result<(), StoreError> {
        self.shared.catalogue.keep_hashed(files)
    }

    /// Removes manifests that were stored with [`Store::keep_hashed`] for paths that are no
    /// longer needed. Returns their number.
    pub fn prune_hashed(&self, needed: impl Fn(&Path) -> bool) -> Result<usize, StoreError> {
        self.shared.catalogue.prune_hashed(needed)
    }
}

impl Drop for OpenStore {
    fn drop(&mut self) {
        // The next start does what fails here.
        if let Err(error) = self.commits.close(&self.catalogue, &self.blobs) {
            tracing::debug!(%error, "recent files stay in the journal");
        }
    }
}

/// Seconds since the epoch, by this machine's clock.
fn now_s() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// An incoming content. If it is dropped before [`Incoming::finish`], its pieces are kept
/// for about an hour for another upload of the same content, unless the disk failed.
#[derive(Debug)]
pub struct Incoming {
    partial: Arc<Partial>,
    store: Store,
}

impl Incoming {
    /// Verifies a piece and writes it. Pieces may come in any order and from several
    /// threads; a piece that is here already changes nothing.
    pub fn write(&self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        loop {
            match self.partial.write(index, bytes) {
                Err(IncomingError::Disk(error)) if error.is_full() && self.store.give_way() => {}
                written => {
                    if matches!(written, Err(IncomingError::Disk(_))) {
                        self.partial.spoil();
                    }
                    return written;
                }
            }
        }
    }

    /// How many pieces are not here yet.
    pub fn missing(&self) -> usize {
        self.partial.missing()
    }

    /// The pieces that are here.
    pub fn here(&self) -> PieceSet {
        self.partial.here()
    }

    /// Waits until a piece is here, whichever caller writes it, for at most this long.
    /// Returns whether it is.
    pub fn wait_for(&self, index: PieceIndex, at_most: Duration) -> bool {
        self.partial.wait_for(index, at_most)
    }

    /// Opens the file for reading. The bytes of pieces that are here are right. It stays
    /// readable when the content gets its final name meanwhile.
    pub fn reader(&self) -> Result<File, StoreError> {
        self.partial.reader().or_else(|error| {
            // Another caller may have finished it.
            self.store.open_blob(&self.manifest().root())?.ok_or(error)
        })
    }

    /// The manifest of the content.
    pub fn manifest(&self) -> &Manifest {
        self.partial.manifest()
    }

    /// Makes the content readable under its hash, and durable, unless another caller that
    /// took it in has done so. A content of at most [`EAGER_BYTES`] bytes only becomes
    /// durable with [`Store::commit`]. A commit should follow soon: the next start removes
    /// contents without a record.
    pub fn finish(&self) -> Result<(), StoreError> {
        let _turn = self.partial.finishing.lock();
        if self.partial.is_moved() {
            return Ok(());
        }
        let contents = &self.store.shared.contents;
        let small = self.manifest().size() <= EAGER_BYTES;
        if small {
            self.partial.complete()?;
        } else {
            self.partial.seal()?;
        }
        let manifest = self.partial.manifest().clone();
        let root = manifest.root();
        let pin = contents.pin(root);
        let placed = if small { self.place_small() } else { self.place() };
        if let Err(error) = placed {
            // It may have its final name already.
            drop(pin);
            self.partial.spoil();
            self.store.release(root);
            return Err(error);
        }
        pin.finish(manifest);
        drop(pin);
        self.partial.moved();
        Ok(())
    }

    fn place_small(&self) -> Result<(), StoreError> {
        if self.store.shared.blobs.place_loosely(&self.partial)? {
            return Ok(());
        }
        self.partial.seal()?;
        self.place()
    }

    fn place(&self) -> Result<(), StoreError> {
        let (blobs, root) = (&self.store.shared.blobs, self.manifest().root());
        blobs.place(&self.partial)?;
        blobs.sync_name(&root)?;
        blobs.fasten(&root);
        Ok(())
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.store.shared.blobs.partials.leave(&self.partial);
    }
}

/// Opens a user's file for reading. Does not block if a pipe has taken its place.
///
/// # Errors
/// The disk's; `InvalidInput` if it is not a regular file.
pub fn open_regular(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = disk::open(File::options().read(true).custom_flags(flags), path)?;
    if !file.metadata()?.is_file() {
        let kind = std::io::ErrorKind::InvalidInput;
        return Err(std::io::Error::new(kind, "not a regular file"));
    }
    Ok(file)
}

/// Hashes a file. `progress` is called with the number of bytes of every step and may stop
/// it. Memory stays at one buffer and the piece hashes.
///
/// # Errors
/// The disk's; `InvalidInput` if the path is not a regular file, `UnexpectedEof` if the
/// file grew or shrank meanwhile. A change that keeps the size is not noticed here.
pub fn hash_file(
    path: &Path,
    progress: impl FnMut(u64) -> ControlFlow<()>,
) -> std::io::Result<Manifest> {
    hash_open_file(&open_regular(path)?, progress)
}

/// As [`hash_file`], from the current position of an open file to its end.
///
/// # Errors
/// The disk's; `UnexpectedEof` if the file grew or shrank meanwhile.
pub fn hash_open_file(
    mut file: &File,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> std::io::Result<Manifest> {
    use std::io::{Error, ErrorKind, Read};

    let size = file.metadata()?.len();
    let mut builder = ManifestBuilder::new(size);
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    let mut seen = 0;
    // Stops reading a file that keeps growing once it is longer than it was.
    while seen <= size {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                builder.update(&buffer[..count]);
                seen += count as u64;
                if progress(count as u64).is_break() {
                    return Err(Error::other("hashing was cancelled"));
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let changed = |why| Error::new(ErrorKind::UnexpectedEof, format!("the file changed: {why}"));
    builder.finish().map_err(changed)
}
