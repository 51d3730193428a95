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

use super::super::asks::Asks;
use super::super::node::Purpose;
use super::super::{
    Effect, Effects, Failure, Notice, Reply, Standing, StoreFailure, StoreOp, Ticket,
};
use super::covers::Covers;
use super::disk::Sum;
use super::elsewhere::Placing;
use super::owner::divides;
use super::{Durable, FileAsk, Replicas, RingView, Span, Why, is_open, tell_held};

/// Fetches under way at once: enough to keep a link and a disk busy, few
/// enough that each gets on.
const MAX_FETCHES: usize = 8;

/// Records waiting to be fetched: a bound on memory (about 1 MiB of records
/// with ordinary names). What is refused is offered again at the next repair.
const MAX_WISHES: usize = 4096;

/// A store operation under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Job {
    /// Make the record durable.
    Keep {
        record: Record,
        /// Who wants to hear of it.
        tell: Vec<Peer>,
        /// The command whose bytes these are; without one it is a fetch.
        command: Option<Ticket>,
        /// The file here that gives way and was not replaced on purpose.
        beaten: Option<Record>,
        /// It was seen that the record belongs here, as that of a stand-in never does.
        placed: bool,
    },
    /// The owner cannot store the record and awaits the first word of another
    /// node that holds it; nothing is to be done on the disk.
    Place(Placing),
    /// Delete an older copy of a name that is on other disks.
    Shed {
        /// What the disk has of it.
        record: Record,
    },
    /// Delete the copy.
    Drop { record: Record, fate: Fate },
}

/// Why a copy is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fate {
    /// Others hold it where it belongs.
    Given,
    /// Its owner has this newer record.
    Beaten(Record),
    /// It is a tombstone whose time is over: nobody else takes it.
    Expired,
}

impl Job {
    fn name(&self) -> &FileName {
        match self {
            Job::Keep { record, .. }
            | Job::Shed { record }
            | Job::Drop { record, .. }
            | Job::Place(Placing { record, .. }) => &record.name,
        }
    }

    /// Work for nobody but the ring.
    pub(super) fn is_fetch(&self) -> bool {
        matches!(self, Job::Keep { command: None, .. })
    }
}

/// A record to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    pub(super) record: Record,
    /// Who has it.
    pub(super) sources: Vec<Peer>,
    /// Who offered or entrusted it; they hear of it.
    pub(super) tell: Vec<Peer>,
    /// Offered alone: a put waits for it, so it goes before pages of repairs.
    urgent: bool,
    /// Its owner has just made it.
    put: bool,
}

impl Replicas {
    /// Another node holds this version durably now.
    pub(in super::super) fn held(
        &mut self,
        ring: &RingView<'_>,
        from: Peer,
        name: FileName,
        version: Version,
        asks: &mut Asks<Purpose>,
        out: &mut Effects,
    ) {
        if self.is_placing(from, &name, version) {
            return self.placed(ring, from, &name, asks, out);
        }
        let awaited = self
            .disk
            .get_mut(&name)
            .is_some_and(|held| held.record.version == version && held.awaited.remove(&from));
        if awaited {
            self.count_copy(ring, from, &name, asks, out);
        }
    }

    /// A store operation ended.
    pub(in super::super) fn stored(
        &mut self,
        ring: &RingView<'_>,
        ticket: Ticket,
        result: Result<(), StoreFailure>,
        asks: &mut Asks<Purpose>,
        out: &mut Effects,
    ) {
        let Some(job) = self.jobs.remove(&ticket) else { return };
        let name = job.name().clone();
        self.busy.remove(&name);
        // A disk that refuses is not asked again at once.
        let mut shed = true;
        match (job, result) {
            (Job::Keep { record, tell, command, beaten, .. }, Ok(())) => {
                out.push(Effect::Notice(Notice::Kept(record.clone())));
                if let Some(lost) = beaten {
                    let by = record.clone();
                    out.push(Effect::Notice(Notice::Beaten { lost, by }));
                }
                self.present(&record, &tell, out);
                for peer in tell {
                    tell_held(peer, &record, out);
                }
                let version = record.version;
                let fetched = command.is_none();
                let owned =
                    ring.range().is_some_and(|range| range.contains(record.key(ring.space)));
                self.arrived(ring, record, asks, out);
                self.supersede(&name, version, out);
                if let Some(command) = command {
                    self.await_copies(ring, command, name.clone(), asks, out);
                } else if fetched && owned && self.wishes.is_empty() && self.fetches() == 0 {
                    // All that was missing is here: count who else has it now.
                    self.inspect(ring, |_| true, asks, out);
                }
            }
            (Job::Keep { command: Some(command), record, .. }, Err(why))
                if record.is_deleted() && ring.heir().is_some() =>
            {
                // The disk of others remembers that the name was removed.
                let others = ring.others().take(usize::from(ring.replicas));
                let others: Vec<Peer> = others.collect();
                self.place(ring, command, record, why.obstacle(), &others, asks, out);
            }
            (Job::Keep { command: Some(command), .. }, Err(why)) => {
                let reply = Reply::Failed(Failure::Store(why));
                out.push(Effect::Reply { ticket: command, reply });
            }
            // A command that waits may still be refused.
            (Job::Keep { command: None, record, tell, .. }, Err(StoreFailure::Ceased)) => {
                self.remember(ring, &record, &tell);
            }
            (Job::Keep { command: None, record, tell, .. }, Err(why)) => {
                let known = self.disk.get(&name).map(|held| (held.here, held.record.version));
                self.not_fetched(ring, &record, &tell, &why, asks, out);
                // Of what is on other disks it is known that it cannot be stored.
                if known != Some((false, record.version)) {
                    out.push(Effect::Notice(Notice::KeepFailed { name: name.clone(), why }));
                }
            }
            // It has no operation that could end.
            (Job::Place(_), _) | (Job::Shed { .. }, Ok(())) => {}
            (Job::Shed { record }, Err(_)) => {
                self.disk.put_older(&record);
                shed = false;
            }
            (Job::Drop { fate: Fate::Expired, .. }, Ok(())) => {}
            (Job::Drop { record, fate }, Ok(())) => {
                self.given(&record, out);
                if let Fate::Beaten(by) = fate {
                    out.push(Effect::Notice(Notice::Beaten { lost: record, by }));
                }
            }
            (Job::Drop { record, .. }, Err(_)) => {
                self.disk.insert(Durable::new(record));
            }
        }
        self.drop_expired(out);
        if shed {
            self.shed(ring, &name, out);
        }
        self.advance(ring, &name, false, asks, out);
        self.fetch(out);
    }

    /// Another position of this host made this record durable, and an older one
    /// went with it.
    pub(in super::super) fn replaced(&mut self, record: Record, out: &mut Effects) {
        let (name, version) = (record.name.clone(), record.version);
        if self.disk.get(&name).is_some_and(|held| held.record.version < version) {
            self.disk.insert(Durable::new(record));
            self.supersede(&name, version, out);
        }
    }

    /// An owner compares a part of its range with what is held here.
    #[allow(clippy::too_many_arguments, reason = "they are the question's own fields")]
    pub(super) fn inventory(
        &mut self,
        ring: &RingView<'_>,
        from: Peer,
        span: Span,
        branch: Branch,
        theirs: Sum,
        counted: Option<&Counted>,
        asks: &mut Asks<Purpose>,
        out: &mut Effects,
    ) -> Answer {
        if ring.standing != Standing::Member {
            return Answer::Inventory { same: false, records: 0, branches: Vec::new() };
        }
        // A node's place is computed, never believed.
        if span.to == from.id(ring.space)
            && let Some(counted) = counted
        {
            self.covers.told(from, span, counted.clone());
        }
        let mine = self.disk.sum(ring.space, span, branch, None);
        let same = mine == theirs;
        let mut branches = Vec::new();
        if !same && divides(branch, mine.records, theirs.records) {
            branches = self.disk.digests(ring.space, span, branch, None);
        } else if !same {
            let returning = |ask: &FileAsk| {
                matches!(ask, FileAsk::Offer { why: Why::Return, branch: open, .. }
                    if *open == branch)
            };
            if !is_open(asks, from, returning) {
                self.push(ring, Why::Return, from, (span, branch), None, asks, out);
            }
        }
        Answer::Inventory { same, records: mine.records, branches }
    }

    /// Another node offers records, or entrusts them to this one and says who
    /// holds them.
    pub(super) fn offered(
        &mut self,
        ring: &RingView<'_>,
        from: Peer,
        records: &[Record],
        holders: Option<&Vec<Peer>>,
        put: bool,
        out: &mut Effects,
    ) -> Answer {
        let urgent = records.len() == 1;
        let named = holders.into_iter().flatten().take(usize::from(MAX_REPLICAS));
        let named = named.filter(|peer| is_reachable(peer.address()) && **peer != ring.me);
        let named: Vec<Peer> = named.copied().collect();
        let sources = if holders.is_some() { &named[..] } else { &[from] };
        // Nobody is known to have it: it was asked for, and is not to be fetched.
        let nobody = holders.is_some_and(Vec::is_empty);
        let judge = |record| self.judged(ring, from, record, sources, nobody, (urgent, put));
        let verdicts = records.iter().map(judge).collect();
        self.fetch(out);
        Answer::Offer { verdicts, clock_s: self.expiry.now_s() }
    }

    /// What is said to one record of an offer.
    fn judged(
        &mut self,
        ring: &RingView<'_>,
        from: Peer,
        record: &Record,
        sources: &[Peer],
        nobody: bool,
        haste: (bool, bool),
    ) -> Verdict {
        if ring.standing != Standing::Member {
            // On its way out a node promises nothing.
            return Verdict::Later;
        }
        // A consent to its deletion that is on its way is void.
        self.may_go.remove(&record.name);
        let probe = record.version.counter == 0;
        let elsewhere = self.disk.get(&record.name).filter(|known| !known.here);
        let elsewhere = elsewhere.map(|known| &known.record);
        if elsewhere.is_some_and(|known| known.version >= record.version) && !probe {
            // What is newer it will be entrusted with.
            return Verdict::Known;
        }
        let held = self.record(&record.name).or(elsewhere);
        let absent = self.absent.get(&record.name);
        // Better an old copy than none, but not while somebody has the newer.
        let absent = absent.filter(|absent| probe || absent.is_somewhere(ring));
        let absent = absent.map(|absent| &absent.record);
        let known = held.or(absent).map(|known| known.version.cmp(&record.version));
        match known {
            Some(Ordering::Greater) => {
                held.or(absent).map_or(Verdict::Later, |newer| Verdict::Newer(newer.clone()))
            }
            Some(Ordering::Equal) if held.is_some() && elsewhere.is_none() => Verdict::Held,
            // Only a probe has this counter: a question, not an offer.
            _ if probe => Verdict::Later,
            _ if self.is_past(record) => Verdict::Held,
            _ if nobody && !record.is_deleted() => Verdict::Later,
            _ => self.wish(Some(from), sources, record.clone(), haste),
        }
    }

    /// Whoever offers records holds them: a wanted holder that was thought to
    /// be unable to store one has it after all, and any other may stand in for an
    /// owner that is unable.
    pub(super) fn count_offered(
        &mut self,
        ring: &RingView<'_>,
        from: Peer,
        records: &[Record],
        asks: &mut Asks<Purpose>,
        out: &mut Effects,
    ) {
        for record in records {
            let refused = self.disk.get(&record.name).is_some_and(|held| {
                held.record.version == record.version && held.unable.contains_key(&from)
            });
            if refused && self.partners.contains_key(&from) {
                self.count_copy(ring, from, &record.name, asks, out);
            }
            self.adopt_stand_in(ring, from, record, asks, out);
        }
    }

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

    /// Fetches what was found to be newer elsewhere.
    pub(super) fn take_newer(
        &mut self,
        ring: &RingView<'_>,
        from: Peer,
        records: &[(FileName, Version)],
        verdicts: Vec<Verdict>,
        out: &mut Effects,
    ) {
        for ((name, version), verdict) in records.iter().zip(verdicts) {
            if let Verdict::Newer(record) = verdict
                && record.name == *name
                && record.version > *version
            {
                self.want(ring, from, record);
            }
        }
        self.fetch(out);
    }

    /// Notes that this record is to be fetched, unless it is not newer than
    /// what is here.
    pub(super) fn want(&mut self, ring: &RingView<'_>, from: Peer, record: Record) {
        let held = self.disk.get(&record.name).map(|held| held.record.version);
        let newer = held.is_none_or(|held| held < record.version);
        if ring.standing == Standing::Member && newer && !self.is_past(&record) {
            self.wish(Some(from), &[from], record, (true, false));
        }
    }

    /// Stops the fetches of records for which nobody has a use any more. `is_useless` is
    /// also told whether it was seen that the record belongs here.
    pub(super) fn cease(&self, is_useless: impl Fn(&Record, bool) -> bool, out: &mut Effects) {
        for (ticket, job) in &self.jobs {
            if let Job::Keep { record, command: None, placed, .. } = job
                && is_useless(record, *placed)
            {
                out.push(Effect::Cease { ticket: *ticket });
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

    /// Stops the fetches of records that belonged here and do not any more.
    pub(super) fn cease_misplaced(&self, ring: &RingView<'_>, out: &mut Effects) {
        let Some(range) = ring.range() else { return };
        let misplaced = |record: &Record, placed: bool| {
            placed && !is_placed(record.key(ring.space), Some(range), &self.covers)
        };
        self.cease(misplaced, out);
    }

    /// Starts as many fetches as may run, and stops those of records of which a newer
    /// version waits.
    pub(super) fn fetch(&mut self, out: &mut Effects) {
        self.cease(
            |record, _| {
                let wish = self.wishes.get(&record.name);
                wish.is_some_and(|wish| wish.record.version > record.version)
            },
            out,
        );
        while self.fetches() < MAX_FETCHES {
            let free = self.wishes.iter().filter(|(name, _)| !self.busy.contains_key(*name));
            let Some(name) = free.min_by_key(|(_, wish)| !wish.urgent).map(|(name, _)| name) else {
                return;
            };
            let name = name.clone();
            let Some(wish) = self.wishes.remove(&name) else { return };
            let newer = |held: &Durable| {
                let (held, wished) = (held.record.version, wish.record.version);
                held > wished || held == wished && self.record(&name).is_some()
            };
            if self.disk.get(&name).is_some_and(newer) {
                continue;
            }
            let beaten = self.beaten_by(&wish.record, wish.put);
            self.keep(wish.record, wish.sources, wish.tell, Err(beaten), out);
        }
    }

    /// The file here that a record replaces, unless that was done on purpose: its
    /// owner has just made it, as the next version of this very one.
    fn beaten_by(&self, record: &Record, put: bool) -> Option<Record> {
        let known = self.record(&record.name).filter(|known| !known.is_deleted())?;
        let next = record.version.counter == known.version.counter.saturating_add(1);
        let meant = put && next || known.version.root == record.version.root;
        (!meant).then(|| known.clone())
    }

    /// Starts to make a record durable, for a command or with the file that it
    /// beats.
    pub(super) fn keep(
        &mut self,
        record: Record,
        sources: Vec<Peer>,
        tell: Vec<Peer>,
        command: Result<Ticket, Option<Record>>,
        out: &mut Effects,
    ) {
        let (command, beaten) = match command {
            Ok(command) => (Some(command), None),
            Err(beaten) => (None, beaten),
        };
        let op = StoreOp::Keep { record: record.clone(), sources, spare: beaten.is_some() };
        let ticket = self.ticket();
        self.begin(ticket, Job::Keep { record, tell, command, beaten, placed: false }, op, out);
    }

    /// Starts to delete a copy, which is not counted as held from here on.
    pub(super) fn delete(&mut self, name: &FileName, fate: Fate, out: &mut Effects) {
        if let Some(held) = self.disk.remove(name) {
            let ticket = self.ticket();
            self.drop_record(ticket, held.record, fate, out);
        }
    }

    /// Has the disk delete a record that is no longer in the index.
    pub(super) fn drop_record(
        &mut self,
        ticket: Ticket,
        record: Record,
        fate: Fate,
        out: &mut Effects,
    ) {
        let (name, version) = (record.name.clone(), record.version);
        let spare = matches!(fate, Fate::Beaten(_));
        let op = StoreOp::Drop { name, version, spare };
        self.begin(ticket, Job::Drop { record, fate }, op, out);
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

    pub(super) fn begin(&mut self, ticket: Ticket, job: Job, op: StoreOp, out: &mut Effects) {
        self.occupy(ticket, job);
        out.push(Effect::Store { ticket, op });
    }

    /// From now on this is under way on its name.
    pub(super) fn occupy(&mut self, ticket: Ticket, job: Job) {
        self.busy.insert(job.name().clone(), ticket);
        self.jobs.insert(ticket, job);
    }
}

/// Whether a record with this key belongs here: it is in the own range, or an owner has
/// claimed it of whose records this node keeps copies.
fn is_placed(key: Id, range: Option<Span>, covers: &Covers) -> bool {
    range.is_some_and(|range| range.contains(key)) || covers.has(key)
}

/// Adds a peer once; beyond as many as there can be copies nobody is needed.
pub(super) fn add(peers: &mut Vec<Peer>, peer: Peer) {
    if !peers.contains(&peer) && peers.len() < usize::from(MAX_REPLICAS) {
        peers.push(peer);
    }
}
