//! The index of a node that runs, over real files.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use std::fs::File;

use chordal_core::id::Space;
use chordal_core::name::FileName;
use chordal_core::transfer::manifest::{Manifest, PieceIndex};
use chordal_store::Stamp;
use chordal_view::{Outcome, Role};

use super::file::{OpenShare, SharedFile};
use super::handle::{Shares, share, unshare};
use super::{follow, hash};
use crate::sharing::Sharing;
use crate::{Config, Node};
use chordal_core::transfer::manifest::ManifestBuilder;

const DEADLINE: Duration = Duration::from_secs(30);

struct Home {
    node: Node,
    dir: TempDir,
}

impl Home {
    async fn start() -> Home {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Home { node: node(dir.path()).await, dir }
    }

    async fn restart(self) -> Home {
        let Home { node: old, dir } = self;
        old.kill().await;
        Home { node: node(dir.path()).await, dir }
    }

    fn sharing(&self) -> &Sharing {
        &self.node.user.sharing
    }

    fn shares(&self) -> &Shares {
        &self.node.user.sharing.shares
    }

    /// A file that was not written to lately, so that nobody waits for it.
    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.dir.path().join("files").join(name);
        fs::create_dir_all(path.parent().expect("it lies in a directory")).expect("a directory");
        fs::write(&path, bytes).expect("written");
        path
    }

    async fn share(&self, path: &Path) -> usize {
        match share(self.shares(), vec![path.to_owned()]).await {
            Ok(Outcome::Shared { files, .. }) => files,
            other => panic!("not shared: {other:?}"),
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Shares) -> bool) {
        until(self.shares(), what, holds).await;
    }

    fn named(&self, name: &str) -> Option<SharedFile> {
        self.shares().named(&FileName::new(name).expect("a name"))
    }
}

async fn node(dir: &Path) -> Node {
    let config = Config {
        data_dir: Some(dir.join("data")),
        download_dir: Some(dir.join("downloads")),
        ..Config::at(([127, 0, 0, 1], 0).into())
    };
    Node::start(config).await.expect("it starts")
}

async fn until(shares: &Shares, what: &str, holds: impl Fn(&Shares) -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds(shares) {
        assert!(Instant::now() < deadline, "{what}; shared are {:?}", shares.all());
        // Looked at again soon: what is waited for has no signal of its own.
        let _ = timeout(Duration::from_millis(20), shares.changed()).await;
        sleep(Duration::from_millis(1)).await;
    }
}

fn manifest_of(bytes: &[u8]) -> Manifest {
    let mut builder = ManifestBuilder::new(bytes.len() as u64);
    builder.update(bytes);
    builder.finish().expect("all bytes came")
}

/// The bytes of a content of one piece, if they are what they were.
fn read(share: OpenShare) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(share.read(PieceIndex(0), &mut bytes), "it is not what it was");
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_written_to_and_given_its_old_time_is_offered_anew() {
    let home = Home::start().await;
    let path = home.file("dir/a.txt", b"before");
    let old = path.metadata().and_then(|metadata| metadata.modified()).expect("it has a time");
    home.share(path.parent().expect("dir")).await;
    let before = manifest_of(b"before").root();
    let share = home.shares().open(&before).expect("it is shared");
    fs::write(&path, b"after!").expect("written");
    File::options().write(true).open(&path).and_then(|file| file.set_modified(old)).expect("set");
    let mut bytes = Vec::new();
    assert!(!share.read(PieceIndex(0), &mut bytes), "nobody is sent what was not offered");
    let after = manifest_of(b"after!").root();
    home.until("it is shared as it is now", |shares| shares.with_content(&after).is_some()).await;
    assert!(home.shares().with_content(&before).is_none());
    home.node.kill().await;
}

/// A program that writes to a file so that none of its marks changes (as some file systems
/// let them) is found out when it is served.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_what_its_marks_promise_is_read_again_when_it_is_served() {
    let home = Home::start().await;
    let path = home.file("a.txt", b"truth");
    let stamp = Stamp::of(&path.metadata().expect("it is there"));
    let kept = path.canonicalize().expect("it is there");
    let lie = manifest_of(b"lies!");
    home.sharing().store.keep_hashed(&[(&kept, stamp, &lie)]).expect("kept");
    home.share(&path).await;
    let share = home.shares().open(&lie.root()).expect("it is offered as what it was");
    let mut bytes = Vec::new();
    assert!(!share.read(PieceIndex(0), &mut bytes));
    home.shares().doubt(&share);
    assert!(home.shares().with_content(&lie.root()).is_none(), "nobody else is served it");
    let truth = manifest_of(b"truth").root();
    home.until("it was read again", |shares| shares.with_content(&truth).is_some()).await;
    home.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_is_served_as_it_was_hashed_or_not_at_all() {
    let home = Home::start().await;
    let path = home.file("dir/a.txt", b"before");
    let secret = home.file("secret.txt", b"secret");
    home.share(path.parent().expect("dir")).await;
    let before = manifest_of(b"before");
    let root = before.root();
    assert_eq!(home.shares().manifest(&root), Some(before));
    assert_eq!(home.shares().open(&root).map(read), Some(b"before".to_vec()));
    assert!(home.shares().open(&manifest_of(b"secret").root()).is_none());

    // As long and in the same place, but written again.
    fs::write(&path, "after!").expect("written");
    assert!(home.shares().open(&root).is_none());
    let after = manifest_of(b"after!").root();
    home.until("it is shared as it is now", |shares| shares.with_content(&after).is_some()).await;
    assert!(home.shares().with_content(&root).is_none());
    assert_eq!(home.shares().open(&after).map(read), Some(b"after!".to_vec()));

    // The file itself moves out and a link leads to it: still the same inode.
    let outside = home.dir.path().join("outside.txt");
    fs::rename(&path, &outside).expect("moved");
    symlink(&outside, &path).expect("a link");
    assert!(home.shares().open(&after).is_none(), "it lies outside of what is shared");
    fs::remove_file(&path).expect("removed");
    symlink(&secret, &path).expect("a link");
    assert!(home.shares().open(&after).is_none());
    home.until("nothing is left", |shares| shares.totals() == (0, 0)).await;
    home.node.kill().await;
}

/// What was kept for the file is not what it holds: only somebody who does not
/// read it can believe so.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_hashed_before_is_not_read_again() {
    let home = Home::start().await;
    let path = home.file("a.txt", b"truth");
    let pretended = manifest_of(b"story");
    let stamp = Stamp::of(&path.metadata().expect("it is there"));
    home.sharing().store.keep_hashed(&[(&path, stamp, &pretended)]).expect("kept");
    assert_eq!(home.share(&path).await, 1);
    assert_eq!(home.named("a.txt").map(|file| file.root), Some(pretended.root()));

    // Also not by the next node in this directory.
    let home = home.restart().await;
    home.until("it is back", |shares| shares.with_content(&pretended.root()).is_some()).await;
    fs::write(&path, "truth").expect("written");
    let truth = manifest_of(b"truth").root();
    home.until("it is read once it changed", |s| s.with_content(&truth).is_some()).await;
    home.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finished_download_is_offered_under_its_name_without_being_read() {
    let home = Home::start().await;
    let path = home.file("downloads/b (1).txt", b"truth");
    let manifest = manifest_of(b"story");
    let name = FileName::new("a/b.txt").expect("a name");
    home.shares().offer(&path, &name, &manifest);
    let offered =
        |shares: &Shares| shares.named(&name).is_some_and(|file| file.root == manifest.root());
    home.until("it is offered", offered).await;
    home.shares().offer(&path, &name, &manifest_of(b"longer than it is"));
    home.shares().known_sources(&name, 3);
    let rows = home.shares().rows(Space::default(), |_| true);
    assert_eq!(rows.len(), 1, "what has another length was no download of it");
    assert_eq!((rows[0].copies, rows[0].role), (3, Role::Shared));

    let home = home.restart().await;
    home.until("it is offered again", offered).await;
    let ended = unshare(home.shares(), "a/b.txt".to_owned()).await;
    assert!(matches!(ended, Ok(Outcome::Unshared { names }) if names == [name.clone()]));
    let home = home.restart().await;
    // Another one is there, so that the first would be as well.
    let other = home.file("other.txt", b"other");
    home.share(&other).await;
    assert_eq!(home.shares().all().len(), 1);
    home.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_system_tells_nothing_changes_are_found_by_looking() {
    let home = Home::start().await;
    let dir = home.dir.path().join("dir");
    fs::create_dir(&dir).expect("a directory");
    let (shares, inputs) = Shares::new();
    let sharing = Sharing { shares: shares.clone(), ..home.node.user.sharing.clone() };
    sharing.net.tasks.spawn(follow::polled(sharing.clone(), vec![dir.clone()], inputs));
    let names = |names: &'static [&'static str]| {
        move |shares: &Shares| {
            shares.all().iter().map(|file| file.name.as_str()).eq(names.iter().copied())
        }
    };
    fs::write(dir.join("a"), "a").expect("written");
    until(&shares, "a file came", names(&["a"])).await;
    fs::rename(dir.join("a"), dir.join("b")).expect("renamed");
    until(&shares, "it was renamed", names(&["b"])).await;
    fs::remove_file(dir.join("b")).expect("removed");
    until(&shares, "it is gone", names(&[])).await;
    home.node.kill().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_shows_among_the_transfers_while_it_is_hashed_and_can_be_cancelled() {
    let home = Home::start().await;
    let path = home.dir.path().join("large.bin");
    File::create(&path).and_then(|file| file.set_len(hash::LARGE)).expect("a file");
    assert_eq!(home.share(&path).await, 1);
    let rows = home.sharing().transfers.rows();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].kind, rows[0].done), (chordal_view::TransferKind::Hash, hash::LARGE));

    let huge = home.dir.path().join("huge.bin");
    File::create(&huge).and_then(|file| file.set_len(256 * hash::LARGE)).expect("a file");
    let shares = home.shares().clone();
    let sharing = tokio::spawn(async move { share(&shares, vec![huge]).await });
    let number = loop {
        let running = |row: &chordal_view::TransferRow| row.name == "huge.bin";
        if let Some(row) = home.sharing().transfers.rows().into_iter().find(running) {
            break row.number;
        }
        sleep(Duration::from_millis(1)).await;
    };
    home.sharing().transfers.cancel(number).expect("it runs");
    match timeout(DEADLINE, sharing).await.expect("it ends").expect("no panic") {
        Ok(Outcome::Shared { files: 0, skipped, .. }) => {
            assert!(skipped[0].contains("cancelled"), "{skipped:?}");
        }
        other => panic!("not cancelled: {other:?}"),
    }
    home.node.kill().await;
}
