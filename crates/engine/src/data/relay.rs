//! The chain of an upload: whoever receives a content that others are to hold
//! too sends each piece on while the next one arrives.
//!
//! The client sends every piece once, to the owner; the owner sends it to the
//! next holder, that one to the next ([`super::forward`]). Each says first
//! which pieces it has already, from an attempt that was broken off, and is
//! sent the others. When the last piece is through, all of them make the
//! content durable side by side, and word of it comes back along the chain.
//! Then the owner commits the record and offers it to the holders, as it would
//! have without a chain, and they find the content on their disks.
//!
//! What arrives goes to this node's disk; what is sent on is read from there,
//! where it lies in the system's memory still. So a next node that is slow,
//! dies or is replaced holds up nobody before it and costs no memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use chordal_core::chord::Membership;
use chordal_core::chord::placement::placement;
use chordal_core::error::{CommandError, PathFault, Reason};
use chordal_core::id::Space;
use chordal_core::limits::MAX_REPLICAS;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Obstacle};
use chordal_core::transfer::manifest::{Manifest, PieceIndex};
use chordal_core::transfer::pieces::PieceSet;
use chordal_core::wire::data::DataResponse;
use chordal_descriptors as descriptors;
use chordal_descriptors::is_shortage;
use chordal_store::{Incoming, IncomingError, Store, StoreError, open_regular};
use chordal_view::TransferKind;

use super::Data;
use super::eager;
use super::fetch;
use super::forward;
use super::forward::Forward;
use super::full_owner;
use super::plane::{DataConnection, DataError};
use crate::transfers::Transfer;
use crate::upkeep::uncommitted;

/// How often it is looked for what unfinished uploads left too long ago: it may
/// stay this much longer.
const TIDY_EVERY: Duration = Duration::from_secs(10 * 60);

/// Whoever waits for a node that verifies what it has, makes a content durable
/// or waits for those behind it hears at least this often that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// What somebody hears who sends a content to a node that is in no ring.
pub(crate) fn not_member() -> CommandError {
    Reason::NotMember.because("this node is not a member now")
}

/// Who is to hold copies of a name of this node; in the place of those to which no
/// connection was made a moment ago, those behind them.
pub(crate) async fn holders_of(data: &Data, name: &FileName) -> Vec<Peer> {
    let (name, reach) = (name.clone(), data.reach.clone());
    let looked = data.core.look(move |core| {
        let params = core.params();
        let node = core.responsible_node(name.key(params.space));
        let reached = |peer: &&Peer| !reach.doubts(peer.address());
        let reached: Vec<Peer> = node.successors().iter().filter(reached).copied().collect();
        chain(params.space, &name, node.peer(), &reached, params.replicas)
    });
    looked.await.unwrap_or_default()
}

/// Who comes behind the owner in the chain of a name that `owner` owns.
pub(crate) fn chain(
    space: Space,
    name: &FileName,
    owner: Peer,
    successors: &[Peer],
    replicas: u8,
) -> Vec<Peer> {
    let nodes: Vec<Peer> = std::iter::once(owner).chain(successors.iter().copied()).collect();
    let wanted = placement(space, name.key(space), &nodes, replicas);
    wanted.into_iter().filter(|peer| *peer != owner).collect()
}

/// A content on its way through this node: what is here of it, wherever it
/// comes from.
#[derive(Debug)]
pub(crate) enum Content {
    /// It is here already, under another name or from an earlier attempt.
    Here {
        /// Its pieces.
        manifest: Manifest,
        /// Where it is.
        store: Store,
    },
    /// It comes in.
    Coming(Incoming),
}

impl Content {
    /// Makes room for the content, or goes on with what there is of it.
    /// `step` hears of what is verified of that.
    pub(crate) fn open(
        store: &Store,
        manifest: &Manifest,
        step: impl FnMut(u64) -> ControlFlow<()>,
    ) -> Result<Content, StoreError> {
        Ok(if store.holds(&manifest.root()) {
            Content::Here { manifest: manifest.clone(), store: store.clone() }
        } else {
            Content::Coming(store.resume(manifest.clone(), step)?)
        })
    }

    /// The pieces that are here.
    pub(crate) fn here(&self) -> PieceSet {
        match self {
            Content::Here { manifest, .. } => PieceSet::all(manifest.count()),
            Content::Coming(incoming) => incoming.here(),
        }
    }

    /// Waits until a piece is here, at most so long; whether it is.
    pub(crate) fn wait_for(&self, index: PieceIndex, at_most: Duration) -> bool {
        match self {
            Content::Here { .. } => true,
            Content::Coming(incoming) => incoming.wait_for(index, at_most),
        }
    }

    /// Opens it for reading what is here.
    pub(crate) fn reader(&self) -> Result<File, StoreError> {
        match self {
            Content::Here { manifest, store } => {
                let root = manifest.root();
                store.open_blob(&root)?.ok_or(StoreError::NoBlob(root))
            }
            Content::Coming(incoming) => incoming.reader(),
        }
    }

    /// Verifies a piece and writes it.
    fn write(&self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        match self {
            Content::Here { .. } => Ok(()),
            Content::Coming(incoming) => incoming.write(index, bytes),
        }
    }

    /// Makes it durable under its hash.
    fn finish(&self) -> Result<(), StoreError> {
        match self {
            Content::Here { .. } => Ok(()),
            Content::Coming(incoming) => incoming.finish(),
        }
    }
}

/// What [`chordal_core::wire::data::DataRequest::Relay`] asks for.
#[derive(Debug)]
pub(crate) struct Part {
    /// Under this name.
    pub(crate) name: FileName,
    /// The content.
    pub(crate) root: ContentHash,
    /// Its bytes.
    pub(crate) size: u64,
    /// Who comes next.
    pub(crate) rest: Vec<Peer>,
}

/// Leaves of the rest of a chain those that come behind this node: a chain runs
/// along the ring, and nobody is sent bytes because a stranger says so. `None`:
/// this node is in no ring.
pub(crate) async fn along_the_ring(data: &Data, mut rest: Vec<Peer>) -> Option<Vec<Peer>> {
    let looked = data
        .core
        .look(|core| (core.membership() == Membership::Member).then(|| core.neighbourhood()));
    let successors = looked.await??;
    rest.retain(|peer| successors.contains(peer));
    rest.truncate(usize::from(MAX_REPLICAS));
    Some(rest)
}

/// Takes in a content from the node before in a chain, and answers. Blocks.
pub(crate) async fn take_part(
    data: &Data,
    connection: &mut DataConnection,
    part: Part,
) -> Result<(), DataError> {
    let Part { name, root, size, rest } = part;
    let refuse = |connection: &DataConnection, why| connection.send(&DataResponse::Failed { why });
    if let Err(error) = fetch::check_size(size) {
        return refuse(connection, error);
    }
    let Some(chain) = along_the_ring(data, rest).await else {
        return refuse(connection, not_member());
    };
    connection.send(&DataResponse::Proceed)?;
    let manifest = receive_manifest(connection, root, size)?;
    let kind = TransferKind::Copy;
    let transfer = connection.opens(&data.transfers, kind, name.as_str(), size).copying(root);
    let (name, manifest) = (&name, &manifest);
    let spares = forward::spares(data, name).await;
    let passage = Passage { data, name, manifest, chain, spares, instead: None };
    let (answer, end) = match passage.receive(connection, &transfer) {
        Ok(behind) => {
            let holders = std::iter::once(data.net.me().me).chain(behind).collect();
            data.uncommitted.add(&data.store, root, Instant::now());
            (DataResponse::Relayed { holders }, Ok(()))
        }
        Err(PassError::Data(error)) => {
            fetch::broke(transfer, &error);
            return Err(error);
        }
        Err(PassError::Failed(why)) => (DataResponse::Failed { why: why.clone() }, Err(why)),
        Err(PassError::Unable(_, why)) => {
            let why = CommandError::Disk(why);
            (DataResponse::Failed { why: why.clone() }, Err(why))
        }
    };
    transfer.end(end);
    connection.send(&answer)
}

/// Receives the manifest of an upload. That of a single piece is known from
/// its hash.
pub(crate) fn receive_manifest(
    connection: &mut DataConnection,
    root: ContentHash,
    size: u64,
) -> Result<Manifest, DataError> {
    match eager::manifest(root, size) {
        Some(manifest) => Ok(manifest),
        None => fetch::receive_manifest(connection, root, size),
    }
}

/// Sends the manifest to whoever said to proceed with an upload; the pieces
/// that are there already.
pub(crate) fn hand_manifest(
    connection: &mut DataConnection,
    manifest: &Manifest,
) -> Result<Handed, DataError> {
    if manifest.count() <= 1 {
        return Ok(Handed::Has(PieceSet::none(manifest.count())));
    }
    connection.send_raw(&manifest.to_bytes())?;
    loop {
        match connection.receive()? {
            // It looks at what is there.
            DataResponse::Progress { .. } => {}
            DataResponse::Missing { have } => {
                return Ok(Handed::Has(PieceSet::from_bytes(manifest.count(), &have)));
            }
            answer => return Ok(Handed::Answered(answer)),
        }
    }
}

/// What came of a manifest.
#[derive(Debug)]
pub(crate) enum Handed {
    /// These pieces are there.
    Has(PieceSet),
    /// That is the last answer.
    Answered(DataResponse),
}

/// Why a content did not come through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PassError {
    /// The connection is of no use any more.
    #[error(transparent)]
    Data(#[from] DataError),
    /// It failed here; the other side can be told.
    #[error(transparent)]
    Failed(CommandError),
    /// It cannot be stored here; the other side can be told.
    #[error("{1}")]
    Unable(Obstacle, String),
}

/// A content that comes through this node: kept here, and sent along the chain.
pub(crate) struct Passage<'a> {
    /// The node.
    pub(crate) data: &'a Data,
    /// What the content is called.
    pub(crate) name: &'a FileName,
    /// Its pieces.
    pub(crate) manifest: &'a Manifest,
    /// Who is to have it behind this node, the nearest first.
    pub(crate) chain: Vec<Peer>,
    /// Who may have it in the place of those that fail ([`forward::spares`]).
    pub(crate) spares: Vec<Peer>,
    /// Of the owner of the name: who may take it, and how often, if this node cannot store it
    /// ([`full_owner::instead`]).
    pub(crate) instead: Option<(Vec<Peer>, u8)>,
}

impl<'a> Passage<'a> {
    /// Through the owner of its name.
    pub(crate) async fn of_owner(
        data: &'a Data,
        name: &'a FileName,
        manifest: &'a Manifest,
        chain: Vec<Peer>,
    ) -> Passage<'a> {
        let spares = forward::spares(data, name).await;
        let instead = Some(full_owner::instead(data).await);
        Passage { data, name, manifest, chain, spares, instead }
    }

    /// Receives the pieces that are not here; who behind this node has the
    /// content durably, once it is durable here.
    pub(crate) fn receive(
        &self,
        connection: &DataConnection,
        transfer: &Transfer,
    ) -> Result<Vec<Peer>, PassError> {
        let beat = || connection.send(&DataResponse::Progress { copies: 0, wanted: 0 });
        let content = self.open(transfer, beat)?;
        let here = content.here();
        if self.manifest.count() > 1 {
            connection.send(&DataResponse::Missing { have: here.to_bytes() })?;
        } else if matches!(content, Content::Here { .. }) {
            transfer.restart(self.manifest.size());
        }
        self.through(&content, beat, || {
            // Of a single piece the bytes come in any case.
            let runs = match self.manifest.count() {
                1 => vec![PieceIndex(0)..PieceIndex(1)],
                _ => here.lacking_runs(),
            };
            let mut failed = None;
            for run in runs {
                let received = fetch::receive_pieces(
                    connection,
                    self.manifest,
                    run,
                    transfer,
                    |index, bytes| {
                        transfer.advance(bytes.len() as u64);
                        if failed.is_none()
                            && let Err(error) = content.write(index, bytes)
                        {
                            let error = self.failed(error);
                            failed = Some(error.to_string());
                            // Whoever sends looks for this from time to time, and
                            // sends no more; until then the bytes are let go.
                            connection.send(&self.refusal(error))?;
                        }
                        Ok::<(), DataError>(())
                    },
                );
                if let Some(why) = failed {
                    return Err(PassError::Data(DataError::Peer(why)));
                }
                received?;
            }
            Ok(())
        })
    }

    /// Reads the pieces that are not here from a local file; who behind this
    /// node has the content durably, once it is durable here.
    pub(crate) fn copy(&self, path: &Path, transfer: &Transfer) -> Result<Vec<Peer>, PassError> {
        let beat = || if transfer.is_cancelled() { Err(DataError::Cancelled) } else { Ok(()) };
        let content = self.open(transfer, beat)?;
        let here = content.here();
        self.through(&content, beat, || {
            let unreadable = |error: io::Error| match error.kind() {
                io::ErrorKind::UnexpectedEof => PassError::Data(DataError::Changed),
                _ => {
                    let fault = PathFault::Unreadable(error.to_string());
                    PassError::Failed(CommandError::local(path, fault))
                }
            };
            let mut file = open_again(path)?;
            let mut piece = Vec::new();
            for run in here.lacking_runs() {
                let offset = self.manifest.offset_of(run.start);
                file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
                for index in (run.start.0..run.end.0).map(PieceIndex) {
                    transfer.wait_while_held().map_err(DataError::from)?;
                    piece.resize(self.manifest.len_of(index) as usize, 0);
                    file.read_exact(&mut piece).map_err(unreadable)?;
                    content.write(index, &piece).map_err(|error| match error {
                        IncomingError::WrongPiece(_) => PassError::Data(DataError::Changed),
                        error @ IncomingError::Disk(_) => self.failed(error),
                    })?;
                    transfer.advance(piece.len() as u64);
                }
            }
            Ok(())
        })
    }

    /// Opens the content here. `beat` is called while that takes long.
    fn open(
        &self,
        transfer: &Transfer,
        beat: impl Fn() -> Result<(), DataError>,
    ) -> Result<Content, PassError> {
        if let Some(why) = self.data.disk.why() {
            let me = self.data.net.me().me.address();
            let why = format!("{me} cannot store {}: {why}", self.name);
            return Err(PassError::Unable(Obstacle::SickDisk, why));
        }
        let mut last = Instant::now();
        let mut cut = None;
        let content = Content::open(&self.data.store, self.manifest, |_| {
            if last.elapsed() > HEARTBEAT {
                last = Instant::now();
                cut = beat().err();
            }
            if cut.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if let Some(error) = cut {
            return Err(error.into());
        }
        let content = content.map_err(|error| self.failed(error.into()))?;
        let there = content.here();
        let here = there.iter().map(|index| self.manifest.len_of(index)).sum();
        transfer.goes_on(self.manifest.size(), here);
        if !there.is_empty() {
            let (name, count) = (self.name, self.manifest.count());
            tracing::info!("{name} goes on with {} of its {count} pieces", there.len());
        }
        Ok(content)
    }

    /// Sends the content along the chain while `take_in` brings what is missing
    /// of it here; then makes it durable and waits for those behind. `beat` is
    /// called from time to time meanwhile.
    fn through(
        &self,
        content: &Content,
        beat: impl Fn() -> Result<(), DataError>,
        take_in: impl FnOnce() -> Result<(), PassError>,
    ) -> Result<Vec<Peer>, PassError> {
        let way = Transfer::within(self.name.as_str());
        let forward = (!self.chain.is_empty()).then(|| Forward::new(self, content, &way));
        thread::scope(|scope| {
            let (done, ended) = channel::<()>();
            let holders = forward.map(|forward| {
                let done = done.clone();
                scope.spawn(move || {
                    let holders = forward.run();
                    drop(done);
                    holders
                })
            });
            let taken = take_in().and_then(|()| {
                let seal = move || {
                    let sealed = content.finish();
                    drop(done);
                    sealed
                };
                // A small one is durable sooner than a thread begins.
                let sealing = match self.manifest.count() {
                    0 | 1 => Ok(seal()),
                    _ => Err(scope.spawn(seal)),
                };
                // Until both have let go of their end.
                while ended.recv_timeout(HEARTBEAT) != Err(RecvTimeoutError::Disconnected) {
                    beat()?;
                }
                match sealing.or_else(thread::ScopedJoinHandle::join) {
                    Ok(sealed) => sealed.map_err(|error| self.failed(error.into())),
                    Err(_) => Err(PassError::Failed(CommandError::Bug(
                        "the node failed at its end".to_owned(),
                    ))),
                }
            });
            if taken.is_err() {
                // Those behind keep what they have for the next attempt.
                way.give_up();
            }
            let behind = holders.map(|thread| thread.join().unwrap_or_default());
            taken.map(|()| behind.unwrap_or_default())
        })
    }

    fn failed(&self, error: IncomingError) -> PassError {
        let (obstacle, why) = unwritten(self.data, self.name, error);
        match obstacle {
            Some(obstacle) => PassError::Unable(obstacle, why.to_string()),
            None => PassError::Failed(why),
        }
    }

    /// What the sending side is told of it.
    fn refusal(&self, error: PassError) -> DataResponse {
        let why = match error {
            PassError::Unable(obstacle, why) => match &self.instead {
                Some(instead) => return full_owner::unable(instead.clone(), obstacle, why),
                None => CommandError::Disk(why),
            },
            PassError::Failed(why) => why,
            PassError::Data(error) => error.into(),
        };
        DataResponse::Failed { why }
    }
}

/// What keeps this node from storing a content, if it is that, and a sentence about
/// it.
pub(crate) type Unwritten = (Option<Obstacle>, CommandError);

/// What somebody is told whose content could not be written here.
pub(crate) fn unwritten(data: &Data, name: &FileName, error: IncomingError) -> Unwritten {
    let me = data.net.me().me.address();
    match error {
        IncomingError::WrongPiece(index) => {
            let why = format!(
                "piece {index} arrived damaged: the file changed while it was sent, or the \
                 network is faulty; put it again"
            );
            (None, Reason::TryAgain.because(why))
        }
        IncomingError::Disk(error) => {
            let obstacle = data.disk.obstacle(&error);
            let cannot = match obstacle {
                Some(Obstacle::NoRoom) => "has no room for",
                _ => "could not store",
            };
            (obstacle, CommandError::Disk(format!("{me} {cannot} {name}: {error}")))
        }
    }
}

/// Opens a file that was read before, for whom a connection waits.
pub(crate) fn open_again(path: &Path) -> Result<File, DataError> {
    descriptors::holding(|| open_regular(path)).map_err(|error| match error {
        error if is_shortage(&error) => error.into(),
        _ => DataError::Changed,
    })
}

/// Removes what unfinished uploads left, once it is too old, and contents that
/// no record has come to name.
pub(crate) async fn tidy(data: Data) {
    let mut expired = Instant::now();
    loop {
        tokio::select! {
            () = data.net.stop.cancelled() => return,
            () = tokio::time::sleep(uncommitted::LOOK_EVERY) => {}
        }
        let now = Instant::now();
        let expires = now.duration_since(expired) >= TIDY_EVERY;
        if expires {
            expired = now;
        }
        let (store, uncommitted) = (data.store.clone(), data.uncommitted.clone());
        let work = move || {
            uncommitted.expire(&store, now);
            if expires {
                store.expire();
            }
        };
        let _ = data.net.tasks.spawn_blocking(work).await;
    }
}
