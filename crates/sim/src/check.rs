//! Checks of the whole ring at any moment.

use chordal_core::chord::Node;
use chordal_core::chord::invariant::{Members, NodeState, Report};

use super::World;

impl World {
    fn states(&self) -> Vec<NodeState> {
        self.nodes().map(Node::ring_state).collect()
    }

    /// The ring's properties (Zave), over all live members.
    pub fn ring(&self) -> Report {
        Members::new(self.space, &self.states()).report()
    }

    /// Whether all living hosts are members and nothing has changed for a while.
    pub fn is_settled(&self) -> bool {
        let living = self.hosts.iter().filter(|host| host.lives());
        living.flat_map(|host| &host.positions).all(|position| position.listed.is_some())
            && self.nodes().all(|node| node.is_steady(self.now()))
    }

    /// Whether the ring is ideal: all positions of all living hosts are members,
    /// and each list and predecessor is what the members say that it should be.
    pub fn is_ideal(&self) -> bool {
        let living = self.hosts.iter().filter(|host| host.lives());
        living.flat_map(|host| &host.positions).all(|position| position.listed.is_some())
            && Members::new(self.space, &self.states()).is_ideal(&self.config)
    }
}
