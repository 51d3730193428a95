//! Sharing files from where they lie: what a user shares is offered as it is on
//! the disk, follows it, comes back after a restart, and ends when it is said.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chordal::engine::{Config, Node};
use chordal::name::spelled;
use chordal::view::{Command, CommandError, FileRow, Outcome, Role, Snapshot, UiEvent};
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::process::{
    DEADLINE, NodeProcess, Ring, SKY_SHIP, config, eventually, free_address, random_file, text,
    within,
};

/// A change on the disk is seen long before the directories are looked through
/// again, which is done once a minute: at once, and what a busy machine takes on
/// top.
const SOON: Duration = Duration::from_secs(20);

/// A node in this process, with directories of its own.
struct Home {
    node: Node,
    dir: TempDir,
    address: SocketAddr,
}

impl Home {
    async fn start() -> Home {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let address = free_address();
        Home { node: at(&dir, address, Vec::new()).await, dir, address }
    }

    /// The same node again, in the same directories.
    async fn restart(self) -> Home {
        let Home { node, dir, address } = self;
        node.shutdown(Duration::from_secs(1)).await;
        Home { node: at(&dir, address, Vec::new()).await, dir, address }
    }

    /// A path of this test's own.
    fn path(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join("files").join(name);
        fs::create_dir_all(path.parent().expect("it lies in files")).expect("a directory");
        path
    }

    /// A file with these bytes.
    fn file(&self, name: &str, bytes: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("written");
        path
    }

    async fn run(&self, command: Command) -> Result<Outcome, CommandError> {
        let (done, end) = oneshot::channel();
        self.node.commands.send((command, done)).await.expect("the node runs");
        end.await.expect("it answers")
    }

    /// Shares paths: how many files, their bytes, what was skipped.
    async fn share(&self, paths: &[&Path]) -> (usize, u64, Vec<String>) {
        let paths = paths.iter().map(|path| path.to_path_buf()).collect();
        match self.run(Command::Share { paths }).await {
            Ok(Outcome::Shared { files, bytes, skipped }) => (files, bytes, skipped),
            other => panic!("not shared: {other:?}"),
        }
    }

    async fn unshare(&self, name: &str) -> Vec<String> {
        match self.run(Command::Unshare { name: name.to_owned() }).await {
            Ok(Outcome::Unshared { names }) => names.iter().map(ToString::to_string).collect(),
            other => panic!("not unshared: {other:?}"),
        }
    }

    /// Waits until exactly these names are shared, as the screen shows them.
    async fn shows(&self, names: &[&str]) -> Vec<FileRow> {
        self.until(|rows| rows.iter().map(|row| row.name.as_str()).eq(names.iter().copied())).await
    }

    /// Waits until the shared files are as they should be.
    async fn until(&self, wanted: impl Fn(&[FileRow]) -> bool) -> Vec<FileRow> {
        let mut snapshots = self.node.snapshots.clone();
        let waited = snapshots.wait_for(|snapshot| wanted(&shared(snapshot)));
        match tokio::time::timeout(SOON, waited).await {
            Ok(snapshot) => shared(&snapshot.expect("the node runs")),
            Err(late) => panic!("{late}: {:?}", shared(&self.node.snapshots.borrow())),
        }
    }

    /// Waits for an event with these words.
    async fn says(&mut self, words: &str) -> UiEvent {
        let mut all = Vec::new();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            match tokio::time::timeout_at(deadline, self.node.events.recv()).await {
                Ok(Some(event)) if event.text.contains(words) => return event,
                Ok(Some(event)) => all.push(event.text),
                _ => panic!("nobody says {words:?}; it was said: {all:#?}"),
            }
        }
    }

    async fn end(self) {
        self.node.shutdown(Duration::from_secs(1)).await;
    }
}

async fn at(dir: &TempDir, address: SocketAddr, share: Vec<PathBuf>) -> Node {
    let config = Config { share, listen: address, ..config(dir.path()) };
    Node::start(config).await.expect("it starts")
}

fn shared(snapshot: &Snapshot) -> Vec<FileRow> {
    snapshot.files.iter().filter(|row| row.role == Role::Shared).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_is_shared_by_the_paths_below_it_and_what_does_not_fit_is_said() {
    let home = Home::start().await;
    let dir = home.path("pictures");
    fs::create_dir(&dir).expect("a directory");
    home.file("pictures/SkyShip.jpg", "ship");
    home.file("pictures/2024/a.txt", "aa");
    home.file("pictures/.hidden", "nobody's business");
    home.file("pictures/.git/config", "likewise");
    home.file("pictures/.a.jpg.part", "half");
    home.file("pictures/what?", "no name");
    let secret = home.file("secret.txt", "mine");
    symlink(&secret, dir.join("leak.txt")).expect("a link");
    symlink(home.dir.path(), dir.join("out")).expect("a link");
    symlink("SkyShip.jpg", dir.join("alias.jpg")).expect("a link");
    symlink("..", dir.join("2024/round")).expect("a link");
    symlink("nowhere", dir.join("lost.txt")).expect("a link");
    let _socket = UnixListener::bind(dir.join("ear")).expect("a socket");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .expect("a pipe");

    let (files, bytes, skipped) = home.share(&[&dir]).await;
    assert_eq!((files, bytes), (3, 10), "{skipped:?}");
    let rows = home.shows(&["2024/a.txt", "SkyShip.jpg", "alias.jpg"]).await;
    assert_eq!(rows[1].version.root, rows[2].version.root, "a link is its file");
    assert_eq!((rows[0].size, rows[0].copies, rows[0].wanted), (2, 1, 0));
    assert_eq!(rows[0].version.counter, 0);
    let said = |what: &str, why: &str| {
        skipped.iter().any(|line| line.contains(what) && line.contains(why))
    };
    assert!(said("what?", "U+003F"), "{skipped:?}");
    assert!(said("leak.txt", "leads out"), "{skipped:?}");
    assert!(said("/out ", "leads out"), "{skipped:?}");
    assert!(said("round", "circle"), "{skipped:?}");
    assert!(said("pipe", "neither a file"), "{skipped:?}");
    assert!(said("ear", "neither a file"), "{skipped:?}");
    assert!(said("lost.txt", "No such file"), "{skipped:?}");
    assert_eq!(skipped.len(), 7, "what is hidden is not even named: {skipped:?}");
    home.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_of_one_name_the_first_keeps_it_until_it_goes() {
    let home = Home::start().await;
    let (one, two) = (home.file("one/a.txt", "first"), home.file("two/a.txt", "second!"));
    assert_eq!(home.share(&[&one]).await, (1, 5, Vec::new()));
    let (files, _, skipped) = home.share(&[&two]).await;
    assert_eq!(files, 0);
    assert!(skipped[0].contains("two/a.txt") && skipped[0].contains("one/a.txt"), "{skipped:?}");
    assert_eq!(home.shows(&["a.txt"]).await[0].size, 5);
    fs::remove_file(one).expect("removed");
    // The other has the name now.
    home.until(|rows| rows.len() == 1 && rows[0].size == 7).await;
    home.end().await;
}

/// Two files whose names differ in Unicode normalisation alone have one name for
/// others. Nobody could say which of them is meant.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_spellings_of_one_name_neither_is_shared_whenever_the_second_one_comes() {
    let mut home = Home::start().await;
    let (composed, apart) = ("caf\u{e9}.txt", "cafe\u{301}.txt");
    let one = home.file(&format!("menu/{composed}"), "first");
    home.file(&format!("menu/{apart}"), "second");
    home.file("menu/plain.txt", "plain");
    let menu = home.path("menu");
    let (files, _, skipped) = home.share(&[&menu]).await;
    assert_eq!((files, skipped.len()), (1, 2), "{skipped:?}");
    let is_told = |told: &str, (own, twin): (&str, &str)| {
        let (own, twin) = (spelled(own), spelled(twin));
        let first = told.find(&own).filter(|at| told.find(&twin).is_some_and(|twin| *at < twin));
        first.is_some() && told.contains("is the same for others")
    };
    for pair in [(composed, apart), (apart, composed)] {
        assert!(skipped.iter().any(|told| is_told(told, pair)), "{skipped:?}");
    }
    home.shows(&["plain.txt"]).await;

    fs::remove_file(&one).expect("removed");
    let rows = home.shows(&[composed, "plain.txt"]).await;
    assert_eq!(rows[0].size, 6, "the one that is left");

    fs::write(&one, "first again").expect("written");
    home.shows(&["plain.txt"]).await;
    home.says("rename one of them").await;
    home.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_shared_is_an_error_that_names_it() {
    let home = Home::start().await;
    let fine = home.file("fine.txt", "fine");
    let none = home.path("none.txt");
    let both = Command::Share { paths: vec![fine, none] };
    let why = home.run(both).await.expect_err("refused").to_string();
    assert!(why.contains("none.txt") && why.contains("check the path"), "{why}");
    let own = Command::Share { paths: vec![home.dir.path().join("data")] };
    let why = home.run(own).await.expect_err("refused").to_string();
    assert!(why.contains("node's own files"), "{why}");
    let unknown = Command::Unshare { name: "none.txt".to_owned() };
    let why = home.run(unknown).await.expect_err("refused").to_string();
    assert!(why.contains("none.txt") && why.contains("nothing is shared"), "{why}");
    assert!(home.shows(&[]).await.is_empty());

    // A directory around the node's own files is shared without them.
    home.file("b.txt", "b");
    let (files, _, skipped) = home.share(&[home.dir.path()]).await;
    assert_eq!(files, 2);
    assert!(skipped.iter().any(|line| line.contains("/data is not shared")), "{skipped:?}");
    home.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shared_comes_back_after_a_restart_and_what_was_unshared_does_not() {
    let mut home = Home::start().await;
    let dir = home.path("dir");
    for name in ["dir/a.txt", "dir/b.txt", "dir/deep/c.txt", "dir/deep/d.txt"] {
        home.file(name, name);
    }
    let single = home.file("single.txt", "single");
    let gone = home.file("gone.txt", "gone");
    home.share(&[&dir, &single, &gone]).await;
    home.shows(&["a.txt", "b.txt", "deep/c.txt", "deep/d.txt", "gone.txt", "single.txt"]).await;
    assert_eq!(home.unshare("a.txt").await, ["a.txt"]);
    assert_eq!(home.unshare("deep").await, ["deep/c.txt", "deep/d.txt"]);
    assert_eq!(home.unshare(text(&gone)).await, ["gone.txt"]);
    home.shows(&["b.txt", "single.txt"]).await;
    let wrong = Command::Unshare { name: "single.tx".to_owned() };
    let why = home.run(wrong).await.expect_err("unknown").to_string();
    assert!(why.contains("did you mean 'single.txt'"), "{why}");

    home = home.restart().await;
    home.shows(&["b.txt", "single.txt"]).await;
    // Sharing it again takes the exclusion back.
    assert_eq!(home.share(&[&dir.join("deep")]).await.0, 2);
    home.shows(&["b.txt", "deep/c.txt", "deep/d.txt", "single.txt"]).await;
    assert_eq!(home.unshare("dir").await.len(), 3);
    home.shows(&["single.txt"]).await;
    home = home.restart().await;
    home.shows(&["single.txt"]).await;
    home.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_shared_as_it_is_now_and_a_renamed_directory_under_its_new_name() {
    let mut home = Home::start().await;
    let dir = home.path("dir");
    let path = home.file("dir/a.txt", "before");
    home.share(&[&dir]).await;
    let before = home.shows(&["a.txt"]).await.remove(0);
    fs::write(&path, "after!!").expect("written");
    home.says("a.txt changed").await;
    home.until(|rows| matches!(rows, [row] if row.version != before.version && row.size == 7))
        .await;

    let (one, two) = (dir.join("one"), dir.join("two"));
    fs::create_dir(&one).expect("a directory");
    home.file("dir/one/b.txt", "b");
    home.shows(&["a.txt", "one/b.txt"]).await;
    fs::rename(&one, &two).expect("renamed");
    home.shows(&["a.txt", "two/b.txt"]).await;
    home.file("dir/two/c.txt", "c");
    home.shows(&["a.txt", "two/b.txt", "two/c.txt"]).await;
    fs::remove_dir_all(&two).expect("removed");
    home.shows(&["a.txt"]).await;

    // The whole directory goes and comes back.
    let away = home.path("away");
    fs::rename(&dir, &away).expect("moved away");
    home.shows(&[]).await;
    home.says("is gone").await;
    fs::rename(&away, &dir).expect("moved back");
    home.shows(&["a.txt"]).await;
    home.file("dir/new.txt", "new");
    home.shows(&["a.txt", "new.txt"]).await;
    home.end().await;
}

/// The shared rows of `ls --json`: name, bytes.
fn listed(node: &NodeProcess) -> Result<Vec<(String, u64)>, String> {
    let listing = node.json(&["ls"])?;
    let files = listing["files"].as_array().ok_or_else(|| format!("no files: {listing}"))?;
    let shared = files.iter().filter(|file| file["role"] == "shared");
    let row = |file: &Value| Some((file["name"].as_str()?.to_owned(), file["size"].as_u64()?));
    shared.map(|file| row(file).ok_or_else(|| format!("no row: {file}"))).collect()
}

#[test]
fn a_directory_named_at_the_start_is_followed_within_seconds() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let root = dir.path().join("not there yet");
    let node = NodeProcess::start(&["--share", text(&root)]);
    eventually("it says that the directory is missing", || {
        let log = node.log();
        if log.contains("is not there") { Ok(()) } else { Err(log) }
    });
    let shows = |files: &[(&str, u64)]| {
        let wanted: Vec<(String, u64)> = files.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect();
        within(SOON, "the listing follows the disk", || match listed(&node)? {
            rows if rows == wanted => Ok(()),
            rows => Err(format!("{rows:?} instead of {wanted:?}")),
        });
    };
    fs::create_dir(&root).expect("a directory");
    fs::write(root.join("a.txt"), "a").expect("written");
    shows(&[("a.txt", 1)]);
    fs::write(root.join("a.txt"), "longer").expect("written");
    shows(&[("a.txt", 6)]);
    fs::create_dir_all(root.join("x/y")).expect("directories");
    fs::write(root.join("x/y/deep.bin"), [7; 300]).expect("written");
    shows(&[("a.txt", 6), ("x/y/deep.bin", 300)]);
    fs::rename(root.join("x/y/deep.bin"), root.join("up.bin")).expect("renamed");
    shows(&[("a.txt", 6), ("up.bin", 300)]);
    fs::remove_file(root.join("a.txt")).expect("removed");
    shows(&[("up.bin", 300)]);
}

#[test]
fn a_shared_file_is_fetched_by_others_as_it_lies_there() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::copy(SKY_SHIP, dir.path().join("SkyShip.jpg")).expect("the picture is in assets");
    let sharer = NodeProcess::start(&["--share", text(dir.path())]);
    let other = NodeProcess::join(&sharer);
    let ring = Ring { nodes: vec![sharer, other] };
    ring.settled();
    let fetched = || eventually("the file is fetched", || ring.nodes[1].fetch("SkyShip.jpg"));
    assert!(fetched() == fs::read(SKY_SHIP).expect("the picture is in assets"));
    assert!(!ring.nodes[0].data_dir().join("blobs").read_dir().expect("it is there").any(|_| true));

    random_file(&dir.path().join("SkyShip.jpg"), 3 << 20, 1);
    let now = fs::read(dir.path().join("SkyShip.jpg")).expect("just written");
    eventually("others get what lies there now", || match ring.nodes[1].fetch("SkyShip.jpg")? {
        bytes if bytes == now => Ok(()),
        bytes => Err(format!("{} other bytes", bytes.len())),
    });
}

#[test]
fn a_shared_file_that_is_edited_without_a_trace_is_offered_anew_and_nobody_is_blamed() {
    let dir = TempDir::new().expect("a temporary directory");
    let path = dir.path().join("film.bin");
    random_file(&path, 5 << 19, 41);
    let sharer = NodeProcess::start(&["--share", text(dir.path())]);
    let other = NodeProcess::join(&sharer);
    eventually("it is offered", || other.fetch("film.bin"));
    let old = path.metadata().and_then(|metadata| metadata.modified()).expect("it has a time");
    random_file(&path, 5 << 19, 42);
    let file = std::fs::File::options().write(true).open(&path).expect("it is there");
    file.set_modified(old).expect("its time is set back");
    let edited = std::fs::read(&path).expect("it is there");
    eventually("it is offered anew", || match other.fetch("film.bin") {
        Ok(bytes) if bytes == edited => Ok(()),
        Ok(_) => Err("an older content".to_owned()),
        Err(why) if why.contains("damaged") => panic!("the sharer is blamed: {why}"),
        Err(why) => Err(why),
    });
}
