//! Operations of clients: lookups, puts, gets, removals, each seen from one host, and their
//! ends compared with the truth. What a client decides is in [`chordal_core::client`];
//! [`super::client`] drives it.

use std::collections::BTreeMap;
use std::time::Duration;

use chordal_core::chord::{Command, Input, Reply, Ticket};
use chordal_core::client::{Get, Locate, NamedContent, Put, Remove};
use chordal_core::error::{CommandError, Reason};
use chordal_core::id::Id;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Version};
use chordal_core::time::Time;

use super::World;
use super::client::Todo;
use super::event::Event;
use super::host::{HostId, State, host_at};

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
            Outcome::Failed(Why::Failed(why)) => why.reason() == Some(Reason::Superseded),
            Outcome::Failed(_) => false,
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
    /// As a real client says it.
    #[error("{0}")]
    Failed(CommandError),
    /// No node that could know the name answered.
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
    /// A request of an operation to an owner; the number of what is done if it is silent.
    Owner(u64, u32),
}

/// A running operation.
#[derive(Debug)]
pub(super) struct Operation {
    action: Action,
    pub(super) host: HostId,
    life: u32,
    pub(super) key: Id,
    pub(super) name: Option<FileName>,
    pub(super) content: Option<(ContentHash, u64)>,
    began: Time,
    truth_before: Option<Peer>,
    promised: Option<Version>,
    pub(super) contacts: u32,
    pub(super) timeouts: u32,
    pub(super) hops: Vec<(Peer, Option<Duration>)>,
    pub(super) machine: Machine,
    /// What is done next, each with its number; what is not here any more is not done.
    pub(super) todo: BTreeMap<u32, Todo>,
    pub(super) number: u32,
}

/// What decides how an operation goes on.
#[derive(Debug)]
pub(super) enum Machine {
    /// The core of the host.
    Lookup,
    Put(Put),
    /// And the version of the tombstone, once it is there.
    Remove(Remove, Option<Version>),
    Get(Box<Getting>),
}

/// A get, and what it looks up.
#[derive(Debug)]
pub(super) struct Getting {
    pub(super) get: Get,
    pub(super) locate: Locate,
    /// The content of which the sources are looked up.
    pub(super) seeks: Option<NamedContent>,
    /// Whether any node has answered.
    pub(super) heard: bool,
    /// What was read, and from whom.
    pub(super) got: Option<(Version, u64, Peer)>,
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
        let machine = self.machine(action, name.as_ref());
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
            contacts: 0,
            timeouts: 0,
            hops: Vec::new(),
            machine,
            todo: BTreeMap::new(),
            number: 0,
        };
        self.operations.insert(id, operation);
        self.begin_machine(id);
        OpId(id)
    }

    /// Looks up the owner of the operation's key.
    pub(super) fn look_up(&mut self, id: u64) {
        let Some(operation) = self.operations.get(&id) else { return };
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

    /// Plans what an operation does after this time.
    pub(super) fn plan(&mut self, id: u64, after: Duration, todo: Todo) -> u32 {
        let Some(operation) = self.operations.get_mut(&id) else { return 0 };
        operation.number += 1;
        let number = operation.number;
        operation.todo.insert(number, todo);
        self.queue.push(self.now + after, Event::Step { operation: id, stage: number });
        number
    }

    /// Plans what an operation does when its message to a peer arrives.
    pub(super) fn travel(&mut self, id: u64, to: Peer, todo: Todo) {
        let Some(from) = self.operations.get(&id).map(|operation| operation.host) else { return };
        let delay = host_at(to.address()).map_or(Duration::ZERO, |host| self.delay(from, host));
        self.plan(id, delay, todo);
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
        let todo =
            self.operations.get_mut(&id).and_then(|operation| operation.todo.remove(&number));
        if let Some(todo) = todo {
            self.carry_out(id, todo);
        }
    }

    /// How long the transfer of so many bytes takes.
    pub(super) fn transfer_time(&self, size: u64) -> Duration {
        let micros = u128::from(size) * 1_000_000 / u128::from(self.setup.bandwidth);
        Duration::from_micros(micros as u64)
    }

    pub(super) fn end(&mut self, id: u64, outcome: Outcome) {
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
                operations.get(id).is_some_and(|operation| operation.todo.contains_key(number))
            }
        });
        if !self.setup.refuse {
            return;
        }
        let waits = |todo: &Todo| match todo {
            Todo::Silence(owner, at) => *at == life && host_at(owner.address()) == Some(host),
            _ => false,
        };
        let mut broken = Vec::new();
        for (id, operation) in &mut self.operations {
            let before = operation.todo.len();
            operation.todo.retain(|_, todo| !waits(todo));
            if operation.todo.len() < before {
                broken.push((*id, operation.host));
            }
        }
        for (id, from) in broken {
            let after = self.delay(host, from);
            self.plan(id, after, Todo::Silent);
        }
    }
}
