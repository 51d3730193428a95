use std::time::Instant;
use stateright::{Checker, Model};
use chordal::chord::Guards;
use crate::heal::*;
use crate::ring::*;
use crate::world::*;

pub(crate) fn shared(bits: u8) -> Setting {
    Setting { bits, r: 2, guards: Guards::ALL, at_once: true, lookups_at_once: true, hints: false, memory: false }
}

fn laws() -> Vec<Law> {
    vec![
        ("at least one ring", |m, s| m.report(s).at_least_one_ring),
        ("at most one ring", |m, s| m.report(s).at_most_one_ring),
        ("ordered ring", |m, s| m.report(s).ordered_ring),
        ("connected appendages", |m, s| m.report(s).connected_appendages),
        ("valid lists", |m, s| m.report(s).valid_lists),
        ("a live successor", |m, s| m.everyone_has_a_successor(&s.world)),
        ("heals", |m, s| m.healed(s) == Healed::Maintenance),
    ]
}

fn run(name: &str, ring: Ring) {
    let t = Instant::now();
    let c = ring.checker().threads(2).finish_when(stateright::HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!("{name}: unique {} total {} depth {} in {:?}; healing {:?}", c.unique_state_count(), c.state_count(), c.max_depth(), t.elapsed(), c.model().healing.counts());
    for (n, p) in c.discoveries() {
        println!("-- {n}: {:?}", p.clone().into_actions());
        println!("{:?}", p.last_state());
    }
}

fn env(name: &str) -> u8 { std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(0) }

#[test]
fn scratch_shared() {
    let joiners = env("J");
    let ring = Ring {
        setting: shared(3), members: vec![0, 2, 5], joiners: vec![1, 3, 4][..usize::from(joiners)].to_vec(),
        budget: Budget { joins: joiners, crashes: env("C"), rounds: u8::MAX, breaks: env("B"), ..Budget::default() },
        crashes: Crashes::Spared, returns: false, any_contact: true, laws: laws(), witnesses: vec![], healing: Healing::default(),
    };
    run("shared", ring);
}
