//! Stories of a store: restarts, versions, crashes at every disk call.

use std::collections::BTreeMap;
use std::io::Read;

use proptest::prelude::*;
use tempfile::TempDir;

use super::faulty::{Fault, FaultyDisk};
use super::*;
use crate::record::Content;

fn name(text: &str) -> FileName {
    FileName::new(text).unwrap()
}

fn bytes(seed: u8) -> Vec<u8> {
    // Seed 0 is the empty file, seed 3 has several pieces.
    let size = match seed {
        0 => 0,
        3 => 2 * 1024 * 1024 + 77,
        _ => 1000 + usize::from(seed),
    };
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

/// Opens without faults and without real syncs.
fn open(dir: &Path) -> (Store, Recovery) {
    Store::open_on(dir, Arc::new(FaultyDisk::default())).unwrap()
}

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
    // What an attempt left has a map, and nothing else is there.
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
    // From both ends, so that they meet, and one brings all.
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
    std::fs::write(dir.path().join("partial/left"), b"half").unwrap();
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

/// One call of the caller's.
#[derive(Clone, Debug)]
enum Deed {
    Put(u8, u8),
    Delete(u8),
    Forget(u8),
}

/// The records that should be there, and the next version's counter.
type Model = BTreeMap<FileName, Record>;

fn record_of(deed: &Deed, counter: u64) -> Option<Record> {
    match deed {
        Deed::Put(who, seed) => Some(file(&format!("n{who}"), counter, &bytes(*seed))),
        Deed::Delete(who) => Some(tombstone(&format!("n{who}"), counter)),
        Deed::Forget(_) => None,
    }
}

fn after(model: &Model, deed: &Deed, counter: u64) -> Model {
    let mut model = model.clone();
    match (deed, record_of(deed, counter)) {
        (_, Some(record)) => drop(model.insert(record.name.clone(), record)),
        (Deed::Forget(who), _) => drop(model.remove(&name(&format!("n{who}")))),
        _ => {}
    }
    model
}

fn perform(store: &Store, deed: &Deed, counter: u64) -> Result<(), IncomingError> {
    if let Deed::Put(_, seed) = deed {
        take_in(store, &bytes(*seed))?;
    }
    match (deed, record_of(deed, counter)) {
        (_, Some(record)) => store.commit(&record)?,
        (Deed::Forget(who), _) => {
            let last = Version { counter, root: ContentHash([0xFF; 32]) };
            store.forget(&name(&format!("n{who}")), &last)?;
        }
        _ => {}
    }
    Ok(())
}

fn model_of(store: &Store) -> Model {
    store.records().unwrap().into_iter().map(|record| (record.name.clone(), record)).collect()
}

/// What a crash takes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loss {
    /// Nothing that was written.
    Process,
    /// All that was not synced.
    Power,
    /// That, and then the catalogue.
    PowerAndCatalogue,
}

/// Opens `dir` on a disk that dies at `call`, does the deeds until then, and
/// opens it again. Whatever was acknowledged must be there; what was under way
/// may be. Returns whether the fault was met.
fn crash_and_reopen(dir: &Path, deeds: &[Deed], call: u64, loss: Loss) -> bool {
    let disk = FaultyDisk::with(call, Fault::Crash);
    let mut sure = Model::new();
    let mut maybe = Model::new();
    if let Ok((store, recovery)) = Store::open_on(dir, Arc::new(disk.clone())) {
        assert!(!recovery.rebuilt);
        let mut counter = 10;
        sure = model_of_recovery(&recovery);
        maybe.clone_from(&sure);
        for deed in deeds {
            counter += 1;
            maybe = after(&sure, deed, counter);
            if perform(&store, deed, counter).is_err() {
                break;
            }
            sure.clone_from(&maybe);
        }
    }
    let failed = disk.has_failed();
    if loss != Loss::Process {
        disk.lose_power();
    }
    if loss == Loss::PowerAndCatalogue {
        let _ = std::fs::remove_file(dir.join("catalogue.redb"));
        let (store, _) = open(dir);
        let found = model_of(&store);
        for (name, record) in sure.iter().filter(|(_, record)| !record.is_deleted()) {
            let settled = maybe.get(name) == Some(record);
            assert!(!settled || found.get(name) == Some(record), "call {call}: {record:?}");
        }
        assert_sound(dir, &store);
        return failed;
    }
    let (store, recovery) = open(dir);
    let opened = !sure.is_empty() || !maybe.is_empty();
    let found = model_of(&store);
    assert!(
        !opened || found == sure || found == maybe,
        "call {call}: {found:?}\n{sure:?}\n{maybe:?}"
    );
    assert!(!recovery.rebuilt || !opened, "call {call}: {:?}", recovery.notes);
    assert_sound(dir, &store);
    failed
}

fn model_of_recovery(recovery: &Recovery) -> Model {
    recovery.records.iter().map(|record| (record.name.clone(), record.clone())).collect()
}

fn deeds() -> Vec<Deed> {
    vec![
        Deed::Put(1, 1),
        Deed::Put(2, 1),
        Deed::Put(1, 2),
        Deed::Put(3, 0),
        Deed::Forget(2),
        Deed::Delete(1),
    ]
}

#[test]
fn a_crash_at_any_disk_call_loses_nothing_that_was_acknowledged() {
    for loss in [Loss::Process, Loss::Power, Loss::PowerAndCatalogue] {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            if !crash_and_reopen(&dir.path().join("a/node"), &deeds(), call, loss) {
                break;
            }
        }
    }
}

#[test]
fn a_crash_while_the_catalogue_is_made_anew_repeats_the_making() {
    for power in [false, true] {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let records = furnished(dir.path());
            std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
            let disk = FaultyDisk::with(call, Fault::Crash);
            drop(Store::open_on(dir.path(), Arc::new(disk.clone())));
            if power {
                disk.lose_power();
            }
            let (store, recovery) = open(dir.path());
            assert_eq!(recovery.records, records, "call {call}");
            assert_sound(dir.path(), &store);
            if !disk.has_failed() {
                break;
            }
        }
    }
}

#[test]
fn after_one_failed_call_the_store_goes_on() {
    for call in 1.. {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        disk.arm(call, Fault::Once(std::io::ErrorKind::StorageFull));
        let mut model = Model::new();
        for (deed, counter) in deeds().iter().zip(1..) {
            if perform(&store, deed, counter).is_err() {
                perform(&store, deed, counter)
                    .unwrap_or_else(|error| panic!("call {call}, {deed:?} again: {error}"));
            }
            model = after(&model, deed, counter);
            assert_eq!(model_of(&store), model, "call {call}, {deed:?}");
        }
        drop(store);
        let (store, _) = open(dir.path());
        assert_eq!(model_of(&store), model, "call {call}");
        assert_sound(dir.path(), &store);
        if !disk.has_failed() {
            break;
        }
    }
}

/// A group of changes as several threads would bring them: three files, one of
/// which replaces another, a tombstone and a name to forget.
fn group_of_changes(store: &Store) -> Result<Vec<Change>, IncomingError> {
    let keep = |record: Record| {
        let manifest = store.shared.contents.manifest(&record.version.root);
        Change::Keep { record, manifest }
    };
    for seed in [2, 4, 5] {
        take_in(store, &bytes(seed))?;
    }
    let forgotten = file("old", 1, &bytes(1));
    Ok(vec![
        keep(file("new", 1, &bytes(2))),
        keep(file("a", 2, &bytes(4))),
        Change::Forget { name: forgotten.name, version: forgotten.version },
        keep(tombstone("gone", 3)),
        keep(file("a", 3, &bytes(5))),
        keep(file("stale", 1, &bytes(5))),
    ])
}

/// What a directory holds before and after [`group_of_changes`].
fn around_the_group() -> (Vec<Record>, Vec<Record>) {
    let before = vec![
        file("a", 1, &bytes(3)),
        file("gone", 1, &bytes(1)),
        file("old", 1, &bytes(1)),
        file("stale", 2, &bytes(3)),
    ];
    let after = vec![
        file("a", 3, &bytes(5)),
        tombstone("gone", 3),
        file("new", 1, &bytes(2)),
        file("stale", 2, &bytes(3)),
    ];
    (before, after)
}

#[test]
fn a_group_that_a_crash_meets_at_any_disk_call_is_there_as_a_whole_or_not_at_all() {
    let (before, after) = around_the_group();
    for loss in [Loss::Process, Loss::Power, Loss::PowerAndCatalogue] {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let disk = FaultyDisk::default();
            let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
            for (record, seed) in before.iter().zip([3, 1, 1, 3]) {
                put(&store, record.name.as_str(), record.version.counter, seed);
            }
            disk.arm(call, Fault::Crash);
            let done = group_of_changes(&store).is_ok_and(|changes| {
                let Shared { blobs, catalogue, commits, .. } = &*store.shared;
                let answers = commits.perform(&changes, blobs, catalogue);
                assert_eq!(answers.len(), changes.len());
                let done = answers.iter().filter(|answer| answer.is_ok()).count();
                assert!(done == 0 || done == changes.len(), "call {call}: {answers:?}");
                done > 0
            });
            drop(store);
            let failed = disk.has_failed();
            if loss != Loss::Process {
                disk.lose_power();
            }
            if loss == Loss::PowerAndCatalogue {
                std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
            }
            let (store, recovery) = open(dir.path());
            let found = recovery.records;
            if loss == Loss::PowerAndCatalogue {
                // What the log says of a group that was not acknowledged may
                // be more than the catalogue said, never less than was sure;
                // and a name that was just forgotten may come back.
                let due = if done { &after } else { &before };
                for record in due {
                    let now = found.iter().find(|found| found.name == record.name);
                    let kept = now
                        .is_some_and(|now| now == record || !done && now.version > record.version);
                    assert!(kept, "call {call}: {record:?} became {now:?}");
                }
            } else {
                assert!(found == after || !done && found == before, "call {call}: {found:?}");
            }
            assert_sound(dir.path(), &store);
            if !failed {
                assert!(done);
                break;
            }
        }
    }
}

#[test]
fn a_failed_group_fails_for_all_who_keep_and_can_be_done_again() {
    let (before, after) = around_the_group();
    for call in 1.. {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        for (record, seed) in before.iter().zip([3, 1, 1, 3]) {
            put(&store, record.name.as_str(), record.version.counter, seed);
        }
        let changes = group_of_changes(&store).unwrap();
        let Shared { blobs, catalogue, commits, .. } = &*store.shared;
        disk.arm(call, Fault::Once(std::io::ErrorKind::StorageFull));
        let answers = commits.perform(&changes, blobs, catalogue);
        let failures: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(failures.iter().all(|error| error.is_full()), "call {call}: {failures:?}");
        assert!([0, 5, 6].contains(&failures.len()), "call {call}: {failures:?}");
        let again = commits.perform(&changes, blobs, catalogue);
        assert!(again.iter().all(Result::is_ok), "call {call}: {again:?}");
        assert_eq!(store.records().unwrap(), after, "call {call}");
        drop(store);
        let (store, recovery) = open(dir.path());
        assert_eq!(recovery.records, after, "call {call}");
        assert_sound(dir.path(), &store);
        if !disk.has_failed() {
            break;
        }
    }
}

#[test]
fn what_threads_were_told_is_kept_survives_a_crash_in_the_middle_of_their_groups() {
    for (call, loss) in
        (1u64..240).step_by(7).zip([Loss::Power, Loss::PowerAndCatalogue].iter().cycle())
    {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        disk.arm(call, Fault::Crash);
        let lives = std::thread::scope(|scope| {
            let threads = (0..4u8).map(|who| {
                let store = &store;
                scope.spawn(move || {
                    let (mut sure, mut tried) = (None, None);
                    for counter in 1..=4u64 {
                        // Two threads each share their contents.
                        let deed = Deed::Put(who, 1 + (who / 2) + (counter % 2) as u8 * 3);
                        tried = record_of(&deed, counter);
                        match perform(store, &deed, counter) {
                            Ok(()) => sure.clone_from(&tried),
                            Err(IncomingError::Disk(StoreError::NoBlob(_))) => {}
                            Err(_) => break,
                        }
                    }
                    (sure, tried)
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        drop(store);
        disk.lose_power();
        if *loss == Loss::PowerAndCatalogue {
            let _ = std::fs::remove_file(dir.path().join("catalogue.redb"));
        }
        let (store, _) = open(dir.path());
        for (sure, tried) in lives {
            let Some(sure) = sure else { continue };
            let now = store.record(&sure.name).unwrap();
            assert!(now.as_ref() == Some(&sure) || now == tried, "call {call}: {sure:?}, {now:?}");
        }
        assert_sound(dir.path(), &store);
    }
}

/// What 0.2.0 left: a sidecar beside every blob, and no log.
fn with_sidecars(dir: &Path) -> Vec<Record> {
    let records = furnished(dir);
    std::fs::remove_file(dir.join("names.log")).unwrap();
    for record in &records {
        let root = record.version.root;
        let line = |r: &Record| format!("{}\t{}\t{}\n", r.version.counter, r.size(), r.name);
        let same = records.iter().filter(|other| other.version.root == root);
        let text: String = same.map(line).collect();
        std::fs::write(blob_path(dir, &root).with_extension("names"), text).unwrap();
    }
    records
}

fn sidecars(dir: &Path) -> usize {
    let shelves = RealDisk.list(&dir.join("blobs")).unwrap();
    let files = shelves.iter().flat_map(|shelf| RealDisk.list(shelf).unwrap());
    files.filter(|path| path.extension().is_some()).count()
}

#[test]
fn a_directory_of_0_2_0_gets_a_log_for_its_sidecars() {
    for catalogue in [true, false] {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let records = with_sidecars(dir.path());
            assert_eq!(sidecars(dir.path()), 2);
            if !catalogue {
                std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
            }
            let disk = FaultyDisk::with(call, Fault::Crash);
            drop(Store::open_on(dir.path(), Arc::new(disk.clone())));
            disk.lose_power();
            let (store, recovery) = open(dir.path());
            assert_eq!(recovery.records, records, "call {call}");
            assert_sound(dir.path(), &store);
            assert_eq!(sidecars(dir.path()), 0, "call {call}");
            if !disk.has_failed() {
                break;
            }
        }
    }
}

#[test]
fn a_lost_log_is_written_anew_from_the_catalogue() {
    let dir = TempDir::new().unwrap();
    let records = furnished(dir.path());
    for harm in [None, Some(&b"torn"[..])] {
        let path = dir.path().join("names.log");
        match harm {
            None => std::fs::remove_file(path).unwrap(),
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
        }
        let (store, recovery) = open(dir.path());
        assert_eq!(recovery, Recovery { records: records.clone(), ..Recovery::default() });
        assert_sound(dir.path(), &store);
    }
    std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
    assert_eq!(open(dir.path()).1.records, records);
}

#[test]
fn blobs_that_nothing_names_any_more_wait_one_start_for_the_ring_to_name_them() {
    let dir = TempDir::new().unwrap();
    let records = furnished(dir.path());
    std::fs::remove_file(dir.path().join("names.log")).unwrap();
    std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
    let (store, recovery) = open(dir.path());
    assert_eq!((recovery.records, recovery.removed_orphans), (vec![], 0));
    store.commit(&records[0]).unwrap();
    drop(store);
    let (store, recovery) = open(dir.path());
    assert_eq!((recovery.records, recovery.removed_orphans), (vec![records[0].clone()], 1));
    assert_sound(dir.path(), &store);
}

#[test]
fn a_tombstone_remembers_its_time_and_one_without_gets_that_of_the_start() {
    let dir = TempDir::new().unwrap();
    let dated = tombstone("dated", 1);
    let undated = Record { content: Content::Deleted { at_s: 0 }, ..tombstone("undated", 1) };
    let before = now_s();
    let (store, _) = open(dir.path());
    store.commit(&dated).unwrap();
    store.commit(&undated).unwrap();
    drop(store);
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.records[0], dated);
    let Content::Deleted { at_s } = recovery.records[1].content else { panic!("a tombstone") };
    assert!((before..=now_s()).contains(&at_s), "{at_s}");
    drop(store);
    assert_eq!(open(dir.path()).1.records, recovery.records, "it keeps that time");
    std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
    assert_eq!(open(dir.path()).1.records, recovery.records, "the log has it, too");
}

/// `cargo test --release store::tests::how_fast -- --ignored --nocapture`
#[test]
#[ignore = "it prints how fast this disk is"]
#[allow(clippy::print_stdout)]
fn how_fast_small_files_are_kept() {
    for threads in [1u64, 4, 16, 48] {
        let dir = TempDir::new_in(".").unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        let each = 4000 / threads;
        let began = std::time::Instant::now();
        std::thread::scope(|scope| {
            for who in 0..threads {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..each {
                        let content = [who, number].map(u64::to_le_bytes).concat().repeat(256);
                        take_in(store, &content).unwrap();
                        store.commit(&file(&format!("{who}/{number}"), 1, &content)).unwrap();
                    }
                });
            }
        });
        let rate = (threads * each) as f64 / began.elapsed().as_secs_f64();
        println!("{threads} threads: {rate:.0} a second");
    }
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        3 => (0u8..4, 0u8..6).prop_map(|(who, seed)| Deed::Put(who, seed)),
        1 => (0u8..4).prop_map(Deed::Delete),
        1 => (0u8..4).prop_map(Deed::Forget),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn random_lives_with_crashes_agree_with_a_map(
        lives in prop::collection::vec(
            (prop::collection::vec(deed(), 0..12), 1u64..600, any::<bool>()), 1..5)
    ) {
        let dir = TempDir::new().unwrap();
        let mut counter = 0;
        let mut model = Model::new();
        for (deeds, call, power) in lives {
            let disk = FaultyDisk::default();
            let (store, recovery) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
            prop_assert_eq!(&model_of_recovery(&recovery), &model);
            assert_sound(dir.path(), &store);
            disk.arm(call, Fault::Crash);
            let mut maybe = model.clone();
            for deed in &deeds {
                counter += 1;
                maybe = after(&model, deed, counter);
                if perform(&store, deed, counter).is_err() {
                    break;
                }
                model.clone_from(&maybe);
            }
            drop(store);
            if power {
                disk.lose_power();
            }
            let found = model_of(&open(dir.path()).0);
            prop_assert!(found == model || found == maybe, "{:?}", found);
            model = found;
        }
    }
}

#[test]
fn threads_that_share_contents_never_leave_a_record_without_its_bytes() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    std::thread::scope(|scope| {
        for who in 0..4u8 {
            let store = &store;
            scope.spawn(move || {
                for counter in 0..40u64 {
                    let seed = 1 + (counter % 2) as u8;
                    let deed =
                        if counter % 3 == 2 { Deed::Forget(who) } else { Deed::Put(who, seed) };
                    match perform(store, &deed, counter) {
                        // The documented answer: fetch it again.
                        Ok(()) | Err(IncomingError::Disk(StoreError::NoBlob(_))) => {}
                        Err(error) => panic!("{deed:?}: {error}"),
                    }
                }
                let last = Deed::Put(who, 4);
                assert!((0..100).any(|_| perform(store, &last, 99).is_ok()));
            });
        }
    });
    assert_eq!(store.records().unwrap().len(), 4);
    assert_sound(dir.path(), &store);
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
    assert!(hash_file(dir.path(), |_| ControlFlow::Continue(())).is_err(), "a directory");
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
    ] {
        assert!(store.hashed(&outside, &changed).unwrap().is_none(), "{changed:?}");
    }
    assert_eq!(store.prune_hashed(|path| path == other).unwrap(), 1);
    assert!(store.hashed(&outside, &stamp).unwrap().is_none());
    assert_eq!(store.hashed(&other, &stamp).unwrap(), Some(manifest));
}
