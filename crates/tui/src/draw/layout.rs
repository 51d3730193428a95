//! Where everything stands: four classes of layouts by the terminal's size.
//!
//! | class | from | panels |
//! |---|---|---|
//! | wide | 160×45 | ring; fingers over neighbours; files over transfers over peers; events |
//! | normal | 100×30 | ring; one place with tabs; events |
//! | small | 60×15 | ring; neighbours; one place with tabs; events; shared borders |
//! | tiny | anything | lines without boxes ([`super::tiny`]) |
//!
//! In every class the status has the first row, the prompt the last and the
//! hints the one before. A class is kept while the size is within two cells of
//! its edge, so that dragging a window's corner does not make the picture jump.

use ratatui::layout::Rect;

use crate::panel::{Class, Panel};

/// What is drawn where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) class: Class,
    pub(super) status: Rect,
    pub(super) banner: Option<Rect>,
    /// Between status and hints.
    pub(super) body: Rect,
    /// Each panel that is drawn.
    pub(super) panels: Vec<(Panel, Rect)>,
    /// Panels that share the place of the one of them that is drawn.
    pub(super) tabs: Vec<Panel>,
    /// Neighbouring panels share their borders.
    pub(super) joined: bool,
    pub(super) hints: Option<Rect>,
    pub(super) prompt: Rect,
}

/// What a plan depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayoutInputs {
    pub(super) class: Class,
    /// The focused panel.
    pub(super) panel: Panel,
    /// The panel shown last where several share a place.
    pub(super) tab: Panel,
    pub(super) zoom: bool,
    pub(super) banner: bool,
    /// Rows of the finger table.
    pub(super) fingers: u16,
}

/// Divides an area. Every rectangle lies inside it; some may be empty.
pub(super) fn plan(area: Rect, inputs: LayoutInputs) -> Plan {
    let mut rest = area;
    let prompt = take_bottom(&mut rest, 1);
    let status = take_top(&mut rest, 1);
    let banner = (inputs.banner && rest.height >= 3).then(|| take_top(&mut rest, 1));
    let hints =
        (inputs.class != Class::Tiny && rest.height >= 3).then(|| take_bottom(&mut rest, 1));
    let mut plan = Plan {
        class: inputs.class,
        status,
        banner,
        body: rest,
        panels: Vec::new(),
        tabs: Vec::new(),
        joined: false,
        hints,
        prompt,
    };
    match inputs.class {
        Class::Tiny => {}
        _ if inputs.zoom => plan.panels.push((inputs.panel, rest)),
        Class::Wide => wide(&mut plan, inputs),
        Class::Normal => normal(&mut plan, inputs),
        Class::Small => small(&mut plan, inputs),
    }
    plan
}

fn wide(plan: &mut Plan, inputs: LayoutInputs) {
    let mut right = plan.body;
    let mut rest = take_left(&mut right, percent(plan.body.width, 76));
    let events = take_bottom(&mut rest, (plan.body.height / 4).max(8));
    let mut middle = rest;
    let ring = take_left(&mut middle, percent(plan.body.width, 46));
    let fingers = (inputs.fingers.saturating_add(3)).min(percent(rest.height, 55));
    let fingers = take_top(&mut middle, fingers);
    // Sentences are long and tables are not: the right column is a full one.
    let files = take_top(&mut right, percent(plan.body.height, 38));
    let transfers = take_top(&mut right, percent(plan.body.height, 28));
    plan.panels = vec![
        (Panel::Ring, ring),
        (Panel::Fingers, fingers),
        (Panel::Neighbours, middle),
        (Panel::Files, files),
        (Panel::Transfers, transfers),
        (Panel::Peers, right),
        (Panel::Events, events),
    ];
}

fn normal(plan: &mut Plan, inputs: LayoutInputs) {
    let mut rest = plan.body;
    let events = take_bottom(&mut rest, (plan.body.height / 4).max(7));
    let ring = take_left(&mut rest, percent(plan.body.width, 44));
    plan.panels = vec![(Panel::Ring, ring), (Panel::Events, events)];
    add_tabs(plan, rest, inputs);
}

fn small(plan: &mut Plan, inputs: LayoutInputs) {
    plan.joined = true;
    let body = plan.body;
    if body.width < 76 && body.height >= 26 {
        return tall(plan, inputs);
    }
    let mut rest = body;
    let mut panels = Vec::new();
    // Five lines of events, as far as the ring keeps eleven.
    let events = body.height.saturating_sub(13).min(percent(body.height, 32));
    if events >= 3 {
        let mut events = take_bottom(&mut rest, events);
        join_above(&mut events);
        panels.push((Panel::Events, events));
    }
    let widest = rest.height * 2 + 10;
    let ring = take_left(&mut rest, percent(body.width, 48).min(widest));
    join_left(&mut rest);
    panels.push((Panel::Ring, ring));
    if rest.height >= 13 {
        let height = percent(rest.height, 45);
        let neighbours = take_top(&mut rest, height);
        join_above(&mut rest);
        panels.push((Panel::Neighbours, neighbours));
    }
    plan.panels = panels;
    add_tabs(plan, rest, inputs);
}

/// Narrow and high: everything below each other.
fn tall(plan: &mut Plan, inputs: LayoutInputs) {
    let mut rest = plan.body;
    let ring = take_top(&mut rest, percent(plan.body.height, 45).min(plan.body.width / 2));
    join_above(&mut rest);
    let mut events = take_bottom(&mut rest, (plan.body.height / 4).max(5));
    join_above(&mut events);
    plan.panels = vec![(Panel::Ring, ring), (Panel::Events, events)];
    if rest.height >= 20 {
        let height = percent(rest.height, 45);
        let neighbours = take_top(&mut rest, height);
        join_above(&mut rest);
        plan.panels.push((Panel::Neighbours, neighbours));
    }
    add_tabs(plan, rest, inputs);
}

/// Gives `area` to one of the panels that have no place of their own.
fn add_tabs(plan: &mut Plan, area: Rect, inputs: LayoutInputs) {
    let placed = |panel: Panel| plan.panels.iter().any(|(p, _)| *p == panel);
    let tabs: Vec<Panel> = Panel::ALL.into_iter().filter(|p| !placed(*p)).collect();
    let shown = [inputs.panel, inputs.tab]
        .into_iter()
        .find(|wish| tabs.contains(wish))
        .or_else(|| tabs.first().copied());
    plan.panels.extend(shown.map(|shown| (shown, area)));
    plan.tabs = tabs;
}

fn percent(whole: u16, part: u16) -> u16 {
    (u32::from(whole) * u32::from(part) / 100) as u16
}

pub(super) fn take_top(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    let taken = Rect { height, ..*rest };
    rest.y += height;
    rest.height -= height;
    taken
}

pub(super) fn take_bottom(rest: &mut Rect, height: u16) -> Rect {
    let height = height.min(rest.height);
    rest.height -= height;
    Rect { y: rest.y + rest.height, height, ..*rest }
}

fn take_left(rest: &mut Rect, width: u16) -> Rect {
    let width = width.min(rest.width);
    let taken = Rect { width, ..*rest };
    rest.x += width;
    rest.width -= width;
    taken
}

/// Grows an area by the border row of what stands above it.
fn join_above(area: &mut Rect) {
    if area.y > 0 {
        area.y -= 1;
        area.height += 1;
    }
}

/// Grows an area by the border column of what stands left of it.
fn join_left(area: &mut Rect) {
    if area.x > 0 {
        area.x -= 1;
        area.width += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(class: Class) -> LayoutInputs {
        LayoutInputs {
            class,
            panel: Panel::Ring,
            tab: Panel::Files,
            zoom: false,
            banner: false,
            fingers: 10,
        }
    }

    #[test]
    fn every_rectangle_lies_inside_at_every_size() {
        for class in [Class::Tiny, Class::Small, Class::Normal, Class::Wide] {
            for (width, height) in (0..=200).flat_map(|w| (0..=60).map(move |h| (w, h))) {
                let area = Rect::new(0, 0, width, height);
                let plan = plan(area, LayoutInputs { banner: height % 2 == 0, ..inputs(class) });
                let all = plan.panels.iter().map(|(_, rect)| *rect);
                for rect in all.chain([plan.status, plan.prompt, plan.body]).chain(plan.hints) {
                    assert_eq!(rect.intersection(area), rect, "{class:?} {width}×{height}");
                }
                if height > 0 {
                    assert_eq!(plan.prompt, Rect::new(0, height - 1, width, 1));
                }
            }
        }
    }

    #[test]
    fn the_focused_panel_is_always_drawn() {
        for class in [Class::Small, Class::Normal, Class::Wide] {
            for panel in Panel::ALL {
                for (width, height) in [(160, 45), (100, 30), (80, 24), (60, 15), (60, 60)] {
                    let area = Rect::new(0, 0, width, height);
                    let plan = plan(area, LayoutInputs { panel, ..inputs(class) });
                    assert!(plan.panels.iter().any(|(p, _)| *p == panel), "{class:?} {panel:?}");
                }
            }
        }
    }

    #[test]
    fn a_tab_stays_while_the_focus_is_elsewhere() {
        let plan = plan(Rect::new(0, 0, 100, 30), inputs(Class::Normal));
        assert!(plan.panels.iter().any(|(p, _)| *p == Panel::Files));
    }
}
