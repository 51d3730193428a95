//! A content on its way to this disk: a file that fills up with verified pieces
//! under a temporary name.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::{Disk, DiskFile};
use super::error::{IncomingError, StoreError, on};
use crate::transfer::manifest::{Manifest, PieceIndex};

/// A file that fills up with verified pieces under a temporary name, from as
/// many threads as like. Dropped, it removes itself, unless it was moved.
#[derive(Debug)]
pub(super) struct Partial {
    disk: Arc<dyn Disk>,
    file: Box<dyn DiskFile>,
    path: PathBuf,
    manifest: Manifest,
    missing: Mutex<BTreeSet<PieceIndex>>,
    /// The temporary name is free again and may be another's.
    moved: bool,
}

impl Partial {
    /// Makes the file, which must be new.
    pub(super) fn create(
        disk: Arc<dyn Disk>,
        path: PathBuf,
        manifest: Manifest,
    ) -> Result<Partial, StoreError> {
        let file = disk.create(&path).map_err(on("create", &path))?;
        let missing = Mutex::new(manifest.indices().collect());
        Ok(Partial { disk, file, path, manifest, missing, moved: false })
    }

    /// Verifies a piece and writes it. A piece that is here is not written
    /// again, unless two bring it at the same time: both bring the same bytes.
    pub(super) fn write(&self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        if !self.manifest.verify(index, bytes) {
            return Err(IncomingError::WrongPiece(index));
        }
        if self.lacks(index) {
            let offset = self.manifest.offset_of(index);
            self.file.write_at(offset, bytes).map_err(on("write", &self.path))?;
            self.lock().remove(&index);
        }
        Ok(())
    }

    /// Fails unless every piece is here.
    pub(super) fn complete(&self) -> Result<(), StoreError> {
        match self.missing() {
            0 => Ok(()),
            missing => Err(StoreError::Incomplete { root: self.manifest.root(), missing }),
        }
    }

    /// Makes a complete file durable under its temporary name.
    pub(super) fn seal(&self) -> Result<(), StoreError> {
        self.complete()?;
        self.file.sync().map_err(on("sync", &self.path))
    }

    /// Gives the file up after it was moved to its own name.
    pub(super) fn moved(mut self) {
        self.moved = true;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// How many pieces are not here.
    pub(super) fn missing(&self) -> usize {
        self.lock().len()
    }

    fn lacks(&self, index: PieceIndex) -> bool {
        self.lock().contains(&index)
    }

    /// Held for a look or a change, never while bytes are written.
    fn lock(&self) -> MutexGuard<'_, BTreeSet<PieceIndex>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.moved {
            // A failure leaves a file that the next start removes.
            let _ = self.disk.remove(&self.path);
        }
    }
}
