//! The documents' samples are what the program prints. Each block of README.md and
//! docs/reference.md that begins with `> chordal` (but for those of [`BY_HAND`]) is run on
//! a ring that is prepared for it, and must be the same but for what no two runs have in
//! common ([`steady`]). A line of `…` ends what is shown of a longer answer. What
//! docs/reference.md shows as JSON must have the same shape ([`is_alike`]).
//!
//! `CHORDAL_README=write cargo test --test it samples::` writes those that differ anew.
//!
//! The samples name ports that people use, so the ring has a network of its own where
//! the system grants one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use regex::Regex;
use serde_json::Value;
use tempfile::TempDir;

use crate::docs::{differs, document};
use crate::process::{SKY_SHIP, command, describe, eventually, ready_line, text};

/// Blocks that show how far a download is at a moment, or how its sources shared the
/// work, by their first line: no two runs have that in common.
const BY_HAND: [&str; 2] = ["> chordal transfers --via :2002", "> get Overture.flac"];

/// What the reference shows as JSON, of a ring that shares files and has registries.
const JSON_OF_SHARERS: [&str; 4] =
    ["peers", "find skyship", "scan 127.0.0.1 2000-2001", "transfers --via :2001"];

/// The same of a ring of eight that stores files.
const JSON_OF_A_RING: [&str; 9] = [
    "put album/SkyShip.jpg",
    "put album",
    "info",
    "fingers",
    "ring",
    "lookup SkyShip.jpg",
    "ls --via :2003",
    "ls --ring",
    "id SkyShip.jpg",
];

/// The same of a simulation.
const JSON_OF_A_TABLE: &str = "sim failures";

/// The documents with samples.
const DOCUMENTS: [&str; 2] = ["README.md", REFERENCE];

/// The one with JSON.
const REFERENCE: &str = "docs/reference.md";

/// Columns of the JSON in the reference.
const WIDTH: usize = 96;

/// The samples of the documents, by their first line: the document, and the block.
fn blocks() -> BTreeMap<String, (&'static str, String)> {
    let block = Regex::new(r"(?ms)^```text\n(> .*?)^```$").expect("a pattern");
    let mut found = BTreeMap::new();
    for name in DOCUMENTS {
        for block in block.captures_iter(&document(name)) {
            let first = block[1].lines().next().unwrap_or_default().to_owned();
            let before = found.insert(first.clone(), (name, block[1].to_owned()));
            assert!(before.is_none(), "two samples begin with '{first}'");
        }
    }
    found
}

/// A sample without what differs from run to run: times, the columns that they
/// widen, and who of two nodes drew the other.
fn steady(sample: &str) -> String {
    let rules = [
        (r"\b\d+(\.\d+)? (µs|ms|s)( ago)?\b", "TIME"),
        (r"\b(random|incoming)\b", "LINK"),
        // A round trip or a message that has not come yet.
        (r"(?m) -( |$)", " TIME "),
        (r" +", " "),
        (r"(?m) +$", ""),
    ];
    rules.iter().fold(sample.to_owned(), |text, (pattern, word)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *word).into_owned()
    })
}

/// Runs the commands of a block in `dir`, and compares; where documents are to be
/// written, a block that differs is replaced. `before` prepares each command.
fn compare(first: &str, dir: &Path, mut before: impl FnMut(&str)) {
    let block = blocks().remove(first);
    let (name, block) = block.unwrap_or_else(|| panic!("the documents lack '{first}'"));
    let mut printed = String::new();
    let samples: Vec<&str> = block.split_inclusive('\n').collect();
    for (at, line) in samples.iter().enumerate() {
        let Some(words) = line.trim_end().strip_prefix("> chordal ") else { continue };
        before(words);
        let words: Vec<&str> = words.split(' ').collect();
        let output = command(&words).current_dir(dir).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8(said).expect("it is text");
        let rest = &samples[at + 1..];
        let end = rest.iter().position(|line| line.starts_with("> ")).unwrap_or(rest.len());
        printed.push_str(line);
        // As much of it as the document shows.
        match rest[..end].iter().position(|line| line.trim_end() == "…") {
            Some(shown) => {
                printed.extend(said.split_inclusive('\n').take(shown));
                printed.push_str("…\n");
            }
            None => printed.push_str(&said),
        }
        if end > 0 && rest[end - 1] == "\n" {
            printed.push('\n');
        }
    }
    if steady(&block) != steady(&printed) {
        differs(name, "samples::", &block, &printed);
    }
}

/// Runs a command and holds the JSON that the reference shows of it to the same shape.
/// Where it has more than one entry, a list is shown with its first.
fn compare_json(words: &str, dir: &Path) {
    let command: Vec<&str> = words.split(' ').chain(["--json"]).collect();
    let printed = answer(dir, &command).unwrap_or_else(|said| panic!("chordal {words}: {said}"));
    let shown = json_samples().remove(words);
    let shown = shown.unwrap_or_else(|| panic!("{REFERENCE} lacks the JSON of '{words}'"));
    if serde_json::from_str(&shown).is_ok_and(|shown| is_alike(&shown, &printed)) {
        return;
    }
    let made = format!("{}\n", laid_out(&shortened(printed), 0));
    differs(REFERENCE, "samples::", &json_block(words, &shown), &json_block(words, &made));
}

/// The JSON in the reference, by the words of its command.
fn json_samples() -> BTreeMap<String, String> {
    let block = Regex::new(r"(?ms)^<!-- json: ([^\n]+) -->\n```json\n(.*?)^```$");
    let text = document(REFERENCE);
    let found = block.expect("a pattern");
    let found = found.captures_iter(&text).map(|found| (found[1].to_owned(), found[2].to_owned()));
    found.collect()
}

fn json_block(words: &str, json: &str) -> String {
    format!("<!-- json: {words} -->\n```json\n{json}```")
}

/// Whether two values have the same keys and kinds of values. Null is any kind: what is
/// not known or does not apply.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, _) | (_, Value::Null) => true,
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|other| is_alike(value, other)))
        }
        (Value::Array(one), Value::Array(other)) => match (one.first(), other.first()) {
            (Some(one), Some(other)) => is_alike(one, other),
            _ => true,
        },
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// Lists with their first entry only.
fn shortened(value: Value) -> Value {
    match value {
        Value::Array(list) => list.into_iter().take(1).map(shortened).collect(),
        Value::Object(object) => {
            object.into_iter().map(|(key, value)| (key, shortened(value))).collect()
        }
        other => other,
    }
}

/// JSON in lines of at most [`WIDTH`] columns where it can be split.
fn laid_out(value: &Value, indent: usize) -> String {
    let line = one_line(value);
    if indent + line.len() <= WIDTH {
        return line;
    }
    let deeper = indent + 2;
    let (open, inside, close) = match value {
        Value::Array(list) => {
            ('[', list.iter().map(|value| laid_out(value, deeper)).collect(), ']')
        }
        Value::Object(object) => ('{', folded(object, deeper), '}'),
        _ => return line,
    };
    let pad = " ".repeat(deeper);
    let inside: Vec<String> = inside;
    format!("{open}\n{pad}{}\n{}{close}", inside.join(&format!(",\n{pad}")), " ".repeat(indent))
}

/// The fields of an object, as many in a line as fit.
fn folded(object: &serde_json::Map<String, Value>, indent: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (key, value) in object {
        let key = Value::from(key.as_str());
        let field = format!("{key}: {}", one_line(value));
        let fits = |line: &&mut String| {
            !line.contains('\n') && indent + line.len() + 2 + field.len() < WIDTH
        };
        match lines.last_mut().filter(fits) {
            Some(line) => line.extend([", ", &field]),
            None if indent + field.len() < WIDTH => lines.push(field),
            None => lines.push(format!("{key}: {}", laid_out(value, indent))),
        }
    }
    lines
}

/// JSON in one line with blanks, as people write it.
fn one_line(value: &Value) -> String {
    match value {
        Value::Array(list) => {
            format!("[{}]", list.iter().map(one_line).collect::<Vec<_>>().join(", "))
        }
        Value::Object(object) => {
            let field = |(key, value): (&String, &Value)| {
                format!("{}: {}", Value::from(key.as_str()), one_line(value))
            };
            format!("{{{}}}", object.iter().map(field).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Everything in a node's directory is explained in the reference.
fn compare_directory(data: &Path) {
    let text = document(REFERENCE);
    for entry in fs::read_dir(data).expect("a node's directory") {
        let entry = entry.expect("it can be read");
        let name = entry.file_name().to_str().expect("a plain name").to_owned();
        let slash = if entry.path().is_dir() { "/" } else { "" };
        assert!(
            text.contains(&format!("\n| `{name}{slash}` |")),
            "{REFERENCE} lacks {name}{slash}"
        );
    }
}

/// Processes that end with their test.
struct Crowd(Vec<Child>);

impl Crowd {
    /// Starts a program that says when it is ready.
    fn start(&mut self, dir: &Path, words: &[&str]) {
        let mut command = command(words);
        command.current_dir(dir).stdout(Stdio::piped()).stderr(Stdio::null());
        self.0.push(command.spawn().expect("it starts"));
        let child = self.0.last_mut().expect("it was just added");
        ready_line(child).expect("it says that it is ready");
    }

    /// A node on a port that the samples name.
    fn node(&mut self, dir: &Path, port: u16, more: &[&str]) {
        let (at, data) = (format!(":{port}"), format!("d{port}"));
        let to = format!("to{port}");
        let words = [&at, "--headless", "--data-dir", &data, "--download-dir", &to];
        self.start(dir, &[&words[..], &["--stabilize", "200ms"], more].concat());
    }

    /// A ring of nodes on ports from 2000 on; `more`: what each is told besides.
    fn ring(&mut self, dir: &Path, more: &[&[&str]]) {
        for (port, more) in (2000..).zip(more) {
            let join: &[&str] = if port == 2000 { &[] } else { &["--join", ":2000"] };
            self.node(dir, port, &[join, more].concat());
        }
        eventually("they are one ring", || {
            let ring = answer(dir, &["ring", "--json"])?;
            let members = ring["members"].as_array().map_or(0, Vec::len);
            if ring["healthy"] == true && members == more.len() {
                Ok(())
            } else {
                Err(ring.to_string())
            }
        });
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn answer(dir: &Path, words: &[&str]) -> Result<Value, String> {
    let output = command(words).current_dir(dir).output().map_err(|error| error.to_string())?;
    serde_json::from_slice(&output.stdout).map_err(|_| describe(&output))
}

fn write(path: &Path, bytes: usize) {
    fs::create_dir_all(path.parent().expect("it lies in a directory")).expect("it can be made");
    fs::write(path, vec![b'x'; bytes]).expect("it can be written");
}

/// Four nodes and two registries; three nodes share files.
fn crowded_room() {
    let home = TempDir::new().expect("a temporary directory");
    let dir = home.path();
    for shared in ["one", "two"] {
        write(&dir.join(shared).join("Overture.flac"), 20_000);
        fs::copy(SKY_SHIP, dir.join(shared).join("SkyShip.jpg")).expect("it can be copied");
    }
    write(&dir.join("three/SkyShip.jpg"), 1_234);
    let mut crowd = Crowd(Vec::new());
    crowd.start(dir, &["seed", "--count", "2", "--headless", "--data-dir", "seeds"]);
    let seeds = ["--seed", ":5000", "--seed", ":5001"];
    let with = |share: &'static str| [&seeds[..], &["--share", share]].concat();
    let (one, two, three) = (with("one"), with("two"), with("three"));
    crowd.ring(dir, &[&seeds, &one, &two, &three]);
    eventually("links, what is shared, and the registries are known", || {
        let peers = answer(dir, &["peers", "--json"])?;
        let shared = |port: u16| {
            let address = format!("127.0.0.1:{port}");
            let rows = peers["peers"].as_array()?;
            rows.iter().find(|row| row["address"] == address.as_str())?["shared"].as_u64()
        };
        let registries = peers["registries"].as_array().into_iter().flatten();
        let listed = registries.filter(|row| row["peers"] == 4).count();
        if (shared(2001), shared(2002), shared(2003), listed) == (Some(2), Some(2), Some(1), 2) {
            Ok(())
        } else {
            Err(peers.to_string())
        }
    });
    compare("> chordal scan 127.0.0.1 4999-5001", dir, |_| {});
    compare("> chordal peers", dir, |_| {});
    compare("> chordal find skyship", dir, |_| {});
    compare("> chordal request SkyShip.jpg 2001", dir, |_| {});
    for words in JSON_OF_SHARERS {
        compare_json(words, dir);
    }
    compare_directory(&dir.join("d2001"));
}

/// Eight nodes, and a directory to put.
fn study() {
    let home = TempDir::new().expect("a temporary directory");
    let dir = home.path();
    write(&dir.join("album/b.txt"), 60_000);
    write(&dir.join("album/deep/c.txt"), 9_979);
    fs::copy(SKY_SHIP, dir.join("album/SkyShip.jpg")).expect("it can be copied");
    std::os::unix::fs::symlink("c.txt", dir.join("album/deep/link")).expect("it can be made");
    let mut crowd = Crowd(Vec::new());
    crowd.ring(dir, &[&[][..]; 8]);
    compare("> chordal put album", dir, |_| {});
    compare("> chordal get albun/SkyShip.jpg", dir, |words| {
        if words == "get album/deep/c.txt" {
            let removed = command(&["rm", "album/deep/c.txt"]).output().expect("it runs");
            assert!(removed.status.success(), "{}", describe(&removed));
        }
    });
    compare("> chordal lookup SkyShip.jpg", dir, |_| {});
    for words in JSON_OF_A_RING {
        compare_json(words, dir);
    }
}

#[test]
fn samples_of_the_laboratory_are_what_the_program_prints() {
    let home = TempDir::new().expect("a temporary directory");
    compare("> chordal sim failures", home.path(), |_| {});
    compare_json(JSON_OF_A_TABLE, home.path());
}

#[test]
#[cfg(target_os = "linux")]
fn samples_of_rings_are_what_the_program_prints() {
    let alone = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-rn", "sh", "-c", r#"ip link set lo up && exec "$@""#, "sh"]).args(words);
        command.output().ok().filter(|output| output.status.success() || words.len() > 1)
    };
    if alone(&["true"]).is_none() {
        return eprintln!("no network of its own is to be had: nothing is compared");
    }
    let program = std::env::current_exe().expect("this program has a path");
    let inside = "samples::inside_a_network_of_their_own";
    let words = [text(&program), "--exact", inside, "--ignored", "--nocapture"];
    let output = alone(&words).expect("it runs");
    assert!(output.status.success(), "{}", describe(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{}", describe(&output));
}

#[test]
#[ignore = "needs ports that people use; the test above runs it in a network of its own"]
fn inside_a_network_of_their_own() {
    crowded_room();
    study();
}

#[test]
fn each_sample_is_compared_with_what_the_program_prints() {
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file!()));
    let source = source.expect("it is there");
    for first in blocks().keys().filter(|first| !BY_HAND.contains(&first.as_str())) {
        assert!(source.contains(&format!("compare(\"{first}\"")), "nothing runs '{first}'");
    }
    for words in json_samples().keys().map(String::as_str) {
        let ran = JSON_OF_SHARERS.contains(&words) || JSON_OF_A_RING.contains(&words);
        assert!(ran || words == JSON_OF_A_TABLE, "nothing runs '{words}'");
    }
}

#[test]
fn json_that_lacks_or_adds_a_field_is_not_alike() {
    let shown = serde_json::json!({ "a": [{ "b": 1 }], "c": null });
    let alike = |other| is_alike(&shown, &other);
    assert!(alike(serde_json::json!({ "a": [{ "b": 2 }, { "b": 3 }], "c": "why" })));
    assert!(alike(serde_json::json!({ "a": [], "c": 7 })));
    assert!(!alike(serde_json::json!({ "a": [{ "b": "2" }], "c": null })));
    assert!(!alike(serde_json::json!({ "a": [{ "b": 2, "d": 1 }], "c": null })));
    assert!(!alike(serde_json::json!({ "a": [{ "b": 2 }] })));
}

#[test]
fn only_what_differs_from_run_to_run_is_not_compared() {
    let same = |one: &str, other: &str| steady(one) == steady(other);
    assert!(same("stored in 42 ms\n", "stored in 1.2 s\n"));
    assert!(same("a  random    up     419 µs    9 s  2\n", "a  incoming  up  -  11 s  2\n"));
    assert!(!same("3/3 copies", "2/3 copies") && !same("85.0 kB", "85.1 kB"));
    assert!(!same("found on 127.0.0.1:2001", "found on 127.0.0.1:2002"));
}
