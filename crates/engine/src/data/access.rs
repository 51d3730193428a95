//! How files are reached: from inside, by a member through its own core, or
//! from outside, by a client through some member. `put`, `get` and the rest of
//! [`crate::client::files`] are written once, over this.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use chordal_core::error::CommandError;
use chordal_core::id::{Id, Space};
use chordal_core::peer::Peer;
use chordal_core::wire::handshake::Params;
use chordal_core::wire::query::LookupTrace;
use chordal_core::wire::{Request, Response};

use super::Data;
use super::fetch::Fetcher;
use super::plane::DataPlane;
use super::reputation::Reputations;
use crate::net::client_connections::ClientConnections;
use crate::net::requests::{settled, unexpected};

/// A way into a ring.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// From a member.
    Inside(Data),
    /// From a client, which has not joined.
    Outside(Outside),
}

/// What a client knows of the ring it acts on.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    /// The member that it acts through.
    pub(crate) via: SocketAddr,
    /// What that member said of itself.
    pub(crate) member: Peer,
    /// The ring.
    pub(crate) params: Params,
    /// The client's end of data connections.
    pub(crate) plane: DataPlane,
    /// Its control connections.
    pub(crate) connections: ClientConnections,
    /// Other members that it has heard of: the ring is still there when `via` ends.
    pub(crate) others: Arc<Mutex<Vec<Peer>>>,
    /// What it has seen of its sources.
    pub(crate) reputations: Reputations,
}

impl Outside {
    /// Has `via` look a key up, or, when it does not answer any more, a member of
    /// which an earlier lookup told.
    async fn lookup(&self, key: Id) -> Result<LookupTrace, CommandError> {
        let known = self.others.lock().clone();
        let others = known.iter().map(Peer::address).filter(|address| *address != self.via);
        let mut first = None;
        for address in std::iter::once(self.via).chain(others) {
            match self.connections.ask(address, Request::Lookup { key }).await {
                Ok(Response::Lookup(trace)) => {
                    let named = std::iter::once(trace.owner).chain(trace.successors.clone());
                    let named = named.take(MEMBERS_KEPT).collect();
                    *self.others.lock() = named;
                    return Ok(trace);
                }
                Ok(other) => first.get_or_insert(unexpected(address, other)),
                Err(why) => first.get_or_insert(why),
            };
        }
        Err(first.unwrap_or(CommandError::Stopping))
    }
}

/// Members that a client keeps in mind beside the one that it acts through.
const MEMBERS_KEPT: usize = 3;

impl Access {
    /// The ring's parameters.
    pub(crate) fn params(&self) -> Params {
        match self {
            Access::Inside(data) => data.net.me().params,
            Access::Outside(outside) => outside.params.clone(),
        }
    }

    /// The ring's space.
    pub(crate) fn space(&self) -> Space {
        self.params().space
    }

    /// The member through which the ring is seen: oneself, or the one that a
    /// client acts through.
    pub(crate) fn member(&self) -> Peer {
        match self {
            Access::Inside(data) => data.net.me().me,
            Access::Outside(outside) => outside.member,
        }
    }

    /// This side's end of data connections.
    pub(crate) fn plane(&self) -> DataPlane {
        match self {
            Access::Inside(data) => data.plane(),
            Access::Outside(outside) => outside.plane.clone(),
        }
    }

    /// What this side fetches something of that name with.
    pub(crate) fn fetcher(&self, name: &str) -> Fetcher {
        match self {
            Access::Inside(data) => data.fetcher(name),
            Access::Outside(outside) => Fetcher {
                name: name.to_owned(),
                plane: DataPlane { patient: true, ..outside.plane.clone() },
                reputations: outside.reputations.clone(),
                events: None,
                from_anybody: false,
            },
        }
    }

    /// Finds the owner of a key. With `shown`, the dashboard draws the hops.
    pub(crate) async fn lookup(
        &self,
        key: Id,
        shown: Option<String>,
    ) -> Result<LookupTrace, CommandError> {
        match self {
            Access::Inside(data) => data.core.lookup(key, shown).await,
            Access::Outside(outside) => outside.lookup(key).await,
        }
    }

    /// Asks a node something.
    pub(crate) async fn request(
        &self,
        address: SocketAddr,
        request: Request,
    ) -> Result<Response, CommandError> {
        settled(match self {
            Access::Inside(data) => data.core.request(address, request).await?,
            Access::Outside(outside) => outside.connections.ask(address, request).await?,
        })
    }

    /// Asks a node two things at once.
    pub(crate) async fn request_both(
        &self,
        address: SocketAddr,
        requests: [Request; 2],
    ) -> [Result<Response, CommandError>; 2] {
        let answers = match self {
            Access::Inside(data) => {
                let [one, other] = requests;
                let both = (data.core.request(address, one), data.core.request(address, other));
                <[_; 2]>::from(tokio::join!(both.0, both.1))
            }
            Access::Outside(outside) => {
                let [one, other] = requests;
                let connections = &outside.connections;
                let both = (connections.ask(address, one), connections.ask(address, other));
                <[_; 2]>::from(tokio::join!(both.0, both.1))
            }
        };
        answers.map(|answer| answer.and_then(settled))
    }
}
