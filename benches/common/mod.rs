//! Nodes for benchmarks, in the benchmark's own process.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use chordal::engine::{Config, Node};
use chordal::id::Space;
use chordal::wire::handshake::Params;
use tokio::sync::mpsc;

/// Starts a node with everything that it keeps below `home`.
pub(crate) async fn start(home: &Path, contact: Option<SocketAddr>) -> Node {
    let mut node = Node::start(Config {
        join: contact.into_iter().collect(),
        params: Params { ring: "bench".to_owned(), space: Space::default(), replicas: 3 },
        data_dir: Some(home.join("data")),
        download_dir: Some(home.join("downloads")),
        ..Config::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    })
    .await
    .expect("a node starts");
    // Somebody looks at the events, as a dashboard does.
    let mut events = std::mem::replace(&mut node.events, mpsc::channel(1).1);
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    node
}
