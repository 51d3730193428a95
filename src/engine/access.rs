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
use super::hub::request_limit;
use super::serve;
use super::shared::{Input, Shared};

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
        let answer = match self {
            Access::Inside(shared) => {
                let (done, response) = tokio::sync::oneshot::channel();
                let limit = request_limit(&request);
                let input = Input::Request { address, request, done };
                if shared.hub.send(input).await.is_err() {
                    return Err("the node is stopping".to_owned());
                }
                match timeout(limit, response).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(_)) => return Err(format!("{address} cannot be reached")),
                    Err(_) => return Err(format!("{address} does not answer")),
                }
            }
            Access::Outside(_) => ask(address, request).await?,
        };
        match answer {
            Response::Failed { why } => Err(why),
            answer => Ok(answer),
        }
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

/// One question over a connection of its own.
async fn ask(address: SocketAddr, request: Request) -> Result<Response, String> {
    let (stream, _) = connection::dial(address, &client_hello(Purpose::Client))
        .await
        .map_err(|error| format!("{address} cannot be reached: {error}"))?;
    let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
    let mut frames = Framed::new(stream, codec);
    let limit = request_limit(&request);
    let exchange = async {
        let frame = Frame::Request { id: 0, request };
        let bytes = codec::encode(&frame).map_err(|error| error.to_string())?;
        frames.send(Bytes::from(bytes)).await.map_err(|error| error.to_string())?;
        while let Some(bytes) = frames.next().await {
            let bytes = bytes.map_err(|error| error.to_string())?;
            let frame = codec::decode(&bytes).map_err(|error| error.to_string())?;
            if let Frame::Response { id: 0, response } = frame {
                return Ok(response);
            }
        }
        Err("it closed the connection".to_owned())
    };
    match timeout(limit, exchange).await {
        Ok(result) => result.map_err(|why: String| format!("{address} does not answer: {why}")),
        Err(_) => Err(format!("{address} does not answer")),
    }
}

/// A response that does not fit its request.
pub(super) fn unexpected(response: Response) -> String {
    match response {
        Response::Failed { why } => why,
        _ => "the node answered something else than what was asked; do both run the same version?"
            .to_owned(),
    }
}
