//! Limits that several modules use, each with its unit and its reason. A limit that only
//! one module uses is beside its user instead.

/// Bytes of one control frame, without its length prefix: large enough for a page of
/// records, small enough that a hostile length claim costs nothing and that one frame does
/// not delay a ping for long.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Entries in a successor list, whatever length a node asks for: a list travels in every
/// answer and must stay far below a frame.
pub const MAX_SUCCESSORS: usize = 64;

/// Entries in a successor list on the wire: more than [`MAX_SUCCESSORS`] where the first
/// ones are positions of few hosts. With [`MAX_VNODES`] positions each, 192 entries reach
/// three other hosts in the worst case; 256 are at most 6 KiB.
pub const MAX_LIST: usize = 256;

/// Positions of one host on the ring: with 20 the load is even to within a factor of two
/// already, and each costs a node's maintenance.
pub const MAX_VNODES: u16 = 64;

/// Maximum copies of a file: a put waits for each.
pub const MAX_REPLICAS: u8 = 16;

/// Candidates in one answer of a lookup besides the successor list.
pub const MAX_CLOSER: usize = 8;

/// Records in one message: with names of at most 1 024 bytes the page always
/// fits into a frame.
pub const MAX_PAGE: usize = 48;

/// Records with too few copies that an owner names to a holder in one round: at most 3 KiB.
/// If there are more it names none, and the holder shows all as "counting".
pub const MAX_BELOW: usize = 256;

/// Members up to which the dashboard's census walks the whole ring; above it
/// the number of nodes is estimated from the density of the successor list.
pub const MAX_CENSUS: usize = 256;

/// Bytes of a ring's name.
pub const MAX_RING_NAME: usize = 64;

/// Pieces of one file: a manifest, at 32 bytes per piece, takes at most 2 MiB.
pub const MAX_PIECES: usize = 64 * 1024;

/// Bytes of a file that is sent to its owner without asking first whether it is wanted: a
/// refused one wastes only a moment of a connection.
pub const EAGER_BYTES: u64 = 64 * 1024;

/// How long the tombstone of a removed name is kept, in seconds: a node that was away for
/// less does not bring the name back.
pub const TOMBSTONE_S: u64 = 24 * 60 * 60;

/// Bytes of one file: 1 TiB, whose pieces are 16 MiB. Pieces of larger files, which must be
/// in memory to be verified, would be too large.
pub const MAX_FILE_BYTES: u64 = 1 << 40;

/// Bytes of one message of gossip: a few lines of a terminal.
pub const MAX_SAY_BYTES: usize = 512;

/// Bytes of a search pattern: what a person types.
pub const MAX_PATTERN_BYTES: usize = 256;

/// Nodes named as silent at the end of a search: longer lists are of no use, and the
/// message stays small.
pub const MAX_SILENT: usize = 32;

/// Results of one search, from all nodes together, and from any one part of its tree: a
/// node that floods a search fills no more than this.
pub const MAX_RESULTS: usize = 1_000;

/// Results of one node for one search.
pub const MAX_RESULTS_PER_NODE: usize = 200;

/// How long a provider record lives without being refreshed, in seconds: a sharer that died
/// is forgotten after that.
pub const PROVIDER_LIFETIME_S: u32 = 30 * 60;

/// Ports of one scan: a decade, a hundred, a thousand, but not a whole host.
pub const MAX_SCAN_PORTS: usize = 1_024;
