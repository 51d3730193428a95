//! The headers of data connections. The bytes of files follow them raw and never pass
//! through serde.
//!
//! A data connection carries one request after another. Every header is one
//! length-delimited frame.

use serde::{Deserialize, Serialize};

use crate::error::CommandError;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Obstacle, PassedOver, Version};

/// A request of the dialling side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataRequest {
    /// The manifest of a content. Answered by [`DataResponse::Manifest`], then 32 raw bytes
    /// per piece.
    Manifest {
        /// The content.
        root: ContentHash,
    },
    /// Bytes of a content. Answered by [`DataResponse::Bytes`], then `length` raw bytes. A
    /// node that received a damaged piece asks for a single byte, to learn whether the
    /// content still exists.
    Bytes {
        /// The content.
        root: ContentHash,
        /// First byte.
        offset: u64,
        /// Number of bytes.
        length: u64,
        /// They are for a copy that the ring needs, not for a user.
        copy: bool,
    },
    /// A new file for its owner. Answered by [`DataResponse::Proceed`], or by a final
    /// answer at once. After `Proceed` the dialling side sends the manifest (32 raw bytes
    /// per piece), gets the list of missing pieces ([`DataResponse::Missing`]), and sends
    /// these.
    Upload {
        /// The name of the file.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Its bytes.
        size: u64,
        /// Whether other content under the name may be replaced.
        overwrite: bool,
        /// All bytes follow at once, without waiting for an answer: only allowed up to
        /// [`crate::limits::EAGER_BYTES`]. No manifest is sent (that of one piece is its
        /// hash), and no [`DataResponse::Proceed`].
        follows: bool,
    },
    /// A content for a chain of nodes that are to hold copies of it: each one sends on what
    /// it receives. Answered by [`DataResponse::Proceed`]; then the dialling side sends the
    /// manifest, gets the list of missing pieces and sends these, as in an upload. Ends
    /// with [`DataResponse::Relayed`].
    Relay {
        /// The name of the file.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Its bytes.
        size: u64,
        /// The next nodes of the chain, nearest first; at most
        /// [`crate::limits::MAX_REPLICAS`].
        rest: Vec<Peer>,
        /// As in [`DataRequest::Upload`].
        follows: bool,
    },
}

/// An answer of the accepting side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataResponse {
    /// Raw piece hashes follow.
    Manifest {
        /// Bytes of the content, from which the number of pieces follows.
        size: u64,
    },
    /// `length` raw bytes follow.
    Bytes {
        /// The length that was asked for.
        length: u64,
    },
    /// Send the manifest, and then the pieces that [`DataResponse::Missing`] asks for.
    Proceed,
    /// The manifest was received; send the missing pieces, in order. (A content of at most
    /// one piece is sent right after `Proceed`, without manifest and without this answer.)
    Missing {
        /// One bit per piece that is here already, the first piece in the lowest bit of the
        /// first byte; pieces beyond the last byte are missing.
        have: Vec<u8>,
    },
    /// The owner has the bytes; copies are being made. Sent for each copy. Also tells the
    /// sender of an upload or a relay that this side is alive while it verifies what it
    /// has, makes the content durable or waits for the nodes after it in the chain: then
    /// both fields are 0.
    Progress {
        /// Durable copies so far.
        copies: u8,
        /// Copies wanted.
        wanted: u8,
    },
    /// The upload is done.
    Stored {
        /// The version of the new record.
        version: Version,
        /// The nodes that hold it durably.
        holders: Vec<Peer>,
        /// Copies wanted.
        wanted: u8,
        /// The same content was stored under the name before.
        already: bool,
        /// The nodes that should hold it and cannot store it.
        passed: Vec<PassedOver>,
        /// Number of known hosts from which the owner seems to be cut off; 0 if none.
        cut_off: u32,
    },
    /// To [`DataRequest::Relay`]: the bytes are durable on these nodes of the chain,
    /// beginning with the answering one.
    Relayed {
        /// These nodes.
        holders: Vec<Peer>,
    },
    /// This node is not the owner of the name; ask the owner instead.
    NotOwner {
        /// The owner, if known.
        owner: Option<Peer>,
    },
    /// The content is not here.
    NotFound,
    /// The request failed. May come while bytes are being sent: the sender must stop then.
    Failed {
        /// Why.
        why: CommandError,
    },
    /// To an upload: the owner cannot store it. Send the content to the nodes named here,
    /// as [`DataRequest::Relay`], and then [`crate::wire::Request::Commit`] to the owner.
    /// May come while bytes are being sent: the sender must stop then.
    Unable {
        /// Which node cannot store it, and why: one sentence for the user.
        why: String,
        /// The kind of obstacle.
        obstacle: Obstacle,
        /// Nodes that may store it, nearest first.
        instead: Vec<Peer>,
        /// How many of them are to hold it.
        copies: u8,
    },
}
