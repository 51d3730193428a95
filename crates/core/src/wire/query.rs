//! Questions that a node answers for its ring's members and for clients that
//! have not joined (`chordal get NAME --via ADDR`).

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::id::Id;
use crate::name::FileName;
use crate::peer::{Party, Peer};
use crate::record::{ContentHash, CopyCount, Obstacle, Provider, Record};
use crate::wire::data::DataResponse;
use crate::wire::handshake::{Params, Reached};
use crate::wire::mesh::FoundRow;

/// A question to a node's driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who are you, and who are your neighbours?
    Info,
    /// Your whole finger table.
    Fingers,
    /// Look this key up and tell me the hops.
    Lookup {
        /// The key.
        key: Id,
    },
    /// The files that you hold, in the order of their names, from behind
    /// `after`; at most [`crate::limits::MAX_PAGE`] an answer.
    Files {
        /// The last name of the page before.
        after: Option<FileName>,
    },
    /// The record under this name, if you hold one.
    Locate {
        /// The name.
        name: FileName,
    },
    /// Remove the name; asked of its owner. The answer comes when the
    /// tombstone is held by as many nodes as a put would need.
    Remove {
        /// The name.
        name: FileName,
    },
    /// Ping this peer for me and tell me the round trip.
    Ping {
        /// Whom; `None`: yourself.
        peer: Option<Peer>,
    },
    /// The members that you know of.
    Members,
    /// Which of your own files match, stored or shared? In the order of their
    /// names, at most [`crate::limits::MAX_PAGE`], from behind `after`.
    Search {
        /// The pattern, at most [`crate::limits::MAX_PATTERN_BYTES`].
        pattern: String,
        /// The last name of the page before.
        after: Option<FileName>,
    },
    /// The files that your user shares, in the order of their names, from behind
    /// `after`; at most [`crate::limits::MAX_PAGE`] an answer.
    Shares {
        /// The last name of the page before.
        after: Option<FileName>,
    },
    /// Search your peers and the whole ring for me.
    Find {
        /// The pattern.
        pattern: String,
    },
    /// What has that search found since? Waits a moment when there is nothing
    /// new and the search is not over.
    FoundSince {
        /// From [`Response::Finding`].
        number: u32,
        /// Rows that the asker has already.
        after: u32,
    },
    /// Who shares this name? Asked of its owner and the nodes behind it.
    Providers {
        /// The name.
        name: FileName,
    },
    /// The sender shares these, or does so no longer. Asked of the owner of
    /// their names; each must name the asking member.
    Provide {
        /// At most [`crate::limits::MAX_PAGE`].
        providers: Vec<Provider>,
    },
    /// Your links, registries and what you think of your peers.
    Peers,
    /// Say this to everyone for me.
    Say {
        /// At most [`crate::limits::MAX_SAY_BYTES`].
        text: String,
    },
    /// Your running and recent transfers. Answered to whoever is on the same
    /// machine only, as is [`Request::Steer`].
    Transfers,
    /// Have one of your transfers stop, wait or go on.
    Steer {
        /// Its number.
        number: u64,
        /// What it shall do.
        steering: Steering,
    },
    /// Hand over your files and leave your ring. Answered as
    /// [`Request::LeaveState`] is, and obeyed on the own machine only.
    Leave,
    /// How far is your leave, or how did it end?
    LeaveState,
    /// How many bytes of copies have you fetched for the ring since your start?
    /// A leaving node sees by it that those take its files over.
    Copied,
    /// Whom do you remember as members that are none of your neighbours now?
    Absent,
    /// Which contents that this name had, and lost to a newer version, do you still
    /// have?
    Trashed {
        /// The name.
        name: FileName,
    },
    /// As [`Request::Info`], of your position with this index, and how it fares.
    Position {
        /// The index.
        index: u16,
    },
    /// To the owner of a name that cannot store its new content
    /// ([`DataResponse::Unable`], or it takes no bytes): these nodes have it. Without
    /// any: may it be put at all, and who takes it in your place? Answered by [`Response::Upload`]. A member that is
    /// not the owner asks that for a client.
    Commit {
        /// Under this name.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Its bytes.
        size: u64,
        /// Whether other content under the name may be replaced.
        overwrite: bool,
        /// Who has the bytes durably; at most [`crate::limits::MAX_REPLICAS`].
        holders: Vec<Peer>,
        /// What keeps the owner from storing it.
        obstacle: Obstacle,
    },
}

/// What somebody wants of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Steering {
    /// To stop.
    Cancel,
    /// To wait.
    Pause,
    /// To go on.
    Resume,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Info`].
    Info(NodeInfo),
    /// To [`Request::Position`].
    Position(NodeInfo, Fares),
    /// To [`Request::Fingers`]: the nodes of all `m` entries in order.
    Fingers(Vec<Option<Peer>>),
    /// To [`Request::Lookup`].
    Lookup(LookupTrace),
    /// To [`Request::Files`].
    Files {
        /// The page.
        rows: Vec<HeldFile>,
        /// Whether more follow.
        more: bool,
    },
    /// To [`Request::Locate`].
    Locate {
        /// The record, which may be a tombstone; `None`: never heard of it.
        record: Option<Record>,
        /// Nodes that hold its bytes, as far as the answering node knows.
        holders: Vec<Peer>,
    },
    /// To [`Request::Remove`]: done.
    Removed {
        /// Nodes that hold the tombstone.
        copies: u8,
        /// Of so many hosts that it knew lately the owner seems to be cut off.
        cut_off: u32,
    },
    /// To [`Request::Ping`]: the round trip in microseconds.
    Pong {
        /// Microseconds.
        micros: u64,
    },
    /// To [`Request::Members`].
    Members {
        /// Known members, the answering node included, in ring order.
        members: Vec<Peer>,
        /// Whether these are all, by the last census.
        complete: bool,
    },
    /// To [`Request::Search`].
    Found {
        /// The page.
        rows: Vec<FoundRow>,
        /// Whether more follow.
        more: bool,
    },
    /// To [`Request::Shares`].
    Shares {
        /// The page.
        rows: Vec<SharedFile>,
        /// Whether more follow.
        more: bool,
    },
    /// To [`Request::Find`]: begun.
    Finding {
        /// What [`Request::FoundSince`] takes.
        number: u32,
    },
    /// To [`Request::FoundSince`].
    FoundSince {
        /// The next rows, at most [`crate::limits::MAX_PAGE`].
        rows: Vec<FoundRow>,
        /// How the search stands.
        state: SearchState,
    },
    /// To [`Request::Providers`].
    Providers {
        /// At most [`crate::limits::MAX_PAGE`].
        providers: Vec<Provider>,
    },
    /// To [`Request::Provide`], for each of them in order: how many share that
    /// name with that content now.
    Provided {
        /// Sharers.
        sources: Vec<u16>,
    },
    /// To [`Request::Peers`].
    Peers {
        /// Linked peers, and others of whom there is something to say.
        peers: Vec<PeerInfo>,
        /// Registries.
        registries: Vec<RegistryInfo>,
    },
    /// To [`Request::Say`].
    Said {
        /// Links that it went out on.
        links: u32,
    },
    /// To [`Request::Transfers`].
    Transfers {
        /// The newest first, at most [`crate::limits::MAX_PAGE`].
        rows: Vec<TransferInfo>,
    },
    /// To [`Request::Steer`]: done.
    Steered {
        /// What the transfer moves.
        name: String,
    },
    /// To [`Request::Leave`] and [`Request::LeaveState`]: it is under way.
    HandingOver {
        /// Files that have yet to be handed over.
        files: u64,
        /// Their bytes that have yet to move.
        bytes: u64,
        /// Bytes a second, lately.
        rate: u64,
        /// Seconds that the rest takes.
        seconds: Option<u64>,
    },
    /// Likewise: it has ended.
    HandedOver(LeaveEnd),
    /// To [`Request::Copied`].
    Copied {
        /// Bytes.
        bytes: u64,
    },
    /// To [`Request::Trashed`]: hashes and bytes, at most
    /// [`crate::limits::MAX_PAGE`].
    Trashed {
        /// The contents.
        contents: Vec<(ContentHash, u64)>,
    },
    /// To [`Request::Absent`].
    Absent {
        /// Dead, left, further away, or cut off: a few at the most.
        peers: Vec<Peer>,
    },
    /// To a connection for [`crate::wire::handshake::Purpose::Verify`].
    Reached(Reached),
    /// To [`Request::Commit`]: as an upload is answered. After
    /// [`DataResponse::Progress`] ask once more: copies are still being made.
    Upload(DataResponse),
    /// The question could not be answered: one sentence for a person.
    Failed {
        /// What failed, on what, what to do.
        why: String,
    },
}

/// What became of the files of a node that left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveEnd {
    /// Files that others hold now.
    pub handed: u64,
    /// Files that stayed on its disk.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those of which no other copy is known.
    pub sole: u64,
    /// Names of some of these.
    pub named: Vec<String>,
    /// Where they are.
    pub directory: String,
    /// Nobody else was on the ring when the leave began.
    pub alone: bool,
    /// Every other node left it meanwhile, too.
    pub together: bool,
}

/// A node's identity and neighbours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// The node.
    pub peer: Peer,
    /// Its ring.
    pub params: Params,
    /// Whether it is a member (a node alone is the member of its own ring).
    pub member: bool,
    /// Its predecessor.
    pub predecessor: Option<Peer>,
    /// Its successor list.
    pub successors: Vec<Peer>,
    /// Its program's version.
    pub version: String,
    /// The indices of all places that its host holds on the ring, the first one
    /// first.
    pub positions: Vec<u16>,
    /// What is wrong with its disk, which takes nothing: a sentence.
    pub sick_disk: Option<String>,
    /// Members that answer messages and to which no bytes passed of late, as it
    /// has seen; at most [`NodeInfo::MAX_DEAF`].
    pub deaf: Vec<std::net::SocketAddr>,
}

impl NodeInfo {
    /// Members that are named as such: where there are more, the node that names
    /// them has the fault.
    pub const MAX_DEAF: usize = 16;
}

/// How a node fares on its ring, as it sees that itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fares {
    /// What it is to its ring.
    pub stands: Stands,
    /// Nothing has changed for it for a while.
    pub settled: bool,
    /// Files of its range that have fewer copies than wanted.
    pub files_below: u32,
    /// Hosts known to it lately that are gone and have not left.
    pub missed: u32,
    /// These are most of those that it knew: it seems to be cut off from them.
    pub cut_off: bool,
}

/// What a node is to its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stands {
    /// On its way in.
    Joining,
    /// A member; maybe the only one.
    Member,
    /// Handing over its files.
    Leaving,
    /// Out.
    Left,
}

/// One file that a node holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFile {
    /// The record (never a tombstone).
    pub record: Record,
    /// Whether the node owns the key.
    pub owner: bool,
    /// Copies known to exist, this one included.
    pub copies: u8,
    /// Copies wanted: k, or all nodes when fewer.
    pub wanted: u8,
    /// How sure the copies are.
    pub count: CopyCount,
}

/// One file that a node's user shares.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedFile {
    /// Its name.
    pub name: FileName,
    /// The content.
    pub root: ContentHash,
    /// Its bytes.
    pub size: u64,
    /// Nodes that share it, this one included, as far as it knows.
    pub sources: u16,
}

/// How a search stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchState {
    /// It is over.
    pub ended: bool,
    /// Linked peers asked first, and whether they have a match; `None`: no
    /// answer (yet).
    pub peers: Vec<(Peer, Option<bool>)>,
    /// Those of them that have a match and are not on the ring.
    pub outside: Vec<SocketAddr>,
    /// Nodes of the ring that answered so far, this one included.
    pub answered: u32,
    /// Nodes that did not answer, as many as are named.
    pub silent: Vec<Peer>,
    /// Messages from this node to the deepest one that answered.
    pub depth: u8,
    /// There were more results than are kept.
    pub truncated: bool,
}

/// Why there is a link to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LinkKind {
    /// The user asked for it.
    Chosen,
    /// Drawn at random.
    Random,
    /// The peer asked for it.
    Incoming,
}

/// What a node says of one of its peers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// Who.
    pub peer: Peer,
    /// The link, if there is one.
    pub link: Option<LinkKind>,
    /// Beats missed since its last answer.
    pub missed: u8,
    /// Smoothed round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// Seconds since the link began.
    pub since_s: u64,
    /// Files that it shares, as it says.
    pub shared: Option<u32>,
    /// How far it is trusted: 0 good, 1 used last, 2 not used for a while.
    pub distrust: u8,
    /// Why it is not trusted fully.
    pub why: Option<String>,
}

/// What a node says of one of its registries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryInfo {
    /// Where it is.
    pub address: std::net::SocketAddr,
    /// Whether it answers.
    pub up: bool,
    /// Peers on its list.
    pub peers: u32,
    /// Seconds since it was heard last; `None`: never.
    pub heard_s: Option<u64>,
    /// What is wrong with it, if something is.
    pub note: Option<String>,
}

/// What a node says of one of its transfers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferInfo {
    /// What [`Request::Steer`] takes.
    pub number: u64,
    /// What moves.
    pub name: String,
    /// Why.
    pub kind: TransferKind,
    /// How it stands.
    pub state: TransferState,
    /// Bytes moved and verified.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Bytes a second, lately.
    pub rate: u64,
    /// The other sides with their bytes, at most [`TransferInfo::MAX_PEERS`].
    pub peers: Vec<(Party, u64)>,
    /// Milliseconds since the node's start, when it began.
    pub started_ms: u64,
    /// Likewise, when it ended.
    pub ended_ms: Option<u64>,
    /// Of a directory: files that ended well, that ended badly, and in all.
    pub files: Option<(u32, u32, u32)>,
    /// The directory's transfer that it belongs to.
    pub part_of: Option<u64>,
}

impl TransferInfo {
    /// Sides that are named: a page of transfers fits into a frame.
    pub const MAX_PEERS: usize = 12;

    /// Bytes of a name, and of the reason why it failed, at the most.
    pub const MAX_TEXT: usize = 384;
}

/// Why bytes move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferKind {
    /// A get of the node's user.
    Download,
    /// A put of the node's user.
    Upload,
    /// A copy that the node makes for the ring.
    Copy,
    /// Bytes for somebody who asked for them.
    Serve,
    /// Somebody else's put.
    Receive,
    /// A file is read and hashed.
    Hash,
}

/// How a transfer stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferState {
    /// It waits for its turn.
    Queued,
    /// Bytes move.
    Running,
    /// Its user has it wait.
    Paused,
    /// None of its sources delivers any more.
    Waiting,
    /// All bytes moved; copies are being made.
    Securing {
        /// So far.
        copies: u8,
        /// Of so many.
        wanted: u8,
    },
    /// It ended well.
    Done,
    /// It ended badly: one sentence.
    Failed(String),
    /// Its user stopped it.
    Cancelled,
}

/// How a lookup went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupTrace {
    /// The key.
    pub key: Id,
    /// Who owns it.
    pub owner: Peer,
    /// The owner's successor list: where copies are.
    pub successors: Vec<Peer>,
    /// Every node asked, in order, with the microseconds it took to answer
    /// (`None`: it did not).
    pub hops: Vec<(Peer, Option<u64>)>,
}
