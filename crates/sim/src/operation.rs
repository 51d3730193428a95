//! Operations of clients: lookups, puts, gets, removals, each seen from one host, and their
//! ends compared with the truth.
//!
//! A lookup is the core's own. The others do what a real client does: look the owner up,
//! ask it, transfer the bytes, wait for its reply, and try again for a while when the ring
//! has changed meanwhile.

use std::time::Duration;

use chordal_core::chord::{Command, Failure, Found, Input, Reply, Ticket, Upload};
use chordal_core::id::Id;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Obstacle, Record, Version};
use chordal_core::time::Time;

use super::World;
use super::event::Event;
use super::host::{HostId, State, host_at};

/// Attempts of an operation while the ring changes, as a real client makes.
const ATTEMPTS: u8 = 6;

/// Pause between attempts: about one period of stabilize on a busy ring.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a client waits for the reply of an owner to which it still has a connection:
/// longer than an owner waits for copies.
const WORD: Duration = Duration::from_secs(60);

/// The number of an operation, running or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub(super) u64);

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Who owns a key?
    Lookup,
    /// Store a file.
    Put,
    /// Read a file.
    Get,
    /// Remove a file.
    Remove,
}

/// The end of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The kind of operation.
    pub action: Action,
    /// The host that began it.
    pub host: HostId,
    /// The key.
    pub key: Id,
    /// The name; `None` for a lookup.
    pub name: Option<FileName>,
    /// When it began.
    pub began: Time,
    /// How long it took.
    pub took: Duration,
    /// Nodes that answered on the way, including the owner but not the asking host: the
    /// path length of the papers.
    pub contacts: u32,
    /// Nodes that did not answer.
    pub timeouts: u32,
    /// All nodes that were asked, in order, with the time of their answer; `None` if there
    /// was none. Of the last attempt; empty when a lookup failed.
    pub hops: Vec<(Peer, Option<Duration>)>,
    pub outcome: Outcome,
    /// The owner of the key at the end, among the live members that the host could reach
    /// then.
    pub truth: Option<Peer>,
    /// The owner at the beginning.
    pub truth_before: Option<Peer>,
    /// The newest version that was acknowledged before it began; `None` when there was
    /// none, or the name was removed.
    pub promised: Option<Version>,
}

impl Ended {
    /// Whether the outcome agrees with the truth: the owner found is the owner, at the end
    /// or at the beginning; the version read is not older than what was acknowledged, and
    /// nothing acknowledged is missing. Puts and removals are right when they are
    /// acknowledged, and when a newer one came before them.
    pub fn is_right(&self) -> bool {
        match &self.outcome {
            Outcome::Found(owner) => {
                [self.truth, self.truth_before].into_iter().flatten().any(|truth| truth == *owner)
            }
            Outcome::Got { version, .. } => {
                self.promised.is_none_or(|promised| *version >= promised)
            }
            Outcome::Missing => self.promised.is_none(),
            Outcome::Stored { .. } | Outcome::Removed { .. } => true,
            Outcome::Failed(why) => *why == Why::Refused(Failure::Superseded),
        }
    }
}

/// The outcome of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The owner of the key.
    Found(Peer),
    /// The file is stored.
    Stored {
        /// Its version.
        version: Version,
        /// The nodes that hold it durably, the owner first.
        holders: Vec<Peer>,
        /// Number of copies that are wanted.
        wanted: u8,
    },
    /// The file was read.
    Got {
        /// Its version.
        version: Version,
        /// Its bytes.
        size: u64,
        /// The node that sent it.
        from: Peer,
    },
    /// The name was removed.
    Removed {
        /// The tombstone's version.
        version: Version,
    },
    /// No node knows such a file.
    Missing,
    /// It failed.
    Failed(Why),
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The core refused it.
    #[error("{0}")]
    Refused(Failure),
    /// The owner, or every holder, could not be reached or had ended.
    #[error("the owner or the holders cannot be reached")]
    Unreachable,
    /// The host that began it died.
    #[error("the host that wanted it died")]
    Died,
}

/// What waits for the reply to a command.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// A host that joins.
    Join(HostId),
    /// A host that leaves.
    Leave(HostId),
    /// The lookup of an operation.
    Found(u64),
    /// A request of an operation to an owner, in this attempt.
    Owner(u64, u32),
}

/// A running operation.
#[derive(Debug)]
pub(super) struct Operation {
    action: Action,
    host: HostId,
    life: u32,
    key: Id,
    name: Option<FileName>,
    content: Option<(ContentHash, u64)>,
    began: Time,
    truth_before: Option<Peer>,
    promised: Option<Version>,
    attempt: u8,
    contacts: u32,
    timeouts: u32,
    hops: Vec<(Peer, Option<Duration>)>,
    /// Incremented with every stage: a step that was planned for an earlier one is ignored.
    number: u32,
    stage: Stage,
}

/// The stage of an operation.
#[derive(Debug)]
enum Stage {
    /// The core looks up the owner.
    Looking,
    /// The request is on its way to the owner.
    Going(Peer),
    /// The owner decides about the request.
    Asked(Peer, u32),
    /// The bytes are on their way to this life of the owner's process.
    Sending(Peer, u32),
    /// The owner makes copies.
    Committed(Peer, u32),
    /// A request is on its way to a node that may know the name; `left` are the others.
    Asking { left: Vec<Peer>, answered: bool },
    /// The bytes come from a holder; `holders` are the other holders, `left` the nodes that
    /// may know a newer version.
    Reading { record: Record, from: Peer, life: u32, holders: Vec<Peer>, left: Vec<Peer> },
    /// The answer is on its way back.
    Returning(Outcome),
    /// Waits before the next attempt.
    Waiting(Why),
}

impl World {
    /// Begins a lookup of a key by a host.
    pub fn lookup(&mut self, from: HostId, key: Id) -> OpId {
        let key = self.space.id(key.value());
        self.begin(from, Action::Lookup, key, None, None)
    }

    /// Begins a put by a host of a file with this many bytes, unlike any other. It replaces
    /// what the name held.
    pub fn put(&mut self, from: HostId, name: &FileName, size: u64) -> OpId {
        let mut root = [0; 32];
        for part in root.chunks_exact_mut(8) {
            part.copy_from_slice(&self.chance.bits().to_le_bytes());
        }
        let content = Some((ContentHash(root), size));
        self.begin(from, Action::Put, name.key(self.space), Some(name.clone()), content)
    }

    /// Begins a get of a file by a host.
    pub fn get(&mut self, from: HostId, name: &FileName) -> OpId {
        self.begin(from, Action::Get, name.key(self.space), Some(name.clone()), None)
    }

    /// Begins a removal of a file by a host.
    pub fn remove(&mut self, from: HostId, name: &FileName) -> OpId {
        self.begin(from, Action::Remove, name.key(self.space), Some(name.clone()), None)
    }

    /// Operations that have ended since the last call, in that order.
    pub fn ended(&mut self) -> Vec<(OpId, Ended)> {
        std::mem::take(&mut self.ended)
    }

    /// How many operations are running.
    pub fn under_way(&self) -> usize {
        self.operations.len()
    }

    fn begin(
        &mut self,
        host: HostId,
        action: Action,
        key: Id,
        name: Option<FileName>,
        content: Option<(ContentHash, u64)>,
    ) -> OpId {
        let id = self.next_operation;
        self.next_operation += 1;
        let promised = name.as_ref().and_then(|name| self.ledger.promised(name));
        let operation = Operation {
            action,
            host,
            life: self.hosts.get(host as usize).map_or(0, |host| host.life),
            key,
            name,
            content,
            began: self.now,
            truth_before: self.owner_seen_from(host, key),
            promised,
            attempt: 0,
            contacts: 0,
            timeouts: 0,
            hops: Vec::new(),
            number: 0,
            stage: Stage::Looking,
        };
        self.operations.insert(id, operation);
        self.look_up(id);
        OpId(id)
    }

    /// Begins the lookup of an attempt.
    fn look_up(&mut self, id: u64) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        operation.attempt += 1;
        operation.number += 1;
        operation.stage = Stage::Looking;
        let (host, life, key) = (operation.host, operation.life, operation.key);
        let runs =
            self.hosts.get(host as usize).is_some_and(|host| host.lives() && host.life == life);
        if !runs {
            return self.end(id, Outcome::Failed(Why::Died));
        }
        let ticket = self.ticket(Wait::Found(id));
        self.order(host, ticket, Command::Lookup { key });
    }

    /// Gives a command to the core of a host.
    pub(super) fn order(&mut self, host: HostId, ticket: Ticket, command: Command) {
        self.feed(host, None, Input::Command { ticket, command }, None);
    }

    pub(super) fn ticket(&mut self, wait: Wait) -> Ticket {
        self.tickets += 1;
        self.waiting.insert(self.tickets, wait);
        self.tickets
    }

    /// Handles the reply of a core to a command.
    pub(super) fn replied(&mut self, host: HostId, wait: Wait, reply: Reply) {
        match wait {
            Wait::Join(joining) => self.join_replied(joining, &reply),
            Wait::Leave(leaving) => self.left(leaving, &reply),
            Wait::Found(id) => self.looked_up(id, reply),
            Wait::Owner(id, number) => self.owner_said(host, id, number, reply),
        }
    }

    fn looked_up(&mut self, id: u64, reply: Reply) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let found = match reply {
            Reply::Found(found) => found,
            Reply::Failed(failure) => {
                if let Failure::LookupFailed { asked } = failure {
                    operation.timeouts += asked as u32;
                }
                let why = Why::Refused(failure);
                return match operation.action {
                    Action::Lookup => self.end(id, Outcome::Failed(why)),
                    _ => self.try_again(id, why),
                };
            }
            _ => return,
        };
        let Found { owner, successors, hops, .. } = found;
        let answered = hops.iter().filter(|(_, took)| took.is_some()).count();
        operation.contacts += answered as u32;
        operation.timeouts += (hops.len() - answered) as u32;
        operation.hops = hops;
        match operation.action {
            Action::Lookup => self.end(id, Outcome::Found(owner)),
            Action::Put | Action::Remove => self.go(id, Stage::Going(owner), owner),
            Action::Get => {
                let copies = usize::from(self.setup.replicas);
                let mut left: Vec<Peer> = successors;
                left.retain(|peer| *peer != owner);
                left.truncate(copies);
                left.insert(0, owner);
                self.go(id, Stage::Asking { left, answered: false }, owner);
            }
        }
    }

    /// Enters a stage whose step comes when a message to a peer arrives.
    fn go(&mut self, id: u64, stage: Stage, to: Peer) {
        let Some(from) = self.operations.get(&id).map(|operation| operation.host) else { return };
        let delay = host_at(to.address()).map_or(Duration::ZERO, |host| self.delay(from, host));
        self.enter_stage(id, stage, delay);
    }

    /// Enters a stage whose step comes after this time.
    fn enter_stage(&mut self, id: u64, stage: Stage, after: Duration) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        operation.number += 1;
        operation.stage = stage;
        let step = Event::Step { operation: id, stage: operation.number };
        self.queue.push(self.now + after, step);
    }

    /// Whether one host can talk to another; if not, how long it takes to know.
    pub(super) fn reach(&mut self, from: HostId, to: Peer) -> Result<HostId, Duration> {
        let silence = self.setup.patience;
        let Some(host) = host_at(to.address()).filter(|host| self.is_host(*host)) else {
            return Err(silence);
        };
        if !self.is_connected(from, host) {
            return Err(silence);
        }
        match self.hosts[host as usize].state {
            State::Up => match self.hosts[host as usize].slot_of(to.index()) {
                Some(_) => Ok(host),
                None => Err(self.delay(host, from)),
            },
            State::Crashed | State::Left if self.setup.refuse => Err(self.delay(host, from)),
            State::Paused | State::Crashed | State::Left => Err(silence),
        }
    }

    /// [`Event::Step`]
    pub(super) fn step_operation(&mut self, id: u64, number: u32) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        if operation.number != number {
            return;
        }
        let stage = std::mem::replace(&mut operation.stage, Stage::Looking);
        match stage {
            Stage::Looking => {}
            Stage::Going(owner) => self.ask_owner(id, owner),
            Stage::Asked(..) | Stage::Committed(..) => self.try_again(id, Why::Unreachable),
            Stage::Sending(owner, life) => self.commit(id, owner, life),
            Stage::Asking { left, answered } => self.ask_for(id, left, answered),
            Stage::Reading { record, from, life, holders, left } => {
                self.have_read(id, record, from, life, holders, left);
            }
            Stage::Returning(outcome) => self.end(id, outcome),
            Stage::Waiting(why) => match self.operations.get(&id) {
                Some(operation) if operation.attempt < ATTEMPTS => self.look_up(id),
                _ => self.end(id, Outcome::Failed(why)),
            },
        }
    }

    /// Sends the request to the owner.
    fn ask_owner(&mut self, id: u64, owner: Peer) {
        let Some(operation) = self.operations.get(&id) else { return };
        let (host, number) = (operation.host, operation.number + 1);
        let (Some(name), content) = (operation.name.clone(), operation.content) else { return };
        let there = match self.reach(host, owner) {
            Ok(there) => there,
            Err(wait) => return self.wait(id, Why::Unreachable, wait + PAUSE),
        };
        let command = match content {
            Some((root, _)) => Command::Offer { name, root, overwrite: true },
            None => Command::Remove { name },
        };
        let life = self.hosts[there as usize].life;
        let stage = if content.is_some() {
            Stage::Asked(owner, life)
        } else {
            Stage::Committed(owner, life)
        };
        self.enter_stage(id, stage, WORD);
        let ticket = self.ticket(Wait::Owner(id, number));
        self.order(there, ticket, command);
    }

    /// All bytes have reached the owner.
    fn commit(&mut self, id: u64, owner: Peer, life: u32) {
        let Some(operation) = self.operations.get(&id) else { return };
        let (host, number) = (operation.host, operation.number + 1);
        let (Some(name), Some((root, size))) = (operation.name.clone(), operation.content) else {
            return;
        };
        let reached = self.reach(host, owner);
        let there = match reached {
            Ok(there) if self.hosts[there as usize].life == life => there,
            Ok(_) => return self.wait(id, Why::Unreachable, PAUSE),
            Err(wait) => return self.wait(id, Why::Unreachable, wait + PAUSE),
        };
        self.hosts[there as usize].extra_mut().disk.take_in(root, size);
        self.enter_stage(id, Stage::Committed(owner, life), WORD);
        let ticket = self.ticket(Wait::Owner(id, number));
        let command = Command::Commit {
            name,
            root,
            size,
            overwrite: true,
            elsewhere: Vec::new(),
            obstacle: Obstacle::NoRoom,
        };
        self.order(there, ticket, command);
    }

    /// Handles the owner's reply to an operation that is, or was, at this stage.
    fn owner_said(&mut self, there: HostId, id: u64, number: u32, reply: Reply) {
        let acknowledged = match &reply {
            Reply::Stored { version, .. } | Reply::Upload(Upload::Already { version, .. }) => {
                Some(*version)
            }
            _ => None,
        };
        let Some(operation) = self.operations.get(&id) else { return };
        if operation.number != number {
            return;
        }
        let (host, content, action) = (operation.host, operation.content, operation.action);
        let asked = match operation.stage {
            Stage::Asked(owner, _) => Some(owner),
            _ => None,
        };
        let life = self.hosts[there as usize].life;
        let delay = self.delay(there, host);
        if let (Some((root, _)), None) = (content, acknowledged)
            && !matches!(reply, Reply::Upload(Upload::Proceed))
            && let Some(extra) = &mut self.hosts[there as usize].extra
        {
            extra.disk.tidy(&root);
        }
        match reply {
            Reply::Upload(Upload::Proceed) => {
                let size = content.map_or(0, |(_, size)| size);
                // First the reply travels back, then the bytes come.
                let way = delay * 2 + self.transfer_time(size) + self.setup.disk;
                let Some(owner) = asked else { return };
                self.enter_stage(id, Stage::Sending(owner, life), way);
            }
            Reply::Upload(Upload::Already { version, holders, wanted })
            | Reply::Stored { version, holders, wanted, .. } => {
                let outcome = match action {
                    Action::Remove => Outcome::Removed { version },
                    _ => Outcome::Stored { version, holders, wanted },
                };
                self.enter_stage(id, Stage::Returning(outcome), delay);
            }
            Reply::Failed(Failure::NoSuchFile) => {
                self.enter_stage(id, Stage::Returning(Outcome::Missing), delay);
            }
            Reply::Upload(Upload::NotOwner { .. } | Upload::Exists { .. }) => {
                self.wait(id, Why::Refused(Failure::NotOwner), delay + PAUSE);
            }
            Reply::Failed(failure @ (Failure::NotOwner | Failure::Busy(_))) => {
                self.wait(id, Why::Refused(failure), delay + PAUSE);
            }
            Reply::Failed(failure) => {
                let outcome = Outcome::Failed(Why::Refused(failure));
                self.enter_stage(id, Stage::Returning(outcome), delay);
            }
            _ => self.wait(id, Why::Unreachable, delay + PAUSE),
        }
    }

    /// Asks the next node that may know a name.
    fn ask_for(&mut self, id: u64, mut left: Vec<Peer>, mut answered: bool) {
        let Some(operation) = self.operations.get(&id) else { return };
        let (host, Some(name)) = (operation.host, operation.name.clone()) else { return };
        if left.is_empty() {
            return if answered {
                self.enter_stage(id, Stage::Returning(Outcome::Missing), Duration::ZERO);
            } else {
                self.wait(id, Why::Unreachable, PAUSE);
            };
        }
        let peer = left.remove(0);
        let there = match self.reach(host, peer) {
            Ok(there) => there,
            Err(wait) => return self.enter_stage(id, Stage::Asking { left, answered }, wait),
        };
        answered = true;
        let back = self.delay(there, host);
        let Some(core) = self.hosts[there as usize].core() else { return };
        match core.known_record(&name) {
            None => self.enter_stage(id, Stage::Asking { left, answered }, back * 2),
            Some(record) if record.is_deleted() => {
                self.enter_stage(id, Stage::Returning(Outcome::Missing), back);
            }
            Some(record) => {
                let record = record.clone();
                let holders = core.holders(&name);
                self.read_from(id, record, holders, left, back);
            }
        }
    }

    /// Reads from the first holder that has the content.
    fn read_from(
        &mut self,
        id: u64,
        record: Record,
        mut holders: Vec<Peer>,
        left: Vec<Peer>,
        mut after: Duration,
    ) {
        let Some(host) = self.operations.get(&id).map(|operation| operation.host) else { return };
        while !holders.is_empty() {
            let from = holders.remove(0);
            match self.reach(host, from) {
                Ok(there) if self.has(there, &record.version.root) => {
                    let life = self.hosts[there as usize].life;
                    let way = self.delay(host, there) + self.delay(there, host);
                    after += way + self.transfer_time(record.size());
                    let stage = Stage::Reading { record, from, life, holders, left };
                    return self.enter_stage(id, stage, after);
                }
                Ok(there) => after += self.delay(host, there) * 2,
                Err(wait) => after += wait,
            }
        }
        // No holder has the content; the existence of the file is known.
        self.enter_stage(id, Stage::Asking { left, answered: false }, after);
    }

    /// Ends a read if the source is still alive after the transfer.
    fn have_read(
        &mut self,
        id: u64,
        record: Record,
        from: Peer,
        life: u32,
        holders: Vec<Peer>,
        left: Vec<Peer>,
    ) {
        let Some(host) = self.operations.get(&id).map(|operation| operation.host) else { return };
        match self.reach(host, from) {
            Ok(there) if self.hosts[there as usize].life == life => {
                let (version, size) = (record.version, record.size());
                self.end(id, Outcome::Got { version, size, from });
            }
            Ok(_) => self.read_from(id, record, holders, left, Duration::ZERO),
            Err(wait) => self.read_from(id, record, holders, left, wait),
        }
    }

    fn try_again(&mut self, id: u64, why: Why) {
        self.wait(id, why, PAUSE);
    }

    fn wait(&mut self, id: u64, why: Why, span: Duration) {
        self.enter_stage(id, Stage::Waiting(why), span);
    }

    /// How long the transfer of so many bytes takes.
    pub(super) fn transfer_time(&self, size: u64) -> Duration {
        let micros = u128::from(size) * 1_000_000 / u128::from(self.setup.bandwidth);
        Duration::from_micros(micros as u64)
    }

    fn end(&mut self, id: u64, outcome: Outcome) {
        let Some(operation) = self.operations.remove(&id) else { return };
        if let Some(name) = &operation.name {
            match &outcome {
                Outcome::Stored { version, .. } => self.ledger.acknowledge(name, *version, false),
                Outcome::Removed { version } => self.ledger.acknowledge(name, *version, true),
                _ => {}
            }
        }
        let truth = self.owner_seen_from(operation.host, operation.key);
        let ended = Ended {
            action: operation.action,
            host: operation.host,
            key: operation.key,
            name: operation.name,
            began: operation.began,
            took: self.now - operation.began,
            contacts: operation.contacts,
            timeouts: operation.timeouts,
            hops: operation.hops,
            outcome,
            truth,
            truth_before: operation.truth_before,
            promised: operation.promised,
        };
        self.ended.push((OpId(id), ended));
    }

    /// Ends the operations of a process that ended, and those that wait for its reply.
    pub(super) fn host_gone(&mut self, host: HostId, life: u32) {
        let own = |operation: &Operation| operation.host == host && operation.life == life;
        let dead: Vec<u64> =
            self.operations.iter().filter(|(_, op)| own(op)).map(|(id, _)| *id).collect();
        for id in dead {
            self.end(id, Outcome::Failed(Why::Died));
        }
        // No core will reply to these.
        let operations = &self.operations;
        self.waiting.retain(|_, wait| match wait {
            Wait::Join(at) | Wait::Leave(at) => *at != host,
            Wait::Found(id) => operations.contains_key(id),
            Wait::Owner(id, number) => {
                operations.get(id).is_some_and(|operation| operation.number == *number)
            }
        });
        if !self.setup.refuse {
            return;
        }
        let waits = |operation: &Operation| match operation.stage {
            Stage::Asked(owner, at) | Stage::Committed(owner, at) => {
                at == life && host_at(owner.address()) == Some(host)
            }
            _ => false,
        };
        let broken: Vec<u64> =
            self.operations.iter().filter(|(_, op)| waits(op)).map(|(id, _)| *id).collect();
        for id in broken {
            self.wait(id, Why::Unreachable, PAUSE);
        }
    }
}
