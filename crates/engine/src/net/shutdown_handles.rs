//! Data connections in use, so that they can be cut from outside.
//!
//! The data plane moves bytes with blocking calls on threads of its own, which
//! no task can interrupt; shutting the socket down under them does.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// All data connections of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct ShutdownHandles {
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    streams: BTreeMap<u64, Stream>,
    closed: bool,
}

#[derive(Debug)]
struct Stream {
    socket: Arc<TcpStream>,
    /// Set with the cut: for a thread that waits for something else.
    cut: Arc<AtomicBool>,
}

impl Stream {
    fn cut(&self) {
        self.cut.store(true, Ordering::Relaxed);
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Keeps a connection registered while its user holds this.
#[derive(Debug)]
pub(crate) struct Registered {
    number: u64,
    shutdown: ShutdownHandles,
    cut: Arc<AtomicBool>,
}

impl ShutdownHandles {
    /// Registers a connection. When everything was cut already, it is shut
    /// down at once.
    pub(crate) fn register(&self, stream: &Arc<TcpStream>) -> Registered {
        let cut = Arc::new(AtomicBool::new(false));
        let stream = Stream { socket: Arc::clone(stream), cut: Arc::clone(&cut) };
        let mut open = self.open.lock();
        if open.closed {
            stream.cut();
        }
        let number = open.next;
        open.next += 1;
        open.streams.insert(number, stream);
        Registered { number, shutdown: self.clone(), cut }
    }

    /// Shuts every connection down, and all that come later.
    pub(crate) fn cut_all(&self) {
        let mut open = self.open.lock();
        open.closed = true;
        for stream in open.streams.values() {
            stream.cut();
        }
    }
}

/// ShutdownHandles one connection, from anywhere; none once its user has let go of it.
#[derive(Clone, Debug)]
pub(crate) struct ShutdownHandle {
    number: u64,
    shutdown: ShutdownHandles,
}

impl ShutdownHandle {
    /// Shuts the connection down: its reader and writer get an error.
    pub(crate) fn cut(&self) {
        let open = self.shutdown.open.lock();
        if let Some(stream) = open.streams.get(&self.number) {
            stream.cut();
        }
    }
}

impl Registered {
    /// Set once it was cut.
    pub(crate) fn was_cut(&self) -> &Arc<AtomicBool> {
        &self.cut
    }

    /// Its cutter.
    pub(crate) fn handle(&self) -> ShutdownHandle {
        ShutdownHandle { number: self.number, shutdown: self.shutdown.clone() }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut open = self.shutdown.open.lock();
        open.streams.remove(&self.number);
    }
}
