//! `durability`: files lost against p^k when hosts fail at once, and under churn.
//!
//! At once: every host dies with probability p at the same moment and never comes back. A
//! file is lost exactly when all its k holders die, so with independent holders the share
//! is p^k. The interval in which the real loss must lie comes from many random failures
//! that are drawn for the copies that the ring has made. More than p^k, or a single file
//! that cannot be read although a copy of it lives, is a defect.
//!
//! Under churn: hosts crash for good, and as many join, until each has been replaced twice
//! on average. Without repair each copy fails with p = 1 − e^−2; with repair, a file is
//! lost only when all its holders die within the time of one repair.

use std::time::Duration;

use crate::plot::{Chart, Curve, Plot, Scale};
use crate::trace::{Trace, TraceHash};
use crate::{Chance, HostId, Setup, World};

use super::files;
use super::report::{About, Cell, Cost, Report, Table, Target};
use super::stats::Sample;
use super::workers::{self, Progress, Steps, part_seed};

use chordal_core::name::FileName;

/// The texts for users.
pub(super) const ABOUT: About = About {
    name: "durability",
    summary: "files lost against p^k, and while hosts come and go",
    details: "\
First: stores files with k = 1 to 4 copies, lets each host die for good with probability p at the \
same moment, waits until the ring has repaired itself, and reads every file. The loss must be p^k \
within its sampling error; the 95 % interval is that of random failures with the copies as they \
are. A file that cannot be read although one of its copies lives is a defect ('beyond').
Second: hosts crash for good and others join, one process each, until each host has been replaced \
twice on average; 'unrepaired' is what k copies would come to if nobody repaired them.
Target: every row's loss within the interval (99.6 % of it, since there are many rows), none \
beyond; with three copies under churn at most a hundredth of what is lost unrepaired.
Source: DHash (CFS, SOSP 2001; Sit, 2008) and Carbonite (NSDI 2006).",
    nodes_are: "hosts of each ring",
    nodes: 100,
    // Fewer hosts than twice the successor list all know each other; more take too long.
    limits: 40..=1_000,
};

/// Numbers of copies.
const COPIES: [u8; 4] = [1, 2, 3, 4];

/// Shares of hosts that die at once, in percent.
const SHARES: [u32; 3] = [10, 30, 50];

/// Number of files for each host.
const FILES_PER_HOST: u64 = 2;

/// Rings for each row of the first table; their losses are independent.
const RINGS: u64 = 10;

/// Number of random failures that give the interval.
const DRAWS: usize = 2_000;

/// The quantile on either side beyond which a loss is a defect: with a dozen rows and 95 %,
/// one run in two would fail.
const EDGE: f64 = 0.002;

/// Rings for each row of the second table.
const CHURNED_RINGS: u64 = 1;

/// Mean life of a host in the second table: 600 stabilizations.
const LIFE: Duration = Duration::from_secs(600);

/// Duration of the churn in mean lives of a host.
const LIVES: u32 = 2;

/// The share of the files that would be lost without repair that may be lost with three
/// copies.
const REPAIRED: f64 = 0.01;

/// Maximum time until the ring is one ring again after a failure.
const WHOLE_WITHIN: Duration = Duration::from_secs(300);

/// Time after that for the repair of copies: some rounds of repair, one every five
/// stabilizations.
const REPAIR: Duration = Duration::from_secs(40);

/// Files lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Durability {
    hosts: u64,
    seed: u64,
    rings: u64,
    churned: u64,
}

/// One ring and its failure, or its churn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    AtOnce { copies: u8, percent: u32, ring: u64 },
    Churn { copies: u8, ring: u64 },
}

/// The state of a ring's files after its failures.
#[derive(Default)]
struct Loss {
    files: u64,
    lost: u64,
    /// Files that could not be read although a copy lived, or could be read although none
    /// did.
    beyond: u64,
    /// Hosts that died.
    dead: u64,
    /// The holders of each file, right before the failure.
    copies: Vec<Vec<HostId>>,
    events: u64,
    nodes: u64,
    trace: Option<TraceHash>,
}

impl Durability {
    /// An experiment on rings of this many hosts.
    pub(super) const fn new(hosts: u64, seed: u64) -> Durability {
        Durability { hosts, seed, rings: RINGS, churned: CHURNED_RINGS }
    }

    /// Runs the experiment.
    pub(super) fn run(&self, progress: Progress<'_>) -> Report {
        let mut parts = Vec::new();
        for copies in COPIES {
            for percent in SHARES {
                parts.extend((0..self.rings).map(|ring| Part::AtOnce { copies, percent, ring }));
            }
        }
        for copies in COPIES {
            parts.extend((0..self.churned).map(|ring| Part::Churn { copies, ring }));
        }
        /// A ring under churn takes about as long as this many others.
        const CHURN_STEPS: u64 = 10;
        let weight = |part: &Part| match part {
            Part::AtOnce { .. } => 1,
            Part::Churn { .. } => CHURN_STEPS,
        };
        let steps = Steps::new(parts.iter().map(weight).sum(), progress);
        let losses = workers::each(&parts, |part| {
            let loss = match *part {
                Part::AtOnce { copies, percent, ring } => self.at_once(copies, percent, ring),
                Part::Churn { copies, ring } => self.churn(copies, ring),
            };
            steps.add(weight(part));
            loss
        });
        self.report(&parts, &losses)
    }

    fn world(&self, copies: u8, seed: u64) -> World {
        let setup = Setup { seed, hosts: self.hosts as u32, replicas: copies, ..Setup::default() };
        World::settled(&setup, &mut |_, _| {})
    }

    fn at_once(&self, copies: u8, percent: u32, ring: u64) -> Loss {
        let seed = part_seed(self.seed, &[1, copies.into(), percent.into(), ring]);
        let mut world = self.world(copies, seed);
        let names = files::names("file", self.hosts * FILES_PER_HOST);
        let stored = files::put(&mut world, &names, &[]);
        let copies: Vec<Vec<HostId>> =
            stored.iter().map(|(name, version)| files::holders(&world, name, *version)).collect();

        let hosts: Vec<HostId> = world.hosts().collect();
        let p = f64::from(percent) / 100.0;
        let dead: Vec<HostId> = hosts.into_iter().filter(|_| world.chance().happens(p)).collect();
        dead.iter().for_each(|host| world.crash(*host));
        let step = Duration::from_secs(1);
        let whole = |world: &World| files::is_whole(world, world.hosts());
        world.until(WHOLE_WITHIN, step, whole);
        world.run(REPAIR);

        let died = |holders: &Vec<HostId>| holders.iter().all(|host| dead.contains(host));
        let lives: Vec<bool> = copies.iter().map(|holders| !died(holders)).collect();
        let names: Vec<FileName> = stored.keys().cloned().collect();
        let read = files::get(&mut world, &names, &[]);
        let beyond =
            names.iter().zip(&lives).filter(|(name, lives)| read.contains_key(*name) != **lives);
        Loss {
            files: stored.len() as u64,
            lost: (stored.len() - read.len()) as u64,
            beyond: beyond.count() as u64,
            dead: dead.len() as u64,
            copies,
            events: world.events(),
            nodes: self.hosts,
            trace: Some(world.trace()),
        }
    }

    fn churn(&self, copies: u8, ring: u64) -> Loss {
        let seed = part_seed(self.seed, &[2, copies.into(), ring]);
        let mut world = self.world(copies, seed);
        let names = files::names("file", self.hosts * FILES_PER_HOST);
        let stored = files::put(&mut world, &names, &[]);
        let rate = self.hosts as f64 / LIFE.as_secs_f64();
        let end = world.now() + LIFE * LIVES;
        let mut chance = Chance::new(seed);
        let mut wait = || chance.until_next(rate).unwrap_or(Duration::MAX);
        let (mut join, mut crash) = (world.now() + wait(), world.now() + wait());
        let mut dead = 0;
        while join.min(crash) < end {
            world.run_until(join.min(crash));
            if join <= crash {
                world.join();
                join = join + wait();
            } else {
                if let Some(host) = world.some_host() {
                    world.crash(host);
                    dead += 1;
                }
                crash = crash + wait();
            }
        }
        world.run_until(end);
        let step = Duration::from_secs(1);
        let whole = |world: &World| files::is_whole(world, world.hosts());
        world.until(WHOLE_WITHIN, step, whole);
        world.run(REPAIR);
        let names: Vec<FileName> = stored.keys().cloned().collect();
        let lives = |name: &FileName| !files::holders(&world, name, stored[name]).is_empty();
        let lives: Vec<bool> = names.iter().map(lives).collect();
        let read = files::get(&mut world, &names, &[]);
        let beyond =
            names.iter().zip(&lives).filter(|(name, lives)| read.contains_key(*name) != **lives);
        Loss {
            files: stored.len() as u64,
            lost: (stored.len() - read.len()) as u64,
            beyond: beyond.count() as u64,
            dead,
            copies: Vec::new(),
            events: world.events(),
            nodes: self.hosts + dead,
            trace: Some(world.trace()),
        }
    }

    fn report(&self, parts: &[Part], losses: &[Loss]) -> Report {
        let of = |wanted: &dyn Fn(&Part) -> bool| -> Vec<&Loss> {
            parts
                .iter()
                .zip(losses)
                .filter(|(part, _)| wanted(part))
                .map(|(_, loss)| loss)
                .collect()
        };
        let mut at_once = Vec::new();
        for copies in COPIES {
            for percent in SHARES {
                let same = |part: &Part| {
                    matches!(part, Part::AtOnce { copies: c, percent: p, .. }
                        if *c == copies && *p == percent)
                };
                at_once.push(AtOnce::of(self.seed, copies, percent, &of(&same)));
            }
        }
        let mut churned = Vec::new();
        for copies in COPIES {
            let same = |part: &Part| matches!(part, Part::Churn { copies: c, .. } if *c == copies);
            churned.push(Churned::of(copies, &of(&same)));
        }
        let mut targets: Vec<Target> = at_once.iter().map(AtOnce::target).collect();
        targets.extend(churned.iter().flat_map(Churned::targets));
        Report {
            experiment: ABOUT.name,
            seed: self.seed,
            setting: format!(
                "{} rings of {} hosts with {} files each; then churn for {} mean lives of a host",
                losses.len(),
                self.hosts,
                self.hosts * FILES_PER_HOST,
                LIVES
            ),
            tables: vec![at_once_table(&at_once), churn_table(&churned)],
            targets,
            plots: vec![chart(&at_once)],
            cost: Cost {
                trace: Trace::of(losses.iter().map(|loss| loss.trace)).to_string(),
                events: losses.iter().map(|loss| loss.events).sum(),
                nodes: losses.iter().map(|loss| loss.nodes).sum(),
            },
        }
    }
}

/// A row of the first table.
struct AtOnce {
    copies: u8,
    percent: u32,
    dead: u64,
    files: u64,
    lost: u64,
    beyond: u64,
    /// The interval of 95 % of random failures.
    usual: (f64, f64),
    /// The interval of all random failures but [`EDGE`] on either side.
    possible: (f64, f64),
}

impl AtOnce {
    fn of(seed: u64, copies: u8, percent: u32, losses: &[&Loss]) -> AtOnce {
        let sum = |value: fn(&Loss) -> u64| losses.iter().map(|loss| value(loss)).sum::<u64>();
        let files = sum(|loss| loss.files);
        let mut chance = Chance::new(part_seed(seed, &[3, copies.into(), percent.into()]));
        let p = f64::from(percent) / 100.0;
        let mut drawn = Sample::default();
        for _ in 0..DRAWS {
            let lost: usize = losses.iter().map(|loss| draw(&mut chance, loss, p)).sum();
            drawn.add(lost as f64 / files.max(1) as f64);
        }
        AtOnce {
            copies,
            percent,
            dead: sum(|loss| loss.dead),
            files,
            lost: sum(|loss| loss.lost),
            beyond: sum(|loss| loss.beyond),
            usual: (drawn.quantile(0.025), drawn.quantile(0.975)),
            possible: (drawn.quantile(EDGE), drawn.quantile(1.0 - EDGE)),
        }
    }

    fn share(&self) -> f64 {
        self.lost as f64 / self.files.max(1) as f64
    }

    /// The expected share, p^k.
    fn expected(&self) -> f64 {
        (f64::from(self.percent) / 100.0).powi(self.copies.into())
    }

    fn met(&self) -> bool {
        let (low, high) = self.possible;
        self.files > 0 && self.beyond == 0 && (low..=high).contains(&self.share())
    }

    fn target(&self) -> Target {
        let (low, high) = self.possible;
        Target::new(
            format!(
                "{} % at once with {} copies: loss within {:.3} to {:.3} %, none beyond",
                self.percent,
                self.copies,
                low * 100.0,
                high * 100.0
            ),
            format!("{:.3} % lost, {} beyond", self.share() * 100.0, self.beyond),
            self.met(),
        )
    }
}

/// The number of files of one ring that another failure with probability p would lose.
fn draw(chance: &mut Chance, loss: &Loss, p: f64) -> usize {
    let dead: Vec<bool> = (0..loss.nodes).map(|_| chance.happens(p)).collect();
    let died = |host: &HostId| dead.get(*host as usize).copied().unwrap_or(false);
    loss.copies.iter().filter(|holders| holders.iter().all(died)).count()
}

/// A row of the second table.
struct Churned {
    copies: u8,
    dead: u64,
    files: u64,
    lost: u64,
    beyond: u64,
}

impl Churned {
    fn of(copies: u8, losses: &[&Loss]) -> Churned {
        let sum = |value: fn(&Loss) -> u64| losses.iter().map(|loss| value(loss)).sum::<u64>();
        Churned {
            copies,
            dead: sum(|loss| loss.dead),
            files: sum(|loss| loss.files),
            lost: sum(|loss| loss.lost),
            beyond: sum(|loss| loss.beyond),
        }
    }

    fn share(&self) -> f64 {
        self.lost as f64 / self.files.max(1) as f64
    }

    /// The share that would be lost without repair.
    fn unrepaired(&self) -> f64 {
        (1.0 - (-f64::from(LIVES)).exp()).powi(self.copies.into())
    }

    fn targets(&self) -> Vec<Target> {
        let (share, beyond) = (self.share(), self.beyond);
        let mut targets = vec![Target::new(
            format!("churn with {} copies: every file with a living copy can be read", self.copies),
            format!("{beyond} cannot"),
            self.files > 0 && beyond == 0,
        )];
        if self.copies >= 3 {
            let most = self.unrepaired() * REPAIRED;
            targets.push(Target::new(
                format!("churn with {} copies: at most {:.2} % lost", self.copies, most * 100.0),
                format!("{:.2} %", share * 100.0),
                share <= most,
            ));
        }
        targets
    }
}

fn at_once_table(rows: &[AtOnce]) -> Table {
    Table::of(
        "at_once",
        rows,
        &[
            ("copies", "k", &|row| Cell::Count(row.copies.into())),
            ("p", "p", &|row| Cell::Share(f64::from(row.percent) / 100.0, 0)),
            ("dead", "hosts died", &|row| Cell::Count(row.dead)),
            ("files", "files", &|row| Cell::Count(row.files)),
            ("lost", "lost", &|row| Cell::Count(row.lost)),
            ("share", "share", &|row| Cell::Share(row.share(), 2)),
            ("expected", "p^k", &|row| Cell::Share(row.expected(), 2)),
            ("low", "95 % from", &|row| Cell::Share(row.usual.0, 2)),
            ("high", "to", &|row| Cell::Share(row.usual.1, 2)),
            ("beyond", "beyond", &|row| Cell::Count(row.beyond)),
            ("met", "target", &|row| Cell::Met(row.met())),
        ],
    )
}

fn churn_table(rows: &[Churned]) -> Table {
    Table::of(
        "churn",
        rows,
        &[
            ("copies", "k", &|row| Cell::Count(row.copies.into())),
            ("dead", "hosts died", &|row| Cell::Count(row.dead)),
            ("files", "files", &|row| Cell::Count(row.files)),
            ("lost", "lost", &|row| Cell::Count(row.lost)),
            ("share", "share", &|row| Cell::Share(row.share(), 2)),
            ("unrepaired", "unrepaired", &|row| Cell::Share(row.unrepaired(), 1)),
            ("beyond", "beyond", &|row| Cell::Count(row.beyond)),
            ("met", "target", &|row| Cell::Met(row.targets().iter().all(|target| target.met))),
        ],
    )
}

/// The loss over p: a curve and points for each number of copies.
fn chart(rows: &[AtOnce]) -> Plot {
    let mut curves = Vec::new();
    for (at, copies) in COPIES.into_iter().enumerate() {
        let name = if at == 0 { "p^k" } else { "" };
        let same = || rows.iter().filter(|row| row.copies == copies);
        let percent = |row: &AtOnce| f64::from(row.percent);
        curves.push(Curve::over(same(), name, true, percent, |row| row.expected() * 100.0));
        let name = format!("k = {copies}");
        curves.push(Curve::over(same(), &name, false, percent, |row| row.share() * 100.0));
    }
    Plot::Chart(Chart {
        title: "files lost, in percent".to_owned(),
        across: "hosts that died at once, in percent".to_owned(),
        scale: Scale::Linear,
        from_zero: true,
        curves,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_p_to_the_k_and_no_file_with_a_living_copy_is_lost() {
        let rings = Durability { hosts: 40, seed: 1, rings: 2, churned: 0 };
        let parts: Vec<Part> =
            (0..2).map(|ring| Part::AtOnce { copies: 2, percent: 50, ring }).collect();
        let losses = workers::each(&parts, |_| rings.at_once(2, 50, 0));
        let row = AtOnce::of(1, 2, 50, &losses.iter().collect::<Vec<_>>());
        assert_eq!((row.files, row.beyond), (160, 0));
        assert!(row.lost > 0, "half of the hosts died");
        assert!(row.met(), "{} of {:?}", row.share(), row.possible);
        assert!(row.possible.1 < 1.0 && row.usual.0 <= row.expected(), "{:?}", row.usual);
    }

    #[test]
    fn repair_keeps_files_while_every_host_is_replaced() {
        let rings = Durability { hosts: 40, seed: 1, rings: 0, churned: 1 };
        let loss = rings.churn(3, 0);
        let row = Churned::of(3, &[&loss]);
        assert!(row.dead > 40, "every host was replaced: {}", row.dead);
        assert_eq!((row.files, row.beyond), (80, 0));
        assert!(row.targets().iter().all(|target| target.met), "{} lost", row.lost);
    }

    #[test]
    fn a_loss_beyond_the_dead_or_above_chance_misses_the_target() {
        let row = |lost, beyond| AtOnce {
            copies: 2,
            percent: 10,
            dead: 4,
            files: 1_000,
            lost,
            beyond,
            usual: (0.005, 0.015),
            possible: (0.002, 0.02),
        };
        assert!(row(10, 0).met());
        assert!(!row(10, 1).met());
        assert!(!row(30, 0).met());
        assert!(!row(0, 0).met(), "fewer than chance allows is no less odd");
    }
}
