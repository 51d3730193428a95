//! What the commands of a node's own user work with.

use std::path::PathBuf;

use super::leave::Departure;
use crate::data::Data;
use crate::overlay::Overlay;
use crate::sharing::Sharing;

/// A node as its user has it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct User {
    /// Bytes of files; the network, the core and what people are told.
    pub(crate) data: Data,
    /// What is shared here.
    pub(crate) sharing: Sharing,
    /// Links, searches, registries.
    pub(crate) overlay: Overlay,
    /// The node's leave.
    pub(crate) departure: Departure,
    /// Where downloads go.
    pub(crate) download_dir: PathBuf,
}
