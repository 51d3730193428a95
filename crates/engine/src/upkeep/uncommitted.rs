//! Contents that came over a chain and that no record names yet. Most are named
//! a moment later. The others are given up: their owner died before it could
//! commit, or a program fills disks.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use chordal_core::record::ContentHash;
use chordal_store::Store;

/// How long a content waits for a record: owners commit within seconds.
const PATIENCE: Duration = Duration::from_secs(120);

/// How often it should be looked which of them wait still: what was named since
/// does no harm.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Contents that wait at the most, 64 bytes each. A node that takes in a
/// thousand files a second has a sixth of that between two looks.
const AT_MOST: usize = 64 * 1024;

/// The contents that wait. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uncommitted {
    /// The oldest first.
    waiting: Arc<Mutex<VecDeque<Waiting>>>,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    root: ContentHash,
    /// The finish that it came from ([`Store::claim`]).
    claim: u64,
    since: Instant,
}

impl Uncommitted {
    /// A content is durable here, and waits from now on. When too many do, the
    /// older half is given up. Blocks.
    pub(crate) fn add(&self, store: &Store, root: ContentHash, now: Instant) {
        self.add_to(AT_MOST, store, root, now);
    }

    fn add_to(&self, at_most: usize, store: &Store, root: ContentHash, now: Instant) {
        let Some(claim) = store.claim(&root) else { return };
        let full = {
            let mut waiting = self.waiting.lock();
            waiting.push_back(Waiting { root, claim, since: now });
            waiting.len() > at_most
        };
        if full {
            self.expire(store, now);
            let older: Vec<Waiting> = {
                let mut waiting = self.waiting.lock();
                // As a rule there is room again: most were named.
                let still_full = waiting.len() > at_most;
                let older = if still_full { waiting.len() - at_most / 2 } else { 0 };
                waiting.drain(..older).collect()
            };
            older.iter().for_each(|old| store.give_up(&old.root, old.claim));
        }
    }

    /// Forgets those that a record names by now or that came again since, and
    /// gives up those that have waited long enough. Blocks.
    pub(crate) fn expire(&self, store: &Store, now: Instant) {
        // The lock is not held while all are looked at.
        let mut looked = std::mem::take(&mut *self.waiting.lock());
        looked.retain(|one| store.claim(&one.root) == Some(one.claim));
        let old = |one: &Waiting| now.saturating_duration_since(one.since) >= PATIENCE;
        while let Some(one) = looked.front().copied().filter(old) {
            looked.pop_front();
            store.give_up(&one.root, one.claim);
        }
        let mut waiting = self.waiting.lock();
        looked.append(&mut waiting);
        *waiting = looked;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::name::FileName;
    use chordal_core::record::{Content, Record, Version};
    use chordal_core::transfer::manifest::{ManifestBuilder, PieceIndex};

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().expect("a directory");
        let (store, _) = Store::open(dir.path()).expect("a new store");
        (dir, store)
    }

    /// Has a content of these bytes come in, without a record.
    fn taken_in(store: &Store, bytes: &[u8]) -> ContentHash {
        let mut builder = ManifestBuilder::new(bytes.len() as u64);
        builder.update(bytes);
        let manifest = builder.finish().expect("all bytes came");
        let incoming = store.begin(manifest.clone()).expect("room");
        incoming.write(PieceIndex(0), bytes).expect("a right piece");
        incoming.finish().expect("it is complete");
        manifest.root()
    }

    fn named(store: &Store, name: &str, root: ContentHash) {
        let name = FileName::new(name).expect("a name");
        let version = Version { counter: 1, root };
        let record = Record { name, version, content: Content::File { size: 3 } };
        store.commit(&record).expect("the content is here");
    }

    #[test]
    fn what_no_record_names_for_two_minutes_is_given_up() {
        let (_dir, store) = store();
        let (uncommitted, now) = (Uncommitted::default(), Instant::now());
        let [named_soon, never] = [b"one", b"two"].map(|bytes| taken_in(&store, bytes));
        uncommitted.add(&store, named_soon, now);
        uncommitted.add(&store, never, now);
        uncommitted.expire(&store, now + LOOK_EVERY);
        assert_eq!(uncommitted.waiting.lock().len(), 2);
        named(&store, "a", named_soon);
        uncommitted.expire(&store, now + LOOK_EVERY * 2);
        assert_eq!(uncommitted.waiting.lock().len(), 1, "whoever is named waits no longer");
        assert!(store.holds(&never));
        uncommitted.expire(&store, now + PATIENCE);
        assert!(store.holds(&named_soon) && !store.holds(&never));
        assert!(uncommitted.waiting.lock().is_empty());
    }

    #[test]
    fn what_came_anew_waits_anew() {
        let (_dir, store) = store();
        let (uncommitted, now) = (Uncommitted::default(), Instant::now());
        let root = taken_in(&store, b"one");
        uncommitted.add(&store, root, now);
        store.give_up(&root, store.claim(&root).expect("it waits"));
        let again = taken_in(&store, b"one");
        uncommitted.add(&store, again, now + PATIENCE / 2);
        uncommitted.expire(&store, now + PATIENCE);
        assert!(store.holds(&again));
        assert_eq!(uncommitted.waiting.lock().len(), 1);
    }

    #[test]
    fn of_too_many_the_older_ones_are_given_up_but_nothing_that_has_a_name() {
        let (_dir, store) = store();
        let (uncommitted, now) = (Uncommitted::default(), Instant::now());
        let roots: Vec<ContentHash> = (0..5).map(|n| taken_in(&store, &[n; 3])).collect();
        for root in &roots[..4] {
            uncommitted.add_to(4, &store, *root, now);
        }
        named(&store, "a", roots[0]);
        uncommitted.add_to(4, &store, roots[4], now);
        assert!(roots.iter().all(|root| store.holds(root)), "one of them has a name by now");
        let more = taken_in(&store, b"more");
        uncommitted.add_to(4, &store, more, now);
        let left: Vec<bool> = roots.iter().map(|root| store.holds(root)).collect();
        assert_eq!(left, [true, false, false, false, true]);
        assert!(store.holds(&more));
    }
}
