//! Tombstones and their end.

use super::cluster::{Cluster, name};
use super::stored;
use crate::chord::{Failure, Reply};
use crate::limits::TOMBSTONE_S;
use crate::peer::Peer;

const HOUR: u64 = 60 * 60;

/// A ring whose nodes have been told the time, as at every start.
fn started(nodes: usize) -> Cluster {
    let mut cluster = Cluster::new(nodes, 3);
    cluster.now_s = 1_800_000_000;
    cluster.collect_all();
    cluster
}

/// A ring of five with twenty files, of which the first ten are removed.
fn half_removed() -> Cluster {
    let mut cluster = started(5);
    for i in 0..20 {
        stored(cluster.put(&format!("file {i}"), i, false));
    }
    for i in 0..10 {
        stored(cluster.remove(&format!("file {i}")));
    }
    cluster.rounds(2);
    cluster
}

#[test]
fn tombstones_end_everywhere_and_files_stay() {
    for first in 0..5 {
        let mut cluster = half_removed();
        cluster.collect_all();
        assert_eq!(cluster.copies("file 3"), 3, "a tombstone has its copies, too");
        cluster.now_s += TOMBSTONE_S + 1;
        // Each a minute after the other: those that have let go meet those that
        // have not.
        let members = cluster.members();
        for at in 0..5 {
            cluster.skewed.insert(members[(first + at) % 5], -60 * at as i64);
        }
        for _ in 0..5 {
            cluster.collect_all();
            cluster.rounds(2);
            cluster.now_s += 60;
        }
        for i in 0..20 {
            let file = format!("file {i}");
            assert_eq!(cluster.copies(&file), if i < 10 { 0 } else { 3 }, "{file}");
        }
        assert_eq!(cluster.given, 0, "nothing is said of it");
        cluster.assert_in_place();
        cluster.sent = 0;
        cluster.rounds(1);
        assert_eq!(cluster.sent, 5 * 2 * 2, "a ring in sync");
    }
}

#[test]
fn a_node_back_within_the_day_does_not_bring_a_removed_name_back() {
    let mut cluster = started(5);
    stored(cluster.put("a", 1, false));
    let holders = cluster.placed("a");
    for away in holders.iter().skip(1) {
        cluster.kill(*away);
    }
    cluster.spread();
    cluster.rounds(2);
    stored(cluster.remove("a"));
    cluster.now_s += TOMBSTONE_S - HOUR;
    cluster.collect_all();
    for away in holders.iter().skip(1) {
        cluster.revive(*away);
    }
    cluster.spread();
    cluster.rounds(6);
    assert_eq!(live(&mut cluster, "a"), []);
    // That it ended their copies began its day again.
    cluster.now_s += 2 * HOUR;
    cluster.collect_all();
    cluster.rounds(2);
    assert_eq!(cluster.copies("a"), 3);
    cluster.now_s += TOMBSTONE_S;
    cluster.collect_all();
    cluster.rounds(2);
    assert_eq!(cluster.copies("a"), 0);
    assert_eq!(cluster.remove("a"), Some(Reply::Failed(Failure::NoSuchFile)));
}

#[test]
fn a_name_stored_anew_outlives_tombstones_that_others_still_have() {
    let mut cluster = half_removed();
    cluster.now_s += TOMBSTONE_S + 1;
    let holders = cluster.placed("file 3");
    cluster.collect(holders[0]);
    cluster.run();
    let (version, ..) = stored(cluster.put("file 3", 99, false));
    assert_eq!(version.counter, 3, "above the tombstone's");
    cluster.rounds(2);
    cluster.collect_all();
    cluster.rounds(2);
    assert_eq!(cluster.where_is("file 3"), Cluster::sorted(holders));
}

#[test]
fn an_old_copy_still_meets_its_tombstone_after_the_day() {
    let mut cluster = started(5);
    stored(cluster.put("a", 1, false));
    let holders = cluster.placed("a");
    cluster.kill(holders[1]);
    cluster.spread();
    cluster.rounds(1);
    stored(cluster.remove("a"));
    // It was away for longer, but the others have not collected yet.
    cluster.now_s += TOMBSTONE_S + HOUR;
    cluster.revive(holders[1]);
    cluster.spread();
    cluster.rounds(3);
    let record = cluster.node(holders[1]).replicas.record(&name("a")).cloned();
    assert!(record.is_none_or(|record| record.is_deleted()));
    // That it ended a copy so late began its day again.
    cluster.collect_all();
    cluster.rounds(3);
    assert_eq!(live(&mut cluster, "a"), []);
    cluster.now_s += TOMBSTONE_S + HOUR;
    cluster.collect_all();
    cluster.rounds(3);
    assert_eq!(cluster.copies("a"), 0);
}

#[test]
fn a_tombstone_from_the_future_ends_a_day_from_now() {
    let mut cluster = Cluster::new(5, 3);
    let now = 1_800_000_000;
    cluster.now_s = now;
    stored(cluster.put("a", 1, false));
    cluster.collect_all();
    // The owner's clock is years ahead.
    cluster.now_s = now + 4_000 * TOMBSTONE_S;
    stored(cluster.remove("a"));
    cluster.now_s = now;
    cluster.collect_all();
    cluster.now_s = now + TOMBSTONE_S - HOUR;
    cluster.collect_all();
    cluster.rounds(2);
    assert_eq!(cluster.copies("a"), 3);
    cluster.now_s = now + TOMBSTONE_S + HOUR;
    cluster.collect_all();
    cluster.rounds(2);
    assert_eq!(cluster.copies("a"), 0);
}

/// The nodes that hold a file of this name.
fn live(cluster: &mut Cluster, file: &str) -> Vec<Peer> {
    let members = cluster.members();
    let holds = |peer: &Peer| {
        let record = cluster.node(*peer).replicas.record(&name(file));
        record.is_some_and(|record| !record.is_deleted())
    };
    members.into_iter().filter(holds).collect()
}

#[test]
fn wrong_clocks_bring_no_removed_file_back() {
    let (hours, years) = (HOUR as i64, 365 * TOMBSTONE_S as i64);
    // The owner, the holder that stays, the one that is away during the removal.
    for wrong in 0..3 {
        for ahead in [-25 * hours, 25 * hours, -10 * years, 10 * years, -hours] {
            let mut cluster = started(4);
            stored(cluster.put("a", 1, false));
            let holders = cluster.placed("a");
            cluster.skewed.insert(holders[wrong], ahead);
            cluster.collect_all();
            cluster.kill(holders[1 + wrong % 2]);
            cluster.spread();
            cluster.rounds(2);
            stored(cluster.remove("a"));
            cluster.rounds(2);
            cluster.now_s += 90;
            cluster.collect_all();
            cluster.rounds(2);
            let owner = cluster.placed("a")[0];
            cluster.kill(owner);
            cluster.revive(holders[1 + wrong % 2]);
            cluster.spread();
            for _ in 0..4 {
                cluster.rounds(4);
                cluster.now_s += 90;
                cluster.collect_all();
            }
            assert_eq!(live(&mut cluster, "a"), [], "{wrong} is {ahead} s ahead");
            // And it ends: each node counted its own day.
            cluster.now_s += TOMBSTONE_S + HOUR;
            cluster.collect_all();
            cluster.rounds(4);
            assert_eq!(cluster.copies("a"), 0, "{wrong} is {ahead} s ahead");
        }
    }
}

#[test]
fn a_clock_that_jumps_ends_tombstones_on_its_own_node_only_and_it_takes_them_again() {
    for jump in [25 * HOUR as i64, -25 * HOUR as i64, 900 * TOMBSTONE_S as i64] {
        let mut cluster = started(4);
        stored(cluster.put("a", 1, false));
        let holders = cluster.placed("a");
        cluster.kill(holders[2]);
        cluster.spread();
        cluster.rounds(2);
        stored(cluster.remove("a"));
        cluster.now_s += HOUR;
        cluster.skewed.insert(holders[0], jump);
        cluster.collect_all();
        cluster.rounds(4);
        assert_eq!(cluster.copies("a"), 3, "{jump}: the owner has it again");
        cluster.revive(holders[2]);
        cluster.spread();
        cluster.rounds(4);
        assert_eq!(live(&mut cluster, "a"), [], "{jump}");
    }
}

#[test]
fn the_day_of_a_tombstone_goes_on_where_it_was_after_a_restart() {
    let mut cluster = half_removed();
    cluster.collect_all();
    let holders = cluster.placed("file 3");
    cluster.now_s += TOMBSTONE_S - HOUR;
    for peer in &holders {
        cluster.kill_and_revive(*peer);
        cluster.rounds(2);
    }
    assert_eq!(cluster.copies("file 3"), 3);
    cluster.now_s += 2 * HOUR;
    cluster.collect_all();
    cluster.rounds(2);
    assert_eq!(cluster.copies("file 3"), 0);
}

#[test]
fn a_thousand_tombstones_end_a_few_at_a_time() {
    let mut cluster = Cluster::new(1, 3);
    cluster.now_s = 1_800_000_000;
    for i in 0..1_000 {
        stored(cluster.put(&format!("file {i}"), 1, false));
        stored(cluster.remove(&format!("file {i}")));
    }
    cluster.now_s += TOMBSTONE_S + 1;
    cluster.collect_all();
    assert!(cluster.under_way() <= 32, "{}", cluster.under_way());
    // A put of a name whose tombstone is still on the disk waits for its end.
    let last = cluster.placed("file 999")[0];
    let put = cluster.begin_put(last, "file 999", 2, false);
    assert_eq!(cluster.reply(put), None);
    cluster.run();
    assert_eq!(stored(cluster.reply(put)).0.counter, 3);
    let left = (0..999).filter(|i| cluster.copies(&format!("file {i}")) > 0).count();
    assert_eq!(left, 0);
}
