//! Transfers that end in the middle and begin again: only what is missing
//! moves, whoever was killed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::{Arc, Mutex};

use chordal::id::Space;
use chordal::name::FileName;
use chordal::peer::Peer;
use chordal::record::Version;
use chordal::transfer::manifest::{Manifest, PieceIndex};
use chordal::transfer::pieces::PieceSet;
use chordal::wire::data::{DataRequest, DataResponse};
use chordal::wire::handshake::{Hello, PREAMBLE_BYTES, Params, Program, Purpose};
use chordal::wire::query::LookupTrace;
use chordal::wire::{Frame, Request, Response};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{
    DEADLINE, NodeProcess, Ring, command, describe, eventually, loopback, name_owned_by, pieces_in,
    random_file, signal, text,
};
use crate::sources::{Conduct, Served, Source, hear, say};

const MIB: u64 = 1 << 20;

const NAME: &str = "f.bin";

/// A client's directory.
struct Home(TempDir);

impl Home {
    fn new() -> Home {
        Home(TempDir::new().expect("a temporary directory"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts a `get` of the name to `fetched`.
    fn get(&self, via: SocketAddr) -> Child {
        let (to, via) = (self.path("fetched"), via.to_string());
        begun(&["get", NAME, "--to", text(&to), "--via", &via])
    }

    /// Which pieces are in the hidden file of a download.
    fn pieces(&self) -> BTreeSet<u32> {
        pieces_in(&self.path(".fetched.part.map"))
    }

    fn listing(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).expect("its directory").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().display().to_string()).collect();
        names.sort();
        names
    }

    /// Starts a `get`, and kills it once so many pieces more are here.
    fn killed_after(&self, more: usize, via: SocketAddr) -> BTreeSet<u32> {
        let enough = self.pieces().len() + more;
        let mut client = self.get(via);
        eventually("pieces arrive", || match client.try_wait() {
            Ok(None) if self.pieces().len() >= enough => Ok(()),
            other => Err(format!("{other:?}: {:?}", self.pieces())),
        });
        client.kill().expect("it runs");
        client.wait().expect("it was killed");
        assert!(!self.path("fetched").exists(), "half of it has the real name");
        self.pieces()
    }
}

fn begun(words: &[&str]) -> Child {
    command(words)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", describe(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn complained(output: &Output) -> String {
    assert!(!output.status.success(), "{}", describe(output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn bytes_of(manifest: &Manifest, pieces: impl IntoIterator<Item = u32>) -> u64 {
    pieces.into_iter().map(|index| manifest.len_of(PieceIndex(index))).sum()
}

/// A source that takes a few seconds for it, and what it serves.
fn slow_source(mib: usize, seed: u64) -> (Served, Source) {
    let served = Served::random(mib * MIB as usize + 77, seed);
    let conduct = Conduct { rate: Some(8 * MIB), ..Conduct::default() };
    let source = Source::start(&served, conduct);
    source.records(NAME, &served, &[&source]);
    (served, source)
}

/// Bytes that a source was asked for from its `from`-th question on, without
/// the single one that asks whether it has the content.
fn asked(source: &Source, from: usize) -> u64 {
    let asked = source.asked();
    asked[from..].iter().map(|(_, length)| *length).filter(|length| *length > 1).sum()
}

#[test]
fn a_download_that_is_killed_again_and_again_moves_only_what_is_missing() {
    let (served, source) = slow_source(24, 21);
    let home = Home::new();
    for _ in 0..3 {
        let (before, asked_before) = (home.pieces(), source.asked().len());
        let missing = served.size() - bytes_of(&served.manifest, before.iter().copied());
        let here = home.killed_after(4, source.address);
        assert!(here.is_superset(&before), "{before:?}, then {here:?}");
        assert!(asked(&source, asked_before) <= missing);
    }
    let (here, asked_before) = (home.pieces(), source.asked().len());
    let missing = served.size() - bytes_of(&served.manifest, here);
    assert!(missing < served.size() / 2 + MIB, "too little has come: {missing}");
    said(&home.get(source.address).wait_with_output().expect("its output"));
    assert_eq!(asked(&source, asked_before), missing);
    assert!(fs::read(home.path("fetched")).expect("fetched") == *served.bytes);
    assert_eq!(home.listing(), ["fetched"]);
}

#[test]
fn what_was_damaged_in_a_part_file_comes_again_and_nothing_else() {
    let (served, source) = slow_source(16, 22);
    let home = Home::new();
    let here = home.killed_after(4, source.address);
    let damaged = *here.first().expect("pieces are here");
    let part = home.path(".fetched.part");
    let mut bytes = fs::read(&part).expect("it is there");
    bytes[(u64::from(damaged) * MIB) as usize + 1_000] ^= 0x10;
    fs::write(&part, bytes).expect("written");
    let from = source.asked().len();
    said(&home.get(source.address).wait_with_output().expect("its output"));
    let good = here.iter().copied().filter(|index| *index != damaged);
    assert_eq!(asked(&source, from), served.size() - bytes_of(&served.manifest, good));
    assert!(fs::read(home.path("fetched")).expect("fetched") == *served.bytes);
    assert_eq!(home.listing(), ["fetched"]);
}

#[test]
fn what_is_left_of_a_content_that_its_name_has_no_more_makes_way_for_the_next() {
    let (_, source) = slow_source(16, 23);
    let home = Home::new();
    // Of another name, to another place.
    let kept = home.path("kept");
    let get = ["get", NAME, "--to", text(&kept), "--via", &source.address.to_string()];
    let map = home.path(".kept.part.map");
    interrupted_after_pieces(begun(&get), &map);
    home.killed_after(3, source.address);
    // As one leaves it that was killed while it wrote its only piece.
    fs::write(home.path(".fetched.chordal-part"), b"half").expect("written");
    let other = Served::random(3 * MIB as usize, 24);
    let owner = Source::start(&other, Conduct::default());
    owner.records(NAME, &other, &[&owner]);
    said(&home.get(owner.address).wait_with_output().expect("its output"));
    assert!(fs::read(home.path("fetched")).expect("fetched") == *other.bytes);
    assert_eq!(home.listing(), [".kept.part", ".kept.part.map", "fetched"]);
    // The same name to the other place: there it makes way as well.
    let get = ["get", NAME, "--to", text(&kept), "--via", &owner.address.to_string()];
    said(&begun(&get).wait_with_output().expect("its output"));
    assert_eq!(home.listing(), ["fetched", "kept"]);
}

#[test]
fn unfinished_downloads_are_not_put_with_their_directory() {
    let (_, source) = slow_source(16, 31);
    let home = Home::new();
    home.killed_after(2, source.address);
    fs::write(home.path(".small.chordal-part"), b"half").expect("written");
    fs::write(home.path(".notes.part"), b"mine").expect("written");
    fs::write(home.path("plan.txt"), b"a plan").expect("written");
    let node = NodeProcess::start(&[]);
    let told = node.run(&["put", text(home.0.path()), "--as", "all"]);
    assert!(told.contains("an unfinished download"), "{told}");
    let listing = node.json(&["ls", "--ring"]).expect("a list");
    let files = listing["files"].as_array().expect("files");
    let names: Vec<_> = files.iter().filter_map(|file| file["name"].as_str()).collect();
    assert_eq!(names, ["all/.notes.part", "all/plan.txt"]);
}

#[test]
fn two_downloads_at_once_never_share_a_file() {
    let (served, source) = slow_source(8, 25);
    let home = Home::new();
    let both = [home.get(source.address), home.get(source.address)];
    for client in both {
        said(&client.wait_with_output().expect("its output"));
    }
    assert_eq!(home.listing(), ["fetched", "fetched (1)"]);
    for name in home.listing() {
        assert!(fs::read(home.path(&name)).expect("fetched") == *served.bytes, "{name}");
    }
}

#[test]
fn whatever_ends_a_client_it_keeps_what_has_come_and_the_same_command_goes_on() {
    let (served, source) = slow_source(16, 26);
    let home = Home::new();
    let via = source.address.to_string();
    let mut here = home.pieces();
    for end in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut client = home.get(source.address);
        eventually("pieces arrive", || match client.try_wait() {
            Ok(None) if home.pieces().len() > here.len() => Ok(()),
            other => Err(format!("{other:?}: {:?}", home.pieces())),
        });
        signal(client.id(), end);
        let why = complained(&client.wait_with_output().expect("its output"));
        let said = "error: interrupted: ";
        assert!(why.starts_with(said), "{end:?}: {why}");
        assert!(why.contains("are here; the same get goes on where it was"), "{end:?}: {why}");
        let kept = home.pieces();
        assert!(kept.is_superset(&here) && kept.len() > here.len(), "{here:?}, then {kept:?}");
        here = kept;
    }
    let from = source.asked().len();
    said(&home.get(source.address).wait_with_output().expect("its output"));
    assert_eq!(asked(&source, from), served.size() - bytes_of(&served.manifest, here));
    assert!(fs::read(home.path("fetched")).expect("fetched") == *served.bytes);
    assert_eq!(home.listing(), ["fetched"]);
    // One that was interrupted before anything came has nothing to go on with.
    let none = home.path("none");
    let client = begun(&["get", "other", "--to", text(&none), "--via", &via]);
    signal(client.id(), Signal::TERM);
    let ended = client.wait_with_output().expect("its output");
    assert!(!ended.status.success(), "{}", describe(&ended));
}

/// Ends a client once pieces have come into this map; what it said.
fn interrupted_after_pieces(mut client: Child, map: &Path) -> String {
    eventually("pieces arrive", || match client.try_wait() {
        Ok(None) if !pieces_in(map).is_empty() => Ok(()),
        other => Err(format!("{other:?}: {:?}", pieces_in(map))),
    });
    signal(client.id(), Signal::INT);
    complained(&client.wait_with_output().expect("its output"))
}

#[test]
fn a_directory_and_a_request_that_are_interrupted_go_on_too() {
    let home = Home::new();
    let album = home.path("album");
    fs::create_dir(&album).expect("a directory");
    random_file(&album.join("a.bin"), 8 * MIB as usize, 28);
    random_file(&album.join("b.txt"), 1_000, 29);
    let node = NodeProcess::start(&["--limit-up", "4M"]);
    node.run(&["put", text(&album)]);
    let via = node.address.to_string();

    let (to, map) = (home.path("to"), home.path("to/album/.a.bin.part.map"));
    let get = ["get", "album/", "--to", text(&to), "--via", &via];
    let why = interrupted_after_pieces(begun(&get), &map);
    assert!(why.contains("interrupted: ") && why.contains("the same get goes on"), "{why}");
    let kept = pieces_in(&map);
    assert!(!kept.is_empty(), "{why}");
    let output = begun(&get).wait_with_output().expect("its output");
    said(&output);
    for name in ["a.bin", "b.txt"] {
        let fetched = fs::read(to.join("album").join(name)).expect("fetched");
        assert!(fetched == fs::read(album.join(name)).expect("the original"), "{name}");
    }

    let (to, map) = (home.path("one"), home.path(".one.part.map"));
    let request = ["request", "album/a.bin", &via, "--to", text(&to), "--via", &via];
    let why = interrupted_after_pieces(begun(&request), &map);
    assert!(why.contains("the same request goes on where it was"), "{why}");
    let told = said(&begun(&request).wait_with_output().expect("its output"));
    assert!(told.contains("were there)"), "{told}");
    assert!(fs::read(&to).expect("fetched") == fs::read(album.join("a.bin")).expect("it"));
}

#[test]
fn a_download_waits_for_its_only_holder_and_goes_on_when_that_is_back() {
    let mut holder = NodeProcess::start(&["--replicas", "1", "--limit-up", "4M"]);
    let other = NodeProcess::join(&holder);
    let both = [holder.address, other.address];
    for node in [&holder, &other] {
        eventually("both see one ring", || node.sees_ring_of(&both));
    }
    let home = Home::new();
    let path = home.path("source");
    random_file(&path, 16 * MIB as usize, 30);
    let name = name_owned_by(holder.address, &[other.address]);
    holder.run(&["put", text(&path), "--as", &name]);

    let (via, to) = (other.address.to_string(), home.path("fetched"));
    let log = fs::File::create(home.path("stderr")).expect("a file");
    let get = ["get", &name, "--to", text(&to), "--via", &via, "--wait", "2m"];
    let mut client = command(&get).stderr(log).spawn().expect("the program starts");
    let said = || fs::read_to_string(home.path("stderr")).unwrap_or_default();
    eventually("pieces arrive", || match client.try_wait() {
        Ok(None) if home.pieces().len() > 1 => Ok(()),
        other => Err(format!("{other:?}: {}", said())),
    });
    holder.kill();
    eventually("it says that it waits", || match client.try_wait() {
        Ok(None) if said().contains("waiting for a source") => Ok(()),
        other => Err(format!("{other:?}: {}", said())),
    });
    // By now nobody names the holder any more.
    eventually("the holder is dropped", || other.sees_ring_of(&[other.address]));
    let before = home.pieces();
    assert!(!to.exists() && !before.is_empty());
    holder.restart(&[]);
    eventually("it goes on and ends", || match client.try_wait() {
        Ok(Some(status)) if status.success() => Ok(()),
        other => Err(format!("{other:?}: {}", said())),
    });
    assert!(fs::read(&to).expect("fetched") == fs::read(&path).expect("the original"));

    // Who has no patience is told, and keeps what has come.
    let second = home.path("second");
    let get = ["get", &name, "--to", text(&second), "--via", &via, "--wait", "0s"];
    let mut client = begun(&get);
    let map = home.path(".second.part.map");
    eventually("pieces arrive", || match client.try_wait() {
        Ok(None) if !pieces_in(&map).is_empty() => Ok(()),
        other => Err(format!("{other:?}")),
    });
    holder.kill();
    let why = complained(&client.wait_with_output().expect("its output"));
    assert!(why.contains("what has come is kept: get it again to go on"), "{why}");
    assert!(!pieces_in(&map).is_empty());
}

#[test]
fn when_all_sources_fail_what_has_come_is_kept_and_said() {
    let served = Served::random(8 * MIB as usize, 27);
    let dying = Conduct { dies_after: Some(5 * MIB + 17), ..Conduct::default() };
    let source = Source::start(&served, dying);
    source.records(NAME, &served, &[&source]);
    let home = Home::new();
    let (to, via) = (home.path("fetched"), source.address.to_string());
    let get = begun(&["get", NAME, "--to", text(&to), "--via", &via, "--wait", "0s"]);
    let why = complained(&get.wait_with_output().expect("its output"));
    assert!(why.contains("get it again to go on"), "{why}");
    let here = home.pieces();
    assert!((3..=5).contains(&here.len()), "{here:?}");
    let next = Source::start(&served, Conduct::default());
    next.records(NAME, &served, &[&next]);
    said(&home.get(next.address).wait_with_output().expect("its output"));
    assert_eq!(asked(&next, 0), served.size() - bytes_of(&served.manifest, here));
    assert!(fs::read(home.path("fetched")).expect("fetched") == *served.bytes);
}

/// The owner of every name: it takes uploads, and breaks them off.
struct Owner {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    /// How often each piece came.
    pieces: Vec<u32>,
    uploads: usize,
}

impl Owner {
    /// It closes its first `breaks` uploads after three pieces and a half.
    fn start(breaks: usize) -> Owner {
        let listener = TcpListener::bind((loopback(), 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let taken = Arc::<Mutex<Taken>>::default();
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let taken = Arc::clone(&shared);
                // A connection that ends is none of the test's business.
                std::thread::spawn(move || serve_owner(stream, address, &taken, breaks));
            }
        });
        Owner { address, taken }
    }
}

fn greeting(address: Option<SocketAddr>, purpose: Purpose) -> Hello {
    let params = Params { ring: "chordal".to_owned(), space: Space::default(), replicas: 3 };
    Hello {
        purpose,
        program: if address.is_some() { Program::Node } else { Program::Client },
        params: address.map(|_| params),
        address,
        index: 0,
        version: "0".to_owned(),
        refusal: None,
    }
}

fn serve_owner(
    mut stream: TcpStream,
    address: SocketAddr,
    taken: &Mutex<Taken>,
    breaks: usize,
) -> std::io::Result<()> {
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.read_exact(&mut [0; PREAMBLE_BYTES])?;
    let theirs: Hello = hear(&mut stream)?;
    stream.write_all(&greeting(Some(address), theirs.purpose).to_bytes().expect("it fits"))?;
    let me = Peer::new(address, 0);
    if theirs.purpose != Purpose::Data {
        loop {
            let Frame::Request { id, request } = hear(&mut stream)? else { continue };
            let response = match request {
                Request::Lookup { key } => Response::Lookup(LookupTrace {
                    key,
                    owner: me,
                    successors: Vec::new(),
                    hops: Vec::new(),
                }),
                _ => Response::Failed {
                    why: chordal::error::CommandError::Usage("this is not what a put asks".into()),
                },
            };
            say(&mut stream, &Frame::Response { id, response })?;
        }
    }
    let DataRequest::Upload { root, size, follows: false, .. } = hear(&mut stream)? else {
        panic!("a put of a large file asks first");
    };
    say(&mut stream, &DataResponse::Proceed)?;
    let count = chordal::transfer::manifest::piece_count(size);
    let mut hashes = vec![0; count as usize * 32];
    stream.read_exact(&mut hashes)?;
    let manifest = Manifest::from_bytes(root, size, &hashes).expect("the file's manifest");
    let (have, broken) = {
        let mut taken = taken.lock().expect("no test fails holding it");
        taken.uploads += 1;
        taken.pieces.resize(count as usize, 0);
        let mut have = PieceSet::none(count);
        for index in manifest.indices().filter(|index| taken.pieces[index.0 as usize] > 0) {
            have.insert(index);
        }
        (have, taken.uploads <= breaks)
    };
    // Whoever looks at what it has says so meanwhile.
    say(&mut stream, &DataResponse::Progress { copies: 0, wanted: 0 })?;
    say(&mut stream, &DataResponse::Missing { have: have.to_bytes() })?;
    for (nth, index) in have.lacking().enumerate() {
        let mut piece = vec![0; manifest.len_of(index) as usize];
        if broken && nth == 3 {
            let half = piece.len() / 2;
            return stream.read_exact(&mut piece[..half]);
        }
        stream.read_exact(&mut piece)?;
        assert!(manifest.verify(index, &piece), "the pieces come in their order");
        taken.lock().expect("no test fails holding it").pieces[index.0 as usize] += 1;
    }
    let version = Version { counter: 1, root };
    say(
        &mut stream,
        &DataResponse::Stored {
            version,
            holders: vec![me],
            wanted: 1,
            already: false,
            passed: Vec::new(),
            cut_off: 0,
        },
    )
}

#[test]
fn a_put_goes_on_by_itself_and_sends_no_piece_twice() {
    let home = Home::new();
    let path = home.path(NAME);
    random_file(&path, 11 * MIB as usize + 5, 28);
    let owner = Owner::start(3);
    let via = owner.address.to_string();
    said(&command(&["put", text(&path), "--via", &via]).output().expect("the program starts"));
    let taken = owner.taken.lock().expect("no thread failed");
    assert_eq!((taken.uploads, taken.pieces.clone()), (4, vec![1; 12]));
}

/// Somebody who uploads piece by piece, as a test wants.
struct Uploader {
    stream: TcpStream,
}

impl Uploader {
    /// Offers the content; what is missing there.
    fn begin(to: SocketAddr, served: &Served) -> (Uploader, PieceSet) {
        let mut stream = TcpStream::connect(to).expect("the node listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let hello = greeting(None, Purpose::Data).to_bytes().expect("it fits");
        stream.write_all(&hello).expect("it is taken");
        stream.read_exact(&mut [0; PREAMBLE_BYTES]).expect("a preamble");
        let theirs: Hello = hear(&mut stream).expect("a hello");
        assert_eq!(theirs.refusal, None);
        let request = DataRequest::Upload {
            name: FileName::new(NAME).expect("a name"),
            root: served.root(),
            size: served.size(),
            overwrite: false,
            follows: false,
        };
        say(&mut stream, &request).expect("it is taken");
        let mut uploader = Uploader { stream };
        assert_eq!(uploader.answer(), DataResponse::Proceed);
        uploader.stream.write_all(&served.manifest.to_bytes()).expect("it is taken");
        match uploader.answer() {
            DataResponse::Missing { have } => {
                (uploader, PieceSet::from_bytes(served.manifest.count(), &have))
            }
            other => panic!("{other:?}"),
        }
    }

    /// What the owner says next but that it is alive.
    fn answer(&mut self) -> DataResponse {
        loop {
            match hear(&mut self.stream).expect("an answer") {
                DataResponse::Progress { .. } => {}
                answer => return answer,
            }
        }
    }

    fn send(&mut self, served: &Served, pieces: impl IntoIterator<Item = PieceIndex>) {
        for index in pieces {
            let from = served.manifest.offset_of(index) as usize;
            let to = from + served.manifest.len_of(index) as usize;
            self.stream.write_all(&served.bytes[from..to]).expect("it is taken");
        }
    }
}

/// Where a node keeps what it has of a content that comes in.
fn part_of(node: &NodeProcess, served: &Served) -> PathBuf {
    node.data_dir().join("partial").join(format!("{}.part", served.root()))
}

fn map_of(part: &Path) -> PathBuf {
    PathBuf::from(format!("{}.map", part.display()))
}

fn await_pieces(map: &Path, least: usize) {
    eventually("pieces arrive", || {
        let here = pieces_in(map).len();
        if here >= least { Ok(()) } else { Err(format!("{here} of {}", map.display())) }
    });
}

#[test]
fn a_killed_owner_knows_after_its_restart_what_it_has_and_what_was_damaged() {
    let served = Served::random(9 * MIB as usize + 3, 29);
    let mut node = NodeProcess::start(&[]);
    let part = part_of(&node, &served);
    let (mut client, have) = Uploader::begin(node.address, &served);
    assert!(have.is_empty());
    client.send(&served, (0..6).map(PieceIndex));
    client.stream.write_all(&served.bytes[6 * MIB as usize..][..1_000]).expect("it is taken");
    await_pieces(&map_of(&part), 6);
    node.kill();
    let mut bytes = fs::read(&part).expect("it is there");
    bytes[2 * MIB as usize] ^= 1;
    fs::write(&part, bytes).expect("written");

    node.restart(&[]);
    let (mut client, have) = Uploader::begin(node.address, &served);
    let expected: Vec<PieceIndex> = [0, 1, 3, 4, 5].map(PieceIndex).to_vec();
    assert_eq!(have.iter().collect::<Vec<_>>(), expected);
    // It breaks off once more, and the node lives: it need not read them again.
    client.send(&served, [PieceIndex(2), PieceIndex(6)]);
    await_pieces(&map_of(&part), 7);
    drop(client);
    let (mut client, have) = Uploader::begin(node.address, &served);
    assert_eq!(have.lacking().collect::<Vec<_>>(), [7, 8, 9].map(PieceIndex));
    client.send(&served, have.lacking());
    assert!(matches!(client.answer(), DataResponse::Stored { already: false, .. }));
    assert!(node.fetch(NAME).expect("it is stored") == *served.bytes);
    assert_eq!(fs::read_dir(part.parent().expect("a directory")).expect("it is").count(), 0);
}

#[test]
fn a_content_that_is_there_under_another_name_is_not_sent() {
    let home = Home::new();
    let path = home.path(NAME);
    random_file(&path, 5 * MIB as usize, 30);
    let node = NodeProcess::start(&[]);
    node.run(&["put", text(&path), "--as", "other.bin"]);
    let served = Served::of(&fs::read(&path).expect("readable"));
    let (mut client, have) = Uploader::begin(node.address, &served);
    assert_eq!(have.missing(), 0);
    assert!(matches!(client.answer(), DataResponse::Stored { already: false, .. }));
    assert!(node.fetch(NAME).expect("it is stored") == *served.bytes);
}

/// Puts a large file through a node; calls `interfere` once some pieces of it
/// are in this directory, while the put still runs. How the put ended; `None`:
/// it was over before.
fn put_in_the_middle(
    via: SocketAddr,
    partial: &Path,
    path: &Path,
    interfere: impl FnOnce(&mut Child),
) -> Option<Output> {
    random_file(path, 192 * MIB as usize, fastrand::u64(..));
    let via = via.to_string();
    let mut client = begun(&["put", text(path), "--via", &via]);
    let some = eventually("the upload has begun, or is over", || {
        if let Ok(Some(_)) = client.try_wait() {
            return Ok(false);
        }
        let files = fs::read_dir(partial).expect("its directory").flatten();
        let maps = files.map(|file| file.path()).filter(|path| path.ends_with_map());
        let pieces: usize = maps.map(|map| pieces_in(&map).len()).sum();
        if pieces >= 8 { Ok(true) } else { Err(format!("{pieces} pieces")) }
    });
    if some {
        interfere(&mut client);
    }
    let output = client.wait_with_output().expect("its output");
    some.then_some(output)
}

trait EndsWithMap {
    fn ends_with_map(&self) -> bool;
}

impl EndsWithMap for PathBuf {
    fn ends_with_map(&self) -> bool {
        self.extension().is_some_and(|end| end == "map")
    }
}

/// How many pieces a node went on with, by its log.
fn went_on_with(node: &NodeProcess, name: &str) -> Vec<u32> {
    let lines = node.log();
    let lines = lines.lines().filter(|line| line.contains(name) && line.contains("goes on with"));
    let number = |line: &str| {
        let behind = line.split("goes on with ").nth(1)?;
        behind.split(' ').next()?.parse().ok()
    };
    lines.filter_map(number).collect()
}

#[test]
fn a_put_whose_client_was_killed_goes_on_when_it_is_started_again() {
    let node = NodeProcess::start(&[]);
    let home = Home::new();
    let partial = node.data_dir().join("partial");
    // A machine that hangs may see the first ones through.
    let name = (0..5).map(|attempt| format!("film {attempt}.bin")).find(|name| {
        let kill = |client: &mut Child| client.kill().expect("it can be killed");
        let ended = put_in_the_middle(node.address, &partial, &home.path(name), kill);
        ended.is_some_and(|output| !output.status.success())
    });
    let name = name.expect("it is killed in the middle");
    let listed = node.run(&["ls"]);
    assert!(!listed.contains(&name), "{listed}");
    let path = home.path(&name);
    node.run(&["put", text(&path)]);
    let here = went_on_with(&node, &name);
    assert!(here.iter().any(|pieces| *pieces >= 8), "it began anew: {here:?}");
    assert!(node.fetch(&name).expect("stored") == fs::read(&path).expect("readable"));
}

#[test]
fn a_put_whose_owner_is_killed_and_comes_back_ends_well() {
    let mut node = NodeProcess::start(&[]);
    let home = Home::new();
    let (address, partial) = (node.address, node.data_dir().join("partial"));
    let mut seen = Vec::new();
    for attempt in 0..5 {
        let name = format!("film {attempt}.bin");
        let path = home.path(&name);
        let restart = |_: &mut Child| {
            node.kill();
            node.restart(&[]);
        };
        let Some(output) = put_in_the_middle(address, &partial, &path, restart) else { continue };
        assert!(output.status.success(), "{}", describe(&output));
        assert!(node.fetch(&name).expect("stored") == fs::read(&path).expect("readable"));
        seen = went_on_with(&node, &name);
        if seen.iter().any(|pieces| *pieces >= 8) {
            return;
        }
    }
    panic!("it never went on: {seen:?}");
}

const PIECES: u32 = 24;

/// Five nodes in their order on the ring, from the name's owner on; somebody
/// uploads to that one, and a half of the pieces is on the first three.
fn half_way(served: &Served) -> (Ring, Uploader) {
    let mut ring = Ring::of(5);
    let order = ring.nodes[0].json(&["lookup", NAME]).expect("it is found");
    let owner = order["owner"]["address"].as_str().expect("an address").to_owned();
    let place = |node: &NodeProcess| node.id.parse::<u128>().expect("a number");
    let start = ring.nodes.iter().find(|node| node.address.to_string() == owner).map(place);
    let start = start.expect("the owner is one of them");
    ring.nodes.sort_by_key(|node| (place(node) + 1024 - start) % 1024);

    let (mut client, have) = Uploader::begin(ring.nodes[0].address, served);
    assert!(have.is_empty());
    client.send(served, (0..PIECES / 2).map(PieceIndex));
    for node in &ring.nodes[..3] {
        await_pieces(&map_of(&part_of(node, served)), PIECES as usize / 2);
    }
    assert!(!part_of(&ring.nodes[3], served).exists(), "it is not one of three holders");
    (ring, client)
}

/// Sends the other half; who holds the content in the end.
fn other_half(mut client: Uploader, served: &Served) -> BTreeSet<String> {
    client.send(served, (PIECES / 2..PIECES).map(PieceIndex));
    let stored = client.answer();
    let DataResponse::Stored { holders, wanted: 3, .. } = &stored else { panic!("{stored:?}") };
    holders.iter().map(|peer| peer.address().to_string()).collect()
}

#[test]
fn a_holder_that_dies_in_the_middle_is_replaced_and_the_next_one_is_sent_what_it_lacks() {
    let served = Served::random(PIECES as usize * MIB as usize, 31);
    let (mut ring, client) = half_way(&served);
    ring.crash(1);
    let expected = [0, 1, 2].map(|at: usize| ring.nodes[at].address.to_string());
    let holders = other_half(client, &served);
    assert_eq!(holders, BTreeSet::from(expected), "the dead one's place is taken");
    // The third had a half of it from the dead one: only the rest was sent.
    let third = went_on_with(&ring.nodes[1], NAME);
    assert!(third.iter().any(|pieces| *pieces >= PIECES / 2), "it began anew: {third:?}");
    for node in &ring.nodes {
        assert!(node.fetch(NAME).expect("stored") == *served.bytes);
    }
}

#[test]
fn a_holder_that_stalls_in_the_middle_is_passed_by() {
    let served = Served::random(PIECES as usize * MIB as usize, 33);
    let (ring, client) = half_way(&served);
    ring.nodes[1].signal(Signal::STOP);
    let holders = other_half(client, &served);
    let third = went_on_with(&ring.nodes[2], NAME);
    ring.nodes[1].signal(Signal::CONT);
    assert!(third.iter().any(|pieces| *pieces >= PIECES / 2), "it was not asked: {third:?}");
    assert_eq!(holders.len(), 3);
}

#[test]
fn a_client_that_rests_for_a_while_costs_no_holder() {
    let served = Served::random(PIECES as usize * MIB as usize, 34);
    let (ring, client) = half_way(&served);
    eventually("the next one is let go", || match ring.nodes[0].log() {
        log if log.contains("let go until it does") => Ok(()),
        log => Err(log),
    });
    let expected = [0, 1, 2].map(|at: usize| ring.nodes[at].address.to_string());
    assert_eq!(other_half(client, &served), BTreeSet::from(expected));
    let second = went_on_with(&ring.nodes[1], NAME);
    assert_eq!(second, [PIECES / 2], "it goes on with the half that it has");
}

#[test]
fn a_put_that_its_user_breaks_off_ends_the_whole_chain_at_once() {
    let ring = Ring::of(3);
    let home = Home::new();
    let transfers = |node: &NodeProcess| {
        let partial = fs::read_dir(node.data_dir().join("partial")).expect("its directory");
        partial.flatten().filter(|file| file.path().ends_with_map()).count()
    };
    let path = home.path("film.bin");
    let served = Served::random(12 * MIB as usize, 32);
    fs::write(&path, &*served.bytes).expect("written");
    let order = ring.nodes[0].json(&["lookup", NAME]).expect("it is found");
    let owner = order["owner"]["address"].as_str().expect("an address").to_owned();
    let owner = ring.nodes.iter().find(|node| node.address.to_string() == owner);
    let owner = owner.expect("it is one of them");
    let (mut client, _) = Uploader::begin(owner.address, &served);
    client.send(&served, (0..5).map(PieceIndex));
    for node in &ring.nodes {
        await_pieces(&map_of(&part_of(node, &served)), 5);
    }
    drop(client);
    // Nobody waits for what will not come: all of it can be had anew at once.
    owner.run(&["put", text(&path), "--as", NAME]);
    assert!(went_on_with(owner, NAME).contains(&5), "{:?}", went_on_with(owner, NAME));
    eventually("nothing is left of the first attempt", || {
        let left: Vec<usize> = ring.nodes.iter().map(transfers).collect();
        if left == [0, 0, 0] { Ok(()) } else { Err(format!("{left:?}")) }
    });
    assert!(ring.nodes[0].fetch(NAME).expect("stored") == *served.bytes);
}
