//! The bytes on the wire: golden bytes for every message, so that a change of
//! the protocol is always a decision; and arbitrary bytes, which never panic.
//!
//! After a decision: raise `PROTOCOL_VERSION` and run
//! `CHORDAL_GOLDEN=write cargo test --test it wire::golden`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use chordal::error::{CommandError, Fault, PathFault, Reason};
use chordal::id::{Id, Space};
use chordal::limits::MAX_FRAME_BYTES;
use chordal::name::FileName;
use chordal::peer::{Party, Peer};
use chordal::record::{
    Content, ContentHash, CopyCount, Obstacle, PassedOver, Provider, Record, Version,
};
use chordal::wire::data::{DataRequest, DataResponse};
use chordal::wire::handshake::{
    self, HandshakeError, Hello, Params, Program, Purpose, Reached, Token,
};
use chordal::wire::mesh::{
    FoundRow, Gossip, GossipBody, LinkMessage, MeshMessage, SearchId, SearchMessage,
};
use chordal::wire::message::{BRANCHES, Below, Branch, Counted, Digest, Verdict};
use chordal::wire::query::{
    Fares, FileCount, HandedOver, HandingOver, HeldFile, Hop, KeptFiles, LinkKind, LookupTrace,
    NodeInfo, PeerInfo, RegistryInfo, SearchState, SharedFile, Stands, Steering, TransferKind,
    TransferRow, TransferState, Trust,
};
use chordal::wire::registry::{Listed, News, Report};
use chordal::wire::{Answer, Ask, Frame, Message, Request, Response, Tell, codec};
use proptest::prelude::*;
use serde::Serialize;

/// Every message, named, with its bytes.
struct Golden(BTreeMap<String, Vec<u8>>);

impl Golden {
    fn add<T: Serialize + std::fmt::Debug>(&mut self, value: &T) {
        let text = format!("{value:?}");
        // A type's name and its variant's: what stands before the first field.
        let short: String = text
            .chars()
            .filter(|c| !c.is_whitespace())
            .take(160)
            .map(|c| if c.is_ascii_graphic() { c } else { '_' })
            .collect();
        let bytes = codec::encode(value).expect("it fits into a frame");
        let name = format!(
            "{}.{short}",
            std::any::type_name::<T>().rsplit("::").next().expect("a last part")
        );
        assert!(self.0.insert(name.clone(), bytes).is_none(), "{name} twice");
    }
}

pub(super) fn peer(port: u16, index: u16) -> Peer {
    Peer::new(SocketAddr::from(([127, 0, 0, 1], port)), index)
}

pub(super) fn record() -> Record {
    Record {
        name: FileName::new("holiday/SkyShip.jpg").expect("a name"),
        version: Version { counter: 7, root: ContentHash([0xAB; 32]) },
        content: Content::File { size: 85_021 },
    }
}

pub(super) fn provider() -> Provider {
    Provider {
        name: record().name,
        peer: peer(2004, 0),
        root: ContentHash([0xAB; 32]),
        size: 85_021,
        downloaded: true,
        serial: 1_700_000_000_000,
        lifetime_s: 1_800,
    }
}

pub(super) fn found() -> FoundRow {
    FoundRow {
        node: peer(2005, 0),
        name: record().name,
        root: ContentHash([0xAB; 32]),
        size: 85_021,
        stored: true,
    }
}

pub(super) fn params() -> Params {
    Params { ring: "chordal".into(), space: Space::default(), replicas: 3 }
}

pub(super) fn asks() -> Vec<Ask> {
    vec![
        Ask::Ping,
        Ask::Neighbours,
        Ask::Next { key: Id::new(189), enter: false },
        Ask::Next { key: Id::new(189), enter: true },
        Ask::Inventory {
            from: Id::new(1),
            to: Id::new(1023),
            branch: Branch::ALL.children().nth(11).expect("there are sixteen"),
            digest: Digest(99),
            records: 100_000,
            counted: Some(Counted {
                wanted: 3,
                below: Some(vec![Below { leaf: 1 << 40, copies: 2, count: CopyCount::NoRoom }]),
            }),
        },
        Ask::Offer { records: vec![record()], clock_s: 1_800_000_000, put: true },
        Ask::MayDrop { records: vec![(record().name, record().version)] },
        Ask::Entrust {
            records: vec![record()],
            holders: vec![peer(2001, 0)],
            clock_s: 1_800_000_000,
            put: false,
        },
    ]
}

pub(super) fn answers() -> Vec<Answer> {
    let successors = vec![peer(2002, 0), peer(2001, 1)];
    vec![
        Answer::Pong,
        Answer::NotMember,
        Answer::Left,
        Answer::Neighbours { predecessor: Some(peer(2001, 0)), successors: successors.clone() },
        Answer::Next { owner: true, predecessor: None, successors, closer: vec![peer(2000, 0)] },
        Answer::Inventory { same: false, records: 99_999, branches: vec![Digest(7); BRANCHES] },
        Answer::Offer {
            verdicts: vec![
                Verdict::Held,
                Verdict::Wanted,
                Verdict::Newer(Record {
                    content: Content::Deleted { at_s: 1_700_000_000 },
                    ..record()
                }),
                Verdict::Later,
                Verdict::Known,
            ],
            clock_s: 1_800_000_000,
        },
        Answer::MayDrop { may: vec![true, false] },
    ]
}

pub(super) fn tells() -> Vec<Tell> {
    vec![
        Tell::Notify,
        Tell::Changed,
        Tell::Leaving { predecessor: Some(peer(2001, 0)), successors: vec![peer(2002, 0)] },
        Tell::Consider { candidate: peer(2003, 0), hops: 20 },
        Tell::Held { name: record().name, version: record().version },
        Tell::Unable { name: record().name, version: record().version, why: Obstacle::NoBytes },
        Tell::Lost { name: record().name, version: record().version },
        Tell::Provided { providers: vec![provider()] },
    ]
}

pub(super) fn requests() -> Vec<Request> {
    let name = record().name;
    vec![
        Request::Info,
        Request::Trashed { name: name.clone() },
        Request::Fingers,
        Request::Lookup { key: Id::new(189) },
        Request::Files { after: Some(name.clone()) },
        Request::Locate { name: name.clone() },
        Request::Remove { name: name.clone() },
        Request::Ping { peer: Some(peer(2001, 0)) },
        Request::Members,
        Request::Search { pattern: "sky*".into(), after: Some(name.clone()) },
        Request::Shares { after: Some(name.clone()) },
        Request::Find { pattern: "*.jpg".into() },
        Request::FoundSince { number: 3, after: 48 },
        Request::Providers { name },
        Request::Provide { providers: vec![provider()] },
        Request::Peers,
        Request::Say { text: "hello".into() },
        Request::Commit {
            name: record().name,
            root: ContentHash([7; 32]),
            size: 85_021,
            overwrite: true,
            holders: vec![peer(2001, 0)],
            obstacle: Obstacle::NoBytes,
        },
        Request::Transfers,
        Request::Steer { number: 3, steering: Steering::Resume },
        Request::Leave,
        Request::LeaveState,
        Request::Copied,
        Request::Absent,
        Request::Position { index: 4 },
    ]
}

pub(super) fn node_info() -> NodeInfo {
    NodeInfo {
        peer: peer(2000, 0),
        params: params(),
        member: true,
        predecessor: Some(peer(2001, 0)),
        successors: vec![peer(2002, 0)],
        version: "0.1.0".into(),
        positions: vec![0, 4],
        sick_disk: Some("no such device".into()),
        deaf: vec![peer(2001, 0).address()],
    }
}

pub(super) fn fares() -> Fares {
    let (stands, settled, cut_off) = (Stands::Leaving, true, false);
    Fares { stands, settled, files_below: 3, missed: 1, cut_off }
}

pub(super) fn transfer() -> TransferRow {
    TransferRow {
        number: 3,
        name: "SkyShip.jpg".into(),
        kind: TransferKind::Serve,
        state: TransferState::Securing { copies: 1, wanted: 3 },
        done: 4,
        total: 85_021,
        rate: 2,
        peers: vec![(Party::Node(peer(2001, 0).address()), 4)],
        started_ms: 60_000,
        ended_ms: None,
        files: Some(FileCount { done: 1, failed: 2, total: 3 }),
        part_of: Some(2),
    }
}

pub(super) fn reasons() -> Vec<Reason> {
    vec![
        Reason::NotFound,
        Reason::Exists,
        Reason::Ambiguous,
        Reason::NotOwner,
        Reason::Superseded,
        Reason::NoSource,
        Reason::TooFewCopies,
        Reason::NoRoom,
        Reason::Partial,
        Reason::NotMember,
        Reason::State,
        Reason::NotAllowed,
        Reason::Limit,
        Reason::TryAgain,
    ]
}

pub(super) fn command_errors() -> Vec<CommandError> {
    let fault = PathFault::Unreadable("permission denied".into());
    vec![
        CommandError::CANCELLED,
        CommandError::Stopping,
        CommandError::Usage("no".into()),
        Reason::Exists.because("no"),
        CommandError::peer(peer(2001, 0).address(), Fault::Unfit),
        CommandError::Disk("no".into()),
        CommandError::Local { path: "a.iso".into(), fault },
        CommandError::Bug("no".into()),
    ]
}

pub(super) fn responses() -> Vec<Response> {
    vec![
        Response::Info(node_info()),
        Response::Position(node_info(), fares()),
        Response::Fingers(vec![Some(peer(2002, 0)), None]),
        Response::Lookup(LookupTrace {
            key: Id::new(189),
            owner: peer(2000, 0),
            successors: vec![peer(2002, 0)],
            hops: vec![
                Hop { peer: peer(2001, 0), micros: Some(420) },
                Hop { peer: peer(2002, 0), micros: None },
            ],
        }),
        Response::Files {
            rows: vec![HeldFile {
                record: record(),
                owner: true,
                copies: 2,
                wanted: 3,
                count: CopyCount::Known,
            }],
            more: false,
        },
        Response::Locate { record: Some(record()), holders: vec![peer(2000, 0)] },
        Response::Removed { copies: 3, cut_off: 7 },
        Response::Pong { micros: 123 },
        Response::Members { members: vec![peer(2000, 0)], complete: true },
        Response::Found { rows: vec![found()], more: true },
        Response::Shares {
            rows: vec![SharedFile {
                name: record().name,
                root: ContentHash([0xAB; 32]),
                size: 85_021,
                sources: 3,
            }],
            more: false,
        },
        Response::Finding { number: 3 },
        Response::FoundSince {
            rows: vec![found()],
            state: SearchState {
                ended: true,
                peers: vec![(peer(5003, 0), Some(true)), (peer(5005, 0), None)],
                outside: vec![peer(5003, 0).address()],
                answered: 8,
                silent: vec![peer(2006, 0)],
                depth: 3,
                truncated: false,
            },
        },
        Response::Providers { providers: vec![provider()] },
        Response::Provided { sources: vec![3] },
        Response::Peers {
            peers: vec![PeerInfo {
                peer: peer(5003, 0),
                link: Some(LinkKind::Chosen),
                missed: 1,
                rtt_us: Some(420),
                since_s: 60,
                shared: Some(12),
                trust: Trust::Last,
                why: Some("slow".into()),
            }],
            registries: vec![RegistryInfo {
                address: peer(5000, 0).address(),
                up: false,
                peers: 0,
                heard_s: Some(12),
                note: Some("refused".into()),
            }],
        },
        Response::Said { links: 4 },
        Response::Transfers { rows: vec![transfer()] },
        Response::Steered { name: "SkyShip.jpg".into() },
        Response::Absent { peers: vec![peer(2006, 0)] },
        Response::Trashed { contents: vec![(ContentHash([0xAB; 32]), 85_021)] },
        Response::Reached(Reached::Node { peer: peer(2001, 0), params: params() }),
        Response::Upload(DataResponse::Proceed),
        Response::HandingOver(HandingOver {
            files: 3,
            bytes: 40_000_000,
            rate: 1_000_000,
            seconds: Some(40),
        }),
        Response::HandedOver(HandedOver {
            handed: 3,
            kept: KeptFiles {
                files: 2,
                bytes: 9,
                sole: 1,
                named: vec!["SkyShip.jpg".into()],
                directory: "/srv/chordal".into(),
                alone: false,
                together: true,
            },
        }),
        Response::Copied { contents: vec![(ContentHash([0xAB; 32]), 85_021)] },
        Response::Failed { why: Reason::Exists.because("no") },
    ]
}

pub(super) fn mesh_messages() -> Vec<MeshMessage> {
    let link = [
        LinkMessage::Open { chosen: true },
        LinkMessage::Accept,
        LinkMessage::Refuse,
        LinkMessage::Close,
        LinkMessage::Unwanted,
        LinkMessage::Beat { number: 7, shared: 12 },
        LinkMessage::Echo { number: 7, shared: 0 },
    ];
    let bodies = [
        GossipBody::Say("hello".into()),
        GossipBody::Shares { files: 12, bytes: 85_021 },
        GossipBody::Leaving,
    ];
    let search = SearchId { origin: peer(2000, 0), number: 3 };
    let searches = [
        SearchMessage::Ask { search, pattern: "*.jpg".into(), until: Id::new(466), depth: 1 },
        SearchMessage::Taken { search },
        SearchMessage::Found { search, rows: vec![found()] },
        SearchMessage::Done {
            search,
            answered: 4,
            depth: 2,
            silent: vec![peer(2006, 0)],
            truncated: true,
        },
    ];
    let gossip = |body| Gossip {
        id: 0x0123_4567_89AB_CDEF,
        origin: peer(2001, 0),
        unix_ms: 1_700_000_000_000,
        hops: 16,
        body,
    };
    link.map(MeshMessage::Link)
        .into_iter()
        .chain(bodies.map(gossip).map(MeshMessage::Gossip))
        .chain(searches.map(MeshMessage::Search))
        .collect()
}

pub(super) fn reports() -> Vec<Report> {
    vec![
        Report::Connect { index: 0, params: params(), member: true },
        Report::Leave,
        Report::Dead { peer: peer(2006, 0), unix_ms: 1_700_000_000_000 },
        Report::List,
        Report::Pong,
    ]
}

pub(super) fn news() -> Vec<News> {
    let listed = Listed {
        address: SocketAddr::from(([0, 0, 0, 0], 0)),
        index: 0,
        params: params(),
        member: false,
    };
    vec![
        News::Peers { peers: vec![listed.clone()], more: false },
        News::Came(listed),
        News::Gone { peer: peer(2006, 0), left: true },
        News::Ping,
    ]
}

pub(super) fn data_requests() -> Vec<DataRequest> {
    let root = ContentHash([0xAB; 32]);
    vec![
        DataRequest::Manifest { root },
        DataRequest::Bytes { root, offset: 1 << 20, length: 85_021, copy: true },
        DataRequest::Upload {
            name: record().name,
            root,
            size: 85_021,
            overwrite: true,
            follows: false,
        },
        DataRequest::Relay {
            name: record().name,
            root,
            size: 85_021,
            rest: vec![peer(2002, 0)],
            follows: false,
        },
    ]
}

pub(super) fn data_responses() -> Vec<DataResponse> {
    vec![
        DataResponse::Manifest { size: 85_021 },
        DataResponse::Bytes { length: 85_021 },
        DataResponse::Proceed,
        DataResponse::Progress { copies: 1, wanted: 3 },
        DataResponse::Stored {
            version: record().version,
            holders: vec![peer(2000, 0)],
            wanted: 3,
            already: false,
            passed: vec![PassedOver {
                peer: peer(2001, 0),
                why: Obstacle::SickDisk,
                stand_in: Some(peer(2002, 0)),
            }],
            cut_off: 7,
        },
        DataResponse::Missing { have: vec![0b101] },
        DataResponse::Relayed { holders: vec![peer(2001, 0)] },
        DataResponse::NotOwner { owner: Some(peer(2001, 0)) },
        DataResponse::NotFound,
        DataResponse::Failed { why: CommandError::peer(peer(2001, 0).address(), Fault::Unfit) },
        DataResponse::Unable {
            why: "no room".into(),
            obstacle: Obstacle::NoRoom,
            instead: vec![peer(2001, 0)],
            copies: 1,
        },
    ]
}

pub(super) fn hello() -> Hello {
    Hello {
        purpose: Purpose::Member,
        program: Program::Node,
        params: Some(params()),
        address: Some(SocketAddr::from(([127, 0, 0, 1], 2000))),
        index: 0,
        version: "0.1.0".into(),
        refusal: None,
    }
}

fn all() -> Golden {
    let mut golden = Golden(BTreeMap::new());
    for ask in asks() {
        golden.add(&Frame::Core { from: 0, to: 1, message: Message::Ask { nonce: 5, ask } });
    }
    for answer in answers() {
        golden.add(&Frame::Core { from: 0, to: 0, message: Message::Answer { nonce: 5, answer } });
    }
    for tell in tells() {
        golden.add(&Frame::Core { from: 0, to: 0, message: Message::Tell(tell) });
    }
    for request in requests() {
        golden.add(&Frame::Request { id: 9, request });
    }
    for response in responses() {
        golden.add(&Frame::Response { id: 9, response });
    }
    for message in mesh_messages() {
        golden.add(&Frame::Mesh { from: 0, to: 0, message });
    }
    reports().into_iter().for_each(|report| golden.add(&Frame::Report(report)));
    news().into_iter().for_each(|news| golden.add(&Frame::News(news)));
    golden.add(&Frame::Bye);
    data_requests().iter().for_each(|request| golden.add(request));
    data_responses().iter().for_each(|response| golden.add(response));
    golden.0.insert("Hello".into(), hello().to_bytes().expect("it fits"));
    let purpose = Purpose::Verify(Token(0x0123_4567_89AB_CDEF));
    let verify = Hello { purpose, ..hello() };
    golden.0.insert("Hello Verify".into(), verify.to_bytes().expect("it fits"));
    golden
}

#[test]
fn golden_bytes_of_every_message() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/wire.golden");
    let mut text = String::new();
    for (name, bytes) in all().0 {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{name} {hex}").expect("a string takes it");
    }
    if std::env::var_os("CHORDAL_GOLDEN").is_some_and(|value| value == "write") {
        std::fs::write(&path, &text).expect("the golden bytes can be written");
    }
    let golden = std::fs::read_to_string(&path).expect("the golden bytes are there");
    for (expected, found) in golden.lines().zip(text.lines()) {
        assert_eq!(found, expected, "the bytes on the wire changed: see the head of this file");
    }
    assert_eq!(golden.lines().count(), text.lines().count());
}

#[test]
fn every_message_reads_back() {
    fn back<T: Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
        let bytes = codec::encode(value).expect("it fits into a frame");
        assert_eq!(codec::decode::<T>(&bytes).as_ref(), Ok(value));
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(codec::decode::<T>(&longer).is_err(), "bytes behind {value:?} are refused");
        assert!(codec::decode::<T>(&bytes[..bytes.len() - 1]).is_err(), "{value:?} cut short");
    }
    asks().into_iter().for_each(|ask| back(&Message::Ask { nonce: u32::MAX, ask }));
    answers().into_iter().for_each(|answer| back(&Message::Answer { nonce: 0, answer }));
    tells().into_iter().for_each(|tell| back(&Message::Tell(tell)));
    requests().into_iter().for_each(|request| back(&Frame::Request { id: 1, request }));
    responses().into_iter().for_each(|response| back(&Frame::Response { id: 1, response }));
    mesh_messages().into_iter().for_each(|m| back(&Frame::Mesh { from: 1, to: 2, message: m }));
    reports().into_iter().for_each(|report| back(&Frame::Report(report)));
    news().into_iter().for_each(|news| back(&Frame::News(news)));
    data_requests().iter().for_each(back);
    data_responses().iter().for_each(back);
    back(&hello());
}

#[test]
fn a_name_that_is_a_way_out_is_not_decoded() {
    let evil = ("../../etc/passwd".to_owned(), Version { counter: 1, root: ContentHash([0; 32]) });
    let bytes = codec::encode(&evil).expect("it fits");
    assert!(codec::decode::<(FileName, Version)>(&bytes).is_err());
}

#[test]
fn a_claimed_length_allocates_nothing() {
    // A list of 2^60 peers, a string of 2^60 bytes: bincode's 64-bit marker.
    for head in
        [&[253u8, 0, 0, 0, 0, 0, 0, 0, 16][..], &[253, 255, 255, 255, 255, 255, 255, 255, 255]]
    {
        assert!(codec::decode::<Vec<Peer>>(head).is_err());
        assert!(codec::decode::<Vec<Record>>(head).is_err());
        assert!(codec::decode::<String>(head).is_err());
    }
    let too_long = u32::try_from(MAX_FRAME_BYTES + 1).expect("small").to_be_bytes();
    assert!(codec::frame_length(too_long).is_err());
    assert_eq!(codec::frame_length([0, 1, 0, 0]), Ok(MAX_FRAME_BYTES));
}

#[test]
fn a_full_page_of_the_longest_names_fits_into_a_frame() {
    let part = "x".repeat(255);
    let name = FileName::new(&format!("{part}/{part}/{part}/{part}")[..1023]).expect("a name");
    let long = name.clone();
    let page = vec![Record { name, ..record() }; chordal::limits::MAX_PAGE];
    let message = Message::Ask {
        nonce: u32::MAX,
        ask: Ask::Offer { records: page.clone(), clock_s: u64::MAX, put: true },
    };
    assert!(codec::encode(&Frame::Core { from: 9, to: 9, message }).is_ok());
    let verdicts = page.into_iter().map(Verdict::Newer).collect();
    let message =
        Message::Answer { nonce: u32::MAX, answer: Answer::Offer { verdicts, clock_s: u64::MAX } };
    assert!(codec::encode(&Frame::Core { from: 9, to: 9, message }).is_ok());
    let address = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().expect("an address");
    let far = Peer::new(address, u16::MAX);
    let provider = Provider { name: long.clone(), peer: far, size: 1 << 40, ..provider() };
    let providers = vec![provider; chordal::limits::MAX_PAGE];
    assert!(
        codec::encode(&Frame::Request { id: 9, request: Request::Provide { providers } }).is_ok()
    );
    let rows = vec![
        FoundRow { name: long, node: far, size: 1 << 40, ..found() };
        chordal::limits::MAX_PAGE
    ];
    let search = SearchId { origin: far, number: u32::MAX };
    let message = MeshMessage::Search(SearchMessage::Found { search, rows });
    assert!(codec::encode(&Frame::Mesh { from: 9, to: 9, message }).is_ok());
}

#[test]
fn strangers_are_told_apart() {
    let mut preamble = [0u8; handshake::PREAMBLE_BYTES];
    preamble.copy_from_slice(b"GET / HTTP");
    assert_eq!(handshake::check_preamble(preamble), Err(HandshakeError::NotChordal));
    preamble[..8].copy_from_slice(&handshake::MAGIC);
    preamble[8..].copy_from_slice(&999u16.to_be_bytes());
    assert_eq!(
        handshake::check_preamble(preamble),
        Err(HandshakeError::Version { theirs: 999, ours: handshake::PROTOCOL_VERSION })
    );
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = codec::decode::<Frame>(&bytes);
        let _ = codec::decode::<Hello>(&bytes);
        let _ = codec::decode::<DataRequest>(&bytes);
        let _ = codec::decode::<DataResponse>(&bytes);
    }

    #[test]
    fn a_damaged_message_never_panics(
        which in 0usize..64,
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let golden = all().0;
        let mut bytes = golden.values().nth(which % golden.len()).expect("within").clone();
        for (at, value) in flips {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(frame) = codec::decode::<Frame>(&bytes) {
            // Whatever was understood can be said again.
            prop_assert!(codec::encode(&frame).is_ok());
        }
    }
}
