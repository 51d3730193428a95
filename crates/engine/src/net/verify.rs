//! Whether the address that a node advertises leads to it.
//!
//! Everything on the ring is sent to addresses. Two nodes with one address are taken for
//! one, and messages for the one get lost at the other. So before a node calls itself a
//! member anywhere, it asks the other side to dial its address and to present a token
//! there, which this very process must receive. [`once`] comes before every connection as
//! a member; [`through`] tells a user who wants to join why that is not possible.
//!
//! [`answer`] is the other side. It dials only for nodes of its own ring, only the address
//! in the asker's hello, and not too often: it must not serve to scan ports, and tells
//! almost nothing about other programs.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use chordal_core::error::{Absence, CommandError, Fault, Reason};
use chordal_core::mesh::bucket::{Bucket, Rate};
use chordal_core::peer::is_reachable;
use chordal_core::time::Time;
use chordal_core::wire::handshake::{
    HandshakeError, Hello, Params, Program, Purpose, Reached, Token,
};
use chordal_core::wire::{Frame, Response};

use super::connection;
use super::connection::ConnectError;
use super::frames::{Broken, Frames};
use super::greeting;
use super::greeting::Greeted;
use super::handle::Net;

/// Time for the asked side to reach the address: as for any connection, on a
/// machine on which many nodes start at once.
const REACH_LIMIT: Duration = Duration::from_secs(3);

/// Time for the answer, [`REACH_LIMIT`] and the way there included.
const ANSWER_LIMIT: Duration = Duration::from_secs(6);

/// How long a node is asked again that is busy with the addresses of others.
const BUSY_LIMIT: Duration = Duration::from_secs(4);

/// The pause before that, in milliseconds: an address that is reached takes a few.
const BUSY_PAUSE_MS: Range<u64> = 20..100;

/// Addresses that are dialled for others at a time.
const DIALS: usize = 64;

/// Addresses that are dialled for others in a while: a room full of nodes may
/// join through one contact at once.
const RATE: Rate = Rate { burst: 256, every: Duration::from_millis(100) };

/// What a node knows of its own address. Clones are the same.
#[derive(Clone, Debug)]
pub(crate) struct Verification(Arc<State>);

#[derive(Debug)]
struct State {
    /// The address led here when it was tried last.
    verified: AtomicBool,
    /// Tokens that others were given to present, and whether they came.
    tokens: Mutex<BTreeMap<Token, bool>>,
    dials: Semaphore,
    rate: Mutex<Bucket>,
}

impl Default for Verification {
    fn default() -> Verification {
        Verification(Arc::new(State {
            verified: AtomicBool::new(false),
            tokens: Mutex::default(),
            dials: Semaphore::new(DIALS),
            rate: Mutex::default(),
        }))
    }
}

/// Why a node is not sure of its address.
#[derive(Debug)]
pub(crate) enum Unverified {
    /// The other side could not be asked.
    NotAsked(ConnectError),
    /// The address leads somewhere else: one sentence.
    Misplaced(String),
}

impl Unverified {
    /// In a sentence, of the node that was to be asked.
    pub(crate) fn told_of(self, contact: SocketAddr) -> CommandError {
        match self {
            Unverified::NotAsked(error) => {
                let fault = format!("cannot be asked for this node's address: {error}; try again");
                CommandError::peer(contact, Fault::Other(fault))
            }
            Unverified::Misplaced(why) => Reason::NotAllowed.because(why),
        }
    }
}

impl From<Unverified> for ConnectError {
    fn from(why: Unverified) -> ConnectError {
        match why {
            Unverified::NotAsked(error) => error,
            Unverified::Misplaced(why) => ConnectError::Misplaced(why),
        }
    }
}

impl Verification {
    /// A program presented a token at the address at which this node listens.
    pub(crate) fn presented(&self, token: Token) {
        if let Some(came) = self.0.tokens.lock().get_mut(&token) {
            *came = true;
        }
    }

    /// The next connection as a member verifies the address again.
    pub(crate) fn forget(&self) {
        self.0.verified.store(false, Ordering::Relaxed);
    }

    fn expect(&self) -> Expected {
        // Keyed by the system's random numbers. fastrand's can be computed from a
        // few earlier ones, which others get to see.
        let random = || RandomState::new().hash_one(0);
        let token = Token(u128::from(random()) << 64 | u128::from(random()));
        self.0.tokens.lock().insert(token, false);
        Expected { verification: self.clone(), token }
    }

    fn may_dial(&self, now: Time) -> bool {
        self.0.rate.lock().take(now, RATE)
    }
}

/// A token that is waited for.
struct Expected {
    verification: Verification,
    token: Token,
}

impl Expected {
    fn came(&self) -> bool {
        self.verification.0.tokens.lock().get(&self.token) == Some(&true)
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.verification.0.tokens.lock().remove(&self.token);
    }
}

/// Makes sure, unless that was done before, that this node's address leads to it as
/// seen from the node at `contact`.
pub(crate) async fn once(net: &Net, contact: SocketAddr) -> Result<(), ConnectError> {
    if net.verification.0.verified.load(Ordering::Relaxed) {
        return Ok(());
    }
    let params = net.me().params;
    through(net, contact, &params).await.map_err(ConnectError::from)
}

/// Has the node at `contact`, which is on a ring with these parameters, present a
/// token at the address that this node advertises.
pub(crate) async fn through(
    net: &Net,
    contact: SocketAddr,
    params: &Params,
) -> Result<(), Unverified> {
    let me = net.me();
    let expected = net.verification.expect();
    let purpose = Purpose::Verify(expected.token);
    let hello = Hello { params: Some(params.clone()), ..me.hello(purpose) };
    let answer = timeout(ANSWER_LIMIT, ask_in_turn(contact, &hello)).await;
    if expected.came() {
        net.verification.0.verified.store(true, Ordering::Relaxed);
        return Ok(());
    }
    let reached = answer.unwrap_or(Err(ConnectError::TimedOut)).map_err(Unverified::NotAsked)?;
    if reached == Reached::Busy {
        let why = "it verifies too many addresses at the moment";
        return Err(Unverified::NotAsked(HandshakeError::Refused(why.to_owned()).into()));
    }
    Err(Unverified::Misplaced(sentence(me.me.address(), &contact.to_string(), &reached)))
}

/// Why this node cannot give others its address, if another node is reached there:
/// one sentence. That nothing is reached says nothing: many a network does not lead its
/// own machines to the address at which others reach them.
pub(crate) async fn leads_elsewhere(net: &Net) -> Option<String> {
    if net.verification.0.verified.load(Ordering::Relaxed) {
        return None;
    }
    let me = net.me().me.address();
    let expected = net.verification.expect();
    let reached = reach(net, me, expected.token).await;
    let other = matches!(reached, Reached::Node { .. }) && !expected.came();
    other.then(|| sentence(me, "this machine", &reached))
}

/// Asks again while the other node has too many addresses to verify: many may join
/// through one contact at the same time.
async fn ask_in_turn(contact: SocketAddr, hello: &Hello) -> Result<Reached, ConnectError> {
    let began = Instant::now();
    loop {
        match ask(contact, hello).await? {
            Reached::Busy if began.elapsed() < BUSY_LIMIT => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(BUSY_PAUSE_MS))).await;
            }
            reached => return Ok(reached),
        }
    }
}

async fn ask(contact: SocketAddr, hello: &Hello) -> Result<Reached, ConnectError> {
    let (stream, _) = connection::dial(contact, hello).await?;
    match Frames::new(stream).next().await {
        Ok(Frame::Response { response: Response::Reached(reached), .. }) => Ok(reached),
        Ok(_) => Err(HandshakeError::NotChordal.into()),
        Err(Broken::Io(error)) => Err(error.into()),
        Err(broken) => Err(HandshakeError::Refused(broken.to_string()).into()),
    }
}

/// Why this node at `me` does not join a ring on which `seen_by` is, and what helps.
fn sentence(me: SocketAddr, seen_by: &str, reached: &Reached) -> String {
    let who = match reached {
        Reached::Node { peer, params } if params.is_sane() => {
            let id = params.space.show(peer.id(params.space));
            let name = if peer.address() == me { String::new() } else { format!(" ({peer})") };
            format!("leads to another node, {id}{name} on ring {}", params.describe())
        }
        Reached::Registry => "leads to a registry".to_owned(),
        Reached::Node { .. } | Reached::Stranger => "leads to another program".to_owned(),
        Reached::Refused => "leads to no node: connection refused".to_owned(),
        Reached::Silent => "leads to no node: no answer in time, as behind a firewall".to_owned(),
        Reached::NoRoute => "leads to no node: no route to host".to_owned(),
        Reached::Loopback => "leads to no node: only its own machine reaches it".to_owned(),
        Reached::Busy => "could not be verified".to_owned(),
    };
    let what = match reached {
        Reached::Refused | Reached::Silent | Reached::NoRoute => {
            "open or forward that port, or give the address at which others reach this node with \
             --advertise"
        }
        Reached::Loopback => {
            "listen on 0.0.0.0 and give the address at which others reach this node with \
             --advertise"
        }
        _ => "start this node with an address of its own (--advertise)",
    };
    format!("the address of this node, {me}, {who}, as {seen_by} sees it; {what}")
}

/// Verifies the address in the hello of another node, and tells it whom one
/// reaches there.
pub(crate) async fn answer(net: &Net, stream: tokio::net::TcpStream, theirs: &Hello, token: Token) {
    let Some(address) = theirs.address else { return };
    let here = connection::is_here(&stream);
    let reached = if address.ip().to_canonical().is_loopback() && !here {
        Reached::Loopback
    } else {
        reach(net, address, token).await
    };
    tracing::debug!(%address, ?reached, "an address was verified");
    let response = Response::Reached(reached);
    let _ = Frames::new(stream).send(&Frame::Response { id: 0, response }).await;
}

async fn reach(net: &Net, address: SocketAddr, token: Token) -> Reached {
    let verification = &net.verification;
    let now = Time::from_micros(net.uptime().as_micros() as u64);
    let Ok(_turn) = verification.0.dials.try_acquire() else { return Reached::Busy };
    if !verification.may_dial(now) {
        return Reached::Busy;
    }
    let hello = net.me().hello(Purpose::Present(token));
    let until = Instant::now() + REACH_LIMIT;
    match greeting::greet(address, &hello, until).await {
        Ok(Greeted::Hello(theirs)) => match (theirs.program, theirs.peer(), theirs.params) {
            (Program::Node, Some(peer), Some(params))
                if params.is_sane() && is_reachable(peer.address()) =>
            {
                Reached::Node { peer, params }
            }
            (Program::Registry, ..) => Reached::Registry,
            _ => Reached::Stranger,
        },
        Ok(Greeted::Stranger(_)) => Reached::Stranger,
        Ok(Greeted::Nobody(Absence::Refused)) => Reached::Refused,
        Ok(Greeted::Nobody(Absence::Silent)) => Reached::Silent,
        Ok(Greeted::Nobody(Absence::NoRoute)) => Reached::NoRoute,
        Err(error) => {
            tracing::warn!(%error, %address, "an address could not be verified");
            Reached::Busy
        }
    }
}
