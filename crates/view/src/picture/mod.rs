//! What can be shown of a core, whoever drives it: pure functions from a
//! [`chord::Node`] and its notices to the rows and words of [`crate`].
//!
//! The engine adds what only it knows (round trips, transfers, links), the
//! simulator what only it knows (who really lives). Neither knows the other,
//! and both show the same node in the same way.

#![deny(clippy::disallowed_methods, clippy::disallowed_types)]

use std::sync::Arc;

use crate::{
    Census, FileRow, Finger, Health, Liveness, Member, Neighbour, RateLimits, Role, Sharing,
    Snapshot, Standing, State, Traffic,
};
use chordal_core::chord::invariant::Report;
use chordal_core::chord::{self, CensusState, HeldRow};
use chordal_core::id::Space;
use chordal_core::peer::Peer;

mod notices;
mod state;

pub use notices::describe;
pub use state::{Facts, state};

/// The health of a ring of which nothing was seen yet that speaks against it.
pub const UNSEEN: Health =
    Health { one_ring: true, ordered: true, lists_valid: true, in_place: true, margin: None };

/// The snapshot of a core, as far as the core alone tells: `neighbour` adds how
/// a peer of its tables fares, and the driver how the ring does. The members are those that the core knows, all
/// regarded as living; files, transfers and what lies around a node are left to
/// the driver.
pub fn snapshot(core: &chord::Node, neighbour: impl Fn(Peer) -> Neighbour) -> Snapshot {
    let params = core.params();
    let (known, census) = core.members();
    Snapshot {
        uptime_ms: 0,
        me: core.peer(),
        positions: vec![core.peer()],
        ring: params.ring.clone(),
        space: params.space,
        replicas: params.replicas,
        successors_max: core.config().successors,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        secret: false,
        standing: standing(core),
        predecessor: core.predecessor().map(&neighbour),
        successors: core.successors().iter().copied().map(&neighbour).collect(),
        fingers: fingers(core),
        members: known.into_iter().map(|peer| Member { peer, liveness: Liveness::Up }).collect(),
        census: match census {
            CensusState::Complete => Census::Complete,
            CensusState::Partial => Census::Partial,
            CensusState::Estimate(nodes) => Census::Estimate(nodes),
        },
        files: Arc::default(),
        peers: Arc::default(),
        registries: Vec::new(),
        search: None,
        scan: None,
        sharing: Sharing::default(),
        transfers: Vec::new(),
        limits: RateLimits::default(),
        health: UNSEEN,
        state: State::Joining,
        lookup: None,
        traffic: Traffic::default(),
        handing_over: None,
        events_dropped: 0,
        sick_disk: None,
        fault: None,
        simulation: None,
    }
}

/// What a node is to its ring. One that has not started is on its way in.
pub fn standing(core: &chord::Node) -> Standing {
    match core.standing() {
        chord::Standing::New | chord::Standing::Joining => Standing::Joining,
        chord::Standing::Member if core.successors().is_empty() => Standing::Alone,
        chord::Standing::Member => Standing::Member,
        chord::Standing::Leaving => Standing::Leaving,
        chord::Standing::Left => Standing::Left,
    }
}

/// The files that a node or a host holds for the ring, in the order given.
pub fn files(held: Vec<HeldRow>, space: Space) -> Vec<FileRow> {
    held.into_iter()
        .map(|row| FileRow {
            key: row.record.key(space),
            size: row.record.size(),
            version: row.record.version,
            name: row.record.name,
            role: if row.owner { Role::Owner } else { Role::Replica },
            copies: row.copies,
            wanted: row.wanted,
            count: row.count,
        })
        .collect()
}

/// The finger table.
pub fn fingers(core: &chord::Node) -> Vec<Finger> {
    core.fingers()
        .into_iter()
        .map(|row| Finger { index: row.index, start: row.start, node: row.node })
        .collect()
}

/// What a check of the ring's properties says.
pub fn health(report: &Report) -> Health {
    Health {
        one_ring: report.at_least_one_ring
            && report.at_most_one_ring
            && report.connected_appendages,
        ordered: report.ordered_ring,
        lists_valid: report.valid_lists,
        in_place: report.in_place,
        margin: report.margin,
    }
}
