//! What the file half of a node knows, and the questions and words that its parts share.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::id::Id;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Obstacle, Record, Version};
use crate::wire::message::Branch;
use crate::wire::{Message, Tell};

use super::super::asks::Asks;
use super::super::effect::{Effect, Effects, Notice};
use super::super::input::Ticket;
use super::super::purpose::Purpose;
use super::super::vec_map::VecMap;
use super::super::view::{RingView, Span};
use super::ask::FileAsk;
use super::covers::Covers;
use super::disk::{Disk, Durable};
use super::expiry::Expiry;

/// The file half of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(in super::super) struct Replicas {
    /// What the disk holds, or others in its place. A copy that is being deleted
    /// is no longer here.
    pub(super) disk: Disk,
    /// Store operations under way.
    pub(super) jobs: BTreeMap<Ticket, Job>,
    /// Puts and removals that this node cannot store, until another node holds them.
    pub(super) entrusted: BTreeMap<Ticket, EntrustedPut>,
    /// The names that one of either is about.
    pub(super) busy: BTreeMap<FileName, Ticket>,
    /// The next ticket of these.
    pub(super) next: Ticket,
    /// Records to be fetched.
    pub(super) wishes: BTreeMap<FileName, Wish>,
    /// Owners for which this node keeps copies.
    pub(super) covers: Covers,

    /// The range that the partners' state below is about.
    pub(super) range: Option<Span>,
    /// The other wanted holders of this node's range.
    pub(super) partners: VecMap<Peer, Partner>,
    /// Commands that wait for their name.
    pub(super) queue: BTreeMap<FileName, VecDeque<(Ticket, FileCommand)>>,
    /// Names about which partners have been asked, and who has yet to answer.
    pub(super) probes: BTreeMap<FileName, BTreeSet<Peer>>,
    /// Commands that wait for copies.
    pub(super) puts: BTreeMap<Ticket, Put>,
    /// Records known whose bytes are not here.
    pub(super) absent: BTreeMap<FileName, Absent>,
    /// Of tombstones.
    pub(super) expiry: Expiry,
    /// Repair rounds so far.
    pub(super) round: u32,
    /// The last record whose stand-ins were asked.
    pub(super) checked: Option<FileName>,
    /// The last record that was tried to be brought here from other disks.
    pub(super) fetched_back: Option<FileName>,
    /// The records on other disks that no node held in the last full round.
    pub(super) unheld: BTreeSet<(FileName, Version)>,
    /// Repair rounds in which stand-ins for this node may still be unknown to it.
    pub(super) settling: u8,

    /// The lookup of the owner of a copy out of place.
    pub(super) lookup: Lookup,
    /// The keys gone through in this round of handing over.
    pub(super) tried: Vec<Span>,
    /// The copies about which an owner was asked whether they may go, and that
    /// no node has offered since; with the newer record that the owner has.
    pub(super) may_go: BTreeMap<FileName, Option<Record>>,
    /// Set while the node is on its way out.
    pub(super) leaving: Option<Leave>,
}

/// The file half for one turn of its node, with all that it may use.
pub(in super::super) struct Files<'a> {
    pub(in super::super) state: &'a mut Replicas,
    pub(in super::super) ring: RingView<'a>,
    pub(in super::super) asks: &'a mut Asks<Purpose>,
    pub(in super::super) out: &'a mut Effects,
}

/// A command about the file of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in super::super) enum FileCommand {
    /// [`super::super::Command::Offer`]
    Offer { root: ContentHash, overwrite: bool },
    /// [`super::super::Command::Commit`]
    Commit {
        root: ContentHash,
        size: u64,
        overwrite: bool,
        elsewhere: Vec<Peer>,
        obstacle: Obstacle,
    },
    /// [`super::super::Command::Remove`]
    Remove,
}

/// A store operation under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Job {
    /// Make the record durable.
    Keep {
        record: Record,
        /// Who wants to hear of it.
        tell: Vec<Peer>,
        /// The command whose bytes these are; without one it is a fetch.
        command: Option<Ticket>,
        /// The file here that gives way and was not replaced on purpose.
        beaten: Option<Record>,
        /// It was seen that the record belongs here, as that of a stand-in never does.
        placed: bool,
    },
    /// Delete an older copy of a name that is on other disks.
    DropOlder {
        /// What the disk has of it.
        record: Record,
    },
    /// Delete the copy.
    Drop { record: Record, fate: DropReason },
}

/// OfferReason a copy is deleted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum DropReason {
    /// Others hold it where it belongs.
    Given,
    /// Its owner has this newer record.
    Beaten(Record),
    /// It is a tombstone whose time is over: no other node takes it.
    Expired,
}

impl Job {
    pub(super) fn name(&self) -> &FileName {
        match self {
            Job::Keep { record, .. } | Job::DropOlder { record } | Job::Drop { record, .. } => {
                &record.name
            }
        }
    }

    /// Whether it is work of the ring, for which no command waits.
    pub(super) fn is_fetch(&self) -> bool {
        matches!(self, Job::Keep { command: None, .. })
    }
}

/// A record to be fetched.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    pub(super) record: Record,
    /// Who has it.
    pub(super) sources: Vec<Peer>,
    /// Who offered or entrusted it; they hear of it.
    pub(super) tell: Vec<Peer>,
    /// Offered alone: a put waits for it, so it goes before pages of repairs.
    pub(super) urgent: bool,
    /// Its owner has just made it.
    pub(super) put: bool,
}

/// A put or a removal that the owner cannot store, until another node holds it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EntrustedPut {
    /// The version that it gets.
    pub(super) record: Record,
    /// What keeps the owner from storing it.
    pub(super) obstacle: Obstacle,
    /// The command.
    pub(super) command: Ticket,
    /// Who was entrusted with it and may still say that it holds it.
    pub(super) asked: BTreeSet<Peer>,
    /// Who was and cannot store it.
    pub(super) unable: Vec<(Peer, Obstacle)>,
    /// Who is said to have the bytes.
    pub(super) there: Vec<Peer>,
}

/// Another wanted holder of this node's range, since it became one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(super) struct Partner {
    /// Every record here was compared with what it holds.
    pub(super) settled: bool,
    /// Parts of the range that this comparison has yet to ask about.
    pub(super) to_compare: Vec<Branch>,
    /// Since it began, records came or went here.
    pub(super) moved: bool,
    /// It has held the same as this node at least once: nothing of the range
    /// is known there that is unknown here.
    pub(super) same: bool,
    /// It could not store some record and has taken none of those since.
    pub(super) unable: Option<Obstacle>,
    /// What it could not store and is offered once more.
    pub(super) retried: BTreeSet<FileName>,
}

impl Partner {
    /// One that has been compared with and held the same.
    pub(super) fn settled() -> Partner {
        Partner { settled: true, same: true, ..Partner::default() }
    }
}

/// A command whose record is durable here and that waits for copies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Put {
    pub(super) name: FileName,
    pub(super) version: Version,
}

/// A record whose bytes are not here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Absent {
    pub(super) record: Record,
    /// Who has or had them.
    pub(super) sources: Vec<Peer>,
    /// They were here and were damaged: users want to read in the events
    /// that they are back.
    pub(super) damaged: bool,
}

/// The lookup for the owner of a copy out of place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(super) enum Lookup {
    /// None.
    #[default]
    Idle,
    /// To be started.
    Wanted(Id),
    /// Under way for so many repair rounds.
    Running(Id, u8),
}

/// How far a leave has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leave {
    /// Files given up to others.
    pub(super) handed: usize,
    /// No other node is there to take the rest.
    pub(super) alone: bool,
    /// Names that another node is known to hold.
    pub(super) elsewhere: BTreeSet<FileName>,
}

/// Whether a question for which `which` holds is open to this peer.
pub(super) fn is_open(asks: &Asks<Purpose>, peer: Peer, which: impl Fn(&FileAsk) -> bool) -> bool {
    asks.iter().any(|(_, to, purpose)| match purpose {
        Purpose::Files(ask) => to == peer && which(ask),
        _ => false,
    })
}

/// Forgets the open questions for which `which` holds.
pub(super) fn forget(asks: &mut Asks<Purpose>, which: impl Fn(&FileAsk) -> bool) {
    asks.forget(|purpose| match purpose {
        Purpose::Files(ask) => which(ask),
        _ => false,
    });
}

/// Says that this version is durable here.
pub(super) fn tell_held(to: Peer, record: &Record, out: &mut Effects) {
    let tell = Tell::Held { name: record.name.clone(), version: record.version };
    out.push(Effect::Send { to, message: Message::Tell(tell) });
}

/// Tells people of a name's copies.
pub(super) fn copies_notice(ticket: Option<Ticket>, held: &Durable, wanted: u8) -> Effect {
    Effect::Notice(Notice::Copies {
        ticket,
        name: held.record.name.clone(),
        copies: held.copies(),
        wanted,
        removed: held.record.is_deleted(),
    })
}
