//! The Chord protocol of chordal, as pure state machines: identifiers, peers, file names
//! and records; messages ([`wire`]); the ring and its files ([`chord`]); the planning of
//! transfers ([`transfer`]); what a client does ([`client`]); peers beside the ring ([`mesh`])
//! and their registry ([`registry`]).
//!
//! No I/O, no clock, no random numbers, no hash-ordered maps: a driver passes in what
//! happened and the time, and carries out the effects.

// Others build on this crate: see its README.
#![warn(missing_docs)]
#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod chord;
pub mod client;
pub mod error;
pub mod id;
pub mod limits;
pub mod mesh;
pub mod name;
pub mod peer;
pub mod record;
pub mod registry;
pub mod time;
pub mod transfer;
pub mod wire;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
