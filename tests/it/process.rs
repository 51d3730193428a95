//! Real nodes as real processes, and the program's command line.
//!
//! [`NodeProcess`] is one headless node with directories of its own; [`Ring`]
//! is several of them that have found each other. [`chordal`] runs one command
//! to its end. [`eventually`] is the only way to wait: for a condition, with a
//! deadline. Every process that is started here is killed when its owner is
//! dropped; nothing here sleeps for a fixed time or takes a fixed port.

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU8, AtomicU16, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use chordal::engine::Config;
use chordal::id::{Id, Space};
use chordal::name::FileName;
use chordal::peer::Peer;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::host;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_chordal");

/// How long a condition may take to come true: long, because the machine that
/// runs the tests may be busy; a passing test never waits for it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(25);

/// Time between stabilizations of the nodes that tests start, in this process
/// too.
pub(crate) const STABILIZE: Duration = Duration::from_millis(200);

/// The picture that travels through the tests, and its size in bytes.
pub(crate) const SKY_SHIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/SkyShip.jpg");
pub(crate) const SKY_SHIP_BYTES: u64 = 85_021;

/// Looks at a condition until it gives a value, at the longest for
/// [`DEADLINE`]; the panic at the end names what was observed last.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    within(DEADLINE, what, &mut look)
}

/// [`eventually`] with a deadline of its own.
pub(crate) fn within<T>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return value,
            Err(last) if start.elapsed() >= deadline => {
                panic!("not within {deadline:?}: {what}; observed last: {last}")
            }
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// How a node of this process is set up unless a test wants something of its
/// own: at a free address, quick, with its directories below `home`.
pub(crate) fn config(home: &Path) -> Config {
    Config {
        stabilize: STABILIZE,
        data_dir: Some(home.join("data")),
        download_dir: Some(home.join("downloads")),
        ..Config::at(free_address())
    }
}

/// An address that no other test and no other call gets. The port is told
/// off, not found by listening there for a moment: a child that another test
/// starts in that moment holds the listener until it runs its own program, and
/// whoever is to have the address is told that it is in use.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(FIRST_PORT);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < EPHEMERAL_PORTS, "the tests have no more ports");
        let address = if has_own_hosts() {
            SocketAddr::from((loopback(), port))
        } else {
            // Only 127.0.0.1 exists: other programs may have the port.
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
            listener.local_addr().expect("a bound listener has an address")
        };
        if has_a_place_of_its_own(address) {
            return address;
        }
    }
}

/// Whether an address has another place on a ring of the usual size than those
/// that were asked about of late; no is said to one in four. Of five addresses
/// that are not chosen so, two have the same place in every hundredth ring: the
/// later node goes by another place then than its address says, and by another
/// one than it announced, which is a story of its own.
pub(crate) fn has_a_place_of_its_own(address: SocketAddr) -> bool {
    /// More addresses than all tests that run at a time use.
    const LATEST: usize = 256;
    static PLACES: Mutex<VecDeque<Id>> = Mutex::new(VecDeque::new());
    let place = Peer::new(address, 0).id(Space::default());
    let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
    if places.contains(&place) {
        return false;
    }
    places.push_back(place);
    if places.len() > LATEST {
        places.pop_front();
    }
    true
}

/// The first port that [`free_address`] gives; labs and scans have those below.
const FIRST_PORT: u16 = 12_000;

/// From here on a system gives ports to whoever connects.
const EPHEMERAL_PORTS: u16 = 32_768;

/// A loopback host of this process. Others get it too after a while: for ports
/// that are told off or that the system gives.
pub(crate) fn loopback() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loopback_host((NEXT.fetch_add(1, Ordering::Relaxed) % u16::from(SHARED_HOSTS)) as u8)
}

/// A loopback host that nobody else gets, so that even fixed ports never collide
/// with those of another test or process, and need not be tried.
pub(crate) fn host_of_its_own() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(SHARED_HOSTS);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!((SHARED_HOSTS..u8::MAX).contains(&number), "the tests have no more hosts");
    loopback_host(number)
}

/// Hosts that [`loopback`] gives; [`host_of_its_own`] has the others.
const SHARED_HOSTS: u8 = 128;

fn loopback_host(number: u8) -> Ipv4Addr {
    let process = std::process::id();
    let high = u8::try_from(process / 256 % 254 + 1).expect("below 255");
    let low = u8::try_from(process % 256).expect("below 256");
    Ipv4Addr::new(127, high, low, number)
}

/// Whether every loopback address is this machine's, as on Linux; elsewhere
/// there is 127.0.0.1 alone.
pub(crate) fn has_own_hosts() -> bool {
    static OWN_HOSTS: OnceLock<bool> = OnceLock::new();
    *OWN_HOSTS.get_or_init(|| TcpListener::bind((loopback(), 0)).is_ok())
}

/// Sends a signal to a process.
pub(crate) fn signal(process: u32, signal: Signal) {
    let pid = i32::try_from(process).ok().and_then(Pid::from_raw).expect("a process's number");
    kill_process(pid, signal).expect("the process exists and is ours");
}

/// One headless node.
#[derive(Debug)]
pub(crate) struct NodeProcess {
    /// The address that it announced.
    pub(crate) address: SocketAddr,
    /// The id that it announced.
    pub(crate) id: String,
    /// Where it listens, which others need not know.
    listen: SocketAddr,
    program: Program,
    child: Child,
    home: TempDir,
    arguments: Vec<String>,
}

/// Which program a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The one that users have.
    Chordal,
    /// The same code within the program of the tests ([`crate::host`]), where a
    /// node's clock is so many seconds fast and its disk can be made to fail.
    Hosted { clock_s: i64 },
    /// The one that users have, in a shell that lets it open so few files.
    Limited { descriptors: u32 },
}

impl NodeProcess {
    /// Starts a node on a free port with further arguments and waits for its
    /// `ready` line.
    pub(crate) fn start(arguments: &[&str]) -> NodeProcess {
        NodeProcess::start_at(free_address(), arguments)
    }

    /// [`NodeProcess::start`] at an address (port 0 leaves the port to the
    /// system).
    pub(crate) fn start_at(address: SocketAddr, arguments: &[&str]) -> NodeProcess {
        NodeProcess::start_as(Program::Chordal, address, arguments)
    }

    /// [`NodeProcess::start_at`] as one of these programs.
    pub(crate) fn start_as(
        program: Program,
        listen: SocketAddr,
        arguments: &[&str],
    ) -> NodeProcess {
        let home = TempDir::new().expect("a temporary directory");
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let (child, id, address) = spawn(program, listen, home.path(), &arguments);
        NodeProcess { address, id, listen, program, child, home, arguments }
    }

    /// A node that others reach at another address than the one at which it
    /// listens.
    pub(crate) fn start_behind(
        listen: SocketAddr,
        advertised: SocketAddr,
        arguments: &[&str],
    ) -> NodeProcess {
        NodeProcess::start_behind_as(Program::Chordal, listen, advertised, arguments)
    }

    /// [`NodeProcess::start_behind`] as one of these programs.
    pub(crate) fn start_behind_as(
        program: Program,
        listen: SocketAddr,
        advertised: SocketAddr,
        arguments: &[&str],
    ) -> NodeProcess {
        let advertised = advertised.to_string();
        let arguments = [&["--advertise", &advertised], arguments].concat();
        NodeProcess::start_as(program, listen, &arguments)
    }

    /// Starts a node that joins through another.
    pub(crate) fn join(contact: &NodeProcess) -> NodeProcess {
        NodeProcess::start(&["--join", &contact.address.to_string()])
    }

    /// The same node again: its address, its directories, its arguments and
    /// some more. The earlier process must have ended.
    pub(crate) fn restart(&mut self, more: &[&str]) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let mut arguments = self.arguments.clone();
        arguments.extend(more.iter().map(|&word| word.to_owned()));
        let (child, id, address) = spawn(self.program, self.listen, self.home.path(), &arguments);
        (self.child, self.id, self.address) = (child, id, address);
    }

    /// The same without the arguments of its first start.
    pub(crate) fn restart_bare(&mut self) {
        self.arguments.clear();
        self.restart(&[]);
    }

    /// SIGKILL: what a crash is. Returns when the process is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child that was not waited for can be killed");
        self.child.wait().expect("a killed child can be waited for");
    }

    /// SIGTERM: leave in good order.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Any signal.
    pub(crate) fn signal(&self, what: Signal) {
        signal(self.child.id(), what);
    }

    /// Makes the disk of a hosted node fail from now on, or work again.
    pub(crate) fn set_disk_fails(&self, fails: bool) {
        assert!(
            matches!(self.program, Program::Hosted { .. }),
            "the disks of users' nodes are real"
        );
        let mark = self.home.path().join(host::DISK_FAILS);
        if fails {
            std::fs::write(mark, "").expect("room on the disk");
        } else {
            let _ = std::fs::remove_file(mark);
        }
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        self.ended_within(DEADLINE)
    }

    /// [`NodeProcess::ended`] with a deadline of its own.
    pub(crate) fn ended_within(&mut self, deadline: Duration) -> ExitStatus {
        let home = self.home.path().to_owned();
        let child = &mut self.child;
        within(deadline, "the node's process ends", || match child.try_wait() {
            Ok(Some(status)) => Ok(status),
            other => Err(format!("{other:?}; it said:\n{}", log(&home))),
        })
    }

    /// How the process has ended, if it has.
    pub(crate) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be asked for")
    }

    /// Where its catalogue and blobs live.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Its directories stay when it is dropped: where they are.
    pub(crate) fn keep(&mut self) -> &Path {
        self.home.disable_cleanup(true);
        self.home.path()
    }

    /// What the process wrote to its standard error so far, over all restarts.
    pub(crate) fn log(&self) -> String {
        log(self.home.path())
    }

    /// Runs a command through this node and takes its standard output, which
    /// must be a success.
    pub(crate) fn run(&self, words: &[&str]) -> String {
        let output = self.attempt(words);
        assert!(
            output.status.success(),
            "{words:?} through {}: {}",
            self.address,
            describe(&output)
        );
        String::from_utf8(output.stdout).expect("output is text")
    }

    /// Runs a command through this node, however it ends.
    pub(crate) fn attempt(&self, words: &[&str]) -> Output {
        let via = self.address.to_string();
        let mut all = words.to_vec();
        all.extend(["--via", &via]);
        chordal(&all)
    }

    /// A reading command's JSON; `Err` says how it failed.
    pub(crate) fn json(&self, words: &[&str]) -> Result<Value, String> {
        let mut all = words.to_vec();
        all.push("--json");
        let output = self.attempt(&all);
        if !output.status.success() {
            return Err(describe(&output));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| format!("no JSON ({error}): {}", describe(&output)))
    }

    /// Whether it sees one ring of exactly these nodes, in order; `Err` says what else
    /// it sees.
    pub(crate) fn sees_ring_of(&self, nodes: &[SocketAddr]) -> Result<(), String> {
        let ring = self.json(&["ring"])?;
        let mut seen: Vec<String> = members(&ring)?.into_iter().map(|member| member.1).collect();
        let mut expected: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        seen.sort();
        expected.sort();
        if is_in_order(&ring) && seen == expected {
            Ok(())
        } else {
            Err(format!("{} sees {ring}", self.address))
        }
    }

    /// Fetches a file into a fresh directory and returns its bytes.
    pub(crate) fn fetch(&self, name: &str) -> Result<Vec<u8>, String> {
        let dir = TempDir::new().expect("a temporary directory");
        let to = dir.path().join("fetched");
        let output = self.attempt(&["get", name, "--to", text(&to)]);
        if !output.status.success() {
            return Err(describe(&output));
        }
        std::fs::read(&to).map_err(|error| format!("{}: {error}", to.display()))
    }
}

impl Drop for NodeProcess {
    #[expect(clippy::print_stderr, reason = "a failed test shows what its nodes said")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- node {} at {} said:\n{}", self.id, self.address, self.log());
        }
    }
}

/// Several nodes that have found each other.
#[derive(Debug)]
pub(crate) struct Ring {
    /// In the order of their start.
    pub(crate) nodes: Vec<NodeProcess>,
}

impl Ring {
    /// Starts this many nodes, one after the other, each joining through the
    /// first, and waits until all of them see a ring of that size, in order.
    pub(crate) fn of(count: usize) -> Ring {
        let mut ring = Ring { nodes: vec![NodeProcess::start(&[])] };
        while ring.nodes.len() < count {
            ring.grow();
        }
        ring.settled();
        ring
    }

    /// Adds a node that joins through the first.
    pub(crate) fn grow(&mut self) -> &NodeProcess {
        self.nodes.push(NodeProcess::join(&self.nodes[0]));
        &self.nodes[self.nodes.len() - 1]
    }

    /// Kills the node at this place of the list and takes it out.
    pub(crate) fn crash(&mut self, index: usize) -> NodeProcess {
        let mut victim = self.nodes.remove(index);
        victim.kill();
        victim
    }

    /// Waits until every node sees a ring of exactly these nodes, in order.
    pub(crate) fn settled(&self) {
        let all: Vec<SocketAddr> = self.nodes.iter().map(|node| node.address).collect();
        for node in &self.nodes {
            eventually("every node sees the whole ring", || node.sees_ring_of(&all));
        }
    }

    /// Waits until `ls --ring` shows this file with all copies that are wanted,
    /// and returns the addresses of those who hold it.
    pub(crate) fn secured(&self, name: &str) -> Vec<SocketAddr> {
        eventually("the file has all its copies", || {
            let listing = self.nodes[0].json(&["ls", "--ring"])?;
            let file = listing["files"]
                .as_array()
                .and_then(|files| files.iter().find(|file| file["name"] == name))
                .ok_or_else(|| format!("{name} is not listed: {listing}"))?;
            let holders =
                file["holders"].as_array().ok_or_else(|| format!("no holders: {file}"))?;
            let holders: Vec<SocketAddr> = holders
                .iter()
                .filter_map(|holder| holder["address"].as_str()?.parse().ok())
                .filter(|address| self.nodes.iter().any(|node| node.address == *address))
                .collect();
            let wanted = file["wanted"].as_u64().ok_or_else(|| format!("no number: {file}"))?;
            if file["copies"] == file["wanted"] && holders.len() as u64 == wanted {
                Ok(holders)
            } else {
                Err(file.to_string())
            }
        })
    }
}

/// Whether all properties of a ring hold. (Whether it is healthy is more: its files
/// have all their copies, and nothing has changed for a while.)
pub(crate) fn is_in_order(ring: &Value) -> bool {
    let invariants = ring["invariants"].as_object();
    invariants.is_some_and(|all| all.len() == 4 && all.values().all(|holds| *holds == true))
}

/// All these nodes in the order in which they would hold a name's copies: the
/// owner first, then its successors.
pub(crate) fn order<'a>(
    name: &str,
    nodes: impl IntoIterator<Item = &'a NodeProcess>,
) -> Vec<SocketAddr> {
    let space = Space::default();
    let name = FileName::new(name).expect("a name");
    let key: u128 = space.show(name.key(space)).parse().expect("a number");
    let size = 1 << space.bits();
    let mut order: Vec<(u128, SocketAddr)> = nodes
        .into_iter()
        .map(|node| (node.id.parse::<u128>().expect("a number"), node.address))
        .map(|(place, address)| ((place + size - key) % size, address))
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, address)| address).collect()
}

/// A name that the first of these addresses owns on a ring of the usual size.
pub(crate) fn name_owned_by(owner: SocketAddr, others: &[SocketAddr]) -> String {
    names_owned_by(owner, others).next().expect("there is no end of names")
}

/// All such names.
pub(crate) fn names_owned_by(
    owner: SocketAddr,
    others: &[SocketAddr],
) -> impl Iterator<Item = String> {
    let space = Space::default();
    let names = (0..).map(|number| format!("name {number}"));
    names.filter(move |name| {
        let key = FileName::new(name).expect("a name").key(space);
        let way = |node: SocketAddr| space.distance(key, Peer::new(node, 0).id(space));
        others.iter().all(|other| way(owner) < way(*other))
    })
}

/// The members in the JSON of `ring`: id and address.
pub(crate) fn members(ring: &Value) -> Result<Vec<(u128, String)>, String> {
    let list = ring["members"].as_array().ok_or_else(|| format!("no members: {ring}"))?;
    list.iter()
        .map(|member| {
            let id = member["id"].as_str().and_then(|id| id.parse().ok());
            let address = member["address"].as_str();
            id.zip(address.map(str::to_owned)).ok_or_else(|| format!("no member: {member}"))
        })
        .collect()
}

/// Runs the program with these words to its end.
pub(crate) fn chordal<S: AsRef<OsStr>>(words: &[S]) -> Output {
    command(words).output().expect("the program starts")
}

/// The program with these words, away from the settings of whoever runs the
/// tests and without a terminal.
pub(crate) fn command<S: AsRef<OsStr>>(words: &[S]) -> Command {
    let mut command = program(PROGRAM);
    command.args(words);
    command
}

/// The same in a shell that lets it open so few files and connections (`ulimit -n`).
pub(crate) fn limited<S: AsRef<OsStr>>(descriptors: u32, words: &[S]) -> Command {
    let mut command = program("sh");
    command.args(["-c", r#"ulimit -n "$1" && shift && exec "$@""#, "sh"]);
    command.arg(descriptors.to_string()).arg(PROGRAM).args(words);
    command
}

/// A program without a terminal and away from the settings of whoever runs the
/// tests.
pub(crate) fn program(path: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(path);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CHORDAL_")) {
            command.env_remove(name);
        }
    }
    command
}

/// How a command ended, for a failure's message.
pub(crate) fn describe(output: &Output) -> String {
    let mut said = output.status.to_string();
    for (stream, bytes) in [("stdout", &output.stdout), ("stderr", &output.stderr)] {
        let _ = write!(said, "; {stream}: {}", String::from_utf8_lossy(bytes).trim_end());
    }
    said
}

/// The pieces that the map of a file on its way in names; none when there is no
/// map (yet).
pub(crate) fn pieces_in(map: &Path) -> BTreeSet<u32> {
    // What a map has before its bits; their number follows from the bytes of the
    // content, and behind them stands a name.
    const HEAD: usize = 16 + 32 + 8;
    let bytes = std::fs::read(map).unwrap_or_default();
    let Some((head, bits)) = bytes.split_at_checked(HEAD) else { return BTreeSet::new() };
    let size = u64::from_le_bytes(*head.last_chunk().expect("it has so many"));
    let count = chordal::transfer::manifest::piece_count(size);
    let bits = bits.iter().take(count.div_ceil(8) as usize).zip(0u32..);
    let pieces = bits.flat_map(|(byte, at)| {
        (0..8).filter(move |bit| byte & (1 << bit) != 0).map(move |bit| at * 8 + bit)
    });
    pieces.collect()
}

/// A path that a test made: always text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are text")
}

/// A file of this many bytes that cannot be compressed, guessed or mistaken
/// for one of another seed.
pub(crate) fn random_file(path: &Path, bytes: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut block = vec![0; 1 << 20];
    let mut file = File::create(path).expect("a file in a temporary directory");
    let mut left = bytes;
    while left > 0 {
        let part = left.min(block.len());
        random.fill(&mut block[..part]);
        file.write_all(&block[..part]).expect("room on the disk");
        left -= part;
    }
}

fn log(home: &Path) -> String {
    std::fs::read_to_string(home.join("stderr")).unwrap_or_default()
}

/// Starts the process and reads its `ready <id> <address>` line.
fn spawn(
    program: Program,
    listen: SocketAddr,
    home: &Path,
    arguments: &[String],
) -> (Child, String, SocketAddr) {
    let stderr = File::options().create(true).append(true).open(home.join("stderr"));
    let given = arguments.iter().any(|word| word == "--stabilize");
    let (data, downloads) = (home.join("data"), home.join("downloads"));
    let mut words = vec![listen.to_string(), "--headless".to_owned()];
    words.extend(["--data-dir".to_owned(), text(&data).to_owned()]);
    words.extend(["--download-dir".to_owned(), text(&downloads).to_owned()]);
    if !given {
        let stabilize = humantime::format_duration(STABILIZE).to_string();
        words.extend(["--stabilize".to_owned(), stabilize]);
    }
    words.extend_from_slice(arguments);
    let mut command = match program {
        Program::Chordal => command(&words),
        Program::Hosted { clock_s } => host::command(&words, home, clock_s),
        Program::Limited { descriptors } => limited(descriptors, &words),
    };
    let mut child = command
        .current_dir(home)
        .stdout(Stdio::piped())
        .stderr(stderr.expect("a file in a temporary directory"))
        .spawn()
        .expect("the program starts");
    let announced = ready_line(&mut child);
    let parsed = announced.as_ref().ok().and_then(|line| {
        let mut words = line.split_whitespace();
        let (id, address) = (words.next()?, words.next()?);
        Some((id.to_owned(), address.parse().ok()?))
    });
    let Some((id, address)) = parsed else {
        let _ = child.kill();
        let status = child.wait();
        panic!("no ready line but {announced:?}, {status:?}; it said:\n{}", log(home));
    };
    (child, id, address)
}

/// What a process says on its standard output behind its first `ready`.
pub(crate) fn ready_line(child: &mut Child) -> Result<String, mpsc::RecvTimeoutError> {
    let stdout = child.stdout.take().expect("it was piped");
    let (lines, ready) = mpsc::channel();
    // Reads to the end, so that the process never blocks on a full pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((_, said)) = line.split_once("ready ") {
                let _ = lines.send(said.to_owned());
            }
        }
    });
    ready.recv_timeout(DEADLINE)
}

/// A directory with the picture in it, as a user would have it.
pub(crate) fn with_sky_ship() -> (TempDir, PathBuf) {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("SkyShip.jpg");
    std::fs::copy(SKY_SHIP, &path).expect("the picture is in assets");
    (dir, path)
}

#[test]
#[should_panic(expected = "the moon is full; observed last: half")]
fn a_condition_that_never_comes_true_names_what_was_seen_last() {
    within(Duration::ZERO, "the moon is full", || Err::<(), _>("half".to_owned()));
}

#[test]
fn the_picture_is_a_jpeg_of_the_length_that_the_labs_name() {
    let bytes = std::fs::read(SKY_SHIP).expect("the picture is in assets");
    assert_eq!(bytes.len() as u64, SKY_SHIP_BYTES);
    assert!(bytes.starts_with(&[0xFF, 0xD8, 0xFF]) && bytes.ends_with(&[0xFF, 0xD9]));
}
