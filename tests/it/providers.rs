//! Who shares what, as a real ring remembers it: replicated, gone with its
//! sharer, and taken from nobody but the sharer.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use chordal::engine::{Config, Node};
use chordal::id::Space;
use chordal::limits::{MAX_PAGE, PROVIDER_LIFETIME_S};
use chordal::name::FileName;
use chordal::peer::Peer;
use chordal::record::{ContentHash, Provider};
use chordal::view::{Command, Outcome, Role, Snapshot};
use chordal::wire::handshake::{Hello, PREAMBLE_BYTES, Params, Program, Purpose};
use chordal::wire::{Frame, Request, Response, codec};
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::process::{DEADLINE, NodeProcess, Ring, config, eventually, free_address, text};

/// A control connection that speaks for itself.
struct Raw {
    stream: TcpStream,
    next: u32,
}

impl Raw {
    /// Says hello: as a member with this address, or as a client.
    fn greet(node: SocketAddr, member: Option<SocketAddr>) -> Raw {
        let params = Params { ring: "chordal".to_owned(), space: Space::default(), replicas: 3 };
        let hello = Hello {
            purpose: if member.is_some() { Purpose::Member } else { Purpose::Client },
            program: if member.is_some() { Program::Node } else { Program::Client },
            params: member.map(|_| params),
            address: member,
            index: 0,
            version: "0".to_owned(),
            refusal: None,
        };
        let stream = TcpStream::connect(node).expect("the node listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let mut raw = Raw { stream, next: 0 };
        raw.stream.write_all(&hello.to_bytes().expect("it fits")).expect("it is taken");
        raw.stream.read_exact(&mut [0; PREAMBLE_BYTES]).expect("a preamble");
        let theirs: Hello = codec::decode(&raw.body()).expect("a hello");
        assert_eq!(theirs.refusal, None);
        raw
    }

    fn body(&mut self) -> Vec<u8> {
        let mut prefix = [0; codec::PREFIX_BYTES];
        self.stream.read_exact(&mut prefix).expect("it answers");
        let mut body = vec![0; codec::frame_length(prefix).expect("a frame's length")];
        self.stream.read_exact(&mut body).expect("a whole frame");
        body
    }

    fn ask(&mut self, request: Request) -> Response {
        self.next += 1;
        let frame = Frame::Request { id: self.next, request };
        let bytes = codec::frame(&frame).expect("it fits");
        self.stream.write_all(&bytes).expect("it is taken");
        loop {
            match codec::decode(&self.body()).expect("a frame") {
                Frame::Response { id, response } if id == self.next => return response,
                _ => {}
            }
        }
    }

    fn provide(&mut self, providers: Vec<Provider>) -> Result<Vec<u16>, String> {
        match self.ask(Request::Provide { providers }) {
            Response::Provided { sources } => Ok(sources),
            Response::Failed { why } => Err(why.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

fn name(text: &str) -> FileName {
    FileName::new(text).expect("a plain name")
}

fn said(file: &str, sharer: SocketAddr, serial: u64) -> Provider {
    Provider {
        downloaded: false,
        name: name(file),
        peer: Peer::new(sharer, 0),
        root: ContentHash([3; 32]),
        size: 1_000,
        serial,
        lifetime_s: PROVIDER_LIFETIME_S,
    }
}

/// Who shares the name, as a node knows it.
fn sharers(node: SocketAddr, file: &str) -> BTreeSet<SocketAddr> {
    match Raw::greet(node, None).ask(Request::Providers { name: name(file) }) {
        Response::Providers { providers } => {
            providers.iter().map(|one| one.peer.address()).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Waits until all who belong to the name know exactly these sharers.
fn shared_by(ring: &Ring, file: &str, wanted: &[SocketAddr]) {
    eventually("the holders know who shares the name", || {
        let wanted: BTreeSet<SocketAddr> = wanted.iter().copied().collect();
        for node in placed(ring, file) {
            let known = sharers(node, file);
            if known != wanted {
                return Err(format!("{node} knows {known:?} of {file}, not {wanted:?}"));
            }
        }
        Ok(())
    });
}

/// The nodes of the ring that know a sharer of the name.
fn knowing(ring: &Ring, file: &str) -> BTreeSet<SocketAddr> {
    let knows = |node: &SocketAddr| !sharers(*node, file).is_empty();
    ring.nodes.iter().map(|node| node.address).filter(knows).collect()
}

/// The owner of the name and the two nodes behind it, by definition.
fn placed(ring: &Ring, file: &str) -> Vec<SocketAddr> {
    let space = Space::default();
    let mut nodes: Vec<Peer> = ring.nodes.iter().map(|n| Peer::new(n.address, 0)).collect();
    nodes.sort_by_key(|node| space.distance(name(file).key(space), node.id(space)));
    nodes.iter().take(3).map(Peer::address).collect()
}

fn known_where_it_belongs(ring: &Ring, file: &str) {
    eventually("the holders know who shares the name", || {
        let knowing = knowing(ring, file);
        let placed = placed(ring, file);
        let all = placed.iter().all(|node| knowing.contains(node));
        all.then_some(()).ok_or_else(|| format!("{knowing:?} know it, {placed:?} should"))
    });
}

#[test]
fn a_record_outlives_its_owners_and_goes_when_it_is_taken_back() {
    let mut ring = Ring::of(5);
    let sharer = free_address();
    let owner = placed(&ring, "song.ogg")[0];
    let taken = Raw::greet(owner, Some(sharer)).provide(vec![said("song.ogg", sharer, 7)]);
    assert_eq!(taken, Ok(vec![1]));
    known_where_it_belongs(&ring, "song.ogg");
    assert_eq!(knowing(&ring, "song.ogg").len(), 3, "and to nobody else");

    let at = ring.nodes.iter().position(|node| node.address == owner).expect("one of them");
    ring.crash(at);
    ring.settled();
    known_where_it_belongs(&ring, "song.ogg");
    ring.grow();
    ring.settled();
    known_where_it_belongs(&ring, "song.ogg");

    let owner = placed(&ring, "song.ogg")[0];
    let mut member = Raw::greet(owner, Some(sharer));
    let gone = Provider { lifetime_s: 0, ..said("song.ogg", sharer, 8) };
    assert_eq!(member.provide(vec![gone]), Ok(vec![0]));
    // Who held it once and holds it no more forgets it by itself, unasked.
    eventually("no holder knows it any more", || {
        let (knowing, placed) = (knowing(&ring, "song.ogg"), placed(&ring, "song.ogg"));
        let none = !placed.iter().any(|node| knowing.contains(node));
        none.then_some(()).ok_or_else(|| format!("{knowing:?} know it"))
    });
    assert_eq!(member.provide(vec![said("song.ogg", sharer, 7)]), Ok(vec![0]), "an old word");
}

#[test]
fn nobody_says_for_another_what_that_one_shares() {
    let ring = Ring::of(1);
    let node = ring.nodes[0].address;
    let (sharer, other) = (free_address(), free_address());
    let refused = |asker: Option<SocketAddr>, said: Vec<Provider>, because: &str| {
        let why = Raw::greet(node, asker).provide(said).expect_err("it is refused");
        assert!(why.contains(because), "{why}");
    };
    refused(Some(sharer), vec![said("a", sharer, 1), said("b", other, 1)], "of itself");
    refused(None, vec![said("a", sharer, 1)], "member");
    refused(Some(sharer), vec![said("a", sharer, 1); MAX_PAGE + 1], "fewer");
    assert!(knowing(&ring, "a").is_empty() && knowing(&ring, "b").is_empty());
}

#[test]
fn a_flood_of_sharers_is_bounded_and_hides_nobody() {
    let ring = Ring::of(1);
    let node = ring.nodes[0].address;
    let host = |number: u8| SocketAddr::from(([127, 9, 9, number], 4000));
    assert_eq!(Raw::greet(node, Some(host(0))).provide(vec![said("x", host(0), 1)]), Ok(vec![1]));
    let mut sources = 0;
    for number in 1..=200 {
        let taken = Raw::greet(node, Some(host(number))).provide(vec![said("x", host(number), 1)]);
        sources = taken.expect("it is answered")[0];
    }
    assert!((100..200).contains(&sources), "{sources} of 201 are kept");
    // An answer holds a part of them, and everybody's turn comes.
    let mut asker = Raw::greet(node, None);
    eventually("the first sharer is among those named", || {
        let Response::Providers { providers } = asker.ask(Request::Providers { name: name("x") })
        else {
            return Err("no answer".to_owned());
        };
        assert_eq!(providers.len(), MAX_PAGE);
        let found = providers.iter().any(|one| one.peer.address() == host(0));
        found.then_some(()).ok_or_else(|| format!("{} others", providers.len()))
    });
    let mut member = Raw::greet(node, Some(host(0)));
    assert_eq!(member.provide(vec![said("y", host(0), 1)]), Ok(vec![1]), "others are served");
}

/// A directory with these files, each with its name as its bytes.
fn directory(names: &[&str]) -> TempDir {
    let dir = TempDir::new().expect("a temporary directory");
    for name in names {
        fs::write(dir.path().join(name), name).expect("a file");
    }
    dir
}

/// Adds a node that shares a directory.
fn sharer(ring: &mut Ring, dir: &TempDir) -> SocketAddr {
    let contact = ring.nodes[0].address.to_string();
    let node = NodeProcess::start(&["--join", &contact, "--share", text(dir.path())]);
    let address = node.address;
    ring.nodes.push(node);
    ring.settled();
    address
}

#[test]
fn the_ring_follows_what_a_node_shares_until_it_leaves() {
    let mut ring = Ring::of(4);
    let names = ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt", "f.txt"];
    let dir = directory(&names);
    let address = sharer(&mut ring, &dir);
    for name in names {
        shared_by(&ring, name, &[address]);
    }
    fs::remove_file(dir.path().join("a.txt")).expect("it was there");
    fs::write(dir.path().join("new.txt"), "new").expect("a file");
    shared_by(&ring, "new.txt", &[address]);
    shared_by(&ring, "a.txt", &[]);

    let mut leaver = ring.nodes.pop().expect("the sharer");
    leaver.terminate();
    assert!(leaver.ended().success());
    ring.settled();
    for name in names {
        shared_by(&ring, name, &[]);
    }
}

#[test]
fn a_sharer_that_was_killed_and_started_again_is_believed() {
    let mut ring = Ring::of(3);
    let dir = directory(&["x.txt", "y.txt"]);
    let address = sharer(&mut ring, &dir);
    shared_by(&ring, "x.txt", &[address]);
    let mut killed = ring.crash(3);
    ring.settled();
    fs::remove_file(dir.path().join("x.txt")).expect("it was there");
    fs::write(dir.path().join("y.txt"), "other content").expect("a file");
    killed.restart(&[]);
    ring.nodes.push(killed);
    ring.settled();
    eventually("the new content is what the ring knows", || {
        let owner = placed(&ring, "y.txt")[0];
        let answer = Raw::greet(owner, None).ask(Request::Providers { name: name("y.txt") });
        let size = "other content".len() as u64;
        let new = |one: &Provider| one.peer.address() == address && one.size == size;
        match &answer {
            Response::Providers { providers } if matches!(&providers[..], [one] if new(one)) => {
                Ok(())
            }
            other => Err(format!("{other:?}")),
        }
    });
}

/// A node of this process.
async fn start(dir: &TempDir, share: Vec<PathBuf>) -> Node {
    let config = Config { share, ..config(dir.path()) };
    Node::start(config).await.expect("it starts")
}

async fn run(node: &Node, command: Command) -> Outcome {
    let (done, end) = oneshot::channel();
    node.commands.send((command, done)).await.expect("the node runs");
    end.await.expect("it answers").expect("it succeeds")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_and_comes_back_shares_again() {
    let files = directory(&["here.txt"]);
    let homes = [directory(&[]), directory(&[])];
    let ring = start(&homes[0], Vec::new()).await;
    let node = start(&homes[1], vec![files.path().to_owned()]).await;
    let known = |wanted: bool| {
        let (asked, sharer) = (ring.address, node.address);
        tokio::task::block_in_place(|| {
            eventually("the ring knows whether the node shares", || {
                let sharers = sharers(asked, "here.txt");
                let right = sharers.contains(&sharer) == wanted;
                right.then_some(()).ok_or_else(|| format!("{sharers:?}"))
            });
        });
    };
    for _ in 0..2 {
        run(&node, Command::Join { contact: ring.address.to_string() }).await;
        known(true);
        run(&node, Command::Leave).await;
        known(false);
    }
    node.shutdown(Duration::from_secs(2)).await;
    ring.shutdown(Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_share_the_same_file_are_counted() {
    let (one, two) = (directory(&["same.txt", "own.txt"]), directory(&["same.txt"]));
    let homes = [directory(&[]), directory(&[])];
    let mut first = start(&homes[0], vec![one.path().to_owned()]).await;
    let mut second = start(&homes[1], vec![two.path().to_owned()]).await;
    shows(&mut first, &[("own.txt", 1), ("same.txt", 1)]).await;
    run(&second, Command::Join { contact: first.address.to_string() }).await;
    shows(&mut second, &[("same.txt", 2)]).await;
    // Who was there before hears of it too.
    shows(&mut first, &[("own.txt", 1), ("same.txt", 2)]).await;
    second.shutdown(Duration::from_secs(2)).await;
    shows(&mut first, &[("own.txt", 1), ("same.txt", 1)]).await;
    first.shutdown(Duration::from_secs(2)).await;
}

/// Waits until the screen of a node shows these shared files, each with the
/// number of its sharers.
async fn shows(node: &mut Node, wanted: &[(&str, u8)]) {
    let shown = |snapshot: &Snapshot| -> Vec<(String, u8)> {
        let shared = snapshot.files.iter().filter(|row| row.role == Role::Shared);
        shared.map(|row| (row.name.as_str().to_owned(), row.copies)).collect()
    };
    let right = |snapshot: &Arc<Snapshot>| {
        let shown = shown(snapshot);
        shown.iter().map(|(name, copies)| (name.as_str(), *copies)).eq(wanted.iter().copied())
    };
    let waited = tokio::time::timeout(DEADLINE, node.snapshots.wait_for(right)).await.is_ok();
    assert!(waited, "shown are {:?}, not {wanted:?}", shown(&node.snapshots.borrow()));
}
