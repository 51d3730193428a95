//! The incoming contents of the store: callers that take in the same content fill the same
//! file, and the next attempt resumes what an earlier one left.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::blob::PROBE;
use super::disk::Disk;
use super::error::{StoreError, on};
use super::partial::{self, Claim, Partial, map_path};
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::{Manifest, piece_count};
use chordal_core::transfer::pieces::PieceSet;

/// How long an unfinished upload is kept: a user who repeats an upload does it soon.
pub(super) const LEFT_FOR: Duration = Duration::from_secs(60 * 60);

/// Unfinished uploads at most; the oldest are removed first. This bounds the disk use of a
/// client that starts one upload after the other.
const MAX_LEFT: usize = 64;

const PART: &str = "part";

/// The directory `partial/`.
#[derive(Debug)]
pub(super) struct Partials {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Held while files are opened or removed, never while bytes move.
    known: Mutex<Known>,
    /// Files that are not the store's; they are left alone.
    unknown: Vec<PathBuf>,
}

type Known = BTreeMap<ContentHash, Entry>;

#[derive(Debug)]
enum Entry {
    /// At least one caller takes it in.
    Held {
        partial: Arc<Partial>,
        /// Number of these callers.
        users: usize,
    },
    /// An earlier attempt left it.
    Left {
        /// The pieces that this process verified; `None`: read its map.
        here: Option<PieceSet>,
        since: SystemTime,
        bytes: u64,
    },
}

impl Entry {
    /// Bytes that are on the disk or will be.
    fn promised(&self) -> u64 {
        match self {
            // The ledger of blobs counts it.
            Entry::Held { partial, .. } if partial.is_moved() => 0,
            Entry::Held { partial, .. } => partial.manifest().size(),
            Entry::Left { bytes, .. } => *bytes,
        }
    }
}

impl Partials {
    /// Their directory.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Files in the directory that are not the store's.
    pub(super) fn unknown(&self) -> Vec<PathBuf> {
        self.unknown.clone()
    }

    /// Finds what earlier processes left; removes what is too old or cannot be used.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Partials, StoreError> {
        let own = |path: &PathBuf| {
            let of_content = root_of(&without_map(path)).is_some();
            let probe = path.file_name().is_some_and(|name| name == PROBE);
            // A directory of such a name, or a link without a target, is not the store's.
            (of_content || probe) && disk.is_file(path).unwrap_or(true)
        };
        let listed = disk.list(&dir).map_err(on("list", &dir))?;
        let (found, unknown): (Vec<PathBuf>, Vec<PathBuf>) = listed.into_iter().partition(own);
        let mut known = Known::new();
        for path in &found {
            if let Some(root) = root_of(path)
                && found.contains(&map_path(path))
                && let Some(bytes) = disk.size(path).map_err(on("look at", path))?
            {
                let since = fs::metadata(path).and_then(|found| found.modified());
                let since = since.unwrap_or_else(|_| SystemTime::now());
                known.insert(root, Entry::Left { here: None, since, bytes });
            }
        }
        let partials = Partials { disk, dir, known: Mutex::new(known), unknown };
        partials.expire(SystemTime::now());
        let keeps = |path: &PathBuf| {
            let of = |root| partials.known.lock().contains_key(&root);
            root_of(&without_map(path)).is_some_and(of)
        };
        for path in found.iter().filter(|path| !keeps(path)) {
            partials.disk.remove(path).map_err(on("remove", path))?;
        }
        Ok(partials)
    }

    /// The file of a content: the one that other callers fill already, the one that an
    /// earlier attempt left, or a new one. What an earlier process left must be verified
    /// first ([`Partial::look`]). Each successful call must be matched by one of
    /// [`Partials::leave`].
    ///
    /// Before a file is begun or resumed, `fits` checks whether there is room for it. Its
    /// arguments are the bytes of this content that are on the disk, and the bytes that
    /// other contents have or will need.
    pub(super) fn begin(
        &self,
        manifest: &Manifest,
        fits: impl FnOnce(u64, u64) -> Result<(), StoreError>,
    ) -> Result<Arc<Partial>, StoreError> {
        let root = manifest.root();
        let mut known = self.known.lock();
        if let Some(Entry::Held { partial, users }) = known.get_mut(&root)
            && !partial.is_moved()
        {
            *users += 1;
            return Ok(Arc::clone(partial));
        }
        let here = known.get(&root).map_or(0, Entry::promised);
        let all: u64 = known.values().map(Entry::promised).sum();
        fits(here, all - here)?;
        let path = self.path(&root);
        let disk = Arc::clone(&self.disk);
        let open = || self.disk.open(&path).map_err(on("open", &path));
        let claim = match known.get(&root) {
            Some(Entry::Left { here: Some(here), .. }) => Claim::Pieces(here.clone()),
            Some(Entry::Left { here: None, .. }) => partial::claim(&*self.disk, &path, manifest)?,
            _ => Claim::None,
        };
        let begun = match claim {
            Claim::Pieces(claimed) => open().and_then(|file| {
                Partial::resume(disk, file, path.clone(), manifest.clone(), claimed)
            }),
            // Nothing is known about the file: it is filled from the beginning.
            Claim::None | Claim::Other => {
                open().and_then(|file| Partial::begin(disk, file, path.clone(), manifest.clone()))
            }
        };
        let partial = match begun {
            Ok(partial) => Arc::new(partial),
            Err(error) => {
                if !known.contains_key(&root) {
                    let _ = self.disk.remove(&path);
                }
                return Err(error);
            }
        };
        if let Some(Entry::Left { here: Some(here), .. }) = known.remove(&root) {
            partial.trust(here);
        }
        known.insert(root, Entry::Held { partial: Arc::clone(&partial), users: 1 });
        Ok(partial)
    }

    /// Ends a caller's use of a file, whether it was moved or not. After the last caller,
    /// the file is kept for a while if it is worth it.
    pub(super) fn leave(&self, partial: &Arc<Partial>) {
        let root = partial.manifest().root();
        let mut known = self.known.lock();
        let Some(Entry::Held { partial: held, users }) = known.get_mut(&root) else { return };
        // The file was moved, and the content is being taken in again.
        if !Arc::ptr_eq(held, partial) {
            return;
        }
        *users -= 1;
        if *users > 0 {
            return;
        }
        known.remove(&root);
        if partial.is_moved() {
            return;
        }
        if !partial.is_worth_keeping() {
            partial.remove();
            return;
        }
        // Pieces that were not verified yet are verified by the next attempt.
        let here = Some(partial.here()).filter(|here| !here.is_empty());
        let bytes = self.disk.size(partial.path()).ok().flatten().unwrap_or_default();
        known.insert(root, Entry::Left { here, since: SystemTime::now(), bytes });
        while left(&known).count() > MAX_LEFT {
            self.remove_oldest(&mut known);
        }
    }

    /// Takes over another file as what is left of a content: each of its pieces may be
    /// intact and need not be fetched again. If a caller takes in the content already, or
    /// it has one piece, the file is removed instead.
    pub(super) fn adopt(
        &self,
        file: &Path,
        root: &ContentHash,
        size: u64,
    ) -> Result<(), StoreError> {
        let mut known = self.known.lock();
        if matches!(known.get(root), Some(Entry::Held { .. })) || piece_count(size) <= 1 {
            return self.disk.remove(file).map_err(on("remove", file));
        }
        let since = fs::metadata(file).and_then(|found| found.modified());
        let since = since.unwrap_or_else(|_| SystemTime::now());
        let path = self.path(root);
        self.disk.rename(file, &path).map_err(on("set aside", file))?;
        partial::claim_all(&*self.disk, &path, root, size)?;
        known.insert(*root, Entry::Left { here: None, since, bytes: size });
        Ok(())
    }

    /// Removes what was left too long ago; returns the number of contents.
    pub(super) fn expire(&self, now: SystemTime) -> usize {
        let mut known = self.known.lock();
        let old = |since: SystemTime| now.duration_since(since).is_ok_and(|age| age > LEFT_FOR);
        let gone: Vec<ContentHash> =
            left(&known).filter(|(since, _)| old(*since)).map(|(_, root)| root).collect();
        for root in &gone {
            self.remove_left(&mut known, root);
        }
        gone.len()
    }

    /// Removes the content that was left longest ago, to make room. Returns whether there
    /// was one.
    pub(super) fn give_way(&self) -> bool {
        self.remove_oldest(&mut self.known.lock())
    }

    /// Bytes on the disk of all incoming and left contents.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |entry: &Entry| match entry {
            Entry::Held { partial, .. } if partial.is_moved() => 0,
            Entry::Held { partial, .. } => {
                let here = partial.here().len() as u64 * partial.manifest().piece_size();
                here.min(partial.manifest().size())
            }
            Entry::Left { bytes, .. } => *bytes,
        };
        self.known.lock().values().map(bytes).sum()
    }

    fn remove_oldest(&self, known: &mut Known) -> bool {
        let oldest = left(known).min();
        if let Some((_, root)) = oldest {
            self.remove_left(known, &root);
        }
        oldest.is_some()
    }

    fn remove_left(&self, known: &mut Known, root: &ContentHash) {
        known.remove(root);
        let path = self.path(root);
        for path in [map_path(&path), path] {
            if let Err(error) = self.disk.remove(&path) {
                tracing::warn!(%error, path = %path.display(), "an unfinished upload was not removed");
            }
        }
    }

    /// The path of an incoming content.
    fn path(&self, root: &ContentHash) -> PathBuf {
        self.dir.join(format!("{root}.{PART}"))
    }
}

/// When each left content was left.
fn left(known: &Known) -> impl Iterator<Item = (SystemTime, ContentHash)> + '_ {
    known.iter().filter_map(|(root, entry)| match entry {
        Entry::Left { since, .. } => Some((*since, *root)),
        Entry::Held { .. } => None,
    })
}

/// The file to which this path belongs: the path itself, or for a map the file beside it.
fn without_map(path: &Path) -> PathBuf {
    let is_map = path.extension().is_some_and(|end| end == "map");
    if is_map { path.with_extension("") } else { path.to_owned() }
}

/// The content to which a file belongs, by its name.
fn root_of(path: &Path) -> Option<ContentHash> {
    (path.extension()? == PART).then_some(())?;
    path.file_stem()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faulty::{Fault, FaultyDisk};
    use crate::{Incoming, Recovery, Store};
    use chordal_core::transfer::manifest::{ManifestBuilder, PieceIndex};
    use std::path::Path;
    use tempfile::TempDir;

    const PIECE: usize = 1024 * 1024;

    /// Five pieces, the last one short.
    fn content() -> Vec<u8> {
        (0..4 * PIECE + 77).map(|at| (at % 253) as u8).collect()
    }

    fn manifest(content: &[u8]) -> Manifest {
        let mut builder = ManifestBuilder::new(content.len() as u64);
        builder.update(content);
        builder.finish().unwrap()
    }

    fn bring(incoming: &Incoming, content: &[u8], pieces: &[u32]) {
        for index in pieces.iter().copied().map(PieceIndex) {
            let from = incoming.manifest().offset_of(index) as usize;
            let to = from + incoming.manifest().len_of(index) as usize;
            incoming.write(index, &content[from..to]).unwrap();
        }
    }

    fn here(incoming: &Incoming) -> Vec<u32> {
        incoming.here().iter().map(|index| index.0).collect()
    }

    fn listing(dir: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(dir.join("partial")).unwrap();
        paths.map(|entry| entry.unwrap().path()).collect()
    }

    /// What a process leaves that is killed after these pieces.
    fn killed(dir: &Path, pieces: &[u32]) -> PathBuf {
        let kept = TempDir::new().unwrap();
        let (store, _) = Store::open(dir).unwrap();
        let incoming = store.begin(manifest(&content())).unwrap();
        bring(&incoming, &content(), pieces);
        // As they are before anything is tidied up.
        for path in listing(dir) {
            fs::copy(&path, kept.path().join(path.file_name().unwrap())).unwrap();
        }
        drop((incoming, store));
        for path in listing(dir) {
            fs::remove_file(path).unwrap();
        }
        for entry in fs::read_dir(kept.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, dir.join("partial").join(path.file_name().unwrap())).unwrap();
        }
        let root = manifest(&content()).root();
        dir.join("partial").join(format!("{root}.part"))
    }

    #[test]
    fn what_a_killed_process_took_in_is_there_for_the_next_one() {
        let dir = TempDir::new().unwrap();
        killed(dir.path(), &[0, 3, 4]);
        let (store, _) = Store::open(dir.path()).unwrap();
        let mut looked = Vec::new();
        let incoming = store
            .resume(manifest(&content()), |bytes| {
                looked.push(bytes);
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(looked, [PIECE as u64, PIECE as u64, 77]);
        assert_eq!(here(&incoming), [0, 3, 4]);
        bring(&incoming, &content(), &[1, 2]);
        incoming.finish().unwrap();
        drop(incoming);
        assert_eq!(listing(dir.path()), Vec::<PathBuf>::new());
        let blob = store.open_blob(&manifest(&content()).root()).unwrap().unwrap();
        let hashed = crate::hash_open_file(&blob, |_| std::ops::ControlFlow::Continue(()));
        assert_eq!(hashed.unwrap(), manifest(&content()));
    }

    #[test]
    fn what_was_damaged_meanwhile_is_missing_and_nothing_else() {
        let dir = TempDir::new().unwrap();
        let file = killed(dir.path(), &[0, 1, 3, 4]);
        let mut bytes = fs::read(&file).unwrap();
        bytes[PIECE + 5] ^= 1;
        // Cut within the last piece; and the map claims one that never came.
        bytes.truncate(4 * PIECE + 70);
        fs::write(&file, &bytes).unwrap();
        let map = map_path(&file);
        let mut bits = fs::read(&map).unwrap();
        *bits.last_mut().unwrap() = 0xFF;
        fs::write(&map, &bits).unwrap();
        {
            let (store, _) = Store::open(dir.path()).unwrap();
            let incoming = store.begin(manifest(&content())).unwrap();
            assert_eq!(here(&incoming), [0, 3]);
        }
        // The next one believes what is true by now.
        assert_eq!(fs::read(&map).unwrap().last(), Some(&0b1001));
    }

    #[test]
    fn a_directory_that_somebody_made_there_keeps_nobody_from_opening() {
        let dir = TempDir::new().unwrap();
        let theirs = dir.path().join("partial").join("theirs");
        fs::create_dir_all(theirs.join("deep")).unwrap();
        let rubbish = dir.path().join("partial").join("rubbish");
        fs::write(&rubbish, b"x").unwrap();
        drop(Store::open(dir.path()).unwrap());
        assert_eq!(listing(dir.path()), [theirs, rubbish]);
    }

    #[test]
    fn rubbish_for_a_map_or_behind_the_last_piece_does_no_harm() {
        let long = vec![7; 100_000];
        for rubbish in [&b""[..], b"chordal pieces 1", &[0xFF; 100], &long] {
            let dir = TempDir::new().unwrap();
            let file = killed(dir.path(), &[0, 1]);
            fs::write(map_path(&file), rubbish).unwrap();
            let mut bytes = fs::read(&file).unwrap();
            bytes.resize(9 * PIECE, 9);
            fs::write(&file, &bytes).unwrap();
            let (store, _) = Store::open(dir.path()).unwrap();
            let incoming = store.begin(manifest(&content())).unwrap();
            assert_eq!(here(&incoming), Vec::<u32>::new());
            bring(&incoming, &content(), &[0, 1, 2, 3, 4]);
            incoming.finish().unwrap();
            let blob = store.open_blob(&manifest(&content()).root()).unwrap().unwrap();
            assert_eq!(blob.metadata().unwrap().len(), content().len() as u64);
        }
    }

    #[test]
    fn those_who_take_in_the_same_content_fill_one_file() {
        let dir = TempDir::new().unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        let one = store.begin(manifest(&content())).unwrap();
        let two = store.begin(manifest(&content())).unwrap();
        bring(&one, &content(), &[0, 1, 2]);
        assert!(two.wait_for(PieceIndex(2), Duration::ZERO));
        assert!(!two.wait_for(PieceIndex(3), Duration::from_millis(1)));
        drop(one);
        std::thread::scope(|scope| {
            scope.spawn(|| bring(&two, &content(), &[3]));
            assert!(two.wait_for(PieceIndex(3), Duration::from_secs(60)), "it is told");
        });
        let three = store.begin(manifest(&content())).unwrap();
        assert_eq!(three.missing(), 1);
        bring(&two, &content(), &[4]);
        two.finish().unwrap();
        three.finish().unwrap();
        drop((two, three));
        assert!(store.holds(&manifest(&content()).root()));
        assert_eq!(listing(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_is_left_goes_on_is_counted_and_goes_after_an_hour() {
        let dir = TempDir::new().unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        let partials = &store.shared.blobs.partials;
        let incoming = store.begin(manifest(&content())).unwrap();
        assert_eq!(partials.bytes(), 0);
        bring(&incoming, &content(), &[0, 1]);
        assert_eq!(partials.bytes(), 2 * PIECE as u64);
        drop(incoming);
        assert_eq!(partials.bytes(), 2 * PIECE as u64);
        // This process has verified it: it is not read again.
        let again = store.resume(manifest(&content()), |_| panic!("it is read")).unwrap();
        assert_eq!(here(&again), [0, 1]);
        drop(again);
        let now = SystemTime::now();
        assert_eq!(partials.expire(now + LEFT_FOR - Duration::from_secs(60)), 0);
        assert_eq!(listing(dir.path()).len(), 2);
        assert_eq!(partials.expire(now + LEFT_FOR + Duration::from_secs(60)), 1);
        assert_eq!(listing(dir.path()), Vec::<PathBuf>::new());
        assert_eq!(partials.bytes(), 0);
    }

    #[test]
    fn what_is_of_no_use_is_not_left() {
        let dir = TempDir::new().unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        drop(store.begin(manifest(&content())).unwrap());
        assert_eq!(listing(dir.path()), Vec::<PathBuf>::new(), "nothing came");
        let small = store.begin(manifest(b"small")).unwrap();
        bring(&small, b"small", &[0]);
        assert_eq!(listing(dir.path()).len(), 1, "one piece needs no map");
        drop(small);
        assert_eq!(listing(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_oldest_goes_first_where_room_is_short() {
        let dir = TempDir::new().unwrap();
        let (store, _) = Store::open(dir.path()).unwrap();
        let partials = &store.shared.blobs.partials;
        let leave = |seed: u8| {
            let content = vec![seed; PIECE + 1];
            let incoming = store.begin(manifest(&content)).unwrap();
            bring(&incoming, &content, &[1]);
            manifest(&content).root()
        };
        let roots: Vec<ContentHash> = (0..=MAX_LEFT as u8).map(leave).collect();
        assert_eq!(listing(dir.path()).len(), 2 * MAX_LEFT, "no more than that many are left");
        assert!(partials.give_way());
        let gone = |root: &ContentHash| !partials.path(root).exists();
        assert!(gone(&roots[0]) && gone(&roots[1]) && !gone(&roots[2]));
        while partials.give_way() {}
        assert_eq!(listing(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn what_was_left_gives_way_to_what_comes_in_on_a_full_disk() {
        let dir = TempDir::new().unwrap();
        let disk = FaultyDisk::default();
        let (store, _) = Store::open_on(dir.path(), Arc::new(disk.clone())).unwrap();
        let other = vec![7; PIECE + 1];
        let left = store.begin(manifest(&other)).unwrap();
        bring(&left, &other, &[0]);
        drop(left);
        let incoming = store.begin(manifest(&content())).unwrap();
        disk.arm(1, Fault::Once(std::io::ErrorKind::StorageFull));
        bring(&incoming, &content(), &[0, 1]);
        assert_eq!(listing(dir.path()).len(), 2, "the other one is gone");
        // Now nothing is left that could go: what came is not kept either.
        disk.arm(1, Fault::Once(std::io::ErrorKind::StorageFull));
        let piece = &content()[2 * PIECE..3 * PIECE];
        assert!(incoming.write(PieceIndex(2), piece).is_err());
        drop(incoming);
        assert_eq!(listing(dir.path()), Vec::<PathBuf>::new());
    }

    #[test]
    fn a_content_that_was_never_committed_need_not_come_again_after_a_crash() {
        let dir = TempDir::new().unwrap();
        {
            let (store, _) = Store::open(dir.path()).unwrap();
            let incoming = store.begin(manifest(&content())).unwrap();
            bring(&incoming, &content(), &[0, 1, 2, 3, 4]);
            incoming.finish().unwrap();
        }
        let (store, recovery) = Store::open(dir.path()).unwrap();
        assert_eq!(recovery, Recovery { removed_orphans: 1, ..Recovery::default() });
        assert!(!store.holds(&manifest(&content()).root()));
        let incoming = store.begin(manifest(&content())).unwrap();
        assert_eq!(incoming.missing(), 0);
        incoming.finish().unwrap();
        assert!(store.holds(&manifest(&content()).root()));
    }
}
