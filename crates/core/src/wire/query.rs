//! Questions that a node answers for its ring's members and for clients that have not
//! joined (`chordal get NAME --via ADDR`).

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::CommandError;
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
    /// The node's identity and neighbours.
    Info,
    /// The whole finger table.
    Fingers,
    /// Look a key up and return the hops.
    Lookup {
        /// The key.
        key: Id,
    },
    /// The files that the node holds, in the order of their names, starting after `after`;
    /// at most [`crate::limits::MAX_PAGE`] per answer.
    Files {
        /// The last name of the previous page.
        after: Option<FileName>,
    },
    /// The record under this name, if the node holds one.
    Locate {
        /// The name.
        name: FileName,
    },
    /// Remove the name; asked of its owner. The answer comes when as many nodes hold the
    /// tombstone as a put would need.
    Remove {
        /// The name.
        name: FileName,
    },
    /// Ping a peer and return the round trip.
    Ping {
        /// The peer; `None` for the answering node itself.
        peer: Option<Peer>,
    },
    /// The members that the node knows.
    Members,
    /// The node's own files that match, stored or shared, in the order of their names,
    /// starting after `after`; at most [`crate::limits::MAX_PAGE`] per answer.
    Search {
        /// The pattern, at most [`crate::limits::MAX_PATTERN_BYTES`].
        pattern: String,
        /// The last name of the previous page.
        after: Option<FileName>,
    },
    /// The files that the node's user shares, in the order of their names, starting after
    /// `after`; at most [`crate::limits::MAX_PAGE`] per answer.
    Shares {
        /// The last name of the previous page.
        after: Option<FileName>,
    },
    /// Search the node's peers and the whole ring.
    Find {
        /// The pattern.
        pattern: String,
    },
    /// The results of that search since the last question. The node waits a moment when
    /// there are none and the search is running.
    FoundSince {
        /// The number from [`Response::Finding`].
        number: u32,
        /// Number of rows that the asker has already.
        after: u32,
    },
    /// The nodes that share this name. Asked of its owner and the nodes after it.
    Providers {
        /// The name.
        name: FileName,
    },
    /// The sender shares these files, or no longer does. Asked of the owner of their names;
    /// each must name the asking member.
    Provide {
        /// At most [`crate::limits::MAX_PAGE`].
        providers: Vec<Provider>,
    },
    /// The node's links, its registries, and its reputations of peers.
    Peers,
    /// Send a message to all users, for a client.
    Say {
        /// At most [`crate::limits::MAX_SAY_BYTES`].
        text: String,
    },
    /// The running and recent transfers. Only answered to clients on the same machine, as
    /// is [`Request::Steer`].
    Transfers,
    /// Cancel, pause or resume one of the transfers.
    Steer {
        /// Its number.
        number: u64,
        /// What to do with it.
        steering: Steering,
    },
    /// Hand over all files and leave the ring. Answered as [`Request::LeaveState`] is, and
    /// only allowed on the same machine.
    Leave,
    /// The progress of the leave, or its end.
    LeaveState,
    /// The copies that the node is making for the ring, or has made just now. A leaving
    /// node sees in them that its files are being taken over.
    Copied,
    /// Remembered members that are not neighbours now.
    Absent,
    /// The contents that this name had, that lost to a newer version, and that the node
    /// still has.
    Trashed {
        /// The name.
        name: FileName,
    },
    /// As [`Request::Info`], for the node's position with this index, with its health.
    Position {
        /// The index.
        index: u16,
    },
    /// To the owner of a name that cannot store its new content ([`DataResponse::Unable`],
    /// or it receives no bytes): these nodes have it. Without holders: may the content be
    /// put, and which nodes store it instead? Answered by [`Response::Upload`]. A member
    /// that is not the owner asks the owner for a client.
    Commit {
        /// The name.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Its bytes.
        size: u64,
        /// Whether other content under the name may be replaced.
        overwrite: bool,
        /// The nodes that have the bytes durably; at most [`crate::limits::MAX_REPLICAS`].
        holders: Vec<Peer>,
        /// What keeps the owner from storing it.
        obstacle: Obstacle,
    },
}

/// A command for a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Steering {
    /// Stop it.
    Cancel,
    /// Suspend it.
    Pause,
    /// Continue it.
    Resume,
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To [`Request::Info`].
    Info(NodeInfo),
    /// To [`Request::Position`].
    Position(NodeInfo, Fares),
    /// To [`Request::Fingers`]: the nodes of all `m` entries, in order.
    Fingers(Vec<Option<Peer>>),
    /// To [`Request::Lookup`].
    Lookup(LookupTrace),
    /// To [`Request::Files`].
    Files {
        /// The page.
        rows: Vec<HeldFile>,
        /// Whether there are more pages.
        more: bool,
    },
    /// To [`Request::Locate`].
    Locate {
        /// The record, which may be a tombstone; `None` if the node knows none.
        record: Option<Record>,
        /// Nodes that hold its bytes, as far as the answering node knows.
        holders: Vec<Peer>,
    },
    /// To [`Request::Remove`].
    Removed {
        /// Number of nodes that hold the tombstone.
        copies: u8,
        /// Number of known hosts from which the owner seems to be cut off; 0 if none.
        cut_off: u32,
    },
    /// To [`Request::Ping`]: the round trip in microseconds.
    Pong {
        /// Microseconds.
        micros: u64,
    },
    /// To [`Request::Members`].
    Members {
        /// Known members, including the answering node, in ring order.
        members: Vec<Peer>,
        /// Whether these are all members, by the last census.
        complete: bool,
    },
    /// To [`Request::Search`].
    Found {
        /// The page.
        rows: Vec<FoundRow>,
        /// Whether there are more pages.
        more: bool,
    },
    /// To [`Request::Shares`].
    Shares {
        /// The page.
        rows: Vec<SharedFile>,
        /// Whether there are more pages.
        more: bool,
    },
    /// To [`Request::Find`]: the search has begun.
    Finding {
        /// The number for [`Request::FoundSince`].
        number: u32,
    },
    /// To [`Request::FoundSince`].
    FoundSince {
        /// The next rows, at most [`crate::limits::MAX_PAGE`].
        rows: Vec<FoundRow>,
        /// The state of the search.
        state: SearchState,
    },
    /// To [`Request::Providers`].
    Providers {
        /// At most [`crate::limits::MAX_PAGE`].
        providers: Vec<Provider>,
    },
    /// To [`Request::Provide`], for each file in order: how many nodes share that name with
    /// that content now.
    Provided {
        /// Numbers of nodes.
        sources: Vec<u16>,
    },
    /// To [`Request::Peers`].
    Peers {
        /// Linked peers, and others with something to report.
        peers: Vec<PeerInfo>,
        /// Registries.
        registries: Vec<RegistryInfo>,
    },
    /// To [`Request::Say`].
    Said {
        /// Number of links over which it was sent.
        links: u32,
    },
    /// To [`Request::Transfers`].
    Transfers {
        /// Newest first, at most [`crate::limits::MAX_PAGE`].
        rows: Vec<TransferRow>,
    },
    /// To [`Request::Steer`].
    Steered {
        /// The name of the transfer.
        name: String,
    },
    /// To [`Request::Leave`] and [`Request::LeaveState`]: the leave is running.
    HandingOver(HandingOver),
    /// To the same: the leave has ended.
    HandedOver(HandedOver),
    /// To [`Request::Copied`].
    Copied {
        /// Their contents, and how many bytes of each have come; at most
        /// [`crate::limits::MAX_PAGE`], the latest.
        contents: Vec<(ContentHash, u64)>,
    },
    /// To [`Request::Trashed`]: hashes and bytes, at most
    /// [`crate::limits::MAX_PAGE`].
    Trashed {
        /// The contents.
        contents: Vec<(ContentHash, u64)>,
    },
    /// To [`Request::Absent`].
    Absent {
        /// Peers that are dead, left, further away, or cut off: a few at most.
        peers: Vec<Peer>,
    },
    /// To a connection for [`crate::wire::handshake::Purpose::Verify`].
    Reached(Reached),
    /// To [`Request::Commit`]: the same answers as to an upload. After
    /// [`DataResponse::Progress`] the client must ask again: copies are still being made.
    Upload(DataResponse),
    /// The question could not be answered.
    Failed {
        /// Why.
        why: CommandError,
    },
}

/// What a leaving node has not handed over yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandingOver {
    /// Files.
    pub files: usize,
    /// Bytes of these that have not been copied yet.
    pub bytes: u64,
    /// Present speed in bytes per second.
    pub rate: u64,
    /// Estimated seconds until the end.
    pub seconds: Option<u64>,
}

impl From<Result<Response, CommandError>> for Response {
    fn from(result: Result<Response, CommandError>) -> Response {
        result.unwrap_or_else(|why| Response::Failed { why })
    }
}

/// The result of a leave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// Files that other nodes hold now.
    pub handed: usize,
    /// Files that stayed on the disk.
    pub kept: KeptFiles,
}

/// The files that stayed on the disk of a node that left.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFiles {
    /// How many.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files of these without another known copy.
    pub sole: usize,
    /// The names of some of these.
    pub named: Vec<String>,
    /// The directory that has them.
    pub directory: String,
    /// There was no other node on the ring when the leave began.
    pub alone: bool,
    /// Every other node left the ring as well.
    pub together: bool,
}

impl KeptFiles {
    /// Whether the node has not done what it was to do: a node was there to which it
    /// could have given files, or there is no other copy of some of those that stay.
    pub const fn is_failure(&self) -> bool {
        self.files > 0 && !self.alone && (self.sole > 0 || !self.together)
    }
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
    /// The indices of all positions of its host on the ring, beginning with the first.
    pub positions: Vec<u16>,
    /// Why its disk accepts nothing, if it does not: a sentence.
    pub sick_disk: Option<String>,
    /// Members that answer messages but to which no bytes passed recently; at most
    /// [`NodeInfo::MAX_DEAF`].
    pub deaf: Vec<std::net::SocketAddr>,
}

impl NodeInfo {
    /// Number of members that are named as such: if there are more, the node that names
    /// them has the fault.
    pub const MAX_DEAF: usize = 16;

    /// All places that its host holds on the ring.
    pub fn places(&self) -> impl Iterator<Item = Peer> {
        self.positions.iter().map(|index| Peer::new(self.peer.address(), *index))
    }
}

/// The health of a node on its ring, as the node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fares {
    /// Its membership.
    pub stands: Stands,
    /// Its neighbours have not changed for a while.
    pub settled: bool,
    /// Files of its range that have fewer copies than wanted.
    pub files_below: u32,
    /// Known hosts that disappeared without leaving.
    pub missed: u32,
    /// These are most of the hosts that it knew: it seems to be cut off from them.
    pub cut_off: bool,
}

/// The membership of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stands {
    /// It is joining.
    Joining,
    /// A member, maybe the only one.
    Member,
    /// It hands over its files.
    Leaving,
    /// It has left.
    Left,
}

/// One file that a node holds, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldFile {
    /// The record (never a tombstone).
    pub record: Record,
    /// Whether the node owns the key.
    pub owner: bool,
    /// Durable copies known, this one included. On a node that is not the
    /// owner: as that one last said.
    pub copies: u8,
    /// Number of copies wanted: k, or the number of nodes if that is smaller.
    pub wanted: u8,
    /// How reliable the number of copies is.
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
    /// Number of nodes that share it, including this one, as far as it knows.
    pub sources: u16,
}

/// The state of a search.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchState {
    /// It has ended.
    pub ended: bool,
    /// Linked peers that were asked first, and whether they have a match; `None` if they
    /// have not answered.
    pub peers: Vec<(Peer, Option<bool>)>,
    /// Peers of these that have a match and are not on the ring.
    pub outside: Vec<SocketAddr>,
    /// Nodes of the ring that have answered, including this one.
    pub answered: u32,
    /// Nodes that did not answer; the list is limited.
    pub silent: Vec<Peer>,
    /// Number of messages from this node to the deepest one that answered.
    pub depth: u8,
    /// There were more results than are kept.
    pub truncated: bool,
}

/// Why a link to a peer exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkKind {
    /// The user asked for it.
    Chosen,
    /// Drawn at random.
    Random,
    /// The peer asked for it.
    Incoming,
}

/// The reputation of a peer as a source of downloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trust {
    /// Nothing speaks against it.
    Good,
    /// Used when no other source can deliver.
    Last,
    /// Not used for a while.
    Shunned,
}

/// A peer as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerInfo {
    /// The peer.
    pub peer: Peer,
    /// The link, if there is one.
    pub link: Option<LinkKind>,
    /// Number of beats missed since its last answer.
    pub missed: u8,
    /// Smoothed round trip in microseconds.
    pub rtt_us: Option<u64>,
    /// Seconds since the link began.
    pub since_s: u64,
    /// Files that it claims to share.
    pub shared: Option<u32>,
    /// Its reputation.
    pub trust: Trust,
    /// Why it is not trusted fully.
    pub why: Option<String>,
}

/// A registry as a node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryInfo {
    /// Its address.
    pub address: std::net::SocketAddr,
    /// Whether it answers.
    pub up: bool,
    /// Peers on its list.
    pub peers: u32,
    /// Seconds since its last message; `None` if there was none.
    pub heard_s: Option<u64>,
    /// The problem with it, if there is one.
    pub note: Option<String>,
}

/// One of a node's transfers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferRow {
    /// The number for [`Request::Steer`] and `cancel N`.
    pub number: u64,
    /// The name of the file.
    pub name: String,
    /// Its kind.
    pub kind: TransferKind,
    /// Its state.
    pub state: TransferState,
    /// Bytes that were transferred and verified.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
    /// Present speed in bytes per second.
    pub rate: u64,
    /// The other sides with their bytes; on the wire at most [`TransferRow::MAX_PEERS`].
    pub peers: Vec<(Party, u64)>,
    /// When it began, in milliseconds since the node's start.
    pub started_ms: u64,
    /// When it ended, likewise.
    pub ended_ms: Option<u64>,
    /// Of a whole directory: how many of its files are done. Its own bytes are
    /// those of all its files.
    pub files: Option<FileCount>,
    /// The number of the directory's transfer that this one belongs to.
    pub part_of: Option<u64>,
}

impl TransferRow {
    /// Number of other sides that are named on the wire, so that a page of transfers fits
    /// into a frame.
    pub const MAX_PEERS: usize = 12;

    /// Maximum bytes of a name, and of the reason of a failure, on the wire.
    pub const MAX_TEXT: usize = 384;
}

/// Progress of the files of a directory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileCount {
    /// Ended well.
    pub done: u32,
    /// Ended badly.
    pub failed: u32,
    /// In all.
    pub total: u32,
}

/// The kind of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferKind {
    /// A `get` of this node's user.
    Download,
    /// A `put` of this node's user.
    Upload,
    /// A copy that this node makes for the ring.
    Copy,
    /// Bytes that this node serves to another.
    Serve,
    /// A put of another node or a client that this node receives as the owner.
    Receive,
    /// A file of this node's user is read and hashed before it is shared.
    Hash,
}

impl TransferKind {
    /// Whether the node's own user began it.
    pub const fn is_the_users(self) -> bool {
        match self {
            TransferKind::Download | TransferKind::Upload | TransferKind::Hash => true,
            TransferKind::Copy | TransferKind::Serve | TransferKind::Receive => false,
        }
    }
}

/// The state of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TransferState {
    /// It waits for its turn: as many run as may.
    Queued,
    /// Bytes are being transferred.
    Running,
    /// Paused by its user.
    Paused,
    /// None of its sources delivers any more: it goes on when one comes back.
    Waiting,
    /// All bytes were transferred; waiting for durable copies (`copies` of `wanted`).
    Securing {
        /// Number of copies so far.
        copies: u8,
        /// Number of copies wanted.
        wanted: u8,
    },
    /// Ended well.
    Done,
    /// Ended badly: one sentence.
    Failed(String),
    /// Ended by its user.
    Cancelled,
}

impl TransferState {
    /// Whether it has not ended.
    pub const fn is_under_way(&self) -> bool {
        matches!(
            self,
            TransferState::Queued
                | TransferState::Running
                | TransferState::Paused
                | TransferState::Waiting
                | TransferState::Securing { .. }
        )
    }
}

/// The course of a lookup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupTrace {
    /// The key.
    pub key: Id,
    /// The owner of the key.
    pub owner: Peer,
    /// The owner's successor list, where copies are.
    pub successors: Vec<Peer>,
    /// Every node that was asked, in order.
    pub hops: Vec<Hop>,
}

/// One step of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// The node asked.
    pub peer: Peer,
    /// Microseconds until it answered; `None`: it has not (yet).
    pub micros: Option<u64>,
}

impl From<(Peer, Option<Duration>)> for Hop {
    fn from((peer, took): (Peer, Option<Duration>)) -> Hop {
        Hop { peer, micros: took.map(|took| took.as_micros() as u64) }
    }
}
