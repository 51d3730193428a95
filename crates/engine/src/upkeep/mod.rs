//! Slow work that keeps a node's disk true.
//!
//! Owns scrubbing, the second look at contents that seem damaged, tombstones' days,
//! and contents that came without a record.
//!
//! It never talks to peers except to have a damaged content restored.
//!
//! Started with the node; called by `data` when it meets damage.

use chordal_store::Store;

use crate::inputs::core::Core;
use crate::inputs::notes::Notes;
use crate::net::handle::Net;

pub(crate) mod scrub;
pub(crate) mod suspect_blobs;
pub(crate) mod tombstones;
pub(crate) mod uncommitted;

/// What upkeep works with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Upkeep {
    /// When the node ends.
    pub(crate) net: Net,
    /// What people are told.
    pub(crate) notes: Notes,
    /// To the core.
    pub(crate) core: Core,
    /// The disk.
    pub(crate) store: Store,
}
