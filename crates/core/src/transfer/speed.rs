//! The speeds of the sources of one download, and what follows from them: how much to
//! request from a source at once, which sources are too slow, and when the rest will be
//! here.
//!
//! Only time in which a source has something to deliver counts. Pure: the caller passes in
//! the time and the number of bytes that have arrived.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::peer::Peer;
use crate::time::Time;

/// A source's speed is measured over this last part of its work; a source whose speed was
/// below a [`SLOW_PART`]th of the others' for that long is too slow.
pub const WINDOW: Duration = Duration::from_secs(3);

/// The fraction of the median speed below which waiting for a source costs more than to do
/// without it.
pub const SLOW_PART: u64 = 10;

/// A source is asked for about as much as it delivers in this time: long enough that
/// requests cost nothing, short enough that little is lost with a source that dies.
pub const RUN: Duration = Duration::from_millis(750);

/// Bytes that are requested from a source of unknown speed.
pub const FIRST_RUN_BYTES: u64 = 4 * 1024 * 1024;

/// Maximum number of pieces that are requested from a source at once.
pub const MAX_RUN_PIECES: u32 = 256;

/// Maximum number of bytes that are requested from a source at once, unless one piece is
/// larger.
pub const MAX_RUN_BYTES: u64 = 256 * 1024 * 1024;

/// How long a source of unknown speed has before it counts as one that does not deliver.
pub const GRACE: Duration = Duration::from_millis(500);

/// Time between two measurements that are kept: about thirty in a window.
const LOOK_STEP: Duration = Duration::from_millis(100);

/// The speeds of the sources of one download.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speeds {
    sources: BTreeMap<Peer, Speed>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Speed {
    /// When something was requested from it; `None` while it has nothing to do.
    working: Option<Time>,
    /// Bytes that had arrived at these times of its present work.
    looks: VecDeque<(Time, u64)>,
    /// Bytes per second.
    rate: Option<u64>,
}

impl Speeds {
    /// Begins a source's work; it has sent `total` bytes so far. Has no effect if it is
    /// working already.
    pub fn works(&mut self, now: Time, source: Peer, total: u64) {
        let speed = self.sources.entry(source).or_default();
        if speed.working.is_none() {
            speed.working = Some(now);
            speed.looks.clear();
            speed.looks.push_back((now, total));
        }
    }

    /// Records that a working source has sent `total` bytes so far.
    pub fn look(&mut self, now: Time, source: Peer, total: u64) {
        let Some(speed) = self.sources.get_mut(&source).filter(|speed| speed.working.is_some())
        else {
            return;
        };
        if speed.looks.back().is_none_or(|(at, _)| now.since(*at) >= LOOK_STEP) {
            speed.looks.push_back((now, total));
        }
        while speed.looks.get(1).is_some_and(|(at, _)| now.since(*at) >= WINDOW) {
            speed.looks.pop_front();
        }
        if let Some((at, before)) = speed.looks.front() {
            let micros = u64::try_from(now.since(*at).as_micros()).unwrap_or(u64::MAX);
            let bytes = total.saturating_sub(*before);
            if micros > 0 && (bytes > 0 || now.since(*at) >= GRACE) {
                speed.rate = Some(bytes.saturating_mul(1_000_000) / micros);
            }
        }
    }

    /// Ends a source's work: it has delivered everything.
    pub fn rests(&mut self, source: Peer) {
        if let Some(speed) = self.sources.get_mut(&source) {
            speed.working = None;
        }
    }

    /// Removes a source.
    pub fn forget(&mut self, source: Peer) {
        self.sources.remove(&source);
    }

    /// Bytes per second; `None` while it is unknown.
    pub fn rate(&self, source: Peer) -> Option<u64> {
        self.sources.get(&source)?.rate
    }

    /// How many pieces of `piece` bytes to request from a source now.
    pub fn run(&self, source: Peer, piece: u64) -> u32 {
        let bytes = match self.rate(source) {
            Some(rate) => (rate.saturating_mul(RUN.as_millis() as u64) / 1_000).min(MAX_RUN_BYTES),
            None => FIRST_RUN_BYTES,
        };
        let pieces = u32::try_from(bytes / piece.max(1)).unwrap_or(u32::MAX);
        pieces.clamp(1, MAX_RUN_PIECES)
    }

    /// When a source will have delivered `owed` bytes; `None` if it does not seem to
    /// deliver.
    pub fn eta(&self, now: Time, source: Peer, owed: u64) -> Option<Duration> {
        let speed = self.sources.get(&source)?;
        match speed.rate {
            Some(0) => None,
            Some(rate) => Some(Duration::from_micros(owed.saturating_mul(1_000_000) / rate)),
            None if speed.working.is_some_and(|since| now.since(since) >= GRACE) => None,
            None => Some(Duration::ZERO),
        }
    }

    /// The sources that were below a tenth of the median speed during the whole window,
    /// though they had something to deliver.
    pub fn slow(&self, now: Time) -> Vec<Peer> {
        let mut rates: Vec<u64> = self.sources.values().filter_map(|speed| speed.rate).collect();
        rates.sort_unstable();
        let Some(median) = rates.get(rates.len() / 2) else { return Vec::new() };
        let slow = |speed: &Speed| {
            speed.working.is_some_and(|since| now.since(since) >= WINDOW)
                && speed.looks.front().is_some_and(|(at, _)| now.since(*at) >= WINDOW)
                && speed.rate.is_some_and(|rate| rate.saturating_mul(SLOW_PART) < *median)
        };
        self.sources.iter().filter(|(_, speed)| slow(speed)).map(|(source, _)| *source).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn peer(number: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], 2000 + number).into(), 0)
    }

    fn at(millis: u64) -> Time {
        Time::from_micros(millis * 1_000)
    }

    /// Everybody delivers this many bytes a second for so long.
    fn after(millis: u64, rates: &[u64]) -> Speeds {
        let mut speeds = Speeds::default();
        for now in (0..=millis).step_by(250) {
            for (number, rate) in (0..).zip(rates) {
                speeds.works(at(now), peer(number), 0);
                speeds.look(at(now), peer(number), rate * now / 1_000);
            }
        }
        speeds
    }

    #[test]
    fn a_run_is_what_a_source_delivers_in_less_than_a_second() {
        let speeds = after(1_000, &[100 * MIB, MIB / 2, 0]);
        assert_eq!(speeds.rate(peer(0)), Some(100 * MIB));
        assert_eq!(speeds.run(peer(0), MIB), 75);
        assert_eq!(speeds.run(peer(0), 64 * MIB), 1);
        assert_eq!(speeds.run(peer(1), MIB), 1, "never less than a piece");
        assert_eq!(speeds.run(peer(2), MIB), 1);
        assert_eq!(speeds.run(peer(9), MIB), 4, "unknown");
        assert_eq!(after(1_000, &[100_000 * MIB]).run(peer(0), MIB), 256, "the most");
        assert_eq!(after(1_000, &[100_000 * MIB]).run(peer(0), 16 * MIB), 16, "in bytes");
    }

    #[test]
    fn only_a_source_that_was_slow_for_the_whole_window_is_slow() {
        let rates = [100 * MIB, 90 * MIB, 8 * MIB, 20 * MIB];
        assert_eq!(after(2_750, &rates).slow(at(2_750)), []);
        assert_eq!(after(3_000, &rates).slow(at(3_000)), [peer(2)]);
        assert_eq!(after(9_000, &[MIB]).slow(at(9_000)), [], "alone, it sets the measure");
        assert_eq!(after(9_000, &[MIB, 11 * MIB]).slow(at(9_000)), [peer(0)]);
    }

    #[test]
    fn a_source_that_stops_is_slow_soon_and_one_that_rests_is_not() {
        let mut speeds = after(5_000, &[50 * MIB, 50 * MIB, 50 * MIB]);
        speeds.rests(peer(1));
        for now in (5_250..=8_000).step_by(250) {
            speeds.look(at(now), peer(0), 50 * MIB * now / 1_000);
            speeds.look(at(now), peer(1), 250 * MIB);
            speeds.look(at(now), peer(2), 250 * MIB);
        }
        assert_eq!(speeds.slow(at(8_000)), [peer(2)]);
        assert_eq!(speeds.rate(peer(1)), Some(50 * MIB));
        // What it did not have to do is not held against it later.
        speeds.works(at(60_000), peer(1), 250 * MIB);
        speeds.look(at(60_250), peer(1), 250 * MIB + 12 * MIB);
        assert_eq!(speeds.rate(peer(1)), Some(48 * MIB));
        speeds.forget(peer(2));
        assert_eq!(speeds.slow(at(60_250)), []);
    }

    #[test]
    fn the_rest_is_expected_at_the_measured_speed() {
        let speeds = after(1_000, &[10 * MIB, 0]);
        assert_eq!(speeds.eta(at(1_000), peer(0), 20 * MIB), Some(Duration::from_secs(2)));
        assert_eq!(speeds.eta(at(1_000), peer(1), MIB), None, "it does not deliver");
        let mut fresh = Speeds::default();
        fresh.works(at(0), peer(0), 0);
        assert_eq!(fresh.eta(at(100), peer(0), MIB), Some(Duration::ZERO), "too early to tell");
        assert_eq!(fresh.eta(at(600), peer(0), MIB), None);
    }
}
