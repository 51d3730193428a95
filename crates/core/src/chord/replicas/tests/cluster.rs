//! The pump: a ring of file halves, their disks, and the network between them.

mod network;

use std::collections::{BTreeMap, BTreeSet};

use crate::chord::asks::Asks;
use crate::chord::effect::{Effect, Effects, Notice};
use crate::chord::input::Ticket;
use crate::chord::placement::placement;
use crate::chord::{Command, Found, Reply, StoreFailure, StoreOp, Timer};
use crate::id::{Id, Space};
use crate::limits::TOMBSTONE_S;
use crate::record::{Content, ContentHash, Obstacle, Version};
use crate::wire::{Message, Nonce, Tell, codec};

use super::super::*;

use network::Event;

pub(super) fn name(text: &str) -> FileName {
    FileName::new(text).expect("a good name")
}

pub(super) fn content(byte: u8) -> ContentHash {
    ContentHash([byte; 32])
}

#[derive(Clone)]
pub(super) struct TestNode {
    pub(super) replicas: Replicas,
    asks: Asks<Purpose>,
    pub(super) predecessor: Option<Peer>,
    pub(super) successors: Vec<Peer>,
    membership: Membership,
    alive: bool,
    /// Whether its disk refuses.
    pub(super) full: bool,
    /// How often it did.
    pub(super) refused: usize,
    /// Whether its disk has no room for files.
    pub(super) no_room: bool,
    /// Whether no bytes reach it.
    pub(super) deaf: bool,
    /// Whether what its disk is to do never ends.
    pub(super) stuck: bool,
    disk: BTreeMap<FileName, Record>,
    /// Contents that came over a chain and that no record names yet.
    unclaimed: BTreeSet<ContentHash>,
    /// Its commands; they die with it.
    commands: Vec<Ticket>,
}

impl TestNode {
    /// Whether its disk has this version or a newer one.
    fn has(&self, name: &FileName, version: Version) -> bool {
        self.disk.get(name).is_some_and(|record| record.version >= version)
    }
}

#[derive(Clone)]
pub(super) struct Cluster {
    space: Space,
    replicas: u8,
    nodes: BTreeMap<Peer, TestNode>,
    /// What never ends, for it is of a node that is stuck.
    stalled: Vec<Event>,
    /// Nodes that do not see the others, if any.
    apart: Vec<Peer>,
    events: Vec<Event>,
    #[allow(clippy::disallowed_types, reason = "the test is the driver")]
    rng: Option<fastrand::Rng>,
    next: Ticket,
    /// Every command: its name, and its reply once there is one.
    commands: BTreeMap<Ticket, (FileName, Option<Reply>)>,
    /// What was promised: the version and the copies it must have.
    promised: BTreeMap<FileName, (Version, usize)>,
    pub(super) armed: BTreeSet<Timer>,
    pub(super) sent: usize,
    pub(super) sent_bytes: usize,
    pub(super) fetched: usize,
    pub(super) given: usize,
    pub(super) longest_page: usize,
    pub(super) most_fetches: usize,
    /// The time, by every clock that is not in `skewed`.
    pub(super) now_s: u64,
    /// How far a node's clock is ahead, in seconds.
    pub(super) skewed: BTreeMap<Peer, i64>,
    /// Which versions gave way to a newer one unheard of, and where.
    pub(super) beaten: Vec<(Peer, String, Version)>,
    /// Who has no room for what, and who stands in.
    pub(super) no_room: Vec<(String, Peer, Option<Peer>)>,
    /// Which fetches were stopped, and where.
    pub(super) ceased: Vec<(Peer, String, Version)>,
    /// Copies that could not be made.
    pub(super) keep_failed: usize,
    /// Contents that nobody holds any more, and who says so.
    pub(super) forgotten: Vec<(Peer, String, ContentHash)>,
    /// Damaged copies that are whole again, and by whom.
    pub(super) restored: Vec<(Peer, String, Vec<Peer>)>,
}

impl Cluster {
    pub(super) fn new(nodes: usize, replicas: u8) -> Cluster {
        let mut cluster = Cluster {
            space: Space::new(16).expect("16 is allowed"),
            replicas,
            nodes: BTreeMap::new(),
            apart: Vec::new(),
            events: Vec::new(),
            stalled: Vec::new(),
            rng: None,
            next: 0,
            commands: BTreeMap::new(),
            promised: BTreeMap::new(),
            armed: BTreeSet::new(),
            sent: 0,
            sent_bytes: 0,
            fetched: 0,
            given: 0,
            longest_page: 0,
            most_fetches: 0,
            now_s: 0,
            skewed: BTreeMap::new(),
            beaten: Vec::new(),
            no_room: Vec::new(),
            ceased: Vec::new(),
            keep_failed: 0,
            forgotten: Vec::new(),
            restored: Vec::new(),
        };
        for _ in 0..nodes {
            cluster.join();
        }
        cluster.spread();
        cluster.rounds(2);
        cluster
    }

    /// From now on messages are reordered, duplicated and lost.
    #[allow(clippy::disallowed_types, reason = "the test is the driver")]
    pub(super) fn shuffle(&mut self, seed: u64) {
        self.rng = Some(fastrand::Rng::with_seed(seed));
    }

    /// Adds a node; others learn of it by [`Cluster::spread`].
    pub(super) fn join(&mut self) -> Peer {
        let port = 2000 + self.nodes.len() as u16;
        let peer = Peer::new(([127, 0, 0, 1], port).into(), 0);
        let node = TestNode {
            replicas: Replicas::default(),
            asks: Asks::default(),
            predecessor: None,
            successors: Vec::new(),
            membership: Membership::Member,
            alive: true,
            full: false,
            refused: 0,
            no_room: false,
            deaf: false,
            stuck: false,
            disk: BTreeMap::new(),
            unclaimed: BTreeSet::new(),
            commands: Vec::new(),
        };
        self.nodes.insert(peer, node);
        // A joiner takes its neighbours over before it answers anybody.
        self.look(peer);
        peer
    }

    /// A crash. Until it is noticed others count on the dead node's copy, so
    /// one copy fewer is left of the promise.
    pub(super) fn kill(&mut self, peer: Peer) {
        for (name, (version, floor)) in &mut self.promised {
            *floor = floor.saturating_sub(usize::from(self.nodes[&peer].has(name, *version)));
        }
        self.node(peer).alive = false;
        for (name, (version, _)) in &self.promised {
            assert!(durable(&self.nodes, name, *version) > 0, "{name} is lost");
        }
        self.lower();
        // What it was doing ends with it; answers on the way find nobody.
        self.events.retain(|event| {
            !matches!(event, Event::Disk { at, .. } | Event::Lookup { at, .. } if *at == peer)
        });
        let waiting = std::mem::take(&mut self.node(peer).commands);
        for ticket in waiting {
            self.armed.remove(&Timer::Copies(ticket));
            self.commands.remove(&ticket);
        }
    }

    /// Whether what was promised survives the death of this node.
    pub(super) fn can_lose(&self, peer: Peer) -> bool {
        let node = &self.nodes[&peer];
        let mut promised = self.promised.iter();
        promised.all(|(name, (version, floor))| *floor > 1 || !node.has(name, *version))
    }

    /// A dead node's disk is replaced by an empty one; what it said before has
    /// long arrived or is lost with its connections.
    pub(super) fn wipe(&mut self, peer: Peer) {
        for event in std::mem::take(&mut self.events) {
            match event {
                Event::Deliver { from, to, message: Message::Answer { nonce, .. } }
                    if from == peer =>
                {
                    self.events.push(Event::Silent { at: to, from, nonce });
                }
                Event::Deliver { from, .. } if from == peer => {}
                _ => self.events.push(event),
            }
        }
        self.node(peer).disk.clear();
        self.node(peer).unclaimed.clear();
    }

    /// The crashed node starts again with its disk.
    pub(super) fn revive(&mut self, peer: Peer) {
        let node = self.node(peer);
        node.alive = true;
        node.asks = Asks::default();
        node.replicas = Replicas::default();
        let records = node.disk.values().cloned().collect();
        node.replicas.start(records);
        self.collect(peer);
        self.look(peer);
    }

    /// The node starts again before anybody has noticed that it was away.
    pub(super) fn kill_and_revive(&mut self, peer: Peer) {
        let promised = self.promised.clone();
        self.kill(peer);
        self.revive(peer);
        self.promised = promised;
    }

    pub(super) fn begin_leave(&mut self, peer: Peer) {
        self.node(peer).membership = Membership::Leaving;
        self.lower();
        self.look(peer);
        self.with(peer, |files| files.leave());
        self.spread();
    }

    /// A whole leave.
    pub(super) fn leave(&mut self, peer: Peer) -> (usize, usize) {
        self.begin_leave(peer);
        for _ in 0..8 {
            if self.node(peer).replicas.handed_over() {
                break;
            }
            self.rounds(1);
        }
        let (handed, kept) = self.node(peer).replicas.left();
        self.node(peer).membership = Membership::Left;
        (handed, kept.len())
    }

    /// Parts the ring in these nodes and the others; joins it when empty.
    pub(super) fn part(&mut self, apart: &[Peer]) {
        self.apart = apart.to_vec();
        self.spread();
        self.run();
    }

    /// Those who have handed over everything are gone.
    pub(super) fn end_leaves(&mut self) {
        for node in self.nodes.values_mut() {
            let done = node.replicas.handed_over() && node.disk.is_empty();
            if node.membership == Membership::Leaving && done {
                node.replicas.left();
                node.membership = Membership::Left;
            }
        }
    }

    /// Everybody learns at once who its neighbours are now.
    pub(super) fn notice(&mut self) {
        for peer in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.look(peer);
        }
    }

    /// Everybody learns who its neighbours are now, one after another and not
    /// at once.
    pub(super) fn spread(&mut self) {
        for (peer, node) in &self.nodes {
            if node.alive {
                self.events.push(Event::Ring(*peer));
            }
        }
        if self.rng.is_none() {
            let (first, rest) = std::mem::take(&mut self.events)
                .into_iter()
                .partition(|event| matches!(event, Event::Ring(_)));
            self.events = first;
            let rest: Vec<Event> = rest;
            let rings = self.events.len();
            for _ in 0..rings {
                self.step();
            }
            self.events.splice(0..0, rest);
        }
    }

    /// A quiet time: disks work, the network is good, and repair comes to an
    /// end. From then on the full number of copies is promised again.
    pub(super) fn heal(&mut self) {
        let rng = self.rng.take();
        // Who stood in is asked to let go only when full nodes were tried again.
        let rounds = if self.no_room.is_empty() { 16 } else { 40 };
        for node in self.nodes.values_mut() {
            node.full = false;
            node.no_room = false;
            node.deaf = false;
            // Their time is over.
            node.unclaimed.clear();
        }
        self.notice();
        self.collect_all();
        self.run();
        // So is that of puts that wait for them.
        for ticket in self.waiting() {
            self.everywhere(|files| {
                files.entrust_late(ticket);
            });
        }
        self.rounds(rounds);
        self.assert_in_place();
        let wanted = self.members().len().min(usize::from(self.replicas));
        for (_, floor) in self.promised.values_mut() {
            *floor = wanted;
        }
        self.check(self.members()[0]);
        self.rng = rng;
    }

    /// A node lets go of the tombstones whose day is over.
    pub(super) fn collect(&mut self, peer: Peer) {
        let skewed = &self.skewed;
        let now_s = self.now_s;
        let clock = |peer: &Peer| {
            let ahead = skewed.get(peer).copied().unwrap_or_default();
            if now_s == 0 { 0 } else { now_s.saturating_add_signed(ahead) }
        };
        let nodes = &self.nodes;
        self.promised.retain(|name, (version, _)| {
            let records = nodes.iter().filter_map(|(peer, node)| {
                let known = node.replicas.record(name).filter(|_| node.alive);
                Some((clock(peer), known.or(node.disk.get(name))?))
            });
            let mut promised = records.filter(|(_, record)| record.version == *version);
            // The last minutes before its end nobody takes it any more.
            !promised.any(|(now_s, record)| {
                let before_s = (now_s + 10 * 60).saturating_sub(TOMBSTONE_S);
                matches!(record.content, Content::Deleted { at_s } if at_s < before_s)
            })
        });
        let now_s = clock(&peer);
        self.with(peer, |files| files.tell_time(now_s));
    }

    /// Everybody does.
    pub(super) fn collect_all(&mut self) {
        let alive = self.nodes.iter().filter(|(_, node)| node.alive).map(|(peer, _)| *peer);
        for peer in alive.collect::<Vec<_>>() {
            self.collect(peer);
        }
    }

    /// The disk of a node finds that the bytes of a file are damaged, and puts
    /// them aside; `false`: it has none, or they are all that was promised.
    pub(super) fn damage(&mut self, at: Peer, file: &str) -> bool {
        let name = name(file);
        let Some(record) = self.nodes[&at].disk.get(&name).cloned() else { return false };
        let busy = |event: &Event| match event {
            Event::Disk { at: node, op, .. } => {
                *node == at
                    && match op {
                        StoreOp::Keep { record, .. } => record.name == name,
                        StoreOp::Drop { name: dropped, .. } => *dropped == name,
                    }
            }
            _ => false,
        };
        if record.is_deleted() || self.events.iter().any(busy) {
            return false;
        }
        if let Some((version, floor)) = self.promised.get_mut(&name)
            && record.version >= *version
        {
            if *floor < 2 {
                return false;
            }
            *floor -= 1;
        }
        self.node(at).disk.remove(&name);
        let version = record.version;
        self.with(at, |files| files.lost(&name, version));
        true
    }

    /// A node hears that its neighbours have changed.
    pub(super) fn tell_of_the_ring(&mut self, at: Peer) {
        self.with(at, |files| files.ring_changed());
        self.run();
    }

    /// Bytes pass between these two again, the first is told.
    pub(super) fn bytes_pass(&mut self, at: Peer, other: Peer) {
        let host = other.address();
        self.with(at, |files| files.bytes_pass(host));
        self.run();
    }

    /// A name is no longer promised: it is about to be lost.
    pub(super) fn forgive(&mut self, file: &str) {
        self.promised.remove(&name(file));
    }

    /// Store operations under way.
    pub(super) fn under_way(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Event::Disk { .. })).count()
    }

    /// Repair fires at one node.
    pub(super) fn repair_some(&mut self, peer: Peer) {
        self.with(peer, |files| files.repair());
    }

    /// Repair fires everywhere, and everything that follows happens; often.
    pub(super) fn rounds(&mut self, rounds: usize) {
        for _ in 0..rounds {
            self.run();
            let alive: Vec<Peer> =
                self.nodes.iter().filter(|(_, n)| n.alive).map(|(p, _)| *p).collect();
            for peer in alive {
                self.with(peer, |files| files.repair());
            }
        }
        self.run();
    }

    /// Until nothing more happens.
    pub(super) fn run(&mut self) {
        self.steps(200_000);
        assert!(self.events.is_empty(), "it never ends");
    }

    pub(super) fn steps(&mut self, most: usize) {
        for _ in 0..most {
            if self.events.is_empty() {
                return;
            }
            self.step();
        }
    }

    /// The time of all waiting commands is over.
    pub(super) fn fire_copies(&mut self) {
        for ticket in self.waiting() {
            self.armed.remove(&Timer::Copies(ticket));
            self.everywhere(|files| {
                files.copies_late(ticket);
            });
        }
    }

    /// Commands that wait for copies.
    fn waiting(&self) -> Vec<Ticket> {
        let tickets = self.armed.iter().filter_map(|timer| match timer {
            Timer::Copies(ticket) => Some(*ticket),
            _ => None,
        });
        tickets.collect()
    }

    fn everywhere(&mut self, call: impl Fn(&mut Files<'_>)) {
        for peer in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.with(peer, &call);
        }
    }

    pub(super) fn put(&mut self, file: &str, byte: u8, overwrite: bool) -> Option<Reply> {
        self.put_at(self.placed(file)[0], file, byte, overwrite)
    }

    pub(super) fn put_at(
        &mut self,
        at: Peer,
        file: &str,
        byte: u8,
        overwrite: bool,
    ) -> Option<Reply> {
        let ticket = self.begin_put(at, file, byte, overwrite);
        self.run();
        self.reply(ticket)
    }

    pub(super) fn begin_put(&mut self, at: Peer, file: &str, byte: u8, overwrite: bool) -> Ticket {
        let (name, root) = (name(file), content(byte));
        let elsewhere = if self.nodes[&at].no_room { self.chain(at, root) } else { Vec::new() };
        let obstacle = Obstacle::NoRoom;
        let commit = Command::Commit { name, root, size: 100, overwrite, elsewhere, obstacle };
        self.command(at, commit)
    }

    /// A command, until nothing more happens.
    pub(super) fn commit(&mut self, at: Peer, commit: Command) -> Option<Reply> {
        let ticket = self.command(at, commit);
        self.run();
        self.reply(ticket)
    }

    /// The bytes for which a node has no room go to the next ones that have; to
    /// which.
    pub(super) fn chain(&mut self, at: Peer, root: ContentHash) -> Vec<Peer> {
        let next = self.nodes[&at].successors.iter();
        let with_room = next.filter(|peer| self.nodes[peer].alive && !self.nodes[peer].no_room);
        let chain: Vec<Peer> = with_room.take(usize::from(self.replicas)).copied().collect();
        for peer in &chain {
            self.node(*peer).unclaimed.insert(root);
        }
        chain
    }

    pub(super) fn offer(&mut self, file: &str, byte: u8, overwrite: bool) -> Option<Reply> {
        self.offer_at(self.placed(file)[0], file, byte, overwrite)
    }

    pub(super) fn offer_at(
        &mut self,
        at: Peer,
        file: &str,
        byte: u8,
        overwrite: bool,
    ) -> Option<Reply> {
        let (name, root) = (name(file), content(byte));
        let ticket = self.command(at, Command::Offer { name, root, overwrite });
        self.run();
        self.reply(ticket)
    }

    pub(super) fn remove(&mut self, file: &str) -> Option<Reply> {
        let ticket = self.begin_remove(self.placed(file)[0], file);
        self.run();
        self.reply(ticket)
    }

    pub(super) fn begin_remove(&mut self, at: Peer, file: &str) -> Ticket {
        self.collect(at);
        self.command(at, Command::Remove { name: name(file) })
    }

    pub(super) fn reply(&self, ticket: Ticket) -> Option<Reply> {
        self.commands[&ticket].1.clone()
    }

    pub(super) fn last_reply(&self) -> Option<Reply> {
        self.reply(self.next - 1)
    }

    /// Commands that got no reply from a node that lives on.
    pub(super) fn unanswered(&self) -> Vec<Ticket> {
        let open = self.commands.iter().filter(|(_, (_, reply))| reply.is_none());
        open.map(|(ticket, _)| *ticket).collect()
    }

    pub(super) fn node(&mut self, peer: Peer) -> &mut TestNode {
        self.nodes.get_mut(&peer).expect("a node of this test")
    }

    /// Puts records onto a node's disk, as if it had started with them.
    pub(super) fn load(&mut self, at: Peer, records: &[Record]) {
        let node = self.node(at);
        node.disk.extend(records.iter().map(|record| (record.name.clone(), record.clone())));
        node.replicas.start(records.to_vec());
    }

    pub(super) fn rows(&self, at: Peer) -> Vec<HeldFile> {
        let node = &self.nodes[&at];
        node.replicas.rows(&view(self.space, self.replicas, at, node), None).collect()
    }

    pub(super) fn row(&self, at: Peer, file: &str) -> HeldFile {
        let node = &self.nodes[&at];
        let ring = view(self.space, self.replicas, at, node);
        node.replicas.rows(&ring, None).find(|row| row.record.name == name(file)).expect("a row")
    }

    pub(super) fn holders_at(&self, at: Peer, file: &str) -> Vec<Peer> {
        let node = &self.nodes[&at];
        node.replicas.holders(&view(self.space, self.replicas, at, node), &name(file))
    }

    /// Living members in ring order.
    pub(super) fn members(&self) -> Vec<Peer> {
        let members =
            self.nodes.iter().filter(|(_, n)| n.alive && n.membership == Membership::Member);
        let mut members: Vec<Peer> = members.map(|(peer, _)| *peer).collect();
        members.sort_by_key(|peer| peer.id(self.space));
        members
    }

    pub(super) fn placed(&self, file: &str) -> Vec<Peer> {
        self.placed_among(file, &self.members())
    }

    pub(super) fn placed_among(&self, file: &str, nodes: &[Peer]) -> Vec<Peer> {
        placement(self.space, name(file).key(self.space), nodes, self.replicas)
    }

    pub(super) fn sorted(mut peers: Vec<Peer>) -> Vec<Peer> {
        peers.sort();
        peers
    }

    /// Living nodes that hold the name on disk.
    pub(super) fn where_is(&self, file: &str) -> Vec<Peer> {
        let holds = |node: &TestNode| node.alive && node.disk.contains_key(&name(file));
        self.nodes.iter().filter(|(_, node)| holds(node)).map(|(peer, _)| *peer).collect()
    }

    pub(super) fn copies(&self, file: &str) -> usize {
        self.where_is(file).len()
    }

    pub(super) fn live_copies(&self, file: &str) -> usize {
        let placed = self.placed(file);
        self.where_is(file).iter().filter(|peer| placed.contains(peer)).count()
    }

    /// Every record is exactly where it belongs, everywhere in one version.
    pub(super) fn assert_in_place(&self) {
        let members = self.members();
        let mut versions: BTreeMap<FileName, BTreeMap<Peer, Version>> = BTreeMap::new();
        for peer in &members {
            for (name, record) in &self.nodes[peer].disk {
                versions.entry(name.clone()).or_default().insert(*peer, record.version);
            }
        }
        for (name, held) in versions {
            let placed = self.placed(name.as_str());
            let holders: Vec<Peer> = held.keys().copied().collect();
            assert_eq!(holders, Cluster::sorted(placed), "{name}");
            assert_eq!(held.values().collect::<BTreeSet<_>>().len(), 1, "{name}: {held:?}");
        }
    }

    /// Calls a node and takes in what it wants done.
    pub(super) fn with<T>(&mut self, at: Peer, call: impl FnOnce(&mut Files<'_>) -> T) -> T {
        let node = self.nodes.get_mut(&at).expect("a node of this test");
        let successors = node.successors.clone();
        let ring =
            RingView { successors: &successors, ..view(self.space, self.replicas, at, node) };
        let mut out = Effects::new();
        let (state, asks) = (&mut node.replicas, &mut node.asks);
        let result = call(&mut Files { state, ring, asks, out: &mut out });
        if let Some(key) = node.replicas.wants_lookup() {
            self.events.push(Event::Lookup { at, key });
        }
        for effect in out {
            self.effect(at, effect);
        }
        self.check(at);
        result
    }

    fn command(&mut self, at: Peer, command: Command) -> Ticket {
        let ticket = self.next;
        self.next += 1;
        let (name, command) = match command {
            Command::Offer { name, root, overwrite } => {
                (name, FileCommand::Offer { root, overwrite })
            }
            Command::Commit { name, root, size, overwrite, elsewhere, obstacle } => {
                (name, FileCommand::Commit { root, size, overwrite, elsewhere, obstacle })
            }
            Command::Remove { name } => (name, FileCommand::Remove),
            _ => panic!("no command about a file"),
        };
        self.commands.insert(ticket, (name.clone(), None));
        self.node(at).commands.push(ticket);
        if let FileCommand::Commit { root, elsewhere, .. } = &command
            && elsewhere.is_empty()
        {
            self.node(at).unclaimed.insert(*root);
        }
        self.with(at, |files| {
            files.command(ticket, name, command);
        });
        ticket
    }

    fn effect(&mut self, at: Peer, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                assert_ne!(to, at, "a node writes to itself");
                self.sent += 1;
                self.sent_bytes += codec::encode(&message).expect("it fits").len();
                if let Message::Ask { ask: Ask::Offer { records, .. }, .. }
                | Message::Ask { ask: Ask::Entrust { records, .. }, .. } = &message
                {
                    self.longest_page = self.longest_page.max(records.len());
                }
                self.events.push(Event::Deliver { from: at, to, message });
            }
            Effect::Store { ticket, op } => self.events.push(Event::Disk { at, ticket, op }),
            Effect::Arm { timer, after } => {
                assert!(after.start < after.end);
                if matches!(timer, Timer::Copies(_)) {
                    self.armed.insert(timer);
                }
            }
            Effect::Cease { ticket } => self.ceased(at, ticket),
            Effect::Disarm(timer) => {
                self.armed.remove(&timer);
            }
            Effect::Reply { ticket, reply } => {
                let (name, answered) = self.commands.get_mut(&ticket).expect("a command");
                assert_eq!(answered.replace(reply.clone()), None, "one reply to a command");
                let name = name.clone();
                if let Reply::Stored { version, wanted, holders, passed } = reply {
                    let full = passed.iter().any(|passed| passed.peer == at);
                    assert_eq!(holders.contains(&at), !full);
                    assert_eq!(holders[0] == at, holders.contains(&at), "the owner first");
                    assert_eq!(holders.len(), usize::from(wanted));
                    self.promise(name, version, holders.len());
                }
            }
            Effect::Notice(Notice::Given(_)) => self.given += 1,
            Effect::Notice(Notice::PassedOver { name, over }) => {
                self.no_room.push((name.as_str().to_owned(), over.peer, over.stand_in));
            }
            Effect::Notice(Notice::Beaten { lost, .. }) => {
                self.beaten.push((at, lost.name.as_str().to_owned(), lost.version));
            }
            Effect::Notice(Notice::KeepFailed { .. }) => self.keep_failed += 1,
            Effect::Notice(Notice::Forgotten { lost, .. }) => {
                self.forgotten.push((at, lost.name.as_str().to_owned(), lost.version.root));
            }
            Effect::Notice(Notice::Restored { record, from }) => {
                self.restored.push((at, record.name.as_str().to_owned(), from));
            }
            Effect::Notice(_) => {}
        }
    }

    /// A command was acknowledged: the copies must be on disks, of which some
    /// may have died since they said so; the others must stay.
    fn promise(&mut self, name: FileName, version: Version, wanted: usize) {
        let kept = self.nodes.values().filter(|node| node.has(&name, version)).count();
        assert!(kept >= wanted, "{name} was acknowledged with {kept} of {wanted} copies");
        // Those on their way out do not count as holders for long.
        let members = self.members();
        let alive = members.iter().filter(|peer| self.nodes[peer].has(&name, version)).count();
        let (known, floor) = self.promised.entry(name).or_insert((version, 0));
        if *known <= version {
            *floor = alive.min(wanted).max(if *known == version { *floor } else { 0 });
            *known = version;
        }
        self.lower();
    }

    /// More copies than there are members are not promised, and none on an owner
    /// that has no room.
    fn lower(&mut self) {
        let members = self.members();
        for (name, (_, floor)) in &mut self.promised {
            let placed = placement(self.space, name.key(self.space), &members, 1);
            let owner = placed.first().map(|owner| &self.nodes[owner].replicas);
            let full =
                owner.and_then(|owner| owner.disk.get(name)).is_some_and(|held| !held.is_here());
            *floor = (*floor).min((members.len() - usize::from(full)).max(1));
        }
    }

    /// What must hold after every step.
    fn check(&mut self, at: Peer) {
        self.lower();
        for (name, (version, floor)) in &self.promised {
            let copies = durable(&self.nodes, name, *version);
            assert!(copies >= *floor, "{name}: {copies} of {floor} copies, after a step of {at}");
        }
        let mut busy = BTreeSet::new();
        let mut fetches = 0;
        for event in &self.events {
            if let Event::Disk { at: node, op, .. } = event
                && *node == at
            {
                let name = match op {
                    StoreOp::Keep { record, sources, .. } => {
                        fetches += usize::from(!sources.is_empty());
                        &record.name
                    }
                    StoreOp::Drop { name, .. } => name,
                };
                assert!(busy.insert(name.clone()), "two operations on {name}");
            }
        }
        self.most_fetches = self.most_fetches.max(fetches);
    }
}

fn view(space: Space, replicas: u8, me: Peer, node: &TestNode) -> RingView<'_> {
    RingView {
        space,
        me,
        predecessor: node.predecessor,
        successors: &node.successors,
        replicas,
        membership: node.membership,
    }
}

/// Living disks on the ring with this version of the name or a newer one.
fn durable(nodes: &BTreeMap<Peer, TestNode>, name: &FileName, version: Version) -> usize {
    let here = |node: &&TestNode| node.alive && node.membership != Membership::Left;
    nodes.values().filter(here).filter(|node| node.has(name, version)).count()
}
