//! What is drawn over the panels: help, long answers, questions, and the progress of a leave.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Widget};

use super::scene::{Scene, put, put_right};
use super::{results, text};
use crate::action;
use crate::state::Overlay;
use chordal_view::command;
use chordal_view::text::handing_over;

/// What drawing an overlay yields besides the picture.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drawn {
    /// The scroll position inside its text or list.
    pub(super) scroll: Option<usize>,
    /// Where the cursor stands, if something is typed.
    pub(super) cursor: Option<Position>,
    /// Where the rows of a list stand.
    pub(super) rows: Option<Rect>,
}

/// Draws the overlay.
pub(super) fn draw(scene: Scene, buf: &mut Buffer, room: Rect, overlay: &Overlay) -> Drawn {
    match overlay {
        Overlay::Help { filter, scroll } => draw_help(scene, buf, room, filter, *scroll),
        Overlay::Output { title, lines, scroll } => {
            let scroll = Some(draw_output(scene, buf, room, title, lines, *scroll));
            Drawn { scroll, ..Drawn::default() }
        }
        Overlay::Results => results::draw(scene, buf, room),
        Overlay::Confirm { question, .. } => {
            draw_confirm(scene, buf, room, question);
            Drawn::default()
        }
        Overlay::Leaving { .. } => {
            draw_leaving(scene, buf, room, overlay);
            Drawn::default()
        }
    }
}

fn draw_help(scene: Scene, buf: &mut Buffer, room: Rect, filter: &str, scroll: usize) -> Drawn {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    // At the prompt of a node the words that it takes stand beside the keys.
    let prompt = !scene.app.is_registry();
    let width = room.width.saturating_sub(4).min(if prompt { 144 } else { 64 });
    let two = width >= 104;
    let needle = filter.to_lowercase();
    let keys_width = if two { 44 } else { width.saturating_sub(4) };
    let words_width = if two { width.saturating_sub(keys_width + 6) } else { keys_width };
    let keys = keys(scene, &needle, usize::from(keys_width));
    let words =
        if prompt { commands(scene, &needle, usize::from(words_width)) } else { Vec::new() };
    let mut left = keys;
    let mut right = Vec::new();
    if two {
        right = words;
    } else {
        if !left.is_empty() && !words.is_empty() {
            left.push(Line::default());
        }
        left.extend(words);
    }
    if left.is_empty() && right.is_empty() {
        left.push(Line::styled(format!("Nothing matches '{filter}'"), theme.dim));
    }
    let height = left.len().max(right.len()) as u16 + 4;
    let place = centred(room, width.max(room.width.min(20)), height);
    let inner = window(scene, buf, place, "Help", "type to search · ↑ ↓ scroll · Esc closes");
    let search = Rect { height: 1, ..inner };
    let shown = match filter {
        "" if prompt => "search keys and commands",
        "" => "search keys",
        filter => filter,
    };
    let style = if filter.is_empty() { theme.dim } else { theme.text };
    let lead = format!("{} ", glyphs.prompt);
    put(
        buf,
        search,
        &Line::from(vec![Span::styled(lead, theme.focus), Span::styled(shown.to_owned(), style)]),
    );
    let cursor = inner.x + 2 + text::width(filter) as u16;
    let cursor = Position::new(cursor.min(inner.right().saturating_sub(1)), inner.y);
    let body =
        Rect { y: inner.y + 2.min(inner.height), height: inner.height.saturating_sub(2), ..inner };
    let longest = left.len().max(right.len());
    let scroll = scroll.min(longest.saturating_sub(usize::from(body.height)));
    draw_lines(buf, Rect { width: keys_width.min(body.width), ..body }, &left, scroll);
    if two {
        let x = body.x + keys_width + 2;
        draw_lines(buf, Rect { x, width: body.right().saturating_sub(x), ..body }, &right, scroll);
    }
    draw_more(scene, buf, place, body, scroll, longest);
    Drawn { scroll: Some(scroll), cursor: Some(cursor), rows: None }
}

fn keys(scene: Scene, needle: &str, width: usize) -> Vec<Line<'static>> {
    let theme = scene.theme();
    let lines: Vec<Line> = action::list(scene.app)
        .iter()
        .filter(|(key, what)| format!("{key} {what}").to_lowercase().contains(needle))
        .map(|(key, what)| entry(scene, key, what, 17, width))
        .collect();
    titled(Line::styled("Keys", theme.title), lines)
}

fn commands(scene: Scene, needle: &str, width: usize) -> Vec<Line<'static>> {
    let theme = scene.theme();
    let found: Vec<&command::Spec> = command::TABLE
        .iter()
        .filter(|spec| {
            let words: Vec<&str> = spec.words().collect();
            let text = format!("{} {} {}", words.join(" "), spec.summary, spec.details);
            text.to_lowercase().contains(needle)
        })
        .collect();
    let few = found.len() <= 3 && !needle.is_empty();
    let mut lines = Vec::new();
    for spec in found {
        let mut usage = spec.usage();
        if !spec.aliases.is_empty() {
            usage = format!("{usage} ({})", spec.aliases.join(", "));
        }
        let head = 42.min(width * 3 / 5);
        if text::width(&usage) + 2 > head {
            lines.push(Line::styled(text::end(&usage, width).into_owned(), theme.accent));
            lines.push(entry(scene, "", spec.summary, head, width));
        } else {
            lines.push(entry(scene, &usage, spec.summary, head, width));
        }
        if few {
            let wrapped = text::wrap(spec.details, width.saturating_sub(2));
            lines.extend(wrapped.into_iter().map(|l| Line::styled(format!("  {l}"), theme.dim)));
        }
    }
    titled(Line::styled("Commands", theme.title), lines)
}

fn titled(title: Line<'static>, lines: Vec<Line<'static>>) -> Vec<Line<'static>> {
    if lines.is_empty() {
        return lines;
    }
    let mut all = vec![title];
    all.extend(lines);
    all
}

fn entry(scene: Scene, key: &str, what: &str, head: usize, width: usize) -> Line<'static> {
    let theme = scene.theme();
    let pad = " ".repeat(head.saturating_sub(text::width(key)));
    let what = text::end(what, width.saturating_sub(head.max(text::width(key)))).into_owned();
    Line::from(vec![
        Span::styled(key.to_owned(), theme.accent),
        Span::raw(pad),
        Span::styled(what, theme.text),
    ])
}

fn draw_output(
    scene: Scene,
    buf: &mut Buffer,
    room: Rect,
    title: &str,
    lines: &[String],
    scroll: usize,
) -> usize {
    let longest = lines.iter().map(|line| text::width(line)).max().unwrap_or(0) as u16;
    let width = longest.saturating_add(6).max(40).min(room.width.saturating_sub(2));
    let height = (lines.len() as u16).saturating_add(2);
    let place = centred(room, width, height);
    let inner = window(scene, buf, place, title, "↑ ↓ scroll · y copies · Esc closes");
    let scroll = scroll.min(lines.len().saturating_sub(usize::from(inner.height)));
    for (i, line) in lines.iter().skip(scroll).take(usize::from(inner.height)).enumerate() {
        let row = Rect { y: inner.y + i as u16, height: 1, ..inner };
        put(buf, row, &Line::raw(text::end(line, usize::from(row.width)).into_owned()));
    }
    draw_more(scene, buf, place, inner, scroll, lines.len());
    scroll
}

fn draw_confirm(scene: Scene, buf: &mut Buffer, room: Rect, question: &str) {
    let theme = scene.theme();
    let width = (text::width(question) as u16 + 6).clamp(36, 64).min(room.width);
    let lines = text::wrap(question, usize::from(width.saturating_sub(4)));
    let place = centred(room, width, lines.len() as u16 + 4);
    let inner = window(scene, buf, place, "Sure?", "");
    let short = Line::styled("y/n", theme.focus);
    let keys = Line::from(vec![
        Span::styled(" y ", theme.chip),
        Span::styled(" yes    ", theme.text),
        Span::styled(" n ", theme.chip),
        Span::styled(" no", theme.text),
    ]);
    // The keys stay when there is no room for the whole question.
    let rows = usize::from(inner.height.saturating_sub(1));
    for (i, line) in lines.iter().take(rows).enumerate() {
        put(buf, Rect { y: inner.y + i as u16, height: 1, ..inner }, &Line::raw(line.clone()));
    }
    if inner.height > 0 {
        put(
            buf,
            Rect { y: inner.bottom() - 1, height: 1, ..inner },
            if inner.width < 14 { &short } else { &keys },
        );
    }
}

fn draw_leaving(scene: Scene, buf: &mut Buffer, room: Rect, overlay: &Overlay) {
    let Overlay::Leaving { since } = overlay else { return };
    let (theme, now) = (scene.theme(), scene.app.now);
    let place = centred(room, 52, 6);
    let inner = window(scene, buf, place, "Leaving the ring", "Ctrl-C ends at once");
    let row = scene.snapshot.handing_over.filter(|row| row.files > 0);
    let (what, pace) = match row {
        None => (format!("{} saying goodbye", scene.wheel()), String::new()),
        Some(row) => {
            let files = text::count(row.files as u64, "file");
            let what = format!("{} handing over {files}", scene.wheel());
            (what, handing_over(&row).split_once(", ").map_or(String::new(), |(_, p)| p.to_owned()))
        }
    };
    let lasts =
        format!("ends when others hold its files · {}", text::span(now.saturating_sub(*since)));
    let lines = [Line::raw(what), Line::raw(pace), Line::default(), Line::styled(lasts, theme.dim)];
    let skip = lines.len().saturating_sub(usize::from(inner.height)).min(1);
    let lines = lines.iter().filter(|line| skip == 0 || line.width() > 0);
    for (i, line) in lines.take(usize::from(inner.height)).enumerate() {
        put(buf, Rect { y: inner.y + i as u16, height: 1, ..inner }, line);
    }
}

/// A framed window over what is there; returns what is inside the frame. In a
/// very small place there is no frame.
pub(super) fn window(scene: Scene, buf: &mut Buffer, place: Rect, title: &str, hint: &str) -> Rect {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    Clear.render(place, buf);
    buf.set_style(place, theme.text.remove_modifier(Modifier::DIM));
    if place.height < 4 || place.width < 12 {
        return place;
    }
    let block = Block::bordered().border_set(glyphs.border).border_style(theme.focus);
    let inner = block.inner(place);
    block.render(place, buf);
    let top = Rect { x: place.x + 2, width: place.width - 4, height: 1, ..place };
    let title = text::end(title, usize::from(top.width).saturating_sub(2)).into_owned();
    put(buf, top, &Line::styled(format!(" {title} "), theme.title));
    let bottom = Rect { y: place.bottom() - 1, ..top };
    if !hint.is_empty() && text::width(hint) + 2 <= usize::from(bottom.width) {
        put(buf, bottom, &Line::styled(format!(" {hint} "), theme.dim));
    }
    Rect { x: inner.x + 1, width: inner.width - 2, ..inner }
}

/// How much there is to scroll, in the lower border.
pub(super) fn draw_more(
    scene: Scene,
    buf: &mut Buffer,
    place: Rect,
    inner: Rect,
    scroll: usize,
    of: usize,
) {
    let to = (scroll + usize::from(inner.height)).min(of);
    if to - scroll.min(to) >= of || place.height < 3 || place.width < 20 {
        return;
    }
    let row = Rect { x: place.x + 2, y: place.bottom() - 1, width: place.width - 4, height: 1 };
    let label = match of - to {
        more if place.width < 60 && more > 0 => format!(" … {more} more "),
        _ => format!(" {}–{to} of {of} ", scroll + 1),
    };
    put_right(buf, row, &Line::styled(label, scene.theme().dim));
}

fn draw_lines(buf: &mut Buffer, area: Rect, lines: &[Line], scroll: usize) {
    for (i, line) in lines.iter().skip(scroll).take(usize::from(area.height)).enumerate() {
        put(buf, Rect { y: area.y + i as u16, height: 1, ..area }, line);
    }
}

pub(super) fn centred(room: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(room.width), height.min(room.height));
    Rect {
        x: room.x + (room.width - width) / 2,
        y: room.y + (room.height - height) / 2,
        width,
        height,
    }
}
