//! Changes of the store's records: a single one, or many with one wait for the disk.

use super::commit::{Change, Outcome};
use super::contents::Pin;
use super::error::StoreError;
use super::{OpenStore, Store};
use chordal_core::name::FileName;
use chordal_core::record::{ContentHash, Record, Version};

/// One of several changes that become durable together.
#[derive(Clone, Debug)]
pub enum Deed {
    /// As [`Store::commit`].
    Commit(Record),
    /// As [`Store::forget`].
    Forget {
        name: FileName,
        /// The newest version that is forgotten.
        version: Version,
    },
}

/// What a change leaves for [`Store::sweep`] to remove: a content or nothing.
#[derive(Debug)]
#[must_use = "a content that nobody needs stays until the next start"]
pub struct Leftover(Option<ContentHash>);

impl Leftover {
    /// Whether there is nothing to sweep.
    pub const fn is_nothing(&self) -> bool {
        self.0.is_none()
    }

    pub(super) const fn root(&self) -> Option<ContentHash> {
        self.0
    }
}

impl Store {
    /// Makes a record durable: after `Ok` a crash does not lose it. It replaces an older
    /// record of its name, whose content is removed unless another record names it. A
    /// record that is not newer than the present one changes nothing; that is not an error
    /// (last writer wins).
    ///
    /// # Errors
    /// [`StoreError::NoBlob`] when the content is not here with the record's
    /// size: fetch it again, for a concurrent [`Store::forget`] of another
    /// name may have removed it.
    pub fn commit(&self, record: &Record) -> Result<(), StoreError> {
        let OpenStore { blobs, catalogue, commits, contents, .. } = &*self.shared;
        let pin = contents.pin(record.version.root);
        let committed = self
            .keeping(record, &pin)
            .and_then(|change| commits.change(change, catalogue, blobs))
            .map(|outcome| kept(record, &pin, outcome));
        drop(pin);
        self.sweep(committed?);
        commits.tidy(blobs);
        Ok(())
    }

    /// Removes a name's record if it is this version or an older one, and its content
    /// unless another record names it. A newer record stays. A name without a record is not
    /// an error.
    pub fn forget(&self, name: &FileName, version: &Version) -> Result<(), StoreError> {
        let deed = Deed::Forget { name: name.clone(), version: *version };
        self.change(&[deed]).into_iter().try_for_each(|left| left.map(|left| self.sweep(left)))
    }

    /// Does what [`Store::commit`] and [`Store::forget`] do for each of these, in their
    /// order, with one wait for the disk for all of them. The caller passes what each
    /// change leaves to [`Store::sweep`]: removing a large file takes a while, and no other
    /// caller should wait for that.
    pub fn change(&self, deeds: &[Deed]) -> Vec<Result<Leftover, StoreError>> {
        let OpenStore { blobs, catalogue, commits, contents, .. } = &*self.shared;
        let mut results: Vec<Option<Result<Leftover, StoreError>>> = Vec::new();
        let (mut changes, mut pins) = (Vec::new(), Vec::new());
        for deed in deeds {
            let (change, pin) = match deed {
                Deed::Commit(record) => {
                    let pin = contents.pin(record.version.root);
                    (self.keeping(record, &pin), Some((record, pin)))
                }
                Deed::Forget { name, version } => {
                    (Ok(Change::Forget { name: name.clone(), version: *version }), None)
                }
            };
            match change {
                Ok(change) => {
                    changes.push(change);
                    pins.push(pin);
                    results.push(None);
                }
                Err(error) => results.push(Some(Err(error))),
            }
        }
        if changes.is_empty() {
            return results.into_iter().flatten().collect();
        }
        let mut done = commits.perform(&changes, catalogue, blobs).into_iter().zip(pins).map(
            |(outcome, pin)| {
                outcome.map(|outcome| match pin {
                    Some((record, pin)) => kept(record, &pin, outcome),
                    None => Leftover(outcome.removed),
                })
            },
        );
        let results = results.into_iter().filter_map(|result| result.or_else(|| done.next()));
        let results = results.collect();
        commits.tidy(blobs);
        results
    }

    /// Removes the content that a change left, unless it is in use again. This only tidies
    /// up: the change itself is durable already, and the next start does what fails here.
    pub fn sweep(&self, leftover: Leftover) {
        if let Leftover(Some(root)) = leftover {
            self.release(root);
        }
    }

    /// A record together with what its commit writes to the disk.
    fn keeping(&self, record: &Record, pin: &Pin<'_>) -> Result<Change, StoreError> {
        let OpenStore { blobs, catalogue, .. } = &*self.shared;
        let root = record.version.root;
        let (is_file, size) = (!record.is_deleted(), Some(record.size()));
        if is_file && blobs.size(&root)? != size {
            // Not needed if there is a newer record.
            let present = catalogue.record(&record.name)?;
            if present.is_none_or(|present| present.version < record.version) {
                return Err(StoreError::NoBlob(root));
            }
        }
        if is_file {
            self.untrash(&root);
        }
        let loose = if is_file { blobs.loose_bytes(&root)? } else { None };
        Ok(Change::Keep { record: record.clone(), manifest: pin.manifest(), loose })
    }

    /// Removes a content that no record names and no thread has pinned (a thread that has
    /// calls this again when it is done). This only tidies up: what the caller was asked
    /// for is durable already, and the next start does what fails here.
    pub(super) fn release(&self, root: ContentHash) {
        let OpenStore { blobs, catalogue, contents, .. } = &*self.shared;
        let Some(_removal) = contents.take(root) else { return };
        let tidied = catalogue
            .one_referring(&root)
            .and_then(|name| if name.is_none() { blobs.remove(&root) } else { Ok(()) });
        if let Err(error) = tidied {
            tracing::warn!(%error, content = %root, "a content that is not needed was not removed");
        }
    }
}

/// Ends the commit of a record; returns the content that no longer has this name, or never
/// got it.
fn kept(record: &Record, pin: &Pin<'_>, outcome: Outcome) -> Leftover {
    pin.settle();
    let unnamed = !outcome.changed && !record.is_deleted();
    Leftover(if unnamed { Some(record.version.root) } else { outcome.removed })
}
