//! What the dashboard and other nodes get to see of links.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::mesh::links::{Link, Links, SUSPECT};
use crate::peer::Peer;
use crate::view::{self, Liveness, PeerRow, RegistryRow, Trust};
use crate::wire::query::{LinkKind, PeerInfo, RegistryInfo};

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
        // Nobody looks.
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
        link: Some(shown(link.kind())),
        liveness: if link.missed() >= SUSPECT { Liveness::Suspect } else { Liveness::Up },
        rtt_us: link.round_trip().map(|trip| trip.as_micros() as u64),
        since_ms: link.since().as_micros() / 1_000,
        shared: link.shared(),
        trust: doubt.map_or(Trust::Good, |(trust, _)| trust),
        why: doubt.map(|(_, why)| why.to_owned()),
    }
}

/// Whether a person would see a difference. Round trips within a factor of two
/// look the same.
pub(super) fn differ(before: &[PeerRow], after: &[PeerRow]) -> bool {
    let near = |before: &PeerRow, after: &PeerRow| match (before.rtt_us, after.rtt_us) {
        (Some(b), Some(a)) => a <= b.saturating_mul(2) && b <= a.saturating_mul(2),
        (b, a) => b == a,
    };
    let same = |before: &PeerRow, after: &PeerRow| {
        near(before, after) && *before == PeerRow { rtt_us: before.rtt_us, ..after.clone() }
    };
    before.len() != after.len() || !before.iter().zip(after).all(|(b, a)| same(b, a))
}

/// The rows as they travel. `uptime` is the node's age.
pub(super) fn to_wire(rows: &[PeerRow], uptime: Duration) -> Vec<PeerInfo> {
    rows.iter()
        .map(|row| PeerInfo {
            peer: row.peer,
            link: row.link.map(|kind| match kind {
                view::LinkKind::Chosen => LinkKind::Chosen,
                view::LinkKind::Random => LinkKind::Random,
                view::LinkKind::Incoming => LinkKind::Incoming,
            }),
            missed: if row.liveness == Liveness::Up { 0 } else { SUSPECT },
            rtt_us: row.rtt_us,
            since_s: uptime.saturating_sub(Duration::from_millis(row.since_ms)).as_secs(),
            shared: row.shared,
            distrust: match row.trust {
                Trust::Good => 0,
                Trust::Last => 1,
                Trust::Shunned => 2,
            },
            why: row.why.as_deref().map(shortened),
        })
        .collect()
}

/// The rows of a registry as they travel.
pub(super) fn registries_to_wire<'a>(
    rows: impl Iterator<Item = &'a RegistryRow>,
) -> Vec<RegistryInfo> {
    rows.take(REGISTRIES_AT_MOST)
        .map(|row| RegistryInfo {
            address: row.address,
            up: row.liveness == Liveness::Up,
            peers: row.peers,
            note: row.note.as_deref().map(shortened),
        })
        .collect()
}

/// Rows that another node sent, and the age on which their times are based: the
/// other's own is not told, so it is the longest link's.
pub(super) fn from_wire(peers: &[PeerInfo]) -> (Vec<PeerRow>, u64) {
    let age = |info: &PeerInfo| if info.link.is_some() { info.since_s * 1_000 } else { 0 };
    let uptime = peers.iter().map(age).max().unwrap_or(0);
    let rows = peers
        .iter()
        .map(|info| PeerRow {
            peer: info.peer,
            link: info.link.map(shown),
            liveness: if info.missed >= SUSPECT { Liveness::Suspect } else { Liveness::Up },
            rtt_us: info.rtt_us,
            since_ms: uptime - age(info),
            shared: info.shared,
            trust: match info.distrust {
                0 => Trust::Good,
                1 => Trust::Last,
                _ => Trust::Shunned,
            },
            why: info.why.clone(),
        })
        .collect();
    (rows, uptime)
}

/// Registries that another node sent.
pub(super) fn registries_from_wire(registries: Vec<RegistryInfo>) -> Vec<RegistryRow> {
    registries
        .into_iter()
        .map(|info| RegistryRow {
            address: info.address,
            liveness: if info.up { Liveness::Up } else { Liveness::Dead },
            peers: info.peers,
            heard_ms: None,
            note: info.note,
        })
        .collect()
}

fn shown(kind: LinkKind) -> view::LinkKind {
    match kind {
        LinkKind::Chosen => view::LinkKind::Chosen,
        LinkKind::Random => view::LinkKind::Random,
        LinkKind::Incoming => view::LinkKind::Incoming,
    }
}

/// A reason of at most [`REASON_AT_MOST`] bytes.
fn shortened(text: &str) -> String {
    let mut end = text.len().min(REASON_AT_MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
