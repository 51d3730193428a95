//! The properties of a ring (Zave, *How to make Chord correct*), as predicates
//! over the tables of all its live members at one moment.
//!
//! For tests, simulators, the model checker and the dashboard. Nothing here
//! takes part in the protocol.
//!
//! A node's *best successor* is the first live entry of its list; a node with
//! an empty list is alone, and its own. A member is on *the ring* if following
//! best successors from it comes back to it; the others are *appendages*.

use std::collections::BTreeMap;

use crate::id::Space;
use crate::peer::Peer;

/// One live member's tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeState {
    /// The member.
    pub peer: Peer,
    /// Its predecessor.
    pub predecessor: Option<Peer>,
    /// Its successor list, nearest first.
    pub successors: Vec<Peer>,
}

/// The live members of one identifier space, ready to be examined.
#[derive(Debug)]
pub struct Members<'a> {
    space: Space,
    states: BTreeMap<Peer, &'a NodeState>,
    /// Where best successors lead.
    best: BTreeMap<Peer, Peer>,
    /// The members that following best successors comes back to.
    ring: Vec<Peer>,
}

/// All properties at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// See [`Members::at_least_one_ring`].
    pub at_least_one_ring: bool,
    /// See [`Members::at_most_one_ring`].
    pub at_most_one_ring: bool,
    /// See [`Members::ordered_ring`].
    pub ordered_ring: bool,
    /// See [`Members::connected_appendages`].
    pub connected_appendages: bool,
    /// See [`Members::valid_lists`].
    pub valid_lists: bool,
    /// See [`Members::live_successor_margin`].
    pub margin: Option<usize>,
}

impl Report {
    /// Whether every property holds and every member has a live successor (or
    /// is alone).
    pub const fn healthy(&self) -> bool {
        self.at_least_one_ring
            && self.at_most_one_ring
            && self.ordered_ring
            && self.connected_appendages
            && self.valid_lists
            && !matches!(self.margin, Some(0))
    }
}

impl<'a> Members<'a> {
    /// The members with these tables. Peers named in the tables that are not
    /// among them count as dead.
    pub fn new(space: Space, states: impl IntoIterator<Item = &'a NodeState>) -> Members<'a> {
        let states: BTreeMap<Peer, &NodeState> =
            states.into_iter().map(|state| (state.peer, state)).collect();
        let best = states
            .values()
            .filter_map(|state| {
                let live = state.successors.iter().find(|peer| states.contains_key(peer)).copied();
                let alone = state.successors.is_empty().then_some(state.peer);
                Some((state.peer, live.or(alone)?))
            })
            .collect();
        let mut members = Members { space, states, best, ring: Vec::new() };
        members.ring = members.on_a_ring();
        members
    }

    /// All properties.
    pub fn report(&self) -> Report {
        Report {
            at_least_one_ring: self.at_least_one_ring(),
            at_most_one_ring: self.at_most_one_ring(),
            ordered_ring: self.ordered_ring(),
            connected_appendages: self.connected_appendages(),
            valid_lists: self.valid_lists(),
            margin: self.live_successor_margin(),
        }
    }

    /// *AtLeastOneRing*: some member is reachable from itself. Holds when
    /// there is no member at all.
    pub fn at_least_one_ring(&self) -> bool {
        self.states.is_empty() || !self.ring.is_empty()
    }

    /// *AtMostOneRing*: from any ring member every ring member is reachable.
    pub fn at_most_one_ring(&self) -> bool {
        let Some(first) = self.ring.first() else { return true };
        let reached = self.follow(*first);
        self.ring.iter().all(|peer| reached.contains(peer))
    }

    /// *OrderedRing*: no ring member lies between a ring member and its best
    /// successor.
    pub fn ordered_ring(&self) -> bool {
        let id = |peer: &Peer| peer.id(self.space);
        self.ring.iter().all(|from| {
            let Some(to) = self.best.get(from) else { return false };
            !self.ring.iter().any(|peer| peer != to && id(peer).between(id(from), id(to)))
        })
    }

    /// *ConnectedAppendages*: from every member a ring member is reachable.
    pub fn connected_appendages(&self) -> bool {
        // Best successors lead on until they come round or end.
        self.states.keys().all(|peer| {
            self.follow(*peer).last().is_some_and(|end| self.ring.binary_search(end).is_ok())
        })
    }

    /// *OrderedSuccessorLists*, *NoDuplicates*: along each list, its owner put
    /// before it, identifiers run clockwise without coming past the owner.
    pub fn valid_lists(&self) -> bool {
        self.states.values().all(|state| {
            let home = state.peer.id(self.space);
            let mut reached = 0;
            state.successors.iter().all(|peer| {
                let distance = self.space.distance(home, peer.id(self.space));
                let further = distance > reached;
                reached = distance;
                further
            })
        })
    }

    /// The fewest live successors in any list: one death less than that the
    /// ring surely survives. `None` when fewer than two members live.
    pub fn live_successor_margin(&self) -> Option<usize> {
        if self.states.len() < 2 {
            return None;
        }
        let live = |state: &&NodeState| {
            state.successors.iter().filter(|peer| self.states.contains_key(peer)).count()
        };
        self.states.values().map(live).min()
    }

    /// *Ideal*: every list is exactly the next `r` members (all others, when
    /// fewer), and every predecessor the one member before.
    pub fn ideal(&self, r: usize) -> bool {
        let mut order: Vec<Peer> = self.states.keys().copied().collect();
        order.sort_by_key(|peer| peer.id(self.space));
        let count = order.len();
        order.iter().enumerate().all(|(at, peer)| {
            let Some(state) = self.states.get(peer) else { return false };
            let before = (count > 1).then(|| order[(at + count - 1) % count]);
            let after = (1..count).map(|step| order[(at + step) % count]).take(r);
            state.predecessor == before && after.eq(state.successors.iter().copied())
        })
    }

    /// The members reached from `start` by best successors, `start` first,
    /// until they repeat or end.
    fn follow(&self, start: Peer) -> Vec<Peer> {
        let mut reached = vec![start];
        let mut seen = std::collections::BTreeSet::from([start]);
        let mut at = start;
        while let Some(next) = self.best.get(&at) {
            if !seen.insert(*next) {
                break;
            }
            reached.push(*next);
            at = *next;
        }
        reached
    }

    /// Every member that is reachable from itself, sorted.
    fn on_a_ring(&self) -> Vec<Peer> {
        // As many steps as there are members end on a ring, if anywhere: what
        // they reach from all members together is all that lies on rings.
        let mut ends: Vec<Peer> = self.states.keys().copied().collect();
        for _ in 0..self.states.len() {
            ends = ends.iter().filter_map(|peer| self.best.get(peer)).copied().collect();
            ends.sort_unstable();
            ends.dedup();
        }
        ends
    }
}
