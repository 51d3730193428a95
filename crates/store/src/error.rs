//! Errors of the store, sorted by blame.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chordal_core::record::{ContentHash, Obstacle};
use chordal_core::transfer::manifest::PieceIndex;
use chordal_descriptors::is_shortage;

/// Why the store did not do something. Unless a variant says otherwise, everything that was
/// stored before is still stored.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The local disk failed.
    #[error("cannot {doing} {}: {why}; {}", path.display(), remedy(why))]
    Disk {
        /// The operation.
        doing: &'static str,
        /// Its path.
        path: PathBuf,
        /// The error of the system.
        why: io::Error,
    },
    /// There is not enough room, on the disk or in the quota.
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
    InUse { dir: PathBuf },
    /// Two directories between which files are moved lie on different file systems.
    #[error(
        "{} and {} lie on different file systems, and files are moved from the one to the other; put both on one, or link the whole data directory",
        one.display(), other.display()
    )]
    Apart { one: PathBuf, other: PathBuf },
    /// A newer chordal wrote the directory, in a format that this one does not know.
    /// Nothing was changed.
    #[error(
        "{} was written by a newer chordal; use that one, or choose another directory with --data-dir",
        path.display()
    )]
    Newer {
        /// The file with the newer format.
        path: PathBuf,
    },
    /// The catalogue could not be read or written. Whether the last change took effect is
    /// known after the next call, which opens it again.
    #[error("the catalogue {} failed: {why}; check the disk's space and health, then restart", path.display())]
    Catalogue {
        path: PathBuf,
        /// The error of redb.
        why: Arc<redb::Error>,
    },
    /// The caller's fault: the bytes of a content must be stored before a record of it is
    /// committed.
    #[error("content {0} is not stored here; fetch it first")]
    NoBlob(ContentHash),
    /// The caller's fault: not all pieces were written. Those that were are kept for the
    /// next attempt.
    #[error("content {root} still lacks {missing} pieces; fetch them first")]
    Incomplete {
        root: ContentHash,
        /// Number of missing pieces.
        missing: usize,
    },
    /// The local disk changed bytes. The blob is left as it is.
    #[error("{} is damaged: its bytes do not give its name; remove it and fetch it again", path.display())]
    Damaged { path: PathBuf },
    /// The caller's fault: the name and all its numbered variants are taken.
    #[error("{} and its numbered variants all exist; remove some or choose another name", path.display())]
    NoFreeName {
        /// The wanted path.
        path: PathBuf,
    },
}

/// Why a piece was rejected.
#[derive(Debug, thiserror::Error)]
pub enum IncomingError {
    /// The source's fault: the bytes do not match the piece's hash. Nothing was written.
    #[error("the bytes of piece {0} do not match its hash; drop its source")]
    WrongPiece(PieceIndex),
    /// The local disk's fault. The piece is still missing and may be written again.
    #[error(transparent)]
    Disk(#[from] StoreError),
}

impl StoreError {
    /// A copy of the error for each caller that waited for the same operation.
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

    /// Why new files cannot be stored here; `None` if the error is not the disk's.
    pub fn obstacle(&self) -> Option<Obstacle> {
        match self {
            _ if self.is_full() => Some(Obstacle::NoRoom),
            // Too few file descriptors are not the disk's fault.
            _ if self.is_shortage() => Some(Obstacle::NoBytes),
            StoreError::Disk { .. } | StoreError::Catalogue { .. } => Some(Obstacle::SickDisk),
            _ => None,
        }
    }

    /// Whether no file descriptor became free within the time that is waited for one.
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

/// The remedy for an error of the system.
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

/// Bytes for users, written as everywhere else: `1.5 GB`.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = None;
    // From 999.95 on, one decimal would give "1000.0".
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

/// Adds the path and the operation to an I/O error.
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
