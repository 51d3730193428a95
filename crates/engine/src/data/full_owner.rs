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

use tokio::runtime::Handle;

use chordal_core::chord::Upload;
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

/// Nodes that are tried in the place of an owner. Where so many cannot store it,
/// the ring is full.
const MAX_INSTEAD: usize = 32;

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
    let (instead, copies) = instead(data).await;
    if instead.is_empty() {
        DataResponse::Failed { why: Reason::NoRoom.because(why) }
    } else {
        DataResponse::Unable { why, obstacle, instead, copies }
    }
}

/// The nodes that may take a content that its owner cannot store.
#[derive(Debug)]
pub(crate) struct Past {
    /// Why it does not take it itself.
    pub(crate) why: String,
    /// The same in a word.
    pub(crate) obstacle: Obstacle,
    /// Those that may, the nearest first.
    pub(crate) instead: Vec<Peer>,
    /// How many are to hold it.
    pub(crate) copies: u8,
}

impl Past {
    /// Has `relay` send the content to one node after the other, with the nodes
    /// that are to come behind it, until one takes it: the nodes that have it durably
    /// then. `Ok(Err)`: none takes it.
    ///
    /// # Errors
    /// Of `relay`, when `ends` says that it is of no use to go on.
    pub(crate) fn send(
        mut self,
        mut relay: impl FnMut(Peer, Vec<Peer>) -> Result<DataResponse, DataError>,
        ends: impl Fn(&DataError) -> bool,
    ) -> Result<Result<Vec<Peer>, CommandError>, DataError> {
        self.instead.truncate(MAX_INSTEAD);
        let others = usize::from(self.copies.min(MAX_REPLICAS)).saturating_sub(1);
        let mut refused = Vec::new();
        for (at, next) in self.instead.iter().enumerate() {
            let rest = self.instead[at + 1..].iter().take(others).copied().collect();
            let why = match relay(*next, rest) {
                Ok(DataResponse::Relayed { mut holders }) if !holders.is_empty() => {
                    holders.truncate(usize::from(MAX_REPLICAS));
                    return Ok(Ok(holders));
                }
                Ok(DataResponse::Failed { why }) => why.to_string(),
                Ok(other) => format!("it answered out of turn: {other:?}"),
                Err(error) if ends(&error) => return Err(error),
                Err(error) => error.to_string(),
            };
            tracing::info!(peer = %next, %why, "does not take what the owner cannot store");
            refused.push((*next, why));
        }
        Ok(Err(nobody(&self.why, &refused)))
    }
}

/// What is said when no node takes a content that its owner cannot store.
pub(crate) fn nobody(why: &str, others: &[(Peer, String)]) -> CommandError {
    let Some((last, reason)) = others.last() else {
        return Reason::NoRoom.because(why);
    };
    let mut names: Vec<String> =
        others.iter().map(|(peer, _)| peer.address().to_string()).collect();
    names.truncate(others.len() - 1);
    let before =
        if names.is_empty() { String::new() } else { format!("{} and ", names.join(", ")) };
    Reason::NoRoom.because(format!("{why}; nor do {before}{} take it: {reason}", last.address()))
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
        Some(Upload::Proceed) => {
            let runtime = Handle::current();
            let tasks = data.net.tasks.clone();
            let work = move || commit_within(&data, &runtime, &wanted, (holders, obstacle));
            tasks.spawn_blocking(work).await.unwrap_or(commit::STOPPING)
        }
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

/// Commits, and says after a while how many copies there are. Blocks.
fn commit_within(
    data: &Data,
    runtime: &Handle,
    wanted: &Wanted,
    elsewhere: (Vec<Peer>, Obstacle),
) -> DataResponse {
    let (began, mut counted) = (Instant::now(), (0, 0));
    let mut commit = |elsewhere| {
        commit::commit(data, runtime, wanted, elsewhere, |copies, wanted| {
            counted = (copies, wanted);
            if began.elapsed() < COMMIT_SILENCE { Ok(()) } else { Err(DataError::Cancelled) }
        })
    };
    let here = data.store.holds(&wanted.root).then(|| commit(None));
    let committed = match here {
        None | Some(Ok(DataResponse::Unable { .. })) => commit(Some(elsewhere)),
        Some(committed) => committed,
    };
    let (copies, wanted) = counted;
    committed.unwrap_or(DataResponse::Progress { copies, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn failed(why: &str) -> DataResponse {
        DataResponse::Failed { why: Reason::NoRoom.because(why) }
    }

    fn past(copies: u8) -> Past {
        let instead = (1..=5).map(peer).collect();
        let why = "127.0.0.1:9 has no room for it".to_owned();
        Past { why, obstacle: Obstacle::NoRoom, instead, copies }
    }

    #[test]
    fn the_first_that_takes_it_hears_who_comes_behind() {
        let mut asked = Vec::new();
        let took = past(3).send(
            |next, rest| {
                asked.push((next, rest));
                match next.address().port() {
                    1 => Ok(failed("no room")),
                    2 => Err(DataError::Peer("not today".to_owned())),
                    _ => Ok(DataResponse::Relayed { holders: vec![next, peer(4)] }),
                }
            },
            |_| false,
        );
        assert_eq!(took.expect("nothing ends it"), Ok(vec![peer(3), peer(4)]));
        assert_eq!(asked[0], (peer(1), vec![peer(2), peer(3)]));
        assert_eq!(asked[2], (peer(3), vec![peer(4), peer(5)]));
    }

    #[test]
    fn when_nobody_takes_it_all_are_named_in_one_sentence() {
        let full = |_, _| Ok(failed("no room either"));
        let mut two = past(3);
        two.instead.truncate(2);
        assert_eq!(
            two.send(full, |_| false).expect("nothing ends it"),
            Err(Reason::NoRoom.because(
                "127.0.0.1:9 has no room for it; nor do 127.0.0.1:1 and 127.0.0.1:2 take it: no \
                 room either"
            ))
        );
    }

    #[test]
    fn a_user_who_wants_no_more_ends_it() {
        let ended = past(1).send(
            |_, rest| {
                assert_eq!(rest, [], "one copy has nobody behind it");
                Err(DataError::Cancelled)
            },
            |error| matches!(error, DataError::Cancelled),
        );
        assert!(matches!(ended, Err(DataError::Cancelled)));
    }
}
