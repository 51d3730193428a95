//! What a user asks for: put, get, find, list, remove, scan, leave.
//!
//! Owns the commands and their operations, which are the same from inside a member
//! and from outside through one (`data::access::Access`). `user::User` is its
//! handle.
//!
//! It never touches the core or a connection: it asks through `Access`, and moves
//! bytes through `data`.
//!
//! Called by `Node::command`, by the command line, and by `node` for a request that is a
//! command from outside.

pub(crate) mod commands;
pub(crate) mod contents;
pub(crate) mod control;
pub(crate) mod files;
pub(crate) mod get;
pub(crate) mod leave;
pub(crate) mod locate;
pub(crate) mod missing;
pub(crate) mod moving;
pub(crate) mod put;
pub(crate) mod ring_walk;
pub(crate) mod scan;
pub(crate) mod tree;
pub(crate) mod user;
pub(crate) mod via;

pub use via::{Client, Options, Progress, run, scan};
