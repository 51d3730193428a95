//! Disk operations, what the ring acknowledged, and whether it is kept.

use std::collections::BTreeMap;
use std::time::Duration;

use chordal_core::chord::{Input, StoreFailure, StoreOp, Ticket};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Obstacle, Version};

use super::World;
use super::event::{Event, Job, Spot};
use super::host::{Disk, Host, HostId, State};

/// What was acknowledged to clients.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    promises: BTreeMap<FileName, Promise>,
}

/// The newest version of a name that was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Promise {
    version: Version,
    removed: bool,
    /// Every disk that had it was destroyed: no ring could keep it.
    excused: bool,
}

impl Ledger {
    pub(super) fn acknowledge(&mut self, name: &FileName, version: Version, removed: bool) {
        let promise = Promise { version, removed, excused: false };
        let known = self.promises.entry(name.clone()).or_insert(promise);
        if known.version < version {
            *known = promise;
        }
    }

    pub(super) fn promised(&self, name: &FileName) -> Option<Version> {
        let promise = self.promises.get(name).filter(|promise| !promise.removed)?;
        Some(promise.version)
    }
}

/// The state of the files that were acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// Files that were acknowledged and not removed since.
    pub acknowledged: usize,
    /// Of these, files whose bytes are on a running host.
    pub readable: usize,
    /// Files whose bytes are only on hosts without a process: they come back with those.
    pub away: usize,
    /// Files on no disk, although not every disk that had them was destroyed: this must
    /// never happen.
    pub lost: Vec<FileName>,
    /// Files on no disk, because every disk that had them was destroyed.
    pub destroyed: usize,
    /// How many files have 0, 1, 2, … copies on different running hosts.
    pub copies: Vec<usize>,
    /// Readable files with fewer copies than are wanted and possible.
    pub short: usize,
    /// Files with more copies than wanted on running hosts, which have not been deleted yet
    /// after a change of the ring.
    pub surplus: usize,
}

/// What the disks have of one name.
#[derive(Default)]
struct Seen {
    /// The newest version with its bytes on a running host, and on how many.
    best: Option<Version>,
    live: usize,
    /// The newest version with its bytes on any disk.
    anywhere: Option<Version>,
    /// The newest tombstone on any disk.
    tombstone: Option<Version>,
}

impl World {
    /// Begins a disk operation that a core asked for; [`Event::Work`] continues it.
    pub(super) fn store(&mut self, spot: Spot, ticket: Ticket, op: StoreOp) {
        let life = self.hosts[spot.host as usize].life;
        let job = Job { spot, life, ticket, op, source: None, tried: 0, result: None };
        let number = self.next_job;
        self.next_job = number.wrapping_add(1);
        self.next_work(number, job, Duration::ZERO);
    }

    /// Plans the next step of a disk operation.
    fn next_work(&mut self, number: u32, mut job: Job, after: Duration) {
        let host = job.spot.host;
        job.source = None;
        let mut wait = after + self.setup.disk;
        match &job.op {
            StoreOp::Drop { .. } => job.result = Some(Ok(())),
            StoreOp::Keep { record, .. }
                if record.is_deleted() || self.has(host, &record.version.root) =>
            {
                job.result = Some(Ok(()));
            }
            StoreOp::Keep { .. } if self.hosts[host as usize].is_full() => {
                let why = Obstacle::NoRoom.said_of(&self.address(host).to_string(), "it");
                job.result = Some(Err(StoreFailure::Full(why)));
            }
            StoreOp::Keep { record, sources, .. } => {
                if let Some(source) = sources.get(job.tried).copied() {
                    let (root, size) = (record.version.root, record.size());
                    job.tried += 1;
                    wait += self.fetch(host, source, &root, size, &mut job.source);
                } else {
                    job.result = Some(Err(StoreFailure::NoSource));
                }
            }
        }
        self.jobs.insert(number, job);
        self.queue.push(self.now + wait, Event::Work { job: number });
    }

    /// Begins to fetch a content. Returns how long that takes, or how long until the
    /// failure is known.
    fn fetch(
        &mut self,
        host: HostId,
        source: Peer,
        root: &ContentHash,
        size: u64,
        from: &mut Option<(HostId, u32)>,
    ) -> Duration {
        match self.reach(host, source) {
            Ok(there) => {
                let way = self.delay(host, there) + self.delay(there, host);
                if !self.has(there, root) {
                    return way;
                }
                *from = Some((there, self.hosts[there as usize].life));
                way + self.transfer_time(size)
            }
            Err(wait) => wait,
        }
    }

    /// Whether a host's disk has these bytes.
    pub(super) fn has(&self, host: HostId, root: &ContentHash) -> bool {
        self.hosts[host as usize].disk().is_some_and(|disk| disk.has(root))
    }

    /// [`Event::Work`]
    pub(super) fn work(&mut self, number: u32) {
        let Some(mut job) = self.jobs.remove(&number) else { return };
        let host = &self.hosts[job.spot.host as usize];
        if host.life != job.life {
            return;
        }
        if host.state == State::Paused {
            let host = job.spot.host;
            self.jobs.insert(number, job);
            return self.hold(host, Event::Work { job: number });
        }
        if let Some((source, life)) = job.source
            && self.is_connected(job.spot.host, source)
            && self.hosts[source as usize].life == life
            && let StoreOp::Keep { record, .. } = &job.op
        {
            self.counts.copies += 1;
            self.counts.copied_bytes += record.size();
            job.result = Some(Ok(()));
        }
        let Some(result) = job.result.take() else {
            return self.next_work(number, job, Duration::ZERO);
        };
        let disk = &mut self.hosts[job.spot.host as usize].extra_mut().disk;
        match (&result, job.op) {
            (Ok(()), StoreOp::Keep { record, .. }) => disk.keep(record),
            (Ok(()), StoreOp::Drop { name, version, .. }) => disk.forget(&name, version),
            (Err(_), _) => {}
        }
        let input = Input::Stored { ticket: job.ticket, result };
        self.feed(job.spot.host, Some(job.spot.slot), input, None);
    }

    /// From now on a host's disk has no room for further contents, or has some again.
    pub fn set_full(&mut self, host: HostId, full: bool) {
        if self.is_host(host) {
            self.hosts[host as usize].extra_mut().full = full;
        }
    }

    /// Kills a host's process and destroys its disk. Files that were on no other disk are
    /// excused from then on.
    pub fn destroy(&mut self, host: HostId) {
        self.crash(host);
        let Some(found) = self.hosts.get_mut(host as usize) else { return };
        let Some(extra) = &mut found.extra else { return };
        let disk = std::mem::take(&mut extra.disk);
        for name in disk.records.keys() {
            let Some(promise) = self.ledger.promises.get(name).copied() else { continue };
            let kept = self.hosts.iter().filter_map(Host::disk);
            let mut kept = kept.filter_map(|disk| disk.record(name));
            if !kept.any(|record| record.version >= promise.version)
                && let Some(promise) = self.ledger.promises.get_mut(name)
            {
                promise.excused = true;
            }
        }
    }

    /// The state of the files that were acknowledged.
    pub fn files(&self) -> FileReport {
        let mut seen: BTreeMap<&FileName, Seen> = BTreeMap::new();
        for host in &self.hosts {
            let Some(disk) = host.disk() else { continue };
            look_at(disk, host.lives(), &mut seen);
        }
        let possible = usize::from(self.setup.replicas).min(self.alive.len());
        let mut report = FileReport { copies: vec![0; possible + 1], ..FileReport::default() };
        let nothing = Seen::default();
        for (name, promise) in &self.ledger.promises {
            let seen = seen.get(name).unwrap_or(&nothing);
            // A newer removal that was not acknowledged yet is fine, too.
            let removed = seen.tombstone.is_some_and(|version| version > promise.version);
            if promise.removed || removed {
                continue;
            }
            report.acknowledged += 1;
            let good = |version: Option<Version>| version >= Some(promise.version);
            let copies = if good(seen.best) { seen.live } else { 0 };
            if copies >= report.copies.len() {
                report.copies.resize(copies + 1, 0);
            }
            report.copies[copies] += 1;
            if copies > 0 {
                report.readable += 1;
                report.short += usize::from(copies < possible);
                report.surplus += usize::from(copies > possible);
            } else if good(seen.anywhere) {
                report.away += 1;
            } else if promise.excused {
                report.destroyed += 1;
            } else {
                report.lost.push(name.clone());
            }
        }
        report
    }

    /// The names that were acknowledged and not removed since.
    pub fn promised(&self) -> impl Iterator<Item = &FileName> {
        let kept = self.ledger.promises.iter().filter(|(_, promise)| !promise.removed);
        kept.map(|(name, _)| name)
    }
}

fn look_at<'a>(disk: &'a Disk, lives: bool, seen: &mut BTreeMap<&'a FileName, Seen>) {
    for (name, record) in &disk.records {
        let version = record.version;
        let seen = seen.entry(name).or_default();
        if record.is_deleted() {
            seen.tombstone = seen.tombstone.max(Some(version));
            continue;
        }
        if !disk.has(&version.root) {
            continue;
        }
        seen.anywhere = seen.anywhere.max(Some(version));
        if !lives || seen.best > Some(version) {
            continue;
        }
        if seen.best < Some(version) {
            seen.best = Some(version);
            seen.live = 0;
        }
        seen.live += 1;
    }
}
