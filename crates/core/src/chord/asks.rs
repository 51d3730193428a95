//! The questions that this node has asked and that are still open.

use std::collections::BTreeMap;

use crate::peer::Peer;
use crate::wire::{Ask, Message, Nonce};

use super::effect::{Effect, Effects};
use super::vec_map::VecMap;

/// Open questions: the peer that each went to and what its answer is for.
///
/// `P` is the node's own note on the purpose; answers that match no open
/// question are stale and dropped by [`Asks::close`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asks<P> {
    open: VecMap<Nonce, (Peer, P)>,
    next: Nonce,
}

impl<P> Default for Asks<P> {
    fn default() -> Asks<P> {
        Asks { open: VecMap::default(), next: 0 }
    }
}

impl<P> Asks<P> {
    /// Asks `to`; the answer will be handed back with `purpose`.
    pub(super) fn ask(&mut self, to: Peer, ask: Ask, purpose: P, out: &mut Effects) -> Nonce {
        let nonce = self.next;
        self.next = self.next.wrapping_add(1);
        self.open.insert(nonce, (to, purpose));
        out.push(Effect::Send { to, message: Message::Ask { nonce, ask } });
        nonce
    }

    /// Ends a question: its purpose, if it is open and went to this peer.
    pub(super) fn close(&mut self, nonce: Nonce, from: Peer) -> Option<P> {
        if self.open.get(&nonce).is_some_and(|(to, _)| *to == from) {
            self.open.remove(&nonce).map(|(_, purpose)| purpose)
        } else {
            None
        }
    }

    /// The open questions.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Nonce, Peer, &P)> {
        self.open.iter().map(|(nonce, (to, purpose))| (*nonce, *to, purpose))
    }

    /// Renumbers the open questions, in their order; what becomes of each
    /// number. `P` may be changed on the way.
    pub(super) fn renumber(&mut self, mut change: impl FnMut(&mut P)) -> BTreeMap<Nonce, Nonce> {
        let open = self.open.take();
        let mut renamed = BTreeMap::new();
        self.next = 0;
        for (old, (to, mut purpose)) in open {
            change(&mut purpose);
            self.open.insert(self.next, (to, purpose));
            renamed.insert(old, self.next);
            self.next += 1;
        }
        renamed
    }

    /// Forgets every open question for which `drop` says so.
    pub(super) fn forget(&mut self, mut drop: impl FnMut(&P) -> bool) {
        self.open.retain(|_, (_, purpose)| !drop(purpose));
    }
}
