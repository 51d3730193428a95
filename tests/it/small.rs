//! Small files: sent at once, over connections that are kept. What is refused
//! is refused as a large one is, and a connection that ended meanwhile costs
//! nobody anything.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;

use chordal::engine::client::{Client, Options};
use chordal::engine::{Config, Node, TransferLimits};
use chordal::limits::EAGER_BYTES;
use chordal::name::FileName;
use chordal::record::ContentHash;
use chordal::transfer::manifest::ManifestBuilder;
use chordal::view::{Command, Outcome, Snapshot};
use chordal::wire::data::{DataRequest, DataResponse};
use chordal::wire::handshake::Purpose;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::attack::{Raw, stranger};
use crate::process::{NodeProcess, Ring, config, free_address, name_owned_by, random_file, text};

fn hash_of(bytes: &[u8]) -> ContentHash {
    let mut builder = ManifestBuilder::new(bytes.len() as u64);
    builder.update(bytes);
    builder.finish().expect("all bytes came").root()
}

fn upload(name: &str, root: ContentHash, size: u64) -> DataRequest {
    let name = FileName::new(name).expect("a name");
    DataRequest::Upload { name, root, size, overwrite: false, follows: true }
}

/// A node that runs in this process.
async fn start(home: &Path, address: SocketAddr, join: Option<SocketAddr>) -> Node {
    Node::start(Config { join: join.into_iter().collect(), listen: address, ..config(home) })
        .await
        .expect("it starts")
}

async fn client(via: SocketAddr, home: &Path) -> Client {
    let options = Options {
        via,
        download_dir: home.join("fetched"),
        transfers: TransferLimits::default(),
        wait: std::time::Duration::ZERO,
        interrupted: CancellationToken::new(),
    };
    Client::connect(&options).await.expect("the member answers")
}

fn put(path: &Path) -> Command {
    Command::Put { path: path.to_owned(), name: None, overwrite: false, min_copies: 1 }
}

fn get(name: &str) -> Command {
    Command::Get { name: name.to_owned(), to: None, no_reshare: true }
}

#[test]
fn files_around_the_limits_of_the_short_way_come_back_as_they_went() {
    let ring = Ring::of(3);
    let dir = TempDir::new().expect("a temporary directory");
    let piece = 1 << 20;
    for size in [0, 1, EAGER_BYTES, EAGER_BYTES + 1, piece - 1, piece, piece + 1] {
        let name = format!("of {size} bytes");
        let path = dir.path().join(&name);
        random_file(&path, size as usize, size);
        let said = ring.nodes[0].run(&["put", text(&path)]);
        assert!(said.contains("3/3"), "{said}");
        assert_eq!(ring.secured(&name).len(), 3, "{name}");
        for node in &ring.nodes {
            let fetched = node.fetch(&name).expect("it is there");
            assert!(fetched == std::fs::read(&path).expect("it is there"), "{name}");
        }
    }
}

#[test]
fn a_small_put_is_refused_as_any_other_and_its_connection_goes_on() {
    let node = NodeProcess::start(&[]);
    let (first, second) = (b"first".as_slice(), b"other".as_slice());
    let mut raw = Raw::greet(node.address, &stranger(Purpose::Data)).0;
    let mut answer = |request: &DataRequest, bytes: &[u8]| {
        raw.say(request);
        raw.0.write_all(bytes).expect("it is taken");
        loop {
            match raw.hear().expect("an answer") {
                DataResponse::Progress { .. } => {}
                answer => return answer,
            }
        }
    };
    let stored = answer(&upload("a", hash_of(first), 5), first);
    assert!(matches!(stored, DataResponse::Stored { already: false, .. }), "{stored:?}");
    let again = answer(&upload("a", hash_of(first), 5), first);
    assert!(matches!(again, DataResponse::Stored { already: true, .. }), "{again:?}");
    let failed = |answer: DataResponse, word: &str| match answer {
        DataResponse::Failed { why } => assert!(why.to_string().contains(word), "{why}"),
        other => panic!("{other:?}"),
    };
    failed(answer(&upload("a", hash_of(second), 5), second), "--overwrite");
    failed(answer(&upload("b", hash_of(first), 5), second), "damaged");
    failed(answer(&upload("c", ContentHash([7; 32]), 0), b""), "damaged");
    let stored = answer(&upload("d", hash_of(b""), 0), b"");
    assert!(matches!(stored, DataResponse::Stored { already: false, .. }), "{stored:?}");
    assert_eq!(node.fetch("a").expect("it is there"), first);
    assert!(node.fetch("b").is_err() && node.fetch("c").is_err(), "nothing of them is there");
}

#[test]
fn whoever_sends_much_unasked_is_told_and_not_listened_to() {
    let node = NodeProcess::start(&[]);
    for size in [EAGER_BYTES + 1, u64::MAX] {
        let name = FileName::new("flood").expect("a name");
        let root = ContentHash([7; 32]);
        let relay = DataRequest::Relay { name, root, size, rest: Vec::new(), follows: true };
        for request in [upload("flood", root, size), relay] {
            let mut raw = Raw::greet(node.address, &stranger(Purpose::Data)).0;
            raw.say(&request);
            match raw.hear().expect("an answer") {
                DataResponse::Failed { why } => {
                    assert!(why.to_string().contains("unasked"), "{why}");
                }
                other => panic!("{other:?}"),
            }
            raw.closed();
        }
    }
    // One that says it sends, and does not, holds up nobody else.
    let mut silent = Raw::greet(node.address, &stranger(Purpose::Data)).0;
    silent.say(&upload("silent", hash_of(b"x"), 1));
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("a");
    random_file(&path, 1_000, 1);
    node.run(&["put", text(&path)]);
    drop(silent);
}

#[test]
fn a_node_that_does_not_own_a_name_says_who_does() {
    let ring = Ring::of(2);
    let [here, there] = [0, 1].map(|at: usize| ring.nodes[at].address);
    for (owner, other) in [(here, there), (there, here)] {
        let name = name_owned_by(owner, &[other]);
        let bytes = name.as_bytes();
        let mut raw = Raw::greet(here, &stranger(Purpose::Data)).0;
        raw.say(&upload(&name, hash_of(bytes), bytes.len() as u64));
        raw.0.write_all(bytes).expect("it is taken");
        let answer = loop {
            match raw.hear().expect("an answer") {
                DataResponse::Progress { .. } => {}
                answer => break answer,
            }
        };
        match answer {
            DataResponse::Stored { holders, .. } if owner == here => assert_eq!(holders.len(), 2),
            DataResponse::NotOwner { owner: Some(said) } if owner == there => {
                assert_eq!(said.address(), there);
            }
            other => panic!("of {owner}: {other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_goes_on_when_its_member_was_restarted() {
    let home = TempDir::new().expect("a temporary directory");
    let address = free_address();
    let path = home.path().join("kept");
    random_file(&path, 4_096, 1);
    let bytes = std::fs::read(&path).expect("it is there");
    let node = start(home.path(), address, None).await;
    let client = client(address, home.path()).await;
    client.run(put(&path)).await.expect("it is stored");
    for round in 0..3 {
        match client.run(get("kept")).await.expect("it is there") {
            Outcome::Fetched { path, .. } => {
                assert!(std::fs::read(&path).expect("it was written") == bytes);
            }
            other => panic!("{round}: {other:?}"),
        }
    }
    node.kill().await;
    let node = start(home.path(), address, None).await;
    client.run(get("kept")).await.expect("it is there still");
    let again = client.run(put(&path)).await.expect("it is stored already");
    assert!(matches!(again, Outcome::Stored { already: true, .. }), "{again:?}");
    node.kill().await;
    let why = client.run(get("kept")).await.expect_err("nobody is there").to_string();
    assert!(why.contains(&address.to_string()), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_put_while_a_holder_dies() {
    const FILES: usize = 60;
    let home = TempDir::new().expect("a temporary directory");
    let homes: Vec<_> = (0..4).map(|n| home.path().join(n.to_string())).collect();
    let mut ring = vec![start(&homes[0], free_address(), None).await];
    for home in &homes[1..] {
        ring.push(start(home, free_address(), Some(ring[0].address)).await);
    }
    for node in &ring {
        let whole = |s: &std::sync::Arc<Snapshot>| s.successors.len() == 3 && s.health.is_good();
        node.snapshots.clone().wait_for(whole).await.expect("the node runs");
    }
    let client = client(ring[0].address, home.path()).await;
    let path = |number: usize| home.path().join(format!("small {number}"));
    let mut putting = tokio::task::JoinSet::new();
    for number in 0..FILES {
        let path = path(number);
        random_file(&path, 1 + number * 97, number as u64);
        let client = client.clone();
        putting.spawn(async move { (number, client.run(put(&path)).await) });
    }
    let mut acknowledged = Vec::new();
    let mut victim = ring.pop();
    while let Some(end) = putting.join_next().await {
        let (number, result) = end.expect("it ends");
        match result {
            Ok(_) => acknowledged.push(number),
            // Fewer copies than wanted in time: it says so.
            Err(why) => assert!(why.to_string().contains("cop"), "{why}"),
        }
        if let Some(victim) = victim.take() {
            victim.kill().await;
        }
    }
    assert!(!acknowledged.is_empty(), "some are put");
    for number in acknowledged {
        let name = format!("small {number}");
        match client.run(get(&name)).await.expect("what was acknowledged is there") {
            Outcome::Fetched { path: fetched, .. } => {
                let wanted = std::fs::read(path(number)).expect("it is there");
                assert!(std::fs::read(fetched).expect("it was written") == wanted, "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    for node in ring {
        node.kill().await;
    }
}
