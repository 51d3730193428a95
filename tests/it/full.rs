//! Nodes without room: what does not fit is refused in one sentence before it
//! costs anybody a disk, nothing half-written stays behind, and the copies go to
//! nodes that have room.
//!
//! `--quota` makes a disk small here: a small file system needs rights that a
//! test does not have. With such rights (`mount -t tmpfs -o size=50m`) the
//! sentences are the same but for the quota.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use chordal::engine::{Config, Node};
use chordal::view::{Command, Outcome, Snapshot};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::process::{
    DEADLINE, NodeProcess, Ring, command, config, describe, eventually, order, pieces_in,
    random_file, text, within,
};

const MB: usize = 1_000_000;

/// Room of the small nodes, as the flag takes it.
const QUOTA: &str = "20000000";

/// A file that does not fit into [`QUOTA`].
const TOO_LARGE: usize = 30 * MB;

/// Bytes below a directory, but for the catalogue and the log, which are not the
/// ring's files.
fn stored(dir: &Path) -> u64 {
    let below = |part: &str| {
        let mut dirs = vec![dir.join(part)];
        let mut bytes = 0;
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                match entry.metadata() {
                    Ok(data) if data.is_dir() => dirs.push(entry.path()),
                    Ok(data) => bytes += data.len(),
                    // Removed meanwhile.
                    Err(_) => {}
                }
            }
        }
        bytes
    };
    below("blobs") + below("partial")
}

/// Waits until a node has at most so many bytes of files, whole or not.
fn holds_at_most(node: &NodeProcess, bytes: usize) {
    eventually("nothing half-written is left", || match stored(&node.data_dir()) {
        left if left <= bytes as u64 => Ok(()),
        left => Err(format!("{left} bytes")),
    });
}

fn file(dir: &TempDir, bytes: usize, seed: u64) -> PathBuf {
    let path = dir.path().join(format!("{seed}.bin"));
    random_file(&path, bytes, seed);
    path
}

/// A ring of so many nodes whose second one has little room.
fn with_a_small_one(count: usize) -> (Ring, SocketAddr) {
    with_one_of(QUOTA, count)
}

/// A ring of so many nodes whose second one has this quota.
fn with_one_of(quota: &str, count: usize) -> (Ring, SocketAddr) {
    let mut ring = Ring { nodes: vec![NodeProcess::start(&[])] };
    let contact = ring.nodes[0].address.to_string();
    ring.nodes.push(NodeProcess::start(&["--quota", quota, "--join", &contact]));
    while ring.nodes.len() < count {
        ring.grow();
    }
    ring.settled();
    let small = ring.nodes[1].address;
    (ring, small)
}

/// A name of which the node is to hold this copy, counted from the owner's.
fn name_at(ring: &Ring, node: SocketAddr, copy: usize) -> String {
    name_like("name", ring, node, copy)
}

fn name_like(word: &str, ring: &Ring, node: SocketAddr, copy: usize) -> String {
    let mut names = (0..).map(|number| format!("{word} {number}"));
    names.find(|name| order(name, &ring.nodes)[copy] == node).expect("there is no end of names")
}

#[test]
fn what_does_not_fit_is_refused_in_one_sentence_and_leaves_nothing() {
    let node = NodeProcess::start(&["--quota", QUOTA]);
    let dir = TempDir::new().expect("a temporary directory");
    let (large, fits, rest) = (file(&dir, TOO_LARGE, 1), file(&dir, 15 * MB, 2), file(&dir, MB, 3));
    let refused = |path: &Path| {
        let output = node.attempt(&["put", text(path)]);
        assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(said.trim().lines().count(), 1, "{}", describe(&output));
        assert!(said.contains(&node.address.to_string()), "{}", describe(&output));
        assert!(said.contains("quota"), "{}", describe(&output));
    };
    refused(&large);
    holds_at_most(&node, 0);
    node.run(&["put", text(&fits)]);
    // What is there counts.
    let second = file(&dir, 15 * MB, 4);
    refused(&second);
    holds_at_most(&node, 15 * MB + 1_000);
    node.run(&["put", text(&rest)]);
    assert!(node.fetch("2.bin").expect("it is kept") == std::fs::read(&fits).expect("it"));
    // What is removed makes room.
    node.run(&["rm", "2.bin"]);
    eventually("there is room again", || {
        let output = node.attempt(&["put", text(&second)]);
        if output.status.success() { Ok(()) } else { Err(describe(&output)) }
    });
}

#[test]
fn the_next_node_takes_the_copy_for_which_a_full_one_has_no_room() {
    let (ring, small) = with_a_small_one(5);
    let dir = TempDir::new().expect("a temporary directory");
    // Wherever in the chain the full one stands behind the owner.
    for copy in 1..3 {
        let name = name_at(&ring, small, copy);
        let path = file(&dir, TOO_LARGE, copy as u64);
        let said = ring.nodes[0].run(&["put", text(&path), "--as", &name]);
        assert!(said.contains("3/3"), "{said}");
        let holders = ring.secured(&name);
        assert!(!holders.contains(&small), "{holders:?}");
        let expected = std::fs::read(&path).expect("just written");
        for node in &ring.nodes {
            assert!(node.fetch(&name).expect("it is there") == expected, "{name}");
        }
    }
    // It is a holder like others of what fits.
    let name = name_at(&ring, small, 1);
    let path = file(&dir, MB, 9);
    ring.nodes[0].run(&["put", text(&path), "--as", &name, "--overwrite"]);
    assert!(ring.secured(&name).contains(&small));
}

#[test]
fn repair_passes_a_full_node_over_and_does_not_fetch_for_it_again_and_again() {
    let (mut ring, small) = with_a_small_one(5);
    let dir = TempDir::new().expect("a temporary directory");
    let path = file(&dir, TOO_LARGE, 1);
    let name = name_at(&ring, small, 3);
    ring.nodes[0].run(&["put", text(&path), "--as", &name]);
    let holders = ring.secured(&name);
    assert!(!holders.contains(&small));
    // The small one would be the next.
    let dead = ring.nodes.iter().position(|node| node.address == holders[1]).expect("a member");
    ring.crash(dead);
    ring.settled();
    let now = ring.secured(&name);
    assert!(!now.contains(&small), "{now:?}");
    let small = ring.nodes.iter().find(|node| node.address == small).expect("it lives");
    holds_at_most(small, 0);
    let tries = small.log().matches("could not be copied here").count();
    assert!(tries <= 3, "{tries} times:\n{}", small.log());
}

/// Waits until all copies of the name are on nodes beside a full one; which. Who
/// of those stands in depends on whom the owner took for living at the time.
fn held_beside(ring: &Ring, name: &str, full: SocketAddr) -> Vec<SocketAddr> {
    let holders = ring.secured(name);
    assert!(!holders.contains(&full), "{holders:?}");
    holders
}

/// Every node gives the file.
fn readable(ring: &Ring, name: &str, path: &Path) {
    let expected = std::fs::read(path).expect("just written");
    for node in &ring.nodes {
        assert!(node.fetch(name).expect("it is there") == expected, "{name} at {}", node.address);
    }
}

#[test]
fn a_full_owner_answers_for_files_that_the_next_nodes_hold() {
    // One file goes piece by piece, the other one at once.
    for (quota, sizes) in [(QUOTA, [TOO_LARGE, 25 * MB]), ("10000", [50_000, 60_000])] {
        let (ring, small) = with_one_of(quota, 5);
        let dir = TempDir::new().expect("a temporary directory");
        let name = name_at(&ring, small, 0);
        let path = file(&dir, sizes[0], 1);
        let said = ring.nodes[0].run(&["put", text(&path), "--as", &name]);
        let told: Vec<&str> = said.lines().collect();
        assert!(told.len() == 2 && told[0].contains("3/3"), "{said}");
        let begin = format!("{small} has no room for it: ");
        let stand_in = told[1].strip_prefix(&begin).expect("the owner is named");
        let stand_in = stand_in.strip_suffix(" holds the copy instead").expect("who does");
        assert!(told[0].contains(stand_in), "{said}");
        held_beside(&ring, &name, small);
        holds_at_most(&ring.nodes[1], 0);
        readable(&ring, &name, &path);
        // The name is taken, may be overwritten, and goes.
        let other = file(&dir, sizes[1], 2);
        let refused = ring.nodes[2].attempt(&["put", text(&other), "--as", &name]);
        let why = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && why.contains("other content"), "{why}");
        ring.nodes[2].run(&["put", text(&other), "--as", &name, "--overwrite"]);
        readable(&ring, &name, &other);
        ring.nodes[3].run(&["rm", &name]);
        let gone = ring.nodes[0].fetch(&name).expect_err("it was removed");
        assert!(gone.contains(&name), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_owner_puts_its_users_file_where_there_is_room() {
    const ROOM: u64 = 10_000;
    let homes: Vec<TempDir> = (0..4).map(|_| TempDir::new().expect("a directory")).collect();
    let mut nodes: Vec<Node> = Vec::new();
    for home in &homes {
        let quota = nodes.is_empty().then_some(ROOM);
        let join = nodes.first().map(|first| first.address).into_iter().collect();
        let config = Config { join, quota, ..config(home.path()) };
        nodes.push(Node::start(config).await.expect("it starts"));
    }
    for node in &nodes {
        let whole = |s: &Arc<Snapshot>| s.successors.len() == 3 && s.health.is_good();
        node.snapshots.clone().wait_for(whole).await.expect("the node runs");
    }
    let snapshot = nodes[0].snapshots.borrow().clone();
    let space = snapshot.space;
    let before = snapshot.predecessor.as_ref().expect("it has one").peer.id(space);
    let me = snapshot.me.id(space);
    let own = |word: &str| {
        let mut names = (0..).map(|number| format!("{word} {number}"));
        names.find(|name| space.hash(name).within(before, me)).expect("there is no end of names")
    };
    for (word, bytes) in [("small", 50_000), ("large", 3 * MB)] {
        let path = homes[0].path().join(word);
        random_file(&path, bytes, bytes as u64);
        let put = Command::Put { path, name: Some(own(word)), overwrite: false, min_copies: 1 };
        let (done, end) = oneshot::channel();
        nodes[0].commands.send((put, done)).await.expect("the node runs");
        let outcome = end.await.expect("it answers").expect("it succeeds");
        let Outcome::Stored { holders, wanted, passed, .. } = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!((holders.len(), wanted), (3, 3), "{word}");
        let passed: Vec<SocketAddr> = passed.iter().map(|passed| passed.peer.address()).collect();
        assert_eq!(passed, [nodes[0].address], "{word}");
        assert!(holders.iter().all(|peer| peer.address() != nodes[0].address), "{word}");
    }
    for node in nodes {
        node.kill().await;
    }
}

#[test]
fn of_a_directory_all_is_stored_but_what_fits_nowhere() {
    let node = NodeProcess::start(&["--quota", QUOTA]);
    let dir = TempDir::new().expect("a temporary directory");
    let album = dir.path().join("album");
    std::fs::create_dir(&album).expect("a directory");
    let sizes = [("a.bin", 1_000), ("film.bin", TOO_LARGE), ("z.bin", 2 * MB)];
    for (seed, (name, bytes)) in (1..).zip(sizes) {
        random_file(&album.join(name), bytes, seed);
    }
    let output = node.attempt(&["put", text(&album)]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = describe(&output);
    assert!(said.contains("film.bin") && said.contains("quota"), "{said}");
    for name in ["a.bin", "z.bin"] {
        let expected = std::fs::read(album.join(name)).expect("just written");
        assert!(node.fetch(&format!("album/{name}")).expect("stored") == expected, "{name}");
    }
    let gone = node.fetch("album/film.bin").expect_err("it was refused");
    assert!(gone.contains("film.bin"), "{gone}");
}

#[test]
fn the_copy_of_a_full_owner_comes_home_when_it_has_room() {
    let (ring, small) = with_a_small_one(5);
    let dir = TempDir::new().expect("a temporary directory");
    let filler = name_like("filler", &ring, small, 0);
    ring.nodes[0].run(&["put", text(&file(&dir, 15 * MB, 1)), "--as", &filler]);
    let name = name_at(&ring, small, 0);
    let path = file(&dir, 10 * MB, 2);
    let said = ring.nodes[0].run(&["put", text(&path), "--as", &name]);
    assert!(said.contains("has no room"), "{said}");
    held_beside(&ring, &name, small);
    ring.nodes[0].run(&["rm", &filler]);
    let mut expected = order(&name, &ring.nodes)[..3].to_vec();
    expected.sort();
    // It tries only now and then whether there is room.
    within(3 * DEADLINE, "the copies are where they belong", || {
        let mut holders = ring.secured(&name);
        holders.sort();
        if holders == expected { Ok(()) } else { Err(format!("{holders:?}, not {expected:?}")) }
    });
    readable(&ring, &name, &path);
}

#[test]
fn the_file_of_a_full_owner_survives_two_deaths_and_everybodys_restart() {
    let (mut ring, small) = with_a_small_one(6);
    let dir = TempDir::new().expect("a temporary directory");
    let name = name_at(&ring, small, 0);
    let path = file(&dir, TOO_LARGE, 1);
    ring.nodes[0].run(&["put", text(&path), "--as", &name]);
    for node in &mut ring.nodes {
        node.kill();
    }
    for node in &mut ring.nodes {
        node.restart(&[]);
    }
    ring.settled();
    let holders = held_beside(&ring, &name, small);
    let other = file(&dir, MB, 2);
    let refused = ring.nodes[0].attempt(&["put", text(&other), "--as", &name]);
    assert!(!refused.status.success(), "the name is taken: {}", describe(&refused));
    // Two of its three holders at once.
    let first = ring.nodes[0].address;
    for holder in holders.iter().filter(|holder| **holder != first).take(2) {
        let dead = ring.nodes.iter().position(|node| node.address == *holder);
        ring.crash(dead.expect("a member"));
    }
    ring.settled();
    held_beside(&ring, &name, small);
    readable(&ring, &name, &path);
}

#[test]
fn what_nobody_has_room_for_is_refused_at_once_and_leaves_nothing() {
    let first = NodeProcess::start(&["--quota", QUOTA]);
    let contact = first.address.to_string();
    let other = || NodeProcess::start(&["--quota", QUOTA, "--join", &contact]);
    let (second, third) = (other(), other());
    let ring = Ring { nodes: vec![first, second, third] };
    ring.settled();
    let dir = TempDir::new().expect("a temporary directory");
    let refused = ring.nodes[0].attempt(&["put", text(&file(&dir, TOO_LARGE, 1)), "--as", "a"]);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{}", describe(&refused));
    assert_eq!(said.trim().lines().count(), 1, "{said}");
    for node in &ring.nodes {
        assert!(said.contains(&node.address.to_string()), "{said}");
        holds_at_most(node, 0);
    }
    let listed = ring.nodes[0].run(&["ls", "--ring"]);
    assert!(!listed.contains(".bin"), "{listed}");
    // The name is free for what fits.
    ring.nodes[0].run(&["put", text(&file(&dir, MB, 2)), "--as", "a"]);
}

#[test]
fn an_owner_that_comes_back_without_room_in_the_middle_of_a_put_is_passed_over() {
    const SIZE: usize = 120 * MB;
    let mut ring = Ring::of(5);
    let dir = TempDir::new().expect("a temporary directory");
    let path = file(&dir, SIZE, 1);
    let name = "film.bin";
    let order = order(name, &ring.nodes);
    let at = |address: SocketAddr, ring: &Ring| {
        ring.nodes.iter().position(|node| node.address == address).expect("a member")
    };
    let (owner, next) = (at(order[0], &ring), at(order[1], &ring));
    let via = ring.nodes[at(order[4], &ring)].address.to_string();
    let partial = ring.nodes[next].data_dir().join("partial");
    let limit = (SIZE / 6).to_string();
    let put = ["put", text(&path), "--as", name, "--via", &via, "--limit-up", &limit];
    let client = command(&put).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let client = client.expect("the program starts");
    eventually("some of it has reached the second node", || {
        let files = std::fs::read_dir(&partial).into_iter().flatten().flatten();
        let maps =
            files.map(|file| file.path()).filter(|path| path.extension() == Some("map".as_ref()));
        let pieces: usize = maps.map(|map| pieces_in(&map).len()).sum();
        if pieces >= 8 { Ok(()) } else { Err(format!("{pieces} pieces")) }
    });
    ring.nodes[owner].kill();
    ring.nodes[owner].restart(&["--quota", QUOTA]);
    let output = client.wait_with_output().expect("its output");
    assert!(output.status.success(), "{}", describe(&output));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("3/3"), "{said}");
    // The next node went on with what had reached it.
    let log = ring.nodes[next].log();
    let number = |line: &str| line.split("goes on with ").nth(1)?.split(' ').next()?.parse().ok();
    let went_on = log.lines().filter_map(number).max().unwrap_or(0u32);
    assert!(went_on >= 8, "it began anew:\n{log}");
    ring.settled();
    readable(&ring, name, &path);
    held_beside(&ring, name, order[0]);
    holds_at_most(&ring.nodes[owner], 0);
}

#[test]
fn a_version_that_went_with_its_only_holder_does_not_hide_the_one_before() {
    let little = ["--stabilize", "50ms", "--quota", "30000"];
    let first = NodeProcess::start(&little);
    let contact = first.address.to_string();
    let mut ring = Ring { nodes: vec![first] };
    for arguments in [&little[..], &little[..], &little[..2]] {
        ring.nodes.push(NodeProcess::start(&[arguments, &["--join", &contact]].concat()));
    }
    ring.settled();
    let large = ring.nodes[3].address;
    let dir = TempDir::new().expect("a temporary directory");
    let (old, new) = (file(&dir, 10_000, 1), file(&dir, 50_000, 2));
    let name = name_at(&ring, large, 1);
    ring.nodes[0].run(&["put", text(&old), "--as", &name]);
    assert!(ring.secured(&name).contains(&large));
    let said = ring.nodes[0].run(&["put", text(&new), "--as", &name, "--overwrite"]);
    assert!(said.contains("1/1"), "{said}");
    readable(&ring, &name, &new);
    drop(ring.crash(3));
    let owner = order(&name, &ring.nodes)[0];
    let owner = ring.nodes.iter().find(|node| node.address == owner).expect("a member");
    let given_up = format!("{name}: nobody holds ");
    std::thread::scope(|scope| {
        // A get that begins before that ends with the older one, too.
        let early = scope.spawn(|| ring.nodes[0].fetch(&name));
        ring.settled();
        eventually("its owner gives it up", || {
            let log = owner.log();
            if log.contains(&given_up) { Ok(()) } else { Err(log) }
        });
        let got = early.join().expect("no panic").expect("the older version");
        assert!(got == std::fs::read(&old).expect("just written"));
    });
    readable(&ring, &name, &old);
    ring.secured(&name);
    let said = ring.nodes[0].run(&["put", text(&old), "--as", &name, "--overwrite"]);
    assert!(said.contains("3/3"), "{said}");
    assert_eq!(owner.log().matches(&given_up).count(), 1, "{}", owner.log());
}

#[test]
fn an_owner_that_is_back_beside_a_full_node_hides_no_newer_version() {
    let first = NodeProcess::start(&["--limit-up", "200K"]);
    let contact = first.address.to_string();
    let mut ring = Ring { nodes: vec![first] };
    ring.nodes.push(NodeProcess::start(&["--quota", "10000", "--join", &contact]));
    while ring.nodes.len() < 5 {
        ring.nodes.push(NodeProcess::start(&["--limit-up", "200K", "--join", &contact]));
    }
    ring.settled();
    let small = ring.nodes[1].address;
    let dir = TempDir::new().expect("a temporary directory");
    let (old, new) = (file(&dir, 20_000, 1), file(&dir, 200_000, 2));
    let name = name_at(&ring, small, 1);
    ring.nodes[0].run(&["put", text(&old), "--as", &name]);
    let owner = order(&name, &ring.nodes)[0];
    let at = ring.nodes.iter().position(|node| node.address == owner).expect("a member");
    let mut owner = ring.crash(at);
    ring.settled();
    let via = &ring.nodes[3];
    via.run(&["put", text(&new), "--as", &name, "--overwrite"]);
    owner.restart(&["--join", &via.address.to_string()]);
    let expected = std::fs::read(&new).expect("just written");
    // It takes the owner a while to fetch what it missed.
    for _ in 0..3 {
        assert!(via.fetch(&name).expect("it is there") == expected, "the older version was read");
    }
}
