//! The task that owns the core, and what surrounds it.
//!
//! Owns the hub (its inputs, the questions on their way, store operations), the
//! answers to requests, what the dashboard is shown, and the node's beginning and
//! orderly end.
//!
//! It never decides about the ring: that is an input of the core. It never waits
//! for a disk or a peer in the hub's task.
//!
//! Called by `Node` and `Client`; every other room sends inputs to it.

pub(crate) mod clock;
pub(crate) mod control;
pub(crate) mod demand;
pub(crate) mod disk_health;
pub(crate) mod event_coalescer;
pub(crate) mod hub;
pub(crate) mod inbox;
pub(crate) mod leave;
pub(crate) mod publish;
pub(crate) mod questions;
pub(crate) mod remembered;
pub(crate) mod serve;
pub(crate) mod shared;
pub(crate) mod signs;
pub(crate) mod store_worker;
pub(crate) mod ui_rows;
