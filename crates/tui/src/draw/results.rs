//! Results to choose from, over the panels: a search, a scan, the contents of
//! one name.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::overlays::{Drawn, centred, draw_more, window};
use super::scene::{Scene, put, put_empty};
use super::table::{self, Column, Row, Shown, Table};
use super::text;
use crate::panel::TableState;
use crate::results::{Listed, Results};
use chordal_core::id::Space;
use chordal_core::peer::Peer;
use chordal_view::{Behind, FoundContent, ScanRow, ScannedPort, SearchRow};

/// Cells of the window, at most: longer lines are hard to read.
const MAX_WIDTH: u16 = 116;

/// Rows of a list whose length is not known: it grows by so many at a time, so
/// that the window does not move with every result.
const STEP: u16 = 4;

/// Rows of such a list at first.
const FIRST_ROWS: u16 = 8;

/// Rows of a list, at most, where the screen is not high.
const MOST_ROWS: u16 = 14;

/// Cells of ` and 9999 more`.
const REST: usize = 14;

/// Cells of ` not found on 127.0.0.1:65535` and longer addresses.
const PEER_WORDS: usize = 40;

/// Cells of a pattern below which its beginning tells nothing.
const MIN_PATTERN: usize = 8;

/// Cells of a scan's bar.
const BAR: u64 = 10;

/// Draws the results of the shown node.
pub(super) fn draw(scene: Scene, buf: &mut Buffer, room: Rect) -> Drawn {
    let tab = scene.app.nodes.get(scene.app.shown);
    let Some(results) = tab.and_then(|tab| tab.results.as_ref()) else { return Drawn::default() };
    let lines = lines_above(scene, results, usize::from(room.width.saturating_sub(8)));
    let rows = match &results.of {
        Listed::Contents { contents, .. } => contents.len() as u16,
        Listed::Scan(scan) if scan.total <= MOST_ROWS => scan.total,
        Listed::Search(_) | Listed::Scan(_) => {
            let rows = u16::try_from(results.rows()).unwrap_or(u16::MAX - STEP);
            rows.next_multiple_of(STEP).clamp(FIRST_ROWS, MOST_ROWS.max(room.height / 2))
        }
    };
    let is_scan = matches!(results.of, Listed::Scan(_));
    // What is above, a blank row, the titles, the rows, and the lines on the
    // selected one below a blank row; and the frame.
    let height = (lines.len() as u16).saturating_add(rows).saturating_add(7 - u16::from(is_scan));
    let place = centred(room, room.width.saturating_sub(4).min(MAX_WIDTH), height);
    // What is told meanwhile would be hidden below the window.
    let told = scene.app.prompt.message.as_ref().and_then(|message| message.text.lines().next());
    let hint = match told {
        Some(told) => text::end(told, usize::from(place.width.saturating_sub(6))).into_owned(),
        None if results.rows() == 0 => "Esc closes".to_owned(),
        None if is_scan => "↑ ↓ select · ← → action · y copies · Esc closes".to_owned(),
        None => "↑ ↓ select · ← → source · y copies · Esc closes".to_owned(),
    };
    let inner = window(scene, buf, place, &results.title(), &hint);
    let parts = divide(inner, lines.len(), !is_scan);
    let lines = fold(scene, results, lines, usize::from(parts.above.height));
    for (i, line) in lines.iter().enumerate() {
        put(buf, Rect { y: parts.above.y + i as u16, height: 1, ..parts.above }, line);
    }
    let mut state = results.table;
    let shown = match &results.of {
        _ if parts.table.is_empty() => None,
        _ if results.rows() == 0 => {
            draw_nothing(scene, buf, parts.table, results);
            None
        }
        Listed::Scan(_) => Some(draw_ports(scene, buf, parts.table, results, &mut state)),
        Listed::Search(_) | Listed::Contents { .. } => {
            Some(draw_contents(scene, buf, parts.table, results, &mut state))
        }
    };
    if let Some(row) = parts.about {
        put(buf, row, &about(scene, results, usize::from(row.width)));
    }
    if let Some(row) = parts.command {
        put(buf, row, &command(scene, results, usize::from(row.width)));
    }
    let rows = shown.map(|shown| {
        let height = (shown.to - shown.from) as u16;
        // A low table has no titles.
        let y = parts.table.y + u16::from(parts.table.height >= table::TITLED);
        let rows = Rect { y, height, ..parts.table };
        draw_more(scene, buf, place, rows, shown.from, shown.of);
        rows
    });
    Drawn { scroll: Some(state.offset), cursor: None, rows }
}

/// What stands where inside the window.
struct Parts {
    above: Rect,
    table: Rect,
    /// One line on the selected row.
    about: Option<Rect>,
    /// What Enter does to it.
    command: Option<Rect>,
}

/// With less room rows go in this order: the blank ones, what is said of the
/// selected row, the lines above but the first, what Enter does.
fn divide(inner: Rect, lines: usize, about: bool) -> Parts {
    let height = inner.height;
    let wanted = u16::try_from(lines).unwrap_or(u16::MAX);
    let above = wanted.min((height / 3).max(1)).min(height);
    let gap = u16::from(height >= 12 && above > 0);
    let about = about && height >= 8;
    let command = height >= 4;
    let below = u16::from(about) + u16::from(command) + u16::from(height >= 12);
    let row = |from_end: u16| Rect { y: inner.bottom() - from_end, height: 1, ..inner };
    Parts {
        above: Rect { height: above, ..inner },
        table: Rect {
            y: inner.y + above + gap,
            height: height.saturating_sub(above + gap + below),
            ..inner
        },
        about: about.then(|| row(2)),
        command: command.then(|| row(1)),
    }
}

/// The state of the whole, and what each linked peer answered.
fn lines_above(scene: Scene, results: &Results, room: usize) -> Vec<Line<'static>> {
    match &results.of {
        Listed::Search(search) => search_lines(scene, search, room),
        Listed::Contents { contents, .. } => {
            let count = contents.len();
            let text = format!("{count} different contents have this name; choose one");
            vec![Line::from(text)]
        }
        Listed::Scan(scan) => vec![scan_line(scene, scan)],
    }
}

/// At most this many lines: the last of them counts the peers whose lines had
/// no room.
fn fold(
    scene: Scene,
    results: &Results,
    mut lines: Vec<Line<'static>>,
    most: usize,
) -> Vec<Line<'static>> {
    let (Listed::Search(search), true) = (&results.of, lines.len() > most) else { return lines };
    lines.truncate(most);
    let head = lines.len().saturating_sub(1);
    let left = search.peers.len().min((1 + search.peers.len()).saturating_sub(most.max(1) - 1));
    let rest = &search.peers[search.peers.len() - left..];
    let have = rest.iter().filter(|(_, found)| *found == Some(true)).count();
    if head > 0 && left > 0 {
        let peers = if left == 1 { "peer" } else { "peers" };
        let text = match have {
            0 => format!("  {left} more {peers}: not found"),
            all if all == left => format!("  {left} more {peers}: found"),
            some => format!("  {left} more {peers}: found on {some}"),
        };
        lines[head] = Line::styled(text, scene.theme().dim);
    }
    lines
}

fn search_lines(scene: Scene, search: &SearchRow, room: usize) -> Vec<Line<'static>> {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    let (glyph, style) =
        if search.running { (scene.wheel(), theme.accent) } else { (glyphs.done, theme.good) };
    let nodes = text::count(u64::from(search.answered), "node");
    let found = text::count(search.contents.len() as u64, "content");
    let depth = text::count(u64::from(search.depth), "message");
    let mut state = format!("{nodes} answered · {found} · {depth} deep");
    if text::width(&state) + 2 > room {
        state = format!("{nodes} answered · {found}");
    }
    let mut lines = vec![Line::from(vec![
        Span::styled(glyph, style),
        Span::raw(format!(" {}", text::end(&state, room.saturating_sub(2)))),
    ])];
    let mut warn = |text: String| {
        let text = text::end(&text, room.saturating_sub(2)).into_owned();
        lines.push(Line::styled(format!("{} {text}", glyphs.alert), theme.warn));
    };
    if !search.silent.is_empty() {
        let who: Vec<String> = search.silent.iter().map(|peer| show(scene, peer)).collect();
        warn(format!("no answer from {}: their files may be missing", who.join(", ")));
    }
    if search.truncated {
        warn("more was found than is kept: a longer pattern shows the rest".to_owned());
    }
    for (peer, found) in &search.peers {
        // The title says what is searched; an address has no second place.
        let pattern = match room.saturating_sub(PEER_WORDS) {
            left if left < text::width(&search.pattern).min(MIN_PATTERN) => String::new(),
            left => format!("{} ", text::end(&search.pattern, left)),
        };
        let (glyph, style, words) = match found {
            Some(true) => (glyphs.done, theme.good, format!("{pattern}found on {peer}")),
            Some(false) => (glyphs.absent, theme.dim, format!("{pattern}not found on {peer}")),
            None if search.running => {
                (scene.wheel(), theme.accent, format!("{peer} is being asked"))
            }
            None => (glyphs.dead, theme.bad, format!("{peer} did not answer")),
        };
        let body = if *found == Some(true) { theme.text } else { theme.dim };
        lines.push(Line::from(vec![
            Span::styled(glyph, style),
            Span::raw(" "),
            Span::styled(words, body),
        ]));
    }
    lines
}

fn scan_line(scene: Scene, scan: &ScanRow) -> Line<'static> {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    let count = |wanted: fn(&Behind) -> bool| {
        scan.ports.iter().filter(|port| wanted(&port.found)).count() as u64
    };
    let nodes = count(|found| matches!(found, Behind::Node(_) | Behind::OtherRing { .. }));
    let registries = count(|found| *found == Behind::Registry);
    let inactive = count(|found| *found == Behind::Inactive);
    let mut words = vec![text::count(nodes, "node")];
    if registries > 0 {
        let many = if registries == 1 { "y" } else { "ies" };
        words.push(format!("{registries} registr{many}"));
    }
    words.push(format!("{inactive} inactive"));
    let words = words.join(" · ");
    if scan.done >= scan.total {
        return Line::from(vec![
            Span::styled(glyphs.done, theme.good),
            Span::raw(format!(" {} tried · {words}", text::count(u64::from(scan.total), "port"))),
        ]);
    }
    let full = u64::from(scan.done) * BAR / u64::from(scan.total.max(1));
    Line::from(vec![
        Span::styled(scene.wheel(), theme.accent),
        Span::raw(" "),
        Span::styled(glyphs.full.repeat(full as usize), theme.accent),
        Span::styled(glyphs.empty.repeat((BAR - full) as usize), theme.dim),
        Span::raw(format!(" {}/{} · {words}", scan.done, scan.total)),
    ])
}

fn draw_nothing(scene: Scene, buf: &mut Buffer, area: Rect, results: &Results) {
    let (what, next) = match &results.of {
        _ if results.is_running() => ("Nothing yet", "results come in as they are found"),
        Listed::Scan(_) => ("Nobody is there", "scan HOST FROM-TO looks elsewhere"),
        Listed::Search(_) | Listed::Contents { .. } => {
            ("Nothing matches", "a shorter word matches more; * and ? match anything")
        }
    };
    put_empty(scene, buf, area, what, next);
}

fn draw_contents(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    results: &Results,
    state: &mut TableState,
) -> Shown {
    let (theme, glyphs, snapshot) = (scene.theme(), scene.glyphs(), scene.snapshot);
    let columns = [
        Column::new("name", 14, 30, 0).grows(),
        Column::new("size", 7, 7, 2).right(),
        Column::new("hash", 8, 8, 3),
        Column::new("sources", 7, 7, 1).right(),
        Column::new("who", 12, 24, 4).grows(),
        Column::new("kept by", 7, 7, 5),
    ];
    let table = Table { focus: true, columns: &columns, rows: results.rows() };
    table::draw(scene, buf, area, table, state, |i, widths| {
        let Some(content) = results.content(i) else {
            return Row { cells: Vec::new(), dim: false };
        };
        let name = content.names.first().map_or("", |name| name.as_str());
        let more = match content.names.len() {
            0 | 1 => String::new(),
            names => format!(" +{}", names - 1),
        };
        let room = usize::from(widths[0]).saturating_sub(more.len());
        Row {
            cells: vec![
                Line::from(vec![
                    Span::raw(text::middle(name, room).into_owned()),
                    Span::styled(more, theme.dim),
                ]),
                Line::raw(text::size(content.size)),
                Line::styled(content.root.short(), theme.key),
                sources(content, glyphs.up, theme.good),
                Line::styled(who(content, &snapshot.me, usize::from(widths[4])), theme.dim),
                Line::styled(if content.stored { "ring" } else { "sharers" }, theme.dim),
            ],
            dim: false,
        }
    })
}

/// `● 3`: how many have it.
fn sources(content: &FoundContent, glyph: &'static str, style: Style) -> Line<'static> {
    Line::from(vec![Span::styled(glyph, style), Span::raw(format!(" {}", content.sources.len()))])
}

/// As many sources as there is room for.
fn who(content: &FoundContent, me: &Peer, room: usize) -> String {
    let mut shown = String::new();
    for (i, peer) in content.sources.iter().enumerate() {
        let next = text::short_address(peer, me);
        let left = content.sources.len() - i;
        let rest = if left > 1 { format!(" +{}", left - 1) } else { String::new() };
        let gap = usize::from(!shown.is_empty());
        if text::width(&shown) + gap + text::width(&next) + rest.len() > room {
            let rest = format!("+{left}");
            if text::width(&shown) + gap + rest.len() <= room {
                shown.push_str(if gap > 0 { " " } else { "" });
                shown.push_str(&rest);
            }
            break;
        }
        shown.push_str(if gap > 0 { " " } else { "" });
        shown.push_str(&next);
    }
    shown
}

fn draw_ports(
    scene: Scene,
    buf: &mut Buffer,
    area: Rect,
    results: &Results,
    state: &mut TableState,
) -> Shown {
    let (theme, snapshot) = (scene.theme(), scene.snapshot);
    let Listed::Scan(scan) = &results.of else { return Shown { from: 0, to: 0, of: 0 } };
    let space = scan.space;
    let spaces = scan.ports.iter().filter_map(|port| match &port.found {
        Behind::OtherRing { space, .. } => Some(*space),
        _ => None,
    });
    let digits = |space: Space| text::width(&space.show(space.last())) as u16;
    let ids = spaces.chain([space]).map(digits).max().unwrap_or(4).min(16);
    let address = if snapshot.me.address().is_ipv4() { 23 } else { 34 };
    let columns = [
        Column::new("address", 9, address, 0),
        Column::new("what", 11, 11, 1),
        Column::new("id", ids.clamp(4, 8), ids.max(4), 3),
        Column::new("", 8, 16, 2).grows(),
    ];
    let table = Table { focus: true, columns: &columns, rows: results.rows() };
    table::draw(scene, buf, area, table, state, |i, widths| {
        let Some(port) = results.port(i) else {
            return Row { cells: Vec::new(), dim: false };
        };
        let (glyph, style, what) = behind(scene, &port.found);
        let mut address = port.address.to_string();
        if text::width(&address) + 2 > usize::from(widths[0]) {
            // They are all on the host that the title names.
            address = format!(":{}", port.address.port());
        }
        let id = match &port.found {
            Behind::Node(peer) => space.show(peer.id(space)),
            Behind::OtherRing { peer, space, .. } => {
                let id = space.show(peer.id(*space));
                text::middle(&id, usize::from(widths[2])).into_owned()
            }
            _ => String::new(),
        };
        let note = text::end(&note(scene, port), usize::from(widths[3])).into_owned();
        Row {
            cells: vec![
                Line::from(vec![Span::styled(glyph, style), Span::raw(" "), Span::raw(address)]),
                Line::styled(what, style),
                Line::styled(id, theme.title),
                Line::styled(note, theme.dim),
            ],
            dim: port.found == Behind::Inactive,
        }
    })
}

fn behind(scene: Scene, found: &Behind) -> (&'static str, Style, &'static str) {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    match found {
        Behind::Node(_) => (glyphs.up, theme.good, "node"),
        Behind::OtherRing { .. } => (glyphs.suspect, theme.warn, "other ring"),
        Behind::Registry => (glyphs.key, theme.key, "registry"),
        Behind::Me => (glyphs.me, theme.accent, "this node"),
        Behind::NotChordal(_) => (glyphs.alert, theme.warn, "not chordal"),
        Behind::Inactive => (glyphs.detail, theme.dim, "inactive"),
    }
}

/// What else is known of a port.
fn note(scene: Scene, port: &ScannedPort) -> String {
    let snapshot = scene.snapshot;
    match &port.found {
        Behind::Node(peer) => {
            let linked = snapshot.peers.iter().any(|row| row.peer == *peer && row.link.is_some());
            let member = snapshot.members.iter().any(|member| member.peer == *peer);
            match (member, linked) {
                (true, true) => "on this ring, linked".to_owned(),
                (true, false) => "on this ring".to_owned(),
                (false, true) => "linked".to_owned(),
                (false, false) => String::new(),
            }
        }
        Behind::OtherRing { ring, space, .. } => format!("ring '{ring}' of {space}"),
        Behind::NotChordal(why) => why.clone(),
        Behind::Registry | Behind::Me | Behind::Inactive => String::new(),
    }
}

/// One line on the selected row: its other names, and who has it.
fn about(scene: Scene, results: &Results, room: usize) -> Line<'static> {
    let theme = scene.theme();
    let Some(content) = results.content(results.table.selected) else { return Line::default() };
    let mut spans = Vec::new();
    if let [_, others @ ..] = content.names.as_slice()
        && !others.is_empty()
    {
        let names: Vec<&str> = others.iter().map(|name| name.as_str()).collect();
        spans.push(Span::styled(format!("also {} · ", names.join(", ")), theme.dim));
    }
    spans.push(Span::styled("at ", theme.dim));
    let chosen = results.choice.checked_sub(1);
    let chosen = chosen.and_then(|at| Results::sources(content, scene.snapshot).nth(at));
    // The chosen source is in sight, whatever stands before it.
    let at = content.sources.iter().position(|peer| Some(peer) == chosen).unwrap_or(0);
    let first = at.saturating_sub(1);
    let mut used: usize = spans.iter().map(Span::width).sum();
    for (i, peer) in content.sources.iter().enumerate().skip(first) {
        let mut name = if i == first { String::new() } else { ", ".to_owned() };
        if *peer == scene.snapshot.me {
            name.push_str("this node");
        } else {
            name.push_str(&show(scene, peer));
        }
        used += text::width(&name);
        let left = content.sources.len() - i;
        // Room for what is said when the rest has none.
        if used + REST > room && left > 1 || used > room {
            spans.push(Span::styled(format!(" and {left} more"), theme.dim));
            break;
        }
        let style = if chosen.is_some() && i == at { theme.focus } else { theme.dim };
        spans.push(Span::styled(name, style));
    }
    Line::from(spans)
}

/// `❯ get SkyShip.jpg   → from one source`: what Enter does.
fn command(scene: Scene, results: &Results, room: usize) -> Line<'static> {
    let (theme, glyphs) = (scene.theme(), scene.glyphs());
    let commands = results.commands(scene.snapshot);
    let Some(line) = results.command(scene.snapshot) else { return Line::default() };
    let choice = results.choice.min(commands.len().saturating_sub(1));
    let before = if choice > 0 { "← " } else { "" };
    let behind = if choice + 1 < commands.len() { "→ " } else { "" };
    let other = match &results.of {
        _ if commands.len() < 2 => String::new(),
        Listed::Scan(_) => {
            let word = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
            let words = |lines: &[String]| lines.iter().map(word).collect::<Vec<_>>().join(", ");
            let (left, right) = (words(&commands[..choice]), words(&commands[choice + 1..]));
            format!("   {before}{left}{}{behind}{right}", if choice > 0 { "   " } else { "" })
        }
        _ if choice == 0 => format!("   {behind}from one source"),
        _ => format!("   {before}{behind}source {choice} of {}", commands.len() - 1),
    };
    let line = text::middle(&line, room.saturating_sub(2)).into_owned();
    let mut spans = vec![
        Span::styled(format!("{} ", glyphs.prompt), theme.focus),
        Span::styled(line, theme.title),
    ];
    if spans.iter().map(Span::width).sum::<usize>() + text::width(&other) <= room {
        spans.push(Span::styled(other, theme.dim));
    }
    Line::from(spans)
}

fn show(scene: Scene, peer: &Peer) -> String {
    let space = scene.snapshot.space;
    let id = space.show(peer.id(space));
    format!("{} {}", text::middle(&id, 8), text::short_address(peer, &scene.snapshot.me))
}
