//! What a node does when somebody means it no good, or does not know better:
//! raw bytes on its port, claims that cannot be true, connections that only
//! hold a place, a disk that refuses. After each of these it must serve
//! everybody else as before.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{self, Child, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chordal::engine::{Config, Node};
use chordal::limits::MAX_FILE_BYTES;
use chordal::name::FileName;
use chordal::record::ContentHash;
use chordal::transfer::manifest::{BadManifest, Manifest, ManifestBuilder, piece_count};
use chordal::view::{
    Command, CommandError, Membership, Outcome, Snapshot, TransferKind, TransferRow, TransferState,
};
use chordal::wire::codec;
use chordal::wire::data::{DataRequest, DataResponse};
use chordal::wire::handshake::{Hello, PREAMBLE_BYTES, Params, Program, Purpose};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::process::{
    DEADLINE, NodeProcess, PROGRAM, chordal, command, config, describe, eventually, free_address,
    name_owned_by, pieces_in, random_file, signal, text, with_sky_ship,
};

/// A connection that speaks for itself.
pub(crate) struct Raw(pub(crate) TcpStream);

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Raw {
        let stream = TcpStream::connect(address).expect("the node listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        Raw(stream)
    }

    /// Says hello and hears the node's.
    pub(crate) fn greet(address: SocketAddr, hello: &Hello) -> (Raw, Hello) {
        let mut raw = Raw::connect(address);
        raw.0.write_all(&hello.to_bytes().expect("it fits")).expect("it is taken");
        raw.0.read_exact(&mut [0; PREAMBLE_BYTES]).expect("a preamble");
        let theirs = raw.hear().expect("a hello");
        (raw, theirs)
    }

    /// A data connection that is past its greeting.
    fn data(address: SocketAddr) -> Raw {
        Raw::greet(address, &stranger(Purpose::Data)).0
    }

    pub(crate) fn say<T: Serialize>(&mut self, header: &T) {
        self.0.write_all(&codec::frame(header).expect("it fits")).expect("it is taken");
    }

    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> std::io::Result<T> {
        let mut prefix = [0; codec::PREFIX_BYTES];
        self.0.read_exact(&mut prefix)?;
        let mut body = vec![0; codec::frame_length(prefix).expect("a frame's length")];
        self.0.read_exact(&mut body)?;
        Ok(codec::decode(&body).expect("it can be understood"))
    }

    /// Reads until the other side closes.
    pub(crate) fn closed(mut self) {
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
}

pub(crate) fn stranger(purpose: Purpose) -> Hello {
    Hello {
        purpose,
        program: Program::Client,
        params: None,
        address: None,
        index: 0,
        version: "0".to_owned(),
        refusal: None,
    }
}

fn member(params: Params, address: &str) -> Hello {
    let address = Some(address.parse().expect("an address"));
    Hello { params: Some(params), address, ..stranger(Purpose::Member) }
}

/// Piece hashes that nobody has bytes for, of a content of this size.
fn invented(size: u64) -> (ContentHash, Vec<u8>) {
    let bytes = vec![7; piece_count(size) as usize * 32];
    match Manifest::from_bytes(ContentHash::default(), size, &bytes) {
        Err(BadManifest::Root { got, .. }) => (got, bytes),
        other => panic!("the hash cannot be all zeros: {other:?}"),
    }
}

fn upload(name: &str, root: ContentHash, size: u64) -> DataRequest {
    let name = FileName::new(name).expect("a name");
    DataRequest::Upload { name, root, size, overwrite: false, follows: false }
}

fn serves(node: &NodeProcess) {
    let (_dir, path) = with_sky_ship();
    node.run(&["put", text(&path), "--overwrite"]);
    assert!(node.fetch("SkyShip.jpg").expect("it is there") == std::fs::read(path).expect("it"));
}

fn nothing_half_written(node: &NodeProcess) {
    eventually("partial/ is empty", || {
        let left = std::fs::read_dir(node.data_dir().join("partial")).map_err(|e| e.to_string())?;
        match left.count() {
            0 => Ok(()),
            some => Err(format!("{some} files")),
        }
    });
}

#[test]
fn rubbish_ends_its_own_connection_only() {
    let node = NodeProcess::start(&[]);
    for rubbish in [&b"GET / HTTP/1.1\r\nHost: ring\r\n\r\n"[..], &[0xFF; 512], b"chordal\0\0\x63"]
    {
        let mut raw = Raw::connect(node.address);
        raw.0.write_all(rubbish).expect("it is taken");
        raw.closed();
    }
    let mut half = Raw::connect(node.address);
    let hello = stranger(Purpose::Client).to_bytes().expect("it fits");
    half.0.write_all(&hello[..hello.len() / 2]).expect("it is taken");
    drop(half);
    for purpose in [Purpose::Client, Purpose::Data] {
        let (mut raw, _) = Raw::greet(node.address, &stranger(purpose));
        raw.0.write_all(&u32::MAX.to_be_bytes()).expect("it is taken");
        raw.closed();
    }
    serves(&node);
}

#[test]
fn nobody_is_a_member_at_an_impossible_address() {
    let node = NodeProcess::start(&[]);
    let (_, theirs) = Raw::greet(node.address, &stranger(Purpose::Client));
    let params = theirs.params.expect("a node says which ring it is on");
    for (address, reason) in [
        (node.address.to_string().as_str(), "same address"),
        ("0.0.0.0:2000", "reached"),
        ("127.0.0.1:0", "reached"),
        ("[::]:2000", "reached"),
        ("224.0.0.1:2000", "reached"),
    ] {
        let (raw, answer) = Raw::greet(node.address, &member(params.clone(), address));
        let why = answer.refusal.unwrap_or_else(|| panic!("{address} was taken in"));
        assert!(why.contains(reason), "{address}: {why}");
        raw.closed();
    }
    serves(&node);
}

#[test]
fn connections_that_hold_a_place_keep_nobody_out() {
    let node = NodeProcess::start(&[]);
    let silent: Vec<Raw> = (0..300).map(|_| Raw::connect(node.address)).collect();
    node.run(&["info"]);
    drop(silent);
    let greeted: Vec<_> =
        (0..300).map(|_| Raw::greet(node.address, &stranger(Purpose::Client))).collect();
    node.run(&["info"]);
    serves(&node);
    drop(greeted);
}

#[test]
fn a_request_beyond_the_end_is_answered_and_the_connection_goes_on() {
    let (_dir, path) = with_sky_ship();
    let node = NodeProcess::start(&[]);
    node.run(&["put", text(&path)]);
    let mut builder = ManifestBuilder::new(crate::process::SKY_SHIP_BYTES);
    builder.update(&std::fs::read(&path).expect("the picture"));
    let root = builder.finish().expect("all of it").root();
    let mut raw = Raw::data(node.address);
    for (offset, length) in [(crate::process::SKY_SHIP_BYTES, 1), (0, u64::MAX), (u64::MAX, 2)] {
        raw.say(&DataRequest::Bytes { root, offset, length, copy: false });
        let answer: DataResponse = raw.hear().expect("an answer");
        assert!(matches!(answer, DataResponse::Failed { .. }), "{answer:?}");
    }
    raw.say(&DataRequest::Bytes { root: ContentHash([1; 32]), offset: 0, length: 1, copy: false });
    assert_eq!(raw.hear::<DataResponse>().expect("an answer"), DataResponse::NotFound);
    raw.say(&DataRequest::Bytes { root, offset: 1, length: 4, copy: false });
    assert_eq!(raw.hear::<DataResponse>().expect("bytes"), DataResponse::Bytes { length: 4 });
    let mut bytes = [0; 4];
    raw.0.read_exact(&mut bytes).expect("the bytes");
    assert_eq!(bytes, std::fs::read(&path).expect("the picture")[1..5]);
}

#[test]
fn an_upload_of_a_claimed_size_takes_no_memory_for_it() {
    let node = NodeProcess::start(&[]);
    let (root, _) = invented(1 << 60);
    let mut raw = Raw::data(node.address);
    raw.say(&upload("huge", root, 1 << 60));
    match raw.hear().expect("an answer") {
        DataResponse::Failed { why } => assert!(why.to_string().contains("too many"), "{why}"),
        other => panic!("2^60 bytes were not refused: {other:?}"),
    }
    // The largest that is allowed: the manifest is taken, the bytes never come.
    let (root, manifest) = invented(MAX_FILE_BYTES);
    raw.say(&upload("large", root, MAX_FILE_BYTES));
    assert_eq!(raw.hear::<DataResponse>().expect("an answer"), DataResponse::Proceed);
    raw.0.write_all(&manifest).expect("it is taken");
    raw.0.write_all(&[0; 1000]).expect("it is taken");
    drop(raw);
    nothing_half_written(&node);
    serves(&node);
}

#[test]
fn an_upload_of_wrong_bytes_is_refused_with_the_reason() {
    let node = NodeProcess::start(&[]);
    let size = 5 << 20;
    let (root, manifest) = invented(size);
    let mut raw = Raw::data(node.address);
    raw.say(&upload("wrong", root, size));
    assert_eq!(raw.hear::<DataResponse>().expect("an answer"), DataResponse::Proceed);
    raw.0.write_all(&manifest).expect("it is taken");
    let missing = raw.hear::<DataResponse>().expect("an answer");
    assert_eq!(missing, DataResponse::Missing { have: vec![0] });
    raw.0.write_all(&vec![1; size as usize]).expect("all of it is taken");
    match raw.hear().expect("an answer") {
        DataResponse::Failed { why } => assert!(why.to_string().contains("damaged"), "{why}"),
        other => panic!("wrong bytes were taken: {other:?}"),
    }
    nothing_half_written(&node);
    let listing = node.json(&["ls"]).expect("a listing");
    assert_eq!(listing["files"], serde_json::json!([]));
    serves(&node);
}

#[test]
fn a_name_that_leaves_its_directory_is_not_understood_on_the_wire() {
    let node = NodeProcess::start(&[]);
    let good = codec::frame(&upload("xx/yyyy", ContentHash([1; 32]), 1)).expect("it fits");
    let at = good.windows(7).position(|part| part == b"xx/yyyy").expect("the name is in there");
    let mut bad = good;
    bad[at..at + 7].copy_from_slice(b"../yyyy");
    let mut raw = Raw::data(node.address);
    raw.0.write_all(&bad).expect("it is taken");
    raw.closed();
    serves(&node);
}

/// A node whose files may not grow beyond 2 MiB.
struct Limited {
    child: Child,
    address: String,
    home: tempfile::TempDir,
}

impl Limited {
    fn start() -> Limited {
        let home = tempfile::tempdir().expect("a temporary directory");
        let mut child = process::Command::new("sh")
            .args(["-c", "ulimit -f 4096; exec \"$0\" \"$@\"", PROGRAM])
            .args([&free_address().to_string(), "--headless", "--data-dir"])
            .arg(home.path().join("data"))
            .env("HOME", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let address = line.split_whitespace().last().expect("an address").to_owned();
        Limited { child, address, home }
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_file_that_the_disk_refuses_fails_with_its_reason_and_the_node_goes_on() {
    let node = Limited::start();
    let path = node.home.path().join("large.bin");
    random_file(&path, 8 << 20, 1);
    let output = chordal(&["put", text(&path), "--via", &node.address]);
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot write"), "{said}");
    // The client hears of it before the rest of its bytes is let go.
    eventually("partial/ is empty", || {
        let dir = node.home.path().join("data/partial");
        match std::fs::read_dir(dir).expect("the directory").count() {
            0 => Ok(()),
            left => Err(format!("{left} files were left")),
        }
    });
    random_file(&path, 100_000, 1);
    let output = chordal(&["put", text(&path), "--via", &node.address]);
    assert!(output.status.success(), "{}", describe(&output));
}

#[test]
fn a_paused_holder_holds_no_download_up() {
    let ring = crate::process::Ring::of(3);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("f.bin");
    random_file(&path, 3 << 20, 4);
    ring.nodes[0].run(&["put", text(&path)]);
    let owner = ring.nodes[0].json(&["lookup", "f.bin"]).expect("an owner")["owner"].to_string();
    let (paused, others): (Vec<_>, Vec<_>) =
        ring.nodes.iter().partition(|node| owner.contains(&node.address.to_string()));
    paused[0].signal(rustix::process::Signal::STOP);
    let began = std::time::Instant::now();
    let fetched = others[0].fetch("f.bin");
    let took = began.elapsed();
    paused[0].signal(rustix::process::Signal::CONT);
    assert!(fetched.expect("others hold it") == std::fs::read(path).expect("it"));
    assert!(took < Duration::from_secs(14), "it took {took:?}");
    ring.settled();
    assert_eq!(ring.secured("f.bin").len(), 3);
}

/// Has the node fetch a file from a source with a low limit, and stops the source once
/// bytes arrive; the number of that transfer. Those up to `last` are over, whatever a
/// snapshot from before still shows of them.
async fn stalled_get(
    node: &Node,
    source: &NodeProcess,
    name: &str,
    last: u64,
) -> (u64, tokio::sync::oneshot::Receiver<Result<Outcome, CommandError>>) {
    let mut snapshots = node.snapshots.clone();
    let (done, mut outcome) = tokio::sync::oneshot::channel();
    let get = Command::Get { name: name.to_owned(), to: None, no_reshare: true };
    node.commands.send((get, done)).await.expect("the node runs");
    let moving = |snapshot: &Arc<Snapshot>| running_download(snapshot, last).is_some();
    let seen = tokio::time::timeout(DEADLINE, snapshots.wait_for(moving)).await;
    let seen = seen.expect("bytes arrive").expect("the node runs").clone();
    source.signal(rustix::process::Signal::STOP);
    assert!(outcome.try_recv().is_err(), "it was done before the source could be stopped");
    (running_download(&seen, last).expect("it was just seen"), outcome)
}

fn running_download(snapshot: &Snapshot, after: u64) -> Option<u64> {
    let moves = |row: &&TransferRow| {
        row.kind == TransferKind::Download && row.state == TransferState::Running && row.done > 0
    };
    let newer = |row: &&TransferRow| row.number > after;
    snapshot.transfers.iter().filter(newer).find(moves).map(|row| row.number)
}

#[test]
fn an_interrupted_command_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("large");
    File::create(&path).and_then(|file| file.set_len(256 << 20)).expect("a file");
    let node = NodeProcess::start(&[]);
    node.run(&["put", text(&path)]);
    let to = dir.path().join("fetched");
    // So slow that it is interrupted before a whole piece has come: nothing to go on with.
    let mut get = command(&["get", "large", "--limit-down", "32k", "--to", text(&to), "--via"])
        .arg(node.address.to_string())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    eventually("bytes arrive", || match half_written(dir.path()).len() {
        0 => Err(format!("{:?}", get.try_wait())),
        _ => Ok(()),
    });
    signal(get.id(), rustix::process::Signal::INT);
    let output = get.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stderr).contains("interrupted"));
    assert!(half_written(dir.path()).is_empty(), "{:?}", half_written(dir.path()));
    assert!(!to.exists());
}

fn half_written(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).expect("the download directory");
    let paths = entries.map(|entry| entry.expect("it").path());
    let partial = paths.filter(|path| path.extension().is_some_and(|end| end == "part"));
    partial.map(|path| path.display().to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_that_stalls_ends_when_it_is_cancelled_and_when_the_node_stops() {
    // With this limit the file takes 16 seconds, however fast the machine is.
    let source = NodeProcess::start(&["--replicas", "1", "--limit-up", "16M"]);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let downloads = dir.path().join("downloads");
    let (_, hello) = Raw::greet(source.address, &stranger(Purpose::Client));
    let node = Node::start(Config {
        join: vec![source.address],
        params: hello.params.expect("its ring"),
        ..config(dir.path())
    })
    .await
    .expect("it starts");
    node.snapshots
        .clone()
        .wait_for(|snapshot| snapshot.membership == Membership::Member)
        .await
        .expect("the node runs");
    // A name that stays with the source, which has the only copy.
    let path = dir.path().join("large");
    File::create(&path).and_then(|file| file.set_len(256 << 20)).expect("a file");
    let name = name_owned_by(source.address, &[node.address]);
    source.run(&["put", text(&path), "--as", &name]);

    let (number, outcome) = stalled_get(&node, &source, &name, 0).await;
    let (done, cancelled) = tokio::sync::oneshot::channel();
    node.commands.send((Command::Cancel { number }, done)).await.expect("the node runs");
    cancelled.await.expect("an answer").expect("it runs");
    let outcome = tokio::time::timeout(Duration::from_secs(5), outcome).await;
    let why = outcome.expect("it ends soon").expect("an answer").expect_err("it was cancelled");
    assert_eq!(why, CommandError::CANCELLED);
    assert!(half_written(&downloads).is_empty(), "{:?}", half_written(&downloads));

    source.signal(rustix::process::Signal::CONT);
    let (_, outcome) = stalled_get(&node, &source, &name, number).await;
    let stopping = node.shutdown(Duration::from_millis(100));
    tokio::time::timeout(Duration::from_secs(8), stopping).await.expect("it stops soon");
    assert!(!matches!(outcome.await, Ok(Ok(_))), "it cannot have all bytes");
    // What has come stays for another time, with the map that says what that is.
    for part in half_written(&downloads) {
        let here = pieces_in(Path::new(&format!("{part}.map")));
        assert!(!here.is_empty(), "{part} is of no use");
    }
    source.signal(rustix::process::Signal::CONT);
}

/// Threads of a process.
fn threads(process: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let count = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    count.and_then(|count| count.trim().parse().ok()).expect("a number")
}

#[test]
fn half_a_request_costs_no_thread_and_keeps_nobody_waiting() {
    let node = NodeProcess::start(&[]);
    serves(&node);
    let before = threads(node.process());
    let prefix = 100_u32.to_be_bytes();
    let half = || {
        let mut raw = Raw::data(node.address);
        raw.0.write_all(&prefix[..3]).expect("it is taken");
        raw
    };
    // More than requests are answered at once, and then more than there are places.
    for count in [130, 400] {
        let held: Vec<Raw> = (0..count).map(|_| half()).collect();
        let began = Instant::now();
        serves(&node);
        let took = began.elapsed();
        let now = threads(node.process());
        assert!(took < Duration::from_secs(2), "{count}: {took:?}");
        assert!(now < before + 20, "{count}: {now} threads, {before} before");
        drop(held);
    }
}

#[test]
fn a_kept_connection_costs_no_thread_between_two_requests() {
    let node = NodeProcess::start(&[]);
    serves(&node);
    let before = threads(node.process());
    let nothing = DataRequest::Manifest { root: ContentHash([1; 32]) };
    let mut kept: Vec<Raw> = Vec::new();
    for _ in 0..100 {
        let mut raw = Raw::data(node.address);
        raw.say(&nothing);
        assert_eq!(raw.hear::<DataResponse>().expect("an answer"), DataResponse::NotFound);
        kept.push(raw);
        // A thread stays for a moment: a further request would follow at once.
        std::thread::sleep(Duration::from_millis(10));
    }
    let now = threads(node.process());
    assert!(now < before + 20, "{now} threads, {before} before");
    for raw in &mut kept {
        raw.say(&nothing);
        assert_eq!(raw.hear::<DataResponse>().expect("an answer"), DataResponse::NotFound);
    }
}

#[test]
fn a_connection_without_a_request_ends_soon() {
    let node = NodeProcess::start(&[]);
    let began = Instant::now();
    Raw::data(node.address).closed();
    assert!(began.elapsed() > Duration::from_secs(2), "{:?}", began.elapsed());
}
