//! What loses to a newer version that nobody had heard of.

use std::fs;

use tempfile::TempDir;

use crate::process::{NodeProcess, Ring, describe, eventually, text};

#[test]
fn a_put_that_an_older_copy_may_beat_says_so_and_what_loses_can_still_be_fetched() {
    let home = TempDir::new().expect("a directory");
    let (old, new) = (home.path().join("old"), home.path().join("new"));
    fs::write(&old, "an old hand").expect("a file");
    fs::write(&new, "what is new").expect("a file");
    let mut ring = Ring::of(6);
    let first = ring.nodes[0].run(&["put", text(&new), "--as", "notes.txt"]);
    assert_eq!(first.lines().count(), 1, "nobody is missing: {first}");
    ring.nodes[0].run(&["put", text(&old), "--as", "notes.txt", "--overwrite"]);
    let holders = ring.secured("notes.txt");
    ring.settled();
    let all: Vec<_> = ring.nodes.iter().map(|node| node.address.to_string()).collect();
    eventually("everybody is remembered everywhere", || {
        for node in &ring.nodes {
            let known = fs::read_to_string(node.data_dir().join("peers.toml")).unwrap_or_default();
            let own = node.address.to_string();
            if let Some(peer) = all.iter().find(|peer| **peer != own && !known.contains(*peer)) {
                return Err(format!("{own} does not remember {peer}: {known}"));
            }
        }
        Ok(())
    });
    let (mut had, mut others): (Vec<NodeProcess>, Vec<NodeProcess>) =
        ring.nodes.drain(..).partition(|node| holders.contains(&node.address));
    had.iter_mut().chain(&mut others).for_each(NodeProcess::kill);
    others.iter_mut().for_each(|node| node.restart(&[]));
    let three: Vec<_> = others.iter().map(|node| node.address).collect();
    eventually("the three others meet", || {
        others.iter().try_for_each(|node| node.sees_ring_of(&three))
    });
    let said = others[0].run(&["put", text(&new), "--as", "notes.txt"]);
    assert!(said.starts_with("notes.txt stored: 11 B") && said.contains("3/3 copies"), "{said}");
    assert!(said.contains("3 of 3 nodes that may hold notes.txt do not answer"), "{said}");
    assert!(said.contains("an older version there may win"), "{said}");

    // Of a directory that is one line for all its names.
    let tree = home.path().join("tree");
    fs::create_dir(&tree).expect("a directory");
    for number in 0..40 {
        fs::write(tree.join(format!("{number}.txt")), format!("{number}")).expect("a file");
    }
    let said = others[1].run(&["put", text(&tree)]);
    assert!(said.starts_with("tree/ stored: 40 files"), "{said}");
    let warned: Vec<_> = said.lines().filter(|line| line.contains("do not answer")).collect();
    assert!(warned.len() == 1 && warned[0].contains("3 nodes that may hold tree/"), "{said}");
    assert!(warned[0].ends_with("may win"), "{said}");
    let again = others[1].run(&["put", text(&tree)]);
    assert!(!again.contains("do not answer"), "they are there already: {again}");

    had.iter_mut().for_each(|node| node.restart(&[]));
    let get = |what: &str| {
        let to = home.path().join(format!("got {what}"));
        let _ = fs::remove_file(&to);
        let output = others[0].attempt(&["get", what, "--to", text(&to)]);
        fs::read_to_string(&to).map_err(|_| describe(&output))
    };
    eventually("the higher version wins", || match get("notes.txt")?.as_str() {
        "an old hand" => Ok(()),
        other => Err(other.to_owned()),
    });
    // Each of its holders says what lost to it, and how to get it.
    for node in &others {
        let remedy = eventually("what lost is told", || {
            let log = node.log();
            let line = log.lines().find(|line| line.contains("lost to"));
            let remedy = line.and_then(|line| line.rsplit_once("get ")).map(|(_, what)| what);
            remedy.map(|what| what.trim().to_owned()).ok_or_else(|| log.clone())
        });
        assert!(remedy.starts_with("notes.txt@"), "{remedy}");
        assert_eq!(get(&remedy).as_deref(), Ok("what is new"), "{remedy}");
    }
    // So it is after a restart.
    let remedy = format!("notes.txt@{}", blake3::hash(b"what is new").to_hex());
    others.iter_mut().for_each(NodeProcess::kill);
    others.iter_mut().for_each(|node| node.restart(&[]));
    eventually("the trash outlives its node", || {
        let to = home.path().join("again");
        let output = others[1].attempt(&["get", &remedy, "--to", text(&to)]);
        match fs::read_to_string(&to) {
            Ok(text) if text == "what is new" => Ok(()),
            _ => Err(describe(&output)),
        }
    });
}
