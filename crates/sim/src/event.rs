//! The events of a world.

use chordal_core::chord::{Slot, StoreFailure, StoreOp, Ticket};
use chordal_core::peer::Peer;
use chordal_core::time::Time;
use chordal_core::wire::{Message, Nonce};

use super::host::HostId;

/// A ring position of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub(super) host: HostId,
    pub(super) slot: Slot,
}

/// One event. Kept small: a world of a million nodes has five million planned events.
#[derive(Debug)]
pub(super) enum Event {
    /// A message arrives.
    Deliver(Box<Parcel>),
    /// A timer fires, unless it was armed again since.
    Fire { spot: Spot, kind: u8, generation: u32 },
    /// A question has not been answered in time, or could not be delivered.
    Late { spot: Spot, life: u32, host: HostId, index: u16, nonce: Nonce },
    /// A connection broke.
    Broken { at: HostId, life: u32, host: HostId, index: u16 },
    /// A step of a disk operation.
    Work { job: u32 },
    /// A step of an operation.
    Step { operation: u64, stage: u32 },
    /// A host that could not enter the ring tries again.
    Retry { host: HostId, life: u32 },
    /// An event of the churn, if the churn has not changed since.
    Churn { what: Arrival, generation: u32 },
    /// The next operation of the workload, if the workload has not changed since.
    Operate { what: u8, generation: u32 },
    /// A fault of a scenario.
    Fault { number: u32 },
}

/// A kind of churn event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// A new host.
    Join,
    /// A host departs.
    Leave,
    /// The session of this host, in this life, ends.
    End(HostId, u32),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Parcel {
    pub(super) from: Peer,
    pub(super) from_life: u32,
    pub(super) to: Peer,
    /// For an answer, the life of the process that asked: the answer comes on the
    /// connection of its question, which ends with that process.
    pub(super) to_life: Option<u32>,
    /// When this question, or the question that this answers, was sent.
    pub(super) asked: Time,
    pub(super) message: Message,
}

/// A disk operation that is running.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) spot: Spot,
    pub(super) life: u32,
    pub(super) ticket: Ticket,
    pub(super) op: StoreOp,
    /// The host that sends the bytes, and its life when it began to send.
    pub(super) source: Option<(HostId, u32)>,
    /// Number of sources that were tried.
    pub(super) tried: usize,
    /// The result that the node gets at the next step.
    pub(super) result: Option<Result<(), StoreFailure>>,
}
