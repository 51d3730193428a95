//! Small contents that are only durable in the journal until they are retired.

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

/// After a power failure the next start finds a consistent store.
fn after_power_loss(dir: &Path, disk: &FaultyDisk, store: Store) -> (Store, Recovery) {
    disk.lose_power();
    drop(store);
    let (store, recovery) = open(dir);
    assert_sound(dir, &store);
    (store, recovery)
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
fn a_journal_torn_anywhere_counts_up_to_there_and_a_damaged_content_alone_does_not() {
    let template = TempDir::new().unwrap();
    let records = without_power(template.path(), &[1, 2]);
    let log = files(template.path()).remove(0);
    let whole = fs::read(&log).unwrap();
    let second = whole.windows(1002).position(|found| found == bytes(2)).unwrap();
    let first = whole.windows(1001).position(|found| found == bytes(1)).unwrap();
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
            // The second is read although the first is damaged, and no other.
            let damaged = !cut && (first..first + 1001).contains(&at);
            let intact = if damaged { &records[1..] } else { &records[..usize::from(at >= begin)] };
            assert_eq!(recovery.records, intact, "at {at}, cut: {cut}");
            assert_sound(dir.path(), &store);
        }
    }
}

#[test]
fn a_closed_store_leaves_no_journal_and_a_resting_one_neither() {
    for bounds in JOURNALS {
        let dir = TempDir::new().unwrap();
        let (store, _) = on_faulty_disk(dir.path(), bounds);
        put(&store, "a", 1, 1);
        assert_eq!(files(dir.path()).len(), 1);
        store.expire();
        assert_eq!(files(dir.path()).len(), 1, "it was just in use");
        store.rest(Duration::ZERO);
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
        let (store, disk) = on_faulty_disk(dir.path(), JOURNALS[0]);
        let first = put(&store, "a", 1, 1);
        let inode =
            || Stamp::of(&fs::metadata(blob_path(dir.path(), &first.version.root)).unwrap());
        let before = inode();
        disk.arm(call, Fault::Once(std::io::ErrorKind::Other));
        if take_in(&store, &bytes(2)).is_err() || store.commit(&file("b", 1, &bytes(2))).is_err() {
            continue;
        }
        rewritten += usize::from(inode().inode != before.inode);
        let (_, recovery) = after_power_loss(dir.path(), &disk, store);
        assert_eq!(recovery.records.len(), 2, "call {call}");
    }
    assert_eq!(rewritten, 1);
}

/// Seeds of small contents: so few that each is synced separately, and more.
const FEW: &[u8] = &[1, 2, 4];
const MANY: &[u8] = &[1, 2, 4, 5, 6, 7, 8, 9, 11, 12];

/// Puts these, then kills the process; the disk survives. The records come in the order of
/// names.
fn killed_after(dir: &Path, disk: &FaultyDisk, seeds: &[u8]) -> Vec<Record> {
    let (store, _) = Store::open_on(dir, Arc::new(disk.clone())).unwrap();
    let records = seeds.iter().map(|seed| put(&store, &format!("n{seed:02}"), 1, *seed)).collect();
    disk.arm(1, Fault::Crash);
    assert!(store.set_meta("it", b"dies").is_err());
    drop(store);
    disk.revive();
    records
}

/// Puts one more, which begins another file of the journal, so that the end of the earlier
/// ones is durable.
fn goes_on(store: &Store, mut records: Vec<Record>) -> Vec<Record> {
    records.push(put(store, "then", 1, 13));
    records
}

#[test]
fn what_a_killed_process_left_becomes_durable_where_it_lies() {
    for seeds in [FEW, MANY] {
        assert_eq!(seeds.len() > Bounds::default().few, seeds == MANY);
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let records = killed_after(dir.path(), &disk, seeds);
        let blobs: Vec<PathBuf> =
            records.iter().map(|record| blob_path(dir.path(), &record.version.root)).collect();
        let inodes = || -> Vec<u64> {
            blobs.iter().map(|blob| Stamp::of(&fs::metadata(blob).unwrap()).inode).collect()
        };
        let before = inodes();
        // One of them was damaged while no process was running.
        fs::write(&blobs[1], b"damaged").unwrap();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        let after = inodes();
        let anew: Vec<usize> = (0..before.len()).filter(|at| after[*at] != before[*at]).collect();
        assert_eq!(anew, [1], "only what is not as it should be is written anew");
        assert_eq!(files(dir.path()), Vec::<PathBuf>::new());
        let records = goes_on(&store, records);
        let (_, recovery) = after_power_loss(dir.path(), &disk, store);
        assert_eq!(recovery.records, records);
    }
}

#[test]
fn what_a_start_cannot_sync_is_not_taken_for_durable_by_the_next() {
    // A failed sync loses what it was for, and only its caller is told.
    for fault in [Fault::Once(std::io::ErrorKind::Other), Fault::Unsynced] {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let disk = FaultyDisk::default();
            let records = killed_after(dir.path(), &disk, FEW);
            disk.arm(call, fault);
            drop(Store::open_on(dir.path(), Arc::new(disk.clone())));
            let over = !disk.has_failed();
            disk.revive();
            let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
            let records = goes_on(&store, records);
            let (_, recovery) = after_power_loss(dir.path(), &disk, store);
            assert_eq!(recovery.records, records, "{fault:?} at call {call}");
            if over {
                break;
            }
        }
    }
}

#[test]
fn what_was_removed_does_not_come_back_from_the_journal() {
    for bounds in JOURNALS {
        let dir = TempDir::new().unwrap();
        let (store, disk) = on_faulty_disk(dir.path(), bounds);
        let [kept, gone, never] = [1, 2, 4].map(|seed| file(&format!("n{seed}"), 1, &bytes(seed)));
        put(&store, "n1", 1, 1);
        put(&store, "n2", 1, 2);
        store.forget(&gone.name, &gone.version).unwrap();
        take_in(&store, &bytes(4)).unwrap();
        assert!(!store.holds(&gone.version.root) && store.holds(&never.version.root));
        let (store, recovery) = after_power_loss(dir.path(), &disk, store);
        assert_eq!(recovery.records, [kept]);
        assert!(!store.holds(&gone.version.root) && !store.holds(&never.version.root));
        assert_eq!(store.room().unwrap().used, 1001);
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
    assert_eq!(set_aside(&store, &root, false).unwrap().records, std::slice::from_ref(&record));
    assert!(!store.holds(&root));
    take_in(&store, &bytes(1)).unwrap();
    store.commit(&record).unwrap();
    let (_, recovery) = after_power_loss(dir.path(), &disk, store);
    assert_eq!(recovery.records, [record]);
}

#[test]
fn a_content_whose_blob_was_lost_is_durable_again_when_its_record_is_committed_again() {
    let dir = TempDir::new().unwrap();
    let (store, disk) = on_faulty_disk(dir.path(), JOURNALS[0]);
    let record = put(&store, "a", 1, 1);
    put(&store, "b", 1, 2);
    put(&store, "c", 1, 4);
    fs::remove_file(blob_path(dir.path(), &record.version.root)).unwrap();
    put(&store, "a", 1, 1);
    let (_, recovery) = after_power_loss(dir.path(), &disk, store);
    assert_eq!(recovery.records.len(), 3);
}

#[test]
fn names_outlive_the_journal_that_said_them_and_the_catalogue() {
    for bounds in JOURNALS {
        let dir = TempDir::new().unwrap();
        let (store, disk) = on_faulty_disk(dir.path(), bounds);
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
    let (_, recovery) = after_power_loss(dir.path(), &disk, store);
    assert_eq!(recovery, Recovery { records: vec![record], ..Recovery::default() });
}

#[test]
fn what_a_content_looks_like_is_never_taken_for_an_entry() {
    let dir = TempDir::new().unwrap();
    // Another program puts a file there that has the lines of another one.
    let forged = file("forged", 9, &bytes(1));
    let hostile = [b"\n".to_vec(), log::lines([&forged].into_iter()).into_bytes()].concat();
    let disk = FaultyDisk::default();
    let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
    put(&store, "a", 1, 1);
    take_in(&store, &hostile).unwrap();
    store.commit(&file("hostile", 1, &hostile)).unwrap();
    disk.lose_power();
    drop(store);
    let path = files(dir.path()).remove(0);
    let whole = fs::read(&path).unwrap();
    let begin = whole.windows(hostile.len()).position(|found| found == hostile).unwrap();
    for at in begin - 80..begin + hostile.len() {
        let copy = TempDir::new().unwrap();
        drop(open(copy.path()));
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(copy.path().join("recent/1.log"), bytes).unwrap();
        fs::remove_file(copy.path().join("catalogue.redb")).unwrap();
        let (_, recovery) = open(copy.path());
        let names: Vec<&str> = recovery.records.iter().map(|known| known.name.as_str()).collect();
        assert!(!names.contains(&"forged"), "changed at {at}: {names:?}");
    }
}

#[test]
fn contents_on_another_file_system_than_the_journal_are_synced_one_by_one() {
    for bounds in [JOURNALS[0], ASIDE] {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        disk.split();
        let (store, _) = Store::open_with(dir.path(), Arc::new(disk.clone()), bounds).unwrap();
        let records = [1, 2, 4, 5, 6].map(|seed| put(&store, &format!("n{seed}"), 1, seed));
        store.rest(Duration::ZERO);
        assert_eq!(files(dir.path()).len(), 0);
        let (_, recovery) = after_power_loss(dir.path(), &disk, store);
        assert_eq!(recovery.records, records);
    }
}

#[test]
fn a_directory_of_a_newer_version_is_refused_and_stays_as_it_is() {
    let dir = TempDir::new().unwrap();
    let records = without_power(dir.path(), &[1]);
    let path = files(dir.path()).remove(0);
    let ours = fs::read(&path).unwrap();
    let rest = "journal\t2";
    let newer = format!("{}\t{rest}\nwhatever", log::check(rest));
    fs::write(&path, &newer).unwrap();
    let refused = Store::open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { .. }), "{refused:?}");
    assert!(refused.to_string().contains("recent/1.log was written by a newer chordal"));
    assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    fs::write(&path, ours).unwrap();
    let (store, recovery) = open(dir.path());
    assert_eq!(recovery.records, records);
    store.set_meta("chordal.format", &[99]).unwrap();
    drop(store);
    let refused = Store::open(dir.path()).unwrap_err();
    assert!(refused.to_string().contains("catalogue.redb was written by a newer chordal"));
}

#[test]
fn the_journal_counts_and_gives_way_to_what_fits_without_it() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    put(&store, "a", 1, 1);
    let recent = fs::metadata(files(dir.path()).remove(0)).unwrap().len();
    assert_eq!(store.shared.blobs.ledger.recent(), recent);
    // It stays where it does no harm, and where removing it would not help.
    store.set_quota(Some(1001 + recent + 1002));
    take_in(&store, &bytes(2)).unwrap();
    assert!(store.begin(manifest_of(&bytes(3))).unwrap_err().is_full());
    assert_eq!(files(dir.path()).len(), 1);
    store.commit(&file("b", 1, &bytes(2))).unwrap();
    store.set_quota(Some(1001 + 1002 + 1004));
    let third = put(&store, "c", 1, 4);
    let recent = fs::metadata(files(dir.path()).remove(0)).unwrap().len();
    assert_eq!(store.shared.blobs.ledger.recent(), recent, "only the last is in it");
    assert!(store.begin(manifest_of(&bytes(5))).unwrap_err().is_full());
    assert_eq!(store.record(&third.name).unwrap(), Some(third));
    drop(store);
    let (store, recovery) = open(dir.path());
    assert_eq!((recovery.records.len(), store.shared.blobs.ledger.recent()), (3, 0));
    assert_sound(dir.path(), &store);
}

#[test]
fn a_group_of_small_files_costs_one_sync() {
    let dir = TempDir::new().unwrap();
    let disk = FaultyDisk::default();
    let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
    put(&store, "a", 1, 1);
    // Their directories are made, and the journal is open.
    let seeds = [2, 4, 5];
    for seed in seeds {
        take_in(&store, &bytes(seed)).unwrap();
    }
    let before = disk.syncs();
    for seed in seeds {
        store.commit(&file(&format!("n{seed}"), 1, &bytes(seed))).unwrap();
    }
    assert_eq!(disk.syncs() - before, 3);
    let changes = [6, 7, 8].map(|seed| {
        let root = take_in(&store, &bytes(seed)).unwrap();
        let loose = store.shared.blobs.loose_bytes(&root).unwrap();
        Change::Keep { record: file(&format!("n{seed}"), 1, &bytes(seed)), manifest: None, loose }
    });
    let before = disk.syncs();
    let OpenStore { blobs, catalogue, commits, .. } = &*store.shared;
    assert!(commits.perform(&changes, catalogue, blobs).iter().all(Result::is_ok));
    assert_eq!(disk.syncs() - before, 1);
}

#[test]
fn what_only_the_journal_has_durably_is_there_after_every_kind_of_end() {
    for power in [false, true] {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        put(&store, "a", 1, 1);
        put(&store, "b", 1, 2);
        // Its old content is removed while the catalogue on the disk still names it.
        let newer = put(&store, "a", 2, 4);
        put(&store, "gone", 1, 5);
        store.forget(&name("gone"), &file("gone", 1, &bytes(5)).version).unwrap();
        put(&store, "again", 1, 6);
        store.forget(&name("again"), &file("again", 1, &bytes(6)).version).unwrap();
        let again = put(&store, "again", 1, 6);
        put(&store, "c", 1, 7);
        store.commit(&tombstone("c", 2)).unwrap();
        let records = [newer, again, file("b", 1, &bytes(2)), tombstone("c", 2)];
        assert_eq!(store.records().unwrap(), records);
        disk.arm(1, Fault::Crash);
        assert!(store.set_meta("it", b"dies").is_err());
        drop(store);
        if power {
            disk.lose_power();
        }
        let (store, recovery) = open(dir.path());
        assert_eq!(recovery, Recovery { records: records.to_vec(), ..recovery.clone() });
        assert_sound(dir.path(), &store);
    }
}

#[test]
fn a_catalogue_that_fails_does_not_forget_what_only_the_journal_has_durably() {
    for call in 1.. {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        let records = [1, 2, 4].map(|seed| put(&store, &format!("n{seed}"), 1, seed));
        disk.arm(call, Fault::Once(std::io::ErrorKind::StorageFull));
        let failed = store.set_meta("setting", b"new").is_err();
        if !failed && !disk.has_failed() {
            break;
        }
        assert_eq!(store.records().unwrap(), records, "call {call}");
        store.set_meta("setting", b"new").unwrap();
        assert_eq!(store.records().unwrap(), records, "call {call}");
        let (store, recovery) = after_power_loss(dir.path(), &disk, store);
        assert_eq!(recovery.records, records, "call {call}");
        assert_eq!(store.meta("setting").unwrap().as_deref(), Some(&b"new"[..]));
    }
}

#[test]
fn chordal_0_3_0_makes_a_catalogue_anew_that_the_journal_knows_better() {
    let dir = TempDir::new().unwrap();
    let format = |store: &Store| store.meta("chordal.format").unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(format(&store), Some(vec![1]));
    put(&store, "a", 1, 1);
    assert_eq!(format(&store), Some(vec![2]), "no catalogue to it, and it reads the log of names");
    drop(store);
    let disk = FaultyDisk::default();
    let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
    assert_eq!(format(&store), Some(vec![1]), "after a stop in order it goes on with all");
    put(&store, "b", 1, 2);
    disk.arm(1, Fault::Crash);
    assert!(store.set_meta("it", b"dies").is_err());
    drop(store);
    let log = log::NameLog::new(Arc::new(RealDisk), dir.path());
    assert_eq!(log.read(|_| true).unwrap().records.len(), 2, "the log has what it needs");
}
