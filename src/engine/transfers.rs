//! The transfers of a node: numbers, progress, cancelling.
//!
//! Whoever moves bytes holds a [`Transfer`] and counts into it; the snapshot
//! reads the counts. Ended transfers stay visible for a while.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::view::{FileCount, TransferKind, TransferRow, TransferState};

use super::cuts::Cutter;
use super::files::Phases;

/// How long an ended transfer stays in the list.
const SHOWN_AFTER: Duration = Duration::from_secs(60);

/// Ended transfers in the list at the most; the oldest go first.
const SHOWN_AT_MOST: usize = 50;

/// The phase of a put in which its bytes are only read.
pub(super) const HASHING: &str = "hashing";

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
    part_of: Option<u64>,
    total: AtomicU64,
    done: AtomicU64,
    cancelled: CancellationToken,
    began: Instant,
    changing: Mutex<Changing>,
}

#[derive(Debug)]
struct Changing {
    state: TransferState,
    /// What it is at, for people; empty before it says so.
    phase: String,
    files: Option<FileCount>,
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
        self.add(kind, name, total, None)
    }

    /// Opens the transfer of one file of a directory: cancelled with it.
    pub(super) fn open_part(&self, whole: &Transfer, name: &str, total: u64) -> Transfer {
        self.add(whole.entry.kind, name, total, Some(whole))
    }

    fn add(
        &self,
        kind: TransferKind,
        name: &str,
        total: u64,
        whole: Option<&Transfer>,
    ) -> Transfer {
        let cancelled = whole.map(|whole| whole.entry.cancelled.child_token());
        let now = Instant::now();
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.next += 1;
        let entry = Arc::new(Entry {
            number: list.next,
            name: name.to_owned(),
            kind,
            part_of: whole.map(|whole| whole.entry.number),
            total: AtomicU64::new(total),
            done: AtomicU64::new(0),
            cancelled: cancelled.unwrap_or_default(),
            began: now,
            changing: Mutex::new(Changing {
                state: TransferState::Running,
                phase: String::new(),
                files: None,
                peers: Vec::new(),
                connection: None,
                ended: None,
                mark: (now, 0),
                rate: 0,
            }),
        });
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
        for part in list.entries.values().filter(|part| part.part_of == Some(number)) {
            let changing = part.changing.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(connection) = &changing.connection {
                connection.cut();
            }
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
        self.shown().into_iter().map(|(row, _)| row).collect()
    }

    /// The rows, and what each transfer is at: "hashing", "sending"…
    pub(super) fn shown(&self) -> Vec<(TransferRow, String)> {
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
            let row = entry.row(&mut changing, now, self.started);
            rows.push((row, changing.phase.clone()));
        }
        for number in old {
            list.entries.remove(&number);
        }
        add_parts(&mut rows);
        rows
    }
}

/// Adds to each directory what its files at work have moved so far; what it
/// counts itself is those that ended.
fn add_parts(rows: &mut [(TransferRow, String)]) {
    let mut moving: BTreeMap<u64, u64> = BTreeMap::new();
    for (row, phase) in rows.iter() {
        if let Some(whole) = row.part_of
            && row.ended_ms.is_none()
            // Bytes that are only read here are not on their way yet.
            && phase != HASHING
        {
            *moving.entry(whole).or_default() += row.done;
        }
    }
    for (row, _) in rows {
        if let Some(more) = moving.get(&row.number) {
            row.done = row.done.saturating_add(*more).min(row.total.max(row.done));
        }
    }
}

impl Entry {
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
            files: changing.files,
            part_of: self.part_of,
        }
    }
}

impl Phases for Transfer {
    fn phase(&self, phase: &str) {
        let mut changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        phase.clone_into(&mut changing.phase);
    }
}

impl Transfer {
    /// Counts bytes that moved and were verified.
    pub(super) fn advance(&self, bytes: u64) {
        self.entry.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Starts counting from zero again (another phase, another attempt).
    pub(super) fn restart(&self, total: u64) {
        self.entry.done.store(0, Ordering::Relaxed);
        self.entry.total.store(total, Ordering::Relaxed);
        let mut changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        changing.mark = (Instant::now(), 0);
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

    /// Of a directory: how many of its files are done, and the bytes of those
    /// that are and of all.
    pub(super) fn count_files(&self, files: FileCount, done: u64, total: u64) {
        self.entry.done.store(done, Ordering::Relaxed);
        self.entry.total.store(total, Ordering::Relaxed);
        let mut changing = self.entry.changing.lock().unwrap_or_else(PoisonError::into_inner);
        changing.files = Some(files);
    }

    /// All bytes moved; copies are being made.
    pub(super) fn securing(&self, copies: u8, wanted: u8) {
        self.set(TransferState::Securing { copies, wanted });
    }

    /// Whether its user wants it to stop.
    pub(super) fn is_cancelled(&self) -> bool {
        self.entry.cancelled.is_cancelled()
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
        changing.rate = (self.entry.done.load(Ordering::Relaxed) as f64 / span) as u64;
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
