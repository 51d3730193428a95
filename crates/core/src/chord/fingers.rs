//! The finger table: shortcuts over the ring.
//!
//! Row *i* names the first node at or after `id + 2^i`. Rows that start within
//! the successor list are read off it; only those beyond are stored and looked
//! up, each distinct node once: O(log N − log r) of them. Fingers play no part
//! in correctness.

use crate::id::{Id, Space};
use crate::peer::Peer;

use super::vec_map::VecMap;

/// The rows that start beyond the successor list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Fingers {
    /// By index. The node itself where the interval wraps to it.
    beyond: VecMap<u8, Peer>,
    /// The row to look up next.
    next: u8,
    /// Whether every row has had its turn since the node joined.
    warm: bool,
}

impl Fingers {
    /// A table that is right from the start; `owner` gives a key's owner.
    pub(super) fn settled(
        space: Space,
        me: Peer,
        last: Option<Peer>,
        owner: impl Fn(Id) -> Peer,
    ) -> Fingers {
        let home = me.id(space);
        let beyond = (first_beyond(space, me, last)..space.bits())
            .map(|index| (index, owner(space.finger_start(home, index))))
            .collect();
        Fingers { beyond, next: 0, warm: true }
    }

    /// A table without a shortcut, which is not in a hurry to find any.
    pub(super) fn none() -> Fingers {
        Fingers { warm: true, ..Fingers::default() }
    }

    /// Whether every row has had its turn since the node joined.
    pub(super) const fn is_warm(&self) -> bool {
        self.warm
    }

    /// Forgets rows that the successor list answers now.
    pub(super) fn prune(&mut self, space: Space, me: Peer, last: Option<Peer>) {
        let first = first_beyond(space, me, last);
        self.beyond.retain(|index, _| *index >= first);
    }

    /// The next row to look up, and from where.
    pub(super) fn due(&mut self, space: Space, me: Peer, last: Option<Peer>) -> Option<(u8, Id)> {
        let first = first_beyond(space, me, last);
        if self.next >= space.bits() {
            self.warm = true;
            self.next = first;
        }
        let index = self.next.max(first);
        self.next = index.saturating_add(1);
        (index < space.bits()).then(|| (index, space.finger_start(me.id(space), index)))
    }

    /// `node` is the first at or after the start of row `index`, and so of
    /// every following row that starts before it.
    pub(super) fn found(&mut self, space: Space, me: Peer, index: u8, node: Peer) {
        let reach = space.distance(me.id(space), node.id(space));
        for row in index..space.bits() {
            if node != me && 1u128 << row > reach {
                break;
            }
            self.beyond.insert(row, node);
            self.next = row.saturating_add(1);
        }
    }

    /// The nodes strictly between `me` and `key`, closest to `key` first.
    pub(super) fn closer(&self, space: Space, me: Peer, key: Id) -> Vec<Peer> {
        let home = me.id(space);
        let mut nodes: Vec<Peer> = self
            .beyond
            .values()
            .copied()
            .filter(|node| *node != me && node.id(space).between(home, key))
            .collect();
        nodes.sort_by_key(|node| space.distance(node.id(space), key));
        nodes.dedup();
        nodes
    }

    /// The node of a row that was looked up.
    pub(super) fn row(&self, index: u8) -> Option<Peer> {
        self.beyond.get(&index).copied()
    }

    /// Whether a row names `peer`.
    pub(super) fn contains(&self, peer: Peer) -> bool {
        self.beyond.values().any(|node| *node == peer)
    }

    /// Forgets a peer that did not answer.
    pub(super) fn remove(&mut self, peer: Peer) {
        self.beyond.retain(|_, node| *node != peer);
    }
}

/// The first row that starts beyond `last`, the end of the successor list.
pub(super) fn first_beyond(space: Space, me: Peer, last: Option<Peer>) -> u8 {
    let reach = last.map_or(0, |last| space.distance(me.id(space), last.id(space)));
    // Row i starts 2^i away: the first i with 2^i > reach.
    u8::try_from(u128::BITS - reach.leading_zeros()).unwrap_or(u8::MAX).min(space.bits())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    #[test]
    fn the_rows_within_the_list_are_the_first_ones() {
        let space = Space::default();
        // 466 → 495: 29 away, so the rows 0 to 4 (16 away) lie within.
        assert_eq!(first_beyond(space, peer(2000), Some(peer(2002))), 5);
        assert_eq!(first_beyond(space, peer(2000), None), 0);
    }

    #[test]
    fn one_lookup_fills_every_row_that_it_answers() {
        let space = Space::default();
        let (me, far) = (peer(2000), peer(2001));
        let mut fingers = Fingers::default();
        let last = Some(peer(2002));
        assert_eq!(fingers.due(space, me, last).map(|(index, _)| index), Some(5));
        // 466 → 48 is 606 away: the rows 5 (32) to 9 (512).
        fingers.found(space, me, 5, far);
        assert!(!fingers.is_warm());
        assert_eq!(fingers.beyond.keys().count(), 5);
        assert_eq!(fingers.due(space, me, last).map(|(index, _)| index), Some(5), "a new pass");
        assert!(fingers.is_warm());
        assert_eq!(fingers.closer(space, me, Id::new(49)), [far]);
        assert!(fingers.closer(space, me, Id::new(48)).is_empty());
    }

    proptest! {
        #[test]
        fn first_beyond_is_what_distances_say(bits in 1u8..=128, port in 1024u16..9999) {
            let space = Space::new(bits).expect("in range");
            let (me, last) = (peer(2000), peer(port));
            let reach = space.distance(me.id(space), last.id(space));
            let expected = (0..bits).find(|&i| 1u128 << i > reach).unwrap_or(bits);
            prop_assert_eq!(first_beyond(space, me, Some(last)), expected);
        }
    }
}
