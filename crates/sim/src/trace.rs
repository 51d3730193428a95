//! The fingerprint of a run: two runs with the same events have the same fingerprint.
//!
//! It covers every event: its time, the host, its kind, and its whole message. It shows
//! whether two runs are the same and need not resist an attacker, so it is fast and not
//! cryptographic.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

/// The fingerprint of all events so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct TraceHash(u64);

impl fmt::Display for TraceHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<TraceHash> for String {
    fn from(hash: TraceHash) -> String {
        hash.to_string()
    }
}

impl TryFrom<String> for TraceHash {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<TraceHash, std::num::ParseIntError> {
        u64::from_str_radix(&text, 16).map(TraceHash)
    }
}

/// Computes a [`TraceHash`]. As a [`Hasher`] it takes numbers at the width that they have
/// on a 64-bit machine, so that the size of a `usize` makes no difference.
#[derive(Clone, Debug)]
pub(super) struct Trace(u64);

/// Two odd numbers without a pattern: the digits of π and of the golden ratio.
const SALT: u64 = 0x243F_6A88_85A3_08D3;
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Trace {
    /// The state before the first event.
    pub(super) const fn new() -> Trace {
        Trace(SALT)
    }

    /// The fingerprint of several runs, in their order.
    pub(super) fn of(parts: impl IntoIterator<Item = impl Hash>) -> TraceHash {
        let mut trace = Trace::new();
        parts.into_iter().for_each(|part| part.hash(&mut trace));
        trace.hash()
    }

    /// The fingerprint so far.
    pub(super) const fn hash(&self) -> TraceHash {
        TraceHash(self.0)
    }

    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word).wrapping_mul(u128::from(STEP) << 1 | 1);
        self.0 = (product as u64) ^ ((product >> 64) as u64) ^ self.0.rotate_left(29);
    }
}

impl Hasher for Trace {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.mix(u64::from_le_bytes(word));
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(u64::from(word));
    }

    fn write_u16(&mut self, word: u16) {
        self.mix(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_u128(&mut self, word: u128) {
        self.mix(word as u64);
        self.mix((word >> 64) as u64);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn write_i8(&mut self, word: i8) {
        self.mix(i64::from(word) as u64);
    }

    fn write_i16(&mut self, word: i16) {
        self.mix(i64::from(word) as u64);
    }

    fn write_i32(&mut self, word: i32) {
        self.mix(i64::from(word) as u64);
    }

    fn write_i64(&mut self, word: i64) {
        self.mix(word as u64);
    }

    fn write_isize(&mut self, word: isize) {
        self.mix(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(parts: &[u64]) -> TraceHash {
        let mut trace = Trace::new();
        parts.hash(&mut trace);
        trace.hash()
    }

    #[test]
    fn the_order_and_every_bit_of_it_count() {
        assert_eq!(of(&[1, 2, 3]), of(&[1, 2, 3]));
        assert_ne!(of(&[1, 2, 3]), of(&[1, 3, 2]));
        assert_ne!(of(&[0]), of(&[0, 0]));
        let mut seen: Vec<TraceHash> = (0..64).map(|bit| of(&[7, 1 << bit, 7])).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 64);
    }

    #[test]
    fn it_reads_back_from_its_text() {
        let hash = of(&[42]);
        assert_eq!(TraceHash::try_from(String::from(hash)), Ok(hash));
    }
}
