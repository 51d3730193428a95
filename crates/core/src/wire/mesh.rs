//! What the meshes of two nodes say to each other: links between peers, gossip
//! that floods over them, and searches that spread over the ring.
//!
//! Nothing here waits for an answer by number, as the core's questions do: each
//! message stands for itself, and losing one costs time, never order.

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::ContentHash;

/// A message between two meshes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MeshMessage {
    /// About the link between the two.
    Link(LinkMessage),
    /// News that flood over all links.
    Gossip(Gossip),
    /// A search on its way down its tree, or results on their way up.
    Search(SearchMessage),
}

/// About a link: two peers that watch each other and pass gossip on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkMessage {
    /// I would like a link with you.
    Open {
        /// Because my user asked for it, not by chance.
        chosen: bool,
    },
    /// We have one now (also when there was one).
    Accept,
    /// I have as many links as I take.
    Refuse,
    /// I end the link.
    Close,
    /// The sender's user ended the link, or does not want it: it is not to be asked for
    /// again.
    Unwanted,
    /// Are you there?
    Beat {
        /// Comes back in the echo.
        number: u32,
        /// Files that the sender shares.
        shared: u32,
    },
    /// I am here.
    Echo {
        /// That of the beat.
        number: u32,
        /// Files that the sender shares.
        shared: u32,
    },
}

/// What tells one piece of gossip from all others; drawn at random where it
/// begins.
pub type GossipId = u128;

/// A piece of gossip.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gossip {
    /// Its name: seen once, it is not passed on again.
    pub id: GossipId,
    /// Who began it, as far as those who passed it on say the truth.
    pub origin: Peer,
    /// When, in milliseconds since the Unix epoch, by the origin's clock.
    pub unix_ms: u64,
    /// Links that it may still be passed over.
    pub hops: u8,
    /// What it says.
    pub body: GossipBody,
}

/// What a piece of gossip says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GossipBody {
    /// A sentence of a person, at most [`crate::limits::MAX_SAY_BYTES`].
    Say(String),
    /// The origin shares other files than before.
    Shares {
        /// How many now.
        files: u32,
        /// Bytes of all.
        bytes: u64,
    },
    /// The origin leaves.
    Leaving,
}

/// What tells one search from all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SearchId {
    /// Who searches.
    pub origin: Peer,
    /// The origin's number for it.
    pub number: u32,
}

/// A search spreads over a tree of members. Each is told up to where it is
/// responsible, divides that among the nodes it knows there, and passes results
/// back to whoever asked it (El-Ansary et al., *Efficient Broadcast in
/// Structured P2P Networks*, 2003).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SearchMessage {
    /// Search your files, and have all members between you and `until` search
    /// theirs.
    Ask {
        /// Which search.
        search: SearchId,
        /// The pattern, as a person wrote it; at most
        /// [`crate::limits::MAX_PATTERN_BYTES`].
        pattern: String,
        /// Exclusive end of the interval, which begins behind the receiver.
        until: Id,
        /// Messages from the origin to the receiver.
        depth: u8,
    },
    /// I have taken that on; I will say when it is done. Said again every now
    /// and then until then: a longer silence is taken for a death.
    Taken {
        /// Which search.
        search: SearchId,
    },
    /// Results, from the receiver's own part of the tree.
    Found {
        /// Which search.
        search: SearchId,
        /// At most [`crate::limits::MAX_PAGE`].
        rows: Vec<FoundRow>,
    },
    /// Nothing more will come from this part of the tree.
    Done {
        /// Which search.
        search: SearchId,
        /// Nodes in it that answered, the sender included.
        answered: u32,
        /// Messages from the origin to the deepest of them.
        depth: u8,
        /// Nodes in it that did not answer; at most
        /// [`crate::limits::MAX_SILENT`].
        silent: Vec<Peer>,
        /// There were more results than are passed on.
        truncated: bool,
    },
}

/// A file that a search found on one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FoundRow {
    /// On which node.
    pub node: Peer,
    /// Under which name.
    pub name: FileName,
    /// The content.
    pub root: ContentHash,
    /// Its bytes.
    pub size: u64,
    /// Stored by the ring there (`false`: shared by its user).
    pub stored: bool,
}
