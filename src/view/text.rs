//! Outcomes as plain text: what the prompt's output and the command line print.
//!
//! Only text is made here: no colours, no terminal, no I/O. Lines carry no line
//! ends. The first line of a table names its columns.

use std::borrow::Cow;
use std::time::Duration;

use unicode_width::UnicodeWidthStr;

use crate::id::Space;
use crate::peer::Peer;

use super::command::{self, Spec, TABLE};
use super::outcome::{Info, Outcome, RingFile};
use super::{FileRow, Finger, Health, Hop, Role, TransferKind, TransferRow, TransferState};

/// Cells of a paragraph's line: fits the smallest usual terminal in a frame.
const PARAGRAPH: usize = 74;

/// A command's result as lines of text; at least one line.
pub fn lines(outcome: &Outcome) -> Vec<String> {
    match outcome {
        Outcome::Joined { me, successor, ring, space, adopted } => {
            let own = show(*space, me);
            let next = show(*space, successor);
            let took = if *adopted {
                format!("; took over its size {space} and its replica count")
            } else {
                String::new()
            };
            vec![format!("joined ring '{}' as {own}, before {next}{took}", clean(ring))]
        }
        Outcome::Left { handed, kept: 0 } => {
            vec![format!("left the ring; {} handed over", files(*handed))]
        }
        Outcome::Left { handed, kept } => vec![format!(
            "left the ring; {} handed over, {kept} kept on this disk only",
            files(*handed)
        )],
        Outcome::Stored { name, key, size, holders, wanted, already, space, .. } => {
            let word = if *already { "already stored" } else { "stored" };
            vec![format!(
                "{name} {word}: {}, key {}, {}/{wanted} copies on {}",
                bytes(*size),
                space.show(*key),
                holders.len(),
                peers(*space, holders),
            )]
        }
        Outcome::Fetched { name, size, path, sources, millis } => {
            let sources: Vec<_> = sources
                .iter()
                .map(|(peer, part)| match sources.len() {
                    1 => peer.to_string(),
                    _ => format!("{peer} ({})", bytes(*part)),
                })
                .collect();
            let from = match sources.as_slice() {
                [] => "this node".to_owned(),
                some => some.join(", "),
            };
            vec![format!(
                "{name} fetched: {} in {} from {from}, saved to {}",
                bytes(*size),
                duration(Duration::from_millis(*millis)),
                clean(&path.to_string_lossy()),
            )]
        }
        Outcome::Removed { name, copies } => {
            vec![format!("{name} removed on {}", count(usize::from(*copies), "node", "nodes"))]
        }
        Outcome::Files { files, space } => file_lines(files, *space),
        Outcome::RingFiles { files, silent, space } => ring_file_lines(files, silent, *space),
        Outcome::Info(info) => info_lines(info),
        Outcome::Fingers { fingers, space } => finger_lines(fingers, *space),
        Outcome::Ring { members, health, space } => ring_lines(members, *health, *space),
        Outcome::Lookup { text, key, owner, hops, space } => {
            let key = space.show(*key);
            let mut lines = vec![format!(
                "{} has key {key}; its owner is {}, found in {}",
                clean(text),
                show(*space, owner),
                count(hops.len(), "hop", "hops"),
            )];
            lines.extend(hop_lines(hops, *space));
            lines
        }
        Outcome::Pong { peer, micros } => {
            vec![format!("{peer} answered in {}", duration(Duration::from_micros(*micros)))]
        }
        Outcome::IdOf { text, space, id } => {
            vec![format!("{} has id {} (SHA-1 mod {space})", clean(text), space.show(*id))]
        }
        Outcome::Transfers(rows) => transfer_lines(rows),
        Outcome::Cancelled { number, name } => {
            vec![format!("transfer {number} of {} cancelled", clean(name))]
        }
        Outcome::Shared { .. }
        | Outcome::Unshared { .. }
        | Outcome::Found(_)
        | Outcome::Ambiguous { .. }
        | Outcome::Scanned(_)
        | Outcome::Connected { .. }
        | Outcome::Disconnected { .. }
        | Outcome::Peers { .. }
        | Outcome::Said { .. } => vec!["done".to_owned()],
        Outcome::Quit => vec!["goodbye".to_owned()],
        Outcome::Help(word) => help_lines(word.as_deref()),
    }
}

/// The help as lines: the whole table, or one command's paragraph.
pub fn help_lines(word: Option<&str>) -> Vec<String> {
    match word {
        None => {
            let rows = TABLE.iter().map(|spec| vec![spec.usage(), spec.summary.to_owned()]);
            table(&["COMMAND", "WHAT IT DOES"], &[], rows.collect())
        }
        Some(word) => match command::spec(word) {
            Some(spec) => spec_lines(spec),
            None => vec![format!("there is no command '{}'; help lists all", clean(word))],
        },
    }
}

/// A number of bytes for people: `999 B`, `85.0 kB`, `1.2 GB` (powers of 1 000).
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1_000.0;
    let mut unit = 0;
    // From 999.95 on one decimal would read "1000.0".
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A span of time for people: `840 µs`, `4.2 ms`, `1.3 s`, `2 min 05 s`.
pub fn duration(span: Duration) -> String {
    let micros = span.as_micros();
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..9_950 => format!("{:.1} ms", micros as f64 / 1e3),
        9_950..999_500 => format!("{:.0} ms", micros as f64 / 1e3),
        999_500..59_950_000 => format!("{:.1} s", micros as f64 / 1e6),
        _ => {
            let seconds = (micros + 500_000) / 1_000_000;
            format!("{} min {:02} s", seconds / 60, seconds % 60)
        }
    }
}

/// Text of a foreign origin without anything that a terminal would obey or
/// that would reorder or hide its neighbours; those characters become `?`,
/// tabs and line ends become blanks.
pub fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let harmless = |c| match c {
        '\t' | '\n' | '\r' => ' ',
        c if is_harmless(c) => c,
        _ => '?',
    };
    Cow::Owned(text.chars().map(harmless).collect())
}

fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}')
}

/// Columns padded to one width, two blanks between them. `right` names the
/// columns that are flush right; the last column is never padded.
fn table(head: &[&str], right: &[usize], rows: Vec<Vec<String>>) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|&title| title.to_owned()).collect();
    let mut widths: Vec<usize> = head.iter().map(|title| title.width()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.width());
        }
    }
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let blanks = " ".repeat(width.saturating_sub(cell.width()));
            if column > 0 {
                line.push_str("  ");
            }
            if right.contains(&column) {
                line.push_str(&blanks);
                line.push_str(cell);
            } else {
                line.push_str(cell);
                line.push_str(&blanks);
            }
        }
        line.truncate(line.trim_end().len());
        line
    };
    std::iter::once(&head).chain(&rows).map(line).collect()
}

fn show(space: Space, peer: &Peer) -> String {
    format!("{} {peer}", space.show(peer.id(space)))
}

fn peers(space: Space, peers: &[Peer]) -> String {
    let shown: Vec<_> = peers.iter().map(|peer| show(space, peer)).collect();
    if shown.is_empty() { "nobody".to_owned() } else { shown.join(", ") }
}

fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

fn files(number: usize) -> String {
    count(number, "file", "files")
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Owner => "owner",
        Role::Replica => "replica",
        Role::Shared => "shared",
    }
}

fn file_lines(rows: &[FileRow], space: Space) -> Vec<String> {
    if rows.is_empty() {
        return vec!["no files here; ls --ring lists those of the whole ring".to_owned()];
    }
    let cells = rows.iter().map(|file| {
        vec![
            file.name.to_string(),
            space.show(file.key),
            bytes(file.size),
            role(file.role).to_owned(),
            format!("{}/{}", file.copies, file.wanted),
            file.version.to_string(),
        ]
    });
    table(&["NAME", "KEY", "SIZE", "ROLE", "COPIES", "VERSION"], &[1, 2, 4], cells.collect())
}

fn ring_file_lines(rows: &[RingFile], silent: &[Peer], space: Space) -> Vec<String> {
    let mut lines = if rows.is_empty() {
        vec!["no files on the ring; put PATH stores one".to_owned()]
    } else {
        let cells = rows.iter().map(|row| {
            let file = &row.file;
            let holders: Vec<_> =
                row.holders.iter().map(|peer| space.show(peer.id(space))).collect();
            vec![
                file.name.to_string(),
                space.show(file.key),
                bytes(file.size),
                format!("{}/{}", file.copies, file.wanted),
                holders.join(" "),
            ]
        });
        table(&["NAME", "KEY", "SIZE", "COPIES", "HOLDERS"], &[1, 2, 3], cells.collect())
    };
    if !silent.is_empty() {
        lines.push(format!(
            "{} did not answer, so files may be missing above: {}",
            count(silent.len(), "member", "members"),
            peers(space, silent)
        ));
    }
    lines
}

fn info_lines(info: &Info) -> Vec<String> {
    let space = info.space;
    let predecessor = info.predecessor.as_ref().map_or("none".to_owned(), |peer| show(space, peer));
    let mut lines = vec![
        format!("node         {}", show(space, &info.me)),
        format!("ring         {}, {space} places, {}", clean(&info.ring), copies(info.replicas)),
        format!("predecessor  {predecessor}"),
    ];
    let mut title = "successors";
    for peer in &info.successors {
        lines.push(format!("{title:<11}  {}", show(space, peer)));
        title = "";
    }
    if info.successors.is_empty() {
        lines.push("successors   none: alone on the ring".to_owned());
    }
    lines.push(format!("version      {}", clean(&info.version)));
    lines
}

fn copies(replicas: u8) -> String {
    count(usize::from(replicas), "copy of each file", "copies of each file")
}

fn finger_lines(fingers: &[Finger], space: Space) -> Vec<String> {
    let cells = fingers.iter().map(|finger| {
        let (id, address) = match &finger.node {
            Some(peer) => (space.show(peer.id(space)), peer.to_string()),
            None => ("?".to_owned(), "not known yet".to_owned()),
        };
        vec![finger.index.to_string(), space.show(finger.start), id, address]
    });
    table(&["FINGER", "START", "NODE", "ADDRESS"], &[0, 1, 2], cells.collect())
}

fn ring_lines(members: &[Peer], health: Health, space: Space) -> Vec<String> {
    let rows = members.iter().map(|peer| vec![space.show(peer.id(space)), peer.to_string()]);
    let mut lines = table(&["ID", "ADDRESS"], &[0], rows.collect());
    let yes = |holds: bool| if holds { "yes" } else { "NO" };
    let margin = match health.margin {
        Some(margin) => format!(", at least {margin} live in every list"),
        None => String::new(),
    };
    lines.push(format!(
        "{}; one ring: {}, ordered: {}, lists valid: {}{margin}",
        count(members.len(), "member", "members"),
        yes(health.one_ring),
        yes(health.ordered),
        yes(health.lists_valid),
    ));
    lines
}

fn hop_lines(hops: &[Hop], space: Space) -> Vec<String> {
    if hops.is_empty() {
        return Vec::new();
    }
    let rows = hops.iter().enumerate().map(|(at, hop)| {
        let time = match hop.micros {
            Some(micros) => duration(Duration::from_micros(micros)),
            None => "no answer".to_owned(),
        };
        let id = space.show(hop.peer.id(space));
        vec![(at + 1).to_string(), id, hop.peer.to_string(), time]
    });
    table(&["HOP", "ID", "ADDRESS", "TIME"], &[0, 1], rows.collect())
}

fn transfer_lines(rows: &[TransferRow]) -> Vec<String> {
    if rows.is_empty() {
        return vec!["no transfers".to_owned()];
    }
    let cells = rows.iter().map(|row| {
        let state = match &row.state {
            TransferState::Running => {
                let share = (row.done.saturating_mul(100)).checked_div(row.total).unwrap_or(0);
                format!("{share} %, {}/s", bytes(row.rate))
            }
            TransferState::Securing { copies, wanted } => {
                format!("securing {copies}/{wanted} copies")
            }
            TransferState::Done => "done".to_owned(),
            TransferState::Failed(why) => format!("failed: {}", clean(why)),
            TransferState::Cancelled => "cancelled".to_owned(),
        };
        let with: Vec<_> = row.peers.iter().map(|(address, _)| address.to_string()).collect();
        vec![
            row.number.to_string(),
            transfer_kind(row.kind).to_owned(),
            clean(&row.name).into_owned(),
            bytes(row.total),
            with.join(" "),
            state,
        ]
    });
    table(&["N", "KIND", "NAME", "SIZE", "WITH", "STATE"], &[0, 3], cells.collect())
}

fn transfer_kind(kind: TransferKind) -> &'static str {
    match kind {
        TransferKind::Download => "get",
        TransferKind::Upload => "put",
        TransferKind::Copy => "copy",
        TransferKind::Serve => "serve",
        TransferKind::Receive => "receive",
        TransferKind::Hash => "hash",
    }
}

fn spec_lines(spec: &Spec) -> Vec<String> {
    let mut lines = vec![format!("{}: {}", spec.usage(), spec.summary)];
    if !spec.aliases.is_empty() {
        lines.push(format!("also: {}", spec.aliases.join(", ")));
    }
    let arguments = spec.arguments.iter().map(|a| vec![a.name.to_owned(), a.help.to_owned()]);
    let flags = spec.flags.iter().map(|flag| {
        let word = match flag.value {
            Some((value, _)) => format!("{} {value}", flag.name),
            None => flag.name.to_owned(),
        };
        vec![word, flag.help.to_owned()]
    });
    let words: Vec<_> = arguments.chain(flags).collect();
    if !words.is_empty() {
        lines.extend(table(&["", ""], &[], words).split_off(1));
    }
    lines.extend(wrap(spec.details));
    lines
}

/// A paragraph as lines of at most [`PARAGRAPH`] cells.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= PARAGRAPH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::name::FileName;
    use crate::record::{ContentHash, Version};

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn name(text: &str) -> FileName {
        FileName::new(text).expect("a name")
    }

    fn version() -> Version {
        Version { counter: 2, root: ContentHash([0xAB; 32]) }
    }

    fn row(text: &str, size: u64) -> FileRow {
        let name = name(text);
        let key = name.key(Space::default());
        FileRow { name, key, size, version: version(), role: Role::Owner, copies: 2, wanted: 3 }
    }

    #[test]
    fn a_put_tells_size_key_copies_and_holders() {
        let stored = Outcome::Stored {
            name: name("SkyShip.jpg"),
            key: Id::new(189),
            size: 85_000,
            version: version(),
            holders: vec![peer(2000), peer(2002), peer(2001)],
            wanted: 3,
            already: false,
            space: Space::default(),
        };
        assert_eq!(
            lines(&stored),
            ["SkyShip.jpg stored: 85.0 kB, key 189, 3/3 copies on 466 127.0.0.1:2000, \
              495 127.0.0.1:2002, 48 127.0.0.1:2001"]
        );
    }

    #[test]
    fn a_list_of_files_is_aligned_even_with_wide_names() {
        let outcome = Outcome::Files {
            files: vec![row("SkyShip.jpg", 85_000), row("空の船.jpg", 7)],
            space: Space::default(),
        };
        let lines = lines(&outcome);
        assert_eq!(lines[0], "NAME         KEY     SIZE  ROLE   COPIES  VERSION");
        assert_eq!(lines[1], "SkyShip.jpg  189  85.0 kB  owner     2/3  2-abababab");
        assert_eq!(lines[0].find("SIZE").map(|at| at + 4), Some(25));
        assert_eq!(lines[2].split("7 B").next().map(|start| start.width()), Some(22));
    }

    #[test]
    fn a_lookup_lists_each_hop_with_its_time() {
        let outcome = Outcome::Lookup {
            text: "SkyShip.jpg".into(),
            key: Id::new(189),
            owner: peer(2000),
            hops: vec![
                Hop { peer: peer(2002), micros: Some(840) },
                Hop { peer: peer(2001), micros: None },
            ],
            space: Space::default(),
        };
        assert_eq!(
            lines(&outcome),
            [
                "SkyShip.jpg has key 189; its owner is 466 127.0.0.1:2000, found in 2 hops",
                "HOP   ID  ADDRESS         TIME",
                "  1  495  127.0.0.1:2002  840 µs",
                "  2   48  127.0.0.1:2001  no answer",
            ]
        );
    }

    #[test]
    fn a_ring_with_a_broken_property_shouts() {
        let outcome = Outcome::Ring {
            members: vec![peer(2001), peer(2000)],
            health: Health { one_ring: false, ordered: true, lists_valid: true, margin: Some(1) },
            space: Space::default(),
        };
        assert_eq!(
            lines(&outcome).last().map(String::as_str),
            Some(
                "2 members; one ring: NO, ordered: yes, lists valid: yes, \
                 at least 1 live in every list"
            )
        );
    }

    #[test]
    fn a_get_names_its_sources_and_where_the_file_is() {
        let outcome = |sources| Outcome::Fetched {
            name: name("a.iso"),
            size: 2_000_000,
            path: "peer_2000_downloads/a.iso".into(),
            sources,
            millis: 1_250,
        };
        assert_eq!(
            lines(&outcome(vec![(peer(2001), 2_000_000)])),
            [
                "a.iso fetched: 2.0 MB in 1.2 s from 127.0.0.1:2001, saved to peer_2000_downloads/a.iso"
            ]
        );
        let both = lines(&outcome(vec![(peer(2001), 500_000), (peer(2002), 1_500_000)]));
        assert!(both[0].contains("127.0.0.1:2001 (500.0 kB), 127.0.0.1:2002 (1.5 MB)"));
    }

    #[test]
    fn every_command_can_be_explained() {
        for spec in TABLE {
            let lines = help_lines(Some(spec.name));
            assert!(lines[0].starts_with(&spec.usage()), "{}", spec.name);
            let details = lines.join(" ");
            assert!(details.ends_with(spec.details), "{}", spec.name);
        }
        assert_eq!(help_lines(None).len(), TABLE.len() + 1);
        assert!(help_lines(Some("nonsense"))[0].contains("no command 'nonsense'"));
    }

    #[test]
    fn sizes_and_times_are_rounded_for_people() {
        for (count, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (85_000, "85.0 kB"),
            (999_949, "999.9 kB"),
            (999_999, "1.0 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(bytes(count), text);
        }
        for (micros, text) in [
            (840, "840 µs"),
            (4_200, "4.2 ms"),
            (9_960, "10 ms"),
            (999_600, "1.0 s"),
            (59_960_000, "1 min 00 s"),
            (125_000_000, "2 min 05 s"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
    }

    #[test]
    fn foreign_text_cannot_reach_the_terminal_as_a_command() {
        assert_eq!(clean("plain é 空"), "plain é 空");
        assert_eq!(clean("a\u{1b}[2J\u{202e}b\tc"), "a?[2J?b c");
        assert_eq!(clean("\u{9b}31m"), "?31m");
    }
}
