//! Gossip: what was seen, what is passed on, who says too much.
//!
//! A piece of gossip is sent over every link but the one that it came over, by
//! everybody who sees it for the first time. Seeing it twice is the rule, so
//! names of pieces are remembered, as many and for as long as memory allows.
//!
//! Two limits keep anybody from drowning the others: one for what a link may
//! bring, whoever began it, and one for what a single origin may say. Nobody
//! can prove who began a piece, so what an origin says over its own link is
//! counted apart from what others bring in its name: whoever borrows a name
//! cannot silence its owner among those who are linked with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use crate::limits::MAX_SAY_BYTES;
use crate::peer::Peer;
use crate::time::Time;
use crate::wire::mesh::{Gossip as Piece, GossipBody, GossipId};

use super::bucket::{Bucket, Rate};

/// Links over which a piece may travel: a random graph of a million nodes is a
/// dozen across; a chain of chosen links may be longer.
pub const MAX_HOPS: u8 = 64;

/// Names of pieces that are remembered, the latest; 24 bytes each.
const SEEN_AT_MOST: usize = 8_192;

/// How long they are: no piece takes minutes to travel.
const SEEN_FOR: Duration = Duration::from_secs(10 * 60);

/// What one origin may say: as much as a person types in a hurry.
pub const PER_ORIGIN: Rate = Rate { burst: 10, every: Duration::from_secs(1) };

/// What one link may bring, from all origins together: a ring of sixty nodes
/// that all have something to say at once.
pub const PER_LINK: Rate = Rate { burst: 64, every: Duration::from_millis(100) };

/// Links and origins whose words are counted. Who has said nothing lately is
/// forgotten first.
const METERS_AT_MOST: usize = 1_024;

/// Time between two complaints about the same culprit.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

/// What was heard, and how much.
#[derive(Clone, Debug)]
pub struct Gossip {
    me: SocketAddr,
    /// What this node may say itself.
    own: Bucket,
    seen: BTreeSet<GossipId>,
    /// The same in the order of their arrival.
    order: VecDeque<(Time, GossipId)>,
    links: BTreeMap<SocketAddr, Meter>,
    /// By origin, and whether it is the origin's own link that brings it.
    origins: BTreeMap<(SocketAddr, bool), Meter>,
}

/// How much somebody said.
#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    bucket: Bucket,
    /// Pieces dropped since the last complaint.
    dropped: u32,
    /// When there may be the next complaint.
    complain_at: Time,
}

/// What became of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Seen for the first time.
    News {
        /// What goes out over all other links; `None` when it has come too far.
        pass_on: Option<Piece>,
    },
    /// Seen before.
    Known,
    /// It says nothing that may be said: too long, or empty.
    Bad,
    /// Dropped: somebody says too much.
    TooMuch {
        /// Who, when it is time to complain.
        complaint: Option<Complaint>,
    },
}

/// Somebody says too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Pieces dropped since the last complaint, this one included.
    pub dropped: u32,
    /// The origin of all of them; `None`: of several, all over one link.
    pub origin: Option<Peer>,
}

/// This node says more than others would listen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMuch;

impl Gossip {
    /// Nothing heard yet, at the node at this address.
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

    /// A piece that begins here: what goes out over all links. `id` is drawn at
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

    /// A piece that a linked peer brings.
    pub fn hear(&mut self, now: Time, from: SocketAddr, piece: &Piece) -> Heard {
        let origin = piece.origin.address();
        // In this node's name but unknown to it: of its last run, or invented.
        if self.seen.contains(&piece.id) || origin == self.me {
            return Heard::Known;
        }
        // What is dropped for the sake of its link may come over another one.
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

    /// Names that are remembered.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        assert_eq!(self.seen.len(), self.order.len());
        self.seen.len()
    }

    /// Links and origins whose words are counted.
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

/// Whether somebody may say this to everyone.
pub fn may_be_said(body: &GossipBody) -> bool {
    match body {
        GossipBody::Say(text) => text.len() <= MAX_SAY_BYTES && !text.trim().is_empty(),
        GossipBody::Shares { .. } | GossipBody::Leaving => true,
    }
}

/// Counts one more for `whom`; whether it is still within the rate.
fn take_from<K: Ord + Copy>(
    meters: &mut BTreeMap<K, Meter>,
    whom: K,
    now: Time,
    rate: Rate,
) -> bool {
    if meters.len() >= METERS_AT_MOST && !meters.contains_key(&whom) {
        meters.retain(|_, meter| !meter.bucket.is_full(now));
        if meters.len() >= METERS_AT_MOST {
            // More origins at once than a ring has that means well.
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
