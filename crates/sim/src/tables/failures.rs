//! `failures`: lookups after a share of all nodes failed at once (paper, VI-D).
//!
//! The dead nodes are silent, and nothing is repaired, neither by timers nor because a
//! neighbour is silent. So the lookups use the tables as they were, with up to half of
//! their entries dead.

use std::time::Duration;

use crate::plot::{Chart, Curve, Plot, Scale};
use crate::trace::{Trace, TraceHash};
use crate::{HostId, Latency, Setup, World};

use super::lookups::{self, Judged};
use super::paper;
use super::report::{About, Cell, Cost, Report, Table, Target};
use super::workers::{self, Progress, Steps, part_seed};

/// The texts for users.
pub(super) const ABOUT: About = About {
    name: "failures",
    summary: "lookups after up to half of all nodes failed at once",
    details: "\
Takes a settled ring with lists of 20 successors, lets 0 to 50 % of its nodes fail at the same \
moment, and looks 10 000 random keys up from those that live. Nothing is repaired meanwhile. The \
path counts the contacts that answered, timeouts those that did not. A lookup has failed when it \
ends with another node than the first live one at or after the key, or with none.
Target: no lookup fails.
Source: Chord (Stoica et al., IEEE/ACM ToN 2003), section on simultaneous node failures; \
N = 1000, r = 20.",
    nodes_are: "nodes before the failure",
    // Nodes without `--nodes`, as in the paper.
    nodes: 1_000,
    // With fewer nodes, lists of 20 contain every node.
    limits: 100..=100_000,
};

/// Length of each successor list, as in the paper.
const SUCCESSORS: usize = 20;

/// Lookups for each share, as in the paper.
const LOOKUPS: u64 = 10_000;

/// Lookups after many failures at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failures {
    nodes: u64,
    seed: u64,
    lookups: u64,
}

/// The result of one share.
struct Row {
    paper: paper::Failed,
    judged: Judged,
    events: u64,
    trace: TraceHash,
}

impl Failures {
    /// An experiment on a ring of this many nodes.
    pub(super) const fn new(nodes: u64, seed: u64) -> Failures {
        Failures { nodes, seed, lookups: LOOKUPS }
    }

    /// Runs the experiment.
    pub(super) fn run(&self, progress: Progress<'_>) -> Report {
        let parts = paper::FAILURES.len() as u64;
        let steps = Steps::new(parts * (self.nodes + self.lookups), progress);
        let rows = workers::each(&paper::FAILURES, |&paper| self.row(paper, &steps));
        self.report(&rows)
    }

    fn row(&self, paper: paper::Failed, steps: &Steps<'_>) -> Row {
        let setup = Setup {
            seed: part_seed(self.seed, &[u64::from(paper.percent)]),
            hosts: self.nodes as u32,
            successors: SUCCESSORS,
            latency: Latency::Constant { delay: Duration::from_millis(50) },
            // A refused connection would tell the asker more than silence does.
            refuse: false,
            ..Setup::default()
        };
        let mut world = World::settled(&setup, &mut |_, _| {});
        steps.add(self.nodes);
        world.quiet();
        let living: Vec<HostId> = world.hosts().collect();
        let count = self.nodes as usize * paper.percent as usize / 100;
        for host in world.chance().some_of(&living, count) {
            world.crash(host);
        }
        let judged = lookups::at_rest(&mut world, self.lookups, steps);
        Row { paper, judged, events: world.events(), trace: world.trace() }
    }

    fn report(&self, rows: &[Row]) -> Report {
        let table = Table::of(
            "failures",
            rows,
            &[
                ("failed_nodes", "failed", &|row| {
                    Cell::Share(f64::from(row.paper.percent) / 100.0, 0)
                }),
                ("path", "path", &|row| Cell::two(row.judged.path.mean())),
                ("path_paper", "paper", &|row| Cell::two(row.paper.path)),
                ("timeouts", "timeouts", &|row| Cell::two(row.judged.timeouts.mean())),
                ("timeouts_paper", "paper", &|row| Cell::two(row.paper.timeouts)),
                ("failed_lookups", "failed lookups", &|row| Cell::Count(row.judged.failed())),
                ("failed_lookups_paper", "paper", &|_| Cell::Count(0)),
                ("met", "target", &|row| Cell::Met(row.judged.failed() == 0)),
            ],
        );
        let target = |row: &Row| {
            Target::new(
                format!("no failed lookup with {} % of the nodes failed", row.paper.percent),
                format!("{} of {} failed", row.judged.failed(), row.judged.counted()),
                row.judged.failed() == 0 && row.judged.counted() == self.lookups,
            )
        };
        let across = |row: &Row| f64::from(row.paper.percent);
        let curve =
            |name, joined, up: &dyn Fn(&Row) -> f64| Curve::over(rows, name, joined, across, up);
        Report {
            experiment: ABOUT.name,
            seed: self.seed,
            setting: format!(
                "{} nodes, r = {SUCCESSORS}, {} lookups for each share, no repair; the paper has \
                 1000 nodes",
                self.nodes, self.lookups
            ),
            tables: vec![table],
            targets: rows.iter().map(target).collect(),
            plots: vec![Plot::Chart(Chart {
                title: "contacts that answered, and timeouts, of a lookup".to_owned(),
                across: "nodes that failed, in percent".to_owned(),
                scale: Scale::Linear,
                from_zero: true,
                curves: vec![
                    curve("paper", true, &|row| row.paper.path),
                    curve("", true, &|row| row.paper.timeouts),
                    curve("path", false, &|row| row.judged.path.mean()),
                    curve("timeouts", false, &|row| row.judged.timeouts.mean()),
                ],
            })],
            cost: Cost {
                trace: Trace::of(rows.iter().map(|row| row.trace)).to_string(),
                events: rows.iter().map(|row| row.events).sum(),
                nodes: rows.len() as u64 * self.nodes,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_all_nodes_may_fail_at_once_and_every_lookup_finds_its_owner() {
        let report = Failures { nodes: 300, seed: 1, lookups: 1_000 }.run(&|_, _| {});
        assert_eq!(report.targets.len(), 6);
        assert_eq!(report.missed().count(), 0, "{:#?}", report.targets);
        let timeouts = |row: usize| match report.tables[0].rows[row][3] {
            Cell::Number(value, _) => value,
            ref other => panic!("{other:?}"),
        };
        assert!(timeouts(0) == 0.0 && timeouts(5) > 1.0, "the dead are met: {report:#?}");
    }
}
