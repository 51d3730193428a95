//! The contents on their way into the store: whoever takes in the same content
//! works on the same file, and what an attempt left is there for the next one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::disk::Disk;
use super::error::{StoreError, on};
use super::partial::{self, Claim, Partial, map_path};
use crate::record::ContentHash;
use crate::transfer::manifest::Manifest;
use crate::transfer::pieces::PieceSet;

/// How long what an attempt left is kept for the next one: whoever starts an
/// upload again does it soon.
pub(super) const LEFT_FOR: Duration = Duration::from_secs(60 * 60);

/// Left contents at the most; the oldest go first. Whoever leaves one upload
/// after the other fills no more.
const MAX_LEFT: usize = 64;

const PART: &str = "part";

/// The directory `partial/`.
#[derive(Debug)]
pub(super) struct Partials {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    known: Mutex<Known>,
}

type Known = BTreeMap<ContentHash, Entry>;

#[derive(Debug)]
enum Entry {
    /// Somebody takes it in.
    Held {
        /// The file.
        partial: Arc<Partial>,
        /// How many do.
        users: usize,
    },
    /// Nobody does.
    Left {
        /// What was verified by this process; `None`: look at its map.
        here: Option<PieceSet>,
        /// Since when.
        since: SystemTime,
        /// Its bytes on the disk.
        bytes: u64,
    },
}

impl Partials {
    /// Finds what earlier processes left; removes what is too old or of no
    /// use.
    pub(super) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> Result<Partials, StoreError> {
        let found = disk.list(&dir).map_err(on("list", &dir))?;
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
        let partials = Partials { disk, dir, known: Mutex::new(known) };
        partials.expire(SystemTime::now());
        let keeps = |path: &PathBuf| {
            let of = |root| partials.lock().contains_key(&root);
            let file = path.with_extension("");
            let file = if path.extension().is_some_and(|end| end == "map") { &file } else { path };
            root_of(file).is_some_and(of)
        };
        for path in found.iter().filter(|path| !keeps(path)) {
            partials.disk.remove(path).map_err(on("remove", path))?;
        }
        Ok(partials)
    }

    /// The file of a content: the one that somebody fills already, the one
    /// that somebody left, or a new one. What was left by an earlier process
    /// is to be looked at first ([`Partial::look`]). For each call that
    /// succeeds, one of [`Partials::leave`] is due.
    pub(super) fn begin(&self, manifest: &Manifest) -> Result<Arc<Partial>, StoreError> {
        let root = manifest.root();
        let mut known = self.lock();
        if let Some(Entry::Held { partial, users }) = known.get_mut(&root)
            && !partial.is_moved()
        {
            *users += 1;
            return Ok(Arc::clone(partial));
        }
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
            // Nothing of it is known: it is filled from the beginning.
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

    /// Somebody is done with a file, whether it was moved or not. What the
    /// last one leaves stays for a while if it is of use to anybody.
    pub(super) fn leave(&self, partial: &Arc<Partial>) {
        let root = partial.manifest().root();
        let mut known = self.lock();
        let Some(Entry::Held { partial: held, users }) = known.get_mut(&root) else { return };
        // It was moved, and the content comes in anew.
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
        // What was never looked at is looked at the next time.
        let here = Some(partial.here()).filter(|here| !here.is_empty());
        let bytes = self.disk.size(partial.path()).ok().flatten().unwrap_or_default();
        known.insert(root, Entry::Left { here, since: SystemTime::now(), bytes });
        while left(&known).count() > MAX_LEFT {
            self.remove_oldest(&mut known);
        }
    }

    /// Takes a file for the content's that lies elsewhere and is damaged in
    /// places: what is right of it need not come again. When somebody takes
    /// the content in already, it is removed instead.
    pub(super) fn adopt(&self, file: &Path, manifest: &Manifest) -> Result<(), StoreError> {
        let root = manifest.root();
        let mut known = self.lock();
        if matches!(known.get(&root), Some(Entry::Held { .. })) || manifest.count() <= 1 {
            return self.disk.remove(file).map_err(on("remove", file));
        }
        let path = self.path(&root);
        self.disk.rename(file, &path).map_err(on("set aside", file))?;
        partial::claim_all(&*self.disk, &path, manifest)?;
        let entry = Entry::Left { here: None, since: SystemTime::now(), bytes: manifest.size() };
        known.insert(root, entry);
        Ok(())
    }

    /// Removes what was left too long ago. How many contents these were.
    pub(super) fn expire(&self, now: SystemTime) -> usize {
        let mut known = self.lock();
        let old = |since: SystemTime| now.duration_since(since).is_ok_and(|age| age > LEFT_FOR);
        let gone: Vec<ContentHash> =
            left(&known).filter(|(since, _)| old(*since)).map(|(_, root)| root).collect();
        for root in &gone {
            self.remove_left(&mut known, root);
        }
        gone.len()
    }

    /// Removes the content that was left longest ago, to make room. Whether
    /// there was one.
    pub(super) fn give_way(&self) -> bool {
        self.remove_oldest(&mut self.lock())
    }

    /// Bytes on the disk of all that is or was on its way in.
    pub(super) fn bytes(&self) -> u64 {
        let bytes = |entry: &Entry| match entry {
            Entry::Held { partial, .. } if partial.is_moved() => 0,
            Entry::Held { partial, .. } => {
                let here = partial.here().len() as u64 * partial.manifest().piece_size();
                here.min(partial.manifest().size())
            }
            Entry::Left { bytes, .. } => *bytes,
        };
        self.lock().values().map(bytes).sum()
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
                tracing::warn!(%error, path = %path.display(), "what an upload left was not removed");
            }
        }
    }

    /// Where a content lies while it comes in.
    fn path(&self, root: &ContentHash) -> PathBuf {
        self.dir.join(format!("{root}.{PART}"))
    }

    /// Held while files are opened or removed, never while bytes move.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Since when each left content is left.
fn left(known: &Known) -> impl Iterator<Item = (SystemTime, ContentHash)> + '_ {
    known.iter().filter_map(|(root, entry)| match entry {
        Entry::Left { since, .. } => Some((*since, *root)),
        Entry::Held { .. } => None,
    })
}

/// The content whose file this is, by its name.
fn root_of(path: &Path) -> Option<ContentHash> {
    (path.extension()? == PART).then_some(())?;
    path.file_stem()?.to_str()?.parse().ok()
}
