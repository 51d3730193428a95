//! Processes that may open few files and connections: they wait for each other's, say
//! so once, and lose nothing.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{
    NodeProcess, Program, Ring, describe, eventually, free_address, limited, name_owned_by,
    random_file, text,
};

/// What is said by who has none left.
const OUT: &str = "out of file descriptors";

/// Runs a command through a node as a process that may have 24 files open.
fn run_with_24(node: &NodeProcess, words: &[&str]) -> Output {
    let via = node.address.to_string();
    let words = [words, &["--via", &via]].concat();
    let output = limited(24, &words).output().expect("a shell starts");
    assert!(output.status.success(), "{words:?}: {}", describe(&output));
    output
}

fn times_told(said: &str) -> usize {
    said.matches(OUT).count()
}

fn contents(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("there"));
    let name = |entry: &std::fs::DirEntry| entry.file_name().into_string().expect("text");
    entries
        .filter(|entry| !name(entry).starts_with('.'))
        .map(|entry| (name(&entry), std::fs::read(entry.path()).expect("a file")))
        .collect()
}

#[test]
fn a_client_with_24_descriptors_puts_and_gets_300_small_files() {
    let ring = Ring::of(3);
    let dir = TempDir::new().expect("a temporary directory");
    let (many, back) = (dir.path().join("many"), dir.path().join("back"));
    std::fs::create_dir(&many).expect("a directory");
    for number in 0..300 {
        std::fs::write(many.join(format!("{number}.txt")), format!("{number}")).expect("written");
    }
    let put = run_with_24(&ring.nodes[0], &["put", text(&many)]);
    let said = String::from_utf8_lossy(&put.stdout);
    assert!(said.starts_with("many/ stored: 300 files"), "{}", describe(&put));
    assert_eq!(times_told(&String::from_utf8_lossy(&put.stderr)), 1, "{}", describe(&put));
    let got = run_with_24(&ring.nodes[1], &["get", "many/", "--to", text(&back)]);
    assert_eq!(contents(&back.join("many")), contents(&many), "{}", describe(&got));
}

#[test]
fn large_files_that_each_need_several_descriptors_do_not_wait_for_each_other_for_ever() {
    let ring = Ring::of(3);
    let dir = TempDir::new().expect("a temporary directory");
    let (few, back) = (dir.path().join("few"), dir.path().join("back"));
    std::fs::create_dir(&few).expect("a directory");
    for number in 0..12 {
        random_file(&few.join(number.to_string()), 3 << 20, number);
    }
    run_with_24(&ring.nodes[0], &["put", text(&few), "--transfers", "12"]);
    run_with_24(&ring.nodes[1], &["get", "few/", "--to", text(&back), "--transfers", "12"]);
    assert!(contents(&back.join("few")) == contents(&few));
}

/// Connections to an address that say nothing, each made again when it is closed,
/// until `over`.
fn flood(address: SocketAddr, over: &AtomicBool) {
    let connect = || {
        let stream = TcpStream::connect(address).expect("the system takes it in");
        stream.set_nonblocking(true).expect("a socket");
        stream
    };
    let mut held: Vec<_> = (0..48).map(|_| connect()).collect();
    while !over.load(Ordering::Relaxed) {
        for stream in &mut held {
            let open = stream.peek(&mut [0]).is_err_and(|why| why.kind() == ErrorKind::WouldBlock);
            if !open {
                *stream = connect();
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_node_that_is_flooded_until_it_has_no_descriptor_goes_on() {
    let mut ring = Ring::of(2);
    let contact = ring.nodes[0].address.to_string();
    let few = Program::Limited { descriptors: 32 };
    ring.nodes.push(NodeProcess::start_as(few, free_address(), &["--join", &contact]));
    ring.settled();
    let poor = &ring.nodes[2];
    let addresses: Vec<_> = ring.nodes.iter().map(|node| node.address).collect();
    let dir = TempDir::new().expect("a temporary directory");
    let over = AtomicBool::new(false);
    let mut names = Vec::new();
    thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(poor.address, &over));
        eventually("the node says that it has none left", || {
            if poor.log().contains(OUT) { Ok(()) } else { Err(poor.log()) }
        });
        for (number, owner) in addresses.iter().enumerate() {
            let others: Vec<_> =
                addresses.iter().filter(|other| *other != owner).copied().collect();
            let (name, path) = (name_owned_by(*owner, &others), dir.path().join("file"));
            random_file(&path, 10_000, number as u64);
            ring.nodes[0].run(&["put", text(&path), "--as", &name]);
            names.push((name, std::fs::read(&path).expect("a file")));
        }
        over.store(true, Ordering::Relaxed);
        flooding.join().expect("the system takes connections in");
    });
    ring.settled();
    for (name, bytes) in &names {
        let got = eventually("it serves", || poor.fetch(name));
        assert!(got == *bytes, "{name}");
        ring.secured(name);
    }
    let said = poor.log();
    assert_eq!(times_told(&said), 1, "{said}");
    assert!(!said.contains("disk"), "{said}");
}
