//! A put whose owner cannot store it.
//!
//! The owner says so ([`DataResponse::Unable`]), at once or when its disk runs full
//! or fails in the middle, or when it is asked because no bytes reach it
//! ([`instead_of`]), and names the next nodes along the ring. The side that puts the
//! file sends it to the first of them that takes it, as one link of a chain
//! ([`super::relay`]) that is as long as there are to be copies. What these have
//! already, from a chain that was broken off, is not sent again. Then the owner
//! is told where the bytes are ([`Request::Commit`], a message, so that it need not
//! take bytes); it gives the version, and counts the copies ([`chordal_core::chord`],
//! `replicas::elsewhere`).
//!
//! A small file is in the owner's memory when its disk refuses it, so the owner
//! sends it on itself, and the client hears of that at the end only.

use std::time::{Duration, Instant};

use chordal_core::chord::Upload;
use chordal_core::client::MAX_INSTEAD;
use chordal_core::error::{CommandError, Reason};
use chordal_core::limits::MAX_REPLICAS;
use chordal_core::peer::Peer;
use chordal_core::record::Obstacle;
use chordal_core::wire::data::DataResponse;
use chordal_core::wire::{Request, Response};

use super::Data;
use super::commit::{self, Wanted};
use super::fetch;
use super::plane::DataError;
use crate::data::access::Access;
use crate::net::requests::unexpected;
use crate::transfers::Transfer;

/// How long copies of what others have may not become more: longer than the owner
/// waits for one.
const COMMIT_PATIENCE: Duration = Duration::from_secs(35);

/// Bytes a second at which a copy is surely made, as the owner takes it.
const SLOWEST_COPY: u64 = 2 * 1024 * 1024;

/// A commit that takes longer than this is answered with the copies so far.
const COMMIT_SILENCE: Duration = Duration::from_secs(2);

/// How long an owner may take to name the nodes that take a content in its place: one that needs
/// longer is not there.
const INSTEAD_LIMIT: Duration = Duration::from_secs(3);

/// The nodes behind this one that may take what it cannot store, the nearest
/// first, and how many of them are to hold it.
pub(crate) async fn instead(data: &Data) -> (Vec<Peer>, u8) {
    let looked = data.core.look(|core| (core.successors().to_vec(), core.params().replicas)).await;
    let (mut instead, replicas) = looked.unwrap_or_default();
    instead.truncate(MAX_INSTEAD);
    let copies = usize::from(replicas).min(instead.len());
    (instead, copies as u8)
}

/// What an upload is told that this node, its owner, cannot store.
pub(crate) async fn refusal(data: &Data, obstacle: Obstacle, why: String) -> DataResponse {
    unable(instead(data).await, obstacle, why)
}

/// The same, where it is known which nodes may take it.
pub(crate) fn unable(
    (instead, copies): (Vec<Peer>, u8),
    obstacle: Obstacle,
    why: String,
) -> DataResponse {
    if instead.is_empty() {
        DataResponse::Failed { why: Reason::NoRoom.because(why) }
    } else {
        DataResponse::Unable { why, obstacle, instead, copies }
    }
}

/// Asks an owner that takes no bytes for nodes that take a content in its place. `None`: it does
/// not answer, or is the owner no more.
pub(crate) async fn instead_of(
    access: &Access,
    owner: Peer,
    wanted: &Wanted,
    transfer: &Transfer,
) -> Option<DataResponse> {
    let began = Instant::now();
    let Wanted { name, root, size, overwrite } = wanted.clone();
    let (holders, obstacle) = (Vec::new(), Obstacle::NoBytes);
    let request = Request::Commit { name, root, size, overwrite, holders, obstacle };
    let asking = async {
        let found = access.lookup(wanted.name.key(access.space()), None).await.ok()?;
        let is_owner = found.owner == owner;
        let answer =
            if is_owner { ask_for(access, owner, obstacle, &request).await.ok() } else { None };
        match answer? {
            Response::Upload(answer) => Some(answer),
            _ => None,
        }
    };
    let answer = tokio::select! {
        () = transfer.cancelled() => None,
        answer = tokio::time::timeout(INSTEAD_LIMIT, asking) => answer.ok().flatten(),
    };
    if let Access::Outside(outside) = access {
        // A node knows it from what it asks anyway. An owner that is slow with messages
        // is so with connections, too, and has longer for the next one.
        outside.plane.reach.answers_within(owner.address(), began.elapsed());
    }
    answer
}

/// Asks the owner, or, if that cannot be done, the member at hand to ask it; the other
/// way round when no bytes reach the owner, for one more connection may be what it
/// cannot take.
async fn ask_for(
    access: &Access,
    owner: Peer,
    obstacle: Obstacle,
    request: &Request,
) -> Result<Response, CommandError> {
    let mut ways = [owner.address(), access.member().address()];
    if obstacle == Obstacle::NoBytes {
        ways.reverse();
    }
    let answer = access.request(ways[0], request.clone()).await;
    if answer.is_err() && ways[1] != ways[0] {
        return access.request(ways[1], request.clone()).await;
    }
    answer
}

/// Tells the owner of a name which nodes have its new content, and waits for the copies.
/// `heard` is told of them. A client that cannot reach the owner asks the member at hand.
pub(crate) async fn commit(
    access: &Access,
    owner: Peer,
    wanted: &Wanted,
    elsewhere: (Vec<Peer>, Obstacle),
    mut heard: impl FnMut(u8, u8),
) -> Result<DataResponse, DataError> {
    let Wanted { name, root, size, overwrite } = wanted.clone();
    let (holders, obstacle) = elsewhere;
    let request = Request::Commit { name, root, size, overwrite, holders, obstacle };
    let patience = COMMIT_PATIENCE + Duration::from_secs(size / SLOWEST_COPY);
    let (mut last, mut copies) = (Instant::now(), 0);
    while last.elapsed() < patience {
        let answer = ask_for(access, owner, obstacle, &request).await;
        match answer.map_err(DataError::Failed)? {
            Response::Upload(DataResponse::Progress { copies: now, wanted }) => {
                if now > copies {
                    (last, copies) = (Instant::now(), now);
                }
                heard(now, wanted);
            }
            Response::Upload(answer) => return Ok(answer),
            other => return Err(DataError::Failed(unexpected(owner.address(), other))),
        }
    }
    let why = format!("only {copies} copies were durable in time; the ring keeps making the rest");
    Ok(DataResponse::Failed { why: Reason::TooFewCopies.because(why) })
}

/// Answers [`Request::Commit`]. `forwards`: for a client it is asked of the owner,
/// when that is another node.
pub(crate) async fn answer_commit(
    data: Data,
    wanted: Wanted,
    elsewhere: (Vec<Peer>, Obstacle),
    forwards: bool,
) -> Result<Response, CommandError> {
    fetch::check_size(wanted.size)?;
    let (mut holders, obstacle) = elsewhere;
    holders.truncate(usize::from(MAX_REPLICAS));
    Ok(Response::Upload(match commit::offer(&data, &wanted).await {
        Some(Upload::Proceed) if holders.is_empty() => {
            let why = obstacle.said_of(&data.net.me().me.to_string(), wanted.name.as_str());
            refusal(&data, obstacle, why).await
        }
        Some(Upload::Proceed) => commit_within(&data, &wanted, (holders, obstacle)).await,
        Some(Upload::NotOwner { .. }) if forwards => {
            let access = Access::Inside(data);
            let Wanted { name, root, size, overwrite } = wanted;
            let owner = access.lookup(name.key(access.space()), None).await?.owner;
            let request = Request::Commit { name, root, size, overwrite, holders, obstacle };
            return access.request(owner.address(), request).await;
        }
        Some(other) => commit::refusal(&data, &wanted, other).await,
        None => commit::STOPPING,
    }))
}

/// Commits, and says after a while how many copies there are: what the core has begun goes
/// on.
async fn commit_within(
    data: &Data,
    wanted: &Wanted,
    elsewhere: (Vec<Peer>, Obstacle),
) -> DataResponse {
    let (began, mut counted) = (Instant::now(), (0, 0));
    let mut heard = |copies, wanted| {
        counted = (copies, wanted);
        if began.elapsed() < COMMIT_SILENCE { Ok(()) } else { Err(DataError::Cancelled) }
    };
    let mut committed = None;
    if data.store.holds(&wanted.root) {
        committed = Some(commit::commit(data, wanted, None, &mut heard).await);
    }
    let committed = match committed {
        None | Some(Ok(DataResponse::Unable { .. })) => {
            commit::commit(data, wanted, Some(elsewhere), &mut heard).await
        }
        Some(committed) => committed,
    };
    let (copies, wanted) = counted;
    committed.unwrap_or(DataResponse::Progress { copies, wanted })
}
