//! The first thing that is said on every connection, by both sides.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::Space;
use crate::limits::{MAX_REPLICAS, MAX_RING_NAME};
use crate::peer::Peer;

use super::codec::{self, CodecError};

/// The first bytes of every connection: "this is chordal".
pub const MAGIC: [u8; 8] = *b"chordal\0";

/// Raised with every change of the bytes on the wire.
pub const PROTOCOL_VERSION: u16 = 5;

/// What the members of one ring must agree on.
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

/// What a connection is for; says who speaks first after the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Purpose {
    /// Control frames between two nodes.
    Member,
    /// Control frames from somebody who is not a node: requests only, and the
    /// ring's parameters are taken as they are.
    Client,
    /// Data requests, from nodes and clients alike.
    Data,
    /// Frames between a node and a registry.
    Registry,
    /// From a node that is about to join: it asks whether the address in its hello
    /// leads to it. The other side dials that address, presents the token
    /// there ([`Purpose::Present`]), and answers with one
    /// [`crate::wire::Response::Reached`].
    Verify(Token),
    /// The second half of [`Purpose::Verify`]: only the process that is reached at the
    /// dialled address sees the token. Both sides close after the hellos.
    Present(Token),
}

/// 128 random bits that nobody guesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Token(pub u128);

/// Whom a node reached at the address that it was asked to verify. Of everything
/// but a node no more than this is told: whoever asks shall not learn what runs there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reached {
    /// A node, perhaps the asker.
    Node {
        /// As what it introduced itself.
        peer: Peer,
        /// Its ring.
        params: Params,
    },
    /// A registry.
    Registry,
    /// Another program, or another version of this one.
    Stranger,
    /// Nobody: the connection was refused.
    Refused,
    /// Nobody: no answer came in time.
    Silent,
    /// Nobody: the system knows no way there.
    NoRoute,
    /// Not tried: the address is one of a machine with itself, and the asker is on another.
    Loopback,
    /// Not tried: too many addresses are being verified.
    Busy,
}

/// What program speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Program {
    /// A node of a ring.
    Node,
    /// A single command.
    Client,
    /// A registry: it knows nodes and is none.
    Registry,
}

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What the connection is for (the answering side repeats it).
    pub purpose: Purpose,
    /// What the sender is.
    pub program: Program,
    /// The sender's ring; `None` from a client that does not know it yet.
    pub params: Option<Params>,
    /// The address at which the sender can be reached, `None` from a client.
    pub address: Option<SocketAddr>,
    /// The sender's index at that address.
    pub index: u16,
    /// The program's version, for people.
    pub version: String,
    /// From the answering side: why it will not speak, in one sentence. It
    /// closes after it.
    pub refusal: Option<String>,
}

/// Bytes before the first frame of a connection: [`MAGIC`] and
/// [`PROTOCOL_VERSION`] (big-endian). They never change their meaning, so that
/// any two versions can tell each other apart and say so.
pub const PREAMBLE_BYTES: usize = MAGIC.len() + 2;

/// Why two sides do not speak with each other. Each text is the one clear line
/// that a person gets to see.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Whatever is there, it is not chordal.
    #[error("the other side does not speak chordal")]
    NotChordal,
    /// Another version of the protocol.
    #[error(
        "the other side speaks protocol {theirs}, this one {PROTOCOL_VERSION}; run the same version on both"
    )]
    Version {
        /// Theirs.
        theirs: u16,
    },
    /// Another ring, or the same with other parameters.
    #[error("the other side is on ring {}, this one on {}", Params::describe(.theirs), Params::describe(.ours))]
    OtherRing {
        /// Theirs.
        theirs: Params,
        /// Ours.
        ours: Params,
    },
    /// The other side said why not.
    #[error("{0}")]
    Refused(String),
    /// The hello cannot be understood.
    #[error("the other side's greeting is damaged: {0}")]
    Damaged(#[from] CodecError),
}

impl Params {
    /// `'chordal' (2^10 ids, 3 copies)`.
    pub fn describe(&self) -> String {
        format!("'{}' ({} ids, {} copies)", self.ring, self.space, self.replicas)
    }

    /// Whether the values are within their limits: a peer may claim anything.
    pub fn is_sane(&self) -> bool {
        (1..=MAX_REPLICAS).contains(&self.replicas) && is_ring_name(&self.ring)
    }
}

/// Whether a text may name a ring: printable, not empty, at most
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

    /// The sender as a peer, if it is one.
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
        return Err(HandshakeError::Version { theirs });
    }
    Ok(())
}
