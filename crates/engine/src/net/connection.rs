//! Control connections: the handshake, and frames in both directions.
//!
//! A connection is a reader and a writer task around one socket. The reader hands frames
//! to the hub; the writer sends the frames in its bounded queues, signs of life first. Both
//! end together. An idle connection says [`Frame::Bye`] and closes; an end of stream
//! without it is reported as a loss.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;

use chordal_core::error::Absence;
use chordal_core::limits::MAX_FRAME_BYTES;
use chordal_core::wire::handshake::{self, HandshakeError, Hello, PREAMBLE_BYTES};
use chordal_core::wire::{Frame, codec};
use chordal_descriptors::{DIAL_PATIENCE, Wait, is_shortage};

use super::connection_slots::ConnectionSlot;
use super::handle::{ByteCounters, Net};
use super::vital::is_vital;

/// Time for a connection to be made: a LAN answers in milliseconds, and a
/// person waits behind it.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(2);

/// Time for the other side's hello: a silent program holds a slot.
pub(crate) const HELLO_LIMIT: Duration = Duration::from_secs(3);

/// A control connection without frames is closed after this.
pub(crate) const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// Frames waiting to be written to one peer. A peer that does not read has its
/// further frames dropped (and their questions unanswered) instead of filling
/// memory.
pub(crate) const QUEUE_FRAMES: usize = 1_024;

/// Frames written at once, at most: what a small file's questions and
/// answers are together, many times over.
const BATCH_FRAMES: usize = 64;

/// Time for frames to leave once it is their turn.
const WRITE_LIMIT: Duration = Duration::from_secs(5);

/// Why a connection came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// No connection, or it broke during the handshake.
    #[error("{}", plain(.0))]
    Io(#[from] std::io::Error),
    /// It took too long.
    #[error("no answer in time")]
    TimedOut,
    /// It took the connection and did not greet in time.
    #[error("it takes connections and says nothing")]
    Silent,
    /// The two sides do not fit together.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// Not tried: the address that this node advertises does not lead to it.
    #[error("{0}")]
    Misplaced(String),
}

/// Why there is no connection, in words; what is rare stays as the system says
/// it.
pub(crate) fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        ErrorKind::ConnectionRefused => Absence::Refused.to_string(),
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::UnexpectedEof => {
            "it closed the connection".to_owned()
        }
        ErrorKind::TimedOut => Absence::Silent.to_string(),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => Absence::NoRoute.to_string(),
        _ => error.to_string(),
    }
}

impl ConnectError {
    /// Whether it says nothing of the other side: this machine had no file descriptor.
    pub(crate) fn is_shortage(&self) -> bool {
        matches!(self, ConnectError::Io(error) if is_shortage(error))
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// In order: one side said goodbye.
    Bye,
    /// It broke.
    Lost,
}

/// Sends `hello` and reads the other side's. The dialling side calls this.
pub(crate) async fn greet(stream: &mut TcpStream, hello: &Hello) -> Result<Hello, ConnectError> {
    send_hello(stream, hello).await?;
    receive_hello(stream).await
}

/// Writes a hello.
pub(crate) async fn send_hello(stream: &mut TcpStream, hello: &Hello) -> Result<(), ConnectError> {
    let bytes = hello.to_bytes().map_err(HandshakeError::from)?;
    stream.write_all(&bytes).await?;
    Ok(())
}

/// Reads a hello, within [`HELLO_LIMIT`].
pub(crate) async fn receive_hello(stream: &mut TcpStream) -> Result<Hello, ConnectError> {
    let reading = async {
        let mut preamble = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut preamble).await?;
        handshake::check_preamble(preamble)?;
        let mut prefix = [0; codec::PREFIX_BYTES];
        stream.read_exact(&mut prefix).await?;
        let length = codec::frame_length(prefix).map_err(HandshakeError::from)?;
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let hello: Hello = codec::decode(&body).map_err(HandshakeError::from)?;
        Ok::<Hello, ConnectError>(hello)
    };
    timeout(HELLO_LIMIT, reading).await.map_err(|_| ConnectError::Silent)?
}

/// Connects, within [`CONNECT_LIMIT`], and exchanges greetings. A refusal in the peer's is for
/// the caller to look at.
pub(crate) async fn dial_anybody(
    address: SocketAddr,
    hello: &Hello,
) -> Result<(TcpStream, Hello), ConnectError> {
    let mut stream = connect(address).await?;
    stream.set_nodelay(true)?;
    let theirs = greet(&mut stream, hello).await?;
    Ok((stream, theirs))
}

/// Connects; waits for a file descriptor first if there is none.
async fn connect(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let mut wait = Wait::at_most(DIAL_PATIENCE);
    loop {
        let connecting = timeout(CONNECT_LIMIT, TcpStream::connect(address)).await;
        match connecting.map_err(|_| ConnectError::TimedOut)? {
            Ok(stream) => return Ok(stream),
            Err(error) => match wait.after(&error) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(error.into()),
            },
        }
    }
}

/// The same; the peer's refusal is an error.
pub(crate) async fn dial(
    address: SocketAddr,
    hello: &Hello,
) -> Result<(TcpStream, Hello), ConnectError> {
    let (stream, theirs) = dial_anybody(address, hello).await?;
    if let Some(why) = &theirs.refusal {
        return Err(HandshakeError::Refused(why.clone()).into());
    }
    Ok((stream, theirs))
}

/// The sending end of a running connection.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    /// Tells connections to one address apart.
    pub(crate) number: u64,
    /// Whether this side dialled.
    pub(crate) dialled: bool,
    /// The other side's host, as far as the system still knows it.
    pub(crate) host: Option<IpAddr>,
    /// Whether the other side is on this machine.
    pub(crate) here: bool,
    vital: mpsc::Sender<Frame>,
    rest: mpsc::Sender<Frame>,
    started: Instant,
    last_read: Arc<AtomicU64>,
}

/// The frames that are to be written.
struct Outgoing {
    vital: mpsc::Receiver<Frame>,
    rest: mpsc::Receiver<Frame>,
}

impl Outgoing {
    async fn next(&mut self) -> Option<Frame> {
        tokio::select! {
            biased;
            Some(frame) = self.vital.recv() => Some(frame),
            frame = self.rest.recv() => frame,
        }
    }

    fn waiting(&mut self) -> Option<Frame> {
        self.vital.try_recv().or_else(|_| self.rest.try_recv()).ok()
    }
}

impl Connection {
    /// Queues a frame; `false` when the queue is full or the connection gone.
    pub(crate) fn send(&self, frame: Frame) -> bool {
        let queue = if is_vital(&frame) { &self.vital } else { &self.rest };
        queue.try_send(frame).is_ok()
    }

    /// Whether the connection has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.rest.is_closed()
    }

    /// When bytes last came.
    pub(crate) fn heard(&self) -> std::time::Instant {
        (self.started + Duration::from_millis(self.last_read.load(Ordering::Relaxed))).into_std()
    }
}

/// Starts the tasks of a connection after its handshake.
///
/// `deliver` is awaited for every frame, which is how a busy hub slows its
/// peers down; `ended` is called once. `held` is the place of a connection that
/// the other side dialled.
pub(crate) fn run<D, F, E>(
    stream: TcpStream,
    number: u64,
    held: Option<ConnectionSlot>,
    net: &Net,
    deliver: D,
    ended: E,
) -> Connection
where
    D: Fn(Frame) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
    E: FnOnce(Ending) -> BoxedEnd + Send + 'static,
{
    let dialled = held.is_none();
    let here = is_here(&stream);
    // An IPv4 host is the same one behind an IPv6 socket.
    let host = stream.peer_addr().ok().map(|from| from.ip().to_canonical());
    let (vital, vital_frames) = mpsc::channel(QUEUE_FRAMES);
    let (rest, frames) = mpsc::channel(QUEUE_FRAMES);
    let outgoing = Outgoing { vital: vital_frames, rest: frames };
    let (read, write) = stream.into_split();
    let (counters, tasks) = (Arc::clone(&net.counters), &net.connections);
    let closing = net.stop.child_token();
    let last_read = Arc::new(AtomicU64::new(0));
    let (written, mut writing) = tokio::sync::oneshot::channel();
    let started = Instant::now();
    let heard = Arc::clone(&last_read);
    tasks.spawn({
        let (counters, closing) = (Arc::clone(&counters), closing.clone());
        let last_read = Arc::clone(&last_read);
        async move {
            let how = write_frames(write, outgoing, &counters, &closing, started, &last_read).await;
            let _ = written.send(how);
            closing.cancel();
        }
    });
    tasks.spawn(async move {
        let mut held = held;
        let evicted = async {
            match &mut held {
                Some(held) => held.lost().await,
                None => std::future::pending().await,
            }
        };
        let reading = read_frames(read, &counters, started, &last_read, deliver);
        let ending = tokio::select! {
            ending = reading => ending,
            () = evicted => Ending::Bye,
            // The writer says how it ended before it closes.
            () = closing.cancelled() => writing.try_recv().unwrap_or(Ending::Bye),
        };
        closing.cancel();
        drop(held);
        ended(ending).await;
    });
    Connection { number, dialled, host, here, vital, rest, started, last_read: heard }
}

/// Whether the other side of a connection is on this machine: both have the same
/// address, or it has one that no other machine can have.
pub(crate) fn is_here(stream: &TcpStream) -> bool {
    match (stream.peer_addr(), stream.local_addr()) {
        (Ok(theirs), Ok(ours)) => same_machine(theirs.ip(), ours.ip()),
        _ => false,
    }
}

fn same_machine(theirs: IpAddr, ours: IpAddr) -> bool {
    theirs.to_canonical().is_loopback() || theirs.to_canonical() == ours.to_canonical()
}

/// What [`run`]'s `ended` returns.
pub(crate) type BoxedEnd = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

async fn read_frames<D, F>(
    read: OwnedReadHalf,
    counters: &ByteCounters,
    started: Instant,
    last_read: &AtomicU64,
    deliver: D,
) -> Ending
where
    D: Fn(Frame) -> F,
    F: Future<Output = ()>,
{
    let mut frames = FramedRead::new(read, length_delimited());
    while let Some(Ok(bytes)) = frames.next().await {
        counters.received(bytes.len() + codec::PREFIX_BYTES);
        last_read.store(started.elapsed().as_millis() as u64, Ordering::Relaxed);
        match codec::decode(&bytes) {
            Ok(Frame::Bye) => return Ending::Bye,
            Ok(frame) => deliver(frame).await,
            Err(error) => {
                tracing::warn!(%error, "a peer sent a frame that cannot be understood");
                return Ending::Lost;
            }
        }
    }
    Ending::Lost
}

async fn write_frames(
    write: OwnedWriteHalf,
    mut outgoing: Outgoing,
    counters: &ByteCounters,
    closing: &CancellationToken,
    started: Instant,
    last_read: &AtomicU64,
) -> Ending {
    let mut frames = FramedWrite::new(write, length_delimited());
    let mut last_write = Instant::now();
    loop {
        let read_at = started + Duration::from_millis(last_read.load(Ordering::Relaxed));
        let idle_at = last_write.max(read_at) + IDLE_LIMIT;
        let frame = tokio::select! {
            biased;
            frame = timeout_at(idle_at, outgoing.next()) => match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => {
                    let read_at = started + Duration::from_millis(last_read.load(Ordering::Relaxed));
                    if read_at + IDLE_LIMIT > Instant::now() {
                        continue;
                    }
                    break;
                }
            },
            () = closing.cancelled() => return Ending::Bye,
        };
        match timeout(WRITE_LIMIT, write_waiting(&mut frames, frame, &mut outgoing, counters)).await
        {
            Ok(Ok(())) => last_write = Instant::now(),
            Ok(Err(_)) | Err(_) => return Ending::Lost,
        }
    }
    if let Ok(bytes) = codec::encode(&Frame::Bye) {
        let _ = timeout(WRITE_LIMIT, frames.send(Bytes::from(bytes))).await;
    }
    Ending::Bye
}

/// Writes a frame and those that wait behind it, up to [`BATCH_FRAMES`], so that
/// the system is called once for all of them.
async fn write_waiting(
    frames: &mut FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>,
    first: Frame,
    outgoing: &mut Outgoing,
    counters: &ByteCounters,
) -> std::io::Result<()> {
    let waiting = (1..BATCH_FRAMES).map_while(|_| outgoing.waiting());
    for frame in std::iter::once(first).chain(waiting) {
        match codec::encode(&frame) {
            Ok(bytes) => {
                counters.sent(bytes.len() + codec::PREFIX_BYTES);
                frames.feed(Bytes::from(bytes)).await?;
            }
            Err(error) => {
                tracing::error!(%error, "a message of this node does not fit into a frame");
            }
        }
    }
    SinkExt::<Bytes>::flush(frames).await
}

fn length_delimited() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_address_and_loopback_are_the_same_machine() {
        let same = |theirs: &str, ours: &str| {
            same_machine(theirs.parse().expect("an address"), ours.parse().expect("an address"))
        };
        assert!(same("127.0.0.1", "127.0.0.1") && same("127.9.9.9", "127.0.0.1"));
        assert!(same("::1", "::1") && same("::ffff:127.0.0.1", "::ffff:127.0.0.1"));
        assert!(same("10.0.0.7", "10.0.0.7") && same("::ffff:10.0.0.7", "10.0.0.7"));
        assert!(!same("10.0.0.8", "10.0.0.7") && !same("fe80::1", "fe80::2"));
    }
}
