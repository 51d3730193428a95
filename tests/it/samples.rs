//! README's samples are what the program prints. Each block of README.md that begins
//! with `> chordal` (but for those of [`BY_HAND`]) is run on a ring that is prepared for it, and must be the same but
//! for what no two runs have in common ([`steady`]). A line of `…` ends what is shown
//! of a longer answer.
//!
//! `CHORDAL_README=write cargo test --test it samples::` writes those that differ anew.
//!
//! The samples name ports that people use, so the ring has a network of its own where
//! the system grants one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use regex::Regex;
use tempfile::TempDir;

use crate::process::{SKY_SHIP, command, describe, eventually, ready_line, text};

/// Blocks that show how far a download is at a moment, or how its sources shared the
/// work, by their first line: no two runs have that in common.
const BY_HAND: [&str; 2] = ["> chordal transfers --via :2002", "> get Overture.flac"];

/// Held while README.md is written.
static README: Mutex<()> = Mutex::new(());

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

/// The samples of README.md, by their first line.
fn blocks() -> BTreeMap<String, String> {
    let text = fs::read_to_string(readme()).expect("it is there");
    let block = Regex::new(r"(?ms)^```text\n(> .*?)^```$").expect("a pattern");
    let blocks = block.captures_iter(&text).map(|found| found[1].to_owned());
    blocks.map(|block| (block.lines().next().unwrap_or_default().to_owned(), block)).collect()
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

/// Runs the commands of a block in `dir`, and compares; where README is to be
/// written, a block that differs is replaced. `before` prepares each command.
fn compare(first: &str, dir: &Path, mut before: impl FnMut(&str)) {
    let block = blocks().remove(first).unwrap_or_else(|| panic!("README.md lacks '{first}'"));
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
        // As much of it as README shows.
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
    if steady(&block) == steady(&printed) {
        return;
    }
    if std::env::var_os("CHORDAL_README").is_some_and(|value| value == "write") {
        let _held = README.lock().unwrap_or_else(PoisonError::into_inner);
        let old = fs::read_to_string(readme()).expect("it is there");
        fs::write(readme(), old.replacen(&block, &printed, 1)).expect("it can be written");
        return;
    }
    panic!(
        "README.md shows\n{block}\nand the program prints\n{printed}\n\
         CHORDAL_README=write cargo test --test it samples:: writes it anew"
    );
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

fn answer(dir: &Path, words: &[&str]) -> Result<serde_json::Value, String> {
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
}

#[test]
fn samples_of_the_laboratory_are_what_the_program_prints() {
    let home = TempDir::new().expect("a temporary directory");
    compare("> chordal sim failures", home.path(), |_| {});
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
}

#[test]
fn only_what_differs_from_run_to_run_is_not_compared() {
    let same = |one: &str, other: &str| steady(one) == steady(other);
    assert!(same("stored in 42 ms\n", "stored in 1.2 s\n"));
    assert!(same("a  random    up     419 µs    9 s  2\n", "a  incoming  up  -  11 s  2\n"));
    assert!(!same("3/3 copies", "2/3 copies") && !same("85.0 kB", "85.1 kB"));
    assert!(!same("found on 127.0.0.1:2001", "found on 127.0.0.1:2002"));
}
