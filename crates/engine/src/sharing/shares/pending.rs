//! Which files wait to be hashed, which name belongs to which path, and which commands
//! waits for the answer: the bookkeeping between looks, hashing and the index.
//!
//! It never touches the disk and is told the time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use chordal_core::name::{FileName, in_form_c, spelled};
use chordal_store::Stamp;

use super::file::{MAX_FILES, shown};
use super::handle::Shares;
use super::hash::{BATCH_FILES, Hashed, LARGE, Wanted};
use super::index::Entry;
use super::opening::Opening;
use super::tell::Kind;
use super::walk::{Found, FoundFile};

/// A file is hashed when it has not changed for this long: a program that writes to it
/// is done, as far as can be seen.
pub(super) const SETTLE: Duration = Duration::from_millis(300);

/// A file that changed this often, each time soon after the time before, has to
/// stand still twice as long from then on, and so forth up to the limit: what
/// is written to all the time (a log) is not read all the time.
const PATIENT_CHANGES: u32 = 4;
const SOON_AFTER: Duration = Duration::from_secs(60);
const SETTLE_AT_MOST: Duration = Duration::from_secs(60);

/// Files whose changes are counted.
const MAX_COUNTED: usize = 4_096;

/// Files that are not shared whose reasons are remembered, so that they are
/// told once.
const MAX_SKIPPED: usize = 10_000;

/// What happened, for people.
pub(super) type Said = (Kind, String);

/// A file that is to be hashed.
#[derive(Debug)]
struct Pending {
    name: FileName,
    below: PathBuf,
    stamp: Stamp,
    due: Instant,
    /// It is being hashed.
    busy: bool,
    /// It was shared with other bytes before.
    was_shared: bool,
    /// Its marks are not believed.
    doubted: bool,
}

/// The books.
#[derive(Debug)]
pub(super) struct Book {
    shares: Shares,
    pending: BTreeMap<PathBuf, Pending>,
    /// When each small file and each large one is to be hashed.
    due: [BTreeSet<(Instant, PathBuf)>; 2],
    /// The path that each name stands for, shared or pending.
    claims: BTreeMap<FileName, PathBuf>,
    /// Paths that would have a name that another has.
    rivals: BTreeMap<FileName, BTreeSet<PathBuf>>,
    /// Files that could not be hashed and have not changed since.
    refused: BTreeMap<PathBuf, Stamp>,
    /// When shared files changed last, and how often within a short time.
    changes: BTreeMap<PathBuf, (Instant, u32)>,
    /// Files whose bytes are not what their marks promised.
    doubted: BTreeSet<PathBuf>,
    /// What is not shared, and why.
    skipped: BTreeMap<PathBuf, String>,
    /// Of which of them a look has just said so.
    reasons: BTreeSet<PathBuf>,
    /// Paths that have just been shared.
    openings: Vec<Opening>,
    said: Vec<Said>,
    /// Paths whose entries went: what is known of them may be forgotten.
    forgotten: bool,
}

impl Book {
    pub(super) fn new(shares: Shares) -> Book {
        Book {
            shares,
            pending: BTreeMap::new(),
            due: Default::default(),
            claims: BTreeMap::new(),
            rivals: BTreeMap::new(),
            refused: BTreeMap::new(),
            changes: BTreeMap::new(),
            doubted: BTreeSet::new(),
            skipped: BTreeMap::new(),
            reasons: BTreeSet::new(),
            openings: Vec::new(),
            said: Vec::new(),
            forgotten: false,
        }
    }

    /// Files that are hashed or wait for it.
    pub(super) fn hashing(&self) -> usize {
        self.pending.len()
    }

    /// When the next large or small file is to be hashed.
    pub(super) fn due(&self, large: bool) -> Option<Instant> {
        self.due[usize::from(large)].first().map(|(at, _)| *at)
    }

    /// What happened since the last call.
    pub(super) fn said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    /// Whether entries went since the last call.
    pub(super) fn forgot(&mut self) -> bool {
        std::mem::take(&mut self.forgotten)
    }

    /// Everything that is shared or will be.
    pub(super) fn paths(&self) -> BTreeSet<PathBuf> {
        let index = self.shares.index.lock();
        let shared = index.behind(None).map(|entry| entry.path.clone());
        shared.chain(self.pending.keys().cloned()).collect()
    }

    /// Paths begin to be shared; a command may wait for that.
    pub(super) fn open(&mut self, opening: Opening) {
        self.openings.push(opening);
    }

    /// Takes in what a look found at a path of a root: what it did not
    /// find there is shared no longer.
    pub(super) fn found(
        &mut self,
        root: &Path,
        at: &Path,
        found: Found,
        (now, wall): (Instant, SystemTime),
    ) {
        let Found { files, skipped, .. } = found;
        let seen: BTreeSet<PathBuf> = files.iter().map(|file| file.path.clone()).collect();
        self.reasons.clear();
        for (path, why) in skipped {
            self.skip(path, why);
        }
        for file in files {
            // It may lie there under another spelling of the same name.
            let claimed = self.claims.get(&file.name).filter(|other| **other != file.path);
            let moved = claimed.filter(|other| other.starts_with(at) && !seen.contains(*other));
            if let Some(other) = moved.filter(|other| is_twin(other, &file.path)).cloned() {
                self.drop_path(&other);
            }
            self.consider(root, file, now, wall);
        }
        let own = |path: &PathBuf, of: &Path| of == root && !seen.contains(path);
        let mut gone: Vec<PathBuf> = self
            .shares
            .index
            .lock()
            .below(at)
            .filter(|entry| own(&entry.path, &entry.below))
            .map(|entry| entry.path.clone())
            .collect();
        let pending = below(&self.pending, at);
        gone.extend(pending.filter(|(path, p)| own(path, &p.below)).map(|(p, _)| p.clone()));
        for path in gone {
            if let Some(name) = self.drop_path(&path) {
                self.say(Kind::Gone, format!("{name} is not shared any more: it is gone"));
            }
        }
        self.give_way(|path| {
            path.starts_with(at) && path.starts_with(root) && !seen.contains(path)
        });
        let Book { openings, pending, refused, doubted, skipped, reasons, .. } = self;
        refused.retain(|path, _| seen.contains(path) || !path.starts_with(at));
        doubted.retain(|path| seen.contains(path) || !path.starts_with(at));
        skipped.retain(|path, _| reasons.contains(path) || !path.starts_with(at));
        for opening in openings {
            opening.looked(root, at, |path| pending.contains_key(path), pending.keys());
        }
    }

    /// A whole root is not there: nothing of it is shared. How many files were.
    pub(super) fn missing(&mut self, below: &Path) -> usize {
        let gone = self.withdraw(below, below).len();
        for opening in &mut self.openings {
            opening.looked(below, below, |_| false, std::iter::empty());
        }
        gone
    }

    /// A file is not shared; told unless that is known.
    fn skip(&mut self, path: PathBuf, why: String) {
        let known = self.skipped.get(&path) == Some(&why);
        self.reasons.insert(path.clone());
        let sentence = format!("{} is not shared: {why}", shown(&path));
        if self.skipped.len() < MAX_SKIPPED {
            self.skipped.insert(path.clone(), why);
        }
        let mut told = known;
        for opening in &mut self.openings {
            told |= opening.skipped(&path, &sentence);
        }
        if !told {
            self.say(Kind::Skipped, sentence);
        }
    }

    fn consider(&mut self, below: &Path, file: FoundFile, now: Instant, wall: SystemTime) {
        let FoundFile { path, name, stamp } = file;
        if let Some(twin) = self.twin(&name, &path) {
            self.set_apart(name, path, twin);
            return;
        }
        if let Some(other) = self.claims.get(&name).filter(|other| **other != path) {
            let why = format!("its name {name} is that of {}", shown(other));
            self.drop_path(&path);
            self.rivals.entry(name).or_default().insert(path.clone());
            self.skip(path, why);
            return;
        }
        if self.refused.get(&path) == Some(&stamp) {
            return;
        }
        self.refused.remove(&path);
        if let Some(pending) = self.pending.get(&path)
            && (&pending.name, pending.below.as_path(), pending.stamp) == (&name, below, stamp)
        {
            return;
        }
        let doubted = self.doubted.remove(&path);
        let present = self.shares.index.lock().at(&path).cloned();
        let mut was_shared = self.pending.get(&path).is_some_and(|pending| pending.was_shared);
        let mut stays = false;
        if let Some(entry) = &present {
            let same = entry.name == name && entry.below == below;
            was_shared = entry.stamp != stamp;
            if was_shared {
                self.count_change(&path, now);
            } else if same {
                self.settled(&path);
                return;
            }
            // It may have got another name on the disk or other permissions, and no
            // other bytes: what is served of it is verified.
            stays = same && entry.stamp.of_bytes() == stamp.of_bytes();
        }
        was_shared |= doubted;
        if self.pending.contains_key(&path) {
            // A command that waits for it must not do so for ever.
            self.restless(&path);
        }
        let age = stamp.age(wall).unwrap_or_default();
        let settle = self.settle(&path, now);
        let known = self.shares.index.lock().hashed(&stamp);
        let known = known.filter(|_| age >= settle && !doubted && !stays);
        if stays {
            self.take_out(&path);
        } else {
            self.vacate(&path);
        }
        if self.claims.len() >= MAX_FILES && !stays {
            self.settled(&path);
            self.skip(path, format!("{MAX_FILES} files are shared already"));
            return;
        }
        self.claims.insert(name.clone(), path.clone());
        if let Some(manifest) = known {
            let below = below.to_owned();
            self.share(Entry { name, path, below, stamp, manifest }, was_shared);
            return;
        }
        let due = now + settle.saturating_sub(age);
        self.due[usize::from(stamp.size >= LARGE)].insert((due, path.clone()));
        let below = below.to_owned();
        let pending = Pending { name, below, stamp, due, busy: false, was_shared, doubted };
        self.pending.insert(path, pending);
    }

    /// Another path whose name is the same for others and only spelled differently, in
    /// another Unicode form.
    fn twin(&self, name: &FileName, path: &Path) -> Option<PathBuf> {
        if name.as_str().is_ascii() {
            return None;
        }
        let rivals = self.rivals.get(name).into_iter().flatten();
        let mut twins = self.claims.get(name).into_iter().chain(rivals);
        twins.find(|other| is_twin(other, path)).cloned()
    }

    /// Two spellings of one name look alike, so neither takes the place of the other:
    /// none is shared until one of them is gone.
    fn set_apart(&mut self, name: FileName, path: PathBuf, twin: PathBuf) {
        let mut rivals = self.rivals.remove(&name).unwrap_or_default();
        let claimed = self.claims.get(&name) == Some(&twin);
        self.drop_path(&path);
        if claimed {
            self.drop_path(&twin);
        }
        rivals.extend([path.clone(), twin.clone()]);
        self.rivals.insert(name, rivals);
        let [own, other] = [&path, &twin].map(|path| spelled(&shown(path)));
        let why = |own: &str, other: &str| {
            format!(
                "its name is spelled {own} and is the same for others as that of {other}; rename \
                 one of them"
            )
        };
        if claimed {
            self.skip(twin, why(&other, &own));
        }
        self.skip(path, why(&own, &other));
    }

    /// Paths that are not there any more stand in no other's way: the others that
    /// want their names are looked at.
    fn give_way(&mut self, is_gone: impl Fn(&Path) -> bool) {
        let claims = &self.claims;
        let free = |name: &FileName, rivals: &BTreeSet<PathBuf>| {
            !claims.contains_key(name) && rivals.iter().any(|path| is_gone(path))
        };
        let names: Vec<FileName> = self
            .rivals
            .iter()
            .filter(|(name, rivals)| free(name, rivals))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            for rival in self.rivals.remove(&name).into_iter().flatten() {
                self.shares.changes().mark(rival);
            }
        }
    }

    /// The bytes of a file are not what its marks promised: it is read again,
    /// whatever they say. It is not served until then.
    pub(super) fn doubt(&mut self, path: PathBuf) {
        if let Some(pending) = self.pending.get_mut(&path) {
            pending.doubted = true;
            return;
        }
        let holds = self.claims.iter().find(|(_, holder)| **holder == path);
        if let Some(name) = holds.map(|(name, _)| name.clone()) {
            self.vacate(&path);
            self.release(&name, &path);
        }
        self.doubted.insert(path.clone());
        self.shares.changes().mark(path);
    }

    fn count_change(&mut self, path: &Path, now: Instant) {
        if self.changes.len() >= MAX_COUNTED {
            self.changes.retain(|_, (at, _)| now.saturating_duration_since(*at) < SOON_AFTER);
        }
        if self.changes.len() < MAX_COUNTED || self.changes.contains_key(path) {
            let (at, count) = self.changes.entry(path.to_owned()).or_insert((now, 0));
            let soon = now.saturating_duration_since(*at) < SOON_AFTER;
            *count = if soon { count.saturating_add(1) } else { 1 };
            *at = now;
        }
    }

    /// How long a file has to stand still.
    fn settle(&self, path: &Path, now: Instant) -> Duration {
        let recent = self.changes.get(path);
        let recent = recent.filter(|(at, _)| now.saturating_duration_since(*at) < SOON_AFTER);
        let beyond = recent.map_or(0, |(_, count)| count.saturating_sub(PATIENT_CHANGES));
        SETTLE.saturating_mul(1 << beyond.min(16)).min(SETTLE_AT_MOST)
    }

    /// What is to be hashed now: one large file, or a few small ones.
    pub(super) fn next(&mut self, now: Instant, large: bool) -> Vec<Wanted> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let due = &mut self.due[usize::from(large)];
        while let Some((at, path)) = due.first().filter(|(at, _)| *at <= now).cloned() {
            let Some(pending) = self.pending.get_mut(&path) else {
                due.pop_first();
                continue;
            };
            let size = pending.stamp.size;
            if !batch.is_empty() && (large || bytes + size > LARGE || batch.len() >= BATCH_FILES) {
                break;
            }
            due.remove(&(at, path.clone()));
            bytes += size;
            pending.busy = true;
            let Pending { name, below, stamp, doubted, .. } = &*pending;
            let (name, below, stamp, doubted) = (name.clone(), below.clone(), *stamp, *doubted);
            batch.push(Wanted { path, below, name, stamp, doubted });
        }
        batch
    }

    /// A file was hashed, or not. Whether it has to be looked at again.
    pub(super) fn hashed(&mut self, wanted: Wanted, result: Hashed) -> bool {
        let Wanted { path, below, name, stamp, .. } = wanted;
        let current = self
            .pending
            .get(&path)
            .is_some_and(|p| p.busy && p.stamp == stamp && p.name == name && p.below == below);
        if !current {
            // It changed or went meanwhile, and the books say so already.
            return false;
        }
        match result {
            Hashed::Done(manifest) => {
                let was_shared = self.pending.remove(&path).is_some_and(|p| p.was_shared);
                self.share(Entry { name, path, below, stamp, manifest }, was_shared);
                false
            }
            Hashed::Changed => {
                self.restless(&path);
                self.take_out(&path);
                true
            }
            Hashed::Failed(why) => {
                self.vacate(&path);
                self.refused.insert(path.clone(), stamp);
                self.skip(path.clone(), why);
                self.settled(&path);
                false
            }
        }
    }

    /// Shares a file whose content is known. `false`: another path has its name or a
    /// twin of it.
    pub(super) fn offer(&mut self, entry: Entry) -> bool {
        let taken = self.claims.get(&entry.name).is_some_and(|path| *path != entry.path);
        if taken || self.twin(&entry.name, &entry.path).is_some() {
            return false;
        }
        self.drop_path(&entry.path);
        self.claims.insert(entry.name.clone(), entry.path.clone());
        self.share(entry, false);
        true
    }

    fn share(&mut self, entry: Entry, was_shared: bool) {
        let (name, path) = (entry.name.clone(), entry.path.clone());
        self.skipped.remove(&path);
        let same = |known: &Entry| {
            (&known.name, known.manifest.root()) == (&entry.name, entry.manifest.root())
        };
        let same = was_shared && self.shares.index.lock().at(&path).is_some_and(same);
        self.shares.change(|index| index.insert(entry));
        if self.openings.iter().any(|opening| opening.covers(&path)) {
            // Told when all are.
        } else if same {
            // Only something about it changed.
        } else if was_shared {
            self.say(Kind::Changed, format!("{name} changed and is shared as it is now"));
        } else {
            self.say(Kind::Added, format!("{name} is shared now"));
        }
        self.settled(&path);
    }

    /// Shares nothing any more of what belongs to a root and lies at a path or
    /// below it; the names that go.
    pub(super) fn withdraw(&mut self, root: &Path, at: &Path) -> Vec<FileName> {
        let mut paths: Vec<PathBuf> = {
            let index = self.shares.index.lock();
            let entries = index.below(at).filter(|entry| entry.below == root);
            entries.map(|entry| entry.path.clone()).collect()
        };
        let pending = below(&self.pending, at);
        paths.extend(pending.filter(|(_, p)| p.below == root).map(|(path, _)| path.clone()));
        let mut names: Vec<FileName> =
            paths.iter().filter_map(|path| self.drop_path(path)).collect();
        names.sort();
        self.give_way(|path| path.starts_with(at));
        names
    }

    /// Takes a path out of everything for good; its name, if it was shared.
    fn drop_path(&mut self, path: &Path) -> Option<FileName> {
        let name = self.vacate(path);
        self.settled(path);
        name
    }

    /// Takes a path out of everything; its name, if it was shared.
    fn vacate(&mut self, path: &Path) -> Option<FileName> {
        self.take_out(path);
        let entry = self.shares.change(|index| index.remove(path))?;
        self.release(&entry.name, path);
        self.forgotten = true;
        Some(entry.name)
    }

    /// Takes a path out of what waits to be hashed.
    fn take_out(&mut self, path: &Path) {
        let Some(pending) = self.pending.remove(path) else { return };
        let large = pending.stamp.size >= LARGE;
        self.due[usize::from(large)].remove(&(pending.due, path.to_owned()));
        if self.shares.index.lock().at(path).is_none() {
            self.release(&pending.name, path);
        }
    }

    /// A name is free again: other paths that would have it are looked at.
    fn release(&mut self, name: &FileName, path: &Path) {
        if self.claims.get(name).is_some_and(|holder| holder == path) {
            self.claims.remove(name);
            for rival in self.rivals.remove(name).into_iter().flatten() {
                self.shares.changes().mark(rival);
            }
        }
    }

    /// A file changed while a command may wait for it.
    fn restless(&mut self, path: &Path) {
        for opening in &mut self.openings {
            opening.restless(path);
        }
    }

    /// No command has to wait for this path any more.
    fn settled(&mut self, path: &Path) {
        for opening in &mut self.openings {
            opening.settled(path);
        }
    }

    /// Paths that are shared now, all of them.
    pub(super) fn opened(&mut self) -> Vec<Opening> {
        let (done, open) =
            std::mem::take(&mut self.openings).into_iter().partition(Opening::is_done);
        self.openings = open;
        done
    }

    /// Files that are shared at a path and below it, and their bytes.
    pub(super) fn totals_below(&self, at: &Path) -> (usize, u64) {
        let index = self.shares.index.lock();
        index
            .below(at)
            .fold((0, 0), |(files, bytes), entry| (files + 1, bytes + entry.manifest.size()))
    }

    fn say(&mut self, kind: Kind, text: String) {
        self.said.push((kind, text));
    }
}

/// Whether two paths differ only in the Unicode form of their spelling.
fn is_twin(one: &Path, other: &Path) -> bool {
    one != other && in_form_c(&shown(one)) == in_form_c(&shown(other))
}

/// What a map holds at a path and below it.
fn below<'a, T>(
    map: &'a BTreeMap<PathBuf, T>,
    at: &'a Path,
) -> impl Iterator<Item = (&'a PathBuf, &'a T)> {
    let from = (Bound::Included(at), Bound::Unbounded);
    map.range::<Path, _>(from).take_while(move |(path, _)| path.starts_with(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use chordal_core::transfer::manifest::{Manifest, ManifestBuilder};

    const ROOT: &str = "/s";

    struct Desk {
        pending: Book,
        shares: Shares,
        start: Instant,
        wall: SystemTime,
    }

    impl Desk {
        fn new() -> Desk {
            let (shares, _) = Shares::new();
            let pending = Book::new(shares.clone());
            // Far from the epoch, so that stamps can lie before it.
            let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
            Desk { pending, shares, start: Instant::now(), wall }
        }

        /// A look at everything below the root, `at` milliseconds after the start,
        /// finds these files: name, inode, milliseconds after the start of their
        /// last change.
        fn looks(&mut self, at: u64, files: &[(&str, u64, i64)]) {
            let files = files.iter().map(|(name, inode, modified)| FoundFile {
                path: Path::new(ROOT).join(name),
                name: FileName::new(name).expect("a name"),
                stamp: stamp(*inode, *modified),
            });
            let found = Found { files: files.collect(), directory: true, ..Found::default() };
            let times = (self.at(at), self.wall + Duration::from_millis(at));
            self.pending.found(Path::new(ROOT), Path::new(ROOT), found, times);
        }

        fn at(&self, at: u64) -> Instant {
            self.start + Duration::from_millis(at)
        }

        /// Hashes what is due; the names.
        fn hashes(&mut self, at: u64) -> Vec<String> {
            let mut names = Vec::new();
            for large in [true, false] {
                for wanted in self.pending.next(self.at(at), large) {
                    names.push(wanted.name.to_string());
                    let result = Hashed::Done(manifest(wanted.stamp.inode));
                    assert!(!self.pending.hashed(wanted, result));
                }
            }
            names
        }

        fn shared(&self) -> Vec<String> {
            self.shares.all().into_iter().map(|file| file.name.to_string()).collect()
        }

        fn said(&mut self) -> Vec<Kind> {
            self.pending.said().into_iter().map(|(kind, _)| kind).collect()
        }
    }

    fn stamp(inode: u64, modified: i64) -> Stamp {
        let ns = (1_000_000 + modified) * 1_000_000;
        Stamp { dev: 1, inode, size: 8, modified_ns: ns, changed_ns: ns }
    }

    fn manifest(content: u64) -> Arc<Manifest> {
        let mut builder = ManifestBuilder::new(8);
        builder.update(&content.to_le_bytes());
        Arc::new(builder.finish().expect("eight bytes came"))
    }

    #[test]
    fn a_file_is_hashed_once_it_stood_still() {
        let mut desk = Desk::new();
        desk.looks(0, &[("old", 1, -5_000), ("new", 2, -100)]);
        assert_eq!(desk.pending.hashing(), 2);
        assert_eq!(desk.hashes(0), ["old"]);
        assert_eq!(desk.pending.due(false), Some(desk.at(200)));
        desk.looks(150, &[("old", 1, -5_000), ("new", 2, 140)]);
        assert!(desk.hashes(200).is_empty(), "it was written to");
        assert_eq!(desk.hashes(440), ["new"]);
        assert_eq!(desk.shared(), ["new", "old"]);
        desk.looks(500, &[("old", 1, -5_000), ("new", 2, 140)]);
        assert_eq!((desk.pending.hashing(), desk.said().len()), (0, 2), "nothing new");
    }

    #[test]
    fn a_renamed_file_is_not_read_again() {
        let mut desk = Desk::new();
        desk.looks(0, &[("a", 1, -5_000)]);
        desk.hashes(0);
        desk.looks(10, &[("b", 1, -5_000)]);
        assert_eq!(desk.pending.hashing(), 0);
        assert_eq!(desk.shared(), ["b"]);
        assert_eq!(desk.said(), [Kind::Added, Kind::Added, Kind::Gone]);
        assert!(desk.pending.forgot());
    }

    #[test]
    fn of_two_spellings_of_a_name_neither_is_shared_until_one_is_gone() {
        let (composed, apart) = ("caf\u{e9}", "cafe\u{301}");
        let mut desk = Desk::new();
        desk.looks(0, &[(apart, 1, -5_000), (composed, 2, -5_000), ("a", 3, -5_000)]);
        assert_eq!(desk.hashes(0), ["a"]);
        let said = |desk: &mut Desk| -> Vec<String> {
            desk.pending.said().into_iter().map(|(_, text)| text).collect()
        };
        let told = said(&mut desk);
        for (own, twin) in [(composed, apart), (apart, composed)] {
            let [own, twin] = [own, twin].map(|name| spelled(&format!("{ROOT}/{name}")));
            let words = format!("spelled {own} and is the same for others as that of {twin}");
            assert_eq!(told.iter().filter(|line| line.contains(&words)).count(), 1, "{told:?}");
        }
        desk.looks(1_000, &[(apart, 1, -5_000), (composed, 2, -5_000), ("a", 3, -5_000)]);
        assert_eq!((desk.hashes(1_000).len(), said(&mut desk).len()), (0, 0), "told once");

        // One of them goes; the other is looked at again, and is shared.
        desk.looks(2_000, &[(composed, 2, -5_000), ("a", 3, -5_000)]);
        desk.looks(2_000, &[(composed, 2, -5_000), ("a", 3, -5_000)]);
        assert_eq!(desk.hashes(2_000), [composed]);
        assert_eq!(desk.shared(), ["a", composed]);
        said(&mut desk);

        // Its spelling is changed: that is no twin of it.
        desk.looks(2_500, &[(apart, 2, -5_000), ("a", 3, -5_000)]);
        desk.hashes(2_500);
        assert_eq!(desk.shared(), ["a", composed], "names are kept in one form");
        assert!(!said(&mut desk).iter().any(|line| line.contains("rename")), "no twin");
        desk.looks(2_600, &[(composed, 2, -5_000), ("a", 3, -5_000)]);
        desk.hashes(2_600);
        said(&mut desk);

        // And it comes back while the other is shared.
        desk.looks(3_000, &[(apart, 4, -5_000), (composed, 2, -5_000), ("a", 3, -5_000)]);
        assert_eq!(desk.hashes(3_000), [""; 0]);
        assert_eq!(desk.shared(), ["a"]);
        let told = said(&mut desk);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|line| line.contains("rename one of them")), "{told:?}");
    }

    #[test]
    fn what_may_only_have_got_other_permissions_stays_while_it_is_read_again() {
        let mut desk = Desk::new();
        desk.looks(0, &[("a", 1, -5_000)]);
        desk.hashes(0);
        let marks = Stamp { changed_ns: 9_000_000_000_000, ..stamp(1, -5_000) };
        let looks = |desk: &mut Desk| {
            let name = FileName::new("a").expect("a name");
            let file = FoundFile { path: Path::new(ROOT).join("a"), name, stamp: marks };
            let found = Found { files: vec![file], directory: true, ..Found::default() };
            let times = (desk.at(1_000), desk.wall);
            desk.pending.found(Path::new(ROOT), Path::new(ROOT), found, times);
        };
        looks(&mut desk);
        assert_eq!((desk.shared(), desk.pending.hashing()), (vec!["a".to_owned()], 1));
        assert_eq!(desk.hashes(1_000), ["a"]);
        assert_eq!(desk.said(), [Kind::Added], "its bytes are the same");
        looks(&mut desk);
        assert_eq!(desk.pending.hashing(), 0, "its new marks are known");
        // It had other bytes after all.
        let path = Path::new(ROOT).join("a");
        desk.pending.doubt(path);
        assert!(desk.shared().is_empty(), "nobody is served it");
        looks(&mut desk);
        let wanted = desk.pending.next(desk.at(1_000), false).remove(0);
        assert!(wanted.doubted, "what was hashed earlier does not count");
        assert!(!desk.pending.hashed(wanted, Hashed::Done(manifest(7))));
        assert_eq!(desk.shared(), ["a"]);
        assert_eq!(desk.said(), [Kind::Changed]);
    }

    #[test]
    fn what_changed_is_not_offered_until_it_is_hashed_again() {
        let mut desk = Desk::new();
        desk.looks(0, &[("a", 1, -5_000)]);
        desk.hashes(0);
        desk.looks(1_000, &[("a", 1, 1_000)]);
        assert!(desk.shared().is_empty());
        // It changes under the hashing.
        let wanted = desk.pending.next(desk.at(1_300), false).remove(0);
        desk.looks(1_310, &[("a", 1, 1_305)]);
        assert!(!desk.pending.hashed(wanted, Hashed::Done(manifest(7))), "that look knows better");
        assert!(desk.shared().is_empty());
        assert_eq!(desk.hashes(1_700), ["a"]);
        assert_eq!(desk.said(), [Kind::Added, Kind::Changed]);
    }

    #[test]
    fn a_file_that_is_written_to_all_the_time_has_to_rest_ever_longer() {
        let mut desk = Desk::new();
        let mut now = 0;
        let mut rests = Vec::new();
        for _ in 0..16 {
            desk.looks(now, &[("log", 1, i64::try_from(now).expect("soon"))]);
            let due = desk.pending.due(false).expect("it waits");
            let rest = due.duration_since(desk.at(now)).as_millis() as u64;
            rests.push(rest);
            now += rest;
            assert_eq!(desk.hashes(now), ["log"]);
            now += 10;
        }
        assert_eq!(rests[..8], [300, 300, 300, 300, 300, 600, 1_200, 2_400]);
        assert!(rests.iter().all(|rest| *rest <= 60_000), "{rests:?}");
        now += 120_000;
        desk.looks(now, &[("log", 1, i64::try_from(now).expect("soon"))]);
        assert_eq!(desk.pending.due(false), Some(desk.at(now + 300)), "it has rested");
    }

    #[test]
    fn nobody_waits_for_ever_for_a_file_that_never_stands_still() {
        let mut desk = Desk::new();
        let (answer, mut end) = tokio::sync::oneshot::channel();
        let root = PathBuf::from(ROOT);
        desk.pending.open(Opening::new(vec![root.clone()], BTreeSet::from([root]), Some(answer)));
        assert!(desk.pending.opened().is_empty(), "nobody has looked yet");
        let mut opened = Vec::new();
        for now in (0..10).map(|step| step * 100) {
            desk.looks(now, &[("log", 1, i64::try_from(now).expect("soon"))]);
            assert!(desk.hashes(now).is_empty());
            opened.extend(desk.pending.opened());
        }
        opened.pop().expect("it is given up").end(0, 0);
        let Ok(Ok(chordal_view::Outcome::Shared { skipped, .. })) = end.try_recv() else {
            panic!("no answer")
        };
        assert!(skipped[0].contains("being written"), "{skipped:?}");
        assert_eq!(desk.pending.hashing(), 1, "it will be shared");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_left_alone_until_it_changes() {
        let mut desk = Desk::new();
        desk.looks(0, &[("a", 1, -5_000)]);
        let wanted = desk.pending.next(desk.at(0), false).remove(0);
        assert!(!desk.pending.hashed(wanted, Hashed::Failed("no permission".into())));
        desk.looks(10, &[("a", 1, -5_000)]);
        assert_eq!(desk.pending.hashing(), 0);
        assert_eq!(desk.said(), [Kind::Skipped], "told once");
        desk.looks(20, &[("a", 1, -400)]);
        assert_eq!(desk.hashes(20), ["a"]);
    }

    #[test]
    fn small_files_are_read_together_and_large_ones_alone() {
        let mut desk = Desk::new();
        let large = |name: &str, inode| FoundFile {
            path: Path::new(ROOT).join(name),
            name: FileName::new(name).expect("a name"),
            stamp: Stamp { size: LARGE, ..stamp(inode, -5_000) },
        };
        let files = vec![large("x", 1), large("y", 2)];
        let found = Found { files, directory: true, ..Found::default() };
        let times = (desk.at(0), desk.wall);
        desk.pending.found(Path::new(ROOT), Path::new(ROOT), found, times);
        assert!(desk.pending.next(desk.at(0), false).is_empty());
        assert_eq!(desk.pending.next(desk.at(0), true).len(), 1);
        assert_eq!(desk.pending.next(desk.at(0), true).len(), 1);

        let mut desk = Desk::new();
        let names: Vec<String> = (0..BATCH_FILES + 3).map(|n| format!("{n:04}")).collect();
        let files: Vec<(&str, u64, i64)> =
            names.iter().zip(1..).map(|(name, inode)| (name.as_str(), inode, -5_000)).collect();
        desk.looks(0, &files);
        assert_eq!(desk.pending.next(desk.at(0), false).len(), BATCH_FILES);
        assert_eq!(desk.pending.next(desk.at(0), false).len(), 3);
    }
}
