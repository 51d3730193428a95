//! The mesh: relations of a node with others beside the ring. Links between peers that
//! watch each other, gossip that floods over the links, searches that spread over the ring,
//! and the reputation of peers.
//!
//! Pure: no I/O, no clock, no randomness. The engine passes in time and random choices and
//! sends the messages that are returned; nothing here changes the ring.
//!
//! - [`links`]: with which peers a node is linked, and whether they are alive.
//! - [`gossip`]: which pieces were seen, which are passed on, which peers send too many.
//! - [`bucket`]: how often a peer may do something.
//! - [`broadcast`]: one node's part in one search.
//! - [`pattern`]: which names match a pattern.
//! - [`reputation`]: which peers served badly, and until when that counts.

pub mod broadcast;
pub mod bucket;
pub mod gossip;
pub mod links;
pub mod pattern;
pub mod reputation;

#[cfg(test)]
mod tests;
