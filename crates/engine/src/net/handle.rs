//! What every task of a node knows of it: its identity, when it stops, and where its
//! connections are counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use chordal_core::peer::Peer;
use chordal_core::wire::handshake::{Hello, Params, Program, Purpose};

use super::shutdown_handles::ShutdownHandles;
use super::verify::Verification;

/// The identity of this node at the moment; changes when it adopts a ring's parameters
/// or takes another index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The node.
    pub(crate) me: Peer,
    /// Its ring.
    pub(crate) params: Params,
}

impl Identity {
    /// The greeting for a connection of this purpose.
    pub(crate) fn hello(&self, purpose: Purpose) -> Hello {
        Hello {
            purpose,
            program: Program::Node,
            params: Some(self.params.clone()),
            address: Some(self.me.address()),
            index: self.me.index(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            refusal: None,
        }
    }
}

/// Bytes of all connections of a node.
#[derive(Debug, Default)]
pub(crate) struct ByteCounters {
    /// Sent.
    pub(crate) up: AtomicU64,
    /// Received.
    pub(crate) down: AtomicU64,
}

impl ByteCounters {
    pub(crate) fn sent(&self, bytes: usize) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// A node on the network. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    /// When the node started: the zero of its time.
    pub(crate) started: Instant,
    /// The identity of this node. The hub holds the other end.
    pub(crate) identity: watch::Receiver<Identity>,
    /// Whether the advertised address leads to this node.
    pub(crate) verification: Verification,
    /// Bytes of all connections.
    pub(crate) counters: Arc<ByteCounters>,
    /// Data connections in use, to be cut when the node stops.
    pub(crate) shutdown: ShutdownHandles,
    /// Cancelled when the node stops: everything ends at once.
    pub(crate) stop: CancellationToken,
    /// Every task of the node. Closed once the node is shutting down.
    pub(crate) tasks: TaskTracker,
    /// The tasks of control connections, which end after their last frame.
    pub(crate) connections: TaskTracker,
}

impl Net {
    /// A node that begins to run.
    pub(crate) fn new(started: Instant, identity: watch::Receiver<Identity>) -> Net {
        Net {
            started,
            identity,
            verification: Verification::default(),
            counters: Arc::default(),
            shutdown: ShutdownHandles::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            connections: TaskTracker::new(),
        }
    }

    /// How long the node runs.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// The identity of this node now.
    pub(crate) fn me(&self) -> Identity {
        self.identity.borrow().clone()
    }
}
