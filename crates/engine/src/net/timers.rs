//! Timers in the order in which they fire; the jitter of the core's ranges is
//! drawn here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::{Duration, Instant};

use chordal_core::chord::{Slot, Timer};
use chordal_core::wire::Nonce;

/// What fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// A timer of a position of the core.
    Core(Slot, Timer),
    /// An answer to a position's question is overdue.
    Answer(Slot, Nonce),
    /// The hub's pulse.
    Beat,
    /// Tombstones may have come to their end.
    Collect,
}

/// All armed alarms, each at most once.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Instant, Alarm)>,
    due: BTreeMap<Alarm, Instant>,
}

impl Timers {
    /// Arms an alarm, replacing an earlier time of the same.
    pub(crate) fn arm(&mut self, alarm: Alarm, at: Instant) {
        self.disarm(alarm);
        self.order.insert((at, alarm));
        self.due.insert(alarm, at);
    }

    /// Arms a timer of a position at a moment drawn from its range.
    pub(crate) fn arm_within(
        &mut self,
        slot: Slot,
        timer: Timer,
        now: Instant,
        after: &Range<Duration>,
    ) {
        let spread = after.end.saturating_sub(after.start);
        self.arm(Alarm::Core(slot, timer), now + after.start + spread.mul_f64(fastrand::f64()));
    }

    /// Whether an alarm is armed.
    pub(crate) fn is_armed(&self, alarm: Alarm) -> bool {
        self.due.contains_key(&alarm)
    }

    /// Forgets an alarm.
    pub(crate) fn disarm(&mut self, alarm: Alarm) {
        if let Some(at) = self.due.remove(&alarm) {
            self.order.remove(&(at, alarm));
        }
    }

    /// When the next alarm is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the next alarm that is due at `now`.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Alarm> {
        let (at, alarm) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.disarm(alarm);
        Some(alarm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_fire_once_in_order_and_arming_again_replaces() {
        let start = Instant::now();
        let mut timers = Timers::default();
        timers.arm(Alarm::Answer(0, 1), start + Duration::from_secs(3));
        timers.arm(Alarm::Core(0, Timer::Stabilize), start + Duration::from_secs(2));
        timers.arm(Alarm::Answer(0, 1), start + Duration::from_secs(1));
        timers.arm(Alarm::Answer(0, 9), start);
        timers.disarm(Alarm::Answer(0, 9));
        assert_eq!(timers.next(), Some(start + Duration::from_secs(1)));
        let late = start + Duration::from_secs(9);
        assert_eq!(timers.pop(start), None);
        assert_eq!(timers.pop(late), Some(Alarm::Answer(0, 1)));
        assert_eq!(timers.pop(late), Some(Alarm::Core(0, Timer::Stabilize)));
        assert_eq!(timers.pop(late), None);
    }

    #[test]
    fn jitter_stays_within_the_range() {
        let now = Instant::now();
        let range = Duration::from_millis(10)..Duration::from_millis(20);
        for _ in 0..100 {
            let mut timers = Timers::default();
            timers.arm_within(0, Timer::Repair, now, &range);
            let due = timers.next().expect("armed") - now;
            assert!(range.start <= due && due <= range.end, "{due:?}");
        }
    }
}
