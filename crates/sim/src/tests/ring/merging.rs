//! Two rings become one.

use std::time::Duration;

use super::net::Net;
use chordal_core::chord::{Notice, Reply};

const SECOND: Duration = Duration::from_secs(1);

/// Two rings, of nodes numbered on from `from`, that do not know of each other.
fn two_rings(mut net: Net, from: u16, [left, right]: [u16; 2]) -> Net {
    for (first, count) in [(from, left), (from + left, right)] {
        net.start(first, &[]);
        for number in first + 1..first + count {
            net.start(number, &[]);
            net.join(number, first);
            net.run(SECOND / 4);
        }
    }
    net.run(SECOND * 3);
    net
}

#[test]
fn two_rings_started_apart_are_joined_by_command() {
    for seed in 0..30 {
        for (left, right) in [(1, 3), (3, 1), (2, 2), (4, 4), (8, 5)] {
            let mut net = two_rings(Net::new(seed, 16, 16), 0, [left, right]);
            let ticket = net.join(left - 1, left);
            assert!(matches!(net.reply(ticket), Reply::Joined { .. }));
            let took = net.settle(SECOND * 60);
            assert!(took < SECOND * 10, "seed {seed}, {left} and {right}: {took:?}");
        }
    }
}

#[test]
fn two_rings_merge_when_one_member_hears_of_the_other_ring() {
    for seed in 0..20 {
        for (left, right) in [(1, 3), (3, 1), (2, 2), (8, 5)] {
            let mut net = two_rings(Net::new(seed, 16, 16), 0, [left, right]);
            // A node that never ran, and this node itself.
            net.heard(left - 1, &[900, left - 1, left]);
            let took = net.settle(SECOND * 90);
            assert!(took < SECOND * 30, "seed {seed}, {left} and {right}: {took:?}");
        }
    }
}

#[test]
fn hearing_of_members_of_the_same_ring_changes_nothing() {
    let mut net = Net::grown(1, 4, 16, 12);
    let before = net.notices.len();
    for _ in 0..5 {
        for number in 0..12 {
            net.heard(number, &[0, 3, 6, 9, 11]);
        }
        net.run(SECOND * 10);
    }
    assert!(net.is_ideal());
    let changed = |(_, notice): &(_, Notice)| {
        matches!(notice, Notice::Merged(_) | Notice::Dropped(_) | Notice::Successor { .. })
    };
    assert!(!net.notices[before..].iter().any(changed));
}

#[test]
fn a_partition_heals_by_itself() {
    for seed in 0..15 {
        for count in [2u16, 3, 8] {
            let mut net = Net::grown(seed, 16, 16, count);
            net.apart = (0..count / 2).collect();
            net.run(SECOND * 20);
            assert!(!net.is_ideal());
            net.apart.clear();
            net.settle(SECOND * 120);
            assert!(net.notices.iter().any(|(_, notice)| matches!(notice, Notice::Merged(_))));
        }
    }
}

#[test]
fn rings_that_hold_the_same_places_merge_and_the_doubles_move() {
    let mut renamed = 0;
    for seed in 0..20 {
        // Ten nodes on 32 places: now and then two rings use one place.
        let mut net = two_rings(Net::new(seed, 16, 5), 10 * seed as u16, [5, 5]);
        let before = net.notices.len();
        net.join(10 * seed as u16, 10 * seed as u16 + 7);
        net.settle(SECOND * 120);
        let moved = |(_, notice): &&(_, Notice)| matches!(notice, Notice::Renamed { .. });
        renamed += net.notices[before..].iter().filter(moved).count();
    }
    assert!(renamed > 0, "no place was used twice");
}
