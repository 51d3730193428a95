//! Colours and glyphs (being written).

/// (being written)
#[derive(Clone, Debug, Default)]
pub struct Theme {}

/// (being written)
#[derive(Clone, Debug, Default)]
pub struct Glyphs {
    /// A live peer.
    pub up: &'static str,
}

impl Theme {
    /// (being written)
    pub fn from_name(name: &str) -> Option<Theme> {
        (name == "default").then_some(Theme {})
    }
}

impl Glyphs {
    /// (being written)
    pub fn unicode() -> Glyphs {
        Glyphs { up: "●" }
    }

    /// (being written)
    pub fn ascii() -> Glyphs {
        Glyphs { up: "o" }
    }
}
