//! The address that a node advertises must lead to it: a node with somebody
//! else's address, or with one at which nobody is, joins no ring, by whatever way.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};

use chordal::engine::{Config, Node};
use chordal::view::{Command, Outcome};
use chordal::wire::handshake::{Hello, Params, Program, Purpose, Reached, Token};
use chordal::wire::{Frame, Response};
use tempfile::TempDir;

use crate::attack::{Raw, stranger};
use crate::process::{NodeProcess, Ring, config, eventually, free_address, text, with_sky_ship};
use crate::registry::RegistryProcess;

/// Waits until a node has told why it does not join.
fn tells(node: &NodeProcess, why: &str) {
    eventually("the node says why it does not join", || match node.log() {
        log if log.contains(why) => Ok(()),
        log => Err(log),
    });
}

/// A ring of three, and that it is still one after somebody tried to enter.
struct Stormed {
    ring: Ring,
    victim: SocketAddr,
}

impl Stormed {
    fn new() -> Stormed {
        let ring = Ring::of(3);
        let victim = ring.nodes[1].address;
        Stormed { ring, victim }
    }

    /// Nobody has noticed anything, and a put is acknowledged by all three.
    fn is_whole(&self) {
        let (_dir, path) = with_sky_ship();
        for node in &self.ring.nodes {
            let all: Vec<SocketAddr> = self.ring.nodes.iter().map(|node| node.address).collect();
            node.sees_ring_of(&all).expect("a healthy ring of three");
        }
        let put = self.ring.nodes[1].run(&["put", text(&path)]);
        assert!(put.contains("3/3"), "{put}");
        self.ring.nodes[1].run(&["rm", "SkyShip.jpg"]);
    }
}

#[test]
fn a_node_with_the_address_of_a_living_member_stays_out_and_says_who_is_there() {
    let stormed = Stormed::new();
    let contact = stormed.ring.nodes[0].address.to_string();
    let listen = free_address();
    let id = &stormed.ring.nodes[1].id;

    // By --join.
    let mut impostor = NodeProcess::start_behind(listen, stormed.victim, &["--join", &contact]);
    tells(&impostor, &format!("{}, leads to another node, {id} on ring 'chordal'", stormed.victim));
    stormed.is_whole();
    assert!(!impostor.log().contains("joined the ring"), "{}", impostor.log());

    // By members that it remembers, as in a directory that was copied whole.
    impostor.kill();
    let victims = stormed.ring.nodes[1].data_dir().join("peers.toml");
    let own = impostor.data_dir().join("peers.toml");
    eventually("the member has remembered others", || {
        std::fs::copy(&victims, &own).map_err(|error| error.to_string())
    });
    let _ = std::fs::remove_file(impostor.data_dir().join("../stderr"));
    impostor.restart(&[]);
    tells(&impostor, "leads to another node");
    stormed.is_whole();
    assert!(!impostor.log().contains("joined the ring"), "{}", impostor.log());
}

#[test]
fn a_node_with_the_address_of_another_is_kept_out_by_every_command() {
    let stormed = Stormed::new();
    let home = TempDir::new().expect("a temporary directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut settings = config(home.path());
    settings.advertise = Some(stormed.victim);
    let node = runtime.block_on(Node::start(settings)).expect("it starts");
    let run = |command| {
        runtime.block_on(async {
            let (done, outcome) = tokio::sync::oneshot::channel();
            node.commands.send((command, done)).await.expect("the node runs");
            outcome.await.expect("an answer").map_err(|failed| failed.to_string())
        })
    };
    // Through others, through the very member, and as a link.
    for at in [0, 2, 1] {
        let contact = stormed.ring.nodes[at].address.to_string();
        let refused = run(Command::Join { contact }).expect_err("it must not join");
        assert!(refused.contains("leads to another node"), "{refused}");
        assert!(refused.contains("--advertise"), "{refused}");
    }
    for at in [0, 1] {
        let peer = stormed.ring.nodes[at].address.to_string();
        let refused = run(Command::Connect { peer }).expect_err("no link");
        assert!(refused.contains("leads to another node"), "{refused}");
    }
    stormed.is_whole();
    assert!(node.snapshots.borrow().successors.is_empty(), "it is alone");
    runtime.block_on(node.kill());
}

/// A registry lists whoever is at the address. A node with a copied one would be taken
/// for the other, and learn nothing of it where that one is the only node listed.
#[test]
fn a_node_with_the_address_of_another_finds_no_ring_through_a_registry() {
    let registry = RegistryProcess::start(&[]);
    let seed = registry.address.to_string();
    let member = NodeProcess::start(&["--seed", &seed]);
    registry.lists(&[member.address]);
    let told = format!(
        "registry {seed}: the address of this node, {}, leads to another node, {} on ring \
         'chordal'",
        member.address, member.id
    );
    let more = ["--seed", &seed];
    let mut impostor = NodeProcess::start_behind(free_address(), member.address, &more);
    tells(&impostor, &told);
    assert!(impostor.log().contains("start this node with an address of its own (--advertise)"));
    member.sees_ring_of(&[member.address]).expect("nobody has joined");

    // Nor through another member that is listed, and its end changes nothing there.
    let other = NodeProcess::start(&more);
    let ring = Ring { nodes: vec![member, other] };
    ring.settled();
    let all: Vec<SocketAddr> = ring.nodes.iter().map(|node| node.address).collect();
    impostor.terminate();
    assert!(impostor.ended().success(), "{}", impostor.log());
    impostor.restart(&[]);
    tells(&impostor, &told);
    impostor.terminate();
    assert!(impostor.ended().success(), "{}", impostor.log());
    assert!(!impostor.log().contains("joined"), "{}", impostor.log());
    registry.lists(&all);
    ring.nodes[0].sees_ring_of(&all).expect("a healthy ring of two");
    assert!(!registry.log().contains(" left"), "{}", registry.log());
}

#[test]
fn an_address_that_leads_to_nobody_or_another_program_is_told_with_what_helps() {
    let first = NodeProcess::start(&[]);
    let contact = first.address.to_string();
    let nobody = NodeProcess::start_behind(free_address(), free_address(), &["--join", &contact]);
    tells(&nobody, "leads to no node: connection refused");

    let web = TcpListener::bind(free_address()).expect("a free address");
    let address = web.local_addr().expect("an address");
    let served = std::thread::spawn(move || {
        let (mut stream, _) = web.accept().expect("a visitor");
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let other = NodeProcess::start_behind(free_address(), address, &["--join", &contact]);
    tells(&other, "leads to another program");
    served.join().expect("it served");
    first.sees_ring_of(&[first.address]).expect("nobody has joined");
}

#[test]
fn two_nodes_that_join_each_other_at_once_are_one_ring() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let homes = [(); 2].map(|()| TempDir::new().expect("a temporary directory"));
    let [one, other] = [0, 1].map(|at: usize| {
        runtime.block_on(Node::start(config(homes[at].path()))).expect("it starts")
    });
    let join = |node: &Node, contact: &Node| {
        let (commands, contact) = (node.commands.clone(), contact.address.to_string());
        async move {
            let (done, outcome) = tokio::sync::oneshot::channel();
            commands.send((Command::Join { contact }, done)).await.expect("the node runs");
            outcome.await.expect("an answer")
        }
    };
    let (first, second) =
        runtime.block_on(async { tokio::join!(join(&one, &other), join(&other, &one)) });
    let joined = |end: &Result<Outcome, _>| matches!(end, Ok(Outcome::Joined { .. }));
    assert!(joined(&first) || joined(&second), "{first:?}, {second:?}");
    for node in [&one, &other] {
        let mut snapshots = node.snapshots.clone();
        let pair = async {
            let seen = snapshots.wait_for(|snapshot| snapshot.successors.len() == 1);
            tokio::time::timeout(crate::process::DEADLINE, seen).await.expect("in time").is_ok()
        };
        assert!(runtime.block_on(pair), "the node runs");
    }
    for node in [one, other] {
        runtime.block_on(node.kill());
    }
}

/// A greeting that asks for an address to be verified, on a ring of this name.
fn verify(address: SocketAddr, ring: &str, token: u128) -> Hello {
    let params = Config::at(address).params;
    Hello {
        program: Program::Node,
        params: Some(Params { ring: ring.to_owned(), ..params }),
        address: Some(address),
        ..stranger(Purpose::Verify(Token(token)))
    }
}

#[test]
fn a_node_is_no_scanner_of_ports_for_others() {
    let node = NodeProcess::start(&[]);
    let ask = |address, token| {
        let (mut raw, theirs) = Raw::greet(node.address, &verify(address, "chordal", token));
        assert_eq!(theirs.refusal, None);
        match raw.hear::<Frame>().expect("an answer") {
            Frame::Response { response: Response::Reached(reached), .. } => reached,
            other => panic!("{other:?}"),
        }
    };
    // Of what is no node, only that it is none.
    let mail = TcpListener::bind(free_address()).expect("a free address");
    let address = mail.local_addr().expect("an address");
    let served = std::thread::spawn(move || {
        let (mut stream, _) = mail.accept().expect("a visitor");
        let _ = stream.write_all(b"220 mail.example.org ESMTP secret 1.2.3\r\n");
    });
    assert_eq!(ask(address, 1), Reached::Stranger);
    served.join().expect("it served");
    // For nobody on another ring, and for nobody without an address.
    for hello in [
        verify(free_address(), "elsewhere", 2),
        Hello { address: None, ..verify(free_address(), "chordal", 2) },
    ] {
        let (raw, theirs) = Raw::greet(node.address, &hello);
        assert!(theirs.refusal.is_some(), "{theirs:?}");
        raw.closed();
    }
    // A room full of nodes may join at once, and then it is enough for a while.
    let nobody = free_address();
    let answers: Vec<Reached> = (0..400).map(|token| ask(nobody, token)).collect();
    assert_eq!(answers[0], Reached::Refused);
    let busy = answers.iter().filter(|reached| **reached == Reached::Busy).count();
    assert!((20..=150).contains(&busy), "{busy} of 400 were turned away");
}
