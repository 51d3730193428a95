//! What a registry shows, as part of a [`super::Snapshot`].

use serde::{Deserialize, Serialize};

use chordal_core::peer::Peer;

use super::Liveness;

/// The list of a registry and how it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryState {
    /// Time between two checks of a peer, in milliseconds.
    pub check_ms: u64,
    /// The list, by address.
    pub peers: Vec<RegisteredPeer>,
    /// Nodes that are told of every change.
    pub subscribers: usize,
    /// Nodes that did not get onto the list, ever: the claimed address did not
    /// answer, or the list was full.
    pub refused: u64,
}

/// A peer on a registry's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredPeer {
    /// Who.
    pub peer: Peer,
    /// Its ring's name.
    pub ring: String,
    /// Whether it is among other members there.
    pub member: bool,
    /// Seconds since the Unix epoch, when it came onto the list.
    pub since_unix_s: u64,
    /// Milliseconds since the registry's start, when it answered last.
    pub checked_ms: Option<u64>,
    /// `Up`: it answered the last check; `Suspect`: not checked since the
    /// registry's start, or one check missed.
    pub liveness: Liveness,
}
