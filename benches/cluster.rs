//! How long a ring of eight real nodes takes to settle after somebody joined,
//! and after somebody died. Budgets (with the default time between
//! stabilizations): 3 s each. And how long many nodes take that join through
//! one contact at the same moment: 2 s for 64, 4 s for 110.
//!
//! `cargo bench --bench cluster [-- ROUNDS]`, the last row alone:
//! `cargo bench --bench cluster -- crowd [NODES...]`
//!
//! Seven nodes hold twenty files. A round lets an eighth join, then kills the
//! oldest; each is timed until the snapshots of all living nodes show the
//! ring as it must be: what a person at the dashboards would see.

// The figures are the output.
#![allow(clippy::print_stdout)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chordal::engine::Node;
use chordal::peer::Peer;
use chordal::view::{Command, Membership, Outcome, Role, Snapshot};
use futures_util::future::{join_all, select_all};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};

use common::start;

mod common;

const NODES: usize = 8;
const FILES: usize = 20;
const FILE_BYTES: usize = 4096;
const ROUNDS: usize = 10;
/// Entries of a successor list.
const LIST: usize = 16;
const BUDGET: Duration = Duration::from_secs(3);

/// A ring that has not settled by then never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// Nodes that are one ring in the end, and the budget for that.
const CROWDS: [(usize, Duration); 4] = [
    (16, Duration::from_secs(2)),
    (32, Duration::from_secs(2)),
    (64, Duration::from_secs(2)),
    (110, Duration::from_secs(4)),
];

/// Runs of each crowd.
const CROWD_RUNS: usize = 3;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let numbers: Vec<usize> = std::env::args().filter_map(|word| word.parse().ok()).collect();
    let only_crowds = std::env::args().any(|word| word == "crowd");
    let mut crowds = Vec::new();
    for (nodes, budget) in CROWDS {
        if !only_crowds || numbers.is_empty() || numbers.contains(&nodes) {
            crowds.push(runtime.block_on(measure_crowd(nodes, budget)));
        }
    }
    if only_crowds {
        return if crowds.contains(&false) { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let rounds = numbers.first().copied().unwrap_or(ROUNDS);
    let (joins, repairs) = runtime.block_on(measure(rounds));
    let within = [("join → stable", joins), ("kill → repaired", repairs)]
        .map(|(what, times)| report(what, times, BUDGET));
    if within.contains(&false) || crowds.contains(&false) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

async fn measure(rounds: usize) -> (Vec<Duration>, Vec<Duration>) {
    let home = TempDir::new().expect("a temporary directory");
    let mut ring: VecDeque<Node> = VecDeque::new();
    for number in 0..NODES - 1 {
        let node = start(&home.path().join(format!("node-{number}")), None).await;
        if let Some(first) = ring.front() {
            join(&node, first.address).await;
        }
        ring.push_back(node);
    }
    until("seven nodes are one ring", &ring, is_settled).await;
    store_files(&ring, home.path()).await;
    until("all files have their copies", &ring, is_repaired).await;

    let (mut joins, mut repairs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let newcomer = start(&home.path().join(format!("newcomer-{round}")), None).await;
        let contact = ring[round % ring.len()].address;
        let began = Instant::now();
        ring.push_back(newcomer);
        join(&ring[NODES - 1], contact).await;
        until("the newcomer is in", &ring, is_settled).await;
        joins.push(began.elapsed());
        // What the join moved is another story than what the death moves.
        until("the newcomer has its files", &ring, is_repaired).await;

        let oldest = ring.pop_front().expect("eight nodes");
        let began = Instant::now();
        oldest.kill().await;
        until("the ring and its files are repaired", &ring, is_repaired).await;
        repairs.push(began.elapsed());
    }
    for node in ring {
        node.kill().await;
    }
    (joins, repairs)
}

/// Has all but one join through that one at the same moment.
async fn measure_crowd(nodes: usize, budget: Duration) -> bool {
    let mut times = Vec::new();
    for _ in 0..CROWD_RUNS {
        let home = TempDir::new().expect("a temporary directory");
        let mut ring: VecDeque<Node> = VecDeque::new();
        for number in 0..nodes {
            ring.push_back(start(&home.path().join(format!("node-{number}")), None).await);
        }
        let contact = ring[0].address;
        let began = Instant::now();
        join_all(ring.iter().skip(1).map(|node| join(node, contact))).await;
        until("all are one ring", &ring, is_ring).await;
        times.push(began.elapsed());
        join_all(ring.into_iter().map(Node::kill)).await;
    }
    report(&format!("{nodes} join at once"), times, budget)
}

async fn run(node: &Node, command: Command) -> Outcome {
    let (reply, end) = oneshot::channel();
    node.commands.send((command, reply)).await.expect("the node runs");
    end.await.expect("the node answers").expect("the command succeeds")
}

async fn join(node: &Node, contact: SocketAddr) {
    run(node, Command::Join { contact: contact.to_string() }).await;
}

async fn store_files(ring: &VecDeque<Node>, home: &Path) {
    for number in 0..FILES {
        let path = home.join(format!("file-{number}"));
        std::fs::write(&path, vec![number as u8; FILE_BYTES]).expect("the disk has space");
        let put = Command::Put { path, name: None, overwrite: false, min_copies: 1 };
        run(&ring[number % ring.len()], put).await;
    }
}

/// Waits until the newest snapshots of all nodes together satisfy `holds`.
async fn until(what: &str, ring: &VecDeque<Node>, holds: impl Fn(&[Arc<Snapshot>]) -> bool) {
    let mut feeds: Vec<watch::Receiver<_>> =
        ring.iter().map(|node| node.snapshots.clone()).collect();
    let settled = async {
        loop {
            let seen: Vec<_> =
                feeds.iter_mut().map(|feed| feed.borrow_and_update().clone()).collect();
            if holds(&seen) {
                return;
            }
            let changes = feeds.iter_mut().map(|feed| Box::pin(feed.changed()));
            select_all(changes).await.0.expect("the nodes run");
        }
    };
    if tokio::time::timeout(PATIENCE, settled).await.is_err() {
        panic!("not within {PATIENCE:?}: {what}");
    }
}

/// Every node knows all members, sees a healthy ring, and has the neighbours
/// that follow from the members' ids.
fn is_settled(seen: &[Arc<Snapshot>]) -> bool {
    let mut ring: Vec<Peer> = seen.iter().map(|snapshot| snapshot.me).collect();
    ring.sort_by_key(|peer| peer.id(seen[0].space));
    seen.iter().all(|snapshot| {
        let Some(at) = ring.iter().position(|peer| *peer == snapshot.me) else { return false };
        let after: Vec<Peer> = ring[at + 1..].iter().chain(&ring[..at]).copied().collect();
        let successors: Vec<Peer> = snapshot.successors.iter().map(|next| next.peer).collect();
        snapshot.membership == Membership::Member
            && snapshot.health.is_good()
            && snapshot.predecessor.map(|before| before.peer) == after.last().copied()
            && successors == after
            && living(snapshot) == ring.len()
    })
}

/// Every node has the neighbours that follow from the members' ids, as far as its
/// list goes.
fn is_ring(seen: &[Arc<Snapshot>]) -> bool {
    let mut ring: Vec<Peer> = seen.iter().map(|snapshot| snapshot.me).collect();
    ring.sort_by_key(|peer| peer.id(seen[0].space));
    let whole = |snapshot: &Arc<Snapshot>| {
        let Some(at) = ring.iter().position(|peer| *peer == snapshot.me) else { return false };
        let mut after = ring[at + 1..].iter().chain(&ring[..at]);
        let before = snapshot.predecessor.map(|before| before.peer);
        let listed = snapshot.successors.len() >= LIST.min(ring.len() - 1);
        snapshot.membership == Membership::Member
            && before.as_ref() == after.clone().next_back()
            && listed
            && snapshot.successors.iter().all(|next| Some(&next.peer) == after.next())
    };
    seen.iter().all(whole)
}

/// [`is_settled`], and every file's owner counts all its copies, which as many
/// living nodes really list.
fn is_repaired(seen: &[Arc<Snapshot>]) -> bool {
    let rows = || seen.iter().flat_map(|snapshot| snapshot.files.iter());
    let complete = |owned: &&chordal::view::FileRow| {
        owned.role == Role::Owner
            && owned.copies == owned.wanted
            && rows().filter(|row| row.name == owned.name).count() >= usize::from(owned.wanted)
    };
    is_settled(seen) && rows().filter(complete).count() == FILES
}

/// Members that are not shown as dead.
fn living(snapshot: &Snapshot) -> usize {
    let up = |member: &&chordal::view::Member| member.liveness != chordal::view::Liveness::Dead;
    snapshot.members.iter().filter(up).count()
}

/// Prints a line of figures; whether their median is within the budget.
fn report(what: &str, mut times: Vec<Duration>, budget: Duration) -> bool {
    times.sort();
    let (Some(min), Some(max)) = (times.first(), times.last()) else { return true };
    let median = times[times.len() / 2];
    let within = median <= budget;
    println!(
        "{what:<16} median {median:.2?}  min {min:.2?}  max {max:.2?}  ({} runs; budget {budget:?}: {})",
        times.len(),
        if within { "kept" } else { "MISSED" },
    );
    within
}
