//! Disks that fail in every way at every call: writes torn anywhere, errors once
//! and for good, a disk that is full, a scrub that is cut off. Afterwards the
//! catalogue and the blobs agree, what was acknowledged is there byte for byte,
//! and nothing half-written counts.

use std::io::ErrorKind;

use super::crash::{Deed, Model, after, model_of, perform};
use super::*;

/// What a node does with its store: contents of one piece and of several, one under two
/// names, an overwrite, a removal, a put after it, a copy given up.
fn life() -> Vec<Deed> {
    vec![
        Deed::Put(1, 1),
        Deed::Put(2, 3),
        Deed::Put(1, 3),
        Deed::Delete(2),
        Deed::Put(2, 4),
        Deed::Put(3, 4),
        Deed::Forget(3),
        Deed::Put(1, 5),
    ]
}

/// The disk, and what a start finds there, must be what the model says.
pub(super) fn agrees(dir: &Path, allowed: &[&Model], call: u64) {
    let (store, recovery) = open(dir);
    let found = model_of(&store);
    assert!(allowed.contains(&&found), "call {call}: {found:?}, not one of {allowed:?}");
    assert!(!recovery.rebuilt && recovery.notes.is_empty(), "call {call}: {:?}", recovery.notes);
    assert_sound(dir, &store);
    // What is left of unfinished contents is removed when room is needed, and nothing else
    // is left.
    while store.give_way() {}
    assert_eq!(RealDisk.list(&dir.join("partial")).unwrap().len(), 0, "call {call}");
}

/// Makes calls until the disk fails for the first time; returns what must be there then,
/// and what may be.
fn live(store: &Store, model: &mut Model) -> Model {
    for (deed, counter) in life().iter().zip(1..) {
        let next = after(model, deed, counter);
        if perform(store, deed, counter).is_err() {
            return next;
        }
        *model = next;
    }
    model.clone()
}

#[test]
fn a_crash_that_tears_any_write_anywhere_leaves_what_was_acknowledged_and_nothing_half() {
    let parts = [(Part::None, false), (Part::First, true), (Part::AllButLast, true)];
    for ((part, power), bounds) in parts.into_iter().zip(JOURNALS) {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let (store, disk) = on_faulty_disk(dir.path(), bounds);
            disk.tear(part);
            disk.arm(call, Fault::Crash);
            let mut sure = Model::new();
            let maybe = live(&store, &mut sure);
            drop(store);
            if power {
                disk.lose_power();
            }
            agrees(dir.path(), &[&sure, &maybe], call);
            if !disk.has_failed() {
                break;
            }
        }
    }
}

#[test]
fn an_error_or_a_short_write_at_any_call_fails_one_deed_which_then_works() {
    let faults = [
        (Fault::Once(ErrorKind::Other), Part::None),
        (Fault::Short(ErrorKind::StorageFull), Part::First),
        (Fault::Short(ErrorKind::Other), Part::AllButLast),
    ];
    for ((fault, part), bounds) in faults.into_iter().zip(JOURNALS) {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let (store, disk) = on_faulty_disk(dir.path(), bounds);
            disk.tear(part);
            disk.arm(call, fault);
            let mut model = Model::new();
            for (deed, counter) in life().iter().zip(1..) {
                if let Err(first) = perform(&store, deed, counter) {
                    let named = matches!(&first, IncomingError::Disk(error) if error.is_full());
                    let full = fault == Fault::Short(ErrorKind::StorageFull);
                    assert!(named == full, "call {call}, {deed:?}: {first}");
                    perform(&store, deed, counter)
                        .unwrap_or_else(|error| panic!("call {call}, {deed:?} again: {error}"));
                }
                model = after(&model, deed, counter);
                assert_eq!(model_of(&store), model, "call {call}, {deed:?}");
            }
            drop(store);
            // Nothing that was acknowledged needed the call that failed.
            disk.lose_power();
            agrees(dir.path(), &[&model], call);
            if !disk.has_failed() {
                break;
            }
        }
    }
}

#[test]
fn a_full_disk_is_named_every_time_and_keeps_and_gives_what_it_has() {
    for bounds in [JOURNALS[0], JOURNALS[2]] {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let (store, disk) = on_faulty_disk(dir.path(), bounds);
            disk.arm(call, Fault::Full);
            let mut model = Model::new();
            for (deed, counter) in life().iter().zip(1..) {
                match perform(&store, deed, counter) {
                    Ok(()) => model = after(&model, deed, counter),
                    Err(IncomingError::Disk(error)) if error.is_full() => {}
                    Err(error) => panic!("call {call}, {deed:?}: {error}"),
                }
                // A reader finds what is there, and its bytes.
                for record in model.values().filter(|record| !record.is_deleted()) {
                    assert_eq!(store.record(&record.name).unwrap().as_ref(), Some(record));
                    assert!(store.holds(&record.version.root), "call {call}: {record:?}");
                }
            }
            let met = disk.has_failed();
            disk.mend();
            let last = Deed::Put(9, 6);
            perform(&store, &last, 99).unwrap_or_else(|error| panic!("call {call}: {error}"));
            model = after(&model, &last, 99);
            drop(store);
            disk.lose_power();
            agrees(dir.path(), &[&model], call);
            if !met {
                break;
            }
        }
    }
}

/// What the engine does about a content that it scrubs: verify it, set it aside when it is
/// damaged, take it in again, and commit its records.
fn scrub(store: &Store, root: &ContentHash, seed: u8) -> Result<(), IncomingError> {
    let verified = store.verify(root, |_| ControlFlow::Continue(()))?;
    if matches!(verified, Verified::Damaged { .. }) {
        let aside = store.set_aside(root, store.marks(root)?, false)?;
        take_in(store, &bytes(seed))?;
        for record in &aside.records {
            store.commit(record)?;
        }
    }
    Ok(())
}

/// A store with a damaged content that has two names, and a good one.
fn damaged(dir: &Path, bounds: Bounds) -> (Store, FaultyDisk, Model, ContentHash) {
    let (store, _) = on_faulty_disk(dir, bounds);
    let records = [put(&store, "one", 1, 3), put(&store, "two", 2, 3), put(&store, "good", 1, 1)];
    drop(store);
    let root = records[0].version.root;
    let path = blob_path(dir, &root);
    let mut content = std::fs::read(&path).unwrap();
    content[1024 * 1024 + 9] ^= 4;
    std::fs::write(&path, content).unwrap();
    let (store, disk) = on_faulty_disk(dir, bounds);
    let model = records.into_iter().map(|record| (record.name.clone(), record)).collect();
    (store, disk, model, root)
}

#[test]
fn a_scrub_that_is_cut_off_anywhere_costs_no_record_but_those_of_the_damaged_content() {
    let parts = [(Part::First, false), (Part::Half, true), (Part::AllButLast, true)];
    for ((part, power), bounds) in parts.into_iter().zip(JOURNALS) {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let (store, disk, model, root) = damaged(dir.path(), bounds);
            disk.tear(part);
            disk.arm(call, Fault::Crash);
            let done = scrub(&store, &root, 3).is_ok();
            drop(store);
            if power {
                disk.lose_power();
            }
            let (store, _) = open(dir.path());
            let found = model_of(&store);
            assert!(!done || found == model, "call {call}: {found:?}");
            assert_eq!(found.get(&name("good")), model.get(&name("good")), "call {call}");
            assert!(
                found.iter().all(|(name, record)| model.get(name) == Some(record)),
                "call {call}: {found:?}"
            );
            // The next scrub finds what is left to do; dropped records come from other
            // nodes, as in the ring.
            scrub(&store, &root, 3).unwrap();
            take_in(&store, &bytes(3)).unwrap();
            for record in model.values() {
                store.commit(record).unwrap();
            }
            assert_eq!(model_of(&store), model, "call {call}");
            assert_sound(dir.path(), &store);
            drop(store);
            agrees(dir.path(), &[&model], call);
            if !disk.has_failed() {
                break;
            }
        }
    }
}

#[test]
fn a_scrub_that_an_error_meets_anywhere_goes_on_when_it_is_repeated() {
    for (fault, bounds) in [
        (Fault::Once(ErrorKind::Other), JOURNALS[0]),
        (Fault::Short(ErrorKind::StorageFull), JOURNALS[2]),
    ] {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let (store, disk, model, root) = damaged(dir.path(), bounds);
            disk.arm(call, fault);
            if scrub(&store, &root, 3).is_err() {
                // The caller must restore a record that was dropped; the store never has
                // one without its bytes.
                for record in model_of(&store).values() {
                    assert!(model.get(&record.name) == Some(record), "call {call}: {record:?}");
                }
                scrub(&store, &root, 3).unwrap();
                take_in(&store, &bytes(3)).unwrap();
                for record in model.values() {
                    store.commit(record).unwrap();
                }
            }
            assert_eq!(model_of(&store), model, "call {call}");
            drop(store);
            agrees(dir.path(), &[&model], call);
            if !disk.has_failed() {
                break;
            }
        }
    }
}
