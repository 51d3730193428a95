//! The listener: takes connections in, exchanges greetings, and hands them to
//! the hub (control) or to a thread of their own (data).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::peer::is_reachable;
use crate::view::Level;
use crate::wire::handshake::{HandshakeError, Hello, Purpose};

use super::connection::{self, ConnectError};
use super::serve_data::{self, MAX_DATA_CONNECTIONS};
use super::shared::{Identity, Input, Shared, Whose};

/// Connections that have not said hello yet: more than a burst of joins
/// needs, few enough that silent strangers cannot use up the process's files.
/// One more sends the one away that has been silent for the longest: whoever
/// means it has said hello within milliseconds.
const MAX_GREETING: usize = 128;

/// Accepted connections: what a process may have open on common systems
/// (1 024 files), less what the node needs itself.
const MAX_ACCEPTED: usize = 640;

/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells a greeting that it takes too long.
#[derive(Debug)]
struct Silent;

/// Accepts until the node stops.
pub(super) async fn run(shared: Shared, listener: TcpListener) {
    let accepting = Arc::new(Semaphore::new(MAX_ACCEPTED));
    let mut greeting: VecDeque<oneshot::Sender<Silent>> = VecDeque::new();
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
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = Arc::clone(&accepting).try_acquire_owned() else { continue };
        greeting.retain(|silent| !silent.is_closed());
        if greeting.len() >= MAX_GREETING
            && let Some(longest) = greeting.pop_front()
        {
            let _ = longest.send(Silent);
        }
        let (silent, sent_away) = oneshot::channel();
        greeting.push_back(silent);
        let (shared, data) = (shared.clone(), Arc::clone(&data));
        let tasks = shared.tasks.clone();
        tasks.spawn(async move {
            let stop = shared.stop.clone();
            let greeted = tokio::select! {
                () = stop.cancelled() => return,
                greeted = greet(&shared, stream) => greeted,
                _ = sent_away => return,
            };
            match greeted {
                Ok((stream, hello)) => dispatch(&shared, stream, hello, data, slot).await,
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
        (Some(params), _) if params == ours => match (theirs.purpose, theirs.address) {
            (Purpose::Member, Some(address)) if address == me.me.address() => {
                Some(refused("two nodes cannot have the same address; give one of them another"))
            }
            (Purpose::Member, Some(address)) if is_reachable(address) => None,
            (Purpose::Member, _) => {
                Some(refused("a member must say at which address it can be reached"))
            }
            (Purpose::Client | Purpose::Data, _) => None,
        },
        (Some(params), _) => Some((
            HandshakeError::OtherRing { theirs: ours.clone(), ours: params.clone() },
            HandshakeError::OtherRing { theirs: params.clone(), ours: ours.clone() },
        )),
        (None, Purpose::Client | Purpose::Data) => None,
        (None, Purpose::Member) => Some(refused("a member must say which ring it is on")),
    }
}

async fn dispatch(
    shared: &Shared,
    stream: TcpStream,
    hello: Hello,
    data: Arc<Semaphore>,
    accepted: OwnedSemaphorePermit,
) {
    match hello.purpose {
        Purpose::Member | Purpose::Client => {
            let whose = Whose::Theirs { hello, accepted };
            let _ = shared.hub.send(Input::Connected { stream, whose }).await;
        }
        Purpose::Data => {
            let Ok(slot) = data.acquire_owned().await else { return };
            let Ok(stream) = stream.into_std() else { return };
            let (shared, runtime) = (shared.clone(), Handle::current());
            let tasks = shared.tasks.clone();
            tasks.spawn_blocking(move || {
                serve_data::serve(&shared, &runtime, stream);
                drop((slot, accepted));
            });
        }
    }
}
