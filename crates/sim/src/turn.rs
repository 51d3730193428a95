//! One event and its consequences: the only place that calls the core.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use chordal_core::chord::{Effect, Input, Membership, Node, Notice, Slot, Timer};

use super::World;
use super::event::{Arrival, Event, Spot};
use super::host::{HostId, State, kind};
use super::network::Asker;

/// Events kept for a paused host: further ones are lost, as when its socket buffers are
/// full.
const MAX_HELD: usize = 10_000;

impl World {
    /// Handles one event.
    pub(super) fn happen(&mut self, event: Event) {
        self.record(&event);
        match event {
            Event::Deliver(parcel) => self.deliver(*parcel),
            Event::Fire { spot, kind, generation } => self.fire(spot, kind, generation),
            Event::Late { spot, life, host, index, nonce } => {
                if self.is_at_work(spot.host, life, &event) {
                    let from = self.peer_of(host, index);
                    self.feed(spot.host, Some(spot.slot), Input::NoAnswer { from, nonce }, None);
                }
            }
            Event::Broken { at, life, host, index } => {
                if self.is_at_work(at, life, &event) {
                    let peer = self.peer_of(host, index);
                    self.feed(at, None, Input::PeerLost(peer), None);
                }
            }
            Event::Work { job } => self.work(job),
            Event::Step { operation, stage } => self.step_operation(operation, stage),
            Event::Retry { host, life } => self.retry(host, life),
            Event::Churn { what, generation } => self.churned(what, generation),
            Event::Operate { what, generation } => self.operate(what, generation),
            Event::Fault { number } => self.fault(number),
        }
    }

    /// Adds an event to the trace.
    fn record(&mut self, event: &Event) {
        let trace = &mut self.trace;
        trace.write_u64(self.now.as_micros());
        let mut words = |kind: u8, parts: [u64; 3]| {
            trace.write_u8(kind);
            parts.into_iter().for_each(|part| trace.write_u64(part));
        };
        let at = |spot: &Spot| u64::from(spot.host) << 16 | u64::from(spot.slot);
        match event {
            Event::Deliver(parcel) => {
                parcel.from.hash(trace);
                parcel.to.hash(trace);
                parcel.message.hash(trace);
            }
            Event::Fire { spot, kind, generation } => {
                words(1, [at(spot), (*kind).into(), (*generation).into()]);
            }
            Event::Late { spot, host, index, nonce, .. } => {
                let peer = u64::from(*host) << 16 | u64::from(*index);
                words(2, [at(spot), peer, (*nonce).into()]);
            }
            Event::Broken { at, host, index, .. } => {
                words(3, [(*at).into(), (*host).into(), (*index).into()]);
            }
            Event::Work { job } => words(4, [(*job).into(), 0, 0]),
            Event::Step { operation, stage } => words(5, [*operation, (*stage).into(), 0]),
            Event::Retry { host, .. } => words(6, [(*host).into(), 0, 0]),
            Event::Churn { what, .. } => match what {
                Arrival::Join => words(7, [0; 3]),
                Arrival::Leave => words(8, [0; 3]),
                Arrival::End(host, life) => words(9, [(*host).into(), (*life).into(), 0]),
            },
            Event::Operate { what, .. } => words(10, [(*what).into(), 0, 0]),
            Event::Fault { number } => words(11, [(*number).into(), 0, 0]),
        }
    }

    /// Whether this life of the process is running; an event for a paused one is kept.
    fn is_at_work(&mut self, host: HostId, life: u32, event: &Event) -> bool {
        let Some(host) = self.hosts.get(host as usize) else { return false };
        if host.life != life {
            return false;
        }
        match (host.state, event) {
            (State::Up, _) => true,
            (State::Paused, Event::Late { spot, life, host, index, nonce }) => {
                let (host, index, nonce, life) = (*host, *index, *nonce, *life);
                self.hold(spot.host, Event::Late { spot: *spot, life, host, index, nonce });
                false
            }
            _ => false,
        }
    }

    /// Keeps an event for a paused host.
    pub(super) fn hold(&mut self, host: HostId, event: Event) {
        if let Some(host) = self.hosts.get_mut(host as usize) {
            let held = &mut host.extra_mut().held;
            if held.len() < MAX_HELD {
                held.push(event);
            }
        }
    }

    fn fire(&mut self, spot: Spot, kind: u8, generation: u32) {
        let Some(host) = self.hosts.get_mut(spot.host as usize) else { return };
        if host.state == State::Paused {
            return self.hold(spot.host, Event::Fire { spot, kind, generation });
        }
        let Some(position) = host.positions.get_mut(usize::from(spot.slot)) else { return };
        if let Some(timer) = position.fire(kind, generation) {
            self.feed(spot.host, Some(spot.slot), Input::Fired(timer), None);
        }
    }

    /// Passes an input to a core and carries out its effects.
    pub(super) fn feed(
        &mut self,
        number: HostId,
        slot: Option<Slot>,
        input: Input,
        asker: Option<&Asker>,
    ) {
        let Some(host) = self.hosts.get_mut(number as usize) else { return };
        let clock = host.clock(self.now);
        let Some(core) = &mut host.core else { return };
        let mut effects = std::mem::take(&mut self.effects);
        match slot {
            Some(slot) => core.handle_at(clock, slot, input, &mut effects),
            None => core.handle(clock, input, &mut effects),
        }
        self.list(number);
        for (slot, effect) in effects.drain(..) {
            let spot = Spot { host: number, slot };
            match effect {
                Effect::Send { to, message } => {
                    if let Some(from) = self.node(spot).map(Node::peer) {
                        self.send(from, spot, to, message, asker);
                    }
                }
                Effect::Arm { timer, after } => self.arm(spot, timer, after.start, after.end),
                // A driver may let the operation go on.
                Effect::Cease { .. } => {}
                Effect::Disarm(timer) => {
                    let host = &mut self.hosts[number as usize];
                    if let Some(position) = host.positions.get_mut(usize::from(slot)) {
                        position.disarm(timer);
                    }
                }
                Effect::Store { ticket, op } => self.store(spot, ticket, op),
                Effect::Reply { ticket, reply } => {
                    if let Some(wait) = self.waiting.remove(&ticket) {
                        self.replied(number, wait, reply);
                    } else if self.by_hand {
                        let earlier = self.replies.insert(ticket, reply);
                        debug_assert_eq!(earlier, None, "one reply to a command");
                    }
                }
                Effect::Notice(notice) => {
                    if notice == Notice::Alone && slot == 0 {
                        self.found_itself_alone(number);
                    }
                    self.notice(spot, notice);
                }
            }
        }
        self.effects = effects;
    }

    fn arm(&mut self, spot: Spot, timer: Timer, least: Duration, most: Duration) {
        let periodic = matches!(
            timer,
            Timer::Stabilize | Timer::FixFingers | Timer::Repair | Timer::Probe | Timer::Census
        );
        if periodic && !self.maintained {
            return;
        }
        let micros = |span: Duration| span.as_micros() as u64;
        let wait = self.chance.within(micros(least)..=micros(most));
        let host = &mut self.hosts[spot.host as usize];
        let wait = host.world_micros(wait);
        let Some(position) = host.positions.get_mut(usize::from(spot.slot)) else { return };
        let generation = position.arm(timer);
        let event = Event::Fire { spot, kind: kind(timer), generation };
        self.queue.push(self.now + Duration::from_micros(wait), event);
    }

    /// Updates the world's list of members for a host.
    pub(super) fn list(&mut self, number: HostId) {
        let space = self.space;
        let host = &mut self.hosts[number as usize];
        let Some(core) = &host.core else { return };
        let met =
            |node: &Node| node.membership() == Membership::Member && !node.successors().is_empty();
        let came_in = !host.entered && core.nodes().iter().any(met);
        host.entered |= came_in;
        for (slot, (node, position)) in (0..).zip(core.nodes().iter().zip(&mut host.positions)) {
            let member = host.entered && node.membership() == Membership::Member;
            let place = member.then(|| node.peer().id(space));
            if position.listed != place {
                if let Some(old) = std::mem::replace(&mut position.listed, place) {
                    self.members.remove(&(old, number));
                }
                if let Some(place) = place {
                    self.members.insert((place, number), slot);
                }
            }
        }
        if came_in {
            self.came_in(number);
        }
    }
}
