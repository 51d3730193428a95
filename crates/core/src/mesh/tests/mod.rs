//! Whole meshes on a virtual clock: peers that are killed, stopped, restarted,
//! connected and disconnected, with delays, and messages that get lost.

#![allow(clippy::disallowed_types, reason = "the tests are the driver")]

mod gossip;
mod links;
mod world;
