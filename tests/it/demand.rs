//! Who searched a node, linked with it and took files from it: what the giver is
//! told of it, in its events, its log and its transfers.

use std::net::SocketAddr;

use chordal::engine::{Config, Node};
use chordal::view::command::parse_line;
use chordal::view::{Level, Outcome, UiEvent};
use chordal::wire::handshake::Params;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{
    DEADLINE, NodeProcess, command, config, eventually, free_address, name_owned_by, random_file,
    text,
};

/// Larger than what is told when it begins to be served, too.
const BYTES: usize = 9_000_000;

/// A node in this process, which can be told what no client may say.
struct Here {
    node: Node,
    home: TempDir,
}

impl Here {
    async fn start(change: impl FnOnce(&mut Config)) -> Here {
        let home = TempDir::new().expect("a temporary directory");
        let mut config = config(home.path());
        change(&mut config);
        Here { node: Node::start(config).await.expect("it starts"), home }
    }

    /// Carries out a line of the prompt.
    async fn run(&self, line: &str) -> Outcome {
        let command = parse_line(line).expect("a command");
        let (done, outcome) = tokio::sync::oneshot::channel();
        self.node.commands.send((command, done)).await.expect("the node runs");
        let outcome = tokio::time::timeout(DEADLINE, outcome).await.expect("in time");
        outcome.expect("an answer").expect("it succeeds")
    }

    async fn hears(&mut self, words: &str) -> UiEvent {
        let waiting = async {
            loop {
                let event = self.node.events.recv().await.expect("the node runs");
                if event.text.contains(words) {
                    return event;
                }
            }
        };
        let heard = tokio::time::timeout(DEADLINE, waiting).await;
        heard.unwrap_or_else(|_| panic!("'{words}' was not told"))
    }
}

/// Waits until a node's log has a line with all of these words.
fn told(node: &NodeProcess, words: &[&str]) {
    eventually("the giver's log tells it", || {
        let log = node.log();
        let has = |line: &str| words.iter().all(|word| line.contains(word));
        if log.lines().any(has) { Ok(()) } else { Err(format!("no {words:?} in\n{log}")) }
    });
}

/// The rows of what a node serves, for one of those it serves.
fn served(node: &NodeProcess, address: &str, client: bool) -> Result<Vec<Value>, String> {
    let listed = node.json(&["transfers"])?;
    let rows = listed["transfers"].as_array().ok_or("no rows")?;
    let its = |row: &&Value| {
        let peer = &row["peers"][0];
        row["kind"] == "serve" && peer["address"] == address && peer["client"] == client
    };
    Ok(rows.iter().filter(its).cloned().collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_giver_sees_who_searched_linked_and_took_what() {
    let giver = NodeProcess::start(&["--replicas", "1"]);
    let at: SocketAddr = giver.address;
    let params = Params { replicas: 1, ..Config::at(at).params };
    let taker = Here::start(|config| config.params = params).await;
    let me = taker.node.address;
    // Before they are on one ring, where either may draw the other at random.
    taker.run(&format!("connect {at}")).await;
    told(&giver, &[&format!("{me} has linked with this node")]);
    taker.run(&format!("join {at}")).await;
    let name = name_owned_by(at, &[me]);
    let file = taker.home.path().join("file");
    random_file(&file, BYTES, 11);
    giver.run(&["put", text(&file), "--as", &name]);
    told(&giver, &[&name, "is kept here"]);

    // The search comes over the link and over the ring, and is one.
    taker.run(&format!("find '{name}'")).await;
    let search = format!("{me} searched for {name}: 1 file found here");
    told(&giver, &[&search]);
    assert_eq!(giver.log().matches(&search).count(), 1, "{}", giver.log());

    // A node is named by its address on the ring, not by the port of its connection.
    let to = taker.home.path().join("got");
    taker.run(&format!("get '{name}' --no-reshare --to {}", text(&to))).await;
    told(&giver, &[&format!("{me} begins to take {name} (9.0 MB)")]);
    told(&giver, &[&format!("{me} took {name} (9.0 MB) in ")]);
    let rows = served(&giver, &me.to_string(), false).expect("rows");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!((&rows[0]["name"], &rows[0]["state"]), (&name.clone().into(), &"done".into()));
    assert_eq!(rows[0]["peers"][0]["bytes"], BYTES);
    let lines = giver.run(&["transfers"]);
    let row = lines.lines().find(|line| line.contains("serve")).expect("a row");
    assert!(row.contains(&me.to_string()), "{lines}");

    // A client is called one.
    // Nothing binds a client to the host of its node.
    let host = "127.0.0.1";
    assert_eq!(giver.fetch(&name).expect("it is there").len(), BYTES);
    told(&giver, &[&format!("a client at {host} took {name} (9.0 MB)")]);
    giver.run(&["find", &name]);
    told(&giver, &[&format!("a client at {host} searches the ring for {name}")]);
    let rows = eventually("the client's row ends", || match served(&giver, host, true)? {
        rows if rows.iter().all(|row| row["state"] == "done") && !rows.is_empty() => Ok(rows),
        rows => Err(format!("{rows:?}")),
    });
    assert_eq!(rows.len(), 1, "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_from_a_stranger_names_it_and_a_killed_one_took_a_part() {
    let mut giver = Here::start(|config| config.transfers.up = Some(4_000_000)).await;
    let at = giver.node.address;
    let file = giver.home.path().join("film");
    random_file(&file, 12_000_000, 12);
    giver.run(&format!("share {}", text(&file))).await;

    // Each node is alone: they have only the address in common.
    let stranger = Here::start(|_| {}).await;
    let me = stranger.node.address;
    let small = giver.home.path().join("note");
    random_file(&small, 1_000, 13);
    giver.run(&format!("share {}", text(&small))).await;
    let to = stranger.home.path().join("note");
    stranger.run(&format!("request note {at} --to {}", text(&to))).await;
    let event = giver.hears(&format!("{me} took note (1.0 kB) in ")).await;
    assert_eq!(event.level, Level::Traffic);

    let to = stranger.home.path().join("film");
    let via = free_address();
    let client = NodeProcess::start_at(via, &[]);
    let (at, via) = (at.to_string(), via.to_string());
    let words = ["request", "film", &at, "--to", text(&to), "--via", &via];
    let mut child = command(&words).spawn().expect("it starts");
    giver.hears("a client at 127.0.0.1 begins to take film (12.0 MB)").await;
    eventually("some of it is there", || {
        let snapshot = giver.node.snapshots.borrow().clone();
        let row = snapshot.transfers.iter().find(|row| row.name == "film" && row.done > 0);
        row.map(|_| ()).ok_or_else(|| format!("{:?}", snapshot.transfers))
    });
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let event = giver.hears("of film (12.0 MB) in ").await;
    assert!(event.text.contains("then hung up"), "{}", event.text);
    drop(client);
}
