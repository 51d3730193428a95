//! Requests to other nodes: how long an answer may take, and answers that do not fit.

use std::net::SocketAddr;
use std::time::Duration;

use chordal_core::error::{CommandError, Fault};
use chordal_core::wire::{Request, Response};

/// The longest that the answer to a request may take: what a node answers from
/// its own state comes at once; a lookup, a removal or a ping behind it may
/// have to wait for other peers' time limits.
pub(crate) const fn request_limit(request: &Request) -> Duration {
    match request {
        Request::Lookup { .. }
        | Request::Remove { .. }
        | Request::Ping { .. }
        | Request::Commit { .. } => Duration::from_secs(15),
        Request::FoundSince { .. } => Duration::from_secs(8),
        Request::Search { .. }
        | Request::Shares { .. }
        | Request::Find { .. }
        | Request::Providers { .. }
        | Request::Provide { .. }
        | Request::Peers
        | Request::Transfers
        | Request::Absent
        | Request::Leave
        | Request::LeaveState
        | Request::Copied
        | Request::Trashed { .. }
        | Request::Steer { .. }
        | Request::Say { .. }
        | Request::Info
        | Request::Position { .. }
        | Request::Fingers
        | Request::Files { .. }
        | Request::Locate { .. }
        | Request::Members => Duration::from_secs(4),
    }
}

/// A node that says why it cannot answer has not answered.
pub(crate) fn settled(response: Response) -> Result<Response, CommandError> {
    match response {
        Response::Failed { why } => Err(why),
        answer => Ok(answer),
    }
}

/// A response that does not fit its request.
pub(crate) fn unexpected(from: SocketAddr, response: Response) -> CommandError {
    match response {
        Response::Failed { why } => why,
        _ => CommandError::peer(from, Fault::Unfit),
    }
}
