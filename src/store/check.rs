//! Reading what is kept again: which blobs still are what they were, and what
//! is done with one that is not.

use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use super::commit::Change;
use super::error::StoreError;
use super::{Shared, Store, hash_open_file};
use crate::record::{ContentHash, Record};
use crate::transfer::manifest::{Manifest, PieceHasher, PieceIndex};

/// Bytes read at once. Little, since whoever waits for the disk meanwhile
/// waits for one read.
const READ_BYTES: usize = 128 * 1024;

/// What reading a blob again found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Every byte is what it was.
    Whole,
    /// The disk changed, lost or does not give these pieces.
    Damaged(Vec<PieceIndex>),
    /// It is not here.
    Gone,
    /// The caller broke it off.
    Stopped,
}

impl Store {
    /// All contents that records name, in the order of hashes.
    pub fn contents(&self) -> Result<Vec<ContentHash>, StoreError> {
        self.shared.catalogue.contents()
    }

    /// Reads a content's blob and holds it against its manifest. `step` hears
    /// of the bytes as they are read; it sets the pace and may break off.
    ///
    /// # Errors
    /// The catalogue's. What the disk does not read is damaged and no error.
    pub fn verify(
        &self,
        root: &ContentHash,
        mut step: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Verified, StoreError> {
        let Some(blob) = self.open_blob(root)? else { return Ok(Verified::Gone) };
        let known = match self.shared.contents.manifest(root) {
            Some(manifest) => Some(manifest),
            None => self.shared.catalogue.manifest(root)?,
        };
        match known {
            Some(manifest) => Ok(check(&blob, &manifest, &mut step)),
            None => self.verify_anew(root, &blob, &mut step),
        }
    }

    /// Without a manifest only the whole file can be judged.
    fn verify_anew(
        &self,
        root: &ContentHash,
        blob: &File,
        step: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Verified, StoreError> {
        let mut stopped = false;
        let hashed = hash_open_file(blob, |bytes| {
            let go_on = step(bytes);
            stopped = go_on.is_break();
            go_on
        });
        if stopped {
            return Ok(Verified::Stopped);
        }
        match hashed {
            Ok(manifest) if manifest.root() == *root => {
                self.shared.catalogue.set_manifest(&manifest)?;
                Ok(Verified::Whole)
            }
            Ok(manifest) => Ok(Verified::Damaged(manifest.indices().collect())),
            Err(_) => Ok(Verified::Damaged(Vec::new())),
        }
    }

    /// Takes a damaged content out of use: its records leave the catalogue and
    /// are returned, and what is left of its blob serves whoever takes the
    /// content in again soon, so that only the damaged pieces need to come. It
    /// waits for those who commit the same content. One that is not here gives
    /// no records.
    ///
    /// # Errors
    /// After one the content is out of use, or not; calling again goes on.
    pub fn set_aside(&self, root: &ContentHash) -> Result<Vec<Record>, StoreError> {
        let Shared { blobs, catalogue, commits, contents, .. } = &*self.shared;
        let removal = contents.exclude(*root);
        // A record without a blob is what every start looks for, so the blob
        // goes first.
        if let Some(size) = blobs.size(root)? {
            blobs.set_aside(root, size)?;
        }
        let records = catalogue.referring(root)?;
        for record in &records {
            let (name, version) = (record.name.clone(), record.version);
            commits.change(Change::Forget { name, version }, blobs, catalogue)?;
        }
        drop(removal);
        Ok(records)
    }
}

fn check(
    blob: &File,
    manifest: &Manifest,
    step: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Verified {
    let mut bad = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    for index in manifest.indices() {
        let mut hasher = PieceHasher::new(manifest.size(), index);
        let mut at = manifest.offset_of(index);
        while hasher.missing() > 0 {
            let count = hasher.missing().min(READ_BYTES as u64) as usize;
            if blob.read_exact_at(&mut buffer[..count], at).is_err() {
                break;
            }
            hasher.update(&buffer[..count]);
            at += count as u64;
            if step(count as u64).is_break() {
                return Verified::Stopped;
            }
        }
        if !manifest.matches(index, hasher) {
            bad.push(index);
        }
    }
    let longer = blob.metadata().is_ok_and(|found| found.len() > manifest.size());
    if bad.is_empty() && !longer { Verified::Whole } else { Verified::Damaged(bad) }
}
