//! Downloads from all who have a file: several holders at once, sources that
//! lie, stop or crawl, several contents under one name, exactly one peer.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use chordal::engine::{Config, Node};
use chordal::name::FileName;
use chordal::record::{Content, ContentHash, Record, Version};
use chordal::view::{Command, CommandError, Outcome, Trust, UiEvent};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::process::{
    DEADLINE, NodeProcess, Ring, SKY_SHIP, chordal, command, config, describe, eventually,
    pieces_in, random_file, signal, text, with_sky_ship,
};
use crate::sources::{Conduct, Served, Source};

const MIB: usize = 1 << 20;

/// A file that takes long enough to arrive for a test to watch.
const LARGE: usize = 64 * MIB;

/// A name on a ring of made-up sources.
const NAME: &str = "f.bin";

/// A client's directory.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(TempDir::new().expect("a temporary directory"))
    }

    fn fetched(&self) -> PathBuf {
        self.0.path().join("fetched")
    }

    /// Starts a `get` through this node.
    fn get(&self, name: &str, via: &str) -> Child {
        self.get_with(name, via, &[])
    }

    /// The same with further arguments.
    fn get_with(&self, name: &str, via: &str, more: &[&str]) -> Child {
        command(&["get", name, "--to", text(&self.fetched()), "--via", via])
            .args(more)
            .current_dir(self.0.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts")
    }

    /// What a `get` of the made-up name says in the end.
    fn got(&self, name: &str, via: &Source) -> Output {
        self.get(name, &via.address.to_string()).wait_with_output().expect("its output")
    }

    /// Whether pieces of an unfinished download are here.
    fn begun(&self) -> bool {
        !pieces_in(&self.0.path().join(".fetched.part.map")).is_empty()
    }

    /// Nothing but, perhaps, the fetched file.
    fn is_tidy(&self) -> bool {
        let entries = fs::read_dir(self.0.path()).expect("its directory").flatten();
        entries.map(|entry| entry.path()).all(|path| path == self.fetched())
    }

    /// The fetched bytes are these, and nothing else is left.
    fn has(&self, bytes: &[u8]) -> bool {
        fs::read(self.fetched()).expect("it was fetched") == bytes && self.is_tidy()
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", describe(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", describe(output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_file_on_three_nodes_comes_from_all_three_and_one_may_die_half_way() {
    let mut ring = Ring::of(4);
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("large.bin");
    random_file(&path, LARGE, 11);
    let original = fs::read(&path).expect("it was written");
    ring.nodes[0].run(&["put", text(&path)]);
    let holders = ring.secured("large.bin");
    let other = ring.nodes.iter().find(|node| !holders.contains(&node.address)).expect("4 > 3");
    let via = other.address.to_string();

    // A machine that is very busy may give one of them all the time.
    eventually("all three deliver", || {
        let home = Home::new();
        let output = home.get("large.bin", &via).wait_with_output().expect("its output");
        let said = said(&output);
        assert!(home.has(&original));
        let named = holders.iter().filter(|holder| said.contains(&holder.to_string())).count();
        if named == 3 { Ok(()) } else { Err(said) }
    });

    let home = Home::new();
    // It takes some seconds, and is held still while a source is killed: so it
    // cannot be faster.
    let mut client = home.get_with("large.bin", &via, &["--limit-down", "16M"]);
    eventually("bytes arrive", || {
        if home.begun() { Ok(()) } else { Err(format!("{:?}", client.try_wait())) }
    });
    signal(client.id(), Signal::STOP);
    assert!(matches!(client.try_wait(), Ok(None)), "it was done before a source died");
    let place = ring.nodes.iter().position(|node| node.address == holders[0]);
    ring.crash(place.expect("a holder is a node"));
    signal(client.id(), Signal::CONT);
    let output = client.wait_with_output().expect("its output");
    let said = said(&output);
    assert!(home.has(&original));
    assert!(holders[1..].iter().any(|holder| said.contains(&holder.to_string())), "{said}");
}

#[test]
fn a_source_that_damages_a_piece_is_dropped_and_the_others_deliver() {
    let served = Served::random(40 * MIB, 1);
    let steady = Conduct { rate: Some(10 << 20), ..Conduct::default() };
    let lying = Conduct { damaged: Some(0), ..steady.clone() };
    let owner = Source::start(&served, steady);
    let liars: Vec<Source> = (0..3).map(|_| Source::start(&served, lying.clone())).collect();
    let all: Vec<&Source> = std::iter::once(&owner).chain(&liars).collect();
    owner.records(NAME, &served, &all);
    let home = Home::new();
    let said = said(&home.got(NAME, &owner));
    assert!(home.has(&served.bytes), "{said}");
    // A single byte is the question whether it has the content still.
    let for_pieces = |liar: &Source| liar.asked().iter().filter(|(_, length)| *length > 1).count();
    let asked: Vec<usize> = liars.iter().map(for_pieces).collect();
    assert!(asked.iter().any(|times| *times > 0), "no liar was asked: this proves nothing");
    assert!(asked.iter().all(|times| *times <= 1), "asked again after a damaged piece: {asked:?}");
    assert!(liars.iter().all(|liar| !said.contains(&liar.address.to_string())), "{said}");
}

#[test]
fn when_the_only_source_damages_a_piece_the_error_names_it() {
    let served = Served::random(3 * MIB, 2);
    let liar = Conduct { damaged: Some(MIB as u64), ..Conduct::default() };
    let owner = Source::start(&served, liar);
    owner.records(NAME, &served, &[&owner]);
    let home = Home::new();
    let why = complained(&home.got(NAME, &owner));
    assert!(why.contains(&owner.address.to_string()), "{why}");
    assert!(why.contains("sent a damaged piece (1)"), "{why}");
    assert!(!home.fetched().exists(), "it has its name half-written");
    assert!(why.contains("what has come is kept"), "{why}");
}

#[test]
fn a_source_that_claims_another_size_is_left_for_an_honest_one() {
    let served = Served::random(3 * MIB, 3);
    let liar = Conduct { claims: Some(2 << 20), ..Conduct::default() };
    let (owner, honest) =
        (Source::start(&served, liar), Source::start(&served, Conduct::default()));
    owner.records(NAME, &served, &[&owner, &honest]);
    let home = Home::new();
    let said = said(&home.got(NAME, &owner));
    assert!(home.has(&served.bytes));
    assert!(said.contains(&honest.address.to_string()), "{said}");
    assert_eq!(owner.sent(), 0, "it was asked for bytes though it had lied");
}

#[test]
fn one_that_crawls_is_relieved_by_those_that_are_fast() {
    let served = Served::random(48 * MIB, 4);
    let fast = || Conduct { rate: Some(40 << 20), ..Conduct::default() };
    let crawling = Conduct { rate: Some(20_000), ..Conduct::default() };
    let (owner, other) = (Source::start(&served, fast()), Source::start(&served, fast()));
    let slow = Source::start(&served, crawling);
    owner.records(NAME, &served, &[&owner, &slow, &other]);
    let home = Home::new();
    let began = Instant::now();
    let said = said(&home.got(NAME, &owner));
    let took = began.elapsed();
    assert!(home.has(&served.bytes), "{said}");
    let owed: u64 = slow.asked().iter().map(|(_, length)| length).sum();
    assert!(owed >= 1 << 20, "the slow one was never asked: this proves nothing");
    // It alone would have needed this long for what it was asked for first.
    let alone = Duration::from_micros(slow.asked()[0].1 * 50);
    assert!(took < alone / 2, "{took:?}, where the slow one needs {alone:?}");
}

#[test]
fn sources_that_die_one_after_the_other_leave_their_pieces_to_the_last() {
    let served = Served::random(32 * MIB, 5);
    let mortal = |bytes: u64| Conduct {
        rate: Some(30 << 20),
        dies_after: Some(bytes),
        ..Conduct::default()
    };
    let owner = Source::start(&served, Conduct { rate: Some(30 << 20), ..Conduct::default() });
    let dying: Vec<Source> =
        [1, 3 << 20, 5_000_000].map(|bytes| Source::start(&served, mortal(bytes))).into();
    let all: Vec<&Source> = dying.iter().chain([&owner]).collect();
    owner.records(NAME, &served, &all);
    let home = Home::new();
    let said = said(&home.got(NAME, &owner));
    assert!(home.has(&served.bytes), "{said}");
    assert!(said.contains(&owner.address.to_string()), "{said}");
    // What is asked twice is what the dead owed, and a little at the end.
    let asked: u64 = all.iter().flat_map(|source| source.asked()).map(|(_, length)| length).sum();
    assert!(asked < 2 * served.size(), "{asked} bytes were asked for");
}

#[test]
fn a_source_that_is_found_late_joins_in() {
    let served = Served::random(48 * MIB, 6);
    // So slow that it has sent little when it is looked for others again.
    let slow = Conduct { rate: Some(1 << 20), ..Conduct::default() };
    let owner = Source::start(&served, slow);
    let late = Source::start(&served, Conduct::default());
    owner.records(NAME, &served, &[&owner]);
    let home = Home::new();
    let client = home.get(NAME, &owner.address.to_string());
    eventually("the first bytes come", || match owner.sent() {
        0 => Err("none yet".to_owned()),
        _ => Ok(()),
    });
    owner.knows(|known| known.providers = vec![late.provider(NAME)]);
    let output = client.wait_with_output().expect("its output");
    let said = said(&output);
    assert!(home.has(&served.bytes));
    assert!(said.contains(&late.address.to_string()), "{said}");
    assert!(late.sent() > owner.sent(), "the fast one delivered less than the slow one");
}

#[test]
fn those_who_share_a_file_suffice_where_the_ring_has_none() {
    let served = Served::random(20 * MIB, 7);
    let owner = Source::start(&Served::random(1, 0), Conduct::default());
    let steady = || Conduct { rate: Some(20 << 20), ..Conduct::default() };
    let sharers = [Source::start(&served, steady()), Source::start(&served, steady())];
    let providers = sharers.iter().map(|sharer| sharer.provider(NAME)).collect();
    owner.knows(|known| known.providers = providers);
    let fetch = || {
        let home = Home::new();
        let said = said(&home.got(NAME, &owner));
        assert!(home.has(&served.bytes));
        sharers.iter().for_each(|sharer| assert!(said.contains(&sharer.address.to_string())));
    };
    fetch();
    // A name that was removed from the ring, and is shared still.
    let name = FileName::new(NAME).expect("a name");
    let version = Version { counter: 3, root: ContentHash::default() };
    owner.knows(|known| {
        known.record = Some(Record { name, version, content: Content::Deleted { at_s: 0 } });
    });
    fetch();
}

#[test]
fn several_contents_of_a_name_are_listed_and_a_hash_chooses() {
    let (stored, shared) = (Served::random(MIB, 8), Served::random(2 * MIB, 9));
    let owner = Source::start(&stored, Conduct::default());
    let sharer = Source::start(&shared, Conduct::default());
    owner.records(NAME, &stored, &[&owner]);
    owner.knows(|known| known.providers = vec![sharer.provider(NAME)]);
    let home = Home::new();
    let listed = complained(&home.got(NAME, &owner));
    for content in [&stored, &shared] {
        assert!(listed.contains(&content.root().to_string()[..8]), "{listed}");
    }
    assert!(home.is_tidy() && !home.fetched().exists(), "something was fetched");
    assert_eq!((owner.sent(), sharer.sent()), (0, 0));

    let chosen = format!("{NAME}@{}", &shared.root().to_string()[..8]);
    said(&home.got(&chosen, &owner));
    assert!(home.has(&shared.bytes));
    let home = Home::new();
    said(&home.got(&format!("{NAME}@{}", stored.root()), &owner));
    assert!(home.has(&stored.bytes));
    // A prefix of neither.
    let other = (0..16u32).map(|digit| format!("{digit:x}")).find(|digit| {
        ![&stored, &shared].iter().any(|served| served.root().to_string().starts_with(digit))
    });
    let why = complained(&home.got(&format!("{NAME}@{}", other.expect("16 > 2")), &owner));
    assert!(why.contains(&stored.root().short()) && why.contains(&shared.root().short()), "{why}");
}

#[test]
fn a_request_takes_the_file_from_one_peer_of_any_ring() {
    let (_dir, path) = with_sky_ship();
    let here = NodeProcess::start(&[]);
    let there = NodeProcess::start(&["--ring", "elsewhere"]);
    there.run(&["put", text(&path)]);
    let (via, peer) = (here.address.to_string(), there.address.to_string());
    let home = Home::new();
    let request = |name: &str| {
        chordal(&["request", name, &peer, "--to", text(&home.fetched()), "--via", &via])
    };
    let why = complained(&request("SkyPalace.jpg"));
    assert!(why.contains(&format!("SkyPalace.jpg not found on {peer}")), "{why}");
    let said = said(&request("SkyShip.jpg"));
    assert!(said.contains(&peer), "{said}");
    assert!(home.has(&fs::read(SKY_SHIP).expect("the picture is in assets")));
}

/// A node on a ring of its own, with its directories below this one.
async fn alone(dir: &Path) -> Node {
    Node::start(config(dir)).await.expect("it starts")
}

async fn run(node: &Node, command: Command) -> Result<Outcome, CommandError> {
    let (done, end) = oneshot::channel();
    node.commands.send((command, done)).await.expect("the node runs");
    end.await.expect("it answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_download_is_offered_onward_unless_its_user_says_no() {
    let dir = TempDir::new().expect("a temporary directory");
    let node = alone(dir.path()).await;
    let sharers = [("kept.bin", 12, true), ("offered.bin", 13, false)].map(|(name, seed, kept)| {
        let served = Served::random(MIB, seed);
        (name, kept, Source::start(&served, Conduct::default()))
    });
    for (name, no_reshare, sharer) in sharers {
        let at = node.address;
        let provided = tokio::task::spawn_blocking(move || sharer.provides(name, at));
        provided.await.expect("it is taken");
        let get = Command::Get { name: name.to_owned(), to: None, no_reshare };
        run(&node, get).await.expect("it is there");
    }
    let offers = |snapshot: &std::sync::Arc<chordal::view::Snapshot>| {
        let shared = snapshot.files.iter().filter(|row| row.role == chordal::view::Role::Shared);
        shared.map(|row| row.name.as_str()).eq(["offered.bin"])
    };
    let mut snapshots = node.snapshots.clone();
    let offered = tokio::time::timeout(DEADLINE, snapshots.wait_for(offers)).await;
    let shown = node.snapshots.borrow().files.clone();
    assert!(offered.is_ok(), "what was fetched is not offered: {shown:?}");
    node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_replaced_or_removed_does_not_come_back_from_those_who_got_it() {
    let dir = TempDir::new().expect("a temporary directory");
    let node = alone(dir.path()).await;
    let path = dir.path().join("plan.txt");
    let put = || Command::Put { path: path.clone(), name: None, overwrite: true, min_copies: 1 };
    let get = || Command::Get { name: "plan.txt".into(), to: None, no_reshare: false };
    fs::write(&path, b"the first plan").expect("written");
    run(&node, put()).await.expect("it is stored");
    run(&node, get()).await.expect("it is there");
    let shares = |snapshot: &std::sync::Arc<chordal::view::Snapshot>| snapshot.sharing.files == 1;
    node.snapshots.clone().wait_for(shares).await.expect("the download is offered");

    fs::write(&path, b"a better plan").expect("written");
    run(&node, put()).await.expect("it is replaced");
    let fetched = run(&node, get()).await.expect("there is one content");
    let Outcome::Fetched { path: saved, .. } = fetched else { panic!("{fetched:?}") };
    assert_eq!(fs::read(saved).expect("saved"), b"a better plan");
    run(&node, Command::Rm { name: "plan.txt".into() }).await.expect("it is removed");
    let gone = run(&node, get()).await.expect_err("it is removed");
    assert!(gone.to_string().contains("plan.txt was removed"), "{gone}");
    node.kill().await;
}

/// The next event whose text fits.
async fn told(node: &mut Node, fits: impl Fn(&str) -> bool) -> String {
    let waiting = async {
        loop {
            match node.events.recv().await.expect("the node runs") {
                UiEvent { text, .. } if fits(&text) => return text,
                _ => {}
            }
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.expect("it is told")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_names_a_sharer_that_cheats_and_does_not_use_it_again() {
    let dir = TempDir::new().expect("a temporary directory");
    let config = Config { reshare: false, ..config(dir.path()) };
    let mut node = Node::start(config).await.expect("it starts");
    let served = Served::random(2 * MIB, 10);
    let liar = Source::start(&served, Conduct { damaged: Some(0), ..Conduct::default() });
    let cheat = liar.address;
    let telling = (liar.clone(), node.address);
    let provided = tokio::task::spawn_blocking(move || telling.0.provides(NAME, telling.1));
    provided.await.expect("it is taken");

    let get = || Command::Get { name: NAME.to_owned(), to: None, no_reshare: true };
    let why = run(&node, get()).await.expect_err("the only source cheats").to_string();
    assert!(why.contains(&format!("{cheat}: sent a damaged piece (0)")), "{why}");
    let event = told(&mut node, |text| text.contains("sent a damaged piece (0)")).await;
    assert!(event.contains(&cheat.to_string()) && event.contains("not used for"), "{event}");

    // Not even as the only one.
    let asked = liar.asked().len();
    let why = run(&node, get()).await.expect_err("nobody is left").to_string();
    assert!(why.contains("sent a damaged piece; it is not used for another 9m"), "{why}");
    assert_eq!(liar.asked().len(), asked, "it was asked again");
    // Whoever keeps the list hears of it a moment later.
    let listed = async {
        loop {
            match run(&node, Command::Peers).await.expect("a list") {
                Outcome::Peers { peers, .. } => {
                    if let Some(row) = peers.iter().find(|row| row.peer.address() == cheat) {
                        return row.clone();
                    }
                }
                other => panic!("no list of peers: {other:?}"),
            }
        }
    };
    let row = tokio::time::timeout(DEADLINE, listed).await.expect("it is listed");
    assert_eq!(row.trust, Trust::Shunned);
    assert_eq!(row.why.as_deref(), Some("sent a damaged piece"));

    let honest = Source::start(&served, Conduct::default());
    let telling = (honest.clone(), node.address);
    let provided = tokio::task::spawn_blocking(move || telling.0.provides(NAME, telling.1));
    provided.await.expect("it is taken");
    match run(&node, get()).await.expect("an honest one") {
        Outcome::Fetched { path, sources, .. } => {
            assert_eq!(sources, [(honest.peer(), served.size())]);
            assert!(fs::read(path).expect("it is saved") == *served.bytes);
        }
        other => panic!("not fetched: {other:?}"),
    }
    assert_eq!(liar.asked().len(), asked, "it was asked again");
    node.kill().await;
}
