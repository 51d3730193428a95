//! Published results, for comparison.
//!
//! Paper: Stoica, Morris, Liben-Nowell, Karger, Kaashoek, Dabek, Balakrishnan,
//! *Chord: A Scalable Peer-to-peer Lookup Protocol for Internet Applications*,
//! IEEE/ACM Transactions on Networking 11 (2003).

use super::stats::log2;

/// A row of the paper's table on simultaneous failures (N = 1000, r = 20,
/// 10 000 lookups, no repair).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Failed {
    /// Percentage of nodes that failed.
    pub percent: u32,
    /// Mean path.
    pub path: f64,
    /// Mean timeouts.
    pub timeouts: f64,
}

/// The paper's table on simultaneous failures. No lookup failed in any row.
pub(super) const FAILURES: [Failed; 6] = [
    Failed { percent: 0, path: 3.84, timeouts: 0.0 },
    Failed { percent: 10, path: 4.03, timeouts: 0.60 },
    Failed { percent: 20, path: 4.22, timeouts: 1.17 },
    Failed { percent: 30, path: 4.44, timeouts: 2.02 },
    Failed { percent: 40, path: 4.69, timeouts: 3.23 },
    Failed { percent: 50, path: 5.09, timeouts: 5.10 },
];

/// A row of the paper's table on churn (about 1000 nodes, r = 20).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Churned {
    /// Joins, and as many leaves, per 100 seconds.
    pub percent: u32,
    /// Failed lookups per 10 000 in the paper.
    pub paper: u32,
    /// Failed lookups per 10 000 in Rings (a ring in Rust whose own simulation repeats the
    /// paper's).
    pub rings: u32,
}

/// The paper's table on churn, and the results of the same experiment with another
/// implementation.
pub(super) const CHURN: [Churned; 5] = [
    Churned { percent: 5, paper: 0, rings: 6 },
    Churned { percent: 10, paper: 0, rings: 17 },
    Churned { percent: 20, paper: 5, rings: 36 },
    Churned { percent: 30, paper: 8, rings: 41 },
    Churned { percent: 40, paper: 15, rings: 59 },
];

/// Keys of the 99th percentile of hosts as a multiple of the mean, by virtual nodes (10⁴
/// hosts), measured on a static ring.
pub(super) const LOAD: [(u16, f64); 5] = [(1, 4.6), (2, 3.3), (5, 2.4), (10, 1.9), (20, 1.65)];

/// Mean contacts of a lookup in a settled ring of `nodes` with lists of `successors`,
/// including the owner and with use of the lists: ½·log₂N − ½·log₂r + 1.
pub(super) fn path(nodes: u64, successors: u64) -> f64 {
    (log2(nodes) - log2(successors)) / 2.0 + 1.0
}

/// Mean contacts measured on a static ring, with their 99th percentile, by the number of
/// nodes, for r = 1 and for r = 2·log₂N.
pub(super) const PATHS: [(u64, [(f64, u64); 2]); 4] = [
    (128, [(4.30, 7), (2.56, 4)]),
    (1_024, [(5.84, 9), (3.84, 6)]),
    (4_096, [(6.85, 10), (4.71, 8)]),
    (10_000, [(7.50, 11), (5.31, 9)]),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formula_is_close_to_what_static_rings_measure_from_a_thousand_nodes_on() {
        for (nodes, rows) in PATHS.into_iter().filter(|(nodes, _)| *nodes >= 1_000) {
            let r = (2.0 * log2(nodes)).ceil() as u64;
            for (successors, (mean, _)) in [1, r].into_iter().zip(rows) {
                let off = (path(nodes, successors) - mean).abs();
                assert!(off < 0.3, "{nodes} nodes, r = {successors}: {off}");
            }
        }
    }
}
