//! What disks do to files over time, and how a ring makes up for it: flipped
//! bits, and nodes that come back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::process::{NodeProcess, Ring, describe, eventually, order, random_file, text};

/// Three nodes that look for damage all the time.
fn watchful_ring() -> Ring {
    let every = ["--scrub-every", "1s"];
    let mut nodes = vec![NodeProcess::start(&every)];
    let contact = nodes[0].address.to_string();
    for _ in 0..2 {
        nodes.push(NodeProcess::start(&["--join", &contact, every[0], every[1]]));
    }
    let ring = Ring { nodes };
    ring.settled();
    ring
}

/// The blobs on a node's disk: path, and inode with bytes.
fn blobs(node: &NodeProcess) -> BTreeMap<PathBuf, (u64, u64)> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten();
    let shelves = entries(&node.data_dir().join("blobs"));
    let files = shelves.flat_map(|shelf| entries(&shelf.path()).collect::<Vec<_>>());
    let found = files.filter_map(|file| Some((file.path(), file.metadata().ok()?)));
    found.map(|(path, found)| (path, (found.ino(), found.size()))).collect()
}

/// Flips one bit of a file.
fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).expect("a blob");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("so long");
    file.write_all_at(&[byte[0] ^ 1], at).expect("writable");
}

fn says(node: &NodeProcess, what: &str) -> Result<(), String> {
    let log = node.log();
    if log.contains(what) { Ok(()) } else { Err(log) }
}

#[test]
fn a_flipped_bit_is_found_and_the_bytes_come_anew_from_another_holder() {
    let ring = watchful_ring();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("film.bin");
    random_file(&path, (2 << 20) + 4321, 7);
    let right = fs::read(&path).expect("just written");
    ring.nodes[0].run(&["put", text(&path)]);
    ring.secured("film.bin");
    for damaged in &ring.nodes {
        let blob = blobs(damaged).into_keys().next().expect("a copy is here");
        flip(&blob, (1 << 20) + 99);
        eventually("it is said", || {
            says(damaged, "film.bin is damaged on this disk (piece 2 of 3)")?;
            says(damaged, "film.bin was restored from")
        });
        assert!(fs::read(&blob).expect("it is back") == right);
        ring.secured("film.bin");
    }
}

#[test]
fn the_only_copy_damaged_is_kept_and_not_served_until_it_is_put_again() {
    let node = NodeProcess::start(&["--scrub-every", "1s"]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("film.bin");
    random_file(&path, 50_000, 7);
    let right = fs::read(&path).expect("just written");
    node.run(&["put", text(&path)]);
    let blob = blobs(&node).into_keys().next().expect("it is here");
    flip(&blob, 99);
    eventually("it is said", || {
        says(&node, "film.bin is damaged on this disk; what is left of it is kept as")?;
        says(&node, "film.bin: no other copy is known here")
    });
    let hash = blob.file_name().expect("a hash");
    let kept = fs::read(node.data_dir().join("damaged").join(hash)).expect("it is kept");
    let differ = kept.iter().zip(&right).filter(|(a, b)| a != b).count();
    assert_eq!((kept.len(), differ), (right.len(), 1));
    assert!(node.fetch("film.bin").is_err(), "nobody is given wrong bytes");
    node.run(&["put", text(&path)]);
    assert!(node.fetch("film.bin").expect("it is whole") == right);
}

#[test]
fn damage_that_is_met_while_serving_is_mended_without_a_scrub() {
    let never = ["--scrub-every", "0s"];
    let mut nodes = vec![NodeProcess::start(&never)];
    let contact = nodes[0].address.to_string();
    for _ in 0..2 {
        nodes.push(NodeProcess::start(&["--join", &contact, never[0], never[1]]));
    }
    let ring = Ring { nodes };
    ring.settled();
    let dir = tempfile::tempdir().expect("a temporary directory");
    // A small one is read before it is sent; of a large one whoever is sent a
    // damaged piece asks back.
    for (name, size, at) in [("note.txt", 5_000, 99), ("film.bin", (2 << 20) + 4321, 1 << 20)] {
        let path = dir.path().join(name);
        random_file(&path, size, 7);
        let right = fs::read(&path).expect("just written");
        ring.nodes[0].run(&["put", text(&path)]);
        ring.secured(name);
        let damaged = &ring.nodes[1];
        let is_it = |blob: &PathBuf| fs::read(blob).is_ok_and(|bytes| bytes == right);
        let blob = blobs(damaged).into_keys().find(is_it).expect("a copy is here");
        flip(&blob, at);
        let (to, peer) = (dir.path().join("fetched"), damaged.address.to_string());
        // It may mend itself while somebody waits for it.
        let answer = ring.nodes[0].attempt(&["request", name, &peer, "--to", text(&to)]);
        let given = fs::read(&to).ok();
        assert_eq!(answer.status.success(), given.is_some(), "{}", describe(&answer));
        assert!(given.is_none_or(|given| given == right), "nobody is given wrong bytes");
        eventually("it is mended", || {
            says(damaged, &format!("{name} is damaged on this disk"))?;
            says(damaged, &format!("{name} was restored from"))
        });
        let found = fs::read(&blob).map(|bytes| bytes.len());
        assert!(is_it(&blob), "{name}: {found:?}");
        ring.secured(name);
        let again = dir.path().join("fetched again");
        ring.nodes[0].run(&["request", name, &peer, "--to", text(&again)]);
        assert!(fs::read(&again).expect("it came") == right);
        for path in [to, again] {
            let _ = fs::remove_file(path);
        }
    }
}

#[test]
fn of_what_a_returning_node_has_nothing_is_sent_again() {
    let mut ring = Ring::of(4);
    let dir = tempfile::tempdir().expect("a temporary directory");
    // Files of which this node is to hold a copy, wherever the four stand.
    let returning = ring.nodes[2].address;
    let names = || (0..).map(|number| format!("{number}.bin"));
    let is_here = |name: &String| order(name, &ring.nodes)[..3].contains(&returning);
    let held: Vec<String> = names().filter(is_here).take(31).collect();
    let (last, first) = held.split_last().expect("31 names");
    let put = |node: &NodeProcess, name: &String, seed: usize| {
        let path = dir.path().join(name);
        random_file(&path, 40_000, seed as u64);
        node.run(&["put", text(&path)]);
    };
    for (seed, name) in first.iter().enumerate() {
        put(&ring.nodes[0], name, seed);
    }
    for name in first {
        assert!(ring.secured(name).contains(&returning), "{name}");
    }
    let before = blobs(&ring.nodes[2]);
    assert_eq!(before.len(), 30);
    let mut away = ring.crash(2);
    ring.settled();
    // The others make good what it took with it, and go on.
    put(&ring.nodes[0], last, 30);
    for name in &held {
        ring.secured(name);
    }
    let contact = ring.nodes[0].address.to_string();
    away.restart(&["--join", &contact]);
    ring.nodes.push(away);
    ring.settled();
    // All is where it belongs: what was stored meanwhile has come.
    for name in &held {
        eventually("the node that returned holds it", || {
            let holders = ring.secured(name);
            if holders.contains(&returning) { Ok(()) } else { Err(format!("{holders:?}")) }
        });
    }
    let after = blobs(&ring.nodes[3]);
    let moved: BTreeMap<&PathBuf, &(u64, u64)> =
        after.iter().filter(|(path, found)| before.get(*path) != Some(found)).collect();
    assert_eq!((after.len(), moved.len()), (31, 1), "moved: {moved:?}");
    assert!(!before.contains_key(*moved.keys().next().expect("one")), "an old one is new");
}
