//! The headers of data connections. Bulk bytes follow them raw: they never
//! pass through serde.
//!
//! A data connection carries one request after another. Every header is one
//! length-delimited frame.

use serde::{Deserialize, Serialize};

use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Obstacle, PassedOver, Version};

/// What the dialling side wants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataRequest {
    /// The manifest of a content. Answered by [`DataResponse::Manifest`], then
    /// 32 raw bytes a piece.
    Manifest {
        /// The content.
        root: ContentHash,
    },
    /// Bytes of a content. Answered by [`DataResponse::Bytes`], then `length`
    /// raw bytes. A single byte of many is asked for by whoever was sent a
    /// damaged piece, and wants to know whether the content is there still.
    Bytes {
        /// The content.
        root: ContentHash,
        /// First byte.
        offset: u64,
        /// Bytes.
        length: u64,
        /// They are for a copy that the ring needs, not for a person.
        copy: bool,
    },
    /// A new file for its owner. Answered by [`DataResponse::Proceed`] or a
    /// final answer at once. After `Proceed` the dialling side sends the
    /// manifest (32 raw bytes a piece), is told what is missing
    /// ([`DataResponse::Missing`]), and sends that.
    Upload {
        /// Under this name.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Its bytes.
        size: u64,
        /// Whether other content under the name may be replaced.
        overwrite: bool,
        /// All bytes follow at once, without waiting for an answer: only when
        /// they are at most [`crate::limits::EAGER_BYTES`]. No manifest is sent
        /// (that of one piece is its hash), and no [`DataResponse::Proceed`].
        follows: bool,
    },
    /// A content on its way along a chain of nodes that are to hold copies of
    /// it: each sends on what it receives. Answered by [`DataResponse::Proceed`];
    /// then the dialling side sends the manifest, is told what is missing and
    /// sends that, as in an upload. Ends with [`DataResponse::Relayed`].
    Relay {
        /// Under this name.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Its bytes.
        size: u64,
        /// Who comes next, nearest first; at most
        /// [`crate::limits::MAX_REPLICAS`].
        rest: Vec<Peer>,
        /// As in [`DataRequest::Upload`].
        follows: bool,
    },
}

/// What the accepting side answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataResponse {
    /// Raw piece hashes follow.
    Manifest {
        /// Bytes of the content; with the piece size of the protocol this
        /// gives the number of pieces.
        size: u64,
    },
    /// `length` raw bytes follow.
    Bytes {
        /// As asked.
        length: u64,
    },
    /// Send the manifest, and then what [`DataResponse::Missing`] says.
    Proceed,
    /// The manifest came; send the pieces that are not here yet, in their
    /// order. (Of a content that has at most one piece everything is sent after
    /// `Proceed` at once, without manifest and without this.)
    Missing {
        /// A bit for each piece that is here already, the first piece's the
        /// lowest of the first byte; what lies behind the last byte is not here.
        have: Vec<u8>,
    },
    /// The owner has the bytes; copies are being made. Sent as they come. Also
    /// says, to an upload and to a relay, that the other side is alive while it
    /// looks at what it has, makes the content durable or waits for those
    /// behind it: then both are 0.
    Progress {
        /// Durable copies so far.
        copies: u8,
        /// Copies wanted.
        wanted: u8,
    },
    /// The upload is done.
    Stored {
        /// The version it got.
        version: Version,
        /// Who holds it durably.
        holders: Vec<Peer>,
        /// Copies wanted.
        wanted: u8,
        /// The same content was there already.
        already: bool,
        /// Who should hold it and cannot store it.
        passed: Vec<PassedOver>,
        /// Of so many hosts that it knew lately the owner seems to be cut off.
        cut_off: u32,
    },
    /// To [`DataRequest::Relay`]: the bytes are durable on these nodes of the
    /// chain, the answering one first.
    Relayed {
        /// Who has them.
        holders: Vec<Peer>,
    },
    /// Not the owner of that name; ask this node instead.
    NotOwner {
        /// Who is, as far as known.
        owner: Option<Peer>,
    },
    /// There is no such content here.
    NotFound,
    /// It cannot be done: one sentence for a person. May come while bytes are
    /// being sent: no more of them are wanted then.
    Failed {
        /// What failed, on what, what to do.
        why: String,
    },
    /// To an upload: its owner cannot store it. Send the content to the others named
    /// here, as [`DataRequest::Relay`], and then [`crate::wire::Request::Commit`] to
    /// the owner. May come while bytes are being sent: no more of them are wanted
    /// then.
    Unable {
        /// Why which node cannot: one sentence for a person.
        why: String,
        /// The same in a word.
        obstacle: Obstacle,
        /// Who may take it, the nearest first.
        instead: Vec<Peer>,
        /// How many of them are to hold it.
        copies: u8,
    },
}
