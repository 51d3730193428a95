//! Control connections by address, what waits for
//! one to be made, and how each peer has answered lately.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use chordal_core::chord::rtt::RoundTrips;
use chordal_core::wire::Frame;
use chordal_view::Liveness;

use super::connection::Connection;

/// Frames kept for a peer while its connection is being made.
const WAITING_FRAMES: usize = 256;

/// Peers that are remembered as having answered; the longest silent go first.
const HEALTH_AT_MOST: usize = 1_024;

/// Control connections and what is known of the peers behind them.
#[derive(Debug, Default)]
pub(crate) struct Links {
    by_address: BTreeMap<SocketAddr, Link>,
    /// Every open connection, with the peer's advertised address (`None`: a
    /// client's).
    connections: BTreeMap<u64, (Connection, Option<SocketAddr>)>,
    health: BTreeMap<SocketAddr, Health>,
}

#[derive(Debug, Default)]
struct Link {
    connections: Vec<Connection>,
    /// `Some` while a connection is being made.
    waiting: Option<VecDeque<Frame>>,
}

/// How a peer has answered lately.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Health {
    /// Its round trips.
    pub(crate) trips: RoundTrips,
    /// Unanswered questions since its last answer.
    missed: u32,
    /// Its last connection was refused or broke, and no answer came since.
    refused: bool,
    heard: Instant,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// On its way, or waiting for a connection that is being made.
    Yes,
    /// Waiting; the caller must dial.
    Dial,
    /// Dropped: the peer does not read.
    Dropped,
}

impl Links {
    /// Sends a frame to an address over the connection there is, or keeps it
    /// until one is made.
    pub(crate) fn send(&mut self, me: SocketAddr, to: SocketAddr, frame: Frame) -> Sent {
        let link = self.by_address.entry(to).or_default();
        link.connections.retain(|connection| !connection.is_closed());
        if let Some(connection) = link.preferred(me, to) {
            return if connection.send(frame) { Sent::Yes } else { Sent::Dropped };
        }
        match &mut link.waiting {
            Some(waiting) if waiting.len() >= WAITING_FRAMES => Sent::Dropped,
            Some(waiting) => {
                waiting.push_back(frame);
                Sent::Yes
            }
            None => {
                link.waiting = Some(VecDeque::from([frame]));
                Sent::Dial
            }
        }
    }

    /// Takes a new connection in and sends what waited for it.
    pub(crate) fn connected(&mut self, connection: Connection, address: Option<SocketAddr>) {
        if let Some(address) = address {
            let link = self.by_address.entry(address).or_default();
            for frame in link.waiting.take().into_iter().flatten() {
                connection.send(frame);
            }
            link.connections.push(connection.clone());
        }
        self.connections.insert(connection.number, (connection, address));
    }

    /// The connection with this number, and the address of its peer.
    pub(crate) fn connection(&self, number: u64) -> Option<&(Connection, Option<SocketAddr>)> {
        self.connections.get(&number)
    }

    /// Forgets a connection. Its peer's address, when that was the last one
    /// to it.
    pub(crate) fn ended(&mut self, number: u64) -> Option<SocketAddr> {
        let (_, address) = self.connections.remove(&number)?;
        let address = address?;
        let link = self.by_address.get_mut(&address)?;
        link.connections.retain(|connection| connection.number != number);
        if !link.connections.is_empty() || link.waiting.is_some() {
            return None;
        }
        self.by_address.remove(&address);
        Some(address)
    }

    /// A connection could not be made: what waited for it is dropped.
    pub(crate) fn unreachable(&mut self, address: SocketAddr) {
        if let Some(link) = self.by_address.get_mut(&address) {
            link.waiting = None;
            if link.connections.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }

    /// Closes every connection in order: each says goodbye when its queue is
    /// empty.
    pub(crate) fn close(&mut self) {
        self.by_address.clear();
        self.connections.clear();
    }

    /// A peer answered after `trip`.
    pub(crate) fn answered(&mut self, address: SocketAddr, trip: Duration, now: Instant) {
        let health = self.health_of(address, now);
        health.trips.sample(trip);
        health.missed = 0;
        health.refused = false;
        health.heard = now;
    }

    /// A peer did not answer.
    pub(crate) fn missed(&mut self, address: SocketAddr, now: Instant) {
        let health = self.health_of(address, now);
        health.missed = health.missed.saturating_add(1);
    }

    /// A connection to a peer was refused or broke.
    pub(crate) fn refused(&mut self, address: SocketAddr, now: Instant) {
        self.health_of(address, now).refused = true;
    }

    /// How long to wait for this peer's answer.
    pub(crate) fn limit(&self, address: SocketAddr) -> Duration {
        self.health.get(&address).map_or_else(|| RoundTrips::default().limit(), |h| h.trips.limit())
    }

    /// When bytes last came from this peer, over any connection to it.
    pub(crate) fn heard(&self, address: SocketAddr) -> Option<Instant> {
        self.by_address.get(&address)?.connections.iter().map(Connection::heard).max()
    }

    /// Whether frames wait for a connection to this address.
    pub(crate) fn awaits(&self, address: SocketAddr) -> bool {
        self.by_address.get(&address).is_some_and(|link| link.waiting.is_some())
    }

    /// The smoothed round trip to this peer.
    pub(crate) fn round_trip(&self, address: SocketAddr) -> Option<Duration> {
        self.health.get(&address)?.trips.mean()
    }

    /// Whether the peer is believed to live.
    pub(crate) fn liveness(&self, address: SocketAddr) -> Liveness {
        match self.health.get(&address) {
            Some(health) if health.refused || health.missed >= 2 => Liveness::Dead,
            Some(health) if health.missed == 1 => Liveness::Suspect,
            _ => Liveness::Up,
        }
    }

    fn health_of(&mut self, address: SocketAddr, now: Instant) -> &mut Health {
        if self.health.len() >= HEALTH_AT_MOST
            && !self.health.contains_key(&address)
            && let Some(oldest) = self.health.iter().min_by_key(|(_, h)| h.heard).map(|(a, _)| *a)
        {
            self.health.remove(&oldest);
        }
        self.health.entry(address).or_insert(Health {
            trips: RoundTrips::default(),
            missed: 0,
            refused: false,
            heard: now,
        })
    }
}

impl Link {
    /// Where two sides dialled each other at once, both use the connection
    /// that the smaller address dialled; the other one idles out.
    fn preferred(&self, me: SocketAddr, to: SocketAddr) -> Option<&Connection> {
        let dialled = me < to;
        self.connections
            .iter()
            .rev()
            .find(|connection| connection.dialled == dialled)
            .or_else(|| self.connections.last())
    }
}
