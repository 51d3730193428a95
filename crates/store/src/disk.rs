//! The seam between the store and the disk.
//!
//! Every change that the store makes to its directory goes through [`Disk`], so that a test
//! can make the disk fail or "lose power" at any single call and look at the result.
//! [`RealDisk`] adds one thing to the system's calls: it waits while no file descriptor is
//! free ([`chordal_descriptors`]).

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
    /// Makes a new file; fails if it exists.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading and writing; makes an empty one if it does not exist.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for reading.
    fn reader(&self, path: &Path) -> io::Result<File>;
    /// The bytes of a whole (small) file.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// The bytes of a file or directory entry; `None` when there is none.
    fn size(&self, path: &Path) -> io::Result<Option<u64>>;
    /// Whether the path is a regular file.
    fn is_file(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::metadata(path)?.is_file())
    }
    /// The file system that a path is on: a number that is different for each.
    fn file_system(&self, path: &Path) -> io::Result<u64>;
    /// What a directory holds, in the order of names.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
    /// Moves a file, replacing what is at the new path.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file; succeeds if there is none.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The total and free bytes of a directory's file system.
    fn space(&self, dir: &Path) -> io::Result<Space>;
    /// Makes what was created, renamed and removed in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// The size of a file system in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process can still write.
    pub free: u64,
    /// All bytes.
    pub total: u64,
}

/// A file that is being written.
pub trait DiskFile: fmt::Debug + Send + Sync {
    /// The length of the file in bytes.
    fn size(&self) -> io::Result<u64>;
    /// Fills `bytes` from this offset; an earlier end of the file is an error.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// Writes all of `bytes` at this offset.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Truncates the file, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// Reserves room for so many bytes where the file system can; the length of the file
    /// does not change.
    fn reserve(&self, len: u64) -> io::Result<()> {
        let _ = len;
        Ok(())
    }
    /// Makes the file's bytes and length durable.
    fn sync(&self) -> io::Result<()>;
    /// Makes everything durable that was written, created, renamed and removed on this
    /// file's file system. Also fails when data was lost there since this file was opened
    /// (Linux reports that since 5.8), or where the system has no such call.
    fn sync_file_system(&self) -> io::Result<()>;
}

/// Bytes per write call. For longer writes Linux allocates long runs of memory for its
/// cache, which a virtual machine often has to request from its host first.
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

/// A file that is shared with another owner through one descriptor.
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
                    // The file system does not support it.
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

/// Opens a file, after waiting for a free descriptor.
pub(super) fn open(options: &OpenOptions, path: &Path) -> io::Result<File> {
    wait_out(FILE_PATIENCE, || options.open(path))
}

/// Lists a directory, after waiting for a free descriptor.
pub fn list(dir: &Path) -> io::Result<fs::ReadDir> {
    wait_out(FILE_PATIENCE, || fs::read_dir(dir))
}

/// The directory that contains a path; the working directory for a bare name.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

/// Makes a directory and its missing parents, durably.
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
