//! Paths that have just been shared, until all that lies there is hashed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio::sync::oneshot;

use chordal_core::error::CommandError;
use chordal_view::Outcome;

use super::file::shown;

/// Reasons that an answer names: more do not help.
const MAX_REASONS: usize = 100;

/// How often a file may change under the hashing before it is not waited for.
const PATIENCE: usize = 5;

/// Where the answer goes.
pub(super) type Answer = oneshot::Sender<Result<Outcome, CommandError>>;

/// Paths that begin to be shared.
#[derive(Debug)]
pub(super) struct Opening {
    /// The paths.
    given: Vec<PathBuf>,
    /// The roots that were not looked at yet.
    unseen: BTreeSet<PathBuf>,
    /// Files that are not hashed yet.
    open: BTreeSet<PathBuf>,
    /// Files that changed while they were hashed, as often as they did.
    restless: Vec<PathBuf>,
    /// What is not shared, and why.
    reasons: Vec<String>,
    more_reasons: usize,
    answer: Option<Answer>,
}

impl Opening {
    /// Of paths that belong to these roots.
    pub(super) fn new(
        given: Vec<PathBuf>,
        roots: BTreeSet<PathBuf>,
        answer: Option<Answer>,
    ) -> Opening {
        Opening {
            given,
            unseen: roots,
            open: BTreeSet::new(),
            restless: Vec::new(),
            reasons: Vec::new(),
            more_reasons: 0,
            answer,
        }
    }

    /// The paths.
    pub(super) fn given(&self) -> &[PathBuf] {
        &self.given
    }

    /// Whether a path is one of them or lies below one.
    pub(super) fn covers(&self, path: &Path) -> bool {
        self.given.iter().any(|given| path.starts_with(given))
    }

    /// A path of a root was looked at; these files wait to be hashed.
    pub(super) fn looked<'a>(
        &mut self,
        root: &Path,
        at: &Path,
        waits: impl Fn(&Path) -> bool,
        pending: impl Iterator<Item = &'a PathBuf>,
    ) {
        // What went meanwhile is not waited for.
        self.open.retain(|path| waits(path) || !path.starts_with(at));
        if root == at && self.unseen.remove(root) {
            let below = pending.filter(|path| path.starts_with(at));
            let own: Vec<PathBuf> = below.filter(|path| self.covers(path)).cloned().collect();
            self.open.extend(own);
        }
    }

    /// A file is not shared. Returns whether a command waits that will tell of it.
    pub(super) fn skipped(&mut self, path: &Path, sentence: &str) -> bool {
        if !self.covers(path) {
            return false;
        }
        if self.reasons.len() < MAX_REASONS {
            self.reasons.push(sentence.to_owned());
        } else {
            self.more_reasons += 1;
        }
        self.answer.is_some()
    }

    /// A file changed while it was hashed.
    pub(super) fn restless(&mut self, path: &Path) {
        if !self.open.contains(path) {
            return;
        }
        self.restless.push(path.to_owned());
        if self.restless.iter().filter(|other| *other == path).count() >= PATIENCE {
            self.open.remove(path);
            self.reasons.push(format!(
                "{} is being written: it is shared when it stands still",
                shown(path)
            ));
        }
    }

    /// A file is shared, or will not be.
    pub(super) fn settled(&mut self, path: &Path) {
        self.open.remove(path);
    }

    /// Whether there is nothing left to wait for.
    pub(super) fn is_done(&self) -> bool {
        self.unseen.is_empty() && self.open.is_empty()
    }

    /// Answers the command that waits.
    pub(super) fn end(self, files: usize, bytes: u64) {
        let mut skipped = self.reasons;
        if self.more_reasons > 0 {
            skipped.push(format!("{} more are not shared", self.more_reasons));
        }
        if let Some(answer) = self.answer {
            let _ = answer.send(Ok(Outcome::Shared { files, bytes, skipped }));
        }
    }
}
