//! The commands that wait for copies: a put or a removal is durable at its
//! owner, and is answered when as many nodes hold it as are wanted.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Obstacle, Record, Version};
use crate::wire::message::Branch;

use super::super::effect::{Effect, Failure, Reply};
use super::super::input::{Ticket, Timer};
use super::super::view::{Membership, RingView, Span};
use super::ask::{FileAsk, OfferReason};
use super::state::{Files, Put, Replicas, copies_notice, is_open};

/// How long a put waits for its next copy, besides the time that the bytes
/// need: several repair rounds, so that one dead holder is noticed and replaced.
const COPIES_WAIT: Duration = Duration::from_secs(30);

/// Bytes a second at which a copy is surely made (16 Mbit/s): a put of a large
/// file over a slow link waits accordingly longer.
const SLOWEST_COPY: u64 = 2 * 1024 * 1024;

impl Files<'_> {
    /// The time for the copies of this command is over.
    pub(in super::super) fn copies_late(&mut self, ticket: Ticket) {
        self.entrust_late(ticket);
        if let Some(put) = self.state.puts.remove(&ticket) {
            let failure = self.state.too_few(&self.ring, &put.name);
            self.out.push(Effect::Reply { ticket, reply: Reply::Failed(failure) });
        }
    }

    /// The record is durable here: have it copied, and answer the command when
    /// there are enough copies.
    pub(super) fn await_copies(&mut self, ticket: Ticket, name: FileName) {
        let Some(held) = self.state.disk.get_mut(&name) else { return };
        // A command waits for it: holders that had no room before are asked again, but
        // not one to which nothing can be given.
        held.others.forgive(|_, _| true);
        for (peer, partner) in self.state.partners.iter() {
            if let Some(why) = partner.unable.filter(|why| *why != Obstacle::NoRoom) {
                held.others.refuse(*peer, why);
            }
        }
        if !matches!(self.ring.membership, Membership::Member | Membership::Leaving) {
            // It left while its disk worked: no lookup will lead here.
            let reply = Reply::Failed(Failure::NotOwner);
            return self.out.push(Effect::Reply { ticket, reply });
        }
        self.out.push(Effect::Arm {
            timer: Timer::Copies(ticket),
            after: copies_wait(held.record.size()),
        });
        self.out.push(copies_notice(Some(ticket), held, self.ring.wanted()));
        self.state.puts.insert(ticket, Put { name: name.clone(), version: held.record.version });
        self.stand_in(&name);
        self.offer_put(&name);
        self.finish_puts(&name);
    }

    /// Offers the records that commands wait for to partners that lack them.
    pub(super) fn offer_puts(&mut self) {
        for name in self.state.put_names() {
            self.offer_put(&name);
        }
    }

    fn offer_put(&mut self, name: &FileName) {
        let Some(held) = self.state.disk.get(name) else { return };
        let record = held.record.clone();
        let key = held.key(self.ring.space);
        let partners = self.ring.partners();
        let wanted = partners.into_iter().filter(|peer| !held.others.is_unable(*peer));
        let missing = wanted.chain(held.others.stand_ins()).filter(|peer| !held.others.has(*peer));
        let offered = |ask: &FileAsk| {
            matches!(ask, FileAsk::Offer { why: OfferReason::Put, records, .. }
            if records.iter().any(|(offered, version)| offered == name && *version == record.version))
        };
        let missing: Vec<Peer> =
            missing.filter(|peer| !is_open(self.asks, *peer, offered)).collect();
        for peer in missing {
            self.offer_one(peer, key, record.clone());
        }
    }

    /// Offers one record of this key, after which no page follows.
    pub(super) fn offer_one(&mut self, peer: Peer, key: Id, record: Record) {
        let span = Span { from: key, to: key };
        self.offer(OfferReason::Put, peer, (span, Branch::ALL), vec![record]);
    }

    /// Answers the commands that wait for this name, if it has enough copies.
    pub(super) fn finish_puts(&mut self, name: &FileName) {
        let Some(held) = self.state.disk.get(name) else { return };
        let (needed, passed) = (held.needed(&self.ring), held.passed_over(&self.ring));
        if held.copies() < needed {
            return;
        }
        let version = held.record.version;
        for ticket in self.state.tickets(name) {
            self.state.puts.remove(&ticket);
            let (holders, passed) = (self.state.holders(&self.ring, name), passed.clone());
            let reply = Reply::Stored { version, holders, wanted: needed, passed };
            self.out.push(Effect::Disarm(Timer::Copies(ticket)));
            self.out.push(Effect::Reply { ticket, reply });
        }
    }

    /// A version became durable here: commands that wait for copies of another
    /// one with other content have lost against it.
    pub(super) fn supersede(&mut self, name: &FileName, version: Version) {
        for ticket in self.state.tickets(name) {
            let Some(put) = self.state.puts.get_mut(&ticket) else { continue };
            if put.version.root == version.root {
                put.version = version;
                continue;
            }
            self.state.puts.remove(&ticket);
            self.out.push(Effect::Disarm(Timer::Copies(ticket)));
            self.out.push(Effect::Reply { ticket, reply: Reply::Failed(Failure::Superseded) });
        }
    }
}

impl Replicas {
    fn too_few(&self, ring: &RingView<'_>, name: &FileName) -> Failure {
        let (wanted, unable) = self.disk.get(name).map_or((ring.wanted(), Vec::new()), |held| {
            let me = held.obstacle().map(|why| (ring.me, why));
            let others = held.others.unable();
            (held.needed(ring), me.into_iter().chain(others).collect())
        });
        Failure::TooFewCopies { holders: self.holders(ring, name), wanted, unable }
    }

    /// The commands that wait for copies of this name.
    pub(super) fn tickets(&self, name: &FileName) -> Vec<Ticket> {
        self.puts.iter().filter(|(_, put)| put.name == *name).map(|(ticket, _)| *ticket).collect()
    }

    /// The names of which commands await copies.
    pub(super) fn put_names(&self) -> BTreeSet<FileName> {
        self.puts.values().map(|put| put.name.clone()).collect()
    }

    /// Whether a command waits for copies of this name.
    pub(super) fn is_put(&self, name: &FileName) -> bool {
        self.puts.values().any(|put| put.name == *name)
    }
}

/// How long a put waits for its next copy.
pub(super) fn copies_wait(size: u64) -> Range<Duration> {
    let wait = COPIES_WAIT + Duration::from_secs(size / SLOWEST_COPY);
    wait..wait + Duration::from_secs(1)
}
