//! Questions that a node answers for its ring's members and for clients that
//! have not joined (`chordal get NAME --via ADDR`).

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::Record;
use crate::wire::handshake::Params;

/// A question to a node's driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who are you, and who are your neighbours?
    Info,
    /// Your whole finger table.
    Fingers,
    /// Look this key up and tell me the hops.
    Lookup {
        /// The key.
        key: Id,
    },
    /// The files that you hold, in the order of their names, from behind
    /// `after`; at most [`crate::limits::MAX_PAGE`] an answer.
    Files {
        /// The last name of the page before.
        after: Option<FileName>,
    },
    /// The record under this name, if you hold one.
    Locate {
        /// The name.
        name: FileName,
    },
    /// Remove the name; asked of its owner. The answer comes when the
    /// tombstone is held by as many nodes as a put would need.
    Remove {
        /// The name.
        name: FileName,
    },
    /// Ping this peer for me and tell me the round trip.
    Ping {
        /// Whom; `None`: yourself.
        peer: Option<Peer>,
    },
    /// The members that you know of.
    Members,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Info`].
    Info(NodeInfo),
    /// To [`Request::Fingers`]: the nodes of all `m` entries in order.
    Fingers(Vec<Option<Peer>>),
    /// To [`Request::Lookup`].
    Lookup(LookupTrace),
    /// To [`Request::Files`].
    Files {
        /// The page.
        rows: Vec<HeldFile>,
        /// Whether more follow.
        more: bool,
    },
    /// To [`Request::Locate`].
    Locate {
        /// The record, which may be a tombstone; `None`: never heard of it.
        record: Option<Record>,
        /// Nodes that hold its bytes, as far as the answering node knows.
        holders: Vec<Peer>,
    },
    /// To [`Request::Remove`]: done.
    Removed {
        /// Nodes that hold the tombstone.
        copies: u8,
    },
    /// To [`Request::Ping`]: the round trip in microseconds.
    Pong {
        /// Microseconds.
        micros: u64,
    },
    /// To [`Request::Members`].
    Members {
        /// Known members, the answering node included, in ring order.
        members: Vec<Peer>,
        /// Whether these are all, by the last census.
        complete: bool,
    },
    /// The question could not be answered: one sentence for a person.
    Failed {
        /// What failed, on what, what to do.
        why: String,
    },
}

/// A node's identity and neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The node.
    pub peer: Peer,
    /// Its ring.
    pub params: Params,
    /// Whether it is a member (a node alone is the member of its own ring).
    pub member: bool,
    /// Its predecessor.
    pub predecessor: Option<Peer>,
    /// Its successor list.
    pub successors: Vec<Peer>,
    /// Its program's version.
    pub version: String,
}

/// One file that a node holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFile {
    /// The record (never a tombstone).
    pub record: Record,
    /// Whether the node owns the key.
    pub owner: bool,
    /// Copies known to exist, this one included.
    pub copies: u8,
    /// Copies wanted: k, or all nodes when fewer.
    pub wanted: u8,
}

/// How a lookup went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupTrace {
    /// The key.
    pub key: Id,
    /// Who owns it.
    pub owner: Peer,
    /// The owner's successor list: where copies are.
    pub successors: Vec<Peer>,
    /// Every node asked, in order, with the microseconds it took to answer
    /// (`None`: it did not).
    pub hops: Vec<(Peer, Option<u64>)>,
}
