//! A registry: a server that lists nodes. It is on no ring and knows nothing of files.
//!
//! One task, the server, owns the [`List`] and decides which news go to which node;
//! everything else hands it inputs:
//!
//! ```text
//!   listener (accepts, greets) ──► a task a node: reports ──►  server ──► news to all
//!                                  a task a peer: checks  ──►   │
//!                                                               └─► snapshots, peers.toml
//! ```
//!
//! A node that connects is put on the list only after the registry has reached
//! it at the address that it claims (`watch`). Every peer on the list is
//! checked again and again over a connection that the registry keeps to it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use chordal_core::registry::list::List;
use chordal_descriptors as descriptors;
use chordal_view::{Level, Snapshot, UiEvent};

use crate::net::start_error::StartError;
use server::{Input, Place, Server};

mod listener;
mod saved;
mod server;
mod watch_peer;

/// Inputs waiting for the server: a burst of checks of a whole list.
const QUEUE: usize = 1_024;

/// Events waiting for the dashboard.
const EVENT_QUEUE: usize = 1_024;

/// Listed peers that are dialled at once.
const DIALS_OF_LISTED: usize = 64;

/// Claimed addresses that are dialled at once: they may be of any program, and must
/// not keep those on the list from being checked.
const DIALS_OF_CLAIMED: usize = 16;

/// How a registry is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Time between two checks of a peer.
    pub check: Duration,
    /// Where its list is kept. `None`: the default for the address
    /// ([`default_data_dir`]).
    pub data_dir: Option<PathBuf>,
}

/// Default time between two checks.
pub const DEFAULT_CHECK: Duration = Duration::from_secs(5);

impl Config {
    /// A registry at this address with every setting at its default.
    pub fn at(listen: SocketAddr) -> Config {
        Config { listen, check: DEFAULT_CHECK, data_dir: None }
    }
}

/// A running registry.
#[derive(Debug)]
pub struct Registry {
    /// Where it listens.
    pub address: SocketAddr,
    /// Its state; changes whenever something changed, and every second.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What happens; bounded, overflow is counted in the snapshot.
    pub events: mpsc::Receiver<UiEvent>,
    handle: RegistryHandle,
}

/// What the tasks of a registry work with. Cheap to clone.
#[derive(Clone, Debug)]
struct RegistryHandle {
    /// To the server.
    server: mpsc::Sender<Input>,
    /// Where it listens.
    address: SocketAddr,
    /// Time between two checks of a peer.
    check: Duration,
    /// Turns for dialling peers on the list.
    listed: Arc<Semaphore>,
    /// Turns for dialling claimed addresses.
    claimed: Arc<Semaphore>,
    /// Cancelled when the registry stops.
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Registry {
    /// Binds, reads the list of earlier times, starts all tasks on the current
    /// tokio runtime.
    pub async fn start(config: Config) -> Result<Registry, StartError> {
        let started = Instant::now();
        let refused = |why| StartError::Listen { address: config.listen, why };
        let listener = TcpListener::bind(config.listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let data_dir = config.data_dir.clone().or_else(|| default_data_dir(address));
        let data_dir = data_dir.ok_or_else(|| {
            StartError::Store("no home directory is known; choose one with --data-dir".into())
        })?;
        let saved = {
            let dir = data_dir.clone();
            let loaded = tokio::task::spawn_blocking(move || saved::load(&dir)).await;
            loaded.map_err(|error| StartError::Store(error.to_string()))??
        };
        let (server, inputs) = mpsc::channel(QUEUE);
        let handle = RegistryHandle {
            server,
            address,
            check: config.check,
            listed: Arc::new(Semaphore::new(DIALS_OF_LISTED)),
            claimed: Arc::new(Semaphore::new(DIALS_OF_CLAIMED)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let told = handle.server.downgrade();
        descriptors::tell(move |text| {
            // A server that is too busy has more to tell.
            let event = Input::Event(Level::Warn, text.to_owned());
            told.upgrade().map(|server| drop(server.try_send(event))).is_some()
        });
        let mut list = List::default();
        list.restore(saved.peers);
        let (event_tx, events) = mpsc::channel(EVENT_QUEUE);
        let place = Place { directory: data_dir, _lock: saved.lock };
        let server = Server::new(handle.clone(), list, place, started, event_tx);
        let (snapshot_tx, snapshots) = watch::channel(Arc::new(server.snapshot()));
        handle.tasks.spawn(server.run(inputs, snapshot_tx, saved.note));
        handle.tasks.spawn(listener::run(handle.clone(), listener));
        Ok(Registry { address, snapshots, events, handle })
    }

    /// Saves the list, closes every connection and ends all tasks.
    pub async fn shutdown(self) {
        let _ = self.handle.server.send(Input::Close).await;
        self.handle.server.closed().await;
        self.kill().await;
    }

    /// Ends all tasks at once, as a crash would.
    pub async fn kill(self) {
        self.handle.stop.cancel();
        self.handle.tasks.close();
        self.handle.tasks.wait().await;
    }
}

/// Where a registry at this address keeps its list by default:
/// beside the directories of nodes. `None` where the platform knows no home.
pub fn default_data_dir(address: SocketAddr) -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "chordal")?;
    Some(dirs.data_dir().join(directory_name(address)))
}

/// The name of the directory of a registry at this address: one for each, so
/// that several never trip over each other.
pub fn directory_name(address: SocketAddr) -> String {
    // Some systems know no file with a colon.
    let ip = address.ip().to_string().replace(':', ".");
    format!("seed-{ip}-{}", address.port())
}
