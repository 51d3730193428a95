//! The first row: which node this is, on which ring, and the ring's state.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::scene::{Scene, put, put_right};
use super::{files, text};
use chordal_view::{CensusState, Health, Membership, SimulationRow, Snapshot, State};

/// One thing that the row says, in forms of falling length; the last to go is
/// the one with the lowest rank.
pub(super) struct Segment {
    pub(super) forms: Vec<(String, Style)>,
    pub(super) rank: u8,
    pub(super) right: bool,
}

/// Columns below which everything is said in its shortest form.
const NARROW: u16 = 60;

/// Draws the row.
pub(super) fn draw(scene: Scene, buf: &mut Buffer, area: Rect) {
    draw_segments(buf, area, segments(scene));
}

/// Draws a row of segments; what does not fit becomes shorter, then goes, by
/// rank.
pub(super) fn draw_segments(buf: &mut Buffer, area: Rect, mut segments: Vec<Segment>) {
    if area.width < NARROW {
        for segment in &mut segments {
            segment.forms.drain(..segment.forms.len() - 1);
        }
    }
    let room = usize::from(area.width);
    while length(&segments) > room {
        let Some(last) = (0..segments.len()).max_by_key(|i| segments[*i].rank) else { break };
        if segments[last].forms.len() > 1 {
            segments[last].forms.remove(0);
        } else if segments.len() > 1 {
            segments.remove(last);
        } else {
            break;
        }
    }
    let (right, left): (Vec<Segment>, Vec<Segment>) = segments.into_iter().partition(|s| s.right);
    put(buf, area, &line(left));
    put_right(buf, area, &line(right));
}

/// Nodes of the ring, as far as known.
pub(super) fn nodes(snapshot: &Snapshot) -> u64 {
    match snapshot.census {
        CensusState::Estimate(n) => n,
        CensusState::Complete | CensusState::Partial => snapshot.living().max(1) as u64,
    }
}

/// `8 nodes`, `≈1200 nodes`, `8+ nodes`.
pub(super) fn node_count(snapshot: &Snapshot) -> String {
    let n = nodes(snapshot);
    match snapshot.census {
        CensusState::Complete => text::count(n, "node"),
        CensusState::Partial => format!("{n}+ nodes"),
        CensusState::Estimate(_) => format!("≈{n} nodes"),
    }
}

/// `8 nodes`, with `· 1 gone` for those that died or left just now.
pub(super) fn nodes_and_gone(snapshot: &Snapshot) -> String {
    match snapshot.gone() {
        0 => node_count(snapshot),
        gone => format!("{} · {gone} gone", node_count(snapshot)),
    }
}

/// The properties of a healthy ring, in words.
pub(super) fn health_words(health: &Health) -> Vec<String> {
    let mut words = vec!["one ring".to_owned(), "ordered".to_owned(), "lists valid".to_owned()];
    words.extend(health.margin.map(|margin| format!("margin {margin}")));
    words
}

/// The light: its glyph, one word and its style. That of a simulation is the
/// ring's, whose state does not depend on the shown node.
pub(super) fn light(scene: Scene) -> (&'static str, &'static str, Style) {
    let (theme, glyphs, state) = (scene.theme(), scene.glyphs(), scene.snapshot.state);
    let (glyph, style) = match state {
        State::Healthy => (glyphs.up, theme.good),
        State::Alone => (glyphs.up, theme.text),
        State::Joining | State::Leaving | State::Converging { .. } | State::Repairing { .. } => {
            (glyphs.alert, theme.warn)
        }
        State::CutOff { .. } | State::SickDisk | State::Left => (glyphs.alert, theme.bad),
        State::Down => (glyphs.dead, theme.bad),
    };
    (glyph, state.word(), style)
}

/// The word for what the node is to its ring.
pub(super) const fn membership(membership: Membership) -> &'static str {
    match membership {
        Membership::Alone => "alone",
        Membership::Joining => "joining…",
        Membership::Member => "member",
        Membership::Leaving => "leaving…",
        Membership::Left => "left",
        Membership::Down => "down",
    }
}

fn segments(scene: Scene) -> Vec<Segment> {
    let (theme, glyphs, app, snapshot) = (scene.theme(), scene.glyphs(), scene.app, scene.snapshot);
    let mut all = Vec::new();
    let mut add = |rank: u8, right: bool, forms: Vec<(String, Style)>| {
        all.push(Segment { forms, rank, right });
    };
    let id = snapshot.space.show(snapshot.me.id(snapshot.space));
    let me = if snapshot.membership == Membership::Down { glyphs.dead } else { glyphs.me };
    add(
        0,
        false,
        vec![
            (format!("{me} {}", text::middle(&id, 16)), theme.focus),
            (format!("{me} {}", text::middle(&id, 10)), theme.focus),
        ],
    );
    let short = format!(":{}", snapshot.me.address().port());
    let simulation = snapshot.simulation.as_ref();
    // Of a simulated node the address is of little interest.
    let rank = if simulation.is_some() { 9 } else { 1 };
    add(rank, false, vec![(snapshot.me.to_string(), theme.text), (short, theme.text)]);
    if snapshot.positions.len() > 1 {
        let n = snapshot.positions.len().to_string();
        add(4, false, vec![(format!("{n} places"), theme.text)]);
    }
    if let Some(simulation) = simulation {
        simulated(scene, simulation, &mut add);
    } else if app.nodes.len() > 1 || app.lab {
        let n = format!("{}/{}", app.shown + 1, app.nodes.len());
        add(4, false, vec![(format!("node {n}"), theme.accent), (n, theme.accent)]);
    }
    if let Some(forms) = frozen(scene) {
        add(2, true, forms);
    }
    let word = membership(snapshot.membership);
    let style = match snapshot.membership {
        Membership::Member | Membership::Alone => theme.text,
        Membership::Joining | Membership::Leaving => theme.accent,
        Membership::Left | Membership::Down => theme.bad,
    };
    let rank = if snapshot.membership == Membership::Member { 12 } else { 5 };
    add(rank, false, vec![(word.to_owned(), style)]);
    if simulation.is_none() {
        add(10, false, vec![(format!("ring {}", text::end(&snapshot.ring, 24)), theme.dim)]);
    }
    add(
        13,
        false,
        vec![
            (format!("m {} · k {}", snapshot.space.bits(), snapshot.replicas), theme.dim),
            (format!("m {}", snapshot.space.bits()), theme.dim),
        ],
    );
    if simulation.is_none() {
        let open = if snapshot.secret { "secret" } else { "open" };
        add(11, false, vec![(open.to_owned(), theme.dim)]);
    }
    for (on, word) in [(app.explain, "explain"), (app.mouse, "mouse")] {
        if on {
            add(14, false, vec![(word.to_owned(), theme.dim)]);
        }
    }
    if simulation.is_none() {
        let mut count = vec![(nodes_and_gone(snapshot), theme.text)];
        if snapshot.gone() > 0 {
            count[0].1 = theme.warn;
            count.push((node_count(snapshot), theme.text));
        }
        add(3, false, count);
    }
    let (kept, shared) = (snapshot.files.kept() as u64, snapshot.sharing.files);
    add(7, false, vec![(text::count(kept, "file"), theme.text)]);
    let unwell = files::unwell(scene);
    if !unwell.is_empty() {
        add(8, false, unwell);
    }
    if shared > 0 {
        add(12, false, vec![(format!("{shared} shared"), theme.text)]);
    }
    if let Some(forms) = dropped(scene) {
        add(8, true, forms);
    }
    let (glyph, word, style) = light(scene);
    let mut forms = vec![(format!("{glyph} {word}"), style), (glyph.to_owned(), style)];
    if snapshot.state.detail().is_some() {
        forms.insert(0, (format!("{glyph} {}", snapshot.state), style));
    }
    add(6, true, forms);
    let (up, down) = snapshot.traffic.rates();
    let (u, d) = (glyphs.up_arrow, glyphs.down_arrow);
    if up + down > 0 {
        // One direction often has no traffic: it shows a dash, and its place stays.
        let rate = |rate| if rate > 0 { text::rate(rate) } else { "—".to_owned() };
        let long = format!("{u} {:>8}  {d} {:>8}", rate(up), rate(down));
        let short = format!("{u}{} {d}{}", text::short_size(up), text::short_size(down));
        add(9, true, vec![(long, theme.text), (short, theme.text)]);
    }
    all
}

/// Since when the picture stands still, and how many events wait.
pub(super) fn frozen(scene: Scene) -> Option<Vec<(String, Style)>> {
    let (frozen, chip) = (scene.app.frozen.as_ref()?, scene.theme().chip);
    let since = text::span(scene.app.now.saturating_sub(frozen.since));
    let more = text::count(frozen.events as u64, "event");
    let forms =
        [format!(" FROZEN {since} · +{more} "), format!(" FROZEN {since} "), " FROZEN ".to_owned()];
    Some(forms.map(|form| (form, chip)).to_vec())
}

/// How many events did not fit into the channel to the dashboard.
pub(super) fn dropped(scene: Scene) -> Option<Vec<(String, Style)>> {
    let (lost, warn) = (scene.snapshot.events_dropped, scene.theme().warn);
    let long = format!("{} dropped", text::count(lost, "event"));
    let short = format!("{} {lost}", scene.glyphs().alert);
    (lost > 0).then(|| vec![(long, warn), (short, warn)])
}

/// What a simulation says instead of a ring's name and how open it is: its time
/// first, because that is what its user controls.
fn simulated(
    scene: Scene,
    simulation: &SimulationRow,
    add: &mut impl FnMut(u8, bool, Vec<(String, Style)>),
) {
    let theme = scene.theme();
    let clock = sim_clock(simulation.now, !simulation.running);
    add(1, false, vec![(format!("time {clock}"), theme.title), (clock, theme.title)]);
    let speed = simulation.speed.show();
    let mut forms = Vec::new();
    if simulation.running {
        // What the machine can do may be less than what was asked for.
        let asked = simulation.speed.simulated(Duration::from_secs(1));
        let lags = |pace: &f64| asked.is_none_or(|asked| *pace < 0.8 * asked.as_secs_f64());
        if let Some(pace) = simulation.pace.filter(lags) {
            forms.push((format!("{speed}, runs ×{}", round(pace)), theme.accent));
        }
        forms.push((speed, theme.accent));
    } else {
        forms.push((format!(" PAUSED {speed} "), theme.chip));
        forms.push((" PAUSED ".to_owned(), theme.chip));
    }
    add(2, false, forms);
    if simulation.parts > 1 {
        let parts = simulation.parts;
        let chip = |text: String| (text, theme.chip);
        add(3, false, vec![chip(format!(" CUT IN {parts} "))]);
    }
    let hosts = text::count(u64::from(simulation.hosts), "host");
    let mut forms = vec![(hosts, theme.text)];
    if simulation.down > 0 {
        let down = format!("{} · {} down", forms[0].0, simulation.down);
        forms.insert(0, (down, theme.warn));
    }
    add(4, false, forms);
    add(
        5,
        false,
        vec![
            (text::count(simulation.events, "event"), theme.text),
            (format!("{} ev", text::short_size(simulation.events)), theme.text),
        ],
    );
    add(
        6,
        false,
        vec![
            (format!("seed {}", simulation.seed), theme.dim),
            (format!("s{}", simulation.seed), theme.dim),
        ],
    );
    add(15, false, vec![(text::end(&simulation.title, 20).into_owned(), theme.dim)]);
}

/// `0:12.4`, `3:05:00.1`; to a millisecond where it stands still, because one
/// event may take less.
fn sim_clock(now: Duration, stands: bool) -> String {
    let (seconds, millis) = (now.as_secs(), now.subsec_millis());
    let (hours, minutes, rest) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    let part = if stands { format!("{millis:03}") } else { (millis / 100).to_string() };
    match hours {
        0 => format!("{minutes}:{rest:02}.{part}"),
        _ => format!("{hours}:{minutes:02}:{rest:02}.{part}"),
    }
}

/// Two digits that count.
fn round(pace: f64) -> String {
    if pace >= 10.0 { format!("{pace:.0}") } else { format!("{pace:.1}") }
}

/// Cells of the whole row: two between segments, one at each end.
fn length(segments: &[Segment]) -> usize {
    segments.iter().map(|s| text::width(&s.forms[0].0) + 2).sum::<usize>()
}

fn line(segments: Vec<Segment>) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for mut segment in segments {
        if spans.len() > 1 {
            spans.push(Span::raw("  "));
        }
        let (text, style) = segment.forms.swap_remove(0);
        spans.push(Span::styled(text, style));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}
