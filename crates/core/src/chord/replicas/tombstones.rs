//! Where the end of tombstones ([`super::expiry`]) meets the disk.

use std::collections::BTreeSet;

use crate::name::FileName;
use crate::record::{Content, Record};

use super::disk::Durable;
use super::expiry::SOON_S;
use super::state::{DropReason, Files, Job, Replicas};

/// Tombstones that the disk deletes at once: they are many after a large
/// directory was removed, and no command waits for them.
const MAX_DROPS: usize = 32;

impl Files<'_> {
    /// Removes all tombstones whose day is over by now.
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
        let expired = |job: &&Job| matches!(job, Job::Drop { fate: DropReason::Expired, .. });
        let running = self.state.jobs.values().filter(expired).count();
        for _ in running..MAX_DROPS {
            let Some((ticket, record)) = self.state.expiry.queue.pop_front() else { return };
            self.drop_record(ticket, record, DropReason::Expired);
        }
    }
}

impl Replicas {
    /// Takes a tombstone out of the index; the disk follows.
    fn expire(&mut self, name: &FileName) {
        let Some(Durable { record, .. }) = self.disk.remove(name) else { return };
        self.expiry.note_removed(&record);
        let ticket = self.ticket();
        self.busy.insert(name.clone(), ticket);
        self.expiry.queue.push_back((ticket, record));
    }

    /// Whether an offered record is a tombstone that is past, and of which
    /// nothing is here that it would end.
    pub(super) fn is_past(&mut self, record: &Record) -> bool {
        let past = self.expiry.ends_within(record, SOON_S) && !self.has_heard_of(&record.name);
        if past {
            self.expiry.note_removed(record);
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
