//! Reading a name while it is replaced and removed: a `get` takes what is there,
//! and waits for nothing that is gone.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chordal::engine::client::{Client, Options};
use chordal::engine::{Config, Node, TransferLimits};
use chordal::view::{Command, CommandError, Outcome};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::process::{Ring, config};

const NAME: &str = "again.bin";

/// Bytes of the two kinds of content: one is sent at once, the other in pieces
/// from several holders.
const SIZES: [usize; 2] = [300, 5 << 19];

/// The content of a number, which can be read from its bytes.
fn content(number: u64) -> Vec<u8> {
    let size = SIZES[(number % 2) as usize];
    number.to_be_bytes().into_iter().cycle().take(size).collect()
}

/// The number that a content was made of.
fn number(bytes: &[u8]) -> u64 {
    let head = bytes.first_chunk().expect("every content has a number");
    let number = u64::from_be_bytes(*head);
    assert!(bytes == content(number), "{} bytes are no content of {number}", bytes.len());
    number
}

/// What readers saw.
#[derive(Debug, Default)]
struct Seen {
    gets: usize,
    removed: usize,
    slowest: Duration,
    failed: Vec<String>,
}

/// Whoever carries out commands: a client, or a member of the ring.
enum Reader {
    Client(Box<Client>),
    Member(Box<Node>),
}

impl Reader {
    async fn run(&self, command: Command) -> Result<Outcome, CommandError> {
        match self {
            Reader::Client(client) => client.run(command).await,
            Reader::Member(node) => {
                let (done, end) = oneshot::channel();
                node.commands.send((command, done)).await.expect("the node runs");
                end.await.expect("it answers")
            }
        }
    }
}

async fn client(via: std::net::SocketAddr, home: &Path) -> Client {
    let options = Options {
        via,
        download_dir: home.to_owned(),
        transfers: TransferLimits::default(),
        wait: Duration::from_secs(30),
        interrupted: CancellationToken::new(),
    };
    Client::connect(&options).await.expect("the member answers")
}

/// A writer replaces the name again and again, and removes it now and then if it
/// `removes`; readers get it all the while, alone and as a directory.
async fn race(span: Duration, removes: bool) -> Seen {
    let ring = tokio::task::spawn_blocking(|| Ring::of(4)).await.expect("a ring");
    let home = TempDir::new().expect("a temporary directory");
    let name = format!("dir/{NAME}");
    let (over, stored) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));

    let writer = client(ring.nodes[0].address, home.path()).await;
    let put = {
        let (path, name) = (home.path().join("source"), name.clone());
        move |number: u64| {
            std::fs::write(&path, content(number)).expect("room on the disk");
            Command::Put {
                path: path.clone(),
                name: Some(name.clone()),
                overwrite: true,
                min_copies: 1,
            }
        }
    };
    writer.run(put(0)).await.expect("it is stored");
    let writing = tokio::spawn({
        let (over, stored, name) = (Arc::clone(&over), Arc::clone(&stored), name.clone());
        async move {
            let mut puts = 0;
            while !over.load(Ordering::Relaxed) {
                puts += 1;
                writer.run(put(puts)).await.expect("it is replaced");
                stored.store(puts, Ordering::Release);
                if removes && puts % 3 == 0 {
                    writer.run(Command::Rm { name: name.clone() }).await.expect("it is removed");
                }
            }
            puts
        }
    });

    let member =
        Config { join: vec![ring.nodes[1].address], reshare: false, ..config(home.path()) };
    let readers = [
        Reader::Client(Box::new(client(ring.nodes[2].address, home.path()).await)),
        Reader::Member(Box::new(Node::start(member).await.expect("it starts"))),
    ];
    let reading = readers.into_iter().enumerate().map(|(at, reader)| {
        let (over, stored, name) = (Arc::clone(&over), Arc::clone(&stored), name.clone());
        let to = home.path().join(format!("to {at}"));
        tokio::spawn(async move {
            let mut seen = Seen::default();
            for turn in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let (known, began) = (stored.load(Ordering::Acquire), Instant::now());
                let (saved, result) = get(&reader, &name, &to.join(turn.to_string()), turn).await;
                seen.slowest = seen.slowest.max(began.elapsed());
                seen.gets += 1;
                match result {
                    Ok(()) => {
                        let bytes = std::fs::read(&saved).expect("it was fetched");
                        let number = number(&bytes);
                        assert!(number >= known, "{number} is older than {known}");
                    }
                    Err(why) if removes && is_removal(&why) => seen.removed += 1,
                    Err(why) => seen.failed.push(format!("after {:?}: {why}", began.elapsed())),
                }
                let _ = std::fs::remove_dir_all(to.join(turn.to_string()));
            }
            if let Reader::Member(node) = reader {
                node.kill().await;
            }
            seen
        })
    });
    let reading: Vec<_> = reading.collect();
    tokio::time::sleep(span).await;
    over.store(true, Ordering::Relaxed);
    let mut all = Seen::default();
    for reader in reading {
        let seen = reader.await.expect("what was read is right");
        all.gets += seen.gets;
        all.removed += seen.removed;
        all.slowest = all.slowest.max(seen.slowest);
        all.failed.extend(seen.failed);
    }
    let puts = writing.await.expect("all puts succeed");
    assert!(puts > 1 && all.gets > 3, "{puts} puts, {all:?}");
    all
}

/// One `get`: of the file, or in every fourth turn of its directory.
async fn get(reader: &Reader, name: &str, to: &Path, turn: usize) -> (PathBuf, Result<(), String>) {
    std::fs::create_dir_all(to).expect("a directory");
    let name = if turn % 4 == 3 { "dir/" } else { name };
    let command = Command::Get { name: name.to_owned(), to: Some(to.to_owned()), no_reshare: true };
    let result = match reader.run(command).await {
        Ok(Outcome::Fetched { .. }) => Ok(()),
        Ok(Outcome::FetchedAll { failed, fetched: 1, .. }) if failed.is_empty() => Ok(()),
        Ok(Outcome::FetchedAll { failed, fetched: 0, .. }) if failed.is_empty() => {
            Err("it was removed".to_owned())
        }
        other => Err(format!("{other:?}")),
    };
    (to.join("dir").join(NAME), result)
}

fn is_removal(why: &str) -> bool {
    why.contains("was removed") || why.contains("no file on the ring has a name")
}

/// A machine that does nothing else answers each within a second; the limit is
/// for one that is very busy, and far below the 20 s for which a `get` looks for
/// sources.
const SLOWEST: Duration = Duration::from_secs(12);

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_name_that_is_replaced_gets_what_is_there_at_once() {
    let seen = race(Duration::from_secs(3), false).await;
    assert!(seen.failed.is_empty() && seen.slowest < SLOWEST, "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_name_that_is_removed_hears_so_at_once() {
    let seen = race(Duration::from_secs(3), true).await;
    assert!(seen.failed.is_empty() && seen.slowest < SLOWEST, "{seen:?}");
}

/// `cargo test --release --test it overwrite::for_a_minute -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes two minutes"]
async fn for_a_minute() {
    for removes in [false, true] {
        let seen = race(Duration::from_secs(60), removes).await;
        let what = if removes { "replaced and removed" } else { "replaced" };
        eprintln!(
            "{what}: {} gets, {} of them of nothing, {} failed, the slowest {:?}",
            seen.gets,
            seen.removed,
            seen.failed.len(),
            seen.slowest
        );
        assert!(seen.failed.is_empty() && seen.slowest < Duration::from_secs(1), "{seen:?}");
    }
}
