//! Iterative lookups: the asker sees every hop.
//!
//! A lookup gathers what every node asked says of its tables, and after each
//! answer goes where the key most likely lives: to the owner that some list
//! names, else to the closest node known before the key. It ends when the owner
//! itself says so. Nodes that do not answer are remembered for this lookup only.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{Id, Space};
use crate::limits::{MAX_CLOSER, MAX_LIST};
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::{Answer, Ask};

use super::few::Few;
use super::node::{Node, Purpose, Turn};
use super::{Failure, Found, Notice, Reply, Standing, Ticket};

/// What a lookup is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    /// [`super::Command::Lookup`].
    User(Ticket),
    /// A row of the finger table.
    Finger(u8),
    /// The node's own place on the ring that it joins.
    Join,
    /// Is the contact of this command already on this ring?
    Merge {
        /// The command.
        ticket: Ticket,
        /// Its contact.
        contact: Peer,
    },
    /// Is this remembered peer already on this ring?
    Probe(Peer),
    /// The files want to know where this key belongs.
    Files,
}

/// The lookups under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lookups {
    open: Few<u32, Lookup>,
    next: u32,
}

impl Lookups {
    /// Whether one for such a purpose is under way.
    pub(super) fn any(&self, purpose: impl Fn(&Why) -> bool) -> bool {
        self.open.values().any(|lookup| purpose(&lookup.why))
    }

    /// Numbers the open lookups anew, in their order; what becomes of each
    /// number.
    pub(super) fn renumber(&mut self) -> BTreeMap<u32, u32> {
        let renamed = self.open.keys().copied().zip(0..).collect();
        self.next = self.open.len() as u32;
        self.open = (0..).zip(self.open.take().map(|(_, lookup)| lookup)).collect();
        renamed
    }
}

/// One lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lookup {
    key: Id,
    why: Why,
    /// Nodes asked, in order, when, and how long the answer took.
    hops: Vec<(Peer, Time, Option<Duration>)>,
    /// What the nodes said that have answered, this node first if it is a
    /// member.
    heard: Vec<Tables>,
    /// The first one to be asked, of somebody who is on no ring.
    contact: Option<Peer>,
    /// What a node knows that is on its way out: whom to ask, and nothing else.
    left: Option<Tables>,
    /// Nodes that did not answer, and never this node if it is no member.
    dead: BTreeSet<Peer>,
}

/// What one node said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tables {
    peer: Peer,
    owner: bool,
    predecessor: Option<Peer>,
    successors: Vec<Peer>,
    /// Fingers that precede the key.
    closer: Vec<Peer>,
}

impl Tables {
    fn named(&self) -> impl Iterator<Item = Peer> {
        self.successors.iter().chain(&self.closer).chain(&self.predecessor).copied()
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Ask(Peer),
    /// This node is the owner.
    Found(Peer),
    Failed,
}

impl Lookup {
    fn new(key: Id, why: Why) -> Lookup {
        Lookup {
            key,
            why,
            hops: Vec::new(),
            heard: Vec::new(),
            contact: None,
            left: None,
            dead: BTreeSet::new(),
        }
    }

    /// Every node named so far; some more than once.
    fn known(&self) -> impl Iterator<Item = Peer> {
        let tables = self.left.iter().chain(&self.heard);
        self.contact.into_iter().chain(tables.flat_map(Tables::named))
    }

    fn heard(&self, peer: Peer) -> Option<&Tables> {
        self.heard.iter().find(|tables| tables.peer == peer)
    }

    /// Whether there is no point in asking: asked already, or dead.
    fn is_done(&self, peer: Peer) -> bool {
        self.dead.contains(&peer)
            || self.heard(peer).is_some()
            || self.hops.iter().any(|(asked, ..)| *asked == peer)
    }

    /// Whether a node is alone on its own ring although this one has more
    /// members: it died, came back without memory, and owns every key, as it
    /// sees it.
    fn is_stranger(&self, tables: &Tables, me: Peer) -> bool {
        let other = |peer: &Peer| *peer != me && *peer != tables.peer && !self.dead.contains(peer);
        tables.predecessor.is_none()
            && tables.successors.is_empty()
            && self.known().any(|peer| other(&peer))
    }

    /// The first live node that some list names at or after the key.
    fn presumed(&self, space: Space) -> Option<Peer> {
        let named = |tables: &Tables| {
            let from = tables.peer.id(space);
            let live = |peer: &&Peer| !self.dead.contains(*peer);
            let at_or_after = |peer: &&Peer| self.key.within(from, peer.id(space));
            tables.successors.iter().filter(live).find(at_or_after).copied()
        };
        let distance = |peer: &Peer| space.distance(self.key, peer.id(space));
        self.heard.iter().filter_map(named).min_by_key(distance)
    }

    fn next(&self, space: Space, max_hops: usize) -> Step {
        if let Some(owner) = self.heard.last().filter(|tables| tables.owner) {
            return Step::Found(owner.peer);
        }
        if self.hops.len() >= max_hops {
            return Step::Failed;
        }
        // Walk back from the presumed owner, as long as nodes name a
        // predecessor that is still not before the key.
        let after = |peer: Peer| space.distance(self.key, peer.id(space));
        let mut owner = self.presumed(space);
        while let Some(peer) = owner {
            if !self.is_done(peer) {
                return Step::Ask(peer);
            }
            let nearer = self
                .heard(peer)
                .and_then(|tables| tables.predecessor)
                .filter(|p| !self.dead.contains(p) && after(*p) < after(peer));
            if nearer.is_none() {
                break;
            }
            owner = nearer;
        }
        let before = |peer: Peer| space.distance(peer.id(space), self.key);
        let reached = self
            .heard
            .iter()
            .map(|tables| before(tables.peer))
            .filter(|&distance| distance > 0)
            .min()
            .unwrap_or(u128::MAX);
        // Of two at one place, the lesser peer. Most are further off than what has
        // been found: only the others are looked up among those that are done.
        let mut closest: Option<(u128, Peer)> = None;
        for peer in self.known() {
            let found = (before(peer), peer);
            if found.0 > 0 && closest.is_none_or(|best| found < best) && !self.is_done(peer) {
                closest = Some(found);
            }
        }
        let closest = closest.map(|(_, peer)| peer);
        if let Some(peer) = closest.filter(|peer| before(*peer) < reached) {
            return Step::Ask(peer);
        }
        // Nobody between is left to be asked. The presumed owner may not know
        // yet that its predecessor died.
        if let Some(tables) = owner.and_then(|peer| self.heard(peer))
            && tables.predecessor.is_none_or(|p| self.dead.contains(&p))
        {
            return Step::Found(tables.peer);
        }
        let open = || self.known().filter(|peer| !self.is_done(*peer));
        match closest.or_else(|| open().min()) {
            Some(peer) => Step::Ask(peer),
            None => Step::Failed,
        }
    }

    fn found(&self, space: Space, owner: Peer) -> Found {
        let tables = self.heard(owner);
        let live = |peer: &Peer| !self.dead.contains(peer);
        let before = || {
            let others = self.heard.iter().map(|tables| tables.peer).filter(|peer| *peer != owner);
            others.min_by_key(|peer| space.distance(peer.id(space), self.key))
        };
        let alone = tables.is_some_and(|t| t.predecessor.is_none() && t.successors.is_empty());
        let predecessor = tables.and_then(|t| t.predecessor).filter(live);
        Found {
            key: self.key,
            owner,
            predecessor: if alone { None } else { predecessor.or_else(before) },
            successors: tables.map(|t| t.successors.clone()).unwrap_or_default(),
            hops: self.hops.iter().map(|(peer, _, took)| (*peer, *took)).collect(),
        }
    }
}

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
    pub(super) fn look_up(&mut self, key: Id, why: Why, turn: &mut Turn) {
        let mut lookup = Lookup::new(key, why);
        let member = matches!(self.standing, Standing::Member | Standing::Left);
        let tables = Tables {
            peer: self.me,
            owner: member && self.owns(key),
            predecessor: self.tables.predecessor,
            successors: self.tables.successors.as_slice().to_vec(),
            closer: self.tables.fingers.closer(self.space(), self.me, key),
        };
        if member {
            lookup.heard.push(tables);
        } else {
            // Whoever leaves asks as if it were gone already.
            lookup.left = Some(tables);
            lookup.dead.insert(self.me);
        }
        self.begin(lookup, turn);
    }

    /// Looks a key up through a contact, as somebody who is on no ring.
    pub(super) fn look_up_through(&mut self, contact: Peer, why: Why, turn: &mut Turn) {
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
            let tables = Tables { peer: from, owner, predecessor, successors, closer };
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
        // Only where a person wants to be let in, and only by whom they named.
        let enters = self.join.as_ref().is_some_and(|join| join.ticket().is_some());
        let Some(lookup) = self.lookups.open.get_mut(&number) else { return };
        let key = lookup.key;
        let owner = match lookup.next(space, max_hops) {
            Step::Ask(peer) => {
                lookup.hops.push((peer, turn.now, None));
                if matches!(lookup.why, Why::User(_)) {
                    turn.notice(Notice::Hop { key, asked: peer });
                }
                let enter = enters && lookup.why == Why::Join && lookup.contact == Some(peer);
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
            Why::User(ticket) => match found {
                Some(found) => turn.reply(ticket, Reply::Found(found)),
                None => {
                    let asked = lookup.hops.len();
                    turn.fail(ticket, Failure::LookupFailed { asked });
                }
            },
            Why::Finger(index) => self.finger_found(index, found.map(|found| found.owner), turn),
            Why::Join => self.place_found(found, !lookup.heard.is_empty(), turn),
            Why::Merge { ticket, contact } => {
                self.merge_found(ticket, contact, found.map(|found| found.owner), turn);
            }
            Why::Probe(peer) => {
                if found.is_some_and(|found| found.owner != peer) {
                    self.consider_here(peer, turn);
                }
            }
            Why::Files => self.files(turn).located(lookup.key, found.as_ref()),
        }
    }

    /// [`super::Command::Lookup`]
    pub(super) fn command_lookup(&mut self, ticket: Ticket, key: Id, turn: &mut Turn) {
        let key = self.space().id(key.value());
        self.look_up(key, Why::User(ticket), turn);
    }

    /// The files want to know who owns a key.
    pub(super) fn files_lookup(&mut self, key: Id, turn: &mut Turn) {
        if matches!(self.standing, Standing::Member | Standing::Leaving) {
            self.look_up(key, Why::Files, turn);
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
            self.look_up(start, Why::Finger(index), turn);
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

    /// Ends all lookups; whoever waits for one is told.
    pub(super) fn abandon_lookups(&mut self, turn: &mut Turn) {
        let why = self.busy().unwrap_or("changing rings");
        for lookup in self.lookups.open.take().map(|(_, lookup)| lookup) {
            if let Why::User(ticket) | Why::Merge { ticket, .. } = lookup.why {
                turn.fail(ticket, Failure::Busy(why));
            }
        }
    }
}
