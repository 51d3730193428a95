//! Links between peers, and what is said over them: real nodes, most of them
//! in processes of their own, some in this one so that they can be told to
//! connect.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use chordal::engine::{Config, Node, TransferLimits, client};
use chordal::peer::Peer;
use chordal::view::{Command, Level, LinkKind, Liveness, Outcome, PeerRow, UiEvent};
use chordal::wire::handshake::{Hello, PREAMBLE_BYTES, Params, Program, Purpose};
use chordal::wire::mesh::{Gossip, GossipBody, LinkMessage};
use chordal::wire::{Frame, MeshMessage, codec};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::process::{
    DEADLINE, NodeProcess, Ring, config, describe, eventually, free_address, within,
};

/// A silent peer is dead after four beats of two seconds and the pause before
/// the first; the machine may be busy.
const SILENCE: Duration = Duration::from_secs(40);

/// What `peers` says through the node at an address.
fn peers(via: SocketAddr) -> Result<Vec<PeerRow>, String> {
    let options = client::Options {
        via,
        download_dir: std::env::temp_dir(),
        transfers: TransferLimits::default(),
        wait: Duration::ZERO,
        interrupted: CancellationToken::new(),
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| error.to_string())?;
    match runtime.block_on(client::run(&options, Command::Peers, |_| {})) {
        Ok(Outcome::Peers { peers, .. }) => Ok(peers),
        other => Err(format!("{other:?}")),
    }
}

/// Waits until a node has a link with every one of these and with nobody else.
fn linked_with(node: SocketAddr, expected: &[SocketAddr]) -> Vec<PeerRow> {
    let mut expected = expected.to_vec();
    expected.sort();
    within(SILENCE, "the node's links are these", || {
        let rows = peers(node)?;
        let linked: Vec<SocketAddr> =
            rows.iter().filter(|row| row.link.is_some()).map(|row| row.peer.address()).collect();
        if linked == expected { Ok(rows) } else { Err(format!("{node} has {rows:?}")) }
    })
}

/// How often a line with this text stands in a node's log.
fn told(node: &NodeProcess, text: &str) -> usize {
    node.log().lines().filter(|line| line.contains(text)).count()
}

/// A node in this process.
struct Here {
    node: Node,
    _home: TempDir,
}

impl Here {
    async fn start() -> Here {
        Here::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Here {
        let home = TempDir::new().expect("a temporary directory");
        let mut config = config(home.path());
        change(&mut config);
        Here { node: Node::start(config).await.expect("it starts"), _home: home }
    }

    async fn run(&self, command: Command) -> Result<Outcome, String> {
        let (done, outcome) = tokio::sync::oneshot::channel();
        self.node.commands.send((command, done)).await.expect("the node runs");
        let outcome = tokio::time::timeout(DEADLINE, outcome).await.expect("in time");
        outcome.expect("an answer").map_err(|failed| failed.to_string())
    }

    async fn connect(&self, peer: &str) -> Result<(Peer, bool), String> {
        match self.run(Command::Connect { peer: peer.to_owned() }).await? {
            Outcome::Connected { peer, already } => Ok((peer, already)),
            other => panic!("connect ended with {other:?}"),
        }
    }

    /// Waits for a snapshot whose links are as they should be.
    async fn sees(&self, what: &str, mut right: impl FnMut(&[PeerRow]) -> bool) -> Vec<PeerRow> {
        let mut snapshots = self.node.snapshots.clone();
        let waiting = snapshots.wait_for(|snapshot| right(&snapshot.peers));
        match tokio::time::timeout(SILENCE, waiting).await {
            Ok(snapshot) => snapshot.expect("the node runs").peers.to_vec(),
            Err(late) => panic!("{late}: {what}; {:?}", self.node.snapshots.borrow().peers),
        }
    }

    /// Waits for an event.
    async fn hears(&mut self, text: &str) -> UiEvent {
        let waiting = async {
            loop {
                let event = self.node.events.recv().await.expect("the node runs");
                if event.text.contains(text) {
                    return event;
                }
            }
        };
        tokio::time::timeout(SILENCE, waiting).await.unwrap_or_else(|_| panic!("'{text}' not told"))
    }
}

#[test]
fn what_is_said_once_is_heard_once_by_each_of_eight_nodes() {
    let ring = Ring::of(8);
    for node in &ring.nodes {
        eventually("every node has links", || match peers(node.address)? {
            rows if rows.len() >= 4 => Ok(()),
            rows => Err(format!("{} has {rows:?}", node.address)),
        });
    }
    let said = format!("{} says: the backup is done", ring.nodes[3].address);
    ring.nodes[3].run(&["say", "the", "backup", "is", "done"]);
    for node in &ring.nodes {
        eventually("every node has heard it", || match told(node, &said) {
            1 => Ok(()),
            times => Err(format!("{} heard it {times} times", node.address)),
        });
    }
    // A second sentence travels the same ways: when it is everywhere, a copy of
    // the first that was still under way would have come as well.
    ring.nodes[5].run(&["say", "thank you"]);
    for node in &ring.nodes {
        eventually("every node has heard the answer", || match told(node, "thank you") {
            1 => Ok(()),
            times => Err(format!("{} heard it {times} times", node.address)),
        });
        assert_eq!(told(node, "the backup is done"), 1, "at {}", node.address);
    }
}

#[test]
fn a_killed_peer_goes_and_a_stopped_one_too_and_others_take_their_places() {
    let mut ring = Ring::of(7);
    let watcher = ring.nodes[0].address;
    let all: Vec<SocketAddr> = ring.nodes.iter().map(|node| node.address).collect();
    let random = |rows: &[PeerRow]| {
        rows.iter().filter(|row| row.link == Some(LinkKind::Random)).map(|row| row.peer).collect()
    };
    let before: Vec<Peer> = eventually("four random links", || {
        let rows = peers(watcher)?;
        let random: Vec<Peer> = random(&rows);
        // Those that it would have drawn may have been faster.
        if random.len() == 4 || rows.len() == 6 { Ok(random) } else { Err(format!("{rows:?}")) }
    });
    let chosen = before.first().map_or(all[1], Peer::address);
    let victim = ring.nodes.iter().position(|node| node.address == chosen).expect("a node");
    ring.crash(victim);
    let living = |rows: &[PeerRow], dead: SocketAddr| {
        rows.iter().all(|row| row.peer.address() != dead || row.link.is_none())
    };
    eventually("a killed peer is noticed by its connection", || {
        let rows = peers(watcher)?;
        if living(&rows, chosen) { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    eventually("it is told", || {
        match told(&ring.nodes[0], &format!("{chosen} cannot be reached")) {
            0 => Err(ring.nodes[0].log()),
            _ => Ok(()),
        }
    });

    // A stopped process keeps its connections; only its silence tells.
    let stopped = &ring.nodes[1];
    eventually("it is linked with all that are left", || {
        let rows = peers(watcher)?;
        if rows.len() == 5 { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    stopped.signal(Signal::STOP);
    within(SILENCE, "a silent peer is suspected, then dropped", || {
        let rows = peers(watcher)?;
        if living(&rows, stopped.address) { Ok(()) } else { Err(format!("{rows:?}")) }
    });
    let missed = format!("{} missed", stopped.address);
    assert!(told(&ring.nodes[0], &missed) > 0, "{}", ring.nodes[0].log());
    stopped.signal(Signal::CONT);
    // It comes back by itself: it has links to draw, and so have the others.
    within(SILENCE, "it is linked again", || {
        let rows = peers(stopped.address)?;
        if rows.is_empty() { Err("no links".to_owned()) } else { Ok(()) }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_disconnect_say_what_they_did_and_why_not() {
    let mut here = Here::start().await;
    let there = NodeProcess::start(&[]);
    let (address, me) = (there.address.to_string(), here.node.address);

    let nobody = free_address().to_string();
    let why = here.connect(&nobody).await.expect_err("nobody is there");
    assert!(why.starts_with(&format!("{nobody} is inactive: ")), "{why}");
    assert!(why.ends_with("; is a node running there?"), "{why}");
    let why = here.connect(&me.to_string()).await.expect_err("it is itself");
    assert!(why.contains("this node itself"), "{why}");
    let web = TcpListener::bind(free_address()).expect("a free address");
    let address_of_web = web.local_addr().expect("an address").to_string();
    let served = std::thread::spawn(move || {
        let (mut stream, _) = web.accept().expect("a visitor");
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let why = here.connect(&address_of_web).await.expect_err("a web server is there");
    assert!(why.starts_with(&format!("{address_of_web} is not chordal: ")), "{why}");
    served.join().expect("it served");
    let other = NodeProcess::start(&["--ring", "elsewhere"]);
    let why = here.connect(&other.address.to_string()).await.expect_err("another ring");
    assert!(why.contains("another ring") && why.contains("elsewhere"), "{why}");
    assert!(why.contains(&format!("join {}", other.address)), "{why}");
    let why = here.run(Command::Disconnect { peer: address.clone() }).await;
    let why = why.expect_err("there is no link");
    assert!(why.contains("is not connected") && why.contains("peers"), "{why}");
    let why = here.run(Command::Say { text: "anybody?".into() }).await.expect_err("alone");
    assert!(why.contains("connect"), "{why}");

    // Two lonely nodes, each on a ring of its own.
    let (peer, already) = here.connect(&address).await.expect("it is there");
    assert_eq!((peer.address(), already), (there.address, false));
    assert_eq!(here.connect(&address).await.map(|(_, already)| already), Ok(true));
    assert_eq!(here.hears("connected to").await.level, Level::Info);
    let rows = here.sees(
        "its round trip",
        |rows| matches!(rows, [row] if row.rtt_us.is_some() && row.shared == Some(0)),
    );
    assert_eq!(rows.await[0].link, Some(LinkKind::Chosen));
    tokio::task::block_in_place(|| {
        let rows = linked_with(there.address, &[me]);
        assert_eq!(rows[0].link, Some(LinkKind::Incoming));
        // Gossip goes both ways.
        there.run(&["say", "hello from there"]);
    });
    here.hears(&format!("{} says: hello from there", there.address)).await;
    let said = here.run(Command::Say { text: "hello from here".into() }).await;
    assert!(matches!(said, Ok(Outcome::Said { links: 1 })), "{said:?}");
    here.hears(&format!("{me} says: hello from here")).await;
    tokio::task::block_in_place(|| {
        let heard = format!("{me} says: hello from here");
        eventually("it is heard there", || match told(&there, &heard) {
            1 => Ok(()),
            times => Err(format!("{times} times")),
        });
    });

    let ended = here.run(Command::Disconnect { peer: address }).await;
    assert!(matches!(ended, Ok(Outcome::Disconnected { .. })), "{ended:?}");
    tokio::task::block_in_place(|| linked_with(there.address, &[]));
    here.sees("no links", <[PeerRow]>::is_empty).await;
    here.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_leaves_in_order_closes_its_links_at_once() {
    let mut here = Here::start().await;
    let there = Here::start().await;
    let address = there.node.address;
    here.connect(&address.to_string()).await.expect("it is there");
    there.node.shutdown(Duration::from_secs(5)).await;
    here.hears(&format!("{address} leaves")).await;
    here.hears(&format!("{address} closed the link")).await;
    here.sees("no links", <[PeerRow]>::is_empty).await;
    here.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_peer_may_be_connected_again_as_soon_as_it_is_back() {
    let mut here = Here::start().await;
    let mut there = NodeProcess::start(&[]);
    here.connect(&there.address.to_string()).await.expect("it is there");
    there.kill();
    here.hears("the link is gone").await;
    there.restart(&[]);
    assert_eq!(
        here.connect(&there.address.to_string()).await.map(|(_, already)| already),
        Ok(false)
    );
    here.sees("it lives", |rows| matches!(rows, [row] if row.liveness == Liveness::Up)).await;
    here.node.kill().await;
}

/// A member that speaks for itself, linked with a node.
struct Member(TcpStream);

impl Member {
    /// Greets a node as a member at this address and opens a link.
    fn linked(node: SocketAddr, me: SocketAddr) -> Member {
        let client = crate::attack::stranger(Purpose::Client);
        let params = Member::greet(node, &client).1.params.expect("a node names its ring");
        let hello = Member::hello(params, me);
        let mut member = Member::greet(node, &hello).0;
        member.say(MeshMessage::Link(LinkMessage::Open { chosen: true }));
        member.hear(|message| matches!(message, MeshMessage::Link(LinkMessage::Accept)));
        member
    }

    fn hello(params: Params, me: SocketAddr) -> Hello {
        Hello {
            purpose: Purpose::Member,
            program: Program::Node,
            params: Some(params),
            address: Some(me),
            index: 0,
            version: "0".to_owned(),
            refusal: None,
        }
    }

    fn greet(node: SocketAddr, hello: &Hello) -> (Member, Hello) {
        let mut stream = TcpStream::connect(node).expect("the node listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.write_all(&hello.to_bytes().expect("it fits")).expect("it is taken");
        stream.read_exact(&mut [0; PREAMBLE_BYTES]).expect("a preamble");
        let mut member = Member(stream);
        let theirs = codec::decode(&member.frame()).expect("a hello");
        (member, theirs)
    }

    fn frame(&mut self) -> Vec<u8> {
        let mut prefix = [0; codec::PREFIX_BYTES];
        self.0.read_exact(&mut prefix).expect("a frame");
        let mut body = vec![0; codec::frame_length(prefix).expect("a length")];
        self.0.read_exact(&mut body).expect("a frame");
        body
    }

    fn say(&mut self, message: MeshMessage) {
        let frame = codec::frame(&Frame::Mesh { from: 0, to: 0, message }).expect("it fits");
        self.0.write_all(&frame).expect("it is taken");
    }

    /// Waits for a message of the node's mesh.
    fn hear(&mut self, mut right: impl FnMut(&MeshMessage) -> bool) -> MeshMessage {
        loop {
            if let Frame::Mesh { message, .. } = codec::decode(&self.frame()).expect("a frame")
                && right(&message)
            {
                return message;
            }
        }
    }

    fn gossip(&mut self, origin: Peer, id: u128, text: &str) {
        let body = GossipBody::Say(text.to_owned());
        self.say(MeshMessage::Gossip(Gossip { id, origin, unix_ms: 0, hops: 9, body }));
    }
}

#[test]
fn a_peer_that_floods_gossip_is_named_and_the_rest_is_dropped() {
    let node = NodeProcess::start(&[]);
    let address = free_address();
    let mut flooder = Member::linked(node.address, address);
    let me = Peer::new(address, 0);
    for id in 0..2_000 {
        flooder.gossip(me, id, "buy this");
    }
    // With other names, and with words for a terminal.
    for id in 2_000..4_000 {
        let port = 10_000 + id as u16;
        flooder.gossip(Peer::new(([127, 0, 0, 1], port).into(), 0), id, "\u{1b}[2J and this");
    }
    flooder.gossip(me, 5_000, &"long ".repeat(1_000));
    flooder.gossip(me, 5_001, "  ");
    let log = eventually("the flooder is named", || {
        let log = node.log();
        let named = [format!("{address} says more"), format!("{address} passes on more")];
        if named.iter().all(|text| log.contains(text)) { Ok(log) } else { Err(log) }
    });
    let heard = log.lines().filter(|line| line.contains(" says: ")).count();
    assert!(heard < 200, "{heard} of 4000 were shown");
    assert!(!log.contains('\u{1b}'), "what a peer says is cleaned");
    // The node is as good as before, and what others say is heard.
    let output = node.attempt(&["say", "still here"]);
    assert!(output.status.success(), "{}", describe(&output));
    let heard = |message: &MeshMessage| {
        matches!(message, MeshMessage::Gossip(Gossip { body: GossipBody::Say(text), .. })
            if text == "still here")
    };
    flooder.hear(heard);
}

#[test]
fn strangers_without_a_link_are_not_listened_to() {
    let node = NodeProcess::start(&[]);
    let address = free_address();
    let mut member = Member::linked(node.address, address);
    let me = Peer::new(address, 0);
    member.say(MeshMessage::Link(LinkMessage::Close));
    member.gossip(me, 1, "from a stranger");
    // A beat for a link that is not there: the answer comes after the gossip
    // was looked at.
    member.say(MeshMessage::Link(LinkMessage::Beat { number: 1, shared: 0 }));
    member.hear(|message| matches!(message, MeshMessage::Link(LinkMessage::Close)));
    member.say(MeshMessage::Link(LinkMessage::Open { chosen: false }));
    member.hear(|message| matches!(message, MeshMessage::Link(LinkMessage::Accept)));
    member.gossip(me, 2, "from a peer");
    eventually("a linked peer is heard", || match told(&node, "says: from a peer") {
        1 => Ok(()),
        _ => Err(node.log()),
    });
    assert_eq!(told(&node, "from a stranger"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connected_peers_are_linked_again_after_a_restart_of_either_side() {
    let home = TempDir::new().expect("a temporary directory");
    let settings = config(home.path());
    let me = settings.listen;
    let known = || std::fs::read_to_string(home.path().join("data/peers.toml"));
    let start = async || Node::start(settings.clone()).await.expect("it starts");
    let chosen = |rows: &[PeerRow]| rows.iter().any(|row| row.link == Some(LinkKind::Chosen));
    let mut there = NodeProcess::start(&[]);
    let address = there.address.to_string();

    // No ring anywhere: two nodes that are alone.
    let mut here = Here { node: start().await, _home: TempDir::new().expect("a directory") };
    here.connect(&address).await.expect("it is there");
    assert!(known().is_ok_and(|known| known.contains(&address)), "written before the answer");
    here.node.kill().await;

    here = Here { node: start().await, _home: TempDir::new().expect("a directory") };
    here.sees("the link that was chosen before", chosen).await;
    there.kill();
    here.sees("the peer is gone", |rows| !chosen(rows)).await;
    there.restart(&[]);
    here.sees("the peer is linked again", chosen).await;
    let at = there.address;
    tokio::task::spawn_blocking(move || linked_with(at, &[me])).await.expect("both ends");

    let ended = here.run(Command::Disconnect { peer: address.clone() }).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert!(known().is_ok_and(|known| !known.contains(&address)), "forgotten");
    here.node.kill().await;
    here = Here { node: start().await, _home: TempDir::new().expect("a directory") };
    tokio::task::spawn_blocking(move || linked_with(at, &[])).await.expect("no links");
    here.node.kill().await;
}
