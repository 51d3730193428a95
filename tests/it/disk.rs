//! A disk that can be made to fail.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chordal::store::{Disk, DiskFile, RealDisk, Space};
use rustix::io::Errno;

/// What is asked of a disk, apart from reading, which always works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// To change something.
    Change,
    /// To make something durable.
    Sync,
}

/// The error of a call that a disk refuses.
type Refusal = dyn Fn(Call) -> Option<Errno> + Send + Sync;

/// The real disk, which may refuse any call. Clones are the same disk.
#[derive(Clone)]
pub(crate) struct RefusingDisk {
    refuses: Arc<Refusal>,
}

impl RefusingDisk {
    /// A disk that asks at each call whether it refuses.
    pub(crate) fn new(
        refuses: impl Fn(Call) -> Option<Errno> + Send + Sync + 'static,
    ) -> RefusingDisk {
        RefusingDisk { refuses: Arc::new(refuses) }
    }

    fn check(&self, call: Call) -> io::Result<()> {
        (self.refuses)(call).map_or(Ok(()), |error| Err(error.into()))
    }

    fn wrap(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(RefusingFile { disk: self.clone(), file })
    }
}

impl fmt::Debug for RefusingDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusingDisk").finish_non_exhaustive()
    }
}

impl Disk for RefusingDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Call::Change)?;
        RealDisk.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.check(Call::Change)?;
        RealDisk.create(path).map(|file| self.wrap(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.check(Call::Change)?;
        RealDisk.open(path).map(|file| self.wrap(file))
    }

    fn reader(&self, path: &Path) -> io::Result<File> {
        RealDisk.reader(path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        RealDisk.read(path)
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        RealDisk.size(path)
    }

    fn file_system(&self, path: &Path) -> io::Result<u64> {
        RealDisk.file_system(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        RealDisk.list(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.check(Call::Change)?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.check(Call::Change)?;
        RealDisk.remove(path)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        RealDisk.space(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check(Call::Sync)?;
        RealDisk.sync_dir(dir)
    }
}

#[derive(Debug)]
struct RefusingFile {
    disk: RefusingDisk,
    file: Box<dyn DiskFile>,
}

impl DiskFile for RefusingFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk.check(Call::Change)?;
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.check(Call::Change)?;
        self.file.set_len(len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.disk.check(Call::Change)?;
        self.file.reserve(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.check(Call::Sync)?;
        self.file.sync()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        self.disk.check(Call::Sync)?;
        self.file.sync_file_system()
    }
}
