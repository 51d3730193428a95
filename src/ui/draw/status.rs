//! The first row: who this is, on which ring, and how it fares.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{Scene, files, put, put_right, text};
use crate::view::{Census, Health, Snapshot, Standing};

/// One thing that the row says, in forms of falling length; the last to go is
/// the one with the lowest rank.
pub(in crate::ui) struct Segment {
    pub(in crate::ui) forms: Vec<(String, Style)>,
    pub(in crate::ui) rank: u8,
    pub(in crate::ui) right: bool,
}

/// Columns below which everything is said in its shortest form.
const NARROW: u16 = 60;

/// Draws the row.
pub(super) fn draw(scene: Scene, buf: &mut Buffer, area: Rect) {
    draw_segments(buf, area, segments(scene));
}

/// Draws a row of segments; what does not fit becomes shorter, then goes, by
/// rank.
pub(in crate::ui) fn draw_segments(buf: &mut Buffer, area: Rect, mut segments: Vec<Segment>) {
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
        Census::Estimate(n) => n,
        Census::Complete | Census::Partial => snapshot.living().max(1) as u64,
    }
}

/// `8 nodes`, `≈1200 nodes`, `8+ nodes`.
pub(super) fn node_count(snapshot: &Snapshot) -> String {
    let n = nodes(snapshot);
    match snapshot.census {
        Census::Complete => text::count(n, "node"),
        Census::Partial => format!("{n}+ nodes"),
        Census::Estimate(_) => format!("≈{n} nodes"),
    }
}

/// `8 nodes`, with `· 1 gone` for those that died or left just now.
pub(super) fn nodes_and_gone(snapshot: &Snapshot) -> String {
    match snapshot.gone() {
        0 => node_count(snapshot),
        gone => format!("{} · {gone} gone", node_count(snapshot)),
    }
}

/// What the light means, in words: the properties that hold, or those that do
/// not.
pub(super) fn health_words(health: &Health) -> Vec<String> {
    if health.is_good() {
        let mut words = vec!["one ring".to_owned(), "ordered".to_owned(), "lists valid".to_owned()];
        words.extend(health.margin.map(|margin| format!("margin {margin}")));
        return words;
    }
    let wrong = [
        (health.one_ring, "not one ring"),
        (health.ordered, "out of order"),
        (health.lists_valid, "lists being repaired"),
    ];
    wrong.into_iter().filter(|(holds, _)| !holds).map(|(_, word)| word.to_owned()).collect()
}

/// The light: its glyph, one word and its style.
pub(super) fn light(scene: Scene) -> (&'static str, &'static str, Style) {
    let (theme, glyphs, health) = (scene.theme(), scene.glyphs(), &scene.snapshot.health);
    if scene.snapshot.standing == Standing::Down {
        (glyphs.dead, "down", theme.bad)
    } else if !health.is_good() {
        (glyphs.alert, "repairing", theme.warn)
    } else if health.is_fragile(scene.snapshot.living(), scene.snapshot.successors_max) {
        (glyphs.alert, "fragile", theme.warn)
    } else {
        (glyphs.up, "healthy", theme.good)
    }
}

/// The word for what the node is to its ring.
pub(super) const fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Alone => "alone",
        Standing::Joining => "joining…",
        Standing::Member => "member",
        Standing::Leaving => "leaving…",
        Standing::Left => "left",
        Standing::Down => "down",
    }
}

fn segments(scene: Scene) -> Vec<Segment> {
    let (theme, glyphs, app, snapshot) = (scene.theme(), scene.glyphs(), scene.app, scene.snapshot);
    let mut all = Vec::new();
    let mut add = |rank: u8, right: bool, forms: Vec<(String, Style)>| {
        all.push(Segment { forms, rank, right });
    };
    let id = snapshot.space.show(snapshot.me.id(snapshot.space));
    let me = if snapshot.standing == Standing::Down { glyphs.dead } else { glyphs.me };
    add(
        0,
        false,
        vec![
            (format!("{me} {}", text::middle(&id, 16)), theme.focus),
            (format!("{me} {}", text::middle(&id, 10)), theme.focus),
        ],
    );
    let short = format!(":{}", snapshot.me.address().port());
    add(1, false, vec![(snapshot.me.to_string(), theme.text), (short, theme.text)]);
    if snapshot.positions.len() > 1 {
        let n = snapshot.positions.len().to_string();
        add(4, false, vec![(format!("{n} places"), theme.text)]);
    }
    if app.nodes.len() > 1 || app.lab {
        let n = format!("{}/{}", app.shown + 1, app.nodes.len());
        add(4, false, vec![(format!("node {n}"), theme.accent), (n, theme.accent)]);
    }
    if let Some(frozen) = &app.frozen {
        let since = text::span(app.now.saturating_sub(frozen.since));
        let more = text::count(frozen.events as u64, "event");
        add(
            2,
            true,
            vec![
                (format!(" FROZEN {since} · +{more} "), theme.chip),
                (format!(" FROZEN {since} "), theme.chip),
                (" FROZEN ".to_owned(), theme.chip),
            ],
        );
    }
    let word = standing(snapshot.standing);
    let style = match snapshot.standing {
        Standing::Member | Standing::Alone => theme.text,
        Standing::Joining | Standing::Leaving => theme.accent,
        Standing::Left | Standing::Down => theme.bad,
    };
    let rank = if snapshot.standing == Standing::Member { 12 } else { 5 };
    add(rank, false, vec![(word.to_owned(), style)]);
    add(10, false, vec![(format!("ring {}", text::end(&snapshot.ring, 24)), theme.dim)]);
    let open = if snapshot.secret { "secret" } else { "open" };
    add(
        13,
        false,
        vec![
            (format!("m {} · k {}", snapshot.space.bits(), snapshot.replicas), theme.dim),
            (format!("m {}", snapshot.space.bits()), theme.dim),
        ],
    );
    add(11, false, vec![(open.to_owned(), theme.dim)]);
    for (on, word) in [(app.explain, "explain"), (app.mouse, "mouse")] {
        if on {
            add(14, false, vec![(word.to_owned(), theme.dim)]);
        }
    }
    let mut count = vec![(nodes_and_gone(snapshot), theme.text)];
    if snapshot.gone() > 0 {
        count[0].1 = theme.warn;
        count.push((node_count(snapshot), theme.text));
    }
    add(3, false, count);
    // Not counted one by one: there may be very many.
    let shared = snapshot.sharing.files;
    let kept = (snapshot.files.len() as u64).saturating_sub(u64::from(shared));
    add(7, false, vec![(text::count(kept, "file"), theme.text)]);
    let unwell = files::unwell(scene);
    if !unwell.is_empty() {
        add(8, false, unwell);
    }
    if shared > 0 {
        add(12, false, vec![(format!("{shared} shared"), theme.text)]);
    }
    if snapshot.events_dropped > 0 {
        let n = snapshot.events_dropped;
        add(
            8,
            true,
            vec![
                (format!("{} dropped", text::count(n, "event")), theme.warn),
                (format!("{} {n}", glyphs.alert), theme.warn),
            ],
        );
    }
    let (glyph, word, style) = light(scene);
    let words = health_words(&snapshot.health).join(" · ");
    let mut forms = vec![(format!("{glyph} {word}"), style), (glyph.to_owned(), style)];
    if !snapshot.health.is_good() {
        forms.insert(0, (format!("{glyph} {words}"), style));
    }
    add(6, true, forms);
    let (up, down) = snapshot.traffic.rates();
    let (u, d) = (glyphs.up_arrow, glyphs.down_arrow);
    if up + down > 0 {
        // One way is often silent: nothing is said of it, but its place stays.
        let rate = |rate| if rate > 0 { text::rate(rate) } else { "—".to_owned() };
        let long = format!("{u} {:>8}  {d} {:>8}", rate(up), rate(down));
        let short = format!("{u}{} {d}{}", text::short_size(up), text::short_size(down));
        add(9, true, vec![(long, theme.text), (short, theme.text)]);
    }
    all
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
