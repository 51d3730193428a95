//! Which part of a node an input concerns, and what follows from a change of its
//! tables, whichever part made it.

use crate::peer::Peer;
use crate::time::Time;
use crate::wire::{Answer, Ask, Message, Tell};

use super::effect::{Effect, Effects, Failure, Notice, Reply};
use super::input::{Command, Input, Ticket, Timer};
use super::invariant::NodeState;
use super::node::{Heard, Node, Turn};
use super::purpose::{NeighbourAsk, Purpose};
use super::remembered::Remembered;
use super::replicas::FileCommand;
use super::tables::Tables;
use super::view::Membership;

impl Node {
    /// Takes one input at the time `now` and appends what follows from it.
    pub fn handle(&mut self, now: Time, input: Input, out: &mut Effects) {
        let mut turn = Turn { now, out, before: None };
        match input {
            Input::Start { records, remembered } => self.start(records, remembered, &mut turn),
            Input::Received { from, message } => self.received(from, message, &mut turn),
            Input::Fired(timer) => self.fired(timer, &mut turn),
            Input::NoAnswer { from, nonce } => {
                if let Some(purpose) = self.asks.close(nonce, from) {
                    self.answered(from, purpose, None, &mut turn);
                    self.suspect(from, &mut turn);
                } else if !self.guards.late_deaths_ignored {
                    self.bury(from, &mut turn);
                }
            }
            Input::PeerLost(peer) if !self.guards.late_deaths_ignored => self.bury(peer, &mut turn),
            Input::PeerLost(peer) => self.suspect(peer, &mut turn),
            Input::BytesPass(host) => self.files(&mut turn).bytes_pass(host),
            Input::Heard { peers } => self.heard_of(&peers, &mut turn),
            Input::LeaveOn => self.leave_goes_on(&mut turn),
            Input::LeaveOver => self.leave_is_over(&mut turn),
            Input::Stored { ticket, result } => self.files(&mut turn).stored(ticket, result),
            Input::Command { ticket, command } => self.command(ticket, command, &mut turn),
            Input::Replaced(record) => self.files(&mut turn).replaced(record),
            Input::Clock { now_s } => self.files(&mut turn).tell_time(now_s),
            Input::Lost { name, version } => self.files(&mut turn).lost(&name, version),
        }
        self.settle(&mut turn);
    }

    fn received(&mut self, from: Peer, message: Message, turn: &mut Turn) {
        if from == self.me {
            return;
        }
        self.silent.remove(&from);
        match message {
            Message::Ask { nonce, ask } => {
                let answer = self.reply_to(from, &ask, turn);
                turn.out
                    .push(Effect::Send { to: from, message: Message::Answer { nonce, answer } });
            }
            Message::Answer { nonce, answer } => {
                let Some(purpose) = self.asks.close(nonce, from) else { return };
                if matches!(answer, Answer::NotMember | Answer::Left) {
                    // It lives but is on no ring: to every purpose as good as dead.
                    let tables = &self.tables;
                    let matters = tables.neighbours(from) || tables.fingers.contains(from);
                    if answer == Answer::Left {
                        self.left_behind.remove(&from);
                    }
                    if answer == Answer::Left && (matters || self.remembered.contains(from)) {
                        self.departs(from, turn);
                    }
                    self.answered(from, purpose, None, turn);
                    self.suspect(from, turn);
                } else {
                    self.answered(from, purpose, Some(answer), turn);
                }
            }
            Message::Tell(tell) => self.told(from, tell, turn),
        }
    }

    fn reply_to(&mut self, from: Peer, ask: &Ask, turn: &mut Turn) -> Answer {
        if self.membership == Membership::Left && matches!(ask, Ask::Next { enter: true, .. }) {
            self.found_ring(turn);
        }
        match (ask, self.membership) {
            (Ask::Ping, _) => Answer::Pong,
            (_, Membership::New | Membership::Joining) => Answer::NotMember,
            (_, Membership::Left) => Answer::Left,
            (Ask::Neighbours, Membership::Member) => Answer::Neighbours {
                predecessor: self.tables.predecessor,
                successors: self.tables.successors.as_slice().to_vec(),
            },
            (Ask::Next { key, .. }, Membership::Member) => self.next_step(*key),
            (ask, Membership::Member | Membership::Leaving) => {
                self.files(turn).ask(from, ask).unwrap_or(Answer::Left)
            }
        }
    }

    fn told(&mut self, from: Peer, tell: Tell, turn: &mut Turn) {
        match tell {
            Tell::Held { name, version } => self.files(turn).held(from, name, version),
            Tell::Unable { name, version, why } => {
                self.files(turn).holder_unable(from, &name, version, why);
            }
            Tell::Lost { name, version } => self.files(turn).holder_lost(from, &name, version),
            Tell::Leaving { .. } if self.membership != Membership::Member => {
                self.left_behind.remove(&from);
            }
            _ if self.membership != Membership::Member => {}
            Tell::Notify => self.notified(from, turn),
            Tell::Changed => self.neighbour_changed(from, turn),
            Tell::Leaving { predecessor, .. } => self.neighbour_leaves(from, predecessor, turn),
            Tell::Consider { candidate, hops } => self.consider(candidate, hops, turn),
            Tell::Provided { providers } => self.providers_heard(from, &providers, turn),
        }
    }

    /// Takes in the end of a question; `None`: no answer, or not from a member.
    fn answered(&mut self, from: Peer, purpose: Purpose, answer: Option<Answer>, turn: &mut Turn) {
        match (purpose, answer) {
            (Purpose::Files(purpose), answer) => self.files(turn).answer(from, purpose, answer),
            (Purpose::Step(lookup), answer) => self.stepped(lookup, from, answer, turn),
            (Purpose::Ping(ticket), Some(_)) => turn.reply(ticket, Reply::Pong),
            (Purpose::Ping(ticket), None) => turn.fail(ticket, Failure::NoAnswer),
            (Purpose::Contact { ticket }, Some(Answer::Next { .. })) => {
                self.contact_answered(ticket, from, turn);
            }
            (Purpose::Contact { ticket }, _) => {
                turn.fail(ticket, Failure::NoContact(from.address()));
            }
            (Purpose::Neighbours(why), Some(Answer::Neighbours { predecessor, successors })) => {
                self.neighbours_answered(why, Heard { from, predecessor, successors }, turn);
            }
            // Any other answer to a question about neighbours is nonsense.
            (Purpose::Neighbours(why), _) => self.neighbours_unanswered(from, why, turn),
        }
    }

    fn neighbours_answered(&mut self, why: NeighbourAsk, heard: Heard, turn: &mut Turn) {
        match why {
            NeighbourAsk::Successor => self.successor_answered(&heard, turn),
            NeighbourAsk::Between { successor } => self.between_answered(successor, &heard, turn),
            NeighbourAsk::Revive => self.revived(&heard, turn),
            NeighbourAsk::Place => self.place_answered(Some(&heard), turn),
            NeighbourAsk::Consider { hops } => self.candidate_answered(&heard, hops, turn),
            NeighbourAsk::Probe => self.probe_answered(heard.from, turn),
            NeighbourAsk::Census => {
                let Heard { from: peer, predecessor, successors } = heard;
                self.census_heard(NodeState { peer, predecessor, successors }, turn);
            }
            // It lives, which is all that was asked.
            NeighbourAsk::Rectify { .. } | NeighbourAsk::Check { .. } => {}
        }
    }

    fn neighbours_unanswered(&mut self, from: Peer, why: NeighbourAsk, turn: &mut Turn) {
        match why {
            NeighbourAsk::Successor => self.successor_silent(from, turn),
            NeighbourAsk::Between { successor } => self.end_round(successor, turn),
            NeighbourAsk::Rectify { notifier } => {
                self.predecessor_silent(from, Some(notifier), turn);
            }
            NeighbourAsk::Revive => self.predecessor_silent(from, None, turn),
            NeighbourAsk::Check { instead } => self.neighbour_silent(from, instead, turn),
            NeighbourAsk::Place => self.place_answered(None, turn),
            NeighbourAsk::Census => {
                self.census.unheard(from, turn.now);
                self.census_answered(turn);
            }
            // The ring goes on without it.
            NeighbourAsk::Consider { .. } | NeighbourAsk::Probe => {}
        }
    }

    fn fired(&mut self, timer: Timer, turn: &mut Turn) {
        match timer {
            Timer::Copies(ticket) => self.files(turn).copies_late(ticket),
            Timer::Join => self.join_again(turn),
            Timer::Leave => self.leave_is_over(turn),
            _ if !matches!(self.membership, Membership::Member | Membership::Leaving) => {}
            Timer::Stabilize => {
                self.rearm(timer, turn);
                let _ = self.pace.take(turn.now, self.config.stabilize);
                self.stabilize(turn);
                self.providers_go_on(turn);
            }
            Timer::Repair => {
                self.rearm(timer, turn);
                self.providers_prune(turn);
                self.files(turn).repair();
            }
            // A leaving node needs no more than its neighbours.
            _ if self.membership == Membership::Leaving => self.rearm(timer, turn),
            Timer::FixFingers => {
                self.rearm(timer, turn);
                self.fix_finger(turn);
            }
            Timer::Probe => {
                self.rearm(timer, turn);
                self.probe(turn);
            }
            Timer::Census => {
                self.rearm(timer, turn);
                self.census_step(turn);
            }
        }
    }

    fn command(&mut self, ticket: Ticket, command: Command, turn: &mut Turn) {
        match (command, self.busy()) {
            (Command::Join { contact }, _) => self.command_join(ticket, contact, turn),
            (Command::Leave, _) => self.command_leave(ticket, turn),
            (Command::Adopt { params }, _) => self.command_adopt(ticket, params, turn),
            (Command::Ping { peer }, _) if peer == self.me => turn.reply(ticket, Reply::Pong),
            (Command::Ping { peer }, _) => self.ask(peer, Ask::Ping, Purpose::Ping(ticket), turn),
            // A node on its way out finds the owners of its own files, too.
            (Command::Lookup { key }, Some(_)) if self.membership == Membership::Leaving => {
                self.command_lookup(ticket, key, turn);
            }
            (_, Some(why)) => turn.fail(ticket, Failure::Busy(why)),
            (Command::Lookup { key }, None) => self.command_lookup(ticket, key, turn),
            (Command::Provide { providers }, None) => {
                self.command_provide(ticket, &providers, turn);
            }
            (Command::Offer { name, root, overwrite }, None) => {
                self.files(turn).command(ticket, name, FileCommand::Offer { root, overwrite });
            }
            (Command::Commit { name, root, size, overwrite, elsewhere, obstacle }, None) => {
                let commit = FileCommand::Commit { root, size, overwrite, elsewhere, obstacle };
                self.files(turn).command(ticket, name, commit);
            }
            (Command::Remove { name }, None) => {
                self.files(turn).command(ticket, name, FileCommand::Remove);
            }
        }
    }

    /// LookupPurpose the node cannot do a member's work now.
    pub(super) const fn busy(&self) -> Option<&'static str> {
        match self.membership {
            Membership::Member | Membership::Left => None,
            Membership::Joining => Some("joining a ring"),
            Membership::Leaving => Some("leaving its ring"),
            Membership::New => Some("starting"),
        }
    }

    /// What follows from this turn's changes, until nothing does.
    fn settle(&mut self, turn: &mut Turn) {
        loop {
            while let Some((before, membership)) = turn.before.take() {
                self.tables_changed(&before, membership, turn);
            }
            if self.membership == Membership::Leaving && self.replicas.handed_over() {
                self.end_leave(turn);
            } else if let Some(key) = self.replicas.wants_lookup() {
                self.files_lookup(key, turn);
            } else if turn.before.is_none() {
                return;
            }
        }
    }

    fn tables_changed(&mut self, before: &Tables, membership: Membership, turn: &mut Turn) {
        let (space, me, r) = (self.space(), self.me, self.config.successors);
        self.tables.fingers.prune(space, me, self.tables.successors.last());

        let (old, new) = (before.predecessor, self.tables.predecessor);
        if old != new {
            turn.notice(Notice::Predecessor { old, new });
        }
        let list_changed = before.successors != self.tables.successors;
        if list_changed {
            turn.notice(Notice::Successors(self.tables.successors.as_slice().to_vec()));
            let (old, new) = (before.successors.head(), self.tables.successors.head());
            if old != new {
                turn.notice(Notice::Successor { old, new });
            }
            if let Some(predecessor) = self.tables.predecessor
                && self.membership == Membership::Member
            {
                turn.tell(predecessor, Tell::Changed);
            }
        }
        let rows = |tables: &Tables| tables.rows(space, me, r);
        for (old, new) in rows(before).iter().zip(rows(&self.tables)) {
            if old.node != new.node {
                turn.notice(Notice::Finger { index: new.index, node: new.node });
            }
        }

        let ring_changed = list_changed || old != new;
        if ring_changed {
            let tables = &self.tables;
            self.remembered.returned(|peer| tables.neighbours(peer) && !before.neighbours(peer));
            for peer in before.predecessor.iter().chain(before.successors.as_slice()) {
                self.remembered.insert(*peer, me);
            }
            let tables = &self.tables;
            self.remembered.forget(|peer| tables.neighbours(peer));
            self.silent.retain(|peer| tables.neighbours(*peer));
            let alone = !before.is_alone() && tables.is_alone();
            self.census_restart(before, turn);
            if self.membership == Membership::Member && alone {
                turn.notice(Notice::Alone);
                self.rearm(Timer::Probe, turn);
            }
        }
        if self.membership == Membership::Left {
            // The members that it left do not draw it back.
            self.remembered = Remembered::default();
        }
        if ring_changed || membership != self.membership {
            self.files(turn).ring_changed();
            self.providers_regroup(old.is_none(), turn);
        }
    }
}
