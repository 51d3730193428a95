//! How much one side may send: so much at once, then so much a second.

use std::time::{Duration, Instant};

/// What is left of an allowance that fills up again with time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    at_once: u32,
    every: Duration,
    left: u32,
    /// Up to when the allowance was counted.
    counted: Instant,
}

impl Pace {
    /// `at_once` at once, and one more `every` so often.
    pub(crate) fn new(at_once: u32, every: Duration, now: Instant) -> Pace {
        Pace { at_once, every, left: at_once, counted: now }
    }

    /// Takes one; otherwise the time until there is one again.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        let since = now.saturating_duration_since(self.counted);
        let more =
            (since.as_nanos() / self.every.as_nanos().max(1)).min(u128::from(u32::MAX)) as u32;
        self.left = self.left.saturating_add(more).min(self.at_once);
        self.counted += self.every.saturating_mul(more).min(since);
        if self.left == 0 {
            return Err(self.every.saturating_sub(now.saturating_duration_since(self.counted)));
        }
        self.left -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_a_flood_is_slowed() {
        let start = Instant::now();
        let mut pace = Pace::new(3, Duration::from_millis(100), start);
        assert!((0..3).all(|_| pace.take(start).is_ok()));
        assert_eq!(pace.take(start), Err(Duration::from_millis(100)));
        let later = start + Duration::from_millis(250);
        assert_eq!([pace.take(later), pace.take(later)], [Ok(()), Ok(())]);
        assert_eq!(pace.take(later), Err(Duration::from_millis(50)));
        let much_later = start + Duration::from_secs(3_600);
        assert_eq!((0..10).filter(|_| pace.take(much_later).is_ok()).count(), 3);
    }
}
