//! The listener: takes connections in, exchanges greetings, and hands them to
//! the hub (control) or to a thread of their own (data).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

use chordal_descriptors as descriptors;

use chordal_core::peer::{Party, is_reachable};
use chordal_core::wire::handshake::{HandshakeError, Hello, Program, Purpose};
use chordal_descriptors::{Spare, Wait};

use super::connection;
use super::connection::ConnectError;
use super::connection_slots::{ConnectionSlot, ConnectionSlots};
use super::handle::{Identity, Net};
use super::verify;

/// Connections that have not said hello yet: more than a burst of joins needs,
/// few enough that silent strangers cannot use up the process's files.
const MAX_GREETING: usize = 128;

/// Control connections of clients, each of which asks and goes.
const MAX_CLIENTS: usize = 128;

/// Control connections that members dialled: every member of a ring that is
/// walked by its census, and some on their way out.
const MAX_MEMBERS: usize = 384;

/// Data connections at once: each has a thread. Further ones wait in
/// the listener's queue or tries another holder.
const MAX_DATA_CONNECTIONS: usize = 128;

/// Data connections, those included that wait for a thread.
const MAX_DATA: usize = 2 * MAX_DATA_CONNECTIONS;

/// Threads of data connections that are kept free for new ones, by closing those
/// on which nothing is asked.
const FREE_THREADS: usize = MAX_DATA_CONNECTIONS / 4;

/// Connections of members that one host may keep while there are no file descriptors:
/// as many nodes as a classroom has on one machine.
const MEMBERS_ON_A_HOST: usize = 16;

/// File descriptors that a node needs beside those of data connections: its store, its
/// log, its listener and its runtime, and control connections of a small ring.
const OTHER_DESCRIPTORS: u64 = 32;

/// File descriptors that a data connection may need: its own, the file, and the next
/// node of a chain.
const DESCRIPTORS_OF_DATA: u64 = 4;

/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// While work of this process waits for a file descriptor, no new connection is accepted for so
/// long: what works has to end, but what it waits for may have to come in.
const OTHERS_FIRST: Duration = Duration::from_millis(250);

/// How often it is looked whether it still waits.
const OTHERS_LOOK: Duration = Duration::from_millis(10);

/// The refusal to a program that takes a node for a registry.
const NO_REGISTRY: &str = "this is a node, not a registry; join it, or give a registry's address";

/// The places for accepted connections.
struct Limits {
    greeting: ConnectionSlots,
    clients: ConnectionSlots,
    members: ConnectionSlots,
    data: Arc<Semaphore>,
    data_threads: Arc<Semaphore>,
    /// Threads that are kept free.
    free_threads: usize,
}

impl Spare for Limits {
    /// Ends a connection of the host that has the most, of those that mean least.
    fn give_up(&self) -> bool {
        self.greeting.give_up(0)
            || self.clients.give_up(0)
            || self.members.give_up(MEMBERS_ON_A_HOST)
    }
}

/// The side that made a connection.
#[derive(Debug)]
pub(crate) enum Whose {
    /// This node, to this address: what is reached there is believed to be what
    /// belongs there, whatever they call themselves.
    Ours(SocketAddr),
    /// The other side.
    Theirs {
        /// What it said of itself.
        hello: Hello,
        /// Its place, until the connection ends or newer ones need it.
        held: ConnectionSlot,
    },
}

/// What comes of a connection that another side made.
#[expect(clippy::large_enum_variant, reason = "it becomes an input of the hub at once")]
#[derive(Debug)]
pub(crate) enum Arrival {
    /// A control connection after its handshake.
    Connected(TcpStream, Whose),
    /// A warning that a stranger may cause again and again.
    Stranger(String),
}

/// The listening end of a node. `I` is what `hub` takes; `serve` serves a data connection
/// of that party, on a thread of its own, and closes it when nothing is asked on it while
/// threads are short, as the function says that it is given.
struct Listening<I, S> {
    net: Net,
    hub: mpsc::Sender<I>,
    serve: S,
    limits: Arc<Limits>,
}

/// Accepts until the node stops.
pub(crate) async fn run<I, S>(net: Net, hub: mpsc::Sender<I>, listener: TcpListener, serve: S)
where
    I: From<Arrival> + Send + 'static,
    S: Fn(std::net::TcpStream, Party, &dyn Fn() -> bool) + Send + Sync + 'static,
{
    let (data, threads) = data_places(descriptors::limit());
    let limits = Arc::new(Limits {
        greeting: ConnectionSlots::new(MAX_GREETING),
        clients: ConnectionSlots::new(MAX_CLIENTS),
        members: ConnectionSlots::new(MAX_MEMBERS),
        data: Arc::new(Semaphore::new(data)),
        data_threads: Arc::new(Semaphore::new(threads)),
        free_threads: FREE_THREADS.min(threads / 4).max(1),
    });
    descriptors::spare(&limits);
    let listening = Arc::new(Listening { net, hub, serve, limits });
    loop {
        let (stream, from) = tokio::select! {
            () = listening.net.stop.cancelled() => return,
            accepted = accept(&listener) => accepted,
        };
        let place = listening.limits.greeting.take(from.ip());
        let taking = Arc::clone(&listening).take(stream, from.ip(), place);
        listening.net.tasks.spawn(taking);
    }
}

impl<I, S> Listening<I, S>
where
    I: From<Arrival> + Send + 'static,
    S: Fn(std::net::TcpStream, Party, &dyn Fn() -> bool) + Send + Sync + 'static,
{
    /// Greets a connection that was accepted, and hands it over.
    async fn take(self: Arc<Self>, stream: TcpStream, host: IpAddr, mut place: ConnectionSlot) {
        let greeted = tokio::select! {
            () = self.net.stop.cancelled() => return,
            greeted = greet(&self.net, stream) => greeted,
            () = place.lost() => return,
        };
        drop(place);
        match greeted {
            Ok((stream, hello)) => self.dispatch(stream, host, hello).await,
            Err(ConnectError::Handshake(why @ HandshakeError::OtherRing { .. })) => {
                self.stranger(format!("a stranger was turned away: {why}")).await;
            }
            Err(error) => tracing::debug!(%error, "a connection did not get past its greeting"),
        }
    }

    async fn stranger(&self, text: String) {
        let _ = self.hub.send(Arrival::Stranger(text).into()).await;
    }

    /// Hands a greeted connection over to its purpose, if there is a place for it.
    async fn dispatch(self: Arc<Self>, stream: TcpStream, host: IpAddr, hello: Hello) {
        let held = match hello.purpose {
            Purpose::Member => {
                let place = self.limits.members.take(host);
                if let Some(crowd) = place.from {
                    let text = format!(
                        "{crowd} keeps more members' connections open than there is room for; the \
                         oldest are closed"
                    );
                    self.stranger(text).await;
                }
                place
            }
            Purpose::Client => self.limits.clients.take(host),
            Purpose::Data => {
                let party = party(&hello, host, self.net.me().me.address());
                return self.serve_bytes(stream, party).await;
            }
            Purpose::Verify(token) => {
                let mut place = self.limits.clients.take(host);
                tokio::select! {
                    () = self.net.stop.cancelled() => {}
                    () = place.lost() => {}
                    () = verify::answer(&self.net, stream, &hello, token) => {}
                }
                return;
            }
            // Answered, and refused, while greeting.
            Purpose::Present(_) | Purpose::Registry => return,
        };
        let arrival = Arrival::Connected(stream, Whose::Theirs { hello, held });
        let _ = self.hub.send(arrival.into()).await;
    }

    async fn serve_bytes(self: Arc<Self>, stream: TcpStream, party: Party) {
        let Ok(place) = Arc::clone(&self.limits.data).try_acquire_owned() else {
            return tracing::warn!("a data connection was closed: there are too many");
        };
        let threads = Arc::clone(&self.limits.data_threads);
        let Ok(thread) = Arc::clone(&threads).acquire_owned().await else { return };
        let Ok(stream) = stream.into_std() else { return };
        let tasks = self.net.tasks.clone();
        let free = self.limits.free_threads;
        tasks.spawn_blocking(move || {
            let crowded = || threads.available_permits() < free || descriptors::are_short();
            (self.serve)(stream, party, &crowded);
            drop((thread, place));
        });
    }
}

/// The next connection, and from where it comes. Waits as long as there is no file
/// descriptor for it.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut wait = Wait::for_ever();
    loop {
        let since = Instant::now();
        while descriptors::is_wanted() && since.elapsed() < OTHERS_FIRST {
            tokio::time::sleep(OTHERS_LOOK).await;
        }
        match listener.accept().await {
            // An IPv4 host is the same one behind an IPv6 socket.
            Ok((stream, from)) => {
                return (stream, SocketAddr::new(from.ip().to_canonical(), from.port()));
            }
            Err(error) => {
                let pause = wait.after(&error).unwrap_or_else(|| {
                    tracing::warn!(%error, "a connection could not be accepted");
                    ACCEPT_PAUSE
                });
                tokio::time::sleep(pause).await;
            }
        }
    }
}

/// How many data connections there may be, and how many of them at work, where a process
/// may have so many file descriptors: those at work hold some and wait for others, so
/// all of them together must find enough.
fn data_places(descriptors: Option<u64>) -> (usize, usize) {
    let Some(limit) = descriptors else { return (MAX_DATA, MAX_DATA_CONNECTIONS) };
    let most = |count: u64, most: usize| usize::try_from(count).map_or(most, |n| n.min(most));
    let threads = limit.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_OF_DATA;
    (most((limit / 2).max(2), MAX_DATA), most(threads.max(2), MAX_DATA_CONNECTIONS))
}

/// Hears the greeting, answers it, and checks that both sides fit together.
async fn greet(net: &Net, mut stream: TcpStream) -> Result<(TcpStream, Hello), ConnectError> {
    stream.set_nodelay(true)?;
    let me = net.me();
    let theirs = match connection::receive_hello(&mut stream).await {
        Ok(theirs) => theirs,
        Err(ConnectError::Handshake(why)) => {
            if let Some(refusal) = why.refusal() {
                let refusal = Some(refusal.to_string());
                let hello = Hello { refusal, ..me.hello(Purpose::Client) };
                connection::send_hello(&mut stream, &hello).await?;
            }
            return Err(why.into());
        }
        Err(error) => return Err(error),
    };
    if let Purpose::Present(token) = theirs.purpose {
        net.verification.presented(token);
    }
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
        (_, Purpose::Present(_)) => None,
        (Some(params), _) if params == ours => match (theirs.purpose, theirs.address) {
            (Purpose::Member, Some(address)) if address == me.me.address() => {
                Some(refused("two nodes cannot have the same address; give one of them another"))
            }
            (Purpose::Member | Purpose::Verify(_), Some(address)) if is_reachable(address) => None,
            (Purpose::Member | Purpose::Verify(_), _) => {
                Some(refused("a member must say at which address it can be reached"))
            }
            (Purpose::Client | Purpose::Data | Purpose::Present(_), _) => None,
            (Purpose::Registry, _) => Some(refused(NO_REGISTRY)),
        },
        (_, Purpose::Registry) => Some(refused(NO_REGISTRY)),
        (Some(params), _) => Some((
            HandshakeError::OtherRing { theirs: ours.clone(), ours: params.clone() },
            HandshakeError::OtherRing { theirs: params.clone(), ours: ours.clone() },
        )),
        (None, Purpose::Client | Purpose::Data) => None,
        (None, Purpose::Member | Purpose::Verify(_)) => {
            Some(refused("a member must say which ring it is on"))
        }
    }
}

/// The other end of a data connection: a node that says where it can be
/// reached, which counts for as much as when a member says it, or a client.
fn party(hello: &Hello, host: IpAddr, me: SocketAddr) -> Party {
    match hello.address {
        Some(address)
            if hello.program == Program::Node && is_reachable(address) && address != me =>
        {
            Party::Node(address)
        }
        _ => Party::Client(host),
    }
}
