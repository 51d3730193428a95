//! Members that this node knew lately and that are gone without having left: for
//! people, as the census is. A node that misses most of those that it knew is
//! rather cut off from them than they are all dead.
//!
//! A member that a list has passed over is gone; one that is only beyond the end of a
//! list by now is not, and neither is one that said that it leaves.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::MAX_CENSUS;
use crate::peer::Peer;
use crate::time::Time;

/// How long a member that is gone is missed.
const MISSED_FOR: Duration = Duration::from_secs(10 * 60);

/// One that is gone, or going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Absence {
    since: Time,
    /// It said that it leaves.
    left: bool,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Vanished(BTreeMap<Peer, Absence>);

impl Vanished {
    /// A member is gone.
    pub(super) fn insert(&mut self, peer: Peer, now: Time) {
        let left = self.0.get(&peer).is_some_and(|absence| absence.left);
        self.note(peer, Absence { since: now, left });
    }

    /// A member says that it leaves: it is not missed.
    pub(super) fn leaves(&mut self, peer: Peer, now: Time) {
        self.note(peer, Absence { since: now, left: true });
    }

    /// Those that said so within this time.
    pub(super) fn left_within(&self, lately: Duration, now: Time) -> impl Iterator<Item = Peer> {
        let left = move |(_, gone): &(&Peer, &Absence)| gone.left && now - gone.since < lately;
        self.0.iter().filter(left).map(|(peer, _)| *peer)
    }

    /// Whether it said that it leaves.
    pub(super) fn has_left(&self, peer: Peer) -> bool {
        self.0.get(&peer).is_some_and(|absence| absence.left)
    }

    fn note(&mut self, peer: Peer, absence: Absence) {
        if self.0.len() >= MAX_CENSUS && !self.0.contains_key(&peer) {
            let oldest = self.0.iter().min_by_key(|(_, absence)| absence.since).map(|(p, _)| *p);
            oldest.map(|oldest| self.0.remove(&oldest));
        }
        self.0.insert(peer, absence);
    }

    /// Peers for which `here` holds are no longer gone; whose absence is too long ago
    /// is forgotten.
    pub(super) fn update(&mut self, now: Time, here: impl Fn(Peer) -> bool) {
        self.0.retain(|peer, absence| {
            now - absence.since < MISSED_FOR && (absence.left || !here(*peer))
        });
    }

    /// It has answered as a member since.
    pub(super) fn is_back(&mut self, peer: Peer) {
        self.0.remove(&peer);
    }

    /// Forgets all of them: this node has left by itself.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Those that are gone for at least this long: a list that is older than a
    /// newcomer passes it over for a moment.
    pub(super) fn missed(&self, now: Time, least: Duration) -> impl Iterator<Item = Peer> {
        let missed = move |(_, absence): &(&Peer, &Absence)| {
            !absence.left && (least..MISSED_FOR).contains(&(now - absence.since))
        };
        self.0.iter().filter(missed).map(|(peer, _)| *peer)
    }
}
