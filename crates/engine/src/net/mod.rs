//! Connections that carry frames.
//!
//! Owns the listener, the greeting and handshake of a connection, one control
//! connection to each peer, the connections of clients, their slots, and the timers
//! of the hub. It knows addresses, frames and time limits.
//!
//! It never decides who is a member, looks into a request, or moves file bytes.
//!
//! Called by the hub, which owns the links, and by everything that asks another
//! node a question.

pub(crate) mod accept;
pub(crate) mod address;
pub(crate) mod client_connections;
pub(crate) mod connection;
pub(crate) mod connection_slots;
pub(crate) mod frames;
pub(crate) mod greeting;
pub(crate) mod links;
pub(crate) mod pace;
pub(crate) mod shutdown_handles;
pub(crate) mod timers;
pub(crate) mod verify;
