//! What one node's core says to another's.
//!
//! An [`Ask`] wants an [`Answer`] with the same nonce; the driver of the asker
//! measures the round trip and reports silence. A [`Tell`] wants nothing.

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{CopyCount, Obstacle, Provider, Record, Version};

/// Ties an answer to its question; meaningful to the asker only.
pub type Nonce = u32;

/// A message between two cores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Message {
    /// A question.
    Ask {
        /// To be returned with the answer.
        nonce: Nonce,
        /// The question.
        ask: Ask,
    },
    /// The answer to the question with this nonce.
    Answer {
        /// That of the question.
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
    /// Are you there? Answered by [`Answer::Pong`] in every state.
    Ping,
    /// Who are your neighbours (stabilize, join, census)?
    Neighbours,
    /// One step of an iterative lookup of `key`.
    Next {
        /// The key looked up.
        key: Id,
        /// The asker's user wants it to enter the ring of the node asked: one
        /// that has left its ring lets it in, and is a member of the ring that
        /// the two make.
        enter: bool,
    },
    /// From the owner of the keys in (`from`, `to`] to a holder of copies: is
    /// what you hold in that interval the same as what I hold?
    Inventory {
        /// Exclusive start of the interval.
        from: Id,
        /// Inclusive end of the interval.
        to: Id,
        /// Which part of the records in it is compared.
        branch: Branch,
        /// Digest over the asker's records in that part.
        digest: Digest,
        /// How many they are.
        records: u32,
        /// How many copies there are of them, as the asker counts them; said
        /// once, with the whole interval.
        counted: Option<Counted>,
    },
    /// Records that the asker holds durably and wants the other to hold too.
    /// Versions count from 1: a record with counter 0 is nobody's and only asks
    /// whether the other holds anything under that name ([`Verdict::Newer`]),
    /// or not ([`Verdict::Later`]).
    Offer {
        /// The records, at most [`crate::limits::MAX_PAGE`].
        records: Vec<Record>,
        /// The sender's clock, by which its tombstones are dated.
        clock_s: u64,
        /// The owner of these names has just given them these versions: what they
        /// replace was known to it.
        put: bool,
    },
    /// Asked of the owner by a node that holds records outside its place: do
    /// enough others hold these, so that I may delete mine?
    MayDrop {
        /// Names and versions, at most [`crate::limits::MAX_PAGE`].
        records: Vec<(FileName, Version)>,
    },
    /// As [`Ask::Offer`], and answered like it, from the owner of these names
    /// that has no room for them itself: the bytes are with others.
    Entrust {
        /// The records, at most [`crate::limits::MAX_PAGE`].
        records: Vec<Record>,
        /// Who has one or all of them; at most [`crate::limits::MAX_REPLICAS`].
        holders: Vec<Peer>,
        /// As of [`Ask::Offer`].
        clock_s: u64,
        /// As of [`Ask::Offer`].
        put: bool,
    },
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Ping`].
    Pong,
    /// To any question but a ping, from a node that is not a member of a ring.
    /// Counts as no answer: such a node must not be adopted.
    NotMember,
    /// The same, from a node that has left its ring in order or is leaving it:
    /// nobody waits for its return.
    Left,
    /// To [`Ask::Neighbours`].
    Neighbours {
        /// The predecessor, where one is known.
        predecessor: Option<Peer>,
        /// The whole successor list, without self and without duplicates;
        /// empty for a node alone on its ring.
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
    /// To [`Ask::Inventory`]: whether the digests agree.
    Inventory {
        /// They do.
        same: bool,
        /// The answerer's records in that part.
        records: u32,
        /// Where the digests differ and there are too many records to offer
        /// them all: those of the part's own [`BRANCHES`] parts, in order.
        branches: Vec<Digest>,
    },
    /// To [`Ask::Offer`] and [`Ask::Entrust`]: one verdict a record, in their
    /// order.
    Offer {
        /// The verdicts.
        verdicts: Vec<Verdict>,
        /// The sender's clock, by which its tombstones are dated.
        clock_s: u64,
    },
    /// To [`Ask::MayDrop`]: one answer a record, in the order of the question.
    MayDrop {
        /// `true`: enough other holders have this version or a newer one
        /// durably, and the asker is not among those wanted.
        may: Vec<bool>,
    },
}

/// The copies of an owner's records, for the user of a node that holds some of
/// them: so both show the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Counted {
    /// Copies wanted of each record.
    pub wanted: u8,
    /// The records that have fewer, at most [`crate::limits::MAX_BELOW`]; all
    /// others have as many as wanted. `None`: there are too many to name them.
    pub below: Option<Vec<Below>>,
}

/// A record with fewer copies than wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Below {
    /// Its name's place in the tree that comparisons walk ([`Branch`]).
    pub leaf: u64,
    /// Its copies.
    pub copies: u8,
    /// How sure they are.
    pub count: CopyCount,
}

/// What a node says of one record offered to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// It holds this version durably.
    Held,
    /// It will fetch it, and say [`Tell::Held`] when it has it.
    Wanted,
    /// It holds this newer record: the offerer should fetch that instead.
    Newer(Record),
    /// It cannot take it now (full, or too much under way); offer it again later.
    Later,
    /// It owns the name and cannot store it; it knows this version or a newer
    /// one, and that others hold it.
    Known,
}

/// A statement from one core to another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Tell {
    /// I believe that I am your predecessor (Zave's notify, which makes the
    /// receiver rectify).
    Notify,
    /// My neighbours changed: if you follow or precede me, stabilize now
    /// instead of waiting for the timer. A hint; losing it costs only time.
    Changed,
    /// I leave the ring in order. Everybody hears it whom the leaver knows; for
    /// the predecessor there is the successor list, for the successor the
    /// predecessor.
    Leaving {
        /// The leaver's predecessor.
        predecessor: Option<Peer>,
        /// The leaver's successors.
        successors: Vec<Peer>,
    },
    /// There is a node that may belong between us: find its place and look at
    /// it (healing of partitions, merging of two rings).
    Consider {
        /// The node.
        candidate: Peer,
        /// Forwardings left.
        hops: u8,
    },
    /// I now hold this version durably (to an owner that offered it).
    Held {
        /// The name.
        name: FileName,
        /// The version.
        version: Version,
    },
    /// I cannot store this version (to those that offered it): let another node
    /// keep the copy.
    Unable {
        /// The name.
        name: FileName,
        /// The version.
        version: Version,
        /// What keeps me from it.
        why: Obstacle,
    },
    /// My copy of this version is lost (to the owner, who counts it).
    Lost {
        /// The name.
        name: FileName,
        /// The version.
        version: Version,
    },
    /// These are shared: from a node that keeps their names to others that
    /// shall keep them too. Lifetimes are what is left of them.
    Provided {
        /// At most [`crate::limits::MAX_PAGE`].
        providers: Vec<Provider>,
    },
}

/// Parts into which a part of the records is divided: a digest of each fits
/// well into one message, and three divisions make 100 000 records 24.
pub const BRANCHES: usize = 16;

/// Bits of a leaf that one division decides.
const BRANCH_BITS: u8 = 4;

/// A part of the records: those whose name's leaf (a hash of 64 bits) begins
/// with these bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Branch {
    /// How many bits; whatever is beyond 64 counts as 64.
    bits: u8,
    /// The bits, flush left.
    prefix: u64,
}

impl Branch {
    /// All records.
    pub const ALL: Branch = Branch { bits: 0, prefix: 0 };

    /// Bits below the prefix, all set.
    const fn below(self) -> u64 {
        match u64::MAX.checked_shr(self.bits as u32) {
            Some(mask) => mask,
            None => 0,
        }
    }

    /// The first leaf that may be in it.
    pub const fn first(self) -> u64 {
        self.prefix & !self.below()
    }

    /// The last leaf that may be in it.
    pub const fn last(self) -> u64 {
        self.prefix | self.below()
    }

    /// Whether it cannot be divided any further.
    pub const fn is_deepest(self) -> bool {
        self.bits > 64 - BRANCH_BITS
    }

    /// Its parts, in order; none when it is the deepest.
    pub fn children(self) -> impl Iterator<Item = Branch> {
        let (first, bits) = (self.first(), self.bits);
        let count = if self.is_deepest() { 0 } else { BRANCHES as u64 };
        (0..count).map(move |child| {
            let bits = bits + BRANCH_BITS;
            Branch { bits, prefix: first | child << (64 - bits) }
        })
    }

    /// Which of its parts a leaf of it is in.
    pub const fn child_of(self, leaf: u64) -> usize {
        if self.is_deepest() {
            return 0;
        }
        (leaf >> (64 - BRANCH_BITS - self.bits)) as usize % BRANCHES
    }
}

/// A digest over a set of records: equal sets, equal digests.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Digest(pub u128);
