//! `get` and `request`: a file from all who have it, or from exactly one peer.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use chordal_descriptors as descriptors;

use chordal_core::client::{Get, GetEnd, GetEvent, GetStep, NO_SOURCE_LIMIT, NamedContent, Sought};
use chordal_core::error::{CommandError, Reason};
use chordal_core::name::{FileName, spelled};
use chordal_core::peer::Peer;
use chordal_core::record::ContentHash;
use chordal_core::transfer::manifest::Manifest;
use chordal_core::wire::handshake::Hello;
use chordal_descriptors::{COMMAND_PATIENCE, Turn};
use chordal_store::{Download, Place};
use chordal_view::text::{bytes as show_bytes, goes_on};
use chordal_view::{Level, Outcome};

use super::contents::{Chosen, ask_one, contents_at, contents_of, find};
use super::locate;
use super::locate::time_since;
use super::missing;
use super::ring_walk::members_of;
use crate::data::access::Access;
use crate::data::eager;
use crate::data::fetch::{FetchError, Fetcher};
use crate::net::address;
use crate::transfers::Phases;
use crate::transfers::Transfer;

/// How long a peer may say that it has nothing of a name, of which it had a content
/// a moment ago: one that hashes a changed file again says so meanwhile.
const HASHED_WITHIN: Duration = Duration::from_secs(5);

/// How a `get` ended.
#[derive(Debug)]
pub(crate) struct Got {
    /// [`Outcome::Fetched`] or [`Outcome::Ambiguous`].
    pub(crate) outcome: Outcome,
    /// Of what was fetched.
    pub(crate) manifest: Option<Manifest>,
}

/// Fetches the file that a text means, `NAME` or `NAME@HASHPREFIX`. What is
/// replaced or removed meanwhile is looked up again at once.
pub(crate) async fn get(
    access: &Access,
    text: &str,
    place: &Place,
    transfer: &Transfer,
    phases: &dyn Phases,
) -> Result<Got, CommandError> {
    let from = Origin::Ring(text);
    let fetcher = access.fetcher(text);
    let getting = Getting { access, from, fetcher, place, transfer, phases };
    let got = getting.run(Get::new(NO_SOURCE_LIMIT), None).await?;
    got.ok_or_else(|| CommandError::Bug(format!("{text} was looked up by nobody")))
}

/// Fetches a content of which the sources are known, and whoever else has it by
/// then. `None`: its name stands for something else by now, or for nothing.
pub(crate) async fn fetch(
    access: &Access,
    name: &FileName,
    content: NamedContent,
    place: &Place,
    transfer: &Transfer,
    phases: &dyn Phases,
) -> Result<Option<Got>, CommandError> {
    let (from, fetcher) = (Origin::Listed, access.fetcher(name.as_str()));
    let getting = Getting { access, from, fetcher, place, transfer, phases };
    getting.run(Get::new(NO_SOURCE_LIMIT), Some((name.clone(), content))).await
}

/// Fetches a file from exactly one peer, whatever ring it is on.
pub(crate) async fn request(
    access: &Access,
    text: &str,
    peer: &str,
    place: &Place,
    transfer: &Transfer,
    phases: &dyn Phases,
) -> Result<Got, CommandError> {
    phases.phase("looking up");
    let looking = async {
        let members = members_of(access).await?;
        let host = access.member().address();
        address::resolve(peer, host, access.space(), &members).await
    };
    let peer = tokio::select! {
        () = transfer.cancelled() => return Err(CommandError::CANCELLED),
        looked = looking => looked?,
    };
    let fetcher = access.fetcher(text);
    // It need not be on this ring; and who names one peer means that peer.
    let hello = Hello { params: None, ..fetcher.plane.hello.clone() };
    let plane = fetcher.plane.greeting_as(hello);
    let fetcher = Fetcher { plane, from_anybody: true, ..fetcher };
    let from = Origin::Peer { peer, text, nothing_since: Mutex::new(None) };
    let getting = Getting { access, from, fetcher, place, transfer, phases };
    let got = getting.run(Get::new(Duration::ZERO), None).await?;
    got.ok_or_else(|| CommandError::Bug(format!("{text} was looked up by nobody")))
}

fn undelivered(why: String) -> CommandError {
    Reason::NoSource.because(why)
}

/// Where a file is got from.
enum Origin<'a> {
    /// The nodes of the ring that have what this text names.
    Ring(&'a str),
    /// The sources of a content that is known already.
    Listed,
    /// This peer alone.
    Peer {
        peer: Peer,
        text: &'a str,
        /// Since when it has had nothing under the name.
        nothing_since: Mutex<Option<Instant>>,
    },
}

/// Drives a [`Get`].
struct Getting<'a> {
    access: &'a Access,
    from: Origin<'a>,
    fetcher: Fetcher,
    place: &'a Place,
    transfer: &'a Transfer,
    phases: &'a dyn Phases,
}

impl Getting<'_> {
    /// Gets the file; `known` is what and under which name, if that is known already.
    /// `None`: it was known and has been replaced.
    async fn run(
        &self,
        mut get: Get,
        known: Option<(FileName, NamedContent)>,
    ) -> Result<Option<Got>, CommandError> {
        let mut began = Instant::now();
        let started = began;
        let (mut name, mut event) = match known {
            Some((name, content)) => (Some(name), GetEvent::Found(content)),
            None => (None, GetEvent::Begun),
        };
        // What went wrong last, and what was fetched.
        let (mut missing, mut failed, mut got, mut tried) = (None, None, None, false);
        loop {
            event = match (get.handle(time_since(started), event), &name) {
                (GetStep::Look, _) => {
                    self.phases.phase("looking up");
                    let looked = tokio::select! {
                        () = self.transfer.cancelled() => return Err(CommandError::CANCELLED),
                        looked = self.look() => looked,
                    };
                    match looked {
                        None => return Ok(None),
                        Some(Ok(Chosen::Several(name, contents))) => {
                            return Ok(Some(several(&name, &contents)));
                        }
                        Some(Ok(Chosen::One(found, content, roots))) => {
                            if let Origin::Ring(_) = self.from {
                                let kept = |root: &ContentHash| !roots.contains(root);
                                tokio::task::block_in_place(|| self.place.clear(&found, kept));
                            }
                            (began, tried, name) = (Instant::now(), false, Some(found));
                            GetEvent::Found(content)
                        }
                        Some(Err(why)) => {
                            let (is_back, lost) = self.is_back().await;
                            (missing, name) = (Some(why), lost.or(name));
                            GetEvent::Missing { back: is_back }
                        }
                    }
                }
                (GetStep::Fetch(content), Some(name)) => {
                    let job = Job { getting: self, name, content: &content, began };
                    let ended = job.run(std::mem::replace(&mut tried, true)).await;
                    match ended {
                        Ok(fetched) => {
                            got = Some(fetched);
                            GetEvent::Fetched
                        }
                        Err(Failed::Ended(why)) => return Err(why),
                        Err(Failed::Replaced) => GetEvent::Replaced,
                        Err(Failed::Unopened(why)) => {
                            failed = Some((content, why));
                            // Nobody may have been asked yet.
                            let short = descriptors::are_short();
                            let at_least = if short { COMMAND_PATIENCE } else { Duration::ZERO };
                            GetEvent::NoSource { at_least }
                        }
                        Err(why) => return Err(self.undelivered(name, &content, why).await),
                    }
                }
                (GetStep::Seek(content), Some(name)) => {
                    let sought = self.seek(name, &content).await;
                    if self.transfer.is_cancelled() {
                        return Err(self.transfer.stopped(None));
                    }
                    GetEvent::Sought(sought)
                }
                (GetStep::Wait(span), _) => {
                    tokio::select! {
                        () = self.transfer.cancelled() => {}
                        () = tokio::time::sleep(span) => {}
                    }
                    self.transfer.released().await.map_err(|_| self.transfer.stopped(None))?;
                    GetEvent::Woke
                }
                (GetStep::Done(GetEnd::Fetched), _) => return Ok(got),
                (GetStep::Done(GetEnd::NoSource), Some(name)) => {
                    let Some((content, why)) = failed else { return Err(CommandError::Stopping) };
                    return Err(self.undelivered(name, &content, Failed::NoSource(why)).await);
                }
                (GetStep::Done(GetEnd::Replaced), Some(name)) => {
                    let why = format!(
                        "{name} is replaced again and again before it can be fetched; get it \
                         again later"
                    );
                    return Err(Reason::TryAgain.because(why));
                }
                (GetStep::Done(_) | GetStep::Fetch(_) | GetStep::Seek(_), _) => {
                    return Err(missing.unwrap_or(CommandError::Stopping));
                }
            };
        }
    }

    /// Finds what is to be fetched; `None`: that was known.
    async fn look(&self) -> Option<Result<Chosen, CommandError>> {
        match &self.from {
            Origin::Ring(text) => Some(find(self.access, text).await),
            Origin::Listed => None,
            Origin::Peer { peer, text, .. } => Some(ask_one(*peer, text).await),
        }
    }

    /// Whether what was not found has come (back) since; and its name, if it has one.
    async fn is_back(&self) -> (bool, Option<FileName>) {
        let Origin::Ring(text) = self.from else { return (false, None) };
        let Ok(name) = FileName::new(text) else { return (false, None) };
        let known = locate::look_for(self.access, &name).await.unwrap_or_default();
        if known.is_empty() && known.record.is_some() {
            tokio::task::block_in_place(|| self.place.clear(&name, |_| true));
        }
        (!known.is_empty(), Some(name))
    }

    /// Who has the content now.
    async fn seek(&self, name: &FileName, content: &NamedContent) -> Sought {
        let seeking = async {
            match &self.from {
                Origin::Peer { peer, nothing_since, .. } => {
                    let found = contents_at(*peer, name).await;
                    still_at(*peer, found, content, nothing_since)
                }
                Origin::Ring(_) | Origin::Listed => {
                    let (access, member) = (self.access, self.access.member());
                    match locate::locate(access, name).await {
                        Ok(known) => {
                            content.sought(&known, contents_of(access, name, &known), member)
                        }
                        Err(_) => Sought::Sources(vec![member]),
                    }
                }
            }
        };
        tokio::select! {
            () = self.transfer.cancelled() => Sought::Sources(Vec::new()),
            sought = seeking => sought,
        }
    }

    /// Why no source delivered a content.
    async fn undelivered(
        &self,
        name: &FileName,
        content: &NamedContent,
        failed: Failed,
    ) -> CommandError {
        match (&self.from, failed) {
            (_, Failed::Ended(why)) => why,
            (Origin::Peer { peer, .. }, failed) => undelivered(format!(
                "{name} could not be fetched from {}: {}",
                peer.address(),
                failed.why()
            )),
            (_, Failed::Half(why)) => {
                undelivered(format!("nobody could deliver the rest of {name}: {why}"))
            }
            (_, failed) if content.stored => {
                missing::undelivered(self.access, name, &content.sources, &failed.why()).await
            }
            (_, failed) => undelivered(format!(
                "{name} is shared but nobody could deliver it: {}",
                failed.why()
            )),
        }
    }

    /// The command that goes on with what was kept.
    const fn word(&self) -> &'static str {
        match self.from {
            Origin::Peer { .. } => "request",
            Origin::Ring(_) | Origin::Listed => "get",
        }
    }
}

/// What the contents that one peer has under a name say about one of them.
/// `nothing_since`: since when it has had none.
fn still_at(
    peer: Peer,
    found: Result<Vec<NamedContent>, CommandError>,
    content: &NamedContent,
    nothing_since: &Mutex<Option<Instant>>,
) -> Sought {
    let mut nothing_since = nothing_since.lock();
    match found {
        Ok(found) if found.is_empty() => {
            let since = *nothing_since.get_or_insert_with(Instant::now);
            if since.elapsed() < HASHED_WITHIN {
                Sought::Sources(Vec::new())
            } else {
                Sought::Replaced
            }
        }
        Ok(found) if !found.iter().any(|known| known.root == content.root) => Sought::Replaced,
        // It has it, or cannot be asked now.
        Ok(_) | Err(_) => {
            *nothing_since = None;
            Sought::Sources(vec![peer])
        }
    }
}

fn several(name: &FileName, contents: &[NamedContent]) -> Got {
    let contents = contents.iter().map(|content| locate::row(name, content)).collect();
    Got { outcome: Outcome::Ambiguous { name: name.clone(), contents }, manifest: None }
}

/// Where something lies that was fetched, who delivered how much of it, and what it is.
type Fetched = (PathBuf, Vec<(Peer, u64)>, Manifest);

/// A content that is to be fetched to a place.
struct Job<'a> {
    getting: &'a Getting<'a>,
    name: &'a FileName,
    content: &'a NamedContent,
    began: Instant,
}

/// Why it was not.
enum Failed {
    /// Its name stands for something else by now, or for nothing.
    Replaced,
    /// It was cancelled or interrupted, or something here is in the way.
    Ended(CommandError),
    /// No source could be asked for it yet.
    Unopened(String),
    /// No source delivered it.
    NoSource(String),
    /// Some of it came, and is kept.
    Half(String),
}

/// How far a fetch came.
#[derive(Default)]
struct Came {
    /// A source was found.
    began: bool,
    /// Bytes that stay for another time.
    kept: Option<u64>,
}

impl Failed {
    fn why(self) -> String {
        match self {
            Failed::Replaced => FetchError::Replaced.to_string(),
            Failed::Ended(why) => why.to_string(),
            Failed::Unopened(why) | Failed::NoSource(why) | Failed::Half(why) => why,
        }
    }
}

impl Job<'_> {
    /// Fetches it, from its sources and those that are found meanwhile; again where no file
    /// descriptor was left for that. `again`: it was tried before.
    async fn run(&self, again: bool) -> Result<Got, Failed> {
        let Getting { access, place, transfer, .. } = *self.getting;
        if let Some(file) = in_the_way(&place.target(self.name)) {
            let (name, file) = (self.name, file.display());
            return Err(Failed::Ended(Reason::State.because(format!(
                "{name} cannot be saved below {file}, which is a file; save it to another place"
            ))));
        }
        if let Some(twin) = place.twin(self.name) {
            let (own, twin) = (spelled(self.name.as_str()), spelled(&twin.to_string_lossy()));
            let why = format!(
                "{} is spelled {own} and would lie beside {twin}, which is the same name in another \
                 Unicode form; rename that, or save to another place with --to",
                self.name
            );
            return Err(Failed::Ended(Reason::Exists.because(why)));
        }
        transfer.restart(self.content.size);
        self.getting.phases.phase("receiving");
        let mut came = Came::default();
        let mut turn = Turn::new(self.began);
        let fetched = loop {
            match tokio::task::block_in_place(|| self.fetch(again, &mut came)) {
                // Nothing is held while the turn is waited for.
                Err(FetchError::Local(error))
                    if error.is_shortage() && turn.wait().await && !transfer.is_cancelled() => {}
                ended => break ended,
            }
        };
        let (path, sources, manifest) = fetched.map_err(|error| match error {
            _ if transfer.is_cancelled() => Failed::Ended(self.stopped(came.kept)),
            FetchError::NoSource(_) if !came.began => Failed::Unopened(error.to_string()),
            FetchError::NoSource(_) | FetchError::Shunned(_) => Failed::NoSource(error.to_string()),
            FetchError::Interrupted(_) => Failed::Half(error.to_string()),
            FetchError::Local(error) => Failed::Ended(CommandError::Disk(error.to_string())),
            FetchError::Cancelled => Failed::Ended(CommandError::CANCELLED),
            FetchError::Replaced => Failed::Replaced,
        })?;
        if let Access::Inside(data) = access {
            data.downloads.ended(self.content.root, path.clone());
        }
        let millis = self.began.elapsed().as_millis() as u64;
        let (name, size) = (self.name.clone(), self.content.size);
        let there = transfer.there();
        let outcome = Outcome::Fetched { name, size, there, path, sources, millis };
        Ok(Got { outcome, manifest: Some(manifest) })
    }

    /// How it was stopped, and how much of it is kept.
    fn stopped(&self, kept: Option<u64>) -> CommandError {
        self.getting.transfer.stopped(kept.map(|bytes| {
            let (here, size) = (show_bytes(bytes), show_bytes(self.content.size));
            let word = self.getting.word();
            format!("{here} of {size} are here; the same {word} goes on where it was")
        }))
    }

    /// Fetches it. Blocks. `came` is how far that was, should it fail.
    fn fetch(&self, again: bool, came: &mut Came) -> Result<Fetched, FetchError> {
        let Getting { access, ref fetcher, place, transfer, .. } = *self.getting;
        let NamedContent { root, size, ref sources, .. } = *self.content;
        if let Some(manifest) = eager::manifest(root, size).filter(|_| !again) {
            let begin = || Download::begin(manifest.clone(), place, self.name);
            let fetched = eager::fetch(access, fetcher, sources, &manifest, transfer, begin)?;
            if let Some((download, source)) = fetched {
                let delivered = source.into_iter().map(|source| (source, size)).collect();
                return Ok((download.finish()?, delivered, manifest));
            }
        }
        transfer.wait_while_held()?;
        let opened = fetcher.open(sources, root, size, transfer)?;
        came.began = true;
        let runtime = Handle::current();
        let find = &mut |over: &CancellationToken| {
            runtime.block_on(async {
                tokio::select! {
                    () = over.cancelled() => Sought::Sources(Vec::new()),
                    found = self.getting.seek(self.name, self.content) => found,
                }
            })
        };
        let manifest = opened.manifest.clone();
        let download = self.begin(&manifest)?;
        // Should the ring want a copy here, it is not fetched a second time.
        let _listed = match access {
            Access::Inside(data) => data.downloads.list(&download, transfer),
            Access::Outside(_) => None,
        };
        match fetcher.pieces(opened, sources, &download, transfer, Some(find)) {
            Ok(delivered) => Ok((download.finish()?, delivered, manifest)),
            // Nobody has it any more, or its user does not want it.
            Err(error) if matches!(error, FetchError::Replaced) || transfer.is_unwanted() => {
                download.discard();
                Err(error)
            }
            Err(error) => {
                let here = download.here();
                let bytes = here.iter().map(|index| manifest.len_of(index)).sum();
                came.kept = Some(bytes).filter(|_| download.is_kept());
                match error {
                    FetchError::NoSource(why) if !here.is_empty() => {
                        Err(FetchError::Interrupted(why))
                    }
                    error => Err(error),
                }
            }
        }
    }

    /// Makes the file, or goes on with what an earlier attempt left.
    fn begin(&self, manifest: &Manifest) -> Result<Download, FetchError> {
        let Getting { access, place, transfer, phases, .. } = *self.getting;
        let looked = |_| {
            if transfer.is_cancelled() {
                return ControlFlow::Break(());
            }
            phases.phase("checking what is here");
            ControlFlow::Continue(())
        };
        let resume = || Download::resume(manifest.clone(), place, self.name, looked);
        let download = descriptors::holding(resume)?;
        let here: u64 = download.here().iter().map(|index| manifest.len_of(index)).sum();
        transfer.goes_on(manifest.size(), here);
        phases.phase("receiving");
        if here > 0
            && let Access::Inside(data) = access
        {
            let text = goes_on(self.name.as_str(), here, manifest.size());
            // A hub that is too busy says at the end how much was there.
            data.notes.event_now(Level::Info, text);
        }
        Ok(download)
    }
}

/// What stands where a file's path needs a directory.
fn in_the_way(path: &Path) -> Option<&Path> {
    let nearest = path.ancestors().skip(1).find(|above| above.exists())?;
    (!nearest.is_dir()).then_some(nearest)
}
