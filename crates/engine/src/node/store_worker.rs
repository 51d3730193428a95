//! The core's store operations, carried out: a record made durable here, its
//! content fetched first where need be; a record given up.
//!
//! What takes nothing but the disk is done by one task, all that has come
//! meanwhile together: one thread, one sync and one word to the hub for many
//! records. What has to be fetched first gets a thread of its own; so does what
//! a batch leaves to be removed, for a large file takes a while to go.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use chordal_core::chord::{Slot, StoreFailure, StoreOp, Ticket};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{Obstacle, Record};
use chordal_store::{Deed, Leftover, StoreError};
use chordal_view::TransferKind;

use crate::data::Data;
use crate::data::fetch::{FetchError, Fetcher};
use crate::data::local_copy;
use crate::inputs::{Done, Input};
use crate::net::handle::Net;

/// Operations that are carried out together at most: a bound of what is in
/// memory at once, as small contents are.
const AT_ONCE: usize = 256;

/// Batches of which leftovers are being removed at a time: each has a thread.
const SWEEPS_AT_ONCE: usize = 4;

/// An operation of the core. How many wait at a time the core bounds.
#[derive(Debug)]
pub(crate) struct Job {
    under_way: UnderWay,
    op: StoreOp,
}

/// The position that wants an operation, and its ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Whose(Slot, Ticket);

/// The operations that have not ended, each with what stops it if it fetches
/// something. Cheap to clone.
#[derive(Clone, Debug, Default)]
struct Operations {
    all: Arc<Mutex<BTreeMap<Whose, CancellationToken>>>,
}

/// An operation, which is listed while this lives.
#[derive(Debug)]
struct UnderWay {
    whose: Whose,
    ceased: CancellationToken,
    operations: Operations,
}

impl Operations {
    fn cease(&self, slot: Slot, ticket: Ticket) {
        if let Some(ceased) = self.all.lock().get(&Whose(slot, ticket)) {
            ceased.cancel();
        }
    }

    fn begin(&self, whose: Whose) -> UnderWay {
        let ceased = CancellationToken::new();
        self.all.lock().insert(whose, ceased.clone());
        UnderWay { whose, ceased, operations: self.clone() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.operations.all.lock().remove(&self.whose);
    }
}

/// What became of a batch.
#[derive(Default)]
struct Batch {
    done: Vec<Done>,
    /// Contents that have to come first.
    absent: Vec<(UnderWay, Record, Vec<Peer>, bool)>,
    /// Reported only after their bytes are free for others; with a name,
    /// they stay for a while under it.
    left: Vec<(Whose, Leftover, Option<FileName>)>,
}

impl Whose {
    const fn done(self, result: Result<(), StoreFailure>) -> Done {
        Done { slot: self.0, ticket: self.1, result }
    }

    fn cut_off(self) -> Done {
        self.done(Err(StoreFailure::Disk("the store operation was cut off".into())))
    }
}

/// The hub's end: starts and ceases operations.
#[derive(Debug)]
pub(crate) struct StoreQueue {
    operations: Operations,
    jobs: mpsc::UnboundedSender<Job>,
}

impl StoreQueue {
    /// A store_queue, and where [`run`] takes its jobs from.
    pub(crate) fn new() -> (StoreQueue, mpsc::UnboundedReceiver<Job>) {
        let (jobs, taken) = mpsc::unbounded_channel();
        (StoreQueue { operations: Operations::default(), jobs }, taken)
    }

    /// Starts an operation; its end is an input of the hub.
    pub(crate) fn start(&self, slot: Slot, ticket: Ticket, op: StoreOp) {
        // Only a node that stops takes none, and it asks for no answer.
        let under_way = self.operations.begin(Whose(slot, ticket));
        let _ = self.jobs.send(Job { under_way, op });
    }

    /// What an operation fetches is not needed any more. One that has ended or fetches
    /// nothing takes no notice.
    pub(crate) fn cease(&self, slot: Slot, ticket: Ticket) {
        self.operations.cease(slot, ticket);
    }
}

/// Carries out operations until the node stops.
pub(crate) async fn run(
    data: Data,
    hub: mpsc::Sender<Input>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
) {
    let sweeping = Arc::new(Semaphore::new(SWEEPS_AT_ONCE));
    loop {
        let mut batch = Vec::new();
        let taken = tokio::select! {
            () = data.net.stop.cancelled() => return,
            taken = jobs.recv_many(&mut batch, AT_ONCE) => taken,
        };
        if taken == 0 {
            return;
        }
        let whose: Vec<Whose> = batch.iter().map(|job| job.under_way.whose).collect();
        let working = data.clone();
        let work = data.net.tasks.spawn_blocking(move || carry_out(&working, batch));
        let Batch { done, absent, left } = work.await.unwrap_or_else(|_| Batch {
            done: whose.into_iter().map(Whose::cut_off).collect(),
            ..Batch::default()
        });
        if !done.is_empty() {
            let _ = hub.send(Input::Stored(done)).await;
        }
        for (under_way, record, sources, spare) in absent {
            let (working, whose) = (data.clone(), under_way.whose);
            let work = move || {
                let ceased = &under_way.ceased;
                vec![whose.done(fetch_and_keep(&working, &record, &sources, spare, ceased))]
            };
            data.net.tasks.spawn(aside(data.net.clone(), hub.clone(), vec![whose], None, work));
        }
        if !left.is_empty() {
            let working = data.clone();
            let whose = left.iter().map(|(whose, ..)| *whose).collect();
            let work = move || {
                let sweep = |(whose, leftover, spared): (Whose, _, Option<FileName>)| {
                    match spared {
                        Some(name) => working.store.spare(leftover, &name),
                        None => working.store.sweep(leftover),
                    }
                    whose.done(Ok(()))
                };
                left.into_iter().map(sweep).collect()
            };
            data.net.tasks.spawn(aside(
                data.net.clone(),
                hub.clone(),
                whose,
                Some(Arc::clone(&sweeping)),
                work,
            ));
        }
    }
}

/// Has something done on a thread, when it is its turn, and tells the hub.
async fn aside(
    net: Net,
    hub: mpsc::Sender<Input>,
    whose: Vec<Whose>,
    turns: Option<Arc<Semaphore>>,
    work: impl FnOnce() -> Vec<Done> + Send + 'static,
) {
    let turn = match turns {
        Some(turns) => turns.acquire_owned().await.ok(),
        None => None,
    };
    let done = net.tasks.spawn_blocking(work).await;
    drop(turn);
    let done = done.unwrap_or_else(|_| whose.into_iter().map(Whose::cut_off).collect());
    let _ = hub.send(Input::Stored(done)).await;
}

/// Does what takes nothing but the disk.
fn carry_out(data: &Data, jobs: Vec<Job>) -> Batch {
    let deed = |job: &Job| match &job.op {
        StoreOp::Keep { record, .. } => Deed::Commit(record.clone()),
        StoreOp::Drop { name, version, .. } => {
            Deed::Forget { name: name.clone(), version: *version }
        }
    };
    if let Some(why) = data.disk.why() {
        let why =
            StoreFailure::Disk(format!("{} cannot store it: {why}", data.net.me().me.address()));
        let refused = |job: Job| job.under_way.whose.done(Err(why.clone()));
        let done = jobs.into_iter().map(refused).collect();
        return Batch { done, ..Batch::default() };
    }
    let deeds: Vec<Deed> = jobs.iter().map(deed).collect();
    let mut batch = Batch::default();
    for (Job { under_way, op }, result) in jobs.into_iter().zip(data.store.change(&deeds)) {
        let whose = under_way.whose;
        match (result, op) {
            (Ok(leftover), _) if leftover.is_nothing() => batch.done.push(whose.done(Ok(()))),
            (Ok(leftover), op) => batch.left.push((whose, leftover, spared(op))),
            (Err(StoreError::NoBlob(_)), StoreOp::Keep { record, sources, spare }) => {
                batch.absent.push((under_way, record, sources, spare));
            }
            (Err(error), _) => batch.done.push(whose.done(Err(refused(data, &error)))),
        }
    }
    batch
}

/// The name under which an operation's leftover is kept for a while, if it is.
fn spared(op: StoreOp) -> Option<FileName> {
    match op {
        StoreOp::Keep { record, spare: true, .. } => Some(record.name),
        StoreOp::Drop { name, spare: true, .. } => Some(name),
        StoreOp::Keep { .. } | StoreOp::Drop { .. } => None,
    }
}

fn fetch_and_keep(
    data: &Data,
    record: &Record,
    sources: &[Peer],
    spare: bool,
    ceased: &CancellationToken,
) -> Result<(), StoreFailure> {
    let commit = || {
        if !spare {
            return data.store.commit(record);
        }
        let changed = data.store.change(&[Deed::Commit(record.clone())]);
        changed
            .into_iter()
            .try_for_each(|left| left.map(|left| data.store.spare(left, &record.name)))
    };
    fetch_content(data, record, sources, ceased)?;
    match commit() {
        // Another name with this content was given up in between.
        Err(StoreError::NoBlob(_)) => {
            fetch_content(data, record, sources, ceased)?;
            commit().map_err(|error| refused(data, &error))
        }
        result => result.map_err(|error| refused(data, &error)),
    }
}

/// How the core is told that the disk refused: another node takes the copy.
fn refused(data: &Data, error: &StoreError) -> StoreFailure {
    let me = data.net.me().me.address();
    match data.disk.obstacle(error) {
        Some(Obstacle::NoRoom) => StoreFailure::Full(format!("{me} has no room: {error}")),
        // No file descriptor: nothing was asked of the disk.
        Some(Obstacle::NoBytes) => StoreFailure::NoSource,
        _ => StoreFailure::Disk(format!("{me} cannot store it: {error}")),
    }
}

/// What does not fit is not asked for, and its attempts are not shown: on a
/// full disk they are made again and again. What unfinished uploads left can give
/// way; then the attempt shows whether there is room.
fn has_no_room(data: &Data, size: u64) -> Option<StoreFailure> {
    let room = data.store.room().ok()?;
    if room.left() >= size || data.store.unfinished_bytes() > 0 {
        return None;
    }
    let (me, left) = (data.net.me().me.address(), room.left());
    Some(StoreFailure::Full(format!("{me} has no room: {size} bytes do not fit into {left}")))
}

/// Brings a content into the store: from where it lies on this machine, and the rest
/// from its sources.
fn fetch_content(
    data: &Data,
    record: &Record,
    sources: &[Peer],
    ceased: &CancellationToken,
) -> Result<(), StoreFailure> {
    let size = record.size();
    if let Some(why) = has_no_room(data, size) {
        return Err(why);
    }
    let (kind, name) = (TransferKind::Copy, record.name.as_str());
    let transfer = data.transfers.open_until(kind, name, size, ceased);
    let transfer = transfer.copying(record.version.root);
    let result = (|| {
        // Held to the end, so that what was copied stays for the rest.
        let copied =
            local_copy::copy(&data.store, &data.shares, &data.downloads, record, &transfer)?;
        if let Some(incoming) = copied.as_ref().filter(|incoming| incoming.missing() == 0) {
            return Ok(incoming.finish()?);
        }
        // A ring's copies matter more than reputations: whatever comes is
        // verified.
        // If no bytes pass, another node makes the copy.
        let (plane, from_anybody) = (data.plane(), true);
        let fetcher = Fetcher { plane, from_anybody, ..data.fetcher(record.name.as_str()) };
        let opened = fetcher.open(sources, record.version.root, size, &transfer)?;
        let incoming = data.store.begin(opened.manifest.clone())?;
        let here = incoming.here().iter().map(|index| opened.manifest.len_of(index)).sum();
        transfer.goes_on(size, here);
        fetcher.pieces(opened, sources, &incoming, &transfer, None)?;
        Ok(incoming.finish()?)
    })();
    transfer.end(result.as_ref().map(|&()| ()).map_err(|error: &FetchError| error.into()));
    result.map_err(|error| match error {
        FetchError::NoSource(why) | FetchError::Interrupted(why) | FetchError::Shunned(why) => {
            tracing::debug!(name = %record.name, ?why, "no source delivered");
            StoreFailure::NoSource
        }
        FetchError::Local(error) => refused(data, &error),
        FetchError::Cancelled if ceased.is_cancelled() => StoreFailure::Ceased,
        FetchError::Cancelled | FetchError::Replaced => StoreFailure::NoSource,
    })
}
