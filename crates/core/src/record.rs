//! Records: what the ring stores about a file, its name, version and size.
//!
//! A [`Record`] is small and travels in control messages; the bytes of its content are
//! named by a [`ContentHash`] and travel on separate connections.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{Id, Space};
use crate::name::FileName;
use crate::peer::Peer;

/// How reliable the number of a file's copies is, and whether it can grow.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum CopyCount {
    /// They were counted.
    #[default]
    Known,
    /// The copies are not counted yet: this node has just joined or come back.
    Counting,
    /// They were counted, and no other node has room for one more.
    NoRoom,
}

/// The BLAKE3 hash of a whole file.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentHash(pub [u8; 32]);

impl ContentHash {
    /// The first eight hexadecimal digits: enough to tell contents apart by eye.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a content hash is 64 hexadecimal digits")]
pub struct BadHash;

impl FromStr for ContentHash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<ContentHash, BadHash> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(BadHash);
        }
        let mut bytes = [0u8; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let nibble = |d: u8| char::from(d).to_digit(16).ok_or(BadHash);
            *byte = u8::try_from(nibble(pair[0])? << 4 | nibble(pair[1])?).map_err(|_| BadHash)?;
        }
        Ok(ContentHash(bytes))
    }
}

/// Decides which of two records of one name is newer: the one with the higher counter, and
/// if they are equal the one with the higher hash, so that every node decides alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version {
    /// One more than in the record that it replaced.
    pub counter: u64,
    /// The content's hash; all zeros for a tombstone.
    pub root: ContentHash,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.counter, self.root.short())
    }
}

/// The content of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Content {
    /// The name has a file of `size` bytes with the hash `version.root`.
    File {
        /// Bytes.
        size: u64,
    },
    /// The name was removed: a tombstone, which keeps older copies from coming back.
    Deleted {
        /// When, in seconds, by the clock of the node that has the tombstone: each node
        /// counts the tombstone's day by its own clock. In a message, the time is by the
        /// sender's clock, which the message contains.
        at_s: u64,
    },
}

/// One version of one name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The name.
    pub name: FileName,
    /// Its version.
    pub version: Version,
    /// Its content.
    pub content: Content,
}

impl Record {
    /// The key of the record on the ring.
    pub fn key(&self, space: Space) -> Id {
        self.name.key(space)
    }

    /// The bytes of the file; 0 for a tombstone.
    pub const fn size(&self) -> u64 {
        match self.content {
            Content::File { size } => size,
            Content::Deleted { .. } => 0,
        }
    }

    /// Whether the record is a tombstone.
    pub const fn is_deleted(&self) -> bool {
        matches!(self.content, Content::Deleted { .. })
    }
}

/// Why a node cannot store a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obstacle {
    /// There is no room, in its quota or on its disk.
    NoRoom,
    /// Its disk fails, is read-only or is missing.
    SickDisk,
    /// It answers messages, but no bytes pass.
    NoBytes,
}

impl Obstacle {
    /// Says that a node cannot store something, as the beginning of a sentence.
    pub fn said_of(self, who: &str, what: &str) -> String {
        match self {
            Obstacle::NoRoom => format!("{who} has no room for {what}"),
            Obstacle::SickDisk => format!("{who} cannot store {what}, for its disk fails"),
            Obstacle::NoBytes => format!("{who} cannot store {what}, for no bytes reach it"),
        }
    }
}

/// A node that should hold a copy and cannot store it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PassedOver {
    /// The node.
    pub peer: Peer,
    /// The reason.
    pub why: Obstacle,
    /// The node that holds the copy instead; `None` if there is no other node.
    pub stand_in: Option<Peer>,
}

/// A file that a node shares from its own disk, as other nodes store it.
///
/// There is one for each name and sharer; the larger serial replaces the smaller.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Provider {
    /// The name.
    pub name: FileName,
    /// The node that shares it.
    pub peer: Peer,
    /// The content.
    pub root: ContentHash,
    /// Its bytes.
    pub size: u64,
    /// The sharer downloaded it: it is a further source of the ring's content, not a
    /// content of its own beside the ring's record. So a content that was replaced or
    /// removed does not come back because a node had downloaded it.
    pub downloaded: bool,
    /// Grows with every statement of this peer about this name; only compared with others
    /// of the same pair.
    pub serial: u64,
    /// Seconds until it is forgotten unless it is repeated; 0 if it is withdrawn. At most
    /// [`crate::limits::PROVIDER_LIFETIME_S`].
    pub lifetime_s: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_from_its_text() {
        let hash = ContentHash([0xA5; 32]);
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!("xyz".parse::<ContentHash>(), Err(BadHash));
        assert_eq!("é".repeat(32).parse::<ContentHash>(), Err(BadHash));
    }

    #[test]
    fn the_counter_decides_before_the_hash() {
        let old = Version { counter: 1, root: ContentHash([9; 32]) };
        let new = Version { counter: 2, root: ContentHash([0; 32]) };
        assert!(new > old);
    }
}
