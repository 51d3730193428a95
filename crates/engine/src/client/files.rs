//! `rm`, the lists, and the names of files, over any [`Access`].

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tokio::task::JoinSet;

use chordal_core::client::{Known, Remove, RemoveEvent, RemoveStep};
use chordal_core::error::{CommandError, Fault, PathFault, Reason};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Version;
use chordal_core::wire::query::HeldFile;
use chordal_core::wire::{Request, Response};
use chordal_store::Place;
use chordal_view::text::quoted;
use chordal_view::{FileRow, Outcome, RingFiles};

use super::locate;
use super::ring_walk::{ASKED_AT_ONCE, Each, ask_all, neighbours_of, twice};
use crate::data::access::Access;
use crate::net::requests::unexpected;

/// Removes a name.
pub(crate) async fn remove(access: &Access, name: &FileName) -> Result<Outcome, CommandError> {
    let mut remove = Remove::new(name.clone());
    let mut event = RemoveEvent::Woke;
    let (mut copies, mut cut_off) = (0, 0);
    loop {
        event = match remove.handle(event) {
            RemoveStep::Lookup => {
                let trace = access.lookup(name.key(access.space()), None).await;
                RemoveEvent::Found(trace.map(|trace| trace.owner))
            }
            RemoveStep::Ask(owner) => {
                let request = Request::Remove { name: name.clone() };
                RemoveEvent::Answered(match access.request(owner.address(), request).await {
                    Ok(Response::Removed { copies: removed, cut_off: from }) => {
                        (copies, cut_off) = (removed, from);
                        Ok(())
                    }
                    Ok(other) => return Err(unexpected(owner.address(), other)),
                    Err(why) => Err(why),
                })
            }
            RemoveStep::Wait(span) => {
                tokio::time::sleep(span).await;
                RemoveEvent::Woke
            }
            RemoveStep::Done(Err(why)) => return Err(why),
            RemoveStep::Done(Ok(())) => {
                return Ok(Outcome::Removed { name: name.clone(), copies, cut_off });
            }
        };
    }
}

/// The files of one node.
///
/// # Errors
/// A sentence: it does not answer, or not in the order of the names, or without
/// end.
pub(crate) async fn files_of(access: &Access, node: Peer) -> Result<Vec<HeldFile>, CommandError> {
    let mut files: Vec<HeldFile> = Vec::new();
    loop {
        let after = files.last().map(|file| file.record.name.clone());
        let request = Request::Files { after: after.clone() };
        let (rows, more) = match access.request(node.address(), request).await? {
            Response::Files { rows, more } => (rows, more),
            other => return Err(unexpected(node.address(), other)),
        };
        let done = !more || rows.is_empty();
        files.extend(rows);
        if done {
            return Ok(files);
        }
        if files.last().map(|file| &file.record.name) <= after.as_ref()
            || files.len() > RingFiles::MAX
        {
            return Err(CommandError::peer(node.address(), Fault::Endless));
        }
    }
}

/// The files that the member's user shares, as `ls` shows them. A client may not be
/// sent more than a page at once.
pub(crate) async fn shared_by(access: &Access) -> Result<Vec<FileRow>, CommandError> {
    let member = access.member();
    if let Access::Inside(data) = access {
        return Ok(data.shares.rows(access.space(), |_| true));
    }
    let mut files: Vec<FileRow> = Vec::new();
    loop {
        let after = files.last().map(|row| row.name.clone());
        let request = Request::Shares { after: after.clone() };
        let (rows, more) = match access.request(member.address(), request).await? {
            Response::Shares { rows, more } => (rows, more),
            other => return Err(unexpected(member.address(), other)),
        };
        files.extend(rows.into_iter().map(|row| FileRow::shared(row, access.space())));
        if !more || files.last().map(|row| &row.name) <= after.as_ref() {
            return Ok(files);
        }
    }
}

/// Every file of the ring once, with its holders in the order of the ring, and
/// the members that did not answer.
///
/// # Errors
/// A sentence: the ring cannot be asked, or there are too many files.
pub(crate) async fn ring_files(
    access: &Access,
    pattern: Option<&str>,
) -> Result<Outcome, CommandError> {
    let mut ring = RingFiles::new(access.space(), pattern);
    let mut members = 0;
    let ask = |access: Access, member| async move {
        let ask = || async {
            let Some(neighbours) = neighbours_of(&access, member).await? else { return Ok(None) };
            Ok(Some((neighbours, files_of(&access, member).await?)))
        };
        twice(ask).await
    };
    let silent = ask_all(access, Each::Host, ask, |member, files: Vec<HeldFile>| {
        members += 1;
        if !ring.add(member, &files) {
            let why = format!(
                "there are more than {} files on the ring; ls --ring with a pattern lists some of \
                 them",
                RingFiles::MAX
            );
            return Err(Reason::Limit.because(why));
        }
        Ok(())
    });
    let silent = silent.await?;
    let wanted = members.min(usize::from(access.params().replicas));
    let removed = removed_of(access, ring.below(wanted)).await;
    Ok(ring.finish(&removed, silent))
}

/// Which of these files were removed; many are asked for at a time.
async fn removed_of(access: &Access, files: impl Iterator<Item = &FileRow>) -> BTreeSet<FileName> {
    let mut asked = JoinSet::new();
    let mut removed = BTreeSet::new();
    for file in files {
        if asked.len() >= ASKED_AT_ONCE {
            removed.extend(asked.join_next().await.and_then(Result::ok).flatten());
        }
        let (access, name, version) = (access.clone(), file.name.clone(), file.version);
        asked.spawn(async move { is_removed(&access, &name, version).await.then_some(name) });
    }
    while let Some(end) = asked.join_next().await {
        removed.extend(end.ok().flatten());
    }
    removed
}

/// Whether a file with few copies was removed: a node that was away meanwhile
/// still has its old copy until it hears of that.
async fn is_removed(access: &Access, name: &FileName, version: Version) -> bool {
    match locate::look_for(access, name).await {
        Ok(Known { record: Some((record, _)), .. }) => {
            record.is_deleted() && record.version > version
        }
        _ => false,
    }
}

/// The name that a put gives to a local file.
pub(crate) fn name_for(path: &Path, name: Option<&str>) -> Result<FileName, CommandError> {
    let text = match name {
        Some(name) => name.to_owned(),
        None => match path.file_name() {
            Some(last) => text_of(last)?.to_owned(),
            None => {
                let path = quoted(&path.to_string_lossy());
                let why = format!("{path} has no file name; give one with --as");
                return Err(CommandError::Usage(why));
            }
        },
    };
    ring_name(&text)
}

/// A name that a person typed.
pub(crate) fn file_name(text: &str) -> Result<FileName, CommandError> {
    FileName::new(text).map_err(|error| {
        CommandError::Usage(format!("{} is no name on the ring: {error}", quoted(text)))
    })
}

/// A text as the name of a new file on the ring.
pub(crate) fn ring_name(text: &str) -> Result<FileName, CommandError> {
    FileName::new(text).map_err(|error| {
        CommandError::Usage(format!("{} cannot be a name on the ring: {error}", quoted(text)))
    })
}

/// The text of a local name: only names on the ring need be one.
pub(crate) fn text_of(name: &OsStr) -> Result<&str, CommandError> {
    name.to_str().ok_or_else(|| {
        let shown = quoted(&name.to_string_lossy());
        CommandError::Usage(format!(
            "the name of {shown} is no Unicode text; give it one on the ring with --as NAME"
        ))
    })
}

/// Where a get saves to: an explicit place, or below the download directory.
///
/// A device or a pipe is refused: a download arrives out of order in a file of
/// its own, which would appear beside it as `null (1)`.
pub(crate) fn place_for(to: Option<&PathBuf>, download_dir: &Path) -> Result<Place, CommandError> {
    let Some(path) = to else { return Ok(Place::Below(download_dir.to_owned())) };
    match path.metadata() {
        Ok(there) if !there.is_file() && !there.is_dir() => {
            let fault = "is neither a file nor a directory; --to takes those".to_owned();
            Err(CommandError::local(path, PathFault::Other(fault)))
        }
        _ => Ok(Place::of(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_from_the_path_or_from_the_user() {
        let path = Path::new("some/where/SkyShip.jpg");
        assert_eq!(name_for(path, None).expect("a name").as_str(), "SkyShip.jpg");
        assert_eq!(name_for(path, Some("a/b")).expect("a name").as_str(), "a/b");
        assert!(name_for(path, Some("../b")).expect_err("refused").to_string().contains(".."));
        let nameless = name_for(Path::new(""), None).expect_err("refused").to_string();
        assert!(nameless.starts_with("'' has no file name"), "{nameless}");
        assert!(name_for(Path::new("/"), None).is_err());
        let bytes: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"dir/x\xFF");
        let bytes = Path::new(bytes);
        let refused = name_for(bytes, None).expect_err("no text").to_string();
        assert!(
            refused.contains("no Unicode text; give it one on the ring with --as"),
            "{refused}"
        );
        assert_eq!(name_for(bytes, Some("x")).expect("a name").as_str(), "x");
    }

    #[test]
    fn a_download_goes_to_a_file_or_a_directory_but_not_to_a_device() {
        let below = Path::new("downloads");
        let place = |to: &str| place_for(Some(&PathBuf::from(to)), below);
        assert_eq!(place("no/such/file"), Ok(Place::At("no/such/file".into())));
        assert_eq!(place("/"), Ok(Place::Below("/".into())));
        assert_eq!(place_for(None, below), Ok(Place::Below(below.to_owned())));
        let refused = place("/dev/null").expect_err("a device").to_string();
        assert!(refused.starts_with("/dev/null is neither"), "{refused}");
    }
}
