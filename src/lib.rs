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
//! | 3 | [`view`] (0 only), [`store`] (0, [`descriptors`], `transfer::manifest`) | as named |
//! | 3 | [`picture`] | 0, [`chord`], [`view`] |
//! | 4 | [`engine`], [`sim`] | 0–3 |
//! | 5 | [`ui`] | 0, [`view`] |
//! | 6 | [`cli`] | all |
//!
//! Layers 0–2 are pure: no I/O, no clock, no random numbers, no hash-ordered maps.
//! So is [`sim`], but for random numbers of its own.

pub mod id;
pub mod limits;
pub mod name;
pub mod peer;
pub mod record;
pub mod time;

pub mod wire;

pub mod chord;
pub mod mesh;
pub mod registry;
pub mod transfer;

pub mod descriptors;

pub mod store;
pub mod view;

pub mod picture;

pub mod engine;
pub mod sim;

pub mod ui;

pub mod cli;
