//! Carries out a schedule on real processes, looks whether the ring is repaired
//! where the schedule says so, and looks at everything at the end.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chordal::record::ContentHash;
use chordal::view::{Command, Outcome};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::RwLock;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::clients::{self, User, World};
use super::disks;
use super::history::{Counts, History, Value};
use super::plan::{Plan, Step};
use super::probe::{self, Seen, Settled};
use crate::process::{NodeProcess, Program, random_file, text};
use crate::proxy::{Link, Network};

/// Longest time until a ring that nobody disturbs has repaired everything. It
/// needs some seconds; a busy machine needs more.
const REPAIR: Duration = Duration::from_secs(90);

/// Longest time until a node has handed over all that it holds.
const LEAVING: Duration = Duration::from_secs(90);

/// Longest time until clients have ended what they are at: a reader's patience
/// and two commands.
const CLIENTS: Duration = Duration::from_secs(60);

/// How often it is looked whether something has come true.
const POLL: Duration = Duration::from_millis(50);

/// Nodes that also share a file from where it lies.
const SHARERS: usize = 2;

/// Members of which a new node is told.
const CONTACTS: usize = 3;

/// One node over its whole life.
struct Slot {
    node: NodeProcess,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    Stopped,
    /// Asked to leave; its process may be at it.
    Leaving,
    /// The same; its disk goes with it.
    Retiring,
    /// Killed.
    Down,
}

/// A run that came to its end.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) counts: Counts,
    pub(crate) time: Duration,
}

/// Why a run is over before its time; what was wrong stands in the history.
struct Over;

/// Conducts a run.
pub(crate) struct Conductor {
    plan: Plan,
    world: Arc<World>,
    runtime: Option<Runtime>,
    network: Network,
    slots: Vec<Slot>,
    /// Started, and not yet seen on the ring.
    coming: BTreeSet<usize>,
    /// Between some, messages or bytes do not pass.
    bent: bool,
    dir: TempDir,
    /// The step at which it is.
    at: usize,
}

impl Conductor {
    /// Starts the first nodes of a plan.
    pub(crate) fn new(plan: Plan) -> Conductor {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("threads can be started");
        let world = World {
            history: History::new(),
            members: Mutex::default(),
            gate: RwLock::default(),
            shared: Mutex::default(),
            over: CancellationToken::new(),
        };
        let mut conductor = Conductor {
            plan,
            world: Arc::new(world),
            runtime: Some(runtime),
            network: Network::new(),
            slots: Vec::new(),
            coming: BTreeSet::new(),
            bent: false,
            dir: TempDir::new().expect("a temporary directory"),
            at: 0,
        };
        for _ in 0..conductor.plan.nodes {
            conductor.start();
        }
        conductor
    }

    /// Carries out the plan. `Err`: all that a person needs to know.
    pub(crate) fn run(mut self) -> Result<Report, String> {
        let start = Instant::now();
        let carried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.carry_out()));
        let panicked = carried.err().map(|panic| {
            let said = panic.downcast_ref::<String>().cloned();
            said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
                .unwrap_or_default()
        });
        if let Some(said) = panicked {
            self.world.history.wrong(format!("the conductor panicked: {said}"));
        }
        self.world.over.cancel();
        let faults = self.world.history.faults();
        let report = if faults.is_empty() {
            Ok(Report { counts: self.world.history.counts(), time: start.elapsed() })
        } else {
            Err(self.failure(&faults))
        };
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        report
    }

    fn carry_out(&mut self) {
        let _ = self.try_carry_out();
    }

    fn try_carry_out(&mut self) -> Result<(), Over> {
        // Nobody works before there is a ring.
        let world = Arc::clone(&self.world);
        let users: Vec<_> = (0..self.plan.clients)
            .map(|number| {
                let dir = self.dir.path().join(format!("user {number}"));
                User::new(Arc::clone(&world), number, self.plan.seed, dir)
            })
            .collect();
        let mut users = Some(users);
        let mut working = Vec::new();
        for at in 0..self.plan.steps.len() {
            self.at = at;
            self.admit();
            let step = self.plan.steps[at].clone();
            self.world.history.note(format_args!("--- {step}"));
            self.take(&step)?;
            if let Some(users) = users.take() {
                let runtime = self.runtime();
                working.extend(users.into_iter().map(|user| runtime.spawn(user.work())));
            }
            if !self.world.history.faults().is_empty() {
                return Err(Over);
            }
        }
        self.at = self.plan.steps.len();
        self.world.over.cancel();
        for user in working {
            let ended = self.runtime().block_on(async { timeout(CLIENTS, user).await });
            if !matches!(ended, Ok(Ok(()))) {
                self.world.history.wrong(format!("a user did not end: {ended:?}"));
                return Err(Over);
            }
        }
        self.end()
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("there until the end of the run")
    }

    /// Starts a new node that joins through another one.
    fn start(&mut self) {
        let number = self.slots.len();
        let mut arguments: Vec<String> = Vec::new();
        // Two of these may die before it has heard of anybody else.
        for contact in self.contacts(number) {
            arguments.extend(["--join".to_owned(), contact.to_string()]);
        }
        if let Some((_, quota)) = self.plan.small.filter(|(node, _)| *node == number) {
            arguments.extend(["--quota".to_owned(), quota.to_string()]);
        }
        if let Some(rate) = self.plan.line(number) {
            arguments.extend(["--limit-up".to_owned(), rate.to_string()]);
        }
        let shared = (number < SHARERS).then(|| self.shared_file(number));
        if let Some((path, ..)) = &shared {
            arguments.extend(["--share".to_owned(), text(path).to_owned()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let clock = self.plan.hosted(number);
        let program = clock.map_or(Program::Chordal, |clock_s| Program::Hosted { clock_s });
        let node = self.network.node_as(program, &arguments);
        self.world.history.note(format_args!("node {number} is {} at {}", node.id, node.address));
        if let Some((_, name, root)) = shared {
            let mut shared = self.world.shared.lock().unwrap_or_else(PoisonError::into_inner);
            shared.insert(name, (node.address, root));
        }
        self.slots.push(Slot { node, state: State::Up });
        self.coming.insert(number);
    }

    /// A file that a node shares: path, name, hash.
    fn shared_file(&self, number: usize) -> (PathBuf, String, ContentHash) {
        let name = format!("shared {number}.bin");
        let path = self.dir.path().join(&name);
        random_file(&path, 3_000, self.plan.seed ^ number as u64);
        let bytes = std::fs::read(&path).expect("just written");
        (path, name, ContentHash(*blake3::hash(&bytes).as_bytes()))
    }

    fn address(&self, node: usize) -> SocketAddr {
        self.slots[node].node.address
    }

    fn up(&self) -> impl Iterator<Item = usize> {
        (0..self.slots.len()).filter(|at| self.slots[*at].state == State::Up)
    }

    /// Members for this node to join through: not always the same.
    fn contacts(&self, node: usize) -> Vec<SocketAddr> {
        let up: Vec<usize> = self.up().filter(|other| *other != node).collect();
        let known: Vec<usize> =
            up.iter().copied().filter(|other| !self.coming.contains(other)).collect();
        let mut from = if known.is_empty() { up } else { known };
        let turn = (self.plan.seed as usize).wrapping_add(self.slots.len()) % from.len().max(1);
        from.rotate_left(turn);
        from.into_iter().take(CONTACTS).map(|other| self.address(other)).collect()
    }

    /// Tells the clients of nodes that have come to be on the ring.
    fn admit(&mut self) {
        for node in self.coming.clone() {
            let address = self.address(node);
            let alone = self.up().count() == 1;
            let seen = probe::look(address, &[]);
            if seen.is_ok_and(|seen| alone || !seen.info.successors.is_empty()) {
                self.coming.remove(&node);
                self.members(|members| members.push(address));
            }
        }
    }

    fn members(&self, change: impl FnOnce(&mut Vec<SocketAddr>)) {
        change(&mut self.world.members.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Nobody goes through this node any more.
    fn out(&mut self, node: usize, state: State) {
        let address = self.address(node);
        self.coming.remove(&node);
        self.members(|members| members.retain(|member| *member != address));
        self.slots[node].state = state;
    }

    fn kill(&mut self, node: usize) {
        self.out(node, State::Down);
        self.slots[node].node.kill();
    }

    /// Waits until those that leave have left. That must end well, but where messages
    /// or bytes do not pass between all others: there some stay behind, and the one whose
    /// disk was to be taken is started again, as its last sentence advises.
    fn left(&mut self) {
        for number in 0..self.slots.len() {
            let state = self.slots[number].state;
            if !matches!(state, State::Leaving | State::Retiring) {
                continue;
            }
            let status = self.slots[number].node.ended_within(LEAVING);
            self.slots[number].state = State::Down;
            if status.success() {
                continue;
            }
            if !self.bent {
                self.world.history.wrong(format!("node {number} left with {status}"));
            } else if matches!(state, State::Retiring) {
                self.world.history.note(format_args!("node {number} could not hand over: again"));
                self.start_again(number, true);
            }
        }
    }

    fn start_again(&mut self, node: usize, told: bool) {
        let contacts = if told { self.contacts(node) } else { Vec::new() };
        let contacts: Vec<String> = contacts.iter().map(ToString::to_string).collect();
        let more: Vec<&str> =
            contacts.iter().flat_map(|contact| ["--join", contact.as_str()]).collect();
        self.slots[node].node.restart(&more);
        self.slots[node].state = State::Up;
        self.coming.insert(node);
    }

    fn take(&mut self, step: &Step) -> Result<(), Over> {
        let history = &self.world.history;
        match *step {
            Step::Rest(ms) => std::thread::sleep(Duration::from_millis(ms)),
            Step::Kill(node) | Step::Wipe(node) => self.kill(node),
            Step::Restart { node, told } => {
                self.left();
                self.start_again(node, told);
            }
            Step::Leave(node) => {
                self.out(node, State::Leaving);
                self.slots[node].node.terminate();
            }
            Step::Retire(node) => {
                self.out(node, State::Retiring);
                self.slots[node].node.terminate();
            }
            Step::Join => self.start(),
            Step::Stop(node) => {
                history.split();
                self.out(node, State::Stopped);
                self.slots[node].node.signal(Signal::STOP);
            }
            Step::Continue(node) => {
                self.slots[node].node.signal(Signal::CONT);
                self.slots[node].state = State::Up;
                self.coming.insert(node);
            }
            Step::Slow(one, other, ms) => {
                let delay = Duration::from_millis(ms);
                self.bend(one, other, Link { delay, ..Link::default() });
            }
            Step::Narrow(one, other, rate) => {
                self.bend(one, other, Link { rate: Some(rate), ..Link::default() });
            }
            Step::Cut(one, other) => self.network.cut(self.address(one), self.address(other)),
            Step::Deaf(from, to) => {
                history.split();
                self.bent = true;
                self.network.set_one_way(self.address(from), self.address(to), Link::SILENT);
            }
            // Each hears the other: nobody is cut off.
            Step::NoBytes { one, other, refused } => {
                self.bent = true;
                let link = if refused { Link::NO_DATA } else { Link::SILENT_DATA };
                self.network.set(self.address(one), self.address(other), link);
            }
            Step::Refuse(one, other) => {
                self.bent = true;
                self.bend(one, other, Link::REFUSED);
            }
            Step::Part { ref side, refused } => {
                history.split();
                self.bent = true;
                let (near, far): (Vec<usize>, Vec<usize>) =
                    (0..self.slots.len()).partition(|node| side.contains(node));
                let at = |nodes: Vec<usize>| -> Vec<SocketAddr> {
                    nodes.into_iter().map(|node| self.address(node)).collect()
                };
                let link = if refused { Link::REFUSED } else { Link::SILENT };
                self.network.part(&[&at(near), &at(far)], link);
            }
            Step::Sicken(node) => self.slots[node].node.set_disk_fails(true),
            Step::Cure(node) => self.slots[node].node.set_disk_fails(false),
            Step::Heal => {
                self.bent = false;
                self.network.heal();
            }
            Step::Repaired => return self.quiet(|this| this.repaired(false).map(drop)),
            Step::Overkill(victims) => return self.quiet(|this| this.overkill(victims)),
        }
        Ok(())
    }

    fn bend(&self, one: usize, other: usize, link: Link) {
        self.world.history.split();
        self.network.set(self.address(one), self.address(other), link);
    }

    /// Does something while no client works.
    fn quiet<T>(&mut self, act: impl FnOnce(&mut Self) -> Result<T, Over>) -> Result<T, Over> {
        let world = Arc::clone(&self.world);
        let gate = self.runtime().block_on(async { timeout(CLIENTS, world.gate.write()).await });
        let Ok(_gate) = gate else {
            world.history.wrong("the clients do not come to an end");
            return Err(Over);
        };
        act(self)
    }

    /// Waits until the ring is one, in order, and has all copies of everything;
    /// then what it has must be what was acknowledged.
    fn repaired(&mut self, strict: bool) -> Result<Settled, Over> {
        self.left();
        let names = self.world.history.names();
        let small = self.plan.small.map(|(node, _)| node);
        let small = self.up().filter(|node| Some(*node) == small).count();
        let start = Instant::now();
        let settled = loop {
            self.admit();
            let seen: Result<Vec<Seen>, String> =
                self.up().map(|node| probe::look(self.address(node), &names)).collect();
            match seen.and_then(|seen| probe::settled(&seen, &names, small, strict)) {
                Ok(settled) => break settled,
                Err(why) if start.elapsed() > REPAIR => {
                    self.world.history.wrong(format!("not repaired within {REPAIR:?}: {why}"));
                    return Err(Over);
                }
                Err(_) => std::thread::sleep(POLL),
            }
        };
        self.admit();
        for name in &names {
            self.world.history.settled(name, settled.records.get(name));
        }
        self.world.history.whole();
        self.world.history.control();
        self.world.history.note(format_args!("repaired in {:?}", start.elapsed()));
        if self.world.history.faults().is_empty() { Ok(settled) } else { Err(Over) }
    }

    /// Kills three at once. Names that had all their copies there are excused,
    /// and no others.
    fn overkill(&mut self, victims: [usize; 3]) -> Result<(), Over> {
        let settled = self.repaired(false)?;
        let dead = victims.map(|node| self.address(node));
        victims.into_iter().for_each(|node| self.kill(node));
        for (name, holders) in &settled.holders {
            if holders.iter().all(|holder| dead.contains(holder)) {
                self.world.history.forgive(name);
            }
        }
        Ok(())
    }

    /// Nobody disturbs the ring any more, and nobody works.
    fn end(&mut self) -> Result<(), Over> {
        self.network.heal();
        // Where one has no room, others stand in for it.
        let strict = self.plan.small.is_none();
        let settled = self.repaired(strict)?;
        let dir = self.dir.path().join("end");
        std::fs::create_dir_all(&dir).expect("a directory below a temporary one");
        let up: Vec<SocketAddr> = self.up().map(|node| self.address(node)).collect();
        for (at, (name, record)) in settled.records.iter().enumerate() {
            let via = up[at % up.len()];
            let to = dir.join(at.to_string());
            let get = Command::Get { name: name.clone(), to: Some(to.clone()), no_reshare: true };
            let seen = match self.runtime().block_on(clients::run(via, &dir, get)) {
                Ok(Outcome::Fetched { .. }) => clients::read(&to),
                Err(why) if clients::is_nothing(&why) => Value::Nothing,
                other => {
                    self.world.history.wrong(format!("{name} via {via} at the end: {other:?}"));
                    continue;
                }
            };
            if seen != Value::of(Some(record)) {
                let what = format!("{name} via {via} at the end: {seen:?}, not {record:?}");
                self.world.history.wrong(what);
            }
        }
        self.shared_is_delivered(&dir);
        for node in self.up().collect::<Vec<_>>() {
            self.kill(node);
        }
        let dirs: Vec<(SocketAddr, PathBuf)> =
            up.iter().map(|address| (*address, self.data_dir(*address))).collect();
        for what in disks::examine(&dirs, &settled, strict) {
            self.world.history.wrong(what);
        }
        Ok(())
    }

    fn data_dir(&self, address: SocketAddr) -> PathBuf {
        let slot = self.slots.iter().find(|slot| slot.node.address == address);
        slot.expect("every address is a node's").node.data_dir()
    }

    /// Who shares a file and lives delivers it.
    fn shared_is_delivered(&self, dir: &std::path::Path) {
        let shared = self.world.shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, (address, root)) in shared {
            if !self.up().any(|node| self.address(node) == address) {
                continue;
            }
            let start = Instant::now();
            loop {
                let to = dir.join(&name);
                let request = Command::Request {
                    name: name.clone(),
                    peer: address.to_string(),
                    to: Some(to.clone()),
                    no_reshare: true,
                };
                match self.runtime().block_on(clients::run(address, dir, request)) {
                    Ok(_) if clients::read(&to) == Value::Content(root) => break,
                    Ok(_) => {
                        self.world.history.wrong(format!("{name} has other bytes"));
                        break;
                    }
                    Err(why) if start.elapsed() > REPAIR => {
                        self.world.history.wrong(format!("{name} is not delivered: {why}"));
                        break;
                    }
                    Err(_) => std::thread::sleep(POLL),
                }
            }
        }
    }

    /// All that a person needs who looks for the cause.
    fn failure(&mut self, faults: &[String]) -> String {
        use std::fmt::Write as _;

        let mut text = format!("chaos: seed {} failed", self.plan.seed);
        let _ = writeln!(
            text,
            "; again: CHORDAL_CHAOS_SEED={} cargo test --test it chaos:: -- --nocapture",
            self.plan.seed
        );
        let Plan { nodes, small, clients, whole, .. } = &self.plan;
        let _ = writeln!(
            text,
            "{nodes} nodes, {clients} clients, little room: {small:?}, never cut off: {whole}"
        );
        for (at, step) in self.plan.steps.iter().enumerate() {
            let here = if at == self.at { " <--" } else { "" };
            let _ = writeln!(text, "  {at:>3} {step}{here}");
        }
        for line in self.world.history.tail() {
            let _ = writeln!(text, "  {line}");
        }
        for (number, slot) in self.slots.iter_mut().enumerate() {
            let Slot { node, state } = slot;
            let (address, id) = (node.address, node.id.clone());
            let _ = writeln!(
                text,
                "  node {number} ({id}, {address}, {state:?}): {}",
                node.keep().display()
            );
        }
        for fault in faults {
            let _ = writeln!(text, "WRONG: {fault}");
        }
        text
    }
}
