//! Pure planning of transfers: what a content is made of ([`manifest`]), which
//! piece comes from whom ([`plan`]), what counts as verified. Bytes move in
//! the engine.

#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

pub mod manifest;
pub mod plan;
