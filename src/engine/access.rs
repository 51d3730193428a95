//! How files are reached: from inside, by a member through its own core, or
//! from outside, by a client through some member. `put`, `get` and the rest of
//! [`super::files`] are written once, over this.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use crate::chord::{Command, Reply};
use crate::id::{Id, Space};
use crate::limits::MAX_FRAME_BYTES;
use crate::peer::Peer;
use crate::wire::handshake::{Hello, Params, Program, Purpose};
use crate::wire::query::LookupTrace;
use crate::wire::{Frame, Request, Response, codec};

use super::connection::{self, ConnectError};
use super::data::DataPlane;
use super::fetch::Fetcher;
use super::hub::request_limit;
use super::serve;
use super::shared::{Input, Shared};
use super::trust::Reputations;

/// A way into a ring.
#[derive(Clone, Debug)]
pub(super) enum Access {
    /// From a member.
    Inside(Shared),
    /// From somebody who has not joined.
    Outside(Outside),
}

/// What a client knows of the ring it acts on.
#[derive(Clone, Debug)]
pub(super) struct Outside {
    /// The member that it acts through.
    pub(super) via: SocketAddr,
    /// What that member said of itself.
    pub(super) member: Peer,
    /// The ring.
    pub(super) params: Params,
    /// The client's end of data connections.
    pub(super) plane: DataPlane,
    /// What it has seen of its sources.
    pub(super) reputations: Reputations,
}

impl Access {
    /// The ring's parameters.
    pub(super) fn params(&self) -> Params {
        match self {
            Access::Inside(shared) => shared.me().params,
            Access::Outside(outside) => outside.params.clone(),
        }
    }

    /// The ring's space.
    pub(super) fn space(&self) -> Space {
        self.params().space
    }

    /// The member through which the ring is seen: oneself, or the one that a
    /// client acts through.
    pub(super) fn member(&self) -> Peer {
        match self {
            Access::Inside(shared) => shared.me().me,
            Access::Outside(outside) => outside.member,
        }
    }

    /// This side's end of data connections.
    pub(super) fn plane(&self) -> DataPlane {
        match self {
            Access::Inside(shared) => shared.data_plane(),
            Access::Outside(outside) => outside.plane.clone(),
        }
    }

    /// What this side fetches something of that name with.
    pub(super) fn fetcher(&self, name: &str) -> Fetcher {
        match self {
            Access::Inside(shared) => shared.fetcher(name),
            Access::Outside(outside) => Fetcher {
                name: name.to_owned(),
                plane: outside.plane.clone(),
                reputations: outside.reputations.clone(),
                events: None,
                from_anybody: false,
            },
        }
    }

    /// Finds the owner of a key. With `shown`, the dashboard draws the hops.
    pub(super) async fn lookup(
        &self,
        key: Id,
        shown: Option<String>,
    ) -> Result<LookupTrace, String> {
        match self {
            Access::Inside(shared) => {
                match shared.core_watched(Command::Lookup { key }, None, shown).await {
                    Some(Reply::Found(found)) => Ok(serve::trace(found)),
                    Some(Reply::Failed(failure)) => Err(failure.to_string()),
                    _ => Err("the node is stopping".to_owned()),
                }
            }
            Access::Outside(outside) => match ask(outside.via, Request::Lookup { key }).await? {
                Response::Lookup(trace) => Ok(trace),
                other => Err(unexpected(other)),
            },
        }
    }

    /// Asks a node something.
    pub(super) async fn request(
        &self,
        address: SocketAddr,
        request: Request,
    ) -> Result<Response, String> {
        settled(match self {
            Access::Inside(shared) => inside(shared, address, request).await?,
            Access::Outside(_) => ask(address, request).await?,
        })
    }

    /// Asks a node two things at once.
    pub(super) async fn request_both(
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
            Access::Outside(_) => {
                let mut answers = ask_all(address, requests.to_vec()).await.into_iter();
                let silent = || Err(format!("{address} does not answer"));
                [answers.next().unwrap_or_else(silent), answers.next().unwrap_or_else(silent)]
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
pub(super) fn client_hello(purpose: Purpose) -> Hello {
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

/// What a node says of itself to anybody: who it is and which ring it is on.
pub(super) async fn introduce(address: SocketAddr) -> Result<(Peer, Params), ConnectError> {
    let (_stream, hello) = connection::dial(address, &client_hello(Purpose::Client)).await?;
    match (hello.peer(), hello.params) {
        (Some(peer), Some(params)) if params.is_sane() => Ok((peer, params)),
        _ => Err(crate::wire::handshake::HandshakeError::NotChordal.into()),
    }
}

/// One question to any node, on whatever ring, over a connection of its own.
pub(super) async fn ask(address: SocketAddr, request: Request) -> Result<Response, String> {
    let answer = ask_all(address, vec![request]).await.pop();
    answer.unwrap_or_else(|| Err(format!("{address} does not answer")))
}

/// Several questions over one connection; an answer to each.
async fn ask_all(address: SocketAddr, requests: Vec<Request>) -> Vec<Result<Response, String>> {
    let mut answers: Vec<Result<Response, String>> =
        requests.iter().map(|_| Err(format!("{address} does not answer"))).collect();
    let limit = requests.iter().map(request_limit).max().unwrap_or_default();
    let exchange = async {
        let greeted = connection::dial(address, &client_hello(Purpose::Client)).await;
        let (stream, _) = greeted.map_err(|error| format!("cannot be reached: {error}"))?;
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
        let mut frames = Framed::new(stream, codec);
        let silent = |error: &dyn std::fmt::Display| format!("does not answer: {error}");
        for (id, request) in (0..).zip(requests) {
            let frame = Frame::Request { id, request };
            let bytes = codec::encode(&frame).map_err(|error| silent(&error))?;
            frames.send(Bytes::from(bytes)).await.map_err(|error| silent(&error))?;
        }
        let mut left = answers.len();
        while left > 0 {
            let Some(bytes) = frames.next().await else {
                return Err("does not answer: it closed the connection".to_owned());
            };
            let bytes = bytes.map_err(|error| silent(&error))?;
            let frame = codec::decode(&bytes).map_err(|error| silent(&error))?;
            if let Frame::Response { id, response } = frame
                && let Some(answer) = usize::try_from(id).ok().and_then(|id| answers.get_mut(id))
                && answer.is_err()
            {
                *answer = Ok(response);
                left -= 1;
            }
        }
        Ok(())
    };
    if let Ok(Err(why)) = timeout(limit, exchange).await {
        let told = |answer: &mut Result<Response, String>| {
            if answer.is_err() {
                *answer = Err(format!("{address} {why}"));
            }
        };
        answers.iter_mut().for_each(told);
    }
    answers
}

/// A response that does not fit its request.
pub(super) fn unexpected(response: Response) -> String {
    match response {
        Response::Failed { why } => why,
        _ => "the node answered something else than what was asked; do both run the same version?"
            .to_owned(),
    }
}
