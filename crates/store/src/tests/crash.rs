//! Crashes and failures at every disk call, random sequences of calls, and threads.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// One call of the store.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    Put(u8, u8),
    Delete(u8),
    Forget(u8),
}

/// The records that should be there, and the next version's counter.
pub(super) type Model = BTreeMap<FileName, Record>;

pub(super) fn record_of(deed: &Deed, counter: u64) -> Option<Record> {
    match deed {
        Deed::Put(who, seed) => Some(file(&format!("n{who}"), counter, &bytes(*seed))),
        Deed::Delete(who) => Some(tombstone(&format!("n{who}"), counter)),
        Deed::Forget(_) => None,
    }
}

pub(super) fn after(model: &Model, deed: &Deed, counter: u64) -> Model {
    let mut model = model.clone();
    match (deed, record_of(deed, counter)) {
        (_, Some(record)) => drop(model.insert(record.name.clone(), record)),
        (Deed::Forget(who), _) => drop(model.remove(&name(&format!("n{who}")))),
        _ => {}
    }
    model
}

pub(super) fn perform(store: &Store, deed: &Deed, counter: u64) -> Result<(), IncomingError> {
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

pub(super) fn model_of(store: &Store) -> Model {
    store.records().unwrap().into_iter().map(|record| (record.name.clone(), record)).collect()
}

/// What a crash destroys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Loss {
    /// Nothing that was written.
    Process,
    /// Everything that was not synced.
    Power,
    /// The same, and then the catalogue.
    PowerAndCatalogue,
}

/// Opens `dir` on a disk that dies at `call`, makes the calls until then, and opens it
/// again. Everything acknowledged must be there; what was running may be. Returns whether
/// the fault was met.
fn crash_and_reopen(dir: &Path, deeds: &[Deed], bounds: Bounds, call: u64, loss: Loss) -> bool {
    let disk = FaultyDisk::with(call, Fault::Crash);
    let mut sure = Model::new();
    let mut maybe = Model::new();
    if let Ok((store, recovery)) = Store::open_with(dir, Arc::new(disk.clone()), bounds) {
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
    let losses = [Loss::Process, Loss::Power, Loss::PowerAndCatalogue];
    for (loss, bounds) in losses.into_iter().flat_map(|loss| JOURNALS.map(|bounds| (loss, bounds)))
    {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            if !crash_and_reopen(&dir.path().join("a/node"), &deeds(), bounds, call, loss) {
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
    for bounds in JOURNALS {
        one_call_fails(bounds);
    }
}

fn one_call_fails(bounds: Bounds) {
    for call in 1.. {
        let dir = TempDir::new().unwrap();
        let (store, disk) = on_faulty_disk(dir.path(), bounds);
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
            (prop::collection::vec(deed(), 0..12), 0..3usize, 1u64..600, any::<bool>()), 1..5)
    ) {
        let dir = TempDir::new().unwrap();
        let mut counter = 0;
        let mut model = Model::new();
        for (deeds, bounds, call, power) in lives {
            let disk = FaultyDisk::default();
            let opened = Store::open_with(dir.path(), Arc::new(disk.clone()), JOURNALS[bounds]);
            let (store, recovery) = opened.unwrap();
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
    let (store, _) = on_faulty_disk(dir.path(), ASIDE);
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
