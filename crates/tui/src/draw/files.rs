//! The files held here for the ring, and those shared from here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::scene::{Scene, put_empty};
use super::table::{self, Column, Row, Shown, Table};
use super::text;
use crate::panel::{Panel, TableState};
use chordal_view::{CopyHealth, FileRow, Role, Unwell};

/// Cells of a bar of copies, at most.
const BAR: u8 = 5;

/// `12 files · 34 MB · 3 shared · 1 repairing`.
pub(super) fn summary(scene: Scene) -> Line<'static> {
    let files = &scene.snapshot.files;
    if files.is_empty() {
        return Line::default();
    }
    let count = text::count(files.len() as u64, "file");
    let sharing = &scene.snapshot.sharing;
    let shared = match (sharing.files, sharing.hashing) {
        (0, 0) => String::new(),
        (shared, 0) => format!(" · {shared} shared"),
        // They are offered when they are hashed.
        (shared, more) => format!(" · {shared} shared, {more} hashing"),
    };
    let mut line =
        Line::styled(format!("{count} · {}{shared}", text::size(files.bytes())), scene.theme().dim);
    if let Some((words, style)) = unwell(scene).into_iter().next() {
        line.push_span(Span::raw(" · "));
        line.push_span(Span::styled(words, style));
    }
    line
}

/// Draws one row for each file.
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
) -> Option<Shown> {
    let (theme, snapshot) = (scene.theme(), scene.snapshot);
    let files = &snapshot.files;
    if files.is_empty() {
        let next = match scene.snapshot.simulation {
            None => "put PATH stores one on the ring, share PATH offers one from here",
            Some(_) => "put NAME stores a made-up one on the simulated ring",
        };
        put_empty(scene, buf, area, "No files here yet", next);
        return None;
    }
    let ids = (text::width(&snapshot.space.show(snapshot.space.last())) as u16).min(16);
    let columns = [
        Column::new("name", 14, 16, 0).grows(),
        Column::new("key", ids.clamp(3, 8), ids.max(3), 4).right(),
        Column::new("role", 7, 7, 3),
        Column::new("size", 7, 7, 2).right(),
        Column::new("copies", 7, 17, 1),
    ];
    let table =
        Table { focus: scene.has_focus(Panel::Files), columns: &columns, rows: files.len() };
    let shown = table::draw(scene, buf, area, table, state, |i, widths| {
        let file = &files[i];
        Row {
            cells: vec![
                Line::raw(file.name.as_str().to_owned()),
                Line::styled(snapshot.space.show(file.key), theme.key),
                Line::styled(role(file.role), theme.dim),
                Line::raw(text::size(file.size)),
                match file.role {
                    Role::Shared => sources(scene, file, widths[4]),
                    Role::Owner | Role::Replica => copies(scene, file, widths[4]),
                },
            ],
            dim: false,
        }
    });
    Some(shown)
}

const fn role(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Replica => "replica",
        Role::Shared => "shared",
    }
}

/// `● 3 sources`: the nodes that share a file, this one included.
fn sources(scene: Scene, file: &FileRow, room: u16) -> Line<'static> {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    let word = text::count(u64::from(file.copies), "source");
    let word = if text::width(&word) + 2 <= usize::from(room) {
        word
    } else {
        // The word that tells it from copies, as much of it as fits.
        format!("{} src", file.copies)
    };
    Line::from(vec![Span::styled(glyphs.up, theme.key), Span::raw(format!(" {word}"))])
}

fn style(scene: Scene, health: CopyHealth) -> Style {
    match health {
        CopyHealth::Ok => scene.theme().good,
        CopyHealth::Repairing | CopyHealth::NeedsRoom => scene.theme().warn,
        CopyHealth::Counting => scene.theme().dim,
        CopyHealth::AtRisk => scene.theme().bad,
    }
}

/// `2 repairing · 1 at risk`, then the worse of both alone; nothing when every
/// file is well.
pub(super) fn unwell(scene: Scene) -> Vec<(String, Style)> {
    let Unwell { repairing, needs_room, at_risk } = scene.snapshot.files.unwell();
    let words = [
        (repairing, CopyHealth::Repairing),
        (needs_room, CopyHealth::NeedsRoom),
        (at_risk, CopyHealth::AtRisk),
    ];
    let said: Vec<(String, Style)> = words
        .into_iter()
        .filter(|(files, _)| *files > 0)
        .map(|(files, health)| (format!("{files} {}", health.word()), style(scene, health)))
        .collect();
    let Some(worst) = said.last().cloned() else { return Vec::new() };
    let all: Vec<_> = said.iter().map(|(words, _)| words.as_str()).collect();
    let mut forms = vec![(all.join(" · "), worst.1), worst];
    forms.dedup();
    forms
}

/// `███ 3/3 ok`; without the word when there is no room.
fn copies(scene: Scene, file: &FileRow, room: u16) -> Line<'static> {
    let glyphs = scene.glyphs();
    let (have, wanted) = (file.copies, file.wanted.max(1));
    let health = file.health().unwrap_or(CopyHealth::Ok);
    let (word, style) = (health.word(), style(scene, health));
    let cells = wanted.min(BAR);
    let full = u16::from(have.min(wanted)) * u16::from(cells) / u16::from(wanted);
    let empty = u16::from(cells) - full;
    let bar = glyphs.full.repeat(usize::from(full)) + &glyphs.empty.repeat(usize::from(empty));
    let long = format!("{bar} {have}/{wanted} {word}");
    if text::width(&long) <= usize::from(room) {
        Line::from(vec![
            Span::styled(bar, style),
            Span::raw(format!(" {have}/{wanted} ")),
            Span::styled(word, style),
        ])
    } else if text::width(&bar) + 4 <= usize::from(room) {
        Line::from(vec![Span::styled(bar, style), Span::raw(format!(" {have}/{wanted}"))])
    } else {
        Line::styled(format!("{have}/{wanted}"), style)
    }
}
