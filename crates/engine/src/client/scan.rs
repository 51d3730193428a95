//! `scan`: which ports of a host have nodes behind them.
//!
//! Each port is greeted as a client greets a node; what answers says itself
//! whether it is a node, of which ring, or a registry. Nothing that it says is
//! kept.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::net::lookup_host;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use chordal_core::error::{CommandError, Fault, Reason};
use chordal_core::peer::{Peer, is_reachable};
use chordal_core::wire::handshake::{Hello, Params, Program, Purpose};
use chordal_descriptors::{COMMAND_PATIENCE, Wait};
use chordal_view::target::{self, Host};
use chordal_view::{Behind, ScanRow, ScannedPort, text};

use super::user::User;
use crate::net::greeting;
use crate::net::greeting::Greeted;
use crate::net::greeting::client_hello;

/// Time for a port to be reached and to greet: what serves people nearby
/// answers in milliseconds.
const PORT_LIMIT: Duration = Duration::from_secs(1);

/// Ports tried at the same time: a whole scan takes seconds, and a process
/// that may open 1 024 files has most of them left.
const AT_ONCE: usize = 256;

/// Time between two reports of a scan's progress: as often as eyes can follow.
const PROGRESS: Duration = Duration::from_millis(100);

/// Time for a host's name to be looked up: after it a person wants to hear
/// that it leads nowhere.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);

/// Characters of what a stranger says of itself.
const MAX_WORDS: usize = 120;

/// The program that scans.
#[derive(Clone, Debug)]
pub(crate) struct Scanner {
    /// The host and ports that are tried by default.
    pub(crate) home: SocketAddr,
    /// The identity of this node; `None` for a client.
    pub(crate) node: Option<(Peer, Params)>,
}

/// `scan` of a running node: its progress is in the snapshots. Of several at a
/// time, the one that began last is shown.
pub(crate) async fn run(
    user: &User,
    host: Option<&str>,
    range: Option<&str>,
) -> Result<ScanRow, CommandError> {
    let me = user.data.net.me();
    let scanner = Scanner { home: me.me.address(), node: Some((me.me, me.params)) };
    let mut number = None;
    let progress = |row: &ScanRow| {
        let mut row = row.clone();
        user.data.notes.show(|rows| {
            let last = rows.scan.as_ref().map_or(0, |scan| scan.number);
            row.number = *number.get_or_insert(last + 1);
            if row.number >= last {
                rows.scan = Some(Arc::new(row));
            }
        });
    };
    let result = tokio::select! {
        result = scan(&scanner, host, range, progress) => result,
        () = user.data.net.stop.cancelled() => Err(CommandError::Stopping),
    };
    result.map(|row| ScanRow { number: number.unwrap_or_default(), ..row })
}

/// Tries all ports side by side; `progress` hears of them every now and then,
/// at the beginning and at the end. Takes a few seconds at the longest.
///
/// Fails when the words mean no host or no ports, and when this machine cannot
/// make connections.
pub(crate) async fn scan(
    scanner: &Scanner,
    host: Option<&str>,
    range: Option<&str>,
    mut progress: impl FnMut(&ScanRow),
) -> Result<ScanRow, CommandError> {
    let wanted = match range {
        Some(range) => target::ports(range).map_err(CommandError::Usage)?.collect(),
        None => target::usual_ports(scanner.home.port()),
    };
    let ip = match host {
        Some(host) => resolve(host, scanner.home.ip()).await?,
        None => scanner.home.ip(),
    };
    let mut row = ScanRow {
        number: 0,
        host: host.map_or_else(|| ip.to_string(), |host| text::clean(host).into_owned()),
        total: u16::try_from(wanted.len()).unwrap_or(u16::MAX),
        done: 0,
        ports: Vec::new(),
        space: scanner.node.as_ref().map(|(_, params)| params.space).unwrap_or_default(),
    };
    progress(&row);
    let hello = client_hello(Purpose::Client);
    let mut tries = stream::iter(wanted)
        .map(|port| probe(scanner, SocketAddr::new(ip, port), &hello))
        .buffer_unordered(AT_ONCE);
    let mut ticks = interval(PROGRESS);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = row.done;
    loop {
        let tried = tokio::select! {
            tried = tries.next() => tried,
            _ = ticks.tick() => {
                if told < row.done {
                    told = row.done;
                    progress(&row);
                }
                continue;
            }
        };
        let Some(tried) = tried else { break };
        let tried = tried?;
        let at = row.ports.partition_point(|other| other.address < tried.address);
        row.ports.insert(at, tried);
        row.done += 1;
    }
    progress(&row);
    Ok(row)
}

/// What is behind one address. `Err`: this machine cannot find out.
async fn probe(
    scanner: &Scanner,
    address: SocketAddr,
    hello: &Hello,
) -> Result<ScannedPort, CommandError> {
    if scanner.node.as_ref().is_some_and(|(me, _)| me.address() == address) {
        return Ok(ScannedPort { address, found: Behind::Me });
    }
    let mut wait = Wait::at_most(COMMAND_PATIENCE);
    let found = loop {
        match greeting::greet(address, hello, Instant::now() + PORT_LIMIT).await {
            Err(error) => match wait.after(&error) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => break Err(error),
            },
            found => break found,
        }
    };
    let found = found.map_err(|error| {
        let fault = format!("cannot be tried: {error}; close other programs, or scan fewer ports");
        CommandError::peer(address, Fault::Other(fault))
    })?;
    let found = match found {
        Greeted::Nobody(_) => Behind::Inactive,
        Greeted::Stranger(what) => Behind::NotChordal(what),
        Greeted::Hello(theirs) => classify(scanner, &theirs),
    };
    Ok(ScannedPort { address, found })
}

/// What a program is by its greeting.
fn classify(scanner: &Scanner, theirs: &Hello) -> Behind {
    match (theirs.program, theirs.peer(), &theirs.params) {
        (Program::Registry, ..) => Behind::Registry,
        (Program::Node, Some(peer), _) if !is_reachable(peer.address()) => {
            Behind::NotChordal(format!("calls itself {peer}, which cannot be a node's address"))
        }
        (Program::Node, Some(peer), Some(params)) if params.is_sane() => match &scanner.node {
            Some((me, _)) if *me == peer => Behind::Me,
            Some((_, ours)) if ours == params => Behind::Node(peer),
            _ => Behind::OtherRing { peer, ring: params.describe(), space: params.space },
        },
        _ => {
            let why = theirs.refusal.as_deref().unwrap_or("does not say who it is");
            Behind::NotChordal(text::clean(why).chars().take(MAX_WORDS).collect())
        }
    }
}

/// The address of a host, of the same family as one's own if it has one.
async fn resolve(host: &str, home: IpAddr) -> Result<IpAddr, CommandError> {
    let name = match target::host(host).map_err(CommandError::Usage)? {
        Host::Ip(ip) => return Ok(ip),
        Host::Name(name) => name,
    };
    let shown = text::clean(&name);
    let unknown = |why: &str| {
        Reason::NotFound.because(format!(
            "cannot find the host '{shown}': {why}; check its name or give its IP address"
        ))
    };
    let found = match timeout(LOOKUP_LIMIT, lookup_host((name.as_str(), 0))).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return Err(unknown(&error.to_string())),
        Err(_) => return Err(unknown("no answer from the name server")),
    };
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.sort_by_key(|ip| ip.is_ipv4() != home.is_ipv4());
    addresses.first().copied().ok_or_else(|| unknown("it has no address"))
}
