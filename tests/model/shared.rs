//! Whole operations: each step is a join, a stabilization or a rectification
//! with all its questions answered at once (Zave's level). Every ring property
//! holds in every state, and from every state maintenance alone restores the
//! ideal ring.

use chordal::chord::Guards;

use crate::ring::{Budget, Ring};
use crate::world::Place;
use crate::{
    ADOPTED, AT_LEAST_ONE, AT_MOST_ONE, CONNECTED, CRASHED, HEALS, JOINED, LIVE, ORDERED,
    RECTIFIED, VALID, check, ring, shared,
};

/// r + 1 members, joiners that ask anybody, crashes that Zave's assumption allows.
fn whole(joiners: &[Place], crashes: u8) -> Ring {
    let budget = Budget { crashes, rounds: u8::MAX, ..Budget::default() };
    Ring {
        laws: vec![AT_LEAST_ONE, AT_MOST_ONE, ORDERED, CONNECTED, VALID, LIVE, HEALS],
        witnesses: vec![JOINED, CRASHED, ADOPTED, RECTIFIED],
        ..ring(shared(Guards::ALL), &[0, 2, 5], joiners, budget)
    }
}

#[test]
fn a_ring_of_three_takes_in_two_and_loses_one() {
    check(whole(&[1, 3], 1), 32_098);
}

#[test]
fn a_ring_of_three_takes_in_one_and_loses_two() {
    check(whole(&[1], 2), 2_780);
}

#[test]
#[ignore = "a minute; see the crate's documentation"]
fn a_ring_of_three_takes_in_two_and_loses_two() {
    check(whole(&[1, 3], 2), 101_086);
}

#[test]
fn word_of_a_death_changes_nothing_while_the_dead_live() {
    let budget = Budget { breaks: 3, rounds: u8::MAX, ..Budget::default() };
    let ring = Ring {
        laws: vec![AT_MOST_ONE, ORDERED, CONNECTED, VALID, LIVE, HEALS],
        witnesses: vec![JOINED],
        ..ring(shared(Guards::ALL), &[0, 2, 5], &[1], budget)
    };
    check(ring, 416);
}
