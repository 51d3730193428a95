//! The receiving of manifests and pieces from one connection: of
//! a source of a download, or of an upload.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::MAX_FILE_BYTES;
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::{Manifest, PIECE_HASH_BYTES, PieceIndex, piece_count};

use super::super::plane::{DataConnection, DataError};
use super::BUFFER_BYTES;
use crate::transfers::Transfer;

/// Pieces received but not yet verified and written, at the most: what memory
/// a connection takes beyond the one being received and the one being written.
const PIECES_AHEAD: u64 = 4;

/// Bytes by which the buffer of a piece grows while it is received.
const READ_BYTES: usize = 1024 * 1024;

/// How soon a transfer that receives nothing notices that it is cancelled.
const CANCEL_LOOK: Duration = Duration::from_millis(100);

/// Receives the raw piece hashes that follow a header, and checks them
/// against the content's hash.
pub(crate) fn receive_manifest(
    connection: &mut DataConnection,
    root: ContentHash,
    size: u64,
) -> Result<Manifest, DataError> {
    check_size(size).map_err(DataError::Failed)?;
    // The count follows from the size, which bounds what is allocated here.
    let mut bytes = vec![0; piece_count(size) as usize * PIECE_HASH_BYTES];
    connection.receive_raw(&mut bytes)?;
    Manifest::from_bytes(root, size, &bytes).map_err(|error| DataError::Lied(error.to_string()))
}

/// Refuses a content that is larger than any node may store.
pub(crate) fn check_size(size: u64) -> Result<(), CommandError> {
    if size <= MAX_FILE_BYTES {
        return Ok(());
    }
    Err(Reason::Limit.because(format!(
        "{size} bytes are too many for one file; at most {MAX_FILE_BYTES} are stored"
    )))
}

/// Receives the raw bytes of a run of pieces; `take` gets each piece in order
/// and runs beside the receiving of the next ones.
pub(crate) fn receive_pieces<E: From<DataError>>(
    connection: &DataConnection,
    manifest: &Manifest,
    run: Range<PieceIndex>,
    transfer: &Transfer,
    mut take: impl FnMut(PieceIndex, &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = connection.reader();
    let (counters, arrived) = (connection.counters(), connection.arrived());
    let count = |bytes: usize| {
        counters.received(bytes);
        arrived.fetch_add(bytes as u64, Ordering::Relaxed);
        transfer.moved(bytes as u64);
    };
    let length = |n: u32| manifest.len_of(PieceIndex(n)) as usize;
    if run.end.0 - run.start.0 == 1 {
        // Nothing comes behind it that could be received meanwhile.
        let mut piece = Vec::new();
        read_piece(&mut reader, &mut piece, length(run.start.0), &count)
            .map_err(DataError::from)?;
        return take(run.start, &piece);
    }
    let lengths: Vec<usize> = (run.start.0..run.end.0).map(length).collect();
    let ahead =
        (BUFFER_BYTES / connection.beside() as u64 / manifest.piece_size()).saturating_sub(2);
    let ahead = ahead.clamp(1, PIECES_AHEAD) as usize;
    let (full, pieces) = sync_channel(ahead);
    let (empty, buffers) = sync_channel(ahead + 1);
    let result = thread::scope(|scope| {
        let reading = thread::Builder::new().spawn_scoped(scope, || {
            let (mut reader, full, buffers) = (reader, full, buffers);
            read_pieces(&mut reader, &lengths, &full, &buffers, &count)
        });
        let reading = reading.map_err(DataError::from)?;
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
    count: &impl Fn(usize),
) -> io::Result<()> {
    for length in lengths {
        let mut buffer = buffers.try_recv().unwrap_or_default();
        read_piece(reader, &mut buffer, *length, count)?;
        if full.send(buffer).is_err() {
            break;
        }
    }
    Ok(())
}

/// Reads one piece into a buffer, whatever is in there.
fn read_piece(
    reader: &mut impl Read,
    buffer: &mut Vec<u8>,
    length: usize,
    count: &impl Fn(usize),
) -> io::Result<()> {
    let mut filled = 0;
    while filled < length {
        // A buffer grows with what has arrived, not with what is claimed.
        let end = (filled + READ_BYTES).min(length);
        if buffer.len() < end {
            buffer.resize(end, 0);
        }
        match reader.read(&mut buffer[filled..end]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(bytes) => {
                filled += bytes;
                count(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(length);
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
