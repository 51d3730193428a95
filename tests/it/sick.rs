//! A node whose disk refuses is passed over as a full one is: the next node holds
//! what it should, owner or not, and it offers what it can still read.
//!
//! A real disk that fails needs rights that a test does not have. So the nodes run
//! in this process, and one of them has a [`FailingDisk`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use chordal::engine::{Config, Node};
use chordal::record::Obstacle;
use chordal::store::Disk;
use chordal::view::{Command, Outcome, Snapshot};
use rustix::io::Errno;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::disk::{Call, RefusingDisk};
use crate::process::{DEADLINE, chordal, config, describe, random_file};

/// How long a put may take though one node of five fails.
const AT_MOST: Duration = Duration::from_secs(3);

/// The switches of a disk that can be broken.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailingDisk {
    /// Nothing can be made durable: every fsync fails.
    unsynced: Arc<AtomicBool>,
    /// Nothing can be changed, as on a file system that the system has made
    /// read-only.
    read_only: Arc<AtomicBool>,
}

impl FailingDisk {
    /// From now on every fsync fails, or none.
    pub(crate) fn fail_syncs(&self, fails: bool) {
        self.unsynced.store(fails, Ordering::Relaxed);
    }

    /// From now on nothing can be changed, or all.
    pub(crate) fn set_read_only(&self, is: bool) {
        self.read_only.store(is, Ordering::Relaxed);
    }

    /// The disk.
    pub(crate) fn disk(&self) -> Arc<dyn Disk> {
        let switches = self.clone();
        Arc::new(RefusingDisk::new(move |call| match call {
            _ if switches.read_only.load(Ordering::Relaxed) => Some(Errno::ROFS),
            Call::Sync if switches.unsynced.load(Ordering::Relaxed) => Some(Errno::IO),
            Call::Change | Call::Sync => None,
        }))
    }
}

/// Five nodes of this process, of which the second one has a disk that can be
/// broken.
struct Five {
    nodes: Vec<Node>,
    disk: FailingDisk,
    homes: Vec<TempDir>,
}

impl Five {
    async fn start() -> Five {
        let homes: Vec<TempDir> = (0..5).map(|_| TempDir::new().expect("a directory")).collect();
        let disk = FailingDisk::default();
        let mut nodes: Vec<Node> = Vec::new();
        for home in &homes {
            let join = nodes.first().map(|first| first.address).into_iter().collect();
            let config = Config { join, ..config(home.path()) };
            let config = match nodes.len() {
                1 => Config { disk: disk.disk(), ..config },
                _ => config,
            };
            nodes.push(Node::start(config).await.expect("it starts"));
        }
        let five = Five { nodes, disk, homes };
        for at in 0..5 {
            five.until(at, |seen| seen.successors.len() == 4 && seen.health.is_good()).await;
        }
        five
    }

    async fn until(&self, at: usize, holds: impl Fn(&Snapshot) -> bool) {
        let mut snapshots = self.nodes[at].snapshots.clone();
        let waited = timeout(DEADLINE, snapshots.wait_for(|seen| holds(seen))).await;
        let _ = waited.expect("it comes to hold").expect("the node runs");
    }

    /// The nodes in the order in which they would hold this name's copies.
    fn order(&self, name: &str) -> Vec<usize> {
        let space = self.nodes[0].snapshots.borrow().space;
        let key = space.hash(name);
        let mut order: Vec<usize> = (0..5).collect();
        let place = |at: &usize| self.nodes[*at].snapshots.borrow().me.id(space);
        order.sort_by_key(|at| space.distance(key, place(at)));
        order
    }

    /// A name of which the second node is to hold this copy, counted from the
    /// owner's.
    fn name_at(&self, word: &str, copy: usize) -> String {
        let mut names = (0..).map(|number| format!("{word} {number}"));
        names.find(|name| self.order(name)[copy] == 1).expect("there is no end of names")
    }

    async fn run(&self, at: usize, command: Command) -> Result<Outcome, String> {
        let (done, end) = oneshot::channel();
        self.nodes[at].commands.send((command, done)).await.expect("the node runs");
        timeout(DEADLINE, end)
            .await
            .expect("in time")
            .expect("it answers")
            .map_err(|why| why.to_string())
    }

    async fn put(&self, at: usize, name: &str, bytes: usize) -> Outcome {
        let path = self.homes[0].path().join(name);
        random_file(&path, bytes, bytes as u64);
        let put =
            Command::Put { path, name: Some(name.to_owned()), overwrite: false, min_copies: 1 };
        let began = Instant::now();
        let stored = self.run(at, put).await.expect("it is stored");
        assert!(began.elapsed() < AT_MOST, "{name} took {:?}", began.elapsed());
        stored
    }

    async fn gets(&self, at: usize, name: &str) {
        let to = self.homes[at].path().join(format!("got {name}"));
        let get = Command::Get { name: name.to_owned(), to: Some(to.clone()), no_reshare: true };
        self.run(at, get).await.expect("it can be read");
        let expected = std::fs::read(self.homes[0].path().join(name)).expect("just put");
        assert!(std::fs::read(to).expect("just got") == expected, "{name}");
    }

    async fn end(self) {
        for node in self.nodes {
            node.kill().await;
        }
    }
}

/// The sizes of a file that goes at once and of one that goes piece by piece.
const SIZES: [(&str, usize); 2] = [("small", 20_000), ("large", 3_000_000)];

#[tokio::test(flavor = "multi_thread")]
async fn the_next_node_holds_what_a_node_with_a_failing_disk_should() {
    let five = Five::start().await;
    let sick = five.nodes[1].address;
    let before = five.name_at("before", 0);
    five.put(0, &before, 3_000_000).await;
    five.disk.fail_syncs(true);
    for (word, bytes) in SIZES {
        for copy in 0..3 {
            let name = five.name_at(&format!("{word} {copy}"), copy);
            // By a node, and by its own user.
            let at = if copy == 2 { 1 } else { 3 };
            let Outcome::Stored { holders, wanted, passed, .. } = five.put(at, &name, bytes).await
            else {
                panic!("it is no put");
            };
            assert_eq!((holders.len(), wanted), (3, 3), "{name}");
            assert!(holders.iter().all(|peer| peer.address() != sick), "{name}");
            let over: Vec<_> = passed.iter().map(|over| (over.peer.address(), over.why)).collect();
            assert_eq!(over, [(sick, Obstacle::SickDisk)], "{name}");
            five.gets(4, &name).await;
        }
    }
    // It says so itself, and everybody hears it.
    five.until(1, |seen| seen.sick_disk.is_some()).await;
    let via = five.nodes[3].address.to_string();
    let ring = chordal(&["ring", "--via", &via]);
    let said = String::from_utf8_lossy(&ring.stdout);
    assert!(said.contains(&format!("{sick}: its disk fails: ")), "{}", describe(&ring));
    let info = chordal(&["info", "--via", &sick.to_string()]);
    let said = String::from_utf8_lossy(&info.stdout);
    assert!(said.contains("disk         fails, so other nodes"), "{}", describe(&info));
    // What it has it gives, and its names are removed.
    five.gets(4, &before).await;
    let removed = five.run(3, Command::Rm { name: before.clone() }).await;
    assert!(matches!(removed, Ok(Outcome::Removed { copies: 3, .. })), "{removed:?}");
    // It takes files again when it can.
    five.disk.fail_syncs(false);
    five.until(1, |seen| seen.sick_disk.is_none()).await;
    let own = five.name_at("after", 0);
    let Outcome::Stored { holders, .. } = five.put(1, &own, 20_000).await else {
        panic!("it is no put");
    };
    assert_eq!(holders[0].address(), sick);
    five.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_became_read_only_gives_what_it_has_and_fails_no_put() {
    let five = Five::start().await;
    let sick = five.nodes[1].address;
    let before = five.name_at("before", 1);
    five.put(0, &before, 20_000).await;
    five.disk.set_read_only(true);
    for (word, bytes) in SIZES {
        for copy in 0..2 {
            let name = five.name_at(&format!("{word} {copy}"), copy);
            let stored = five.put(3, &name, bytes).await;
            let Outcome::Stored { holders, wanted: 3, .. } = stored else { panic!("{stored:?}") };
            assert!(holders.iter().all(|peer| peer.address() != sick), "{name}");
        }
    }
    five.until(1, |seen| seen.sick_disk.is_some()).await;
    five.gets(1, &before).await;
    five.disk.set_read_only(false);
    five.until(1, |seen| seen.sick_disk.is_none()).await;
    five.end().await;
}
