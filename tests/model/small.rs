//! Below r + 1 members, where Zave's proof does not reach: growing from one
//! node, shrinking to one, and what only memory can heal.

use chordal::chord::Guards;

use crate::ring::{Budget, Crashes, Ring};
use crate::world::Setting;
use crate::{
    AT_MOST_ONE, CRASHED, FOUND_IF_KNOWN, HEALS, JOINED, NO_CIRCLE, ONLY_MEMORY, ORDERED,
    RECTIFIED, REMEMBERED, SUFFICES, SUSPECTED, VALID, check, messages, ring, shared,
};

/// Four places.
fn four() -> Setting {
    Setting { bits: 2, ..shared(Guards::ALL) }
}

#[test]
fn a_ring_grows_from_one_node() {
    let budget = Budget { rounds: u8::MAX, ..Budget::default() };
    let ring = Ring {
        laws: vec![AT_MOST_ONE, ORDERED, VALID, HEALS],
        witnesses: vec![JOINED, RECTIFIED],
        ..ring(four(), &[0], &[1, 2, 3], budget)
    };
    check(ring, 13_287);
}

#[test]
fn a_ring_grows_from_one_node_and_shrinks_to_one() {
    let budget = Budget { crashes: 2, rounds: u8::MAX, ..Budget::default() };
    let ring = Ring {
        crashes: Crashes::ToTheLast,
        laws: vec![AT_MOST_ONE, ORDERED, VALID, HEALS],
        witnesses: vec![
            JOINED,
            CRASHED,
            ("the last stands alone", |_, s| {
                let states = s.world.states();
                s.spent.crashes == 2 && states.len() == 1 && states[0].successors.is_empty()
            }),
        ],
        ..ring(four(), &[0], &[1, 2], budget)
    };
    check(ring, 609);
}

#[test]
fn a_ring_grows_from_one_node_by_messages() {
    // The one that both joiners know may die before they know each other: then
    // nobody alive leads to somebody, and there are two rings.
    let budget = Budget { crashes: 1, rounds: 1, ..Budget::default() };
    let ring = Ring {
        crashes: Crashes::Any,
        laws: vec![FOUND_IF_KNOWN, NO_CIRCLE],
        witnesses: vec![JOINED, CRASHED, RECTIFIED],
        ..ring(messages(), &[0], &[1, 3], budget)
    };
    check(ring, 17_275);
}

#[test]
fn a_ring_shrinks_to_one_by_messages() {
    let budget = Budget { crashes: 2, rounds: 2, ..Budget::default() };
    let ring = Ring {
        crashes: Crashes::Any,
        laws: vec![FOUND_IF_KNOWN, SUFFICES, NO_CIRCLE],
        witnesses: vec![CRASHED],
        ..ring(messages(), &[0, 1, 3], &[], budget)
    };
    check(ring, 822);
}

#[test]
fn two_that_take_each_other_for_dead_are_brought_together_by_memory_alone() {
    let budget = Budget { silences: 2, rounds: 3, probes: 1, ..Budget::default() };
    let ring = Ring {
        laws: vec![REMEMBERED, SUFFICES, NO_CIRCLE],
        witnesses: vec![SUSPECTED, ONLY_MEMORY],
        ..ring(messages(), &[0, 2], &[], budget)
    };
    check(ring, 2_136);
}
