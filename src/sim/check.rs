//! Whether the ring is as it should be, at any moment.

use crate::chord::invariant::{Members, NodeState, Report};
use crate::chord::{Node, Standing};

use super::World;

impl World {
    fn states(&self) -> Vec<NodeState> {
        self.nodes().map(Node::ring_state).collect()
    }

    /// The ring's properties (Zave), over all live members.
    pub fn ring(&self) -> Report {
        Members::new(self.space, &self.states()).report()
    }

    /// Whether the ring is ideal: every living host is a member, and each list
    /// and predecessor is what the members say that it should be.
    pub fn is_ideal(&self) -> bool {
        let positions = self.hosts.iter().filter(|host| host.lives());
        let mut nodes = positions.flat_map(|host| &host.positions);
        nodes.all(|position| position.entered && position.node.standing() == Standing::Member)
            && Members::new(self.space, &self.states()).ideal(self.setup.successors)
    }
}
