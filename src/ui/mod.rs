//! The dashboard (being written).

pub mod draw;
#[doc(hidden)]
pub mod fixture;
pub mod state;
pub mod theme;
