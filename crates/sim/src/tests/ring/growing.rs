//! From one node upwards: joins, taken places, what it costs.

use std::time::Duration;

use super::net::{Net, peer};
use chordal_core::chord::{CensusState, Command, Failure, Membership, Notice, Reply};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn one_node_is_its_own_ring() {
    let mut net = Net::new(1, 16, 10);
    net.start(0, &[]);
    assert_eq!(net.node(0).membership(), Membership::Member);
    net.settle(SECOND);
    let ticket = net.command(0, Command::Lookup { key: chordal_core::id::Id::new(5) });
    let Reply::Found(found) = net.reply(ticket) else { panic!("not found") };
    assert_eq!((found.owner, found.hops.len()), (peer(0), 0));
    net.run(SECOND * 30);
    assert_eq!(net.sent, 0, "nobody to talk to");
}

#[test]
fn two_then_three_nodes_know_each_other_at_once() {
    for seed in 0..50 {
        let mut net = Net::new(seed, 16, 10);
        net.start(0, &[]);
        for number in 1..3 {
            net.start(number, &[]);
            let ticket = net.join(number, number - 1);
            assert!(matches!(net.reply(ticket), Reply::Joined { .. }), "seed {seed}");
            let took = net.settle(SECOND * 5);
            assert!(took <= SECOND, "seed {seed}: {took:?}");
        }
        assert_eq!(net.node(0).members().1, CensusState::Complete);
        assert_eq!(net.node(0).members().0.len(), 3);
    }
}

#[test]
fn the_eighth_node_is_in_within_a_second() {
    for seed in 0..30 {
        let mut net = Net::grown(seed, 16, 10, 7);
        net.start(7, &[]);
        net.join(7, 3);
        let took = net.settle(SECOND * 5);
        assert!(took <= SECOND, "seed {seed}: {took:?}");
    }
}

#[test]
fn a_taken_place_makes_the_joiner_use_its_next_index() {
    for seed in 0..20 {
        let mut net = Net::grown(seed, 4, 4, 8);
        let renamed =
            net.notices.iter().filter(|(_, notice)| matches!(notice, Notice::Renamed { .. }));
        assert!(renamed.count() > 0, "eight nodes on sixteen places");
        net.run(SECOND * 5);
        net.settle(SECOND);
    }
}

#[test]
fn a_full_ring_refuses_with_a_reason() {
    let mut net = Net::grown(3, 4, 2, 4);
    net.start(4, &[]);
    let ticket = net.join(4, 0);
    assert_eq!(net.reply(ticket), Reply::Failed(Failure::NoPlace(peer(0).address())));
    // It is told so each time, and a ring with room takes it after that.
    let ticket = net.join(4, 0);
    assert_eq!(net.reply(ticket), Reply::Failed(Failure::NoPlace(peer(0).address())));
    assert_eq!(net.node(4).membership(), Membership::Member);
}

#[test]
fn a_wrong_contact_is_refused_soon_and_the_node_stays_alone() {
    let mut net = Net::new(1, 16, 10);
    net.start(0, &[]);
    let ticket = net.join(0, 9);
    let start = net.now;
    assert_eq!(net.reply(ticket), Reply::Failed(Failure::NoContact(peer(9).address())));
    assert!(net.now - start < SECOND);
    assert_eq!(net.node(0).membership(), Membership::Member);
}

#[test]
fn a_member_that_joins_its_own_ring_is_told_so() {
    let mut net = Net::grown(1, 16, 10, 3);
    let ticket = net.join(0, 2);
    assert_eq!(net.reply(ticket), Reply::Failed(Failure::AlreadyMember(peer(2).address())));
}

#[test]
fn a_ring_at_rest_whispers_and_a_change_makes_no_storm() {
    let mut net = Net::grown(1, 16, 10, 8);
    net.run(SECOND * 30);
    let before = net.sent;
    net.run(SECOND * 30);
    // A node and second: a round of stabilize (3 messages), half a question of
    // the census, now and then a comparison of files.
    let rate = (net.sent - before) as f64 / 30.0 / 8.0;
    assert!(rate < 6.0, "{rate} messages a second and node at rest");
    let before = net.sent;
    net.crash(3);
    net.settle(SECOND * 5);
    net.run(SECOND * 2);
    let change = net.sent - before;
    assert!(change < 600, "{change} messages for one death");
}

#[test]
fn the_census_finds_everyone_beyond_the_list_and_what_they_know() {
    let mut net = Net::grown(2, 4, 16, 24);
    let found = |net: &Net| {
        net.nodes().all(|node| {
            let (members, state) = node.members();
            state == CensusState::Complete && members.len() == 24 && node.observed().len() == 24
        })
    };
    net.until(SECOND * 60, found).expect("everyone is found");
    let states = net.node(5).observed();
    let members = chordal_core::chord::invariant::Members::new(net.config.space(), &states);
    assert!(members.ideal(4) && members.report().healthy());

    net.crash(9);
    let gone = |net: &Net| {
        net.nodes().all(|node| node.members().0.len() == 23 && node.observed().len() == 23)
    };
    net.until(SECOND * 120, gone).expect("the dead one is dropped everywhere");
}
