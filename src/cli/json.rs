//! Outcomes as JSON: the shapes that scripts may rely on.
//!
//! Identifiers are strings (decimal up to 32 bits, hexadecimal beyond),
//! because they may be wider than the numbers of a JSON reader; addresses are
//! `"ip:port"`.

use serde_json::{Value, json};

use chordal_core::error::CommandError;
use chordal_core::id::Space;
use chordal_core::peer::{Party, Peer};
use chordal_core::wire::query::NodeInfo;
use chordal_view::outcome::RingFile;
use chordal_view::{
    Behind, FileRow, Finger, FoundContent, Health, Hop, Outcome, PeerRow, RegistryRow, ScanRow,
    ScannedPort, SearchRow, State, TransferRow, TransferState, text,
};

/// The JSON of an outcome; `None` for a command that has no such form.
pub(super) fn value(outcome: &Outcome) -> Option<Value> {
    Some(match outcome {
        Outcome::Info(info) => self::info(info),
        Outcome::Fingers { fingers, space } => {
            let rows: Vec<_> = fingers.iter().map(|finger| self::finger(*space, finger)).collect();
            json!({ "fingers": rows })
        }
        Outcome::Ring { members, troubled, health, state, space, .. } => {
            ring(*space, members, troubled, health, *state)
        }
        Outcome::Lookup { key, owner, hops, space, .. } => {
            let hops: Vec<_> = hops.iter().map(|hop| self::hop(*space, hop)).collect();
            json!({
                "key": space.show(*key),
                "owner": node(*space, owner),
                "hops": hops,
            })
        }
        Outcome::Files { files, space, .. } => {
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
        Outcome::Found(search) => self::search(search),
        Outcome::Scanned(scan) => self::scan(scan),
        Outcome::Peers { me, peers, registries, uptime_ms, space } => {
            let peers: Vec<_> = peers.iter().map(|row| linked(*space, *uptime_ms, row)).collect();
            let registries: Vec<_> =
                registries.iter().map(|row| registry(*uptime_ms, row)).collect();
            json!({ "node": node(*space, me), "peers": peers, "registries": registries })
        }
        Outcome::Transfers(rows) => {
            json!({ "transfers": rows.iter().map(transfer).collect::<Vec<_>>() })
        }
        Outcome::Stored {
            name,
            key,
            size,
            version,
            holders,
            wanted,
            already,
            cut_off,
            silent,
            likely,
            space,
            ..
        } => {
            let holders: Vec<_> = holders.iter().map(|peer| node(*space, peer)).collect();
            json!({
                "name": name.as_str(), "key": space.show(*key), "size": size,
                "hash": version.root.to_string(), "version": version.counter,
                "copies": holders.len(), "wanted": wanted, "holders": holders,
                "already": already, "cut_off_from": cut_off, "silent": addresses(silent),
                "likely": likely,
            })
        }
        Outcome::StoredAll { name, stored, already, bytes, cut_off, outvoted, .. } => {
            json!({
                "name": name.as_str(), "stored": stored, "already": already, "bytes": bytes,
                "cut_off_from": cut_off, "outvoted": outvoted,
            })
        }
        _ => return None,
    })
}

/// Why a command failed: `kind` is one of a few words, `error` the sentence for people.
pub(super) fn error(error: &CommandError) -> Value {
    json!({ "kind": error.kind(), "error": error.to_string() })
}

fn transfer(row: &TransferRow) -> Value {
    let (state, why, copies) = match &row.state {
        TransferState::Queued => ("queued", None, None),
        TransferState::Running => ("running", None, None),
        TransferState::Paused => ("paused", None, None),
        TransferState::Waiting => ("waiting", None, None),
        TransferState::Securing { copies, wanted } => ("securing", None, Some((copies, wanted))),
        TransferState::Done => ("done", None, None),
        TransferState::Failed(why) => ("failed", Some(why), None),
        TransferState::Cancelled => ("cancelled", None, None),
    };
    let running = row.state == TransferState::Running;
    let left = row.total.saturating_sub(row.done).checked_div(row.rate).filter(|_| running);
    let side = |(party, bytes): &(Party, u64)| {
        let address = match party {
            Party::Node(address) => address.to_string(),
            Party::Client(host) => host.to_string(),
        };
        json!({ "address": address, "client": party.node().is_none(), "bytes": bytes })
    };
    json!({
        "number": row.number,
        "name": row.name,
        "kind": text::transfer_kind(row.kind),
        "state": state,
        "why": why,
        "copies": copies.map(|(copies, wanted)| json!({ "made": copies, "wanted": wanted })),
        "done": row.done,
        "total": row.total,
        "rate": row.rate,
        "seconds_left": left,
        "peers": row.peers.iter().map(side).collect::<Vec<_>>(),
        "files": row.files,
        "part_of": row.part_of,
        "started_ms": row.started_ms,
        "ended_ms": row.ended_ms,
    })
}

fn node(space: Space, peer: &Peer) -> Value {
    json!({ "id": space.show(peer.id(space)), "address": peer.address().to_string() })
}

fn info(info: &NodeInfo) -> Value {
    let space = info.params.space;
    let successors: Vec<_> = info.successors.iter().map(|peer| node(space, peer)).collect();
    let places: Vec<_> = info.places().map(|peer| space.show(peer.id(space))).collect();
    json!({
        "id": space.show(info.peer.id(space)),
        "address": info.peer.address().to_string(),
        "ring": info.params.ring,
        "bits": space.bits(),
        "replicas": info.params.replicas,
        "predecessor": info.predecessor.map(|peer| node(space, &peer)),
        "successors": successors,
        "places": places,
        "version": info.version,
        "sick_disk": info.sick_disk,
        "no_bytes_to": info.deaf,
    })
}

fn finger(space: Space, finger: &Finger) -> Value {
    json!({
        "index": finger.index,
        "start": space.show(finger.start),
        "node": finger.node.map(|peer| node(space, &peer)),
    })
}

/// `why` says more about a state, where there is more: a sentence for people.
fn ring(
    space: Space,
    members: &[Peer],
    troubled: &[(Peer, String)],
    health: &Health,
    state: State,
) -> Value {
    let members: Vec<_> = members.iter().map(|peer| node(space, peer)).collect();
    let troubled: Vec<_> = troubled
        .iter()
        .map(|(peer, why)| json!({ "address": peer.address().to_string(), "why": why }))
        .collect();
    json!({
        "members": members,
        "troubled": troubled,
        "healthy": state.is_healthy(),
        "state": state.word(),
        "why": state.detail(),
        "invariants": {
            "one_ring": health.one_ring,
            "ordered": health.ordered,
            "lists_valid": health.lists_valid,
            "in_place": health.in_place,
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
        "health": row.health(),
    })
}

fn ring_file(space: Space, row: &RingFile) -> Value {
    let mut value = file(space, &row.file);
    let holders: Vec<_> = row.holders.iter().map(|peer| node(space, peer)).collect();
    value["holders"] = Value::Array(holders);
    value
}

/// Which peer has it: `found` is null for one that did not answer. A search
/// does not know the ring's size, so its nodes have no ids.
fn search(search: &SearchRow) -> Value {
    let peers: Vec<_> = search
        .peers
        .iter()
        .map(|(peer, found)| json!({ "address": peer.address().to_string(), "found": found }))
        .collect();
    let contents: Vec<_> = search.contents.iter().map(content).collect();
    json!({
        "pattern": search.pattern,
        "peers": peers,
        "contents": contents,
        "answered": search.answered,
        "silent": addresses(&search.silent),
        "depth": search.depth,
        "truncated": search.truncated,
    })
}

fn content(content: &FoundContent) -> Value {
    let names: Vec<_> = content.names.iter().map(|name| name.as_str()).collect();
    json!({
        "names": names,
        "hash": content.root.to_string(),
        "size": content.size,
        "stored": content.stored,
        "sources": addresses(&content.sources),
    })
}

fn addresses(peers: &[Peer]) -> Vec<String> {
    peers.iter().map(|peer| peer.address().to_string()).collect()
}

fn scan(scan: &ScanRow) -> Value {
    let ports: Vec<_> = scan.ports.iter().map(|port| scanned(scan.space, port)).collect();
    json!({ "host": scan.host, "ports": ports })
}

/// `state` is one of node, registry, me, other, inactive; a node comes with
/// its ring (null: that of the scanning node), something else with what it is.
fn scanned(space: Space, port: &ScannedPort) -> Value {
    let address = port.address.to_string();
    match &port.found {
        Behind::Node(peer) => json!({
            "address": address, "state": "node", "node": node(space, peer), "ring": null,
        }),
        Behind::OtherRing { peer, ring, space } => json!({
            "address": address, "state": "node", "node": node(*space, peer), "ring": ring,
        }),
        Behind::Registry => json!({ "address": address, "state": "registry" }),
        Behind::Me => json!({ "address": address, "state": "me" }),
        Behind::NotChordal(what) => {
            json!({ "address": address, "state": "other", "what": what })
        }
        Behind::Inactive => json!({ "address": address, "state": "inactive" }),
    }
}

/// `rtt_ms` is a fraction of milliseconds, `since_s` how long there has been a
/// link; null where there is none.
fn linked(space: Space, uptime_ms: u64, row: &PeerRow) -> Value {
    let mut value = node(space, &row.peer);
    value["link"] = json!(row.link);
    value["state"] = json!(row.liveness);
    value["rtt_ms"] = json!(row.rtt_us.map(|micros| micros as f64 / 1000.0));
    value["since_s"] = json!(row.link.map(|_| uptime_ms.saturating_sub(row.since_ms) / 1000));
    value["shared"] = json!(row.shared);
    value["trust"] = json!(row.trust);
    value["why"] = json!(row.why);
    value
}

fn registry(uptime_ms: u64, row: &RegistryRow) -> Value {
    json!({
        "address": row.address.to_string(),
        "state": row.liveness,
        "peers": row.peers,
        "heard_s": row.heard_ms.map(|then| uptime_ms.saturating_sub(then) / 1000),
        "note": row.note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::id::Id;
    use chordal_core::name::FileName;
    use chordal_core::record::{ContentHash, CopyCount, Version};
    use chordal_core::wire::handshake::Params;
    use chordal_view::{LinkKind, Liveness, Role, Trust, Unsettled};

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    fn row() -> FileRow {
        FileRow {
            count: CopyCount::Known,
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
    fn a_transfer_says_how_it_stands() {
        let mut row = TransferRow {
            number: 4,
            name: "a.iso".into(),
            kind: chordal_view::TransferKind::Download,
            state: TransferState::Running,
            done: 40,
            total: 100,
            rate: 20,
            peers: vec![(Party::Node(peer(2001).address()), 40)],
            started_ms: 5,
            ended_ms: None,
            files: None,
            part_of: None,
        };
        let mut expected = json!({
            "number": 4, "name": "a.iso", "kind": "get", "state": "running", "why": null,
            "copies": null, "done": 40, "total": 100, "rate": 20, "seconds_left": 3,
            "peers": [{ "address": "127.0.0.1:2001", "client": false, "bytes": 40 }], "files": null,
            "part_of": null, "started_ms": 5, "ended_ms": null,
        });
        let shown = |row: &TransferRow| shape(&Outcome::Transfers(vec![row.clone()]));
        assert_eq!(shown(&row), json!({ "transfers": [expected] }));
        row.state = TransferState::Failed("no source".into());
        (expected["state"], expected["why"]) = (json!("failed"), json!("no source"));
        expected["seconds_left"] = Value::Null;
        assert_eq!(shown(&row), json!({ "transfers": [expected] }));
    }

    #[test]
    fn info_names_the_node_and_its_neighbours() {
        let mut info = NodeInfo {
            peer: peer(2000),
            params: Params { ring: "chordal".into(), space: Space::default(), replicas: 3 },
            member: true,
            predecessor: None,
            successors: vec![peer(2002)],
            version: "0.1.0".into(),
            positions: vec![0],
            sick_disk: None,
            deaf: vec![peer(2002).address()],
        };
        let mut expected = json!({
            "id": "466", "address": "127.0.0.1:2000", "ring": "chordal", "bits": 10,
            "replicas": 3, "predecessor": null,
            "successors": [{ "id": "495", "address": "127.0.0.1:2002" }],
            "places": ["466"],
            "version": "0.1.0",
            "sick_disk": null, "no_bytes_to": ["127.0.0.1:2002"],
        });
        assert_eq!(shape(&Outcome::Info(Box::new(info.clone()))), expected);

        info.predecessor = Some(peer(2001));
        expected["predecessor"] = json!({ "id": "48", "address": "127.0.0.1:2001" });
        assert_eq!(shape(&Outcome::Info(Box::new(info))), expected);
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
    fn a_ring_has_a_state_besides_its_invariants() {
        let health = Health {
            one_ring: true,
            ordered: true,
            lists_valid: true,
            in_place: false,
            margin: Some(2),
        };
        let state = State::Converging { seen: 45, why: Unsettled::Growing };
        let expected = json!({
            "members": [{ "id": "48", "address": "127.0.0.1:2001" }],
            "troubled": [{ "address": "127.0.0.1:2001", "why": "its disk fails" }],
            "healthy": false,
            "state": "converging",
            "why": "45 seen, still growing",
            "invariants": {
                "one_ring": true, "ordered": true, "lists_valid": true, "in_place": false,
            },
        });
        let (members, silent) = (vec![peer(2001)], vec![peer(2000)]);
        let (troubled, space) = (vec![(peer(2001), "its disk fails".to_owned())], Space::default());
        let outcome = Outcome::Ring { members, silent, troubled, health, state, space };
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
            "version": 2, "role": "owner", "copies": 1, "wanted": 3, "health": "at risk",
        }]});
        assert_eq!(shape(&Outcome::Files { files: vec![row()], of: None, space }), expected);

        expected["files"][0]["holders"] = json!([{ "id": "466", "address": "127.0.0.1:2000" }]);
        let files = vec![RingFile { file: row(), holders: vec![peer(2000)] }];
        let outcome = Outcome::RingFiles { files, of: None, silent: vec![peer(2001)], space };
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
    fn a_search_lists_contents_with_their_sources() {
        let search = SearchRow {
            number: 1,
            pattern: "*.jpg".into(),
            peers: vec![(peer(5003), Some(true)), (peer(5005), None)],
            contents: vec![FoundContent {
                names: vec![FileName::new("SkyShip.jpg").expect("a name")],
                root: ContentHash([0xAB; 32]),
                size: 85_021,
                sources: vec![peer(5003)],
                stored: false,
                outside: false,
            }],
            answered: 2,
            silent: vec![peer(5005)],
            depth: 1,
            running: false,
            truncated: false,
        };
        let expected = json!({
            "pattern": "*.jpg",
            "peers": [
                { "address": "127.0.0.1:5003", "found": true },
                { "address": "127.0.0.1:5005", "found": null },
            ],
            "contents": [{
                "names": ["SkyShip.jpg"], "hash": "ab".repeat(32), "size": 85_021,
                "stored": false, "sources": ["127.0.0.1:5003"],
            }],
            "answered": 2, "silent": ["127.0.0.1:5005"], "depth": 1, "truncated": false,
        });
        assert_eq!(shape(&Outcome::Found(search)), expected);
    }

    #[test]
    fn a_scan_lists_every_port_with_its_state() {
        let at = |port: u16, found| ScannedPort { address: peer(port).address(), found };
        let wide = Space::new(40).expect("in range");
        let ring = "'blue' (2^40 ids, 2 copies)".to_owned();
        let scan = ScanRow {
            number: 0,
            host: "127.0.0.1".into(),
            total: 4,
            done: 4,
            ports: vec![
                at(2000, Behind::Node(peer(2000))),
                at(2001, Behind::OtherRing { peer: peer(2001), ring: ring.clone(), space: wide }),
                at(2002, Behind::NotChordal("says nothing".into())),
                at(2003, Behind::Inactive),
            ],
            space: Space::default(),
        };
        let id = wide.show(peer(2001).id(wide));
        let expected = json!({ "host": "127.0.0.1", "ports": [
            { "address": "127.0.0.1:2000", "state": "node", "ring": null,
              "node": { "id": "466", "address": "127.0.0.1:2000" } },
            { "address": "127.0.0.1:2001", "state": "node", "ring": ring,
              "node": { "id": id, "address": "127.0.0.1:2001" } },
            { "address": "127.0.0.1:2002", "state": "other", "what": "says nothing" },
            { "address": "127.0.0.1:2003", "state": "inactive" },
        ]});
        assert_eq!(shape(&Outcome::Scanned(scan)), expected);
    }

    #[test]
    fn peers_have_links_and_reputations() {
        let row = PeerRow {
            peer: peer(2001),
            link: Some(LinkKind::Random),
            liveness: Liveness::Up,
            rtt_us: Some(1_500),
            since_ms: 4_000,
            shared: None,
            trust: Trust::Last,
            why: Some("2 bad pieces".into()),
        };
        let registry = RegistryRow {
            address: peer(5000).address(),
            liveness: Liveness::Dead,
            peers: 0,
            heard_ms: None,
            note: None,
        };
        let outcome = Outcome::Peers {
            me: peer(2000),
            peers: vec![row],
            registries: vec![registry],
            uptime_ms: 10_000,
            space: Space::default(),
        };
        let expected = json!({
            "node": { "id": "466", "address": "127.0.0.1:2000" },
            "peers": [{
                "id": "48", "address": "127.0.0.1:2001", "link": "random", "state": "up",
                "rtt_ms": 1.5, "since_s": 6, "shared": null, "trust": "last",
                "why": "2 bad pieces",
            }],
            "registries": [{
                "address": "127.0.0.1:5000", "state": "dead", "peers": 0, "heard_s": null,
                "note": null,
            }],
        });
        assert_eq!(shape(&outcome), expected);
    }

    #[test]
    fn what_changes_something_has_no_json() {
        assert_eq!(value(&Outcome::Said { links: 0 }), None);
    }
}
