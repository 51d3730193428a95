//! Drawing: one frame from the state.
//!
//! | class | what stands where |
//! |---|---|
//! | wide, normal, small | status, tabs, peers over events in frames, hints |
//! | tiny | the same without frames; events where there are eight rows |

use std::time::Duration;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::keys;
use super::state::{App, Panel, Tab};
use crate::draw::overlays::{centred, framed};
use crate::draw::status::{Segment, draw_segments};
use crate::draw::table::{Column, Look, Row, Shown, draw_rows};
use crate::draw::{Class, force_ascii, hints, put, put_right, text};
use crate::screen::Picture;
use crate::state::TableState;
use chordal_view::registry::RegisteredPeer;
use chordal_view::text::clean;
use chordal_view::{Level, Liveness};

/// Rows between status and hints below which events have no place of their own.
const ROOM_FOR_EVENTS: u16 = 8;

/// Columns below which an event's clock has no seconds.
const NARROW: u16 = 40;

/// Cells of the keys in the help.
const KEYS: usize = 16;

impl Picture for App {
    fn paint(&mut self, frame: &mut Frame) {
        let area = frame.area();
        if !area.is_empty() {
            paint(frame.buffer_mut(), area, self);
        }
    }
}

/// Where everything stands. Every rectangle lies inside the area; some may be
/// empty.
struct Plan {
    status: Rect,
    banner: Option<Rect>,
    tabs: Option<Rect>,
    peers: Option<Rect>,
    events: Option<Rect>,
    hints: Option<Rect>,
}

fn plan(area: Rect, app: &App, class: Class) -> Plan {
    let mut rest = area;
    let top = |rest: &mut Rect| {
        let row = Rect { height: 1, ..*rest };
        rest.y += 1;
        rest.height -= 1;
        row
    };
    let status = top(&mut rest);
    let banner = (app.banner.is_some() && rest.height >= 2).then(|| top(&mut rest));
    let tabs = (app.tabs.len() > 1 && rest.height >= 3).then(|| top(&mut rest));
    let hints = (rest.height >= 4).then(|| {
        rest.height -= 1;
        Rect { y: rest.bottom(), height: 1, ..rest }
    });
    let both = !app.zoom && rest.height >= ROOM_FOR_EVENTS;
    let (peers, events) = match app.panel {
        _ if both => {
            let least = if class == Class::Tiny { 3 } else { 5 };
            let height = (rest.height * 3 / 10).max(least);
            let above = rest.height - height;
            let events = Rect { y: rest.y + above, height, ..rest };
            (Some(Rect { height: above, ..rest }), Some(events))
        }
        Panel::Peers => (Some(rest), None),
        Panel::Events => (None, Some(rest)),
    };
    Plan { status, banner, tabs, peers, events, hints }
}

fn paint(buf: &mut Buffer, area: Rect, app: &mut App) {
    let class = Class::settle(app.class, area.width, area.height);
    app.class = Some(class);
    let plan = plan(area, app, class);
    let mut table = app.tab().map(|tab| tab.table).unwrap_or_default();
    let mut help = app.help;
    buf.set_style(area, app.theme.text);
    if let Some(tab) = app.tab() {
        draw_status(app, tab, buf, plan.status);
        if let Some(place) = plan.peers {
            draw_peers(app, tab, buf, place, class, &mut table);
        }
        if let Some(place) = plan.events {
            draw_events(app, tab, buf, place, class);
        }
    }
    // Where there is no room for both, what is wrong comes first.
    draw_banner(app, buf, plan.banner.unwrap_or(plan.status));
    if let Some(place) = plan.tabs {
        draw_tabs(app, buf, place);
    }
    if let Some(place) = plan.hints {
        draw_hints(app, buf, place);
    }
    if let Some(scroll) = help {
        buf.set_style(area, Style::new().add_modifier(Modifier::DIM));
        help = Some(draw_help(app, buf, area, scroll));
    }
    if app.glyphs.ascii {
        force_ascii(buf, area);
    }
    app.help = help;
    if let Some(tab) = app.tabs.get_mut(app.shown) {
        tab.table = table;
    }
}

/// `chordal registry :5000 ●4`: for the list of windows or panes.
pub(super) fn window_title(app: &App) -> String {
    let Some(tab) = app.tab() else { return "chordal registry".to_owned() };
    let (port, peers) = (tab.snapshot.address.port(), tab.snapshot.peers.len());
    format!("chordal registry :{port} {}{peers}", app.glyphs.up)
}

fn draw_status(app: &App, tab: &Tab, buf: &mut Buffer, area: Rect) {
    let (theme, glyphs, snapshot) = (&app.theme, &app.glyphs, &tab.snapshot);
    let mut segments = Vec::new();
    let mut add = |rank: u8, right: bool, forms: Vec<(String, Style)>| {
        segments.push(Segment { forms, rank, right });
    };
    let glyph = if tab.ended { glyphs.dead } else { glyphs.me };
    let (address, port) = (snapshot.address, snapshot.address.port());
    let forms = [
        format!("{glyph} registry {address}"),
        format!("{glyph} {address}"),
        format!("{glyph} :{port}"),
    ];
    add(0, false, forms.map(|form| (form, theme.focus)).to_vec());
    if app.tabs.len() > 1 {
        let place = format!("{}/{}", app.shown + 1, app.tabs.len());
        add(4, false, vec![(place, theme.accent)]);
    }
    if tab.ended {
        add(2, false, vec![("ended".to_owned(), theme.bad)]);
    }
    let number = snapshot.peers.len() as u64;
    let peers = text::count(number, "peer");
    let late = snapshot.peers.iter().filter(|row| row.liveness != Liveness::Up).count();
    let mut forms = Vec::new();
    if late > 0 {
        forms.push((format!("{peers} · {late} suspect"), theme.warn));
    }
    forms.push((peers, theme.text));
    add(1, false, forms);
    let subscribers = text::count(snapshot.subscribers as u64, "subscriber");
    add(6, false, vec![(subscribers, theme.text)]);
    let check = Duration::from_millis(snapshot.check_ms);
    let check = if snapshot.check_ms < 1_000 {
        format!("check {} ms", snapshot.check_ms)
    } else {
        format!("check {}", text::span(check))
    };
    add(8, false, vec![(check, theme.dim)]);
    if snapshot.refused > 0 {
        add(7, false, vec![(format!("{} refused", snapshot.refused), theme.warn)]);
    }
    if let Some(frozen) = &app.frozen {
        let since = text::span(app.now.saturating_sub(frozen.since));
        let more = text::count(app.held() as u64, "event");
        add(
            3,
            true,
            vec![
                (format!(" FROZEN {since} · +{more} "), theme.chip),
                (format!(" FROZEN {since} "), theme.chip),
                (" FROZEN ".to_owned(), theme.chip),
            ],
        );
    }
    if snapshot.events_dropped > 0 {
        let lost = snapshot.events_dropped;
        add(
            9,
            true,
            vec![
                (format!("{} dropped", text::count(lost, "event")), theme.warn),
                (format!("{} {lost}", glyphs.alert), theme.warn),
            ],
        );
    }
    let uptime = text::span(Duration::from_millis(app.uptime_ms(tab)));
    add(5, true, vec![(format!("up {uptime}"), theme.dim), (uptime, theme.dim)]);
    draw_segments(buf, area, segments);
}

fn draw_banner(app: &App, buf: &mut Buffer, area: Rect) {
    let Some(fault) = &app.banner else { return };
    let style = app.theme.banner;
    buf.set_style(area, style);
    let line = format!(" {} {fault}", app.glyphs.alert);
    let line = text::end(&line, usize::from(area.width)).into_owned();
    put(buf, area, &Line::styled(line, style));
}

/// The registries in a row, in the longest form that has room; where none has,
/// as many as fit around the one that is shown.
fn draw_tabs(app: &App, buf: &mut Buffer, area: Rect) {
    let room = usize::from(area.width);
    let label = |at: usize, tab: &Tab, form: usize| {
        let (snapshot, port) = (&tab.snapshot, tab.snapshot.address.port());
        let (glyph, peers) = if tab.ended {
            (app.glyphs.dead, String::new())
        } else {
            (app.glyphs.up, snapshot.peers.len().to_string())
        };
        match form {
            0 => format!(" {} {} {glyph}{peers} ", at + 1, snapshot.address),
            1 => format!(" {} :{port} {glyph}{peers} ", at + 1),
            _ => format!(" {} ", at + 1),
        }
    };
    let all = |form| -> Vec<String> {
        app.tabs.iter().enumerate().map(|(at, tab)| label(at, tab, form)).collect()
    };
    let length = |labels: &[String]| labels.iter().map(|label| text::width(label)).sum::<usize>();
    let labels = (0..2).map(all).find(|labels| length(labels) <= room).unwrap_or_else(|| all(2));
    let (mut from, mut to) = (app.shown, app.shown + 1);
    loop {
        let before = (from > 0).then(|| from - 1);
        let after = (to < labels.len()).then(|| to + 1);
        let fits = |from: usize, to: usize| length(&labels[from..to]) <= room;
        let grown = after.filter(|to| fits(from, *to)).map(|to| (from, to));
        let grown = grown.or(before.filter(|from| fits(*from, to)).map(|from| (from, to)));
        let Some(grown) = grown else { break };
        (from, to) = grown;
    }
    let spans: Vec<Span> = (from..to)
        .map(|at| {
            let style = match (at == app.shown, app.tabs[at].ended) {
                (true, _) => app.theme.chip,
                (false, true) => app.theme.bad,
                (false, false) => app.theme.dim,
            };
            Span::styled(labels[at].clone(), style)
        })
        .collect();
    put(buf, area, &Line::from(spans));
}

fn draw_hints(app: &App, buf: &mut Buffer, area: Rect) {
    let (theme, room) = (&app.theme, usize::from(area.width));
    if let Some(message) = &app.message {
        let line = format!(" {}", text::end(message, room.saturating_sub(1)));
        put(buf, area, &Line::styled(line, theme.accent));
        return;
    }
    let hints = keys::hints(app.tabs.len());
    let mut spans = vec![Span::raw(" ")];
    for (key, what) in hints::fit(&hints, room.saturating_sub(1)) {
        spans.push(Span::styled(key.to_owned(), theme.title));
        spans.push(Span::styled(format!(" {what}  "), theme.dim));
    }
    put(buf, area, &Line::from(spans));
}

/// Draws a panel's frame and title, where there are frames; what is inside.
fn draw_frame(
    app: &App,
    buf: &mut Buffer,
    area: Rect,
    class: Class,
    panel: Panel,
    right: Option<Line<'static>>,
) {
    if class == Class::Tiny {
        return;
    }
    let (theme, glyphs) = (&app.theme, &app.glyphs);
    let focused = has_focus(app, panel);
    let (set, border, style) = if focused {
        (glyphs.focus_border, theme.focus, theme.focus)
    } else {
        (glyphs.border, theme.border, theme.title)
    };
    Block::bordered().border_set(set).border_style(border).render(area, buf);
    let name = match panel {
        Panel::Peers => "Peers",
        Panel::Events => "Events",
    };
    let mark = if focused { format!("{} ", glyphs.focus) } else { String::new() };
    let title = format!(" {mark}{name} ");
    let corner = Rect { x: area.x + 2, width: area.width.saturating_sub(4), height: 1, ..area };
    let corner = corner.intersection(area);
    let room = usize::from(corner.width);
    put(buf, corner, &Line::styled(text::end(&title, room).into_owned(), style));
    if let Some(right) = right.filter(|line| text::width(&title) + line.width() + 4 <= room) {
        put_right(buf, corner, &right);
    }
}

fn inner(area: Rect, class: Class) -> Rect {
    if class == Class::Tiny { area } else { Block::bordered().inner(area) }
}

fn has_focus(app: &App, panel: Panel) -> bool {
    app.panel == panel && app.help.is_none()
}

const COLUMNS: [Column; 7] = [
    Column::new("", 1, 1, 1),
    Column::new("peer", 14, 40, 0),
    Column::new("state", 7, 7, 4),
    Column::new("ring", 7, 24, 3),
    Column::new("place", 6, 6, 6),
    Column::new("on the list", 11, 11, 5).right(),
    Column::new("checked", 8, 11, 2).right(),
];

fn draw_peers(
    app: &App,
    tab: &Tab,
    buf: &mut Buffer,
    area: Rect,
    class: Class,
    table: &mut TableState,
) {
    let rows = tab.snapshot.peers.as_slice();
    let place = inner(area, class);
    if rows.is_empty() {
        draw_frame(app, buf, area, class, Panel::Peers, None);
        let (what, next) = if tab.ended {
            ("This registry has ended".to_owned(), String::new())
        } else {
            let next = format!("start nodes with: chordal --seed {}", tab.snapshot.address);
            ("Nobody is on the list yet".to_owned(), next)
        };
        draw_empty(app, buf, place, &what, &next);
        return;
    }
    let look =
        Look { theme: &app.theme, glyphs: &app.glyphs, focused: has_focus(app, Panel::Peers) };
    let (uptime, unix_s) = (app.uptime_ms(tab), app.moment_unix_s());
    let row = |at: usize, _: &[u16]| peer_row(app, &rows[at], uptime, unix_s, tab.ended);
    let shown = draw_rows(look, buf, place, &COLUMNS, rows.len(), table, row);
    let part = Some(shown).filter(Shown::is_part).map(|shown| {
        let label = format!(" {}–{} of {} ", shown.from + 1, shown.to, shown.of);
        Line::styled(label, app.theme.dim)
    });
    draw_frame(app, buf, area, class, Panel::Peers, part);
}

fn peer_row(app: &App, row: &RegisteredPeer, uptime: u64, unix_s: u64, ended: bool) -> Row {
    let theme = &app.theme;
    let style = theme.liveness(row.liveness);
    let word = match (row.liveness, row.checked_ms) {
        (Liveness::Up, _) => "up",
        (Liveness::Suspect, None) => "unseen",
        (Liveness::Suspect, Some(_)) => "suspect",
        (Liveness::Dead, _) => "dead",
    };
    let checked = match row.checked_ms {
        Some(then) => {
            let ago = Duration::from_millis(uptime.saturating_sub(then));
            format!("{} ago", text::span(ago))
        }
        None => "never".to_owned(),
    };
    let since = text::span(Duration::from_secs(unix_s.saturating_sub(row.since_unix_s)));
    let (place, place_style) =
        if row.member { ("member", theme.text) } else { ("alone", theme.dim) };
    Row {
        cells: vec![
            Line::styled(app.glyphs.liveness(row.liveness), style),
            Line::styled(row.peer.to_string(), theme.text),
            Line::styled(word, style),
            Line::styled(clean(&row.ring).into_owned(), theme.text),
            Line::styled(place, place_style),
            Line::styled(since, theme.dim),
            Line::styled(checked, theme.dim),
        ],
        dim: ended,
    }
}

/// As many events as there are rows, the newest at the bottom.
fn draw_events(app: &App, tab: &Tab, buf: &mut Buffer, area: Rect, class: Class) {
    let theme = &app.theme;
    let right = match tab.scrolled {
        0 => Line::styled(" UTC · following ", theme.dim),
        below => {
            let label = format!(" {} {below} below ", app.glyphs.down_arrow);
            Line::styled(label, theme.accent)
        }
    };
    draw_frame(app, buf, area, class, Panel::Events, Some(right));
    let place = inner(area, class);
    if tab.events.is_empty() {
        draw_empty(app, buf, place, "Nothing has happened yet", "who comes and goes shows here");
        return;
    }
    let height = usize::from(place.height);
    let to = tab.events.len().saturating_sub(tab.scrolled).max(height.min(tab.events.len()));
    let from = to.saturating_sub(height);
    for (line, event) in tab.events.range(from..to).enumerate() {
        let style = match event.level {
            Level::Detail => theme.dim,
            Level::Traffic | Level::Info => theme.text,
            Level::Warn => theme.warn,
            Level::Error => theme.bad,
        };
        let clock = text::clock(event.unix_ms);
        let clock = if place.width < NARROW { &clock[..5] } else { clock.as_str() };
        let glyph = app.glyphs.level(event.level);
        let used = text::width(clock) + 4;
        let room = usize::from(place.width).saturating_sub(used + 1);
        let spans = vec![
            Span::styled(format!(" {clock} "), theme.dim),
            Span::styled(glyph, theme.level(event.level)),
            Span::styled(format!(" {}", text::end(&event.text, room)), style),
        ];
        let row = Rect { y: place.y + line as u16, height: 1, ..place };
        put(buf, row, &Line::from(spans));
    }
}

/// A few lines in the middle: what an empty panel says.
fn draw_empty(app: &App, buf: &mut Buffer, area: Rect, what: &str, next: &str) {
    let room = usize::from(area.width.saturating_sub(2));
    let mut lines: Vec<Line> = Vec::new();
    for (words, style) in [(what, app.theme.text), (next, app.theme.dim)] {
        let wrapped = text::wrap(words, room);
        lines.extend(wrapped.into_iter().map(|line| Line::styled(line, style)));
    }
    lines.truncate(usize::from(area.height));
    let top = (area.height - lines.len() as u16) / 2;
    for (at, line) in (0..).zip(&lines) {
        let left = area.width.saturating_sub(line.width() as u16) / 2;
        let (x, width) = (area.x + left, area.width - left);
        put(buf, Rect { x, y: area.y + top + at, width, height: 1 }, line);
    }
}

/// The list of keys over everything; the scroll position inside it.
fn draw_help(app: &App, buf: &mut Buffer, area: Rect, scroll: usize) -> usize {
    let theme = &app.theme;
    let list = keys::list();
    let place = centred(area, 60, list.len() as u16 + 2);
    let inner = framed(theme, &app.glyphs, buf, place, "Keys", "↑ ↓ scroll · Esc closes");
    let scroll = scroll.min(list.len().saturating_sub(usize::from(inner.height)));
    let room = usize::from(inner.width).saturating_sub(KEYS);
    let seen = list.iter().skip(scroll).take(usize::from(inner.height));
    for (at, (keys, what)) in (0..).zip(seen) {
        let line = Line::from(vec![
            Span::styled(format!("{keys:KEYS$}"), theme.accent),
            Span::styled(text::end(what, room), theme.text),
        ]);
        put(buf, Rect { y: inner.y + at, height: 1, ..inner }, &line);
    }
    scroll
}
