//! What a node tells its driver to do, and how commands end.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use crate::error::{CommandError, Fault, Reason};
use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Obstacle, PassedOver, Record, Version};
use crate::wire::Message;
use crate::wire::handshake::Params;

use super::input::{StoreFailure, Ticket, Timer};

/// What the driver has to do, in the order of the effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Send a message.
    Send {
        /// The receiver, never the node itself.
        to: Peer,
        /// The message.
        message: Message,
    },
    /// Fire `timer` once, after a delay drawn from the range.
    Arm {
        /// The timer.
        timer: Timer,
        /// The range of delays from now.
        after: Range<Duration>,
    },
    /// Forget the timer.
    Disarm(Timer),
    /// Change what the disk holds; ends with [`super::Input::Stored`].
    Store {
        /// Comes back in [`super::Input::Stored`].
        ticket: Ticket,
        /// The operation.
        op: StoreOp,
    },
    /// What the [`StoreOp::Keep`] of this ticket fetches is no longer needed. The driver
    /// may stop it, which ends it as [`StoreFailure::Ceased`], or let it go on.
    Cease {
        /// The ticket of the operation.
        ticket: Ticket,
    },
    /// A command's end.
    Reply {
        /// The ticket of the command.
        ticket: Ticket,
        /// The result.
        reply: Reply,
    },
    /// Something happened that users or statistics may want to know.
    Notice(Notice),
}

/// The effects of one input, in order.
pub type Effects = Vec<Effect>;

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
        /// The nodes that have the bytes; empty when they are here already.
        sources: Vec<Peer>,
        /// The replaced content lost a conflict and was not replaced on purpose: the disk
        /// keeps it for a while, as far as there is room.
        spare: bool,
    },
    /// Forget this version of the name and delete its bytes, unless another
    /// name needs them.
    Drop {
        /// The name.
        name: FileName,
        /// The version; a newer one stays.
        version: Version,
        /// As in [`StoreOp::Keep`].
        spare: bool,
    },
}

/// The end of a [`super::Command`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    /// The node is a member now.
    Joined {
        /// This node: its index may have changed because its place was taken.
        me: Peer,
        /// The first successor.
        successor: Peer,
    },
    /// The node has left its ring.
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
    /// The answer to [`super::Command::Offer`].
    Upload(Upload),
    /// The answer to [`super::Command::Commit`] and [`super::Command::Remove`]: as many
    /// copies as wanted.
    Stored {
        /// The version.
        version: Version,
        /// The nodes that hold it durably, this node first if it does.
        holders: Vec<Peer>,
        /// Copies wanted: as many as there are nodes that can store it, when
        /// these are fewer than the ring keeps.
        wanted: u8,
        /// The nodes that should hold it and cannot store it, the owner first.
        passed: Vec<PassedOver>,
    },
    /// The answer to [`super::Command::Provide`], for each record in order: how many
    /// share that content under that name now.
    Provided {
        /// The numbers of sharers.
        sources: Vec<u16>,
    },
    /// The command failed.
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

/// The owner of a key.
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

/// An owner's answer to an upload before it begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Upload {
    /// Send the bytes.
    Proceed,
    /// This very content is under that name already.
    Already {
        /// Its version.
        version: Version,
        /// The nodes that hold it.
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
        /// The owner, as far as known.
        owner: Option<Peer>,
    },
}

/// Why a command failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Failure {
    /// The contact did not answer, or is not a member itself.
    #[error("{0} {fault}", fault = Fault::NotMember)]
    NoContact(SocketAddr),
    /// All attempts to find this node's place failed.
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
    /// [`super::Command::Leave`] of a node that has left already.
    #[error("this node is on no ring; join takes it into one")]
    NoRing,
    /// [`super::Command::Adopt`] of a node with members.
    #[error("this node has {0} other members on its ring; leave first")]
    HasMembers(usize),
    /// [`super::Command::Adopt`] of a node with files.
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
    /// While copies were made, the name was stored again or removed.
    #[error("another client stored or removed the name at the same time, and its version is newer")]
    Superseded,
    /// See [`Upload::Exists`].
    #[error("the name holds other content; --overwrite replaces it")]
    Exists,
    /// See [`Upload::NotOwner`].
    #[error("another node owns this name now; try again")]
    NotOwner,
    /// [`super::Command::Remove`] of a name that is not there.
    #[error("no such file")]
    NoSuchFile,
    /// Not as many copies as wanted by the deadline; the ring goes on making them.
    #[error("{}", too_few(holders.len(), *wanted, unable))]
    TooFewCopies {
        /// The nodes that hold it durably.
        holders: Vec<Peer>,
        /// Copies wanted.
        wanted: u8,
        /// The nodes that cannot store it, and why.
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
        reason.because(failure.to_string())
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
        /// The node that has the place.
        taken_by: Peer,
    },
    /// Other parameters were taken over.
    Adopted(Params),
    /// The node left its ring in order.
    Left,
    /// No other member of the ring is known any more.
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
    /// A lookup asked one more node, for displays.
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
        /// Whether the record is a tombstone: the name was removed.
        removed: bool,
    },
    /// This node now holds a record durably.
    Kept(Record),
    /// This node gave a record up because others hold it where it belongs.
    Given(FileName),
    /// A file that this node held gave way to a newer version that it had not
    /// heard of. Its content stays for a while, as far as there is room.
    Beaten {
        /// The record that gave way.
        lost: Record,
        /// The record that replaced it.
        by: Record,
    },
    /// For a while no node has held a version that this node answers for and cannot store.
    Forgotten {
        /// The version.
        lost: Record,
        /// The older record of the name that this node has and that counts again.
        older: Option<Record>,
    },
    /// The bytes of a record that this node held are lost: it is fetched again.
    Lost {
        /// The record.
        record: Record,
        /// The other nodes known to hold it; without any, all are asked.
        holders: Vec<Peer>,
    },
    /// A record whose bytes were lost is held here again.
    Restored {
        /// The record.
        record: Record,
        /// The nodes that gave it.
        from: Vec<Peer>,
    },
    /// A holder cannot store what this node owns.
    PassedOver {
        /// The name.
        name: FileName,
        /// The holder, why it cannot, and the node that keeps the copy instead.
        over: PassedOver,
    },
    /// A copy could not be made here.
    KeepFailed {
        /// The name.
        name: FileName,
        /// The reason.
        why: StoreFailure,
    },
}
