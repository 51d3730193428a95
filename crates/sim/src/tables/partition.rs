//! `partition`: two halves of a ring that cannot reach each other, each of which serves, and the state after they can again.
//!
//! Files are stored on the whole ring. Then the network is partitioned, with each host on a
//! random side. When each side is one ring, both get puts: new files, and other contents
//! under old names, on one side or on both. After the heal no command is given: the probing
//! of remembered peers must find the other half. A file that was put on one side must then
//! be there for both; of two contents under one name, both must see the newer version.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::plot::{Bar, Bars, Plot};
use crate::trace::{Trace, TraceHash};
use crate::{HostId, Setup, World, host_at};

use super::files;
use super::report::{About, Cell, Cost, Report, Table, Target};
use super::workers::{self, Progress, Steps, part_seed};

use chordal_core::chord::Node;
use chordal_core::chord::placement::placement;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Version;

/// The texts for users.
pub(super) const ABOUT: About = About {
    name: "partition",
    summary: "two halves that serve apart and become one ring again",
    details: "\
Stores files on a ring of N hosts, cuts the network into two random halves for five minutes, and \
lets both go on: each reads the old files, stores new ones and replaces old ones, some of them on \
both sides. Then the cut ends. Counted: the old files that each half can still read (of k = 3 \
copies at least one is on a given side in 87.5 % of cases), the rounds of probing until there is \
one ring, with every list and predecessor right, how many names read right at that moment, the \
time until all copies are where they belong and agree, and what every name reads as from both \
sides then.
Target: one ring within 10 rounds of probing (a round is five stabilizations), the same version of \
every name from everywhere, no acknowledged file lost.
Source: how a Chord ring is to merge is open in the papers; see ARCHITECTURE.md, 'merge'.",
    nodes_are: "hosts",
    nodes: 100,
    // In a smaller ring a half is smaller than a successor list needs; a larger one takes too
    // long.
    limits: 20..=2_000,
};

/// Number of partitions, each of another ring.
const RUNS: u64 = 8;

/// Copies of each file.
const COPIES: u8 = 3;

/// Duration of the partition.
const CUT: Duration = Duration::from_secs(300);

/// Maximum time until a half is one ring.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// The core's period of probing, in stabilizations.
const ROUND: u32 = 5;

/// Maximum number of rounds until there is one ring again.
const MOST_ROUNDS: f64 = 10.0;

/// Time after that for the copies to agree.
const AGREE_WITHIN: Duration = Duration::from_secs(120);

/// Resolution of the time until there is one ring.
const STEP: Duration = Duration::from_millis(100);

/// Resolution of the time until the copies agree.
const ROUGHLY: Duration = Duration::from_secs(1);

/// Number of old files for each host.
const FILES_PER_HOST: u64 = 2;

/// One old file in so many is replaced on the first side, one on the second, one on both.
const REPLACED: usize = 10;

/// Rings cut in two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partition {
    hosts: u64,
    seed: u64,
    runs: u64,
}

/// The result of one partition.
struct Run {
    /// Time until both halves were one ring each; `None` if not in time.
    halves: Option<Duration>,
    /// Old files that the halves read, and how many they tried.
    served: (u64, u64),
    /// Writes acknowledged during the partition, and how many were tried.
    written: (u64, u64),
    /// Names whose content both sides replaced.
    conflicts: u64,
    /// Time until there was one ring; `None` if not in time.
    whole: Option<Duration>,
    /// Names that read right at that moment, before any repair.
    at_once: u64,
    /// Time from the heal until all copies agreed; `None` if not in time.
    agreed: Option<Duration>,
    names: u64,
    /// Names that could not be read from some host, or gave an older version than
    /// acknowledged.
    lost: u64,
    /// Names that gave different versions on the two sides.
    unequal: u64,
    stabilize: Duration,
    events: u64,
    trace: TraceHash,
}

impl Run {
    /// Number of rounds of probing until there was one ring.
    fn rounds(&self) -> Option<f64> {
        let round = self.stabilize * ROUND;
        self.whole.map(|took| took.as_secs_f64() / round.as_secs_f64())
    }

    fn met(&self) -> bool {
        self.rounds().is_some_and(|rounds| rounds <= MOST_ROUNDS)
            && self.agreed.is_some()
            && self.lost == 0
            && self.unequal == 0
    }
}

impl Partition {
    /// An experiment on rings of this many hosts.
    pub(super) const fn new(hosts: u64, seed: u64) -> Partition {
        Partition { hosts, seed, runs: RUNS }
    }

    /// Runs the experiment.
    pub(super) fn run(&self, progress: Progress<'_>) -> Report {
        let steps = Steps::new(self.runs, progress);
        let numbers: Vec<u64> = (0..self.runs).collect();
        let runs = workers::each(&numbers, |number| {
            let run = self.once(*number);
            steps.add(1);
            run
        });
        self.report(&runs)
    }

    fn once(&self, number: u64) -> Run {
        let setup = Setup {
            seed: part_seed(self.seed, &[number]),
            hosts: self.hosts as u32,
            replicas: COPIES,
            refuse: false,
            ..Setup::default()
        };
        let mut world = World::settled(&setup, &mut |_, _| {});
        let old = files::names("old", self.hosts * FILES_PER_HOST);
        let mut newest = files::put(&mut world, &old, &[]);

        let hosts: Vec<HostId> = world.hosts().collect();
        let one = world.chance().some_of(&hosts, hosts.len() / 2);
        let other: Vec<HostId> = hosts.iter().copied().filter(|host| !one.contains(host)).collect();
        let sides = [one, other];
        world.part(&sides);
        let cut = world.now();
        let halves = world.until(WHOLE_WITHIN, STEP, |world| {
            sides.iter().all(|side| files::is_whole(world, side.iter().copied()))
        });

        let (mut served, mut written) = ((0, 0), (0, 0));
        let mut conflicts = 0;
        let parts: Vec<&[FileName]> = old.chunks(old.len() / REPLACED).collect();
        for (at, side) in sides.iter().enumerate() {
            let read = files::get(&mut world, &old, side);
            served = (served.0 + read.len() as u64, served.1 + old.len() as u64);
            let mut names = files::names(["left", "right"][at], self.hosts);
            // The first part is replaced on both sides.
            names.extend_from_slice(parts[0]);
            names.extend_from_slice(parts[1 + at]);
            let stored = files::put(&mut world, &names, side);
            written = (written.0 + stored.len() as u64, written.1 + names.len() as u64);
            conflicts = parts[0].len() as u64;
            for (name, version) in stored {
                let known = newest.entry(name).or_insert(version);
                *known = (*known).max(version);
            }
        }
        world.run_until((cut + CUT).max(world.now()));

        world.heal();
        let healed_at = world.now();
        let whole = world
            .until(limit(setup.stabilize), STEP, |world| files::is_whole(world, world.hosts()));
        let names: Vec<FileName> = newest.keys().cloned().collect();
        let read = files::get(&mut world, &names, &[]);
        let newer = |(name, version): (&FileName, &Version)| *version >= newest[name];
        let at_once = read.iter().filter(|read| newer(*read)).count() as u64;
        let agreed = world.until(AGREE_WITHIN, ROUGHLY, |world| agree(world, &newest));
        let agreed = agreed.map(|_| world.now() - healed_at);
        let reads = sides.each_ref().map(|side| files::get(&mut world, &names, side));
        let lost = |name: &&FileName| {
            reads.iter().any(|read| read.get(*name).is_none_or(|version| *version < newest[*name]))
        };
        let unequal = |name: &&FileName| reads[0].get(*name) != reads[1].get(*name);
        Run {
            halves,
            served,
            written,
            conflicts,
            whole,
            at_once,
            agreed,
            names: names.len() as u64,
            lost: names.iter().filter(lost).count() as u64,
            unequal: names.iter().filter(unequal).count() as u64,
            stabilize: setup.stabilize,
            events: world.events(),
            trace: world.trace(),
        }
    }

    fn report(&self, runs: &[Run]) -> Report {
        let seconds =
            |span: Option<Duration>| Cell::of(span, |span| Cell::Number(span.as_secs_f64(), 1));
        let share = |(of, all): (u64, u64)| Cell::Share(of as f64 / all.max(1) as f64, 1);
        let numbered: Vec<(u64, &Run)> = (1..).zip(runs).collect();
        let table = Table::of(
            "partition",
            &numbered,
            &[
                ("run", "run", &|(number, _)| Cell::Count(*number)),
                ("halves_s", "halves whole, s", &|(_, run)| seconds(run.halves)),
                ("served", "old files read", &|(_, run)| share(run.served)),
                ("written", "writes served", &|(_, run)| share(run.written)),
                ("conflicts", "conflicts", &|(_, run)| Cell::Count(run.conflicts)),
                ("one_ring_s", "one ring, s", &|(_, run)| seconds(run.whole)),
                ("rounds", "rounds", &|(_, run)| {
                    Cell::of(run.rounds(), |rounds| Cell::Number(rounds, 2))
                }),
                ("at_once", "right at once", &|(_, run)| share((run.at_once, run.names))),
                ("agreed_s", "copies agree, s", &|(_, run)| seconds(run.agreed)),
                ("names", "names", &|(_, run)| Cell::Count(run.names)),
                ("lost", "lost", &|(_, run)| Cell::Count(run.lost)),
                ("unequal", "unequal", &|(_, run)| Cell::Count(run.unequal)),
                ("met", "target", &|(_, run)| Cell::Met(run.met())),
            ],
        );
        let bar = |(number, run): (u64, &Run)| Bar {
            label: format!("run {number}"),
            value: run.whole.unwrap_or(limit(run.stabilize)).as_secs_f64(),
            shown: run.whole.map_or("never".to_owned(), |took| format!("{took:.1?}")),
        };
        Report {
            experiment: ABOUT.name,
            seed: self.seed,
            setting: format!(
                "{} rings of {} hosts, {} files of {COPIES} copies on each, cut into halves for {} s",
                runs.len(),
                self.hosts,
                self.hosts * FILES_PER_HOST,
                CUT.as_secs()
            ),
            tables: vec![table],
            targets: targets(runs),
            plots: vec![Plot::Bars(Bars {
                title: "from the heal until there was one ring again".to_owned(),
                bars: numbered.into_iter().map(bar).collect(),
            })],
            cost: Cost {
                trace: Trace::of(runs.iter().map(|run| run.trace)).to_string(),
                events: runs.iter().map(|run| run.events).sum(),
                nodes: runs.len() as u64 * self.hosts,
            },
        }
    }
}

/// Time limit for one ring: long enough to distinguish late from never.
fn limit(stabilize: Duration) -> Duration {
    stabilize * ROUND * (4.0 * MOST_ROUNDS) as u32
}

/// Whether every name is held, in its newest version or a newer one, by all hosts that
/// should hold it.
fn agree(world: &World, newest: &BTreeMap<FileName, Version>) -> bool {
    let ring: Vec<Peer> = world.nodes().map(Node::peer).collect();
    newest.iter().all(|(name, version)| {
        let wanted = placement(world.space(), name.key(world.space()), &ring, COPIES);
        let holders = files::holders(world, name, *version);
        let held =
            |peer: &Peer| host_at(peer.address()).is_some_and(|host| holders.contains(&host));
        wanted.iter().all(held)
    })
}

fn targets(runs: &[Run]) -> Vec<Target> {
    let slowest = runs.iter().try_fold(0.0, |most: f64, run| Some(most.max(run.rounds()?)));
    let lost: u64 = runs.iter().map(|run| run.lost).sum();
    let unequal: u64 = runs.iter().map(|run| run.unequal).sum();
    let apart = runs.iter().filter(|run| run.agreed.is_none()).count();
    let idle = runs.iter().filter(|run| run.halves.is_none() || run.written.0 < run.written.1);
    let idle = idle.count();
    vec![
        Target::new(
            "both halves become a ring and serve every write",
            format!("{idle} of {} runs did not", runs.len()),
            idle == 0,
        ),
        Target::new(
            format!("one ring within {MOST_ROUNDS} rounds of probing after the heal"),
            slowest.map_or("never".to_owned(), |rounds| format!("{rounds:.2} at the most")),
            slowest.is_some_and(|rounds| rounds <= MOST_ROUNDS),
        ),
        Target::new(
            "every name reads the same from both sides, and all its copies agree",
            format!("{unequal} names differ, in {apart} runs copies do"),
            unequal == 0 && apart == 0,
        ),
        Target::new("no acknowledged file is lost", format!("{lost} lost"), lost == 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_halves_serve_apart_and_become_one_ring_that_lost_nothing() {
        let report = Partition { hosts: 24, seed: 1, runs: 2 }.run(&|_, _| {});
        assert_eq!(report.tables[0].rows.len(), 2);
        assert_eq!(report.missed().count(), 0, "{report:#?}");
    }

    #[test]
    fn a_ring_that_stays_in_two_and_a_lost_file_miss_their_targets() {
        let run = Run {
            halves: Some(Duration::from_secs(9)),
            served: (87, 100),
            written: (10, 10),
            conflicts: 1,
            whole: None,
            at_once: 90,
            agreed: Some(Duration::ZERO),
            names: 100,
            lost: 1,
            unequal: 0,
            stabilize: Duration::from_secs(1),
            events: 0,
            trace: Trace::new().hash(),
        };
        let met: Vec<bool> = targets(&[run]).iter().map(|target| target.met).collect();
        assert_eq!(met, [true, false, true, false]);
    }
}
