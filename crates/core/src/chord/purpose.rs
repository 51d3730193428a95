//! What the open questions of a node are for.

use crate::peer::Peer;

use super::input::Ticket;
use super::replicas::ask::FileAsk;

/// What an open question is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Asked for a node's neighbours.
    Neighbours(NeighbourAsk),
    /// A step of this lookup.
    Step(u32),
    /// Merge: the command's contact, a member of another ring.
    Contact {
        /// The command.
        ticket: Ticket,
    },
    /// [`super::Command::Ping`].
    Ping(Ticket),
    /// Asked for the files.
    Files(FileAsk),
}

/// Why a node is asked for its neighbours; that it answers says that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum NeighbourAsk {
    /// Stabilize: the first successor's.
    Successor,
    /// Stabilize: those of the node between this one and its first successor.
    Between {
        /// The first successor, which named it.
        successor: Peer,
    },
    /// Rectify: does the predecessor live, or may `notifier` replace it?
    Rectify {
        /// Who believes to be the predecessor.
        notifier: Peer,
    },
    /// Without a successor: any known peer may show the way to one.
    Revive,
    /// Does this neighbour live? `instead` may be the predecessor if not.
    Check {
        /// The predecessor of one that leaves.
        instead: Option<Peer>,
    },
    /// Join: those of the node found to precede this one.
    Place,
    /// Merge: a candidate for first successor.
    Consider {
        /// Forwardings left.
        hops: u8,
    },
    /// Is this remembered peer a member?
    Probe,
    /// A step of the census.
    Census,
}
