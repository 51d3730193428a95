//! Room on the disk and in the quota.

use super::*;

const MIB: u64 = 1024 * 1024;

/// On a disk that is large enough for the whole reserve.
fn space(free: u64) -> Space {
    Space { free, total: 1024 * 1024 * MIB }
}

fn on_a_disk_of(dir: &Path, free: u64) -> (Store, FaultyDisk) {
    let disk = FaultyDisk::default();
    disk.set_space(space(free));
    (Store::open_on(dir, Arc::new(disk.clone())).unwrap().0, disk)
}

fn used(store: &Store) -> u64 {
    store.room().unwrap().used
}

#[test]
fn used_bytes_are_counted_as_contents_come_and_go() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(used(&store), 0);
    let one = put(&store, "one", 1, 1);
    let large = put(&store, "large", 1, 3);
    put(&store, "one again", 1, 1);
    put(&store, "empty", 1, 0);
    assert_eq!(used(&store), one.size() + large.size(), "the same content counts once");
    take_in(&store, &bytes(1)).unwrap();
    assert_eq!(used(&store), one.size() + large.size(), "also when it comes in again");
    drop(store);

    let (store, _) = open(dir.path());
    assert_eq!(used(&store), one.size() + large.size());
    store.forget(&large.name, &large.version).unwrap();
    assert_eq!(used(&store), one.size());
    let newer = put(&store, "one", 2, 2);
    assert_eq!(used(&store), one.size() + newer.size(), "the other name still has the old one");
    store.commit(&tombstone("one again", 2)).unwrap();
    assert_eq!(used(&store), newer.size());
}

#[test]
fn what_does_not_fit_into_the_quota_is_refused_before_a_byte_moves() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let kept = put(&store, "kept", 1, 1);
    let large = bytes(3);
    let needs = large.len() as u64;
    store.set_quota(Some(kept.size() + needs + 10));
    assert_eq!(store.room().unwrap().left().min(needs + 10), needs + 10);

    let coming = store.begin(manifest_of(&large)).unwrap();
    let other = store.begin(manifest_of(&bytes(4))).unwrap_err();
    assert!(matches!(other, StoreError::NoRoom { left: Some(10), .. }), "{other:?}");
    assert!(other.is_full());
    assert!(other.to_string().contains("only 10 bytes are left of its quota"), "{other}");
    assert_eq!(std::fs::read_dir(dir.path().join("partial")).unwrap().count(), 2, "file and map");
    store.begin(manifest_of(&large)).expect("both fill the same file");

    drop(coming);
    put(&store, "other", 1, 4);
    assert!(store.begin(manifest_of(&large)).is_err(), "now that one does not fit");
    store.set_quota(None);
    put(&store, "large", 1, 3);
    store.set_quota(Some(1));
    assert_eq!(store.room().unwrap().left(), 0);
    assert_eq!(store.records().unwrap().len(), 3, "a quota takes nothing away");
}

#[test]
fn a_part_of_the_disk_stays_free() {
    let dir = TempDir::new().unwrap();
    let large = bytes(3);
    let needs = large.len() as u64;
    let (store, disk) = on_a_disk_of(dir.path(), 64 * MIB + needs - 1);
    let refused = store.begin(manifest_of(&large)).unwrap_err();
    let StoreError::NoRoom { free, left: None, .. } = refused else { panic!("{refused:?}") };
    assert_eq!(free, needs - 1);
    assert!(refused.to_string().contains("2.1 MB do not fit"), "{refused}");
    disk.set_space(space(64 * MIB + needs));
    take_in(&store, &large).unwrap();
    store.commit(&file("large", 1, &large)).unwrap();

    disk.set_space(space(0));
    store.commit(&tombstone("large", 2)).expect("names can still be removed");
    assert_eq!(used(&store), 0);
    // A small disk keeps a hundredth.
    disk.set_space(Space { free: 5000, total: 400_000 });
    assert_eq!(store.room().unwrap().free, 1000);
}

#[test]
fn what_others_left_gives_way_to_what_comes() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let left: Vec<u8> = bytes(3).into_iter().rev().collect();
    let begun = store.begin(manifest_of(&left)).unwrap();
    begun.write(PieceIndex(0), &left[..MIB as usize]).unwrap();
    drop(begun);
    assert!(used(&store) > 0, "it is there for whoever goes on with it");
    let comes = bytes(3);
    store.set_quota(Some(comes.len() as u64));
    put(&store, "comes", 1, 3);
    assert_eq!(used(&store), comes.len() as u64);
    assert_sound(dir.path(), &store);
}
