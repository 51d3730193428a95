//! What the tasks of one node share: its identity, its store, its counters,
//! and the way to the hub.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use chordal_core::chord::{self, Command, Reply};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Version;
use chordal_core::time::Time;
use chordal_core::wire::handshake::{Hello, Params, Program, Purpose};
use chordal_core::wire::{Frame, MeshMessage, Request, Response};
use chordal_store::Store;
use chordal_view::{Level, Step};

use super::clock::Clock;
use super::demand::Demand;
use super::disk_health::DiskHealth;
use super::leave::Departure;
use super::signs::Signs;
use super::store_worker::{Done, Job, Operations};
use super::ui_rows::Board;
use crate::data::idle::Idle;
use crate::data::limits::Limits;
use crate::data::local_copy::Downloads;
use crate::data::reach::Reach;
use crate::data::transfers::Transfers;
use crate::net::connection::{ByteCounters, ConnectError, Ending};
use crate::net::connection_slots::Place;
use crate::net::shutdown_handles::Cuts;
use crate::net::verify::Verification;
use crate::overlay::reputation::Reputations;
use crate::overlay::{mesh, search};
use crate::sharing::provide;
use crate::sharing::shares::Shares;
use crate::upkeep::suspect_blobs::Doubts;
use crate::upkeep::uncommitted::Unclaimed;

/// Inputs waiting for the hub: enough for a burst, small enough that a flood
/// is felt by whoever sends it.
pub(crate) const HUB_QUEUE: usize = 1_024;

/// Who this node is at the moment; changes when it adopts a ring's parameters
/// or takes another index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The node.
    pub(crate) me: Peer,
    /// Its ring.
    pub(crate) params: Params,
}

impl Identity {
    /// The greeting for a connection of this purpose.
    pub(crate) fn hello(&self, purpose: Purpose) -> Hello {
        Hello {
            purpose,
            program: Program::Node,
            params: Some(self.params.clone()),
            address: Some(self.me.address()),
            index: self.me.index(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            refusal: None,
        }
    }
}

/// What every task of a node may use. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    /// When the node started: the zero of its time.
    pub(crate) started: Instant,
    /// Its time of day.
    pub(crate) clock: Clock,
    /// To the hub, which owns the core.
    pub(crate) hub: mpsc::Sender<Input>,
    /// The same for signs of life ([`super::inbox`]).
    pub(crate) vital: mpsc::Sender<Input>,
    /// To the task of links and gossip.
    pub(crate) mesh: mpsc::Sender<mesh::Input>,
    /// To the task of searches.
    pub(crate) search: mpsc::Sender<search::Input>,
    /// Peers that did not answer, for the registries.
    pub(crate) dead: mpsc::Sender<Peer>,
    /// To the task that tells the ring what is shared here.
    pub(crate) provide: mpsc::Sender<provide::Order>,
    /// What else a snapshot shows.
    pub(crate) board: Board,
    /// Files shared from where they lie.
    pub(crate) shares: Shares,
    /// How far each peer is trusted with downloads.
    pub(crate) reputations: Reputations,
    /// Whether finished downloads are offered to others.
    pub(crate) reshare: bool,
    /// Copies without which this node acknowledges no put.
    pub(crate) min_copies: u8,
    /// Who this node is. The hub holds the other end.
    pub(crate) identity: watch::Receiver<Identity>,
    /// Whether the advertised address leads to this node.
    pub(crate) verification: Verification,
    /// The disk.
    pub(crate) store: Store,
    /// Whether that takes what is stored.
    pub(crate) disk: DiskHealth,
    /// Bytes of all connections.
    pub(crate) counters: Arc<ByteCounters>,
    /// From whom files' bytes came of late.
    pub(crate) signs: Signs,
    /// Running and recent transfers.
    pub(crate) transfers: Transfers,
    /// Data connections in use, to be cut when the node stops.
    pub(crate) cuts: Cuts,
    /// Those of them that wait for a further request.
    pub(crate) idle: Idle,
    /// To whom they are made.
    pub(crate) reach: Reach,
    /// How fast they may be, all together.
    pub(crate) limits: Limits,
    /// What others want of this node.
    pub(crate) demand: Demand,
    /// Where downloads go.
    pub(crate) download_dir: PathBuf,
    /// Where the node keeps everything else.
    pub(crate) data_dir: PathBuf,
    /// Held by whoever writes the known peers.
    pub(crate) remembering: Arc<Mutex<()>>,
    /// Contents that seem to be damaged here.
    pub(crate) doubts: Doubts,
    /// Contents that came over a chain and wait for a record.
    pub(crate) unclaimed: Unclaimed,
    /// What this node's user has downloaded and is downloading.
    pub(crate) downloads: Downloads,
    /// The core's store operations that have not ended.
    pub(crate) operations: Operations,
    /// To the task that carries out the core's store operations.
    pub(crate) keeping: mpsc::UnboundedSender<Job>,
    /// The node's leave.
    pub(crate) departure: Departure,
    /// Cancelled when the node stops: everything ends at once.
    pub(crate) stop: CancellationToken,
    /// Every task of the node. Closed once the node is shutting down.
    pub(crate) tasks: TaskTracker,
    /// The tasks of control connections, which end after their last frame.
    pub(crate) connections: TaskTracker,
}

/// Who made a connection.
#[derive(Debug)]
pub(crate) enum Whose {
    /// This node, to this address: who is reached there is believed to be who
    /// belongs there, whatever they call themselves.
    Ours(SocketAddr),
    /// The other side.
    Theirs {
        /// What it said of itself.
        hello: Hello,
        /// Its place, until the connection ends or newer ones need it.
        held: Place,
    },
}

/// What the hub reacts to.
pub(crate) enum Input {
    /// A control connection whose handshake is done.
    Connected {
        /// The socket.
        stream: TcpStream,
        /// Who made it.
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
        /// For a lookup that somebody watches: what was looked up.
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
    /// A warning about somebody who may cause it again and again.
    Stranger(String),
    /// Data connections to this host are made again.
    BytesPass(SocketAddr),
    /// Something that a snapshot shows changed outside the core.
    Changed,
    /// Close all connections in order and end.
    Close,
}

impl Shared {
    /// Hands a command to the core and waits for its reply.
    pub(crate) async fn core(&self, command: Command) -> Option<Reply> {
        self.core_shown(command, None).await
    }

    /// The same; with `shown`, the dashboard draws a lookup's hops.
    pub(crate) async fn core_shown(
        &self,
        command: Command,
        shown: Option<String>,
    ) -> Option<Reply> {
        self.begin(command, None, shown).await?.await.ok()
    }

    /// Hands a command to the core; its reply comes once the core has one. `copies`
    /// is told of copies as they are made.
    pub(crate) async fn begin(
        &self,
        command: Command,
        copies: Option<watch::Sender<(u8, u8)>>,
        shown: Option<String>,
    ) -> Option<oneshot::Receiver<Reply>> {
        let (done, reply) = oneshot::channel();
        self.hub.send(Input::Core { command, done, copies, shown }).await.ok()?;
        Some(reply)
    }

    /// Of how many hosts that it knew lately this one seems to be cut off; 0: of none.
    pub(crate) async fn cut_off(&self) -> u32 {
        let now = Time::from_micros(self.started.elapsed().as_micros() as u64);
        let missing = self.look(move |core| core.cut_off(now)).await.flatten();
        missing.map_or(0, |missing| u32::try_from(missing).unwrap_or(u32::MAX))
    }

    /// Reads something off the core.
    pub(crate) async fn look<T, F>(&self, look: F) -> Option<T>
    where
        T: Send + 'static,
        F: FnOnce(&chord::Host) -> T + Send + 'static,
    {
        let (done, result) = oneshot::channel();
        let look = Box::new(move |host: &chord::Host| {
            let _ = done.send(look(host));
        });
        self.hub.send(Input::Look(look)).await.ok()?;
        result.await.ok()
    }

    /// A message for another node's mesh. Never waits: a hub that is too busy
    /// drops it, and every message of the mesh may be lost.
    pub(crate) fn tell_mesh(&self, to: Peer, message: MeshMessage) {
        let _ = self.hub.try_send(Input::Mesh { from: None, to, message });
    }

    /// A line for the events panel.
    pub(crate) async fn event(&self, level: Level, text: String) {
        let _ = self.hub.send(Input::Event(level, text)).await;
    }

    /// The same, with the step of the protocol behind it.
    pub(crate) async fn step(&self, step: Step, level: Level, text: String) {
        let _ = self.hub.send(Input::Step(step, level, text)).await;
    }

    /// How long the node runs.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Who this node is now.
    pub(crate) fn me(&self) -> Identity {
        self.identity.borrow().clone()
    }
}
