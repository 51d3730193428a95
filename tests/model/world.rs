//! A ring as the model checker sees it: nodes, what is on the way between
//! them, and armed timers.
//!
//! This is a driver like the engine: it keeps the promises of `chordal::chord`
//! and no more. Time stands still and the period is zero, so that any armed
//! timer may fire at any time and nothing about a node depends on a clock.
//!
//! What is not here, and why nothing is lost by it:
//! - Questions are not doubled. They change nothing in the node asked, so the
//!   second answer is one that a slower question would have brought; the asker
//!   takes the first that comes and drops the other by its nonce.
//! - Answers and questions whose nonce the asker has closed are dropped at once:
//!   the asker would drop them.
//! - The timers FixFingers, Census and Repair do not fire: what they lead to
//!   changes no successor and no predecessor.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use chordal::chord::invariant::NodeState;
use chordal::chord::{Command, Config, Effect, Effects, Guards, Input, Membership, Node, Timer};
use chordal::id::Space;
use chordal::peer::Peer;
use chordal::time::Time;
use chordal::wire::handshake::Params;
use chordal::wire::{Answer, Ask, Message, Nonce, Tell};

/// A node by its place on the ring.
pub(crate) type Place = u8;

/// Ports whose addresses lie at the places 0 to 7 of eight, and those at the
/// places 0 to 3 of four.
const EIGHT: [u16; 8] = [2001, 2004, 2000, 2015, 2003, 2010, 2005, 2002];
const FOUR: [u16; 4] = [2001, 2004, 2000, 2002];

/// Who may be on the ring and what is told to them.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// The places that nodes may have.
    pub(crate) bits: u8,
    /// Length of the successor lists.
    pub(crate) r: usize,
    pub(crate) guards: Guards,
    /// Questions are answered within the step in which they are asked, as in
    /// Zave's papers; otherwise they travel.
    pub(crate) at_once: bool,
    /// The steps of a lookup are taken within the step that begins it.
    pub(crate) lookups_at_once: bool,
    /// `Tell::Changed` travels. Otherwise it is lost: all that it does is to
    /// bring a stabilization forward, and that may happen at any time anyway.
    pub(crate) hints: bool,
    /// Nodes remember whom they knew.
    pub(crate) memory: bool,
}

/// A node and its print, by which worlds are told apart.
#[derive(Clone, PartialEq, Eq)]
struct Kept {
    node: Arc<Node>,
    print: u64,
}

impl Hash for Kept {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.print.hash(state);
    }
}

/// A process that runs.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Process {
    kept: Kept,
    /// The timers that are armed, of those that the model fires.
    armed: BTreeSet<Timer>,
}

/// A question on the way, or its answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Question {
    pub(crate) from: Place,
    pub(crate) nonce: Nonce,
    pub(crate) to: Place,
    ask: Ask,
    /// It has reached the one asked.
    pub(crate) arrived: bool,
    /// What comes back.
    pub(crate) answer: Option<Answer>,
}

/// A statement on the way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Saying {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) tell: Tell,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// By place; `None`: dead, or nobody.
    processes: Vec<Option<Process>>,
    /// Sorted.
    pub(crate) questions: Vec<Question>,
    pub(crate) tells: BTreeSet<Saying>,
}

impl Setting {
    pub(crate) fn space(&self) -> Space {
        Space::new(self.bits).expect("in range")
    }

    pub(crate) fn peer(&self, place: Place) -> Peer {
        let ports = if self.bits == 2 { &FOUR[..] } else { &EIGHT[..] };
        let peer = Peer::new(([127, 0, 0, 1], ports[usize::from(place)]).into(), 0);
        debug_assert_eq!(peer.id(self.space()).value(), u128::from(place));
        peer
    }

    pub(crate) fn place(&self, peer: Peer) -> Place {
        assert_eq!(peer.index(), 0, "no two nodes have one place here");
        u8::try_from(peer.id(self.space()).value()).expect("a small space")
    }

    fn config(&self) -> Config {
        Config {
            // One copy: the files of a ring without files would still compare.
            params: Params { ring: "model".into(), space: self.space(), replicas: 1 },
            successors: self.r,
            stabilize: Duration::ZERO,
        }
    }

    /// A settled ring of `members`, beside which `joiners` wait to come in.
    pub(crate) fn world(&self, members: &[Place], joiners: &[Place]) -> World {
        let mut world = World {
            processes: vec![None; 1 << self.bits],
            questions: Vec::new(),
            tells: BTreeSet::new(),
        };
        let ring: Vec<Peer> = members.iter().map(|place| self.peer(*place)).collect();
        for place in members {
            let node = Node::stabilized(self.config(), self.peer(*place), &ring);
            self.start(&mut world, *place, node);
        }
        for place in joiners {
            self.come(&mut world, *place);
        }
        world
    }

    fn start(&self, world: &mut World, place: Place, node: Node) {
        let node = node.with_guards(self.guards);
        let process = Process { kept: keep(node), armed: BTreeSet::new() };
        world.processes[usize::from(place)] = Some(process);
        self.give(world, place, Input::Start { records: Vec::new(), remembered: Vec::new() });
    }

    /// Somebody starts who is on no ring.
    pub(crate) fn come(&self, world: &mut World, place: Place) {
        self.start(world, place, Node::new(self.config(), self.peer(place).address()));
        self.give(world, place, Input::Command { ticket: 0, command: Command::Leave });
        debug_assert_eq!(world.membership(place), Some(Membership::Left));
    }

    pub(crate) fn join(&self, world: &mut World, place: Place, via: Place) {
        let command = Command::Join { contact: self.peer(via) };
        self.give(world, place, Input::Command { ticket: 0, command });
        while self.at_once
            && world.membership(place) == Some(Membership::Joining)
            && let Some(question) = world.question_of(place)
        {
            self.resolve(world, question);
        }
    }

    pub(crate) fn fire(&self, world: &mut World, place: Place, timer: Timer) {
        if let Some(process) = &mut world.processes[usize::from(place)] {
            process.armed.remove(&timer);
        }
        self.give(world, place, Input::Fired(timer));
        self.complete(world, place);
    }

    /// Somebody's connection to another broke.
    pub(crate) fn lose_connection(&self, world: &mut World, place: Place, to: Place) {
        self.give(world, place, Input::PeerLost(self.peer(to)));
        self.complete(world, place);
    }

    /// A question arrives, or its answer does.
    pub(crate) fn carry(&self, world: &mut World, mut question: Question) {
        let Ok(at) = world.questions.binary_search(&question) else { return };
        if let Some(answer) = question.answer.take() {
            world.questions.remove(at);
            let message = Message::Answer { nonce: question.nonce, answer };
            let from = self.peer(question.to);
            self.give(world, question.from, Input::Received { from, message });
        } else {
            world.questions[at].arrived = true;
            let message = Message::Ask { nonce: question.nonce, ask: question.ask };
            let from = self.peer(question.from);
            self.give(world, question.to, Input::Received { from, message });
        }
    }

    /// A question counts as not answered.
    pub(crate) fn silence(&self, world: &mut World, question: &Question) {
        world.questions.retain(|other| other != question);
        let (from, nonce) = (self.peer(question.to), question.nonce);
        self.give(world, question.from, Input::NoAnswer { from, nonce });
    }

    /// A statement arrives.
    pub(crate) fn say(&self, world: &mut World, saying: Saying) {
        let from = self.peer(saying.from);
        let message = Message::Tell(saying.tell);
        self.give(world, saying.to, Input::Received { from, message });
        self.complete(world, saying.to);
    }

    /// Where steps are whole operations, ends those of a node.
    fn complete(&self, world: &mut World, place: Place) {
        while self.at_once
            && let Some(question) = world.question_of(place)
        {
            self.resolve(world, question);
        }
    }

    /// Ends a question truthfully.
    fn resolve(&self, world: &mut World, question: Question) {
        if world.is_up(question.to) {
            let (from, nonce) = (question.from, question.nonce);
            self.carry(world, question);
            let answered = |question: &&Question| (question.from, question.nonce) == (from, nonce);
            if let Some(answered) = world.questions.iter().find(answered).cloned() {
                assert!(answered.answer.is_some(), "a node answers at once");
                self.carry(world, answered);
            }
        } else {
            self.silence(world, &question);
        }
    }

    /// One input to one node, and its effects.
    fn give(&self, world: &mut World, place: Place, input: Input) {
        let Some(process) = &mut world.processes[usize::from(place)] else { return };
        let mut node = Arc::clone(&process.kept.node);
        let changed = Arc::make_mut(&mut node);
        let mut out = Effects::new();
        changed.handle(Time::ZERO, input, &mut out);
        let me = changed.peer();
        for effect in out {
            match effect {
                Effect::Send { to, message } => {
                    assert_ne!(to, me, "{message:?} to itself");
                    let to = self.place(to);
                    match message {
                        Message::Ask { nonce, ask } => {
                            let question = Question {
                                from: place,
                                nonce,
                                to,
                                ask,
                                arrived: false,
                                answer: None,
                            };
                            world.questions.push(question);
                        }
                        Message::Answer { nonce, answer } => {
                            let asked =
                                |q: &&mut Question| (q.from, q.nonce, q.to) == (to, nonce, place);
                            let question = world.questions.iter_mut().find(asked);
                            question.expect("it was asked").answer = Some(answer);
                        }
                        Message::Tell(Tell::Changed) if !self.hints => {}
                        Message::Tell(tell) => {
                            world.tells.insert(Saying { from: place, to, tell });
                        }
                    }
                }
                Effect::Arm { timer, .. } => {
                    if matches!(timer, Timer::Stabilize | Timer::Probe | Timer::Join) {
                        process.armed.insert(timer);
                    }
                }
                Effect::Disarm(timer) => {
                    process.armed.remove(&timer);
                }
                Effect::Store { .. } | Effect::Cease { .. } => unreachable!("there are no files"),
                Effect::Reply { .. } | Effect::Notice(_) => {}
            }
        }
        changed.forget_shortcuts();
        if !self.memory {
            changed.forget_remembered();
        }
        let renamed = changed.renumber();
        process.kept = keep(Arc::unwrap_or_clone(node));
        let up: Vec<bool> = world.processes.iter().map(Option::is_some).collect();
        world.tells.retain(|saying| up[usize::from(saying.to)]);
        world.questions.retain_mut(|question| {
            if question.from != place {
                return true;
            }
            let new = renamed.get(&question.nonce);
            question.nonce = new.copied().unwrap_or(question.nonce);
            new.is_some()
        });
        world.questions.sort_unstable();
        if self.lookups_at_once {
            let step = |q: &&Question| q.from == place && matches!(q.ask, Ask::Next { .. });
            if let Some(question) = world.questions.iter().find(step).cloned() {
                self.resolve(world, question);
            }
        }
    }
}

fn keep(node: Node) -> Kept {
    let mut hasher = DefaultHasher::new();
    node.hash(&mut hasher);
    Kept { print: hasher.finish(), node: Arc::new(node) }
}

impl World {
    pub(crate) fn places(&self) -> impl Iterator<Item = Place> + use<> {
        0..self.processes.len() as Place
    }

    fn node(&self, place: Place) -> Option<&Node> {
        self.processes[usize::from(place)].as_ref().map(|process| &*process.kept.node)
    }

    pub(crate) fn is_up(&self, place: Place) -> bool {
        self.node(place).is_some()
    }

    pub(crate) fn membership(&self, place: Place) -> Option<Membership> {
        self.node(place).map(Node::membership)
    }

    pub(crate) fn is_member(&self, place: Place) -> bool {
        self.membership(place) == Some(Membership::Member)
    }

    pub(crate) fn is_armed(&self, place: Place, timer: Timer) -> bool {
        let process = self.processes[usize::from(place)].as_ref();
        process.is_some_and(|process| process.armed.contains(&timer))
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = Place> {
        self.places().filter(|place| self.is_member(*place))
    }

    /// The tables of all members.
    pub(crate) fn states(&self) -> Vec<NodeState> {
        let member = |node: &&Node| node.membership() == Membership::Member;
        self.places()
            .filter_map(|place| self.node(place))
            .filter(member)
            .map(Node::ring_state)
            .collect()
    }

    pub(crate) fn remembered(&self, place: Place) -> Vec<Peer> {
        self.node(place).map(Node::remembered).unwrap_or_default()
    }

    /// The process ends; what is on its way to it is lost.
    pub(crate) fn crash(&mut self, place: Place) {
        self.processes[usize::from(place)] = None;
        self.questions.retain(|question| question.from != place);
        self.tells.retain(|saying| saying.to != place);
    }

    /// Whether nobody waits for an answer of somebody who waits, and so on round
    /// to the first.
    pub(crate) fn nobody_waits_in_a_circle(&self) -> bool {
        let waits = |q: &&Question| q.arrived && q.answer.is_none() && self.is_up(q.to);
        let mut edges: BTreeSet<(Place, Place)> =
            self.questions.iter().filter(waits).map(|q| (q.from, q.to)).collect();
        // Whoever waits for nobody frees those who wait for it.
        loop {
            let waiting: BTreeSet<Place> = edges.iter().map(|(from, _)| *from).collect();
            let before = edges.len();
            edges.retain(|(_, to)| waiting.contains(to));
            if edges.len() == before {
                return edges.is_empty();
            }
        }
    }

    fn question_of(&self, place: Place) -> Option<Question> {
        self.questions.iter().find(|question| question.from == place).cloned()
    }

    /// A print of all of it.
    pub(crate) fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }
}

/// A line a node: `0 Member before 3, list 1 2`.
impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in self.places() {
            let Some(node) = self.node(place) else { continue };
            let at = |peer: &Peer| peer.id(node.config().space()).value().to_string();
            let list: Vec<String> = node.successors().iter().map(at).collect();
            let before = node.predecessor().as_ref().map_or("-".into(), at);
            let membership = node.membership();
            writeln!(f, "{place} {membership:?} before {before}, list {}", list.join(" "))?;
        }
        for question in &self.questions {
            writeln!(f, "{question:?}")?;
        }
        for saying in &self.tells {
            writeln!(f, "{saying:?}")?;
        }
        Ok(())
    }
}
