//! The transfers of a node: numbers, progress, cancelling.
//!
//! Whoever moves bytes holds a [`Transfer`] and counts into it; the snapshot
//! reads the counts. Ended transfers stay visible for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::view::{TransferKind, TransferRow, TransferState};

use super::cuts::Cutter;

/// How long an ended transfer stays in the list.
const SHOWN_AFTER: Duration = Duration::from_secs(60);

/// Ended transfers in the list at the most; the oldest go first.
const SHOWN_AT_MOST: usize = 50;

/// Rates are averaged over about this time.
const RATE_WINDOW: Duration = Duration::from_secs(1);

/// All transfers of one node. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Transfers {
    list: Arc<Mutex<List>>,
    started: Instant,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    entries: BTreeMap<u64, Arc<Entry>>,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    name: String,
    kind: TransferKind,
    total: AtomicU64,
    done: AtomicU64,
    /// Of those, what was here already.
    skipped: AtomicU64,
    cancelled: CancellationToken,
    /// What came so far shall stay for another time.
    kept: AtomicBool,
    began: Instant,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    state: TransferState,
    peers: Vec<(SocketAddr, u64)>,
    connection: Option<Cutter>,
    ended: Option<Instant>,
    /// Where the rate was measured last.
    mark: (Instant, u64),
    rate: u64,
}

/// One transfer, held by whoever moves its bytes. Dropped without
/// [`Transfer::end`], it counts as failed.
#[derive(Debug)]
pub(super) struct Transfer {
    entry: Arc<Entry>,
}

impl Transfers {
    /// `started`: the node's start, the zero of all times in the rows.
    pub(super) fn new(started: Instant) -> Transfers {
        Transfers { list: Arc::default(), started }
    }

    /// Opens a transfer of `total` bytes.
    pub(super) fn open(&self, kind: TransferKind, name: &str, total: u64) -> Transfer {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.next += 1;
        let entry = Arc::new(Entry::new(list.next, kind, name, total));
        list.entries.insert(entry.number, Arc::clone(&entry));
        Transfer { entry }
    }

    /// Asks a running transfer to stop. Its name; `None`: no such transfer runs.
    pub(super) fn cancel(&self, number: u64) -> Option<String> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = list.entries.get(&number)?;
        let changing = entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if changing.ended.is_some() {
            return None;
        }
        entry.cancelled.cancel();
        if let Some(connection) = &changing.connection {
            connection.cut();
        }
        Some(entry.name.clone())
    }

    /// Takes a transfer off the list: it turned out that nothing is to be moved.
    pub(super) fn forget(&self, transfer: Transfer) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entries.remove(&transfer.entry.number);
    }

    /// Asks all running transfers to stop.
    pub(super) fn cancel_all(&self) {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entries.values().for_each(|entry| entry.cancelled.cancel());
    }

    /// Ends all running transfers with their node: what came so far stays for
    /// another time.
    pub(super) fn stop_all(&self) {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entries.values().for_each(|entry| {
            // One that its user has cancelled stays so.
            if !entry.cancelled.is_cancelled() {
                entry.kept.store(true, Ordering::Relaxed);
            }
            entry.cancelled.cancel();
        });
    }

    /// Whether any transfer is under way.
    pub(super) fn any_running(&self) -> bool {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.entries.values().any(|entry| {
            entry.changing.lock().unwrap_or_else(PoisonError::into_inner).ended.is_none()
        })
    }

    /// The rows for a snapshot, newest first; forgets what was shown long
    /// enough.
    pub(super) fn rows(&self) -> Vec<TransferRow> {
        let now = Instant::now();
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = 0;
        let mut rows = Vec::new();
        let mut old = Vec::new();
        for (number, entry) in list.entries.iter().rev() {
            let mut changing = entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = changing.ended {
                ended += 1;
                if ended > SHOWN_AT_MOST || now.duration_since(at) > SHOWN_AFTER {
                    old.push(*number);
                    continue;
                }
            }
            rows.push(entry.row(&mut changing, now, self.started));
        }
        for number in old {
            list.entries.remove(&number);
        }
        rows
    }
}

impl Entry {
    fn new(number: u64, kind: TransferKind, name: &str, total: u64) -> Entry {
        let now = Instant::now();
        Entry {
            number,
            name: name.to_owned(),
            kind,
            total: AtomicU64::new(total),
            done: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            cancelled: CancellationToken::new(),
            kept: AtomicBool::new(false),
            began: now,
            changing: Mutex::new(Changing {
                state: TransferState::Running,
                peers: Vec::new(),
                connection: None,
                ended: None,
                mark: (now, 0),
                rate: 0,
            }),
        }
    }

    fn row(&self, changing: &mut Changing, now: Instant, started: Instant) -> TransferRow {
        let done = self.done.load(Ordering::Relaxed);
        let (at, before) = changing.mark;
        let span = changing.ended.unwrap_or(now).saturating_duration_since(at);
        if changing.ended.is_none()
            && (span >= RATE_WINDOW || changing.rate == 0)
            && !span.is_zero()
        {
            changing.rate = (done.saturating_sub(before) as f64 / span.as_secs_f64()) as u64;
            if span >= RATE_WINDOW {
                changing.mark = (now, done);
            }
        }
        let millis = |at: Instant| at.saturating_duration_since(started).as_millis() as u64;
        TransferRow {
            number: self.number,
            name: self.name.clone(),
            kind: self.kind,
            state: changing.state.clone(),
            done,
            total: self.total.load(Ordering::Relaxed),
            rate: changing.rate,
            peers: changing.peers.clone(),
            started_ms: millis(self.began),
            ended_ms: changing.ended.map(millis),
            files: None,
            part_of: None,
        }
    }
}

impl Transfer {
    /// Part of another transfer: in no list.
    pub(super) fn within(name: &str) -> Transfer {
        Transfer { entry: Arc::new(Entry::new(0, TransferKind::Copy, name, 0)) }
    }

    /// Counts bytes that moved and were verified.
    pub(super) fn advance(&self, bytes: u64) {
        self.entry.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Starts counting from zero again (another phase, another attempt).
    pub(super) fn restart(&self, total: u64) {
        self.goes_on(total, 0);
    }

    /// Starts counting from what is here already: it came in an earlier attempt
    /// and says nothing of the rate.
    pub(super) fn goes_on(&self, total: u64, here: u64) {
        self.entry.done.store(here, Ordering::Relaxed);
        self.entry.skipped.store(here, Ordering::Relaxed);
        self.entry.total.store(total, Ordering::Relaxed);
        let mut changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        changing.mark = (Instant::now(), here);
    }

    /// Whether bytes moved since it was (re)started, beyond those that were
    /// there.
    pub(super) fn has_moved(&self) -> bool {
        let done = self.entry.done.load(Ordering::Relaxed);
        done > self.entry.skipped.load(Ordering::Relaxed)
    }

    /// Asks it to stop, and cuts the connection that its bytes go over.
    pub(super) fn give_up(&self) {
        self.entry.cancelled.cancel();
        let changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connection) = &changing.connection {
            connection.cut();
        }
    }

    /// Names another side, once.
    pub(super) fn with_peer(&self, peer: SocketAddr) {
        let mut changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if !changing.peers.iter().any(|(known, _)| *known == peer) {
            changing.peers.push((peer, 0));
        }
    }

    /// Counts bytes that moved and were verified, from or to this side.
    pub(super) fn advance_with(&self, peer: SocketAddr, bytes: u64) {
        self.advance(bytes);
        let mut changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match changing.peers.iter_mut().find(|(known, _)| *known == peer) {
            Some((_, sum)) => *sum += bytes,
            None => changing.peers.push((peer, bytes)),
        }
    }

    /// All bytes moved; copies are being made.
    pub(super) fn securing(&self, copies: u8, wanted: u8) {
        self.set(TransferState::Securing { copies, wanted });
    }

    /// Whether its user wants it to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        self.entry.cancelled.is_cancelled()
    }

    /// Whether its user does not want what came so far either: it was
    /// cancelled, and not only ended with the node.
    pub(super) fn is_unwanted(&self) -> bool {
        self.is_cancelled() && !self.entry.kept.load(Ordering::Relaxed)
    }

    /// Waits until its user wants it to stop.
    pub(super) async fn cancelled(&self) {
        self.entry.cancelled.cancelled().await;
    }

    /// Names the connection that its bytes come or go over: cancelled, the
    /// transfer waits for it no longer.
    pub(super) fn goes_over(&self, connection: Cutter) {
        let mut changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_cancelled() {
            connection.cut();
        }
        changing.connection = Some(connection);
    }

    /// Ends it.
    pub(super) fn end(self, result: Result<(), String>) {
        let state = match result {
            Ok(()) => TransferState::Done,
            Err(_) if self.is_cancelled() => TransferState::Cancelled,
            Err(why) => TransferState::Failed(why),
        };
        self.set(state);
        self.finish();
    }

    fn set(&self, state: TransferState) {
        self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner).state = state;
    }

    fn finish(&self) {
        let mut changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if changing.ended.is_some() {
            return;
        }
        let now = Instant::now();
        changing.ended = Some(now);
        changing.connection = None;
        let span = now.saturating_duration_since(self.entry.began).as_secs_f64().max(0.001);
        let done = self.entry.done.load(Ordering::Relaxed);
        let moved = done.saturating_sub(self.entry.skipped.load(Ordering::Relaxed));
        changing.rate = (moved as f64 / span) as u64;
        if matches!(changing.state, TransferState::Running | TransferState::Securing { .. }) {
            changing.state = TransferState::Failed("interrupted".into());
        }
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
        let transfers = Transfers::new(Instant::now());
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
    fn a_transfer_that_never_began_leaves_no_row() {
        let transfers = Transfers::new(Instant::now());
        let kept = transfers.open(TransferKind::Download, "a", 10);
        transfers.forget(transfers.open(TransferKind::Download, "b", 0));
        let names: Vec<String> = transfers.rows().into_iter().map(|row| row.name).collect();
        assert_eq!(names, ["a"]);
        kept.end(Ok(()));
    }

    #[test]
    fn only_a_running_transfer_can_be_cancelled() {
        let transfers = Transfers::new(Instant::now());
        let transfer = transfers.open(TransferKind::Download, "a", 10);
        assert_eq!(transfers.cancel(1).as_deref(), Some("a"));
        assert!(transfer.is_cancelled());
        transfer.end(Err("stopped".into()));
        assert_eq!(transfers.rows()[0].state, TransferState::Cancelled);
        assert_eq!(transfers.cancel(1), None);
        assert_eq!(transfers.cancel(7), None);
    }
}
