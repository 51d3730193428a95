use std::time::Instant;
use stateright::{Checker, Model};
use chordal::chord::Guards;
use crate::heal::*;
use crate::ring::*;
use crate::world::*;

fn laws() -> Vec<Law> {
    vec![
        ("1ring", |m, s| m.report(s).at_least_one_ring),
        ("one", |m, s| m.report(s).at_most_one_ring),
        ("ordered", |m, s| m.report(s).ordered_ring),
        ("connected", |m, s| m.report(s).connected_appendages),
        ("valid", |m, s| m.report(s).valid_lists),
        ("live", |m, s| m.everyone_has_a_successor(&s.world)),
        ("heals", |m, s| m.healed(s) == Healed::Maintenance),
        ("remembers", |m, s| m.healed(s) != Healed::Never),
        ("theory", |m, s| m.healed(s) == Healed::Maintenance || !m.connected(&s.world)),
        ("theory2", |m, s| m.healed(s) != Healed::Maintenance || m.connected(&s.world)),
    ]
}

fn env(name: &str) -> u8 { std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(0) }
fn list(name: &str) -> Vec<Place> { std::env::var(name).unwrap_or_default().chars().filter_map(|c| c.to_digit(10)).map(|d| d as u8).collect() }

#[test]
fn scratch() {
    let names = std::env::var("LAWS").unwrap_or("1ring one ordered connected valid live heals".into());
    let g = std::env::var("G").unwrap_or_default();
    let guards = Guards { own_answer: g != "own", atomic_list: g != "atomic", self_excluded: g != "self", late_deaths_ignored: g != "late" };
    let ring = Ring {
        setting: Setting { bits: if env("BITS") == 0 { 3 } else { env("BITS") }, r: 2, guards, at_once: env("MSG") == 0, lookups_at_once: env("STEPS") == 0, hints: env("HINTS") > 0, memory: env("MEM") > 0 },
        members: list("M"), joiners: list("J"),
        budget: Budget { joins: env("JOINS").max(list("J").len() as u8), crashes: env("C"), silences: env("S"), losses: env("LO"), doubles: env("D"), breaks: env("B"), retries: env("RE"), probes: env("P"), rounds: if env("R") == 0 { 255 } else { env("R") } },
        crashes: if env("ANY") > 0 { Crashes::Any } else if env("LAST") > 0 { Crashes::ToTheLast } else { Crashes::Spared }, returns: env("RET") > 0, any_contact: env("CONT") > 0,
        laws: laws().into_iter().filter(|(n, _)| names.split(' ').any(|x| x == *n)).collect(), witnesses: vec![], healing: Healing::default(),
    };
    let t = Instant::now();
    let limit = std::env::var("LIMIT").ok().and_then(|v| v.parse().ok()).unwrap_or(100_000_000);
    let secs = std::env::var("SECS").ok().and_then(|v| v.parse().ok()).unwrap_or(600);
    let all = env("ALL") > 0;
    let c = ring.checker().threads(if env("T") == 0 { 2 } else { env("T").into() }).target_state_count(limit).timeout(std::time::Duration::from_secs(secs)).finish_when(if all { stateright::HasDiscoveries::All } else { stateright::HasDiscoveries::AnyFailures }).spawn_bfs().join();
    println!("unique {} total {} depth {} done {} in {:?}; healing {:?}", c.unique_state_count(), c.state_count(), c.max_depth(), c.is_done(), t.elapsed(), c.model().healing.counts());
    for (n, p) in c.discoveries() {
        println!("-- {n}: {:?}", p.clone().into_actions());
        println!("{:?}", p.last_state());
    }
}

