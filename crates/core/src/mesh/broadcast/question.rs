//! The question that travels down the tree of a search, the rule for fair questions, and
//! intervals of the ring as seen from a node.

use crate::id::{Id, Space};
use crate::limits::MAX_PATTERN_BYTES;
use crate::peer::Peer;
use crate::wire::mesh::SearchId;

/// Maximum number of messages from the origin to a node: a ring without fingers is crossed
/// one successor list at a time, which for thousands of nodes takes this many. A greater
/// depth is a lie.
pub const MAX_DEPTH: u8 = 200;

/// A question on its way down the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The search.
    pub search: SearchId,
    /// The pattern.
    pub pattern: String,
    /// Exclusive end of the interval, which begins just after the receiver.
    pub until: Id,
    /// Number of messages from the origin to the receiver.
    pub depth: u8,
}

/// Whether `from` may ask `me` this: `from` must lie between the origin and `me`, and the
/// interval must not reach beyond the origin. So questions, and nodes that wait for
/// answers, follow the order of the ring and cannot form a loop, whatever a peer invents.
pub fn is_fair(space: Space, me: Peer, from: Peer, question: &Question) -> bool {
    let origin = question.search.origin.id(space);
    let steps = |id: Id| space.distance(origin, id);
    let (asker, here) = (steps(from.id(space)), steps(me.id(space)));
    question.pattern.len() <= MAX_PATTERN_BYTES
        && (1..=MAX_DEPTH).contains(&question.depth)
        && asker < here
        && (question.until == origin || here < steps(question.until))
        // The first node that asks is the origin itself.
        && (question.depth == 1) == (from == question.search.origin)
}

/// Number of places between `me` and `id`: 0 just after `me`, and the maximum for `me`
/// itself, which as the end of an interval makes it the whole ring.
pub(super) fn offset(space: Space, me: Peer, id: Id) -> u128 {
    space.distance(me.id(space), id).wrapping_sub(1)
}

/// Whether `peer` lies in the interval from `first`, inclusive, to `until`.
pub(super) fn is_part(space: Space, first: Peer, until: Id, peer: Peer) -> bool {
    peer == first || offset(space, first, peer.id(space)) < offset(space, first, until)
}
