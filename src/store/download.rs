//! A download into a user's directory.
//!
//! The bytes gather in a hidden file beside their target (`.NAME.part`), so
//! that the end is a rename within one directory. Nothing that exists is ever
//! overwritten: a taken name gets a number, `name (1).ext`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::blob::Partial;
use super::disk::{self, Disk, RealDisk};
use super::error::{IncomingError, StoreError, on};
use crate::name::{FileName, MAX_COMPONENT_BYTES};
use crate::transfer::manifest::{Manifest, PieceIndex};

/// Numbers that are tried for a free name: more files of one name in one
/// directory are no accident.
const MAX_VARIANTS: u32 = 9_999;

/// Where a download shall go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Below this directory, under the file's whole name; directories are
    /// made as needed.
    Below(PathBuf),
    /// To this path, if it is free.
    At(PathBuf),
}

impl Place {
    /// What a path that a person typed means: an existing directory, or one
    /// with a separator at its end, stands for the directory.
    pub fn of(path: &Path) -> Place {
        let ends_open = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if ends_open || path.is_dir() {
            Place::Below(path.to_owned())
        } else {
            Place::At(path.to_owned())
        }
    }

    /// The path that a file of this name would like to have.
    pub fn target(&self, name: &FileName) -> PathBuf {
        match self {
            Place::Below(dir) => dir.join(name.to_path()),
            Place::At(path) => path.clone(),
        }
    }
}

/// A file on its way to a user. Dropped before [`Download::finish`], it leaves
/// nothing behind but directories.
#[derive(Debug)]
pub struct Download {
    partial: Partial,
    target: PathBuf,
}

impl Download {
    /// Makes the hidden file beside the target.
    pub fn begin(
        manifest: Manifest,
        place: &Place,
        name: &FileName,
    ) -> Result<Download, StoreError> {
        let target = place.target(name);
        let dir = disk::parent(&target);
        fs::create_dir_all(dir).map_err(on("create", dir))?;
        let (stem, extension) = split(&target);
        for number in 0..=MAX_VARIANTS {
            let tail = format!("{extension}{}.part", numbered(number));
            let path = dir.join(fit(&format!(".{stem}"), &tail));
            match Partial::create(Arc::new(RealDisk), path, manifest.clone()) {
                // Another download of the same name, or what one left.
                Err(StoreError::Disk { why, .. }) if taken(&why) => {}
                created => return Ok(Download { partial: created?, target }),
            }
        }
        Err(StoreError::NoFreeName { path: target })
    }

    /// Verifies a piece and writes it. Pieces may come in any order.
    pub fn write(&mut self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        self.partial.write(index, bytes)
    }

    /// The pieces that are not here yet.
    pub const fn missing(&self) -> &BTreeSet<PieceIndex> {
        self.partial.missing()
    }

    /// What is coming in.
    pub const fn manifest(&self) -> &Manifest {
        self.partial.manifest()
    }

    /// Makes the file durable and gives it its name, or the next free one.
    /// Returns where it is.
    pub fn finish(self) -> Result<PathBuf, StoreError> {
        self.partial.seal()?;
        let dir = disk::parent(&self.target);
        let (stem, extension) = split(&self.target);
        for number in 0..=MAX_VARIANTS {
            let path = match number {
                0 => self.target.clone(),
                _ => dir.join(fit(&stem, &format!("{}{extension}", numbered(number)))),
            };
            match rename_to_free(self.partial.path(), &path) {
                Ok(()) => {
                    self.partial.moved();
                    RealDisk.sync_dir(dir).map_err(on("sync", dir))?;
                    return Ok(path);
                }
                Err(why) if taken(&why) => {}
                Err(why) => return Err(on("move a download to", &path)(why)),
            }
        }
        Err(StoreError::NoFreeName { path: self.target.clone() })
    }
}

fn taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

fn numbered(number: u32) -> String {
    if number == 0 { String::new() } else { format!(" ({number})") }
}

/// A path's last part as stem and extension (with its dot). What a file system
/// holds beyond Unicode is replaced: it only serves to make another name.
fn split(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().display().to_string();
    let extension = path.extension().map(|end| format!(".{}", end.display())).unwrap_or_default();
    (text(path.file_stem()), extension)
}

/// `stem` + `tail`, with the stem cut so that both fit into one component.
fn fit(stem: &str, tail: &str) -> String {
    let room = MAX_COMPONENT_BYTES.saturating_sub(tail.len());
    format!("{}{tail}", &stem[..stem.floor_char_boundary(room)])
}

/// Moves a file to a path that nothing has; an existing one is an error and
/// stays as it is.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // A kernel or a file system that does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            result => return Ok(result?),
        }
    }
    reserve_and_rename(from, to)
}

/// Without help of the system: an empty file takes the name, which only one
/// can make, and is then replaced by the real one.
fn reserve_and_rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::OpenOptions::new().write(true).create_new(true).open(to)?;
    fs::rename(from, to).inspect_err(|_| {
        // It is the empty file made above.
        let _ = fs::remove_file(to);
    })
}
