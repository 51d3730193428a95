//! Who shares what, as the ring remembers it: the owner of a name's key keeps
//! the records of its sharers, and tells them to the holders that its copies
//! would have ([`super::placement`]).
//!
//! All of it is soft state. Nothing is acknowledged or written to a disk: a
//! record lives as long as its sharer says it again, and what a lost message or
//! a death takes away comes back with the next saying. So the rules are few:
//!
//! - What is news to the owner is told to its partners at once.
//! - A partner that is new, or keys that are, make the owner tell that partner
//!   what it cannot know yet; a partner that has gone keeps its records until
//!   they end.
//! - A node that stops owning keys, because another joined before it, tells the
//!   newcomer. A node that is told records of keys before its own range passes
//!   them on to its predecessor; each takes news only, so this ends.
//!
//! What is told in one turn is bounded; the rest follows with the next
//! stabilizations. A node with nothing to tell sends nothing.

use std::collections::VecDeque;

use crate::id::Id;
use crate::limits::MAX_PAGE;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::Provider;
use crate::time::Time;
use crate::wire::{Message, Tell};

use super::effect::{Effect, Effects, Failure, Reply};
use super::input::Ticket;
use super::vec_map::VecMap;
use super::view::{Membership, RingView, Span};

mod table;
#[cfg(test)]
mod tests;

use table::{Place, Table};

/// Pages told in one turn: about 3 000 records, some hundred kilobytes, far
/// below what a connection queues.
pub(super) const PAGES_AT_ONCE: usize = 64;

/// Pages that a leaver tells, which has no later turn: what a connection that
/// is still being made keeps waiting.
const PAGES_AT_LAST: usize = 256;

/// Tellings under way besides those to partners; more come about only where
/// the ring changes all the time, and the oldest is then worth the least.
const MAX_HANDOVERS: usize = 4;

/// The sharers' half of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Providers {
    table: Table,
    /// The keys that this node owns, or owned when it last knew its predecessor.
    range: Option<Span>,
    /// The partners, and of which keys each has been told everything, or is
    /// being told by a telling under way.
    told: VecMap<Peer, Span>,
    /// Under way, the first one first.
    tellings: VecDeque<Telling>,
}

/// Records being told to a peer, page by page.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Telling {
    to: Peer,
    /// Whether the peer is a partner, which gets copies; any other takes the keys over.
    partner: bool,
    /// Of these keys,
    keys: Span,
    /// but not of these.
    except: Option<Span>,
    /// The end of the last page.
    after: Option<Place>,
}

impl Telling {
    fn wants(&self, key: Id) -> bool {
        self.keys.contains(key) && !self.except.is_some_and(|except| except.contains(key))
    }
}

impl Providers {
    /// The live records of a name.
    pub(super) fn of(&self, name: &FileName, now: Time) -> Vec<Provider> {
        self.table.of(name, now)
    }

    /// [`super::Command::Provide`]
    pub(super) fn provide(
        &mut self,
        ring: &RingView<'_>,
        ticket: Ticket,
        said: &[Provider],
        now: Time,
        out: &mut Effects,
    ) {
        if said.iter().any(|one| !ring.may_own(one.name.key(ring.space))) {
            // All or nothing: the asker looks the owners up again.
            let reply = Reply::Failed(Failure::NotOwner);
            return out.push(Effect::Reply { ticket, reply });
        }
        let news: Vec<&Provider> = said.iter().filter(|one| self.table.take(one, now)).collect();
        self.spread(ring, None, &news, now, out);
        let sources =
            said.iter().map(|one| self.table.sources(&one.name, &one.root, now)).collect();
        out.push(Effect::Reply { ticket, reply: Reply::Provided { sources } });
    }

    /// [`Tell::Provided`]
    pub(super) fn heard(
        &mut self,
        ring: &RingView<'_>,
        from: Peer,
        said: &[Provider],
        now: Time,
        out: &mut Effects,
    ) {
        let (home, sender) = (ring.me.id(ring.space), from.id(ring.space));
        let range = ring.range();
        let (mut own, mut before) = (Vec::new(), Vec::new());
        for one in said.iter().take(MAX_PAGE) {
            if !self.table.take(one, now) {
                continue;
            }
            let key = one.name.key(ring.space);
            if range.is_some_and(|range| range.contains(key)) {
                own.push(one);
            } else if !key.within(home, sender) {
                // An owner's key lies between its partner and itself. This one
                // lies before both: the sender takes this node for the owner.
                before.push(one);
            }
        }
        self.spread(ring, Some(from), &own, now, out);
        if let Some(predecessor) = ring.predecessor.filter(|peer| *peer != from) {
            self.tell(predecessor, &before, now, out);
        }
    }

    /// Tells news to the partners, but not to the peer that they came from.
    fn spread(
        &self,
        ring: &RingView<'_>,
        from: Option<Peer>,
        news: &[&Provider],
        now: Time,
        out: &mut Effects,
    ) {
        for partner in ring.partners().iter().filter(|partner| Some(**partner) != from) {
            self.tell(*partner, news, now, out);
        }
    }

    fn tell(&self, to: Peer, news: &[&Provider], now: Time, out: &mut Effects) {
        for page in news.chunks(MAX_PAGE) {
            let told = page.iter().filter_map(|one| self.table.told(&one.name, one.peer, now));
            send(to, told.collect(), out);
        }
    }

    /// The predecessor or the successor list changed, or the membership. `met`: none
    /// was known before.
    pub(super) fn ring_changed(
        &mut self,
        ring: &RingView<'_>,
        met: bool,
        now: Time,
        out: &mut Effects,
    ) {
        match ring.membership {
            Membership::Member => self.regroup(ring, met),
            // The records stay: the node is on the same ring again soon.
            Membership::Joining => {
                *self = Providers { table: std::mem::take(&mut self.table), ..Self::default() };
            }
            Membership::Leaving => {}
            Membership::New | Membership::Left => *self = Self::default(),
        }
        self.go_on(ring, PAGES_AT_ONCE, now, out);
    }

    /// Begins to tell those who cannot know.
    fn regroup(&mut self, ring: &RingView<'_>, met: bool) {
        let partners = ring.partners();
        self.told.retain(|peer, _| partners.contains(peer));
        self.tellings.retain(|telling| !telling.partner || partners.contains(&telling.to));
        let Some(range) = ring.range() else { return };
        let old = self.range.replace(range);
        if let (Some(predecessor), Some(old)) = (ring.predecessor, old)
            && old != range
            && !self.knows(predecessor, old)
        {
            self.hand_over(predecessor, old, range);
        }
        if let Some(predecessor) = ring.predecessor.filter(|_| met && old == Some(range)) {
            // It has died and come back without memory before another took its
            // place.
            let all = Span { from: range.to, to: range.to };
            self.hand_over(predecessor, all, range);
        }
        for to in partners {
            if self.told.get(&to) == Some(&range) {
                continue;
            }
            let except = self.told.get(&to).copied().filter(|told| self.knows(to, *told));
            self.tellings.retain(|telling| !telling.partner || telling.to != to);
            let telling = Telling { to, partner: true, keys: range, except, after: None };
            self.tellings.push_back(telling);
            self.told.insert(to, range);
        }
    }

    /// Whether a partner has been told everything of these keys.
    fn knows(&self, peer: Peer, keys: Span) -> bool {
        self.told.get(&peer) == Some(&keys)
            && !self.tellings.iter().any(|telling| telling.partner && telling.to == peer)
    }

    fn hand_over(&mut self, to: Peer, keys: Span, except: Span) {
        let others = |telling: &&Telling| !telling.partner;
        if self.tellings.iter().filter(others).count() >= MAX_HANDOVERS
            && let Some(oldest) = self.tellings.iter().position(|telling| !telling.partner)
        {
            self.tellings.remove(oldest);
        }
        let except = Some(except);
        self.tellings.push_back(Telling { to, partner: false, keys, except, after: None });
    }

    /// Forgets what has ended.
    pub(super) fn prune(&mut self, now: Time) {
        self.table.prune(now);
    }

    /// Tells the next pages.
    pub(super) fn go_on(
        &mut self,
        ring: &RingView<'_>,
        mut pages: usize,
        now: Time,
        out: &mut Effects,
    ) {
        while pages > 0
            && let Some(telling) = self.tellings.front_mut()
        {
            let wants = |key| telling.wants(key);
            let page = self.table.page(ring.space, wants, telling.after.as_ref(), now);
            let (to, ends) = (telling.to, page.len() < MAX_PAGE);
            telling.after = page.last().map(|last| (last.name.clone(), last.peer));
            if ends {
                self.tellings.pop_front();
            }
            pages -= usize::from(!page.is_empty());
            send(to, page, out);
        }
    }

    /// The node is on its way out: its successor, the next owner, hears what it
    /// has not been told yet.
    pub(super) fn leave(&mut self, ring: &RingView<'_>, now: Time, out: &mut Effects) {
        if let (Some(to), Some(range)) = (ring.heir(), self.range)
            && !self.told.contains_key(&to)
        {
            let telling = Telling { to, partner: true, keys: range, except: None, after: None };
            self.tellings.push_front(telling);
        }
        self.go_on(ring, PAGES_AT_LAST, now, out);
    }
}

fn send(to: Peer, providers: Vec<Provider>, out: &mut Effects) {
    if !providers.is_empty() {
        out.push(Effect::Send { to, message: Message::Tell(Tell::Provided { providers }) });
    }
}
