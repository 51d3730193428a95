//! The transfers of a node: numbers, progress, turns, pausing, cancelling.
//!
//! The code that moves bytes holds a [`Transfer`] and counts into it; the snapshot
//! reads the counts. Ended transfers stay visible for a while.
//!
//! A transfer is *held* while it is paused by its user or while it is not its turn:
//! the code that moves its bytes then closes its connections and waits
//! ([`Transfer::wait_while_held`], [`Transfer::released`]). Of a directory there
//! is one transfer for all and one for each file that is at work
//! ([`Transfers::open_part`]); what is said to the former holds for the latter.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use chordal_core::error::{CommandError, Reason, StoppedBy};
use chordal_core::limits::MAX_PAGE;
use chordal_core::peer::Party;
use chordal_core::record::ContentHash;
use chordal_view::{FileCount, TransferKind, TransferRow, TransferState};

use crate::net::shutdown_handles::ShutdownHandle;
use meter::Meter;
pub(crate) use parts::HASHING;
use parts::Parts;
use turns::Turns;
pub(crate) use waits::Progress;

mod meter;
mod parts;
mod turns;
mod waits;

/// The phase of a transfer, for progress bars.
pub(crate) trait Phases: Send + Sync {
    /// A phase begins: "hashing", "sending"…
    fn phase(&self, phase: &str);
}

/// How long an ended transfer stays in the list.
const SHOWN_AFTER: Duration = Duration::from_secs(60);

/// Ended transfers in the list at the most; the oldest go first.
const SHOWN_AT_MOST: usize = 50;

/// How soon a blocked thread notices that its transfer may go on, should it miss
/// being told.
const HELD_LOOK: Duration = Duration::from_millis(200);

/// All transfers of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Transfers {
    all: Arc<All>,
    started: Instant,
    /// How long a download waits for a source; `None`: until it is cancelled.
    patience: Option<Duration>,
}

#[derive(Debug)]
struct All {
    list: Mutex<List>,
    /// Wakes threads and tasks that may go on or shall stop.
    changed: Condvar,
    told: Notify,
}

#[derive(Debug)]
struct List {
    next: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
    turns: Turns,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    name: String,
    kind: TransferKind,
    part_of: Option<u64>,
    /// The content of which this makes a copy for the ring.
    copies: OnceLock<ContentHash>,
    total: AtomicU64,
    /// Bytes that count.
    done: AtomicU64,
    /// Bytes that came or went since the last start, verified or not: its rate.
    moved: AtomicU64,
    /// Paused, or not its turn. Changed under the list's lock only.
    held: AtomicBool,
    cancelled: CancellationToken,
    /// On cancel, keep the partial file.
    kept: AtomicBool,
    /// How long it waits for a source; `None`: until it is cancelled.
    patience: Option<Duration>,
    began: Instant,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    state: TransferState,
    /// What it is at, for people; empty before it says so.
    phase: String,
    files: Option<FileCount>,
    peers: Vec<(Party, u64)>,
    connection: Option<ShutdownHandle>,
    ended: Option<Instant>,
    /// Paused by its user.
    paused: bool,
    /// None of its sources delivers any more.
    sourceless: bool,
    /// It runs only when it is its turn.
    queues: bool,
    /// Where `done` began to count: what was here before did not move.
    base: u64,
    meter: Meter,
    rate: u64,
}

/// One transfer, held by the code that moves its bytes. Dropped without
/// [`Transfer::end`], it counts as failed.
#[derive(Debug)]
pub(crate) struct Transfer {
    entry: Arc<Entry>,
    all: Arc<All>,
}

/// A transfer as a progress bar shows it.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// How it stands.
    pub(crate) row: TransferRow,
    /// What it is at: "hashing", "sending"…
    pub(crate) phase: String,
    /// Bytes that were there when it was (re)started.
    pub(crate) there: u64,
}

/// The user wants a transfer no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cancelled")]
pub(crate) struct Cancelled;

impl Transfers {
    /// `started`: the node's start, the zero of all times in the rows.
    /// `at_once`: transfers that queue run so many at a time.
    pub(crate) fn new(started: Instant, at_once: usize) -> Transfers {
        let list = List { next: 0, entries: BTreeMap::new(), turns: Turns::new(at_once) };
        let (changed, told) = (Condvar::new(), Notify::new());
        let all = All { list: Mutex::new(list), changed, told };
        Transfers { all: Arc::new(all), started, patience: None }
    }

    /// The same list; downloads that are opened through it wait so long for a
    /// source, and not until they are cancelled.
    pub(crate) fn with_patience(self, patience: Duration) -> Transfers {
        Transfers { patience: Some(patience), ..self }
    }

    /// The copies that are being made for the ring, or were made just now, the latest
    /// first: their contents, and how many bytes have come.
    pub(crate) fn copies(&self) -> Vec<(ContentHash, u64)> {
        let list = self.all.list.lock();
        let copies = list.entries.values().rev().filter_map(|copy| {
            let root = *copy.copies.get()?;
            let moved = copy.changing.lock().base + copy.moved.load(Ordering::Relaxed);
            let came = moved.max(copy.done.load(Ordering::Relaxed));
            Some((root, came.min(copy.total.load(Ordering::Relaxed))))
        });
        copies.take(MAX_PAGE).collect()
    }

    /// Opens a transfer of `total` bytes.
    pub(crate) fn open(&self, kind: TransferKind, name: &str, total: u64) -> Transfer {
        self.add(kind, name, total, None, CancellationToken::new())
    }

    /// Opens a transfer that is cancelled with something else, too.
    pub(crate) fn open_until(
        &self,
        kind: TransferKind,
        name: &str,
        total: u64,
        over: &CancellationToken,
    ) -> Transfer {
        self.add(kind, name, total, None, over.child_token())
    }

    /// Opens the transfer of one file of a directory: cancelled, paused and
    /// resumed with it.
    pub(crate) fn open_part(&self, whole: &Transfer, name: &str, total: u64) -> Transfer {
        let cancelled = whole.entry.cancelled.child_token();
        self.add(whole.entry.kind, name, total, Some(whole), cancelled)
    }

    fn add(
        &self,
        kind: TransferKind,
        name: &str,
        total: u64,
        whole: Option<&Transfer>,
        cancelled: CancellationToken,
    ) -> Transfer {
        let mut list = self.all.list.lock();
        list.next += 1;
        let paused = whole.is_some_and(|whole| whole.entry.changing.lock().paused);
        let entry = Arc::new(Entry {
            number: list.next,
            name: name.to_owned(),
            kind,
            part_of: whole.map(|whole| whole.entry.number),
            copies: OnceLock::new(),
            total: AtomicU64::new(total),
            done: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            held: AtomicBool::new(paused),
            cancelled,
            kept: AtomicBool::new(whole.is_some_and(|whole| whole.entry.is_kept())),
            patience: self.patience,
            began: Instant::now(),
            changing: Mutex::new(Changing {
                state: TransferState::Running,
                phase: String::new(),
                files: None,
                peers: Vec::new(),
                connection: None,
                ended: None,
                paused,
                sourceless: false,
                queues: false,
                base: 0,
                meter: Meter::new(Duration::ZERO),
                rate: 0,
            }),
        });
        list.entries.insert(entry.number, Arc::clone(&entry));
        Transfer { entry, all: Arc::clone(&self.all) }
    }

    /// Asks a transfer to stop, one that waits as well as one that runs. Its
    /// name.
    ///
    /// # Errors
    /// A sentence: no such transfer is under way.
    pub(crate) fn cancel(&self, number: u64) -> Result<String, CommandError> {
        let list = self.all.list.lock();
        let entry = list.under_way(number).ok_or_else(|| missing(number))?;
        entry.cancelled.cancel();
        for entry in list.with_parts(number) {
            entry.cut();
        }
        self.all.tell();
        Ok(entry.name.clone())
    }

    /// Has a transfer wait until it is resumed. Its name.
    ///
    /// # Errors
    /// A sentence: there is none, or what it does is not for its user to stop.
    pub(crate) fn pause(&self, number: u64) -> Result<String, CommandError> {
        let mut list = self.all.list.lock();
        let entry = Arc::clone(list.under_way(number).ok_or_else(|| missing(number))?);
        let why = match entry.kind {
            TransferKind::Download | TransferKind::Upload => None,
            TransferKind::Copy => Some("makes a copy that the ring needs"),
            TransferKind::Serve => Some("serves another node, which would go elsewhere"),
            TransferKind::Receive => Some("is a put of another user, who alone can pause it"),
            TransferKind::Hash => Some("only reads a file on this machine"),
        };
        if let Some(why) = why {
            return Err(unfit(format!(
                "transfer {number} {why}: it cannot be paused; cancel {number} stops it"
            )));
        }
        let (state, paused) = {
            let changing = entry.changing.lock();
            (changing.state.clone(), changing.paused)
        };
        if paused {
            return Err(unfit(format!(
                "transfer {number} is paused already; resume {number} goes on"
            )));
        }
        if matches!(state, TransferState::Securing { .. }) {
            return Err(unfit(format!(
                "all bytes of {} are sent and its copies are being made: there is nothing to pause",
                entry.name
            )));
        }
        let all: Vec<Arc<Entry>> = list.with_parts(number).cloned().collect();
        for entry in all {
            entry.set_paused(true);
            entry.held.store(true, Ordering::Release);
            list.give_up_turn(entry.number);
            entry.cut();
        }
        self.all.tell();
        Ok(entry.name.clone())
    }

    /// Has a paused transfer go on: at once, or when it is its turn. Its name.
    ///
    /// # Errors
    /// A sentence: there is none, or it is not paused.
    pub(crate) fn resume(&self, number: u64) -> Result<String, CommandError> {
        let mut list = self.all.list.lock();
        let entry = Arc::clone(list.under_way(number).ok_or_else(|| missing(number))?);
        if !entry.changing.lock().paused {
            return Err(unfit(format!(
                "transfer {number} is not paused; pause {number} has it wait"
            )));
        }
        let all: Vec<Arc<Entry>> = list.with_parts(number).cloned().collect();
        for entry in all {
            let queues = entry.set_paused(false);
            let held = queues && !list.turns.ask(entry.number);
            entry.held.store(held, Ordering::Release);
        }
        self.all.tell();
        Ok(entry.name.clone())
    }

    /// Takes a transfer off the list: it turned out that nothing is to be moved.
    pub(crate) fn forget(&self, transfer: Transfer) {
        self.all.list.lock().entries.remove(&transfer.entry.number);
    }

    /// Ends all running transfers with their process: what came so far stays for
    /// another time.
    pub(crate) fn stop_all(&self) {
        let list = self.all.list.lock();
        list.entries.values().for_each(|entry| {
            // One that its user has cancelled stays so.
            if !entry.cancelled.is_cancelled() {
                entry.kept.store(true, Ordering::Relaxed);
            }
        });
        list.entries.values().for_each(|entry| entry.cancelled.cancel());
        self.all.tell();
    }

    /// Whether any transfer is under way.
    pub(crate) fn any_running(&self) -> bool {
        self.all.list.lock().entries.values().any(|entry| entry.changing.lock().ended.is_none())
    }

    /// Transfers that queue run so many at a time.
    pub(crate) fn at_once(&self) -> usize {
        self.all.list.lock().turns.at_once()
    }

    /// The rows for a snapshot, newest first; forgets what was shown long
    /// enough.
    pub(crate) fn rows(&self) -> Vec<TransferRow> {
        self.shown().into_iter().map(|shown| shown.row).collect()
    }

    /// The rows, with what else there is to say of each transfer.
    pub(crate) fn shown(&self) -> Vec<Shown> {
        let now = Instant::now();
        let mut list = self.all.list.lock();
        let mut ended = 0;
        let mut rows = Vec::new();
        let parts = parts::moving(list.entries.values());
        let mut old = Vec::new();
        for (number, entry) in list.entries.iter().rev() {
            let mut changing = entry.changing.lock();
            if let Some(at) = changing.ended {
                ended += 1;
                if ended > SHOWN_AT_MOST || now.duration_since(at) > SHOWN_AFTER {
                    old.push(*number);
                    continue;
                }
            }
            let parts = parts.get(number).copied().unwrap_or_default();
            let row = entry.row(&mut changing, parts, now, self.started);
            rows.push(Shown { row, phase: changing.phase.clone(), there: changing.base });
        }
        for number in old {
            list.entries.remove(&number);
        }
        rows
    }
}

fn missing(number: u64) -> CommandError {
    Reason::NotFound.because(format!("no transfer {number} is running; transfers lists them"))
}

fn unfit(why: String) -> CommandError {
    Reason::State.because(why)
}

impl All {
    /// Wakes the threads and tasks that are held.
    fn tell(&self) {
        self.changed.notify_all();
        self.told.notify_waiters();
    }
}

impl List {
    /// A transfer that has not ended.
    fn under_way(&self, number: u64) -> Option<&Arc<Entry>> {
        self.entries.get(&number).filter(|entry| entry.changing.lock().ended.is_none())
    }

    /// A transfer and those that are part of it, as far as they have not ended.
    fn with_parts(&self, number: u64) -> impl Iterator<Item = &Arc<Entry>> {
        let belongs = move |entry: &&Arc<Entry>| {
            (entry.number == number || entry.part_of == Some(number))
                && entry.changing.lock().ended.is_none()
        };
        self.entries.values().filter(belongs)
    }

    fn give_up_turn(&mut self, number: u64) {
        if let Some(next) = self.turns.leave(number)
            && let Some(entry) = self.entries.get(&next)
        {
            entry.held.store(false, Ordering::Release);
        }
    }
}

impl Entry {
    fn cut(&self) {
        if let Some(connection) = &self.changing.lock().connection {
            connection.cut();
        }
    }

    /// Whether it needs a turn to run.
    fn set_paused(&self, paused: bool) -> bool {
        let mut changing = self.changing.lock();
        changing.paused = paused;
        changing.queues
    }

    fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// `parts`: its files at work, which it does not count itself yet.
    fn row(
        &self,
        changing: &mut Changing,
        parts: Parts,
        now: Instant,
        started: Instant,
    ) -> TransferRow {
        let done = self.done.load(Ordering::Relaxed).saturating_add(parts.moved);
        if changing.ended.is_none() {
            // Where only what counts is counted, that is what moved.
            let moved = self.moved.load(Ordering::Relaxed).max(done.saturating_sub(changing.base));
            changing.rate = changing.meter.look(now.duration_since(self.began), moved);
        }
        let state = match &changing.state {
            TransferState::Running if changing.paused => TransferState::Paused,
            TransferState::Running if changing.sourceless || parts.all_wait() => {
                TransferState::Waiting
            }
            TransferState::Running if self.is_held() => TransferState::Queued,
            state => state.clone(),
        };
        let mut peers = changing.peers.clone();
        // A single other side has all of it, also where bytes are not counted by
        // who they belong to.
        if let [(_, part @ 0)] = peers.as_mut_slice() {
            *part = done.saturating_sub(changing.base);
        }
        let waits =
            matches!(state, TransferState::Paused | TransferState::Queued | TransferState::Waiting);
        let millis = |at: Instant| at.saturating_duration_since(started).as_millis() as u64;
        TransferRow {
            number: self.number,
            name: self.name.clone(),
            kind: self.kind,
            state,
            done,
            total: self.total.load(Ordering::Relaxed),
            rate: if waits { 0 } else { changing.rate },
            peers,
            started_ms: millis(self.began),
            ended_ms: changing.ended.map(millis),
            files: changing.files,
            part_of: self.part_of,
        }
    }
}

impl Transfer {
    /// Part of another transfer: in no list.
    pub(crate) fn within(name: &str) -> Transfer {
        Transfers::new(Instant::now(), 1).open(TransferKind::Copy, name, 0)
    }

    /// It makes a copy of this content for the ring.
    pub(crate) fn copying(self, root: ContentHash) -> Transfer {
        self.entry.copies.get_or_init(|| root);
        self
    }

    /// Counts bytes that moved and were verified.
    pub(crate) fn advance(&self, bytes: u64) {
        self.entry.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that came or went, whatever they are worth: the rate.
    pub(crate) fn moved(&self, bytes: u64) {
        self.entry.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Starts counting from zero again (another phase, another attempt).
    pub(crate) fn restart(&self, total: u64) {
        self.goes_on(total, 0);
    }

    /// Starts counting from what is here already: it came in an earlier attempt
    /// and says nothing of the rate.
    pub(crate) fn goes_on(&self, total: u64, here: u64) {
        let mut changing = self.entry.changing.lock();
        self.entry.done.store(here, Ordering::Relaxed);
        self.entry.moved.store(0, Ordering::Relaxed);
        self.entry.total.store(total, Ordering::Relaxed);
        changing.base = here;
        changing.meter = Meter::new(self.entry.began.elapsed());
    }

    /// Bytes that were there when it was (re)started.
    pub(crate) fn there(&self) -> u64 {
        self.entry.changing.lock().base
    }

    /// Whether bytes moved since it was (re)started, beyond those that were
    /// there.
    pub(crate) fn has_moved(&self) -> bool {
        self.entry.done.load(Ordering::Relaxed) > self.entry.changing.lock().base
    }

    /// Asks it to stop, and cuts the connection that its bytes go over.
    pub(crate) fn give_up(&self) {
        self.entry.cancelled.cancel();
        self.entry.cut();
        self.all.tell();
    }

    /// Why it moves.
    pub(crate) fn kind(&self) -> TransferKind {
        self.entry.kind
    }

    /// What moves.
    pub(crate) fn name(&self) -> &str {
        &self.entry.name
    }

    /// Bytes that count so far.
    pub(crate) fn done(&self) -> u64 {
        self.entry.done.load(Ordering::Relaxed)
    }

    /// Bytes in all.
    pub(crate) fn total(&self) -> u64 {
        self.entry.total.load(Ordering::Relaxed)
    }

    /// How long it has been under way.
    pub(crate) fn age(&self) -> Duration {
        self.entry.began.elapsed()
    }

    /// Names a node as another side, once.
    pub(crate) fn with_peer(&self, peer: SocketAddr) {
        self.with_party(Party::Node(peer));
    }

    /// Names another side, once.
    pub(crate) fn with_party(&self, peer: Party) {
        let mut changing = self.entry.changing.lock();
        if !changing.peers.iter().any(|(known, _)| *known == peer) {
            changing.peers.push((peer, 0));
        }
    }

    /// Counts bytes that moved and were verified, from or to this side.
    pub(crate) fn advance_with(&self, peer: SocketAddr, bytes: u64) {
        self.advance(bytes);
        let (mut changing, peer) = (self.entry.changing.lock(), Party::Node(peer));
        match changing.peers.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, sum)) => *sum += bytes,
            None => changing.peers.push((peer, bytes)),
        }
    }

    /// Of a directory: how many of its files are done, and the bytes of all.
    pub(crate) fn count_files(&self, files: FileCount, done: u64, total: u64) {
        self.entry.done.store(done, Ordering::Relaxed);
        self.entry.total.store(total, Ordering::Relaxed);
        self.entry.changing.lock().files = Some(files);
    }

    /// All bytes moved; copies are being made.
    pub(crate) fn securing(&self, copies: u8, wanted: u8) {
        self.entry.changing.lock().state = TransferState::Securing { copies, wanted };
    }

    /// Whether its user wants it to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.entry.cancelled.is_cancelled()
    }

    /// Whether its user does not want what came so far either: it was
    /// cancelled, and not only ended with its process.
    pub(crate) fn is_unwanted(&self) -> bool {
        self.is_cancelled() && !self.entry.is_kept()
    }

    /// How a transfer ends that was stopped; `kept`: what was done, and how to go on.
    pub(crate) fn stopped(&self, kept: Option<String>) -> CommandError {
        let by = if self.is_unwanted() { StoppedBy::User } else { StoppedBy::Process };
        CommandError::Stopped { by, kept }
    }

    /// Waits until its user wants it to stop.
    pub(crate) async fn cancelled(&self) {
        self.entry.cancelled.cancelled().await;
    }

    /// Names the connection that its bytes come or go over: cancelled or paused,
    /// the transfer waits for it no longer.
    pub(crate) fn goes_over(&self, connection: ShutdownHandle) {
        let mut changing = self.entry.changing.lock();
        if self.is_cancelled() || changing.paused {
            connection.cut();
        }
        changing.connection = Some(connection);
    }

    /// Ends it.
    pub(crate) fn end(self, result: Result<(), CommandError>) {
        let state = match result {
            Ok(()) => TransferState::Done,
            Err(_) if self.is_cancelled() => TransferState::Cancelled,
            Err(why) => TransferState::Failed(why.to_string()),
        };
        self.entry.changing.lock().state = state;
        self.finish();
    }

    /// Ends one that another node began and wants no more of.
    pub(crate) fn hung_up(self) {
        self.entry.changing.lock().state = TransferState::Cancelled;
        self.finish();
    }

    fn finish(&self) {
        {
            let mut changing = self.entry.changing.lock();
            if changing.ended.is_some() {
                return;
            }
            let now = Instant::now();
            changing.ended = Some(now);
            changing.connection = None;
            changing.paused = false;
            changing.sourceless = false;
            let span = now.saturating_duration_since(self.entry.began).as_secs_f64().max(0.001);
            let done = self.entry.done.load(Ordering::Relaxed).saturating_sub(changing.base);
            changing.rate = (done as f64 / span) as u64;
            if matches!(changing.state, TransferState::Running | TransferState::Securing { .. }) {
                changing.state = TransferState::Failed("interrupted".into());
            }
        }
        let mut list = self.all.list.lock();
        list.give_up_turn(self.entry.number);
        self.all.tell();
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_ends_once_and_a_dropped_one_has_failed() {
        let transfers = Transfers::new(Instant::now(), 2);
        let first = transfers.open(TransferKind::Upload, "a", 10);
        let second = transfers.open(TransferKind::Download, "b", 10);
        first.advance(10);
        first.end(Ok(()));
        assert!(transfers.any_running());
        drop(second);
        assert!(!transfers.any_running());
        let rows = transfers.rows();
        assert_eq!(rows[1].state, TransferState::Done);
        assert_eq!(rows[1].done, 10);
        assert!(matches!(rows[0].state, TransferState::Failed(_)));
    }

    #[test]
    fn a_single_other_side_has_all_the_bytes_and_of_several_each_its_own() {
        let transfers = Transfers::new(Instant::now(), 2);
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let node = |port| Party::Node(at(port));
        let served = transfers.open(TransferKind::Serve, "a", 10);
        served.with_peer(at(1));
        served.goes_on(10, 3);
        served.advance(4);
        assert_eq!(transfers.rows()[0].peers, [(node(1), 4)]);
        let got = transfers.open(TransferKind::Download, "b", 10);
        got.with_peer(at(1));
        got.advance_with(at(2), 6);
        assert_eq!(transfers.rows()[0].peers, [(node(1), 0), (node(2), 6)]);
    }

    #[test]
    fn a_transfer_that_never_began_leaves_no_row() {
        let transfers = Transfers::new(Instant::now(), 2);
        let kept = transfers.open(TransferKind::Download, "a", 10);
        transfers.forget(transfers.open(TransferKind::Download, "b", 0));
        let names: Vec<String> = transfers.rows().into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["a"]);
        kept.end(Ok(()));
    }

    #[test]
    fn only_a_running_transfer_can_be_cancelled() {
        let transfers = Transfers::new(Instant::now(), 2);
        let transfer = transfers.open(TransferKind::Download, "a", 10);
        assert_eq!(transfers.cancel(1).as_deref(), Ok("a"));
        assert!(transfer.is_cancelled());
        transfer.end(Err(CommandError::Stopping));
        assert_eq!(transfers.rows()[0].state, TransferState::Cancelled);
        assert!(transfers.cancel(1).is_err());
        assert!(transfers.cancel(7).is_err());
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_gets_it_when_another_ends_and_can_be_cancelled() {
        let transfers = Transfers::new(Instant::now(), 1);
        let first = transfers.open(TransferKind::Upload, "a", 10);
        let second = transfers.open(TransferKind::Download, "b", 10);
        let third = transfers.open(TransferKind::Download, "c", 10);
        first.turn().await.expect("nobody else is there");
        let states = || transfers.rows().into_iter().map(|row| row.state).collect::<Vec<_>>();
        let (waiting, impatient) = (second.turn(), third.turn());
        tokio::pin!(waiting, impatient);
        assert!(futures_util::poll!(&mut waiting).is_pending());
        assert!(futures_util::poll!(&mut impatient).is_pending());
        assert_eq!(
            states(),
            [TransferState::Queued, TransferState::Queued, TransferState::Running]
        );
        assert_eq!(transfers.cancel(3).as_deref(), Ok("c"));
        assert_eq!(impatient.await, Err(Cancelled));
        first.end(Ok(()));
        assert_eq!(waiting.await, Ok(()));
        assert_eq!(states()[1], TransferState::Running);
    }

    #[tokio::test]
    async fn a_paused_transfer_lets_others_run_and_queues_again_when_it_goes_on() {
        let transfers = Transfers::new(Instant::now(), 1);
        let first = transfers.open(TransferKind::Download, "a", 10);
        let second = transfers.open(TransferKind::Download, "b", 10);
        first.turn().await.expect("nobody else is there");
        assert_eq!(transfers.pause(1), Ok("a".to_owned()));
        assert!(transfers.pause(1).expect_err("it is").to_string().contains("resume 1"));
        assert!(first.is_held());
        second.turn().await.expect("the first one waits");
        assert_eq!(transfers.resume(1), Ok("a".to_owned()));
        assert_eq!(transfers.rows()[1].state, TransferState::Queued);
        let waiting = std::thread::spawn(move || (first.wait_while_held(), first));
        second.end(Ok(()));
        let (result, _first) = waiting.join().expect("it goes on");
        assert_eq!(result, Ok(()));
        assert!(transfers.resume(1).expect_err("it runs").to_string().contains("not paused"));
        assert!(transfers.resume(7).is_err() && transfers.pause(7).is_err());
    }

    #[test]
    fn whoever_waits_while_paused_is_freed_by_cancelling() {
        let transfers = Transfers::new(Instant::now(), 1);
        let transfer = transfers.open(TransferKind::Upload, "a", 10);
        transfers.pause(1).expect("it runs");
        let waiting = std::thread::spawn(move || transfer.wait_while_held());
        transfers.cancel(1).expect("it is under way");
        assert_eq!(waiting.join().expect("it ends"), Err(Cancelled));
    }

    #[test]
    fn only_what_the_user_began_can_be_paused() {
        let transfers = Transfers::new(Instant::now(), 1);
        for kind in
            [TransferKind::Copy, TransferKind::Serve, TransferKind::Receive, TransferKind::Hash]
        {
            let transfer = transfers.open(kind, "a", 10);
            let number = transfers.rows()[0].number;
            let why = transfers.pause(number).expect_err("refused").to_string();
            assert!(why.contains("cannot be paused"), "{why}");
            assert!(!transfer.is_held());
        }
        let put = transfers.open(TransferKind::Upload, "b", 10);
        put.securing(1, 3);
        assert!(
            transfers.pause(5).expect_err("too late").to_string().contains("copies are being made")
        );
    }

    #[test]
    fn what_is_said_to_a_directory_holds_for_its_files() {
        let transfers = Transfers::new(Instant::now(), 4);
        let whole = transfers.open(TransferKind::Upload, "dir", 10);
        let part = transfers.open_part(&whole, "dir/a", 4);
        whole.count_files(FileCount { done: 1, failed: 0, total: 3 }, 6, 10);
        assert_eq!(transfers.rows()[0].part_of, Some(1));
        assert_eq!(transfers.rows()[1].files.map(|files| files.total), Some(3));
        transfers.pause(1).expect("it runs");
        let later = transfers.open_part(&whole, "dir/b", 4);
        assert!(part.is_held() && later.is_held());
        transfers.resume(1).expect("it is paused");
        assert!(!part.is_held() && !later.is_held());
        transfers.cancel(1).expect("it runs");
        assert!(part.is_cancelled() && later.is_cancelled() && whole.is_cancelled());
    }
}
