//! Connections that carry frames.
//!
//! Owns the listener, the greeting and handshake of a connection, one control
//! connection to each peer, the connections of clients, their slots, and the timers
//! of the hub. It knows addresses, frames and time limits. [`handle::Net`] is its handle.
//!
//! It never decides which peers are members, looks into a request, or moves file bytes.
//!
//! Called by every room. It knows none of them: what comes in goes to a queue and a
//! function that [`accept::run`] is given.

pub(crate) mod accept;
pub(crate) mod address;
pub(crate) mod client_connections;
pub(crate) mod connection;
pub(crate) mod connection_slots;
pub(crate) mod frames;
pub(crate) mod greeting;
pub(crate) mod handle;
pub(crate) mod links;
pub(crate) mod pace;
pub(crate) mod requests;
pub(crate) mod shutdown_handles;
pub(crate) mod start_error;
pub(crate) mod timers;
pub(crate) mod verify;
pub(crate) mod vital;
