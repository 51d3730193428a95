//! Damage on the disk: it is found, set aside and repaired.

use super::*;

fn verify(store: &Store, root: &ContentHash) -> Verified {
    store.verify(root, |_| ControlFlow::Continue(())).unwrap()
}

fn damage(dir: &Path, root: &ContentHash, harm: impl FnOnce(&mut Vec<u8>)) {
    let path = blob_path(dir, root);
    let mut content = std::fs::read(&path).unwrap();
    harm(&mut content);
    std::fs::write(path, content).unwrap();
}

#[test]
fn who_looked_while_a_content_was_mended_does_not_take_it_out_of_use() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let record = put(&store, "a", 1, 1);
    let root = record.version.root;
    damage(dir.path(), &root, |content| content[99] ^= 1);
    let seen = store.marks(&root).unwrap();
    assert!(matches!(verify(&store, &root), Verified::Damaged { .. }));
    assert_eq!(store.set_aside(&root, seen, false).unwrap().records.len(), 1);
    // Two scrubs looked meanwhile: one at the damage, one at nothing.
    let gone = store.marks(&root).unwrap();
    put(&store, "a", 1, 1);
    for late in [seen, gone] {
        let aside = store.set_aside(&root, late, true).unwrap();
        assert_eq!((aside.records, aside.kept), (vec![], None));
    }
    assert_eq!(verify(&store, &root), Verified::Whole);
    assert_eq!(store.record(&record.name).unwrap(), Some(record));
}

#[test]
fn reading_again_finds_the_pieces_that_the_disk_changed() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let record = put(&store, "a", 1, 3);
    let root = record.version.root;
    let mut read = 0;
    let found = store.verify(&root, |bytes| {
        read += bytes;
        ControlFlow::Continue(())
    });
    assert_eq!((found.unwrap(), read), (Verified::Whole, record.size()));
    let mut read = Vec::new();
    let stopped = store.verify(&root, |bytes| {
        read.push(bytes);
        ControlFlow::Break(())
    });
    assert_eq!(stopped.unwrap(), Verified::Stopped);
    assert!(matches!(read[..], [first] if first < record.size()), "{read:?}: it reads on");
    assert_eq!(verify(&store, &ContentHash([7; 32])), Verified::Gone);

    let bad = |bad: &[u32]| Verified::Damaged {
        bad: bad.iter().copied().map(PieceIndex).collect(),
        pieces: 3,
    };
    damage(dir.path(), &root, |content| content[1024 * 1024 + 5] ^= 0x10);
    assert_eq!(verify(&store, &root), bad(&[1]));
    for left in [1024 * 1024 + 7, 1024 * 1024] {
        damage(dir.path(), &root, |content| content.truncate(left));
        assert_eq!(verify(&store, &root), bad(&[1, 2]), "cut to {left} bytes");
    }
    std::fs::write(blob_path(dir.path(), &root), [bytes(3), vec![0]].concat()).unwrap();
    assert_eq!(verify(&store, &root), bad(&[2]), "too long");
    std::fs::write(blob_path(dir.path(), &root), bytes(3)).unwrap();
    assert_eq!(verify(&store, &root), Verified::Whole);
    std::fs::remove_file(blob_path(dir.path(), &root)).unwrap();
    assert_eq!(verify(&store, &root), Verified::Gone);
}

#[test]
fn the_only_copy_is_kept_as_it_is() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let record = put(&store, "a", 1, 3);
    let root = record.version.root;
    let mut damaged = bytes(3);
    damaged[7] ^= 1;
    damage(dir.path(), &root, |content| content.clone_from(&damaged));
    let aside = set_aside(&store, &root, true).unwrap();
    assert_eq!(aside.records, [record]);
    let kept = aside.kept.unwrap();
    assert!(std::fs::read(&kept).unwrap() == damaged);
    drop(store);
    let (store, recovery) = open(dir.path());
    assert!(kept.exists() && !store.holds(&root));
    assert_eq!(recovery.records, []);
}

#[test]
fn without_a_manifest_damage_is_found_as_well() {
    let dir = TempDir::new().unwrap();
    let records = furnished(dir.path());
    std::fs::remove_file(dir.path().join("catalogue.redb")).unwrap();
    let (store, _) = open(dir.path());
    let [small, large] = [records[0].version.root, records[1].version.root];
    assert_eq!(store.contents(None, 9).unwrap().len(), 2);
    assert_eq!(verify(&store, &small), Verified::Whole);
    assert_eq!(store.verify(&large, |_| ControlFlow::Break(())).unwrap(), Verified::Stopped);
    damage(dir.path(), &large, |content| content[0] ^= 1);
    assert!(matches!(verify(&store, &large), Verified::Damaged { .. }));
}

#[test]
fn of_a_damaged_content_only_the_damaged_piece_comes_again() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    let one = put(&store, "one", 1, 3);
    let two = put(&store, "two", 4, 3);
    put(&store, "other", 1, 1);
    let root = one.version.root;
    let manifest = store.manifest(&root).unwrap().unwrap();
    damage(dir.path(), &root, |content| content[1024 * 1024] ^= 1);
    let listed = store.contents(None, 9).unwrap();
    assert_eq!(listed.len(), 2, "each content once");
    assert_eq!(store.contents(Some(&listed[0]), 9).unwrap(), listed[1..]);

    let aside = set_aside(&store, &root, false).unwrap();
    assert_eq!((aside.records, aside.kept), (vec![one.clone(), two.clone()], None));
    assert!(!store.holds(&root));
    assert_eq!(store.records().unwrap().len(), 1);
    assert_eq!(set_aside(&store, &root, false).unwrap().records, [], "once is enough");
    assert!(matches!(store.commit(&one), Err(StoreError::NoBlob(_))));

    let incoming = store.begin(manifest.clone()).unwrap();
    let good: Vec<u32> = incoming.here().iter().map(|index| index.0).collect();
    assert_eq!(good, [0, 2], "the others were looked at and are good");
    assert_eq!(incoming.missing(), 1);
    let from = manifest.offset_of(PieceIndex(1)) as usize;
    let to = from + manifest.len_of(PieceIndex(1)) as usize;
    incoming.write(PieceIndex(1), &bytes(3)[from..to]).unwrap();
    incoming.finish().unwrap();
    drop(incoming);
    store.commit(&one).unwrap();
    store.commit(&two).unwrap();
    assert_eq!(verify(&store, &root), Verified::Whole);
    assert_eq!(store.room().unwrap().used, one.size() + bytes(1).len() as u64);
    assert_sound(dir.path(), &store);
}

#[test]
fn a_crash_while_a_content_is_set_aside_leaves_no_record_without_its_bytes() {
    for power in [false, true] {
        for call in 1.. {
            let dir = TempDir::new().unwrap();
            let records = furnished(dir.path());
            let disk = FaultyDisk::default();
            let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
            disk.arm(call, Fault::Crash);
            let set_aside = set_aside(&store, &records[1].version.root, false).is_ok();
            drop(store);
            if power {
                disk.lose_power();
            }
            let (store, recovery) = open(dir.path());
            let others = [records[0].clone(), records[2].clone()];
            let lost = recovery.records == others;
            assert!(lost || !set_aside && recovery.records == records, "call {call}");
            for record in &recovery.records {
                assert!(store.holds(&record.version.root), "call {call}: {record:?}");
            }
            if !disk.has_failed() {
                break;
            }
        }
    }
}

#[test]
fn whoever_commits_a_content_that_is_set_aside_is_waited_for_or_told() {
    let dir = TempDir::new().unwrap();
    let (store, _) = open(dir.path());
    for round in 1..=20u64 {
        put(&store, "a", 2 * round, 3);
        let root = file("a", 1, &bytes(3)).version.root;
        let record = file("b", round, &bytes(3));
        let (committed, aside) = std::thread::scope(|scope| {
            let commit = scope.spawn(|| store.commit(&record));
            let aside = set_aside(&store, &root, false).unwrap().records;
            (commit.join().unwrap(), aside)
        });
        let there = store.record(&record.name).unwrap();
        match committed {
            Ok(()) => assert!(aside.contains(&record), "round {round}: it was first"),
            Err(StoreError::NoBlob(_)) => assert_eq!(aside.len(), 1, "round {round}"),
            Err(error) => panic!("round {round}: {error}"),
        }
        assert_eq!(there, None);
        assert!(!store.holds(&root));
    }
}
