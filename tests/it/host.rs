//! A node in the program of the tests: the whole of `chordal`, on a disk that can
//! be made to fail and with a clock that can be wrong.
//!
//! The test program starts itself again ([`command`]) and runs the one "test"
//! [`node`], which hands the words on to the command line. So such a node is a
//! process of its own, which is killed, stopped and ended like any other.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;

use chordal::engine::Config;
use chordal::store::{Disk, DiskFile, RealDisk, Space};

use crate::process::program;

/// While a file of this name stands in the node's home, no sync of its disk works.
pub(crate) const DISK_FAILS: &str = "disk-fails";

/// The words of the command line, each but the last with a [`SEPARATOR`] behind it.
const WORDS: &str = "CHORDAL_TEST_NODE_WORDS";
const SEPARATOR: char = '\u{1f}';

/// The home of the node.
const HOME: &str = "CHORDAL_TEST_NODE_HOME";

/// Seconds that its clock is fast.
const CLOCK: &str = "CHORDAL_TEST_NODE_CLOCK";

/// The program of the tests as a node with these words.
pub(crate) fn command(words: &[String], home: &Path, clock_s: i64) -> Command {
    let path = std::env::current_exe().expect("this program has a path");
    let mut command = program(path);
    command
        .args(["host::node", "--exact", "--ignored", "--nocapture"])
        .env(WORDS, words.join(&SEPARATOR.to_string()))
        .env(HOME, home)
        .env(CLOCK, clock_s.to_string())
        .stdin(Stdio::null());
    command
}

#[test]
#[ignore = "a node that other tests start"]
fn node() {
    let Ok(words) = std::env::var(WORDS) else { return };
    let words = std::iter::once("chordal").chain(words.split(SEPARATOR)).map(Into::into);
    let ended = chordal::cli::main_with(words.collect(), adjust);
    std::process::exit(i32::from(ended != ExitCode::SUCCESS));
}

fn adjust(config: &mut Config) {
    let home = std::env::var_os(HOME).expect("a hosted node has a home");
    config.disk = Arc::new(MarkedDisk { mark: Path::new(&home).join(DISK_FAILS) });
    let ahead = std::env::var(CLOCK).ok().and_then(|ahead| ahead.parse().ok());
    config.clock_ahead_s = ahead.expect("a hosted node has a clock");
}

/// A real disk, none of whose syncs work while a mark stands.
#[derive(Clone, Debug)]
struct MarkedDisk {
    mark: PathBuf,
}

impl MarkedDisk {
    /// What a broken disk says.
    fn check(&self) -> io::Result<()> {
        if self.mark.exists() {
            return Err(io::Error::from_raw_os_error(rustix::io::Errno::IO.raw_os_error()));
        }
        Ok(())
    }

    fn file(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(MarkedFile { disk: self.clone(), file })
    }
}

impl Disk for MarkedDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.create(path).map(|file| self.file(file))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        RealDisk.open(path).map(|file| self.file(file))
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
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn space(&self, dir: &Path) -> io::Result<Space> {
        RealDisk.space(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.check()?;
        RealDisk.sync_dir(dir)
    }
}

#[derive(Debug)]
struct MarkedFile {
    disk: MarkedDisk,
    file: Box<dyn DiskFile>,
}

impl DiskFile for MarkedFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn reserve(&self, len: u64) -> io::Result<()> {
        self.file.reserve(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.check()?;
        self.file.sync()
    }

    fn sync_file_system(&self) -> io::Result<()> {
        self.disk.check()?;
        self.file.sync_file_system()
    }
}

#[test]
fn the_disk_of_a_hosted_node_fails_while_it_is_told_to() {
    use crate::process::{NodeProcess, Program, describe, free_address, with_sky_ship};

    let hosted = Program::Hosted { clock_s: 0 };
    let mut node = NodeProcess::start_as(hosted, free_address(), &[]);
    let (_dir, picture) = with_sky_ship();
    let put = ["put", crate::process::text(&picture)];
    node.set_disk_fails(true);
    let refused = node.attempt(&put);
    assert!(!refused.status.success(), "{}", describe(&refused));
    node.set_disk_fails(false);
    node.kill();
    node.restart(&[]);
    node.run(&put);
    node.terminate();
    assert!(node.ended().success());
}
