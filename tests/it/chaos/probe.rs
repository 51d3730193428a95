//! What a node says of itself and of names, asked over its own protocol: who
//! its neighbours are, which record of a name it has, tombstones too, and whether
//! that is on its disk.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chordal::chord::placement::placement;
use chordal::id::Space;
use chordal::name::FileName;
use chordal::peer::Peer;
use chordal::record::Record;
use chordal::wire::handshake::{PREAMBLE_BYTES, Purpose};
use chordal::wire::query::NodeInfo;
use chordal::wire::{Frame, Request, Response, codec};

use crate::attack::stranger;

/// Time for a connection and for each answer: longer than a busy machine needs.
const PATIENCE: Duration = Duration::from_secs(5);

/// Questions on their way at a time.
const AT_ONCE: usize = 16;

/// Copies of each file.
pub(crate) const COPIES: u8 = 3;

/// What one node said.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) info: NodeInfo,
    /// The newest record that it knows of each name.
    known: BTreeMap<String, Record>,
    /// Those of which it knows nobody who has the version.
    lost: BTreeSet<String>,
    /// Those that are on its disk.
    pub(crate) durable: BTreeMap<String, Record>,
}

/// Asks a node for its neighbours and for these names.
pub(crate) fn look(address: SocketAddr, names: &[String]) -> Result<Seen, String> {
    let failed = |what: &str| format!("{address}: {what}");
    let mut line = Line::to(address).map_err(|error| failed(&error.to_string()))?;
    let info = match line.ask(vec![Request::Info])?.pop() {
        Some(Response::Info(info)) => info,
        other => return Err(failed(&format!("no info but {other:?}"))),
    };
    let (mut known, mut durable) = (BTreeMap::new(), BTreeMap::new());
    let mut lost = BTreeSet::new();
    for names in names.chunks(AT_ONCE) {
        let questions = names.iter().map(|name| Request::Locate {
            name: FileName::new(name).expect("names of the clients are names"),
        });
        for (name, answer) in names.iter().zip(line.ask(questions.collect())?) {
            match answer {
                Response::Locate { record: Some(record), holders } => {
                    if holders.first() == Some(&info.peer) {
                        durable.insert(name.clone(), record.clone());
                    }
                    if holders.is_empty() {
                        lost.insert(name.clone());
                    }
                    known.insert(name.clone(), record);
                }
                Response::Locate { record: None, .. } => {}
                other => return Err(failed(&format!("no record but {other:?}"))),
            }
        }
    }
    Ok(Seen { info, known, lost, durable })
}

/// What a repaired ring is like.
#[derive(Debug)]
pub(crate) struct Settled {
    /// The record of every name that anybody knows.
    pub(crate) records: BTreeMap<String, Record>,
    /// Who has it on the disk.
    pub(crate) holders: BTreeMap<String, Vec<SocketAddr>>,
    /// How many these are at the least.
    pub(crate) copies: usize,
}

/// Checks that these are one ordered ring and that every name has its copies, in
/// one version; `small`: nodes without room, which need not have any. `strict`:
/// just where they belong and nowhere else.
pub(crate) fn settled(
    seen: &[Seen],
    names: &[String],
    small: usize,
    strict: bool,
) -> Result<Settled, String> {
    let space = seen.first().map_or(Space::default(), |first| first.info.params.space);
    let mut ring: Vec<&Seen> = seen.iter().collect();
    ring.sort_by_key(|seen| seen.info.peer.id(space));
    let peers: Vec<Peer> = ring.iter().map(|seen| seen.info.peer).collect();
    for (at, seen) in ring.iter().enumerate() {
        let mut after = peers.clone();
        after.rotate_left(at);
        let before = after.last().copied().filter(|_| peers.len() > 1);
        after.remove(0);
        if !seen.info.member || seen.info.predecessor != before || seen.info.successors != after {
            return Err(format!(
                "{} is not in its place among {peers:?}: {:?}",
                peers[at], seen.info
            ));
        }
    }
    let mut settled = Settled {
        records: BTreeMap::new(),
        holders: BTreeMap::new(),
        copies: (peers.len() - small).min(usize::from(COPIES)),
    };
    for name in names {
        // Recorded, and on no disk that anybody knows of: it has no value any more.
        if ring.iter().all(|seen| !seen.known.contains_key(name) || seen.lost.contains(name)) {
            continue;
        }
        let versions = ring.iter().filter_map(|seen| seen.known.get(name));
        let Some(newest) = versions.max_by_key(|record| record.version) else { continue };
        let newest = newest.version;
        let key = FileName::new(name).expect("names of the clients are names").key(space);
        let placed = placement(space, key, &peers, COPIES);
        let here =
            |seen: &&&Seen| seen.durable.get(name).is_some_and(|record| record.version == newest);
        let holders: Vec<Peer> = ring.iter().filter(here).map(|seen| seen.info.peer).collect();
        let in_place = placed.iter().all(|peer| holders.contains(peer));
        if holders.len() < settled.copies || strict && !in_place {
            return Err(format!("{name} as {newest} is to be at {placed:?} and is at {holders:?}"));
        }
        let stray = ring
            .iter()
            .find(|seen| seen.durable.contains_key(name) && !placed.contains(&seen.info.peer));
        if let Some(stray) = stray.filter(|_| strict) {
            let (at, what) = (stray.info.peer, &stray.durable[name]);
            return Err(format!("{name} is out of place at {at}: {what:?}"));
        }
        let record =
            ring.iter().find_map(|seen| seen.durable.get(name).filter(|r| r.version == newest));
        settled.records.extend(record.map(|record| (name.clone(), record.clone())));
        settled.holders.insert(name.clone(), holders.iter().map(Peer::address).collect());
    }
    Ok(settled)
}

/// A connection that asks.
struct Line {
    stream: TcpStream,
    next: u32,
}

impl Line {
    fn to(address: SocketAddr) -> std::io::Result<Line> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut line = Line { stream, next: 0 };
        let hello = stranger(Purpose::Client).to_bytes().map_err(std::io::Error::other)?;
        line.stream.write_all(&hello)?;
        line.stream.read_exact(&mut [0; PREAMBLE_BYTES])?;
        line.frame()?;
        Ok(line)
    }

    /// The bytes of the next frame.
    fn frame(&mut self) -> std::io::Result<Vec<u8>> {
        let mut prefix = [0; codec::PREFIX_BYTES];
        self.stream.read_exact(&mut prefix)?;
        let length = codec::frame_length(prefix).map_err(std::io::Error::other)?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        Ok(body)
    }

    /// Asks all of these at once; the answers in the order of the questions.
    fn ask(&mut self, questions: Vec<Request>) -> Result<Vec<Response>, String> {
        let (first, count) = (self.next, questions.len());
        let mut bytes = Vec::new();
        for request in questions {
            let frame = Frame::Request { id: self.next, request };
            bytes.extend(codec::frame(&frame).map_err(|error| error.to_string())?);
            self.next += 1;
        }
        self.stream.write_all(&bytes).map_err(|error| error.to_string())?;
        let mut answers = BTreeMap::new();
        while answers.len() < count {
            let body = self.frame().map_err(|error| format!("no answer: {error}"))?;
            match codec::decode::<Frame>(&body) {
                Ok(Frame::Response { id, response }) if id >= first => {
                    answers.insert(id, response);
                }
                other => return Err(format!("no answer but {other:?}")),
            }
        }
        Ok(answers.into_values().collect())
    }
}
