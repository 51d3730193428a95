//! Looking at what lies in a shared path: files with their names and marks,
//! and what is not shared, with the reason.
//!
//! Links are followed as long as they stay within the shared path. Hidden files
//! and directories (`.git`, the `.NAME.part` of a download) are nobody's
//! business and not even named.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::limits::MAX_FILE_BYTES;
use crate::name::{FileName, MAX_COMPONENTS};
use crate::store::Stamp;

use super::MAX_FILES;
use super::roots::Root;

/// Reasons that are kept of one look: who has more of them reads the first.
const MAX_REASONS: usize = 1_000;

/// What belongs to other roots or to nobody.
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
    // A pipe that took the file's place must not be waited for.
    let flags = rustix::fs::OFlags::NONBLOCK.bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let stamp = Stamp::of(&metadata);
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
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if !is_hidden(entry.file_name().as_bytes()) {
                paths.push(entry.path());
            }
        }
        // The order decides who keeps a name that two would have.
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
