//! The lookups under way: what each has heard, and its next step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::id::{Id, Space};
use crate::peer::Peer;
use crate::time::Time;

use super::effect::Found;
use super::input::Ticket;
use super::vec_map::VecMap;

/// What a lookup is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum LookupPurpose {
    /// [`super::Command::Lookup`].
    User(Ticket),
    /// A row of the finger table.
    Finger(u8),
    /// The node's own place on the ring that it joins.
    Join,
    /// Is the contact of this command already on this ring?
    Merge {
        /// The command.
        ticket: Ticket,
        /// Its contact.
        contact: Peer,
    },
    /// Is this remembered peer already on this ring?
    Probe(Peer),
    /// The files want to know where this key belongs.
    Files,
}

/// The lookups under way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lookups {
    pub(super) open: VecMap<u32, Lookup>,
    pub(super) next: u32,
}

impl Lookups {
    /// Whether one for such a purpose is under way.
    pub(super) fn any(&self, purpose: impl Fn(&LookupPurpose) -> bool) -> bool {
        self.open.values().any(|lookup| purpose(&lookup.why))
    }

    /// Renumbers the open lookups, in their order; what becomes of each
    /// number.
    pub(super) fn renumber(&mut self) -> BTreeMap<u32, u32> {
        let renamed = self.open.keys().copied().zip(0..).collect();
        self.next = self.open.len() as u32;
        self.open = (0..).zip(self.open.take().map(|(_, lookup)| lookup)).collect();
        renamed
    }
}

/// One lookup.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lookup {
    pub(super) key: Id,
    pub(super) why: LookupPurpose,
    /// Nodes asked, in order, when, and how long the answer took.
    pub(super) hops: Vec<(Peer, Time, Option<Duration>)>,
    /// What the nodes said that have answered, this node first if it is a
    /// member.
    pub(super) heard: Vec<Reported>,
    /// The first node to be asked when this one is on no ring.
    pub(super) contact: Option<Peer>,
    /// The tables of a leaving node: they only name nodes to ask.
    pub(super) left: Option<Reported>,
    /// Nodes that did not answer, and never this node if it is no member.
    pub(super) dead: BTreeSet<Peer>,
}

/// What one node said.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reported {
    pub(super) peer: Peer,
    pub(super) owner: bool,
    pub(super) predecessor: Option<Peer>,
    pub(super) successors: Vec<Peer>,
    /// Fingers that precede the key.
    pub(super) closer: Vec<Peer>,
}

impl Reported {
    fn named(&self) -> impl Iterator<Item = Peer> {
        self.successors.iter().chain(&self.closer).chain(&self.predecessor).copied()
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Ask(Peer),
    /// This node is the owner.
    Found(Peer),
    Failed,
}

impl Lookup {
    pub(super) fn new(key: Id, why: LookupPurpose) -> Lookup {
        Lookup {
            key,
            why,
            hops: Vec::new(),
            heard: Vec::new(),
            contact: None,
            left: None,
            dead: BTreeSet::new(),
        }
    }

    /// Every node named so far; some more than once.
    pub(super) fn known(&self) -> impl Iterator<Item = Peer> {
        let tables = self.left.iter().chain(&self.heard);
        self.contact.into_iter().chain(tables.flat_map(Reported::named))
    }

    pub(super) fn heard(&self, peer: Peer) -> Option<&Reported> {
        self.heard.iter().find(|tables| tables.peer == peer)
    }

    /// Whether there is no point in asking: asked already, or dead.
    pub(super) fn is_done(&self, peer: Peer) -> bool {
        self.dead.contains(&peer)
            || self.heard(peer).is_some()
            || self.hops.iter().any(|(asked, ..)| *asked == peer)
    }

    /// Whether a node is alone on its own ring although this one has more
    /// members: it died, came back without memory, and owns every key, as it
    /// sees it.
    pub(super) fn is_stranger(&self, tables: &Reported, me: Peer) -> bool {
        let other = |peer: &Peer| *peer != me && *peer != tables.peer && !self.dead.contains(peer);
        tables.predecessor.is_none()
            && tables.successors.is_empty()
            && self.known().any(|peer| other(&peer))
    }

    /// The first live node that some list names at or after the key.
    pub(super) fn presumed(&self, space: Space) -> Option<Peer> {
        let named = |tables: &Reported| {
            let from = tables.peer.id(space);
            let live = |peer: &&Peer| !self.dead.contains(*peer);
            let at_or_after = |peer: &&Peer| self.key.within(from, peer.id(space));
            tables.successors.iter().filter(live).find(at_or_after).copied()
        };
        let distance = |peer: &Peer| space.distance(self.key, peer.id(space));
        self.heard.iter().filter_map(named).min_by_key(distance)
    }

    pub(super) fn next(&self, space: Space, max_hops: usize) -> Step {
        if let Some(owner) = self.heard.last().filter(|tables| tables.owner) {
            return Step::Found(owner.peer);
        }
        if self.hops.len() >= max_hops {
            return Step::Failed;
        }
        // Walk back from the presumed owner, as long as nodes name a
        // predecessor that is still not before the key.
        let after = |peer: Peer| space.distance(self.key, peer.id(space));
        let mut owner = self.presumed(space);
        while let Some(peer) = owner {
            if !self.is_done(peer) {
                return Step::Ask(peer);
            }
            let nearer = self
                .heard(peer)
                .and_then(|tables| tables.predecessor)
                .filter(|p| !self.dead.contains(p) && after(*p) < after(peer));
            if nearer.is_none() {
                break;
            }
            owner = nearer;
        }
        let before = |peer: Peer| space.distance(peer.id(space), self.key);
        let reached = self
            .heard
            .iter()
            .map(|tables| before(tables.peer))
            .filter(|&distance| distance > 0)
            .min()
            .unwrap_or(u128::MAX);
        // Of two at one place, the lesser peer. Most are further off than what has
        // been found: only the others are looked up among those that are done.
        let mut closest: Option<(u128, Peer)> = None;
        for peer in self.known() {
            let found = (before(peer), peer);
            if found.0 > 0 && closest.is_none_or(|best| found < best) && !self.is_done(peer) {
                closest = Some(found);
            }
        }
        let closest = closest.map(|(_, peer)| peer);
        if let Some(peer) = closest.filter(|peer| before(*peer) < reached) {
            return Step::Ask(peer);
        }
        // No node between is left to be asked. The presumed owner may not know
        // yet that its predecessor died.
        if let Some(tables) = owner.and_then(|peer| self.heard(peer))
            && tables.predecessor.is_none_or(|p| self.dead.contains(&p))
        {
            return Step::Found(tables.peer);
        }
        let open = || self.known().filter(|peer| !self.is_done(*peer));
        match closest.or_else(|| open().min()) {
            Some(peer) => Step::Ask(peer),
            None => Step::Failed,
        }
    }

    pub(super) fn found(&self, space: Space, owner: Peer) -> Found {
        let tables = self.heard(owner);
        let live = |peer: &Peer| !self.dead.contains(peer);
        let before = || {
            let others = self.heard.iter().map(|tables| tables.peer).filter(|peer| *peer != owner);
            others.min_by_key(|peer| space.distance(peer.id(space), self.key))
        };
        let alone = tables.is_some_and(|t| t.predecessor.is_none() && t.successors.is_empty());
        let predecessor = tables.and_then(|t| t.predecessor).filter(live);
        Found {
            key: self.key,
            owner,
            predecessor: if alone { None } else { predecessor.or_else(before) },
            successors: tables.map(|t| t.successors.clone()).unwrap_or_default(),
            hops: self.hops.iter().map(|(peer, _, took)| (*peer, *took)).collect(),
        }
    }
}
