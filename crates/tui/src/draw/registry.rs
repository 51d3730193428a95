//! The dashboard of registries: status, a row of tabs, the list over the events, hints.
//!
//! In the tiny class there are no frames, and events only where there are eight rows.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::layout::{take_bottom, take_top};
use super::scene::{Scene, put, put_empty};
use super::status::{self, Segment};
use super::table::{self, Column, Row, Shown, Table};
use super::{Class, draw_banner, draw_panels, events, fault, hints, text};
use crate::action;
use crate::panel::{Panel, TableState};
use crate::state::NodeTab;
use chordal_view::text::clean;
use chordal_view::{Liveness, Membership, RegisteredPeer, RegistryState};

/// Rows between status and hints below which events have no place of their own.
const ROOM_FOR_EVENTS: u16 = 8;

/// Where a frame of panels stands; with less room than they need some are missing.
struct Plan {
    status: Rect,
    banner: Option<Rect>,
    tabs: Option<Rect>,
    panels: Vec<(Panel, Rect)>,
    hints: Option<Rect>,
}

fn plan(scene: Scene, area: Rect, class: Class) -> Plan {
    let mut rest = area;
    let status = take_top(&mut rest, 1);
    let banner = (fault(scene).is_some() && rest.height >= 2).then(|| take_top(&mut rest, 1));
    let tabs = (scene.app.nodes.len() > 1 && rest.height >= 3).then(|| take_top(&mut rest, 1));
    let hints = (rest.height >= 4).then(|| take_bottom(&mut rest, 1));
    let panels = if !scene.app.zoom && rest.height >= ROOM_FOR_EVENTS {
        let least = if class == Class::Tiny { 3 } else { 5 };
        let height = (rest.height * 3 / 10).max(least);
        let events = take_bottom(&mut rest, height);
        vec![(Panel::Peers, rest), (Panel::Events, events)]
    } else {
        vec![(scene.app.panel, rest)]
    };
    Plan { status, banner, tabs, panels, hints }
}

/// Draws a frame; returns where panels stand.
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    class: Class,
    tables: &mut [TableState; Panel::ALL.len()],
) -> Vec<(Panel, Rect)> {
    let plan = plan(scene, area, class);
    status::draw_segments(buf, plan.status, segments(scene));
    if class == Class::Tiny {
        for (panel, area) in &plan.panels {
            match panel {
                Panel::Events => events::draw(scene, buf, *area),
                _ => draw_list(scene, buf, *area, &mut tables[Panel::Peers.index()]),
            };
        }
    } else {
        draw_panels(scene, buf, &plan.panels, &[], false, tables);
    }
    // Where there is no room for both, what is wrong comes first.
    draw_banner(scene, buf, plan.banner.unwrap_or(plan.status));
    if let Some(place) = plan.tabs {
        draw_tabs(scene, buf, place);
    }
    if let Some(place) = plan.hints {
        draw_hints(scene, buf, place);
    }
    plan.panels
}

fn segments(scene: Scene) -> Vec<Segment> {
    let (theme, glyphs, snapshot) = (scene.theme(), scene.glyphs(), scene.snapshot);
    let Some(registry) = &snapshot.registry else { return Vec::new() };
    let mut segments = Vec::new();
    let mut add = |rank: u8, right: bool, forms: Vec<(String, Style)>| {
        segments.push(Segment { forms, rank, right });
    };
    let ended = snapshot.membership == Membership::Down;
    let glyph = if ended { glyphs.dead } else { glyphs.me };
    let (address, port) = (snapshot.me.address(), snapshot.me.address().port());
    let forms = [
        format!("{glyph} registry {address}"),
        format!("{glyph} {address}"),
        format!("{glyph} :{port}"),
    ];
    add(0, false, forms.map(|form| (form, theme.focus)).to_vec());
    let registries = scene.app.nodes.len();
    if registries > 1 {
        add(4, false, vec![(format!("{}/{registries}", scene.app.shown + 1), theme.accent)]);
    }
    if ended {
        add(2, false, vec![("ended".to_owned(), theme.bad)]);
    }
    let peers = text::count(registry.peers.len() as u64, "peer");
    let suspect = registry.peers.iter().filter(|row| row.liveness != Liveness::Up).count();
    let mut forms = vec![(peers.clone(), theme.text)];
    if suspect > 0 {
        forms.insert(0, (format!("{peers} · {suspect} suspect"), theme.warn));
    }
    add(1, false, forms);
    let subscribers = text::count(registry.subscribers as u64, "subscriber");
    add(6, false, vec![(subscribers, theme.text)]);
    let check = match registry.check_ms {
        millis @ 0..1_000 => format!("check {millis} ms"),
        millis => format!("check {}", text::span(Duration::from_millis(millis))),
    };
    add(8, false, vec![(check, theme.dim)]);
    if registry.refused > 0 {
        add(7, false, vec![(format!("{} refused", registry.refused), theme.warn)]);
    }
    if let Some(forms) = status::frozen(scene) {
        add(3, true, forms);
    }
    if let Some(forms) = status::dropped(scene) {
        add(9, true, forms);
    }
    let uptime = text::span(Duration::from_millis(scene.uptime_ms()));
    add(5, true, vec![(format!("up {uptime}"), theme.dim), (uptime, theme.dim)]);
    segments
}

/// The registries in a row, in the longest form that has room; where none has,
/// as many as fit around the one that is shown.
fn draw_tabs(scene: Scene, buf: &mut Buffer, area: Rect) {
    let (app, glyphs, room) = (scene.app, scene.glyphs(), usize::from(area.width));
    let ended = |tab: &NodeTab| tab.snapshot.membership == Membership::Down;
    let label = |at: usize, tab: &NodeTab, form: usize| {
        let address = tab.snapshot.me.address();
        let peers = tab.snapshot.registry.as_ref().map_or(0, |registry| registry.peers.len());
        let peers =
            if ended(tab) { glyphs.dead.to_owned() } else { format!("{}{peers}", glyphs.up) };
        match form {
            0 => format!(" {} {address} {peers} ", at + 1),
            1 => format!(" {} :{} {peers} ", at + 1, address.port()),
            _ => format!(" {} ", at + 1),
        }
    };
    let all = |form| -> Vec<String> {
        app.nodes.iter().enumerate().map(|(at, tab)| label(at, tab, form)).collect()
    };
    let length = |labels: &[String]| labels.iter().map(|label| text::width(label)).sum::<usize>();
    let labels = (0..2).map(all).find(|labels| length(labels) <= room).unwrap_or_else(|| all(2));
    let (mut from, mut to) = (app.shown, app.shown + 1);
    loop {
        let fits = |from: usize, to: usize| length(&labels[from..to]) <= room;
        if to < labels.len() && fits(from, to + 1) {
            to += 1;
        } else if from > 0 && fits(from - 1, to) {
            from -= 1;
        } else {
            break;
        }
    }
    let tab = |at: usize| {
        let style = match (at == app.shown, ended(&app.nodes[at])) {
            (true, _) => app.theme.chip,
            (false, true) => app.theme.bad,
            (false, false) => app.theme.dim,
        };
        Span::styled(labels[at].clone(), style)
    };
    put(buf, area, &(from..to).map(tab).collect::<Line>());
}

/// The answer to the last key, or the keys.
fn draw_hints(scene: Scene, buf: &mut Buffer, area: Rect) {
    let room = usize::from(area.width).saturating_sub(1);
    if let Some(message) = &scene.app.prompt.message {
        let line = format!(" {}", text::end(&message.text, room));
        return put(buf, area, &Line::styled(line, scene.theme().accent));
    }
    let mut spans = vec![Span::raw(" ")];
    spans.extend(hints::spans_of(scene, &hints::fit(&action::hints(scene.app), room)));
    put(buf, area, &Line::from(spans));
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

/// Draws the list of a registry.
pub(super) fn draw_list(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
) -> Option<Shown> {
    let RegistryState { peers, .. } = scene.snapshot.registry.as_ref()?;
    if peers.is_empty() {
        if scene.snapshot.membership == Membership::Down {
            put_empty(scene, buf, area, "This registry has ended", "");
        } else {
            let next = format!("start nodes with: chordal --seed {}", scene.snapshot.me.address());
            put_empty(scene, buf, area, "Nobody is on the list yet", &next);
        }
        return None;
    }
    let focus = scene.has_focus(Panel::Peers);
    let table = Table { focus, columns: &COLUMNS, rows: peers.len() };
    Some(table::draw(scene, buf, area, table, state, |at, _| peer_row(scene, &peers[at])))
}

fn peer_row(scene: Scene, row: &RegisteredPeer) -> Row {
    let theme = scene.theme();
    let style = theme.liveness(row.liveness);
    let word = match (row.liveness, row.checked_ms) {
        (Liveness::Up, _) => "up",
        (Liveness::Suspect, None) => "unseen",
        (Liveness::Suspect, Some(_)) => "suspect",
        (Liveness::Dead, _) => "dead",
    };
    let checked = row.checked_ms.map_or("never".to_owned(), |then| {
        let ago = Duration::from_millis(scene.uptime_ms().saturating_sub(then));
        format!("{} ago", text::span(ago))
    });
    let since = Duration::from_secs(scene.unix_s().saturating_sub(row.since_unix_s));
    let (place, place_style) =
        if row.member { ("member", theme.text) } else { ("alone", theme.dim) };
    Row {
        cells: vec![
            Line::styled(scene.glyphs().liveness(row.liveness), style),
            Line::styled(row.peer.to_string(), theme.text),
            Line::styled(word, style),
            Line::styled(clean(&row.ring).into_owned(), theme.text),
            Line::styled(place, place_style),
            Line::styled(text::span(since), theme.dim),
            Line::styled(checked, theme.dim),
        ],
        dim: scene.snapshot.membership == Membership::Down,
    }
}
