//! What finding and sharing bear: peers that take all places, links on the
//! disk that are turned under the reader's hands, words of a length that nobody
//! types, a flood of gossip. Each is bounded, named where somebody is to blame,
//! and costs nobody else anything.

use std::collections::VecDeque;
use std::fs;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chordal::engine::{Config, Node};
use chordal::id::Space;
use chordal::peer::Peer;
use chordal::record::ContentHash;
use chordal::transfer::manifest::ManifestBuilder;
use chordal::view::{
    Command, CommandError, Outcome, Snapshot, TransferKind, TransferRow, TransferState, Trust,
};
use chordal::wire::data::{DataRequest, DataResponse};
use chordal::wire::handshake::{Hello, Params, Purpose};
use chordal::wire::mesh::{Gossip, GossipBody, LinkMessage, SearchId, SearchMessage};
use chordal::wire::{Frame, MeshMessage, Request, Response, codec};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::attack::{Raw, stranger};
use crate::process::{
    DEADLINE, NodeProcess, Ring, chordal, config, describe, eventually, free_address,
    host_of_its_own, random_file, text, within,
};
use crate::registry::RegistryProcess;

fn params() -> Params {
    Params { ring: "chordal".to_owned(), space: Space::default(), replicas: 3 }
}

/// A member's greeting.
fn member(address: SocketAddr) -> Hello {
    Hello {
        params: Some(params()),
        address: Some(address),
        program: chordal::wire::handshake::Program::Node,
        ..stranger(Purpose::Member)
    }
}

fn mesh(message: MeshMessage) -> Frame {
    Frame::Mesh { from: 0, to: 0, message }
}

/// The addresses with which a node has a link.
fn linked(node: &NodeProcess) -> Result<Vec<String>, String> {
    let list = node.json(&["peers"])?;
    let rows = list["peers"].as_array().ok_or_else(|| format!("no peers: {list}"))?;
    let linked = rows.iter().filter(|row| !row["link"].is_null());
    Ok(linked.filter_map(|row| row["address"].as_str().map(str::to_owned)).collect())
}

/// Waits until a node is linked with another one.
fn is_linked(node: &NodeProcess, with: SocketAddr) {
    within(Duration::from_secs(40), "they are linked", || {
        let links = linked(node)?;
        if links.contains(&with.to_string()) { Ok(()) } else { Err(format!("{links:?}")) }
    });
}

/// The roots that are shared through a node, with their sizes.
fn shared(node: &NodeProcess) -> Result<Vec<(String, u64)>, String> {
    let listing = node.json(&["ls"])?;
    let files = listing["files"].as_array().ok_or_else(|| format!("no files: {listing}"))?;
    let shared = files.iter().filter(|file| file["role"] == "shared");
    let row = |file: &Value| Some((file["name"].as_str()?.to_owned(), file["size"].as_u64()?));
    shared.map(|file| row(file).ok_or_else(|| format!("no row: {file}"))).collect()
}

fn hash_of(path: &Path) -> ContentHash {
    let bytes = fs::read(path).expect("it is there");
    let mut builder = ManifestBuilder::new(bytes.len() as u64);
    builder.update(&bytes);
    builder.finish().expect("all bytes came").root()
}

#[test]
fn a_thousand_links_from_one_host_are_few_named_and_keep_nobody_out() {
    let node = NodeProcess::start(&[]);
    let friend = NodeProcess::join(&node);
    is_linked(&node, friend.address);
    let host = host_of_its_own();
    // As many at a time as a process may have files.
    let mut held = VecDeque::new();
    for port in 10_000..11_000 {
        let address = SocketAddr::from((host, port));
        let mut raw = Raw::greet(node.address, &member(address)).0;
        raw.say(&mesh(MeshMessage::Link(LinkMessage::Open { chosen: true })));
        held.push_back(raw);
        if held.len() > 450 {
            held.pop_front();
        }
    }
    let links = linked(&node).expect("it answers");
    assert!(links.len() <= 40, "{} links", links.len());
    assert!(links.contains(&friend.address.to_string()), "its friend was pushed out: {links:?}");
    // Others come in and go about their business as before.
    let newcomer = NodeProcess::join(&node);
    eventually("the newcomer is on the ring", || {
        let info = newcomer.json(&["info"])?;
        let successors = info["successors"].as_array().cloned().unwrap_or_default();
        if successors.is_empty() { Err(info.to_string()) } else { Ok(()) }
    });
    newcomer.run(&["ping", &node.address.to_string()]);
    let log = node.log();
    assert!(log.contains("keeps more members' connections open than"), "{log}");
    assert!(log.lines().count() < 300, "{} lines:\n{log}", log.lines().count());
    assert!(!friend.log().contains("the link is gone"), "{}", friend.log());
}

/// Turns a shared path back and forth between the file and a link to another
/// one, until it is told to end with the link.
fn turn(path: &Path, file: &Path, link: &Path, over: &AtomicBool) {
    let spare = path.with_file_name(".spare");
    let put = |made: std::io::Result<()>| {
        made.and_then(|()| fs::rename(&spare, path)).expect("the path is turned");
    };
    while !over.load(Ordering::Relaxed) {
        put(symlink(link, &spare));
        put(fs::hard_link(file, &spare));
    }
    put(symlink(link, &spare));
}

#[test]
fn what_a_link_leads_to_outside_is_never_served_whenever_it_is_put_there() {
    const BYTES: usize = 8 << 10;
    let dir = TempDir::new().expect("a temporary directory");
    let (root, secret) = (dir.path().join("shared"), dir.path().join("secret"));
    let kept = dir.path().join("kept");
    fs::create_dir(&root).expect("a directory");
    random_file(&kept, BYTES, 1);
    random_file(&secret, BYTES, 2);
    let path = root.join("open.bin");
    fs::hard_link(&kept, &path).expect("linked");
    symlink("/etc/passwd", root.join("passwd")).expect("a link");
    symlink(&secret, root.join("way out")).expect("a link");
    symlink(dir.path(), root.join("up")).expect("a link");
    let node = NodeProcess::start(&["--share", text(&root)]);
    eventually("the one file is shared", || match shared(&node)? {
        rows if rows == [("open.bin".to_owned(), BYTES as u64)] => Ok(()),
        rows => Err(format!("{rows:?}")),
    });
    for name in ["passwd", "way out", "up"] {
        let sentence = format!("{name} is not shared: it leads out of what is shared");
        assert!(node.log().contains(&sentence), "{name}: {}", node.log());
    }

    let (original, hidden) = (fs::read(&kept).expect("it"), fs::read(&secret).expect("it"));
    let (open, behind) = (hash_of(&kept), hash_of(&secret));
    let over = AtomicBool::new(false);
    let mut served = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| turn(&path, &kept, &secret, &over));
        let mut raw = Raw::greet(node.address, &stranger(Purpose::Data)).0;
        let began = Instant::now();
        while served < 50 && began.elapsed() < DEADLINE || began.elapsed().as_millis() < 1_500 {
            for root in [open, behind] {
                raw.say(&DataRequest::Bytes { root, offset: 0, length: BYTES as u64, copy: false });
                match raw.hear().expect("an answer") {
                    DataResponse::Bytes { length } => {
                        let mut bytes = vec![0; length as usize];
                        raw.0.read_exact(&mut bytes).expect("the bytes");
                        assert!(bytes != hidden, "the secret was served");
                        assert!(root == open && bytes == original, "other bytes were served");
                        served += 1;
                    }
                    DataResponse::NotFound | DataResponse::Failed { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(served > 0, "nothing was ever served: this proves nothing");
    eventually("a link is shared no longer", || match shared(&node)? {
        rows if rows.is_empty() => Ok(()),
        rows => Err(format!("{rows:?}")),
    });
    let found = node.json(&["find", "*"]).expect("it answers");
    assert_eq!(found["contents"], serde_json::json!([]), "{found}");
}

#[test]
fn words_of_a_hundred_thousand_bytes_are_refused_in_one_short_sentence() {
    let node = NodeProcess::start(&[]);
    let long = "x".repeat(100_000);
    let here = node.address.to_string();
    for words in [
        vec!["find", &long],
        vec!["get", &long],
        vec!["request", &long, &here],
        vec!["request", "x", &long],
        vec!["rm", &long],
        vec!["say", &long],
        vec!["ping", &long],
    ] {
        let output = node.attempt(&words);
        assert!(!output.status.success(), "{}: {}", words[0], describe(&output).len());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.len() < 2_000, "{}: {} bytes are said", words[0], said.len());
        assert!(!said.contains("panicked"), "{said}");
    }

    // The same from somebody who speaks for himself.
    let mut raw = Raw::greet(node.address, &stranger(Purpose::Client)).0;
    let pattern = "x".repeat(60_000);
    for (id, request) in [
        (1, Request::Search { pattern: pattern.clone(), after: None }),
        (2, Request::Find { pattern: pattern.clone() }),
        (3, Request::Say { text: pattern.clone() }),
    ] {
        raw.say(&Frame::Request { id, request });
        match raw.hear().expect("an answer") {
            Frame::Response { id: answered, response: Response::Failed { why } } => {
                assert_eq!(answered, id);
                let why = why.to_string();
                assert!(why.len() < 500, "{} bytes are said", why.len());
            }
            other => panic!("{other:?}"),
        }
    }
    let address = free_address();
    let mut raw = Raw::greet(node.address, &member(address)).0;
    let search = SearchId { origin: Peer::new(address, 0), number: 1 };
    let until = params().space.id(1);
    let ask = SearchMessage::Ask { search, pattern, until, depth: 1 };
    raw.say(&mesh(MeshMessage::Search(ask)));
    raw.say(&Frame::Request { id: 9, request: Request::Info });
    loop {
        match raw.hear().expect("it answers still") {
            Frame::Response { id: 9, .. } => break,
            Frame::Mesh { message: MeshMessage::Search(answer), .. } => panic!("{answer:?}"),
            _ => {}
        }
    }
    // More than a frame may have: its own connection ends, and nothing else.
    raw.0.write_all(&100_000u32.to_be_bytes()).expect("it is taken");
    raw.closed();
    node.run(&["info"]);
}

#[test]
fn a_flood_over_one_link_costs_no_other_link() {
    let node = NodeProcess::start(&[]);
    let friend = NodeProcess::join(&node);
    is_linked(&node, friend.address);
    is_linked(&friend, node.address);
    let address = free_address();
    let mut raw = Raw::greet(node.address, &member(address)).0;
    raw.say(&mesh(MeshMessage::Link(LinkMessage::Open { chosen: true })));
    loop {
        if let Frame::Mesh { message: MeshMessage::Link(LinkMessage::Accept), .. } =
            raw.hear().expect("it answers")
        {
            break;
        }
    }
    let origin = Peer::new(address, 0);
    let piece = |id| {
        let body = GossipBody::Say("again".to_owned());
        mesh(MeshMessage::Gossip(Gossip { id, origin, unix_ms: 0, hops: 9, body }))
    };
    // The same piece, others, and beats, for as long as two periods of beats
    // take until a peer is suspected.
    let mut burst = Vec::new();
    for id in 0..2_000 {
        let beat = LinkMessage::Beat { number: id as u32, shared: 0 };
        for frame in [piece(1), piece(id), mesh(MeshMessage::Link(beat))] {
            burst.extend(codec::frame(&frame).expect("it fits"));
        }
    }
    let mut echoes = raw.0.try_clone().expect("a second handle");
    let drain = std::thread::spawn(move || std::io::copy(&mut echoes, &mut std::io::sink()));
    let began = Instant::now();
    let mut bursts = 0;
    // On a slow machine it takes longer until it is a flood.
    while began.elapsed() < Duration::from_secs(5) || bursts <= 5 {
        raw.0.write_all(&burst).expect("it is taken");
        bursts += 1;
    }
    raw.0.shutdown(std::net::Shutdown::Both).expect("it is open");
    let _ = drain.join().expect("it reads to the end");
    for (one, other) in [(&node, &friend), (&friend, &node)] {
        let lost = format!("{} missed", other.address);
        assert!(!one.log().contains(&lost), "{}", one.log());
        is_linked(one, other.address);
    }
    let log = node.log();
    assert!(log.contains(&format!("{address} says more")), "{log}");
    assert!(log.lines().count() < 200, "{} lines:\n{log}", log.lines().count());
    let said = friend.log().matches("says: again").count();
    assert!(said < 40, "{said} were passed on");
    friend.run(&["say", "all is well"]);
    eventually("what others say is heard", || match node.log() {
        log if log.contains("all is well") => Ok(()),
        log => Err(log),
    });
}

/// A directory with files of these names and bytes.
fn directory(files: &[(&str, usize, u64)]) -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    for (name, bytes, seed) in files {
        random_file(&dir.path().join(name), *bytes, *seed);
    }
    dir
}

#[test]
fn one_name_with_several_contents_is_listed_and_every_one_of_them_can_be_had() {
    let mut ring = Ring::of(2);
    let stored = directory(&[("plan.txt", 3_000, 1), ("me@cafe", 500, 4)]);
    let path = |name: &str| stored.path().join(name);
    ring.nodes[0].run(&["put", text(&path("plan.txt"))]);
    let dirs = [
        directory(&[("plan.txt", 4_000, 2), ("both.bin", 700_000, 3)]),
        directory(&[("me@cafe", 500, 4), ("both.bin", 700_000, 3)]),
    ];
    let contact = ring.nodes[0].address.to_string();
    for dir in &dirs {
        let sharer = NodeProcess::start(&["--join", &contact, "--share", text(dir.path())]);
        ring.nodes.push(sharer);
    }
    ring.settled();
    let client = &ring.nodes[1];
    let (first, second) = (hash_of(&path("plan.txt")), hash_of(&dirs[0].path().join("plan.txt")));
    let why = eventually("both contents are known", || {
        // While one of them is not known, the other one is fetched.
        let _ = fs::remove_file(path("never"));
        let output = client.attempt(&["get", "plan.txt", "--to", text(&path("never"))]);
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = format!("{why}{}", String::from_utf8_lossy(&output.stdout));
        let both = [first, second].iter().all(|hash| said.contains(&hash.to_string()[..8]));
        if both && output.status.code() == Some(1) { Ok(said) } else { Err(describe(&output)) }
    });
    assert!(!path("never").exists(), "one of them was taken: {why}");
    for (hash, file) in [(first, path("plan.txt")), (second, dirs[0].path().join("plan.txt"))] {
        let text = format!("plan.txt@{}", &hash.to_string()[..10]);
        assert!(client.fetch(&text).expect("it is there") == fs::read(file).expect("it"));
    }
    let name = "me@cafe";
    let bytes = fs::read(path(name)).expect("it is there");
    let fetched = |text: &str| eventually("it is known", || client.fetch(text));
    assert!(fetched(name) == bytes);
    assert!(fetched(&format!("{name}@{}", &hash_of(&path(name)).to_string()[..6])) == bytes);

    // Two share it; one is killed, and nobody has to know.
    let both = fs::read(dirs[0].path().join("both.bin")).expect("it is there");
    assert!(fetched("both.bin") == both);
    let mut dead = ring.nodes.pop().expect("the second sharer");
    dead.kill();
    assert!(eventually("the other one serves", || ring.nodes[1].fetch("both.bin")) == both);
}

#[test]
fn whatever_happens_to_a_watched_directory_is_followed() {
    let dir = TempDir::new().expect("a temporary directory");
    let (root, beside) = (dir.path().join("shared"), dir.path().join("beside"));
    fs::create_dir_all(beside.join("album/1999")).expect("directories");
    fs::create_dir(&root).expect("a directory");
    fs::write(beside.join("one.txt"), "1").expect("written");
    fs::write(beside.join("album/1999/sea.jpg"), [7; 300]).expect("written");
    let node = NodeProcess::start(&["--share", text(&root)]);
    let shows = |what: &str, files: &[(&str, u64)]| {
        let wanted: Vec<(String, u64)> = files.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        eventually(what, || match shared(&node)? {
            rows if rows == wanted => Ok(()),
            rows => Err(format!("{rows:?} instead of {wanted:?}")),
        });
    };
    fs::rename(beside.join("one.txt"), root.join("one.txt")).expect("moved");
    shows("a file that is moved in", &[("one.txt", 1)]);
    fs::rename(beside.join("album"), root.join("album")).expect("moved");
    shows("a directory that is moved in", &[("album/1999/sea.jpg", 300), ("one.txt", 1)]);
    fs::write(root.join("album/1999/sky.jpg"), [8; 200]).expect("written");
    let three = [("album/1999/sea.jpg", 300), ("album/1999/sky.jpg", 200), ("one.txt", 1)];
    shows("a file that comes into it", &three);
    fs::rename(root.join("album"), beside.join("out")).expect("moved");
    shows("a directory that is moved out", &[("one.txt", 1)]);
    fs::remove_dir_all(&root).expect("removed");
    shows("a shared directory that is removed", &[]);
    fs::create_dir(&root).expect("a directory");
    fs::write(root.join("two.txt"), "22").expect("written");
    shows("one that is made again", &[("two.txt", 2)]);
    fs::write(root.join("two.txt"), "other").expect("written");
    shows("a change in it", &[("two.txt", 5)]);

    // Something that grows for a while: never half of it in the end.
    let mut growing = fs::File::create(root.join("film.bin")).expect("a file");
    let mut size = 0;
    for _ in 0..50 {
        growing.write_all(&[1; 10_000]).expect("written");
        size += 10_000;
        // Takes a moment, in which the node looks at the disk.
        shared(&node).expect("it answers");
    }
    drop(growing);
    shows("a file that has grown", &[("film.bin", size), ("two.txt", 5)]);
    assert!(node.fetch("film.bin").expect("it is there") == vec![1; size as usize]);
}

#[test]
fn the_lists_of_all_registries_count_and_the_ring_outlives_them() {
    let mut registries = [RegistryProcess::start(&[]), RegistryProcess::start(&[])];
    let [one, other] = registries.each_ref().map(|registry| registry.address.to_string());
    // Each registry knows one of two that know nothing of each other.
    let first = NodeProcess::start(&["--seed", &one]);
    let second = NodeProcess::start(&["--seed", &other]);
    registries[0].lists(&[first.address]);
    registries[1].lists(&[second.address]);
    let third = NodeProcess::start(&["--seed", &one, "--seed", &other]);
    let ring = Ring { nodes: vec![first, second, third] };
    ring.settled();
    registries.iter_mut().for_each(RegistryProcess::kill);
    for node in &ring.nodes {
        for other in &ring.nodes {
            if other.address != node.address {
                is_linked(node, other.address);
            }
        }
    }
    ring.nodes[0].run(&["say", "without", "registries"]);
    for node in &ring.nodes[1..] {
        eventually("what is said is heard", || match node.log() {
            log if log.contains("without registries") => Ok(()),
            log => Err(log),
        });
    }
    let dir = directory(&[("later.bin", 5_000, 9)]);
    let path = dir.path().join("later.bin");
    ring.nodes[1].run(&["put", text(&path)]);
    assert!(ring.nodes[2].fetch("later.bin").expect("it") == fs::read(&path).expect("it"));
    ring.settled();
    let list = ring.nodes[2].json(&["peers"]).expect("it answers");
    let rows = list["registries"].as_array().expect("rows");
    assert!(rows.len() == 2 && rows.iter().all(|row| row["state"] == "dead"), "{list}");
}

/// A node in this process that has joined through another one.
async fn joined(contact: SocketAddr, home: &TempDir) -> Node {
    let config = Config { join: vec![contact], reshare: false, ..config(home.path()) };
    Node::start(config).await.expect("it starts")
}

type Ended = Result<Outcome, CommandError>;

/// Begins to fetch a file.
async fn begin(node: &Node, name: &str) -> oneshot::Receiver<Ended> {
    let (done, end) = oneshot::channel();
    let get = Command::Get { name: name.to_owned(), to: None, no_reshare: true };
    node.commands.send((get, done)).await.expect("the node runs");
    end
}

/// Fetches a file, again and again until that succeeds: whence, and where it is
/// saved.
async fn fetched(node: &Node, name: &str) -> (Vec<(Peer, u64)>, PathBuf) {
    let mut last = None;
    let trying = async {
        loop {
            match begin(node, name).await.await.expect("an answer") {
                Ok(Outcome::Fetched { path, sources, .. }) => return (sources, path),
                other => last = Some(other),
            }
        }
    };
    let done = tokio::time::timeout(DEADLINE, trying).await;
    done.unwrap_or_else(|_| panic!("{name} is not to be had: {last:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sharer_that_is_started_again_serves_the_download_that_waits_for_it() {
    let dir = directory(&[("film.bin", 400_000, 5)]);
    let mut sharer = NodeProcess::start(&["--share", text(dir.path())]);
    let home = TempDir::new().expect("a temporary directory");
    let node = joined(sharer.address, &home).await;
    fetched(&node, "film.bin").await;
    sharer.kill();
    let mut end = begin(&node, "film.bin").await;
    // Long enough for a dozen questions that nobody answers.
    let waits = tokio::time::timeout(Duration::from_secs(6), &mut end).await;
    assert!(waits.is_err(), "it gave up: {waits:?}");
    let starting = tokio::task::spawn_blocking(move || {
        sharer.restart(&[]);
        sharer
    });
    let sharer = starting.await.expect("it starts again");
    let outcome = tokio::time::timeout(DEADLINE, end).await.expect("in time");
    match outcome.expect("an answer").expect("the sharer is back") {
        Outcome::Fetched { path, sources, .. } => {
            assert_eq!(sources, [(Peer::new(sharer.address, 0), 400_000)]);
            let original = fs::read(dir.path().join("film.bin")).expect("it");
            assert!(fs::read(path).expect("it is saved") == original);
        }
        other => panic!("{other:?}"),
    }
    node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_to_a_file_that_is_being_fetched_is_no_cheat() {
    const BYTES: u64 = 16 << 20;
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("film.bin");
    let file = fs::File::create(&path).expect("a file");
    file.set_len(BYTES).expect("room on the disk");
    random_file(&dir.path().join("small.bin"), 1_000, 6);
    // A fetch takes two seconds, however fast the machine is: the file changes within.
    let sharer = NodeProcess::start(&["--share", text(dir.path()), "--limit-up", "8M"]);
    let home = TempDir::new().expect("a temporary directory");
    let node = joined(sharer.address, &home).await;
    let (_, old) = fetched(&node, "film.bin").await;
    fs::remove_file(old).expect("it was saved");

    let mut snapshots = node.snapshots.clone();
    let done = |snapshot: &Snapshot| {
        let done = |row: &&TransferRow| row.state == TransferState::Done;
        snapshot.transfers.iter().filter(done).map(|row| row.number).max()
    };
    let over = tokio::time::timeout(DEADLINE, snapshots.wait_for(|s| done(s).is_some())).await;
    let over = done(&over.expect("it is shown").expect("the node runs"));
    let last = over.expect("it was just seen");
    let mut end = begin(&node, "film.bin").await;
    // Those before are over, whatever a snapshot still shows of them.
    let moves = |row: &TransferRow| {
        let newer = row.kind == TransferKind::Download && row.number > last;
        newer && row.state == TransferState::Running && row.done > 0
    };
    let waiting = snapshots.wait_for(|snapshot| snapshot.transfers.iter().any(moves));
    let begun = tokio::time::timeout(DEADLINE, waiting).await;
    drop(begun.expect("it begins").expect("the node runs"));
    sharer.signal(Signal::STOP);
    assert!(end.try_recv().is_err(), "it was done before the file could be changed");
    for at in (0..BYTES).step_by(64 << 10) {
        file.write_all_at(&[1], at).expect("written");
    }
    sharer.signal(Signal::CONT);
    // It begins anew with what is there now, or looks in vain for somebody who has the
    // old content.
    match tokio::time::timeout(2 * DEADLINE, end).await.expect("in time") {
        Ok(Ok(Outcome::Fetched { path, .. })) => {
            let bytes = fs::read(&path).expect("it is saved");
            assert!(bytes.iter().step_by(64 << 10).all(|byte| *byte == 1), "old bytes came");
            fs::remove_file(path).expect("it was saved");
        }
        Ok(Err(why)) => {
            let reasons = ["changed while it was read", "does not have the content"];
            let why = why.to_string();
            assert!(reasons.iter().any(|reason| why.contains(reason)), "{why}");
        }
        other => panic!("{other:?}"),
    }

    // It is used as before, for what it has now and for everything else.
    let (sources, saved) = fetched(&node, "film.bin").await;
    assert_eq!(sources, [(Peer::new(sharer.address, 0), BYTES)]);
    let bytes = fs::read(saved).expect("it is saved");
    assert!(bytes.iter().step_by(64 << 10).all(|byte| *byte == 1));
    fetched(&node, "small.bin").await;
    let doubted = node.snapshots.borrow().peers.iter().any(|row| row.trust == Trust::Shunned);
    assert!(!doubted, "{:?}", node.snapshots.borrow().peers);
    node.kill().await;
}

#[test]
fn a_command_with_an_impossible_target_says_so_at_once() {
    for words in [&["find", "x", "--via", "0.0.0.0:2000"][..], &["peers", "--via", "224.0.0.1:9"]] {
        let output = chordal(words);
        assert!(!output.status.success(), "{}", describe(&output));
    }
}
