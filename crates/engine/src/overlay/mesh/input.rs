//! What the task of links and gossip reacts to.

use std::net::SocketAddr;

use tokio::sync::oneshot;

use chordal_core::error::CommandError;
use chordal_core::peer::Peer;
use chordal_core::wire::mesh::{Gossip, GossipBody, LinkMessage};

/// Inputs waiting for the task: a flood loses messages, nothing else.
pub(crate) const QUEUE: usize = 1_024;

/// How a wish for a link ended: whether there was one already.
pub(crate) type Connecting = Result<bool, CommandError>;

/// What the task reacts to.
#[derive(Debug)]
pub(crate) enum Input {
    /// A peer says something about its link.
    Link {
        /// The peer.
        from: Peer,
        /// What.
        message: LinkMessage,
    },
    /// A peer passes gossip on.
    Gossip {
        /// The peer.
        from: Peer,
        /// What.
        gossip: Gossip,
    },
    /// The last connection to an address ended, or none could be made.
    Gone {
        /// Whose.
        address: SocketAddr,
    },
    /// This node has news of its own for all nodes. Of several in a short time
    /// the last one counts.
    Announce(GossipBody),
    /// This node's place on the ring changed: there may be others to draw.
    Neighbours,
    /// Peers to draw random links from, in random order.
    Candidates(Vec<Peer>),
    /// The user wants a link.
    Connect {
        /// With whom.
        peer: Peer,
        /// Told when there is one, or why there is none.
        done: oneshot::Sender<Connecting>,
    },
    /// The user ends a link.
    Disconnect {
        /// With whom.
        address: SocketAddr,
        /// Told with whom it was; `None`: there was none.
        done: oneshot::Sender<Option<Peer>>,
    },
    /// The user says something to all users.
    Say {
        /// What.
        text: String,
        /// Told over how many links it went, or what is wrong.
        done: oneshot::Sender<Result<u32, CommandError>>,
    },
    /// The node leaves: every link is closed.
    Leave {
        /// Told when that is said.
        done: oneshot::Sender<()>,
    },
}

impl From<GossipBody> for Input {
    fn from(news: GossipBody) -> Input {
        Input::Announce(news)
    }
}
