//! Every message travels: it may be late, overtaken, doubled or lost, and the
//! living may be taken for dead. From every state rounds without a fault restore
//! the ideal ring, and nobody waits in a circle.

use crate::ring::{Budget, Crashes, Ring};
use crate::world::{Place, Setting};
use crate::{
    ADOPTED, CRASHED, JOINED, NO_CIRCLE, RECTIFIED, REMEMBERED, SUFFICES, SUSPECTED, check,
    messages, ring,
};

fn travelling(members: &[Place], joiners: &[Place], budget: Budget) -> Ring {
    Ring {
        crashes: Crashes::Any,
        laws: vec![REMEMBERED, SUFFICES, NO_CIRCLE],
        ..ring(messages(), members, joiners, budget)
    }
}

#[test]
fn two_join_at_once_while_the_living_are_suspected() {
    let budget = Budget { silences: 1, rounds: 1, ..Budget::default() };
    let witnesses = vec![JOINED, ADOPTED, RECTIFIED, SUSPECTED];
    check(Ring { witnesses, ..travelling(&[0, 2], &[1, 3], budget) }, 3_894);
}

#[test]
fn one_joins_while_one_dies_and_the_living_are_suspected() {
    let budget = Budget { crashes: 1, silences: 1, rounds: 1, ..Budget::default() };
    let witnesses = vec![JOINED, CRASHED, RECTIFIED, SUSPECTED];
    check(Ring { witnesses, ..travelling(&[0, 1, 3], &[2], budget) }, 4_345);
}

#[test]
fn one_joins_while_one_dies_and_what_is_said_is_lost_or_doubled() {
    let budget = Budget { crashes: 1, losses: 1, doubles: 1, rounds: 1, ..Budget::default() };
    let witnesses = vec![JOINED, CRASHED, RECTIFIED];
    check(Ring { witnesses, ..travelling(&[0, 1, 3], &[2], budget) }, 3_970);
}

#[test]
#[ignore = "long; see the crate's documentation"]
fn two_join_at_once_while_one_dies() {
    let budget = Budget { crashes: 1, rounds: 1, ..Budget::default() };
    let witnesses = vec![JOINED, CRASHED, ADOPTED, RECTIFIED];
    check(Ring { witnesses, ..travelling(&[0, 2], &[1, 3], budget) }, 126_450);
}

#[test]
#[ignore = "long; see the crate's documentation"]
fn one_joins_while_one_dies_and_everything_goes_wrong_once() {
    let budget =
        Budget { crashes: 1, silences: 1, losses: 1, doubles: 1, rounds: 2, ..Budget::default() };
    let witnesses = vec![JOINED, CRASHED, ADOPTED, RECTIFIED, SUSPECTED];
    check(Ring { witnesses, ..travelling(&[0, 1, 3], &[2], budget) }, 614_976);
}

#[test]
#[ignore = "long; see the crate's documentation"]
fn a_ring_of_three_takes_in_two_at_once_while_one_dies() {
    let budget = Budget { crashes: 1, silences: 1, rounds: 1, ..Budget::default() };
    let witnesses = vec![JOINED, CRASHED, ADOPTED, RECTIFIED, SUSPECTED];
    let five = Ring { witnesses, ..travelling(&[0, 2, 5], &[1, 3], budget) };
    check(Ring { setting: Setting { bits: 3, ..messages() }, ..five }, 252_305);
}
