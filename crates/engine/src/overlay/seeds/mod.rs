//! The registries of a node: a connection to each, the union of their lists,
//! reports of dead peers.
//!
//! One task a registry keeps the connection ([`contact`]); the task here takes
//! in what all of them tell, and decides whom to look at ([`Lists::next`]): one
//! peer at a time, each less often the less it is worth, so that no list, however
//! wrong, makes this node dial much. A peer is believed only after this node has
//! reached it itself. A lonely node then joins it; a member hands it to the core,
//! which merges the two rings if they are two.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use chordal_core::peer::Peer;
use chordal_core::registry::lists::{Lists, Seeker};
use chordal_core::wire::handshake::Params;
use chordal_core::wire::registry::{Listed, News, Report};
use chordal_view::{CensusState, Level, Liveness, Membership, RegistryRow, Role, Snapshot, Step};

use crate::net::greeting;
use crate::overlay::Overlay;
use crate::overlay::join::join_through;
use backoff::Backoff;

mod backoff;
mod contact;

/// Dead peers waiting to be reported.
pub(crate) const QUEUE: usize = 64;

/// Registries of one node: each is a connection, and each keeps a list here.
const MAX_REGISTRIES: usize = 16;

/// News of all registries that wait to be taken in: further ones wait in their queues.
const HEARD: usize = 256;

/// Pause between two looks of a lonely node: a person waits for it.
const LONELY_PACE: Duration = Duration::from_millis(200);

/// The same for a member of a ring of which every member is known: whoever is
/// not known is of another ring.
const MEMBER_PACE: Duration = Duration::from_secs(1);

/// The same where the ring is too large to know: most of those listed are on it.
const LARGE_PACE: Duration = Duration::from_secs(10);

/// Changes are collected for so long before a peer is looked at.
const CALM: Duration = Duration::from_millis(100);

/// The same death is not reported again within this time.
const REPORT_AGAIN: Duration = Duration::from_secs(10);

/// Deaths that are reported within that time: more at once are one broken
/// switch, of which the registries know by themselves.
const REPORTS: usize = 32;

/// What a registry's task tells.
#[derive(Debug)]
enum Heard {
    /// Connected.
    Connected,
    /// Something of the list.
    News(News),
    /// Not connected any more, or not reached.
    Lost {
        /// Why.
        why: String,
        /// It was connected before.
        was_up: bool,
    },
    /// It does not list this node, though it was told long ago.
    Unlisted,
    /// Not a registry at all, each time: it is not tried any more. Why.
    NoRegistry(String),
}

/// A registry, as the task here sees it.
struct Contact {
    reports: mpsc::Sender<Report>,
    row: RegistryRow,
    /// Whether it was ever connected.
    known: bool,
    /// Whether its first list was told.
    announced: bool,
    /// Whether it was told that it lists what cannot be.
    named: bool,
    /// Why it could not be reached, as it was told.
    failed: Option<String>,
}

/// Runs until the node stops. `dead` are peers that did not answer this node;
/// `snapshots` say what the node is to its ring, and end with its hub.
pub(crate) async fn run(
    overlay: Overlay,
    (seeds, patience): (Vec<SocketAddr>, Duration),
    mut dead: mpsc::Receiver<Peer>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
) {
    if seeds.is_empty() {
        let nobody_hears = async { while dead.recv().await.is_some() {} };
        tokio::select! {
            () = overlay.data.net.stop.cancelled() => {}
            () = nobody_hears => {}
        }
        return;
    }
    let (heard_tx, mut heard) = mpsc::channel(HEARD);
    let (tried_tx, mut tried) = mpsc::channel(1);
    let (place_tx, place) = watch::channel(place_of(&snapshots.borrow_and_update()));
    let mut seeker = Seeking::new(overlay.clone(), tried_tx);
    for address in seeds {
        if seeker.contacts.len() >= MAX_REGISTRIES {
            let text = format!("only {MAX_REGISTRIES} registries are used; {address} is not");
            overlay.data.notes.event(Level::Warn, text).await;
            continue;
        }
        if seeker.contacts.contains_key(&address) {
            continue;
        }
        let (reports, reported) = mpsc::channel(QUEUE);
        let contact = contact::Contact::new(overlay.clone(), address, patience, heard_tx.clone());
        // Among the connections: a node that ends waits until they have said
        // goodbye.
        overlay.data.net.connections.spawn(contact.run(place.clone(), reported));
        let row = RegistryRow {
            address,
            liveness: Liveness::Suspect,
            peers: 0,
            heard_ms: None,
            note: None,
        };
        seeker.contacts.insert(
            address,
            Contact { reports, row, known: false, announced: false, named: false, failed: None },
        );
    }
    drop((place, heard_tx));
    seeker.show();
    loop {
        let look_at = seeker.look_at;
        tokio::select! {
            biased;
            () = overlay.data.net.stop.cancelled() => return,
            changed = snapshots.changed() => {
                if changed.is_err() {
                    // The hub has ended: so do the contacts, when they see that
                    // they have no place any more.
                    return;
                }
                let snapshot = snapshots.borrow_and_update().clone();
                let now = place_of(&snapshot);
                place_tx.send_if_modified(|place| {
                    let changed = *place != now;
                    *place = now;
                    changed
                });
                seeker.saw(snapshot);
            }
            Some((registry, what)) = heard.recv() => seeker.heard(registry, what).await,
            Some((candidate, end)) = tried.recv() => seeker.tried(candidate, end).await,
            Some(peer) = dead.recv() => seeker.died(peer),
            () = tokio::time::sleep_until(look_at.into()) => seeker.look(),
        }
    }
}

/// What the registries are to say of this node; `None`: nothing.
fn place_of(snapshot: &Snapshot) -> Option<Report> {
    let member = match snapshot.membership {
        Membership::Alone | Membership::Joining => false,
        Membership::Member => true,
        Membership::Leaving | Membership::Left | Membership::Down => return None,
    };
    let params = params_of(snapshot);
    Some(Report::Connect { index: snapshot.me.index(), params, member })
}

fn params_of(snapshot: &Snapshot) -> Params {
    Params { ring: snapshot.ring.clone(), space: snapshot.space, replicas: snapshot.replicas }
}

/// A peer that is looked at, and by whose word.
#[derive(Clone, Debug)]
struct Candidate {
    registry: SocketAddr,
    listed: Listed,
}

/// How a look ended.
#[derive(Debug)]
enum Look {
    /// This node is on that ring now.
    Joined,
    /// It lives and is on a ring with the same parameters.
    Lives(Peer),
    /// It is no use now: why.
    Failed(String),
    /// It is not what the registry says.
    Lie(String),
    /// It did not let this node in.
    NotJoined(String),
}

/// What the node knows through its registries, and does with it.
struct Seeking {
    overlay: Overlay,
    contacts: BTreeMap<SocketAddr, Contact>,
    lists: Lists,
    backoff: Backoff,
    snapshot: Option<Arc<Snapshot>>,
    /// Addresses of the members of its own ring that are known.
    known: BTreeSet<SocketAddr>,
    tried: mpsc::Sender<(Candidate, Look)>,
    looking: bool,
    /// When to look at the next peer.
    look_at: Instant,
    /// Not before that, whatever changes.
    not_before: Instant,
    reported: Vec<(Instant, Peer)>,
    /// Whether it was told that a ring with other parameters is listed.
    named_elsewhere: bool,
    started: Instant,
}

/// When nothing is to be done.
const NEVER: Duration = Duration::from_secs(3_600);

impl Seeking {
    fn new(overlay: Overlay, tried: mpsc::Sender<(Candidate, Look)>) -> Seeking {
        let now = Instant::now();
        Seeking {
            overlay,
            contacts: BTreeMap::new(),
            lists: Lists::default(),
            backoff: Backoff::default(),
            snapshot: None,
            known: BTreeSet::new(),
            tried,
            looking: false,
            look_at: now + NEVER,
            not_before: now,
            reported: Vec::new(),
            named_elsewhere: false,
            started: now,
        }
    }

    /// The node changed.
    fn saw(&mut self, snapshot: Arc<Snapshot>) {
        let lives = |liveness| liveness != Liveness::Dead;
        let members = snapshot.members.iter().filter(|m| lives(m.liveness)).map(|m| m.peer);
        let neighbours = snapshot.successors.iter().chain(&snapshot.predecessor).map(|n| n.peer);
        let known: BTreeSet<SocketAddr> = members.chain(neighbours).map(|p| p.address()).collect();
        let before = self.snapshot.replace(snapshot);
        let membership = |snapshot: &Arc<Snapshot>| (snapshot.membership, snapshot.me);
        if known != self.known
            || before.as_ref().map(membership) != self.snapshot.as_ref().map(membership)
        {
            self.known = known;
            self.look_soon();
        }
    }

    /// A registry's task tells something.
    async fn heard(&mut self, registry: SocketAddr, what: Heard) {
        let Some(contact) = self.contacts.get_mut(&registry) else { return };
        let now_ms = self.started.elapsed().as_millis() as u64;
        let mut say = None;
        match what {
            Heard::Connected => {
                contact.row.liveness = Liveness::Up;
                contact.row.heard_ms = Some(now_ms);
                contact.row.note = None;
                contact.failed = None;
                if std::mem::replace(&mut contact.known, true) {
                    say = Some((Level::Info, format!("registry {registry} is back")));
                }
            }
            Heard::News(news) => {
                contact.row.heard_ms = Some(now_ms);
                let whole = matches!(news, News::Peers { more: false, .. });
                let ping = news == News::Ping;
                if let News::Came(listed) = &news
                    && Some(listed.address) == self.snapshot.as_ref().map(|s| s.me.address())
                {
                    contact.row.note = None;
                }
                self.lists.take(registry, news);
                contact.row.peers = u32::try_from(self.lists.count(registry)).unwrap_or(u32::MAX);
                if whole && !std::mem::replace(&mut contact.announced, true) {
                    let text = format!("registry {registry} lists {} peers", contact.row.peers);
                    say = Some((Level::Info, text));
                }
                if let Some(note) = self.lists.garbage(registry).note() {
                    if !std::mem::replace(&mut contact.named, true) {
                        // The row counts on.
                        say = Some((Level::Warn, format!("registry {registry} {note}")));
                    }
                    contact.row.note = Some(note);
                }
                if !ping {
                    self.look_soon();
                }
            }
            Heard::Lost { why, was_up } => {
                self.lists.lost(registry);
                contact.row.liveness = Liveness::Dead;
                if was_up || contact.failed.as_ref() != Some(&why) && !contact.known {
                    let text = format!("registry {registry}: {why}; trying again");
                    say = Some((Level::Warn, text));
                }
                contact.failed = Some(why.clone());
                contact.row.note = Some(why);
                self.look_soon();
            }
            Heard::NoRegistry(why) => {
                contact.row.liveness = Liveness::Dead;
                let text = format!("registry {registry} is given up: {why}; is the address right?");
                say = Some((Level::Error, text));
                contact.row.note = Some(format!("given up: {why}"));
            }
            Heard::Unlisted => {
                if contact.row.note.is_none() {
                    let me = self.overlay.data.net.me().me.address();
                    let note = format!("does not list this node; can it reach {me}?");
                    say = Some((Level::Warn, format!("registry {registry} {note}")));
                    contact.row.note = Some(note);
                }
            }
        }
        if let Some((level, text)) = say {
            self.overlay.data.notes.step(Step::Registry, level, text).await;
        }
        self.show();
    }

    fn look_soon(&mut self) {
        let soon = Instant::now() + CALM;
        self.look_at = self.look_at.min(soon.max(self.not_before));
    }

    /// Looks at the next peer that may be worth it, if there is one.
    fn look(&mut self) {
        let now = Instant::now();
        self.look_at = now + NEVER;
        let Some(snapshot) = &self.snapshot else { return };
        let lonely = match snapshot.membership {
            Membership::Alone => true,
            Membership::Member => false,
            _ => return,
        };
        if self.looking {
            return;
        }
        let pace = match snapshot.census {
            _ if lonely => LONELY_PACE,
            CensusState::Estimate(_) => LARGE_PACE,
            CensusState::Complete | CensusState::Partial => MEMBER_PACE,
        };
        let params = params_of(snapshot);
        // What is shared from where it lies belongs to no ring.
        let keeps = snapshot.files.iter().any(|file| file.role != Role::Shared);
        let seeker = Seeker { me: snapshot.me, params: &params, lonely, adopts: lonely && !keeps };
        let ready = |address| {
            (lonely || !self.known.contains(&address)) && self.backoff.is_ready(address, now)
        };
        let next = self.lists.next(seeker, self.contacts.len(), fastrand::usize(..), ready);
        if lonely
            && keeps
            && !self.named_elsewhere
            && let Some(other) = self.lists.elsewhere(seeker)
        {
            self.named_elsewhere = true;
            let text = format!(
                "{} is on ring {}, this node holds files of ring {}: start it with those \
                 parameters and another --data-dir to join",
                other.address,
                other.params.describe(),
                params.describe()
            );
            self.overlay.data.notes.event_now(Level::Warn, text);
        }
        let Some((registry, listed)) = next else {
            // A peer that is backed off now comes up again.
            self.look_at = now + self.backoff.next(now).unwrap_or(NEVER).max(pace);
            return;
        };
        self.looking = true;
        self.not_before = now + pace;
        self.backoff.tried(listed.address, now);
        let (overlay, tried) = (self.overlay.clone(), self.tried.clone());
        let candidate = Candidate { registry, listed };
        self.overlay.data.net.tasks.spawn(async move {
            let stop = overlay.data.net.stop.clone();
            let end = tokio::select! {
                () = stop.cancelled() => return,
                end = look_at(&overlay, &candidate, params, lonely) => end,
            };
            let _ = tried.send((candidate, end)).await;
        });
    }

    /// A look has ended.
    async fn tried(&mut self, candidate: Candidate, end: Look) {
        self.looking = false;
        let Candidate { registry, listed } = candidate;
        let address = listed.address;
        match end {
            Look::Joined => {
                self.backoff.forget();
                let text = format!("found {address} through registry {registry}");
                self.overlay.data.notes.step(Step::Registry, Level::Info, text).await;
            }
            Look::Lives(peer) => {
                // Dropped by a hub that is too busy, it comes up again.
                self.overlay.data.core.heard(peer);
            }
            Look::Failed(why) => {
                tracing::debug!(%address, %registry, why, "a listed peer is no use now");
            }
            Look::NotJoined(why) => {
                let text = format!("not joined through {address}: {why}");
                self.overlay.data.notes.stranger_now(text);
            }
            Look::Lie(why) => {
                let text = format!("registry {registry} lists {address}: {why}");
                self.overlay.data.notes.stranger_now(text);
            }
        }
        self.look_soon();
    }

    /// A peer does not answer this node: the registries are told.
    fn died(&mut self, peer: Peer) {
        let now = Instant::now();
        self.reported.retain(|(at, _)| now.saturating_duration_since(*at) < REPORT_AGAIN);
        if self.reported.len() >= REPORTS || self.reported.iter().any(|(_, old)| *old == peer) {
            return;
        }
        self.reported.push((now, peer));
        let unix_ms = self.overlay.data.notes.clock.unix_ms();
        for contact in self.contacts.values() {
            // A registry that is not there checks for itself when it is back.
            let _ = contact.reports.try_send(Report::Dead { peer, unix_ms });
        }
    }

    fn show(&self) {
        let rows = self.contacts.iter().map(|(at, contact)| (*at, contact.row.clone())).collect();
        self.overlay.data.notes.show(|shown| shown.registries = rows);
    }
}

/// Reaches a listed peer; a lonely node joins it.
async fn look_at(overlay: &Overlay, candidate: &Candidate, ours: Params, lonely: bool) -> Look {
    let address = candidate.listed.address;
    let (peer, params) = match greeting::introduce(address).await {
        Ok(introduced) => introduced,
        Err(why) => return Look::Failed(why.to_string()),
    };
    if peer.address() != address {
        return Look::Lie(format!("the node there goes by {}", peer.address()));
    }
    if params.ring != ours.ring {
        return Look::Lie(format!("it is on ring {}", params.describe()));
    }
    if !lonely {
        return if params == ours {
            Look::Lives(peer)
        } else {
            Look::Failed(format!("it is on ring {} now", params.describe()))
        };
    }
    match join_through(&overlay.data.net, &overlay.data.core, address).await {
        Ok(_) => Look::Joined,
        Err(why) => Look::NotJoined(why.to_string()),
    }
}
