//! What the task of searches reacts to, and what a search has found.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{oneshot, watch};

use chordal_core::error::CommandError;
use chordal_core::peer::Peer;
use chordal_core::wire::mesh::{FoundRow, SearchMessage};
use chordal_core::wire::query::SearchState;

/// Inputs waiting for the task: a flood loses messages, nothing else.
pub(crate) const QUEUE: usize = 1_024;

/// What a search has found so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    /// Every row once, in the order in which they came.
    pub(crate) rows: Vec<FoundRow>,
    /// How it stands.
    pub(crate) state: SearchState,
}

/// A search as a command follows it.
pub(crate) type Watched = watch::Receiver<Arc<Found>>;

/// What the task reacts to.
#[derive(Debug)]
pub(crate) enum Input {
    /// A node says something about a search.
    Message {
        /// The peer.
        from: Peer,
        /// To which position of this host: its index.
        to: u16,
        /// What.
        message: SearchMessage,
    },
    /// The last connection to an address ended, or none could be made.
    Gone {
        /// Whose.
        address: SocketAddr,
    },
    /// Search linked peers and the ring.
    Find {
        /// The pattern.
        pattern: String,
        /// For this node's user: its dashboard shows it.
        shown: bool,
        /// Where the number of the search goes, or why there is none.
        begun: oneshot::Sender<Result<u32, CommandError>>,
    },
    /// A command follows a search.
    Follow {
        /// Its number.
        number: u32,
        /// Where what it finds goes; `None`: there is no such search (any more).
        found: oneshot::Sender<Option<Watched>>,
    },
}
