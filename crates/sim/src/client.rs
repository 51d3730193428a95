//! Drives the machines of [`chordal_core::client`]: their steps take the time of messages,
//! transfers and disks, and fail where a host is dead, paused or cut off.

use std::time::Duration;

use chordal_core::chord::{Command, Failure, Found, Reply, Upload};
use chordal_core::client::{
    Answer, Get, GetEnd, GetEvent, GetStep, Locate, LocateEvent, LocateStep, NO_SOURCE_LIMIT,
    NamedContent, Put, PutEvent, PutStep, Remove, RemoveEvent, RemoveStep, Sought,
};
use chordal_core::error::{CommandError, Fault, Reason};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::{ContentHash, Obstacle};
use chordal_core::wire::data::DataResponse;

use super::World;
use super::host::HostId;
use super::operation::{Action, Getting, Machine, Outcome, Wait, Why};

/// How long a client waits for the reply of an owner to which it still has a connection:
/// longer than an owner waits for copies. (A real owner sends signs of life meanwhile.)
const WORD: Duration = Duration::from_secs(60);

/// What an operation does next.
#[derive(Debug)]
pub(super) enum Todo {
    /// An upload has arrived at the owner.
    Offer(Peer),
    /// The owner is asked who takes the file in its place.
    AskInstead(Peer),
    /// All bytes have arrived at this life of the owner's process.
    Commit(Peer, u32),
    /// All bytes have arrived at the first node of a chain.
    Relayed(Peer, Vec<Peer>),
    /// The owner is told who has the bytes.
    CommitElsewhere(Peer, Vec<Peer>, Obstacle),
    /// A removal has arrived at the owner.
    Remove(Peer),
    /// This life of the owner's process has said nothing for too long.
    Silence(Peer, u32),
    /// The connection to the owner broke.
    Silent,
    /// A question has arrived at a node that may know the name.
    Ask(Peer),
    /// The bytes come from this life of a source's process; the others are still to be tried.
    Read {
        content: NamedContent,
        from: Peer,
        life: u32,
        left: Vec<Peer>,
    },
    /// The machine hears of something.
    Put(PutEvent),
    Removal(RemoveEvent),
    Locate(LocateEvent),
    Get(GetEvent),
}

impl World {
    /// The machine of an operation.
    pub(super) fn machine(&self, action: Action, name: Option<&FileName>) -> Machine {
        let Some(name) = name.cloned() else { return Machine::Lookup };
        match action {
            Action::Lookup => Machine::Lookup,
            Action::Put => Machine::Put(Put::new(name)),
            Action::Remove => Machine::Remove(Remove::new(name), None),
            Action::Get => Machine::Get(Box::new(Getting {
                get: Get::new(NO_SOURCE_LIMIT),
                locate: Locate::new(name, self.space, self.setup.replicas),
                seeks: None,
                heard: false,
                got: None,
            })),
        }
    }

    pub(super) fn begin_machine(&mut self, id: u64) {
        match self.operations.get(&id).map(|operation| &operation.machine) {
            Some(Machine::Put(_)) => self.put_event(id, PutEvent::Begun),
            Some(Machine::Remove(..)) => self.remove_event(id, RemoveEvent::Woke),
            Some(Machine::Get(_)) => self.get_event(id, GetEvent::Begun),
            _ => self.look_up(id),
        }
    }

    pub(super) fn looked_up(&mut self, id: u64, reply: Reply) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let found = match reply {
            Reply::Found(Found { owner, successors, hops, .. }) => {
                let answered = hops.iter().filter(|(_, took)| took.is_some()).count();
                operation.contacts += answered as u32;
                operation.timeouts += (hops.len() - answered) as u32;
                operation.hops = hops;
                Ok((owner, successors))
            }
            Reply::Failed(failure) => {
                if let Failure::LookupFailed { asked } = failure {
                    operation.timeouts += asked as u32;
                }
                Err(CommandError::from(failure))
            }
            _ => return,
        };
        match (&operation.machine, found) {
            (Machine::Lookup, Ok((owner, _))) => self.end(id, Outcome::Found(owner)),
            (Machine::Lookup, Err(why)) => self.fail(id, why),
            (Machine::Put(_), Ok((owner, _))) => {
                self.put_event(id, PutEvent::Found { owner, deaf: false });
            }
            (Machine::Put(_), Err(why)) => self.put_event(id, PutEvent::LookupFailed(why)),
            (Machine::Remove(..), found) => {
                self.remove_event(id, RemoveEvent::Found(found.map(|(owner, _)| owner)));
            }
            (Machine::Get(_), found) => self.locate_event(id, LocateEvent::Found(found)),
        }
    }

    fn fail(&mut self, id: u64, why: CommandError) {
        self.end(id, Outcome::Failed(Why::Failed(why)));
    }

    fn put_event(&mut self, id: u64, event: PutEvent) {
        let now = self.now;
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let Machine::Put(put) = &mut operation.machine else { return };
        match put.handle(now, event) {
            PutStep::Lookup => self.look_up(id),
            PutStep::Hand(owner) => self.travel(id, owner, Todo::Offer(owner)),
            PutStep::AskInstead(owner) => self.travel(id, owner, Todo::AskInstead(owner)),
            PutStep::Relay { to, rest } => {
                let size = operation.content.map_or(0, |(_, size)| size);
                let after = self.transfer_time(size) + self.setup.disk;
                self.plan(id, after, Todo::Relayed(to, rest));
            }
            PutStep::Commit { owner, holders, obstacle } => {
                self.travel(id, owner, Todo::CommitElsewhere(owner, holders, obstacle));
            }
            PutStep::Wait(span) => {
                self.plan(id, span, Todo::Put(PutEvent::Woke));
            }
            PutStep::Done(Ok(DataResponse::Stored { version, holders, wanted, .. })) => {
                self.end(id, Outcome::Stored { version, holders, wanted });
            }
            PutStep::Done(Ok(_)) => self.end(id, Outcome::Failed(Why::Unreachable)),
            PutStep::Done(Err(why)) => self.fail(id, why),
        }
    }

    fn remove_event(&mut self, id: u64, event: RemoveEvent) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let Machine::Remove(remove, removed) = &mut operation.machine else { return };
        match remove.handle(event) {
            RemoveStep::Lookup => self.look_up(id),
            RemoveStep::Ask(owner) => self.travel(id, owner, Todo::Remove(owner)),
            RemoveStep::Wait(span) => {
                self.plan(id, span, Todo::Removal(RemoveEvent::Woke));
            }
            RemoveStep::Done(Ok(())) => {
                let removed = removed.map(|version| Outcome::Removed { version });
                self.end(id, removed.unwrap_or(Outcome::Failed(Why::Unreachable)));
            }
            RemoveStep::Done(Err(why)) if why.reason() == Some(Reason::NotFound) => {
                self.end(id, Outcome::Missing);
            }
            RemoveStep::Done(Err(why)) => self.fail(id, why),
        }
    }

    fn get_event(&mut self, id: u64, event: GetEvent) {
        let now = self.now;
        let Some(getting) = self.getting(id) else { return };
        match getting.get.handle(now, event) {
            GetStep::Look => self.locate(id, None),
            GetStep::Seek(content) => self.locate(id, Some(content)),
            GetStep::Fetch(content) => {
                let left = content.sources.clone();
                self.read_from(id, content, left, Duration::ZERO);
            }
            GetStep::Wait(span) => {
                self.plan(id, span, Todo::Get(GetEvent::Woke));
            }
            GetStep::Done(end) => {
                let outcome = match (end, getting.got) {
                    (GetEnd::Fetched, Some((version, size, from))) => {
                        Outcome::Got { version, size, from }
                    }
                    (GetEnd::Missing, _) if getting.heard => Outcome::Missing,
                    _ => Outcome::Failed(Why::Unreachable),
                };
                self.end(id, outcome);
            }
        }
    }

    fn machine_of(&mut self, id: u64) -> Option<&mut Machine> {
        self.operations.get_mut(&id).map(|operation| &mut operation.machine)
    }

    fn getting(&mut self, id: u64) -> Option<&mut Getting> {
        match self.machine_of(id) {
            Some(Machine::Get(getting)) => Some(getting),
            _ => None,
        }
    }

    /// Looks up who has the name, for all of it or for this content.
    fn locate(&mut self, id: u64, seeks: Option<NamedContent>) {
        let (space, replicas) = (self.space, self.setup.replicas);
        let Some(name) = self.operations.get(&id).and_then(|it| it.name.clone()) else { return };
        let Some(getting) = self.getting(id) else { return };
        getting.locate = Locate::new(name, space, replicas);
        (getting.seeks, getting.heard) = (seeks, false);
        self.locate_event(id, LocateEvent::Begun);
    }

    fn locate_event(&mut self, id: u64, event: LocateEvent) {
        let now = self.now;
        let Some(getting) = self.getting(id) else { return };
        getting.heard |= matches!(event, LocateEvent::Answered(_, Some(_)));
        for step in getting.locate.handle(now, event) {
            match step {
                LocateStep::Lookup => self.look_up(id),
                LocateStep::Ask(node) => self.travel(id, node, Todo::Ask(node)),
                LocateStep::Wait(span) => {
                    self.plan(id, span, Todo::Locate(LocateEvent::Woke));
                }
                LocateStep::Done(known) => {
                    let Some(operation) = self.operations.get_mut(&id) else { return };
                    operation.todo.clear();
                    let host = operation.host;
                    let member = self.address(host);
                    let Some(getting) = self.getting(id) else { return };
                    let event = match (getting.seeks.take(), known) {
                        (Some(seeks), Ok(known)) => {
                            let contents = known.contents().0;
                            GetEvent::Sought(seeks.sought(&known, contents, Peer::new(member, 0)))
                        }
                        (Some(seeks), Err(_)) => {
                            GetEvent::Sought(Sought::Sources(seeks.sources.clone()))
                        }
                        (None, Ok(known)) => match known.contents().0.into_iter().next() {
                            Some(content) => GetEvent::Found(content),
                            None => GetEvent::Missing { back: false },
                        },
                        (None, Err(why)) => return self.fail(id, why),
                    };
                    return self.get_event(id, event);
                }
            }
        }
    }

    /// Reads from the first of these sources that has the content.
    fn read_from(
        &mut self,
        id: u64,
        content: NamedContent,
        mut left: Vec<Peer>,
        mut after: Duration,
    ) {
        let Some(host) = self.operations.get(&id).map(|operation| operation.host) else { return };
        while !left.is_empty() {
            let from = left.remove(0);
            match self.reach(host, from) {
                Ok(there) if self.has(there, &content.root) => {
                    let life = self.hosts[there as usize].life;
                    let way = self.delay(host, there) + self.delay(there, host);
                    after += way + self.transfer_time(content.size);
                    self.plan(id, after, Todo::Read { content, from, life, left });
                    return;
                }
                Ok(there) => after += self.delay(host, there) * 2,
                Err(wait) => after += wait,
            }
        }
        self.plan(id, after, Todo::Get(GetEvent::NoSource { at_least: Duration::ZERO }));
    }

    /// Ends a read if the source is still alive after the transfer.
    fn have_read(
        &mut self,
        id: u64,
        content: NamedContent,
        from: Peer,
        life: u32,
        left: Vec<Peer>,
    ) {
        let Some(host) = self.operations.get(&id).map(|operation| operation.host) else { return };
        match self.reach(host, from) {
            Ok(there) if self.hosts[there as usize].life == life => {
                let Some(getting) = self.getting(id) else { return };
                getting.got = content.version.map(|version| (version, content.size, from));
                self.get_event(id, GetEvent::Fetched);
            }
            Ok(_) => self.read_from(id, content, left, Duration::ZERO),
            Err(wait) => self.read_from(id, content, left, wait),
        }
    }

    /// What an operation has planned is due.
    pub(super) fn carry_out(&mut self, id: u64, todo: Todo) {
        let Some(operation) = self.operations.get(&id) else { return };
        let (host, content, name) = (operation.host, operation.content, operation.name.clone());
        let (Some(name), (root, size)) = (name, content.unwrap_or((ContentHash([0; 32]), 0)))
        else {
            return;
        };
        let commit = |elsewhere, obstacle| {
            let name = name.clone();
            Command::Commit { name, root, size, overwrite: true, elsewhere, obstacle }
        };
        match todo {
            Todo::Offer(owner) => {
                let name = name.clone();
                self.ask_owner(id, owner, Command::Offer { name, root, overwrite: true });
            }
            Todo::Remove(owner) => self.ask_owner(id, owner, Command::Remove { name }),
            Todo::Commit(owner, life) => match self.reach(host, owner) {
                Ok(there) if self.hosts[there as usize].life == life => {
                    let now = self.now;
                    if let Some(Machine::Put(put)) = self.machine_of(id) {
                        put.bytes_moved(now);
                    }
                    self.hosts[there as usize].extra_mut().disk.take_in(root, size);
                    self.ask_owner(id, owner, commit(Vec::new(), Obstacle::NoRoom));
                }
                Ok(_) => self.silent(id, Duration::ZERO),
                Err(wait) => self.silent(id, wait),
            },
            Todo::CommitElsewhere(owner, holders, obstacle) => {
                self.ask_owner(id, owner, commit(holders, obstacle));
            }
            Todo::AskInstead(owner) => {
                let asked = self.reach(host, owner).map(|there| {
                    let (unable, back) = (self.unable(there, &name), self.delay(there, host));
                    (unable, back)
                });
                let (answer, after) = match asked {
                    Ok((unable, back)) => (Some(unable), back),
                    Err(wait) => (None, wait),
                };
                self.plan(id, after, Todo::Put(PutEvent::Instead { answer, deaf: false }));
            }
            Todo::Relayed(to, rest) => self.relayed(id, to, &rest),
            Todo::Silence(..) | Todo::Silent => self.silent(id, Duration::ZERO),
            Todo::Ask(node) => {
                let (answer, after) = match self.reach(host, node) {
                    Ok(there) => {
                        let core = self.hosts[there as usize].core();
                        let record = core.and_then(|core| {
                            let record = core.known_record(&name)?.clone();
                            Some((record, core.holders(&name)))
                        });
                        let answer = Answer { record, providers: Vec::new() };
                        (Some(answer), self.delay(there, host))
                    }
                    Err(wait) => (None, wait),
                };
                self.plan(id, after, Todo::Locate(LocateEvent::Answered(node, answer)));
            }
            Todo::Read { content, from, life, left } => {
                self.have_read(id, content, from, life, left);
            }
            Todo::Put(event) => self.put_event(id, event),
            Todo::Removal(event) => self.remove_event(id, event),
            Todo::Locate(event) => self.locate_event(id, event),
            Todo::Get(event) => self.get_event(id, event),
        }
    }

    /// Gives a command to the core of the owner, and waits for the reply.
    fn ask_owner(&mut self, id: u64, owner: Peer, command: Command) {
        let Some(host) = self.operations.get(&id).map(|operation| operation.host) else { return };
        match self.reach(host, owner) {
            Ok(there) => {
                let life = self.hosts[there as usize].life;
                let number = self.plan(id, WORD, Todo::Silence(owner, life));
                let ticket = self.ticket(Wait::Owner(id, number));
                self.order(there, ticket, command);
            }
            Err(wait) => self.silent(id, wait),
        }
    }

    /// The owner cannot be reached, or its connection broke, as is known after this time.
    fn silent(&mut self, id: u64, after: Duration) {
        let Some(operation) = self.operations.get(&id) else { return };
        let todo = match &operation.machine {
            Machine::Remove(..) => {
                let why = CommandError::peer(self.address(operation.host), Fault::NoAnswer);
                Todo::Removal(RemoveEvent::Answered(Err(why)))
            }
            _ => Todo::Put(PutEvent::Broken(Why::Unreachable.to_string())),
        };
        self.plan(id, after, todo);
    }

    /// What an owner answers that cannot store a content.
    fn unable(&self, owner: HostId, name: &FileName) -> DataResponse {
        let host = &self.hosts[owner as usize];
        let instead = host.core().map_or_else(Vec::new, |core| core.successors().to_vec());
        let copies = usize::from(self.setup.replicas).min(instead.len()) as u8;
        let obstacle = if host.is_full() { Obstacle::NoRoom } else { Obstacle::NoBytes };
        let why = obstacle.said_of(&self.address(owner).to_string(), name.as_str());
        if instead.is_empty() {
            return DataResponse::Failed { why: Reason::NoRoom.because(why) };
        }
        DataResponse::Unable { why, obstacle, instead, copies }
    }

    /// The bytes of an upload have come to nodes that may take them in place of the owner.
    fn relayed(&mut self, id: u64, to: Peer, rest: &[Peer]) {
        let Some(operation) = self.operations.get(&id) else { return };
        let (host, Some((root, size))) = (operation.host, operation.content) else { return };
        let first = match self.reach(host, to) {
            Ok(first) => first,
            Err(wait) => {
                let why = Why::Unreachable.to_string();
                self.plan(id, wait, Todo::Put(PutEvent::Broken(why)));
                return;
            }
        };
        let mut holders = Vec::new();
        for node in std::iter::once(&to).chain(rest) {
            if let Ok(there) = self.reach(first, *node)
                && !self.hosts[there as usize].is_full()
            {
                self.hosts[there as usize].extra_mut().disk.take_in(root, size);
                holders.push(*node);
            }
        }
        let answer = if holders.first() == Some(&to) {
            DataResponse::Relayed { holders }
        } else {
            let why = Obstacle::NoRoom.said_of(&to.address().to_string(), "it");
            DataResponse::Failed { why: Reason::NoRoom.because(why) }
        };
        let back = self.delay(first, host);
        self.plan(id, back, Todo::Put(PutEvent::Answered(answer)));
    }

    /// Handles the owner's reply to what has this number.
    pub(super) fn owner_said(&mut self, there: HostId, id: u64, number: u32, reply: Reply) {
        let Some(operation) = self.operations.get_mut(&id) else { return };
        let Some(Todo::Silence(owner, life)) = operation.todo.remove(&number) else { return };
        let (host, content, name) = (operation.host, operation.content, operation.name.clone());
        let back = self.delay(there, host);
        let stored = matches!(reply, Reply::Stored { .. } | Reply::Upload(Upload::Already { .. }));
        if let Some((root, size)) = content {
            if matches!(reply, Reply::Upload(Upload::Proceed)) {
                if !self.hosts[there as usize].is_full() {
                    // First the reply travels back, then the bytes come.
                    let way = back * 2 + self.transfer_time(size) + self.setup.disk;
                    self.plan(id, way, Todo::Commit(owner, life));
                    return;
                }
            } else if !stored && let Some(extra) = &mut self.hosts[there as usize].extra {
                extra.disk.tidy(&root);
            }
        }
        let answer = match reply {
            Reply::Upload(Upload::Already { version, holders, wanted })
            | Reply::Stored { version, holders, wanted, .. } => {
                let (already, passed, cut_off) = (false, Vec::new(), 0);
                Ok(DataResponse::Stored { version, holders, wanted, already, passed, cut_off })
            }
            Reply::Upload(Upload::Proceed) => {
                Ok(name.map_or(DataResponse::NotFound, |name| self.unable(there, &name)))
            }
            Reply::Upload(_) => Ok(DataResponse::NotOwner { owner: None }),
            Reply::Failed(Failure::Busy(_)) => Err(CommandError::from(Failure::NotOwner)),
            Reply::Failed(failure) => Err(CommandError::from(failure)),
            _ => return,
        };
        let todo = match (self.machine_of(id), answer) {
            (Some(Machine::Remove(_, removed)), answer) => {
                if let Ok(DataResponse::Stored { version, .. }) = &answer {
                    *removed = Some(*version);
                }
                Todo::Removal(RemoveEvent::Answered(answer.map(drop)))
            }
            (_, Ok(answer)) => Todo::Put(PutEvent::Answered(answer)),
            (_, Err(why)) if why.reason() == Some(Reason::NotOwner) => {
                Todo::Put(PutEvent::Answered(DataResponse::NotOwner { owner: None }))
            }
            (_, Err(why)) => Todo::Put(PutEvent::Answered(DataResponse::Failed { why })),
        };
        self.plan(id, back, todo);
    }
}
