//! The listener: takes connections in, exchanges greetings, and hands them to
//! the hub (control) or to the data plane.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

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

/// Connections of members that one host may keep while there are no file descriptors:
/// as many nodes as a classroom has on one machine.
const MEMBERS_ON_A_HOST: usize = 16;

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
/// that this host made for that party.
struct Listening<I, S> {
    net: Net,
    hub: mpsc::Sender<I>,
    serve: S,
    limits: Arc<Limits>,
}

/// Accepts until the node stops.
pub(crate) async fn run<I, S, F>(net: Net, hub: mpsc::Sender<I>, listener: TcpListener, serve: S)
where
    I: From<Arrival> + Send + 'static,
    S: Fn(TcpStream, IpAddr, Party) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let limits = Arc::new(Limits {
        greeting: ConnectionSlots::new(MAX_GREETING),
        clients: ConnectionSlots::new(MAX_CLIENTS),
        members: ConnectionSlots::new(MAX_MEMBERS),
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

impl<I, S, F> Listening<I, S>
where
    I: From<Arrival> + Send + 'static,
    S: Fn(TcpStream, IpAddr, Party) -> F + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
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
                return (self.serve)(stream, host, party).await;
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
