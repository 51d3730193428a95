//! Links and gossip of a node: the driver of [`crate::mesh::links`] and
//! [`crate::mesh::gossip`]. One task owns both; the hub hands it messages.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::peer::Peer;
use crate::wire::mesh::{Gossip, GossipBody, LinkMessage};

use super::shared::Shared;

/// Inputs waiting for the task: whoever floods it loses messages, nothing else.
pub(super) const QUEUE: usize = 1_024;

/// What the task reacts to.
#[derive(Debug)]
pub(super) enum Input {
    /// A peer says something about its link.
    Link {
        /// Who.
        from: Peer,
        /// What.
        message: LinkMessage,
    },
    /// A peer passes gossip on.
    Gossip {
        /// Who.
        from: Peer,
        /// What.
        gossip: Gossip,
    },
    /// The last connection to an address ended, or none could be made.
    Gone {
        /// Whose.
        address: SocketAddr,
    },
    /// This node has news of its own for everyone.
    Announce(GossipBody),
}

/// Runs until the node stops.
pub(super) async fn run(shared: Shared, mut inputs: mpsc::Receiver<Input>) {
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            input = inputs.recv() => if input.is_none() { return },
        }
    }
}
