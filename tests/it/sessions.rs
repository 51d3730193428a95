//! The sample sessions of the systems from which chordal comes, replayed with
//! its own words: a person at a dashboard on a terminal, real nodes and
//! registries around it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::dashboard::Dash;
use crate::process::{
    NodeProcess, Ring, SKY_SHIP, SKY_SHIP_BYTES, describe, eventually, free_address,
    host_of_its_own, random_file, text,
};
use crate::pty::{Key, Size};
use crate::registry::RegistryProcess;

/// A dashboard on which nothing that these sessions ask for is cut off.
const ROOMY: Size = (160, 45);

/// The lab sheet's three peers, at their ports on a host of this test's own;
/// those named share a directory with the picture in it.
struct Peers {
    _nodes: Vec<NodeProcess>,
    _dirs: Vec<TempDir>,
    host: std::net::Ipv4Addr,
}

impl Peers {
    fn start(with_picture: &[u16]) -> Peers {
        let host = host_of_its_own();
        let (mut nodes, mut dirs) = (Vec::new(), Vec::new());
        for port in [5003, 5005, 5009] {
            let dir = TempDir::new().expect("a temporary directory");
            if with_picture.contains(&port) {
                fs::copy(SKY_SHIP, dir.path().join("SkyShip.jpg")).expect("the picture is copied");
            }
            let at = SocketAddr::from((host, port));
            let node = NodeProcess::start_at(at, &["--share", text(dir.path())]);
            if with_picture.contains(&port) {
                eventually("it shares the picture", || {
                    let listed = node.json(&["ls"])?;
                    let shared = listed["files"][0]["role"] == "shared";
                    if shared { Ok(()) } else { Err(listed.to_string()) }
                });
            }
            nodes.push(node);
            dirs.push(dir);
        }
        Peers { _nodes: nodes, _dirs: dirs, host }
    }

    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::from((self.host, port))
    }

    /// The lab sheet's node 5000, as a person sees it.
    fn node_5000(&self) -> Dash {
        Dash::start_at(self.at(5000), ROOMY, &[])
    }
}

#[test]
fn scan_finds_three_of_ten_ports_and_links_are_made_and_ended() {
    let peers = Peers::start(&[]);
    let mut dash = peers.node_5000();

    dash.screen.line("scan 5000-5009");
    dash.screen.wait_for("the three peers are found, and nobody else", |view| {
        let line = |port: u16| {
            let address = peers.at(port).to_string();
            view.rows().find(|row| row.contains(&address)).unwrap_or_default()
        };
        [5003, 5005, 5009].iter().all(|port| line(*port).contains("node"))
            && [5001, 5002, 5004, 5006, 5007, 5008].iter().all(|p| line(*p).contains("inactive"))
    });
    close(&mut dash, "ports tried");

    dash.screen.line("lp");
    dash.screen.wait_for_text("no connected peers");
    dash.screen.line("connect 5003");
    dash.screen.wait_for_text(&format!("{} connected", peers.at(5003)));
    dash.screen.line("connect 5003");
    dash.screen.wait_for_text(&format!("{} is already connected", peers.at(5003)));
    dash.screen.line("connect 5001");
    dash.screen.wait_for_text(&format!("{} is inactive", peers.at(5001)));
    dash.screen.line("disconnect 5005");
    dash.screen.wait_for_text(&format!("{} is not connected", peers.at(5005)));
    for port in [5005, 5009] {
        dash.screen.line(&format!("connect {port}"));
        dash.screen.wait_for_text(&format!("{} connected", peers.at(port)));
    }
    linked(&peers, dash.address, &[5003, 5005, 5009]);
    dash.screen.line("disconnect 5003");
    dash.screen.wait_for_text(&format!("{} disconnected", peers.at(5003)));
    linked(&peers, dash.address, &[5005, 5009]);
    dash.quit();
}

#[test]
fn a_word_without_its_arguments_prints_its_usage_and_the_next_line_is_typed_straight_on() {
    let mut dash = Dash::start(ROOMY, &[]);
    for (line, usage) in [
        ("connect", "Usage: connect PEER"),
        ("disconnect", "Usage: disconnect PEER"),
        ("sf", "Usage: sf PATTERN"),
        ("request SkyPalace.jpg", "Usage: request NAME PEER"),
        ("scan 5009-5000", "Usage: scan [HOST] [FROM-TO]"),
    ] {
        dash.screen.line(line);
        dash.screen.wait_for_text(usage);
    }
    // A blank goes on with the line instead.
    dash.screen.line("connect");
    dash.screen.wait_for_text("Usage: connect PEER");
    dash.screen.line(&format!(" {}", dash.address));
    dash.screen.wait_for_text("is this node itself");
    dash.screen.line("lp");
    dash.screen.wait_for_text("no connected peers");
    dash.quit();
}

/// Closes a list of results, which shows these words until then. What follows
/// Escape at once would be read as one key with Alt.
fn close(dash: &mut Dash, words: &str) {
    dash.screen.key(Key::Escape);
    dash.screen.wait_for("the results are closed", |view| !view.shows(words));
}

/// Waits until a node is linked with exactly these ports.
fn linked(peers: &Peers, node: SocketAddr, ports: &[u16]) {
    let expected: Vec<String> = ports.iter().map(|port| peers.at(*port).to_string()).collect();
    eventually("it lists its links", || {
        let listed = links(node)?;
        if listed == expected { Ok(()) } else { Err(format!("{listed:?}, not {expected:?}")) }
    });
}

/// The addresses that a node is linked with, in order.
fn links(node: SocketAddr) -> Result<Vec<String>, String> {
    let output = crate::process::chordal(&["peers", "--json", "--via", &node.to_string()]);
    if !output.status.success() {
        return Err(describe(&output));
    }
    let json: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
    let rows = json["peers"].as_array().ok_or_else(|| format!("no peers: {json}"))?;
    let mut linked: Vec<String> = rows
        .iter()
        .filter(|row| !row["link"].is_null())
        .filter_map(|row| row["address"].as_str().map(str::to_owned))
        .collect();
    linked.sort();
    Ok(linked)
}

#[test]
fn a_search_asks_each_peer_and_a_request_takes_the_file_from_one() {
    let peers = Peers::start(&[5003, 5009]);
    let mut dash = peers.node_5000();
    for port in [5003, 5005, 5009] {
        dash.screen.line(&format!("connect {port}"));
        dash.screen.wait_for_text(&format!("{} connected", peers.at(port)));
    }

    dash.screen.line("sf SkyShip.jpg");
    dash.screen.wait_for("each peer has its line", |view| {
        [(5003, "found on"), (5005, "not found on"), (5009, "found on")]
            .iter()
            .all(|(port, found)| view.shows(&format!("SkyShip.jpg {found} {}", peers.at(*port))))
    });
    close(&mut dash, "not found on");

    dash.screen.line("request SkyPalace.jpg 5003");
    dash.screen.wait_for_text(&format!("SkyPalace.jpg not found on {}", peers.at(5003)));
    dash.screen.line("request SkyShip.jpg 5003");
    let saved = dash.download("SkyShip.jpg");
    eventually("the picture arrives", || fs::read(&saved).map_err(|error| error.to_string()));
    let bytes = fs::read(&saved).expect("it is there");
    assert_eq!(bytes.len() as u64, SKY_SHIP_BYTES);
    assert_eq!(bytes, fs::read(SKY_SHIP).expect("the picture is in assets"), "byte for byte");
    dash.quit();
}

/// The arguments that make a node use all of them.
fn seeds(registries: &[RegistryProcess]) -> Vec<String> {
    let pairs = registries.iter().map(|one| ["--seed".to_owned(), one.address.to_string()]);
    pairs.flatten().collect()
}

#[test]
fn two_of_three_registries_die_and_a_newcomer_still_finds_the_ring() {
    let mut registries: Vec<_> = (0..3).map(|_| RegistryProcess::start(&[])).collect();
    let seeds = seeds(&registries);
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    let ring = Ring { nodes: (0..3).map(|_| NodeProcess::start(&seeds)).collect() };
    ring.settled();

    registries[0].kill();
    registries[2].kill();
    let mut dash = Dash::start_at(free_address(), ROOMY, &seeds);
    dash.screen.wait_for_text("4 nodes");

    // With the last one gone the ring and its links go on.
    registries[1].kill();
    let path = dash.home.path().join("late.bin");
    random_file(&path, 100_000, 7);
    dash.screen.line("put late.bin");
    dash.screen.wait_for_text("late.bin stored");
    assert_eq!(ring.nodes[0].fetch("late.bin").expect("it is there"), fs::read(&path).unwrap());
    dash.quit();
}

#[test]
fn a_killed_peer_is_reported_and_leaves_every_registry() {
    let registries: Vec<_> = (0..2).map(|_| RegistryProcess::start(&[])).collect();
    let seeds = seeds(&registries);
    let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
    let mut ring = Ring { nodes: (0..4).map(|_| NodeProcess::start(&seeds)).collect() };
    ring.settled();
    for registry in &registries {
        registry.lists(&ring.nodes.iter().map(|node| node.address).collect::<Vec<_>>());
    }
    let dead = ring.crash(2);
    ring.settled();
    for registry in &registries {
        registry.lists(&ring.nodes.iter().map(|node| node.address).collect::<Vec<_>>());
        eventually("a report of the death is told", || {
            let log = registry.log();
            let told = log
                .lines()
                .any(|line| line.contains(&dead.address.to_string()) && line.contains("report"));
            if told { Ok(()) } else { Err(log) }
        });
    }
}

#[test]
fn what_is_said_once_is_seen_once_by_each_of_eight() {
    let ring = Ring::of(7);
    let contact = ring.nodes[0].address.to_string();
    let mut dash = Dash::start_at(free_address(), ROOMY, &["--join", &contact]);
    dash.screen.wait_for_text("8 nodes");
    for address in ring.nodes.iter().map(|node| node.address).chain([dash.address]) {
        eventually("it has links", || match links(address)?.len() {
            0 => Err("none yet".to_owned()),
            _ => Ok(()),
        });
    }
    // The second sentence travels the same ways, behind the first: when it is
    // there, another copy of the first would be there too.
    dash.screen.line("say the tide is in");
    dash.screen.line("say and out again");
    dash.screen.wait_for("its own user sees each among the events, once", |view| {
        let lines = |what: &str| {
            view.rows().filter(|row| row.contains("says:") && row.contains(what)).count()
        };
        lines("the tide is in") == 1 && lines("and out again") == 1
    });
    for node in &ring.nodes {
        eventually("both sentences arrive", || {
            let log = node.log();
            if log.contains("the tide is in") && log.contains("and out again") {
                Ok(())
            } else {
                Err(log)
            }
        });
        let log = node.log();
        assert_eq!(log.matches("the tide is in").count(), 1, "{} said:\n{log}", node.address);
    }
    dash.quit();
}

#[test]
fn a_file_that_three_share_comes_from_all_three_though_one_dies() {
    const BYTES: usize = 192 << 20;
    let dirs: Vec<TempDir> =
        (0..3).map(|_| TempDir::new().expect("a temporary directory")).collect();
    random_file(&dirs[0].path().join("film.bin"), BYTES, 11);
    for dir in &dirs[1..] {
        fs::copy(dirs[0].path().join("film.bin"), dir.path().join("film.bin")).expect("a copy");
    }
    let mut ring = Ring { nodes: vec![NodeProcess::start(&[])] };
    let contact = ring.nodes[0].address.to_string();
    for dir in &dirs {
        ring.nodes.push(NodeProcess::start(&["--join", &contact, "--share", text(dir.path())]));
    }
    ring.settled();
    eventually("the ring knows all three as sources", || {
        // The one that told it last was told of the others.
        let listed: Result<Vec<_>, _> = ring.nodes[1..].iter().map(|n| n.json(&["ls"])).collect();
        let listed = listed?;
        let knows = |list: &serde_json::Value| list["files"][0]["copies"] == 3;
        if listed.iter().any(knows) { Ok(()) } else { Err(format!("{listed:?}")) }
    });
    let found = ring.nodes[0].json(&["find", "film.bin"]).expect("the ring is searched");
    assert_eq!(found["contents"][0]["sources"].as_array().map(Vec::len), Some(3), "{found}");

    let out = TempDir::new().expect("a temporary directory");
    // Undisturbed, all three deliver; where one hardly runs because the machine
    // is busy, the others may have sent everything first.
    let mut attempts = 0;
    eventually("its bytes come from all three, and that is told", || {
        attempts += 1;
        let to = out.path().join(format!("whole {attempts}"));
        let told = ring.nodes[0].run(&["get", "film.bin", "--to", text(&to)]);
        same(&to, &dirs[0].path().join("film.bin"));
        fs::remove_file(&to).expect("it is there");
        // Each with its bytes; one whose place was taken has an index behind.
        let delivered = |node: &NodeProcess| told.contains(&node.address.to_string());
        if ring.nodes[1..].iter().all(delivered) { Ok(()) } else { Err(told) }
    });

    // One of them dies half-way: it is stopped first, so that the download
    // cannot be over before.
    let mut dash = Dash::start_at(free_address(), ROOMY, &["--join", &contact]);
    dash.screen.wait_for_text("5 nodes");
    dash.screen.line("get film.bin");
    let saved = dash.download("film.bin");
    let part = dash.download(".film.bin.part");
    eventually("the download has begun", || {
        if part.exists() || saved.exists() { Ok(()) } else { Err("not yet".to_owned()) }
    });
    ring.nodes[2].signal(Signal::STOP);
    ring.crash(2);
    dash.screen.wait_for_text("film.bin fetched");
    same(&saved, &dirs[0].path().join("film.bin"));
    dash.quit();
}

/// Compares two files byte for byte.
fn same(one: &Path, other: &Path) {
    assert!(fs::read(one).expect("readable") == fs::read(other).expect("readable"), "they differ");
}
