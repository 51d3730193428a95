//! The dashboard (being written).

pub mod state;
pub mod theme;
