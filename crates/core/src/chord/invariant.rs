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

use crate::id::{Id, Space};
use crate::peer::Peer;

use super::input::Config;
use super::successors::Reach;

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
    /// See [`Members::in_place`].
    pub in_place: bool,
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
            in_place: self.in_place(),
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
        let mut reached = self.follow(*first);
        reached.sort_unstable();
        self.ring.iter().all(|peer| reached.binary_search(peer).is_ok())
    }

    /// *OrderedRing*: no ring member lies between a ring member and its best
    /// successor.
    pub fn ordered_ring(&self) -> bool {
        let mut places: Vec<Id> = self.ring.iter().map(|peer| peer.id(self.space)).collect();
        places.sort_unstable();
        places.dedup();
        self.ring.iter().all(|from| {
            let Some(to) = self.best.get(from) else { return false };
            let (from, to) = (from.id(self.space), to.id(self.space));
            // If any lies between the two, the next one does.
            let next = places.partition_point(|place| *place <= from) % places.len();
            !places[next].between(from, to)
        })
    }

    /// *ConnectedAppendages*: from every member a ring member is reachable.
    pub fn connected_appendages(&self) -> bool {
        let mut known: BTreeMap<Peer, bool> = self.ring.iter().map(|peer| (*peer, true)).collect();
        self.states.keys().all(|start| {
            let (mut way, mut at) = (Vec::new(), Some(*start));
            let reaches = loop {
                let Some(peer) = at else { break false };
                if let Some(reaches) = known.get(&peer) {
                    break *reaches;
                }
                way.push(peer);
                at = self.best.get(&peer).copied();
            };
            known.extend(way.into_iter().map(|peer| (peer, reaches)));
            reaches
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

    /// Of every member the best successor is the next member, and the predecessor
    /// the one before: no node hangs on the ring without being in it. More than
    /// [`Report::healthy`] asks for: a ring that changes is not so for a moment.
    pub fn in_place(&self) -> bool {
        let mut order: Vec<Peer> = self.states.keys().copied().collect();
        order.sort_by_key(|peer| (peer.id(self.space), *peer));
        let count = order.len();
        order.iter().enumerate().all(|(at, peer)| {
            let before = (count > 1).then(|| order[(at + count - 1) % count]);
            let state = self.states.get(peer);
            self.best.get(peer) == Some(&order[(at + 1) % count])
                && state.is_some_and(|state| state.predecessor == before)
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
    ///
    /// For rings of hosts with one position each; see [`Members::is_ideal`].
    pub fn ideal(&self, r: usize) -> bool {
        self.all_reach(Reach::new(r, 0))
    }

    /// The same as the members' configuration has it: lists are longer where
    /// their entries are positions of few hosts.
    pub fn is_ideal(&self, config: &Config) -> bool {
        self.all_reach(config.reach())
    }

    fn all_reach(&self, reach: Reach) -> bool {
        let mut order: Vec<Peer> = self.states.keys().copied().collect();
        order.sort_by_key(|peer| peer.id(self.space));
        let count = order.len();
        order.iter().enumerate().all(|(at, peer)| {
            let Some(state) = self.states.get(peer) else { return false };
            let before = (count > 1).then(|| order[(at + count - 1) % count]);
            let after = (1..count).map(|step| order[(at + step) % count]);
            state.predecessor == before && reach.cut(*peer, after) == state.successors
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
        // Where a walk along best successors meets itself, there is a ring.
        let mut walked: BTreeMap<Peer, usize> = BTreeMap::new();
        let mut ring = Vec::new();
        for (walk, start) in self.states.keys().enumerate() {
            let mut at = *start;
            let meets = loop {
                if let Some(earlier) = walked.get(&at) {
                    break *earlier == walk;
                }
                walked.insert(at, walk);
                match self.best.get(&at) {
                    Some(next) => at = *next,
                    None => break false,
                }
            };
            if meets {
                ring.extend(self.follow(at));
            }
        }
        ring.sort_unstable();
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The node on 2^10 places, by the last digit of its port: 2001 → 48,
    /// 2003 → 236, 2000 → 466, 2002 → 495, 2004 → 833.
    fn peer(digit: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], 2000 + digit).into(), 0)
    }

    fn state(digit: u16, predecessor: u16, successors: &[u16]) -> NodeState {
        let successors = successors.iter().map(|digit| peer(*digit)).collect();
        NodeState { peer: peer(digit), predecessor: Some(peer(predecessor)), successors }
    }

    fn report(states: &[NodeState]) -> Report {
        Members::new(Space::default(), states).report()
    }

    fn good() -> Vec<NodeState> {
        vec![
            state(1, 4, &[3, 0]),
            state(3, 1, &[0, 2]),
            state(0, 3, &[2, 4]),
            state(2, 0, &[4, 1]),
            state(4, 2, &[1, 3]),
        ]
    }

    #[test]
    fn an_ideal_ring_has_every_property() {
        let states = good();
        assert!(report(&states).healthy());
        assert_eq!(report(&states).margin, Some(2));
        assert!(report(&states).in_place);
        assert!(Members::new(Space::default(), &states).ideal(2));
        assert!(!Members::new(Space::default(), &states).ideal(3), "lists may be longer");
    }

    #[test]
    fn who_hangs_on_the_ring_without_being_in_it_is_found_by_its_predecessor() {
        let mut states = good();
        // 2003 is in every list, but does not know who is before it.
        states[1].predecessor = Some(peer(4));
        assert!(report(&states).healthy() && !report(&states).in_place);
        states[1].predecessor = None;
        assert!(!report(&states).in_place);
    }

    #[test]
    fn none_and_one_are_rings_too() {
        assert!(report(&[]).healthy());
        let alone = NodeState { peer: peer(0), predecessor: None, successors: Vec::new() };
        assert!(report(std::slice::from_ref(&alone)).healthy());
        assert!(Members::new(Space::default(), [&alone]).ideal(16));
    }

    #[test]
    fn two_rings_are_one_too_many() {
        let states = [state(1, 0, &[0]), state(0, 1, &[1]), state(3, 2, &[2]), state(2, 3, &[3])];
        let report = report(&states);
        assert!(report.at_least_one_ring && !report.at_most_one_ring);
    }

    #[test]
    fn self_as_a_successor_is_no_valid_list_and_a_ring_of_its_own() {
        let mut states = good();
        states[0].successors = vec![peer(1)];
        let report = report(&states);
        assert!(!report.valid_lists);
    }

    #[test]
    fn an_appendage_is_fine_and_a_lost_node_is_not() {
        let mut states = good();
        // 2003 is passed over by its predecessor, but finds the way itself.
        states[0].successors = vec![peer(0), peer(2)];
        assert!(report(&states).healthy() && !report(&states).in_place);
        // Both its successors are dead.
        let states = [state(1, 0, &[0]), state(0, 1, &[1]), state(3, 1, &[2, 4])];
        let report = report(&states);
        assert!(!report.connected_appendages && report.at_most_one_ring);
        assert_eq!(report.margin, Some(0));
    }

    #[test]
    fn a_ring_that_goes_round_twice_is_disordered() {
        // 48 → 466 → 833 → 236 → 495 → 48
        let states = [
            state(1, 2, &[0]),
            state(0, 1, &[4]),
            state(4, 0, &[3]),
            state(3, 4, &[2]),
            state(2, 3, &[1]),
        ];
        let report = report(&states);
        assert!(report.at_most_one_ring && !report.ordered_ring && !report.healthy());
    }

    #[test]
    fn a_list_out_of_order_is_seen() {
        let mut states = good();
        states[0].successors.reverse();
        assert!(!report(&states).valid_lists);
    }

    /// The definitions to the letter, whatever they cost.
    fn to_the_letter(members: &Members<'_>) -> (Vec<Peer>, bool, bool) {
        let id = |peer: &Peer| peer.id(members.space);
        let returns = |start: &&Peer| {
            let mut at = members.best.get(start);
            for _ in 0..members.states.len() {
                if at == Some(start) {
                    return true;
                }
                at = at.and_then(|peer| members.best.get(peer));
            }
            false
        };
        let ring: Vec<Peer> = members.states.keys().filter(returns).copied().collect();
        let between = |from: &Peer, to: &Peer| {
            ring.iter().any(|peer| peer != to && id(peer).between(id(from), id(to)))
        };
        let ordered = ring.iter().all(|from| !between(from, &members.best[from]));
        let reaches = |start: &Peer| members.follow(*start).iter().any(|peer| ring.contains(peer));
        let connected = members.states.keys().all(reaches);
        (ring, ordered, connected)
    }

    proptest::proptest! {
        #[test]
        fn large_rings_are_judged_as_the_definitions_say(
            lists in proptest::collection::vec(proptest::collection::vec(0u16..9, 0..3), 0..9),
        ) {
            let states: Vec<NodeState> =
                (0..).zip(&lists).map(|(digit, list)| state(digit, 0, list)).collect();
            let members = Members::new(Space::default(), &states);
            let (ring, ordered, connected) = to_the_letter(&members);
            proptest::prop_assert_eq!(&members.ring, &ring);
            proptest::prop_assert_eq!(members.ordered_ring(), ordered);
            proptest::prop_assert_eq!(members.connected_appendages(), connected);
        }
    }
}
