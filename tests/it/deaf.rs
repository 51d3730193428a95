//! A node that answers messages and that bytes do not reach: a firewall lets only
//! messages pass, or the node is out of file descriptors. Other nodes hold what it
//! should, owner or not, no put and no get waits long for it, everybody sees which
//! node it is, and it is a holder again when bytes reach it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{NodeProcess, describe, eventually, order, random_file, text, within};
use crate::proxy::{Link, Network};

/// How long a put or a get may take though one of five nodes takes no bytes, on a machine
/// that has much else to do; a quiet one needs less than three seconds. Before, it took
/// 35 to 47 s, or failed.
const AT_MOST: Duration = Duration::from_secs(20);

/// The sizes of a file that goes at once and of one that goes piece by piece.
const SIZES: [(&str, usize); 2] = [("small", 20_000), ("large", 3_000_000)];

/// Five nodes behind doors, of which the first one is to be deaf.
struct Five {
    network: Network,
    nodes: Vec<NodeProcess>,
    dir: TempDir,
}

impl Five {
    fn start() -> Five {
        Five::with(Link::default())
    }

    /// Five of which the ways to the first one are such from the beginning.
    fn with(link: Link) -> Five {
        let network = Network::new();
        let mut nodes = vec![network.node(&[]), network.node(&[])];
        let contact = nodes[1].address.to_string();
        nodes.extend((2..5).map(|_| network.node(&["--join", &contact])));
        for other in &nodes[1..] {
            network.set(nodes[0].address, other.address, link);
        }
        nodes[0].restart(&["--join", &contact]);
        let all: Vec<SocketAddr> = nodes.iter().map(|node| node.address).collect();
        for node in &nodes {
            eventually("every node sees the whole ring", || node.sees_ring_of(&all));
        }
        Five { network, nodes, dir: TempDir::new().expect("a temporary directory") }
    }

    fn deaf(&self) -> SocketAddr {
        self.nodes[0].address
    }

    /// Sets the ways between the first node and all others.
    fn set(&self, link: Link) {
        for other in &self.nodes[1..] {
            self.network.set(self.deaf(), other.address, link);
        }
    }

    /// Sets how many file descriptors the first node may have; those stay that are open,
    /// as its connections for messages are. `None`: as many as it likes.
    #[cfg(target_os = "linux")]
    fn set_descriptors(&self, most: Option<u64>) {
        use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
        let process = self.nodes[0].process();
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let current = most.or(current);
        let pid = Pid::from_raw(process.cast_signed());
        prlimit(pid, Resource::Nofile, Rlimit { current, maximum }).expect("a child's limit");
    }

    /// A name of which the deaf node is to hold this copy, counted from the owner's.
    fn name_at(&self, word: &str, copy: usize) -> String {
        let mut names = (0..).map(|number| format!("{word} {number}"));
        let placed = |name: &String| order(name, &self.nodes)[copy] == self.deaf();
        names.find(placed).expect("there is no end of names")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Puts a file at a node that is not deaf; who holds it, and how long it took.
    fn put(&self, name: &str, bytes: usize) -> (Vec<String>, Duration) {
        let path = self.path(name);
        // Of each name another content: one that is there already needs no bytes.
        let seed = name.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(31) + u64::from(byte));
        random_file(&path, bytes, seed);
        let (at, began) = (&self.nodes[3], Instant::now());
        let put = ["put", text(&path), "--as", name];
        let said = self.network.at(at.address, || at.json(&put)).expect("it is stored");
        let took = began.elapsed();
        assert_eq!((&said["copies"], &said["wanted"]), (&3.into(), &3.into()), "{said}");
        let holders = said["holders"].as_array().expect("a list").iter();
        let address = |holder: &Value| holder["address"].as_str().expect("text").to_owned();
        (holders.map(address).collect(), took)
    }

    fn gets(&self, name: &str) -> Duration {
        let (at, to) = (&self.nodes[4], self.path(&format!("got {name}")));
        let began = Instant::now();
        let get = ["get", name, "--to", text(&to)];
        let output = self.network.at(at.address, || at.attempt(&get));
        assert!(output.status.success(), "{name}: {}", describe(&output));
        let took = began.elapsed();
        let expected = std::fs::read(self.path(name)).expect("just put");
        assert!(std::fs::read(to).expect("just got") == expected, "{name}");
        took
    }
}

/// What is told of all this with `--nocapture`.
#[expect(clippy::print_stderr, reason = "the times are of interest")]
fn tell(what: &str, took: Duration) {
    eprintln!("{what}: {took:.2?}");
    assert!(took < AT_MOST, "{what} took {took:?}");
}

/// Between the first node and all others connections for bytes are not made.
fn others_hold_what_a_node_should_behind(link: Link) {
    let shown = |five: &Five| {
        eventually("the ring names it", || {
            let ring = five.nodes[1].run(&["ring"]);
            let said = format!("{}: answers messages, and no bytes pass", five.deaf());
            if ring.contains(&said) { Ok(()) } else { Err(ring) }
        });
    };
    others_hold_what_a_deaf_node_should(|five| five.set(link), shown, |five| five.network.heal());
}

fn others_hold_what_a_deaf_node_should(
    sicken: impl Fn(&Five),
    shown: impl Fn(&Five),
    heal: impl Fn(&Five),
) {
    let five = Five::start();
    let deaf = five.deaf().to_string();
    let mut names: Vec<String> = Vec::new();
    for (word, bytes) in SIZES {
        for copy in 0..2 {
            let name = five.name_at(&format!("before, {word}"), copy);
            five.put(&name, bytes);
            names.push(name);
        }
    }
    sicken(&five);
    for name in &names {
        tell(&format!("get of {name}"), five.gets(name));
    }
    let mut without = 0;
    for (word, bytes) in SIZES {
        for copy in 0..3 {
            let name = five.name_at(&format!("{word} {copy}"), copy);
            let (holders, took) = five.put(&name, bytes);
            without += usize::from(!holders.contains(&deaf));
            tell(&format!("put of {name}"), took);
            tell(&format!("get of {name}"), five.gets(&name));
            names.push(name);
        }
    }
    // One or another may have gone over a connection that was there before.
    assert!(without >= 3, "the deaf node holds all but {without} of six");
    // Everybody hears which node it is.
    let told = format!("no bytes reach {deaf}, though it answers messages");
    eventually("an event names it", || {
        if five.nodes.iter().any(|node| node.log().contains(&told)) {
            Ok(())
        } else {
            Err(String::new())
        }
    });
    shown(&five);
    // It is a holder again when bytes reach it.
    heal(&five);
    within(Duration::from_secs(60), "it holds what it should", || {
        let listing = five.nodes[1].json(&["ls", "--ring"])?;
        let files = listing["files"].as_array().ok_or_else(|| format!("no files: {listing}"))?;
        let holds = |file: &&Value| {
            let mut holders = file["holders"].as_array().into_iter().flatten();
            holders.any(|holder| holder["address"] == deaf.as_str())
        };
        let held = files.iter().filter(holds).count();
        if held == names.len() { Ok(()) } else { Err(format!("{held} of {}", names.len())) }
    });
    eventually("the ring names it no more", || {
        let ring = five.nodes[1].run(&["ring"]);
        if ring.contains("no bytes pass") { Err(ring) } else { Ok(()) }
    });
}

#[test]
fn others_hold_what_a_node_should_that_refuses_connections_for_bytes() {
    others_hold_what_a_node_should_behind(Link::NO_DATA);
}

#[test]
fn others_hold_what_a_node_should_that_does_not_answer_connections_for_bytes() {
    others_hold_what_a_node_should_behind(Link::SILENT_DATA);
}

#[test]
fn a_distant_node_is_not_taken_for_a_deaf_one() {
    // A greeting comes later than one of a node nearby would be waited for.
    let five = Five::with(Link { delay: Duration::from_millis(520), ..Link::default() });
    let (holders, _) = five.put(&five.name_at("far", 0), 20_000);
    assert_eq!(holders[0], five.deaf().to_string(), "{holders:?}");
    let named = |node: &NodeProcess| node.log().contains("no bytes reach");
    assert!(!five.nodes.iter().any(named));
}

#[test]
#[cfg(target_os = "linux")]
fn others_hold_what_a_node_should_that_is_out_of_file_descriptors() {
    // Fewer than it has open all the time: none becomes free.
    let sicken = |five: &Five| five.set_descriptors(Some(8));
    // Nor does it take a connection of somebody who wants to see how it fares.
    let shown = |_: &Five| {};
    others_hold_what_a_deaf_node_should(sicken, shown, |five| five.set_descriptors(None));
}
