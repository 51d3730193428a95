//! Lookups: how long the way is, and what deaths cost.

use crate::chance::Chance;
use std::time::Duration;

use super::net::{Net, number_of, peer};
use chordal_core::chord::{Command, Input, Node, Reply};
use chordal_core::id::Id;
use chordal_core::peer::Peer;

/// A settled ring of `count` nodes, without one message.
fn settled(count: u16, r: usize) -> (Net, Vec<Peer>) {
    let mut net = Net::new(7, r, 64);
    let space = net.config.space();
    let mut ring: Vec<Peer> = (0..count).map(peer).collect();
    ring.sort_by_key(|p| p.id(space));
    for me in &ring {
        net.insert(Node::stabilized(net.config.clone(), *me, &ring));
    }
    (net, ring)
}

/// The mean number of nodes asked, and lookups failed, over `lookups`.
fn mean(net: &mut Net, ring: &[Peer], lookups: u32) -> f64 {
    let space = net.config.space();
    let mut rng = Chance::new(11);
    let mut asked = 0;
    for _ in 0..lookups {
        let key = space.id(rng.wide());
        let live: Vec<Peer> = net.nodes().map(Node::peer).collect();
        let from = live[rng.index(live.len()).expect("some")];
        let number = number_of(from);
        let ticket = net.command(number, Command::Lookup { key });
        let Reply::Found(found) = net.reply(ticket) else { panic!("a lookup failed") };
        let owner = ring
            .iter()
            .filter(|p| live.contains(p))
            .min_by_key(|p| space.distance(key, p.id(space)));
        assert_eq!(Some(&found.owner), owner);
        asked += found.hops.iter().filter(|(_, took)| took.is_some()).count();
    }
    asked as f64 / f64::from(lookups)
}

#[test]
fn the_way_is_as_short_as_theory_says() {
    for (r, expected) in [(1, 5.84), (20, 3.84)] {
        let (mut net, ring) = settled(1024, r);
        assert!(net.is_ideal() && net.fingers_right());
        let mean = mean(&mut net, &ring, 500);
        assert!(mean <= expected + 0.15, "r = {r}: {mean} nodes asked");
        assert!(mean > expected - 1.0, "r = {r}: {mean} nodes asked: too good to be true");
    }
}

#[test]
fn with_a_third_dead_and_nothing_repaired_every_key_is_still_found() {
    let (mut net, ring) = settled(300, 20);
    let mut rng = Chance::new(5);
    for number in 0..300 {
        if rng.below(256) < 85 {
            net.refuse = false;
            net.crash(number);
            net.refuse = true;
        }
    }
    net.patience = Duration::from_millis(20);
    mean(&mut net, &ring, 200);
}

#[test]
fn an_answer_that_fits_no_question_changes_nothing() {
    let (mut net, _) = settled(4, 2);
    let before: Vec<Node> = net.nodes().cloned().collect();
    let mut node = before[0].clone();
    let answer = chordal_core::wire::Answer::Next {
        owner: true,
        predecessor: None,
        successors: Vec::new(),
        closer: Vec::new(),
    };
    let message = chordal_core::wire::Message::Answer { nonce: 77, answer };
    let mut out = Vec::new();
    node.handle(net.now, Input::Received { from: before[1].peer(), message }, &mut out);
    assert_eq!((&node, out.len()), (&before[0], 0));
    let ticket = net.command(0, Command::Lookup { key: Id::new(9) });
    assert!(matches!(net.reply(ticket), Reply::Found(_)));
}
