//! How files are reached: from inside, by a member through its own core, or
//! from outside, by a client through some member. `put`, `get` and the rest of
//! [`super::files`] are written once, over this.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use chordal_core::chord::{Command, Reply};
use chordal_core::id::{Id, Space};
use chordal_core::peer::Peer;
use chordal_core::wire::handshake::{Hello, Params, Program, Purpose};
use chordal_core::wire::query::LookupTrace;
use chordal_core::wire::{Request, Response};
use chordal_view::text::clean;

use crate::data::fetch::Fetcher;
use crate::data::plane::DataPlane;
use crate::net::client_connections::Lines;
use crate::net::connection;
use crate::net::greeting;
use crate::net::greeting::Greeted;
use crate::node::hub::request_limit;
use crate::node::serve;
use crate::node::shared::{Input, Shared};
use crate::overlay::reputation::Reputations;

/// A way into a ring.
#[derive(Clone, Debug)]
pub(crate) enum Access {
    /// From a member.
    Inside(Shared),
    /// From somebody who has not joined.
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
    pub(crate) lines: Lines,
    /// Other members that it has heard of: the ring is still there when `via` ends.
    pub(crate) others: Arc<Mutex<Vec<Peer>>>,
    /// What it has seen of its sources.
    pub(crate) reputations: Reputations,
}

impl Outside {
    /// Has `via` look a key up, or, when it does not answer any more, a member of
    /// which an earlier lookup told.
    async fn lookup(&self, key: Id) -> Result<LookupTrace, String> {
        let known = self.others.lock().clone();
        let others = known.iter().map(Peer::address).filter(|address| *address != self.via);
        let mut first = None;
        for address in std::iter::once(self.via).chain(others) {
            match self.lines.ask(address, Request::Lookup { key }).await {
                Ok(Response::Lookup(trace)) => {
                    let named = std::iter::once(trace.owner).chain(trace.successors.clone());
                    let named = named.take(MEMBERS_KEPT).collect();
                    *self.others.lock() = named;
                    return Ok(trace);
                }
                Ok(other) => first.get_or_insert(unexpected(other)),
                Err(why) => first.get_or_insert(why),
            };
        }
        Err(first.unwrap_or_default())
    }
}

/// Members that a client keeps in mind beside the one that it acts through.
const MEMBERS_KEPT: usize = 3;

impl Access {
    /// The ring's parameters.
    pub(crate) fn params(&self) -> Params {
        match self {
            Access::Inside(shared) => shared.me().params,
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
            Access::Inside(shared) => shared.me().me,
            Access::Outside(outside) => outside.member,
        }
    }

    /// This side's end of data connections.
    pub(crate) fn plane(&self) -> DataPlane {
        match self {
            Access::Inside(shared) => shared.data_plane(),
            Access::Outside(outside) => outside.plane.clone(),
        }
    }

    /// What this side fetches something of that name with.
    pub(crate) fn fetcher(&self, name: &str) -> Fetcher {
        match self {
            Access::Inside(shared) => shared.fetcher(name),
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
    ) -> Result<LookupTrace, String> {
        match self {
            Access::Inside(shared) => {
                match shared.core_shown(Command::Lookup { key }, shown).await {
                    Some(Reply::Found(found)) => Ok(serve::trace(found)),
                    Some(Reply::Failed(failure)) => Err(failure.to_string()),
                    _ => Err("the node is stopping".to_owned()),
                }
            }
            Access::Outside(outside) => outside.lookup(key).await,
        }
    }

    /// Asks a node something.
    pub(crate) async fn request(
        &self,
        address: SocketAddr,
        request: Request,
    ) -> Result<Response, String> {
        settled(match self {
            Access::Inside(shared) => inside(shared, address, request).await?,
            Access::Outside(outside) => outside.lines.ask(address, request).await?,
        })
    }

    /// Asks a node two things at once.
    pub(crate) async fn request_both(
        &self,
        address: SocketAddr,
        requests: [Request; 2],
    ) -> [Result<Response, String>; 2] {
        let answers = match self {
            Access::Inside(shared) => {
                let [one, other] = requests;
                let both = (inside(shared, address, one), inside(shared, address, other));
                <[_; 2]>::from(tokio::join!(both.0, both.1))
            }
            Access::Outside(outside) => {
                let [one, other] = requests;
                let lines = &outside.lines;
                let both = (lines.ask(address, one), lines.ask(address, other));
                <[_; 2]>::from(tokio::join!(both.0, both.1))
            }
        };
        answers.map(|answer| answer.and_then(settled))
    }
}

/// A node that says why it cannot answer has not answered.
fn settled(response: Response) -> Result<Response, String> {
    match response {
        Response::Failed { why } => Err(why),
        answer => Ok(answer),
    }
}

/// One question over this node's own control connection.
async fn inside(
    shared: &Shared,
    address: SocketAddr,
    request: Request,
) -> Result<Response, String> {
    let (done, response) = tokio::sync::oneshot::channel();
    let limit = request_limit(&request);
    let input = Input::Request { address, request, done };
    if shared.hub.send(input).await.is_err() {
        return Err("the node is stopping".to_owned());
    }
    match timeout(limit, response).await {
        Ok(Ok(response)) => Ok(response),
        Ok(Err(_)) => Err(format!("{address} cannot be reached")),
        Err(_) => Err(format!("{address} does not answer")),
    }
}

/// The greeting of a client: it takes the ring as it is.
pub(crate) fn client_hello(purpose: Purpose) -> Hello {
    Hello {
        purpose,
        program: Program::Client,
        params: None,
        address: None,
        index: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        refusal: None,
    }
}

/// What a node says of itself to anybody: who it is and which ring it is on. `Err` is a
/// sentence that names the address: who is there instead.
pub(crate) async fn introduce(address: SocketAddr) -> Result<(Peer, Params), String> {
    let until = Instant::now() + connection::CONNECT_LIMIT + connection::HELLO_LIMIT;
    let hello = match greeting::greet(address, &client_hello(Purpose::Client), until).await {
        Ok(Greeted::Hello(hello)) => hello,
        Ok(Greeted::Stranger(what)) => {
            return Err(format!("{address} is not chordal: it {what}; is the address right?"));
        }
        Ok(Greeted::Nobody(absence)) => {
            return Err(format!("{address} is inactive: {absence}; is a node running there?"));
        }
        Err(error) => return Err(format!("{address} cannot be reached: {error}")),
    };
    if let Some(why) = hello.refusal {
        return Err(format!("{address} refuses: {}", clean(&why)));
    }
    match (hello.peer(), hello.params) {
        (Some(peer), Some(params)) if params.is_sane() => Ok((peer, params)),
        _ => Err(format!("{address} is not chordal: it does not say who it is")),
    }
}

/// One question to any node, on whatever ring, over a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: Request) -> Result<Response, String> {
    Lines::default().ask(address, request).await
}

/// A response that does not fit its request.
pub(crate) fn unexpected(response: Response) -> String {
    match response {
        Response::Failed { why } => why,
        _ => "the node answered something else than what was asked; do both run the same version?"
            .to_owned(),
    }
}
