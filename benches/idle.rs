//! What a node with its dashboard costs at 160×45: the time until its first
//! frame, and processor time and memory at rest, alone and as a member of a
//! ring of three. Budgets: 50 ms; 0.3 % of a core and 15 MiB.
//!
//! `cargo bench --bench idle [-- SECONDS]`: how long rest is watched, 60
//! unless told.
//!
//! Times come from a real terminal, the rest from `/proc` (Linux); elsewhere
//! only the first frame is measured.

// The figures are the output.
#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_chordal");
const SIZE: PtySize = PtySize { rows: 45, cols: 160, pixel_width: 0, pixel_height: 0 };
const STARTS: usize = 20;
const REST: u64 = 60;

const FRAME_BUDGET: Duration = Duration::from_millis(50);
const CORE_BUDGET: f64 = 0.3;
const MEMORY_BUDGET: f64 = 15.0;

/// In which `/proc` counts processor time (USER_HZ).
const TICKS_PER_SECOND: f64 = 100.0;

/// Time for a ring of three to find together and become quiet.
const SETTLING: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    let seconds = std::env::args().find_map(|word| word.parse().ok()).unwrap_or(REST);
    let mut kept = first_frames();
    if Path::new("/proc/self/stat").exists() {
        kept &= rest("alone", 0, seconds);
        kept &= rest("in a ring of three", 2, seconds);
    } else {
        println!("no /proc here: processor time and memory are not measured");
    }
    if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn first_frames() -> bool {
    let mut times: Vec<Duration> = (0..STARTS).map(|_| Dashboard::start(&[]).first_frame).collect();
    times.sort();
    let median = times[times.len() / 2];
    let kept = median <= FRAME_BUDGET;
    println!(
        "start → first frame: median {median:.1?}  min {:.1?}  max {:.1?}  ({STARTS} starts; budget {FRAME_BUDGET:?}: {})",
        times[0],
        times[times.len() - 1],
        verdict(kept),
    );
    kept
}

fn rest(place: &str, others: usize, seconds: u64) -> bool {
    let mut ring: Vec<Headless> = Vec::new();
    for _ in 0..others {
        let contact = ring.first().map(|first| first.address.clone());
        ring.push(Headless::start(contact.as_deref()));
    }
    let join: Vec<&str> =
        ring.first().map_or_else(Vec::new, |first| vec!["--join", first.address.as_str()]);
    let dashboard = Dashboard::start(&join);
    let process = dashboard.child.process_id().expect("the program runs");
    std::thread::sleep(SETTLING);
    let before = processor_time(process);
    std::thread::sleep(Duration::from_secs(seconds));
    let used = processor_time(process) - before;
    let share = 100.0 * used / seconds as f64;
    let memory = status(process, "VmRSS:");
    let kept = share < CORE_BUDGET && memory <= MEMORY_BUDGET;
    println!(
        "at rest {place}: {share:.2} % of a core over {seconds} s (budget {CORE_BUDGET} %), \
         {memory:.1} MiB resident, of which {:.1} MiB its own and {:.1} MiB of files \
         (budget {MEMORY_BUDGET} MiB), {} threads: {}",
        status(process, "RssAnon:"),
        status(process, "RssFile:"),
        threads(process),
        verdict(kept),
    );
    kept
}

fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}

/// A node with its dashboard, killed when dropped.
struct Dashboard {
    child: Box<dyn Child + Send + Sync>,
    /// From the program's start until text was on the screen.
    first_frame: Duration,
    /// Held open for the program, as a terminal window is.
    _terminal: Box<dyn MasterPty + Send>,
    _home: TempDir,
}

impl Dashboard {
    fn start(arguments: &[&str]) -> Dashboard {
        let home = TempDir::new().expect("a temporary directory");
        let pair = native_pty_system().openpty(SIZE).expect("the system has pseudo-terminals");
        let mut command = CommandBuilder::new(PROGRAM);
        command.args([free_address().as_str(), "--data-dir"]);
        command.arg(home.path().join("data"));
        command.args(arguments);
        command.cwd(home.path());
        command.env("HOME", home.path());
        command.env("TERM", "xterm-256color");
        command.env("LANG", "C.UTF-8");
        let mut reader = pair.master.try_clone_reader().expect("a terminal can be read");
        let (tell, heard) = channel();
        let began = Instant::now();
        let child = pair.slave.spawn_command(command).expect("the program starts");
        drop(pair.slave);
        // Reads until the program ends, as a terminal does.
        std::thread::spawn(move || {
            let [rows, columns] =
                [SIZE.rows, SIZE.cols].map(|size| NonZeroU16::new(size).expect("not 0"));
            let mut screen = vt100::Parser::new(rows, columns, 0);
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = reader.read(&mut bytes) {
                screen.process(&bytes[..count]);
                if screen.screen().contents().contains("chordal") {
                    let _ = tell.send(Instant::now());
                }
            }
        });
        let first_frame = until_told(&heard) - began;
        Dashboard { child, first_frame, _terminal: pair.master, _home: home }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until_told(heard: &Receiver<Instant>) -> Instant {
    heard.recv_timeout(Duration::from_secs(30)).expect("the dashboard draws its first frame")
}

/// A node without a dashboard, killed when dropped.
struct Headless {
    child: std::process::Child,
    address: String,
    _home: TempDir,
}

impl Headless {
    fn start(contact: Option<&str>) -> Headless {
        let home = TempDir::new().expect("a temporary directory");
        let mut command = Command::new(PROGRAM);
        command.args(["127.0.0.1:0", "--headless", "--data-dir"]);
        command.arg(home.path().join("data"));
        command.args(contact.map(|contact| format!("--join={contact}")));
        command.current_dir(home.path()).env("HOME", home.path());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the program starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("it is a pipe");
        BufReader::new(out).read_line(&mut line).expect("it says when it listens");
        let address = line.split_whitespace().last().expect("its address").to_owned();
        Headless { child, address, _home: home }
    }
}

impl Drop for Headless {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on which nobody listens.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

/// Seconds of processor time, its own and the system's for it.
fn processor_time(process: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("it runs");
    // The program's name, in brackets, may hold anything; counted after it.
    let (_, rest) = text.rsplit_once(") ").expect("proc(5)");
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks: f64 =
        [11, 12].map(|at: usize| fields[at].parse::<f64>().expect("a number")).iter().sum();
    ticks / TICKS_PER_SECOND
}

/// MiB of a line of the process's status.
fn status(process: u32, what: &str) -> f64 {
    field(process, what) / 1024.0
}

fn threads(process: u32) -> f64 {
    field(process, "Threads:")
}

fn field(process: u32, what: &str) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(what)).expect("proc(5)");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number")
}
