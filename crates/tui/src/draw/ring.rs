//! The ring: its nodes, this node's fingers, keys, and the lookup under way.

use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

use super::circle::{Circle, Dash, Dots, Layer, along, polar, turn};
use super::scene::{Scene, put};
use super::trail::{self, Phase};
use super::{neighbours, status, text, tiny};
use crate::panel::{Panel, TableState};
use crate::state::Focus;
use chordal_core::id::Id;
use chordal_core::peer::Peer;
use chordal_view::{Liveness, LookupRow, Membership, Snapshot};

/// Nodes up to which each has a glyph of its own.
const SINGLE_NODES: usize = 24;

/// Successors that are named when the ring is large.
const NAMED_SUCCESSORS: usize = 3;

/// Files whose keys are marked, at most: evenly chosen from all.
const MARKED_FILES: usize = 256;

/// What stands right of the title.
pub(super) fn summary(scene: Scene) -> Line<'static> {
    Line::styled(status::nodes_and_gone(scene.snapshot), scene.theme().dim)
}

/// Draws the diagram, or a line in its place where it would be too small.
pub(super) fn draw(scene: Scene, buf: &mut Buffer, area: Rect, state: &mut TableState) {
    state.selected = state.selected.min(scene.snapshot.members.len().saturating_sub(1));
    if area.height < 5 || area.width < 14 {
        tiny::draw_strip(scene, buf, Rect { height: area.height.min(1), ..area });
        return;
    }
    let mut picture = area;
    if let Some(line) = lookup_line(scene, area.width).filter(|_| area.height >= 9) {
        picture.height -= 1;
        let row = Rect { y: area.bottom() - 1, height: 1, ..area };
        let left = (area.width - (line.width() as u16).min(area.width)) / 2;
        put(buf, Rect { x: row.x + left, width: row.width - left, ..row }, &line);
    }
    Diagram::new(scene, picture, state.selected).draw(buf);
}

/// One drawing of the ring.
struct Diagram<'a> {
    scene: Scene<'a>,
    circle: Circle,
    nodes: BTreeMap<Peer, Liveness>,
    selected: Option<Selected>,
    /// The nodes of the lookup under way, and how far it is.
    trail: Option<(&'a LookupRow, Phase, Vec<Peer>)>,
    /// Cells that no label may cover.
    taken: Vec<Rect>,
}

/// What is selected in the focused panel.
#[derive(Clone, Copy)]
enum Selected {
    Node(Peer),
    File(usize),
}

impl<'a> Diagram<'a> {
    fn new(scene: Scene<'a>, area: Rect, member: usize) -> Diagram<'a> {
        let snapshot = scene.snapshot;
        let mut nodes: BTreeMap<Peer, Liveness> =
            snapshot.members.iter().map(|member| (member.peer, member.liveness)).collect();
        // What this node sees of its neighbours is newer than the census.
        let neighbours = snapshot.successors.iter().rev().chain(&snapshot.predecessor);
        nodes.extend(neighbours.map(|neighbour| (neighbour.peer, neighbour.liveness)));
        nodes.remove(&snapshot.me);
        let trail = trail::current(scene.app, snapshot)
            .map(|(lookup, phase)| (lookup, phase, trail::path(snapshot, lookup)));
        let side = (area.width / 6).clamp(1, 11);
        Diagram {
            scene,
            circle: Circle::fitting(area, side),
            nodes,
            selected: selected(scene, member),
            trail,
            taken: Vec::new(),
        }
    }

    fn draw(mut self, buf: &mut Buffer) {
        self.draw_dots(buf);
        self.draw_centre(buf);
        self.draw_files(buf);
        let named = self.draw_nodes(buf);
        self.draw_runner(buf);
        self.draw_labels(buf, &named);
    }

    fn turn_of(&self, peer: Peer) -> f64 {
        let space = self.scene.snapshot.space;
        turn(space, peer.id(space))
    }

    fn on_rim(&self, peer: Peer) -> (f64, f64) {
        polar(self.turn_of(peer), self.circle.radius)
    }

    fn draw_dots(&self, buf: &mut Buffer) {
        let (snapshot, theme, circle) = (self.scene.snapshot, self.scene.theme(), self.circle);
        let mut dots = Dots::default();
        dots.arc(Layer::Rim, 0.0, 1.0, circle.radius);
        let member = matches!(snapshot.membership, Membership::Member | Membership::Leaving);
        if let (true, Some(predecessor)) = (member, &snapshot.predecessor) {
            let (from, to) = (self.turn_of(predecessor.peer), self.turn_of(snapshot.me));
            for inset in [0.0, 1.0] {
                dots.arc(Layer::Own, from, to, circle.radius - inset);
            }
        }
        let me = self.on_rim(snapshot.me);
        let mut fingers: Vec<Peer> = snapshot.fingers.iter().filter_map(|f| f.node).collect();
        fingers.dedup();
        for peer in fingers.into_iter().filter(|peer| *peer != snapshot.me) {
            let chosen = matches!(self.selected, Some(Selected::Node(p)) if p == peer);
            let (layer, dash) =
                if chosen { (Layer::Selected, Dash::Solid) } else { (Layer::Chord, Dash::Dashed) };
            dots.line(layer, me, self.on_rim(peer), dash);
        }
        if let Some((_, phase, path)) = &self.trail {
            for (i, step) in path.windows(2).enumerate() {
                let (from, to) = (self.on_rim(step[0]), self.on_rim(step[1]));
                match *phase {
                    Phase::Moving { from: at, .. } if i > at => break,
                    Phase::Moving { from: at, part } if i == at => {
                        dots.line(Layer::Path, from, along(from, to, part), Dash::Solid);
                    }
                    _ => dots.line(Layer::Path, from, to, Dash::Solid),
                }
            }
        }
        let fading = matches!(self.trail, Some((_, Phase::Fading, _)));
        let path = if fading { theme.dim } else { theme.focus };
        circle.paint(buf, self.scene.glyphs().marker, &dots, |layer| match layer {
            Layer::Rim => theme.border,
            Layer::Chord => theme.dim,
            Layer::Selected | Layer::Own => theme.accent,
            Layer::Path => path,
        });
    }

    /// The ring's name, size and health, where nothing else is.
    fn draw_centre(&mut self, buf: &mut Buffer) {
        let (snapshot, theme) = (self.scene.snapshot, self.scene.theme());
        // Three quarters of the diameter at most, so that chords keep room.
        let columns = (self.circle.radius * 0.75) as usize;
        let rows = (self.circle.radius / 4.0) as usize;
        let (glyph, word, style) = status::light(self.scene);
        let name = text::end(&snapshot.ring, columns).into_owned();
        let mut lines = vec![Line::styled(name, theme.title)];
        let mut add = |text: &str, style: Style| {
            let wrapped = text::wrap(text, columns);
            lines.extend(wrapped.into_iter().map(|line| Line::styled(line, style)));
        };
        if self.nodes.is_empty() || snapshot.membership != Membership::Member {
            let (what, next) = neighbours::no_neighbours(snapshot.membership, self.scene.app.lab);
            add(what, theme.text);
            add(next, theme.dim);
        }
        let watched = snapshot.simulation.is_some() && !self.nodes.is_empty();
        if watched || (!self.nodes.is_empty() && snapshot.membership == Membership::Member) {
            add(&status::node_count(snapshot), theme.text);
            if snapshot.gone() > 0 {
                add(&format!("{} {} gone", self.scene.glyphs().dead, snapshot.gone()), theme.bad);
            }
            add(&format!("{glyph} {word}"), style);
            let words = match snapshot.state.detail() {
                Some(detail) => vec![detail],
                None if snapshot.state.is_healthy() => status::health_words(&snapshot.health),
                None => Vec::new(),
            };
            for two in words.chunks(2) {
                let both = two.join(" · ");
                if text::width(&both) <= columns {
                    add(&both, theme.dim);
                } else {
                    for word in two {
                        add(word, theme.dim);
                    }
                }
            }
            if snapshot.simulation.is_none() {
                add("as seen from here", theme.dim);
            }
        }
        lines.retain(|line| line.width() <= columns);
        lines.truncate(rows.max(1));
        let top =
            self.circle.area.y + (self.circle.area.height.saturating_sub(lines.len() as u16)) / 2;
        for (i, line) in lines.iter().enumerate() {
            let width = line.width() as u16;
            let x = self.circle.area.x + (self.circle.area.width.saturating_sub(width)) / 2;
            let place = Rect::new(x.saturating_sub(1), top + i as u16, width + 2, 1)
                .intersection(self.circle.area);
            let mut spaced = line.clone();
            spaced.spans.insert(0, Span::raw(" "));
            spaced.spans.push(Span::raw(" "));
            restyle(buf, place, &spaced);
            self.taken.push(place);
        }
    }

    /// The keys of the files held here, just inside the rim.
    fn draw_files(&mut self, buf: &mut Buffer) {
        let (snapshot, theme, glyphs) =
            (self.scene.snapshot, self.scene.theme(), self.scene.glyphs());
        let files = &snapshot.files;
        let stride = files.len().div_ceil(MARKED_FILES).max(1);
        let inside = (self.circle.radius - 4.0).max(1.0);
        for file in files.iter().step_by(stride) {
            let at = polar(turn(snapshot.space, file.key), inside);
            if let Some(cell) = self.circle.cell(at).filter(|cell| self.is_free(*cell)) {
                set(buf, cell, glyphs.file, theme.key);
            }
        }
    }

    /// Draws every node; returns those that have a name, the most important
    /// first.
    fn draw_nodes(&mut self, buf: &mut Buffer) -> Vec<Peer> {
        let (snapshot, theme, glyphs) =
            (self.scene.snapshot, self.scene.theme(), self.scene.glyphs());
        let few = self.nodes.len() < SINGLE_NODES;
        let mut named = vec![snapshot.me];
        named.extend(match self.selected {
            Some(Selected::Node(peer)) => Some(peer),
            _ => None,
        });
        if let Some((_, _, path)) = &self.trail {
            named.extend(path.iter().copied());
        }
        named.extend(snapshot.predecessor.map(|p| p.peer));
        let successors = if few { usize::MAX } else { NAMED_SUCCESSORS };
        named.extend(snapshot.successors.iter().take(successors).map(|s| s.peer));
        let mut seen = std::collections::BTreeSet::new();
        named.retain(|peer| seen.insert(*peer));

        if !few {
            self.draw_buckets(buf, &seen);
        }
        let mut single: Vec<(Peer, Liveness)> = self
            .nodes
            .iter()
            .filter(|(peer, _)| few || seen.contains(peer))
            .map(|(peer, liveness)| (*peer, *liveness))
            .collect();
        // The dead are seen even where the living crowd.
        single.sort_by_key(|(_, liveness)| *liveness as u8);
        for (peer, liveness) in single {
            let Some(cell) = self.circle.cell(self.on_rim(peer)) else { continue };
            if snapshot.positions.contains(&peer) {
                // Another place of this node.
                set(buf, cell, glyphs.me, theme.accent);
            } else {
                set(buf, cell, glyphs.liveness(liveness), theme.liveness(liveness));
            }
            self.taken.push(Rect::new(cell.x, cell.y, 1, 1));
        }
        if let Some(cell) = self.circle.cell(self.on_rim(snapshot.me)) {
            let (glyph, style) = match snapshot.membership {
                Membership::Down => (glyphs.dead, theme.bad),
                _ => (glyphs.me, theme.focus),
            };
            set(buf, cell, glyph, style);
            self.taken.push(Rect::new(cell.x, cell.y, 1, 1));
        }
        named
    }

    /// Many nodes: one glyph for those that share a piece of the rim.
    fn draw_buckets(&mut self, buf: &mut Buffer, named: &std::collections::BTreeSet<Peer>) {
        let (theme, glyphs) = (self.scene.theme(), self.scene.glyphs());
        // A piece is about two cells long.
        let pieces = (self.circle.radius * 1.5).clamp(12.0, 96.0).floor();
        let mut buckets: BTreeMap<usize, (u32, Liveness)> = BTreeMap::new();
        for (peer, liveness) in self.nodes.iter().filter(|(peer, _)| !named.contains(peer)) {
            let piece = (self.turn_of(*peer) * pieces) as usize;
            let bucket = buckets.entry(piece).or_insert((0, Liveness::Up));
            bucket.0 += 1;
            if *liveness as u8 > bucket.1 as u8 {
                bucket.1 = *liveness;
            }
        }
        for (piece, (count, worst)) in buckets {
            let at = polar((piece as f64 + 0.5) / pieces, self.circle.radius);
            let Some(cell) = self.circle.cell(at) else { continue };
            let digit = match (worst, count) {
                (Liveness::Up, 2..=9) => char::from_digit(count, 10).unwrap_or('+'),
                (Liveness::Up, 10..) => '+',
                _ => glyphs.liveness(worst).chars().next().unwrap_or('+'),
            };
            let style = match count {
                0..=3 => theme.liveness(worst),
                _ => theme.liveness(worst).add_modifier(Modifier::BOLD),
            };
            set(buf, cell, digit.encode_utf8(&mut [0; 4]), style);
            self.taken.push(Rect::new(cell.x, cell.y, 1, 1));
        }
    }

    /// What moves along the path.
    fn draw_runner(&mut self, buf: &mut Buffer) {
        let Some((lookup, phase, path)) = &self.trail else { return };
        let (theme, glyphs) = (self.scene.theme(), self.scene.glyphs());
        let key = self.key_cell(lookup.key);
        if let Phase::Moving { from, part } = *phase
            && let (Some(a), Some(b)) = (path.get(from), path.get(from + 1))
            && let Some(cell) = self.circle.cell(along(self.on_rim(*a), self.on_rim(*b), part))
            && self.is_free(cell)
        {
            set(buf, cell, glyphs.runner, theme.focus);
        }
        if let Some(cell) = key {
            set(buf, cell, glyphs.key, theme.key.add_modifier(Modifier::BOLD));
            self.taken.push(Rect::new(cell.x, cell.y, 1, 1));
        }
    }

    /// Just outside the rim: where a key has its mark.
    fn key_cell(&self, key: Id) -> Option<Position> {
        let at = turn(self.scene.snapshot.space, key);
        [self.circle.radius + 3.0, self.circle.radius - 4.0]
            .into_iter()
            .filter_map(|radius| self.circle.cell(polar(at, radius)))
            .find(|cell| self.is_free(*cell))
    }

    fn draw_labels(&mut self, buf: &mut Buffer, named: &[Peer]) {
        let (snapshot, theme) = (self.scene.snapshot, self.scene.theme());
        let space = snapshot.space;
        let dim = matches!(self.trail, Some((_, Phase::Fading, _)));
        for peer in named {
            let id = space.show(peer.id(space));
            let id = text::middle(&id, 8).into_owned();
            let address = text::short_address(peer, &snapshot.me);
            let is_me = snapshot.positions.contains(peer);
            let chosen = matches!(self.selected, Some(Selected::Node(p)) if p == *peer);
            let style = match (is_me || chosen, self.on_path(*peer)) {
                (true, _) => theme.focus,
                (false, true) => theme.title,
                (false, false) => theme.text,
            };
            let id = Span::styled(id, style);
            let port = Span::styled(format!(" {address}"), theme.dim);
            let mut forms = Vec::new();
            if let Some(trip) = self.trip(*peer) {
                let style = if dim { theme.dim } else { theme.accent };
                let trip = Span::styled(format!(" {}", text::trip(trip)), style);
                forms.push(Line::from(vec![id.clone(), port.clone(), trip.clone()]));
                forms.push(Line::from(vec![id.clone(), trip]));
            }
            forms.push(Line::from(vec![id.clone(), port]));
            forms.push(Line::from(id));
            let must = is_me || chosen || self.on_path(*peer);
            self.place(buf, (self.turn_of(*peer), self.circle.radius), &forms, must);
        }
        let file = match self.selected {
            Some(Selected::File(index)) => snapshot.files.get(index),
            _ => None,
        };
        if let Some(file) = file {
            let mark = theme.key.add_modifier(Modifier::BOLD);
            if let Some(cell) = self.key_cell(file.key) {
                set(buf, cell, self.scene.glyphs().key, mark);
                self.taken.push(Rect::new(cell.x, cell.y, 1, 1));
            }
            self.place_key(buf, file.name.as_str(), file.key, mark);
        }
        if let Some((lookup, ..)) = &self.trail {
            // Its name stands below the picture.
            let id = text::middle(&space.show(lookup.key), 8).into_owned();
            let key = lookup.key;
            self.place_key(buf, &id, key, if dim { theme.dim } else { theme.key });
        }
    }

    fn place_key(&mut self, buf: &mut Buffer, name: &str, key: Id, style: Style) {
        let space = self.scene.snapshot.space;
        let id = text::middle(&space.show(key), 8).into_owned();
        let mut forms = Vec::new();
        if name != id {
            forms.push(Line::styled(format!("{} {id}", text::middle(name, 18)), style));
            forms.push(Line::styled(text::middle(name, 12).into_owned(), style));
        }
        forms.push(Line::styled(id, style));
        self.place(buf, (turn(space, key), self.circle.radius + 3.0), &forms, false);
    }

    fn on_path(&self, peer: Peer) -> bool {
        matches!(&self.trail, Some((_, _, path)) if path.contains(&peer))
    }

    /// How long a node took to answer the lookup that is on the ring.
    fn trip(&self, peer: Peer) -> Option<u64> {
        let (lookup, phase, path) = self.trail.as_ref()?;
        let at = path.iter().position(|p| *p == peer)?;
        let reached = match *phase {
            Phase::Moving { from, .. } => at <= from,
            _ => true,
        };
        let hop = lookup.hops.iter().find(|hop| hop.peer == peer)?;
        hop.micros.filter(|_| reached)
    }

    /// Puts a label beside a point (a part of a turn, a radius) where there is
    /// nothing yet, in the longest form that finds a place. One that `must` be
    /// seen may cover dots when there is no such place.
    fn place(&mut self, buf: &mut Buffer, (turn, radius): (f64, f64), forms: &[Line], must: bool) {
        let Some(at) = self.circle.cell(polar(turn, radius)) else { return };
        let (x, y) = polar(turn, 1.0);
        for clean in if must { &[true, false][..] } else { &[true] } {
            for form in forms {
                let width = form.width() as u16;
                for (left, top) in tries(at, (x, y), i32::from(width)) {
                    let Some(place) = self.free_place(left, top, width) else {
                        continue;
                    };
                    if *clean && place.positions().any(|cell| buf[cell].symbol() != " ") {
                        continue;
                    }
                    restyle(buf, place, form);
                    self.taken.push(place);
                    return;
                }
            }
        }
    }

    /// The cells from (x, y) on, if they are all inside and free.
    fn free_place(&self, x: i32, y: i32, width: u16) -> Option<Rect> {
        let x: u16 = x.try_into().ok()?;
        let y: u16 = y.try_into().ok()?;
        let place = Rect::new(x, y, width, 1);
        let inside = place.intersection(self.circle.area) == place;
        // One cell between labels, so that they do not run together.
        let around = Rect { x: x.saturating_sub(1), width: place.width + 2, ..place };
        let free = self.taken.iter().all(|taken| taken.intersection(around).is_empty());
        (inside && free).then_some(place)
    }

    fn is_free(&self, cell: Position) -> bool {
        self.taken.iter().all(|taken| !taken.contains(cell))
    }
}

/// Where a label of a point may begin, the best place first: `direction` points
/// from the centre to it.
fn tries(at: Position, direction: (f64, f64), width: i32) -> [(i32, i32); 9] {
    let (x, y) = (i32::from(at.x), i32::from(at.y));
    let right = x + 2;
    let left = x - 1 - width;
    let (outside, inside) = if direction.0 >= 0.0 { (right, left) } else { (left, right) };
    let away = if direction.1 > 0.0 { -1 } else { 1 };
    let over = (x - width / 2, y + away);
    let beside = (outside, y);
    let (first, second) = if direction.0.abs() < 0.3 { (over, beside) } else { (beside, over) };
    [
        first,
        second,
        (outside, y + away),
        (outside - direction.0.signum() as i32, y + away),
        (over.0, y + 2 * away),
        (outside, y + 2 * away),
        (outside, y - away),
        (inside, y),
        (inside, y - away),
    ]
}

/// What the focused panel has selected, if it can be shown on the ring.
fn selected(scene: Scene, member: usize) -> Option<Selected> {
    let (app, snapshot) = (scene.app, scene.snapshot);
    if app.focus != Focus::Panels {
        return None;
    }
    let index = app.tables[app.panel.index()].selected;
    match app.panel {
        Panel::Ring => snapshot.members.get(member).map(|m| Selected::Node(m.peer)),
        Panel::Fingers => snapshot.fingers.get(index)?.node.map(Selected::Node),
        Panel::Neighbours => neighbours::at(scene, index).map(|n| Selected::Node(n.peer)),
        Panel::Files => (index < snapshot.files.len()).then_some(Selected::File(index)),
        // A linked peer may be on another ring, or on none.
        Panel::Peers => snapshot
            .peers
            .get(index)
            .filter(|row| snapshot.members.iter().any(|member| member.peer == row.peer))
            .map(|row| Selected::Node(row.peer)),
        Panel::Transfers | Panel::Events => None,
    }
}

/// `SkyShip.jpg 189 → 466 · hops 3 · ½log₂N = 1.5 · finger 8 first · 4.1 ms`,
/// as much of it as there is room for.
fn lookup_line(scene: Scene, room: u16) -> Option<Line<'static>> {
    let (theme, snapshot) = (scene.theme(), scene.snapshot);
    let lookup = snapshot.lookup.as_ref()?;
    let space = snapshot.space;
    let owner = lookup.owner.map_or_else(
        || "…".to_owned(),
        |owner| text::middle(&space.show(owner.id(space)), 12).into_owned(),
    );
    let key = text::middle(&space.show(lookup.key), 12).into_owned();
    let what = if lookup.text == key {
        format!("lookup {key}")
    } else {
        format!("{} {key}", text::middle(&lookup.text, 20))
    };
    let n = status::nodes(snapshot).max(1) as f64;
    let hops = format!("hops {}", lookup.hops.len());
    let expected = format!("{} = {:.1}", scene.glyphs().half_log, n.log2() / 2.0);
    let micros: u64 = lookup.hops.iter().filter_map(|hop| hop.micros).sum();
    let mut parts = vec![Span::styled(format!("{what} → {owner}"), theme.key)];
    let mut more = vec![hops, expected];
    more.extend(lookup.hops.first().and_then(|hop| way(snapshot, hop.peer)));
    more.push(text::trip(micros));
    if lookup.hops.is_empty() {
        more.truncate(2);
    }
    let mut used = parts[0].width();
    for part in more {
        let part = Span::styled(format!(" · {part}"), theme.dim);
        used += part.width();
        if used + 2 > usize::from(room) {
            break;
        }
        parts.push(part);
    }
    Some(Line::from(parts))
}

/// How this node knows the first node that a lookup asks.
fn way(snapshot: &Snapshot, first: Peer) -> Option<String> {
    let finger = snapshot.fingers.iter().rev().find(|finger| finger.node == Some(first));
    if let Some(finger) = finger {
        return Some(format!("by finger {}", finger.index));
    }
    let place = snapshot.successors.iter().position(|successor| successor.peer == first)?;
    Some(format!("by successor {}", place + 1))
}

fn set(buf: &mut Buffer, cell: Position, glyph: &str, style: Style) {
    let cell = &mut buf[cell];
    cell.reset();
    cell.set_symbol(glyph).set_style(style);
}

/// Text over dots takes nothing of their style.
fn restyle(buf: &mut Buffer, place: Rect, line: &Line) {
    for position in place.positions() {
        buf[position].reset();
    }
    put(buf, place, line);
}
