//! The engine: the only async I/O of the program.
//!
//! One task, the hub, owns the core ([`chordal_core::chord::Node`]) and carries out
//! its effects in order; everything else hands it inputs:
//!
//! ```text
//!   listener ─ accept ──► hub ◄── commands (dashboard, --via)
//!                │         │ ▲
//!    data threads┘         ▼ │ frames, alarms, ends of store operations
//!                  links (one control connection a peer)
//! ```
//!
//! - Control frames travel over one multiplexed connection per pair of peers
//!   (`links`, `connection`); silence beyond a peer's adaptive limit ([`chordal_core::chord::rtt`])
//!   and broken connections become the core's "no answer".
//! - Bulk bytes travel over connections of their own, moved by blocking calls
//!   on threads (`data`, `fetch`, `serve_data`).
//! - The dashboard reads the latest [`Snapshot`] from a watch channel and
//!   events from a bounded one (`publish`); the engine never waits for it.
//!
//! The engine decides nothing about the ring: whatever it needs decided is an
//! input of the core.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use chordal_core::chord;
use chordal_core::id::Space;
use chordal_core::wire::handshake::Params;
use chordal_descriptors as descriptors;
use chordal_store::{Disk, RealDisk, Recovery, Store};
use chordal_view::outcome::HandedOver;
use chordal_view::{Command, CommandFailed, Level, Outcome, Snapshot, UiEvent};

use data::idle::Idle;
use data::limits::Limits;
use data::local_copy::Downloads;
use data::reach::Reach;
use data::transfers::Transfers;
use net::shutdown_handles::Cuts;
use net::verify::Verification;
use node::clock::Clock;
use node::demand::Demand;
use node::disk_health::DiskHealth;
use node::hub::Hub;
use node::inbox::{Inbox, Slots};
use node::leave::Departure;
use node::publish::Publisher;
use node::shared::{Identity, Input, Shared};
use node::signs::Signs;
use node::store_worker::Operations;
use node::ui_rows::Board;
use overlay::reputation::Reputations;
use sharing::shares::Shares;
use upkeep::suspect_blobs::Doubts;
use upkeep::uncommitted::Unclaimed;

pub mod client;
mod data;
pub mod lives;
mod net;
mod node;
mod overlay;
pub mod registry;
mod sharing;
mod upkeep;

/// How a node is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where others reach it; `listen` when not given. Never unspecified.
    pub advertise: Option<SocketAddr>,
    /// Members to join through, tried in turn, until one answers.
    pub join: Vec<SocketAddr>,
    /// Registries: each tells who there is and is told who is dead.
    pub seeds: Vec<SocketAddr>,
    /// Files and directories to share from the start, besides those shared
    /// earlier.
    pub share: Vec<PathBuf>,
    /// Whether finished downloads are offered to others.
    pub reshare: bool,
    /// The ring's name, size and replica count.
    pub params: Params,
    /// Entries in the successor list.
    pub successors: usize,
    /// Places on the ring that it holds, at least one, at most
    /// [`chordal_core::limits::MAX_VNODES`]: the more, the more evenly keys fall on hosts.
    pub vnodes: u16,
    /// Time between stabilizations.
    pub stabilize: Duration,
    /// Where catalogue, blobs, peers and logs live. `None`: the default for
    /// the address ([`default_data_dir`]).
    pub data_dir: Option<PathBuf>,
    /// Where downloads go. `None`: `peer_<port>_downloads` in the working
    /// directory.
    pub download_dir: Option<PathBuf>,
    /// How much its transfers may take.
    pub transfers: TransferLimits,
    /// Bytes that it stores for the ring at the most; `None`: as the disk holds.
    pub quota: Option<u64>,
    /// Copies without which it acknowledges no put, as the owner or of its own user.
    pub min_copies: u8,
    /// How long handing over its files may take when it leaves; `None`: as long as
    /// it makes progress.
    pub leave_deadline: Option<Duration>,
    /// What it stores is read again at most so often, to find damage; `None`:
    /// never.
    pub scrub: Option<Duration>,
    /// The disk of its data directory; tests give it one that fails.
    pub disk: Arc<dyn Disk>,
    /// A registry that takes connections and never says anything is given up after
    /// this.
    pub registry_patience: Duration,
    /// Seconds that its clock is ahead of the machine's: for trials of clocks that
    /// are wrong.
    pub clock_ahead_s: i64,
}

/// How much transfers of bytes may take. Control traffic is not limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferLimits {
    /// Bytes a second sent, over all transfers together; `None`: no limit.
    pub up: Option<u64>,
    /// Likewise received.
    pub down: Option<u64>,
    /// Transfers of the node's own user (`put`, `get`, files of directories) that
    /// run at a time; others wait for their turn.
    pub at_once: usize,
    /// Sources of one download that work at a time.
    pub sources: usize,
}

impl Default for TransferLimits {
    fn default() -> TransferLimits {
        TransferLimits { up: None, down: None, at_once: 4, sources: 8 }
    }
}

/// How often everything stored is read again unless somebody says otherwise.
pub const SCRUB: Duration = Duration::from_secs(24 * 60 * 60);

/// A registry that is only slow, or stopped for a moment, says something by then.
pub const REGISTRY_PATIENCE: Duration = Duration::from_secs(60);

impl Config {
    /// A node at this address with every setting at its default.
    pub fn at(listen: SocketAddr) -> Config {
        Config {
            listen,
            advertise: None,
            join: Vec::new(),
            seeds: Vec::new(),
            share: Vec::new(),
            reshare: true,
            params: Params { ring: "chordal".to_owned(), space: Space::default(), replicas: 3 },
            successors: 16,
            vnodes: 1,
            stabilize: Duration::from_secs(1),
            data_dir: None,
            download_dir: None,
            transfers: TransferLimits::default(),
            quota: None,
            min_copies: 1,
            leave_deadline: None,
            scrub: Some(SCRUB),
            disk: Arc::new(RealDisk),
            registry_patience: REGISTRY_PATIENCE,
            clock_ahead_s: 0,
        }
    }
}

/// A command and where its end goes. Its progress shows in the snapshots.
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
    shared: Shared,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {}", listen_advice(*address, .why))]
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

/// Why an address cannot be listened on, and what helps.
fn listen_advice(address: SocketAddr, why: &std::io::Error) -> String {
    match why.kind() {
        ErrorKind::AddrInUse => {
            "another program listens there; choose another address, or stop that program".to_owned()
        }
        ErrorKind::AddrNotAvailable => {
            let any: IpAddr = match address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            let any = SocketAddr::new(any, address.port());
            format!(
                "no network card of this machine has that address; listen on one that it has, or \
                 on all with {any} (a node then tells others its address with --advertise {})",
                address.ip()
            )
        }
        ErrorKind::PermissionDenied if address.port() < 1024 => {
            "ports below 1024 are for the system's programs; choose a higher one".to_owned()
        }
        _ => format!("{why}; choose another address"),
    }
}

impl Node {
    /// Binds, opens the store, starts all tasks on the current tokio runtime,
    /// which must be a multi-threaded one.
    pub async fn start(config: Config) -> Result<Node, StartError> {
        let started = Instant::now();
        let listener = TcpListener::bind(config.listen)
            .await
            .map_err(|why| StartError::Listen { address: config.listen, why })?;
        let bound = listener
            .local_addr()
            .map_err(|why| StartError::Listen { address: config.listen, why })?;
        let address = advertised(&config, bound)?;
        let data_dir =
            config.data_dir.clone().or_else(|| default_data_dir(address)).ok_or_else(|| {
                StartError::Store("no home directory is known; choose one with --data-dir".into())
            })?;
        let (store, recovery) = {
            let (dir, disk) = (data_dir.clone(), config.disk.clone());
            let opened = tokio::task::spawn_blocking(move || Store::open_on(&dir, disk)).await;
            opened
                .map_err(|error| StartError::Store(error.to_string()))?
                .map_err(|error| StartError::Store(error.to_string()))?
        };
        store.set_quota(config.quota);
        let params = remembered_params(&store, &recovery, &config.params);
        let core = chord::Host::new(
            &chord::Config {
                params: params.clone(),
                successors: config.successors,
                stabilize: config.stabilize,
            },
            address,
            config.vnodes,
        );
        let me = core.peer();
        let (identity, identities) = watch::channel(Identity { me, params });
        let (Slots { vital, rest: hub }, inbox) = Inbox::new();
        let (snapshot_tx, snapshots) =
            watch::channel(Arc::new(node::publish::first_snapshot(&core)));
        let (event_tx, events) = mpsc::channel(EVENT_QUEUE);
        let (commands, submissions) = mpsc::channel(COMMAND_QUEUE);
        let (doubts, doubted) = Doubts::new();
        let (mesh, mesh_inputs) = mpsc::channel(overlay::mesh::QUEUE);
        let (search, search_inputs) = mpsc::channel(overlay::search::QUEUE);
        let (dead, dead_peers) = mpsc::channel(overlay::seeds::QUEUE);
        let (provide, provide_orders) = mpsc::channel(sharing::provide::QUEUE);
        let (keeping, jobs) = mpsc::unbounded_channel();
        let (shares, share_inputs) = Shares::new();
        let clock = Clock { ahead_s: config.clock_ahead_s };
        let shared = Shared {
            started,
            clock,
            hub,
            vital,
            mesh,
            search,
            dead,
            provide,
            board: Board::default(),
            shares,
            reputations: Reputations::default(),
            reshare: config.reshare,
            min_copies: config.min_copies,
            identity: identities,
            verification: Verification::default(),
            store,
            disk: DiskHealth::default(),
            counters: Arc::default(),
            signs: Signs::default(),
            transfers: Transfers::new(started, config.transfers.at_once),
            cuts: Cuts::default(),
            idle: Idle::default(),
            reach: Reach::default(),
            limits: Limits::new(&config.transfers),
            demand: Demand::default(),
            download_dir: config
                .download_dir
                .clone()
                .unwrap_or_else(|| PathBuf::from(format!("peer_{}_downloads", address.port()))),
            data_dir: data_dir.clone(),
            remembering: Arc::default(),
            doubts,
            unclaimed: Unclaimed::default(),
            downloads: Downloads::default(),
            operations: Operations::default(),
            keeping,
            departure: Departure::new(config.leave_deadline),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            connections: TaskTracker::new(),
        };
        let mut publisher = Publisher::new(snapshot_tx, event_tx, started, clock);
        let known_as = if bound == address { String::new() } else { format!(" as {address}") };
        publisher.event(Level::Info, format!("listening on {bound}{known_as}"));
        for note in &recovery.notes {
            tracing::warn!("{note}");
            publisher.event(Level::Warn, note.clone());
        }
        if shared.me().params != config.params {
            let kept = shared.me().params.describe();
            let text = format!("the files here are of ring {kept}: its parameters are kept");
            publisher.event(Level::Warn, text);
        }
        let told = shared.hub.downgrade();
        descriptors::tell(move |text| {
            // A hub that is too busy has more to tell.
            let event = Input::Event(Level::Warn, text.to_owned());
            told.upgrade().map(|hub| drop(hub.try_send(event))).is_some()
        });
        let remembered = node::remembered::load(&data_dir, me);
        publisher.unheard(&remembered);
        let start = chord::Input::Start { records: recovery.records, remembered };
        let hub = Hub::new(core, shared.clone(), identity, inbox, started, publisher);
        shared.tasks.spawn(hub.run(start));
        shared.tasks.spawn(node::store_worker::run(shared.clone(), jobs));
        shared.tasks.spawn(net::accept::run(shared.clone(), listener));
        shared.tasks.spawn(client::commands::run(shared.clone(), submissions));
        shared.tasks.spawn(node::disk_health::watch(shared.clone()));
        shared.tasks.spawn(data::reach::watch(shared.clone()));
        shared.tasks.spawn(data::relay::tidy(shared.clone()));
        shared.tasks.spawn(overlay::mesh::run(shared.clone(), mesh_inputs));
        shared.tasks.spawn(sharing::shares::run(shared.clone(), config.share, share_inputs));
        shared.tasks.spawn(overlay::search::run(shared.clone(), search_inputs));
        shared.tasks.spawn(upkeep::suspect_blobs::run(shared.clone(), doubted));
        shared.tasks.spawn(upkeep::scrub::run(shared.clone(), config.scrub));
        shared.tasks.spawn(sharing::provide::run(shared.clone(), provide_orders));
        let seeds = (config.seeds, config.registry_patience);
        shared.tasks.spawn(overlay::seeds::run(
            shared.clone(),
            seeds,
            dead_peers,
            snapshots.clone(),
        ));
        if !config.join.is_empty() {
            shared.tasks.spawn(join_until_in(shared.clone(), config.join));
        }
        Ok(Node { address, snapshots, events, commands, shared })
    }

    /// Leaves the ring for the time being: hands over the files, as long as that
    /// makes progress or until [`Node::hurry`]. Comes back at once when the node
    /// has left.
    pub async fn leave(&self) -> HandedOver {
        // On no ring, or stopping: nothing was handed over.
        node::leave::leave(&self.shared, true).await.unwrap_or_default()
    }

    /// Has a leave end now, whatever is handed over by then.
    pub fn hurry(&self) {
        self.shared.departure.hurry();
    }

    /// Leaves the ring (handing over files, until `deadline`), says goodbye to
    /// every peer and ends all tasks.
    pub async fn shutdown(self, deadline: Duration) -> HandedOver {
        let hurried = async {
            tokio::time::sleep(deadline).await;
            self.hurry();
            std::future::pending().await
        };
        let end = tokio::select! {
            end = self.leave() => end,
            end = hurried => end,
        };
        self.close().await;
        end
    }

    /// Says goodbye to every peer and ends all tasks: the end of a node that has
    /// left.
    pub async fn close(self) {
        let shared = self.shared;
        shared.tasks.close();
        let _ = shared.hub.send(Input::Close).await;
        // What is queued for peers leaves, then everything ends.
        shared.connections.close();
        let _ = tokio::time::timeout(GOODBYE_LIMIT, shared.connections.wait()).await;
        stop(&shared).await;
    }

    /// Ends all tasks at once and closes all sockets, as a crash would.
    pub async fn kill(self) {
        self.shared.tasks.close();
        stop(&self.shared).await;
    }
}

/// Events waiting for the dashboard.
const EVENT_QUEUE: usize = 1_024;

/// Commands waiting to be begun.
const COMMAND_QUEUE: usize = 64;

/// Time for the last frames to leave.
const GOODBYE_LIMIT: Duration = Duration::from_millis(500);

/// Pauses between attempts to join at the start.
const JOIN_PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
];

async fn stop(shared: &Shared) {
    shared.stop.cancel();
    shared.transfers.stop_all();
    shared.cuts.cut_all();
    shared.connections.close();
    shared.tasks.wait().await;
    shared.connections.wait().await;
}

/// Joins through the first of the addresses that lets this node in; keeps
/// trying, ever more gently.
async fn join_until_in(shared: Shared, addresses: Vec<SocketAddr>) {
    for attempt in 0.. {
        for address in &addresses {
            let joining = tokio::select! {
                () = shared.stop.cancelled() => return,
                joining = client::commands::join_through(&shared, *address) => joining,
            };
            let Err(why) = joining else { return };
            let members = shared.look(|core| core.successors().len()).await;
            if members.is_some_and(|members| members > 0) {
                // Somebody remembered let it in already.
                return;
            }
            if attempt == 0 {
                shared.event(Level::Warn, format!("not joined yet: {why}")).await;
            }
        }
        let pause = JOIN_PAUSES[attempt.min(JOIN_PAUSES.len() - 1)];
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn advertised(config: &Config, bound: SocketAddr) -> Result<SocketAddr, StartError> {
    let address = match config.advertise {
        Some(address) if address.port() == 0 => SocketAddr::new(address.ip(), bound.port()),
        Some(address) => address,
        None => bound,
    };
    if address.ip().is_unspecified() {
        return Err(StartError::Unadvertisable(address));
    }
    Ok(address)
}

/// Where a node at this address keeps everything when nobody says otherwise:
/// a directory for each address below the platform's data directory, so that several nodes of one user never trip over each other. `None`
/// where the platform knows no home.
pub fn default_data_dir(address: SocketAddr) -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "chordal")?;
    // Some systems know no file with a colon.
    let ip = address.ip().to_string().replace(':', ".");
    Some(dirs.data_dir().join(format!("{ip}-{}", address.port())))
}

/// The ring's parameters: those of the files on disk, if there are any;
/// otherwise those asked for. Kept for the next start.
fn remembered_params(store: &Store, recovery: &Recovery, asked: &Params) -> Params {
    let saved = store.meta(PARAMS_KEY).ok().flatten();
    let saved = saved.and_then(|bytes| serde_json::from_slice::<Params>(&bytes).ok());
    let params = match saved {
        Some(saved) if !recovery.records.is_empty() && saved.is_sane() => saved,
        _ => asked.clone(),
    };
    remember_params(store, &params);
    params
}

/// Writes the ring's parameters beside the files that depend on them.
fn remember_params(store: &Store, params: &Params) {
    let written = serde_json::to_vec(params)
        .map_err(|error| error.to_string())
        .and_then(|bytes| store.set_meta(PARAMS_KEY, &bytes).map_err(|error| error.to_string()));
    if let Err(why) = written {
        tracing::warn!(%why, "the ring's parameters could not be saved");
    }
}

const PARAMS_KEY: &str = "params";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_directory_of_its_own() {
        for (address, name) in [("127.0.0.1:2000", "127.0.0.1-2000"), ("[::1]:7", "..1-7")] {
            let dir = default_data_dir(address.parse().expect("an address"));
            assert!(dir.is_none_or(|dir| dir.ends_with(name)), "{name}");
        }
    }
}
