//! Data connections that have done their work, kept for the next request to the
//! same node: for small files, connecting and greeting would take longer than
//! the bytes.
//!
//! The other side waits for a further request for twice as long as a connection
//! is kept here, or less when it is short of places. One that turns out to have
//! ended is replaced by the task that took it ([`super::plane::DataPlane::over`]).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use chordal_descriptors as descriptors;

use chordal_descriptors::Spare;

use super::plane::DataConnection;

/// How long an unused connection is kept: half of what the other side
/// waits ([`super::serve_data::REQUEST_WAIT`]), so that it is seldom found dead.
const KEPT_FOR: Duration = Duration::from_secs(5);

/// Connections kept at a time: each is a file descriptor at both sides.
const KEPT_AT_MOST: usize = 32;

/// Connections kept to one node: as many as small files are moved side by side.
const KEPT_TO_ONE: usize = 16;

/// The kept connections of one side. Clones are the same. While there are no file
/// descriptors for other work, none is kept.
#[derive(Clone, Debug)]
pub(crate) struct Idle {
    kept: Arc<Pool>,
}

/// They, as what can be spared.
#[derive(Debug, Default)]
struct Pool(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    /// Since when each is kept, the longest first.
    connections: VecDeque<(Instant, SocketAddr, DataConnection)>,
    /// A task closes those that are kept too long.
    swept: bool,
}

impl Default for Idle {
    fn default() -> Idle {
        let kept = Arc::new(Pool::default());
        descriptors::spare(&kept);
        Idle { kept }
    }
}

impl Spare for Pool {
    fn give_up(&self) -> bool {
        let kept = &mut self.0.lock().connections;
        let kept = std::mem::take(kept);
        !kept.is_empty()
    }
}

impl Idle {
    /// Takes the connection to a node that was used last, if one is kept.
    pub(crate) fn take(&self, address: SocketAddr) -> Option<DataConnection> {
        let mut kept = self.kept.0.lock();
        kept.expire(Instant::now());
        let at = kept.connections.iter().rposition(|(_, to, _)| *to == address)?;
        kept.connections.remove(at).map(|(.., connection)| connection)
    }

    /// Keeps a connection over which nothing is owed any more.
    pub(crate) fn keep(&self, address: SocketAddr, connection: DataConnection) {
        if descriptors::is_wanted() {
            return;
        }
        let mut kept = self.kept.0.lock();
        let to_it = |(_, to, _): &&(Instant, SocketAddr, DataConnection)| *to == address;
        if kept.connections.iter().filter(to_it).count() >= KEPT_TO_ONE {
            return;
        }
        if kept.connections.len() >= KEPT_AT_MOST {
            kept.connections.pop_front();
        }
        kept.connections.push_back((Instant::now(), address, connection));
        // Without a runtime, the other side ends what is kept too long.
        if !kept.swept
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            kept.swept = true;
            runtime.spawn(sweep(Arc::downgrade(&self.kept)));
        }
    }
}

impl Kept {
    fn expire(&mut self, now: Instant) {
        let old = |since: Instant| now.saturating_duration_since(since) >= KEPT_FOR;
        while self.connections.front().is_some_and(|(since, ..)| old(*since)) {
            self.connections.pop_front();
        }
    }
}

/// Closes what is kept too long, until nothing is kept.
async fn sweep(kept: Weak<Pool>) {
    loop {
        tokio::time::sleep(KEPT_FOR).await;
        let Some(kept) = kept.upgrade() else { return };
        let mut kept = kept.0.lock();
        kept.expire(Instant::now());
        if kept.connections.is_empty() {
            kept.swept = false;
            return;
        }
    }
}
