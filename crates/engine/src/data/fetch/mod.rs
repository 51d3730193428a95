//! Getting a content from the nodes that have it: manifest first, then pieces
//! from several at once ([`swarm`]), each verified before it counts; other
//! sources when some fail.
//!
//! Sources are used in the order in which they are trusted: those of good
//! reputation side by side, one that is doubted only when no other is left,
//! one that is shunned not at all.

use std::io;
use std::sync::mpsc as channel;
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use chordal_core::client::Sought;
use chordal_core::error::{CommandError, Reason};
use chordal_core::peer::Peer;
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::{Manifest, PieceIndex};
use chordal_core::transfer::pieces::PieceSet;
use chordal_core::wire::data::{DataRequest, DataResponse};
use chordal_store::{Download, Incoming, IncomingError, StoreError};
use chordal_view::{Level, Step, Trust};

use super::plane::{DataConnection, DataError, DataPlane};
use crate::data::reputation::{Conduct, Reputations};
use crate::inputs::notes::Notes;
use crate::transfers::{Cancelled, Transfer};

mod receive;
mod source;
mod swarm;

pub(crate) use receive::{check_size, receive_manifest, receive_pieces};

/// Bytes of pieces in memory, received and not yet written, of all sources of
/// a download together.
const BUFFER_BYTES: u64 = 48 * 1024 * 1024;

/// A source that sends nothing for this long is left for another one: a paused
/// process must not hold up a download that others could deliver.
const SOURCE_LIMIT: Duration = Duration::from_secs(6);

/// How long one source may take over the manifest before another is asked as
/// well: long for a LAN, short for a person.
const MANIFEST_PATIENCE: Duration = Duration::from_millis(500);

/// Sources that are asked for one manifest at a time, at the most.
const MANIFEST_ASKED: usize = 3;

/// How soon a task that waits for sources notices that the transfer is
/// cancelled, and how often the speeds of sources are compared.
const TICK: Duration = Duration::from_millis(100);

/// Why a content could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    /// Every source failed; the last reason of each.
    #[error("{}", reasons(.0))]
    NoSource(Vec<(Peer, String)>),
    /// The same, after some pieces came: they stay for the next attempt.
    #[error("{}; what has come is kept: get it again to go on", reasons(.0))]
    Interrupted(Vec<(Peer, String)>),
    /// Its name stands for something else by now, or for nothing.
    #[error("it was replaced or removed meanwhile")]
    Replaced,
    /// There are sources, but none that is trusted; why of each.
    #[error("{}", reasons(.0))]
    Shunned(Vec<(Peer, String)>),
    /// The bytes could not be written here.
    #[error(transparent)]
    Local(#[from] StoreError),
    /// The user wants no more.
    #[error("cancelled")]
    Cancelled,
}

impl From<&FetchError> for CommandError {
    fn from(error: &FetchError) -> CommandError {
        let why = error.to_string();
        match error {
            FetchError::Local(_) => CommandError::Disk(why),
            FetchError::Cancelled => CommandError::CANCELLED,
            FetchError::Replaced => Reason::Superseded.because(why),
            FetchError::NoSource(_) | FetchError::Interrupted(_) | FetchError::Shunned(_) => {
                Reason::NoSource.because(why)
            }
        }
    }
}

impl From<Cancelled> for FetchError {
    fn from(_: Cancelled) -> FetchError {
        FetchError::Cancelled
    }
}

/// Where pieces go, from several threads: it verifies each before it counts.
pub(crate) trait PieceSink: Sync {
    /// The pieces that are there already: no source is asked for those.
    fn here(&self) -> PieceSet;
    /// Verifies and writes one piece.
    fn put(&self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError>;
}

impl PieceSink for Incoming {
    fn here(&self) -> PieceSet {
        Incoming::here(self)
    }

    fn put(&self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        self.write(index, bytes)
    }
}

impl PieceSink for Download {
    fn here(&self) -> PieceSet {
        Download::here(self)
    }

    fn put(&self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        self.write(index, bytes)
    }
}

/// Finds sources while a content is fetched: nodes that have it now. Blocks; ends
/// soon, with none, once its token is cancelled.
pub(crate) type Finder<'a> = dyn FnMut(&CancellationToken) -> Sought + Send + 'a;

/// What a fetch works with.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    /// What is fetched, for people.
    pub(crate) name: String,
    /// This side's end of data connections.
    pub(crate) plane: DataPlane,
    /// How far each source is trusted; told how each behaved.
    pub(crate) reputations: Reputations,
    /// Where people hear of a source that cheats.
    pub(crate) events: Option<Notes>,
    /// Even a source that is shunned may be used, after all others: what it
    /// sends is verified as everything is.
    pub(crate) from_anybody: bool,
}

/// A content whose manifest is known, and the connection over which it came.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The manifest.
    pub(crate) manifest: Manifest,
    source: Peer,
    connection: DataConnection,
}

impl Fetcher {
    /// Asks the sources for the manifest of a content: the first one, and
    /// others as well when that takes long or fails. Blocks.
    pub(crate) fn open(
        &self,
        sources: &[Peer],
        root: ContentHash,
        size: u64,
        transfer: &Transfer,
    ) -> Result<Opened, FetchError> {
        let (mut order, shunned) = self.in_order(sources);
        if order.is_empty() && !shunned.is_empty() {
            return Err(FetchError::Shunned(shunned));
        }
        order.reverse();
        let (answer, answers) = channel::channel();
        let mut failed = Vec::new();
        let mut waiting = 0;
        let mut next = true;
        loop {
            if transfer.is_cancelled() {
                return Err(FetchError::Cancelled);
            }
            if next
                && waiting < MANIFEST_ASKED
                && let Some(source) = order.pop()
            {
                let (plane, answer) = (self.plane.clone(), answer.clone());
                // On a thread that is not waited for: connecting to a host that
                // is gone cannot be cut short.
                let asking = thread::Builder::new().spawn(move || {
                    let _ = answer.send((source, open(&plane, source, root, size)));
                });
                match asking {
                    Ok(_) => waiting += 1,
                    Err(error) => failed.push((source, error.to_string())),
                }
            }
            if waiting == 0 && order.is_empty() {
                failed.extend(shunned);
                return Err(FetchError::NoSource(failed));
            }
            let mut patience = MANIFEST_PATIENCE;
            next = loop {
                match answers.recv_timeout(TICK) {
                    Ok((source, Ok((manifest, connection)))) => {
                        return Ok(Opened { manifest, source, connection });
                    }
                    Ok((source, Err(error))) => {
                        waiting -= 1;
                        self.blame(source, &error);
                        failed.push((source, words(&error)));
                        break true;
                    }
                    Err(_) if transfer.is_cancelled() => return Err(FetchError::Cancelled),
                    Err(_) => patience = patience.saturating_sub(TICK),
                }
                if patience.is_zero() {
                    break true;
                }
            };
        }
    }

    /// Downloads all pieces that `sink` lacks, from the sources and those that
    /// `find` names while it runs. When all have failed it waits for one, as long
    /// as the transfer has patience; without `find` it ends then. Blocks.
    ///
    /// Returns the sources with the bytes that each delivered, the most first.
    pub(crate) fn pieces(
        &self,
        opened: Opened,
        sources: &[Peer],
        sink: &dyn PieceSink,
        transfer: &Transfer,
        find: Option<&mut Finder<'_>>,
    ) -> Result<Vec<(Peer, u64)>, FetchError> {
        swarm::run(self, opened, sources, sink, transfer, find)
    }

    /// The sources that may be used: those first that bytes reach, of these the most
    /// trusted, otherwise as they stand; and those that are shunned, with the reason.
    fn in_order(&self, sources: &[Peer]) -> (Vec<Peer>, Vec<(Peer, String)>) {
        let mut shunned = Vec::new();
        let mut order: Vec<(bool, Trust, Peer)> = Vec::new();
        for source in sources {
            match self.trust(*source) {
                Ok(trust) => order.push((self.doubts(*source), trust, *source)),
                Err(why) => shunned.push((*source, why)),
            }
        }
        order.sort_by_key(|(doubted, trust, _)| (*doubted, *trust));
        (order.into_iter().map(|(.., source)| source).collect(), shunned)
    }

    /// Whether the last connection to a source was not made.
    fn doubts(&self, source: Peer) -> bool {
        self.plane.reach.doubts(source.address())
    }

    /// How far a source is trusted; `Err` says why it may not be used.
    fn trust(&self, source: Peer) -> Result<Trust, String> {
        let address = source.address();
        match self.reputations.shuns(address) {
            Some((why, left)) if !self.from_anybody => {
                Err(format!("{why}; it is not used for another {}", whole(left)))
            }
            _ => Ok(self.reputations.of(address).0),
        }
    }

    /// The source that is trusted most; `None`: none may be used.
    pub(crate) fn first(&self, sources: &[Peer]) -> Option<Peer> {
        self.in_order(sources).0.first().copied()
    }

    /// Whether a source that sent a damaged piece says that it has the content
    /// still: see [`source::still_has`].
    pub(crate) fn still_has(&self, source: Peer, manifest: &Manifest) -> bool {
        source::still_has(self, source, manifest)
    }

    /// Takes note of what went wrong with a source.
    pub(crate) fn blame(&self, source: Peer, error: &DataError) {
        match error {
            // This side has no file descriptor: no other is to blame.
            error if error.is_shortage() => {}
            DataError::Io(_) => self.reputations.saw(source.address(), &Conduct::TimedOut),
            DataError::Lied(why) => {
                self.reputations.saw(source.address(), &Conduct::Lied(why.clone()));
                self.tell(source, why);
            }
            DataError::Peer(_)
            | DataError::Failed(_)
            | DataError::Changed
            | DataError::Cancelled => {}
        }
    }

    /// Takes note of a damaged piece.
    pub(crate) fn blame_piece(&self, source: Peer, index: PieceIndex) {
        self.reputations.saw(source.address(), &Conduct::BadPiece);
        self.tell(source, &format!("sent a damaged piece ({index})"));
    }

    /// Tells people that a download waits for a source.
    pub(crate) fn tell_of_waiting(&self) {
        let text = format!(
            "{}: waiting for a source: none that has it answers; it goes on when one comes back",
            self.name
        );
        tracing::info!("{text}");
        if let Some(events) = &self.events {
            // A hub that is too busy: the transfer's row shows it.
            events.event_now(Level::Warn, text);
        }
    }

    /// Names a source that cheated to people.
    fn tell(&self, source: Peer, why: &str) {
        let address = source.address();
        let left = self.reputations.shuns(address).map(|(_, left)| whole(left));
        let left = left.map_or_else(String::new, |left| format!("; it is not used for {left}"));
        let text = format!("{}: {address} {why}{left}", self.name);
        tracing::warn!("{text}");
        if let Some(events) = &self.events {
            // A hub that is too busy says at the end which sources delivered.
            events.step_now(Step::Trust, Level::Warn, text);
        }
    }
}

/// Connects to a source and asks for the manifest.
fn open(
    plane: &DataPlane,
    source: Peer,
    root: ContentHash,
    size: u64,
) -> Result<(Manifest, DataConnection), DataError> {
    let mut connection = dial(plane, source)?;
    connection.send(&DataRequest::Manifest { root })?;
    match connection.receive()? {
        DataResponse::Manifest { size: theirs } if theirs == size => {
            let manifest = receive_manifest(&mut connection, root, size)?;
            Ok((manifest, connection))
        }
        DataResponse::Manifest { size: theirs } => Err(DataError::Lied(format!(
            "has {theirs} bytes under this hash, not {size}: it lies or its disk is damaged"
        ))),
        other => Err(unexpected(other)),
    }
}

/// Connects to a source.
fn dial(plane: &DataPlane, source: Peer) -> Result<DataConnection, DataError> {
    let connection = plane.dial(source.address())?;
    connection.wait_at_most(SOURCE_LIMIT)?;
    Ok(connection)
}

/// What an answer means that is not the one that was asked for.
pub(crate) fn unexpected(response: DataResponse) -> DataError {
    match response {
        DataResponse::NotFound => DataError::Peer("does not have the content".to_owned()),
        DataResponse::Failed { why } => DataError::Failed(why),
        DataResponse::Bytes { .. } | DataResponse::Manifest { .. } => {
            DataError::Lied("sent something else than what was asked for".to_owned())
        }
        _ => DataError::Lied("answered out of turn".to_owned()),
    }
}

/// Ends a transfer that another node began and whose connection failed. A node that
/// hangs up wants no more of it: that is no failure.
pub(crate) fn broke(transfer: Transfer, error: &DataError) {
    if error.is_hang_up() {
        transfer.hung_up();
    } else {
        transfer.end(Err(Reason::TryAgain.because(words(error))));
    }
}

/// A failure for people, who know nothing of "resource temporarily unavailable".
pub(crate) fn words(error: &DataError) -> String {
    match error {
        DataError::Io(error) => match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "does not answer".to_owned(),
            io::ErrorKind::UnexpectedEof => "closed the connection".to_owned(),
            _ => error.to_string(),
        },
        other => other.to_string(),
    }
}

fn reasons(failed: &[(Peer, String)]) -> String {
    match failed {
        [] => "no node has the content".to_owned(),
        some => some
            .iter()
            .map(|(peer, why)| format!("{}: {why}", peer.address()))
            .collect::<Vec<_>>()
            .join("; "),
    }
}

/// A time in whole seconds, for people.
fn whole(span: Duration) -> String {
    humantime::format_duration(Duration::from_secs(span.as_secs().max(1))).to_string()
}

#[cfg(test)]
mod tests {
    use chordal_view::{TransferKind, TransferState};

    use super::*;
    use crate::transfers::Transfers;

    #[test]
    fn who_hangs_up_has_cancelled_and_who_is_silent_has_failed() {
        let transfers = Transfers::new(std::time::Instant::now(), 2);
        let ended_by = |kind: io::ErrorKind| {
            let transfer = transfers.open(TransferKind::Copy, "a", 10);
            broke(transfer, &DataError::Io(kind.into()));
            transfers.rows()[0].state.clone()
        };
        assert_eq!(ended_by(io::ErrorKind::UnexpectedEof), TransferState::Cancelled);
        assert_eq!(ended_by(io::ErrorKind::BrokenPipe), TransferState::Cancelled);
        let silent = TransferState::Failed("does not answer".into());
        assert_eq!(ended_by(io::ErrorKind::WouldBlock), silent);
    }
}
