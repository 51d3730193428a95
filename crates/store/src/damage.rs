//! Contents whose bytes changed on the disk: found by reading them again, and
//! put out of the way, so that nothing takes them for good.

use std::fs::File;
use std::io::Read as _;
use std::ops::ControlFlow;
use std::path::PathBuf;

use super::commit::Change;
use super::error::StoreError;
use super::stamp::Stamp;
use super::{Shared, Store, hash_open_file};
use chordal_core::record::{ContentHash, Record};
use chordal_core::transfer::manifest::{Manifest, PieceHasher, PieceIndex};

/// Bytes read at once: whoever looks for damage has time and shall not be
/// noticed.
const READ_BYTES: usize = 64 * 1024;

/// What was found of a content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Every byte is as it was stored.
    Whole,
    /// It is not here any more.
    Gone,
    /// The look was broken off.
    Stopped,
    /// Some bytes are not what they were.
    Damaged {
        /// The pieces with such bytes, in order; all of them when the hashes of
        /// the pieces are not known any more.
        bad: Vec<PieceIndex>,
        /// Pieces that the content has.
        pieces: u32,
    },
}

/// Where the bytes of a damaged content went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The records that named it; the store does not have them any more.
    pub records: Vec<Record>,
    /// Where the damaged bytes are kept; `None`: what is right of them is used
    /// when the content comes in again.
    pub kept: Option<PathBuf>,
}

impl Store {
    /// At most `most` contents that records name, in the order of their hashes,
    /// from behind `after`.
    pub fn contents(
        &self,
        after: Option<&ContentHash>,
        most: usize,
    ) -> Result<Vec<ContentHash>, StoreError> {
        self.shared.catalogue.contents(after, most)
    }

    /// The marks of a content's file; `None`: it is not here. Whoever looks for
    /// damage asks for them first.
    ///
    /// # Errors
    /// The disk's.
    pub fn marks(&self, root: &ContentHash) -> Result<Option<Stamp>, StoreError> {
        let Some(file) = self.open_blob(root)? else { return Ok(None) };
        // A file whose marks cannot be read is none that anybody has looked at.
        Ok(file.metadata().ok().as_ref().map(Stamp::of))
    }

    /// Reads a content and compares it with the hashes of its pieces. `step`
    /// hears of the bytes as they are read: it may take its time, and may break
    /// the look off.
    ///
    /// # Errors
    /// The catalogue's, or the disk's when the content cannot be opened. What
    /// cannot be read is damaged.
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

    /// Without the hashes of its pieces only the whole content can be judged.
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

    /// Takes a damaged content out of the store, and with it the records that
    /// name it. What is right of its bytes need not come again; with `keep`
    /// all of them stay as they are in a directory of their own, for a person
    /// who has nothing better. Those who commit the same content are waited
    /// for. One that is not here gives no records.
    ///
    /// `seen` are its marks from before the look at it ([`Store::marks`]), `None`
    /// when it was gone. One that came back meanwhile is not the one that was
    /// looked at: it stays, and there are no records.
    ///
    /// # Errors
    /// After one the content is out of use, or not; calling again goes on.
    pub fn set_aside(
        &self,
        root: &ContentHash,
        seen: Option<Stamp>,
        keep: bool,
    ) -> Result<SetAside, StoreError> {
        let Shared { blobs, catalogue, commits, contents, .. } = &*self.shared;
        let _removal = contents.exclude(*root);
        let now = self.marks(root)?;
        if now.is_some() && now != seen {
            return Ok(SetAside { records: Vec::new(), kept: None });
        }
        // A record without a blob is what every start looks for, so the blob
        // goes first.
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
                // Nothing behind it is where it belongs either.
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
    // Bytes behind the last piece are as wrong as any.
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
