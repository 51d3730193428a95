//! Going in order, and taking over another ring's parameters.

use std::sync::Arc;

use crate::wire::Tell;
use crate::wire::handshake::Params;

use super::node::{Node, Turn};
use super::providers::Providers;
use super::{Effect, Failure, Notice, Reply, Standing, Ticket, Timer};

/// Periods of stabilize that handing over may take: with the default of one
/// second, long enough for gigabytes on a LAN.
const HAND_OVER_PERIODS: u32 = 60;

impl Node {
    /// [`super::Command::Leave`]: the files go to where they belong without
    /// this node, while the lists of the others close over it.
    pub(super) fn command_leave(&mut self, ticket: Ticket, turn: &mut Turn) {
        match self.standing {
            Standing::Member => {}
            Standing::Joining => {
                // Nothing was begun that others know of.
                self.leave = Some(ticket);
                self.forget_ring(turn);
                if let Some(waiting) = self.join.take().and_then(|join| join.ticket()) {
                    turn.fail(waiting, Failure::Busy("leaving its ring"));
                }
                return self.end_leave(turn);
            }
            Standing::Leaving => return turn.fail(ticket, Failure::Busy("leaving its ring")),
            Standing::New | Standing::Left => {
                return turn.fail(ticket, Failure::Busy("on no ring"));
            }
        }
        self.stand(Standing::Leaving, turn);
        self.leave = Some(ticket);
        let (predecessor, successors) = (self.tables.predecessor, &self.tables.successors);
        let tell = Tell::Leaving { predecessor, successors: successors.as_slice().to_vec() };
        let head = successors.head();
        for peer in predecessor.into_iter().chain(head.filter(|peer| predecessor != Some(*peer))) {
            turn.tell(peer, tell.clone());
        }
        self.abandon_lookups(turn);
        let limit = self.config.stabilize * HAND_OVER_PERIODS;
        turn.arm(Timer::Leave, limit..limit);
        self.providers_leave(turn);
        self.files(turn, |files, ring, asks, out| files.leave(ring, asks, out));
    }

    /// Everything is handed over, or it has taken long enough.
    pub(super) fn end_leave(&mut self, turn: &mut Turn) {
        self.stand(Standing::Left, turn);
        self.forget_ring(turn);
        let (handed, kept) = self.replicas.left();
        for timer in Timer::SINGLE {
            turn.out.push(Effect::Disarm(timer));
        }
        turn.notice(Notice::Left);
        if let Some(ticket) = self.leave.take() {
            turn.reply(ticket, Reply::Left { handed, kept });
        }
    }

    /// [`super::Command::Adopt`]
    pub(super) fn command_adopt(&mut self, ticket: Ticket, params: Params, turn: &mut Turn) {
        let members = self.tables.successors.len();
        match self.standing {
            Standing::Joining | Standing::Leaving => {
                return turn.fail(ticket, Failure::Busy(self.busy().unwrap_or("busy")));
            }
            Standing::Member if !self.tables.is_alone() => {
                return turn.fail(ticket, Failure::HasMembers(members.max(1)));
            }
            Standing::New | Standing::Member | Standing::Left => {}
        }
        if params != self.config.params {
            if self.replicas.len() > 0 {
                return turn.fail(ticket, Failure::HasFiles(self.replicas.len()));
            }
            Arc::make_mut(&mut self.config).params = params.clone();
            self.forget_ring(turn);
            // They are members of a ring that this node cannot speak to now.
            self.remembered.forget(|_| true);
            // So are those who share there.
            self.providers = Providers::default();
            turn.notice(Notice::Adopted(params));
        }
        turn.reply(ticket, Reply::Adopted);
    }
}
