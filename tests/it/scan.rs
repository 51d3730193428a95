//! `scan`: which ports have nodes behind them, from the command line and from
//! a running node.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chordal::engine::{Config, Node, client};
use chordal::view::{Behind, Command, CommandError, Outcome, ScanRow};
use chordal::wire::handshake::{Hello, MAGIC, PROTOCOL_VERSION, Program, Purpose};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::process::{NodeProcess, chordal, describe, has_own_hosts, host_of_its_own};

/// A host with ten free ports, 5000 to 5009 where this test can have a host of
/// its own. These are not tried: whoever has tried a port may seem to have it
/// still, for a child that another test starts in that moment has it until it
/// runs its own program.
fn street() -> (Ipv4Addr, u16) {
    if has_own_hosts() {
        return (host_of_its_own(), 5000);
    }
    let free = |first: u16| {
        let mut ports = first..first + 10;
        ports.all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
    };
    let first = (1_000..6_000).map(|decade| decade * 10).find(|first| free(*first));
    (Ipv4Addr::LOCALHOST, first.expect("ten free ports"))
}

/// Somebody who is no node: says these words to whoever comes, and stays on
/// the line.
fn stranger(host: Ipv4Addr, port: u16, words: Vec<u8>) {
    let listener = TcpListener::bind((host, port)).expect("the port is free");
    std::thread::spawn(move || {
        let mut lines: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let _ = stream.write_all(&words);
            lines.push(stream);
        }
    });
}

/// What a registry answers to a client.
fn registry_hello() -> Vec<u8> {
    let hello = Hello {
        purpose: Purpose::Client,
        program: Program::Registry,
        params: None,
        address: None,
        index: 0,
        version: "0".to_owned(),
        refusal: Some("this is a registry, not a node".to_owned()),
    };
    hello.to_bytes().expect("it fits")
}

/// A claim that cannot be true.
fn impossible_hello() -> Vec<u8> {
    let hello = Hello {
        program: Program::Node,
        address: Some(SocketAddr::from(([0, 0, 0, 0], 1))),
        ..Hello {
            purpose: Purpose::Client,
            program: Program::Node,
            params: Some(Config::at(SocketAddr::from(([127, 0, 0, 1], 1))).params),
            address: None,
            index: 0,
            version: "0".to_owned(),
            refusal: None,
        }
    };
    hello.to_bytes().expect("it fits")
}

fn other_version() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(99u16.to_be_bytes());
    bytes
}

fn scan_json(words: &[&str]) -> Value {
    let mut all = vec!["scan", "--json"];
    all.extend(words);
    let output = chordal(&all);
    assert!(output.status.success(), "{}", describe(&output));
    serde_json::from_slice(&output.stdout).expect("one JSON value")
}

#[test]
fn the_scan_of_the_lab_finds_three_peers_among_ten_ports() {
    let (host, first) = street();
    let at = |offset: u16| SocketAddr::from((host, first + offset));
    let three = NodeProcess::start_at(at(3), &[]);
    let _five = NodeProcess::start_at(at(5), &["--ring", "blue", "--bits", "40"]);
    let _nine = NodeProcess::start_at(at(9), &["--join", &three.address.to_string()]);

    let range = format!("{first}-{}", first + 9);
    let output = chordal(&["scan", &host.to_string(), &range]);
    assert!(output.status.success(), "{}", describe(&output));
    let said = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 12, "a head, ten ports, a summary: {said}");
    for (offset, line) in (0..).zip(&lines[1..11]) {
        let (address, what) = line.split_once("  ").expect("two columns");
        assert_eq!(address, at(offset).to_string(), "in order: {said}");
        match offset {
            3 => assert_eq!(
                what.trim(),
                format!("node {} on ring 'chordal' (2^10 ids, 3 copies)", three.id)
            ),
            5 => assert!(what.ends_with("on ring 'blue' (2^40 ids, 3 copies)"), "{said}"),
            9 => assert!(what.trim().starts_with("node "), "{said}"),
            _ => assert_eq!(what.trim(), "inactive", "{said}"),
        }
    }
    assert_eq!(lines[11], format!("10 ports of {host} tried: 3 nodes, 7 inactive"));

    let value = scan_json(&[&host.to_string(), &range]);
    let ports = value["ports"].as_array().expect("ports");
    let states: Vec<_> = ports.iter().map(|port| &port["state"]).collect();
    let node = |offset| matches!(offset, 3 | 5 | 9);
    let expected: Vec<_> = (0..10).map(|n| if node(n) { "node" } else { "inactive" }).collect();
    assert_eq!(states, expected);
    assert_eq!(ports[3]["node"], json!({ "id": three.id, "address": three.address.to_string() }));
}

#[test]
fn whatever_else_listens_is_told_apart() {
    let (host, first) = street();
    stranger(host, first, registry_hello());
    stranger(host, first + 1, other_version());
    stranger(host, first + 2, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec());
    stranger(host, first + 3, Vec::new());
    stranger(host, first + 4, impossible_hello());
    let garbled = [&MAGIC[..], &PROTOCOL_VERSION.to_be_bytes(), &[0, 0, 0, 2, 0xFF, 0xFF]].concat();
    stranger(host, first + 5, garbled);

    let value = scan_json(&[&host.to_string(), &format!("{first}-{}", first + 6)]);
    let ports = value["ports"].as_array().expect("ports");
    assert_eq!(ports[0]["state"], "registry");
    for (offset, part) in [
        (1, "speaks another version of chordal's protocol: 99"),
        (2, "speaks something else"),
        (3, "says nothing"),
        (4, "0.0.0.0:1"),
        (5, "cannot be understood"),
    ] {
        let port = &ports[offset];
        assert_eq!(port["state"], "other", "{port}");
        assert!(port["what"].as_str().is_some_and(|what| what.contains(part)), "{port}");
    }
    assert_eq!(ports[6]["state"], "inactive");
}

#[test]
fn a_scan_that_finds_nothing_is_no_failure() {
    let (host, first) = street();
    let last = first + 99;
    let output = chordal(&["scan", &host.to_string(), &format!("{first}-{last}")]);
    assert_eq!(output.status.code(), Some(0), "{}", describe(&output));
    let said = String::from_utf8(output.stdout).expect("text");
    let last = said.lines().last().expect("a summary");
    assert!(last.starts_with(&format!("100 ports of {host} tried: ")), "{said}");

    // Nobody is named: this machine, around the usual port, and the lab's.
    let value = scan_json(&[]);
    assert_eq!(value["host"], "127.0.0.1");
    let addresses: Vec<_> =
        value["ports"].as_array().expect("ports").iter().map(|port| &port["address"]).collect();
    let expected: Vec<Value> =
        (2000..=2009).chain(5000..=5009).map(|port| json!(format!("127.0.0.1:{port}"))).collect();
    assert!(addresses.into_iter().eq(&expected), "{value}");
}

#[test]
fn words_that_are_no_target_end_with_the_usage_line() {
    for (words, advice) in [
        (&["5009-5000"][..], "5000-5009"),
        (&["127.0.0.1", "0-9"], "from 1 to 65535"),
        (&["127.0.0.1", "1-65535"], "at most 1024"),
        (&["127.0.0.1", "http"], "FROM-TO"),
        (&["5000", "5009"], "5000-5009"),
        (&["127.0.0.1:5000"], "two words"),
        (&["0.0.0.0"], "one host"),
        (&["a", "1", "2"], "Usage"),
    ] {
        let mut all = vec!["scan"];
        all.extend(words);
        let output = chordal(&all);
        let said = describe(&output);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(advice) && said.contains("Usage: "), "{words:?}: {said}");
    }
    // Too long for any name server to be asked.
    let output = chordal(&["scan", &"x".repeat(300)]);
    let said = describe(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot find the host") && said.contains("check its name"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_ports_are_waited_for_side_by_side_while_the_count_goes_on() {
    let (host, first) = street();
    for offset in 0..9 {
        stranger(host, first + offset, Vec::new());
    }
    let told = Arc::new(Mutex::new(Vec::new()));
    let begin = Instant::now();
    let result = client::scan(
        SocketAddr::from((host, first)),
        None,
        Some(&format!("{first}-{}", first + 9)),
        &CancellationToken::new(),
        |row| told.lock().expect("one at a time").push((row.done, row.total)),
    )
    .await;
    let Ok(Outcome::Scanned(ScanRow { ports, .. })) = result else { panic!("{result:?}") };
    assert_eq!(ports.len(), 10);
    assert_eq!(ports[9].found, Behind::Inactive);
    // One after the other, nine seconds.
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());

    let told = told.lock().expect("nobody else");
    assert_eq!((told.first(), told.last()), (Some(&(0, 10)), Some(&(10, 10))));
    assert!(told.contains(&(1, 10)), "the closed port counts before the silent ones: {told:?}");
    assert!(told.is_sorted(), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_node_scans_its_own_decade_and_shows_what_it_found() {
    let (host, first) = street();
    let dir = tempfile::tempdir().expect("a temporary directory");
    let start = |offset: u16| {
        Node::start(Config {
            data_dir: Some(dir.path().join(format!("data-{offset}"))),
            download_dir: Some(dir.path().join("downloads")),
            ..Config::at(SocketAddr::from((host, first + offset)))
        })
    };
    let node = start(3).await.expect("it starts");
    let other = start(5).await.expect("it starts");

    for number in 1..=2 {
        let scan = Command::Scan { host: None, ports: None };
        let Ok(Outcome::Scanned(row)) = submit(&node, scan).await else { panic!("it scans") };
        assert_eq!(row.number, number);
        let found = |offset: u16| {
            let address = SocketAddr::from((host, first + offset));
            row.ports.iter().find(|port| port.address == address).map(|port| &port.found)
        };
        assert_eq!(found(3), Some(&Behind::Me));
        assert!(matches!(found(5), Some(Behind::Node(peer)) if peer.address() == other.address));
        assert_eq!(found(4), Some(&Behind::Inactive));

        let mut snapshots = node.snapshots.clone();
        let shown = snapshots
            .wait_for(|snapshot| snapshot.scan.as_ref().is_some_and(|scan| **scan == row))
            .await;
        assert!(shown.is_ok(), "the node runs");
    }
    let wrong = Command::Scan { host: None, ports: Some("9-1".into()) };
    let failed = submit(&node, wrong).await.expect_err("it goes down");
    assert!(failed.to_string().contains("1-9"), "{failed}");
}

async fn submit(node: &Node, command: Command) -> Result<Outcome, CommandError> {
    let (done, end) = oneshot::channel();
    node.commands.send((command, done)).await.expect("the node runs");
    end.await.expect("it answers")
}
