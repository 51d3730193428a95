//! Outcomes as JSON: the shapes that scripts may rely on.
//!
//! Identifiers are strings (decimal up to 32 bits, hexadecimal beyond),
//! because they may be wider than the numbers of a JSON reader; addresses are
//! `"ip:port"`.

use serde_json::{Value, json};

use crate::id::Space;
use crate::peer::Peer;
use crate::view::outcome::{Info, RingFile};
use crate::view::{FileRow, Finger, Health, Hop, Outcome};

/// The JSON of a reading command's outcome; `None` for a command that changes
/// something and therefore has no such form.
pub(super) fn value(outcome: &Outcome) -> Option<Value> {
    Some(match outcome {
        Outcome::Info(info) => self::info(info),
        Outcome::Fingers { fingers, space } => {
            let rows: Vec<_> = fingers.iter().map(|finger| self::finger(*space, finger)).collect();
            json!({ "fingers": rows })
        }
        Outcome::Ring { members, health, space } => ring(*space, members, health),
        Outcome::Lookup { key, owner, hops, space, .. } => {
            let hops: Vec<_> = hops.iter().map(|hop| self::hop(*space, hop)).collect();
            json!({
                "key": space.show(*key),
                "owner": node(*space, owner),
                "hops": hops,
            })
        }
        Outcome::Files { files, space } => {
            let rows: Vec<_> = files.iter().map(|row| file(*space, row)).collect();
            json!({ "files": rows })
        }
        Outcome::RingFiles { files, space, .. } => {
            let rows: Vec<_> = files.iter().map(|row| ring_file(*space, row)).collect();
            json!({ "files": rows })
        }
        Outcome::IdOf { text, space, id } => {
            json!({ "text": text, "bits": space.bits(), "id": space.show(*id) })
        }
        _ => return None,
    })
}

fn node(space: Space, peer: &Peer) -> Value {
    json!({ "id": space.show(peer.id(space)), "address": peer.address().to_string() })
}

fn info(info: &Info) -> Value {
    let space = info.space;
    let successors: Vec<_> = info.successors.iter().map(|peer| node(space, peer)).collect();
    json!({
        "id": space.show(info.me.id(space)),
        "address": info.me.address().to_string(),
        "ring": info.ring,
        "bits": space.bits(),
        "replicas": info.replicas,
        "predecessor": info.predecessor.map(|peer| node(space, &peer)),
        "successors": successors,
        "version": info.version,
    })
}

fn finger(space: Space, finger: &Finger) -> Value {
    json!({
        "index": finger.index,
        "start": space.show(finger.start),
        "node": finger.node.map(|peer| node(space, &peer)),
    })
}

fn ring(space: Space, members: &[Peer], health: &Health) -> Value {
    let members: Vec<_> = members.iter().map(|peer| node(space, peer)).collect();
    json!({
        "members": members,
        "healthy": health.is_good(),
        "invariants": {
            "one_ring": health.one_ring,
            "ordered": health.ordered,
            "lists_valid": health.lists_valid,
        },
    })
}

/// `ms` is a fraction of milliseconds; null for a node that did not answer.
fn hop(space: Space, hop: &Hop) -> Value {
    json!({
        "id": space.show(hop.peer.id(space)),
        "address": hop.peer.address().to_string(),
        "ms": hop.micros.map(|micros| micros as f64 / 1000.0),
    })
}

fn file(space: Space, row: &FileRow) -> Value {
    json!({
        "name": row.name.as_str(),
        "key": space.show(row.key),
        "size": row.size,
        "hash": row.version.root.to_string(),
        "version": row.version.counter,
        "role": row.role,
        "copies": row.copies,
        "wanted": row.wanted,
    })
}

fn ring_file(space: Space, row: &RingFile) -> Value {
    let mut value = file(space, &row.file);
    let holders: Vec<_> = row.holders.iter().map(|peer| node(space, peer)).collect();
    value["holders"] = Value::Array(holders);
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use crate::name::FileName;
    use crate::record::{ContentHash, Version};
    use crate::view::Role;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn row() -> FileRow {
        FileRow {
            name: FileName::new("SkyShip.jpg").expect("a name"),
            key: Id::new(189),
            size: 5,
            version: Version { counter: 2, root: ContentHash([0xAB; 32]) },
            role: Role::Owner,
            copies: 1,
            wanted: 3,
        }
    }

    fn shape(outcome: &Outcome) -> Value {
        value(outcome).expect("a reading command")
    }

    #[test]
    fn info_names_the_node_and_its_neighbours() {
        let mut info = Info {
            me: peer(2000),
            ring: "chordal".into(),
            space: Space::default(),
            replicas: 3,
            predecessor: None,
            successors: vec![peer(2002)],
            version: "0.1.0".into(),
        };
        let mut expected = json!({
            "id": "466", "address": "127.0.0.1:2000", "ring": "chordal", "bits": 10,
            "replicas": 3, "predecessor": null,
            "successors": [{ "id": "495", "address": "127.0.0.1:2002" }],
            "version": "0.1.0",
        });
        assert_eq!(shape(&Outcome::Info(info.clone())), expected);

        info.predecessor = Some(peer(2001));
        expected["predecessor"] = json!({ "id": "48", "address": "127.0.0.1:2001" });
        assert_eq!(shape(&Outcome::Info(info)), expected);
    }

    #[test]
    fn fingers_have_a_start_and_a_node() {
        let space = Space::default();
        let fingers = vec![
            Finger { index: 0, start: Id::new(467), node: Some(peer(2002)) },
            Finger { index: 9, start: Id::new(978), node: None },
        ];
        let expected = json!({ "fingers": [
            { "index": 0, "start": "467", "node": { "id": "495", "address": "127.0.0.1:2002" } },
            { "index": 9, "start": "978", "node": null },
        ]});
        assert_eq!(shape(&Outcome::Fingers { fingers, space }), expected);
    }

    #[test]
    fn a_ring_is_healthy_when_all_its_invariants_hold() {
        let health = Health { one_ring: true, ordered: true, lists_valid: false, margin: Some(2) };
        let expected = json!({
            "members": [{ "id": "48", "address": "127.0.0.1:2001" }],
            "healthy": false,
            "invariants": { "one_ring": true, "ordered": true, "lists_valid": false },
        });
        let outcome = Outcome::Ring { members: vec![peer(2001)], health, space: Space::default() };
        assert_eq!(shape(&outcome), expected);
    }

    #[test]
    fn a_lookup_lists_its_hops_with_milliseconds() {
        let outcome = Outcome::Lookup {
            text: "SkyShip.jpg".into(),
            key: Id::new(189),
            owner: peer(2000),
            hops: vec![
                Hop { peer: peer(2001), micros: Some(1500) },
                Hop { peer: peer(2002), micros: None },
            ],
            space: Space::default(),
        };
        let expected = json!({
            "key": "189",
            "owner": { "id": "466", "address": "127.0.0.1:2000" },
            "hops": [
                { "id": "48", "address": "127.0.0.1:2001", "ms": 1.5 },
                { "id": "495", "address": "127.0.0.1:2002", "ms": null },
            ],
        });
        assert_eq!(shape(&outcome), expected);
    }

    #[test]
    fn a_file_of_the_whole_ring_has_holders_besides() {
        let space = Space::default();
        let mut expected = json!({ "files": [{
            "name": "SkyShip.jpg", "key": "189", "size": 5, "hash": "ab".repeat(32),
            "version": 2, "role": "owner", "copies": 1, "wanted": 3,
        }]});
        assert_eq!(shape(&Outcome::Files { files: vec![row()], space }), expected);

        expected["files"][0]["holders"] = json!([{ "id": "466", "address": "127.0.0.1:2000" }]);
        let files = vec![RingFile { file: row(), holders: vec![peer(2000)] }];
        let outcome = Outcome::RingFiles { files, silent: vec![peer(2001)], space };
        assert_eq!(shape(&outcome), expected);
    }

    #[test]
    fn wide_identifiers_are_hexadecimal_strings() {
        let space = Space::new(40).expect("in range");
        let outcome = Outcome::IdOf { text: "a".into(), space, id: Id::new(0xAB) };
        let expected = json!({ "text": "a", "bits": 40, "id": "00000000ab" });
        assert_eq!(shape(&outcome), expected);
    }

    #[test]
    fn what_changes_something_has_no_json() {
        assert_eq!(value(&Outcome::Quit), None);
    }
}
