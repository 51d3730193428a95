//! Messages between nodes and registries.
//!
//! A node keeps one connection to each of its registries. Its greeting contains its address
//! and its ring; the registry answers with the list and then with every change of it.

use serde::{Deserialize, Serialize};

use crate::peer::Peer;
use crate::wire::handshake::Params;

/// From a node to a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Put the sender on the list, or update its entry: sent first, and again when index or
    /// ring changed.
    Connect {
        /// The sender's index at its address (which the greeting names).
        index: u16,
        /// Its ring.
        params: Params,
        /// Whether it is on a ring with other members.
        member: bool,
    },
    /// Take the sender off the list.
    Leave,
    /// A peer does not answer the sender.
    Dead {
        /// The peer.
        peer: Peer,
        /// Since when, in milliseconds since the Unix epoch.
        unix_ms: u64,
    },
    /// Send the whole list.
    List,
    /// Answers [`News::Ping`].
    Pong,
}

/// From a registry to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// A page of the list.
    Peers {
        /// At most [`crate::limits::MAX_PAGE`].
        peers: Vec<Listed>,
        /// Whether more pages follow.
        more: bool,
    },
    /// A peer came onto the list, or its entry changed.
    Came(Listed),
    /// A peer is no longer on the list.
    Gone {
        /// The peer.
        peer: Peer,
        /// It left; `false` if it did not answer.
        left: bool,
    },
    /// Asks whether the node is alive.
    Ping,
}

/// A peer on a registry's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its address. Not a [`Peer`]: a list may contain invalid addresses, and one of them
    /// must not invalidate the whole list.
    pub address: std::net::SocketAddr,
    /// Its index at that address.
    pub index: u16,
    /// Its ring.
    pub params: Params,
    /// Whether it is on a ring with other members.
    pub member: bool,
}
