//! Searches: the driver of [`crate::mesh::broadcast`], for the searches of this
//! node's user and as a part of those of others.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::peer::Peer;
use crate::wire::mesh::SearchMessage;

use super::shared::Shared;

/// Inputs waiting for the task: whoever floods it loses messages, nothing else.
pub(super) const QUEUE: usize = 1_024;

/// What the task reacts to.
#[derive(Debug)]
pub(super) enum Input {
    /// A node says something about a search.
    Message {
        /// Who.
        from: Peer,
        /// What.
        message: SearchMessage,
    },
    /// The last connection to an address ended, or none could be made.
    Gone {
        /// Whose.
        address: SocketAddr,
    },
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
