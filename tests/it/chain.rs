//! Uploads along the chain of holders: each byte leaves every node once, and a
//! chain that breaks costs time, never a copy.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use chordal::engine::{Config, Node};
use chordal::view::{Command, Membership, Outcome};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::process::{Ring, config, describe, eventually, random_file, text};

const MIB: u64 = 1 << 20;

async fn start(home: &Path, join: Option<SocketAddr>) -> Node {
    Node::start(Config { join: join.into_iter().collect(), ..config(home) })
        .await
        .expect("it starts")
}

async fn act(node: &Node, command: Command) -> Outcome {
    let (done, end) = oneshot::channel();
    node.commands.send((command, done)).await.expect("the node runs");
    end.await.expect("it answers").expect("it succeeds")
}

/// What each node has sent so far, once it is this much in all and they have
/// come to rest: snapshots count it anew a few times a second.
async fn totals(nodes: &[Node], least: u64, size: u64) -> Vec<u64> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let shown: Vec<_> = nodes.iter().map(|node| node.snapshots.borrow().clone()).collect();
        let totals: Vec<u64> = shown.iter().map(|s| s.traffic.up_total).collect();
        let rest = |s: &std::sync::Arc<chordal::view::Snapshot>| {
            s.transfers.iter().all(|row| row.ended_ms.is_some()) && s.traffic.up_rate < size / 100
        };
        if shown.iter().all(rest) && totals.iter().sum::<u64>() >= least {
            return totals;
        }
        assert!(Instant::now() < deadline, "they do not come to rest: {totals:?}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_an_upload_leave_every_node_at_most_once() {
    const SIZE: u64 = 24 * MIB;
    let homes: Vec<TempDir> = (0..4).map(|_| TempDir::new().expect("a directory")).collect();
    let mut nodes = vec![start(homes[0].path(), None).await];
    for home in &homes[1..] {
        nodes.push(start(home.path(), Some(nodes[0].address)).await);
    }
    for node in &nodes {
        let whole = |s: &std::sync::Arc<chordal::view::Snapshot>| {
            s.membership == Membership::Member && s.successors.len() == 3 && s.health.is_good()
        };
        node.snapshots.clone().wait_for(whole).await.expect("the node runs");
    }
    // On a busy machine an upload may have to be begun anew: then some bytes
    // leave twice, which says nothing of chains.
    let mut seen = Vec::new();
    for attempt in 0..5 {
        let path = homes[0].path().join(format!("film {attempt}.bin"));
        random_file(&path, SIZE as usize, attempt);
        let before = totals(&nodes, 0, SIZE).await;
        let put = Command::Put { path, name: None, overwrite: false, min_copies: 1 };
        let Outcome::Stored { holders, wanted: 3, .. } = act(&nodes[0], put).await else {
            panic!("three copies are stored");
        };
        assert_eq!(holders.len(), 3);
        // Two ways at least, as there are three copies.
        let least = before.iter().sum::<u64>() + 2 * SIZE;
        let after = totals(&nodes, least, SIZE).await;
        seen = after.iter().zip(&before).map(|(after, before)| after - before).collect();
        if seen.iter().all(|sent| *sent < SIZE + SIZE / 2) {
            break;
        }
    }
    assert!(seen.iter().all(|sent| *sent < SIZE + SIZE / 2), "sent: {seen:?}");
    // The putter is one of the holders or not: two or three ways in all.
    let sum: u64 = seen.iter().sum();
    assert!(sum > 2 * SIZE && sum < 3 * SIZE + SIZE / 2, "sent: {seen:?}");
    for node in nodes {
        node.kill().await;
    }
}

#[test]
fn a_holder_that_dies_within_the_chain_is_replaced_and_the_put_ends_well() {
    let mut ring = Ring::of(5);
    let dir = TempDir::new().expect("a temporary directory");
    // The owner and the next holder, as a small file tells.
    let small = dir.path().join("probe");
    random_file(&small, 1_000, 1);
    let path = dir.path().join("film.bin");
    random_file(&path, 200 * MIB as usize, 2);
    ring.nodes[0].run(&["put", text(&small), "--as", "film.bin"]);
    let holders = ring.secured("film.bin");
    let order = ring.nodes[0].json(&["lookup", "film.bin"]).expect("it is found");
    let owner = order["owner"]["address"].as_str().expect("an address").to_owned();
    let victim = ring
        .nodes
        .iter()
        .position(|node| holders.contains(&node.address) && node.address.to_string() != owner)
        .expect("there are replicas");
    let via = ring.nodes.iter().position(|node| node.address.to_string() == owner);
    let via = ring.nodes[via.expect("the owner is one of them")].address.to_string();

    let put = {
        let path = path.clone();
        std::thread::spawn(move || {
            let words = ["put", text(&path), "--as", "film.bin", "--overwrite", "--via", &via];
            crate::process::chordal(&words)
        })
    };
    // The victim is stopped as soon as it takes part, and dies there.
    let partial = ring.nodes[victim].data_dir().join("partial");
    eventually("the chain reaches it", || {
        let begun = std::fs::read_dir(&partial).is_ok_and(|mut files| files.next().is_some());
        if begun || put.is_finished() { Ok(()) } else { Err("not yet".to_owned()) }
    });
    ring.nodes[victim].signal(Signal::STOP);
    ring.crash(victim);
    let output = put.join().expect("the command ran");
    assert!(output.status.success(), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("3/3"), "{}", describe(&output));
    let expected = std::fs::read(&path).expect("readable");
    for node in &ring.nodes {
        assert!(node.fetch("film.bin").expect("it is there") == expected, "byte for byte");
    }
}

#[test]
fn a_holder_that_is_paused_within_the_chain_holds_no_put_up_for_long() {
    let ring = Ring::of(5);
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("film.bin");
    random_file(&path, 64 * MIB as usize, 4);
    let order = ring.nodes[0].json(&["lookup", "film.bin"]).expect("it is found");
    let owner = order["owner"]["address"].as_str().expect("an address").to_owned();
    let place = |node: &crate::process::NodeProcess| node.id.parse::<u128>().expect("a number");
    let start = ring.nodes.iter().find(|node| node.address.to_string() == owner).map(place);
    let start = start.expect("the owner is one of them");
    let distance = |node: &&crate::process::NodeProcess| (place(node) + 1024 - start - 1) % 1024;
    let next = ring.nodes.iter().min_by_key(distance).expect("there are five");
    let via = ring.nodes.iter().find(|node| node.address != next.address).expect("another");

    // It takes the connection, for that the system does, and nothing else.
    next.signal(Signal::STOP);
    let output = via.attempt(&["put", text(&path)]);
    next.signal(Signal::CONT);
    assert!(output.status.success(), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("3/3"), "{}", describe(&output));
}
