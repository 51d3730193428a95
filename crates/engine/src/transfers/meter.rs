//! How fast a transfer is: a rate that follows what happens within seconds and
//! does not jump with every piece, so that the time left does not either.

use std::time::Duration;

/// What happened so long ago counts a third as much as what happens now.
const MEMORY: Duration = Duration::from_secs(3);

/// Two looks that are nearer to each other than this are one.
const STEP: Duration = Duration::from_millis(100);

/// A transfer that moved nothing for so long stands still.
const STILL: Duration = Duration::from_secs(3);

/// Measures a count of bytes that only grows. Times are since anything fixed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meter {
    /// When and what was looked at last.
    looked: (Duration, u64),
    /// When bytes were last seen to have moved.
    moved: Duration,
    /// The weighted sum of the rates so far, and of the weights.
    sum: f64,
    weight: f64,
}

impl Meter {
    /// Nothing has moved by now.
    pub(super) const fn new(now: Duration) -> Meter {
        Meter { looked: (now, 0), moved: now, sum: 0.0, weight: 0.0 }
    }

    /// Bytes a second, lately, when `bytes` have moved by now.
    pub(super) fn look(&mut self, now: Duration, bytes: u64) -> u64 {
        let (at, before) = self.looked;
        let span = now.saturating_sub(at);
        let more = bytes.saturating_sub(before);
        if span < STEP {
            // Too early to tell for good.
            let early = self.weight == 0.0 && !span.is_zero();
            return if early { (more as f64 / span.as_secs_f64()) as u64 } else { self.rate() };
        }
        if more > 0 {
            if now.saturating_sub(self.moved) > STILL {
                // A stop says nothing about how fast it goes on.
                (self.sum, self.weight) = (0.0, 0.0);
            }
            self.moved = now;
        }
        let keep = (-span.as_secs_f64() / MEMORY.as_secs_f64()).exp();
        self.sum = self.sum * keep + more as f64 / span.as_secs_f64() * (1.0 - keep);
        self.weight = self.weight * keep + (1.0 - keep);
        self.looked = (now, bytes);
        if now.saturating_sub(self.moved) >= STILL { 0 } else { self.rate() }
    }

    /// As it was at the last look.
    fn rate(&self) -> u64 {
        if self.weight == 0.0 { 0 } else { (self.sum / self.weight) as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn the_rate_is_known_soon_and_does_not_jump_with_every_piece() {
        let mut meter = Meter::new(at(0));
        assert_eq!(meter.look(at(0), 0), 0);
        assert_eq!(meter.look(at(50), 50), 1_000, "at once");
        // A piece of 1 000 bytes each second, looked at four times as often.
        let mut rates = Vec::new();
        for step in 1..=80 {
            rates.push(meter.look(at(step * 250), step / 4 * 1_000));
        }
        let late = &rates[24..];
        let (least, most) = (late.iter().min().expect("some"), late.iter().max().expect("some"));
        assert!((800..=1_000).contains(least) && (1_000..=1_200).contains(most), "{late:?}");
    }

    #[test]
    fn what_stands_still_has_no_rate_and_goes_on_with_its_own() {
        let mut meter = Meter::new(at(0));
        let mut bytes = 0;
        for step in 1..=40 {
            bytes = step * 1_000;
            assert!((9_999..=10_000).contains(&meter.look(at(step * 100), bytes)));
        }
        assert!(meter.look(at(5_000), bytes) > 0, "one late piece is no stop");
        assert_eq!(meter.look(at(7_000), bytes), 0);
        assert_eq!(meter.look(at(60_000), bytes), 0);
        assert_eq!(meter.look(at(60_500), bytes + 10_000), 20_000);
    }

    #[test]
    fn looking_twice_at_once_says_the_same() {
        let mut meter = Meter::new(at(0));
        let rate = meter.look(at(1_000), 5_000);
        assert_eq!(rate, 5_000);
        assert_eq!(meter.look(at(1_000), 5_000), rate);
        assert_eq!(meter.look(at(1_020), 5_000), rate);
    }
}
