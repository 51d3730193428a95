//! Going in order, and taking over another ring's parameters.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::peer::Peer;
use crate::time::Time;
use crate::wire::Tell;
use crate::wire::handshake::Params;

use super::effect::{Effect, Failure, Notice, Reply};
use super::input::{Ticket, Timer};
use super::node::{Node, Turn};
use super::providers::Providers;
use super::replicas::handover::PATIENCE;
use super::view::Membership;

/// Peers that hear of a leave besides the neighbours: a bound on what a node of
/// a large ring says at its end. A node that does not hear of it asks the leaver.
const TOLD: usize = 256;

impl Node {
    /// [`super::Command::Leave`]: the files go to where they belong without
    /// this node, while the lists of the others close over it.
    pub(super) fn command_leave(&mut self, ticket: Ticket, turn: &mut Turn) {
        match self.membership {
            Membership::Member => {}
            Membership::Joining => {
                // Nothing was begun that others know of.
                self.leave = Some(ticket);
                self.forget_ring(turn);
                if let Some(waiting) = self.join.take().and_then(|join| join.ticket()) {
                    turn.fail(waiting, Failure::Busy("leaving its ring"));
                }
                return self.end_leave(turn);
            }
            Membership::Leaving => return turn.fail(ticket, Failure::Busy("leaving its ring")),
            Membership::New | Membership::Left => return turn.fail(ticket, Failure::NoRing),
        }
        self.set_membership(Membership::Leaving, turn);
        self.leave = Some(ticket);
        let (predecessor, successors) = (self.tables.predecessor, &self.tables.successors);
        let tell = Tell::Leaving { predecessor, successors: successors.as_slice().to_vec() };
        for peer in self.acquaintances(turn.now) {
            turn.tell(peer, tell.clone());
        }
        let here = self.me.address();
        let members = self.members().0.into_iter().filter(|peer| peer.address() != here);
        self.left_behind = members.filter(|peer| !self.census.has_left(*peer)).collect();
        self.abandon_lookups(turn);
        self.leave_goes_on(turn);
        self.providers_leave(turn);
        self.files(turn).leave();
    }

    /// The peers that this node knows on its ring, neighbours first, and those that left it
    /// just now: where many go at the same moment those may still wait for this one.
    fn acquaintances(&self, now: Time) -> Vec<Peer> {
        let mut seen = BTreeSet::new();
        let tables = &self.tables;
        let neighbours = tables.predecessor.iter().chain(tables.successors.as_slice()).copied();
        let fingers = self.fingers().into_iter().filter_map(|row| row.node);
        let leavers = self.census.left_within(PATIENCE.start, now);
        let known = neighbours.chain(fingers).chain(self.members().0).chain(leavers);
        known.filter(|peer| *peer != self.me && seen.insert(*peer)).take(TOLD).collect()
    }

    /// The leave has made progress, or is to last whether it has or not.
    pub(super) fn leave_goes_on(&mut self, turn: &mut Turn) {
        if self.membership == Membership::Leaving {
            turn.arm(Timer::Leave, PATIENCE);
        }
    }

    /// A peer left the ring in order: it is not expected back.
    pub(super) fn departs(&mut self, peer: Peer, turn: &mut Turn) {
        if self.remembered.depart(peer) {
            turn.notice(Notice::Departed(peer));
        }
    }

    /// The leave has lasted long enough.
    pub(super) fn leave_is_over(&mut self, turn: &mut Turn) {
        if self.membership == Membership::Leaving {
            self.end_leave(turn);
        }
    }

    /// Another node joins this one, which has left its ring: they make a new ring.
    pub(super) fn found_ring(&mut self, turn: &mut Turn) {
        self.set_membership(Membership::Member, turn);
        self.arm_all(turn);
    }

    /// Everything is handed over, or it has taken long enough.
    pub(super) fn end_leave(&mut self, turn: &mut Turn) {
        self.set_membership(Membership::Left, turn);
        self.forget_ring(turn);
        let (handed, kept) = self.replicas.left();
        let together = std::mem::take(&mut self.left_behind).is_empty();
        for timer in Timer::SINGLE {
            turn.out.push(Effect::Disarm(timer));
        }
        turn.notice(Notice::Left);
        if let Some(ticket) = self.leave.take() {
            turn.reply(ticket, Reply::Left { handed, kept, together });
        }
    }

    /// [`super::Command::Adopt`]
    pub(super) fn command_adopt(&mut self, ticket: Ticket, params: Params, turn: &mut Turn) {
        let members = self.tables.successors.len();
        match self.membership {
            Membership::Joining | Membership::Leaving => {
                return turn.fail(ticket, Failure::Busy(self.busy().unwrap_or("busy")));
            }
            Membership::Member if !self.tables.is_alone() => {
                return turn.fail(ticket, Failure::HasMembers(members.max(1)));
            }
            Membership::New | Membership::Member | Membership::Left => {}
        }
        if params != self.config.params {
            if self.replicas.len() > 0 {
                return turn.fail(ticket, Failure::HasFiles(self.replicas.len()));
            }
            Arc::make_mut(&mut self.config).params = params.clone();
            self.forget_ring(turn);
            // They are members of a ring that this node cannot speak to now.
            self.remembered.forget(|_| true);
            // So are those who share there.
            self.providers = Providers::default();
            turn.notice(Notice::Adopted(params));
        }
        turn.reply(ticket, Reply::Adopted);
    }
}
