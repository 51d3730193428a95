//! Colours and glyphs (being written).

/// (being written)
#[derive(Clone, Debug, Default)]
pub struct Theme {}

/// (being written)
#[derive(Clone, Debug, Default)]
pub struct Glyphs {}
