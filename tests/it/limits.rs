//! What a user lets transfers take: limits, turns, pauses. Real nodes, one of them
//! in this process so that it can be told what to do.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use chordal::engine::{Config, Node, TransferLimits};
use chordal::view::{
    Command, CommandError, Outcome, Snapshot, TransferKind, TransferRow, TransferState,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::dashboard::Dash;
use crate::process::{
    DEADLINE, NodeProcess, chordal, command, config, describe, eventually, name_owned_by,
    pieces_in, random_file, signal, text, within,
};

const MIB: usize = 1 << 20;

/// Bytes a second at which a few pieces take some seconds.
const SLOW: u64 = MIB as u64;

/// A directory with a file that a node shares.
fn shared(name: &str, bytes: usize) -> (TempDir, NodeProcess) {
    let dir = TempDir::new().expect("a temporary directory");
    random_file(&dir.path().join(name), bytes, 4);
    let node = NodeProcess::start(&["--share", text(dir.path())]);
    (dir, node)
}

/// A node in this process.
pub(crate) struct Here {
    pub(crate) node: Node,
    home: TempDir,
}

impl Here {
    pub(crate) async fn joined(contact: SocketAddr, transfers: TransferLimits) -> Here {
        let home = TempDir::new().expect("a temporary directory");
        let config =
            Config { join: vec![contact], reshare: false, transfers, ..config(home.path()) };
        let here = Here { node: Node::start(config).await.expect("it starts"), home };
        here.sees("it is a member", |snapshot| snapshot.members.len() > 1).await;
        here
    }

    pub(crate) async fn begin(
        &self,
        command: Command,
    ) -> oneshot::Receiver<Result<Outcome, CommandError>> {
        let (done, end) = oneshot::channel();
        self.node.commands.send((command, done)).await.expect("the node runs");
        end
    }

    pub(crate) async fn get(&self, name: &str) -> oneshot::Receiver<Result<Outcome, CommandError>> {
        self.begin(Command::Get { name: name.to_owned(), to: None, no_reshare: true }).await
    }

    /// Begins to fetch a file, as soon as its sharer has told the ring of it; the
    /// transfer once pieces have come.
    pub(crate) async fn fetches(
        &self,
        name: &str,
    ) -> (TransferRow, oneshot::Receiver<Result<Outcome, CommandError>>) {
        let moving = |row: &TransferRow| row.state == TransferState::Running && row.done > 0;
        let trying = async {
            loop {
                let mut end = self.get(name).await;
                tokio::select! {
                    row = self.row("pieces come", TransferKind::Download, moving) => {
                        return (row, end);
                    }
                    early = &mut end => match early.expect("an answer") {
                        Err(why) if why.to_string().contains("no file named") => {}
                        other => panic!("it ended before it was seen: {other:?}"),
                    },
                }
            }
        };
        tokio::time::timeout(2 * DEADLINE, trying).await.expect("it is shared")
    }

    async fn sees(&self, what: &str, mut right: impl FnMut(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut snapshots = self.node.snapshots.clone();
        let waiting = snapshots.wait_for(|snapshot| right(snapshot));
        match tokio::time::timeout(2 * DEADLINE, waiting).await {
            Ok(snapshot) => Arc::clone(&snapshot.expect("the node runs")),
            Err(late) => panic!("{late}: {what}; {:?}", self.node.snapshots.borrow().transfers),
        }
    }

    /// Waits until a transfer of this kind is as it should be.
    pub(crate) async fn row(
        &self,
        what: &str,
        kind: TransferKind,
        right: impl Fn(&TransferRow) -> bool,
    ) -> TransferRow {
        let found = |row: &&TransferRow| row.kind == kind && right(row);
        let seen = |snapshot: &Snapshot| snapshot.transfers.iter().find(found).cloned();
        let snapshot = self.sees(what, |snapshot| seen(snapshot).is_some()).await;
        seen(&snapshot).expect("it was seen")
    }

    /// Runs the program through this node, off its thread.
    async fn outside(&self, words: &[&str]) -> Result<String, String> {
        let mut words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        words.extend(["--via".to_owned(), self.node.address.to_string()]);
        let running = tokio::task::spawn_blocking(move || chordal(&words));
        let output = running.await.expect("it ends");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }
}

/// How the command ends.
pub(crate) async fn ended(
    end: oneshot::Receiver<Result<Outcome, CommandError>>,
) -> Result<Outcome, String> {
    let end = tokio::time::timeout(2 * DEADLINE, end).await.expect("in time");
    end.expect("an answer").map_err(|failed| failed.to_string())
}

/// What another process says of its transfers of this kind that are under way.
async fn under_way(node: &NodeProcess, kind: &str) -> Result<usize, String> {
    let (via, kind) = (node.address.to_string(), kind.to_owned());
    let asked = tokio::task::spawn_blocking(move || {
        let output = chordal(&["transfers", "--json", "--via", &via]);
        let list: Value =
            serde_json::from_slice(&output.stdout).map_err(|error| error.to_string())?;
        let rows = list["transfers"].as_array().ok_or_else(|| list.to_string())?;
        let open = |row: &&Value| row["kind"] == kind.as_str() && row["ended_ms"].is_null();
        Ok(rows.iter().filter(open).count())
    });
    asked.await.expect("it ends")
}

/// Waits until another process serves or takes nothing any more: then nothing
/// can move, for there is no connection over which it could.
async fn lets_go(node: &NodeProcess, kind: &str) {
    let waiting = async {
        while under_way(node, kind).await != Ok(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("it hears that the connection ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_get_lets_its_source_go_and_goes_on_where_it_was() {
    let (dir, sharer) = shared("film.bin", 12 * MIB);
    let slow = TransferLimits { down: Some(SLOW), ..TransferLimits::default() };
    let here = Here::joined(sharer.address, slow).await;
    let (row, end) = here.fetches("film.bin").await;
    let number = row.number.to_string();

    let said = here.outside(&["pause", &number]).await.expect("it runs");
    assert!(said.contains("paused") && said.contains(&format!("resume {number}")), "{said}");
    lets_go(&sharer, "serve").await;
    let paused = |row: &TransferRow| row.state == TransferState::Paused && row.rate == 0;
    let before = here.row("it waits", TransferKind::Download, paused).await;
    assert!(before.done < before.total);
    let again = here.outside(&["pause", &number]).await.expect_err("it is paused");
    assert!(again.contains("paused already"), "{again}");
    assert_eq!(under_way(&sharer, "serve").await, Ok(0));
    let after = here.row("it still waits", TransferKind::Download, paused).await;
    assert_eq!(after.done, before.done, "nothing came");

    let said = here.outside(&["resume", &number]).await.expect("it is paused");
    assert!(said.contains("goes on"), "{said}");
    match ended(end).await {
        Ok(Outcome::Fetched { path, .. }) => {
            let original = fs::read(dir.path().join("film.bin")).expect("it");
            assert!(fs::read(path).expect("it is saved") == original);
        }
        other => panic!("{other:?}"),
    }
    let done = |row: &TransferRow| row.state == TransferState::Done;
    here.row("it is done", TransferKind::Download, done).await;
    here.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_lost_its_source_waits_for_it_and_gives_its_turn_to_the_next() {
    let (dir, mut sharer) = shared("film.bin", 12 * MIB);
    let transfers =
        TransferLimits { down: Some(4 * SLOW), at_once: 1, ..TransferLimits::default() };
    let here = Here::joined(sharer.address, transfers).await;
    let small = here.home.path().join("small.bin");
    random_file(&small, 2 * MIB, 6);
    let put = Command::Put { path: small, name: None, overwrite: false, min_copies: 1 };
    ended(here.begin(put).await).await.expect("it is stored");
    let (row, end) = here.fetches("film.bin").await;
    sharer.kill();
    let waits = |row: &TransferRow| row.state == TransferState::Waiting && row.rate == 0;
    here.row("it waits", TransferKind::Download, waits).await;
    // It is the only one that may run at a time, and does not.
    ended(here.get("small.bin").await).await.expect("it is here");
    let still = here.row("it still waits", TransferKind::Download, waits).await;
    assert_eq!((still.number, still.done < still.total), (row.number, true));

    let contact = here.node.address.to_string();
    let sharer = tokio::task::spawn_blocking(move || {
        sharer.restart(&["--join", &contact]);
        sharer
    });
    let sharer = sharer.await.expect("it starts");
    match ended(end).await {
        Ok(Outcome::Fetched { path, .. }) => {
            let original = fs::read(dir.path().join("film.bin")).expect("it");
            assert!(fs::read(path).expect("it is saved") == original);
        }
        other => panic!("{other:?}; {}", sharer.log()),
    }
    here.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_keeps_what_its_downloads_have_brought() {
    let (_dir, sharer) = shared("film.bin", 12 * MIB);
    let slow = TransferLimits { down: Some(SLOW), ..TransferLimits::default() };
    let here = Here::joined(sharer.address, slow).await;
    let (_, end) = here.fetches("film.bin").await;
    let map = here.home.path().join("downloads/.film.bin.part.map");
    here.node.kill().await;
    drop(end);
    assert!(!pieces_in(&map).is_empty(), "nothing is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_put_lets_the_owner_go_and_is_stored_when_it_goes_on() {
    let owner = NodeProcess::start(&["--replicas", "1"]);
    let slow = TransferLimits { up: Some(SLOW), ..TransferLimits::default() };
    let here = Here::joined_to_single_copies(&owner, slow).await;
    let path = here.home.path().join("film.bin");
    random_file(&path, 12 * MIB, 5);
    let name = name_owned_by(owner.address, &[here.node.address]);
    let put = Command::Put {
        path: path.clone(),
        name: Some(name.clone()),
        overwrite: false,
        min_copies: 1,
    };
    let end = here.begin(put).await;
    // Whoever is named gets bytes; before that they are only hashed.
    let sending = |row: &TransferRow| {
        row.state == TransferState::Running && !row.peers.is_empty() && row.done < row.total
    };
    let row = here.row("bytes go", TransferKind::Upload, sending).await;
    let number = row.number;
    let paused = ended(here.begin(Command::Pause { number }).await).await;
    assert!(matches!(paused, Ok(Outcome::Paused { .. })), "{paused:?}");
    lets_go(&owner, "receive").await;
    let waits = |row: &TransferRow| row.state == TransferState::Paused && row.rate == 0;
    let before = here.row("it waits", TransferKind::Upload, waits).await;
    assert!(before.done < before.total);

    ended(here.begin(Command::Resume { number }).await).await.expect("it is paused");
    let stored = ended(end).await;
    assert!(matches!(stored, Ok(Outcome::Stored { .. })), "{stored:?}");
    let fetched = tokio::task::spawn_blocking(move || owner.fetch(&name));
    let fetched = fetched.await.expect("it ends").expect("it is stored");
    assert!(fetched == fs::read(&path).expect("the original"));
    here.node.kill().await;
}

impl Here {
    /// Joins a ring that keeps one copy of each file.
    async fn joined_to_single_copies(contact: &NodeProcess, transfers: TransferLimits) -> Here {
        let here = Here::joined(contact.address, transfers).await;
        assert_eq!(here.node.snapshots.borrow().replicas, 1);
        here
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_means_that_the_next_waits_and_can_be_cancelled_while_it_does() {
    let (_dir, sharer) = shared("film.bin", 24 * MIB);
    let one = TransferLimits { down: Some(SLOW), at_once: 1, ..TransferLimits::default() };
    let here = Here::joined(sharer.address, one).await;
    let moving = |row: &TransferRow| row.state == TransferState::Running && row.done > 0;
    let (running, first) = here.fetches("film.bin").await;
    let queued = |row: &TransferRow| row.state == TransferState::Queued;
    let second = here.get("film.bin").await;
    here.row("it waits", TransferKind::Download, queued).await;
    let third = here.get("film.bin").await;
    here.sees("two wait", |snapshot| {
        snapshot.transfers.iter().filter(|row| queued(row)).count() == 2
    })
    .await;
    let waiting = here.row("it waits", TransferKind::Download, queued).await;
    let said = here.outside(&["cancel", &waiting.number.to_string()]).await;
    assert!(said.as_ref().is_ok_and(|said| said.contains("cancelled")), "{said:?}");
    assert_eq!(ended(third).await.expect_err("it was cancelled"), "cancelled");
    // A paused one lets the next one run.
    ended(here.begin(Command::Pause { number: running.number }).await).await.expect("it runs");
    let other = |row: &TransferRow| moving(row) && row.number != running.number;
    let other = here.row("the next runs", TransferKind::Download, other).await;
    let cancelled = here.begin(Command::Cancel { number: other.number }).await;
    ended(cancelled).await.expect("it runs");
    assert_eq!(ended(second).await.expect_err("it was cancelled"), "cancelled");
    // And one that is cancelled while it is paused ends at once.
    let cancelled = here.begin(Command::Cancel { number: running.number }).await;
    ended(cancelled).await.expect("it waits");
    assert_eq!(ended(first).await.expect_err("it was cancelled"), "cancelled");
    here.node.kill().await;
}

#[test]
fn a_limit_is_never_exceeded_whoever_sets_it() {
    const BYTES: u64 = 3 * MIB as u64;
    // A tenth of a second's worth may come at once, and a slice.
    let least = Duration::from_secs_f64((BYTES - SLOW / 5) as f64 / SLOW as f64);
    let dir = TempDir::new().expect("a temporary directory");
    random_file(&dir.path().join("film.bin"), 3 * MIB, 6);
    let rate = SLOW.to_string();
    let took = |node: &NodeProcess, more: &[&str]| {
        let home = TempDir::new().expect("a temporary directory");
        let to = home.path().join("film.bin");
        let mut words = vec!["get", "film.bin", "--to", text(&to)];
        words.extend(more);
        let began = std::time::Instant::now();
        node.run(&words);
        assert!(fs::read(&to).expect("it") == fs::read(dir.path().join("film.bin")).expect("it"));
        began.elapsed()
    };
    let free = NodeProcess::start(&["--share", text(dir.path())]);
    let limited = NodeProcess::start(&["--share", text(dir.path()), "--limit-up", &rate]);
    is_shared(&free);
    is_shared(&limited);
    // One does not wait for the other.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let span = took(&free, &["--limit-down", &rate]);
            assert!(span >= least, "{span:?}");
        });
        scope.spawn(|| {
            let span = took(&limited, &[]);
            assert!(span >= least, "{span:?}");
        });
        scope.spawn(|| {
            let path = dir.path().join("film.bin");
            let began = std::time::Instant::now();
            free.run(&["put", text(&path), "--as", "stored.bin", "--limit-up", &rate]);
            assert!(began.elapsed() >= least, "{:?}", began.elapsed());
        });
    });
}

fn is_shared(node: &NodeProcess) {
    eventually("the file is shared", || {
        let list = node.json(&["ls"])?;
        if list.to_string().contains("film.bin") { Ok(()) } else { Err(list.to_string()) }
    });
}

#[test]
fn a_client_that_is_stopped_for_longer_than_anybody_waits_goes_on() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("film.bin");
    random_file(&path, 24 * MIB, 7);
    let node = NodeProcess::start(&[]);
    node.run(&["put", text(&path)]);
    let home = TempDir::new().expect("a temporary directory");
    let to = home.path().join("fetched.bin");
    let client = command(&["get", "film.bin", "--limit-down", "4M", "--to", text(&to), "--via"])
        .arg(node.address.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let serves = || {
        let list = node.json(&["transfers"])?;
        let rows = list["transfers"].as_array().cloned().unwrap_or_default();
        let open = |row: &&Value| row["kind"] == "serve" && row["ended_ms"].is_null();
        Ok::<_, String>((rows.iter().filter(open).count(), list.to_string()))
    };
    eventually("it is served", || match serves()? {
        (0, list) => Err(list),
        _ => Ok(()),
    });
    signal(client.id(), Signal::STOP);
    // The node thinks that nobody is there any more.
    within(2 * DEADLINE, "the node hangs up", || match serves()? {
        (0, _) => Ok(()),
        (_, list) => Err(list),
    });
    signal(client.id(), Signal::CONT);
    let output = client.wait_with_output().expect("its output");
    assert!(output.status.success(), "{}", describe(&output));
    assert!(fs::read(&to).expect("it") == fs::read(&path).expect("the original"));
}

#[test]
fn the_keys_of_the_transfers_panel_pause_resume_and_cancel() {
    let (_dir, sharer) = shared("film.bin", 24 * MIB);
    is_shared(&sharer);
    let contact = sharer.address.to_string();
    let rate = SLOW.to_string();
    let mut dash =
        Dash::start((120, 35), &["--join", &contact, "--limit-down", &rate, "--no-reshare"]);
    dash.screen.wait_for_text("2 nodes");
    eventually("the ring knows of the file", || {
        let via = dash.address.to_string();
        let found = chordal(&["find", "film.bin", "--json", "--via", &via]);
        let list = String::from_utf8_lossy(&found.stdout).into_owned();
        if list.contains("film.bin") && list.contains(&contact) { Ok(()) } else { Err(list) }
    });
    dash.screen.line("get film.bin");
    dash.screen.key(crate::pty::Key::Escape);
    dash.screen.wait_for_text(": to type a command");
    dash.screen.send("5z");
    dash.screen.wait_for("bytes come", |view| view.shows("1 running"));
    dash.screen.wait_for_text("p pause");
    dash.screen.wait_for_text("at most ↓ 1.0 MB/s");
    dash.screen.send("p");
    dash.screen.wait_for("it waits", |view| view.shows("1 paused") && view.shows("p resume"));
    dash.screen.send("p");
    dash.screen.wait_for("it goes on", |view| view.shows("1 running"));
    dash.screen.send("c");
    dash.screen.wait_for_text("cancelled");
    let left: Vec<PathBuf> = fs::read_dir(dash.home.path().join("downloads"))
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    eventually("nothing is left behind", || {
        if left.iter().all(|path| !path.exists()) { Ok(()) } else { Err(format!("{left:?}")) }
    });
    dash.screen.send(":");
    dash.quit();
}

#[test]
fn a_rate_that_is_none_is_refused_with_an_example() {
    for (words, part) in [
        (&["get", "x", "--limit-down", "fast"][..], "500k, 10M or 1.5MiB"),
        (&["--limit-up", "10"][..], "at least 5k"),
        (&["lab", "2", "--transfers", "0"][..], "1..=64"),
    ] {
        let output = chordal(words);
        assert_eq!(output.status.code(), Some(2), "{}", describe(&output));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(part), "{said}");
    }
}
