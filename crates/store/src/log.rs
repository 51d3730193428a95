//! The log of names: the catalogue's records, in a file of lines that is only appended to.
//! One fsync serves all lines of a group.
//!
//! It exists so that no file is lost with the catalogue. A line is
//! `check⇥what⇥counter⇥number⇥root⇥name`: `file` with the bytes of the content, `removed`
//! (a tombstone) with the seconds since the epoch, or `forgotten` with 0, which cancels all
//! lines of its name up to that version. `check` is the beginning of the BLAKE3 hash of the
//! rest, so a line that was torn in a crash is ignored.
//!
//! Lines of files and tombstones are durable before the catalogue has them, here or, for a
//! while, in the journal ([`super::journal`]). Lines of forgotten names are written after
//! the catalogue's change and become durable with the next line of another kind. So the log
//! may know more than the catalogue, never less. After a failure it is unknown what the
//! file contains: it is then rewritten from the catalogue before the next line. It is also
//! rewritten when it has grown far beyond its live lines.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, parent};
use super::error::{StoreError, on};
use chordal_core::name::FileName;
use chordal_core::record::{Content, Record, Version};

/// The log's name in the store's directory.
const NAME: &str = "names.log";

/// The name under which it is rewritten before it is renamed.
const NEW: &str = "names.log.new";

/// Bytes by which the log may grow beyond twice its size after the last rewrite: some ten
/// thousand lines, which a start reads in a moment.
const SLACK_BYTES: u64 = 1024 * 1024;

/// Bytes that are gathered before they are written.
const BUFFER_BYTES: usize = 64 * 1024;

/// Hexadecimal digits of a line's check: a torn line passes once in 2³².
const CHECK_DIGITS: usize = 8;

/// The log. Only one thread at a time can write to it.
#[derive(Debug)]
pub(super) struct NameLog {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// `None` when the file must be rewritten.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: Box<dyn DiskFile>,
    /// Offset of the next line.
    end: u64,
    /// At this length the log is rewritten.
    limit: u64,
}

/// What reading a log gave.
#[derive(Clone, Debug, Default)]
pub(super) struct Replay {
    /// The newest record of every name of which the content is here.
    pub(super) records: BTreeMap<FileName, Record>,
    /// The file exists.
    pub(super) there: bool,
    /// Number of valid lines.
    lines: usize,
    bytes: u64,
    /// Some lines are damaged.
    torn: bool,
}

impl NameLog {
    /// The log of a directory; not read yet.
    pub(super) fn new(disk: Arc<dyn Disk>, dir: &Path) -> NameLog {
        NameLog { disk, path: dir.join(NAME), open: None }
    }

    /// Reads the log. Ignores files whose content is not here (`is_here`).
    pub(super) fn read(&self, is_here: impl Fn(&Record) -> bool) -> Result<Replay, StoreError> {
        let file = match self.disk.reader(&self.path) {
            Ok(file) => file,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(Replay::default()),
            Err(why) => return Err(on("open", &self.path)(why)),
        };
        let mut replay = Replay { there: true, ..Replay::default() };
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let count = reader.read_until(b'\n', &mut line).map_err(on("read", &self.path))?;
            if count == 0 {
                return Ok(replay);
            }
            replay.bytes += count as u64;
            match parse(&line) {
                Some(said) => replay.add(said, &is_here),
                None => replay.torn = true,
            }
        }
    }

    /// Continues after the last line that was read, if the log says exactly what `records`
    /// say and is not much longer. Otherwise it must be rewritten. Returns whether it
    /// continues.
    pub(super) fn resume(
        &mut self,
        replay: &Replay,
        records: &BTreeMap<FileName, Record>,
    ) -> Result<bool, StoreError> {
        let small = replay.bytes < SLACK_BYTES || replay.lines < 2 * records.len();
        if replay.there && !replay.torn && small && replay.records == *records {
            let file = self.disk.open(&self.path).map_err(on("open", &self.path))?;
            self.open = Some(Open::after(file, replay.bytes));
        }
        Ok(self.open.is_some())
    }

    /// Whether lines can be appended.
    pub(super) const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Makes the log be rewritten before the next line: it and the catalogue may differ.
    pub(super) fn distrust(&mut self) {
        self.open = None;
    }

    /// Rewrites the log, durably. `each` passes all records to the function that it is
    /// given.
    pub(super) fn rewrite(
        &mut self,
        each: impl FnOnce(&mut dyn FnMut(&Record) -> io::Result<()>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.open = None;
        let new = self.path.with_file_name(NEW);
        self.disk.remove(&new).map_err(on("remove", &new))?;
        let file = self.disk.create(&new).map_err(on("create", &new))?;
        let (mut text, mut end) = (String::new(), 0);
        each(&mut |record| {
            push(&mut text, record);
            if text.len() >= BUFFER_BYTES {
                file.write_at(end, text.as_bytes())?;
                end += text.len() as u64;
                text.clear();
            }
            Ok(())
        })?;
        file.write_at(end, text.as_bytes()).map_err(on("write", &new))?;
        end += text.len() as u64;
        file.sync().map_err(on("sync", &new))?;
        self.disk.rename(&new, &self.path).map_err(on("move a file to", &self.path))?;
        let dir = parent(&self.path);
        self.disk.sync_dir(dir).map_err(on("sync", dir))?;
        self.open = Some(Open::after(file, end));
        Ok(())
    }

    /// Appends [`lines`], durably. The log must be open.
    pub(super) fn append(&mut self, lines: &str) -> Result<(), StoreError> {
        self.write(lines, true)
    }

    /// Appends [`lines`] that are durable elsewhere until the next [`NameLog::sync`]. The
    /// log must be open.
    pub(super) fn append_ahead(&mut self, lines: &str) -> Result<(), StoreError> {
        self.write(lines, false)
    }

    /// Makes all lines durable. The log must be open.
    pub(super) fn sync(&mut self) -> Result<(), StoreError> {
        self.write("", true)
    }

    /// Appends lines of [`forgotten`] names; they become durable with the next other line.
    /// If this fails, the log is rewritten.
    pub(super) fn append_forgotten(&mut self, lines: &str) {
        if self.is_open() && !lines.is_empty() && self.write(lines, false).is_err() {
            self.distrust();
        }
    }

    fn write(&mut self, text: &str, durably: bool) -> Result<(), StoreError> {
        // While it is unknown what the file contains, nothing can be appended.
        let Some(mut open) = self.open.take() else {
            let why = io::Error::other("it must be rewritten first");
            return Err(on("append to", &self.path)(why));
        };
        if !text.is_empty() {
            open.file.write_at(open.end, text.as_bytes()).map_err(on("append to", &self.path))?;
        }
        if durably {
            open.file.sync().map_err(on("sync", &self.path))?;
        }
        open.end += text.len() as u64;
        self.open = Some(open).filter(|open| open.end < open.limit);
        Ok(())
    }
}

impl Open {
    fn after(file: Box<dyn DiskFile>, end: u64) -> Open {
        Open { file, end, limit: 2 * end + SLACK_BYTES }
    }
}

/// The meaning of a line.
pub(super) enum Said {
    Is(Record),
    Forgotten(FileName, Version),
}

impl Replay {
    /// A replay that starts from these records.
    pub(super) fn from_records(records: BTreeMap<FileName, Record>) -> Replay {
        Replay { records, ..Replay::default() }
    }

    /// Applies the next line.
    pub(super) fn add(&mut self, said: Said, is_here: impl Fn(&Record) -> bool) {
        self.lines += 1;
        match said {
            Said::Is(record) => self.offer(record, is_here),
            Said::Forgotten(name, version) => {
                if self.records.get(&name).is_some_and(|known| known.version <= version) {
                    self.records.remove(&name);
                }
            }
        }
    }

    /// Adds a record if it is the newest of its name and its content is here.
    pub(super) fn offer(&mut self, record: Record, is_here: impl Fn(&Record) -> bool) {
        let known = self.records.get(&record.name);
        if known.is_none_or(|known| known.version < record.version)
            && (record.is_deleted() || is_here(&record))
        {
            self.records.insert(record.name.clone(), record);
        }
    }
}

/// Lines of files and tombstones.
pub(super) fn lines<'a>(records: impl Iterator<Item = &'a Record>) -> String {
    let mut text = String::new();
    records.for_each(|record| push(&mut text, record));
    text
}

/// Lines of names that were forgotten up to a version.
pub(super) fn forgotten<'a>(names: impl Iterator<Item = (&'a FileName, &'a Version)>) -> String {
    let mut text = String::new();
    for (name, version) in names {
        push_line(&mut text, "forgotten", version, 0, name);
    }
    text
}

fn push(text: &mut String, record: &Record) {
    let (what, number) = match record.content {
        Content::File { size } => ("file", size),
        Content::Deleted { at_s } => ("removed", at_s),
    };
    push_line(text, what, &record.version, number, &record.name);
}

fn push_line(text: &mut String, what: &str, version: &Version, number: u64, name: &FileName) {
    let Version { counter, root } = version;
    let rest = format!("{what}\t{counter}\t{number}\t{root}\t{name}");
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}\t{rest}", check(&rest));
}

/// The check of the rest of a line.
pub(super) fn check(rest: &str) -> String {
    let mut digits = blake3::hash(rest.as_bytes()).to_hex().to_string();
    digits.truncate(CHECK_DIGITS);
    digits
}

/// Parses a line; `None` if it is damaged.
pub(super) fn parse(line: &[u8]) -> Option<Said> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (digits, rest) = line.split_once('\t')?;
    if digits != check(rest) {
        return None;
    }
    let mut parts = rest.splitn(5, '\t');
    let what = parts.next()?;
    let counter = parts.next()?.parse().ok()?;
    let number = parts.next()?.parse().ok()?;
    let version = Version { counter, root: parts.next()?.parse().ok()? };
    let name = FileName::try_from(parts.next()?.to_owned()).ok()?;
    let content = match what {
        "file" => Content::File { size: number },
        "removed" => Content::Deleted { at_s: number },
        "forgotten" => return Some(Said::Forgotten(name, version)),
        _ => return None,
    };
    Some(Said::Is(Record { name, version, content }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RealDisk;
    use chordal_core::record::ContentHash;
    use std::fs;
    use tempfile::TempDir;

    fn file(name: &str, counter: u64) -> Record {
        let version = Version { counter, root: ContentHash([counter as u8; 32]) };
        Record {
            name: FileName::new(name).unwrap(),
            version,
            content: Content::File { size: 10 * counter },
        }
    }

    fn removed(name: &str, counter: u64) -> Record {
        Record { content: Content::Deleted { at_s: 1_700_000_000 }, ..file(name, counter) }
    }

    fn log(dir: &TempDir) -> NameLog {
        NameLog::new(Arc::new(RealDisk), dir.path())
    }

    fn fresh(dir: &TempDir) -> NameLog {
        let mut log = log(dir);
        log.rewrite(|_| Ok(())).unwrap();
        log
    }

    fn read(dir: &TempDir) -> Vec<Record> {
        log(dir).read(|_| true).unwrap().records.into_values().collect()
    }

    #[test]
    fn the_newest_line_of_a_name_counts_and_a_forgotten_name_does_not() {
        let dir = TempDir::new().unwrap();
        let mut log = fresh(&dir);
        let lines = [file("a", 1), file("b", 1), file("a", 3), file("a", 2), removed("c", 4)];
        log.append(&super::lines(lines.iter())).unwrap();
        assert_eq!(read(&dir), [file("a", 3), file("b", 1), removed("c", 4)]);
        let (a, b) = (file("a", 2), file("b", 2));
        let names = [(&a.name, &a.version), (&b.name, &b.version)];
        log.append_forgotten(&forgotten(names.into_iter()));
        assert_eq!(read(&dir), [file("a", 3), removed("c", 4)], "the newer a stays");
    }

    #[test]
    fn a_file_whose_content_is_not_here_gives_way_to_the_version_before() {
        let dir = TempDir::new().unwrap();
        fresh(&dir).append(&super::lines([file("a", 1), file("a", 2)].iter())).unwrap();
        let replay = log(&dir).read(|record| record.version.counter == 1).unwrap();
        assert_eq!(replay.records.into_values().collect::<Vec<_>>(), [file("a", 1)]);
    }

    #[test]
    fn a_line_torn_anywhere_counts_for_nothing() {
        let dir = TempDir::new().unwrap();
        fresh(&dir).append(&super::lines([file("a", 1), file("längerer Name", 2)].iter())).unwrap();
        let whole = fs::read(dir.path().join(NAME)).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in first..whole.len() {
            fs::write(dir.path().join(NAME), &whole[..cut]).unwrap();
            assert_eq!(read(&dir), [file("a", 1)], "cut at {cut}");
        }
        for at in 0..first {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(dir.path().join(NAME), changed).unwrap();
            let found = read(&dir);
            assert_eq!(found.last(), Some(&file("längerer Name", 2)).filter(|_| at + 1 != first));
            assert!(!found.contains(&file("a", 1)), "changed at {at}");
        }
    }

    #[test]
    fn a_log_goes_on_where_it_ended_unless_it_says_something_else() {
        let dir = TempDir::new().unwrap();
        fresh(&dir).append(&super::lines([file("a", 1)].iter())).unwrap();
        let same = BTreeMap::from([(file("a", 1).name, file("a", 1))]);
        let other = BTreeMap::from([(file("a", 2).name, file("a", 2))]);
        let mut log = log(&dir);
        let replay = log.read(|_| true).unwrap();
        assert!(!log.resume(&replay, &other).unwrap());
        assert!(
            log.append(&super::lines([file("b", 1)].iter())).is_err(),
            "it must be rewritten first"
        );
        assert!(log.resume(&replay, &same).unwrap());
        log.append(&super::lines([file("b", 1)].iter())).unwrap();
        assert_eq!(read(&dir), [file("a", 1), file("b", 1)]);
    }

    #[test]
    fn a_log_that_grew_far_beyond_what_is_in_it_is_written_anew() {
        let dir = TempDir::new().unwrap();
        let mut log = fresh(&dir);
        let lines: Vec<Record> = (0..SLACK_BYTES / 64).map(|counter| file("a", counter)).collect();
        let mut batches = lines.chunks(100);
        while log.is_open() {
            log.append(&super::lines(batches.next().expect("it never closed").iter())).unwrap();
        }
        let newest = read(&dir);
        log.rewrite(|push| newest.iter().try_for_each(push).map_err(on("write", dir.path())))
            .unwrap();
        assert!(fs::metadata(dir.path().join(NAME)).unwrap().len() < 200);
        assert_eq!(read(&dir), newest);
    }
}
