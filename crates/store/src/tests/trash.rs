//! Contents that stay for a day although no record names them.

use super::*;

const DAY_S: u64 = 24 * 60 * 60;

/// Replaces a version by a newer one whose owner did not know it.
fn beat(store: &Store, old: &Record, seed: u8) -> Record {
    let record = file(old.name.as_str(), old.version.counter + 1, &bytes(seed));
    take_in(store, &bytes(seed)).unwrap();
    for left in store.change(&[Deed::Commit(record.clone())]) {
        store.spare(left.unwrap(), &old.name);
    }
    record
}

fn read(store: &Store, record: &Record) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    store.open_blob(&record.version.root).unwrap()?.read_to_end(&mut read).unwrap();
    Some(read)
}

/// Whether a content is in the trash, checked in every way.
fn is_kept(store: &Store, record: &Record) -> bool {
    let all = [
        store.holds(&record.version.root),
        store.is_trashed(&record.version.root),
        store.trashed(&record.name).iter().any(|one| one.root == record.version.root),
        store.shared.catalogue.trash().unwrap().iter().any(|one| one.root == record.version.root),
    ];
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    all[0]
}

#[test]
fn what_lost_ends_after_its_day() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let old = put(&store, "a", 1, 3);
    let new = beat(&store, &old, 2);
    assert_eq!(read(&store, &old), Some(bytes(3)));
    assert_eq!(store.room().unwrap().used, new.size(), "it is in nobody's way");
    store.empty_trash(now_s() + DAY_S - 60);
    assert!(is_kept(&store, &old));
    drop(store);
    let (store, _) = open(dir.path());
    assert!(is_kept(&store, &old), "also after a restart");
    store.expire();
    assert!(is_kept(&store, &old));
    store.empty_trash(now_s() + DAY_S + 60);
    assert!(!is_kept(&store, &old));
    assert_eq!(read(&store, &old), None);
    assert_eq!(store.manifest(&old.version.root).unwrap(), None);
    assert_sound(dir.path(), &store);
}

#[test]
fn what_was_kept_by_a_clock_that_was_fast_does_not_stay_until_then() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let old = put(&store, "a", 1, 1);
    beat(&store, &old, 2);
    store.empty_trash(now_s() - DAY_S + 60);
    assert!(is_kept(&store, &old));
    store.empty_trash(now_s() - DAY_S - 60);
    assert!(!is_kept(&store, &old));
    assert_sound(dir.path(), &store);
}

#[test]
fn what_lost_gives_way_to_what_comes_and_no_more_of_it_than_needed() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let lost = [("a", 1), ("b", 4)].map(|(text, seed)| put(&store, text, 1, seed));
    let kept = [beat(&store, &lost[0], 5), beat(&store, &lost[1], 6)];
    let used = kept.iter().map(Record::size).sum::<u64>();
    assert_eq!(store.room().unwrap().used, used);
    let comes = file("comes", 1, &bytes(7));
    let more = lost.iter().map(Record::size).max().unwrap();
    store.set_quota(Some(used + comes.size() + more));
    put(&store, "comes", 1, 7);
    let there = || lost.iter().filter(|record| is_kept(&store, record)).count();
    assert_eq!(there(), 1, "there is room for one of them");
    assert_eq!(store.room().unwrap().left(), more, "which is free all the same");
    store.set_quota(Some(used + comes.size() + bytes(3).len() as u64));
    put(&store, "large", 1, 3);
    assert_eq!(there(), 0);
    assert_eq!(store.records().unwrap().len(), 4, "what is named stays");
    assert_sound(dir.path(), &store);
}

#[test]
fn what_lost_need_not_come_again_when_a_record_names_it() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let old = put(&store, "a", 1, 3);
    let new = beat(&store, &old, 2);
    // As the ring's operations begin: without the bytes, which are here.
    let again = file("a", new.version.counter + 1, &bytes(3));
    for left in store.change(&[Deed::Commit(again.clone())]) {
        store.sweep(left.unwrap());
    }
    assert!(!store.is_trashed(&old.version.root) && store.trashed(&old.name).is_empty());
    store.empty_trash(now_s() + DAY_S + 60);
    assert_eq!(read(&store, &again), Some(bytes(3)));
    assert_sound(dir.path(), &store);
}
