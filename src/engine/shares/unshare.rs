//! What the word behind `unshare` means, and ending it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

use crate::name::FileName;
use crate::view::command::nearest_of;
use crate::view::{Level, Outcome};

use super::follow::Follow;
use super::roots::{MAX_EXCLUDED, Roots};
use super::{Shares, file_count};

impl Follow {
    /// Shares a file, or all below a path, no longer.
    pub(super) async fn unshare(&mut self, what: &str) -> Result<Outcome, String> {
        let absolute = std::path::absolute(what).unwrap_or_default();
        let real = absolute.canonicalize().unwrap_or_else(|_| absolute.clone());
        let paths = meant(what, &[absolute, real], &self.roots, &self.shared.shares);
        if paths.is_empty() {
            return Err(self.unknown(what));
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
        self.shared.event(Level::Info, text).await;
        Ok(Outcome::Unshared { names })
    }

    fn end_path(&mut self, path: &Path) -> Result<Vec<FileName>, String> {
        let Some(owner) = self.roots.nearest(path).map(|root| root.path.clone()) else {
            return Ok(Vec::new());
        };
        let mut roots = self.roots.clone();
        roots.remove(path);
        // What belongs to a directory further up as well goes from there too.
        if roots.nearest(path).is_some() && !roots.exclude(path.to_owned()) {
            return Err(format!(
                "{MAX_EXCLUDED} paths are excluded from sharing already; unshare a directory above them"
            ));
        }
        self.roots = roots;
        let names = self.book.withdraw(&owner, path);
        if owner == path {
            self.states.remove(path);
            let watching = Arc::clone(&self.watching);
            self.shared.tasks.spawn_blocking(move || {
                watching.lock().unwrap_or_else(PoisonError::into_inner).leave(&owner);
            });
        }
        Ok(names)
    }

    fn unknown(&self, what: &str) -> String {
        let shares = &self.shared.shares;
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
        format!("'{}' is not shared from here; {advice}", what.escape_debug())
    }
}

/// The paths that a person means: a file by its name, a directory by the
/// beginning of its files' names, a path, or a shared directory by its last
/// part.
fn meant(what: &str, typed: &[PathBuf], roots: &Roots, shares: &Shares) -> BTreeSet<PathBuf> {
    let name = FileName::new(what.trim_end_matches('/')).ok();
    if let Some(name) = &name {
        if let Some(file) = shares.named(name) {
            return BTreeSet::from([file.path]);
        }
        let below = format!("{name}/");
        let index = shares.index();
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
        let known =
            roots.get(path).is_some() || (inside && shares.index().below(path).next().is_some());
        if known {
            return BTreeSet::from([path.clone()]);
        }
    }
    let called = |path: &Path| path.file_name().is_some_and(|last| last == what);
    let found: BTreeSet<PathBuf> =
        roots.iter().filter(|root| called(&root.path)).map(|root| root.path.clone()).collect();
    if found.len() == 1 { found } else { BTreeSet::new() }
}
