//! Stand-ins: when a wanted holder cannot store a record, the next node
//! behind the wanted holders keeps the copy in its place; also when it is the
//! owner itself ([`super::elsewhere`]).
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

use super::super::{Effect, Notice};
use super::{Durable, FileAsk, Files, Replicas, RingView, Why, copies_notice, forget};

/// Repair rounds after which a holder that is unable to store is offered some of
/// its records again: a question about a page costs little, but not every round's
/// little.
pub(super) const FULL_ROUNDS: u32 = 10;

impl Durable {
    /// Wanted holders that do not have it, the owner included.
    pub(super) fn missing(&self, ring: &RingView<'_>) -> usize {
        let partners = ring.partners().into_iter().filter(|peer| !self.holders.contains(peer));
        partners.count() + usize::from(!self.here)
    }

    /// Wanted holders that cannot store it, the owner included, and why.
    pub(super) fn passed(&self, ring: &RingView<'_>) -> impl Iterator<Item = (Peer, Obstacle)> {
        let refused = |peer: Peer| {
            let why = self.unable.get(&peer).filter(|_| !self.holders.contains(&peer));
            why.map(|why| (peer, *why))
        };
        let partners = ring.partners().into_iter().filter_map(refused);
        (!self.here).then_some((ring.me, self.obstacle)).into_iter().chain(partners)
    }

    /// The same, with those that stand in for them.
    pub(super) fn passed_over(&self, ring: &RingView<'_>) -> Vec<PassedOver> {
        let keeps = |peer: &&Peer| self.stand_ins.contains(peer) && self.holders.contains(peer);
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
            && self.stand_ins.iter().all(|peer| self.holders.contains(peer))
            && self.copies() < ring.wanted()
    }

    /// Forgets everything about a peer; whether it was counted as a holder.
    pub(super) fn forget(&mut self, peer: &Peer) -> bool {
        self.awaited.remove(peer);
        self.unable.remove(peer);
        self.stand_ins.remove(peer);
        self.holders.remove(peer)
    }

    /// Forgets everything about others.
    pub(super) fn forget_all(&mut self) {
        self.awaited.clear();
        self.unable.clear();
        self.stand_ins.clear();
        self.holders.clear();
    }
}

impl Files<'_> {
    /// A holder cannot store a record.
    pub(in super::super) fn unable_there(
        &mut self,
        from: Peer,
        name: &FileName,
        version: Version,
        why: Obstacle,
    ) {
        if self.state.is_placing(from, name, version) {
            return self.not_placed(from, name, Some(why));
        }
        let Some(held) = self.state.disk.get_mut(name) else { return };
        let counts = self.ring.partners().contains(&from) || held.stand_ins.contains(&from);
        if held.record.version != version || !counts {
            return;
        }
        if held.forget(&from) {
            self.out.push(copies_notice(None, held, self.ring.wanted()));
        }
        held.unable.insert(from, why);
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
        while held.stand_ins.len() > missing {
            // One that has it not is released first, then any.
            let idle = held.stand_ins.iter().find(|peer| !held.holders.contains(peer));
            let peer = *idle.or(held.stand_ins.first())?;
            held.forget(&peer);
            forget(self.asks, |ask| is_offer(ask, peer, name));
        }
        let mut chosen = Vec::new();
        for peer in self.ring.others().skip(self.ring.partners().len()) {
            if held.stand_ins.len() >= refused {
                break;
            }
            if !held.unable.contains_key(&peer) && held.stand_ins.insert(peer) {
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
            // First those: while a wanted holder is tried again, nobody is to
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
        let kept = kept.filter(|held| !held.stand_ins.is_empty()).take(MAX_PAGE);
        let mut last = None;
        for held in kept {
            last = Some(held.record.name.clone());
            for peer in &held.stand_ins {
                pages.entry((*peer, held.here)).or_default().push(held.record.clone());
            }
        }
        self.state.checked = last;
        let Some(span) = self.ring.range() else { return };
        for ((peer, _), page) in pages {
            self.offer(Why::Put, peer, (span, Branch::ALL), page);
        }
    }

    /// Where nobody stands in for a holder that is unable, those nodes behind the
    /// wanted holders are asked again that were unable too and for which `which`
    /// holds: nobody else is left.
    fn retry_stand_ins(&mut self, which: impl Fn(Peer, Obstacle) -> bool) {
        let behind = self.ring.behind();
        let mut names = Vec::new();
        for held in self.state.disk.values_mut() {
            if held.unable.is_empty() || held.stand_ins.len() >= held.refused(&self.ring) {
                continue;
            }
            let before = held.unable.len();
            held.unable.retain(|peer, why| !(behind.contains(peer) && which(*peer, *why)));
            if held.unable.len() < before {
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
        self.bring_unreached_home();
    }

    /// The ring changed: stand-ins that went are replaced, those that became
    /// wanted holders are ones.
    pub(super) fn regroup_stand_ins(&mut self) {
        let mut names = Vec::new();
        let (partners, known) = (self.ring.partners(), self.ring.others().collect::<Vec<Peer>>());
        for held in self.state.disk.values_mut() {
            if held.here && held.unable.is_empty() && held.stand_ins.is_empty() {
                continue;
            }
            held.stand_ins.retain(|peer| !partners.contains(peer));
            let others = held.unable.keys().chain(&held.stand_ins);
            let gone: Vec<Peer> = others.filter(|peer| !known.contains(peer)).copied().collect();
            for peer in gone {
                if held.forget(&peer) {
                    self.out.push(copies_notice(None, held, self.ring.wanted()));
                }
            }
            for (peer, why) in &held.unable {
                if let Some(partner) = self.state.partners.get_mut(peer) {
                    partner.unable = Some(*why);
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
            held.unable.remove(&peer);
        }
    }

    /// Has a wanted holder offered some of what it could not store, which a comparison
    /// does then.
    fn retry(&mut self, peer: Peer, why: Obstacle) {
        // Another file may fit; of other obstacles one file tells as much as many.
        let most = if why == Obstacle::NoRoom { MAX_PAGE } else { 1 };
        let refused = self.disk.values_mut().filter(|held| held.unable.contains_key(&peer));
        let mut retried = BTreeSet::new();
        for held in refused.take(most) {
            held.unable.remove(&peer);
            retried.insert(held.record.name.clone());
        }
        if let Some(partner) = self.partners.get_mut(&peer) {
            partner.retried = retried;
        }
    }
}

/// Whether the question offers this one record to this peer.
fn is_offer(ask: &FileAsk, peer: Peer, name: &FileName) -> bool {
    matches!(ask, FileAsk::Offer { why: Why::Put, peer: to, records, .. }
        if *to == peer && matches!(&records[..], [(offered, _)] if offered == name))
}
