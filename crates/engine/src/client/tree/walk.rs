//! The files below a local directory, one after the other, with the names that
//! they get on the ring. Nothing is kept but the listings of the directories
//! that are open.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use chordal_core::name::{FileName, MAX_COMPONENTS, in_form_c, spelled};
use chordal_store::{is_unfinished, list};

/// What lies below a directory.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A regular file.
    File {
        /// Where it lies.
        path: PathBuf,
        /// Its name on the ring.
        name: FileName,
        /// Its bytes, at the moment.
        size: u64,
    },
    /// Something that cannot be stored, and why.
    Bad(PathBuf, String),
    /// Something that is not stored, and what it is.
    Skipped(PathBuf, &'static str),
}

/// Visits all that lies below a directory, in the order of names within each
/// one, until `visit` breaks off. Links are not followed. `base` is what the
/// names begin with.
///
/// Files whose names are one name on the ring, because they differ in Unicode
/// normalisation alone, are all of them bad: none may take the place of another.
pub(super) fn walk(
    root: &Path,
    base: &str,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> ControlFlow<()> {
    walk_together(&[root.to_owned()], base, visit)
}

/// Visits what lies below several directories that are one on the ring.
fn walk_together(
    roots: &[PathBuf],
    base: &str,
    visit: &mut dyn FnMut(Entry) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut entries = Vec::new();
    for root in roots {
        match listing(root) {
            Ok(listed) => entries.extend(listed),
            Err(error) => visit(Entry::Bad(root.clone(), unreadable(&error)))?,
        }
    }
    for group in grouped(entries) {
        let mut directories = Vec::new();
        let mut below = String::new();
        let mut others = Vec::new();
        for (path, error) in group {
            match error {
                Some(error) => others.push(Entry::Bad(path, unreadable(&error))),
                None => match look(path, base) {
                    Looked::Directory(path, base) => {
                        directories.push(path);
                        below = base;
                    }
                    Looked::Other(entry) => others.push(entry),
                },
            }
        }
        set_apart(&mut others);
        others.into_iter().try_for_each(&mut *visit)?;
        if !directories.is_empty() {
            walk_together(&directories, &in_form_c(&below), visit)?;
        }
    }
    ControlFlow::Continue(())
}

/// What was listed, in its order, with all that has one name on the ring together.
fn grouped(entries: Vec<Listed>) -> Vec<Vec<Listed>> {
    let mut groups: Vec<Vec<Listed>> = Vec::with_capacity(entries.len());
    // Where those are that another spelling may follow.
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let several = entries.windows(2).any(|pair| pair[0].0.parent() != pair[1].0.parent());
    for entry in entries {
        let part = entry.0.file_name().and_then(|part| part.to_str());
        let key = part.filter(|part| several || !part.is_ascii()).map(in_form_c);
        match key {
            Some(key) if entry.1.is_none() => {
                let at = *known.entry(key.into_owned()).or_insert(groups.len());
                match groups.get_mut(at) {
                    Some(group) => group.push(entry),
                    None => groups.push(vec![entry]),
                }
            }
            _ => groups.push(vec![entry]),
        }
    }
    groups
}

/// Makes files bad that have one name.
fn set_apart(entries: &mut [Entry]) {
    let files: Vec<PathBuf> = entries.iter().filter_map(Entry::file).map(Path::to_owned).collect();
    if files.len() < 2 {
        return;
    }
    for entry in entries {
        let Some(path) = entry.file().map(Path::to_owned) else { continue };
        let twin = files.iter().find(|other| **other != path).unwrap_or(&path);
        let [own, twin] = [&path, twin].map(|path| spelled(&path.to_string_lossy()));
        let why = format!(
            "its name is spelled {own} and is the same on the ring as that of {twin}; rename one of \
             them"
        );
        *entry = Entry::Bad(path, why);
    }
}

impl Entry {
    fn file(&self) -> Option<&Path> {
        match self {
            Entry::File { path, .. } => Some(path),
            Entry::Bad(..) | Entry::Skipped(..) => None,
        }
    }
}

enum Looked {
    Directory(PathBuf, String),
    Other(Entry),
}

fn look(path: PathBuf, base: &str) -> Looked {
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) => return Looked::Other(Entry::Bad(path, unreadable(&error))),
    };
    if metadata.is_symlink() {
        return Looked::Other(Entry::Skipped(path, "a symbolic link"));
    }
    if !metadata.is_dir() && !metadata.is_file() {
        return Looked::Other(Entry::Skipped(path, "neither a file nor a directory"));
    }
    if metadata.is_file() && is_unfinished(&path) {
        return Looked::Other(Entry::Skipped(path, "an unfinished download"));
    }
    let Some(part) = path.file_name().and_then(|part| part.to_str()) else {
        let why = "its name is no Unicode text; put it alone with --as NAME".to_owned();
        return Looked::Other(Entry::Bad(path, why));
    };
    let text = format!("{base}/{part}");
    if metadata.is_dir() {
        // No name is so deep; and so no tree, however deep, fills the stack.
        if text.split('/').count() >= MAX_COMPONENTS {
            let why = format!("a name on the ring has at most {MAX_COMPONENTS} parts");
            return Looked::Other(Entry::Bad(path, why));
        }
        return Looked::Directory(path, text);
    }
    Looked::Other(match FileName::new(&text) {
        Ok(name) => Entry::File { path, name, size: metadata.len() },
        Err(error) => Entry::Bad(path, format!("it cannot be a name on the ring: {error}")),
    })
}

/// A path, or a directory of which an entry could not be read, with the reason.
type Listed = (PathBuf, Option<io::Error>);

/// What lies in one directory, in order; what cannot be read has the reason.
fn listing(path: &Path) -> io::Result<Vec<Listed>> {
    let mut entries = Vec::new();
    for entry in list(path)? {
        match entry {
            Ok(entry) => entries.push((entry.path(), None)),
            Err(error) => entries.push((path.to_owned(), Some(error))),
        }
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(entries)
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    /// What a walk visits: names of files, and the reasons of all else by the
    /// last part of its path.
    fn visited(root: &Path) -> Vec<String> {
        let mut seen = Vec::new();
        let last = |path: &Path| path.file_name().unwrap_or_default().display().to_string();
        let _ = walk(root, "base", &mut |entry| {
            seen.push(match entry {
                Entry::File { name, size, .. } => format!("{name} {size}"),
                Entry::Bad(path, why) => format!("{}! {why}", last(&path)),
                Entry::Skipped(path, what) => format!("{}? {what}", last(&path)),
            });
            ControlFlow::Continue(())
        });
        seen
    }

    #[test]
    fn every_regular_file_is_visited_under_its_relative_path_hidden_ones_too() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        fs::create_dir(dir.path().join("empty")).unwrap();
        fs::write(dir.path().join("a"), b"1").unwrap();
        fs::write(dir.path().join(".hidden"), b"").unwrap();
        fs::write(dir.path().join("b/c/d"), b"22").unwrap();
        assert_eq!(visited(dir.path()), ["base/.hidden 0", "base/a 1", "base/b/c/d 2"]);
    }

    #[test]
    fn links_and_special_files_are_skipped_and_bad_names_are_failures_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(dir.path(), dir.path().join("round")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
        fs::write(dir.path().join("a:b"), b"1").unwrap();
        fs::write(dir.path().join(std::ffi::OsStr::from_bytes(b"x\xFF")), b"1").unwrap();
        fs::write(dir.path().join("fine"), b"1").unwrap();
        let seen = visited(dir.path());
        assert_eq!(
            seen[..4],
            [
                "a:b! it cannot be a name on the ring: the name holds the character U+003A, \
                 which is not allowed",
                "base/fine 1",
                "round? a symbolic link",
                "socket? neither a file nor a directory",
            ]
        );
        assert!(
            seen[4].ends_with("its name is no Unicode text; put it alone with --as NAME"),
            "{}",
            seen[4]
        );
        assert_eq!(seen.len(), 5);
    }

    #[test]
    fn names_that_are_one_on_the_ring_are_bad_wherever_they_meet() {
        let dir = tempfile::tempdir().unwrap();
        let (composed, apart) = ("caf\u{e9}", "cafe\u{301}");
        for path in [composed, apart, "tea"] {
            fs::write(dir.path().join(path), path).unwrap();
        }
        // Directories may be one as long as their files are not.
        for (part, files) in
            [(format!("{composed}.d"), ["a", "x"]), (format!("{apart}.d"), ["b", "x"])]
        {
            fs::create_dir(dir.path().join(&part)).unwrap();
            for file in files {
                fs::write(dir.path().join(&part).join(file), file).unwrap();
            }
        }
        let mut seen = visited(dir.path());
        seen.sort();
        let fine: Vec<_> = seen.iter().filter(|line| line.starts_with("base/")).collect();
        assert_eq!(fine, ["base/caf\u{e9}.d/a 1", "base/caf\u{e9}.d/b 1", "base/tea 3"]);
        let bad: Vec<_> = seen.iter().filter(|line| line.contains("rename one of them")).collect();
        assert_eq!(bad.len(), 4, "{seen:?}");
        for (own, twin) in [(composed, apart), (apart, composed)] {
            let [spelled_own, spelled_twin] = [own, twin].map(spelled);
            let named = |line: &&&String| {
                line.starts_with(&format!("{own}!"))
                    && line.contains(&format!("{spelled_own} and is the same"))
                    && line.contains(&format!("{spelled_twin}; rename"))
            };
            assert_eq!(bad.iter().filter(named).count(), 1, "{bad:?}");
        }
    }

    #[test]
    fn a_tree_deeper_than_any_name_is_left_where_names_end() {
        let dir = tempfile::tempdir().unwrap();
        let mut path = dir.path().to_owned();
        for _ in 0..MAX_COMPONENTS + 3 {
            path.push("d");
        }
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("deep"), b"1").unwrap();
        let seen = visited(dir.path());
        assert_eq!(seen.len(), 1);
        assert!(seen[0].contains("at most 32 parts"), "{seen:?}");
    }

    #[test]
    fn what_goes_while_it_is_walked_is_a_failure_of_its_own_and_the_rest_is_visited() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b", "c"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("x"), b"1").unwrap();
        }
        for name in ["a", "d", "e"] {
            fs::write(dir.path().join(name), b"1").unwrap();
        }
        let mut seen = Vec::new();
        let end = walk(dir.path(), "base", &mut |entry| {
            match entry {
                Entry::File { path, .. } if path.ends_with("a") => {
                    fs::remove_dir_all(dir.path().join("b")).unwrap();
                    fs::remove_file(dir.path().join("d")).unwrap();
                    // One of another kind takes the place of a directory.
                    fs::remove_dir_all(dir.path().join("c")).unwrap();
                    fs::write(dir.path().join("c"), b"22").unwrap();
                }
                Entry::File { name, size, .. } => seen.push(format!("{name} {size}")),
                Entry::Bad(path, why) => seen.push(format!("{}! {why}", path.display())),
                other @ Entry::Skipped(..) => panic!("{other:?}"),
            }
            ControlFlow::Continue(())
        });
        assert_eq!(end, ControlFlow::Continue(()));
        assert_eq!((seen[1].as_str(), seen[3].as_str()), ("base/c 2", "base/e 1"), "{seen:?}");
        for (failed, name) in [(&seen[0], "b"), (&seen[2], "d")] {
            let path = dir.path().join(name).display().to_string();
            assert!(failed.starts_with(&format!("{path}! it cannot be read: ")), "{failed}");
        }
        assert_eq!(seen.len(), 4);

        let gone = dir.path().join("nowhere");
        let end = walk(&gone, "base", &mut |entry| {
            assert!(matches!(entry, Entry::Bad(path, _) if path == gone), "the directory itself");
            ControlFlow::Break(())
        });
        assert_eq!(end, ControlFlow::Break(()), "it is told once");
    }

    #[test]
    fn a_walk_ends_when_its_visitor_wants_no_more() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("x"), b"1").unwrap();
        }
        let mut count = 0;
        let end = walk(dir.path(), "base", &mut |_| {
            count += 1;
            if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!((end, count), (ControlFlow::Break(()), 2));
    }
}
