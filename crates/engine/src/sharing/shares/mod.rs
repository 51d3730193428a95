//! The files that this node's user shares from where they lie: an index by
//! name and by content, kept in step with the disk, and the only way to their
//! bytes.
//!
//! ```text
//!   share, unshare ──► follow ──► walk (what lies there)      ┐
//!   the system's   ──►   │        hash (read it once)         ├ on threads
//!   news (watch)         ▼                                    ┘
//!                      pending ──► index ◄── serving, searches, publishing
//! ```
//!
//! - [`follow`] is the one task: it decides what to look at and when.
//! - [`pending`] knows which file waits for what and which name stands for which
//!   path; [`roots`] which paths are shared at all, also after a restart.
//! - Nothing is served by a path that a peer names: a content is looked up in
//!   the index, and its file must still be the one that was hashed and still
//!   lie within the shared path ([`handle::Shares::open`]).
//!
//! Files are only read. A name stands for one file: of two that would have the
//! same, the first keeps it.

mod asked;
pub(crate) mod file;
pub(crate) mod follow;
pub(crate) mod handle;
mod hash;
mod index;
mod look;
mod opening;
mod pending;
mod roots;
mod tell;
mod walk;
mod watch;

#[cfg(test)]
mod tests;
