//! Detects whether a file is still the one that was hashed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const NANOS: i64 = 1_000_000_000;

/// The stamp of a file at one moment. While it stays the same, so do the bytes, as far as
/// the system tells: a program that writes to a file changes its times, and one that
/// replaces it changes the inode. A program may set the time of modification back, but not
/// the time of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Number of the file system.
    pub dev: u64,
    /// Number of the file in it.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last modification, in nanoseconds since the Unix epoch.
    pub modified_ns: i64,
    /// Time of the last change of bytes, name, links or permissions, in the same unit.
    pub changed_ns: i64,
}

impl Stamp {
    /// The stamp that the system reports.
    pub fn of(metadata: &Metadata) -> Stamp {
        let ns = |seconds: i64, ns: i64| seconds.saturating_mul(NANOS).saturating_add(ns);
        Stamp {
            dev: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The stamp of the file's bytes alone: it stays the same when the file is renamed,
    /// linked or made readable for others, but also when a program writes to it and sets
    /// its time back.
    pub const fn of_bytes(self) -> Stamp {
        Stamp { changed_ns: 0, ..self }
    }

    /// How long ago the file was modified; `None` if that is in the future, as on a file
    /// server with another clock.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let age = now.checked_sub(u128::try_from(self.modified_ns).ok()?)?;
        Some(Duration::from_nanos(u64::try_from(age).unwrap_or(u64::MAX)))
    }
}
