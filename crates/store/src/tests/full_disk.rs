//! A file system that is really full: not the quota, and not the faulty disk.
//!
//! `cargo test --lib really_full -- --ignored` mounts one of 8 MiB in a namespace
//! of its own, so that nothing of it is left behind.

use std::fs::{self, File};
use std::io::Write;
use std::process::Command;

use super::crash::{Deed, Model, after, perform};
use super::faults::agrees;
use super::*;

/// Says, to the test's second process, where the small disk is.
const DISK: &str = "CHORDAL_TEST_SMALL_DISK";

/// Bytes of a page: the least that a file grows by.
const PAGE: u64 = 4096;

/// Runs a test of this file again in a process that sees a small disk.
fn again_on_a_small_disk(test: &str) {
    let dir = TempDir::new().unwrap();
    let (_, module) = module_path!().split_once("::").unwrap();
    let script = "mount -t tmpfs -o size=8m none \"$0\" && exec \"$@\"";
    let status = Command::new("unshare")
        .args(["--map-root-user", "--mount", "--", "sh", "-c", script])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &format!("{module}::{test}")])
        .env(DISK, dir.path())
        .status();
    assert!(status.expect("unshare is there").success(), "it says why above");
}

/// Takes all of a disk but so many pages; what was taken before is given back.
fn leave(disk: &Path, pages: u64) {
    let mut taken = File::create(disk.join("taken")).unwrap();
    let free = RealDisk.space(disk).unwrap().free;
    let much = free.saturating_sub(pages * PAGE);
    taken.write_all(&vec![0; usize::try_from(much).unwrap()]).unwrap();
}

#[test]
#[ignore = "mounts a file system: needs unshare, and user namespaces or root"]
fn a_disk_that_is_really_full_is_named_each_time_and_loses_nothing() {
    let Some(disk) = std::env::var_os(DISK) else {
        return again_on_a_small_disk(
            "a_disk_that_is_really_full_is_named_each_time_and_loses_nothing",
        );
    };
    let (disk, mut met) = (Path::new(&disk), 0);
    let dir = disk.join("data");
    for bounds in [JOURNALS[0], JOURNALS[2]] {
        for pages in (0..72).step_by(4) {
            let (store, _) = Store::open_with(&dir, Arc::new(RealDisk), bounds).unwrap();
            let mut model = Model::new();
            for counter in 1..=200 {
                leave(disk, pages);
                let who = (counter % 120) as u8;
                let deed = match counter % 9 {
                    8 => Deed::Delete(who),
                    seed => Deed::Put(who, 4 + seed as u8),
                };
                match perform(&store, &deed, counter) {
                    Ok(()) => model = after(&model, &deed, counter),
                    Err(IncomingError::Disk(error)) if error.is_full() => {
                        // Refused before anything was written, or in the middle of it.
                        met += u32::from(!matches!(error, StoreError::NoRoom { .. }));
                    }
                    Err(error) => panic!("{pages} pages, {deed:?}: {error}"),
                }
                for record in model.values().filter(|record| !record.is_deleted()) {
                    assert!(store.holds(&record.version.root), "{pages} pages: {record:?}");
                }
            }
            fs::remove_file(disk.join("taken")).unwrap();
            let last = Deed::Put(200, 5);
            perform(&store, &last, 999).unwrap_or_else(|error| panic!("{pages} pages: {error}"));
            model = after(&model, &last, 999);
            drop(store);
            agrees(&dir, &[&model], pages);
            fs::remove_dir_all(&dir).unwrap();
        }
    }
    assert!(met > 10, "the disk was full in the middle of a write only {met} times");
}
