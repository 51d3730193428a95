//! What a run leaves on the disks of its nodes, after SIGKILL of all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chordal::record::{ContentHash, Record};
use chordal::store::{Store, hash_file};

use super::probe::Settled;

/// What may stand in a data directory.
const KNOWN: [&str; 9] = [
    "lock",
    "catalogue.redb",
    "names.log",
    "blobs",
    "partial",
    "damaged",
    "peers.toml",
    "log",
    "recent",
];

/// Everything that is wrong with the directories of nodes that were in a settled
/// state when they were killed. Opening them is what a start does: what a broken
/// put or a copy on its way out left is gone after it. `strict`: every node has
/// what belongs to it and nothing else; otherwise all have enough of it together.
pub(crate) fn examine(
    dirs: &[(SocketAddr, PathBuf)],
    settled: &Settled,
    strict: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for (address, dir) in dirs {
        let mut found = Vec::new();
        match one(dir, &mut found) {
            Ok(records) => {
                for (name, record) in &records {
                    let newest = settled.records.get(name);
                    if newest.is_some_and(|newest| newest.version == record.version) {
                        *copies.entry(name.clone()).or_default() += 1;
                    }
                }
                if strict {
                    misplaced(*address, &records, settled, &mut found);
                }
            }
            Err(why) => found.push(why),
        }
        wrong.extend(found.into_iter().map(|what| format!("the disk of {address}: {what}")));
    }
    for (name, record) in &settled.records {
        let (here, wanted) = (copies.get(name).copied().unwrap_or(0), settled.copies);
        if here < wanted {
            wrong.push(format!("{here} of {wanted} disks have {record:?}"));
        }
    }
    wrong
}

/// What is wrong with one directory by itself, and its records.
fn one(dir: &Path, wrong: &mut Vec<String>) -> Result<BTreeMap<String, Record>, String> {
    let (store, recovery) = Store::open(dir).map_err(|error| error.to_string())?;
    if recovery.rebuilt || !recovery.notes.is_empty() {
        wrong.push(format!("after SIGKILL: {:?}", recovery.notes));
    }
    let records: BTreeMap<String, Record> =
        recovery.records.iter().map(|record| (record.name.to_string(), record.clone())).collect();
    let live = records.values().filter(|record| !record.is_deleted());
    let named: BTreeSet<ContentHash> = live.map(|record| record.version.root).collect();
    let mut after = blobs(dir)?;
    // A version that lost to another one is kept for a day.
    after.retain(|root| named.contains(root) || !store.is_trashed(root));
    if after != named {
        wrong.push(format!("blobs are {after:?}, records name {named:?}"));
    }
    for root in &named {
        let hex = root.to_string();
        let path = dir.join("blobs").join(&hex[..2]).join(&hex);
        let hashed = hash_file(&path, |_| std::ops::ControlFlow::Continue(()));
        match hashed {
            Ok(manifest) if manifest.root() == *root => {}
            other => wrong.push(format!("{}: {other:?}", path.display())),
        }
    }
    // What broken uploads left goes within the hour, or when room is needed.
    while store.give_way() {}
    drop(store);
    for entry in entries(&dir.join("partial"))? {
        wrong.push(format!("{} is left", entry.display()));
    }
    for entry in entries(&dir.join("damaged")).unwrap_or_default() {
        wrong.push(format!("{} is left", entry.display()));
    }
    for entry in entries(dir)? {
        let name = entry.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !KNOWN.contains(&name) {
            wrong.push(format!("what is {}?", entry.display()));
        }
    }
    Ok(records)
}

/// What is not where it belongs.
fn misplaced(
    address: SocketAddr,
    records: &BTreeMap<String, Record>,
    settled: &Settled,
    wrong: &mut Vec<String>,
) {
    let belongs =
        |name: &String| settled.holders.get(name).is_some_and(|holders| holders.contains(&address));
    for (name, record) in settled.records.iter().filter(|(name, _)| belongs(name)) {
        if records.get(name).map(|here| here.version) != Some(record.version) {
            wrong.push(format!("{:?}, not {record:?}", records.get(name)));
        }
    }
    // A copy that the node was about to give up may still be there, as it was.
    for (name, record) in records.iter().filter(|(name, _)| !belongs(name)) {
        if settled.records.get(name).map(|settled| settled.version) != Some(record.version) {
            wrong.push(format!("{name} does not belong here: {record:?}"));
        }
    }
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let listed = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    Ok(listed.flatten().map(|entry| entry.path()).collect())
}

/// The contents below a directory.
fn blobs(dir: &Path) -> Result<BTreeSet<ContentHash>, String> {
    let mut found = BTreeSet::new();
    for shelf in entries(&dir.join("blobs"))? {
        for blob in entries(&shelf)? {
            let name = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let root = name.parse().map_err(|_| format!("what is {}?", blob.display()))?;
            found.insert(root);
        }
    }
    Ok(found)
}
