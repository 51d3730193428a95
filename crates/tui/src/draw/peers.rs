//! Linked peers, other peers with a reputation, and registries.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::scene::{Scene, put_empty};
use super::table::{self, Column, Row, Shown, Table};
use super::{neighbours, text};
use crate::panel::{Panel, TableState};
use chordal_view::{LinkKind, Liveness, PeerRow, RegistryRow, Snapshot, Trust};

/// Rows below which links and registries do not stand below each other: the
/// table with the selection has the place.
const BOTH: u16 = 7;

/// Cells of an address below which the port stands for it.
const FULL_ADDRESS: u16 = 15;

/// How many peers are linked.
pub(super) fn linked(snapshot: &Snapshot) -> usize {
    snapshot.peers.iter().filter(|row| row.link.is_some()).count()
}

/// `4 linked · 2/3 registries`.
pub(super) fn summary(scene: Scene) -> Line<'static> {
    let (theme, snapshot) = (scene.theme(), scene.snapshot);
    let mut spans = Vec::new();
    let linked = linked(snapshot);
    if linked > 0 {
        spans.push(Span::styled(format!("{linked} linked"), theme.dim));
    }
    let all = snapshot.registries.len();
    if all > 0 {
        let up = snapshot.registries.iter().filter(|row| row.liveness == Liveness::Up).count();
        let style = if up == 0 { theme.warn } else { theme.dim };
        if !spans.is_empty() {
            spans.push(Span::styled(" · ", theme.dim));
        }
        let word = if all == 1 { "registry" } else { "registries" };
        spans.push(Span::styled(format!("{up}/{all} {word}"), style));
    }
    Line::from(spans)
}

/// Draws the peers, and the registries below them.
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
) -> Option<Shown> {
    let snapshot = scene.snapshot;
    let (peers, registries) = (snapshot.peers.len(), snapshot.registries.len());
    if peers + registries == 0 {
        put_empty(scene, buf, area, "No links yet", how_to_link(scene));
        return None;
    }
    let focus = scene.has_focus(Panel::Peers);
    let below = state.selected.checked_sub(peers).filter(|_| registries > 0);
    let (links, lists) = divide(area, peers, registries, below.is_some());
    if let Some(place) = lists {
        // Few rows, all of them seen or those around the selected one.
        let mut rows = TableState { selected: below.unwrap_or(0), offset: 0 };
        draw_registries(scene, buf, place, &mut rows, focus && below.is_some());
    }
    let place = links?;
    if peers == 0 {
        put_empty(scene, buf, place, "No links yet", how_to_link(scene));
        return None;
    }
    let mut rows = TableState { selected: state.selected.min(peers - 1), ..*state };
    let shown = draw_links(scene, buf, place, &mut rows, focus && below.is_none());
    state.offset = rows.offset;
    Some(shown)
}

/// Where the links stand and where the registries do.
fn divide(
    area: Rect,
    peers: usize,
    registries: usize,
    below: bool,
) -> (Option<Rect>, Option<Rect>) {
    if registries == 0 {
        return (Some(area), None);
    }
    if area.height < BOTH {
        return if below || peers == 0 { (None, Some(area)) } else { (Some(area), None) };
    }
    // Each table has a row of titles; a blank row stands between them.
    let rows = |count: usize| u16::try_from(count + 1).unwrap_or(u16::MAX).max(table::TITLED);
    let least = rows(registries).min((area.height / 3).max(3));
    let lists = rows(registries).min(area.height.saturating_sub(rows(peers) + 1)).max(least);
    let links = match peers {
        0 => area.height - lists,
        _ => rows(peers).min(area.height - lists),
    };
    let gap = u16::from(links + lists < area.height);
    let (upper, lower) = (Rect { height: links, ..area }, area.y + links + gap);
    (Some(upper), Some(Rect { y: lower, height: lists, ..area }))
}

fn draw_links(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
    focus: bool,
) -> Shown {
    let (theme, glyphs, snapshot) = (scene.theme(), scene.glyphs(), scene.snapshot);
    let ids = (text::width(&snapshot.space.show(snapshot.space.last())) as u16).min(16);
    let address = if snapshot.me.address().is_ipv4() { 21 } else { 30 };
    let columns = [
        Column::new("node", ids.clamp(4, 8) + 2, ids.max(4) + 2, 0),
        Column::new("address", 7, address, 2),
        Column::new("link", 8, 8, 1),
        Column::new("rtt", 7, 8, 3).right(),
        Column::new("since", 7, 7, 6).right(),
        Column::new("files", 5, 5, 4).right(),
        Column::new("trust", 7, 10, 5).grows(),
    ];
    let table = Table { focus, columns: &columns, rows: snapshot.peers.len() };
    let uptime_ms = scene.uptime_ms();
    table::draw(scene, buf, area, table, state, |i, widths| {
        let row = &snapshot.peers[i];
        let id = snapshot.space.show(row.peer.id(snapshot.space));
        let id = text::middle(&id, usize::from(widths[0]).saturating_sub(2)).into_owned();
        let address = if widths[1] < FULL_ADDRESS {
            text::short_address(&row.peer, &snapshot.me)
        } else {
            row.peer.to_string()
        };
        // Of a peer without a link it is not known whether it lives.
        let (glyph, glyph_style) = match row.link {
            Some(_) => (glyphs.liveness(row.liveness), theme.liveness(row.liveness)),
            None => (glyphs.detail, theme.dim),
        };
        let (trust, trust_style) = trust(scene, row);
        // Who is not trusted is seen even where trust has no column.
        let link = match (row.trust, widths[6]) {
            (Trust::Last | Trust::Shunned, 0) => Line::styled(trust_word(row.trust), trust_style),
            _ => Line::styled(row.link.map_or("none", link), theme.dim),
        };
        let since = match row.link {
            Some(_) => text::span(Duration::from_millis(uptime_ms.saturating_sub(row.since_ms))),
            None => "—".to_owned(),
        };
        Row {
            cells: vec![
                Line::from(vec![
                    Span::styled(glyph, glyph_style),
                    Span::raw(" "),
                    Span::styled(id, theme.title),
                ]),
                Line::raw(address),
                link,
                Line::styled(row.rtt_us.map_or_else(|| "—".to_owned(), text::trip), theme.dim),
                Line::styled(since, theme.dim),
                Line::raw(row.shared.map_or_else(|| "—".to_owned(), |files| files.to_string())),
                Line::styled(text::end(&trust, usize::from(widths[6])).into_owned(), trust_style),
            ],
            dim: false,
        }
    })
}

fn draw_registries(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
    focus: bool,
) {
    let (theme, glyphs, snapshot) = (scene.theme(), scene.glyphs(), scene.snapshot);
    let columns = [
        Column::new("registry", 9, 23, 0),
        Column::new("state", 9, 9, 1),
        Column::new("lists", 5, 5, 2).right(),
        Column::new("heard", 7, 11, 4).right(),
        Column::new("note", 9, 10, 3).grows(),
    ];
    let table = Table { focus, columns: &columns, rows: snapshot.registries.len() };
    let uptime_ms = scene.uptime_ms();
    table::draw(scene, buf, area, table, state, |i, widths| {
        let row = &snapshot.registries[i];
        let style = theme.liveness(row.liveness);
        let local = row.address.ip() == snapshot.me.address().ip();
        let address = if local && widths[0] < FULL_ADDRESS + 2 {
            format!(":{}", row.address.port())
        } else {
            row.address.to_string()
        };
        let address = text::middle(&address, usize::from(widths[0]).saturating_sub(2)).into_owned();
        // One that is up is heard all the time without a new snapshot.
        let now = if row.liveness == Liveness::Up { snapshot.uptime_ms } else { uptime_ms };
        let heard = row.heard_ms.map_or_else(
            || "never".to_owned(),
            |at| text::ago(Duration::from_millis(now.saturating_sub(at))),
        );
        let lists = if row.heard_ms.is_some() { row.peers.to_string() } else { "—".to_owned() };
        let note = row.note.as_deref().unwrap_or_default();
        let note = text::end(note, usize::from(widths[4])).into_owned();
        Row {
            cells: vec![
                Line::from(vec![
                    Span::styled(glyphs.liveness(row.liveness), style),
                    Span::raw(" "),
                    Span::raw(address),
                ]),
                Line::styled(registry(row), style),
                Line::raw(lists),
                Line::styled(heard, theme.dim),
                Line::styled(note, theme.warn),
            ],
            dim: false,
        }
    });
}

/// What to do when there are no peers.
fn how_to_link(scene: Scene) -> &'static str {
    if scene.snapshot.simulation.is_some() {
        "simulated nodes have the ring only"
    } else if scene.snapshot.living() > 1 {
        "connect PEER links one; random ones come with the ring"
    } else {
        "connect PEER links one; scan looks for some"
    }
}

/// The word for why there is a link.
pub(super) const fn link(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Chosen => "chosen",
        LinkKind::Random => "random",
        LinkKind::Incoming => "incoming",
    }
}

const fn trust_word(trust: Trust) -> &'static str {
    match trust {
        Trust::Good => "good",
        Trust::Last => "last",
        Trust::Shunned => "shunned",
    }
}

/// How far a peer is trusted, and why not fully; of a link that is in trouble,
/// the trouble.
fn trust(scene: Scene, row: &PeerRow) -> (String, Style) {
    let theme = scene.theme();
    let liveness = if row.link.is_some() { row.liveness } else { Liveness::Up };
    let style = match row.trust {
        Trust::Good if liveness == Liveness::Up => theme.dim,
        Trust::Good => theme.liveness(liveness),
        Trust::Last => theme.warn,
        Trust::Shunned => theme.bad,
    };
    let words = match (&row.why, row.trust, liveness) {
        (Some(why), Trust::Good, _) => why.clone(),
        (Some(why), trust, _) => format!("{}: {why}", trust_word(trust)),
        (None, Trust::Good, Liveness::Up) => "good".to_owned(),
        (None, Trust::Good, liveness) => neighbours::word(liveness).to_owned(),
        (None, trust, _) => trust_word(trust).to_owned(),
    };
    (words, style)
}

const fn registry(row: &RegistryRow) -> &'static str {
    match row.liveness {
        Liveness::Up => "connected",
        Liveness::Suspect => "trying",
        Liveness::Dead => "down",
    }
}
