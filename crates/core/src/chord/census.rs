//! Who is on the ring: for people, not for the protocol.
//!
//! A node whose list reaches round the ring knows everyone. In a larger ring
//! the census walks from list to list, and then asks everyone in turn: as fast as answers
//! come, within bounds, until a round shows nothing new. At rest it asks one question in a
//! while, of those whose lists together go round the ring. Above
//! [`MAX_CENSUS`] members it stops walking, and the density of the successor
//! list gives an estimate. The answers are kept, so that the ring properties
//! ([`super::invariant`]) can be shown as this node sees them. Nothing here
//! ever changes a table.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::id::Space;
use crate::limits::{MAX_CENSUS, MAX_LIST};
use crate::peer::Peer;
use crate::time::Time;

use super::invariant::NodeState;
use super::node::{NeighbourAsk, Node, Purpose, Tables, Turn};
use super::vanished::Vanished;
use super::{CensusState, Standing, Timer};

/// What the census has gathered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Census {
    /// Members beyond the successor list, by their distance from this node.
    far: BTreeMap<u128, Peer>,
    /// What the others last said of their neighbours.
    states: BTreeMap<Peer, NodeState>,
    /// The member asked last, by its distance; 0: none in this round.
    cursor: u128,
    /// When this round began.
    begun: Time,
    /// Questions that may follow on answers before the timer fires again.
    burst: u8,
    /// Rounds at rest, each of which begins with another member.
    round: u32,
    /// Whether the walk has come round.
    walked: bool,
    /// Whether everyone has been asked since the last change.
    fresh: bool,
    /// When the own tables changed.
    moved: Time,
    /// When a member came or went, or said that its neighbours are others.
    changed: Time,
    /// Who is gone.
    vanished: Vanished,
}

/// Periods of stabilize without a change after which a ring counts as settled:
/// within these every member has stabilized.
const SETTLED_PERIODS: u32 = 2;

/// Questions a firing of the timer, while not everyone has been asked since the last
/// change: some dozens a period of stabilize, so that a ring of 64 is known in about
/// one and a crowd that joins at once is not busy with its census alone.
const BURST: u8 = 16;

/// Questions that are open at a time.
const AT_ONCE: usize = 4;

impl Census {
    /// Whether everyone has been asked since the last change.
    pub(super) const fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// A member asked did not answer.
    pub(super) fn unheard(&mut self, peer: Peer, now: Time) {
        let known = self.far.len();
        self.states.remove(&peer);
        self.far.retain(|_, member| *member != peer);
        if self.far.len() < known {
            self.vanished.insert(peer, now);
            self.changed = now;
        }
    }

    /// A member said that it leaves.
    pub(super) fn leaves(&mut self, peer: Peer, now: Time) {
        self.vanished.leaves(peer, now);
    }

    /// Whether a member said so, and was not heard of as one since.
    pub(super) fn has_left(&self, peer: Peer) -> bool {
        self.vanished.has_left(peer)
    }

    /// Members that said so within this time.
    pub(super) fn left_within(&self, lately: Duration, now: Time) -> impl Iterator<Item = Peer> {
        self.vanished.left_within(lately, now)
    }

    /// This node is on another ring, or on none: nobody is missed.
    pub(super) fn forget_vanished(&mut self) {
        self.vanished.clear();
    }

    /// A member asked told its neighbours.
    fn heard(&mut self, space: Space, me: Peer, tables: &Tables, state: NodeState, now: Time) {
        self.vanished.is_back(state.peer);
        if self.states.get(&state.peer).is_some_and(|known| *known != state) {
            self.changed = now;
        }
        let home = me.id(space);
        let distance = |peer: Peer| space.distance(home, peer.id(space));
        let from = distance(state.peer);
        // What lies clockwise of it before this node, as far as its list goes.
        let ahead: Vec<Peer> =
            state.successors.iter().copied().take_while(|peer| distance(*peer) > from).collect();
        let wraps = ahead.len() < state.successors.len();
        let reach = if wraps { u128::MAX } else { ahead.last().map_or(from, |p| distance(*p)) };
        self.walked |= wraps;
        if self.fresh {
            // A member that joins or leaves on the way there shows in this list.
            self.cursor = self.cursor.max(reach.saturating_sub(1));
        }
        let vanished = &mut self.vanished;
        self.far.retain(|&at, peer| {
            let stays = at <= from || at > reach || ahead.contains(peer);
            if !stays {
                vanished.insert(*peer, now);
            }
            stays
        });
        for peer in ahead {
            if self.far.len() < MAX_CENSUS
                && !tables.successors.contains(peer)
                && self.far.insert(distance(peer), peer) != Some(peer)
            {
                self.changed = now;
            }
        }
        self.states.insert(state.peer, state);
    }

    /// The own tables changed. Whom they do not name any more has vanished if the
    /// list goes past its place; otherwise it is only further away now.
    fn restart(&mut self, space: Space, me: Peer, before: &Tables, tables: &Tables, now: Time) {
        let home = me.id(space);
        let reach = if tables.knows_everyone() {
            u128::MAX
        } else {
            tables.successors.last().map_or(0, |last| space.distance(home, last.id(space)))
        };
        // Nobody is between the predecessor and this node.
        let behind = tables.predecessor.map_or(u128::MAX, |p| space.distance(home, p.id(space)));
        let named = before.successors.as_slice().iter().copied().chain(before.predecessor);
        for peer in named.filter(|peer| !tables.neighbours(*peer)) {
            self.far.insert(space.distance(home, peer.id(space)), peer);
        }
        let vanished = &mut self.vanished;
        self.far.retain(|&at, peer| {
            let stays = at > reach && at <= behind;
            if !stays && !tables.neighbours(*peer) {
                vanished.insert(*peer, now);
            }
            stays
        });
        self.forget_strangers(tables);
        self.cursor = 0;
        self.fresh = false;
        (self.moved, self.changed) = (now, now);
        self.find_again(tables, now);
    }

    /// A node that is a member again is not missed.
    fn find_again(&mut self, tables: &Tables, now: Time) {
        let far = &self.far;
        let here = |peer| tables.neighbours(peer) || far.values().any(|member| *member == peer);
        self.vanished.update(now, here);
    }

    /// Drops what was heard from those that are no members any more.
    fn forget_strangers(&mut self, tables: &Tables) {
        let far = &self.far;
        self.states.retain(|peer, _| {
            tables.successors.contains(*peer) || far.values().any(|member| member == peer)
        });
    }
}

impl Node {
    /// All members known, in the order of their identifiers, this node
    /// included, and how much of the ring they are.
    pub fn members(&self) -> (Vec<Peer>, CensusState) {
        let (space, me, tables) = (self.space(), self.me, &self.tables);
        let mut members: Vec<Peer> = std::iter::once(me)
            .chain(tables.successors.as_slice().iter().copied())
            .chain(tables.predecessor)
            .chain(self.census.far.values().copied())
            .collect();
        members.sort_by_key(|peer| (peer.id(space), *peer));
        members.dedup();
        let state = match self.estimate() {
            _ if tables.knows_everyone() => CensusState::Complete,
            Some(nodes) => CensusState::Estimate(nodes.max(members.len() as u64)),
            None if self.census.walked => CensusState::Complete,
            None if self.census.far.len() >= MAX_CENSUS => {
                CensusState::Estimate(members.len() as u64)
            }
            None => CensusState::Partial,
        };
        (members, state)
    }

    /// This node and what the other members last said of their neighbours.
    pub fn observed(&self) -> Vec<NodeState> {
        std::iter::once(self.ring_state()).chain(self.census.states.values().cloned()).collect()
    }

    /// Whether this node has had the same neighbours for a while.
    pub fn is_steady(&self, now: Time) -> bool {
        now - self.census.moved >= self.config.stabilize * SETTLED_PERIODS
    }

    /// The same of all members, as far as this node has heard of it.
    pub fn is_settled(&self, now: Time) -> bool {
        self.is_steady(now) && now - self.census.changed >= self.config.stabilize * SETTLED_PERIODS
    }

    /// Members known in the last ten minutes that are gone and have not left.
    pub fn missed(&self, now: Time) -> Vec<Peer> {
        self.census.vanished.missed(now, self.config.stabilize / 2).collect()
    }

    /// About how many nodes there are, when too many to walk.
    fn estimate(&self) -> Option<u64> {
        let (space, home) = (self.space(), self.me.id(self.space()));
        let tables = &self.tables;
        let last = tables.successors.last()?;
        if tables.knows_everyone() || tables.successors.len() < self.config.successors {
            return None;
        }
        let share = space.distance(home, last.id(space)) as f64 / space.last().value() as f64;
        let nodes = (tables.successors.len() as f64 / share).round() as u64;
        (nodes > MAX_CENSUS as u64).then_some(nodes)
    }

    /// [`Timer::Census`] fired.
    pub(super) fn census_step(&mut self, turn: &mut Turn) {
        self.census.burst = BURST;
        self.census_goes_on(turn);
    }

    /// Asks on, as far as that is due: at rest one question, otherwise some at a time.
    fn census_goes_on(&mut self, turn: &mut Turn) {
        while self.census.burst > 0 && self.census_asks(turn) {
            self.census.burst = if self.census.fresh { 0 } else { self.census.burst - 1 };
        }
    }

    /// One question, unless enough are open or everyone has been asked. Whether there
    /// was one.
    fn census_asks(&mut self, turn: &mut Turn) -> bool {
        let open = self
            .asks
            .iter()
            .filter(|(_, _, purpose)| **purpose == Purpose::Neighbours(NeighbourAsk::Census));
        let open = open.count();
        if open >= AT_ONCE || self.tables.successors.is_empty() {
            return false;
        }
        if self.estimate().is_some() {
            let (moved, changed) = (self.census.moved, self.census.changed);
            self.census = Census { fresh: true, moved, changed, ..Census::default() };
            return false;
        }
        let (space, home) = (self.space(), self.me.id(self.space()));
        let mut others: BTreeMap<u128, Peer> = self.census.far.clone();
        for peer in self.tables.successors.as_slice() {
            others.insert(space.distance(home, peer.id(space)), *peer);
        }
        let walking = !self.census.walked
            && !self.tables.knows_everyone()
            && self.census.far.len() < MAX_CENSUS;
        let next = if walking {
            // Where the next step leads the answer says.
            if open > 0 {
                return false;
            }
            others.pop_last()
        } else {
            let next = others.range(self.census.cursor.saturating_add(1)..).next();
            let first = self.census.round as usize % self.tables.successors.len();
            match next.filter(|_| !self.census.fresh || self.census.cursor > 0) {
                None if self.census.fresh => {
                    self.census.round = self.census.round.wrapping_add(1);
                    others.into_iter().nth(first)
                }
                next => next.map(|(at, peer)| (*at, *peer)),
            }
        };
        match next {
            Some((at, peer)) => {
                if !walking {
                    if self.census.cursor == 0 {
                        self.census.begun = turn.now;
                    }
                    self.census.cursor = at;
                }
                self.ask_neighbours(peer, NeighbourAsk::Census, turn);
                true
            }
            None => {
                if open == 0 {
                    self.census.cursor = 0;
                    // Where something changed meanwhile, more may have.
                    self.census.fresh = self.census.changed < self.census.begun;
                }
                false
            }
        }
    }

    /// A member told its neighbours to the census.
    pub(super) fn census_heard(&mut self, mut state: NodeState, turn: &mut Turn) {
        state.successors.truncate(MAX_LIST);
        state.successors.retain(|peer| !self.was(*peer));
        let (space, me) = (self.space(), self.me);
        self.census.heard(space, me, &self.tables, state, turn.now);
        if self.tables.knows_everyone() {
            self.census.far.clear();
        }
        self.census.forget_strangers(&self.tables);
        self.census.find_again(&self.tables, turn.now);
        self.census_answered(turn);
    }

    /// A question of the census has ended, which may have shown a change.
    pub(super) fn census_answered(&mut self, turn: &mut Turn) {
        if self.standing != Standing::Member {
            return;
        }
        if self.census.fresh && self.census.changed == turn.now {
            self.census.fresh = false;
            self.census.cursor = 0;
            self.rearm(Timer::Census, turn);
        }
        self.census_goes_on(turn);
    }

    /// The own tables changed: the census goes round again, faster.
    pub(super) fn census_restart(&mut self, before: &Tables, turn: &mut Turn) {
        let (space, me) = (self.space(), self.me);
        let was_fresh = self.census.fresh;
        self.census.restart(space, me, before, &self.tables, turn.now);
        if self.standing != Standing::Member {
            self.census.forget_vanished();
        }
        if was_fresh {
            self.rearm(Timer::Census, turn);
        }
    }
}
