//! To whom no bytes pass: members that answer messages while no data connection to
//! them is made, because they are out of file handles or something is in the way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Data connections that fail one after the other before a node is called so.
const FAILURES: u32 = 2;

/// How long a failure counts.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// What became of the last data connections to each node. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach(Arc<Mutex<BTreeMap<SocketAddr, (u32, Instant)>>>);

impl Reach {
    /// A data connection was made, or was not.
    pub(super) fn saw(&self, address: SocketAddr, made: bool) {
        let mut failures = self.failures();
        if made {
            failures.remove(&address);
        } else {
            failures.retain(|_, (_, last)| last.elapsed() < COUNTS_FOR);
            let (count, last) = failures.entry(address).or_insert((0, Instant::now()));
            (*count, *last) = (*count + 1, Instant::now());
        }
    }

    /// Those to whom several failed in a row of late.
    pub(super) fn deaf(&self) -> Vec<SocketAddr> {
        let deaf =
            |(count, last): &(u32, Instant)| *count >= FAILURES && last.elapsed() < COUNTS_FOR;
        self.failures().iter().filter(|(_, seen)| deaf(seen)).map(|(to, _)| *to).collect()
    }

    fn failures(&self) -> MutexGuard<'_, BTreeMap<SocketAddr, (u32, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_says_nothing_and_a_connection_clears_several() {
        let (reach, to) = (Reach::default(), SocketAddr::from(([127, 0, 0, 1], 2000)));
        reach.saw(to, false);
        assert_eq!(reach.deaf(), []);
        reach.saw(to, false);
        assert_eq!(reach.deaf(), [to]);
        reach.saw(to, true);
        assert_eq!(reach.deaf(), []);
    }
}
