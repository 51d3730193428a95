//! How fast many small files go in and come out, one after another, through
//! one member: alone, and in a ring of three. No budget; beside it stands what
//! the disk does alone, since each put waits for it several times.
//!
//! `cargo bench --bench small_files [-- FILES]`

// The figures are the output.
#![allow(clippy::print_stdout)]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use chordal::engine::Node;
use chordal::engine::client::{self, Options};
use chordal::view::Command;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use common::start;

mod common;

const FILES: usize = 1_000;
const FILE_BYTES: usize = 4096;

fn main() {
    let files = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(FILES);
    let home = TempDir::new().expect("a temporary directory");
    let sources = home.path().join("sources");
    std::fs::create_dir(&sources).expect("a new directory");
    for number in 0..files {
        let content = vec![number.to_le_bytes(); FILE_BYTES / size_of::<usize>()].concat();
        std::fs::write(sources.join(number.to_string()), content).expect("the disk has space");
    }
    println!("{files} files of {FILE_BYTES} bytes, a second:");
    let synced = rate(files, written_and_synced(&home.path().join("synced"), files));
    println!("{:<28} {synced:>8.0}", "write + fsync of one file");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    for nodes in [1, 3] {
        let (put, get) = runtime.block_on(put_and_get(home.path(), nodes, files));
        let (put, get) = (rate(files, put), rate(files, get));
        println!(
            "{:<28} {put:>8.0}  {:.2} of the above",
            format!("put, nodes: {nodes}"),
            put / synced
        );
        println!("{:<28} {get:>8.0}", format!("get, nodes: {nodes}"));
    }
}

fn rate(files: usize, took: Duration) -> f64 {
    files as f64 / took.as_secs_f64()
}

fn written_and_synced(dir: &Path, files: usize) -> Duration {
    std::fs::create_dir(dir).expect("a new directory");
    let began = Instant::now();
    for number in 0..files {
        let mut file = File::create_new(dir.join(number.to_string())).expect("a new file");
        file.write_all(&[number as u8; FILE_BYTES]).expect("the disk has space");
        file.sync_data().expect("the disk works");
    }
    began.elapsed()
}

async fn put_and_get(home: &Path, nodes: usize, files: usize) -> (Duration, Duration) {
    let mut ring: Vec<Node> = Vec::new();
    for number in 0..nodes {
        let dir = home.join(format!("{number}-of-{nodes}"));
        let contact = ring.first().map(|first| first.address);
        ring.push(start(&dir, contact).await);
    }
    for node in &ring {
        let members = |snapshot: &std::sync::Arc<chordal::view::Snapshot>| {
            snapshot.members.len() == nodes && snapshot.health.is_good()
        };
        node.snapshots.clone().wait_for(members).await.expect("the node runs");
    }
    let options = Options {
        via: ring[0].address,
        download_dir: home.join(format!("from-{nodes}")),
        transfers: Default::default(),
        interrupted: CancellationToken::new(),
    };
    let act = async |command| {
        client::run(&options, command, |_| {}).await.expect("the command succeeds");
    };
    let began = Instant::now();
    for number in 0..files {
        let path = home.join("sources").join(number.to_string());
        act(Command::Put { path, name: None, overwrite: false }).await;
    }
    let put = began.elapsed();
    let began = Instant::now();
    for number in 0..files {
        act(Command::Get { name: number.to_string(), to: None, no_reshare: true }).await;
    }
    let get = began.elapsed();
    for node in ring {
        node.kill().await;
    }
    (put, get)
}
