//! Stand-ins: when a wanted holder cannot store a record, the next node
//! behind the wanted holders keeps the copy in its place; also when it is the
//! owner itself ([`super::full_owner`]).
//!
//! The owner decides it, for each record by itself, and notes it in
//! [`Durable`]: [`super::super::placement`] stays as it is. A stand-in's durable
//! copy counts like any. To the stand-in itself the copy is out of place, so it
//! asks the owner in its rounds whether it may go; the owner consents when
//! every wanted holder has the record. So copies move home when the obstacle goes,
//! and a new owner hears of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::limits::MAX_PAGE;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Obstacle, PassedOver, Record, Version};
use crate::wire::message::Branch;

use super::super::effect::{Effect, Notice};
use super::super::view::RingView;
use super::ask::{FileAsk, OfferReason};
use super::disk::Durable;
use super::state::{Files, Replicas, copies_notice, forget};

/// Repair rounds after which a holder that is unable to store is offered some of
/// its records again: a question about a page costs little, but not every round's
/// little.
pub(super) const FULL_ROUNDS: u32 = 10;

impl Durable {
    /// Wanted holders that do not have it, the owner included.
    pub(super) fn missing(&self, ring: &RingView<'_>) -> usize {
        let partners = ring.partners().into_iter().filter(|peer| !self.others.has(*peer));
        partners.count() + usize::from(!self.is_here())
    }

    /// Wanted holders that cannot store it, the owner included, and why.
    pub(super) fn passed(&self, ring: &RingView<'_>) -> impl Iterator<Item = (Peer, Obstacle)> {
        let refused = |peer: Peer| Some((peer, self.others.obstacle(peer)?));
        let partners = ring.partners().into_iter().filter_map(refused);
        self.obstacle().map(|why| (ring.me, why)).into_iter().chain(partners)
    }

    /// The same, with those that stand in for them.
    pub(super) fn passed_over(&self, ring: &RingView<'_>) -> Vec<PassedOver> {
        let keeps = |peer: &&Peer| self.others.is_stand_in(**peer) && self.others.has(**peer);
        let mut stand_ins = ring.successors.iter().filter(keeps).copied();
        let passed = self.passed(ring);
        passed.map(|(peer, why)| PassedOver { peer, why, stand_in: stand_ins.next() }).collect()
    }

    fn refused(&self, ring: &RingView<'_>) -> usize {
        self.passed(ring).count()
    }

    /// Whether there are fewer copies than the ring keeps, and nothing is left
    /// that could make another one.
    pub(super) fn is_stuck(&self, ring: &RingView<'_>) -> bool {
        self.missing(ring) == self.refused(ring)
            && self.others.stand_ins().all(|peer| self.others.has(peer))
            && self.copies() < ring.wanted()
    }
}

impl Files<'_> {
    /// A holder cannot store a record.
    pub(in super::super) fn holder_unable(
        &mut self,
        from: Peer,
        name: &FileName,
        version: Version,
        why: Obstacle,
    ) {
        if self.state.is_entrusted(from, name, version) {
            return self.entrust_refused(from, name, Some(why));
        }
        let Some(held) = self.state.disk.get_mut(name) else { return };
        let counts = self.ring.partners().contains(&from) || held.others.is_stand_in(from);
        if held.record.version != version || !counts {
            return;
        }
        if held.others.refuse(from, why) {
            self.out.push(copies_notice(None, held, self.ring.wanted()));
        }
        if let Some(partner) = self.state.partners.get_mut(&from) {
            partner.unable = Some(why);
        }
        let chosen = self.stand_in(name);
        let stuck = self.state.disk.get(name).is_some_and(|held| held.is_stuck(&self.ring));
        if chosen.is_some() || stuck {
            let over = PassedOver { peer: from, why, stand_in: chosen };
            self.out.push(Effect::Notice(Notice::PassedOver { name: name.clone(), over }));
        }
        self.finish_puts(name);
    }

    /// Fits the stand-ins of a record to those that cannot store it; the one
    /// chosen, if any was.
    pub(super) fn stand_in(&mut self, name: &FileName) -> Option<Peer> {
        let held = self.state.disk.get_mut(name)?;
        let (missing, refused) = (held.missing(&self.ring), held.refused(&self.ring));
        while held.others.stand_ins().count() > missing {
            // One that has it not is released first, then any.
            let idle = held.others.stand_ins().find(|peer| !held.others.has(*peer));
            let peer = idle.or(held.others.stand_ins().next())?;
            held.others.forget(peer);
            forget(self.asks, |ask| is_offer(ask, peer, name));
        }
        let mut chosen = Vec::new();
        for peer in self.ring.others().skip(self.ring.partners().len()) {
            if held.others.stand_ins().count() >= refused {
                break;
            }
            if !held.others.is_unable(peer) && !held.others.is_stand_in(peer) {
                held.others.choose(peer);
                chosen.push(peer);
            }
        }
        let (record, key) = (held.record.clone(), held.key(self.ring.space));
        for peer in &chosen {
            self.offer_one(*peer, key, record.clone());
        }
        chosen.first().copied()
    }

    /// The periodic round: holders that were unable are tried again now and then, and
    /// stand-ins asked whether they still have what they keep, page by page.
    pub(super) fn check_stand_ins(&mut self) {
        self.state.round = self.state.round.wrapping_add(1);
        if self.state.round.is_multiple_of(FULL_ROUNDS) {
            // First those: while a wanted holder is tried again, no stand-in is to
            // stand in for it.
            self.retry_stand_ins(|_, _| true);
            let unable = self.state.partners.iter();
            let unable = unable.filter_map(|(peer, partner)| Some((*peer, partner.unable?)));
            for (peer, why) in unable.collect::<Vec<_>>() {
                self.state.retry(peer, why);
            }
        }
        let mut pages: BTreeMap<(Peer, bool), Vec<Record>> = BTreeMap::new();
        let kept = self.state.disk.behind(self.state.checked.as_ref());
        let kept = kept.filter(|held| held.others.stand_ins().next().is_some()).take(MAX_PAGE);
        let mut last = None;
        for held in kept {
            last = Some(held.record.name.clone());
            for peer in held.others.stand_ins() {
                pages.entry((peer, held.is_here())).or_default().push(held.record.clone());
            }
        }
        self.state.checked = last;
        let Some(span) = self.ring.range() else { return };
        for ((peer, _), page) in pages {
            self.offer(OfferReason::Put, peer, (span, Branch::ALL), page);
        }
    }

    /// Where no node stands in for a holder that is unable, those nodes behind the
    /// wanted holders are asked again that were unable too and for which `which`
    /// holds: no other node is left.
    fn retry_stand_ins(&mut self, which: impl Fn(Peer, Obstacle) -> bool) {
        let behind = self.ring.behind();
        let mut names = Vec::new();
        for held in self.state.disk.values_mut() {
            if held.others.stand_ins().count() >= held.refused(&self.ring) {
                continue;
            }
            if held.others.forgive(|peer, why| behind.contains(&peer) && which(peer, why)) {
                names.push(held.record.name.clone());
            }
            if names.len() == MAX_PAGE {
                break;
            }
        }
        for name in names {
            self.stand_in(&name);
        }
    }

    /// Bytes reach this host again, to which some could not be given: it is
    /// offered one of these at once, and this node fetches what it could not get.
    pub(in super::super) fn bytes_pass(&mut self, host: SocketAddr) {
        let there = |peer: Peer, why| peer.address() == host && why == Obstacle::NoBytes;
        self.retry_stand_ins(there);
        let unable = self.state.partners.iter();
        let unable =
            unable.filter(|(peer, partner)| partner.unable.is_some_and(|why| there(**peer, why)));
        for peer in unable.map(|(peer, _)| *peer).collect::<Vec<_>>() {
            self.state.retry(peer, Obstacle::NoBytes);
            self.inspect(|partner| !partner.retried.is_empty());
        }
        self.fetch_unreached();
    }

    /// The ring changed: stand-ins that went are replaced, those that became
    /// wanted holders are ones.
    pub(super) fn regroup_stand_ins(&mut self) {
        let mut names = Vec::new();
        let (partners, known) = (self.ring.partners(), self.ring.others().collect::<Vec<Peer>>());
        for held in self.state.disk.values_mut() {
            if held.is_here() && !held.others.is_replaced() {
                continue;
            }
            held.others.promote(&partners);
            let others = held.others.unable().map(|(peer, _)| peer).chain(held.others.stand_ins());
            let gone: Vec<Peer> = others.filter(|peer| !known.contains(peer)).collect();
            for peer in gone {
                if held.others.forget(peer) {
                    self.out.push(copies_notice(None, held, self.ring.wanted()));
                }
            }
            for (peer, why) in held.others.unable() {
                if let Some(partner) = self.state.partners.get_mut(&peer) {
                    partner.unable = Some(why);
                }
            }
            names.push(held.record.name.clone());
        }
        for name in names {
            self.stand_in(&name);
        }
    }
}

impl Replicas {
    /// A wanted holder took what it could not store before: it is offered the rest
    /// too.
    pub(super) fn is_able(&mut self, peer: Peer) {
        let Some(partner) = self.partners.get_mut(&peer) else { return };
        if partner.unable.take().is_none() {
            return;
        }
        partner.retried.clear();
        for held in self.disk.values_mut() {
            held.others.forgive(|one, _| one == peer);
        }
    }

    /// Has a wanted holder offered some of what it could not store, which a comparison
    /// does then.
    fn retry(&mut self, peer: Peer, why: Obstacle) {
        // Another file may fit; of other obstacles one file tells as much as many.
        let most = if why == Obstacle::NoRoom { MAX_PAGE } else { 1 };
        let refused = self.disk.values_mut().filter(|held| held.others.is_unable(peer));
        let mut retried = BTreeSet::new();
        for held in refused.take(most) {
            held.others.forget(peer);
            retried.insert(held.record.name.clone());
        }
        if let Some(partner) = self.partners.get_mut(&peer) {
            partner.retried = retried;
        }
    }
}

/// Whether the question offers this one record to this peer.
fn is_offer(ask: &FileAsk, peer: Peer, name: &FileName) -> bool {
    matches!(ask, FileAsk::Offer { why: OfferReason::Put, peer: to, records, .. }
        if *to == peer && matches!(&records[..], [(offered, _)] if offered == name))
}
