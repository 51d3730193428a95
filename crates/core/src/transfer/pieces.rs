//! Sets of pieces of a content, one bit each: in memory, beside a partial file, and on a
//! connection.

use std::ops::Range;

use super::manifest::PieceIndex;

/// A set of pieces of one content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PieceSet {
    count: u32,
    held: u32,
    /// The first piece is the lowest bit of the first byte; bits beyond the last piece are
    /// not set.
    bits: Vec<u8>,
}

impl PieceSet {
    /// The empty set for a content of `count` pieces.
    pub fn none(count: u32) -> PieceSet {
        PieceSet { count, held: 0, bits: vec![0; bytes_of(count)] }
    }

    /// All pieces of a content of `count` pieces.
    pub fn all(count: u32) -> PieceSet {
        PieceSet::from_bytes(count, &vec![u8::MAX; bytes_of(count)])
    }

    /// The inverse of [`PieceSet::to_bytes`]. Pieces beyond the last byte are not in the
    /// set; bits beyond the last piece are ignored.
    pub fn from_bytes(count: u32, bytes: &[u8]) -> PieceSet {
        let mut bits: Vec<u8> = bytes.iter().copied().take(bytes_of(count)).collect();
        bits.resize(bytes_of(count), 0);
        if let (Some(last), used @ 1..) = (bits.last_mut(), count % 8) {
            *last &= (1 << used) - 1;
        }
        let held = bits.iter().map(|byte| byte.count_ones()).sum();
        PieceSet { count, held, bits }
    }

    /// One bit per piece, the first piece in the lowest bit of the first byte.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bits.clone()
    }

    /// The byte of [`PieceSet::to_bytes`] that has a piece's bit, with its offset.
    pub fn byte_of(&self, index: PieceIndex) -> (usize, u8) {
        let at = index.0 as usize / 8;
        (at, self.bits.get(at).copied().unwrap_or_default())
    }

    /// Adds a piece. Returns whether it is new; a piece that the content does not have
    /// never is.
    pub fn insert(&mut self, index: PieceIndex) -> bool {
        let new = index.0 < self.count && !self.contains(index);
        if new {
            self.bits[index.0 as usize / 8] |= 1 << (index.0 % 8);
            self.held += 1;
        }
        new
    }

    /// Whether a piece is in the set.
    pub fn contains(&self, index: PieceIndex) -> bool {
        self.byte_of(index).1 & (1 << (index.0 % 8)) != 0
    }

    /// Number of pieces in the set.
    pub const fn len(&self) -> usize {
        self.held as usize
    }

    /// Whether the set is empty.
    pub const fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Number of pieces of the content that are not in the set.
    pub const fn missing(&self) -> usize {
        (self.count - self.held) as usize
    }

    /// The pieces in the set, in order.
    pub fn iter(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        (0..self.count).map(PieceIndex).filter(|index| self.contains(*index))
    }

    /// The pieces that are not in the set, in order.
    pub fn lacking(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        (0..self.count).map(PieceIndex).filter(|index| !self.contains(*index))
    }

    /// The pieces that are not in the set, as runs of consecutive pieces.
    pub fn lacking_runs(&self) -> Vec<Range<PieceIndex>> {
        let mut runs: Vec<Range<PieceIndex>> = Vec::new();
        for index in self.lacking() {
            let end = PieceIndex(index.0 + 1);
            match runs.last_mut() {
                Some(run) if run.end == index => run.end = end,
                _ => runs.push(index..end),
            }
        }
        runs
    }
}

const fn bytes_of(count: u32) -> usize {
    count.div_ceil(8) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn what_lies_beyond_the_last_piece_means_nothing() {
        let set = PieceSet::from_bytes(3, &[0xFF, 0xFF]);
        assert_eq!(set, PieceSet::all(3));
        assert_eq!((set.len(), set.missing(), set.to_bytes()), (3, 0, vec![0b111]));
        assert!(!set.contains(PieceIndex(3)) && !set.contains(PieceIndex(u32::MAX)));
        assert_eq!(PieceSet::from_bytes(9, &[1]).missing(), 8, "what was not said is not here");
        let mut none = PieceSet::none(0);
        assert!(!none.insert(PieceIndex(0)) && none.is_empty() && none.missing() == 0);
    }

    #[test]
    fn runs_of_missing_pieces_lie_between_those_that_are_here() {
        let mut set = PieceSet::none(12);
        for index in [0, 3, 4, 11] {
            assert!(set.insert(PieceIndex(index)));
        }
        let runs: Vec<_> = set.lacking_runs().iter().map(|run| (run.start.0, run.end.0)).collect();
        assert_eq!(runs, [(1, 3), (5, 11)]);
    }

    proptest! {
        #[test]
        fn it_is_the_set_of_what_was_put_in(
            count in 0u32..70, puts in prop::collection::vec(0u32..80, 0..90)
        ) {
            let mut set = PieceSet::none(count);
            let mut model = BTreeSet::new();
            for index in puts {
                let new = index < count && model.insert(index);
                prop_assert_eq!(set.insert(PieceIndex(index)), new);
            }
            prop_assert_eq!(set.len(), model.len());
            prop_assert_eq!(set.missing(), count as usize - model.len());
            let here: Vec<u32> = set.iter().map(|index| index.0).collect();
            prop_assert_eq!(here, model.iter().copied().collect::<Vec<_>>());
            let runs = set.lacking_runs();
            let lacking: Vec<u32> = runs.into_iter().flat_map(|r| r.start.0..r.end.0).collect();
            let not_in: Vec<u32> = (0..count).filter(|index| !model.contains(index)).collect();
            prop_assert_eq!(lacking, not_in);
            prop_assert_eq!(PieceSet::from_bytes(count, &set.to_bytes()), set);
        }
    }
}
