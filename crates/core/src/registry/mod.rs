//! Registries: who is there, known to somebody who is on no ring.
//!
//! [`list`] is the list that a registry keeps: who is on it, who is believed to
//! live, who is told of a change. [`lists`] is a node's side: what its
//! registries tell it, and which of all those it should look at next. Pure:
//! the engine gives both connections and time.

pub mod list;
pub mod lists;

/// Peers on one list: more than one office or course has, and with an address,
/// a ring and a connection for each still a few megabytes.
pub const MAX_PEERS: usize = 4_096;

/// Peers on one list that have the same host: a lab of them runs on one
/// machine, but no single machine may fill the list.
pub const MAX_PEERS_PER_HOST: usize = 512;
