//! The result of a command as data. The dashboard, the command line's text and its JSON
//! show the same value.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use chordal_core::id::{Id, Space};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{PassedOver, Version};
use chordal_core::wire::query::{HandedOver, NodeInfo};

use super::{
    FileRow, Finger, FoundContent, Health, Hop, PeerRow, RegistryRow, ScanRow, SearchRow, State,
    TransferRow,
};

/// A command's result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Outcome {
    /// `join`.
    Joined {
        /// As whom.
        me: Peer,
        /// The first successor.
        successor: Peer,
        /// The ring.
        ring: String,
        /// Its space.
        space: Space,
        /// Whether the node took over that ring's parameters for it.
        adopted: bool,
    },
    /// `leave` and `quit`.
    Left(HandedOver),
    /// `put`.
    Stored {
        /// The name.
        name: FileName,
        /// Its place.
        key: Id,
        /// Bytes.
        size: u64,
        /// The version.
        version: Version,
        /// Who holds it durably, the owner first.
        holders: Vec<Peer>,
        /// Copies wanted.
        wanted: u8,
        /// It was there already.
        already: bool,
        /// Who should hold it and cannot store it, the owner first.
        passed: Vec<PassedOver>,
        /// The number of recently known members from which the owner seems to be cut off.
        cut_off: u32,
        /// Of the nodes that may hold an older version of a name that was new to its
        /// owner, these do not answer: most of `likely`.
        #[serde(default)]
        silent: Vec<Peer>,
        /// How many these nodes are.
        #[serde(default)]
        likely: u8,
        /// The ring's space, to show ids.
        space: Space,
    },
    /// `get`.
    Fetched {
        /// The name.
        name: FileName,
        /// Bytes.
        size: u64,
        /// Of these, bytes that an earlier attempt left and that were good.
        #[serde(default)]
        there: u64,
        /// Where it was saved.
        path: PathBuf,
        /// Who delivered it, with bytes; each once, the most first.
        sources: Vec<(Peer, u64)>,
        /// Milliseconds.
        millis: u64,
    },
    /// `rm`.
    Removed {
        /// The name.
        name: FileName,
        /// Nodes that hold the tombstone.
        copies: u8,
        /// The number of recently known members from which the owner seems to be cut off.
        cut_off: u32,
    },
    /// `ls`.
    Files {
        /// The files of one node.
        files: Vec<FileRow>,
        /// The pattern that they match, and how many there are whether or not.
        of: Option<(String, usize)>,
        /// The ring's space.
        space: Space,
    },
    /// `ls --ring`.
    RingFiles {
        /// Every file once.
        files: Vec<RingFile>,
        /// The pattern that they match, and how many there are whether or not.
        of: Option<(String, usize)>,
        /// Members that did not answer: their files may be missing above.
        silent: Vec<Peer>,
        /// The ring's space.
        space: Space,
    },
    /// `info`.
    Info(Box<NodeInfo>),
    /// `fingers`.
    Fingers {
        /// All `m` rows.
        fingers: Vec<Finger>,
        /// The ring's space.
        space: Space,
    },
    /// `ring`.
    Ring {
        /// Every member that answered, in ring order.
        members: Vec<Peer>,
        /// Members that did not.
        silent: Vec<Peer>,
        /// Members that cannot store files, and why.
        troubled: Vec<(Peer, String)>,
        /// The ring's properties, checked on the own state of each that answered.
        health: Health,
        /// The ring's state.
        state: State,
        /// The ring's space.
        space: Space,
    },
    /// `lookup`.
    Lookup {
        /// What was asked.
        text: String,
        /// The key.
        key: Id,
        /// Its owner.
        owner: Peer,
        /// Every node asked.
        hops: Vec<Hop>,
        /// The ring's space.
        space: Space,
    },
    /// `ping`.
    Pong {
        /// Who answered.
        peer: Peer,
        /// The round trip in microseconds.
        micros: u64,
    },
    /// `id`.
    IdOf {
        /// The text.
        text: String,
        /// The space.
        space: Space,
        /// Its identifier.
        id: Id,
    },
    /// `transfers`.
    Transfers(Vec<TransferRow>),
    /// `put` of a directory.
    StoredAll {
        /// The directory's name on the ring, with which those of its files begin.
        name: FileName,
        /// Files of which all copies are made now.
        stored: u32,
        /// Files that were there already.
        already: u32,
        /// Bytes of both.
        bytes: u64,
        /// Milliseconds.
        millis: u64,
        /// What failed: the name or path, and why; in their order.
        failed: Vec<(String, String)>,
        /// What is no regular file and was left out: the path, and what it is.
        skipped: Vec<(String, String)>,
        /// The number of recently known members from which an owner seems to be cut off.
        cut_off: u32,
        /// How many of these names were new to their owners while most of the nodes
        /// that may hold an older version do not answer.
        outvoted: u32,
        /// The first of them.
        example: Option<Outvoted>,
    },
    /// `get` of a directory.
    FetchedAll {
        /// The directory's name on the ring, with which those of its files begin.
        name: FileName,
        /// Files that were saved.
        fetched: u32,
        /// Files that were there already, with the same content.
        already: u32,
        /// Bytes of both.
        bytes: u64,
        /// Below this directory.
        path: PathBuf,
        /// Milliseconds.
        millis: u64,
        /// What failed: the name, and why; in their order.
        failed: Vec<(String, String)>,
        /// Members that did not say what they have: files that only they have
        /// are missing.
        silent: Vec<Peer>,
    },
    /// `pause`.
    Paused {
        /// The transfer.
        number: u64,
        /// What it moves.
        name: String,
    },
    /// `resume`.
    Resumed {
        /// The transfer.
        number: u64,
        /// What it moves.
        name: String,
    },
    /// `cancel`.
    Cancelled {
        /// The transfer.
        number: u64,
        /// What it moved.
        name: String,
    },
    /// `share`.
    Shared {
        /// Files now offered from the paths given.
        files: usize,
        /// Their bytes.
        bytes: u64,
        /// What is not shared, with the reason, a sentence each.
        skipped: Vec<String>,
    },
    /// `unshare`.
    Unshared {
        /// Files that are not offered any more.
        names: Vec<FileName>,
    },
    /// `find`.
    Found(SearchRow),
    /// `get` of a name with several different contents: nothing was fetched.
    Ambiguous {
        /// The name.
        name: FileName,
        /// The contents.
        contents: Vec<FoundContent>,
    },
    /// `scan`.
    Scanned(ScanRow),
    /// `connect`.
    Connected {
        /// To whom.
        peer: Peer,
        /// There was a link already.
        already: bool,
    },
    /// `disconnect`.
    Disconnected {
        /// From whom.
        peer: Peer,
    },
    /// `peers`.
    Peers {
        /// The node.
        me: Peer,
        /// Its links and other peers with a reputation.
        peers: Vec<PeerRow>,
        /// Its registries.
        registries: Vec<RegistryRow>,
        /// Milliseconds since the node's start: the scale of the rows' times.
        uptime_ms: u64,
        /// The ring's space.
        space: Space,
    },
    /// `say`.
    Said {
        /// Links that it went out on.
        links: u32,
    },
    /// `help` is answered where it is shown.
    Help(Option<String>),
}

/// A file of the whole ring.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RingFile {
    /// As its owner (or, failing that, its newest holder) has it.
    pub file: FileRow,
    /// Every node that holds this version.
    pub holders: Vec<Peer>,
}

/// A name that was new to its owner while most of the nodes that may hold an older
/// version of it do not answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outvoted {
    /// The name.
    pub name: FileName,
    /// Those that do not answer.
    pub silent: Vec<Peer>,
    /// How many may hold it.
    pub likely: u8,
}
