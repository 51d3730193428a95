//! Outcomes as plain text: what the prompt's output and the command line print.
//!
//! Only text is made here: no colours, no terminal, no I/O. Lines carry no line
//! ends. The first line of a table names its columns.

use std::time::Duration;

use super::outcome::Outcome;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::PassedOver;

mod files;
mod found;
mod help;
mod leave;
mod peers;
mod ring;
mod tree;

pub use crate::format::{bytes, clean, duration, quoted, scaled, wrap};
pub use files::transfer_kind;
pub use help::help_lines;
pub use leave::{handing_over, left_behind};
pub use tree::failures;

use crate::format::{self, count, show};

/// What may become of a name that is new to those who answer.
fn outvoted(name: &FileName, silent: &[Peer], likely: u8) -> Option<String> {
    let silence = || of_likely(name, silent, likely);
    (!silent.is_empty()).then(|| format!("{}; an older version there may win", silence()))
}

fn of_likely(name: &FileName, silent: &[Peer], likely: u8) -> String {
    let peers: Vec<String> = silent.iter().map(Peer::to_string).collect();
    let (first, last) = (silent.len(), if silent.len() == 1 { "does" } else { "do" });
    let of = count(usize::from(likely), "node", "nodes");
    format!("{first} of {of} that may hold {name} {last} not answer ({})", peers.join(", "))
}

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
        Outcome::Left(end) => leave::lines(end),
        Outcome::Stored {
            name,
            key,
            size,
            holders,
            wanted,
            already,
            passed,
            cut_off,
            silent,
            likely,
            space,
            ..
        } => {
            let word = if *already { "already stored" } else { "stored" };
            let mut lines = vec![format!(
                "{name} {word}: {}, key {}, {}/{wanted} copies on {}",
                bytes(*size),
                space.show(*key),
                holders.len(),
                format::peers(*space, holders),
            )];
            lines.extend(passed_over(passed));
            let of = format!("{} of {wanted} copies", holders.len());
            lines.extend(is_cut_off(*cut_off).map(|why| format!("{of}: {why}")));
            lines.extend(outvoted(name, silent, *likely));
            lines
        }
        Outcome::Fetched { name, size, there, path, sources, millis } => {
            let sources: Vec<_> = sources
                .iter()
                .map(|(peer, part)| match sources.len() {
                    1 => peer.to_string(),
                    _ => format!("{peer} ({})", bytes(*part)),
                })
                .collect();
            // Nothing came from anybody when it is empty or was there already.
            let from = match sources.as_slice() {
                [] => String::new(),
                some => format!(" from {}", some.join(", ")),
            };
            let there = match there {
                0 => String::new(),
                some => format!(" ({} were there)", bytes(*some)),
            };
            vec![format!(
                "{name} fetched: {}{there} in {}{from}, saved to {}",
                bytes(*size),
                format::took(*millis),
                clean(&path.to_string_lossy()),
            )]
        }
        Outcome::Removed { name, copies, cut_off } => {
            let nodes = count(usize::from(*copies), "node", "nodes");
            let removed = format!("{name} removed on {nodes}");
            std::iter::once(removed).chain(is_cut_off(*cut_off)).collect()
        }
        Outcome::Files { files, of, space } => files::file_lines(files, of, *space),
        Outcome::RingFiles { files, of, silent, space } => {
            files::ring_file_lines(files, of, silent, *space)
        }
        Outcome::Info(info) => ring::info_lines(info),
        Outcome::Fingers { fingers, space } => ring::finger_lines(fingers, *space),
        Outcome::Ring { members, silent, troubled, health, state, space } => {
            ring::ring_lines(members, silent, troubled, *health, *state, *space)
        }
        Outcome::Lookup { text, key, owner, hops, space } => {
            let key = space.show(*key);
            let mut lines = vec![format!(
                "{} has key {key}; its owner is {}, found in {}",
                clean(text),
                show(*space, owner),
                count(hops.len(), "hop", "hops"),
            )];
            lines.extend(ring::hop_lines(hops, *space));
            lines
        }
        Outcome::Pong { peer, micros } => {
            vec![format!("{peer} answered in {}", duration(Duration::from_micros(*micros)))]
        }
        Outcome::IdOf { text, space, id } => {
            vec![format!("{} has id {} (SHA-1 mod {space})", clean(text), space.show(*id))]
        }
        Outcome::Transfers(rows) => files::transfer_lines(rows),
        Outcome::StoredAll { .. } | Outcome::FetchedAll { .. } => tree::lines(outcome),
        Outcome::Paused { number, name } => {
            vec![format!("transfer {number} of {} paused; resume {number} goes on", clean(name))]
        }
        Outcome::Resumed { number, name } => {
            vec![format!("transfer {number} of {} goes on", clean(name))]
        }
        Outcome::Cancelled { number, name } => {
            vec![format!("transfer {number} of {} cancelled", clean(name))]
        }
        Outcome::Shared { files, bytes, skipped } => peers::share_lines(*files, *bytes, skipped),
        Outcome::Unshared { names } => vec![peers::unshare_line(names)],
        Outcome::Found(search) => found::search_lines(search),
        Outcome::Ambiguous { name, contents } => found::ambiguous_lines(name, contents),
        Outcome::Scanned(scan) => found::scan_lines(scan),
        Outcome::Connected { peer, already: false } => vec![format!("{peer} connected")],
        Outcome::Connected { peer, already: true } => {
            vec![format!("{peer} is already connected")]
        }
        Outcome::Disconnected { peer } => vec![format!("{peer} disconnected")],
        Outcome::Peers { peers, registries, uptime_ms, space, .. } => {
            peers::peer_lines(peers, registries, *uptime_ms, *space)
        }
        Outcome::Said { links } => vec![peers::said_line(*links)],
        Outcome::Help(word) => help_lines(word.as_deref()),
    }
}

/// The warning of a node that misses this many of the members that it knew recently:
/// what it acknowledges may have few copies.
pub fn is_cut_off(members: u32) -> Option<String> {
    let from = count(members as usize, "member", "members");
    (members > 0).then(|| format!("this node is cut off from {from}"))
}

/// Who should hold a file and cannot store it, in one line.
fn passed_over(passed: &[PassedOver]) -> Option<String> {
    let said = passed.iter().map(|PassedOver { peer, why, stand_in }| {
        let said = why.said_of(&peer.to_string(), "it");
        match stand_in {
            Some(peer) => format!("{said}: {peer} holds the copy instead"),
            None => format!("{said}, and no other node is there to hold the copy"),
        }
    });
    let said: Vec<String> = said.collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// What is said when a transfer goes on with `there` of its bytes, which an
/// earlier attempt left.
pub fn goes_on(name: &str, there: u64, total: u64) -> String {
    let share = u128::from(there) * 100 / u128::from(total.max(1));
    format!("{} goes on at {share} %, {} were there", clean(name), bytes(there))
}

#[cfg(test)]
mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::{FileRow, Health, Hop, Role, State, Unsettled};
    use chordal_core::id::{Id, Space};
    use chordal_core::name::FileName;
    use chordal_core::peer::Peer;
    use chordal_core::record::{ContentHash, CopyCount, Obstacle, PassedOver, Version};

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
        FileRow {
            name,
            key,
            size,
            version: version(),
            role: Role::Owner,
            copies: 2,
            wanted: 3,
            count: CopyCount::Known,
        }
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
            passed: Vec::new(),
            silent: Vec::new(),
            likely: 0,
            cut_off: 0,
            space: Space::default(),
        };
        assert_eq!(
            lines(&stored),
            ["SkyShip.jpg stored: 85.0 kB, key 189, 3/3 copies on 466 127.0.0.1:2000, \
              495 127.0.0.1:2002, 48 127.0.0.1:2001"]
        );
    }

    #[test]
    fn a_put_and_an_rm_on_a_node_that_is_cut_off_say_so() {
        let stored = Outcome::Stored {
            name: name("a.txt"),
            key: Id::new(189),
            size: 5,
            version: version(),
            holders: vec![peer(2000)],
            wanted: 1,
            already: false,
            passed: Vec::new(),
            silent: Vec::new(),
            likely: 0,
            cut_off: 7,
            space: Space::default(),
        };
        assert_eq!(
            lines(&stored),
            [
                "a.txt stored: 5 B, key 189, 1/1 copies on 466 127.0.0.1:2000",
                "1 of 1 copies: this node is cut off from 7 members",
            ]
        );
        let removed = Outcome::Removed { name: name("a.txt"), copies: 1, cut_off: 1 };
        let said = ["a.txt removed on 1 node", "this node is cut off from 1 member"];
        assert_eq!(lines(&removed), said);
    }

    #[test]
    fn a_put_tells_in_one_line_who_has_no_room_and_who_holds_the_copy_instead() {
        let passed = |port, stand_in: Option<u16>| PassedOver {
            peer: peer(port),
            why: Obstacle::NoRoom,
            stand_in: stand_in.map(peer),
        };
        assert_eq!(passed_over(&[]), None);
        assert_eq!(
            passed_over(&[passed(2000, Some(2003)), passed(2002, None)]).as_deref(),
            Some(
                "127.0.0.1:2000 has no room for it: 127.0.0.1:2003 holds the copy instead; \
                 127.0.0.1:2002 has no room for it, and no other node is there to hold the copy"
            )
        );
    }

    #[test]
    fn a_list_of_files_is_aligned_even_with_wide_names() {
        let outcome = Outcome::Files {
            files: vec![row("SkyShip.jpg", 85_000), row("空の船.jpg", 7)],
            of: None,
            space: Space::default(),
        };
        let lines = lines(&outcome);
        assert_eq!(lines[0], "NAME         KEY     SIZE  ROLE   COPIES         VERSION");
        assert_eq!(lines[1], "SkyShip.jpg  189  85.0 kB  owner  2/3 repairing  2-abababab");
        assert_eq!(lines[0].find("SIZE").map(|at| at + 4), Some(25));
        assert_eq!(lines[2].split("7 B").next().map(|start| start.width()), Some(22));
    }

    #[test]
    fn a_list_in_which_nothing_matches_says_so_and_how_many_files_there_are() {
        let of = |all| Some(("nosuch".to_owned(), all));
        let here = |all| Outcome::Files { files: vec![], of: of(all), space: Space::default() };
        assert_eq!(lines(&here(12)), ["nothing matches 'nosuch'; there are 12 files here"]);
        assert_eq!(lines(&here(1)), ["nothing matches 'nosuch'; there is 1 file here"]);
        assert!(lines(&here(0))[0].starts_with("no files here"));
        let (files, silent, space) = (vec![], vec![], Space::default());
        let ring = Outcome::RingFiles { files, of: of(3), silent, space };
        assert_eq!(lines(&ring), ["nothing matches 'nosuch'; there are 3 files on the ring"]);
    }

    #[test]
    fn a_shared_file_has_sources_instead_of_copies() {
        let shared = FileRow { role: Role::Shared, copies: 3, wanted: 0, ..row("SkyShip.jpg", 7) };
        let outcome = Outcome::Files { files: vec![shared], of: None, space: Space::default() };
        assert_eq!(
            lines(&outcome),
            [
                "NAME         KEY  SIZE  ROLE    COPIES     VERSION",
                "SkyShip.jpg  189   7 B  shared  3 sources  abababab",
            ]
        );
    }

    #[test]
    fn the_copies_of_a_file_say_how_safe_it_is() {
        let counted = |copies, wanted, count| {
            let file = FileRow { copies, wanted, count, ..row("a", 7) };
            let outcome = Outcome::Files { files: vec![file], of: None, space: Space::default() };
            let cells: Vec<_> = lines(&outcome)[1].split("  ").map(str::to_owned).collect();
            cells.iter().rev().nth(1).cloned()
        };
        let health = |copies, wanted| counted(copies, wanted, CopyCount::Known);
        let cell = counted(1, 3, CopyCount::Counting);
        assert_eq!(cell.as_deref(), Some("1/3 counting"));
        assert_eq!(counted(2, 3, CopyCount::NoRoom).as_deref(), Some("2/3 needs room"));
        assert_eq!(counted(1, 3, CopyCount::NoRoom).as_deref(), Some("1/3 at risk"));
        assert_eq!(health(3, 3).as_deref(), Some("3/3 ok"));
        assert_eq!(health(4, 3).as_deref(), Some("4/3 ok"));
        assert_eq!(health(2, 3).as_deref(), Some("2/3 repairing"));
        assert_eq!(health(1, 3).as_deref(), Some("1/3 at risk"));
        assert_eq!(health(1, 2).as_deref(), Some("1/2 at risk"));
        assert_eq!(health(1, 1).as_deref(), Some("1/1 ok"), "nobody else is there");
    }

    #[test]
    fn a_link_that_was_there_is_not_made_again() {
        let line = |already| lines(&Outcome::Connected { peer: peer(5003), already });
        assert_eq!(line(false), ["127.0.0.1:5003 connected"]);
        assert_eq!(line(true), ["127.0.0.1:5003 is already connected"]);
        let end = Outcome::Disconnected { peer: peer(5003) };
        assert_eq!(lines(&end), ["127.0.0.1:5003 disconnected"]);
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
        let outcome = |silent| Outcome::Ring {
            members: vec![peer(2001), peer(2000)],
            silent,
            troubled: vec![(peer(2001), "its disk fails: no such device".to_owned())],
            health: Health {
                one_ring: false,
                ordered: true,
                lists_valid: true,
                in_place: false,
                margin: Some(1),
            },
            state: State::Converging { seen: 2, why: Unsettled::NotOneRing },
            space: Space::default(),
        };
        let told = lines(&outcome(Vec::new()));
        assert_eq!(
            told[told.len() - 2..],
            [
                "2 members, converging (2 seen, not one ring); one ring: NO, ordered: yes, \
                 lists valid: yes, all in place: NO, at least 1 live in every list",
                "48 127.0.0.1:2001: its disk fails: no such device",
            ]
        );
        assert_eq!(
            lines(&outcome(vec![peer(2002)])).last().map(String::as_str),
            Some("1 more did not answer: 495 127.0.0.1:2002")
        );
    }

    #[test]
    fn a_get_names_its_sources_and_where_the_file_is() {
        let outcome = |sources| Outcome::Fetched {
            name: name("a.iso"),
            size: 2_000_000,
            there: 0,
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
        let Outcome::Fetched { name, path, millis, .. } = outcome(Vec::new()) else {
            unreachable!("it is one")
        };
        let (empty, sources) = (0, Vec::new());
        let empty = Outcome::Fetched { name, size: empty, there: 0, path, sources, millis };
        assert!(lines(&empty)[0].starts_with("a.iso fetched: 0 B in 1.2 s, saved to"));
        let Outcome::Fetched { name, path, sources, .. } = outcome(vec![(peer(2001), 5)]) else {
            unreachable!("it is one")
        };
        let quick = Outcome::Fetched { name, size: 5, there: 0, path, sources, millis: 0 };
        assert!(lines(&quick)[0].starts_with("a.iso fetched: 5 B in less than 1 ms from"));
    }

    #[test]
    fn a_get_that_went_on_says_how_much_was_there() {
        let resumed = Outcome::Fetched {
            name: name("a.iso"),
            size: 2_000_000,
            there: 860_000,
            path: "a.iso".into(),
            sources: vec![(peer(2001), 1_140_000)],
            millis: 1_250,
        };
        let said = &lines(&resumed)[0];
        assert!(said.contains(": 2.0 MB (860.0 kB were there) in 1.2 s from 127"), "{said}");
        let text = goes_on("a.iso", 860_000, 2_000_000);
        assert_eq!(text, "a.iso goes on at 43 %, 860.0 kB were there");
    }
}
