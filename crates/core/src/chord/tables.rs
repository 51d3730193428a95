//! The routing tables of a node: predecessor, successors, fingers.

use serde::{Deserialize, Serialize};

use crate::id::{Id, Space};
use crate::peer::Peer;

use super::fingers::{Fingers, first_beyond};
use super::input::Config;
use super::successors::SuccessorList;
use super::view::{Membership, RingView};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tables {
    pub(super) predecessor: Option<Peer>,
    pub(super) successors: SuccessorList,
    pub(super) fingers: Fingers,
}

impl Tables {
    /// Whether no other node is known.
    pub(super) fn is_alone(&self) -> bool {
        self.successors.is_empty() && self.predecessor.is_none()
    }

    /// Whether the list reaches round the ring: it ends at the predecessor.
    pub(super) fn knows_everyone(&self) -> bool {
        self.successors.last() == self.predecessor
    }

    /// Whether `peer` is the predecessor or a successor.
    pub(super) fn neighbours(&self, peer: Peer) -> bool {
        self.predecessor == Some(peer) || self.successors.contains(peer)
    }

    /// What the files and the sharers see of the ring.
    pub(super) fn view(&self, config: &Config, me: Peer, membership: Membership) -> RingView<'_> {
        // A node that left is a ring of its own.
        let membership =
            if membership == Membership::Left { Membership::Member } else { membership };
        RingView {
            space: config.space(),
            me,
            predecessor: self.predecessor,
            successors: self.successors.as_slice(),
            replicas: config.params.replicas,
            membership,
        }
    }

    /// All fingers by their definition.
    pub(super) fn rows(&self, space: Space, me: Peer, r: usize) -> Vec<Finger> {
        let home = me.id(space);
        let list = self.successors.as_slice();
        let first = first_beyond(space, me, self.successors.last());
        (0..space.bits())
            .map(|index| {
                let start = space.finger_start(home, index);
                let node = if index < first {
                    list.iter().copied().find(|node| start.within(home, node.id(space)))
                } else if self.knows_everyone() {
                    Some(me)
                } else {
                    // A list that is not full has run into its own end: no
                    // other is known between its last entry and this node.
                    let own = (list.len() < r).then_some(me);
                    self.fingers.row(index).or(own)
                };
                Finger { index, start, node }
            })
            .collect()
    }
}

/// A place of a finger table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finger {
    /// 0 to m−1.
    pub index: u8,
    /// `id + 2^index mod 2^m`.
    pub start: Id,
    /// The first node at or after `start`, as far as known. The node itself
    /// when it is alone or the interval wraps to it.
    pub node: Option<Peer>,
}
