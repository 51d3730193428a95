//! Getting a content from the nodes that have it: manifest first, then pieces,
//! each verified before it counts; another source when one fails.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use crate::limits::MAX_FILE_BYTES;
use crate::peer::Peer;
use crate::record::ContentHash;
use crate::store::{Download, Incoming, IncomingError, StoreError};
use crate::transfer::manifest::{Manifest, PIECE_HASH_BYTES, PieceIndex, piece_count};
use crate::transfer::plan::Plan;
use crate::wire::data::{DataRequest, DataResponse};

use super::connection::ByteCounters;
use super::data::{DataConnection, DataError, DataPlane};
use super::transfers::Transfer;

/// Pieces asked for at once: a source that dies costs at most one run's order,
/// and a run is long enough that asking costs nothing.
const RUN_PIECES: u32 = 256;

/// Pieces received but not yet verified and written: what memory a download
/// takes beyond the one being received and the one being written.
const PIECES_AHEAD: usize = 4;

/// Bytes by which the buffer of a piece grows while it is received.
const READ_BYTES: usize = 1024 * 1024;

/// A source that sends nothing for this long is left for another one: a paused
/// process must not hold up a download that others could deliver.
const SOURCE_LIMIT: Duration = Duration::from_secs(6);

/// How soon a transfer that receives nothing notices that it is cancelled.
const CANCEL_LOOK: Duration = Duration::from_millis(100);

/// Why a content could not be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    /// Every source failed; the last reason of each.
    #[error("{}", reasons(.0))]
    NoSource(Vec<(Peer, String)>),
    /// The bytes could not be written here.
    #[error(transparent)]
    Local(#[from] StoreError),
    /// The user wants no more.
    #[error("cancelled")]
    Cancelled,
}

/// Where pieces go: it verifies each before it counts.
pub(super) trait PieceSink {
    /// Verifies and writes one piece.
    fn put(&mut self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError>;
}

impl PieceSink for Incoming {
    fn put(&mut self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        self.write(index, bytes)
    }
}

impl PieceSink for Download {
    fn put(&mut self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        self.write(index, bytes)
    }
}

/// Asks the sources in turn for the manifest of a content.
pub(super) fn manifest(
    plane: &DataPlane,
    sources: &[Peer],
    root: ContentHash,
    size: u64,
    transfer: &Transfer,
) -> Result<Manifest, FetchError> {
    let mut failed = Vec::new();
    for source in sources {
        match manifest_from(plane, *source, root, size, transfer) {
            Ok(manifest) => return Ok(manifest),
            Err(_) if transfer.is_cancelled() => return Err(FetchError::Cancelled),
            Err(error) => failed.push((*source, error.to_string())),
        }
    }
    Err(FetchError::NoSource(failed))
}

fn manifest_from(
    plane: &DataPlane,
    source: Peer,
    root: ContentHash,
    size: u64,
    transfer: &Transfer,
) -> Result<Manifest, DataError> {
    let mut connection = plane.dial(source.address())?;
    connection.wait_at_most(SOURCE_LIMIT)?;
    connection.serves(transfer);
    connection.send(&DataRequest::Manifest { root })?;
    match connection.receive()? {
        DataResponse::Manifest { size: theirs } if theirs == size => {
            receive_manifest(&mut connection, root, size)
        }
        DataResponse::Manifest { size: theirs } => Err(DataError::Peer(format!(
            "it has {theirs} bytes under this hash, not {size}: it lies or its disk is damaged"
        ))),
        other => Err(unexpected(other)),
    }
}

/// Receives the raw piece hashes that follow a header, and checks them
/// against the content's hash.
pub(super) fn receive_manifest(
    connection: &mut DataConnection,
    root: ContentHash,
    size: u64,
) -> Result<Manifest, DataError> {
    check_size(size)?;
    // The count follows from the size, which bounds what is allocated here.
    let mut bytes = vec![0; piece_count(size) as usize * PIECE_HASH_BYTES];
    connection.receive_raw(&mut bytes)?;
    Manifest::from_bytes(root, size, &bytes).map_err(|error| DataError::Peer(error.to_string()))
}

/// Refuses a content that is larger than anybody may store.
pub(super) fn check_size(size: u64) -> Result<(), DataError> {
    if size <= MAX_FILE_BYTES {
        return Ok(());
    }
    Err(DataError::Peer(format!(
        "{size} bytes are too many for one file; at most {MAX_FILE_BYTES} are stored"
    )))
}

/// Downloads all pieces of `manifest` into `sink`. When all sources have
/// failed, `more`, told of the failures and of how many pieces are missing, may
/// name others; it returns none to give up.
///
/// Who delivered how many bytes.
pub(super) fn pieces(
    plane: &DataPlane,
    manifest: &Manifest,
    sources: &[Peer],
    sink: &mut dyn PieceSink,
    transfer: &Transfer,
    mut more: impl FnMut(&[(Peer, String)], usize) -> Vec<Peer>,
) -> Result<Vec<(Peer, u64)>, FetchError> {
    let mut plan = Plan::new(manifest.count(), &BTreeSet::new(), sources.iter().copied());
    let mut delivered: Vec<(Peer, u64)> = Vec::new();
    let mut failed: Vec<(Peer, String)> = Vec::new();
    let mut order = sources.to_vec();
    while !plan.is_done() {
        let usable: BTreeSet<Peer> = plan.sources().collect();
        let Some(source) = order.iter().copied().find(|source| usable.contains(source)) else {
            order = more(&failed, plan.missing());
            // A source that sent damaged pieces is not taken back.
            if order.iter().filter(|source| plan.add(**source)).count() == 0 {
                return Err(FetchError::NoSource(failed));
            }
            continue;
        };
        let mut got = 0;
        let result = from_source(plane, manifest, source, &mut plan, sink, transfer, &mut got);
        if got > 0 {
            delivered.push((source, got));
        }
        match result {
            Ok(()) => {}
            Err(SourceError::Bad(index)) => {
                plan.bad(source);
                failed.push((source, format!("sent a damaged piece ({})", index.0)));
            }
            // A connection that was cut is no fault of the source.
            Err(SourceError::Data(_)) if transfer.is_cancelled() => {
                return Err(FetchError::Cancelled);
            }
            Err(SourceError::Data(error)) => {
                plan.lost(source);
                failed.push((source, error.to_string()));
            }
            Err(SourceError::Local(why)) => return Err(FetchError::Local(why)),
        }
    }
    Ok(delivered)
}

enum SourceError {
    Data(DataError),
    Bad(PieceIndex),
    Local(StoreError),
}

impl From<IncomingError> for SourceError {
    fn from(error: IncomingError) -> SourceError {
        match error {
            IncomingError::WrongPiece(index) => SourceError::Bad(index),
            IncomingError::Disk(error) => SourceError::Local(error),
        }
    }
}

impl From<DataError> for SourceError {
    fn from(error: DataError) -> SourceError {
        SourceError::Data(error)
    }
}

fn from_source(
    plane: &DataPlane,
    manifest: &Manifest,
    source: Peer,
    plan: &mut Plan,
    sink: &mut dyn PieceSink,
    transfer: &Transfer,
    got: &mut u64,
) -> Result<(), SourceError> {
    let mut connection = plane.dial(source.address())?;
    connection.wait_at_most(SOURCE_LIMIT)?;
    connection.serves(transfer);
    transfer.with_peer(source.address());
    while let Some(run) = plan.next(source, RUN_PIECES) {
        let Range { start, end } = manifest.bytes_of(run.clone());
        let length = end - start;
        let root = manifest.root();
        connection.send(&DataRequest::Bytes { root, offset: start, length })?;
        match connection.receive()? {
            DataResponse::Bytes { length: theirs } if theirs == length => {}
            other => return Err(unexpected(other).into()),
        }
        receive_pieces(&mut connection, manifest, run, transfer, |index, bytes| {
            sink.put(index, bytes)?;
            plan.got(index);
            *got += bytes.len() as u64;
            transfer.advance(bytes.len() as u64);
            Ok::<(), SourceError>(())
        })?;
    }
    Ok(())
}

/// Receives the raw bytes of a run of pieces; `take` gets each piece in order
/// and runs beside the receiving of the next ones.
pub(super) fn receive_pieces<E: From<DataError>>(
    connection: &mut DataConnection,
    manifest: &Manifest,
    run: Range<PieceIndex>,
    transfer: &Transfer,
    mut take: impl FnMut(PieceIndex, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let lengths: Vec<usize> =
        (run.start.0..run.end.0).map(|n| manifest.len_of(PieceIndex(n)) as usize).collect();
    let mut reader = connection.reader().map_err(DataError::from)?;
    let counters = connection.counters();
    let (full, pieces) = sync_channel(PIECES_AHEAD);
    let (empty, buffers) = sync_channel(PIECES_AHEAD + 1);
    let result = thread::scope(|scope| {
        let reading =
            scope.spawn(move || read_pieces(&mut reader, &lengths, &full, &buffers, &counters));
        let result = take_pieces(run, &pieces, &empty, transfer, &mut take);
        drop(pieces);
        if result.is_err() {
            connection.cut();
        }
        let read = reading.join().unwrap_or_else(|_| Err(io::Error::other("the reader failed")));
        // A failure of the taker explains one of the reader, not the reverse.
        result.and_then(|()| read.map_err(|error| DataError::from(error).into()))
    });
    result?;
    Ok(())
}

fn read_pieces(
    reader: &mut impl Read,
    lengths: &[usize],
    full: &SyncSender<Vec<u8>>,
    buffers: &Receiver<Vec<u8>>,
    counters: &ByteCounters,
) -> io::Result<()> {
    for length in lengths {
        let mut buffer = buffers.try_recv().unwrap_or_default();
        let mut filled = 0;
        while filled < *length {
            // A buffer grows with what has arrived, not with what is claimed.
            let end = (filled + READ_BYTES).min(*length);
            if buffer.len() < end {
                buffer.resize(end, 0);
            }
            reader.read_exact(&mut buffer[filled..end])?;
            filled = end;
        }
        buffer.truncate(*length);
        counters.received(buffer.len());
        if full.send(buffer).is_err() {
            break;
        }
    }
    Ok(())
}

fn take_pieces<E: From<DataError>>(
    run: Range<PieceIndex>,
    pieces: &Receiver<Vec<u8>>,
    empty: &SyncSender<Vec<u8>>,
    transfer: &Transfer,
    take: &mut impl FnMut(PieceIndex, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    for n in run.start.0..run.end.0 {
        let piece = loop {
            if transfer.is_cancelled() {
                return Err(DataError::Cancelled.into());
            }
            match pieces.recv_timeout(CANCEL_LOOK) {
                Ok(piece) => break piece,
                Err(RecvTimeoutError::Timeout) => {}
                // The reader's own error says why there are no more.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        };
        take(PieceIndex(n), &piece)?;
        match empty.try_send(piece) {
            Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
    }
    Ok(())
}

fn unexpected(response: DataResponse) -> DataError {
    DataError::Peer(match response {
        DataResponse::NotFound => "it does not have the content".to_owned(),
        DataResponse::Failed { why } => why,
        other => format!("it answered out of turn: {other:?}"),
    })
}

fn reasons(failed: &[(Peer, String)]) -> String {
    match failed {
        [] => "nobody has the content".to_owned(),
        some => some
            .iter()
            .map(|(peer, why)| format!("{}: {why}", peer.address()))
            .collect::<Vec<_>>()
            .join("; "),
    }
}
