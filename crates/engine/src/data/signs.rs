//! When files' bytes last came from each node: a node that sends them lives, though its
//! answers may wait behind them or be lost on their way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Longer than any question is waited for.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// Nodes from which bytes came of late, at the most: a bound on memory.
const AT_MOST: usize = 4_096;

/// When bytes last came from each node. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signs(Arc<Mutex<BTreeMap<SocketAddr, Instant>>>);

impl Signs {
    /// Bytes came from this node.
    pub(crate) fn saw(&self, address: SocketAddr) {
        let now = Instant::now();
        let mut seen = self.0.lock();
        if !seen.contains_key(&address) {
            seen.retain(|_, at| now.saturating_duration_since(*at) < COUNTS_FOR);
            if seen.len() >= AT_MOST {
                return;
            }
        }
        seen.insert(address, now);
    }

    /// When they last did, if of late.
    pub(crate) fn heard(&self, address: SocketAddr) -> Option<Instant> {
        self.0.lock().get(&address).copied()
    }
}
