//! Running and recent transfers.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::table::{self, Column, Row, Shown, Table};
use super::{Scene, put_empty, text};
use crate::ui::state::{Panel, TableState};
use crate::view::{TransferKind, TransferRow, TransferState};

/// `1 running`.
pub(super) fn summary(scene: Scene) -> Line<'static> {
    let running = scene.snapshot.transfers.iter().filter(|row| is_running(row)).count();
    match running {
        0 => Line::default(),
        n => Line::styled(format!("{n} running"), scene.theme().dim),
    }
}

/// Draws one row for each transfer; those that ended are dim.
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
) -> Option<Shown> {
    let (theme, snapshot) = (scene.theme(), scene.snapshot);
    let transfers = &snapshot.transfers;
    if transfers.is_empty() {
        put_empty(scene, buf, area, "No transfers", "put PATH and get NAME start one");
        return None;
    }
    let columns = [
        Column::new("#", 2, 3, 7).right(),
        Column::new("name", 12, 18, 0).grows(),
        Column::new("what", 7, 7, 5),
        Column::new("", 5, 12, 3),
        Column::new("%", 4, 4, 1).right(),
        Column::new("rate", 8, 9, 4).right(),
        Column::new("eta", 4, 7, 2).right(),
        Column::new("peers", 8, 11, 8),
        Column::new("state", 9, 16, 6).grows(),
    ];
    let rows = transfers.len();
    let table = Table { focus: scene.has_focus(Panel::Transfers), columns: &columns, rows };
    let shown = table::draw(scene, buf, area, table, state, |i, widths| {
        let row = &transfers[i];
        let running = is_running(row);
        let (glyph, style) = glyph(scene, row);
        let name = usize::from(widths[1]).saturating_sub(2);
        let number = match row.state {
            TransferState::Running => text::rate(row.rate),
            // The bytes are there; the copies are counted beside it.
            TransferState::Securing { .. } => "copies".to_owned(),
            _ => text::size(row.total),
        };
        Row {
            cells: vec![
                Line::styled(row.number.to_string(), theme.dim),
                Line::from(vec![
                    Span::styled(glyph, style),
                    Span::raw(" "),
                    Span::raw(text::middle(&row.name, name).into_owned()),
                ]),
                Line::styled(kind(row.kind), theme.dim),
                bar(scene, row, style, widths[3]),
                Line::raw(format!("{}%", percent(row))),
                Line::raw(number),
                Line::raw(if running { eta(row) } else { String::new() }),
                Line::styled(peers(scene, row), theme.dim),
                Line::styled(
                    text::end(&word(row), usize::from(widths[8])).into_owned(),
                    if running { theme.text } else { style },
                ),
            ],
            dim: !running && !matches!(row.state, TransferState::Failed(_)),
        }
    });
    Some(shown)
}

/// Whether it goes on.
pub(super) const fn is_running(row: &TransferRow) -> bool {
    matches!(row.state, TransferState::Running | TransferState::Securing { .. })
}

/// The glyph of a transfer's state.
pub(super) fn glyph(scene: Scene, row: &TransferRow) -> (&'static str, Style) {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    match &row.state {
        TransferState::Running => (glyphs.running, theme.accent),
        TransferState::Securing { .. } => (scene.wheel(), theme.accent),
        TransferState::Done => (glyphs.done, theme.good),
        TransferState::Failed(_) => (glyphs.dead, theme.bad),
        TransferState::Cancelled => (glyphs.stopped, theme.dim),
    }
}

/// Whole percents, 100 only when all is there: also when nothing had to move,
/// because the others had the content already.
pub(super) fn percent(row: &TransferRow) -> u64 {
    match row.total {
        0 => 100,
        _ if row.state == TransferState::Done => 100,
        total => (u128::from(row.done) * 100 / u128::from(total)).min(100) as u64,
    }
}

/// The time that is left at the present rate; the copies, once all bytes moved.
pub(super) fn eta(row: &TransferRow) -> String {
    if let TransferState::Securing { copies, wanted } = row.state {
        return format!("{copies}/{wanted}");
    }
    let left = row.total.saturating_sub(row.done);
    match left.checked_div(row.rate) {
        _ if left == 0 => String::new(),
        None => "—".to_owned(),
        Some(seconds) if seconds < 360_000 => text::span(Duration::from_secs(seconds.max(1))),
        Some(_) => "days".to_owned(),
    }
}

fn took(row: &TransferRow) -> String {
    row.ended_ms.map_or_else(String::new, |end| {
        text::span(Duration::from_millis(end.saturating_sub(row.started_ms)))
    })
}

const fn kind(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::Download => "get",
        TransferKind::Upload => "put",
        TransferKind::Copy => "copy",
        TransferKind::Serve => "serve",
        TransferKind::Receive => "receive",
        TransferKind::Hash => "hash",
    }
}

fn word(row: &TransferRow) -> String {
    match &row.state {
        TransferState::Running => "running".to_owned(),
        TransferState::Securing { copies, wanted } => format!("{copies}/{wanted} copies"),
        TransferState::Done => format!("done in {}", took(row)),
        TransferState::Failed(why) => format!("failed: {why}"),
        TransferState::Cancelled => "cancelled".to_owned(),
    }
}

fn peers(scene: Scene, row: &TransferRow) -> String {
    let short = |(address, _): &(std::net::SocketAddr, u64)| {
        if address.ip() == scene.snapshot.me.address().ip() {
            format!(":{}", address.port())
        } else {
            address.to_string()
        }
    };
    match row.peers.as_slice() {
        [] => String::new(),
        [one] => short(one),
        [one, more @ ..] => format!("{} +{}", short(one), more.len()),
    }
}

fn bar(scene: Scene, row: &TransferRow, style: Style, width: u16) -> Line<'static> {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    let full = u64::from(width) * percent(row) / 100;
    let empty = u64::from(width) - full;
    Line::from(vec![
        Span::styled(glyphs.full.repeat(full as usize), style),
        Span::styled(glyphs.empty.repeat(empty as usize), theme.dim),
    ])
}
