//! The holder's part: what others offer, what is fetched, and the store
//! operations.

use std::cmp::Ordering;
use std::collections::btree_map::Entry;

use crate::id::{Id, Space};
use crate::limits::MAX_REPLICAS;
use crate::name::FileName;
use crate::peer::{Peer, is_reachable};
use crate::record::{Record, Version};
use crate::wire::Answer;
use crate::wire::message::{Branch, Counted, Verdict};

use super::super::effect::{Effect, Failure, Notice, Reply, StoreOp};
use super::super::input::{StoreFailure, Ticket};
use super::super::view::{Membership, Span};
use super::ask::{FileAsk, OfferReason};
use super::covers::Covers;
use super::disk::{Durable, Sum};
use super::owner::divides;
use super::state::{DropReason, Files, Job, Replicas, Wish, is_open, tell_held};

/// Fetches under way at once: enough to keep a link and a disk busy, few
/// enough that each gets on.
const MAX_FETCHES: usize = 8;

/// Records waiting to be fetched: a bound on memory (about 1 MiB of records
/// with ordinary names). What is refused is offered again at the next repair.
const MAX_WISHES: usize = 4096;

impl Files<'_> {
    /// Another node holds this version durably now.
    pub(in super::super) fn held(&mut self, from: Peer, name: FileName, version: Version) {
        if self.state.is_entrusted(from, &name, version) {
            return self.entrust_held(from, &name);
        }
        let awaited = self
            .state
            .disk
            .get_mut(&name)
            .is_some_and(|held| held.record.version == version && held.others.answered(from));
        if awaited {
            self.count_copy(from, &name);
        }
    }

    /// A store operation ended.
    pub(in super::super) fn stored(&mut self, ticket: Ticket, result: Result<(), StoreFailure>) {
        let Some(job) = self.state.jobs.remove(&ticket) else { return };
        let name = job.name().clone();
        self.state.busy.remove(&name);
        // A disk that refuses is not asked again at once.
        let mut shed = true;
        match (job, result) {
            (Job::Keep { record, tell, command, beaten, .. }, Ok(())) => {
                self.out.push(Effect::Notice(Notice::Kept(record.clone())));
                if let Some(lost) = beaten {
                    let by = record.clone();
                    self.out.push(Effect::Notice(Notice::Beaten { lost, by }));
                }
                self.present(&record, &tell);
                for peer in tell {
                    tell_held(peer, &record, self.out);
                }
                let version = record.version;
                let fetched = command.is_none();
                let owned = self
                    .ring
                    .range()
                    .is_some_and(|range| range.contains(record.key(self.ring.space)));
                self.arrived(record);
                self.supersede(&name, version);
                if let Some(command) = command {
                    self.await_copies(command, name.clone());
                } else if fetched
                    && owned
                    && self.state.wishes.is_empty()
                    && self.state.fetches() == 0
                {
                    // All that was missing is here: count who else has it now.
                    self.inspect(|_| true);
                }
            }
            (Job::Keep { command: Some(command), record, .. }, Err(why))
                if record.is_deleted() && self.ring.heir().is_some() =>
            {
                // The disk of others remembers that the name was removed.
                let others = self.ring.others().take(usize::from(self.ring.replicas));
                let others: Vec<Peer> = others.collect();
                self.entrust_put(command, record, why.obstacle(), &others);
            }
            (Job::Keep { command: Some(command), .. }, Err(why)) => {
                let reply = Reply::Failed(Failure::Store(why));
                self.out.push(Effect::Reply { ticket: command, reply });
            }
            // A command that waits may still be refused.
            (Job::Keep { command: None, record, tell, .. }, Err(StoreFailure::Ceased)) => {
                self.remember(&record, &tell);
            }
            (Job::Keep { command: None, record, tell, .. }, Err(why)) => {
                let known =
                    self.state.disk.get(&name).map(|held| (held.is_here(), held.record.version));
                self.not_fetched(&record, &tell, &why);
                // Of what is on other disks it is known that it cannot be stored.
                if known != Some((false, record.version)) {
                    self.out.push(Effect::Notice(Notice::KeepFailed { name: name.clone(), why }));
                }
            }
            (Job::DropOlder { .. }, Ok(())) => {}
            (Job::DropOlder { record }, Err(_)) => {
                self.state.disk.put_older(&record);
                shed = false;
            }
            (Job::Drop { fate: DropReason::Expired, .. }, Ok(())) => {}
            (Job::Drop { record, fate }, Ok(())) => {
                self.given(&record);
                if let DropReason::Beaten(by) = fate {
                    self.out.push(Effect::Notice(Notice::Beaten { lost: record, by }));
                }
            }
            (Job::Drop { record, .. }, Err(_)) => {
                self.state.disk.insert(Durable::new(record));
            }
        }
        self.drop_expired();
        if shed {
            self.drop_older(&name);
        }
        self.advance(&name, false);
        self.fetch();
    }

    /// Another position of this host made this record durable, and an older one
    /// went with it.
    pub(in super::super) fn replaced(&mut self, record: Record) {
        let (name, version) = (record.name.clone(), record.version);
        if self.state.disk.get(&name).is_some_and(|held| held.record.version < version) {
            self.state.disk.insert(Durable::new(record));
            self.supersede(&name, version);
        }
    }

    /// An owner compares a part of its range with what is held here.
    pub(super) fn inventory(
        &mut self,
        from: Peer,
        span: Span,
        branch: Branch,
        theirs: Sum,
        counted: Option<&Counted>,
    ) -> Answer {
        if self.ring.membership != Membership::Member {
            return Answer::Inventory { same: false, records: 0, branches: Vec::new() };
        }
        // A node's place is computed, never believed.
        if span.to == from.id(self.ring.space)
            && let Some(counted) = counted
        {
            self.state.covers.told(from, span, counted.clone());
        }
        let mine = self.state.disk.sum(self.ring.space, span, branch, None);
        let same = mine == theirs;
        let mut branches = Vec::new();
        if !same && divides(branch, mine.records, theirs.records) {
            branches = self.state.disk.digests(self.ring.space, span, branch, None);
        } else if !same {
            let returning = |ask: &FileAsk| {
                matches!(ask, FileAsk::Offer { why: OfferReason::Return, branch: open, .. }
                    if *open == branch)
            };
            if !is_open(self.asks, from, returning) {
                self.push(OfferReason::Return, from, (span, branch), None);
            }
        }
        Answer::Inventory { same, records: mine.records, branches }
    }

    /// Another node offers records, or entrusts them to this one and says who
    /// holds them.
    pub(super) fn offered(
        &mut self,
        from: Peer,
        records: &[Record],
        holders: Option<&Vec<Peer>>,
        put: bool,
    ) -> Answer {
        let urgent = records.len() == 1;
        let named = holders.into_iter().flatten().take(usize::from(MAX_REPLICAS));
        let named = named.filter(|peer| is_reachable(peer.address()) && **peer != self.ring.me);
        let named: Vec<Peer> = named.copied().collect();
        let sources = if holders.is_some() { &named[..] } else { &[from] };
        // No node is known to have it: it was asked for, and is not to be fetched.
        let nobody = holders.is_some_and(Vec::is_empty);
        let judge = |record| self.judged(from, record, sources, nobody, (urgent, put));
        let verdicts = records.iter().map(judge).collect();
        self.fetch();
        Answer::Offer { verdicts, clock_s: self.state.expiry.now_s() }
    }

    /// What is said to one record of an offer.
    fn judged(
        &mut self,
        from: Peer,
        record: &Record,
        sources: &[Peer],
        nobody: bool,
        haste: (bool, bool),
    ) -> Verdict {
        if self.ring.membership != Membership::Member {
            // On its way out a node promises nothing.
            return Verdict::Later;
        }
        // A consent to its deletion that is on its way is void.
        self.state.may_go.remove(&record.name);
        let probe = record.version.counter == 0;
        let elsewhere = self.state.disk.get(&record.name).filter(|known| !known.is_here());
        let elsewhere = elsewhere.map(|known| &known.record);
        if elsewhere.is_some_and(|known| known.version >= record.version) && !probe {
            // What is newer it will be entrusted with.
            return Verdict::Known;
        }
        let held = self.state.record(&record.name).or(elsewhere);
        let absent = self.state.absent.get(&record.name);
        // Better an old copy than none, but not while a node has the newer.
        let absent = absent.filter(|absent| probe || absent.is_somewhere(&self.ring));
        let absent = absent.map(|absent| &absent.record);
        let known = held.or(absent).map(|known| known.version.cmp(&record.version));
        match known {
            Some(Ordering::Greater) => {
                held.or(absent).map_or(Verdict::Later, |newer| Verdict::Newer(newer.clone()))
            }
            Some(Ordering::Equal) if held.is_some() && elsewhere.is_none() => Verdict::Held,
            // Only a probe has this counter: a question, not an offer.
            _ if probe => Verdict::Later,
            _ if self.state.is_past(record) => Verdict::Held,
            _ if nobody && !record.is_deleted() => Verdict::Later,
            _ => self.state.wish(Some(from), sources, record.clone(), haste),
        }
    }

    /// A node that offers records holds them: a wanted holder that was thought to
    /// be unable to store one has it after all, and any other may stand in for an
    /// owner that is unable.
    pub(super) fn count_offered(&mut self, from: Peer, records: &[Record]) {
        for record in records {
            let refused = self.state.disk.get(&record.name).is_some_and(|held| {
                held.record.version == record.version && held.others.is_unable(from)
            });
            if refused && self.state.partners.contains_key(&from) {
                self.count_copy(from, &record.name);
            }
            self.adopt_stand_in(from, record);
        }
    }

    /// Fetches what was found to be newer elsewhere.
    pub(super) fn take_newer(
        &mut self,
        from: Peer,
        records: &[(FileName, Version)],
        verdicts: Vec<Verdict>,
    ) {
        for ((name, version), verdict) in records.iter().zip(verdicts) {
            if let Verdict::Newer(record) = verdict
                && record.name == *name
                && record.version > *version
            {
                self.want(from, record);
            }
        }
        self.fetch();
    }

    /// Notes that this record is to be fetched, unless it is not newer than
    /// what is here.
    pub(super) fn want(&mut self, from: Peer, record: Record) {
        let held = self.state.disk.get(&record.name).map(|held| held.record.version);
        let newer = held.is_none_or(|held| held < record.version);
        if self.ring.membership == Membership::Member && newer && !self.state.is_past(&record) {
            self.state.wish(Some(from), &[from], record, (true, false));
        }
    }

    /// Stops the fetches of records that are no longer needed. `is_useless` is
    /// also told whether it was seen that the record belongs here.
    pub(super) fn cease(&mut self, is_useless: impl Fn(&Replicas, &Record, bool) -> bool) {
        for (ticket, job) in &self.state.jobs {
            if let Job::Keep { record, command: None, placed, .. } = job
                && is_useless(self.state, record, *placed)
            {
                self.out.push(Effect::Cease { ticket: *ticket });
            }
        }
    }

    /// Stops the fetches of records that belonged here and do not any more.
    pub(super) fn cease_misplaced(&mut self) {
        let Some(range) = self.ring.range() else { return };
        let space = self.ring.space;
        self.cease(|state, record, placed| {
            placed && !is_placed(record.key(space), Some(range), &state.covers)
        });
    }

    /// Starts as many fetches as may run, and stops those of records of which a newer
    /// version waits.
    pub(super) fn fetch(&mut self) {
        self.cease(|state, record, _| {
            let wish = state.wishes.get(&record.name);
            wish.is_some_and(|wish| wish.record.version > record.version)
        });
        while self.state.fetches() < MAX_FETCHES {
            let free =
                self.state.wishes.iter().filter(|(name, _)| !self.state.busy.contains_key(*name));
            let Some(name) = free.min_by_key(|(_, wish)| !wish.urgent).map(|(name, _)| name) else {
                return;
            };
            let name = name.clone();
            let Some(wish) = self.state.wishes.remove(&name) else { return };
            let newer = |held: &Durable| {
                let (held, wished) = (held.record.version, wish.record.version);
                held > wished || held == wished && self.state.record(&name).is_some()
            };
            if self.state.disk.get(&name).is_some_and(newer) {
                continue;
            }
            let beaten = self.state.beaten_by(&wish.record, wish.put);
            self.keep(wish.record, wish.sources, wish.tell, Err(beaten));
        }
    }

    /// Starts to make a record durable, for a command or with the file that it
    /// beats.
    pub(super) fn keep(
        &mut self,
        record: Record,
        sources: Vec<Peer>,
        tell: Vec<Peer>,
        command: Result<Ticket, Option<Record>>,
    ) {
        let (command, beaten) = match command {
            Ok(command) => (Some(command), None),
            Err(beaten) => (None, beaten),
        };
        let op = StoreOp::Keep { record: record.clone(), sources, spare: beaten.is_some() };
        let ticket = self.state.ticket();
        self.begin(ticket, Job::Keep { record, tell, command, beaten, placed: false }, op);
    }

    /// Starts to delete a copy, which is not counted as held from here on.
    pub(super) fn delete(&mut self, name: &FileName, fate: DropReason) {
        if let Some(held) = self.state.disk.remove(name) {
            let ticket = self.state.ticket();
            self.drop_record(ticket, held.record, fate);
        }
    }

    /// Has the disk delete a record that is no longer in the index.
    pub(super) fn drop_record(&mut self, ticket: Ticket, record: Record, fate: DropReason) {
        let (name, version) = (record.name.clone(), record.version);
        let spare = matches!(fate, DropReason::Beaten(_));
        let op = StoreOp::Drop { name, version, spare };
        self.begin(ticket, Job::Drop { record, fate }, op);
    }

    pub(super) fn begin(&mut self, ticket: Ticket, job: Job, op: StoreOp) {
        self.state.occupy(ticket, job);
        self.out.push(Effect::Store { ticket, op });
    }
}

impl Replicas {
    /// Notes that a record is to be fetched from those that hold it; `from`
    /// wants to hear of it.
    pub(super) fn wish(
        &mut self,
        from: Option<Peer>,
        sources: &[Peer],
        record: Record,
        (urgent, put): (bool, bool),
    ) -> Verdict {
        let record = self.dated(record);
        let job = self.busy.get(&record.name).and_then(|ticket| self.jobs.get_mut(ticket));
        if let Some(Job::Keep { record: kept, tell, .. }) = job {
            if kept.version == record.version {
                from.into_iter().for_each(|from| add(tell, from));
                return Verdict::Wanted;
            }
            if kept.version > record.version {
                return Verdict::Later;
            }
        }
        let full = self.wishes.len() >= MAX_WISHES;
        match self.wishes.entry(record.name.clone()) {
            Entry::Occupied(mut entry) => {
                let wish = entry.get_mut();
                if wish.record.version > record.version {
                    return Verdict::Later;
                }
                if wish.record.version < record.version {
                    *wish = Wish { record, sources: Vec::new(), tell: Vec::new(), urgent, put };
                }
                wish.urgent |= urgent;
                wish.put |= put;
                sources.iter().for_each(|source| add(&mut wish.sources, *source));
                from.into_iter().for_each(|from| add(&mut wish.tell, from));
                Verdict::Wanted
            }
            Entry::Vacant(_) if full => Verdict::Later,
            Entry::Vacant(entry) => {
                let (sources, tell) = (sources.to_vec(), from.into_iter().collect());
                entry.insert(Wish { record, sources, tell, urgent, put });
                Verdict::Wanted
            }
        }
    }

    /// Notes of each fetch whether the record belongs here, where these keys are
    /// this node's.
    pub(super) fn mark_placed(&mut self, space: Space, range: Option<Span>) {
        for job in self.jobs.values_mut() {
            if let Job::Keep { record, command: None, placed, .. } = job {
                *placed |= is_placed(record.key(space), range, &self.covers);
            }
        }
    }

    /// The file here that a record replaces, unless that was done on purpose: its
    /// owner has just made it, as the next version of this very one.
    fn beaten_by(&self, record: &Record, put: bool) -> Option<Record> {
        let known = self.record(&record.name).filter(|known| !known.is_deleted())?;
        let next = record.version.counter == known.version.counter.saturating_add(1);
        let on_purpose = put && next || known.version.root == record.version.root;
        (!on_purpose).then(|| known.clone())
    }

    /// What occupies a name, if something does.
    pub(super) fn job_of(&self, name: &FileName) -> Option<&Job> {
        self.jobs.get(self.busy.get(name)?)
    }

    /// Who is known to have a record that is not durable here yet.
    pub(super) fn sources(&self, name: &FileName) -> Vec<Peer> {
        match (self.wishes.get(name), self.job_of(name)) {
            (Some(wish), _) => wish.sources.clone(),
            (None, Some(Job::Keep { tell, .. })) => tell.clone(),
            (None, _) => self.absent.get(name).map_or(Vec::new(), |absent| absent.sources.clone()),
        }
    }

    fn fetches(&self) -> usize {
        self.jobs.values().filter(|job| job.is_fetch()).count()
    }

    /// The ticket of a store operation.
    pub(super) fn ticket(&mut self) -> Ticket {
        let ticket = self.next;
        self.next = self.next.wrapping_add(1);
        ticket
    }

    /// From now on this is under way on its name.
    pub(super) fn occupy(&mut self, ticket: Ticket, job: Job) {
        self.busy.insert(job.name().clone(), ticket);
        self.jobs.insert(ticket, job);
    }
}

/// Whether a record with this key belongs here: it is in the own range, or an owner has
/// claimed it and this node keeps copies for that owner.
fn is_placed(key: Id, range: Option<Span>, covers: &Covers) -> bool {
    range.is_some_and(|range| range.contains(key)) || covers.has(key)
}

/// Adds a peer once; more peers than there can be copies are not needed.
pub(super) fn add(peers: &mut Vec<Peer>, peer: Peer) {
    if !peers.contains(&peer) && peers.len() < usize::from(MAX_REPLICAS) {
        peers.push(peer);
    }
}
