//! Records that this node knows, whose bytes it does not have: a copy that
//! turned out to be damaged, or that could not be made here.
//!
//! Such a name is not free: a put without `overwrite` is refused, a lookup names
//! those that hold it, and the bytes are fetched from them as soon as may be.

use crate::limits::MAX_PAGE;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{Obstacle, Record, Version};
use crate::wire::{Message, Tell};

use super::super::effect::{Effect, Notice};
use super::super::input::StoreFailure;
use super::super::purpose::Purpose;
use super::super::view::RingView;
use super::ask::FileAsk;
use super::state::{Absent, Files, Replicas, copies_notice};

/// Records known without their bytes: a bound on memory, as for wishes.
/// Beyond it, repair finds them again round by round.
const MAX_ABSENT: usize = 4096;

impl Absent {
    /// Whether one who has or had them is still on the ring.
    pub(super) fn is_somewhere(&self, ring: &RingView<'_>) -> bool {
        self.sources.iter().any(|peer| is_neighbour(ring, *peer))
    }
}

impl Files<'_> {
    /// The bytes of a record turned out to be damaged or missing: it is not
    /// held any more, others hear so, and it is fetched again.
    pub(in super::super) fn lost(&mut self, name: &FileName, version: Version) {
        let here = self.state.record(name);
        if here.is_none_or(|record| record.version != version || record.is_deleted()) {
            return;
        }
        let Some(held) = self.state.disk.remove(name) else { return };
        let key = held.key(self.ring.space);
        let owned = self.ring.may_own(key);
        let owners = self.state.covers.owners(key);
        let record = held.record;
        let sources =
            if owned { held.others.holders().collect::<Vec<_>>() } else { owners.clone() };
        let (known, copy) = (sources.clone(), record.clone());
        let absent = Absent { record: copy, sources: known.clone(), damaged: true };
        self.state.absent.insert(name.clone(), absent);
        self.out.push(Effect::Notice(Notice::Lost { record: record.clone(), holders: known }));
        if owned && sources.is_empty() {
            self.probe_all(name);
        }
        for owner in owners.into_iter().filter(|_| !owned) {
            let tell = Tell::Lost { name: name.clone(), version };
            self.out.push(Effect::Send { to: owner, message: Message::Tell(tell) });
        }
        for source in sources {
            self.state.wish(Some(source), &[source], record.clone(), (true, false));
        }
        self.fetch();
    }

    /// A holder says that its copy is lost: it is not counted any more, and
    /// offered again.
    pub(in super::super) fn holder_lost(&mut self, from: Peer, name: &FileName, version: Version) {
        let Some(held) = self.state.disk.get_mut(name) else { return };
        if held.record.version != version || !held.others.lose(from) {
            return;
        }
        let (record, key) = (held.record.clone(), held.key(self.ring.space));
        self.out.push(copies_notice(None, held, self.ring.wanted()));
        self.offer_one(from, key, record);
    }

    /// A record could not be fetched from those that offered it: an owner
    /// remembers that it exists, and answers for it if its disk does not take it.
    pub(super) fn not_fetched(&mut self, record: &Record, sources: &[Peer], why: &StoreFailure) {
        let why = why.obstacle();
        for peer in sources {
            let (name, version) = (record.name.clone(), record.version);
            let tell = Tell::Unable { name, version, why };
            self.out.push(Effect::Send { to: *peer, message: Message::Tell(tell) });
        }
        let owned =
            self.ring.range().is_some_and(|range| range.contains(record.key(self.ring.space)));
        let newer = |known: Option<&Record>| known.is_none_or(|k| k.version < record.version);
        let newest = newer(self.state.disk.get(&record.name).map(|held| &held.record));
        // Without a word of a source no node may have the bytes.
        let elsewhere = why != Obstacle::NoBytes && owned && newest && !record.is_deleted();
        if elsewhere && self.answer_for(record, why) {
            for peer in sources {
                self.adopt_stand_in(*peer, record);
            }
            self.stand_in(&record.name);
        } else {
            self.remember(record, sources);
        }
    }

    /// An owner goes on knowing a record that was not fetched from these.
    pub(super) fn remember(&mut self, record: &Record, sources: &[Peer]) {
        let owned =
            self.ring.range().is_some_and(|range| range.contains(record.key(self.ring.space)));
        let newer = |known: Option<&Record>| known.is_none_or(|k| k.version < record.version);
        if owned
            && !record.is_deleted()
            && newer(self.state.disk.get(&record.name).map(|held| &held.record))
            && newer(self.state.absent.get(&record.name).map(|absent| &absent.record))
            && self.state.absent.len() < MAX_ABSENT
        {
            let (record, sources) = (record.clone(), sources.to_vec());
            let absent = Absent { record, sources, damaged: false };
            self.state.absent.insert(absent.record.name.clone(), absent);
        }
    }

    /// A version became durable here, from these.
    pub(super) fn present(&mut self, record: &Record, from: &[Peer]) {
        let known = self.state.absent.get(&record.name);
        if known.is_none_or(|absent| absent.record.version > record.version) {
            return;
        }
        if let Some(absent) = self.state.absent.remove(&record.name)
            && absent.damaged
            && absent.record.version == record.version
        {
            let (record, from) = (record.clone(), from.to_vec());
            self.out.push(Effect::Notice(Notice::Restored { record, from }));
        }
    }

    /// The periodic round: some of what is missing is tried again.
    pub(super) fn fetch_absent(&mut self) {
        let free = self.state.absent.values().filter(|absent| {
            let name = &absent.record.name;
            !self.state.busy.contains_key(name) && !self.state.wishes.contains_key(name)
        });
        let again: Vec<Absent> = free.take(MAX_PAGE).cloned().collect();
        for Absent { record, sources, .. } in again {
            for source in sources.into_iter().filter(|peer| is_neighbour(&self.ring, *peer)) {
                self.state.wish(Some(source), &[source], record.clone(), (false, false));
            }
        }
        self.fetch();
    }

    /// Forgets what is no longer this node's to keep.
    pub(super) fn prune_absent(&mut self) {
        let covers = &self.state.covers;
        self.state.absent.retain(|_, absent| {
            let key = absent.record.key(self.ring.space);
            self.ring.may_own(key) || covers.has(key)
        });
    }

    /// Asks every partner for a name.
    fn probe_all(&mut self, name: &FileName) {
        for peer in self.state.partners.keys() {
            let purpose = Purpose::Files(FileAsk::Probe { name: name.clone() });
            self.asks.ask(*peer, super::owner::question(name), purpose, self.out);
        }
    }
}

impl Replicas {
    /// Whether another node is known to hold what is held here under this name:
    /// its copies are counted, or its owner said that it is here.
    pub(in super::super) fn is_elsewhere(&self, ring: &RingView<'_>, name: &FileName) -> bool {
        let Some(held) = self.disk.get(name) else { return false };
        let key = held.key(ring.space);
        held.others.holders().next().is_some() || self.covers.has(key)
    }
}

fn is_neighbour(ring: &RingView<'_>, peer: Peer) -> bool {
    ring.predecessor == Some(peer) || ring.successors.contains(&peer)
}
