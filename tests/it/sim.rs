//! `chordal sim` as a script meets it: what it prints, in which order, with
//! which exit code, and that a seed is a run.

use std::process::{Command, Output};

use serde_json::Value;

use crate::process;

fn sim(words: &[&str]) -> Command {
    let mut command = process::command(&[&["sim"], words].concat());
    command.env("CHORDAL_CONFIG", "");
    command
}

/// Runs it to its end: exit code, standard output, standard error.
fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = sim(words).output().expect("the program runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    (status.code(), text(stdout), text(stderr))
}

const SMALL: [&str; 3] = ["load", "--nodes", "1000"];

#[test]
fn the_seed_comes_first_and_the_same_seed_says_the_same() {
    let seed = |seed| run(&[&SMALL[..], &["--seed", seed]].concat());
    let (code, out, err) = seed("5");
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(out.lines().next(), Some("chordal sim load, seed 5"));
    assert!(out.contains("1 of 1 targets met") && out.contains("\ntrace "), "{out}");
    assert!(err.starts_with("took "), "what differs each time is no result: {err}");
    assert_eq!(seed("5").1, out);
    assert_ne!(seed("6").1, out);
}

#[test]
fn json_is_one_value_and_csv_one_row_for_each_of_its_rows() {
    let home = tempfile::TempDir::new().expect("a directory");
    let path = home.path().join("load.csv").display().to_string();
    let (code, out, err) = run(&[&SMALL[..], &["--json", "--csv", &path]].concat());
    assert_eq!(code, Some(0), "{err}");
    assert!(err.starts_with("chordal sim load, seed 1\n"), "{err}");
    let value: Value = serde_json::from_str(&out).expect("one JSON value");
    for key in
        ["experiment", "seed", "setting", "tables", "targets", "met", "trace", "events", "nodes"]
    {
        assert!(!value[key].is_null(), "{key}: {out}");
    }
    let rows = value["tables"]["load"].as_array().expect("rows");
    let csv = std::fs::read_to_string(&path).expect("it was written");
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines.len(), rows.len() + 1, "{csv}");
    assert!(lines[0].starts_with("vnodes,mean,p1,p99"), "{csv}");
    assert!(lines[1].starts_with("1,100"), "{csv}");
}

#[test]
fn a_plain_terminal_gets_ascii() {
    let output = sim(&SMALL).env("TERM", "dumb").output().expect("the program runs");
    let out = String::from_utf8(output.stdout).expect("text");
    assert!(out.is_ascii() && out.contains("+---"), "{out}");
    let output = sim(&SMALL)
        .env("TERM", "xterm-256color")
        .env_remove("NO_COLOR")
        .output()
        .expect("the program runs");
    let out = String::from_utf8(output.stdout).expect("text");
    assert!(out.contains('└') && !out.contains('\x1b'), "a pipe gets no colours: {out}");
}

const CALM: &str = "title = 'half of a ring dies'\nuntil = '60s'\n[setup]\nhosts = 20\nrefuse = false\n\
                    [[faults]]\nat = '5s'\ndo = 'crash'\nhosts = '50%'\n";

#[test]
fn a_scenario_that_holds_ends_with_zero_and_one_that_does_not_with_one() {
    let home = tempfile::TempDir::new().expect("a directory");
    let path = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let calm = path("calm.toml", CALM);
    let (code, out, err) = run(&["run", &calm, "--seed", "4"]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.starts_with("chordal sim run, seed 4\nhalf of a ring dies\n"), "{out}");
    assert_eq!(run(&["run", &calm, "--seed", "4"]).1, out);

    let harsh = path("harsh.toml", &CALM.replace("at = '5s'", "at = '59900ms'"));
    let (code, out, err) = run(&["run", &harsh]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(err.contains("the ring is not ideal") && err.contains("seed 1"), "{err}");

    let wrong = path("wrong.toml", "title = 'x'\nuntil = '1s'\n[setup]\nhosts = 0\n");
    let (code, out, err) = run(&["run", &wrong]);
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("wrong.toml") && err.contains("line 4"), "{err}");
}

#[test]
fn help_says_what_is_measured_and_where_it_was_published() {
    let (code, out, _) = run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in
        ["paths", "load", "failures", "churn", "durability", "partition", "run", "Examples:"]
    {
        assert!(out.contains(word), "{word}: {out}");
    }
    assert!(run(&["run", "--help"]).1.starts_with("play a scenario"));
    for word in ["paths", "load", "failures", "churn", "durability", "partition"] {
        let (code, out, _) = run(&[word, "--help"]);
        assert_eq!(code, Some(0));
        for part in ["Target:", "Source:", "Example: chordal sim"] {
            assert!(out.contains(part), "{word} without {part}: {out}");
        }
    }
}

#[test]
fn numbers_that_make_no_sense_are_refused_with_their_limits() {
    for (words, advice) in [
        (&["paths", "--nodes", "5"][..], "128"),
        (&["load", "--nodes", "many"], "invalid"),
        (&["churn", "--seed", "one"], "--seed"),
        (&["lode"], "load"),
        (&["run"], "FILE"),
    ] {
        let (code, out, err) = run(words);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{words:?}: {err}");
        assert!(err.contains(advice), "{words:?}: {err}");
    }
    let (code, _, err) = run(&["load", "--nodes", "1000", "--csv", "/nowhere/x.csv"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("cannot write /nowhere/x.csv"), "{err}");
}
