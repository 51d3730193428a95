//! Statistics: distributions of small numbers, and quantiles of samples.

/// How often each small whole number occurred, such as contacts of lookups or keys of
/// hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    counts: Vec<u64>,
    total: u64,
    sum: u64,
}

impl Tally {
    /// Counts a value.
    pub(super) fn add(&mut self, value: usize) {
        if value >= self.counts.len() {
            self.counts.resize(value + 1, 0);
        }
        self.counts[value] += 1;
        self.total += 1;
        self.sum += value as u64;
    }

    /// Number of values.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// The mean; 0 without values.
    pub(super) fn mean(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 }
    }

    /// The smallest value that at least `percent` of all values do not exceed (nearest
    /// rank); 0 without values.
    pub(super) fn percentile(&self, percent: u64) -> u64 {
        let rank = (self.total * percent).div_ceil(100).max(1);
        let mut seen = 0;
        for (value, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return value as u64;
            }
        }
        0
    }

    /// The share of this value, 0 to 1.
    pub(super) fn share(&self, value: usize) -> f64 {
        let count = self.counts.get(value).copied().unwrap_or(0);
        if self.total == 0 { 0.0 } else { count as f64 / self.total as f64 }
    }

    /// The largest value that occurred.
    pub(super) fn max(&self) -> usize {
        self.counts.len().saturating_sub(1)
    }
}

/// Measurements of one quantity.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sample {
    values: Vec<f64>,
}

impl Sample {
    /// Adds a measurement.
    pub(super) fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    /// The value below which `share` (0 to 1) of the measurements lie (nearest rank); 0
    /// without values.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank.min(sorted.len()).saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

/// The binary logarithm of a number of nodes.
pub(super) fn log2(count: u64) -> f64 {
    (count as f64).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_knows_mean_percentiles_and_shares() {
        let mut tally = Tally::default();
        assert_eq!(
            (tally.mean(), tally.percentile(99), tally.share(3), tally.max()),
            (0.0, 0, 0.0, 0)
        );
        (1..=100).for_each(|value| tally.add(value));
        assert!((tally.mean() - 50.5).abs() < 1e-12);
        assert_eq!((tally.percentile(1), tally.percentile(50), tally.percentile(99)), (1, 50, 99));
        assert_eq!(tally.percentile(100), 100);
        (0..100).for_each(|_| tally.add(200));
        assert_eq!((tally.total(), tally.max(), tally.percentile(50)), (200, 200, 100));
        assert!((tally.share(200) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_quantile_is_a_measurement() {
        let mut sample = Sample::default();
        assert!(sample.quantile(0.5).abs() < f64::EPSILON);
        for value in [2.0, 9.0, 4.0, 5.0, 7.0] {
            sample.add(value);
        }
        for (share, value) in [(0.0, 2.0), (0.2, 2.0), (0.5, 5.0), (0.975, 9.0), (1.0, 9.0)] {
            assert!((sample.quantile(share) - value).abs() < f64::EPSILON, "{share}");
        }
    }
}
