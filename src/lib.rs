//! chordal: a Chord ring that you can watch.
//!
//! The layers, lowest first; `tests/it/layers.rs` holds every file to them:
//!
//! | layer | modules | may import |
//! |---|---|---|
//! | 0 | [`id`], [`peer`], [`name`], [`record`], [`time`], [`limits`] | nothing of this crate but layer 0 |
//! | 1 | [`wire`] | 0 |
//! | 2 | [`chord`], [`transfer`], [`mesh`], [`registry`] | 0, 1 |
//! | 2 | [`descriptors`] | nothing of this crate |
//! | 3 | [`view`] | 0–2 |
//! | 3 | [`store`] | 0, [`descriptors`], `transfer::manifest` |
//! | 4 | [`engine`], [`sim`] | 0–3 |
//! | 5 | [`ui`] | 0, [`view`] |
//! | 6 | [`cli`] | all |
//!
//! Layers 0–2 are pure: no I/O, no clock, no random numbers, no hash-ordered maps.
//! So is [`sim`], but for random numbers of its own.

pub use chordal_core::{
    chord, error, id, limits, mesh, name, peer, record, registry, time, transfer, wire,
};
pub use chordal_descriptors as descriptors;
pub use chordal_engine as engine;
pub use chordal_sim as sim;
pub use chordal_store as store;
pub use chordal_tui as ui;
pub use chordal_view as view;

pub mod cli;
