//! Which contents somebody is at work on, so that none vanishes between the
//! look and the deed.
//!
//! Whoever places or names a content holds a [`Pin`] on it meanwhile. A content
//! is only removed while nobody holds one, and a pin waits for a removal to
//! end. No disk call is made while the map is locked: only those who want the
//! same content wait for each other.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::Manifest;

/// The contents in use, and those that were finished and not committed.
#[derive(Debug, Default)]
pub(super) struct Contents {
    map: Mutex<Map>,
    /// Told when a removal or a pin ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Map {
    entries: BTreeMap<ContentHash, Entry>,
    /// The number of the next finish.
    next: u64,
}

/// One content. There is an entry only while it says something.
#[derive(Debug, Default)]
struct Entry {
    pins: usize,
    /// It is being removed; then there is no pin.
    removing: bool,
    /// Finished and not committed: its manifest and the number of the finish.
    finished: Option<(Manifest, u64)>,
}

impl Contents {
    /// Holds a content where it is, once a removal under way has ended.
    pub(super) fn pin(&self, root: ContentHash) -> Pin<'_> {
        let mut map = self.lock();
        while map.entries.get(&root).is_some_and(|entry| entry.removing) {
            map = self.ended.wait(map).unwrap_or_else(PoisonError::into_inner);
        }
        map.entries.entry(root).or_default().pins += 1;
        Pin { contents: self, root }
    }

    /// Leave to remove a content; `None` when somebody needs it or removes it.
    pub(super) fn take(&self, root: ContentHash) -> Option<Removal<'_>> {
        let mut map = self.lock();
        if map.entries.contains_key(&root) {
            return None;
        }
        map.entries.insert(root, Entry { removing: true, ..Entry::default() });
        Some(Removal { contents: self, root })
    }

    /// As [`Contents::take`], for a content that is no good: that it was finished
    /// counts for nothing, and whoever is at work on it is waited for.
    pub(super) fn exclude(&self, root: ContentHash) -> Removal<'_> {
        let mut map = self.lock();
        while map.entries.get(&root).is_some_and(|entry| entry.pins > 0 || entry.removing) {
            map = self.ended.wait(map).unwrap_or_else(PoisonError::into_inner);
        }
        map.entries.insert(root, Entry { removing: true, ..Entry::default() });
        Removal { contents: self, root }
    }

    /// The manifest of a content that was finished and not committed.
    pub(super) fn manifest(&self, root: &ContentHash) -> Option<Manifest> {
        self.finished(root, |(manifest, _)| manifest.clone())
    }

    /// The number of the last finish of a content that is not committed.
    pub(super) fn claim(&self, root: &ContentHash) -> Option<u64> {
        self.finished(root, |(_, number)| *number)
    }

    /// Gives up that a content was finished, unless it was finished anew since
    /// it had this number. Whether it was given up.
    pub(super) fn give_up(&self, root: &ContentHash, claim: u64) -> bool {
        let mut map = self.lock();
        let Some(entry) = map.entries.get_mut(root) else { return false };
        let claimed = entry.finished.as_ref().is_some_and(|(_, number)| *number == claim);
        if claimed {
            entry.finished = None;
            map.tidy(root);
        }
        claimed
    }

    fn finished<R>(&self, root: &ContentHash, look: impl Fn(&(Manifest, u64)) -> R) -> Option<R> {
        self.lock().entries.get(root)?.finished.as_ref().map(look)
    }

    fn lock(&self) -> MutexGuard<'_, Map> {
        // It is whole between any two of its calls.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map {
    fn tidy(&mut self, root: &ContentHash) {
        let idle = |entry: &Entry| entry.pins == 0 && !entry.removing && entry.finished.is_none();
        if self.entries.get(root).is_some_and(idle) {
            self.entries.remove(root);
        }
    }
}

/// Holds a content where it is.
#[derive(Debug)]
pub(super) struct Pin<'a> {
    contents: &'a Contents,
    root: ContentHash,
}

impl Pin<'_> {
    /// Says that the content is in its place, and not committed.
    pub(super) fn finish(&self, manifest: Manifest) {
        let mut map = self.contents.lock();
        let number = map.next;
        map.next += 1;
        map.entries.entry(self.root).or_default().finished = Some((manifest, number));
    }

    /// Says that a record names the content, or that none shall.
    pub(super) fn settle(&self) {
        self.contents.lock().entries.entry(self.root).or_default().finished = None;
    }

    /// The manifest, if the content was finished and not committed.
    pub(super) fn manifest(&self) -> Option<Manifest> {
        self.contents.manifest(&self.root)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut map = self.contents.lock();
        if let Some(entry) = map.entries.get_mut(&self.root) {
            entry.pins -= 1;
        }
        map.tidy(&self.root);
        drop(map);
        self.contents.ended.notify_all();
    }
}

/// Leave to remove a content; dropped when that was done, or was not needed.
#[derive(Debug)]
pub(super) struct Removal<'a> {
    contents: &'a Contents,
    root: ContentHash,
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        self.contents.lock().entries.remove(&self.root);
        self.contents.ended.notify_all();
    }
}
