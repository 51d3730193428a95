//! Changes of records, many at once: what is waiting when the disk is free
//! becomes durable together ([`super::group`]).
//!
//! A group is: its lines in the log of names → fsync, one transaction of the
//! catalogue. A group that fails fails for all its members, except that names can
//! be forgotten while nothing new can be kept.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use super::catalogue::Catalogue;
use super::error::{self, StoreError};
use super::group::Group;
use super::log::NameLog;
use crate::name::FileName;
use crate::record::{ContentHash, Record, Version};
use crate::transfer::manifest::Manifest;

/// What one caller wants.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// To keep a record, whose blob is in its place and pinned.
    Keep {
        /// The record.
        record: Record,
        /// The content's manifest, if it was finished and not committed.
        manifest: Option<Manifest>,
    },
    /// To forget a name, up to a version.
    Forget {
        /// The name.
        name: FileName,
        /// The newest version that is given up.
        version: Version,
    },
}

/// What became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The change took place; otherwise there was nothing to change.
    pub(super) changed: bool,
    /// The content that a removed record stood for.
    pub(super) removed: Option<ContentHash>,
}

/// One's own result.
type Answer = Result<Outcome, StoreError>;

/// Where groups gather.
#[derive(Debug)]
pub(super) struct Commits {
    group: Group<Change, Answer>,
    log: Mutex<NameLog>,
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
    /// With a log that was read and, if need be, written anew.
    pub(super) fn new(log: NameLog) -> Commits {
        Commits { group: Group::default(), log: Mutex::new(log) }
    }

    /// Makes a change durable, together with those of other threads.
    pub(super) fn change(&self, change: Change, catalogue: &Catalogue) -> Answer {
        let work = |changes: Vec<Change>| self.perform(&changes, catalogue);
        self.group.join(change, work).unwrap_or_else(|| {
            let why = std::io::Error::other("the thread that wrote it for several broke down");
            Err(error::on("write", catalogue.path())(why))
        })
    }

    /// Makes changes durable; a result for each.
    pub(super) fn perform(&self, changes: &[Change], catalogue: &Catalogue) -> Vec<Answer> {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let present = match catalogue.versions(changes.iter().map(Change::name)) {
            Ok(present) => present,
            Err(error) => return changes.iter().map(|_| Err(error.again())).collect(),
        };
        let mut due = due(changes, &present, |_| true);
        let mut failure = None;
        if let Err(error) = secure(&mut log, changes, &due, catalogue) {
            due = self::due(changes, &present, |change| matches!(change, Change::Forget { .. }));
            failure = Some(error);
        }
        let chosen: Vec<&Change> = chosen(changes, &due).collect();
        let removed = match catalogue.change(&chosen) {
            Ok(removed) => removed,
            Err(error) => {
                // Whether the catalogue has what the log has is not known.
                log.distrust();
                return changes.iter().map(|_| Err(error.again())).collect();
            }
        };
        log.append_forgotten(chosen.iter().filter_map(|change| match change {
            Change::Keep { .. } => None,
            Change::Forget { name, version } => Some((name, version)),
        }));
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
}

/// Which changes shall take place, when each sees what those before it do.
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

/// Makes the lines of all that shall be kept durable.
fn secure(
    log: &mut NameLog,
    changes: &[Change],
    due: &[bool],
    catalogue: &Catalogue,
) -> Result<(), StoreError> {
    let wants = |change: &Change| matches!(change, Change::Keep { .. });
    // Also for a record that is there already: a commit of it may have failed
    // between the catalogue and the log.
    if !log.is_open() && changes.iter().any(wants) {
        log.rewrite(|push| catalogue.each_record(push))?;
    }
    let kept: Vec<&Record> = chosen(changes, due)
        .filter_map(|change| match change {
            Change::Keep { record, .. } => Some(record),
            Change::Forget { .. } => None,
        })
        .collect();
    if kept.is_empty() {
        return Ok(());
    }
    log.append(kept.into_iter())
}
