//! What the simulator costs: the static ring of 10 000 nodes with 100 000
//! lookups (budget: 10 s), the nanoseconds of an event and the bytes of a node,
//! and a ring of a million nodes that is churned with its maintenance running
//! (budget: 16 GiB).
//!
//! `cargo bench --bench sim [-- NODES]`: how large the largest ring is, a
//! million unless told.
//!
//! Memory comes from `/proc` (Linux); elsewhere it is not measured.

// The figures are the output.
#![allow(clippy::print_stdout)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chordal::id::Id;
use chordal::sim::{Churn, Latency, Setup, World};

const NODES: u32 = 1_000_000;

const LOOKUPS: u32 = 100_000;
const AT_ONCE: u32 = 100;
const LOOKUP_BUDGET: Duration = Duration::from_secs(10);

const MEMORY_BUDGET: f64 = 16.0 * GIB;
const GIB: f64 = (1u64 << 30) as f64;

/// Stabilizations of the largest ring: the period of the papers' tables.
const PERIOD: Duration = Duration::from_secs(30);

/// How long it is churned.
const SPAN: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let nodes = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(NODES);
    println!("a node without its lists: {} bytes", size_of::<chordal::chord::Node>());
    // The large ring first: what the other run frees would count as its own.
    let mut kept = churned(nodes);
    kept &= lookups();
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn lookups() -> bool {
    let setup = Setup { hosts: 10_000, ..far(1) };
    let began = Instant::now();
    let mut world = World::settled(&setup, &mut |_, _| {});
    let built = began.elapsed();
    world.quiet();
    let (mut right, mut contacts) = (0, 0);
    for _ in 0..LOOKUPS / AT_ONCE {
        for _ in 0..AT_ONCE {
            let key = Id::new(world.chance().wide());
            if let Some(host) = world.some_host() {
                world.lookup(host, key);
            }
        }
        while world.under_way() > 0 && world.step() {}
        for (_, ended) in world.ended() {
            right += u32::from(ended.is_right());
            contacts += ended.contacts;
        }
    }
    let took = began.elapsed();
    let kept = took <= LOOKUP_BUDGET && right == LOOKUPS;
    println!(
        "10 000 nodes, {LOOKUPS} lookups: {took:.2?} ({built:.2?} to build; budget {LOOKUP_BUDGET:?}: {})",
        verdict(kept),
    );
    println!(
        "  {right} right, {:.2} contacts each, {} events, {:.0} ns an event, trace {}",
        f64::from(contacts) / f64::from(LOOKUPS),
        world.events(),
        took.saturating_sub(built).as_nanos() as f64 / world.events() as f64,
        world.trace(),
    );
    kept
}

fn churned(nodes: u32) -> bool {
    let setup = Setup { hosts: nodes, stabilize: PERIOD, ..far(2) };
    let before = memory("VmRSS");
    let began = Instant::now();
    let mut world = World::settled(&setup, &mut |_, _| {});
    let built = began.elapsed();
    let settled = memory("VmRSS");
    let rate = f64::from(nodes) / 10_000.0;
    world.set_churn(Some(Churn { joins: rate, leaves: rate, ..Churn::default() }));
    let began = Instant::now();
    world.run(SPAN);
    let took = began.elapsed();
    let peak = memory("VmHWM");
    println!(
        "{nodes} nodes: built in {built:.1?}; {SPAN:?} with a join and a crash per 10 000 nodes a second in {took:.1?}, {:.2} × real time",
        SPAN.as_secs_f64() / took.as_secs_f64(),
    );
    println!(
        "  {} events, {:.0} ns an event; {} joined, {} died, {} members, trace {}",
        world.events(),
        took.as_nanos() as f64 / world.events() as f64,
        world.counts().joined,
        world.counts().gone,
        world.size(),
        world.trace(),
    );
    let (Some(before), Some(settled), Some(peak)) = (before, settled, peak) else {
        println!("  no /proc here: memory is not measured");
        return true;
    };
    let each = |bytes: f64| (bytes - before) / f64::from(nodes);
    let kept = peak <= MEMORY_BUDGET;
    println!(
        "  {:.0} bytes a node when settled, {:.0} at the most; {:.2} GiB in all (budget {:.0} GiB: {})",
        each(settled),
        each(peak),
        peak / GIB,
        MEMORY_BUDGET / GIB,
        verdict(kept),
    );
    kept
}

/// Hosts all over the world, with the settings of the papers.
fn far(seed: u64) -> Setup {
    Setup {
        seed,
        latency: Latency::Uniform {
            least: Duration::from_millis(20),
            most: Duration::from_millis(80),
        },
        ..Setup::default()
    }
}

/// Bytes of a line of `/proc/self/status`.
fn memory(line: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let found = status.lines().find_map(|text| text.strip_prefix(line))?;
    let kib: f64 = found.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok()?;
    Some(kib * 1024.0)
}

fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}
