//! Searches: the driver of [`chordal_core::mesh::broadcast`], for the searches of this
//! node's user and as a part of those of others.
//!
//! One task owns all of them. It gives each part its messages and the time: how
//! long a child may be silent follows from the round trips to it, as in the
//! core. Files are searched and keys looked up by tasks beside it.
//!
//! - [`find`]: the searches that begin here, and what they have found.
//! - [`local_matches`]: which files here match.
//! - [`command`]: `find`, from inside and from outside.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};

use chordal_core::chord::rtt::RoundTrips;
use chordal_core::chord::{self, Membership};
use chordal_core::error::CommandError;
use chordal_core::id::{Id, Space};
use chordal_core::limits::MAX_RESULTS_PER_NODE;
use chordal_core::mesh::broadcast::{self, Broadcast, Effect, Question};
use chordal_core::mesh::pattern::Pattern;
use chordal_core::peer::{Party, Peer};
use chordal_core::wire::MeshMessage;
use chordal_core::wire::mesh::{FoundRow, SearchId, SearchMessage};

use crate::data::Data;
use crate::inputs::demand::Way;
use crate::overlay::Overlay;

use find::Finds;
use input::Input;

pub(crate) mod command;
mod find;
pub(crate) mod input;
pub(crate) mod local_matches;
#[cfg(test)]
mod tests;

/// Searches in which this node has a part at one time: a classroom that
/// searches at once, and a few megabytes of results at the worst.
const PARTS: usize = 64;

/// Of these, those that one node may have begun.
const PARTS_OF_ONE_ORIGIN: usize = 16;

/// Of these, those that one node may have asked for: no node fills all of them
/// with searches that it made up.
const PARTS_OF_ONE_ASKER: usize = 24;

/// How long a search may take, at its origin: a few deaths in a row are a
/// matter of seconds, and a person waits.
const SEARCH_LIMIT: Duration = Duration::from_secs(20);

/// Each level of the tree ends so much earlier than the one above, whose
/// answer it is part of; but never before [`LEAST_LIMIT`].
const LEVEL: Duration = Duration::from_millis(500);

/// See [`LEVEL`].
const LEAST_LIMIT: Duration = Duration::from_secs(5);

/// How often a node that is at work says so to the one that asked it.
const BEAT: Duration = Duration::from_secs(1);

/// Silence of a child at work after which it counts as dead: some beats.
const SILENCE: Duration = Duration::from_secs(4);

/// Attempts to find the node behind a dead one, while the ring closes the gap.
const LOOKUPS: u32 = 3;

/// Pause between two of them: by then the ring has stabilized further.
const LOOKUP_PAUSE: Duration = Duration::from_millis(400);

/// Peers whose answering times are remembered.
const TRIPS: usize = 1_024;

/// What a task beside the one of searches came to.
#[derive(Debug)]
enum Work {
    /// The files here were searched.
    Here { part: PartId, rows: Vec<FoundRow>, more: bool },
    /// A key was looked up.
    LookedUp { part: PartId, key: Id, owner: Option<Peer> },
    /// A linked peer was asked; `None`: it did not answer.
    Asked { number: u32, peer: Peer, found: Option<(Vec<FoundRow>, bool)> },
}

/// A part: of which search, and of which position of this host. Each position has
/// its own interval to cover, as if it were a node by itself.
type PartId = (SearchId, Peer);

/// Runs until the node stops.
pub(crate) async fn run(overlay: Overlay, mut inputs: mpsc::Receiver<Input>) {
    let mut searches = Searches {
        finds: Finds::new(overlay.clone()),
        overlay,
        parts: BTreeMap::new(),
        answers: BTreeMap::new(),
        trips: BTreeMap::new(),
        work: JoinSet::new(),
    };
    loop {
        let wake = searches.wake();
        tokio::select! {
            biased;
            () = searches.overlay.data.net.stop.cancelled() => return,
            Some(done) = searches.work.join_next(), if !searches.work.is_empty() => {
                searches.worked(done).await;
            }
            input = inputs.recv() => match input {
                Some(input) => searches.take(input).await,
                None => return,
            },
            () = sleep_until(wake) => {}
        }
        searches.pass_time().await;
    }
}

/// All searches in which this node has a part.
struct Searches {
    overlay: Overlay,
    parts: BTreeMap<PartId, Part>,
    finds: Finds,
    /// Files here that match a search of another node, and whether there are more:
    /// until the last of this host's positions has its part done.
    answers: BTreeMap<SearchId, (usize, bool)>,
    /// How fast peers take questions on.
    trips: BTreeMap<SocketAddr, RoundTrips>,
    work: JoinSet<Work>,
}

/// A part and its times.
struct Part {
    broadcast: Broadcast,
    /// The node that asked for it first.
    asker: Peer,
    ends: Instant,
    beats: Instant,
    waits: BTreeMap<Peer, Wait>,
}

/// Waiting for a child.
#[derive(Clone, Copy)]
struct Wait {
    asked: Instant,
    heard: bool,
    until: Instant,
}

/// Whom a node knows on its ring.
struct Around {
    me: Peer,
    space: Space,
    member: bool,
    known: Vec<Peer>,
}

impl Searches {
    async fn take(&mut self, input: Input) {
        match input {
            Input::Message { from, to, message } => {
                let to = Peer::new(self.overlay.data.net.me().me.address(), to);
                self.message(from, to, message).await;
            }
            Input::Gone { address } => {
                let parts: Vec<PartId> = self.parts.keys().copied().collect();
                for part in parts {
                    self.with(part, |part, out| part.gone(address, out)).await;
                }
            }
            Input::Find { pattern, shown, begun } => {
                let _ = begun.send(self.find(pattern, shown).await);
            }
            Input::Follow { number, found } => {
                let _ = found.send(self.finds.follow(number));
            }
        }
    }

    async fn message(&mut self, from: Peer, to: Peer, message: SearchMessage) {
        let search = match message {
            SearchMessage::Ask { search, pattern, until, depth } => {
                let question = Question { search, pattern, until, depth };
                return self.asked(from, to, question).await;
            }
            SearchMessage::Taken { search }
            | SearchMessage::Found { search, .. }
            | SearchMessage::Done { search, .. } => search,
        };
        let Some(part) = self.parts.get_mut(&(search, to)) else { return };
        let mut out = Vec::new();
        let awaited = part.broadcast.heard(from, message, &mut out);
        let now = Instant::now();
        if let Some(wait) = part.waits.get_mut(&from) {
            if !wait.heard {
                wait.heard = true;
                if self.trips.len() >= TRIPS && !self.trips.contains_key(&from.address()) {
                    self.trips.pop_first();
                }
                let trips = self.trips.entry(from.address()).or_default();
                trips.sample(now.saturating_duration_since(wait.asked));
            }
            wait.until = now + SILENCE;
            if !awaited {
                part.waits.remove(&from);
            }
        }
        self.carry_out((search, to), out).await;
    }

    /// Another node asks a position of this one to take part in a search.
    async fn asked(&mut self, from: Peer, to: Peer, question: Question) {
        let around = around(&self.overlay, Some(to)).await;
        let Some(Around { me, space, member, known }) = around else { return };
        if !member || !broadcast::is_fair(space, me, from, &question) {
            return;
        }
        let search = question.search;
        if self.parts.contains_key(&(search, me)) {
            let asked = (search, me);
            return self.with(asked, |part, out| part.asked(from, &question, &known, out)).await;
        }
        // Searches, however many positions take part in each.
        let of = |is: &dyn Fn(&SearchId, &Part) -> bool| {
            let parts = self.parts.iter().filter(|((search, _), part)| is(search, part));
            parts.map(|((search, _), _)| search).collect::<BTreeSet<_>>().len()
        };
        let known_here = self.parts.keys().any(|(other, _)| *other == search);
        if !known_here
            && (of(&|_, _| true) >= PARTS
                || of(&|other, _| other.origin == search.origin) >= PARTS_OF_ONE_ORIGIN
                || of(&|_, part| part.asker.address() == from.address()) >= PARTS_OF_ONE_ASKER)
        {
            tracing::debug!(%from, "a search was not taken on: there are too many");
            return;
        }
        let mut out = Vec::new();
        let broadcast = Broadcast::join(space, me, from, &question, &known, &mut out);
        let earlier = LEVEL * u32::from(question.depth);
        let limit = SEARCH_LIMIT.saturating_sub(earlier).max(LEAST_LIMIT);
        self.parts.insert((search, me), Part::new(broadcast, from, limit));
        self.carry_out((search, me), out).await;
    }

    /// Begins a search of this node's own.
    async fn find(&mut self, pattern: String, shown: bool) -> Result<u32, CommandError> {
        local_matches::check(&pattern)?;
        let Around { me, space, known, .. } =
            around(&self.overlay, None).await.ok_or(CommandError::Stopping)?;
        let members = self
            .overlay
            .data
            .core
            .look(|core| core.members())
            .await
            .ok_or(CommandError::Stopping)?;
        // Of a ring that is not known as a whole, linked peers count as on it. The census
        // drops a member that did not answer it once; the tables may name it still.
        let on_ring = |address| {
            let known = members.0.iter().chain(&known).any(|peer| peer.address() == address);
            known || members.1 != chord::CensusState::Complete
        };
        let (number, search, linked) = self.finds.begin(me, &pattern, shown, on_ring)?;
        for peer in linked {
            self.work.spawn(ask_linked(self.overlay.data.clone(), number, peer, pattern.clone()));
        }
        let mut out = Vec::new();
        let broadcast = Broadcast::begin(space, search, &pattern, &known, &mut out);
        self.parts.insert((search, me), Part::new(broadcast, me, SEARCH_LIMIT));
        self.carry_out((search, me), out).await;
        Ok(number)
    }

    async fn worked(&mut self, done: Result<Work, JoinError>) {
        match done {
            Ok(Work::Here { part, rows, more }) => {
                if self.parts.contains_key(&part) && part.0.origin.address() != part.1.address() {
                    let (found, cut) = self.answers.entry(part.0).or_default();
                    *found += rows.len();
                    *cut |= more;
                }
                self.with(part, |part, out| part.own(rows, more, out)).await;
            }
            Ok(Work::LookedUp { part, key, owner }) => {
                self.with(part, |part, out| part.looked_up(key, owner, out)).await;
            }
            Ok(Work::Asked { number, peer, found }) => {
                self.finds.linked_answered(number, peer, found).await;
            }
            Err(error) => tracing::error!(%error, "a task of a search failed"),
        }
    }

    /// One step of a part, and its effects.
    async fn with(&mut self, id: PartId, step: impl FnOnce(&mut Broadcast, &mut Vec<Effect>)) {
        let Some(part) = self.parts.get_mut(&id) else { return };
        let mut out = Vec::new();
        step(&mut part.broadcast, &mut out);
        self.carry_out(id, out).await;
    }

    async fn carry_out(&mut self, id: PartId, effects: Vec<Effect>) {
        let (search, me) = id;
        let mut ended = false;
        for effect in effects {
            match effect {
                Effect::Send { to, message } => {
                    if let SearchMessage::Ask { .. } = message {
                        self.wait_for(id, to);
                    }
                    let message = MeshMessage::Search(message);
                    self.overlay.data.core.search_says(me, to, message).await;
                }
                Effect::SearchHere => {
                    if let Some(part) = self.parts.get(&id) {
                        let pattern = part.broadcast.pattern().clone();
                        self.work.spawn(search_here(self.overlay.data.clone(), id, pattern));
                    }
                }
                Effect::LookUp { key } => {
                    self.work.spawn(look_up(self.overlay.clone(), id, key));
                }
                Effect::Found(rows) => self.finds.found(search, rows),
                Effect::Offence { child, what } => {
                    let text = format!("{child} {what}");
                    self.overlay.data.notes.stranger(text).await;
                }
                Effect::Ended => ended = true,
            }
        }
        if let Some(part) = self.parts.get(&id)
            && part.broadcast.is_origin()
        {
            self.finds.stands(search, part.broadcast.progress(), ended);
        }
        if ended && let Some(part) = self.parts.remove(&id) {
            self.tell_answer(search, part.broadcast.text());
        }
    }

    /// Tells of a search of another node, once this host has no part in it any
    /// more.
    fn tell_answer(&mut self, search: SearchId, pattern: &str) {
        if self.parts.keys().any(|(other, _)| *other == search) {
            return;
        }
        if let Some((found, more)) = self.answers.remove(&search) {
            let origin = Party::Node(search.origin.address());
            self.overlay.data.notes.searched(Way::Ring, origin, pattern, found, more);
        }
    }

    fn wait_for(&mut self, id: PartId, child: Peer) {
        let Some(part) = self.parts.get_mut(&id) else { return };
        let asked = Instant::now();
        let limit = self.trips.get(&child.address()).copied().unwrap_or_default().limit();
        part.waits.insert(child, Wait { asked, heard: false, until: asked + limit });
    }

    /// When something is due next.
    fn wake(&self) -> Option<Instant> {
        let parts = self.parts.values().flat_map(|part| {
            let waits = part.waits.values().map(|wait| wait.until);
            waits.chain([part.ends, part.beats])
        });
        parts.chain(self.finds.due()).min()
    }

    /// Does what is due.
    async fn pass_time(&mut self) {
        let now = Instant::now();
        let parts: Vec<PartId> = self.parts.keys().copied().collect();
        for id in parts {
            let Some(part) = self.parts.get_mut(&id) else { continue };
            let mut out = Vec::new();
            if part.ends <= now {
                part.broadcast.expire(&mut out);
            } else {
                if part.beats <= now {
                    part.beats = now + BEAT;
                    part.broadcast.beat(&mut out);
                }
                let overdue: Vec<Peer> = part
                    .waits
                    .iter()
                    .filter(|(_, wait)| wait.until <= now)
                    .map(|(peer, _)| *peer)
                    .collect();
                for peer in overdue {
                    part.waits.remove(&peer);
                    part.broadcast.lost(peer, &mut out);
                }
            }
            if !out.is_empty() {
                self.carry_out(id, out).await;
            }
        }
        self.finds.publish(now);
    }
}

impl Part {
    fn new(broadcast: Broadcast, asker: Peer, limit: Duration) -> Part {
        let now = Instant::now();
        let waits = BTreeMap::new();
        Part { broadcast, asker, ends: now + limit, beats: now + BEAT, waits }
    }
}

/// Whom this position of this node, or the first one, knows on its ring; `None`
/// when it stops, or goes by another index by now.
async fn around(overlay: &Overlay, position: Option<Peer>) -> Option<Around> {
    let look = move |core: &chord::Host| {
        let index = position.map_or_else(|| core.peer().index(), |peer| peer.index());
        let node = core.node(core.slot_of(index)?)?;
        Some(Around {
            me: node.peer(),
            space: node.params().space,
            member: matches!(node.membership(), Membership::Member | Membership::Leaving),
            known: known(node),
        })
    };
    overlay.data.core.look(look).await.flatten()
}

/// All peers that a node's tables name, itself left out.
fn known(core: &chord::Node) -> Vec<Peer> {
    let fingers = core.fingers();
    let nodes = fingers.iter().filter_map(|row| row.node);
    let mut known: Vec<Peer> = nodes
        .chain(core.successors().iter().copied())
        .chain(core.predecessor())
        .filter(|peer| *peer != core.peer())
        .collect();
    known.sort_unstable();
    known.dedup();
    known
}

async fn search_here(data: Data, part: PartId, pattern: Pattern) -> Work {
    let at = Some(part.1);
    let (rows, more) =
        local_matches::matching(&data, at, &pattern, None, MAX_RESULTS_PER_NODE).await;
    Work::Here { part, rows, more }
}

async fn look_up(overlay: Overlay, part: PartId, key: Id) -> Work {
    for attempt in 0..LOOKUPS {
        if attempt > 0 {
            tokio::time::sleep(LOOKUP_PAUSE).await;
        }
        match overlay.data.core.lookup(key, None).await {
            Ok(found) => return Work::LookedUp { part, key, owner: Some(found.owner) },
            Err(CommandError::Stopping) => break,
            Err(_) => {}
        }
    }
    Work::LookedUp { part, key, owner: None }
}

async fn ask_linked(data: Data, number: u32, peer: Peer, pattern: String) -> Work {
    let found = find::ask_linked(data, peer, pattern).await;
    Work::Asked { number, peer, found }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
