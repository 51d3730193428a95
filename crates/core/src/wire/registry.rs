//! What nodes and registries say to each other.
//!
//! A node keeps one connection to each of its registries. Its greeting says
//! who it is and which ring it is on; the registry answers with the list and
//! then with every change of it.

use serde::{Deserialize, Serialize};

use crate::peer::Peer;
use crate::wire::handshake::Params;

/// From a node to a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report {
    /// Put me on the list, or change what it says of me: sent first, and again
    /// when index or ring changed.
    Connect {
        /// The sender's index at its address (which the greeting names).
        index: u16,
        /// Its ring.
        params: Params,
        /// Whether it is among other members there.
        member: bool,
    },
    /// Take me off the list.
    Leave,
    /// This peer does not answer me.
    Dead {
        /// Who.
        peer: Peer,
        /// Since when, in milliseconds since the Unix epoch.
        unix_ms: u64,
    },
    /// Tell me the whole list.
    List,
    /// I am here (answers [`News::Ping`]).
    Pong,
}

/// From a registry to a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// A page of the list.
    Peers {
        /// At most [`crate::limits::MAX_PAGE`].
        peers: Vec<Listed>,
        /// More pages follow.
        more: bool,
    },
    /// This peer is on the list now, or what the list says of it changed.
    Came(Listed),
    /// This peer is not on the list any more.
    Gone {
        /// Who.
        peer: Peer,
        /// It left in order; `false`: it did not answer.
        left: bool,
    },
    /// Are you there?
    Ping,
}

/// A peer on a registry's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Who. Not a [`Peer`]: a list may hold addresses that are none, and one
    /// of them must not cost the whole list.
    pub address: std::net::SocketAddr,
    /// Its index there.
    pub index: u16,
    /// Its ring.
    pub params: Params,
    /// Whether it is among other members there.
    pub member: bool,
}
