//! Identifiers and the arithmetic of the ring (Chord, SIGCOMM'01, §4).
//!
//! An identifier is `SHA-1(text) mod 2^m`: the digest read as a big-endian
//! integer, of which the low `m` bits count. [`Point`] keeps the low 128 bits
//! of the digest, which serve every `m` from 1 to 128; [`Space`] is one choice
//! of `m` and turns points into [`Id`]s.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};

/// The default number of bits: 1 024 places, which the labs of the project's seeds use and
/// a person can read.
pub const DEFAULT_BITS: u8 = 10;

/// The low 128 bits of a SHA-1 digest: an identifier before `m` is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Point {
    // Two words instead of one, since a u128 would align a peer to 16 bytes.
    high: u64,
    low: u64,
}

impl Point {
    /// Hashes a text: `ip:port` of a node, the name of a file.
    pub fn of(text: &str) -> Point {
        let digest = Sha1::digest(text.as_bytes());
        let mut last = [0u8; 16];
        last.copy_from_slice(&digest[4..20]);
        let whole = u128::from_be_bytes(last);
        Point { high: (whole >> 64) as u64, low: whole as u64 }
    }
}

/// A place on the ring: an integer below `2^m`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Id(u128);

impl Id {
    /// The place with this number. The caller must ensure that the number is below `2^m`;
    /// [`Space::id`] reduces any number.
    pub const fn new(value: u128) -> Id {
        Id(value)
    }

    /// The number of the place.
    pub const fn value(self) -> u128 {
        self.0
    }

    /// Whether `self` lies strictly inside the clockwise interval (`from`, `to`). If both
    /// ends are the same place, every other place is inside.
    pub fn between(self, from: Id, to: Id) -> bool {
        if from < to {
            from < self && self < to
        } else {
            (from < self || self < to) && self != from && self != to
        }
    }

    /// Whether `self` lies in the half-open clockwise interval (`from`, `to`]: the keys
    /// that a node at `to` with a predecessor at `from` owns. If both ends are the same
    /// place, the whole ring is inside.
    pub fn within(self, from: Id, to: Id) -> bool {
        self == to || self.between(from, to)
    }
}

/// Bits of the identifiers of one ring, `1..=128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Space {
    bits: u8,
}

impl Default for Space {
    fn default() -> Space {
        Space { bits: DEFAULT_BITS }
    }
}

impl Space {
    /// The space of `2^bits` places; `None` unless `bits` is in `1..=128`.
    pub const fn new(bits: u8) -> Option<Space> {
        if bits >= 1 && bits <= 128 { Some(Space { bits }) } else { None }
    }

    /// The number of bits, `m`.
    pub const fn bits(self) -> u8 {
        self.bits
    }

    /// The number of the last place, `2^m − 1`.
    pub const fn last(self) -> Id {
        Id(u128::MAX >> (128 - self.bits))
    }

    /// The place of a number, reduced modulo `2^m`.
    pub const fn id(self, value: u128) -> Id {
        Id(value & self.last().0)
    }

    /// The place of a point.
    pub const fn at(self, point: Point) -> Id {
        self.id((point.high as u128) << 64 | point.low as u128)
    }

    /// The place of a text: `SHA-1(text) mod 2^m`.
    pub fn hash(self, text: &str) -> Id {
        self.at(Point::of(text))
    }

    /// The distance clockwise from `from` to `to`.
    pub const fn distance(self, from: Id, to: Id) -> u128 {
        to.0.wrapping_sub(from.0) & self.last().0
    }

    /// The start of finger `index` of a node at `id`: `id + 2^index mod 2^m` (`index`
    /// counts from 0).
    pub const fn finger_start(self, id: Id, index: u8) -> Id {
        self.id(id.0.wrapping_add(1u128 << index))
    }

    /// An identifier as text: decimal up to 32 bits, hexadecimal (with fixed width) beyond.
    pub fn show(self, id: Id) -> String {
        if self.bits <= 32 {
            id.0.to_string()
        } else {
            let width = usize::from(self.bits).div_ceil(4);
            format!("{:0width$x}", id.0)
        }
    }

    /// Reads an identifier as [`Space::show`] writes it.
    pub fn parse(self, text: &str) -> Option<Id> {
        let value = if self.bits <= 32 {
            text.parse().ok()?
        } else {
            u128::from_str_radix(text, 16).ok()?
        };
        (value <= self.last().0).then_some(Id(value))
    }
}

impl TryFrom<u8> for Space {
    type Error = BadBits;

    fn try_from(bits: u8) -> Result<Space, BadBits> {
        Space::new(bits).ok_or(BadBits(bits))
    }
}

impl From<Space> for u8 {
    fn from(space: Space) -> u8 {
        space.bits
    }
}

/// A number of bits outside `1..=128`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} identifier bits: choose 1 to 128")]
pub struct BadBits(pub u8);

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2^{}", self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_the_design() {
        let space = Space::default();
        for (text, id) in [
            ("127.0.0.1:2000", 466),
            ("127.0.0.1:2001", 48),
            ("127.0.0.1:2002", 495),
            ("SkyShip.jpg", 189),
        ] {
            assert_eq!(space.hash(text), Id::new(id), "{text}");
        }
    }

    #[test]
    fn an_interval_with_equal_ends_is_all_but_its_end() {
        let a = Id::new(7);
        assert!(Id::new(8).between(a, a));
        assert!(Id::new(6).between(a, a));
        assert!(!a.between(a, a));
        assert!(a.within(a, a));
    }

    #[test]
    fn the_widest_space_wraps() {
        let space = Space::new(128).expect("128 is allowed");
        assert_eq!(space.finger_start(Id::new(u128::MAX), 0), Id::new(0));
        assert_eq!(space.distance(Id::new(u128::MAX), Id::new(1)), 2);
        assert_eq!(Space::new(0), None);
        assert_eq!(Space::new(129), None);
    }

    proptest! {
        #[test]
        fn between_is_what_distances_say(bits in 1u8..=128, a: u128, x: u128, b: u128) {
            let space = Space::new(bits).expect("in range");
            let (a, x, b) = (space.id(a), space.id(x), space.id(b));
            let whole = a == b;
            let expected = x != a
                && if whole { true } else { space.distance(a, x) < space.distance(a, b) };
            prop_assert_eq!(x.between(a, b), expected);
        }

        #[test]
        fn text_form_reads_back(bits in 1u8..=128, x: u128) {
            let space = Space::new(bits).expect("in range");
            let id = space.id(x);
            prop_assert_eq!(space.parse(&space.show(id)), Some(id));
        }
    }
}
