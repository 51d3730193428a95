//! What can go wrong below the store, by blame.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chordal_core::record::{ContentHash, Obstacle};
use chordal_core::transfer::manifest::PieceIndex;
use chordal_descriptors::is_shortage;

/// Why the store did not do something. Unless a variant says otherwise, what
/// was stored before is still stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The local disk failed.
    #[error("cannot {doing} {}: {why}; {}", path.display(), remedy(why))]
    Disk {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
    /// There is no room for so much: less is free on the disk, or left of the
    /// quota.
    #[error("{} do not fit: {}", size(*needs), room(*free, *left))]
    NoRoom {
        /// Bytes that were to be stored.
        needs: u64,
        /// Bytes free on the disk, without what is kept in reserve.
        free: u64,
        /// Bytes left of the quota, where there is one.
        left: Option<u64>,
    },
    /// Another process has the directory.
    #[error(
        "the data directory {} is used by another chordal; stop that one or choose another with --data-dir",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Two directories between which files are moved lie on different file systems.
    #[error(
        "{} and {} lie on different file systems, and files are moved from the one to the other; put both on one, or link the whole data directory",
        one.display(), other.display()
    )]
    Apart {
        /// One of them.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A newer chordal wrote the directory, in a way that this one does not know.
    /// Nothing was changed.
    #[error(
        "{} was written by a newer chordal; use that one, or choose another directory with --data-dir",
        path.display()
    )]
    Newer {
        /// What it wrote.
        path: PathBuf,
    },
    /// The catalogue could not be read or written. Whether the last change
    /// took place is known after the next call, which opens it anew.
    #[error("the catalogue {} failed: {why}; check the disk's space and health, then restart", path.display())]
    Catalogue {
        /// Its file.
        path: PathBuf,
        /// What redb said.
        why: Arc<redb::Error>,
    },
    /// The caller's: a record may only be committed once its bytes are here.
    #[error("content {0} is not stored here; fetch it first")]
    NoBlob(ContentHash),
    /// The caller's: not all pieces were written. Those that were stay for the
    /// next attempt.
    #[error("content {root} still lacks {missing} pieces; fetch them first")]
    Incomplete {
        /// The content.
        root: ContentHash,
        /// Pieces that are not here.
        missing: usize,
    },
    /// The local disk changed bytes. The blob is left as it is.
    #[error("{} is damaged: its bytes do not give its name; remove it and fetch it again", path.display())]
    Damaged {
        /// The blob.
        path: PathBuf,
    },
    /// The caller's: there is no free name beside so many files.
    #[error("{} and its numbered variants all exist; remove some or choose another name", path.display())]
    NoFreeName {
        /// The first choice.
        path: PathBuf,
    },
}

/// Why a piece does not count.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// The source's: the bytes do not give the piece's hash. Nothing was
    /// written.
    #[error("piece {0} is not what its hash says; drop its source")]
    WrongPiece(PieceIndex),
    /// The local disk's. The piece is still missing and may be written again.
    #[error(transparent)]
    Disk(#[from] StoreError),
}

impl StoreError {
    /// The same error for each of those who waited for one deed together.
    pub(super) fn again(&self) -> StoreError {
        match self {
            StoreError::Disk { doing, path, why } => {
                let (path, why) = (path.clone(), io_again(why));
                StoreError::Disk { doing, path, why }
            }
            StoreError::NoRoom { needs, free, left } => {
                StoreError::NoRoom { needs: *needs, free: *free, left: *left }
            }
            StoreError::InUse { dir } => StoreError::InUse { dir: dir.clone() },
            StoreError::Apart { one, other } => {
                StoreError::Apart { one: one.clone(), other: other.clone() }
            }
            StoreError::Newer { path } => StoreError::Newer { path: path.clone() },
            StoreError::Catalogue { path, why } => {
                StoreError::Catalogue { path: path.clone(), why: Arc::clone(why) }
            }
            StoreError::NoBlob(root) => StoreError::NoBlob(*root),
            StoreError::Incomplete { root, missing } => {
                StoreError::Incomplete { root: *root, missing: *missing }
            }
            StoreError::Damaged { path } => StoreError::Damaged { path: path.clone() },
            StoreError::NoFreeName { path } => StoreError::NoFreeName { path: path.clone() },
        }
    }

    /// What keeps the disk from taking what it was given; `None`: nothing of the
    /// disk's.
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            _ if self.is_full() => Some(Obstacle::NoRoom),
            // The disk is not to blame for what does not even reach it.
            _ if self.is_shortage() => Some(Obstacle::NoBytes),
            StoreError::Disk { .. } | StoreError::Catalogue { .. } => Some(Obstacle::SickDisk),
            _ => None,
        }
    }

    /// Whether no file descriptor was left, for longer than it is waited for one.
    pub fn is_shortage(&self) -> bool {
        match self {
            StoreError::Disk { why, .. } => is_shortage(why),
            StoreError::Catalogue { why, .. } => {
                matches!(&**why, redb::Error::Io(why) if is_shortage(why))
            }
            _ => false,
        }
    }

    /// Whether the disk (or a quota on it) is full.
    pub fn is_full(&self) -> bool {
        match self {
            StoreError::Disk { why, .. } => says_full(why),
            StoreError::Catalogue { why, .. } => {
                matches!(&**why, redb::Error::Io(why) if says_full(why))
            }
            StoreError::NoRoom { .. } => true,
            _ => false,
        }
    }
}

/// What helps when the system refuses something on the disk.
fn remedy(why: &io::Error) -> &'static str {
    if is_shortage(why) {
        "raise the number of files that may be open (ulimit -n)"
    } else {
        "check the disk's space, health and permissions"
    }
}

fn room(free: u64, left: Option<u64>) -> String {
    match left {
        Some(left) if left < free => {
            format!("only {} are left of its quota; --quota raises it", size(left))
        }
        _ => format!("only {} are free on its disk; make room there", size(free)),
    }
}

/// Bytes for people, as they are written everywhere else: `1.5 GB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = None;
    // From 999.95 on one decimal would read "1000.0".
    for next in UNITS {
        if value < 999.95 {
            break;
        }
        (value, unit) = (value / 1000.0, Some(next));
    }
    match unit {
        None => format!("{bytes} bytes"),
        Some(unit) => format!("{value:.1} {unit}"),
    }
}

fn io_again(why: &io::Error) -> io::Error {
    match why.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(why.kind(), why.to_string()),
    }
}

fn says_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Names the path and the deed that an I/O error belongs to.
pub(super) fn on<'a>(
    doing: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> StoreError + use<'a> {
    move |why| StoreError::Disk { doing, path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_not_sick_when_no_file_can_be_opened() {
        let failed = |errno: rustix::io::Errno| on("open", Path::new("x"))(errno.into());
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            assert_eq!(failed(errno).obstacle(), Some(Obstacle::NoBytes));
            assert!(failed(errno).to_string().contains("ulimit -n"), "{}", failed(errno));
        }
        assert_eq!(failed(rustix::io::Errno::IO).obstacle(), Some(Obstacle::SickDisk));
        assert_eq!(failed(rustix::io::Errno::NOSPC).obstacle(), Some(Obstacle::NoRoom));
    }
}
