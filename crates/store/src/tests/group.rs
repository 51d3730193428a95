//! Several callers that commit at the same time.

use super::crash::{Deed, Loss, perform, record_of};
use super::*;
use crate::Deed as StoreDeed;

/// A group of changes as several threads would make them: three files, one of which
/// replaces another, a tombstone, and a name to forget.
fn group_of_changes(store: &Store) -> Result<Vec<Change>, IncomingError> {
    let keep = |record: Record| -> Result<Change, StoreError> {
        let manifest = store.shared.contents.manifest(&record.version.root);
        let loose = store.shared.blobs.loose_bytes(&record.version.root)?;
        Ok(Change::Keep { record, manifest, loose })
    };
    for seed in [2, 4, 5] {
        take_in(store, &bytes(seed))?;
    }
    let forgotten = file("old", 1, &bytes(1));
    Ok(vec![
        keep(file("new", 1, &bytes(2)))?,
        keep(file("a", 2, &bytes(4)))?,
        Change::Forget { name: forgotten.name, version: forgotten.version },
        keep(tombstone("gone", 3))?,
        keep(file("a", 3, &bytes(5)))?,
        keep(file("stale", 1, &bytes(5)))?,
    ])
}

/// A directory, and what it holds before and after [`group_of_changes`].
fn around_the_group() -> (TempDir, Vec<Record>, Vec<Record>) {
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
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    for (record, seed) in before.iter().zip([3, 1, 1, 3]) {
        put(&store, record.name.as_str(), record.version.counter, seed);
    }
    (dir, before, after)
}

/// The same directory for another attempt.
fn copy_of(dir: &Path) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        for path in RealDisk.list(from).unwrap() {
            let to = to.join(path.file_name().unwrap());
            if path.is_dir() {
                std::fs::create_dir(&to).unwrap();
                copy(&path, &to);
            } else {
                std::fs::copy(&path, &to).unwrap();
            }
        }
    }
    let new = TempDir::new().unwrap();
    copy(dir, new.path());
    new
}

#[test]
fn a_crash_at_any_disk_call_of_a_group_leaves_every_name_as_it_was_or_as_it_shall_be() {
    let (template, before, after) = around_the_group();
    for loss in [Loss::Process, Loss::Power, Loss::PowerAndCatalogue] {
        for call in 1.. {
            let dir = copy_of(template.path());
            let disk = FaultyDisk::default();
            let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
            disk.arm(call, Fault::Crash);
            let done = group_of_changes(&store).is_ok_and(|changes| {
                let OpenStore { blobs, catalogue, commits, .. } = &*store.shared;
                let answers = commits.perform(&changes, catalogue, blobs);
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
                // The log of a group that was not acknowledged may have more than the
                // catalogue, never less than was acknowledged; and a name that was just
                // forgotten may come back.
                let due = if done { &after } else { &before };
                for record in due {
                    let now = found.iter().find(|found| found.name == record.name);
                    let kept = now
                        .is_some_and(|now| now == record || !done && now.version > record.version);
                    assert!(kept, "call {call}: {record:?} became {now:?}");
                }
            } else {
                // Each member of a group that was not acknowledged, by itself.
                let of = |records: &[Record], name: &FileName| {
                    records.iter().find(|record| record.name == *name).cloned()
                };
                let names = before.iter().chain(&after).map(|record| &record.name);
                for name in names {
                    let (now, was, shall) = (of(&found, name), of(&before, name), of(&after, name));
                    let between = file("a", 2, &bytes(4));
                    let settled = now == shall || !done && (now == was || now == Some(between));
                    assert!(settled, "call {call}: {name} became {now:?}");
                }
                assert!(found.len() <= before.len() + 1, "call {call}: {found:?}");
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
    let (template, _, after) = around_the_group();
    for call in 1.. {
        let dir = copy_of(template.path());
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        let changes = group_of_changes(&store).unwrap();
        let OpenStore { blobs, catalogue, commits, .. } = &*store.shared;
        disk.arm(call, Fault::Once(std::io::ErrorKind::StorageFull));
        let answers = commits.perform(&changes, catalogue, blobs);
        let failures: Vec<_> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
        assert!(failures.iter().all(|error| error.is_full()), "call {call}: {failures:?}");
        assert!([0, 5, 6].contains(&failures.len()), "call {call}: {failures:?}");
        let again = commits.perform(&changes, catalogue, blobs);
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
        let bounds = [&JOURNALS[..], &[ASIDE]].concat()[call as usize % 4];
        let (store, disk) = on_faulty_disk(dir.path(), bounds);
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

/// `cargo test --release store::tests::how_fast -- --ignored --nocapture`
#[test]
#[ignore = "it prints how fast this disk is"]
#[allow(clippy::print_stdout)]
fn how_fast_small_files_are_kept() {
    // Removed at the end: ext4 makes new files slowly where it just removed some.
    let mut dirs = Vec::new();
    for threads in [16u64, 48, 4, 1] {
        let dir = TempDir::new_in(".").unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        let each = 100 + 1000 / threads;
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
        dirs.push(dir);
    }
}

#[test]
fn deeds_are_done_in_their_order_and_one_that_cannot_be_done_costs_the_others_nothing() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    for seed in 1..=3 {
        take_in(&store, &bytes(seed)).unwrap();
    }
    let record = |who, seed, counter| record_of(&Deed::Put(who, seed), counter).unwrap();
    let commit = |record: &Record| StoreDeed::Commit(record.clone());
    let (old, new, late) = (record(1, 1, 1), record(1, 2, 2), record(1, 3, 1));
    let (gone, absent) = (record(2, 3, 1), record(4, 9, 1));
    let forget = StoreDeed::Forget { name: gone.name.clone(), version: gone.version };
    let deeds = [commit(&old), commit(&absent), commit(&new), commit(&gone), forget, commit(&late)];
    let results = store.change(&deeds);
    assert_eq!(results.len(), deeds.len());
    for (at, result) in results.into_iter().enumerate() {
        match (at, result) {
            (1, Err(StoreError::NoBlob(root))) => assert_eq!(root, absent.version.root),
            // Replaced, forgotten and late records left their contents.
            (at, Ok(leftover)) => {
                assert_eq!(leftover.is_nothing(), ![2, 4, 5].contains(&at), "deed {at}");
                store.sweep(leftover);
            }
            (at, Err(error)) => panic!("deed {at}: {error}"),
        }
    }
    assert_eq!(store.records().unwrap(), std::slice::from_ref(&new));
    assert!(!store.holds(&old.version.root) && !store.holds(&gone.version.root));
    assert!(store.holds(&new.version.root));
    assert_sound(dir.path(), &store);
}
