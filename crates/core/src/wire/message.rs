//! Messages between the cores of two nodes.
//!
//! An [`Ask`] requires an [`Answer`] with the same nonce; the asker's driver measures the
//! round trip and reports silence. A [`Tell`] requires no answer.

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{CopyCount, Obstacle, Provider, Record, Version};

/// Matches an answer to its question; only meaningful to the asker.
pub type Nonce = u32;

/// A message between two cores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message {
    /// A question.
    Ask {
        /// The answer returns it.
        nonce: Nonce,
        /// The question.
        ask: Ask,
    },
    /// The answer to the question with this nonce.
    Answer {
        /// The nonce of the question.
        nonce: Nonce,
        /// The answer.
        answer: Answer,
    },
    /// A statement.
    Tell(Tell),
}

/// A question from one core to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ask {
    /// Are you alive? Answered by [`Answer::Pong`] in every state.
    Ping,
    /// Who are your neighbours (stabilize, join, census)?
    Neighbours,
    /// One step of an iterative lookup of `key`.
    Next {
        /// The key looked up.
        key: Id,
        /// The asker's user wants it to enter the ring of the receiver: a node that has
        /// left its ring accepts it, and becomes a member of the ring of these two.
        enter: bool,
    },
    /// From the owner of the keys in (`from`, `to`] to a holder of copies: are your records
    /// in that interval the same as mine?
    Inventory {
        /// Exclusive start of the interval.
        from: Id,
        /// Inclusive end of the interval.
        to: Id,
        /// The part of these records that is compared.
        branch: Branch,
        /// Digest over the asker's records in that part.
        digest: Digest,
        /// Number of these records.
        records: u32,
        /// How many copies of them there are, as the asker counts them; only sent with the
        /// whole interval.
        counted: Option<Counted>,
    },
    /// Records that the asker holds durably and wants the receiver to hold too. Versions
    /// count from 1: a record with counter 0 exists nowhere and only asks whether the
    /// receiver holds a record of that name ([`Verdict::Newer`]) or not
    /// ([`Verdict::Later`]).
    Offer {
        /// The records, at most [`crate::limits::MAX_PAGE`].
        records: Vec<Record>,
        /// The sender's clock, which its tombstones' times refer to.
        clock_s: u64,
        /// The owner of these names has just given them these versions: it knew the
        /// versions that they replace.
        put: bool,
    },
    /// Asked of the owner by a node that holds records outside its place: may I delete
    /// these, because enough other nodes hold them?
    MayDrop {
        /// Names and versions, at most [`crate::limits::MAX_PAGE`].
        records: Vec<(FileName, Version)>,
    },
    /// As [`Ask::Offer`], and answered like it, from the owner of these names that has no
    /// room for them itself: other nodes have the bytes.
    Entrust {
        /// The records, at most [`crate::limits::MAX_PAGE`].
        records: Vec<Record>,
        /// Nodes that have one or all of them; at most [`crate::limits::MAX_REPLICAS`].
        holders: Vec<Peer>,
        /// As in [`Ask::Offer`].
        clock_s: u64,
        /// As in [`Ask::Offer`].
        put: bool,
    },
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Ping`].
    Pong,
    /// To any question except a ping, from a node that is not a member of a ring. Counts as
    /// no answer: such a node must not be adopted.
    NotMember,
    /// The same, from a node that has left its ring or is leaving it: its return is not
    /// waited for.
    Left,
    /// To [`Ask::Neighbours`].
    Neighbours {
        /// The predecessor, where one is known.
        predecessor: Option<Peer>,
        /// The whole successor list, without the node itself and without duplicates; empty
        /// for a node alone on its ring.
        successors: Vec<Peer>,
    },
    /// To [`Ask::Next`].
    Next {
        /// Whether the answering node owns the key.
        owner: bool,
        /// Its predecessor, where one is known.
        predecessor: Option<Peer>,
        /// Its whole successor list.
        successors: Vec<Peer>,
        /// Fingers that precede the key, closest first, at most
        /// [`crate::limits::MAX_CLOSER`].
        closer: Vec<Peer>,
    },
    /// To [`Ask::Inventory`]: whether the digests are equal.
    Inventory {
        /// They are.
        same: bool,
        /// Number of the answering node's records in that part.
        records: u32,
        /// If the digests differ and there are too many records to offer them all: the
        /// digests of the part's [`BRANCHES`] parts, in order.
        branches: Vec<Digest>,
    },
    /// To [`Ask::Offer`] and [`Ask::Entrust`]: one verdict per record, in their order.
    Offer {
        /// The verdicts.
        verdicts: Vec<Verdict>,
        /// The sender's clock, which its tombstones' times refer to.
        clock_s: u64,
    },
    /// To [`Ask::MayDrop`]: one answer per record, in the order of the question.
    MayDrop {
        /// `true`: enough other holders have this version or a newer one durably, and the asker is not one of the nodes that should hold it.
        may: Vec<bool>,
    },
}

/// The copies of an owner's records, as the owner counts them, for a node that holds some
/// of the records: so both show the same to their users.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Counted {
    /// Number of copies wanted of each record.
    pub wanted: u8,
    /// The records that have fewer, at most [`crate::limits::MAX_BELOW`]; all others have
    /// as many as wanted. `None` if there are too many.
    pub below: Option<Vec<Below>>,
}

/// A record with fewer copies than wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Below {
    /// The position of its name in the tree that comparisons walk ([`Branch`]).
    pub leaf: u64,
    /// Number of its copies.
    pub copies: u8,
    /// How reliable that number is.
    pub count: CopyCount,
}

/// The answer of a node to one record that was offered to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// It holds this version durably.
    Held,
    /// It will fetch it, and send [`Tell::Held`] when it has it.
    Wanted,
    /// It holds this newer record: the offerer should fetch that instead.
    Newer(Record),
    /// It cannot take it now (full, or too many running); offer it again later.
    Later,
    /// It owns the name and cannot store it; it knows this version or a newer one, and that
    /// other nodes hold it.
    Known,
}

/// A statement from one core to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tell {
    /// The sender believes that it is the receiver's predecessor (Zave's notify, which
    /// makes the receiver rectify).
    Notify,
    /// The sender's neighbours changed: a receiver that follows or precedes it should
    /// stabilize now instead of waiting for its timer. A hint; losing it costs only time.
    Changed,
    /// The sender leaves the ring. Sent to every node that it knows; the predecessor uses
    /// the successor list, the successor uses the predecessor.
    Leaving {
        /// The leaver's predecessor.
        predecessor: Option<Peer>,
        /// The leaver's successors.
        successors: Vec<Peer>,
    },
    /// A node may belong between the sender and the receiver: find its place and ask it
    /// (healing of partitions, merging of two rings).
    Consider {
        /// The node.
        candidate: Peer,
        /// Number of forwardings left.
        hops: u8,
    },
    /// The sender now holds this version durably (to an owner that offered it).
    Held {
        /// The name.
        name: FileName,
        /// The version.
        version: Version,
    },
    /// The sender cannot store this version (to the nodes that offered it): another node
    /// should hold the copy.
    Unable {
        /// The name.
        name: FileName,
        /// The version.
        version: Version,
        /// The reason.
        why: Obstacle,
    },
    /// The sender's copy of this version is lost (to the owner, which counts copies).
    Lost {
        /// The name.
        name: FileName,
        /// The version.
        version: Version,
    },
    /// These files are shared: from a node that keeps provider records to others that
    /// should keep them too. Lifetimes are what is left of them.
    Provided {
        /// At most [`crate::limits::MAX_PAGE`].
        providers: Vec<Provider>,
    },
}

/// Number of parts into which a part of the records is divided: a digest of each fits well
/// into one message, and three divisions split 100 000 records into parts of 24.
pub const BRANCHES: usize = 16;

/// Bits of a leaf that one division uses.
const BRANCH_BITS: u8 = 4;

/// A part of the records: those whose name's leaf (a 64-bit hash) begins with these bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Branch {
    /// Number of bits; more than 64 count as 64.
    bits: u8,
    /// The bits, flush left.
    prefix: u64,
}

impl Branch {
    /// All records.
    pub const ALL: Branch = Branch { bits: 0, prefix: 0 };

    /// The bits below the prefix, all set.
    const fn below(self) -> u64 {
        match u64::MAX.checked_shr(self.bits as u32) {
            Some(mask) => mask,
            None => 0,
        }
    }

    /// The first leaf that it can contain.
    pub const fn first(self) -> u64 {
        self.prefix & !self.below()
    }

    /// The last leaf that it can contain.
    pub const fn last(self) -> u64 {
        self.prefix | self.below()
    }

    /// Whether it cannot be divided any further.
    pub const fn is_deepest(self) -> bool {
        self.bits > 64 - BRANCH_BITS
    }

    /// Its parts, in order; none if it is the deepest.
    pub fn children(self) -> impl Iterator<Item = Branch> {
        let (first, bits) = (self.first(), self.bits);
        let count = if self.is_deepest() { 0 } else { BRANCHES as u64 };
        (0..count).map(move |child| {
            let bits = bits + BRANCH_BITS;
            Branch { bits, prefix: first | child << (64 - bits) }
        })
    }

    /// The index of the part that contains a leaf.
    pub const fn child_of(self, leaf: u64) -> usize {
        if self.is_deepest() {
            return 0;
        }
        (leaf >> (64 - BRANCH_BITS - self.bits)) as usize % BRANCHES
    }
}

/// A digest over a set of records: equal sets have equal digests.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Digest(pub u128);
