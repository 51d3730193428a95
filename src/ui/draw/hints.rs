//! The row above the prompt: where keys go, and the most useful of them; or,
//! while a command is typed, what it does.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::{Scene, put, text};
use crate::ui::state::{App, Focus, Panel};

/// The hint that is always there.
const HELP: (&str, &str) = ("?", "help");

/// The hints that fit into `width` cells, in their order of priority, always
/// with `? help` at the end.
pub fn fit<'a>(hints: &[(&'a str, &'a str)], width: usize) -> Vec<(&'a str, &'a str)> {
    let cells = |(key, what): &(&str, &str)| text::width(key) + text::width(what) + 3;
    let mut left = width.saturating_sub(cells(&HELP));
    let mut fitting: Vec<(&str, &str)> = hints
        .iter()
        .filter(|hint| hint.0 != HELP.0)
        .map_while(|hint| {
            left = left.checked_sub(cells(hint))?;
            Some(*hint)
        })
        .collect();
    fitting.push(HELP);
    fitting
}

/// The hints for where keys go now, the most useful first.
pub fn of(app: &App) -> Vec<(&'static str, &'static str)> {
    match app.focus {
        Focus::Prompt => PROMPT.to_vec(),
        Focus::Panels => {
            let own: &[(&str, &str)] = match app.panel {
                Panel::Events => &[("/", "search"), ("l", "level"), ("End", "follow")],
                Panel::Transfers => &[("c", "cancel")],
                Panel::Ring | Panel::Fingers | Panel::Neighbours | Panel::Files => &[],
            };
            let lab: &[(&str, &str)] =
                if app.lab { &[("[ ]", "node"), ("K", "kill"), ("R", "restart")] } else { &[] };
            [&[(":", "command"), ("1-6", "panel")], own, lab, PANELS].concat()
        }
    }
}

const PROMPT: &[(&str, &str)] = &[
    ("Enter", "run"),
    ("Tab", "complete"),
    ("Esc", "panels"),
    ("↑ ↓", "history"),
    ("Ctrl-R", "search"),
    ("Ctrl-C", "quit"),
];

const PANELS: &[(&str, &str)] = &[
    ("z", "zoom"),
    ("Space", "freeze"),
    ("Tab", "next"),
    ("↑ ↓", "select"),
    ("y", "copy"),
    ("q", "quit"),
];

/// Every key, for the help.
pub(super) const KEYS: &[(&str, &str)] = &[
    ("Esc", "from the prompt to the panels"),
    (": or Enter", "back to the prompt"),
    ("Tab", "complete the word; next panel"),
    ("→ or End", "take the suggestion"),
    ("↑ ↓", "history; select a row"),
    ("Ctrl-R", "search the history"),
    ("1-6", "go to a panel"),
    ("z", "fill the screen with the panel"),
    ("Space", "freeze the picture"),
    ("/", "search the events"),
    ("m", "mouse on or off"),
    ("y", "copy the selected row"),
    ("e", "export the picture as JSON"),
    ("q", "close, or quit"),
    ("Ctrl-L", "repaint"),
    ("Ctrl-Z", "suspend"),
    ("Ctrl-C", "leave the ring and end"),
];

/// Draws the row.
pub(super) fn draw(scene: Scene, buf: &mut Buffer, area: Rect) {
    let (theme, app) = (scene.theme(), scene.app);
    let mode = match app.focus {
        Focus::Prompt => " TYPE ",
        Focus::Panels => " KEYS ",
    };
    let mut spans = vec![Span::styled(mode, theme.chip), Span::raw("  ")];
    let room = usize::from(area.width).saturating_sub(mode.len() + 2);
    let description = app.prompt.description.as_str();
    if app.focus == Focus::Prompt && !description.is_empty() {
        spans.push(Span::styled(text::end(description, room).into_owned(), theme.dim));
    } else {
        spans.extend(spans_of(scene, &fit(&of(app), room)));
    }
    put(buf, area, &Line::from(spans));
}

/// Hints as text: the key stands out, its meaning steps back.
pub(super) fn spans_of(scene: Scene, hints: &[(&str, &str)]) -> Vec<Span<'static>> {
    let theme = scene.theme();
    let pair = |(key, what): &(&str, &str)| {
        [
            Span::styled((*key).to_owned(), theme.title),
            Span::styled(format!(" {what}  "), theme.dim),
        ]
    };
    hints.iter().flat_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_fit_by_priority_and_end_in_help() {
        assert_eq!(fit(PROMPT, 24), [("Enter", "run"), ("?", "help")]);
        assert_eq!(fit(PROMPT, 0), [("?", "help")]);
        assert_eq!(fit(PROMPT, 200).len(), PROMPT.len() + 1);
    }
}
