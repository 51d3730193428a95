//! Running a program to its end and seeing how long it took, what memory it
//! needed, and how it compares with another.

use std::fmt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How often a process's memory is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Times of two programs that did the same work in turn.
#[derive(Debug, Default)]
pub(crate) struct Pairs {
    ours: Vec<Duration>,
    theirs: Vec<Duration>,
}

impl Pairs {
    /// Runs both so many times, each first in every second pair: what slows the
    /// machine down for a while slows both.
    pub(crate) fn of(
        count: usize,
        mut ours: impl FnMut(usize) -> Duration,
        mut theirs: impl FnMut(usize) -> Duration,
    ) -> Pairs {
        let mut pairs = Pairs::default();
        for pair in 0..count {
            if pair % 2 == 0 {
                pairs.ours.push(ours(pair));
                pairs.theirs.push(theirs(pair));
            } else {
                pairs.theirs.push(theirs(pair));
                pairs.ours.push(ours(pair));
            }
        }
        pairs
    }

    /// One line: both speeds and how many times as fast ours was, in the middle
    /// and at the ends.
    pub(crate) fn line(&self, what: &str, other: &str, mib: u64, budget: f64) -> String {
        let ratio = |(ours, theirs): (&Duration, &Duration)| theirs.div_duration_f64(*ours);
        let mut ratios: Vec<f64> = self.ours.iter().zip(&self.theirs).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        let median = ratios[ratios.len() / 2];
        let kept = if median >= budget { "kept" } else { "MISSED" };
        format!(
            "{what:<26} {}, {other} {}: ratio {median:.2} ({:.2} to {:.2}), budget {budget:.2} {kept}",
            Speed(mib, &self.ours),
            Speed(mib, &self.theirs),
            ratios[0],
            ratios[ratios.len() - 1],
        )
    }
}

/// The middle of several times, as a speed.
struct Speed<'a>(u64, &'a [Duration]);

impl fmt::Display for Speed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut times = self.1.to_vec();
        times.sort();
        write!(f, "{:.0} MiB/s", self.0 as f64 / times[times.len() / 2].as_secs_f64())
    }
}

/// How a program ran.
#[derive(Debug)]
pub(crate) struct Ran {
    /// From its start to its end.
    pub(crate) took: Duration,
    /// The most memory that it was seen to have, in bytes.
    pub(crate) peak: u64,
    /// Its standard output.
    pub(crate) output: String,
}

/// Runs a program to its end, which must be a success. What others have written
/// is on the disk before it begins.
pub(crate) fn run(command: &mut Command) -> Ran {
    settle();
    let began = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let process = child.id();
    let end = thread::spawn(move || (child.wait_with_output(), Instant::now()));
    let mut peak = 0;
    // The system forgets a process's peak with the process.
    while !end.is_finished() {
        peak = peak.max(memory(process, "VmHWM").unwrap_or_default());
        thread::sleep(LOOK);
    }
    let (output, ended) = end.join().expect("no panic");
    let output = output.expect("a child can be waited for");
    assert!(
        output.status.success(),
        "{command:?}: {}: {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    Ran { took: ended - began, peak, output: said }
}

/// Waits until all that was written is on the disk: nobody pays for what another
/// one left.
fn settle() {
    let status = Command::new("sync").status();
    assert!(status.is_ok_and(|status| status.success()), "`sync` does not run");
}

/// A field of /proc/PID/status, in bytes.
pub(crate) fn memory(process: u32, field: &str) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// A process that ends with its owner.
#[derive(Debug)]
pub(crate) struct Running(pub(crate) Child);

impl Running {
    /// The most memory that it has had, in bytes.
    pub(crate) fn peak(&self) -> u64 {
        memory(self.0.id(), "VmHWM").unwrap_or_default()
    }

    /// The memory that it has, in bytes.
    pub(crate) fn resident(&self) -> u64 {
        memory(self.0.id(), "VmRSS").unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether two files have the same bytes.
pub(crate) fn same(one: &Path, other: &Path) -> bool {
    Command::new("cmp").arg("-s").args([one, other]).status().is_ok_and(|status| status.success())
}

/// Bytes for people.
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}
