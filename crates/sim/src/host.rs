//! A simulated machine: its address, its ring positions, its disk.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use chordal_core::chord::{self, Node, Slot, Ticket, Timer};
use chordal_core::id::Id;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Record, Version};
use chordal_core::time::Time;

use super::network::RoundTrips;

/// The number of a simulated machine; the first is 0.
pub type HostId = u32;

/// The first address, 10.0.0.1.
const FIRST: u32 = u32::from_be_bytes([10, 0, 0, 1]);

/// The port of all hosts: 2000 with seed 1. A node's identifier follows from its address,
/// so another seed gives another ring.
const fn port(seed: u64) -> u16 {
    /// The lowest port that needs no privileges.
    const LOWEST: u64 = 1_024;
    const SHIFT: u64 = 2_000 - LOWEST - 1;
    (LOWEST + seed.wrapping_add(SHIFT) % (65_536 - LOWEST)) as u16
}

/// The address of a host: 10.0.0.1 and so on, with the port of its world's seed.
pub(super) fn address(seed: u64, host: HostId) -> SocketAddr {
    (ip(host), port(seed)).into()
}

/// The host's address without a port.
pub(super) const fn ip(host: HostId) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST.saturating_add(host))
}

/// The host with this address, whether or not it exists.
pub fn host_at(address: SocketAddr) -> Option<HostId> {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_bits().checked_sub(FIRST),
        SocketAddr::V6(_) => None,
    }
}

/// The state of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is running.
    Up,
    /// It is paused and handles nothing until it is resumed; other hosts cannot tell.
    Paused,
    /// Its process is dead; the disk is unchanged.
    Crashed,
    /// It has left its ring, and its process has ended.
    Left,
}

/// A simulated machine.
#[derive(Debug)]
pub struct Host {
    pub(super) number: HostId,
    pub(super) state: State,
    /// Incremented at every start, so that events for an earlier process do not reach a
    /// later one.
    pub(super) life: u32,
    /// Its group in a partitioned network.
    pub(super) group: u32,
    /// Its point for [`super::Latency::Space3d`], in 65 536ths of the edge.
    pub(super) place: [u16; 3],
    /// The core, while there is a process.
    pub(super) core: Option<chord::Host>,
    /// What the world stores about each of its positions.
    pub(super) positions: Vec<Position>,
    /// Whether it has been on the ring: built on it, joined, or accepted by a member.
    pub(super) entered: bool,
    /// Boxed, since most hosts of a large ring need none of it.
    pub(super) extra: Option<Box<Extra>>,
}

/// State that only some hosts have.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) disk: Disk,
    /// There is no room on it for further contents.
    pub(super) full: bool,
    /// A clock that differs from the world's.
    pub(super) clock: Option<Clock>,
    /// Events that arrived while it was paused.
    pub(super) held: Vec<super::event::Event>,
    /// The peers that its positions knew when the process died.
    pub(super) remembered: Vec<Peer>,
    /// The ring positions that it had then.
    pub(super) peers: Vec<Peer>,
    /// The round trips that it measured, if time limits are adaptive.
    pub(super) trips: BTreeMap<HostId, RoundTrips>,
}

/// What the world stores about one ring position.
#[derive(Debug, Default)]
pub(super) struct Position {
    /// The generation of each periodic timer that is armed; 0 if it is not.
    pub(super) armed: [u32; KINDS],
    /// The timers of puts that are armed.
    pub(super) copies: Vec<(Ticket, u32)>,
    /// Number of timers armed so far.
    pub(super) generation: u32,
    /// The identifier under which the world lists it as a member.
    pub(super) listed: Option<Id>,
}

/// Kinds of timer of which a node has one.
pub(super) const KINDS: usize = Timer::SINGLE.len();

/// The number of a timer: its index in [`Timer::SINGLE`], or [`KINDS`] for timers of puts.
pub(super) const fn kind(timer: Timer) -> u8 {
    match timer {
        Timer::Stabilize => 0,
        Timer::FixFingers => 1,
        Timer::Repair => 2,
        Timer::Probe => 3,
        Timer::Census => 4,
        Timer::Join => 5,
        Timer::Leave => 6,
        Timer::Copies(_) => KINDS as u8,
    }
}

impl Position {
    /// Arms a timer; returns its generation.
    pub(super) fn arm(&mut self, timer: Timer) -> u32 {
        self.generation = self.generation.wrapping_add(1).max(1);
        self.disarm(timer);
        match (timer, self.armed.get_mut(usize::from(kind(timer)))) {
            (_, Some(armed)) => *armed = self.generation,
            (Timer::Copies(ticket), None) => self.copies.push((ticket, self.generation)),
            _ => {}
        }
        self.generation
    }

    pub(super) fn disarm(&mut self, timer: Timer) {
        match (timer, self.armed.get_mut(usize::from(kind(timer)))) {
            (_, Some(armed)) => *armed = 0,
            (Timer::Copies(ticket), None) => self.copies.retain(|(other, _)| *other != ticket),
            _ => {}
        }
    }

    /// Takes the timer of this generation if it is still armed.
    pub(super) fn fire(&mut self, kind: u8, generation: u32) -> Option<Timer> {
        if let Some(armed) = self.armed.get_mut(usize::from(kind)) {
            if *armed != generation {
                return None;
            }
            *armed = 0;
            return Some(Timer::SINGLE[usize::from(kind)]);
        }
        let at = self.copies.iter().position(|(_, armed)| *armed == generation)?;
        Some(Timer::Copies(self.copies.swap_remove(at).0))
    }
}

/// A clock that runs faster or slower than the world's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Its speed in millionths of the world's.
    pub(super) rate: u64,
    /// When it began to run at this speed.
    pub(super) since: Time,
    /// What it showed then.
    pub(super) shown: Time,
}

/// What a host keeps when its process dies.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub(super) records: BTreeMap<FileName, Record>,
    /// Contents, with their bytes and the number of records that name them.
    pub(super) contents: BTreeMap<ContentHash, (u64, u32)>,
}

impl Disk {
    /// The durable records, in the order of their names.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Whether the disk has the bytes of this content.
    pub fn has(&self, root: &ContentHash) -> bool {
        self.contents.contains_key(root)
    }

    /// Bytes of all contents.
    pub fn bytes(&self) -> u64 {
        self.contents.values().map(|(size, _)| size).sum()
    }

    /// The record of this name.
    pub fn record(&self, name: &FileName) -> Option<&Record> {
        self.records.get(name)
    }

    /// Makes a record durable whose content was stored before.
    pub(super) fn keep(&mut self, record: Record) {
        if self.records.get(&record.name).is_some_and(|old| old.version > record.version) {
            return;
        }
        if !record.is_deleted() {
            let size = record.size();
            self.contents.entry(record.version.root).or_insert((size, 0)).1 += 1;
        }
        if let Some(old) = self.records.insert(record.name.clone(), record) {
            self.release(&old);
        }
    }

    /// Removes a record, and its content when no other record names it.
    pub(super) fn forget(&mut self, name: &FileName, version: Version) {
        if self.records.get(name).is_some_and(|old| old.version == version)
            && let Some(old) = self.records.remove(name)
        {
            self.release(&old);
        }
    }

    /// Stores bytes that no record names yet.
    pub(super) fn take_in(&mut self, root: ContentHash, size: u64) {
        self.contents.entry(root).or_insert((size, 0));
    }

    /// Removes bytes that no record names.
    pub(super) fn tidy(&mut self, root: &ContentHash) {
        if self.contents.get(root).is_some_and(|(_, users)| *users == 0) {
            self.contents.remove(root);
        }
    }

    fn release(&mut self, record: &Record) {
        if record.is_deleted() {
            return;
        }
        if let Some((_, users)) = self.contents.get_mut(&record.version.root) {
            *users = users.saturating_sub(1);
        }
        self.tidy(&record.version.root);
    }
}

impl Host {
    /// Whether its disk has no room for further contents.
    pub fn is_full(&self) -> bool {
        self.extra.as_ref().is_some_and(|extra| extra.full)
    }

    /// Its number.
    pub const fn number(&self) -> HostId {
        self.number
    }

    pub const fn state(&self) -> State {
        self.state
    }

    /// Whether its process exists, paused or not.
    pub const fn lives(&self) -> bool {
        matches!(self.state, State::Up | State::Paused)
    }

    /// `None` without a process.
    pub const fn core(&self) -> Option<&chord::Host> {
        self.core.as_ref()
    }

    /// Its ring positions, by slot; none without a process.
    pub fn nodes(&self) -> &[Node] {
        self.core.as_ref().map_or(&[], chord::Host::nodes)
    }

    /// Its disk; `None` if nothing was ever written to it.
    pub fn disk(&self) -> Option<&Disk> {
        self.extra().map(|extra| &extra.disk)
    }

    pub(super) fn extra_mut(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    pub(super) fn extra(&self) -> Option<&Extra> {
        self.extra.as_deref()
    }

    /// The slot of the position with this index, if there is one.
    pub(super) fn slot_of(&self, index: u16) -> Option<Slot> {
        self.core.as_ref()?.slot_of(index)
    }

    /// The time that the host's clock shows.
    pub(super) fn clock(&self, now: Time) -> Time {
        match self.extra().and_then(|extra| extra.clock) {
            None => now,
            Some(clock) => {
                let passed = now.as_micros().saturating_sub(clock.since.as_micros());
                let shown = u128::from(passed) * u128::from(clock.rate) / 1_000_000;
                Time::from_micros(clock.shown.as_micros() + shown as u64)
            }
        }
    }

    /// How many microseconds of the world are this many on the host's clock.
    pub(super) fn world_micros(&self, micros: u64) -> u64 {
        match self.extra().and_then(|extra| extra.clock) {
            None => micros,
            Some(clock) => (u128::from(micros) * 1_000_000 / u128::from(clock.rate)) as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_seed_is_another_ring_of_the_same_machines() {
        assert_eq!(address(1, 0), SocketAddr::from(([10, 0, 0, 1], 2_000)));
        assert_eq!(address(2, 256), SocketAddr::from(([10, 0, 1, 1], 2_001)));
        for seed in [0, 1, 7, 63_000, 70_000, u64::MAX] {
            assert!(port(seed) >= 1_024);
            assert_eq!(host_at(address(seed, 999_999)), Some(999_999));
        }
        assert_ne!(port(64_512), port(1), "the last before they come again");
        assert_eq!(host_at(SocketAddr::from(([9, 0, 0, 1], 2_000))), None);
    }
}
