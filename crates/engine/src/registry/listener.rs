//! The listener of a registry: greetings, and a task for each node that
//! reports and is told the news.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use chordal_descriptors as descriptors;

use crate::net::accept::accept;
use crate::net::connection;
use crate::net::connection::ConnectError;
use crate::net::connection_slots::ConnectionSlots;
use crate::net::frames::Frames;
use crate::net::pace::Pace;
use chordal_core::peer::is_reachable;
use chordal_core::registry::{MAX_PEERS, MAX_PEERS_PER_HOST};
use chordal_core::wire::Frame;
use chordal_core::wire::handshake::{HandshakeError, Hello, Program, Purpose};
use chordal_core::wire::registry::{News, Report};
use chordal_descriptors::Spare;

use super::RegistryHandle;
use super::server::Input;

/// The refusal to a program that takes a registry for a node.
const NO_NODE: &str = "this is a registry, not a node; give it with --seed";

/// The refusal to a node for which there is no place.
const FULL: &str = "this registry has as many connections as it takes; use another one";

/// Connections that have not said hello yet.
const MAX_GREETING: usize = 128;

/// Connections of nodes: one for each peer that can be listed, and some that
/// only read the list.
const MAX_CONNECTIONS: usize = MAX_PEERS + 512;

/// The same for one host.
const MAX_CONNECTIONS_PER_HOST: usize = MAX_PEERS_PER_HOST + 64;

/// News waiting for one node: the whole list and a busy moment. A node that falls
/// further behind is cut off, and gets the whole list when it comes back.
const NEWS: usize = 256;

/// Reports of one node at once, and then one in so long: a node says few things.
const REPORTS: (u32, Duration) = (32, Duration::from_millis(100));

/// A connection over which nothing was sent for so long is asked for a sign of
/// life, so that the node knows that the registry is alive.
const QUIET: Duration = Duration::from_secs(15);

/// A connection over which nothing came for so long is dead.
const SILENT: Duration = Duration::from_secs(60);

/// How many connections there are, by host.
#[derive(Debug, Default)]
struct Crowd(Mutex<BTreeMap<IpAddr, usize>>);

/// A connection that is counted until this is dropped.
struct Counted {
    crowd: Arc<Crowd>,
    host: IpAddr,
}

impl Crowd {
    fn enter(self: &Arc<Crowd>, host: IpAddr) -> Option<Counted> {
        let mut hosts = self.0.lock();
        let all: usize = hosts.values().sum();
        let here = hosts.entry(host).or_default();
        if all >= MAX_CONNECTIONS || *here >= MAX_CONNECTIONS_PER_HOST {
            return None;
        }
        *here += 1;
        Some(Counted { crowd: Arc::clone(self), host })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut hosts = self.crowd.0.lock();
        if let Some(here) = hosts.get_mut(&self.host) {
            *here = here.saturating_sub(1);
        }
        hosts.retain(|_, here| *here > 0);
    }
}

impl Spare for ConnectionSlots {
    /// Ends a greeting that takes long.
    fn give_up(&self) -> bool {
        ConnectionSlots::give_up(self, 0)
    }
}

/// Accepts until the registry stops.
pub(super) async fn run(handle: RegistryHandle, listener: TcpListener) {
    let greeting = Arc::new(ConnectionSlots::new(MAX_GREETING));
    descriptors::spare(&greeting);
    let crowd = Arc::new(Crowd::default());
    for number in 0.. {
        let (stream, from) = tokio::select! {
            () = handle.stop.cancelled() => return,
            accepted = accept(&listener) => accepted,
        };
        let mut place = greeting.take(from.ip());
        let (handle, crowd) = (handle.clone(), Arc::clone(&crowd));
        let tasks = handle.tasks.clone();
        tasks.spawn(async move {
            let stop = handle.stop.clone();
            let counted = crowd.enter(from.ip());
            let greeted = tokio::select! {
                () = stop.cancelled() => return,
                greeted = greet(&handle, stream, counted.is_some()) => greeted,
                () = place.lost() => return,
            };
            drop(place);
            match greeted {
                Ok((stream, hello)) => serve(&handle, number, stream, from, &hello).await,
                Err(error) => tracing::debug!(%error, %from, "a greeting came to nothing"),
            }
            drop(counted);
        });
    }
}

/// Hears the greeting and answers it.
async fn greet(
    handle: &RegistryHandle,
    mut stream: TcpStream,
    room: bool,
) -> Result<(TcpStream, Hello), ConnectError> {
    stream.set_nodelay(true)?;
    let heard = connection::receive_hello(&mut stream).await;
    let (purpose, refusal) = match &heard {
        Ok(hello) => (hello.purpose, refusal(hello, room).map(str::to_owned)),
        Err(ConnectError::Handshake(why)) if why.refusal().is_some() => {
            (Purpose::Registry, why.refusal().map(|why| why.to_string()))
        }
        Err(_) => return heard.map(|hello| (stream, hello)),
    };
    let hello = Hello {
        purpose,
        program: Program::Registry,
        params: None,
        address: Some(handle.address).filter(|address| is_reachable(*address)),
        index: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        refusal: refusal.clone(),
    };
    connection::send_hello(&mut stream, &hello).await?;
    match refusal {
        Some(why) => Err(HandshakeError::Refused(why).into()),
        None => Ok((stream, heard?)),
    }
}

fn refusal(hello: &Hello, room: bool) -> Option<&'static str> {
    if hello.purpose != Purpose::Registry {
        return Some(NO_NODE);
    }
    (!room).then_some(FULL)
}

/// Takes reports and sends news until either side has had enough.
async fn serve(
    handle: &RegistryHandle,
    number: u64,
    stream: TcpStream,
    from: SocketAddr,
    hello: &Hello,
) {
    let (news, mut queue) = mpsc::channel::<Bytes>(NEWS);
    let cut = CancellationToken::new();
    let arrived = Input::Connected {
        number,
        from: from.ip(),
        address: hello.address,
        news,
        cut: cut.clone(),
    };
    if handle.server.send(arrived).await.is_err() {
        return;
    }
    let mut frames = Frames::new(stream);
    tokio::select! {
        () = handle.stop.cancelled() => {}
        () = cut.cancelled() => tracing::info!(%from, "cut off: it falls behind with the news"),
        why = exchange(handle, number, &mut frames, &mut queue) => {
            tracing::debug!(%from, why, "a node is not connected any more");
        }
    }
    let _ = handle.server.send(Input::Ended { number }).await;
}

/// How it ended.
async fn exchange(
    handle: &RegistryHandle,
    number: u64,
    frames: &mut Frames,
    queue: &mut mpsc::Receiver<Bytes>,
) -> String {
    let mut pace = Pace::new(REPORTS.0, REPORTS.1, Instant::now());
    let (mut heard, mut told) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            frame = frames.next() => {
                heard = Instant::now();
                let report = match frame {
                    Ok(Frame::Report(report)) => report,
                    Ok(_) => return "it does not speak as a node to a registry".to_owned(),
                    Err(broken) => return broken.to_string(),
                };
                if let Err(wait) = pace.take(heard) {
                    // A node that says too much is read more slowly.
                    tokio::time::sleep(wait).await;
                    let _ = pace.take(Instant::now());
                }
                if report != Report::Pong
                    && handle.server.send(Input::Report { number, report }).await.is_err()
                {
                    return "the registry stops".to_owned();
                }
            }
            news = queue.recv() => {
                let Some(bytes) = news else { return "the registry stops".to_owned() };
                if let Err(broken) = frames.send_bytes(bytes).await {
                    return broken.to_string();
                }
                told = Instant::now();
            }
            () = tokio::time::sleep_until((told + QUIET).into()) => {
                if heard.elapsed() > SILENT {
                    return "it is silent".to_owned();
                }
                if let Err(broken) = frames.send(&Frame::News(News::Ping)).await {
                    return broken.to_string();
                }
                told = Instant::now();
            }
        }
    }
}
