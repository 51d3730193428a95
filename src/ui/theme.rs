//! Colours and glyphs (being written).

/// (being written)
#[derive(Clone, Debug, Default)]
pub struct Theme {}

/// (being written)
#[derive(Clone, Debug, Default)]
pub struct Glyphs {}

/// (being written)
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThemeChoice {
    /// (being written)
    #[default]
    Standard,
    /// (being written)
    Mono,
}

impl ThemeChoice {
    /// (being written)
    pub const ALL: [ThemeChoice; 2] = [ThemeChoice::Standard, ThemeChoice::Mono];

    /// (being written)
    pub const fn name(self) -> &'static str {
        match self {
            ThemeChoice::Standard => "standard",
            ThemeChoice::Mono => "mono",
        }
    }
}

impl Theme {
    /// (being written)
    pub fn from_name(name: &str) -> Option<Theme> {
        ThemeChoice::ALL.into_iter().find(|choice| choice.name() == name).map(Theme::of)
    }

    /// (being written)
    pub fn of(choice: ThemeChoice) -> Theme {
        let _ = choice;
        Theme {}
    }
}

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
