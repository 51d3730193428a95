//! The files of a node: which node keeps which record, when a put is
//! acknowledged, and when a copy may be deleted.
//!
//! It owns the list of what the disk holds, the acknowledgements of other
//! nodes, and the store operations under way ([`Replicas`]). It never touches bytes,
//! time or the ring. [`Files`] is this state for one turn of the node, with what the
//! turn lends: the ring, to be looked at, the open questions and the effects.
//!
//! Invariants
//! - At most one store operation on one name is under way.
//! - A node appears in [`copies::Copies::holders`] only while it is one of the wanted
//!   holders or a stand-in for one, and only because it answered a question
//!   asked since it became one, or said [`crate::wire::Tell::Held`] to an offer
//!   that was open.
//! - A record that is not on this disk is in [`disk::Disk`] only at the owner of its
//!   name, and only because another node said that it holds it durably.
//! - A copy is given up only with the consent of the key's owner, which gives
//!   it only when every wanted holder, or a stand-in for each that cannot store it,
//!   has the version durably; from then on the copy is no longer counted, and
//!   an offer that comes before the consent makes it void. A node on its way
//!   out acknowledges nothing any more. So no change of membership lowers the
//!   number of copies.
//!
//! The parts: [`owner`] (commands, acknowledgements, repair) with [`puts`]
//! (commands that wait for copies) and [`standins`] (who keeps what another
//! cannot store) and [`full_owner`] (names whose owner cannot), [`holder`]
//! (what others offer, store operations) with [`covers`] (what owners say of
//! it), [`handover`]
//! (copies that are out of place, leaving), [`absent`] (records whose bytes are
//! not here), [`expiry`] (the end of tombstones). [`disk`] is the list of what
//! is durable here.

use crate::limits::MAX_PAGE;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{CopyCount, Record};
use crate::wire::message::{Branch, Verdict};
use crate::wire::query::HeldFile;
use crate::wire::{Answer, Ask};

use super::placement::others;
use super::purpose::Purpose;
use super::view::{Membership, RingView, Span};

mod absent;
pub(super) mod ask;
mod copies;
mod covers;
mod disk;
mod expiry;
mod full_owner;
pub(super) mod handover;
mod holder;
mod owner;
mod puts;
mod standins;
mod state;
#[cfg(test)]
mod tests;
mod tombstones;

use ask::{FileAsk, OfferReason};
use disk::{Durable, Sum, leaf};
use owner::Compared;
use state::Partner;

pub(super) use state::{FileCommand, Files, Replicas};

impl Files<'_> {
    /// The node was built as a member of a settled ring ([`super::Node::stabilized`]):
    /// without a record here, its partners hold none of its range either.
    pub(super) fn built(&mut self) {
        if self.state.disk.is_empty() {
            self.state.range = self.ring.range();
            let partners = self.ring.partners().into_iter();
            self.state.partners = partners.map(|peer| (peer, Partner::settled())).collect();
        } else {
            self.regroup();
        }
    }

    /// Answers a question of another node; `None`: it is not about files.
    pub(super) fn ask(&mut self, from: Peer, ask: &Ask) -> Option<Answer> {
        Some(match ask {
            Ask::Inventory { from: start, to, branch, digest, records, counted } => {
                let span = Span { from: *start, to: *to };
                let theirs = Sum { digest: *digest, records: *records };
                self.inventory(from, span, *branch, theirs, counted.as_ref())
            }
            Ask::Offer { records, clock_s, put } => {
                let records = self.state.by_own_clock(records, *clock_s);
                let answer = self.offered(from, &records, None, *put);
                self.count_offered(from, &records);
                answer
            }
            Ask::Entrust { records, holders, clock_s, put } => {
                let records = self.state.by_own_clock(records, *clock_s);
                self.offered(from, &records, Some(holders), *put)
            }
            Ask::MayDrop { records } => Answer::MayDrop {
                may: records
                    .iter()
                    .map(|(name, version)| self.state.may_drop(&self.ring, from, name, *version))
                    .collect(),
            },
            Ask::Ping | Ask::Neighbours | Ask::Next { .. } => return None,
        })
    }

    /// Takes in the answer to a question; `None`: there is none, or the other
    /// is not a member.
    pub(super) fn answer(&mut self, from: Peer, purpose: FileAsk, mut answer: Option<Answer>) {
        if let Some(Answer::Offer { verdicts, clock_s }) = &mut answer {
            for verdict in verdicts {
                if let Verdict::Newer(record) = verdict {
                    self.state.expiry.translate(record, *clock_s);
                }
            }
        }
        match purpose {
            FileAsk::Inventory { span, branch, sum, .. } => {
                if let Some(Answer::Inventory { same, records, branches }) = answer {
                    let compared = Compared { branch, sum, same, records, branches };
                    self.inspected(from, span, &compared);
                }
            }
            FileAsk::Offer { why, span, branch, records, .. } => {
                let verdicts = match answer {
                    Some(Answer::Offer { verdicts, .. }) if verdicts.len() == records.len() => {
                        verdicts
                    }
                    _ => {
                        match why {
                            OfferReason::Handover => self.next_stray(),
                            OfferReason::Entrust => {
                                self.entrust_answered(from, &records, None);
                            }
                            OfferReason::Put | OfferReason::Repair | OfferReason::Return => {}
                        }
                        return;
                    }
                };
                let after = records.last().map(|(name, _)| name.clone());
                match why {
                    OfferReason::Put => self.acknowledged(from, records, verdicts),
                    OfferReason::Entrust => {
                        let verdict = verdicts.into_iter().next();
                        self.entrust_answered(from, &records, verdict);
                    }
                    OfferReason::Repair => {
                        self.acknowledged(from, records, verdicts);
                        if !self.push(why, from, (span, branch), after.as_ref()) {
                            self.compare_next(from, span);
                        }
                    }
                    OfferReason::Return => {
                        self.take_newer(from, &records, verdicts);
                        self.push(why, from, (span, branch), after.as_ref());
                    }
                    OfferReason::Handover => {
                        self.handover_offered(from, span, records, &verdicts);
                    }
                }
            }
            FileAsk::MayDrop { span, after, records } => {
                let may = match answer {
                    Some(Answer::MayDrop { may }) if may.len() == records.len() => may,
                    _ => return self.next_stray(),
                };
                self.drop_allowed(records, &may);
                let keys = (span, Branch::ALL);
                if !self.push(OfferReason::Handover, from, keys, Some(&after)) {
                    self.next_stray();
                }
            }
            FileAsk::Probe { name } => self.probed(from, name, answer),
        }
    }

    /// The periodic round: owners compare with their holders, and copies out
    /// of place are handed over.
    pub(super) fn repair(&mut self) {
        if self.ring.membership == Membership::Member {
            self.state.mark_placed(self.ring.space, self.ring.range());
            self.state.covers.age();
            self.cease_misplaced();
            self.state.settling = self.state.settling.saturating_sub(1);
            self.check_stand_ins();
            self.fetch_some_back();
            self.inspect(|_| true);
            self.offer_puts();
            self.ask_entrusted();
            self.fetch_absent();
        }
        self.hand_over();
    }

    /// The predecessor or the successor list changed, or the membership.
    pub(super) fn ring_changed(&mut self) {
        match self.ring.membership {
            Membership::Member => self.regroup(),
            Membership::Leaving => {
                self.regroup();
                self.hand_over();
            }
            Membership::New | Membership::Joining | Membership::Left => {}
        }
    }

    /// Offers the next page of the records in a part of the span, from behind `after`;
    /// `false` when none is left.
    fn push(
        &mut self,
        why: OfferReason,
        to: Peer,
        keys: (Span, Branch),
        after: Option<&FileName>,
    ) -> bool {
        let (span, branch) = keys;
        let mut page = self
            .state
            .disk
            .branch(branch, after)
            .filter(|held| span.contains(held.key(self.ring.space)))
            .filter(|held| why != OfferReason::Handover || self.state.is_stray(&self.ring, held))
            .filter(|held| held.is_here() || why == OfferReason::Repair)
            .filter(|held| why != OfferReason::Repair || !held.others.is_unable(to))
            .peekable();
        // A page is offered or entrusted: not both.
        let here = page.peek().is_none_or(|first| first.is_here());
        let page = page.take_while(|held| held.is_here() == here).take(MAX_PAGE);
        let records: Vec<Record> = page.map(|held| held.record.clone()).collect();
        let more = !records.is_empty();
        if more {
            self.offer(why, to, keys, records);
        }
        more
    }

    /// Offers these records, or entrusts them to a peer when they are not here:
    /// all of them are, or none.
    fn offer(
        &mut self,
        why: OfferReason,
        peer: Peer,
        (span, branch): (Span, Branch),
        records: Vec<Record>,
    ) {
        let page = records.iter().map(|r| (r.name.clone(), r.version)).collect();
        if matches!(why, OfferReason::Put | OfferReason::Repair) {
            // Before the answer: the statement that it is held may overtake it.
            for record in &records {
                if let Some(held) = self.state.disk.get_mut(&record.name) {
                    held.others.ask(peer);
                }
            }
        }
        let purpose = Purpose::Files(FileAsk::Offer { why, peer, span, branch, records: page });
        let known = |record: &Record| self.state.disk.get(&record.name);
        let here = records.iter().filter_map(known).all(|held| held.is_here());
        let (clock_s, put) =
            (self.state.expiry.now_s(), matches!(why, OfferReason::Put | OfferReason::Entrust));
        let ask = if here {
            Ask::Offer { records, clock_s, put }
        } else {
            let mut holders: Vec<Peer> = Vec::new();
            let said = records.iter().filter_map(known).flat_map(|held| held.others.holders());
            // Of those that have yet to answer some may have it.
            let asked = records.iter().filter_map(known).flat_map(|held| held.others.awaited());
            for holder in said.chain(asked).filter(|holder| *holder != peer) {
                holder::add(&mut holders, holder);
            }
            Ask::Entrust { records, holders, clock_s, put }
        };
        self.asks.ask(peer, ask, purpose, self.out);
    }
}

impl Replicas {
    /// Takes over what the disk holds.
    pub(super) fn start(&mut self, records: Vec<Record>) {
        for record in records {
            self.disk.insert(Durable::new(record));
        }
    }

    /// Live files here.
    pub(super) fn len(&self) -> usize {
        self.disk.values().filter(|held| held.is_here() && !held.record.is_deleted()).count()
    }

    /// The files here, in the order of their names, from behind `after`.
    pub(super) fn rows<'a>(
        &'a self,
        ring: &'a RingView<'a>,
        after: Option<&FileName>,
    ) -> impl Iterator<Item = HeldFile> + use<'a> {
        let owned = ring.range();
        let known = 1 + others(ring.me, ring.successors.iter().copied().chain(ring.predecessor))
            .take(usize::from(ring.replicas))
            .count();
        let owners = ring.wanted();
        let here = |held: &&Durable| held.is_here() && !held.record.is_deleted();
        self.disk.behind(after).filter(here).map(move |held| {
            let key = held.key(ring.space);
            let owner = owned.is_some_and(|span| span.contains(key));
            let (copies, wanted, count) = if owner {
                (held.copies(), owners, self.count(ring, held))
            } else {
                let wanted = known.min(usize::from(ring.replicas.max(1))) as u8;
                let told = self.covers.copies(key, leaf(&held.record.name));
                told.unwrap_or((1, wanted, CopyCount::Counting))
            };
            HeldFile { record: held.record.clone(), owner, copies, wanted, count }
        })
    }

    /// How many files of this node's range have fewer copies than wanted, as far as
    /// they are counted.
    pub(super) fn below(&self, ring: &RingView<'_>) -> usize {
        let Some(range) = ring.range() else { return 0 };
        let few = self.disk.values().filter(|held| held.copies() < ring.wanted());
        let few = few.filter(|held| !held.record.is_deleted());
        let few = few.filter(|held| range.contains(held.key(ring.space)));
        few.filter(|held| self.count(ring, held) != CopyCount::Counting).count()
    }

    /// All records whose content is durable here.
    pub(super) fn records(&self) -> impl Iterator<Item = &Record> {
        self.disk.values().filter(|held| held.is_here()).map(|held| &held.record)
    }

    /// The record that is durable here under this name, which may be a tombstone.
    pub(super) fn record(&self, name: &FileName) -> Option<&Record> {
        self.disk.get(name).filter(|held| held.is_here()).map(|held| &held.record)
    }

    /// The same; without one, what is known of a name whose bytes are not here:
    /// those of [`Replicas::holders`] have them.
    pub(super) fn best(&self, name: &FileName) -> Option<&Record> {
        let wished = || self.wishes.get(name).map(|wish| &wish.record);
        let absent = || self.absent.get(name).map(|absent| &absent.record);
        let durable = self.disk.get(name).map(|held| &held.record);
        durable.or_else(wished).or_else(absent)
    }

    /// Who holds the newest version known here durably: this node first, if it
    /// does. While this node has not got it, those that have offered it.
    pub(super) fn holders(&self, ring: &RingView<'_>, name: &FileName) -> Vec<Peer> {
        match self.disk.get(name) {
            Some(held) => held
                .is_here()
                .then_some(ring.me)
                .into_iter()
                .chain(ring.successors.iter().copied().filter(|peer| held.others.has(*peer)))
                .collect(),
            None => self.sources(name),
        }
    }

    /// What a message says of records, dated by this node's clock.
    fn by_own_clock(&self, records: &[Record], clock_s: u64) -> Vec<Record> {
        let mut records = records.to_vec();
        records.iter_mut().for_each(|record| self.expiry.translate(record, clock_s));
        records
    }
}
