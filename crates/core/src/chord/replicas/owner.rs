//! The owner's part: commands, the copies that others hold, and repair.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::{MAX_BELOW, MAX_PAGE};
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Content, ContentHash, CopyCount, Record, Version};
use crate::wire::message::{BRANCHES, Below, Branch, Counted, Digest, Verdict};
use crate::wire::{Answer, Ask};

use super::super::effect::{Effect, Failure, Reply, Upload};
use super::super::input::{Ticket, Timer};
use super::super::purpose::Purpose;
use super::super::view::{Membership, RingView, Span};
use super::ask::{FileAsk, OfferReason};
use super::disk::{Durable, Sum, leaf};
use super::puts::copies_wait;
use super::state::{FileCommand, Files, Job, Partner, Replicas, copies_notice, forget, is_open};

/// Repair rounds in which every node offers what it holds out of place to the
/// owner: until then a new one may not know of all stand-ins.
const SETTLING_ROUNDS: u8 = 2;

/// A holder's answer to a comparison.
#[derive(Debug)]
pub(super) struct Compared {
    /// Which part was compared.
    pub(super) branch: Branch,
    /// What was here.
    pub(super) sum: Sum,
    /// The holder has the same.
    pub(super) same: bool,
    /// Records that it has there.
    pub(super) records: u32,
    /// The digests of the part's parts there, where they are to be compared.
    pub(super) branches: Vec<Digest>,
}

/// Whether a part in which two nodes differ is divided further: not when the
/// records of both fit into a page each, and not when one has none, so that
/// all of the other's are missing.
pub(super) fn divides(branch: Branch, mine: u32, theirs: u32) -> bool {
    let (fewer, more) = (mine.min(theirs), mine.max(theirs));
    fewer > 0 && more as usize > MAX_PAGE && !branch.is_deepest()
}

impl Files<'_> {
    /// Takes a command about a name.
    pub(in super::super) fn command(
        &mut self,
        ticket: Ticket,
        name: FileName,
        command: FileCommand,
    ) {
        // What a command replaces is not waited for.
        match &command {
            FileCommand::Offer { .. } if !self.state.needs_probe(&self.ring, &name) => {
                return self.run(ticket, name, command);
            }
            FileCommand::Commit { root, overwrite: true, .. } => {
                let other = |record: &Record| record.version.root != *root;
                self.cease(|_, record, _| record.name == name && other(record));
            }
            FileCommand::Remove => self.cease(|_, record, _| record.name == name),
            FileCommand::Offer { .. } | FileCommand::Commit { .. } => {}
        }
        self.state.queue.entry(name.clone()).or_default().push_back((ticket, command));
        self.advance(&name, false);
    }

    /// Runs the commands that wait for a name as far as it is free. `probed`:
    /// the partners have just said what they know of it.
    pub(super) fn advance(&mut self, name: &FileName, probed: bool) {
        while !self.state.busy.contains_key(name) && self.state.queue.contains_key(name) {
            if self.ring.membership == Membership::Member
                && !probed
                && self.state.needs_probe(&self.ring, name)
            {
                return self.probe(name);
            }
            let next = self.state.queue.get_mut(name).and_then(|queue| queue.pop_front());
            match next {
                Some((ticket, command)) => self.run(ticket, name.clone(), command),
                None => {
                    self.state.queue.remove(name);
                }
            }
        }
    }

    /// Does what a command says, on a name that is not busy.
    fn run(&mut self, ticket: Ticket, name: FileName, command: FileCommand) {
        let failed = |failure| Effect::Reply { ticket, reply: Reply::Failed(failure) };
        match command {
            FileCommand::Offer { root, overwrite } => {
                let upload = self.state.judge(&self.ring, &name, root, overwrite);
                self.out.push(Effect::Reply { ticket, reply: Reply::Upload(upload) });
            }
            FileCommand::Commit { .. } | FileCommand::Remove
                if !self.ring.may_own(name.key(self.ring.space)) =>
            {
                self.out.push(failed(Failure::NotOwner));
            }
            FileCommand::Commit { root, size, overwrite, elsewhere, obstacle } => {
                let live = self.state.known(&name).filter(|record| !record.is_deleted());
                if let Some(record) = live.filter(|record| record.version.root == root) {
                    if self.state.record(&name) == Some(record) {
                        return self.await_copies(ticket, name);
                    }
                    // Known from others so far; now its bytes are here too.
                    let record = record.clone();
                    if !elsewhere.is_empty() {
                        return self.entrust_put(ticket, record, obstacle, &elsewhere);
                    }
                    let tell = self.state.wishes.remove(&name).map_or(Vec::new(), |wish| wish.tell);
                    return self.keep(record, Vec::new(), tell, Ok(ticket));
                }
                if live.is_some() && !overwrite {
                    return self.out.push(failed(Failure::Exists));
                }
                let version = Version { counter: self.state.next_counter(&name), root };
                let record = Record { name, version, content: Content::File { size } };
                if !elsewhere.is_empty() {
                    return self.entrust_put(ticket, record, obstacle, &elsewhere);
                }
                self.keep(record, Vec::new(), Vec::new(), Ok(ticket));
            }
            FileCommand::Remove => {
                if self.state.known(&name).is_none_or(Record::is_deleted) {
                    return self.out.push(failed(Failure::NoSuchFile));
                }
                let root = ContentHash::default();
                let version = Version { counter: self.state.next_counter(&name), root };
                let content = Content::Deleted { at_s: self.state.expiry.now_s() };
                let record = Record { name, version, content };
                self.keep(record, Vec::new(), Vec::new(), Ok(ticket));
            }
        }
    }

    /// Asks others for a name: an offer of version 0, which no node takes, and to
    /// which a node that knows the name answers with its record.
    fn probe(&mut self, name: &FileName) {
        if self.state.probes.contains_key(name) {
            return;
        }
        let peers = self.state.doubtful(&self.ring);
        for peer in &peers {
            let purpose = Purpose::Files(FileAsk::Probe { name: name.clone() });
            self.asks.ask(*peer, question(name), purpose, self.out);
        }
        self.state.probes.insert(name.clone(), peers);
    }

    /// A node that was asked said what it knows of a name, or nothing.
    pub(super) fn probed(&mut self, from: Peer, name: FileName, answer: Option<Answer>) {
        if let Some(Answer::Offer { verdicts, .. }) = answer {
            for verdict in verdicts.into_iter().take(1) {
                if let Verdict::Newer(record) = verdict
                    && record.name == name
                {
                    self.want(from, record);
                }
            }
        }
        if let Some(waiting) = self.state.probes.get_mut(&name) {
            waiting.remove(&from);
            if waiting.is_empty() {
                self.state.probes.remove(&name);
                self.advance(&name, true);
            }
        }
        self.fetch();
    }

    /// Asks each partner for which `which` holds whether it holds the same.
    pub(super) fn inspect(&mut self, which: impl Fn(&Partner) -> bool) {
        let Some(span) = self.ring.range() else { return };
        for peer in self.ring.partners() {
            if is_open(self.asks, peer, compares) {
                continue;
            }
            if let Some(partner) =
                self.state.partners.get_mut(&peer).filter(|partner| which(partner))
            {
                partner.to_compare = vec![Branch::ALL];
                partner.moved = false;
                self.compare_next(peer, span);
            }
        }
    }

    /// Asks a partner about the next part of the range; when nothing is left
    /// to ask, every record was compared.
    pub(super) fn compare_next(&mut self, peer: Peer, span: Span) {
        let Some(partner) = self.state.partners.get_mut(&peer) else { return };
        let Some(branch) = partner.to_compare.pop() else {
            // What came or went here meanwhile was not compared.
            partner.settled |= !partner.moved;
            return;
        };
        let sum = self.state.disk.sum(self.ring.space, span, branch, Some(peer));
        let counted = (branch == Branch::ALL).then(|| self.state.counted(&self.ring, span));
        let ask = Ask::Inventory {
            from: span.from,
            to: span.to,
            branch,
            digest: sum.digest,
            records: sum.records,
            counted,
        };
        let purpose = Purpose::Files(FileAsk::Inventory { peer, span, branch, sum });
        self.asks.ask(peer, ask, purpose, self.out);
    }

    /// A holder compared.
    pub(super) fn inspected(&mut self, from: Peer, span: Span, compared: &Compared) {
        let Compared { branch, sum, same, records, ref branches } = *compared;
        let Some(partner) = self.state.partners.get_mut(&from) else { return };
        if same {
            partner.same |= branch == Branch::ALL;
            if self.state.disk.sum(self.ring.space, span, branch, Some(from)) == sum {
                self.count_copies(from, span, branch);
            } else {
                // What came or went here since then was not compared.
                partner.moved = true;
            }
        } else if divides(branch, sum.records, records) && branches.len() == BRANCHES {
            let mine = self.state.disk.digests(self.ring.space, span, branch, Some(from));
            let parts = branch.children().zip(mine.iter().zip(branches));
            let (alike, other): (Vec<_>, Vec<_>) = parts.partition(|(_, (a, b))| a == b);
            partner.to_compare.extend(other.into_iter().map(|(part, _)| part));
            for (part, _) in alike {
                self.count_copies(from, span, part);
            }
        } else if self.push(OfferReason::Repair, from, (span, branch), None) {
            // It goes on when the last page is answered.
            return;
        }
        self.compare_next(from, span);
    }

    /// A wanted holder has all records of a part of the range.
    fn count_copies(&mut self, from: Peer, span: Span, branch: Branch) {
        let here = self.state.disk.branch(branch, None).filter(|held| !held.others.is_unable(from));
        let here = here.filter(|held| span.contains(held.key(self.ring.space)));
        let news = |held: &&Durable| !held.others.has(from) || held.others.is_awaited(from);
        let names: Vec<FileName> = here.filter(news).map(|held| held.record.name.clone()).collect();
        for name in names {
            if let Some(held) = self.state.disk.get_mut(&name) {
                held.others.answered(from);
            }
            self.count_copy(from, &name);
        }
    }

    /// A holder judged what was offered to it.
    pub(super) fn acknowledged(
        &mut self,
        from: Peer,
        records: Vec<(FileName, Version)>,
        verdicts: Vec<Verdict>,
    ) {
        for ((name, version), verdict) in records.iter().zip(&verdicts) {
            let Some(held) = self.state.disk.get_mut(name) else { continue };
            if held.record.version != *version {
                continue;
            }
            let lacks = match verdict {
                Verdict::Held => {
                    held.others.answered(from);
                    self.count_copy(from, name);
                    false
                }
                // If it is no longer awaited, the statement that it is held
                // overtook this answer.
                Verdict::Wanted => held.others.is_awaited(from),
                Verdict::Newer(_) | Verdict::Later | Verdict::Known => {
                    held.others.answered(from);
                    true
                }
            };
            if lacks {
                self.lose_copy(from, name);
            }
        }
        self.take_newer(from, &records, verdicts);
    }

    /// A wanted holder or a stand-in has the current version.
    pub(super) fn count_copy(&mut self, from: Peer, name: &FileName) {
        let Some(held) = self.state.disk.get_mut(name) else { return };
        let partner = self.state.partners.get_mut(&from);
        let unable = held.others.is_unable(from);
        if partner.is_none() && !held.others.is_stand_in(from) || !held.others.hold(from) {
            return;
        }
        let retried = partner.is_some_and(|partner| partner.retried.remove(name));
        if unable || retried {
            self.state.is_able(from);
        }
        self.stand_in(name);
        self.drop_older(name);
        let Some(held) = self.state.disk.get(name) else { return };
        let wait = copies_wait(held.record.size());
        let waiting = self.state.tickets(name);
        let Some(held) = self.state.disk.get(name) else { return };
        if waiting.is_empty() {
            self.out.push(copies_notice(None, held, self.ring.wanted()));
        }
        for ticket in waiting {
            // Progress: the next copy may take as long again.
            self.out.push(Effect::Arm { timer: Timer::Copies(ticket), after: wait.clone() });
            self.out.push(copies_notice(Some(ticket), held, self.ring.wanted()));
        }
        self.finish_puts(name);
    }

    /// A node is no longer known to have the current version.
    fn lose_copy(&mut self, from: Peer, name: &FileName) {
        if let Some(held) = self.state.disk.get_mut(name)
            && held.others.lose(from)
        {
            self.out.push(copies_notice(None, held, self.ring.wanted()));
        }
    }

    /// Fits the partners and their acknowledgements to the ring.
    pub(super) fn regroup(&mut self) {
        let everyone = self.ring.successors.last() == self.ring.predecessor.as_ref();
        self.state.covers.void(|owner| {
            everyone && !self.ring.successors.contains(&owner)
                || self
                    .ring
                    .span()
                    .is_some_and(|span| owner.id(self.ring.space).between(span.from, span.to))
        });
        let wanted = self.ring.partners();
        let gone: Vec<Peer> =
            self.state.partners.keys().filter(|peer| !wanted.contains(peer)).copied().collect();
        for peer in gone {
            // Should it come back, it is asked again: until then it may drop
            // its copies.
            self.state.partners.remove(&peer);
            forget(self.asks, |ask| is_owners(ask, peer));
            for held in self.state.disk.values_mut() {
                if held.others.forget(peer) {
                    self.out.push(copies_notice(None, held, self.ring.wanted()));
                }
            }
        }
        for peer in wanted {
            self.state.partners.or_default(peer);
        }
        if let Some(range) = self.ring.range() {
            if self.state.range != Some(range) {
                self.state.mark_placed(self.ring.space, self.state.range);
                self.state.range = Some(range);
                self.state.settling = SETTLING_ROUNDS;
                forget(self.asks, compares);
                self.state.partners.values_mut().for_each(|partner| *partner = Partner::default());
            }
            // Also when it is the same again: while no predecessor was known, this node
            // took what belongs to others for its own.
            self.prune_elsewhere();
            let waiting = self.state.put_names();
            for held in self.state.disk.values_mut() {
                let key = held.key(self.ring.space);
                if !range.contains(key) && !waiting.contains(&held.record.name) {
                    // Another owner decides about these copies now.
                    held.others.clear();
                }
            }
            self.prune_absent();
        }
        self.regroup_stand_ins();
        self.inspect(|partner| !partner.settled);
        self.offer_puts();
        for name in self.state.put_names() {
            self.finish_puts(&name);
        }
    }

    /// Refuses the commands that have not begun.
    pub(super) fn refuse_queue(&mut self) {
        self.state.probes = BTreeMap::new();
        for (ticket, command) in std::mem::take(&mut self.state.queue).into_values().flatten() {
            let reply = match command {
                FileCommand::Offer { .. } => Reply::Upload(Upload::NotOwner { owner: None }),
                FileCommand::Commit { .. } | FileCommand::Remove => {
                    Reply::Failed(Failure::NotOwner)
                }
            };
            self.out.push(Effect::Reply { ticket, reply });
        }
    }
}

impl Replicas {
    /// What to say to an upload before it begins.
    fn judge(
        &self,
        ring: &RingView<'_>,
        name: &FileName,
        root: ContentHash,
        overwrite: bool,
    ) -> Upload {
        let key = name.key(ring.space);
        if !ring.may_own(key) {
            let mut before = ring.me;
            for after in ring.successors {
                if key.within(before.id(ring.space), after.id(ring.space)) {
                    return Upload::NotOwner { owner: Some(*after) };
                }
                before = *after;
            }
            return Upload::NotOwner { owner: None };
        }
        let Some(record) = self.known(name).filter(|record| !record.is_deleted()) else {
            return Upload::Proceed;
        };
        if record.version.root != root {
            return if overwrite {
                Upload::Proceed
            } else {
                Upload::Exists { version: record.version, size: record.size() }
            };
        }
        match self.disk.get(name) {
            Some(held) if held.record == *record && held.copies() >= held.needed(ring) => {
                let (holders, wanted) = (self.holders(ring, name), held.needed(ring));
                Upload::Already { version: record.version, holders, wanted }
            }
            // The promise is copies, not a record: the commit waits for them.
            _ => Upload::Proceed,
        }
    }

    /// The newest record known under this name, durable here, elsewhere or not
    /// yet.
    pub(super) fn known(&self, name: &FileName) -> Option<&Record> {
        let wished = self.wishes.get(name).map(|wish| &wish.record);
        let absent = self.absent.get(name).map(|absent| &absent.record);
        let durable = self.disk.get(name).map(|held| &held.record);
        durable.into_iter().chain(wished).chain(absent).max_by_key(|record| record.version)
    }

    /// Whether any record of this name is here or on its way.
    pub(super) fn has_heard_of(&self, name: &FileName) -> bool {
        self.known(name).is_some()
            || self.entrusted_put(name).is_some()
            || matches!(self.job_of(name), Some(Job::Keep { .. }))
    }

    fn next_counter(&self, name: &FileName) -> u64 {
        let last = self.known(name).map_or(0, |record| record.version.counter);
        last.max(self.expiry.floor()).saturating_add(1)
    }

    /// Whether a name that is unknown here may be known to a partner, or to who
    /// stands in for one and for this node: it may own it only since a moment ago.
    fn needs_probe(&self, ring: &RingView<'_>, name: &FileName) -> bool {
        self.known(name).is_none()
            && !self.busy.contains_key(name)
            && !self.doubtful(ring).is_empty()
    }

    /// The peers that this node has to ask before it takes a name for unknown.
    fn doubtful(&self, ring: &RingView<'_>) -> BTreeSet<Peer> {
        let partners = self.partners.iter().filter(|(_, partner)| !partner.same);
        let mut peers: BTreeSet<Peer> = partners.map(|(peer, _)| *peer).collect();
        if self.settling > 0 {
            peers.extend(ring.behind().into_iter().take(usize::from(ring.replicas)));
        }
        peers
    }

    /// The copies of the records in a span, for those that hold some of them. A
    /// file that is being put lacks copies, but has lost none.
    pub(super) fn counted(&self, ring: &RingView<'_>, span: Span) -> Counted {
        let wanted = ring.wanted();
        let put = self.put_names();
        let few = self.disk.values().filter(|held| held.copies() < wanted);
        let few = few.filter(|held| span.contains(held.key(ring.space)));
        let below = few.map(|held| {
            let put = put.contains(&held.record.name);
            let count = if put { CopyCount::Counting } else { self.count(ring, held) };
            Below { leaf: leaf(&held.record.name), copies: held.copies(), count }
        });
        let below: Vec<Below> = below.take(MAX_BELOW + 1).collect();
        Counted { wanted, below: Some(below).filter(|below| below.len() <= MAX_BELOW) }
    }

    /// Enough other holders have this version or a newer one, and the asker is
    /// not one of those wanted.
    pub(super) fn may_drop(
        &self,
        ring: &RingView<'_>,
        from: Peer,
        name: &FileName,
        version: Version,
    ) -> bool {
        let partners = ring.partners();
        let mine = ring.range().is_some_and(|range| range.contains(name.key(ring.space)));
        let settled = |peer: &Peer| self.partners.get(peer).is_some_and(|state| state.settled);
        mine && !partners.contains(&from)
            && partners.iter().all(settled)
            && self.disk.get(name).is_some_and(|held| {
                let has = |peer: &Peer| held.others.has(*peer) || held.others.is_unable(*peer);
                held.record.version >= version
                    && !held.others.is_stand_in(from)
                    && partners.iter().all(has)
                    // As many copies as wanted, those of stand-ins included.
                    && held.copies() >= held.safe(ring)
            })
    }

    /// How sure the copies are that are counted of a record of this node's range.
    pub(super) fn count(&self, ring: &RingView<'_>, held: &Durable) -> CopyCount {
        if held.copies() >= ring.wanted() {
            CopyCount::Known
        } else if held.is_stuck(ring) {
            CopyCount::NoRoom
        } else if self.is_counting(held) {
            CopyCount::Counting
        } else {
            CopyCount::Known
        }
    }

    /// Whether a partner has yet to say whether it has a copy.
    fn is_counting(&self, held: &Durable) -> bool {
        self.partners.iter().any(|(peer, partner)| !partner.settled && !held.others.knows(*peer))
    }
}

/// Whether anything is known under this name.
pub(super) fn question(name: &FileName) -> Ask {
    let version = Version { counter: 0, root: ContentHash::default() };
    let content = Content::Deleted { at_s: 0 };
    let records = vec![Record { name: name.clone(), version, content }];
    Ask::Offer { records, clock_s: 0, put: false }
}

/// Whether the question belongs to a comparison of the owner's range.
fn compares(ask: &FileAsk) -> bool {
    matches!(ask, FileAsk::Inventory { .. } | FileAsk::Offer { why: OfferReason::Repair, .. })
}

/// Whether it is a question of an owner to this holder, about copies.
fn is_owners(ask: &FileAsk, peer: Peer) -> bool {
    match ask {
        FileAsk::Inventory { peer: to, .. } => *to == peer,
        FileAsk::Offer { why: OfferReason::Put | OfferReason::Repair, peer: to, .. } => *to == peer,
        _ => false,
    }
}
