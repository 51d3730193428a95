//! Manifests: the pieces of a content, each with its hash.
//!
//! BLAKE3 is a tree: a run of `2^k` chunks that starts at a multiple of its length is a
//! subtree, and the tree's root follows from the chaining values of its subtrees (BLAKE3
//! paper, §2.1). A piece here *is* such a subtree and its hash is the subtree's chaining
//! value. So the piece hashes alone give the hash of the whole file, a manifest is verified
//! against the root that a record names, and one pass over a file's bytes yields both.
//!
//! This module owns the piece size and the tree's shape. It never does I/O.

use std::fmt;
use std::ops::Range;

use blake3::hazmat::{self, HasherExt};

use crate::limits::MAX_PIECES;
use crate::record::ContentHash;

/// Bytes of a piece, unless a file is so large that pieces must be larger to stay within
/// [`MAX_PIECES`] (beyond 64 GiB). A power of two, so that a piece is a BLAKE3 subtree.
/// With 1 MiB, a bad source can waste only a little before it is noticed, a manifest takes
/// 32 KiB per GiB, and one piece is long enough to read and send at full speed.
pub const MIN_PIECE_BYTES: u64 = 1024 * 1024;

/// Bytes of one piece hash, in memory and on a connection.
pub const PIECE_HASH_BYTES: usize = 32;

/// The bytes of a piece of a file with `size` bytes (the last may be shorter):
/// [`MIN_PIECE_BYTES`], doubled until the file has at most [`MAX_PIECES`]. Part of the
/// protocol: both sides compute it.
pub const fn piece_size(size: u64) -> u64 {
    let mut piece = MIN_PIECE_BYTES;
    while size.div_ceil(piece) > MAX_PIECES as u64 {
        piece *= 2;
    }
    piece
}

/// Number of pieces of a file with `size` bytes; 0 when it is empty.
pub const fn piece_count(size: u64) -> u32 {
    // `piece_size` keeps it within `MAX_PIECES`.
    size.div_ceil(piece_size(size)) as u32
}

/// The number of a piece in a file, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PieceIndex(pub u32);

impl fmt::Display for PieceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The chaining value of a piece; the root hash when a file is one piece.
pub type PieceHash = [u8; PIECE_HASH_BYTES];

/// The piece hashes of one content, verified against its root.
///
/// A file of at most one piece has its root hash as the only piece hash. An empty file has
/// no piece.
#[derive(Clone, PartialEq, Eq)]
pub struct Manifest {
    root: ContentHash,
    size: u64,
    pieces: Vec<PieceHash>,
}

/// Why piece hashes are not those of a content: the peer that sent them lied, or its disk
/// is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadManifest {
    /// Their number does not match the size of the file.
    #[error("a manifest has {got} pieces where a file of {size} bytes has {wanted}")]
    Count {
        /// Bytes of the file.
        size: u64,
        /// Pieces of a file of that size.
        wanted: u32,
        /// Pieces in the manifest.
        got: usize,
    },
    /// The pieces give another root.
    #[error("a manifest belongs to content {got} and not to {wanted}")]
    Root {
        /// The content that was asked for.
        wanted: ContentHash,
        /// The content to which the pieces belong.
        got: ContentHash,
    },
    /// The bytes are not a whole number of piece hashes.
    #[error("a manifest of {0} bytes is not a list of hashes of {PIECE_HASH_BYTES} bytes")]
    Length(usize),
}

impl Manifest {
    /// Checks piece hashes against a content's root and size.
    pub fn from_parts(
        root: ContentHash,
        size: u64,
        pieces: Vec<PieceHash>,
    ) -> Result<Manifest, BadManifest> {
        let wanted = piece_count(size);
        if pieces.len() != wanted as usize {
            return Err(BadManifest::Count { size, wanted, got: pieces.len() });
        }
        let got = merge(&pieces);
        if got != root {
            return Err(BadManifest::Root { wanted: root, got });
        }
        Ok(Manifest { root, size, pieces })
    }

    /// As [`Manifest::from_parts`], from the bytes of [`Manifest::to_bytes`].
    pub fn from_bytes(root: ContentHash, size: u64, bytes: &[u8]) -> Result<Manifest, BadManifest> {
        let (pieces, rest) = bytes.as_chunks::<PIECE_HASH_BYTES>();
        if !rest.is_empty() {
            return Err(BadManifest::Length(bytes.len()));
        }
        Manifest::from_parts(root, size, pieces.to_vec())
    }

    /// The piece hashes one after another, as on a data connection and on the disk.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.pieces.concat()
    }

    /// The BLAKE3 hash of the whole file.
    pub const fn root(&self) -> ContentHash {
        self.root
    }

    /// Bytes of the whole file.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Bytes of every piece but the last.
    pub const fn piece_size(&self) -> u64 {
        piece_size(self.size)
    }

    /// Number of pieces; 0 for an empty file.
    pub const fn count(&self) -> u32 {
        piece_count(self.size)
    }

    /// All pieces in their order.
    pub fn indices(&self) -> impl Iterator<Item = PieceIndex> + use<> {
        (0..self.count()).map(PieceIndex)
    }

    /// The offset of a piece in bytes; the end of the file for an index that it does not
    /// have.
    pub fn offset_of(&self, index: PieceIndex) -> u64 {
        offset_of(self.size, index)
    }

    /// The bytes of a piece; 0 for an index that the file does not have.
    pub fn len_of(&self, index: PieceIndex) -> u64 {
        len_of(self.size, index)
    }

    /// The range of bytes of a run of pieces.
    pub fn bytes_of(&self, pieces: Range<PieceIndex>) -> Range<u64> {
        self.offset_of(pieces.start)..self.offset_of(pieces.end)
    }

    /// Whether these bytes are the piece with this index.
    pub fn verify(&self, index: PieceIndex, bytes: &[u8]) -> bool {
        if bytes.len() as u64 != self.len_of(index) {
            return false;
        }
        let mut hasher = PieceHasher::new(self.size, index);
        hasher.update(bytes);
        self.matches(index, hasher)
    }

    /// Whether the bytes that a hasher got are the piece with this index.
    pub fn matches(&self, index: PieceIndex, hasher: PieceHasher) -> bool {
        let wanted = self.pieces.get(index.0 as usize);
        wanted.is_some() && hasher.index == index && hasher.finish().as_ref() == wanted
    }
}

/// Shows the root and the number of pieces, not 65 536 hashes.
impl fmt::Debug for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manifest")
            .field("root", &self.root)
            .field("size", &self.size)
            .field("pieces", &self.pieces.len())
            .finish()
    }
}

/// Hashes a piece whose bytes arrive in parts.
#[derive(Clone)]
pub struct PieceHasher {
    index: PieceIndex,
    /// `None` after more bytes than the piece has.
    missing: Option<u64>,
    /// The file has only this piece, whose hash is the root.
    whole: bool,
    hasher: blake3::Hasher,
}

impl PieceHasher {
    /// For a piece of a file with `size` bytes.
    pub fn new(size: u64, index: PieceIndex) -> PieceHasher {
        let mut hasher = blake3::Hasher::new();
        let missing = len_of(size, index);
        if missing > 0 {
            hasher.set_input_offset(offset_of(size, index));
        }
        PieceHasher { index, missing: Some(missing), whole: piece_count(size) == 1, hasher }
    }

    /// Adds the next bytes. More than the piece has make it invalid.
    pub fn update(&mut self, bytes: &[u8]) {
        self.missing = self.missing.and_then(|missing| missing.checked_sub(bytes.len() as u64));
        if self.missing.is_some() {
            self.hasher.update(bytes);
        }
    }

    /// Number of bytes that are missing.
    pub fn missing(&self) -> u64 {
        self.missing.unwrap_or(0)
    }

    /// The hash of the piece; `None` unless it got exactly its bytes, or if the file does
    /// not have it.
    pub fn finish(&self) -> Option<PieceHash> {
        if self.missing != Some(0) || self.hasher.count() == 0 {
            return None;
        }
        Some(if self.whole {
            *self.hasher.finalize().as_bytes()
        } else {
            self.hasher.finalize_non_root()
        })
    }
}

impl fmt::Debug for PieceHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PieceHasher")
            .field("index", &self.index)
            .field("missing", &self.missing)
            .finish_non_exhaustive()
    }
}

/// Computes the manifest of a file from its bytes in order.
#[derive(Clone, Debug)]
pub struct ManifestBuilder {
    size: u64,
    seen: u64,
    pieces: Vec<PieceHash>,
    current: PieceHasher,
}

/// A file did not have the expected number of bytes: it changed meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{seen} bytes came where {size} were expected")]
pub struct WrongSize {
    /// Expected bytes.
    pub size: u64,
    /// Bytes that were read.
    pub seen: u64,
}

impl ManifestBuilder {
    /// For a file of `size` bytes, from which the piece size follows.
    pub fn new(size: u64) -> ManifestBuilder {
        ManifestBuilder {
            size,
            seen: 0,
            pieces: Vec::with_capacity(piece_count(size) as usize),
            current: PieceHasher::new(size, PieceIndex(0)),
        }
    }

    /// Adds the next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) {
        self.seen = self.seen.saturating_add(bytes.len() as u64);
        while !bytes.is_empty() && self.pieces.len() < piece_count(self.size) as usize {
            let room = usize::try_from(self.current.missing()).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.current.update(now);
            bytes = later;
            if let Some(hash) = self.current.finish() {
                self.pieces.push(hash);
                let next = PieceIndex(self.current.index.0 + 1);
                self.current = PieceHasher::new(self.size, next);
            }
        }
    }

    /// The manifest, if the number of bytes was right.
    pub fn finish(self) -> Result<Manifest, WrongSize> {
        if self.seen != self.size {
            return Err(WrongSize { size: self.size, seen: self.seen });
        }
        Ok(Manifest { root: merge(&self.pieces), size: self.size, pieces: self.pieces })
    }
}

fn offset_of(size: u64, index: PieceIndex) -> u64 {
    u64::from(index.0).saturating_mul(piece_size(size)).min(size)
}

fn len_of(size: u64, index: PieceIndex) -> u64 {
    let rest = size - offset_of(size, index);
    rest.min(piece_size(size))
}

/// The root of the tree over these subtrees. Joining neighbours level by level, and passing
/// a single last one up, gives BLAKE3's own shape: every left child is the largest complete
/// subtree that leaves something to its right.
fn merge(pieces: &[PieceHash]) -> ContentHash {
    let mut level = pieces.to_vec();
    while level.len() > 2 {
        level = level.chunks(2).map(join).collect();
    }
    match level[..] {
        [] => ContentHash(*blake3::hash(b"").as_bytes()),
        [only] => ContentHash(only),
        [left, right, ..] => {
            let root = hazmat::merge_subtrees_root(&left, &right, hazmat::Mode::Hash);
            ContentHash(*root.as_bytes())
        }
    }
}

fn join(pair: &[PieceHash]) -> PieceHash {
    match pair {
        [left, right] => hazmat::merge_subtrees_non_root(left, right, hazmat::Mode::Hash),
        [odd, ..] => *odd,
        [] => PieceHash::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PIECE: usize = MIN_PIECE_BYTES as usize;

    fn bytes(size: usize) -> Vec<u8> {
        (0..size).map(|at| (at % 251) as u8 ^ (at >> 16) as u8).collect()
    }

    fn manifest_of(bytes: &[u8]) -> Manifest {
        let mut builder = ManifestBuilder::new(bytes.len() as u64);
        builder.update(bytes);
        builder.finish().unwrap()
    }

    fn hash(bytes: &[u8]) -> ContentHash {
        ContentHash(*blake3::hash(bytes).as_bytes())
    }

    #[test]
    fn the_root_is_the_hash_of_the_whole_file() {
        for size in [
            0,
            1,
            1024,
            1025,
            PIECE - 1,
            PIECE,
            PIECE + 1,
            2 * PIECE,
            3 * PIECE + 5,
            4 * PIECE,
            5 * PIECE + 1024,
            7 * PIECE - 1,
        ] {
            let bytes = bytes(size);
            let manifest = manifest_of(&bytes);
            assert_eq!(manifest.root(), hash(&bytes), "{size}");
            assert_eq!(manifest.count() as usize, size.div_ceil(PIECE), "{size}");
            let back = Manifest::from_bytes(hash(&bytes), size as u64, &manifest.to_bytes());
            assert_eq!(back, Ok(manifest), "{size}");
        }
    }

    #[test]
    fn the_tree_has_the_right_shape_for_any_number_of_subtrees() {
        let chunk = blake3::CHUNK_LEN;
        let bytes = bytes(70 * chunk);
        for count in 2..70 {
            let file = &bytes[..count * chunk - 7];
            let leaves: Vec<PieceHash> = file
                .chunks(chunk)
                .enumerate()
                .map(|(at, leaf)| {
                    let mut hasher = blake3::Hasher::new();
                    hasher.set_input_offset((at * chunk) as u64).update(leaf);
                    hasher.finalize_non_root()
                })
                .collect();
            assert_eq!(merge(&leaves), hash(file), "{count}");
        }
    }

    #[test]
    fn pieces_grow_with_the_file_and_never_exceed_their_number() {
        let most = MAX_PIECES as u64;
        assert_eq!(piece_size(0), MIN_PIECE_BYTES);
        assert_eq!(piece_size(most * MIN_PIECE_BYTES), MIN_PIECE_BYTES);
        assert_eq!(piece_size(most * MIN_PIECE_BYTES + 1), 2 * MIN_PIECE_BYTES);
        assert_eq!(u64::from(piece_count(u64::MAX)), most);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut bytes = bytes(2 * PIECE + 3);
        let manifest = manifest_of(&bytes);
        for (index, piece) in bytes.chunks(PIECE).enumerate() {
            assert!(manifest.verify(PieceIndex(index as u32), piece));
        }
        bytes[PIECE + 17] ^= 1;
        let verdicts: Vec<bool> = bytes
            .chunks(PIECE)
            .enumerate()
            .map(|(index, piece)| manifest.verify(PieceIndex(index as u32), piece))
            .collect();
        assert_eq!(verdicts, [true, false, true]);
    }

    #[test]
    fn a_piece_counts_only_in_its_own_place() {
        let bytes = vec![7; 3 * PIECE];
        let manifest = manifest_of(&bytes);
        let mut second = PieceHasher::new(manifest.size(), PieceIndex(1));
        second.update(&bytes[..PIECE]);
        assert!(manifest.matches(PieceIndex(1), second.clone()));
        assert!(!manifest.matches(PieceIndex(2), second));
        assert!(!manifest.verify(PieceIndex(3), &[]));
        assert!(!manifest.verify(PieceIndex(u32::MAX), &bytes[..PIECE]));
    }

    #[test]
    fn too_few_or_too_many_bytes_are_no_piece_and_no_panic() {
        let mut hasher = PieceHasher::new(10, PieceIndex(0));
        assert_eq!(hasher.finish(), None);
        hasher.update(&[0; 11]);
        assert_eq!(hasher.finish(), None);
        let mut beyond = PieceHasher::new(10, PieceIndex(1));
        assert_eq!(beyond.finish(), None);
        beyond.update(&[]);
        assert_eq!(beyond.finish(), None);
        beyond.update(&[1]);
        assert_eq!(beyond.finish(), None);
    }

    #[test]
    fn a_file_that_grew_or_shrank_gives_no_manifest() {
        let mut builder = ManifestBuilder::new(5);
        builder.update(b"abc");
        assert_eq!(builder.clone().finish(), Err(WrongSize { size: 5, seen: 3 }));
        builder.update(b"def");
        assert_eq!(builder.finish(), Err(WrongSize { size: 5, seen: 6 }));
    }

    #[test]
    fn hashes_that_do_not_fit_the_root_are_refused() {
        let bytes = bytes(2 * PIECE);
        let manifest = manifest_of(&bytes);
        let mut raw = manifest.to_bytes();
        raw[40] ^= 1;
        let size = manifest.size();
        let root = manifest.root();
        assert!(matches!(
            Manifest::from_bytes(root, size, &raw),
            Err(BadManifest::Root { wanted, .. }) if wanted == root
        ));
        assert_eq!(
            Manifest::from_bytes(root, size, &raw[..32]),
            Err(BadManifest::Count { size, wanted: 2, got: 1 })
        );
        assert_eq!(Manifest::from_bytes(root, size, &raw[..33]), Err(BadManifest::Length(33)));
        assert!(Manifest::from_parts(root, 0, Vec::new()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn any_way_of_cutting_the_bytes_gives_the_same_manifest(
            size in 0..3 * PIECE, step in 1..2 * PIECE
        ) {
            let bytes = bytes(size);
            let mut builder = ManifestBuilder::new(size as u64);
            bytes.chunks(step).for_each(|part| builder.update(part));
            let manifest = builder.finish().unwrap();
            prop_assert_eq!(manifest.root(), hash(&bytes));
            let ends = manifest.indices().map(|at| manifest.offset_of(at) + manifest.len_of(at));
            prop_assert_eq!(ends.last().unwrap_or(0), size as u64);
        }
    }
}
