//! The run of a scenario from a file as a report: how its operations ended, the state of
//! its files, and whether its expectations hold.

use std::slice;

use crate::{Action, Scenario, Verdict};

use super::report::{Cell, Cost, Report, Table, Target};
use super::workers::{Progress, Steps};

/// Progress reports of one run.
const STEPS: u64 = 100;

/// Runs a scenario to its end and judges it.
pub fn play(scenario: &Scenario, progress: Progress<'_>) -> Report {
    let steps = Steps::new(STEPS, progress);
    let end = scenario.until.as_micros().max(1);
    let mut done = 0;
    let verdict = scenario.run(&mut |world| {
        let now = u128::from(world.now().as_micros()) * u128::from(STEPS) / end;
        let now = u64::try_from(now).unwrap_or(STEPS).min(STEPS);
        steps.add(now.saturating_sub(done));
        done = done.max(now);
    });
    report(scenario, &verdict)
}

fn report(scenario: &Scenario, verdict: &Verdict) -> Report {
    let missed = verdict.missed.iter().map(|what| Target::new(what, "expected otherwise", false));
    let mut targets: Vec<Target> = missed.collect();
    if targets.is_empty() {
        let healed = verdict.healed.map_or("at the end".to_owned(), |took| {
            format!("{:.1} s after calm", took.as_secs_f64())
        });
        targets.push(Target::new("all that the scenario expects holds", healed, true));
    }
    Report {
        experiment: "run",
        seed: scenario.setup.seed,
        setting: scenario.title.clone(),
        tables: vec![operations(verdict), files(verdict)],
        targets,
        plots: Vec::new(),
        cost: Cost {
            trace: verdict.trace.to_string(),
            events: verdict.events,
            nodes: verdict.hosts as u64 * u64::from(scenario.setup.vnodes),
        },
    }
}

fn operations(verdict: &Verdict) -> Table {
    let mean = |sum: u64, ended: usize| match ended {
        0 => Cell::None,
        all => Cell::two(sum as f64 / all as f64),
    };
    let all = [
        ("lookup", Action::Lookup),
        ("put", Action::Put),
        ("get", Action::Get),
        ("remove", Action::Remove),
    ];
    let all = all.map(|(name, action)| (name, verdict.tally.of(action)));
    Table::of(
        "operations",
        &all,
        &[
            ("operation", "operation", &|(name, _)| Cell::Word((*name).to_owned())),
            ("ended", "ended", &|(_, ends)| Cell::Count(ends.ended as u64)),
            ("right", "right", &|(_, ends)| Cell::Count(ends.right as u64)),
            ("wrong", "wrong", &|(_, ends)| Cell::Count(ends.wrong as u64)),
            ("failed", "failed", &|(_, ends)| Cell::Count(ends.failed as u64)),
            ("died", "asker died", &|(_, ends)| Cell::Count(ends.died as u64)),
            ("contacts", "contacts", &|(_, ends)| mean(ends.contacts, ends.ended)),
            ("timeouts", "timeouts", &|(_, ends)| mean(ends.timeouts, ends.ended)),
        ],
    )
}

fn files(verdict: &Verdict) -> Table {
    let count = |count: usize| Cell::Count(count as u64);
    Table::of(
        "files",
        slice::from_ref(verdict),
        &[
            ("acknowledged", "files acknowledged", &|end| count(end.files.acknowledged)),
            ("readable", "readable", &|end| count(end.files.readable)),
            ("lost", "lost", &|end| count(end.files.lost.len())),
            ("destroyed", "disks destroyed", &|end| count(end.files.destroyed)),
            ("hosts", "hosts at end", &|end| count(end.hosts)),
            ("joined", "joined", &|end| Cell::Count(end.counts.joined)),
            ("gone", "gone", &|end| Cell::Count(end.counts.gone)),
            ("messages", "messages", &|end| Cell::Count(end.counts.messages)),
            ("copied_bytes", "bytes copied", &|end| Cell::Count(end.counts.copied_bytes)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: &str =
        "title = 'nothing happens'\nuntil = '20s'\n[setup]\nhosts = 10\nrefuse = false\n";

    #[test]
    fn a_scenario_is_judged_by_what_it_expects() {
        let scenario = Scenario::parse(CALM).expect("a scenario");
        let report = play(&scenario, &|_, _| {});
        assert_eq!((report.missed().count(), report.cost.nodes), (0, 10), "{report:#?}");
        assert_eq!(report.tables[0].rows.len(), 4);
        assert_eq!(play(&scenario, &|_, _| {}), report, "a seed is a run");

        let harsh = format!("{CALM}[[faults]]\nat = '19990ms'\ndo = 'crash'\nhosts = '50%'\n");
        let scenario = Scenario::parse(&harsh).expect("a scenario");
        assert!(
            play(&scenario, &|_, _| {}).missed().count() > 0,
            "the dead are not even missed yet"
        );
    }
}
