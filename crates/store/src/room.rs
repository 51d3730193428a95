//! How much room there is for contents: the disk's and the quota's.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{Disk, Space};
use super::error::{StoreError, on};

/// Bytes of the disk that are never filled with contents: the catalogue, its
/// log, the journal and whatever else lives there go on, and names can still be
/// removed.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// On a small disk only this part of it is kept free.
const RESERVE_PART: u64 = 100;

/// "No quota" among numbers.
const NO_QUOTA: u64 = u64::MAX;

/// What is used and what is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of the contents that are kept, and of those on their way in as far
    /// as they came.
    pub used: u64,
    /// Bytes free on the disk, without what is kept in reserve.
    pub free: u64,
    /// Bytes that contents may use in all, where there is a bound.
    pub quota: Option<u64>,
}

impl Room {
    /// Bytes that can still come.
    pub fn left(&self) -> u64 {
        let of_quota = self.quota.map_or(u64::MAX, |quota| quota.saturating_sub(self.used));
        self.free.min(of_quota)
    }
}

/// The bytes of all blobs, and their bound. It is counted as they come and go:
/// nobody walks through the directories.
#[derive(Debug)]
pub(super) struct Ledger {
    kept: AtomicU64,
    quota: AtomicU64,
    /// Bytes of the journal, which has recent contents a second time. It counts
    /// here, and gives way when a content does not fit because of it.
    pub(super) recent: Arc<AtomicU64>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        let (kept, quota) = (AtomicU64::new(0), AtomicU64::new(NO_QUOTA));
        Ledger { kept, quota, recent: Arc::default() }
    }
}

impl Ledger {
    /// Bytes of all blobs.
    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Bytes of the journal.
    pub(super) fn recent(&self) -> u64 {
        self.recent.load(Ordering::Relaxed)
    }

    /// A blob came.
    pub(super) fn add(&self, bytes: u64) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A blob went.
    pub(super) fn subtract(&self, bytes: u64) {
        // Should somebody else have put files here, it stays a number of bytes.
        let less = |kept: u64| Some(kept.saturating_sub(bytes));
        let _ = self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(super) fn quota(&self) -> Option<u64> {
        Some(self.quota.load(Ordering::Relaxed)).filter(|quota| *quota != NO_QUOTA)
    }

    pub(super) fn set_quota(&self, quota: Option<u64>) {
        self.quota.store(quota.unwrap_or(NO_QUOTA), Ordering::Relaxed);
    }

    /// Fails unless a content fits, of whose `size` bytes `here` are on the disk
    /// already, while `promised` bytes are for others on their way in.
    pub(super) fn fits(
        &self,
        disk: &dyn Disk,
        dir: &Path,
        size: u64,
        here: u64,
        promised: u64,
    ) -> Result<(), StoreError> {
        let free = free(disk, dir)?;
        let taken = self.kept() + promised + self.recent();
        let left = self.quota().map(|quota| quota.saturating_sub(taken));
        if left.is_some_and(|left| left < size) || free < size.saturating_sub(here) {
            return Err(StoreError::NoRoom { needs: size, free, left });
        }
        Ok(())
    }
}

/// Bytes free for contents on the disk of a directory.
pub(super) fn free(disk: &dyn Disk, dir: &Path) -> Result<u64, StoreError> {
    let Space { free, total } = disk.space(dir).map_err(on("ask for the free space of", dir))?;
    Ok(free.saturating_sub(RESERVE_BYTES.min(total / RESERVE_PART)))
}
