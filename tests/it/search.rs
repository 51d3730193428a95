//! `find` over real rings: everything stored is found from everywhere, deaths
//! cost time and never an answer, linked peers are asked beside the ring, and
//! whoever floods a search is named.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use chordal::engine::Node;
use chordal::limits::{MAX_PAGE, MAX_PATTERN_BYTES, MAX_RESULTS};
use chordal::name::FileName;
use chordal::peer::Peer;
use chordal::record::ContentHash;
use chordal::view::{Command, Outcome, SearchRow};
use chordal::wire::handshake::{Hello, PREAMBLE_BYTES, Program, Purpose};
use chordal::wire::mesh::{FoundRow, SearchId, SearchMessage};
use chordal::wire::{Answer, Ask, Frame, MeshMessage, Message, Tell, codec};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{
    DEADLINE, NodeProcess, Ring, config, describe, eventually, free_address, random_file, text,
};

/// What `find` answers through a node.
fn find(via: &NodeProcess, pattern: &str) -> Result<Value, String> {
    via.json(&["find", pattern])
}

/// First names and sources of all contents in the JSON of `find`.
fn contents(found: &Value) -> Vec<(String, BTreeSet<String>)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    list(&found["contents"])
        .iter()
        .map(|content| {
            let sources = list(&content["sources"]).iter().map(text).collect();
            (text(&content["names"][0]), sources)
        })
        .collect()
}

fn names(found: &Value) -> Vec<String> {
    contents(found).into_iter().map(|(name, _)| name).collect()
}

/// Stores files with these names, all different, and waits for their copies.
fn store(ring: &Ring, names: &[&str]) {
    let dir = TempDir::new().expect("a temporary directory");
    for (seed, name) in (0..).zip(names) {
        let path = dir.path().join(name);
        random_file(&path, 3_000, seed);
        ring.nodes[0].run(&["put", text(&path)]);
    }
    for name in names {
        ring.secured(name);
    }
}

const FILES: [&str; 5] = ["SkyShip.jpg", "SkyPalace.jpg", "letter.txt", "notes.txt", "tower.png"];

#[test]
fn what_is_stored_anywhere_is_found_from_everywhere() {
    let ring = Ring::of(5);
    store(&ring, &FILES);
    for node in &ring.nodes {
        let found = find(node, "sky").expect("it is answered");
        assert_eq!(names(&found), ["SkyPalace.jpg", "SkyShip.jpg"]);
        assert_eq!((&found["answered"], &found["truncated"]), (&5.into(), &false.into()));
        assert_eq!(found["silent"], Value::Array(Vec::new()));
        for (name, sources) in contents(&found) {
            let holders: BTreeSet<String> =
                ring.secured(&name).iter().map(ToString::to_string).collect();
            assert_eq!(sources, holders, "{name}");
        }
        assert_eq!(found["contents"][0]["stored"], true);
        assert_eq!(found["contents"][0]["size"], 3_000);
    }
    for (pattern, expected) in [
        ("*.TXT", vec!["letter.txt", "notes.txt"]),
        ("?otes*", vec!["notes.txt"]),
        ("tower.png", vec!["tower.png"]),
        ("nothing", vec![]),
    ] {
        let found = find(&ring.nodes[2], pattern).expect("it is answered");
        assert_eq!(names(&found), expected, "{pattern}");
    }
    let all = find(&ring.nodes[4], "*").expect("it is answered");
    assert_eq!(names(&all).len(), FILES.len());
    ring.nodes[1].run(&["rm", "letter.txt"]);
    let found = find(&ring.nodes[3], "letter").expect("it is answered");
    assert_eq!(names(&found), Vec::<String>::new(), "what was removed is not found");
}

#[test]
fn what_is_shared_is_found_beside_what_is_stored_and_the_same_content_is_one() {
    let mut ring = Ring::of(3);
    let shared = TempDir::new().expect("a temporary directory");
    let stored = shared.path().join("original.txt");
    random_file(&stored, 3_000, 1);
    ring.nodes[0].run(&["put", text(&stored), "--as", "copy.txt"]);
    random_file(&shared.path().join("alone.txt"), 2_000, 2);
    let contact = ring.nodes[0].address.to_string();
    let sharer = NodeProcess::start(&["--join", &contact, "--share", text(shared.path())]);
    let its = sharer.address.to_string();
    ring.nodes.push(sharer);
    ring.settled();
    // The newcomer may yet take a stored copy over, as well.
    let found = eventually("both are found, with everybody who has them", || {
        let holders = ring.secured("copy.txt");
        let found = find(&ring.nodes[1], "*.txt")?;
        let both: BTreeSet<String> =
            holders.iter().map(ToString::to_string).chain([its.clone()]).collect();
        let expected = [
            ("alone.txt".to_owned(), BTreeSet::from([its.clone()])),
            ("copy.txt".to_owned(), both),
        ];
        if contents(&found) == expected { Ok(found) } else { Err(found.to_string()) }
    });
    let both = &found["contents"][1];
    assert_eq!(both["names"], serde_json::json!(["copy.txt", "original.txt"]));
    assert_eq!((&both["stored"], &found["contents"][0]["stored"]), (&true.into(), &false.into()));
}

#[test]
fn a_pattern_that_nobody_types_is_refused_with_its_length() {
    let node = NodeProcess::start(&[]);
    let refused = node.attempt(&["find", &"x".repeat(MAX_PATTERN_BYTES + 1)]);
    let said = describe(&refused);
    assert!(refused.status.code() == Some(1) && said.contains("257 bytes"), "{said}");
    assert!(find(&node, &"x".repeat(MAX_PATTERN_BYTES)).is_ok());
}

/// Nodes that know few others, so that a search has to be passed on.
fn deep_ring(nodes: usize) -> Ring {
    let narrow = ["--successors", "2"];
    let mut ring = Ring { nodes: vec![NodeProcess::start(&narrow)] };
    while ring.nodes.len() < nodes {
        let contact = ring.nodes[0].address.to_string();
        ring.nodes.push(NodeProcess::start(&[&narrow[..], &["--join", &contact]].concat()));
    }
    ring.settled();
    ring
}

#[test]
fn a_search_that_is_passed_on_reaches_everybody() {
    let ring = deep_ring(9);
    store(&ring, &FILES);
    // Fingers come one by one; a search is complete without them, only deeper.
    let found = eventually("the search takes no more than log N steps", || {
        let found = find(&ring.nodes[8], "*")?;
        assert_eq!(names(&found).len(), FILES.len(), "{found}");
        assert_eq!(found["answered"], 9, "{found}");
        match found["depth"].as_u64() {
            Some(depth) if depth <= 4 => Ok(found),
            _ => Err(found.to_string()),
        }
    });
    assert!(found["depth"].as_u64() >= Some(2), "nobody knows everybody: {found}");
}

/// A search with one node in trouble, begun at once: everything is found, and
/// everybody else answers.
fn nothing_is_missed(ring: &Ring, troubled: SocketAddr) {
    let begun = Instant::now();
    let found = find(&ring.nodes[0], "*").expect("it is answered");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(names(&found).len(), FILES.len(), "{found}");
    assert_eq!(found["answered"], ring.nodes.len(), "{found}");
    let silent: Vec<&str> =
        found["silent"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    // The ring may have noticed before the search did.
    assert!(silent.is_empty() || silent == [troubled.to_string()], "{found}");
}

#[test]
fn a_killed_node_in_the_middle_costs_no_answer() {
    let mut ring = deep_ring(8);
    store(&ring, &FILES);
    let crashed = ring.crash(4);
    nothing_is_missed(&ring, crashed.address);
}

#[test]
fn a_node_that_stands_still_costs_no_answer() {
    let mut ring = deep_ring(8);
    store(&ring, &FILES);
    let frozen = ring.nodes.remove(3);
    frozen.signal(Signal::STOP);
    nothing_is_missed(&ring, frozen.address);
    frozen.signal(Signal::CONT);
}

/// A node of this process.
async fn node(home: &TempDir) -> Node {
    Node::start(config(home.path())).await.expect("it starts")
}

async fn run(node: &Node, command: Command) -> Outcome {
    let (done, outcome) = tokio::sync::oneshot::channel();
    node.commands.send((command, done)).await.expect("the node runs");
    let outcome = tokio::time::timeout(DEADLINE, outcome).await.expect("in time");
    outcome.expect("an answer").expect("a success")
}

async fn search(node: &Node, pattern: &str) -> SearchRow {
    match run(node, Command::Find { pattern: pattern.to_owned() }).await {
        Outcome::Found(row) => row,
        other => panic!("find ended with {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn linked_peers_are_asked_also_when_they_are_not_on_the_ring() {
    let (with, without) = (NodeProcess::start(&[]), NodeProcess::start(&[]));
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("SkyShip.jpg");
    random_file(&path, 5_000, 1);
    with.run(&["put", text(&path)]);
    let home = TempDir::new().expect("a temporary directory");
    let node = node(&home).await;
    for peer in [&with, &without] {
        run(&node, Command::Connect { peer: peer.address.to_string() }).await;
    }
    let row = search(&node, "ship").await;
    let mut expected = [(with.address, Some(true)), (without.address, Some(false))];
    expected.sort_unstable();
    let asked: Vec<_> = row.peers.iter().map(|(peer, has)| (peer.address(), *has)).collect();
    assert_eq!(asked, expected);
    assert_eq!(row.contents.len(), 1, "{row:?}");
    let sources: Vec<_> = row.contents[0].sources.iter().map(Peer::address).collect();
    assert_eq!(sources, [with.address]);
    // This node and both peers, which are on no ring of its own: what one of them has is to be
    // taken from it.
    assert_eq!(row.answered, 3);
    assert!(row.contents[0].outside, "{row:?}");

    // The dashboard has the same, and the last search stays there.
    let mut snapshots = node.snapshots.clone();
    let shown = snapshots
        .wait_for(|snapshot| snapshot.search.as_ref().is_some_and(|search| !search.running));
    let shown = tokio::time::timeout(DEADLINE, shown).await.expect("in time").expect("it runs");
    assert_eq!(shown.search.as_deref(), Some(&row));
    drop(shown);
    let next = search(&node, "palace").await;
    assert!(next.number > row.number && next.contents.is_empty(), "{next:?}");
    node.kill().await;
}

/// A member of a ring of two that answers what keeps it there, and searches as
/// it likes.
struct Liar {
    stream: TcpStream,
    me: Peer,
    node: Peer,
}

impl Liar {
    /// Greets a node that is alone and becomes its neighbour.
    fn beside(node: &NodeProcess) -> Liar {
        let hello = crate::attack::stranger(Purpose::Client);
        let (_, theirs) = Liar::greet(node.address, &hello);
        let address = free_address();
        let hello = Hello {
            purpose: Purpose::Member,
            program: Program::Node,
            params: theirs.params,
            address: Some(address),
            ..hello
        };
        let (stream, _) = Liar::greet(node.address, &hello);
        let mut liar = Liar { stream, me: Peer::new(address, 0), node: Peer::new(node.address, 0) };
        let notify = Message::Tell(Tell::Notify);
        liar.say(&Frame::Core { from: 0, to: 0, message: notify }).expect("it is taken");
        liar
    }

    fn greet(node: SocketAddr, hello: &Hello) -> (TcpStream, Hello) {
        let mut stream = TcpStream::connect(node).expect("the node listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.write_all(&hello.to_bytes().expect("it fits")).expect("it is taken");
        stream.read_exact(&mut [0; PREAMBLE_BYTES]).expect("a preamble");
        let theirs = Liar::frame(&mut stream).expect("a hello");
        (stream, codec::decode(&theirs).expect("a hello"))
    }

    fn frame(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
        let mut prefix = [0; codec::PREFIX_BYTES];
        stream.read_exact(&mut prefix)?;
        let mut body = vec![0; codec::frame_length(prefix).expect("a length")];
        stream.read_exact(&mut body)?;
        Ok(body)
    }

    fn say(&mut self, frame: &Frame) -> io::Result<()> {
        self.stream.write_all(&codec::frame(frame).expect("it fits"))
    }

    fn search(&mut self, message: SearchMessage) -> io::Result<()> {
        self.say(&Frame::Mesh { from: 0, to: 0, message: MeshMessage::Search(message) })
    }

    /// Plays its part on the ring until the node closes; `asked` makes up the
    /// answer to a search.
    fn live(mut self, asked: impl FnMut(&mut Liar, SearchId) -> io::Result<()>) {
        // Whoever is busy with lies answers nothing, and may be taken for dead.
        if let Err(error) = self.part(asked) {
            assert_ne!(error.kind(), ErrorKind::WouldBlock, "it went quiet");
        }
    }

    fn part(
        &mut self,
        mut asked: impl FnMut(&mut Liar, SearchId) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            match codec::decode(&Liar::frame(&mut self.stream)?).expect("a frame") {
                Frame::Core { message: Message::Ask { nonce, ask }, .. } => {
                    let (predecessor, successors) = (Some(self.node), vec![self.node]);
                    let answer = match ask {
                        Ask::Ping => Answer::Pong,
                        Ask::Neighbours => Answer::Neighbours { predecessor, successors },
                        Ask::Next { .. } => {
                            Answer::Next { owner: true, predecessor, successors, closer: vec![] }
                        }
                        Ask::Inventory { .. } => {
                            Answer::Inventory { same: true, records: 0, branches: Vec::new() }
                        }
                        _ => Answer::NotMember,
                    };
                    let message = Message::Answer { nonce, answer };
                    self.say(&Frame::Core { from: 0, to: 0, message })?;
                }
                Frame::Mesh {
                    message: MeshMessage::Search(SearchMessage::Ask { search, .. }),
                    ..
                } => {
                    asked(self, search)?;
                }
                Frame::Bye => return Ok(()),
                _ => {}
            }
        }
    }
}

fn row(node: Peer, name: &str) -> FoundRow {
    let (root, size) = (ContentHash([7; 32]), 1);
    FoundRow { node, name: FileName::new(name).expect("a name"), root, size, stored: false }
}

/// Waits until the node has taken the liar in.
fn taken_in(node: &NodeProcess, liar: Peer) {
    eventually("the liar is a neighbour", || {
        let info = node.json(&["info"])?;
        let successor = info["successors"][0]["address"].as_str().unwrap_or_default();
        if successor == liar.address().to_string() { Ok(()) } else { Err(info.to_string()) }
    });
}

#[test]
fn a_million_results_of_one_member_are_a_line_in_the_log() {
    let mut node = NodeProcess::start(&[]);
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("mine.txt");
    random_file(&path, 100, 1);
    node.run(&["put", text(&path)]);
    let liar = Liar::beside(&node);
    let me = liar.me;
    let life = std::thread::spawn(move || {
        liar.live(|liar, search| {
            liar.search(SearchMessage::Taken { search })?;
            let mut name = 0;
            for _ in 0..1_000_000 / MAX_PAGE {
                let page = (0..MAX_PAGE).map(|_| {
                    name += 1;
                    row(liar.me, &format!("txt-{name}"))
                });
                let rows = page.collect();
                liar.search(SearchMessage::Found { search, rows })?;
            }
            let (answered, depth, silent) = (u32::MAX, u8::MAX, vec![liar.node]);
            liar.search(SearchMessage::Done { search, answered, depth, silent, truncated: false })
        });
    });
    taken_in(&node, me);
    let found = find(&node, "txt").expect("it is answered");
    assert!(names(&found).contains(&"mine.txt".to_owned()), "{found}");
    assert_eq!(found["truncated"], true);
    let names = found["contents"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|content| content["names"].as_array().map_or(0, Vec::len));
    assert!(names.sum::<usize>() <= MAX_RESULTS);
    eventually("it is named", || {
        let log = node.log();
        let line = format!("{me} sent more results of a search");
        if log.matches(&line).count() == 1 { Ok(()) } else { Err(log) }
    });
    // The node serves as before.
    assert_eq!(node.fetch("mine.txt").expect("it is there").len(), 100);
    node.kill();
    life.join().expect("it played its part");
}

#[test]
fn results_that_nobody_asked_for_and_questions_in_circles_are_ignored() {
    let mut node = NodeProcess::start(&[]);
    let mut liar = Liar::beside(&node);
    let (me, other) = (liar.me, liar.node);
    let (sender, asked) = std::sync::mpsc::channel();
    // Of a search that there is not, and of this node's own without its asking.
    for origin in [me, other] {
        let search = SearchId { origin, number: 9 };
        let rows = vec![row(me, "unasked")];
        liar.search(SearchMessage::Found { search, rows }).expect("it is taken");
        let message = SearchMessage::Done {
            search,
            answered: 1,
            depth: 1,
            silent: Vec::new(),
            truncated: false,
        };
        liar.search(message).expect("it is taken");
    }
    // Asked by the liar in the node's own name, and beyond its own place.
    let space = chordal::id::Space::default();
    for (origin, until, depth) in [(other, me, 1), (other, other, 2), (me, other, 1), (me, me, 0)] {
        let (search, pattern) = (SearchId { origin, number: 10 }, String::new());
        let until = until.id(space);
        liar.search(SearchMessage::Ask { search, pattern, until, depth }).expect("it is taken");
    }
    let life = std::thread::spawn(move || {
        liar.live(|liar, search| {
            let rows =
                vec![row(liar.node, "not-its-own"), row(liar.me, "another"), row(liar.me, "x")];
            liar.search(SearchMessage::Found { search, rows })?;
            let _ = sender.send(search);
            let (answered, depth, silent) = (1, 1, Vec::new());
            liar.search(SearchMessage::Done { search, answered, depth, silent, truncated: false })
        });
    });
    taken_in(&node, me);
    let found = find(&node, "x").expect("it is answered");
    assert_eq!((names(&found), &found["answered"]), (vec!["x".to_owned()], &2.into()), "{found}");
    let search = asked.recv_timeout(DEADLINE).expect("the liar was asked");
    assert_eq!(search.origin, other);
    assert!(asked.try_recv().is_err(), "the liar was asked more than once");
    assert!(node.log().contains(&format!("{me} sent results of a search")), "{}", node.log());
    node.kill();
    life.join().expect("it played its part");
}
