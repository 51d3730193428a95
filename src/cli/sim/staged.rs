//! What can be watched: rings made up on the command line, and the experiments as
//! scenarios without an end, for the eye instead of for a table.

use std::time::Duration;

use chordal_sim::tables::Experiment;
use chordal_sim::{
    Churn, Expect, Fault, FaultHosts, FaultKind, Going, Latency, Percent, Scenario, Setup, Workload,
};

use super::super::args::sim::WatchArgs;
use super::super::failure::Failure;

/// The cube in which watched hosts lie, as on one continent: so round trips differ
/// and can be seen.
const SPACE: Latency =
    Latency::Space3d { edge: Duration::from_millis(60), least: Duration::from_micros(500) };

/// The way of a message in the papers' experiments.
const PAPER: Latency = Latency::Constant { delay: Duration::from_millis(50) };

/// Places of the ring for each of its nodes, at the least: joiners find theirs free.
const ROOM: u128 = 16;

/// Names of files that random puts choose from: few enough to meet again.
const NAMES: u32 = 100;

/// When something befalls an experiment: after one has seen it whole.
const SOON: Duration = Duration::from_secs(10);

/// How long a cut lasts.
const CUT: Duration = Duration::from_secs(60);

/// The end of what has none.
const ENDLESS: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// `chordal sim watch`.
pub(super) fn ring(args: &WatchArgs) -> Result<Scenario, Failure> {
    let setup = Setup {
        seed: args.seed,
        bits: bits_for(u128::from(args.nodes) * u128::from(args.vnodes)),
        hosts: args.nodes,
        vnodes: args.vnodes,
        latency: SPACE,
        adaptive: true,
        ..Setup::default()
    };
    setup.check().map_err(|unfit| Failure::Usage(unfit.to_string()))?;
    let churn = Churn { joins: args.churn, leaves: args.churn, ..Churn::default() };
    let (lookups, puts) = (args.lookups, args.puts);
    let workload = Workload { lookups, puts, gets: puts, names: NAMES, ..Workload::default() };
    Ok(Scenario {
        grow: args.grow,
        churn: (args.churn > 0.0).then_some(churn),
        workload: (lookups > 0.0 || puts > 0.0).then_some(workload),
        ..endless(if args.grow { "growing" } else { "watch" }, setup)
    })
}

/// An experiment: the ring that it measures, under what it does to it.
pub(super) fn experiment(experiment: Experiment, hosts: u32, seed: u64) -> Scenario {
    let vnodes = if experiment == Experiment::Load { 20 } else { 1 };
    let bits = bits_for(u128::from(hosts) * u128::from(vnodes));
    let setup = Setup { seed, bits, hosts, vnodes, ..Setup::default() };
    let papers = Setup { successors: 20, latency: PAPER, refuse: false, ..setup.clone() };
    let asking = |lookups| Workload { lookups, ..Workload::default() };
    let writing = Workload { puts: 2.0, gets: 2.0, names: NAMES, ..Workload::default() };
    let half = Percent::try_from("50%".to_owned()).ok().map(FaultHosts::Share);
    let fault = |at, what, hosts| Fault { at, what, hosts, rate: None };
    let name = experiment.about().name;
    match experiment {
        Experiment::Paths => Scenario { workload: Some(asking(5.0)), ..endless(name, papers) },
        Experiment::Load => Scenario { workload: Some(writing), ..endless(name, setup) },
        Experiment::Failures => Scenario {
            workload: Some(asking(5.0)),
            faults: vec![fault(SOON, FaultKind::Crash, half)],
            ..endless(name, papers)
        },
        Experiment::Churn => {
            let stabilize = Duration::from_secs(30);
            let churn = Churn { joins: 0.4, leaves: 0.4, ..Churn::default() };
            Scenario {
                churn: Some(churn),
                workload: Some(asking(1.0)),
                ..endless(name, Setup { stabilize, ..papers })
            }
        }
        Experiment::Durability => {
            let going = Going::Destroy;
            let churn = Churn { joins: 0.2, leaves: 0.2, going, ..Churn::default() };
            Scenario { churn: Some(churn), workload: Some(writing), ..endless(name, setup) }
        }
        Experiment::Partition => Scenario {
            workload: Some(writing),
            faults: vec![
                fault(SOON, FaultKind::Part, half),
                fault(SOON + CUT, FaultKind::Heal, None),
            ],
            ..endless(name, Setup { refuse: false, ..setup })
        },
    }
}

fn endless(title: &str, setup: Setup) -> Scenario {
    Scenario {
        title: title.to_owned(),
        setup,
        grow: false,
        churn: None,
        workload: None,
        faults: Vec::new(),
        calm: ENDLESS,
        until: ENDLESS,
        expect: Expect::default(),
    }
}

/// Bits of the identifiers: as few as leave room, so that people can read them.
fn bits_for(positions: u128) -> u8 {
    let fits = |bits: &u8| positions <= (1u128 << bits) / ROOM;
    [10, 16, 24].into_iter().find(fits).unwrap_or(32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_and_leave_room() {
        assert_eq!([20, 64, 65, 4_096, 10_000, 2_000_000].map(bits_for), [10, 10, 16, 16, 24, 32]);
    }

    #[test]
    fn every_experiment_can_be_watched() {
        for one in Experiment::ALL {
            let scenario = experiment(one, 40, 1);
            scenario.setup.check().expect("it makes sense");
            let mut world = scenario.world(&mut |_, _| {});
            world.run_until(chordal_core::time::Time::ZERO + SOON * 2);
            assert!(world.living() >= 20, "{}", scenario.title);
            let cut = !world.is_connected(0, 1) || !world.is_connected(0, 2);
            let all = world.hosts().all(|host| world.is_connected(0, host));
            assert!(all != (one == Experiment::Partition) || cut, "{}", scenario.title);
        }
    }
}
