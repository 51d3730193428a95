//! Lookups of random keys by random hosts, and how they ended.

use crate::{Ended, HostId, Outcome, Why, World};
use chordal_core::chord::Standing;

use super::crew::Steps;
use super::stats::Tally;

/// Lookups under way at a time where nothing changes meanwhile.
const BATCH: u64 = 500;

/// How lookups ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Judged {
    /// Contacts that answered, the owner included, of those that ended right.
    pub path: Tally,
    /// Contacts that did not answer, of the same.
    pub timeouts: Tally,
    /// Lookups that came back with a node that is not the key's owner.
    pub wrong: u64,
    /// Lookups that came back with nothing.
    pub unanswered: u64,
    /// Lookups of hosts that died themselves before the end: nobody waits for
    /// those any more, and they count neither as right nor as failed.
    pub orphaned: u64,
}

impl Judged {
    /// Lookups that count.
    pub(super) fn counted(&self) -> u64 {
        self.path.total() + self.failed()
    }

    /// Lookups that failed: answered wrong, or not at all.
    pub(super) const fn failed(&self) -> u64 {
        self.wrong + self.unanswered
    }

    /// Of so many lookups, how many would have failed.
    pub(super) fn failed_per(&self, lookups: u64) -> f64 {
        if self.counted() == 0 {
            return 0.0;
        }
        self.failed() as f64 * lookups as f64 / self.counted() as f64
    }

    /// One more has ended.
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

/// Hosts tried for one that is a member: those that are still joining are few.
const TRIES: usize = 32;

/// A random host that is a member; `None`: none was found.
pub(super) fn some_member(world: &mut World) -> Option<HostId> {
    for _ in 0..TRIES {
        let host = world.some_host()?;
        let nodes = world.host(host)?.nodes();
        if nodes.iter().any(|node| node.standing() == Standing::Member) {
            return Some(host);
        }
    }
    None
}

/// Begins the lookup of a random key at a random member. `false`: there is none.
pub(super) fn begin(world: &mut World) -> bool {
    let Some(from) = some_member(world) else { return false };
    let wide = world.chance().wide();
    let key = world.space().id(wide);
    world.lookup(from, key);
    true
}

/// So many lookups on a ring on which nothing else happens.
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
