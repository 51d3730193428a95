//! A client's control connections: one to each node that it asks, kept for the
//! next question and used by all questions at a time.
//!
//! A connection is a task. It writes what is asked, as much at once as waits,
//! and hands each answer to the task that asked for it. A node closes a connection
//! that was idle for long, or when others need its place: a question that meets
//! such an end is asked once more, over a new connection.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::codec::{Framed, LengthDelimitedCodec};

use chordal_descriptors as descriptors;

use chordal_core::error::{CommandError, Fault};
use chordal_core::limits::MAX_FRAME_BYTES;
use chordal_core::wire::handshake::Purpose;
use chordal_core::wire::{Frame, Request, Response, codec};
use chordal_descriptors::{COMMAND_PATIENCE, Spare};

use super::connection;
use super::greeting::client_hello;
use super::requests::request_limit;

/// Nodes that a client stays connected to: many times those that one command
/// asks. Beyond it all are let go, and those made again that are needed.
const MAX_CONNECTIONS: usize = 64;

/// Pause before a question is asked again for which there may have been no file
/// descriptor.
const SHORT_PAUSE: Duration = Duration::from_millis(100);

/// Questions waiting to be written to one node; further ones wait for room.
const QUEUE: usize = 256;

/// Questions whose answers one connection waits for, at the most: an answer
/// that no task waits for any more is forgotten when there are so many.
const MAX_ASKED: usize = 1_024;

type Frames = Framed<TcpStream, LengthDelimitedCodec>;

/// A question and where its answer goes. Dropped, it says that the connection
/// ended.
type Question = (Request, oneshot::Sender<Response>);

/// A client's control connections. Clones are the same; they end with the last
/// of them.
#[derive(Clone, Debug)]
pub(crate) struct ClientConnections {
    open: Arc<Open>,
}

/// They, as what can be spared.
#[derive(Debug, Default)]
struct Open(Mutex<BTreeMap<SocketAddr, ClientConnection>>);

impl Default for ClientConnections {
    fn default() -> ClientConnections {
        let open = Arc::new(Open::default());
        descriptors::spare(&open);
        ClientConnections { open }
    }
}

impl Spare for Open {
    /// Lets all connections go that are made; those that are in use end after that.
    fn give_up(&self) -> bool {
        let mut open = self.0.lock();
        let before = open.len();
        open.retain(|_, connection| !connection.made.initialized());
        open.len() < before
    }
}

/// A connection to a node, perhaps still being made. Tasks that need it while it
/// is made wait for the same one.
#[derive(Clone, Debug, Default)]
struct ClientConnection {
    made: Arc<OnceCell<mpsc::Sender<Question>>>,
}

impl ClientConnections {
    /// Asks a node something.
    pub(crate) async fn ask(
        &self,
        address: SocketAddr,
        request: Request,
    ) -> Result<Response, CommandError> {
        let began = Instant::now();
        loop {
            match Box::pin(self.ask_once(address, &request)).await {
                // Perhaps only this process has no file descriptor for the question.
                Err(_) if descriptors::are_short() && began.elapsed() < COMMAND_PATIENCE => {
                    sleep(SHORT_PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    async fn ask_once(
        &self,
        address: SocketAddr,
        request: &Request,
    ) -> Result<Response, CommandError> {
        let asking = async {
            let (connection, kept) = self.connection(address);
            match connection.ask(address, request.clone()).await {
                Err(_) if kept => {
                    self.forget(address, &connection);
                    let (connection, _) = self.connection(address);
                    (connection.ask(address, request.clone()).await, connection)
                }
                answer => (answer, connection),
            }
        };
        let fault = match timeout(request_limit(request), asking).await {
            Ok((Ok(response), _)) => return Ok(response),
            Ok((Err(fault), connection)) => {
                self.forget(address, &connection);
                fault
            }
            Err(_) => Fault::NoAnswer,
        };
        Err(CommandError::peer(address, fault))
    }

    /// The connection to a node, and whether it was there before.
    fn connection(&self, address: SocketAddr) -> (ClientConnection, bool) {
        let mut open = self.open.0.lock();
        if let Some(connection) = open.get(&address) {
            return (connection.clone(), true);
        }
        if open.len() >= MAX_CONNECTIONS {
            open.clear();
        }
        (open.entry(address).or_default().clone(), false)
    }

    /// Forgets a connection that is of no use.
    fn forget(&self, address: SocketAddr, connection: &ClientConnection) {
        let mut open = self.open.0.lock();
        if open.get(&address).is_some_and(|known| Arc::ptr_eq(&known.made, &connection.made)) {
            open.remove(&address);
        }
    }
}

impl ClientConnection {
    async fn ask(&self, address: SocketAddr, request: Request) -> Result<Response, Fault> {
        let made = self.made.get_or_try_init(|| connect(address)).await?;
        let (done, answer) = oneshot::channel();
        made.send((request, done)).await.map_err(|_| Fault::Closed)?;
        answer.await.map_err(|_| Fault::Closed)
    }
}

/// Connects, and starts the task of the connection.
async fn connect(address: SocketAddr) -> Result<mpsc::Sender<Question>, Fault> {
    let greeted = connection::dial(address, &client_hello(Purpose::Client)).await;
    let (stream, _) = greeted.map_err(|error| Fault::Unreachable(error.to_string()))?;
    let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
    let (questions, asked) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        if let Err(error) = run(Framed::new(stream, codec), asked).await {
            tracing::debug!(%address, %error, "a control connection ended");
        }
    });
    Ok(questions)
}

/// Writes questions and hands out answers, until no task can ask any more or the
/// connection ends.
async fn run(frames: Frames, mut asked: mpsc::Receiver<Question>) -> std::io::Result<()> {
    let (mut write, mut read): (SplitSink<_, _>, SplitStream<_>) = frames.split();
    let mut waiting: HashMap<u32, oneshot::Sender<Response>> = HashMap::new();
    let mut next = 0_u32;
    let unfit = |error: codec::CodecError| std::io::Error::other(error.to_string());
    loop {
        tokio::select! {
            question = asked.recv() => {
                let Some(question) = question else { return Ok(()) };
                let mut question = Some(question);
                while let Some((request, done)) = question {
                    let frame = Frame::Request { id: next, request };
                    write.feed(Bytes::from(codec::encode(&frame).map_err(unfit)?)).await?;
                    if waiting.len() >= MAX_ASKED {
                        waiting.retain(|_, done| !done.is_closed());
                    }
                    waiting.insert(next, done);
                    next = next.wrapping_add(1);
                    question = asked.try_recv().ok();
                }
                write.flush().await?;
            }
            frame = read.next() => {
                let Some(bytes) = frame else { return Ok(()) };
                match codec::decode(&bytes?).map_err(unfit)? {
                    Frame::Response { id, response } => {
                        if let Some(done) = waiting.remove(&id) {
                            let _ = done.send(response);
                        }
                    }
                    Frame::Bye => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

/// One question to any node, on whatever ring, over a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: Request) -> Result<Response, CommandError> {
    ClientConnections::default().ask(address, request).await
}
