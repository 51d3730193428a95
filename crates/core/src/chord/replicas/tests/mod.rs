//! The file halves of several nodes on a ring that is dictated to them, joined
//! by a message pump; every node has a disk that may refuse.

mod ceased;
mod cluster;
mod counts;
mod full_owner;
mod guards;
mod losses;
mod rooms;
mod tombstones;
mod tree;

use crate::chord::{Failure, Reply, Ticket, Upload};
use crate::record::{Obstacle, PassedOver, Version};

use super::*;

use cluster::{Cluster, content, name};

/// The end of a put that everybody expects to work.
fn stored(reply: Option<Reply>) -> (Version, Vec<Peer>, u8) {
    match reply {
        Some(Reply::Stored { version, holders, wanted, .. }) => (version, holders, wanted),
        other => panic!("not stored: {other:?}"),
    }
}

#[test]
fn a_put_is_acknowledged_when_as_many_as_wanted_have_it_on_disk() {
    // The cluster itself checks at every acknowledgement that the copies exist.
    for nodes in 1..=6 {
        let mut cluster = Cluster::new(nodes, 3);
        let reply = cluster.put("a", 1, false);
        let (version, holders, wanted) = stored(reply);
        assert_eq!(version.counter, 1);
        assert_eq!(usize::from(wanted), nodes.min(3));
        assert_eq!(holders, cluster.placed("a"));
        assert_eq!(cluster.copies("a"), nodes.min(3));
        assert!(cluster.armed.is_empty(), "the put's timer is gone");
    }
}

#[test]
fn any_two_deaths_after_a_put_leave_a_copy_and_three_come_back() {
    let all = Cluster::new(7, 3).members();
    for first in 0..all.len() {
        for second in 0..first {
            let mut cluster = Cluster::new(7, 3);
            stored(cluster.put("a", 1, false));
            cluster.kill(all[first]);
            cluster.kill(all[second]);
            assert!(cluster.copies("a") >= 1);
            cluster.spread();
            cluster.rounds(2);
            assert_eq!(cluster.where_is("a"), Cluster::sorted(cluster.placed("a")));
        }
    }
}

#[test]
fn the_next_node_stands_in_for_one_whose_disk_fails_until_that_works_again() {
    let mut cluster = Cluster::new(5, 3);
    let holders = cluster.placed("a");
    cluster.node(holders[1]).full = true;
    let reply = cluster.put("a", 1, false);
    let Some(Reply::Stored { holders: kept, wanted: 3, passed, .. }) = reply else {
        panic!("{reply:?}");
    };
    let stand_in = Some(kept[2]);
    assert!(!holders.contains(&kept[2]), "{kept:?}");
    let over = PassedOver { peer: holders[1], why: Obstacle::SickDisk, stand_in };
    assert_eq!(passed, [over]);
    // It is not asked in vain for what comes next.
    let asked = cluster.node(holders[1]).refused;
    stored(cluster.put("a", 2, true));
    assert_eq!(cluster.node(holders[1]).refused, asked);
    cluster.node(holders[1]).full = false;
    cluster.rounds(12);
    cluster.assert_in_place();
    assert_eq!(cluster.row(holders[0], "a").copies, 3);
}

#[test]
fn a_node_that_no_bytes_reach_is_passed_over() {
    let mut cluster = Cluster::new(5, 3);
    let holders = cluster.placed("a");
    cluster.node(holders[2]).deaf = true;
    let reply = cluster.put("a", 1, false);
    let Some(Reply::Stored { passed, wanted: 3, .. }) = reply else { panic!("{reply:?}") };
    assert_eq!((passed[0].peer, passed[0].why), (holders[2], Obstacle::NoBytes));
    cluster.node(holders[2]).deaf = false;
    cluster.rounds(12);
    cluster.assert_in_place();
}

#[test]
fn who_no_bytes_reached_is_offered_them_as_soon_as_they_pass() {
    let mut cluster = Cluster::new(5, 3);
    let holders = cluster.placed("a");
    cluster.node(holders[1]).deaf = true;
    stored(cluster.put("a", 1, false));
    assert!(!cluster.where_is("a").contains(&holders[1]));
    cluster.node(holders[1]).deaf = false;
    cluster.bytes_pass(holders[0], holders[1]);
    assert!(cluster.where_is("a").contains(&holders[1]));
    cluster.rounds(2);
    cluster.assert_in_place();
}

#[test]
fn who_was_to_stand_in_and_could_not_is_asked_again() {
    let mut cluster = Cluster::new(4, 3);
    let holders = cluster.placed("a");
    let spare = *cluster.members().iter().find(|peer| !holders.contains(peer)).expect("a fourth");
    cluster.node(holders[1]).full = true;
    cluster.node(spare).deaf = true;
    stored(cluster.put("a", 1, false));
    assert_eq!(cluster.copies("a"), 2, "nobody else can");
    cluster.node(spare).deaf = false;
    cluster.rounds(12);
    assert_eq!(cluster.copies("a"), 3);
    assert!(cluster.where_is("a").contains(&spare));
}

#[test]
fn a_name_is_removed_though_its_owners_disk_fails() {
    let mut cluster = Cluster::new(5, 3);
    stored(cluster.put("a", 1, false));
    let owner = cluster.placed("a")[0];
    cluster.node(owner).full = true;
    let reply = cluster.remove("a");
    assert!(matches!(reply, Some(Reply::Stored { wanted: 3, .. })), "{reply:?}");
    assert_eq!(cluster.node(owner).replicas.best(&name("a")).map(Record::is_deleted), Some(true));
    // And stays so when the disk works again, with what it has.
    cluster.node(owner).full = false;
    cluster.kill(owner);
    cluster.revive(owner);
    cluster.rounds(12);
    for peer in cluster.members() {
        let record = cluster.node(peer).replicas.record(&name("a"));
        assert!(record.is_none_or(Record::is_deleted), "{peer}");
    }
    assert!(cluster.node(owner).replicas.record(&name("a")).is_some());
}

#[test]
fn a_put_waits_for_the_successor_of_a_holder_that_dies_during_it() {
    let mut cluster = Cluster::new(5, 3);
    let holders = cluster.placed("a");
    cluster.node(holders[1]).stuck = true;
    assert_eq!(cluster.put("a", 1, false), None);
    cluster.kill(holders[1]);
    cluster.spread();
    cluster.run();
    let (_, now, wanted) = stored(cluster.last_reply());
    assert_eq!(wanted, 3);
    assert_eq!(now, cluster.placed("a"));
}

#[test]
fn the_owners_own_disk_refusing_is_said_to_the_caller() {
    let mut cluster = Cluster::new(3, 3);
    let owner = cluster.placed("a")[0];
    cluster.node(owner).full = true;
    assert!(matches!(cluster.put("a", 1, false), Some(Reply::Failed(Failure::Store(_)))));
    assert_eq!(cluster.copies("a"), 0);
}

#[test]
fn other_content_under_a_name_is_refused_unless_it_may_overwrite() {
    let mut cluster = Cluster::new(5, 3);
    let (first, ..) = stored(cluster.put("a", 1, false));
    assert_eq!(cluster.put("a", 2, false), Some(Reply::Failed(Failure::Exists)));
    assert_eq!(
        cluster.offer("a", 2, false),
        Some(Reply::Upload(Upload::Exists { version: first, size: 100 }))
    );
    assert_eq!(cluster.offer("a", 2, true), Some(Reply::Upload(Upload::Proceed)));
    let holders = cluster.placed("a");
    assert_eq!(
        cluster.offer("a", 1, false),
        Some(Reply::Upload(Upload::Already { version: first, holders, wanted: 3 }))
    );
    let (same, ..) = stored(cluster.put("a", 1, false));
    assert_eq!(same, first, "the same content is stored already");
    let (second, ..) = stored(cluster.put("a", 2, true));
    assert_eq!(second, Version { counter: 2, root: content(2) });
    assert_eq!(cluster.copies("a"), 3);
}

#[test]
fn only_the_owner_takes_a_file() {
    let mut cluster = Cluster::new(5, 3);
    let owner = cluster.placed("a")[0];
    let next = cluster.placed("a")[1];
    assert_eq!(cluster.put_at(next, "a", 1, false), Some(Reply::Failed(Failure::NotOwner)));
    let before = cluster.node(owner).predecessor.expect("known");
    let reply = cluster.offer_at(before, "a", 1, false);
    assert_eq!(reply, Some(Reply::Upload(Upload::NotOwner { owner: Some(owner) })));
}

#[test]
fn two_puts_of_one_name_at_once_are_taken_one_after_the_other() {
    let mut cluster = Cluster::new(5, 3);
    let owner = cluster.placed("a")[0];
    let first = cluster.begin_put(owner, "a", 1, false);
    let second = cluster.begin_put(owner, "a", 2, false);
    let third = cluster.begin_put(owner, "a", 3, true);
    cluster.run();
    // The first never reached its copies: the third replaced it.
    assert_eq!(cluster.reply(first), Some(Reply::Failed(Failure::Superseded)));
    assert_eq!(cluster.reply(second), Some(Reply::Failed(Failure::Exists)));
    assert_eq!(stored(cluster.reply(third)).0, Version { counter: 2, root: content(3) });
}

#[test]
fn a_removed_file_does_not_come_back_with_an_old_copy() {
    let mut cluster = Cluster::new(5, 3);
    stored(cluster.put("a", 1, false));
    let holders = cluster.placed("a");
    cluster.kill(holders[2]);
    cluster.spread();
    cluster.rounds(1);
    let (version, ..) = stored(cluster.remove("a"));
    assert_eq!(version.counter, 2);
    assert_eq!(cluster.remove("a"), Some(Reply::Failed(Failure::NoSuchFile)));
    cluster.revive(holders[2]);
    cluster.spread();
    cluster.rounds(3);
    for peer in cluster.members() {
        let record = cluster.node(peer).replicas.record(&name("a")).cloned();
        assert!(record.is_none_or(|record| record.is_deleted()), "{peer}");
    }
    assert!(cluster.node(holders[2]).replicas.record(&name("a")).is_some());
    // The name is free again, with a version above the tombstone's.
    assert_eq!(stored(cluster.put("a", 1, false)).0.counter, 3);
    assert_eq!(cluster.remove("never"), Some(Reply::Failed(Failure::NoSuchFile)));
}

#[test]
fn puts_on_two_sides_of_a_partition_end_alike_everywhere() {
    let mut cluster = Cluster::new(6, 3);
    let all = cluster.members();
    cluster.part(&all[..3]);
    let mut owners = Vec::new();
    for (side, byte) in [(&all[..3], 1), (&all[3..], 2)] {
        let owner = cluster.placed_among("a", side)[0];
        owners.push(owner);
        stored(cluster.put_at(owner, "a", byte, false));
    }
    assert_ne!(owners[0], owners[1]);
    cluster.part(&[]);
    cluster.rounds(12);
    let wins = Version { counter: 1, root: content(2) };
    for peer in cluster.members() {
        let record = cluster.node(peer).replicas.record(&name("a")).cloned();
        assert!(record.is_none_or(|record| record.version == wins), "{peer}");
    }
    assert_eq!(cluster.where_is("a"), Cluster::sorted(cluster.placed("a")));
    // What lost is told once on each of its holders, replaced there or given up.
    let mut told = std::mem::take(&mut cluster.beaten);
    told.sort();
    let lost = Version { counter: 1, root: content(1) };
    let mut holders = all[..3].to_vec();
    holders.sort();
    assert_eq!(told, holders.iter().map(|at| (*at, "a".to_owned(), lost)).collect::<Vec<_>>());
    // A put that replaces a file on purpose beats nothing.
    stored(cluster.put("a", 3, true));
    cluster.rounds(4);
    stored(cluster.remove("a"));
    cluster.rounds(4);
    assert_eq!(cluster.beaten, []);
}

#[test]
fn a_node_that_joins_takes_over_and_the_last_holder_lets_go() {
    // The cluster checks the number of copies after every single step.
    for seed in 0..30 {
        let mut cluster = Cluster::new(5, 3);
        for i in 0..20 {
            stored(cluster.put(&format!("file {i}"), i, false));
        }
        cluster.shuffle(seed);
        cluster.join();
        cluster.spread();
        cluster.rounds(12);
        cluster.assert_in_place();
        assert!(cluster.given > 0, "somebody gave something up");
    }
}

#[test]
fn while_a_new_owner_fetches_nobody_deletes() {
    let mut cluster = Cluster::new(4, 3);
    for i in 0..20 {
        stored(cluster.put(&format!("file {i}"), i, false));
    }
    let new = cluster.join();
    cluster.node(new).full = true;
    cluster.spread();
    cluster.rounds(10);
    let owned: Vec<String> =
        (0..20).map(|i| format!("file {i}")).filter(|n| cluster.placed(n)[0] == new).collect();
    assert!(!owned.is_empty());
    for file in &owned {
        assert_eq!(cluster.copies(file), 3);
        let sources = cluster.holders_at(new, file);
        assert!(sources.is_empty() || !sources.contains(&new));
    }
    cluster.node(new).full = false;
    // A node whose disk failed is tried now and then, with one file.
    cluster.rounds(30);
    cluster.assert_in_place();
}

#[test]
fn a_new_owner_asks_around_before_it_takes_a_name() {
    let mut cluster = Cluster::new(3, 2);
    for i in 0..20 {
        stored(cluster.put(&format!("file {i}"), i, false));
    }
    let new = cluster.join();
    let file = (0..20).map(|i| format!("file {i}")).find(|n| cluster.placed(n)[0] == new);
    let file = file.expect("the new node owns one of twenty");
    // Nothing of the comparison has arrived when the put comes.
    cluster.spread();
    let put = cluster.begin_put(new, &file, 77, false);
    cluster.run();
    assert_eq!(cluster.reply(put), Some(Reply::Failed(Failure::Exists)));
    // A name that nobody knows is taken all the same.
    let fresh = (0..999).map(|i| format!("fresh {i}")).find(|n| cluster.placed(n)[0] == new);
    stored(cluster.put(&fresh.expect("some name"), 5, false));
}

#[test]
fn a_crashed_holder_is_replaced_and_counted_again_when_it_returns() {
    let mut cluster = Cluster::new(6, 3);
    for i in 0..20 {
        stored(cluster.put(&format!("file {i}"), i, false));
    }
    let victim = cluster.members()[2];
    cluster.kill(victim);
    cluster.spread();
    cluster.run();
    for i in 0..20 {
        let file = format!("file {i}");
        assert_eq!(cluster.live_copies(&file), 3, "at once, without a repair round");
        assert_eq!(cluster.row(cluster.placed(&file)[0], &file).copies, 3);
    }
    let fetched = cluster.fetched;
    cluster.revive(victim);
    cluster.spread();
    cluster.rounds(12);
    cluster.assert_in_place();
    assert_eq!(cluster.fetched, fetched, "its copies were counted, not sent again");
}

#[test]
fn a_leaver_hands_over_everything() {
    for nodes in 2..=6 {
        for seed in 0..10 {
            let mut cluster = Cluster::new(nodes, 3);
            for i in 0..20 {
                stored(cluster.put(&format!("file {i}"), i, false));
            }
            stored(cluster.remove("file 3"));
            cluster.shuffle(seed);
            let leaver = cluster.members()[0];
            let held = cluster.node(leaver).replicas.len();
            assert_eq!(cluster.leave(leaver), (held, 0), "{nodes} nodes, seed {seed}");
            cluster.rounds(12);
            cluster.assert_in_place();
        }
    }
}

#[test]
fn the_last_node_keeps_its_files_when_it_leaves() {
    let mut cluster = Cluster::new(1, 3);
    stored(cluster.put("a", 1, false));
    let only = cluster.members()[0];
    assert_eq!(cluster.leave(only), (0, 1));
    assert_eq!(cluster.copies("a"), 1);
}

#[test]
fn a_leaver_stays_until_the_new_holders_could_store() {
    let mut cluster = Cluster::new(4, 3);
    stored(cluster.put("a", 1, false));
    let holders = cluster.placed("a");
    let spare = cluster.members().into_iter().find(|p| !holders.contains(p)).expect("one more");
    cluster.node(spare).full = true;
    cluster.begin_leave(holders[0]);
    cluster.rounds(5);
    assert!(!cluster.node(holders[0]).replicas.handed_over());
    assert_eq!(cluster.copies("a"), 3);
    cluster.node(spare).full = false;
    cluster.rounds(12);
    assert!(cluster.node(holders[0]).replicas.handed_over());
    assert_eq!(cluster.node(holders[0]).replicas.left(), (1, Vec::new()));
    assert_eq!(cluster.copies("a"), 3);
}

/// What happens in a life: none of the time of day, of full disks and of
/// damaged bytes, or those as well.
const QUIET: u8 = 20;
const ALL: u8 = 28;

/// A random life of a ring: puts, overwrites, removals, joins, leaves, deaths,
/// returns (some with an empty disk, some before anybody noticed), full disks,
/// and neighbours that are learnt late; all over the shuffled network. After
/// every step the cluster checks what was promised; at the end everything must
/// be where it belongs.
fn live(seed: u64, dangers: u8) {
    println!("seed {seed}");
    #[allow(clippy::disallowed_types, reason = "the test is the driver")]
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut cluster = Cluster::new(rng.usize(2..7), rng.u8(1..4));
    cluster.shuffle(rng.u64(..));
    let mut down = Vec::new();
    for _ in 0..40 {
        let members = cluster.members();
        let some = members[rng.usize(..members.len())];
        let file = format!("file {}", rng.u8(..6));
        let owner = cluster.placed(&file)[0];
        match rng.u8(..dangers) {
            0 | 1 => drop(cluster.join()),
            2 | 3 if members.len() > 1 => cluster.begin_leave(some),
            4 | 5 if members.len() > 1 && cluster.can_lose(some) => {
                cluster.kill(some);
                down.push(some);
            }
            6 | 7 => down.drain(..).for_each(|peer| cluster.revive(peer)),
            8 if cluster.can_lose(some) => {
                cluster.kill(some);
                if rng.bool() {
                    // An empty disk under an old name: somebody must have
                    // noticed the death, or acknowledgements outlive it.
                    cluster.notice();
                    cluster.wipe(some);
                }
                cluster.revive(some);
            }
            9 => cluster.node(some).full = rng.bool(),
            10 => drop(cluster.begin_remove(owner, &file)),
            11 => drop(cluster.begin_put(some, &file, rng.u8(..9), rng.bool())),
            12 => cluster.repair_some(some),
            13 => cluster.rounds(rng.usize(1..5)),
            14 => cluster.heal(),
            20 | 21 => cluster.now_s += rng.u64(..10 * 60 * 60),
            22 | 23 => cluster.collect(some),
            24 | 25 => cluster.node(some).no_room = rng.bool(),
            26 | 27 => drop(cluster.damage(some, &file)),
            _ => drop(cluster.begin_put(owner, &file, rng.u8(..9), rng.bool())),
        }
        cluster.end_leaves();
        if rng.bool() {
            cluster.spread();
        }
        cluster.steps(rng.usize(..60));
    }
    cluster.heal();
    // The end of one command may be the beginning of the next on its name.
    while !cluster.armed.is_empty() {
        cluster.fire_copies();
        cluster.run();
    }
    assert_eq!(cluster.unanswered(), Vec::<Ticket>::new(), "every command is answered");
}

#[test]
fn nothing_acknowledged_is_lost_whatever_happens_in_whatever_order() {
    for seed in 0..150 {
        live(seed, QUIET);
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_disks_fill_up_bits_flip_and_tombstones_end() {
    for seed in 0..150 {
        live(seed, ALL);
    }
}

/// `cargo test --lib replicas -- --ignored`: the long run.
#[test]
#[ignore = "takes minutes"]
fn nothing_acknowledged_is_lost_in_ten_thousand_lives() {
    for seed in 0..10_000 {
        live(seed, QUIET);
        live(seed, ALL);
    }
}

#[test]
fn a_ring_in_sync_costs_one_question_a_holder_and_round() {
    let mut cluster = Cluster::new(6, 3);
    for i in 0..50 {
        stored(cluster.put(&format!("file {i}"), i, false));
    }
    cluster.rounds(2);
    cluster.sent = 0;
    cluster.rounds(1);
    assert_eq!(cluster.sent, 6 * 2 * 2, "a question and its answer for each of 2 holders");
}

#[test]
fn five_hundred_files_are_copied_in_pages_and_never_more_than_eight_at_once() {
    let mut cluster = Cluster::new(1, 3);
    for i in 0..500 {
        stored(cluster.put(&format!("file {i}"), (i % 256) as u8, false));
    }
    cluster.join();
    cluster.join();
    cluster.spread();
    cluster.rounds(3);
    cluster.assert_in_place();
    assert!(cluster.longest_page == MAX_PAGE, "{}", cluster.longest_page);
    assert!(cluster.most_fetches <= 8, "{}", cluster.most_fetches);
    for peer in cluster.members() {
        assert_eq!(cluster.node(peer).replicas.len(), 500);
    }
}

#[test]
fn rows_tell_the_owner_and_the_copies() {
    let mut cluster = Cluster::new(5, 3);
    stored(cluster.put("a", 1, false));
    cluster.rounds(2);
    let holders = cluster.placed("a");
    let owner = cluster.row(holders[0], "a");
    assert!(owner.owner && owner.copies == 3 && owner.wanted == 3);
    let replica = cluster.row(holders[1], "a");
    assert!(!replica.owner && replica.copies == 3 && replica.wanted == 3);
    assert_eq!(cluster.holders_at(holders[0], "a"), holders);
    stored(cluster.remove("a"));
    assert_eq!(cluster.node(holders[0]).replicas.len(), 0, "a tombstone is no file");
}
