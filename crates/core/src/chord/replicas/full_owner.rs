//! Names whose owner cannot store their bytes: it has no room, its disk fails, or
//! no bytes reach it.
//!
//! The owner of a name answers for it whether or not it can store it: it gives the
//! versions, counts the copies, and has missing ones made. What it cannot store
//! it keeps in [`super::disk::Disk`] as a record that is not `here`: it is
//! counted as a wanted holder that is unable, so that a node behind the wanted
//! holders stands in for it ([`super::standins`]), and it entrusts the record to
//! others ([`crate::wire::Ask::Entrust`]) where it would offer its own copy.
//!
//! Such a record comes about in two ways.
//! - A put. Its bytes were sent to other nodes
//!   ([`Command::Commit`](super::super::Command::Commit) says to which). These
//!   are entrusted with the new version, and the name is occupied until the first
//!   of them says that it holds it durably ([`EntrustedPut`]). Only then does the
//!   owner take it over: a version that no node holds would hide the one before it.
//! - Repair. A node that comes to own a name learns the record from those that
//!   offer it, and its disk refuses the bytes.
//!
//! The record is not on the owner's disk. After a restart the owner learns it as
//! any new owner does: from its partners' comparisons, and from stand-ins, to
//! which their copies are out of place. Until these have had the time to say so,
//! a name that seems free is asked for among them.
//!
//! Invariants
//! - Only the owner of a name keeps a record without the bytes; a node that is no
//!   longer the owner forgets it.
//! - A record without the bytes came from a node that said that it holds them.
//! - The disk's older copy of the name is deleted only when as many others have
//!   the newer version as are needed.
//! - A version that no node holds any more is given up: it would hide the one before it
//!   for ever.
//! - A removal that the owner's disk does not take is placed in the same way.
//! - Now and then the bytes are fetched again. Once they are here the owner is a
//!   holder, and its stand-in may let go, by the rules of every stand-in.

use std::collections::BTreeSet;

use crate::limits::{MAX_PAGE, MAX_REPLICAS};
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Obstacle, PassedOver, Record, Version};
use crate::wire::Ask;
use crate::wire::message::{Branch, Verdict};

use super::super::asks::Asks;
use super::super::effect::{Effect, Effects, Failure, Notice, Reply, StoreOp};
use super::super::input::{Ticket, Timer};
use super::super::purpose::Purpose;
use super::super::view::{Membership, RingView, Span};
use super::ask::{FileAsk, OfferReason};
use super::disk::{Durable, leaf};
use super::puts::copies_wait;
use super::standins::FULL_ROUNDS;
use super::state::{EntrustedPut, Files, Job, Replicas, Wish, copies_notice, is_open};

/// Names that an owner answers for without storing them: a bound on memory (about 32 MiB
/// with ordinary names). Beyond it puts are refused, and repair finds the names
/// again round by round.
const MAX_ELSEWHERE: usize = 65_536;

impl Files<'_> {
    /// Entrusts a new record to those that have its bytes.
    pub(super) fn entrust_put(
        &mut self,
        command: Ticket,
        record: Record,
        obstacle: Obstacle,
        there: &[Peer],
    ) {
        // No node is sent to unknown peers for bytes because an unknown peer says so.
        // Who has them names its host, of which one position is meant here.
        let known = |peer: &Peer| there.iter().any(|one| one.address() == peer.address());
        let there = self.ring.others().filter(known).take(usize::from(MAX_REPLICAS));
        let there: Vec<Peer> = there.collect();
        let asked: BTreeSet<Peer> = there.iter().copied().collect();
        if asked.is_empty() || self.state.disk.count_elsewhere() >= MAX_ELSEWHERE {
            let failure = no_holder(&self.ring, obstacle, &[]);
            return self.out.push(Effect::Reply { ticket: command, reply: Reply::Failed(failure) });
        }
        let (timer, after) = (Timer::Copies(command), copies_wait(record.size()));
        self.out.push(Effect::Arm { timer, after });
        let put = EntrustedPut { record, obstacle, command, asked, unable: Vec::new(), there };
        entrust(&self.ring, &put, self.asks, self.out);
        let ticket = self.state.ticket();
        self.state.busy.insert(put.record.name.clone(), ticket);
        self.state.entrusted.insert(ticket, put);
    }

    /// The periodic round: those that have not said whether they hold a new record
    /// are asked again, for their word may be lost.
    pub(super) fn ask_entrusted(&mut self) {
        for put in self.state.entrusted.values() {
            entrust(&self.ring, put, self.asks, self.out);
        }
    }

    /// A node judged the new record that it was entrusted with; `None`: it did
    /// not answer.
    pub(super) fn entrust_answered(
        &mut self,
        from: Peer,
        records: &[(FileName, Version)],
        verdict: Option<Verdict>,
    ) {
        let Some((name, version)) = records.first() else { return };
        if !self.state.is_entrusted(from, name, *version) {
            return;
        }
        match verdict {
            Some(Verdict::Held) => self.entrust_held(from, name),
            Some(Verdict::Wanted) => {}
            Some(Verdict::Newer(record)) if record.name == *name => {
                self.want(from, record);
                self.entrust_refused(from, name, None);
            }
            _ => self.entrust_refused(from, name, None),
        }
    }

    /// The first node holds the new record: it is this node's from now on, and
    /// the command waits for further copies.
    pub(super) fn entrust_held(&mut self, from: Peer, name: &FileName) {
        let Some(put) = self.state.end_entrusted(name) else { return };
        let EntrustedPut { record, obstacle, command, there, .. } = put;
        let version = record.version;
        let owned = self.ring.membership == Membership::Member
            && self.ring.may_own(record.key(self.ring.space));
        if owned && self.answer_for(&record, obstacle) {
            self.supersede(name, version);
            // Those that have the bytes first, and of them who holds the record.
            let behind = self.ring.behind();
            let holder = behind.iter().filter(|peer| **peer == from);
            let others = behind.iter().filter(|peer| there.contains(peer));
            if let Some(held) = self.state.disk.get_mut(name) {
                let refused = held.passed(&self.ring).count();
                for peer in holder.chain(others) {
                    if held.others.stand_ins().count() < refused {
                        held.others.choose(*peer);
                    }
                }
                let stand_in = held.others.stand_ins().next().or(Some(from));
                let over = PassedOver { peer: self.ring.me, why: obstacle, stand_in };
                self.out.push(Effect::Notice(Notice::PassedOver { name: name.clone(), over }));
            }
            self.count_copy(from, name);
            self.await_copies(command, name.clone());
        } else {
            // Its owner now hears of it from the holders.
            refuse(command, Failure::NotOwner, self.out);
        }
        self.advance(name, false);
        self.fetch();
    }

    /// A node does not take the new record. When no node is left that may, the put
    /// has failed and the name is as it was.
    pub(super) fn entrust_refused(&mut self, from: Peer, name: &FileName, why: Option<Obstacle>) {
        let ticket = self.state.busy.get(name);
        let put = ticket.and_then(|ticket| self.state.entrusted.get_mut(ticket));
        let Some(put) = put else { return };
        put.asked.remove(&from);
        put.unable.extend(why.map(|why| (from, why)));
        if put.asked.is_empty() {
            self.give_up_entrusted(name);
        }
    }

    /// The time for the copies of this command is over, and there is none.
    pub(super) fn entrust_late(&mut self, command: Ticket) {
        let late = |put: &&EntrustedPut| put.command == command;
        if let Some(put) = self.state.entrusted.values().find(late) {
            let name = put.record.name.clone();
            self.give_up_entrusted(&name);
        }
    }

    fn give_up_entrusted(&mut self, name: &FileName) {
        if let Some(put) = self.state.end_entrusted(name) {
            refuse(put.command, no_holder(&self.ring, put.obstacle, &put.unable), self.out);
        }
        self.advance(name, false);
        self.fetch();
    }

    /// This node answers for a record that it cannot store; `false`: there are too
    /// many of these.
    pub(super) fn answer_for(&mut self, record: &Record, obstacle: Obstacle) -> bool {
        let known = self.state.disk.get(&record.name);
        if known.is_some_and(|known| known.record.version == record.version) {
            return true;
        }
        if known.is_none_or(|known| known.is_here())
            && self.state.disk.count_elsewhere() >= MAX_ELSEWHERE
        {
            return false;
        }
        debug_assert!(
            self.ring.may_own(record.key(self.ring.space)),
            "only an owner answers for a name"
        );
        self.state.absent.remove(&record.name);
        let old = |wish: &Wish| wish.record.version <= record.version;
        if self.state.wishes.get(&record.name).is_some_and(old) {
            self.state.wishes.remove(&record.name);
        }
        self.state.disk.insert(Durable::elsewhere(record.clone(), obstacle));
        true
    }

    /// The bytes of a record came to this disk.
    pub(super) fn arrived(&mut self, record: Record) {
        let name = record.name.clone();
        self.state.covers.arrived(record.key(self.ring.space), leaf(&name));
        let known = |held: &Durable| !held.is_here() && held.record.version == record.version;
        if !self.state.disk.get(&name).is_some_and(known) {
            return self.state.disk.insert(Durable::new(record));
        }
        self.state.disk.arrived(&name);
        self.stand_in(&name);
        if let Some(held) = self.state.disk.get(&name) {
            self.out.push(copies_notice(None, held, self.ring.wanted()));
        }
        self.finish_puts(&name);
    }

    /// A node holds a record that this owner cannot store: it may stand in for a
    /// wanted holder that cannot store it either. It is asked, and its copy counts once
    /// it answers: what it said before may be older than this owner's consent to delete
    /// that copy.
    pub(super) fn adopt_stand_in(&mut self, from: Peer, record: &Record) {
        let Some(held) = self.state.disk.get_mut(&record.name) else { return };
        if held.is_here() || held.record.version != record.version || held.others.has(from) {
            return;
        }
        let behind = self.ring.behind().contains(&from);
        if behind && held.others.stand_ins().count() < held.missing(&self.ring) {
            held.others.choose(from);
        }
        if held.others.is_stand_in(from) || self.ring.partners().contains(&from) {
            let (record, key) = (held.record.clone(), held.key(self.ring.space));
            self.offer_one(from, key, record);
        }
    }

    /// The periodic round: now and then some of what is on other disks is fetched,
    /// should it be possible again.
    pub(super) fn fetch_some_back(&mut self) {
        if !self.state.round.is_multiple_of(FULL_ROUNDS) {
            return;
        }
        self.give_up_lost();
        let names = self.state.disk.elsewhere(self.state.fetched_back.as_ref()).take(MAX_PAGE);
        let names: Vec<FileName> = names.cloned().collect();
        // At the end it begins again in its next round.
        self.state.fetched_back = names.last().cloned();
        self.fetch_back(names);
    }

    /// Stops answering for files of which no node has held the version since the last
    /// full round: its last holder has died, with its disk or for a long time. The
    /// version before it, of which there may be copies, counts again; a holder that
    /// comes back after all brings the newer one, which wins. A removal needs no bytes:
    /// a node that can store it can still be entrusted with it.
    fn give_up_lost(&mut self) {
        let lost = |name: &FileName| {
            let held = self.state.disk.get(name)?;
            let free = !self.state.busy.contains_key(name) && !self.state.wishes.contains_key(name);
            let lost = held.others.holders().next().is_none() && !held.record.is_deleted();
            (lost && free && !self.state.is_put(name)).then(|| (name.clone(), held.record.version))
        };
        let now: BTreeSet<(FileName, Version)> =
            self.state.disk.elsewhere(None).filter_map(lost).collect();
        let (gone, unheld) = now.into_iter().partition(|one| self.state.unheld.contains(one));
        self.state.unheld = unheld;
        for (name, _) in gone {
            if let Some(lost) = self.state.restore_older(&name) {
                self.state.expiry.note_removed(&lost);
                // A name of which nothing else is known is still no free one.
                self.remember(&lost, &[]);
                let older = self.state.record(&name).cloned();
                self.out.push(Effect::Notice(Notice::Forgotten { lost, older }));
            }
        }
    }

    /// Fetches what this node could not get at all before.
    pub(super) fn fetch_unreached(&mut self) {
        let unreached = |name: &&FileName| {
            self.state.disk.get(name).is_some_and(|held| held.obstacle() == Some(Obstacle::NoBytes))
        };
        let names = self.state.disk.elsewhere(None).filter(unreached).cloned().collect();
        self.fetch_back(names);
    }

    fn fetch_back(&mut self, names: Vec<FileName>) {
        for name in names {
            let Some(held) = self.state.disk.get(&name) else { continue };
            let (record, key) = (held.record.clone(), held.key(self.ring.space));
            let holders: Vec<Peer> = held.others.holders().collect();
            if self.ring.may_own(key) && !holders.is_empty() && !self.state.busy.contains_key(&name)
            {
                self.state.wish(None, &holders, record, (false, false));
            }
        }
        self.fetch();
    }

    /// Deletes what the disk still has of a name of which enough others hold a
    /// newer version.
    pub(super) fn drop_older(&mut self, name: &FileName) {
        let enough = |held: &Durable| !held.is_here() && held.copies() >= held.safe(&self.ring);
        if self.state.busy.contains_key(name) || !self.state.disk.get(name).is_some_and(enough) {
            return;
        }
        if let Some(record) = self.state.disk.take_older(name) {
            let ticket = self.state.ticket();
            let (name, version) = (name.clone(), record.version);
            let op = StoreOp::Drop { name, version, spare: false };
            self.begin(ticket, Job::DropOlder { record }, op);
        }
    }

    /// Forgets the records that are not here and not this node's any more; all of
    /// them when it leaves the ring. What the disk has of these names counts again.
    pub(super) fn prune_elsewhere(&mut self) {
        let (space, range) = (self.ring.space, self.ring.range());
        let others = |record: &Record| range.is_none_or(|range| !range.contains(record.key(space)));
        let put = self.state.entrusted.values().map(|put| &put.record);
        let put = put.filter(|record| others(record)).map(|record| record.name.clone());
        for name in put.collect::<Vec<_>>() {
            if let Some(put) = self.state.end_entrusted(&name) {
                refuse(put.command, Failure::NotOwner, self.out);
            }
        }
        let known =
            |name: &&FileName| self.state.disk.get(name).is_some_and(|held| others(&held.record));
        let names: Vec<FileName> = self.state.disk.elsewhere(None).filter(known).cloned().collect();
        for name in names {
            for ticket in self.state.tickets(&name) {
                self.state.puts.remove(&ticket);
                refuse(ticket, Failure::NotOwner, self.out);
            }
            self.state.restore_older(&name);
        }
    }
}

impl Replicas {
    /// Whether this peer may say that it holds this version of a name, of which
    /// no node has said so yet.
    pub(super) fn is_entrusted(&self, from: Peer, name: &FileName, version: Version) -> bool {
        self.entrusted_put(name)
            .is_some_and(|put| put.record.version == version && put.asked.contains(&from))
    }

    /// The new record of this name that no node is known to hold yet.
    pub(super) fn entrusted_put(&self, name: &FileName) -> Option<&EntrustedPut> {
        self.entrusted.get(self.busy.get(name)?)
    }

    fn end_entrusted(&mut self, name: &FileName) -> Option<EntrustedPut> {
        let put = self.entrusted.remove(self.busy.get(name)?)?;
        self.busy.remove(name);
        Some(put)
    }

    /// Forgets a record that is not here: what the disk has of its name counts again.
    fn restore_older(&mut self, name: &FileName) -> Option<Record> {
        let older = self.disk.take_older(name);
        let held = self.disk.remove(name)?;
        if let Some(older) = older {
            self.disk.insert(Durable::new(older));
        }
        Some(held.record)
    }
}

/// Entrusts a new record to those that have not been asked or not answered.
fn entrust(ring: &RingView<'_>, put: &EntrustedPut, asks: &mut Asks<Purpose>, out: &mut Effects) {
    let EntrustedPut { record, asked, there, .. } = put;
    let key = record.key(ring.space);
    let span = Span { from: key, to: key };
    let page = vec![(record.name.clone(), record.version)];
    let open = |ask: &FileAsk| matches!(ask, FileAsk::Offer { why: OfferReason::Entrust, records, .. } if *records == page);
    let free = |peer: &&Peer| !is_open(asks, **peer, open);
    let asked: Vec<Peer> = asked.iter().filter(free).copied().collect();
    for peer in asked {
        let (why, branch) = (OfferReason::Entrust, Branch::ALL);
        let purpose = FileAsk::Offer { why, peer, span, branch, records: page.clone() };
        // Of a file: no tombstone is ever placed.
        let (clock_s, put) = (0, true);
        let (records, holders) = (vec![record.clone()], there.clone());
        let ask = Ask::Entrust { records, holders, clock_s, put };
        asks.ask(peer, ask, Purpose::Files(purpose), out);
    }
}

/// The failure of a put: no other node can store what this one cannot.
fn no_holder(ring: &RingView<'_>, obstacle: Obstacle, others: &[(Peer, Obstacle)]) -> Failure {
    let why = |peer: &Peer| others.iter().find(|(other, _)| other == peer).copied();
    let others = ring.successors.iter().filter_map(why);
    let unable = std::iter::once((ring.me, obstacle)).chain(others).collect();
    Failure::TooFewCopies { holders: Vec::new(), wanted: ring.wanted(), unable }
}

/// Ends a command that waits for copies.
fn refuse(ticket: Ticket, failure: Failure, out: &mut Effects) {
    out.push(Effect::Disarm(Timer::Copies(ticket)));
    out.push(Effect::Reply { ticket, reply: Reply::Failed(failure) });
}
