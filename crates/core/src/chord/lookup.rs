//! Iterative lookups: the asker sees every hop.
//!
//! A lookup gathers what every node asked says of its tables, and after each
//! answer goes where the key most likely lives: to the owner that some list
//! names, else to the closest node known before the key. It ends when the owner
//! itself says so. Nodes that do not answer are remembered for this lookup only.

use crate::id::Id;
use crate::limits::{MAX_CLOSER, MAX_LIST};
use crate::peer::Peer;
use crate::wire::{Answer, Ask};

use super::effect::{Failure, Found, Notice, Reply};
use super::input::Ticket;
use super::lookups::{Lookup, LookupPurpose, Reported, Step};
use super::node::{Node, Turn};
use super::purpose::Purpose;
use super::view::Membership;

impl Node {
    /// Whether the key is this node's, as far as it knows.
    fn owns(&self, key: Id) -> bool {
        let (space, home) = (self.space(), self.me.id(self.space()));
        self.tables.is_alone()
            || self.tables.predecessor.is_some_and(|p| key.within(p.id(space), home))
    }

    /// Answers [`Ask::Next`].
    pub(super) fn next_step(&self, key: Id) -> Answer {
        let mut closer = self.tables.fingers.closer(self.space(), self.me, key);
        closer.truncate(MAX_CLOSER);
        Answer::Next {
            owner: self.owns(key),
            predecessor: self.tables.predecessor,
            successors: self.tables.successors.as_slice().to_vec(),
            closer,
        }
    }

    /// Looks a key up from this node's own tables.
    pub(super) fn look_up(&mut self, key: Id, why: LookupPurpose, turn: &mut Turn) {
        let mut lookup = Lookup::new(key, why);
        let member = matches!(self.membership, Membership::Member | Membership::Left);
        let tables = Reported {
            peer: self.me,
            owner: member && self.owns(key),
            predecessor: self.tables.predecessor,
            successors: self.tables.successors.as_slice().to_vec(),
            closer: self.tables.fingers.closer(self.space(), self.me, key),
        };
        if member {
            lookup.heard.push(tables);
        } else {
            // A leaving node asks as if it were gone already.
            lookup.left = Some(tables);
            lookup.dead.insert(self.me);
        }
        self.begin(lookup, turn);
    }

    /// Looks a key up through a contact, for a node that is on no ring.
    pub(super) fn look_up_through(&mut self, contact: Peer, why: LookupPurpose, turn: &mut Turn) {
        let mut lookup = Lookup::new(self.me.id(self.space()), why);
        lookup.contact = Some(contact);
        lookup.dead.extend(self.identities());
        self.begin(lookup, turn);
    }

    fn begin(&mut self, lookup: Lookup, turn: &mut Turn) {
        let number = self.lookups.next;
        self.lookups.next = number.wrapping_add(1);
        self.lookups.open.insert(number, lookup);
        self.take_step(number, turn);
    }

    /// A node asked has answered, or not.
    pub(super) fn stepped(
        &mut self,
        number: u32,
        from: Peer,
        answer: Option<Answer>,
        turn: &mut Turn,
    ) {
        let Some(lookup) = self.lookups.open.get_mut(&number) else { return };
        if let Some(Answer::Next { owner, predecessor, mut successors, mut closer }) = answer {
            if let Some((_, asked, took)) = lookup.hops.iter_mut().find(|(p, ..)| *p == from) {
                *took = Some(turn.now - *asked);
            }
            successors.truncate(MAX_LIST);
            closer.truncate(MAX_CLOSER);
            let tables = Reported { peer: from, owner, predecessor, successors, closer };
            if lookup.is_stranger(&tables, self.me) {
                lookup.dead.insert(from);
            } else {
                lookup.heard.push(tables);
            }
        } else {
            lookup.dead.insert(from);
        }
        self.take_step(number, turn);
    }

    fn take_step(&mut self, number: u32, turn: &mut Turn) {
        let space = self.space();
        let max_hops = 3 * usize::from(space.bits()) + self.config.successors;
        // Only for a join that a user ordered, and only through the contact that the user named.
        let enters = self.join.as_ref().is_some_and(|join| join.ticket().is_some());
        let Some(lookup) = self.lookups.open.get_mut(&number) else { return };
        let key = lookup.key;
        let owner = match lookup.next(space, max_hops) {
            Step::Ask(peer) => {
                lookup.hops.push((peer, turn.now, None));
                if matches!(lookup.why, LookupPurpose::User(_)) {
                    turn.notice(Notice::Hop { key, asked: peer });
                }
                let enter =
                    enters && lookup.why == LookupPurpose::Join && lookup.contact == Some(peer);
                return self.ask(peer, Ask::Next { key, enter }, Purpose::Step(number), turn);
            }
            Step::Found(owner) => Some(owner),
            Step::Failed => None,
        };
        if let Some(lookup) = self.lookups.open.remove(&number) {
            let found = owner.map(|owner| lookup.found(space, owner));
            self.looked_up(&lookup, found, turn);
        }
    }

    fn looked_up(&mut self, lookup: &Lookup, found: Option<Found>, turn: &mut Turn) {
        match lookup.why {
            LookupPurpose::User(ticket) => match found {
                Some(found) => turn.reply(ticket, Reply::Found(found)),
                None => {
                    let asked = lookup.hops.len();
                    turn.fail(ticket, Failure::LookupFailed { asked });
                }
            },
            LookupPurpose::Finger(index) => {
                self.finger_found(index, found.map(|found| found.owner), turn);
            }
            LookupPurpose::Join => self.place_found(found, !lookup.heard.is_empty(), turn),
            LookupPurpose::Merge { ticket, contact } => {
                self.merge_found(ticket, contact, found.map(|found| found.owner), turn);
            }
            LookupPurpose::Probe(peer) => {
                if found.is_some_and(|found| found.owner != peer) {
                    self.consider_here(peer, turn);
                }
            }
            LookupPurpose::Files => self.files(turn).located(lookup.key, found.as_ref()),
        }
    }

    /// [`super::Command::Lookup`]
    pub(super) fn command_lookup(&mut self, ticket: Ticket, key: Id, turn: &mut Turn) {
        let key = self.space().id(key.value());
        self.look_up(key, LookupPurpose::User(ticket), turn);
    }

    /// The files want to know who owns a key.
    pub(super) fn files_lookup(&mut self, key: Id, turn: &mut Turn) {
        if matches!(self.membership, Membership::Member | Membership::Leaving) {
            self.look_up(key, LookupPurpose::Files, turn);
        } else {
            self.files(turn).located(key, None);
        }
    }

    /// Looks up the next row of the finger table that can differ from what is
    /// known.
    pub(super) fn fix_finger(&mut self, turn: &mut Turn) {
        if self.tables.knows_everyone() {
            return;
        }
        let (space, me, last) = (self.space(), self.me, self.tables.successors.last());
        if let Some((index, start)) = self.tables.fingers.due(space, me, last) {
            self.look_up(start, LookupPurpose::Finger(index), turn);
        }
    }

    fn finger_found(&mut self, index: u8, owner: Option<Peer>, turn: &mut Turn) {
        let (space, me) = (self.space(), self.me);
        if let Some(owner) = owner {
            self.change(turn).fingers.found(space, me, index, owner);
        }
        if owner.is_some() && !self.tables.fingers.is_warm() {
            self.fix_finger(turn);
        }
    }

    /// Ends all lookups; the commands that wait for one fail.
    pub(super) fn abandon_lookups(&mut self, turn: &mut Turn) {
        let why = self.busy().unwrap_or("changing rings");
        for lookup in self.lookups.open.take().map(|(_, lookup)| lookup) {
            if let LookupPurpose::User(ticket) | LookupPurpose::Merge { ticket, .. } = lookup.why {
                turn.fail(ticket, Failure::Busy(why));
            }
        }
    }
}
