//! The panels, the place of a selection in them, and the classes of screen sizes.

use ratatui::layout::Rect;

/// Rows of a page, whatever the panel's height.
pub(super) const PAGE: isize = 10;

/// The panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Panel {
    /// The ring diagram.
    Ring,
    /// The finger table.
    Fingers,
    /// Predecessor and successors.
    Neighbours,
    /// The files held here.
    Files,
    /// Running and recent transfers.
    Transfers,
    /// Linked peers and registries.
    Peers,
    /// What happened.
    Events,
}

impl Panel {
    /// In the order of their digits, 1 to 7.
    pub const ALL: [Panel; 7] = [
        Panel::Ring,
        Panel::Fingers,
        Panel::Neighbours,
        Panel::Files,
        Panel::Transfers,
        Panel::Peers,
        Panel::Events,
    ];

    /// Place in [`Panel::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The title.
    pub const fn title(self) -> &'static str {
        match self {
            Panel::Ring => "Ring",
            Panel::Fingers => "Fingers",
            Panel::Neighbours => "Neighbours",
            Panel::Files => "Files",
            Panel::Transfers => "Transfers",
            Panel::Peers => "Peers",
            Panel::Events => "Events",
        }
    }

    /// The title in a few letters, where it stands among others.
    pub const fn short(self) -> &'static str {
        match self {
            Panel::Neighbours => "Near",
            Panel::Transfers => "Moves",
            Panel::Events => "Log",
            other => other.title(),
        }
    }
}

/// Position in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableState {
    /// The selected row.
    pub selected: usize,
    /// The first visible row; the drawing code keeps `selected` visible.
    pub offset: usize,
}

/// A row moved within `0..length`.
pub(super) fn moved(row: usize, rows: isize, length: usize) -> usize {
    row.saturating_add_signed(rows).min(length.saturating_sub(1))
}

/// What the drawing code keeps from one frame to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// The class of the last layout.
    pub(super) class: Option<Class>,
    /// The panel shown last where several share a place.
    pub(super) tab: Option<Panel>,
    /// Where the rows of a list over the panels stand: what a click means.
    pub(super) rows: Option<Rect>,
}

/// Cells by which a size must pass an edge before the class changes.
const HYSTERESIS: u16 = 2;

/// The classes, smallest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Lines without boxes.
    Tiny,
    /// Four panels at most, with shared borders.
    Small,
    /// The ring, one place with tabs, events.
    Normal,
    /// All panels.
    Wide,
}

impl Class {
    /// The class of a size.
    pub const fn of(width: u16, height: u16) -> Class {
        if width >= 160 && height >= 45 {
            Class::Wide
        } else if width >= 100 && height >= 30 {
            Class::Normal
        } else if width >= 60 && height >= 15 {
            Class::Small
        } else {
            Class::Tiny
        }
    }

    /// The class of a size after `previous`.
    pub fn settle(previous: Option<Class>, width: u16, height: u16) -> Class {
        let now = Class::of(width, height);
        let Some(previous) = previous else { return now };
        let most = Class::of(width.saturating_add(HYSTERESIS), height.saturating_add(HYSTERESIS));
        let least = Class::of(width.saturating_sub(HYSTERESIS), height.saturating_sub(HYSTERESIS));
        previous.clamp(least, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_kept_within_two_cells_of_its_edge() {
        assert_eq!(Class::settle(None, 160, 45), Class::Wide);
        assert_eq!(Class::settle(Some(Class::Wide), 158, 44), Class::Wide);
        assert_eq!(Class::settle(Some(Class::Wide), 157, 45), Class::Normal);
        assert_eq!(Class::settle(Some(Class::Normal), 161, 50), Class::Normal);
        assert_eq!(Class::settle(Some(Class::Normal), 162, 50), Class::Wide);
        assert_eq!(Class::settle(Some(Class::Wide), 20, 4), Class::Tiny);
    }
}
