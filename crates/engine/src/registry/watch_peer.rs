//! Checks of one peer, over a connection that is kept to it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::net::connection;
use crate::net::connection::ConnectError;
use crate::net::frames::{Broken, Frames};
use crate::net::greeting::client_hello;
use chordal_core::registry::list::Check;
use chordal_core::wire::handshake::{Hello, Program, Purpose};
use chordal_core::wire::registry::Listed;
use chordal_core::wire::{Frame, Request, Response};

use super::RegistryHandle;
use super::server::Input;

/// Time for an answer: a peer that needs longer is no use to a node that wants
/// to join through it.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Pause between two checks of a peer that closes its connection again and
/// again, or of which nodes keep telling.
const SPACING: Duration = Duration::from_millis(500);

/// Orders of the server to the task of a peer.
#[derive(Debug)]
pub(super) struct Watcher {
    nudges: mpsc::Sender<()>,
    end: CancellationToken,
}

impl Watcher {
    /// Begins to check the peer at this address, at once. `number` comes back
    /// with every result. `claimed`: it is not on the list yet.
    pub(super) fn start(
        handle: &RegistryHandle,
        address: SocketAddr,
        number: u64,
        claimed: bool,
    ) -> Watcher {
        let (nudges, nudged) = mpsc::channel(1);
        let end = handle.stop.child_token();
        let turns = if claimed { &handle.claimed } else { &handle.listed };
        let watch = Watch { address, number, turns: Arc::clone(turns), line: None };
        let (handle, ending) = (handle.clone(), end.clone());
        let tasks = handle.tasks.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = ending.cancelled() => {}
                () = watch.run(&handle, nudged) => {}
            }
        });
        Watcher { nudges, end }
    }

    /// Has the peer asked for all that it says of itself, at once.
    pub(super) fn nudge(&self) {
        // One that waits already does as well.
        let _ = self.nudges.try_send(());
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.end.cancel();
    }
}

struct Watch {
    address: SocketAddr,
    number: u64,
    /// Among whom it waits for its turn to dial.
    turns: Arc<Semaphore>,
    line: Option<Line>,
}

/// A connection to the peer.
struct Line {
    frames: Frames,
    /// What it said when it was connected.
    hello: Hello,
    /// What it said of itself last.
    listed: Option<Listed>,
    /// Questions asked over it.
    asked: u32,
}

/// Why there is no answer.
enum NoAnswer {
    /// Nothing is there, or not any more.
    Closed,
    /// Nothing came in time.
    Silent,
    /// What came makes no sense.
    Stranger(String),
    /// This registry's own fault.
    Ours(std::io::Error),
}

impl Watch {
    async fn run(mut self, handle: &RegistryHandle, mut nudged: mpsc::Receiver<()>) {
        let mut whole = true;
        loop {
            let begun = Instant::now();
            if let Some(check) = self.check(whole).await {
                if matches!(check, Check::Alive(_)) {
                    // On the list now, or soon not watched any more.
                    self.turns = Arc::clone(&handle.listed);
                }
                let (address, number) = (self.address, self.number);
                let input = Input::Checked { address, number, check };
                if handle.server.send(input).await.is_err() {
                    return;
                }
            }
            // Peers that came together drift apart.
            let pause = handle.check.mul_f64(0.9 + 0.2 * fastrand::f64());
            let closed = async {
                match &self.line {
                    Some(line) => line.frames.closed().await,
                    None => std::future::pending().await,
                }
            };
            whole = tokio::select! {
                nudge = nudged.recv() => {
                    if nudge.is_none() {
                        return;
                    }
                    true
                }
                () = closed => true,
                () = tokio::time::sleep(pause) => false,
            };
            tokio::time::sleep_until(begun + SPACING.min(pause)).await;
        }
    }

    /// One check; `None` when this registry itself could not make it. Where
    /// nothing listens, or not any more, it looks a second time at once: the
    /// other side may have closed the connection for reasons of its own.
    async fn check(&mut self, whole: bool) -> Option<Check> {
        for second in [false, true] {
            let listed = match self.ask(whole).await {
                Ok(listed) => return Some(Check::Alive(listed)),
                Err(why) => why,
            };
            match listed {
                NoAnswer::Closed => self.line = None,
                NoAnswer::Silent => return Some(Check::Silent),
                NoAnswer::Stranger(why) => {
                    self.line = None;
                    return Some(Check::Stranger(why));
                }
                NoAnswer::Ours(error) => {
                    tracing::warn!(%error, address = %self.address, "a peer could not be checked");
                    return None;
                }
            }
            if second {
                break;
            }
        }
        Some(Check::Refused)
    }

    /// Asks the peer for its identity (`whole`, and whenever that is not known), or
    /// only for a sign of life.
    async fn ask(&mut self, whole: bool) -> Result<Listed, NoAnswer> {
        if self.line.is_none() {
            self.line = Some(self.dial().await?);
        }
        let Some(line) = &mut self.line else { return Err(NoAnswer::Closed) };
        let asking = line.ask(self.address, whole);
        timeout(ANSWER_LIMIT, asking).await.unwrap_or(Err(NoAnswer::Silent))
    }

    async fn dial(&self) -> Result<Line, NoAnswer> {
        let Ok(_turn) = self.turns.acquire().await else { return Err(NoAnswer::Silent) };
        let hello = Hello { program: Program::Registry, ..client_hello(Purpose::Client) };
        let dialling = timeout(ANSWER_LIMIT, connection::dial(self.address, &hello));
        let (stream, hello) = match dialling.await {
            Ok(Ok(dialled)) => dialled,
            Ok(Err(ConnectError::Io(error))) => return Err(fault(error)),
            Ok(Err(ConnectError::TimedOut | ConnectError::Silent)) | Err(_) => {
                return Err(NoAnswer::Silent);
            }
            Ok(Err(why @ (ConnectError::Handshake(_) | ConnectError::Misplaced(_)))) => {
                return Err(NoAnswer::Stranger(format!("it is no node: {why}")));
            }
        };
        if hello.program != Program::Node {
            return Err(NoAnswer::Stranger("it is no node".to_owned()));
        }
        Ok(Line { frames: Frames::new(stream), hello, listed: None, asked: 0 })
    }
}

impl Line {
    async fn ask(&mut self, address: SocketAddr, whole: bool) -> Result<Listed, NoAnswer> {
        if self.hello.address != Some(address) {
            let other = self.hello.address.map_or_else(|| "none".to_owned(), |a| a.to_string());
            return Err(NoAnswer::Stranger(format!("the node there has another address: {other}")));
        }
        if let Some(listed) = self.listed.clone().filter(|_| !whole) {
            return match self.question(Request::Ping { peer: None }).await? {
                Response::Pong { .. } => Ok(listed),
                other => Err(unfit(&other)),
            };
        }
        let info = match self.question(Request::Info).await? {
            Response::Info(info) => info,
            other => return Err(unfit(&other)),
        };
        if info.peer.address() != address || !info.params.is_sane() {
            return Err(NoAnswer::Stranger("it contradicts itself about who it is".to_owned()));
        }
        let listed = Listed {
            address,
            index: info.peer.index(),
            params: info.params,
            member: info.member && !info.successors.is_empty(),
        };
        self.listed = Some(listed.clone());
        Ok(listed)
    }

    async fn question(&mut self, request: Request) -> Result<Response, NoAnswer> {
        self.asked = self.asked.wrapping_add(1);
        let id = self.asked;
        self.frames.send(&Frame::Request { id, request }).await?;
        loop {
            // Late answers to earlier questions are passed over.
            if let Frame::Response { id: of, response } = self.frames.next().await?
                && of == id
            {
                return Ok(response);
            }
        }
    }
}

impl From<Broken> for NoAnswer {
    fn from(broken: Broken) -> NoAnswer {
        match broken {
            Broken::Closed => NoAnswer::Closed,
            Broken::Stuck => NoAnswer::Silent,
            Broken::Io(error) => fault(error),
            Broken::Garbled(_) => NoAnswer::Stranger(broken.to_string()),
        }
    }
}

/// Whose fault it is that a connection failed.
fn fault(error: std::io::Error) -> NoAnswer {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    match error.kind() {
        _ if matches!(code, Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) => {
            NoAnswer::Ours(error)
        }
        ErrorKind::AddrNotAvailable | ErrorKind::OutOfMemory => NoAnswer::Ours(error),
        // The way there may be back at the next look.
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::TimedOut => {
            NoAnswer::Silent
        }
        _ => NoAnswer::Closed,
    }
}

fn unfit(response: &Response) -> NoAnswer {
    match response {
        Response::Failed { why } => NoAnswer::Stranger(format!("it says: {why}")),
        _ => NoAnswer::Stranger("it answers something else than what it was asked".to_owned()),
    }
}
