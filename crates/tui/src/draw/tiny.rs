//! The smallest layout: lines without boxes, for a pane among many.
//!
//! With less room rows go in this order: hints, events, transfers, neighbours,
//! the strip that stands for the ring. A focused table takes the place of the
//! events.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::circle::turn;
use super::scene::{Scene, put};
use super::{draw_content, text, transfers};
use crate::panel::{Panel, TableState};
use crate::state::Focus;
use chordal_view::{Neighbour, TransferState};

/// Draws what fits between the status and the prompt; returns where panels
/// stand.
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    body: Rect,
    tables: &mut [TableState; Panel::ALL.len()],
) -> Vec<(Panel, Rect)> {
    let panel = match scene.app.panel {
        Panel::Ring if !scene.app.zoom => Panel::Events,
        panel => panel,
    };
    let mut rest = body;
    let mut areas = Vec::new();
    if !scene.app.zoom {
        let mut row = |wanted: bool| {
            let taken = wanted && rest.height > 0;
            let place = Rect { height: u16::from(taken), ..rest };
            rest.y += place.height;
            rest.height -= place.height;
            taken.then_some(place)
        };
        if let Some(place) = row(true) {
            draw_strip(scene, buf, place);
            areas.push((Panel::Ring, place));
        }
        if let Some(place) = row(true) {
            draw_neighbours(scene, buf, place);
            areas.push((Panel::Neighbours, place));
        }
        if let Some(place) = row(!scene.snapshot.transfers.is_empty()) {
            draw_transfers(scene, buf, place);
            areas.push((Panel::Transfers, place));
        }
    }
    if rest.height >= 3 {
        rest.height -= 1;
        draw_tabs(scene, buf, Rect { y: rest.bottom(), height: 1, ..rest }, panel);
    }
    if rest.height > 0 && rest.width > 0 {
        draw_content(scene, buf, rest, panel, &mut tables[panel.index()]);
        areas.push((panel, rest));
    }
    areas
}

/// The ring as a line: `0─●──●◆●───●──────●─●──✚189─1023`.
pub(super) fn draw_strip(scene: Scene, buf: &mut Buffer, row: Rect) {
    if row.is_empty() {
        return;
    }
    let (theme, glyphs, snapshot) = (scene.theme(), scene.glyphs(), scene.snapshot);
    let space = snapshot.space;
    let last = text::middle(&space.show(space.last()), 6).into_owned();
    let ends = 1 + text::width(&last) as u16;
    let (from, cells) =
        if row.width > ends + 8 { (row.x + 1, row.width - ends) } else { (row.x, row.width) };
    let line = Line::styled(glyphs.line.repeat(usize::from(row.width)), theme.border);
    put(buf, row, &line);
    if cells < row.width {
        put(buf, row, &Line::styled("0", theme.dim));
        put(
            buf,
            Rect { x: from + cells, width: row.right() - from - cells, ..row },
            &Line::styled(last, theme.dim),
        );
    }
    let at = |id| from + ((turn(space, id) * f64::from(cells)) as u16).min(cells.saturating_sub(1));
    let mut mark = |x: u16, glyph: &str, style: Style| {
        let cell = &mut buf[(x, row.y)];
        cell.reset();
        cell.set_symbol(glyph).set_style(style);
    };
    for member in &snapshot.members {
        let style = theme.liveness(member.liveness);
        mark(at(member.peer.id(space)), glyphs.liveness(member.liveness), style);
    }
    for near in snapshot.successors.iter().rev().chain(&snapshot.predecessor) {
        let style = theme.liveness(near.liveness);
        mark(at(near.peer.id(space)), glyphs.liveness(near.liveness), style);
    }
    let me = at(snapshot.me.id(space));
    mark(me, glyphs.me, theme.focus);
    let Some(lookup) = &snapshot.lookup else { return };
    let x = at(lookup.key);
    let style = theme.key.add_modifier(Modifier::BOLD);
    mark(x, glyphs.key, if x == me { theme.focus } else { style });
    let label = space.show(lookup.key);
    let width = text::width(&label) as u16;
    // The number only where it covers no node.
    let place = Rect { x: x + 1, width, ..row };
    let free =
        place.right() < from + cells && place.positions().all(|p| buf[p].symbol() == glyphs.line);
    if free {
        put(buf, place, &Line::styled(label, theme.key));
    }
}

/// `pred 48 ●  succ 495 ● 833 ◌`.
fn draw_neighbours(scene: Scene, buf: &mut Buffer, row: Rect) {
    let (theme, glyphs, snapshot) = (scene.theme(), scene.glyphs(), scene.snapshot);
    if snapshot.predecessor.is_none() && snapshot.successors.is_empty() {
        let (what, next) = super::neighbours::no_neighbours(snapshot.membership, scene.app.lab);
        let mut line =
            Line::from(vec![Span::raw(what), Span::styled(format!(" — {next}"), theme.dim)]);
        if line.width() > usize::from(row.width) {
            line.spans.truncate(1);
        }
        return put(buf, row, &line);
    }
    let one = |near: &Neighbour| {
        let id = snapshot.space.show(near.peer.id(snapshot.space));
        let style = theme.liveness(near.liveness);
        [
            Span::raw(format!("{} ", text::middle(&id, 8))),
            Span::styled(format!("{} ", glyphs.liveness(near.liveness)), style),
        ]
    };
    let mut spans = Vec::new();
    if let Some(predecessor) = &snapshot.predecessor {
        spans.push(Span::styled("pred ", theme.dim));
        spans.extend(one(predecessor));
        spans.push(Span::raw(" "));
    }
    let before = spans.len();
    spans.push(Span::styled("succ ", theme.dim));
    let mut used: usize = spans.iter().map(Span::width).sum();
    for successor in &snapshot.successors {
        let pair = one(successor);
        used += pair.iter().map(Span::width).sum::<usize>();
        if used > usize::from(row.width) + 1 {
            break;
        }
        spans.extend(pair);
    }
    if spans.len() == before + 1 {
        spans.pop();
    }
    put(buf, row, &Line::from(spans));
}

/// `▶ a.iso 61% 4s   ✓2 ✕0`.
fn draw_transfers(scene: Scene, buf: &mut Buffer, row: Rect) {
    let (theme, glyphs, rows) = (scene.theme(), scene.glyphs(), &scene.snapshot.transfers);
    let count = |state: fn(&TransferState) -> bool| rows.iter().filter(|t| state(&t.state)).count();
    let done = count(|state| matches!(state, TransferState::Done));
    let failed = count(|state| matches!(state, TransferState::Failed(_)));
    let counts = vec![
        Span::styled(format!("{}{done} ", glyphs.done), theme.good),
        Span::styled(
            format!("{}{failed}", glyphs.dead),
            if failed > 0 { theme.bad } else { theme.dim },
        ),
    ];
    let taken: usize = counts.iter().map(Span::width).sum();
    let mut spans = Vec::new();
    if let Some(running) = rows.iter().find(|row| transfers::is_running(row)) {
        let (glyph, style) = transfers::glyph(scene, running);
        let numbers = format!(" {}% {}   ", transfers::percent(running), transfers::eta(running));
        let room = usize::from(row.width).saturating_sub(text::width(&numbers) + taken + 2);
        spans.push(Span::styled(format!("{glyph} "), style));
        spans.push(Span::raw(text::middle(&running.name, room).into_owned()));
        spans.push(Span::raw(numbers));
    }
    spans.extend(counts);
    put(buf, row, &Line::from(spans));
}

/// `1Ring 2Fingers 3Near 4Files 5Moves 6Peers 7Log ?`.
fn draw_tabs(scene: Scene, buf: &mut Buffer, row: Rect, shown: Panel) {
    let theme = scene.theme();
    let form = |name: fn(Panel) -> &'static str, only_shown: bool| {
        let mut spans = Vec::new();
        for panel in Panel::ALL {
            let style = match (panel == shown, scene.app.focus) {
                (true, Focus::Panels) => theme.focus.add_modifier(Modifier::UNDERLINED),
                (true, Focus::Prompt) => theme.title.add_modifier(Modifier::UNDERLINED),
                (false, _) => theme.dim,
            };
            if panel == shown && scene.app.focus == Focus::Panels {
                spans.push(Span::styled(scene.glyphs().focus, theme.focus));
            }
            spans.push(Span::styled((panel.index() + 1).to_string(), theme.accent));
            if panel == shown || !only_shown {
                spans.push(Span::styled(name(panel), style));
            }
            spans.push(Span::raw(" "));
        }
        spans.push(Span::styled("?", theme.title));
        Line::from(spans)
    };
    let forms = [
        form(Panel::title, false),
        form(Panel::short, false),
        form(Panel::short, true),
        form(|_| "", true),
    ];
    let room = usize::from(row.width);
    if let Some(line) = forms.iter().find(|line| line.width() <= room) {
        put(buf, row, line);
    }
}
