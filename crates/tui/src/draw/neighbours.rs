//! The predecessor and the successor list.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::scene::{Scene, put_empty};
use super::table::{self, Column, Row, Shown, Table};
use super::text;
use crate::panel::{Panel, TableState};
use chordal_view::{Liveness, Membership, Neighbour};

/// `7 of 16 successors`.
pub(super) fn summary(scene: Scene) -> Line<'static> {
    let snapshot = scene.snapshot;
    let (have, most) = (snapshot.successors.len(), snapshot.successors_max);
    Line::styled(format!("list {have} of {most}"), scene.theme().dim)
}

/// The row of the table at `index`: the predecessor first, if there is one.
pub(super) fn at(scene: Scene<'_>, index: usize) -> Option<&Neighbour> {
    let snapshot = scene.snapshot;
    snapshot.predecessor.iter().chain(&snapshot.successors).nth(index)
}

/// Draws the predecessor, then the successors.
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
) -> Option<Shown> {
    let (theme, glyphs, snapshot) = (scene.theme(), scene.glyphs(), scene.snapshot);
    let before = usize::from(snapshot.predecessor.is_some());
    let rows = before + snapshot.successors.len();
    if rows == 0 {
        let (what, next) = no_neighbours(snapshot.membership, scene.app.lab);
        put_empty(scene, buf, area, what, next);
        return None;
    }
    let ids = (text::width(&snapshot.space.show(snapshot.space.last())) as u16).min(16);
    let address = if snapshot.me.address().is_ipv4() { 21 } else { 30 };
    let columns = [
        Column::new("", 7, 7, 2),
        Column::new("node", ids.clamp(4, 8) + 2, ids.max(4) + 2, 0),
        Column::new("address", 7, address, 3),
        Column::new("rtt", 7, 8, 4).right(),
        Column::new("state", 7, 8, 5),
    ];
    let table = Table { focus: scene.has_focus(Panel::Neighbours), columns: &columns, rows };
    let shown = table::draw(scene, buf, area, table, state, |i, widths| {
        let Some(neighbour) = at(scene, i) else {
            return Row { cells: Vec::new(), dim: false };
        };
        let place = match i.checked_sub(before) {
            None => "pred".to_owned(),
            Some(i) => format!("succ {}", i + 1),
        };
        let style = theme.liveness(neighbour.liveness);
        let id = snapshot.space.show(neighbour.peer.id(snapshot.space));
        let id = text::middle(&id, usize::from(widths[1]).saturating_sub(2)).into_owned();
        let address = if widths[2] < 15 {
            text::short_address(&neighbour.peer, &snapshot.me)
        } else {
            neighbour.peer.to_string()
        };
        let rtt = neighbour.rtt_us.map_or_else(|| "—".to_owned(), text::trip);
        Row {
            cells: vec![
                Line::styled(place, theme.dim),
                Line::from(vec![
                    Span::styled(glyphs.liveness(neighbour.liveness), style),
                    Span::raw(" "),
                    Span::styled(id, theme.title),
                ]),
                Line::raw(address),
                Line::styled(rtt, theme.dim),
                Line::styled(word(neighbour.liveness), style),
            ],
            dim: false,
        }
    });
    Some(shown)
}

/// The word for a state.
pub(super) const fn word(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Up => "up",
        Liveness::Suspect => "suspect",
        Liveness::Dead => "dead",
    }
}

/// Why there are no neighbours, and what to do.
pub(super) const fn no_neighbours(
    membership: Membership,
    lab: bool,
) -> (&'static str, &'static str) {
    match membership {
        Membership::Joining => ("Joining a ring…", "neighbours appear once it answers"),
        Membership::Leaving => ("Leaving the ring…", "files are being handed over"),
        Membership::Left => ("Left the ring", "join host:port comes back"),
        Membership::Down if lab => ("This node is down", "R restarts it · n shows another"),
        Membership::Down => ("This node is down", "start it again"),
        Membership::Alone | Membership::Member => ("Alone on the ring", "join host:port"),
    }
}
