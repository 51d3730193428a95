//! What a driver tells the core.

use std::net::SocketAddr;
use std::time::Duration;

use crate::id::{Id, Space};
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Obstacle, Provider, Record, Version};
use crate::wire::handshake::Params;
use crate::wire::{Message, Nonce};

use super::successors::Reach;

/// Identifies work that ends later. The driver chooses it for commands, the core for
/// store operations.
pub type Ticket = u64;

/// The configuration of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The ring's name, size and replica count. A node that is alone may adopt others.
    pub params: Params,
    /// Entries in the successor list, r; more where they are positions of few
    /// hosts ([`super::Host`]).
    pub successors: usize,
    /// Time between stabilizations; the other periods follow from it.
    pub stabilize: Duration,
}

impl Config {
    /// The identifier space.
    pub const fn space(&self) -> Space {
        self.params.space
    }

    /// How far successor lists reach.
    pub(super) fn reach(&self) -> Reach {
        Reach::new(self.successors, usize::from(self.params.replicas))
    }
}

/// An input to a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The first input, once.
    Start {
        /// What the disk still holds, durable.
        records: Vec<Record>,
        /// Members remembered from an earlier run. When there are any, the
        /// node tries to rejoin through them before it regards itself as alone.
        remembered: Vec<Peer>,
    },
    /// A message arrived.
    Received {
        /// The sender; the driver has checked that the connection is its own.
        from: Peer,
        /// The message.
        message: Message,
    },
    /// An armed timer fired.
    Fired(Timer),
    /// A question was not answered in time, or could not be delivered.
    NoAnswer {
        /// The peer that was asked.
        from: Peer,
        /// The number of the question.
        nonce: Nonce,
    },
    /// A connection to this peer broke or was refused: a reason to ask it, not yet a
    /// death.
    PeerLost(Peer),
    /// Bytes pass again between this node and this host, where they did not.
    BytesPass(SocketAddr),
    /// These peers are said to be members of a ring with the same parameters:
    /// a reason to look whether it is this one, and to merge the two if not.
    Heard {
        /// The peers, a few. The driver has seen that each lives.
        peers: Vec<Peer>,
    },
    /// A store operation ended.
    Stored {
        /// The ticket of [`super::Effect::Store`].
        ticket: Ticket,
        /// The result.
        result: Result<(), StoreFailure>,
    },
    /// The bytes of this record turned out to be damaged or missing, and the
    /// disk has put them aside: it is not held here any more.
    Lost {
        /// The name.
        name: FileName,
        /// The version that was held.
        version: Version,
    },
    /// Another position of this host has made this record durable, and what this
    /// one held under the name went with it: they have one disk.
    Replaced(Record),
    /// Prolongs a leave: bytes of the copies that it waits for have moved, or the user
    /// wants to go on waiting.
    LeaveOn,
    /// Ends a leave now, whether or not all files are handed over.
    LeaveOver,
    /// Tells the time, for the end of tombstones: right after the start, and every
    /// minute or so.
    Clock {
        /// Seconds by a clock that continues after a restart. Clocks of different nodes
        /// need not agree.
        now_s: u64,
    },
    /// A command of the user, or of a peer through the driver.
    Command {
        /// Comes back in [`super::Effect::Reply`], exactly once.
        ticket: Ticket,
        /// The command.
        command: Command,
    },
}

/// Why a store operation failed. Nothing half-done remains.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StoreFailure {
    /// No source could deliver the content.
    #[error("no source could deliver the content")]
    NoSource,
    /// It was stopped because of [`super::Effect::Cease`].
    #[error("it is not needed here any more")]
    Ceased,
    /// The disk refused: a sentence for users.
    #[error("{0}")]
    Disk(String),
    /// There is no room here, by the quota or on the disk: a sentence for users
    /// that names this node.
    #[error("{0}")]
    Full(String),
}

impl StoreFailure {
    /// What keeps this node from storing it.
    pub const fn obstacle(&self) -> Obstacle {
        match self {
            StoreFailure::NoSource | StoreFailure::Ceased => Obstacle::NoBytes,
            StoreFailure::Disk(_) => Obstacle::SickDisk,
            StoreFailure::Full(_) => Obstacle::NoRoom,
        }
    }
}

/// What a node can be told to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Enter the ring of this peer. From a node that has members of its own:
    /// merge the two rings.
    Join {
        /// Any member of it.
        contact: Peer,
    },
    /// Hand over all files and leave.
    Leave,
    /// Take over another ring's parameters. Refused unless the node is alone
    /// and holds no files.
    Adopt {
        /// The parameters of the other ring.
        params: Params,
    },
    /// Find the owner of a key.
    Lookup {
        /// The key.
        key: Id,
    },
    /// Ask a peer whether it lives.
    Ping {
        /// The peer.
        peer: Peer,
    },
    /// May a client upload this? Asked before the bytes move. Replies with
    /// [`super::Reply::Upload`].
    Offer {
        /// The name of the file.
        name: FileName,
        /// The hash of the content.
        root: ContentHash,
        /// Whether other content may be replaced.
        overwrite: bool,
    },
    /// The bytes of an upload are durable, here or on others: give it a version,
    /// commit it and have it copied. Replies with [`super::Reply::Stored`], after
    /// [`super::Notice::Copies`] for each copy made on the way.
    Commit {
        /// The name of the file.
        name: FileName,
        /// The hash of the content.
        root: ContentHash,
        /// The size in bytes.
        size: u64,
        /// Whether other content may be replaced.
        overwrite: bool,
        /// The nodes that have the bytes when they cannot be stored here; empty: they
        /// are here.
        elsewhere: Vec<Peer>,
        /// Why they cannot be stored here, if they cannot.
        obstacle: Obstacle,
    },
    /// Remove a name that this node owns. Replies with [`super::Reply::Stored`].
    Remove {
        /// The name.
        name: FileName,
    },
    /// Remember these records of sharers, and have the holders remember them. Replies with
    /// [`super::Reply::Provided`], or with [`super::Failure::NotOwner`] and takes none when
    /// the key of any belongs to another node.
    Provide {
        /// The records, as far as there is room for them.
        providers: Vec<Provider>,
    },
}

/// The timers of a node. Each is armed at most once at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Next stabilization.
    Stabilize,
    /// Next finger to look up.
    FixFingers,
    /// Next round of replica maintenance.
    Repair,
    /// Next look at a remembered peer that is not known as a member.
    Probe,
    /// Next census step.
    Census,
    /// Next attempt to join.
    Join,
    /// The handing over of a leave has made no progress for long enough.
    Leave,
    /// The copies of this upload or removal have taken long enough.
    Copies(Ticket),
}

impl Timer {
    /// The timers of which a node has one each.
    pub const SINGLE: [Timer; 7] = [
        Timer::Stabilize,
        Timer::FixFingers,
        Timer::Repair,
        Timer::Probe,
        Timer::Census,
        Timer::Join,
        Timer::Leave,
    ];
}
