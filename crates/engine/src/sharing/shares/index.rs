//! What is shared now: by name, by path, by content. Every entry is what was
//! on the disk when it was looked at last.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chordal_core::name::FileName;
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::Manifest;
use chordal_core::wire::query;
use chordal_store::Stamp;

use super::file::SharedFile;

/// A shared file with all that is needed to serve it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its name for others.
    pub(super) name: FileName,
    /// Where it lies.
    pub(super) path: PathBuf,
    /// The shared path that it belongs to.
    pub(super) below: PathBuf,
    /// The marks of the file that was hashed.
    pub(super) stamp: Stamp,
    /// What it was hashed to. In memory: 32 bytes for each MiB shared.
    pub(super) manifest: Arc<Manifest>,
}

/// All shared files. One name stands for one path, one path has one name.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: BTreeMap<FileName, Entry>,
    paths: BTreeMap<PathBuf, FileName>,
    contents: BTreeSet<(ContentHash, PathBuf)>,
    /// Files by the marks of their bytes: one that was renamed, or that has several
    /// names on the disk, need not be read again.
    stamps: BTreeMap<Stamp, FileName>,
    /// How many nodes share a name with its content, where more than this one.
    sources: BTreeMap<FileName, u16>,
    /// Shared paths that are downloads.
    downloads: BTreeSet<PathBuf>,
    bytes: u64,
    /// Grows with every file that comes or goes.
    revision: u64,
    /// Grows with everything that people see.
    shown: u64,
}

impl Index {
    /// What others get to know of an entry.
    pub(super) fn file(&self, entry: &Entry) -> SharedFile {
        SharedFile {
            name: entry.name.clone(),
            path: entry.path.clone(),
            root: entry.manifest.root(),
            size: entry.manifest.size(),
            downloaded: self.downloads.contains(&entry.below),
        }
    }

    /// An entry as it is sent to other nodes.
    pub(super) fn shared_file(&self, entry: &Entry) -> query::SharedFile {
        query::SharedFile {
            name: entry.name.clone(),
            root: entry.manifest.root(),
            size: entry.manifest.size(),
            sources: self.sources(&entry.name),
        }
    }

    /// Says which of the shared paths are downloads.
    pub(super) fn set_downloads(&mut self, downloads: BTreeSet<PathBuf>) {
        if self.downloads != downloads {
            self.downloads = downloads;
            self.revision += 1;
        }
    }

    /// Grows with every file that comes or goes.
    pub(super) const fn revision(&self) -> u64 {
        self.revision
    }

    /// Grows with every change of which people see something.
    pub(super) const fn shown(&self) -> u64 {
        self.shown
    }

    /// Files, and their bytes.
    pub(super) fn totals(&self) -> (usize, u64) {
        (self.entries.len(), self.bytes)
    }

    /// The entries from behind a name, in the order of names.
    pub(super) fn behind(&self, after: Option<&FileName>) -> impl Iterator<Item = &Entry> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.entries.range((start, Bound::Unbounded)).map(|(_, entry)| entry)
    }

    /// The entry of a name.
    pub(super) fn named(&self, name: &FileName) -> Option<&Entry> {
        self.entries.get(name)
    }

    /// The entry of a path.
    pub(super) fn at(&self, path: &Path) -> Option<&Entry> {
        self.entries.get(self.paths.get(path)?)
    }

    /// The entries with a content, in the order of paths.
    pub(super) fn with_content(&self, root: ContentHash) -> impl Iterator<Item = &Entry> {
        let paths = self.contents.range((root, PathBuf::new())..);
        let paths = paths.take_while(move |(other, _)| *other == root);
        paths.filter_map(|(_, path)| self.at(path))
    }

    /// What a file with these marks was hashed to, wherever it lies.
    pub(super) fn hashed(&self, stamp: &Stamp) -> Option<Arc<Manifest>> {
        Some(Arc::clone(&self.entries.get(self.stamps.get(&stamp.of_bytes())?)?.manifest))
    }

    /// The entries at a path and below it, in the order of paths.
    pub(super) fn below<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Entry> {
        // Paths are ordered part by part: whatever lies below follows at once.
        let from = (Bound::Included(path), Bound::Unbounded);
        let paths = self.paths.range::<Path, _>(from).take_while(move |(p, _)| p.starts_with(path));
        paths.filter_map(|(_, name)| self.entries.get(name))
    }

    /// How many share a name with its content, this node included.
    pub(super) fn sources(&self, name: &FileName) -> u16 {
        self.sources.get(name).copied().unwrap_or(1)
    }

    /// Sets how many do; whether that is news.
    pub(super) fn set_sources(&mut self, name: &FileName, sources: u16) -> bool {
        let sources = sources.max(1);
        if !self.entries.contains_key(name) || self.sources(name) == sources {
            return false;
        }
        self.sources.insert(name.clone(), sources);
        self.shown += 1;
        true
    }

    /// Takes an entry in. Others of its name or its path make way.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.remove(&entry.path);
        if let Some(path) = self.entries.get(&entry.name).map(|other| other.path.clone()) {
            self.remove(&path);
        }
        let name = &entry.name;
        self.paths.insert(entry.path.clone(), name.clone());
        self.contents.insert((entry.manifest.root(), entry.path.clone()));
        self.stamps.insert(entry.stamp.of_bytes(), name.clone());
        self.bytes += entry.manifest.size();
        self.entries.insert(name.clone(), entry);
        self.moved();
    }

    /// Takes the entry of a path out.
    pub(super) fn remove(&mut self, path: &Path) -> Option<Entry> {
        let name = self.paths.remove(path)?;
        let entry = self.entries.remove(&name)?;
        self.contents.remove(&(entry.manifest.root(), path.to_owned()));
        let stamp = entry.stamp.of_bytes();
        if self.stamps.get(&stamp) == Some(&name) {
            self.stamps.remove(&stamp);
        }
        self.sources.remove(&name);
        self.bytes -= entry.manifest.size();
        self.moved();
        Some(entry)
    }

    const fn moved(&mut self) {
        self.revision += 1;
        self.shown += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::transfer::manifest::ManifestBuilder;

    fn entry(path: &str, name: &str, bytes: &[u8], inode: u64) -> Entry {
        let size = bytes.len() as u64;
        let mut builder = ManifestBuilder::new(size);
        builder.update(bytes);
        Entry {
            name: FileName::new(name).expect("a name"),
            path: path.into(),
            below: "/s".into(),
            stamp: Stamp { dev: 1, inode, size, modified_ns: 7, changed_ns: 9 },
            manifest: Arc::new(builder.finish().expect("all bytes came")),
        }
    }

    fn names<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<&'a str> {
        entries.map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn an_entry_is_found_by_name_path_content_and_marks_until_it_is_removed() {
        let mut index = Index::default();
        let first = entry("/s/a", "a", b"one", 1);
        let root = first.manifest.root();
        index.insert(first.clone());
        index.insert(entry("/s/b/a", "b/a", b"one", 2));
        index.insert(entry("/s/bc", "bc", b"other", 3));
        assert_eq!(index.totals(), (3, 11));
        assert_eq!(names(index.with_content(root)), ["a", "b/a"]);
        assert_eq!(names(index.below(Path::new("/s/b"))), ["b/a"], "bc does not lie below b");
        assert_eq!(names(index.behind(Some(&first.name))), ["b/a", "bc"]);
        assert_eq!(index.hashed(&first.stamp).map(|manifest| manifest.root()), Some(root));

        assert_eq!(index.remove(Path::new("/s/a")).map(|entry| entry.name), Some(first.name));
        assert!(index.remove(Path::new("/s/a")).is_none());
        assert_eq!(index.hashed(&first.stamp), None);
        assert_eq!(names(index.with_content(root)), ["b/a"]);
        assert_eq!(index.totals(), (2, 8));
    }

    #[test]
    fn a_name_and_a_path_stand_for_one_entry() {
        let mut index = Index::default();
        index.insert(entry("/s/a", "a", b"one", 1));
        index.insert(entry("/s/a", "renamed", b"one", 1));
        assert_eq!(names(index.behind(None)), ["renamed"]);
        index.insert(entry("/t/a", "renamed", b"two!", 2));
        assert_eq!(index.totals(), (1, 4));
        assert!(index.at(Path::new("/s/a")).is_none());
    }

    #[test]
    fn sources_are_counted_for_what_is_shared_and_never_fewer_than_this_node() {
        let mut index = Index::default();
        let a = entry("/s/a", "a", b"one", 1);
        assert!(!index.set_sources(&a.name, 3), "it is not shared");
        index.insert(a.clone());
        assert!(index.set_sources(&a.name, 3));
        assert!(!index.set_sources(&a.name, 3), "no news");
        assert!(index.set_sources(&a.name, 0));
        assert_eq!(index.sources(&a.name), 1);
    }
}
