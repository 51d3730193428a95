//! Copies that are out of place here: they are offered to the key's owner and
//! deleted once it consents. Leaving a ring is the same with every record.
//!
//! One owner at a time, one page at a time: offer, ask whether those that the
//! owner holds may go, delete, next page. What could not be deleted yet is
//! tried again in the next round.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Record, Version};
use crate::wire::Ask;
use crate::wire::message::{Branch, Verdict};

use super::super::effect::{Effect, Effects, Found, Kept, Notice};
use super::super::input::Timer;
use super::super::placement::placement;
use super::super::purpose::Purpose;
use super::super::view::{Membership, RingView, Span};
use super::ask::{FileAsk, OfferReason};
use super::disk::Durable;
use super::state::{DropReason, Files, Leave, Lookup, Replicas, forget, is_open};

/// A leave without any progress ends after this: long enough for a dead heir to
/// be noticed and for its successor to begin, short enough for a person who waits.
pub(in super::super) const PATIENCE: Range<Duration> =
    Duration::from_secs(30)..Duration::from_secs(31);

/// The pause between two rounds of a leaving node: the new owners are fetching
/// meanwhile, and a user waits for the leave to end.
const LEAVE_RETRY: Range<Duration> = Duration::from_millis(100)..Duration::from_millis(200);

/// Repair rounds after which a lookup that never ended is given up.
const LOOKUP_ROUNDS: u8 = 3;

impl Files<'_> {
    /// A lookup ended.
    pub(in super::super) fn located(&mut self, key: Id, found: Option<&Found>) {
        if !matches!(self.state.lookup, Lookup::Running(running, _) if running == key) {
            return;
        }
        self.state.lookup = Lookup::Idle;
        let Some(found) = found else { return retry(&self.ring, self.out) };
        let to = found.owner.id(self.ring.space);
        let range = found.predecessor.map(|before| Span { from: before.id(self.ring.space), to });
        // Without a predecessor only this key is known to be the owner's.
        let just_below = self.ring.space.id(key.value().wrapping_sub(1));
        let span =
            range.filter(|span| span.contains(key)).unwrap_or(Span { from: just_below, to: key });
        let leaving = self.ring.membership == Membership::Leaving;
        let here = found.owner.address() == self.ring.me.address();
        // The next node may not have noticed yet that it owns a leaver's range.
        let noticed = range.is_some_and(|range| range.contains(key));
        let own = self.ring.span().filter(|own| leaving && !noticed && own.contains(key));
        let span = own.unwrap_or(span);
        if found.owner == self.ring.me || here && leaving {
            match self.ring.heir() {
                // The lookup has not noticed that this node is going.
                Some(next) if leaving => self.hand_to(next, span),
                _ => {
                    self.state.tried.push(span);
                    self.next_stray();
                }
            }
        } else if !leaving && is_wanted(&self.ring, key, found) {
            self.state.covers.found(found.owner, span);
            self.state.tried.push(span);
            self.next_stray();
        } else {
            self.hand_to(found.owner, span);
        }
    }

    /// Begins to hand everything over; the ring regards this node as gone.
    pub(in super::super) fn leave(&mut self) {
        let names = self.state.disk.values().map(|held| &held.record.name);
        let elsewhere =
            names.filter(|name| self.state.is_elsewhere(&self.ring, name)).cloned().collect();
        self.state.leaving =
            Some(Leave { handed: 0, alone: self.ring.heir().is_none(), elsewhere });
        self.state.wishes.clear();
        self.state.absent.clear();
        self.state.covers.clear();
        self.state.lookup = Lookup::Idle;
        self.cease(|_, _, _| true);
        self.refuse_queue();
        self.prune_elsewhere();
        forget(self.asks, |ask| matches!(ask, FileAsk::Inventory { .. } | FileAsk::Probe { .. }));
        self.hand_over();
    }

    /// Begins a round of handing over, unless one is under way.
    pub(super) fn hand_over(&mut self) {
        if !matches!(self.ring.membership, Membership::Member | Membership::Leaving) {
            return;
        }
        if let Some(leave) = &mut self.state.leaving {
            leave.alone = self.ring.heir().is_none();
        }
        match self.state.lookup {
            Lookup::Running(key, rounds) if rounds < LOOKUP_ROUNDS => {
                self.state.lookup = Lookup::Running(key, rounds + 1);
                return;
            }
            Lookup::Wanted(_) => return,
            Lookup::Idle | Lookup::Running(..) => self.state.lookup = Lookup::Idle,
        }
        let handing = |ask: &FileAsk| {
            matches!(
                ask,
                FileAsk::Offer { why: OfferReason::Handover, .. } | FileAsk::MayDrop { .. }
            )
        };
        let peers: Vec<Peer> = self.asks.iter().map(|(_, to, _)| to).collect();
        if peers.into_iter().any(|peer| is_open(self.asks, peer, handing)) {
            return;
        }
        self.state.tried.clear();
        self.next_stray();
    }

    /// Goes on with the next copy out of place whose owner was not tried in
    /// this round.
    pub(super) fn next_stray(&mut self) {
        let untried = |held: &&Durable| {
            let key = held.key(self.ring.space);
            self.state.is_stray(&self.ring, held)
                && !self.state.tried.iter().any(|span| span.contains(key))
        };
        let Some(key) =
            self.state.disk.values().find(untried).map(|held| held.key(self.ring.space))
        else {
            if !self.state.disk.is_empty() {
                retry(&self.ring, self.out);
            }
            return;
        };
        // A leaver looks up the owner of its own range too: nodes that joined since
        // it left may own parts of it.
        self.state.lookup = Lookup::Wanted(key);
    }

    /// The owner said what it has of a page.
    pub(super) fn handover_offered(
        &mut self,
        from: Peer,
        span: Span,
        records: Vec<(FileName, Version)>,
        verdicts: &[Verdict],
    ) {
        let Some((after, _)) = records.last().cloned() else { return };
        let there = records.into_iter().zip(verdicts).filter(|(_, verdict)| {
            // A newer record there makes this one superfluous, and an owner
            // without room may know of enough others that hold it.
            matches!(verdict, Verdict::Held | Verdict::Newer(_) | Verdict::Known)
        });
        let (mut records, mut may_go) = (Vec::new(), BTreeMap::new());
        for (record, verdict) in there {
            let newer = match verdict {
                Verdict::Newer(newer) if newer.name == record.0 => Some(newer.clone()),
                _ => None,
            };
            may_go.insert(record.0.clone(), newer);
            records.push(record);
        }
        if let Some(leave) = &mut self.state.leaving {
            leave.elsewhere.extend(may_go.keys().cloned());
        }
        if !records.is_empty() {
            self.state.may_go = may_go;
            let ask = Ask::MayDrop { records: records.clone() };
            let purpose = Purpose::Files(FileAsk::MayDrop { span, after, records });
            self.asks.ask(from, ask, purpose, self.out);
        } else if !self.push(OfferReason::Handover, from, (span, Branch::ALL), Some(&after)) {
            self.next_stray();
        }
    }

    /// The owner consents to some deletions. What has become this node's to
    /// keep meanwhile stays.
    pub(super) fn drop_allowed(&mut self, records: Vec<(FileName, Version)>, may: &[bool]) {
        let mut may_go = std::mem::take(&mut self.state.may_go);
        let consented = records.into_iter().zip(may).filter(|(_, may)| **may);
        for ((name, version), _) in consented {
            let stray = self.state.disk.get(&name).is_some_and(|held| {
                held.record.version == version && self.state.is_stray(&self.ring, held)
            });
            if stray
                && let Some(newer) = may_go.remove(&name)
                && !self.state.busy.contains_key(&name)
            {
                let file = |held: &Record| !held.is_deleted();
                let beaten = newer.filter(|newer| {
                    self.state.record(&name).is_some_and(file) && newer.version.root != version.root
                });
                self.delete(&name, beaten.map_or(DropReason::Given, DropReason::Beaten));
            }
        }
    }

    /// A copy was deleted because others hold it where it belongs.
    pub(super) fn given(&mut self, record: &Record) {
        self.out.push(Effect::Notice(Notice::Given(record.name.clone())));
        if let Some(leave) = &mut self.state.leaving {
            leave.handed += usize::from(!record.is_deleted());
            self.out.push(Effect::Arm { timer: Timer::Leave, after: PATIENCE });
        }
    }

    fn hand_to(&mut self, owner: Peer, span: Span) {
        self.state.tried.push(span);
        if !self.push(OfferReason::Handover, owner, (span, Branch::ALL), None) {
            self.next_stray();
        }
    }
}

impl Replicas {
    /// The key whose owner is to be looked up next.
    pub(in super::super) fn wants_lookup(&mut self) -> Option<Id> {
        if let Lookup::Wanted(key) = self.lookup {
            self.lookup = Lookup::Running(key, 0);
            Some(key)
        } else {
            None
        }
    }

    /// Whether nothing is left that others could take.
    pub(in super::super) fn handed_over(&self) -> bool {
        let busy = self.jobs.values().any(|job| !job.is_fetch()) || !self.entrusted.is_empty();
        let over = |leave: &Leave| !busy && (leave.alone || self.disk.is_empty());
        self.leaving.as_ref().is_some_and(over)
    }

    /// The leave ended: how many files others hold now, and which stayed.
    pub(in super::super) fn left(&mut self) -> (usize, Vec<Kept>) {
        let leave = self.leaving.take();
        let handed = leave.as_ref().map_or(0, |leave| leave.handed);
        let elsewhere = |name| leave.as_ref().is_some_and(|leave| leave.elsewhere.contains(name));
        let stay = self.disk.values().filter(|held| held.is_here() && !held.record.is_deleted());
        let kept = stay.map(|Durable { record, .. }| Kept {
            name: record.name.clone(),
            size: record.size(),
            elsewhere: elsewhere(&record.name),
        });
        let kept = kept.collect();
        self.partners.clear();
        self.range = None;
        self.covers.clear();
        self.wishes.clear();
        self.absent.clear();
        self.tried.clear();
        self.lookup = Lookup::Idle;
        for held in self.disk.values_mut() {
            held.others.clear();
        }
        (handed, kept)
    }

    /// Whether this copy should not be here.
    pub(super) fn is_stray(&self, ring: &RingView<'_>, held: &Durable) -> bool {
        let key = held.key(ring.space);
        match ring.membership {
            _ if !held.is_here() => false,
            Membership::Leaving => ring.heir().is_some() && !self.is_put(&held.record.name),
            Membership::Member => {
                ring.range().is_some_and(|range| !range.contains(key))
                    && !self.covers.has(key)
                    && !self.is_put(&held.record.name)
            }
            Membership::New | Membership::Joining | Membership::Left => false,
        }
    }
}

/// Whether this node belongs to the holders of the key, as seen from its owner
/// but with this node in its place: the owner may not know it yet.
fn is_wanted(ring: &RingView<'_>, key: Id, found: &Found) -> bool {
    let mut nodes = vec![found.owner];
    nodes.extend(&found.successors);
    if !nodes.contains(&ring.me) {
        nodes.push(ring.me);
    }
    let start = found.owner.id(ring.space);
    nodes.sort_by_key(|peer| ring.space.distance(start, peer.id(ring.space)));
    nodes.dedup();
    placement(ring.space, key, &nodes, ring.replicas).contains(&ring.me)
}

/// A leaving node tries again soon, any other at the next repair.
fn retry(ring: &RingView<'_>, out: &mut Effects) {
    if ring.membership == Membership::Leaving {
        out.push(Effect::Arm { timer: Timer::Repair, after: LEAVE_RETRY });
    }
}
