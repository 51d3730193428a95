//! docs/protocol.md says what the wire is: its tables have every message with its number
//! and its fields, and its examples are the bytes that the program makes.
//!
//! `CHORDAL_GOLDEN=write cargo test --test it protocol::examples` writes the examples anew.

use std::any::type_name;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Debug, Write as _};
use std::path::{Path, PathBuf};

use chordal::chord::Failure;
use chordal::error::{Absence, CommandError, Fault, PathFault, StoppedBy};
use chordal::id::{Id, Space};
use chordal::limits;
use chordal::name::{self, FileName};
use chordal::peer::{Party, Peer};
use chordal::record::{Content, ContentHash, CopyCount, Obstacle, PassedOver, Version};
use chordal::transfer::manifest::{self, ManifestBuilder};
use chordal::wire::data::{DataRequest, DataResponse};
use chordal::wire::handshake::{Hello, Params, Program, Purpose, Reached, Token};
use chordal::wire::mesh::{Gossip, GossipBody, MeshMessage, SearchId};
use chordal::wire::message::{Below, Branch, Counted, Digest, Verdict};
use chordal::wire::query::{
    FileCount, HandedOver, HandingOver, HeldFile, Hop, KeptFiles, LinkKind, LookupTrace, PeerInfo,
    RegistryInfo, SearchState, SharedFile, Stands, Steering, TransferKind, TransferState, Trust,
};
use chordal::wire::registry::Listed;
use chordal::wire::{Answer, Ask, Frame, Message, Request, Response, codec};
use regex::Regex;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::{self, peer};

mod kinds;

use kinds::Schema;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md")
}

fn document() -> String {
    std::fs::read_to_string(path()).expect("the document exists")
}

/// The cells of a row of a table; none of another line.
fn cells(line: &str) -> Vec<&str> {
    let inner = line.strip_prefix('|').and_then(|line| line.strip_suffix('|'));
    inner.map_or_else(Vec::new, |inner| inner.split('|').map(str::trim).collect())
}

/// The names of the fields of a struct or a variant, as `Debug` writes them.
fn fields(debug: &str) -> Vec<String> {
    let (mut depth, mut quoted, mut is_name) = (0, false, false);
    let (mut names, mut name) = (Vec::new(), String::new());
    for c in debug.chars() {
        match c {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '(' | '[' => {
                depth += 1;
                is_name = depth == 1 && c == '{';
            }
            '}' | ')' | ']' => depth -= 1,
            ',' if depth == 1 => is_name = true,
            ':' if depth == 1 && is_name => {
                names.push(std::mem::take(&mut name));
                is_name = false;
            }
            _ if depth == 1 && is_name && !c.is_whitespace() => name.push(c),
            _ => {}
        }
    }
    names
}

/// The part of a `Debug` text before the fields.
fn head(debug: &str) -> &str {
    debug.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

/// The types that the tables describe.
fn schema(rows: &[Vec<String>], named: &Regex) -> Schema {
    let variant = Regex::new(r"^`(\w+)::\w+`$").expect("a pattern");
    let plain = Regex::new(r"`([A-Z(][^`]*)`").expect("a pattern");
    let types = |pattern: &Regex, group: usize, cell: &str| -> Vec<String> {
        pattern.captures_iter(cell).map(|found| found[group].to_owned()).collect()
    };
    let mut schema = Schema::default();
    for row in rows {
        let [first, second, rest @ ..] = row.as_slice() else { continue };
        if let (Ok(number), Some(found)) = (first.parse(), variant.captures(second)) {
            let cell = rest.first().map(String::as_str).unwrap_or_default();
            let parts = match types(named, 2, cell) {
                none if none.is_empty() => types(&plain, 1, cell),
                named => named,
            };
            schema.enums.entry(found[1].to_owned()).or_default().insert(number, parts);
        } else if let parts @ [_, ..] = types(named, 2, second).as_slice() {
            schema.structs.insert(first.trim_matches('`').to_owned(), parts.to_vec());
        }
    }
    schema
}

/// The tables of the document and what is wrong with them.
struct Tables {
    rows: Vec<Vec<String>>,
    named: Regex,
    schema: Schema,
    wrong: String,
}

impl Tables {
    fn read() -> Tables {
        let text = document();
        let owned = |line| cells(line).into_iter().map(str::to_owned).collect();
        let rows: Vec<Vec<String>> = text.lines().map(owned).collect();
        let named = Regex::new(r"`([a-z_0-9]+): ([^`]+)`").expect("a pattern");
        let schema = schema(&rows, &named);
        Tables { rows, named, schema, wrong: String::new() }
    }

    /// Holds a row to the fields that `Debug` names.
    fn has_fields(&mut self, debug: &str, row: Option<(usize, usize)>, what: &str) {
        let Some((row, cell)) = row else {
            return writeln!(self.wrong, "no row of {what}").expect("a string takes it");
        };
        let cell = self.rows[row].get(cell).cloned().unwrap_or_default();
        let told: Vec<String> =
            self.named.captures_iter(&cell).map(|found| found[1].to_owned()).collect();
        let known = fields(debug);
        if told != known {
            writeln!(self.wrong, "{what} has the fields {known:?}, and not {told:?}")
                .expect("a string takes it");
        }
    }

    /// Holds the types of a row to the value.
    fn has_types<T: Serialize + Debug>(&mut self, name: &str, value: &T) {
        if let Err(why) = self.schema.fits(name, value) {
            writeln!(self.wrong, "{value:?}: {why}").expect("a string takes it");
        }
    }

    /// The row of a struct has its fields.
    fn has_struct<T: Serialize + Debug>(&mut self, value: &T) {
        let debug = format!("{value:?}");
        let name = format!("`{}`", head(&debug));
        let row = self.rows.iter().position(|row| row.first() == Some(&name));
        self.has_fields(&debug, row.map(|row| (row, 1)), &name);
        self.has_types(head(&debug), value);
    }

    /// Each variant of an enum has a row with its number and its fields; the values are
    /// of all its variants.
    fn has_enum<T: Serialize + DeserializeOwned + Debug>(&mut self, values: &[T]) {
        let name = type_name::<T>().rsplit("::").next().expect("a last part");
        let unknown = codec::decode::<T>(&[250]).expect_err("no enum has so many variants");
        let unknown = unknown.to_string();
        let (_, count) = unknown.rsplit_once("i < ").expect("serde says how many there are");
        let count: usize = count.trim_end_matches(['"', ')']).parse().expect("a number");
        let mut covered = BTreeSet::new();
        for value in values {
            let number = codec::encode(value).expect("it fits")[0];
            let debug = format!("{value:?}");
            let what = format!("`{name}::{}`", head(&debug));
            let begins = [number.to_string(), what.clone()];
            let row = self.rows.iter().position(|row| row.starts_with(&begins));
            self.has_fields(&debug, row.map(|row| (row, 2)), &format!("{what} ({number})"));
            covered.insert(usize::from(number));
            self.has_types(name, value);
        }
        let begins = format!("`{name}::");
        let is_variant = |row: &&Vec<String>| match row.as_slice() {
            [number, variant, ..] => number.parse::<u8>().is_ok() && variant.starts_with(&begins),
            _ => false,
        };
        let told = self.rows.iter().filter(is_variant).count();
        if covered.len() != count || told != count {
            let covered = covered.len();
            writeln!(self.wrong, "{name} has {count} variants; {told} have rows, {covered} values")
                .expect("a string takes it");
        }
    }
}

fn search() -> SearchId {
    SearchId { origin: peer(2000, 0), number: 3 }
}

fn verdicts() -> [Verdict; 5] {
    let newer = Verdict::Newer(wire::record());
    [Verdict::Held, Verdict::Wanted, newer, Verdict::Later, Verdict::Known]
}

#[test]
fn every_message_between_programs_is_in_the_document() {
    let mut tables = Tables::read();
    let (asks, answers, tells) = (wire::asks(), wire::answers(), wire::tells());
    let message = |tell: usize| Message::Tell(tells[tell].clone());
    tables.has_enum(&[
        Message::Ask { nonce: 5, ask: Ask::Ping },
        Message::Answer { nonce: 5, answer: Answer::Pong },
        message(0),
    ]);
    let (requests, responses) = (wire::requests(), wire::responses());
    let (reports, news, mesh) = (wire::reports(), wire::news(), wire::mesh_messages());
    tables.has_enum(&[
        Frame::Core { from: 0, to: 0, message: message(0) },
        Frame::Request { id: 1, request: Request::Info },
        Frame::Response { id: 1, response: responses[0].clone() },
        Frame::Mesh { from: 0, to: 0, message: mesh[0].clone() },
        Frame::Report(reports[0].clone()),
        Frame::News(news[0].clone()),
        Frame::Bye,
    ]);
    tables.has_enum(&asks);
    tables.has_enum(&answers);
    tables.has_enum(&tells);
    tables.has_enum(&verdicts());
    tables.has_enum(&requests);
    tables.has_enum(&responses);
    tables.has_enum(&wire::data_requests());
    tables.has_enum(&wire::data_responses());
    tables.has_enum(&reports);
    tables.has_enum(&news);
    tables.has_enum(&mesh);
    let (mut links, mut bodies, mut searches) = (Vec::new(), Vec::new(), Vec::new());
    for message in mesh {
        match message {
            MeshMessage::Link(message) => links.push(message),
            MeshMessage::Gossip(gossip) => bodies.push(gossip.body),
            MeshMessage::Search(message) => searches.push(message),
        }
    }
    tables.has_enum(&links);
    tables.has_enum(&bodies);
    tables.has_enum(&searches);
    assert!(tables.wrong.is_empty(), "docs/protocol.md:\n{}", tables.wrong);
}

#[test]
fn every_type_in_a_message_is_in_the_document() {
    let mut tables = Tables::read();
    let (peer, params) = (peer(2001, 0), wire::params());
    let token = Token(1);
    tables.has_enum(&[
        Purpose::Member,
        Purpose::Client,
        Purpose::Data,
        Purpose::Registry,
        Purpose::Verify(token),
        Purpose::Present(token),
    ]);
    tables.has_enum(&[Program::Node, Program::Client, Program::Registry]);
    tables.has_enum(&[
        Reached::Node { peer, params: params.clone() },
        Reached::Registry,
        Reached::Stranger,
        Reached::Refused,
        Reached::Silent,
        Reached::NoRoute,
        Reached::Loopback,
        Reached::Busy,
    ]);
    tables.has_enum(&[Content::File { size: 1 }, Content::Deleted { at_s: 1 }]);
    tables.has_enum(&[Obstacle::NoRoom, Obstacle::SickDisk, Obstacle::NoBytes]);
    tables.has_enum(&wire::command_errors());
    tables.has_enum(&[StoppedBy::User, StoppedBy::Process]);
    tables.has_enum(&wire::reasons());
    let text = || "no".to_owned();
    tables.has_enum(&[
        Fault::Absent(Absence::Refused),
        Fault::Unreachable(text()),
        Fault::NoAnswer,
        Fault::Closed,
        Fault::NotChordal(text()),
        Fault::NotMember,
        Fault::Refuses(text()),
        Fault::Unfit,
        Fault::NotOwner,
        Fault::Broken(text()),
        Fault::Endless,
        Fault::Other(text()),
    ]);
    tables.has_enum(&[Absence::Refused, Absence::Silent, Absence::NoRoute]);
    tables.has_enum(&[
        PathFault::Unreadable(text()),
        PathFault::Unshareable(text()),
        PathFault::Changed,
        PathFault::Other(text()),
    ]);
    tables.has_enum(&[CopyCount::Known, CopyCount::Counting, CopyCount::NoRoom]);
    tables.has_enum(&[Steering::Cancel, Steering::Pause, Steering::Resume]);
    tables.has_enum(&[Stands::Joining, Stands::Member, Stands::Leaving, Stands::Left]);
    tables.has_enum(&[Trust::Good, Trust::Last, Trust::Shunned]);
    tables.has_enum(&[LinkKind::Chosen, LinkKind::Random, LinkKind::Incoming]);
    let address = peer.address();
    tables.has_enum(&[Party::Node(address), Party::Client(address.ip())]);
    tables.has_enum(&[
        TransferKind::Download,
        TransferKind::Upload,
        TransferKind::Copy,
        TransferKind::Serve,
        TransferKind::Receive,
        TransferKind::Hash,
    ]);
    tables.has_enum(&[
        TransferState::Queued,
        TransferState::Running,
        TransferState::Paused,
        TransferState::Waiting,
        TransferState::Securing { copies: 1, wanted: 3 },
        TransferState::Done,
        TransferState::Failed("no".into()),
        TransferState::Cancelled,
    ]);

    tables.has_struct(&wire::hello());
    tables.has_struct(&params);
    tables.has_struct(&wire::record());
    tables.has_struct(&wire::record().version);
    tables.has_struct(&wire::provider());
    tables.has_struct(&PassedOver { peer, why: Obstacle::NoRoom, stand_in: None });
    tables.has_struct(&wire::node_info());
    tables.has_struct(&wire::fares());
    tables.has_struct(&wire::transfer());
    tables.has_struct(&FileCount::default());
    tables.has_struct(&wire::found());
    tables.has_struct(&Branch::ALL);
    tables.has_struct(&Counted::default());
    tables.has_struct(&Below { leaf: 1, copies: 1, count: CopyCount::Known });
    tables.has_struct(&search());
    let body = GossipBody::Leaving;
    tables.has_struct(&Gossip { id: 1, origin: peer, unix_ms: 1, hops: 1, body });
    let (address, index, member) = (peer.address(), 0, true);
    tables.has_struct(&Listed { address, index, params, member });
    tables.has_struct(&SearchState::default());
    for response in wire::responses() {
        match response {
            Response::Lookup(trace) => {
                tables.has_struct::<Hop>(&trace.hops[0]);
                tables.has_struct::<LookupTrace>(&trace);
            }
            Response::Files { rows, .. } => tables.has_struct::<HeldFile>(&rows[0]),
            Response::Shares { rows, .. } => tables.has_struct::<SharedFile>(&rows[0]),
            Response::HandedOver(end) => {
                tables.has_struct::<HandedOver>(&end);
                tables.has_struct::<KeptFiles>(&end.kept);
            }
            Response::HandingOver(row) => tables.has_struct::<HandingOver>(&row),
            Response::Peers { peers, registries } => {
                tables.has_struct::<PeerInfo>(&peers[0]);
                tables.has_struct::<RegistryInfo>(&registries[0]);
            }
            _ => {}
        }
    }
    assert!(tables.wrong.is_empty(), "docs/protocol.md:\n{}", tables.wrong);
}

#[test]
fn limits_and_sentences_are_those_of_the_program() {
    let text = document();
    let prose = text.replace('\n', " ");
    for reason in [Failure::NotOwner, Failure::NoSuchFile].map(CommandError::from) {
        let reason = format!("`{:?}`", reason.reason().expect("it is refused"));
        assert!(prose.contains(&reason), "a program decides by {reason}");
    }
    let spaced = |number: usize| {
        let digits = number.to_string();
        let groups: Vec<&[u8]> = digits.as_bytes().rchunks(3).rev().collect();
        String::from_utf8(groups.join(&b' ')).expect("digits")
    };
    let (name, part, depth) =
        (name::MAX_NAME_BYTES, name::MAX_COMPONENT_BYTES, name::MAX_COMPONENTS);
    assert_eq!(limits::MAX_FILE_BYTES, 1 << 40);
    assert_eq!(manifest::MIN_PIECE_BYTES, 1 << 20);
    for (what, limit) in [
        ("frame body", format!("{} bytes", spaced(limits::MAX_FRAME_BYTES))),
        ("ring name", format!("{} bytes", limits::MAX_RING_NAME)),
        ("file name, part of it, parts", format!("{} bytes, {part} bytes, {depth}", spaced(name))),
        ("file", "2^40 bytes".to_owned()),
        ("pieces, least piece", format!("{}, 2^20 bytes", spaced(limits::MAX_PIECES))),
        (
            "file that may follow its header",
            format!("{} bytes", spaced(limits::EAGER_BYTES as usize)),
        ),
        ("rows or records in one message", limits::MAX_PAGE.to_string()),
        ("copies (k), peers in `rest` and `holders`", limits::MAX_REPLICAS.to_string()),
        ("successor list as it travels", limits::MAX_LIST.to_string()),
        ("positions of one host", limits::MAX_VNODES.to_string()),
        (
            "pattern, sentence",
            format!("{} bytes, {} bytes", limits::MAX_PATTERN_BYTES, limits::MAX_SAY_BYTES),
        ),
        ("tombstone", format!("{} h", limits::TOMBSTONE_S / 3600)),
    ] {
        let row = format!("| {what} | {limit} |");
        assert!(text.lines().any(|line| line == row), "docs/protocol.md lacks: {row}");
    }
}

/// The examples of the document: what it calls them, and their bytes.
fn examples() -> BTreeMap<String, Vec<u8>> {
    let mut examples = BTreeMap::new();
    let mut add = |name: &str, bytes| {
        let before = examples.insert(name.to_owned(), bytes);
        assert!(before.is_none(), "{name} twice");
    };
    fn bytes<T: Serialize>(value: T) -> Vec<u8> {
        codec::encode(&value).expect("it fits")
    }
    add("u8 200", bytes(200u8));
    add("u8 255", bytes(255u8));
    add("bool true", bytes(true));
    add("u16 250", bytes(250u16));
    add("u16 251", bytes(251u16));
    add("u64 2000", bytes(2000u64));
    add("u32 85021", bytes(85021u32));
    add("u64 1099511627776", bytes(1u64 << 40));
    add("u128 18446744073709551616", bytes(Digest(1 << 64)));
    add("String \"Ägir\"", bytes("Ägir"));
    add("Vec<u8> 1, 2, 251", bytes(vec![1u8, 2, 251]));
    add("Vec<u16> 1, 251", bytes(vec![1u16, 251]));
    let map = BTreeMap::from([(1u8, true), (2, false)]);
    add("map from u8 to bool, 1: true, 2: false", bytes(map));
    add("Option<u16> none", bytes(None::<u16>));
    add("Option<u16> 2000", bytes(Some(2000u16)));
    add("(u16, bool) 7, true", bytes((7u16, true)));
    add("[u8; 4] 1, 2, 3, 251", bytes([1u8, 2, 3, 251]));
    let node = peer(2000, 0);
    add("SocketAddr 127.0.0.1:2000", bytes(node.address()));
    let v6: std::net::SocketAddr = "[::1]:80".parse().expect("an address");
    add("SocketAddr [::1]:80", bytes(v6));
    add("IpAddr 127.0.0.1", bytes(node.address().ip()));
    add("Peer 127.0.0.1:2000, index 1", bytes(Peer::new(node.address(), 1)));
    add("Id 189", bytes(Id::new(189)));
    add("Content::File of 85021 bytes", bytes(Content::File { size: 85021 }));

    let content: Vec<u8> = (0..(2usize << 20) + 5).map(|at| (at % 251) as u8).collect();
    let mut builder = ManifestBuilder::new(content.len() as u64);
    builder.update(&content);
    let manifest = builder.finish().expect("all bytes came");
    for (piece, hash) in manifest.to_bytes().chunks(manifest::PIECE_HASH_BYTES).enumerate() {
        add(&format!("piece {piece}"), hash.to_vec());
    }
    add("root", manifest.root().0.to_vec());

    let client = Hello {
        purpose: Purpose::Client,
        program: Program::Client,
        params: None,
        address: None,
        index: 0,
        version: "client".into(),
        refusal: None,
    };
    let params = Params { ring: "chordal".into(), space: Space::default(), replicas: 3 };
    let answer = Hello {
        program: Program::Node,
        params: Some(params),
        address: Some(node.address()),
        version: "0.5.0".into(),
        ..client.clone()
    };
    add("greeting of a client", client.to_bytes().expect("it fits"));
    add("greeting of a node", answer.to_bytes().expect("it fits"));
    let framed = |frame: &Frame| codec::frame(frame).expect("it fits");
    let request = Request::Lookup { key: Id::new(189) };
    add("lookup", framed(&Frame::Request { id: 9, request }));
    let response = Response::Lookup(LookupTrace {
        key: Id::new(189),
        owner: node,
        successors: vec![peer(2002, 0)],
        hops: vec![Hop { peer: peer(2001, 0), micros: Some(420) }],
    });
    add("lookup answered", framed(&Frame::Response { id: 9, response }));

    let mut hello = ManifestBuilder::new(5);
    hello.update(b"hello");
    let root: ContentHash = hello.finish().expect("five bytes").root();
    let name = FileName::new("a.txt").expect("a name");
    let upload = DataRequest::Upload { name, root, size: 5, overwrite: false, follows: true };
    let mut upload = codec::frame(&upload).expect("it fits");
    upload.extend_from_slice(b"hello");
    add("upload of a small file", upload);
    let stored = DataResponse::Stored {
        version: Version { counter: 1, root },
        holders: vec![node],
        wanted: 1,
        already: false,
        passed: Vec::new(),
        cut_off: 0,
    };
    add("upload stored", codec::frame(&stored).expect("it fits"));
    examples
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// The document with the examples as they should be: the hexadecimal digits of each line
/// stay as many as they are. `shown` gets the names of the examples.
fn corrected(text: &str, shown: &mut BTreeSet<String>) -> String {
    let examples = examples();
    let mut example = |name: &str| {
        shown.insert(name.to_owned());
        examples.get(name).unwrap_or_else(|| panic!("the test knows no example {name:?}"))
    };
    let row =
        Regex::new("^\\| `([^`]+)` \\| `(?:[0-9a-f]{2}(?: |(?:`)))+ \\|$").expect("a pattern");
    let place = Regex::new("^\\| `([^`]+)` \\| ([0-9]+) \\| `[0-9]+` \\|$").expect("a pattern");
    let digits = Regex::new("^[0-9a-f]{2}(?: [0-9a-f]{2})*").expect("a pattern");
    let mut block: Option<(&str, &[u8])> = None;
    let mut out = String::new();
    for line in text.lines() {
        let line = if let Some((name, left)) = block {
            if line == "```" {
                assert!(left.is_empty(), "{name}: these bytes are missing: {}", hex(left));
                block = None;
                line.to_owned()
            } else {
                let here = digits.find(line).unwrap_or_else(|| panic!("{name}: no bytes: {line}"));
                let count = here.as_str().split(' ').count();
                let (bytes, rest) = left
                    .split_at_checked(count)
                    .unwrap_or_else(|| panic!("{name}: only {} come at: {line}", hex(left)));
                block = Some((name, rest));
                format!("{}{}", hex(bytes), &line[here.end()..])
            }
        } else if let Some(name) = line.strip_prefix("```hex ") {
            block = Some((name, example(name)));
            line.to_owned()
        } else if let Some(found) = row.captures(line) {
            format!("| `{}` | `{}` |", &found[1], hex(example(&found[1])))
        } else if let Some(found) = place.captures(line) {
            let space = Space::new(found[2].parse().expect("a number")).expect("1 to 128");
            let id = space.hash(&found[1]).value();
            format!("| `{}` | {} | `{id}` |", &found[1], &found[2])
        } else {
            line.to_owned()
        };
        out.push_str(&line);
        out.push('\n');
    }
    out
}

#[test]
fn examples_are_the_bytes_that_the_program_makes() {
    let (text, mut shown) = (document(), BTreeSet::new());
    let corrected = corrected(&text, &mut shown);
    let all: BTreeSet<String> = examples().into_keys().collect();
    assert_eq!(shown, all, "every example is in the document");
    if std::env::var("CHORDAL_GOLDEN").is_ok_and(|value| value == "write") {
        std::fs::write(path(), corrected).expect("written");
        return;
    }
    let different: Vec<String> = std::iter::zip(text.lines(), corrected.lines())
        .filter(|(is, should)| is != should)
        .map(|(is, should)| format!("{is}\n  should be\n{should}"))
        .collect();
    assert!(
        different.is_empty(),
        "docs/protocol.md (CHORDAL_GOLDEN=write mends it):\n{}",
        different.join("\n")
    );
}

#[test]
fn fields_are_read_from_debug_texts() {
    assert_eq!(fields("Ping"), [""; 0]);
    assert_eq!(fields("Tell(Held { name: 1 })"), [""; 0]);
    let nested = "A { at: 127.0.0.1:2000, v6: [::1]:80, b: B { c: 1, d: 2 }, text: \"x, y: {\" }";
    assert_eq!(fields(nested), ["at", "v6", "b", "text"]);
}
