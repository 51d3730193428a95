//! The four tasks of the labs that this project grew from, with real processes
//! over real TCP: nodes find each other; a file goes up here and comes down
//! there; finger tables follow the ring; a crash is repaired.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::process::{
    NodeProcess, Ring, SKY_SHIP_BYTES, eventually, members, random_file, text, with_sky_ship,
};

#[test]
fn task_1_two_nodes_find_each_other() {
    let first = NodeProcess::start(&[]);
    let second = NodeProcess::join(&first);
    let pair = [(&first, &second), (&second, &first)];
    for (node, other) in pair {
        eventually("each is the other's predecessor and successor", || {
            let info = node.json(&["info"])?;
            let address = other.address.to_string();
            let neighbour = |value: &Value| value["address"] == address && value["id"] == other.id;
            let successors = info["successors"].as_array().map_or(&[][..], Vec::as_slice);
            if neighbour(&info["predecessor"]) && matches!(successors, [one] if neighbour(one)) {
                Ok(())
            } else {
                Err(info.to_string())
            }
        });
    }
    Ring { nodes: vec![first, second] }.settled();
}

#[test]
fn task_2_a_file_put_here_is_got_there_byte_for_byte() {
    let ring = Ring::of(3);
    let (_dir, path) = with_sky_ship();
    let said = ring.nodes[1].run(&["put", text(&path)]);
    assert!(said.contains("3/3"), "put tells of its copies: {said}");

    let original = std::fs::read(&path).expect("the picture");
    for node in &ring.nodes {
        assert!(node.fetch("SkyShip.jpg").expect("every member delivers it") == original);
    }
    let listing = ring.nodes[2].json(&["ls", "--ring"]).expect("a listing");
    let files = listing["files"].as_array().expect("files");
    assert_eq!(files.len(), 1, "{listing}");
    assert_eq!(files[0]["key"], "189");
    assert_eq!(files[0]["size"], SKY_SHIP_BYTES);
}

#[test]
fn task_3_finger_tables_follow_the_ring_as_nodes_are_added() {
    let mut ring = Ring::of(1);
    for count in 2..=5 {
        let before = tables(&ring);
        ring.grow();
        assert_eq!(ring.nodes.len(), count);
        ring.settled();
        fingers_are_right(&ring);
        // The new node is now finger 0 of its predecessor.
        let mut after = tables(&ring);
        after.pop();
        assert_ne!(after, before, "a new node shows in the fingers of the others");
    }
}

#[test]
fn task_4_a_crash_is_repaired_ring_fingers_and_copies() {
    let mut ring = Ring::of(5);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut originals = BTreeMap::new();
    for seed in 0..8 {
        let name = format!("file-{seed}.bin");
        let path = dir.path().join(&name);
        random_file(&path, 10_000 * seed as usize + 1, seed);
        ring.nodes[seed as usize % 5].run(&["put", text(&path)]);
        originals.insert(name, std::fs::read(&path).expect("just written"));
    }

    // Whoever owns the first file: its copies have to be made anew for sure.
    let lookup = ring.nodes[0].json(&["lookup", "file-0.bin"]).expect("an owner");
    let owner = lookup["owner"]["address"].as_str().expect("an address");
    let victim = ring.nodes.iter().position(|node| node.address.to_string() == owner);
    ring.crash(victim.expect("the owner is one of the five"));

    ring.settled();
    fingers_are_right(&ring);
    for name in originals.keys() {
        let holders = ring.secured(name);
        assert_eq!(holders.len(), 3, "{name} is held by {holders:?}");
    }
    for (number, (name, original)) in originals.iter().enumerate() {
        let got = ring.nodes[number % 4].fetch(name).expect("nothing is lost");
        assert!(got == *original, "{name} differs");
    }
}

/// Compares every member's table with the definition: finger i is the first
/// member at or after `id + 2^i mod 2^m`.
fn fingers_are_right(ring: &Ring) {
    for node in &ring.nodes {
        eventually("the finger table is the definition's", || {
            let mut places = members(&node.json(&["ring"])?)?;
            places.sort_unstable();
            let bits = node.json(&["info"])?["bits"].as_u64().ok_or("no bits")?;
            let me: u128 = node.id.parse().map_err(|_| format!("{} is no number", node.id))?;
            let table = node.json(&["fingers"])?;
            let fingers = table["fingers"].as_array().ok_or_else(|| table.to_string())?;
            if fingers.len() as u64 != bits {
                return Err(format!("{} entries of {bits}", fingers.len()));
            }
            for (index, finger) in fingers.iter().enumerate() {
                let start = (me + (1 << index)) % (1 << bits);
                let (id, address) =
                    places.iter().find(|(id, _)| *id >= start).unwrap_or(&places[0]);
                let right = finger["index"] == index
                    && finger["start"] == start.to_string()
                    && finger["node"]["id"] == id.to_string()
                    && finger["node"]["address"] == *address;
                if !right {
                    return Err(format!("node {me}: {finger}, but {id} is the first at {start}"));
                }
            }
            Ok(())
        });
    }
}

fn tables(ring: &Ring) -> Vec<Value> {
    ring.nodes.iter().map(|node| node.json(&["fingers"]).expect("a finger table")).collect()
}
