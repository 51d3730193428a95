//! What questions about files are asked for.

use crate::name::FileName;
use crate::peer::Peer;
use crate::record::Version;
use crate::wire::message::Branch;

use super::super::view::Span;
use super::disk::Sum;

/// What a question about files was asked for; comes back with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum FileAsk {
    /// As the owner: does this holder hold what I hold?
    Inventory {
        /// The holder.
        peer: Peer,
        /// Of these keys.
        span: Span,
        /// Which part of them.
        branch: Branch,
        /// What was held here when the question was asked.
        sum: Sum,
    },
    /// A page of an offer, or of records that are entrusted.
    Offer {
        /// OfferReason it was made.
        why: OfferReason,
        /// The peer that was asked.
        peer: Peer,
        /// The keys gone through; the next page begins behind the last name.
        span: Span,
        /// Which part of them.
        branch: Branch,
        /// The page.
        records: Vec<(FileName, Version)>,
    },
    /// May these copies be deleted here?
    MayDrop {
        /// The keys gone through.
        span: Span,
        /// The last name of the page offered before.
        after: FileName,
        /// The copies.
        records: Vec<(FileName, Version)>,
    },
    /// Is anything known under this name? Asked by a new owner that may not
    /// have heard of all its names yet, before it accepts one.
    Probe {
        /// The name.
        name: FileName,
    },
}

/// OfferReason records are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum OfferReason {
    /// A put waits for copies of this one record.
    Put,
    /// A put waits for the first copy of this one record, which the owner
    /// cannot store.
    Entrust,
    /// The owner found that a holder of its keys holds something else.
    Repair,
    /// A holder found that the owner of these keys holds something else.
    Return,
    /// The copies are out of place here; the owner must have them before
    /// these are deleted.
    Handover,
}
