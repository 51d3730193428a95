//! Which paths are shared, and what of them is not: kept in `shares.toml` in
//! the data directory, as far as it outlives the node.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use chordal_core::error::{CommandError, PathFault, Reason};
use chordal_core::name::FileName;

use super::handle::Shares;

/// Paths shared at once: each is looked at every second.
pub(super) const MAX_ROOTS: usize = 1_024;

/// Paths below them that are not shared.
pub(super) const MAX_EXCLUDED: usize = 10_000;

const FILE: &str = "shares.toml";

/// Its first line.
const HEAD: &str = "# What this node's user shares. Written by chordal.\n";

/// Why a path is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The user's command: it comes back after a restart.
    Command,
    /// A setting: it is given again at the next start, or not.
    Setting,
    /// A finished download: it comes back if downloads are still offered.
    Download,
}

/// A shared path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Root {
    /// Where it is, links resolved (once it was there for the first time).
    pub(super) path: PathBuf,
    /// For a file: its name for others.
    pub(super) name: Option<FileName>,
    /// Why.
    pub(super) origin: Origin,
}

/// All shared paths. A path belongs to the nearest root above it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Roots {
    roots: BTreeMap<PathBuf, Root>,
    excluded: BTreeSet<PathBuf>,
}

impl Roots {
    /// All of them, in the order of paths.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Root> {
        self.roots.values()
    }

    /// Tells the index which of them are downloads.
    pub(super) fn tell_downloads(&self, shares: &Shares) {
        let downloads = self.iter().filter(|root| root.origin == Origin::Download);
        let downloads = downloads.map(|root| root.path.clone()).collect();
        shares.change(|index| index.set_downloads(downloads));
    }

    /// The root at a path.
    pub(super) fn get(&self, path: &Path) -> Option<&Root> {
        self.roots.get(path)
    }

    /// The root that a path belongs to, itself included.
    pub(super) fn nearest(&self, path: &Path) -> Option<&Root> {
        path.ancestors().find_map(|path| self.roots.get(path))
    }

    /// Whether a path, or a directory between it and its root, is excluded.
    pub(super) fn is_excluded(&self, path: &Path) -> bool {
        let Some(root) = self.nearest(path) else { return false };
        let mut between = path.ancestors().take_while(|path| *path != root.path);
        between.any(|path| self.excluded.contains(path))
    }

    /// The paths that are not shared although something above them is.
    pub(super) const fn excluded(&self) -> &BTreeSet<PathBuf> {
        &self.excluded
    }

    /// Shares a path, and whatever was excluded at it and below it. Whether
    /// there is a new root; not when it is shared already, as a part of a
    /// directory that comes back after a restart as surely as it would.
    pub(super) fn add(&mut self, root: Root) -> Result<bool, CommandError> {
        let Root { path, origin, .. } = &root;
        let was_excluded = self.is_excluded(path);
        let below = |excluded: &PathBuf| excluded.starts_with(path);
        let lifted: Vec<PathBuf> = self.excluded.iter().filter(|e| below(e)).cloned().collect();
        lifted.iter().for_each(|path| {
            self.excluded.remove(path);
        });
        if let Some(present) = self.roots.get_mut(path) {
            match *origin {
                Origin::Command => present.origin = Origin::Command,
                Origin::Download => present.name = root.name,
                Origin::Setting => {}
            }
            return Ok(false);
        }
        let covers = |above: &Root| match origin {
            Origin::Command => above.origin == Origin::Command,
            Origin::Setting | Origin::Download => false,
        };
        let lifted_here = !was_excluded || !self.is_excluded(path);
        if lifted_here && self.nearest(path).is_some_and(covers) {
            return Ok(false);
        }
        if self.roots.len() >= MAX_ROOTS {
            return Err(Reason::Limit.because(format!(
                "{} cannot be shared: {MAX_ROOTS} paths are shared already; share a directory above them",
                path.display()
            )));
        }
        self.roots.insert(path.clone(), root);
        Ok(true)
    }

    /// Shares a path no longer, nor remembers what was excluded below it.
    pub(super) fn remove(&mut self, path: &Path) -> Option<Root> {
        let root = self.roots.remove(path)?;
        let roots = &self.roots;
        let covered = |path: &PathBuf| path.ancestors().any(|above| roots.contains_key(above));
        self.excluded.retain(covered);
        Some(root)
    }

    /// Excludes a path below a root. `false`: too many are excluded already.
    pub(super) fn exclude(&mut self, path: PathBuf) -> bool {
        if self.excluded.len() >= MAX_EXCLUDED {
            return false;
        }
        self.excluded.retain(|other| !other.starts_with(&path));
        self.excluded.insert(path);
        true
    }

    /// Puts a root where it really is: it was not there when it was shared.
    pub(super) fn resolve(&mut self, path: &Path, real: &Path) -> bool {
        if self.roots.contains_key(real) {
            return false;
        }
        let Some(root) = self.roots.remove(path) else { return false };
        self.roots.insert(real.to_owned(), Root { path: real.to_owned(), ..root });
        true
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    #[serde(default)]
    excluded: Vec<String>,
    #[serde(default)]
    path: Vec<SharedPath>,
}

#[derive(Debug, Serialize, Deserialize)]
struct SharedPath {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<FileName>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    downloaded: bool,
}

/// Reads the file. One that is missing is an empty one.
///
/// # Errors
/// A sentence when it is there and cannot be used: nothing is shared that the
/// user may not want to be.
pub(super) fn load(dir: &Path, downloads: bool) -> Result<Roots, CommandError> {
    let path = dir.join(FILE);
    let unusable = |why: &dyn std::fmt::Display| {
        CommandError::local(
            &path,
            PathFault::Other(format!(
                "cannot be used: {why}; what it names is not shared until it is shared again"
            )),
        )
    };
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Roots::default()),
        Err(error) => return Err(unusable(&error)),
    };
    let remembered: Remembered =
        toml::from_str(&text).map_err(|error| unusable(&error.message()))?;
    let mut roots = Roots::default();
    for shared in remembered.path.into_iter().take(MAX_ROOTS) {
        if shared.downloaded && !downloads {
            continue;
        }
        let origin = if shared.downloaded { Origin::Download } else { Origin::Command };
        let path = PathBuf::from(shared.path);
        roots.roots.insert(path.clone(), Root { path, name: shared.name, origin });
    }
    roots.excluded =
        remembered.excluded.into_iter().map(PathBuf::from).take(MAX_EXCLUDED).collect();
    Ok(roots)
}

/// Writes what outlives the node. Paths that are no text cannot be written;
/// they are given back.
pub(super) fn save(dir: &Path, roots: &Roots) -> std::io::Result<Vec<PathBuf>> {
    let mut unwritten = Vec::new();
    let mut text_of = |path: &PathBuf| {
        let text = path.to_str().map(str::to_owned);
        if text.is_none() {
            unwritten.push(path.clone());
        }
        text
    };
    let kept = roots.iter().filter(|root| root.origin != Origin::Setting);
    let remembered = Remembered {
        path: kept
            .filter_map(|root| {
                let downloaded = root.origin == Origin::Download;
                Some(SharedPath { path: text_of(&root.path)?, name: root.name.clone(), downloaded })
            })
            .collect(),
        excluded: roots.excluded.iter().filter_map(&mut text_of).collect(),
    };
    let text = toml::to_string(&remembered).map_err(std::io::Error::other)?;
    chordal_store::replace_text(&dir.join(FILE), HEAD, &text)?;
    Ok(unwritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(path: &str, origin: Origin) -> Root {
        Root { path: path.into(), name: None, origin }
    }

    #[test]
    fn a_path_belongs_to_the_nearest_root_above_it() {
        let mut roots = Roots::default();
        assert_eq!(roots.add(root("/x", Origin::Setting)), Ok(true));
        assert_eq!(roots.add(root("/x/y", Origin::Command)), Ok(true));
        let nearest = |path: &str| roots.nearest(Path::new(path)).map(|root| root.path.clone());
        assert_eq!(nearest("/x/y/z"), Some("/x/y".into()));
        assert_eq!(nearest("/x/yy"), Some("/x".into()));
        assert_eq!(nearest("/"), None);
    }

    #[test]
    fn what_is_shared_already_is_not_shared_twice() {
        let mut roots = Roots::default();
        assert_eq!(roots.add(root("/x", Origin::Setting)), Ok(true));
        assert_eq!(roots.add(root("/x", Origin::Command)), Ok(false));
        assert_eq!(roots.get(Path::new("/x")).map(|root| root.origin), Some(Origin::Command));
        assert_eq!(roots.add(root("/x/y", Origin::Command)), Ok(false));
    }

    #[test]
    fn an_exclusion_holds_until_its_path_is_shared_again_or_its_root_is_not() {
        let mut roots = Roots::default();
        roots.add(root("/x", Origin::Command)).expect("room");
        assert!(roots.exclude("/x/y/a".into()));
        assert!(roots.exclude("/x/y".into()));
        assert_eq!(roots.excluded().len(), 1, "the directory says it all");
        assert!(roots.is_excluded(Path::new("/x/y/b")));
        assert_eq!(roots.add(root("/x/y", Origin::Command)), Ok(false));
        assert!(!roots.is_excluded(Path::new("/x/y/b")));

        assert!(roots.exclude("/x/z".into()));
        // Of an excluded directory one file may be shared by itself.
        assert_eq!(roots.add(root("/x/z/a", Origin::Command)), Ok(true));
        assert!(!roots.is_excluded(Path::new("/x/z/a")));
        assert!(roots.is_excluded(Path::new("/x/z/b")));
        roots.remove(Path::new("/x"));
        assert!(roots.excluded().is_empty());
    }

    #[test]
    fn what_the_user_shared_is_read_back_and_settings_are_not() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(load(dir.path(), true), Ok(Roots::default()));
        let mut roots = Roots::default();
        roots.add(root("/x \"quoted\"", Origin::Command)).expect("room");
        let name = FileName::new("b/c.txt").ok();
        roots.add(Root { name, ..root("/d/c.txt", Origin::Download) }).expect("room");
        roots.exclude("/x \"quoted\"/é".into());
        let mut all = roots.clone();
        all.add(root("/flag", Origin::Setting)).expect("room");
        assert!(save(dir.path(), &all).expect("written").is_empty());
        assert_eq!(load(dir.path(), true), Ok(roots.clone()));
        roots.remove(Path::new("/d/c.txt"));
        assert_eq!(load(dir.path(), false), Ok(roots));

        fs::write(dir.path().join(FILE), "path = 7").expect("written");
        let why = load(dir.path(), true).expect_err("damaged").to_string();
        assert!(why.contains(FILE) && why.contains("share"), "{why}");
    }
}
