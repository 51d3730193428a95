//! What the task is asked to do: to share, to offer a download, to share
//! something no longer and what the word behind `unshare` means.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chordal_core::error::{CommandError, PathFault, Reason};
use chordal_core::name::FileName;
use chordal_view::command::nearest_of;
use chordal_view::text::quoted;
use chordal_view::{Level, Outcome, Step};

use super::file::{file_count, shown};
use super::follow::{Follow, State};
use super::handle::Shares;
use super::index::Entry;
use super::look::{Lies, Look};
use super::opening::{Answer, Opening};
use super::roots;
use super::roots::{MAX_EXCLUDED, Origin, Root, Roots};
use super::walk::has_hidden_part;

impl Follow {
    /// Shares paths; the answer comes when all files are hashed.
    pub(super) async fn share(&mut self, paths: Vec<Root>, answer: Answer) {
        let mut roots = self.roots.clone();
        let mut given: Vec<PathBuf> = Vec::new();
        for root in paths {
            if root.path.starts_with(&self.private) {
                let fault = PathFault::Unshareable("it belongs to the node's own files".to_owned());
                let _ = answer.send(Err(CommandError::Local { path: shown(&root.path), fault }));
                return;
            }
            given.push(root.path.clone());
            if let Err(why) = roots.add(root) {
                let _ = answer.send(Err(why));
                return;
            }
        }
        self.roots = roots;
        self.save().await;
        given.sort();
        given.dedup_by(|next, one| next.starts_with(one));
        let nearest = given.iter().filter_map(|path| self.roots.nearest(path));
        let nearest: BTreeSet<PathBuf> = nearest.map(|root| root.path.clone()).collect();
        self.looks.extend(nearest.iter().map(|root| Look::all(root)));
        self.pending.open(Opening::new(given, nearest, Some(answer)));
    }

    /// A finished download is shared, unless it lies in a shared directory,
    /// which finds it by itself.
    pub(super) async fn offer(&mut self, entry: Entry) {
        if entry.path.starts_with(&self.private) || self.roots.is_excluded(&entry.path) {
            return;
        }
        let (path, name) = (entry.path.clone(), entry.name.clone());
        self.keep(&entry).await;
        if let Some(root) = self.roots.nearest(&path)
            && root.path != path
            && !path.strip_prefix(&root.path).is_ok_and(has_hidden_part)
        {
            self.sharing.shares.changes().mark(path);
            return;
        }
        let lies = Lies::File(entry.stamp);
        let root = Root { path: path.clone(), name: Some(name.clone()), origin: Origin::Download };
        let mut roots = self.roots.clone();
        if let Err(why) = roots.add(root) {
            self.sharing.notes.event(Level::Warn, why.to_string()).await;
            return;
        }
        // Before another node can hear of it.
        roots.tell_downloads(&self.sharing.shares);
        if self.pending.offer(entry) {
            self.roots = roots;
            self.states.insert(path, State { lies, ..State::default() });
            self.save().await;
        } else {
            self.roots.tell_downloads(&self.sharing.shares);
            let text = format!("{name} was downloaded but is not offered: its name is taken here");
            self.sharing.notes.event(Level::Info, text).await;
        }
    }

    /// Keeps what a file is known to be, so that it is never read for that.
    async fn keep(&self, entry: &Entry) {
        let (store, entry) = (self.sharing.store.clone(), entry.clone());
        let kept = self.sharing.net.tasks.spawn_blocking(move || {
            store.keep_hashed(&[(&entry.path, entry.stamp, &entry.manifest)])
        });
        if let Ok(Err(error)) = kept.await {
            tracing::warn!(%error, "a download will be hashed at the next start");
        }
    }

    /// Writes what is shared, so that it comes back.
    async fn save(&self) {
        self.roots.tell_downloads(&self.sharing.shares);
        let (dir, roots) = (self.sharing.dir.clone(), self.roots.clone());
        let written =
            self.sharing.net.tasks.spawn_blocking(move || roots::save(&dir, &roots)).await;
        let text = match written {
            Ok(Ok(unwritten)) if unwritten.is_empty() => return,
            Ok(Ok(unwritten)) => {
                let path = unwritten.first().map(|path| shown(path)).unwrap_or_default();
                format!("{path} is shared only until the node ends: its name is no text")
            }
            Ok(Err(error)) => format!("what is shared could not be saved: {error}; check the disk"),
            Err(_) => return,
        };
        self.sharing.notes.event(Level::Warn, text).await;
    }

    /// Shares a file, or all below a path, no longer.
    pub(super) async fn unshare(&mut self, what: &str) -> Result<Outcome, CommandError> {
        let absolute = std::path::absolute(what).unwrap_or_default();
        let real = absolute.canonicalize().unwrap_or_else(|_| absolute.clone());
        let paths = paths_meant(what, &[absolute, real], &self.roots, &self.sharing.shares);
        if paths.is_empty() {
            return Err(self.not_shared_error(what));
        }
        let mut names = Vec::new();
        for path in paths {
            names.extend(self.end_path(&path)?);
        }
        names.sort();
        self.save().await;
        let text = match names.as_slice() {
            [only] => format!("{only} is not shared any more"),
            all => format!("{} not shared any more", file_count(all.len())),
        };
        self.sharing.notes.step(Step::Shared, Level::Info, text).await;
        Ok(Outcome::Unshared { names })
    }

    fn end_path(&mut self, path: &Path) -> Result<Vec<FileName>, CommandError> {
        let Some(owner) = self.roots.nearest(path).map(|root| root.path.clone()) else {
            return Ok(Vec::new());
        };
        let mut roots = self.roots.clone();
        roots.remove(path);
        // What belongs to a directory further up as well goes from there too.
        if roots.nearest(path).is_some() && !roots.exclude(path.to_owned()) {
            return Err(Reason::Limit.because(format!(
                "{MAX_EXCLUDED} paths are excluded from sharing already; unshare a directory above them"
            )));
        }
        self.roots = roots;
        let names = self.pending.withdraw(&owner, path);
        if owner == path {
            self.states.remove(path);
            let watching = Arc::clone(&self.watching);
            self.sharing.net.tasks.spawn_blocking(move || {
                watching.lock().leave(&owner);
            });
        }
        Ok(names)
    }

    fn not_shared_error(&self, what: &str) -> CommandError {
        let shares = &self.sharing.shares;
        let names: Vec<String> =
            shares.all().into_iter().map(|file| file.name.to_string()).collect();
        let last = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
        let near = nearest_of(what, names.iter().map(String::as_str)).map(str::to_owned);
        let near = near.or_else(|| names.iter().find(|name| last(name) == what).cloned());
        let advice = match near {
            Some(near) => format!("did you mean '{near}'?"),
            None if names.is_empty() => "nothing is shared".to_owned(),
            None => "ls lists what is shared".to_owned(),
        };
        Reason::NotFound.because(format!("{} is not shared from here; {advice}", quoted(what)))
    }
}

/// The paths that a person means: a file by its name, a directory by the
/// beginning of its files' names, a path, or a shared directory by its last
/// part.
fn paths_meant(what: &str, typed: &[PathBuf], roots: &Roots, shares: &Shares) -> BTreeSet<PathBuf> {
    let name = FileName::new(what.trim_end_matches('/')).ok();
    if let Some(name) = &name {
        if let Some(file) = shares.named(name) {
            return BTreeSet::from([file.path]);
        }
        let below = format!("{name}/");
        let index = shares.index.lock();
        let inside =
            index.behind(Some(name)).filter(|entry| entry.name.as_str().starts_with(&below));
        let dirs: BTreeSet<PathBuf> =
            inside.map(|entry| entry.below.join(name.to_path())).collect();
        if !dirs.is_empty() {
            return dirs;
        }
    }
    for path in typed {
        let inside = roots.nearest(path).is_some() && !roots.is_excluded(path);
        let known = roots.get(path).is_some()
            || (inside && shares.index.lock().below(path).next().is_some());
        if known {
            return BTreeSet::from([path.clone()]);
        }
    }
    let called = |path: &Path| path.file_name().is_some_and(|last| last == what);
    let found: BTreeSet<PathBuf> =
        roots.iter().filter(|root| called(&root.path)).map(|root| root.path.clone()).collect();
    if found.len() == 1 { found } else { BTreeSet::new() }
}
