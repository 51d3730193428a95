//! Hosts with several places on the ring, as real processes: copies on different
//! hosts, whatever becomes of one, which takes all its places with it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use tempfile::TempDir;

use crate::process::{
    NodeProcess, Ring, chordal, describe, eventually, free_address, is_in_order, members,
    random_file, text,
};

/// Bytes of a file that is sent in pieces, along a chain.
const LARGE: usize = 3 << 20;

/// A node of a ring wide enough that no two places meet, with so many of them.
fn host(places: usize, contact: Option<&NodeProcess>) -> NodeProcess {
    let places = places.to_string();
    let contact = contact.map(|node| node.address.to_string());
    let mut words = vec!["--bits", "32", "--vnodes", &places];
    words.extend(contact.iter().flat_map(|address| ["--join", address]));
    NodeProcess::start(&words)
}

/// Hosts with so many places, which have found each other.
fn hosts(places: &[usize]) -> Ring {
    let mut ring = Ring { nodes: vec![host(places[0], None)] };
    for &count in &places[1..] {
        let next = host(count, ring.nodes.first());
        ring.nodes.push(next);
    }
    settled(&ring, places);
    ring
}

/// Waits until every node sees a healthy ring on which each has its places.
fn settled(ring: &Ring, places: &[usize]) {
    let expected: BTreeMap<String, usize> =
        ring.nodes.iter().zip(places).map(|(node, n)| (node.address.to_string(), *n)).collect();
    for node in &ring.nodes {
        eventually("every node sees all places of all hosts", || {
            let seen = node.json(&["ring"])?;
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for (_, address) in members(&seen)? {
                *counts.entry(address).or_default() += 1;
            }
            if is_in_order(&seen) && counts == expected {
                Ok(())
            } else {
                Err(format!("{} sees {seen}", node.address))
            }
        });
    }
}

/// Files of several sizes, stored by all nodes in turn.
fn put_files(ring: &Ring, dir: &Path, count: u64) -> Vec<String> {
    (0..count)
        .map(|seed| {
            let name = format!("{seed}.bin");
            let bytes = if seed % 4 == 3 { LARGE } else { 1_000 + 777 * seed as usize };
            random_file(&dir.join(&name), bytes, seed);
            let node = &ring.nodes[seed as usize % ring.nodes.len()];
            let said = node.run(&["put", text(&dir.join(&name))]);
            let copies = ring.nodes.len().min(3);
            assert!(said.contains(&format!("{copies}/{copies} copies")), "{said}");
            name
        })
        .collect()
}

/// Every file has its copies on different hosts, and each node gets it whole.
fn all_secured(ring: &Ring, dir: &Path, names: &[String]) {
    for (at, name) in names.iter().enumerate() {
        let holders = ring.secured(name);
        let different: BTreeSet<SocketAddr> = holders.iter().copied().collect();
        assert_eq!(different.len(), ring.nodes.len().min(3), "{name}: {holders:?}");
        let original = std::fs::read(dir.join(name)).expect("it was put from there");
        let node = &ring.nodes[at % ring.nodes.len()];
        assert!(node.fetch(name).expect("it is there") == original, "{name} is another file");
    }
}

/// The contents on a node's disk.
fn blobs(node: &NodeProcess) -> usize {
    fn files(dir: &Path) -> usize {
        let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
    }
    files(&node.data_dir().join("blobs"))
}

#[test]
fn three_hosts_with_four_places_each_keep_one_copy_of_every_file_each() {
    let ring = hosts(&[4, 4, 4]);
    let seen = ring.nodes[1].run(&["ring"]);
    assert!(seen.contains("12 places of 3 hosts"), "{seen}");
    let info = ring.nodes[0].json(&["info"]).expect("info");
    assert_eq!(info["places"].as_array().map(Vec::len), Some(4), "{info}");
    assert_eq!(info["id"], info["places"][0]);

    let dir = TempDir::new().expect("a temporary directory");
    let names = put_files(&ring, dir.path(), 12);
    all_secured(&ring, dir.path(), &names);
    // Whatever moved between the places of a host, its disk has each content once.
    for node in &ring.nodes {
        eventually("each disk holds each file", || match blobs(node) {
            12 => Ok(()),
            other => Err(format!("{other} contents at {}", node.address)),
        });
    }
    // Each host speaks once in a listing and in a search.
    let listed = ring.nodes[2].json(&["ls"]).expect("a listing");
    assert_eq!(listed["files"].as_array().map(Vec::len), Some(12), "{listed}");
    let found = ring.nodes[0].json(&["find", "0.bin"]).expect("a search");
    let found = found["contents"].as_array().cloned().expect("contents");
    let exact = found.iter().find(|row| row.to_string().contains("\"0.bin\"")).expect("0.bin");
    assert_eq!(exact["sources"].as_array().map_or(0, Vec::len), 3, "{exact}");

    // An overwrite and a removal reach every copy.
    std::fs::write(dir.path().join("0.bin"), "other words").expect("a file");
    ring.nodes[1].run(&["put", "--overwrite", text(&dir.path().join("0.bin"))]);
    all_secured(&ring, dir.path(), &names[..1]);
    ring.nodes[2].run(&["rm", "1.bin"]);
    for node in &ring.nodes {
        assert!(node.fetch("1.bin").is_err());
        eventually("the removed file is no longer listed", || {
            let listed = node.json(&["ls"])?;
            let count = listed["files"].as_array().map(Vec::len);
            if count == Some(11) { Ok(()) } else { Err(listed.to_string()) }
        });
    }
}

#[test]
fn a_host_that_is_killed_takes_all_its_places_and_no_file_with_it() {
    let mut ring = hosts(&[3, 3, 3, 3]);
    let dir = TempDir::new().expect("a temporary directory");
    let names = put_files(&ring, dir.path(), 12);
    all_secured(&ring, dir.path(), &names);
    let mut crashed = ring.crash(1);
    // At once, while the ring still counts on the dead one.
    for name in &names {
        let original = std::fs::read(dir.path().join(name)).expect("it was put from there");
        assert!(ring.nodes[0].fetch(name).expect("two copies are left") == original, "{name}");
    }
    settled(&ring, &[3, 3, 3]);
    all_secured(&ring, dir.path(), &names);
    // It comes back with its disk, at the same places.
    let held = blobs(&crashed);
    crashed.restart(&["--join", &ring.nodes[0].address.to_string()]);
    ring.nodes.push(crashed);
    settled(&ring, &[3, 3, 3, 3]);
    all_secured(&ring, dir.path(), &names);
    assert!(held > 0 && held <= names.len());
    // Four hosts for three copies each: what is too much is given up.
    eventually("three copies of each content are on the disks", || {
        let all: usize = ring.nodes.iter().map(blobs).sum();
        if all == 3 * names.len() { Ok(()) } else { Err(format!("{all} contents")) }
    });
}

#[test]
fn a_host_that_leaves_hands_all_its_places_to_others() {
    let mut ring = hosts(&[3, 3, 3, 3]);
    let dir = TempDir::new().expect("a temporary directory");
    let names = put_files(&ring, dir.path(), 8);
    all_secured(&ring, dir.path(), &names);
    while ring.nodes.len() > 1 {
        let mut leaver = ring.nodes.remove(0);
        leaver.terminate();
        let status = leaver.ended();
        assert!(status.success(), "{status}; it said:\n{}", leaver.log());
        assert_eq!(blobs(&leaver), 0, "handed over, so no longer here:\n{}", leaver.log());
    }
    for name in &names {
        let original = std::fs::read(dir.path().join(name)).expect("it was put from there");
        assert!(ring.nodes[0].fetch(name).expect("handed over") == original, "{name}");
    }
}

#[test]
fn hosts_with_one_place_and_with_many_share_a_ring() {
    let places = [1, 8, 1, 4];
    let mut ring = hosts(&places);
    let dir = TempDir::new().expect("a temporary directory");
    let names = put_files(&ring, dir.path(), 8);
    all_secured(&ring, dir.path(), &names);
    ring.crash(1);
    settled(&ring, &[1, 1, 4]);
    all_secured(&ring, dir.path(), &names);
}

#[test]
fn two_hosts_hold_two_copies_and_the_one_that_is_left_still_has_everything() {
    let mut ring = hosts(&[4, 4]);
    let dir = TempDir::new().expect("a temporary directory");
    let names = put_files(&ring, dir.path(), 6);
    all_secured(&ring, dir.path(), &names);
    let mut crashed = ring.crash(0);
    settled(&ring, &[4]);
    all_secured(&ring, dir.path(), &names);
    // A whole restart: nobody is left who remembers anything but its disk.
    ring.nodes[0].kill();
    ring.nodes[0].restart(&[]);
    for name in &names {
        let original = std::fs::read(dir.path().join(name)).expect("it was put from there");
        assert!(ring.nodes[0].fetch(name).expect("on its disk") == original, "{name}");
    }
    crashed.restart(&["--join", &ring.nodes[0].address.to_string()]);
    ring.nodes.push(crashed);
    settled(&ring, &[4, 4]);
    all_secured(&ring, dir.path(), &names);
}

#[test]
fn what_a_host_with_several_places_shares_is_found_and_fetched() {
    let ring = hosts(&[5, 5]);
    let dir = TempDir::new().expect("a temporary directory");
    random_file(&dir.path().join("shared.bin"), 200_000, 1);
    let sharer = NodeProcess::start(&[
        "--bits",
        "32",
        "--vnodes",
        "5",
        "--join",
        &ring.nodes[0].address.to_string(),
        "--share",
        text(&dir.path().join("shared.bin")),
    ]);
    let original = std::fs::read(dir.path().join("shared.bin")).expect("a file");
    for node in &ring.nodes {
        eventually("the shared file is fetched", || {
            let fetched = node.fetch("shared.bin")?;
            if fetched == original { Ok(()) } else { Err("another file".to_owned()) }
        });
    }
    drop(sharer);
}

#[test]
fn places_that_do_not_fit_together_with_the_rest_are_refused_in_a_sentence() {
    let at = free_address().to_string();
    let words = [&at, "--headless", "--vnodes", "4", "--replicas", "5", "--successors", "3"];
    let output = chordal(&words);
    assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
    let said = describe(&output);
    assert!(said.contains("give --successors 5 or more"), "{said}");
}
