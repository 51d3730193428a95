//! A put whose owner has no room.
//!
//! The owner says so ([`DataResponse::Full`]), at once or when its disk runs full
//! in the middle, and names the next nodes along the ring. Whoever puts the file
//! sends it to the first of them that takes it, as one link of a chain
//! ([`super::relay`]) that is as long as there are to be copies. What these have
//! already, from a chain that was broken off, is not sent again. Then the owner
//! is told where the bytes are ([`DataRequest::Commit`]); it gives the version,
//! and counts the copies ([`crate::chord`], `replicas::elsewhere`).
//!
//! A small file is in the owner's memory when its disk refuses it, so the owner
//! sends it on itself, and the client hears of that at the end only.

use crate::limits::MAX_REPLICAS;
use crate::peer::Peer;
use crate::wire::data::{DataRequest, DataResponse};

use super::data::{DataConnection, DataError};
use super::shared::Shared;

/// Nodes that are tried in the place of an owner without room. Where so many
/// have none, the ring is full.
const MAX_INSTEAD: usize = 32;

/// The nodes behind this one that may take what it has no room for, the nearest
/// first, and how many of them are to hold it.
pub(super) async fn instead(shared: &Shared) -> (Vec<Peer>, u8) {
    let looked = shared.look(|core| (core.successors().to_vec(), core.params().replicas)).await;
    let (mut instead, replicas) = looked.unwrap_or_default();
    instead.truncate(MAX_INSTEAD);
    let copies = usize::from(replicas).min(instead.len());
    (instead, copies as u8)
}

/// What an upload is told for which this node, its owner, has no room.
pub(super) async fn refusal(shared: &Shared, why: String) -> DataResponse {
    let (instead, copies) = instead(shared).await;
    if instead.is_empty() {
        DataResponse::Failed { why }
    } else {
        DataResponse::Full { why, instead, copies }
    }
}

/// Who an owner without room says may take a content.
#[derive(Debug)]
pub(super) struct Past {
    /// Why it does not take it itself.
    pub(super) why: String,
    /// Who may, the nearest first.
    pub(super) instead: Vec<Peer>,
    /// How many are to hold it.
    pub(super) copies: u8,
}

impl Past {
    /// Has `relay` send the content to one node after the other, with word of who
    /// is to come behind it, until one takes it: who has it durably then. Or, as
    /// `Ok(Err)`, a sentence about those that do not.
    ///
    /// # Errors
    /// Of `relay`, when `ends` says that it is of no use to go on.
    pub(super) fn send(
        mut self,
        mut relay: impl FnMut(Peer, Vec<Peer>) -> Result<DataResponse, DataError>,
        ends: impl Fn(&DataError) -> bool,
    ) -> Result<Result<Vec<Peer>, String>, DataError> {
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
                Ok(DataResponse::Failed { why }) => why,
                Ok(other) => format!("it answered out of turn: {other:?}"),
                Err(error) if ends(&error) => return Err(error),
                Err(error) => error.to_string(),
            };
            tracing::info!(peer = %next, %why, "does not take what the owner has no room for");
            refused.push((*next, why));
        }
        Ok(Err(nobody(&self.why, &refused)))
    }
}

/// What is said when no node takes a content for which its owner has no room.
pub(super) fn nobody(why: &str, others: &[(Peer, String)]) -> String {
    let Some((last, reason)) = others.last() else { return why.to_owned() };
    let mut names: Vec<String> =
        others.iter().map(|(peer, _)| peer.address().to_string()).collect();
    names.truncate(others.len() - 1);
    let before =
        if names.is_empty() { String::new() } else { format!("{} and ", names.join(", ")) };
    format!("{why}; nor do {before}{} take it: {reason}", last.address())
}

/// Tells the owner of a name who has its new content, and waits for the copies.
/// `heard` is told of them. Blocks.
pub(super) fn commit(
    connection: &mut DataConnection,
    request: &DataRequest,
    mut heard: impl FnMut(u8, u8),
) -> Result<DataResponse, DataError> {
    connection.send(request)?;
    loop {
        match connection.receive()? {
            DataResponse::Progress { copies, wanted } => heard(copies, wanted),
            answer => return Ok(answer),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn past(copies: u8) -> Past {
        let instead = (1..=5).map(peer).collect();
        Past { why: "127.0.0.1:9 has no room for it".to_owned(), instead, copies }
    }

    #[test]
    fn the_first_that_takes_it_hears_who_comes_behind() {
        let mut asked = Vec::new();
        let took = past(3).send(
            |next, rest| {
                asked.push((next, rest));
                match next.address().port() {
                    1 => Ok(DataResponse::Failed { why: "no room".to_owned() }),
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
        let full = |_, _| Ok(DataResponse::Failed { why: "no room either".to_owned() });
        let mut two = past(3);
        two.instead.truncate(2);
        assert_eq!(
            two.send(full, |_| false).expect("nothing ends it"),
            Err("127.0.0.1:9 has no room for it; nor do 127.0.0.1:1 and 127.0.0.1:2 take it: no \
                 room either"
                .to_owned())
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
