//! The catalogue: which records this node keeps, the manifests of their
//! contents, small settings, and the manifests of files outside of the store,
//! in one redb file.
//!
//! Every change is one transaction and durable when the call returns. The
//! catalogue knows nothing of blob files; [`super::Store`] keeps the two in
//! step and can make a new catalogue from the blobs' sidecars.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use redb::{
    Database, Durability, MultimapTableDefinition, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageBackend, TableDefinition, WriteTransaction,
};

use super::disk::{Disk, DiskFile};
use super::error::StoreError;
use super::stamp::Stamp;
use crate::name::FileName;
use crate::record::{Content, ContentHash, Record, Version};
use crate::transfer::manifest::Manifest;

/// Name → counter, root, bytes (none: a tombstone).
const RECORDS: TableDefinition<&str, (u64, [u8; 32], Option<u64>)> =
    TableDefinition::new("records");

/// Root → the names whose records refer to it.
const NAMES: MultimapTableDefinition<[u8; 32], &str> = MultimapTableDefinition::new("names");

/// Root → bytes of the content, piece hashes.
const MANIFESTS: TableDefinition<[u8; 32], (u64, &[u8])> = TableDefinition::new("manifests");

/// Settings of the engine, and [`FORMAT`].
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Path of a file outside of the store → its stamp when it was hashed (device,
/// inode, bytes, time of modification), root, piece hashes. It only saves time:
/// without this table everything is hashed again.
const HASHED: TableDefinition<&[u8], HashedRow<'_>> = TableDefinition::new("hashed");

/// Its values.
type HashedRow<'a> = (u64, u64, u64, i64, [u8; 32], &'a [u8]);

/// The key that the first transaction writes together with all records that
/// could be rebuilt: a catalogue without it is none yet.
const FORMAT: &str = "chordal.format";

/// The layout of the tables above.
const FORMAT_1: &[u8] = &[1];

/// Bytes of redb's page cache: the catalogue of ten thousand files fits, and a
/// node at rest stays small (the budget is 15 MiB with its dashboard).
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// The open catalogue.
#[derive(Debug)]
pub(super) struct Catalogue {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// `None` after a failed call: redb refuses all work after an I/O error
    /// (a full disk is one), so the next call opens the file anew.
    database: RwLock<Option<Database>>,
}

/// Why a catalogue cannot be opened.
pub(super) enum Unopened {
    /// Its bytes are no catalogue: set it aside.
    Damaged(String),
    /// The disk failed: the bytes may be good.
    Failed(StoreError),
}

impl Catalogue {
    /// Opens the file and checks every page of it; makes it when it is not
    /// there.
    pub(super) fn open(disk: Arc<dyn Disk>, path: PathBuf) -> Result<Catalogue, Unopened> {
        // redb panics on some damage, before and during its own check. Nothing
        // that a panic could leave half done outlives the closure.
        let checked = catch_unwind(AssertUnwindSafe(|| {
            let mut database = database(&*disk, &path)?;
            let whole = database.check_integrity()?;
            Ok((database, whole))
        }));
        let database = match checked {
            Ok(Ok((database, true))) => database,
            // Repaired from an older state: the sidecars know more.
            Ok(Ok((_, false))) => return Err(Unopened::Damaged("its pages disagree".into())),
            Ok(Err(why)) => return Err(unopened(&path, why)),
            Err(_) => return Err(Unopened::Damaged("redb cannot make sense of it".into())),
        };
        Ok(Catalogue { disk, path, database: RwLock::new(Some(database)) })
    }

    /// Whether the file holds a catalogue that was completely made.
    pub(super) fn is_made(&self) -> Result<bool, StoreError> {
        Ok(self.meta(FORMAT)?.is_some_and(|format| format == FORMAT_1))
    }

    /// Makes the tables with their first records, all in one transaction.
    pub(super) fn make(&self, records: &[Record]) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(RECORDS)?;
            transaction.open_table(MANIFESTS)?;
            transaction.open_multimap_table(NAMES)?;
            transaction.open_table(META)?.insert(FORMAT, FORMAT_1)?;
            records.iter().try_for_each(|record| put(transaction, record).map(|_| ()))
        })
    }

    /// All records in the order of names.
    pub(super) fn records(&self) -> Result<Vec<Record>, StoreError> {
        self.read(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            let mut records = Vec::new();
            for entry in table.iter()? {
                let (name, value) = entry?;
                records.push(record(name.value(), value.value())?);
            }
            Ok(records)
        })
    }

    /// The record of a name.
    pub(super) fn record(&self, name: &FileName) -> Result<Option<Record>, StoreError> {
        self.read(|database| {
            let table = database.begin_read()?.open_table(RECORDS)?;
            let value = table.get(name.as_str())?;
            value.map(|value| record(name.as_str(), value.value())).transpose()
        })
    }

    /// The records that refer to a content.
    pub(super) fn referring(&self, root: &ContentHash) -> Result<Vec<Record>, StoreError> {
        self.read(|database| {
            let transaction = database.begin_read()?;
            let records = transaction.open_table(RECORDS)?;
            let mut found = Vec::new();
            for name in transaction.open_multimap_table(NAMES)?.get(root.0)? {
                let name = name?;
                if let Some(value) = records.get(name.value())? {
                    found.push(record(name.value(), value.value())?);
                }
            }
            Ok(found)
        })
    }

    /// Writes a record over that of the same name, with its content's manifest
    /// when it is known. Returns the content that the old record stood for.
    pub(super) fn put(
        &self,
        record: &Record,
        manifest: Option<&Manifest>,
    ) -> Result<Option<ContentHash>, StoreError> {
        self.write(|transaction| {
            if let Some(manifest) = manifest {
                insert_manifest(transaction, manifest)?;
            }
            put(transaction, record)
        })
    }

    /// Removes the records of these names. Returns the contents that they
    /// stood for.
    pub(super) fn remove(&self, names: &[FileName]) -> Result<Vec<ContentHash>, StoreError> {
        self.write(|transaction| {
            let mut roots = Vec::new();
            for name in names {
                let removed = transaction
                    .open_table(RECORDS)?
                    .remove(name.as_str())?
                    .map(|value| record(name.as_str(), value.value()))
                    .transpose()?;
                roots.extend(unlink(transaction, removed)?);
            }
            Ok(roots)
        })
    }

    /// The manifest of a content, when it was kept.
    pub(super) fn manifest(&self, root: &ContentHash) -> Result<Option<Manifest>, StoreError> {
        self.read(|database| {
            let table = database.begin_read()?.open_table(MANIFESTS)?;
            let Some(value) = table.get(root.0)? else { return Ok(None) };
            let (size, pieces) = value.value();
            // One that does not fit its root is as good as none: the caller
            // computes it anew.
            Ok(Manifest::from_bytes(*root, size, pieces).ok())
        })
    }

    /// Keeps a manifest as long as a record refers to its content.
    pub(super) fn set_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        self.write(|transaction| {
            let names = transaction.open_multimap_table(NAMES)?;
            let referred = !redb::ReadableMultimapTable::get(&names, manifest.root().0)?.is_empty();
            drop(names);
            if referred { insert_manifest(transaction, manifest) } else { Ok(()) }
        })
    }

    /// A setting.
    pub(super) fn meta(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|database| match database.begin_read()?.open_table(META) {
            Ok(table) => Ok(table.get(key)?.map(|value| value.value().to_vec())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        })
    }

    /// Changes a setting.
    pub(super) fn set_meta(&self, key: &str, value: &[u8]) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(META)?.insert(key, value)?;
            Ok(())
        })
    }

    /// The manifest that was kept for a path, if its file still has this stamp.
    pub(super) fn hashed(
        &self,
        path: &Path,
        stamp: &Stamp,
    ) -> Result<Option<Manifest>, StoreError> {
        self.read(|database| {
            let table = match database.begin_read()?.open_table(HASHED) {
                Ok(table) => table,
                Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
                Err(error) => return Err(error.into()),
            };
            let Some(value) = table.get(key(path))? else { return Ok(None) };
            let (dev, inode, size, modified_ns, root, pieces) = value.value();
            if *stamp != (Stamp { dev, inode, size, modified_ns }) {
                return Ok(None);
            }
            Ok(Manifest::from_bytes(ContentHash(root), size, pieces).ok())
        })
    }

    /// Keeps manifests of files outside of the store.
    pub(super) fn keep_hashed(
        &self,
        files: &[(&Path, Stamp, &Manifest)],
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(HASHED)?;
            for (path, stamp, manifest) in files {
                let Stamp { dev, inode, size, modified_ns } = *stamp;
                let pieces = manifest.to_bytes();
                let value = (dev, inode, size, modified_ns, manifest.root().0, pieces.as_slice());
                table.insert(key(path), value)?;
            }
            Ok(())
        })
    }

    /// Gives up the manifests of paths that are not needed; how many.
    pub(super) fn prune_hashed(&self, needed: impl Fn(&Path) -> bool) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(HASHED)?;
            let before = table.len()?;
            table.retain(|path, _| needed(Path::new(OsStr::from_bytes(path))))?;
            Ok((before - table.len()?) as usize)
        })
    }

    fn write<R>(
        &self,
        change: impl Fn(&WriteTransaction) -> Result<R, redb::Error>,
    ) -> Result<R, StoreError> {
        self.read(|database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            let result = change(&transaction)?;
            transaction.commit()?;
            Ok(result)
        })
    }

    /// Runs `work` on the open database, which is opened first if an earlier
    /// failure closed it, and closed if this one fails.
    fn read<R>(&self, work: impl Fn(&Database) -> Result<R, redb::Error>) -> Result<R, StoreError> {
        let open = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let result = if let Some(database) = &*open {
            let result = work(database);
            drop(open);
            result
        } else {
            drop(open);
            let mut closed = self.database.write().unwrap_or_else(PoisonError::into_inner);
            let database = match closed.take() {
                // Another thread was faster.
                Some(database) => Ok(database),
                None => database(&*self.disk, &self.path),
            };
            database.and_then(|database| work(closed.insert(database)))
        };
        result.map_err(|why| {
            *self.database.write().unwrap_or_else(PoisonError::into_inner) = None;
            StoreError::Catalogue { path: self.path.clone(), why: Box::new(why) }
        })
    }
}

/// A path as a key: its bytes, which need not be text.
fn key(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

fn database(disk: &dyn Disk, path: &Path) -> Result<Database, redb::Error> {
    let file = Backend(disk.open(path)?);
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(file)?)
}

fn unopened(path: &Path, why: redb::Error) -> Unopened {
    match why {
        redb::Error::Corrupted(why) => Unopened::Damaged(why),
        redb::Error::UpgradeRequired(version) => {
            Unopened::Damaged(format!("it has the unknown format {version}"))
        }
        // redb's word for a file that is none of its own.
        redb::Error::Io(why)
            if matches!(
                why.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Unopened::Damaged(why.to_string())
        }
        why => {
            Unopened::Failed(StoreError::Catalogue { path: path.to_owned(), why: Box::new(why) })
        }
    }
}

/// Writes a record; returns the content that the old one of its name stood
/// for, if it is another.
fn put(transaction: &WriteTransaction, new: &Record) -> Result<Option<ContentHash>, redb::Error> {
    let size = (!new.is_deleted()).then(|| new.size());
    let root = new.version.root;
    let old = transaction
        .open_table(RECORDS)?
        .insert(new.name.as_str(), (new.version.counter, root.0, size))?
        .map(|value| record(new.name.as_str(), value.value()))
        .transpose()?;
    if !new.is_deleted() {
        transaction.open_multimap_table(NAMES)?.insert(root.0, new.name.as_str())?;
    }
    let same = |old: &Record| !old.is_deleted() && !new.is_deleted() && old.version.root == root;
    unlink(transaction, old.filter(|old| !same(old)))
}

/// Takes a removed record out of the index of its content, and the content's
/// manifest with the last of them.
fn unlink(
    transaction: &WriteTransaction,
    removed: Option<Record>,
) -> Result<Option<ContentHash>, redb::Error> {
    let Some(record) = removed.filter(|record| !record.is_deleted()) else { return Ok(None) };
    let root = record.version.root;
    let mut names = transaction.open_multimap_table(NAMES)?;
    names.remove(root.0, record.name.as_str())?;
    if redb::ReadableMultimapTable::get(&names, root.0)?.is_empty() {
        transaction.open_table(MANIFESTS)?.remove(root.0)?;
    }
    Ok(Some(root))
}

fn insert_manifest(transaction: &WriteTransaction, manifest: &Manifest) -> Result<(), redb::Error> {
    let pieces = manifest.to_bytes();
    let value = (manifest.size(), pieces.as_slice());
    transaction.open_table(MANIFESTS)?.insert(manifest.root().0, value)?;
    Ok(())
}

fn record(
    name: &str,
    (counter, root, size): (u64, [u8; 32], Option<u64>),
) -> Result<Record, redb::Error> {
    let name = FileName::try_from(name.to_owned())
        .map_err(|why| redb::Error::Corrupted(format!("a record's name: {why}")))?;
    let content = size.map_or(Content::Deleted { at_s: 0 }, |size| Content::File { size });
    Ok(Record { name, version: Version { counter, root: ContentHash(root) }, content })
}

/// redb on the store's disk, so that tests can make that fail as well.
#[derive(Debug)]
struct Backend(Box<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> std::io::Result<u64> {
        self.0.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write_at(offset, data)
    }
}
