//! What a node does without a guard ([`super::guards`]).

use crate::peer::Peer;

use super::effect::Notice;
use super::guards::Guards;
use super::node::{Heard, Node, Turn};
use super::successors::SuccessorList;

impl Node {
    /// The same node with these guards: for the model checker.
    pub fn with_guards(mut self, guards: Guards) -> Node {
        self.guards = guards;
        self
    }

    /// `⌈peers⌉r`, in which a node that runs round the ring meets itself.
    pub(super) fn list_with_self(&self, peers: impl IntoIterator<Item = Peer>) -> SuccessorList {
        let (space, me) = (self.space(), self.me);
        let mut others: Vec<Peer> = Vec::new();
        let mut round = false;
        for peer in peers {
            let distance = |peer: &Peer| space.distance(me.id(space), peer.id(space));
            round =
                peer == me || others.last().is_some_and(|last| distance(&peer) <= distance(last));
            if round {
                break;
            }
            others.push(peer);
        }
        if round || others.is_empty() {
            others.push(me);
        }
        SuccessorList::unguarded(others, self.config.successors)
    }

    /// The first successor is this node itself: asks itself.
    pub(super) fn ask_self(&mut self, turn: &mut Turn) {
        if let Some(p) = self.tables.predecessor.filter(|p| *p != self.me) {
            self.ask_between(p, self.me, turn);
        }
    }

    /// The first successor named a node before itself, which is believed to live.
    pub(super) fn adopt_unheard(&mut self, named: Peer, turn: &mut Turn) {
        let old = self.tables.successors.as_slice().iter().copied();
        let list = self.list(std::iter::once(named).chain(old));
        self.adopt(list, turn);
        self.end_round(named, turn);
    }

    /// The first half of an assignment: the new first successor.
    pub(super) fn first_only(&self, heard: &Heard) -> SuccessorList {
        self.list([heard.from])
    }

    /// Word of a death is believed.
    pub(super) fn bury(&mut self, peer: Peer, turn: &mut Turn) {
        if self.tables.neighbours(peer) {
            turn.notice(Notice::Dropped(peer));
        }
        let left = self.tables.successors.as_slice().iter().copied().filter(|p| *p != peer);
        let list = self.list(left.collect::<Vec<_>>());
        self.adopt(list, turn);
        self.predecessor_silent(peer, None, turn);
    }
}
