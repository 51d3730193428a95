//! redb's file on the store's disk.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, StorageBackend};

use super::disk::{Disk, DiskFile};
use super::error::StoreError;

/// Bytes of redb's page cache: the catalogue of ten thousand files fits, and a
/// node at rest stays small (the budget is 15 MiB with its dashboard).
const CACHE_BYTES: usize = 4 * 1024 * 1024;

/// Why a catalogue cannot be opened.
pub(super) enum Unopened {
    /// Its bytes are no catalogue: set it aside.
    Damaged(String),
    /// The disk failed: the bytes may be good.
    Failed(StoreError),
}

/// Opens redb's file; makes it when it is not there.
pub(super) fn database(disk: &dyn Disk, path: &Path) -> Result<Database, redb::Error> {
    let file = Backend(disk.open(path)?);
    Ok(Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(file)?)
}

/// What an error of redb says about the file.
pub(super) fn unopened(path: &Path, why: redb::Error) -> Unopened {
    match why {
        redb::Error::Corrupted(why) => Unopened::Damaged(why),
        redb::Error::UpgradeRequired(version) => {
            Unopened::Damaged(format!("it has the unknown format {version}"))
        }
        // redb reports a file of another format as this error.
        redb::Error::Io(why)
            if matches!(
                why.kind(),
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof
            ) =>
        {
            Unopened::Damaged(why.to_string())
        }
        why => {
            Unopened::Failed(StoreError::Catalogue { path: path.to_owned(), why: Arc::new(why) })
        }
    }
}

/// redb's file on the store's disk, so that tests can make it fail too.
#[derive(Debug)]
struct Backend(Box<dyn DiskFile>);

impl StorageBackend for Backend {
    fn len(&self) -> std::io::Result<u64> {
        self.0.size()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.0.write_at(offset, data)
    }
}
