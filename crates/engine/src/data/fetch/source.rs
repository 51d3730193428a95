//! One source at work: its thread asks for runs of pieces, verifies and writes
//! what comes. What all sources of a download share is here as well.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use chordal_core::peer::Peer;
use chordal_core::time::Time;
use chordal_core::transfer::manifest::{Manifest, PieceIndex};
use chordal_core::transfer::plan::Plan;
use chordal_core::transfer::speed::Speeds;
use chordal_core::wire::data::{DataRequest, DataResponse};
use chordal_store::{IncomingError, StoreError};
use chordal_view::TransferKind;

use super::super::plane::{DataConnection, DataError};
use super::{Fetcher, PieceSink, dial, receive_pieces, unexpected};
use crate::data::reputation::Conduct;
use crate::net::shutdown_handles::ShutdownHandle;
use crate::transfers::Transfer;

/// How often a source that has nothing to do looks whether it can relieve
/// another one.
const IDLE_LOOK: Duration = Duration::from_millis(100);

/// A source that had nothing to do for so long is let go: the other side does
/// not keep a connection for long on which nothing is asked.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

/// How long the answer is waited for whether a source has the content still:
/// the end of the download may wait for it.
const ASIDE_LIMIT: Duration = Duration::from_secs(1);

/// A source is relieved when it would need longer than this for what it owes.
const RELIEVED_BEYOND: Duration = Duration::from_millis(300);

/// What the sources of one download share.
pub(super) struct Work<'a> {
    pub(super) fetcher: &'a Fetcher,
    pub(super) manifest: &'a Manifest,
    pub(super) sink: &'a dyn PieceSink,
    pub(super) transfer: &'a Transfer,
    pub(super) state: Mutex<State>,
    /// Told when a source that waits for something to do may find it, and when
    /// all is over.
    pub(super) changed: Condvar,
    began: Instant,
}

/// How a download stands.
pub(super) struct State {
    pub(super) plan: Plan,
    pub(super) speeds: Speeds,
    /// The sources whose threads run.
    pub(super) workers: BTreeMap<Peer, Worker>,
    /// Sources that work or are being connected to: among them the rest is
    /// divided.
    pub(super) expected: usize,
    /// Bytes that counted, by source.
    pub(super) delivered: BTreeMap<Peer, u64>,
    /// When a piece was last gained.
    pub(super) progress: Time,
    /// No source is left to ask: others are looked for at once.
    pub(super) hungry: bool,
    /// All workers must end.
    pub(super) over: bool,
}

/// A source's thread, seen from outside.
pub(super) struct Worker {
    pub(super) cutter: ShutdownHandle,
    pub(super) arrived: Arc<AtomicU64>,
    /// It was asked for something and has not delivered all of it.
    pub(super) busy: bool,
}

/// Why a source's thread ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// There is nothing to do for it.
    Idle,
    /// Every piece is here.
    Complete,
    /// Its connection failed, or was cut.
    Failed(DataError),
    /// It sent a damaged piece.
    Bad(PieceIndex),
    /// So it did, and has the content no longer: its file changed while it was
    /// read.
    Changed,
    /// What it sent could not be written.
    Local(StoreError),
}

impl From<DataError> for Ending {
    fn from(error: DataError) -> Ending {
        Ending::Failed(error)
    }
}

impl From<IncomingError> for Ending {
    fn from(error: IncomingError) -> Ending {
        match error {
            IncomingError::WrongPiece(index) => Ending::Bad(index),
            IncomingError::Disk(error) => Ending::Local(error),
        }
    }
}

impl<'a> Work<'a> {
    pub(super) fn new(
        fetcher: &'a Fetcher,
        manifest: &'a Manifest,
        sink: &'a dyn PieceSink,
        transfer: &'a Transfer,
    ) -> Work<'a> {
        let state = State {
            plan: Plan::new(manifest.count(), &sink.here().iter().collect(), []),
            speeds: Speeds::default(),
            workers: BTreeMap::new(),
            expected: 0,
            delivered: BTreeMap::new(),
            progress: Time::ZERO,
            hungry: false,
            over: false,
        };
        let (state, changed) = (Mutex::new(state), Condvar::new());
        Work { fetcher, manifest, sink, transfer, state, changed, began: Instant::now() }
    }

    /// The time since the download began.
    pub(super) fn now(&self) -> Time {
        Time::ZERO + self.began.elapsed()
    }

    /// Counts a source among those that work. Returns whether it may.
    pub(super) fn enrol(&self, source: Peer, connection: &DataConnection) -> bool {
        let worker =
            Worker { cutter: connection.handle(), arrived: connection.arrived(), busy: false };
        let mut state = self.state.lock();
        let taken = !state.over && state.plan.add(source);
        if taken {
            state.workers.insert(source, worker);
        }
        taken
    }

    /// Fetches from one source until there is nothing to do for it or it fails.
    pub(super) fn fetch_from(&self, source: Peer, mut connection: DataConnection) -> Ending {
        self.transfer.with_peer(source.address());
        loop {
            let run = match self.next(source) {
                Ok(run) => run,
                Err(ending) => return ending,
            };
            let mut counted = 0;
            let result = self.fetch_run(source, &mut connection, run, &mut counted);
            if counted > 0 {
                let delivered = Conduct::Delivered(counted);
                self.fetcher.reputations.saw(source.address(), &delivered);
            }
            match result {
                Ok(()) => {}
                Err(Ending::Bad(_)) if !still_has(self.fetcher, source, self.manifest) => {
                    return Ending::Changed;
                }
                Err(ending) => return ending,
            }
        }
    }

    /// What to ask a source for next. Waits until there is something; `Err`
    /// says why there will be nothing.
    fn next(&self, source: Peer) -> Result<Range<PieceIndex>, Ending> {
        let began = Instant::now();
        let mut state = self.state.lock();
        loop {
            if state.plan.is_done() {
                return Err(Ending::Complete);
            }
            if state.over || !state.plan.has(source) || began.elapsed() > IDLE_LIMIT {
                return Err(Ending::Idle);
            }
            let now = self.now();
            let run = state.assign(now, source, self.manifest.piece_size(), self.patience());
            let arrived = state.workers.get_mut(&source).map(|worker| {
                worker.busy = run.is_some();
                worker.arrived.load(Ordering::Relaxed)
            });
            let arrived = arrived.unwrap_or_default();
            if let Some(run) = run {
                state.speeds.works(now, source, arrived);
                return Ok(run);
            }
            state.speeds.rests(source);
            self.changed.wait_for(&mut state, IDLE_LOOK);
        }
    }

    /// Beyond which time a source is relieved. Where the limit of this node is what
    /// makes it slow, no other would be faster.
    fn patience(&self) -> Duration {
        match self.fetcher.plane.limits.down.slice() {
            Some(_) => Duration::MAX,
            None => RELIEVED_BEYOND,
        }
    }

    fn fetch_run(
        &self,
        source: Peer,
        connection: &mut DataConnection,
        run: Range<PieceIndex>,
        counted: &mut u64,
    ) -> Result<(), Ending> {
        let Range { start: offset, end } = self.manifest.bytes_of(run.clone());
        let length = end - offset;
        let root = self.manifest.root();
        let copy = self.transfer.kind() == TransferKind::Copy;
        connection.send(&DataRequest::Bytes { root, offset, length, copy })?;
        match connection.receive()? {
            DataResponse::Bytes { length: theirs } if theirs == length => {}
            other => return Err(unexpected(other).into()),
        }
        let last = run.end.0 - 1;
        receive_pieces(connection, self.manifest, run, self.transfer, |index, bytes| {
            self.take(source, index, bytes, index.0 == last, counted)
        })
    }

    /// Takes a piece in; counts it if it was still missing.
    fn take(
        &self,
        source: Peer,
        index: PieceIndex,
        bytes: &[u8],
        last: bool,
        counted: &mut u64,
    ) -> Result<(), Ending> {
        // One that another source has brought needs no second look.
        let wanted = self.state.lock().plan.wants(index);
        if wanted {
            self.sink.put(index, bytes)?;
        }
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let now = self.now();
        if wanted && state.plan.got(index) {
            *counted += bytes.len() as u64;
            *state.delivered.entry(source).or_default() += bytes.len() as u64;
            state.progress = now;
            self.transfer.advance_with(source.address(), bytes.len() as u64);
        }
        if last && let Some(worker) = state.workers.get_mut(&source) {
            worker.busy = false;
            let arrived = worker.arrived.load(Ordering::Relaxed);
            state.speeds.look(now, source, arrived);
        }
        if state.plan.is_done() {
            self.changed.notify_all();
            return Err(Ending::Complete);
        }
        Ok(())
    }
}

/// Whether a source that sent a damaged piece says that it has the content
/// still. A node whose user writes to a shared file while it is read does not, and
/// is no cheat; without a clear no, it is one.
pub(super) fn still_has(fetcher: &Fetcher, source: Peer, manifest: &Manifest) -> bool {
    let ask = || {
        let mut connection = dial(&fetcher.plane, source)?;
        connection.wait_at_most(ASIDE_LIMIT)?;
        // Not the manifest: that is known without a look at the file.
        let root = manifest.root();
        connection.send(&DataRequest::Bytes { root, offset: 0, length: 1, copy: false })?;
        connection.receive()
    };
    !matches!(ask(), Ok(DataResponse::NotFound))
}

impl State {
    /// A run of pieces for a source: of those that no source was asked for, as
    /// much as it delivers in a moment, but no more than leaves something for
    /// the others; otherwise what others owe that would need longer than
    /// `patience` for it.
    fn assign(
        &mut self,
        now: Time,
        source: Peer,
        piece: u64,
        patience: Duration,
    ) -> Option<Range<PieceIndex>> {
        let most = self.speeds.run(source, piece);
        let open = u32::try_from(self.plan.open()).unwrap_or(u32::MAX);
        let others = u32::try_from(self.expected.saturating_sub(1)).unwrap_or(u32::MAX);
        let share = match others {
            0 => open,
            others => open.div_ceil((others + 1) * 2),
        };
        if let Some(run) = self.plan.next(source, most.min(share)) {
            return Some(run);
        }
        self.owing(now, piece)
            .into_iter()
            .filter(|(_, eta)| eta.is_none_or(|eta| eta > patience))
            .find_map(|(other, _)| self.plan.relieve(source, other, most))
    }

    /// The sources that owe pieces, and when they will have delivered them (`None`: they do
    /// not deliver), the longest first.
    pub(super) fn owing(&self, now: Time, piece: u64) -> Vec<(Peer, Option<Duration>)> {
        let owed = |source: &Peer| self.plan.outstanding(*source) as u64 * piece;
        let mut owing: Vec<(Peer, Option<Duration>)> = self
            .workers
            .keys()
            .map(|source| (*source, owed(source)))
            .filter(|(_, owed)| *owed > 0)
            .map(|(source, owed)| (source, self.speeds.eta(now, source, owed)))
            .collect();
        owing.sort_by_key(|(_, eta)| std::cmp::Reverse(eta.unwrap_or(Duration::MAX)));
        owing
    }
}
