//! Every scenario of tests/scenarios is played, and what it expects holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use chordal::sim::Scenario;

/// Files, in the order of their names.
fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = fs::read_dir(folder).expect("there are scenarios");
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("they can be read").path()).collect();
    files.retain(|path| path.extension().is_some_and(|end| end == "toml"));
    files.sort();
    files
}

#[test]
fn every_scenario_ends_as_it_says() {
    let files = files();
    assert!(files.len() >= 5, "{files:?}");
    let next = AtomicUsize::new(0);
    let play = || {
        let mut missed = Vec::new();
        while let Some(path) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = path.file_name().map(|name| name.display().to_string()).unwrap_or_default();
            let text = fs::read_to_string(path).expect("it can be read");
            match Scenario::parse(&text) {
                Err(error) => missed.push(format!("{name}: {error}")),
                Ok(scenario) => {
                    let verdict = scenario.run(&mut |_| {});
                    println!(
                        "{name}: {verdict}; {:?}, {:?}, {} events",
                        verdict.healed,
                        verdict.tally.all(),
                        verdict.events
                    );
                    if !verdict.missed.is_empty() {
                        let (wrong, failed) = (verdict.tally.wrong(), verdict.tally.failed());
                        missed.push(format!("{name}: {verdict}\n{wrong:#?}\n{failed:#?}"));
                    }
                }
            }
        }
        missed
    };
    let missed: Vec<String> = std::thread::scope(|scope| {
        let players: Vec<_> = (0..2).map(|_| scope.spawn(play)).collect();
        players.into_iter().flat_map(|player| player.join().expect("it plays")).collect()
    });
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// The seed is not a lucky one: the same with others.
///
/// `cargo test --test it scenarios -- --ignored` takes some minutes.
#[test]
#[ignore = "minutes: many seeds"]
fn every_scenario_ends_as_it_says_with_other_seeds() {
    let mut missed = Vec::new();
    for path in files() {
        let text = fs::read_to_string(&path).expect("it can be read");
        let scenario = Scenario::parse(&text).expect("it is one");
        for seed in 100..110 {
            let mut scenario = scenario.clone();
            scenario.setup.seed = seed;
            let verdict = scenario.run(&mut |_| {});
            if !verdict.missed.is_empty() {
                missed.push(format!("{}: seed {seed}: {verdict}", path.display()));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
