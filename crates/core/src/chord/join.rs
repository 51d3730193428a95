//! Coming to be a member: the start, joining, changing place.

use std::net::SocketAddr;
use std::time::Duration;

use crate::peer::Peer;
use crate::record::Record;
use crate::wire::Ask;

use super::effect::{Failure, Notice, Reply};
use super::input::{Ticket, Timer};
use super::lookups::LookupPurpose;
use super::node::{Heard, Join, Node, Turn};
use super::purpose::{NeighbourAsk, Purpose};
use super::tables::Tables;
use super::view::Membership;

/// Attempts at a contact that stays silent: the first messages may be lost,
/// and a person who mistyped an address wants to know soon.
const SILENT_ATTEMPTS: u8 = 3;

/// Attempts on a ring that answers but changes between the two questions of a
/// join: 50 nodes that join at once each need a few.
const ATTEMPTS: u8 = 20;

/// Places tried before the ring counts as full.
const PLACES: u16 = 256;

impl Node {
    /// [`super::Input::Start`]
    pub(super) fn start(&mut self, records: Vec<Record>, remembered: Vec<Peer>, turn: &mut Turn) {
        self.replicas.start(records);
        let address = self.me.address();
        let known = |peer: &Peer| peer.address() != address || self.is_sibling(*peer);
        let remembered: Vec<Peer> = remembered.into_iter().filter(known).collect();
        for peer in &remembered {
            self.remembered.insert(*peer, self.me);
        }
        match self.membership {
            Membership::New => {}
            // Built as a member.
            Membership::Member => {
                self.files(turn).built();
                return self.arm_all(turn);
            }
            Membership::Joining | Membership::Leaving | Membership::Left => return,
        }
        let mut others: Vec<Peer> = remembered.into_iter().rev().collect();
        match others.pop() {
            Some(contact) => {
                let before = Membership::Member;
                self.begin_join(Join { ticket: None, contact, others, before, attempts: 0 }, turn);
            }
            None => {
                self.set_membership(Membership::Member, turn);
                self.arm_all(turn);
            }
        }
    }

    /// [`super::Command::Join`]
    pub(super) fn command_join(&mut self, ticket: Ticket, contact: Peer, turn: &mut Turn) {
        if contact.address() == self.me.address() && !self.is_sibling(contact) {
            return turn.fail(ticket, Failure::AlreadyMember(contact.address()));
        }
        match self.membership {
            Membership::Member if !self.tables.is_alone() => {
                self.remembered.insert(contact, self.me);
                // A contact that left its ring comes back with this node into it.
                let ask = Ask::Next { key: self.me.id(self.space()), enter: true };
                self.ask(contact, ask, Purpose::Contact { ticket }, turn);
            }
            Membership::Member | Membership::Left => {
                self.remembered.insert(contact, self.me);
                let (others, before) = (Vec::new(), self.membership);
                let ticket = Some(ticket);
                self.begin_join(Join { ticket, contact, others, before, attempts: 0 }, turn);
            }
            Membership::Joining => match self.join.take() {
                // Its own attempt to find back gives way to what a person wants.
                Some(Join { ticket: None, contact: old, mut others, before, .. }) => {
                    self.remembered.insert(contact, self.me);
                    others.push(old);
                    let ticket = Some(ticket);
                    self.begin_join(Join { ticket, contact, others, before, attempts: 0 }, turn);
                }
                join => {
                    self.join = join;
                    turn.fail(ticket, Failure::Busy("joining a ring"));
                }
            },
            Membership::New | Membership::Leaving => {
                turn.fail(ticket, Failure::Busy(self.busy().unwrap_or("busy")));
            }
        }
    }

    /// Another member has this node's very place: joins again, at the place of
    /// its next index.
    pub(super) fn place_lost(&mut self, taken_by: Peer, contact: Peer, turn: &mut Turn) {
        if self.membership != Membership::Member {
            return;
        }
        self.rename(taken_by, turn);
        let others = self.tables.successors.as_slice().iter().rev().copied().collect();
        let before = Membership::Member;
        self.begin_join(Join { ticket: None, contact, others, before, attempts: 0 }, turn);
    }

    fn begin_join(&mut self, join: Join, turn: &mut Turn) {
        self.set_membership(Membership::Joining, turn);
        self.forget_ring(turn);
        self.join = Some(join);
        self.try_join(turn);
    }

    /// Leaves nothing of the ring but the files: no tables, no questions.
    pub(super) fn forget_ring(&mut self, turn: &mut Turn) {
        *self.change(turn) = Tables::default();
        self.abandon_lookups(turn);
        for (_, from, purpose) in self.asks.iter() {
            if let Purpose::Contact { ticket } = purpose {
                turn.fail(*ticket, Failure::NoContact(from.address()));
            }
        }
        self.asks.forget(|purpose| !matches!(purpose, Purpose::Ping(_) | Purpose::Files(_)));
        self.silent.clear();
    }

    fn try_join(&mut self, turn: &mut Turn) {
        if let Some(join) = &mut self.join {
            join.attempts += 1;
            let contact = join.contact;
            self.look_up_through(contact, LookupPurpose::Join, turn);
        }
    }

    /// [`Timer::Join`] fired.
    pub(super) fn join_again(&mut self, turn: &mut Turn) {
        let looking = self.lookups.any(|why| *why == LookupPurpose::Join)
            || self
                .asks
                .iter()
                .any(|(_, _, purpose)| *purpose == Purpose::Neighbours(NeighbourAsk::Place));
        if self.membership == Membership::Joining && !looking {
            self.try_join(turn);
        }
    }

    /// The lookup of the own place ended; `heard`: the contact answered.
    pub(super) fn place_found(
        &mut self,
        found: Option<super::Found>,
        heard: bool,
        turn: &mut Turn,
    ) {
        let Some(found) = found else { return self.attempt_failed(heard, turn) };
        let space = self.space();
        if found.owner.id(space) == self.me.id(space) {
            return self.try_next_place(found.owner, turn);
        }
        let before = found.predecessor.unwrap_or(found.owner);
        self.ask_neighbours(before, NeighbourAsk::Place, turn);
    }

    fn try_next_place(&mut self, taken_by: Peer, turn: &mut Turn) {
        self.rename(taken_by, turn);
        // The next attempt goes on with places that were not tried.
        if (self.me.index() / self.positions).is_multiple_of(PLACES) {
            return self.join_failed(Failure::NoPlace, turn);
        }
        if let Some(join) = &self.join {
            let contact = join.contact;
            self.look_up_through(contact, LookupPurpose::Join, turn);
        }
    }

    fn rename(&mut self, taken_by: Peer, turn: &mut Turn) {
        let from = self.me;
        // The next of its own: those between belong to the host's other positions.
        let next = from.index().checked_add(self.positions);
        self.me = Peer::new(from.address(), next.unwrap_or(from.index() % self.positions));
        turn.notice(Notice::Renamed { from, to: self.me, taken_by });
    }

    /// The node before this node's place answered, or not: its whole list
    /// becomes this node's own, if the place is still between the two.
    pub(super) fn place_answered(&mut self, heard: Option<&Heard>, turn: &mut Turn) {
        let Some(heard) = heard else { return self.attempt_failed(true, turn) };
        let (space, me) = (self.space(), self.me);
        let home = me.id(space);
        let is_other = |peer: &Peer| *peer != me && !self.was(*peer);
        let others = || heard.successors.iter().copied().filter(is_other);
        if let Some(taken_by) = others().find(|peer| peer.id(space) == home) {
            return self.try_next_place(taken_by, turn);
        }
        let list = match others().next() {
            Some(first) if home.between(heard.from.id(space), first.id(space)) => {
                self.list(others())
            }
            // Others have joined in between: on with the last of them before this place.
            Some(_) => {
                let from = heard.from.id(space);
                let before = others().filter(|peer| peer.id(space).between(from, home));
                return match before.max_by_key(|peer| space.distance(from, peer.id(space))) {
                    Some(nearer) => self.ask_neighbours(nearer, NeighbourAsk::Place, turn),
                    None => self.attempt_failed(true, turn),
                };
            }
            None => self.list([heard.from]),
        };
        let Some(successor) = list.head() else { return self.attempt_failed(true, turn) };
        let tables = self.change(turn);
        tables.predecessor = Some(heard.from);
        tables.successors = list;
        self.set_membership(Membership::Member, turn);
        self.census.forget_vanished();
        turn.notice(Notice::Joined { successor });
        if let Some(Join { ticket: Some(ticket), .. }) = self.join.take() {
            turn.reply(ticket, Reply::Joined { me, successor });
        }
        self.arm_all(turn);
        self.stabilize(turn);
        self.fix_finger(turn);
    }

    fn attempt_failed(&mut self, heard: bool, turn: &mut Turn) {
        let Some(join) = &mut self.join else { return };
        let by_itself = join.ticket.is_none();
        let limit = match heard {
            true => ATTEMPTS,
            // Remembered members are many, and may all be gone.
            false if by_itself => 1,
            false => SILENT_ATTEMPTS,
        };
        if join.attempts >= limit {
            let failure = if heard { Failure::JoinFailed } else { Failure::NoContact };
            return self.join_failed(failure, turn);
        }
        let wait: Duration = self.config.stabilize / 8;
        turn.arm(Timer::Join, wait..wait * 2);
    }

    fn join_failed(&mut self, failure: fn(SocketAddr) -> Failure, turn: &mut Turn) {
        let Some(mut join) = self.join.take() else { return };
        if let Some(ticket) = join.ticket.take() {
            turn.fail(ticket, failure(join.contact.address()));
        }
        if let Some(contact) = join.others.pop() {
            join.contact = contact;
            join.attempts = 0;
            self.join = Some(join);
            return self.try_join(turn);
        }
        self.set_membership(join.before, turn);
        if join.before == Membership::Member {
            turn.notice(Notice::Alone);
            self.arm_all(turn);
        }
    }

    pub(super) fn arm_all(&self, turn: &mut Turn) {
        for timer in
            [Timer::Stabilize, Timer::FixFingers, Timer::Repair, Timer::Probe, Timer::Census]
        {
            self.rearm(timer, turn);
        }
    }
}
