//! The peers beside the ring: links, searches, registries.
//!
//! Owns the links that a user makes, gossip about peers, searches among them, the
//! contact with registries, and how far each peer is trusted with downloads.
//!
//! It never stores a file and never changes the ring.
//!
//! Called by `client` for the commands and by `node` for what comes in.

pub(crate) mod mesh;
pub(crate) mod reputation;
pub(crate) mod search;
pub(crate) mod seeds;
