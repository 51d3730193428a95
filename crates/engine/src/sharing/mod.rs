//! Files that a user offers in place, without copies on the ring.
//!
//! Owns the index of shared files, the watching of their directories, their hashes,
//! and the records by which owners learn of them. [`Sharing`] is its handle.
//!
//! It never changes or copies a shared file.
//!
//! Called by `client` for the commands, by `data` to serve such a file, by `overlay` when
//! others share something else.

use std::path::PathBuf;

use tokio::sync::mpsc;

use chordal_store::Store;

use crate::inputs::core::Core;
use crate::inputs::notes::Notes;
use crate::net::handle::Net;
use crate::transfers::Transfers;

use shares::handle::Shares;

pub(crate) mod provide;
pub(crate) mod shares;

/// What sharing works with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    /// The node on the network.
    pub(crate) net: Net,
    /// What people are told.
    pub(crate) notes: Notes,
    /// To the core, and to owners of names.
    pub(crate) core: Core,
    /// Shows the hashing of large files.
    pub(crate) transfers: Transfers,
    /// Keeps the hashes.
    pub(crate) store: Store,
    /// Where the node keeps everything: it is not shared.
    pub(crate) dir: PathBuf,
    /// Files shared from where they lie.
    pub(crate) shares: Shares,
    /// Whether finished downloads are offered to others.
    pub(crate) reshare: bool,
    /// To the task that tells the ring what is shared here.
    pub(crate) provide: mpsc::Sender<provide::Order>,
}
