//! Gossip: which pieces were seen, which are passed on, and which peers send too many.
//!
//! A node sends a piece of gossip that it sees for the first time over every link except
//! the one that it came over. Most pieces arrive more than once, so their ids are
//! remembered, within a limit of number and time.
//!
//! Two limits keep a peer from drowning the others: one for each link, whatever the
//! origins, and one for each origin. An origin cannot be proved, so pieces that an origin
//! sends over its own link are counted apart from those that others bring in its name: a
//! peer that forges an origin cannot silence it among the peers that are linked with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::MAX_SAY_BYTES;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::mesh::{Gossip as Piece, GossipBody, GossipId};

use super::bucket::{Bucket, Rate};

/// Links over which a piece may travel: a random graph of a million nodes has a diameter of
/// about a dozen; a chain of chosen links may be longer.
pub const MAX_HOPS: u8 = 64;

/// Ids of pieces that are remembered, the latest; 24 bytes each.
const SEEN_AT_MOST: usize = 8_192;

/// How long ids are remembered: no piece travels for minutes.
const SEEN_FOR: Duration = Duration::from_secs(10 * 60);

/// Limit of one origin: as much as a person types in a hurry.
pub const PER_ORIGIN: Rate = Rate { burst: 10, every: Duration::from_secs(1) };

/// Limit of one link, for all origins together: a ring of sixty nodes that all send a piece
/// at once.
pub const PER_LINK: Rate = Rate { burst: 64, every: Duration::from_millis(100) };

/// Links and origins with a meter. The longest idle ones are dropped first.
const METERS_AT_MOST: usize = 1_024;

/// Time between two complaints about the same link or origin.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// The pieces that were seen, and meters for their senders.
#[derive(Clone, Debug)]
pub struct Gossip {
    me: SocketAddr,
    /// The limit of this node's own pieces.
    own: Bucket,
    seen: BTreeSet<GossipId>,
    /// The same ids in the order of arrival.
    order: VecDeque<(Time, GossipId)>,
    links: BTreeMap<SocketAddr, Meter>,
    /// By origin, and whether the piece came over the origin's own link.
    origins: BTreeMap<(SocketAddr, bool), Meter>,
}

/// How much a link or an origin sent.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    bucket: Bucket,
    /// Pieces dropped since the last complaint.
    dropped: u32,
    /// When the next complaint is allowed.
    complain_at: Time,
}

/// What became of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Seen for the first time.
    News {
        /// The piece to send over all other links; `None` when it has travelled too far.
        pass_on: Option<Piece>,
    },
    /// Seen before.
    Known,
    /// Its body is not allowed: too long, or empty.
    Bad,
    /// Dropped: the link or the origin sends too much.
    TooMuch {
        /// The complaint, when it is time for one.
        complaint: Option<Complaint>,
    },
}

/// A link or an origin sends too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Pieces dropped since the last complaint, this one included.
    pub dropped: u32,
    /// The origin of all dropped pieces; `None` if there were several, all over one link.
    pub origin: Option<Peer>,
}

/// This node sends more than others would accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

impl Gossip {
    /// An empty state, for the node at this address.
    pub const fn new(me: SocketAddr) -> Gossip {
        Gossip {
            me,
            own: Bucket::new(),
            seen: BTreeSet::new(),
            order: VecDeque::new(),
            links: BTreeMap::new(),
            origins: BTreeMap::new(),
        }
    }

    /// Begins a piece at this node; returns what to send over all links. `id` is drawn at
    /// random.
    pub fn begin(
        &mut self,
        now: Time,
        id: GossipId,
        me: Peer,
        unix_ms: u64,
        body: GossipBody,
    ) -> Result<Piece, TooMuch> {
        if !self.own.take(now, PER_ORIGIN) {
            return Err(TooMuch);
        }
        self.remember(now, id);
        Ok(Piece { id, origin: me, unix_ms, hops: MAX_HOPS, body })
    }

    /// Handles a piece that a linked peer brings.
    pub fn hear(&mut self, now: Time, from: SocketAddr, piece: &Piece) -> Heard {
        let origin = piece.origin.address();
        // A piece in this node's name that it does not know is from its last run, or
        // invented.
        if self.seen.contains(&piece.id) || origin == self.me {
            return Heard::Known;
        }
        // A piece that is dropped because of its link may still come over another one.
        if !take_from(&mut self.links, from, now, PER_LINK) {
            return too_much(self.links.get_mut(&from), now, None);
        }
        if !may_be_said(&piece.body) {
            return Heard::Bad;
        }
        self.remember(now, piece.id);
        let key = (origin, origin == from);
        if !take_from(&mut self.origins, key, now, PER_ORIGIN) {
            return too_much(self.origins.get_mut(&key), now, Some(piece.origin));
        }
        let hops = piece.hops.min(MAX_HOPS).saturating_sub(1);
        Heard::News { pass_on: (hops > 0).then(|| Piece { hops, ..piece.clone() }) }
    }

    /// Number of ids that are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        assert_eq!(self.seen.len(), self.order.len());
        self.seen.len()
    }

    /// Number of meters.
    #[cfg(test)]
    pub(super) fn meters(&self) -> usize {
        self.links.len() + self.origins.len()
    }

    fn remember(&mut self, now: Time, id: GossipId) {
        while let Some(&(at, old)) = self.order.front()
            && (self.order.len() >= SEEN_AT_MOST || now.since(at) > SEEN_FOR)
        {
            self.order.pop_front();
            self.seen.remove(&old);
        }
        if self.seen.insert(id) {
            self.order.push_back((now, id));
        }
    }
}

/// Whether the body of a piece is allowed.
pub fn may_be_said(body: &GossipBody) -> bool {
    match body {
        GossipBody::Say(text) => text.len() <= MAX_SAY_BYTES && !text.trim().is_empty(),
        GossipBody::Shares { .. } | GossipBody::Leaving => true,
    }
}

/// Counts one more piece for a peer; returns whether it is within the rate.
fn take_from<K: Ord + Copy>(
    meters: &mut BTreeMap<K, Meter>,
    whom: K,
    now: Time,
    rate: Rate,
) -> bool {
    if meters.len() >= METERS_AT_MOST && !meters.contains_key(&whom) {
        meters.retain(|_, meter| !meter.bucket.is_full(now));
        if meters.len() >= METERS_AT_MOST {
            // More origins at once than an honest ring has.
            return false;
        }
    }
    meters.entry(whom).or_default().bucket.take(now, rate)
}

fn too_much(meter: Option<&mut Meter>, now: Time, origin: Option<Peer>) -> Heard {
    let complaint = meter.and_then(|meter| {
        meter.dropped += 1;
        (meter.complain_at <= now).then(|| {
            meter.complain_at = now + COMPLAIN_EVERY;
            Complaint { dropped: std::mem::take(&mut meter.dropped), origin }
        })
    });
    Heard::TooMuch { complaint }
}
