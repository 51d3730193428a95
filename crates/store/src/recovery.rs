//! Opening a store: the lock, the catalogue or a new one, and making
//! catalogue and blobs agree after a crash.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::sync::Arc;

use super::Recovery;
use super::backend::Unopened;
use super::blob::{Blobs, Found};
use super::catalogue::{Catalogue, UNDATED_S};
use super::disk::{self, Disk};
use super::error::{StoreError, on};
use super::journal::{Journal, Segment};
use super::log::{NameLog, Replay};
use chordal_core::name::FileName;
use chordal_core::record::{Content, ContentHash, Record};

const CATALOGUE: &str = "catalogue.redb";

/// The name that a damaged catalogue gets, for a user who wants to examine it; a later one
/// replaces it.
const DAMAGED: &str = "catalogue.redb.damaged";

/// A directory that this process has locked, until this is dropped.
#[derive(Debug)]
pub struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would not be enough: a child process that is just being started
        // has inherited the descriptor, until it executes its own program.
        let _ = self.0.unlock();
    }
}

/// Locks the directory for this process.
///
/// # Errors
/// [`StoreError::InUse`] when another one has it; otherwise the disk's.
pub fn lock(dir: &Path) -> Result<Lock, StoreError> {
    let path = dir.join("lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = disk::open(&options, &path).map_err(on("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(why)) => Err(on("lock", &path)(why)),
    }
}

/// Opens the catalogue, or rebuilds it from the log of names, and makes catalogue, log and
/// blobs agree. Tombstones without a time get `now_s`, in seconds since the epoch.
pub(super) fn recover(
    dir: &Path,
    disk: Arc<dyn Disk>,
    blobs: &Blobs,
    journal: &mut Journal,
    now_s: u64,
) -> Result<(Catalogue, NameLog, Recovery), StoreError> {
    let mut recovery = Recovery::default();
    journal.clear()?;
    let mut unknown = blobs.partials.unknown();
    let mut recent = journal.left(&mut unknown)?;
    for segment in &mut recent {
        segment.restore(blobs)?;
    }
    let found = blobs.all()?;
    recovery.notes.extend(
        unknown
            .iter()
            .chain(&found.unknown)
            .map(|path| format!("{} is not a file of chordal; it is left alone", path.display())),
    );
    blobs.ledger.add(found.blobs.values().sum());
    let is_here = |record: &Record| found.blobs.get(&record.version.root) == Some(&record.size());
    let mut log = NameLog::new(Arc::clone(&disk), dir);
    let replay = log.read(is_here)?;
    let named = replay.there || !recent.is_empty() || !found.sidecars.is_empty();
    let catalogue = open(dir, &disk, &mut recovery)?;
    if !catalogue.is_made()? {
        let mut replay = replay.clone();
        for sidecar in &found.sidecars {
            for record in blobs.named_in(sidecar)? {
                replay.offer(record, is_here);
            }
        }
        for segment in &recent {
            segment.replay(None, |said| replay.add(said, is_here))?;
        }
        rebuild(&catalogue, &replay, &found, &mut recovery)?;
        disk.sync_dir(dir).map_err(on("sync", dir))?;
    }
    catch_up(&catalogue, &recent, is_here)?;
    let ends = [catalogue.journaled()?, recent.last().map(Segment::end)];
    ends.into_iter().flatten().for_each(|end| journal.go_on_behind(end));
    let records = kept(&catalogue, is_here, now_s, &mut recovery)?;
    let mut roots: BTreeSet<ContentHash> =
        records.values().map(|record| record.version.root).collect();
    for trashed in catalogue.trash()? {
        let here = found.blobs.get(&trashed.root) == Some(&trashed.size);
        // Otherwise the content is gone, or a record names it again.
        if here && !roots.contains(&trashed.root) {
            roots.insert(trashed.root);
        } else {
            catalogue.take_from_trash(&trashed.root)?;
        }
    }
    // With catalogue and log both gone no record names the blobs, but the ring may restore
    // the records: the blobs stay until the next start.
    let orphans = found.blobs.iter().filter(|(root, _)| !roots.contains(root) && named);
    for (root, size) in orphans {
        // An upload that was not committed can be resumed.
        blobs.set_aside(root, *size)?;
        recovery.removed_orphans += 1;
    }
    if !log.resume(&replay, &records)? {
        log.rewrite(|push| {
            records.values().try_for_each(push).map_err(on("write", &dir.join("names.log")))
        })?;
    }
    for sidecar in &found.sidecars {
        blobs.remove_sidecar(sidecar)?;
    }
    if !recent.is_empty() {
        // From now on the log must have what the journal says about names.
        log.sync()?;
    }
    for segment in &mut recent {
        segment.retire(blobs)?;
    }
    recovery.records = records.into_values().collect();
    Ok((catalogue, log, recovery))
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
        "the catalogue was damaged ({why}); it was renamed to {} and rebuilt",
        aside.display()
    ));
    match Catalogue::open(Arc::clone(disk), path.clone()) {
        Ok(catalogue) => Ok(catalogue),
        Err(Unopened::Failed(error)) => Err(error),
        Err(Unopened::Damaged(why)) => {
            let why = Arc::new(redb::Error::Corrupted(why));
            Err(StoreError::Catalogue { path, why })
        }
    }
}

/// Fills a new catalogue from the log of names, which is empty in a new directory.
fn rebuild(
    catalogue: &Catalogue,
    replay: &Replay,
    found: &Found,
    recovery: &mut Recovery,
) -> Result<(), StoreError> {
    catalogue.make(replay.records.values())?;
    if replay.there || !replay.records.is_empty() || !found.blobs.is_empty() {
        recovery.rebuilt = true;
        recovery.notes.push(format!(
            "the catalogue was rebuilt for {} blobs with {} records; names that were removed shortly before may be back",
            found.blobs.len(),
            replay.records.len()
        ));
    }
    Ok(())
}

/// Adds to the catalogue what was durable in the journal only.
fn catch_up(
    catalogue: &Catalogue,
    recent: &[Segment],
    is_here: impl Fn(&Record) -> bool,
) -> Result<(), StoreError> {
    let Some(last) = recent.last() else { return Ok(()) };
    let mark = catalogue.journaled()?;
    let records = catalogue.records()?.into_iter();
    let before: BTreeMap<FileName, Record> =
        records.map(|record| (record.name.clone(), record)).collect();
    let mut replay = Replay::from_records(before.clone());
    for segment in recent {
        segment.replay(mark, |said| replay.add(said, &is_here))?;
    }
    let now = &replay.records;
    let newer: Vec<&Record> =
        now.values().filter(|record| before.get(&record.name) != Some(record)).collect();
    let gone: Vec<&FileName> = before.keys().filter(|name| !now.contains_key(*name)).collect();
    if newer.is_empty() && gone.is_empty() {
        return Ok(());
    }
    catalogue.catch_up(&newer, &gone, last.end())
}

/// The catalogue's records, without those whose blob is missing: these are dropped and
/// reported.
fn kept(
    catalogue: &Catalogue,
    is_here: impl Fn(&Record) -> bool,
    now_s: u64,
    recovery: &mut Recovery,
) -> Result<BTreeMap<FileName, Record>, StoreError> {
    let (mut kept, lost): (Vec<Record>, Vec<Record>) =
        catalogue.records()?.into_iter().partition(|record| record.is_deleted() || is_here(record));
    if !lost.is_empty() {
        let names: Vec<FileName> = lost.iter().map(|record| record.name.clone()).collect();
        catalogue.remove(&names)?;
        recovery.notes.extend(lost.iter().map(|record| {
            format!("the bytes of {} are missing on this disk; the ring restores them", record.name)
        }));
    }
    let mut dated = Vec::new();
    for record in &mut kept {
        if let Content::Deleted { at_s } = &mut record.content
            && *at_s == UNDATED_S
        {
            *at_s = now_s;
            dated.push((record.name.clone(), now_s));
        }
    }
    if !dated.is_empty() {
        catalogue.date(&dated)?;
    }
    Ok(kept.into_iter().map(|record| (record.name.clone(), record)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn a_child_that_is_just_being_started_does_not_keep_a_directory_from_others() {
        let dir = TempDir::new().unwrap();
        let held = lock(dir.path()).unwrap();
        // What such a child has of it.
        let inherited = held.0.try_clone().unwrap();
        assert!(matches!(lock(dir.path()), Err(StoreError::InUse { .. })));
        drop(held);
        let again = lock(dir.path()).unwrap();
        drop(inherited);
        assert!(matches!(lock(dir.path()), Err(StoreError::InUse { .. })));
        drop(again);
    }
}
