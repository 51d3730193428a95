//! The mesh: what a node has with others beside the ring. Links between peers
//! that watch each other, gossip that floods over them, searches that spread
//! over the ring, and how far a peer is trusted.
//!
//! Pure: no I/O, no clock, no chance. The engine gives time and random choices
//! as arguments and sends what comes back; nothing here changes the ring.
//!
//! - [`links`]: whom to be linked with, and whether they live.
//! - [`gossip`]: what was seen already, what is passed on, who says too much.
//! - [`bucket`]: how much somebody may do in a while.
//! - [`broadcast`]: one node's part in one search.
//! - [`pattern`]: which names a pattern means.
//! - [`reputation`]: who served badly, and until when that counts.

pub mod broadcast;
pub mod bucket;
pub mod gossip;
pub mod links;
pub mod pattern;
pub mod reputation;

#[cfg(test)]
mod tests;
