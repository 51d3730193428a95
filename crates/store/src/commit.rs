//! Changes of records, many at once: the changes that wait when the disk becomes free
//! become durable together ([`super::group`]).
//!
//! For a group, its lines are appended to the log of names and, with the bytes of loose
//! contents, to the journal ([`super::journal`]) → one fsync, of the journal or else of the
//! log → one transaction of the catalogue, which is synced unless the journal has all of
//! it. A group that fails fails for all its members, except that names can be forgotten
//! while no record can be kept.
//!
//! A full file of the journal is retired by a thread that is started for that; meanwhile
//! groups go on in the next file. When that is full as well, they wait.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;

use super::blob::Blobs;
use super::catalogue::Catalogue;
use super::error::{self, StoreError};
use super::group::Group;
use super::journal::{Journal, Segment};
use super::log::{self, NameLog};
use chordal_core::name::FileName;
use chordal_core::record::{ContentHash, Record, Version};
use chordal_core::transfer::manifest::Manifest;

/// A change that a caller asks for.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Keep a record whose blob is in its place and pinned.
    Keep {
        record: Record,
        /// The content's manifest, if it was finished and not committed.
        manifest: Option<Manifest>,
        /// The content's bytes, if nothing of it is durable.
        loose: Option<Vec<u8>>,
    },
    /// Forget a name, up to a version.
    Forget {
        name: FileName,
        /// The newest version that is forgotten.
        version: Version,
    },
}

/// The result of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The change took place; otherwise nothing had to change.
    pub(super) changed: bool,
    /// The content of the record that was removed.
    pub(super) removed: Option<ContentHash>,
}

type Answer = Result<Outcome, StoreError>;

/// The queue of changes and the logs that they go to.
#[derive(Debug)]
pub(super) struct Commits {
    group: Group<Change, Answer>,
    logs: Mutex<Logs>,
    /// The file of the journal before the one that grows, until it is retired. Locked
    /// during that. A thread may lock it while it holds `logs`, never the other way round.
    full: Mutex<Option<Segment>>,
    /// The thread that retires the last full file, or did so; `None` if there was none, or
    /// if callers do it themselves.
    retiring: Mutex<Option<JoinHandle<()>>>,
    aside: bool,
}

/// The files that a group is appended to.
#[derive(Debug)]
struct Logs {
    names: NameLog,
    journal: Journal,
}

impl Change {
    const fn name(&self) -> &FileName {
        match self {
            Change::Keep { record, .. } => &record.name,
            Change::Forget { name, .. } => name,
        }
    }
}

impl Commits {
    /// `names` has been read and, if necessary, rewritten; `journal` is empty.
    pub(super) fn new(names: NameLog, journal: Journal) -> Commits {
        let aside = journal.is_aside();
        let logs = Mutex::new(Logs { names, journal });
        let (group, full, retiring) = (Group::default(), Mutex::default(), Mutex::default());
        Commits { group, logs, full, retiring, aside }
    }

    /// Makes a change durable, together with those of other threads.
    pub(super) fn change(&self, change: Change, catalogue: &Catalogue, blobs: &Blobs) -> Answer {
        let work = |changes: Vec<Change>| self.perform(&changes, catalogue, blobs);
        self.group.join(change, work).unwrap_or_else(|| {
            let why = std::io::Error::other("the thread that wrote this group of changes panicked");
            Err(error::on("write", catalogue.path())(why))
        })
    }

    /// Makes changes durable; returns a result for each.
    pub(super) fn perform(
        &self,
        changes: &[Change],
        catalogue: &Catalogue,
        blobs: &Blobs,
    ) -> Vec<Answer> {
        let mut logs = self.logs.lock();
        let present = match catalogue.versions(changes.iter().map(Change::name)) {
            Ok(present) => present,
            Err(error) => return changes.iter().map(|_| Err(error.again())).collect(),
        };
        let mut due = due(changes, &present, |_| true);
        let mut failure = None;
        let secured = self.secure(&mut logs, changes, &due, catalogue, blobs);
        let journaled = secured.unwrap_or_else(|error| {
            due = self::due(changes, &present, |change| matches!(change, Change::Forget { .. }));
            failure = Some(error);
            false
        });
        let chosen: Vec<&Change> = chosen(changes, &due).collect();
        // Lines of forgotten names are not synced.
        let journaled = journaled && chosen.iter().all(|one| matches!(one, Change::Keep { .. }));
        let removed = match catalogue.change(&chosen, logs.journal.mark(), journaled) {
            Ok(removed) => removed,
            Err(error) => {
                // It is unknown whether the catalogue has what the log has.
                logs.names.distrust();
                return changes.iter().map(|_| Err(error.again())).collect();
            }
        };
        let forgotten = log::forgotten(chosen.iter().filter_map(|change| match change {
            Change::Keep { .. } => None,
            Change::Forget { name, version } => Some((name, version)),
        }));
        logs.names.append_forgotten(&forgotten);
        logs.journal.append_ahead(&forgotten);
        let mut removed = removed.into_iter();
        let answers = changes.iter().zip(&due).map(|(change, changed)| match (change, &failure) {
            (Change::Keep { .. }, Some(error)) => Err(error.again()),
            _ => {
                let removed = if *changed { removed.next().flatten() } else { None };
                Ok(Outcome { changed: *changed, removed })
            }
        });
        answers.collect()
    }

    /// Tests whether the journal's directory accepts a file.
    pub(super) fn probe(&self) -> Result<(), StoreError> {
        self.logs.lock().journal.probe()
    }

    /// Starts the retirement of a full file of the journal, if there is one and no thread
    /// is retiring it.
    pub(super) fn tidy(self: &Arc<Commits>, blobs: &Arc<Blobs>) {
        if !self.aside {
            return self.retire(blobs);
        }
        let due = self.full.try_lock().is_some_and(|full| full.as_ref().is_some_and(is_fresh));
        let mut retiring = self.retiring.lock();
        if !due || retiring.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        let (commits, blobs) = (Arc::clone(self), Arc::clone(blobs));
        let thread = Builder::new().name("journal".into());
        // If no thread can be started, the next caller that needs the room does it.
        *retiring = thread.spawn(move || commits.retire(&blobs)).ok();
    }

    /// Retires the whole journal after the thread that retires a file has ended. No other
    /// thread uses the store any more.
    pub(super) fn close(&self, catalogue: &Catalogue, blobs: &Blobs) -> Result<(), StoreError> {
        let thread = self.retiring.lock().take();
        if let Some(thread) = thread {
            // If the thread panicked, the work that it left is done below.
            let _ = thread.join();
        }
        self.rest(Duration::ZERO, catalogue, blobs)?;
        let nothing_left = self.logs.lock().journal.mark().is_none();
        if nothing_left { catalogue.settle(true) } else { Ok(()) }
    }

    fn retire(&self, blobs: &Blobs) {
        let Some(mut full) = self.full.try_lock() else { return };
        let Some(segment) = full.as_mut().filter(|segment| is_fresh(segment)) else { return };
        match segment.retire(blobs) {
            Ok(()) => *full = None,
            Err(error) => tracing::warn!(%error, "recent files stay in the journal"),
        }
    }

    /// Retires the whole journal if nothing was appended for so long.
    pub(super) fn rest(
        &self,
        at_least: Duration,
        catalogue: &Catalogue,
        blobs: &Blobs,
    ) -> Result<(), StoreError> {
        let mut logs = self.logs.lock();
        // A log that must be rewritten has less than the journal.
        if logs.journal.rests(at_least) && logs.names.is_open() {
            self.turn_over(&mut logs, catalogue, blobs)?;
        }
        drop(logs);
        retire(&mut self.full.lock(), blobs)
    }

    /// Makes the lines of all records to be kept durable, and their contents where they are
    /// not. Returns whether the journal has all these lines.
    fn secure(
        &self,
        logs: &mut Logs,
        changes: &[Change],
        due: &[bool],
        catalogue: &Catalogue,
        blobs: &Blobs,
    ) -> Result<bool, StoreError> {
        if !changes.iter().any(|change| matches!(change, Change::Keep { .. })) {
            return Ok(false);
        }
        // Also for a record that exists already: a commit of it may have failed between the
        // catalogue and the log.
        if !logs.names.is_open() {
            logs.names.rewrite(|push| catalogue.each_record(push))?;
        }
        if logs.journal.is_full() {
            self.turn_over(logs, catalogue, blobs)?;
        }
        let kept = chosen(changes, due).filter_map(|change| match change {
            Change::Keep { record, .. } => Some(record),
            Change::Forget { .. } => None,
        });
        let lines = log::lines(kept);
        // Also for a record that exists already: its content may have been lost.
        let loose: BTreeMap<&ContentHash, &[u8]> = changes
            .iter()
            .filter_map(|change| match change {
                Change::Keep { record, loose: Some(bytes), .. } => {
                    Some((&record.version.root, bytes.as_slice()))
                }
                _ => None,
            })
            .filter(|(root, _)| blobs.is_loose(root))
            .collect();
        if loose.is_empty() {
            if !lines.is_empty() {
                logs.names.append(&lines)?;
            }
            return Ok(false);
        }
        logs.names.append_ahead(&lines)?;
        let contents: Vec<(&ContentHash, &[u8])> = loose.into_iter().collect();
        if let Err(error) = logs.journal.append(&contents, &lines) {
            // It has lines that no catalogue will have.
            logs.names.distrust();
            return Err(error);
        }
        contents.iter().for_each(|(root, _)| blobs.fasten(root));
        Ok(true)
    }

    /// Ends the file of the journal that grows. Waits until the one before is retired.
    fn turn_over(
        &self,
        logs: &mut Logs,
        catalogue: &Catalogue,
        blobs: &Blobs,
    ) -> Result<(), StoreError> {
        // From now on the log and the catalogue must have what this file says about names.
        logs.names.sync()?;
        catalogue.settle(false)?;
        let mut full = self.full.lock();
        retire(&mut full, blobs)?;
        *full = logs.journal.take();
        Ok(())
    }
}

/// A file that could not be retired is tried again when its room is needed: a disk that
/// refuses is not asked at every commit.
const fn is_fresh(segment: &Segment) -> bool {
    !segment.has_failed()
}

fn retire(full: &mut Option<Segment>, blobs: &Blobs) -> Result<(), StoreError> {
    if let Some(segment) = full {
        segment.retire(blobs)?;
        *full = None;
    }
    Ok(())
}

/// Which changes take effect, when each one sees the result of those before it.
fn due(
    changes: &[Change],
    present: &BTreeMap<FileName, Version>,
    allowed: impl Fn(&Change) -> bool,
) -> Vec<bool> {
    let mut present: BTreeMap<&FileName, Version> =
        present.iter().map(|(name, version)| (name, *version)).collect();
    let due = changes.iter().map(|change| {
        let known = present.get(change.name()).copied();
        match change {
            change if !allowed(change) => false,
            Change::Keep { record, .. } => {
                let newer = known.is_none_or(|known| known < record.version);
                if newer {
                    present.insert(&record.name, record.version);
                }
                newer
            }
            Change::Forget { name, version } => {
                let old = known.is_some_and(|known| known <= *version);
                if old {
                    present.remove(name);
                }
                old
            }
        }
    });
    due.collect()
}

fn chosen<'a>(changes: &'a [Change], due: &'a [bool]) -> impl Iterator<Item = &'a Change> {
    changes.iter().zip(due).filter(|(_, due)| **due).map(|(change, _)| change)
}
