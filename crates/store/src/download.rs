//! A download into a user's directory.
//!
//! The bytes are written to a hidden file beside their target (`.NAME.part`, with its map
//! `.NAME.part.map`; for a content of one piece `.NAME.chordal-part`), so that the end is a
//! rename within one directory. An existing file is never overwritten: if the name is
//! taken, the file gets a number, `name (1).ext`.
//!
//! A download holds a lock on its hidden file. An unlocked one was left by a process that
//! was killed, or by a download whose sources all failed: a later download of the same
//! content to the same place resumes it. A hidden file of another content stays as it is,
//! and the download takes the next number, until it is known that no peer has that content
//! any more ([`Place::clear`]). The hidden file of a content of one piece cannot be resumed
//! and is replaced.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::ops::ControlFlow;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{self, RealDisk};
use super::error::{IncomingError, StoreError, on};
use super::open_regular;
use super::partial::{self, Claim, Partial};
use chordal_core::name::{FileName, MAX_COMPONENT_BYTES, first_bytes, in_form_c};
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::{Manifest, PieceIndex};
use chordal_core::transfer::pieces::PieceSet;
use chordal_descriptors::is_shortage;

/// Numbers that are tried for a free name: more files of one name in one directory are not
/// an accident.
const MAX_VARIANTS: u32 = 9_999;

/// Where a download is written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Below this directory, under the file's full name; missing directories are made.
    Below(PathBuf),
    /// To this path, if it is free.
    At(PathBuf),
}

impl Place {
    /// The meaning of a path that a user typed: an existing directory, or a path that ends
    /// with a separator, stands for the directory.
    pub fn of(path: &Path) -> Place {
        let ends_open = path.as_os_str().as_encoded_bytes().ends_with(b"/");
        if ends_open || path.is_dir() {
            Place::Below(path.to_owned())
        } else {
            Place::At(path.to_owned())
        }
    }

    /// The path at which a file of this name is wanted. A directory that exists in another
    /// Unicode form of its name is used.
    pub fn target(&self, name: &FileName) -> PathBuf {
        let dir = match self {
            Place::Below(dir) => dir,
            Place::At(path) => return path.clone(),
        };
        let (above, last) = name.as_str().rsplit_once('/').unwrap_or(("", name.as_str()));
        let mut path = dir.clone();
        for part in above.split('/').filter(|part| !part.is_empty()) {
            path = twin(&path, part).unwrap_or_else(|| path.join(part));
        }
        path.join(last)
    }

    /// The existing file in the target directory whose name is another Unicode form of this
    /// one: a user could not tell the two apart.
    pub fn twin(&self, name: &FileName) -> Option<PathBuf> {
        match self {
            Place::Below(_) => twin(disk::parent(&self.target(name)), name.last()),
            Place::At(_) => None,
        }
    }

    /// Removes the unfinished downloads of this name whose contents no peer has any more.
    /// Downloads that are running, and files of another name or of unknown origin, are left
    /// alone.
    pub fn clear(&self, name: &FileName, is_gone: impl Fn(&ContentHash) -> bool) {
        let target = self.target(name);
        for number in 0..=MAX_VARIANTS {
            let [part, small] = [true, false].map(|many| hidden(&target, number, many));
            let map = partial::map_path(&part);
            let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
            let (has_part, has_small) = (is_there(&part) || is_there(&map), is_there(&small));
            if !has_part && !has_small {
                return;
            }
            let gone = |mapped: &partial::Mapped| {
                mapped.name.as_ref() == Some(name) && is_gone(&mapped.root)
            };
            if has_part && partial::mapped(&RealDisk, &part).as_ref().is_some_and(gone) {
                remove_unless_held(&part, &[&part, &map]);
            }
            if has_small {
                remove_unless_held(&small, &[&small]);
            }
        }
    }
}

/// Removes files of an unfinished download, unless a running one holds a lock on the first.
fn remove_unless_held(held: &Path, all: &[&Path]) {
    if let Ok(Some((file, _))) = hold(held) {
        // A file that cannot be removed is found again the next time.
        all.iter().for_each(|path| drop(fs::remove_file(path)));
        let _ = file.unlock();
    }
}

/// Whether a file is an unfinished download or its map.
pub fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let marked = |map: &Path| {
        let mut mark = [0; partial::MAP_MARK.len()];
        let read = open_regular(map).and_then(|mut file| file.read_exact(&mut mark));
        read.is_ok() && mark == *partial::MAP_MARK
    };
    match name {
        [b'.', rest @ ..] if rest.ends_with(SMALL_TAIL.as_bytes()) => true,
        [b'.', rest @ ..] if rest.ends_with(b".part.map") => marked(path),
        [b'.', rest @ ..] if rest.ends_with(PART_TAIL.as_bytes()) => {
            marked(&partial::map_path(path))
        }
        _ => false,
    }
}

/// The endings of hidden files: for contents of several pieces, which have a map as well,
/// and for contents of one piece.
const PART_TAIL: &str = ".part";
const SMALL_TAIL: &str = ".chordal-part";

/// The hidden file of a download to this target; `many` is true for a content of several
/// pieces.
fn hidden(target: &Path, number: u32, many: bool) -> PathBuf {
    let (stem, extension) = split(target);
    let end = if many { PART_TAIL } else { SMALL_TAIL };
    let tail = format!("{extension}{}{end}", numbered(number));
    // Leaves room for the name of its map.
    disk::parent(target).join(fit(&format!(".{stem}"), &tail, MAP_TAIL_BYTES))
}

/// The entry of a directory whose name is another Unicode form of this one, if there is no
/// entry with exactly this name.
fn twin(dir: &Path, name: &str) -> Option<PathBuf> {
    if name.is_ascii() || dir.join(name).symlink_metadata().is_ok() {
        return None;
    }
    let mut entries = disk::list(dir).ok()?.filter_map(Result::ok);
    let same = |entry: &fs::DirEntry| {
        entry.file_name().to_str().is_some_and(|other| other != name && in_form_c(other) == name)
    };
    entries.find(same).map(|entry| entry.path())
}

/// A running download. If it is dropped before [`Download::finish`], the pieces that came
/// are kept for the next attempt, unless the disk failed or [`Download::discard`] was
/// called.
#[derive(Debug)]
pub struct Download {
    partial: Arc<Partial>,
    target: PathBuf,
    /// The hidden file, locked.
    lock: Arc<File>,
}

impl Download {
    /// Makes the hidden file beside the target, or resumes the one that an earlier download
    /// of this content left.
    pub fn begin(
        manifest: Manifest,
        place: &Place,
        name: &FileName,
    ) -> Result<Download, StoreError> {
        Download::resume(manifest, place, name, |_| ControlFlow::Continue(()))
    }

    /// As [`Download::begin`]; `step` is called with the number of bytes of an earlier
    /// attempt as they are verified. It may stop that: the pieces that were not verified
    /// yet are downloaded again.
    pub fn resume(
        manifest: Manifest,
        place: &Place,
        name: &FileName,
        mut step: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Download, StoreError> {
        let target = place.target(name);
        let dir = disk::parent(&target);
        fs::create_dir_all(dir).map_err(on("create", dir))?;
        for number in 0..=MAX_VARIANTS {
            let path = hidden(&target, number, manifest.count() > 1);
            let Some((file, fresh)) = hold(&path)? else { continue };
            let file = Arc::new(file);
            let Some(partial) = open(&file, fresh, path, &manifest)? else { continue };
            partial.sign(name);
            let download = Download { partial: Arc::new(partial), target, lock: file };
            download.partial.look(&mut step);
            if manifest.count() > 1
                && let Err(error) = download.partial.reserve()
            {
                download.discard();
                return Err(error);
            }
            return Ok(download);
        }
        Err(StoreError::NoFreeName { path: target })
    }

    /// Verifies a piece and writes it. Pieces may come in any order and from several
    /// threads.
    pub fn write(&self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        self.partial.write(index, bytes).inspect_err(|error| {
            if matches!(error, IncomingError::Disk(_)) {
                // If the disk is full, the partial download does not stay on it.
                self.partial.spoil();
            }
        })
    }

    /// How many pieces are not here yet.
    pub fn missing(&self) -> usize {
        self.partial.missing()
    }

    /// The pieces that are here.
    pub fn here(&self) -> PieceSet {
        self.partial.here()
    }

    /// The manifest of the content.
    pub fn manifest(&self) -> &Manifest {
        self.partial.manifest()
    }

    /// Access to its pieces, for another consumer of the same content.
    ///
    /// # Errors
    /// The disk's.
    pub fn pieces(&self) -> Result<Pieces, StoreError> {
        Ok(Pieces { file: self.partial.reader()?, partial: Arc::clone(&self.partial) })
    }

    /// Whether the pieces are kept for another download when this one is dropped.
    pub fn is_kept(&self) -> bool {
        self.partial.is_worth_keeping()
    }

    /// Gives the complete file its name, or the next free one, and returns its path. After
    /// a failure nothing is left.
    ///
    /// It is not fsynced, as with other tools that fetch or copy files: waiting for the
    /// disk would about double the time, and if the system fails within the next seconds,
    /// the ring still has the content, durably.
    pub fn finish(self) -> Result<PathBuf, StoreError> {
        let placed = self.place();
        match &placed {
            Ok(_) => self.partial.moved(),
            Err(_) => self.partial.spoil(),
        }
        placed
    }

    /// Cancels the download and removes its files; directories that it made stay.
    pub fn discard(self) {
        self.partial.spoil();
    }

    fn place(&self) -> Result<PathBuf, StoreError> {
        self.partial.complete()?;
        let dir = disk::parent(&self.target);
        let (stem, extension) = split(&self.target);
        for number in 0..=MAX_VARIANTS {
            let path = match number {
                0 => self.target.clone(),
                _ => dir.join(fit(&stem, &format!("{}{extension}", numbered(number)), 0)),
            };
            match rename_to_free(self.partial.path(), &path) {
                Ok(()) => return Ok(path),
                Err(why) if taken(&why) => {}
                Err(why) => return Err(on("move a download to", &path)(why)),
            }
        }
        Err(StoreError::NoFreeName { path: self.target.clone() })
    }
}

/// The pieces of a download as they arrive. They stay readable after it has ended.
#[derive(Debug)]
pub struct Pieces {
    partial: Arc<Partial>,
    file: File,
}

impl Pieces {
    /// The manifest of the content.
    pub fn manifest(&self) -> &Manifest {
        self.partial.manifest()
    }

    /// The pieces that are here.
    pub fn here(&self) -> PieceSet {
        self.partial.here()
    }

    /// Waits until more than `than` pieces are here, for at most this long.
    pub fn wait_for_more(&self, than: usize, at_most: Duration) {
        self.partial.wait_until(at_most, |here| here.len() > than);
    }

    /// The file. The bytes of pieces that are here are right as long as no other process
    /// writes to it.
    pub fn file(&self) -> &File {
        &self.file
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.partial.is_moved() && !self.partial.is_worth_keeping() {
            // While it is still locked, so that no other download resumes it meanwhile.
            self.partial.remove();
        }
        // Closing it would not be enough: a child process that is just being started has
        // inherited the descriptor, until it executes its own program.
        let _ = self.lock.unlock();
    }
}

/// Length of the ending that the name of a map adds.
const MAP_TAIL_BYTES: usize = ".map".len();

/// How often a hidden file that disappeared meanwhile is opened again.
const MAX_TRIES: usize = 8;

/// Opens the hidden file at a path, or makes it, and locks it; returns whether it was made.
/// `None` if another process has it locked, or if it cannot be one of this program's.
fn hold(path: &Path) -> Result<Option<(File, bool)>, StoreError> {
    for _ in 0..MAX_TRIES {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true).create_new(true);
        let (file, fresh) = match disk::open(&options, path) {
            Ok(file) => (file, true),
            Err(why) if taken(&why) => {
                // Only a regular file can have been made here; opening a pipe would block
                // without end.
                match fs::symlink_metadata(path) {
                    Ok(found) if found.is_file() => {}
                    Ok(_) => return Ok(None),
                    Err(_) => continue,
                }
                match disk::open(fs::OpenOptions::new().read(true).write(true), path) {
                    Ok(file) => (file, false),
                    Err(why) if why.kind() == io::ErrorKind::NotFound => continue,
                    Err(why) if is_shortage(&why) => return Err(on("open", path)(why)),
                    // It may belong to another user.
                    Err(_) => return Ok(None),
                }
            }
            Err(why) => return Err(on("create", path)(why)),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // A file system without locks: an existing file may be in use.
            Err(TryLockError::Error(_)) if fresh => {}
            Err(TryLockError::Error(_)) => return Ok(None),
        }
        // The previous owner may have moved or removed the file before it released the
        // lock.
        let same =
            |at: &fs::Metadata, of: &fs::Metadata| (at.dev(), at.ino()) == (of.dev(), of.ino());
        if let (Ok(at), Ok(of)) = (fs::symlink_metadata(path), file.metadata())
            && same(&at, &of)
        {
            return Ok(Some((file, fresh)));
        }
    }
    Ok(None)
}

/// The partial file of a content in a hidden file that is locked; `None` when the file may
/// belong to something else.
fn open(
    file: &Arc<File>,
    fresh: bool,
    path: PathBuf,
    manifest: &Manifest,
) -> Result<Option<Partial>, StoreError> {
    let disk = Arc::new(RealDisk);
    let shared = || Box::new(Arc::clone(file));
    if fresh {
        // A file at the map's path may be something else.
        let free = manifest.count() <= 1
            || partial::claim(&*disk, &path, manifest).is_ok_and(|claim| claim != Claim::Other);
        let begun = if free {
            Partial::begin(disk, shared(), path.clone(), manifest.clone()).map(Some)
        } else {
            Ok(None)
        };
        if !matches!(begun, Ok(Some(_))) {
            // It was made a moment ago.
            let _ = fs::remove_file(&path);
        }
        return begun;
    }
    if manifest.count() <= 1 {
        // The process that made it was killed before the file got its name.
        file.set_len(0).map_err(on("empty", &path))?;
        return Partial::begin(disk, shared(), path, manifest.clone()).map(Some);
    }
    let empty = file.metadata().is_ok_and(|found| found.len() == 0);
    match partial::claim(&*disk, &path, manifest)? {
        Claim::Pieces(claimed) => {
            Partial::resume(disk, shared(), path, manifest.clone(), claimed).map(Some)
        }
        // The process that made it was killed before the first byte.
        Claim::None if empty => Partial::begin(disk, shared(), path, manifest.clone()).map(Some),
        Claim::None | Claim::Other => Ok(None),
    }
}

fn taken(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AlreadyExists
}

fn numbered(number: u32) -> String {
    if number == 0 { String::new() } else { format!(" ({number})") }
}

/// The last component of a path as stem and extension (with its dot). Bytes that are not
/// Unicode are replaced: the result only serves to make another name.
fn split(path: &Path) -> (String, String) {
    let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().display().to_string();
    let extension = path.extension().map(|end| format!(".{}", end.display())).unwrap_or_default();
    (text(path.file_stem()), extension)
}

/// `stem` + `tail`, with the stem cut so that both fit into one path component and leave this many bytes of it free.
fn fit(stem: &str, tail: &str, leave: usize) -> String {
    let room = MAX_COMPONENT_BYTES.saturating_sub(tail.len() + leave);
    format!("{}{tail}", first_bytes(stem, room))
}

/// Renames a file to a path that must be free; an existing file there is an error and stays
/// as it is.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // The kernel or the file system does not know the flag.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
            result => return Ok(result?),
        }
    }
    reserve_and_rename(from, to)
}

/// Without that system call: makes an empty file with the name, which only one process can,
/// and replaces it by the real one.
fn reserve_and_rename(from: &Path, to: &Path) -> io::Result<()> {
    disk::open(fs::OpenOptions::new().write(true).create_new(true), to)?;
    fs::rename(from, to).inspect_err(|_| {
        // It is the empty file that was made above.
        let _ = fs::remove_file(to);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Disk;
    use chordal_core::transfer::manifest::{MIN_PIECE_BYTES, ManifestBuilder};
    use tempfile::TempDir;

    const CONTENT: &[u8] = b"the sky ship";

    fn manifest() -> Manifest {
        let mut builder = ManifestBuilder::new(CONTENT.len() as u64);
        builder.update(CONTENT);
        builder.finish().unwrap()
    }

    fn begin(place: &Place, name: &str) -> Download {
        Download::begin(manifest(), place, &FileName::new(name).unwrap()).unwrap()
    }

    fn download(place: &Place, name: &str) -> PathBuf {
        let download = begin(place, name);
        download.write(PieceIndex(0), CONTENT).unwrap();
        download.finish().unwrap()
    }

    fn listing(dir: &Path) -> Vec<String> {
        let paths = RealDisk.list(dir).unwrap();
        paths.iter().map(|path| path.file_name().unwrap().display().to_string()).collect()
    }

    #[test]
    fn nothing_is_ever_overwritten() {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("a.tar.gz"), b"mine").unwrap();
        fs::create_dir(dir.path().join("a.tar (1).gz")).unwrap();
        let place = Place::of(dir.path());
        assert_eq!(download(&place, "a.tar.gz"), dir.path().join("a.tar (2).gz"));
        assert_eq!(fs::read(dir.path().join("a.tar.gz")).unwrap(), b"mine");
        assert_eq!(fs::read(dir.path().join("a.tar (2).gz")).unwrap(), CONTENT);
        assert_eq!(listing(dir.path()), ["a.tar (1).gz", "a.tar (2).gz", "a.tar.gz"]);
    }

    #[test]
    fn without_the_systems_help_nothing_is_overwritten_either() {
        let dir = TempDir::new().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, b"new").unwrap();
        fs::write(&to, b"old").unwrap();
        assert!(taken(&reserve_and_rename(&from, &to).unwrap_err()));
        assert_eq!(fs::read(&to).unwrap(), b"old");
        fs::remove_file(&to).unwrap();
        reserve_and_rename(&from, &to).unwrap();
        assert_eq!(listing(dir.path()), ["to"]);
        assert!(reserve_and_rename(&from, &dir.path().join("other")).is_err());
        assert_eq!(listing(dir.path()), ["to"], "no empty file stays");
    }

    /// Three pieces.
    fn large() -> Vec<u8> {
        (0..2 * MIN_PIECE_BYTES + 9).map(|at| (at % 249) as u8).collect()
    }

    fn manifest_of(content: &[u8]) -> Manifest {
        let mut builder = ManifestBuilder::new(content.len() as u64);
        builder.update(content);
        builder.finish().unwrap()
    }

    fn begin_large(dir: &Path, content: &[u8]) -> Download {
        let name = FileName::new("film").unwrap();
        Download::begin(manifest_of(content), &Place::of(dir), &name).unwrap()
    }

    fn bring(download: &Download, content: &[u8], pieces: &[u32]) {
        for index in pieces.iter().copied().map(PieceIndex) {
            let from = download.manifest().offset_of(index) as usize;
            let to = from + download.manifest().len_of(index) as usize;
            download.write(index, &content[from..to]).unwrap();
        }
    }

    #[test]
    fn two_downloads_of_one_name_get_two_files() {
        let dir = TempDir::new().unwrap();
        let place = Place::of(dir.path());
        let one = begin(&place, ".hidden");
        let two = begin(&place, ".hidden");
        let hidden = ["..hidden (1).chordal-part", "..hidden.chordal-part"];
        assert_eq!(listing(dir.path()), hidden);
        for download in [&one, &two] {
            download.write(PieceIndex(0), CONTENT).unwrap();
        }
        two.finish().unwrap();
        one.finish().unwrap();
        assert_eq!(listing(dir.path()), [".hidden", ".hidden (1)"]);
    }

    #[test]
    fn a_download_that_was_broken_off_goes_on_where_it_was() {
        let dir = TempDir::new().unwrap();
        let download = begin_large(dir.path(), &large());
        bring(&download, &large(), &[0, 2]);
        // Two never share a file, and the second one finds nothing to go on with.
        let second = begin_large(dir.path(), &large());
        assert_eq!((download.missing(), second.missing()), (1, 3));
        drop((download, second));
        assert_eq!(listing(dir.path()), [".film.part", ".film.part.map"]);
        let download = begin_large(dir.path(), &large());
        assert_eq!(download.here().iter().collect::<Vec<_>>(), [PieceIndex(0), PieceIndex(2)]);
        bring(&download, &large(), &[1]);
        assert_eq!(download.finish().unwrap(), dir.path().join("film"));
        assert_eq!(listing(dir.path()), ["film"]);
        assert!(fs::read(dir.path().join("film")).unwrap() == large());
    }

    #[test]
    fn a_child_that_is_just_being_started_keeps_nobody_from_going_on() {
        let dir = TempDir::new().unwrap();
        let download = begin_large(dir.path(), &large());
        bring(&download, &large(), &[0]);
        // What such a child has of it.
        let inherited = download.lock.try_clone().unwrap();
        drop(download);
        assert_eq!(begin_large(dir.path(), &large()).missing(), 2);
        drop(inherited);
    }

    #[test]
    fn another_content_or_somebody_elses_file_is_left_alone() {
        let dir = TempDir::new().unwrap();
        let other = vec![1; large().len()];
        let download = begin_large(dir.path(), &other);
        bring(&download, &other, &[1]);
        drop(download);
        fs::write(dir.path().join(".film (1).part"), b"mine").unwrap();
        fs::write(dir.path().join(".film (2).part.map"), b"mine, too").unwrap();
        fs::create_dir(dir.path().join(".film (3).part")).unwrap();
        let download = begin_large(dir.path(), &large());
        assert_eq!(download.missing(), 3);
        assert!(dir.path().join(".film (4).part").exists());
        bring(&download, &large(), &[0, 1, 2]);
        download.finish().unwrap();
        assert_eq!(fs::read(dir.path().join(".film (1).part")).unwrap(), b"mine");
        assert_eq!(fs::read(dir.path().join(".film (2).part.map")).unwrap(), b"mine, too");
        assert!(!dir.path().join(".film (2).part").exists());
        assert_eq!(begin_large(dir.path(), &other).missing(), 2, "it is still there");
    }

    #[test]
    fn what_is_left_of_a_content_that_is_gone_makes_way_and_nothing_else_does() {
        let dir = TempDir::new().unwrap();
        let place = Place::of(dir.path());
        let name = FileName::new("film").unwrap();
        let other = vec![1; large().len()];
        let left = |content: &[u8]| {
            let download = begin_large(dir.path(), content);
            bring(&download, content, &[1]);
            download
        };
        drop(left(&other));
        // Of a name that another one's number makes.
        let numbered = FileName::new("film (1)").unwrap();
        let download = Download::begin(manifest_of(&other), &place, &numbered).unwrap();
        bring(&download, &other, &[0]);
        drop(download);
        fs::write(dir.path().join(".film (2).part"), b"mine").unwrap();
        fs::write(dir.path().join(".film (2).chordal-part"), b"left").unwrap();
        assert!(is_unfinished(&dir.path().join(".film.part")));
        assert!(is_unfinished(&dir.path().join(".film.part.map")));
        assert!(is_unfinished(&dir.path().join(".film (2).chordal-part")));
        assert!(!is_unfinished(&dir.path().join(".film (2).part")), "it is somebody's own");
        let all = listing(dir.path());
        let root = manifest_of(&other).root();
        let held = left(&other);
        place.clear(&name, |gone| *gone == root);
        assert_eq!(listing(dir.path()).len(), all.len() - 1, "it is under way: {all:?}");
        drop(held);
        place.clear(&name, |gone| *gone != root);
        assert!(dir.path().join(".film.part").exists(), "somebody has it");
        place.clear(&name, |gone| *gone == root);
        let left = [".film (1).part", ".film (1).part.map", ".film (2).part"];
        assert_eq!(listing(dir.path()), left);
    }

    #[test]
    fn what_nobody_wants_any_more_leaves_nothing_behind() {
        let dir = TempDir::new().unwrap();
        let download = begin_large(dir.path(), &large());
        bring(&download, &large(), &[0, 1, 2]);
        download.discard();
        assert_eq!(listing(dir.path()), Vec::<String>::new());
        // Where it cannot have a name, nothing stays either.
        let name = FileName::new("film").unwrap();
        let place = Place::Below(dir.path().join("gone"));
        let download = Download::begin(manifest_of(&large()), &place, &name).unwrap();
        bring(&download, &large(), &[0, 1, 2]);
        fs::remove_dir_all(dir.path().join("gone")).unwrap();
        assert!(download.finish().is_err());
        assert_eq!(listing(dir.path()), Vec::<String>::new());
    }

    #[test]
    fn a_dropped_or_incomplete_download_of_one_piece_leaves_no_file() {
        let dir = TempDir::new().unwrap();
        let place = Place::Below(dir.path().join("sub"));
        drop(begin(&place, "a/b/c.txt"));
        assert!(matches!(
            begin(&place, "a/b/c.txt").finish(),
            Err(StoreError::Incomplete { missing: 1, .. })
        ));
        assert!(listing(&dir.path().join("sub/a/b")).is_empty());
        // One that was killed while it was written is in nobody's way.
        fs::write(dir.path().join("sub/a/b/.c.txt.chordal-part"), [7; 99]).unwrap();
        assert_eq!(download(&place, "a/b/c.txt"), dir.path().join("sub/a/b/c.txt"));
        assert_eq!(listing(&dir.path().join("sub/a/b")), ["c.txt"]);
    }

    #[test]
    fn a_path_that_is_no_directory_is_the_files_own() {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("own.bin");
        assert_eq!(Place::of(&path), Place::At(path.clone()));
        assert_eq!(download(&Place::At(path.clone()), "ignored"), path);
        let below = dir.path().join("new/");
        assert_eq!(Place::of(&below), Place::Below(below.clone()));
    }

    #[test]
    fn the_longest_name_still_gets_its_hidden_file_and_its_number() {
        let dir = TempDir::new().unwrap();
        let name = format!("{}.txt", "é".repeat(125));
        let place = Place::of(dir.path());
        assert_eq!(download(&place, &name), dir.path().join(&name));
        let second = download(&place, &name);
        assert!(second.to_str().unwrap().ends_with("é (1).txt"), "{}", second.display());
    }

    #[test]
    fn a_name_in_another_unicode_form_is_found_and_its_directory_is_used() {
        let dir = TempDir::new().unwrap();
        let place = Place::Below(dir.path().to_owned());
        let name = FileName::new("caf\u{e9}/th\u{e9}").unwrap();
        assert_eq!(place.target(&name), dir.path().join("caf\u{e9}/th\u{e9}"));
        assert_eq!(place.twin(&name), None);
        let other = dir.path().join("cafe\u{301}");
        fs::create_dir(&other).unwrap();
        assert_eq!(place.target(&name), other.join("th\u{e9}"));
        fs::write(other.join("the\u{301}"), b"1").unwrap();
        assert_eq!(place.twin(&name), Some(other.join("the\u{301}")));
        fs::write(other.join("th\u{e9}"), b"1").unwrap();
        assert_eq!(place.twin(&name), None, "both are there already");
    }
}
