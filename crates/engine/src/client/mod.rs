//! What a user asks for: put, get, find, list, remove, scan.
//!
//! Owns the commands and their operations, which are the same from inside a member
//! and from outside through one (`access::Access`).
//!
//! It never touches the core or a connection: it asks through `Access`, and moves
//! bytes through `data`.
//!
//! Called by `Node::command`, by the command line, and for nothing of the ring's
//! own work.

pub(crate) mod access;
pub(crate) mod commands;
pub(crate) mod files;
pub(crate) mod get;
pub(crate) mod locate;
pub(crate) mod missing;
pub(crate) mod ring_walk;
pub(crate) mod scan;
pub(crate) mod tree;
pub(crate) mod via;

pub use via::{Client, Options, Progress, run, scan};
