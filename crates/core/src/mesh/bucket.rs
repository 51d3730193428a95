//! A token bucket: limits how often a peer may do something.

use std::time::Duration;

use crate::time::Time;

/// The rate of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Maximum number at once, after a pause.
    pub burst: u32,
    /// Time after which one more is allowed.
    pub every: Duration,
}

/// The present state of a [`Rate`]'s bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// When the whole burst will be allowed again: the later that is, the fewer are left
    /// now.
    full_at: Time,
}

impl Bucket {
    /// A full bucket.
    pub const fn new() -> Bucket {
        Bucket { full_at: Time::ZERO }
    }

    /// Takes a token; returns whether there was one.
    pub fn take(&mut self, now: Time, rate: Rate) -> bool {
        let from = self.full_at.max(now);
        let after = from + rate.every;
        if after.since(now) > rate.every * rate.burst {
            return false;
        }
        self.full_at = after;
        true
    }

    /// Whether it is full, so that it need not be stored.
    pub fn is_full(&self, now: Time) -> bool {
        self.full_at <= now
    }
}

impl Default for Bucket {
    fn default() -> Bucket {
        Bucket::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_in_each_span() {
        let rate = Rate { burst: 3, every: Duration::from_secs(1) };
        let mut bucket = Bucket::new();
        let at = |millis: u64| Time::from_micros(millis * 1_000);
        let passed = |bucket: &mut Bucket, millis| bucket.take(at(millis), rate);
        assert!((0..3).all(|_| passed(&mut bucket, 0)));
        assert!(!passed(&mut bucket, 0));
        assert!(!passed(&mut bucket, 999));
        assert!(passed(&mut bucket, 1_000));
        assert!(!passed(&mut bucket, 1_001));
        assert!(!bucket.is_full(at(3_999)));
        assert!(bucket.is_full(at(4_000)));
        assert!((0..3).all(|_| passed(&mut bucket, 60_000)), "no more than a burst is saved up");
        assert!(!passed(&mut bucket, 60_000));
    }
}
