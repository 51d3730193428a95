//! The server of a registry: the task that owns the list.
//!
//! It never waits for a connection: news go into bounded queues, and a node that
//! does not take them is cut off.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::net::frames;
use chordal_core::error::Absence;
use chordal_core::peer::Peer;
use chordal_core::registry::list::{Change, Check, List, NotListed, State, Why};
use chordal_core::time::Time;
use chordal_core::wire::Frame;
use chordal_core::wire::handshake::Params;
use chordal_core::wire::registry::{News, Report};
use chordal_view::{Level, Liveness, RegisteredPeer, RegistryState, Snapshot, UiEvent};

use super::watch_peer::Watcher;
use super::{RegistryHandle, saved};

/// Claimed addresses that are being looked at: more than a course that starts
/// at once, little memory.
const MAX_CLAIMS: usize = 512;

/// Snapshots come at most this often.
const SPACING: Duration = Duration::from_millis(100);

/// And at least this often: they say how long ago each check was.
const TICK: Duration = Duration::from_secs(1);

/// Changes within this time are written together.
const SAVE_DELAY: Duration = Duration::from_millis(500);

/// The same warning is told again after this.
const REPEAT: Duration = Duration::from_secs(60);

/// Warnings about strangers within that time.
const WARNINGS: usize = 20;

/// Peers that are remembered after they were taken off the list: reports of
/// their deaths are still on their way.
const GONE: usize = 64;

/// What the server reacts to.
#[derive(Debug)]
pub(super) enum Input {
    /// A node connected.
    Connected {
        /// Tells connections apart.
        number: u64,
        /// From this host.
        from: IpAddr,
        /// Where it can be reached, as it says.
        address: Option<SocketAddr>,
        /// The news for it, encoded.
        news: mpsc::Sender<Bytes>,
        /// Ends the connection.
        cut: CancellationToken,
    },
    /// A node says something.
    Report {
        /// On this connection.
        number: u64,
        /// What.
        report: Report,
    },
    /// A connection ended.
    Ended {
        /// Which.
        number: u64,
    },
    /// A peer was checked.
    Checked {
        /// Which.
        address: SocketAddr,
        /// By whom: the result of an earlier watcher is stale.
        number: u64,
        /// How it ended.
        check: Check,
    },
    /// Something that people are told.
    Event(Level, String),
    /// Save and end.
    Close,
}

/// A node that is connected.
#[derive(Debug)]
struct Node {
    from: IpAddr,
    address: Option<SocketAddr>,
    /// What it claims to be there: index and ring.
    claim: Option<(u16, Params)>,
    news: mpsc::Sender<Bytes>,
    cut: CancellationToken,
}

/// Where the list is kept.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) directory: PathBuf,
    /// Keeps other processes out.
    pub(super) _lock: chordal_store::Lock,
}

/// The state of the server.
pub(super) struct Server {
    handle: RegistryHandle,
    list: List,
    place: Place,
    started: Instant,
    nodes: BTreeMap<u64, Node>,
    /// Of every peer on the list, and of every claim that is looked at.
    watchers: BTreeMap<SocketAddr, (u64, Watcher)>,
    next_watcher: u64,
    events: mpsc::Sender<UiEvent>,
    dropped: u64,
    refused: u64,
    warned: Vec<(Instant, String)>,
    /// Peers that were taken off the list lately, the last one first.
    gone: VecDeque<Peer>,
    /// Peers reported dead since they answered last: each of their neighbours
    /// reports it.
    mourned: VecDeque<Peer>,
    /// When the list is to be written; `None`: it is.
    save_at: Option<Instant>,
    saving: Option<JoinHandle<()>>,
    changed: bool,
}

impl Server {
    pub(super) fn new(
        handle: RegistryHandle,
        list: List,
        place: Place,
        started: Instant,
        events: mpsc::Sender<UiEvent>,
    ) -> Server {
        Server {
            handle,
            list,
            place,
            started,
            nodes: BTreeMap::new(),
            watchers: BTreeMap::new(),
            next_watcher: 0,
            events,
            dropped: 0,
            refused: 0,
            warned: Vec::new(),
            gone: VecDeque::new(),
            mourned: VecDeque::new(),
            save_at: None,
            saving: None,
            changed: true,
        }
    }

    /// Runs until [`Input::Close`] or until the registry is stopped.
    pub(super) async fn run(
        mut self,
        mut inputs: mpsc::Receiver<Input>,
        snapshots: watch::Sender<Arc<Snapshot>>,
        note: Option<String>,
    ) {
        self.event(Level::Info, format!("listening on {}", self.handle.address));
        if let Some(note) = note {
            self.event(Level::Warn, note);
        }
        let saved: Vec<SocketAddr> = self.list.entries().map(|e| e.listed.address).collect();
        if !saved.is_empty() {
            let text = format!("{} peers are on the list from before: checking them", saved.len());
            self.event(Level::Info, text);
        }
        for address in saved {
            self.watch(address, false);
        }
        let mut published = self.started;
        loop {
            let show_at = published + if self.changed { SPACING } else { TICK };
            let wake = self.save_at.map_or(show_at, |save_at| save_at.min(show_at));
            tokio::select! {
                biased;
                () = self.handle.stop.cancelled() => return,
                input = inputs.recv() => match input {
                    Some(Input::Close) | None => break,
                    Some(input) => self.take(input),
                },
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            let now = Instant::now();
            if now >= published + if self.changed { SPACING } else { TICK } {
                self.changed = false;
                published = now;
                snapshots.send_replace(Arc::new(self.snapshot()));
            }
            let idle = self.saving.as_ref().is_none_or(JoinHandle::is_finished);
            if self.save_at.is_some_and(|save_at| now >= save_at) {
                if idle {
                    self.save_at = None;
                    self.saving = self.save();
                } else {
                    self.save_at = Some(now + SAVE_DELAY);
                }
            }
        }
        // The newest list is the last to be written.
        if let Some(saving) = self.saving.take() {
            let _ = saving.await;
        }
        if let Some(saving) = self.save() {
            let _ = saving.await;
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Connected { number, from, address, news, cut } => {
                self.nodes.insert(number, Node { from, address, claim: None, news, cut });
                self.changed = true;
            }
            Input::Report { number, report } => self.reported(number, report),
            Input::Ended { number } => {
                self.nodes.remove(&number);
                self.changed = true;
            }
            Input::Checked { address, number, check } => {
                if self.watchers.get(&address).is_some_and(|(current, _)| *current == number) {
                    self.checked(address, check);
                }
            }
            Input::Event(level, text) => self.event(level, text),
            Input::Close => {}
        }
    }

    fn reported(&mut self, number: u64, report: Report) {
        match report {
            Report::Connect { index, params, member: _ } => self.connect(number, index, params),
            Report::Leave => self.leave(number),
            Report::Dead { peer, unix_ms } => self.reported_dead(number, peer, unix_ms),
            Report::List => self.send_list(number),
            Report::Pong => {}
        }
    }

    /// A node wants to be on the list: it is looked at where it says it is.
    /// Whether it is a member it says there as well.
    fn connect(&mut self, number: u64, index: u16, params: Params) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let first = node.claim.is_none();
        let (from, address) = (node.from, node.address);
        node.claim = Some((index, params));
        if let Err(why) = self.look_at(from, address) {
            let address = address.map_or_else(|| "a node".to_owned(), |at| at.to_string());
            self.refuse(format!("{address} from host {from} is not listed: {why}"));
        }
        if first {
            self.send_list(number);
        }
    }

    fn look_at(&mut self, from: IpAddr, address: Option<SocketAddr>) -> Result<(), NotListed> {
        let address = address.ok_or(NotListed::NoAddress)?;
        self.list.admits(address)?;
        if address == self.handle.address {
            return Err(NotListed::Itself);
        }
        if address.ip().is_loopback() && !from.is_loopback() {
            return Err(NotListed::Loopback);
        }
        if let Some((_, watcher)) = self.watchers.get(&address) {
            watcher.nudge();
            return Ok(());
        }
        let claims = self.watchers.len().saturating_sub(self.list.entries().count());
        if claims >= MAX_CLAIMS {
            return Err(NotListed::Busy);
        }
        self.watch(address, true);
        Ok(())
    }

    fn watch(&mut self, address: SocketAddr, claimed: bool) {
        let number = self.next_watcher;
        self.next_watcher += 1;
        let watcher = Watcher::start(&self.handle, address, number, claimed);
        self.watchers.insert(address, (number, watcher));
    }

    fn leave(&mut self, number: u64) {
        let Some(node) = self.nodes.get_mut(&number) else { return };
        let (Some(address), Some(_)) = (node.address, node.claim.take()) else { return };
        // Another program may have claimed the address and leave now; its own node
        // still says that it is there.
        let claimed = self.nodes.values().any(|n| n.address == Some(address) && n.claim.is_some());
        if !claimed {
            self.watchers.remove(&address);
            let change = self.list.left(address);
            self.tell(change);
        }
    }

    fn reported_dead(&mut self, number: u64, peer: Peer, unix_ms: u64) {
        let listed = self.list.accuse(peer);
        if !listed && !self.gone.contains(&peer) {
            return;
        }
        if let Some((_, watcher)) = self.watchers.get(&peer.address()) {
            watcher.nudge();
        }
        if self.mourned.contains(&peer) {
            return;
        }
        self.mourned.truncate(GONE - 1);
        self.mourned.push_front(peer);
        let by = self.nodes.get(&number).and_then(|node| node.address);
        let by = by.map_or_else(|| "a node".to_owned(), |address| address.to_string());
        // By that node's clock, which may be anything.
        let since = match Clock::default().unix_s().saturating_sub(unix_ms / 1_000) {
            0 => String::new(),
            ago => format!(" for {ago} s"),
        };
        let then = if listed { "checking it" } else { "it is off the list already" };
        self.warn(format!("{by} reports {peer} dead{since}: {then}"));
    }

    fn checked(&mut self, address: SocketAddr, check: Check) {
        self.changed = true;
        if matches!(check, Check::Alive(_)) {
            self.mourned.retain(|peer| peer.address() != address);
        }
        let listed = self.list.entry(address).is_some();
        let refused = match &check {
            _ if listed => None,
            Check::Alive(found) => {
                let as_claimed = |node: &Node| {
                    node.address == Some(address)
                        && node.claim.as_ref().is_some_and(|(index, params)| {
                            *index == found.index && *params == found.params
                        })
                };
                (!self.nodes.values().any(as_claimed))
                    .then(|| "the node there says something else of itself".to_owned())
            }
            Check::Refused => Some(Absence::Refused.to_string()),
            Check::Silent => Some(Absence::Silent.to_string()),
            Check::Stranger(why) => Some(why.clone()),
        };
        if let Some(why) = refused {
            self.watchers.remove(&address);
            return self.refuse(format!("{address} is not listed: {why}"));
        }
        let now = Time::from_micros(self.started.elapsed().as_micros() as u64);
        let change = self.list.checked(now, Clock::default().unix_s(), address, check);
        if self.list.entry(address).is_none() {
            self.watchers.remove(&address);
        }
        self.tell(change);
    }

    /// Tells a change to all nodes.
    fn tell(&mut self, change: Option<Change>) {
        let Some(change) = change else { return };
        if let Change::Gone { peer, .. } = &change {
            self.gone.truncate(GONE - 1);
            self.gone.push_front(*peer);
        }
        let (level, text) = describe(&change, self.handle.check);
        self.event(level, text);
        self.changed = true;
        let Some(news) = change.news() else { return };
        self.save_at.get_or_insert(Instant::now() + SAVE_DELAY);
        let numbers: Vec<u64> = self.nodes.keys().copied().collect();
        self.send(&numbers, &news);
    }

    fn send_list(&mut self, number: u64) {
        for page in self.list.pages() {
            self.send(&[number], &page);
        }
    }

    /// Queues news for nodes; one whose queue is full is cut off.
    fn send(&mut self, to: &[u64], news: &News) {
        let bytes = match frames::encode(&Frame::News(news.clone())) {
            Ok(bytes) => bytes,
            Err(error) => {
                return tracing::error!(%error, "news of this registry do not fit into a frame");
            }
        };
        for number in to {
            let Some(node) = self.nodes.get(number) else { continue };
            if node.news.try_send(bytes.clone()).is_err() {
                node.cut.cancel();
            }
        }
    }

    /// A peer does not come onto the list.
    fn refuse(&mut self, text: String) {
        self.refused = self.refused.saturating_add(1);
        self.changed = true;
        self.warn(text);
    }

    /// A warning that a stranger may cause again and again.
    fn warn(&mut self, text: String) {
        let now = Instant::now();
        self.warned.retain(|(at, _)| now.saturating_duration_since(*at) < REPEAT);
        if self.warned.len() < WARNINGS && !self.warned.iter().any(|(_, old)| *old == text) {
            self.warned.push((now, text.clone()));
            self.event(Level::Warn, text);
        }
    }

    fn event(&mut self, level: Level, text: String) {
        // What peers say of themselves may be in it.
        let clean = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
        let text = text.chars().map(clean).collect();
        let event = UiEvent { unix_ms: Clock::default().unix_ms(), level, step: None, text };
        if self.events.try_send(event).is_err() {
            self.dropped = self.dropped.saturating_add(1);
            self.changed = true;
        }
    }

    /// Writes the list, on a thread of its own.
    fn save(&self) -> Option<JoinHandle<()>> {
        let text = match saved::text(&self.list) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(%error, "the list cannot be written as text");
                return None;
            }
        };
        let dir = self.place.directory.clone();
        Some(self.handle.tasks.spawn_blocking(move || {
            if let Err(error) = saved::write(&dir, &text) {
                tracing::warn!(%error, directory = %dir.display(), "the list could not be saved");
            }
        }))
    }

    /// What can be seen now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let peers = self.list.entries().map(|entry| RegisteredPeer {
            peer: entry.peer(),
            ring: entry.listed.params.ring.clone(),
            member: entry.listed.member,
            since_unix_s: entry.since_unix_s,
            checked_ms: entry.checked.map(|at| at.as_micros() / 1_000),
            liveness: match entry.state {
                State::Up => Liveness::Up,
                State::Suspect => Liveness::Suspect,
            },
        });
        let registry = RegistryState {
            check_ms: self.handle.check.as_millis() as u64,
            peers: peers.collect(),
            subscribers: self.nodes.len(),
            refused: self.refused,
        };
        Snapshot {
            uptime_ms: self.started.elapsed().as_millis() as u64,
            events_dropped: self.dropped,
            registry: Some(registry),
            ..Snapshot::empty(Peer::new(self.handle.address, 0))
        }
    }
}

/// A change as a sentence.
fn describe(change: &Change, check: Duration) -> (Level, String) {
    let membership = |member| if member { "a member of" } else { "alone on" };
    match change {
        Change::Came(new) => {
            let (membership, ring) = (membership(new.member), new.params.describe());
            (Level::Info, format!("{} came, {membership} ring {ring}", new.address))
        }
        Change::Changed { old, new } if old.params != new.params => {
            (Level::Info, format!("{} is on ring {} now", new.address, new.params.describe()))
        }
        Change::Changed { old, new } if old.index != new.index => {
            let peer = Peer::new(new.address, new.index);
            (Level::Info, format!("{} goes by {peer} now", new.address))
        }
        Change::Changed { new, .. } => {
            let (membership, ring) = (membership(new.member), &new.params.ring);
            (Level::Info, format!("{} is {membership} ring '{ring}' now", new.address))
        }
        Change::Suspected(peer) => {
            let pause = check.as_millis();
            (Level::Warn, format!("{peer} does not answer: checked again in {pause} ms"))
        }
        Change::Recovered(peer) => (Level::Info, format!("{peer} answers")),
        Change::Gone { peer, why: Why::Left } => (Level::Info, format!("{peer} left")),
        Change::Gone { peer, why } => (Level::Warn, format!("{peer} was removed: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;
    use tokio_util::task::TaskTracker;

    use super::*;
    use chordal_core::id::Space;
    use chordal_core::wire::registry::Listed;

    fn listed(port: u16) -> Listed {
        let params = Params { ring: "test".to_owned(), space: Space::default(), replicas: 3 };
        Listed { address: ([127, 0, 0, 1], port).into(), index: 0, params, member: false }
    }

    /// A server with an empty list, and the directory that it lives in.
    fn server() -> (Server, mpsc::Receiver<UiEvent>, tempfile::TempDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let lock = chordal_store::lock(dir.path()).expect("nobody else has it");
        let handle = RegistryHandle {
            server: mpsc::channel(1).0,
            address: ([127, 0, 0, 1], 5000).into(),
            check: Duration::from_secs(5),
            listed: Arc::new(Semaphore::new(1)),
            claimed: Arc::new(Semaphore::new(1)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let (events, told) = mpsc::channel(4);
        let place = Place { directory: dir.path().to_owned(), _lock: lock };
        (Server::new(handle, List::default(), place, Instant::now(), events), told, dir)
    }

    fn arrives(
        server: &mut Server,
        number: u64,
        room: usize,
    ) -> (mpsc::Receiver<Bytes>, CancellationToken) {
        let (news, queue) = mpsc::channel(room);
        let cut = CancellationToken::new();
        let from = IpAddr::from([127, 0, 0, 1]);
        server.take(Input::Connected { number, from, address: None, news, cut: cut.clone() });
        (queue, cut)
    }

    #[tokio::test]
    async fn who_does_not_take_the_news_is_cut_off_and_the_others_hear_them() {
        let (mut server, _told, _dir) = server();
        let (_slow, slow_cut) = arrives(&mut server, 1, 1);
        let (mut quick, quick_cut) = arrives(&mut server, 2, 8);
        for port in [2000, 2001] {
            let now = Time::ZERO;
            let change =
                server.list.checked(now, 0, listed(port).address, Check::Alive(listed(port)));
            server.tell(change);
        }
        assert!(slow_cut.is_cancelled() && !quick_cut.is_cancelled());
        assert!(quick.try_recv().is_ok() && quick.try_recv().is_ok());
    }

    #[tokio::test]
    async fn a_stale_check_and_a_flood_of_lies_change_nothing() {
        let (mut server, mut told, _dir) = server();
        let address = listed(2000).address;
        server.take(Input::Checked { address, number: 7, check: Check::Alive(listed(2000)) });
        let list = |server: &Server| server.snapshot().registry.expect("it is a registry");
        assert_eq!(list(&server).peers, [], "nobody watches it");
        let (_queue, _cut) = arrives(&mut server, 1, 256);
        for n in 0..100 {
            // No such connection says anything, and one without an address is nowhere.
            let report = Report::Connect { index: n, params: listed(0).params, member: true };
            server.take(Input::Report { number: 99, report: report.clone() });
            server.take(Input::Report { number: 1, report });
            let peer = Peer::new(address, n);
            server.take(Input::Report { number: 1, report: Report::Dead { peer, unix_ms: 0 } });
        }
        server.take(Input::Report { number: 1, report: Report::Leave });
        let snapshot = list(&server);
        assert_eq!((snapshot.peers.len(), snapshot.refused, snapshot.subscribers), (0, 100, 1));
        assert!(told.try_recv().is_ok_and(|event| event.text.contains("does not say where")));
        assert!(told.try_recv().is_err(), "the same is told once");
        assert!(server.watchers.is_empty());
    }
}
