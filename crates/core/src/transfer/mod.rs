//! Pure planning of transfers: what a content is made of ([`manifest`]), what
//! of it is here ([`pieces`]), which piece comes from whom ([`plan`]), how much
//! to ask whom for ([`speed`]), what counts as verified. Bytes move in the
//! engine.

pub mod manifest;
pub mod pieces;
pub mod plan;
pub mod speed;
