//! The core's store operations, carried out: a record made durable here, its
//! content fetched first where need be; a record given up.

use crate::chord::{Slot, StoreFailure, StoreOp, Ticket};
use crate::peer::Peer;
use crate::record::Record;
use crate::store::StoreError;
use crate::view::TransferKind;

use super::data::DataPlane;
use super::fetch::{FetchError, Fetcher};
use super::shared::{Input, Shared};
use crate::wire::handshake::Purpose;

/// Starts an operation on a thread of its own; its end is an input of the hub.
pub(super) fn start(shared: &Shared, slot: Slot, ticket: Ticket, op: StoreOp) {
    let shared = shared.clone();
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        // The core limits the copies that come in, not those that go out: a
        // thousand of them would be a thousand threads waiting for one disk.
        let turn = match op {
            StoreOp::Drop { .. } => shared.dropping.clone().acquire_owned().await.ok(),
            StoreOp::Keep { .. } => None,
        };
        let working = shared.clone();
        let work = shared.tasks.spawn_blocking(move || carry_out(&working, &op));
        let result = work
            .await
            .unwrap_or_else(|_| Err(StoreFailure::Disk("the store operation was cut off".into())));
        drop(turn);
        let _ = shared.hub.send(Input::Stored { slot, ticket, result }).await;
    });
}

fn carry_out(shared: &Shared, op: &StoreOp) -> Result<(), StoreFailure> {
    match op {
        StoreOp::Keep { record, sources } => keep(shared, record, sources),
        StoreOp::Drop { name, version } => {
            shared.store.forget(name, version).map_err(|error| refused(shared, &error))
        }
    }
}

fn keep(shared: &Shared, record: &Record, sources: &[Peer]) -> Result<(), StoreFailure> {
    if !record.is_deleted() && !shared.store.holds(&record.version.root) {
        fetch_content(shared, record, sources)?;
    }
    match shared.store.commit(record) {
        // Another name with this content was given up in between.
        Err(StoreError::NoBlob(_)) => {
            fetch_content(shared, record, sources)?;
            shared.store.commit(record).map_err(|error| refused(shared, &error))
        }
        result => result.map_err(|error| refused(shared, &error)),
    }
}

/// What the core is told of a disk that refused: another node takes the copy
/// when there is no room on this one.
fn refused(shared: &Shared, error: &StoreError) -> StoreFailure {
    if error.is_full() {
        StoreFailure::Full(format!("{} has no room: {error}", shared.me().me.address()))
    } else {
        StoreFailure::Disk(error.to_string())
    }
}

/// What does not fit is not asked for, and nobody is shown its attempts: on a
/// full disk they are made again and again. What unfinished uploads left can give
/// way; then the attempt shows whether there is room.
fn has_no_room(shared: &Shared, size: u64) -> Option<StoreFailure> {
    let room = shared.store.room().ok()?;
    if room.left() >= size || shared.store.unfinished_bytes() > 0 {
        return None;
    }
    let (me, left) = (shared.me().me.address(), room.left());
    Some(StoreFailure::Full(format!("{me} has no room: {size} bytes do not fit into {left}")))
}

fn fetch_content(shared: &Shared, record: &Record, sources: &[Peer]) -> Result<(), StoreFailure> {
    let size = record.size();
    if let Some(why) = has_no_room(shared, size) {
        return Err(why);
    }
    let transfer = shared.transfers.open(TransferKind::Copy, record.name.as_str(), size);
    let result = (|| {
        // A ring's copies matter more than who is trusted: whatever comes is
        // verified.
        let fetcher = Fetcher { from_anybody: true, ..shared.fetcher(record.name.as_str()) };
        let opened = fetcher.open(sources, record.version.root, size, &transfer)?;
        let incoming = shared.store.begin(opened.manifest.clone())?;
        let here = incoming.here().iter().map(|index| opened.manifest.len_of(index)).sum();
        transfer.goes_on(size, here);
        fetcher.pieces(opened, sources, &incoming, &transfer, None)?;
        Ok(incoming.finish()?)
    })();
    transfer.end(result.as_ref().map(|&()| ()).map_err(|error: &FetchError| error.to_string()));
    result.map_err(|error| match error {
        FetchError::NoSource(why) | FetchError::Interrupted(why) | FetchError::Shunned(why) => {
            tracing::debug!(name = %record.name, ?why, "no source delivered");
            StoreFailure::NoSource
        }
        FetchError::Local(error) => refused(shared, &error),
        FetchError::Cancelled => StoreFailure::NoSource,
    })
}

impl Shared {
    /// What this node fetches something of that name with.
    pub(super) fn fetcher(&self, name: &str) -> Fetcher {
        Fetcher {
            name: name.to_owned(),
            plane: self.data_plane(),
            reputations: self.reputations.clone(),
            events: Some(self.hub.clone()),
            from_anybody: false,
        }
    }

    /// This node's end of data connections.
    pub(super) fn data_plane(&self) -> DataPlane {
        DataPlane {
            hello: self.me().hello(Purpose::Data),
            counters: std::sync::Arc::clone(&self.counters),
            cuts: self.cuts.clone(),
            idle: self.idle.clone(),
            limits: self.limits.clone(),
        }
    }
}
