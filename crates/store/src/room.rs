//! How much room there is for contents: on the disk and in the quota.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::disk::{Disk, Space};
use super::error::{StoreError, on};

/// Bytes of the disk that contents never fill, so that the catalogue, its log, the journal
/// and other programs can go on, and names can still be removed.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;

/// On a small disk only this fraction (1/100) is kept free.
const RESERVE_PART: u64 = 100;

/// The value that stands for no quota.
const NO_QUOTA: u64 = u64::MAX;

/// Bytes that are used and bytes that are free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes of the contents that are kept and of the pieces that incoming contents have.
    pub used: u64,
    /// Bytes free on the disk, without the reserve.
    pub free: u64,
    /// Bytes that contents may use in all, if there is a quota.
    pub quota: Option<u64>,
}

impl Room {
    /// Bytes that can still be stored.
    pub fn left(&self) -> u64 {
        let of_quota = self.quota.map_or(u64::MAX, |quota| quota.saturating_sub(self.used));
        self.free.min(of_quota)
    }
}

/// The bytes of all blobs, and the quota. They are counted as blobs are added and removed,
/// without walking through the directories.
#[derive(Debug)]
pub(super) struct Ledger {
    kept: AtomicU64,
    quota: AtomicU64,
    /// Bytes of the journal, which has recent contents a second time. They count here, and
    /// the journal is retired when a content does not fit because of it.
    pub(super) recent: Arc<AtomicU64>,
}

impl Default for Ledger {
    fn default() -> Ledger {
        let (kept, quota) = (AtomicU64::new(0), AtomicU64::new(NO_QUOTA));
        Ledger { kept, quota, recent: Arc::default() }
    }
}

impl Ledger {
    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    pub(super) fn recent(&self) -> u64 {
        self.recent.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, bytes: u64) {
        self.kept.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn subtract(&self, bytes: u64) {
        // Saturates: other programs may have put files here.
        let less = |kept: u64| Some(kept.saturating_sub(bytes));
        let _ = self.kept.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    pub(super) fn quota(&self) -> Option<u64> {
        Some(self.quota.load(Ordering::Relaxed)).filter(|quota| *quota != NO_QUOTA)
    }

    pub(super) fn set_quota(&self, quota: Option<u64>) {
        self.quota.store(quota.unwrap_or(NO_QUOTA), Ordering::Relaxed);
    }

    /// Fails unless a content fits. `size` are its bytes, of which `here` are on the disk
    /// already; `promised` bytes are for other incoming contents.
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

/// Bytes free for contents on a directory's disk.
pub(super) fn free(disk: &dyn Disk, dir: &Path) -> Result<u64, StoreError> {
    let Space { free, total } = disk.space(dir).map_err(on("ask for the free space of", dir))?;
    Ok(free.saturating_sub(RESERVE_BYTES.min(total / RESERVE_PART)))
}
