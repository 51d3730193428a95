//! **The core**: one node of a Chord ring as a pure state machine.
//!
//! [`Node::handle`] takes an input and the time and appends effects; that is
//! the whole contract. No I/O, no clock, no random numbers, no hash-ordered
//! maps, no counters, no log text: drivers derive those from [`Notice`]s.
//! Every driver uses this one call: the engine, the deterministic network of the
//! tests, and whatever comes to simulate or check a ring. If a driver needs a
//! special case, the contract is wrong.
//!
//! The rules are Zave's corrected ones (*How to make Chord correct*,
//! 2015–2017), never the original paper's.
//!
//! What a driver promises:
//! - It hands every [`Message`] to the peer named, or drops it; it may delay,
//!   reorder or duplicate.
//! - For each `Message::Ask` that it sent it eventually gives either the
//!   answer ([`Input::Received`]) or [`Input::NoAnswer`], the latter after the
//!   peer's adaptive time limit or at once when the peer cannot be reached.
//! - It fires an armed timer once, at some moment within the range given.
//!   Arming a timer again replaces it.
//!
//! What a driver may do without harm: deliver stale or duplicate timers,
//! messages and answers.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{CommandError, Fault, Reason};
use crate::id::{Id, Space};
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Obstacle, PassedOver, Provider, Record, Version};
use crate::wire::handshake::Params;
use crate::wire::{Message, Nonce};

use successors::Reach;

mod asks;
mod canonical;
mod census;
mod few;
mod fingers;
mod guards;
mod host;
mod inspect;
pub mod invariant;
mod join;
mod leave;
mod lookup;
mod merge;
mod node;
pub mod placement;
mod providers;
mod replicas;
mod ring;
pub mod rtt;
pub mod rules;
mod successors;
#[cfg(test)]
mod tests;
mod vanished;

pub use guards::Guards;
pub use host::{Host, Slot};
pub use node::Node;

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
        /// The ticket of [`Effect::Store`].
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
        /// Comes back in [`Effect::Reply`], exactly once.
        ticket: Ticket,
        /// What.
        command: Command,
    },
}

/// What the core tells its driver to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send a message.
    Send {
        /// To whom. Never to the node itself.
        to: Peer,
        /// What.
        message: Message,
    },
    /// Fire `timer` once, after a delay drawn from the range.
    Arm {
        /// Which.
        timer: Timer,
        /// From now.
        after: Range<Duration>,
    },
    /// Forget the timer.
    Disarm(Timer),
    /// Change what the disk holds; ends with [`Input::Stored`].
    Store {
        /// Comes back with the result.
        ticket: Ticket,
        /// What to do.
        op: StoreOp,
    },
    /// Nobody needs any more what the [`StoreOp::Keep`] of this ticket fetches. The
    /// driver may stop it, which ends it as [`StoreFailure::Ceased`], or let it go on.
    Cease {
        /// That of the operation.
        ticket: Ticket,
    },
    /// A command's end.
    Reply {
        /// That of the command.
        ticket: Ticket,
        /// The result.
        reply: Reply,
    },
    /// Something happened that people or statistics may care about.
    Notice(Notice),
}

/// The effects of one input, in order.
pub type Effects = Vec<Effect>;

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
    /// [`Reply::Upload`].
    Offer {
        /// Under this name.
        name: FileName,
        /// The content.
        root: ContentHash,
        /// Whether other content may be replaced.
        overwrite: bool,
    },
    /// The bytes of an upload are durable, here or on others: give it a version,
    /// commit it and have it copied. Replies with [`Reply::Stored`], after
    /// [`Notice::Copies`] for each copy made on the way.
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
    /// Remove a name that this node owns. Replies with [`Reply::Stored`].
    Remove {
        /// The name.
        name: FileName,
    },
    /// Their sharers say these: remember them, and have the holders remember
    /// them. Replies with [`Reply::Provided`], or with [`Failure::NotOwner`] and
    /// takes none when the key of any belongs to another node.
    Provide {
        /// The records, as far as there is room for them.
        providers: Vec<Provider>,
    },
}

/// The end of a [`Command`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// A member now.
    Joined {
        /// As whom: the index may have changed because a place was taken.
        me: Peer,
        /// The first successor.
        successor: Peer,
    },
    /// Left.
    Left {
        /// Files that others hold now.
        handed: usize,
        /// Files that stayed on this disk, by name.
        kept: Vec<Kept>,
        /// Every other host that was on the ring left it meanwhile, too.
        together: bool,
    },
    /// The parameters were taken over.
    Adopted,
    /// A lookup's result.
    Found(Found),
    /// The peer answered.
    Pong,
    /// The answer to [`Command::Offer`].
    Upload(Upload),
    /// The answer to [`Command::Commit`] and [`Command::Remove`]: as many
    /// copies as wanted.
    Stored {
        /// The version.
        version: Version,
        /// Who holds it durably, this node first, if it does.
        holders: Vec<Peer>,
        /// Copies wanted: as many as there are nodes that can store it, when
        /// these are fewer than the ring keeps.
        wanted: u8,
        /// Who should hold it and cannot store it, the owner first.
        passed: Vec<PassedOver>,
    },
    /// The answer to [`Command::Provide`], for each record in order: how many
    /// share that content under that name now.
    Provided {
        /// Sharers.
        sources: Vec<u16>,
    },
    /// It could not be done.
    Failed(Failure),
}

/// A file that stayed on the disk of a node that left.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Its name.
    pub name: FileName,
    /// Its bytes.
    pub size: u64,
    /// Whether another node is known to hold it, too.
    pub elsewhere: bool,
}

/// Where a key lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    /// The key.
    pub key: Id,
    /// Its owner.
    pub owner: Peer,
    /// The owner's predecessor, where known.
    pub predecessor: Option<Peer>,
    /// The owner's successor list.
    pub successors: Vec<Peer>,
    /// Every node asked, in order, with the time it took; `None`: no answer.
    pub hops: Vec<(Peer, Option<Duration>)>,
}

/// What an owner says to an upload before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Upload {
    /// Send the bytes.
    Proceed,
    /// This very content is under that name already.
    Already {
        /// Its version.
        version: Version,
        /// Who holds it.
        holders: Vec<Peer>,
        /// Copies wanted.
        wanted: u8,
    },
    /// Other content is under that name, and `overwrite` was not given.
    Exists {
        /// Its version.
        version: Version,
        /// Its size.
        size: u64,
    },
    /// Another node owns that name.
    NotOwner {
        /// Who, as far as known.
        owner: Option<Peer>,
    },
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// The contact did not answer, or is not a member itself.
    #[error("{0} {fault}", fault = Fault::NotMember)]
    NoContact(SocketAddr),
    /// All attempts to find one's place failed.
    #[error("the ring behind {0} is changing too fast to join; try again")]
    JoinFailed(SocketAddr),
    /// Every place that was tried is taken.
    #[error(
        "the ring behind {0} has no free place for this node; start a ring with more --bits, or join another"
    )]
    NoPlace(SocketAddr),
    /// Already a member of that ring.
    #[error("already on the same ring as {0}")]
    AlreadyMember(SocketAddr),
    /// The node is on its way in or out.
    #[error("this node is {0}; act through another member of the ring")]
    Busy(&'static str),
    /// [`Command::Leave`] of a node that has left already.
    #[error("this node is on no ring; join takes it into one")]
    NoRing,
    /// [`Command::Adopt`] of a node with members.
    #[error("this node has {0} other members on its ring; leave first")]
    HasMembers(usize),
    /// [`Command::Adopt`] of a node with files.
    #[error(
        "this node holds {0} files of its own ring; start with another --data-dir, or with that ring's --ring, --bits and --replicas"
    )]
    HasFiles(usize),
    /// A lookup found no live owner.
    #[error("no live owner found after {asked} nodes; the ring may be repairing itself, try again")]
    LookupFailed {
        /// Nodes asked.
        asked: usize,
    },
    /// A ping was not answered.
    #[error("no answer")]
    NoAnswer,
    /// While copies were made, the name was stored or removed anew.
    #[error(
        "somebody else stored or removed the name at the same time, and that is the newer version"
    )]
    Superseded,
    /// See [`Upload::Exists`].
    #[error("the name holds other content; --overwrite replaces it")]
    Exists,
    /// See [`Upload::NotOwner`].
    #[error("another node owns this name now; try again")]
    NotOwner,
    /// [`Command::Remove`] of a name that is not there.
    #[error("no such file")]
    NoSuchFile,
    /// Not as many copies as wanted by the deadline; the ring goes on making them.
    #[error("{}", too_few(holders.len(), *wanted, unable))]
    TooFewCopies {
        /// Who holds it durably.
        holders: Vec<Peer>,
        /// Copies wanted.
        wanted: u8,
        /// Who cannot store it, and why.
        unable: Vec<(Peer, Obstacle)>,
    },
    /// The local disk refused.
    #[error("{0}")]
    Store(StoreFailure),
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> CommandError {
        let reason = match &failure {
            Failure::NoContact(address) => return CommandError::peer(*address, Fault::NotMember),
            Failure::Store(StoreFailure::Disk(why)) => return CommandError::Disk(why.clone()),
            Failure::JoinFailed(_) | Failure::LookupFailed { .. } | Failure::NoAnswer => {
                Reason::TryAgain
            }
            Failure::NoPlace(_) | Failure::Store(StoreFailure::Full(_)) => Reason::NoRoom,
            Failure::AlreadyMember(_) | Failure::HasMembers(_) | Failure::HasFiles(_) => {
                Reason::State
            }
            Failure::Busy(_) | Failure::NoRing => Reason::NotMember,
            Failure::Superseded => Reason::Superseded,
            Failure::Exists => Reason::Exists,
            Failure::NotOwner => Reason::NotOwner,
            Failure::NoSuchFile => Reason::NotFound,
            Failure::TooFewCopies { .. } => Reason::TooFewCopies,
            Failure::Store(StoreFailure::NoSource | StoreFailure::Ceased) => Reason::NoSource,
        };
        CommandError::refused(reason, failure.to_string())
    }
}

fn too_few(copies: usize, wanted: u8, unable: &[(Peer, Obstacle)]) -> String {
    let begun = format!("only {copies} of {wanted} copies were durable in time");
    let said = unable.iter().map(|(peer, why)| why.said_of(&peer.to_string(), "it"));
    let said: Vec<String> = said.collect();
    if said.is_empty() {
        return format!("{begun}; the ring keeps making the rest");
    }
    format!("{begun}: {}; the ring keeps trying", said.join(", and "))
}

/// A change of what the disk holds. Operations on different names may run side
/// by side; the core never has two on one name under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StoreOp {
    /// Make `record` durable: when it is a file whose content is not here yet,
    /// fetch it from the sources (in this order of preference), verified; then
    /// commit the record. It replaces any older record of the name.
    Keep {
        /// The record.
        record: Record,
        /// Who has the bytes; empty when they are here already.
        sources: Vec<Peer>,
        /// The content that it replaces lost to it and was not replaced on purpose:
        /// it stays for a while, as far as there is room.
        spare: bool,
    },
    /// Forget this version of the name and delete its bytes, unless another
    /// name needs them.
    Drop {
        /// The name.
        name: FileName,
        /// The version; a newer one stays.
        version: Version,
        /// As of [`StoreOp::Keep`].
        spare: bool,
    },
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

/// Why a store operation failed. Nothing half-done remains.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum StoreFailure {
    /// No source could deliver the content.
    #[error("no source could deliver the content")]
    NoSource,
    /// It was stopped because of [`Effect::Cease`].
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

/// Something that happened. Drivers turn these into events, statistics and the
/// list of remembered peers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Notice {
    /// The node is a member now.
    Joined {
        /// The first successor.
        successor: Peer,
    },
    /// The node's place was taken by another; it goes by this identity now.
    Renamed {
        /// Before.
        from: Peer,
        /// From now on.
        to: Peer,
        /// Who has the place.
        taken_by: Peer,
    },
    /// Other parameters were taken over.
    Adopted(Params),
    /// The node left its ring in order.
    Left,
    /// Nobody else of the ring is known any more.
    Alone,
    /// The predecessor changed.
    Predecessor {
        /// Before.
        old: Option<Peer>,
        /// Now.
        new: Option<Peer>,
    },
    /// The first successor changed.
    Successor {
        /// Before.
        old: Option<Peer>,
        /// Now.
        new: Option<Peer>,
    },
    /// The successor list changed (its head may be the same).
    Successors(Vec<Peer>),
    /// A finger changed.
    Finger {
        /// Its index.
        index: u8,
        /// Now.
        node: Option<Peer>,
    },
    /// A peer did not answer and was dropped from this node's tables.
    Dropped(Peer),
    /// A peer left the ring in order.
    Departed(Peer),
    /// A lookup step was taken, for whoever draws it.
    Hop {
        /// The key looked up.
        key: Id,
        /// The node asked.
        asked: Peer,
    },
    /// Two rings met: this peer was taken in from another one.
    Merged(Peer),
    /// A name's copies changed, as the owner sees it.
    Copies {
        /// The command that waits for them, if any does.
        ticket: Option<Ticket>,
        /// The name.
        name: FileName,
        /// Durable copies known.
        copies: u8,
        /// Copies wanted.
        wanted: u8,
        /// What is copied is the word that the name was removed.
        removed: bool,
    },
    /// This node now holds a record durably.
    Kept(Record),
    /// This node gave a record up because others hold it where it belongs.
    Given(FileName),
    /// A file that this node held gave way to a newer version that it had not
    /// heard of. Its content stays for a while, as far as there is room.
    Beaten {
        /// What gave way.
        lost: Record,
        /// To what.
        by: Record,
    },
    /// Nobody has held a version for a while that this node answers for and cannot store.
    Forgotten {
        /// The version.
        lost: Record,
        /// What this node has of the name, which counts again.
        older: Option<Record>,
    },
    /// The bytes of a record that this node held are lost: it is fetched anew.
    Lost {
        /// The record.
        record: Record,
        /// Who else is known to hold it; the others are asked when nobody is.
        holders: Vec<Peer>,
    },
    /// A record whose bytes were lost is held here again.
    Restored {
        /// The record.
        record: Record,
        /// Who has it and gave it.
        from: Vec<Peer>,
    },
    /// A holder cannot store what this node owns.
    PassedOver {
        /// The name.
        name: FileName,
        /// Who, why, and who keeps the copy instead.
        over: PassedOver,
    },
    /// A copy could not be made here.
    KeepFailed {
        /// Of this name.
        name: FileName,
        /// Why.
        why: StoreFailure,
    },
}

/// What a node is to its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Not started yet.
    New,
    /// On its way in; answers nothing but pings.
    Joining,
    /// A member; with an empty successor list it is the only one.
    Member,
    /// On its way out: hands over its files, still serves reads.
    Leaving,
    /// Out: to its own user the only member of a ring of its own. Those of the
    /// ring that it left do not find it there, so that it stays out; whoever
    /// joins it makes it a member again.
    Left,
}

/// A place of a finger table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Finger {
    /// 0 to m−1.
    pub index: u8,
    /// `id + 2^index mod 2^m`.
    pub start: Id,
    /// The first node at or after `start`, as far as known. The node itself
    /// when it is alone or the interval wraps to it.
    pub node: Option<Peer>,
}

/// How much of the ring [`Node::members`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CensusState {
    /// All of it.
    Complete,
    /// The first walk has not come round yet.
    Partial,
    /// There are too many nodes to walk; about this many, from the density of
    /// the successor list.
    Estimate(u64),
}

/// What follows from a configuration.
impl Config {
    /// The identifier space.
    pub const fn space(&self) -> Space {
        self.params.space
    }

    /// How far successor lists reach.
    fn reach(&self) -> Reach {
        Reach::new(self.successors, usize::from(self.params.replicas))
    }
}
