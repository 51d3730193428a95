//! A content that the ring wants here and that lies on this machine already: it is
//! copied and verified instead of fetched.
//!
//! It may be shared by this node's user, have been downloaded, or be on its way in a
//! download. The pieces of that are taken as they come; the rest of a download that
//! ends or stands still is fetched. No limit of transfers holds for such a copy: no
//! bytes come over the network for it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use chordal_core::record::{ContentHash, Record};
use chordal_core::transfer::manifest::{Manifest, PieceIndex};
use chordal_store::{
    Download, Incoming, IncomingError, Pieces, Store, hash_open_file, open_regular,
};

use super::fetch::FetchError;
use crate::sharing::shares::handle::Shares;
use crate::transfers::{Progress, Transfer};

/// A download that has moved nothing for so long (it is paused, or waits for a source)
/// is not waited for any longer: the ring wants its copy.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon it is noticed that a copy is not wanted any more, or that a download has
/// ended.
const LOOK: Duration = Duration::from_millis(100);

/// Finished downloads that are remembered; the oldest are forgotten first.
const MAX_FINISHED: usize = 4096;

/// The downloads of this node's user. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Downloads {
    lists: Arc<Mutex<Lists>>,
}

#[derive(Debug, Default)]
struct Lists {
    /// Those under way, by their content.
    running: BTreeMap<ContentHash, Vec<Arc<Running>>>,
    /// Where those lie that are complete, the latest last. What is there now is found
    /// out when it is read.
    finished: VecDeque<(ContentHash, PathBuf)>,
}

/// A download under way.
#[derive(Debug)]
struct Running {
    pieces: Pieces,
    progress: Progress,
}

/// While it lives, a download is listed as under way.
#[derive(Debug)]
pub(crate) struct Listed {
    downloads: Downloads,
    running: Arc<Running>,
}

impl Downloads {
    /// Lists a download as under way. One whose file cannot be opened a second time is
    /// of no use to others.
    pub(crate) fn list(&self, download: &Download, transfer: &Transfer) -> Option<Listed> {
        let (pieces, progress) = (download.pieces().ok()?, transfer.progress());
        let root = pieces.manifest().root();
        let running = Arc::new(Running { pieces, progress });
        self.lists.lock().running.entry(root).or_default().push(Arc::clone(&running));
        Some(Listed { downloads: self.clone(), running })
    }

    /// A download is complete, and lies there.
    pub(crate) fn ended(&self, root: ContentHash, path: PathBuf) {
        let mut lists = self.lists.lock();
        lists.finished.push_back((root, path));
        if lists.finished.len() > MAX_FINISHED {
            lists.finished.pop_front();
        }
    }

    /// Where a content was downloaded to, the latest first.
    fn finished(&self, root: &ContentHash) -> Vec<PathBuf> {
        let lists = self.lists.lock();
        let same = lists.finished.iter().rev().filter(|(known, _)| known == root);
        same.map(|(_, path)| path.clone()).collect()
    }

    /// A download of a content that is under way.
    fn running(&self, root: &ContentHash) -> Option<Arc<Running>> {
        self.lists.lock().running.get(root)?.first().cloned()
    }

    fn is_running(&self, download: &Arc<Running>) -> bool {
        let lists = self.lists.lock();
        let same = lists.running.get(&download.pieces.manifest().root());
        same.is_some_and(|same| same.iter().any(|one| Arc::ptr_eq(one, download)))
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        let root = self.running.pieces.manifest().root();
        let mut lists = self.downloads.lists.lock();
        if let Some(same) = lists.running.get_mut(&root) {
            same.retain(|one| !Arc::ptr_eq(one, &self.running));
            if same.is_empty() {
                lists.running.remove(&root);
            }
        }
    }
}

/// Takes in what this machine has of a content, which may be a part; `None`: nothing.
/// Blocks.
///
/// # Errors
/// The disk's, or the copy is not wanted any more.
pub(crate) fn copy(
    store: &Store,
    shares: &Shares,
    downloads: &Downloads,
    record: &Record,
    transfer: &Transfer,
) -> Result<Option<Incoming>, FetchError> {
    let root = record.version.root;
    let begin = |manifest: &Manifest| store.begin(manifest.clone());
    if let Some(share) = shares.open(&root) {
        let incoming = begin(&share.manifest)?;
        let read = |index, piece: &mut Vec<u8>| {
            let is_right = share.read(index, piece);
            if !is_right {
                shares.doubt(&share);
            }
            is_right
        };
        take_lacking(&incoming, read, transfer)?;
        return Ok(Some(incoming));
    }
    for path in downloads.finished(&root) {
        // Its user may have changed or removed it.
        let Ok(file) = open_regular(&path) else { continue };
        if file.metadata().map_or(true, |found| found.len() != record.size()) {
            continue;
        }
        let step = |_| {
            if transfer.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let hashed = hash_open_file(&file, step);
        let Some(manifest) = hashed.ok().filter(|manifest| manifest.root() == root) else {
            continue;
        };
        let incoming = begin(&manifest)?;
        let read = |index, piece: &mut Vec<u8>| read_piece(&file, &manifest, index, piece);
        take_lacking(&incoming, read, transfer)?;
        return Ok(Some(incoming));
    }
    let Some(download) = downloads.running(&root) else { return Ok(None) };
    let incoming = begin(download.pieces.manifest())?;
    follow(downloads, &download, &incoming, transfer)?;
    Ok(Some(incoming))
}

/// Takes the pieces of a download as they come, until all are here, or it ends, or has
/// moved nothing for a while.
fn follow(
    downloads: &Downloads,
    download: &Arc<Running>,
    incoming: &Incoming,
    transfer: &Transfer,
) -> Result<(), FetchError> {
    let pieces = &download.pieces;
    let read =
        |index, piece: &mut Vec<u8>| read_piece(pieces.file(), pieces.manifest(), index, piece);
    let (mut moved, mut since) = (download.progress.bytes(), Instant::now());
    loop {
        // Before its pieces are counted: those that came last count, too.
        let is_running = downloads.is_running(download);
        let there = pieces.here();
        let fresh: Vec<_> =
            incoming.here().lacking().filter(|index| there.contains(*index)).collect();
        take(incoming, fresh, read, transfer)?;
        let now = download.progress.bytes();
        if now != moved {
            (moved, since) = (now, Instant::now());
        }
        if incoming.missing() == 0 || !is_running || since.elapsed() > PATIENCE {
            return Ok(());
        }
        pieces.wait_for_more(there.len(), LOOK);
    }
}

fn take_lacking(
    incoming: &Incoming,
    read: impl FnMut(PieceIndex, &mut Vec<u8>) -> bool,
    transfer: &Transfer,
) -> Result<(), FetchError> {
    let lacking: Vec<_> = incoming.here().lacking().collect();
    take(incoming, lacking, read, transfer)
}

/// Copies pieces, each verified. One that is not right, or cannot be read, ends it: the
/// rest comes from others.
fn take(
    incoming: &Incoming,
    pieces: Vec<PieceIndex>,
    mut read: impl FnMut(PieceIndex, &mut Vec<u8>) -> bool,
    transfer: &Transfer,
) -> Result<(), FetchError> {
    let mut piece = Vec::new();
    for index in pieces {
        if transfer.is_cancelled() {
            return Err(FetchError::Cancelled);
        }
        if !read(index, &mut piece) {
            break;
        }
        match incoming.write(index, &piece) {
            Ok(()) => transfer.advance(piece.len() as u64),
            Err(IncomingError::WrongPiece(_)) => break,
            Err(IncomingError::Disk(error)) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Whether a piece could be read; the caller that writes it to a copy verifies it.
fn read_piece(file: &File, manifest: &Manifest, index: PieceIndex, piece: &mut Vec<u8>) -> bool {
    piece.resize(manifest.len_of(index) as usize, 0);
    file.read_exact_at(piece, manifest.offset_of(index)).is_ok()
}
