//! One node: its state, and which part of it an input concerns.
//!
//! The parts are blocks of `impl Node` in files of their own: [`super::ring`]
//! (stabilize, rectify, who lives), [`super::join`], [`super::leave`],
//! [`super::merge`] (two rings become one), [`super::lookup`], [`super::census`];
//! the files of the node are [`super::replicas`], and who shares what is
//! [`super::providers`]. This file owns the dispatch
//! and what follows from a change of the tables, whoever made it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::id::Space;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::{Answer, Ask, Message, Tell};

use super::asks::Asks;
use super::census::Census;
use super::fingers::{self, Fingers};
use super::guards::Guards;
use super::invariant::NodeState;
use super::join::Join;
use super::lookup::Lookups;
use super::merge::Remembered;
use super::providers::Providers;
use super::replicas::{FileAsk, FileCommand, Files, Replicas, RingView};
use super::ring::Pace;
use super::successors::SuccessorList;
use super::{
    Command, Config, Effect, Effects, Failure, Input, Notice, Reply, Standing, Ticket, Timer,
};

/// One node of a ring, as a pure state machine (see [`super`]).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Shared: a simulator's nodes all have the same.
    pub(super) config: Arc<Config>,
    pub(super) guards: Guards,
    pub(super) me: Peer,
    /// Positions of this host, of which this node is one; it goes by every
    /// so-manieth index.
    pub(super) positions: u16,
    pub(super) standing: Standing,
    pub(super) tables: Tables,
    pub(super) asks: Asks<Purpose>,
    pub(super) pace: Pace,
    /// Entries of the tables that did not answer when last asked and have
    /// said nothing since: a further hint about them starts no new question.
    pub(super) silent: BTreeSet<Peer>,
    pub(super) lookups: Lookups,
    /// Set while joining.
    pub(super) join: Option<Join>,
    /// Whom to tell that the leave has ended. Set while leaving.
    pub(super) leave: Option<Ticket>,
    /// Who was on the ring when this node began to leave it and has not said that it
    /// leaves, too.
    pub(super) left_behind: BTreeSet<Peer>,
    pub(super) remembered: Remembered,
    pub(super) census: Census,
    pub(super) replicas: Replicas,
    pub(super) providers: Providers,
}

/// Whom the node knows on its ring.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tables {
    pub(super) predecessor: Option<Peer>,
    pub(super) successors: SuccessorList,
    pub(super) fingers: Fingers,
}

impl Tables {
    /// Whether nobody else is known.
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
    pub(super) fn view(&self, config: &Config, me: Peer, standing: Standing) -> RingView<'_> {
        // A node that left is a ring of its own.
        let standing = if standing == Standing::Left { Standing::Member } else { standing };
        RingView {
            space: config.space(),
            me,
            predecessor: self.predecessor,
            successors: self.successors.as_slice(),
            replicas: config.params.replicas,
            standing,
        }
    }
}

/// What an open question is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Asked for a node's neighbours.
    Neighbours(NeighbourAsk),
    /// A step of this lookup.
    Step(u32),
    /// Merge: the command's contact, a member of another ring.
    Contact {
        /// The command.
        ticket: Ticket,
    },
    /// [`Command::Ping`].
    Ping(Ticket),
    /// Asked for the files.
    Files(FileAsk),
}

/// Why a node is asked for its neighbours; that it answers says that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NeighbourAsk {
    /// Stabilize: the first successor's.
    Successor,
    /// Stabilize: those of the node between this one and its first successor.
    Between {
        /// The first successor, which named it.
        successor: Peer,
    },
    /// Rectify: does the predecessor live, or may `notifier` replace it?
    Rectify {
        /// Who believes to be the predecessor.
        notifier: Peer,
    },
    /// Without a successor: whoever is known may show the way to one.
    Revive,
    /// Does this neighbour live? `instead` may be the predecessor if not.
    Check {
        /// The predecessor of one that leaves.
        instead: Option<Peer>,
    },
    /// Join: those of the node found to precede this one.
    Place,
    /// Merge: a candidate for first successor.
    Consider {
        /// Forwardings left.
        hops: u8,
    },
    /// Is this remembered peer a member?
    Probe,
    /// A step of the census.
    Census,
}

/// One call of [`Node::handle`]: the time, what it leads to, and the tables
/// as they were before their first change.
pub(super) struct Turn<'a> {
    pub(super) now: Time,
    pub(super) out: &'a mut Effects,
    before: Option<(Tables, Standing)>,
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
    /// A node that has not started: it waits for [`Input::Start`]. The only one
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
            standing: Standing::New,
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
    /// [`Input::Start`] on, like everyone's.
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
        node.standing = Standing::Member;
        node.tables = tables;
        node
    }

    /// Takes one input at the time `now` and appends what follows from it.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Effects) {
        let mut turn = Turn { now, out, before: None };
        match input {
            Input::Start { records, remembered } => self.start(records, remembered, &mut turn),
            Input::Received { from, message } => self.received(from, message, &mut turn),
            Input::Fired(timer) => self.fired(timer, &mut turn),
            Input::NoAnswer { from, nonce } => {
                if let Some(purpose) = self.asks.close(nonce, from) {
                    self.answered(from, purpose, None, &mut turn);
                    self.suspect(from, &mut turn);
                } else if !self.guards.late_deaths_ignored {
                    self.bury(from, &mut turn);
                }
            }
            Input::PeerLost(peer) if !self.guards.late_deaths_ignored => self.bury(peer, &mut turn),
            Input::PeerLost(peer) => self.suspect(peer, &mut turn),
            Input::BytesPass(host) => self.files(&mut turn).bytes_pass(host),
            Input::Heard { peers } => self.heard_of(&peers, &mut turn),
            Input::LeaveOn => self.leave_goes_on(&mut turn),
            Input::LeaveOver => self.leave_is_over(&mut turn),
            Input::Stored { ticket, result } => self.files(&mut turn).stored(ticket, result),
            Input::Command { ticket, command } => self.command(ticket, command, &mut turn),
            Input::Replaced(record) => self.files(&mut turn).replaced(record),
            Input::Clock { now_s } => self.files(&mut turn).tell_time(now_s),
            Input::Lost { name, version } => self.files(&mut turn).lost(&name, version),
        }
        self.settle(&mut turn);
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
        self.tables.view(&self.config, self.me, self.standing)
    }

    pub(super) fn space(&self) -> Space {
        self.config.space()
    }

    /// The tables, to be changed.
    pub(super) fn change(&mut self, turn: &mut Turn) -> &mut Tables {
        if turn.before.is_none() {
            turn.before = Some((self.tables.clone(), self.standing));
        }
        &mut self.tables
    }

    /// Becomes something else to the ring.
    pub(super) fn stand(&mut self, standing: Standing, turn: &mut Turn) {
        self.change(turn);
        self.standing = standing;
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
        let ring = self.tables.view(&self.config, self.me, self.standing);
        Files { state: &mut self.replicas, ring, asks: &mut self.asks, out: turn.out }
    }

    fn received(&mut self, from: Peer, message: Message, turn: &mut Turn) {
        if from == self.me {
            return;
        }
        self.silent.remove(&from);
        match message {
            Message::Ask { nonce, ask } => {
                let answer = self.reply_to(from, &ask, turn);
                turn.out
                    .push(Effect::Send { to: from, message: Message::Answer { nonce, answer } });
            }
            Message::Answer { nonce, answer } => {
                let Some(purpose) = self.asks.close(nonce, from) else { return };
                if matches!(answer, Answer::NotMember | Answer::Left) {
                    // It lives but is on no ring: to every purpose as good as dead.
                    let tables = &self.tables;
                    let matters = tables.neighbours(from) || tables.fingers.contains(from);
                    if answer == Answer::Left {
                        self.left_behind.remove(&from);
                    }
                    if answer == Answer::Left && (matters || self.remembered.contains(from)) {
                        self.departs(from, turn);
                    }
                    self.answered(from, purpose, None, turn);
                    self.suspect(from, turn);
                } else {
                    self.answered(from, purpose, Some(answer), turn);
                }
            }
            Message::Tell(tell) => self.told(from, tell, turn),
        }
    }

    fn reply_to(&mut self, from: Peer, ask: &Ask, turn: &mut Turn) -> Answer {
        if self.standing == Standing::Left && matches!(ask, Ask::Next { enter: true, .. }) {
            self.found_ring(turn);
        }
        match (ask, self.standing) {
            (Ask::Ping, _) => Answer::Pong,
            (_, Standing::New | Standing::Joining) => Answer::NotMember,
            (_, Standing::Left) => Answer::Left,
            (Ask::Neighbours, Standing::Member) => Answer::Neighbours {
                predecessor: self.tables.predecessor,
                successors: self.tables.successors.as_slice().to_vec(),
            },
            (Ask::Next { key, .. }, Standing::Member) => self.next_step(*key),
            (ask, Standing::Member | Standing::Leaving) => {
                self.files(turn).ask(from, ask).unwrap_or(Answer::Left)
            }
        }
    }

    fn told(&mut self, from: Peer, tell: Tell, turn: &mut Turn) {
        match tell {
            Tell::Held { name, version } => self.files(turn).held(from, name, version),
            Tell::Unable { name, version, why } => {
                self.files(turn).unable_there(from, &name, version, why);
            }
            Tell::Lost { name, version } => self.files(turn).lost_there(from, &name, version),
            Tell::Leaving { .. } if self.standing != Standing::Member => {
                self.left_behind.remove(&from);
            }
            _ if self.standing != Standing::Member => {}
            Tell::Notify => self.notified(from, turn),
            Tell::Changed => self.neighbour_changed(from, turn),
            Tell::Leaving { predecessor, .. } => self.neighbour_leaves(from, predecessor, turn),
            Tell::Consider { candidate, hops } => self.consider(candidate, hops, turn),
            Tell::Provided { providers } => self.providers_heard(from, &providers, turn),
        }
    }

    /// Takes in the end of a question; `None`: no answer, or not from a member.
    fn answered(&mut self, from: Peer, purpose: Purpose, answer: Option<Answer>, turn: &mut Turn) {
        match (purpose, answer) {
            (Purpose::Files(purpose), answer) => self.files(turn).answer(from, purpose, answer),
            (Purpose::Step(lookup), answer) => self.stepped(lookup, from, answer, turn),
            (Purpose::Ping(ticket), Some(_)) => turn.reply(ticket, Reply::Pong),
            (Purpose::Ping(ticket), None) => turn.fail(ticket, Failure::NoAnswer),
            (Purpose::Contact { ticket }, Some(Answer::Next { .. })) => {
                self.contact_answered(ticket, from, turn);
            }
            (Purpose::Contact { ticket }, _) => {
                turn.fail(ticket, Failure::NoContact(from.address()));
            }
            (Purpose::Neighbours(why), Some(Answer::Neighbours { predecessor, successors })) => {
                self.neighbours_answered(why, Heard { from, predecessor, successors }, turn);
            }
            // Any other answer to a question about neighbours is nonsense.
            (Purpose::Neighbours(why), _) => self.neighbours_unanswered(from, why, turn),
        }
    }

    fn neighbours_answered(&mut self, why: NeighbourAsk, heard: Heard, turn: &mut Turn) {
        match why {
            NeighbourAsk::Successor => self.successor_answered(&heard, turn),
            NeighbourAsk::Between { successor } => self.between_answered(successor, &heard, turn),
            NeighbourAsk::Revive => self.revived(&heard, turn),
            NeighbourAsk::Place => self.place_answered(Some(&heard), turn),
            NeighbourAsk::Consider { hops } => self.candidate_answered(&heard, hops, turn),
            NeighbourAsk::Probe => self.probe_answered(heard.from, turn),
            NeighbourAsk::Census => {
                let Heard { from: peer, predecessor, successors } = heard;
                self.census_heard(NodeState { peer, predecessor, successors }, turn);
            }
            // It lives, which is all that was asked.
            NeighbourAsk::Rectify { .. } | NeighbourAsk::Check { .. } => {}
        }
    }

    fn neighbours_unanswered(&mut self, from: Peer, why: NeighbourAsk, turn: &mut Turn) {
        match why {
            NeighbourAsk::Successor => self.successor_silent(from, turn),
            NeighbourAsk::Between { successor } => self.end_round(successor, turn),
            NeighbourAsk::Rectify { notifier } => {
                self.predecessor_silent(from, Some(notifier), turn);
            }
            NeighbourAsk::Revive => self.predecessor_silent(from, None, turn),
            NeighbourAsk::Check { instead } => self.neighbour_silent(from, instead, turn),
            NeighbourAsk::Place => self.place_answered(None, turn),
            NeighbourAsk::Census => {
                self.census.unheard(from, turn.now);
                self.census_answered(turn);
            }
            // The ring goes on without it.
            NeighbourAsk::Consider { .. } | NeighbourAsk::Probe => {}
        }
    }

    fn fired(&mut self, timer: Timer, turn: &mut Turn) {
        match timer {
            Timer::Copies(ticket) => self.files(turn).copies_late(ticket),
            Timer::Join => self.join_again(turn),
            Timer::Leave => self.leave_is_over(turn),
            _ if !matches!(self.standing, Standing::Member | Standing::Leaving) => {}
            Timer::Stabilize => {
                self.rearm(timer, turn);
                let _ = self.pace.take(turn.now, self.config.stabilize);
                self.stabilize(turn);
                self.providers_go_on(turn);
            }
            Timer::Repair => {
                self.rearm(timer, turn);
                self.providers_prune(turn);
                self.files(turn).repair();
            }
            // A leaving node needs no more than its neighbours.
            _ if self.standing == Standing::Leaving => self.rearm(timer, turn),
            Timer::FixFingers => {
                self.rearm(timer, turn);
                self.fix_finger(turn);
            }
            Timer::Probe => {
                self.rearm(timer, turn);
                self.probe(turn);
            }
            Timer::Census => {
                self.rearm(timer, turn);
                self.census_step(turn);
            }
        }
    }

    fn command(&mut self, ticket: Ticket, command: Command, turn: &mut Turn) {
        match (command, self.busy()) {
            (Command::Join { contact }, _) => self.command_join(ticket, contact, turn),
            (Command::Leave, _) => self.command_leave(ticket, turn),
            (Command::Adopt { params }, _) => self.command_adopt(ticket, params, turn),
            (Command::Ping { peer }, _) if peer == self.me => turn.reply(ticket, Reply::Pong),
            (Command::Ping { peer }, _) => self.ask(peer, Ask::Ping, Purpose::Ping(ticket), turn),
            // A node on its way out finds the owners of its own files, too.
            (Command::Lookup { key }, Some(_)) if self.standing == Standing::Leaving => {
                self.command_lookup(ticket, key, turn);
            }
            (_, Some(why)) => turn.fail(ticket, Failure::Busy(why)),
            (Command::Lookup { key }, None) => self.command_lookup(ticket, key, turn),
            (Command::Provide { providers }, None) => {
                self.command_provide(ticket, &providers, turn);
            }
            (Command::Offer { name, root, overwrite }, None) => {
                self.files(turn).command(ticket, name, FileCommand::Offer { root, overwrite });
            }
            (Command::Commit { name, root, size, overwrite, elsewhere, obstacle }, None) => {
                let commit = FileCommand::Commit { root, size, overwrite, elsewhere, obstacle };
                self.files(turn).command(ticket, name, commit);
            }
            (Command::Remove { name }, None) => {
                self.files(turn).command(ticket, name, FileCommand::Remove);
            }
        }
    }

    /// Why the node cannot do a member's work now.
    pub(super) const fn busy(&self) -> Option<&'static str> {
        match self.standing {
            Standing::Member | Standing::Left => None,
            Standing::Joining => Some("joining a ring"),
            Standing::Leaving => Some("leaving its ring"),
            Standing::New => Some("starting"),
        }
    }

    /// What follows from this turn's changes, until nothing does.
    fn settle(&mut self, turn: &mut Turn) {
        loop {
            while let Some((before, standing)) = turn.before.take() {
                self.tables_changed(&before, standing, turn);
            }
            if self.standing == Standing::Leaving && self.replicas.handed_over() {
                self.end_leave(turn);
            } else if let Some(key) = self.replicas.wants_lookup() {
                self.files_lookup(key, turn);
            } else if turn.before.is_none() {
                return;
            }
        }
    }

    fn tables_changed(&mut self, before: &Tables, standing: Standing, turn: &mut Turn) {
        let (space, me, r) = (self.space(), self.me, self.config.successors);
        self.tables.fingers.prune(space, me, self.tables.successors.last());

        let (old, new) = (before.predecessor, self.tables.predecessor);
        if old != new {
            turn.notice(Notice::Predecessor { old, new });
        }
        let list_changed = before.successors != self.tables.successors;
        if list_changed {
            turn.notice(Notice::Successors(self.tables.successors.as_slice().to_vec()));
            let (old, new) = (before.successors.head(), self.tables.successors.head());
            if old != new {
                turn.notice(Notice::Successor { old, new });
            }
            if let Some(predecessor) = self.tables.predecessor
                && self.standing == Standing::Member
            {
                turn.tell(predecessor, Tell::Changed);
            }
        }
        let rows = |tables| fingers::rows(space, me, r, tables);
        for (old, new) in rows(before).iter().zip(rows(&self.tables)) {
            if old.node != new.node {
                turn.notice(Notice::Finger { index: new.index, node: new.node });
            }
        }

        let ring_changed = list_changed || old != new;
        if ring_changed {
            let tables = &self.tables;
            self.remembered.returned(|peer| tables.neighbours(peer) && !before.neighbours(peer));
            for peer in before.predecessor.iter().chain(before.successors.as_slice()) {
                self.remembered.insert(*peer, me);
            }
            let tables = &self.tables;
            self.remembered.forget(|peer| tables.neighbours(peer));
            self.silent.retain(|peer| tables.neighbours(*peer));
            let alone = !before.is_alone() && tables.is_alone();
            self.census_restart(before, turn);
            if self.standing == Standing::Member && alone {
                turn.notice(Notice::Alone);
                self.rearm(Timer::Probe, turn);
            }
        }
        if self.standing == Standing::Left {
            // The members that it left do not draw it back.
            self.remembered = Remembered::default();
        }
        if ring_changed || standing != self.standing {
            self.files(turn).ring_changed();
            self.providers_regroup(old.is_none(), turn);
        }
    }
}

/// A member's neighbours, from its own mouth.
pub(super) struct Heard {
    pub(super) from: Peer,
    pub(super) predecessor: Option<Peer>,
    pub(super) successors: Vec<Peer>,
}
