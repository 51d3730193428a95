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

/// What the core calls back with when work for a caller ends. Chosen by the
/// driver for commands; chosen by the core for store operations.
pub type Ticket = u64;

/// Everything that a node is told to be. Values, not switches of the build.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// The ring's name, size and replica count. A lonely node may adopt others.
    pub params: Params,
    /// Entries in the successor list, r; more where they are positions of few
    /// hosts (ARCHITECTURE.md, "Positions").
    pub successors: usize,
    /// Time between stabilizations; the other periods follow from it.
    pub stabilize: Duration,
}

/// What follows from a configuration.
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

/// What a driver tells the core.
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
        /// From whom; the driver has checked that the connection is theirs.
        from: Peer,
        /// What.
        message: Message,
    },
    /// An armed timer fired.
    Fired(Timer),
    /// A question was not answered in time, or could not be delivered.
    NoAnswer {
        /// Who was asked.
        from: Peer,
        /// Which question.
        nonce: Nonce,
    },
    /// A connection to this peer broke or was refused: a reason to look, not
    /// yet a death.
    PeerLost(Peer),
    /// Bytes pass again between this node and this host, where they did not.
    BytesPass(SocketAddr),
    /// These peers are said to be members of a ring with the same parameters:
    /// a reason to look whether it is this one, and to merge the two if not.
    Heard {
        /// Who. The driver has seen that each lives; few at once.
        peers: Vec<Peer>,
    },
    /// A store operation ended.
    Stored {
        /// The ticket of [`super::Effect::Store`].
        ticket: Ticket,
        /// How.
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
    /// Bytes of the copies moved for which a leaving node waits, or its user wants
    /// it to go on waiting: the leave lasts.
    LeaveOn,
    /// The leave ends now, whatever is handed over by now.
    LeaveOver,
    /// Time passes: tombstones whose day is over may go. Right after the start,
    /// and every minute or so.
    Clock {
        /// Seconds by a clock of this node's own that goes on where it was after a
        /// restart. No two nodes' need agree.
        now_s: u64,
    },
    /// Somebody wants something.
    Command {
        /// Comes back in [`super::Effect::Reply`], exactly once.
        ticket: Ticket,
        /// What.
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
    /// The disk refused: a sentence for a person.
    #[error("{0}")]
    Disk(String),
    /// There is no room here, by the quota or on the disk: a sentence for a
    /// person that names this node.
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

/// What somebody may want of a node.
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
        /// The ring's.
        params: Params,
    },
    /// Find the owner of a key.
    Lookup {
        /// The key.
        key: Id,
    },
    /// Ask a peer for a sign of life.
    Ping {
        /// Whom.
        peer: Peer,
    },
    /// May a client upload this? Asked before the bytes move. Replies with
    /// [`super::Reply::Upload`].
    Offer {
        /// Under this name.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Whether other content may be replaced.
        overwrite: bool,
    },
    /// The bytes of an upload are durable, here or on others: give it a version,
    /// commit it and have it copied. Replies with [`super::Reply::Stored`], after
    /// [`super::Notice::Copies`] for each copy made on the way.
    Commit {
        /// Under this name.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Its bytes.
        size: u64,
        /// Whether other content may be replaced.
        overwrite: bool,
        /// Who has the bytes when they cannot be stored here; empty: they are
        /// here.
        elsewhere: Vec<Peer>,
        /// Why they cannot, if they cannot.
        obstacle: Obstacle,
    },
    /// Remove a name that this node owns. Replies with [`super::Reply::Stored`].
    Remove {
        /// The name.
        name: FileName,
    },
    /// Their sharers say these: remember them, and have the holders remember
    /// them. Replies with [`super::Reply::Provided`], or with [`super::Failure::NotOwner`] and
    /// takes none when the key of any belongs to another node.
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
    /// Those that a node has one of.
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
