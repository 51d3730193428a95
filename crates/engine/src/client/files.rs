//! `put` of a file, `rm` and the lists, over any [`Access`]; `get` is in
//! [`super::get`], whole directories are in [`super::tree`].

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use chordal_core::error::{CommandError, Fault, PathFault, Reason};
use chordal_core::limits::EAGER_BYTES;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Version;
use chordal_core::transfer::manifest::Manifest;
use chordal_core::transfer::pieces::PieceSet;
use chordal_core::wire::data::{DataRequest, DataResponse};
use chordal_core::wire::query::HeldFile;
use chordal_core::wire::{Request, Response};
use chordal_descriptors as descriptors;
use chordal_descriptors::{COMMAND_PATIENCE, is_shortage};
use chordal_store::{Place, hash_file};
use chordal_view::text::quoted;
use chordal_view::{FileRow, Outcome, RingFiles};

use super::locate;
use super::locate::Known;
use super::ring_walk::{ASKED_AT_ONCE, Each, ask_all, neighbours_of, twice};
use crate::data::access::Access;
use crate::data::commit;
use crate::data::commit::Wanted;
use crate::data::eager::Small;
use crate::data::fetch;
use crate::data::full_owner;
use crate::data::full_owner::Past;
use crate::data::plane::{DataConnection, DataError};
use crate::data::relay::{Handed, hand_manifest, open_again};
use crate::data::serve_data;
use crate::net::requests::unexpected;
use crate::transfers::{Phases, Transfer};

/// Attempts of a put to find an owner that takes anything of it while the ring
/// changes.
const FIRST_PUT_ATTEMPTS: u32 = 6;

/// How long a put that has moved bytes looks for an owner that takes the rest:
/// the ring needs less to put another one in a dead one's place, and a node to
/// restart. Each attempt goes on where the one before ended.
const PUT_PATIENCE: Duration = Duration::from_secs(20);

/// Attempts of a put at the most: an owner that always fails in the middle
/// must not be tried forever.
const MOST_PUT_ATTEMPTS: u32 = 100;

/// Attempts of a removal to find the owner while the ring changes under it.
const REMOVE_ATTEMPTS: u32 = 6;

/// Bytes sent at once: between two such steps it is looked whether the owner
/// has said that it takes no more.
const SEND_BYTES: u64 = 8 * 1024 * 1024;

/// Pause between attempts: about a stabilization of a busy ring.
const PAUSE: Duration = Duration::from_millis(500);

/// Stores a local file under a name.
pub(crate) async fn put(
    access: &Access,
    path: &Path,
    name: FileName,
    overwrite: bool,
    transfer: &Transfer,
    phases: &dyn Phases,
) -> Result<Outcome, CommandError> {
    let size = plain_file_size(path)?;
    phases.phase("hashing");
    transfer.restart(size);
    let small = read_small(path, size)?;
    let manifest = match &small {
        Some(small) => small.manifest.clone(),
        None => hash(path, transfer)?,
    };
    let wanted = Wanted { name, root: manifest.root(), size: manifest.size(), overwrite };
    let space = access.space();
    let key = wanted.name.key(space);
    let mut last = CommandError::Stopping;
    let mut moved = None;
    let began = Instant::now();
    // Held by one at a time that found no file descriptor.
    let mut turn = None;
    for attempt in 0..MOST_PUT_ATTEMPTS {
        if attempt > 0 {
            let worth_it = |moved: Instant| moved.elapsed() < PUT_PATIENCE;
            if !moved.map_or(attempt < FIRST_PUT_ATTEMPTS, worth_it) {
                break;
            }
            tokio::select! {
                () = transfer.cancelled() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
        if transfer.is_held() {
            // Its user has it wait, which cut the connection.
            transfer.released().await.map_err(|_| CommandError::CANCELLED)?;
            moved = Some(Instant::now());
        }
        if transfer.is_cancelled() {
            return Err(CommandError::CANCELLED);
        }
        let owner = match access.lookup(key, Some(wanted.name.to_string())).await {
            Ok(trace) => trace.owner,
            Err(why) => {
                last = why;
                continue;
            }
        };
        transfer.restart(size);
        let (manifest, wanted, small) = (&manifest, &wanted, small.as_ref());
        let put = Put { access, path, manifest, wanted, small, transfer, phases };
        let sent = put.send(owner);
        if transfer.has_moved() {
            moved = Some(Instant::now());
        }
        match sent {
            Ok(DataResponse::Stored {
                version,
                holders,
                wanted: copies,
                already,
                passed,
                cut_off,
            }) => {
                return Ok(Outcome::Stored {
                    name: wanted.name.clone(),
                    key,
                    size,
                    version,
                    holders,
                    wanted: copies,
                    already,
                    passed,
                    cut_off,
                    silent: Vec::new(),
                    likely: 0,
                    space,
                });
            }
            Ok(DataResponse::Failed { why }) => return Err(why),
            Ok(_) => last = CommandError::peer(owner.address(), Fault::NotOwner),
            Err(DataError::Cancelled) => return Err(CommandError::CANCELLED),
            Err(DataError::Io(_)) if transfer.is_cancelled() => {
                return Err(CommandError::CANCELLED);
            }
            Err(DataError::Changed) => return Err(CommandError::local(path, PathFault::Changed)),
            Err(error) if error.is_shortage() => {
                last = CommandError::Disk(error.to_string());
                turn = match turn {
                    None => descriptors::turn(began).await,
                    turn => turn.filter(|_| began.elapsed() < COMMAND_PATIENCE),
                };
                if turn.is_none() {
                    break;
                }
                // Waiting is no attempt.
                moved = Some(Instant::now());
            }
            Err(error) => {
                last = CommandError::peer(owner.address(), Fault::Broken(error.to_string()));
            }
        }
    }
    Err(Reason::TryAgain.because(format!("{} could not be stored: {last}; try again", wanted.name)))
}

/// The end of a put, if it has at least so many copies.
///
/// # Errors
/// A sentence: it has fewer. Those stay.
pub(crate) fn with_at_least(
    least: u8,
    stored: Result<Outcome, CommandError>,
) -> Result<Outcome, CommandError> {
    match stored? {
        Outcome::Stored { holders, cut_off, .. } if holders.len() < usize::from(least) => {
            Err(commit::too_few(holders.len(), least, cut_off))
        }
        enough => Ok(enough),
    }
}

fn plain_file_size(path: &Path) -> Result<u64, CommandError> {
    let fault = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => match fetch::check_size(metadata.len()) {
            Ok(()) => return Ok(metadata.len()),
            Err(error) => PathFault::Other(format!("cannot be stored: {error}")),
        },
        // It was none when it was found.
        Ok(metadata) if metadata.is_dir() => {
            PathFault::Other("is a directory by now; put it again".to_owned())
        }
        Ok(_) => PathFault::Other("is neither a file nor a directory; put takes those".to_owned()),
        Err(error) => PathFault::Unreadable(error.to_string()),
    };
    Err(CommandError::local(path, fault))
}

/// Reads a file that is small enough to be sent at once; `None`: it is not.
fn read_small(path: &Path, size: u64) -> Result<Option<Small>, CommandError> {
    if size > EAGER_BYTES {
        return Ok(None);
    }
    let read = tokio::task::block_in_place(|| Small::read(path, size));
    read.map(Some).map_err(|error| unreadable(path, &error))
}

/// Why a file is not put that was to be read.
fn unreadable(path: &Path, error: &io::Error) -> CommandError {
    let fault = match error.kind() {
        io::ErrorKind::UnexpectedEof => PathFault::Changed,
        _ => PathFault::Unreadable(error.to_string()),
    };
    CommandError::local(path, fault)
}

fn hash(path: &Path, transfer: &Transfer) -> Result<Manifest, CommandError> {
    let progress = |bytes| {
        transfer.advance(bytes);
        match transfer.wait_while_held() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    tokio::task::block_in_place(|| hash_file(path, progress)).map_err(|error| {
        if transfer.is_cancelled() { CommandError::CANCELLED } else { unreadable(path, &error) }
    })
}

/// A put whose owner is known.
struct Put<'a> {
    access: &'a Access,
    path: &'a Path,
    manifest: &'a Manifest,
    wanted: &'a Wanted,
    /// All of it, when it is sent at once.
    small: Option<&'a Small>,
    transfer: &'a Transfer,
    phases: &'a dyn Phases,
}

impl Put<'_> {
    /// Hands the file to its owner, which may be this node itself, or past it to
    /// those that can store it, and waits for the copies.
    fn send(&self, owner: Peer) -> Result<DataResponse, DataError> {
        let runtime = Handle::current();
        tokio::task::block_in_place(|| match self.reach(owner, &runtime)? {
            DataResponse::Unable { why, obstacle, instead, copies } => {
                let past = Past { why, obstacle, instead, copies };
                self.send_past(owner, past, &runtime)
            }
            answer => Ok(answer),
        })
    }

    /// Hands the file to its owner. An owner that takes no bytes, twice or as is known,
    /// while it answers messages says who takes the file in its place.
    fn reach(&self, owner: Peer, runtime: &Handle) -> Result<DataResponse, DataError> {
        let plane = self.access.plane();
        let is_deaf = || plane.reach.is_deaf(owner.address());
        let mut broken = None;
        if !is_deaf() {
            match self.hand_to(owner, runtime) {
                Err(DataError::Io(error)) if !self.is_over() && !is_shortage(&error) => {
                    broken = Some(error);
                }
                ended => return ended,
            }
        }
        let asking = full_owner::instead_of(self.access, owner, self.wanted, self.transfer);
        let Some(instead) = runtime.block_on(asking) else {
            return broken.map_or_else(|| self.hand_to(owner, runtime), |error| Err(error.into()));
        };
        if is_deaf() {
            return Ok(instead);
        }
        match self.hand_to(owner, runtime) {
            Err(DataError::Io(error)) if !self.is_over() && !is_shortage(&error) => Ok(instead),
            ended => ended,
        }
    }

    /// Whether nobody waits for this attempt any more.
    fn is_over(&self) -> bool {
        self.transfer.is_cancelled() || self.transfer.is_held()
    }

    fn hand_to(&self, owner: Peer, runtime: &Handle) -> Result<DataResponse, DataError> {
        match self.access {
            Access::Inside(data) if owner.address() == data.net.me().me.address() => {
                self.phases.phase("storing");
                let Put { path, manifest, wanted, transfer, .. } = *self;
                if let Some(small) = self.small {
                    return small.take_in(data, runtime, wanted, transfer, |copies, wanted| {
                        transfer.securing(copies, wanted);
                        Ok(())
                    });
                }
                serve_data::take_in(data, runtime, path, manifest, wanted, transfer)
            }
            access => match self.small {
                Some(small) => {
                    self.phases.phase("sending");
                    let plane = access.plane();
                    small.upload(&plane, owner, self.wanted, self.transfer, |copies, wanted| {
                        self.secured(copies, wanted);
                    })
                }
                None => {
                    let Wanted { name, root, size, overwrite } = self.wanted.clone();
                    let follows = false;
                    let upload = DataRequest::Upload { name, root, size, overwrite, follows };
                    self.upload(owner, &upload)
                }
            },
        }
    }

    /// Hands the file to nodes behind an owner that cannot store it, and lets it
    /// know.
    fn send_past(
        &self,
        owner: Peer,
        mut past: Past,
        runtime: &Handle,
    ) -> Result<DataResponse, DataError> {
        let reach = self.access.plane().reach;
        past.instead.sort_by_key(|peer| reach.doubts(peer.address()));
        let Wanted { name, root, size, .. } = self.wanted.clone();
        let relay = |next, rest| {
            let name = name.clone();
            self.transfer.restart(size);
            let relay = DataRequest::Relay { name, root, size, rest, follows: false };
            self.upload(next, &relay)
        };
        let ends = |error: &DataError| {
            self.is_over()
                || matches!(error, DataError::Cancelled | DataError::Changed)
                || error.is_shortage()
        };
        let obstacle = past.obstacle;
        let holders = match past.send(relay, ends)? {
            Ok(holders) => holders,
            Err(why) => return Ok(DataResponse::Failed { why }),
        };
        self.phases.phase("securing copies");
        let elsewhere = (holders, obstacle);
        match self.access {
            Access::Inside(data) if owner == data.net.me().me => {
                let elsewhere = Some(elsewhere);
                commit::commit(data, runtime, self.wanted, elsewhere, |copies, wanted| {
                    self.secured(copies, wanted);
                    Ok(())
                })
            }
            access => {
                let heard = |copies, wanted| self.secured(copies, wanted);
                runtime.block_on(async {
                    tokio::select! {
                        () = self.transfer.cancelled() => Err(DataError::Cancelled),
                        answer = full_owner::commit(access, owner, self.wanted, elsewhere, heard) => answer,
                    }
                })
            }
        }
    }

    /// Sends a node what it lacks of the file, as `request` says for what, and
    /// waits for its last word.
    fn upload(&self, to: Peer, request: &DataRequest) -> Result<DataResponse, DataError> {
        let mut connection = self.access.plane().dial(to.address())?;
        let mut file = open_again(self.path)?;
        connection.send(request)?;
        match connection.receive()? {
            DataResponse::Proceed => {}
            answer => return Ok(answer),
        }
        self.transfer.with_peer(to.address());
        connection.serves(self.transfer);
        self.phases.phase("sending");
        let there = match hand_manifest(&mut connection, self.manifest)? {
            Handed::Has(there) => there,
            Handed::Answered(answer) => return Ok(answer),
        };
        let already = there.iter().map(|index| self.manifest.len_of(index)).sum();
        self.transfer.goes_on(self.wanted.size, already);
        if let Err(error) = self.send_missing(&mut file, &mut connection, &there) {
            if matches!(error, DataError::Cancelled | DataError::Changed) {
                return Err(error);
            }
            // Whoever refuses the rest says why before he closes.
            return match connection.receive() {
                Ok(answer @ (DataResponse::Failed { .. } | DataResponse::Unable { .. })) => {
                    Ok(answer)
                }
                _ => Err(error),
            };
        }
        self.phases.phase("securing copies");
        loop {
            match connection.receive()? {
                DataResponse::Progress { copies, wanted } => self.secured(copies, wanted),
                answer => return Ok(answer),
            }
        }
    }

    /// Sends the pieces that are not there, in their order.
    fn send_missing(
        &self,
        file: &mut File,
        connection: &mut DataConnection,
        there: &PieceSet,
    ) -> Result<(), DataError> {
        for run in there.lacking_runs() {
            let bytes = self.manifest.bytes_of(run);
            let mut at = bytes.start;
            file.seek(SeekFrom::Start(at))?;
            while at < bytes.end {
                if connection.has_answer() {
                    return Err(DataError::Peer("it wants no more".to_owned()));
                }
                let length = (bytes.end - at).min(SEND_BYTES);
                connection.send_file(file, length, self.transfer)?;
                at += length;
            }
        }
        Ok(())
    }

    /// Tells of copies; none are wanted while the owner waits for its disk or
    /// for the chain.
    fn secured(&self, copies: u8, wanted: u8) {
        if wanted > 0 {
            self.transfer.securing(copies, wanted);
            self.phases.phase(&format!("securing copies {copies}/{wanted}"));
        }
    }
}

/// Removes a name.
pub(crate) async fn remove(access: &Access, name: &FileName) -> Result<Outcome, CommandError> {
    let failed = |error: CommandError| {
        let reason = error.reason().unwrap_or(Reason::TryAgain);
        reason.because(format!("{name} could not be removed: {error}"))
    };
    let mut last = CommandError::Stopping;
    for attempt in 0..REMOVE_ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let owner = access.lookup(name.key(access.space()), None).await?.owner.address();
        match access.request(owner, Request::Remove { name: name.clone() }).await {
            Ok(Response::Removed { copies, cut_off }) => {
                return Ok(Outcome::Removed { name: name.clone(), copies, cut_off });
            }
            Ok(other) => return Err(unexpected(owner, other)),
            Err(error) => match error.reason() {
                Some(Reason::NotOwner) => last = error,
                Some(Reason::NotFound) => {
                    return Err(Reason::NotFound.because(format!(
                        "no file named {name} is on the ring; ls --ring lists what is"
                    )));
                }
                _ => return Err(failed(error)),
            },
        }
    }
    Err(failed(last))
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
    match locate::look_for(access, name, None).await {
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
