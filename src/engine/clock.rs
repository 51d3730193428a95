//! The time of day, as it is said to people, to other nodes and to a later run.
//! Nothing else is decided by it: for that there are [`std::time::Instant`] and the
//! core's time.

use std::time::UNIX_EPOCH;

/// Milliseconds since 1970, by this machine's clock; 0 when it stands before.
pub(super) fn unix_ms() -> u64 {
    UNIX_EPOCH.elapsed().map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Seconds since 1970, by this machine's clock; 0 when it stands before.
pub(super) fn unix_s() -> u64 {
    unix_ms() / 1_000
}
