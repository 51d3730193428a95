//! The parts of an experiment, carried out by several threads.
//!
//! Each part has its own world and its own seed, so that it does not matter
//! which thread carries it out, and when: results stand in the order of the
//! parts.

use std::hash::Hasher;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::trace::Trace;

/// Receives the progress of an experiment: steps done, and of how many. Called
/// from several threads.
pub type Progress<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// Counts the steps of all parts together.
pub(super) struct Steps<'a> {
    progress: Progress<'a>,
    done: AtomicU64,
    of: u64,
}

impl<'a> Steps<'a> {
    /// None of `of` is done.
    pub(super) fn new(of: u64, progress: Progress<'a>) -> Steps<'a> {
        progress(0, of);
        Steps { progress, done: AtomicU64::new(0), of }
    }

    /// So many more are done.
    pub(super) fn add(&self, steps: u64) {
        let done = self.done.fetch_add(steps, Ordering::Relaxed) + steps;
        (self.progress)(done.min(self.of), self.of);
    }
}

impl std::fmt::Debug for Steps<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").field("done", &self.done).field("of", &self.of).finish()
    }
}

/// Carries out every part, as many at a time as the machine has processors. The
/// last part is begun first: experiments name their largest part last.
pub(super) fn each<Part: Sync, End: Send>(
    parts: &[Part],
    work: impl Fn(&Part) -> End + Sync,
) -> Vec<End> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(parts.len());
    let ends: Vec<Mutex<Option<End>>> = parts.iter().map(|_| Mutex::new(None)).collect();
    let left = AtomicUsize::new(parts.len());
    let one = || {
        while let Ok(before) =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
        {
            let end = work(&parts[before - 1]);
            *ends[before - 1].lock() = Some(end);
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(one);
        }
        one();
    });
    // A part that panicked has ended the scope with its panic.
    ends.into_iter().filter_map(Mutex::into_inner).collect()
}

/// The seed of one part of an experiment, so that parts are independent.
pub(super) fn part_seed(seed: u64, part: &[u64]) -> u64 {
    let mut mixed = Trace::new();
    mixed.write_u64(seed);
    part.iter().for_each(|word| mixed.write_u64(*word));
    mixed.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_parts() {
        let parts: Vec<u64> = (0..50).collect();
        let told = AtomicU64::new(0);
        let tell = |done: u64, of: u64| {
            assert_eq!(of, 50);
            told.fetch_max(done, Ordering::Relaxed);
        };
        let steps = Steps::new(50, &tell);
        let squares = each(&parts, |part| {
            steps.add(1);
            part * part
        });
        assert_eq!(squares, parts.iter().map(|part| part * part).collect::<Vec<_>>());
        assert_eq!(told.load(Ordering::Relaxed), 50);
        assert!(each(&[] as &[u64], |part| *part).is_empty());
    }
}
