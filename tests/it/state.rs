//! What is said of a ring is true: the light, copies, and what a node acknowledges
//! that is cut off from the others.

use std::process::Output;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{NodeProcess, Ring, describe, eventually, name_owned_by, text};

/// The ring as this node says that it fares.
fn ring(node: &NodeProcess) -> Result<Value, String> {
    node.json(&["ring"])
}

/// Waits until it fares like this.
fn fares(node: &NodeProcess, state: &str) -> Value {
    eventually(&format!("the ring is {state}"), || {
        let ring = ring(node)?;
        let as_said = ring["state"] == state && ring["healthy"] == (state == "healthy");
        if as_said { Ok(ring) } else { Err(ring.to_string()) }
    })
}

/// Waits until each of its members knows all of them and that nothing has changed
/// for a while.
fn healthy(ring: &Ring) {
    ring.nodes.iter().for_each(|node| drop(fares(node, "healthy")));
}

/// A file with a name.
fn file(dir: &TempDir, name: &str) -> String {
    let path = dir.path().join(name);
    std::fs::write(&path, name).expect("it can be written");
    text(&path).to_owned()
}

fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", describe(output));
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn a_node_that_is_cut_off_says_so_and_refuses_what_has_too_few_copies() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut all = Ring::of(4);
    healthy(&all);
    let said = all.nodes[0].run(&["put", &file(&dir, "before")]);
    assert!(!said.contains("cut off"), "{said}");
    let mut gone: Vec<NodeProcess> = (0..3).map(|_| all.crash(1)).collect();
    let left = &all.nodes[0];
    eventually("all that died are missed", || {
        let seen = fares(left, "cut off");
        if seen["why"] == "from 3 members" { Ok(()) } else { Err(seen.to_string()) }
    });

    let said = left.run(&["put", &file(&dir, "a.txt")]);
    assert!(said.contains("1 of 1 copies: this node is cut off from 3 members"), "{said}");
    let stored = left.json(&["put", &file(&dir, "b.txt")]).expect("it is stored");
    assert_eq!(stored["cut_off_from"], 3, "{stored}");
    assert_eq!((&stored["copies"], &stored["wanted"]), (&json!(1), &json!(1)));
    let said = left.run(&["rm", "b.txt"]);
    assert!(said.contains("this node is cut off from 3 members"), "{said}");

    // Who wants to be sure is refused, and what was made stays.
    let path = file(&dir, "c.txt");
    let why = failed(&left.attempt(&["put", &path, "--min-copies", "2"]));
    assert!(why.contains("fewer copies than the 2 of --min-copies: this node is cut off"), "{why}");
    assert_eq!(left.fetch("c.txt").as_deref(), Ok(&b"c.txt"[..]));
    let tree = dir.path().join("tree");
    std::fs::create_dir(&tree).expect("it can be made");
    std::fs::write(tree.join("d.txt"), "d").expect("it can be written");
    let why = failed(&left.attempt(&["put", text(&tree), "--min-copies", "2"]));
    assert!(why.contains("tree/d.txt: fewer copies than the 2"), "{why}");
    let said = left.run(&["put", text(&tree)]);
    assert!(said.contains("this node is cut off from 3 members"), "{said}");

    // The others come back: nobody is missed any more.
    for node in &mut gone {
        node.restart(&[]);
    }
    all.nodes.append(&mut gone);
    all.settled();
    healthy(&all);
    let said = all.nodes[0].run(&["put", &path, "--min-copies", "3"]);
    assert!(said.contains("3/3 copies") && !said.contains("cut off"), "{said}");
}

#[test]
fn a_node_that_is_told_so_acknowledges_no_put_with_fewer_copies() {
    let dir = TempDir::new().expect("a temporary directory");
    let strict = NodeProcess::start(&["--min-copies", "2"]);
    let other = NodeProcess::join(&strict);
    let mut both = Ring { nodes: vec![strict, other] };
    both.settled();
    both.nodes[0].run(&["put", &file(&dir, "two")]);
    both.crash(1);
    let strict = &both.nodes[0];
    fares(strict, "cut off");
    let why = failed(&strict.attempt(&["put", &file(&dir, "one")]));
    assert!(why.contains("fewer copies than the 2"), "{why}");
    assert_eq!(strict.fetch("one").as_deref(), Ok(&b"one"[..]), "the copy stays");
    // It is there already, and has as few copies as before.
    let why = failed(&strict.attempt(&["put", &file(&dir, "one")]));
    assert!(why.contains("fewer copies than the 2"), "{why}");
}

#[test]
fn members_that_left_in_order_are_not_missed() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut all = Ring::of(4);
    healthy(&all);
    while all.nodes.len() > 1 {
        let mut leaver = all.nodes.remove(1);
        leaver.terminate();
        assert!(leaver.ended().success());
    }
    let left = &all.nodes[0];
    fares(left, "alone");
    let said = left.run(&["put", &file(&dir, "a.txt")]);
    assert!(said.contains("1/1 copies") && !said.contains("cut off"), "{said}");
}

#[test]
fn a_ring_of_which_a_member_is_silent_is_not_healthy() {
    let all = Ring::of(5);
    healthy(&all);
    all.nodes[2].signal(Signal::STOP);
    let seen = ring(&all.nodes[0]).expect("it answers");
    assert_eq!((&seen["state"], &seen["healthy"]), (&json!("converging"), &json!(false)));
    all.nodes[2].signal(Signal::CONT);
    healthy(&all);
}

#[test]
fn the_copies_shown_are_those_that_there_are_when_an_owner_dies() {
    let dir = TempDir::new().expect("a temporary directory");
    let mut all = Ring::of(3);
    let owner = &all.nodes[0];
    let name = name_owned_by(owner.address, &[all.nodes[1].address, all.nodes[2].address]);
    let path = file(&dir, "content");
    owner.run(&["put", &path, "--as", &name]);
    let row = |node: &NodeProcess| -> Result<Value, String> {
        Ok(node.json(&["ls"])?["files"][0].clone())
    };
    for node in &all.nodes {
        eventually("each holder shows what the owner counts", || {
            let row = row(node)?;
            let same = row["copies"] == 3 && row["wanted"] == 3 && row["health"] == "ok";
            if same { Ok(()) } else { Err(row.to_string()) }
        });
    }
    all.crash(0);
    for node in &all.nodes {
        eventually("the two that are left have two copies", || {
            let row = row(node)?;
            let (copies, wanted) = (row["copies"].as_u64(), row["wanted"].as_u64());
            assert!(copies <= wanted, "more than there can be: {row}");
            let done = copies == Some(2) && wanted == Some(2) && row["health"] == "ok";
            if done { Ok(()) } else { Err(row.to_string()) }
        });
    }
}

#[test]
fn a_list_in_which_nothing_matches_says_so() {
    let dir = TempDir::new().expect("a temporary directory");
    let node = NodeProcess::start(&[]);
    let said = node.run(&["ls", "nosuch"]);
    assert!(said.starts_with("no files here"), "{said}");
    node.run(&["put", &file(&dir, "a.txt")]);
    assert_eq!(node.run(&["ls", "nosuch"]), "nothing matches 'nosuch'; there is 1 file here\n");
    assert_eq!(
        node.run(&["ls", "nosuch", "--ring"]),
        "nothing matches 'nosuch'; there is 1 file on the ring\n"
    );
}
