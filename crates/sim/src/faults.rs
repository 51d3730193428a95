//! Changes of hosts and the network: joins, crashes, restarts, pauses, partitions.

use std::collections::BTreeSet;
use std::time::Duration;

use chordal_core::chord::{self, Command, Input, Node, Reply};
use chordal_core::peer::Peer;

use super::World;
use super::event::{Event, Spot};
use super::host::{Clock, HostId, Position, State};
use super::operation::Wait;

/// Peers that a process remembers for its next life, as a real node does.
const MAX_REMEMBERED: usize = 64;

/// A clock runs at least a thousandth and at most a thousand times as fast as the world's.
const CLOCK_RATES: std::ops::RangeInclusive<f64> = 0.001..=1_000.0;

impl World {
    /// Adds a host, which joins through a random member; the first host is alone on its
    /// ring.
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
        let peers: Vec<Peer> = found.nodes().iter().map(Node::peer).collect();
        let mut remembered = BTreeSet::new();
        for node in found.nodes() {
            remembered.extend(node.predecessor());
            remembered.extend(node.successors());
            remembered.extend(node.remembered());
        }
        let here = self.address(host);
        let remembered = remembered.into_iter().filter(|peer| peer.address() != here);
        let remembered: Vec<Peer> = remembered.take(MAX_REMEMBERED).collect();
        let witnesses = if self.setup.refuse { self.witnesses(host) } else { Vec::new() };
        let extra = self.hosts[host as usize].extra_mut();
        extra.remembered = remembered;
        extra.peers = peers;
        self.end_process(host, State::Crashed);
        for (at, index) in witnesses {
            let life = self.hosts[at as usize].life;
            let when = self.now + self.delay(host, at);
            self.queue.push(when, Event::Broken { at, life, host, index });
        }
        self.host_gone(host, life);
    }

    /// The positions that surely have a connection to this host, because they are its
    /// neighbours.
    fn witnesses(&self, host: HostId) -> Vec<(HostId, u16)> {
        // Successor lists skip positions of the same host, so the neighbours reach further.
        let reach = (self.setup.successors + 1) * usize::from(self.setup.vnodes);
        let mut found = Vec::new();
        for node in self.hosts[host as usize].nodes() {
            let peer = node.peer();
            let place = (peer.id(self.space), host);
            let before = self.members.range(..place).rev();
            let before = before.chain(self.members.range(place..).rev());
            let before = before.take(reach);
            let after = self.members.range(place..).chain(self.members.range(..place)).skip(1);
            for ((_, other), slot) in before.chain(after.take(1)) {
                let spot = Spot { host: *other, slot: *slot };
                let knows = |other: &Node| {
                    other.predecessor() == Some(peer) || other.successors().contains(&peer)
                };
                let entry = (*other, peer.index());
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

    /// Ends a host's process, for any reason.
    fn end_process(&mut self, host: HostId, state: State) {
        let found = &mut self.hosts[host as usize];
        found.state = state;
        found.life += 1;
        found.core = None;
        found.entered = false;
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

    /// Starts the process of a host that crashed or left, with the contents of its disk. It
    /// rejoins through the peers that it remembers, or else through a random member.
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
        let (vnodes, here) = (self.setup.vnodes, self.address(host));
        let found = &mut self.hosts[host as usize];
        found.state = State::Up;
        found.life += 1;
        found.core = Some(chord::Host::new(&self.config, here, vnodes));
        found.positions = (0..vnodes).map(|_| Position::default()).collect();
        let records = found.disk().map_or_else(Vec::new, |disk| disk.records().cloned().collect());
        self.alive.insert(host);
        let finds_back = !remembered.is_empty();
        self.feed(host, None, Input::Start { records, remembered }, None);
        if !finds_back && !self.by_hand {
            self.enter(host);
        }
    }

    /// Makes a host join through a random member, or begin the ring.
    fn enter(&mut self, host: HostId) {
        match self.contact(host) {
            Some(contact) => {
                let ticket = self.ticket(Wait::Join(host));
                self.order(host, ticket, Command::Join { contact });
            }
            None if self.members.is_empty() => self.be_first(host),
            None => self.retry_later(host),
        }
    }

    /// Makes a host a ring of its own, since there is no other member.
    fn be_first(&mut self, host: HostId) {
        self.hosts[host as usize].entered = true;
        self.list(host);
        self.came_in(host);
    }

    /// Counts a host that entered the ring, and begins its session.
    pub(super) fn came_in(&mut self, host: HostId) {
        self.counts.joined += 1;
        self.session_begins(host);
    }

    /// A member on another host.
    fn contact(&mut self, host: HostId) -> Option<Peer> {
        /// Random choices before the first suitable member is taken.
        const TRIES: usize = 16;
        let member = |world: &World, other: HostId| {
            let fits = other != host && world.is_connected(host, other);
            let found = &world.hosts[other as usize];
            let listed = (0..).zip(&found.positions).find(|(_, at)| at.listed.is_some());
            let (slot, _) = listed.filter(|_| fits)?;
            world.node(Spot { host: other, slot }).map(Node::peer)
        };
        for _ in 0..TRIES {
            let Some(other) = self.some_host() else { break };
            if let Some(contact) = member(self, other) {
                return Some(contact);
            }
        }
        self.members.keys().find_map(|(_, other)| member(self, *other))
    }

    /// Handles a host that lost all its neighbours, or found no member.
    pub(super) fn found_itself_alone(&mut self, host: HostId) {
        if !self.hosts[host as usize].entered && !self.by_hand {
            if self.members.is_empty() {
                self.be_first(host);
            } else {
                self.retry_later(host);
            }
        }
    }

    pub(super) fn retry_later(&mut self, host: HostId) {
        let life = self.hosts[host as usize].life;
        let micros = self.setup.stabilize.as_micros() as u64;
        let wait = self.chance.within(micros / 2..=micros * 3 / 2);
        let at = self.now + Duration::from_micros(wait);
        self.queue.push(at, Event::Retry { host, life });
    }

    /// [`Event::Retry`]
    pub(super) fn retry(&mut self, host: HostId, life: u32) {
        let found = &self.hosts[host as usize];
        if found.life != life {
            return;
        }
        match found.state {
            // Its start was only planned so far.
            State::Crashed | State::Left => self.start(host, Vec::new()),
            State::Paused => self.retry_later(host),
            State::Up if !found.entered => self.enter(host),
            State::Up => {}
        }
    }

    /// Handles the reply to a join.
    pub(super) fn join_replied(&mut self, host: HostId, reply: &Reply) {
        if !matches!(reply, Reply::Joined { .. }) {
            self.retry_later(host);
        }
    }

    /// Pauses a host: it handles no event until [`World::resume`].
    pub fn pause(&mut self, host: HostId) {
        if let Some(found) = self.hosts.get_mut(host as usize)
            && found.state == State::Up
        {
            found.state = State::Paused;
        }
    }

    /// Resumes a paused host, with the events that arrived meanwhile.
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

    /// Makes a host leave its ring; its process ends when its files are handed over.
    pub fn leave(&mut self, host: HostId) {
        let Some(found) = self.hosts.get(host as usize) else { return };
        if found.state != State::Up {
            return;
        }
        let ticket = self.ticket(Wait::Leave(host));
        self.order(host, ticket, Command::Leave);
    }

    /// Handles the reply to a leave.
    pub(super) fn left(&mut self, host: HostId, reply: &Reply) {
        if matches!(reply, Reply::Left { .. }) && self.hosts[host as usize].lives() {
            let life = self.hosts[host as usize].life;
            self.end_process(host, State::Left);
            self.host_gone(host, life);
        }
    }

    /// Sets the speed of a host's clock, as a multiple of the world's.
    pub fn skew(&mut self, host: HostId, rate: f64) {
        let now = self.now;
        if let Some(found) = self.hosts.get_mut(host as usize) {
            let shown = found.clock(now);
            let rate = rate.clamp(*CLOCK_RATES.start(), *CLOCK_RATES.end());
            let rate = (rate * 1e6).round() as u64;
            found.extra_mut().clock = Some(Clock { rate, since: now, shown });
        }
    }

    /// Partitions the network: messages pass only within each group, and among the hosts
    /// that are in no group. New hosts are in no group.
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

    /// Ends all partitions.
    pub fn heal(&mut self) {
        self.hosts.iter_mut().for_each(|host| host.group = 0);
    }
}
