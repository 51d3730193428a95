//! A content on its way to a disk: a file that fills up with verified pieces
//! under a temporary name, and a map of those that are here beside it.
//!
//! The map outlives the process, so that a later one goes on where this one
//! was killed. It is written right behind each piece and never synced: it says
//! which pieces are worth a look, and a look is what they get before they
//! count again. So a power failure, or whoever writes to the file meanwhile,
//! costs the pieces that are damaged and nothing else.
//!
//! Behind its bits the map of a download has the name that it was asked for, so that
//! a later one knows whether anybody still has the content.
//!
//! A content of a single piece has no map: there is nothing to go on with.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{Disk, DiskFile};
use super::error::{IncomingError, StoreError, on};
use chordal_core::limits::MAX_PIECES;
use chordal_core::name::{FileName, MAX_NAME_BYTES};
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::{Manifest, PieceIndex, piece_count};
use chordal_core::transfer::pieces::PieceSet;

/// How a map begins: what it is, and how it is laid out.
pub(super) const MAP_MARK: &[u8; 16] = b"chordal pieces 1";

/// Bytes before the first bit of a map: the mark, the content's hash and its
/// bytes (little-endian).
const MAP_HEAD_BYTES: usize = MAP_MARK.len() + 32 + 8;

/// The bytes of the longest map.
const MAX_MAP_BYTES: u64 = (MAP_HEAD_BYTES + MAX_PIECES / 8 + MAX_NAME_BYTES) as u64;

/// Hears of the bytes that were looked at, and may break the look off.
pub(super) type Step<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// A file that fills up with verified pieces under a temporary name, from as
/// many threads as like. It stays on the disk until it is moved or removed.
#[derive(Debug)]
pub(super) struct Partial {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    manifest: Manifest,
    /// `None`: the content has no map.
    map: Option<Box<dyn DiskFile>>,
    /// What a map from earlier claims; `None` once that was looked at.
    claimed: Mutex<Option<PieceSet>>,
    /// Held by whoever makes the complete file durable and moves it.
    finishing: Mutex<()>,
    state: Mutex<State>,
    /// Told of every piece that comes.
    came: Condvar,
}

#[derive(Debug)]
struct State {
    here: PieceSet,
    /// The disk failed: what is here is of no use.
    spoiled: bool,
    /// It has the content's own name now.
    moved: bool,
}

/// What a map beside a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// There is none.
    None,
    /// It belongs to another content, or is no map at all.
    Other,
    /// These pieces of the content are said to be in the file.
    Pieces(PieceSet),
}

/// What a map that this program wrote tells of.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// The content.
    pub(super) root: ContentHash,
    /// The name under which it was asked for; maps of older versions have none.
    pub(super) name: Option<FileName>,
}

impl Partial {
    /// For a file of which nothing counts yet, at this path; its map, where it
    /// has one, is made anew.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        file: Box<dyn DiskFile>,
        path: PathBuf,
        manifest: Manifest,
    ) -> Result<Partial, StoreError> {
        let partial = Partial::with(disk, file, path, manifest, None)?;
        if let Some(map) = &partial.map {
            let place = map_path(&partial.path);
            // What an earlier map said of this file ends here.
            let made = map.set_len(0).and_then(|()| {
                map.write_at(0, &head(&partial.manifest.root(), partial.manifest.size()))
            });
            made.map_err(on("write", &place))?;
        }
        Ok(partial)
    }

    /// For a file of which an earlier attempt's map says what is in it:
    /// [`Partial::look`] finds out what is true of that.
    pub(super) fn resume(
        disk: Arc<dyn Disk>,
        file: Box<dyn DiskFile>,
        path: PathBuf,
        manifest: Manifest,
        claimed: PieceSet,
    ) -> Result<Partial, StoreError> {
        Partial::with(disk, file, path, manifest, Some(claimed))
    }

    fn with(
        disk: Arc<dyn Disk>,
        file: Box<dyn DiskFile>,
        path: PathBuf,
        manifest: Manifest,
        claimed: Option<PieceSet>,
    ) -> Result<Partial, StoreError> {
        let map = if manifest.count() > 1 {
            let place = map_path(&path);
            Some(disk.open(&place).map_err(on("open", &place))?)
        } else {
            None
        };
        let here = PieceSet::none(manifest.count());
        let state = Mutex::new(State { here, spoiled: false, moved: false });
        let (claimed, finishing, came) = (Mutex::new(claimed), Mutex::default(), Condvar::new());
        Ok(Partial { disk, file, path, manifest, map, claimed, finishing, state, came })
    }

    /// Notes in the map under which name the content was asked for.
    pub(super) fn sign(&self, name: &FileName) {
        if let Some(map) = &self.map {
            let at = MAP_HEAD_BYTES + bits_bytes(self.manifest.size());
            // It is a hint as well: without it, nobody tidies up after this one.
            let _ = map.write_at(at as u64, name.as_str().as_bytes());
        }
    }

    /// Has the file system set room aside for the bytes that are still to
    /// come, where it can: a full disk is noticed before any of them moves.
    pub(super) fn reserve(&self) -> Result<(), StoreError> {
        let size = self.manifest.size();
        self.file.reserve(size).map_err(on("make room for", &self.path))
    }

    /// Reads and verifies what an earlier attempt's map claims; what is true
    /// counts from now on. Whoever comes meanwhile waits for that. Broken off
    /// (`false`), it begins anew the next time.
    pub(super) fn look(&self, step: Step<'_>) -> bool {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(claim) = claimed.as_ref() else { return true };
        let mut true_ones = PieceSet::none(self.manifest.count());
        let mut piece = Vec::new();
        for index in claim.iter() {
            piece.resize(self.manifest.len_of(index) as usize, 0);
            // What cannot be read is not here.
            let read = self.file.read_at(self.manifest.offset_of(index), &mut piece);
            if read.is_ok() && self.manifest.verify(index, &piece) {
                true_ones.insert(index);
            }
            if step(piece.len() as u64).is_break() {
                return false;
            }
        }
        let wrong = true_ones != *claim;
        *claimed = None;
        let mut state = self.lock();
        state.here = true_ones;
        if wrong && let Some(map) = &self.map {
            // Should it fail: the next look finds the same again.
            let _ = map.write_at(MAP_HEAD_BYTES as u64, &state.here.to_bytes());
        }
        true
    }

    /// Counts pieces that were verified by this process already.
    pub(super) fn trust(&self, here: PieceSet) {
        *self.claimed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.lock().here = here;
    }

    /// Verifies a piece and writes it. A piece that is here is not written
    /// again, unless two bring it at the same time: both bring the same bytes.
    /// Whoever gives up because the disk is full says [`Partial::spoil`].
    pub(super) fn write(&self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        if !self.manifest.verify(index, bytes) {
            return Err(IncomingError::WrongPiece(index));
        }
        if self.has(index) {
            return Ok(());
        }
        let offset = self.manifest.offset_of(index);
        if let Err(error) = self.file.write_at(offset, bytes) {
            let error = on("write", &self.path)(error);
            // On a full disk the caller may make room and try again.
            self.lock().spoiled |= !error.is_full();
            return Err(error.into());
        }
        let mut state = self.lock();
        state.here.insert(index);
        if let Some(map) = &self.map {
            // Its neighbours' bits are in the same byte: hence under the lock.
            let (at, byte) = state.here.byte_of(index);
            // It is a hint. Without it, this piece comes again after a crash.
            let _ = map.write_at((MAP_HEAD_BYTES + at) as u64, &[byte]);
        }
        drop(state);
        self.came.notify_all();
        Ok(())
    }

    /// Waits until a piece is here, at most so long; whether it is.
    pub(super) fn wait_for(&self, index: PieceIndex, at_most: Duration) -> bool {
        self.wait_until(at_most, |here| here.contains(index))
    }

    /// Waits until enough pieces are here, at most so long; whether they are.
    pub(super) fn wait_until(
        &self,
        at_most: Duration,
        is_enough: impl Fn(&PieceSet) -> bool,
    ) -> bool {
        let until = Instant::now() + at_most;
        let mut state = self.lock();
        while !is_enough(&state.here) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.came.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Fails unless every piece is here. Cuts off what somebody may have put
    /// behind the last one.
    pub(super) fn complete(&self) -> Result<(), StoreError> {
        match self.missing() {
            0 => {}
            missing => return Err(StoreError::Incomplete { root: self.manifest.root(), missing }),
        }
        let size = self.manifest.size();
        let cut = self.file.size().and_then(|len| match len {
            len if len > size => self.file.set_len(size),
            _ => Ok(()),
        });
        cut.map_err(on("cut", &self.path))
    }

    /// Makes a complete file durable under its temporary name.
    pub(super) fn seal(&self) -> Result<(), StoreError> {
        self.complete()?;
        self.file.sync().map_err(|error| {
            // What a disk does not say to have is not kept for a second try.
            self.lock().spoiled = true;
            on("sync", &self.path)(error)
        })
    }

    /// A turn to finish: of several that fill the file only one does.
    pub(super) fn finishing(&self) -> MutexGuard<'_, ()> {
        self.finishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens the file for reading.
    pub(super) fn reader(&self) -> Result<File, StoreError> {
        self.disk.reader(&self.path).map_err(on("open", &self.path))
    }

    /// The file has its own name now; its map goes.
    pub(super) fn moved(&self) {
        self.lock().moved = true;
        self.remove_map();
    }

    /// Removes the file, which was not moved, and its map. What fails leaves
    /// files that the next start, or the next attempt, finds.
    pub(super) fn remove(&self) {
        let _ = self.disk.remove(&self.path);
        self.remove_map();
    }

    fn remove_map(&self) {
        if self.map.is_some() {
            let _ = self.disk.remove(&map_path(&self.path));
        }
    }

    /// The file's temporary name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is coming in.
    pub(super) const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The pieces that are here.
    pub(super) fn here(&self) -> PieceSet {
        self.lock().here.clone()
    }

    /// How many pieces are not here.
    pub(super) fn missing(&self) -> usize {
        self.lock().here.missing()
    }

    /// Whether a piece is here.
    pub(super) fn has(&self, index: PieceIndex) -> bool {
        self.lock().here.contains(index)
    }

    /// Whether it has its own name already.
    pub(super) fn is_moved(&self) -> bool {
        self.lock().moved
    }

    /// Says that what is here is of no use.
    pub(super) fn spoil(&self) {
        self.lock().spoiled = true;
    }

    /// Whether a later attempt could go on with it.
    pub(super) fn is_worth_keeping(&self) -> bool {
        let unseen = self.claimed.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        let state = self.lock();
        self.map.is_some() && !state.spoiled && (unseen || !state.here.is_empty())
    }

    /// Never held while the bytes of a piece move.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the map of a file lies.
pub(super) fn map_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".map");
    path.into()
}

/// What the map beside a file says of a content.
pub(super) fn claim(
    disk: &dyn Disk,
    file: &Path,
    manifest: &Manifest,
) -> Result<Claim, StoreError> {
    let place = map_path(file);
    let bytes = match disk.size(&place).map_err(on("look at", &place))? {
        None => return Ok(Claim::None),
        Some(bytes) if bytes > MAX_MAP_BYTES => return Ok(Claim::Other),
        Some(_) => disk.read(&place).map_err(on("read", &place))?,
    };
    Ok(match bytes.strip_prefix(head(&manifest.root(), manifest.size()).as_slice()) {
        Some(bits) => Claim::Pieces(PieceSet::from_bytes(manifest.count(), bits)),
        None => Claim::Other,
    })
}

/// What the map beside a file tells of; `None`: there is none of this program's.
pub(super) fn mapped(disk: &dyn Disk, file: &Path) -> Option<Mapped> {
    let place = map_path(file);
    let bytes = disk.size(&place).ok()?.filter(|bytes| *bytes <= MAX_MAP_BYTES)?;
    let bytes = disk.read(&place).ok().filter(|read| read.len() as u64 <= bytes)?;
    let (root, rest) = bytes.strip_prefix(MAP_MARK)?.split_first_chunk()?;
    let (size, rest) = rest.split_first_chunk()?;
    let name = rest.get(bits_bytes(u64::from_le_bytes(*size))..);
    let name = name.and_then(|name| FileName::new(std::str::from_utf8(name).ok()?).ok());
    Some(Mapped { root: ContentHash(*root), name })
}

/// The bytes of a map's bits.
fn bits_bytes(size: u64) -> usize {
    (piece_count(size) as usize).div_ceil(8)
}

/// Writes a map that claims every piece, for a file that came in otherwise.
pub(super) fn claim_all(
    disk: &dyn Disk,
    file: &Path,
    root: &ContentHash,
    size: u64,
) -> Result<(), StoreError> {
    let place = map_path(file);
    let bytes = [head(root, size), PieceSet::all(piece_count(size)).to_bytes()].concat();
    let map = disk.open(&place).map_err(on("open", &place))?;
    map.set_len(0).and_then(|()| map.write_at(0, &bytes)).map_err(on("write", &place))
}

fn head(root: &ContentHash, size: u64) -> Vec<u8> {
    [&MAP_MARK[..], &root.0, &size.to_le_bytes()].concat()
}
