//! The lines entered at the prompt, remembered across sessions.
//!
//! In memory a [`History`] is a list, oldest first. On disk it is one line per
//! command in a file that only its owner can read; several dashboards may add
//! to it at once, because each line is appended under a lock in one write.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// Lines kept in memory, and in the file when it is shortened.
const MAX_LINES: usize = 1_000;

/// Bytes above which the file is shortened: a session adds far less, so this
/// happens rarely.
const MAX_FILE_BYTES: u64 = 256 * 1024;

/// Lines entered before, oldest first.
#[derive(Debug, Default)]
pub struct History {
    lines: Vec<String>,
    path: Option<PathBuf>,
}

impl History {
    /// Reads the file at `path`, shortening it where it has grown too long. A
    /// file that cannot be read is told to the log: the history then lives in
    /// memory only.
    pub fn load(path: Option<PathBuf>) -> History {
        let Some(path) = path else {
            return History::default();
        };
        match read(&path) {
            Ok(lines) => History { lines, path: Some(path) },
            Err(why) => {
                tracing::warn!("the history {} cannot be used: {why}", path.display());
                History::default()
            }
        }
    }

    /// Where lines are kept on disk.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Remembers a line in memory; the caller appends it to the file.
    pub fn push(&mut self, line: &str) {
        if self.lines.last().is_some_and(|last| last == line) {
            return;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.remove(0);
        }
        self.lines.push(line.to_owned());
    }

    /// The number of lines.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether nothing was entered yet.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The line with this number, 0 being the oldest.
    pub fn line(&self, at: usize) -> Option<&str> {
        self.lines.get(at).map(String::as_str)
    }

    /// Every line, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().rev().map(String::as_str)
    }

    /// The nearest line older than `before` that starts with `prefix` and is
    /// not `shown` already.
    pub fn older(&self, prefix: &str, shown: &str, before: usize) -> Option<usize> {
        let before = before.min(self.lines.len());
        (0..before).rev().find(|&at| self.fits(at, prefix, shown))
    }

    /// Likewise the nearest line newer than `after`.
    pub fn newer(&self, prefix: &str, shown: &str, after: usize) -> Option<usize> {
        (after.saturating_add(1)..self.lines.len()).find(|&at| self.fits(at, prefix, shown))
    }

    /// The nearest line older than `before` that contains `needle`.
    pub fn containing(&self, needle: &str, before: usize) -> Option<usize> {
        let before = before.min(self.lines.len());
        (0..before).rev().find(|&at| self.lines[at].contains(needle))
    }

    fn fits(&self, at: usize, prefix: &str, shown: &str) -> bool {
        self.lines[at].starts_with(prefix) && self.lines[at] != shown
    }
}

/// Adds one line to the file at `path`, which is created for its owner only.
pub fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = open_locked(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

/// Opens the file for reading and appending, alone until it is closed.
fn open_locked(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    flock(&file, FlockOperation::LockExclusive)?;
    Ok(file)
}

fn read(path: &Path) -> io::Result<Vec<String>> {
    if !path.try_exists()? {
        return Ok(Vec::new());
    }
    let mut file = open_locked(path)?;
    // It may have been made by hand, or restored from a backup.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    let size = file.metadata()?.len();
    // Only the end counts, however long the file is.
    file.seek(SeekFrom::Start(size.saturating_sub(MAX_FILE_BYTES)))?;
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut lines: Vec<String> = text
        .lines()
        .skip(usize::from(size > MAX_FILE_BYTES))
        .filter(|line| !line.trim().is_empty() && !line.chars().any(char::is_control))
        .map(str::to_owned)
        .collect();
    lines.drain(..lines.len().saturating_sub(MAX_LINES));
    if size > MAX_FILE_BYTES {
        file.set_len(0)?;
        file.write_all(format!("{}\n", lines.join("\n")).as_bytes())?;
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(lines: &[&str]) -> History {
        let mut history = History::default();
        for line in lines {
            history.push(line);
        }
        history
    }

    #[test]
    fn older_and_newer_lines_keep_to_the_prefix_and_skip_what_is_shown() {
        let history = history(&["put a", "get x", "put b", "info", "put b"]);
        assert_eq!(history.older("put", "put", 5), Some(4));
        assert_eq!(history.older("put", "put b", 4), Some(0));
        assert_eq!(history.older("put", "put a", 0), None);
        assert_eq!(history.newer("put", "put a", 0), Some(2));
        assert_eq!(history.newer("put", "put b", 4), None);
        assert_eq!(history.containing("et", 5), Some(1));
    }

    #[test]
    fn a_repeated_line_is_remembered_once() {
        assert_eq!(history(&["info", "info", "ring"]).len(), 2);
    }

    #[test]
    fn lines_of_two_dashboards_come_back_and_nobody_else_may_read_them() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deep/history");
        assert!(History::load(Some(path.clone())).is_empty());
        append(&path, "put a").expect("appended");
        append(&path, "get b").expect("appended");
        let history = History::load(Some(path.clone()));
        assert_eq!(history.newest_first().collect::<Vec<_>>(), ["get b", "put a"]);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn lines_appended_from_many_threads_are_all_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history");
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    for number in 0..50 {
                        append(path, &format!("put file-{thread}-{number}")).expect("appended");
                    }
                });
            }
        });
        let mut lines = History::load(Some(path)).lines;
        lines.sort();
        lines.dedup();
        assert_eq!(lines.len(), 200);
        assert!(lines.iter().all(|line| line.starts_with("put file-")));
    }

    #[test]
    fn a_file_that_has_grown_too_long_keeps_its_newest_lines() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history");
        let lines: Vec<_> = (0..40_000).map(|number| format!("put {number}")).collect();
        fs::write(&path, lines.join("\n") + "\n").expect("written");
        let history = History::load(Some(path.clone()));
        assert_eq!(history.len(), MAX_LINES);
        assert_eq!(history.line(MAX_LINES - 1), Some("put 39999"));
        let kept = fs::read_to_string(&path).expect("there");
        assert_eq!(kept.lines().count(), MAX_LINES);
        assert!(kept.starts_with("put 39000\n"));
    }

    #[test]
    fn without_a_usable_file_the_history_lives_in_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut history = History::load(Some(directory.path().to_owned()));
        history.push("info");
        assert_eq!((history.len(), history.path()), (1, None));
    }
}
