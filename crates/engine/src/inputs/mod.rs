//! What is said to the hub, and the two handles by which it is said.
//!
//! Owns the queue in front of the hub, [`core::Core`] (commands for the core, looks at
//! it, requests to other nodes) and [`notes::Notes`] (lines and rows for people).
//!
//! It never waits for a disk, and knows of no room above it: what a room wants of the hub
//! is an [`Input`] of plain values.
//!
//! Called by every room above [`crate::net`]; the hub takes the inputs.

use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};

use chordal_core::chord::{self, Command, Reply, Slot, StoreFailure, Ticket};
use chordal_core::error::CommandError;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Version;
use chordal_core::wire::{Frame, MeshMessage, Request, Response};
use chordal_view::{Level, Step};

use crate::net::accept::{Arrival, Whose};
use crate::net::connection::{ConnectError, Ending};

pub(crate) mod core;
pub(crate) mod demand;
pub(crate) mod event_coalescer;
pub(crate) mod inbox;
pub(crate) mod notes;
pub(crate) mod ui_rows;

/// Inputs waiting for the hub: enough for a burst, small enough that a flood
/// is felt by its sender.
pub(crate) const HUB_QUEUE: usize = 1_024;

/// How a store operation of the core ended.
#[derive(Debug)]
pub(crate) struct Done {
    /// The position that wanted it.
    pub(crate) slot: Slot,
    /// The core's ticket.
    pub(crate) ticket: Ticket,
    /// How.
    pub(crate) result: Result<(), StoreFailure>,
}

/// What the hub reacts to.
pub(crate) enum Input {
    /// A control connection after its handshake.
    Connected {
        /// The socket.
        stream: TcpStream,
        /// The side that made it.
        whose: Whose,
    },
    /// Dialling failed.
    Unreachable {
        /// Whom.
        address: SocketAddr,
        /// Why.
        error: ConnectError,
    },
    /// A frame arrived.
    Frame {
        /// On this connection.
        connection: u64,
        /// The frame.
        frame: Frame,
    },
    /// A connection ended.
    Ended {
        /// Which.
        connection: u64,
        /// How.
        ending: Ending,
    },
    /// Store operations of the core ended.
    Stored(Vec<Done>),
    /// The bytes of a record held here were put aside: they are damaged.
    Lost {
        /// The name.
        name: FileName,
        /// The version.
        version: Version,
    },
    /// A command for the core.
    Core {
        /// The command.
        command: Command,
        /// Where the reply goes.
        done: oneshot::Sender<Reply>,
        /// Told of copies as they are made: (copies, wanted).
        copies: Option<watch::Sender<(u8, u8)>>,
        /// For a lookup that a user watches: what was looked up.
        shown: Option<String>,
    },
    /// A request to another node, over its control connection.
    Request {
        /// Whom.
        address: SocketAddr,
        /// What.
        request: Request,
        /// Where the response goes.
        done: oneshot::Sender<Response>,
    },
    /// A message for another node's mesh.
    Mesh {
        /// From which position; `None`: from the first one.
        from: Option<Peer>,
        /// Whom.
        to: Peer,
        /// What.
        message: MeshMessage,
    },
    /// These peers live and are said to be members of this node's ring.
    Heard(Vec<Peer>),
    /// The leave goes on, or it is `over`.
    Leave {
        /// Whatever is handed over by now.
        over: bool,
    },
    /// A look at the core's state.
    Look(Box<dyn FnOnce(&chord::Host) + Send>),
    /// A line for the events panel.
    Event(Level, String),
    /// The same, with the step of the protocol behind it.
    Step(Step, Level, String),
    /// A warning that a stranger may cause again and again.
    Stranger(String),
    /// Data connections to this host are made again.
    BytesPass(SocketAddr),
    /// Something that a snapshot shows changed outside the core.
    Changed,
    /// Close all connections in order and end.
    Close,
}

/// Sends a task a question and waits for its answer.
///
/// # Errors
/// The node is stopping.
pub(crate) async fn ask<Q, A>(
    task: &mpsc::Sender<Q>,
    question: impl FnOnce(oneshot::Sender<A>) -> Q,
) -> Result<A, CommandError> {
    let (done, answer) = oneshot::channel();
    task.send(question(done)).await.map_err(|_| CommandError::Stopping)?;
    answer.await.map_err(|_| CommandError::Stopping)
}

impl From<Arrival> for Input {
    fn from(arrival: Arrival) -> Input {
        match arrival {
            Arrival::Connected(stream, whose) => Input::Connected { stream, whose },
            Arrival::Stranger(text) => Input::Stranger(text),
        }
    }
}
