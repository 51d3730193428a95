//! Links: with which peers a node is linked, and whether these are alive.
//!
//! A link is an agreement of two peers to watch each other and to pass gossip on. One asks
//! for it ([`LinkMessage::Open`]) and the other accepts or refuses; both use it alike. A
//! node draws up to [`RANDOM`] links by chance, the user chooses more, and other nodes ask
//! for theirs.
//!
//! Liveness: once in each [`PERIOD`] one of the two sends a beat and the other an echo.
//! They take turns without agreeing on it: the side that beat last waits `TURN` longer than
//! the other. So both measure round trips and both notice a death. A peer that misses
//! [`SUSPECT`] beats is suspected; one that misses [`DEAD`] beats is dead. The end of a
//! connection is a sign as well: the node sends one more beat at once, and the peer is dead
//! if that fails.
//!
//! A link that the user chose is wanted until the user ends it, on either side: when it is
//! lost the node asks for it again, less and less often, also after a restart.
//!
//! Peers are identified by address: a peer that takes another index on the ring is still
//! the same process at the same address.
//!
//! Pure: the driver passes in the time and the candidates in random order, and sends the
//! messages that are returned.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::peer::Peer;
use crate::time::Time;
use crate::wire::mesh::LinkMessage;
use crate::wire::query::LinkKind;

use super::bucket::{Bucket, Rate};

/// Links that a node draws by chance: a random graph of this degree stays connected
/// although a third of its nodes die.
pub const RANDOM: usize = 4;

/// Links that the user may choose; each costs a connection.
pub const MAX_CHOSEN: usize = 64;

/// Links that others may ask for: with [`RANDOM`] draws of every node, a node gets 4 on
/// average and hardly ever this many.
pub const MAX_INCOMING: usize = 32;

/// Of these, places that are reserved for links that a user chose: a random link can be
/// drawn elsewhere.
const INCOMING_FOR_CHOSEN: usize = 8;

/// Time between two beats of a link, whichever side sends them; also the time limit of an
/// echo.
pub const PERIOD: Duration = Duration::from_secs(2);

/// How much longer the side that beat last waits: enough for the other side's beat to
/// arrive.
const TURN: Duration = Duration::from_millis(500);

/// Beats that are due within this time are sent with those that are due now, so that a node
/// wakes up once for many links. Less than [`TURN`].
const TOGETHER: Duration = Duration::from_millis(200);

/// Beats without an echo after which a peer is suspected.
pub const SUSPECT: u8 = 2;

/// Beats without an echo after which a peer is dead.
pub const DEAD: u8 = 4;

/// Time limit of the answer to [`LinkMessage::Open`]: a connection, with its greeting, may
/// have to be made first.
pub const OPEN_LIMIT: Duration = Duration::from_secs(5);

/// How long a dead peer is not drawn; it may be back then.
const DEAD_PAUSE: Duration = Duration::from_secs(30);

/// How long a peer that refused or closed a link is not drawn.
const REFUSED_PAUSE: Duration = Duration::from_secs(60);

/// How long a peer whose link the user ended is neither drawn nor accepted when it draws
/// this node.
const DISCONNECTED_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Pause before the node asks again for a chosen link that was lost; each further pause is
/// twice as long...
const AGAIN_FIRST: Duration = Duration::from_secs(2);

/// ...and at most this long, which is how long a peer that is back may wait.
const AGAIN_RARELY: Duration = Duration::from_secs(60);

/// Peers that are not drawn for a while; those whose time ends first are dropped first.
const MAX_AVOIDED: usize = 256;

/// Limit of the messages of a linked peer: many times what beats need.
const MESSAGES: Rate = Rate { burst: 64, every: Duration::from_millis(50) };

/// Limit of the answers to all peers without a link.
const STRANGERS: Rate = Rate { burst: 64, every: Duration::from_millis(50) };

/// What the driver must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a message.
    Send {
        /// The receiver.
        to: Peer,
        /// The message.
        message: LinkMessage,
    },
    /// Report a change of a link to the user.
    Event(Event),
    /// This peer is dead, as far as this node can see.
    Dead(Peer),
}

/// A change of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The peer.
    pub peer: Peer,
    /// Why the link exists, or existed.
    pub kind: LinkKind,
    /// The change.
    pub change: Change,
}

/// What can happen to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was opened.
    Opened,
    /// The peer accepts no more links.
    Refused,
    /// The peer did not answer the request for a link.
    Failed,
    /// Beats are not answered.
    Suspected,
    /// Beats are answered again.
    Recovered,
    /// The peer closed it.
    Closed,
    /// Its beats were not answered for too long.
    Silent,
    /// Its connection broke and no other could be made.
    Lost,
}

/// All links of a node, and those that it has asked for.
#[derive(Clone, Debug)]
pub struct Links {
    /// This node's address.
    me: SocketAddr,
    by_address: BTreeMap<SocketAddr, Link>,
    /// The peers that the user wants to be linked with, whether a link exists or not.
    wishes: BTreeMap<SocketAddr, Wish>,
    avoided: BTreeMap<SocketAddr, Avoided>,
    strangers: Bucket,
    /// Number of the last beat.
    beats: u32,
}

/// A peer with which the user wants a link.
#[derive(Clone, Copy, Debug)]
struct Wish {
    peer: Peer,
    /// When to ask again while there is no link, and the pause after that.
    next: Time,
    pause: Duration,
}

/// One link.
#[derive(Clone, Debug)]
pub struct Link {
    peer: Peer,
    kind: LinkKind,
    /// The time limit of the answer to `Open`.
    opening: Option<Time>,
    since: Time,
    /// The unanswered beat, and when it was sent.
    beat: Option<(u32, Time)>,
    /// The peer's own beat arrived meanwhile: both sides thought that it was their turn.
    crossed: bool,
    /// When the next beat is due, while none is unanswered.
    next: Time,
    missed: u8,
    /// Its connection ended: the unanswered beat tests whether another one works.
    reaching: bool,
    /// The node asked for it because of an earlier wish: no user waits for the answer.
    again: bool,
    round_trip: Option<Duration>,
    shared: Option<u32>,
    messages: Bucket,
}

/// A peer that is not drawn for a while.
#[derive(Clone, Copy, Debug)]
struct Avoided {
    until: Time,
    /// The user ended its link.
    disconnected: bool,
}

/// The user has chosen as many links as are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl Link {
    /// The linked peer.
    pub const fn peer(&self) -> Peer {
        self.peer
    }

    /// Why the link exists.
    pub const fn kind(&self) -> LinkKind {
        self.kind
    }

    /// When it began.
    pub const fn since(&self) -> Time {
        self.since
    }

    /// Beats without an echo since the last sign of life.
    pub const fn missed(&self) -> u8 {
        self.missed
    }

    /// The smoothed round trip, if it was measured.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Files that the peer claims to share.
    pub const fn shared(&self) -> Option<u32> {
        self.shared
    }

    fn event(&self, change: Change) -> Effect {
        Effect::Event(Event { peer: self.peer, kind: self.kind, change })
    }

    fn send(&self, message: LinkMessage) -> Effect {
        Effect::Send { to: self.peer, message }
    }

    /// Handles a sign of life.
    fn heard(&mut self, out: &mut Vec<Effect>) {
        if self.missed >= SUSPECT {
            out.push(self.event(Change::Recovered));
        }
        self.missed = 0;
        self.reaching = false;
    }

    fn measured(&mut self, trip: Duration) {
        self.round_trip = Some(self.round_trip.map_or(trip, |mean| (mean * 7 + trip) / 8));
    }

    /// When the driver must call [`Links::tick`] for this link.
    fn due(&self) -> Time {
        match (self.opening, self.beat) {
            (Some(until), _) => until,
            (None, Some((_, sent))) => sent + PERIOD,
            (None, None) => self.next,
        }
    }
}

impl Links {
    /// No links, for the node at this address.
    pub const fn new(me: SocketAddr) -> Links {
        Links {
            me,
            by_address: BTreeMap::new(),
            wishes: BTreeMap::new(),
            avoided: BTreeMap::new(),
            strangers: Bucket::new(),
            beats: 0,
        }
    }

    /// Restores the peers that the user chose before a restart.
    pub fn wish_again(&mut self, now: Time, peers: impl IntoIterator<Item = Peer>) {
        let wish = |peer: Peer| (peer.address(), Wish { peer, next: now, pause: AGAIN_FIRST });
        let others = peers.into_iter().filter(|peer| peer.address() != self.me);
        self.wishes.extend(others.take(MAX_CHOSEN).map(wish));
    }

    /// The peers that the user wants to be linked with.
    pub fn wishes(&self) -> impl Iterator<Item = Peer> {
        self.wishes.values().map(|wish| wish.peer)
    }

    /// The open links, by address.
    pub fn open(&self) -> impl Iterator<Item = &Link> {
        self.by_address.values().filter(|link| link.opening.is_none())
    }

    /// Whether there is a link with the peer at this address.
    pub fn is_open(&self, address: SocketAddr) -> bool {
        self.by_address.get(&address).is_some_and(|link| link.opening.is_none())
    }

    /// How many random links are missing.
    pub fn lacking(&self) -> usize {
        RANDOM.saturating_sub(self.count(LinkKind::Random))
    }

    /// When [`Links::tick`] has something to do.
    pub fn due(&self) -> Option<Time> {
        let waiting = self.wishes.iter().filter(|(at, _)| !self.by_address.contains_key(at));
        let again = waiting.map(|(_, wish)| wish.next);
        self.by_address.values().map(Link::due).chain(again).min()
    }

    /// Asks for the random links that are missing, from candidates in random order.
    pub fn draw(&mut self, now: Time, candidates: &[Peer], out: &mut Vec<Effect>) {
        self.avoided.retain(|_, avoided| avoided.until > now);
        let mut lacking = self.lacking();
        for &peer in candidates {
            if lacking == 0 {
                return;
            }
            let address = peer.address();
            let fits = address != self.me
                && !self.by_address.contains_key(&address)
                && !self.wishes.contains_key(&address)
                && !self.avoided.contains_key(&address);
            if fits {
                self.ask(now, peer, LinkKind::Random, out);
                lacking -= 1;
            }
        }
    }

    /// Asks for a link because the user wants it. Returns whether it exists already; if
    /// not, an event reports the answer.
    pub fn connect(&mut self, now: Time, peer: Peer, out: &mut Vec<Effect>) -> Result<bool, Full> {
        let address = peer.address();
        self.avoided.remove(&address);
        let asked = |link: &&Link| {
            link.kind == LinkKind::Chosen && !self.wishes.contains_key(&link.peer.address())
        };
        let chosen = self.wishes.len() + self.by_address.values().filter(asked).count();
        let known = self.wishes.contains_key(&address)
            || self.by_address.get(&address).is_some_and(|link| link.kind == LinkKind::Chosen);
        if !known && chosen >= MAX_CHOSEN {
            return Err(Full);
        }
        let Some(link) = self.by_address.get_mut(&address) else {
            self.ask(now, peer, LinkKind::Chosen, out);
            return Ok(false);
        };
        if link.opening.is_none() {
            link.kind = LinkKind::Chosen;
            self.wishes.insert(address, Wish { peer, next: now, pause: AGAIN_FIRST });
            return Ok(true);
        }
        if link.kind != LinkKind::Chosen || link.again {
            (link.kind, link.again) = (LinkKind::Chosen, false);
            // A peer may accept a chosen link where it would refuse a random one.
            out.push(link.send(LinkMessage::Open { chosen: true }));
        }
        Ok(false)
    }

    /// Ends the link with the peer at this address, or the wish for one, for the user;
    /// `None` when there is neither.
    pub fn disconnect(
        &mut self,
        now: Time,
        address: SocketAddr,
        out: &mut Vec<Effect>,
    ) -> Option<Peer> {
        let wish = self.wishes.remove(&address);
        let link = self.by_address.remove(&address);
        let peer = link.map(|link| link.peer).or(wish.map(|wish| wish.peer))?;
        out.push(Effect::Send { to: peer, message: LinkMessage::Unwanted });
        self.avoid(address, now + DISCONNECTED_PAUSE, true);
        Some(peer)
    }

    /// Ends all links, because the node leaves its ring. Chosen links belong to no ring:
    /// unless the node ends, it asks for them again.
    pub fn close(&mut self, now: Time, out: &mut Vec<Effect>) {
        for link in std::mem::take(&mut self.by_address).into_values() {
            out.push(link.send(LinkMessage::Close));
        }
        self.wishes.values_mut().for_each(|wish| wish.next = wish.next.max(now + AGAIN_FIRST));
    }

    /// Handles a message of a peer. `shared` is how many files this node shares.
    pub fn received(
        &mut self,
        now: Time,
        from: Peer,
        message: LinkMessage,
        shared: u32,
        out: &mut Vec<Effect>,
    ) {
        let address = from.address();
        if address == self.me {
            return;
        }
        let Some(link) = self.by_address.get_mut(&address) else {
            return self.stranger(now, from, message, out);
        };
        if !link.messages.take(now, MESSAGES) {
            return;
        }
        link.peer = from;
        match message {
            LinkMessage::Open { .. } => {
                link.heard(out);
                out.push(link.send(LinkMessage::Accept));
                link.opened(now, PERIOD, out);
                self.fulfil(now, address);
            }
            LinkMessage::Accept => {
                link.heard(out);
                link.opened(now, Duration::ZERO, out);
                self.fulfil(now, address);
            }
            LinkMessage::Refuse => {
                // Has no meaning once the link is open.
                if link.opening.is_some() {
                    if !link.again {
                        out.push(link.event(Change::Refused));
                    }
                    self.by_address.remove(&address);
                    self.avoid(address, now + REFUSED_PAUSE, false);
                }
            }
            LinkMessage::Close => self.closed(now, address, out),
            LinkMessage::Unwanted => {
                self.wishes.remove(&address);
                link.reaching = false;
                self.closed(now, address, out);
            }
            LinkMessage::Beat { number, shared: theirs } => {
                // The peer considers the link open, so its answer to the request was yes,
                // and is on its way or lost.
                link.opened(now, PERIOD, out);
                link.heard(out);
                link.shared = Some(theirs);
                out.push(link.send(LinkMessage::Echo { number, shared }));
                if link.beat.is_none() {
                    link.next = now + PERIOD;
                } else {
                    link.crossed = true;
                }
                self.fulfil(now, address);
            }
            LinkMessage::Echo { number, shared: theirs } => {
                if link.opening.is_some() {
                    return;
                }
                link.heard(out);
                link.shared = Some(theirs);
                if let Some((_, sent)) = link.beat.filter(|(asked, _)| *asked == number) {
                    link.measured(now.since(sent));
                    link.beat = None;
                    // If both beat at the same time, the smaller address goes first.
                    let first = link.crossed && self.me < address;
                    link.next = now + PERIOD + if first { Duration::ZERO } else { TURN };
                }
            }
        }
    }

    /// Handles the end of the last connection to this address, or the failure to make one.
    pub fn gone(&mut self, now: Time, address: SocketAddr, shared: u32, out: &mut Vec<Effect>) {
        let Some(link) = self.by_address.get_mut(&address) else { return };
        if link.opening.is_some() {
            return self.fails(now, address, Change::Failed, out);
        }
        if link.reaching {
            return self.fails(now, address, Change::Lost, out);
        }
        link.reaching = true;
        beat(&mut self.beats, link, now, shared, out);
    }

    /// Sends the beats that are due, and counts those that were not answered.
    pub fn tick(&mut self, now: Time, shared: u32, out: &mut Vec<Effect>) {
        let soon = now + TOGETHER;
        let mut failed = Vec::new();
        for (&address, link) in &mut self.by_address {
            match (link.opening, link.beat) {
                (Some(until), _) if until <= now => failed.push((address, Change::Failed)),
                (Some(_), _) => {}
                (None, Some((_, sent))) if sent + PERIOD <= now => {
                    link.missed += 1;
                    if link.missed >= DEAD {
                        failed.push((address, Change::Silent));
                        continue;
                    }
                    if link.missed == SUSPECT {
                        out.push(link.event(Change::Suspected));
                    }
                    beat(&mut self.beats, link, now, shared, out);
                }
                (None, None) if link.next <= soon => {
                    beat(&mut self.beats, link, now, shared, out);
                }
                (None, _) => {}
            }
        }
        for (address, change) in failed {
            self.fails(now, address, change, out);
        }
        for (&address, wish) in &mut self.wishes {
            if wish.next <= now && !self.by_address.contains_key(&address) {
                wish.next = now + wish.pause;
                wish.pause = (wish.pause * 2).min(AGAIN_RARELY);
                let mut link = Link::asked_for(now, wish.peer, LinkKind::Chosen);
                link.again = true;
                // A peer that ended such a link a short time ago need not accept it again.
                out.push(link.send(LinkMessage::Open { chosen: false }));
                self.by_address.insert(address, link);
            }
        }
    }

    /// Handles an open link: if the user chose it, it is wanted from now on.
    fn fulfil(&mut self, now: Time, address: SocketAddr) {
        let Some(link) = self.by_address.get_mut(&address) else { return };
        if self.wishes.contains_key(&address) {
            link.kind = LinkKind::Chosen;
        }
        if link.kind == LinkKind::Chosen && link.opening.is_none() {
            let wish = Wish { peer: link.peer, next: now, pause: AGAIN_FIRST };
            self.wishes.insert(address, wish);
        }
    }

    /// Handles the loss of a link: if the user chose it, the node asks for it again later.
    fn gone_for_now(&mut self, now: Time, address: SocketAddr) {
        if let Some(wish) = self.wishes.get_mut(&address) {
            wish.next = wish.next.max(now + AGAIN_FIRST);
        }
    }

    fn count(&self, kind: LinkKind) -> usize {
        self.by_address.values().filter(|link| link.kind == kind).count()
    }

    fn ask(&mut self, now: Time, peer: Peer, kind: LinkKind, out: &mut Vec<Effect>) {
        let link = Link::asked_for(now, peer, kind);
        out.push(link.send(LinkMessage::Open { chosen: kind == LinkKind::Chosen }));
        self.by_address.insert(peer.address(), link);
    }

    /// Handles a message of a peer without a link.
    fn stranger(&mut self, now: Time, from: Peer, message: LinkMessage, out: &mut Vec<Effect>) {
        let address = from.address();
        let answer = match message {
            LinkMessage::Open { chosen } => {
                if !self.may_open(now, address, chosen) {
                    LinkMessage::Refuse
                } else if self.strangers.take(now, STRANGERS) {
                    self.avoided.remove(&address);
                    let wished = self.wishes.contains_key(&address);
                    let kind = if wished { LinkKind::Chosen } else { LinkKind::Incoming };
                    let mut link = Link::asked_for(now, from, kind);
                    out.push(link.send(LinkMessage::Accept));
                    link.opened(now, PERIOD, out);
                    self.by_address.insert(address, link);
                    return self.fulfil(now, address);
                } else {
                    return;
                }
            }
            // The peer uses a link that no longer exists.
            LinkMessage::Beat { .. } | LinkMessage::Accept => LinkMessage::Close,
            LinkMessage::Unwanted => {
                self.wishes.remove(&address);
                return;
            }
            LinkMessage::Echo { .. } | LinkMessage::Refuse | LinkMessage::Close => return,
        };
        if self.strangers.take(now, STRANGERS) {
            out.push(Effect::Send { to: from, message: answer });
        }
    }

    fn may_open(&self, now: Time, address: SocketAddr, chosen: bool) -> bool {
        let incoming = self.count(LinkKind::Incoming);
        if chosen {
            return incoming < MAX_INCOMING;
        }
        let unwanted = |avoided: &Avoided| avoided.disconnected && avoided.until > now;
        incoming < MAX_INCOMING - INCOMING_FOR_CHOSEN
            && !self.avoided.get(&address).is_some_and(unwanted)
    }

    /// Handles a peer that closed the link, or does not know it.
    fn closed(&mut self, now: Time, address: SocketAddr, out: &mut Vec<Effect>) {
        let Some(link) = self.by_address.remove(&address) else { return };
        if link.reaching && link.kind != LinkKind::Incoming {
            // It is a process that was just started at that address: this side has the link
            // already, only the new process does not know it.
            return self.ask(now, link.peer, link.kind, out);
        }
        let change = if link.opening.is_some() { Change::Refused } else { Change::Closed };
        if !link.again || change == Change::Closed {
            out.push(link.event(change));
        }
        self.gone_for_now(now, address);
        self.avoid(address, now + REFUSED_PAUSE, false);
    }

    fn fails(&mut self, now: Time, address: SocketAddr, change: Change, out: &mut Vec<Effect>) {
        let Some(link) = self.by_address.remove(&address) else { return };
        if !link.again || link.opening.is_none() {
            out.push(link.event(change));
            out.push(Effect::Dead(link.peer));
        }
        self.gone_for_now(now, address);
        self.avoid(address, now + DEAD_PAUSE, false);
    }

    fn avoid(&mut self, address: SocketAddr, until: Time, disconnected: bool) {
        if self.avoided.len() >= MAX_AVOIDED
            && !self.avoided.contains_key(&address)
            && let Some(first) = self.avoided.iter().min_by_key(|(_, a)| a.until).map(|(a, _)| *a)
        {
            self.avoided.remove(&first);
        }
        self.avoided.insert(address, Avoided { until, disconnected });
    }
}

impl Link {
    fn asked_for(now: Time, peer: Peer, kind: LinkKind) -> Link {
        Link {
            peer,
            kind,
            opening: Some(now + OPEN_LIMIT),
            since: now,
            beat: None,
            crossed: false,
            next: now,
            missed: 0,
            reaching: false,
            again: false,
            round_trip: None,
            shared: None,
            messages: Bucket::new(),
        }
    }

    /// Opens a link that both sides know now. The first beat is due after `beat_in`.
    fn opened(&mut self, now: Time, beat_in: Duration, out: &mut Vec<Effect>) {
        if self.opening.take().is_some() {
            self.since = now;
            self.next = now + beat_in;
            out.push(self.event(Change::Opened));
        }
    }
}

fn beat(beats: &mut u32, link: &mut Link, now: Time, shared: u32, out: &mut Vec<Effect>) {
    *beats = beats.wrapping_add(1);
    link.beat = Some((*beats, now));
    link.crossed = false;
    out.push(link.send(LinkMessage::Beat { number: *beats, shared }));
}
