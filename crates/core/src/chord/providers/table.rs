//! Who shares what: records that die by themselves, within bounds.
//!
//! It knows no ring and sends nothing. A record that is not said again is
//! forgotten at its end; one that is withdrawn leaves a marker, so that an
//! older word of it, still on its way or kept by a node that missed the
//! withdrawal, does not bring it back.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::Duration;

use crate::id::{Id, Point, Space};
use crate::limits::{MAX_FILE_BYTES, MAX_PAGE, PROVIDER_LIFETIME_S};
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Provider};
use crate::time::Time;

/// Records of all names and sharers, markers included: 16 MB with usual names,
/// 80 MB if every name is as long as it may be.
pub(super) const MAX_RECORDS: usize = 64 * 1024;

/// Records of one sharer: no sharer fills the table alone.
pub(super) const MAX_OF_PEER: usize = 16 * 1024;

/// Sharers of one name: far more than a download asks at once, and a flood of
/// made-up sharers hides no sharer that came before.
pub(super) const MAX_OF_NAME: usize = 128;

/// The longest life of a record, and the life of a marker: whatever was said
/// before a withdrawal has ended by then.
const LIFETIME: Duration = Duration::from_secs(PROVIDER_LIFETIME_S as u64);

/// A marker is passed on only while it has more than this before it. Its age
/// does not travel, so each node that hears of it begins again: without this limit it
/// would never end where nodes come and go all the time.
const MARKER_TOLD: Duration = Duration::from_secs(PROVIDER_LIFETIME_S as u64 / 2);

/// A place in the table: pages begin behind it.
pub(super) type Place = (FileName, Peer);

/// The records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Table {
    names: BTreeMap<FileName, Named>,
    /// How many are of each sharer.
    of_peer: BTreeMap<Peer, usize>,
    /// How many there are.
    total: usize,
}

/// One name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Named {
    /// The name's hash: its key, before the ring's size is known.
    point: Point,
    sharers: BTreeMap<Peer, Entry>,
}

/// What one sharer said last of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    root: ContentHash,
    size: u64,
    downloaded: bool,
    serial: u64,
    /// When it is forgotten.
    ends: Time,
    /// It is no longer shared: a marker.
    withdrawn: bool,
}

impl Entry {
    fn has_ended(&self, now: Time) -> bool {
        self.ends <= now
    }

    fn is_live(&self, now: Time) -> bool {
        !self.withdrawn && !self.has_ended(now)
    }

    /// The lifetime to be told to others, in whole seconds; `None`: nothing
    /// worth telling is left. Rounded down, so that no record becomes older by
    /// being passed around.
    fn left(&self, now: Time) -> Option<u32> {
        let left = self.ends - now;
        if self.withdrawn {
            return (left > MARKER_TOLD).then_some(0);
        }
        u32::try_from(left.as_secs()).ok().filter(|seconds| *seconds > 0)
    }

    fn told(&self, name: &FileName, peer: Peer, now: Time) -> Option<Provider> {
        let Entry { root, size, downloaded, serial, .. } = *self;
        let lifetime_s = self.left(now)?;
        Some(Provider { name: name.clone(), peer, root, size, downloaded, serial, lifetime_s })
    }
}

impl Table {
    /// Takes in what was said of a name by its sharer, or passed on. `true`
    /// when that is news: a first word, or one with a larger serial than the
    /// last. What finds no room is not taken.
    pub(super) fn take(&mut self, said: &Provider, now: Time) -> bool {
        if said.size > MAX_FILE_BYTES {
            return false;
        }
        let old = self.names.get(&said.name).and_then(|named| named.sharers.get(&said.peer));
        match old.copied() {
            Some(old) if old.serial >= said.serial && !old.has_ended(now) => return false,
            Some(_) => {}
            None if !self.has_room(said, now) => return false,
            None => {
                self.total += 1;
                *self.of_peer.entry(said.peer).or_default() += 1;
            }
        }
        let withdrawn = said.lifetime_s == 0;
        let life = Duration::from_secs(said.lifetime_s.into());
        let life = if withdrawn { LIFETIME } else { life.min(LIFETIME) };
        let Provider { root, size, downloaded, serial, .. } = *said;
        let entry = Entry { root, size, downloaded, serial, ends: now + life, withdrawn };
        self.names
            .entry(said.name.clone())
            .or_insert_with_key(|name| Named {
                point: Point::of(name.as_str()),
                sharers: BTreeMap::new(),
            })
            .sharers
            .insert(said.peer, entry);
        true
    }

    /// Whether one more record fits in; a name that is full gives up what it
    /// holds of the dead.
    fn has_room(&mut self, said: &Provider, now: Time) -> bool {
        if self.of_peer.get(&said.peer).is_some_and(|count| *count >= MAX_OF_PEER) {
            return false;
        }
        if let Some(named) = self.names.get(&said.name)
            && named.sharers.len() >= MAX_OF_NAME
        {
            let dead = named.sharers.iter().find(|(_, entry)| !entry.is_live(now));
            let Some(dead) = dead.map(|(peer, _)| *peer) else { return false };
            self.remove(&said.name, dead);
        }
        self.total < MAX_RECORDS
    }

    fn remove(&mut self, name: &FileName, peer: Peer) {
        let Some(named) = self.names.get_mut(name) else { return };
        if named.sharers.remove(&peer).is_some() {
            self.total -= 1;
            discount(&mut self.of_peer, peer);
        }
        if named.sharers.is_empty() {
            self.names.remove(name);
        }
    }

    /// Forgets what has ended.
    pub(super) fn prune(&mut self, now: Time) {
        let Table { names, of_peer, total } = self;
        names.retain(|_, named| {
            named.sharers.retain(|peer, entry| {
                let ended = entry.has_ended(now);
                if ended {
                    *total -= 1;
                    discount(of_peer, *peer);
                }
                !ended
            });
            !named.sharers.is_empty()
        });
    }

    /// The live records of a name, in the order of their sharers.
    pub(super) fn of(&self, name: &FileName, now: Time) -> Vec<Provider> {
        let sharers = self.names.get(name).into_iter().flat_map(|named| &named.sharers);
        sharers
            .filter(|(_, entry)| entry.is_live(now))
            .filter_map(|(peer, entry)| entry.told(name, *peer, now))
            .collect()
    }

    /// How many share this content under this name.
    pub(super) fn sources(&self, name: &FileName, root: &ContentHash, now: Time) -> u16 {
        let sharers = self.names.get(name).into_iter().flat_map(|named| named.sharers.values());
        let count = sharers.filter(|entry| entry.is_live(now) && entry.root == *root).count();
        u16::try_from(count).unwrap_or(u16::MAX)
    }

    /// What is to be told to others of one record, if anything.
    pub(super) fn told(&self, name: &FileName, peer: Peer, now: Time) -> Option<Provider> {
        self.names.get(name)?.sharers.get(&peer)?.told(name, peer, now)
    }

    /// The next records with keys that are wanted, from behind `after`, as they
    /// are told to others; at most [`MAX_PAGE`].
    pub(super) fn page(
        &self,
        space: Space,
        wanted: impl Fn(Id) -> bool,
        after: Option<&Place>,
        now: Time,
    ) -> Vec<Provider> {
        let from = after.map_or(Bound::Unbounded, |(name, _)| Bound::Included(name));
        self.names
            .range((from, Bound::Unbounded))
            .filter(|(_, named)| wanted(space.at(named.point)))
            .flat_map(|(name, named)| {
                named.sharers.iter().map(move |(peer, entry)| (name, *peer, entry))
            })
            .filter(|(name, peer, _)| {
                after.is_none_or(|(last, sharer)| *name != last || peer > sharer)
            })
            .filter_map(|(name, peer, entry)| entry.told(name, peer, now))
            .take(MAX_PAGE)
            .collect()
    }

    /// How many records there are, markers included.
    #[cfg(test)]
    pub(super) const fn len(&self) -> usize {
        self.total
    }
}

fn discount(counts: &mut BTreeMap<Peer, usize>, peer: Peer) {
    if let Some(count) = counts.get_mut(&peer) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&peer);
        }
    }
}
