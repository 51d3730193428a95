//! Who takes a content that its owner cannot store.

use crate::error::{CommandError, Reason};
use crate::limits::MAX_REPLICAS;
use crate::peer::Peer;
use crate::wire::data::DataResponse;

/// Nodes that are tried in the place of an owner. Where so many cannot store it, the ring is
/// full.
pub const MAX_INSTEAD: usize = 32;

/// The nodes that an owner names which may take a content that it cannot store. They are
/// tried one after the other, each as the first of a chain, until one takes it.
#[derive(Clone, Debug)]
pub struct Instead {
    why: String,
    nodes: Vec<Peer>,
    copies: u8,
    refused: Vec<(Peer, String)>,
}

impl Instead {
    /// `why`: the reason of the owner. `nodes`: the nearest first. `copies`: how many of them
    /// are to hold it.
    pub fn new(why: String, mut nodes: Vec<Peer>, copies: u8) -> Instead {
        nodes.truncate(MAX_INSTEAD);
        Instead { why, nodes, copies, refused: Vec::new() }
    }

    /// The node to send it to now, and those that come after it in the chain.
    ///
    /// # Errors
    /// None is left: who refused, and why the last one did.
    pub fn next(&self) -> Result<(Peer, Vec<Peer>), CommandError> {
        let left = &self.nodes[self.refused.len()..];
        let Some((next, rest)) = left.split_first() else { return Err(self.nobody()) };
        let others = usize::from(self.copies.min(MAX_REPLICAS)).saturating_sub(1);
        Ok((*next, rest.iter().take(others).copied().collect()))
    }

    /// The node of [`Instead::next`] does not take it.
    pub fn refuse(&mut self, why: String) {
        if let Some(node) = self.nodes.get(self.refused.len()) {
            self.refused.push((*node, why));
        }
    }

    fn nobody(&self) -> CommandError {
        let why = match self.refused.split_last() {
            None => self.why.clone(),
            Some(((last, reason), others)) => {
                let others: Vec<_> =
                    others.iter().map(|(peer, _)| peer.address().to_string()).collect();
                let and = if others.is_empty() { "" } else { " and " };
                format!(
                    "{}; nor do {}{and}{} take it: {reason}",
                    self.why,
                    others.join(", "),
                    last.address()
                )
            }
        };
        Reason::NoRoom.because(why)
    }
}

/// Who has a content durably, as the first node of a chain says.
///
/// # Errors
/// It does not take it: why.
pub fn holders_of(answer: DataResponse) -> Result<Vec<Peer>, String> {
    match answer {
        DataResponse::Relayed { mut holders } if !holders.is_empty() => {
            holders.truncate(usize::from(MAX_REPLICAS));
            Ok(holders)
        }
        DataResponse::Failed { why } => Err(why.to_string()),
        other => Err(format!("it answered out of turn: {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn instead(nodes: u16, copies: u8) -> Instead {
        let nodes = (1..=nodes).map(peer).collect();
        Instead::new("127.0.0.1:9 has no room for it".to_owned(), nodes, copies)
    }

    #[test]
    fn the_first_that_takes_it_hears_who_comes_behind() {
        let mut instead = instead(5, 3);
        assert_eq!(instead.next(), Ok((peer(1), vec![peer(2), peer(3)])));
        instead.refuse("no room".to_owned());
        instead.refuse("not today".to_owned());
        assert_eq!(instead.next(), Ok((peer(3), vec![peer(4), peer(5)])));
        let holders = vec![peer(3), peer(4)];
        assert_eq!(holders_of(DataResponse::Relayed { holders: holders.clone() }), Ok(holders));
        assert!(holders_of(DataResponse::Relayed { holders: Vec::new() }).is_err());
    }

    #[test]
    fn one_copy_has_no_other_node_behind_it() {
        assert_eq!(instead(5, 1).next(), Ok((peer(1), Vec::new())));
    }

    #[test]
    fn when_nobody_takes_it_all_are_named_in_one_sentence() {
        let mut instead = instead(2, 3);
        for _ in 0..2 {
            instead.next().expect("one is left");
            instead.refuse("no room either".to_owned());
        }
        assert_eq!(
            instead.next(),
            Err(Reason::NoRoom.because(
                "127.0.0.1:9 has no room for it; nor do 127.0.0.1:1 and 127.0.0.1:2 take it: no \
                 room either"
            ))
        );
    }
}
