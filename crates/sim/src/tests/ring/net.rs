//! A world whose hosts do only what a story tells them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use chordal_core::chord::invariant::{Members, NodeState, Report};
use chordal_core::chord::{Command, Config, Host, Input, Membership, Node, Notice, Reply, Ticket};
use chordal_core::peer::Peer;
use chordal_core::record::Record;
use chordal_core::time::Time;

use crate::chance::Chance;
use crate::host::{self, Disk, HostId, Position, State, host_at};
use crate::setup::{Latency, Setup};
use crate::world::{Follow, World};

/// The seed of the addresses, whatever the seed of the story: the identifiers of hosts are
/// the same in all of them.
const ADDRESSES: u64 = 1;

/// Up to this number a story may name hosts that it never starts.
const NAMED: u16 = 31;

/// A network with its hosts, which are numbered from 0.
pub(super) struct Net {
    world: World,
    pub(super) now: Time,
    pub(super) config: Config,
    /// Positions of each process that is started from now on.
    pub(super) positions: u16,
    /// Of 1 000 messages, so many are lost.
    pub(super) loss: u16,
    /// Of 1 000 messages, so many arrive twice.
    pub(super) twice: u16,
    /// Microseconds on the way.
    pub(super) delay: Range<u64>,
    /// Whether a dead process refuses connections at once, or is silent.
    pub(super) refuse: bool,
    /// After which a question counts as not answered.
    pub(super) patience: Duration,
    /// Hosts that cannot reach the others, nor be reached.
    pub(super) apart: BTreeSet<u16>,
    /// Messages sent so far.
    pub(super) sent: usize,
    /// Records of sharers told so far, from node to node.
    pub(super) told: usize,
    pub(super) notices: Vec<(Peer, Notice)>,
}

pub(super) fn address(number: u16) -> SocketAddr {
    host::address(ADDRESSES, number.into())
}

pub(super) fn peer(number: u16) -> Peer {
    Peer::new(address(number), 0)
}

/// The number of a peer's host.
pub(super) fn number_of(peer: Peer) -> u16 {
    host_at(peer.address()).and_then(|host| host.try_into().ok()).expect("a host of a story")
}

impl Net {
    /// An empty network: r successors, 2^`bits` places, delays of a LAN.
    pub(super) fn new(seed: u64, r: usize, bits: u8) -> Net {
        let setup = Setup {
            seed: ADDRESSES,
            bits,
            successors: r,
            disk: Duration::from_millis(1),
            ..Setup::default()
        };
        let mut world = World::empty(&setup);
        world.chance = Chance::new(seed);
        world.by_hand = true;
        world.follow(Follow::Everybody);
        let mut net = Net {
            now: Time::ZERO,
            config: (*world.config).clone(),
            positions: 1,
            loss: 0,
            twice: 0,
            delay: 200..2_000,
            refuse: true,
            patience: Duration::from_millis(300),
            apart: BTreeSet::new(),
            sent: 0,
            told: 0,
            notices: Vec::new(),
            world,
        };
        net.id(NAMED);
        net
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

    /// Starts the process of a host with an empty disk.
    pub(super) fn start(&mut self, number: u16, remembered: &[u16]) {
        let host = self.id(number);
        self.world.hosts[host as usize].extra_mut().disk = Disk::default();
        self.restart(number, remembered);
    }

    /// Starts the process of a host with the disk that it had.
    pub(super) fn restart(&mut self, number: u16, remembered: &[u16]) {
        let host = self.id(number);
        remembered.iter().for_each(|other| _ = self.id(*other));
        let remembered = remembered.iter().map(|other| peer(*other)).collect();
        self.act(|world| world.start(host, remembered));
    }

    /// Puts a node in that was built for this story. Its timers do not run.
    pub(super) fn insert(&mut self, node: Node) {
        self.insert_host(Host::of(vec![node]));
    }

    /// The same with a whole host.
    pub(super) fn insert_host(&mut self, core: Host) {
        let host = self.id(number_of(core.peer()));
        self.act(|world| {
            let found = &mut world.hosts[host as usize];
            found.positions = core.nodes().iter().map(|_| Position::default()).collect();
            found.core = Some(core);
            (found.state, found.entered) = (State::Up, true);
            world.alive.insert(host);
            world.list(host);
        });
    }

    /// Starts the timers of a node put in with [`Net::insert`].
    pub(super) fn wake(&mut self, number: u16) {
        self.input(number, Input::Start { records: Vec::new(), remembered: Vec::new() });
    }

    /// Kills the process of a host; its neighbours notice if it refuses connections.
    pub(super) fn crash(&mut self, number: u16) {
        let host = self.id(number);
        self.act(|world| world.crash(host));
    }

    /// Tells a node that the connection to another broke, which is not true.
    pub(super) fn rumour(&mut self, number: u16, about: u16) {
        if number != about {
            self.input(number, Input::PeerLost(peer(about)));
        }
    }

    /// Tells a node that somebody says that these are members.
    pub(super) fn heard(&mut self, number: u16, of: &[u16]) {
        of.iter().for_each(|other| _ = self.id(*other));
        self.input(number, Input::Heard { peers: of.iter().map(|other| peer(*other)).collect() });
    }

    /// Gives a command; see [`Net::reply`].
    pub(super) fn command(&mut self, number: u16, command: Command) -> Ticket {
        let host = self.id(number);
        if let Command::Commit { root, size, elsewhere, .. } = &command
            && elsewhere.is_empty()
        {
            self.world.hosts[host as usize].extra_mut().disk.take_in(*root, *size);
        }
        self.world.tickets += 1;
        let ticket = self.world.tickets;
        self.input(number, Input::Command { ticket, command });
        ticket
    }

    pub(super) fn join(&mut self, number: u16, contact: u16) -> Ticket {
        let host = self.id(contact);
        let core = self.world.hosts[host as usize].core();
        let contact = core.map_or(peer(contact), Host::peer);
        self.command(number, Command::Join { contact })
    }

    /// Runs until the command has ended.
    pub(super) fn reply(&mut self, ticket: Ticket) -> Reply {
        self.until(Duration::from_secs(120), |net| net.world.replies.contains_key(&ticket))
            .unwrap_or_else(|| panic!("no reply to {ticket}"));
        self.world.replies.remove(&ticket).expect("just seen")
    }

    pub(super) fn run(&mut self, span: Duration) {
        self.act(|world| world.run(span));
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
            .filter(|(slot, node)| *slot == 0 || node.membership() != Membership::New)
            .map(|(_, node)| node)
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.world.hosts.iter().filter_map(host::Host::core)
    }

    pub(super) fn host(&self, number: u16) -> &Host {
        self.world.hosts[usize::from(number)].core().expect("it runs")
    }

    pub(super) fn node(&self, number: u16) -> &Node {
        &self.host(number).nodes()[0]
    }

    /// The processes that run and have this version of a name, or a newer one, on
    /// their disks.
    pub(super) fn disks_with(&self, record: &Record) -> usize {
        let has = |host: &&host::Host| {
            let held = host.disk().and_then(|disk| disk.record(&record.name));
            host.lives() && held.is_some_and(|held| held.version >= record.version)
        };
        self.world.hosts.iter().filter(has).count()
    }

    /// Whether every position holds only what is on its host's disk.
    pub(super) fn disks_agree(&self) -> bool {
        self.world.hosts.iter().all(|host| {
            let mut held = host.nodes().iter().flat_map(Node::records);
            held.all(|record| host.disk().and_then(|d| d.record(&record.name)) == Some(record))
        })
    }

    fn states(&self) -> Vec<NodeState> {
        self.nodes()
            .filter(|n| n.membership() == Membership::Member)
            .map(Node::ring_state)
            .collect()
    }

    pub(super) fn report(&self) -> Report {
        Members::new(self.config.space(), &self.states()).report()
    }

    /// Whether all processes that have not left form the one ideal ring.
    pub(super) fn is_ideal(&self) -> bool {
        let membership = |n: &Node| matches!(n.membership(), Membership::Member | Membership::Left);
        self.nodes().all(membership)
            && Members::new(self.config.space(), &self.states()).is_ideal(&self.config)
    }

    /// Whether every finger is the first member at or after its start.
    pub(super) fn fingers_right(&self) -> bool {
        let space = self.config.space();
        let mut members: Vec<Peer> = self.states().into_iter().map(|state| state.peer).collect();
        members.sort_by_key(|p| p.id(space));
        let first = |start| members.partition_point(|p| p.id(space) < start) % members.len();
        self.nodes().filter(|n| n.membership() == Membership::Member).all(|node| {
            node.fingers().iter().all(|row| row.node == Some(members[first(row.start)]))
        })
    }

    pub(super) fn show(&self) -> String {
        let space = self.config.space();
        let name = |p: &Peer| format!("{}({})", p.id(space).value(), number_of(*p));
        let line = |node: &Node| {
            let list: Vec<String> = node.successors().iter().map(name).collect();
            let predecessor = node.predecessor().as_ref().map_or("-".into(), name);
            let (me, membership) = (name(&node.peer()), node.membership());
            format!("{me} {membership:?} pred {predecessor} list {}", list.join(" "))
        };
        self.nodes().map(line).collect::<Vec<_>>().join("\n")
    }

    fn input(&mut self, number: u16, input: Input) {
        let host = self.id(number);
        self.act(|world| world.feed(host, None, input, None));
    }

    /// The host of a number; made if there is none, without a process.
    fn id(&mut self, number: u16) -> HostId {
        for host in self.world.hosts.len()..=usize::from(number) {
            let host = self.world.add_host(host as HostId);
            self.world.hosts[host as usize].state = State::Crashed;
            self.world.alive.remove(host);
        }
        number.into()
    }

    /// Does something in the world as it is set up now, and takes in what came of it.
    fn act(&mut self, what: impl FnOnce(&mut World)) {
        let micros = Duration::from_micros;
        let (least, most) = (micros(self.delay.start), micros(self.delay.end - 1));
        let setup = &mut self.world.setup;
        setup.latency = Latency::Uniform { least, most };
        setup.loss = f64::from(self.loss) / 1_000.0;
        setup.duplication = f64::from(self.twice) / 1_000.0;
        (setup.refuse, setup.patience) = (self.refuse, self.patience);
        setup.vnodes = self.positions;
        if *self.world.config != self.config {
            self.world.config = Arc::new(self.config.clone());
        }
        for host in &mut self.world.hosts {
            host.group = u32::from(self.apart.iter().any(|at| HostId::from(*at) == host.number));
        }
        what(&mut self.world);
        self.now = self.world.now();
        let counts = self.world.counts();
        (self.sent, self.told) = (counts.messages as usize, counts.told as usize);
        let notices = self.world.notices().into_iter();
        self.notices.extend(notices.map(|(_, peer, notice)| (peer, notice)));
    }
}
