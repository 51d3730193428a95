//! The messages of the protocol, as types and as bytes.
//!
//! Pure: frames come in and go out as bytes, and no connection is opened here. Decoding
//! arbitrary bytes gives an error, never a panic, and never allocates by a length that a
//! peer only claims.
//!
//! A connection begins with a [`handshake::Hello`] from each side. A control connection
//! then carries [`Frame`]s, each length-delimited and at most
//! [`crate::limits::MAX_FRAME_BYTES`]; a data connection carries the small headers of
//! [`data`] with raw bytes behind them.

pub mod codec;
pub mod data;
pub mod handshake;
pub mod mesh;
pub mod message;
pub mod query;
pub mod registry;

use serde::{Deserialize, Serialize};

pub use mesh::MeshMessage;
pub use message::{Answer, Ask, Message, Nonce, Tell};
pub use query::{Request, Response};

/// One frame of a control connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Frame {
    /// From one node's core to another's. The indices select the ring positions behind the
    /// two addresses (see [`crate::peer`]).
    Core {
        /// Index of the sender at its advertised address.
        from: u16,
        /// Index of the receiver at its address.
        to: u16,
        /// The message.
        message: Message,
    },
    /// A question that a node's driver answers, for members and clients alike.
    Request {
        /// Chosen by the asker and returned in the response; unique per connection.
        id: u32,
        /// The question.
        request: Request,
    },
    /// The answer to the request with the same `id`.
    Response {
        /// The `id` of the request.
        id: u32,
        /// The answer.
        response: Response,
    },
    /// From one member's mesh to another's: links, gossip, searches. The indices are as in
    /// [`Frame::Core`].
    Mesh {
        /// Index of the sender at its advertised address.
        from: u16,
        /// Index of the receiver at its address.
        to: u16,
        /// The message.
        message: MeshMessage,
    },
    /// From a node to a registry.
    Report(registry::Report),
    /// From a registry to a node.
    News(registry::News),
    /// The sender closes this connection because it is idle or because it leaves: the end
    /// of the stream is then not a sign of a death.
    Bye,
}
