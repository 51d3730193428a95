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
//!   on threads (`data`, `fetch`, `serve_data`), one for each request that has come as a whole.
//! - The dashboard reads the latest [`Snapshot`] from a watch channel and
//!   events from a bounded one (`publish`); the engine never waits for it.
//!
//! The engine decides nothing about the ring: whatever it needs decided is an
//! input of the core.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};

use chordal_core::chord;
use chordal_core::id::Space;
use chordal_core::wire::handshake::Params;
use chordal_descriptors as descriptors;
use chordal_store::{Disk, RealDisk, Store};
use chordal_view::{HandedOver, Level, Snapshot, UiEvent};

use client::leave::Departure;
use client::user::User;
use clock::Clock;
use data::Data;
use data::disk_health::DiskHealth;
use data::idle::Idle;
use data::limits::Limits;
use data::local_copy::Downloads;
use data::places::Places;
use data::reach::Reach;
use data::reputation::Reputations;
use data::signs::Signs;
use inputs::Input;
use inputs::core::Core;
use inputs::inbox::Inbox;
use inputs::notes::Notes;
use net::handle::{Identity, Net};
use node::hub::Hub;
use node::publish::Publisher;
use node::store_worker::StoreQueue;
use overlay::Overlay;
use overlay::remembered::PeersFile;
use sharing::Sharing;
use sharing::shares::handle::Shares;
use transfers::Transfers;
use upkeep::Upkeep;
use upkeep::suspect_blobs::SuspectBlobs;
use upkeep::uncommitted::Uncommitted;

pub use client::commands::Submission;
pub use data::limits::TransferLimits;
pub use net::start_error::StartError;

pub mod client;
mod clock;
mod data;
mod inputs;
pub mod lives;
mod net;
mod node;
mod overlay;
pub mod registry;
mod sharing;
mod transfers;
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
    /// Registries: each lists peers, and is told which do not answer.
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
    /// ConnectionSlots on the ring that it holds, at least one, at most
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

/// How often everything stored is read again by default.
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
    hub: mpsc::Sender<Input>,
    user: User,
    /// Ends when no task and no thread uses the data directory any more.
    closed: oneshot::Receiver<Infallible>,
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
        let (open, closed) = oneshot::channel::<Infallible>();
        store.drop_at_end(open);
        store.set_quota(config.quota);
        let params = data::params::remembered(&store, &recovery, &config.params);
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
        let (slots, inbox) = Inbox::new();
        let (snapshot_tx, snapshots) =
            watch::channel(Arc::new(node::publish::first_snapshot(&core)));
        let (event_tx, events) = mpsc::channel(EVENT_QUEUE);
        let (commands, submissions) = mpsc::channel(COMMAND_QUEUE);
        let (suspects, suspected) = SuspectBlobs::new();
        let (mesh, mesh_inputs) = mpsc::channel(overlay::mesh::input::QUEUE);
        let (search, search_inputs) = mpsc::channel(overlay::search::input::QUEUE);
        let (dead, dead_peers) = mpsc::channel(overlay::seeds::QUEUE);
        let (provide, provide_orders) = mpsc::channel(sharing::provide::QUEUE);
        let (shares, share_inputs) = Shares::new();
        let clock = Clock { ahead_s: config.clock_ahead_s };
        let hub = slots.rest.clone();
        let net = Net::new(started, identities);
        let (notes, core_handle) =
            (Notes::new(hub.clone(), clock), Core::new(hub.clone(), started));
        let transfers = Transfers::new(started, config.transfers.at_once);
        let upkeep = Upkeep {
            net: net.clone(),
            notes: notes.clone(),
            core: core_handle.clone(),
            store: store.clone(),
        };
        let sharing = Sharing {
            net: net.clone(),
            notes: notes.clone(),
            core: core_handle.clone(),
            transfers: transfers.clone(),
            store: store.clone(),
            dir: data_dir.clone(),
            shares: shares.clone(),
            reshare: config.reshare,
            provide,
        };
        let data = Data {
            net: net.clone(),
            notes: notes.clone(),
            core: core_handle,
            transfers,
            store,
            disk: DiskHealth::default(),
            shares,
            suspects,
            uncommitted: Uncommitted::default(),
            downloads: Downloads::default(),
            min_copies: config.min_copies,
            reputations: Reputations::default(),
            signs: Signs::default(),
            idle: Idle::default(),
            reach: Reach::default(),
            limits: Limits::new(&config.transfers),
        };
        let overlay = Overlay {
            data: data.clone(),
            sharing: sharing.clone(),
            peers: PeersFile::new(data_dir, net.tasks.clone()),
            mesh: mesh.clone(),
            search,
            dead,
        };
        let user = User {
            data: data.clone(),
            sharing: sharing.clone(),
            overlay: overlay.clone(),
            departure: Departure::new(config.leave_deadline),
            download_dir: config
                .download_dir
                .clone()
                .unwrap_or_else(|| PathBuf::from(format!("peer_{}_downloads", address.port()))),
        };
        let mut publisher = Publisher::new(snapshot_tx, event_tx, started, clock);
        let known_as = if bound == address { String::new() } else { format!(" as {address}") };
        publisher.event(Level::Info, format!("listening on {bound}{known_as}"));
        for note in &recovery.notes {
            tracing::warn!("{note}");
            publisher.event(Level::Warn, note.clone());
        }
        if net.me().params != config.params {
            let kept = net.me().params.describe();
            let text = format!("the files here are of ring {kept}: its parameters are kept");
            publisher.event(Level::Warn, text);
        }
        let told = hub.downgrade();
        descriptors::tell(move |text| {
            // A hub that is too busy has more to tell.
            let event = Input::Event(Level::Warn, text.to_owned());
            told.upgrade().map(|hub| drop(hub.try_send(event))).is_some()
        });
        let remembered = overlay.peers.load(me);
        publisher.unheard(&remembered);
        let start = chord::Input::Start { records: recovery.records, remembered };
        let (store_queue, jobs) = StoreQueue::new();
        let task = Hub::new(core, user.clone(), store_queue, slots, identity, inbox, publisher);
        let (serving, places) = (data.clone(), Places::new());
        let serve = move |stream, host, party| {
            data::serve_data::serve(serving.clone(), Arc::clone(&places), stream, host, party)
        };
        let tasks = &net.tasks;
        tasks.spawn(task.run(start));
        tasks.spawn(node::store_worker::run(data.clone(), hub.clone(), jobs));
        tasks.spawn(net::accept::run(net.clone(), hub.clone(), listener, serve));
        tasks.spawn(client::commands::run(user.clone(), submissions));
        tasks.spawn(data.disk.clone().watch(net.clone(), notes, data.store.clone()));
        tasks.spawn(data::reach::watch(
            data.reach.clone(),
            net.clone(),
            user.data.notes.clone(),
            user.data.core.clone(),
        ));
        tasks.spawn(data::relay::tidy(data));
        tasks.spawn(overlay::mesh::run(overlay.clone(), mesh_inputs));
        tasks.spawn(sharing::shares::follow::run(sharing.clone(), config.share, share_inputs));
        tasks.spawn(overlay::search::run(overlay.clone(), search_inputs));
        tasks.spawn(upkeep::suspect_blobs::run(upkeep.clone(), suspected));
        tasks.spawn(upkeep::scrub::run(upkeep, config.scrub));
        tasks.spawn(sharing::provide::run(sharing, mesh, provide_orders));
        let seeds = (config.seeds, config.registry_patience);
        tasks.spawn(overlay::seeds::run(overlay, seeds, dead_peers, snapshots.clone()));
        if !config.join.is_empty() {
            tasks.spawn(join_until_in(user.clone(), config.join));
        }
        Ok(Node { address, snapshots, events, commands, hub, user, closed })
    }

    /// Leaves the ring for the time being: hands over the files, as long as that
    /// makes progress or until [`Node::hurry`]. Comes back at once when the node
    /// has left.
    pub async fn leave(&self) -> HandedOver {
        // On no ring, or stopping: nothing was handed over.
        client::leave::leave(&self.user, true).await.unwrap_or_default()
    }

    /// Has a leave end now, whatever is handed over by then.
    pub fn hurry(&self) {
        self.user.departure.hurry();
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
        let net = &self.user.data.net;
        net.tasks.close();
        let _ = self.hub.send(Input::Close).await;
        // What is queued for peers leaves, then everything ends.
        net.connections.close();
        let _ = tokio::time::timeout(GOODBYE_LIMIT, net.connections.wait()).await;
        self.stop().await;
    }

    /// Ends all tasks at once and closes all sockets, as a crash would.
    pub async fn kill(self) {
        self.user.data.net.tasks.close();
        self.stop().await;
    }

    async fn stop(self) {
        let Node { user, closed, .. } = self;
        let net = user.data.net.clone();
        net.stop.cancel();
        user.data.transfers.stop_all();
        net.shutdown.cut_all();
        net.connections.close();
        net.tasks.wait().await;
        net.connections.wait().await;
        drop(user);
        // Questions that a task had others ask are ended with it, and not waited for; on a
        // busy machine the last of them may have its turn only now.
        if tokio::time::timeout(CLOSE_LIMIT, closed).await.is_err() {
            tracing::warn!("the data directory is still in use");
        }
    }
}

/// Events waiting for the dashboard.
const EVENT_QUEUE: usize = 1_024;

/// Commands waiting to be begun.
const COMMAND_QUEUE: usize = 64;

/// Time for the last frames to leave.
const GOODBYE_LIMIT: Duration = Duration::from_millis(500);

/// Time for the last users of the data directory to end: they have been told to.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Pauses between attempts to join at the start.
const JOIN_PAUSES: [Duration; 4] = [
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(15),
];

/// Joins through the first of the addresses that lets this node in; keeps
/// trying, ever more gently.
async fn join_until_in(user: User, addresses: Vec<SocketAddr>) {
    for attempt in 0.. {
        for address in &addresses {
            let joining = tokio::select! {
                () = user.data.net.stop.cancelled() => return,
                joining = overlay::join::join_through(&user.data.net, &user.data.core, *address) => joining,
            };
            let Err(why) = joining else { return };
            let members = user.data.core.look(|core| core.successors().len()).await;
            if members.is_some_and(|members| members > 0) {
                // A remembered peer let it in already.
                return;
            }
            if attempt == 0 {
                user.data.notes.event(Level::Warn, format!("not joined yet: {why}")).await;
            }
        }
        let pause = JOIN_PAUSES[attempt.min(JOIN_PAUSES.len() - 1)];
        tokio::select! {
            () = user.data.net.stop.cancelled() => return,
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

/// Where a node at this address keeps everything by default: a directory for each address
/// below the platform's data directory, so that several nodes of one user do not collide.
/// `None` where the platform knows no home.
pub fn default_data_dir(address: SocketAddr) -> Option<PathBuf> {
    let dirs = directories::ProjectDirs::from("", "", "chordal")?;
    // Some systems know no file with a colon.
    let ip = address.ip().to_string().replace(':', ".");
    Some(dirs.data_dir().join(format!("{ip}-{}", address.port())))
}

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

    #[tokio::test(flavor = "multi_thread")]
    async fn a_node_has_ended_when_its_directory_is_free() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let config = Config {
            data_dir: Some(dir.path().to_owned()),
            ..Config::at(([127, 0, 0, 1], 0).into())
        };
        let node = Node::start(config.clone()).await.expect("it starts");
        // Something that the node has begun and that has no turn on a busy machine.
        let late = node.user.data.clone();
        let mut ending = std::pin::pin!(node.kill());
        let ended = tokio::time::timeout(Duration::from_millis(300), &mut ending).await;
        assert!(ended.is_err(), "its store is in use");
        drop(late);
        ending.await;
        Node::start(config).await.expect("it starts again").kill().await;
    }
}
