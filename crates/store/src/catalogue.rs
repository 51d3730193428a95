//! The catalogue: which records this node keeps, the manifests of their
//! contents, small settings, and the manifests of files outside of the store,
//! in one redb file.
//!
//! Every change is one transaction and durable when the call returns, unless the journal
//! has it durably already ([`super::journal`]): then the next durable change makes it
//! durable too, and after a crash the start applies it again ([`Catalogue::catch_up`]). The
//! catalogue knows nothing about blob files; [`super::Store`] keeps the two in step and can
//! rebuild the catalogue from the log of names.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use redb::{
    Database, Durability, MultimapTable, MultimapTableDefinition, ReadOnlyTable, ReadableDatabase,
    ReadableMultimapTable, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};

use super::backend::{Unopened, database, unopened};
use super::commit::Change;
use super::disk::Disk;
use super::error::{StoreError, on};
use super::journal::Mark;
use super::stamp::Stamp;
use super::trash::TRASH;
use chordal_core::name::FileName;
use chordal_core::record::{Content, ContentHash, Record, Version};
use chordal_core::transfer::manifest::Manifest;

/// Name → counter, root, bytes (`None` for a tombstone).
const RECORDS: TableDefinition<&str, RecordRow> = TableDefinition::new("records");

type RecordRow = (u64, [u8; 32], Option<u64>);

/// Name of a tombstone → when it was made, in seconds since the epoch. A separate table,
/// since 0.2.0 did not store these times.
const REMOVED: TableDefinition<&str, u64> = TableDefinition::new("removed");

/// Root → the names whose records refer to it.
pub(super) const NAMES: MultimapTableDefinition<[u8; 32], &str> =
    MultimapTableDefinition::new("names");

/// Root → bytes of the content, piece hashes.
pub(super) const MANIFESTS: TableDefinition<[u8; 32], (u64, &[u8])> =
    TableDefinition::new("manifests");

/// Settings of the engine, and [`FORMAT`].
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("meta");

/// Path of a file outside of the store → its stamp when it was hashed (device, inode,
/// bytes, times of modification and change), root, piece hashes. It only saves time:
/// without this table every file is hashed again. (Up to 0.4 the table was called `hashed`
/// and did not have the last time.)
const HASHED: TableDefinition<&[u8], HashedRow<'_>> = TableDefinition::new("hashed.5");

type HashedRow<'a> = ((u64, u64, u64, i64, i64), [u8; 32], &'a [u8]);

/// The first transaction writes this key together with all records that could be rebuilt: a
/// file without it is not a catalogue yet.
const FORMAT: &str = "chordal.format";

/// The layout of the tables above.
const FORMAT_1: &[u8] = &[1];

/// The same layout, but the journal may have newer records. Chordal 0.3.0, which does not
/// know the journal, rejects this format and rebuilds the catalogue from the log of names,
/// which has these records too.
const FORMAT_2: &[u8] = &[2];

/// The key of the journal position up to which the catalogue has every entry: number of the
/// file and bytes, little-endian.
const JOURNALED: &str = "chordal.journaled";

/// The time of a tombstone without a stored time, as 0.2.0 wrote them.
pub(super) const UNDATED_S: u64 = 0;

/// The open catalogue.
#[derive(Debug)]
pub(super) struct Catalogue {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// `None` after a failed call: redb refuses all work after an I/O error (a full disk is one), so the next call opens the file again.
    database: RwLock<Option<Database>>,
    /// Locked after `database`, and during every write.
    unsure: Mutex<Unsure>,
}

/// Changes that are not durable in the catalogue: a crash, or opening the file again, loses
/// them. The journal has them, so their number is bounded by one of its files.
#[derive(Debug, Default)]
struct Unsure {
    records: Vec<Record>,
    /// The journal position up to which these changes go.
    mark: Option<Mark>,
    /// The catalogue says durably ([`FORMAT_2`]) that such changes may exist.
    announced: bool,
}

impl Catalogue {
    /// Opens the file and checks every page of it; makes the file when there is none.
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
            // redb repaired it from an older state: the log of names has newer records.
            Ok(Ok((_, false))) => {
                return Err(Unopened::Damaged("its pages contradict each other".into()));
            }
            Ok(Err(why)) => return Err(unopened(&path, why)),
            Err(_) => return Err(Unopened::Damaged("redb panicked while it read it".into())),
        };
        let (database, unsure) = (RwLock::new(Some(database)), Mutex::default());
        Ok(Catalogue { disk, path, database, unsure })
    }

    /// The path of the catalogue's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the first transaction was committed.
    ///
    /// # Errors
    /// Also [`StoreError::Newer`] for a layout that this version does not know.
    pub(super) fn is_made(&self) -> Result<bool, StoreError> {
        match self.meta(FORMAT)?.as_deref() {
            None => Ok(false),
            Some(FORMAT_1 | FORMAT_2) => Ok(true),
            Some(_) => Err(StoreError::Newer { path: self.path.clone() }),
        }
    }

    /// Makes the tables with their first records, all in one transaction.
    pub(super) fn make<'a>(
        &self,
        mut records: impl Iterator<Item = &'a Record>,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(META)?.insert(FORMAT, FORMAT_1)?;
            let mut tables = Tables::open(transaction)?;
            records.try_for_each(|record| tables.put(record).map(|_| ()))
        })
    }

    /// All records in the order of names.
    pub(super) fn records(&self) -> Result<Vec<Record>, StoreError> {
        self.read(|database| {
            let mut records = Vec::new();
            for record in Records::open(database)?.all()? {
                records.push(record?);
            }
            Ok(records)
        })
    }

    /// Passes every record to `work`, in the order of names.
    pub(super) fn each_record(
        &self,
        work: &mut dyn FnMut(&Record) -> std::io::Result<()>,
    ) -> Result<(), StoreError> {
        // An error of `work` is not the catalogue's.
        let worked = self.read(|database| {
            for record in Records::open(database)?.all()? {
                if let Err(why) = work(&record?) {
                    return Ok(Err(why));
                }
            }
            Ok(Ok(()))
        })?;
        worked.map_err(on("copy", &self.path))
    }

    /// The record of a name.
    pub(super) fn record(&self, name: &FileName) -> Result<Option<Record>, StoreError> {
        self.read(|database| Records::open(database)?.get(name.as_str()))
    }

    /// The versions of those names that have a record.
    pub(super) fn versions<'a>(
        &self,
        names: impl Iterator<Item = &'a FileName>,
    ) -> Result<BTreeMap<FileName, Version>, StoreError> {
        self.read(|database| {
            let records = Records::open(database)?;
            let mut versions = BTreeMap::new();
            for name in names {
                if let Some(found) = records.get(name.as_str())? {
                    versions.insert(found.name, found.version);
                }
            }
            Ok(versions)
        })
    }

    /// The records that refer to a content.
    pub(super) fn referring(&self, root: &ContentHash) -> Result<Vec<Record>, StoreError> {
        self.read(|database| {
            let records = Records::open(database)?;
            let mut found = Vec::new();
            for name in database.begin_read()?.open_multimap_table(NAMES)?.get(root.0)? {
                found.extend(records.get(name?.value())?);
            }
            Ok(found)
        })
    }

    /// The name of a record that refers to a content.
    pub(super) fn one_referring(&self, root: &ContentHash) -> Result<Option<FileName>, StoreError> {
        self.read(|database| {
            let mut names = database.begin_read()?.open_multimap_table(NAMES)?.get(root.0)?;
            names.next().transpose()?.map(|name| file_name(name.value())).transpose()
        })
    }

    /// At most `most` contents that records refer to, in the order of their hashes,
    /// starting after `after`.
    pub(super) fn contents(
        &self,
        after: Option<&ContentHash>,
        most: usize,
    ) -> Result<Vec<ContentHash>, StoreError> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.0));
        self.read(|database| {
            let names = database.begin_read()?.open_multimap_table(NAMES)?;
            let contents = names.range::<[u8; 32]>((from, Bound::Unbounded))?;
            contents.take(most).map(|entry| Ok(ContentHash(entry?.0.value()))).collect()
        })
    }

    /// Makes changes in their order, all or none. A record that is kept replaces the one of
    /// the same name; its content's manifest is kept with it where it is known. Returns,
    /// for each change, the content of the record that it removed.
    ///
    /// `mark` is the end of the journal. `journaled` says that the journal has all the changes durably and that all of them keep records: then they need not be durable here.
    pub(super) fn change(
        &self,
        changes: &[&Change],
        mark: Option<Mark>,
        journaled: bool,
    ) -> Result<Vec<Option<ContentHash>>, StoreError> {
        if changes.is_empty() {
            return Ok(Vec::new());
        }
        let apply = |transaction: &WriteTransaction| {
            if let Some(mark) = mark {
                transaction.open_table(META)?.insert(JOURNALED, mark.to_bytes().as_slice())?;
            }
            let mut tables = Tables::open(transaction)?;
            let one = |change: &&Change| match change {
                Change::Keep { record, manifest, .. } => {
                    if let Some(manifest) = manifest {
                        insert_manifest(&mut tables.manifests, manifest)?;
                    }
                    tables.put(record)
                }
                Change::Forget { name, .. } => tables.remove(name),
            };
            changes.iter().map(one).collect()
        };
        self.read(|database| {
            let mut unsure = self.unsure.lock();
            if !journaled {
                return unsure.settle(database, apply);
            }
            if !unsure.announced {
                let result = unsure.settle(database, |transaction| {
                    transaction.open_table(META)?.insert(FORMAT, FORMAT_2)?;
                    apply(transaction)
                })?;
                unsure.announced = true;
                return Ok(result);
            }
            let result = commit(database, Durability::None, apply)?;
            unsure.mark = mark;
            unsure.records.extend(changes.iter().filter_map(|change| match change {
                Change::Keep { record, .. } => Some(record.clone()),
                Change::Forget { .. } => None,
            }));
            Ok(result)
        })
    }

    /// Makes everything durable. `alone` also notes that the journal has nothing newer than
    /// the catalogue.
    pub(super) fn settle(&self, alone: bool) -> Result<(), StoreError> {
        self.read(|database| {
            let mut unsure = self.unsure.lock();
            let closes = alone && unsure.announced;
            if unsure.records.is_empty() && !closes {
                return Ok(());
            }
            unsure.settle(database, |transaction| {
                if closes {
                    transaction.open_table(META)?.insert(FORMAT, FORMAT_1)?;
                }
                Ok(())
            })?;
            unsure.announced &= !closes;
            Ok(())
        })
    }

    /// The journal position up to which the catalogue has every entry.
    pub(super) fn journaled(&self) -> Result<Option<Mark>, StoreError> {
        Ok(self.meta(JOURNALED)?.and_then(|bytes| Mark::from_bytes(&bytes)))
    }

    /// Applies the entries of the journal up to `mark`: newer records, and names that were
    /// forgotten.
    pub(super) fn catch_up(
        &self,
        newer: &[&Record],
        gone: &[&FileName],
        mark: Mark,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            transaction.open_table(META)?.insert(JOURNALED, mark.to_bytes().as_slice())?;
            let mut tables = Tables::open(transaction)?;
            newer.iter().try_for_each(|record| tables.put(record).map(drop))?;
            gone.iter().try_for_each(|name| tables.remove(name).map(drop))
        })
    }

    /// Removes the records of these names.
    pub(super) fn remove(&self, names: &[FileName]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut tables = Tables::open(transaction)?;
            names.iter().try_for_each(|name| tables.remove(name).map(|_| ()))
        })
    }

    /// Stores when these tombstones were made.
    pub(super) fn date(&self, tombstones: &[(FileName, u64)]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(REMOVED)?;
            for (name, at_s) in tombstones {
                table.insert(name.as_str(), at_s)?;
            }
            Ok(())
        })
    }

    /// The manifest of a content, when it was kept.
    pub(super) fn manifest(&self, root: &ContentHash) -> Result<Option<Manifest>, StoreError> {
        self.read(|database| {
            let table = database.begin_read()?.open_table(MANIFESTS)?;
            let Some(value) = table.get(root.0)? else { return Ok(None) };
            let (size, pieces) = value.value();
            // A manifest that does not match its root is worthless: the caller computes it
            // again.
            Ok(Manifest::from_bytes(*root, size, pieces).ok())
        })
    }

    /// Keeps a manifest if a record refers to its content or the content is in the trash.
    pub(super) fn set_manifest(&self, manifest: &Manifest) -> Result<(), StoreError> {
        self.write(|transaction| {
            let names = transaction.open_multimap_table(NAMES)?;
            let root = manifest.root().0;
            let referred =
                !names.get(root)?.is_empty() || transaction.open_table(TRASH)?.get(root)?.is_some();
            drop(names);
            if referred {
                insert_manifest(&mut transaction.open_table(MANIFESTS)?, manifest)?;
            }
            Ok(())
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
            let ((dev, inode, size, modified_ns, changed_ns), root, pieces) = value.value();
            if *stamp != (Stamp { dev, inode, size, modified_ns, changed_ns }) {
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
                let Stamp { dev, inode, size, modified_ns, changed_ns } = *stamp;
                let stamp = (dev, inode, size, modified_ns, changed_ns);
                let pieces = manifest.to_bytes();
                let value = (stamp, manifest.root().0, pieces.as_slice());
                table.insert(key(path), value)?;
            }
            Ok(())
        })
    }

    /// Removes the manifests of paths that are not needed; returns how many.
    pub(super) fn prune_hashed(&self, needed: impl Fn(&Path) -> bool) -> Result<usize, StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(HASHED)?;
            let before = table.len()?;
            table.retain(|path, _| needed(Path::new(OsStr::from_bytes(path))))?;
            Ok((before - table.len()?) as usize)
        })
    }

    pub(super) fn write<R>(
        &self,
        change: impl FnOnce(&WriteTransaction) -> Result<R, redb::Error>,
    ) -> Result<R, StoreError> {
        self.read(|database| self.unsure.lock().settle(database, change))
    }

    /// Runs `work` on the open database. Opens it first if an earlier failure closed it,
    /// and closes it if `work` fails.
    pub(super) fn read<R>(
        &self,
        work: impl FnOnce(&Database) -> Result<R, redb::Error>,
    ) -> Result<R, StoreError> {
        let open = self.database.read();
        let result = if let Some(database) = &*open {
            let result = work(database);
            drop(open);
            result
        } else {
            drop(open);
            let mut closed = self.database.write();
            let database = match closed.take() {
                // Another thread opened it first.
                Some(database) => Ok(database),
                None => database(&*self.disk, &self.path).and_then(|database| {
                    self.unsure.lock().apply_again(&database)?;
                    Ok(database)
                }),
            };
            database.and_then(|database| work(closed.insert(database)))
        };
        result.map_err(|why| {
            *self.database.write() = None;
            StoreError::Catalogue { path: self.path.clone(), why: Arc::new(why) }
        })
    }
}

impl Unsure {
    /// Makes a change durable, and all earlier ones with it.
    fn settle<R>(
        &mut self,
        database: &Database,
        change: impl FnOnce(&WriteTransaction) -> Result<R, redb::Error>,
    ) -> Result<R, redb::Error> {
        let result = commit(database, Durability::Immediate, change)?;
        self.records.clear();
        self.mark = None;
        Ok(result)
    }

    /// Applies the changes again that were lost when the file was closed after a failure.
    fn apply_again(&mut self, database: &Database) -> Result<(), redb::Error> {
        if self.records.is_empty() {
            return Ok(());
        }
        commit(database, Durability::Immediate, |transaction| {
            if let Some(mark) = self.mark {
                transaction.open_table(META)?.insert(JOURNALED, mark.to_bytes().as_slice())?;
            }
            let mut tables = Tables::open(transaction)?;
            self.records.iter().try_for_each(|record| tables.put(record).map(drop))
        })?;
        self.records.clear();
        self.mark = None;
        Ok(())
    }
}

fn commit<R>(
    database: &Database,
    durability: Durability,
    change: impl FnOnce(&WriteTransaction) -> Result<R, redb::Error>,
) -> Result<R, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(durability)?;
    let result = change(&transaction)?;
    transaction.commit()?;
    Ok(result)
}

/// A path as a key: its bytes, which need not be UTF-8.
fn key(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// The tables of records, open for reading.
struct Records {
    records: ReadOnlyTable<&'static str, RecordRow>,
    /// `None` in a catalogue of 0.2.0 until the first name is removed.
    removed: Option<ReadOnlyTable<&'static str, u64>>,
}

impl Records {
    fn open(database: &Database) -> Result<Records, redb::Error> {
        let transaction = database.begin_read()?;
        let removed = match transaction.open_table(REMOVED) {
            Ok(table) => Some(table),
            Err(redb::TableError::TableDoesNotExist(_)) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Records { records: transaction.open_table(RECORDS)?, removed })
    }

    fn get(&self, name: &str) -> Result<Option<Record>, redb::Error> {
        let row = self.records.get(name)?.map(|row| row.value());
        row.map(|row| self.record(name, row)).transpose()
    }

    fn all(&self) -> Result<impl Iterator<Item = Result<Record, redb::Error>> + '_, redb::Error> {
        Ok(self.records.iter()?.map(|entry| {
            let (name, row) = entry?;
            self.record(name.value(), row.value())
        }))
    }

    fn record(&self, name: &str, row: RecordRow) -> Result<Record, redb::Error> {
        let mut found = record(name, row)?;
        if let (Content::Deleted { at_s }, Some(removed)) = (&mut found.content, &self.removed) {
            *at_s = removed.get(name)?.map_or(UNDATED_S, |at_s| at_s.value());
        }
        Ok(found)
    }
}

/// The tables that a change of records touches.
struct Tables<'a> {
    records: Table<'a, &'static str, RecordRow>,
    removed: Table<'a, &'static str, u64>,
    names: MultimapTable<'a, [u8; 32], &'static str>,
    manifests: Table<'a, [u8; 32], (u64, &'static [u8])>,
}

impl<'a> Tables<'a> {
    fn open(transaction: &'a WriteTransaction) -> Result<Tables<'a>, redb::Error> {
        Ok(Tables {
            records: transaction.open_table(RECORDS)?,
            removed: transaction.open_table(REMOVED)?,
            names: transaction.open_multimap_table(NAMES)?,
            manifests: transaction.open_table(MANIFESTS)?,
        })
    }

    /// Writes a record. Returns the content of the record that it replaces, if that is a
    /// different content.
    fn put(&mut self, new: &Record) -> Result<Option<ContentHash>, redb::Error> {
        let name = new.name.as_str();
        let root = new.version.root;
        let size = (!new.is_deleted()).then(|| new.size());
        let old = self
            .records
            .insert(name, (new.version.counter, root.0, size))?
            .map(|row| record(name, row.value()))
            .transpose()?;
        if let Content::Deleted { at_s } = new.content {
            self.removed.insert(name, at_s)?;
        } else {
            self.names.insert(root.0, name)?;
            if old.as_ref().is_some_and(Record::is_deleted) {
                self.removed.remove(name)?;
            }
        }
        let same =
            |old: &Record| !old.is_deleted() && !new.is_deleted() && old.version.root == root;
        self.unlink(old.filter(|old| !same(old)))
    }

    /// Removes the record of a name; returns its content.
    fn remove(&mut self, name: &FileName) -> Result<Option<ContentHash>, redb::Error> {
        let name = name.as_str();
        let old = self.records.remove(name)?.map(|row| record(name, row.value())).transpose()?;
        if old.as_ref().is_some_and(Record::is_deleted) {
            self.removed.remove(name)?;
        }
        self.unlink(old)
    }

    /// Removes a record from the index of its content, and the content's manifest with the
    /// last record.
    fn unlink(&mut self, removed: Option<Record>) -> Result<Option<ContentHash>, redb::Error> {
        let Some(record) = removed.filter(|record| !record.is_deleted()) else { return Ok(None) };
        let root = record.version.root;
        self.names.remove(root.0, record.name.as_str())?;
        if self.names.get(root.0)?.is_empty() {
            self.manifests.remove(root.0)?;
        }
        Ok(Some(root))
    }
}

fn insert_manifest(
    table: &mut Table<'_, [u8; 32], (u64, &'static [u8])>,
    manifest: &Manifest,
) -> Result<(), redb::Error> {
    let pieces = manifest.to_bytes();
    table.insert(manifest.root().0, (manifest.size(), pieces.as_slice()))?;
    Ok(())
}

pub(super) fn file_name(name: &str) -> Result<FileName, redb::Error> {
    FileName::try_from(name.to_owned())
        .map_err(|why| redb::Error::Corrupted(format!("a record's name: {why}")))
}

/// A record without the time of a tombstone, which is in another table.
fn record(name: &str, (counter, root, size): RecordRow) -> Result<Record, redb::Error> {
    let content = size.map_or(Content::Deleted { at_s: UNDATED_S }, |size| Content::File { size });
    let version = Version { counter, root: ContentHash(root) };
    Ok(Record { name: file_name(name)?, version, content })
}
