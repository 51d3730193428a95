//! The core from outside the hub: commands, looks at its state, and what goes over this
//! node's control connections.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use chordal_core::chord::{self, Command, Found, Reply};
use chordal_core::error::{CommandError, Fault};
use chordal_core::id::Id;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Version;
use chordal_core::time::Time;
use chordal_core::wire::query::{Hop, LookupTrace};
use chordal_core::wire::{MeshMessage, Request, Response};

use super::{Input, ask};
use crate::net::requests::request_limit;

/// The way to the hub, which owns the core. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Core {
    hub: mpsc::Sender<Input>,
    /// The zero of the core's time.
    started: Instant,
}

impl Core {
    pub(crate) fn new(hub: mpsc::Sender<Input>, started: Instant) -> Core {
        Core { hub, started }
    }

    /// Hands a command to the core and waits for its reply, which is not
    /// [`Reply::Failed`].
    ///
    /// # Errors
    /// The core's failure, or the node is stopping.
    pub(crate) async fn command(&self, command: Command) -> Result<Reply, CommandError> {
        self.shown_command(command, None).await
    }

    async fn shown_command(
        &self,
        command: Command,
        shown: Option<String>,
    ) -> Result<Reply, CommandError> {
        let handed = |done| Input::Core { command, done, copies: None, shown };
        match ask(&self.hub, handed).await? {
            Reply::Failed(failure) => Err(failure.into()),
            reply => Ok(reply),
        }
    }

    /// Hands a command to the core; its reply comes once the core has one. `copies`
    /// is told of copies as they are made.
    pub(crate) async fn begin(
        &self,
        command: Command,
        copies: Option<watch::Sender<(u8, u8)>>,
    ) -> Option<oneshot::Receiver<Reply>> {
        let (done, reply) = oneshot::channel();
        self.hub.send(Input::Core { command, done, copies, shown: None }).await.ok()?;
        Some(reply)
    }

    /// Finds the owner of a key. With `shown`, the dashboard draws the hops.
    pub(crate) async fn lookup(
        &self,
        key: Id,
        shown: Option<String>,
    ) -> Result<LookupTrace, CommandError> {
        match self.shown_command(Command::Lookup { key }, shown).await? {
            Reply::Found(found) => Ok(trace(found)),
            other => Err(unexpected(other)),
        }
    }

    /// One question over this node's own control connection.
    pub(crate) async fn request(
        &self,
        address: SocketAddr,
        request: Request,
    ) -> Result<Response, CommandError> {
        let (done, response) = oneshot::channel();
        let limit = request_limit(&request);
        let input = Input::Request { address, request, done };
        if self.hub.send(input).await.is_err() {
            return Err(CommandError::Stopping);
        }
        match timeout(limit, response).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) => Err(CommandError::peer(address, Fault::Closed)),
            Err(_) => Err(CommandError::peer(address, Fault::NoAnswer)),
        }
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
        let looking = |done: oneshot::Sender<T>| {
            Input::Look(Box::new(move |host: &chord::Host| drop(done.send(look(host)))))
        };
        ask(&self.hub, looking).await.ok()
    }

    /// A message for another node's mesh. Never waits: a hub that is too busy
    /// drops it, and every message of the mesh may be lost.
    pub(crate) fn tell_mesh(&self, to: Peer, message: MeshMessage) {
        let _ = self.hub.try_send(Input::Mesh { from: None, to, message });
    }

    /// The same from one position of this host, and not dropped.
    pub(crate) async fn search_says(&self, from: Peer, to: Peer, message: MeshMessage) {
        let _ = self.hub.send(Input::Mesh { from: Some(from), to, message }).await;
    }

    /// A peer lives and is said to be a member. Dropped by a hub that is too busy: it comes
    /// up again.
    pub(crate) fn heard(&self, peer: Peer) {
        let _ = self.hub.try_send(Input::Heard(vec![peer]));
    }

    /// The bytes of a record held here were put aside: they are damaged.
    pub(crate) async fn lost(&self, name: FileName, version: Version) {
        let _ = self.hub.send(Input::Lost { name, version }).await;
    }

    /// Data connections to this host are made again.
    pub(crate) async fn bytes_pass(&self, host: SocketAddr) {
        let _ = self.hub.send(Input::BytesPass(host)).await;
    }

    /// The leave goes on, or it is `over`.
    pub(crate) async fn leave(&self, over: bool) {
        let _ = self.hub.send(Input::Leave { over }).await;
    }
}

/// A reply that does not fit its command.
pub(crate) fn unexpected(reply: Reply) -> CommandError {
    CommandError::Bug(format!("an unexpected reply: {reply:?}"))
}

/// A lookup's result as it travels.
pub(crate) fn trace(found: Found) -> LookupTrace {
    LookupTrace {
        key: found.key,
        owner: found.owner,
        successors: found.successors,
        hops: found.hops.into_iter().map(Hop::from).collect(),
    }
}
