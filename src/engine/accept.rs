//! The listener: takes connections in, exchanges greetings, and hands them to
//! the hub (control) or to a thread of their own (data).

use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::view::Level;
use crate::wire::handshake::{HandshakeError, Hello, Purpose};

use super::connection::{self, ConnectError};
use super::serve_data::{self, MAX_DATA_CONNECTIONS};
use super::shared::{Identity, Input, Shared};

/// Connections that have not said hello yet: more than a burst of joins
/// needs, few enough that silent strangers cannot use up the process's files.
const MAX_GREETING: usize = 128;

/// Accepts until the node stops.
pub(super) async fn run(shared: Shared, listener: TcpListener) {
    let greeting = Arc::new(Semaphore::new(MAX_GREETING));
    let data = Arc::new(Semaphore::new(MAX_DATA_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file handles, most likely: others may be closed soon.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::task::yield_now().await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&greeting).try_acquire_owned() else { continue };
        let (shared, data) = (shared.clone(), Arc::clone(&data));
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let stop = shared.stop.clone();
            let greeted = tokio::select! {
                () = stop.cancelled() => return,
                greeted = greet(&shared, stream) => greeted,
            };
            drop(slot);
            match greeted {
                Ok((stream, hello)) => dispatch(&shared, stream, hello, data).await,
                Err(ConnectError::Handshake(why @ HandshakeError::OtherRing { .. })) => {
                    shared.event(Level::Warn, format!("a stranger was turned away: {why}")).await;
                }
                Err(error) => tracing::debug!(%error, "a connection did not get past its greeting"),
            }
        });
    }
}

/// Hears the greeting, answers it, and checks that both sides fit together.
async fn greet(shared: &Shared, mut stream: TcpStream) -> Result<(TcpStream, Hello), ConnectError> {
    stream.set_nodelay(true)?;
    let me = shared.me();
    let theirs = match connection::receive_hello(&mut stream).await {
        Ok(theirs) => theirs,
        Err(ConnectError::Handshake(why @ HandshakeError::Version { .. })) => {
            // Told in this version's words; the preamble tells the rest.
            let refusal =
                HandshakeError::Version { theirs: crate::wire::handshake::PROTOCOL_VERSION };
            let hello = Hello { refusal: Some(refusal.to_string()), ..me.hello(Purpose::Client) };
            connection::send_hello(&mut stream, &hello).await?;
            return Err(why.into());
        }
        Err(error) => return Err(error),
    };
    let mismatch = mismatch(&me, &theirs);
    let refusal = mismatch.as_ref().map(|(for_them, _)| for_them.to_string());
    let hello = Hello { refusal, ..me.hello(theirs.purpose) };
    connection::send_hello(&mut stream, &hello).await?;
    match mismatch {
        None => Ok((stream, theirs)),
        Some((_, for_us)) => Err(for_us.into()),
    }
}

/// Why two sides do not fit together, in words for them and for us.
fn mismatch(me: &Identity, theirs: &Hello) -> Option<(HandshakeError, HandshakeError)> {
    let ours = &me.params;
    let refused = |why: &str| {
        let error = HandshakeError::Refused(why.to_owned());
        (error.clone(), error)
    };
    match (&theirs.params, theirs.purpose) {
        (Some(params), _) if params == ours => {
            let unreachable = theirs.purpose == Purpose::Member
                && theirs.address.is_none_or(|address| address.ip().is_unspecified());
            unreachable.then(|| refused("a member must say at which address it can be reached"))
        }
        (Some(params), _) => Some((
            HandshakeError::OtherRing { theirs: ours.clone(), ours: params.clone() },
            HandshakeError::OtherRing { theirs: params.clone(), ours: ours.clone() },
        )),
        (None, Purpose::Client | Purpose::Data) => None,
        (None, Purpose::Member) => Some(refused("a member must say which ring it is on")),
    }
}

async fn dispatch(shared: &Shared, stream: TcpStream, hello: Hello, data: Arc<Semaphore>) {
    match hello.purpose {
        Purpose::Member | Purpose::Client => {
            let _ = shared.hub.send(Input::Connected { stream, hello, dialled: None }).await;
        }
        Purpose::Data => {
            let Ok(slot) = data.acquire_owned().await else { return };
            let Ok(stream) = stream.into_std() else { return };
            let (shared, runtime) = (shared.clone(), Handle::current());
            let tasks = shared.tasks.clone();
            tasks.spawn_blocking(move || {
                serve_data::serve(&shared, &runtime, stream);
                drop(slot);
            });
        }
    }
}
