//! The seam between the store and the disk.
//!
//! Everything that the store does to its directory goes through [`Disk`], so
//! that a test can make the disk fail or "lose power" at any single call and
//! look at what is left. [`RealDisk`] adds to the system's calls only that it waits
//! while there is no file descriptor ([`chordal_descriptors`]).

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chordal_descriptors::{FILE_PATIENCE, wait_out};

/// What the store needs of a file system. Calls block.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a directory in an existing one.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes a new file; an existing one is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing; makes an empty one when there is
    /// none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn reader(&self, path: &Path) -> io::Result<File>;
    /// The bytes of a whole (small) file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The bytes of a file or directory entry; `None` when there is none.
    fn size(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Whether it is a file, and no directory or something else.
    fn is_file(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::metadata(path)?.is_file())
    }
    /// Which file system a path lies on: a number that tells it from others.
    fn file_system(&self, path: &Path) -> io::Result<u64>;
    /// What a directory holds, in the order of names.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Moves a file, replacing what is at the new path.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; it is no error when there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// What the file system of a directory has.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// Makes what was created, renamed and removed in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// That this process can still fill.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// A file that is being written.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// Its bytes.
    fn size(&self) -> io::Result<u64>;
    /// Fills `bytes` from this place; an end before that is an error.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at this place.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file, or lengthens it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Sets room aside for a file of so many bytes, where the file system can;
    /// its length stays as it is.
    fn reserve(&self, len: u64) -> io::Result<()> {
        let _ = len;
        Ok(())
    }
    /// Makes its bytes and its length durable.
    fn sync(&self) -> io::Result<()>;
    /// Makes everything durable that was written, created, renamed and removed
    /// on the file system of this file. It fails also when something was lost
    /// there since this file was opened (Linux says so since 5.8), or where the
    /// system has no such call.
    fn sync_file_system(&self) -> io::Result<()>;
}

/// Bytes handed to the system at once. For longer writes Linux takes long runs
/// of memory for its cache, which a virtual machine often has to ask its host
/// for first.
const WRITE_BYTES: usize = 32 * 1024;

/// The disk of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        Ok(Box::new(open(&options, path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        Ok(Box::new(open(&options, path)?))
    }

    fn reader(&self, path: &Path) -> io::Result<File> {
        open(OpenOptions::new().read(true), path)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        wait_out(FILE_PATIENCE, || fs::read(path))
    }

    fn size(&self, path: &Path) -> io::Result<Option<u64>> {
        match fs::metadata(path) {
            Ok(found) => Ok(Some(found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn file_system(&self, path: &Path) -> io::Result<u64> {
        Ok(fs::metadata(path)?.dev())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let entries = list(dir)?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = entries.collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Space { free: bytes(found.f_bavail), total: bytes(found.f_blocks) })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.reader(dir)?.sync_all()
    }
}

/// A file that another owner holds as well, over one descriptor.
impl<F: DiskFile + ?Sized> DiskFile for Arc<F> {
    fn size(&self) -> io::Result<u64> {
        (**self).size()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        (**self).set_len(len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        (**self).reserve(len)
    }

    fn sync(&self) -> io::Result<()> {
        (**self).sync()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        (**self).sync_file_system()
    }
}

impl DiskFile for File {
    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut at = offset;
        for step in bytes.chunks(WRITE_BYTES) {
            self.write_all_at(step, at)?;
            at += step.len() as u64;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        {
            use rustix::fs::{FallocateFlags, fallocate};
            use rustix::io::{Errno, retry_on_intr};
            if len > 0 {
                match retry_on_intr(|| fallocate(self, FallocateFlags::KEEP_SIZE, 0, len)) {
                    // A file system that cannot.
                    Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
                    result => return Ok(result?),
                }
            }
        }
        let _ = len;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        return Ok(rustix::fs::syncfs(self)?);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Opens a file, once there is a descriptor for it.
pub(super) fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    wait_out(FILE_PATIENCE, || options.open(path))
}

/// Lists a directory, once there is a descriptor for that.
pub fn list(dir: &Path) -> io::Result<fs::ReadDir> {
    wait_out(FILE_PATIENCE, || fs::read_dir(dir))
}

/// The directory that holds a path; the working directory for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Makes a directory and the missing ones above it, durably.
pub(super) fn create_dirs(disk: &dyn Disk, dir: &Path) -> io::Result<()> {
    if disk.size(dir)?.is_some() {
        return Ok(());
    }
    create_dirs(disk, parent(dir))?;
    match disk.create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    disk.sync_dir(parent(dir))
}
