//! When an address that a registry lists may be tried again.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Before an address is tried for the second time; each further pause is twice
/// as long.
const FIRST: Duration = Duration::from_secs(2);

/// The longest pause: a minute after a registry is back, it is tried.
const LONGEST: Duration = Duration::from_secs(60);

/// Addresses that are remembered: twice a full list. Beyond it the one that may
/// be tried again first is forgotten.
const AT_MOST: usize = 2 * chordal_core::registry::MAX_PEERS;

/// Addresses that were tried, and when they may be again.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tried: BTreeMap<SocketAddr, (Instant, Duration)>,
}

impl Backoff {
    /// Whether an address may be tried now.
    pub(super) fn is_ready(&self, address: SocketAddr, now: Instant) -> bool {
        self.tried.get(&address).is_none_or(|(again, _)| now >= *again)
    }

    /// An address is tried.
    pub(super) fn tried(&mut self, address: SocketAddr, now: Instant) {
        let pause = self.tried.get(&address).map_or(FIRST, |(_, pause)| (*pause * 2).min(LONGEST));
        if self.tried.len() >= AT_MOST
            && !self.tried.contains_key(&address)
            && let Some(first) = self.tried.iter().min_by_key(|(_, (again, _))| *again)
        {
            let first = *first.0;
            self.tried.remove(&first);
        }
        self.tried.insert(address, (now + pause, pause));
    }

    /// Time until the next address that waits may be tried again.
    pub(super) fn next(&self, now: Instant) -> Option<Duration> {
        let waits = self.tried.values().map(|(again, _)| *again).filter(|again| *again > now);
        waits.min().map(|again| again - now)
    }

    /// Everything has changed: all may be tried again.
    pub(super) fn forget(&mut self) {
        self.tried.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_tried_ever_more_rarely_and_few_are_remembered() {
        let start = Instant::now();
        let address: SocketAddr = ([127, 0, 0, 1], 2000).into();
        let mut backoff = Backoff::default();
        let mut now = start;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            assert!(backoff.is_ready(address, now));
            backoff.tried(address, now);
            let pause = backoff.next(now).expect("it waits");
            assert!(!backoff.is_ready(address, now + pause.mul_f64(0.99)));
            pauses.push(pause);
            now += pause;
        }
        assert_eq!((pauses[0], pauses[1], pauses[11]), (FIRST, FIRST * 2, LONGEST));
        for n in 0..10_000u32 {
            let address = SocketAddr::from(((0x0A00_0000 + n).to_be_bytes(), 1));
            backoff.tried(address, now);
        }
        assert_eq!(backoff.tried.len(), AT_MOST);
    }
}
