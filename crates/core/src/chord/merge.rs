//! Two rings become one: on command, and by itself after a partition or when
//! another peer knows members of both.
//!
//! A node that hears of a member of another ring finds the place in its own
//! ring before which that member belongs. The node there takes it in as its
//! first successor, exactly as stabilize would, and hands its old first
//! successor to the newcomer, which finds its place in the other ring: the two
//! rings close like a zip. If messages are lost on the way, stabilize finishes
//! the work, since the one ring then hangs on the other like a node that has
//! just joined.

use crate::peer::Peer;
use crate::wire::Tell;

use super::effect::{Failure, Notice, Reply};
use super::input::Ticket;
use super::lookups::LookupPurpose;
use super::node::{Heard, Node, Turn};
use super::purpose::{NeighbourAsk, Purpose};
use super::view::Membership;

/// Forwardings of a candidate: every one halves the way, or goes along a list
/// where fingers are not there yet.
const MAX_FORWARDS: u8 = 64;

/// Peers taken from one [`super::Input::Heard`]: what others say must not push
/// out the peers that this node remembers by itself.
const MAX_HEARD: usize = 4;

impl Node {
    /// [`super::Command::Join`] on a node with members: the contact answered.
    pub(super) fn contact_answered(&mut self, ticket: Ticket, contact: Peer, turn: &mut Turn) {
        if self.membership == Membership::Member {
            let key = contact.id(self.space());
            self.look_up(key, LookupPurpose::Merge { ticket, contact }, turn);
        } else {
            turn.fail(ticket, Failure::Busy(self.busy().unwrap_or("busy")));
        }
    }

    /// Who owns the contact's place on this ring: the contact itself if the
    /// two are on one ring already.
    pub(super) fn merge_found(
        &mut self,
        ticket: Ticket,
        contact: Peer,
        owner: Option<Peer>,
        turn: &mut Turn,
    ) {
        if owner == Some(contact) {
            return turn.fail(ticket, Failure::AlreadyMember(contact.address()));
        }
        self.consider_here(contact, turn);
        // Stabilize and the probing of remembered peers do the rest.
        let successor = self.tables.successors.head().unwrap_or(contact);
        turn.reply(ticket, Reply::Joined { me: self.me, successor });
    }

    /// A look at the next remembered peer.
    pub(super) fn probe(&mut self, turn: &mut Turn) {
        if !self.probing()
            && let Some(peer) = self.remembered.next()
        {
            self.ask_neighbours(peer, NeighbourAsk::Probe, turn);
        }
    }

    /// [`super::Input::Heard`]: looks at the first that it does not know now,
    /// and at the others as at all peers that it remembers.
    pub(super) fn heard_of(&mut self, peers: &[Peer], turn: &mut Turn) {
        if self.membership != Membership::Member {
            return;
        }
        let news = |peer: &&Peer| **peer != self.me && !self.tables.neighbours(**peer);
        let news: Vec<Peer> = peers.iter().filter(news).take(MAX_HEARD).copied().collect();
        for peer in &news {
            self.remembered.insert(*peer, self.me);
        }
        if let Some(first) = news.first()
            && !self.probing()
        {
            self.ask_neighbours(*first, NeighbourAsk::Probe, turn);
        }
    }

    /// Whether a look at a remembered peer is under way: one at a time.
    fn probing(&self) -> bool {
        self.asks.iter().any(|(_, _, purpose)| *purpose == Purpose::Neighbours(NeighbourAsk::Probe))
    }

    /// A remembered peer is a member of some ring: of this one?
    pub(super) fn probe_answered(&mut self, peer: Peer, turn: &mut Turn) {
        if self.membership == Membership::Member {
            self.look_up(peer.id(self.space()), LookupPurpose::Probe(peer), turn);
        }
    }

    /// Has the candidate's place found, starting here.
    pub(super) fn consider_here(&mut self, candidate: Peer, turn: &mut Turn) {
        self.consider(candidate, MAX_FORWARDS, turn);
    }

    /// [`Tell::Consider`]
    pub(super) fn consider(&mut self, candidate: Peer, hops: u8, turn: &mut Turn) {
        let place = candidate.id(self.space());
        if self.membership != Membership::Member
            || candidate == self.me
            || self.was(candidate)
            || self.tables.successors.contains(candidate)
        {
            return;
        }
        if self.goes_first(candidate) || self.is_taken(candidate) {
            let asked = |(_, to, purpose): (_, Peer, &Purpose)| {
                to == candidate
                    && matches!(purpose, Purpose::Neighbours(NeighbourAsk::Consider { .. }))
            };
            if !self.asks.iter().any(asked) {
                self.ask_neighbours(candidate, NeighbourAsk::Consider { hops }, turn);
            }
            return;
        }
        let (space, home) = (self.space(), self.me.id(self.space()));
        let before = |peer: &Peer| peer.id(space).between(home, place);
        let next = self
            .tables
            .fingers
            .closer(space, self.me, place)
            .into_iter()
            .chain(self.tables.successors.as_slice().iter().copied().filter(before))
            .min_by_key(|peer| space.distance(peer.id(space), place));
        if let Some(next) = next
            && let Some(hops) = hops.checked_sub(1)
        {
            turn.tell(next, Tell::Consider { candidate, hops });
        }
    }

    /// Whether a peer would be the first successor.
    fn goes_first(&self, peer: Peer) -> bool {
        let (space, home) = (self.space(), self.me.id(self.space()));
        self.tables
            .successors
            .head()
            .is_none_or(|head| peer.id(space).between(home, head.id(space)))
    }

    /// Whether this node or its first successor has the very place of a peer.
    fn is_taken(&self, peer: Peer) -> bool {
        let (space, place) = (self.space(), peer.id(self.space()));
        let head = self.tables.successors.head();
        place == self.me.id(space) || head.is_some_and(|head| place == head.id(space))
    }

    /// A candidate is a live member: takes it in, if it still comes first.
    pub(super) fn candidate_answered(&mut self, heard: &Heard, hops: u8, turn: &mut Turn) {
        let candidate = heard.from;
        if self.membership != Membership::Member || self.tables.successors.contains(candidate) {
            return;
        }
        if self.is_taken(candidate) {
            // Both rings use one place. Its successor leads into the other ring
            // as well; the two doubles settle it once they share a ring.
            let next = heard.successors.iter().find(|peer| **peer != self.me);
            if let (Some(next), Some(hops)) = (next, hops.checked_sub(1)) {
                self.consider(*next, hops, turn);
            }
            return;
        }
        if !self.goes_first(candidate) {
            return;
        }
        let old = self.tables.successors.head();
        // A candidate that is alone goes in like a joiner: this node's list is
        // the candidate's too.
        let behind = if heard.successors.is_empty() {
            self.tables.successors.as_slice()
        } else {
            &heard.successors
        };
        let list = self.list(std::iter::once(candidate).chain(behind.iter().copied()));
        self.adopt(list, turn);
        turn.notice(Notice::Merged(candidate));
        turn.tell(candidate, Tell::Notify);
        if let Some(old) = old {
            turn.tell(candidate, Tell::Consider { candidate: old, hops: MAX_FORWARDS });
        }
    }
}
