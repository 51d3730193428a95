//! The owner's side of an upload, wherever its bytes come from: the core is asked whether
//! it is wanted, the bytes are stored here and along the chain, the record is committed,
//! and what this node cannot store goes to the nodes behind it.

use std::path::Path;

use tokio::task::block_in_place;

use chordal_core::chord::Upload;
use chordal_core::client::Instead;
use chordal_core::error::CommandError;
use chordal_core::peer::Peer;
use chordal_core::transfer::manifest::Manifest;
use chordal_core::wire::data::DataResponse;

use super::Data;
use super::commit::{self, Wanted};
use super::eager::Small;
use super::full_owner;
use super::plane::{DataConnection, DataError};
use super::relay;
use super::relay::{PassError, Passage, Unwritten};
use crate::transfers::Transfer;

/// Where the bytes of an upload are.
pub(crate) enum Source<'a> {
    /// In memory: they came with the header, or are a small file of this node's user.
    Memory(&'a Small),
    /// In a file of this node's user.
    File(&'a Path, &'a Manifest),
    /// On the other side of a connection, which sends what is missing here.
    Connection(&'a DataConnection, &'a Manifest),
}

/// Asks the core whether an upload is wanted; the nodes that are to hold copies, too.
///
/// # Errors
/// It is not wanted: the answer.
pub(crate) async fn offer(data: &Data, wanted: &Wanted) -> Result<Vec<Peer>, DataResponse> {
    let (offer, chain) = (commit::offer(data, wanted), relay::holders_of(data, &wanted.name));
    match tokio::join!(offer, chain) {
        (Some(Upload::Proceed), chain) => Ok(chain),
        (Some(other), _) => Err(commit::refusal(data, wanted, other).await),
        (None, _) => Err(commit::STOPPING),
    }
}

/// Stores an upload that is wanted: makes its bytes durable here, sends them along `chain`,
/// and commits; the answer. `heard` is told of copies.
///
/// # Errors
/// The bytes did not come, or the connection over which `heard` tells is of no use any more.
pub(crate) async fn store(
    data: &Data,
    wanted: &Wanted,
    chain: Vec<Peer>,
    source: Source<'_>,
    transfer: &Transfer,
    mut heard: impl FnMut(u8, u8) -> Result<(), DataError>,
) -> Result<DataResponse, DataError> {
    let (kept, behind) = source.bring(data, wanted, chain, transfer).await?;
    let (obstacle, why) = match kept {
        Ok(()) => match commit::commit(data, wanted, None, &mut heard).await? {
            // The bytes were taken, their record is not.
            DataResponse::Unable { obstacle, why, .. } => (obstacle, why),
            answer => return Ok(answer),
        },
        Err((Some(obstacle), why)) => (obstacle, why.to_string()),
        Err((None, why)) => return Ok(DataResponse::Failed { why }),
    };
    let Source::Memory(small) = source else {
        return Ok(full_owner::refusal(data, obstacle, why).await);
    };
    let holders = if behind.is_empty() {
        let (nodes, copies) = full_owner::instead(data).await;
        let instead = Instead::new(why, nodes, copies);
        match block_in_place(|| small.pass_over(data, &wanted.name, instead))? {
            Ok(holders) => holders,
            Err(why) => return Ok(DataResponse::Failed { why }),
        }
    } else {
        behind
    };
    transfer.restart(wanted.size);
    transfer.advance(wanted.size);
    commit::commit(data, wanted, Some((holders, obstacle)), heard).await
}

impl Source<'_> {
    /// Brings the bytes here and along the chain: whether they are here, and the nodes behind
    /// this one that have them.
    async fn bring(
        &self,
        data: &Data,
        wanted: &Wanted,
        chain: Vec<Peer>,
        transfer: &Transfer,
    ) -> Result<(Result<(), Unwritten>, Vec<Peer>), DataError> {
        let name = &wanted.name;
        let passed = match self {
            Source::Memory(small) => {
                let (kept, behind) = block_in_place(|| small.pass(data, name, &chain));
                if kept.is_ok() {
                    transfer.advance(wanted.size);
                }
                return Ok((kept, behind));
            }
            Source::File(path, manifest) => {
                let passage = Passage::of_owner(data, name, manifest, chain).await;
                block_in_place(|| passage.copy(path, transfer))
            }
            Source::Connection(connection, manifest) => {
                let passage = Passage::of_owner(data, name, manifest, chain).await;
                block_in_place(|| passage.receive(connection, transfer))
            }
        };
        match passed {
            Ok(behind) => Ok((Ok(()), behind)),
            Err(PassError::Data(error)) => Err(error),
            Err(PassError::Failed(why)) => Ok((Err((None, why)), Vec::new())),
            Err(PassError::Unable(obstacle, why)) => {
                Ok((Err((Some(obstacle), CommandError::Disk(why))), Vec::new()))
            }
        }
    }
}
