//! Linked peers, registries, and what is shared with them.

use std::time::Duration;

use crate::{LinkKind, Liveness, PeerRow, RegistryRow, Trust};
use chordal_core::id::Space;
use chordal_core::name::FileName;

use crate::format::{age, bytes, clean, count, duration, files, table};

/// Names that are told one by one.
const NAMED: usize = 8;

/// The answer of `peers` when there are none.
const NOBODY: &str = "no connected peers; connect PEER makes a link, scan looks for some";

pub(super) fn peer_lines(
    peers: &[PeerRow],
    registries: &[RegistryRow],
    uptime_ms: u64,
    space: Space,
) -> Vec<String> {
    let ago = |then: u64| age(Duration::from_millis(uptime_ms.saturating_sub(then)));
    let none = || "-".to_owned();
    let mut lines = Vec::new();
    if peers.iter().all(|row| row.link.is_none()) {
        lines.push(NOBODY.to_owned());
    }
    if !peers.is_empty() {
        let cells = peers.iter().map(|row| {
            let rtt = row.rtt_us.map(|micros| duration(Duration::from_micros(micros)));
            let shares = row.shared.map(|number| files(number as usize));
            vec![
                row.peer.to_string(),
                space.show(row.peer.id(space)),
                row.link.map_or("-", link).to_owned(),
                row.link.map_or("-", |_| liveness(row.liveness)).to_owned(),
                rtt.unwrap_or_else(none),
                row.link.map_or_else(none, |_| ago(row.since_ms)),
                shares.unwrap_or_else(none),
                trust(row),
            ]
        });
        let head = ["PEER", "ID", "LINK", "STATE", "RTT", "SINCE", "SHARES", "TRUST"];
        lines.extend(table(&head, &[1, 4, 5, 6], cells.collect()));
    }
    if !registries.is_empty() {
        lines.push(String::new());
        let cells = registries.iter().map(|row| {
            vec![
                row.address.to_string(),
                registry_state(row.liveness).to_owned(),
                row.peers.to_string(),
                row.heard_ms.map_or_else(none, |then| format!("{} ago", ago(then))),
                clean(row.note.as_deref().unwrap_or_default()).into_owned(),
            ]
        });
        let head = ["REGISTRY", "STATE", "PEERS", "HEARD", "NOTE"];
        lines.extend(table(&head, &[2], cells.collect()));
    }
    lines
}

pub(super) fn share_lines(number: usize, size: u64, skipped: &[String]) -> Vec<String> {
    let mut lines = vec![match number {
        0 => "no file is shared from there".to_owned(),
        _ => format!("{} shared, {}", files(number), bytes(size)),
    }];
    lines.extend(skipped.iter().map(|why| clean(why).into_owned()));
    lines
}

pub(super) fn unshare_line(names: &[FileName]) -> String {
    match names {
        [] => "no file was shared from there".to_owned(),
        [name] => format!("{name} is not shared any more"),
        names => {
            let named: Vec<_> = names.iter().take(NAMED).map(ToString::to_string).collect();
            let more = match names.len() - named.len() {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{} are not shared any more: {}{more}", files(names.len()), named.join(", "))
        }
    }
}

pub(super) fn said_line(links: u32) -> String {
    match links {
        0 => "nobody heard it: there is no link; connect PEER makes one".to_owned(),
        _ => format!("said over {}", count(links as usize, "link", "links")),
    }
}

const fn link(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::Chosen => "chosen",
        LinkKind::Random => "random",
        LinkKind::Incoming => "incoming",
    }
}

const fn liveness(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Up => "up",
        Liveness::Suspect => "suspect",
        Liveness::Dead => "dead",
    }
}

const fn registry_state(liveness: Liveness) -> &'static str {
    match liveness {
        Liveness::Up => "up",
        Liveness::Suspect => "trying",
        Liveness::Dead => "down",
    }
}

/// How far a peer is trusted, and why not fully.
fn trust(row: &PeerRow) -> String {
    let word = match row.trust {
        Trust::Good => "good",
        Trust::Last => "used last",
        Trust::Shunned => "shunned",
    };
    match &row.why {
        Some(why) => format!("{word}: {}", clean(why)),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::peer::Peer;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn row(port: u16) -> PeerRow {
        PeerRow {
            peer: peer(port),
            link: Some(LinkKind::Chosen),
            liveness: Liveness::Up,
            rtt_us: Some(840),
            since_ms: 5_000,
            shared: Some(3),
            trust: Trust::Good,
            why: None,
        }
    }

    #[test]
    fn each_link_tells_why_it_is_there_and_how_it_is() {
        let bad = PeerRow {
            link: None,
            liveness: Liveness::Suspect,
            rtt_us: None,
            shared: None,
            trust: Trust::Shunned,
            why: Some("2 bad\tpieces".into()),
            ..row(2001)
        };
        let quiet = PeerRow {
            link: Some(LinkKind::Incoming),
            liveness: Liveness::Suspect,
            rtt_us: None,
            shared: Some(1),
            since_ms: 130_000,
            ..row(2002)
        };
        assert_eq!(
            peer_lines(&[row(2000), bad, quiet], &[], 130_000, Space::default()),
            [
                "PEER             ID  LINK      STATE       RTT       SINCE   SHARES  TRUST",
                "127.0.0.1:2000  466  chosen    up       840 µs  2 min 05 s  3 files  good",
                "127.0.0.1:2001   48  -         -             -           -        -  shunned: 2 bad pieces",
                "127.0.0.1:2002  495  incoming  suspect       -         0 s   1 file  good",
            ]
        );
    }

    #[test]
    fn registries_stand_below_and_nobody_is_advice() {
        let registry = |port, liveness, heard_ms, note: Option<&str>| RegistryRow {
            address: peer(port).address(),
            liveness,
            peers: 4,
            heard_ms,
            note: note.map(str::to_owned),
        };
        let registries = [
            registry(5000, Liveness::Up, Some(8_000), None),
            registry(5001, Liveness::Dead, None, Some("connection refused")),
        ];
        assert_eq!(
            peer_lines(&[], &registries, 10_000, Space::default()),
            [
                NOBODY,
                "",
                "REGISTRY        STATE  PEERS  HEARD    NOTE",
                "127.0.0.1:5000  up         4  2 s ago",
                "127.0.0.1:5001  down       4  -        connection refused",
            ]
        );
        assert_eq!(peer_lines(&[], &[], 0, Space::default()), [NOBODY]);
    }

    #[test]
    fn sharing_tells_what_was_left_out() {
        assert_eq!(
            share_lines(
                2,
                85_042,
                &["/tmp/x is not shared: it leads outside of /tmp\n".to_owned()]
            ),
            ["2 files shared, 85.0 kB", "/tmp/x is not shared: it leads outside of /tmp "]
        );
        assert_eq!(share_lines(0, 0, &[]), ["no file is shared from there"]);
    }

    #[test]
    fn many_names_that_are_unshared_stay_one_line() {
        let name = |number: usize| FileName::new(&format!("{number}.txt")).expect("a name");
        let names: Vec<_> = (0..10).map(name).collect();
        assert_eq!(unshare_line(&names[..1]), "0.txt is not shared any more");
        assert_eq!(
            unshare_line(&names),
            "10 files are not shared any more: 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, 5.txt, 6.txt, \
             7.txt and 2 more"
        );
    }

    #[test]
    fn who_speaks_to_nobody_is_told() {
        assert_eq!(said_line(1), "said over 1 link");
        assert!(said_line(0).contains("connect PEER"));
    }
}
