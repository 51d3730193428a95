//! Registries: lists of nodes, for nodes that know no member of a ring.
//!
//! [`list`] is a registry's side: which nodes are on its list, which are believed to be
//! alive, and which messages a change causes. [`lists`] is a node's side: the lists of its
//! registries, and which listed peer to connect to next. Pure: the engine provides
//! connections and time.

pub mod list;
pub mod lists;

/// Peers on one list: more than an office or a course has; with an address, a ring and a
/// connection each they take a few megabytes.
pub const MAX_PEERS: usize = 4_096;

/// Peers on one list with the same host: a lab runs on one machine, but a single machine
/// must not fill the list.
pub const MAX_PEERS_PER_HOST: usize = 512;
