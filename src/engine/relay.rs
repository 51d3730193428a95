//! The chain of an upload: whoever receives a content that others are to hold
//! too sends each piece on while the next one arrives.
//!
//! The client sends every piece once, to the owner; the owner sends it to the
//! next holder, that one to the next. When the last piece is through, all of
//! them make it durable side by side, and word of it comes back along the
//! chain. Then the owner commits the record and offers it to the holders, as
//! it would have without a chain, and they find the content on their disks.
//!
//! So a chain only saves time: one that breaks is given up, and the holders
//! that lack the content fetch it after the commit (`keep`).

use std::time::Duration;

use tokio::runtime::Handle;

use crate::chord::Standing;
use crate::chord::placement::placement;
use crate::id::Space;
use crate::limits::MAX_REPLICAS;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::ContentHash;
use crate::store::{Incoming, IncomingError, Store, StoreError};
use crate::transfer::manifest::{Manifest, PieceIndex};
use crate::view::TransferKind;
use crate::wire::data::{DataRequest, DataResponse};

use super::data::{DataConnection, DataError, DataPlane};
use super::fetch::{self, PieceSink};
use super::shared::Shared;
use super::transfers::Transfer;

/// A content that came over a chain and that no record names by then is given
/// up: its owner died before it could commit, or somebody filled disks.
const UNCLAIMED: Duration = Duration::from_secs(120);

/// A next node that takes nothing for this long is left out: a paused process
/// must not hold up a whole upload, whose client gives up itself after
/// [`super::data::STALL_LIMIT`].
pub(super) const PUSH_LIMIT: Duration = Duration::from_secs(6);

/// How long each node behind may take to make the content durable, after which
/// it gets its copy later. Whoever is nearer to the client waits longer, so that
/// one silent node at the end does not cost the word of those before it.
pub(super) const DURABLE_LIMIT: Duration = Duration::from_secs(8);

/// All of them together: less than the client waits.
pub(super) const CHAIN_LIMIT: Duration = Duration::from_secs(24);

/// What somebody hears who sends a content to a node that is in no ring.
pub(super) const NO_MEMBER: &str = "this node is not a member now";

/// Who comes behind the owner in the chain of a name that `owner` owns.
pub(super) fn chain(
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

/// The next part of a chain, seen from the node before it. Once something
/// fails it takes whatever it is given and passes nothing on.
#[derive(Debug)]
pub(super) struct Relay {
    /// `None`: there is nobody behind, or the chain broke.
    next: Option<DataConnection>,
}

impl Relay {
    /// Opens the way to the first of `chain` that takes the content; those
    /// before it get their copy later.
    pub(super) fn open(
        plane: &DataPlane,
        chain: &[Peer],
        name: &FileName,
        manifest: &Manifest,
    ) -> Relay {
        for (at, peer) in chain.iter().enumerate() {
            match opened(plane, *peer, &chain[at + 1..], name, manifest) {
                Ok(connection) => return Relay { next: Some(connection) },
                Err(error) => tracing::debug!(%peer, %error, "not part of the chain"),
            }
        }
        Relay { next: None }
    }

    /// Whether there is somebody behind.
    pub(super) const fn leads_on(&self) -> bool {
        self.next.is_some()
    }

    /// Passes nothing on any more; those behind hear the connection end.
    fn give_up(&mut self) {
        self.next = None;
    }

    /// Sends a piece on.
    fn pass(&mut self, bytes: &[u8]) {
        if let Some(next) = &mut self.next
            && let Err(error) = next.send_raw(bytes)
        {
            tracing::debug!(%error, "the chain of an upload broke");
            self.next = None;
        }
    }

    /// Waits until those behind have made the content durable; who they are.
    fn finish(self) -> Vec<Peer> {
        let Some(mut next) = self.next else { return Vec::new() };
        match next.receive() {
            Ok(DataResponse::Relayed { mut holders }) => {
                holders.truncate(usize::from(MAX_REPLICAS));
                holders
            }
            Ok(other) => {
                tracing::debug!(?other, "the chain of an upload ended without its content");
                Vec::new()
            }
            Err(error) => {
                tracing::debug!(%error, "the chain of an upload broke at its end");
                Vec::new()
            }
        }
    }
}

fn opened(
    plane: &DataPlane,
    peer: Peer,
    rest: &[Peer],
    name: &FileName,
    manifest: &Manifest,
) -> Result<DataConnection, DataError> {
    let mut connection = plane.dial(peer.address())?;
    connection.wait_at_most(PUSH_LIMIT)?;
    connection.push_at_most(PUSH_LIMIT)?;
    let (root, size) = (manifest.root(), manifest.size());
    let (name, rest) = (name.clone(), rest.to_vec());
    let behind = 1 + rest.len().min(usize::from(MAX_REPLICAS)) as u32;
    let request = DataRequest::Relay { name, root, size, rest, follows: false };
    connection.send(&request)?;
    match connection.receive()? {
        DataResponse::Proceed => {}
        DataResponse::Failed { why } => return Err(DataError::Peer(why)),
        other => return Err(DataError::Peer(format!("it answered out of turn: {other:?}"))),
    }
    connection.send_raw(&manifest.to_bytes())?;
    connection.wait_at_most(CHAIN_LIMIT.min(DURABLE_LIMIT * behind))?;
    Ok(connection)
}

/// A content on its way through this node: onto its own disk, when it is not
/// there yet, and on to the next.
#[derive(Debug)]
pub(super) struct Passage {
    /// `Ok(None)`: the content is here already.
    incoming: Result<Option<Incoming>, StoreError>,
    relay: Relay,
}

impl Passage {
    /// Makes room for the content. When there is none, [`Passage::finish`]
    /// says so.
    pub(super) fn begin(store: &Store, manifest: &Manifest, mut relay: Relay) -> Passage {
        // What is here under another name already is not written again.
        let incoming = if store.holds(&manifest.root()) {
            Ok(None)
        } else {
            store.begin(manifest.clone()).map(Some)
        };
        if incoming.is_err() {
            relay.give_up();
        }
        Passage { incoming, relay }
    }

    /// Takes a piece: verifies and writes it here, and sends it on.
    ///
    /// # Errors
    /// [`IncomingError::WrongPiece`]; a failure of the disk is kept for
    /// [`Passage::finish`], because whoever is still sending could not hear it.
    pub(super) fn piece(&mut self, index: PieceIndex, bytes: &[u8]) -> Result<(), IncomingError> {
        if let Ok(Some(open)) = &mut self.incoming {
            match open.put(index, bytes) {
                Ok(()) => {}
                Err(IncomingError::Disk(error)) => {
                    // Dropped, it frees the disk at once.
                    self.incoming = Err(error);
                    self.relay.give_up();
                }
                Err(wrong) => {
                    self.relay.give_up();
                    return Err(wrong);
                }
            }
        }
        self.relay.pass(bytes);
        Ok(())
    }

    /// Makes the content durable here and waits until those behind have done
    /// the same; who they are.
    pub(super) fn finish(self) -> Result<Vec<Peer>, StoreError> {
        if let Some(complete) = self.incoming? {
            complete.finish()?;
        }
        Ok(self.relay.finish())
    }
}

/// Those of the rest of a chain that come behind this node: a chain runs along
/// the ring, and nobody is sent bytes because a stranger says so.
pub(super) fn along_the_ring(rest: &[Peer], successors: &[Peer]) -> Vec<Peer> {
    let behind = rest.iter().filter(|peer| successors.contains(peer));
    behind.take(usize::from(MAX_REPLICAS)).copied().collect()
}

/// Takes in a content from the node before in a chain, and answers. Blocks.
pub(super) fn take_part(
    shared: &Shared,
    runtime: &Handle,
    connection: &mut DataConnection,
    part: Part,
) -> Result<(), DataError> {
    let Part { name, root, size, rest } = part;
    let refuse = |connection: &mut DataConnection, why: String| {
        connection.send(&DataResponse::Failed { why })
    };
    if let Err(error) = fetch::check_size(size) {
        return refuse(connection, error.to_string());
    }
    let looked = runtime
        .block_on(shared.look(|core| {
            (core.standing() == Standing::Member).then(|| core.successors().to_vec())
        }));
    let Some(successors) = looked.flatten() else {
        return refuse(connection, NO_MEMBER.to_owned());
    };
    let rest = along_the_ring(&rest, &successors);
    connection.send(&DataResponse::Proceed)?;
    let manifest = fetch::receive_manifest(connection, root, size)?;
    let transfer = shared.transfers.open(TransferKind::Copy, name.as_str(), size);
    connection.serves(&transfer);
    if let Some(remote) = connection.remote() {
        transfer.with_peer(remote);
    }
    let passed = pass_through(shared, connection, &name, &manifest, &rest, &transfer);
    let (answer, end) = match passed {
        Ok(behind) => {
            let holders = std::iter::once(shared.me().me).chain(behind).collect();
            give_up_later(shared, root);
            (DataResponse::Relayed { holders }, Ok(()))
        }
        Err(PassError::Failed(why)) => (DataResponse::Failed { why: why.clone() }, Err(why)),
        Err(PassError::Data(error)) => {
            transfer.end(Err(error.to_string()));
            return Err(error);
        }
    };
    transfer.end(end);
    connection.send(&answer)
}

/// What [`DataRequest::Relay`] asks for.
#[derive(Debug)]
pub(super) struct Part {
    /// Under this name.
    pub(super) name: FileName,
    /// The content.
    pub(super) root: ContentHash,
    /// Its bytes.
    pub(super) size: u64,
    /// Who comes next.
    pub(super) rest: Vec<Peer>,
}

/// Why a content did not come through.
#[derive(Debug)]
pub(super) enum PassError {
    /// The connection is of no use any more.
    Data(DataError),
    /// It failed here; the other side can be told.
    Failed(String),
}

impl From<DataError> for PassError {
    fn from(error: DataError) -> PassError {
        PassError::Data(error)
    }
}

impl From<StoreError> for PassError {
    fn from(error: StoreError) -> PassError {
        PassError::Failed(error.to_string())
    }
}

/// Receives all pieces of a content, keeps them here and sends them along the
/// chain; who behind this node has them durably then. After a failure here
/// the rest is read and let go: whoever is still sending could not hear the
/// reason.
pub(super) fn pass_through(
    shared: &Shared,
    connection: &mut DataConnection,
    name: &FileName,
    manifest: &Manifest,
    chain: &[Peer],
    transfer: &Transfer,
) -> Result<Vec<Peer>, PassError> {
    let relay = Relay::open(&shared.data_plane(), chain, name, manifest);
    let mut passage = Passage::begin(&shared.store, manifest, relay);
    let mut wrong = None;
    let all = PieceIndex(0)..PieceIndex(manifest.count());
    fetch::receive_pieces(connection, manifest, all, transfer, |index, bytes| {
        if wrong.is_none()
            && let Err(IncomingError::WrongPiece(index)) = passage.piece(index, bytes)
        {
            wrong = Some(index);
        }
        transfer.advance(bytes.len() as u64);
        Ok::<(), DataError>(())
    })?;
    if let Some(index) = wrong {
        return Err(PassError::Failed(format!(
            "piece {} arrived damaged: the file changed while it was sent, or the network is faulty; put it again",
            index.0
        )));
    }
    Ok(passage.finish()?)
}

/// Gives a content up after a while, unless a record names it by then.
pub(super) fn give_up_later(shared: &Shared, root: ContentHash) {
    let Some(claim) = shared.store.claim(&root) else { return };
    let shared = shared.clone();
    let tasks = shared.tasks.clone();
    tasks.spawn(async move {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(UNCLAIMED) => {}
        }
        let store = shared.store.clone();
        shared.tasks.spawn_blocking(move || store.give_up(&root, claim));
    });
}
