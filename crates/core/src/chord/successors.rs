//! The successor list: a node's next nodes on the ring, nearest first.
//!
//! A value of [`SuccessorList`] is ordered clockwise from its owner, holds
//! neither the owner nor a duplicate and has at most r entries, whatever a
//! peer sent. An empty list means that its owner knows no other node: self
//! never stands in for a successor.
//!
//! Several positions of one host die together. So r entries are not enough where
//! they belong to few hosts: a list goes on until it has named as many *other
//! hosts* as a record has copies ([`Reach`]), or comes round. A node that loses
//! k−1 hosts at once then still knows a live node, as it still knows a copy of
//! each record. Where every host has one position a list has r entries. A list
//! made of a neighbour and its whole list reaches as far as that one's did, so
//! the rules of the ring need no other change.

use std::net::SocketAddr;

use crate::id::Space;
use crate::limits::{MAX_LIST, MAX_SUCCESSORS};
use crate::peer::Peer;

/// How far a list reaches: to whichever of the two is further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    entries: usize,
    hosts: usize,
}

impl Reach {
    /// r entries, and this many hosts other than the list's owner's: no more than r.
    pub(super) fn new(r: usize, hosts: usize) -> Reach {
        let entries = r.clamp(1, MAX_SUCCESSORS);
        Reach { entries, hosts: hosts.min(entries) }
    }

    /// The first of these, nearest first, as far as a list of `me` reaches.
    pub(super) fn cut(self, me: Peer, peers: impl Iterator<Item = Peer>) -> Vec<Peer> {
        let mut hosts: Vec<SocketAddr> = Vec::with_capacity(self.hosts);
        let mut list = Vec::with_capacity(self.entries);
        for peer in peers.take(MAX_LIST) {
            if list.len() >= self.entries && hosts.len() >= self.hosts {
                break;
            }
            let host = peer.address();
            if hosts.len() < self.hosts && host != me.address() && !hosts.contains(&host) {
                hosts.push(host);
            }
            list.push(peer);
        }
        list.shrink_to_fit();
        list
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SuccessorList(Vec<Peer>);

impl SuccessorList {
    /// `⌈peers⌉` as `me` may hold it.
    ///
    /// A neighbour's list runs on past `me` once the ring is small; what comes
    /// after that is nearer than what went before and is left out, so that the
    /// order holds. A peer at the very place of `me` is left out likewise.
    pub(super) fn new(
        space: Space,
        me: Peer,
        peers: impl IntoIterator<Item = Peer>,
        reach: Reach,
    ) -> SuccessorList {
        let home = me.id(space);
        let mut reached = 0;
        let ordered = peers.into_iter().filter(|peer| {
            let distance = space.distance(home, peer.id(space));
            let further = distance > reached;
            reached = reached.max(distance);
            further
        });
        SuccessorList(reach.cut(me, ordered))
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

    fn reach(r: usize) -> Reach {
        Reach::new(r, 3)
    }

    #[test]
    fn a_list_of_one_hosts_positions_goes_on_to_other_hosts() {
        let space = Space::new(32).expect("in range");
        let position = |port, index| Peer::new(peer(port).address(), index);
        let mut ring: Vec<Peer> = (0..40).map(|index| position(2000, index)).collect();
        ring.extend([2001, 2002, 2003, 2004].map(peer));
        for me in ring.clone() {
            ring.sort_by_key(|peer| space.distance(me.id(space), peer.id(space)));
            let list = SuccessorList::new(space, me, ring[1..].iter().copied(), Reach::new(4, 3));
            let hosts = |list: &[Peer]| {
                let mut hosts: Vec<SocketAddr> = list.iter().map(Peer::address).collect();
                hosts.sort_unstable();
                hosts.dedup();
                hosts.iter().filter(|host| **host != me.address()).count()
            };
            let (list, all) = (list.as_slice(), hosts(&ring[1..]));
            assert!(list.len() >= 4 && hosts(list) >= all.min(3), "{me}: {list:?}");
            assert!(list.len() == 4 || hosts(&list[..list.len() - 1]) < 3, "no further than that");
        }
    }

    #[test]
    fn a_list_that_runs_past_its_new_owner_ends_there() {
        // Ids: 2001 → 48, 2000 → 466, 2002 → 495.
        let space = Space::default();
        let list =
            SuccessorList::new(space, peer(2000), [2002, 2001, 2000, 2002].map(peer), reach(16));
        assert_eq!(list.as_slice(), [peer(2002), peer(2001)]);
        let list = SuccessorList::new(space, peer(2001), [2002, 2001, 2000].map(peer), reach(16));
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
            let list =
                SuccessorList::new(space, peer(me), ports.into_iter().map(peer), reach(r));
            let home = peer(me).id(space);
            let distances: Vec<u128> =
                list.as_slice().iter().map(|p| space.distance(home, p.id(space))).collect();
            prop_assert!(distances.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(distances.iter().all(|&d| d > 0));
            prop_assert!(list.len() <= r.clamp(1, MAX_SUCCESSORS));
        }
    }
}
