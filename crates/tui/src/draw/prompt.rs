//! The command line in the last row, the message above it, and the menu of
//! completions, which opens upward.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use super::scene::{Scene, put, put_right};
use super::text;
use crate::state::{Focus, Message};
use chordal_view::Level;

/// Rows of the menu, at most.
const MENU_ROWS: usize = 8;

/// Rows of a message, at most.
const MESSAGE_ROWS: u16 = 4;

/// Draws the line and what belongs to it; returns where the cursor stands.
/// Menu and message cover the lower part of `above`; the row of hints between,
/// if there is one, always says where keys go and what is being typed.
pub(super) fn draw(scene: Scene, buf: &mut Buffer, area: Rect, above: Rect) -> Option<Position> {
    let (theme, glyphs, app) = (scene.theme(), scene.glyphs(), scene.app);
    let prompt = &app.prompt;
    let typing = app.focus == Focus::Prompt;
    let lead = match (&prompt.search, &prompt.running) {
        (Some(search), _) => format!("search '{search}' {} ", glyphs.prompt),
        (None, Some(_)) => format!("{} ", scene.wheel()),
        (None, None) => format!("{} ", glyphs.prompt),
    };
    let lead_style = if typing { theme.focus } else { theme.dim };
    let mut spans = vec![Span::styled(lead.clone(), lead_style)];
    let room = usize::from(area.width).saturating_sub(text::width(&lead) + 1);
    let skip = prompt.input.visual_scroll(room);
    let value = prompt.input.value();
    let mut cursor = None;
    if !typing {
        let note = if value.is_empty() { ": to type a command" } else { value };
        spans.push(Span::styled(text::end(note, room).into_owned(), theme.dim));
    } else if value.is_empty() && prompt.search.is_none() {
        let note = match &prompt.running {
            Some(line) => format!("{line} …"),
            None => empty_note(scene),
        };
        spans.push(Span::styled(text::end(&note, room).into_owned(), theme.dim));
        cursor = Some(0);
    } else {
        let seen = text::window(value, skip, room);
        let left = room.saturating_sub(text::width(seen));
        spans.push(Span::styled(seen.to_owned(), theme.text));
        spans.push(Span::styled(text::end(&prompt.ghost, left).into_owned(), theme.dim));
        cursor = Some(prompt.input.visual_cursor().saturating_sub(skip).min(room));
    }
    put(buf, area, &Line::from(spans));

    let mut rest = above;
    if let Some(message) = &prompt.message {
        rest.height -= draw_message(scene, buf, rest, message);
    }
    if typing && !prompt.menu.is_empty() {
        let word = value.rfind(' ').map_or(0, |space| text::width(&value[..=space]));
        let x = text::width(&lead) + word.saturating_sub(skip);
        draw_menu(scene, buf, rest, x as u16);
    }
    let x = area.x + (text::width(&lead) + cursor?) as u16;
    Some(Position::new(x.min(area.right().saturating_sub(1)), area.y))
}

/// What an empty prompt says: the next thing to do.
fn empty_note(scene: Scene) -> String {
    let snapshot = scene.snapshot;
    let example = if snapshot.living() <= 1 {
        "join 127.0.0.1:2000"
    } else if snapshot.files.is_empty() {
        "put SkyShip.jpg"
    } else {
        "lookup SkyShip.jpg"
    };
    format!("type a command: {example}, or ? for help")
}

/// Draws a message over the lowest rows of an area; returns how many.
fn draw_message(scene: Scene, buf: &mut Buffer, area: Rect, message: &Message) -> u16 {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    let style = match message.level {
        Level::Detail | Level::Traffic | Level::Info => theme.good,
        Level::Warn => theme.warn,
        Level::Error => theme.bad,
    };
    let glyph = match message.level {
        Level::Detail | Level::Traffic | Level::Info => glyphs.done,
        level => glyphs.level(level),
    };
    let lines = text::wrap(&message.text, usize::from(area.width).saturating_sub(4));
    // An answer that was read makes room while the next line is typed; what
    // is wrong with the line stays whole.
    let typing = !scene.app.prompt.input.value().is_empty();
    let most = if typing && message.level < Level::Warn { 1 } else { MESSAGE_ROWS };
    let rows = (lines.len() as u16).min(most).min(area.height.div_ceil(2));
    let place = Rect { y: area.bottom() - rows, height: rows, ..area };
    Clear.render(place, buf);
    buf.set_style(place, theme.text);
    for (i, line) in lines.iter().take(usize::from(rows)).enumerate() {
        let row = Rect { y: place.y + i as u16, height: 1, ..place };
        let lead = if i == 0 { format!(" {glyph} ") } else { "   ".to_owned() };
        let body = if message.level >= Level::Warn && i == 0 { style } else { theme.text };
        let line = vec![Span::styled(lead, style), Span::styled(line.clone(), body)];
        put(buf, row, &Line::from(line));
    }
    let more = lines.len().saturating_sub(usize::from(rows));
    if more > 0 && rows > 0 {
        let row = Rect { y: place.bottom() - 1, height: 1, ..place };
        put_right(buf, row, &Line::styled(format!(" … {more} more "), theme.dim));
    }
    rows
}

fn draw_menu(scene: Scene, buf: &mut Buffer, room: Rect, x: u16) {
    let (theme, glyphs, prompt) = (scene.theme(), scene.glyphs(), &scene.app.prompt);
    let frame = if room.height >= 4 { 2 } else { 0 };
    let rows = prompt.menu.len().min(MENU_ROWS).min(usize::from(room.height.saturating_sub(frame)));
    if rows == 0 || room.width < 8 {
        return;
    }
    let names = prompt.menu.iter().map(|c| text::width(&c.text)).max().unwrap_or(0).min(40);
    let helps = prompt.menu.iter().map(|c| text::width(&c.help)).max().unwrap_or(0);
    let wanted = names + 2 + helps + 4;
    let width = (wanted as u16).min(room.width);
    let left = (room.x + x).saturating_sub(2).min(room.right() - width);
    let height = rows as u16 + frame;
    let place = Rect { x: left, y: room.bottom() - height, width, height };
    Clear.render(place, buf);
    buf.set_style(place, theme.text);
    let inner = if frame > 0 {
        let block = Block::bordered().border_set(glyphs.border).border_style(theme.accent);
        let inner = block.inner(place);
        block.render(place, buf);
        inner
    } else {
        place
    };
    let selected = prompt.menu_selected.unwrap_or(0).min(prompt.menu.len() - 1);
    let first = (selected + 1).saturating_sub(rows);
    for (i, completion) in prompt.menu.iter().enumerate().skip(first).take(rows) {
        let row = Rect { y: inner.y + (i - first) as u16, height: 1, ..inner };
        let chosen = prompt.menu_selected == Some(i);
        let name = text::middle(&completion.text, names);
        let pad = " ".repeat(names - text::width(&name));
        let mark = if chosen { glyphs.selected } else { " " };
        let left = usize::from(row.width).saturating_sub(names + 4);
        let help = text::end(&completion.help, left);
        let line = vec![
            Span::styled(mark, theme.accent),
            Span::styled(format!("{name}{pad}"), if chosen { theme.focus } else { theme.text }),
            Span::styled(format!("  {help}"), theme.dim),
        ];
        put(buf, row, &Line::from(line));
        if chosen {
            buf.set_style(row, theme.selected.add_modifier(Modifier::REVERSED));
        }
    }
}
