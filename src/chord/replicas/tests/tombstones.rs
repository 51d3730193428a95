//! Tombstones and their end.

use super::cluster::{Cluster, name};
use super::stored;
use crate::chord::{Failure, Reply};
use crate::limits::TOMBSTONE_S;

const HOUR: u64 = 60 * 60;

/// A ring of five with twenty files, of which the first ten are removed.
fn half_removed() -> Cluster {
    let mut cluster = Cluster::new(5, 3);
    cluster.now_s = 1_800_000_000;
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
        // Each a round after the other: those that have let go meet those that
        // have not.
        let members = cluster.members();
        for at in 0..5 {
            cluster.collect(members[(first + at) % 5]);
            cluster.rounds(2);
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
    let mut cluster = Cluster::new(5, 3);
    cluster.now_s = 1_800_000_000;
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
    cluster.now_s += 2 * HOUR;
    for peer in cluster.members() {
        cluster.collect(peer);
        cluster.rounds(2);
    }
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
    let mut cluster = Cluster::new(5, 3);
    cluster.now_s = 1_800_000_000;
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
