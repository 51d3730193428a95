//! Tests of a store: restarts, versions, shared contents and damaged ones.

mod check;
mod crash;
mod faults;
mod full_disk;
mod group;
mod journal;
mod opening;
mod room;
mod trash;

use std::io::Read;
use std::sync::LazyLock;

use tempfile::TempDir;

use super::commit::Change;
use super::faulty::{Fault, FaultyDisk, Part};
use super::*;
use chordal_core::record::{Content, Version};

/// Sets a content aside with its present stamp.
fn set_aside(store: &Store, root: &ContentHash, keep: bool) -> Result<SetAside, StoreError> {
    store.set_aside(root, store.marks(root)?, keep)
}

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

fn bytes(seed: u8) -> Vec<u8> {
    // Made once, for thousands of runs.
    static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| pattern(3, 2 * 1024 * 1024 + 77));
    // Seed 0 is the empty file, seed 3 has several pieces.
    match seed {
        0 => Vec::new(),
        3 => LARGE.clone(),
        _ => pattern(seed, 1000 + usize::from(seed)),
    }
}

fn pattern(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at % 253) as u8 ^ seed).collect()
}

fn manifest_of(bytes: &[u8]) -> Manifest {
    let mut builder = ManifestBuilder::new(bytes.len() as u64);
    builder.update(bytes);
    builder.finish().unwrap()
}

fn take_in(store: &Store, bytes: &[u8]) -> Result<ContentHash, IncomingError> {
    let manifest = manifest_of(bytes);
    let incoming = store.begin(manifest.clone())?;
    for index in manifest.indices() {
        let (from, len) = (manifest.offset_of(index) as usize, manifest.len_of(index) as usize);
        incoming.write(index, &bytes[from..from + len])?;
    }
    incoming.finish()?;
    Ok(manifest.root())
}

fn file(text: &str, counter: u64, bytes: &[u8]) -> Record {
    let root = ContentHash(*blake3::hash(bytes).as_bytes());
    let content = Content::File { size: bytes.len() as u64 };
    Record { name: name(text), version: Version { counter, root }, content }
}

fn tombstone(text: &str, counter: u64) -> Record {
    let version = Version { counter, root: ContentHash::default() };
    Record { name: name(text), version, content: Content::Deleted { at_s: 1_700_000_000 } }
}

fn put(store: &Store, text: &str, counter: u64, seed: u8) -> Record {
    let record = file(text, counter, &bytes(seed));
    take_in(store, &bytes(seed)).unwrap();
    store.commit(&record).unwrap();
    record
}

/// Opens a store without faults and without real syncs.
fn open(dir: &Path) -> (Store, Recovery) {
    Store::open_on(dir, Arc::new(FaultyDisk::default())).unwrap()
}

/// Opens a store without faults so far, with these journal limits; returns the store and
/// its disk.
fn on_faulty_disk(dir: &Path, bounds: Bounds) -> (Store, FaultyDisk) {
    let disk = FaultyDisk::default();
    let (store, _) = Store::open_with(dir, Arc::new(disk.clone()), bounds).unwrap();
    (store, disk)
}

/// Journals that are retired all the time, at once for all contents or content by content,
/// and one that is only retired when the store is closed.
const JOURNALS: [Bounds; 3] = [
    Bounds { bytes: 1, few: 0, aside: false },
    Bounds { bytes: 1, few: 100, aside: false },
    Bounds { bytes: 1 << 20, few: 0, aside: false },
];

/// The same as in use: with a thread that retires.
const ASIDE: Bounds = Bounds { bytes: 2500, few: 0, aside: true };

fn blob_path(dir: &Path, root: &ContentHash) -> std::path::PathBuf {
    let hex = root.to_string();
    dir.join("blobs").join(&hex[..2]).join(hex)
}

/// What must hold of every directory whenever a store is open.
fn assert_sound(dir: &Path, store: &Store) {
    let records = store.records().unwrap();
    for record in records.iter().filter(|record| !record.is_deleted()) {
        let root = record.version.root;
        assert!(store.holds(&root), "{record:?}");
        let found = hash_file(&blob_path(dir, &root), |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((found.root(), found.size()), (root, record.size()), "{record:?}");
        assert_eq!(store.manifest(&root).unwrap(), Some(found));
    }
    for root in store.shared.blobs.all().unwrap().blobs.keys() {
        assert!(records.iter().any(|record| record.version.root == *root), "{root} is nobody's");
    }
    // A file or tombstone is in the log before it is in the catalogue.
    let log = log::NameLog::new(Arc::new(RealDisk), dir);
    let logged = log.read(|record| store.holds(&record.version.root)).unwrap().records;
    assert_eq!(logged.into_values().collect::<Vec<_>>(), records);
    assert!(RealDisk.list(&dir.join("recent")).unwrap().len() <= 2);
    // What an attempt left has a map, and there is nothing else.
    for path in RealDisk.list(&dir.join("partial")).unwrap() {
        let text = path.display().to_string();
        let other = match text.strip_suffix(".map") {
            Some(file) => file.to_owned(),
            None => format!("{text}.map"),
        };
        assert!(std::path::Path::new(&other).exists(), "{text} is alone");
    }
}

#[test]
fn what_was_committed_is_there_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut committed = Vec::new();
    {
        let (store, recovery) = Store::open(dir.path()).unwrap();
        assert_eq!(recovery, Recovery::default());
        for (text, seed) in [("a", 1), ("b/c.txt", 3), ("empty", 0)] {
            committed.push(put(&store, text, 1, seed));
        }
        store.set_meta("index", b"7").unwrap();
    }
    let (store, recovery) = Store::open(dir.path()).unwrap();
    assert_eq!(recovery, Recovery { records: committed.clone(), ..Recovery::default() });
    assert_eq!(store.record(&name("b/c.txt")).unwrap(), Some(committed[1].clone()));
    assert_eq!(store.meta("index").unwrap().as_deref(), Some(&b"7"[..]));
    assert_eq!(store.meta("other").unwrap(), None);
    let mut read = Vec::new();
    let blob = store.open_blob(&committed[1].version.root).unwrap();
    blob.unwrap().read_to_end(&mut read).unwrap();
    assert_eq!(read, bytes(3));
    assert_sound(dir.path(), &store);
}

#[test]
fn the_newest_version_wins_and_old_content_goes() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let old = put(&store, "a", 1, 1);
    let new = put(&store, "a", 2, 2);
    assert!(!store.holds(&old.version.root));
    assert_eq!(store.manifest(&old.version.root).unwrap(), None);
    assert!(store.open_blob(&old.version.root).unwrap().is_none());

    take_in(&store, &bytes(1)).unwrap();
    store.commit(&old).unwrap();
    assert_eq!(
        store.records().unwrap(),
        std::slice::from_ref(&new),
        "an older version changes nothing"
    );
    assert!(!store.holds(&old.version.root), "nor does it leave its content");

    store.commit(&tombstone("a", 3)).unwrap();
    store.commit(&new).unwrap();
    assert_eq!(store.records().unwrap(), [tombstone("a", 3)]);
    assert!(!store.holds(&new.version.root));
    put(&store, "a", 4, 1);
    assert_sound(dir.path(), &store);
}

#[test]
fn a_content_stays_while_any_name_needs_it() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let first = put(&store, "a", 1, 3);
    let second = put(&store, "b", 1, 3);
    store.forget(&first.name, &first.version).unwrap();
    assert!(store.holds(&second.version.root));
    assert_sound(dir.path(), &store);
    store.commit(&tombstone("b", 2)).unwrap();
    assert!(!store.holds(&second.version.root));
}

#[test]
fn forgetting_spares_a_newer_version() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let old = put(&store, "a", 1, 1);
    let new = put(&store, "a", 2, 2);
    store.forget(&old.name, &old.version).unwrap();
    assert_eq!(store.records().unwrap(), std::slice::from_ref(&new));
    store.forget(&new.name, &new.version).unwrap();
    store.forget(&new.name, &new.version).unwrap();
    assert_eq!(store.records().unwrap(), []);
}

#[test]
fn a_finished_content_survives_the_forgetting_of_its_other_name() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let first = put(&store, "a", 1, 1);
    take_in(&store, &bytes(1)).unwrap();
    store.forget(&first.name, &first.version).unwrap();
    let second = file("b", 1, &bytes(1));
    store.commit(&second).unwrap();
    assert_eq!(store.records().unwrap(), [second]);
    assert_sound(dir.path(), &store);
}

#[test]
fn a_record_without_its_bytes_is_refused() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let record = file("a", 1, &bytes(1));
    assert!(matches!(store.commit(&record), Err(StoreError::NoBlob(_))));
    take_in(&store, &bytes(1)).unwrap();
    let lying = Record { content: Content::File { size: 5 }, ..record };
    assert!(matches!(store.commit(&lying), Err(StoreError::NoBlob(_))), "another size");
    assert_eq!(store.records().unwrap(), []);
}

#[test]
fn a_wrong_piece_does_not_count() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let content = bytes(3);
    let manifest = manifest_of(&content);
    let incoming = store.begin(manifest.clone()).unwrap();
    let piece = manifest.piece_size() as usize;
    let wrong = incoming.write(PieceIndex(0), &content[1..=piece]);
    assert!(matches!(wrong, Err(IncomingError::WrongPiece(PieceIndex(0)))));
    assert_eq!(incoming.missing(), 3);
    incoming.write(PieceIndex(2), &content[2 * piece..]).unwrap();
    incoming.write(PieceIndex(2), &content[2 * piece..]).unwrap();
    assert_eq!(incoming.missing(), 2);
    assert!(matches!(incoming.finish(), Err(StoreError::Incomplete { missing: 2, .. })));
    assert!(!store.holds(&manifest.root()));
    assert_sound(dir.path(), &store);
}

#[test]
fn several_threads_bring_the_pieces_of_one_content() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let content: Vec<u8> = (0..9 * 1024 * 1024 + 5).map(|at| (at % 251) as u8).collect();
    let manifest = manifest_of(&content);
    let incoming = store.begin(manifest.clone()).unwrap();
    let bring = |index: PieceIndex| {
        let from = manifest.offset_of(index) as usize;
        incoming.write(index, &content[from..from + manifest.len_of(index) as usize]).unwrap();
    };
    // From both ends, so that they meet; a third brings all pieces.
    let forth: Vec<PieceIndex> = manifest.indices().collect();
    let back: Vec<PieceIndex> = forth.iter().rev().copied().collect();
    std::thread::scope(|scope| {
        for order in [&forth[..6], &back[..6], &forth] {
            scope.spawn(|| order.iter().for_each(|index| bring(*index)));
        }
    });
    assert_eq!(incoming.missing(), 0);
    incoming.finish().unwrap();
    store.commit(&file("a", 1, &content)).unwrap();
    assert_sound(dir.path(), &store);
}

#[test]
fn two_that_bring_the_same_content_do_not_disturb_each_other() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let manifest = manifest_of(&bytes(1));
    let one = store.begin(manifest.clone()).unwrap();
    let two = store.begin(manifest.clone()).unwrap();
    let three = store.begin(manifest.clone()).unwrap();
    one.write(PieceIndex(0), &bytes(1)).unwrap();
    drop(two);
    one.finish().unwrap();
    three.write(PieceIndex(0), &bytes(1)).unwrap();
    three.finish().unwrap();
    store.commit(&file("a", 1, &bytes(1))).unwrap();
    assert_sound(dir.path(), &store);
}

#[test]
fn a_second_process_is_refused_and_told_which_directory() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let refused = Store::open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::InUse { .. }));
    assert!(refused.to_string().contains(&dir.path().display().to_string()), "{refused}");
    drop(store);
    open(dir.path());
}

#[test]
fn what_a_crash_left_is_cleared_away_at_the_next_start() {
    let dir = TempDir::new().unwrap();
    let kept;
    let lost;
    {
        let (store, _) = open(dir.path());
        kept = put(&store, "kept", 1, 1);
        lost = put(&store, "lost", 1, 2);
        take_in(&store, &bytes(4)).unwrap();
    }
    std::fs::remove_file(blob_path(dir.path(), &lost.version.root)).unwrap();
    let partial = format!("partial/{}.part", lost.version.root);
    std::fs::write(dir.path().join(partial), b"half").unwrap();
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.records, [kept]);
    assert_eq!(recovery.removed_orphans, 1);
    assert!(!recovery.rebuilt);
    assert_eq!(recovery.notes.len(), 1);
    assert!(recovery.notes[0].contains("lost"), "{:?}", recovery.notes);
    assert_sound(dir.path(), &store);
}

/// A directory with three files in two blobs and its records.
fn furnished(dir: &Path) -> Vec<Record> {
    let (store, _) = open(dir);
    vec![put(&store, "a", 1, 1), put(&store, "b", 7, 3), put(&store, "c", 2, 1)]
}

#[test]
fn a_lost_catalogue_is_made_anew_from_the_blobs() {
    let dir = TempDir::new().unwrap();
    let records = furnished(dir.path());
    std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
    let (store, recovery) = open(dir.path());
    assert!(recovery.rebuilt);
    assert_eq!((recovery.records, recovery.removed_orphans), (records, 0));
    assert_sound(dir.path(), &store);
    drop(store);
    assert!(!open(dir.path()).1.rebuilt);
}

#[test]
fn a_damaged_catalogue_is_set_aside_and_made_anew() {
    type Harm = fn(&mut Vec<u8>);
    let harms: [(&str, Harm); 6] = [
        ("garbage", |file| *file = b"this is no catalogue".repeat(1000)),
        ("short", |file| *file = b"x".to_vec()),
        ("zeros", |file| file.fill(0)),
        ("cut", |file| file.truncate(file.len() / 2)),
        ("header", |file| file[64..320].fill(0xAA)),
        ("body", |file| file[4096..].fill(0x55)),
    ];
    for (what, harm) in harms {
        let dir = TempDir::new().unwrap();
        let records = furnished(dir.path());
        let path = dir.path().join("catalogue.redb");
        let mut file = std::fs::read(&path).unwrap();
        harm(&mut file);
        std::fs::write(&path, file).unwrap();
        let (store, recovery) = open(dir.path());
        assert!(recovery.rebuilt, "{what}");
        assert_eq!((recovery.records, recovery.removed_orphans), (records, 0), "{what}");
        assert!(dir.path().join("catalogue.redb.damaged").exists(), "{what}");
        assert_sound(dir.path(), &store);
    }
}

#[test]
fn a_damaged_blob_is_noticed_when_it_is_hashed_again() {
    let dir = TempDir::new().unwrap();
    let records = furnished(dir.path());
    let root = records[0].version.root;
    let mut content = bytes(1);
    content[9] ^= 1;
    std::fs::write(blob_path(dir.path(), &root), content).unwrap();
    std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
    let (store, _) = open(dir.path());
    assert!(matches!(store.manifest(&root), Err(StoreError::Damaged { .. })));
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    let dir = TempDir::new().unwrap();
    for (kind, full) in
        [(std::io::ErrorKind::StorageFull, true), (std::io::ErrorKind::Other, false)]
    {
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        disk.arm(1, Fault::Once(kind));
        assert_eq!(store.set_meta("x", b"y").unwrap_err().is_full(), full);
        disk.arm(1, Fault::Once(kind));
        assert_eq!(store.begin(manifest_of(b"x")).unwrap_err().is_full(), full);
    }
}

#[test]
fn hashing_a_file_tells_its_progress() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("f");
    std::fs::write(&path, bytes(3)).unwrap();
    let mut seen = 0;
    let manifest = hash_file(&path, |step| {
        seen += step;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert!(hash_file(&path, |_| ControlFlow::Break(())).is_err(), "broken off");
    assert_eq!(manifest, manifest_of(&bytes(3)));
    assert_eq!(seen, manifest.size());
    let refused = |path: &Path| {
        let hashed = hash_file(path, |_| ControlFlow::Continue(()));
        hashed.expect_err("it is no regular file").kind()
    };
    assert_eq!(refused(dir.path()), std::io::ErrorKind::InvalidInput, "a directory");
    // No process writes into it: opened as a file, it would block.
    let pipe = dir.path().join("pipe");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    assert_eq!(refused(&pipe), std::io::ErrorKind::InvalidInput, "a pipe");
    let mut steps = 0;
    let shrunk = hash_file(&path, |_| {
        steps += 1;
        if steps == 1 {
            File::options().write(true).open(&path).unwrap().set_len(9).unwrap();
        }
        ControlFlow::Continue(())
    });
    assert_eq!(shrunk.expect_err("it changed").kind(), std::io::ErrorKind::UnexpectedEof);
}

#[test]
fn what_was_hashed_outside_is_known_for_the_same_file_until_it_is_not_needed() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    std::fs::write(&outside, bytes(1)).unwrap();
    let stamp = Stamp::of(&outside.metadata().unwrap());
    let (store, _) = open(&dir.path().join("data"));
    assert!(store.hashed(&outside, &stamp).unwrap().is_none(), "there is no table yet");
    let manifest = hash_file(&outside, |_| ControlFlow::Continue(())).unwrap();
    let other = dir.path().join("other");
    store.keep_hashed(&[(&outside, stamp, &manifest), (&other, stamp, &manifest)]).unwrap();
    drop(store);

    let (store, recovery) = open(&dir.path().join("data"));
    assert!(recovery.notes.is_empty(), "{recovery:?}");
    assert_eq!(store.hashed(&outside, &stamp).unwrap(), Some(manifest.clone()));
    for changed in [
        Stamp { dev: stamp.dev + 1, ..stamp },
        Stamp { inode: stamp.inode + 1, ..stamp },
        Stamp { size: stamp.size + 1, ..stamp },
        Stamp { modified_ns: stamp.modified_ns + 1, ..stamp },
        Stamp { changed_ns: stamp.changed_ns + 1, ..stamp },
    ] {
        assert!(store.hashed(&outside, &changed).unwrap().is_none(), "{changed:?}");
    }
    assert_eq!(store.prune_hashed(|path| path == other).unwrap(), 1);
    assert!(store.hashed(&outside, &stamp).unwrap().is_none());
    assert_eq!(store.hashed(&other, &stamp).unwrap(), Some(manifest));
}
