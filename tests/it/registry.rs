//! Registries: nodes that find each other through them, and what happens when
//! registries or nodes die, lie or make no sense.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chordal::engine::registry::Registry;
use chordal::engine::{Config, Node, registry};
use chordal::id::Space;
use chordal::limits::MAX_PAGE;
use chordal::peer::Peer;
use chordal::view::{Liveness, Membership, RegistryRow, Snapshot};
use chordal::wire::handshake::{
    Hello, MAGIC, PREAMBLE_BYTES, PROTOCOL_VERSION, Params, Program, Purpose,
};
use chordal::wire::registry::{Listed, News, Report};
use chordal::wire::{Frame, codec};
use rustix::process::Signal;

use crate::attack::{Raw, stranger};
use crate::process::{
    DEADLINE, NodeProcess, Ring, chordal, command, config, describe, eventually, free_address,
    is_in_order, ready_line, text,
};

/// Time between checks: so long that what must be noticed at once is not
/// noticed by a check.
const RARELY: &str = "50s";

/// One `chordal seed`.
pub(crate) struct RegistryProcess {
    /// Where its first registry listens.
    pub(crate) address: SocketAddr,
    child: Child,
    home: tempfile::TempDir,
    arguments: Vec<String>,
}

impl RegistryProcess {
    pub(crate) fn start(arguments: &[&str]) -> RegistryProcess {
        RegistryProcess::start_at(free_address(), arguments)
    }

    pub(crate) fn start_at(address: SocketAddr, arguments: &[&str]) -> RegistryProcess {
        let home = tempfile::tempdir().expect("a temporary directory");
        let arguments: Vec<String> = arguments.iter().map(|&word| word.to_owned()).collect();
        let (child, address) = spawn(address, home.path(), &arguments);
        RegistryProcess { address, child, home, arguments }
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a child that was not waited for can be killed");
        self.child.wait().expect("a killed child can be waited for");
    }

    fn restart(&mut self) {
        (self.child, self.address) = spawn(self.address, self.home.path(), &self.arguments);
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("stderr")).unwrap_or_default()
    }

    fn saved(&self) -> String {
        let dir = format!("seed-{}-{}", self.address.ip(), self.address.port());
        let path = self.home.path().join("data").join(dir).join("peers.toml");
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Waits until it has said this.
    fn says(&self, part: &str) {
        eventually("the registry names it", || {
            let log = self.log();
            if log.contains(part) { Ok(()) } else { Err(format!("no '{part}' in:\n{log}")) }
        });
    }

    /// Waits until exactly these are on its list.
    pub(crate) fn lists(&self, expected: &[SocketAddr]) {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        eventually("the registry lists them", || {
            let listed: Vec<_> = list(self.address).into_iter().map(|l| l.address).collect();
            if listed == expected { Ok(()) } else { Err(format!("{listed:?}")) }
        });
    }
}

impl Drop for RegistryProcess {
    #[expect(clippy::print_stderr, reason = "a failed test shows what its registries said")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- registry {} said:\n{}", self.address, self.log());
        }
    }
}

fn spawn(listen: SocketAddr, home: &Path, arguments: &[String]) -> (Child, SocketAddr) {
    let stderr = File::options().create(true).append(true).open(home.join("stderr"));
    let mut child = command(&["seed", &listen.to_string(), "--headless"])
        .arg("--data-dir")
        .arg(home.join("data"))
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(stderr.expect("a file in a temporary directory"))
        .spawn()
        .expect("the program starts");
    let announced = ready_line(&mut child);
    let address = announced
        .as_ref()
        .ok()
        .and_then(|line| line.strip_prefix("registry ").and_then(|address| address.parse().ok()));
    let Some(address) = address else {
        let _ = child.kill();
        let said = std::fs::read_to_string(home.join("stderr"));
        panic!("no ready line but {announced:?}, {:?}; it said {said:?}", child.wait());
    };
    (child, address)
}

/// A connection to a registry, of somebody at this address.
fn connect(registry: SocketAddr, address: Option<SocketAddr>) -> Raw {
    let hello = Hello { address, program: Program::Node, ..stranger(Purpose::Registry) };
    let (raw, theirs) = Raw::greet(registry, &hello);
    assert_eq!((theirs.program, theirs.refusal), (Program::Registry, None));
    raw
}

fn next(raw: &mut Raw) -> News {
    match raw.hear::<Frame>() {
        Ok(Frame::News(news)) => news,
        other => panic!("no news: {other:?}"),
    }
}

/// The list of a registry, by address.
fn list(registry: SocketAddr) -> Vec<Listed> {
    let mut raw = connect(registry, None);
    raw.say(&Frame::Report(Report::List));
    let mut all = Vec::new();
    loop {
        if let News::Peers { peers, more } = next(&mut raw) {
            all.extend(peers);
            if !more {
                return all;
            }
        }
    }
}

fn seeds(registries: &[&RegistryProcess]) -> Vec<String> {
    let seed = |registry: &&RegistryProcess| ["--seed".to_owned(), registry.address.to_string()];
    registries.iter().flat_map(seed).collect()
}

fn node(seeds: &[String]) -> NodeProcess {
    NodeProcess::start(&seeds.iter().map(String::as_str).collect::<Vec<_>>())
}

fn params(ring: &str) -> Params {
    Params { ring: ring.to_owned(), space: Space::default(), replicas: 3 }
}

fn claim(index: u16, params: Params) -> Frame {
    Frame::Report(Report::Connect { index, params, member: true })
}

#[test]
fn nodes_find_each_other_through_their_registries_and_need_only_one_of_them() {
    let mut registries: Vec<_> = (0..3).map(|_| RegistryProcess::start(&[])).collect();
    let all = seeds(&registries.iter().collect::<Vec<_>>());
    let mut ring = Ring { nodes: (0..4).map(|_| node(&all)).collect() };
    ring.settled();
    let addresses: Vec<_> = ring.nodes.iter().map(|node| node.address).collect();
    for registry in &registries {
        registry.lists(&addresses);
        eventually("each is listed as a member", || {
            let listed = list(registry.address);
            if listed.iter().all(|l| l.member) { Ok(()) } else { Err(format!("{listed:?}")) }
        });
    }
    registries[0].kill();
    registries[2].kill();
    ring.nodes.push(node(&all));
    ring.settled();
    registries[1].kill();
    drop(ring.crash(0));
    ring.settled();
}

#[test]
fn two_rings_that_a_registry_knows_become_one() {
    let later = free_address();
    let seed = later.to_string();
    let start = |join: Option<&NodeProcess>| match join {
        None => NodeProcess::start(&["--seed", &seed]),
        Some(node) => NodeProcess::start(&["--seed", &seed, "--join", &node.address.to_string()]),
    };
    let (mut ring, mut other) = (Ring { nodes: Vec::new() }, Ring { nodes: Vec::new() });
    for half in [&mut ring, &mut other] {
        half.nodes.push(start(None));
        half.nodes.push(start(half.nodes.first()));
        half.settled();
    }
    let _registry = RegistryProcess::start_at(later, &[]);
    ring.nodes.append(&mut other.nodes);
    ring.settled();
}

#[test]
fn who_leaves_or_is_killed_is_off_the_list_at_once_and_everybody_hears_why() {
    let registry = RegistryProcess::start(&["--check", RARELY]);
    let seeds = seeds(&[&registry]);
    let (mut killed, mut left, stays) = (node(&seeds), node(&seeds), node(&seeds));
    registry.lists(&[killed.address, left.address, stays.address]);
    let mut watcher = connect(registry.address, None);
    let mut hears = |gone: SocketAddr, in_order: bool| loop {
        if let News::Gone { peer, left } = next(&mut watcher) {
            assert_eq!((peer.address(), left), (gone, in_order));
            return;
        }
    };
    killed.kill();
    hears(killed.address, false);
    left.terminate();
    hears(left.address, true);
    assert!(left.ended().success());
    registry.lists(&[stays.address]);
    killed.restart(&[]);
    registry.lists(&[stays.address, killed.address]);
}

#[test]
fn who_leaves_its_ring_and_goes_on_running_has_left_and_is_nowhere_called_dead() {
    let registry = RegistryProcess::start(&["--check", RARELY]);
    let seeds = seeds(&[&registry]);
    let mut ring = Ring { nodes: (0..3).map(|_| node(&seeds)).collect() };
    ring.settled();
    let mut watcher = connect(registry.address, None);
    watcher.say(&Frame::Report(Report::List));
    let left = ring.nodes.remove(0);
    assert!(left.run(&["leave"]).starts_with("left the ring"));
    let mut gone = || loop {
        if let News::Gone { peer, left } = next(&mut watcher) {
            return (peer.address(), left);
        }
    };
    assert_eq!(gone(), (left.address, true));
    ring.settled();
    registry.lists(&ring.nodes.iter().map(|node| node.address).collect::<Vec<_>>());
    // What is said next is of the next one: nobody reported this one dead besides.
    let last = ring.nodes.pop().expect("two are left");
    assert!(last.run(&["leave"]).starts_with("left the ring"));
    assert_eq!(gone(), (last.address, true));
    let said = registry.log();
    assert!(said.contains(&format!("{} left", left.address)), "{said}");
    assert!(!said.contains("was removed") && !said.contains("dead"), "{said}");
}

#[test]
fn a_node_that_is_silent_is_suspect_then_removed_and_comes_back_by_itself() {
    let registry = RegistryProcess::start(&["--check", "200ms"]);
    let node = node(&seeds(&[&registry]));
    registry.lists(&[node.address]);
    node.signal(Signal::STOP);
    registry.says("does not answer: checked again");
    registry.lists(&[]);
    node.signal(Signal::CONT);
    registry.lists(&[node.address]);
}

#[test]
fn a_dead_node_is_reported_by_its_ring_and_removed_before_its_next_check() {
    let registry = RegistryProcess::start(&["--check", RARELY]);
    let seeds = seeds(&[&registry]);
    let ring = Ring { nodes: (0..3).map(|_| node(&seeds)).collect() };
    ring.settled();
    let [frozen, one, two] = &ring.nodes[..] else { panic!("three nodes") };
    // Its sockets stay open: nothing but its silence tells.
    frozen.signal(Signal::STOP);
    registry.says(&format!("reports {} dead", frozen.address));
    registry.lists(&[one.address, two.address]);
    registry.says("it was reported dead and does not answer");
    let log = registry.log();
    let reports = log.matches(&format!("reports {} dead", frozen.address)).count();
    assert_eq!(reports, 1, "both neighbours report it, which is news once: {log}");
}

#[test]
fn a_lonely_node_takes_over_the_parameters_of_a_listed_ring_and_another_ring_is_let_be() {
    let registry = RegistryProcess::start(&[]);
    let seed = registry.address.to_string();
    let first = NodeProcess::start(&["--seed", &seed]);
    let other = NodeProcess::start(&["--seed", &seed, "--ring", "other"]);
    registry.lists(&[first.address, other.address]);
    let wider = NodeProcess::start(&["--seed", &seed, "--bits", "20"]);
    let ring = Ring { nodes: vec![first, wider] };
    ring.settled();
    assert_eq!(other.json(&["info"]).expect("it answers")["ring"], "other");
    assert_eq!(ring.nodes[0].json(&["info"]).expect("it answers")["ring"], "chordal");
    Ring { nodes: vec![other] }.settled();
}

#[test]
fn a_registry_keeps_its_list_over_a_restart_and_checks_it() {
    let mut registry = RegistryProcess::start(&["--check", RARELY]);
    let seeds = seeds(&[&registry]);
    let (mut dies, stays) = (node(&seeds), node(&seeds));
    registry.lists(&[dies.address, stays.address]);
    eventually("the list is on the disk", || {
        let saved = registry.saved();
        let both = [&dies, &stays].iter().all(|node| saved.contains(&node.address.to_string()));
        if both { Ok(()) } else { Err(saved) }
    });
    let since = |registry: &RegistryProcess| {
        let saved = registry.saved();
        let rows: Vec<String> = saved.split("[[peers]]").map(str::to_owned).collect();
        rows.into_iter().find(|row| row.contains(&stays.address.to_string()))
    };
    let before = since(&registry).expect("it is in the file");
    registry.kill();
    dies.kill();
    registry.restart();
    registry.says("2 peers are on the list from before");
    registry.lists(&[stays.address]);
    eventually("the file has lost the dead one", || {
        let saved = registry.saved();
        if saved.contains(&dies.address.to_string()) { Err(saved) } else { Ok(()) }
    });
    let same_second =
        |row: &str| row.lines().find(|line| line.contains("since")).map(str::to_owned);
    let after = since(&registry).expect("it is still in the file");
    assert_eq!(same_second(&before), same_second(&after), "it never was away");
}

#[test]
fn whoever_claims_an_address_that_is_not_its_own_is_not_listed() {
    let registry = RegistryProcess::start(&["--check", RARELY]);
    let victim = NodeProcess::start(&[]);
    let dead = free_address();
    let mut claims = Vec::new();
    for (address, frame, named) in [
        (dead, claim(0, params("chordal")), "connection refused"),
        (victim.address, claim(0, params("evil")), "says something else of itself"),
        (victim.address, claim(7, params("chordal")), "says something else of itself"),
        (registry.address, claim(0, params("chordal")), "that is this registry itself"),
        (([0, 0, 0, 0], 2000).into(), claim(0, params("chordal")), "cannot be a node's address"),
        (([224, 0, 0, 1], 2000).into(), claim(0, params("chordal")), "224.0.0.1:2000 cannot be"),
    ] {
        let mut raw = connect(registry.address, Some(address));
        raw.say(&frame);
        assert!(matches!(next(&mut raw), News::Peers { more: false, .. }), "it gets the list");
        registry.says(named);
        claims.push(raw);
    }
    registry.lists(&[]);
    // A claim that is true lists the node itself; a false goodbye or death of it
    // then changes nothing.
    let owner = NodeProcess::start(&["--seed", &registry.address.to_string()]);
    registry.lists(&[owner.address]);
    let mut raw = connect(registry.address, Some(owner.address));
    raw.say(&claim(0, params("chordal")));
    raw.say(&Frame::Report(Report::Leave));
    let dead = Report::Dead { peer: Peer::new(owner.address, 0), unix_ms: u64::MAX };
    raw.say(&Frame::Report(dead));
    registry.says("dead");
    registry.lists(&[owner.address]);
}

#[test]
fn a_registry_refuses_what_it_is_not_and_says_what_it_is() {
    let registry = RegistryProcess::start(&[]);
    for purpose in [Purpose::Client, Purpose::Data, Purpose::Member] {
        let (raw, theirs) = Raw::greet(registry.address, &stranger(purpose));
        assert_eq!(theirs.program, Program::Registry);
        assert!(theirs.refusal.is_some_and(|why| why.contains("this is a registry")));
        raw.closed();
    }
    let output = chordal(&["info", "--via", &registry.address.to_string()]);
    let said = describe(&output);
    assert!(!output.status.success() && said.contains("this is a registry, not a node"), "{said}");
    for rubbish in [&b"GET / HTTP/1.1\r\nHost: ring\r\n\r\n"[..], &[0xFF; 512]] {
        let mut raw = Raw::connect(registry.address);
        raw.0.write_all(rubbish).expect("it is taken");
        raw.closed();
    }
    let mut raw = connect(registry.address, None);
    raw.say(&Frame::Bye);
    raw.closed();
    assert!(list(registry.address).is_empty());
}

#[test]
fn another_protocol_version_is_refused_with_both_versions() {
    let (registry, node) = (RegistryProcess::start(&[]), NodeProcess::start(&[]));
    for (address, purpose) in
        [(registry.address, Purpose::Registry), (node.address, Purpose::Client)]
    {
        let mut greeting = stranger(purpose).to_bytes().expect("it fits");
        greeting[MAGIC.len()..PREAMBLE_BYTES].copy_from_slice(&99_u16.to_be_bytes());
        let mut raw = Raw::connect(address);
        raw.0.write_all(&greeting).expect("it is taken");
        raw.0.read_exact(&mut [0; PREAMBLE_BYTES]).expect("a preamble");
        let theirs: Hello = raw.hear().expect("a hello");
        let refusal = format!(
            "the other side speaks protocol {PROTOCOL_VERSION}, this one 99; run the same version \
             on both"
        );
        assert_eq!(theirs.refusal, Some(refusal));
        raw.closed();
    }
}

#[test]
fn a_node_gives_up_what_is_no_registry_and_says_what_it_is() {
    let web = TcpListener::bind(free_address()).expect("a free address");
    let address = web.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in web.incoming() {
            let _ = stream.map(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    let other = NodeProcess::start(&[]);
    let node = node(&[address, other.address].map(|registry| format!("--seed={registry}")));
    for (registry, what) in [
        (address, "not chordal: it speaks something else"),
        (other.address, "this is a node, not a registry"),
    ] {
        eventually("the node gives it up", || match node.log() {
            log if log.contains(&format!("registry {registry} is given up: {what}")) => Ok(()),
            log => Err(log),
        });
        let peers = node.run(&["peers"]);
        assert!(peers.contains(&format!("given up: {what}")), "{peers}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_gives_up_a_registry_that_takes_connections_and_says_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    // Connections wait in its queue: nobody takes them.
    let silent = TcpListener::bind(free_address()).expect("a free address");
    let address = silent.local_addr().expect("an address");
    let start = |name: &str, registry_patience| Config {
        seeds: vec![address],
        registry_patience,
        ..config(&dir.path().join(name))
    };
    let what = "it takes connections and says nothing";
    let hears = async |node: &mut Node, words: &str| {
        let heard = tokio::time::timeout(DEADLINE, async {
            while !node.events.recv().await.expect("the node runs").text.contains(words) {}
        });
        assert!(heard.await.is_ok(), "nobody says {words}");
    };
    let patient = Config::at(address).registry_patience;
    let (mut hasty, mut patient) = (
        Node::start(start("hasty", Duration::ZERO)).await.expect("it starts"),
        Node::start(start("patient", patient)).await.expect("it starts"),
    );
    hears(&mut hasty, &format!("registry {address} is given up: {what}")).await;
    hears(&mut patient, &format!("registry {address}: {what}; trying again")).await;
    let row = row(&hasty.snapshots.borrow(), address).expect("it is listed");
    assert_eq!(row.note, Some(format!("given up: {what}")));
    hasty.kill().await;
    patient.kill().await;
}

#[test]
fn registries_start_all_or_none_and_say_which_port_is_in_the_way() {
    let listener = TcpListener::bind(free_address()).expect("a free port");
    let taken = listener.local_addr().expect("an address");
    let first = SocketAddr::new(taken.ip(), taken.port() - 1);
    let home = tempfile::tempdir().expect("a directory");
    let output = chordal(&[
        "seed",
        &first.to_string(),
        "--count",
        "2",
        "--headless",
        "--data-dir",
        text(home.path()),
    ]);
    let said = describe(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {taken}")), "{said}");
    assert!(output.stdout.is_empty(), "none of them is ready: {said}");
}

#[test]
fn a_lab_with_registries_finds_itself_through_them() {
    let home = tempfile::tempdir().expect("a directory");
    let mut lab = command(&["lab", "3", "--seeds", "2", "--headless", "--stabilize", "200ms"])
        .arg("--data-dir")
        .arg(home.path())
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let stdout = lab.stdout.take().expect("it was piped");
    let mut lines = BufReader::new(stdout).lines();
    let ready = lines.next().expect("a line").expect("text");
    let first = ready.split_whitespace().last().expect("an address").to_owned();
    let found = std::panic::catch_unwind(|| {
        eventually("the lab is one ring", || {
            let output = chordal(&["ring", "--json", "--via", &first]);
            let ring: serde_json::Value =
                serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
            let count = ring["members"].as_array().map_or(0, Vec::len);
            if count == 3 && is_in_order(&ring) { Ok(()) } else { Err(ring.to_string()) }
        });
    });
    lab.kill().expect("it runs");
    lab.wait().expect("it can be waited for");
    assert!(found.is_ok(), "three nodes, joined by nobody, find each other");
}

/// A registry that is none: it greets as one and sends these pages to whoever
/// connects; when it was dialled by somebody who looked for a node.
fn fake_registry(pages: Vec<News>) -> (SocketAddr, Arc<Mutex<Vec<Instant>>>) {
    let listener = TcpListener::bind(free_address()).expect("a free port");
    let address = listener.local_addr().expect("an address");
    let looks = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&looks);
    std::thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            match answer(stream, &pages) {
                Ok((stream, Purpose::Registry)) => kept.push(stream),
                Ok(_) => {
                    noted.lock().expect("nobody panics with it").push(Instant::now());
                }
                Err(_) => {}
            }
        }
    });
    (address, looks)
}

fn answer(mut stream: TcpStream, pages: &[News]) -> std::io::Result<(TcpStream, Purpose)> {
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut head = [0; PREAMBLE_BYTES + codec::PREFIX_BYTES];
    stream.read_exact(&mut head)?;
    let prefix = head[PREAMBLE_BYTES..].try_into().expect("its length");
    let mut body = vec![0; codec::frame_length(prefix).expect("a frame's length")];
    stream.read_exact(&mut body)?;
    let theirs: Hello = codec::decode(&body).expect("a hello");
    let hello = Hello { program: Program::Registry, ..stranger(theirs.purpose) };
    stream.write_all(&hello.to_bytes().expect("it fits"))?;
    if theirs.purpose == Purpose::Registry {
        for news in pages {
            let frame = Frame::News(news.clone());
            stream.write_all(&codec::frame(&frame).expect("it fits"))?;
        }
    }
    Ok((stream, theirs.purpose))
}

fn at(address: SocketAddr, member: bool) -> Listed {
    Listed { address, index: 0, params: params("chordal"), member }
}

async fn sees<T>(node: &mut Node, what: &str, look: impl Fn(&Snapshot) -> Option<T>) -> T {
    let seen = tokio::time::timeout(DEADLINE, async {
        loop {
            if let Some(seen) = look(&node.snapshots.borrow_and_update()) {
                return seen;
            }
            node.snapshots.changed().await.expect("the node runs");
        }
    });
    if let Ok(seen) = seen.await {
        return seen;
    }
    panic!("never: {what}; last {:?}", node.snapshots.borrow().registries)
}

fn row(snapshot: &Snapshot, registry: SocketAddr) -> Option<RegistryRow> {
    snapshot.registries.iter().find(|row| row.address == registry).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registry_that_lists_garbage_is_named_and_harmless() {
    let dir = tempfile::tempdir().expect("a directory");
    let own = free_address();
    // Nowhere, then 10 000 places at which nobody is, and the liar itself.
    let nowhere = ["0.0.0.0:2000", "224.0.0.1:80", "127.0.0.1:0", "255.255.255.255:0"];
    let mut garbage: Vec<Listed> =
        nowhere.iter().map(|text| at(text.parse().expect("an address"), true)).collect();
    garbage.push(at(own, true));
    let dead = |n: u16| SocketAddr::from(([127, 200, (n >> 8) as u8, n as u8], 1));
    garbage.extend((0..10_000).map(|n| at(dead(n), true)));
    let pages: Vec<News> = garbage
        .chunks(MAX_PAGE)
        .map(|chunk| News::Peers { peers: chunk.to_vec(), more: true })
        .chain([News::Peers { peers: Vec::new(), more: false }])
        .collect();
    let (liar, _) = fake_registry(pages);

    let honest = registry::Config {
        data_dir: Some(dir.path().join("registry")),
        ..registry::Config::at(free_address())
    };
    let honest = Registry::start(honest).await.expect("it starts");
    let node_at = |listen, name: &str, seeds: Vec<SocketAddr>| Config {
        seeds,
        listen,
        ..config(&dir.path().join(name))
    };
    let first = node_at(free_address(), "first", vec![honest.address]);
    let first = Node::start(first).await.expect("it starts");
    let mut node =
        Node::start(node_at(own, "node", vec![liar, honest.address])).await.expect("it starts");
    let note = sees(&mut node, "the liar's row has a note", |snapshot| {
        let row = row(snapshot, liar)?;
        (row.liveness == Liveness::Up && row.peers > 1_000).then_some(row.note)?
    });
    let note = note.await;
    assert!(note.contains("4 addresses") && note.contains("0.0.0.0:2000"), "{note}");
    sees(&mut node, "the node finds the other one all the same", |snapshot| {
        (snapshot.membership == Membership::Member && snapshot.living() == 2).then_some(())
    })
    .await;
    let members = node.snapshots.borrow().members.clone();
    let real = |address| address == own || address == first.address;
    assert!(members.iter().all(|member| real(member.peer.address())), "{members:?}");
    let mut named = 0;
    while let Ok(event) = node.events.try_recv() {
        named += usize::from(event.text.contains("0.0.0.0"));
    }
    assert_eq!(named, 1, "it is named once");
    node.kill().await;
    first.kill().await;
    honest.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_registry_says_of_an_address_is_not_believed() {
    let dir = tempfile::tempdir().expect("a directory");
    let start = |ring: &str, seeds: Vec<SocketAddr>| Config {
        seeds,
        params: params(ring),
        ..config(&dir.path().join(ring))
    };
    let foreign = Node::start(start("foreign", Vec::new())).await.expect("it starts");
    let listed = vec![at(foreign.address, true)];
    let (liar, _) = fake_registry(vec![News::Peers { peers: listed, more: false }]);
    let mut node = Node::start(start("chordal", vec![liar])).await.expect("it starts");
    let named = tokio::time::timeout(DEADLINE, async {
        loop {
            let event = node.events.recv().await.expect("the node runs");
            if event.text.contains("it is on ring 'foreign'") {
                return;
            }
        }
    });
    named.await.expect("the lie is named");
    let snapshot = node.snapshots.borrow().clone();
    assert_eq!((snapshot.ring.as_str(), snapshot.membership), ("chordal", Membership::Alone));
    node.kill().await;
    foreign.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_listed_again_and_again_is_dialled_ever_more_rarely() {
    let dir = tempfile::tempdir().expect("a directory");
    let (other, looks) = fake_registry(Vec::new());
    let comes = News::Came(at(other, true));
    let (liar, _) = fake_registry(vec![comes; 500]);
    let config = Config { seeds: vec![liar], ..config(dir.path()) };
    let node = Node::start(config).await.expect("it starts");
    let (first, second) = eventually("it is looked at twice", || {
        match looks.lock().expect("nobody panics with it")[..] {
            [first, second, ..] => Ok((first, second)),
            ref fewer => Err(format!("{fewer:?}")),
        }
    });
    assert!(second - first > Duration::from_secs(1), "{:?}", second - first);
    node.kill().await;
}
