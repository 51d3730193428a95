//! The journal: small contents and the lines that name them, appended to one file, so that
//! one fsync makes a whole group of them durable.
//!
//! A small content is in its place as soon as it is complete, but *loose*: nothing of it is
//! durable. The commit that names it writes its bytes here, then the lines of the group,
//! then syncs. A content that no commit names is never synced.
//!
//! The journal consists of a few files, `recent/<number>.log`. One of them grows. When it
//! is long enough, the next one begins and the first is retired: all its contents are made
//! durable in their places with one call ([`DiskFile::sync_file_system`]), and the file is
//! removed. After a crash every content that such a file has and `blobs/` has not is put
//! back before anything else reads `blobs/`.
//!
//! A file begins with `check⇥journal⇥1`, the version of what follows. An entry is a line of
//! the log of names ([`super::log`]), or `check⇥content⇥bytes⇥root` followed by that many
//! bytes. A damaged line ends the file: it was torn there, and nothing behind it was ever
//! acknowledged. (The rest is not searched for further entries: contents can be chosen by
//! anyone and may look like entries.) A damaged content with an intact line is ignored, and
//! reading continues with the next entry.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::blob::{Blobs, PROBE, is_none};
use super::disk::{Disk, DiskFile, create_dirs, parent};
use super::error::{StoreError, on};
use super::log::{self, Said};
use chordal_core::limits::EAGER_BYTES;
use chordal_core::record::ContentHash;

/// The journal's directory, in the store's directory.
const DIR: &str = "recent";

const EXTENSION: &str = "log";

/// The name under which a content is rewritten before it is renamed.
const NEW: &str = "content.new";

/// The version of the entries.
const VERSION: u32 = 1;

/// A file with this many contents is retired: the index of a file is kept in memory until
/// then.
const MAX_CONTENTS: usize = 4096;

/// Bytes gathered before they are read or written.
const BUFFER_BYTES: usize = 64 * 1024;

/// Limits of a journal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// A file of this many bytes is retired. There are at most two files, and each can be
    /// longer by one group.
    pub(super) bytes: u64,
    /// Up to this many contents are written once more instead of syncing the whole file
    /// system, which would also sync what other programs are writing.
    pub(super) few: usize,
    /// A thread retires full files, so that no caller waits for that: it takes as long as
    /// syncing everything that other programs wrote to the same disk.
    pub(super) aside: bool,
}

impl Default for Bounds {
    fn default() -> Bounds {
        // Two thousand files of 4 KiB: at the rate at which disks take them a file is
        // retired about once a second, and a start restores them in a moment.
        Bounds { bytes: 8 * 1024 * 1024, few: 8, aside: true }
    }
}

/// A position in the journal: it covers the entries that end there or before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    /// The number of the file.
    pub(super) file: u64,
    /// Bytes from the beginning of the file.
    pub(super) end: u64,
}

impl Mark {
    /// The form in which the catalogue stores it.
    pub(super) fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.file.to_le_bytes());
        bytes[8..].copy_from_slice(&self.end.to_le_bytes());
        bytes
    }

    /// The inverse of [`Mark::to_bytes`].
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Mark> {
        let (file, end) = bytes.split_first_chunk()?;
        let end = end.try_into().ok()?;
        Some(Mark { file: u64::from_le_bytes(*file), end: u64::from_le_bytes(end) })
    }
}

/// The end of the journal, to which entries are appended.
#[derive(Debug)]
pub(super) struct Journal {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    bounds: Bounds,
    /// Bytes of all files of the journal.
    bytes: Arc<AtomicU64>,
    /// The number that the next file gets.
    next: u64,
    open: Option<Segment>,
}

/// One file of the journal.
#[derive(Debug)]
pub(super) struct Segment {
    disk: Arc<dyn Disk>,
    number: u64,
    path: PathBuf,
    /// Opened before any of its contents was synced: a sync through it reports everything
    /// that the file system lost since then.
    file: Box<dyn DiskFile>,
    end: u64,
    /// Bytes of all files of the journal.
    bytes: Arc<AtomicU64>,
    contents: usize,
    few: usize,
    /// An earlier process wrote it, and its contents have been restored.
    restored: bool,
    /// When an entry was last appended.
    used: Instant,
    /// A call failed: it is unknown what the file has behind `end`.
    broken: bool,
    /// Retiring it failed.
    failed: bool,
}

/// An entry of the journal.
enum Entry<'a> {
    Line(Said),
    Content(ContentHash, &'a [u8]),
}

impl Journal {
    /// Makes the directory. The files in it must be read ([`Journal::left`]) before
    /// anything is appended.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        mut bounds: Bounds,
        blobs: &Blobs,
    ) -> Result<Journal, StoreError> {
        let dir = dir.join(DIR);
        create_dirs(&*disk, &dir).map_err(on("create", &dir))?;
        let lies_on = |path: &Path| disk.file_system(path).map_err(on("look at", path));
        if lies_on(&dir)? != lies_on(blobs.dir())? {
            // One of the directories is a link to another file system: a sync of this one
            // would not cover all.
            bounds.few = usize::MAX;
        }
        let bytes = Arc::clone(&blobs.ledger.recent);
        Ok(Journal { disk, dir, bounds, bytes, next: 1, open: None })
    }

    /// Writes a file durably in the journal's directory, and removes it.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        let path = self.dir.join(PROBE);
        let file = self.disk.open(&path).map_err(on("open", &path))?;
        let written = file.write_at(0, PROBE.as_bytes()).map_err(on("write", &path));
        let synced = written.and_then(|()| file.sync().map_err(on("sync", &path)));
        synced.and_then(|()| self.disk.remove(&path).map_err(on("remove", &path)))
    }

    /// The files that an earlier process left, oldest first. Files that are not the
    /// journal's are added to `unknown`.
    pub(super) fn left(&self, unknown: &mut Vec<PathBuf>) -> Result<Vec<Segment>, StoreError> {
        let mut numbered = Vec::new();
        for path in self.disk.list(&self.dir).map_err(on("list", &self.dir))? {
            let stem = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
            let number = stem.filter(|_| path.extension().is_some_and(|end| end == EXTENSION));
            let own = path.file_name().is_some_and(|name| name == PROBE || name == NEW);
            match number {
                Some(number) => match self.disk.is_file(&path) {
                    Ok(true) => numbered.push((number, path)),
                    Err(why) if !is_none(&why) => return Err(on("look at", &path)(why)),
                    // A directory, or a link without a target.
                    _ => unknown.push(path),
                },
                None if own => {}
                None => unknown.push(path),
            }
        }
        numbered.sort();
        let segment = |(number, path): (u64, PathBuf)| {
            let file = self.disk.open(&path).map_err(on("open", &path))?;
            Ok(self.segment(number, path, file))
        };
        numbered.into_iter().map(segment).collect()
    }

    /// Numbers further files from after a mark: no number is used twice, so that a mark
    /// belongs to one file only.
    pub(super) fn go_on_behind(&mut self, mark: Mark) {
        self.next = self.next.max(mark.file.saturating_add(1));
    }

    /// The present end; `None` if there is no file.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.open.as_ref().map(|open| Mark { file: open.number, end: open.end })
    }

    /// Removes the temporary file of an earlier process.
    pub(super) fn clear(&self) -> Result<(), StoreError> {
        let new = self.dir.join(NEW);
        self.disk.remove(&new).map_err(on("remove", &new))
    }

    /// Appends contents and then lines, durably.
    pub(super) fn append(
        &mut self,
        contents: &[(&ContentHash, &[u8])],
        lines: &str,
    ) -> Result<(), StoreError> {
        let mut segment = match self.open.take() {
            Some(segment) => segment,
            None => self.begin()?,
        };
        let appended = segment.append(contents, lines);
        self.open = Some(segment);
        appended
    }

    /// Appends lines that become durable with the next [`Journal::append`]. If this fails,
    /// that call begins a new file.
    pub(super) fn append_ahead(&mut self, lines: &str) {
        if let Some(open) = &mut self.open
            && !lines.is_empty()
            && !open.broken
        {
            let mut text = Text::new(open);
            let _ = text.push(lines.as_bytes()).and_then(|()| text.write());
        }
    }

    /// Whether the present file must be retired.
    pub(super) fn is_full(&self) -> bool {
        let full = |open: &Segment| {
            open.broken || open.end >= self.bounds.bytes || open.contents >= MAX_CONTENTS
        };
        self.open.as_ref().is_some_and(full)
    }

    /// Whether there is a file and nothing was appended to it for so long.
    pub(super) fn rests(&self, at_least: Duration) -> bool {
        self.open.as_ref().is_some_and(|open| open.used.elapsed() >= at_least)
    }

    /// Whether a thread retires full files.
    pub(super) const fn is_aside(&self) -> bool {
        self.bounds.aside
    }

    /// Ends the present file: later entries go to a new one.
    pub(super) fn take(&mut self) -> Option<Segment> {
        self.open.take()
    }

    fn begin(&mut self) -> Result<Segment, StoreError> {
        let number = self.next;
        let path = self.dir.join(format!("{number}.{EXTENSION}"));
        self.next += 1;
        let file = self.disk.create(&path).map_err(on("create", &path))?;
        let segment = self.segment(number, path, file);
        if let Err(why) = self.disk.sync_dir(&self.dir) {
            let _ = self.disk.remove(&segment.path);
            return Err(on("sync", &self.dir)(why));
        }
        Ok(segment)
    }

    fn segment(&self, number: u64, path: PathBuf, file: Box<dyn DiskFile>) -> Segment {
        let (disk, bytes) = (Arc::clone(&self.disk), Arc::clone(&self.bytes));
        let (few, used) = (self.bounds.few, Instant::now());
        let (end, contents) = (0, 0);
        let (restored, broken, failed) = (false, false, false);
        Segment {
            disk,
            number,
            path,
            file,
            end,
            bytes,
            contents,
            few,
            restored,
            used,
            broken,
            failed,
        }
    }
}

impl Segment {
    fn append(
        &mut self,
        contents: &[(&ContentHash, &[u8])],
        lines: &str,
    ) -> Result<(), StoreError> {
        let begins = self.end == 0;
        let mut text = Text::new(self);
        if begins {
            text.push(version_line(VERSION).as_bytes())?;
        }
        for (root, bytes) in contents {
            text.push(content_line(root, bytes.len()).as_bytes())?;
            text.push(bytes)?;
        }
        text.push(lines.as_bytes())?;
        text.write()?;
        self.file.sync().map_err(|why| {
            self.broken = true;
            on("sync", &self.path)(why)
        })?;
        self.contents += contents.len();
        self.used = Instant::now();
        Ok(())
    }

    /// Puts the file's contents back into `blobs/`, if they are not there; not durably.
    pub(super) fn restore(&mut self, blobs: &Blobs) -> Result<(), StoreError> {
        let new = self.new_path();
        let mut contents = 0;
        self.each(&mut |_, entry| match entry {
            Entry::Content(root, bytes) => {
                contents += 1;
                blobs.restore(&new, &root, bytes)
            }
            Entry::Line(_) => Ok(()),
        })?;
        self.contents = contents;
        self.restored = true;
        Ok(())
    }

    /// Passes on the lines that end after a mark.
    pub(super) fn replay(
        &self,
        after: Option<Mark>,
        mut hear: impl FnMut(Said),
    ) -> Result<(), StoreError> {
        self.each(&mut |end, entry| {
            if let Entry::Line(said) = entry
                && after < Some(Mark { file: self.number, end })
            {
                hear(said);
            }
            Ok(())
        })
    }

    /// A mark that covers all its entries.
    pub(super) const fn end(&self) -> Mark {
        Mark { file: self.number, end: u64::MAX }
    }

    /// Makes those of its contents durable that are still here, and removes the file. What
    /// its lines say must be durable elsewhere.
    ///
    /// # Errors
    /// The file stays; call again.
    pub(super) fn retire(&mut self, blobs: &Blobs) -> Result<(), StoreError> {
        let retired = self
            .secure(blobs)
            .and_then(|()| self.disk.remove(&self.path).map_err(on("remove", &self.path)));
        self.failed = retired.is_err();
        if retired.is_ok() {
            self.bytes.fetch_sub(std::mem::take(&mut self.end), Ordering::Relaxed);
        }
        retired
    }

    /// Whether retiring it failed.
    pub(super) const fn has_failed(&self) -> bool {
        self.failed
    }

    fn secure(&self, blobs: &Blobs) -> Result<(), StoreError> {
        // After a failed sync, the bytes may be lost although the next sync succeeds: they
        // are written once more.
        let mut anew = self.failed;
        if self.contents > self.few && !anew {
            if self.file.sync_file_system().is_ok() {
                return Ok(());
            }
            anew = true;
        }
        let new = self.new_path();
        self.each(&mut |_, entry| match entry {
            // Restored contents are read back first; no caller has been told since the
            // start that they are durable.
            Entry::Content(root, bytes) if self.restored && !anew => {
                blobs.secure(&new, &root, bytes)
            }
            Entry::Content(root, bytes) => blobs.rewrite(&new, &root, bytes),
            Entry::Line(_) => Ok(()),
        })
    }

    /// Reads the file up to the first damaged line; `visit` gets the end of each entry.
    fn each(
        &self,
        visit: &mut dyn FnMut(u64, Entry<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let file = self.disk.reader(&self.path).map_err(on("open", &self.path))?;
        let mut reader = BufReader::with_capacity(BUFFER_BYTES, file);
        let mut entry = Vec::new();
        reader.read_until(b'\n', &mut entry).map_err(on("read", &self.path))?;
        match parse_version(&entry) {
            Some(VERSION) => {}
            Some(_) => return Err(StoreError::Newer { path: self.path.clone() }),
            // The process was killed before the first line was whole.
            None => return Ok(()),
        }
        let mut end = entry.len() as u64;
        while let Some((known, bytes)) =
            next(&mut reader, &mut entry).map_err(on("read", &self.path))?
        {
            end += bytes as u64;
            match known {
                Next::Line(said) => visit(end, Entry::Line(said))?,
                Next::Content(root) => visit(end, Entry::Content(root, &entry))?,
                Next::Damaged(root) => {
                    tracing::warn!(content = %root, path = %self.path.display(), "a recent content is damaged in the journal");
                }
            }
        }
        Ok(())
    }

    fn new_path(&self) -> PathBuf {
        parent(&self.path).join(NEW)
    }
}

/// Bytes to be appended to a file.
struct Text<'a> {
    segment: &'a mut Segment,
    bytes: Vec<u8>,
}

impl Text<'_> {
    fn new(segment: &mut Segment) -> Text<'_> {
        Text { segment, bytes: Vec::with_capacity(BUFFER_BYTES) }
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let segment = &mut *self.segment;
        if let Err(why) = segment.file.write_at(segment.end, &self.bytes) {
            segment.broken = true;
            return Err(on("append to", &segment.path)(why));
        }
        let written = self.bytes.len() as u64;
        segment.end += written;
        segment.bytes.fetch_add(written, Ordering::Relaxed);
        self.bytes.clear();
        Ok(())
    }
}

/// An entry that was read.
enum Next {
    Line(Said),
    /// The buffer has its bytes.
    Content(ContentHash),
    /// The bytes in the buffer do not match the hash.
    Damaged(ContentHash),
}

/// Reads the next entry into a buffer; returns it with its length in bytes. `None` at the
/// end or at a damaged line.
fn next(reader: &mut BufReader<File>, entry: &mut Vec<u8>) -> io::Result<Option<(Next, usize)>> {
    entry.clear();
    let line = reader.read_until(b'\n', entry)?;
    let Some((root, size)) = parse_content(entry) else {
        return Ok(log::parse(entry).map(|said| (Next::Line(said), line)));
    };
    entry.resize(size, 0);
    match reader.read_exact(entry) {
        Ok(()) => {}
        Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(why) => return Err(why),
    }
    let whole = *blake3::hash(entry).as_bytes() == root.0;
    Ok(Some((if whole { Next::Content(root) } else { Next::Damaged(root) }, line + size)))
}

fn version_line(version: u32) -> String {
    let rest = format!("journal\t{version}");
    format!("{}\t{rest}\n", log::check(&rest))
}

fn parse_version(line: &[u8]) -> Option<u32> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (digits, rest) = line.split_once('\t')?;
    let version = rest.strip_prefix("journal\t")?.parse().ok()?;
    (digits == log::check(rest)).then_some(version)
}

fn content_line(root: &ContentHash, size: usize) -> String {
    let rest = format!("content\t{size}\t{root}");
    format!("{}\t{rest}\n", log::check(&rest))
}

fn parse_content(line: &[u8]) -> Option<(ContentHash, usize)> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (digits, rest) = line.split_once('\t')?;
    let (size, root) = rest.strip_prefix("content\t")?.split_once('\t')?;
    let size = size.parse().ok().filter(|size| *size as u64 <= EAGER_BYTES)?;
    (digits == log::check(rest)).then_some((root.parse().ok()?, size))
}
