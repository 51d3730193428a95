//! What users are shown of the copies: the owner counts, and its holders show what
//! it counted.

use super::*;
use crate::wire::message::Counted;

/// What is shown of a file: copies, wanted, and how sure.
fn shown(cluster: &Cluster, at: Peer, file: &str) -> (u8, u8, CopyCount) {
    let row = cluster.row(at, file);
    (row.copies, row.wanted, row.count)
}

/// A name whose copies belong to the same nodes as those of "a".
fn beside(cluster: &Cluster) -> String {
    let holders = cluster.placed("a");
    let mut names = (0..).map(|i| format!("beside {i}"));
    names.find(|file| cluster.placed(file) == holders).expect("there is one")
}

#[test]
fn a_holder_shows_of_each_file_what_its_owner_counts() {
    let mut cluster = Cluster::new(3, 3);
    let file = beside(&cluster);
    stored(cluster.put("a", 1, false));
    stored(cluster.put(&file, 2, false));
    cluster.rounds(2);
    let holders = cluster.placed("a");
    // One file of many lacks a copy for which nobody has room.
    cluster.node(holders[1]).no_room = true;
    assert!(cluster.damage(holders[1], &file));
    cluster.rounds(2);
    for at in [holders[0], holders[2]] {
        assert_eq!(shown(&cluster, at, "a"), (3, 3, CopyCount::Known), "{at}");
        assert_eq!(shown(&cluster, at, &file), (2, 3, CopyCount::NoRoom), "{at}");
    }
}

#[test]
fn what_has_just_come_is_being_counted_until_the_owner_says_how_many_there_are() {
    let mut cluster = Cluster::new(5, 3);
    stored(cluster.put("a", 1, false));
    cluster.rounds(1);
    let file = beside(&cluster);
    let holders = cluster.placed("a");
    stored(cluster.put(&file, 2, false));
    assert_eq!(shown(&cluster, holders[0], &file), (3, 3, CopyCount::Known));
    assert_eq!(shown(&cluster, holders[1], &file).2, CopyCount::Counting);
    assert_eq!(shown(&cluster, holders[1], "a"), (3, 3, CopyCount::Known), "as it was");
    cluster.rounds(1);
    assert_eq!(shown(&cluster, holders[1], &file), (3, 3, CopyCount::Known));
}

#[test]
fn after_the_death_of_an_owner_nobody_shows_more_copies_than_there_can_be() {
    let mut cluster = Cluster::new(3, 3);
    stored(cluster.put("a", 1, false));
    cluster.rounds(2);
    let holders = cluster.placed("a");
    cluster.kill(holders[0]);
    cluster.spread();
    for at in &holders[1..] {
        let (copies, wanted, count) = shown(&cluster, *at, "a");
        let surely = copies <= wanted && (copies == wanted || count == CopyCount::Counting);
        assert!(surely, "{at}: {copies}/{wanted} {count:?}");
    }
    cluster.rounds(1);
    for at in &holders[1..] {
        assert_eq!(shown(&cluster, *at, "a"), (2, 2, CopyCount::Known));
    }
}

#[test]
fn in_a_ring_too_large_to_know_everyone_the_new_owner_says_what_the_dead_one_said() {
    let mut cluster = Cluster::new(9, 3);
    stored(cluster.put("a", 1, false));
    cluster.rounds(2);
    let holders = cluster.placed("a");
    cluster.kill(holders[0]);
    cluster.spread();
    cluster.run();
    let owner = shown(&cluster, holders[1], "a");
    assert_eq!(owner, (3, 3, CopyCount::Known), "the next node has taken a copy");
    cluster.rounds(1);
    assert_eq!(shown(&cluster, holders[2], "a"), owner);
    assert_eq!(shown(&cluster, cluster.placed("a")[2], "a"), owner);
}

#[test]
fn an_owner_that_has_just_come_back_alarms_no_holder() {
    let mut cluster = Cluster::new(5, 3);
    let (_, holders, _) = stored(cluster.put("a", 1, false));
    let told = |cluster: &mut Cluster| {
        cluster.with(holders[0], |files| {
            files.state.counted(&files.ring, files.ring.range().expect("a member"))
        })
    };
    let all = Counted { wanted: 3, below: Some(Vec::new()) };
    assert_eq!(told(&mut cluster), all);
    cluster.kill(holders[0]);
    cluster.revive(holders[0]);
    let counts = told(&mut cluster).below.expect("few");
    let counts: Vec<_> = counts.iter().map(|below| (below.copies, below.count)).collect();
    assert_eq!(counts, [(1, CopyCount::Counting)]);
    cluster.rounds(2);
    assert_eq!(told(&mut cluster), all);
}

#[test]
fn a_file_that_is_being_put_does_not_make_the_others_look_at_risk() {
    let mut cluster = Cluster::new(5, 3);
    let (_, holders, _) = stored(cluster.put("a", 1, false));
    let file = beside(&cluster);
    let ticket = cluster.begin_put(holders[0], &file, 2, false);
    while cluster.node(holders[0]).replicas.record(&name(&file)).is_none() {
        cluster.steps(1);
    }
    assert_eq!(cluster.row(holders[0], &file).copies, 1);
    let told = cluster.with(holders[0], |files| {
        files.state.counted(&files.ring, files.ring.range().expect("a member"))
    });
    let counts: Vec<_> = told.below.iter().flatten().map(|below| below.count).collect();
    assert_eq!(counts, [CopyCount::Counting], "it has lost none, and others are complete");
    cluster.run();
    stored(cluster.reply(ticket));
}
