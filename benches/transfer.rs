//! How fast large files go in and come out, beside the programs that people
//! would use instead, on this machine and in this hour.
//!
//! `cargo bench --bench transfer [-- PART…]`
//!
//! - `curl`: `get` from a ring of three nodes, verified, to a file, against
//!   `curl` from nginx (sendfile) to a file on the same disk.
//! - `torrent`: the same `get` against a libtorrent swarm of three seeds.
//! - `holders`: `get` from three holders against `request` from one.
//! - `put`: `put` with three durable copies against `cp` three times and `sync`.
//! - `small`: many small files: `cargo bench --bench small_files`.
//!
//! Runs come in pairs, one of each kind, in turn first; what one leaves to be
//! written is on the disk before the next begins. A ratio is the median of the
//! pairs' ratios, with the least and the greatest. What every process of ours
//! took beyond its memory at rest comes at the end. What is not installed is
//! named and left out.
//!
//! Environment: `SIZE_MIB` (1024), `PAIRS` (5), `SMALL_FILES` (10000), `PYTHON`
//! (python3; knows libtorrent), `BENCH_DIR` (where the files go; needs eight
//! times `SIZE_MIB`).

// The figures are the output.
#![allow(clippy::print_stdout)]

#[path = "transfer/measure.rs"]
mod measure;
#[path = "transfer/peers.rs"]
mod peers;

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use measure::{Pairs, mib, run, same};
use peers::{Nginx, Node, Swarm, chordal, has};

/// What a process may take beyond its memory at rest.
const MEMORY_BUDGET_MIB: u64 = 64;

/// The parts in the order in which they run.
const PARTS: [&str; 5] = ["put", "curl", "torrent", "holders", "small"];

/// The name under which the large file is stored.
const NAME: &str = "source";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if let Some(unknown) = words.iter().find(|word| !PARTS.contains(&word.as_str())) {
        println!("'{unknown}' is no part of this; there are: {}", PARTS.join(", "));
        std::process::exit(2);
    }
    let wants = |part: &str| words.is_empty() || words.iter().any(|word| word == part);
    if wants("put") || wants("curl") || wants("torrent") || wants("holders") {
        let dir = std::env::var_os("BENCH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let home = tempfile::Builder::new().prefix("chordal-bench").tempdir_in(dir);
        let home = home.expect("BENCH_DIR is a directory with room");
        removed_when_interrupted(&home);
        Bench::new(home.path()).large_files(wants);
    }
    if wants("small") {
        small_files();
    }
}

/// A number of the environment.
fn setting(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name} is a number, not '{text}'"))
}

/// Ctrl-C ends every process of the group; the files are left to this one.
fn removed_when_interrupted(home: &TempDir) {
    let home = home.path().to_owned();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if runtime.is_ok_and(|runtime| runtime.block_on(tokio::signal::ctrl_c()).is_ok()) {
            let _ = fs::remove_dir_all(home);
            std::process::exit(130);
        }
    });
}

struct Bench<'a> {
    home: &'a Path,
    /// The large file.
    source: PathBuf,
    size_mib: u64,
    pairs: usize,
    nodes: Vec<Node>,
    /// The most memory that a `put` took, in bytes.
    putting: Cell<u64>,
    /// The most memory that a `get` or a `request` took, in bytes.
    getting: Cell<u64>,
}

impl Bench<'_> {
    fn new(home: &Path) -> Bench<'_> {
        let (size_mib, pairs) = (setting("SIZE_MIB", 1024), setting("PAIRS", 5) as usize);
        assert!(size_mib > 0 && pairs > 0, "SIZE_MIB and PAIRS are at least 1");
        println!("{size_mib} MiB of random bytes, pairs of runs: {pairs}");
        let root = home.join("root");
        fs::create_dir(&root).expect("a new directory");
        let source = root.join(NAME);
        let mut file = File::create(&source).expect("a new file");
        let (mut random, mut block) = (fastrand::Rng::with_seed(size_mib), vec![0; 1 << 20]);
        for _ in 0..size_mib {
            random.fill(&mut block);
            file.write_all(&block).expect("the disk has space");
        }
        Bench {
            home,
            source,
            size_mib,
            pairs,
            nodes: peers::ring(home),
            putting: Cell::default(),
            getting: Cell::default(),
        }
    }

    fn large_files(&self, wants: impl Fn(&str) -> bool) {
        if wants("put") {
            self.put();
        }
        // What all the others fetch.
        self.store(NAME);
        if wants("curl") {
            self.get_and_curl();
        }
        if wants("torrent") {
            self.get_and_torrent();
        }
        if wants("holders") {
            self.three_and_one();
        }
        self.memory();
    }

    fn via(&self) -> &str {
        &self.nodes[0].address
    }

    fn line(&self, pairs: &Pairs, what: &str, other: &str, budget: f64) {
        println!("{}", pairs.line(what, other, self.size_mib, budget));
    }

    /// Stores the file under a name.
    fn store(&self, name: &str) -> Duration {
        let source = self.source.to_str().expect("a temporary path is text");
        let ran = run(&mut chordal(self.home, &["put", source, "--as", name], self.via()));
        self.putting.set(self.putting.get().max(ran.peak));
        ran.took
    }

    /// Other content in as little time as possible: the first bytes tell.
    fn change(&self, pair: usize) {
        let file = File::options().write(true).open(&self.source).expect("it is there");
        file.write_all_at(&pair.to_le_bytes(), 0).expect("a byte is changed");
    }

    fn put(&self) {
        let copies: Vec<PathBuf> =
            (0..3).map(|number| self.home.join(format!("copy-{number}"))).collect();
        let pairs = Pairs::of(
            self.pairs,
            |pair| {
                self.change(pair + 1);
                let name = format!("put {pair}");
                let took = self.store(&name);
                run(&mut chordal(self.home, &["rm", &name], self.via()));
                took
            },
            |_| {
                let mut shell = Command::new("sh");
                let script = "cp \"$0\" \"$1\" && cp \"$0\" \"$2\" && cp \"$0\" \"$3\" && \
                              sync \"$1\" \"$2\" \"$3\"";
                let took = run(shell.args(["-c", script]).arg(&self.source).args(&copies)).took;
                copies.iter().for_each(|copy| fs::remove_file(copy).expect("it was made"));
                took
            },
        );
        self.change(0);
        self.line(&pairs, "put, 3 durable copies", "cp ×3 + sync", 0.8);
    }

    /// Fetches the file with one of our words, and removes it again.
    fn fetch(&self, words: &[&str]) -> Duration {
        let to = self.home.join("fetched");
        let to_text = to.to_str().expect("a temporary path is text");
        let ran = run(&mut chordal(self.home, &[words, &["--to", to_text]].concat(), self.via()));
        assert!(same(&to, &self.source), "other bytes were fetched");
        fs::remove_file(&to).expect("it was fetched");
        self.getting.set(self.getting.get().max(ran.peak));
        ran.took
    }

    fn get_and_curl(&self) {
        for program in ["nginx", "curl"] {
            if !has(program) {
                return println!("{program} is not installed: get is not compared with curl");
            }
        }
        let root = self.source.parent().expect("a file has a directory").to_owned();
        let nginx = Nginx::start(self.home, &root);
        let (to, url) = (self.home.join("curled"), format!("{}/{NAME}", nginx.url));
        let pairs = Pairs::of(
            self.pairs,
            |_| self.fetch(&["get", NAME]),
            |_| {
                let mut curl = peers::command("curl", self.home);
                curl.args(["--silent", "--show-error", "--fail", &url, "-o"]).arg(&to);
                let took = run(&mut curl).took;
                assert!(same(&to, &self.source), "curl fetched other bytes");
                fs::remove_file(&to).expect("it was fetched");
                took
            },
        );
        self.line(&pairs, "get, verified", "curl from nginx", 1.0);
    }

    fn get_and_torrent(&self) {
        let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        if !Swarm::is_there(&python) {
            return println!("{python} has no libtorrent: get is not compared with a swarm");
        }
        let swarm = Swarm::start(self.home, &python, &self.source);
        let to = self.home.join("swarmed");
        fs::create_dir(&to).expect("a new directory");
        let pairs = Pairs::of(
            self.pairs,
            |_| self.fetch(&["get", NAME]),
            |_| {
                let ran = run(&mut swarm.get(&to));
                assert!(same(&to.join(NAME), &self.source), "the swarm fetched other bytes");
                fs::remove_file(to.join(NAME)).expect("it was fetched");
                let seconds = ran.output.trim().parse().expect("it says how long it took");
                Duration::from_secs_f64(seconds)
            },
        );
        self.line(&pairs, "get, verified", "libtorrent, 3 seeds", 3.0);
    }

    fn three_and_one(&self) {
        let one = &self.nodes[1].address;
        let pairs = Pairs::of(
            self.pairs,
            |_| self.fetch(&["get", NAME]),
            |_| self.fetch(&["request", NAME, one]),
        );
        self.line(&pairs, "get from 3 holders", "request from one", 1.0);
    }

    fn memory(&self) {
        let (put, get) = (self.putting.get(), self.getting.get());
        println!("memory of a command in all: put {}, get {}", mib(put), mib(get));
        for (number, node) in self.nodes.iter().enumerate() {
            let more = node.running.peak().saturating_sub(node.rest);
            let kept = if more <= MEMORY_BUDGET_MIB << 20 { "kept" } else { "MISSED" };
            println!(
                "memory of node {number}: {} at rest, {} more at the most, budget \
                 {MEMORY_BUDGET_MIB} MiB {kept}",
                mib(node.rest),
                mib(more)
            );
        }
    }
}

/// The benchmark of small files, which stands alone as well.
fn small_files() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let files = setting("SMALL_FILES", 10_000).to_string();
    println!();
    let status = Command::new(cargo)
        .args(["bench", "--quiet", "--bench", "small_files", "--", &files])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the benchmark of small files fails");
}
