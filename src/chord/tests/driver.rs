//! A small deterministic driver: virtual clock, seeded delays, loss,
//! duplication, crashes, restarts, partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::chord::invariant::{Members, NodeState};
use crate::chord::{
    Command, Config, Effect, Input, Node, Notice, Reply, Standing, StoreOp, Ticket, Timer,
};
use crate::id::Space;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::handshake::Params;
use crate::wire::{Message, Nonce, Tell};

/// A network with its nodes.
pub(super) struct Net {
    pub(super) now: Time,
    rng: fastrand::Rng,
    queue: BTreeMap<(Time, u64), Event>,
    seq: u64,
    slots: BTreeMap<SocketAddr, Slot>,
    pub(super) config: Config,
    /// Of 1 000 messages, so many are lost.
    pub(super) loss: u16,
    /// Of 1 000 messages, so many arrive twice.
    pub(super) twice: u16,
    /// Microseconds on the way.
    pub(super) delay: std::ops::Range<u64>,
    /// Whether a dead process refuses connections at once, or is silent.
    pub(super) refuse: bool,
    /// After which a question counts as not answered.
    pub(super) patience: Duration,
    /// Addresses that cannot reach the others, nor be reached.
    pub(super) apart: BTreeSet<SocketAddr>,
    /// Messages sent so far.
    pub(super) sent: usize,
    /// Records of sharers told so far, from node to node.
    pub(super) told: usize,
    tickets: Ticket,
    replies: BTreeMap<Ticket, Reply>,
    pub(super) notices: Vec<(Peer, Notice)>,
}

/// A process that runs, or ran, at an address.
struct Slot {
    node: Option<Node>,
    timers: BTreeMap<Timer, u64>,
    life: u32,
}

enum Event {
    Deliver { from: Peer, from_life: u32, to: Peer, to_life: Option<u32>, message: Message },
    Fire { at: SocketAddr, timer: Timer },
    Late { at: SocketAddr, life: u32, from: Peer, nonce: Nonce },
    Lost { at: SocketAddr, life: u32, peer: Peer },
    Input { at: SocketAddr, life: u32, input: Input },
}

pub(super) fn address(number: u16) -> SocketAddr {
    ([127, 0, 0, 1], 2000 + number).into()
}

pub(super) fn peer(number: u16) -> Peer {
    Peer::new(address(number), 0)
}

impl Net {
    /// An empty network: r successors, 2^`bits` places, delays of a LAN.
    pub(super) fn new(seed: u64, r: usize, bits: u8) -> Net {
        Net {
            now: Time::ZERO,
            rng: fastrand::Rng::with_seed(seed),
            queue: BTreeMap::new(),
            seq: 0,
            slots: BTreeMap::new(),
            config: Config {
                params: Params {
                    ring: "test".into(),
                    space: Space::new(bits).expect("in range"),
                    replicas: 3,
                },
                successors: r,
                stabilize: Duration::from_secs(1),
            },
            loss: 0,
            twice: 0,
            delay: 200..2_000,
            refuse: true,
            patience: Duration::from_millis(300),
            apart: BTreeSet::new(),
            sent: 0,
            told: 0,
            tickets: 0,
            replies: BTreeMap::new(),
            notices: Vec::new(),
        }
    }

    /// A settled ring of the nodes 0 to `count`−1, grown one by one.
    pub(super) fn grown(seed: u64, r: usize, bits: u8, count: u16) -> Net {
        let mut net = Net::new(seed, r, bits);
        net.start(0, &[]);
        for number in 1..count {
            net.start(number, &[]);
            net.join(number, 0);
            net.run(Duration::from_millis(200));
        }
        net.settle(Duration::from_secs(60));
        net
    }

    /// Starts (or restarts) the process at an address.
    pub(super) fn start(&mut self, number: u16, remembered: &[u16]) {
        let at = address(number);
        let life = self.slots.get(&at).map_or(0, |slot| slot.life + 1);
        let node = Some(Node::new(self.config.clone(), at));
        self.slots.insert(at, Slot { node, timers: BTreeMap::new(), life });
        let remembered = remembered.iter().map(|n| peer(*n)).collect();
        self.input(at, Input::Start { records: Vec::new(), remembered });
    }

    /// Puts a node in that was built elsewhere.
    pub(super) fn insert(&mut self, node: Node) {
        let at = node.peer().address();
        self.slots.insert(at, Slot { node: Some(node), timers: BTreeMap::new(), life: 0 });
    }

    /// Starts the timers of a node put in with [`Net::insert`].
    pub(super) fn wake(&mut self, number: u16) {
        let input = Input::Start { records: Vec::new(), remembered: Vec::new() };
        self.input(address(number), input);
    }

    /// Kills the process at an address; whoever talked to it notices.
    pub(super) fn crash(&mut self, number: u16) {
        let at = address(number);
        let slot = self.slots.get_mut(&at).expect("it ran");
        let Some(node) = slot.node.take() else { return };
        if !self.refuse {
            return;
        }
        let near: Vec<SocketAddr> = self
            .nodes()
            .filter(|other| knows(other, node.peer()))
            .map(|n| n.peer().address())
            .collect();
        for other in near {
            let life = self.slots[&other].life;
            self.later(Event::Lost { at: other, life, peer: node.peer() });
        }
    }

    /// Tells a node that the connection to another broke, which is not true.
    pub(super) fn rumour(&mut self, number: u16, about: u16) {
        if number != about {
            self.input(address(number), Input::PeerLost(peer(about)));
        }
    }

    /// Tells a node that somebody says that these are members.
    pub(super) fn heard(&mut self, number: u16, of: &[u16]) {
        let peers = of.iter().map(|n| peer(*n)).collect();
        self.input(address(number), Input::Heard { peers });
    }

    /// Gives a command; see [`Net::reply`].
    pub(super) fn command(&mut self, number: u16, command: Command) -> Ticket {
        self.tickets += 1;
        let ticket = self.tickets;
        self.input(address(number), Input::Command { ticket, command });
        ticket
    }

    pub(super) fn join(&mut self, number: u16, contact: u16) -> Ticket {
        let contact = self
            .slots
            .get(&address(contact))
            .and_then(|slot| slot.node.as_ref())
            .map_or(peer(contact), Node::peer);
        self.command(number, Command::Join { contact })
    }

    /// Runs until the command has ended.
    pub(super) fn reply(&mut self, ticket: Ticket) -> Reply {
        self.until(Duration::from_secs(120), |net| net.replies.contains_key(&ticket))
            .unwrap_or_else(|| panic!("no reply to {ticket}"));
        self.replies.remove(&ticket).expect("just seen")
    }

    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((at, seq), event) = entry.remove_entry();
            self.now = at;
            self.happen(seq, event);
        }
        self.now = end;
    }

    /// Runs until `done`, at most so long; how long it took.
    pub(super) fn until(
        &mut self,
        limit: Duration,
        done: impl Fn(&Net) -> bool,
    ) -> Option<Duration> {
        let start = self.now;
        while !done(self) {
            if self.now - start > limit {
                return None;
            }
            // Exact where it is measured, then coarser.
            let waited = self.now - start;
            self.run(Duration::from_millis(5).max(waited / 16));
        }
        Some(self.now - start)
    }

    /// Runs until the ring is ideal and every finger table right; how long the
    /// former took.
    pub(super) fn settle(&mut self, limit: Duration) -> Duration {
        let took = self.until(limit, Net::is_ideal);
        let Some(took) = took else { panic!("not ideal after {limit:?}:\n{}", self.show()) };
        assert!(self.report().healthy(), "{}", self.show());
        let right = self.until(limit + self.config.stabilize * 40, Net::fingers_right);
        assert!(right.is_some(), "wrong fingers:\n{}", self.show());
        took
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.slots.values().filter_map(|slot| slot.node.as_ref())
    }

    pub(super) fn node(&self, number: u16) -> &Node {
        self.slots[&address(number)].node.as_ref().expect("it runs")
    }

    fn states(&self) -> Vec<NodeState> {
        self.nodes().filter(|n| n.standing() == Standing::Member).map(Node::ring_state).collect()
    }

    pub(super) fn report(&self) -> crate::chord::invariant::Report {
        Members::new(self.config.space(), &self.states()).report()
    }

    /// Whether all processes that have not left form the one ideal ring.
    pub(super) fn is_ideal(&self) -> bool {
        let standing = |n: &Node| matches!(n.standing(), Standing::Member | Standing::Left);
        self.nodes().all(standing)
            && Members::new(self.config.space(), &self.states()).ideal(self.config.successors)
    }

    /// Whether every finger is the first member at or after its start.
    pub(super) fn fingers_right(&self) -> bool {
        let space = self.config.space();
        let mut members: Vec<Peer> = self.states().into_iter().map(|state| state.peer).collect();
        members.sort_by_key(|p| p.id(space));
        let first = |start| members.partition_point(|p| p.id(space) < start) % members.len();
        self.nodes().filter(|n| n.standing() == Standing::Member).all(|node| {
            node.fingers().iter().all(|row| row.node == Some(members[first(row.start)]))
        })
    }

    pub(super) fn show(&self) -> String {
        let space = self.config.space();
        let name = |p: &Peer| format!("{}({})", p.id(space).value(), p.address().port());
        let line = |node: &Node| {
            let list: Vec<String> = node.successors().iter().map(name).collect();
            let predecessor = node.predecessor().as_ref().map_or("-".into(), name);
            let (me, standing) = (name(&node.peer()), node.standing());
            format!("{me} {standing:?} pred {predecessor} list {}", list.join(" "))
        };
        self.nodes().map(line).collect::<Vec<_>>().join("\n")
    }

    fn later(&mut self, event: Event) {
        let delay = Duration::from_micros(self.rng.u64(self.delay.clone()));
        self.at(self.now + delay, event);
    }

    fn at(&mut self, when: Time, event: Event) -> u64 {
        self.seq += 1;
        self.queue.insert((when, self.seq), event);
        self.seq
    }

    fn life(&self, at: SocketAddr) -> u32 {
        self.slots.get(&at).map_or(0, |slot| slot.life)
    }

    fn happen(&mut self, seq: u64, event: Event) {
        match event {
            Event::Fire { at, timer } => {
                let slot = self.slots.get_mut(&at).expect("armed it");
                if slot.timers.get(&timer) == Some(&seq) {
                    slot.timers.remove(&timer);
                    self.input(at, Input::Fired(timer));
                }
            }
            Event::Late { at, life, from, nonce } if life == self.life(at) => {
                self.input(at, Input::NoAnswer { from, nonce });
            }
            Event::Lost { at, life, peer } if life == self.life(at) => {
                self.input(at, Input::PeerLost(peer));
            }
            Event::Input { at, life, input } if life == self.life(at) => self.input(at, input),
            Event::Deliver { from, from_life, to, to_life, message } => {
                self.deliver(from, from_life, to, to_life, message);
            }
            _ => {}
        }
    }

    fn deliver(
        &mut self,
        from: Peer,
        from_life: u32,
        to: Peer,
        to_life: Option<u32>,
        message: Message,
    ) {
        if self.apart.contains(&from.address()) != self.apart.contains(&to.address()) {
            return;
        }
        let at = to.address();
        let there = self.slots.get(&at).and_then(|slot| slot.node.as_ref());
        if there.is_none() {
            if self.refuse {
                let (at, life) = (from.address(), from_life);
                self.later(Event::Lost { at, life, peer: to });
                if let Message::Ask { nonce, .. } = message {
                    self.later(Event::Late { at, life, from: to, nonce });
                }
            }
            return;
        }
        // An answer comes on the connection of its question, which ends with
        // the process; a message for another index finds nobody.
        if to_life.is_some_and(|life| life != self.life(at)) {
            return;
        }
        if there.is_some_and(|node| node.peer() == to) {
            self.turn(at, Input::Received { from, message }, Some((from, from_life)));
        }
    }

    fn input(&mut self, at: SocketAddr, input: Input) {
        self.turn(at, input, None);
    }

    fn turn(&mut self, at: SocketAddr, input: Input, asker: Option<(Peer, u32)>) {
        let mut out = Vec::new();
        let now = self.now;
        let slot = self.slots.get_mut(&at).expect("there is a process");
        let life = slot.life;
        let Some(node) = slot.node.as_mut() else { return };
        node.handle(now, input, &mut out);
        let me = node.peer();
        for effect in out {
            match effect {
                Effect::Send { to, message } => self.send(me, life, to, message, asker),
                Effect::Arm { timer, after } => {
                    let (low, high) = (after.start.as_micros(), after.end.as_micros());
                    let wait = self.rng.u64(low as u64..=high as u64);
                    let seq = self.at(now + Duration::from_micros(wait), Event::Fire { at, timer });
                    self.slots.get_mut(&at).expect("runs").timers.insert(timer, seq);
                }
                Effect::Disarm(timer) => {
                    self.slots.get_mut(&at).expect("runs").timers.remove(&timer);
                }
                Effect::Store { ticket, op } => {
                    let (StoreOp::Keep { .. } | StoreOp::Drop { .. }) = op;
                    let input = Input::Stored { ticket, result: Ok(()) };
                    self.later(Event::Input { at, life, input });
                }
                Effect::Reply { ticket, reply } => {
                    let old = self.replies.insert(ticket, reply);
                    assert_eq!(old, None, "one reply to a command");
                }
                Effect::Notice(notice) => self.notices.push((me, notice)),
            }
        }
    }

    fn send(
        &mut self,
        from: Peer,
        life: u32,
        to: Peer,
        message: Message,
        asker: Option<(Peer, u32)>,
    ) {
        assert_ne!(from, to, "{from} sends {message:?} to itself");
        self.sent += 1;
        if let Message::Tell(Tell::Provided { providers }) = &message {
            self.told += providers.len();
        }
        if let Message::Ask { nonce, .. } = message {
            let at = from.address();
            self.at(self.now + self.patience, Event::Late { at, life, from: to, nonce });
        }
        let to_life = match message {
            Message::Answer { .. } => asker.map(|(_, life)| life),
            _ => None,
        };
        if self.rng.u16(0..1000) < self.loss {
            return;
        }
        let copies = 1 + u8::from(self.rng.u16(0..1000) < self.twice);
        for _ in 0..copies {
            let message = message.clone();
            self.later(Event::Deliver { from, from_life: life, to, to_life, message });
        }
    }
}

fn knows(node: &Node, peer: Peer) -> bool {
    node.predecessor() == Some(peer) || node.successors().contains(&peer)
}
