//! `churn`: lookups while nodes join and crash (paper, VI-E).
//!
//! Joins, departures and lookups are three Poisson processes. Departing nodes crash, which
//! is harder on the others than the paper's voluntary leaves. A node stabilizes every 15 to
//! 45 s, so at the highest rate a dozen nodes join and a dozen die in the time in which a
//! node checks its successor once.
//!
//! A lookup counts as failed if it returned a node that is not the owner of the key (the
//! first live member at or after it) at the moment of its return, or if it returned
//! nothing. Lookups of nodes that died before their answer came do not count.

use std::time::Duration;

use crate::plot::{Chart, Curve, Plot, Scale};
use crate::trace::{Trace, TraceHash};
use crate::{Chance, Latency, Setup, World};

use super::lookups::{self, Judged};
use super::paper;
use super::report::{About, Cell, Cost, Report, Table, Target};
use super::workers::{self, Progress, Steps, part_seed};

use chordal_core::time::Time;

/// The texts for users.
pub(super) const ABOUT: About = About {
    name: "churn",
    summary: "lookups while nodes come and go",
    details: "\
A ring of about 1000 nodes on which R nodes a second join and R a second crash (two Poisson \
processes), with lists of 20 successors and 15 to 45 s between two stabilizations of a node. Once \
a second, on average, a random node looks a random key up; 10 000 lookups for each R, after a \
warm-up of 10 minutes. A lookup has failed when it comes back with a node that is not the first \
live member at or after the key at that moment, or with nothing; lookups of nodes that die before \
their answer comes do not count. The path counts the contacts that answered, timeouts those that \
did not.
Target: at most 15 failed of 10 000 at R = 0.40, at most 1 at 0.05, the paper's numbers.
Source: Chord (Stoica et al., IEEE/ACM ToN 2003), section on lookups during stabilization; the \
paper's nodes leave, these crash. Rings: the same experiment by another implementation in Rust.",
    nodes_are: "nodes, on average",
    // Nodes without `--nodes`, as in the paper.
    nodes: 1_000,
    // On a smaller ring each node has more churn than it can live with; a larger one takes too
    // long.
    limits: 200..=10_000,
};

/// Length of each successor list, as in the paper.
const SUCCESSORS: usize = 20;

/// Mean time between two stabilizations of a node; the core draws from half to
/// one and a half of it, which is the paper's 15 to 45 s.
const STABILIZE: Duration = Duration::from_secs(30);

/// Lookups per second.
const LOOKUP_RATE: f64 = 1.0;

/// Number of lookups for each rate.
const LOOKUPS: u64 = 10_000;

/// Time before lookups count, so that the tables have reached their usual age: 20
/// stabilizations.
const WARM_UP: Duration = Duration::from_secs(600);

/// Time after the last lookup begins, so that every lookup ends.
const LINGER: Duration = Duration::from_secs(120);

/// Maximum of failed lookups per 10 000, by rate in percent.
const MOST: [(u32, u64); 2] = [(5, 1), (40, 15)];

/// Lookups under churn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Churn {
    nodes: u64,
    seed: u64,
    lookups: u64,
}

/// The result of one rate.
struct Row {
    published: paper::Churned,
    judged: Judged,
    nodes: u64,
    joined: u64,
    crashed: u64,
    events: u64,
    trace: TraceHash,
}

/// The kinds of event.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Join,
    Crash,
    Lookup,
}

/// Three Poisson processes.
struct Plan {
    chance: Chance,
    at: [(Time, Next); 3],
    rate: f64,
}

impl Plan {
    fn new(seed: u64, rate: f64, lookups_from: Time) -> Plan {
        let chance = Chance::new(seed);
        let at =
            [(Time::ZERO, Next::Join), (Time::ZERO, Next::Crash), (lookups_from, Next::Lookup)];
        let mut plan = Plan { chance, at, rate };
        (0..plan.at.len()).for_each(|slot| plan.postpone(slot));
        plan
    }

    fn postpone(&mut self, slot: usize) {
        let (at, next) = self.at[slot];
        let rate = if next == Next::Lookup { LOOKUP_RATE } else { self.rate };
        let wait = self.chance.until_next(rate).unwrap_or(Duration::MAX);
        self.at[slot].0 = at + wait;
    }

    /// The next event and its time.
    fn next(&mut self) -> (Time, Next) {
        let slot = (0..self.at.len()).min_by_key(|slot| self.at[*slot]).unwrap_or(0);
        let next = self.at[slot];
        self.postpone(slot);
        next
    }
}

impl Churn {
    /// An experiment on a ring of about this many nodes.
    pub(super) const fn new(nodes: u64, seed: u64) -> Churn {
        Churn { nodes, seed, lookups: LOOKUPS }
    }

    /// Runs the experiment.
    pub(super) fn run(&self, progress: Progress<'_>) -> Report {
        let steps = Steps::new(paper::CHURN.len() as u64 * self.lookups, progress);
        let rows = workers::each(&paper::CHURN, |&published| self.row(published, &steps));
        self.report(&rows)
    }

    /// A settled ring.
    fn world(&self, seed: u64) -> World {
        let setup = Setup {
            seed,
            hosts: self.nodes as u32,
            successors: SUCCESSORS,
            stabilize: STABILIZE,
            latency: Latency::Constant { delay: Duration::from_millis(50) },
            refuse: false,
            ..Setup::default()
        };
        World::settled(&setup, &mut |_, _| {})
    }

    fn row(&self, published: paper::Churned, steps: &Steps<'_>) -> Row {
        let seed = part_seed(self.seed, &[u64::from(published.percent)]);
        let mut world = self.world(seed);
        let rate = f64::from(published.percent) / 100.0;
        let mut plan = Plan::new(seed, rate, Time::ZERO + WARM_UP);
        let mut judged = Judged::default();
        let (mut begun, mut joined, mut crashed) = (0, 0, 0);
        while begun < self.lookups {
            let (at, next) = plan.next();
            world.run_until(at);
            match next {
                Next::Join => {
                    world.join();
                    joined += 1;
                }
                Next::Crash => {
                    if let Some(host) = world.some_host() {
                        world.crash(host);
                        crashed += 1;
                    }
                }
                Next::Lookup => {
                    lookups::begin(&mut world);
                    begun += 1;
                    steps.add(1);
                }
            }
            world.ended().iter().for_each(|(_, ended)| judged.count(ended));
        }
        world.run(LINGER);
        world.ended().iter().for_each(|(_, ended)| judged.count(ended));
        Row {
            published,
            judged,
            nodes: world.size() as u64,
            joined,
            crashed,
            events: world.events(),
            trace: world.trace(),
        }
    }

    fn report(&self, rows: &[Row]) -> Report {
        let rate = |row: &Row| f64::from(row.published.percent) / 100.0;
        let failed = |row: &Row| row.judged.failed_per(LOOKUPS);
        let most = |row: &Row| {
            MOST.iter()
                .find(|(percent, _)| *percent == row.published.percent)
                .map(|(_, most)| *most)
        };
        let met = |row: &Row, most: u64| row.judged.counted() > 0 && failed(row) <= most as f64;
        let table = Table::of(
            "churn",
            rows,
            &[
                ("rate", "R per s", &|row| Cell::two(rate(row))),
                ("path", "path", &|row| Cell::two(row.judged.path.mean())),
                ("timeouts", "timeouts", &|row| Cell::two(row.judged.timeouts.mean())),
                ("lookups", "lookups", &|row| Cell::Count(row.judged.counted())),
                ("wrong", "wrong", &|row| Cell::Count(row.judged.wrong)),
                ("unanswered", "no answer", &|row| Cell::Count(row.judged.unanswered)),
                ("failed_per_10000", "failed of 10⁴", &|row| Cell::Number(failed(row), 1)),
                ("failed_paper", "paper", &|row| Cell::Count(row.published.paper.into())),
                ("failed_rings", "Rings", &|row| Cell::Count(row.published.rings.into())),
                ("joined", "joined", &|row| Cell::Count(row.joined)),
                ("crashed", "crashed", &|row| Cell::Count(row.crashed)),
                ("nodes_at_end", "nodes at end", &|row| Cell::Count(row.nodes)),
                ("met", "target", &|row| Cell::of(most(row), |most| Cell::Met(met(row, most)))),
            ],
        );
        let target = |row: &Row| {
            let (most, rate) = (most(row)?, rate(row));
            Some(Target::new(
                format!("at most {most} failed of 10 000 lookups at R = {rate:.2}"),
                format!("{} of {} failed", row.judged.failed(), row.judged.counted()),
                met(row, most),
            ))
        };
        let curve = |name, up: &dyn Fn(&Row) -> f64| Curve::over(rows, name, false, rate, up);
        Report {
            experiment: ABOUT.name,
            seed: self.seed,
            setting: format!(
                "about {} nodes, r = {SUCCESSORS}, 15 to 45 s between stabilizations, {} lookups \
                 for each R; nodes crash without a word",
                self.nodes, self.lookups
            ),
            tables: vec![table],
            targets: rows.iter().filter_map(target).collect(),
            plots: vec![Plot::Chart(Chart {
                title: "failed lookups of 10 000".to_owned(),
                across: "joins, and as many crashes, a second".to_owned(),
                scale: Scale::Linear,
                from_zero: true,
                curves: vec![
                    curve("ours", &failed),
                    curve("paper", &|row| f64::from(row.published.paper)),
                    curve("Rings", &|row| f64::from(row.published.rings)),
                ],
            })],
            cost: Cost {
                trace: Trace::of(rows.iter().map(|row| row.trace)).to_string(),
                events: rows.iter().map(|row| row.events).sum(),
                nodes: rows.iter().map(|row| self.nodes + row.joined).sum(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lookups_find_their_owner_while_nodes_come_and_go() {
        let churn = Churn { nodes: 250, seed: 1, lookups: 250 };
        let steps = Steps::new(0, &|_, _| {});
        // As many changes for each node as the paper's ring has at 0.40.
        let row = churn.row(paper::Churned { percent: 10, paper: 0, rings: 0 }, &steps);
        assert!(row.joined > 50 && row.crashed > 50, "there is churn");
        assert!(row.judged.counted() >= 245, "{:?}", row.judged);
        assert!(row.judged.failed() <= 1, "{:?}", row.judged);
        assert!(row.judged.timeouts.max() > 0, "the dead are met");
    }

    #[test]
    fn a_target_is_missed_when_too_many_lookups_fail() {
        let churn = Churn { nodes: 250, seed: 1, lookups: 100 };
        let mut judged = Judged::default();
        (0..9_990).for_each(|_| judged.path.add(3));
        judged.wrong = 2;
        let row = |percent: u32, judged: Judged| Row {
            published: paper::Churned { percent, paper: 0, rings: 0 },
            judged,
            nodes: 250,
            joined: 0,
            crashed: 0,
            events: 0,
            trace: Trace::new().hash(),
        };
        let report = churn.report(&[row(5, judged.clone()), row(40, judged)]);
        let met: Vec<bool> = report.targets.iter().map(|target| target.met).collect();
        assert_eq!(met, [false, true], "2 are too many of 10 000 at 0.05, and few at 0.40");
    }
}
