//! Reading files that are to be shared. Blocks.

use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chordal_core::error::CommandError;
use chordal_core::name::FileName;
use chordal_core::transfer::manifest::Manifest;
use chordal_descriptors::is_shortage;
use chordal_store::{Stamp, hash_open_file};
use chordal_view::TransferKind;

use super::walk::open_within;
use crate::sharing::Sharing;

/// From this size on, in bytes, a file is read alone, and that it is read shows
/// among the transfers: it takes longer than a glance.
pub(super) const LARGE: u64 = 16 << 20;

/// Small files that are read together: what they were hashed to is written to
/// the disk once for all of them.
pub(super) const BATCH_FILES: usize = 256;

/// A file to be read.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Where it lies.
    pub(super) path: PathBuf,
    /// The shared path that it must lie in.
    pub(super) below: PathBuf,
    /// Its name for others.
    pub(super) name: FileName,
    /// Its marks when it was seen.
    pub(super) stamp: Stamp,
    /// It is read whatever its marks say: it was not what they promised.
    pub(super) doubted: bool,
}

/// How that ended.
#[derive(Debug)]
pub(super) enum Hashed {
    /// It is this.
    Done(Arc<Manifest>),
    /// It changed or went meanwhile: look again.
    Changed,
    /// It cannot be shared.
    Failed(String),
}

/// Reads files, those that are known from earlier only by their marks.
pub(super) fn hash(sharing: &Sharing, wanted: Vec<Wanted>) -> Vec<(Wanted, Hashed)> {
    let mut read = Vec::new();
    let mut results = Vec::new();
    for file in wanted {
        let known =
            if file.doubted { Ok(None) } else { sharing.store.hashed(&file.path, &file.stamp) };
        let known = known.unwrap_or_else(|error| {
            tracing::warn!(%error, "what was hashed earlier cannot be read");
            None
        });
        let result = one(sharing, &file, known, &mut read);
        results.push((file, result));
    }
    let kept: Vec<(&Path, Stamp, &Manifest)> =
        read.iter().map(|(path, stamp, manifest)| (path.as_path(), *stamp, &**manifest)).collect();
    if !kept.is_empty()
        && let Err(error) = sharing.store.keep_hashed(&kept)
    {
        tracing::warn!(%error, "shared files will be hashed again at the next start");
    }
    results
}

fn one(
    sharing: &Sharing,
    file: &Wanted,
    known: Option<Manifest>,
    read: &mut Vec<(PathBuf, Stamp, Arc<Manifest>)>,
) -> Hashed {
    let (open, stamp) = match open_within(&file.path, &file.below) {
        Ok(opened) => opened,
        // It is looked at again, as a file that changed is.
        Err(error) if error.kind() == ErrorKind::NotFound || is_shortage(&error) => {
            return Hashed::Changed;
        }
        Err(error) => return Hashed::Failed(error.to_string()),
    };
    if stamp != file.stamp {
        return Hashed::Changed;
    }
    if let Some(known) = known {
        return Hashed::Done(Arc::new(known));
    }
    let transfer = (stamp.size >= LARGE)
        .then(|| sharing.transfers.open(TransferKind::Hash, file.name.as_str(), stamp.size));
    let cancelled = || transfer.as_ref().is_some_and(|transfer| transfer.is_cancelled());
    let hashed = hash_open_file(&open, |bytes| {
        if let Some(transfer) = &transfer {
            transfer.advance(bytes);
        }
        let end = sharing.net.stop.is_cancelled() || cancelled();
        if end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let after = open.metadata().map(|metadata| Stamp::of(&metadata));
    let same = after.is_ok_and(|after| after == stamp);
    let result = match hashed {
        Ok(manifest) if same => {
            let manifest = Arc::new(manifest);
            read.push((file.path.clone(), stamp, Arc::clone(&manifest)));
            Hashed::Done(manifest)
        }
        _ if cancelled() => Hashed::Failed("reading it was cancelled".to_owned()),
        Err(error) if same => Hashed::Failed(error.to_string()),
        _ => Hashed::Changed,
    };
    if let Some(transfer) = transfer {
        transfer.end(match &result {
            Hashed::Done(_) => Ok(()),
            Hashed::Changed => Err(CommandError::Disk("it changed meanwhile".to_owned())),
            Hashed::Failed(why) => Err(CommandError::Disk(why.clone())),
        });
    }
    result
}
