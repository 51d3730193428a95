//! Running and recent transfers.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::scene::{Scene, put, put_empty};
use super::table::{self, Column, Row, Shown, Table};
use super::text;
use crate::panel::{Panel, TableState};
use chordal_core::peer::Party;
use chordal_view::{FileCount, Snapshot, TransferKind, TransferRow, TransferState, transfers};

/// Rows from which the selected transfer's sources are shown below the table.
const DETAILED: u16 = 10;

/// Milliseconds after its start from which a transfer whose rate is 0 stands
/// still: before that it has hardly begun.
const STALLED_MS: u64 = 3_000;

/// Cells of the bar of a source's share.
const SHARE_BAR: u16 = 20;

/// `1 running · 2 queued · 1 paused · at most ↓ 1.0 MB/s`, or less where there is no
/// room.
pub(super) fn summary(scene: Scene, room: usize) -> Line<'static> {
    let rows = &scene.snapshot.transfers;
    // A directory and its files at work are one.
    let count = |wanted: fn(&TransferRow) -> bool| {
        rows.iter().filter(|row| row.part_of.is_none() && wanted(row)).count()
    };
    let counts = [
        (count(is_running), "running"),
        (count(|row| row.state == TransferState::Queued), "queued"),
        (count(|row| row.state == TransferState::Paused), "paused"),
        (count(|row| row.state == TransferState::Waiting), "waiting for a source"),
    ];
    let words: Vec<String> =
        counts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
    let (limits, glyphs) = (scene.snapshot.limits, scene.glyphs());
    let ways = [(glyphs.up_arrow, limits.up), (glyphs.down_arrow, limits.down)];
    let ways = ways.iter().filter_map(|(arrow, limit)| {
        limit.map(|limit| format!("{arrow} {}", text::rate(limit).trim_start()))
    });
    let ways: Vec<String> = ways.collect();
    let most = (!ways.is_empty()).then(|| ways.join(" "));
    let with = |words: &[String], most: Option<String>| {
        words.iter().cloned().chain(most).collect::<Vec<_>>().join(" · ")
    };
    let forms = [
        with(&words, most.clone().map(|most| format!("at most {most}"))),
        with(&words[..words.len().min(1)], most.map(|most| format!("at most {most}"))),
        with(&words, None),
    ];
    let fits = forms.iter().position(|form| text::width(form) <= room).unwrap_or(forms.len() - 1);
    Line::styled(forms[fits].clone(), scene.theme().dim)
}

/// Draws one row for each transfer; those that ended are dim.
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
) -> Option<Shown> {
    let (theme, snapshot) = (scene.theme(), scene.snapshot);
    let transfers = transfers::listed(&snapshot.transfers);
    if transfers.is_empty() {
        put_empty(scene, buf, area, "No transfers", "put PATH and get NAME start one");
        return None;
    }
    // A number that is cut cannot be typed.
    let digits = transfers.iter().map(|row| row.number.to_string().len()).max().unwrap_or(0) as u16;
    // Wide enough for the words that stand there where there is no other room.
    let least = if transfers.iter().any(|row| !short_word(row).is_empty()) { 6 } else { 4 };
    let columns = [
        Column::new("#", digits.max(2), digits.max(3), 7).right(),
        Column::new("name", 12, 18, 0).grows(),
        Column::new("what", 7, 7, 5),
        Column::new("", 5, 12, 3),
        Column::new("%", 4, 4, 1).right(),
        Column::new("rate", 8, 9, 4).right(),
        Column::new("eta", least, 7, 2).right(),
        Column::new("with", 8, 20, 8).grows(),
        Column::new("state", 9, 16, 6).grows(),
    ];
    let rows = transfers.len();
    let (area, below) = divide(scene, area, rows);
    let table = Table { focus: scene.has_focus(Panel::Transfers), columns: &columns, rows };
    let shown = table::draw(scene, buf, area, table, state, |i, widths| {
        let row = transfers[i];
        let (running, waits) = (is_running(row), waits(row));
        let (glyph, style) = glyph(scene, row);
        let indent = if row.part_of.is_some() { "  " } else { "" };
        let name = usize::from(widths[1]).saturating_sub(2 + indent.len());
        let number = match row.state {
            TransferState::Running => text::rate(row.rate),
            // Where there is no column for it.
            _ if !short_word(row).is_empty() && widths[8] == 0 => short_word(row).to_owned(),
            // The bytes are there; the copies are counted beside it.
            TransferState::Securing { .. } => "copies".to_owned(),
            _ => text::size(row.total),
        };
        Row {
            cells: vec![
                Line::styled(row.number.to_string(), theme.dim),
                Line::from(vec![
                    Span::raw(indent),
                    Span::styled(glyph, style),
                    Span::raw(" "),
                    Span::raw(text::middle(&row.name, name).into_owned()),
                ]),
                Line::styled(kind(row.kind), theme.dim),
                bar(scene, row, style, widths[3]),
                Line::raw(format!("{}%", percent(row))),
                Line::raw(number),
                Line::raw(match &row.state {
                    _ if running => eta(row),
                    // Where the glyph alone would say it.
                    _ if widths[5] == 0 => short_word(row).to_owned(),
                    _ => String::new(),
                }),
                Line::styled(peers(scene, row, usize::from(widths[7])), theme.dim),
                Line::styled(
                    state_within(snapshot, row, usize::from(widths[8])),
                    if running { theme.text } else { style },
                ),
            ],
            dim: !running && !waits && !matches!(row.state, TransferState::Failed(_)),
        }
    });
    if let (Some(below), Some(&row)) = (below, transfers.get(state.selected)) {
        draw_sources(scene, buf, below, row);
    }
    Some(shown)
}

/// In a panel that fills the screen the lower part shows where the bytes of the
/// selected transfer come from, or go.
fn divide(scene: Scene, area: Rect, rows: usize) -> (Rect, Option<Rect>) {
    if !scene.app.zoom || area.height < DETAILED {
        return (area, None);
    }
    let lines = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    // As many as any transfer has, so that the table keeps its height while one
    // row after the other is looked at.
    let sides = scene.snapshot.transfers.iter().map(|row| row.peers.len()).max();
    // A line between them, and the title.
    let details = lines(sides.unwrap_or(0).max(1)).saturating_add(2).min(area.height / 2);
    let table = lines(rows + 1).max(table::TITLED).min(area.height - details);
    let below = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        y: area.y + table + 1,
        height: area.height - table - 1,
    };
    (Rect { height: table, ..area }, Some(below))
}

/// One line for each side, with its share of the bytes.
fn draw_sources(scene: Scene, buf: &mut Buffer, area: Rect, row: &TransferRow) {
    let theme = scene.theme();
    let way = match row.kind {
        TransferKind::Download | TransferKind::Copy | TransferKind::Receive => "from",
        TransferKind::Upload | TransferKind::Serve => "to",
        TransferKind::Hash => "read here",
    };
    let nodes = row.peers.iter().filter(|(party, _)| party.node().is_some()).count();
    let sides = match row.peers.len() {
        _ if row.kind == TransferKind::Hash => String::new(),
        0 => " nobody yet".to_owned(),
        // A client has a connection for itself.
        _ if nodes == 0 => " a client".to_owned(),
        _ => format!(" {}", text::count(nodes as u64, "node")),
    };
    let size = text::size(row.total);
    let title = format!("#{} {} · {size} {way}{sides}", row.number, row.name);
    let title = text::middle(&title, usize::from(area.width)).into_owned();
    put(buf, area, &Line::styled(title, theme.title));
    let room = usize::from(area.height.saturating_sub(1));
    let names: Vec<String> =
        row.peers.iter().take(room).map(|(party, _)| party.to_string()).collect();
    let widest = names.iter().map(|name| text::width(name)).max().unwrap_or(0);
    for (i, (name, (_, bytes))) in names.iter().zip(&row.peers).enumerate() {
        let (share, line) = (share(row, *bytes), usize::from(area.y) + i + 1);
        let full = (u64::from(SHARE_BAR) * share / 100) as usize;
        let pad = " ".repeat(widest - text::width(name));
        let spans = vec![
            Span::raw(format!("  {name}{pad}  ")),
            Span::styled(scene.glyphs().full.repeat(full), theme.accent),
            Span::styled(scene.glyphs().empty.repeat(usize::from(SHARE_BAR) - full), theme.dim),
            Span::raw(format!(" {share:>3}%  ")),
            Span::styled(format!("{:>7}", text::size(*bytes)), theme.dim),
        ];
        put(buf, Rect { y: line as u16, height: 1, ..area }, &Line::from(spans));
    }
}

/// Whole percents of all bytes that moved.
fn share(row: &TransferRow, bytes: u64) -> u64 {
    let all: u128 = row.peers.iter().map(|(_, bytes)| u128::from(*bytes)).sum();
    (u128::from(bytes) * 100).checked_div(all).unwrap_or(0) as u64
}

/// Whether it waits: for its turn, for its user, or for a source.
const fn waits(row: &TransferRow) -> bool {
    matches!(row.state, TransferState::Queued | TransferState::Paused | TransferState::Waiting)
}

/// Whether it should move and does not.
fn is_stalled(snapshot: &Snapshot, row: &TransferRow) -> bool {
    let since = snapshot.uptime_ms.saturating_sub(row.started_ms);
    row.state == TransferState::Running
        && row.rate == 0
        && row.done < row.total
        && since >= STALLED_MS
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
        TransferState::Queued => (glyphs.queued, theme.dim),
        TransferState::Paused => (glyphs.paused, theme.warn),
        TransferState::Waiting => (glyphs.suspect, theme.warn),
        TransferState::Securing { .. } => (scene.wheel(), theme.accent),
        TransferState::Done => (glyphs.done, theme.good),
        TransferState::Failed(_) => (glyphs.dead, theme.bad),
        TransferState::Cancelled => (glyphs.stopped, theme.dim),
    }
}

/// Whole percents, 100 only when all is there: also when nothing had to move,
/// because the others had the content already. Until the size is known nothing
/// is there. What has failed or was cancelled lacks something, however many bytes
/// came; what was served may have been a part.
pub(super) fn percent(row: &TransferRow) -> u64 {
    match row.total {
        _ if row.state == TransferState::Done && row.kind != TransferKind::Serve => 100,
        0 if matches!(row.state, TransferState::Securing { .. }) => 100,
        0 => 0,
        total => {
            let most = match row.state {
                TransferState::Failed(_) | TransferState::Cancelled => 99,
                _ => 100,
            };
            (u128::from(row.done) * 100 / u128::from(total)).min(most) as u64
        }
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

/// `12/40 files, 1 failed`.
fn file_count(files: FileCount) -> String {
    let failed = match files.failed {
        0 => String::new(),
        n => format!(", {n} failed"),
    };
    format!("{}/{} files{failed}", files.done, files.total)
}

/// The state in one word where there is room for no more; nothing where the numbers
/// say it.
const fn short_word(row: &TransferRow) -> &'static str {
    match row.state {
        TransferState::Queued => "queued",
        TransferState::Paused => "paused",
        TransferState::Waiting => "waits",
        TransferState::Failed(_) => "failed",
        TransferState::Cancelled => "cancel",
        TransferState::Running | TransferState::Securing { .. } | TransferState::Done => "",
    }
}

/// The state in so many columns: of a reason, as much as fits.
fn state_within(snapshot: &Snapshot, row: &TransferRow, width: usize) -> String {
    let word = word(snapshot, row);
    let whole = text::width(&word) <= width;
    match row.state {
        TransferState::Waiting if !whole => short_word(row).to_owned(),
        _ => text::end(&word, width).into_owned(),
    }
}

fn word(snapshot: &Snapshot, row: &TransferRow) -> String {
    match &row.state {
        TransferState::Queued => "queued".to_owned(),
        TransferState::Running if is_stalled(snapshot, row) => "stalled".to_owned(),
        TransferState::Running => row.files.map_or_else(|| "running".to_owned(), file_count),
        TransferState::Done if row.files.is_some() => {
            format!("{} in {}", row.files.map(file_count).unwrap_or_default(), took(row))
        }
        TransferState::Paused => "paused".to_owned(),
        TransferState::Waiting => "waiting for a source".to_owned(),
        TransferState::Securing { copies, wanted } => format!("{copies}/{wanted} copies"),
        TransferState::Done => format!("done in {}", took(row)),
        TransferState::Failed(why) => format!("failed: {why}"),
        TransferState::Cancelled => "cancelled".to_owned(),
    }
}

/// `:2004`, or `client`, with the host where it is another one.
fn short(scene: Scene, party: Party) -> String {
    let here = scene.snapshot.me.address().ip();
    match party {
        Party::Node(address) if address.ip() == here => format!(":{}", address.port()),
        Party::Node(address) => address.to_string(),
        Party::Client(host) if host == here => "client".to_owned(),
        Party::Client(host) => format!("client {host}"),
    }
}

/// The other sides, those with the most bytes first, with their share where
/// there are several: `:2004 68% :2001 32%`.
fn peers(scene: Scene, row: &TransferRow, room: usize) -> String {
    let short = |party: Party| short(scene, party);
    if let [(one, _)] = row.peers.as_slice() {
        return short(*one);
    }
    let mut order = row.peers.clone();
    order.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    let mut shown = String::new();
    for (i, &(party, bytes)) in order.iter().enumerate() {
        let next = format!("{} {}%", short(party), share(row, bytes));
        let left = order.len() - i;
        let rest = if left > 1 { 1 + format!("+{}", left - 1).len() } else { 0 };
        if i > 0 && text::width(&shown) + 1 + text::width(&next) + rest > room {
            shown.push_str(" +");
            shown.push_str(&left.to_string());
            break;
        }
        let next = if i == 0 && text::width(&next) + rest > room { short(party) } else { next };
        shown.push_str(if i > 0 { " " } else { "" });
        shown.push_str(&next);
    }
    shown
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
