//! What the files and the sharers of a node see of the ring.

use crate::id::{Id, Space};
use crate::peer::Peer;

use super::placement::others;

/// What a node is to its ring: whether and how it belongs to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Membership {
    /// Not started yet.
    New,
    /// On its way in; answers nothing but pings.
    Joining,
    /// A member; with an empty successor list it is the only one.
    Member,
    /// On its way out: hands over its files, still serves reads.
    Leaving,
    /// Out: to its own user the only member of a ring of its own. Those of the
    /// ring that it left do not find it there, so that it stays out; a node that
    /// joins it makes it a member again.
    Left,
}

/// What the files need to know of the ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingView<'a> {
    /// The identifiers' space.
    pub(super) space: Space,
    /// This node.
    pub(super) me: Peer,
    /// Its predecessor, where known.
    pub(super) predecessor: Option<Peer>,
    /// Its successor list: in ring order, without itself and duplicates.
    pub(super) successors: &'a [Peer],
    /// Copies wanted of each record, k.
    pub(super) replicas: u8,
    /// What this node is to the ring.
    pub(super) membership: Membership,
}

impl RingView<'_> {
    /// The keys up to this node, whether or not it still answers for them.
    /// `None` while it is not alone and knows no predecessor.
    pub(super) fn span(&self) -> Option<Span> {
        let to = self.me.id(self.space);
        if self.successors.is_empty() {
            Some(Span { from: to, to })
        } else {
            self.predecessor.map(|before| Span { from: before.id(self.space), to })
        }
    }

    /// The keys that this node surely owns.
    pub(super) fn range(&self) -> Option<Span> {
        if self.membership == Membership::Member { self.span() } else { None }
    }

    /// Whether the key may be this node's. Without a known predecessor it
    /// cannot tell, and the asker was led here by a lookup.
    pub(super) fn may_own(&self, key: Id) -> bool {
        self.membership == Membership::Member && self.span().is_none_or(|span| span.contains(key))
    }

    /// The next hosts, each by its first position behind this node.
    pub(super) fn others(&self) -> impl Iterator<Item = Peer> + use<'_> {
        others(self.me, self.successors.iter().copied())
    }

    /// The others that hold copies of what this node owns: by
    /// [`super::placement::placement`], the next k−1 hosts.
    pub(super) fn partners(&self) -> Vec<Peer> {
        self.others().take(usize::from(self.replicas.saturating_sub(1))).collect()
    }

    /// The hosts behind those, each by its first position.
    pub(super) fn behind(&self) -> Vec<Peer> {
        self.others().skip(usize::from(self.replicas.saturating_sub(1))).collect()
    }

    /// The next node that does not leave with this one: of another host.
    pub(super) fn heir(&self) -> Option<Peer> {
        self.others().next()
    }

    /// Copies wanted of a record that this node owns.
    pub(super) fn wanted(&self) -> u8 {
        1 + self.partners().len() as u8
    }
}

/// The keys in (`from`, `to`]; all of them when both are the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Span {
    /// Exclusive.
    pub(super) from: Id,
    /// Inclusive.
    pub(super) to: Id,
}

impl Span {
    /// Whether a key is one of them.
    pub(super) fn contains(self, key: Id) -> bool {
        key.within(self.from, self.to)
    }
}
