//! Where a node uses what it remembers of sharers ([`super::providers`]).

use crate::peer::Peer;
use crate::record::Provider;
use crate::time::Time;

use super::effect::Effects;
use super::input::Ticket;
use super::node::{Node, Turn};
use super::providers::{PAGES_AT_ONCE, Providers};
use super::view::{Membership, RingView};

impl Node {
    /// [`super::Command::Provide`]
    pub(super) fn command_provide(&mut self, ticket: Ticket, said: &[Provider], turn: &mut Turn) {
        self.sharers(turn, |sharers, ring, now, out| sharers.provide(ring, ticket, said, now, out));
    }

    /// [`crate::wire::Tell::Provided`]
    pub(super) fn providers_heard(&mut self, from: Peer, said: &[Provider], turn: &mut Turn) {
        self.sharers(turn, |sharers, ring, now, out| sharers.heard(ring, from, said, now, out));
    }

    /// The predecessor or the successor list changed, or the membership. `met`: none
    /// was known before.
    pub(super) fn providers_regroup(&mut self, met: bool, turn: &mut Turn) {
        if self.membership == Membership::Left {
            // What it knew was of the ring that it left.
            self.providers = Providers::default();
        }
        self.sharers(turn, |sharers, ring, now, out| sharers.ring_changed(ring, met, now, out));
    }

    /// [`super::Timer::Stabilize`]: what is being told goes on.
    pub(super) fn providers_go_on(&mut self, turn: &mut Turn) {
        self.sharers(turn, |sharers, ring, now, out| {
            sharers.go_on(ring, PAGES_AT_ONCE, now, out);
        });
    }

    /// [`super::Timer::Repair`]: what has ended is forgotten.
    pub(super) fn providers_prune(&mut self, turn: &mut Turn) {
        self.sharers(turn, |sharers, _, now, _| sharers.prune(now));
    }

    /// The node is on its way out.
    pub(super) fn providers_leave(&mut self, turn: &mut Turn) {
        self.sharers(turn, Providers::leave);
    }

    fn sharers(
        &mut self,
        turn: &mut Turn,
        call: impl FnOnce(&mut Providers, &RingView<'_>, Time, &mut Effects),
    ) {
        let ring = self.tables.view(&self.config, self.me, self.membership);
        call(&mut self.providers, &ring, turn.now, turn.out);
    }
}
