//! The time of day, as it is said to people, to other nodes and to a later run.
//! Nothing else is decided by it: for that there are [`std::time::Instant`] and the
//! core's time.

use std::time::UNIX_EPOCH;

/// A node's clock: this machine's, or one that is wrong by so much.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// Seconds that it is ahead of this machine's.
    pub(crate) ahead_s: i64,
}

impl Clock {
    /// Milliseconds since 1970; 0 when it stands before.
    pub(crate) fn unix_ms(self) -> u64 {
        let real = UNIX_EPOCH.elapsed();
        let real = real.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        real.saturating_add_signed(self.ahead_s.saturating_mul(1_000))
    }

    /// Seconds since 1970; 0 when it stands before.
    pub(crate) fn unix_s(self) -> u64 {
        self.unix_ms() / 1_000
    }
}
