//! Nodes that are none: each answers the questions of a `get` as a test wants,
//! and serves a content as fast, as wrongly or as briefly as the test wants.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use chordal::id::Space;
use chordal::name::FileName;
use chordal::peer::Peer;
use chordal::record::{Content, ContentHash, Provider, Record, Version};
use chordal::transfer::manifest::{Manifest, ManifestBuilder};
use chordal::wire::data::{DataRequest, DataResponse};
use chordal::wire::handshake::{Hello, PREAMBLE_BYTES, Params, Program, Purpose};
use chordal::wire::query::LookupTrace;
use chordal::wire::{Frame, Request, Response, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::process::{DEADLINE, loopback};

/// How a source serves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conduct {
    /// Bytes a second; as fast as it goes without.
    pub(crate) rate: Option<u64>,
    /// From this byte of the content on it sends the first byte of every piece
    /// wrongly.
    pub(crate) damaged: Option<u64>,
    /// Bytes of content after which it is gone, with all its connections.
    pub(crate) dies_after: Option<u64>,
    /// It claims that the content has so many bytes.
    pub(crate) claims: Option<u64>,
}

/// A content and what its bytes are.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// The bytes.
    pub(crate) bytes: Arc<Vec<u8>>,
    /// Their manifest.
    pub(crate) manifest: Manifest,
}

impl Served {
    pub(crate) fn random(length: usize, seed: u64) -> Served {
        let mut bytes = vec![0; length];
        fastrand::Rng::with_seed(seed).fill(&mut bytes);
        Served::of(&bytes)
    }

    pub(crate) fn of(bytes: &[u8]) -> Served {
        let mut builder = ManifestBuilder::new(bytes.len() as u64);
        builder.update(bytes);
        let manifest = builder.finish().expect("all bytes came");
        Served { bytes: Arc::new(bytes.to_vec()), manifest }
    }

    pub(crate) fn root(&self) -> ContentHash {
        self.manifest.root()
    }

    pub(crate) fn size(&self) -> u64 {
        self.manifest.size()
    }
}

/// What is known on a ring of such nodes, of one name.
#[derive(Debug, Default)]
pub(crate) struct Knowledge {
    pub(crate) record: Option<Record>,
    pub(crate) holders: Vec<Peer>,
    pub(crate) providers: Vec<Provider>,
}

/// One such node.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    served: Served,
    conduct: Conduct,
    params: Params,
    known: Mutex<Knowledge>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Bytes of content sent.
    sent: u64,
    /// What it was asked for, in order: first byte and number of bytes.
    asked: Vec<(u64, u64)>,
    dead: bool,
    open: Vec<TcpStream>,
}

impl Source {
    /// Starts one that serves a content.
    pub(crate) fn start(served: &Served, conduct: Conduct) -> Source {
        let params = Params { ring: "chordal".to_owned(), space: Space::default(), replicas: 3 };
        let listener = TcpListener::bind((loopback(), 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let inner = Arc::new(Inner {
            served: served.clone(),
            conduct,
            params,
            known: Mutex::default(),
            state: Mutex::default(),
        });
        let source = Source { address, inner };
        let accepting = source.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if accepting.state().dead {
                    return;
                }
                let serving = accepting.clone();
                // A connection that ends is none of the test's business.
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        source
    }

    pub(crate) fn peer(&self) -> Peer {
        Peer::new(self.address, 0)
    }

    /// What it says when it is asked for the name.
    pub(crate) fn knows(&self, change: impl FnOnce(&mut Knowledge)) {
        change(&mut self.inner.known.lock().expect("no test fails holding it"));
    }

    /// Makes it the owner of the only name, with these holders.
    pub(crate) fn records(&self, name: &str, served: &Served, holders: &[&Source]) {
        let version = Version { counter: 1, root: served.root() };
        let content = Content::File { size: served.size() };
        let record = Record { name: FileName::new(name).expect("a name"), version, content };
        self.knows(|known| {
            known.record = Some(record);
            known.holders = holders.iter().map(|source| source.peer()).collect();
        });
    }

    /// What this one offers under a name.
    pub(crate) fn provider(&self, name: &str) -> Provider {
        Provider {
            downloaded: false,
            name: FileName::new(name).expect("a name"),
            peer: self.peer(),
            root: self.inner.served.root(),
            size: self.inner.served.size(),
            serial: 1,
            lifetime_s: 600,
        }
    }

    /// Tells a node, as a member of its ring would, what it offers.
    pub(crate) fn provides(&self, name: &str, node: SocketAddr) {
        let mut stream = TcpStream::connect(node).expect("the node listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let hello = self.hello(Purpose::Member).to_bytes().expect("it fits");
        stream.write_all(&hello).expect("it is taken");
        stream.read_exact(&mut [0; PREAMBLE_BYTES]).expect("a preamble");
        let theirs: Hello = hear(&mut stream).expect("a hello");
        assert_eq!(theirs.refusal, None);
        let request = Request::Provide { providers: vec![self.provider(name)] };
        say(&mut stream, &Frame::Request { id: 7, request }).expect("it is taken");
        loop {
            if let Frame::Response { id: 7, response } = hear(&mut stream).expect("an answer") {
                assert!(matches!(response, Response::Provided { .. }), "{response:?}");
                return;
            }
        }
    }

    /// Bytes of content that it sent.
    pub(crate) fn sent(&self) -> u64 {
        self.state().sent
    }

    /// What it was asked for so far: first byte and number of bytes.
    pub(crate) fn asked(&self) -> Vec<(u64, u64)> {
        self.state().asked.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().expect("no test fails holding it")
    }

    /// The greeting that it answers with.
    pub(crate) fn hello(&self, purpose: Purpose) -> Hello {
        Hello {
            purpose,
            program: Program::Node,
            params: Some(self.inner.params.clone()),
            address: Some(self.address),
            index: 0,
            version: "0".to_owned(),
            refusal: None,
        }
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        self.state().open.push(stream.try_clone()?);
        stream.read_exact(&mut [0; PREAMBLE_BYTES])?;
        let theirs: Hello = hear(&mut stream)?;
        stream.write_all(&self.hello(theirs.purpose).to_bytes().expect("it fits"))?;
        loop {
            match theirs.purpose {
                Purpose::Data => self.data(&mut stream)?,
                _ => self.control(&mut stream)?,
            }
        }
    }

    fn control(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let Frame::Request { id, request } = hear(stream)? else { return Ok(()) };
        let response = self.response(request);
        say(stream, &Frame::Response { id, response })
    }

    fn response(&self, request: Request) -> Response {
        let known = self.inner.known.lock().expect("no test fails holding it");
        match request {
            Request::Lookup { key } => Response::Lookup(LookupTrace {
                key,
                owner: self.peer(),
                successors: Vec::new(),
                hops: Vec::new(),
            }),
            Request::Locate { .. } => {
                Response::Locate { record: known.record.clone(), holders: known.holders.clone() }
            }
            Request::Providers { .. } => Response::Providers { providers: known.providers.clone() },
            Request::Members => Response::Members { members: vec![self.peer()], complete: true },
            _ => Response::Failed {
                why: chordal::error::CommandError::Usage("this is not what a get asks".into()),
            },
        }
    }

    fn data(&self, stream: &mut TcpStream) -> std::io::Result<()> {
        let Inner { served, conduct, .. } = &*self.inner;
        match hear(stream)? {
            DataRequest::Manifest { root } if root == served.root() => {
                let size = conduct.claims.unwrap_or(served.size());
                say(stream, &DataResponse::Manifest { size })?;
                stream.write_all(&served.manifest.to_bytes())
            }
            DataRequest::Bytes { root, offset, length, .. } if root == served.root() => {
                self.state().asked.push((offset, length));
                say(stream, &DataResponse::Bytes { length })?;
                self.send(stream, offset, length)
            }
            _ => say(stream, &DataResponse::NotFound),
        }
    }

    fn send(&self, stream: &mut TcpStream, offset: u64, length: u64) -> std::io::Result<()> {
        const STEP: u64 = 16 * 1024;
        let Inner { served, conduct, .. } = &*self.inner;
        let began = Instant::now();
        for at in (offset..offset + length).step_by(STEP as usize) {
            let end = (at + STEP).min(offset + length);
            let mut part = served.bytes[at as usize..end as usize].to_vec();
            let piece_begins = at % served.manifest.piece_size() == 0;
            if piece_begins && conduct.damaged.is_some_and(|from| at >= from) {
                part[0] ^= 1;
            }
            if let Some(rate) = conduct.rate {
                // When these bytes are due.
                let due = Duration::from_micros((end - offset) * 1_000_000 / rate);
                std::thread::sleep(due.saturating_sub(began.elapsed()));
            }
            stream.write_all(&part)?;
            let mut state = self.state();
            state.sent += end - at;
            if conduct.dies_after.is_some_and(|most| state.sent >= most) {
                state.dead = true;
                for stream in state.open.drain(..) {
                    let _ = stream.shutdown(Shutdown::Both);
                }
            }
        }
        Ok(())
    }
}

/// Says a header or a control frame.
pub(crate) fn say<T: Serialize>(stream: &mut TcpStream, header: &T) -> std::io::Result<()> {
    stream.write_all(&codec::frame(header).expect("it fits"))
}

/// Hears one.
pub(crate) fn hear<T: DeserializeOwned>(stream: &mut TcpStream) -> std::io::Result<T> {
    let mut prefix = [0; codec::PREFIX_BYTES];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; codec::frame_length(prefix).expect("a frame's length")];
    stream.read_exact(&mut body)?;
    Ok(codec::decode(&body).expect("it can be understood"))
}
