//! An incoming content: a file under a temporary name that fills up with verified pieces,
//! and beside it a map of the pieces that are here.
//!
//! The map outlives the process, so that a later one resumes where this one was killed. It
//! is written right after each piece and never synced: it only says which pieces to verify,
//! and they count once they have been verified. So a power failure, or another program that
//! writes to the file, costs only the damaged pieces.
//!
//! The map of a download ends with the name that was asked for, so that a later process can
//! find out whether any peer still has the content.
//!
//! A content of a single piece has no map: there is nothing to resume.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::disk::{Disk, DiskFile};
use super::error::{IncomingError, StoreError, on};
use chordal_core::limits::MAX_PIECES;
use chordal_core::name::{FileName, MAX_NAME_BYTES};
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::{Manifest, PieceIndex, piece_count};
use chordal_core::transfer::pieces::PieceSet;

/// The first bytes of a map: its type and version.
pub(super) const MAP_MARK: &[u8; 16] = b"chordal pieces 1";

/// Bytes before the first bit of a map: the mark, the hash of the content and its size
/// (little-endian).
const MAP_HEAD_BYTES: usize = MAP_MARK.len() + 32 + 8;

const MAX_MAP_BYTES: u64 = (MAP_HEAD_BYTES + MAX_PIECES / 8 + MAX_NAME_BYTES) as u64;

/// Called with the number of bytes that were verified; may stop the verification.
pub(super) type Step<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// A file under a temporary name that fills up with verified pieces, from any number of
/// threads. It stays on the disk until it is moved or removed.
#[derive(Debug)]
pub(super) struct Partial {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    manifest: Manifest,
    /// `None` if the content has one piece.
    map: Option<Box<dyn DiskFile>>,
    /// The pieces that an earlier map claims; `None` once they were verified.
    claimed: Mutex<Option<PieceSet>>,
    /// Held by the thread that makes the complete file durable and moves it.
    pub(super) finishing: Mutex<()>,
    /// Never held while the bytes of a piece move.
    state: Mutex<State>,
    /// Notified of every piece that is written.
    came: Condvar,
}

#[derive(Debug)]
struct State {
    here: PieceSet,
    /// The disk failed: the file must not be kept.
    spoiled: bool,
    /// The file has its final name.
    moved: bool,
}

/// What the map beside a file says about a content.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// There is no map.
    None,
    /// It belongs to another content, or is not a map.
    Other,
    /// The file is said to have these pieces.
    Pieces(PieceSet),
}

/// The contents of a map that this program wrote.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) root: ContentHash,
    /// The name that was asked for; maps of older versions have none.
    pub(super) name: Option<FileName>,
}

impl Partial {
    /// Begins an empty file; an existing map beside it is overwritten.
    pub(super) fn begin(
        disk: Arc<dyn Disk>,
        file: Box<dyn DiskFile>,
        path: PathBuf,
        manifest: Manifest,
    ) -> Result<Partial, StoreError> {
        let partial = Partial::with(disk, file, path, manifest, None)?;
        if let Some(map) = &partial.map {
            let place = map_path(&partial.path);
            // Ends what an earlier map said about this file.
            let made = map.set_len(0).and_then(|()| {
                map.write_at(0, &head(&partial.manifest.root(), partial.manifest.size()))
            });
            made.map_err(on("write", &place))?;
        }
        Ok(partial)
    }

    /// Resumes a file with the pieces that an earlier map claims; [`Partial::look`]
    /// verifies them.
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

    /// Writes the name that was asked for into the map.
    pub(super) fn sign(&self, name: &FileName) {
        if let Some(map) = &self.map {
            let at = MAP_HEAD_BYTES + bits_bytes(self.manifest.size());
            // It is only a hint: without it, this file is not removed when the content is
            // gone.
            let _ = map.write_at(at as u64, name.as_str().as_bytes());
        }
    }

    /// Reserves room on the disk for the bytes that are still to come, where the file
    /// system can: a full disk is noticed before any of them is transferred.
    pub(super) fn reserve(&self) -> Result<(), StoreError> {
        let size = self.manifest.size();
        self.file.reserve(size).map_err(on("make room for", &self.path))
    }

    /// Reads and verifies the pieces that an earlier map claims; the intact ones count from
    /// now on. Other threads wait meanwhile. If it is stopped (`false`), the next call
    /// begins again.
    pub(super) fn look(&self, step: Step<'_>) -> bool {
        let mut claimed = self.claimed.lock();
        let Some(claim) = claimed.as_ref() else { return true };
        let mut true_ones = PieceSet::none(self.manifest.count());
        let mut piece = Vec::new();
        for index in claim.iter() {
            piece.resize(self.manifest.len_of(index) as usize, 0);
            // A piece that cannot be read is missing.
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
        let mut state = self.state.lock();
        state.here = true_ones;
        if wrong && let Some(map) = &self.map {
            // If this fails, the next verification finds the same.
            let _ = map.write_at(MAP_HEAD_BYTES as u64, &state.here.to_bytes());
        }
        true
    }

    /// Sets the pieces that this process has verified already.
    pub(super) fn trust(&self, here: PieceSet) {
        *self.claimed.lock() = None;
        self.state.lock().here = here;
    }

    /// Verifies a piece and writes it. A piece that is here is not written again, unless
    /// two threads bring it at the same time, with the same bytes. A caller that gives up
    /// because the disk is full calls [`Partial::spoil`].
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
            // If the disk is full the caller may make room and try again.
            self.state.lock().spoiled |= !error.is_full();
            return Err(error.into());
        }
        let mut state = self.state.lock();
        state.here.insert(index);
        if let Some(map) = &self.map {
            // Under the lock, because the byte has the bits of other pieces too.
            let (at, byte) = state.here.byte_of(index);
            // It is only a hint: without it, this piece is fetched again after a crash.
            let _ = map.write_at((MAP_HEAD_BYTES + at) as u64, &[byte]);
        }
        drop(state);
        self.came.notify_all();
        Ok(())
    }

    /// Waits until a piece is here, for at most this long. Returns whether it is.
    pub(super) fn wait_for(&self, index: PieceIndex, at_most: Duration) -> bool {
        self.wait_until(at_most, |here| here.contains(index))
    }

    /// Waits until enough pieces are here, for at most this long. Returns whether they are.
    pub(super) fn wait_until(
        &self,
        at_most: Duration,
        is_enough: impl Fn(&PieceSet) -> bool,
    ) -> bool {
        let until = Instant::now() + at_most;
        let mut state = self.state.lock();
        while !is_enough(&state.here) {
            if self.came.wait_until(&mut state, until).timed_out() {
                return is_enough(&state.here);
            }
        }
        true
    }

    /// Fails unless every piece is here. Cuts off bytes that another program may have put
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
            // Bytes that the disk could not sync are not kept for a second attempt.
            self.state.lock().spoiled = true;
            on("sync", &self.path)(error)
        })
    }

    /// Opens the file for reading.
    pub(super) fn reader(&self) -> Result<File, StoreError> {
        self.disk.reader(&self.path).map_err(on("open", &self.path))
    }

    /// Notes that the file has its final name, and removes its map.
    pub(super) fn moved(&self) {
        self.state.lock().moved = true;
        self.remove_map();
    }

    /// Removes the file, which was not moved, and its map. The next start, or the next
    /// attempt, finds what could not be removed.
    pub(super) fn remove(&self) {
        let _ = self.disk.remove(&self.path);
        self.remove_map();
    }

    fn remove_map(&self) {
        if self.map.is_some() {
            let _ = self.disk.remove(&map_path(&self.path));
        }
    }

    /// The temporary path of the file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest of the content.
    pub(super) const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The pieces that are here.
    pub(super) fn here(&self) -> PieceSet {
        self.state.lock().here.clone()
    }

    /// How many pieces are not here.
    pub(super) fn missing(&self) -> usize {
        self.state.lock().here.missing()
    }

    /// Whether a piece is here.
    pub(super) fn has(&self, index: PieceIndex) -> bool {
        self.state.lock().here.contains(index)
    }

    /// Whether the file has its final name.
    pub(super) fn is_moved(&self) -> bool {
        self.state.lock().moved
    }

    /// Marks the file as not worth keeping.
    pub(super) fn spoil(&self) {
        self.state.lock().spoiled = true;
    }

    /// Whether a later attempt could resume it.
    pub(super) fn is_worth_keeping(&self) -> bool {
        let unseen = self.claimed.lock().is_some();
        let state = self.state.lock();
        self.map.is_some() && !state.spoiled && (unseen || !state.here.is_empty())
    }
}

/// The path of a file's map.
pub(super) fn map_path(file: &Path) -> PathBuf {
    let mut path = file.as_os_str().to_owned();
    path.push(".map");
    path.into()
}

/// Reads what the map beside a file says about a content.
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

/// Reads the map beside a file; `None` if it is not one that this program wrote.
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

/// Number of bytes of a map's bits.
fn bits_bytes(size: u64) -> usize {
    (piece_count(size) as usize).div_ceil(8)
}

/// Writes a map that claims every piece, for a file that was not received piece by piece.
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
