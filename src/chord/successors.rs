//! The successor list: a node's next nodes on the ring, nearest first.
//!
//! A value of [`SuccessorList`] is ordered clockwise from its owner, holds
//! neither the owner nor a duplicate and has at most r entries, whatever a
//! peer sent. An empty list means that its owner knows of nobody else: self
//! never stands in for a successor.

use crate::id::Space;
use crate::limits::MAX_SUCCESSORS;
use crate::peer::Peer;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SuccessorList(Vec<Peer>);

impl SuccessorList {
    /// `⌈peers⌉r` as `me` may hold it.
    ///
    /// A neighbour's list runs on past `me` once the ring is small; what comes
    /// after that is nearer than what went before and is left out, so that the
    /// order holds. A peer at the very place of `me` is left out likewise.
    pub(super) fn new(
        space: Space,
        me: Peer,
        peers: impl IntoIterator<Item = Peer>,
        r: usize,
    ) -> SuccessorList {
        let home = me.id(space);
        let mut reached = 0;
        let ordered = peers.into_iter().filter(|peer| {
            let distance = space.distance(home, peer.id(space));
            let further = distance > reached;
            reached = reached.max(distance);
            further
        });
        SuccessorList(ordered.take(r.clamp(1, MAX_SUCCESSORS)).collect())
    }

    /// The first r of these as they are, for a node without a guard.
    pub(super) fn unguarded(mut peers: Vec<Peer>, r: usize) -> SuccessorList {
        peers.truncate(r.clamp(1, MAX_SUCCESSORS));
        SuccessorList(peers)
    }

    /// The first successor.
    pub(super) fn head(&self) -> Option<Peer> {
        self.0.first().copied()
    }

    /// The last entry.
    pub(super) fn last(&self) -> Option<Peer> {
        self.0.last().copied()
    }

    /// All entries, nearest first.
    pub(super) fn as_slice(&self) -> &[Peer] {
        &self.0
    }

    /// Whether `peer` is an entry.
    pub(super) fn contains(&self, peer: Peer) -> bool {
        self.0.contains(&peer)
    }

    /// Whether there is no entry.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of entries.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    #[test]
    fn a_list_that_runs_past_its_new_owner_ends_there() {
        // Ids: 2001 → 48, 2000 → 466, 2002 → 495.
        let space = Space::default();
        let list = SuccessorList::new(space, peer(2000), [2002, 2001, 2000, 2002].map(peer), 16);
        assert_eq!(list.as_slice(), [peer(2002), peer(2001)]);
        let list = SuccessorList::new(space, peer(2001), [2002, 2001, 2000].map(peer), 16);
        assert_eq!(list.as_slice(), [peer(2002)], "2000 lies before 2002 as seen from 2001");
    }

    proptest! {
        #[test]
        fn any_input_gives_an_ordered_list_without_self(
            me in 2000u16..2040,
            ports in prop::collection::vec(2000u16..2040, 0..80),
            r in 0usize..100,
        ) {
            let space = Space::default();
            let list = SuccessorList::new(space, peer(me), ports.into_iter().map(peer), r);
            let home = peer(me).id(space);
            let distances: Vec<u128> =
                list.as_slice().iter().map(|p| space.distance(home, p.id(space))).collect();
            prop_assert!(distances.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(distances.iter().all(|&d| d > 0));
            prop_assert!(list.len() <= r.clamp(1, MAX_SUCCESSORS));
        }
    }
}
