//! What a dashboard shows of a world: one of its nodes, in the form of a real node's
//! snapshot, and around it what only the world knows.
//!
//! Tables, files and membership are the node's own. The living hosts, the members and the
//! health of the ring are the truth, so that a viewer sees what the node does not know yet.
//! A host that died shows its last snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chordal_core::chord::{self, Notice};
use chordal_core::id::Id;
use chordal_core::peer::Peer;
use chordal_view as view;
use chordal_view::event_text::describe;
use chordal_view::state::Facts;
use chordal_view::{
    CensusState, FileRow, Files, Health, Hop, Level, Liveness, LookupRow, Member, Membership,
    Neighbour, SimulationRow, Snapshot, UiEvent,
};

use super::host::{Host, HostId, State, host_at};
use super::world::Follow;
use super::{Ended, OpId, World};

/// Members in one snapshot: of a larger ring it has every second, third, … member. More
/// points than a screen has dots would only cost time.
const MAX_MEMBERS: usize = 16_384;

/// For how many snapshots a member that died or left is still shown: some seconds at any
/// speed.
const GHOST: u32 = 150;

/// Number of nodes up to which the ring is checked for every snapshot; for twice as many,
/// for every second one, and so on.
const JUDGED_AT_ONCE: usize = 500;

/// Number of files up to which a node's list is built for every snapshot, likewise.
const LISTED_AT_ONCE: usize = 500;

/// Event lines per call of each kind, loud and quiet: at a high speed there are more than a
/// viewer can read.
const MAX_LINES: usize = 32;

/// For how many snapshots a lookup stays on the ring before another one that was not typed
/// replaces it.
const ON_RING: u32 = 120;

/// Which node of a world is shown, and the state between two snapshots.
#[derive(Debug)]
pub struct Show {
    host: HostId,
    position: usize,
    /// The last snapshot of this node.
    last: Option<Snapshot>,
    /// Its members, in ring order.
    known: Vec<Peer>,
    /// Members that are gone, and for how many snapshots they are still shown.
    ghosts: BTreeMap<Peer, u32>,
    lookup: Option<Trail>,
    lookups: u64,
    health: Health,
    state: view::State,
    pictures: u64,
}

/// A lookup on the ring.
#[derive(Debug)]
struct Trail {
    operation: OpId,
    row: LookupRow,
    /// Whether the user typed it.
    typed: bool,
    /// Snapshots since it ended.
    shown: u32,
}

impl Show {
    /// Shows the first member of a world, and makes the world keep the notices of that
    /// host.
    pub fn new(world: &mut World) -> Show {
        let first = world.nodes().next().map(chord::Node::peer);
        let mut show = Show {
            host: 0,
            position: 0,
            last: None,
            known: Vec::new(),
            ghosts: BTreeMap::new(),
            lookup: None,
            lookups: 0,
            health: Health::UNSEEN,
            state: view::State::Joining,
            pictures: 0,
        };
        let first = first.unwrap_or_else(|| Peer::new(world.address(0), 0));
        show.visit(world, first);
        show
    }

    /// The host that is shown.
    pub const fn host(&self) -> HostId {
        self.host
    }

    /// The node that is shown, if its process exists.
    pub fn node<'a>(&self, world: &'a World) -> Option<&'a chord::Node> {
        world.host(self.host)?.nodes().get(self.position)
    }

    /// The peer that is shown, also when its process is dead.
    pub fn peer(&self, world: &World) -> Peer {
        let last = self.last.as_ref().map(|last| last.me);
        let now = self.node(world).map(chord::Node::peer);
        now.or(last).unwrap_or_else(|| Peer::new(world.address(self.host), self.position as u16))
    }

    /// Shows this node from now on; `false` if the world has no such host.
    pub fn visit(&mut self, world: &mut World, peer: Peer) -> bool {
        let Some(host) = host_at(peer.address()).and_then(|number| world.host(number)) else {
            return false;
        };
        let by_peer = host.nodes().iter().position(|node| node.peer() == peer);
        (self.host, self.position) = (host.number(), by_peer.unwrap_or(peer.index().into()));
        if host.lives() && host.nodes().len() <= self.position {
            self.position = 0;
        }
        (self.last, self.lookup) = (None, None);
        world.follow(Follow::Host(self.host));
        // Notices of the previous host are dropped.
        world.notices();
        true
    }

    /// Shows the next living node on the ring, or the previous one.
    pub fn step(&mut self, world: &mut World, backwards: bool) {
        let space = world.space();
        let place = |peer: Peer| (peer.id(space), peer);
        let me = place(self.peer(world));
        let places = || world.nodes().map(|node| place(node.peer()));
        let next = if backwards {
            places().rev().find(|other| *other < me).or_else(|| places().next_back())
        } else {
            places().find(|other| *other > me).or_else(|| places().next())
        };
        if let Some((_, peer)) = next {
            self.visit(world, peer);
        }
    }

    /// The hosts in two halves of the ring, the first half beginning at the shown node.
    /// Hosts that are not on the ring are in either half.
    pub fn halves(&self, world: &World) -> [Vec<HostId>; 2] {
        let space = world.space();
        let me = (self.peer(world).id(space), self.peer(world));
        let place = |peer: Peer| (peer.id(space), peer);
        let nodes = || world.nodes().map(chord::Node::peer);
        let behind = nodes().filter(|peer| place(*peer) >= me);
        let around = behind.chain(nodes().filter(|peer| place(*peer) < me));
        let mut seen = BTreeSet::new();
        let mut hosts: Vec<HostId> = around.filter_map(|peer| host_at(peer.address())).collect();
        hosts.retain(|host| seen.insert(*host));
        let mut first = hosts;
        let mut second = first.split_off(first.len().div_ceil(2));
        for host in world.all_hosts().iter().map(Host::number).filter(|host| !seen.contains(host)) {
            if host % 2 == 0 { first.push(host) } else { second.push(host) }
        }
        [first, second]
    }

    /// Draws the hops of a lookup that the user began at the shown node.
    pub fn lookup_begins(&mut self, operation: OpId, text: String, key: Id) {
        self.lookups += 1;
        let row = LookupRow { number: self.lookups, text, key, hops: Vec::new(), owner: None };
        self.lookup = Some(Trail { operation, row, typed: true, shown: 0 });
    }

    /// Handles the end of an operation. If it is the lookup on the ring, its hops get their
    /// times. If it is another one of the shown host, it replaces the lookup on the ring,
    /// unless that one is still to be seen.
    pub fn ended(&mut self, operation: OpId, ended: &Ended) {
        let of_trail = |trail: &Trail| trail.operation == operation;
        if !self.lookup.as_ref().is_some_and(of_trail) {
            let busy = |trail: &Trail| trail.typed || trail.shown < ON_RING;
            if ended.host != self.host
                || ended.hops.is_empty()
                || self.lookup.as_ref().is_some_and(busy)
            {
                return;
            }
            let name = ended.name.as_ref().map(ToString::to_string);
            self.lookup_begins(operation, name.unwrap_or_default(), ended.key);
        }
        if let Some(trail) = &mut self.lookup {
            trail.row.hops = ended.hops.iter().copied().map(Hop::from).collect();
            trail.row.owner = ended.hops.iter().rev().find(|(_, took)| took.is_some()).map(|h| h.0);
            if let super::Outcome::Found(owner) = ended.outcome {
                trail.row.owner = Some(owner);
            }
            trail.typed = false;
        }
    }

    /// The notices of the shown host since the last call, as lines, oldest first, with the
    /// world's time as time of day. Those beyond the limit are counted.
    pub fn events(&mut self, world: &mut World) -> Vec<UiEvent> {
        let noticed = world.notices();
        let space = world.space();
        let me = self.peer(world);
        let mut lines: Vec<UiEvent> = Vec::new();
        let mut quota = [MAX_LINES; 2];
        let mut more = 0u32;
        for (at, peer, notice) in noticed {
            if peer == me {
                self.noticed(&notice);
            }
            let (level, step, mut text) = describe(&notice, space);
            let Some(left) = quota[usize::from(level > Level::Detail)].checked_sub(1) else {
                more += 1;
                continue;
            };
            quota[usize::from(level > Level::Detail)] = left;
            if peer != me {
                text = format!("{}: {text}", space.show(peer.id(space)));
            }
            let unix_ms = at.as_micros() / 1_000;
            lines.push(UiEvent { unix_ms, level, step: Some(step), text });
        }
        if more > 0 {
            let unix_ms = world.now().as_micros() / 1_000;
            let text = format!("… and {more} more; a lower speed (<) shows them");
            lines.push(UiEvent { unix_ms, level: Level::Detail, step: None, text });
        }
        lines
    }

    fn noticed(&mut self, notice: &Notice) {
        if let (Notice::Hop { key, asked }, Some(trail)) = (notice, &mut self.lookup)
            && trail.row.key == *key
            && trail.typed
        {
            trail.row.hops.push(Hop { peer: *asked, micros: None });
        }
    }

    /// The snapshot of the shown node now. In `simulation`, the caller sets the title, the
    /// speed and whether time passes; the rest is filled in here.
    pub fn snapshot(&mut self, world: &World, simulation: SimulationRow) -> Snapshot {
        self.pictures += 1;
        let size = world.size();
        if self.due(size, JUDGED_AT_ONCE) {
            self.health = Health::of(&world.ring());
            self.state = self.state(world);
        }
        if let Some(trail) = &mut self.lookup {
            trail.shown = trail.shown.saturating_add(1);
        }
        let members = self.members(world, size);
        let census = match size {
            0..=MAX_MEMBERS => CensusState::Complete,
            _ => CensusState::Estimate(size as u64),
        };
        let own = self.own(world);
        let files = self.files(world);
        let snapshot = Snapshot {
            uptime_ms: world.now().as_micros() / 1_000,
            members,
            census,
            files,
            health: self.health,
            state: self.state,
            lookup: self.lookup.as_ref().map(|trail| trail.row.clone()),
            simulation: Some(filled(world, simulation)),
            ..own
        };
        // The list of members is large and only needed for drawing.
        self.last = Some(Snapshot { members: Vec::new(), ..snapshot.clone() });
        snapshot
    }

    /// The health of the ring, as the world knows it.
    pub(super) fn state(&self, world: &World) -> view::State {
        let cut = world.all_hosts().iter().filter(|host| host.lives());
        let cut = cut.filter(|host| !self.reaches(world, host.number())).count() as u64;
        let paused = world.all_hosts().iter().filter(|host| host.state() == State::Paused);
        let size = world.size();
        view::State::of(&Facts {
            membership: match size {
                0 => Membership::Down,
                1 => Membership::Alone,
                _ => Membership::Member,
            },
            sick_disk: false,
            missing: (cut > 0).then_some(cut),
            seen: size as u64,
            unheard: 0,
            silent: paused.count() as u64,
            settled: world.is_settled(),
            shrinking: world.all_hosts().iter().any(|host| host.state() == State::Crashed),
            health: Health::of(&world.ring()),
            successors_max: world.setup().config().successors,
            files: world.nodes().map(|node| node.files_below() as u64).sum(),
        })
    }

    /// Whether work of this size is done for this snapshot.
    const fn due(&self, size: usize, at_once: usize) -> bool {
        self.pictures.is_multiple_of((1 + size / at_once) as u64) || self.last.is_none()
    }

    /// The shown node's own snapshot, or its last one when it is dead.
    fn own(&self, world: &World) -> Snapshot {
        let neighbour = |peer: Peer| Neighbour {
            peer,
            rtt_us: round_trip(world, self.host, peer),
            liveness: self.liveness(world, peer),
        };
        if let Some(node) = self.node(world) {
            return Snapshot::of(node, neighbour);
        }
        let membership = match world.host(self.host).map(Host::state) {
            Some(State::Left) => Membership::Left,
            _ => Membership::Down,
        };
        let mut seen = self.last.clone().unwrap_or_else(|| {
            let nobody = chord::Node::new(world.setup().config(), world.address(self.host));
            Snapshot { me: self.peer(world), ..Snapshot::of(&nobody, neighbour) }
        });
        let now = |near: &mut Neighbour| near.liveness = self.liveness(world, near.peer);
        seen.successors.iter_mut().for_each(now);
        seen.predecessor.iter_mut().for_each(now);
        if membership == Membership::Left {
            // It has no neighbours any more, and has handed over its files.
            (seen.predecessor, seen.successors) = (None, Vec::new());
            seen.fingers.iter_mut().for_each(|finger| finger.node = None);
        }
        Snapshot { membership, ..seen }
    }

    fn files(&self, world: &World) -> Arc<Files> {
        let before = self.last.as_ref().map(|last| Arc::clone(&last.files)).unwrap_or_default();
        let left = world.host(self.host).is_some_and(|host| host.state() == State::Left);
        match self.node(world) {
            None if left => Arc::default(),
            Some(node) if self.due(before.len(), LISTED_AT_ONCE) => {
                let rows = FileRow::all(&node.files_held(), node.params().space);
                if **before == rows { before } else { Arc::new(rows.into()) }
            }
            _ => before,
        }
    }

    /// The true members of the ring, and those that left or died a short time ago.
    fn members(&mut self, world: &World, size: usize) -> Vec<Member> {
        let space = world.space();
        let stride = size.div_ceil(MAX_MEMBERS).max(1);
        let now: Vec<Peer> = world.nodes().step_by(stride).map(chord::Node::peer).collect();
        if stride > 1 {
            // With so many members, no viewer sees a single one die.
            self.ghosts.clear();
        } else {
            let place = |peer: &Peer| (peer.id(space), *peer);
            let mut living = now.iter().map(place).peekable();
            for old in self.known.iter().map(place) {
                while living.next_if(|new| *new < old).is_some() {}
                if living.peek() != Some(&old) {
                    self.ghosts.entry(old.1).or_insert(GHOST);
                }
            }
            self.ghosts.retain(|peer, left| {
                *left = left.saturating_sub(1);
                let back = now.binary_search_by_key(&place(peer), place).is_ok();
                *left > 0 && !back
            });
        }
        let ghosts = self.ghosts.keys().map(|&peer| Member { peer, liveness: Liveness::Dead });
        let living = now.iter().map(|&peer| Member { peer, liveness: self.liveness(world, peer) });
        let mut members: Vec<Member> = living.chain(ghosts).collect();
        if !self.ghosts.is_empty() {
            members.sort_by_key(|member| (member.peer.id(space), member.peer));
        }
        self.known = if stride > 1 { Vec::new() } else { now };
        members
    }

    /// The true state of a peer, seen from the shown host: a peer that is cut off or paused
    /// is suspect.
    fn liveness(&self, world: &World, peer: Peer) -> Liveness {
        let found = host_at(peer.address()).and_then(|number| world.host(number));
        match found.map(|host| (host.state(), host.number())) {
            Some((State::Up, number)) if self.reaches(world, number) => Liveness::Up,
            Some((State::Up | State::Paused, _)) => Liveness::Suspect,
            Some((State::Crashed | State::Left, _)) | None => Liveness::Dead,
        }
    }

    fn reaches(&self, world: &World, host: HostId) -> bool {
        host == self.host || world.is_connected(self.host, host)
    }
}

/// Fills in the state of the world.
fn filled(world: &World, simulation: SimulationRow) -> SimulationRow {
    let mut groups = BTreeSet::new();
    let mut down = 0;
    for host in world.all_hosts() {
        down += u32::from(host.state() == State::Crashed);
        if host.lives() {
            groups.insert(host.group);
        }
    }
    SimulationRow {
        seed: world.setup().seed,
        now: Duration::from_micros(world.now().as_micros()),
        events: world.events(),
        hosts: world.living() as u32,
        down,
        parts: groups.len().max(1) as u32,
        ..simulation
    }
}

/// The round trip that the shown node's host measured, in microseconds.
fn round_trip(world: &World, host: HostId, peer: Peer) -> Option<u64> {
    let trips = &world.host(host)?.extra()?.trips;
    let mean = trips.get(&host_at(peer.address())?)?.mean()?;
    Some(mean.as_micros() as u64)
}
