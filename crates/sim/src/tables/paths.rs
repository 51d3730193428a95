//! `paths`: contacts of a lookup by the number of nodes (paper, VI-C).
//!
//! Rings are built settled and nothing changes on them. Each size is measured with lists of
//! one successor, with which the paper's simulation routes, and with lists of 2·log₂N,
//! which save ½·log₂r contacts because any node of them may be the next.

use std::time::Duration;

use crate::plot::{Bar, Bars, Chart, Curve, Plot, Scale};
use crate::trace::{Trace, TraceHash};
use crate::{Latency, Setup, World};

use super::lookups::{self, Judged};
use super::paper;
use super::report::{About, Cell, Cost, Report, Table, Target};
use super::stats::log2;
use super::workers::{self, Progress, Steps, part_seed};

/// The texts for users.
pub(super) const ABOUT: About = About {
    name: "paths",
    summary: "contacts of a lookup against the number of nodes",
    details: "\
Builds settled rings of 128, 256, … nodes up to N (and one of 10 000), looks random keys up from \
random nodes, and counts the nodes that each lookup asks, the owner included. Once with lists of \
one successor (r = 1), once with r = 2·log₂N. Expected: ½·log₂N − ½·log₂r + 1; with r = 1 a static \
ring measures 0.15 less. The second table and the bars are the distribution on one ring.
Target: with r = 2·log₂N within 0.1 of the formula at 1 024, 4 096 and 10 000 nodes; with r = 1 \
within 0.1 of what static rings measure.
Source: Chord (Stoica et al., IEEE/ACM ToN 2003), section on path length. Memory: a million nodes \
take about 11 GiB.",
    nodes_are: "nodes of the largest ring",
    nodes: 1 << 14,
    // Below the smallest size there is nothing to compare; above the largest, the memory of a
    // machine is too small.
    limits: SMALLEST..=1 << 20,
};

/// The smallest ring.
const SMALLEST: u64 = 1 << 7;

/// A size that is not a power of two, for which others publish results.
const ROUND: u64 = 10_000;

/// Sizes with a target.
const JUDGED: [u64; 3] = [1 << 10, 1 << 12, ROUND];

/// Maximum distance from the expected mean.
const TOLERANCE: f64 = 0.1;

/// Lookups on each ring; the standard error of the mean is then about 0.012.
const LOOKUPS: u64 = 20_000;

/// The size whose distribution is shown, as in the paper.
const DISTRIBUTION: u64 = 1 << 12;

/// The experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paths {
    /// Nodes of the largest ring.
    nodes: u64,
    seed: u64,
    /// Lookups on each ring.
    lookups: u64,
}

/// The result of one ring.
struct Ring {
    nodes: u64,
    successors: u64,
    judged: Judged,
    events: u64,
    trace: TraceHash,
}

impl Paths {
    /// An experiment on rings of up to this many nodes.
    pub(super) const fn new(nodes: u64, seed: u64) -> Paths {
        Paths { nodes, seed, lookups: LOOKUPS }
    }

    /// Runs the experiment.
    pub(super) fn run(&self, progress: Progress<'_>) -> Report {
        let sizes = self.sizes();
        let cost = |nodes: &u64| 2 * (nodes + self.lookups);
        let steps = Steps::new(sizes.iter().map(cost).sum(), progress);
        // One size is one part, so that no two of the largest rings are in memory at once.
        let rings = workers::each(&sizes, |&nodes| {
            let longer = (2.0 * log2(nodes)).round() as u64;
            [1, longer].map(|successors| self.ring(nodes, successors, &steps))
        });
        self.report(&rings)
    }

    fn sizes(&self) -> Vec<u64> {
        let powers = (SMALLEST.ilog2()..).map(|power| 1u64 << power);
        let mut sizes: Vec<u64> = powers.take_while(|size| *size <= self.nodes).collect();
        sizes.extend([ROUND, self.nodes].into_iter().filter(|size| *size <= self.nodes));
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    fn ring(&self, nodes: u64, successors: u64, steps: &Steps<'_>) -> Ring {
        let setup = Setup {
            seed: part_seed(self.seed, &[nodes, successors]),
            hosts: nodes as u32,
            successors: successors as usize,
            latency: Latency::Constant { delay: Duration::from_millis(50) },
            ..Setup::default()
        };
        let mut built = 0;
        let mut world = World::settled(&setup, &mut |done, _| {
            steps.add(done - built);
            built = done;
        });
        world.quiet();
        let judged = lookups::at_rest(&mut world, self.lookups, steps);
        let (events, trace) = (world.events(), world.trace());
        Ring { nodes, successors, judged, events, trace }
    }

    fn report(&self, rings: &[[Ring; 2]]) -> Report {
        let all = rings.as_flattened();
        let published = |ring: &Ring| {
            let row = paper::PATHS.iter().find(|(nodes, _)| *nodes == ring.nodes)?;
            Some(row.1[usize::from(ring.successors > 1)])
        };
        let judged = |ring: &Ring| {
            let expected = match ring.successors {
                1 => published(ring)?.0,
                r => paper::path(ring.nodes, r),
            };
            JUDGED.contains(&ring.nodes).then_some(expected)
        };
        let met = |ring: &Ring, expected: f64| {
            (mean(ring) - expected).abs() <= TOLERANCE && ring.judged.failed() == 0
        };
        let target = |ring: &Ring| {
            let expected = judged(ring)?;
            let (nodes, r) = (ring.nodes, ring.successors);
            let what = if r == 1 { "static rings' mean" } else { "formula" };
            let mean = mean(ring);
            Some(Target::new(
                format!(
                    "mean within {TOLERANCE} of the {what} {expected:.2} at {nodes} nodes, r = {r}"
                ),
                match ring.judged.failed() {
                    0 => format!("{mean:.2}"),
                    failed => format!("{mean:.2}, and {failed} lookups failed"),
                },
                met(ring, expected),
            ))
        };
        let main = Table::of(
            "paths",
            all,
            &[
                ("nodes", "nodes", &|ring| Cell::Count(ring.nodes)),
                ("successors", "r", &|ring| Cell::Count(ring.successors)),
                ("mean", "mean", &|ring| Cell::two(mean(ring))),
                ("p1", "p1", &|ring| Cell::Count(ring.judged.path.percentile(1))),
                ("p99", "p99", &|ring| Cell::Count(ring.judged.path.percentile(99))),
                ("formula", "formula", &|ring| Cell::two(formula(ring))),
                ("off", "off by", &|ring| Cell::two(mean(ring) - formula(ring))),
                ("mean_published", "published", &|ring| {
                    Cell::of(published(ring), |(mean, _)| Cell::two(mean))
                }),
                ("p99_published", "p99", &|ring| {
                    Cell::of(published(ring), |(_, p99)| Cell::Count(p99))
                }),
                ("met", "target", &|ring| {
                    Cell::of(judged(ring), |expected| Cell::Met(met(ring, expected)))
                }),
            ],
        );
        let mut plots = vec![chart(rings)];
        let mut tables = vec![main];
        let chosen = rings.iter().rev().find(|pair| pair[0].nodes <= DISTRIBUTION);
        if let Some(pair) = chosen {
            tables.push(distribution(pair));
            plots.push(bars(&pair[0]));
        }
        Report {
            experiment: ABOUT.name,
            seed: self.seed,
            setting: format!(
                "{} lookups of random keys on each settled ring; contacts include the owner",
                self.lookups
            ),
            targets: all.iter().filter_map(target).collect(),
            tables,
            plots,
            cost: Cost {
                trace: Trace::of(all.iter().map(|ring| ring.trace)).to_string(),
                events: all.iter().map(|ring| ring.events).sum(),
                nodes: all.iter().map(|ring| ring.nodes).sum(),
            },
        }
    }
}

/// Mean contacts of the lookups on a ring.
fn mean(ring: &Ring) -> f64 {
    ring.judged.path.mean()
}

/// The expected mean.
fn formula(ring: &Ring) -> f64 {
    paper::path(ring.nodes, ring.successors)
}

/// Means by the number of nodes, with the formula.
fn chart(rings: &[[Ring; 2]]) -> Plot {
    let nodes = |ring: &Ring| ring.nodes as f64;
    let of = |at: usize| rings.iter().map(move |pair| &pair[at]);
    let ours = |at, name| Curve::over(of(at), name, false, nodes, mean);
    let formula = |at, name| Curve::over(of(at), name, true, nodes, formula);
    Plot::Chart(Chart {
        title: "mean contacts of a lookup".to_owned(),
        across: "nodes (logarithmic)".to_owned(),
        scale: Scale::Log,
        from_zero: false,
        curves: vec![
            formula(0, "formula, both"),
            formula(1, ""),
            ours(0, "r = 1"),
            ours(1, "r = 2·log₂N"),
        ],
    })
}

/// The share of each number of contacts, for both lengths of lists.
fn distribution(pair: &[Ring; 2]) -> Table {
    let longest = pair.iter().map(|ring| ring.judged.path.max()).max().unwrap_or(0);
    let share = |ring: &Ring, contacts| Cell::Share(ring.judged.path.share(contacts), 1);
    let rows: Vec<usize> = (0..=longest).collect();
    Table::of(
        "distribution",
        &rows,
        &[
            ("nodes", "nodes", &|_| Cell::Count(pair[0].nodes)),
            ("contacts", "contacts", &|contacts| Cell::Count(*contacts as u64)),
            ("share_r1", "r = 1", &|contacts| share(&pair[0], *contacts)),
            ("share_list", "r = 2·log₂N", &|contacts| share(&pair[1], *contacts)),
        ],
    )
}

fn bars(ring: &Ring) -> Plot {
    let path = &ring.judged.path;
    let bar = |contacts: usize| Bar {
        label: contacts.to_string(),
        value: path.share(contacts),
        shown: format!("{:.1} %", path.share(contacts) * 100.0),
    };
    Plot::Bars(Bars {
        title: format!("contacts of a lookup, {} nodes, r = 1", ring.nodes),
        bars: (0..=path.max()).map(bar).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lookup_takes_half_log_n_contacts_and_a_list_saves_half_log_r() {
        let report = Paths { nodes: 1_024, seed: 1, lookups: 2_500 }.run(&|_, _| {});
        assert_eq!(report.targets.len(), 2, "1 024 nodes, with and without lists");
        assert_eq!(report.missed().count(), 0, "{:#?}", report.targets);
        assert_eq!(report.tables[0].rows.len(), 8, "128 to 1 024 nodes");
        let shares: f64 = report.tables[1]
            .rows
            .iter()
            .map(|row| match row[3] {
                Cell::Share(share, _) => share,
                ref other => panic!("{other:?}"),
            })
            .sum();
        assert!((shares - 1.0).abs() < 1e-9, "a distribution: {shares}");
    }

    #[test]
    fn the_sizes_are_powers_of_two_ten_thousand_and_what_was_asked_for() {
        let sizes = |nodes| Paths::new(nodes, 1).sizes();
        assert_eq!(sizes(128), [128]);
        assert_eq!(sizes(300), [128, 256, 300]);
        assert_eq!(sizes(1 << 14)[5..], [4_096, 8_192, 10_000, 16_384]);
    }
}
