//! What a search or a scan found.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::command::quote;
use crate::{Behind, FoundContent, ScanRow, ScannedPort, SearchRow};
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::ContentHash;

use crate::format::{bytes, clean, count, table};

/// Names, or addresses, of one content in one row of a table.
const IN_A_ROW: usize = 4;

/// Ports up to which a scan lists those behind which there is nothing.
const ALL_PORTS: usize = 20;

/// The fewest digits of a hash that are shown to choose a content by.
const FEWEST_DIGITS: usize = 4;

pub(super) fn search_lines(search: &SearchRow) -> Vec<String> {
    let pattern = clean(&search.pattern);
    let word = |has: bool| if has { "found" } else { "not found" };
    let mut lines: Vec<String> = search
        .peers
        .iter()
        .map(|(peer, has)| match has {
            Some(has) => format!("{pattern} {} on {peer}", word(*has)),
            None if search.running => format!("no answer yet from {peer}"),
            None => format!("no answer from {peer}"),
        })
        .collect();
    if search.contents.is_empty() {
        let so_far = if search.running { "yet " } else { "" };
        lines.push(format!("nothing found {so_far}that matches '{pattern}'"));
    } else {
        let cells = search.contents.iter().map(|content| {
            let names = shorten(content.names.iter().map(ToString::to_string), ", ");
            let mut row = vec![names];
            row.extend(content_cells(content));
            row
        });
        lines.extend(table(&["NAME", "SIZE", "HASH", "KIND", "SOURCES"], &[1], cells.collect()));
        lines.extend(
            several_contents(&search.contents)
                .map(|(name, hint)| format!("{name} stands for different contents; {hint}")),
        );
    }
    lines.push(summary(search));
    lines
}

/// The contents of one name, of which the user has to choose one.
pub(super) fn ambiguous_lines(name: &FileName, contents: &[FoundContent]) -> Vec<String> {
    let number = count(contents.len(), "content", "different contents");
    let mut lines = vec![format!("{name} stands for {number}:")];
    lines.extend(table(
        &["SIZE", "HASH", "KIND", "SOURCES"],
        &[0],
        contents.iter().map(content_cells).collect(),
    ));
    let roots: Vec<_> = contents.iter().map(|content| content.root).collect();
    lines.extend(hint(name, &roots));
    lines
}

pub(super) fn scan_lines(scan: &ScanRow) -> Vec<String> {
    let short = scan.ports.len() <= ALL_PORTS;
    let shown = scan.ports.iter().filter(|port| short || port.found != Behind::Inactive);
    let cells: Vec<_> =
        shown.map(|port| vec![port.address.to_string(), behind(scan, port)]).collect();
    let mut lines = Vec::new();
    if !cells.is_empty() {
        lines.extend(table(&["ADDRESS", "WHAT IS THERE"], &[], cells));
    }
    lines.push(tally(scan));
    lines
}

/// One port's line: `node 466 on ring 'chordal' (2^10 ids, 3 copies)`.
fn behind(scan: &ScanRow, port: &ScannedPort) -> String {
    // A node may be reached at one address and go by another.
    let node = |id: String, peer: &Peer| {
        if *peer == Peer::new(port.address, 0) {
            format!("node {id}")
        } else {
            format!("node {id}, {peer},")
        }
    };
    match &port.found {
        Behind::Node(peer) => {
            format!("{} on this ring", node(scan.space.show(peer.id(scan.space)), peer))
        }
        Behind::OtherRing { peer, ring, space } => {
            format!("{} on ring {}", node(space.show(peer.id(*space)), peer), clean(ring))
        }
        Behind::Registry => "registry".to_owned(),
        Behind::Me => "this node".to_owned(),
        Behind::NotChordal(what) => format!("open, not chordal: {}", clean(what)),
        Behind::Inactive => "inactive".to_owned(),
    }
}

/// `10 ports of 127.0.0.1 tried: 3 nodes, 7 inactive`.
fn tally(scan: &ScanRow) -> String {
    let number =
        |wanted: fn(&Behind) -> bool| scan.ports.iter().filter(|port| wanted(&port.found)).count();
    let me = |found: &Behind| matches!(found, Behind::Me);
    let nodes = number(|found| matches!(found, Behind::Node(_) | Behind::OtherRing { .. }));
    let registries = number(|found| matches!(found, Behind::Registry));
    let strangers = number(|found| matches!(found, Behind::NotChordal(_)));
    let inactive = number(|found| matches!(found, Behind::Inactive));
    let mut parts = vec![if nodes == 0 && number(me) > 0 {
        "no other nodes".to_owned()
    } else if nodes == 0 {
        "no nodes".to_owned()
    } else {
        count(nodes, "node", "nodes")
    }];
    if registries > 0 {
        parts.push(count(registries, "registry", "registries"));
    }
    if strangers > 0 {
        parts.push(format!("{strangers} open, not chordal"));
    }
    if inactive > 0 {
        parts.push(format!("{inactive} inactive"));
    }
    let done = usize::from(scan.done);
    let of = if scan.done < scan.total { format!(" of {}", scan.total) } else { String::new() };
    let ports = if scan.total == 1 { "port" } else { "ports" };
    format!("{done}{of} {ports} of {} tried: {}", clean(&scan.host), parts.join(", "))
}

/// What distinguishes contents: size, hash, kind, sources.
fn content_cells(content: &FoundContent) -> Vec<String> {
    vec![
        bytes(content.size),
        content.root.short(),
        if content.stored { "stored" } else { "shared" }.to_owned(),
        shorten(content.sources.iter().map(ToString::to_string), " "),
    ]
}

fn summary(search: &SearchRow) -> String {
    let asked = search.answered as usize + search.silent.len();
    let mut line = format!(
        "{} asked{}, {} deep",
        count(asked, "node", "nodes"),
        if search.running { " so far" } else { "" },
        count(usize::from(search.depth), "message", "messages"),
    );
    if !search.silent.is_empty() {
        let silent: Vec<_> = search.silent.iter().map(ToString::to_string).collect();
        let _ = write!(line, "; no answer from {}", silent.join(", "));
    }
    if search.truncated {
        line.push_str("; more results exist than are shown");
    }
    line
}

/// The first name that stands for several of these contents, and how to
/// choose one.
fn several_contents(contents: &[FoundContent]) -> Option<(String, String)> {
    let mut named: BTreeMap<&FileName, Vec<ContentHash>> = BTreeMap::new();
    for content in contents {
        for name in &content.names {
            named.entry(name).or_default().push(content.root);
        }
    }
    let (name, roots) = named.into_iter().find(|(_, roots)| roots.len() > 1)?;
    Some((name.to_string(), hint(name, &roots)?))
}

/// `get NAME@1a2b chooses one`, with as many digits as tell the first from
/// the others.
fn hint(name: &FileName, roots: &[ContentHash]) -> Option<String> {
    let (first, others) = roots.split_first()?;
    let first = first.to_string();
    let common = |other: &ContentHash| {
        let other = other.to_string();
        first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count()
    };
    let longest = others.iter().map(common).max().unwrap_or_default();
    let digits = (longest + 1).clamp(FEWEST_DIGITS, first.len());
    let word = quote(&format!("{name}@{}", &first[..digits]));
    Some(format!("get {word} chooses one"))
}

/// The first of some words, and how many more there are.
fn shorten(words: impl ExactSizeIterator<Item = String>, between: &str) -> String {
    let more = words.len().saturating_sub(IN_A_ROW);
    let mut line = words.take(IN_A_ROW).collect::<Vec<_>>().join(between);
    if more > 0 {
        let _ = write!(line, " and {more} more");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::id::Space;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn content(name: &str, hash: [u8; 2], ports: &[u16], stored: bool) -> FoundContent {
        let mut root = [0; 32];
        root[..2].copy_from_slice(&hash);
        FoundContent {
            names: vec![FileName::new(name).expect("a name")],
            root: ContentHash(root),
            size: 85_021,
            sources: ports.iter().map(|port| peer(*port)).collect(),
            stored,
            outside: false,
        }
    }

    fn search(pattern: &str) -> SearchRow {
        SearchRow {
            number: 1,
            pattern: pattern.into(),
            peers: Vec::new(),
            contents: Vec::new(),
            answered: 1,
            silent: Vec::new(),
            depth: 0,
            running: false,
            truncated: false,
        }
    }

    #[test]
    fn linked_peers_come_first_as_in_the_lab() {
        let found = SearchRow {
            peers: vec![
                (peer(5003), Some(true)),
                (peer(5005), Some(false)),
                (peer(5009), Some(true)),
                (peer(5001), None),
            ],
            contents: vec![content("SkyShip.jpg", [0xAB, 0xCD], &[5003, 5009], false)],
            answered: 7,
            silent: vec![peer(5001)],
            depth: 3,
            truncated: true,
            ..search("SkyShip.jpg")
        };
        assert_eq!(
            search_lines(&found),
            [
                "SkyShip.jpg found on 127.0.0.1:5003",
                "SkyShip.jpg not found on 127.0.0.1:5005",
                "SkyShip.jpg found on 127.0.0.1:5009",
                "no answer from 127.0.0.1:5001",
                "NAME            SIZE  HASH      KIND    SOURCES",
                "SkyShip.jpg  85.0 kB  abcd0000  shared  127.0.0.1:5003 127.0.0.1:5009",
                "8 nodes asked, 3 messages deep; no answer from 127.0.0.1:5001; more results exist \
                 than are shown",
            ]
        );
    }

    #[test]
    fn a_search_without_results_says_so() {
        assert_eq!(
            search_lines(&search("*.iso\u{1b}")),
            ["nothing found that matches '*.iso?'", "1 node asked, 0 messages deep"]
        );
        let running = SearchRow { running: true, depth: 1, ..search("x") };
        assert_eq!(
            search_lines(&running),
            ["nothing found yet that matches 'x'", "1 node asked so far, 1 message deep"]
        );
    }

    #[test]
    fn a_name_with_two_contents_tells_how_to_choose() {
        let contents = [
            content("my notes.txt", [0xAB, 0xC1], &[5003], true),
            content("my notes.txt", [0xAB, 0xC2], &[5001, 5002, 5003, 5004, 5005, 5006], false),
        ];
        let name = FileName::new("my notes.txt").expect("a name");
        assert_eq!(
            ambiguous_lines(&name, &contents),
            [
                "my notes.txt stands for 2 different contents:",
                "   SIZE  HASH      KIND    SOURCES",
                "85.0 kB  abc10000  stored  127.0.0.1:5003",
                "85.0 kB  abc20000  shared  127.0.0.1:5001 127.0.0.1:5002 127.0.0.1:5003 \
                 127.0.0.1:5004 and 2 more",
                "get \"my notes.txt@abc1\" chooses one",
            ]
        );
        let found = SearchRow { contents: contents.to_vec(), ..search("notes") };
        let lines = search_lines(&found);
        assert!(lines[3].ends_with("get \"my notes.txt@abc1\" chooses one"), "{lines:?}");
    }

    #[test]
    fn a_hint_has_as_many_digits_as_it_takes() {
        let name = FileName::new("a").expect("a name");
        let hash = |last: u8| {
            let mut bytes = [7; 32];
            bytes[31] = last;
            ContentHash(bytes)
        };
        let hint = hint(&name, &[hash(1), hash(2)]).expect("two contents");
        assert!(hint.contains(&format!("a@{} ", hash(1))), "{hint}");
    }

    fn scanned(ports: Vec<(u16, Behind)>) -> ScanRow {
        let number = ports.len() as u16;
        ScanRow {
            number: 1,
            host: "127.0.0.1".into(),
            total: number,
            done: number,
            ports: ports
                .into_iter()
                .map(|(port, found)| ScannedPort { address: peer(port).address(), found })
                .collect(),
            space: Space::default(),
        }
    }

    #[test]
    fn a_short_scan_lists_every_port() {
        let other = Behind::OtherRing {
            peer: Peer::new(peer(2001).address(), 1),
            ring: "'blue' (2^40 ids, 2 copies)".into(),
            space: Space::new(40).expect("in range"),
        };
        let scan = scanned(vec![
            (2000, Behind::Node(peer(2000))),
            (2001, other),
            (2002, Behind::Me),
            (2003, Behind::Inactive),
            (5000, Behind::Registry),
            (5001, Behind::NotChordal("speaks \u{1b}else".into())),
            (5002, Behind::Node(peer(2000))),
        ]);
        let id =
            Space::new(40).map(|space| space.show(Peer::new(peer(2001).address(), 1).id(space)));
        assert_eq!(
            scan_lines(&scan),
            [
                "ADDRESS         WHAT IS THERE",
                "127.0.0.1:2000  node 466 on this ring",
                &format!(
                    "127.0.0.1:2001  node {}, 127.0.0.1:2001#1, on ring 'blue' (2^40 ids, 2 copies)",
                    id.expect("in range")
                ),
                "127.0.0.1:2002  this node",
                "127.0.0.1:2003  inactive",
                "127.0.0.1:5000  registry",
                "127.0.0.1:5001  open, not chordal: speaks ?else",
                "127.0.0.1:5002  node 466, 127.0.0.1:2000, on this ring",
                "7 ports of 127.0.0.1 tried: 3 nodes, 1 registry, 1 open, not chordal, 1 inactive",
            ]
        );
    }

    #[test]
    fn a_long_scan_lists_what_is_there() {
        let mut ports: Vec<_> = (5000..5100).map(|port| (port, Behind::Inactive)).collect();
        assert_eq!(
            scan_lines(&scanned(ports.clone())),
            ["100 ports of 127.0.0.1 tried: no nodes, 100 inactive"]
        );
        ports[3].1 = Behind::Node(peer(5003));
        let lines = scan_lines(&scanned(ports.clone()));
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert!(lines[1].starts_with("127.0.0.1:5003  node "), "{lines:?}");

        let running = ScanRow { done: 7, ..scanned(vec![(5000, Behind::Me)]) };
        let running = ScanRow { total: 10, ..running };
        assert_eq!(
            scan_lines(&running).last().map(String::as_str),
            Some("7 of 10 ports of 127.0.0.1 tried: no other nodes")
        );
    }
}
