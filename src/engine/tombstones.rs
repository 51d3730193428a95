//! When tombstones end, by this node's clock.

use std::time::Duration;

use crate::chord::Input;
use crate::limits::TOMBSTONE_S;

/// How often tombstones are looked through. Nobody waits for their end.
pub(super) const EVERY: Duration = Duration::from_secs(60);

/// Ends are rounded down to this, in seconds: nodes whose clocks differ little
/// end the same tombstones within one look, so that their digests agree again.
const STEP_S: u64 = 10 * 60;

/// What the core is told so many seconds after 1970; `None` when no tombstone
/// can be that old.
pub(super) fn collect(now_s: u64) -> Option<Input> {
    let before_s = now_s.saturating_sub(TOMBSTONE_S) / STEP_S * STEP_S;
    (before_s > 0).then_some(Input::Collect { before_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_ends_after_a_day_and_at_most_ten_minutes() {
        for now_s in [1_800_000_000, 1_800_000_599, 1_800_000_600, 1_800_000_001] {
            let Some(Input::Collect { before_s }) = collect(now_s) else {
                panic!("nothing to collect at {now_s}");
            };
            let age = now_s - before_s;
            assert!((TOMBSTONE_S..TOMBSTONE_S + STEP_S).contains(&age), "{age}");
            assert_eq!(before_s % STEP_S, 0);
        }
    }

    #[test]
    fn two_clocks_a_little_apart_end_the_same() {
        assert_eq!(collect(1_800_000_010), collect(1_800_000_450));
        assert_ne!(collect(1_800_000_010), collect(1_800_000_610));
    }

    #[test]
    fn a_clock_that_was_never_set_ends_nothing() {
        assert_eq!(collect(0), None);
        assert_eq!(collect(TOMBSTONE_S), None);
    }
}
