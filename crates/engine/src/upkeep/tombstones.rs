//! The clock by which this node counts the day of its tombstones.
//!
//! It begins at the time of day of the node's start, so what was away for a day has let
//! go of them, and then runs on by itself: that the time of day is set meanwhile ends
//! no tombstone. How wrong it is matters to no other node ([`chordal_core::chord`]'s expiry).

use std::time::{Duration, Instant};

use crate::clock::Clock;

/// How often tombstones are looked through. Nothing waits for their end.
pub(crate) const EVERY: Duration = Duration::from_secs(60);

/// The clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DayClock {
    /// Seconds since 1970 at `began`.
    start_s: u64,
    began: Instant,
}

impl DayClock {
    /// Begins now.
    pub(crate) fn begin(clock: Clock, now: Instant) -> DayClock {
        // 0 would mean that it was never told.
        DayClock { start_s: clock.unix_s().max(1), began: now }
    }

    /// Seconds.
    pub(crate) fn now_s(&self, now: Instant) -> u64 {
        self.start_s.saturating_add(now.saturating_duration_since(self.began).as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_begins_at_the_time_of_day_and_runs_by_itself() {
        let began = Instant::now();
        let day = |ahead_s| DayClock::begin(Clock { ahead_s }, began);
        let later = began + Duration::from_secs(90);
        for ahead_s in [0, -90_000, 90_000] {
            let clock = day(ahead_s);
            let start = clock.now_s(began);
            assert!(start.abs_diff(day(0).now_s(began).saturating_add_signed(ahead_s)) < 60);
            assert_eq!(clock.now_s(later) - start, 90);
        }
        assert_eq!(day(i64::MIN).now_s(began), 1, "never 0");
    }
}
