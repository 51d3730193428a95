//! A world: hosts, the network between them, the time, and the planned events.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chordal_core::chord::{self, Config, Effect, Input, Node, Notice, Reply, Slot, Ticket};
use chordal_core::id::{Id, Space};
use chordal_core::peer::Peer;
use chordal_core::time::Time;

use super::chance::Chance;
use super::churn::{Churn, Workload};
use super::event::{Event, Job, Spot};
use super::files::Ledger;
use super::host::{Host, HostId, Position, State, address};
use super::operation::{Ended, OpId, Operation, Wait};
use super::queue::Queue;
use super::setup::Setup;
use super::trace::{Trace, TraceHash};

/// Notices kept for a caller that follows hosts; the oldest are dropped first.
const MAX_NOTICES: usize = 10_000;

/// Counts since the world began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages between cores.
    pub messages: u64,
    /// Messages that were lost, or stopped by a partition.
    pub lost: u64,
    /// Records of sharers that nodes told each other.
    pub told: u64,
    /// Contents copied from one host to another by the ring.
    pub copies: u64,
    /// Bytes of these contents.
    pub copied_bytes: u64,
    /// Hosts that entered the ring.
    pub joined: u64,
    /// Hosts that crashed or left.
    pub gone: u64,
}

/// Which hosts' notices are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// No host's.
    #[default]
    Nobody,
    /// Those of one host.
    Host(HostId),
    /// All hosts'.
    Everybody,
}

/// Simulated hosts on a simulated network: see [`super`].
#[derive(Debug)]
pub struct World {
    pub(super) setup: Setup,
    /// Shared by all nodes.
    pub(super) config: Arc<Config>,
    pub(super) space: Space,
    pub(super) now: Time,
    pub(super) events: u64,
    pub(super) trace: Trace,
    pub(super) chance: Chance,
    pub(super) queue: Queue<Event>,
    pub(super) hosts: Vec<Host>,
    /// Hosts with a process, for random choices.
    pub(super) alive: Alive,
    /// The members by their identifiers: the truth.
    pub(super) members: BTreeMap<(Id, HostId), Slot>,
    /// Whether maintenance timers run.
    pub(super) maintained: bool,
    pub(super) counts: Counts,
    /// Kept from turn to turn, so that no turn allocates.
    pub(super) effects: Vec<(Slot, Effect)>,
    pub(super) tickets: Ticket,
    /// What waits for a core's reply.
    pub(super) waiting: BTreeMap<Ticket, Wait>,
    pub(super) operations: BTreeMap<u64, Operation>,
    pub(super) next_operation: u64,
    pub(super) ended: Vec<(OpId, Ended)>,
    pub(super) jobs: BTreeMap<u32, Job>,
    pub(super) next_job: u32,
    pub(super) ledger: Ledger,
    pub(super) churn: Option<Churn>,
    pub(super) workload: Option<Workload>,
    /// Incremented when churn or workload change: events that were planned for the old ones
    /// are ignored.
    pub(super) plan: u32,
    pub(super) faults: Vec<super::scenario::Fault>,
    /// Whether a caller gives every command: then no host joins by itself, and replies to
    /// unknown tickets are stored.
    pub(super) by_hand: bool,
    pub(super) replies: BTreeMap<Ticket, Reply>,
    follow: Follow,
    notices: VecDeque<(Time, Peer, Notice)>,
}

impl World {
    pub(super) fn empty(setup: &Setup) -> World {
        let config = Arc::new(setup.config());
        World {
            space: config.space(),
            config,
            now: Time::ZERO,
            events: 0,
            trace: Trace::new(),
            chance: Chance::new(setup.seed),
            queue: Queue::new(),
            hosts: Vec::new(),
            alive: Alive::default(),
            members: BTreeMap::new(),
            maintained: true,
            counts: Counts::default(),
            effects: Vec::new(),
            tickets: 0,
            waiting: BTreeMap::new(),
            operations: BTreeMap::new(),
            next_operation: 0,
            ended: Vec::new(),
            jobs: BTreeMap::new(),
            next_job: 0,
            ledger: Ledger::default(),
            churn: None,
            workload: None,
            plan: 0,
            faults: Vec::new(),
            by_hand: false,
            replies: BTreeMap::new(),
            follow: Follow::Nobody,
            notices: VecDeque::new(),
            setup: setup.clone(),
        }
    }

    /// A settled ring of all the setup's hosts: every table is right, and the timers run.
    /// `progress` is called from time to time with the number of ring positions that are
    /// done, and of all.
    ///
    /// # Panics
    /// If the setup does not pass [`Setup::check`].
    pub fn settled(setup: &Setup, progress: &mut dyn FnMut(u64, u64)) -> World {
        /// Positions between two progress reports.
        const STEP: u64 = 4_096;
        let mut world = World::checked(setup);
        let positions = u64::from(setup.hosts) * u64::from(setup.vnodes);
        let mut ring: Vec<(Peer, Spot)> = Vec::with_capacity(positions as usize);
        for number in 0..setup.hosts {
            world.add_host(number);
            for position in 0..setup.vnodes {
                let peer = Peer::new(world.address(number), position);
                ring.push((peer, Spot { host: number, slot: position }));
            }
        }
        world.settle_places(&mut ring);
        let peers: Vec<Peer> = ring.iter().map(|(peer, _)| *peer).collect();
        // In the order of hosts and positions, in which the tables are filled.
        let mut order: Vec<u32> = (0..ring.len() as u32).collect();
        order.sort_unstable_by_key(|at| ring[*at as usize].1);
        let mut nodes = Vec::new();
        for (done, at) in (0..).zip(order) {
            if done % STEP == 0 {
                progress(done, positions);
            }
            let (peer, spot) = ring[at as usize];
            nodes.push(Node::stabilized(Arc::clone(&world.config), peer, &peers));
            let host = &mut world.hosts[spot.host as usize];
            host.positions.push(Position::default());
            if host.positions.len() == usize::from(setup.vnodes) {
                host.core = Some(chord::Host::of(std::mem::take(&mut nodes)));
                host.entered = true;
            }
        }
        progress(positions, positions);
        drop((ring, peers));
        for number in 0..setup.hosts {
            for slot in 0..setup.vnodes {
                let input = Input::Start { records: Vec::new(), remembered: Vec::new() };
                world.feed(number, Some(slot), input, None);
            }
        }
        world
    }

    /// Sorts the positions of a ring. If two have the same identifier, the later one takes
    /// its next index, as when joining.
    fn settle_places(&self, ring: &mut [(Peer, Spot)]) {
        loop {
            ring.sort_unstable_by_key(|(peer, spot)| (peer.id(self.space), *spot));
            let mut moved = false;
            for at in 1..ring.len() {
                if ring[at].0.id(self.space) == ring[at - 1].0.id(self.space) {
                    let (peer, _) = ring[at];
                    let index = peer.index().wrapping_add(self.setup.vnodes);
                    ring[at].0 = Peer::new(peer.address(), index);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// A growing ring: the setup's first host is alone on its ring; the others join one
    /// after the other, one every half period of stabilize, through random members, in
    /// [`World::run_until`].
    ///
    /// # Panics
    /// If the setup does not pass [`Setup::check`].
    pub fn growing(setup: &Setup) -> World {
        let mut world = World::checked(setup);
        let first = world.add_host(0);
        world.start(first, Vec::new());
        for number in 1..setup.hosts {
            let at = setup.stabilize / 2 * number;
            let number = world.add_host(number);
            world.hosts[number as usize].state = State::Left;
            world.alive.remove(number);
            let life = world.hosts[number as usize].life;
            world.queue.push(Time::ZERO + at, Event::Retry { host: number, life });
        }
        world
    }

    fn checked(setup: &Setup) -> World {
        if let Err(unfit) = setup.check() {
            panic!("a setup that was not checked: {unfit}");
        }
        World::empty(setup)
    }

    /// The address of a host, whether or not it exists.
    pub fn address(&self, host: HostId) -> SocketAddr {
        address(self.setup.seed, host)
    }

    /// Adds a host without a process.
    pub(super) fn add_host(&mut self, number: HostId) -> HostId {
        let places = self.chance.bits();
        let part = |at: u32| (places >> (16 * at)) as u16;
        self.hosts.push(Host {
            number,
            state: State::Up,
            life: 0,
            group: 0,
            place: [part(0), part(1), part(2)],
            core: None,
            positions: Vec::new(),
            entered: false,
            extra: None,
        });
        self.alive.insert(number);
        number
    }

    /// Stops the maintenance timers and the probing of neighbours: from now on only
    /// commands and losses change the ring. For measurements on a static ring.
    pub fn quiet(&mut self) {
        self.maintained = false;
    }

    pub const fn setup(&self) -> &Setup {
        &self.setup
    }

    pub const fn space(&self) -> Space {
        self.space
    }

    /// The world's time.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// Number of events so far.
    pub const fn events(&self) -> u64 {
        self.events
    }

    /// The fingerprint of all events so far.
    pub const fn trace(&self) -> TraceHash {
        self.trace.hash()
    }

    /// The counts so far.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// The random numbers, for a caller that drives the world: draws are part of the run.
    pub const fn chance(&mut self) -> &mut Chance {
        &mut self.chance
    }

    /// The time of the next event; `None` if none is planned.
    pub fn next_at(&mut self) -> Option<Time> {
        self.queue.next_at()
    }

    /// Handles one event; `false` if none is planned.
    pub fn step(&mut self) -> bool {
        let Some((at, event)) = self.queue.pop() else { return false };
        self.now = self.now.max(at);
        self.events += 1;
        self.happen(event);
        true
    }

    /// Handles all events up to a time and sets the world's time to it.
    pub fn run_until(&mut self, at: Time) {
        while self.queue.next_at().is_some_and(|next| next <= at) {
            self.step();
        }
        self.now = self.now.max(at);
    }

    /// Handles all events of this span.
    pub fn run(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    /// Runs until `done` holds, checked every `step`, for at most `limit`. Returns how long
    /// it took, or `None`.
    pub fn until(
        &mut self,
        limit: Duration,
        step: Duration,
        mut done: impl FnMut(&World) -> bool,
    ) -> Option<Duration> {
        let began = self.now;
        while !done(self) {
            if self.now - began >= limit {
                return None;
            }
            self.run(step);
        }
        Some(self.now - began)
    }

    /// The hosts with a process, including paused ones, in order.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + '_ {
        self.hosts.iter().filter(|host| host.lives()).map(|host| host.number)
    }

    /// How many hosts have a process.
    pub fn living(&self) -> usize {
        self.alive.len()
    }

    /// A host in any state.
    pub fn host(&self, host: HostId) -> Option<&Host> {
        self.hosts.get(host as usize)
    }

    /// All hosts that ever existed, in any state.
    pub fn all_hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// A random host with a process.
    pub fn some_host(&mut self) -> Option<HostId> {
        self.alive.choose(&mut self.chance)
    }

    /// The members of the ring, in ring order.
    pub fn nodes(&self) -> impl DoubleEndedIterator<Item = &Node> + '_ {
        self.members
            .iter()
            .filter_map(|((_, host), slot)| self.node(Spot { host: *host, slot: *slot }))
    }

    /// How many ring positions are members.
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// The true owner of a key: the first live member at or after it. Paused hosts count as
    /// live.
    pub fn owner(&self, key: Id) -> Option<Peer> {
        self.owner_for(None, key)
    }

    /// The true owner among those that a host can reach.
    pub fn owner_seen_from(&self, host: HostId, key: Id) -> Option<Peer> {
        self.owner_for(Some(host), key)
    }

    fn owner_for(&self, host: Option<HostId>, key: Id) -> Option<Peer> {
        let near = |at: &HostId| host.is_none_or(|host| self.is_connected(host, *at));
        let after = self.members.range((key, 0)..).chain(self.members.range(..(key, 0)));
        let mut found = after.filter(|((_, at), _)| near(at));
        let ((_, host), slot) = found.next()?;
        self.node(Spot { host: *host, slot: *slot }).map(Node::peer)
    }

    pub(super) fn node(&self, spot: Spot) -> Option<&Node> {
        self.hosts.get(spot.host as usize)?.core.as_ref()?.node(spot.slot)
    }

    /// Keeps the notices of these hosts from now on, for [`World::notices`].
    pub fn follow(&mut self, who: Follow) {
        self.follow = who;
    }

    /// The notices of the followed hosts since the last call, in order; the oldest were
    /// dropped if there were too many.
    pub fn notices(&mut self) -> Vec<(Time, Peer, Notice)> {
        std::mem::take(&mut self.notices).into()
    }

    pub(super) fn notice(&mut self, spot: Spot, notice: Notice) {
        let wanted = match self.follow {
            Follow::Nobody => false,
            Follow::Host(host) => host == spot.host,
            Follow::Everybody => true,
        };
        if wanted && let Some(peer) = self.node(spot).map(Node::peer) {
            if self.notices.len() >= MAX_NOTICES {
                self.notices.pop_front();
            }
            self.notices.push_back((self.now, peer, notice));
        }
    }

    /// Number of planned events.
    pub fn planned(&self) -> usize {
        self.queue.len()
    }
}

/// Hosts with a process: a list to choose from, and the index of each host in it.
#[derive(Debug, Default)]
pub(super) struct Alive {
    list: Vec<HostId>,
    /// By host; `u32::MAX` if it is not in the list.
    at: Vec<u32>,
}

impl Alive {
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn insert(&mut self, host: HostId) {
        let slot = host as usize;
        if self.at.len() <= slot {
            self.at.resize(slot + 1, u32::MAX);
        }
        if self.at[slot] == u32::MAX {
            self.at[slot] = self.list.len() as u32;
            self.list.push(host);
        }
    }

    pub(super) fn remove(&mut self, host: HostId) {
        let Some(at) = self.at.get_mut(host as usize) else { return };
        let at = std::mem::replace(at, u32::MAX);
        if at == u32::MAX {
            return;
        }
        self.list.swap_remove(at as usize);
        if let Some(moved) = self.list.get(at as usize) {
            self.at[*moved as usize] = at;
        }
    }

    pub(super) fn choose(&self, chance: &mut Chance) -> Option<HostId> {
        chance.index(self.list.len()).map(|at| self.list[at])
    }

    pub(super) fn list(&self) -> &[HostId] {
        &self.list
    }
}
