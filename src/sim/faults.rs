//! What befalls hosts and the network: joins, crashes, restarts, stops, cuts.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::chord::{Command, Input, Node, Reply, Standing};
use crate::peer::Peer;
use crate::record::Record;

use super::World;
use super::event::{Event, Spot};
use super::host::{Clock, HostId, Position, State, address};
use super::operation::Wait;

/// Peers that a process remembers for its next life, as a real node does.
const MAX_REMEMBERED: usize = 64;

/// A clock runs at the least a thousandth, at the most a thousand times as fast
/// as the world's.
const CLOCK_RATES: std::ops::RangeInclusive<f64> = 0.001..=1_000.0;

impl World {
    /// Adds a host, which joins through a member chosen by chance; the first
    /// host of all is alone on its ring.
    pub fn join(&mut self) -> HostId {
        let number = self.add_host(self.hosts.len() as HostId);
        self.hosts[number as usize].state = State::Left;
        self.alive.remove(number);
        self.start(number, Vec::new());
        number
    }

    /// Kills a host's process at once. Its disk stays.
    pub fn crash(&mut self, host: HostId) {
        let Some(found) = self.hosts.get(host as usize).filter(|host| host.lives()) else { return };
        let life = found.life;
        let peers: Vec<Peer> = found.nodes().map(Node::peer).collect();
        let mut remembered = BTreeSet::new();
        for node in found.nodes() {
            remembered.extend(node.predecessor());
            remembered.extend(node.successors());
            remembered.extend(node.remembered());
        }
        let remembered = remembered.into_iter().filter(|peer| peer.address() != address(host));
        let remembered: Vec<Peer> = remembered.take(MAX_REMEMBERED).collect();
        let witnesses = if self.setup.refuse { self.witnesses(host) } else { Vec::new() };
        let extra = self.hosts[host as usize].extra_mut();
        extra.remembered = remembered;
        extra.peers = peers;
        self.end_process(host, State::Crashed);
        for (spot, index) in witnesses {
            let life = self.hosts[spot.host as usize].life;
            let at = self.now + self.delay(host, spot.host);
            self.queue.push(at, Event::Broken { spot, life, host, index });
        }
        self.host_gone(host, life);
    }

    /// Those that surely have a connection to this host: whose neighbour it is.
    fn witnesses(&self, host: HostId) -> Vec<(Spot, u16)> {
        let mut found = Vec::new();
        for node in self.hosts[host as usize].nodes() {
            let peer = node.peer();
            let place = (peer.id(self.space), host);
            let before = self.members.range(..place).rev();
            let before = before.chain(self.members.range(place..).rev());
            let before = before.take(self.setup.successors + 1);
            let after = self.members.range(place..).chain(self.members.range(..place)).skip(1);
            for ((_, other), position) in before.chain(after.take(1)) {
                let spot = Spot { host: *other, position: *position };
                let knows = |other: &Node| {
                    other.predecessor() == Some(peer) || other.successors().contains(&peer)
                };
                let entry = (spot, peer.index());
                if *other != host
                    && self.is_connected(host, *other)
                    && self.node(spot).is_some_and(knows)
                    && !found.contains(&entry)
                {
                    found.push(entry);
                }
            }
        }
        found
    }

    /// Ends a host's process, however it came to that.
    fn end_process(&mut self, host: HostId, state: State) {
        let found = &mut self.hosts[host as usize];
        found.state = state;
        found.life += 1;
        let positions = std::mem::take(&mut found.positions);
        if let Some(extra) = &mut found.extra {
            extra.held = Vec::new();
            extra.trips.clear();
        }
        self.alive.remove(host);
        for place in positions.iter().filter_map(|position| position.listed) {
            self.members.remove(&(place, host));
        }
        self.counts.gone += 1;
    }

    /// Starts the process of a host that crashed or left, with what is on its
    /// disk. It finds back by itself through the peers that it remembers, and
    /// otherwise through a member chosen by chance.
    pub fn restart(&mut self, host: HostId) {
        let Some(found) = self.hosts.get_mut(host as usize) else { return };
        if found.lives() {
            return;
        }
        let remembered = found.extra().map(|extra| extra.remembered.clone()).unwrap_or_default();
        self.start(host, remembered);
    }

    /// Starts a process.
    pub(super) fn start(&mut self, host: HostId, remembered: Vec<Peer>) {
        let config = self.config.clone();
        let vnodes = self.setup.vnodes;
        let found = &mut self.hosts[host as usize];
        found.state = State::Up;
        found.life += 1;
        found.positions = (0..vnodes)
            .map(|index| {
                let peer = Peer::new(address(host), index);
                let node = match index {
                    0 => Node::new(config.clone(), peer.address()),
                    _ => Node::stabilized(config.clone(), peer, &[peer]),
                };
                Position::new(node, false)
            })
            .collect();
        self.alive.insert(host);
        let finds_back = !remembered.is_empty();
        self.wake(host, remembered);
        if !finds_back {
            self.enter(Spot { host, position: 0 });
        }
    }

    /// Gives every position of a host its first input.
    pub(super) fn wake(&mut self, host: HostId, remembered: Vec<Peer>) {
        for position in 0..self.hosts[host as usize].positions.len() as u16 {
            let remembered = if position == 0 { remembered.clone() } else { Vec::new() };
            let records = self.durable(host, position);
            self.feed(Spot { host, position }, Input::Start { records, remembered }, None);
        }
    }

    fn durable(&self, host: HostId, position: u16) -> Vec<Record> {
        let Some(disk) = self.hosts[host as usize].disk() else { return Vec::new() };
        let own = disk.records.iter().filter(|((at, _), _)| *at == position);
        own.map(|(_, record)| record.clone()).collect()
    }

    /// Has a position join through a member chosen by chance, or be the first.
    fn enter(&mut self, spot: Spot) {
        let contact = self.contact(spot.host);
        match contact {
            Some(contact) => {
                self.tickets += 1;
                let ticket = self.tickets;
                self.waiting.insert(ticket, Wait::Join(spot));
                let command = Command::Join { contact };
                self.feed(spot, Input::Command { ticket, command }, None);
            }
            None if self.members.is_empty() => self.entered(spot),
            None => self.retry_later(spot),
        }
    }

    /// A member of another host, or of this one when it is the only one.
    fn contact(&mut self, host: HostId) -> Option<Peer> {
        /// Choices before the next best one is taken.
        const TRIES: usize = 16;
        for _ in 0..TRIES {
            let Some(other) = self.some_host() else { break };
            if other != host && self.is_connected(host, other) {
                let listed = |position: &&Position| position.listed.is_some();
                let found = self.hosts[other as usize].positions.iter().find(listed);
                if let Some(position) = found {
                    return Some(position.node.peer());
                }
            }
        }
        let own = |(_, at): &(crate::id::Id, HostId)| *at == host;
        let near = |key: &(crate::id::Id, HostId)| self.is_connected(host, key.1);
        let mut others = self.members.keys().filter(|key| !own(key) && near(key));
        let (_, other) = others.next().or_else(|| self.members.keys().find(|key| own(key)))?;
        let positions = &self.hosts[*other as usize].positions;
        positions.iter().find(|position| position.listed.is_some()).map(|p| p.node.peer())
    }

    /// A position is on the ring.
    pub(super) fn entered(&mut self, spot: Spot) {
        let host = &mut self.hosts[spot.host as usize];
        let Some(position) = host.positions.get_mut(usize::from(spot.position)) else { return };
        let first = !std::mem::replace(&mut position.entered, true);
        self.list(spot);
        if first {
            self.counts.joined += u64::from(spot.position == 0);
            self.session_begins(spot.host);
            self.next_position(spot);
        }
    }

    /// The positions of a host enter one after the other.
    fn next_position(&mut self, spot: Spot) {
        let next = Spot { position: spot.position + 1, ..spot };
        let waits = |position: &Position| !position.entered;
        let host = &self.hosts[spot.host as usize];
        if host.positions.get(usize::from(next.position)).is_some_and(waits) {
            let life = host.life;
            self.queue.push(self.now, Event::Retry { spot: next, life });
        }
    }

    /// A position knows nobody else any more, or has found nobody.
    pub(super) fn found_itself_alone(&mut self, spot: Spot) {
        let host = &self.hosts[spot.host as usize];
        let position = host.positions.get(usize::from(spot.position));
        if position.is_some_and(|position| !position.entered) {
            if self.members.is_empty() {
                self.entered(spot);
            } else {
                self.retry_later(spot);
            }
        }
    }

    pub(super) fn retry_later(&mut self, spot: Spot) {
        let life = self.hosts[spot.host as usize].life;
        let micros = self.setup.stabilize.as_micros() as u64;
        let wait = self.chance.within(micros / 2..=micros * 3 / 2);
        let at = self.now + Duration::from_micros(wait);
        self.queue.push(at, Event::Retry { spot, life });
    }

    /// [`Event::Retry`]
    pub(super) fn retry(&mut self, spot: Spot, life: u32) {
        let host = &self.hosts[spot.host as usize];
        if host.life != life {
            return;
        }
        if !host.lives() {
            // It was only planned so far.
            return self.start(spot.host, Vec::new());
        }
        if host.state == State::Paused {
            return self.retry_later(spot);
        }
        let position = host.positions.get(usize::from(spot.position));
        if position.is_some_and(|position| !position.entered) {
            self.enter(spot);
        }
    }

    /// A join has ended.
    pub(super) fn join_replied(&mut self, spot: Spot, reply: &Reply) {
        if !matches!(reply, Reply::Joined { .. }) {
            self.retry_later(spot);
        }
    }

    /// Stops a host: it takes nothing in until [`World::resume`].
    pub fn pause(&mut self, host: HostId) {
        if let Some(found) = self.hosts.get_mut(host as usize)
            && found.state == State::Up
        {
            found.state = State::Paused;
        }
    }

    /// A stopped host goes on, with what has come in meanwhile.
    pub fn resume(&mut self, host: HostId) {
        let Some(found) = self.hosts.get_mut(host as usize) else { return };
        if found.state != State::Paused {
            return;
        }
        found.state = State::Up;
        for event in std::mem::take(&mut found.extra_mut().held) {
            self.queue.push(self.now, event);
        }
    }

    /// A host leaves its ring in order; its process ends when its files are
    /// handed over.
    pub fn leave(&mut self, host: HostId) {
        let Some(found) = self.hosts.get(host as usize) else { return };
        if found.state != State::Up {
            return;
        }
        for position in 0..found.positions.len() as u16 {
            let spot = Spot { host, position };
            self.tickets += 1;
            let ticket = self.tickets;
            self.waiting.insert(ticket, Wait::Leave(spot));
            self.feed(spot, Input::Command { ticket, command: Command::Leave }, None);
        }
    }

    /// A position has left.
    pub(super) fn left(&mut self, spot: Spot) {
        let host = &self.hosts[spot.host as usize];
        let out = |node: &Node| !matches!(node.standing(), Standing::Member | Standing::Leaving);
        if host.lives() && host.nodes().all(out) {
            let life = host.life;
            self.end_process(spot.host, State::Left);
            self.host_gone(spot.host, life);
        }
    }

    /// A host's clock runs so many times as fast as the world's from now on.
    pub fn skew(&mut self, host: HostId, rate: f64) {
        let now = self.now;
        if let Some(found) = self.hosts.get_mut(host as usize) {
            let shown = found.clock(now);
            let rate = rate.clamp(*CLOCK_RATES.start(), *CLOCK_RATES.end());
            let rate = (rate * 1e6).round() as u64;
            found.extra_mut().clock = Some(Clock { rate, since: now, shown });
        }
    }

    /// Cuts the network: messages pass only within each group, and among those
    /// that are in none. New hosts are in none.
    pub fn part(&mut self, groups: &[Vec<HostId>]) {
        self.heal();
        for (number, group) in (1..).zip(groups) {
            for host in group {
                if let Some(host) = self.hosts.get_mut(*host as usize) {
                    host.group = number;
                }
            }
        }
    }

    /// Ends all cuts.
    pub fn heal(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.group = 0);
    }
}
