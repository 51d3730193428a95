//! How many bytes a second go over the data connections of a node: one
//! allowance for each direction, over all of them together.
//!
//! A thread that has moved a slice of bytes pays for it and waits until that is
//! allowed. As slices are small and all of a size, and each connection pays for
//! one at a time, the allowance is shared fairly without any knowing which
//! else is there. Nothing is waited for where there is no limit.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use chordal_core::time::Time;
use chordal_view::RateLimits;

/// How much transfers of bytes may take. Control traffic is not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferLimits {
    /// Bytes a second sent, over all transfers together; `None`: no limit.
    pub up: Option<u64>,
    /// Likewise received.
    pub down: Option<u64>,
    /// Transfers of the node's own user (`put`, `get`, files of directories) that
    /// run at a time; others wait for their turn.
    pub at_once: usize,
    /// Sources of one download that work at a time.
    pub sources: usize,
}

impl Default for TransferLimits {
    fn default() -> TransferLimits {
        TransferLimits { up: None, down: None, at_once: 4, sources: 8 }
    }
}

/// What may be moved at once after a silence is what the rate gives in this
/// time.
const BURST: Duration = Duration::from_millis(100);

/// A slice is what the rate gives in this time: with a hundred connections each
/// still has its turn within a few seconds, before it is taken for dead.
const SLICE: Duration = Duration::from_millis(20);

/// Bytes of a slice: less would be all overhead, more nothing gained.
const LEAST_SLICE: u64 = 128;
const MOST_SLICE: u64 = 64 * 1024;

/// How soon a thread that waits notices that its connection was cut.
const CUT_LOOK: Duration = Duration::from_millis(50);

/// What the kernel may hold of a limited connection that was not read yet:
/// about what is read in this time, so that a sender neither sends in vain what a
/// cancelled transfer throws away, nor is kept waiting longer than a peer's
/// patience for room.
const HELD: Duration = Duration::from_secs(1);

/// Bytes of it.
const LEAST_HELD: u64 = 8 * 1024;
const MOST_HELD: u64 = 1024 * 1024;

/// The limits of one end of data connections. Cheap to clone: all clones share
/// one allowance.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// What is sent.
    pub(crate) up: Limiter,
    /// What is received.
    pub(crate) down: Limiter,
    /// Sources of one download that work at a time.
    pub(crate) sources: usize,
}

impl Limits {
    /// As the user wants it.
    pub(crate) fn new(wanted: &TransferLimits) -> Limits {
        Limits {
            up: Limiter::new(wanted.up),
            down: Limiter::new(wanted.down),
            sources: wanted.sources.max(1),
        }
    }

    /// As a snapshot shows them.
    pub(crate) fn rates(&self) -> RateLimits {
        RateLimits { up: self.up.rate(), down: self.down.rate() }
    }
}

/// The limit of one direction, or none.
#[derive(Clone, Debug)]
pub(crate) struct Limiter(Option<Arc<Limit>>);

#[derive(Debug)]
struct Limit {
    began: Instant,
    allowance: Mutex<Allowance>,
    rate: u64,
}

impl Limiter {
    /// So many bytes a second; `None` or 0: as many as there are.
    pub(crate) fn new(rate: Option<u64>) -> Limiter {
        Limiter(rate.filter(|rate| *rate > 0).map(|rate| {
            let allowance = Mutex::new(Allowance::new(rate));
            Arc::new(Limit { began: Instant::now(), allowance, rate })
        }))
    }

    fn rate(&self) -> Option<u64> {
        self.0.as_ref().map(|limit| limit.rate)
    }

    /// Bytes to move before paying for them, at most; `None`: no limit.
    pub(crate) fn slice(&self) -> Option<usize> {
        let Limiter(Some(limit)) = self else { return None };
        let bytes = (limit.rate as f64 * SLICE.as_secs_f64()) as u64;
        // Fits into any usize.
        Some(bytes.clamp(LEAST_SLICE, MOST_SLICE) as usize)
    }

    /// Bytes that the kernel should hold of one connection; `None`: as it likes.
    pub(crate) fn held(&self) -> Option<usize> {
        let Limiter(Some(limit)) = self else { return None };
        let bytes = (limit.rate as f64 * HELD.as_secs_f64()) as u64;
        Some(bytes.clamp(LEAST_HELD, MOST_HELD) as usize)
    }

    /// Pays for bytes that moved: waits until they are allowed.
    ///
    /// # Errors
    /// [`io::ErrorKind::ConnectionAborted`] soon after `cut` is set.
    pub(crate) fn pay(&self, bytes: usize, cut: &AtomicBool) -> io::Result<()> {
        let Limiter(Some(limit)) = self else { return Ok(()) };
        let due = {
            let mut allowance = limit.allowance.lock();
            let now = limit.began.elapsed();
            limit.began + now + allowance.take(Time::ZERO + now, bytes as u64)
        };
        loop {
            if cut.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            thread::sleep(left.min(CUT_LOOK));
        }
    }
}

/// A token bucket that may be overdrawn: its thread then waits.
#[derive(Debug)]
struct Allowance {
    rate: u64,
    /// When all that was taken so far is paid for.
    paid: Time,
}

impl Allowance {
    const fn new(rate: u64) -> Allowance {
        Allowance { rate, paid: Time::ZERO }
    }

    /// Takes so many bytes; how long to wait before taking more.
    fn take(&mut self, now: Time, bytes: u64) -> Duration {
        let micros = now.as_micros().saturating_sub(BURST.as_micros() as u64);
        let from = self.paid.max(Time::from_micros(micros));
        let cost = u128::from(bytes) * 1_000_000 / u128::from(self.rate);
        self.paid = from + Duration::from_micros(u64::try_from(cost).unwrap_or(u64::MAX));
        self.paid.since(now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BinaryHeap;

    use super::*;

    /// Connections that always have something to move: bytes of each after so
    /// many milliseconds, in virtual time.
    fn moved(rate: u64, slices: &[u64], millis: u64) -> Vec<u64> {
        let mut allowance = Allowance::new(rate);
        let start = Time::ZERO + Duration::from_secs(100);
        let end = start + Duration::from_millis(millis);
        let mut moved = vec![0; slices.len()];
        let mut next: BinaryHeap<_> =
            (0..slices.len()).map(|who| std::cmp::Reverse((start, who))).collect();
        while let Some(std::cmp::Reverse((now, who))) = next.pop() {
            if now >= end {
                break;
            }
            moved[who] += slices[who];
            let wait = allowance.take(now, slices[who]).max(Duration::from_micros(1));
            next.push(std::cmp::Reverse((now + wait, who)));
        }
        moved
    }

    #[test]
    fn over_three_seconds_a_limit_is_kept_within_a_tenth() {
        for (rate, connections) in [(10_000, 1), (10_000, 8), (1_000_000, 3), (50_000_000, 128)] {
            let slice = Limiter::new(Some(rate)).slice().expect("a limit") as u64;
            let sum: u64 = moved(rate, &vec![slice; connections], 3_000).iter().sum();
            let wanted = rate * 3;
            assert!(sum >= wanted - wanted / 10 && sum <= wanted + wanted / 10, "{rate}: {sum}");
        }
    }

    #[test]
    fn connections_share_fairly_and_nobody_starves() {
        let shares = moved(1_000_000, &[20_000; 4], 10_000);
        let (least, most) =
            (shares.iter().min().expect("some"), shares.iter().max().expect("some"));
        assert!(most - least <= 20_000, "{shares:?}");
        let crowd = moved(10_000, &[256; 128], 4_000);
        assert!(crowd.iter().all(|bytes| *bytes > 0), "each has its turn within seconds");
    }

    #[test]
    fn a_silence_saves_up_a_tenth_of_a_second_and_no_more() {
        let mut allowance = Allowance::new(1_000);
        let at = |millis: u64| Time::from_micros(millis * 1_000);
        assert_eq!(allowance.take(at(60_000), 100), Duration::ZERO);
        assert_eq!(allowance.take(at(60_000), 100), Duration::from_millis(100));
        assert_eq!(allowance.take(at(60_100), 50), Duration::from_millis(50));
        assert_eq!(allowance.take(at(90_000), 100), Duration::ZERO);
        assert_eq!(allowance.take(at(90_000), 1_000), Duration::from_secs(1));
    }

    #[test]
    fn without_a_limit_nothing_is_waited_for_and_a_cut_ends_the_wait() {
        let cut = AtomicBool::new(false);
        for rate in [None, Some(0)] {
            let none = Limiter::new(rate);
            assert_eq!((none.slice(), none.held()), (None, None));
            none.pay(usize::MAX, &cut).expect("no limit");
        }
        let limit = Limiter::new(Some(1));
        cut.store(true, Ordering::Relaxed);
        let error = limit.pay(1_000_000, &cut).expect_err("it would take days");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}
