//! The list that a registry keeps: who is on it, who is to be checked, who is
//! told of a change. Pure; [`crate::engine`] gives it connections and time.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]
