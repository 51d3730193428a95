//! The command language inside a world: commands that are typed for a node act on the
//! simulated node that is shown.
//!
//! Commands that only make sense on a real machine are refused, with a sentence that names
//! the alternative.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use chordal_core::chord::Membership;
use chordal_core::mesh::pattern::Pattern;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::Record;
use chordal_core::wire::query::NodeInfo;
use chordal_view::text::quoted;
use chordal_view::{
    Command, CommandError, FileRow, HandedOver, Health, Hop, KeptFiles, Outcome, Reason, RingFiles,
    target,
};

use super::host::{Host, HostId, State, host_at};
use super::{Action, Ended, OpId, Show, World};

/// Bytes of a file that exists only in the simulation.
const MADE_UP: u64 = 1_000_000;

/// Commands that run at once: a person types them.
const MAX_WAITING: usize = 64;

/// The result of a command.
pub type End = Result<Outcome, CommandError>;

/// The running commands, each with the number that the caller chose.
#[derive(Debug, Default)]
pub struct Words {
    waiting: Vec<(u64, Waits)>,
}

/// What a command waits for.
#[derive(Debug)]
enum Waits {
    /// The end of an operation, with the text that was typed and the bytes that were put.
    Operation { id: OpId, text: String, size: u64 },
    /// Until this host is on the ring.
    Join(HostId),
    /// Until this host has left; with the number of files that it held.
    Leave(HostId, usize),
}

impl Words {
    /// Carries out a command on the shown node. `None` if its result comes later from
    /// [`Words::ended`] or [`Words::look`], under `number`. `size_of` returns the bytes of
    /// a local file, if there is one.
    pub fn say(
        &mut self,
        number: u64,
        command: Command,
        world: &mut World,
        show: &mut Show,
        size_of: impl FnOnce(&Path) -> Option<u64>,
    ) -> Option<End> {
        match begin(command, world, show, size_of) {
            Ok(Began::Ended(outcome)) => Some(Ok(*outcome)),
            Ok(Began::Waits(_)) if self.waiting.len() >= MAX_WAITING => {
                Some(failed(format!("{MAX_WAITING} commands are under way; wait for one to end")))
            }
            Ok(Began::Waits(what)) => {
                self.waiting.push((number, what));
                None
            }
            Err(why) => Some(failed(why)),
        }
    }

    /// Handles the end of an operation: returns the number and the result of the command
    /// that waits for it.
    pub fn ended(&mut self, world: &World, operation: OpId, ended: &Ended) -> Option<(u64, End)> {
        let waits = |(_, waits): &(u64, Waits)| matches!(waits, Waits::Operation { id, .. } if *id == operation);
        let at = self.waiting.iter().position(waits)?;
        let (number, Waits::Operation { text, size, .. }) = self.waiting.swap_remove(at) else {
            return None;
        };
        Some((number, outcome(world, text, size, ended)))
    }

    /// The numbers and results of joins and leaves that have ended by now.
    pub fn look(&mut self, world: &World) -> Vec<(u64, End)> {
        let mut ends = Vec::new();
        self.waiting.retain(|(number, waits)| {
            let end = match waits {
                Waits::Operation { .. } => None,
                Waits::Join(host) => joined(world, *host),
                Waits::Leave(host, files) => left(world, *host, *files),
            };
            let goes_on = end.is_none();
            ends.extend(end.map(|end| (*number, end)));
            goes_on
        });
        ends
    }
}

/// Begins a command on the shown node.
fn begin(
    command: Command,
    world: &mut World,
    show: &mut Show,
    size_of: impl FnOnce(&Path) -> Option<u64>,
) -> Result<Began, String> {
    let (host, space) = (show.host(), world.space());
    let operation = |id, text, size| Ok(Began::Waits(Waits::Operation { id, text, size }));
    match command {
        Command::Put { path, name, overwrite, .. } => {
            let size = size_of(&path).unwrap_or(MADE_UP);
            let text = name.map_or_else(|| last_of(&path), Ok)?;
            let name = file_name(&text)?;
            let there = world.owner_seen_from(host, name.key(space));
            let held = there.and_then(|owner| record(world, owner, &name));
            if held.is_some_and(|record| !record.is_deleted()) && !overwrite {
                return Err(format!("{name} holds other content; --overwrite replaces it"));
            }
            operation(world.put(host, &name, size), text, size)
        }
        Command::Get { name, .. } => {
            let file = file_name(&name)?;
            operation(world.get(host, &file), name, 0)
        }
        Command::Rm { name } => {
            let file = file_name(&name)?;
            operation(world.remove(host, &file), name, 0)
        }
        Command::Lookup { target } => {
            let key = target::key(&target, space);
            let id = world.lookup(host, key);
            show.lookup_begins(id, target.clone(), key);
            operation(id, target, 0)
        }
        Command::Join { contact } => join(world, show, &contact),
        Command::Leave => {
            let files = show.node(world).map_or(0, |node| node.files_held().len());
            match world.host(host).map(Host::state) {
                Some(State::Up) => {
                    world.leave(host);
                    Ok(Began::Waits(Waits::Leave(host, files)))
                }
                _ => Err("this node is on no ring; join brings it back".to_owned()),
            }
        }
        other => read(other, world, show).map(|outcome| Began::Ended(Box::new(outcome))),
    }
}

/// The first result of a command.
enum Began {
    Ended(Box<Outcome>),
    Waits(Waits),
}

fn failed(why: String) -> End {
    Err(Reason::State.because(why))
}

/// Enters the ring again with a node that has left, or was restarted.
fn join(world: &mut World, show: &Show, contact: &str) -> Result<Began, String> {
    let host = show.host();
    let on_a_ring = "this node is on the ring already; A adds another one";
    match world.host(host).map(Host::state) {
        Some(State::Left | State::Crashed) => {}
        _ => return Err(on_a_ring.to_owned()),
    }
    let members: Vec<Peer> = world.nodes().map(chordal_core::chord::Node::peer).collect();
    let space = world.space();
    if target::member(contact, space, &members)?.is_none() {
        return Err(format!(
            "{} is not a member of the ring; ring lists them, by address and by id",
            quoted(contact)
        ));
    }
    world.restart(host);
    Ok(Began::Waits(Waits::Join(host)))
}

fn joined(world: &World, host: HostId) -> Option<End> {
    let found = world.host(host)?;
    if !found.lives() {
        return Some(failed("the host ended before it was on the ring".to_owned()));
    }
    let node = found.nodes().iter().find(|node| node.membership() == Membership::Member)?;
    let successor = node.successors().first().copied()?;
    Some(Ok(Outcome::Joined {
        me: node.peer(),
        successor,
        ring: node.params().ring.clone(),
        space: world.space(),
        adopted: false,
    }))
}

fn left(world: &World, host: HostId, files: usize) -> Option<End> {
    let found = world.host(host)?;
    match found.state() {
        State::Up | State::Paused => None,
        State::Left => {
            let records = found.disk().into_iter().flat_map(|disk| disk.records());
            let sizes: Vec<u64> =
                records.filter(|record| !record.is_deleted()).map(Record::size).collect();
            let (bytes, directory) = (sizes.iter().sum(), "memory".to_owned());
            let kept = KeptFiles { files: sizes.len(), bytes, directory, ..KeptFiles::default() };
            let handed = files.saturating_sub(kept.files);
            Some(Ok(Outcome::Left(HandedOver { handed, kept })))
        }
        State::Crashed => Some(failed("the host died before it had left".to_owned())),
    }
}

/// Carries out commands that only read.
fn read(command: Command, world: &World, show: &Show) -> Result<Outcome, String> {
    let space = world.space();
    if let Command::Id { text } = command {
        let id = space.hash(&text);
        return Ok(Outcome::IdOf { text, space, id });
    }
    if let Some(refusal) = refusal(&command) {
        return Err(refusal.to_owned());
    }
    if let Command::Ring = command {
        return Ok(Outcome::Ring {
            members: world.nodes().map(chordal_core::chord::Node::peer).collect(),
            silent: Vec::new(),
            troubled: Vec::new(),
            health: Health::of(&world.ring()),
            state: show.state(world),
            space,
        });
    }
    if let Command::Ls { pattern, ring: true } = command {
        return Ok(ring_files(world, pattern.as_deref()));
    }
    let node = show.node(world).ok_or("this node does not run; join or R brings it back")?;
    match command {
        Command::Ls { pattern, .. } => {
            let mut files = FileRow::all(&node.files_held(), node.params().space);
            let all = files.len();
            if let Some(named) = pattern.as_deref().map(Pattern::new) {
                files.retain(|file| named.matches(file.name.as_str()));
            }
            Ok(Outcome::Files { files, of: pattern.map(|pattern| (pattern, all)), space })
        }
        Command::Fingers => Ok(Outcome::Fingers { fingers: node.fingers(), space }),
        _ => Ok(Outcome::Info(Box::new(NodeInfo {
            peer: node.peer(),
            positions: vec![node.peer().index()],
            params: node.params().clone(),
            member: true,
            predecessor: node.predecessor(),
            successors: node.successors().to_vec(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sick_disk: None,
            deaf: Vec::new(),
        }))),
    }
}

/// Why a command is not possible in a simulation, and the alternative.
const fn refusal(command: &Command) -> Option<&'static str> {
    Some(match command {
        Command::Share { .. } | Command::Unshare { .. } => {
            "simulated nodes share no files of their own; put NAME stores one on the ring"
        }
        Command::Find { .. } => "a simulation has no searches; ls PATTERN --ring lists the files",
        Command::Request { .. } => "a simulation asks no single peer; get NAME asks the holders",
        Command::Scan { .. } => "a simulation has no ports to scan; ring lists the members",
        Command::Ping { .. } => "a simulation has no pings; 3 shows who lives, with round trips",
        Command::Connect { .. } | Command::Disconnect { .. } | Command::Peers => {
            "links besides the ring are not simulated; ring lists the members"
        }
        Command::Say { .. } => "a simulation has no links over which to say it",
        Command::Transfers
        | Command::Cancel { .. }
        | Command::Pause { .. }
        | Command::Resume { .. } => {
            "simulated transfers have no numbers; Space on the empty line stops all time"
        }
        Command::Help { .. } | Command::Quit => "the simulation's dashboard answers that",
        _ => return None,
    })
}

/// All files of the ring, the newest version of each, with its holders.
fn ring_files(world: &World, pattern: Option<&str>) -> Outcome {
    let mut ring = RingFiles::new(world.space(), pattern);
    for node in world.nodes() {
        ring.add(node.peer(), &node.files_held());
    }
    ring.finish(&BTreeSet::new(), Vec::new())
}

/// The record that a running node has for a name.
fn record<'a>(world: &'a World, peer: Peer, name: &FileName) -> Option<&'a Record> {
    let host = world.host(host_at(peer.address())?)?;
    host.nodes().iter().find(|node| node.peer() == peer)?.record(name)
}

/// An estimate of how many hosts a host is cut off from.
fn cut_off(world: &World, host: HostId) -> u32 {
    let core = world.host(host).and_then(Host::core);
    core.and_then(|core| core.cut_off(world.now())).map_or(0, |missing| missing as u32)
}

/// The result of an operation as a command's result.
fn outcome(world: &World, text: String, size: u64, ended: &Ended) -> End {
    let space = world.space();
    let name = || file_name(&text).map_err(CommandError::Usage);
    match &ended.outcome {
        super::Outcome::Found(owner) => {
            let micros = |took: Duration| took.as_micros() as u64;
            let hop = |(peer, took): &(Peer, Option<Duration>)| Hop {
                peer: *peer,
                micros: took.map(micros),
            };
            let hops = ended.hops.iter().map(hop).collect();
            Ok(Outcome::Lookup { text, key: ended.key, owner: *owner, hops, space })
        }
        super::Outcome::Stored { version, holders, wanted } => Ok(Outcome::Stored {
            name: name()?,
            key: ended.key,
            size,
            version: *version,
            holders: holders.clone(),
            wanted: *wanted,
            already: false,
            passed: Vec::new(),
            cut_off: cut_off(world, ended.host),
            silent: Vec::new(),
            likely: 0,
            space,
        }),
        super::Outcome::Got { size, from, .. } => Ok(Outcome::Fetched {
            name: name()?,
            size: *size,
            there: 0,
            path: "its simulated disk".into(),
            sources: vec![(*from, *size)],
            millis: ended.took.as_millis() as u64,
        }),
        super::Outcome::Removed { .. } => {
            let copies = world.size().min(world.setup().replicas.into());
            let cut_off = cut_off(world, ended.host);
            Ok(Outcome::Removed { name: name()?, copies: copies as u8, cut_off })
        }
        super::Outcome::Missing => {
            failed(format!("no file {} on the ring; ls --ring lists all", quoted(&text)))
        }
        super::Outcome::Failed(why) => {
            let what = match ended.action {
                Action::Lookup => "lookup",
                Action::Put => "put",
                Action::Get => "get",
                Action::Remove => "rm",
            };
            failed(format!("{what} {}: {why}", quoted(&text)))
        }
    }
}

fn file_name(text: &str) -> Result<FileName, String> {
    FileName::new(text).map_err(|error| format!("{} is no name on the ring: {error}", quoted(text)))
}

/// The name that a put gives to a path.
fn last_of(path: &Path) -> Result<String, String> {
    let last = path.file_name().map(|last| last.to_string_lossy().into_owned());
    last.ok_or_else(|| {
        format!("{} has no file name; give one with --as", quoted(&path.to_string_lossy()))
    })
}
