//! Keeping the place on the ring: stabilize, rectify, and which neighbours live.
//!
//! The rules are Zave's ([`super::rules`]). A successor
//! is adopted only from its own answer, a whole list in one assignment; "ping"
//! is a question about neighbours here, because a node that left its ring in
//! order still answers a ping but must not be kept. Around the rules stand hints
//! that only bring a stabilization forward, which is allowed at any time.

use std::ops::Range;
use std::time::Duration;

use crate::peer::Peer;
use crate::wire::Tell;

use super::effect::Notice;
use super::input::Timer;
use super::node::{Heard, Node, Turn};
use super::purpose::{NeighbourAsk, Purpose};
use super::successors::SuccessorList;
use super::view::Membership;

impl Node {
    /// Starts a round of stabilize, unless one is under way.
    pub(super) fn stabilize(&mut self, turn: &mut Turn) {
        if self.round_runs() {
            return;
        }
        if self.tables.successors.head() == Some(self.me) {
            self.ask_self(turn);
        } else if let Some(successor) = self.tables.successors.head() {
            self.ask_neighbours(successor, NeighbourAsk::Successor, turn);
        } else if let Some(predecessor) = self.tables.predecessor
            && self.membership == Membership::Member
        {
            self.revive(predecessor, turn);
        }
    }

    fn round_runs(&self) -> bool {
        self.round().next().is_some()
    }

    /// The peers that the round under way has asked.
    fn round(&self) -> impl Iterator<Item = Peer> {
        self.asks.iter().filter(|(_, _, purpose)| is_of_round(purpose)).map(|(_, to, _)| to)
    }

    /// The list changes other than by the round under way, whose answer would
    /// be applied to a list that it was not asked for: the round is void.
    pub(super) fn adopt(&mut self, list: SuccessorList, turn: &mut Turn) {
        if list != self.tables.successors {
            self.change(turn).successors = list;
            self.asks.forget(is_of_round);
        }
    }

    /// `⌈peers⌉r`
    pub(super) fn list(&self, peers: impl IntoIterator<Item = Peer>) -> SuccessorList {
        if !self.guards.self_excluded {
            return self.list_with_self(peers);
        }
        let peers = peers.into_iter().filter(|peer| !self.was(*peer));
        SuccessorList::new(self.space(), self.me, peers, self.config.reach())
    }

    /// `⌈head : its list⌉r`
    fn list_behind(&self, heard: &Heard) -> SuccessorList {
        self.list(std::iter::once(heard.from).chain(heard.successors.iter().copied()))
    }

    /// The first successor answered.
    pub(super) fn successor_answered(&mut self, heard: &Heard, turn: &mut Turn) {
        let successor = heard.from;
        if heard.successors.is_empty() && self.tables.successors.len() > 1 {
            if heard.predecessor.is_none() {
                // It knows no member although its ring has more: it has
                // died and come back as a stranger.
                return self.successor_silent(successor, turn);
            }
            // It has lost its list; there is nothing to learn from it now.
        } else {
            let list = self.list_behind(heard);
            self.adopt(list, turn);
        }
        self.walk_back(heard, turn);
    }

    /// The first successor has named its predecessor: goes on to that node if
    /// it lies between, and ends the round if not. Where many have joined at once,
    /// a node comes past all of them in one round, each heard from its own mouth.
    fn walk_back(&mut self, heard: &Heard, turn: &mut Turn) {
        let (space, me, successor) = (self.space(), self.me, heard.from);
        match heard.predecessor {
            Some(taken_by) if taken_by != me && taken_by.id(space) == me.id(space) => {
                self.place_lost(taken_by, successor, turn);
            }
            Some(p) if p.id(space).between(me.id(space), successor.id(space)) && !self.was(p) => {
                if self.guards.own_answer {
                    self.ask_between(p, successor, turn);
                } else {
                    self.adopt_unheard(p, turn);
                }
            }
            before => {
                self.end_round(successor, turn);
                let goes_in = |p: Peer| me.id(space).between(p.id(space), successor.id(space));
                if before.is_none_or(goes_in) && self.membership == Membership::Member {
                    // Until this node is its predecessor, the successor tells it
                    // of no change: another may have come before it meanwhile.
                    let wait = self.pace.take(turn.now, self.config.stabilize);
                    turn.arm(Timer::Stabilize, wait..wait);
                }
            }
        }
    }

    pub(super) fn ask_between(&mut self, p: Peer, successor: Peer, turn: &mut Turn) {
        self.ask_neighbours(p, NeighbourAsk::Between { successor }, turn);
    }

    /// The node between this one and its first successor answered: it is the
    /// first successor from now on.
    pub(super) fn between_answered(&mut self, successor: Peer, heard: &Heard, turn: &mut Turn) {
        if heard.successors.is_empty() {
            // It knows of no successor: it has lost them, or died and come back
            // as a stranger. Nothing can be learnt from it, but it can learn
            // from this node, which is its predecessor.
            if self.membership == Membership::Member {
                turn.tell(heard.from, Tell::Notify);
            }
            return self.end_round(successor, turn);
        }
        let list =
            if self.guards.atomic_list { self.list_behind(heard) } else { self.first_only(heard) };
        self.adopt(list, turn);
        self.walk_back(heard, turn);
    }

    /// Ends a round: tells the first successor about this node.
    pub(super) fn end_round(&mut self, successor: Peer, turn: &mut Turn) {
        if self.membership == Membership::Member && successor != self.me {
            turn.tell(successor, Tell::Notify);
        }
        if std::mem::take(&mut self.pace.again) {
            self.stabilize_soon(turn);
        }
    }

    /// The first successor did not answer: on with the next at once.
    pub(super) fn successor_silent(&mut self, successor: Peer, turn: &mut Turn) {
        if self.tables.successors.head() == Some(successor) {
            self.notice_drop(successor, turn);
            let rest = self.tables.successors.as_slice().iter().skip(1).copied();
            let list = self.list(rest);
            self.adopt(list, turn);
        }
        let tables = self.change(turn);
        tables.fingers.remove(successor);
        if tables.predecessor == Some(successor) {
            tables.predecessor = None;
        }
        if self.tables.successors.is_empty() {
            // A node that is asked for a way now may name the same dead again, until
            // it has found out for itself: not as fast as messages go.
            self.stabilize_soon(turn);
        } else {
            self.stabilize(turn);
        }
    }

    /// Brings the next round forward.
    pub(super) fn stabilize_soon(&mut self, turn: &mut Turn) {
        if self.round_runs() {
            self.pace.again = true;
            return;
        }
        let wait = self.pace.take(turn.now, self.config.stabilize);
        if wait.is_zero() {
            self.stabilize(turn);
        } else {
            turn.arm(Timer::Stabilize, wait..wait);
        }
    }

    /// A neighbour says that its own neighbours changed.
    pub(super) fn neighbour_changed(&mut self, from: Peer, turn: &mut Turn) {
        // Its answer to a round under way may be older than this.
        let asked = self.round().any(|to| to == from);
        if asked || self.tables.successors.head() == Some(from) {
            self.stabilize_soon(turn);
        }
    }

    /// Rectify: `notifier` believes to be the predecessor.
    pub(super) fn notified(&mut self, notifier: Peer, turn: &mut Turn) {
        let (space, me) = (self.space(), self.me);
        if notifier.id(space) == me.id(space) {
            return;
        }
        match self.tables.predecessor {
            None => self.change(turn).predecessor = Some(notifier),
            Some(old) if notifier.id(space).between(old.id(space), me.id(space)) => {
                self.change(turn).predecessor = Some(notifier);
                // The notifier now stands between the two.
                turn.tell(old, Tell::Changed);
            }
            Some(old) if old != notifier => {
                let asked = |(_, to, purpose): (_, Peer, &Purpose)| {
                    to == old
                        && matches!(purpose, Purpose::Neighbours(NeighbourAsk::Rectify { .. }))
                };
                if !self.asks.iter().any(asked) {
                    self.ask_neighbours(old, NeighbourAsk::Rectify { notifier }, turn);
                }
            }
            Some(_) => {}
        }
        if self.tables.successors.is_empty() {
            self.revive(notifier, turn);
        }
    }

    /// Without a successor, asks a known peer for a way to one.
    pub(super) fn revive(&mut self, peer: Peer, turn: &mut Turn) {
        let asked = |(_, to, purpose): (_, Peer, &Purpose)| {
            to == peer && *purpose == Purpose::Neighbours(NeighbourAsk::Revive)
        };
        if !self.asks.iter().any(asked) {
            self.ask_neighbours(peer, NeighbourAsk::Revive, turn);
        }
    }

    /// The one asked for a way to a successor answered.
    pub(super) fn revived(&mut self, heard: &Heard, turn: &mut Turn) {
        if self.membership != Membership::Member || !self.tables.successors.is_empty() {
            return;
        }
        let list = self.list_after(heard);
        self.adopt(list, turn);
        self.stabilize(turn);
    }

    /// The list of a node that goes in behind `heard.from`: that one's whole
    /// list, if its place is indeed before the first entry; otherwise the list
    /// that begins with `heard.from`. That one ends the list in either case: it
    /// has answered, and of the others each may be dead.
    fn list_after(&self, heard: &Heard) -> SuccessorList {
        let (space, home) = (self.space(), self.me.id(self.space()));
        let first = heard.successors.iter().find(|peer| **peer != self.me);
        match first {
            Some(first) if home.between(heard.from.id(space), first.id(space)) => {
                self.list(heard.successors.iter().copied().chain([heard.from]))
            }
            _ => self.list_behind(heard),
        }
    }

    /// The predecessor did not answer; `instead` takes its place.
    pub(super) fn predecessor_silent(
        &mut self,
        silent: Peer,
        instead: Option<Peer>,
        turn: &mut Turn,
    ) {
        if self.tables.predecessor == Some(silent) {
            self.notice_drop(silent, turn);
            let tables = self.change(turn);
            tables.predecessor = instead;
            tables.fingers.remove(silent);
        }
    }

    /// Tells of a neighbour that is dropped: of one that left it has been told.
    fn notice_drop(&self, peer: Peer, turn: &mut Turn) {
        if !self.remembered.has_departed(peer) {
            turn.notice(Notice::Dropped(peer));
        }
    }

    /// A reason to doubt that `peer` lives: finds out, if it matters here.
    pub(super) fn suspect(&mut self, peer: Peer, turn: &mut Turn) {
        let tables = &self.tables;
        let matters = tables.neighbours(peer) || tables.fingers.contains(peer);
        let asked = || self.asks.iter().any(|(_, to, _)| to == peer);
        if self.membership != Membership::Member
            || !matters
            || self.silent.contains(&peer)
            // Its end, whatever it is, will say.
            || asked()
        {
            return;
        }
        if self.tables.successors.head() == Some(peer) && !self.round_runs() {
            self.stabilize(turn);
        } else {
            self.check(peer, None, turn);
        }
    }

    fn check(&mut self, peer: Peer, instead: Option<Peer>, turn: &mut Turn) {
        self.ask_neighbours(peer, NeighbourAsk::Check { instead }, turn);
    }

    /// A neighbour or finger did not answer. An entry deeper in the list stays:
    /// only the lists of nearer nodes remove it (a list must never skip over a
    /// node that others see), but that begins at once.
    pub(super) fn neighbour_silent(&mut self, peer: Peer, instead: Option<Peer>, turn: &mut Turn) {
        self.predecessor_silent(peer, instead, turn);
        self.silent.insert(peer);
        self.change(turn).fingers.remove(peer);
        if self.tables.successors.contains(peer) {
            self.stabilize_soon(turn);
        }
    }

    /// A neighbour leaves in order. Whether it really is out its own answer
    /// tells: the word may be old.
    pub(super) fn neighbour_leaves(
        &mut self,
        leaver: Peer,
        predecessor: Option<Peer>,
        turn: &mut Turn,
    ) {
        let (space, me) = (self.space(), self.me.id(self.space()));
        self.census.leaves(leaver, turn.now);
        self.departs(leaver, turn);
        if self.tables.fingers.contains(leaver) {
            self.change(turn).fingers.remove(leaver);
        }
        if self.tables.predecessor == Some(leaver) {
            let instead = predecessor
                .filter(|peer| *peer != leaver && leaver.id(space).between(peer.id(space), me));
            self.check(leaver, instead.filter(|peer| *peer != self.me), turn);
        }
        if self.tables.successors.head() == Some(leaver) {
            self.stabilize(turn);
        }
    }

    /// Arms a periodic timer again.
    pub(super) fn rearm(&self, timer: Timer, turn: &mut Turn) {
        turn.arm(timer, self.period(timer));
    }

    /// Periods follow from that of stabilize, half as long to half as long
    /// again, so that nodes started together drift apart.
    fn period(&self, timer: Timer) -> Range<Duration> {
        let base = self.config.stabilize;
        let mean = match timer {
            Timer::Repair => base * 5,
            // A lonely node has nothing else to do.
            Timer::Probe if self.tables.is_alone() => base / 2,
            Timer::Probe => base * 5,
            Timer::Census if self.census.is_fresh() => base * 2,
            Timer::Census => base / 4,
            _ => base,
        };
        mean / 2..mean * 3 / 2
    }
}

/// Whether a question belongs to a round of stabilization.
fn is_of_round(purpose: &Purpose) -> bool {
    use NeighbourAsk::{Between, Successor};
    matches!(purpose, Purpose::Neighbours(Successor | Between { .. }))
}
