//! What tells whether a file is still the one that was hashed.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Nanoseconds in a second.
const NANOS: i64 = 1_000_000_000;

/// The marks of a file at one moment. While they stay the same, so do its
/// bytes: whoever writes to a file changes its time of modification, and
/// whoever puts another in its place changes the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The file system.
    pub dev: u64,
    /// The file in it.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Time of the last modification, in nanoseconds since the Unix epoch.
    pub modified_ns: i64,
}

impl Stamp {
    /// The marks that the system reports.
    pub fn of(metadata: &Metadata) -> Stamp {
        let seconds = metadata.mtime().saturating_mul(NANOS);
        Stamp {
            dev: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified_ns: seconds.saturating_add(metadata.mtime_nsec()),
        }
    }

    /// How long ago the file was modified; `None` when that lies in the future,
    /// as it does on a file server with another clock.
    pub fn age(&self, now: SystemTime) -> Option<Duration> {
        let now = now.duration_since(UNIX_EPOCH).ok()?.as_nanos();
        let age = now.checked_sub(u128::try_from(self.modified_ns).ok()?)?;
        Some(Duration::from_nanos(u64::try_from(age).unwrap_or(u64::MAX)))
    }
}
