//! Nodes whose clocks are wrong.

use std::net::SocketAddr;

use chordal::engine::{Config, Node};
use chordal::id::Space;
use chordal::peer::Peer;
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{chordal, config, describe, eventually, name_owned_by, random_file, text};

/// Four nodes of this process, of which one has another clock.
struct Four {
    runtime: tokio::runtime::Runtime,
    home: TempDir,
    settings: Vec<Config>,
    nodes: Vec<Option<Node>>,
}

impl Four {
    /// In the order of the ring; the clock of the first is so far ahead.
    fn with_clock(ahead_s: i64) -> Four {
        let home = TempDir::new().expect("a directory");
        let mut settings: Vec<Config> =
            (0..4).map(|at| config(&home.path().join(at.to_string()))).collect();
        settings.sort_by_key(|one| Peer::new(one.listen, 0).id(Space::default()));
        settings[0].clock_ahead_s = ahead_s;
        let contact = settings[0].listen;
        settings[1..].iter_mut().for_each(|one| one.join = vec![contact]);
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut four = Four { runtime, home, settings, nodes: vec![None, None, None, None] };
        (0..4).for_each(|at| four.start(at));
        four
    }

    fn start(&mut self, at: usize) {
        let starting = Node::start(self.settings[at].clone());
        self.nodes[at] = Some(self.runtime.block_on(starting).expect("it starts"));
    }

    fn kill(&mut self, at: usize) {
        let node = self.nodes[at].take().expect("it runs");
        self.runtime.block_on(node.kill());
    }

    fn ask(&self, at: usize, words: &[&str]) -> std::process::Output {
        let via = self.settings[at].listen.to_string();
        chordal(&[words, &["--via", &via]].concat())
    }

    /// Waits until so many are on one healthy ring.
    fn settle(&self, at: usize, members: usize) {
        eventually("they are one ring", || {
            let ring: Value = serde_json::from_slice(&self.ask(at, &["ring", "--json"]).stdout)
                .map_err(|error| error.to_string())?;
            let count = ring["members"].as_array().map_or(0, Vec::len);
            let settled = count == members && ring["healthy"] == true;
            if settled { Ok(()) } else { Err(ring.to_string()) }
        });
    }
}

#[test]
fn a_removed_file_stays_removed_though_its_owners_clock_is_a_day_slow() {
    let mut four = Four::with_clock(-25 * 60 * 60);
    four.settle(0, 4);
    let others: Vec<SocketAddr> = four.settings[1..].iter().map(|one| one.listen).collect();
    // Held by the owner and the two behind it.
    let name = name_owned_by(four.settings[0].listen, &others);
    let path = four.home.path().join("file");
    random_file(&path, 10_000, 7);
    let put = four.ask(3, &["put", text(&path), "--as", &name]);
    assert!(put.status.success(), "{}", describe(&put));
    four.kill(1);
    four.settle(0, 3);
    let removed = four.ask(0, &["rm", &name]);
    assert!(removed.status.success(), "{}", describe(&removed));
    // At its start a node lets go of the tombstones whose day is over.
    for at in [2, 3] {
        four.kill(at);
        four.start(at);
        four.settle(0, 3);
    }
    four.kill(0);
    four.settings[1].join = vec![four.settings[2].listen];
    four.start(1);
    four.settle(2, 3);
    eventually("the copy that was away is gone again", || {
        let listed = four.ask(1, &["ls", "--ring", "--json"]);
        let listed: Value =
            serde_json::from_slice(&listed.stdout).map_err(|error| error.to_string())?;
        let files = listed["files"].as_array().map_or(usize::MAX, Vec::len);
        if files == 0 { Ok(()) } else { Err(listed.to_string()) }
    });
    let got = four.ask(1, &["get", &name, "--to", text(&four.home.path().join("got"))]);
    let why = String::from_utf8_lossy(&got.stderr).into_owned();
    assert!(why.contains("was removed from the ring"), "{why}");
    for node in four.nodes.iter_mut().filter_map(Option::take) {
        four.runtime.block_on(node.kill());
    }
}
