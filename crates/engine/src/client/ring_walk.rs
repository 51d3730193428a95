//! A question to every member of the ring: those that one member knows are asked
//! first, and then the neighbours that these name, so that no member
//! is left out that a census missed. Many are asked at a time, and one that does not
//! answer is named.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use chordal_core::error::CommandError;
use chordal_core::peer::Peer;
use chordal_core::wire::query::NodeInfo;
use chordal_core::wire::{Request, Response};

use crate::data::access::Access;
use crate::net::requests::unexpected;

/// Members that are asked at a time.
pub(crate) const ASKED_AT_ONCE: usize = 16;

/// Members that are asked at the most: a bound on what hostile ones can name.
const MEMBERS_AT_MOST: usize = 4_096;

/// Of whom something is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    /// Every host once, at whichever of its positions is heard of first.
    Host,
    /// Every position of every host.
    Position,
}

/// A member's answer, and the neighbours that it names; `None`: the node there
/// is not that member.
pub(crate) type Said<T> = Option<(Vec<Peer>, T)>;

/// Asks every member; `heard` gets the answers in the order of their arrival and
/// may end it with an error. The members that did not answer, by address.
///
/// # Errors
/// A sentence: the ring cannot be asked, or what `heard` said.
pub(crate) async fn ask_all<T, F>(
    access: &Access,
    each: Each,
    ask: impl Fn(Access, Peer) -> F + Send,
    mut heard: impl FnMut(Peer, T) -> Result<(), CommandError> + Send,
) -> Result<Vec<Peer>, CommandError>
where
    T: Send + 'static,
    F: Future<Output = Result<Said<T>, CommandError>> + Send + 'static,
{
    let same = |peer: &Peer| match each {
        Each::Host => Peer::new(peer.address(), 0),
        Each::Position => *peer,
    };
    let mut known: BTreeSet<Peer> = BTreeSet::new();
    let mut waiting = members_of(access).await?;
    waiting.retain(|member| known.insert(same(member)));
    let mut silent = Vec::new();
    let mut asked = JoinSet::new();
    loop {
        while asked.len() < ASKED_AT_ONCE
            && let Some(member) = waiting.pop()
        {
            let answer = ask(access.clone(), member);
            asked.spawn(async move { (member, answer.await) });
        }
        match asked.join_next().await {
            None => break,
            Some(Ok((member, Ok(Some((neighbours, answer)))))) => {
                for other in neighbours {
                    if known.len() < MEMBERS_AT_MOST && known.insert(same(&other)) {
                        waiting.push(other);
                    }
                }
                heard(member, answer)?;
            }
            // One that has left, or a new node at its address.
            Some(Ok((_, Ok(None)))) => {}
            Some(Ok((member, Err(why)))) => {
                tracing::debug!(%member, %why, "a member does not answer");
                silent.push(member);
            }
            Some(Err(error)) => {
                return Err(CommandError::Bug(format!("the ring could not be asked: {error}")));
            }
        }
    }
    silent.sort_by_key(|peer| (peer.address(), peer.index()));
    Ok(silent)
}

/// Asks once more where there is no answer: the node may only have had too
/// much to do.
///
/// # Errors
/// A sentence: there is none again.
pub(crate) async fn twice<T, F>(ask: impl Fn() -> F) -> Result<T, CommandError>
where
    F: Future<Output = Result<T, CommandError>>,
{
    match ask().await {
        Err(_) => ask().await,
        answer => answer,
    }
}

/// The members that the one at hand knows.
///
/// # Errors
/// A sentence: it does not answer.
pub(crate) async fn members_of(access: &Access) -> Result<Vec<Peer>, CommandError> {
    match access.request(access.member().address(), Request::Members).await? {
        Response::Members { members, .. } => Ok(members),
        other => Err(unexpected(access.member().address(), other)),
    }
}

/// Whether a node is a member of the ring that `access` leads to: one that has left
/// its ring is the only member of its own.
pub(crate) fn is_member(access: &Access, node: &NodeInfo) -> bool {
    let alone = node.predecessor.is_none() && node.successors.is_empty();
    node.member || alone && node.peer.address() == access.member().address()
}

/// The neighbours that a host names at its first position, if it holds that
/// position of `member`.
///
/// # Errors
/// A sentence: it does not answer.
pub(crate) async fn neighbours_of(
    access: &Access,
    member: Peer,
) -> Result<Option<Vec<Peer>>, CommandError> {
    match access.request(member.address(), Request::Info).await? {
        Response::Info(node)
            if is_member(access, &node) && node.positions.contains(&member.index()) =>
        {
            Ok(Some(node.successors.into_iter().chain(node.predecessor).collect()))
        }
        Response::Info(_) => Ok(None),
        other => Err(unexpected(member.address(), other)),
    }
}
