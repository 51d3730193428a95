//! The finger table.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::scene::{Scene, put_empty};
use super::table::{self, Column, Row, Shown, Table};
use super::text;
use crate::panel::{Panel, TableState};

/// `m 10 · 3 nodes`.
pub(super) fn summary(scene: Scene) -> Line<'static> {
    let mut nodes: Vec<_> = scene.snapshot.fingers.iter().filter_map(|f| f.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let reached = text::count(nodes.len() as u64, "node");
    Line::styled(format!("reaches {reached}"), scene.theme().dim)
}

/// Draws one row for each finger; a row that repeats the one above is dim.
pub(super) fn draw(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    state: &mut TableState,
) -> Option<Shown> {
    let snapshot = scene.snapshot;
    let fingers = &snapshot.fingers;
    if fingers.is_empty() {
        put_empty(scene, buf, area, "No fingers yet", "they appear with the node");
        return None;
    }
    let ids = (text::width(&snapshot.space.show(snapshot.space.last())) as u16).min(16);
    let address = if snapshot.me.address().is_ipv4() { 21 } else { 30 };
    let columns = [
        Column::new("i", 2, 3, 1).right(),
        Column::new("start", ids.clamp(5, 8), ids.max(5), 2).right(),
        Column::new("interval", ids * 2 + 3, ids * 2 + 3, 4),
        Column::new("node", ids.clamp(4, 8), ids.max(4), 0).right(),
        Column::new("address", 7, address, 3),
    ];
    let theme = scene.theme();
    let table =
        Table { focus: scene.has_focus(Panel::Fingers), columns: &columns, rows: fingers.len() };
    let shown = table::draw(scene, buf, area, table, state, |i, widths| {
        let finger = &fingers[i];
        let next = match fingers.get(i + 1) {
            Some(next) => next.start,
            None => snapshot.me.id(snapshot.space),
        };
        let show = |id| snapshot.space.show(id);
        let (node, address) = match finger.node {
            Some(peer) if widths[4] < 15 => {
                (show(peer.id(snapshot.space)), text::short_address(&peer, &snapshot.me))
            }
            Some(peer) => (show(peer.id(snapshot.space)), peer.to_string()),
            None => ("—".to_owned(), "not known yet".to_owned()),
        };
        let start = show(finger.start);
        let half = (usize::from(widths[2]).saturating_sub(3) / 2).max(1);
        let interval = if widths[2] > 0 {
            format!("[{}, {})", text::middle(&start, half), text::middle(&show(next), half))
        } else {
            String::new()
        };
        let repeats = i > 0 && fingers[i - 1].node == finger.node;
        let is_me = finger.node == Some(snapshot.me);
        Row {
            cells: vec![
                Line::styled(finger.index.to_string(), theme.dim),
                Line::raw(start),
                Line::styled(interval, theme.dim),
                Line::styled(node, if is_me { theme.accent } else { theme.title }),
                Line::raw(address),
            ],
            dim: repeats,
        }
    });
    Some(shown)
}
