//! The greeting at the beginning of every connection, from both sides.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::Space;
use crate::limits::{MAX_REPLICAS, MAX_RING_NAME};
use crate::peer::Peer;

use super::codec::{self, CodecError};

/// The first bytes of every connection, which identify chordal.
pub const MAGIC: [u8; 8] = *b"chordal\0";

/// Incremented with every change of the bytes on the wire.
pub const PROTOCOL_VERSION: u16 = 5;

/// The parameters on which all members of a ring must agree.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Params {
    /// The ring's name, at most [`crate::limits::MAX_RING_NAME`] bytes of
    /// printable text.
    pub ring: String,
    /// The identifier space.
    pub space: Space,
    /// Copies of each file, k.
    pub replicas: u8,
}

/// The purpose of a connection; it decides which side speaks first after the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Control frames between two nodes.
    Member,
    /// Control frames from a client, which is not a node: requests only. The client accepts
    /// the ring's parameters as they are.
    Client,
    /// Data requests, from nodes and clients alike.
    Data,
    /// Frames between a node and a registry.
    Registry,
    /// From a node that is about to join: asks whether the address in its hello leads to
    /// it. The other side dials that address, presents the token there
    /// ([`Purpose::Present`]), and answers with one [`crate::wire::Response::Reached`].
    Verify(Token),
    /// The second half of [`Purpose::Verify`]: only the process that is reached at the
    /// dialled address sees the token. Both sides close after the hellos.
    Present(Token),
}

/// 128 random bits that cannot be guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u128);

/// What a node reached at the address that it was asked to verify. Details are only told
/// about a node: the asker must not learn which other programs run there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reached {
    /// A node, perhaps the asker itself.
    Node {
        /// The identity in its hello.
        peer: Peer,
        /// Its ring.
        params: Params,
    },
    /// A registry.
    Registry,
    /// Another program, or another version of this one.
    Stranger,
    /// The connection was refused.
    Refused,
    /// No answer came in time.
    Silent,
    /// The system has no route to the host.
    NoRoute,
    /// Not tried: it is a loopback address, and the asker is on another machine.
    Loopback,
    /// Not tried: too many addresses are being verified.
    Busy,
}

/// The kind of program that speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Program {
    /// A node of a ring.
    Node,
    /// A single command.
    Client,
    /// A registry, which knows nodes but is not one.
    Registry,
}

/// The first message of each side.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The purpose of the connection (the answering side repeats it).
    pub purpose: Purpose,
    /// The kind of the sender's program.
    pub program: Program,
    /// The sender's ring; `None` from a client that does not know it yet.
    pub params: Option<Params>,
    /// The address at which the sender can be reached, `None` from a client.
    pub address: Option<SocketAddr>,
    /// The sender's index at that address.
    pub index: u16,
    /// The program's version, for display.
    pub version: String,
    /// From the answering side: why it refuses the connection, in one sentence. It closes
    /// the connection then.
    pub refusal: Option<String>,
}

/// Bytes before the first frame of a connection: [`MAGIC`] and [`PROTOCOL_VERSION`]
/// (big-endian). They never change their meaning, so that any two versions can recognize
/// each other and say so.
pub const PREAMBLE_BYTES: usize = MAGIC.len() + 2;

/// Why two sides cannot talk to each other. Each text is the one line that the user sees.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The other side is not chordal.
    #[error("the other side does not speak chordal")]
    NotChordal,
    /// The other side has another version of the protocol.
    #[error(
        "the other side speaks protocol {theirs}, this one {ours}; run the same version on both"
    )]
    Version {
        /// The other side's version.
        theirs: u16,
        /// This side's version.
        ours: u16,
    },
    /// The other side is on another ring, or on the same with other parameters.
    #[error("the other side is on ring {}, this one on {}", Params::describe(.theirs), Params::describe(.ours))]
    OtherRing {
        /// The other side's parameters.
        theirs: Params,
        /// This side's parameters.
        ours: Params,
    },
    /// The other side refused, for this reason.
    #[error("{0}")]
    Refused(String),
    /// The hello cannot be decoded.
    #[error("the other side's greeting is damaged: {0}")]
    Damaged(#[from] CodecError),
}

impl HandshakeError {
    /// The refusal that the other side reads, for another version; `None` for what else
    /// is wrong with a greeting.
    pub const fn refusal(&self) -> Option<HandshakeError> {
        match *self {
            HandshakeError::Version { theirs, ours } => {
                Some(HandshakeError::Version { theirs: ours, ours: theirs })
            }
            _ => None,
        }
    }
}

impl Params {
    /// As text: `'chordal' (2^10 ids, 3 copies)`.
    pub fn describe(&self) -> String {
        format!("'{}' ({} ids, {} copies)", self.ring, self.space, self.replicas)
    }

    /// Whether the values are within their limits, which a peer may exceed.
    pub fn is_sane(&self) -> bool {
        (1..=MAX_REPLICAS).contains(&self.replicas) && is_ring_name(&self.ring)
    }
}

/// Whether a text is valid as a ring's name: printable, not empty, at most
/// [`MAX_RING_NAME`] bytes.
pub fn is_ring_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_RING_NAME && text.chars().all(|c| c.is_ascii_graphic())
}

impl Hello {
    /// The preamble and the hello: the first bytes of a connection.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&PROTOCOL_VERSION.to_be_bytes());
        bytes.extend_from_slice(&codec::frame(self)?);
        Ok(bytes)
    }

    /// The sender as a peer, if it has an address.
    pub fn peer(&self) -> Option<Peer> {
        self.address.map(|address| Peer::new(address, self.index))
    }
}

/// Checks the first bytes of a connection.
pub fn check_preamble(bytes: [u8; PREAMBLE_BYTES]) -> Result<(), HandshakeError> {
    let (magic, version) = bytes.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(HandshakeError::NotChordal);
    }
    let theirs = u16::from_be_bytes([version[0], version[1]]);
    if theirs != PROTOCOL_VERSION {
        return Err(HandshakeError::Version { theirs, ours: PROTOCOL_VERSION });
    }
    Ok(())
}
