//! What the dashboard and other nodes get to see of links.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use chordal_core::mesh::links::{Link, Links, SUSPECT};
use chordal_core::name::first_bytes;
use chordal_core::peer::Peer;
use chordal_core::wire::query::{PeerInfo, RegistryInfo, Trust};
use chordal_view::{Liveness, PeerRow, RegistryRow};

use crate::inputs::ui_rows::same_trip;

/// Peers without a link of whom something is said: the worst.
const DOUBTED_AT_MOST: usize = 64;

/// Registries in an answer.
const REGISTRIES_AT_MOST: usize = 64;

/// Bytes of a reason in an answer: with as many rows as there may be, all of
/// them fit into a frame.
const REASON_AT_MOST: usize = 200;

/// Whom a node does not trust fully, with the reason and for how long.
type Doubted = (SocketAddr, Trust, String, Duration);

/// The rows: linked peers by address, and behind them others of whom there is
/// something to say.
pub(super) fn of(links: &Links, doubted: &[Doubted]) -> Vec<PeerRow> {
    let mut doubts: BTreeMap<SocketAddr, (Trust, &str)> =
        doubted.iter().map(|(address, trust, why, _)| (*address, (*trust, &**why))).collect();
    let mut rows: Vec<PeerRow> =
        links.open().map(|link| linked(link, doubts.remove(&link.peer().address()))).collect();
    let mut others: Vec<_> = doubts.into_iter().collect();
    others.sort_by_key(|(_, (trust, _))| std::cmp::Reverse(*trust));
    others.truncate(DOUBTED_AT_MOST);
    others.sort_by_key(|(address, _)| *address);
    rows.extend(others.into_iter().map(|(address, (trust, why))| PeerRow {
        peer: Peer::new(address, 0),
        link: None,
        // No dashboard looks.
        liveness: Liveness::Suspect,
        rtt_us: None,
        since_ms: 0,
        shared: None,
        trust,
        why: Some(why.to_owned()),
    }));
    rows
}

fn linked(link: &Link, doubt: Option<(Trust, &str)>) -> PeerRow {
    PeerRow {
        peer: link.peer(),
        link: Some(link.kind()),
        liveness: if link.missed() >= SUSPECT { Liveness::Suspect } else { Liveness::Up },
        rtt_us: link.round_trip().map(|trip| trip.as_micros() as u64),
        since_ms: link.since().as_micros() / 1_000,
        shared: link.shared(),
        trust: doubt.map_or(Trust::Good, |(trust, _)| trust),
        why: doubt.map(|(_, why)| why.to_owned()),
    }
}

/// Whether a person would see a difference.
pub(super) fn differ(before: &[PeerRow], after: &[PeerRow]) -> bool {
    let same = |before: &PeerRow, after: &PeerRow| {
        same_trip(before.rtt_us, after.rtt_us)
            && *before == PeerRow { rtt_us: before.rtt_us, ..after.clone() }
    };
    before.len() != after.len() || !before.iter().zip(after).all(|(b, a)| same(b, a))
}

/// The rows as they travel. `uptime` is the node's age.
pub(super) fn to_wire(rows: &[PeerRow], uptime: Duration) -> Vec<PeerInfo> {
    rows.iter()
        .map(|row| PeerInfo {
            peer: row.peer,
            link: row.link,
            missed: if row.liveness == Liveness::Up { 0 } else { SUSPECT },
            rtt_us: row.rtt_us,
            since_s: uptime.saturating_sub(Duration::from_millis(row.since_ms)).as_secs(),
            shared: row.shared,
            trust: row.trust,
            why: row.why.as_deref().map(shortened),
        })
        .collect()
}

/// The rows of a registry as they travel. `uptime` is the node's age.
pub(super) fn registries_to_wire<'a>(
    rows: impl Iterator<Item = &'a RegistryRow>,
    uptime: Duration,
) -> Vec<RegistryInfo> {
    let since = |then: u64| uptime.saturating_sub(Duration::from_millis(then)).as_secs();
    rows.take(REGISTRIES_AT_MOST)
        .map(|row| RegistryInfo {
            address: row.address,
            up: row.liveness == Liveness::Up,
            peers: row.peers,
            heard_s: row.heard_ms.map(since),
            note: row.note.as_deref().map(shortened),
        })
        .collect()
}

/// Rows that another node sent, and the age on which their times are based: the
/// other's own is not told, so it is the oldest time of all.
pub(super) fn from_wire(
    peers: &[PeerInfo],
    registries: Vec<RegistryInfo>,
) -> (Vec<PeerRow>, Vec<RegistryRow>, u64) {
    let millis = |seconds: u64| seconds.saturating_mul(1_000);
    let age = |info: &PeerInfo| if info.link.is_some() { millis(info.since_s) } else { 0 };
    let heard = registries.iter().filter_map(|info| info.heard_s).map(millis);
    let uptime = peers.iter().map(age).chain(heard).max().unwrap_or(0);
    let rows = peers
        .iter()
        .map(|info| PeerRow {
            peer: info.peer,
            link: info.link,
            liveness: if info.missed >= SUSPECT { Liveness::Suspect } else { Liveness::Up },
            rtt_us: info.rtt_us,
            since_ms: uptime - age(info),
            shared: info.shared,
            trust: info.trust,
            why: info.why.clone(),
        })
        .collect();
    let registries = registries
        .into_iter()
        .map(|info| RegistryRow {
            address: info.address,
            liveness: if info.up { Liveness::Up } else { Liveness::Dead },
            peers: info.peers,
            heard_ms: info.heard_s.map(|ago| uptime - millis(ago)),
            note: info.note,
        })
        .collect();
    (rows, registries, uptime)
}

/// A reason of at most [`REASON_AT_MOST`] bytes.
fn shortened(text: &str) -> String {
    first_bytes(text, REASON_AT_MOST).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::limits::MAX_FRAME_BYTES;
    use chordal_core::mesh::links::{MAX_CHOSEN, MAX_INCOMING, RANDOM};
    use chordal_core::time::Time;
    use chordal_core::wire::mesh::LinkMessage;
    use chordal_core::wire::query::LinkKind;
    use chordal_core::wire::{Frame, Response, codec};

    fn at(number: u16) -> SocketAddr {
        (std::net::Ipv6Addr::from_bits(u128::MAX - u128::from(number)), 60_000).into()
    }

    fn row(number: u16, rtt_us: Option<u64>) -> PeerRow {
        PeerRow {
            peer: Peer::new(at(number), u16::MAX),
            link: Some(LinkKind::Random),
            liveness: Liveness::Up,
            rtt_us,
            since_ms: 1_000,
            shared: Some(7),
            trust: Trust::Last,
            why: Some("it timed out ".repeat(50)),
        }
    }

    #[test]
    fn only_what_a_person_would_notice_is_a_difference() {
        let row = |rtt_us| row(1, rtt_us);
        assert!(!differ(&[row(Some(100))], &[row(Some(199))]));
        assert!(!differ(&[row(Some(100))], &[row(Some(51))]));
        assert!(differ(&[row(Some(100))], &[row(Some(201))]));
        assert!(differ(&[row(None)], &[row(Some(100))]));
        assert!(differ(&[], &[row(None)]));
        let suspect = PeerRow { liveness: Liveness::Suspect, ..row(Some(100)) };
        assert!(differ(&[row(Some(100))], &[suspect]));
    }

    #[test]
    fn all_rows_that_there_may_be_fit_into_a_frame() {
        let most = RANDOM + MAX_CHOSEN + MAX_INCOMING + DOUBTED_AT_MOST;
        let rows: Vec<PeerRow> = (0..most as u16).map(|n| row(n, Some(u64::MAX))).collect();
        let registries: Vec<RegistryRow> = (0..1_000)
            .map(|number| RegistryRow {
                address: at(number),
                liveness: Liveness::Up,
                peers: u32::MAX,
                heard_ms: Some(0),
                note: Some("\u{1F310}".repeat(500)),
            })
            .collect();
        let response = Response::Peers {
            peers: to_wire(&rows, Duration::from_secs(1 << 40)),
            registries: registries_to_wire(registries.iter(), Duration::from_secs(1 << 40)),
        };
        let bytes = codec::encode(&Frame::Response { id: u32::MAX, response }).expect("it fits");
        assert!(bytes.len() < MAX_FRAME_BYTES, "{} bytes", bytes.len());
    }

    #[test]
    fn rows_come_back_from_the_wire_as_they_were_but_for_the_clock() {
        let old = PeerRow { since_ms: 2_000, why: None, trust: Trust::Good, ..row(1, Some(5)) };
        let new = PeerRow { since_ms: 50_000, ..old.clone() };
        let registry = |number, heard_ms| RegistryRow {
            address: at(number),
            liveness: Liveness::Up,
            peers: 3,
            heard_ms,
            note: None,
        };
        let uptime = Duration::from_secs(60);
        let heard = [registry(1, Some(1_000)), registry(2, Some(57_000)), registry(3, None)];
        let heard = registries_to_wire(heard.iter(), uptime);
        let (rows, registries, uptime) = from_wire(&to_wire(&[old, new.clone()], uptime), heard);
        let ages: Vec<u64> = rows.iter().map(|row| uptime - row.since_ms).collect();
        assert_eq!(ages, [58_000, 10_000]);
        let heard: Vec<Option<u64>> =
            registries.iter().map(|row| row.heard_ms.map(|then| uptime - then)).collect();
        assert_eq!(heard, [Some(59_000), Some(3_000), None]);
        assert_eq!(PeerRow { since_ms: new.since_ms, ..rows[1].clone() }, new);
    }

    #[test]
    fn whoever_has_a_bad_name_is_a_row_with_or_without_a_link() {
        let mut links = Links::new(at(0));
        let open = LinkMessage::Open { chosen: true };
        links.received(Time::ZERO, Peer::new(at(9), 0), open, 0, &mut Vec::new());
        let doubt = |number: u16, trust| {
            (at(number), trust, format!("reason {number}"), Duration::from_secs(60))
        };
        let mut doubted = vec![doubt(9, Trust::Shunned), doubt(3, Trust::Last)];
        let rows = of(&links, &doubted);
        assert_eq!(rows.len(), 2);
        assert_eq!((rows[0].link.is_some(), rows[0].trust), (true, Trust::Shunned));
        assert_eq!(rows[0].why.as_deref(), Some("reason 9"));
        assert_eq!((rows[1].link, rows[1].trust), (None, Trust::Last));
        // Of too many the worst are shown.
        doubted.extend((100..300).map(|number| doubt(number, Trust::Last)));
        doubted.push(doubt(400, Trust::Shunned));
        let rows = of(&links, &doubted);
        assert_eq!(rows.len(), 1 + DOUBTED_AT_MOST);
        assert!(rows.iter().any(|row| row.peer.address() == at(400)));
    }
}
