//! What the compiler cannot hold of the layers: which crate may depend on which (a
//! manifest could allow more), which room of the engine knows which, how many files may
//! import each other in a circle, which files are pure, who prints, who knows bincode, and
//! how long a file may grow. Imports are read in [`super::imports`].
//!
//! It reads lines of text, so that it sees what is behind `cfg` as well. It is a checker
//! for honest mistakes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::imports;

/// Lines of code in one file, its tests not counted: a file that grows past
/// that has two jobs.
const MAX_LINES: usize = 700;

/// The crates below `crates/` and which of them each may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("descriptors", &[]),
    ("store", &["core", "descriptors"]),
    ("view", &["core"]),
    ("engine", &["core", "descriptors", "store", "view"]),
    ("sim", &["core", "view"]),
    ("tui", &["core", "view"]),
];

/// The rooms of the engine, the lowest first: a room knows only those above it in this
/// list. `registry` stands beside the node, on the net only.
const ROOMS: &[&str] = &[
    "clock",
    "net",
    "registry",
    "inputs",
    "transfers",
    "sharing",
    "upkeep",
    "data",
    "overlay",
    "client",
    "node",
];

/// Files that may import each other in a circle.
const MAX_CIRCLE: usize = 4;

/// Files that open pure code, which bans clocks, random numbers, I/O and hash-ordered
/// maps (clippy.toml).
const PURE: &[&str] =
    &["crates/core/src/lib.rs", "crates/view/src/lib.rs", "crates/sim/src/lib.rs"];

/// Parts of the core that the dashboard does not use: it knows identifiers, peers, names,
/// records, time and limits, and of these parts what `view` shows.
const NOT_DRAWN: &[&str] = &["chord", "client", "mesh", "registry", "transfer", "wire"];

/// The line that switches those bans on.
const BANS: &str = "#![deny(clippy::disallowed_methods, clippy::disallowed_types)]";

#[test]
fn every_file_keeps_to_the_rules() {
    let files = sources();
    assert!(files.len() > 20, "the sources were not found: {files:?}");
    let found: Vec<_> = files.iter().flat_map(|(file, text)| check(file, text)).collect();
    assert!(found.is_empty(), "rules are broken:\n{}", found.join("\n"));
    for file in PURE {
        assert!(files.contains_key(*file), "{file} is gone: name its successor in PURE");
    }
}

#[test]
fn every_crate_uses_only_lower_layers() {
    let mut crates: Vec<String> = fs::read_dir(root().join("crates"))
        .expect("the crates can be read")
        .map(|entry| entry.expect("they can be read").file_name().display().to_string())
        .collect();
    crates.sort();
    let mut known: Vec<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    known.sort_unstable();
    assert_eq!(crates, known, "a crate has no place among the layers");
    for (name, allowed) in LAYERS {
        let manifest = root().join("crates").join(name).join("Cargo.toml");
        let manifest = fs::read_to_string(manifest).expect("each crate has a manifest");
        assert_eq!(uses(&manifest), *allowed, "what {name} uses");
    }
}

#[test]
fn no_room_of_the_engine_knows_one_above_it() {
    let files = sources();
    let found = upward(ROOMS, &imports::graph(&files, "crates/engine/src"));
    assert!(found.is_empty(), "a room knows one above it:\n{}", found.join("\n"));
}

#[test]
fn few_files_import_each_other_in_a_circle() {
    let files = sources();
    for (name, _) in LAYERS {
        let graph = imports::graph(&files, &format!("crates/{name}/src"));
        let circles = imports::circles(&graph);
        let largest = circles.iter().map(Vec::len).max().unwrap_or(0);
        assert!(largest <= MAX_CIRCLE, "{name} has a larger circle: {circles:#?}");
    }
    let graph = imports::graph(&files, "src");
    let circles = imports::circles(&graph);
    assert!(circles.iter().all(|circle| circle.len() <= MAX_CIRCLE), "{circles:#?}");
}

/// Imports of a room from one that is not below it, and of a room that has no place in the
/// order. What stands at the root (the wiring, `lives`) may know all and is known by none.
fn upward(order: &[&str], graph: &imports::Graph) -> Vec<String> {
    let room = |file: &str| file.split("::").next().unwrap_or_default().to_owned();
    let place = |file: &str| order.iter().position(|name| *name == room(file));
    let mut found = Vec::new();
    for (file, imported) in graph {
        let Some(own) = place(file) else {
            if file.contains("::") {
                found.push(format!("{file} is in no room of ROOMS"));
            }
            continue;
        };
        for other in imported.iter().filter(|other| room(other) != room(file)) {
            if place(other).is_none_or(|theirs| theirs > own) {
                found.push(format!("{file} imports {other}"));
            }
            if room(file) == "registry" && !["net", "clock"].contains(&room(other).as_str()) {
                found.push(format!("{file} imports {other}: a registry is no node"));
            }
        }
    }
    found
}

/// The crates of the workspace that a manifest names, in order.
fn uses(manifest: &str) -> Vec<&str> {
    let names = manifest.lines().filter_map(|line| line.strip_prefix("chordal-"));
    let mut names: Vec<&str> = names.filter_map(|line| line.split(' ').next()).collect();
    names.sort_unstable();
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every source file, by its path.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let crates = LAYERS.iter().map(|(name, _)| root().join("crates").join(name).join("src"));
    let mut open: Vec<PathBuf> = crates.chain([root().join("src")]).collect();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("the sources can be read") {
            let path = entry.expect("the sources can be read").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root()).expect("it lies below").display().to_string();
                let text = fs::read_to_string(&path).expect("sources are text");
                found.insert(name.replace('\\', "/"), text);
            }
        }
    }
    found
}

/// Everything that is wrong with one file.
fn check(file: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut wrong = |line: usize, what: String| found.push(format!("{file}:{line}: {what}"));
    // A test's words are for the person who runs it; it may be as long as its story.
    let is_test = file.split('/').any(|part| part == "tests" || part == "tests.rs");
    let code = text.lines().take_while(|line| *line != "#[cfg(test)]");
    for (number, line) in code.clone().enumerate() {
        let line = line.split("//").next().unwrap_or(line);
        if line.contains("bincode::") && file != "crates/core/src/wire/codec.rs" {
            wrong(number + 1, "only wire/codec.rs knows bincode".to_owned());
        }
        if file.starts_with("crates/tui/") && !is_test {
            let uses = |part: &&&str| names(line, &format!("chordal_core::{part}"));
            if let Some(part) = NOT_DRAWN.iter().find(uses) {
                wrong(number + 1, format!("core::{part} is for drivers and view"));
            }
        }
        // The dashboard owns the terminal, and gives it back with a word when it crashes.
        let terminal = ["crates/tui/src/terminal.rs", "crates/tui/src/screen.rs"].contains(&file);
        let streams = ["stdout()", "stderr()"].iter().any(|stream| line.contains(stream));
        if streams && !is_test && !terminal && !file.starts_with("src/cli/") {
            wrong(number + 1, "a standard stream outside of the command line".to_owned());
        }
    }
    if PURE.contains(&file) && !text.lines().any(|line| line == BANS) {
        wrong(1, format!("pure code without {BANS}"));
    }
    let lines = code.count();
    if lines > MAX_LINES && !is_test {
        wrong(lines, format!("{lines} lines: a file of more than {MAX_LINES} has two jobs"));
    }
    found
}

/// Whether a line names a path, not only the beginning of a longer word.
fn names(line: &str, path: &str) -> bool {
    let longer = |rest: &str| rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(path).any(|(at, _)| !longer(&line[at + path.len()..]))
}

/// The checker must be able to fail: each rule broken once on made-up text.
mod checker {
    use super::*;

    fn one(file: &str, line: usize, what: &str) -> Vec<String> {
        vec![format!("{file}:{line}: {what}")]
    }

    #[test]
    fn a_use_of_another_crate_is_found() {
        let manifest = "[dependencies]\nchordal-view = { path = \"../view\" }\nserde = \"1\"\n";
        assert_eq!(uses(manifest), ["view"]);
    }

    fn made_up(files: &[(&str, &str)]) -> imports::Graph {
        let files = files.iter().map(|(file, text)| (format!("src/{file}"), (*text).to_owned()));
        imports::graph(&files.collect(), "src")
    }

    #[test]
    fn a_room_that_knows_one_above_it_is_found() {
        let graph = made_up(&[
            ("lib.rs", "mod net;\nmod data;\nuse data::fetch;"),
            ("net/mod.rs", "pub(crate) mod accept;"),
            ("net/accept.rs", "use crate::{\n    data::{fetch, other},\n};"),
            ("data/mod.rs", "pub(crate) mod fetch;\nuse crate::net::accept;"),
            ("data/fetch.rs", "// use crate::upkeep;\nfn f() { super::super::net::accept::run() }"),
            ("attic/mod.rs", ""),
            ("attic/box.rs", ""),
        ]);
        assert_eq!(
            upward(&["net", "data"], &graph),
            [
                "attic::box is in no room of ROOMS",
                "net::accept imports data",
                "net::accept imports data::fetch"
            ]
        );
        assert_eq!(graph["data::fetch"].iter().collect::<Vec<_>>(), ["net::accept"]);
    }

    #[test]
    fn a_circle_is_found_and_an_import_of_a_test_does_not_count() {
        let graph = made_up(&[
            ("lib.rs", "mod a;\nuse a::A;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use super::c::{self, C};"),
            ("c/mod.rs", "mod d;\nmod e;\nfn f() {\n    d::run()\n}"),
            ("c/d.rs", "use crate::a::A;\nuse super::e;"),
            ("c/e.rs", "#[cfg(test)]\nmod tests {\n    use super::d;\n}"),
            ("c/tests.rs", "use super::d;"),
        ]);
        assert_eq!(imports::circles(&graph), [vec!["a", "b", "c", "c::d"]]);
    }

    #[test]
    fn the_dashboard_does_not_know_the_ring() {
        let text = "use chordal_core::peer::Peer;\nuse chordal_core::chord::Node;";
        let what = "core::chord is for drivers and view";
        assert_eq!(check("crates/tui/src/state.rs", text), one("crates/tui/src/state.rs", 2, what));
        assert_eq!(check("crates/view/src/lib.rs", &format!("{BANS}\n{text}")), [""; 0]);
    }

    #[test]
    fn streams_are_for_the_command_line() {
        let text = "fn f() {\n    std::io::stderr().flush();\n}";
        let file = "crates/engine/src/lib.rs";
        assert_eq!(
            check(file, text),
            one(file, 2, "a standard stream outside of the command line")
        );
        assert_eq!(check("src/cli/mod.rs", text), [""; 0]);
        assert_eq!(check("crates/tui/src/terminal.rs", text), [""; 0]);
        assert_eq!(check(file, "// std::io::stderr()"), [""; 0]);
    }

    #[test]
    fn bincode_is_for_the_codec() {
        let text = "use bincode::config;";
        let file = "crates/store/src/catalogue.rs";
        assert_eq!(check(file, text), one(file, 1, "only wire/codec.rs knows bincode"));
        assert_eq!(check("crates/core/src/wire/codec.rs", text), [""; 0]);
    }

    #[test]
    fn pure_code_bans_clocks_and_chance() {
        let file = "crates/core/src/lib.rs";
        assert_eq!(check(file, "//! Ids.\n"), one(file, 1, &format!("pure code without {BANS}")));
        assert_eq!(check(file, &format!("//! Ids.\n\n{BANS}\n")), [""; 0]);
    }

    #[test]
    fn a_file_that_grew_too_long_is_found_but_its_tests_do_not_count() {
        let long = "fn f() {}\n".repeat(MAX_LINES + 1);
        assert_eq!(check("crates/tui/src/draw.rs", &long).len(), 1);
        let tested = format!("fn f() {{}}\n#[cfg(test)]\n{long}");
        assert_eq!(check("crates/tui/src/draw.rs", &tested), [""; 0]);
        assert_eq!(check("crates/core/src/chord/tests/traps.rs", &long), [""; 0]);
    }
}
