//! A small deterministic driver of links and gossip.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::mesh::gossip::{Gossip, Heard};
use crate::mesh::links::{Change, Effect, Event, Links, MAX_CHOSEN, MAX_INCOMING, RANDOM};
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::MeshMessage;
use crate::wire::mesh::{GossipBody, LinkMessage};
use crate::wire::query::LinkKind;

/// How often a node looks for links that are missing.
const DRAW: Duration = Duration::from_millis(900);

pub(super) fn address(number: u16) -> SocketAddr {
    ([127, 0, 0, 1], 2000 + number).into()
}

pub(super) fn peer(number: u16) -> Peer {
    Peer::new(address(number), 0)
}

fn number(peer: Peer) -> u16 {
    peer.address().port() - 2000
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// Keeps its connections and sends nothing.
    Stopped,
    /// Refuses connections.
    Dead,
}

/// A process that runs, or ran.
struct Node {
    links: Links,
    gossip: Gossip,
    state: State,
    draw_at: Time,
    /// The time with which it is in the list of timers.
    due: Option<Time>,
    /// What arrived while it was paused.
    held: Vec<Parcel>,
}

enum Parcel {
    Message { from: u16, to: u16, message: MeshMessage },
    Gone { at: u16, of: u16 },
}

/// All nodes and the network between them.
pub(super) struct World {
    pub(super) now: Time,
    pub(super) rng: fastrand::Rng,
    nodes: BTreeMap<u16, Node>,
    queue: BTreeMap<(Time, u64), Parcel>,
    parcels: u64,
    timers: BTreeSet<(Time, u16)>,
    connected: BTreeSet<(u16, u16)>,
    /// When the last parcel of a pair arrives: a connection keeps the order.
    last: BTreeMap<(u16, u16), Time>,
    /// The nodes whose links changed last.
    touched: u16,
    /// This many of 1 000 messages are lost.
    pub(super) loss: u16,
    /// Whether links are drawn by chance.
    pub(super) draws: bool,
    /// What happened: when, at which node, what.
    pub(super) events: Vec<(Time, u16, Event)>,
    /// Which node was found dead by which.
    pub(super) dead: Vec<(u16, u16)>,
    /// Beats that were sent.
    pub(super) beats: usize,
    /// Which node received which message.
    pub(super) heard: Vec<(u16, String)>,
}

impl World {
    pub(super) fn new(seed: u64, nodes: u16) -> World {
        let mut world = World {
            now: Time::ZERO,
            rng: fastrand::Rng::with_seed(seed),
            nodes: BTreeMap::new(),
            queue: BTreeMap::new(),
            parcels: 0,
            timers: BTreeSet::new(),
            connected: BTreeSet::new(),
            last: BTreeMap::new(),
            touched: 0,
            loss: 0,
            draws: true,
            events: Vec::new(),
            dead: Vec::new(),
            beats: 0,
            heard: Vec::new(),
        };
        (0..nodes).for_each(|number| world.start(number));
        world
    }

    /// Starts a process, without memory of an earlier one.
    pub(super) fn start(&mut self, number: u16) {
        let node = Node {
            links: Links::new(address(number)),
            gossip: Gossip::new(address(number)),
            state: State::Runs,
            draw_at: self.now + Duration::from_millis(self.rng.u64(0..500)),
            due: None,
            held: Vec::new(),
        };
        let before = self.nodes.insert(number, node);
        if let Some(due) = before.and_then(|before| before.due) {
            self.timers.remove(&(due, number));
        }
        self.wind(number);
    }

    /// Ends a process; its peers see their connections end.
    pub(super) fn kill(&mut self, dead: u16) {
        self.node(dead).state = State::Dead;
        self.wind(dead);
        let pairs: Vec<(u16, u16)> = self.connected.iter().copied().collect();
        for (a, b) in pairs.into_iter().filter(|(a, b)| *a == dead || *b == dead) {
            self.connected.remove(&(a, b));
            let at = if a == dead { b } else { a };
            self.post(dead, at, Parcel::Gone { at, of: dead });
        }
    }

    pub(super) fn stop(&mut self, number: u16) {
        self.node(number).state = State::Stopped;
        self.wind(number);
    }

    pub(super) fn resume(&mut self, number: u16) {
        let node = self.node(number);
        if node.state == State::Stopped {
            node.state = State::Runs;
            for parcel in std::mem::take(&mut node.held) {
                self.deliver(parcel);
            }
        }
        self.wind(number);
    }

    /// Breaks the connection of two nodes, which both go on running.
    pub(super) fn disconnect_wire(&mut self, a: u16, b: u16) {
        self.connected.remove(&(a.min(b), a.max(b)));
        self.post(a, b, Parcel::Gone { at: b, of: a });
        self.post(b, a, Parcel::Gone { at: a, of: b });
    }

    pub(super) fn connect(&mut self, a: u16, b: u16) -> bool {
        self.with_links(a, |links, now, out| links.connect(now, peer(b), out)).is_ok_and(|is| is)
    }

    /// What a node reads from its disk after a restart.
    pub(super) fn wish_again(&mut self, a: u16, b: u16) {
        self.with_links(a, |links, now, _| links.wish_again(now, [peer(b)]));
    }

    pub(super) fn disconnect(&mut self, a: u16, b: u16) -> bool {
        self.with_links(a, |links, now, out| links.disconnect(now, address(b), out)).is_some()
    }

    pub(super) fn leave(&mut self, number: u16) {
        self.with_links(number, |links, now, out| links.close(now, out));
    }

    /// Sends a message to all users.
    pub(super) fn say(&mut self, at: u16, text: &str) {
        let (id, now) = (self.rng.u128(..), self.now);
        let body = GossipBody::Say(text.to_owned());
        let piece = self.node(at).gossip.begin(now, id, peer(at), 0, body).expect("not too much");
        for to in self.open(at) {
            self.send(at, to, MeshMessage::Gossip(piece.clone()));
        }
    }

    /// The peers with which a node has links.
    pub(super) fn open(&self, at: u16) -> Vec<u16> {
        self.nodes[&at].links.open().map(|link| number(link.peer())).collect()
    }

    pub(super) fn links(&self, at: u16) -> &Links {
        &self.nodes[&at].links
    }

    pub(super) fn kind(&self, at: u16, with: u16) -> Option<LinkKind> {
        let links = &self.nodes[&at].links;
        links.open().find(|link| link.peer() == peer(with)).map(|link| link.kind())
    }

    pub(super) fn living(&self) -> Vec<u16> {
        let runs = |(number, node): (&u16, &Node)| (node.state == State::Runs).then_some(*number);
        self.nodes.iter().filter_map(runs).collect()
    }

    /// When something first happened at a node with a peer since then.
    pub(super) fn first(&self, since: Time, at: u16, with: u16, change: Change) -> Option<Time> {
        let is = |(when, who, event): &&(Time, u16, Event)| {
            *when >= since && *who == at && event.peer == peer(with) && event.change == change
        };
        self.events.iter().find(is).map(|(when, ..)| *when)
    }

    /// Lets time pass, and checks the invariants after every step.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.step(end) {
            self.check(self.touched);
        }
        self.now = end;
    }

    fn step(&mut self, end: Time) -> bool {
        let parcel = self.queue.first_key_value().map(|((at, _), _)| *at);
        let timer = self.timers.first().copied();
        match (parcel, timer) {
            (Some(at), timer) if at <= end && timer.is_none_or(|(due, _)| at <= due) => {
                self.now = self.now.max(at);
                if let Some((_, parcel)) = self.queue.pop_first() {
                    self.deliver(parcel);
                }
                true
            }
            (_, Some((due, number))) if due <= end => {
                self.now = self.now.max(due);
                self.tick(number);
                true
            }
            _ => false,
        }
    }

    /// Plans the next timer of a node.
    fn wind(&mut self, number: u16) {
        let node = &self.nodes[&number];
        let draw = (self.draws && node.links.lacking() > 0).then_some(node.draw_at);
        let due = draw.into_iter().chain(node.links.due()).min();
        let due = due.filter(|_| node.state == State::Runs);
        if let Some(old) = std::mem::replace(&mut self.node(number).due, due) {
            self.timers.remove(&(old, number));
        }
        self.timers.extend(due.map(|due| (due, number)));
    }

    fn tick(&mut self, number: u16) {
        let draws = self.draws && self.nodes[&number].draw_at <= self.now;
        let mut candidates: Vec<Peer> = self.nodes.keys().copied().map(peer).collect();
        self.rng.shuffle(&mut candidates);
        if draws {
            self.node(number).draw_at = self.now + DRAW;
        }
        self.with_links(number, |links, now, out| {
            links.tick(now, 0, out);
            if draws {
                links.draw(now, &candidates, out);
            }
        });
    }

    fn deliver(&mut self, parcel: Parcel) {
        let to = match &parcel {
            Parcel::Message { to, .. } => *to,
            Parcel::Gone { at, .. } => *at,
        };
        match (self.nodes[&to].state, parcel) {
            (State::Runs, Parcel::Message { from, to, message }) => self.receive(from, to, message),
            (State::Runs, Parcel::Gone { at, of }) => {
                self.with_links(at, |links, now, out| links.gone(now, address(of), 0, out));
            }
            (State::Stopped, parcel) => self.node(to).held.push(parcel),
            (State::Dead, Parcel::Message { from, to, .. }) => {
                self.post(to, from, Parcel::Gone { at: from, of: to });
            }
            (State::Dead, Parcel::Gone { .. }) => {}
        }
    }

    fn receive(&mut self, from: u16, to: u16, message: MeshMessage) {
        match message {
            MeshMessage::Link(message) => {
                self.with_links(to, |links, now, out| {
                    links.received(now, peer(from), message, 0, out);
                });
            }
            MeshMessage::Gossip(piece) => {
                let now = self.now;
                if !self.nodes[&to].links.is_open(address(from)) {
                    return;
                }
                let heard = self.node(to).gossip.hear(now, address(from), &piece);
                if let Heard::News { pass_on } = heard {
                    if let GossipBody::Say(text) = &piece.body {
                        self.heard.push((to, text.clone()));
                    }
                    if let Some(piece) = pass_on {
                        for next in self.open(to).into_iter().filter(|next| *next != from) {
                            self.send(to, next, MeshMessage::Gossip(piece.clone()));
                        }
                    }
                }
            }
            MeshMessage::Search(_) => {}
        }
    }

    fn with_links<T>(
        &mut self,
        at: u16,
        change: impl FnOnce(&mut Links, Time, &mut Vec<Effect>) -> T,
    ) -> T {
        let now = self.now;
        let mut out = Vec::new();
        self.touched = at;
        let result = change(&mut self.node(at).links, now, &mut out);
        self.wind(at);
        for effect in out {
            match effect {
                Effect::Send { to, message } => {
                    self.beats += usize::from(matches!(message, LinkMessage::Beat { .. }));
                    self.send(at, number(to), MeshMessage::Link(message));
                }
                Effect::Event(event) => self.events.push((now, at, event)),
                Effect::Dead(dead) => self.dead.push((at, number(dead))),
            }
        }
        result
    }

    fn send(&mut self, from: u16, to: u16, message: MeshMessage) {
        if self.rng.u16(..1_000) < self.loss {
            return;
        }
        if self.nodes[&to].state != State::Dead {
            self.connected.insert((from.min(to), from.max(to)));
        }
        self.post(from, to, Parcel::Message { from, to, message });
    }

    fn post(&mut self, from: u16, to: u16, parcel: Parcel) {
        let delay = Duration::from_micros(self.rng.u64(100..5_000));
        let last = self.last.entry((from, to)).or_default();
        *last = (*last).max(self.now + delay);
        self.parcels += 1;
        self.queue.insert((*last, self.parcels), parcel);
    }

    fn node(&mut self, number: u16) -> &mut Node {
        self.nodes.get_mut(&number).expect("it was started")
    }

    /// The invariants of every moment.
    fn check(&self, number: u16) {
        let links = &self.nodes[&number].links;
        let count = |kind| links.open().filter(|link| link.kind() == kind).count();
        assert!(count(LinkKind::Random) <= RANDOM, "{number} at {}", self.now);
        assert!(count(LinkKind::Chosen) <= MAX_CHOSEN, "{number} at {}", self.now);
        assert!(count(LinkKind::Incoming) <= MAX_INCOMING, "{number} at {}", self.now);
        assert!(!links.is_open(address(number)), "{number} is linked with itself");
    }

    /// Whether both ends of every link of live nodes know it.
    pub(super) fn agree(&self) -> Result<(), String> {
        for at in self.living() {
            for with in self.open(at) {
                let both = self.nodes[&with].state == State::Runs && self.open(with).contains(&at);
                if !both {
                    return Err(format!("{at} has a link with {with}, which has none"));
                }
            }
        }
        Ok(())
    }

    /// How many live nodes can be reached from one of them over links.
    pub(super) fn reached(&self, from: u16) -> usize {
        let living: BTreeSet<u16> = self.living().into_iter().collect();
        let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
        while let Some(at) = open.pop() {
            let next = self.open(at).into_iter().filter(|next| living.contains(next));
            open.extend(next.filter(|next| seen.insert(*next)));
        }
        seen.len()
    }
}
