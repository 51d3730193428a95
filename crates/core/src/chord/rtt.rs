//! Per-peer time limits from measured round trips.
//!
//! Jacobson's estimator as Bamboo uses it (USENIX'04, §4): mean + 4 · mean
//! deviation. Silence beyond the limit is what the core hears as "no answer". The
//! core itself measures nothing: this is for its drivers, which all wait alike.

use std::time::Duration;

/// Before anything was measured: a loaded machine on a LAN answers well within.
const FIRST_LIMIT: Duration = Duration::from_millis(1_500);

/// A peer whose answers take microseconds may still be paused by its scheduler
/// for tens of milliseconds; suspecting it then would cost more than waiting.
const LEAST_LIMIT: Duration = Duration::from_millis(500);

/// Added to the mean at the least: round trips that never vary would otherwise
/// leave no time at all for the one that does (RFC 6298 adds its clock's grain).
const LEAST_SLACK: Duration = Duration::from_millis(200);

/// Beyond this a person regards the peer as gone.
const GREATEST_LIMIT: Duration = Duration::from_secs(3);

/// What is known about the round trips to one peer.
#[derive(Clone, Copy, Debug, Default)]
pub struct RoundTrips {
    measured: Option<Measured>,
}

#[derive(Clone, Copy, Debug)]
struct Measured {
    mean: Duration,
    deviation: Duration,
}

impl RoundTrips {
    /// Takes a measured round trip in.
    pub fn sample(&mut self, trip: Duration) {
        self.measured = Some(match self.measured {
            None => Measured { mean: trip, deviation: trip / 2 },
            Some(Measured { mean, deviation }) => Measured {
                mean: (mean * 7 + trip) / 8,
                deviation: (deviation * 3 + mean.abs_diff(trip)) / 4,
            },
        });
    }

    /// The smoothed round trip.
    pub fn mean(&self) -> Option<Duration> {
        self.measured.map(|m| m.mean)
    }

    /// How long to wait for an answer.
    pub fn limit(&self) -> Duration {
        match self.measured {
            None => FIRST_LIMIT,
            Some(m) => {
                let slack = (m.deviation * 4).max(LEAST_SLACK);
                (m.mean + slack).clamp(LEAST_LIMIT, GREATEST_LIMIT)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_peer_gets_the_least_limit_and_a_wild_one_more() {
        let mut steady = RoundTrips::default();
        assert_eq!(steady.limit(), FIRST_LIMIT);
        (0..50).for_each(|_| steady.sample(Duration::from_millis(1)));
        assert_eq!(steady.limit(), LEAST_LIMIT);
        let mut far = RoundTrips::default();
        (0..500).for_each(|_| far.sample(Duration::from_millis(800)));
        assert_eq!(far.limit(), Duration::from_secs(1), "not 800 ms to the microsecond");
        let mut wild = RoundTrips::default();
        (0..50).for_each(|n| wild.sample(Duration::from_millis(100 + 400 * (n % 2))));
        assert!(wild.limit() > Duration::from_millis(800), "{:?}", wild.limit());
        wild.sample(Duration::from_secs(60));
        assert_eq!(wild.limit(), GREATEST_LIMIT);
    }
}
