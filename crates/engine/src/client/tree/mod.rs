//! `put` and `get` of whole directories: many files of which several are on
//! their way at a time, under one transfer. A file that fails stops none of
//! the others; all failures are told at the end.
//!
//! What was stored or saved by an earlier attempt is noticed file by file, so
//! that a directory is gone on with by asking for it again.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use chordal_core::client::NamedContent;
use chordal_core::error::{CommandError, PathFault, Reason};
use chordal_core::name::FileName;
use chordal_store::{Place, hash_file, list};
use chordal_view::outcome::Outvoted;
use chordal_view::text::quoted;
use chordal_view::{Outcome, TransferKind};

use super::files;
use super::get;
use super::get::Got;
use super::locate;
use super::missing::Doubts;
use super::put;
use crate::data::access::Access;
use crate::transfers::Phases;
use crate::transfers::{HASHING, Transfer, Transfers};
use names::{Content, Listed};
use walk::Entry;
use workers::{Ended, Workers};

mod names;
mod walk;
mod workers;

/// Files that were found and wait for their turn: enough that the walk is
/// never waited for.
const FOUND_AHEAD: usize = 256;

/// What is skipped is named up to here.
const MAX_SKIPPED: usize = 1_000;

/// What a directory is put and got with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'a> {
    /// The way into the ring.
    pub(crate) access: &'a Access,
    /// Where the directory and its files are listed.
    pub(crate) transfers: &'a Transfers,
}

/// A directory that shall be put.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: PathBuf,
    base: FileName,
}

impl Source {
    /// What a `put` of this path means; `None`: not a directory.
    ///
    /// # Errors
    /// A sentence: it cannot be read, or it gives no name.
    pub(crate) fn of(path: &Path, name: Option<&str>) -> Result<Option<Source>, CommandError> {
        if !path.is_dir() {
            return Ok(None);
        }
        let unreadable = |error: std::io::Error| PathFault::Unreadable(error.to_string());
        list(path).map_err(|error| CommandError::local(path, unreadable(error)))?;
        let text = match name {
            Some(name) => name.trim_end_matches('/').to_owned(),
            // Of `.` and `..` the real name.
            None => match path.file_name().map(Path::new).map(Path::to_owned).or_else(|| {
                let real = path.canonicalize().ok()?;
                real.file_name().map(PathBuf::from)
            }) {
                Some(last) => files::text_of(last.as_os_str())?.to_owned(),
                None => {
                    let fault = "has no name of its own; give one with --as".to_owned();
                    return Err(CommandError::local(path, PathFault::Other(fault)));
                }
            },
        };
        let base = files::ring_name(&text)?;
        Ok(Some(Source { path: path.to_owned(), base }))
    }
}

/// The directory that a name with a slash at its end stands for.
///
/// # Errors
/// A sentence: it cannot be one.
pub(crate) fn directory(text: &str) -> Result<Option<FileName>, CommandError> {
    let Some(name) = text.strip_suffix('/') else { return Ok(None) };
    let name = name.trim_end_matches('/');
    FileName::new(name).map(Some).map_err(|error| {
        let text = quoted(text);
        CommandError::Usage(format!("{text} is no directory of names on the ring: {error}"))
    })
}

impl Tree<'_> {
    /// Stores every regular file below a directory.
    ///
    /// # Errors
    /// A sentence, when it is cancelled; what fails for one file stands in the
    /// outcome.
    pub(crate) async fn put(
        &self,
        source: Source,
        overwrite: bool,
        min_copies: u8,
    ) -> Result<Outcome, CommandError> {
        let began = Instant::now();
        let label = format!("{}/", source.base);
        let whole = Arc::new(self.transfers.open(TransferKind::Upload, &label, 0));
        let result = self.put_all(source, (overwrite, min_copies), &whole, began).await;
        end(whole, result)
    }

    async fn put_all(
        &self,
        source: Source,
        (overwrite, min_copies): (bool, u8),
        whole: &Arc<Transfer>,
        began: Instant,
    ) -> Result<Outcome, CommandError> {
        whole.phase("sending");
        let over = CancellationToken::new();
        let _over = over.clone().drop_guard();
        let counted = Arc::new(Counted::default());
        {
            let (source, counted, over) = (source.clone(), Arc::clone(&counted), over.clone());
            spawn_blocking(move || count(&source, &counted, &over));
        }
        let (found, mut entries) = mpsc::channel(FOUND_AHEAD);
        let walking = source.clone();
        spawn_blocking(move || {
            walk::walk(&walking.path, walking.base.as_str(), &mut |entry| {
                // The put may have ended.
                match found.blocking_send(entry) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            })
        });
        let mut workers = Workers::new(self.transfers, whole);
        let told = Arc::new(Told::new(self.access));
        let mut skipped = Vec::new();
        let mut next = None;
        let mut more = true;
        while workers.goes_on() {
            workers.expect(
                counted.files.load(Ordering::Relaxed),
                counted.bytes.load(Ordering::Relaxed),
            );
            if let Some((_, _, size)) = &next
                && workers.has_room(*size)
                && let Some((path, name, size)) = next.take()
            {
                let access = self.access.clone();
                let (path, name): (PathBuf, FileName) = (path, name);
                let told = Arc::clone(&told);
                workers.begin(shown(&path), &name.to_string(), size, move |part| async move {
                    let put = put::put(&access, &path, name, overwrite, &part, &*part).await;
                    told.put_ended(put::with_at_least(min_copies, put)?).await
                });
            }
            if !more && next.is_none() && workers.is_idle() {
                break;
            }
            tokio::select! {
                () = whole.cancelled() => break,
                entry = entries.recv(), if more && next.is_none() => match entry {
                    Some(Entry::File { path, name, size }) => next = Some((path, name, size)),
                    Some(Entry::Bad(path, why)) => workers.failed(shown(&path), why),
                    Some(Entry::Skipped(path, what)) if skipped.len() < MAX_SKIPPED => {
                        skipped.push((shown(&path), what.to_owned()));
                    }
                    Some(Entry::Skipped(..)) => {}
                    None => more = false,
                },
                _ = workers.next(), if !workers.is_idle() => {}
            }
        }
        let rest = more || next.is_some();
        let (counts, failed) = workers.finish(rest).await;
        if whole.is_cancelled() {
            return Err(whole.stopped(Some(counts.halted("stored", "put"))));
        }
        Ok(Outcome::StoredAll {
            name: source.base,
            stored: counts.moved,
            already: counts.already,
            bytes: counts.bytes,
            millis: began.elapsed().as_millis() as u64,
            failed,
            skipped,
            cut_off: told.cut_off.load(Ordering::Relaxed),
            outvoted: told.outvoted.load(Ordering::Relaxed),
            example: told.example.lock().take(),
        })
    }

    /// Fetches every file whose name lies below a directory. `offer`: what came
    /// is offered to others.
    ///
    /// # Errors
    /// A sentence: there is none, or it is cancelled; what fails for one file
    /// stands in the outcome.
    pub(crate) async fn get(
        &self,
        directory: FileName,
        to: Option<&PathBuf>,
        download_dir: &Path,
        offer: bool,
    ) -> Result<Outcome, CommandError> {
        let began = Instant::now();
        let below = to.map_or(download_dir, PathBuf::as_path);
        if to.is_some() && below.exists() && !below.is_dir() {
            let fault = format!("is a file; give a directory to save {directory}/ below");
            return Err(CommandError::local(below, PathFault::Other(fault)));
        }
        let whole =
            Arc::new(self.transfers.open(TransferKind::Download, &format!("{directory}/"), 0));
        let result = self.get_all(directory, below, offer, &whole, began).await;
        end(whole, result)
    }

    async fn get_all(
        &self,
        directory: FileName,
        below: &Path,
        offer: bool,
        whole: &Arc<Transfer>,
        began: Instant,
    ) -> Result<Outcome, CommandError> {
        whole.phase("listing");
        let heard = |files, members| {
            whole.phase(&format!("listing: {files} files on {members} nodes"));
        };
        let listing = tokio::select! {
            () = whole.cancelled() => return Err(CommandError::CANCELLED),
            listing = names::below(self.access, &directory, &heard) => listing?,
        };
        if listing.files.is_empty() {
            return Err(nothing_below(&directory, &listing.silent));
        }
        whole.phase("receiving");
        let wanted = listing.members.min(usize::from(self.access.params().replicas));
        let mut workers = Workers::new(self.transfers, whole);
        let bytes = listing.files.values().fold(0u64, |sum, file| sum.saturating_add(file.size()));
        workers.expect(u32::try_from(listing.files.len()).unwrap_or(u32::MAX), bytes);
        let mut files = listing.files.into_iter().peekable();
        while workers.goes_on() {
            if let Some((_, listed)) = files.peek()
                && workers.has_room(listed.size())
                && let Some((name, listed)) = files.next()
            {
                let text = name.to_string();
                let file = Wanted {
                    access: self.access.clone(),
                    place: Place::Below(below.to_owned()),
                    sure: is_sure(&listed, wanted),
                    name,
                    offer,
                };
                workers.begin(text.clone(), &text, listed.size(), move |part| async move {
                    Box::pin(file.get(&listed, &part)).await
                });
                continue;
            }
            if workers.is_idle() {
                break;
            }
            tokio::select! {
                () = whole.cancelled() => break,
                _ = workers.next() => {}
            }
        }
        let rest = files.peek().is_some();
        let (counts, failed) = workers.finish(rest).await;
        if whole.is_cancelled() {
            return Err(whole.stopped(Some(counts.halted("here", "get"))));
        }
        Ok(Outcome::FetchedAll {
            path: below.join(directory.to_path()),
            name: directory,
            fetched: counts.moved,
            already: counts.already,
            bytes: counts.bytes,
            millis: began.elapsed().as_millis() as u64,
            failed,
            silent: listing.silent,
        })
    }
}

/// Ends the transfer of a directory as its files did.
fn end(
    whole: Arc<Transfer>,
    result: Result<Outcome, CommandError>,
) -> Result<Outcome, CommandError> {
    let Some(whole) = Arc::into_inner(whole) else { return result };
    match &result {
        Ok(Outcome::StoredAll { failed, .. } | Outcome::FetchedAll { failed, .. })
            if !failed.is_empty() =>
        {
            let files = if failed.len() == 1 { "file" } else { "files" };
            whole.end(Err(Reason::TryAgain.because(format!("{} {files} failed", failed.len()))));
        }
        Ok(_) => whole.end(Ok(())),
        Err(why) => whole.end(Err(why.clone())),
    }
    result
}

/// How many files and bytes there are, counted ahead of sending them.
#[derive(Debug, Default)]
struct Counted {
    files: AtomicU32,
    bytes: AtomicU64,
}

fn count(source: &Source, counted: &Counted, over: &CancellationToken) {
    let _ = walk::walk(&source.path, source.base.as_str(), &mut |entry| {
        match entry {
            Entry::File { size, .. } => {
                counted.bytes.fetch_add(size, Ordering::Relaxed);
                counted.files.fetch_add(1, Ordering::Relaxed);
            }
            Entry::Bad(..) => {
                counted.files.fetch_add(1, Ordering::Relaxed);
            }
            Entry::Skipped(..) => {}
        }
        if over.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// What the owners said of the files of a directory that was put.
struct Told {
    /// Of so many members one of them seems to be cut off.
    cut_off: AtomicU32,
    doubts: Doubts,
    /// How many files an older version may beat, and one of them.
    outvoted: AtomicU32,
    example: Mutex<Option<Outvoted>>,
}

impl Told {
    fn new(access: &Access) -> Told {
        Told {
            cut_off: AtomicU32::default(),
            doubts: Doubts::new(access),
            outvoted: AtomicU32::default(),
            example: Mutex::default(),
        }
    }

    async fn put_ended(&self, put: Outcome) -> Result<Ended, CommandError> {
        let Outcome::Stored { name, version, size, already, cut_off, .. } = put else {
            return Err(CommandError::Bug(format!("an unexpected end: {put:?}")));
        };
        self.cut_off.fetch_max(cut_off, Ordering::Relaxed);
        if let Some(doubt) = self.doubts.of(&name, version, already).await {
            self.outvoted.fetch_add(1, Ordering::Relaxed);
            let mut example = self.example.lock();
            example.get_or_insert(doubt);
        }
        Ok(if already { Ended::Already(size) } else { Ended::Moved(size) })
    }
}

/// Whether what the members say of a file is as good as its owner's word: all
/// that should have it say the same.
fn is_sure(listed: &Listed, wanted: usize) -> bool {
    listed.only().is_some_and(|content| content.holders.len() >= wanted.max(1))
}

/// A file that shall be fetched.
struct Wanted {
    access: Access,
    place: Place,
    name: FileName,
    /// Its owner need not be asked.
    sure: bool,
    offer: bool,
}

impl Wanted {
    async fn get(&self, listed: &Listed, part: &Transfer) -> Result<Ended, CommandError> {
        if let Some(content) = listed.only()
            && self.is_there(content, part)
        {
            return Ok(Ended::Already(content.size));
        }
        let got = match listed.only().filter(|_| self.sure) {
            Some(content) => {
                let clear = || self.place.clear(&self.name, |root| *root != content.root);
                tokio::task::block_in_place(clear);
                match self.fetch(content, part).await {
                    Ok(None) => self.ask_and_fetch(None, part).await,
                    got => got,
                }
            }
            None => self.ask_and_fetch(listed.only(), part).await,
        };
        match got? {
            None => Ok(Ended::Gone),
            Some(Got { outcome: Outcome::Fetched { path, size, .. }, manifest }) => {
                if let (Access::Inside(data), Some(manifest)) = (&self.access, &manifest)
                    && self.offer
                {
                    data.shares.offer(&path, &self.name, manifest);
                }
                Ok(Ended::Moved(size))
            }
            Some(Got { outcome: Outcome::Ambiguous { contents, .. }, .. }) => {
                let (count, name) = (contents.len(), &self.name);
                Err(Reason::Ambiguous.because(format!(
                    "it stands for {count} different contents; get {name} lists them"
                )))
            }
            Some(other) => Err(CommandError::Bug(format!("an unexpected end: {other:?}"))),
        }
    }

    /// Whether that content is there already, from an earlier attempt or under
    /// another Unicode form of its name.
    fn is_there(&self, content: &Content, part: &Transfer) -> bool {
        let twin = self.place.twin(&self.name);
        let path = twin.unwrap_or_else(|| self.place.target(&self.name));
        let same_size = fs::symlink_metadata(&path)
            .is_ok_and(|known| known.is_file() && known.len() == content.size);
        if !same_size {
            return false;
        }
        part.phase(HASHING);
        let step = |bytes| {
            part.advance(bytes);
            if part.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let hashed = tokio::task::block_in_place(|| hash_file(&path, step));
        hashed.is_ok_and(|manifest| manifest.root() == content.root)
    }

    /// Fetches what all members agree on, without asking its owner; `None`: it was
    /// replaced or removed since.
    async fn fetch(&self, content: &Content, part: &Transfer) -> Result<Option<Got>, CommandError> {
        let sharers = content.sharers.iter().filter(|peer| !content.holders.contains(peer));
        let mut sources = content.holders.clone();
        if !sources.is_empty() {
            // Many small files come from the first source: not all from one.
            let first = usize::from(content.root.0[0]) % sources.len();
            sources.rotate_left(first);
        }
        sources.extend(sharers);
        let (root, size) = (content.root, content.size);
        let content = NamedContent { root, size, stored: true, version: None, sources };
        get::fetch(&self.access, &self.name, content, &self.place, part, part).await
    }

    /// Fetches what the owner of the name says it is; `None`: it was removed.
    /// `listed` is what the members say it is.
    async fn ask_and_fetch(
        &self,
        listed: Option<&Content>,
        part: &Transfer,
    ) -> Result<Option<Got>, CommandError> {
        // Without a hash behind it, an @ in a name would begin one.
        let text = match listed {
            Some(content) if self.name.as_str().contains('@') => {
                format!("{}@{}", self.name, content.root)
            }
            _ => self.name.to_string(),
        };
        let get = get::get(&self.access, &text, &self.place, part, part);
        let got = Box::pin(get).await;
        // A node that was away meanwhile lists what was removed until it hears
        // of that.
        if got.is_err() && locate::is_removed(&self.access, &self.name).await {
            return Ok(None);
        }
        got.map(Some)
    }
}

fn nothing_below(directory: &FileName, silent: &[chordal_core::peer::Peer]) -> CommandError {
    let mut why = format!("no file on the ring has a name that begins with {directory}/");
    if silent.is_empty() {
        why.push_str("; ls --ring lists those that there are");
    } else {
        let silent: Vec<_> = silent.iter().map(ToString::to_string).collect();
        why = format!("{why}, as far as is known: {} did not answer", silent.join(", "));
    }
    Reason::NotFound.because(why)
}
