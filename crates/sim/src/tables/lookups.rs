//! Lookups of random keys by random hosts, and how they ended.

use crate::{Ended, HostId, Outcome, Why, World};

use super::stats::Tally;
use super::workers::Steps;

use chordal_core::chord::Membership;

/// Lookups that run at once on a ring on which nothing changes.
const BATCH: u64 = 500;

/// The results of lookups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// Contacts that answered, including the owner, of lookups with a right result.
    pub path: Tally,
    /// Contacts that did not answer, of the same lookups.
    pub timeouts: Tally,
    /// Lookups that returned a node that is not the key's owner.
    pub wrong: u64,
    /// Lookups that returned nothing.
    pub unanswered: u64,
    /// Lookups of hosts that died before the end: they count neither as right nor as
    /// failed.
    pub orphaned: u64,
}

impl Judged {
    /// Number of lookups that count.
    pub(super) fn counted(&self) -> u64 {
        self.path.total() + self.failed()
    }

    /// Number of lookups that failed: with a wrong result, or without one.
    pub(super) const fn failed(&self) -> u64 {
        self.wrong + self.unanswered
    }

    /// The share of failed lookups, scaled to this many lookups.
    pub(super) fn failed_per(&self, lookups: u64) -> f64 {
        if self.counted() == 0 {
            return 0.0;
        }
        self.failed() as f64 * lookups as f64 / self.counted() as f64
    }

    /// Counts one more lookup.
    pub(super) fn count(&mut self, ended: &Ended) {
        match &ended.outcome {
            Outcome::Found(owner) if ended.truth == Some(*owner) => {
                self.path.add(ended.contacts as usize);
                self.timeouts.add(ended.timeouts as usize);
            }
            Outcome::Failed(Why::Died) => self.orphaned += 1,
            Outcome::Failed(_) => self.unanswered += 1,
            _ => self.wrong += 1,
        }
    }
}

/// Random choices of a host before the search for a member is given up: few hosts are still
/// joining.
const TRIES: usize = 32;

/// A random host that is a member; `None` if none was found.
pub(super) fn some_member(world: &mut World) -> Option<HostId> {
    for _ in 0..TRIES {
        let host = world.some_host()?;
        let nodes = world.host(host)?.nodes();
        if nodes.iter().any(|node| node.membership() == Membership::Member) {
            return Some(host);
        }
    }
    None
}

/// Begins the lookup of a random key at a random member; `false` if there is none.
pub(super) fn begin(world: &mut World) -> bool {
    let Some(from) = some_member(world) else { return false };
    let wide = world.chance().wide();
    let key = world.space().id(wide);
    world.lookup(from, key);
    true
}

/// Runs lookups on a ring on which nothing else happens.
pub(super) fn at_rest(world: &mut World, lookups: u64, steps: &Steps<'_>) -> Judged {
    let mut judged = Judged::default();
    let mut left = lookups;
    while left > 0 {
        let batch = left.min(BATCH);
        let begun = (0..batch).filter(|_| begin(world)).count();
        let mut ended = 0;
        loop {
            for (_, end) in world.ended() {
                judged.count(&end);
                ended += 1;
            }
            if ended >= begun || !world.step() {
                break;
            }
        }
        left -= batch;
        steps.add(batch);
    }
    judged
}
