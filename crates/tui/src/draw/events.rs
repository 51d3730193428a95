//! What happened: the newest line at the bottom, unless scrolled.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::scene::{Scene, put, put_empty};
use super::table::Shown;
use super::text;
use crate::explain;
use chordal_view::{Level, Step, UiEvent};

/// Columns below which the clock has no seconds.
const NARROW: u16 = 40;

/// The filter, the search, and what came in while scrolled up.
pub(super) fn summary(scene: Scene) -> Line<'static> {
    let (theme, log) = (scene.theme(), &scene.app.log);
    let mut parts = Vec::new();
    if let Some(search) = &log.search {
        parts.push(Span::styled(format!("/{search}"), theme.accent));
    }
    match log.level {
        // A registry shows all of its events, always.
        Level::Detail if scene.snapshot.registry.is_some() => {}
        Level::Detail => parts.push(Span::styled("with details", theme.dim)),
        Level::Traffic => {}
        Level::Info => parts.push(Span::styled("without traffic", theme.dim)),
        Level::Warn => parts.push(Span::styled("warnings only", theme.dim)),
        Level::Error => parts.push(Span::styled("errors only", theme.dim)),
    }
    if log.scrolled > 0 {
        let arrow = scene.glyphs().down_arrow;
        let unseen = match log.unseen {
            0 => format!("{arrow} scrolled"),
            n => format!("{arrow} {n} new"),
        };
        parts.push(Span::styled(unseen, theme.accent));
    } else {
        let simulated = scene.snapshot.simulation.is_some();
        let following = if simulated { "simulated · following" } else { "UTC · following" };
        parts.push(Span::styled(following, theme.dim));
    }
    Line::from(join(parts, Span::styled(" · ", theme.dim)))
}

/// Draws as many events as there are rows, the newest last.
pub(super) fn draw(scene: Scene, buf: &mut Buffer, area: Rect) -> Option<Shown> {
    let log = &scene.app.log;
    let node = scene.app.nodes.get(scene.app.shown)?;
    let height = usize::from(area.height);
    // From the newest on: the cost is that of what is seen or scrolled over.
    let mut seen = node.events.iter().rev().filter(|event| log.shows(event));
    let mut window: std::collections::VecDeque<&UiEvent> = seen.by_ref().take(height).collect();
    for _ in 0..log.scrolled {
        // Scrolled further than there are lines: the oldest stay in sight.
        let Some(event) = seen.next() else { break };
        window.pop_front();
        window.push_back(event);
    }
    if window.is_empty() {
        let filter = match log.level {
            Level::Detail | Level::Traffic => None,
            Level::Info => Some("without traffic"),
            Level::Warn => Some("warnings only"),
            Level::Error => Some("errors only"),
        };
        let (what, next) = match (&log.search, filter) {
            _ if node.events.is_empty() && scene.snapshot.registry.is_some() => {
                ("Nothing has happened yet".to_owned(), "who comes and goes shows here")
            }
            _ if node.events.is_empty() => {
                ("Nothing has happened yet".to_owned(), "join, put, say or lookup will show here")
            }
            (Some(search), None) => {
                (format!("No event matches the filter /{search}"), "Esc ends the search")
            }
            (Some(search), Some(level)) => (
                format!("No event matches the filter /{search}, {level}"),
                "Esc ends the search; l changes the level",
            ),
            (None, level) => (
                format!("No event matches the filter: {}", level.unwrap_or("no details")),
                "l changes the level",
            ),
        };
        put_empty(scene, buf, area, &what, next);
        return None;
    }
    // Newest first, each with its explanation, until the panel is full.
    let mut blocks: Vec<Vec<Line>> = Vec::with_capacity(height);
    let mut used = 0;
    let mut newer = None;
    for event in window {
        let mut block = vec![event_line(scene, area.width, event)];
        // A row of the same steps is explained once, below the last of them.
        if scene.app.explain && (event.step.is_none() || event.step != newer) {
            block.extend(why_lines(scene, area.width, event));
        }
        newer = event.step;
        // The newest is seen even where there is no room to explain it.
        block.truncate(if blocks.is_empty() { height } else { usize::MAX });
        used += block.len();
        if used > height {
            break;
        }
        blocks.push(block);
    }
    // Few lines stand at the top, as in any log that has just begun.
    for (i, line) in blocks.iter().rev().flatten().enumerate() {
        put(buf, Rect { y: area.y + i as u16, height: 1, ..area }, line);
    }
    None
}

/// What led to an event, indented as far as its sentence.
fn why_lines(scene: Scene, width: u16, event: &UiEvent) -> Vec<Line<'static>> {
    let Some(why) = explain::why(event) else { return Vec::new() };
    let indent = if width < NARROW { 9 } else { 12 };
    let lines = text::wrap(why, usize::from(width).saturating_sub(indent + 3));
    let lead = |i| if i == 0 { "└ " } else { "  " };
    let line = |(i, line)| format!("{:indent$}{}{line}", "", lead(i));
    let dim = scene.theme().dim;
    lines.into_iter().enumerate().map(line).map(|line| Line::styled(line, dim)).collect()
}

/// One event on one row.
fn event_line(scene: Scene, width: u16, event: &UiEvent) -> Line<'static> {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    // What people say stands out among what machines do.
    let said = event.step == Some(Step::Said);
    let style = match event.level {
        Level::Info if said => theme.title,
        Level::Detail => theme.dim,
        Level::Traffic | Level::Info => theme.text,
        Level::Warn => theme.warn,
        Level::Error => theme.bad,
    };
    let simulated = scene.snapshot.simulation.is_some();
    let clock = if simulated { text::stopwatch(event.unix_ms) } else { text::clock(event.unix_ms) };
    // The seconds and the glyph go before the sentence does.
    let clock = if width < NARROW && !simulated { &clock[..5] } else { clock.as_str() };
    let mut spans = vec![
        Span::raw(" "),
        Span::styled(clock.to_owned(), theme.dim),
        Span::raw(" "),
        if said {
            Span::styled(glyphs.said, theme.focus)
        } else {
            Span::styled(glyphs.level(event.level), theme.level(event.level))
        },
        Span::raw(" "),
    ];
    let used: usize = spans.iter().map(Span::width).sum();
    let sentence = text::end(&event.text, usize::from(width).saturating_sub(used + 1));
    let found = theme.accent.add_modifier(Modifier::UNDERLINED | Modifier::BOLD);
    spans.extend(highlight(&sentence, scene.app.log.search.as_deref(), style, found));
    Line::from(spans)
}

/// Splits a sentence at each place where the search matches.
fn highlight(
    sentence: &str,
    search: Option<&str>,
    style: Style,
    found: Style,
) -> Vec<Span<'static>> {
    let needle = search.unwrap_or_default().to_lowercase();
    let lower = sentence.to_lowercase();
    // Lowercase text of another length has no byte positions in common.
    if needle.is_empty() || lower.len() != sentence.len() {
        return vec![Span::styled(sentence.to_owned(), style)];
    }
    let mut spans = Vec::new();
    let mut at = 0;
    for (start, hit) in lower.match_indices(&needle) {
        let (Some(before), Some(inside)) =
            (sentence.get(at..start), sentence.get(start..start + hit.len()))
        else {
            break;
        };
        spans.push(Span::styled(before.to_owned(), style));
        spans.push(Span::styled(inside.to_owned(), found));
        at = start + hit.len();
    }
    spans.push(Span::styled(sentence.get(at..).unwrap_or_default().to_owned(), style));
    spans
}

fn join<'a>(parts: Vec<Span<'a>>, between: Span<'a>) -> Vec<Span<'a>> {
    let mut joined = Vec::with_capacity(parts.len() * 2);
    for part in parts {
        if !joined.is_empty() {
            joined.push(between.clone());
        }
        joined.push(part);
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_match_of_the_search_is_marked() {
        let found = Style::new().add_modifier(Modifier::UNDERLINED);
        let spans = highlight("Lookup of a lookup", Some("LOOKUP"), Style::new(), found);
        let marked: Vec<_> = spans.iter().filter(|s| s.style == found).collect();
        assert_eq!(marked.len(), 2);
        let whole: String = spans.iter().map(|s| s.content.as_ref()).collect();
        assert_eq!(whole, "Lookup of a lookup");
    }
}
