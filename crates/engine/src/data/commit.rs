//! What the owner of a name does with an upload, however its bytes came: asks the core
//! whether it may begin, has it committed, and says what became of it.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use chordal_core::chord::{Command, Failure, Reply, Upload};
use chordal_core::error::{CommandError, Reason};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Obstacle};
use chordal_core::wire::data::DataResponse;
use chordal_view::text::{bytes as show_bytes, is_cut_off};

use super::Data;
use super::full_owner;
use super::plane::DataError;

/// While copies are made, the uploading side hears at least this often.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// What takes no longer than this is told when it has ended; progress comes no
/// more often either.
const SILENCE: Duration = Duration::from_millis(50);

/// A file that is to be stored.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Under this name.
    pub(crate) name: FileName,
    /// The content.
    pub(crate) root: ContentHash,
    /// Its bytes.
    pub(crate) size: u64,
    /// Whether other content may be replaced.
    pub(crate) overwrite: bool,
}

/// Asks the core whether this upload may begin; `None`: the node is stopping.
pub(crate) async fn offer(data: &Data, wanted: &Wanted) -> Option<Upload> {
    let Wanted { name, root, overwrite, .. } = wanted.clone();
    match data.core.command(Command::Offer { name, root, overwrite }).await {
        Ok(Reply::Upload(upload)) => Some(upload),
        _ => None,
    }
}

/// What the uploading side hears when the answer is not to proceed.
pub(crate) async fn refusal(data: &Data, wanted: &Wanted, upload: Upload) -> DataResponse {
    match upload {
        Upload::Proceed => DataResponse::Proceed,
        Upload::Already { version, holders, wanted } => {
            let (passed, cut_off) = (Vec::new(), data.core.cut_off().await);
            let already = true;
            let stored =
                DataResponse::Stored { version, holders, wanted, already, passed, cut_off };
            at_least(data.min_copies, stored)
        }
        Upload::Exists { version, size } => {
            let why = format!(
                "{} exists with other content ({}, version {version}); --overwrite replaces it",
                wanted.name,
                show_bytes(size)
            );
            DataResponse::Failed { why: Reason::Exists.because(why) }
        }
        Upload::NotOwner { owner } => DataResponse::NotOwner { owner },
    }
}

/// The same answer, if there are so many copies; those that were made stay.
fn at_least(least: u8, stored: DataResponse) -> DataResponse {
    match stored {
        DataResponse::Stored { holders, cut_off, .. } if holders.len() < usize::from(least) => {
            DataResponse::Failed { why: too_few(holders.len(), least, cut_off) }
        }
        enough => enough,
    }
}

/// Why a put is not acknowledged that has fewer copies than `least`.
pub(crate) fn too_few(copies: usize, least: u8, cut_off: u32) -> CommandError {
    let why = is_cut_off(cut_off).map_or(String::new(), |why| format!(": {why}"));
    let made = if copies == 1 { "copy, which stays" } else { "copies, which stay" };
    let why = format!(
        "fewer copies than the {least} of --min-copies{why}; it has {copies} {made}: put it again \
         when more nodes are there"
    );
    Reason::TooFewCopies.because(why)
}

/// Has the core commit an upload whose bytes are durable here, or, if it says
/// which nodes have them, elsewhere, and waits for the copies; `progress` hears how many there
/// are, unless all are there in a moment.
pub(crate) async fn commit(
    data: &Data,
    wanted: &Wanted,
    elsewhere: Option<(Vec<Peer>, Obstacle)>,
    mut progress: impl FnMut(u8, u8) -> Result<(), DataError>,
) -> Result<DataResponse, DataError> {
    let of = wanted;
    let Wanted { name, root, size, overwrite } = wanted.clone();
    let (elsewhere, obstacle) = elsewhere.unwrap_or((Vec::new(), Obstacle::NoRoom));
    let command = Command::Commit { name, root, size, overwrite, elsewhere, obstacle };
    let (tell, mut copies) = watch::channel((0, 0));
    // Once the core has it, it is stored, waited for or not.
    let begun = data.core.begin(command, Some(tell)).await;
    let Some(mut reply) = begun else { return Ok(STOPPING) };
    let reply = loop {
        let next = match timeout(SILENCE, &mut reply).await {
            Ok(reply) => Some(reply),
            Err(_) => tokio::select! {
                biased;
                reply = &mut reply => Some(reply),
                Ok(()) = copies.changed() => None,
                // Copies of a large file take their time: say that they are being made.
                () = tokio::time::sleep(HEARTBEAT) => None,
            },
        };
        if let Some(reply) = next {
            break reply.ok();
        }
        let (copies, wanted) = *copies.borrow_and_update();
        progress(copies, wanted)?;
    };
    Ok(match reply {
        Some(Reply::Stored { version, holders, wanted, passed }) => {
            let (already, cut_off) = (false, data.core.cut_off().await);
            let stored =
                DataResponse::Stored { version, holders, wanted, already, passed, cut_off };
            at_least(data.min_copies, stored)
        }
        Some(Reply::Upload(upload)) => refusal(data, of, upload).await,
        // On its way out it owns nothing: the next owner takes the rest.
        Some(Reply::Failed(Failure::NotOwner | Failure::Busy(_))) => {
            DataResponse::NotOwner { owner: None }
        }
        Some(Reply::Failed(Failure::Store(why))) => {
            full_owner::refusal(data, why.obstacle(), why.to_string()).await
        }
        Some(Reply::Failed(failure)) => DataResponse::Failed { why: failure.into() },
        Some(other) => {
            let why = CommandError::Bug(format!("an unexpected reply: {other:?}"));
            DataResponse::Failed { why }
        }
        None => STOPPING,
    })
}

/// What a node that is stopping says to an upload: it owns nothing any more, and
/// the side that has the file looks for the next owner. (A put of its own user ends
/// with the node.)
pub(crate) const STOPPING: DataResponse = DataResponse::NotOwner { owner: None };
