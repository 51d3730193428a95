//! Contents whose bytes changed on the disk: reading them again finds them, and setting
//! them aside keeps them from being used.

use std::fs::File;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::commit::Change;
use super::error::StoreError;
use super::stamp::Stamp;
use super::{OpenStore, Store, hash_open_file};
use chordal_core::record::{ContentHash, Record};
use chordal_core::transfer::manifest::{Manifest, PieceHasher, PieceIndex};

/// Bytes read at once. Small: scrubbing is not urgent and must not disturb other reads.
const READ_BYTES: usize = 64 * 1024;

/// The result of reading a content again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Every byte is as it was stored.
    Whole,
    /// It is no longer here.
    Gone,
    /// The caller stopped the check.
    Stopped,
    /// Some bytes have changed.
    Damaged {
        /// The pieces with such bytes, in order; all pieces when their hashes are not
        /// known.
        bad: Vec<PieceIndex>,
        /// How many pieces the content has.
        pieces: u32,
    },
}

/// What became of a damaged content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The records that named it; they have been removed from the store.
    pub records: Vec<Record>,
    /// The path of the damaged bytes; `None` if their intact pieces are used when the
    /// content is fetched again.
    pub kept: Option<PathBuf>,
}

impl Store {
    /// At most `most` contents that records name, in the order of their hashes, starting
    /// after `after`.
    pub fn contents(
        &self,
        after: Option<&ContentHash>,
        most: usize,
    ) -> Result<Vec<ContentHash>, StoreError> {
        self.shared.catalogue.contents(after, most)
    }

    /// The stamp of a content's blob; `None` if it is not here. A caller that looks for
    /// damage asks for it first.
    ///
    /// # Errors
    /// The disk's.
    pub fn marks(&self, root: &ContentHash) -> Result<Option<Stamp>, StoreError> {
        let Some(file) = self.open_blob(root)? else { return Ok(None) };
        // A file whose stamp cannot be read has never been verified.
        Ok(file.metadata().ok().as_ref().map(Stamp::of))
    }

    /// Reads a content and compares it with the hashes of its pieces. `step` is called with
    /// the number of bytes of each read; it may block, and may stop the check.
    ///
    /// # Errors
    /// The catalogue's, or the disk's when the content cannot be opened. Bytes that cannot
    /// be read count as damaged.
    pub fn verify(
        &self,
        root: &ContentHash,
        mut step: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Verified, StoreError> {
        let Some(file) = self.open_blob(root)? else { return Ok(Verified::Gone) };
        let known = match self.shared.contents.manifest(root) {
            Some(manifest) => Some(manifest),
            None => self.shared.catalogue.manifest(root)?,
        };
        match known {
            Some(manifest) => Ok(compare(&file, &manifest, &mut step)),
            None => self.verify_anew(root, &file, &mut step),
        }
    }

    /// Without the hashes of its pieces, only the content as a whole can be verified.
    fn verify_anew(
        &self,
        root: &ContentHash,
        file: &File,
        step: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Verified, StoreError> {
        let mut stopped = false;
        let hashed = hash_open_file(file, |bytes| {
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
            _ => Ok(Verified::Damaged { bad: vec![PieceIndex(0)], pieces: 1 }),
        }
    }

    /// Removes a damaged content and the records that name it from the store. Its intact
    /// pieces need not be fetched again; with `keep` all its bytes are kept unchanged in a
    /// separate directory, for a user who has no other copy. Waits for threads that commit
    /// the same content. For a content that is not here there are no records.
    ///
    /// `seen` is its stamp from before it was verified ([`Store::marks`]), `None` when it was not there. A content that came back meanwhile is not the one that was verified: it stays, and there are no records.
    ///
    /// # Errors
    /// After an error the content may be in use or not; calling again continues.
    pub fn set_aside(
        &self,
        root: &ContentHash,
        seen: Option<Stamp>,
        keep: bool,
    ) -> Result<SetAside, StoreError> {
        let OpenStore { blobs, catalogue, commits, contents, .. } = &*self.shared;
        let _removal = contents.exclude(*root);
        let now = self.marks(root)?;
        if now.is_some() && now != seen {
            return Ok(SetAside { records: Vec::new(), kept: None });
        }
        // The blob is removed first: a record without a blob is what every start looks for.
        let kept = match blobs.size(root)? {
            Some(size) if keep => Some(blobs.keep_damaged(root, size)?),
            Some(size) => {
                blobs.set_aside(root, size)?;
                None
            }
            None => None,
        };
        let records = catalogue.referring(root)?;
        for record in &records {
            let (name, version) = (record.name.clone(), record.version);
            commits.change(Change::Forget { name, version }, catalogue, blobs)?;
        }
        Ok(SetAside { records, kept })
    }
}

fn compare(
    file: &File,
    manifest: &Manifest,
    step: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Verified {
    let mut buffer = vec![0; READ_BYTES];
    let mut bad = Vec::new();
    let mut file = file;
    let mut readable = true;
    for index in manifest.indices() {
        let mut hasher = PieceHasher::new(manifest.size(), index);
        while readable && hasher.missing() > 0 {
            let most = hasher.missing().min(READ_BYTES as u64) as usize;
            match file.read(&mut buffer[..most]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                // After a short read, the bytes behind it are not where they belong either.
                Ok(0) | Err(_) => readable = false,
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    if step(read as u64).is_break() {
                        return Verified::Stopped;
                    }
                }
            }
        }
        if !manifest.matches(index, hasher) {
            bad.push(index);
        }
    }
    // Bytes behind the last piece are damage too.
    let longer = file.metadata().is_ok_and(|found| found.len() > manifest.size());
    if bad.is_empty() && longer {
        bad.extend(manifest.indices().last().or(Some(PieceIndex(0))));
    }
    if bad.is_empty() {
        Verified::Whole
    } else {
        Verified::Damaged { bad, pieces: manifest.count().max(1) }
    }
}
