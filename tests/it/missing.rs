//! What `get` says when it has nothing.

use std::fs;
use std::process::Output;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{NodeProcess, Ring, eventually, order, random_file, text};

/// The sentence with which a command failed.
fn sentence(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert_eq!(said.lines().count(), 1, "one sentence: {said}");
    said.strip_prefix("error: ").expect("an error").to_owned()
}

fn store(node: &NodeProcess, home: &TempDir, name: &str) {
    let path = home.path().join("some");
    fs::write(&path, name).expect("a file");
    node.run(&["put", text(&path), "--as", name]);
}

fn get(node: &NodeProcess, name: &str) -> String {
    let home = TempDir::new().expect("a directory");
    let to = home.path().join("to");
    let said = sentence(&node.attempt(&["get", name, "--to", text(&to)]));
    assert_eq!(fs::read_dir(home.path()).expect("a directory").count(), 0, "nothing is left");
    said
}

#[test]
fn a_name_that_is_not_there_comes_with_those_that_are_like_it() {
    let home = TempDir::new().expect("a directory");
    let ring = Ring::of(3);
    store(&ring.nodes[0], &home, "SkyShip.jpg");
    store(&ring.nodes[0], &home, "letters/to-you.txt");
    let node = &ring.nodes[2];
    for (wrong, right) in [
        ("SkyShpi.jpg", "did you mean 'SkyShip.jpg'?"),
        ("skyship.JPG", "did you mean 'SkyShip.jpg'?"),
        ("to-you.txt", "did you mean 'letters/to-you.txt'?"),
        ("letters", "there are files below letters/; get letters/ fetches them"),
    ] {
        let said = get(node, wrong);
        assert!(said.starts_with(&format!("no file named {wrong} is on the ring")), "{said}");
        assert!(said.contains(right), "{said}");
    }
    assert_eq!(
        get(node, "xyzzy"),
        "no file named xyzzy is on the ring; find PATTERN looks for names like it"
    );
    node.run(&["rm", "SkyShip.jpg"]);
    let said = get(node, "SkyShip.jpg");
    assert!(said.starts_with("SkyShip.jpg was removed from the ring"), "{said}");
}

#[test]
fn when_all_who_had_a_file_are_dead_they_are_named() {
    let home = TempDir::new().expect("a directory");
    let mut ring = Ring::of(5);
    store(&ring.nodes[0], &home, "SkyShip.jpg");
    let holders = ring.secured("SkyShip.jpg");
    assert_eq!(holders.len(), 3);
    for holder in &holders {
        // None of them lives long enough to have it copied elsewhere.
        let place = ring.nodes.iter().position(|node| node.address == *holder).expect("a member");
        ring.nodes[place].signal(Signal::STOP);
    }
    for holder in &holders {
        let place = ring.nodes.iter().position(|node| node.address == *holder).expect("a member");
        drop(ring.crash(place));
    }
    let said = eventually("all three are missed", || {
        let said = get(&ring.nodes[0], "SkyShip.jpg");
        let named = holders.iter().all(|holder| said.contains(&holder.to_string()));
        if named && said.contains("again") { Ok(said) } else { Err(said) }
    });
    assert!(said.contains("SkyShip.jpg"), "{said}");
}

#[test]
fn a_record_whose_only_holder_is_silent_says_whom_to_start() {
    let home = TempDir::new().expect("a directory");
    let owner = NodeProcess::start(&["--replicas", "1", "--quota", "1000"]);
    let contact = owner.address.to_string();
    let holder = NodeProcess::start(&["--replicas", "1", "--join", &contact]);
    let ring = Ring { nodes: vec![owner, holder] };
    ring.settled();
    let (owner, holder) = (&ring.nodes[0], &ring.nodes[1]);
    let names = (0..).map(|number| format!("name {number}"));
    let mut owned = names.filter(|name| order(name, &ring.nodes)[0] == owner.address);
    let name = owned.next().expect("there is no end of names");
    // The owner has no room for it and answers for it all the same.
    let path = home.path().join("some");
    random_file(&path, 3_000_000, 1);
    let said = owner.run(&["put", text(&path), "--as", &name]);
    assert!(said.contains("1/1") && said.contains("has no room"), "{said}");
    assert!(owner.fetch(&name).expect("the other has it") == fs::read(&path).expect("it"));
    holder.signal(Signal::STOP);
    // As long as it is still believed to live, and after that.
    for _ in 0..2 {
        let said = get(owner, &name);
        assert!(said.starts_with(&format!("{name} is recorded on the ring but")), "{said}");
        assert!(said.contains(&format!("start {} again", holder.address)), "{said}");
        eventually("its silence is noticed", || owner.sees_ring_of(&[owner.address]));
    }
    holder.signal(Signal::CONT);
    eventually("it is there again", || match owner.fetch(&name) {
        Ok(bytes) if bytes == fs::read(&path).expect("it") => Ok(()),
        other => Err(format!("{:?}", other.map(|bytes| bytes.len()))),
    });
}

#[test]
fn a_file_that_all_its_holders_refuse_is_said_to_be_recorded() {
    let home = TempDir::new().expect("a directory");
    let ring = Ring::of(2);
    let path = home.path().join("film.bin");
    random_file(&path, 3_000_000, 1);
    ring.nodes[0].run(&["put", text(&path)]);
    // Somebody removes the bytes behind their backs.
    for node in &ring.nodes {
        let blobs = node.data_dir().join("blobs");
        fs::remove_dir_all(&blobs).expect("there are blobs");
    }
    let said = get(&ring.nodes[1], "film.bin");
    let begins = "film.bin is recorded on the ring but nobody could deliver it: ";
    assert!(said.starts_with(begins), "{said}");
    assert!(said.contains("does not have the content"), "{said}");
}
