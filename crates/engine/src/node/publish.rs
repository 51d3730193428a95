//! What the dashboard gets to see: snapshots, when something changed, and
//! events.
//!
//! The dashboard never slows the node down: the latest snapshot replaces the
//! one before, and an event that does not fit into the channel is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use chordal_core::chord::invariant::Members;
use chordal_core::chord::{self, Notice, Reply, Ticket};
use chordal_core::id::Id;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;
use chordal_core::record::PassedOver;
use chordal_core::time::Time;
use chordal_view::event_text::describe;
use chordal_view::state::Facts;
use chordal_view::{
    CensusState, FileRow, Files, Health, Hop, Level, Liveness, LookupRow, Member, Membership,
    Neighbour, Snapshot, State, Step, Traffic, UiEvent,
};

use crate::client::user::User;
use crate::clock::Clock;
use crate::inputs::event_coalescer::Notices;
use crate::inputs::ui_rows::same_trip;
use crate::net::links::Links;
use crate::overlay::remembered;

/// Snapshots come at most this often: a person sees no more, and building one
/// for every message would cost more than the protocol.
const SPACING: Duration = Duration::from_millis(40);

/// While bytes move, their counts change this often.
const PROGRESS: Duration = Duration::from_millis(250);

/// While a ring is not settled, this often is looked whether it is now.
const SETTLING: Duration = Duration::from_millis(500);

/// Round trips change with every answer; this often the picture follows.
const CALM: Duration = Duration::from_secs(2);

/// A list of files this long is not built again for every change.
const MANY_FILES: usize = 2_000;
const MANY_FILES_SPACING: Duration = Duration::from_secs(1);

/// How long a member that died or left is still shown, as one that does not
/// answer.
const GHOST: Duration = Duration::from_secs(8);

/// How long a member that vanished without a word is still named where files are
/// missed: longer than a restart takes, and than a person needs to look.
const BLAMED: Duration = Duration::from_secs(10 * 60);

/// Members that vanished and are remembered.
const VANISHED_AT_MOST: usize = 64;

/// How long the departure of a host is news once: it may have many places.
const DEPARTED: Duration = Duration::from_secs(20);

/// How long the same warning about a stranger is not told again.
const REPEAT: Duration = Duration::from_secs(60);

/// Different warnings about strangers that are told within this time.
const WARNED_AT_MOST: usize = 20;

/// Copies that no node can store that are remembered, so that each is told once; beyond it
/// they are told again.
const STUCK_AT_MOST: usize = 4_096;

/// Collects what changed and publishes it.
pub(crate) struct Publisher {
    snapshots: watch::Sender<Arc<Snapshot>>,
    events: mpsc::Sender<UiEvent>,
    started: Instant,
    clock: Clock,
    /// When the next snapshot is due; `None`: nothing changed.
    due: Option<Instant>,
    published: Instant,
    dropped: u64,
    files_changed: bool,
    files_built: Instant,
    /// The shared ones among the files published last.
    shared_files: Arc<Vec<FileRow>>,
    lookup: Option<(Ticket, LookupRow)>,
    lookups: u64,
    ghosts: BTreeMap<Peer, Instant>,
    /// Members that do not answer any more, and since when.
    vanished: BTreeMap<Peer, Instant>,
    /// Hosts that left in order, and when.
    departed: BTreeMap<SocketAddr, Instant>,
    traffic: (Instant, Traffic),
    remember_at: Option<Instant>,
    /// Whether a member of this node's ring is remembered: the first one is at once.
    remembers: bool,
    bursts: Notices,
    /// What strangers caused lately.
    warned: Vec<(Instant, String)>,
    /// Copies of which it was told that no node can store them, and who
    /// cannot.
    stuck: BTreeSet<(FileName, Peer)>,
    health: Health,
}

impl Publisher {
    pub(crate) fn new(
        snapshots: watch::Sender<Arc<Snapshot>>,
        events: mpsc::Sender<UiEvent>,
        started: Instant,
        clock: Clock,
    ) -> Publisher {
        Publisher {
            snapshots,
            events,
            started,
            clock,
            due: Some(started),
            published: started,
            dropped: 0,
            files_changed: true,
            files_built: started,
            shared_files: Arc::default(),
            lookup: None,
            lookups: 0,
            ghosts: BTreeMap::new(),
            vanished: BTreeMap::new(),
            departed: BTreeMap::new(),
            traffic: (started, Traffic::default()),
            remember_at: None,
            remembers: false,
            bursts: Notices::default(),
            warned: Vec::new(),
            stuck: BTreeSet::new(),
            health: Health::UNSEEN,
        }
    }

    /// These were members when the node ran last, and have not been heard yet.
    pub(crate) fn unheard(&mut self, peers: &[Peer]) {
        for peer in peers {
            self.vanish(*peer, self.started);
        }
    }

    /// The members that vanished lately and without a word.
    pub(crate) fn vanished(&self, core: &chord::Host) -> Vec<Peer> {
        let known = core.members().0;
        let lately = self.vanished.iter().filter(|(_, since)| since.elapsed() < BLAMED);
        let peers = lately.map(|(peer, _)| *peer);
        peers.filter(|peer| !known.contains(peer) && !core.has_departed(*peer)).collect()
    }

    fn vanish(&mut self, peer: Peer, now: Instant) {
        if self.vanished.len() >= VANISHED_AT_MOST && !self.vanished.contains_key(&peer) {
            let oldest = self.vanished.iter().min_by_key(|(_, since)| **since);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.vanished.remove(&oldest);
            }
        }
        self.vanished.insert(peer, now);
    }

    /// When the publisher wants to be called next.
    pub(crate) fn due(&self) -> Option<Instant> {
        [self.due, self.remember_at, self.bursts.due()].into_iter().flatten().min()
    }

    /// Something visible changed.
    pub(crate) fn touch(&mut self) {
        self.want(self.published + SPACING);
    }

    /// A peer answered: its round trip changed, which can wait.
    pub(crate) fn heard(&mut self) {
        self.want(self.published + CALM);
    }

    /// An owner compared what it holds with what is held here, and said how many
    /// copies there are.
    pub(crate) fn copies_counted(&mut self) {
        self.files_changed = true;
        self.touch();
    }

    /// Puts a line into the events panel.
    pub(crate) fn event(&mut self, level: Level, text: String) {
        self.line(level, None, text);
    }

    /// The same, with the step of the protocol behind it.
    pub(crate) fn step(&mut self, step: Step, level: Level, text: String) {
        self.line(level, Some(step), text);
    }

    fn line(&mut self, level: Level, step: Option<Step>, text: String) {
        let event = UiEvent { unix_ms: self.clock.unix_ms(), level, step, text: clean(text) };
        if self.events.try_send(event).is_err() {
            self.dropped += 1;
            self.touch();
        }
    }

    /// A warning about a program that this node does not control, which may cause
    /// it again and again: within a while the same one is told once.
    pub(crate) fn stranger(&mut self, text: String, now: Instant) {
        self.warned.retain(|(at, _)| now.saturating_duration_since(*at) < REPEAT);
        if self.warned.len() >= WARNED_AT_MOST || self.warned.iter().any(|(_, old)| *old == text) {
            return;
        }
        self.warned.push((now, text.clone()));
        self.event(Level::Warn, text);
    }

    /// Takes in what the core noticed, and tells it.
    pub(crate) fn noticed(&mut self, notice: &Notice, core: &chord::Host, user: &User) {
        let now = Instant::now();
        if self.is_news(notice) && self.bursts.shows(notice, now) {
            let (level, step, text) = describe(notice, core.params().space);
            self.line(level, Some(step), text);
        }
        match notice {
            Notice::Dropped(peer) => {
                self.ghosts.insert(*peer, now + GHOST);
                self.vanish(*peer, now);
            }
            Notice::Departed(peer) => {
                self.ghosts.remove(peer);
                self.remember_at.get_or_insert(now + remembered::DELAY);
            }
            Notice::Hop { key, asked } => {
                if let Some((_, row)) = &mut self.lookup
                    && row.key == *key
                    && row.owner.is_none()
                {
                    row.hops.push(Hop { peer: *asked, micros: None });
                }
            }
            Notice::Copies { .. } | Notice::Kept(_) | Notice::Given(_) => self.files_changed = true,
            Notice::Predecessor { .. } => self.files_changed = true,
            Notice::Successors(_) | Notice::Joined { .. } => {
                self.files_changed = true;
                let delay = if self.remembers { remembered::DELAY } else { Duration::ZERO };
                let at = now + delay;
                self.remember_at = Some(self.remember_at.map_or(at, |before| before.min(at)));
            }
            Notice::Alone => self.remembers = false,
            Notice::Left => {
                self.remembers = false;
                self.ghosts.clear();
                self.files_changed = true;
                if !user.departure.is_last() {
                    self.remember_at = None;
                    user.overlay.peers.forget();
                }
            }
            _ => {}
        }
        if core.membership() != chord::Membership::New {
            self.touch();
        }
    }

    /// The tables of a position besides the first one changed: files may have
    /// another role now.
    pub(crate) fn moved(&mut self, notice: &Notice, position: Option<Peer>, core: &chord::Host) {
        let space = core.params().space;
        if let (Notice::Joined { .. }, Some(peer)) = (notice, position) {
            let (id, at, of) = (space.show(peer.id(space)), core.positions().len(), core.vnodes());
            let text = format!("this node holds place {id} ({peer}) as well: {at} of {of}");
            self.line(Level::Info, Some(Step::Joined), text);
        }
        if let Notice::Renamed { .. } = notice {
            let (level, step, text) = describe(notice, space);
            self.line(level, Some(step), text);
        }
        self.files_changed = true;
        self.touch();
    }

    /// Whether a notice tells something new: a full node is tried again now and
    /// then, and it does not help to hear each time that no other one is there.
    fn is_news(&mut self, notice: &Notice) -> bool {
        match notice {
            Notice::Departed(peer) => {
                let now = Instant::now();
                self.departed.retain(|_, at| now.saturating_duration_since(*at) < DEPARTED);
                self.departed.insert(peer.address(), now).is_none()
            }
            Notice::PassedOver { name, over: PassedOver { peer, stand_in: None, .. } } => {
                if self.stuck.len() >= STUCK_AT_MOST {
                    self.stuck.clear();
                }
                self.stuck.insert((name.clone(), *peer))
            }
            Notice::Copies { name, copies, wanted, .. } if copies >= wanted => {
                self.stuck.retain(|(stuck, _)| stuck != name);
                true
            }
            // There may be room now.
            Notice::Successors(_) => {
                self.stuck.clear();
                true
            }
            _ => true,
        }
    }

    /// A lookup that a user watches begins.
    pub(crate) fn lookup_begins(&mut self, ticket: Ticket, text: String, key: Id) {
        self.lookups += 1;
        let row = LookupRow { number: self.lookups, text, key, hops: Vec::new(), owner: None };
        self.lookup = Some((ticket, row));
        self.touch();
    }

    /// A command ended; when it is the watched lookup, the picture gets its
    /// hops with their times.
    pub(crate) fn lookup_ends(&mut self, ticket: Ticket, reply: &Reply) {
        if let (Some((watched, row)), Reply::Found(found)) = (&mut self.lookup, reply)
            && *watched == ticket
        {
            row.owner = Some(found.owner);
            row.hops = found.hops.iter().copied().map(Hop::from).collect();
            self.touch();
        }
    }

    /// Publishes when it is time to.
    pub(crate) fn publish_if_due(
        &mut self,
        now: Instant,
        core: &chord::Host,
        links: &Links,
        user: &User,
    ) {
        if self.remember_at.is_some_and(|at| at <= now) {
            self.remember_at = None;
            self.remembers |= user.overlay.peers.save(core, || {});
        }
        for (level, text) in
            self.bursts.tell(now).into_iter().chain(user.data.notes.demand.tell(now))
        {
            self.event(level, text);
        }
        if self.due.is_some_and(|at| at <= now) {
            self.publish_now(now, core, links, user);
        }
    }

    /// Publishes if the picture differs from the one before.
    pub(crate) fn publish_now(
        &mut self,
        now: Instant,
        core: &chord::Host,
        links: &Links,
        user: &User,
    ) {
        self.due = None;
        self.published = now;
        let before = self.snapshots.borrow().clone();
        let mut after = self.snapshot(now, core, links, user, &before);
        let passes = matches!(after.state, State::Converging { .. } | State::CutOff { .. });
        if user.data.transfers.any_running() {
            self.want(now + PROGRESS);
        } else if passes {
            // Time alone changes it.
            self.want(now + SETTLING);
        } else if !self.ghosts.is_empty() || !after.transfers.is_empty() {
            self.want(now + CALM);
        }
        if differs(&before, &mut after) {
            self.snapshots.send_replace(Arc::new(after));
        }
    }

    fn want(&mut self, at: Instant) {
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn snapshot(
        &mut self,
        now: Instant,
        core: &chord::Host,
        links: &Links,
        user: &User,
        before: &Snapshot,
    ) -> Snapshot {
        let neighbour = |peer: Peer| Neighbour {
            peer,
            rtt_us: links.round_trip(peer.address()).map(|trip| trip.as_micros() as u64),
            liveness: links.liveness(peer.address()),
        };
        let rows = user.data.notes.ui_rows.rows();
        let seen = Snapshot::of(core.first(), neighbour);
        let (known, _) = core.members();
        let health = self.health(core, &known);
        let files = self.files(now, core, &rows.shared, before);
        let members = self.members(now, &known, core, links, &before.members);
        let sick_disk = user.data.disk.shown();
        let now_seen = Seen {
            members: &members,
            known: &known,
            health,
            files: &files,
            sick_disk: sick_disk.is_some(),
        };
        let state = self.state(now, core, seen.census, &now_seen);
        Snapshot {
            uptime_ms: now.saturating_duration_since(self.started).as_millis() as u64,
            positions: core.positions(),
            members,
            files,
            peers: rows.peers,
            registries: rows.registries.into_values().collect(),
            search: rows.search,
            scan: rows.scan,
            sharing: rows.sharing,
            transfers: user.data.transfers.rows(),
            limits: user.data.limits.rates(),
            health,
            state,
            lookup: self.lookup.as_ref().map(|(_, row)| row.clone()),
            traffic: self.traffic(now, user),
            handing_over: rows.handing_over,
            events_dropped: self.dropped,
            sick_disk,
            ..seen
        }
    }

    fn members(
        &mut self,
        now: Instant,
        known: &[Peer],
        core: &chord::Host,
        links: &Links,
        before: &[Member],
    ) -> Vec<Member> {
        // Only the loss of a direct neighbour makes a notice; others vanish
        // from the lists. Where these hold all members, those that vanished are gone.
        let member = core.membership() == chord::Membership::Member;
        if member && known.len() <= core.config().successors {
            let gone = |m: &&Member| !known.contains(&m.peer) && !core.has_departed(m.peer);
            for Member { peer, .. } in before.iter().filter(gone) {
                if !self.ghosts.contains_key(peer) {
                    self.ghosts.insert(*peer, now + GHOST);
                    self.vanish(*peer, now);
                }
            }
        }
        // A neighbour's list may bring a dead peer back for a moment: only its
        // own answer does so for good.
        let lives = |ghost: &Peer| links.liveness(ghost.address()) == Liveness::Up;
        self.ghosts.retain(|ghost, until| *until > now && !(known.contains(ghost) && lives(ghost)));
        let gone = self.ghosts.keys().filter(|ghost| !known.contains(ghost));
        let me = core.peer();
        let mut members: Vec<Member> = known
            .iter()
            .map(|&peer| Member {
                peer,
                liveness: if peer.address() == me.address() {
                    Liveness::Up
                } else {
                    links.liveness(peer.address())
                },
            })
            .chain(gone.map(|&peer| Member { peer, liveness: Liveness::Dead }))
            .collect();
        let space = core.params().space;
        members.sort_by_key(|member| (member.peer.id(space), member.peer));
        members
    }

    /// Zave's properties over what the census has seen of every member; until
    /// it has seen all of them, the last result stands.
    fn health(&mut self, core: &chord::Host, known: &[Peer]) -> Health {
        let states = core.observed();
        let seen = |peer: &Peer| states.iter().any(|state| state.peer == *peer);
        if known.iter().all(seen) {
            self.health = Health::of(&Members::new(core.params().space, &states).report());
        }
        self.health
    }

    /// How this node and its ring fare.
    fn state(
        &self,
        now: Instant,
        core: &chord::Host,
        census: CensusState,
        seen: &Seen<'_>,
    ) -> State {
        let micros = now.saturating_duration_since(self.started).as_micros();
        let time = Time::from_micros(micros as u64);
        let states = core.observed();
        let heard = |peer: &&Peer| states.iter().any(|state| state.peer == **peer);
        let silent = seen
            .members
            .iter()
            .filter(|member| member.liveness != Liveness::Up && seen.known.contains(&member.peer));
        State::of(&Facts {
            membership: Membership::of(core.first()),
            sick_disk: seen.sick_disk,
            missing: core.cut_off(time).map(|missing| missing as u64),
            seen: match census {
                CensusState::Estimate(nodes) => nodes,
                CensusState::Complete | CensusState::Partial => seen.known.len() as u64,
            },
            unheard: match census {
                // Of a ring that is too large to walk only a part is known.
                CensusState::Estimate(_) => 0,
                _ => seen.known.iter().filter(|peer| !heard(peer)).count() as u64,
            },
            silent: silent.count() as u64,
            settled: core.is_settled(time) && census != CensusState::Partial,
            shrinking: core.missed(time) > 0,
            health: seen.health,
            successors_max: core.config().successors,
            files: seen.files.unwell().total() as u64,
        })
    }

    fn files(
        &mut self,
        now: Instant,
        core: &chord::Host,
        shared: &Arc<Vec<FileRow>>,
        before: &Snapshot,
    ) -> Arc<Files> {
        if !self.files_changed && Arc::ptr_eq(shared, &self.shared_files) {
            return Arc::clone(&before.files);
        }
        let wait =
            if before.files.len() > MANY_FILES { MANY_FILES_SPACING } else { Duration::ZERO };
        if now.saturating_duration_since(self.files_built) < wait {
            self.want(self.files_built + wait);
            return Arc::clone(&before.files);
        }
        self.files_changed = false;
        self.files_built = now;
        self.shared_files = Arc::clone(shared);
        let mut rows = FileRow::all(&core.files_held(), core.params().space);
        if !shared.is_empty() {
            rows.extend(shared.iter().cloned());
            rows.sort_by(|a, b| (&a.name, a.role).cmp(&(&b.name, b.role)));
        }
        Arc::new(rows.into())
    }

    fn traffic(&mut self, now: Instant, user: &User) -> Traffic {
        let up_total = user.data.net.counters.up.load(Ordering::Relaxed);
        let down_total = user.data.net.counters.down.load(Ordering::Relaxed);
        let (at, last) = self.traffic;
        let span = now.saturating_duration_since(at);
        if span < PROGRESS {
            return last;
        }
        let rate =
            |new: u64, old: u64| (new.saturating_sub(old) as f64 / span.as_secs_f64()) as u64;
        let traffic = Traffic {
            up_rate: rate(up_total, last.up_total),
            down_rate: rate(down_total, last.down_total),
            up_total,
            down_total,
        };
        self.traffic = (now, traffic);
        traffic
    }
}

/// What the state of a ring is judged by.
struct Seen<'a> {
    members: &'a [Member],
    known: &'a [Peer],
    health: Health,
    files: &'a Files,
    sick_disk: bool,
}

/// The snapshot of a node that has not started yet.
pub(crate) fn first_snapshot(core: &chord::Host) -> Snapshot {
    let unknown = |peer| Neighbour { peer, rtt_us: None, liveness: Liveness::Suspect };
    let only_me = vec![Member { peer: core.peer(), liveness: Liveness::Up }];
    Snapshot {
        members: only_me,
        census: CensusState::Partial,
        ..Snapshot::of(core.first(), unknown)
    }
}

/// Whether a person would see a difference between two snapshots. What is measured
/// all the time counts only where it moved visibly; all else is compared.
fn differs(before: &Snapshot, after: &mut Snapshot) -> bool {
    if !same_neighbours(before.predecessor.as_slice(), after.predecessor.as_slice())
        || !same_neighbours(&before.successors, &after.successors)
        || before.traffic.rates() != after.traffic.rates()
    {
        return true;
    }
    let mut measured =
        (before.uptime_ms, before.predecessor, before.successors.clone(), before.traffic);
    let mut swap = |snapshot: &mut Snapshot| {
        mem::swap(&mut snapshot.uptime_ms, &mut measured.0);
        mem::swap(&mut snapshot.predecessor, &mut measured.1);
        mem::swap(&mut snapshot.successors, &mut measured.2);
        mem::swap(&mut snapshot.traffic, &mut measured.3);
    };
    swap(after);
    let same = before == after;
    swap(after);
    !same
}

fn same_neighbours(before: &[Neighbour], after: &[Neighbour]) -> bool {
    before.len() == after.len()
        && before.iter().zip(after).all(|(b, a)| {
            b.peer == a.peer && b.liveness == a.liveness && same_trip(b.rtt_us, a.rtt_us)
        })
}

/// Removes what could disturb a terminal: texts may contain words of peers.
fn clean(text: String) -> String {
    if text.chars().all(|c| !c.is_control()) {
        return text;
    }
    text.chars().map(|c| if c.is_control() { '\u{FFFD}' } else { c }).collect()
}
