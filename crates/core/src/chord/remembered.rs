//! The peers that a node remembers and that are not its neighbours now.

use std::collections::BTreeSet;

use crate::peer::Peer;

/// Peers kept for probing.
const MAX_REMEMBERED: usize = 32;

/// Peers that left in order and are known to have.
const MAX_DEPARTED: usize = 64;

/// Peers once seen on the ring, or named by a person, that are not neighbours
/// now: dead, left, further away, or cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Remembered {
    peers: BTreeSet<Peer>,
    /// The one probed last.
    last: Option<Peer>,
    /// Peers that left in order, until they come back: none of them is remembered.
    departed: BTreeSet<Peer>,
}

impl Remembered {
    /// Remembers a peer. When there is no room, the one probed last goes.
    pub(super) fn insert(&mut self, peer: Peer, me: Peer) {
        if peer == me || self.peers.contains(&peer) || self.departed.contains(&peer) {
            return;
        }
        if self.peers.len() >= MAX_REMEMBERED {
            let last = self.last.filter(|last| self.peers.contains(last));
            if let Some(gone) = last.or_else(|| self.peers.first().copied()) {
                self.peers.remove(&gone);
            }
        }
        self.peers.insert(peer);
    }

    /// A peer left in order; `false`: that was known.
    pub(super) fn depart(&mut self, peer: Peer) -> bool {
        self.peers.remove(&peer);
        if self.departed.contains(&peer) {
            return false;
        }
        if self.departed.len() >= MAX_DEPARTED {
            self.departed.pop_first();
        }
        self.departed.insert(peer)
    }

    /// Peers that left in order have come back, or their ring is not this node's.
    pub(super) fn returned(&mut self, back: impl Fn(Peer) -> bool) {
        self.departed.retain(|peer| !back(*peer));
    }

    /// All that left in order.
    pub(super) fn departed(&self) -> impl Iterator<Item = Peer> {
        self.departed.iter().copied()
    }

    /// Whether a peer is known to have left in order.
    pub(super) fn has_departed(&self, peer: Peer) -> bool {
        self.departed.contains(&peer)
    }

    /// Whether anything is known of a peer.
    pub(super) fn contains(&self, peer: Peer) -> bool {
        self.peers.contains(&peer)
    }

    /// All of them.
    pub(super) fn peers(&self) -> impl Iterator<Item = Peer> {
        self.peers.iter().copied()
    }

    /// Forgets all of which `gone` holds.
    pub(super) fn forget(&mut self, gone: impl Fn(Peer) -> bool) {
        self.peers.retain(|peer| !gone(*peer));
    }

    /// The next to be probed, all in turn.
    pub(super) fn next(&mut self) -> Option<Peer> {
        let next = self.peers.iter().find(|peer| self.last.is_none_or(|last| **peer > last));
        self.last = next.or_else(|| self.peers.first()).copied();
        self.last
    }
}
