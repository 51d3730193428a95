//! A ring of real processes whose network falls apart and comes together.
//!
//! Both parts repair themselves into rings, serve what they hold and take new
//! files, new versions and removals. When the network is whole again they become
//! one ring by themselves, and of every name the same version is everywhere: the
//! one with the larger (counter, hash). Nothing that was acknowledged is lost,
//! unless a larger version of its name was acknowledged too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{
    NodeProcess, STABILIZE, describe, eventually, order, random_file, text, within,
};
use crate::proxy::{Link, Network};

/// Copies of each file.
const COPIES: usize = 3;

/// The promise: one ring within ten probe rounds. A round takes five times the
/// time between stabilizations, and its jitter half as much again.
const ONE_RING: Duration = STABILIZE.saturating_mul(10 * 5 * 3 / 2);

/// A name's version as it is compared: counter, then hash in hexadecimal
/// digits, all zeros when the name was removed.
type Version = (u64, String);

/// A ring whose nodes are known in the order of their places.
struct World {
    network: Network,
    nodes: Vec<NodeProcess>,
    dir: TempDir,
    /// Every content that was ever put, by its hash.
    contents: BTreeMap<String, Vec<u8>>,
    /// Of every name the largest version that was acknowledged.
    newest: BTreeMap<String, Version>,
}

impl World {
    fn of(count: usize) -> World {
        let network = Network::new();
        let mut nodes = vec![network.node(&[])];
        let contact = nodes[0].address.to_string();
        nodes.extend((1..count).map(|_| network.node(&["--join", &contact])));
        nodes.sort_by_key(|node| node.id.parse::<u128>().expect("a number"));
        let dir = TempDir::new().expect("a temporary directory");
        let (contents, newest) = (BTreeMap::new(), BTreeMap::new());
        let world = World { network, nodes, dir, contents, newest };
        world.one_ring(Duration::from_secs(60), &world.all());
        world
    }

    fn all(&self) -> Vec<usize> {
        (0..self.nodes.len()).collect()
    }

    fn addresses(&self, side: &[usize]) -> Vec<SocketAddr> {
        side.iter().map(|at| self.nodes[*at].address).collect()
    }

    /// Those who hold a name's copies when only these nodes are there.
    fn placed(&self, name: &str, side: &[usize]) -> Vec<usize> {
        let holders = order(name, side.iter().map(|at| &self.nodes[*at]));
        let at = |holder| self.nodes.iter().position(|node| node.address == holder);
        holders.into_iter().take(COPIES).filter_map(at).collect()
    }

    /// A name that belongs to this node when all are there.
    fn name_of(&self, owner: usize, word: &str) -> String {
        let all = self.all();
        let mut names = (0..).map(|number| format!("{word} {number}"));
        names.find(|name| self.placed(name, &all)[0] == owner).expect("there is no end of names")
    }

    /// Waits until each of these nodes sees a ring of exactly these.
    fn one_ring(&self, deadline: Duration, side: &[usize]) {
        let expected = self.addresses(side);
        within(deadline, "there is one ring", || {
            side.iter().try_for_each(|at| {
                let node = &self.nodes[*at];
                self.network.at(node.address, || node.sees_ring_of(&expected))
            })
        });
    }

    /// Runs a command at a node; it must succeed.
    fn run(&self, at: usize, words: &[&str]) -> String {
        let node = &self.nodes[at];
        self.network.at(node.address, || node.run(words))
    }

    /// Runs a command at a node; it must fail and say this.
    fn fails(&self, at: usize, words: &[&str], part: &str) {
        let node = &self.nodes[at];
        let output = self.network.at(node.address, || node.attempt(words));
        assert!(!output.status.success(), "{words:?}: {}", describe(&output));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(part), "{words:?}: {}", describe(&output));
    }

    fn list(&self, at: usize, words: &[&str]) -> Result<Vec<Value>, String> {
        let node = &self.nodes[at];
        let listing = self.network.at(node.address, || node.json(words))?;
        listing["files"].as_array().cloned().ok_or_else(|| format!("no files: {listing}"))
    }

    fn fetch(&self, at: usize, name: &str) -> Result<Vec<u8>, String> {
        let node = &self.nodes[at];
        self.network.at(node.address, || node.fetch(name))
    }

    /// Puts new content under a name, which gets this counter. What a node
    /// cannot do while its ring settles it is asked again.
    fn put(&mut self, at: usize, name: &str, counter: u64, bytes: usize) {
        let seed = self.contents.len() as u64;
        let path = self.content(bytes, seed);
        let stored = eventually("the file is stored", || {
            let node = &self.nodes[at];
            let words = ["put", text(&path), "--as", name, "--overwrite"];
            let output = self.network.at(node.address, || node.attempt(&words));
            if output.status.success() { Ok(output) } else { Err(describe(&output)) }
        });
        assert!(!describe(&stored).contains("already stored"), "{}", describe(&stored));
        let bytes = std::fs::read(&path).expect("just written");
        let hash = blake3::hash(&bytes).to_string();
        self.contents.insert(hash.clone(), bytes);
        self.acknowledged(name, (counter, hash));
    }

    /// Removes a name, whose tombstone gets this counter.
    fn remove(&mut self, at: usize, name: &str, counter: u64) {
        self.run(at, &["rm", name]);
        self.acknowledged(name, (counter, "0".repeat(64)));
    }

    fn acknowledged(&mut self, name: &str, version: Version) {
        let newest = self.newest.entry(name.to_owned()).or_default();
        *newest = version.max(newest.clone());
    }

    fn content(&self, bytes: usize, seed: u64) -> PathBuf {
        let path = self.dir.path().join(format!("{seed}.bin"));
        random_file(&path, bytes, seed);
        path
    }

    /// Waits until the newest version of every name is where it belongs, and no
    /// other version anywhere; then fetches everything from every node.
    fn all_is_well(&self) {
        let all = self.all();
        eventually("every copy is in its place, in its newest version", || {
            for at in &all {
                let mut here: BTreeMap<String, Version> = BTreeMap::new();
                for file in self.list(*at, &["ls"])? {
                    let name = file["name"].as_str().ok_or("no name")?.to_owned();
                    let hash = file["hash"].as_str().ok_or("no hash")?.to_owned();
                    here.insert(name, (file["version"].as_u64().ok_or("no version")?, hash));
                }
                let expected: BTreeMap<String, Version> = self
                    .newest
                    .iter()
                    .filter(|(name, (_, hash))| {
                        self.contents.contains_key(hash) && self.placed(name, &all).contains(at)
                    })
                    .map(|(name, version)| (name.clone(), version.clone()))
                    .collect();
                if here != expected {
                    let address = self.nodes[*at].address;
                    return Err(format!("{address} has {here:?}, not {expected:?}"));
                }
            }
            Ok(())
        });
        let files: Vec<_> = self
            .newest
            .iter()
            .filter(|(_, version)| self.contents.contains_key(&version.1))
            .collect();
        eventually("all copies are counted", || {
            let listed = self.list(all[0], &["ls", "--ring"])?;
            let whole = listed.iter().filter(|file| file["copies"] == COPIES as u64).count();
            if listed.len() == files.len() && whole == files.len() {
                Ok(())
            } else {
                Err(format!("{listed:?}"))
            }
        });
        for (name, (_, hash)) in &self.newest {
            for at in &all {
                match self.contents.get(hash) {
                    Some(bytes) => {
                        let fetched = self.fetch(*at, name).expect("nothing is lost");
                        assert!(fetched == *bytes, "{name}: {} other bytes", fetched.len());
                    }
                    None => self.fails(*at, &["get", name], "was removed"),
                }
            }
        }
    }
}

/// What both halves do, and what must be true of it before and after.
fn a_partition_and_its_end(halves: [Vec<usize>; 2], link: Link) {
    let mut world = World::of(6);
    let [one, other] = &halves;
    // A file of every node, so that each three neighbours hold one.
    let names: Vec<String> = (0..6).map(|owner| world.name_of(owner, "old")).collect();
    for (owner, name) in names.iter().enumerate() {
        world.put(owner, name, 1, 20_000 + owner);
    }
    let film = world.name_of(1, "film");
    world.put(0, &film, 1, (3 << 20) + 7);
    world.all_is_well();

    let sides = [world.addresses(one), world.addresses(other)];
    world.network.part(&[&sides[0], &sides[1]], link);
    for half in &halves {
        world.one_ring(Duration::from_secs(60), half);
    }
    // Each serves what one of its own holds, and brings it to its own number.
    for half in &halves {
        for name in names.iter().chain([&film]) {
            let holders = world.placed(name, &world.all());
            if holders.iter().any(|holder| half.contains(holder)) {
                eventually("the half has its own copies", || {
                    let listed = world.list(half[0], &["ls", "--ring"])?;
                    let file = listed.iter().find(|file| file["name"] == **name);
                    if file.is_some_and(|file| file["copies"] == COPIES as u64) {
                        Ok(())
                    } else {
                        Err(format!("{name}: {listed:?}"))
                    }
                });
                for at in half {
                    let fetched = world.fetch(*at, name).expect("one of the half holds it");
                    assert!(fetched == world.contents[&world.newest[name].1], "{name}");
                }
            } else {
                world.fails(half[1], &["get", name], "no file named");
            }
        }
    }
    // Life goes on, and the halves contradict each other. Of the names that
    // both hold, each is treated in another way.
    let (here, there) = (one[0], other[0]);
    let both = |name: &&String| {
        let holders = world.placed(name, &world.all());
        halves.iter().all(|half| half.iter().any(|at| holders.contains(at)))
    };
    let shared: Vec<String> = names.iter().filter(both).cloned().collect();
    assert!(shared.len() >= 4, "three neighbours hold a file: {shared:?}");
    world.put(here, "new here", 1, 5_000);
    world.put(there, "new there", 1, 6_000);
    world.put(here, "new on both sides", 1, 7_000);
    world.put(there, "new on both sides", 1, 8_000);
    world.put(here, "removed here", 1, 100);
    world.remove(here, "removed here", 2);
    // Changed on one side only.
    world.put(here, &shared[0], 2, 9_000);
    // Changed on both: the hash decides.
    world.put(here, &shared[1], 2, 10_000);
    world.put(there, &shared[1], 2, 11_000);
    // Removed on one side only.
    world.remove(there, &shared[2], 2);
    // Removed on one side, changed on the other: what is left is a file.
    world.remove(here, &shared[3], 2);
    world.put(there, &shared[3], 2, 12_000);
    // Changed twice on one side: the counter decides.
    world.put(here, &film, 2, (2 << 20) + 1);
    world.put(there, &film, 2, 3);
    world.put(there, &film, 3, (1 << 20) - 1);

    world.network.heal();
    world.one_ring(ONE_RING, &world.all());
    world.all_is_well();
}

#[test]
fn two_halves_that_hear_nothing_of_each_other_live_on_and_become_one_ring_again() {
    a_partition_and_its_end([vec![0, 1, 2], vec![3, 4, 5]], Link::SILENT);
}

#[test]
fn two_halves_that_are_refused_to_each_other_live_on_and_become_one_ring_again() {
    a_partition_and_its_end([vec![0, 2, 4], vec![1, 3, 5]], Link::REFUSED);
}

/// A node alone serves what it holds, and comes back with what it was given.
fn alone_for_a_while(link: Link) {
    let mut world = World::of(4);
    let (alone, others) = (2, [0, 1, 3]);
    let names: Vec<String> = (0..4).map(|owner| world.name_of(owner, "old")).collect();
    for name in &names {
        world.put(0, name, 1, 30_000);
    }
    world.all_is_well();
    let [near, far] = [world.addresses(&[alone]), world.addresses(&others)];
    world.network.part(&[&near, &far], link);
    world.one_ring(Duration::from_secs(60), &[alone]);
    world.one_ring(Duration::from_secs(60), &others);
    for name in &names {
        let held = world.placed(name, &world.all()).contains(&alone);
        match world.fetch(alone, name) {
            Ok(bytes) => {
                assert!(held && bytes == world.contents[&world.newest[name].1], "{name}");
            }
            Err(why) => assert!(!held && why.contains("no file named"), "{name}: {why}"),
        }
    }
    // It is all the ring there is, so one copy is all that are wanted.
    world.put(alone, "written alone", 1, 40_000);
    // What it holds is removed or replaced elsewhere meanwhile.
    world.remove(0, &names[2], 2);
    world.put(1, &names[1], 2, 50_000);
    world.network.heal();
    world.one_ring(ONE_RING, &world.all());
    world.all_is_well();
}

#[test]
fn a_node_that_hears_of_nobody_serves_what_it_holds_and_comes_back_with_what_it_was_given() {
    alone_for_a_while(Link::SILENT);
}

#[test]
fn a_node_that_is_refused_by_all_serves_what_it_holds_and_comes_back_with_what_it_was_given() {
    alone_for_a_while(Link::REFUSED);
}
