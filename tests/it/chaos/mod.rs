//! What random disasters do to real processes.
//!
//! A conductor ([`conductor`]) starts nodes with disks of their own behind the
//! doors of a [`crate::proxy::Network`], and carries out a schedule that follows
//! from a seed ([`plan`]): SIGKILL with and without the disk, SIGSTOP, restarts,
//! leaving on slow lines, joining, slow, narrow, reset, half-open and refused links,
//! links that carry messages and no bytes, partitions, a node without room, a disk that
//! fails. Every third node has a clock that is up to two days wrong. Meanwhile users ([`clients`]) put, overwrite, remove and
//! get files and directories, and all that they are told goes into a history
//! ([`history`], which says what counts as wrong). Where the schedule waits for a
//! repair, and at its end, every node is asked for its neighbours and for every
//! name, tombstones too ([`probe`]); at the very end all are killed and their disks
//! are looked at ([`disks`]).
//!
//! `cargo test` has a few seeds. One again, whichever it is, with the same schedule:
//! `CHORDAL_CHAOS_SEED=7 cargo test --test it chaos:: -- --nocapture`. Many:
//! `CHORDAL_CHAOS_RUNS=1000 cargo test --release --test it chaos::long -- --ignored
//! --nocapture`, from seed `CHORDAL_CHAOS_FIRST` (0), `CHORDAL_CHAOS_AT_ONCE` (3)
//! rings at a time.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use conductor::{Conductor, Report};
use plan::Plan;

mod clients;
mod conductor;
mod disks;
mod history;
mod plan;
mod probe;
mod register;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

fn run(seed: u64) -> Result<Report, String> {
    Conductor::new(Plan::of(seed)).run()
}

#[expect(clippy::print_stderr, reason = "who asked for this seed wants to see it")]
fn one_of_the_short(seed: u64) {
    match setting("CHORDAL_CHAOS_SEED") {
        None => {
            if let Err(why) = run(seed) {
                panic!("{why}");
            }
        }
        // Once is enough.
        Some(asked) if seed == SHORT[0] => match run(asked) {
            Ok(report) => eprintln!("chaos: seed {asked} is well: {report:?}"),
            Err(why) => panic!("{why}"),
        },
        Some(_) => {}
    }
}

/// The seeds of every `cargo test`.
const SHORT: [u64; 3] = [1, 2, 3];

#[test]
fn a_ring_keeps_its_promises_through_the_disasters_of_one_seed() {
    one_of_the_short(SHORT[0]);
}

#[test]
fn a_ring_keeps_its_promises_through_those_of_another_seed() {
    one_of_the_short(SHORT[1]);
}

#[test]
fn a_ring_keeps_its_promises_through_those_of_a_third_seed() {
    one_of_the_short(SHORT[2]);
}

/// What all runs together have done.
#[derive(Debug, Default)]
struct Total {
    runs: usize,
    steps: BTreeMap<&'static str, usize>,
    acknowledged: usize,
    failed: usize,
    reads: usize,
    unread: usize,
    registers: usize,
    undecided: usize,
    controls: usize,
    wrong: Vec<u64>,
}

#[test]
#[ignore = "as long as one likes: CHORDAL_CHAOS_RUNS"]
fn long() {
    let runs = setting("CHORDAL_CHAOS_RUNS").unwrap_or(100);
    let first = setting("CHORDAL_CHAOS_FIRST").unwrap_or(0);
    let at_once = setting("CHORDAL_CHAOS_AT_ONCE").unwrap_or(3);
    let next = AtomicU64::new(first);
    let total = Mutex::new(Total::default());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + runs {
                        return;
                    }
                    let plan = Plan::of(seed);
                    let ended = run(seed);
                    let mut total = total.lock().expect("nobody panics with it");
                    total.runs += 1;
                    for step in &plan.steps {
                        *total.steps.entry(step.kind()).or_default() += 1;
                    }
                    match ended {
                        Ok(Report { counts, time, .. }) => {
                            total.acknowledged += counts.acknowledged;
                            total.failed += counts.failed;
                            total.reads += counts.reads;
                            total.unread += counts.unread;
                            total.registers += counts.registers;
                            total.undecided += counts.undecided;
                            total.controls += counts.controls;
                            eprintln!(
                                "chaos: {} seed {seed} in {time:.1?}: {counts:?}",
                                total.runs
                            );
                        }
                        Err(why) => {
                            total.wrong.push(seed);
                            eprintln!("{why}\nchaos: {} seed {seed} failed", total.runs);
                        }
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("nobody panics with it");
    eprintln!("chaos: {total:#?}");
    assert!(total.wrong.is_empty(), "seeds {:?} failed", total.wrong);
}
