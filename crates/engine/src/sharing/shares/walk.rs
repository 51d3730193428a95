//! Looking at what lies in a shared path: files with their names and marks,
//! and what is not shared, with the reason.
//!
//! Links are followed as long as they stay within the shared path. Hidden files
//! and directories (`.git`, the `.NAME.part` of a download) are nobody's
//! business and not even named.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use chordal_core::limits::MAX_FILE_BYTES;
use chordal_core::name::{FileName, MAX_COMPONENTS};
use chordal_store::{Stamp, list, open_regular};

use super::file::MAX_FILES;
use super::roots::Root;

/// Reasons that are kept of one look: of more the first ones count.
const MAX_REASONS: usize = 1_000;

/// What belongs to other roots or to none.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// All shared paths: another one below this one is not a part of it.
    pub(super) roots: BTreeSet<PathBuf>,
    /// What the user does not share.
    pub(super) excluded: BTreeSet<PathBuf>,
    /// The node's own files.
    pub(super) private: PathBuf,
    /// Cancelled when the node stops.
    pub(super) stop: CancellationToken,
}

/// A file that may be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundFile {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// Its name for others.
    pub(super) name: FileName,
    /// Its marks.
    pub(super) stamp: Stamp,
}

/// What a look found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// The files, in the order of paths within each directory.
    pub(super) files: Vec<FoundFile>,
    /// What is not shared, and why.
    pub(super) skipped: Vec<(PathBuf, String)>,
    /// It was a directory that was looked at.
    pub(super) directory: bool,
    /// There are links: a change at one path may change others.
    pub(super) links: bool,
}

/// Looks at what lies at `sub` below a root; everything when it is empty. The
/// root must be there.
pub(super) fn walk(root: &Root, sub: &Path, scope: &Scope) -> io::Result<Found> {
    let mut walk = Walk { root, scope, found: Found::default(), within: Vec::new() };
    // Joined with nothing, a path would end in a slash.
    let empty = sub.as_os_str().is_empty();
    let start = if empty { root.path.clone() } else { root.path.join(sub) };
    let metadata = fs::metadata(&start)?;
    if start.starts_with(&scope.private) {
        walk.skip(&start, PRIVATE);
    } else if metadata.is_dir() {
        walk.found.directory = true;
        walk.directory(&start, sub.components().count())?;
    } else if metadata.is_file() {
        walk.file(start, &metadata);
    } else {
        walk.skip(&start, "it is neither a file nor a directory");
    }
    Ok(walk.found)
}

/// Opens a file that lies below a root, if it still does.
///
/// # Errors
/// What the system says; `PermissionDenied` when the path leads out of the
/// root, `InvalidInput` when it is no regular file.
pub(super) fn open_within(path: &Path, below: &Path) -> io::Result<(File, Stamp)> {
    let file = open_regular(path)?;
    let stamp = Stamp::of(&file.metadata()?);
    let real = path.canonicalize()?;
    // What was opened must be what lies there: a link may have been turned in
    // between.
    let there = Stamp::of(&fs::metadata(&real)?);
    if !real.starts_with(below) || (there.dev, there.inode) != (stamp.dev, stamp.inode) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, OUTSIDE));
    }
    Ok((file, stamp))
}

const OUTSIDE: &str = "it leads out of what is shared";

const PRIVATE: &str = "it holds the node's own files";

struct Walk<'a> {
    root: &'a Root,
    scope: &'a Scope,
    found: Found,
    /// The real paths of the directories that are open: a link to one of them
    /// would lead round and round.
    within: Vec<PathBuf>,
}

impl Walk<'_> {
    fn directory(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        if depth >= MAX_COMPONENTS {
            self.skip(path, &format!("it lies more than {MAX_COMPONENTS} directories deep"));
            return Ok(());
        }
        let real = path.canonicalize()?;
        if real.starts_with(&self.scope.private) {
            self.skip(path, PRIVATE);
            return Ok(());
        }
        self.within.push(real);
        let result = self.entries(path, depth);
        self.within.pop();
        result
    }

    fn entries(&mut self, path: &Path, depth: usize) -> io::Result<()> {
        let mut paths = Vec::new();
        for entry in list(path)? {
            let entry = entry?;
            if !is_hidden(entry.file_name().as_bytes()) {
                paths.push(entry.path());
            }
        }
        // The order decides which of two files keeps a name that both would have.
        paths.sort();
        for path in paths {
            if self.scope.stop.is_cancelled() {
                return Err(io::Error::other("the node is stopping"));
            }
            if self.found.files.len() >= MAX_FILES {
                self.skip(&path, &format!("{MAX_FILES} files are shared already"));
                return Ok(());
            }
            self.entry(path, depth);
        }
        Ok(())
    }

    fn entry(&mut self, path: PathBuf, depth: usize) {
        if self.scope.excluded.contains(&path) || self.scope.roots.contains(&path) {
            return;
        }
        let looked = fs::symlink_metadata(&path).and_then(|metadata| {
            if !metadata.is_symlink() {
                return Ok(metadata);
            }
            self.found.links = true;
            let real = path.canonicalize()?;
            if !real.starts_with(&self.root.path) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, OUTSIDE));
            }
            if real.starts_with(&self.scope.private) {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, PRIVATE));
            }
            if self.within.contains(&real) {
                return Err(io::Error::other("it leads in a circle"));
            }
            fs::metadata(real)
        });
        match looked {
            Ok(metadata) if metadata.is_dir() => {
                if let Err(error) = self.directory(&path, depth + 1) {
                    self.failed(&path, &error);
                }
            }
            Ok(metadata) if metadata.is_file() => self.file(path, &metadata),
            Ok(_) => self.skip(&path, "it is neither a file nor a directory"),
            Err(error) => self.failed(&path, &error),
        }
    }

    fn file(&mut self, path: PathBuf, metadata: &Metadata) {
        if metadata.len() > MAX_FILE_BYTES {
            self.skip(&path, &format!("it has more than {MAX_FILE_BYTES} bytes"));
            return;
        }
        match name_of(self.root, &path) {
            Ok(name) => {
                self.found.files.push(FoundFile { path, name, stamp: Stamp::of(metadata) });
            }
            Err(why) => self.skip(&path, &why),
        }
    }

    fn failed(&mut self, path: &Path, error: &io::Error) {
        // It went while it was looked at: there is nothing to be said.
        if error.kind() != io::ErrorKind::NotFound || path.is_symlink() {
            self.skip(path, &error.to_string());
        }
    }

    fn skip(&mut self, path: &Path, why: &str) {
        if self.found.skipped.len() < MAX_REASONS {
            self.found.skipped.push((path.to_owned(), why.to_owned()));
        }
    }
}

/// The name of a file of a root: its path below the directory, or what the
/// user called a single one.
fn name_of(root: &Root, path: &Path) -> Result<FileName, String> {
    if let (Some(name), true) = (&root.name, path == root.path) {
        return Ok(name.clone());
    }
    let relative = match path.strip_prefix(&root.path) {
        Ok(relative) if !relative.as_os_str().is_empty() => relative,
        _ => Path::new(path.file_name().unwrap_or_default()),
    };
    let text = relative.to_str().ok_or("its name is no text")?;
    FileName::new(text).map_err(|error| error.to_string())
}

/// Whether a path has a hidden part.
pub(super) fn has_hidden_part(path: &Path) -> bool {
    path.iter().any(|part| is_hidden(part.as_bytes()))
}

fn is_hidden(name: &[u8]) -> bool {
    name.first() == Some(&b'.')
}

#[cfg(test)]
mod tests {
    use super::super::roots::Origin;
    use super::*;
    use std::os::unix::fs::symlink;

    fn scope(private: &Path) -> Scope {
        Scope {
            roots: BTreeSet::new(),
            excluded: BTreeSet::new(),
            private: private.to_owned(),
            stop: CancellationToken::new(),
        }
    }

    fn root(path: &Path) -> Root {
        Root { path: path.to_owned(), name: None, origin: Origin::Command }
    }

    fn names(found: &Found) -> Vec<&str> {
        found.files.iter().map(|file| file.name.as_str()).collect()
    }

    fn temporary() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().canonicalize().expect("it is there");
        (dir, path)
    }

    #[test]
    fn what_belongs_to_others_is_left_out() {
        let (_dir, path) = temporary();
        for name in ["own.txt", "data/blob", "nested/a.txt", "not/b.txt", "not.txt", "z/c.txt"] {
            let file = path.join(name);
            fs::create_dir_all(file.parent().expect("below")).expect("a directory");
            fs::write(file, name).expect("written");
        }
        symlink(path.join("data"), path.join("z/link")).expect("a link");
        let scope = Scope {
            roots: BTreeSet::from([path.join("nested")]),
            excluded: BTreeSet::from([path.join("not"), path.join("not.txt")]),
            ..scope(&path.join("data"))
        };
        let found = walk(&root(&path), Path::new(""), &scope).expect("it is there");
        assert_eq!(names(&found), ["own.txt", "z/c.txt"]);
        let skipped: Vec<_> = found.skipped.iter().map(|(path, _)| path.clone()).collect();
        assert_eq!(skipped, [path.join("data"), path.join("z/link")]);
        assert!(found.skipped.iter().all(|(_, why)| why == PRIVATE), "{:?}", found.skipped);
        assert!(found.links && found.directory);
        let part = walk(&root(&path), Path::new("z/c.txt"), &scope).expect("it is there");
        assert_eq!(names(&part), ["z/c.txt"]);
        assert!(!part.directory);
    }

    #[test]
    fn directories_deeper_than_a_name_may_be_are_not_entered() {
        let (_dir, path) = temporary();
        let mut deep = path.clone();
        for _ in 0..MAX_COMPONENTS - 1 {
            deep.push("d");
        }
        fs::create_dir_all(deep.join("d/d")).expect("directories");
        fs::write(deep.join("last.txt"), "fits").expect("written");
        fs::write(deep.join("d/beyond.txt"), "does not").expect("written");
        let found = walk(&root(&path), Path::new(""), &scope(&path.join("none")));
        let found = found.expect("it is there");
        assert_eq!(found.files.len(), 1);
        assert_eq!(found.skipped.len(), 1, "{:?}", found.skipped);
        assert!(found.skipped[0].1.contains("deep"), "{:?}", found.skipped);
    }

    #[test]
    fn only_a_file_within_the_root_is_opened() {
        let (_dir, path) = temporary();
        let below = path.join("shared");
        fs::create_dir(&below).expect("a directory");
        fs::write(path.join("secret"), "secret").expect("written");
        fs::write(below.join("a"), "a").expect("written");
        let (_, stamp) = open_within(&below.join("a"), &below).expect("it lies there");
        assert_eq!(stamp, Stamp::of(&below.join("a").metadata().expect("it is there")));
        symlink("a", below.join("alias")).expect("a link");
        assert!(open_within(&below.join("alias"), &below).is_ok());
        symlink("../secret", below.join("leak")).expect("a link");
        let refused = |name: &str| {
            open_within(&below.join(name), &below).map(|_| ()).map_err(|error| error.kind())
        };
        assert_eq!(refused("leak"), Err(io::ErrorKind::PermissionDenied));
        assert_eq!(refused("../secret"), Err(io::ErrorKind::PermissionDenied));
        // Nothing writes into it: opened as a file, it would be waited for.
        let (cwd, kind) = (rustix::fs::CWD, rustix::fs::FileType::Fifo);
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(cwd, below.join("pipe"), kind, mode, 0).expect("a pipe");
        assert_eq!(refused("pipe"), Err(io::ErrorKind::InvalidInput));
    }
}
