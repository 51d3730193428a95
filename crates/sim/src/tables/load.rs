//! `load`: how evenly keys are distributed over hosts, and the effect of virtual nodes (paper, VI-B).
//!
//! A host with v virtual nodes has v positions, those of its address with the indices 0 to
//! v − 1, and owns the keys of all of them. No message is sent on this ring.

use std::hash::Hasher;
use std::net::SocketAddr;

use crate::Chance;
use crate::plot::{Chart, Curve, Plot, Scale};
use crate::trace::Trace;

use super::paper;
use super::report::{About, Cell, Cost, Report, Table, Target};
use super::stats::Tally;
use super::workers::{self, Progress, Steps};

use chordal_core::id::{Id, Space};
use chordal_core::peer::Peer;

/// The texts for users.
pub(super) const ABOUT: About = About {
    name: "load",
    summary: "how evenly keys fall on hosts with 1 to 20 virtual nodes",
    details: "\
Counts the keys of each host, of 100 keys to a host, when each host has 1, 2, 5, 10 or 20 places \
on the ring (virtual nodes), and gives the 1st and the 99th percentile of the hosts as a multiple \
of the mean. With one place the fullest 1 % of hosts have about 4.6 times their share; with 20, \
1.65 times.
Target: p99 at most 1.7 × mean with 20 virtual nodes.
Source: Chord (Stoica et al., IEEE/ACM ToN 2003), section on load balance.",
    nodes_are: "hosts",
    // Hosts without `--nodes`, as in the paper.
    nodes: 10_000,
    // With fewer hosts the 99th percentile is only a few hosts, and random; more, with 20
    // positions each, take too long.
    limits: 1_000..=100_000,
};

/// Keys to each host, as in the paper (10⁶ keys on 10⁴ hosts).
const KEYS_PER_HOST: u64 = 100;

/// With this many virtual nodes the fullest hosts must not have more than
/// [`MOST_AT_TARGET`] times the mean.
const VNODES_OF_TARGET: u16 = 20;

/// Maximum of the 99th percentile of hosts, as a multiple of the mean.
const MOST_AT_TARGET: f64 = 1.7;

/// Wide enough that no two positions have the same identifier.
const BITS: u8 = 128;

/// The experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Load {
    /// Number of hosts.
    pub hosts: u64,
    /// The seed of their addresses and of the keys.
    pub seed: u64,
}

/// The result of one number of virtual nodes.
struct Row {
    vnodes: u16,
    published: f64,
    keys: Tally,
    hash: u64,
}

impl Load {
    /// Runs the experiment.
    pub(super) fn run(&self, progress: Progress<'_>) -> Report {
        let steps = Steps::new(paper::LOAD.len() as u64 * self.hosts * KEYS_PER_HOST, progress);
        let rows = workers::each(&paper::LOAD, |&(vnodes, published)| {
            let keys = self.row(vnodes, &steps);
            let mut trace = Trace::new();
            for value in 0..=keys.max() {
                trace.write_u64((keys.share(value) * self.hosts as f64).round() as u64);
            }
            Row { vnodes, published, keys, hash: trace.finish() }
        });
        self.report(&rows)
    }

    /// Counts the keys of each host.
    fn row(&self, vnodes: u16, steps: &Steps<'_>) -> Tally {
        let Some(space) = Space::new(BITS) else { return Tally::default() };
        let mut chance = Chance::new(self.seed);
        let mut places: Vec<(Id, u32)> = Vec::new();
        for host in 0..self.hosts as u32 {
            let address = address(host, &mut chance);
            let place = |index| (Peer::new(address, index).id(space), host);
            places.extend((0..vnodes).map(place));
        }
        places.sort_unstable();

        let mut keys = vec![0usize; self.hosts as usize];
        for _ in 0..self.hosts {
            for _ in 0..KEYS_PER_HOST {
                let key = space.id(chance.wide());
                let owner = places.partition_point(|(place, _)| *place < key) % places.len();
                keys[places[owner].1 as usize] += 1;
            }
            steps.add(KEYS_PER_HOST);
        }
        let mut tally = Tally::default();
        keys.into_iter().for_each(|count| tally.add(count));
        tally
    }

    fn report(&self, rows: &[Row]) -> Report {
        let times = |row: &Row, percent| row.keys.percentile(percent) as f64 / row.keys.mean();
        let table = Table::of(
            "load",
            rows,
            &[
                ("vnodes", "virtual nodes", &|row| Cell::Count(row.vnodes.into())),
                ("mean", "mean keys", &|row| Cell::Number(row.keys.mean(), 1)),
                ("p1", "p1", &|row| Cell::Count(row.keys.percentile(1))),
                ("p99", "p99", &|row| Cell::Count(row.keys.percentile(99))),
                ("p1_times", "p1 × mean", &|row| Cell::two(times(row, 1))),
                ("p99_times", "p99 × mean", &|row| Cell::two(times(row, 99))),
                ("p99_times_paper", "published", &|row| Cell::two(row.published)),
            ],
        );
        let target = |row: &Row| {
            let most = times(row, 99);
            Target::new(
                format!("p99 at most {MOST_AT_TARGET} × mean with {} virtual nodes", row.vnodes),
                format!("{most:.2} × mean"),
                most <= MOST_AT_TARGET,
            )
        };
        let across = |row: &Row| f64::from(row.vnodes);
        let curve =
            |name, joined, up: &dyn Fn(&Row) -> f64| Curve::over(rows, name, joined, across, up);
        Report {
            experiment: "load",
            seed: self.seed,
            setting: format!(
                "{} keys on {} hosts, each with v places on the ring",
                self.hosts * KEYS_PER_HOST,
                self.hosts
            ),
            targets: rows.iter().filter(|row| row.vnodes == VNODES_OF_TARGET).map(target).collect(),
            plots: vec![Plot::Chart(Chart {
                title: "keys of a host, as a multiple of the mean".to_owned(),
                across: "virtual nodes of each host".to_owned(),
                scale: Scale::Linear,
                from_zero: true,
                curves: vec![
                    curve("p99", false, &|row| times(row, 99)),
                    curve("p99, published", false, &|row| row.published),
                    curve("p1", false, &|row| times(row, 1)),
                    curve("mean", true, &|_| 1.0),
                ],
            })],
            tables: vec![table],
            cost: Cost {
                trace: Trace::of(rows.iter().map(|row| row.hash)).to_string(),
                events: 0,
                nodes: rows.iter().map(|row| u64::from(row.vnodes) * self.hosts).sum(),
            },
        }
    }
}

/// The address of a host; all are different.
fn address(host: u32, chance: &mut Chance) -> SocketAddr {
    let [_, a, b, c] = host.to_be_bytes();
    ([10, a, b, c], chance.within(1024..=u64::from(u16::MAX)) as u16).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_virtual_nodes_keep_the_fullest_hosts_below_twice_the_mean() {
        let report = Load { hosts: 1_000, seed: 1 }.run(&|_, _| {});
        assert_eq!(report.targets.len(), 1);
        assert_eq!(report.missed().count(), 0, "{report:#?}");
        let p99 = |row: usize| match report.tables[0].rows[row][5] {
            Cell::Number(value, _) => value,
            ref other => panic!("{other:?}"),
        };
        let falls = (1..5).all(|row| p99(row) < p99(row - 1));
        assert!(falls, "more places, less uneven: {report:#?}");
        assert!(p99(0) > 3.5, "one place each is uneven: {}", p99(0));
    }

    #[test]
    fn every_key_has_a_host_and_the_owner_is_the_one_of_the_core() {
        let load = Load { hosts: 50, seed: 3 };
        let steps = Steps::new(0, &|_, _| {});
        let tally = load.row(5, &steps);
        assert_eq!(tally.total(), 50);
        assert!((tally.mean() - KEYS_PER_HOST as f64).abs() < 1e-9, "no key is lost");

        let space = Space::new(BITS).expect("128 is allowed");
        let mut chance = Chance::new(3);
        let ring: Vec<Peer> =
            (0..50).map(|host| Peer::new(address(host, &mut chance), 0)).collect();
        let mut sorted: Vec<Id> = ring.iter().map(|peer| peer.id(space)).collect();
        sorted.sort_unstable();
        for _ in 0..200 {
            let key = space.id(chance.wide());
            let first = sorted.partition_point(|place| *place < key) % sorted.len();
            let core = chordal_core::chord::placement::placement(space, key, &ring, 1);
            assert_eq!(core[0].id(space), sorted[first]);
        }
    }

    #[test]
    fn another_seed_has_other_hosts() {
        let run = |seed| Load { hosts: 200, seed }.run(&|_, _| {});
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).cost.trace, run(2).cost.trace);
    }
}
