//! What the nodes of a ring promise, over real TCP and with real disks, and
//! what the command line promises to scripts.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use chordal::engine::Node;
use rustix::process::Signal;
use serde_json::Value;

use crate::process::{
    DEADLINE, NodeProcess, PROGRAM, Ring, chordal, command, config, describe, eventually,
    free_address, members, pieces_in, random_file, signal, text, with_sky_ship, within,
};

/// A file that takes long enough to interrupt, at [`RATE`] some seconds.
const LARGE: usize = 160 << 20;
const RATE: &str = "32M";

/// Before, each went past one of the others in each of its periods, which are so
/// long here that nobody stabilizes by the clock.
#[test]
fn a_crowd_that_joins_through_one_node_is_one_ring_before_a_period_is_over() {
    let first = NodeProcess::start(&["--stabilize", "40s"]);
    let contact = first.address.to_string();
    let start = || NodeProcess::start(&["--stabilize", "40s", "--join", &contact]);
    let mut nodes: Vec<NodeProcess> = std::thread::scope(|scope| {
        let starting: Vec<_> = (1..12).map(|_| scope.spawn(start)).collect();
        starting.into_iter().map(|node| node.join().expect("it starts")).collect()
    });
    nodes.push(first);
    nodes.sort_by_key(|node| node.id.parse::<u128>().expect("a number"));
    let ids: Vec<&str> = nodes.iter().map(|node| node.id.as_str()).collect();
    for (at, node) in nodes.iter().enumerate() {
        let after: Vec<&str> = ids[at + 1..].iter().chain(&ids[..at]).copied().collect();
        eventually("its neighbours are right", || {
            let info = node.json(&["info"])?;
            let list = info["successors"].as_array().ok_or("no list")?;
            let right = info["predecessor"]["id"] == *after[after.len() - 1]
                && list.len() == after.len()
                && list.iter().zip(&after).all(|(next, id)| next["id"] == **id);
            if right { Ok(()) } else { Err(info.to_string()) }
        });
    }
}

#[test]
fn a_restarted_node_brings_its_files_back() {
    let (_dir, path) = with_sky_ship();
    let mut node = NodeProcess::start(&[]);
    node.run(&["put", text(&path)]);
    let id = node.id.clone();
    let listed = node.json(&["ls"]).expect("a listing");
    node.kill();
    node.restart(&[]);
    assert_eq!(node.id, id);
    assert_eq!(node.json(&["ls"]).expect("a listing"), listed);
    assert!(node.fetch("SkyShip.jpg").expect("it is back") == std::fs::read(path).expect("it"));
}

#[test]
fn a_crashed_member_comes_back_and_its_copy_counts_again() {
    let (_dir, path) = with_sky_ship();
    let mut ring = Ring::of(3);
    ring.nodes[0].run(&["put", text(&path)]);
    let mut crashed = ring.crash(1);
    ring.settled();
    ring.secured("SkyShip.jpg");
    let contact = ring.nodes[0].address.to_string();
    crashed.restart(&["--join", &contact]);
    ring.nodes.push(crashed);
    ring.settled();
    assert_eq!(ring.secured("SkyShip.jpg").len(), 3);
}

#[test]
fn a_node_that_leaves_hands_its_files_over() {
    let mut ring = Ring::of(4);
    let dir = tempfile::tempdir().expect("a temporary directory");
    for seed in 0..6 {
        let path = dir.path().join(format!("{seed}.bin"));
        random_file(&path, 20_000, seed);
        ring.nodes[0].run(&["put", text(&path)]);
    }
    // Leaving one after the other, nobody is given time to repair: only what
    // was handed over can be there at the end.
    while ring.nodes.len() > 1 {
        let mut leaver = ring.nodes.pop().expect("more than one");
        leaver.terminate();
        let status = leaver.ended();
        assert!(status.success(), "{status}; it said:\n{}", leaver.log());
    }
    ring.settled();
    for seed in 0..6 {
        let name = format!("{seed}.bin");
        let original = std::fs::read(dir.path().join(&name)).expect("just written");
        assert!(ring.nodes[0].fetch(&name).expect("it was handed over") == original, "{name}");
        assert_eq!(ring.secured(&name).len(), 1);
    }
}

#[test]
fn other_content_under_a_name_needs_overwrite() {
    let ring = Ring::of(2);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("letter.txt");
    std::fs::write(&path, "first").expect("a file");
    ring.nodes[0].run(&["put", text(&path)]);
    let again = ring.nodes[1].run(&["put", text(&path)]);
    assert!(again.contains("already stored"), "{again}");

    std::fs::write(&path, "second").expect("a file");
    let refused = ring.nodes[1].attempt(&["put", text(&path)]);
    failed(&refused, 1, &["letter.txt", "--overwrite"]);
    assert_eq!(ring.nodes[0].fetch("letter.txt").expect("the first"), b"first");

    ring.nodes[1].run(&["put", text(&path), "--overwrite"]);
    for node in &ring.nodes {
        assert_eq!(node.fetch("letter.txt").expect("the second"), b"second");
    }
}

#[test]
fn a_removed_file_is_gone_everywhere() {
    let (_dir, path) = with_sky_ship();
    let ring = Ring::of(3);
    ring.nodes[0].run(&["put", text(&path)]);
    ring.nodes[1].run(&["rm", "SkyShip.jpg"]);
    for node in &ring.nodes {
        failed(&node.attempt(&["get", "SkyShip.jpg"]), 1, &["SkyShip.jpg"]);
        eventually("no node lists it", || {
            let listing = node.json(&["ls"])?;
            if listing["files"] == Value::Array(Vec::new()) {
                Ok(())
            } else {
                Err(listing.to_string())
            }
        });
    }
    failed(&ring.nodes[2].attempt(&["rm", "SkyShip.jpg"]), 1, &["SkyShip.jpg"]);
    // The name is free again.
    ring.nodes[2].run(&["put", text(&path)]);
    assert!(ring.nodes[0].fetch("SkyShip.jpg").is_ok());
}

/// A copy that slept through the removal is no file: nobody is shown it, not
/// even while its node is still coming back.
#[test]
fn a_file_removed_while_a_holder_was_away_does_not_come_back() {
    let (_dir, path) = with_sky_ship();
    let mut ring = Ring::of(5);
    ring.nodes[0].run(&["put", text(&path)]);
    let holder = ring.secured("SkyShip.jpg")[1];
    let at = ring.nodes.iter().position(|node| node.address == holder).expect("a member");
    let mut away = ring.crash(at);
    ring.settled();
    ring.nodes[0].run(&["rm", "SkyShip.jpg"]);
    away.restart(&["--join", &ring.nodes[0].address.to_string()]);
    ring.nodes.push(away);
    let shown = || {
        let files = ring.nodes[0].json(&["ls", "--ring"]).expect("the ring answers");
        assert_eq!(files["files"].as_array().map(Vec::len), Some(0), "{files}");
    };
    eventually("the node is back", || {
        shown();
        let known = members(&ring.nodes[0].json(&["ring"])?)?.len();
        if known == 5 { Ok(()) } else { Err(format!("{known} members")) }
    });
    shown();
    failed(&ring.nodes[4].attempt(&["get", "SkyShip.jpg"]), 1, &["was removed"]);
}

#[test]
fn names_that_could_leave_a_directory_are_refused_with_the_reason() {
    let (_dir, path) = with_sky_ship();
    let node = NodeProcess::start(&[]);
    for (name, reason) in [
        ("../x", ".."),
        ("/etc/x", "absolute"),
        ("a//b", "empty"),
        ("nul.txt", "device"),
        ("x.", "dot"),
    ] {
        let output = node.attempt(&["put", text(&path), "--as", name]);
        assert!(!output.status.success(), "{name} was taken");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(reason), "{name}: {said}");
        let output = node.attempt(&["get", name]);
        assert!(!output.status.success(), "{name} was delivered");
    }
    node.run(&["put", text(&path), "--as", "holiday/ship.jpg"]);
    assert!(node.fetch("holiday/ship.jpg").is_ok());
}

#[test]
fn a_download_never_takes_the_place_of_another_file() {
    let (dir, path) = with_sky_ship();
    let node = NodeProcess::start(&[]);
    node.run(&["put", text(&path)]);
    std::fs::write(&path, "mine").expect("a file");
    node.run(&["get", "SkyShip.jpg", "--to", text(dir.path())]);
    assert_eq!(std::fs::read(&path).expect("still there"), b"mine");
    let beside = std::fs::metadata(dir.path().join("SkyShip (1).jpg")).expect("beside it");
    assert_eq!(beside.len(), crate::process::SKY_SHIP_BYTES);
}

#[test]
fn a_lonely_node_takes_over_the_rings_parameters() {
    let ring = Ring::of(2);
    let contact = ring.nodes[0].address.to_string();
    let lonely = NodeProcess::start(&["--bits", "8", "--replicas", "2", "--join", &contact]);
    eventually("it has the ring's size and replica count", || {
        let info = lonely.json(&["info"])?;
        let successors = info["successors"].as_array().map_or(0, Vec::len);
        if info["bits"] == 10 && info["replicas"] == 3 && successors == 2 {
            Ok(())
        } else {
            Err(info.to_string())
        }
    });
    let Ring { mut nodes } = ring;
    nodes.push(lonely);
    Ring { nodes }.settled();
}

#[test]
fn a_node_with_files_of_its_own_refuses_other_parameters() {
    let (_dir, path) = with_sky_ship();
    let ring = Ring::of(2);
    let mut rich = NodeProcess::start(&["--bits", "8"]);
    rich.run(&["put", text(&path)]);
    rich.kill();
    let contact = ring.nodes[0].address.to_string();
    rich.restart(&["--join", &contact]);
    eventually("it says why it does not join", || {
        let log = rich.log();
        if log.contains("bits") || log.contains("2^8") { Ok(()) } else { Err(log) }
    });
    // It kept its file and its own space, and the ring did not take it in.
    let info = rich.json(&["info"]).expect("it goes on alone");
    assert_eq!((&info["bits"], &info["successors"]), (&8.into(), &Value::Array(Vec::new())));
    assert!(rich.fetch("SkyShip.jpg").is_ok());
    ring.settled();
}

#[test]
fn rings_of_different_names_stay_apart() {
    let (_dir, path) = with_sky_ship();
    let ours = NodeProcess::start(&["--ring", "ours"]);
    let mut theirs = NodeProcess::start(&["--ring", "theirs"]);
    theirs.run(&["put", text(&path)]);
    theirs.kill();
    theirs.restart(&["--join", &ours.address.to_string()]);
    eventually("it says which ring refused it", || {
        let log = theirs.log();
        if log.contains("'ours'") && log.contains("--ring") { Ok(()) } else { Err(log) }
    });
    eventually("the other side says whom it turned away", || {
        let log = ours.log();
        let told = log.contains("turned away") && log.contains("'theirs'");
        if told { Ok(()) } else { Err(log) }
    });
    let ring = ours.json(&["ring"]).expect("a ring of one");
    assert_eq!(members(&ring).expect("members").len(), 1);
}

#[test]
fn a_get_goes_on_when_its_sources_die_midway() {
    let mut ring = Ring::of(4);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("large.bin");
    random_file(&path, LARGE, 7);
    ring.nodes[0].run(&["put", text(&path)]);
    let holders = ring.secured("large.bin");
    assert_eq!(holders.len(), 3);

    // Through the one that holds nothing, so that it survives.
    let via = ring.nodes.iter().find(|node| !holders.contains(&node.address)).expect("4 > 3");
    let home = tempfile::tempdir().expect("a temporary directory");
    let to = home.path().join("fetched.bin");
    let mut client =
        command(&["get", "large.bin", "--to", text(&to), "--via", &via.address.to_string()])
            .args(["--limit-down", RATE])
            .current_dir(home.path())
            .env("TMPDIR", home.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
    // Held still while its sources are killed, so that it cannot be faster.
    let map = home.path().join(".fetched.bin.part.map");
    let all = LARGE.div_ceil(1 << 20);
    within(DEADLINE, "pieces arrive on the disk", || match pieces_in(&map).len() {
        pieces if pieces > all / 64 => Ok(()),
        pieces => Err(format!("{pieces} pieces, {:?}", client.try_wait())),
    });
    signal(client.id(), Signal::STOP);
    assert!(matches!(client.try_wait(), Ok(None)), "it was done before its sources died");
    let arrived = pieces_in(&map).len();
    assert!(arrived < all, "all pieces had arrived: the file is too small for this test");
    for address in &holders[..2] {
        let place = ring.nodes.iter().position(|node| node.address == *address);
        ring.crash(place.expect("a holder is a node"));
    }
    signal(client.id(), Signal::CONT);
    let output = client.wait_with_output().expect("its output");
    assert!(output.status.success(), "{}", describe(&output));
    assert!(std::fs::read(&to).expect("fetched") == std::fs::read(&path).expect("original"));
    let left: Vec<_> = std::fs::read_dir(home.path()).expect("its home").flatten().collect();
    assert_eq!(left.len(), 1, "nothing half-written stays behind: {left:?}");
}

#[test]
fn a_second_process_on_the_same_directory_or_address_is_refused() {
    let node = NodeProcess::start(&[]);
    let (address, dir) = (node.address.to_string(), tempfile::tempdir().expect("a directory"));
    let mut second = command(&[address.as_str(), "--headless", "--data-dir"]);
    let output = ended(second.arg(dir.path()));
    failed(&output, 1, &[&address, "another address"]);

    let data = node.data_dir();
    let free = free_address().to_string();
    let mut second = command(&[free.as_str(), "--headless", "--data-dir"]);
    let output = ended(second.arg(&data));
    failed(&output, 1, &[text(&data)]);
}

#[test]
fn exit_codes_tell_done_failed_and_wrong_usage_apart() {
    let node = NodeProcess::start(&[]);
    let via = node.address.to_string();
    assert_eq!(chordal(&["id", "SkyShip.jpg"]).status.code(), Some(0));
    assert_eq!(node.attempt(&["info"]).status.code(), Some(0));
    assert_eq!(chordal(&["--help"]).status.code(), Some(0));
    assert_eq!(chordal(&["--version"]).status.code(), Some(0));

    failed(&node.attempt(&["get", "nothing"]), 1, &["nothing"]);
    failed(&node.attempt(&["put", "/no/such/file"]), 1, &["/no/such/file"]);
    let nobody = free_address().to_string();
    failed(&chordal(&["info", "--via", &nobody]), 1, &[&nobody]);

    for words in [
        &["get", "--via", &via][..],
        &["get", "a", "b", "--via", &via],
        &["put", "x", "--loud", "--via", &via],
        &["jion", &via],
        &["--bits", "0"],
        &["--bits", "129"],
        &["lab", "none"],
        &["info", "--via", "nowhere at all"],
    ] {
        failed(&chordal(words), 2, &[]);
    }
    let unknown = chordal(&["jion", &via]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("join"), "{}", describe(&unknown));
}

#[test]
fn without_a_terminal_the_dashboard_is_refused_and_the_remedy_named() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for words in [&["127.0.0.1:0"][..], &["lab", "2"]] {
        let output = ended(command(words).arg("--data-dir").arg(dir.path()));
        failed(&output, 2, &["--headless"]);
    }
}

#[test]
fn reading_commands_have_the_json_that_scripts_rely_on() {
    let (_dir, path) = with_sky_ship();
    let ring = Ring::of(2);
    let node = &ring.nodes[0];
    node.run(&["put", text(&path)]);
    ring.secured("SkyShip.jpg");
    let json = |words: &[&str]| node.json(words).expect("JSON");

    let peer = ["address", "id"];
    let info = json(&["info"]);
    let all = "address bits id no_bytes_to places predecessor replicas ring sick_disk successors \
               version";
    assert_eq!(keys(&info), all.split_whitespace().collect());
    assert_eq!(info["id"], node.id);
    assert_eq!(info["address"], node.address.to_string());
    assert_eq!(info["places"][0], node.id);
    assert_eq!((&info["bits"], &info["replicas"]), (&10.into(), &3.into()));
    assert_eq!(keys(&info["predecessor"]), peer.into());
    assert_eq!(keys(&info["successors"][0]), peer.into());
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));

    let fingers = json(&["fingers"]);
    assert_eq!(keys(&fingers), ["fingers"].into());
    assert_eq!(fingers["fingers"].as_array().map(Vec::len), Some(10));
    assert_eq!(keys(&fingers["fingers"][9]), ["index", "node", "start"].into());
    assert_eq!(fingers["fingers"][9]["index"], 9);
    assert!(fingers["fingers"][9]["start"].is_string());

    let shown = json(&["ring"]);
    assert_eq!(
        keys(&shown),
        ["healthy", "invariants", "members", "state", "troubled", "why"].into()
    );
    assert_eq!(
        keys(&shown["invariants"]),
        ["in_place", "lists_valid", "one_ring", "ordered"].into()
    );
    assert_eq!(keys(&shown["members"][1]), peer.into());

    for target in ["SkyShip.jpg", "189"] {
        let lookup = json(&["lookup", target]);
        assert_eq!(keys(&lookup), ["hops", "key", "owner"].into());
        assert_eq!(lookup["key"], "189");
        assert_eq!(keys(&lookup["owner"]), peer.into());
        for hop in lookup["hops"].as_array().expect("hops") {
            assert_eq!(keys(hop), ["address", "id", "ms"].into());
        }
    }

    let all = "copies hash health key name role size version wanted";
    let mine = json(&["ls"]);
    assert_eq!(keys(&mine), ["files"].into());
    assert_eq!(keys(&mine["files"][0]), all.split(' ').collect());
    assert!(mine["files"][0]["role"] == "owner" || mine["files"][0]["role"] == "replica");
    let bytes = std::fs::read(&path).expect("the picture");
    assert_eq!(mine["files"][0]["hash"].as_str().map(str::len), Some(64), "BLAKE3 in hexadecimal");
    assert_eq!(mine["files"][0]["size"], bytes.len());
    let everywhere = json(&["ls", "--ring"]);
    let all = format!("{all} holders");
    assert_eq!(keys(&everywhere["files"][0]), all.split(' ').collect());
    assert_eq!(keys(&everywhere["files"][0]["holders"][0]), peer.into());
    assert_eq!(json(&["ls", "*.png"])["files"], Value::Array(Vec::new()));
    assert_eq!(json(&["ls", "sky", "--ring"])["files"].as_array().map(Vec::len), Some(1));

    let id = chordal(&["id", "127.0.0.1:2000", "--json"]);
    let id: Value = serde_json::from_slice(&id.stdout).expect("JSON");
    assert_eq!(id, serde_json::json!({ "text": "127.0.0.1:2000", "bits": 10, "id": "466" }));
    let wide = chordal(&["id", "SkyShip.jpg", "--json", "--bits", "64"]);
    let wide: Value = serde_json::from_slice(&wide.stdout).expect("JSON");
    assert_eq!(wide["id"].as_str().map(str::len), Some(16), "hexadecimal beyond 32 bits: {wide}");
}

#[test]
fn the_forms_of_an_address_from_the_labs_are_understood() {
    let address = free_address();
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let home = tempfile::tempdir().expect("a temporary directory");
    let mut node = command(&[host.as_str(), &port, "--headless", "--data-dir"])
        .arg(home.path())
        .current_dir(home.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut stdout = BufReader::new(node.stdout.take().expect("it was piped"));
    let mut ready = String::new();
    stdout.read_line(&mut ready).expect("a line");
    let answer = chordal(&["info", "--json", "--via", &address.to_string()]);
    signal(node.id(), Signal::INT);
    let status = node.wait().expect("it ends");
    let info: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    assert_eq!(
        ready.trim_end(),
        format!("ready {} {address}", info["id"].as_str().expect("an id"))
    );
    assert_eq!(info["address"], address.to_string());
    assert_eq!(info["predecessor"], Value::Null);
    assert!(status.success(), "SIGINT is a way to leave: {status}");
}

/// The names of an object's fields.
fn keys(value: &Value) -> BTreeSet<&str> {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    object.keys().map(String::as_str).collect()
}

/// Asserts how a command failed: its code, and what its message names.
fn failed(output: &Output, code: i32, named: &[&str]) {
    assert_eq!(output.status.code(), Some(code), "{}", describe(output));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.trim().is_empty(), "a failure says what failed: {}", describe(output));
    for word in named {
        assert!(said.contains(word), "'{word}' is missing: {said}");
    }
}

/// Runs a program that should refuse to run; kills it if it does not.
fn ended(command: &mut Command) -> Output {
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| panic!("{PROGRAM}: {error}"));
    let end = std::time::Instant::now() + DEADLINE;
    while matches!(child.try_wait(), Ok(None)) && std::time::Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    child.wait_with_output().expect("its output")
}

#[test]
fn a_ring_that_is_killed_when_it_has_just_formed_forms_again() {
    let first = NodeProcess::start(&[]);
    let second = NodeProcess::join(&first);
    let mut nodes = [first, second];
    for node in &nodes {
        eventually("both know each other", || match members(&node.json(&["ring"])?)?.len() {
            2 => Ok(()),
            some => Err(format!("{some} members")),
        });
    }
    nodes.iter_mut().for_each(NodeProcess::kill);
    nodes.iter_mut().for_each(NodeProcess::restart_bare);
    let all = [nodes[0].address, nodes[1].address];
    for node in &nodes {
        eventually("the ring is whole again", || node.sees_ring_of(&all));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_that_a_node_joined_finds_its_ring_remembered() {
    let there = NodeProcess::start(&[]);
    let contact = there.address.to_string();
    let home = tempfile::tempdir().expect("a temporary directory");
    let node = Node::start(config(home.path())).await.expect("it starts");
    let (done, joined) = tokio::sync::oneshot::channel();
    let join = chordal::view::Command::Join { contact: contact.clone() };
    node.commands.send((join, done)).await.expect("the node runs");
    joined.await.expect("an answer").expect("it joins");
    let known = std::fs::read_to_string(home.path().join("data/peers.toml"));
    assert!(known.as_ref().is_ok_and(|known| known.contains(&contact)), "{known:?}");
    node.kill().await;
}

#[test]
fn a_ring_without_a_free_place_says_so() {
    let bits = ["--bits", "1"];
    let mut nodes = vec![NodeProcess::start(&bits)];
    let contact = nodes[0].address.to_string();
    let join = [&bits[..], &["--join", &contact]].concat();
    nodes.push(NodeProcess::start(&join));
    let all = [nodes[0].address, nodes[1].address];
    eventually("both places are taken", || nodes[0].sees_ring_of(&all));
    let late = NodeProcess::start(&join);
    eventually("it is told why it is not on the ring", || match late.log() {
        log if log.contains("has no free place for this node") => Ok(()),
        log => Err(log),
    });
}

#[test]
fn an_advertised_host_without_a_port_means_the_port_of_the_node() {
    let listen = free_address();
    let host = listen.ip().to_string();
    let any = std::net::SocketAddr::from(([0, 0, 0, 0], listen.port()));
    let node = NodeProcess::start_at(any, &["--advertise", &host]);
    assert_eq!(node.address, listen);
    let other = NodeProcess::join(&node);
    eventually("it is reached there", || node.sees_ring_of(&[listen, other.address]));
}
