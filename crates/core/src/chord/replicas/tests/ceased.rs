//! Fetches of what nobody needs any more.

use super::cluster::Cluster;
use super::stored;
use crate::chord::Reply;
use crate::peer::Peer;

/// A ring of six on which "a" is stored and one that comes to hold it is still at
/// fetching it, which takes for ever: the former holders of "a", and that one.
fn with_a_slow_newcomer(place: usize) -> (Cluster, Peer) {
    let mut cluster = Cluster::new(6, 3);
    stored(cluster.put("a", 1, false));
    // Addresses are told off, so where a newcomer gets is an accident.
    for _ in 0..40 {
        let mut larger = cluster.clone();
        let newcomer = larger.join();
        if larger.placed("a").get(place) == Some(&newcomer) {
            larger.node(newcomer).stuck = true;
            larger.spread();
            larger.rounds(2);
            assert_eq!(larger.copies("a"), 3, "those that had it have it");
            assert!(!larger.where_is("a").contains(&newcomer));
            return (larger, newcomer);
        }
        cluster.join();
        cluster.spread();
        cluster.rounds(8);
    }
    panic!("none of them became a holder");
}

fn whose(cluster: &Cluster) -> Vec<(Peer, &str)> {
    cluster.ceased.iter().map(|(peer, name, _)| (*peer, name.as_str())).collect()
}

#[test]
fn a_holder_stops_to_fetch_what_was_overwritten_or_removed() {
    let (cluster, newcomer) = with_a_slow_newcomer(1);
    let mut quiet = cluster.clone();
    quiet.rounds(30);
    assert_eq!(quiet.ceased, [], "it is wanted");

    let mut overwritten = cluster.clone();
    overwritten.put("a", 2, true);
    assert_eq!(whose(&overwritten), [(newcomer, "a")]);

    let mut removed = cluster;
    removed.remove("a");
    assert_eq!(whose(&removed), [(newcomer, "a")]);
}

#[test]
fn an_owner_does_not_wait_for_what_a_command_replaces() {
    let (mut cluster, owner) = with_a_slow_newcomer(0);
    // What it is at from now on takes no time.
    cluster.node(owner).stuck = false;
    let mut removed = cluster.clone();
    stored(cluster.put("a", 2, true));
    assert_eq!(whose(&cluster), [(owner, "a")]);
    cluster.rounds(8);
    cluster.assert_in_place();

    // A removal knows what it removes.
    assert!(
        matches!(removed.remove("a"), Some(Reply::Stored { .. })),
        "{:?}",
        removed.last_reply()
    );
    assert_eq!(whose(&removed), [(owner, "a")]);
}

#[test]
fn a_node_that_is_no_holder_any_more_stops_to_fetch() {
    let (mut cluster, newcomer) = with_a_slow_newcomer(2);
    for _ in 0..60 {
        cluster.join();
        cluster.spread();
        cluster.rounds(6);
        if !cluster.placed("a").contains(&newcomer) {
            cluster.rounds(6);
            assert_eq!(whose(&cluster), [(newcomer, "a")]);
            return;
        }
        assert_eq!(cluster.ceased, []);
    }
    panic!("it stays a holder");
}

#[test]
fn a_stand_in_goes_on_fetching() {
    let mut cluster = Cluster::new(6, 3);
    let holders = cluster.placed("a");
    cluster.node(holders[1]).no_room = true;
    let members = cluster.members();
    for peer in members.into_iter().filter(|peer| !holders.contains(peer)) {
        cluster.node(peer).stuck = true;
    }
    assert_eq!(cluster.put("a", 1, false), None, "it waits for the one that stands in");
    cluster.rounds(20);
    assert_eq!(cluster.ceased, []);
}

#[test]
fn a_node_that_leaves_stops_to_fetch() {
    let (mut cluster, newcomer) = with_a_slow_newcomer(1);
    cluster.begin_leave(newcomer);
    assert_eq!(whose(&cluster), [(newcomer, "a")]);
}
