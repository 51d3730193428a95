//! The end of tombstones.
//!
//! A tombstone keeps older copies of a removed name from coming back. After
//! [`crate::limits::TOMBSTONE_S`] every node that could hold such a copy has
//! long heard of it, and the tombstone goes too: silently, on every node by
//! itself.
//!
//! Each node counts that day by its own clock, and no two clocks need agree: a
//! message with tombstones says what time it is for its sender, so the receiver
//! learns how old they are and dates them by its own clock. A tombstone that ends an
//! older copy begins its day anew there: the node that had that copy may not have been the
//! only one who was away.
//!
//! Nodes let go at slightly different moments, so a node that has already done so takes no
//! notice of those who have not: an offered tombstone that is past its time, or soon
//! will be, counts as held, and one found elsewhere is not fetched. Only where an
//! older live copy is still here is it taken once more.
//!
//! A name that is stored again gets a version above every tombstone that this node
//! removed: a tombstone that another node still has must not delete it. The same holds
//! for a version that no node holds any more ([`super::elsewhere`]).
//! Nothing but tombstones ever ends here.

use std::collections::{BTreeSet, VecDeque};

use crate::limits::TOMBSTONE_S;
use crate::name::FileName;
use crate::record::{Content, Record};

use super::super::Ticket;
use super::holder::{Fate, Job};
use super::{Durable, Files, Replicas};

/// Tombstones that the disk deletes at once: they are many after a large
/// directory was removed, and nobody waits for them.
const MAX_DROPS: usize = 32;

/// The highest counter of a record that is remembered beyond its end: far
/// above what people reach, and whoever lies about a counter cannot use all of
/// them up.
const MAX_FLOOR: u64 = u32::MAX as u64;

/// Tombstones of others that end within this are not worth taking, in seconds: they
/// would go between nodes that end them one after the other.
const SOON_S: u64 = 10 * 60;

/// What is known of tombstones' ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Expiry {
    /// The time by this node's own clock, in seconds; 0: not told yet.
    now_s: u64,
    /// The highest counter of a record that went.
    floor: u64,
    /// Tombstones out of the index that the disk has yet to delete. Their
    /// names are busy under these tickets.
    queue: VecDeque<(Ticket, Record)>,
}

impl Expiry {
    /// The time by this node's own clock, in seconds.
    pub(super) const fn now_s(&self) -> u64 {
        self.now_s
    }

    /// What every version of a name unknown here must be above.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether the record is a tombstone whose time is over in so many seconds.
    fn ends_within(&self, record: &Record, soon_s: u64) -> bool {
        let before_s = self.now_s.saturating_add(soon_s).saturating_sub(TOMBSTONE_S);
        matches!(record.content, Content::Deleted { at_s } if at_s < before_s)
            && record.version.counter > 0
    }

    /// A tombstone without a date, or from the future by this clock as it was at
    /// another time, is one from now: it must end as well.
    fn date(&self, record: &mut Record) {
        if let Content::Deleted { at_s } = &mut record.content
            && self.now_s > 0
            && (*at_s == 0 || *at_s > self.now_s.saturating_add(TOMBSTONE_S))
        {
            *at_s = self.now_s;
        }
    }

    /// Dates what a message says by this node's clock instead of the sender's.
    pub(super) fn translate(&self, record: &mut Record, clock_s: u64) {
        if let Content::Deleted { at_s } = &mut record.content {
            *at_s = self.now_s.saturating_sub(clock_s.saturating_sub(*at_s));
        }
    }

    /// A record is known no more, and somebody may still have it.
    pub(super) fn went(&mut self, record: &Record) {
        self.floor = self.floor.max(record.version.counter.min(MAX_FLOOR));
    }
}

impl Files<'_> {
    /// Lets go of all tombstones whose day is over by now.
    pub(in super::super) fn tell_time(&mut self, now_s: u64) {
        // Not the highest ever: a clock that was ahead is set right again.
        self.state.expiry.now_s = now_s;
        let awaited = self.state.put_names();
        let mut past = BTreeSet::new();
        for held in self.state.disk.values_mut() {
            self.state.expiry.date(&mut held.record);
            let name = &held.record.name;
            let free = !self.state.busy.contains_key(name) && !awaited.contains(name);
            if free && self.state.expiry.ends_within(&held.record, 0) {
                past.insert(name.clone());
            }
        }
        for name in past {
            self.state.expire(&name);
        }
        self.drop_expired();
    }

    /// Has the disk delete as many expired tombstones as it may at once.
    pub(super) fn drop_expired(&mut self) {
        let expired = |job: &&Job| matches!(job, Job::Drop { fate: Fate::Expired, .. });
        let running = self.state.jobs.values().filter(expired).count();
        for _ in running..MAX_DROPS {
            let Some((ticket, record)) = self.state.expiry.queue.pop_front() else { return };
            self.drop_record(ticket, record, Fate::Expired);
        }
    }
}

impl Replicas {
    /// Takes a tombstone out of the index; the disk follows.
    fn expire(&mut self, name: &FileName) {
        let Some(Durable { record, .. }) = self.disk.remove(name) else { return };
        self.expiry.went(&record);
        let ticket = self.ticket();
        self.busy.insert(name.clone(), ticket);
        self.expiry.queue.push_back((ticket, record));
    }

    /// Whether an offered record is a tombstone that is past, and of which
    /// nothing is here that it would end.
    pub(super) fn is_past(&mut self, record: &Record) -> bool {
        let past = self.expiry.ends_within(record, SOON_S) && !self.has_heard_of(&record.name);
        if past {
            self.expiry.went(record);
        }
        past
    }

    /// The record as it is taken in: a tombstone that ends a copy has its whole day
    /// before it.
    pub(super) fn dated(&self, mut record: Record) -> Record {
        let ends_a_copy = self.known(&record.name).is_some_and(|known| !known.is_deleted());
        if let Content::Deleted { at_s } = &mut record.content
            && ends_a_copy
        {
            *at_s = self.expiry.now_s;
        }
        record
    }
}
