//! Copies whose bytes turn out to be damaged.

use super::cluster::{Cluster, name};
use super::stored;
use crate::chord::{Reply, Upload};
use crate::record::CopyCount;

#[test]
fn a_damaged_copy_comes_back_from_another_holder_without_waiting_for_a_round() {
    for which in 0..3 {
        let mut cluster = Cluster::new(5, 3);
        stored(cluster.put("a", 1, false));
        cluster.rounds(2);
        let holders = cluster.placed("a");
        let fetched = cluster.fetched;
        assert!(cluster.damage(holders[which], "a"));
        assert_eq!(cluster.copies("a"), 2);
        cluster.run();
        assert_eq!(cluster.copies("a"), 3);
        assert_eq!(cluster.fetched, fetched + 1);
        let row = cluster.row(holders[0], "a");
        assert_eq!((row.copies, row.wanted), (3, 3), "holder {which}");
        let (at, file, from) = cluster.restored.pop().expect("it is said");
        assert_eq!((at, file.as_str()), (holders[which], "a"));
        assert!(!from.is_empty() && !from.contains(&at), "{from:?}");
    }
}

#[test]
fn the_owner_counts_a_lost_copy_no_more_until_it_is_back() {
    let mut cluster = Cluster::new(5, 3);
    stored(cluster.put("a", 1, false));
    cluster.rounds(2);
    let holders = cluster.placed("a");
    cluster.node(holders[1]).full = true;
    cluster.damage(holders[1], "a");
    cluster.run();
    // Its disk takes nothing new: the next node stands in.
    let counted = cluster.holders_at(holders[0], "a");
    assert!(counted.len() == 3 && !counted.contains(&holders[1]), "{counted:?}");
    cluster.node(holders[1]).full = false;
    cluster.rounds(12);
    assert_eq!(cluster.where_is("a"), Cluster::sorted(holders));
}

#[test]
fn a_name_whose_owner_lost_the_bytes_is_not_free() {
    let mut cluster = Cluster::new(5, 3);
    stored(cluster.put("a", 1, false));
    cluster.rounds(2);
    let holders = cluster.placed("a");
    let (owner, others) = (holders[0], holders[1..].to_vec());
    cluster.node(owner).full = true;
    cluster.damage(owner, "a");
    cluster.run();
    assert_eq!(cluster.copies("a"), 3, "its disk takes nothing, and the next node's does");
    let offered = cluster.offer("a", 2, false);
    assert!(matches!(offered, Some(Reply::Upload(Upload::Exists { .. }))), "{offered:?}");
    // Whoever wants to read it is told where.
    let told = cluster.holders_at(owner, "a");
    assert!(others.iter().all(|other| told.contains(other)) && !told.contains(&owner), "{told:?}");
    let known = cluster.node(owner).replicas.best(&name("a")).map(|record| record.version.counter);
    assert_eq!(known, Some(1));
    cluster.node(owner).full = false;
    cluster.rounds(12);
    assert_eq!(cluster.where_is("a"), Cluster::sorted(holders));
}

#[test]
fn the_only_copy_lost_is_known_until_it_is_put_again_or_an_old_one_turns_up() {
    let mut cluster = Cluster::new(3, 1);
    let (version, ..) = stored(cluster.put("a", 1, false));
    let owner = cluster.placed("a")[0];
    cluster.forgive("a");
    assert!(cluster.damage(owner, "a"));
    cluster.rounds(3);
    assert_eq!(cluster.copies("a"), 0);
    let offered = cluster.offer("a", 2, false);
    assert!(matches!(offered, Some(Reply::Upload(Upload::Exists { .. }))), "{offered:?}");
    assert_eq!(cluster.offer("a", 1, false), Some(Reply::Upload(Upload::Proceed)));
    assert_eq!(stored(cluster.put("a", 1, false)).0, version);
    assert_eq!(cluster.restored.len(), 1);
    assert_eq!(cluster.copies("a"), 1);
}

#[test]
fn what_was_replaced_meanwhile_is_not_lost() {
    let mut cluster = Cluster::new(5, 3);
    let (old, ..) = stored(cluster.put("a", 1, false));
    stored(cluster.put("a", 2, true));
    let owner = cluster.placed("a")[0];
    let before = cluster.node(owner).replicas.clone();
    cluster.with(owner, |files| {
        files.lost(&name("a"), old);
        files.lost(&name("b"), old);
        assert!(files.out.is_empty());
    });
    assert_eq!(cluster.node(owner).replicas, before);
}

#[test]
fn a_node_that_came_back_counts_before_it_says_that_a_file_is_at_risk() {
    let mut cluster = Cluster::new(6, 3);
    cluster.put("a", 1, false);
    cluster.rounds(2);
    let owner = cluster.placed("a")[0];
    assert_eq!(cluster.row(owner, "a").count, CopyCount::Known);
    cluster.kill(owner);
    cluster.revive(owner);
    let row = cluster.row(owner, "a");
    assert_eq!((row.copies, row.count), (1, CopyCount::Counting));
    cluster.rounds(2);
    let row = cluster.row(owner, "a");
    assert_eq!((row.copies, row.count), (3, CopyCount::Known));
}

#[test]
fn a_copy_for_which_nobody_has_room_is_called_so() {
    let mut cluster = Cluster::new(3, 3);
    let holders = cluster.placed("a");
    cluster.put("a", 1, false);
    cluster.node(holders[1]).no_room = true;
    assert!(cluster.damage(holders[1], "a"));
    cluster.rounds(2);
    let row = cluster.row(holders[0], "a");
    assert_eq!((row.copies, row.count), (2, CopyCount::NoRoom));
    cluster.node(holders[1]).no_room = false;
    // A full node is tried again now and then.
    cluster.rounds(12);
    assert_eq!(cluster.row(holders[0], "a").count, CopyCount::Known);
}
