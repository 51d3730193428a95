//! The keys: one table behind the keys themselves, the hints and the help.

use crossterm::event::{KeyCode, KeyEvent};

use crate::action::Key;

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The next registry; the first after the last.
    NextRegistry,
    /// The registry before.
    PreviousRegistry,
    /// To the other panel.
    OtherPanel,
    /// The focused panel fills the screen.
    Zoom,
    /// The picture stands still.
    Freeze,
    /// Back to the newest event.
    Follow,
    /// The selected peer's address to the clipboard.
    Copy,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// Ten rows up.
    PageUp,
    /// Ten rows down.
    PageDown,
    /// The first row.
    First,
    /// The last row.
    Last,
    /// Close what is open; end the program when nothing is.
    Close,
    /// End the program.
    End,
    /// Back to the shell for a while.
    Suspend,
    /// Draw everything anew.
    Repaint,
    /// The list of keys.
    Help,
}

/// One row of the table.
#[derive(Debug)]
pub(super) struct Binding {
    /// What it does.
    pub(super) action: Action,
    /// The keys, the one to show first.
    pub(super) keys: &'static [Key],
    /// A word or two for the bottom row; empty: not shown there.
    pub(super) hint: &'static str,
    /// One line for the help.
    pub(super) help: &'static str,
}

const fn plain(code: KeyCode) -> Key {
    Key { code, control: false }
}

const fn char(c: char) -> Key {
    plain(KeyCode::Char(c))
}

const fn control(c: char) -> Key {
    Key { code: KeyCode::Char(c), control: true }
}

const fn binding(
    action: Action,
    keys: &'static [Key],
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding { action, keys, hint, help }
}

/// Every key but the digits, which are registries. The bottom row shows hints
/// in this order.
pub(super) const BINDINGS: &[Binding] = &[
    binding(Action::NextRegistry, &[plain(KeyCode::Tab)], "registry", "show the next registry"),
    binding(Action::PreviousRegistry, &[plain(KeyCode::BackTab)], "", "show the registry before"),
    binding(
        Action::OtherPanel,
        &[plain(KeyCode::Right), plain(KeyCode::Left)],
        "panel",
        "focus the other panel: peers, events",
    ),
    binding(Action::Close, &[char('q')], "quit", "close, or end the registries"),
    binding(Action::Zoom, &[char('z')], "zoom", "the panel fills the screen"),
    binding(Action::Freeze, &[char(' ')], "freeze", "freeze the picture"),
    binding(Action::Follow, &[char('f')], "", "follow the newest event"),
    binding(Action::Copy, &[char('y')], "copy", "copy the selected peer's address"),
    binding(Action::Up, &[plain(KeyCode::Up), char('k')], "", "one row up"),
    binding(Action::Down, &[plain(KeyCode::Down), char('j')], "", "one row down"),
    binding(Action::PageUp, &[plain(KeyCode::PageUp)], "", "ten rows up"),
    binding(Action::PageDown, &[plain(KeyCode::PageDown)], "", "ten rows down"),
    binding(Action::First, &[plain(KeyCode::Home), char('g')], "", "the first row"),
    binding(Action::Last, &[plain(KeyCode::End), char('G')], "", "the last row"),
    binding(Action::End, &[control('c')], "", "end the registries"),
    binding(Action::Suspend, &[control('z')], "", "stop: back to the shell"),
    binding(Action::Repaint, &[control('l')], "", "draw everything anew"),
    binding(Action::Help, &[char('?'), plain(KeyCode::F(1))], "help", "list all keys"),
];

/// What a key means.
pub(super) fn action(event: KeyEvent) -> Option<Action> {
    let bound = |binding: &&Binding| binding.keys.iter().any(|key| key.matches(event));
    BINDINGS.iter().find(bound).map(|found| found.action)
}

/// Hints for the bottom row, the most useful first. One registry alone has no
/// next one.
pub(super) fn hints(registries: usize) -> Vec<(String, &'static str)> {
    let useful = |binding: &&Binding| {
        !binding.hint.is_empty() && (registries > 1 || binding.action != Action::NextRegistry)
    };
    let hint = |binding: &Binding| (binding.keys[0].show(), binding.hint);
    BINDINGS.iter().filter(useful).map(hint).collect()
}

/// Every key with its help.
pub(super) fn list() -> Vec<(String, &'static str)> {
    let shown = |binding: &Binding| {
        let keys: Vec<_> = binding.keys.iter().map(|key| key.show()).collect();
        (keys.join(", "), binding.help)
    };
    let digits = ("1-9".to_owned(), "show a registry");
    std::iter::once(digits).chain(BINDINGS.iter().map(shown)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let mut keys: Vec<Key> = Vec::new();
        for binding in BINDINGS {
            for key in binding.keys {
                assert!(!keys.contains(key), "{} is bound twice", key.show());
                let digit = matches!(key.code, KeyCode::Char('0'..='9'));
                assert!(!digit, "digits are registries");
                keys.push(*key);
            }
        }
    }

    #[test]
    fn one_registry_alone_has_no_next_one() {
        let offers = |registries| hints(registries).iter().any(|hint| hint.1 == "registry");
        assert!(offers(2) && !offers(1));
    }
}
