//! Who is on the ring: for people, not for the protocol.
//!
//! A node whose list reaches round the ring knows all members. In a larger ring
//! the census walks from list to list, and then asks all of them in turn: as fast as answers
//! come, within bounds, until a round shows nothing new. At rest it asks one question in a
//! while, of those whose lists together go round the ring. Above
//! [`MAX_CENSUS`] members it stops walking, and the density of the successor
//! list gives an estimate. The answers are kept, so that the ring properties
//! ([`super::invariant`]) can be shown as this node sees them. Nothing here
//! ever changes a table.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::Space;
use crate::limits::MAX_CENSUS;
use crate::peer::Peer;
use crate::time::Time;

use super::invariant::NodeState;
use super::tables::Tables;
use super::vanished::Vanished;

/// What the census has gathered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Census {
    /// Members beyond the successor list, by their distance from this node.
    pub(super) far: BTreeMap<u128, Peer>,
    /// What the others last said of their neighbours.
    pub(super) states: BTreeMap<Peer, NodeState>,
    /// The member asked last, by its distance; 0: none in this round.
    pub(super) cursor: u128,
    /// When this round began.
    pub(super) begun: Time,
    /// Questions that may follow on answers before the timer fires again.
    pub(super) burst: u8,
    /// Rounds at rest, each of which begins with another member.
    pub(super) round: u32,
    /// Whether the walk has come round.
    pub(super) walked: bool,
    /// Whether all members have been asked since the last change.
    pub(super) fresh: bool,
    /// When this node's tables changed.
    pub(super) moved: Time,
    /// When a member came or went, or said that its neighbours are others.
    pub(super) changed: Time,
    /// Who is gone.
    pub(super) vanished: Vanished,
}

impl Census {
    /// Whether all members have been asked since the last change.
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

    /// This node is on another ring, or on none: no peer is missed.
    pub(super) fn forget_vanished(&mut self) {
        self.vanished.clear();
    }

    /// A member asked told its neighbours.
    pub(super) fn heard(
        &mut self,
        space: Space,
        me: Peer,
        tables: &Tables,
        state: NodeState,
        now: Time,
    ) {
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

    /// This node's tables changed. A peer that they no longer name has vanished if the
    /// list goes past its place; otherwise it is only further away now.
    pub(super) fn restart(
        &mut self,
        space: Space,
        me: Peer,
        before: &Tables,
        tables: &Tables,
        now: Time,
    ) {
        let home = me.id(space);
        let reach = if tables.knows_everyone() {
            u128::MAX
        } else {
            tables.successors.last().map_or(0, |last| space.distance(home, last.id(space)))
        };
        // No node is between the predecessor and this one.
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
    pub(super) fn find_again(&mut self, tables: &Tables, now: Time) {
        let far = &self.far;
        let here = |peer| tables.neighbours(peer) || far.values().any(|member| *member == peer);
        self.vanished.update(now, here);
    }

    /// Drops what was heard from those that are no members any more.
    pub(super) fn forget_strangers(&mut self, tables: &Tables) {
        let far = &self.far;
        self.states.retain(|peer, _| {
            tables.successors.contains(*peer) || far.values().any(|member| member == peer)
        });
    }
}

/// How much of the ring [`super::Node::members`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CensusState {
    /// All of it.
    Complete,
    /// The first walk has not come round yet.
    Partial,
    /// There are too many nodes to walk; about this many, from the density of
    /// the successor list.
    Estimate(u64),
}
