//! What a driver may see of a host. Nothing here changes anything.
//!
//! What only one position can have (its neighbours, its fingers) is that of the
//! first one, by which a host is known; files are those of all.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Provider, Record};
use crate::time::Time;
use crate::wire::handshake::Params;
use crate::wire::query::HeldFile;

use super::super::census::CensusState;
use super::super::input::Config;
use super::super::invariant::NodeState;
use super::super::node::Node;
use super::super::tables::Finger;
use super::super::view::Membership;
use super::{Host, Slot};

impl Host {
    /// Its first position: who it is to people.
    pub fn peer(&self) -> Peer {
        self.first().peer()
    }

    /// All its positions that are on the ring or on their way, by slot.
    pub fn positions(&self) -> Vec<Peer> {
        let off = |node: &&Node| matches!(node.membership(), Membership::New | Membership::Left);
        let on = self.nodes.iter().skip(1).filter(|node| !off(node)).map(Node::peer);
        std::iter::once(self.peer()).chain(on).collect()
    }

    /// How many positions it may have.
    pub fn vnodes(&self) -> u16 {
        self.count()
    }

    /// The nodes of its positions, by slot.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The node of a position.
    pub fn node(&self, slot: Slot) -> Option<&Node> {
        self.nodes.get(usize::from(slot))
    }

    /// What it is told to be.
    pub fn config(&self) -> &Config {
        self.first().config()
    }

    /// What it shares with the other members of its ring.
    pub fn params(&self) -> &Params {
        self.first().params()
    }

    /// What its first position is to the ring.
    pub fn membership(&self) -> Membership {
        self.first().membership()
    }

    /// The node before the first position, where known.
    pub fn predecessor(&self) -> Option<Peer> {
        self.first().predecessor()
    }

    /// The nodes after the first position, nearest first.
    pub fn successors(&self) -> &[Peer] {
        self.first().successors()
    }

    /// Peers once seen on the ring that are not neighbours now.
    pub fn remembered(&self) -> Vec<Peer> {
        self.first().remembered()
    }

    /// Whether a peer is known to have left the ring in order, and not to have come
    /// back.
    pub fn has_departed(&self, peer: Peer) -> bool {
        self.nodes.iter().any(|node| node.has_departed(peer))
    }

    /// All of these.
    pub fn departed(&self) -> Vec<Peer> {
        self.nodes.iter().flat_map(Node::departed).collect()
    }

    /// The finger table of the first position.
    pub fn fingers(&self) -> Vec<Finger> {
        self.first().fingers()
    }

    /// All members known, and how much of the ring they are: by the census of the
    /// first position, and its own ones.
    pub fn members(&self) -> (Vec<Peer>, CensusState) {
        let (mut members, state) = self.first().members();
        let space = self.params().space;
        let joined = self.nodes.iter().skip(1).filter(|n| n.membership() == Membership::Member);
        // One that lost its ring is no member of this one.
        members.extend(joined.filter(|n| !n.successors().is_empty()).map(Node::peer));
        members.sort_by_key(|peer| (peer.id(space), *peer));
        members.dedup();
        (members, state)
    }

    /// Whether no other host is known on its ring.
    pub fn is_alone(&self) -> bool {
        let me = self.peer().address();
        let others = |node: &Node| {
            node.successors().iter().chain(&node.predecessor()).any(|peer| peer.address() != me)
        };
        !self.nodes.iter().any(others)
    }

    /// How many files are held here, and how many bytes they are.
    pub fn volume(&self) -> (usize, u64) {
        let mut sizes: BTreeMap<&FileName, u64> = BTreeMap::new();
        for record in self.nodes.iter().flat_map(Node::records).filter(|r| !r.is_deleted()) {
            sizes.insert(&record.name, record.size());
        }
        (sizes.len(), sizes.into_values().sum())
    }

    /// The contents of the files that are held here.
    pub fn contents(&self) -> BTreeSet<ContentHash> {
        let records = self.nodes.iter().flat_map(Node::records).filter(|r| !r.is_deleted());
        records.map(|record| record.version.root).collect()
    }

    /// The positions of this host, and what the other members last said of their
    /// neighbours to the first one.
    pub fn observed(&self) -> Vec<NodeState> {
        let mut observed = self.first().observed();
        let own = self.nodes.iter().skip(1);
        let own: Vec<NodeState> = own
            .filter(|node| node.membership() == Membership::Member && !node.successors().is_empty())
            .map(Node::ring_state)
            .collect();
        observed.retain(|state| !own.iter().any(|known| known.peer == state.peer));
        observed.extend(own);
        observed
    }

    /// Whether the ring has been as it is for a while, as far as each position sees.
    pub fn is_settled(&self, now: Time) -> bool {
        let idle = |node: &Node| matches!(node.membership(), Membership::New | Membership::Left);
        let others = self.nodes.iter().skip(1).filter(|node| !idle(node));
        std::iter::once(self.first()).chain(others).all(|node| node.is_settled(now))
    }

    /// Hosts known in the last ten minutes that are gone and have not left.
    pub fn missed(&self, now: Time) -> usize {
        let (members, me) = (self.members().0, self.peer().address());
        let here = |address: &SocketAddr| members.iter().any(|peer| peer.address() == *address);
        let missed = self.first().missed(now);
        let missed: BTreeSet<SocketAddr> = missed.iter().map(Peer::address).collect();
        missed.iter().filter(|address| **address != me && !here(address)).count()
    }

    /// Of how many hosts this one is cut off: when it sees less than half of those
    /// that it knew in the last ten minutes and that have not left.
    pub fn cut_off(&self, now: Time) -> Option<usize> {
        let missed = self.missed(now);
        let members = self.members().0;
        let here: BTreeSet<SocketAddr> = members.iter().map(Peer::address).collect();
        let others = here.len().saturating_sub(1);
        (self.membership() == Membership::Member && missed > others).then_some(missed)
    }

    /// How many of the files that this host owns have fewer copies than wanted.
    pub fn files_below(&self) -> usize {
        self.nodes.iter().map(Node::files_below).sum()
    }

    /// The nodes after each of its positions.
    pub fn neighbourhood(&self) -> Vec<Peer> {
        let all = self.nodes.iter().flat_map(|node| node.successors().iter().copied());
        all.collect::<BTreeSet<Peer>>().into_iter().collect()
    }

    /// The position that answers for a key, or would.
    pub fn responsible(&self, key: Id) -> Slot {
        let space = self.params().space;
        let on_the_ring = |(slot, node): &(Slot, &Node)| {
            *slot == 0 || node.membership() == Membership::Member && !node.successors().is_empty()
        };
        let nodes = (0..).zip(&self.nodes).filter(on_the_ring);
        let nearest = nodes.min_by_key(|(_, node)| space.distance(key, node.peer().id(space)));
        nearest.map_or(0, |(slot, _)| slot)
    }

    /// The node of that position.
    pub fn responsible_node(&self, key: Id) -> &Node {
        &self.nodes[usize::from(self.responsible(key))]
    }

    /// Files held here.
    pub(super) fn len(&self) -> usize {
        self.files_held().len()
    }

    /// The files held here, in the order of their names, each once.
    pub fn files_held(&self) -> Vec<HeldFile> {
        self.files_page(None, usize::MAX)
    }

    /// At most `most` of [`Host::files_held`], from behind a name.
    pub fn files_page(&self, after: Option<&FileName>, most: usize) -> Vec<HeldFile> {
        if let [only] = &self.nodes[..] {
            return only.files_page(after, most);
        }
        let mut rows: BTreeMap<FileName, HeldFile> = BTreeMap::new();
        for row in self.nodes.iter().flat_map(|node| node.files_page(after, most)) {
            // Between two positions a record may be at both for a while.
            let rank = |row: &HeldFile| (row.record.version, row.owner, row.copies);
            if rows.get(&row.record.name).is_none_or(|known| rank(known) < rank(&row)) {
                rows.insert(row.record.name.clone(), row);
            }
        }
        rows.into_values().take(most).collect()
    }

    /// The durable record under this name, which may be a tombstone.
    pub fn record(&self, name: &FileName) -> Option<&Record> {
        let records = self.nodes.iter().filter_map(|node| node.record(name));
        records.max_by_key(|record| record.version)
    }

    /// The same; without one, the record whose bytes this host has yet to get.
    pub fn known_record(&self, name: &FileName) -> Option<&Record> {
        let known = || self.nodes.iter().filter_map(|node| node.known_record(name));
        self.record(name).or_else(|| known().max_by_key(|record| record.version))
    }

    /// Whether another host is known to hold what is held here under this name.
    pub fn is_elsewhere(&self, name: &FileName) -> bool {
        self.nodes.iter().any(|node| node.is_elsewhere(name))
    }

    /// Who holds the newest version known here durably, this host first.
    pub fn holders(&self, name: &FileName) -> Vec<Peer> {
        let responsible = self.responsible_node(name.key(self.params().space));
        let newest = self.known_record(name).map(|record| record.version);
        let knows = |node: &&Node| node.known_record(name).map(|record| record.version) == newest;
        let node = Some(responsible).filter(knows).or_else(|| self.nodes.iter().find(knows));
        node.map_or_else(Vec::new, |node| node.holders(name))
    }

    /// Who shares this name, as far as this host has been told.
    pub fn providers(&self, name: &FileName, now: Time) -> Vec<Provider> {
        let known = self.nodes.iter().map(|node| node.providers(name, now));
        known.max_by_key(Vec::len).unwrap_or_default()
    }

    /// The node of its first position.
    pub fn first(&self) -> &Node {
        &self.nodes[0]
    }
}
