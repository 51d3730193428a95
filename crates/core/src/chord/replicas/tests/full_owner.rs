//! Owners without room: others hold their files, and they answer for them.

use crate::chord::{Command, Failure, Reply, Upload};
use crate::peer::Peer;
use crate::record::{ContentHash, Obstacle};

use super::cluster::{Cluster, content, name};
use super::stored;

/// The members from the owner of "a" on, in the order of the ring.
fn from_the_owner(cluster: &Cluster) -> Vec<Peer> {
    let mut members = cluster.members();
    let owner = cluster.placed("a")[0];
    let at = members.iter().position(|peer| *peer == owner).expect("a member");
    members.rotate_left(at);
    members
}

/// A ring of which the owner of "a" is full, and "a" is put.
fn with_a_full_owner(nodes: usize) -> (Cluster, Vec<Peer>) {
    let mut cluster = Cluster::new(nodes, 3);
    let ring = from_the_owner(&cluster);
    cluster.node(ring[0]).no_room = true;
    let (_, kept, wanted) = stored(cluster.put("a", 1, false));
    assert_eq!((kept, wanted), (ring[1..4].to_vec(), 3));
    (cluster, ring)
}

#[test]
fn a_full_owner_has_its_file_on_the_next_nodes_and_answers_for_it() {
    let (mut cluster, ring) = with_a_full_owner(6);
    assert_eq!(cluster.fetched, 0, "the bytes were there already");
    cluster.rounds(25);
    assert_eq!(cluster.where_is("a"), Cluster::sorted(ring[1..4].to_vec()));
    assert_eq!(cluster.holders_at(ring[0], "a"), ring[1..4]);
    assert_eq!(cluster.node(ring[0]).replicas.len(), 0, "it has no file");
    let known = cluster.node(ring[0]).replicas.best(&name("a")).map(|record| record.version);
    assert_eq!(known.map(|version| version.root), Some(content(1)));
    assert_eq!(cluster.no_room, [("a".to_owned(), ring[0], Some(ring[3]))], "said once");
    // The name is taken like any other.
    assert_eq!(cluster.put("a", 2, false), Some(Reply::Failed(Failure::Exists)));
    let already = cluster.offer("a", 1, false);
    let holders = ring[1..4].to_vec();
    assert!(
        matches!(&already, Some(Reply::Upload(Upload::Already { holders: there, wanted: 3, .. }))
            if *there == holders),
        "{already:?}"
    );
}

#[test]
fn the_reply_names_the_full_owner() {
    let (mut cluster, ring) = with_a_full_owner(6);
    cluster.node(ring[2]).no_room = true;
    match cluster.put("a", 2, true) {
        Some(Reply::Stored { holders, passed, .. }) => {
            assert_eq!(holders, [ring[1], ring[3], ring[4]]);
            let passed = passed.iter().map(|passed| (passed.peer, passed.stand_in));
            let passed: Vec<_> = passed.collect();
            assert_eq!(passed, [(ring[0], Some(ring[3])), (ring[2], Some(ring[4]))]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn any_two_deaths_after_a_put_to_a_full_owner_leave_a_copy_and_three_come_back() {
    for first in 0..6 {
        for second in 0..first {
            let (mut cluster, ring) = with_a_full_owner(6);
            cluster.kill(ring[first]);
            cluster.kill(ring[second]);
            assert!(cluster.copies("a") >= 1);
            cluster.spread();
            cluster.rounds(4);
            assert_eq!(cluster.copies("a"), 3, "without {first} and {second}");
        }
    }
}

#[test]
fn a_file_is_overwritten_and_removed_though_its_owner_is_full() {
    let (mut cluster, ring) = with_a_full_owner(6);
    let (version, holders, _) = stored(cluster.put("a", 2, true));
    assert_eq!((version.counter, version.root, holders), (2, content(2), ring[1..4].to_vec()));
    cluster.rounds(3);
    assert_eq!(cluster.copies("a"), 3);
    let (version, ..) = stored(cluster.remove("a"));
    assert_eq!(version.counter, 3);
    cluster.rounds(16);
    for peer in cluster.members() {
        let record = cluster.node(peer).replicas.record(&name("a")).cloned();
        assert!(record.is_none_or(|record| record.is_deleted()), "{peer}");
    }
    cluster.assert_in_place();
}

#[test]
fn an_owner_lets_its_old_copy_go_when_others_have_the_new_one() {
    let mut cluster = Cluster::new(6, 3);
    stored(cluster.put("a", 1, false));
    let ring = from_the_owner(&cluster);
    cluster.node(ring[0]).no_room = true;
    let (version, holders, _) = stored(cluster.put("a", 2, true));
    assert_eq!(holders, ring[1..4]);
    assert_eq!(cluster.where_is("a"), Cluster::sorted(ring[1..4].to_vec()));
    // With the room of the old one it takes the new one after a while.
    cluster.node(ring[0]).no_room = false;
    cluster.rounds(25);
    cluster.assert_in_place();
    assert_eq!(cluster.holders_at(ring[0], "a"), ring[..3]);
    let here = cluster.node(ring[0]).replicas.record(&name("a")).map(|record| record.version);
    assert_eq!(here, Some(version));
}

#[test]
fn the_copy_comes_home_when_the_owner_has_room() {
    let (mut cluster, ring) = with_a_full_owner(6);
    cluster.node(ring[0]).no_room = false;
    cluster.rounds(25);
    assert_eq!(cluster.where_is("a"), Cluster::sorted(ring[..3].to_vec()));
    let row = cluster.row(ring[0], "a");
    assert!(row.owner && row.copies == 3, "{row:?}");
    assert_eq!(cluster.fetched, 1);
}

#[test]
fn a_full_owner_that_starts_again_learns_its_names_from_those_that_hold_them() {
    let (mut cluster, ring) = with_a_full_owner(7);
    cluster.kill(ring[0]);
    cluster.revive(ring[0]);
    cluster.spread();
    cluster.rounds(3);
    assert_eq!(cluster.holders_at(ring[0], "a"), ring[1..4]);
    assert_eq!(cluster.put("a", 2, false), Some(Reply::Failed(Failure::Exists)));
}

#[test]
fn a_name_that_only_stand_ins_hold_is_not_free_after_a_restart() {
    let mut cluster = Cluster::new(8, 3);
    let ring = from_the_owner(&cluster);
    for full in &ring[..3] {
        cluster.node(*full).no_room = true;
    }
    let (_, kept, wanted) = stored(cluster.put("a", 1, false));
    assert_eq!((kept, wanted), (ring[3..6].to_vec(), 3));
    // Before any round of repair.
    cluster.kill(ring[0]);
    cluster.revive(ring[0]);
    cluster.spread();
    assert_eq!(cluster.put("a", 2, false), Some(Reply::Failed(Failure::Exists)));
    cluster.rounds(4);
    assert_eq!(cluster.holders_at(ring[0], "a"), ring[3..6]);
    assert_eq!(cluster.put("a", 2, false), Some(Reply::Failed(Failure::Exists)));
}

#[test]
fn everybody_starts_again_and_the_file_is_there() {
    let (mut cluster, ring) = with_a_full_owner(6);
    for peer in &ring {
        cluster.kill_and_revive(*peer);
    }
    cluster.spread();
    cluster.rounds(16);
    assert_eq!(cluster.where_is("a"), Cluster::sorted(ring[1..4].to_vec()));
    assert_eq!(cluster.holders_at(ring[0], "a"), ring[1..4]);
}

#[test]
fn holders_of_a_full_owner_leave_and_others_take_over() {
    for leaver in 0..4 {
        let (mut cluster, ring) = with_a_full_owner(7);
        let held = usize::from(leaver > 0);
        assert_eq!(cluster.leave(ring[leaver]), (held, 0), "node {leaver}");
        cluster.rounds(4);
        assert_eq!(cluster.copies("a"), 3, "node {leaver}");
    }
}

#[test]
fn a_new_owner_without_room_has_as_many_copies_made_as_any_other() {
    let mut cluster = Cluster::new(6, 3);
    stored(cluster.put("a", 1, false));
    let ring = from_the_owner(&cluster);
    // A node that is no holder yet becomes one, of whose room nothing is left.
    cluster.node(ring[1]).no_room = true;
    cluster.damage(ring[1], "a");
    cluster.kill(ring[0]);
    cluster.spread();
    cluster.rounds(4);
    assert_eq!(cluster.placed("a")[0], ring[1]);
    assert_eq!(cluster.copies("a"), 3);
    assert_eq!(cluster.holders_at(ring[1], "a"), ring[2..5]);
}

#[test]
fn beside_a_full_owner_a_small_ring_holds_as_many_copies_as_it_can() {
    for nodes in 2..=3 {
        let mut cluster = Cluster::new(nodes, 3);
        let ring = from_the_owner(&cluster);
        cluster.node(ring[0]).no_room = true;
        let (_, holders, wanted) = stored(cluster.put("a", 1, false));
        assert_eq!((holders, usize::from(wanted)), (ring[1..].to_vec(), nodes - 1));
        cluster.rounds(4);
        assert_eq!(cluster.copies("a"), nodes - 1);
    }
}

#[test]
fn a_put_that_nobody_takes_fails_and_leaves_nothing() {
    let mut cluster = Cluster::new(5, 3);
    let ring = from_the_owner(&cluster);
    let root = content(1);
    cluster.node(ring[0]).no_room = true;
    // They had room when the bytes came.
    let elsewhere = cluster.chain(ring[0], root);
    for peer in &ring {
        cluster.node(*peer).no_room = true;
    }
    let commit = Command::Commit {
        name: name("a"),
        root,
        size: 100,
        overwrite: false,
        elsewhere,
        obstacle: Obstacle::NoRoom,
    };
    let reply = cluster.commit(ring[0], commit);
    let unable = ring[..4].iter().map(|peer| (*peer, Obstacle::NoRoom)).collect();
    let failure = Failure::TooFewCopies { holders: Vec::new(), wanted: 3, unable };
    assert_eq!(reply, Some(Reply::Failed(failure)));
    assert_eq!(cluster.copies("a"), 0);
    assert!(cluster.armed.is_empty());
    // The name is as free as before.
    cluster.node(ring[0]).no_room = false;
    for peer in &ring {
        cluster.node(*peer).no_room = false;
    }
    assert_eq!(stored(cluster.put("a", 2, false)).0.counter, 1);
}

#[test]
fn who_claims_that_others_have_the_bytes_hides_no_file() {
    let mut cluster = Cluster::new(5, 3);
    let (version, ..) = stored(cluster.put("a", 1, false));
    let ring = from_the_owner(&cluster);
    let (name, root) = (name("a"), content(9));
    let elsewhere = ring[1..].to_vec();
    let commit = Command::Commit {
        name: name.clone(),
        root,
        size: 100,
        overwrite: true,
        elsewhere,
        obstacle: Obstacle::NoRoom,
    };
    let failed = |reply: Option<Reply>| {
        assert!(matches!(reply, Some(Reply::Failed(Failure::TooFewCopies { .. }))), "{reply:?}");
    };
    failed(cluster.commit(ring[0], commit.clone()));
    let known = |cluster: &mut Cluster| {
        cluster.node(ring[0]).replicas.best(&name).map(|record| record.version)
    };
    assert_eq!(known(&mut cluster), Some(version));
    assert_eq!(cluster.copies("a"), 3);
    // Nor do strangers count.
    let strangers = vec![Peer::new(([127, 9, 9, 9], 9).into(), 0)];
    let Command::Commit { size, overwrite, .. } = commit else { panic!("it is one") };
    let commit = Command::Commit {
        name: name.clone(),
        root,
        size,
        overwrite,
        elsewhere: strangers,
        obstacle: Obstacle::NoRoom,
    };
    assert!(matches!(cluster.commit(ring[0], commit), Some(Reply::Failed(_))));
}

#[test]
fn a_full_owner_costs_little_while_nothing_changes() {
    let mut cluster = Cluster::new(6, 3);
    let full = cluster.members()[2];
    cluster.node(full).no_room = true;
    let mut kept = 0;
    for i in 0..99 {
        let file = format!("late {i}");
        if cluster.placed(&file)[0] == full {
            kept += usize::from(stored(cluster.put(&file, i, false)).1.len() == 3);
        }
    }
    assert!(kept > 5, "{kept}");
    cluster.rounds(5);
    let fetched = cluster.fetched;
    cluster.sent = 0;
    cluster.rounds(20);
    assert_eq!(cluster.fetched, fetched);
    let quiet = 20 * 6 * 2 * 2;
    assert!(cluster.sent < 3 * quiet, "{} beside {quiet}", cluster.sent);
}

#[test]
fn who_took_itself_for_the_owner_while_it_knew_no_predecessor_forgets_what_it_cannot_store() {
    let mut cluster = Cluster::new(6, 3);
    let ring = from_the_owner(&cluster);
    let (owner, next) = (ring[0], ring[1]);
    // For a moment the next node knows nobody before it, and gets the put.
    cluster.node(next).no_room = true;
    cluster.node(next).predecessor = None;
    cluster.tell_of_the_ring(next);
    let elsewhere = cluster.chain(next, content(1));
    let commit = Command::Commit {
        name: name("a"),
        root: content(1),
        size: 100,
        overwrite: false,
        elsewhere,
        obstacle: Obstacle::NoRoom,
    };
    stored(cluster.commit(next, commit));
    cluster.node(next).predecessor = Some(owner);
    cluster.tell_of_the_ring(next);
    cluster.node(next).no_room = false;
    cluster.rounds(25);
    cluster.assert_in_place();
    assert_eq!(cluster.where_is("a"), Cluster::sorted(ring[..3].to_vec()));
}

/// The one node that took the second version of "a", its owner without room, is dead, and
/// there is room again. `older`: there was a first version.
fn with_a_dead_last_holder(older: bool) -> (Cluster, Vec<Peer>) {
    let mut cluster = Cluster::new(6, 3);
    let ring = from_the_owner(&cluster);
    if older {
        stored(cluster.put("a", 1, false));
    }
    for peer in ring.iter().filter(|peer| **peer != ring[1]) {
        cluster.node(*peer).no_room = true;
    }
    let (_, holders, _) = stored(cluster.put("a", 2, true));
    assert_eq!(holders, [ring[1]]);
    cluster.forgive("a");
    cluster.kill(ring[1]);
    cluster.notice();
    for peer in ring.iter().filter(|peer| **peer != ring[1]) {
        cluster.node(*peer).no_room = false;
    }
    cluster.keep_failed = 0;
    (cluster, ring)
}

/// Which content of "a" a node answers for.
fn answered_for(cluster: &mut Cluster, at: Peer) -> Option<ContentHash> {
    cluster.node(at).replicas.best(&name("a")).map(|record| record.version.root)
}

#[test]
fn when_the_last_holder_of_a_version_is_gone_the_one_before_counts_again() {
    let (mut cluster, ring) = with_a_dead_last_holder(true);
    cluster.rounds(25);
    assert_eq!(answered_for(&mut cluster, ring[0]), Some(content(1)), "it was acknowledged");
    assert_eq!(cluster.copies("a"), 3);
    cluster.assert_in_place();
    cluster.keep_failed = 0;
    cluster.rounds(25);
    assert_eq!(cluster.keep_failed, 0, "nobody is sent any more for bytes that nobody has");
    assert_eq!(cluster.forgotten, [(ring[0], "a".to_owned(), content(2))], "said once");
    // The next version is newer than the lost one, should that come back.
    let (third, ..) = stored(cluster.put("a", 3, true));
    assert_eq!(third.counter, 3);
    cluster.revive(ring[1]);
    cluster.notice();
    cluster.rounds(16);
    cluster.assert_in_place();
    assert_eq!(answered_for(&mut cluster, ring[0]), Some(content(3)));
}

#[test]
fn a_version_whose_last_holder_is_away_hides_the_one_before_for_a_while_and_wins_later() {
    for rounds in [5, 25] {
        let (mut cluster, ring) = with_a_dead_last_holder(true);
        cluster.rounds(rounds);
        let meanwhile = content(if rounds < 10 { 2 } else { 1 });
        assert_eq!(answered_for(&mut cluster, ring[0]), Some(meanwhile));
        cluster.revive(ring[1]);
        cluster.notice();
        cluster.rounds(25);
        cluster.assert_in_place();
        assert_eq!(answered_for(&mut cluster, ring[0]), Some(content(2)), "{rounds}");
    }
}

#[test]
fn a_name_of_which_no_version_is_left_is_recorded_and_not_free() {
    let (mut cluster, ring) = with_a_dead_last_holder(false);
    cluster.rounds(25);
    assert_eq!(answered_for(&mut cluster, ring[0]), Some(content(2)));
    let refused = cluster.put("a", 3, false);
    assert!(matches!(refused, Some(Reply::Failed(Failure::Exists))), "{refused:?}");
    let (version, ..) = stored(cluster.put("a", 3, true));
    assert_eq!((version.counter, version.root), (2, content(3)));
    cluster.revive(ring[1]);
    cluster.notice();
    cluster.rounds(16);
    cluster.assert_in_place();
    assert_eq!(answered_for(&mut cluster, ring[0]), Some(content(3)));
}
