//! Nodes without room, and those that stand in for them.

use super::cluster::Cluster;
use super::stored;
use crate::chord::Reply;
use crate::peer::Peer;
use crate::record::{CopyCount, Obstacle, PassedOver};

/// A ring of six on which the first replica of "a" is full, and "a" is put:
/// the wanted holders and the one that stands in.
fn with_a_stand_in() -> (Cluster, Vec<Peer>, Peer) {
    let mut cluster = Cluster::new(6, 3);
    let holders = cluster.placed("a");
    let members = cluster.members();
    let owner = members.iter().position(|peer| *peer == holders[0]).expect("a member");
    let next = members[(owner + 3) % members.len()];
    cluster.node(holders[1]).no_room = true;
    let (_, kept, wanted) = stored(cluster.put("a", 1, false));
    assert_eq!((kept, wanted), (vec![holders[0], holders[2], next], 3));
    (cluster, holders, next)
}

#[test]
fn the_next_node_stands_in_for_a_full_one_and_counts_like_it() {
    let (mut cluster, holders, next) = with_a_stand_in();
    assert_eq!(cluster.no_room, [("a".to_owned(), holders[1], Some(next))]);
    cluster.rounds(25);
    let kept = [holders[0], holders[2], next];
    assert_eq!(cluster.where_is("a"), Cluster::sorted(kept.to_vec()));
    assert_eq!(cluster.row(holders[0], "a").copies, 3);
    assert_eq!(cluster.holders_at(holders[0], "a"), kept);
    assert_eq!(cluster.no_room.len(), 1, "said once");
}

#[test]
fn a_copy_moves_home_when_room_returns() {
    let (mut cluster, holders, _) = with_a_stand_in();
    cluster.rounds(3);
    cluster.node(holders[1]).no_room = false;
    cluster.rounds(16);
    assert_eq!(cluster.where_is("a"), Cluster::sorted(holders.clone()));
    assert_eq!(cluster.row(holders[0], "a").copies, 3);
    assert_eq!(cluster.holders_at(holders[0], "a"), holders);
}

#[test]
fn when_a_stand_in_dies_another_takes_over() {
    let (mut cluster, holders, next) = with_a_stand_in();
    cluster.kill(next);
    cluster.spread();
    cluster.run();
    assert_eq!(cluster.copies("a"), 3, "at once");
    assert_eq!(cluster.row(holders[0], "a").copies, 3);
    cluster.rounds(4);
    assert_eq!(cluster.copies("a"), 3);
}

#[test]
fn a_stand_in_that_leaves_hands_its_place_on() {
    let (mut cluster, holders, next) = with_a_stand_in();
    assert_eq!(cluster.leave(next).1, 0, "it keeps nothing back");
    cluster.rounds(2);
    assert_eq!(cluster.copies("a"), 3);
    assert_eq!(cluster.row(holders[0], "a").copies, 3);
}

#[test]
fn a_new_owner_finds_the_copy_of_the_stand_in() {
    let (mut cluster, holders, next) = with_a_stand_in();
    // The full one is the owner now: it cannot hold the file, but it knows it.
    cluster.kill(holders[0]);
    cluster.spread();
    cluster.rounds(6);
    let known = cluster.holders_at(holders[1], "a");
    assert!(known.contains(&holders[2]) || known.contains(&next), "{known:?}");
    cluster.node(holders[1]).no_room = false;
    cluster.rounds(12);
    assert_eq!(cluster.where_is("a"), Cluster::sorted(cluster.placed("a")));
}

#[test]
fn with_nobody_to_stand_in_there_are_as_many_copies_as_nodes_that_can_hold_them() {
    let mut cluster = Cluster::new(3, 3);
    let holders = cluster.placed("a");
    cluster.node(holders[1]).no_room = true;
    let reply = cluster.put("a", 1, false);
    let over = PassedOver { peer: holders[1], why: Obstacle::NoRoom, stand_in: None };
    let Some(Reply::Stored { holders: kept, wanted, passed, .. }) = reply else {
        panic!("{reply:?}");
    };
    assert_eq!((kept, wanted, passed), (vec![holders[0], holders[2]], 2, vec![over]));
    assert_eq!(cluster.row(holders[0], "a").count, CopyCount::NoRoom);
    // The ring keeps trying, and so may the user.
    cluster.node(holders[1]).no_room = false;
    let mut patient = cluster.clone();
    patient.rounds(12);
    assert_eq!(patient.copies("a"), 3);
    patient.assert_in_place();
    stored(cluster.put("a", 1, false));
    assert_eq!(cluster.copies("a"), 3);
}

#[test]
fn two_full_holders_have_two_stand_ins() {
    let mut cluster = Cluster::new(7, 3);
    let holders = cluster.placed("a");
    for full in &holders[1..] {
        cluster.node(*full).no_room = true;
    }
    let (_, kept, wanted) = stored(cluster.put("a", 1, false));
    assert_eq!((kept.len(), wanted), (3, 3));
    assert!(kept[1..].iter().all(|peer| !holders.contains(peer)));
    cluster.node(holders[1]).no_room = false;
    cluster.rounds(16);
    assert_eq!(cluster.copies("a"), 3);
    assert!(cluster.where_is("a").contains(&holders[1]));
}

#[test]
fn a_full_node_costs_little_while_nothing_changes() {
    let mut cluster = Cluster::new(6, 3);
    let full = cluster.members()[2];
    for i in 0..20 {
        stored(cluster.put(&format!("early {i}"), i, false));
    }
    cluster.node(full).no_room = true;
    let mut kept = 0;
    for i in 0..60 {
        let file = format!("late {i}");
        if cluster.placed(&file)[0] != full {
            kept += usize::from(stored(cluster.put(&file, i, false)).1.len() == 3);
        }
    }
    assert!(kept > 20, "{kept}");
    cluster.rounds(5);
    cluster.sent = 0;
    cluster.rounds(20);
    let quiet = 20 * 6 * 2 * 2;
    assert!(cluster.sent < 2 * quiet + 60 * 12, "{} beside {quiet}", cluster.sent);
}
