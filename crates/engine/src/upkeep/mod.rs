//! Slow work that keeps a node's disk true.
//!
//! Owns scrubbing, the second look at contents that seem damaged, tombstones' days,
//! and contents that came without a record.
//!
//! It never talks to peers except to have a damaged content restored.
//!
//! Started with the node; called by `node` and `data` when they meet damage.

pub(crate) mod scrub;
pub(crate) mod suspect_blobs;
pub(crate) mod tombstones;
pub(crate) mod uncommitted;
