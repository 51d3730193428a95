//! One look at the disk, on a thread: which shared paths are there, what lies in
//! them, and from when on the system tells their changes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use chordal_store::Stamp;

use super::roots::Root;
use super::walk::{Found, Scope, walk};
use super::watch::Watching;

/// What to look at: a root, and what lies at a path below it (everything when
/// that is empty).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Look {
    /// The root's path.
    pub(super) root: PathBuf,
    /// Relative to it.
    pub(super) sub: PathBuf,
}

impl Look {
    /// At all of a root.
    pub(super) fn all(root: &Path) -> Look {
        Look { root: root.to_owned(), sub: PathBuf::new() }
    }

    /// Whether it is one at all of its root.
    pub(super) fn is_full(&self) -> bool {
        self.sub.as_os_str().is_empty()
    }

    /// The path that is looked at.
    pub(super) fn path(&self) -> PathBuf {
        if self.is_full() { self.root.clone() } else { self.root.join(&self.sub) }
    }
}

/// What lies at a root's path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lies {
    /// It was not looked at yet.
    #[default]
    Unknown,
    /// Nothing.
    Missing,
    /// A directory: device, inode.
    Directory(u64, u64),
    /// Something else.
    File(Stamp),
}

/// What a look found.
#[derive(Debug)]
pub(super) struct Looked {
    /// At what.
    pub(super) look: Look,
    /// What lies at the root.
    pub(super) lies: Lies,
    /// Where the root's path really leads, if elsewhere.
    pub(super) real: Option<PathBuf>,
    /// Whether the system tells of changes.
    pub(super) told: bool,
    /// How long it took.
    pub(super) took: Duration,
    /// What was found; `None`: only a look at everything can tell.
    pub(super) found: Option<Found>,
}

/// Looks at all of these, and at every root at whose path something else lies
/// than is known. `None`: the node is stopping.
pub(super) fn look(
    looks: Vec<Look>,
    roots: &[(Root, Lies)],
    scope: &Scope,
    watching: &Mutex<Watching>,
) -> Option<Vec<Looked>> {
    let mut looks = looks;
    for (root, known) in roots {
        if lies_at(&root.path) != *known {
            looks.push(Look::all(&root.path));
        }
    }
    looks.sort();
    // Of a root that is looked at as a whole no part need be.
    looks.dedup_by(|next, one| next.root == one.root && (one.is_full() || next == one));
    let mut found = Vec::new();
    for look in looks {
        let Some((root, _)) = roots.iter().find(|(root, _)| root.path == look.root) else {
            continue;
        };
        let began = Instant::now();
        let mut looked = one(look, root, scope, watching);
        if scope.stop.is_cancelled() {
            return None;
        }
        looked.took = began.elapsed();
        found.push(looked);
    }
    // A file whose name is spelled in another Unicode form now has no twin: what is gone
    // is told first.
    let is_gone =
        |looked: &Looked| looked.found.as_ref().is_some_and(|found| found.files.is_empty());
    found.sort_by_key(|looked| !is_gone(looked) || looked.look.sub.as_os_str().is_ascii());
    Some(found)
}

fn one(look: Look, root: &Root, scope: &Scope, watching: &Mutex<Watching>) -> Looked {
    let lies = lies_at(&root.path);
    let mut looked = Looked {
        look,
        lies,
        real: root.path.canonicalize().ok().filter(|real| *real != root.path),
        told: false,
        took: Duration::ZERO,
        found: None,
    };
    if looked.real.is_some() {
        return looked;
    }
    let mut watching = watching.lock();
    match lies {
        // Before it is read, so that nothing happens in between.
        Lies::Directory(dev, inode) => {
            looked.told = watching.follow(&root.path, (dev, inode));
        }
        Lies::Unknown | Lies::Missing | Lies::File(_) => watching.leave(&root.path),
    }
    drop(watching);
    let start = looked.look.path();
    if !looked.look.is_full() && start.canonicalize().is_ok_and(|real| real != start) {
        return looked;
    }
    looked.found = Some(match walk(root, &looked.look.sub, scope) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Found::default(),
        Err(error) => Found { skipped: vec![(start, error.to_string())], ..Found::default() },
    });
    looked
}

/// What lies at a path.
pub(super) fn lies_at(path: &Path) -> Lies {
    match fs::metadata(path) {
        Ok(metadata) => {
            let stamp = Stamp::of(&metadata);
            if metadata.is_dir() {
                Lies::Directory(stamp.dev, stamp.inode)
            } else {
                Lies::File(stamp)
            }
        }
        Err(_) => Lies::Missing,
    }
}
