//! A snapshot for tests: node 466 between 48 and 495, with one file.

use std::sync::Arc;

use crate::id::Space;
use crate::name::FileName;
use crate::peer::Peer;
use crate::record::{ContentHash, Version};
use crate::view::{
    Census, FileRow, Finger, Health, Liveness, Member, Neighbour, Role, Snapshot, Standing,
    Traffic, TransferKind, TransferRow, TransferState,
};

/// The peer on this port of the loopback address.
pub(super) fn peer(port: u16) -> Peer {
    Peer::new(([127, 0, 0, 1], port).into(), 0)
}

/// A member of a ring of three.
pub(super) fn snapshot() -> Snapshot {
    let space = Space::default();
    let neighbour =
        |port| Neighbour { peer: peer(port), rtt_us: Some(210), liveness: Liveness::Up };
    let member = |port| Member { peer: peer(port), liveness: Liveness::Up };
    let me = peer(2000);
    let name = FileName::new("SkyShip.jpg").expect("a name");
    let finger = |index| Finger {
        index,
        start: space.finger_start(me.id(space), index),
        node: Some(peer(2002)),
    };
    let transfer = |number, state| TransferRow {
        number,
        name: "a.iso".into(),
        kind: TransferKind::Download,
        state,
        done: 61,
        total: 100,
        rate: 5,
        peers: vec![peer(2001).address()],
        started_ms: 0,
        ended_ms: None,
    };
    Snapshot {
        uptime_ms: 60_000,
        me,
        ring: "chordal".into(),
        space,
        replicas: 3,
        successors_max: 16,
        version: "0.1.0".into(),
        secret: false,
        standing: Standing::Member,
        predecessor: Some(neighbour(2001)),
        successors: vec![neighbour(2002), neighbour(2001)],
        fingers: (0..10).map(finger).collect(),
        members: vec![member(2001), member(2000), member(2002)],
        census: Census::Complete,
        files: Arc::new(vec![FileRow {
            key: name.key(space),
            name,
            size: 85_000,
            version: Version { counter: 1, root: ContentHash([7; 32]) },
            role: Role::Owner,
            copies: 3,
            wanted: 3,
        }]),
        transfers: vec![transfer(4, TransferState::Running), transfer(3, TransferState::Done)],
        health: Health { one_ring: true, ordered: true, lists_valid: true, margin: Some(2) },
        lookup: None,
        traffic: Traffic::default(),
        events_dropped: 0,
        fault: None,
    }
}
