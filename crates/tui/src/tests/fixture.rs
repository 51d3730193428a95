//! Pictures to draw in tests and benches: whole states of a dashboard, made up
//! but consistent (fingers and owners follow the definition).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chordal_core::id::{Id, Space};
use chordal_core::name::FileName;
use chordal_core::peer::{Party, Peer};
use chordal_core::record::{ContentHash, CopyCount, Version};
use chordal_view::{
    Behind, CensusState, FileRow, Finger, FoundContent, Health, Hop, Level, LinkKind, Liveness,
    LookupRow, Member, Membership, Neighbour, PeerRow, RegistryRow, Role, ScanRow, ScannedPort,
    SearchRow, Sharing, SimulationRow, Snapshot, Speed, State, Step, Traffic, TransferKind,
    TransferRow, TransferState, Trust, UiEvent, Unsettled,
};

use super::state::{App, Trail};
use super::theme::{Glyphs, Theme};

/// Entries of a successor list.
const SUCCESSORS: usize = 16;

/// Copies of a file.
const COPIES: u8 = 3;

/// The node on 127.0.0.1 that listens on this port.
pub fn peer(port: u16) -> Peer {
    Peer::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), 0)
}

/// The same node as the other side of a transfer.
fn party(port: u16) -> Party {
    Party::Node(peer(port).address())
}

/// A dashboard over one snapshot, with the events of its first minute.
pub fn app(snapshot: Snapshot) -> App {
    let mut app = App::new(vec![Arc::new(snapshot)], Theme::standard(), Glyphs::unicode());
    app.now = Duration::from_secs(60);
    app.nodes[0].at = app.now;
    app.nodes[0].events = events(12).into();
    app
}

/// A dashboard over these nodes as it starts: nothing has happened yet.
pub fn started(snapshots: Vec<Snapshot>) -> App {
    let snapshots = snapshots.into_iter().map(Arc::new).collect();
    App::new(snapshots, Theme::default(), Glyphs::unicode())
}

/// Node 466 between 48 and 495, with one file, a download under way and one
/// that has ended.
pub fn member() -> Snapshot {
    let mut snapshot = ring(Space::default(), 3);
    snapshot.files = Arc::new(vec![file(&snapshot, "SkyShip.jpg", 85_000, 3)].into());
    let transfer = |number, state, rate| TransferRow {
        number,
        name: "a.iso".to_owned(),
        kind: TransferKind::Download,
        state,
        done: 61,
        total: 100,
        rate,
        peers: vec![(party(2001), 0)],
        started_ms: 0,
        ended_ms: None,
        files: None,
        part_of: None,
    };
    snapshot.transfers =
        vec![transfer(4, TransferState::Running, 5), transfer(3, TransferState::Done, 0)];
    snapshot
}

/// A node that has just started: 127.0.0.1:2000, id 466.
pub fn alone() -> App {
    let mut app = app(ring(Space::default(), 1));
    app.nodes[0].events.truncate(1);
    app
}

/// Three nodes, 466, 48 and 495, and one file, SkyShip.jpg with key 189.
pub fn three() -> App {
    let mut snapshot = ring(Space::default(), 3);
    snapshot.files = Arc::new(vec![file(&snapshot, "SkyShip.jpg", 2_437_120, 3)].into());
    snapshot.lookup = Some(lookup(&snapshot, 1, "SkyShip.jpg"));
    snapshot.traffic.up_rate = 1_240;
    snapshot.traffic.down_rate = 980;
    app(snapshot)
}

/// Eight nodes with files in every state, transfers, and a lookup on its way.
pub fn eight() -> App {
    let mut snapshot = ring(Space::default(), 8);
    let files = [
        ("SkyShip.jpg", 2_437_120, 3),
        ("a rather long name of a holiday film, cut twice.mkv", 1_871_004_772, 2),
        ("backup/2026-11-20.tar.zst", 734_003_200, 3),
        ("letters/to-grandmother.txt", 4_210, 1),
        ("lecture-04.pdf", 18_944_211, 3),
        ("notes.md", 812, 3),
        ("日本語の資料.pdf", 5_120_000, 3),
    ];
    let files = files.map(|(name, size, copies)| file(&snapshot, name, size, copies));
    let shared = [("SkyShip.jpg", 85_021, 3), ("talks/2026/chord.pdf", 4_100_000, 1)];
    let shared = shared.map(|(name, size, sources)| shared_file(&snapshot, name, size, sources));
    let mut files: Vec<FileRow> = files.into_iter().chain(shared).collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    snapshot.files = Arc::new(files.into());
    snapshot.sharing = Sharing { files: 2, bytes: 4_185_021, hashing: 1 };
    snapshot.transfers = transfers();
    snapshot.peers = Arc::new(peers());
    snapshot.registries = registries();
    snapshot.traffic =
        Traffic { up_rate: 1_240_000, down_rate: 34_100_000, up_total: 9, down_total: 9 };
    snapshot.lookup = Some(lookup(&snapshot, 7, "lecture-04.pdf"));
    let mut app = app(snapshot);
    app.trail = Some(Trail { number: 7, since: Duration::from_millis(59_440) });
    app
}

/// Sixty nodes, of which one is dead and one suspect.
pub fn sixty() -> App {
    let mut snapshot = ring(Space::default(), 60);
    snapshot.members[20].liveness = Liveness::Dead;
    snapshot.members[41].liveness = Liveness::Suspect;
    let names: Vec<String> = (0..120).map(|i| format!("photos/2026/img_{i:04}.jpg")).collect();
    let files = names.iter().enumerate();
    let files = files.map(|(i, name)| file(&snapshot, name, 40_000 * (i as u64 + 1), 3));
    let files: Vec<FileRow> = files.collect();
    snapshot.files = Arc::new(files.into());
    snapshot.lookup = Some(lookup(&snapshot, 3, "photos/2026/img_0007.jpg"));
    app(snapshot)
}

/// A node of a simulation of a thousand hosts that was cut in two and stands
/// still.
pub fn simulated() -> App {
    let space = Space::new(16).unwrap_or_default();
    let mut snapshot = ring(space, 1_000);
    for at in (0..snapshot.members.len()).step_by(2) {
        snapshot.members[at].liveness = Liveness::Suspect;
    }
    snapshot.health = Health { one_ring: false, margin: Some(9), ..snapshot.health };
    snapshot.state = State::CutOff { missing: 500 };
    snapshot.simulation = Some(SimulationRow {
        title: "churn".to_owned(),
        seed: 42,
        now: Duration::from_micros(75_413_200),
        events: 1_234_567,
        running: false,
        speed: Speed::REAL.faster(),
        pace: None,
        hosts: 998,
        down: 2,
        parts: 2,
    });
    let mut app = app(snapshot);
    app.lab = true;
    let events = (0..).zip(&mut app.nodes[0].events);
    events.for_each(|(number, event)| event.unix_ms = 55_013 + 1_700 * number);
    app
}

/// Eight nodes just after the first successor was killed.
pub fn dead_successor() -> App {
    let mut app = eight();
    let mut snapshot = (*app.nodes[0].snapshot).clone();
    snapshot.successors[0].liveness = Liveness::Dead;
    snapshot.successors[0].rtt_us = None;
    snapshot.successors[1].liveness = Liveness::Suspect;
    snapshot.health = Health { lists_valid: false, margin: Some(6), ..snapshot.health };
    snapshot.state = State::Converging { seen: 8, why: Unsettled::Silent(2) };
    snapshot.events_dropped = 3;
    app.nodes[0].snapshot = Arc::new(snapshot);
    app.trail = None;
    app
}

/// A ring of identifiers with 128 bits and about 1200 nodes.
pub fn huge() -> App {
    let space = Space::new(128).unwrap_or_default();
    let mut snapshot = ring(space, 200);
    snapshot.census = CensusState::Estimate(1_200);
    "a ring with quite a long name".clone_into(&mut snapshot.ring);
    app(snapshot)
}

/// The snapshot of 127.0.0.1:2000 on a healthy ring of `nodes` nodes at the
/// ports from 2000 on.
pub fn ring(space: Space, nodes: u16) -> Snapshot {
    let mut peers: Vec<Peer> = (2000..2000 + nodes).map(peer).collect();
    peers.sort_by_key(|peer| peer.id(space));
    peers.dedup_by_key(|peer| peer.id(space));
    let me = peer(2000);
    let at = peers.iter().position(|p| p.id(space) == me.id(space)).unwrap_or(0);
    let me = peers[at];
    let others: Vec<Peer> = (1..peers.len()).map(|i| peers[(at + i) % peers.len()]).collect();
    let neighbour = |(i, peer): (usize, &Peer)| Neighbour {
        peer: *peer,
        rtt_us: Some(180 + 413 * i as u64),
        liveness: Liveness::Up,
    };
    let alone = others.is_empty();
    let successors: Vec<Neighbour> =
        others.iter().take(SUCCESSORS).enumerate().map(neighbour).collect();
    Snapshot {
        uptime_ms: 60_000,
        ring: "chordal".to_owned(),
        space,
        replicas: COPIES,
        successors_max: SUCCESSORS,
        version: "0.1.0".to_owned(),
        membership: if alone { Membership::Alone } else { Membership::Member },
        predecessor: others.last().map(|peer| neighbour((0, peer))),
        fingers: (0..space.bits())
            .map(|index| {
                let start = space.finger_start(me.id(space), index);
                Finger { index, start, node: Some(owner(&peers, space, start)) }
            })
            .collect(),
        members: peers.iter().map(|peer| Member { peer: *peer, liveness: Liveness::Up }).collect(),
        census: CensusState::Complete,
        health: Health { margin: (!alone).then_some(successors.len()), ..Health::UNSEEN },
        state: if alone { State::Alone } else { State::Healthy },
        successors,
        ..Snapshot::empty(me)
    }
}

/// Events of every level, oldest first.
pub fn events(count: u64) -> Vec<UiEvent> {
    const LINES: [(Level, Option<Step>, &str); 7] = [
        (Level::Info, None, "listening on 127.0.0.1:2000 as 466"),
        (
            Level::Info,
            Some(Step::Joined),
            "joined the ring chordal; the successor is 495 at 127.0.0.1:2002",
        ),
        (Level::Info, None, "stored SkyShip.jpg, 3/3 copies: 466, 495, 48"),
        (
            Level::Warn,
            Some(Step::Dropped),
            "48 at 127.0.0.1:2001 does not answer; the next successor takes its place",
        ),
        (Level::Info, None, "lookup 189 found 466 in 1 hop, 2.1 ms"),
        (Level::Info, Some(Step::Said), "127.0.0.1:2003 says: the tide is in"),
        (Level::Error, None, "could not save lecture-04.pdf: the disk is full; free some space"),
    ];
    (0..count)
        .map(|i| {
            let (level, step, text) = LINES[(i % 7) as usize];
            let unix_ms = 1_763_726_643_000 + i * 1_700;
            UiEvent { unix_ms, level, step, text: text.to_owned() }
        })
        .collect()
}

fn owner(peers: &[Peer], space: Space, key: Id) -> Peer {
    let next = peers.iter().find(|peer| peer.id(space) >= key);
    *next.unwrap_or(&peers[0])
}

fn file(snapshot: &Snapshot, name: &str, size: u64, copies: u8) -> FileRow {
    let name = self::name(name);
    let key = name.key(snapshot.space);
    let peers: Vec<Peer> = snapshot.members.iter().map(|member| member.peer).collect();
    let mine = owner(&peers, snapshot.space, key) == snapshot.me;
    FileRow {
        name,
        key,
        size,
        version: Version { counter: 1, root: ContentHash([7; 32]) },
        role: if mine { Role::Owner } else { Role::Replica },
        copies,
        wanted: COPIES,
        count: CopyCount::Known,
    }
}

fn name(text: &str) -> FileName {
    FileName::new(text).expect("a fixture's name is a name")
}

fn shared_file(snapshot: &Snapshot, name: &str, size: u64, sources: u8) -> FileRow {
    let row = file(snapshot, name, size, sources);
    FileRow { role: Role::Shared, wanted: 0, version: Version { counter: 0, ..row.version }, ..row }
}

/// A lookup through the fingers of the members, as the protocol makes it.
fn lookup(snapshot: &Snapshot, number: u64, text: &str) -> LookupRow {
    let space = snapshot.space;
    let key = space.hash(text);
    let peers: Vec<Peer> = snapshot.members.iter().map(|member| member.peer).collect();
    let owner = owner(&peers, space, key);
    let mut hops = Vec::new();
    let mut at = snapshot.me;
    // Halve the distance until the owner's predecessor is reached.
    while let Some(next) = (0..space.bits())
        .rev()
        .map(|i| self::owner(&peers, space, space.finger_start(at.id(space), i)))
        .find(|peer| peer.id(space).between(at.id(space), key))
    {
        hops.push(Hop { peer: next, micros: Some(640 + 730 * hops.len() as u64) });
        at = next;
    }
    LookupRow { number, text: text.to_owned(), key, hops, owner: Some(owner) }
}

/// Links of every kind and state, and a peer that is not trusted.
pub fn peers() -> Vec<PeerRow> {
    let row = |port, link, rtt_us, since_ms, shared| PeerRow {
        peer: peer(port),
        link,
        liveness: Liveness::Up,
        rtt_us,
        since_ms,
        shared,
        trust: Trust::Good,
        why: None,
    };
    use LinkKind::{Chosen, Incoming, Random};
    vec![
        row(2001, Some(Random), Some(1_870), 12_000, Some(12)),
        row(2003, Some(Chosen), Some(420), 2_000, Some(3)),
        PeerRow {
            liveness: Liveness::Suspect,
            ..row(2004, Some(Random), Some(593), 31_000, Some(0))
        },
        PeerRow {
            trust: Trust::Last,
            why: Some("2 downloads timed out".to_owned()),
            ..row(2005, Some(Random), Some(180), 8_000, Some(1_204))
        },
        PeerRow {
            liveness: Liveness::Suspect,
            trust: Trust::Shunned,
            why: Some("served 3 pieces with other content".to_owned()),
            ..row(2006, None, None, 0, None)
        },
        row(5003, Some(Incoming), Some(31_400), 55_000, None),
    ]
}

/// Three registries: one that is up, one that is tried, one that is down.
pub fn registries() -> Vec<RegistryRow> {
    let row = |port, liveness, peers, heard_ms, note: Option<&str>| RegistryRow {
        address: peer(port).address(),
        liveness,
        peers,
        heard_ms,
        note: note.map(str::to_owned),
    };
    vec![
        row(5000, Liveness::Up, 8, Some(57_000), None),
        row(5001, Liveness::Suspect, 0, None, None),
        row(5002, Liveness::Dead, 7, Some(21_000), Some("connection refused; tried again in 12 s")),
    ]
}

/// A search that has ended: two contents under one name, a shared one, one
/// under two names; a linked peer without an answer, a node without one.
pub fn search() -> SearchRow {
    let content = |names: &[&str], root: u8, size, ports: &[u16], stored| FoundContent {
        names: names.iter().copied().map(name).collect(),
        root: ContentHash([root; 32]),
        size,
        sources: ports.iter().copied().map(peer).collect(),
        stored,
        outside: false,
    };
    SearchRow {
        number: 1,
        pattern: "sky".to_owned(),
        peers: vec![
            (peer(2001), Some(true)),
            (peer(2003), Some(false)),
            (peer(2004), None),
            (peer(5003), Some(true)),
        ],
        contents: vec![
            content(&["SkyShip.jpg"], 0xa1, 2_437_120, &[2000, 2001, 2002, 5003], true),
            content(&["SkyShip.jpg"], 0xa7, 85_021, &[2003], false),
            content(
                &["Skyline of a rather large city at night.mkv", "city.mkv"],
                0x3c,
                1_871_004_772,
                &[2001, 2005, 2006, 2007, 5003],
                false,
            ),
            content(&["notes/sky.md"], 0x19, 812, &[2005, 2006], true),
        ],
        answered: 7,
        silent: vec![peer(2004)],
        depth: 3,
        running: false,
        truncated: false,
    }
}

/// A scan of ten ports with something of every kind behind them.
pub fn scan() -> ScanRow {
    let port = |port: u16, found| ScannedPort { address: peer(port).address(), found };
    let other = Behind::OtherRing {
        peer: peer(5005),
        ring: "study".to_owned(),
        space: Space::new(64).unwrap_or_default(),
    };
    let web = Behind::NotChordal("it sent no greeting".to_owned());
    let ports = vec![
        port(5000, Behind::Registry),
        port(5001, Behind::Inactive),
        port(5002, Behind::Me),
        port(5003, Behind::Node(peer(5003))),
        port(5004, Behind::Inactive),
        port(5005, other),
        port(5006, Behind::Inactive),
        port(5007, web),
        port(5008, Behind::Inactive),
        port(5009, Behind::Node(peer(5009))),
    ];
    ScanRow {
        number: 1,
        host: "127.0.0.1".to_owned(),
        total: 10,
        done: 10,
        ports,
        space: Space::default(),
    }
}

/// The node of [`eight`] while directories are on their way, others wait, and it may
/// not move more than so much.
pub fn busy() -> App {
    let mut app = eight();
    let snapshot = Arc::make_mut(&mut app.nodes[0].snapshot);
    snapshot.limits = chordal_view::RateLimits { up: Some(500_000), down: Some(12_000_000) };
    let row = |number, name: &str, part_of, state, done, rate| TransferRow {
        number,
        name: name.to_owned(),
        kind: TransferKind::Download,
        state,
        done,
        total: 90_000_000,
        rate,
        peers: vec![(party(2001), done / 3), (party(2004), done / 3 * 2)],
        started_ms: 40_000,
        ended_ms: None,
        files: None,
        part_of,
    };
    use TransferState::{Failed, Paused, Queued, Running};
    let part =
        |number, name: &str, state, done, rate| row(number, name, Some(20), state, done, rate);
    let files = Some(chordal_view::FileCount { done: 12, failed: 1, total: 40 });
    let gone = Failed("nobody could deliver it".to_owned());
    snapshot.transfers = vec![
        row(31, "thesis.tar", None, Queued, 0, 0),
        part(30, "photos/2026/beach-5.raw", Queued, 0, 0),
        part(29, "photos/2026/beach-4.raw", Running, 30_000_000, 5_600_000),
        part(28, "photos/2026/beach-3.raw", Running, 60_000_000, 6_100_000),
        part(27, "photos/2026/beach-2.raw", gone, 10_000_000, 0),
        part(26, "photos/2026/beach-1.raw", TransferState::Done, 90_000_000, 0),
        row(25, "backup.img", None, Paused, 45_000_000, 0),
        row(24, "silent.bin", None, Running, 45_000_000, 0),
        TransferRow {
            files,
            total: 3_600_000_000,
            ..row(20, "photos", None, Running, 1_200_000_000, 11_700_000)
        },
    ];
    app
}

fn transfers() -> Vec<TransferRow> {
    let row = |number, name: &str, kind, state, done, total, rate, ports: &[u16]| TransferRow {
        number,
        name: name.to_owned(),
        kind,
        state,
        done,
        total,
        rate,
        // Each delivers about half of what the one before it does.
        peers: ports
            .iter()
            .enumerate()
            .map(|(i, port)| (party(*port), (done * 4 / 7) >> i))
            .collect(),
        started_ms: 40_000,
        ended_ms: (rate == 0).then_some(52_000),
        files: None,
        part_of: None,
    };
    use TransferKind::{Copy, Download, Hash, Serve, Upload};
    use TransferState::{Cancelled, Done, Failed, Running, Securing};
    let failed = Failed("no source could deliver the content".to_owned());
    vec![
        row(
            9,
            "debian-13.iso",
            Download,
            Running,
            423_000_000,
            693_000_000,
            34_100_000,
            &[2004, 2001, 5003],
        ),
        row(
            8,
            "lecture-04.pdf",
            Upload,
            Securing { copies: 2, wanted: 3 },
            18_944_211,
            18_944_211,
            1_240_000,
            &[2006],
        ),
        row(7, "backup/2026-11-20.tar.zst", Copy, Running, 61_000_000, 734_003_200, 0, &[2003]),
        row(6, "SkyShip.jpg", Serve, Done, 2_437_120, 2_437_120, 0, &[2002]),
        row(5, "lost.bin", Download, failed, 0, 9_000_000, 0, &[]),
        row(4, "notes.md", Download, Cancelled, 100, 812, 0, &[2005]),
        row(3, "talks/2026/lecture.mkv", Hash, Running, 301_000_000, 893_000_000, 720_000_000, &[]),
    ]
}
