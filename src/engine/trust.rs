//! How far each peer is trusted with downloads: [`crate::mesh::reputation`]
//! with a clock.

use std::net::SocketAddr;
use std::time::Duration;

use crate::view::Trust;

/// What a source did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Conduct {
    /// It delivered bytes that verified.
    Delivered(u64),
    /// It sent a piece that failed its hash.
    BadPiece,
    /// It said one thing and did another: why.
    Lied(String),
    /// It took too long, or could not be reached.
    TimedOut,
}

/// The reputations of all peers. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Reputations;

impl Reputations {
    /// Takes note of what a peer did.
    pub(super) fn saw(&self, peer: SocketAddr, conduct: &Conduct) {
        let _ = (peer, conduct);
    }

    /// How far a peer is trusted now, and why not fully.
    pub(super) fn of(&self, peer: SocketAddr) -> (Trust, Option<String>) {
        let _ = peer;
        (Trust::Good, None)
    }

    /// Everybody who is not trusted fully, with the reason and how long it
    /// still counts.
    pub(super) fn doubted(&self) -> Vec<(SocketAddr, Trust, String, Duration)> {
        Vec::new()
    }
}
