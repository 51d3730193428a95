//! What a transfer is at, and what the files of a directory add to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Entry, Phases, Transfer};

/// The phase in which bytes are only read here.
pub(crate) const HASHING: &str = "hashing";

impl Phases for Transfer {
    fn phase(&self, phase: &str) {
        phase.clone_into(&mut self.entry.changing.lock().phase);
    }
}

/// The files at work of a directory together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parts {
    /// Bytes that they have moved so far.
    pub(super) moved: u64,
    at_work: u32,
    sourceless: u32,
}

impl Parts {
    /// Whether there are some and all of them wait for a source.
    pub(super) const fn all_wait(self) -> bool {
        self.at_work > 0 && self.at_work == self.sourceless
    }
}

/// The files at work of each directory: those that ended are counted by the
/// directory itself.
pub(super) fn moving<'a>(entries: impl Iterator<Item = &'a Arc<Entry>>) -> BTreeMap<u64, Parts> {
    let mut moving: BTreeMap<u64, Parts> = BTreeMap::new();
    for entry in entries {
        let Some(whole) = entry.part_of else { continue };
        let changing = entry.changing.lock();
        if changing.ended.is_some() {
            continue;
        }
        let parts = moving.entry(whole).or_default();
        parts.at_work += 1;
        parts.sourceless += u32::from(changing.sourceless);
        if changing.phase != HASHING {
            parts.moved += entry.done.load(Ordering::Relaxed);
        }
    }
    moving
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use chordal_view::{FileCount, TransferKind};

    use super::super::Transfers;
    use super::*;

    #[test]
    fn a_directory_counts_what_its_files_have_moved_but_not_what_they_only_read() {
        let transfers = Transfers::new(Instant::now(), 4);
        let whole = transfers.open(TransferKind::Upload, "dir", 0);
        whole.count_files(FileCount { done: 1, failed: 0, total: 3 }, 10, 30);
        let sent = transfers.open_part(&whole, "dir/a", 10);
        let read = transfers.open_part(&whole, "dir/b", 10);
        sent.phase("sending");
        sent.advance(4);
        read.phase(HASHING);
        read.advance(7);
        let done = || transfers.rows().iter().find(|row| row.number == 1).map(|row| row.done);
        assert_eq!(done(), Some(14));
        sent.end(Ok(()));
        assert_eq!(done(), Some(10), "until its end is counted");
    }
}
