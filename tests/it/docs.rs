//! The documents say what the program is: docs/reference.md has every command,
//! option and key, and what the documents point to exists.
//!
//! `CHORDAL_README=write cargo test --test it docs::` writes what is made from the
//! program anew, `samples::` what it prints.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Mutex, PoisonError};

use chordal::ui::{action, fixture};
use chordal::view::command::TABLE;
use regex::Regex;

use crate::process;

mod reference;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Lines of README.md at the most: a reader is to see all of it.
const README_LINES: usize = 220;

pub(crate) fn document(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).expect("the document exists")
}

/// Replaces `old` by `new` in a document if documents are to be written, and fails
/// otherwise. `made_by` are the tests that write it.
pub(crate) fn differs(name: &str, made_by: &str, old: &str, new: &str) {
    static WRITING: Mutex<()> = Mutex::new(());
    if std::env::var_os("CHORDAL_README").is_some_and(|value| value == "write") {
        // Other tests write as well.
        let _held = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        let text = document(name).replacen(old, new, 1);
        return fs::write(Path::new(ROOT).join(name), text).expect("it can be written");
    }
    let only = |text: &str, other: &str, sign: char| {
        let lines = text.lines().filter(|line| !other.lines().any(|other| other == *line));
        lines.map(|line| format!("{sign} {line}\n")).collect::<String>()
    };
    panic!(
        "{name} (-) and the program (+) differ:\n{}{}\
         CHORDAL_README=write cargo test --test it {made_by} writes it anew",
        only(old, new, '-'),
        only(new, old, '+')
    );
}

/// A row of a table in Markdown.
fn row(cells: &[&str]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// Code within a table, where a bar would end the cell.
fn code(text: &str) -> String {
    format!("`{}`", text.replace('|', "\\|"))
}

/// Holds docs/reference.md to these beginnings of rows.
fn reference_has(rows: impl Iterator<Item = String>) {
    let text = document("docs/reference.md");
    let missing: Vec<String> =
        rows.filter(|row| !text.contains(&format!("\n{}", row.trim_end_matches(" |")))).collect();
    assert!(missing.is_empty(), "docs/reference.md lacks these rows:\n{}", missing.join("\n"));
}

#[test]
fn the_reference_has_every_command_as_the_program_knows_it() {
    reference_has(TABLE.iter().map(|spec| {
        let aliases: Vec<String> = spec.aliases.iter().map(|alias| code(alias)).collect();
        row(&[&code(&spec.usage()), &aliases.join(" "), spec.summary])
    }));
}

#[test]
fn the_reference_has_every_key_as_the_program_knows_it() {
    let mut lab = fixture::eight();
    lab.lab = true;
    for app in [lab, fixture::simulated()] {
        let keys = action::list(&app);
        reference_has(keys.iter().map(|(keys, help)| row(&[&code(keys), help])));
    }
}

#[test]
fn the_readme_is_short() {
    let lines = document("README.md").lines().count();
    assert!(lines <= README_LINES, "README.md has {lines} lines: details go to docs/reference.md");
}

#[test]
fn the_documents_have_every_option_and_no_other() {
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

    // Lines for other programs have options of their own.
    let told = |name: &str| {
        let ours = document(name);
        let ours = ours.lines().filter(|line| !line.contains("cargo ")).collect::<Vec<_>>();
        options(&ours.join("\n"))
    };
    let reference = told("docs/reference.md");
    let silent: Vec<_> = known.difference(&reference).collect();
    assert!(silent.is_empty(), "docs/reference.md does not tell of {silent:?}");
    for told in [reference, told("README.md")] {
        let made_up: Vec<_> = told.difference(&known).collect();
        assert!(made_up.is_empty(), "the program does not know {made_up:?}");
    }
}

#[test]
fn what_the_documents_point_to_exists() {
    let link = Regex::new(r"\]\(([^)]+)\)|<img src=\x22([^\x22]+)\x22").expect("a pattern");
    let path = Regex::new(r"`((?:src|crates|tests|benches|assets|docs)/[A-Za-z0-9_./]+)`")
        .expect("a pattern");
    for name in documents() {
        let text = document(&name);
        let from = Path::new(&name).parent().expect("a file is in a directory");
        let links = link.captures_iter(&text).filter_map(|found| found.get(1).or(found.get(2)));
        for target in links.map(|found| found.as_str()).filter(|link| !link.starts_with("http")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { Path::new(&name) } else { &from.join(file) };
            let there = Path::new(ROOT).join(file);
            assert!(there.exists(), "{name} points to {target}");
            if !heading.is_empty() {
                let text = fs::read_to_string(there).expect("a document");
                assert!(headings(&text).contains(heading), "{name} points to {target}");
            }
        }
        for found in path.captures_iter(&text) {
            let target = Path::new(ROOT).join(&found[1]);
            assert!(target.exists(), "{name} points to {}", &found[1]);
        }
    }
}

/// The documents for users and those who change the program.
fn documents() -> Vec<String> {
    let below = fs::read_dir(Path::new(ROOT).join("docs")).expect("there are documents");
    let below = below.map(|entry| {
        let name = entry.expect("it can be read").file_name();
        format!("docs/{}", name.to_str().expect("a plain name"))
    });
    let above = ["README.md", "ARCHITECTURE.md", "CHANGELOG.md"].map(str::to_owned);
    below.chain(above).collect()
}

/// The headings of a document, as links name them.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    let titles = titles.map(|line| line.trim_start_matches('#').trim().to_lowercase());
    let kept = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    titles.map(|title| title.chars().filter(kept).collect::<String>().replace(' ', "-")).collect()
}

#[test]
fn the_map_has_every_room() {
    let map = document("ARCHITECTURE.md");
    let crates = Path::new(ROOT).join("crates");
    let rooms = folders(&crates).into_iter().flat_map(|name| {
        let inside = folders(&crates.join(&name).join("src"));
        inside.into_iter().chain([format!("chordal-{name}")])
    });
    let told = |room: &String| map.contains(&format!("`{room}`"));
    let missing: Vec<_> = rooms.filter(|room| !told(room)).collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not say what these are for: {missing:?}");
}

/// The names of the folders in a directory, tests left out.
fn folders(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("the sources can be read");
    let paths = entries.map(|entry| entry.expect("the sources can be read").path());
    let folders = paths.filter(|path| path.is_dir());
    let name = |path: PathBuf| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let tests = |name: &String| ["tests", "snapshots"].contains(&name.as_str());
    folders.filter_map(name).filter(|name| !tests(name)).collect()
}
