//! The documents say what the program is: every word of it stands in
//! README.md, and what they point to exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Output;

use chordal::ui::{action, fixture};
use chordal::view::command::TABLE;
use regex::Regex;

use crate::process;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).expect("the document exists")
}

/// A row of a table in Markdown.
fn row(cells: &[&str]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// Code within a table, where a bar would end the cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Holds README.md to these rows; those that it lacks can be copied from the
/// failure.
fn readme_has(rows: impl Iterator<Item = String>) {
    let readme = document("README.md");
    let missing: Vec<String> = rows.filter(|row| !readme.contains(row.as_str())).collect();
    assert!(missing.is_empty(), "README.md lacks these rows:\n{}", missing.join("\n"));
}

#[test]
fn the_readme_has_every_command_as_the_program_knows_it() {
    readme_has(TABLE.iter().map(|spec| {
        let aliases: Vec<String> = spec.aliases.iter().map(|alias| code(alias)).collect();
        row(&[&code(&spec.usage()), &aliases.join(" "), spec.summary])
    }));
}

#[test]
fn the_readme_has_every_key_as_the_program_knows_it() {
    let mut lab = fixture::eight();
    lab.lab = true;
    for app in [lab, fixture::simulated()] {
        let keys = action::list(&app);
        readme_has(keys.iter().map(|(keys, help)| row(&[&code(keys), help])));
    }
}

#[test]
fn the_readme_has_every_option_and_no_other() {
    let option = Regex::new(r"--[a-z]+(-[a-z]+)*").expect("a pattern");
    let options = |text: &str| -> BTreeSet<String> {
        option.find_iter(text).map(|found| found.as_str().to_owned()).collect()
    };
    let mut known = BTreeSet::new();
    let own = ["", "lab", "tmux", "seed", "config", "completions"];
    let sim = ["sim", "sim paths", "sim churn", "sim run", "sim watch"];
    let remote = TABLE.iter().filter(|spec| spec.remote).map(|spec| spec.name);
    for command in own.into_iter().chain(sim).chain(remote) {
        let words: Vec<&str> = command.split_whitespace().chain(["--help"]).collect();
        let Output { stdout, .. } = process::command(&words).output().expect("the program runs");
        let help = String::from_utf8(stdout).expect("help is text");
        assert!(help.contains("Usage:"), "chordal {command} --help: {help}");
        known.extend(options(&help));
    }
    assert!(known.len() > 20, "the options were not found: {known:?}");

    let readme = document("README.md");
    // Lines for other programs have options of their own.
    let ours =
        readme.lines().filter(|line| !line.contains("cargo ")).collect::<Vec<_>>().join("\n");
    let told = options(&ours);
    let silent: Vec<_> = known.difference(&told).collect();
    assert!(silent.is_empty(), "README.md does not tell of {silent:?}");
    let made_up: Vec<_> = told.difference(&known).collect();
    assert!(made_up.is_empty(), "README.md tells of {made_up:?}, which the program does not know");
}

#[test]
fn what_the_documents_point_to_exists() {
    let link = Regex::new(r"\]\(([^)#]+)\)|<img src=\x22([^\x22]+)\x22").expect("a pattern");
    let path = Regex::new(r"`((?:src|tests|benches|assets)/[A-Za-z0-9_./]+)`").expect("a pattern");
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"] {
        let text = document(name);
        let links = link.captures_iter(&text).filter_map(|found| found.get(1).or(found.get(2)));
        let paths = path.captures_iter(&text).filter_map(|found| found.get(1));
        for target in links.chain(paths).map(|found| found.as_str()) {
            let here = !target.starts_with("http");
            assert!(!here || Path::new(ROOT).join(target).exists(), "{name} points to {target}");
        }
    }
}

#[test]
fn the_map_has_every_module() {
    let map = document("ARCHITECTURE.md");
    let missing: Vec<_> = modules(&Path::new(ROOT).join("src"))
        .into_iter()
        .filter(|module| !map.contains(&format!("`{module}`")))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not say what these are for: {missing:?}");
}

/// The names of all files below that hold a module, tests left out.
fn modules(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("the sources can be read") {
        let path = entry.expect("the sources can be read").path();
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name");
        if ["tests", "snapshots", "mod", "lib", "main"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            found.extend(modules(&path));
        } else {
            found.push(name.to_owned());
        }
    }
    found
}
