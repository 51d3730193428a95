//! `get` and `request`: a file from all who have it, or from exactly one peer.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use chordal_descriptors as descriptors;

use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::MAX_PATTERN_BYTES;
use chordal_core::name::{FileName, first_bytes, spelled};
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Version};
use chordal_core::transfer::manifest::Manifest;
use chordal_core::wire::handshake::Hello;
use chordal_core::wire::{Request, Response};
use chordal_descriptors::COMMAND_PATIENCE;
use chordal_store::{Download, Place};
use chordal_view::text::{bytes as show_bytes, goes_on};
use chordal_view::{Level, Outcome};

use super::files::file_name;
use super::locate;
use super::locate::{Known, NamedContent};
use super::missing;
use super::ring_walk::{Each, ask_all, members_of, neighbours_of};
use crate::data::access::Access;
use crate::data::eager;
use crate::data::fetch::{
    FIRST_LOOK, FetchError, Fetcher, Finder, LOOK_SOON, NO_SOURCE_LIMIT, Sought,
};
use crate::data::reputation::Conduct;
use crate::net::requests::unexpected;
use crate::net::{address, client_connections};
use crate::transfers::Phases;
use crate::transfers::Transfer;

/// How long a peer may say that it has nothing of a name, of which it had a content
/// a moment ago: one that hashes a changed file anew says so meanwhile.
const HASHED_WITHIN: Duration = Duration::from_secs(5);

/// Pages of a peer's answer that are read in search of a name: a peer that has
/// so many names alike would be asked forever.
const MAX_PAGES: usize = 64;

/// Contents that an error names.
const NAMED_AT_MOST: usize = 8;

/// Contents that a name lost and that are told apart.
const MAX_LOST: usize = 48;

/// How a `get` ended.
#[derive(Debug)]
pub(crate) struct Got {
    /// [`Outcome::Fetched`] or [`Outcome::Ambiguous`].
    pub(crate) outcome: Outcome,
    /// Of what was fetched.
    pub(crate) manifest: Option<Manifest>,
}

/// Fetches the file that a text means, `NAME` or `NAME@HASHPREFIX`. What is
/// replaced or removed meanwhile is looked up anew at once.
pub(crate) async fn get(
    access: &Access,
    text: &str,
    place: &Place,
    transfer: &Transfer,
    phases: &dyn Phases,
) -> Result<Got, CommandError> {
    let began = Instant::now();
    loop {
        phases.phase("looking up");
        let chosen = tokio::select! {
            () = transfer.cancelled() => return Err(CommandError::CANCELLED),
            chosen = find(access, text) => chosen,
        };
        let (name, content, known) = match chosen {
            Ok(Chosen::One(name, content, known)) => (name, content, known),
            Ok(Chosen::Several(name, contents)) => return Ok(several(&name, &contents)),
            Err(why) => {
                let Ok(name) = FileName::new(text) else { return Err(why) };
                let known = locate::look_for(access, &name, None).await.unwrap_or_default();
                if known.is_empty() {
                    if known.record.is_some() {
                        tokio::task::block_in_place(|| place.clear(&name, |_| true));
                    }
                    return Err(why);
                }
                // It has come (back) since.
                patient(began, &name)?;
                continue;
            }
        };
        tokio::task::block_in_place(|| place.clear(&name, |root| !known.contains(root)));
        if let Some(got) = fetch(access, &name, &content, place, transfer, phases).await? {
            return Ok(got);
        }
        patient(began, &name)?;
    }
}

/// Whether it is worth to look up once more what was replaced while it was fetched.
fn patient(began: Instant, name: &FileName) -> Result<(), CommandError> {
    if began.elapsed() < NO_SOURCE_LIMIT {
        return Ok(());
    }
    Err(Reason::TryAgain.because(format!(
        "{name} is replaced again and again before it can be fetched; get it again later"
    )))
}

/// Fetches a content of which the sources are known, and whoever else has it by
/// then. `None`: its name stands for something else by now, or for nothing.
pub(crate) async fn fetch(
    access: &Access,
    name: &FileName,
    content: &NamedContent,
    place: &Place,
    transfer: &Transfer,
    phases: &dyn Phases,
) -> Result<Option<Got>, CommandError> {
    let fetcher = access.fetcher(name.as_str());
    let patience = NO_SOURCE_LIMIT;
    let job =
        Job { access, name, content, fetcher, place, transfer, phases, patience, word: "get" };
    let ended = job.run(&mut finder(transfer, || again(access, name, content)));
    match ended {
        Ok(got) => Ok(Some(got)),
        Err(Failed::Replaced) => Ok(None),
        Err(Failed::Ended(why)) => Err(why),
        Err(Failed::NoSource(why)) if content.stored => {
            Err(missing::undelivered(access, name, &content.sources, &why).await)
        }
        Err(Failed::NoSource(why)) => {
            Err(undelivered(format!("{name} is shared but nobody could deliver it: {why}")))
        }
        Err(Failed::Half(why)) => {
            Err(undelivered(format!("nobody could deliver the rest of {name}: {why}")))
        }
    }
}

fn undelivered(why: String) -> CommandError {
    Reason::NoSource.because(why)
}

/// Looks for sources from a thread that blocks.
fn finder<F: Future<Output = Sought>>(
    transfer: &Transfer,
    look: impl Fn() -> F + Send,
) -> impl FnMut(&CancellationToken) -> Sought + Send {
    let runtime = Handle::current();
    move |over| {
        runtime.block_on(async {
            tokio::select! {
                () = over.cancelled() => Sought::Sources(Vec::new()),
                () = transfer.cancelled() => Sought::Sources(Vec::new()),
                found = look() => found,
            }
        })
    }
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
    let began = Instant::now();
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
    loop {
        let chosen = tokio::select! {
            () = transfer.cancelled() => return Err(CommandError::CANCELLED),
            chosen = ask_one(peer, text) => chosen?,
        };
        let (name, content) = match chosen {
            Chosen::One(name, content, _) => (name, content),
            Chosen::Several(name, contents) => return Ok(several(&name, &contents)),
        };
        let fetcher = access.fetcher(name.as_str());
        // It need not be on this ring; and who names one peer means that peer.
        let hello = Hello { params: None, ..fetcher.plane.hello.clone() };
        let plane = fetcher.plane.greeting_as(hello);
        let fetcher = Fetcher { plane, from_anybody: true, ..fetcher };
        let (name, content, patience) = (&name, &content, Duration::ZERO);
        let word = "request";
        let job = Job { access, name, content, fetcher, place, transfer, phases, patience, word };
        let nothing_since = Mutex::new(None);
        let mut find = finder(transfer, || async {
            let found = contents_at(peer, name).await;
            still_at(peer, found, content, &nothing_since)
        });
        match job.run(&mut find) {
            Ok(got) => return Ok(got),
            Err(Failed::Replaced) => patient(began, name)?,
            Err(Failed::Ended(why)) => return Err(why),
            Err(Failed::NoSource(why) | Failed::Half(why)) => {
                let address = peer.address();
                let why = format!("{name} could not be fetched from {address}: {why}");
                return Err(undelivered(why));
            }
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

/// What a text chose.
enum Chosen {
    /// This one; and all contents that the name has.
    One(FileName, NamedContent, Vec<ContentHash>),
    Several(FileName, Vec<NamedContent>),
}

fn several(name: &FileName, contents: &[NamedContent]) -> Got {
    let contents = contents.iter().map(|content| content.row(name)).collect();
    Got { outcome: Outcome::Ambiguous { name: name.clone(), contents }, manifest: None }
}

/// The name and the beginning of a hash in `NAME@HASHPREFIX`. A name may have
/// an `@` of its own: whoever calls this looks for the whole text, too.
fn parts(text: &str) -> Option<(FileName, String)> {
    let (name, prefix) = text.rsplit_once('@')?;
    let is_prefix =
        (1..=64).contains(&prefix.len()) && prefix.chars().all(|c| c.is_ascii_hexdigit());
    let name = FileName::new(name).ok().filter(|_| is_prefix)?;
    Some((name, prefix.to_ascii_lowercase()))
}

/// The contents whose hash begins so.
fn beginning(contents: &[NamedContent], prefix: &str) -> Vec<NamedContent> {
    let begins = |content: &&NamedContent| content.root.to_string().starts_with(prefix);
    contents.iter().filter(begins).cloned().collect()
}

/// What those of the contents of a name mean that begin with a hash.
fn choose(name: FileName, found: &[NamedContent], prefix: &str) -> Option<Chosen> {
    let mut contents = beginning(found, prefix);
    match contents.len() {
        0 => None,
        1 => contents.pop().map(|content| {
            Chosen::One(name, content, found.iter().map(|known| known.root).collect())
        }),
        _ => Some(Chosen::Several(name, contents)),
    }
}

/// What a text means among the contents that `contents` finds for a name.
async fn meant<F, M>(
    text: &str,
    contents: impl Fn(FileName) -> F,
    missing: impl FnOnce(String) -> M,
) -> Result<Chosen, CommandError>
where
    F: Future<Output = Result<Vec<NamedContent>, CommandError>>,
    M: Future<Output = CommandError>,
{
    let mut others = None;
    if let Some((name, prefix)) = parts(text) {
        let found = contents(name.clone()).await?;
        if let Some(chosen) = choose(name.clone(), &found, &prefix) {
            return Ok(chosen);
        }
        others = Some((name, prefix, found)).filter(|(.., found)| !found.is_empty());
    }
    let whole = match file_name(text) {
        Ok(name) => choose(name.clone(), &contents(name).await?, ""),
        // Too long for a name, perhaps, with the hash.
        Err(_) if others.is_some() => None,
        Err(why) => return Err(why),
    };
    match (whole, others) {
        (Some(chosen), _) => Ok(chosen),
        (None, None) => Err(missing(text.to_owned()).await),
        (None, Some((name, prefix, found))) => {
            let row = |content: &NamedContent| {
                format!("{} ({})", content.root.short(), show_bytes(content.size))
            };
            let rows: Vec<_> = found.iter().take(NAMED_AT_MOST).map(row).collect();
            Err(Reason::NotFound.because(format!(
                "no content of {name} has a hash that begins with {prefix}; there is {}",
                rows.join(", ")
            )))
        }
    }
}

/// Finds what a text means on the ring.
async fn find(access: &Access, text: &str) -> Result<Chosen, CommandError> {
    let contents = async |name: FileName| contents(access, &name).await;
    match meant(text, contents, async |name| missing::why(access, &name).await).await {
        Err(why) => {
            let Some((name, prefix)) = parts(text) else { return Err(why) };
            let lost = trashed(access, &name).await;
            choose(name, &lost, &prefix).ok_or(why)
        }
        chosen => chosen,
    }
}

/// The contents that lost to a newer version of a name and that some node still has.
async fn trashed(access: &Access, name: &FileName) -> Vec<NamedContent> {
    let mut lost: Vec<NamedContent> = Vec::new();
    let asked = |access: Access, member: Peer| {
        let request = Request::Trashed { name: name.clone() };
        async move {
            let Some(neighbours) = neighbours_of(&access, member).await? else { return Ok(None) };
            match access.request(member.address(), request).await? {
                Response::Trashed { contents } => Ok(Some((neighbours, contents))),
                other => Err(unexpected(member.address(), other)),
            }
        }
    };
    let heard = |member, contents: Vec<_>| {
        for (root, size) in contents {
            match lost.iter().position(|known| (known.root, known.size) == (root, size)) {
                Some(at) => lost[at].sources.push(member),
                None if lost.len() < MAX_LOST => {
                    let sources = vec![member];
                    lost.push(NamedContent { root, size, stored: false, version: None, sources });
                }
                None => {}
            }
        }
        Ok(())
    };
    // A node that does not answer may have one; nothing is promised of these.
    let _ = ask_all(access, Each::Host, asked, heard).await;
    lost
}

/// The contents of a name. Who lies about them is noted.
async fn contents(access: &Access, name: &FileName) -> Result<Vec<NamedContent>, CommandError> {
    let known = locate::locate(access, name).await?;
    Ok(contents_of(access, name, &known))
}

fn contents_of(access: &Access, name: &FileName, known: &Known) -> Vec<NamedContent> {
    let (mut contents, liars) = known.contents();
    if let Access::Inside(data) = access {
        // While it becomes a holder this node is named and has not got the bytes.
        let me = data.net.me().me;
        for content in &mut contents {
            let root = &content.root;
            let has_it = data.store.holds(root) || data.shares.manifest(root).is_some();
            content.sources.retain(|peer| has_it || *peer != me);
        }
    }
    let fetcher = access.fetcher(name.as_str());
    for (liar, why) in liars {
        fetcher.reputations.saw(liar.address(), &Conduct::Lied(why));
    }
    contents
}

/// Finds what a text means among the files of one peer.
async fn ask_one(peer: Peer, text: &str) -> Result<Chosen, CommandError> {
    let contents = async |name: FileName| contents_at(peer, &name).await;
    let missing =
        async |name| Reason::NotFound.because(format!("{name} not found on {}", peer.address()));
    meant(text, contents, missing).await
}

/// The contents that one peer has under a name.
async fn contents_at(peer: Peer, name: &FileName) -> Result<Vec<NamedContent>, CommandError> {
    let mut contents: Vec<NamedContent> = Vec::new();
    let mut after: Option<FileName> = None;
    for _ in 0..MAX_PAGES {
        let request = Request::Search { pattern: pattern_for(name), after: after.clone() };
        let (rows, more) = match client_connections::ask(peer.address(), request).await? {
            Response::Found { rows, more } => (rows, more),
            other => return Err(unexpected(peer.address(), other)),
        };
        let last = rows.last().map(|row| row.name.clone());
        for row in rows.into_iter().filter(|row| row.name == *name) {
            let (root, size, stored) = (row.root, row.size, row.stored);
            if !contents.iter().any(|known| known.root == root) {
                let (version, sources) = (None, vec![peer]);
                contents.push(NamedContent { root, size, stored, version, sources });
            }
        }
        // The rows come in the order of their names.
        let past = last.as_ref().is_none_or(|last| last > name);
        if !more || past || last <= after {
            break;
        }
        after = last;
    }
    Ok(contents)
}

/// A pattern that matches a name, and not many others: as much of it as a
/// pattern may be long. No name has a `*` or a `?`.
fn pattern_for(name: &FileName) -> String {
    first_bytes(name.as_str(), MAX_PATTERN_BYTES).to_owned()
}

/// Who has the content now.
async fn again(access: &Access, name: &FileName, content: &NamedContent) -> Sought {
    let member = || Sought::Sources(vec![access.member()]);
    let Ok(known) = locate::locate(access, name).await else { return member() };
    let record = known.record.as_ref().map(|(record, _)| record.version);
    let found = contents_of(access, name, &known);
    let others = !found.is_empty();
    if let Some(found) = found.into_iter().find(|found| found.root == content.root) {
        return if found.size == content.size { Sought::Sources(found.sources) } else { member() };
    }
    // What a node says that has only just come (back) may be older.
    let newer = |record: Version| content.version.is_none_or(|version| record > version);
    let replaced = if content.stored { record.is_some_and(newer) } else { others };
    // What is on its way out may still be where the ring is entered.
    if replaced { Sought::Replaced } else { member() }
}

/// Where something lies that was fetched, who delivered how much of it, and what it is.
type Fetched = (PathBuf, Vec<(Peer, u64)>, Manifest);

/// A content that is to be fetched to a place.
struct Job<'a> {
    access: &'a Access,
    name: &'a FileName,
    content: &'a NamedContent,
    fetcher: Fetcher,
    place: &'a Place,
    transfer: &'a Transfer,
    phases: &'a dyn Phases,
    /// How long sources are looked for of which none has delivered anything yet.
    patience: Duration,
    /// The command that goes on with what was kept.
    word: &'static str,
}

/// Why it was not.
enum Failed {
    /// Its name stands for something else by now, or for nothing.
    Replaced,
    /// It was cancelled or interrupted, or something here is in the way.
    Ended(CommandError),
    NoSource(String),
    /// Some of it came, and is kept.
    Half(String),
}

impl Job<'_> {
    /// Fetches it, from its sources and whoever else `find` names. Blocks.
    fn run(self, find: &mut Finder<'_>) -> Result<Got, Failed> {
        let began = Instant::now();
        if let Some(file) = in_the_way(&self.place.target(self.name)) {
            let (name, file) = (self.name, file.display());
            return Err(Failed::Ended(Reason::State.because(format!(
                "{name} cannot be saved below {file}, which is a file; save it to another place"
            ))));
        }
        if let Some(twin) = self.place.twin(self.name) {
            let (own, twin) = (spelled(self.name.as_str()), spelled(&twin.to_string_lossy()));
            let why = format!(
                "{} is spelled {own} and would lie beside {twin}, which is the same name in another \
                 Unicode form; rename that, or save to another place with --to",
                self.name
            );
            return Err(Failed::Ended(Reason::Exists.because(why)));
        }
        self.transfer.restart(self.content.size);
        self.phases.phase("receiving");
        let mut kept = None;
        let fetched = tokio::task::block_in_place(|| self.fetch_in_turn(began, find, &mut kept));
        let (path, sources, manifest) = fetched.map_err(|error| match error {
            _ if self.transfer.is_cancelled() => Failed::Ended(self.stopped(kept)),
            FetchError::NoSource(_) | FetchError::Shunned(_) => Failed::NoSource(error.to_string()),
            FetchError::Interrupted(_) => Failed::Half(error.to_string()),
            FetchError::Local(error) => Failed::Ended(CommandError::Disk(error.to_string())),
            FetchError::Cancelled => Failed::Ended(CommandError::CANCELLED),
            FetchError::Replaced => Failed::Replaced,
        })?;
        if let Access::Inside(data) = self.access {
            data.downloads.ended(self.content.root, path.clone());
        }
        let millis = began.elapsed().as_millis() as u64;
        let (name, size) = (self.name.clone(), self.content.size);
        let there = self.transfer.there();
        let outcome = Outcome::Fetched { name, size, there, path, sources, millis };
        Ok(Got { outcome, manifest: Some(manifest) })
    }

    /// How it was stopped, and how much of it is kept.
    fn stopped(&self, kept: Option<u64>) -> CommandError {
        self.transfer.stopped(kept.map(|bytes| {
            let (here, size) = (show_bytes(bytes), show_bytes(self.content.size));
            format!("{here} of {size} are here; the same {} goes on where it was", self.word)
        }))
    }

    /// Fetches it, again where no file descriptor was left for that: nothing is held
    /// while the turn is waited for. `kept` is how many bytes stay for another time,
    /// should it fail.
    fn fetch_in_turn(
        &self,
        began: Instant,
        find: &mut Finder<'_>,
        kept: &mut Option<u64>,
    ) -> Result<Fetched, FetchError> {
        let mut turn = None;
        loop {
            match self.fetch(began, find, kept) {
                Err(FetchError::Local(error)) if error.is_shortage() => {
                    let waited = began.elapsed() >= COMMAND_PATIENCE;
                    if turn.is_none() && !waited {
                        turn = Handle::current().block_on(descriptors::turn(began));
                    }
                    if turn.is_none() || waited || self.transfer.is_cancelled() {
                        return Err(error.into());
                    }
                }
                ended => return ended,
            }
        }
    }

    fn fetch(
        &self,
        began: Instant,
        find: &mut Finder<'_>,
        kept: &mut Option<u64>,
    ) -> Result<Fetched, FetchError> {
        let NamedContent { root, size, .. } = *self.content;
        let mut sources = self.content.sources.clone();
        if let Some(manifest) = eager::manifest(root, size) {
            let begin = || Download::begin(manifest.clone(), self.place, self.name);
            let (fetcher, transfer) = (&self.fetcher, self.transfer);
            let fetched = eager::fetch(self.access, fetcher, &sources, &manifest, transfer, begin)?;
            if let Some((download, source)) = fetched {
                let delivered = source.into_iter().map(|source| (source, size)).collect();
                return Ok((download.finish()?, delivered, manifest));
            }
        }
        let mut pause = FIRST_LOOK;
        let opened = loop {
            self.transfer.wait_while_held()?;
            match self.fetcher.open(&sources, root, size, self.transfer) {
                Ok(opened) => break opened,
                Err(FetchError::NoSource(why)) => {
                    // At once: what was replaced is not waited for.
                    let Sought::Sources(found) = find(&CancellationToken::new()) else {
                        return Err(FetchError::Replaced);
                    };
                    let patience = if descriptors::are_short() {
                        // Nobody may have been asked yet.
                        self.patience.max(COMMAND_PATIENCE)
                    } else {
                        self.patience
                    };
                    if began.elapsed() >= patience || self.transfer.is_cancelled() {
                        return Err(FetchError::NoSource(why));
                    }
                    if found == sources {
                        std::thread::sleep(pause);
                        pause = LOOK_SOON.min(2 * pause);
                    }
                    sources = found;
                }
                Err(error) => return Err(error),
            }
        };
        let manifest = opened.manifest.clone();
        let download = self.begin(&manifest)?;
        // Should the ring want a copy here, it is not fetched a second time.
        let _listed = match self.access {
            Access::Inside(data) => data.downloads.list(&download, self.transfer),
            Access::Outside(_) => None,
        };
        match self.fetcher.pieces(opened, &sources, &download, self.transfer, Some(find)) {
            Ok(delivered) => Ok((download.finish()?, delivered, manifest)),
            // Nobody has it any more, or its user does not want it.
            Err(error) if matches!(error, FetchError::Replaced) || self.transfer.is_unwanted() => {
                download.discard();
                Err(error)
            }
            Err(error) => {
                let here = download.here();
                let bytes = here.iter().map(|index| manifest.len_of(index)).sum();
                *kept = Some(bytes).filter(|_| download.is_kept());
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
        let looked = |_| {
            if self.transfer.is_cancelled() {
                return ControlFlow::Break(());
            }
            self.phases.phase("checking what is here");
            ControlFlow::Continue(())
        };
        let resume = || Download::resume(manifest.clone(), self.place, self.name, looked);
        let download = descriptors::holding(resume)?;
        let here: u64 = download.here().iter().map(|index| manifest.len_of(index)).sum();
        self.transfer.goes_on(manifest.size(), here);
        self.phases.phase("receiving");
        if here > 0
            && let Access::Inside(data) = self.access
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

#[cfg(test)]
mod tests {
    use super::*;

    fn content(byte: u8) -> NamedContent {
        let root = ContentHash([byte; 32]);
        NamedContent { root, size: 5, stored: false, version: None, sources: Vec::new() }
    }

    /// What a text means where `names` exist, each with these contents: the
    /// name and the first bytes of the hashes, or the error.
    async fn meaning(
        text: &str,
        names: &[(&str, &[u8])],
    ) -> Result<(String, Vec<u8>), CommandError> {
        let contents = async |name: FileName| {
            let known = names.iter().find(|(known, _)| *known == name.as_str());
            Ok(known
                .map_or_else(Vec::new, |(_, bytes)| bytes.iter().map(|b| content(*b)).collect()))
        };
        let first = |contents: &[NamedContent]| contents.iter().map(|c| c.root.0[0]).collect();
        match meant(text, contents, async |name| CommandError::Usage(format!("no {name}"))).await? {
            Chosen::One(name, content, _) => Ok((name.to_string(), first(&[content]))),
            Chosen::Several(name, contents) => Ok((name.to_string(), first(&contents))),
        }
    }

    #[tokio::test]
    async fn a_hash_prefix_chooses_and_a_name_may_have_an_at_sign_of_its_own() {
        let names: &[(&str, &[u8])] =
            &[("one", &[0xAB]), ("two", &[0xAB, 0xAC]), ("me@cafe", &[1]), ("two@ab", &[9])];
        for (text, name, contents) in [
            ("one", "one", vec![0xAB]),
            ("two", "two", vec![0xAB, 0xAC]),
            ("two@AC", "two", vec![0xAC]),
            ("two@a", "two", vec![0xAB, 0xAC]),
            ("me@cafe", "me@cafe", vec![1]),
            ("me@cafe@01", "me@cafe", vec![1]),
            // Both are there: the content of the part before wins.
            ("two@ab", "two", vec![0xAB]),
        ] {
            assert_eq!(meaning(text, names).await, Ok((name.to_owned(), contents)), "{text}");
        }
        for (text, why) in [
            ("three", "no three"),
            ("three@ab", "no three@ab"),
            ("one@xyz", "no one@xyz"),
            ("one@", "no one@"),
        ] {
            assert_eq!(
                meaning(text, names).await,
                Err(CommandError::Usage(why.to_owned())),
                "{text}"
            );
        }
        let why = meaning("one@cd", names).await.expect_err("it begins otherwise");
        assert_eq!(
            why.to_string(),
            "no content of one has a hash that begins with cd; there is abababab (5 B)"
        );
        assert!(meaning("../x", names).await.is_err());
    }

    #[test]
    fn a_pattern_for_a_name_matches_it_and_fits() {
        let long = "ä".repeat(127);
        for name in ["SkyShip.jpg", &format!("x{long}/{long}/{long}")] {
            let name = FileName::new(name).expect("a name");
            let pattern = pattern_for(&name);
            assert!(pattern.len() <= MAX_PATTERN_BYTES, "{name}");
            assert!(
                chordal_core::mesh::pattern::Pattern::new(&pattern).matches(name.as_str()),
                "{name}"
            );
        }
        assert!(FileName::new("a*b").is_err() && FileName::new("a?b").is_err());
    }
}
