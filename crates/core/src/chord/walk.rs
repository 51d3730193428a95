//! The walk of the census over the ring: which members it asks, and when ([`super::census`]).

use std::collections::BTreeMap;

use crate::limits::{MAX_CENSUS, MAX_LIST};
use crate::peer::Peer;
use crate::time::Time;

use super::census::{Census, CensusState};
use super::input::Timer;
use super::invariant::NodeState;
use super::node::{Node, Turn};
use super::purpose::{NeighbourAsk, Purpose};
use super::tables::Tables;
use super::view::Membership;

/// Periods of stabilize without a change after which a ring counts as settled:
/// within these every member has stabilized.
const SETTLED_PERIODS: u32 = 2;

/// Questions a firing of the timer, while not everyone has been asked since the last
/// change: some dozens a period of stabilize, so that a ring of 64 is known in about
/// one and a crowd that joins at once is not busy with its census alone.
const BURST: u8 = 16;

/// Questions that are open at a time.
const AT_ONCE: usize = 4;

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
        if self.membership != Membership::Member {
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
        if self.membership != Membership::Member {
            self.census.forget_vanished();
        }
        if was_fresh {
            self.rearm(Timer::Census, turn);
        }
    }
}
