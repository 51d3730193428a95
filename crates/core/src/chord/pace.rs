//! When a node stabilizes besides its timer.

use std::time::Duration;

use crate::time::Time;

/// Hints start at most this many stabilizations in one period: few enough that
/// an endless row of them makes no storm.
const HINTED_PER_PERIOD: u32 = 20;

/// After quiet periods so many may follow each other as fast as answers come: as
/// many as a change, or a crowd that comes in at once, leads to.
const HINTED_AT_ONCE: u32 = 100;

/// When the node stabilizes besides its timer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Pace {
    /// A hint came while a round was under way: one more after it.
    pub(super) again: bool,
    /// When the rounds so far would end if each took its share of a period: one that
    /// lies too far ahead has to wait.
    pub(super) next: Time,
}

impl Pace {
    /// How long a round that a hint asks for has to wait; if not at all, it counts
    /// as one of those that may follow each other.
    pub(super) fn take(&mut self, now: Time, period: Duration) -> Duration {
        let share = period / HINTED_PER_PERIOD;
        let next = self.next.max(now) + share;
        let wait = next - (now + share * HINTED_AT_ONCE);
        if wait.is_zero() {
            self.next = next;
        }
        wait
    }
}
