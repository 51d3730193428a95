//! Colours and glyphs (being written).

/// (being written)
#[derive(Clone, Debug, Default)]
pub struct Theme {}

/// (being written)
#[derive(Clone, Debug, Default)]
pub struct Glyphs {}

impl Glyphs {
    /// (being written)
    pub fn unicode() -> Glyphs {
        Glyphs {}
    }

    /// (being written)
    pub fn ascii() -> Glyphs {
        Glyphs {}
    }
}
