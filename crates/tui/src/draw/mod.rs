//! Drawing: one frame of the dashboard from the state of the [`App`].
//!
//! [`draw`] reads the state and paints; it asks no node, waits for nothing and
//! remembers only what the next frame needs ([`Memory`], the scroll offsets of
//! the tables, and where each panel stands for the mouse). One file a panel.

use std::time::Duration;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Margin, Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::symbols::merge::MergeStrategy;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Widget};

use super::panel::{Class, Memory, Panel, TableState};
use super::state::{App, Overlay};
use chordal_view::{Membership, Snapshot, TransferState};

mod circle;
mod events;
mod files;
mod fingers;
pub mod hints;
mod layout;
mod neighbours;
mod overlays;
mod peers;
mod prompt;
mod registry;
mod results;
mod ring;
mod scene;
mod status;
mod table;
mod text;
mod tiny;
mod trail;
mod transfers;

#[cfg(test)]
pub(crate) mod tests;

use layout::{LayoutInputs, Plan};
use scene::{Scene, TICK, put, put_right};
use table::Shown;

/// Draws one frame.
pub fn draw(frame: &mut Frame, app: &mut App) {
    let area = frame.area();
    if area.is_empty() {
        return;
    }
    let mut tables = app.tables;
    let painted = paint(frame.buffer_mut(), area, app, &mut tables);
    app.tables = tables;
    app.areas = painted.areas;
    app.memory = painted.memory;
    if let (Some(seen), Some(overlay)) = (painted.scroll, &mut app.overlay) {
        match overlay {
            Overlay::Help { scroll, .. } | Overlay::Output { scroll, .. } => *scroll = seen,
            Overlay::Results => {
                if let Some(results) = &mut app.nodes[app.shown].results {
                    results.table.offset = seen;
                }
            }
            Overlay::Confirm { .. } | Overlay::Leaving { .. } => {}
        }
    }
    if let Some(cursor) = painted.cursor {
        frame.set_cursor_position(cursor);
    }
}

/// How soon the next frame is due although nothing new arrived: soon while
/// something moves, never while all is still.
pub fn wants_tick(app: &App) -> Option<Duration> {
    let snapshot = shown_snapshot(app)?;
    let transfer = |state: &TransferState| {
        matches!(state, TransferState::Running | TransferState::Securing { .. })
    };
    let moving = matches!(app.overlay, Some(Overlay::Leaving { .. }))
        || app.prompt.running.is_some()
        || app.frozen.is_none() && snapshot.transfers.iter().any(|row| transfer(&row.state));
    let trail = trail::until_next_frame(app, snapshot);
    // A frozen picture counts its seconds.
    let second = || Duration::from_millis(1_000 - u64::from(app.now.subsec_millis()).min(999));
    // The ages of links, or of what a registry lists, are looked at.
    let links = app.panel == Panel::Peers && !snapshot.peers.is_empty();
    let ages = links || app.is_registry();
    match (moving, trail, app.frozen.is_some() || ages) {
        (true, ..) => Some(TICK),
        (false, Some(wait), _) => Some(wait.max(TICK)),
        (false, None, true) => Some(second().max(TICK)),
        (false, None, false) => None,
    }
}

/// What painting a frame yields besides the picture.
struct Painted {
    areas: Vec<(Panel, Rect)>,
    memory: Memory,
    /// The scroll position of the overlay, inside its text.
    scroll: Option<usize>,
    cursor: Option<Position>,
}

fn shown_snapshot(app: &App) -> Option<&Snapshot> {
    match &app.frozen {
        Some(frozen) => Some(&frozen.snapshot),
        None => app.nodes.get(app.shown).map(|node| &*node.snapshot),
    }
}

fn paint(
    buf: &mut Buffer,
    area: Rect,
    app: &App,
    tables: &mut [TableState; Panel::ALL.len()],
) -> Painted {
    let class = Class::settle(app.memory.class, area.width, area.height);
    let mut memory = Memory { class: Some(class), ..app.memory };
    let Some(snapshot) = shown_snapshot(app) else {
        put(buf, area, &Line::from("No node to show — quit and start one"));
        return Painted { areas: Vec::new(), memory, scroll: None, cursor: None };
    };
    let scene = Scene { app, snapshot };
    buf.set_style(area, app.theme.text);
    let (areas, mut cursor) = if snapshot.registry.is_some() {
        (registry::draw(scene, buf, area, class, tables), None)
    } else {
        draw_node(scene, buf, area, &mut memory, tables)
    };
    let (mut scroll, mut rows) = (None, None);
    if let Some(overlay) = &app.overlay {
        let room = Rect { height: area.height.saturating_sub(1).max(1), ..area };
        buf.set_style(room, Style::new().add_modifier(Modifier::DIM));
        overlays::Drawn { scroll, cursor, rows } = overlays::draw(scene, buf, room, overlay);
    }
    if app.glyphs.ascii {
        force_ascii(buf, area);
    }
    memory.rows = rows;
    Painted { areas, memory, scroll, cursor }
}

/// Draws a node's status, panels and prompt; returns where panels and the cursor stand.
fn draw_node(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    memory: &mut Memory,
    tables: &mut [TableState; Panel::ALL.len()],
) -> (Vec<(Panel, Rect)>, Option<Position>) {
    let Scene { app, snapshot } = scene;
    let class = memory.class.unwrap_or(Class::Tiny);
    let plan = layout::plan(
        area,
        LayoutInputs {
            class,
            panel: app.panel,
            tab: app.memory.tab.unwrap_or(Panel::Fingers),
            zoom: app.zoom,
            banner: fault(scene).is_some(),
            fingers: snapshot.fingers.len().try_into().unwrap_or(u16::MAX),
        },
    );
    let shown = |panel: &&Panel| plan.panels.iter().any(|(p, _)| p == *panel);
    memory.tab = plan.tabs.iter().find(shown).copied().or(memory.tab);

    match (plan.banner, fault(scene)) {
        (Some(place), Some(_)) => {
            status::draw(scene, buf, plan.status);
            draw_banner(scene, buf, place);
        }
        // No room for both: what is wrong comes first.
        (None, Some(_)) => draw_banner(scene, buf, plan.status),
        _ => status::draw(scene, buf, plan.status),
    }
    let areas = if class == Class::Tiny {
        tiny::draw(scene, buf, plan.body, tables)
    } else {
        draw_panels(scene, buf, &plan.panels, &plan.tabs, plan.joined, tables);
        plan.panels.clone()
    };
    if snapshot.membership == Membership::Down {
        dim_last_known(scene, buf, &plan, &areas);
    }
    if let Some(hints) = plan.hints {
        hints::draw(scene, buf, hints);
    }
    let cursor = prompt::draw(scene, buf, plan.prompt, plan.body);
    (areas, cursor)
}

/// Dims what a node that is down knew last. Its events are still new.
fn dim_last_known(scene: Scene, buf: &mut Buffer, plan: &Plan, areas: &[(Panel, Rect)]) {
    let known = areas.iter().filter(|(panel, _)| *panel != Panel::Events);
    for (panel, area) in known {
        let joined = u16::from(plan.class != Class::Tiny);
        let inner = area.inner(Margin::new(joined, joined));
        // The middle of the ring says what to do.
        if *panel != Panel::Ring || scene.app.zoom {
            buf.set_style(inner, Style::new().add_modifier(Modifier::DIM));
        }
    }
}

/// Draws panels. `tabs` are those that share the place of one of them; neighbours share
/// their borders if they are `joined`.
fn draw_panels(
    scene: Scene,
    buf: &mut Buffer,
    panels: &[(Panel, Rect)],
    tabs: &[Panel],
    joined: bool,
    tables: &mut [TableState; Panel::ALL.len()],
) {
    // The focused panel's thick frame comes on top where frames are shared, and
    // all titles on top of the frames.
    let mut panels = panels.to_vec();
    panels.sort_by_key(|(panel, _)| scene.has_focus(*panel));
    for (panel, area) in &panels {
        draw_frame(scene, buf, *area, *panel, joined);
    }
    for (panel, area) in &panels {
        let tabs = if tabs.contains(panel) { tabs } else { &[] };
        let inner = Block::bordered().inner(*area);
        let shown = draw_content(scene, buf, inner, *panel, &mut tables[panel.index()]);
        draw_titles(scene, buf, *area, *panel, tabs, shown, joined);
    }
}

/// Draws what stands inside a panel's frame.
fn draw_content(
    scene: Scene,
    buf: &mut Buffer,
    inner: Rect,
    panel: Panel,
    state: &mut TableState,
) -> Option<Shown> {
    if inner.is_empty() {
        return None;
    }
    match panel {
        Panel::Ring => {
            ring::draw(scene, buf, inner, state);
            None
        }
        Panel::Fingers => fingers::draw(scene, buf, inner, state),
        Panel::Neighbours => neighbours::draw(scene, buf, inner, state),
        Panel::Files => files::draw(scene, buf, inner, state),
        Panel::Transfers => transfers::draw(scene, buf, inner, state),
        Panel::Peers if scene.snapshot.registry.is_some() => {
            registry::draw_list(scene, buf, inner, state)
        }
        Panel::Peers => peers::draw(scene, buf, inner, state),
        Panel::Events => events::draw(scene, buf, inner),
    }
}

/// Draws a panel's frame.
fn draw_frame(scene: Scene, buf: &mut Buffer, area: Rect, panel: Panel, joined: bool) {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    let focused = scene.has_focus(panel);
    let (set, style) = match (focused, joined) {
        (true, _) => (glyphs.focus_border, theme.focus),
        (false, true) => (glyphs.joined, theme.border),
        (false, false) => (glyphs.border, theme.border),
    };
    let merge = if joined && !focused { MergeStrategy::Fuzzy } else { MergeStrategy::Replace };
    let block = Block::bordered().border_set(set).border_style(style).merge_borders(merge);
    block.render(area, buf);
}

/// Writes into a panel's frame: its name and tabs, its summary, and which part
/// of a table is seen.
fn draw_titles(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    panel: Panel,
    tabs: &[Panel],
    shown: Option<Shown>,
    joined: bool,
) {
    if area.is_empty() {
        return;
    }
    let room = usize::from(area.width.saturating_sub(4));
    let title = title(scene, panel, tabs, room);
    let corner = Rect { x: area.x + 2, width: area.width.saturating_sub(4), height: 1, ..area };
    put(buf, corner.intersection(area), &title);
    let position = shown.filter(Shown::is_part).map(|shown| {
        let label = format!("{}–{} of {}", shown.from + 1, shown.to, shown.of);
        Line::styled(label, scene.theme().dim)
    });
    let spaced = |mut line: Line<'static>| {
        line.spans.insert(0, Span::raw(" "));
        line.spans.push(Span::raw(" "));
        line
    };
    // A shared lower border has the title of the panel below.
    let (right, below) = match position {
        Some(position) if joined || scene.snapshot.registry.is_some() => (position, None),
        position => {
            let left = room.saturating_sub(title.width() + 4);
            (summary(scene, panel, left), position)
        }
    };
    if right.width() > 0 && title.width() + right.width() + 4 <= room {
        put_right(buf, corner, &spaced(right));
    }
    if let Some(below) = below.filter(|line| line.width() + 2 <= room && area.height > 1) {
        put_right(buf, Rect { y: area.bottom() - 1, ..corner }, &spaced(below));
    }
}

/// How a row of tabs is written.
#[derive(Clone, Copy)]
struct Tabs {
    counts: bool,
    /// The name of a tab that is not shown, and of the one that is.
    names: [fn(Panel) -> &'static str; 2],
    between: &'static str,
}

/// Forms of a row of tabs, the longest first: as much as there is room for.
const TABS: [Tabs; 6] = [
    Tabs { counts: true, names: [Panel::title, Panel::title], between: " │ " },
    Tabs { counts: true, names: [Panel::title, Panel::title], between: "│" },
    Tabs { counts: true, names: [Panel::short, Panel::title], between: "│" },
    Tabs { counts: false, names: [Panel::short, Panel::title], between: "│" },
    Tabs { counts: false, names: [Panel::short, Panel::short], between: "│" },
    Tabs { counts: false, names: [|_| "", Panel::title], between: " │ " },
];

/// The left title: the digit, the name, and the other tabs of the place.
fn title(scene: Scene, panel: Panel, tabs: &[Panel], room: usize) -> Line<'static> {
    let focused = scene.has_focus(panel);
    let others = if tabs.len() > 1 { tabs } else { &[panel] };
    // A form in which every tab could be shown and have the focus: the row
    // stays as it is when one goes from tab to tab.
    let widest = |form: &Tabs| {
        let width = |shown: &Panel| tabs_line(scene, others, *shown, true, *form).width();
        others.iter().map(width).max().unwrap_or(0)
    };
    let form = TABS.iter().find(|form| widest(form) <= room).or(TABS.last());
    let line = form.map(|form| tabs_line(scene, others, panel, focused, *form));
    line.filter(|line| line.width() <= room).unwrap_or_else(|| {
        let style = if focused { scene.theme().focus } else { scene.theme().title };
        Line::styled(text::end(panel.title(), room).into_owned(), style)
    })
}

fn tabs_line(
    scene: Scene,
    tabs: &[Panel],
    shown: Panel,
    focused: bool,
    form: Tabs,
) -> Line<'static> {
    let theme = scene.theme();
    let mut spans = vec![Span::raw(" ")];
    for tab in tabs {
        let is_shown = *tab == shown;
        if spans.len() > 1 {
            spans.push(Span::styled(form.between, theme.border));
        }
        if is_shown && focused {
            spans.push(Span::styled(format!("{} ", scene.glyphs().focus), theme.focus));
        }
        // In the dashboard of registries digits are registries.
        let numbered = scene.snapshot.registry.is_none();
        if numbered {
            let digit = (tab.index() + 1).to_string();
            spans.push(Span::styled(digit, if is_shown { theme.accent } else { theme.dim }));
        }
        let name = form.names[usize::from(is_shown)](*tab);
        if !name.is_empty() {
            let style = match (is_shown, tabs.len()) {
                (true, 1) if focused => theme.focus,
                (true, 1) => theme.title,
                (true, _) if focused => theme.focus.add_modifier(Modifier::UNDERLINED),
                (true, _) => theme.title.add_modifier(Modifier::UNDERLINED),
                (false, _) => theme.dim,
            };
            spans.extend(numbered.then(|| Span::raw(" ")));
            spans.push(Span::styled(name, style));
        }
        match number(scene, *tab) {
            Some(n) if form.counts && tabs.len() > 1 => {
                spans.push(Span::styled(format!(" {n}"), theme.dim));
            }
            _ => {}
        }
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// What a tab counts.
fn number(scene: Scene, panel: Panel) -> Option<usize> {
    let n = match panel {
        Panel::Ring | Panel::Fingers | Panel::Events => 0,
        Panel::Neighbours => scene.snapshot.successors.len(),
        Panel::Files => scene.snapshot.files.len(),
        Panel::Transfers => chordal_view::transfers::listed(&scene.snapshot.transfers).len(),
        Panel::Peers => peers::linked(scene.snapshot),
    };
    (n > 0).then_some(n)
}

/// The right title: the panel in a few words, which fit into `room` cells where
/// there are shorter ones.
fn summary(scene: Scene, panel: Panel, room: usize) -> Line<'static> {
    match panel {
        Panel::Ring => ring::summary(scene),
        Panel::Fingers => fingers::summary(scene),
        Panel::Neighbours => neighbours::summary(scene),
        Panel::Files => files::summary(scene),
        Panel::Transfers => transfers::summary(scene, room),
        Panel::Peers => peers::summary(scene),
        Panel::Events => events::summary(scene),
    }
}

/// What failed in the background, if anything did.
fn fault(scene: Scene<'_>) -> Option<&str> {
    scene.app.banner.as_deref().or(scene.snapshot.fault.as_deref())
}

fn draw_banner(scene: Scene, buf: &mut Buffer, area: Rect) {
    let Some(fault) = fault(scene) else { return };
    let style = scene.theme().banner;
    buf.set_style(area, style);
    let line = format!(" {} {fault}", scene.glyphs().alert);
    let line = text::end(&line, usize::from(area.width)).into_owned();
    put(buf, area, &Line::styled(line, style));
}

/// Whatever reached the screen from elsewhere: `--ascii` means ASCII.
pub(super) fn force_ascii(buf: &mut Buffer, area: Rect) {
    for position in area.positions() {
        let cell = &mut buf[position];
        if cell.symbol().is_ascii() {
            continue;
        }
        let plain = match cell.symbol() {
            "·" | "–" | "—" | "─" => '-',
            "│" => '|',
            "└" => '`',
            "…" => '~',
            "→" => '>',
            "←" => '<',
            "↑" => '^',
            "↓" => 'v',
            "≈" => '~',
            "×" => 'x',
            "µ" => 'u',
            _ => '?',
        };
        cell.set_char(plain);
    }
}
