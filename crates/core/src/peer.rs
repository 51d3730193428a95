//! The identity of a node: an address and an index.
//!
//! A node's place on the ring follows from its address and can therefore be checked by
//! every peer: index 0 hashes `ip:port`, index *i* hashes `ip:port#i`. On the wire and on
//! disk only the pair is stored; the reader computes the place and never believes a claimed
//! one.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::id::{Id, Point, Space};

/// The identity of a node.
///
/// Order and equality are those of `(address, index)`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "(SocketAddr, u16)", into = "(SocketAddr, u16)")]
pub struct Peer {
    address: SocketAddr,
    index: u16,
    point: Point,
}

/// The place follows from the address and the index and need not be hashed.
impl Hash for Peer {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self.address {
            SocketAddr::V4(v4) => {
                let (ip, port) = (u64::from(v4.ip().to_bits()), u64::from(v4.port()));
                state.write_u64(ip << 32 | port << 16 | u64::from(self.index));
            }
            SocketAddr::V6(v6) => {
                v6.hash(state);
                self.index.hash(state);
            }
        }
    }
}

impl Peer {
    /// The peer with this advertised address and index.
    pub fn new(address: SocketAddr, index: u16) -> Peer {
        let point = if index == 0 {
            Point::of(&address.to_string())
        } else {
            Point::of(&format!("{address}#{index}"))
        };
        Peer { address, index, point }
    }

    /// The address at which the peer listens, as it advertises it.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// 0, unless that place was taken on the ring.
    pub const fn index(&self) -> u16 {
        self.index
    }

    /// The peer's place on a ring of this size.
    pub const fn id(&self, space: Space) -> Id {
        space.at(self.point)
    }
}

/// Whether a node can have this address: not port 0, not an unspecified address (which
/// would be the asker itself), not a multicast group.
pub const fn is_reachable(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}

/// An address that a node cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be a node's address")]
pub struct Unreachable(SocketAddr);

/// Peers from outside are checked when they are read.
impl TryFrom<(SocketAddr, u16)> for Peer {
    type Error = Unreachable;

    fn try_from((address, index): (SocketAddr, u16)) -> Result<Peer, Unreachable> {
        if is_reachable(address) {
            Ok(Peer::new(address, index))
        } else {
            Err(Unreachable(address))
        }
    }
}

impl From<Peer> for (SocketAddr, u16) {
    fn from(peer: Peer) -> (SocketAddr, u16) {
        (peer.address, peer.index)
    }
}

/// The other side of a connection over which bytes or questions come, as it claims to be:
/// the address is not verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Party {
    /// A node with its advertised address.
    Node(SocketAddr),
    /// A program on this host that is not a node.
    Client(IpAddr),
}

impl Party {
    /// The address of a node.
    pub const fn node(self) -> Option<SocketAddr> {
        match self {
            Party::Node(address) => Some(address),
            Party::Client(_) => None,
        }
    }
}

/// For the beginning of a sentence; a client has no name of its own.
impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Party::Node(address) => write!(f, "{address}"),
            Party::Client(host) => write!(f, "a client at {host}"),
        }
    }
}

/// `ip:port`, followed by `#i` when the index is not 0: the text that is hashed.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.address)?;
        if self.index != 0 {
            write!(f, "#{}", self.index)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_follows_from_the_pair() {
        let address: SocketAddr = "127.0.0.1:2000".parse().expect("an address");
        let space = Space::default();
        assert_eq!(Peer::new(address, 0).id(space), Id::new(466));
        assert_eq!(Peer::new(address, 1).id(space), space.hash("127.0.0.1:2000#1"));
        assert_eq!(Peer::new(address, 1).to_string(), "127.0.0.1:2000#1");
    }
}
