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
    "journal",
];

/// Everything that is wrong with the directories of nodes that were in a settled
/// state when they were killed. `unacknowledged`: contents whose bytes a broken
/// put may have left, up to the next start. `strict`: every node has what belongs
/// to it and nothing else.
pub(crate) fn examine(
    dirs: &[(SocketAddr, PathBuf)],
    settled: &Settled,
    unacknowledged: &BTreeSet<ContentHash>,
    strict: bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (address, dir) in dirs {
        let mut found = Vec::new();
        if let Err(why) = one(dir, *address, settled, unacknowledged, strict, &mut found) {
            found.push(why);
        }
        wrong.extend(found.into_iter().map(|what| format!("the disk of {address}: {what}")));
    }
    wrong
}

fn one(
    dir: &Path,
    address: SocketAddr,
    settled: &Settled,
    unacknowledged: &BTreeSet<ContentHash>,
    strict: bool,
    wrong: &mut Vec<String>,
) -> Result<(), String> {
    let before = blobs(dir)?;
    let (store, recovery) = Store::open(dir).map_err(|error| error.to_string())?;
    if recovery.rebuilt || !recovery.notes.is_empty() {
        wrong.push(format!("after SIGKILL: {:?}", recovery.notes));
    }
    let records: BTreeMap<String, Record> =
        recovery.records.iter().map(|record| (record.name.to_string(), record.clone())).collect();
    let live = records.values().filter(|record| !record.is_deleted());
    let named: BTreeSet<ContentHash> = live.map(|record| record.version.root).collect();
    for orphan in before.difference(&named).filter(|root| !unacknowledged.contains(*root)) {
        wrong.push(format!("{orphan} is nobody's"));
    }
    let after = blobs(dir)?;
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
    for (name, record) in &settled.records {
        let belongs = settled.holders.get(name).is_some_and(|holders| holders.contains(&address));
        match records.get(name) {
            Some(here) if here.version == record.version => {}
            Some(here) if strict || belongs => wrong.push(format!("{here:?}, not {record:?}")),
            None if belongs => wrong.push(format!("no {record:?}")),
            _ => {}
        }
    }
    let all = records.keys().filter(|name| {
        let holders = settled.holders.get(*name);
        !holders.is_some_and(|holders| holders.contains(&address))
    });
    for name in all.filter(|_| strict) {
        wrong.push(format!("{name} does not belong here: {:?}", records[name]));
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
    Ok(())
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
