//! A host: one process, one address, one disk, and one or more positions on the
//! ring ("virtual nodes", CFS §5.3). Each position is a [`Node`] of its own with
//! its own index; to the rest of the ring they are nodes like any, but copies are
//! counted by host ([`super::placement`]).
//!
//! A host of one position is that node, input by input. Of more it owns what they
//! have in common, and nothing else:
//!
//! - **Slots.** Every effect names the position (its [`Slot`]) that wants
//!   it, and what belongs to a position comes back with that slot. A command goes
//!   to the position that answers for its key, others to the first one.
//! - **Messages among them** are handed over here, in their order, and never
//!   reach the driver.
//! - **One disk.** See [`disk`]: a copy that another position holds is there at
//!   once, and one that another position holds is not deleted.
//! - **The way in and out.** The first position starts and joins as a node does.
//!   Once it has met another host the others follow, one after the other; a host
//!   that is alone holds one place, since there is no other host to share the load with.
//!   All leave together, and hand their records to other hosts.
//!
//! A record of this host belongs to its first position at or after the key: that
//! follows from placement, whichever other nodes are on the ring. After a start the first
//! position has what the disk holds; one that follows begins with its share of
//! that, before it knows its neighbours, and the first one gives it up in its
//! rounds, when the owners of the keys consent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::Record;
use crate::time::Time;
use crate::wire::handshake::Params;
use crate::wire::{Message, Nonce};

use super::effect::{Effect, Effects, Failure, Kept, Notice, Reply, StoreOp};
use super::input::{Command, Config, Input, Ticket};
use super::node::Node;
use super::placement::others;
use super::view::Membership;

use disk::{Disk, Order};

mod disk;
mod inspect;

/// A position of a host: 0 is the first one. Its node goes by this index, or by
/// this and a multiple of the number of positions.
pub type Slot = u16;

/// Tickets from here on are the host's own: no driver counts so far.
const OWN: Ticket = 1 << 63;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// By slot, never empty.
    pub(super) nodes: Vec<Node>,
    disk: Disk,
    /// Inputs for positions that came about here.
    todo: VecDeque<(Slot, Input)>,
    /// The next ticket of the host's own.
    own: Ticket,
    /// Set while all positions leave.
    leaving: Option<Leaving>,
    /// A position could not follow: no other tries before this.
    rest_until: Time,
    /// Of [`Input::Clock`], the last one.
    now_s: Option<u64>,
    /// A name whose bytes are lost, for all positions.
    lost: Option<FileName>,
}

/// A leave of all positions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Leaving {
    /// The command's.
    ticket: Ticket,
    /// Those of the positions that have not left.
    open: BTreeSet<Ticket>,
    handed: usize,
    /// By name: several positions may hold one file.
    kept: BTreeMap<FileName, Kept>,
    /// Every other host left, too, as far as each of them has seen.
    together: bool,
}

impl Host {
    /// A host with this number of positions (at least one) that has not started.
    pub fn new(config: &Config, address: SocketAddr, positions: u16) -> Host {
        let positions = positions.max(1);
        let config = Arc::new(config.clone());
        let node = |slot| Node::one_of(Arc::clone(&config), address, slot, positions);
        Host::of((0..positions).map(node).collect())
    }

    /// A host of these nodes, at least one: its positions by slot, each with its
    /// slot for its index. For simulators, which start large rings this way (see
    /// [`Node::stabilized`]).
    ///
    /// # Panics
    /// When there is no node.
    pub fn of(mut nodes: Vec<Node>) -> Host {
        assert!(!nodes.is_empty(), "a host has at least one position");
        let positions = u16::try_from(nodes.len()).unwrap_or(u16::MAX);
        nodes.iter_mut().for_each(|node| node.positions = positions);
        Host {
            nodes,
            disk: Disk::default(),
            todo: VecDeque::new(),
            own: OWN,
            leaving: None,
            rest_until: Time::ZERO,
            now_s: None,
            lost: None,
        }
    }

    /// Takes one input for the host at the time `now` and appends what follows from it,
    /// each effect with the position that wants it. A command goes to the position that
    /// answers for its key, what all must know to all, and the rest to the first one.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Vec<(Slot, Effect)>) {
        if self.nodes.len() == 1 {
            return self.handle_at(now, 0, input, out);
        }
        match input {
            Input::Start { records, remembered } => self.start(records, remembered),
            Input::Command { ticket, command } => self.command(ticket, command, out),
            Input::Lost { name, version } => {
                self.lost = Some(name.clone());
                for slot in self.holding(&name) {
                    let input = Input::Lost { name: name.clone(), version };
                    self.turn(now, slot, input, out);
                }
                self.lost = None;
            }
            Input::Clock { now_s } => {
                self.now_s = Some(now_s);
                self.tell_all(&input);
            }
            Input::PeerLost(_) | Input::BytesPass(_) | Input::LeaveOn | Input::LeaveOver => {
                self.tell_all(&input);
            }
            input => self.todo.push_back((0, input)),
        }
        self.finish(now, out);
    }

    /// Takes one input that belongs to a position: the answer to an effect of its, or a
    /// message that names it ([`Host::slot_of`]).
    pub fn handle_at(
        &mut self,
        now: Time,
        slot: Slot,
        input: Input,
        out: &mut Vec<(Slot, Effect)>,
    ) {
        if let [only] = &mut self.nodes[..] {
            // Nothing is to be shared.
            let mut effects = Effects::new();
            only.handle(now, input, &mut effects);
            return out.extend(effects.into_iter().map(|effect| (0, effect)));
        }
        self.todo.push_back((slot, input));
        self.finish(now, out);
    }

    /// Carries out what is to be done, until nothing is.
    fn finish(&mut self, now: Time, out: &mut Vec<(Slot, Effect)>) {
        self.work(now, out);
        while self.start_next(now) {
            self.work(now, out);
        }
    }

    /// The position that goes by this index, if any does.
    pub fn slot_of(&self, index: u16) -> Option<Slot> {
        let slot = index % self.count();
        (self.nodes[usize::from(slot)].peer().index() == index).then_some(slot)
    }

    fn work(&mut self, now: Time, out: &mut Vec<(Slot, Effect)>) {
        while let Some((slot, input)) = self.todo.pop_front() {
            self.turn(now, slot, input, out);
        }
    }

    /// One input of one position.
    fn turn(&mut self, now: Time, slot: Slot, input: Input, out: &mut Vec<(Slot, Effect)>) {
        let (mut done, mut idle) = (None, false);
        if let Input::Stored { ticket, result } = &input {
            done = self.disk.ended(slot, *ticket).map(|op| (op, result.is_ok()));
            idle = self.disk.was_idle(slot, *ticket);
            if done.is_none() {
                // Said twice.
                return;
            }
        }
        let Some(node) = self.nodes.get_mut(usize::from(slot)) else { return };
        let mut effects = Effects::new();
        node.handle(now, input, &mut effects);
        for effect in effects {
            // From one position to another: nothing came or went.
            let moved = matches!(effect, Effect::Notice(Notice::Kept(_) | Notice::Given(_)));
            if !(idle && moved) {
                self.carry_out(now, slot, effect, out);
            }
        }
        if let Some((op, well)) = done {
            self.stored(now, &op, well, out);
        }
    }

    fn carry_out(&mut self, now: Time, slot: Slot, effect: Effect, out: &mut Vec<(Slot, Effect)>) {
        match effect {
            Effect::Send { to, message } if to.address() == self.peer().address() => {
                self.pass(slot, to, message);
            }
            Effect::Store { ticket, op } => {
                if let Some(order) = self.disk.order(Order { slot, ticket, op }) {
                    self.begin(order, out);
                }
            }
            Effect::Reply { ticket, reply } if ticket >= OWN => {
                self.replied(now, slot, ticket, &reply, out);
            }
            Effect::Notice(Notice::Adopted(params)) if slot == 0 => {
                self.adopt(&params);
                out.push((slot, Effect::Notice(Notice::Adopted(params))));
            }
            effect => out.push((slot, effect)),
        }
    }

    /// A message from one position to another.
    fn pass(&mut self, slot: Slot, to: Peer, message: Message) {
        let from = self.nodes[usize::from(slot)].peer();
        let there = self.slot_of(to.index());
        let started = |slot: &Slot| self.nodes[usize::from(*slot)].membership() != Membership::New;
        match (there.filter(started), message) {
            (Some(there), message) => {
                self.todo.push_back((there, Input::Received { from, message }));
            }
            (None, Message::Ask { nonce, .. }) => self.unanswered(slot, to, nonce),
            (None, _) => {}
        }
    }

    fn unanswered(&mut self, slot: Slot, from: Peer, nonce: Nonce) {
        self.todo.push_back((slot, Input::NoAnswer { from, nonce }));
    }

    fn tell_all(&mut self, input: &Input) {
        for (slot, node) in (0..).zip(&self.nodes) {
            if node.membership() != Membership::New {
                self.todo.push_back((slot, input.clone()));
            }
        }
    }

    /// Positions on this host.
    fn count(&self) -> Slot {
        Slot::try_from(self.nodes.len()).unwrap_or(Slot::MAX)
    }

    fn ticket(&mut self) -> Ticket {
        self.own = self.own.wrapping_add(1) | OWN;
        self.own
    }
}

/// The way in and out.
impl Host {
    /// The first position starts with what the disk holds. Those that were built
    /// as members start as well, each with its share.
    fn start(&mut self, mut records: Vec<Record>, remembered: Vec<Peer>) {
        let space = self.params().space;
        for slot in 1..self.count() {
            if self.nodes[usize::from(slot)].membership() == Membership::Member {
                let own = |record: &Record| self.home(record.key(space)) == slot;
                let (share, rest) = records.into_iter().partition(own);
                records = rest;
                let input = Input::Start { records: share, remembered: Vec::new() };
                self.todo.push_back((slot, input));
            }
        }
        self.todo.push_front((0, Input::Start { records, remembered }));
    }

    /// The position at which this host holds the copy of a key, if it holds one.
    fn home(&self, key: Id) -> Slot {
        let space = self.params().space;
        let distance = |node: &Node| space.distance(key, node.peer().id(space));
        (0..).zip(&self.nodes).min_by_key(|(_, node)| distance(node)).map_or(0, |(slot, _)| slot)
    }

    /// Starts joining the next position to the ring of the first one. Returns true if
    /// one was started.
    fn start_next(&mut self, now: Time) -> bool {
        let idle = |node: &Node| matches!(node.membership(), Membership::New | Membership::Left);
        let Some((slot, node)) = (0..).zip(&self.nodes).find(|(_, node)| idle(node)) else {
            return false;
        };
        let first = &self.nodes[0];
        let contact = first.peer();
        let met = || others(contact, first.successors().iter().copied()).next().is_some();
        let on_its_way = |node: &Node| node.membership() == Membership::Joining;
        if first.membership() != Membership::Member
            || self.leaving.is_some()
            || now < self.rest_until
            || self.nodes.iter().any(on_its_way)
            || !met()
        {
            return false;
        }
        if node.membership() == Membership::Left {
            let (ticket, command) = (self.ticket(), Command::Join { contact });
            self.todo.push_back((slot, Input::Command { ticket, command }));
            return true;
        }
        let space = self.params().space;
        let own = |record: &&Record| self.home(record.key(space)) == slot;
        let records = first.records().filter(own).cloned().collect();
        self.todo.push_back((slot, Input::Start { records, remembered: vec![contact] }));
        if let Some(now_s) = self.now_s {
            self.todo.push_back((slot, Input::Clock { now_s }));
        }
        true
    }

    fn command(&mut self, ticket: Ticket, command: Command, out: &mut Vec<(Slot, Effect)>) {
        let space = self.params().space;
        let slot = match &command {
            Command::Leave => return self.leave(ticket),
            Command::Adopt { params } if params != self.params() => {
                // The first position counts its own.
                let first = self.nodes[0].files_held().len();
                let files = self.len();
                if files > first {
                    let reply = Reply::Failed(Failure::HasFiles(files));
                    return out.push((0, Effect::Reply { ticket, reply }));
                }
                0
            }
            Command::Offer { name, .. }
            | Command::Commit { name, .. }
            | Command::Remove { name, .. } => self.responsible(name.key(space)),
            Command::Provide { providers } => {
                providers.first().map_or(0, |one| self.responsible(one.name.key(space)))
            }
            _ => 0,
        };
        self.todo.push_back((slot, Input::Command { ticket, command }));
    }

    fn leave(&mut self, ticket: Ticket) {
        let here =
            |node: &Node| matches!(node.membership(), Membership::Member | Membership::Joining);
        if self.leaving.is_some() || !here(&self.nodes[0]) {
            let command = Command::Leave;
            return self.todo.push_back((0, Input::Command { ticket, command }));
        }
        let slots: Vec<Slot> =
            (0..).zip(&self.nodes).filter(|(_, node)| here(node)).map(|(slot, _)| slot).collect();
        let mut open = BTreeSet::new();
        for slot in slots {
            let (ticket, command) = (self.ticket(), Command::Leave);
            open.insert(ticket);
            self.todo.push_back((slot, Input::Command { ticket, command }));
        }
        self.leaving =
            Some(Leaving { ticket, open, handed: 0, kept: BTreeMap::new(), together: true });
    }

    /// The end of a command of the host's own.
    fn replied(
        &mut self,
        now: Time,
        slot: Slot,
        ticket: Ticket,
        reply: &Reply,
        out: &mut Vec<(Slot, Effect)>,
    ) {
        if let Some(leaving) = &mut self.leaving
            && leaving.open.remove(&ticket)
        {
            if let Reply::Left { handed, kept, together } = reply {
                leaving.handed += handed;
                leaving.together &= together;
                for file in kept {
                    let known = leaving.kept.entry(file.name.clone()).or_insert(file.clone());
                    known.elsewhere |= file.elsewhere;
                }
            }
            if leaving.open.is_empty()
                && let Some(Leaving { ticket, handed, kept, together, .. }) = self.leaving.take()
            {
                let kept = kept.into_values().collect();
                let reply = Reply::Left { handed, kept, together };
                out.push((0, Effect::Reply { ticket, reply }));
            }
        } else if matches!(reply, Reply::Failed(_)) && slot > 0 {
            self.rest_until = now + self.nodes[0].config().stabilize;
        }
    }

    /// The first position has taken other parameters over: it was alone, so the
    /// others are on no ring.
    fn adopt(&mut self, params: &Params) {
        let (address, count) = (self.peer().address(), self.count());
        let config = self.nodes[0].config().clone();
        for slot in 1..count {
            let node = &mut self.nodes[usize::from(slot)];
            if node.membership() == Membership::New {
                *node = Node::one_of(config.clone(), address, slot, count);
            } else {
                let (ticket, params) = (self.ticket(), params.clone());
                let command = Command::Adopt { params };
                self.todo.push_back((slot, Input::Command { ticket, command }));
            }
        }
    }
}

/// The disk.
impl Host {
    /// Has the disk do what an order says, or says at once that it is done.
    fn begin(&mut self, order: Order, out: &mut Vec<(Slot, Effect)>) {
        let Order { slot, ticket, mut op } = order;
        let name = disk::name(&op);
        let elsewhere = (0..)
            .zip(&self.nodes)
            .filter(|(other, _)| *other != slot && self.lost.as_ref() != Some(name))
            .filter_map(|(_, node)| node.record(name))
            .map(|record| record.version)
            .max();
        let done = match &op {
            StoreOp::Keep { record, .. } => elsewhere.is_some_and(|there| there >= record.version),
            StoreOp::Drop { .. } => elsewhere.is_some() || self.disk.is_wanted(name),
        };
        if done {
            self.disk.is_idle(slot, ticket);
            return self.todo.push_back((slot, Input::Stored { ticket, result: Ok(()) }));
        }
        if let StoreOp::Keep { sources, .. } = &mut op {
            let here = self.nodes[0].peer().address();
            sources.retain(|peer| peer.address() != here);
        }
        out.push((slot, Effect::Store { ticket, op }));
    }

    /// An operation of the disk ended, and its position knows.
    fn stored(&mut self, now: Time, op: &StoreOp, well: bool, out: &mut Vec<(Slot, Effect)>) {
        let name = disk::name(op);
        if well && let StoreOp::Keep { record, .. } = op {
            // A disk holds the newest record of a name, whichever position asked for which.
            let held = self.nodes.iter().filter_map(|node| node.record(name));
            let newest = held.max_by_key(|held| held.version).unwrap_or(record).clone();
            for slot in self.holding(name) {
                let held = self.nodes[usize::from(slot)].record(name);
                if held.is_some_and(|held| held.version < newest.version) {
                    self.turn(now, slot, Input::Replaced(newest.clone()), out);
                }
            }
        }
        if let Some(order) = self.disk.next(name) {
            self.begin(order, out);
        }
    }

    /// The positions that hold a record of this name.
    fn holding(&self, name: &FileName) -> Vec<Slot> {
        let held = (0..).zip(&self.nodes).filter(|(_, node)| node.record(name).is_some());
        held.map(|(slot, _)| slot).collect()
    }
}
