//! One node: its state, and what every rule needs of it.
//!
//! The rules are blocks of `impl Node` in files of their own: [`super::ring`]
//! (stabilize, rectify, who lives), [`super::join`], [`super::leave`],
//! [`super::merge`] (two rings become one), [`super::lookup`], [`super::walk`] (the census),
//! [`super::providing`]; [`super::dispatch`] calls them. The files of the node are
//! [`super::replicas`].

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::id::Space;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::{Ask, Message, Tell};

use super::asks::Asks;
use super::census::Census;
use super::effect::{Effect, Effects, Failure, Notice, Reply};
use super::fingers::Fingers;
use super::guards::Guards;
use super::input::{Config, Ticket, Timer};
use super::lookups::Lookups;
use super::pace::Pace;
use super::providers::Providers;
use super::purpose::{NeighbourAsk, Purpose};
use super::remembered::Remembered;
use super::replicas::{Files, Replicas};
use super::successors::SuccessorList;
use super::tables::Tables;
use super::view::{Membership, RingView};

/// One node of a ring, as a pure state machine (see [`super`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Shared: a simulator's nodes all have the same.
    pub(super) config: Arc<Config>,
    pub(super) guards: Guards,
    pub(super) me: Peer,
    /// Number of virtual nodes on this host; this one uses the indices congruent to its
    /// slot.
    pub(super) positions: u16,
    pub(super) membership: Membership,
    pub(super) tables: Tables,
    pub(super) asks: Asks<Purpose>,
    pub(super) pace: Pace,
    /// Entries of the tables that did not answer the last question and have sent
    /// nothing since: a further hint about them starts no new question.
    pub(super) silent: BTreeSet<Peer>,
    pub(super) lookups: Lookups,
    /// Set while joining.
    pub(super) join: Option<Join>,
    /// The command that the end of the leave answers. Set while leaving.
    pub(super) leave: Option<Ticket>,
    /// The members when this node began to leave that have not said that they leave, too.
    pub(super) left_behind: BTreeSet<Peer>,
    pub(super) remembered: Remembered,
    pub(super) census: Census,
    pub(super) replicas: Replicas,
    pub(super) providers: Providers,
}

/// One call of [`Node::handle`]: the time, what it leads to, and the tables
/// as they were before their first change.
pub(super) struct Turn<'a> {
    pub(super) now: Time,
    pub(super) out: &'a mut Effects,
    pub(super) before: Option<(Tables, Membership)>,
}

impl Turn<'_> {
    pub(super) fn tell(&mut self, to: Peer, tell: Tell) {
        self.out.push(Effect::Send { to, message: Message::Tell(tell) });
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.out.push(Effect::Notice(notice));
    }

    pub(super) fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.out.push(Effect::Reply { ticket, reply });
    }

    pub(super) fn fail(&mut self, ticket: Ticket, failure: Failure) {
        self.reply(ticket, Reply::Failed(failure));
    }

    pub(super) fn arm(&mut self, timer: Timer, after: Range<Duration>) {
        self.out.push(Effect::Arm { timer, after });
    }
}

impl Node {
    /// A node that has not started: it waits for [`super::Input::Start`]. The only one
    /// of its host.
    pub fn new(config: impl Into<Arc<Config>>, address: SocketAddr) -> Node {
        Node::one_of(config, address, 0, 1)
    }

    /// The same, as one of `positions` of a host (see [`super::Host`]): the one
    /// that goes by the index `slot`, or by that plus a multiple of `positions`
    /// where its place is taken.
    pub fn one_of(
        config: impl Into<Arc<Config>>,
        address: SocketAddr,
        slot: u16,
        positions: u16,
    ) -> Node {
        Node {
            config: config.into(),
            guards: Guards::ALL,
            me: Peer::new(address, slot),
            positions: positions.max(1),
            membership: Membership::New,
            tables: Tables::default(),
            asks: Asks::default(),
            pace: Pace::default(),
            silent: BTreeSet::new(),
            lookups: Lookups::default(),
            join: None,
            leave: None,
            left_behind: BTreeSet::new(),
            remembered: Remembered::default(),
            census: Census::default(),
            replicas: Replicas::default(),
            providers: Providers::default(),
        }
    }

    /// A member of a ring that has settled: `ring` holds all members in the
    /// order of their identifiers, `me` among them, no two at one place. For
    /// simulators, which start large rings this way. Its timers run from
    /// [`super::Input::Start`] on, like everyone's.
    pub fn stabilized(config: impl Into<Arc<Config>>, me: Peer, ring: &[Peer]) -> Node {
        let config = config.into();
        let space = config.space();
        let home = me.id(space);
        let at = ring.partition_point(|peer| peer.id(space) < home);
        let after = (1..ring.len()).map(|step| ring[(at + step) % ring.len()]);
        let successors = SuccessorList::new(space, me, after, config.reach());
        let predecessor = (ring.len() > 1).then(|| ring[(at + ring.len() - 1) % ring.len()]);
        let mut tables = Tables { predecessor, successors, fingers: Fingers::default() };
        if !tables.knows_everyone() {
            tables.fingers = Fingers::settled(space, me, tables.successors.last(), |key| {
                ring[ring.partition_point(|peer| peer.id(space) < key) % ring.len()]
            });
        }
        let mut node = Node::new(config, me.address());
        node.me = me;
        node.membership = Membership::Member;
        node.tables = tables;
        node
    }

    /// The same member with other neighbours, as in a ring that has not settled. For
    /// simulators.
    #[must_use]
    pub fn with_neighbours(mut self, predecessor: Option<Peer>, successors: Vec<Peer>) -> Node {
        self.tables.predecessor = predecessor;
        self.tables.successors = self.list(successors);
        self
    }

    /// Whether a peer is another position of this host.
    pub(super) fn is_sibling(&self, peer: Peer) -> bool {
        peer.address() == self.me.address()
            && peer.index() % self.positions != self.me.index() % self.positions
    }

    /// Whether a peer is this node under an index that it has given up.
    pub(super) fn was(&self, peer: Peer) -> bool {
        peer.address() == self.me.address() && peer != self.me && !self.is_sibling(peer)
    }

    /// This node under its index and all that it has given up.
    pub(super) fn identities(&self) -> impl Iterator<Item = Peer> + use<> {
        let (address, index, step) = (self.me.address(), self.me.index(), self.positions);
        (index % step..=index).step_by(step.into()).map(move |index| Peer::new(address, index))
    }

    pub(super) fn ring_view(&self) -> RingView<'_> {
        self.tables.view(&self.config, self.me, self.membership)
    }

    pub(super) fn space(&self) -> Space {
        self.config.space()
    }

    /// The tables, to be changed.
    pub(super) fn change(&mut self, turn: &mut Turn) -> &mut Tables {
        if turn.before.is_none() {
            turn.before = Some((self.tables.clone(), self.membership));
        }
        &mut self.tables
    }

    /// Sets the membership.
    pub(super) fn set_membership(&mut self, membership: Membership, turn: &mut Turn) {
        self.change(turn);
        self.membership = membership;
    }

    /// Asks a peer; the answer comes to [`Node::answered`] with `purpose`.
    pub(super) fn ask(&mut self, to: Peer, ask: Ask, purpose: Purpose, turn: &mut Turn) {
        self.asks.ask(to, ask, purpose, turn.out);
    }

    /// Asks a peer for its neighbours.
    pub(super) fn ask_neighbours(&mut self, to: Peer, why: NeighbourAsk, turn: &mut Turn) {
        self.ask(to, Ask::Neighbours, Purpose::Neighbours(why), turn);
    }

    /// The file half, with what it may use.
    pub(super) fn files<'a>(&'a mut self, turn: &'a mut Turn) -> Files<'a> {
        let ring = self.tables.view(&self.config, self.me, self.membership);
        Files { state: &mut self.replicas, ring, asks: &mut self.asks, out: turn.out }
    }
}

/// A member's neighbours, from its own mouth.
pub(super) struct Heard {
    pub(super) from: Peer,
    pub(super) predecessor: Option<Peer>,
    pub(super) successors: Vec<Peer>,
}

/// A join under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Join {
    /// The command that its end answers; `None`: the node rejoins by itself.
    pub(super) ticket: Option<Ticket>,
    pub(super) contact: Peer,
    /// Further contacts, the next one last.
    pub(super) others: Vec<Peer>,
    /// What the node goes back to when it fails.
    pub(super) before: Membership,
    /// Attempts with this contact.
    pub(super) attempts: u8,
}

impl Join {
    /// Who waits for it.
    pub(super) const fn ticket(&self) -> Option<Ticket> {
        self.ticket
    }
}
