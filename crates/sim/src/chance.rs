//! The random numbers of a simulation: seeded, the same on every platform.
//!
//! The generator is xoshiro256++ (Blackman and Vigna, 2019), seeded through SplitMix64. The
//! distributions use only operations that IEEE 754 rounds in one way (+ − × ÷ and the
//! square root), so that a seed gives the same run on every machine.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Chance {
    state: [u64; 4],
}

impl Chance {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Chance {
        let mut sum = seed;
        let state = std::array::from_fn(|_| {
            sum = sum.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut word = sum;
            word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            word ^ (word >> 31)
        });
        Chance { state }
    }

    /// An independent stream: later draws from this one do not affect it.
    pub fn branch(&mut self) -> Chance {
        Chance::new(self.bits())
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// 128 random bits: an identifier, once reduced to its bits.
    pub fn wide(&mut self) -> u128 {
        u128::from(self.bits()) << 64 | u128::from(self.bits())
    }

    /// A number below `end`; 0 when that is 0. Uniform to one part in 2⁶⁴⁄`end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A number in the range; its start when it is empty.
    pub fn within(&mut self, range: RangeInclusive<u64>) -> u64 {
        let (low, high) = (*range.start(), *range.end());
        match high.saturating_sub(low).checked_add(1) {
            Some(span) => low + self.below(span),
            None => self.bits(),
        }
    }

    /// An index into a list of this length; `None` when it is empty.
    pub fn index(&mut self, length: usize) -> Option<usize> {
        (length > 0).then(|| self.below(length as u64) as usize)
    }

    /// A number from 0 (included) to 1 (excluded).
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn happens(&mut self, probability: f64) -> bool {
        probability > 0.0 && self.unit() < probability
    }

    /// The time until the next event of a Poisson process with this rate; `None` for rate
    /// 0.
    pub fn until_next(&mut self, per_second: f64) -> Option<Duration> {
        (per_second > 0.0).then(|| seconds(self.exponential() / per_second))
    }

    /// A session length from the Weibull distribution with this shape (below 1:
    /// heavy-tailed) and median.
    pub fn weibull(&mut self, shape: f64, median: Duration) -> Duration {
        // median = scale · (ln 2)^(1/shape)
        let power = |base: f64| exp(ln(base) / shape);
        let draw = power(self.exponential() / std::f64::consts::LN_2);
        seconds(median.as_micros() as f64 / 1e6 * draw)
    }

    /// Draws from the exponential distribution with mean 1; above 0.
    fn exponential(&mut self) -> f64 {
        -ln(1.0 - self.unit()) + f64::MIN_POSITIVE
    }

    /// `count` different members of `from`, or all of them, in random order.
    pub fn some_of<T: Copy>(&mut self, from: &[T], count: usize) -> Vec<T> {
        let mut all = from.to_vec();
        let count = count.min(all.len());
        for at in 0..count {
            let other = at + self.below((all.len() - at) as u64) as usize;
            all.swap(at, other);
        }
        all.truncate(count);
        all
    }
}

/// At most a century, which stands for never.
fn seconds(seconds: f64) -> Duration {
    const CENTURY_S: f64 = 3.2e9;
    Duration::from_micros((seconds.clamp(0.0, CENTURY_S) * 1e6) as u64)
}

/// The natural logarithm of a positive normal number, to about 15 digits.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7FF) as i64 - 1023;
    let mut mantissa = f64::from_bits(bits & 0x000F_FFFF_FFFF_FFFF | 0x3FF0_0000_0000_0000);
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 artanh((m − 1) / (m + 1)), whose argument is below 0.172.
    let y = (mantissa - 1.0) / (mantissa + 1.0);
    let square = y * y;
    let mut sum = 0.0;
    for odd in (1..=21).rev().step_by(2) {
        sum = sum * square + 1.0 / f64::from(odd);
    }
    2.0 * y * sum + exponent as f64 * std::f64::consts::LN_2
}

/// e to the power of a number of moderate size, to about 15 digits.
fn exp(x: f64) -> f64 {
    const LIMIT: f64 = 700.0;
    let x = x.clamp(-LIMIT, LIMIT);
    // e^x = (e^(x / 2^k))^(2^k): the argument is so small that a few terms suffice.
    const HALVINGS: i32 = 11;
    let small = x / f64::from(1 << HALVINGS);
    let mut sum = 1.0;
    for term in (1..=12).rev() {
        sum = 1.0 + small / f64::from(term) * sum;
    }
    for _ in 0..HALVINGS {
        sum *= sum;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_stream() {
        let draw = |seed| {
            std::iter::repeat_with({
                let mut chance = Chance::new(seed);
                move || chance.bits()
            })
        };
        assert!(draw(1).take(100).eq(draw(1).take(100)));
        assert!(draw(1).take(100).ne(draw(2).take(100)));
    }

    #[test]
    fn the_generator_is_xoshiro256_plus_plus() {
        // From the authors' reference code, for the state 1, 2, 3, 4.
        let mut chance = Chance { state: [1, 2, 3, 4] };
        let first: Vec<u64> = (0..4).map(|_| chance.bits()).collect();
        assert_eq!(first, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn logarithm_and_power_are_those_of_the_platform() {
        for x in [1e-12, 0.1, 0.5, 0.9999, 1.0, 1.5, 2.0, 42.0, 1e15] {
            assert!((ln(x) - x.ln()).abs() < 1e-13 * (1.0 + x.ln().abs()), "ln {x}");
        }
        for x in [-40.0, -1.0, 0.0, 0.3, 1.0, 7.5, 40.0f64] {
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-11, "exp {x}");
        }
    }

    #[test]
    fn the_means_and_medians_are_those_asked_for() {
        let mut chance = Chance::new(7);
        let draws = 20_000;
        let sum: Duration = (0..draws).filter_map(|_| chance.until_next(4.0)).sum();
        let mean = sum.as_secs_f64() / f64::from(draws);
        assert!((mean - 0.25).abs() < 0.01, "{mean}");
        for shape in [0.5, 1.0, 2.0] {
            let median = Duration::from_secs(100);
            let below = (0..draws).filter(|_| chance.weibull(shape, median) < median).count();
            let share = below as f64 / f64::from(draws);
            assert!((share - 0.5).abs() < 0.02, "{shape}: {share}");
        }
        assert_eq!(chance.until_next(0.0), None);
    }

    #[test]
    fn a_choice_takes_nobody_twice() {
        let mut chance = Chance::new(3);
        let all: Vec<u32> = (0..50).collect();
        let mut some = chance.some_of(&all, 20);
        some.sort_unstable();
        some.dedup();
        assert_eq!(some.len(), 20);
        assert_eq!(chance.some_of(&all, 99).len(), 50);
        assert_eq!(chance.index(0), None);
        assert!((0..1000).all(|_| (5..=9).contains(&chance.within(5..=9))));
    }
}
