//! Counting and judging: distributions of small numbers, means with their
//! sampling error.

/// How often each small whole number occurred: contacts of lookups, keys of
/// hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: Vec<u64>,
    total: u64,
    sum: u64,
}

impl Tally {
    /// Counts one.
    pub fn add(&mut self, value: usize) {
        if value >= self.counts.len() {
            self.counts.resize(value + 1, 0);
        }
        self.counts[value] += 1;
        self.total += 1;
        self.sum += value as u64;
    }

    /// Takes over what another has counted.
    pub fn merge(&mut self, other: &Tally) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.sum += other.sum;
    }

    /// How many were counted.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 }
    }

    /// The smallest value that at least `percent` of all do not exceed (nearest
    /// rank); 0 of none.
    pub fn percentile(&self, percent: u64) -> u64 {
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
    pub fn share(&self, value: usize) -> f64 {
        let count = self.counts.get(value).copied().unwrap_or(0);
        if self.total == 0 { 0.0 } else { count as f64 / self.total as f64 }
    }

    /// The largest value that occurred.
    pub fn max(&self) -> usize {
        self.counts.len().saturating_sub(1)
    }
}

/// Independent measurements of one quantity, for its mean and how far off that
/// may be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    values: Vec<f64>,
}

impl Sample {
    /// One more measurement.
    pub fn add(&mut self, value: f64) {
        self.values.push(value);
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        if self.values.is_empty() { 0.0 } else { self.sum() / self.values.len() as f64 }
    }

    fn sum(&self) -> f64 {
        self.values.iter().sum()
    }

    /// The standard error of the mean, from the measurements' own scatter (with
    /// n − 1); 0 of fewer than two.
    pub fn error(&self) -> f64 {
        let count = self.values.len();
        if count < 2 {
            return 0.0;
        }
        let mean = self.mean();
        let squares: f64 = self.values.iter().map(|value| (value - mean).powi(2)).sum();
        (squares / (count - 1) as f64 / count as f64).sqrt()
    }

    /// The value below which `share` (0 to 1) of the measurements lie, nearest
    /// rank; 0 of none.
    pub fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (share * sorted.len() as f64).ceil().max(1.0) as usize;
        sorted.get(rank.min(sorted.len()).saturating_sub(1)).copied().unwrap_or(0.0)
    }
}

/// Standard deviations within which 95 % of a normal distribution lie.
pub const NORMAL_95: f64 = 1.96;

/// Binary logarithm of a number of nodes.
pub fn log2(count: u64) -> f64 {
    (count as f64).log2()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_knows_mean_percentiles_and_shares() {
        let mut tally = Tally::default();
        assert_eq!((tally.mean(), tally.percentile(99), tally.share(3), tally.max()), (0.0, 0, 0.0, 0));
        (1..=100).for_each(|value| tally.add(value));
        assert!((tally.mean() - 50.5).abs() < 1e-12);
        assert_eq!((tally.percentile(1), tally.percentile(50), tally.percentile(99)), (1, 50, 99));
        assert_eq!(tally.percentile(100), 100);
        let mut other = Tally::default();
        (0..100).for_each(|_| other.add(200));
        tally.merge(&other);
        assert_eq!((tally.total(), tally.max(), tally.percentile(50)), (200, 200, 100));
        assert!((tally.share(200) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn a_sample_tells_how_far_off_its_mean_may_be() {
        let mut sample = Sample::default();
        assert_eq!((sample.mean(), sample.error(), sample.quantile(0.5)), (0.0, 0.0, 0.0));
        for value in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
            sample.add(value);
        }
        assert!((sample.mean() - 5.0).abs() < 1e-12);
        // The sum of squares is 32: sqrt(32 / 7 / 8).
        assert!((sample.error() - 0.755_928_946).abs() < 1e-9);
        assert!((sample.quantile(0.975) - 9.0).abs() < 1e-12);
        assert!((sample.quantile(0.025) - 2.0).abs() < 1e-12);
    }
}
