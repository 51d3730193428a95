//! Messages between the meshes of two nodes: links between peers, gossip that floods over
//! them, and searches that spread over the ring.
//!
//! These messages are not matched by number, as the core's questions and answers are: each
//! stands for itself, and losing one costs only time.

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::ContentHash;

/// A message between two meshes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeshMessage {
    /// About the link between the two nodes.
    Link(LinkMessage),
    /// Gossip that floods over all links.
    Gossip(Gossip),
    /// A search on its way down its tree, or results on their way up.
    Search(SearchMessage),
}

/// Messages about a link between two peers, which watch each other and pass gossip on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkMessage {
    /// Asks for a link.
    Open {
        /// The sender's user asked for it; `false` if it was drawn by chance.
        chosen: bool,
    },
    /// Accepts the link (also when it exists already).
    Accept,
    /// Refuses: the sender has as many links as it accepts.
    Refuse,
    /// Ends the link.
    Close,
    /// The sender's user ended the link, or does not want it: the receiver must not ask for
    /// it again.
    Unwanted,
    /// Asks whether the receiver is alive.
    Beat {
        /// The echo returns it.
        number: u32,
        /// Files that the sender shares.
        shared: u32,
    },
    /// Answers a beat.
    Echo {
        /// The number of the beat.
        number: u32,
        /// Files that the sender shares.
        shared: u32,
    },
}

/// Identifies a piece of gossip; drawn at random by its origin.
pub type GossipId = u128;

/// A piece of gossip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gossip {
    /// Its id: once seen, it is not passed on again.
    pub id: GossipId,
    /// The node that began it, as far as the nodes that passed it on are honest.
    pub origin: Peer,
    /// When it began, in milliseconds since the Unix epoch, by the origin's clock.
    pub unix_ms: u64,
    /// Number of links over which it may still be passed.
    pub hops: u8,
    /// Its content.
    pub body: GossipBody,
}

/// The content of a piece of gossip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GossipBody {
    /// A message of a user, at most [`crate::limits::MAX_SAY_BYTES`].
    Say(String),
    /// The files that the origin shares have changed.
    Shares {
        /// Number of files now.
        files: u32,
        /// Bytes of all files.
        bytes: u64,
    },
    /// The origin leaves the ring.
    Leaving,
}

/// Identifies a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SearchId {
    /// The node that searches.
    pub origin: Peer,
    /// The number that the origin gave it.
    pub number: u32,
}

/// A search spreads over a tree of members. Each node gets the end of the interval for
/// which it is responsible, divides it among the nodes it knows there, and passes results
/// back to the node that asked it (El-Ansary et al., *Efficient Broadcast in Structured P2P
/// Networks*, 2003).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SearchMessage {
    /// Asks the receiver to search its files, and to make all members between itself and
    /// `until` search theirs.
    Ask {
        /// The search.
        search: SearchId,
        /// The pattern, as the user wrote it; at most [`crate::limits::MAX_PATTERN_BYTES`].
        pattern: String,
        /// Exclusive end of the interval, which begins just after the receiver.
        until: Id,
        /// Number of messages from the origin to the receiver.
        depth: u8,
    },
    /// The sender has begun, and will say when it is done. Repeated from time to time until
    /// then: a longer silence is taken for a death.
    Taken {
        /// The search.
        search: SearchId,
    },
    /// Results from the sender's part of the tree.
    Found {
        /// The search.
        search: SearchId,
        /// At most [`crate::limits::MAX_PAGE`] rows.
        rows: Vec<FoundRow>,
    },
    /// The sender's part of the tree is done.
    Done {
        /// The search.
        search: SearchId,
        /// Nodes in the part that answered, including the sender.
        answered: u32,
        /// Number of messages from the origin to the deepest of them.
        depth: u8,
        /// Nodes in the part that did not answer; at most [`crate::limits::MAX_SILENT`].
        silent: Vec<Peer>,
        /// There were more results than a search passes on.
        truncated: bool,
    },
}

/// A file that a search found on one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FoundRow {
    /// The node that has it.
    pub node: Peer,
    /// Its name.
    pub name: FileName,
    /// The content.
    pub root: ContentHash,
    /// Its bytes.
    pub size: u64,
    /// Stored there by the ring; `false` if the node's user shares it.
    pub stored: bool,
}
