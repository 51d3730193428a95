//! What owners claim of the copies that are kept here: which keys are theirs, and
//! how many copies there are of each record.
//!
//! A holder counts nothing: it shows what the owner of a record counts. What the
//! owner has not counted yet, or what has come here since it last said so, is
//! "counting", as is everything of an owner that is gone.

use crate::id::Id;
use crate::limits::MAX_BELOW;
use crate::peer::Peer;
use crate::record::CopyCount;
use crate::wire::message::{Below, Counted};

use super::super::view::Span;

/// Repair rounds after which a claim of ownership that was not renewed no
/// longer covers a copy: one lost question must not make a copy look misplaced.
const COVER_ROUNDS: u8 = 3;

/// An owner's claim to keys of which this node keeps copies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Cover {
    owner: Peer,
    span: Span,
    /// The copies of the records in it; `None`: not known (any more).
    counted: Option<Counted>,
    /// Own repair rounds since it was renewed.
    age: u8,
}

/// The claims, the latest last: where two overlap, the later one is right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Covers(Vec<Cover>);

impl Covers {
    /// An owner said how many copies there are of what it owns.
    pub(super) fn told(&mut self, owner: Peer, span: Span, mut counted: Counted) {
        counted.below = counted.below.filter(|below| below.len() <= MAX_BELOW);
        self.0.retain(|cover| cover.owner != owner);
        self.0.push(Cover { owner, span, counted: Some(counted), age: 0 });
    }

    /// These keys were found to be another node's, which wants a copy here.
    pub(super) fn found(&mut self, owner: Peer, span: Span) {
        let known = self.0.iter().position(|cover| cover.owner == owner);
        let counted = known.and_then(|at| self.0.remove(at).counted);
        self.0.push(Cover { owner, span, counted, age: 0 });
    }

    /// Whether an owner claims this key.
    pub(super) fn has(&self, key: Id) -> bool {
        self.of(key).is_some()
    }

    /// Those that claim this key.
    pub(super) fn owners(&self, key: Id) -> Vec<Peer> {
        let mut owners: Vec<Peer> = self
            .0
            .iter()
            .filter(|cover| cover.span.contains(key))
            .map(|cover| cover.owner)
            .collect();
        owners.sort_unstable();
        owners
    }

    /// The copies of a record and those wanted, as its owner last said.
    pub(super) fn copies(&self, key: Id, leaf: u64) -> Option<(u8, u8, CopyCount)> {
        let Counted { wanted, below } = self.of(key)?.counted.as_ref()?;
        let Some(below) = below else { return Some((1, *wanted, CopyCount::Counting)) };
        Some(match below.iter().find(|below| below.leaf == leaf) {
            Some(below) => (below.copies, *wanted, below.count),
            None => (*wanted, *wanted, CopyCount::Known),
        })
    }

    /// A record has come here of which its owner has said nothing yet.
    pub(super) fn arrived(&mut self, key: Id, leaf: u64) {
        let cover = self.0.iter_mut().rev().find(|cover| cover.span.contains(key));
        let Some(counted) = cover.and_then(|cover| cover.counted.as_mut()) else { return };
        let Some(below) = &mut counted.below else { return };
        below.retain(|below| below.leaf != leaf);
        below.push(Below { leaf, copies: 1, count: CopyCount::Counting });
        if below.len() > MAX_BELOW {
            counted.below = None;
        }
    }

    /// Forgets the counts of the owners for which `gone` holds. The keys stay covered:
    /// the node that owns them now will say so.
    pub(super) fn void(&mut self, gone: impl Fn(Peer) -> bool) {
        for cover in self.0.iter_mut().filter(|cover| gone(cover.owner)) {
            cover.counted = None;
        }
    }

    /// One more repair round without a sign of the owners.
    pub(super) fn age(&mut self) {
        self.0.retain_mut(|cover| {
            cover.age += 1;
            cover.age <= COVER_ROUNDS
        });
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn of(&self, key: Id) -> Option<&Cover> {
        self.0.iter().rev().find(|cover| cover.span.contains(key))
    }
}
