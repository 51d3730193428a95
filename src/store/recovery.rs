//! Opening a store: the lock, the catalogue or a new one, and making
//! catalogue and blobs agree after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

use super::Recovery;
use super::blob::Blobs;
use super::catalogue::{Catalogue, Unopened};
use super::disk::Disk;
use super::error::{StoreError, on};
use crate::name::FileName;
use crate::record::{ContentHash, Record};

const CATALOGUE: &str = "catalogue.redb";

/// Where the bytes of a damaged catalogue stay for whoever wants to look; the
/// last one only.
const DAMAGED: &str = "catalogue.redb.damaged";

/// Takes the directory for this process, as long as the file stays open.
pub fn lock(dir: &Path) -> Result<File, StoreError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    let file =
        options.write(true).create(true).truncate(false).open(&path).map_err(on("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(why)) => Err(on("lock", &path)(why)),
    }
}

/// Opens the catalogue, or makes it anew from the sidecars, and then removes
/// what does not belong together.
pub(super) fn recover(
    dir: &Path,
    disk: Arc<dyn Disk>,
    blobs: &Blobs,
) -> Result<(Catalogue, Recovery), StoreError> {
    let mut recovery = Recovery::default();
    let found = blobs.all()?;
    let catalogue = open(dir, &disk, &mut recovery)?;
    if !catalogue.is_made()? {
        rebuild(&catalogue, blobs, &found, &mut recovery)?;
        disk.sync_dir(dir).map_err(on("sync", dir))?;
    }
    recovery.records = reconcile(&catalogue, blobs, &found, &mut recovery)?;
    Ok((catalogue, recovery))
}

fn open(
    dir: &Path,
    disk: &Arc<dyn Disk>,
    recovery: &mut Recovery,
) -> Result<Catalogue, StoreError> {
    let path = dir.join(CATALOGUE);
    let why = match Catalogue::open(Arc::clone(disk), path.clone()) {
        Ok(catalogue) => return Ok(catalogue),
        Err(Unopened::Failed(error)) => return Err(error),
        Err(Unopened::Damaged(why)) => why,
    };
    let aside = dir.join(DAMAGED);
    disk.rename(&path, &aside).map_err(on("set aside", &path))?;
    recovery.rebuilt = true;
    recovery.notes.push(format!(
        "the catalogue was damaged ({why}); it was set aside as {} and made anew",
        aside.display()
    ));
    match Catalogue::open(Arc::clone(disk), path.clone()) {
        Ok(catalogue) => Ok(catalogue),
        Err(Unopened::Failed(error)) => Err(error),
        Err(Unopened::Damaged(why)) => {
            let why = Box::new(redb::Error::Corrupted(why));
            Err(StoreError::Catalogue { path, why })
        }
    }
}

/// Fills an unmade catalogue with the newest record of every name that a
/// blob's sidecar holds. In a new directory there is none.
fn rebuild(
    catalogue: &Catalogue,
    blobs: &Blobs,
    found: &BTreeMap<ContentHash, u64>,
    recovery: &mut Recovery,
) -> Result<(), StoreError> {
    let mut newest: BTreeMap<FileName, Record> = BTreeMap::new();
    for root in found.keys() {
        for record in blobs.names(root)? {
            let known = newest.get(&record.name);
            if known.is_none_or(|known| known.version < record.version) {
                newest.insert(record.name.clone(), record);
            }
        }
    }
    let records: Vec<Record> = newest.into_values().collect();
    catalogue.make(&records)?;
    if !found.is_empty() {
        recovery.rebuilt = true;
        recovery.notes.push(format!(
            "the catalogue was made anew from {} blobs: {} records came back; removed names may come back with them",
            found.len(),
            records.len()
        ));
    }
    Ok(())
}

/// Drops records without their blob, removes blobs without a record, and
/// corrects sidecars. Returns the records that stay.
fn reconcile(
    catalogue: &Catalogue,
    blobs: &Blobs,
    found: &BTreeMap<ContentHash, u64>,
    recovery: &mut Recovery,
) -> Result<Vec<Record>, StoreError> {
    let (kept, lost): (Vec<Record>, Vec<Record>) =
        catalogue.records()?.into_iter().partition(|record| {
            record.is_deleted() || found.get(&record.version.root) == Some(&record.size())
        });
    if !lost.is_empty() {
        let names: Vec<FileName> = lost.iter().map(|record| record.name.clone()).collect();
        catalogue.remove(&names)?;
        recovery.notes.extend(lost.iter().map(|record| {
            format!("the bytes of {} are not here any more; the ring restores them", record.name)
        }));
    }
    let mut referring: BTreeMap<ContentHash, BTreeSet<&Record>> = BTreeMap::new();
    for record in kept.iter().filter(|record| !record.is_deleted()) {
        referring.entry(record.version.root).or_default().insert(record);
    }
    for (root, size) in found {
        match referring.get(root) {
            // An upload that was not committed goes on where it was.
            None => {
                blobs.set_aside(root, *size)?;
                recovery.removed_orphans += 1;
            }
            Some(records) => {
                let records: Vec<Record> = records.iter().copied().cloned().collect();
                if blobs.names(root)? != records {
                    blobs.set_names(root, &records)?;
                }
            }
        }
    }
    Ok(kept)
}
