//! Small contents whose durability is the journal's until they are retired.

use std::fs;
use std::path::PathBuf;

use super::*;

fn files(dir: &Path) -> Vec<PathBuf> {
    RealDisk.list(&dir.join("recent")).unwrap()
}

/// What is left when power fails right after these puts: only what was synced.
fn without_power(dir: &Path, seeds: &[u8]) -> Vec<Record> {
    let disk = FaultyDisk::default();
    let (store, _) = Store::open_on(dir, Arc::new(disk.clone())).unwrap();
    let records = seeds.iter().map(|seed| put(&store, &format!("n{seed}"), 1, *seed)).collect();
    disk.lose_power();
    records
}

#[test]
fn small_files_survive_in_the_journal_alone() {
    let dir = TempDir::new().unwrap();
    let records = without_power(dir.path(), &[0, 1, 2]);
    let [log] = &files(dir.path())[..] else { panic!("one file") };
    for record in &records {
        assert!(!blob_path(dir.path(), &record.version.root).exists(), "it was not synced");
    }
    let whole = fs::read(log).unwrap();
    assert!(whole.windows(1002).any(|bytes| bytes == super::bytes(2)));
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery { records, ..Recovery::default() });
    assert_eq!(files(dir.path()), Vec::<PathBuf>::new(), "they are durable in their places");
    assert_sound(dir.path(), &store);
}

#[test]
fn a_blob_that_a_power_failure_filled_with_zeros_is_put_back() {
    let dir = TempDir::new().unwrap();
    let records = without_power(dir.path(), &[1, 2]);
    for (record, harm) in records.iter().zip([vec![0; 1001], vec![7; 5]]) {
        let path = blob_path(dir.path(), &record.version.root);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, harm).unwrap();
    }
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery { records, ..Recovery::default() });
    assert_sound(dir.path(), &store);
}

#[test]
fn a_journal_torn_anywhere_counts_up_to_there() {
    let template = TempDir::new().unwrap();
    let records = without_power(template.path(), &[1, 2]);
    let log = files(template.path()).remove(0);
    let whole = fs::read(&log).unwrap();
    let second = whole.windows(1002).position(|found| found == bytes(2)).unwrap();
    let begin = whole[..second - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let torn = (0..whole.len()).step_by(97).chain(begin - 2..begin + 3).chain([whole.len() - 1]);
    for at in torn {
        for cut in [true, false] {
            let dir = TempDir::new().unwrap();
            drop(open(dir.path()));
            let mut bytes = whole.clone();
            if cut {
                bytes.truncate(at);
            } else {
                bytes[at] ^= 1;
            }
            fs::write(dir.path().join("recent/1.log"), bytes).unwrap();
            fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
            let (store, recovery) = open(dir.path());
            let intact = usize::from(at >= begin);
            assert_eq!(recovery.records, records[..intact], "at {at}, cut: {cut}");
            assert_sound(dir.path(), &store);
        }
    }
}

#[test]
fn a_closed_store_leaves_no_journal_and_a_resting_one_neither() {
    for bounds in JOURNALS {
        let dir = TempDir::new().unwrap();
        let disk = Arc::new(FaultyDisk::default());
        let (store, _) = Store::open_with(dir.path(), disk, bounds).unwrap();
        put(&store, "a", 1, 1);
        assert_eq!(files(dir.path()).len(), 1);
        store.expire();
        assert_eq!(files(dir.path()).len(), 1, "it was just in use");
        let Shared { blobs, commits, .. } = &*store.shared;
        commits.rest(Duration::ZERO, blobs).unwrap();
        assert_eq!(files(dir.path()).len(), 0);
        put(&store, "b", 1, 2);
        drop(store);
        assert_eq!(files(dir.path()).len(), 0);
    }
}

#[test]
fn after_a_failed_sync_the_contents_are_written_once_more() {
    // The calls from the first put of another content on: one of them is the
    // sync of everything.
    let mut rewritten = 0;
    for call in 1..60 {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_with(dir.path(), Arc::new(disk.clone()), JOURNALS[0]).unwrap();
        let first = put(&store, "a", 1, 1);
        let inode =
            || Stamp::of(&fs::metadata(blob_path(dir.path(), &first.version.root)).unwrap());
        let before = inode();
        disk.arm(call, Fault::Once(std::io::ErrorKind::Other));
        if take_in(&store, &bytes(2)).is_err() || store.commit(&file("b", 1, &bytes(2))).is_err() {
            continue;
        }
        rewritten += usize::from(inode().inode != before.inode);
        disk.lose_power();
        drop(store);
        let (store, recovery) = open(dir.path());
        assert_eq!(recovery.records.len(), 2, "call {call}");
        assert_sound(dir.path(), &store);
    }
    assert_eq!(rewritten, 1);
}

#[test]
fn what_was_removed_does_not_come_back_from_the_journal() {
    for bounds in JOURNALS {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_with(dir.path(), Arc::new(disk.clone()), bounds).unwrap();
        let [kept, gone, never] = [1, 2, 4].map(|seed| file(&format!("n{seed}"), 1, &bytes(seed)));
        put(&store, "n1", 1, 1);
        put(&store, "n2", 1, 2);
        store.forget(&gone.name, &gone.version).unwrap();
        take_in(&store, &bytes(4)).unwrap();
        assert!(!store.holds(&gone.version.root) && store.holds(&never.version.root));
        disk.lose_power();
        drop(store);
        let (store, recovery) = open(dir.path());
        assert_eq!(recovery.records, [kept]);
        assert!(!store.holds(&gone.version.root) && !store.holds(&never.version.root));
        assert_eq!(store.room().unwrap().used, 1001);
        assert_sound(dir.path(), &store);
    }
}

#[test]
fn a_content_in_the_journal_that_is_set_aside_is_out_of_use() {
    let dir = TempDir::new().unwrap();
    let disk = FaultyDisk::default();
    let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
    let record = put(&store, "a", 1, 1);
    let root = record.version.root;
    fs::write(blob_path(dir.path(), &root), b"damaged").unwrap();
    assert_eq!(store.set_aside(&root, false).unwrap().records, std::slice::from_ref(&record));
    assert!(!store.holds(&root));
    take_in(&store, &bytes(1)).unwrap();
    store.commit(&record).unwrap();
    disk.lose_power();
    drop(store);
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.records, [record]);
    assert_sound(dir.path(), &store);
}

#[test]
fn a_content_whose_blob_was_lost_is_durable_again_when_its_record_is_committed_again() {
    let dir = TempDir::new().unwrap();
    let disk = FaultyDisk::default();
    let (store, _) = Store::open_with(dir.path(), Arc::new(disk.clone()), JOURNALS[0]).unwrap();
    let record = put(&store, "a", 1, 1);
    put(&store, "b", 1, 2);
    put(&store, "c", 1, 4);
    fs::remove_file(blob_path(dir.path(), &record.version.root)).unwrap();
    put(&store, "a", 1, 1);
    disk.lose_power();
    drop(store);
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.records.len(), 3);
    assert_sound(dir.path(), &store);
}

#[test]
fn names_outlive_the_journal_that_said_them_and_the_catalogue() {
    for bounds in JOURNALS {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_with(dir.path(), Arc::new(disk.clone()), bounds).unwrap();
        let records = [1, 2, 4, 5, 6].map(|seed| put(&store, &format!("n{seed}"), 1, seed));
        disk.lose_power();
        drop(store);
        fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
        let (store, recovery) = open(dir.path());
        assert_eq!(recovery.records, records);
        assert_sound(dir.path(), &store);
    }
}

#[test]
fn what_is_durable_is_not_replaced_by_what_is_not() {
    let dir = TempDir::new().unwrap();
    let record = put(&open(dir.path()).0, "a", 1, 1);
    let disk = FaultyDisk::default();
    let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
    take_in(&store, &bytes(1)).unwrap();
    // The directory becomes durable with some other content.
    store.shared.blobs.sync_name(&record.version.root).unwrap();
    disk.lose_power();
    drop(store);
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery, Recovery { records: vec![record], ..Recovery::default() });
    assert_sound(dir.path(), &store);
}
