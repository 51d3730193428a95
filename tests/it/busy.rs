//! Machines that have little time for their nodes: whoever gets no turn neither
//! blames others for it nor is taken for dead.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chordal::engine::{Config, Node};
use chordal::view::Command;
use chordal::wire::handshake::Params;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{NodeProcess, Ring, config, eventually, name_owned_by, random_file, text};
use crate::proxy::{Link, Network};

/// Longer than an answer is waited for from a peer that is quick as a rule.
const STILL: Duration = Duration::from_millis(600);

/// Enough for a question, often not for its answer.
const TURN: Duration = Duration::from_millis(80);

/// Nobody was taken for dead, and nobody is.
fn all_lived(ring: &Ring) {
    for node in &ring.nodes {
        let log = node.log();
        let blamed: Vec<&str> =
            log.lines().filter(|line| line.contains("does not answer")).collect();
        assert!(blamed.is_empty(), "{} says: {blamed:#?}", node.address);
    }
    ring.settled();
}

/// As on a machine that runs something else most of the time, for all alike: the
/// answer to a question is not there yet when its asker goes on.
#[test]
fn nodes_that_get_no_turn_do_not_take_each_other_for_dead() {
    let first = NodeProcess::start(&["--stabilize", "100ms"]);
    let contact = first.address.to_string();
    let mut ring = Ring { nodes: vec![first] };
    for _ in 1..5 {
        ring.nodes.push(NodeProcess::start(&["--stabilize", "100ms", "--join", &contact]));
    }
    ring.settled();
    for _ in 0..16 {
        for (signal, span) in [(Signal::STOP, STILL), (Signal::CONT, TURN)] {
            ring.nodes.iter().for_each(|node| node.signal(signal));
            std::thread::sleep(span);
        }
    }
    all_lived(&ring);
}

/// Messages may wait behind the bytes that they are about, or be lost among them.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_just_sending_bytes_is_not_taken_for_dead() {
    let network = Network::new();
    let source = network.node(&["--replicas", "1", "--limit-up", "1M"]);
    let dir = TempDir::new().expect("a directory");
    let settings = config(&dir.path().join("node"));
    let settings = Config {
        advertise: Some(network.door(settings.listen)),
        join: vec![source.address],
        params: Params { replicas: 1, ..settings.params },
        ..settings
    };
    let mut node = Node::start(settings).await.expect("it starts");
    eventually("they are a ring", || source.sees_ring_of(&[source.address, node.address]));
    let file = dir.path().join("file");
    random_file(&file, 8_000_000, 1);
    let name = name_owned_by(source.address, &[node.address]);
    source.run(&["put", text(&file), "--as", &name]);
    let (done, got) = tokio::sync::oneshot::channel();
    let get = Command::Get { name, to: None, no_reshare: true };
    node.commands.send((get, done)).await.expect("the node runs");
    let mut snapshots = node.snapshots.clone();
    let begun = snapshots.wait_for(|now| now.transfers.iter().any(|row| row.done > 200_000));
    begun.await.expect("the node runs");
    let before = network.carried(source.address, node.address);
    network.set(source.address, node.address, Link::SILENT_MESSAGES);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(network.carried(source.address, node.address) > before + 1_000_000, "bytes came");
    network.heal();
    assert!(got.await.expect("an answer").is_ok(), "all of it came");
    while let Ok(event) = node.events.try_recv() {
        assert!(!event.text.contains("does not answer"), "{}", event.text);
    }
    node.kill().await;
}

/// `cargo test --release --test it busy::fifty_thousand -- --ignored --nocapture`
#[test]
#[ignore = "minutes, and sixteen threads that take all the time there is"]
fn fifty_thousand_small_files_beside_sixteen_busy_loops_drop_no_member() {
    let ring = Ring::of(5);
    let home = TempDir::new().expect("a directory");
    let files = std::env::var("CHORDAL_BUSY_FILES").ok().and_then(|count| count.parse().ok());
    for number in 0..files.unwrap_or(50_000) {
        let below = home.path().join(format!("many/{}", number / 1_000));
        fs::create_dir_all(&below).expect("a directory");
        fs::write(below.join(number.to_string()), format!("file {number}\n")).expect("a file");
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        let put = ring.nodes[0].attempt(&["put", text(&home.path().join("many"))]);
        done.store(true, Ordering::Relaxed);
        assert!(put.status.success(), "{}", String::from_utf8_lossy(&put.stderr));
    });
    all_lived(&ring);
}
