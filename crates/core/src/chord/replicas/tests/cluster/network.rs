//! The network and the disks: every event that is on its way, one at a time.

use super::*;

/// What has yet to happen.
#[derive(Clone)]
pub(super) enum Event {
    Deliver {
        from: Peer,
        to: Peer,
        message: Message,
    },
    Silent {
        at: Peer,
        from: Peer,
        nonce: Nonce,
    },
    Disk {
        at: Peer,
        ticket: Ticket,
        op: StoreOp,
    },
    /// A fetch was stopped.
    Ceased {
        at: Peer,
        ticket: Ticket,
    },
    Lookup {
        at: Peer,
        key: Id,
    },
    /// The node learns who its neighbours are now.
    Ring(Peer),
}

impl Cluster {
    /// One event; a shuffled network picks any, delivers some messages twice
    /// and loses some.
    pub(super) fn step(&mut self) {
        let (at, fate) = match &mut self.rng {
            Some(rng) => (rng.usize(..self.events.len()), rng.u8(..20)),
            None => (0, u8::MAX),
        };
        let mut event = self.events.remove(at);
        if let Event::Deliver { from, to, message } = &event {
            match (fate, message) {
                (0 | 1, _) => self.events.push(event.clone()),
                (2, Message::Ask { nonce, .. }) => {
                    event = Event::Silent { at: *from, from: *to, nonce: *nonce };
                }
                (2, Message::Answer { nonce, .. }) => {
                    event = Event::Silent { at: *to, from: *from, nonce: *nonce };
                }
                (2, Message::Tell(_)) => return,
                _ => {}
            }
        }
        match event {
            Event::Deliver { from, to, message } => self.deliver(from, to, message),
            Event::Silent { at, from, nonce } => self.answered(at, from, nonce, None),
            // What never ends may still be stopped.
            Event::Disk { at, .. } if self.nodes[&at].stuck => self.stalled.push(event),
            Event::Disk { at, ticket, op } if self.nodes[&at].alive => {
                let result = self.store(at, op);
                self.with(at, |files| {
                    files.stored(ticket, result);
                });
            }
            Event::Ceased { at, ticket } if self.nodes[&at].alive => {
                self.with(at, |files| {
                    files.stored(ticket, Err(StoreFailure::Ceased));
                });
            }
            Event::Lookup { at, key } if self.nodes[&at].alive => {
                let found = self.look_up(at, key);
                self.with(at, |files| {
                    files.located(key, found.as_ref());
                });
            }
            Event::Ring(peer) => self.look(peer),
            Event::Disk { .. } | Event::Ceased { .. } | Event::Lookup { .. } => {}
        }
    }

    fn deliver(&mut self, from: Peer, to: Peer, message: Message) {
        let reachable = self.apart.contains(&from) == self.apart.contains(&to);
        let node = &self.nodes[&to];
        let up = node.alive && node.membership != Membership::Left && reachable;
        match message {
            Message::Ask { nonce, .. } if !up => {
                self.events.push(Event::Silent { at: from, from: to, nonce });
            }
            Message::Ask { nonce, ask } => {
                let answer = self.with(to, |files| files.ask(from, &ask).expect("about files"));
                let message = Message::Answer { nonce, answer };
                self.effect(to, Effect::Send { to: from, message });
            }
            Message::Answer { nonce, answer } => self.answered(to, from, nonce, Some(answer)),
            Message::Tell(Tell::Held { name, version }) if up => {
                self.with(to, |files| {
                    files.held(from, name, version);
                });
            }
            Message::Tell(Tell::Unable { name, version, why }) if up => {
                self.with(to, |files| {
                    files.holder_unable(from, &name, version, why);
                });
            }
            Message::Tell(Tell::Lost { name, version }) if up => {
                self.with(to, |files| {
                    files.holder_lost(from, &name, version);
                });
            }
            Message::Tell(_) => {}
        }
    }

    fn answered(&mut self, at: Peer, from: Peer, nonce: Nonce, answer: Option<Answer>) {
        if !self.nodes[&at].alive {
            return;
        }
        if let Some(Purpose::Files(purpose)) = self.node(at).asks.close(nonce, from) {
            self.with(at, |files| {
                files.answer(from, purpose, answer);
            });
        }
    }

    /// Stops a fetch that has not ended, also on a node where nothing ends.
    pub(super) fn ceased(&mut self, at: Peer, ticket: Ticket) {
        let fetch = |event: &Event| {
            matches!(event, Event::Disk { at: node, ticket: known, op: StoreOp::Keep { .. } }
                if *node == at && *known == ticket)
        };
        let take = |events: &mut Vec<Event>| {
            let place = events.iter().position(fetch)?;
            Some(events.remove(place))
        };
        let stopped = take(&mut self.events).or_else(|| take(&mut self.stalled));
        if let Some(Event::Disk { op: StoreOp::Keep { record, .. }, .. }) = stopped {
            self.ceased.push((at, record.name.as_str().to_owned(), record.version));
            self.events.push(Event::Ceased { at, ticket });
        }
    }

    /// The disk, and the fetching of bytes from a source that has them.
    fn store(&mut self, at: Peer, op: StoreOp) -> Result<(), StoreFailure> {
        if self.nodes[&at].full && matches!(op, StoreOp::Keep { .. }) {
            self.node(at).refused += 1;
            return Err(StoreFailure::Disk("the disk is broken".into()));
        }
        if let StoreOp::Keep { record, .. } = &op
            && self.nodes[&at].no_room
            && !record.is_deleted()
        {
            return Err(StoreFailure::Full("no room".into()));
        }
        match op {
            StoreOp::Keep { record, sources, .. } => {
                let root = record.version.root;
                let has = |peer: &Peer| {
                    let node = &self.nodes[peer];
                    let kept = node.disk.values().any(|record| record.version.root == root);
                    node.alive && (kept || node.unclaimed.contains(&root))
                };
                let here = self.nodes[&at].unclaimed.contains(&root);
                if !record.is_deleted() && !here {
                    if self.nodes[&at].deaf || !sources.iter().any(has) {
                        return Err(StoreFailure::NoSource);
                    }
                    self.fetched += 1;
                }
                self.node(at).unclaimed.remove(&root);
                let disk = &mut self.node(at).disk;
                let old = disk.insert(record.name.clone(), record.clone());
                assert!(old.is_none_or(|old| old.version <= record.version), "a step back");
            }
            StoreOp::Drop { name, version, .. } => {
                let disk = &mut self.node(at).disk;
                if disk.get(&name).is_some_and(|record| record.version <= version) {
                    disk.remove(&name);
                }
            }
        }
        Ok(())
    }

    /// The members that `at` can reach, in ring order from behind it.
    fn others(&self, at: Peer) -> Vec<Peer> {
        let here = at.id(self.space);
        let side = self.apart.contains(&at);
        let mut others = self.members();
        others.retain(|peer| *peer != at && self.apart.contains(peer) == side);
        others.sort_by_key(|peer| self.space.distance(here, peer.id(self.space)));
        others
    }

    /// The node looks at its neighbours.
    pub(super) fn look(&mut self, peer: Peer) {
        if !self.nodes[&peer].alive {
            return;
        }
        let others = self.others(peer);
        let node = self.node(peer);
        node.predecessor = others.last().copied();
        node.successors = others;
        self.with(peer, |files| files.ring_changed());
    }

    fn look_up(&self, at: Peer, key: Id) -> Option<Found> {
        let mut nodes = self.others(at);
        if self.nodes[&at].membership == Membership::Member {
            nodes.push(at);
        }
        let owner = *placement(self.space, key, &nodes, 1).first()?;
        let successors = self.others(owner);
        let predecessor = successors.last().copied();
        Some(Found { key, owner, predecessor, successors, hops: Vec::new() })
    }
}
