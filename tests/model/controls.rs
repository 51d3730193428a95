//! Negative controls: each guard of the core, switched off, lets a check fail.
//! What is asserted is the shortest way into the failure, so that it is the
//! failure that the guard is there for; beside it stands the same check with all
//! guards, which holds.

use chordal::chord::Guards;
use stateright::{Checker, Model};

use crate::ring::{Budget, Crashes, Law, Ring};
use crate::{AT_MOST_ONE, HEALS, LIVE, ring, shared};

/// The shortest way to a state in which the law does not hold. One law and one
/// thread: the checker then stops at the first such state, breadth first.
fn counter_example(ring: Ring, law: Law) -> Option<Vec<String>> {
    let checker = Ring { laws: vec![law], ..ring }.checker().threads(1).spawn_bfs().join();
    let path = checker.discovery(law.0)?;
    let state = path.last_state().clone();
    let steps: Vec<String> = path.into_actions().iter().map(|step| format!("{step:?}")).collect();
    println!("not: {}\n{steps:#?}\n{state:?}", law.0);
    Some(steps)
}

fn fails(law: Law, guards: Guards, build: impl Fn(Guards) -> Ring, way: &[&str]) {
    assert_eq!(counter_example(build(Guards::ALL), law), None, "with all guards");
    let steps = counter_example(build(guards), law).expect("the guard is needed");
    assert_eq!(steps, way);
}

#[test]
fn a_successor_adopted_unheard_is_a_dead_one_for_ever() {
    // 5 drops the dead 0, asks 2, hears of 0 as its predecessor, and takes it
    // again; so it never notifies 2, which never finds out.
    let build = |guards| {
        let budget = Budget { crashes: 1, rounds: u8::MAX, ..Budget::default() };
        ring(shared(guards), &[0, 2, 5], &[1], budget)
    };
    fails(HEALS, Guards { own_answer: false, ..Guards::ALL }, build, &["0 crashes"]);
}

#[test]
fn a_list_assigned_by_halves_has_no_second_entry_when_the_first_one_dies() {
    let build = |guards| {
        let budget = Budget { crashes: 1, rounds: u8::MAX, ..Budget::default() };
        // A ring of r + 1 survives any one crash.
        let crashes = Crashes::Any;
        Ring { crashes, ..ring(shared(guards), &[0, 2, 5], &[1], budget) }
    };
    let way = ["1 joins via 0", "1 stabilizes", "2 hears notify of 1", "0 stabilizes", "1 crashes"];
    fails(LIVE, Guards { atomic_list: false, ..Guards::ALL }, build, &way);
}

#[test]
fn self_taken_for_a_live_successor_makes_two_rings() {
    // 2 may die, it seems: 1 and 3 have each a live successor, themselves.
    let build = |guards| {
        let budget = Budget { crashes: 2, rounds: u8::MAX, ..Budget::default() };
        let crashes = Crashes::ToTheLast;
        Ring { crashes, ..ring(shared(guards), &[0, 2], &[1, 3], budget) }
    };
    let way = [
        "0 crashes",
        "2 stabilizes",
        "1 joins via 2",
        "3 joins via 1",
        "1 stabilizes",
        "3 stabilizes",
        "2 crashes",
    ];
    fails(AT_MOST_ONE, Guards { self_excluded: false, ..Guards::ALL }, build, &way);
}

#[test]
fn late_word_of_deaths_that_is_believed_tears_a_ring_apart() {
    let build = |guards| {
        let budget = Budget { breaks: 3, rounds: u8::MAX, ..Budget::default() };
        ring(shared(guards), &[0, 2, 5], &[1], budget)
    };
    let way = ["0 is told that 2 died", "0 is told that 5 died", "2 is told that 0 died"];
    fails(HEALS, Guards { late_deaths_ignored: false, ..Guards::ALL }, build, &way);
}
