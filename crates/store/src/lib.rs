//! The store: the files that this node keeps for the ring, on disk. Its calls
//! block.
//!
//! # The directory
//! | path | holds |
//! |---|---|
//! | `lock` | nothing; locked while a process uses the directory |
//! | `catalogue.redb` | records, manifests, settings, what was hashed outside |
//! | `names.log` | the records again, a line each (`log`) |
//! | `blobs/<aa>/<hash>` | a content, complete and verified |
//! | `recent/<number>.log` | small contents and lines that just came (`journal`) |
//! | `damaged/<hash>` | the bytes of a damaged content that nobody else had |
//! | `partial/<hash>.part` | a content on its way in, or what an upload left an hour ago at most |
//! | `partial/<hash>.part.map` | which pieces of it are here, a bit each: a hint |
//!
//! `peers.toml` and `log/` beside them are not the store's.
//!
//! # The order that survives a crash
//! - **In:** data → fsync → rename → fsync of the directory
//!   ([`Incoming::finish`]), of many contents side by side; then, for all who
//!   commit at the same time together (`commit`), lines in the log of names →
//!   fsync, and one transaction of the catalogue. [`Store::commit`] returns
//!   after the last of them, so whatever it acknowledged has all of them.
//! - **In, small:** data → rename, nothing of it durable; then, for all together,
//!   lines in the log of names, bytes and lines in the journal → fsync of the
//!   journal, and the transaction, which is not synced. Later: fsync of the log of
//!   names and of the catalogue → of the whole file system → the file of the
//!   journal goes.
//! - **Out:** the catalogue, then the log, then the blob. Only the first is
//!   waited for: what a crash leaves of the others nobody needs.
//! - After a crash whatever the journal has is put back into `blobs/` first, and
//!   what it says from where the catalogue knows it on goes into that.
//! - So after a crash at any point a blob that no record names was never
//!   acknowledged or was already given up: it is removed at the next start. A
//!   record whose blob is gone is dropped and reported, so that the ring
//!   restores it.
//! - The catalogue is the authority. Lost or damaged (it is then set aside as
//!   `catalogue.redb.damaged`), it is made anew from the log of names; only
//!   settings are lost then. A new catalogue counts only once it was made in
//!   one transaction, so a crash during the making repeats it. Manifests are
//!   hashed again when they are asked for.
//! - A lost or damaged log is written anew from the catalogue. Chordal 0.2.0
//!   had a file `<hash>.names` beside every blob in its stead; these are read
//!   if the catalogue is lost, and removed once there is a log.
//!
//! # What holds
//! Every record of a file names a blob with its size and content. Versions of
//! a name only grow. A blob that was finished stays until a record that names
//! its content was committed and removed again, or until the process ends.
//!
//! What lost to a newer version stays for a day all the same (`trash`): its blob is
//! where it was, a row of the catalogue names it, and it is the first to go when room
//! is needed.
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
mod trash;

#[cfg(test)]
mod faulty;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
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

/// After so long without a commit the journal is not left for a start to read.
const JOURNAL_RESTS: Duration = Duration::from_secs(10);

/// The open store. Clones are the same store; the directory is free for
/// another process when the last of them and the last [`Incoming`] are gone.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
}

/// What opening a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// All records, in the order of names.
    pub records: Vec<Record>,
    /// The catalogue was lost or damaged and was made anew.
    pub rebuilt: bool,
    /// Blobs that no record named, now removed.
    pub removed_orphans: usize,
    /// What a person should know, one sentence each.
    pub notes: Vec<String>,
}

#[derive(Debug)]
struct Shared {
    blobs: Arc<Blobs>,
    catalogue: Catalogue,
    commits: Arc<Commits>,
    contents: Contents,
    trash: Trash,
    /// Let go of last.
    _lock: Lock,
}

impl Store {
    /// Opens the store in a directory, which is made if need be, and repairs
    /// what a crash left (see [`Recovery`]).
    ///
    /// # Errors
    /// [`StoreError::InUse`] when another process has the directory; otherwise
    /// the disk's. Damage is no error.
    pub fn open(dir: &Path) -> Result<(Store, Recovery), StoreError> {
        Store::open_on(dir, Arc::new(RealDisk))
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
        let shared = Shared { blobs, catalogue, commits, contents, trash, _lock: lock };
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

    /// A name that refers to this content, to show to people.
    pub fn name_of(&self, root: &ContentHash) -> Option<FileName> {
        self.shared.catalogue.one_referring(root).ok()?
    }

    /// Whether a content is here, committed or not.
    pub fn holds(&self, root: &ContentHash) -> bool {
        matches!(self.shared.blobs.size(root), Ok(Some(_)))
    }

    /// The manifest of a content that is here. One that is not in the
    /// catalogue (which was rebuilt) is hashed from the blob: that takes as
    /// long as reading it.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the blob's bytes do not give its hash.
    pub fn manifest(&self, root: &ContentHash) -> Result<Option<Manifest>, StoreError> {
        if let Some(manifest) = self.shared.contents.manifest(root) {
            return Ok(Some(manifest));
        }
        // The blob of a catalogue that fails can be read still.
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

    /// Starts to take in a content, or goes on with what an earlier attempt
    /// left of it. Several may take in the same content at once: they fill the
    /// same file. What a killed process left is read and verified first, which
    /// takes as long as reading it.
    ///
    /// # Errors
    /// [`StoreError::NoRoom`] when the content does not fit on the disk or into
    /// the quota; nothing was written then.
    pub fn begin(&self, manifest: Manifest) -> Result<Incoming, StoreError> {
        self.resume(manifest, |_| ControlFlow::Continue(()))
    }

    /// As [`Store::begin`]; `step` hears of the bytes of an earlier attempt as
    /// they are verified. It may break that off: none of them counts then.
    pub fn resume(
        &self,
        manifest: Manifest,
        mut step: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Incoming, StoreError> {
        let rest = || self.rest(Duration::ZERO);
        let partial = self.shared.blobs.begin(&manifest, rest, || self.empty_a_little())?;
        let incoming = Incoming { partial, store: self.clone() };
        incoming.partial.look(&mut step);
        // A file of one piece is soon written: it takes what is kept in reserve
        // if others were faster.
        if manifest.count() > 1 {
            incoming.partial.reserve()?;
        }
        Ok(incoming)
    }

    /// Bytes on the disk of contents on their way in and of what unfinished
    /// uploads left.
    pub fn unfinished_bytes(&self) -> u64 {
        self.shared.blobs.partials.bytes()
    }

    /// Makes room: removes what is longest in the trash, or else what the unfinished
    /// upload left that was left longest ago. Whether there was one.
    pub fn give_way(&self) -> bool {
        self.empty_a_little() || self.shared.blobs.partials.give_way()
    }

    /// Removes what unfinished uploads left too long ago, about an hour; how
    /// many these were. So it does what was in the trash for a day. Retires the
    /// journal when nothing was committed of late.
    pub fn expire(&self) -> usize {
        self.rest(JOURNAL_RESTS);
        self.empty_trash(now_s());
        self.shared.blobs.partials.expire(SystemTime::now())
    }

    /// Retires the journal when nothing was committed for so long.
    fn rest(&self, at_least: Duration) {
        let Shared { blobs, catalogue, commits, .. } = &*self.shared;
        match commits.rest(at_least, catalogue, blobs) {
            Ok(()) => {}
            // Tried for every content for which there is no room, and that is said
            // of each.
            Err(error) if error.is_full() => {
                tracing::debug!(%error, "recent files stay in the journal");
            }
            Err(error) => tracing::warn!(%error, "recent files stay in the journal"),
        }
    }

    /// Tries whether the disk takes something new: a small file goes the way of a
    /// content, and the catalogue is written.
    ///
    /// # Errors
    /// The disk's: it cannot.
    pub fn probe(&self) -> Result<(), StoreError> {
        let Shared { blobs, catalogue, commits, .. } = &*self.shared;
        blobs.probe()?;
        commits.probe()?;
        catalogue.set_meta("chordal.probe", &now_s().to_be_bytes())
    }

    /// What contents use, and what is free for them: what is in the trash is in
    /// nobody's way.
    pub fn room(&self) -> Result<Room, StoreError> {
        let (room, trash) = (self.shared.blobs.room()?, self.shared.trash.bytes());
        let used = room.used.saturating_sub(trash);
        Ok(Room { used, free: room.free.saturating_add(trash), ..room })
    }

    /// Bounds the bytes that contents may use in all; none are removed when
    /// there are more already. Without it, the disk is the bound.
    pub fn set_quota(&self, quota: Option<u64>) {
        self.shared.blobs.ledger.set_quota(quota);
    }

    /// Which finish a content that is here and not committed came from, for
    /// [`Store::give_up`]; `None` when there is no such content.
    pub fn claim(&self, root: &ContentHash) -> Option<u64> {
        self.shared.contents.claim(root)
    }

    /// Removes a content that no record has come to name, unless it was
    /// finished anew since [`Store::claim`] gave this number.
    pub fn give_up(&self, root: &ContentHash, claim: u64) {
        if self.shared.contents.give_up(root, claim) {
            self.release(*root);
        }
    }

    /// A small setting that was kept with [`Store::set_meta`].
    pub fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.shared.catalogue.meta(key)
    }

    /// Keeps a small setting, durably. Keys that begin with `chordal.` are the
    /// store's own.
    pub fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.shared.catalogue.set_meta(key, value)
    }

    /// The manifest of a file outside of the store, when it was kept with
    /// [`Store::keep_hashed`] for the same path and the same stamp.
    pub fn hashed(&self, path: &Path, stamp: &Stamp) -> Result<Option<Manifest>, StoreError> {
        self.shared.catalogue.hashed(path, stamp)
    }

    /// Keeps what files outside of the store were hashed to, so that the next
    /// start need not read them again. One that is kept for a path replaces
    /// the one before.
    pub fn keep_hashed(&self, files: &[(&Path, Stamp, &Manifest)]) -> Result<(), StoreError> {
        self.shared.catalogue.keep_hashed(files)
    }

    /// Gives up what was kept with [`Store::keep_hashed`] for paths that are
    /// not needed any more. How many these were.
    pub fn prune_hashed(&self, needed: impl Fn(&Path) -> bool) -> Result<usize, StoreError> {
        self.shared.catalogue.prune_hashed(needed)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // What fails here is done by the next start.
        if let Err(error) = self.commits.close(&self.catalogue, &self.blobs) {
            tracing::debug!(%error, "recent files stay in the journal");
        }
    }
}

/// Seconds since the epoch, by this machine's clock.
fn now_s() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_secs())
}

/// A content on its way in. Dropped before [`Incoming::finish`], it leaves the
/// pieces that came for whoever takes in the same content within about an
/// hour, unless the disk failed.
#[derive(Debug)]
pub struct Incoming {
    partial: Arc<Partial>,
    store: Store,
}

impl Incoming {
    /// Verifies a piece and writes it. Pieces may come in any order and from
    /// several threads; one that is already here changes nothing.
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

    /// Waits until a piece is here, whoever brings it, at most so long; whether
    /// it is.
    pub fn wait_for(&self, index: PieceIndex, at_most: Duration) -> bool {
        self.partial.wait_for(index, at_most)
    }

    /// Opens the file for reading: bytes of pieces that are here are right. It
    /// stays readable when the content gets its own name meanwhile.
    pub fn reader(&self) -> Result<File, StoreError> {
        self.partial.reader().or_else(|error| {
            // Somebody else may have finished it.
            self.store.open_blob(&self.manifest().root())?.ok_or(error)
        })
    }

    /// What is coming in.
    pub fn manifest(&self) -> &Manifest {
        self.partial.manifest()
    }

    /// Makes the content readable under its hash, unless somebody else who took
    /// it in has done so, and durable; of at most [`EAGER_BYTES`] bytes only
    /// [`Store::commit`] makes it durable. That shall follow soon: the next start
    /// removes what no record names.
    pub fn finish(&self) -> Result<(), StoreError> {
        let _turn = self.partial.finishing();
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
            // It may have its name already.
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

/// Opens a user's file for reading. A pipe that took its place is not waited for.
///
/// # Errors
/// The disk's; `InvalidInput` when it is no regular file.
pub fn open_regular(path: &Path) -> std::io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = disk::open(File::options().read(true).custom_flags(flags), path)?;
    if !file.metadata()?.is_file() {
        let kind = std::io::ErrorKind::InvalidInput;
        return Err(std::io::Error::new(kind, "it is no regular file"));
    }
    Ok(file)
}

/// Hashes a file. `progress` hears the bytes of every step and may break off.
/// Memory stays at one buffer and the piece hashes.
///
/// # Errors
/// The disk's; `InvalidInput` when the path is no regular file, `UnexpectedEof`
/// when the file grew or shrank meanwhile. A change that keeps the size is not
/// noticed here.
pub fn hash_file(
    path: &Path,
    progress: impl FnMut(u64) -> ControlFlow<()>,
) -> std::io::Result<Manifest> {
    hash_open_file(&open_regular(path)?, progress)
}

/// As [`hash_file`], from where an open file is read next to its end.
///
/// # Errors
/// The disk's; `UnexpectedEof` when the file grew or shrank meanwhile.
pub fn hash_open_file(
    mut file: &File,
    mut progress: impl FnMut(u64) -> ControlFlow<()>,
) -> std::io::Result<Manifest> {
    use std::io::{Error, ErrorKind, Read};

    let size = file.metadata()?.len();
    let mut builder = ManifestBuilder::new(size);
    let mut buffer = vec![0; HASH_BUFFER_BYTES];
    let mut seen = 0;
    // A file that grows without end is left once it is longer than it was.
    while seen <= size {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => {
                builder.update(&buffer[..count]);
                seen += count as u64;
                if progress(count as u64).is_break() {
                    return Err(Error::other("hashing was broken off"));
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let changed = |why| Error::new(ErrorKind::UnexpectedEof, format!("the file changed: {why}"));
    builder.finish().map_err(changed)
}
