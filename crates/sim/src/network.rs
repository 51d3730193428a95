//! The network: delays, loss, duplication, partitions, time limits.

use std::time::Duration;

use chordal_core::peer::Peer;
use chordal_core::time::Time;
use chordal_core::wire::{Ask, Message, Tell};

use super::World;
use super::event::{Event, Parcel, Spot};
use super::host::{Host, HostId, State, host_at};
use super::setup::Latency;

pub(super) use chordal_core::chord::rtt::RoundTrips;

/// Between two ring positions of one host: no network, but still an event.
const INSIDE: Duration = Duration::from_micros(10);

/// Peers whose round trips a host stores; beyond that the first is forgotten.
const MAX_TRIPS: usize = 1_024;

impl World {
    /// Whether the network carries messages from one host to another.
    pub fn is_connected(&self, one: HostId, other: HostId) -> bool {
        let group = |host: HostId| self.hosts.get(host as usize).map(|host| host.group);
        group(one).is_some() && group(one) == group(other)
    }

    /// Draws how long a message takes from one host to another.
    pub(super) fn delay(&mut self, from: HostId, to: HostId) -> Duration {
        if from == to {
            return INSIDE;
        }
        match self.setup.latency {
            Latency::Constant { delay } => delay,
            Latency::Uniform { least, most } => {
                let micros = |span: Duration| span.as_micros() as u64;
                Duration::from_micros(self.chance.within(micros(least)..=micros(most)))
            }
            Latency::Space3d { edge, least } => {
                let place =
                    |host: HostId| self.hosts.get(host as usize).map_or([0; 3], |h| h.place);
                let square = |(a, b): (u16, u16)| u64::from(a.abs_diff(b)).pow(2);
                let squares: u64 = place(from).into_iter().zip(place(to)).map(square).sum();
                let micros = (edge.as_micros() as u64).saturating_mul(squares.isqrt()) >> 16;
                least.max(Duration::from_micros(micros))
            }
        }
    }

    /// Sends a message of a core.
    pub(super) fn send(
        &mut self,
        from: Peer,
        spot: Spot,
        to: Peer,
        message: Message,
        asked_by: Option<&Asker>,
    ) {
        let Some(target) = host_at(to.address()).filter(|host| self.is_host(*host)) else { return };
        // The answer would cause a repair, which a static ring must not do.
        if !self.maintained && matches!(message, Message::Ask { ask: Ask::Neighbours, .. }) {
            return;
        }
        let host = &self.hosts[spot.host as usize];
        let from_life = host.life;
        let mut asked = self.now;
        let mut to_life = None;
        match &message {
            Message::Ask { nonce, .. } => {
                let limit = if self.setup.adaptive {
                    let trips = host.extra().and_then(|extra| extra.trips.get(&target));
                    trips.copied().unwrap_or_default().limit()
                } else {
                    self.setup.patience
                };
                let wait = host.world_micros(limit.as_micros() as u64);
                let (nonce, index) = (*nonce, to.index());
                let late = Event::Late { spot, life: from_life, host: target, index, nonce };
                self.queue.push(self.now + Duration::from_micros(wait), late);
            }
            Message::Answer { .. } => {
                if let Some(asker) = asked_by.filter(|asker| asker.peer == to) {
                    asked = asker.asked;
                    to_life = Some(asker.life);
                }
            }
            Message::Tell(Tell::Provided { providers }) => {
                self.counts.told += providers.len() as u64;
            }
            Message::Tell(_) => {}
        }
        self.counts.messages += 1;
        let mut copies = 1;
        if spot.host != target {
            if self.chance.happens(self.setup.loss) {
                self.counts.lost += 1;
                return;
            }
            copies += usize::from(self.chance.happens(self.setup.duplication));
        }
        let parcel = Parcel { from, from_life, to, to_life, asked, message };
        for _ in 1..copies {
            let twin = Box::new(parcel.clone());
            let delay = self.delay(spot.host, target);
            self.queue.push(self.now + delay, Event::Deliver(twin));
        }
        let delay = self.delay(spot.host, target);
        self.queue.push(self.now + delay, Event::Deliver(Box::new(parcel)));
    }

    /// Delivers a message to the host that it was sent to.
    pub(super) fn deliver(&mut self, parcel: Parcel) {
        let Parcel { from, from_life, to, to_life, asked, message } = parcel;
        let (Some(source), Some(target)) = (host_at(from.address()), host_at(to.address())) else {
            return;
        };
        if !self.is_connected(source, target) {
            self.counts.lost += 1;
            return;
        }
        let host = &self.hosts[target as usize];
        match host.state {
            State::Up => {}
            State::Paused => {
                let parcel = Parcel { from, from_life, to, to_life, asked, message };
                return self.hold(target, Event::Deliver(Box::new(parcel)));
            }
            State::Crashed | State::Left => {
                return self.refused(source, from, from_life, to, &message);
            }
        }
        if to_life.is_some_and(|life| life != host.life) {
            return;
        }
        // Messages for an identity that the host does not have are dropped.
        let Some(slot) = host.slot_of(to.index()) else { return };
        if matches!(message, Message::Answer { .. }) && self.setup.adaptive {
            self.measured(target, source, asked);
        }
        let asker = Asker { peer: from, life: from_life, asked };
        let input = chordal_core::chord::Input::Received { from, message };
        self.feed(target, Some(slot), input, Some(&asker));
    }

    /// Handles a message to a host without a process.
    fn refused(&mut self, source: HostId, from: Peer, life: u32, to: Peer, message: &Message) {
        if !self.setup.refuse {
            return;
        }
        let Some(slot) = self.hosts[source as usize].slot_of(from.index()) else { return };
        let spot = Spot { host: source, slot };
        let Some(host) = host_at(to.address()) else { return };
        let index = to.index();
        let when = self.now + self.delay(host, source);
        self.queue.push(when, Event::Broken { at: source, life, host, index });
        if let Message::Ask { nonce, .. } = *message {
            self.queue.push(when, Event::Late { spot, life, host, index, nonce });
        }
    }

    fn measured(&mut self, host: HostId, peer: HostId, asked: Time) {
        let took = self.now - asked;
        let trips = &mut self.hosts[host as usize].extra_mut().trips;
        if trips.len() >= MAX_TRIPS && !trips.contains_key(&peer) {
            trips.pop_first();
        }
        trips.entry(peer).or_default().sample(took);
    }

    /// The identity that a host has, or had, at this index.
    pub(super) fn peer_of(&self, host: HostId, index: u16) -> Peer {
        let known = |host: &Host| {
            let live = host.nodes().iter().map(chordal_core::chord::Node::peer);
            let old = host.extra().into_iter().flat_map(|extra| extra.peers.iter().copied());
            live.chain(old).find(|peer| peer.index() == index)
        };
        let found = self.hosts.get(host as usize).and_then(known);
        found.unwrap_or_else(|| Peer::new(self.address(host), index))
    }

    pub(super) fn is_host(&self, host: HostId) -> bool {
        (host as usize) < self.hosts.len()
    }
}

/// The sender of the question that is being handled.
pub(super) struct Asker {
    pub(super) peer: Peer,
    pub(super) life: u32,
    pub(super) asked: Time,
}
