//! Who shares what, as a real ring remembers it: replicated, gone with its
//! sharer, and taken from nobody but the sharer.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use chordal::id::Space;
use chordal::limits::{MAX_PAGE, PROVIDER_LIFETIME_S};
use chordal::name::FileName;
use chordal::peer::Peer;
use chordal::record::{ContentHash, Provider};
use chordal::wire::handshake::{Hello, PREAMBLE_BYTES, Params, Program, Purpose};
use chordal::wire::{Frame, Request, Response, codec};

use crate::process::{DEADLINE, Ring, eventually, free_address};

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
            Response::Failed { why } => Err(why),
            other => panic!("{other:?}"),
        }
    }
}

fn name(text: &str) -> FileName {
    FileName::new(text).expect("a plain name")
}

fn said(file: &str, sharer: SocketAddr, serial: u64) -> Provider {
    Provider {
        name: name(file),
        peer: Peer::new(sharer, 0),
        root: ContentHash([3; 32]),
        size: 1_000,
        serial,
        lifetime_s: PROVIDER_LIFETIME_S,
    }
}

/// The nodes of the ring that know a sharer of the name.
fn knowing(ring: &Ring, file: &str) -> BTreeSet<SocketAddr> {
    let knows = |node: SocketAddr| match Raw::greet(node, None)
        .ask(Request::Providers { name: name(file) })
    {
        Response::Providers { providers } => !providers.is_empty(),
        other => panic!("{other:?}"),
    };
    ring.nodes.iter().map(|node| node.address).filter(|node| knows(*node)).collect()
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
