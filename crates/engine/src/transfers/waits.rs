//! What a transfer waits for: its turn, its user who paused it, a source.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Cancelled, Entry, HELD_LOOK, Transfer};

/// How far a transfer has come, for another one that waits for its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Progress(Arc<Entry>);

impl Progress {
    /// Grows as long as bytes move.
    pub(crate) fn bytes(&self) -> u64 {
        let bytes = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        bytes(&self.0.moved).saturating_add(bytes(&self.0.done))
    }
}

impl Transfer {
    /// How far it has come.
    pub(crate) fn progress(&self) -> Progress {
        Progress(Arc::clone(&self.entry))
    }

    /// Waits for its turn among the transfers of the node's user; it ends with
    /// the transfer, or when that is paused.
    pub(crate) async fn turn(&self) -> Result<(), Cancelled> {
        {
            let mut list = self.all.list.lock();
            let mut changing = self.entry.changing.lock();
            changing.queues = true;
            let held = changing.paused || !list.turns.ask(self.entry.number);
            self.entry.held.store(held, Ordering::Release);
        }
        self.released().await
    }

    /// None of its sources delivers any more: it waits for one, and whose turn it
    /// is instead need not.
    pub(crate) fn lacks_a_source(&self) {
        let mut list = self.all.list.lock();
        self.entry.changing.lock().sourceless = true;
        list.give_up_turn(self.entry.number);
        self.all.tell();
    }

    /// It has a source again: it goes on, when it is its turn.
    pub(crate) fn has_a_source(&self) {
        let mut list = self.all.list.lock();
        let mut changing = self.entry.changing.lock();
        if std::mem::take(&mut changing.sourceless) && changing.queues {
            let held = changing.paused || !list.turns.ask(self.entry.number);
            self.entry.held.store(held, Ordering::Release);
        }
    }

    /// How long it waits for a source; `None`: until it is cancelled.
    pub(crate) fn patience(&self) -> Option<Duration> {
        self.entry.patience
    }

    /// Whether it must move nothing for now: it is paused by its user, or it is not
    /// its turn.
    pub(crate) fn is_held(&self) -> bool {
        self.entry.is_held()
    }

    /// Waits while it is held. Blocks.
    pub(crate) fn wait_while_held(&self) -> Result<(), Cancelled> {
        if !self.is_held() && !self.is_cancelled() {
            return Ok(());
        }
        let mut list = self.all.list.lock();
        while self.is_held() && !self.is_cancelled() {
            self.all.changed.wait_for(&mut list, HELD_LOOK);
        }
        if self.is_cancelled() { Err(Cancelled) } else { Ok(()) }
    }

    /// The same for a task.
    pub(crate) async fn released(&self) -> Result<(), Cancelled> {
        loop {
            let told = self.all.told.notified();
            tokio::pin!(told);
            // From here on no wake-up is missed.
            told.as_mut().enable();
            if self.is_cancelled() {
                return Err(Cancelled);
            }
            if !self.is_held() {
                return Ok(());
            }
            tokio::select! {
                () = told => {}
                () = self.cancelled() => return Err(Cancelled),
            }
        }
    }
}
