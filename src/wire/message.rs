//! What one node's core says to another's.
//!
//! An [`Ask`] wants an [`Answer`] with the same nonce; the driver of the asker
//! measures the round trip and reports silence. A [`Tell`] wants nothing.

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Provider, Record, Version};

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
    },
    /// From the owner of the keys in (`from`, `to`] to a holder of copies: is
    /// what you hold in that interval the same as what I hold?
    Inventory {
        /// Exclusive start of the interval.
        from: Id,
        /// Inclusive end of the interval.
        to: Id,
        /// Digest over the asker's records in it.
        digest: Digest,
        /// The fewest copies that the asker knows of for any record in the
        /// interval, itself included: what the holder may show to its user.
        copies: u8,
    },
    /// Records that the asker holds durably and wants the other to hold too.
    /// Versions count from 1: a record with counter 0 is nobody's and only asks
    /// whether the other holds anything under that name ([`Verdict::Newer`]),
    /// or not ([`Verdict::Later`]).
    Offer {
        /// The records, at most [`crate::limits::MAX_PAGE`].
        records: Vec<Record>,
    },
    /// Asked of the owner by a node that holds records outside its place: do
    /// enough others hold these, so that I may delete mine?
    MayDrop {
        /// Names and versions, at most [`crate::limits::MAX_PAGE`].
        records: Vec<(FileName, Version)>,
    },
}

/// The answer to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Answer {
    /// To [`Ask::Ping`].
    Pong,
    /// To any question but a ping, from a node that is not (or no longer) a
    /// member of a ring. Counts as no answer: such a node must not be adopted.
    NotMember,
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
    },
    /// To [`Ask::Offer`]: one verdict a record, in the order of the offer.
    Offer {
        /// The verdicts.
        verdicts: Vec<Verdict>,
    },
    /// To [`Ask::MayDrop`]: one answer a record, in the order of the question.
    MayDrop {
        /// `true`: enough other holders have this version or a newer one
        /// durably, and the asker is not among those wanted.
        may: Vec<bool>,
    },
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
    /// I leave the ring in order. For the predecessor: my successor list; for
    /// the successor: my predecessor.
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
    /// These are shared: from a node that keeps their names to others that
    /// shall keep them too. Lifetimes are what is left of them.
    Provided {
        /// At most [`crate::limits::MAX_PAGE`].
        providers: Vec<Provider>,
    },
}

/// A digest over a set of records: equal sets, equal digests.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Digest(pub u128);
