//! Pure planning of transfers: the pieces of a content ([`manifest`]), the pieces that are
//! here ([`pieces`]), which source delivers which piece ([`plan`]), and how much to request
//! from a source ([`speed`]). The engine transfers the bytes.

pub mod manifest;
pub mod pieces;
pub mod plan;
pub mod speed;
