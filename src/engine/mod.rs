//! The engine: the only async I/O of the program.
//!
//! (Being written: these are the types that the command line and the tests use.)

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::view::{Command, CommandFailed, Outcome, Snapshot, UiEvent};
use crate::wire::handshake::Params;

pub mod client;

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where others reach it; `listen` when not given. Never unspecified.
    pub advertise: Option<SocketAddr>,
    /// Members to join through, tried in turn, until one answers.
    pub join: Vec<SocketAddr>,
    /// The ring's name, size and replica count.
    pub params: Params,
    /// Entries in the successor list.
    pub successors: usize,
    /// Time between stabilizations.
    pub stabilize: Duration,
    /// Where catalogue, blobs, peers and logs live. `None`: the default for
    /// the address (DESIGN §7).
    pub data_dir: Option<PathBuf>,
    /// Where downloads go. `None`: `peer_<port>_downloads` in the working
    /// directory.
    pub download_dir: Option<PathBuf>,
}

/// A command and where its end goes: `None` progress is not reported.
pub type Submission = (Command, oneshot::Sender<Result<Outcome, CommandFailed>>);

/// A running node.
#[derive(Debug)]
pub struct Node {
    /// The address it advertises.
    pub address: SocketAddr,
    /// Its state; changes whenever something changed.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What happens; bounded, overflow is counted in the snapshot.
    pub events: mpsc::Receiver<UiEvent>,
    /// What it shall do.
    pub commands: mpsc::Sender<Submission>,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {why}; choose another address, or stop the program that uses it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        why: std::io::Error,
    },
    /// The advertised address is no address.
    #[error("{0} cannot be advertised; give the address that others reach with --advertise")]
    Unadvertisable(SocketAddr),
    /// The data directory cannot be used.
    #[error("{0}")]
    Store(String),
}

impl Node {
    /// Binds, opens the store, starts all tasks on the current tokio runtime.
    pub async fn start(config: Config) -> Result<Node, StartError> {
        let _ = config;
        unimplemented!("being written")
    }

    /// Leaves the ring (handing over files, until `deadline`), flushes and ends
    /// all tasks.
    pub async fn shutdown(self, deadline: Duration) {
        let _ = deadline;
    }

    /// Ends all tasks at once and closes all sockets, as a crash would.
    pub async fn kill(self) {}
}
