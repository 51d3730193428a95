//! A disk for tests that fails, or loses its power, at a call of the test's choice.
//!
//! It works on the real file system, but only what it was asked to sync counts as durable:
//! [`FaultyDisk::lose_power`] takes back everything else. Nothing is really synced, so that
//! thousands of crashes take little time.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::disk::{Disk, DiskFile, RealDisk, Space, parent};

/// What happens at the chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// That call fails.
    Once(io::ErrorKind),
    /// That call fails, and a write has written a part of its bytes.
    Short(io::ErrorKind),
    /// From that call on the disk is full, until [`FaultyDisk::mend`]: calls that need more
    /// room fail.
    Full,
    /// From that call on every sync fails, until [`FaultyDisk::mend`].
    Unsynced,
    /// The process dies there: that call does a part of its work at most, and all later
    /// calls fail.
    Crash,
}

/// How many bytes a failing write writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Part {
    None,
    First,
    #[default]
    Half,
    AllButLast,
}

impl Part {
    fn of(self, bytes: &[u8]) -> &[u8] {
        let count = match self {
            Part::None => 0,
            Part::First => bytes.len().min(1),
            Part::Half => bytes.len() / 2,
            Part::AllButLast => bytes.len().saturating_sub(1),
        };
        &bytes[..count]
    }
}

/// Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(super) struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    calls: u64,
    fault: Option<(u64, Fault)>,
    part: Part,
    dead: bool,
    /// The space that it reports; `None` for the real one.
    space: Option<Space>,
    /// Number of syncs of single files and directories.
    syncs: u64,
    /// The journal is on another file system.
    split: bool,
    /// How to take back what is not durable, oldest first.
    undo: Vec<Undo>,
}

#[derive(Debug)]
enum Undo {
    /// `lost`: a sync of these bytes failed. The system has dropped them, although reads still show them, and no later sync makes them durable.
    Bytes {
        file: File,
        offset: u64,
        old: Vec<u8>,
        len: u64,
        lost: bool,
    },
    Created(PathBuf),
    CreatedDir(PathBuf),
    Renamed {
        from: PathBuf,
        to: PathBuf,
        replaced: Option<Vec<u8>>,
    },
    Removed {
        path: PathBuf,
        bytes: Vec<u8>,
    },
}

impl FaultyDisk {
    /// A disk on which the `call`-th call (counted from 1) has the fault.
    pub(super) fn with(call: u64, fault: Fault) -> FaultyDisk {
        let disk = FaultyDisk::default();
        disk.arm(call, fault);
        disk
    }

    /// The `call`-th call from now on has the fault.
    pub(super) fn arm(&self, call: u64, fault: Fault) {
        let mut state = self.state.lock();
        state.fault = Some((state.calls + call, fault));
    }

    /// Sets how much of a write with the fault is done.
    pub(super) fn tear(&self, part: Part) {
        self.state.lock().part = part;
    }

    /// A new process uses the disk on which an earlier one died: there are no more faults,
    /// and what was not durable then is not durable now.
    pub(super) fn revive(&self) {
        let mut state = self.state.lock();
        (state.dead, state.fault) = (false, None);
    }

    /// Ends the fault.
    pub(super) fn mend(&self) {
        self.state.lock().fault = None;
    }

    /// From now on the disk reports this space.
    pub(super) fn set_space(&self, space: Space) {
        self.state.lock().space = Some(space);
    }

    /// How many syncs there were, without those of whole file systems.
    pub(super) fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// From now on `recent/` is reported to be on another file system than the rest.
    pub(super) fn split(&self) {
        self.state.lock().split = true;
    }

    /// Whether the call with the fault was made.
    pub(super) fn has_failed(&self) -> bool {
        let state = self.state.lock();
        state.fault.is_some_and(|(call, _)| state.calls >= call)
    }

    /// Takes back everything that was never synced, and kills the process.
    pub(super) fn lose_power(&self) {
        let mut state = self.state.lock();
        state.dead = true;
        while let Some(undo) = state.undo.pop() {
            // What cannot be taken back went with something that was taken back before.
            let _ = match undo {
                Undo::Bytes { file, offset, old, len, .. } => {
                    file.write_all_at(&old, offset).and_then(|()| file.set_len(len))
                }
                Undo::Created(path) => fs::remove_file(path),
                // With everything durable in it.
                Undo::CreatedDir(path) => fs::remove_dir_all(path),
                Undo::Renamed { from, to, replaced } => fs::rename(&to, from)
                    .and_then(|()| replaced.map_or(Ok(()), |bytes| fs::write(to, bytes))),
                Undo::Removed { path, bytes } => fs::write(path, bytes),
            };
        }
    }

    /// Counts a call. `Err` if it is to fail, with how much of a write is done
    /// nevertheless.
    fn call(&self, grows: bool) -> Result<(), (io::Error, Part)> {
        let mut state = self.state.lock();
        if state.dead {
            return Err((io::Error::other("the process is dead"), Part::None));
        }
        state.calls += 1;
        let (calls, part) = (state.calls, state.part);
        match state.fault {
            Some((call, Fault::Once(kind))) if call == calls => Err((kind.into(), Part::None)),
            Some((call, Fault::Short(kind))) if call == calls => Err((kind.into(), part)),
            Some((call, Fault::Full)) if call <= calls && grows => {
                Err((io::ErrorKind::StorageFull.into(), part))
            }
            Some((call, Fault::Crash)) if call == calls => {
                state.dead = true;
                Err((io::Error::other("the process dies"), part))
            }
            _ => Ok(()),
        }
    }

    fn whole(&self) -> io::Result<()> {
        self.call(false).map_err(|(error, _)| error)
    }

    /// As [`FaultyDisk::whole`], for calls that make something durable.
    fn syncing(&self) -> io::Result<()> {
        self.whole()?;
        let state = self.state.lock();
        match state.fault {
            Some((call, Fault::Unsynced)) if call <= state.calls => {
                Err(io::Error::other("it cannot be synced"))
            }
            _ => Ok(()),
        }
    }

    /// As [`FaultyDisk::whole`], for calls that need room on the disk.
    fn grows(&self) -> io::Result<()> {
        self.call(true).map_err(|(error, _)| error)
    }

    fn note(&self, undo: Undo) {
        self.state.lock().undo.push(undo);
    }

    /// The bytes of a file that a loss of power would leave.
    fn durable(&self, path: &Path) -> Option<Vec<u8>> {
        let mut bytes = fs::read(path).ok()?;
        let inode = fs::metadata(path).ok()?.ino();
        for undo in self.state.lock().undo.iter().rev() {
            if let Undo::Bytes { file, offset, old, len, .. } = undo
                && file.metadata().is_ok_and(|found| found.ino() == inode)
            {
                let from = *offset as usize;
                bytes.resize(bytes.len().max(from + old.len()), 0);
                bytes[from..from + old.len()].copy_from_slice(old);
                bytes.resize(*len as usize, 0);
            }
        }
        Some(bytes)
    }

    fn wrap(&self, path: &Path, existed: bool) -> io::Result<Box<dyn DiskFile>> {
        let file = File::options().read(true).write(true).open(path)?;
        if !existed {
            self.note(Undo::Created(path.to_owned()));
        }
        // A catalogue that lost bytes in this way is found damaged after a crash and is
        // rebuilt from the log of names: settings may be lost.
        let forgets = path.extension().is_none_or(|end| end != "redb");
        Ok(Box::new(FaultyFile { disk: self.clone(), file, forgets }))
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.grows()?;
        RealDisk.create_dir(dir)?;
        self.note(Undo::CreatedDir(dir.to_owned()));
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.grows()?;
        RealDisk.create(path)?;
        self.wrap(path, false)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.whole()?;
        let existed = path.exists();
        RealDisk.open(path)?;
        self.wrap(path, existed)
    }

    fn reader(&self, path: &Path) -> io::Result<File> {
        self.whole()?;
        RealDisk.reader(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.whole()?;
        RealDisk.read(path)
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        self.whole()?;
        RealDisk.size(path)
    }

    fn file_system(&self, path: &Path) -> io::Result<u64> {
        self.whole()?;
        Ok(u64::from(self.state.lock().split && path.ends_with("recent")))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.whole()?;
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole()?;
        let replaced = self.durable(to);
        RealDisk.rename(from, to)?;
        self.note(Undo::Renamed { from: from.to_owned(), to: to.to_owned(), replaced });
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.whole()?;
        if let Some(bytes) = self.durable(path) {
            RealDisk.remove(path)?;
            self.note(Undo::Removed { path: path.to_owned(), bytes });
        }
        Ok(())
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        self.whole()?;
        let space = self.state.lock().space;
        space.map_or_else(|| RealDisk.space(dir), Ok)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.syncing()?;
        self.state.lock().syncs += 1;
        self.state.lock().undo.retain(|undo| match undo {
            Undo::Created(path) | Undo::CreatedDir(path) | Undo::Removed { path, .. } => {
                parent(path) != dir
            }
            Undo::Renamed { to, .. } => parent(to) != dir,
            Undo::Bytes { .. } => true,
        });
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    file: File,
    /// A failed sync loses the bytes that it was for.
    forgets: bool,
}

impl FaultyFile {
    fn note(&self, offset: u64, length: usize) -> io::Result<()> {
        let len = self.file.metadata()?.len();
        let there = len.saturating_sub(offset).min(length as u64);
        let mut old = vec![0; there as usize];
        self.file.read_exact_at(&mut old, offset)?;
        let file = self.file.try_clone()?;
        self.disk.note(Undo::Bytes { file, offset, old, len, lost: false });
        Ok(())
    }
}

impl DiskFile for FaultyFile {
    fn size(&self) -> io::Result<u64> {
        self.disk.whole()?;
        DiskFile::size(&self.file)
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.disk.whole()?;
        DiskFile::read_at(&self.file, offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let grows = offset + bytes.len() as u64 > self.file.metadata()?.len();
        let (bytes, result) = match self.disk.call(grows) {
            Ok(()) => (bytes, Ok(())),
            Err((error, part)) => (part.of(bytes), Err(error)),
        };
        if bytes.is_empty() {
            return result;
        }
        self.note(offset, bytes.len())?;
        DiskFile::write_at(&self.file, offset, bytes)?;
        result
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.file.metadata()?.len();
        self.disk.call(len > now).map_err(|(error, _)| error)?;
        self.note(len.min(now), now.saturating_sub(len) as usize)?;
        File::set_len(&self.file, len)
    }

    fn sync(&self) -> io::Result<()> {
        let result = self.disk.syncing();
        let mut state = self.disk.state.lock();
        state.syncs += u64::from(result.is_ok());
        if result.is_ok() || self.forgets {
            let inode = self.file.metadata()?.ino();
            let mine = |file: &File| file.metadata().is_ok_and(|found| found.ino() == inode);
            state.settle(mine, result.is_ok());
        }
        result
    }

    fn sync_file_system(&self) -> io::Result<()> {
        let result = self.disk.syncing();
        let mut state = self.disk.state.lock();
        if !state.split && result.is_ok() {
            state.settle(|_| true, true);
            state.undo.retain(|undo| matches!(undo, Undo::Bytes { .. }));
        }
        result
    }
}

impl State {
    /// Bytes of these files were synced, or their sync failed.
    fn settle(&mut self, these: impl Fn(&File) -> bool, durable: bool) {
        self.undo.retain_mut(|undo| match undo {
            Undo::Bytes { file, lost, .. } if these(file) => {
                *lost |= !durable && !self.dead;
                *lost || !durable
            }
            _ => true,
        });
    }
}
