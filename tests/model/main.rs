//! Rings under the model checker: the code that is checked is the code that
//! runs, `chordal::chord::Node`, unchanged and with all its guards.
//!
//! - [`world`] is the driver: nodes, messages on the way, armed timers.
//! - [`ring`] says what may happen, how often, and what must hold.
//! - [`heal`] says what becomes of a state when no further fault comes.
//! - [`shared`]: whole operations, as in Zave's papers.
//! - [`messages`]: every message travels, and may be late, doubled or lost.
//! - [`small`]: from one node upwards, and down to one.
//! - [`hosts`]: a host of two positions, and another one.
//! - [`controls`]: without a guard, the same checks must fail.
//!
//! Each check asserts how many different states it has seen: an empty model, or
//! one that lost a step, would be a check that cannot fail. The number changes
//! when the core's rules, what a node remembers or the budget changes; then look
//! whether the new number is explained by the change, and write it down.
//!
//! The checks that take more than seconds are left out of `cargo test`. All of
//! them, in some minutes:
//!
//! ```text
//! cargo test --release --test model -- --ignored
//! ```

// Counts and counter-examples are there to be read (`--nocapture`).
#![allow(clippy::print_stdout)]

mod controls;
mod heal;
mod hosts;
mod messages;
mod ring;
mod shared;
mod small;
mod world;

use chordal::chord::Guards;
use stateright::{Checker, Expectation, HasDiscoveries, Model};

use crate::heal::{Healed, Healing};
use crate::ring::{Budget, Crashes, Law, Ring};
use crate::world::{Place, Setting};

/// Whole operations on eight places.
fn shared(guards: Guards) -> Setting {
    Setting {
        bits: 3,
        r: 2,
        guards,
        at_once: true,
        lookups_at_once: true,
        hints: false,
        memory: false,
    }
}

/// Messages between four places.
fn messages() -> Setting {
    Setting { bits: 2, at_once: false, memory: true, ..shared(Guards::ALL) }
}

/// A ring of which nothing is demanded yet.
fn ring(setting: Setting, members: &[Place], joiners: &[Place], budget: Budget) -> Ring {
    let any_contact = setting.at_once;
    let joins = joiners.len() as u8;
    Ring {
        setting,
        members: members.to_vec(),
        joiners: joiners.to_vec(),
        budget: Budget { joins, ..budget },
        crashes: Crashes::Spared,
        returns: false,
        any_contact,
        laws: Vec::new(),
        witnesses: Vec::new(),
        healing: Healing::default(),
    }
}

const AT_LEAST_ONE: Law = ("at least one ring", |m, s| m.report(s).at_least_one_ring);
const AT_MOST_ONE: Law = ("at most one ring", |m, s| m.report(s).at_most_one_ring);
const ORDERED: Law = ("ordered ring", |m, s| m.report(s).ordered_ring);
const CONNECTED: Law = ("connected appendages", |m, s| m.report(s).connected_appendages);
const VALID: Law = ("valid lists", |m, s| m.report(s).valid_lists);
const LIVE: Law = ("a live successor each", |m, s| m.everyone_has_a_successor(&s.world));
const HEALS: Law = ("maintenance heals", |m, s| m.healed(s) == Healed::Maintenance);
/// Maintenance alone fails only where somebody has no live successor, or where
/// the living were taken for dead: one that dropped all its successors looks
/// like a stranger to those who still know it, and strangers are let go.
const SUFFICES: Law = ("maintenance heals whoever has a successor", |m, s| {
    m.healed(s) == Healed::Maintenance
        || !m.everyone_has_a_successor(&s.world)
        || s.spent.silences > 0
});
/// Where that fails, probing whom one remembers helps.
const REMEMBERED: Law = ("whoever is remembered is found", |m, s| m.healed(s) != Healed::Never);
/// … unless nobody alive leads to somebody.
const FOUND_IF_KNOWN: Law =
    ("whoever is known is found", |m, s| m.healed(s) != Healed::Never || !m.linked(&s.world));
const NO_CIRCLE: Law = ("nobody waits in a circle", |_, s| s.world.nobody_waits_in_a_circle());

const JOINED: Law = ("somebody joins", |m, s| m.joined(&s.world).next().is_some());
const CRASHED: Law = ("somebody crashes", |_, s| s.spent.crashes > 0);
/// Only stabilize makes a joiner the first successor of an old member.
const ADOPTED: Law = ("a list is adopted", |m, s| {
    m.joined(&s.world).any(|joiner| m.follows_an_old_member(&s.world, joiner))
});
/// Only rectify makes a joiner the predecessor of an old member.
const RECTIFIED: Law = ("a predecessor is rectified", |m, s| {
    m.joined(&s.world).any(|joiner| m.precedes_an_old_member(&s.world, joiner))
});
const SUSPECTED: Law = ("the living are suspected", |_, s| s.spent.silences > 0);
const ONLY_MEMORY: Law = ("only memory heals", |m, s| m.healed(s) == Healed::Remembering);

/// Goes through all states: the laws hold in each, each witness is seen, and
/// they are as many as they were.
fn check(ring: Ring, states: usize) {
    let checker =
        ring.checker().threads(2).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    for (name, path) in checker.discoveries() {
        let failed = checker.model().property(name).expectation == Expectation::Always;
        let state = path.last_state().clone();
        assert!(!failed, "not: {name}\n{:#?}\n{state:?}", path.into_actions());
    }
    for (name, _) in &checker.model().witnesses {
        assert!(checker.discovery(name).is_some(), "never: {name}");
    }
    let healing = checker.model().healing.counts();
    println!(
        "{} states, depth {}, futures {healing:?}",
        checker.unique_state_count(),
        checker.max_depth()
    );
    assert_eq!(checker.unique_state_count(), states, "different states; see the module");
}
