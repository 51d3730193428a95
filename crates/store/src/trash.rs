//! The trash: contents that no record names any more and that stay for a day, as long as
//! their room is not needed.
//!
//! It has contents that lost to a newer version which their uploader did not know. A row of
//! the catalogue stores the name of the content; the bytes stay where they are. Nothing is
//! promised: if a crash comes between the change of a record and the row, the content is
//! removed like any content without a record.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use redb::{ReadableDatabase, ReadableMultimapTable, ReadableTable, TableDefinition};

use super::catalogue::{Catalogue, MANIFESTS, NAMES, file_name};
use super::error::StoreError;
use super::{Leftover, Store, now_s};
use chordal_core::name::FileName;
use chordal_core::record::ContentHash;

/// How long a content stays, in seconds.
const KEPT_S: u64 = 24 * 60 * 60;

/// Root → the name that it had, its bytes, when it was added (seconds since the epoch).
pub(super) const TRASH: TableDefinition<[u8; 32], (&str, u64, u64)> = TableDefinition::new("trash");

/// A content in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trashed {
    /// The content.
    pub root: ContentHash,
    /// The name that it had.
    pub name: FileName,
    /// Its bytes.
    pub size: u64,
    /// When it was added, in seconds since the epoch.
    since_s: u64,
}

/// The trash by content; the same as in the catalogue.
#[derive(Debug, Default)]
pub(super) struct Trash(Mutex<BTreeMap<ContentHash, Trashed>>);

impl Trash {
    pub(super) fn new(all: Vec<Trashed>) -> Trash {
        Trash(Mutex::new(all.into_iter().map(|one| (one.root, one)).collect()))
    }

    /// Bytes in the trash, which count as free.
    pub(super) fn bytes(&self) -> u64 {
        self.0.lock().values().map(|one| one.size).sum()
    }

    pub(super) fn holds(&self, root: &ContentHash) -> bool {
        self.0.lock().contains_key(root)
    }
}

impl Store {
    /// Keeps what a change left for a day, under the name that it had. If that is not
    /// possible, removes it as [`Store::sweep`] does.
    pub fn spare(&self, leftover: Leftover, name: &FileName) {
        let Some(root) = leftover.root() else { return };
        let (catalogue, trash) = (&self.shared.catalogue, &self.shared.trash);
        let kept = catalogue.one_referring(&root).and_then(|referring| {
            let size = self.shared.blobs.size(&root)?;
            let Some(size) = size.filter(|_| referring.is_none()) else { return Ok(false) };
            let one = Trashed { root, name: name.clone(), size, since_s: now_s() };
            catalogue.put_in_trash(&one)?;
            trash.0.lock().insert(root, one);
            Ok(true)
        });
        if !matches!(kept, Ok(true)) {
            if let Err(error) = kept {
                tracing::warn!(%error, %name, content = %root, "a content was not put in the trash");
            }
            self.sweep(leftover);
        }
    }

    /// The contents in the trash that had this name.
    pub fn trashed(&self, name: &FileName) -> Vec<Trashed> {
        self.shared.trash.0.lock().values().filter(|one| one.name == *name).cloned().collect()
    }

    /// Whether a content is in the trash.
    pub fn is_trashed(&self, root: &ContentHash) -> bool {
        self.shared.trash.holds(root)
    }

    /// Takes a content out of the trash, because a record names it again or it must be
    /// removed.
    pub(super) fn untrash(&self, root: &ContentHash) {
        if self.shared.trash.holds(root) {
            if let Err(error) = self.shared.catalogue.take_from_trash(root) {
                // The next start corrects the catalogue's row.
                tracing::debug!(%error, content = %root, "its row in the trash was not removed");
            }
            self.shared.trash.0.lock().remove(root);
        }
    }

    /// Removes the content that has been in the trash longest. Returns whether there was
    /// one.
    pub(super) fn empty_a_little(&self) -> bool {
        let oldest = {
            let trash = self.shared.trash.0.lock();
            trash.values().min_by_key(|one| (one.since_s, one.root)).map(|one| one.root)
        };
        let Some(root) = oldest else { return false };
        self.untrash(&root);
        self.release(root);
        true
    }

    /// Removes contents that have been in the trash for a day.
    pub(super) fn empty_trash(&self, now_s: u64) {
        // A time in the future was written by a wrong clock.
        let past = |one: &Trashed| {
            now_s.saturating_sub(one.since_s) > KEPT_S || one.since_s > now_s.saturating_add(KEPT_S)
        };
        let gone: Vec<ContentHash> = {
            let trash = self.shared.trash.0.lock();
            trash.values().filter(|one| past(one)).map(|one| one.root).collect()
        };
        for root in gone {
            self.untrash(&root);
            self.release(root);
        }
    }
}

impl Catalogue {
    /// Everything in the trash.
    pub(super) fn trash(&self) -> Result<Vec<Trashed>, StoreError> {
        self.read(|database| {
            let table = match database.begin_read()?.open_table(TRASH) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(error.into()),
            };
            let mut all = Vec::new();
            for entry in table.iter()? {
                let (root, row) = entry?;
                let (name, size, since_s) = row.value();
                let (root, name) = (ContentHash(root.value()), file_name(name)?);
                all.push(Trashed { root, name, size, since_s });
            }
            Ok(all)
        })
    }

    fn put_in_trash(&self, one: &Trashed) -> Result<(), StoreError> {
        self.write(|transaction| {
            let row = (one.name.as_str(), one.size, one.since_s);
            transaction.open_table(TRASH)?.insert(one.root.0, row)?;
            Ok(())
        })
    }

    /// Takes a content out of the trash, and removes its manifest if no record names it.
    pub(super) fn take_from_trash(&self, root: &ContentHash) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(TRASH)?.remove(root.0)?;
            if transaction.open_multimap_table(NAMES)?.get(root.0)?.is_empty() {
                transaction.open_table(MANIFESTS)?.remove(root.0)?;
            }
            Ok(())
        })
    }
}
