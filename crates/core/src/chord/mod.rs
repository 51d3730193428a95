//! **The core**: one node of a Chord ring as a pure state machine.
//!
//! [`Node::handle`] takes an input and the time and appends effects; that is
//! the whole contract. No I/O, no clock, no random numbers, no hash-ordered
//! maps, no counters, no log text: drivers derive those from [`Notice`]s.
//! Every driver uses this one call: the engine, the simulator, the model checker. If a
//! driver needs a special case, the contract is wrong.
//!
//! The rules are Zave's corrected ones (*How to make Chord correct*,
//! 2015–2017), never the original paper's.
//!
//! What a driver promises:
//! - It hands every [`crate::wire::Message`] to the peer named, or drops it; it may delay,
//!   reorder or duplicate.
//! - For each `Message::Ask` that it sent it eventually gives either the
//!   answer ([`Input::Received`]) or [`Input::NoAnswer`], the latter after the
//!   peer's adaptive time limit or at once when the peer cannot be reached.
//! - It fires an armed timer once, at some moment within the range given.
//!   Arming a timer again replaces it.
//!
//! What a driver may do without harm: deliver stale or duplicate timers,
//! messages and answers.
//!
//! The files, the lowest first; each knows only those before it:
//! 1. the contract: `input`, `effect`;
//! 2. what a node knows: `successors`, `fingers` and their `tables`, `census`, `lookups`,
//!    `remembered`, `providers`, the files' `replicas`, each with what it does by itself;
//! 3. `node`, which has one of each;
//! 4. the rules, one file each: `ring`, `join`, `leave`, `merge`, `lookup`, `walk`,
//!    `providing`, and `unguarded` for the model checker;
//! 5. `dispatch`: which rule an input concerns; `inspect`: what others may read;
//! 6. `host`: several nodes behind one address.

mod asks;
mod canonical;
mod census;
mod dispatch;
mod effect;
mod fingers;
mod guards;
mod host;
mod input;
mod inspect;
pub mod invariant;
mod join;
mod leave;
mod lookup;
mod lookups;
mod merge;
mod node;
mod pace;
pub mod placement;
mod providers;
mod providing;
mod purpose;
mod remembered;
mod replicas;
mod ring;
pub mod rtt;
pub mod rules;
mod successors;
mod tables;
mod unguarded;
mod vanished;
mod vec_map;
mod view;
mod walk;

pub use census::CensusState;
pub use effect::{Effect, Effects, Failure, Found, Kept, Notice, Reply, StoreOp, Upload};
pub use guards::Guards;
pub use host::{Host, Slot};
pub use input::{Command, Config, Input, StoreFailure, Ticket, Timer};
pub use node::Node;
pub use tables::Finger;
pub use view::Membership;
