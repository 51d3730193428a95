//! One disk for several positions: which operation is next, and which are needless.
//!
//! A disk holds one record of a name. At the most one operation on a name is
//! under way, whichever position wants it; the others wait in their order. A copy
//! that another position holds already is there at once; one that another
//! position still holds is not deleted.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::name::FileName;

use super::super::effect::StoreOp;
use super::super::input::Ticket;
use super::Slot;

/// An operation that a position wants done.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Order {
    pub(super) slot: Slot,
    pub(super) ticket: Ticket,
    pub(super) op: StoreOp,
}

/// The operations under way, and those that wait for their name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Disk {
    running: BTreeMap<(Slot, Ticket), StoreOp>,
    /// Of these, those for which there was nothing to do.
    idle: BTreeSet<(Slot, Ticket)>,
    /// Names in work, each with the operations that wait for it.
    names: BTreeMap<FileName, VecDeque<Order>>,
}

impl Disk {
    /// Takes an order; `Some`: it is its turn.
    pub(super) fn order(&mut self, order: Order) -> Option<Order> {
        match self.names.entry(name(&order.op).clone()) {
            Entry::Occupied(mut waiting) => {
                waiting.get_mut().push_back(order);
                None
            }
            Entry::Vacant(free) => {
                free.insert(VecDeque::new());
                self.running.insert((order.slot, order.ticket), order.op.clone());
                Some(order)
            }
        }
    }

    /// The operation that ended, if it is one of these. Its name is taken until
    /// [`Disk::next`].
    pub(super) fn ended(&mut self, slot: Slot, ticket: Ticket) -> Option<StoreOp> {
        self.running.remove(&(slot, ticket))
    }

    /// There is nothing to do for an operation under way.
    pub(super) fn is_idle(&mut self, slot: Slot, ticket: Ticket) {
        self.idle.insert((slot, ticket));
    }

    /// Whether that was so of one that ended.
    pub(super) fn was_idle(&mut self, slot: Slot, ticket: Ticket) -> bool {
        self.idle.remove(&(slot, ticket))
    }

    /// The next operation on this name; without one the name is free.
    pub(super) fn next(&mut self, name: &FileName) -> Option<Order> {
        let next = self.names.get_mut(name).and_then(VecDeque::pop_front);
        match &next {
            Some(order) => {
                self.running.insert((order.slot, order.ticket), order.op.clone());
            }
            None => {
                self.names.remove(name);
            }
        }
        next
    }

    /// Whether an operation waits to keep a record under this name.
    pub(super) fn is_wanted(&self, name: &FileName) -> bool {
        let keeps = |order: &Order| matches!(order.op, StoreOp::Keep { .. });
        self.names.get(name).is_some_and(|waiting| waiting.iter().any(keeps))
    }
}

/// The name that an operation is about.
pub(super) fn name(op: &StoreOp) -> &FileName {
    match op {
        StoreOp::Keep { record, .. } => &record.name,
        StoreOp::Drop { name, .. } => name,
    }
}
