//! Announcements between two nodes of this process: nobody outside the engine
//! can make them.

use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;

use super::input::Input;
use crate::{Config, Node};
use chordal_core::wire::mesh::GossipBody;
use chordal_view::{Command, Outcome};

/// Long, because the machine may be busy; a passing test never waits for it.
const DEADLINE: Duration = Duration::from_secs(30);

async fn start() -> (Node, TempDir) {
    let home = TempDir::new().expect("a temporary directory");
    let config = Config {
        data_dir: Some(home.path().join("data")),
        download_dir: Some(home.path().join("downloads")),
        ..Config::at(([127, 0, 0, 1], 0).into())
    };
    (Node::start(config).await.expect("it starts"), home)
}

/// The next event about what somebody shares.
async fn next_announcement(node: &mut Node) -> String {
    let waiting = async {
        loop {
            let event = node.events.recv().await.expect("the node runs");
            if event.text.contains("shares") {
                return event.text;
            }
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn announcements_wait_for_a_link_and_the_last_of_several_counts() {
    let (mut here, _home) = start().await;
    let (there, _other_home) = start().await;
    let announce = |files, bytes| {
        let mesh = there.user.overlay.mesh.clone();
        async move { mesh.send(Input::Announce(GossipBody::Shares { files, bytes })).await }
    };
    announce(11, 1).await.expect("the node runs");
    announce(12, 3_400_000).await.expect("the node runs");

    let (done, connected) = oneshot::channel();
    let connect = Command::Connect { peer: there.address.to_string() };
    here.commands.send((connect, done)).await.expect("the node runs");
    let outcome = connected.await.expect("an answer").expect("it is there");
    assert!(matches!(outcome, Outcome::Connected { already: false, .. }), "{outcome:?}");
    let first = next_announcement(&mut here).await;
    assert_eq!(first, format!("{} shares 12 files (3.4 MB)", there.address));

    // The next is not said before its time, and then only the latest.
    announce(13, 1).await.expect("the node runs");
    announce(1, 12).await.expect("the node runs");
    let second = next_announcement(&mut here).await;
    assert_eq!(second, format!("{} shares 1 file (12 B)", there.address));
    here.kill().await;
    there.kill().await;
}
