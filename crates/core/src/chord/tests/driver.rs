//! A small deterministic driver: virtual clock, seeded delays, loss,
//! duplication, crashes, restarts, partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use crate::chord::invariant::{Members, NodeState};
use crate::chord::{
    Command, Config, Effect, Host, Input, Node, Notice, Reply, Slot, Standing, StoreFailure,
    StoreOp, Ticket, Timer,
};
use crate::id::Space;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::Record;
use crate::time::Time;
use crate::wire::handshake::Params;
use crate::wire::{Message, Nonce, Tell};

/// A network with its nodes.
pub(super) struct Net {
    pub(super) now: Time,
    rng: fastrand::Rng,
    queue: BTreeMap<(Time, u64), Event>,
    seq: u64,
    processes: BTreeMap<SocketAddr, Process>,
    pub(super) config: Config,
    /// Positions of each process that is started from now on.
    pub(super) positions: u16,
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
struct Process {
    host: Option<Host>,
    timers: BTreeMap<(Slot, Timer), u64>,
    /// What is durable; stays when it dies.
    disk: BTreeMap<FileName, Record>,
    life: u32,
}

/// Who sent a message: a position of a life of a process.
#[derive(Clone, Copy)]
struct Sender {
    peer: Peer,
    slot: Slot,
    life: u32,
}

enum Event {
    Deliver { from: Sender, to: Peer, to_life: Option<u32>, message: Message },
    Fire { at: SocketAddr, slot: Slot, timer: Timer },
    Late { at: SocketAddr, life: u32, slot: Slot, from: Peer, nonce: Nonce },
    Lost { at: SocketAddr, life: u32, peer: Peer },
    Disk { at: SocketAddr, life: u32, slot: Slot, ticket: Ticket, op: StoreOp },
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
            processes: BTreeMap::new(),
            positions: 1,
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
        Net::of_hosts(seed, r, bits, count, 1)
    }

    /// The same of processes with so many positions.
    pub(super) fn of_hosts(seed: u64, r: usize, bits: u8, count: u16, positions: u16) -> Net {
        let mut net = Net::new(seed, r, bits);
        net.positions = positions;
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
        self.process(number, BTreeMap::new(), remembered);
    }

    /// Restarts the process at an address with the disk that it had.
    pub(super) fn restart(&mut self, number: u16, remembered: &[u16]) {
        let disk = self.processes[&address(number)].disk.clone();
        self.process(number, disk, remembered);
    }

    fn process(&mut self, number: u16, disk: BTreeMap<FileName, Record>, remembered: &[u16]) {
        let at = address(number);
        let life = self.processes.get(&at).map_or(0, |process| process.life + 1);
        let host = Some(Host::new(&self.config, at, self.positions));
        let records = disk.values().cloned().collect();
        self.processes.insert(at, Process { host, timers: BTreeMap::new(), disk, life });
        let remembered = remembered.iter().map(|n| peer(*n)).collect();
        self.input(at, Input::Start { records, remembered });
    }

    /// Puts a node in that was built elsewhere.
    pub(super) fn insert(&mut self, node: Node) {
        self.insert_host(Host::of(vec![node]));
    }

    /// The same with a whole host.
    pub(super) fn insert_host(&mut self, host: Host) {
        let at = host.peer().address();
        let host = Some(host);
        let (timers, disk) = (BTreeMap::new(), BTreeMap::new());
        self.processes.insert(at, Process { host, timers, disk, life: 0 });
    }

    /// Starts the timers of a node put in with [`Net::insert`].
    pub(super) fn wake(&mut self, number: u16) {
        let input = Input::Start { records: Vec::new(), remembered: Vec::new() };
        self.input(address(number), input);
    }

    /// Kills the process at an address; whoever talked to it notices.
    pub(super) fn crash(&mut self, number: u16) {
        let at = address(number);
        let process = self.processes.get_mut(&at).expect("it ran");
        let Some(host) = process.host.take() else { return };
        if !self.refuse {
            return;
        }
        for peer in host.positions() {
            let near = self.nodes().filter(|other| knows(other, peer));
            let near: BTreeSet<SocketAddr> = near.map(|n| n.peer().address()).collect();
            for other in near {
                let life = self.processes[&other].life;
                self.later(Event::Lost { at: other, life, peer });
            }
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
            .processes
            .get(&address(contact))
            .and_then(|process| process.host.as_ref())
            .map_or(peer(contact), Host::peer);
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

    /// All positions of all hosts, but those that have not started.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        let nodes = self.hosts().flat_map(|host| host.nodes().iter().enumerate());
        nodes
            .filter(|(slot, node)| *slot == 0 || node.standing() != Standing::New)
            .map(|(_, node)| node)
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.processes.values().filter_map(|process| process.host.as_ref())
    }

    pub(super) fn host(&self, number: u16) -> &Host {
        self.processes[&address(number)].host.as_ref().expect("it runs")
    }

    pub(super) fn node(&self, number: u16) -> &Node {
        &self.host(number).nodes()[0]
    }

    /// The processes that run and have this version of a name, or a newer one, on
    /// their disks.
    pub(super) fn disks_with(&self, record: &Record) -> usize {
        let has = |process: &&Process| {
            let held = process.disk.get(&record.name);
            process.host.is_some() && held.is_some_and(|held| held.version >= record.version)
        };
        self.processes.values().filter(has).count()
    }

    /// Whether every position holds only what is on its host's disk.
    pub(super) fn disks_agree(&self) -> bool {
        self.processes.values().all(|process| {
            let nodes = process.host.iter().flat_map(|host| host.nodes());
            let mut held = nodes.flat_map(|node| node.records());
            held.all(|record| process.disk.get(&record.name) == Some(record))
        })
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
            && Members::new(self.config.space(), &self.states()).is_ideal(&self.config)
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
        self.processes.get(&at).map_or(0, |process| process.life)
    }

    fn happen(&mut self, seq: u64, event: Event) {
        match event {
            Event::Fire { at, slot, timer } => {
                let process = self.processes.get_mut(&at).expect("armed it");
                if process.timers.get(&(slot, timer)) == Some(&seq) {
                    process.timers.remove(&(slot, timer));
                    self.turn(at, Some(slot), Input::Fired(timer), None);
                }
            }
            Event::Late { at, life, slot, from, nonce } if life == self.life(at) => {
                self.turn(at, Some(slot), Input::NoAnswer { from, nonce }, None);
            }
            Event::Lost { at, life, peer } if life == self.life(at) => {
                self.input(at, Input::PeerLost(peer));
            }
            Event::Disk { at, life, slot, ticket, op } if life == self.life(at) => {
                let result = self.work(at, op);
                self.turn(at, Some(slot), Input::Stored { ticket, result }, None);
            }
            Event::Deliver { from, to, to_life, message } => {
                self.deliver(from, to, to_life, message);
            }
            _ => {}
        }
    }

    /// What the disk of a process does.
    fn work(&mut self, at: SocketAddr, op: StoreOp) -> Result<(), StoreFailure> {
        let process = self.processes.get(&at).filter(|process| process.host.is_some());
        let Some(process) = process else { return Ok(()) };
        let mut disk = process.disk.clone();
        match op {
            StoreOp::Keep { record, sources, .. } => {
                let has = |peer: &Peer| {
                    let source = self.processes.get(&peer.address());
                    let source = source.filter(|source| source.host.is_some());
                    let bytes = |held: &Record| held.version.root == record.version.root;
                    source.is_some_and(|source| source.disk.values().any(bytes))
                };
                let here = disk.values().any(|held| held.version.root == record.version.root);
                let reached =
                    sources.iter().any(|peer| !self.is_apart(at, peer.address()) && has(peer));
                if !(sources.is_empty() || here || record.is_deleted() || reached) {
                    return Err(StoreFailure::NoSource);
                }
                let newer =
                    disk.get(&record.name).is_some_and(|held| held.version > record.version);
                if !newer {
                    disk.insert(record.name.clone(), record);
                }
            }
            StoreOp::Drop { name, version, .. } => {
                if disk.get(&name).is_some_and(|held| held.version == version) {
                    disk.remove(&name);
                }
            }
        }
        self.processes.get_mut(&at).expect("it runs").disk = disk;
        Ok(())
    }

    fn is_apart(&self, one: SocketAddr, other: SocketAddr) -> bool {
        self.apart.contains(&one) != self.apart.contains(&other)
    }

    fn deliver(&mut self, from: Sender, to: Peer, to_life: Option<u32>, message: Message) {
        if self.is_apart(from.peer.address(), to.address()) {
            return;
        }
        let at = to.address();
        let there = self.processes.get(&at).and_then(|process| process.host.as_ref());
        let Some(there) = there else {
            if self.refuse {
                let Sender { peer, slot, life } = from;
                let at = peer.address();
                self.later(Event::Lost { at, life, peer: to });
                if let Message::Ask { nonce, .. } = message {
                    self.later(Event::Late { at, life, slot, from: to, nonce });
                }
            }
            return;
        };
        // An answer comes on the connection of its question, which ends with
        // the process; a message for another index finds nobody.
        if to_life.is_some_and(|life| life != self.life(at)) {
            return;
        }
        if let Some(slot) = there.slot_of(to.index()) {
            let input = Input::Received { from: from.peer, message };
            self.turn(at, Some(slot), input, Some(from));
        }
    }

    fn input(&mut self, at: SocketAddr, input: Input) {
        self.turn(at, None, input, None);
    }

    fn turn(&mut self, at: SocketAddr, to: Option<Slot>, input: Input, asker: Option<Sender>) {
        let mut out = Vec::new();
        let now = self.now;
        let process = self.processes.get_mut(&at).expect("there is a process");
        let life = process.life;
        let Some(host) = process.host.as_mut() else { return };
        match to {
            Some(slot) => host.handle_at(now, slot, input, &mut out),
            None => host.handle(now, input, &mut out),
        }
        for (slot, effect) in out {
            let host = self.processes[&at].host.as_ref().expect("it runs");
            let me = host.node(slot).expect("one of its positions").peer();
            match effect {
                Effect::Send { to, message } => {
                    self.send(Sender { peer: me, slot, life }, to, message, asker);
                }
                Effect::Arm { timer, after } => {
                    let (low, high) = (after.start.as_micros(), after.end.as_micros());
                    let wait = self.rng.u64(low as u64..=high as u64);
                    let fire = Event::Fire { at, slot, timer };
                    let seq = self.at(now + Duration::from_micros(wait), fire);
                    let process = self.processes.get_mut(&at).expect("runs");
                    process.timers.insert((slot, timer), seq);
                }
                // A driver may let it go on.
                Effect::Cease { .. } => {}
                Effect::Disarm(timer) => {
                    self.processes.get_mut(&at).expect("runs").timers.remove(&(slot, timer));
                }
                Effect::Store { ticket, op } => {
                    self.later(Event::Disk { at, life, slot, ticket, op });
                }
                Effect::Reply { ticket, reply } => {
                    let old = self.replies.insert(ticket, reply);
                    assert_eq!(old, None, "one reply to a command");
                }
                Effect::Notice(notice) => self.notices.push((me, notice)),
            }
        }
    }

    fn send(&mut self, from: Sender, to: Peer, message: Message, asker: Option<Sender>) {
        assert_ne!(
            from.peer.address(),
            to.address(),
            "{} sends {message:?} to itself {to}",
            from.peer
        );
        self.sent += 1;
        if let Message::Tell(Tell::Provided { providers }) = &message {
            self.told += providers.len();
        }
        if let Message::Ask { nonce, .. } = message {
            let Sender { peer, slot, life } = from;
            let late = Event::Late { at: peer.address(), life, slot, from: to, nonce };
            self.at(self.now + self.patience, late);
        }
        let to_life = match message {
            // Over the connection of its question, whose other end may have ended.
            Message::Answer { .. } => asker.map(|asker| asker.life),
            _ => None,
        };
        if self.rng.u16(0..1000) < self.loss {
            return;
        }
        let copies = 1 + u8::from(self.rng.u16(0..1000) < self.twice);
        for _ in 0..copies {
            let message = message.clone();
            self.later(Event::Deliver { from, to, to_life, message });
        }
    }
}

fn knows(node: &Node, peer: Peer) -> bool {
    node.predecessor() == Some(peer) || node.successors().contains(&peer)
}
