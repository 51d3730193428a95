//! The first thing that is said on every connection, by both sides.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::Space;

/// The first bytes of every connection: "this is chordal".
pub const MAGIC: [u8; 8] = *b"chordal\0";

/// Raised with every change of the bytes on the wire.
pub const PROTOCOL_VERSION: u16 = 1;

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
}

/// What each side says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What the connection is for (the answering side repeats it).
    pub purpose: Purpose,
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

// The bytes of a hello on the wire: MAGIC, PROTOCOL_VERSION as two big-endian
// bytes, then one length-delimited frame with the encoded `Hello`. The first
// ten bytes never change their meaning, so that any two versions can tell each
// other apart and say so.
