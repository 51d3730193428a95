//! The task behind the shared files: takes commands, hears what changes on the
//! disk, has it looked at and hashed, and shows it.
//!
//! It never blocks: looks and hashing run on threads and report back. A node
//! that shares nothing has none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use chordal_core::id::Space;
use chordal_view as view;
use chordal_view::text::bytes;
use chordal_view::{Level, Step};

use super::file::{file_count, shown};
use super::handle::{Input, Inputs};
use super::hash;
use super::hash::{Hashed, Wanted};
use super::look::{Lies, Look, Looked, look};
use super::opening::Opening;
use super::pending::Book;
use super::roots;
use super::roots::{Origin, Root, Roots};
use super::tell::Teller;
use super::walk::{Scope, has_hidden_part};
use super::watch::Watching;
use crate::sharing::Sharing;

/// Changes within this time are looked at together.
const GATHER: Duration = Duration::from_millis(100);

/// How often it is checked whether the shared paths are still there; those of
/// which the system tells nothing are looked at as often.
const PEEK: Duration = Duration::from_secs(1);

/// A directory that came is looked at again after this time: what came into it
/// before it was watched was not told.
const AGAIN: Duration = Duration::from_secs(1);

/// How often everything is looked at, whatever the system told.
const SAFETY: Duration = Duration::from_secs(60);

/// A look is taken at the most so often that this part of the time is spent on
/// it: one in twenty where the system tells nothing, one in a thousand for
/// safety.
const POLLING_SHARE: u32 = 20;
const SAFETY_SHARE: u32 = 1_000;

/// Parts of one root that are looked at by themselves; of more, all of it is.
const MAX_PARTS: usize = 512;

/// Time after which manifests of files that are gone are given up.
const PRUNE: Duration = Duration::from_secs(60);

/// Rows of the screen are made at most this often, and those of many files less
/// often.
const SHOW: Duration = Duration::from_millis(100);
const SHOW_MANY: Duration = Duration::from_secs(1);
const MANY: usize = 2_000;

/// Files read at the same time: two, of which at most one is large. More would
/// only make a disk seek.
const READERS: usize = 2;

/// The end of something on a thread.
enum Done {
    Looked(Option<Vec<Looked>>),
    Hashed { large: bool, results: Vec<(Wanted, Hashed)> },
}

/// What is known of a root beyond its path.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) lies: Lies,
    /// There are links: a change may show elsewhere.
    pub(super) links: bool,
    /// When all of it is looked at the next time.
    pub(super) next: Option<Instant>,
}

pub(super) struct Follow {
    pub(super) sharing: Sharing,
    pub(super) private: PathBuf,
    pub(super) roots: Roots,
    pub(super) states: BTreeMap<PathBuf, State>,
    pub(super) pending: Book,
    teller: Teller,
    pub(super) watching: Arc<Mutex<Watching>>,
    done: mpsc::Sender<Done>,
    pub(super) looks: BTreeSet<Look>,
    looking: bool,
    /// Small and large files being read.
    reading: [usize; 2],
    changes_at: Option<Instant>,
    peek_at: Instant,
    again: BTreeSet<(Instant, Look)>,
    /// Looks that are the second at the same directory.
    second: BTreeSet<Look>,
    prune_at: Option<Instant>,
    show_at: Option<Instant>,
    /// What the screen shows: the index's revision, the space, the counts.
    screen: (u64, Option<Space>, view::Sharing),
}

/// Runs until the node stops. `given` are the paths to share from the start.
pub(crate) async fn run(sharing: Sharing, given: Vec<PathBuf>, inputs: Inputs) {
    let watching = Watching::new(sharing.shares.changes().clone());
    run_with(sharing, given, inputs, watching).await;
}

/// [`run`] as on a system that tells nothing of changes.
#[cfg(test)]
pub(super) async fn polled(sharing: Sharing, given: Vec<PathBuf>, inputs: Inputs) {
    let watching = Watching::refused(sharing.shares.changes().clone());
    run_with(sharing, given, inputs, watching).await;
}

async fn run_with(
    sharing: Sharing,
    given: Vec<PathBuf>,
    Inputs(mut inputs): Inputs,
    watching: Watching,
) {
    let (done, mut ends) = mpsc::channel(READERS + 1);
    let mut identity = sharing.net.identity.clone();
    let mut follow = Follow::new(sharing.clone(), watching, done);
    follow.start(given).await;
    loop {
        follow.work();
        follow.tell().await;
        let wake = follow.wake();
        tokio::select! {
            () = sharing.net.stop.cancelled() => return,
            input = inputs.recv() => match input {
                Some(input) => follow.input(input).await,
                None => return,
            },
            Some(end) = ends.recv() => follow.end(end).await,
            () = sharing.shares.changes().come() => {
                follow.changes_at.get_or_insert(Instant::now() + GATHER);
            }
            Ok(()) = identity.changed() => {}
            () = sleep_until(wake) => {}
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

impl Follow {
    fn new(sharing: Sharing, watching: Watching, done: mpsc::Sender<Done>) -> Follow {
        Follow {
            private: sharing.dir.clone(),
            roots: Roots::default(),
            states: BTreeMap::new(),
            pending: Book::new(sharing.shares.clone()),
            teller: Teller::default(),
            watching: Arc::new(Mutex::new(watching)),
            done,
            looks: BTreeSet::new(),
            looking: false,
            reading: [0; 2],
            changes_at: None,
            peek_at: Instant::now(),
            again: BTreeSet::new(),
            second: BTreeSet::new(),
            prune_at: None,
            show_at: None,
            screen: (0, None, view::Sharing::default()),
            sharing,
        }
    }

    /// Begins with what was shared before and with what the settings say.
    async fn start(&mut self, given: Vec<PathBuf>) {
        let (dir, downloads) = (self.sharing.dir.clone(), self.sharing.reshare);
        let read = self.sharing.net.tasks.spawn_blocking(move || {
            let private = dir.canonicalize();
            (roots::load(&dir, downloads), private)
        });
        let Ok((loaded, private)) = read.await else { return };
        self.private = private.unwrap_or_else(|_| self.private.clone());
        match loaded {
            Ok(roots) => self.roots = roots,
            Err(why) => self.sharing.notes.event(Level::Warn, why.to_string()).await,
        }
        for path in given {
            let path = std::path::absolute(&path).unwrap_or(path);
            let root = Root { path, name: None, origin: Origin::Setting };
            if let Err(why) = self.roots.add(root) {
                self.sharing.notes.event(Level::Warn, why.to_string()).await;
            }
        }
        self.roots.tell_downloads(&self.sharing.shares);
        let paths: Vec<PathBuf> = self.roots.iter().map(|root| root.path.clone()).collect();
        for path in &paths {
            self.pending.open(Opening::new(
                vec![path.clone()],
                BTreeSet::from([path.clone()]),
                None,
            ));
            self.looks.insert(Look::all(path));
        }
        if !paths.is_empty() {
            self.prune_at = Some(Instant::now() + PRUNE);
        }
    }

    /// Does what is due, as far as threads are free.
    fn work(&mut self) {
        let now = Instant::now();
        if self.changes_at.is_some_and(|at| at <= now) {
            self.changes_at = None;
            self.take_changes();
        }
        while let Some((_, look)) = self.again.first().filter(|(at, _)| *at <= now).cloned() {
            self.again.pop_first();
            self.looks.insert(look.clone());
            self.second.insert(look);
        }
        for (path, state) in &self.states {
            if state.next.is_some_and(|at| at <= now) {
                self.looks.insert(Look::all(path));
            }
        }
        let peek = self.peek_at <= now && self.roots.iter().next().is_some();
        if !self.looking && (peek || !self.looks.is_empty()) {
            self.peek_at = now + PEEK;
            self.look();
        }
        for large in [true, false] {
            while self.may_read(large) {
                let files = self.pending.next(now, large);
                if files.is_empty() {
                    break;
                }
                self.read(large, files);
            }
        }
        if self.pending.forgot() {
            self.prune_at.get_or_insert(now + PRUNE);
        }
        if self.prune_at.is_some_and(|at| at <= now) {
            self.prune_at = None;
            self.prune();
        }
        self.show(now);
    }

    /// When there is something to do without anything happening.
    fn wake(&self) -> Option<Instant> {
        let looking = self.looking;
        let peek = self.roots.iter().next().map(|_| self.peek_at);
        let next = self.states.values().filter_map(|state| state.next).min();
        let reads = [true, false].into_iter().filter(|large| self.may_read(*large));
        let reads = reads.filter_map(|large| self.pending.due(large)).min();
        [
            self.changes_at,
            self.again.first().map(|(at, _)| *at),
            peek.filter(|_| !looking),
            next.filter(|_| !looking),
            reads,
            self.prune_at,
            self.show_at,
            self.teller.due(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn may_read(&self, large: bool) -> bool {
        self.reading.iter().sum::<usize>() < READERS && !(large && self.reading[1] > 0)
    }

    /// Turns changed paths into looks.
    fn take_changes(&mut self) {
        let Some(paths) = self.sharing.shares.changes().take() else {
            self.looks.extend(self.roots.iter().map(|root| Look::all(&root.path)));
            return;
        };
        let mut parts: BTreeMap<PathBuf, BTreeSet<PathBuf>> = BTreeMap::new();
        for path in paths {
            let Some(root) = self.roots.nearest(&path) else { continue };
            let Ok(sub) = path.strip_prefix(&root.path) else { continue };
            if !has_hidden_part(sub) && !self.roots.is_excluded(&path) {
                parts.entry(root.path.clone()).or_default().insert(sub.to_owned());
            }
        }
        for (root, subs) in parts {
            let links = self.states.get(&root).is_some_and(|state| state.links);
            if links || subs.len() > MAX_PARTS {
                self.looks.insert(Look::all(&root));
            } else {
                self.looks.extend(subs.into_iter().map(|sub| Look { root: root.clone(), sub }));
            }
        }
    }

    fn look(&mut self) {
        self.looking = true;
        let looks = std::mem::take(&mut self.looks).into_iter().collect();
        let lies = |path: &Path| self.states.get(path).map_or(Lies::Unknown, |state| state.lies);
        let roots: Vec<(Root, Lies)> =
            self.roots.iter().map(|root| (root.clone(), lies(&root.path))).collect();
        let scope = Scope {
            roots: self.roots.iter().map(|root| root.path.clone()).collect(),
            excluded: self.roots.excluded().clone(),
            private: self.private.clone(),
            stop: self.sharing.net.stop.clone(),
        };
        let (watching, done) = (Arc::clone(&self.watching), self.done.clone());
        self.sharing.net.tasks.spawn_blocking(move || {
            let found = look(looks, &roots, &scope, &watching);
            let _ = done.blocking_send(Done::Looked(found));
        });
    }

    fn read(&mut self, large: bool, files: Vec<Wanted>) {
        self.reading[usize::from(large)] += 1;
        let (sharing, done) = (self.sharing.clone(), self.done.clone());
        self.sharing.net.tasks.spawn_blocking(move || {
            let results = hash::hash(&sharing, files);
            let _ = done.blocking_send(Done::Hashed { large, results });
        });
    }

    /// Gives up manifests that no shared file needs. Those of roots that are not
    /// there at the moment are kept: they may come back.
    fn prune(&self) {
        let paths = self.pending.paths();
        let missing = |state: &State| matches!(state.lies, Lies::Missing | Lies::Unknown);
        let away = self.states.iter().filter(|(_, state)| missing(state));
        let away: Vec<PathBuf> = away.map(|(path, _)| path.clone()).collect();
        let store = self.sharing.store.clone();
        self.sharing.net.tasks.spawn_blocking(move || {
            let kept = |path: &Path| {
                paths.contains(path) || away.iter().any(|root| path.starts_with(root))
            };
            if let Err(error) = store.prune_hashed(kept) {
                tracing::warn!(%error, "manifests of files that are gone were not given up");
            }
        });
    }

    async fn end(&mut self, end: Done) {
        match end {
            Done::Looked(found) => {
                self.looking = false;
                for looked in found.into_iter().flatten() {
                    self.looked(looked).await;
                }
            }
            Done::Hashed { large, results } => {
                self.reading[usize::from(large)] -= 1;
                for (wanted, result) in results {
                    let path = wanted.path.clone();
                    if self.pending.hashed(wanted, result) {
                        self.sharing.shares.changes().mark(path);
                    }
                }
            }
        }
    }

    async fn looked(&mut self, looked: Looked) {
        let Looked { look, lies, real, told, took, found } = looked;
        let now = Instant::now();
        if self.roots.get(&look.root).is_none() {
            // Not shared any more.
            return;
        }
        let state = self.states.entry(look.root.clone()).or_default();
        let before = std::mem::replace(&mut state.lies, lies);
        if let Some(real) = real {
            self.leads_elsewhere(&look.root, &real, before).await;
            return;
        }
        if lies == Lies::Missing {
            state.next = None;
            let gone = self.pending.missing(&look.root);
            if before != Lies::Missing {
                let path = shown(&look.root);
                let text = match gone {
                    0 => format!("{path} is not there: it is shared when it appears"),
                    files => {
                        let files = file_count(files);
                        format!("{path} is gone: {files} not shared until it is back")
                    }
                };
                self.sharing.notes.event(Level::Warn, text).await;
            }
            return;
        }
        let Some(found) = found else {
            self.looks.insert(Look::all(&look.root));
            return;
        };
        if look.is_full() {
            state.links = found.links;
            state.next = matches!(lies, Lies::Directory(..)).then(|| {
                let (least, share) =
                    if told { (SAFETY, SAFETY_SHARE) } else { (PEEK, POLLING_SHARE) };
                now + least.max(took * share)
            });
            if before == Lies::Missing {
                let path = look.root.clone();
                self.pending.open(Opening::new(vec![path.clone()], BTreeSet::from([path]), None));
            }
        } else if found.links {
            state.links = true;
        }
        if !self.second.remove(&look) && !look.is_full() && found.directory {
            self.again.insert((now + AGAIN, look.clone()));
        }
        self.pending.found(&look.root, &look.path(), found, (now, SystemTime::now()));
    }

    /// A root's path leads elsewhere, through links. The first time it is known
    /// by that other path from then on; later, a program has put a link in its
    /// way, and what it leads to was never shared.
    async fn leads_elsewhere(&mut self, path: &Path, real: &Path, before: Lies) {
        self.states.remove(path);
        if matches!(before, Lies::Unknown | Lies::Missing) {
            self.pending.missing(path);
            if self.roots.resolve(path, real) {
                self.pending.open(Opening::new(
                    vec![real.to_owned()],
                    BTreeSet::from([real.to_owned()]),
                    None,
                ));
            } else {
                self.roots.remove(path);
            }
            self.looks.insert(Look::all(real));
            return;
        }
        self.pending.missing(path);
        self.roots.remove(path);
        let text = format!(
            "{} leads to {} now and is shared no longer; share it again if you want that",
            shown(path),
            shown(real)
        );
        self.sharing.notes.event(Level::Warn, text).await;
    }

    async fn input(&mut self, input: Input) {
        match input {
            Input::Share { paths, answer } => self.share(paths, answer).await,
            Input::Unshare { what, answer } => {
                let result = self.unshare(&what).await;
                let _ = answer.send(result);
            }
            Input::Offer { entry } => self.offer(entry).await,
            Input::Doubt { path } => self.pending.doubt(path),
        }
    }

    /// Tells what happened.
    async fn tell(&mut self) {
        let now = Instant::now();
        let mut lines = Vec::new();
        for (kind, text) in self.pending.said() {
            lines.extend(self.teller.line(kind, text, now));
        }
        lines.extend(self.teller.counts(now));
        for opening in self.pending.opened() {
            let (mut files, mut bytes_all) = (0, 0);
            for path in opening.given() {
                let (count, size) = self.pending.totals_below(path);
                let root = self.roots.nearest(path);
                let state = root.and_then(|root| self.states.get(&root.path));
                if state.is_some_and(|state| state.lies != Lies::Missing) {
                    let text = format!(
                        "sharing {} ({}) from {}",
                        file_count(count),
                        bytes(size),
                        shown(path)
                    );
                    lines.push((Level::Info, text));
                }
                files += count;
                bytes_all += size;
            }
            opening.end(files, bytes_all);
        }
        for (level, text) in lines {
            self.sharing.notes.step(Step::Shared, level, text).await;
        }
    }

    /// Puts on the screen what changed, now or soon.
    fn show(&mut self, now: Instant) {
        let space = self.sharing.net.identity.borrow().params.space;
        let shares = &self.sharing.shares;
        let (files, bytes) = shares.totals();
        let hashing = u32::try_from(self.pending.hashing()).unwrap_or(u32::MAX);
        let sharing = view::Sharing { files, bytes, hashing };
        let now_shown = (shares.index.lock().shown(), Some(space), sharing);
        if now_shown == self.screen {
            self.show_at = None;
            return;
        }
        let spacing = if files as usize > MANY { SHOW_MANY } else { SHOW };
        match self.show_at {
            None if self.screen.1.is_some() => {
                self.show_at = Some(now + spacing);
                return;
            }
            Some(at) if at > now => return,
            _ => self.show_at = None,
        }
        let same_rows = (now_shown.0, now_shown.1) == (self.screen.0, self.screen.1);
        self.screen = now_shown;
        let rows = (!same_rows).then(|| Arc::new(self.sharing.shares.rows(space, |_| true)));
        self.sharing.notes.show(|shown| {
            shown.sharing = sharing;
            if let Some(rows) = rows {
                shown.shared = rows;
            }
        });
    }
}
