//! A node that comes to hold a content which lies on its machine already copies it,
//! and one that does not need a content any more stops to fetch it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chordal::engine::TransferLimits;
use chordal::id::Space;
use chordal::peer::Peer;
use chordal::view::{Command, CommandError, Outcome, TransferKind, TransferRow, TransferState};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::limits::{Here, ended};
use crate::process::{
    NodeProcess, eventually, free_address, name_owned_by, names_owned_by, random_file, text,
};

const MIB: usize = 1 << 20;

/// The two members in the order in which they hold what the third node is to hold when
/// one of them is gone.
fn before(
    third: SocketAddr,
    (one, other): (NodeProcess, NodeProcess),
) -> (NodeProcess, NodeProcess) {
    let space = Space::default();
    let way = |node: &NodeProcess| {
        space.distance(Peer::new(third, 0).id(space), Peer::new(node.address, 0).id(space))
    };
    if way(&one) < way(&other) { (one, other) } else { (other, one) }
}

/// Two members of a ring that keeps two copies.
fn two() -> (NodeProcess, NodeProcess) {
    let first = NodeProcess::start(&["--replicas", "2"]);
    let second = NodeProcess::join(&first);
    sees(&first, &[first.address, second.address]);
    (first, second)
}

fn sees(node: &NodeProcess, ring: &[SocketAddr]) {
    eventually("the ring is whole", || node.sees_ring_of(ring));
}

/// A file of random bytes.
fn file(dir: &Path, bytes: usize) -> PathBuf {
    let path = dir.join("original");
    random_file(&path, bytes, bytes as u64);
    path
}

fn put(node: &NodeProcess, path: &Path, name: &str, more: &[&str]) {
    node.run(&[&["put", text(path), "--as", name], more].concat());
}

/// The rows of this kind and name in the list of a node's transfers.
fn rows(node: &NodeProcess, kind: &str, name: &str) -> Vec<Value> {
    let list = node.json(&["transfers"]).expect("it answers");
    let rows = list["transfers"].as_array().expect("a list").iter();
    rows.filter(|row| row["kind"] == kind && row["name"] == name).cloned().collect()
}

/// Bytes of a name that a node has served so far.
fn served(node: &NodeProcess, name: &str) -> u64 {
    rows(node, "serve", name).iter().map(|row| row["done"].as_u64().expect("a number")).sum()
}

/// Waits until this node is said to hold a name, next to the owner.
fn holds(owner: &NodeProcess, name: &str, holder: SocketAddr) {
    eventually("it holds a copy", || {
        let listing = owner.json(&["ls", "--ring"])?;
        let files = listing["files"].as_array().into_iter().flatten();
        let held = files.filter(|file| file["name"] == name && file["copies"] == 2).any(|file| {
            let holders = file["holders"].as_array().into_iter().flatten();
            holders.into_iter().any(|peer| peer["address"] == holder.to_string())
        });
        held.then_some(()).ok_or_else(|| listing.to_string())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_downloaded_is_not_fetched_again_for_the_ring() {
    let dir = TempDir::new().expect("a temporary directory");
    let original = file(dir.path(), 5 * MIB);
    let both = two();
    let here = Here::joined(both.0.address, TransferLimits::default()).await;
    let (mut owner, mut second) = before(here.node.address, both);
    let all = [owner.address, second.address, here.node.address];
    sees(&owner, &all);
    let name = name_owned_by(all[0], &all[1..]);
    put(&owner, &original, &name, &[]);
    let got = ended(here.get(&name).await).await;
    let Ok(Outcome::Fetched { path, .. }) = got else { panic!("{got:?}") };
    let before = served(&owner, &name);
    second.kill();
    let done = |row: &TransferRow| row.state == TransferState::Done && row.name == name;
    let row = here.row("the copy is made", TransferKind::Copy, done).await;
    assert_eq!((row.done, &row.peers[..]), (5 * MIB as u64, &[][..]), "nobody sent it");
    holds(&owner, &name, here.node.address);
    assert_eq!(served(&owner, &name), before);
    // It is a copy, and not the user's file.
    fs::remove_file(path).expect("it is there");
    owner.kill();
    let again = ended(here.get(&name).await).await;
    let Ok(Outcome::Fetched { path, .. }) = again else { panic!("{again:?}") };
    assert!(fs::read(path).expect("it is saved") == fs::read(original).expect("it"));
    here.node.kill().await;
}

#[test]
fn what_is_shared_is_not_fetched_for_the_ring_unless_it_was_changed() {
    let dir = TempDir::new().expect("a temporary directory");
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).expect("a directory");
    let (whole, damaged) = (shared.join("whole"), shared.join("damaged"));
    random_file(&whole, 5 * MIB, 1);
    random_file(&damaged, 5 * MIB, 2);
    let right = fs::read(&damaged).expect("it is there");
    let both = two();
    let join = both.0.address.to_string();
    let sharer = NodeProcess::start(&["--join", &join, "--share", text(&shared)]);
    // What is not hashed yet is not known by its hash.
    eventually("both files are hashed", || {
        let listing = sharer.json(&["ls"])?;
        let files = listing["files"].as_array().into_iter().flatten();
        let shared = files.filter(|file| file["role"] == "shared").count();
        (shared == 2).then_some(()).ok_or_else(|| listing.to_string())
    });
    let (mut owner, mut second) = before(sharer.address, both);
    let all = [owner.address, second.address, sharer.address];
    sees(&owner, &all);
    let mut names = names_owned_by(all[0], &all[1..]);
    let [first, other] = [(); 2].map(|()| names.next().expect("they have no end"));
    put(&owner, &whole, &first, &[]);
    put(&owner, &damaged, &other, &[]);
    let mut wrong = right.clone();
    wrong[3 * MIB] ^= 1;
    fs::write(&damaged, wrong).expect("room on the disk");
    second.kill();
    for name in [&first, &other] {
        holds(&owner, name, sharer.address);
    }
    assert_eq!(served(&owner, &first), 0, "nobody sent it");
    let copies = rows(&sharer, "copy", &first);
    assert!(copies.len() == 1 && copies[0]["done"] == 5 * MIB, "{copies:?}");
    assert!(served(&owner, &other) > 0, "it came from its owner");
    owner.kill();
    let got = eventually("it has the right bytes", || sharer.fetch(&other));
    assert!(got == right);
}

/// A slow download of a file that the ring wants here as well, as soon as pieces come.
async fn slow_download(dir: &Path) -> (PathBuf, String, NodeProcess, Here, Download) {
    let original = file(dir, 12 * MIB);
    let both = two();
    let transfers = TransferLimits { down: Some(4 * MIB as u64), ..TransferLimits::default() };
    let here = Here::joined(both.0.address, transfers).await;
    let (owner, mut second) = before(here.node.address, both);
    let all = [owner.address, second.address, here.node.address];
    sees(&owner, &all);
    let name = name_owned_by(all[0], &all[1..]);
    put(&owner, &original, &name, &[]);
    let (row, end) = here.fetches(&name).await;
    second.kill();
    let copies = |row: &TransferRow| row.name == name && row.done > 0;
    here.row("it is copied meanwhile", TransferKind::Copy, copies).await;
    (original, name, owner, here, Download { number: row.number, end })
}

struct Download {
    number: u64,
    end: oneshot::Receiver<Result<Outcome, CommandError>>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_for_the_ring_is_made_of_a_download_that_is_under_way() {
    let dir = TempDir::new().expect("a temporary directory");
    let (original, name, owner, here, download) = slow_download(dir.path()).await;
    let Ok(Outcome::Fetched { path, .. }) = ended(download.end).await else { panic!("it fails") };
    let done = |row: &TransferRow| row.state == TransferState::Done && row.name == name;
    let row = here.row("the copy is made", TransferKind::Copy, done).await;
    assert_eq!((row.done, &row.peers[..]), (12 * MIB as u64, &[][..]), "nobody sent it");
    holds(&owner, &name, here.node.address);
    let served = served(&owner, &name);
    assert!(served <= 12 * MIB as u64, "{served} bytes came for both");
    assert!(fs::read(path).expect("it is saved") == fs::read(original).expect("it"));
    here.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_copy_for_the_ring_goes_on_by_itself_when_the_download_is_cancelled() {
    let dir = TempDir::new().expect("a temporary directory");
    let (original, name, mut owner, here, download) = slow_download(dir.path()).await;
    let cancel = Command::Cancel { number: download.number };
    ended(here.begin(cancel).await).await.expect("it is under way");
    let why = ended(download.end).await.expect_err("it was cancelled");
    assert!(why.contains("cancelled"), "{why}");
    holds(&owner, &name, here.node.address);
    owner.kill();
    let got = ended(here.get(&name).await).await;
    let Ok(Outcome::Fetched { path, .. }) = got else { panic!("{got:?}") };
    assert!(fs::read(path).expect("it is saved") == fs::read(original).expect("it"));
    here.node.kill().await;
}

/// A ring of two that has a file, and a node that comes to hold it and fetches it slowly:
/// with 12 MiB at this rate it is at it for far longer than anything may take here.
const CRAWL: &str = "200k";

/// Waits until a node copies a name.
fn copying(node: &NodeProcess, name: &str) {
    eventually("it copies the file", || {
        let rows = rows(node, "copy", name);
        let runs = |row: &Value| row["state"] == "running" && row["ended_ms"].is_null();
        rows.iter().any(runs).then_some(()).ok_or_else(|| format!("{rows:?}"))
    });
}

/// Waits until no copy of a name is under way on a node, and says how far those came
/// that were stopped.
fn stopped(node: &NodeProcess, name: &str) -> Vec<u64> {
    eventually("nothing of it is copied any more", || {
        let rows = rows(node, "copy", name);
        if rows.iter().any(|row| row["ended_ms"].is_null()) {
            return Err(format!("{rows:?}"));
        }
        let stopped = rows.iter().filter(|row| row["state"] == "cancelled");
        Ok(stopped.map(|row| row["done"].as_u64().expect("a number")).collect())
    })
}

#[test]
fn a_holder_stops_to_copy_what_was_overwritten_or_removed() {
    let dir = TempDir::new().expect("a temporary directory");
    let original = file(dir.path(), 12 * MIB);
    let next = dir.path().join("next");
    random_file(&next, 20_000, 3);
    let both = two();
    let slow = ["--join", &both.0.address.to_string(), "--limit-down", CRAWL];
    let third = NodeProcess::start(&slow);
    let (owner, mut second) = before(third.address, both);
    let all = [owner.address, second.address, third.address];
    sees(&owner, &all);
    let mut names = names_owned_by(all[0], &all[1..]);
    let [replaced, removed] = [(); 2].map(|()| names.next().expect("they have no end"));
    for name in [&replaced, &removed] {
        put(&owner, &original, name, &[]);
    }
    second.kill();
    for name in [&replaced, &removed] {
        copying(&third, name);
    }
    owner.run(&["rm", &removed]);
    put(&owner, &next, &replaced, &["--overwrite"]);
    for name in [&replaced, &removed] {
        let came = stopped(&third, name);
        assert!(came.len() == 1 && came[0] < 12 * MIB as u64, "{came:?}");
    }
    holds(&owner, &replaced, third.address);
    // The connections over which it came are closed.
    for name in [&replaced, &removed] {
        eventually("its owner serves it no more", || {
            let rows = rows(&owner, "serve", name);
            let open = rows.iter().any(|row| row["ended_ms"].is_null());
            if open { Err(format!("{rows:?}")) } else { Ok(()) }
        });
    }
}

#[test]
fn an_owner_does_not_finish_the_copy_of_what_a_put_replaces() {
    let dir = TempDir::new().expect("a temporary directory");
    let original = file(dir.path(), 12 * MIB);
    let next = dir.path().join("next");
    random_file(&next, 20_000, 3);
    let (first, second) = two();
    let address = free_address();
    let name = name_owned_by(address, &[first.address, second.address]);
    put(&first, &original, &name, &[]);
    let slow = ["--join", &first.address.to_string(), "--limit-down", CRAWL];
    let owner = NodeProcess::start_at(address, &slow);
    sees(&first, &[first.address, second.address, address]);
    copying(&owner, &name);
    let began = Instant::now();
    put(&first, &next, &name, &["--overwrite"]);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
    assert_eq!(stopped(&owner, &name).len(), 1);
    assert!(second.fetch(&name).expect("it is there") == fs::read(next).expect("it is there"));
}
