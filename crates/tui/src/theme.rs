//! Colours and glyphs.
//!
//! A [`Theme`] says in which style each kind of thing is drawn; [`Glyphs`] say
//! with which character. State is never told by colour alone: every state has
//! a glyph or a word of its own, so that [`Theme::mono`] loses nothing. The
//! standard theme uses the terminal's own sixteen colours on its own
//! background, and of these neither dark grey, yellow nor white: each of them
//! disappears on some backgrounds.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{Marker, border};

use chordal_view::{Level, Liveness};

/// The themes, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ThemeChoice {
    /// The terminal's own colours.
    #[default]
    Standard,
    /// Soft colours for a dark background.
    Dark,
    /// Strong colours for a light background.
    Light,
    /// No colours, only weight (also what `NO_COLOR` asks for).
    Mono,
    /// The palette of Okabe and Ito, which colour-blind people can tell apart.
    ColourBlind,
}

impl ThemeChoice {
    /// All of them, the default first.
    pub const ALL: [ThemeChoice; 5] = [
        ThemeChoice::Standard,
        ThemeChoice::Dark,
        ThemeChoice::Light,
        ThemeChoice::Mono,
        ThemeChoice::ColourBlind,
    ];

    /// The name that chooses it.
    pub const fn name(self) -> &'static str {
        match self {
            ThemeChoice::Standard => "standard",
            ThemeChoice::Dark => "dark",
            ThemeChoice::Light => "light",
            ThemeChoice::Mono => "mono",
            ThemeChoice::ColourBlind => "colour-blind",
        }
    }
}

/// A style for each kind of thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theme {
    /// Which one it is.
    pub choice: ThemeChoice,
    /// Ordinary text.
    pub text: Style,
    /// Secondary text.
    pub dim: Style,
    /// What the eye should find first: this node, the focus, what moves.
    pub accent: Style,
    /// The frame of a panel.
    pub border: Style,
    /// The frame of the focused panel.
    pub focus: Style,
    /// The title of a panel.
    pub title: Style,
    /// The selected row of the focused panel.
    pub selected: Style,
    /// A chip that must not be overlooked: the mode, FROZEN.
    pub chip: Style,
    /// All is well.
    pub good: Style,
    /// Something to keep an eye on.
    pub warn: Style,
    /// Something failed.
    pub bad: Style,
    /// A line across the screen that tells of a failure.
    pub banner: Style,
    /// Keys and the files behind them.
    pub key: Style,
}

impl Default for Theme {
    fn default() -> Theme {
        Theme::standard()
    }
}

impl Theme {
    /// The theme with this name.
    pub fn from_name(name: &str) -> Option<Theme> {
        ThemeChoice::ALL.into_iter().find(|choice| choice.name() == name).map(Theme::of)
    }

    /// The theme of this choice.
    pub fn of(choice: ThemeChoice) -> Theme {
        let palette = match choice {
            ThemeChoice::Standard => &STANDARD,
            ThemeChoice::Dark => &DARK,
            ThemeChoice::Light => &LIGHT,
            ThemeChoice::ColourBlind => &COLOUR_BLIND,
            ThemeChoice::Mono => return Theme::mono(),
        };
        Theme::from_palette(choice, palette)
    }

    /// The terminal's own colours on its own background.
    pub fn standard() -> Theme {
        Theme::of(ThemeChoice::Standard)
    }

    /// No colours, only weight.
    pub fn mono() -> Theme {
        let plain = Style::new();
        let dim = plain.add_modifier(Modifier::DIM);
        let bold = plain.add_modifier(Modifier::BOLD);
        let loud = bold.add_modifier(Modifier::REVERSED);
        Theme {
            choice: ThemeChoice::Mono,
            text: plain,
            dim,
            accent: bold,
            border: dim,
            focus: bold,
            title: bold,
            selected: bold,
            chip: loud,
            good: plain,
            warn: bold,
            bad: bold.add_modifier(Modifier::UNDERLINED),
            banner: loud,
            key: plain,
        }
    }

    /// The style of a peer that is believed to be in this state.
    pub const fn liveness(&self, liveness: Liveness) -> Style {
        match liveness {
            Liveness::Up => self.good,
            Liveness::Suspect => self.warn,
            Liveness::Dead => self.bad,
        }
    }

    /// The style of an event's glyph.
    pub const fn level(&self, level: Level) -> Style {
        match level {
            Level::Detail => self.dim,
            Level::Traffic | Level::Info => self.accent,
            Level::Warn => self.warn,
            Level::Error => self.bad,
        }
    }

    fn from_palette(choice: ThemeChoice, palette: &Palette) -> Theme {
        let fg = |colour: Color| match colour {
            Color::Reset => Style::new(),
            colour => Style::new().fg(colour),
        };
        let quiet = |colour: Color| match colour {
            Color::Reset => Style::new().add_modifier(Modifier::DIM),
            colour => Style::new().fg(colour),
        };
        let accent = fg(palette.accent);
        Theme {
            choice,
            text: fg(palette.text),
            dim: quiet(palette.dim),
            accent,
            border: quiet(palette.border),
            focus: accent.add_modifier(Modifier::BOLD),
            title: fg(palette.text).add_modifier(Modifier::BOLD),
            selected: fg(palette.text).add_modifier(Modifier::BOLD),
            chip: accent.add_modifier(Modifier::REVERSED).add_modifier(Modifier::BOLD),
            good: fg(palette.good),
            warn: fg(palette.warn),
            bad: fg(palette.bad),
            banner: fg(palette.bad).add_modifier(Modifier::REVERSED).add_modifier(Modifier::BOLD),
            key: fg(palette.key),
        }
    }
}

/// The colours of a theme, named by what they say. `Reset` is the terminal's own colour,
/// dim where it stands for what is less important.
struct Palette {
    text: Color,
    dim: Color,
    border: Color,
    accent: Color,
    good: Color,
    warn: Color,
    bad: Color,
    key: Color,
}

const STANDARD: Palette = Palette {
    text: Color::Reset,
    dim: Color::Reset,
    border: Color::Reset,
    accent: Color::Cyan,
    good: Color::Green,
    warn: Color::Magenta,
    bad: Color::Red,
    key: Color::Blue,
};

const DARK: Palette = Palette {
    text: Color::from_u32(0xc8_d0e0),
    dim: Color::from_u32(0x7f_89a3),
    border: Color::from_u32(0x45_4d64),
    accent: Color::from_u32(0x6f_d3e8),
    good: Color::from_u32(0x8f_d18a),
    warn: Color::from_u32(0xe8_b56a),
    bad: Color::from_u32(0xf2_7a84),
    key: Color::from_u32(0xb3_9df0),
};

const LIGHT: Palette = Palette {
    text: Color::from_u32(0x20_2633),
    dim: Color::from_u32(0x68_7080),
    border: Color::from_u32(0xb0_b7c3),
    accent: Color::from_u32(0x00_6b8f),
    good: Color::from_u32(0x1f_7a35),
    warn: Color::from_u32(0x99_5500),
    bad: Color::from_u32(0xb3_1d28),
    key: Color::from_u32(0x5b_3fb5),
};

/// The palette of Okabe and Ito (*Color Universal Design*, 2008).
const COLOUR_BLIND: Palette = Palette {
    accent: Color::from_u32(0x56_b4e9),
    good: Color::from_u32(0x00_9e73),
    warn: Color::from_u32(0xe6_9f00),
    bad: Color::from_u32(0xd5_5e00),
    key: Color::from_u32(0xcc_79a7),
    ..STANDARD
};

/// The characters that carry meaning. Each is one cell wide everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glyphs {
    /// Nothing but ASCII reaches the screen.
    pub ascii: bool,
    /// This node.
    pub me: &'static str,
    /// A live peer.
    pub up: &'static str,
    /// A peer whose answer is overdue.
    pub suspect: &'static str,
    /// A dead peer.
    pub dead: &'static str,
    /// A key.
    pub key: &'static str,
    /// The key of a file that is not selected.
    pub file: &'static str,
    /// What moves along a lookup.
    pub runner: &'static str,
    /// The focus, in a title.
    pub focus: &'static str,
    /// The selected row.
    pub selected: &'static str,
    /// The prompt.
    pub prompt: &'static str,
    /// Ended well.
    pub done: &'static str,
    /// Running.
    pub running: &'static str,
    /// Waits for its turn.
    pub queued: &'static str,
    /// Paused by its user.
    pub paused: &'static str,
    /// Ended by its user.
    pub stopped: &'static str,
    /// Looked for and not there.
    pub absent: &'static str,
    /// Up to another node.
    pub up_arrow: &'static str,
    /// Down to this node.
    pub down_arrow: &'static str,
    /// The filled part of a bar.
    pub full: &'static str,
    /// The empty part of a bar.
    pub empty: &'static str,
    /// A line of the strip that stands for the ring.
    pub line: &'static str,
    /// Before a warning.
    pub alert: &'static str,
    /// Before an event of little interest.
    pub detail: &'static str,
    /// Before an event.
    pub info: &'static str,
    /// Before what others want of this node.
    pub traffic: &'static str,
    /// Before what somebody said.
    pub said: &'static str,
    /// What a lookup needs on average, as a formula.
    pub half_log: &'static str,
    /// Steps of a wheel that says that something goes on.
    pub wheel: &'static [&'static str],
    /// Dots of the ring diagram.
    pub marker: Marker,
    /// The frame of a panel.
    pub border: border::Set<'static>,
    /// The frame of a panel whose corners meet others.
    pub joined: border::Set<'static>,
    /// The frame of the focused panel.
    pub focus_border: border::Set<'static>,
}

impl Default for Glyphs {
    fn default() -> Glyphs {
        Glyphs::unicode()
    }
}

impl Glyphs {
    /// Glyphs that every font of a UTF-8 terminal has, none of them an emoji.
    pub const fn unicode() -> Glyphs {
        Glyphs {
            ascii: false,
            me: "◆",
            up: "●",
            suspect: "◌",
            dead: "✕",
            key: "✚",
            file: "∙",
            runner: "◉",
            focus: "▶",
            selected: "▌",
            prompt: "❯",
            done: "✓",
            running: "▶",
            queued: "…",
            paused: "‖",
            stopped: "⊘",
            absent: "–",
            up_arrow: "↑",
            down_arrow: "↓",
            full: "█",
            empty: "░",
            line: "─",
            alert: "▲",
            detail: "·",
            info: "•",
            traffic: "⇄",
            said: "»",
            half_log: "½log₂N",
            wheel: &["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"],
            marker: Marker::Braille,
            border: border::ROUNDED,
            joined: border::PLAIN,
            focus_border: border::THICK,
        }
    }

    /// Glyphs of ASCII alone.
    pub const fn ascii() -> Glyphs {
        const PLAIN: border::Set<'static> = border::Set {
            top_left: "+",
            top_right: "+",
            bottom_left: "+",
            bottom_right: "+",
            vertical_left: "|",
            vertical_right: "|",
            horizontal_top: "-",
            horizontal_bottom: "-",
        };
        const FOCUS: border::Set<'static> = border::Set {
            top_left: "#",
            top_right: "#",
            bottom_left: "#",
            bottom_right: "#",
            vertical_left: "#",
            vertical_right: "#",
            horizontal_top: "=",
            horizontal_bottom: "=",
        };
        Glyphs {
            ascii: true,
            me: "@",
            up: "o",
            suspect: "?",
            dead: "x",
            key: "*",
            file: "'",
            runner: "O",
            focus: ">",
            selected: ">",
            prompt: ">",
            done: "+",
            running: ">",
            queued: "_",
            paused: "=",
            stopped: "~",
            absent: "-",
            up_arrow: "^",
            down_arrow: "v",
            full: "#",
            empty: ".",
            line: "-",
            alert: "!",
            detail: ".",
            info: "-",
            traffic: "=",
            said: "\"",
            half_log: "log2(N)/2",
            wheel: &["|", "/", "-", "\\"],
            marker: Marker::Custom('.'),
            border: PLAIN,
            joined: PLAIN,
            focus_border: FOCUS,
        }
    }

    /// The glyph of a peer that is believed to be in this state.
    pub const fn liveness(&self, liveness: Liveness) -> &'static str {
        match liveness {
            Liveness::Up => self.up,
            Liveness::Suspect => self.suspect,
            Liveness::Dead => self.dead,
        }
    }

    /// The glyph of an event.
    pub const fn level(&self, level: Level) -> &'static str {
        match level {
            Level::Detail => self.detail,
            Level::Traffic => self.traffic,
            Level::Info => self.info,
            Level::Warn => self.alert,
            Level::Error => self.dead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    #[test]
    fn every_theme_goes_by_its_name() {
        for choice in ThemeChoice::ALL {
            let theme = Theme::from_name(choice.name()).expect("a theme");
            assert_eq!(theme.choice, choice);
        }
        assert_eq!(Theme::from_name("neon"), None);
    }

    #[test]
    fn mono_has_no_colours_and_standard_none_that_vanish() {
        let styles = |t: &Theme| {
            [
                t.text, t.dim, t.accent, t.border, t.focus, t.title, t.selected, t.chip, t.good,
                t.warn, t.bad, t.banner, t.key,
            ]
        };
        assert!(styles(&Theme::mono()).iter().all(|s| s.fg.is_none() && s.bg.is_none()));
        let vanishing = [Color::DarkGray, Color::Yellow, Color::White, Color::Gray, Color::Black];
        for style in styles(&Theme::standard()) {
            assert!(style.bg.is_none());
            assert!(style.fg.is_none_or(|fg| !vanishing.contains(&fg)));
        }
    }

    #[test]
    fn states_differ_by_glyph_and_each_glyph_is_one_cell() {
        for glyphs in [Glyphs::unicode(), Glyphs::ascii()] {
            let states =
                [glyphs.me, glyphs.up, glyphs.suspect, glyphs.dead, glyphs.key, glyphs.said];
            for (i, a) in states.iter().enumerate() {
                assert_eq!(a.width(), 1, "{a}");
                assert_eq!(a.is_ascii(), glyphs.ascii, "{a}");
                assert!(states[i + 1..].iter().all(|b| a != b), "{a}");
            }
        }
    }
}
