//! The disks at work, what the ring has promised, and whether it keeps it.

use std::collections::BTreeMap;
use std::time::Duration;

use chordal_core::chord::{Input, StoreFailure, StoreOp, Ticket};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Version};

use super::World;
use super::event::{Event, Job, Spot};
use super::host::{Disk, Host, HostId, State};

/// What was acknowledged to anybody.
#[derive(Clone, Debug, Default)]
pub(super) struct Ledger {
    promises: BTreeMap<FileName, Promise>,
}

/// The newest that was acknowledged of a name.
#[derive(Clone, Copy, Debug)]
struct Promise {
    version: Version,
    removed: bool,
    /// Every disk that held it has been destroyed: no ring can keep that.
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

/// What has become of the files that were acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// Files that were acknowledged and not removed since.
    pub acknowledged: usize,
    /// Of these, with their bytes on a host that runs.
    pub readable: usize,
    /// Only on hosts without a process: they come back with those.
    pub away: usize,
    /// On no disk, although not every disk that held them was destroyed: never
    /// to happen.
    pub lost: Vec<FileName>,
    /// On no disk, since every disk that held them was destroyed.
    pub destroyed: usize,
    /// How many files have 0, 1, 2, … copies on different hosts that run.
    pub copies: Vec<usize>,
    /// Readable files with fewer copies than are wanted and possible.
    pub short: usize,
    /// Files of which more copies than wanted are on hosts that run: not yet
    /// given up after a change of the ring.
    pub surplus: usize,
}

/// What is on the disks of one name.
#[derive(Default)]
struct Seen {
    /// The newest version with its bytes on a host that runs, and on how many.
    best: Option<Version>,
    live: usize,
    /// The newest with its bytes anywhere.
    anywhere: Option<Version>,
    /// The newest tombstone anywhere.
    tombstone: Option<Version>,
}

impl World {
    /// Carries a core's wish out on the disk; [`Event::Work`] says when.
    pub(super) fn store(&mut self, spot: Spot, ticket: Ticket, op: StoreOp) {
        let life = self.hosts[spot.host as usize].life;
        let job = Job { spot, life, ticket, op, source: None, tried: 0, result: None };
        let number = self.next_job;
        self.next_job = number.wrapping_add(1);
        self.next_work(number, job, Duration::ZERO);
    }

    /// Plans the next step of a disk's work.
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

    /// Begins to fetch a content: how long it takes, or how long to know that
    /// it cannot be.
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

    /// Kills a host's process and destroys its disk. Files that were on no other
    /// disk are excused from then on.
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

    /// What has become of the files that were acknowledged.
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
            // A removal that nobody was told of yet is fine, too.
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
