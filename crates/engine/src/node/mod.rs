//! The task that owns the core, and what surrounds it.
//!
//! Owns the hub (the questions on their way, store operations), the answers to
//! requests, and what the dashboard is shown.
//!
//! It never decides about the ring: that is an input of the core. It never waits
//! for a disk or a peer in the hub's task.
//!
//! Started by `Node`; nothing else names it: every other room sends [`crate::inputs`].

pub(crate) mod hub;
pub(crate) mod publish;
pub(crate) mod questions;
pub(crate) mod serve;
pub(crate) mod store_worker;
