//! What a driver may see of a node. Nothing here changes anything.

use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Provider, Record};
use crate::time::Time;
use crate::wire::handshake::Params;
use crate::wire::query::HeldFile;

use super::input::Config;
use super::invariant::NodeState;
use super::node::Node;
use super::tables::Finger;
use super::view::Membership;

impl Node {
    /// The node itself.
    pub const fn peer(&self) -> Peer {
        self.me
    }

    /// What it is told to be.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What it shares with the other members of its ring.
    pub fn params(&self) -> &Params {
        &self.config.params
    }

    /// What it is to its ring.
    pub const fn membership(&self) -> Membership {
        self.membership
    }

    /// The node before it, where known.
    pub const fn predecessor(&self) -> Option<Peer> {
        self.tables.predecessor
    }

    /// The nodes after it, nearest first.
    pub fn successors(&self) -> &[Peer] {
        self.tables.successors.as_slice()
    }

    /// Peers once seen on the ring that are not neighbours now: dead, left,
    /// further away, or cut off.
    pub fn remembered(&self) -> Vec<Peer> {
        self.remembered.peers().collect()
    }

    /// Whether a peer is known to have left the ring in order, and not to have come
    /// back.
    pub fn has_departed(&self, peer: Peer) -> bool {
        self.remembered.has_departed(peer)
    }

    /// All of these.
    pub(super) fn departed(&self) -> impl Iterator<Item = Peer> {
        self.remembered.departed()
    }

    /// The whole finger table.
    pub fn fingers(&self) -> Vec<Finger> {
        self.tables.rows(self.space(), self.me, self.config.successors)
    }

    /// Its tables, for [`super::invariant`].
    pub fn ring_state(&self) -> NodeState {
        NodeState {
            peer: self.me,
            predecessor: self.tables.predecessor,
            successors: self.tables.successors.as_slice().to_vec(),
        }
    }

    /// The files held here, in the order of their names.
    pub fn files_held(&self) -> Vec<HeldFile> {
        self.replicas.rows(&self.ring_view(), None).collect()
    }

    /// At most `most` of [`Node::files_held`], from behind a name.
    pub fn files_page(&self, after: Option<&FileName>, most: usize) -> Vec<HeldFile> {
        self.replicas.rows(&self.ring_view(), after).take(most).collect()
    }

    /// How many of the files that this node owns have fewer copies than wanted.
    pub fn files_below(&self) -> usize {
        self.replicas.below(&self.ring_view())
    }

    /// All durable records, tombstones included, in the order of their names.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.replicas.records()
    }

    /// The durable record under this name, which may be a tombstone.
    pub fn record(&self, name: &FileName) -> Option<&Record> {
        self.replicas.record(name)
    }

    /// The same; without one, the record whose bytes this node has yet to get
    /// from those of [`Node::holders`].
    pub fn known_record(&self, name: &FileName) -> Option<&Record> {
        self.replicas.best(name)
    }

    /// Whether another node is known to hold what is held here under this name.
    pub fn is_elsewhere(&self, name: &FileName) -> bool {
        self.replicas.is_elsewhere(&self.ring_view(), name)
    }

    /// Who holds the newest version known here durably, this node first.
    pub fn holders(&self, name: &FileName) -> Vec<Peer> {
        self.replicas.holders(&self.ring_view(), name)
    }

    /// Who shares this name, as far as this node has been told and as it still
    /// holds at the time `now`; lifetimes are what is left of them.
    pub fn providers(&self, name: &FileName, now: Time) -> Vec<Provider> {
        self.providers.of(name, now)
    }
}
