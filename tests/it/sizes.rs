//! Files of every size: around nothing, around a message, around pieces, with
//! holes, and far larger than memory. Each is put, copied and fetched by real
//! processes, which take no more memory for a large file than for a small one.
//!
//! A file of 20 GiB takes minutes and 41 GiB of room where temporary files go:
//!
//! ```text
//! cargo test --release --test it sizes::a_file_of_20_gib -- --ignored --nocapture
//! ```

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use chordal::limits::EAGER_BYTES;
use chordal::transfer::manifest::MIN_PIECE_BYTES;
use tempfile::TempDir;

use crate::process::{NodeProcess, Ring, command, describe, random_file, text};

const MIB: u64 = 1 << 20;

/// What a process may take beyond what it has at rest, whatever a file's size.
const MEMORY: u64 = 64 * MIB;

/// What a command has at rest: its program's pages, which are many when it is not
/// optimised.
const COMMAND_AT_REST: u64 = 24 * MIB;

/// A field of /proc/PID/status in bytes; `None` where there is no such thing,
/// or no such process any more.
fn memory(process: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Runs a command through a node and watches its memory. It must succeed.
/// Returns the most that it took, 0 where that cannot be seen.
fn watched(node: &NodeProcess, words: &[&str]) -> u64 {
    let via = node.address.to_string();
    let child = command(&[words, &["--via", &via]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let process = child.id();
    let end = std::thread::spawn(move || child.wait_with_output());
    let mut most = 0;
    // The system forgets a process's peak with the process.
    while !end.is_finished() {
        most = memory(process, "VmHWM").unwrap_or_default().max(most);
        std::thread::sleep(Duration::from_millis(5));
    }
    let output: Output = end.join().expect("no panic").expect("it can be waited for");
    assert!(output.status.success(), "{words:?}: {}", describe(&output));
    most
}

/// A file of this many bytes that takes next to no room: a hole with some bytes
/// here and there, at its beginning, at its end and across pieces.
fn sparse_file(path: &Path, bytes: u64) {
    let file = File::create(path).expect("a file in a temporary directory");
    file.set_len(bytes).expect("the file system knows holes");
    let mut random = fastrand::Rng::with_seed(bytes);
    let mut island = vec![0; 10_000];
    for at in [0, bytes / 3, bytes / 2 / MIB * MIB - 5_000, bytes - 10_000] {
        random.fill(&mut island);
        file.write_all_at(&island, at).expect("room on the disk");
    }
}

/// Compares two files without having either in memory.
fn same(one: &Path, other: &Path) -> bool {
    let open = |path| BufReader::with_capacity(1 << 20, File::open(path).expect("it is there"));
    let (mut one, mut other) = (open(one), open(other));
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = one.read(&mut left).expect("readable");
        if read == 0 {
            return other.read(&mut right).expect("readable") == 0;
        }
        if other.read_exact(&mut right[..read]).is_err() || left[..read] != right[..read] {
            return false;
        }
    }
}

#[test]
fn files_around_every_boundary_come_back_from_every_holder() {
    let piece = MIN_PIECE_BYTES;
    let sizes = [
        0,
        1,
        EAGER_BYTES - 1,
        EAGER_BYTES,
        EAGER_BYTES + 1,
        piece - 1,
        piece,
        piece + 1,
        4 * piece - 1,
        4 * piece,
        4 * piece + 1,
        7 * piece + 12_345,
    ];
    let ring = Ring::of(4);
    let dir = TempDir::new().expect("a temporary directory");
    for (number, size) in sizes.into_iter().enumerate() {
        let path = dir.path().join(format!("{size}.bin"));
        let name = format!("{size}.bin");
        random_file(&path, size as usize, number as u64);
        // From each node, be it a holder or not.
        let said = ring.nodes[number % 4].run(&["put", text(&path)]);
        assert!(said.contains("3/3"), "{name}: {said}");
        let expected = std::fs::read(&path).expect("just written");
        let holders = ring.secured(&name);
        for node in &ring.nodes {
            assert!(node.fetch(&name).expect("it is there") == expected, "{name}");
        }
        for (at, holder) in holders.iter().enumerate() {
            let to = dir.path().join(format!("{size} from {at}"));
            ring.nodes[at].run(&["request", &name, &holder.to_string(), "--to", text(&to)]);
            assert!(std::fs::read(&to).expect("fetched") == expected, "{name} from {holder}");
        }
    }
}

/// What the nodes took so far beyond what they had at rest.
fn grown(ring: &Ring, rest: &[Option<u64>]) -> Vec<u64> {
    let most = ring.nodes.iter().map(|node| memory(node.process(), "VmHWM"));
    most.zip(rest).filter_map(|(most, rest)| Some(most?.saturating_sub((*rest)?))).collect()
}

/// Puts a file with holes through one node of a ring and gets it through
/// another; the bytes must be the same and memory must stay.
fn through_a_ring(ring: &Ring, dir: &Path, bytes: u64) {
    let (source, to) = (dir.join("holes.img"), dir.join("fetched.img"));
    sparse_file(&source, bytes);
    let rest: Vec<Option<u64>> =
        ring.nodes.iter().map(|node| memory(node.process(), "VmRSS")).collect();
    let began = Instant::now();
    let putting = watched(&ring.nodes[0], &["put", text(&source)]);
    let put = began.elapsed();
    let began = Instant::now();
    let last = &ring.nodes[ring.nodes.len() - 1];
    let getting = watched(last, &["get", "holes.img", "--to", text(&to)]);
    let got = began.elapsed();
    assert!(same(&source, &to), "the bytes are the same");
    let nodes = grown(ring, &rest);
    assert!(nodes.iter().all(|grown| *grown <= MEMORY), "nodes took more: {nodes:?}");
    let most = MEMORY + COMMAND_AT_REST;
    assert!(putting.max(getting) <= most, "commands took more: put {putting}, get {getting}");
    let mib = |bytes: u64| bytes / MIB;
    report(&format!(
        "{} MiB: put in {put:.1?}, got in {got:.1?}; memory above rest: nodes {:?} MiB, \
         in all: put {} MiB, get {} MiB",
        mib(bytes),
        nodes.iter().copied().map(mib).collect::<Vec<_>>(),
        mib(putting),
        mib(getting),
    ));
}

#[expect(clippy::print_stdout, reason = "the figures of the long test are its output")]
fn report(line: &str) {
    println!("{line}");
}

#[test]
fn a_file_with_holes_comes_back_whole_and_memory_does_not_grow_with_it() {
    let ring = Ring::of(3);
    let dir = TempDir::new().expect("a temporary directory");
    through_a_ring(&ring, dir.path(), 100 * MIB + 4_321);
}

#[test]
#[ignore = "takes minutes and 41 GiB of room: see the top of this file"]
fn a_file_of_20_gib_comes_back_whole_and_memory_does_not_grow_with_it() {
    let first = NodeProcess::start(&["--replicas", "1"]);
    let contact = first.address.to_string();
    let second = NodeProcess::start(&["--replicas", "1", "--join", &contact]);
    let ring = Ring { nodes: vec![first, second] };
    ring.settled();
    let dir = TempDir::new().expect("a temporary directory");
    through_a_ring(&ring, dir.path(), 20 * 1024 * MIB + 1);
}
