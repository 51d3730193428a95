//! The trash: contents that no record names any more and that stay for a day, as far
//! as nobody needs their room.
//!
//! What is in it is what lost to a newer version unheard of. A row of the catalogue
//! says whose content it was; the bytes stay where they are. It is a kindness and no
//! promise: what a crash leaves of it between the change of a record and the row goes
//! as any content without a record does.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{ReadableDatabase, ReadableMultimapTable, ReadableTable, TableDefinition};

use super::catalogue::{Catalogue, MANIFESTS, NAMES, file_name};
use super::error::StoreError;
use super::{Leftover, Store, now_s};
use chordal_core::name::FileName;
use chordal_core::record::ContentHash;

/// How long a content stays, in seconds.
const KEPT_S: u64 = 24 * 60 * 60;

/// Root → the name that it had, its bytes, since when it is there (seconds since the
/// epoch).
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
    /// Since when it is there, in seconds since the epoch.
    since_s: u64,
}

/// All of it, by content; the same as in the catalogue.
#[derive(Debug, Default)]
pub(super) struct Trash(Mutex<BTreeMap<ContentHash, Trashed>>);

impl Trash {
    pub(super) fn new(all: Vec<Trashed>) -> Trash {
        Trash(Mutex::new(all.into_iter().map(|one| (one.root, one)).collect()))
    }

    /// Bytes in it, which count as free.
    pub(super) fn bytes(&self) -> u64 {
        self.lock().values().map(|one| one.size).sum()
    }

    pub(super) fn holds(&self, root: &ContentHash) -> bool {
        self.lock().contains_key(root)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContentHash, Trashed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Keeps what a change left for a day, under the name that it had. Tidies up as
    /// [`Store::sweep`] does where that does not go.
    pub fn spare(&self, leftover: Leftover, name: &FileName) {
        let Some(root) = leftover.root() else { return };
        let (catalogue, trash) = (&self.shared.catalogue, &self.shared.trash);
        let kept = catalogue.one_referring(&root).and_then(|referring| {
            let size = self.shared.blobs.size(&root)?;
            let Some(size) = size.filter(|_| referring.is_none()) else { return Ok(false) };
            let one = Trashed { root, name: name.clone(), size, since_s: now_s() };
            catalogue.put_in_trash(&one)?;
            trash.lock().insert(root, one);
            Ok(true)
        });
        if !matches!(kept, Ok(true)) {
            if let Err(error) = kept {
                tracing::warn!(%error, %name, content = %root, "a content was not kept");
            }
            self.sweep(leftover);
        }
    }

    /// What the trash has of a name.
    pub fn trashed(&self, name: &FileName) -> Vec<Trashed> {
        self.shared.trash.lock().values().filter(|one| one.name == *name).cloned().collect()
    }

    /// Whether a content is kept although no record names it.
    pub fn is_trashed(&self, root: &ContentHash) -> bool {
        self.shared.trash.holds(root)
    }

    /// A record names this content again, or it has to go: out of the trash with it.
    pub(super) fn untrash(&self, root: &ContentHash) {
        if self.shared.trash.holds(root) {
            if let Err(error) = self.shared.catalogue.take_from_trash(root) {
                // The next start finds it named, or gone.
                tracing::debug!(%error, content = %root, "it stays in the list of the trash");
            }
            self.shared.trash.lock().remove(root);
        }
    }

    /// Removes the content that has been in the trash longest; whether there was one.
    pub(super) fn empty_a_little(&self) -> bool {
        let oldest = {
            let trash = self.shared.trash.lock();
            trash.values().min_by_key(|one| (one.since_s, one.root)).map(|one| one.root)
        };
        let Some(root) = oldest else { return false };
        self.untrash(&root);
        self.release(root);
        true
    }

    /// Removes what has been in the trash for its day.
    pub(super) fn empty_trash(&self, now_s: u64) {
        // One from the future is from a clock that was wrong.
        let past = |one: &Trashed| {
            now_s.saturating_sub(one.since_s) > KEPT_S || one.since_s > now_s.saturating_add(KEPT_S)
        };
        let gone: Vec<ContentHash> = {
            let trash = self.shared.trash.lock();
            trash.values().filter(|one| past(one)).map(|one| one.root).collect()
        };
        for root in gone {
            self.untrash(&root);
            self.release(root);
        }
    }
}

impl Catalogue {
    /// All that is in the trash.
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

    /// Takes a content out of the trash, and its manifest with it if no record names
    /// it.
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
