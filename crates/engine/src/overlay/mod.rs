//! The peers beside the ring: links, searches, registries.
//!
//! Owns the links that a user makes, gossip about peers, searches among them, the
//! contact with registries, the file of known peers, and how a node enters a ring
//! ([`join`]). [`Overlay`] is its handle.
//!
//! It never stores a file and never changes the ring.
//!
//! Called by `client` for the commands and by `node` for what comes in.

use tokio::sync::mpsc;

use chordal_core::peer::Peer;

use crate::data::Data;
use crate::sharing::Sharing;

use remembered::PeersFile;

pub(crate) mod join;
pub(crate) mod mesh;
pub(crate) mod remembered;
pub(crate) mod search;
pub(crate) mod seeds;

/// What the overlay works with, and the ways to its tasks. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Overlay {
    /// The network, the core, what people are told; to ask other nodes.
    pub(crate) data: Data,
    /// What is shared here.
    pub(crate) sharing: Sharing,
    /// The peers known from earlier.
    pub(crate) peers: PeersFile,
    /// To the task of links and gossip.
    pub(crate) mesh: mpsc::Sender<mesh::input::Input>,
    /// To the task of searches.
    pub(crate) search: mpsc::Sender<search::input::Input>,
    /// Peers that did not answer, for the registries.
    pub(crate) dead: mpsc::Sender<Peer>,
}
