//! A discrete-event simulator of whole rings, around the unchanged core.
//!
//! A [`World`] drives [`chordal_core::chord::Host`]s as the engine does, by inputs and
//! effects, with a network, disks and clocks that are events in a queue. No real time
//! passes, and all randomness comes from the seed: the same [`Setup`] gives the same run,
//! event for event, as its [`TraceHash`] shows.
//!
//! The world also knows the truth, which no node does: which hosts live, which node owns a
//! key, what was acknowledged. Each operation ends with it ([`Ended`]), and [`World::ring`]
//! and [`World::files`] judge the whole.
//!
//! The simulator reads no clock and does no I/O. A world lives on one thread; only
//! [`tables`] run several at once.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

mod bounds;
mod chance;
mod check;
mod churn;
mod client;
mod event;
mod faults;
mod files;
mod host;
mod network;
mod operation;
pub mod plot;
mod queue;
mod scenario;
mod setup;
mod show;
pub mod tables;
mod tell;
#[cfg(test)]
mod tests;
mod trace;
mod turn;
mod words;
mod world;

pub use chance::Chance;
pub use churn::{Churn, Going, Sessions, Workload};
pub use files::FileReport;
pub use host::{Disk, Host, HostId, State, host_at};
pub use operation::{Action, Ended, OpId, Outcome, Why};
pub use scenario::{
    BadScenario, Ends, Expect, Fault, FaultHosts, FaultKind, Percent, Scenario, Tally, Verdict,
};
pub use setup::{Latency, MAX_HOSTS, Setup, Unfit};
pub use show::Show;
pub use trace::TraceHash;
pub use words::{End, Words};
pub use world::{Counts, Follow, World};
