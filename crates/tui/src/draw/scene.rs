//! What a panel is drawn from, and lines put into its area.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;

use super::text;
use crate::panel::Panel;
use crate::state::{App, Focus};
use crate::theme::{Glyphs, Theme};
use chordal_view::{Membership, Snapshot};

/// Time between two frames while something moves: 15 a second.
pub(super) const TICK: Duration = Duration::from_millis(66);

/// What a panel is drawn from.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) app: &'a App,
    pub(super) snapshot: &'a Snapshot,
}

impl<'a> Scene<'a> {
    pub(super) fn theme(self) -> &'a Theme {
        &self.app.theme
    }

    pub(super) fn glyphs(self) -> &'a Glyphs {
        &self.app.glyphs
    }

    /// The node's age now: a node at rest sends no snapshots. A frozen picture and an
    /// ended registry stay as old as they were.
    pub(super) fn uptime_ms(self) -> u64 {
        if self.snapshot.registry.is_some() && self.snapshot.membership == Membership::Down {
            return self.snapshot.uptime_ms;
        }
        let (now, came) = match &self.app.frozen {
            Some(frozen) => (frozen.since, frozen.at),
            None => (self.app.now, self.app.nodes[self.app.shown].at),
        };
        self.snapshot.uptime_ms.saturating_add(now.saturating_sub(came).as_millis() as u64)
    }

    /// Seconds since the Unix epoch, at the moment that is shown.
    pub(super) fn unix_s(self) -> u64 {
        let frozen =
            self.app.frozen.as_ref().map(|frozen| self.app.now.saturating_sub(frozen.since));
        self.app.unix_s.saturating_sub(frozen.unwrap_or_default().as_secs())
    }

    /// Whether keys go to this panel.
    pub(super) fn has_focus(self, panel: Panel) -> bool {
        self.app.focus == Focus::Panels && self.app.panel == panel && self.app.overlay.is_none()
    }

    /// The turning wheel's glyph at this moment.
    pub(super) fn wheel(self) -> &'static str {
        let steps = self.glyphs().wheel;
        steps[(self.app.now.as_millis() / 100) as usize % steps.len()]
    }
}

/// Writes a line at the start of an area, cut at its end.
pub(super) fn put(buf: &mut Buffer, area: Rect, line: &Line) {
    if !area.is_empty() {
        buf.set_line(area.x, area.y, line, area.width);
    }
}

/// Writes a line so that it ends where the area does.
pub(super) fn put_right(buf: &mut Buffer, area: Rect, line: &Line) {
    let width = (line.width() as u16).min(area.width);
    put(buf, Rect { x: area.right() - width, width, ..area }, line);
}

/// Writes a few lines into the middle of an area: what an empty panel says.
pub(super) fn put_empty(scene: Scene, buf: &mut Buffer, area: Rect, what: &str, next: &str) {
    let room = usize::from(area.width.saturating_sub(2));
    let mut lines: Vec<Line> = Vec::new();
    for (text, style) in [(what, scene.theme().text), (next, scene.theme().dim)] {
        let wrapped = text::wrap(text, room);
        lines.extend(wrapped.into_iter().map(|line| Line::styled(line, style)));
    }
    lines.truncate(usize::from(area.height));
    let top = (area.height - lines.len() as u16) / 2;
    for (i, line) in lines.iter().enumerate() {
        let left = (area.width - (line.width() as u16).min(area.width)) / 2;
        let row = Rect {
            x: area.x + left,
            y: area.y + top + i as u16,
            width: area.width - left,
            height: 1,
        };
        put(buf, row, line);
    }
}
