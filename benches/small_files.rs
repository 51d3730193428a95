//! How fast many small files go in and come out through one member: of a ring
//! of one node, and of one of three that keeps every file on all of them. With
//! 16 callers at a time, as many small files are moved, and one after another.
//!
//! `cargo bench --bench small_files [-- FILES CALLERS NODES]` (NODES: only a ring
//! of so many)
//!
//! Linux's ext4 searches long for a place for a new file where many were removed
//! in the last minutes: wait five between two runs, or set TMPDIR to a file system
//! that was just made.
//!
//! The budgets are for 16 callers: 1 000 puts and 5 000 gets a second. Each put
//! is durable on every node when it counts; each get is verified and a file with
//! its name when it counts. Beside the puts stands what the disk does without us
//! with as many threads: a new file written, fsynced, renamed, and its directory
//! fsynced. Nodes, callers and that run in one process on the same machine.

// The figures are the output.
#![allow(clippy::print_stdout)]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use chordal::engine::client::{Client, Options};
use chordal::engine::{Node, TransferLimits};
use chordal::view::{Command, Outcome, Snapshot};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use common::start;

mod common;

const FILES: usize = 10_000;
const FILE_BYTES: usize = 4096;
const CALLERS: usize = 16;

/// One after another there need not be so many.
const ALONE_AT_MOST: usize = 1_000;

/// A second, with 16 callers.
const PUTS: f64 = 1_000.0;
const GETS: f64 = 5_000.0;

fn main() -> ExitCode {
    let mut numbers = std::env::args().filter_map(|word| word.parse().ok());
    let files = numbers.next().unwrap_or(FILES);
    let callers = numbers.next().unwrap_or(CALLERS);
    let rings = numbers.next().map_or_else(|| vec![1, 3], |nodes| vec![nodes]);
    let home = TempDir::new().expect("a temporary directory");
    let sources = home.path().join("sources");
    fs::create_dir(&sources).expect("a new directory");
    for number in 0..files {
        fs::write(sources.join(number.to_string()), content(number)).expect("the disk has space");
    }
    println!("{files} files of {FILE_BYTES} bytes, a second:");
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let mut within = true;
    for (at_once, files) in [(callers, files), (1, files.min(ALONE_AT_MOST))] {
        let disk = home.path().join(format!("disk-{at_once}"));
        let disk = rate(files, made_durable(&disk, files, at_once));
        let label = |what: &str| format!("{what}, {at_once} at a time");
        println!("{:<34}{disk:>8.0}", label("the disk alone"));
        for &nodes in &rings {
            let (put, get) = runtime.block_on(put_and_get(home.path(), nodes, files, at_once));
            let (put, get) = (rate(files, put), rate(files, get));
            let (of_disk, of_copies) = (put / disk, put * nodes as f64 / disk);
            print!("{:<34}{put:>8.0}", label(&format!("put, nodes: {nodes}")));
            print!("   {of_disk:.2} of the disk alone; {of_copies:.2}, counting every copy");
            within &= verdict(at_once == callers, put, PUTS);
            print!("{:<34}{get:>8.0}", label(&format!("get, nodes: {nodes}")));
            within &= verdict(at_once == callers, get, GETS);
        }
    }
    if within { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ends a line; whether the figure is within its budget, if it has one.
fn verdict(has_budget: bool, figure: f64, budget: f64) -> bool {
    let within = figure >= budget;
    match (has_budget, within) {
        (false, _) => println!(),
        (true, true) => println!("   (budget {budget:.0}: kept)"),
        (true, false) => println!("   (budget {budget:.0}: MISSED)"),
    }
    within || !has_budget
}

fn rate(files: usize, took: Duration) -> f64 {
    files as f64 / took.as_secs_f64()
}

/// No two files are alike.
fn content(number: usize) -> Vec<u8> {
    number.to_le_bytes().repeat(FILE_BYTES / size_of::<usize>())
}

/// What a store has to do at the least, by threads that take one file each.
fn made_durable(dir: &Path, files: usize, threads: usize) -> Duration {
    fs::create_dir(dir).expect("a new directory");
    let next = AtomicUsize::new(0);
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= files {
                        return;
                    }
                    let partial = dir.join(format!("{number}.part"));
                    let mut file = File::create_new(&partial).expect("a new file");
                    file.write_all(&content(number)).expect("the disk has space");
                    file.sync_data().expect("the disk works");
                    fs::rename(&partial, dir.join(number.to_string())).expect("the disk works");
                    File::open(dir).and_then(|dir| dir.sync_all()).expect("the disk works");
                }
            });
        }
    });
    began.elapsed()
}

async fn put_and_get(
    home: &Path,
    nodes: usize,
    files: usize,
    callers: usize,
) -> (Duration, Duration) {
    let home = home.join(format!("{nodes}-nodes-{callers}"));
    let mut ring: Vec<Node> = Vec::new();
    for number in 0..nodes {
        let contact = ring.first().map(|first| first.address);
        ring.push(start(&home.join(number.to_string()), contact).await);
    }
    for node in &ring {
        let settled =
            |snapshot: &Arc<Snapshot>| snapshot.members.len() == nodes && snapshot.health.is_good();
        node.snapshots.clone().wait_for(settled).await.expect("the node runs");
    }
    let options = Options {
        via: ring[0].address,
        download_dir: home.join("fetched"),
        transfers: TransferLimits { at_once: callers, ..TransferLimits::default() },
        wait: Duration::ZERO,
        interrupted: CancellationToken::new(),
    };
    let client = Client::connect(&options).await.expect("a member answers");
    let sources = home.parent().expect("it has one").join("sources");
    let put = all(&client, files, callers, move |number| Command::Put {
        path: sources.join(number.to_string()),
        name: None,
        overwrite: false,
        min_copies: 1,
    });
    let put = put.await;
    let get = all(&client, files, callers, move |number| Command::Get {
        name: number.to_string(),
        to: None,
        no_reshare: true,
    });
    let get = get.await;
    for number in 0..files {
        let fetched: PathBuf = options.download_dir.join(number.to_string());
        assert_eq!(fs::read(&fetched).expect("it was fetched"), content(number));
    }
    drop(client);
    for node in ring {
        node.kill().await;
    }
    (put, get)
}

/// Carries out a command for every file; how long all of them take.
async fn all(
    client: &Client,
    files: usize,
    callers: usize,
    command: impl Fn(usize) -> Command + Clone + Send + Sync + 'static,
) -> Duration {
    let next = Arc::new(AtomicUsize::new(0));
    let began = Instant::now();
    let mut calling = JoinSet::new();
    for _ in 0..callers {
        let (client, next, command) = (client.clone(), Arc::clone(&next), command.clone());
        calling.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= files {
                    return;
                }
                let outcome = client.run(command(number)).await.expect("the command succeeds");
                if let Outcome::Stored { holders, wanted, .. } = outcome {
                    assert_eq!(holders.len(), usize::from(wanted), "all copies are durable");
                }
            }
        });
    }
    calling.join_all().await;
    began.elapsed()
}
