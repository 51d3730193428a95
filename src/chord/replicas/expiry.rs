//! The end of tombstones.
//!
//! A tombstone keeps older copies of a removed name from coming back. After
//! [`crate::limits::TOMBSTONE_S`] every node that could hold such a copy has
//! long heard of it, and the tombstone goes too: silently, on every node by
//! itself. Nodes do that at slightly different moments, so whoever has already
//! let go takes no notice of those who have not: an offered tombstone past its
//! time counts as held, and one found elsewhere is not fetched. Only where an
//! older live copy is still here is it taken once more.
//!
//! A name that is stored anew gets a version above every tombstone that this
//! node let go: a tombstone that somebody else still has must not swallow it.
//! Nothing but tombstones ever ends here.

use std::collections::{BTreeSet, VecDeque};

use crate::limits::TOMBSTONE_S;
use crate::name::FileName;
use crate::record::{Content, Record};

use super::super::{Effects, Ticket};
use super::holder::Job;
use super::{Durable, Replicas};

/// Tombstones that the disk deletes at once: they are many after a large
/// directory was removed, and nobody waits for them.
const MAX_DROPS: usize = 32;

/// The highest counter of a tombstone that is remembered beyond its end: far
/// above what people reach, and whoever lies about a counter cannot use all of
/// them up.
const MAX_FLOOR: u64 = u32::MAX as u64;

/// What is known of tombstones' ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Expiry {
    /// Tombstones from before this time of day are past; 0: not told yet.
    before_s: u64,
    /// The highest counter of a tombstone that went.
    floor: u64,
    /// Tombstones out of the index that the disk has yet to delete. Their
    /// names are busy under these tickets.
    queue: VecDeque<(Ticket, Record)>,
}

impl Expiry {
    /// What every version of a name unknown here must be above.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether the record is a tombstone whose time is over.
    fn is_past(&self, record: &Record) -> bool {
        matches!(record.content, Content::Deleted { at_s } if at_s < self.before_s)
            && record.version.counter > 0
    }

    /// A tombstone from the future, by the clock of a node that was wrong, is
    /// one from now: it must end as well.
    fn date(&self, record: &mut Record) {
        let now = self.before_s.saturating_add(TOMBSTONE_S);
        if let Content::Deleted { at_s } = &mut record.content
            && self.before_s > 0
            && *at_s > now.saturating_add(TOMBSTONE_S)
        {
            *at_s = now;
        }
    }

    fn went(&mut self, record: &Record) {
        self.floor = self.floor.max(record.version.counter.min(MAX_FLOOR));
    }
}

impl Replicas {
    /// Lets go of all tombstones from before this time of day.
    pub(in super::super) fn collect(&mut self, before_s: u64, out: &mut Effects) {
        // Not the highest ever: a clock that was ahead is set right again.
        self.expiry.before_s = before_s;
        let awaited = self.put_names();
        let mut past = BTreeSet::new();
        for held in self.disk.values_mut() {
            self.expiry.date(&mut held.record);
            let name = &held.record.name;
            let free = !self.busy.contains_key(name) && !awaited.contains(name);
            if free && self.expiry.is_past(&held.record) {
                past.insert(name.clone());
            }
        }
        for name in past {
            self.expire(&name);
        }
        self.drop_expired(out);
    }

    /// Takes a tombstone out of the index; the disk follows.
    fn expire(&mut self, name: &FileName) {
        let Some(Durable { record, .. }) = self.disk.remove(name) else { return };
        self.expiry.went(&record);
        let ticket = self.ticket();
        self.busy.insert(name.clone(), ticket);
        self.expiry.queue.push_back((ticket, record));
    }

    /// Has the disk delete as many expired tombstones as it may at once.
    pub(super) fn drop_expired(&mut self, out: &mut Effects) {
        let expired = |job: &&Job| matches!(job, Job::Drop { expired: true, .. });
        let running = self.jobs.values().filter(expired).count();
        for _ in running..MAX_DROPS {
            let Some((ticket, record)) = self.expiry.queue.pop_front() else { return };
            self.drop_record(ticket, record, true, out);
        }
    }

    /// Whether an offered record is a tombstone that is past, and of which
    /// nothing is here that it would end.
    pub(super) fn is_past(&mut self, record: &Record) -> bool {
        let past = self.expiry.is_past(record) && !self.has_heard_of(&record.name);
        if past {
            self.expiry.went(record);
        }
        past
    }

    /// The record with a date that can be true.
    pub(super) fn dated(&self, mut record: Record) -> Record {
        self.expiry.date(&mut record);
        record
    }
}
