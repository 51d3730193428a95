//! Starts with a directory that lacks a part, or that an older version wrote.

use super::*;

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

#[test]
fn what_is_not_the_stores_is_named_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let (store, _) = Store::open(dir.path()).unwrap();
    take_in(&store, b"ours").unwrap();
    let record = file("a", 1, b"ours");
    store.commit(&record).unwrap();
    drop(store);
    let blobs = dir.path().join("blobs");
    let other = ContentHash([0xAB; 32]);
    let place = blobs.join("ab").join(other.to_string());
    std::fs::create_dir_all(&place).unwrap();
    let strange = [blobs.join(".DS_Store"), blobs.join("ab").join("Thumbs.db")];
    for path in &strange {
        std::fs::write(path, b"not ours").unwrap();
    }
    let links = [blobs.join("nowhere"), blobs.join("ab").join("nowhere too")];
    for path in &links {
        std::os::unix::fs::symlink("no such place", path).unwrap();
    }
    let (recent, partial) = (dir.path().join("recent"), dir.path().join("partial"));
    let beside = [
        recent.join("Thumbs.db"),
        recent.join("7.log"),
        partial.join(".DS_Store"),
        partial.join(format!("{other}.part")),
        partial.join("notes.part"),
    ];
    for path in [&beside[0], &beside[2], &beside[4]] {
        std::fs::write(path, b"not ours").unwrap();
    }
    for path in [&beside[1], &beside[3]] {
        std::fs::create_dir(path).unwrap();
    }
    let (store, recovery) = Store::open(dir.path()).unwrap();
    assert_eq!(recovery.records, [record]);
    for path in strange.iter().chain(&links).chain(&beside).chain([&place]) {
        let named = |note: &&String| note.contains(&path.display().to_string());
        assert_eq!(recovery.notes.iter().filter(named).count(), 1, "{}", path.display());
        assert!(path.symlink_metadata().is_ok(), "{} is left alone", path.display());
    }
    assert!(!store.holds(&other), "a directory is no content");
}

#[test]
fn directories_between_which_files_are_moved_lie_on_one_file_system() {
    let other = Path::new("/dev/shm");
    let dir = TempDir::new().unwrap();
    let device = |path: &Path| RealDisk.file_system(path).ok();
    if device(other).is_none() || device(other) == device(dir.path()) {
        // This machine has no second file system to write to.
        return;
    }
    let Ok(elsewhere) = TempDir::new_in(other) else { return };
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("blobs")).unwrap();
    let refused = Store::open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Apart { .. }), "{refused}");
    // A part of it on another file system is refused, too.
    std::fs::remove_file(dir.path().join("blobs")).unwrap();
    std::fs::create_dir(dir.path().join("blobs")).unwrap();
    let shelf = dir.path().join("blobs/ab");
    std::os::unix::fs::symlink(elsewhere.path(), &shelf).unwrap();
    let refused = Store::open(dir.path()).unwrap_err();
    assert!(matches!(&refused, StoreError::Apart { one, .. } if *one == shelf), "{refused}");
    std::fs::remove_file(&shelf).unwrap();
    std::fs::remove_dir(dir.path().join("blobs")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join("blobs")).unwrap();
    // With both there, the store opens.
    let (blobs, partial) = (elsewhere.path().join("blobs"), elsewhere.path().join("partial"));
    std::fs::create_dir(&blobs).unwrap();
    std::fs::create_dir(&partial).unwrap();
    std::fs::remove_file(dir.path().join("blobs")).unwrap();
    std::fs::remove_dir(dir.path().join("partial")).unwrap();
    std::os::unix::fs::symlink(&blobs, dir.path().join("blobs")).unwrap();
    std::os::unix::fs::symlink(&partial, dir.path().join("partial")).unwrap();
    let (store, _) = Store::open(dir.path()).unwrap();
    take_in(&store, b"there").unwrap();
    store.commit(&file("a", 1, b"there")).unwrap();
}
