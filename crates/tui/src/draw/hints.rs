//! The row above the prompt: where keys go, and the most useful of them; or,
//! while a command is typed, what it does.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::scene::{Scene, put};
use super::text;
use crate::action;
use crate::state::Focus;

/// The hint that is always there.
const HELP: (&str, &str) = ("?", "help");

/// The hints that fit into `width` cells, in their order of priority, always
/// with `? help` at the end.
pub fn fit<'a>(hints: &'a [(String, &'static str)], width: usize) -> Vec<(&'a str, &'static str)> {
    let cells = |(key, what): &(&str, &str)| text::width(key) + text::width(what) + 3;
    let mut left = width.saturating_sub(cells(&HELP));
    let mut fitting: Vec<(&str, &str)> = hints
        .iter()
        .map(|(key, what)| (key.as_str(), *what))
        .filter(|hint| hint.0 != HELP.0)
        .map_while(|hint| {
            left = left.checked_sub(cells(&hint))?;
            Some(hint)
        })
        .collect();
    fitting.push(HELP);
    fitting
}

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
        spans.extend(spans_of(scene, &fit(&action::hints(app), room)));
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
        let hints = [("Enter".to_owned(), "run"), ("Tab".to_owned(), "complete")];
        assert_eq!(fit(&hints, 24), [("Enter", "run"), ("?", "help")]);
        assert_eq!(fit(&hints, 0), [("?", "help")]);
        assert_eq!(fit(&hints, 200).len(), 3);
    }
}
