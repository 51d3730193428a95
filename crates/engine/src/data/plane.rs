//! Data connections: bulk bytes, moved with blocking calls.
//!
//! A data connection has a thread at each end while bytes move. That is what makes
//! it fast: from a file to a socket the kernel moves the bytes (sendfile, which
//! `std::io::copy` does not use for a socket), and hashing and writing run
//! beside receiving. Before a request has come as a whole, there is none to answer it
//! ([`super::places`]).

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncReadExt;

use chordal_core::error::{CommandError, Reason};
use chordal_core::peer::Party;
use chordal_core::wire::codec;
use chordal_core::wire::data::DataRequest;
use chordal_core::wire::handshake::{self, Hello, PREAMBLE_BYTES, Purpose};
use chordal_descriptors::{DIAL_PATIENCE, is_shortage, wait_out};
use chordal_view::TransferKind;

use super::idle::Idle;
use super::limits::{Limiter, Limits};
use super::reach;
use super::reach::Reach;
use crate::data::signs::Signs;
use crate::net::connection::{CONNECT_LIMIT, HELLO_LIMIT};
use crate::net::handle::ByteCounters;
use crate::net::shutdown_handles::{Registered, ShutdownHandle, ShutdownHandles};
use crate::transfers::{Cancelled, Transfer, Transfers};

/// A side that neither sends nor takes a byte for this long is gone. Long
/// enough for an fsync of a large file on a slow disk on the other side.
pub(crate) const STALL_LIMIT: Duration = Duration::from_secs(30);

/// Bytes handed to the kernel at once; between two such steps progress is
/// counted and cancelling is noticed.
const STEP_BYTES: u64 = 4 * 1024 * 1024;

/// Bytes that requests seldom exceed.
const USUAL_HEADER_BYTES: usize = 1024;

/// Bytes copied at once where the kernel does not move them itself.
const COPY_BYTES: usize = 256 * 1024;

/// What one end of data connections needs to know.
#[derive(Clone, Debug)]
pub(crate) struct DataPlane {
    /// How this side introduces itself; its purpose is [`Purpose::Data`].
    pub(crate) hello: Hello,
    /// Counts the bytes.
    pub(crate) counters: Arc<ByteCounters>,
    /// Notes from whom they came.
    pub(crate) signs: Signs,
    /// Where its connections are registered.
    pub(crate) shutdown: ShutdownHandles,
    /// Its connections that wait for a further request.
    pub(crate) idle: Idle,
    /// How fast they may be.
    pub(crate) limits: Limits,
    /// To whom they are made.
    pub(crate) reach: Reach,
    /// They are waited for although others could be asked: others are asked meanwhile,
    /// or are no use.
    pub(crate) patient: bool,
}

/// Why bytes did not move.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DataError {
    /// The connection failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The other side does not speak with us, or cannot do what was asked.
    #[error("{0}")]
    Peer(String),
    /// The other side says why it cannot do what was asked.
    #[error("{0}")]
    Failed(CommandError),
    /// The other side said one thing and did another, or nothing that fits.
    #[error("{0}")]
    Lied(String),
    /// The file that is sent is not what it was.
    #[error("the file changed while it was read")]
    Changed,
    /// The user wants no more.
    #[error("cancelled")]
    Cancelled,
}

impl From<DataError> for CommandError {
    fn from(error: DataError) -> CommandError {
        match error {
            DataError::Failed(why) => why,
            DataError::Cancelled => CommandError::CANCELLED,
            other => Reason::TryAgain.because(other.to_string()),
        }
    }
}

impl From<Cancelled> for DataError {
    fn from(_: Cancelled) -> DataError {
        DataError::Cancelled
    }
}

/// One end of a data connection.
#[derive(Debug)]
pub(crate) struct DataConnection {
    /// One descriptor, however many read, write and cut it; one more while the connection
    /// waits for a request.
    stream: Arc<TcpStream>,
    /// The other side.
    party: Party,
    counters: Counters,
    registered: Registered,
    limits: Limits,
    /// Bytes that readers of this connection alone have received.
    arrived: Arc<AtomicU64>,
}

/// Counts the bytes of a connection, and notes that its other side lives.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    all: Arc<ByteCounters>,
    from: Option<(SocketAddr, Signs)>,
}

impl Counters {
    fn sent(&self, bytes: usize) {
        self.all.sent(bytes);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.all.received(bytes);
        if let Some((address, signs)) = &self.from {
            signs.saw(*address);
        }
    }
}

impl DataPlane {
    /// The same side under another name, with connections of its own.
    pub(crate) fn greeting_as(&self, hello: Hello) -> DataPlane {
        DataPlane { hello, idle: Idle::default(), ..self.clone() }
    }

    /// Has a short exchange with a node, over a connection that is kept for the
    /// next one when `exchange` succeeds: nothing may be owed over it then. One
    /// that was kept and turns out to have ended is replaced, once, so the
    /// exchange must be one that can be repeated. No answer may come later than
    /// after `patience`.
    pub(crate) fn over<T>(
        &self,
        address: SocketAddr,
        patience: Duration,
        mut exchange: impl FnMut(&mut DataConnection) -> Result<T, DataError>,
    ) -> Result<T, DataError> {
        let mut once = |mut connection: DataConnection| {
            connection.wait_at_most(patience)?;
            let result = exchange(&mut connection)?;
            self.idle.keep(address, connection);
            Ok(result)
        };
        if let Some(kept) = self.idle.take(address) {
            match once(kept) {
                Err(DataError::Io(error)) if has_ended(&error) => {}
                result => return result,
            }
        }
        once(self.dial_within(address, patience)?)
    }

    /// Connects to a node and greets it; gives up soon, for another one can be asked,
    /// unless this side is patient.
    pub(crate) fn dial(&self, address: SocketAddr) -> Result<DataConnection, DataError> {
        self.dial_within(address, reach::PATIENCE)
    }

    fn dial_within(
        &self,
        address: SocketAddr,
        at_most: Duration,
    ) -> Result<DataConnection, DataError> {
        let moment = self.reach.moment(address);
        let limit = if self.patient { reach::PATIENCE } else { moment }.min(at_most);
        let dialled = self.connect(address, limit);
        match &dialled {
            Err(DataError::Io(error)) if has_timed_out(error) && limit < moment => {
                self.reach.doubt(address);
            }
            // Says nothing of the other side.
            Err(error) if error.is_shortage() => {}
            dialled => self.reach.saw(address, !matches!(dialled, Err(DataError::Io(_)))),
        }
        dialled
    }

    fn connect(&self, address: SocketAddr, limit: Duration) -> Result<DataConnection, DataError> {
        let mut began = Instant::now();
        let connect = || {
            // What is waited for here is not the other side.
            began = Instant::now();
            TcpStream::connect_timeout(&address, limit.min(CONNECT_LIMIT))
        };
        let stream = Arc::new(wait_out(DIAL_PATIENCE, connect)?);
        stream.set_nodelay(true)?;
        let registered = self.shutdown.register(&stream);
        stream.set_write_timeout(Some(STALL_LIMIT))?;
        let mut connection = self.connection(stream, Party::Node(address), registered)?;
        let hello = Hello { purpose: Purpose::Data, ..self.hello.clone() };
        let bytes = hello.to_bytes().map_err(|error| DataError::Peer(error.to_string()))?;
        (&*connection.stream).write_all(&bytes)?;
        let theirs = connection.receive_hello(began + limit)?;
        if let Some(why) = theirs.refusal {
            return Err(DataError::Peer(why));
        }
        connection.stream.set_read_timeout(Some(STALL_LIMIT))?;
        Ok(connection)
    }

    /// Takes over a connection that `party` made and that is greeted already.
    pub(crate) fn accepted(
        &self,
        stream: tokio::net::TcpStream,
        party: Party,
    ) -> io::Result<DataConnection> {
        let stream = stream.into_std()?;
        stream.set_nonblocking(false)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(STALL_LIMIT))?;
        stream.set_write_timeout(Some(STALL_LIMIT))?;
        let stream = Arc::new(stream);
        let registered = self.shutdown.register(&stream);
        self.connection(stream, party, registered)
    }

    fn connection(
        &self,
        stream: Arc<TcpStream>,
        party: Party,
        registered: Registered,
    ) -> io::Result<DataConnection> {
        #[cfg(unix)]
        if let Some(bytes) = self.limits.down.held() {
            rustix::net::sockopt::set_socket_recv_buffer_size(&stream, bytes)?;
        }
        let from = match party {
            Party::Node(address) => Some((address, self.signs.clone())),
            Party::Client(_) => None,
        };
        let counters = Counters { all: Arc::clone(&self.counters), from };
        let limits = self.limits.clone();
        Ok(DataConnection { stream, party, counters, registered, limits, arrived: Arc::default() })
    }
}

impl DataConnection {
    /// Sets how long the other side may send nothing.
    pub(crate) fn wait_at_most(&self, limit: Duration) -> Result<(), DataError> {
        Ok(self.stream.set_read_timeout(Some(limit))?)
    }

    /// Sets how long the other side may take nothing.
    pub(crate) fn push_at_most(&self, limit: Duration) -> Result<(), DataError> {
        Ok(self.stream.set_write_timeout(Some(limit))?)
    }

    /// Sends a header.
    pub(crate) fn send<T: Serialize>(&self, header: &T) -> Result<(), DataError> {
        let bytes = codec::frame(header).map_err(|error| DataError::Peer(error.to_string()))?;
        (&*self.stream).write_all(&bytes)?;
        self.counters.sent(bytes.len());
        Ok(())
    }

    /// Sends a header and the bytes behind it in one step.
    pub(crate) fn send_with<T: Serialize>(
        &mut self,
        header: &T,
        raw: &[u8],
    ) -> Result<(), DataError> {
        let mut bytes = codec::frame(header).map_err(|error| DataError::Peer(error.to_string()))?;
        bytes.extend_from_slice(raw);
        self.send_raw(&bytes)
    }

    /// Receives a header.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> Result<T, DataError> {
        let mut prefix = [0; codec::PREFIX_BYTES];
        (&*self.stream).read_exact(&mut prefix)?;
        let mut body = self.body(prefix)?;
        (&*self.stream).read_exact(&mut body)?;
        self.decode(&body)
    }

    /// Receives a request, without a thread. When this is dropped before its end, the
    /// connection is of no use any more.
    pub(crate) async fn receive_request(&self) -> Result<DataRequest, DataError> {
        // Only for this: bytes that a thread moves would wake the runtime as they come.
        self.stream.set_nonblocking(true)?;
        let mut stream = tokio::net::TcpStream::from_std(self.stream.try_clone()?)?;
        let mut prefix = [0; codec::PREFIX_BYTES];
        stream.read_exact(&mut prefix).await?;
        let mut body = self.body(prefix)?;
        stream.read_exact(&mut body).await?;
        self.stream.set_nonblocking(false)?;
        self.decode(&body)
    }

    /// Receives a request that comes as a whole within such a time. `None`: it does not. Blocks.
    pub(crate) fn receive_request_within(
        &mut self,
        limit: Duration,
    ) -> Result<Option<DataRequest>, DataError> {
        let mut header = [0; USUAL_HEADER_BYTES];
        self.wait_at_most(limit)?;
        let peeked = self.stream.peek(&mut header);
        self.wait_at_most(STALL_LIMIT)?;
        match peeked {
            Ok(count) if codec::begins_with_frame(&header[..count]) => self.receive().map(Some),
            // What it is, the next who waits for it hears.
            _ => Ok(None),
        }
    }

    /// Room for what follows a header's length.
    fn body(&self, prefix: [u8; codec::PREFIX_BYTES]) -> Result<Vec<u8>, DataError> {
        let length =
            codec::frame_length(prefix).map_err(|error| DataError::Peer(error.to_string()))?;
        self.counters.received(prefix.len());
        Ok(vec![0; length])
    }

    fn decode<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, DataError> {
        self.counters.received(body.len());
        codec::decode(body).map_err(|error| DataError::Peer(error.to_string()))
    }

    /// Sends raw bytes.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) -> Result<(), DataError> {
        for slice in bytes.chunks(self.limits.up.slice().unwrap_or(usize::MAX)) {
            (&*self.stream).write_all(slice)?;
            self.counters.sent(slice.len());
            self.limits.up.pay(slice.len(), self.registered.was_cut())?;
        }
        Ok(())
    }

    /// Fills a buffer with raw bytes.
    pub(crate) fn receive_raw(&mut self, buffer: &mut [u8]) -> Result<(), DataError> {
        for slice in buffer.chunks_mut(self.limits.down.slice().unwrap_or(usize::MAX)) {
            (&*self.stream).read_exact(slice)?;
            self.counters.received(slice.len());
            self.limits.down.pay(slice.len(), self.registered.was_cut())?;
        }
        Ok(())
    }

    /// Sends the next `length` bytes of a file. Counts into the transfer as it
    /// goes.
    pub(crate) fn send_file(
        &mut self,
        file: &File,
        length: u64,
        transfer: &Transfer,
    ) -> Result<(), DataError> {
        let step = self.limits.up.slice().map_or(STEP_BYTES, |slice| slice as u64);
        let mut left = length;
        while left > 0 {
            if transfer.is_cancelled() {
                return Err(DataError::Cancelled);
            }
            // At most STEP_BYTES, which fits into any usize.
            let sent = pass_on(file, &self.stream, left.min(step) as usize)?;
            if sent == 0 {
                return Err(DataError::Changed);
            }
            left -= sent as u64;
            self.counters.sent(sent);
            transfer.advance(sent as u64);
            self.limits.up.pay(sent, self.registered.was_cut())?;
        }
        Ok(())
    }

    /// Whether the other side has said something, or has gone, while it was
    /// being sent bytes. Not while another thread reads or writes: the socket
    /// does not wait for a moment.
    pub(crate) fn has_answer(&self) -> bool {
        if self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let looked = self.stream.peek(&mut [0]);
        let again = self.stream.set_nonblocking(false);
        again.is_err() || !matches!(looked, Err(why) if why.kind() == io::ErrorKind::WouldBlock)
    }

    /// Where the bytes of this connection are counted.
    pub(crate) fn counters(&self) -> Counters {
        self.counters.clone()
    }

    /// Where a reader counts the bytes of this connection as they come: its speed is
    /// measured there.
    pub(crate) fn arrived(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.arrived)
    }

    /// Another user of the socket, to read on a thread of its own; it counts the
    /// bytes itself.
    pub(crate) fn reader(&self) -> Reader {
        let (limit, cut) = (self.limits.down.clone(), Arc::clone(self.registered.was_cut()));
        Reader { stream: Arc::clone(&self.stream), limit, cut }
    }

    /// How many connections may be doing what this one does, at the most: they
    /// share the memory.
    pub(crate) const fn beside(&self) -> usize {
        self.limits.sources
    }

    /// Shuts the connection down: its reader and writer get an error.
    pub(crate) fn cut(&self) {
        self.registered.handle().cut();
    }

    /// ShutdownHandles the connection from elsewhere.
    pub(crate) fn handle(&self) -> ShutdownHandle {
        self.registered.handle()
    }

    /// Has the connection cut when its transfer is cancelled.
    pub(crate) fn serves(&self, transfer: &Transfer) {
        transfer.goes_over(self.registered.handle());
    }

    /// Opens the transfer of what comes or goes over this connection.
    pub(crate) fn opens(
        &self,
        transfers: &Transfers,
        kind: TransferKind,
        name: &str,
        total: u64,
    ) -> Transfer {
        let transfer = transfers.open(kind, name, total);
        self.serves(&transfer);
        transfer.with_party(self.party);
        transfer
    }

    /// The other side.
    pub(crate) const fn party(&self) -> Party {
        self.party
    }

    fn receive_hello(&mut self, until: Instant) -> Result<Hello, DataError> {
        let until = until.min(Instant::now() + HELLO_LIMIT);
        let unfit = |error: codec::CodecError| DataError::Peer(error.to_string());
        let mut preamble = [0; PREAMBLE_BYTES];
        self.fill(&mut preamble, until)?;
        handshake::check_preamble(preamble).map_err(|error| DataError::Peer(error.to_string()))?;
        let mut prefix = [0; codec::PREFIX_BYTES];
        self.fill(&mut prefix, until)?;
        let mut body = vec![0; codec::frame_length(prefix).map_err(unfit)?];
        self.fill(&mut body, until)?;
        self.counters.received(prefix.len() + body.len());
        codec::decode(&body).map_err(unfit)
    }

    /// Fills a buffer within a time. The system begins its count again with each read, also
    /// when a signal interrupts one.
    fn fill(&mut self, mut buffer: &mut [u8], until: Instant) -> io::Result<()> {
        while !buffer.is_empty() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(Some(left))?;
            match (&*self.stream).read(buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => buffer = &mut buffer[count..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl DataError {
    /// Whether it says nothing of the other side: this one had no file descriptor.
    pub(crate) fn is_shortage(&self) -> bool {
        matches!(self, DataError::Io(error) if is_shortage(error))
    }

    /// Whether the other side hung up, as it does when it wants no more.
    pub(crate) fn is_hang_up(&self) -> bool {
        matches!(self, DataError::Io(error) if has_ended(error))
    }

    /// Whether a file that was sent is to blame: it is shorter than it was, or
    /// cannot be read.
    pub(crate) fn is_the_files(&self) -> bool {
        match self {
            DataError::Changed => true,
            #[cfg(unix)]
            DataError::Io(error) => {
                error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
            }
            _ => false,
        }
    }
}

/// Whether the other side did nothing in time.
fn has_timed_out(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

/// Whether the other side has closed the connection.
pub(crate) fn has_ended(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
    )
}

/// Reads the raw bytes of a connection, as fast as may be.
#[derive(Debug)]
pub(crate) struct Reader {
    stream: Arc<TcpStream>,
    limit: Limiter,
    cut: Arc<AtomicBool>,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = self.limit.slice().unwrap_or(usize::MAX).min(buffer.len());
        let count = (&*self.stream).read(&mut buffer[..most])?;
        self.limit.pay(count, &self.cut)?;
        Ok(count)
    }
}

/// Sends at most `length` of the next bytes of a file; how many. The kernel
/// moves them where it can.
fn pass_on(file: &File, stream: &TcpStream, length: usize) -> io::Result<usize> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::io::{Errno, retry_on_intr};
        match retry_on_intr(|| rustix::fs::sendfile(stream, file, None, length)) {
            // A file system that cannot: it has moved nothing.
            Err(Errno::INVAL | Errno::NOSYS) => {}
            result => return Ok(result?),
        }
    }
    copy(file, stream, length)
}

/// Without help of the system: through a buffer.
fn copy(mut file: &File, mut stream: &TcpStream, length: usize) -> io::Result<usize> {
    let mut buffer = vec![0; length.min(COPY_BYTES)];
    let count = file.read(&mut buffer)?;
    stream.write_all(&buffer[..count])?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// Sends three bytes of a file of five, twice; what arrives and the counts.
    fn sent(pass: impl Fn(&File, &TcpStream, usize) -> io::Result<usize>) -> (Vec<u8>, Vec<usize>) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("five"), b"abcde").expect("written");
        let file = File::open(dir.path().join("five")).expect("opened");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        let stream = TcpStream::connect(address).expect("connected");
        let (mut other, _) = listener.accept().expect("accepted");
        let counts = (0..3).map(|_| pass(&file, &stream, 3).expect("sent")).collect();
        drop(stream);
        let mut arrived = Vec::new();
        other.read_to_end(&mut arrived).expect("received");
        (arrived, counts)
    }

    #[test]
    fn a_file_goes_out_the_same_with_and_without_the_kernels_help() {
        let expected = (b"abcde".to_vec(), vec![3, 2, 0]);
        assert_eq!(sent(pass_on), expected);
        assert_eq!(sent(copy), expected);
    }
}
