//! The end of tombstones.
//!
//! A tombstone keeps older copies of a removed name from coming back. After
//! [`crate::limits::TOMBSTONE_S`] every node that could hold such a copy has
//! long heard of it, and the tombstone goes too: silently, on every node by
//! itself.
//!
//! Each node counts that day by its own clock, and no two clocks need agree: a
//! message with tombstones says what time it is for its sender, so the receiver
//! learns how old they are and dates them by its own clock. A tombstone that ends an
//! older copy begins its day again there: the node that had that copy may not have been the
//! only one who was away.
//!
//! Nodes remove tombstones at slightly different moments, so a node that has already done
//! so takes no notice of those who have not: an offered tombstone that is past its time, or
//! soon will be, counts as held, and one found elsewhere is not fetched. Only where an
//! older live copy is still here is it taken once more.
//!
//! A name that is stored again gets a version above every tombstone that this node
//! removed: a tombstone that another node still has must not delete it. The same holds
//! for a version that no node holds any more ([`super::full_owner`]).
//! Nothing but tombstones ever ends here.

use std::collections::VecDeque;

use crate::limits::TOMBSTONE_S;
use crate::record::{Content, Record};

use super::super::input::Ticket;

/// The highest counter of a record that is remembered beyond its end: far
/// above what people reach, and a peer that lies about a counter cannot use all of
/// them up.
const MAX_FLOOR: u64 = u32::MAX as u64;

/// Tombstones of others that end within this are not worth taking, in seconds: they
/// would go between nodes that end them one after the other.
pub(super) const SOON_S: u64 = 10 * 60;

/// What is known of tombstones' ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Expiry {
    /// The time by this node's own clock, in seconds; 0: not told yet.
    pub(super) now_s: u64,
    /// The highest counter of a record that went.
    pub(super) floor: u64,
    /// Tombstones out of the index that the disk has yet to delete. Their
    /// names are busy under these tickets.
    pub(super) queue: VecDeque<(Ticket, Record)>,
}

impl Expiry {
    /// The time by this node's own clock, in seconds.
    pub(super) const fn now_s(&self) -> u64 {
        self.now_s
    }

    /// What every version of a name unknown here must be above.
    pub(super) const fn floor(&self) -> u64 {
        self.floor
    }

    /// Whether the record is a tombstone whose time is over in so many seconds.
    pub(super) fn ends_within(&self, record: &Record, soon_s: u64) -> bool {
        let before_s = self.now_s.saturating_add(soon_s).saturating_sub(TOMBSTONE_S);
        matches!(record.content, Content::Deleted { at_s } if at_s < before_s)
            && record.version.counter > 0
    }

    /// A tombstone without a date, or from the future by this clock as it was at
    /// another time, is one from now: it must end as well.
    pub(super) fn date(&self, record: &mut Record) {
        if let Content::Deleted { at_s } = &mut record.content
            && self.now_s > 0
            && (*at_s == 0 || *at_s > self.now_s.saturating_add(TOMBSTONE_S))
        {
            *at_s = self.now_s;
        }
    }

    /// Dates what a message says by this node's clock instead of the sender's.
    pub(super) fn translate(&self, record: &mut Record, clock_s: u64) {
        if let Content::Deleted { at_s } = &mut record.content {
            *at_s = self.now_s.saturating_sub(clock_s.saturating_sub(*at_s));
        }
    }

    /// A record is forgotten here, and other nodes may still have it.
    pub(super) fn note_removed(&mut self, record: &Record) {
        self.floor = self.floor.max(record.version.counter.min(MAX_FLOOR));
    }
}
