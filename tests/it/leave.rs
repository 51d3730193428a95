//! The orderly end: a node that leaves stays until its files are where they belong,
//! says how far it is, and what it leaves behind when it is not let.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::dashboard::Dash;
use crate::process::{
    DEADLINE, NodeProcess, PROGRAM, Ring, chordal, command, describe, eventually, free_address,
    name_owned_by, order, random_file, ready_line, signal, text, with_sky_ship, within,
};
use crate::pty::Key;

/// Two nodes that keep one copy of each file, and a file on the second one, which
/// sends so fast at the most.
struct Pair {
    ring: Ring,
    home: TempDir,
    name: String,
}

impl Pair {
    fn new(bytes: usize, rate: &str, more: &[&str]) -> Pair {
        let stays = NodeProcess::start(&["--replicas", "1"]);
        let contact = stays.address.to_string();
        let all = [&["--replicas", "1", "--join", &contact, "--limit-up", rate], more].concat();
        let ring = Ring { nodes: vec![stays, NodeProcess::start(&all)] };
        ring.settled();
        let pair =
            Pair { home: TempDir::new().expect("a directory"), name: ring.owned_by(1), ring };
        random_file(&pair.file(), bytes, 1);
        pair.ring.nodes[1].run(&["put", text(&pair.file()), "--as", &pair.name]);
        pair
    }

    fn file(&self) -> std::path::PathBuf {
        self.home.path().join("file")
    }
}

impl Ring {
    /// A name that this node owns.
    fn owned_by(&self, index: usize) -> String {
        let others = self.nodes.iter().map(|node| node.address);
        let others: Vec<_> = others.filter(|at| *at != self.nodes[index].address).collect();
        name_owned_by(self.nodes[index].address, &others)
    }
}

/// Contents on the disk of a node.
fn blobs(node: &NodeProcess) -> usize {
    let entries = |path| fs::read_dir(path).into_iter().flatten().flatten();
    let below = entries(node.data_dir().join("blobs"));
    below.flat_map(|entry| entries(entry.path())).count()
}

#[test]
fn a_leave_lasts_as_long_as_bytes_move() {
    let Pair { mut ring, home, name } = Pair::new(11_500_000, "1M", &[]);
    let file = home.path().join("file");
    let mut leaver = ring.nodes.pop().expect("two nodes");
    let begun = Instant::now();
    leaver.terminate();
    let status = within(DEADLINE * 2, "it has handed its file over", || match leaver.has_ended() {
        Some(status) => Ok(status),
        None => Err(leaver.log()),
    });
    assert!(status.success(), "{status}; it said:\n{}", leaver.log());
    assert!(begun.elapsed() > Duration::from_secs(10), "the rate is as it was told to be");
    let said = leaver.log();
    assert!(said.contains("handing over: 1 file, ") && said.contains("MB/s, about "), "{said}");
    let there = ring.nodes[0].fetch(&name).expect("it was handed over");
    assert!(there == fs::read(file).expect("just written"));
}

/// A whole ring that stops has nobody to hand its files to, and what lies on its disks
/// is as safe as before.
#[test]
fn a_ring_that_stops_as_a_whole_ends_at_once_and_has_lost_nothing() {
    let mut ring = Ring::of(4);
    let home = TempDir::new().expect("a directory");
    let names: Vec<String> = (0..8).map(|number| format!("file {number}")).collect();
    for (name, seed) in names.iter().zip(1..) {
        random_file(&home.path().join(name), 20_000, seed);
        ring.nodes[0].run(&["put", text(&home.path().join(name))]);
        ring.secured(name);
    }
    let before: Vec<usize> = ring.nodes.iter().map(blobs).collect();
    let begun = Instant::now();
    ring.nodes.iter().for_each(NodeProcess::terminate);
    for node in &mut ring.nodes {
        let status = node.ended();
        let said = node.log();
        assert!(status.success(), "{status}; it said:\n{said}");
        if blobs(node) > 0 {
            let last = said.lines().last().unwrap_or_default();
            // The last one may have heard of the others before its own signal.
            let words = [
                "every other node left at the same time, and other disks have copies of all of",
                "no other node was there to take them",
            ];
            let why = words.iter().any(|words| last.contains(words));
            assert!(why && last.contains(text(&node.data_dir())), "{last}");
        }
    }
    assert!(begun.elapsed() < DEADLINE / 2, "nobody was waited for");
    let after: Vec<usize> = ring.nodes.iter().map(blobs).collect();
    assert_eq!(before.iter().sum::<usize>(), after.iter().sum::<usize>(), "{before:?} {after:?}");
    ring.nodes.iter_mut().for_each(|node| node.restart(&[]));
    ring.settled();
    for name in &names {
        let there = fs::read(home.path().join(name)).expect("just written");
        assert!(ring.nodes[3].fetch(name).expect("it is there") == there, "{name}");
    }
}

/// Where only one disk has a file, its node has left it behind.
#[test]
fn of_a_ring_that_stops_as_a_whole_the_node_with_the_only_copy_says_so() {
    let mut pair = Pair::new(3_000_000, "50k", &[]);
    pair.ring.nodes.iter().for_each(NodeProcess::terminate);
    let begun = Instant::now();
    let codes: Vec<_> = pair.ring.nodes.iter_mut().map(|node| node.ended().code()).collect();
    assert_eq!(codes, [Some(0), Some(1)]);
    assert!(begun.elapsed() < DEADLINE / 2, "nobody was waited for");
    let said = pair.ring.nodes[1].log();
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.contains("every other node left at the same time: no other copy is known"),
        "{last}"
    );
    assert!(last.contains(&pair.name) && last.contains("starting the node again"), "{last}");
}

#[test]
fn two_signals_at_once_are_one_and_a_later_one_ends_it_and_says_what_stays() {
    let mut pair = Pair::new(3_000_000, "50k", &[]);
    let leaver = &mut pair.ring.nodes[1];
    leaver.terminate();
    leaver.signal(Signal::INT);
    eventually("it says how far it is", || {
        let said = leaver.log();
        if said.contains("handing over: 1 file") { Ok(()) } else { Err(said) }
    });
    assert!(leaver.has_ended().is_none(), "it was one wish");
    leaver.terminate();
    let status = leaver.ended();
    let said = leaver.log();
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    let stays = format!("error: 1 file (3.0 MB) stays in {}", leaver.data_dir().display());
    assert!(last.starts_with(&stays), "{last}");
    assert!(
        last.contains(&format!("no other copy is known of 1 of them ('{}')", pair.name)),
        "{last}"
    );
    assert!(last.contains("starting the node again"), "{last}");
    leaver.restart(&[]);
    eventually("it is there again", || {
        let listed = pair.ring.nodes[0].run(&["ls", "--ring"]);
        if listed.contains(&pair.name) { Ok(()) } else { Err(listed) }
    });
}

#[test]
fn a_deadline_bounds_the_leave() {
    let mut pair = Pair::new(3_000_000, "50k", &["--leave-deadline", "1s"]);
    let leaver = &mut pair.ring.nodes[1];
    leaver.terminate();
    let status = leaver.ended();
    let said = leaver.log();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("not handed over"), "{said}");
}

#[test]
fn a_node_is_drained_from_outside_and_is_a_ring_of_its_own_then() {
    let (_dir, picture) = with_sky_ship();
    let ring = Ring::of(4);
    ring.nodes[0].run(&["put", text(&picture)]);
    let holder = ring.secured("SkyShip.jpg")[0];
    let place = ring.nodes.iter().position(|node| node.address == holder).expect("a member");
    let mut ring = ring;
    let left = ring.nodes.remove(place);
    let said = left.run(&["leave"]);
    assert_eq!(said.trim_end(), "left the ring; 1 file handed over");
    ring.settled();
    assert_eq!(ring.secured("SkyShip.jpg").len(), 3);
    let again = left.attempt(&["leave"]);
    assert!(describe(&again).contains("this node is on no ring; join takes it"), "{again:?}");

    // Nobody calls it dead, and nobody waits for it.
    for node in &ring.nodes {
        let heard = format!("({}) left", left.address);
        eventually("it is told that it left", || {
            let said = node.log();
            if said.contains(&heard) { Ok(()) } else { Err(said) }
        });
        assert!(!node.log().contains("does not answer: dropped"), "{}", node.log());
    }
    for wrong in ["SkyShpi.jpg", "xyzzy-1", "xyzzy-2", "xyzzy-3"] {
        let said = describe(&ring.nodes[0].attempt(&["get", wrong]));
        assert!(!said.contains("does not answer"), "{said}");
    }

    // It is a ring of its own, and others may join it.
    let put = left.run(&["put", text(&picture), "--as", "mine"]);
    assert!(put.contains("1/1 copies"), "{put}");
    assert!(left.run(&["ls", "--ring"]).contains("mine"));
    assert!(left.run(&["ring"]).contains(&left.address.to_string()));
    let newcomer = NodeProcess::join(&left);
    let both = Ring { nodes: vec![left, newcomer] };
    both.settled();
    assert!(both.nodes[1].fetch("mine").is_ok());
    ring.settled();
}

#[test]
fn a_put_whose_owner_is_leaving_goes_on_with_the_next_owner() {
    // The leave lasts, since there is a file to be handed over.
    let pair = Pair::new(3_000_000, "500k", &[]);
    let (stays, owner) = (&pair.ring.nodes[0], &pair.ring.nodes[1]);
    let mut names = (0..).map(|number| format!("{} {number}", pair.name));
    let name = names.find(|name| order(name, &pair.ring.nodes)[0] == owner.address);
    let name = name.expect("there is no end of names");
    let path = pair.home.path().join("other");
    random_file(&path, 2_000_000, 2);
    let put = ["put", text(&path), "--as", &name, "--limit-up", "1M", "--via"];
    let put = command(&put)
        .arg(owner.address.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    eventually("the owner receives it", || {
        let transfers = owner.run(&["transfers"]);
        if transfers.contains(&name) { Ok(()) } else { Err(transfers) }
    });
    owner.terminate();
    let output = put.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", describe(&output));
    assert!(stays.fetch(&name).expect("the next owner has it") == fs::read(&path).expect("it"));
}

#[test]
fn a_dashboard_shows_what_is_left_and_ends_at_the_second_wish() {
    let stays = NodeProcess::start(&["--replicas", "1"]);
    let address = free_address();
    let contact = stays.address.to_string();
    let more = ["--replicas", "1", "--join", &contact, "--limit-up", "50k", "--stabilize", "200ms"];
    let mut dash = Dash::start_at(address, (120, 35), &more);
    eventually("they are a ring", || stays.sees_ring_of(&[stays.address, address]));
    let file = dash.home.path().join("file");
    random_file(&file, 3_000_000, 1);
    let name = name_owned_by(address, &[stays.address]);
    dash.screen.line(&format!("put {} --as '{name}'", text(&file)));
    dash.screen.wait_for_text("1/1 copies");
    dash.screen.key(Key::Ctrl('c'));
    dash.screen.key(Key::Ctrl('c'));
    dash.screen.wait_for_text("handing over 1 file");
    dash.screen.wait_for_text("MB left");
    dash.screen.wait_for_text("about ");
    dash.screen.key(Key::Ctrl('c'));
    assert_eq!(dash.screen.exit_code(), 1);
    let shown = dash.screen.contents();
    assert!(shown.contains("error: 1 file (3.0 MB) stays in"), "{shown}");
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let home = TempDir::new().expect("a directory");
    let address = free_address();
    let line = format!(
        "trap '' HUP INT; exec {PROGRAM} {address} --headless --data-dir {}",
        text(&home.path().join("data"))
    );
    let mut node = Command::new("sh")
        .args(["-c", &line])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    assert!(ready_line(&mut node).is_ok());
    for ignored in [Signal::HUP, Signal::INT] {
        signal(node.id(), ignored);
    }
    // Signals come in the order of their numbers at the latest: TERM is heard, and
    // the node still answers before.
    let answer = chordal(&["info", "--via", &address.to_string()]);
    assert!(answer.status.success(), "{}", describe(&answer));
    assert!(node.try_wait().expect("a child").is_none());
    signal(node.id(), Signal::TERM);
    let status = eventually("TERM ends it", || match node.try_wait() {
        Ok(Some(status)) => Ok(status),
        other => Err(format!("{other:?}")),
    });
    assert!(status.success(), "{status}");
}
