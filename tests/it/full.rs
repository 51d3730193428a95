//! Nodes without room: what does not fit is refused in one sentence before it
//! costs anybody a disk, nothing half-written stays behind, and the copies go to
//! nodes that have room.
//!
//! `--quota` makes a disk small here: a small file system needs rights that a
//! test does not have. With such rights (`mount -t tmpfs -o size=50m`) the
//! sentences are the same but for the quota.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::process::{NodeProcess, Ring, describe, eventually, order, random_file, text};

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
    let mut ring = Ring { nodes: vec![NodeProcess::start(&[])] };
    let contact = ring.nodes[0].address.to_string();
    ring.nodes.push(NodeProcess::start(&["--quota", QUOTA, "--join", &contact]));
    while ring.nodes.len() < count {
        ring.grow();
    }
    ring.settled();
    let small = ring.nodes[1].address;
    (ring, small)
}

/// A name of which the node is to hold this copy, counted from the owner's.
fn name_at(ring: &Ring, node: SocketAddr, copy: usize) -> String {
    let mut names = (0..).map(|number| format!("name {number}"));
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
    // The owner itself cannot answer for what it does not have.
    let name = name_at(&ring, small, 0);
    let output = ring.nodes[0].attempt(&["put", text(&file(&dir, TOO_LARGE, 5)), "--as", &name]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(&small.to_string()), "{}", describe(&output));
    holds_at_most(&ring.nodes[1], 0);
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
