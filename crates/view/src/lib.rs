//! What a dashboard shows and what it can ask for: data only, and what a core has of it.
//!
//! The engine publishes a [`Snapshot`] of its node whenever something changed;
//! a lab, a remote node or a simulation can publish the same. The dashboard
//! draws the latest one and never asks anything in order to draw. [`UiEvent`]s
//! are the lines of the events panel. A [`Command`] is one word of the command
//! language (see [`command`]); its end is an [`Outcome`] or a [`CommandError`].

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use chordal_core::chord;
use chordal_core::chord::invariant::Report;
use chordal_core::id::{Id, Space};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, CopyCount, Version};
use chordal_core::wire::query::{HeldFile, SharedFile};

pub mod command;
pub mod event;
pub mod event_text;
mod files;
mod format;
pub mod outcome;
mod registry;
mod ring_files;
pub mod simulation;
pub mod state;
pub mod target;
pub mod text;
pub mod transfers;

pub use chordal_core::error::{CommandError, Reason};
pub use command::Command;
pub use event::{Level, Step, UiEvent};
pub use files::{Files, Unwell};
pub use outcome::Outcome;
pub use registry::{RegisteredPeer, RegistryState};
pub use ring_files::RingFiles;
pub use simulation::{SimulationRow, Speed};
pub use state::{State, Unsettled};

pub use chordal_core::chord::{CensusState, Finger};
pub use chordal_core::wire::query::{
    FileCount, HandedOver, HandingOver, Hop, KeptFiles, LinkKind, TransferKind, TransferRow,
    TransferState, Trust,
};

/// The whole visible state of one node at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Milliseconds since the node's start, at the moment of the snapshot.
    pub uptime_ms: u64,
    /// The node, at the first of its places.
    pub me: Peer,
    /// All places that it holds on the ring, that one first.
    pub positions: Vec<Peer>,
    /// Its ring's name.
    pub ring: String,
    /// Its ring's size.
    pub space: Space,
    /// Copies of each file, k.
    pub replicas: u8,
    /// Entries that its successor list may have, r.
    pub successors_max: usize,
    /// The program's version.
    pub version: String,
    /// Whether the ring has a secret (`false`: "open").
    pub secret: bool,
    /// What the node is to its ring.
    pub membership: Membership,
    /// The predecessor, when known.
    pub predecessor: Option<Neighbour>,
    /// The successor list, nearest first.
    pub successors: Vec<Neighbour>,
    /// The finger table: all `m` rows.
    pub fingers: Vec<Finger>,
    /// Every member known, in ring order from place 0, this node included.
    pub members: Vec<Member>,
    /// How much of the ring `members` is.
    pub census: CensusState,
    /// The files held here and those shared from here, by name, tombstones
    /// left out.
    pub files: Arc<Files>,
    /// Linked peers, by address, and other peers with a reputation.
    pub peers: Arc<Vec<PeerRow>>,
    /// The registries that this node was given.
    pub registries: Vec<RegistryRow>,
    /// The last `find`, running or ended.
    pub search: Option<Arc<SearchRow>>,
    /// The last `scan`, running or ended.
    pub scan: Option<Arc<ScanRow>>,
    /// What is shared from here.
    pub sharing: Sharing,
    /// Running and recently ended transfers, newest first.
    pub transfers: Vec<TransferRow>,
    /// How fast they may be, all together.
    #[serde(default)]
    pub limits: RateLimits,
    /// The ring's properties as far as this node can see.
    pub health: Health,
    /// The state of it and its ring, in a word.
    pub state: State,
    /// The last lookup that a user asked for, finished or not.
    pub lookup: Option<LookupRow>,
    /// Bytes of control and data traffic.
    pub traffic: Traffic,
    /// Set while the node hands its files over to leave: what is left.
    #[serde(default)]
    pub handing_over: Option<HandingOver>,
    /// Events that did not fit into the channel to the dashboard, ever.
    pub events_dropped: u64,
    /// What is wrong with the node's disk, which takes nothing: other nodes hold
    /// what it should.
    #[serde(default)]
    pub sick_disk: Option<String>,
    /// A background task failed: what to show in a red banner.
    pub fault: Option<String>,
    /// The simulation that the node is part of, if it is.
    #[serde(default)]
    pub simulation: Option<SimulationRow>,
    /// Set if this is not a node but a registry, of which only this, its address, age,
    /// version and lost events are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryState>,
}

/// What a node is to its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Membership {
    /// The only member of its own ring.
    Alone,
    /// On its way in.
    Joining,
    /// A member among others.
    Member,
    /// Handing over its files.
    Leaving,
    /// Out; a new `join` brings it back.
    Left,
    /// Not running (a killed node of a lab).
    Down,
}

impl Membership {
    /// What a node is to its ring. One that has not started is on its way in.
    pub fn of(core: &chord::Node) -> Membership {
        match core.membership() {
            chord::Membership::New | chord::Membership::Joining => Membership::Joining,
            chord::Membership::Member if core.successors().is_empty() => Membership::Alone,
            chord::Membership::Member => Membership::Member,
            chord::Membership::Leaving => Membership::Leaving,
            chord::Membership::Left => Membership::Left,
        }
    }
}

/// Whether a peer is believed to live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Liveness {
    /// It answered lately.
    Up,
    /// Its last answer is overdue.
    Suspect,
    /// It does not answer.
    Dead,
}

/// A predecessor or successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Neighbour {
    /// Who.
    pub peer: Peer,
    /// Smoothed round trip in microseconds, once measured.
    pub rtt_us: Option<u64>,
    /// Whether it lives.
    pub liveness: Liveness,
}

/// A member of the ring, as the census saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Who.
    pub peer: Peer,
    /// Whether it lives.
    pub liveness: Liveness,
}

/// What a node is to a file that it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Its key is in this node's range.
    Owner,
    /// A copy for the owner.
    Replica,
    /// A file of this node's user, shared without a copy.
    Shared,
}

/// A file held here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRow {
    /// The name.
    pub name: FileName,
    /// Its place on the ring.
    pub key: Id,
    /// Bytes.
    pub size: u64,
    /// Version, with the content's hash.
    pub version: Version,
    /// This node's part.
    pub role: Role,
    /// Durable copies known to exist, this one included. Of a shared file: the
    /// nodes that share it, as far as known, this one included.
    pub copies: u8,
    /// Copies wanted: k, or all nodes when fewer. Of a shared file: 0.
    pub wanted: u8,
    /// How sure the copies are.
    #[serde(default)]
    pub count: CopyCount,
}

/// How safe a file is, by its copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum CopyHealth {
    /// As many copies as are wanted.
    #[serde(rename = "ok")]
    Ok,
    /// Copies are missing; the ring makes new ones.
    #[serde(rename = "repairing")]
    Repairing,
    /// The last copy, and more are wanted: one death more and it is lost.
    #[serde(rename = "at risk")]
    AtRisk,
    /// Copies are missing, and no node has room for another one.
    #[serde(rename = "needs room")]
    NeedsRoom,
    /// The holders of its copies are not known yet.
    #[serde(rename = "counting")]
    Counting,
}

impl CopyHealth {
    /// In words for people.
    pub const fn word(self) -> &'static str {
        match self {
            CopyHealth::Ok => "ok",
            CopyHealth::Repairing => "repairing",
            CopyHealth::AtRisk => "at risk",
            CopyHealth::NeedsRoom => "needs room",
            CopyHealth::Counting => "counting",
        }
    }
}

impl FileRow {
    /// The files that a node or a host holds for its ring, in the order given.
    pub fn all(held: &[HeldFile], space: Space) -> Vec<FileRow> {
        held.iter().map(|held| FileRow::held(held, space)).collect()
    }

    /// A file that a node holds for its ring.
    pub fn held(held: &HeldFile, space: Space) -> FileRow {
        FileRow {
            name: held.record.name.clone(),
            key: held.record.key(space),
            size: held.record.size(),
            version: held.record.version,
            role: if held.owner { Role::Owner } else { Role::Replica },
            copies: held.copies,
            wanted: held.wanted,
            count: held.count,
        }
    }

    /// A file that a node's user shares.
    pub fn shared(file: SharedFile, space: Space) -> FileRow {
        FileRow {
            key: file.name.key(space),
            name: file.name,
            size: file.size,
            version: Version { counter: 0, root: file.root },
            role: Role::Shared,
            copies: u8::try_from(file.sources).unwrap_or(u8::MAX),
            wanted: 0,
            count: CopyCount::Known,
        }
    }

    /// How safe it is; `None`: a shared file, of which the ring makes no copies.
    pub const fn health(&self) -> Option<CopyHealth> {
        Some(match (self.role, self.count) {
            (Role::Shared, _) => return None,
            _ if self.copies >= self.wanted => CopyHealth::Ok,
            (_, CopyCount::Counting) => CopyHealth::Counting,
            _ if self.copies <= 1 => CopyHealth::AtRisk,
            (_, CopyCount::NoRoom) => CopyHealth::NeedsRoom,
            _ => CopyHealth::Repairing,
        })
    }
}

/// A linked peer, or one with a reputation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerRow {
    /// Who.
    pub peer: Peer,
    /// The link, if there is one.
    pub link: Option<LinkKind>,
    /// Whether it lives; `Suspect` without a link, because it is not checked then.
    pub liveness: Liveness,
    /// Smoothed round trip of its beats in microseconds.
    pub rtt_us: Option<u64>,
    /// Milliseconds since the node's start, when the link began.
    pub since_ms: u64,
    /// Files that it shares, as it says.
    pub shared: Option<u32>,
    /// How far it is trusted.
    pub trust: Trust,
    /// Why not fully.
    pub why: Option<String>,
}

/// A registry of this node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryRow {
    /// Where.
    pub address: SocketAddr,
    /// `Up`: connected; `Suspect`: not tried yet, or being tried; `Dead`: not
    /// reached the last time.
    pub liveness: Liveness,
    /// Peers on its list.
    pub peers: u32,
    /// Milliseconds since the node's start, when it was heard last.
    pub heard_ms: Option<u64>,
    /// What is wrong with it, if something is.
    pub note: Option<String>,
}

/// A search: its results so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRow {
    /// Counts the searches of this node.
    pub number: u32,
    /// What was searched for.
    pub pattern: String,
    /// Linked peers, asked first: whether they have a match; `None`: no answer
    /// (yet).
    pub peers: Vec<(Peer, Option<bool>)>,
    /// What was found, each content once, by its first name.
    pub contents: Vec<FoundContent>,
    /// Nodes that answered so far, this one included.
    pub answered: u32,
    /// Nodes that did not answer, as many as are named.
    pub silent: Vec<Peer>,
    /// Messages from this node to the deepest one that answered.
    pub depth: u8,
    /// Whether results are still coming.
    pub running: bool,
    /// There were more results than are kept.
    pub truncated: bool,
}

/// A content that a search found, or one of several under one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundContent {
    /// Its names, in order; at least one.
    pub names: Vec<FileName>,
    /// Its hash.
    pub root: ContentHash,
    /// Its bytes.
    pub size: u64,
    /// Who has it, in the order of addresses.
    pub sources: Vec<Peer>,
    /// Whether the ring stores it (otherwise it is only shared).
    pub stored: bool,
    /// Whether only linked peers outside this node's ring have it: a `get` would not find
    /// it.
    pub outside: bool,
}

/// A scan: its results so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRow {
    /// Counts the scans of this node.
    pub number: u32,
    /// The host as it was given.
    pub host: String,
    /// Ports to be tried in all.
    pub total: u16,
    /// Ports tried so far.
    pub done: u16,
    /// Every port tried, in order.
    pub ports: Vec<ScannedPort>,
    /// The space of the scanning node's ring, to show ids.
    pub space: Space,
}

/// What is behind a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScannedPort {
    /// Where.
    pub address: SocketAddr,
    /// What.
    pub found: Behind,
}

/// What a scan may find behind a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Behind {
    /// A node of this ring, or of one with the same name and parameters.
    Node(Peer),
    /// A node of another ring; of any ring, when who scans is on none.
    OtherRing {
        /// Who.
        peer: Peer,
        /// The ring in words.
        ring: String,
        /// That ring's space, to show the node's id.
        space: Space,
    },
    /// A registry.
    Registry,
    /// The scanning node itself.
    Me,
    /// Something that does not speak chordal, or another version of it.
    NotChordal(String),
    /// Nothing.
    Inactive,
}

/// What a node shares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Files offered now.
    pub files: u32,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are being hashed or wait for it.
    pub hashing: u32,
}

/// Bytes a second that may be moved, over all transfers together; `None`: as many
/// as there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimits {
    /// Sent.
    pub up: Option<u64>,
    /// Received.
    pub down: Option<u64>,
}

/// Zave's ring properties as this node's census sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// There is exactly one ring.
    pub one_ring: bool,
    /// The ring's order is that of the identifiers.
    pub ordered: bool,
    /// Every successor list is ordered, without duplicates, without self.
    pub lists_valid: bool,
    /// Every member's successor is the next member, and its predecessor the one
    /// before: no member hangs on the ring without being in it.
    pub in_place: bool,
    /// The fewest live successors in any list: how many simultaneous deaths
    /// the ring surely survives is one less. `None` when alone.
    pub margin: Option<usize>,
}

impl Snapshot {
    /// A snapshot that shows nothing but this position.
    pub fn empty(me: Peer) -> Snapshot {
        Snapshot {
            uptime_ms: 0,
            me,
            positions: vec![me],
            ring: String::new(),
            space: Space::default(),
            replicas: 1,
            successors_max: 0,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            secret: false,
            membership: Membership::Joining,
            predecessor: None,
            successors: Vec::new(),
            fingers: Vec::new(),
            members: Vec::new(),
            census: CensusState::Partial,
            files: Arc::default(),
            peers: Arc::default(),
            registries: Vec::new(),
            search: None,
            scan: None,
            sharing: Sharing::default(),
            transfers: Vec::new(),
            limits: RateLimits::default(),
            health: Health::UNSEEN,
            state: State::Joining,
            lookup: None,
            traffic: Traffic::default(),
            handing_over: None,
            events_dropped: 0,
            sick_disk: None,
            fault: None,
            simulation: None,
            registry: None,
        }
    }

    /// The snapshot of a core, as far as the core alone tells: `neighbour` adds the state
    /// of a peer of its tables. The members are those that the core knows, all regarded as
    /// living; the ring's state, files, transfers and links are left to the driver.
    pub fn of(core: &chord::Node, neighbour: impl Fn(Peer) -> Neighbour) -> Snapshot {
        let params = core.params();
        let (known, census) = core.members();
        let living = |peer| Member { peer, liveness: Liveness::Up };
        Snapshot {
            ring: params.ring.clone(),
            space: params.space,
            replicas: params.replicas,
            successors_max: core.config().successors,
            membership: Membership::of(core),
            predecessor: core.predecessor().map(&neighbour),
            successors: core.successors().iter().copied().map(&neighbour).collect(),
            fingers: core.fingers(),
            members: known.into_iter().map(living).collect(),
            census,
            ..Snapshot::empty(core.peer())
        }
    }

    /// The known members that live.
    pub fn living(&self) -> usize {
        self.members.len() - self.gone()
    }

    /// The members that died or left lately and are still shown.
    pub fn gone(&self) -> usize {
        self.members.iter().filter(|member| member.liveness == Liveness::Dead).count()
    }
}

impl Health {
    /// The health of a ring of which nothing was seen yet that speaks against it.
    pub const UNSEEN: Health =
        Health { one_ring: true, ordered: true, lists_valid: true, in_place: true, margin: None };

    /// What a check of the ring's properties says.
    pub fn of(report: &Report) -> Health {
        Health {
            one_ring: report.at_least_one_ring
                && report.at_most_one_ring
                && report.connected_appendages,
            ordered: report.ordered_ring,
            lists_valid: report.valid_lists,
            in_place: report.in_place,
            margin: report.margin,
        }
    }

    /// Whether every property holds.
    pub const fn is_good(&self) -> bool {
        self.one_ring && self.ordered && self.lists_valid && self.in_place
    }

    /// Whether one or two deaths could break a ring of `nodes` members that
    /// could stand more: a list is short although there are nodes to fill it.
    pub const fn is_fragile(&self, nodes: usize, successors_max: usize) -> bool {
        let others = nodes.saturating_sub(1);
        let most = if others < successors_max { others } else { successors_max };
        match self.margin {
            Some(margin) => margin < 2 && margin < most,
            None => false,
        }
    }
}

/// A lookup, for the ring diagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookupRow {
    /// Counts the lookups of this node: a new number is a new lookup.
    pub number: u64,
    /// What was asked for: a file's name or a key.
    pub text: String,
    /// The key.
    pub key: Id,
    /// Each node asked, in order.
    pub hops: Vec<Hop>,
    /// The owner, once found.
    pub owner: Option<Peer>,
}

/// Bytes that moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Sent a second, lately.
    pub up_rate: u64,
    /// Received a second, lately.
    pub down_rate: u64,
    /// Sent since the start.
    pub up_total: u64,
    /// Received since the start.
    pub down_total: u64,
}

impl Traffic {
    /// Bytes a second below which a rate is only the protocol's own traffic.
    pub const BACKGROUND: u64 = 20_000;

    /// The rates up and down; 0 for the protocol's own traffic.
    pub const fn rates(&self) -> (u64, u64) {
        const fn heard(rate: u64) -> u64 {
            if rate < Traffic::BACKGROUND { 0 } else { rate }
        }
        (heard(self.up_rate), heard(self.down_rate))
    }
}
