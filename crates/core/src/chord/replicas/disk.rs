//! The records on a node's disk, and those that it answers for while they are on
//! others, by name and by the tree that comparisons walk.
//!
//! Two nodes that should hold the same compare digests of their records, and
//! where these differ, of sixteen parts of them, and so on. The parts follow
//! from a hash of the names and not from their keys: on a small ring many names
//! share a key. So d differences among n records cost O(d log n) to find, and
//! no difference costs one question (a Merkle tree, as in Dynamo, DeCandia et
//! al. 2007, §4.7, though nothing of it is stored).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::id::{Id, Point, Space};
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Obstacle, Record};
use crate::wire::message::{BRANCHES, Branch, Digest};

use super::super::view::{RingView, Span};
use super::copies::Copies;

/// A record that is durable: on this node's disk, or, at the owner of its name,
/// on those of others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Durable {
    pub(super) record: Record,
    bytes: Bytes,
    /// The name's hash: its key, before the ring's size is known.
    pub(super) point: Point,
    /// Its part of a [`Digest`].
    pub(super) print: u128,
    /// What is known of the copies on other nodes.
    pub(super) others: Copies,
}

/// Where the bytes of a record are.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Bytes {
    /// On this disk.
    Here,
    /// On other disks only.
    Elsewhere {
        /// OfferReason this node, which owns the name, cannot store it.
        obstacle: Obstacle,
        /// The older record of the name that this disk still has.
        older: Option<Box<Record>>,
    },
}

impl Durable {
    pub(super) fn new(record: Record) -> Durable {
        let point = Point::of(record.name.as_str());
        let print = fingerprint(&record);
        Durable { record, bytes: Bytes::Here, point, print, others: Copies::default() }
    }

    /// A record whose bytes are on other disks.
    pub(super) fn elsewhere(record: Record, obstacle: Obstacle) -> Durable {
        let bytes = Bytes::Elsewhere { obstacle, older: None };
        Durable { bytes, ..Durable::new(record) }
    }

    /// OfferReason this node, which owns the name, cannot store it; `None`: it is on this disk.
    pub(super) const fn obstacle(&self) -> Option<Obstacle> {
        match self.bytes {
            Bytes::Here => None,
            Bytes::Elsewhere { obstacle, .. } => Some(obstacle),
        }
    }

    /// Whether it is on this disk.
    pub(super) const fn is_here(&self) -> bool {
        matches!(self.bytes, Bytes::Here)
    }

    pub(super) fn key(&self, space: Space) -> Id {
        space.at(self.point)
    }

    /// Copies known, this one included.
    pub(super) fn copies(&self) -> u8 {
        u8::from(self.is_here()) + self.others.holders().count() as u8
    }

    /// Copies without which none is given up: as many as are wanted, or as there
    /// are nodes beside an owner that cannot store it.
    pub(super) fn safe(&self, ring: &RingView<'_>) -> u8 {
        if self.is_here() {
            return ring.wanted();
        }
        usize::from(ring.replicas).min(ring.others().count()).max(1) as u8
    }

    /// Copies without which a put is not acknowledged: as many as are wanted, or
    /// as there are nodes that can store it.
    pub(super) fn needed(&self, ring: &RingView<'_>) -> u8 {
        let able = ring.others().filter(|peer| !self.others.is_unable(*peer)).count();
        usize::from(ring.replicas).min(able + usize::from(self.is_here())).max(1) as u8
    }
}

/// What the disk holds, or what others do in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    names: BTreeMap<FileName, Durable>,
    /// The same in the order of the tree; names that share a leaf in theirs.
    leaves: BTreeMap<u64, BTreeSet<FileName>>,
    /// How many names are on other disks only.
    elsewhere: usize,
}

/// What two sides compare: a part of the records in a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) struct Sum {
    /// Over the records.
    pub(super) digest: Digest,
    /// How many they are.
    pub(super) records: u32,
}

impl Disk {
    pub(super) fn get(&self, name: &FileName) -> Option<&Durable> {
        self.names.get(name)
    }

    pub(super) fn get_mut(&mut self, name: &FileName) -> Option<&mut Durable> {
        self.names.get_mut(name)
    }

    /// Puts a record in the place of any other of its name. One that is not here
    /// leaves what is here of its name on the disk.
    pub(super) fn insert(&mut self, mut durable: Durable) {
        let name = durable.record.name.clone();
        let known = self.remove(&name);
        if let Bytes::Elsewhere { older, .. } = &mut durable.bytes {
            self.elsewhere += 1;
            *older = known.and_then(|known| match known.bytes {
                Bytes::Here => Some(Box::new(known.record)),
                Bytes::Elsewhere { older, .. } => older,
            });
        }
        self.leaves.entry(leaf(&name)).or_default().insert(name.clone());
        self.names.insert(name, durable);
    }

    pub(super) fn remove(&mut self, name: &FileName) -> Option<Durable> {
        let removed = self.names.remove(name)?;
        self.elsewhere -= usize::from(!removed.is_here());
        if let Entry::Occupied(mut leaf) = self.leaves.entry(leaf(name)) {
            leaf.get_mut().remove(name);
            if leaf.get().is_empty() {
                leaf.remove();
            }
        }
        Some(removed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// The bytes of a record have come.
    pub(super) fn arrived(&mut self, name: &FileName) {
        if let Some(held) = self.names.get_mut(name).filter(|held| !held.is_here()) {
            held.bytes = Bytes::Here;
            self.elsewhere -= 1;
        }
    }

    pub(super) const fn count_elsewhere(&self) -> usize {
        self.elsewhere
    }

    /// The names that are on other disks only, in their order, from behind `after`.
    pub(super) fn elsewhere<'a>(
        &'a self,
        after: Option<&FileName>,
    ) -> impl Iterator<Item = &'a FileName> + use<'a> {
        // Where there are none, nothing is searched.
        let elsewhere = self.behind(after).filter(|held| !held.is_here()).take(self.elsewhere);
        elsewhere.map(|held| &held.record.name)
    }

    /// What the disk still has of a name that is on others; asked once.
    pub(super) fn take_older(&mut self, name: &FileName) -> Option<Record> {
        match &mut self.names.get_mut(name)?.bytes {
            Bytes::Here => None,
            Bytes::Elsewhere { older, .. } => older.take().map(|older| *older),
        }
    }

    /// The disk still has this of the name; whether the name is on others.
    pub(super) fn put_older(&mut self, older: &Record) -> bool {
        let held = self.names.get_mut(&older.name);
        let Some(Bytes::Elsewhere { older: known, .. }) = held.map(|held| &mut held.bytes) else {
            return false;
        };
        *known = Some(Box::new(older.clone()));
        true
    }

    /// All records, in the order of their names.
    pub(super) fn values(&self) -> impl Iterator<Item = &Durable> {
        self.names.values()
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Durable> {
        self.names.values_mut()
    }

    /// The records behind this name, in the order of their names.
    pub(super) fn behind<'a>(
        &'a self,
        after: Option<&FileName>,
    ) -> impl Iterator<Item = &'a Durable> + use<'a> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.names.range::<FileName, _>((from, Bound::Unbounded)).map(|(_, held)| held)
    }

    /// The records of a branch behind this name, in the order of the tree.
    pub(super) fn branch<'a>(
        &'a self,
        branch: Branch,
        after: Option<&FileName>,
    ) -> impl Iterator<Item = &'a Durable> + use<'a> {
        let last = after.cloned().map(|name| (leaf(&name), name));
        let first = last.as_ref().map_or(branch.first(), |(leaf, _)| branch.first().max(*leaf));
        let range = (first <= branch.last()).then(|| self.leaves.range(first..=branch.last()));
        let names = range.into_iter().flatten();
        let names = names.flat_map(|(leaf, names)| names.iter().map(move |name| (*leaf, name)));
        names
            .filter(move |(leaf, name)| last.as_ref().is_none_or(|(l, n)| (*leaf, *name) > (*l, n)))
            .filter_map(|(_, name)| self.names.get(name))
    }

    /// What a part of the records in the span sums up to: of those that are
    /// here. Compared with `but`, of all that it should hold: also of those that
    /// are on other disks only, without those for which it has no room.
    pub(super) fn sum(&self, space: Space, span: Span, branch: Branch, but: Option<Peer>) -> Sum {
        let mut sum = Sum { digest: Digest(0), records: 0 };
        let mut add = |held: &Durable| {
            if span.contains(held.key(space)) && counts(held, but) {
                sum.digest.0 = sum.digest.0.wrapping_add(held.print);
                sum.records = sum.records.saturating_add(1);
            }
        };
        if branch == Branch::ALL {
            // Asked in every round, of every record: without a search for each.
            self.values().for_each(&mut add);
        } else {
            self.branch(branch, None).for_each(&mut add);
        }
        sum
    }

    /// The digests of a branch's branches, in order; none when it has none.
    /// Of the same records as [`Disk::sum`].
    pub(super) fn digests(
        &self,
        space: Space,
        span: Span,
        branch: Branch,
        but: Option<Peer>,
    ) -> Vec<Digest> {
        let mut digests = vec![Digest(0); if branch.is_deepest() { 0 } else { BRANCHES }];
        let held = self.branch(branch, None).filter(|held| span.contains(held.key(space)));
        for held in held.filter(|held| counts(held, but)) {
            if let Some(digest) = digests.get_mut(branch.child_of(leaf(&held.record.name))) {
                digest.0 = digest.0.wrapping_add(held.print);
            }
        }
        digests
    }
}

/// Whether the record is part of a sum: what is here, or what this peer should
/// hold.
fn counts(held: &Durable, peer: Option<Peer>) -> bool {
    peer.map_or(held.is_here(), |peer| !held.others.is_unable(peer))
}

/// A name's place in the tree: the same on every node, and spread evenly.
pub(super) fn leaf(name: &FileName) -> u64 {
    let mut first = [0u8; 8];
    first.copy_from_slice(&blake3::hash(name.as_str().as_bytes()).as_bytes()[..8]);
    u64::from_be_bytes(first)
}

/// A record's part of a digest: half a BLAKE3 hash over name and version.
/// Sums of these agree by accident once in 2^128.
fn fingerprint(record: &Record) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(record.name.as_str().as_bytes());
    hasher.update(&record.version.counter.to_le_bytes());
    hasher.update(&record.version.root.0);
    let mut half = [0u8; 16];
    half.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    u128::from_le_bytes(half)
}
