//! Which contents are in use, so that none is removed between a check and the use that
//! follows it.
//!
//! A thread that places or names a content holds a [`Pin`] on it meanwhile. A content is
//! only removed while it is not pinned, and a pin waits for a removal to end. No disk
//! operation is made while the map is locked: only threads that want the same content wait
//! for each other.

use std::collections::BTreeMap;

use parking_lot::{Condvar, Mutex};

use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::Manifest;

/// The contents in use, and those that were finished and not committed.
#[derive(Debug, Default)]
pub(super) struct Contents {
    map: Mutex<Map>,
    /// Notified when a removal or a pin ends.
    ended: Condvar,
}

#[derive(Debug, Default)]
struct Map {
    entries: BTreeMap<ContentHash, Entry>,
    /// The number that the next finish gets.
    next: u64,
}

/// The state of one content. There is an entry only while it differs from the default.
#[derive(Debug, Default)]
struct Entry {
    pins: usize,
    /// It is being removed; there are no pins then.
    removing: bool,
    /// Finished and not committed: its manifest and the number of that finish.
    finished: Option<(Manifest, u64)>,
}

impl Contents {
    /// Pins a content, after waiting for the end of a removal.
    pub(super) fn pin(&self, root: ContentHash) -> Pin<'_> {
        let mut map = self.map.lock();
        while map.entries.get(&root).is_some_and(|entry| entry.removing) {
            self.ended.wait(&mut map);
        }
        map.entries.entry(root).or_default().pins += 1;
        Pin { contents: self, root }
    }

    /// The right to remove a content; `None` while it is pinned or being removed.
    pub(super) fn take(&self, root: ContentHash) -> Option<Removal<'_>> {
        let mut map = self.map.lock();
        if map.entries.contains_key(&root) {
            return None;
        }
        map.entries.insert(root, Entry { removing: true, ..Entry::default() });
        Some(Removal { contents: self, root })
    }

    /// As [`Contents::take`], for a damaged content: forgets that it was finished, and
    /// waits for those who have pinned it.
    pub(super) fn exclude(&self, root: ContentHash) -> Removal<'_> {
        let mut map = self.map.lock();
        while map.entries.get(&root).is_some_and(|entry| entry.pins > 0 || entry.removing) {
            self.ended.wait(&mut map);
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

    /// Forgets that a content was finished, unless it was finished again after it got this
    /// number. Returns whether it was forgotten.
    pub(super) fn give_up(&self, root: &ContentHash, claim: u64) -> bool {
        let mut map = self.map.lock();
        let Some(entry) = map.entries.get_mut(root) else { return false };
        let claimed = entry.finished.as_ref().is_some_and(|(_, number)| *number == claim);
        if claimed {
            entry.finished = None;
            map.tidy(root);
        }
        claimed
    }

    fn finished<R>(&self, root: &ContentHash, look: impl Fn(&(Manifest, u64)) -> R) -> Option<R> {
        self.map.lock().entries.get(root)?.finished.as_ref().map(look)
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

/// Keeps a content from being removed.
#[derive(Debug)]
pub(super) struct Pin<'a> {
    contents: &'a Contents,
    root: ContentHash,
}

impl Pin<'_> {
    /// Notes that the content is in its place and not committed.
    pub(super) fn finish(&self, manifest: Manifest) {
        let mut map = self.contents.map.lock();
        let number = map.next;
        map.next += 1;
        map.entries.entry(self.root).or_default().finished = Some((manifest, number));
    }

    /// Notes that a record names the content, or that none will.
    pub(super) fn settle(&self) {
        self.contents.map.lock().entries.entry(self.root).or_default().finished = None;
    }

    /// The manifest, if the content was finished and not committed.
    pub(super) fn manifest(&self) -> Option<Manifest> {
        self.contents.manifest(&self.root)
    }
}

impl Drop for Pin<'_> {
    fn drop(&mut self) {
        let mut map = self.contents.map.lock();
        if let Some(entry) = map.entries.get_mut(&self.root) {
            entry.pins -= 1;
        }
        map.tidy(&self.root);
        drop(map);
        self.contents.ended.notify_all();
    }
}

/// The right to remove a content; dropped after the removal, or if none was needed.
#[derive(Debug)]
pub(super) struct Removal<'a> {
    contents: &'a Contents,
    root: ContentHash,
}

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        self.contents.map.lock().entries.remove(&self.root);
        self.contents.ended.notify_all();
    }
}
