//! One form for all states in which a node behaves alike.
//!
//! A model checker must know when it has been somewhere before. A node counts
//! its questions and remembers its past, so that it never is where it was; what
//! is here takes that away, between two inputs. No real driver calls it.

use std::collections::BTreeMap;

use crate::wire::Nonce;

use super::census::Census;
use super::fingers::Fingers;
use super::host::Host;
use super::node::Node;
use super::providers::Providers;
use super::purpose::Purpose;
use super::remembered::Remembered;
use super::replicas::Replicas;

impl Node {
    /// Numbers the open questions from 0, in their order, and says what became
    /// of each nonce: the driver renames those on the way. Answers to other
    /// nonces it must drop, as the node would have.
    pub fn renumber(&mut self) -> BTreeMap<Nonce, Nonce> {
        let lookups = self.lookups.renumber();
        self.asks.renumber(|purpose| {
            // A question of a lookup that was given up keeps a number that none has.
            if let Purpose::Step(lookup) = purpose {
                *lookup = lookups.get(lookup).copied().unwrap_or(u32::MAX);
            }
        })
    }

    /// Forgets what changes no successor and no predecessor: fingers, the
    /// census, and the keys that a node without files and without records of
    /// sharers has answered for. For a node that has neither.
    pub fn forget_shortcuts(&mut self) {
        self.tables.fingers = Fingers::none();
        self.census = Census::default();
        self.replicas = Replicas::default();
        self.providers = Providers::default();
    }

    /// Forgets the remembered peers: what is left is what maintenance knows.
    pub fn forget_remembered(&mut self) {
        self.remembered = Remembered::default();
    }
}

impl Host {
    /// The same for all its positions, of which no question is open beside those among
    /// them: they forget their past.
    pub fn forget_history(&mut self) {
        for node in &mut self.nodes {
            node.forget_shortcuts();
            node.forget_remembered();
            node.renumber();
        }
    }
}
