//! Links and gossip of a node: the driver of [`chordal_core::mesh::links`] and
//! [`chordal_core::mesh::gossip`]. One task owns both; the hub hands it messages.
//!
//! It gives the two machines time and random choices, sends what they say, and
//! tells people what happened: `sentences` are the lines of the events, `rows`
//! is what the dashboard shows of links, `words` are the commands.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use chordal_core::chord::placement::others;
use chordal_core::chord::{CensusState, Membership};
use chordal_core::error::{Absence, CommandError, Fault, Reason};
use chordal_core::limits::MAX_SAY_BYTES;
use chordal_core::mesh::bucket::{Bucket, Rate};
use chordal_core::mesh::gossip::{self, Heard};
use chordal_core::mesh::links::{self, Change, Effect, Links, RANDOM};
use chordal_core::peer::Peer;
use chordal_core::time::Time;
use chordal_core::wire::MeshMessage;
use chordal_core::wire::mesh::{Gossip, GossipBody};
use chordal_core::wire::query::LinkKind;
use chordal_view::PeerRow;
use chordal_view::text::clean;

use crate::overlay::Overlay;
use crate::sharing::provide;

use event_text::Line;
use input::{Connecting, Input};

mod event_text;
pub(crate) mod input;
pub(crate) mod link_commands;
mod rows;

/// Pause before links that are lacking are drawn, after something changed...
const DRAW_SOON: Duration = Duration::from_millis(500);

/// ...and at most, while no peer is found: a small ring never has enough.
const DRAW_RARELY: Duration = Duration::from_secs(8);

/// Time between two announcements of this node's shared files.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(5);

/// Time for saying goodbye on all links, which only takes the task's turn.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// Lines about links that no user asked for; a peer that makes and ends them again and
/// again must not fill the events.
const LINES: Rate = Rate { burst: 20, every: Duration::from_secs(2) };

/// Runs until the node stops.
pub(crate) async fn run(overlay: Overlay, mut inputs: mpsc::Receiver<Input>) {
    let mut driver = Driver::new(overlay.clone());
    loop {
        let due = driver.due();
        let wake = overlay.data.net.started + Duration::from_micros(due.as_micros());
        let input = tokio::select! {
            biased;
            () = overlay.data.net.stop.cancelled() => return,
            input = inputs.recv() => match input {
                Some(input) => Some(input),
                None => return,
            },
            () = tokio::time::sleep_until(wake.into()) => None,
        };
        if let Some(input) = input {
            driver.take(input).await;
        }
        // Also while there is always another input: a flood stops no beats.
        if due <= driver.now() {
            driver.tick();
        }
        driver.carry_out().await;
        driver.remember();
        driver.show();
    }
}

/// Closes every link: the node leaves.
pub(crate) async fn leave(mesh: &mpsc::Sender<Input>) {
    let (done, said) = oneshot::channel();
    let leaving = async {
        if mesh.send(Input::Leave { done }).await.is_ok() {
            let _ = said.await;
        }
    };
    let _ = tokio::time::timeout(LEAVE_LIMIT, leaving).await;
}

/// The state of the task.
struct Driver {
    overlay: Overlay,
    links: Links,
    gossip: gossip::Gossip,
    /// Commands that wait for a link, by the address of the peer.
    waiting: BTreeMap<SocketAddr, Vec<oneshot::Sender<Connecting>>>,
    /// Whom the user wants to be linked with, as it was written last.
    wishes: Vec<Peer>,
    /// Answers that wait until that is written.
    answers: Vec<Box<dyn FnOnce() + Send + Sync>>,
    /// A task is looking for candidates.
    drawing: bool,
    draw_at: Time,
    draw_pause: Duration,
    /// What this node wants to announce.
    news: Option<GossipBody>,
    announce_at: Time,
    lines: Bucket,
    effects: Vec<Effect>,
    /// Something visible may have changed.
    changed: bool,
    rows: Arc<Vec<PeerRow>>,
}

impl Driver {
    fn new(overlay: Overlay) -> Driver {
        let me = overlay.data.net.me().me;
        let mut links = Links::new(me.address());
        links.wish_again(Time::ZERO, overlay.peers.load_linked(me));
        let (wishes, me) = (links.wishes().collect(), me.address());
        Driver {
            overlay,
            links,
            wishes,
            answers: Vec::new(),
            gossip: gossip::Gossip::new(me),
            waiting: BTreeMap::new(),
            drawing: false,
            draw_at: Time::ZERO + DRAW_SOON,
            draw_pause: DRAW_SOON,
            news: None,
            announce_at: Time::ZERO,
            lines: Bucket::new(),
            effects: Vec::new(),
            changed: false,
            rows: Arc::default(),
        }
    }

    fn now(&self) -> Time {
        Time::from_micros(self.overlay.data.net.uptime().as_micros() as u64)
    }

    /// Files that this node shares.
    fn sharing(&self) -> u32 {
        self.overlay.data.notes.ui_rows.rows().sharing.files
    }

    /// When there is something to do without an input.
    fn due(&self) -> Time {
        // Links or not: reputations change with time, and are looked at then.
        let idle = self.draw_at.max(self.now()) + DRAW_RARELY;
        let draw = if self.wants_to_draw() { self.draw_at } else { idle };
        let announce = if self.news.is_some() && self.links.open().next().is_some() {
            self.announce_at
        } else {
            idle
        };
        self.links.due().unwrap_or(idle).min(draw).min(announce)
    }

    fn wants_to_draw(&self) -> bool {
        !self.drawing && self.links.lacking() > 0
    }

    async fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Link { from, message } => {
                let sharing = self.sharing();
                self.links.received(now, from, message, sharing, &mut self.effects);
                // Beats change round trips and counts of shared files, which
                // are looked at with the next tick.
            }
            Input::Gossip { from, gossip } => self.hear(from, &gossip).await,
            Input::Gone { address } => {
                let sharing = self.sharing();
                self.links.gone(now, address, sharing, &mut self.effects);
            }
            Input::Announce(body) => self.news = Some(body),
            Input::Neighbours => self.draw_soon(),
            Input::Candidates(candidates) => {
                self.drawing = false;
                self.links.draw(now, &candidates, &mut self.effects);
                if self.effects.is_empty() {
                    self.draw_pause = (self.draw_pause * 2).min(DRAW_RARELY);
                }
                self.draw_at = now + self.draw_pause;
            }
            Input::Connect { peer, done } => self.connect(peer, done),
            Input::Disconnect { address, done } => {
                self.waiting.remove(&address);
                let peer = self.links.disconnect(now, address, &mut self.effects);
                self.links_changed();
                self.answer(done, peer);
            }
            Input::Say { text, done } => {
                let _ = done.send(self.say(text).await);
            }
            Input::Leave { done } => {
                let _ = self.begin(GossipBody::Leaving);
                self.links.close(now, &mut self.effects);
                self.links_changed();
                self.carry_out().await;
                let _ = done.send(());
            }
        }
    }

    fn tick(&mut self) {
        let now = self.now();
        let sharing = self.sharing();
        self.links.tick(now, sharing, &mut self.effects);
        if self.wants_to_draw() && self.draw_at <= now {
            self.drawing = true;
            let overlay = self.overlay.clone();
            self.overlay.data.net.tasks.spawn(async move {
                let candidates = candidates(&overlay).await;
                let _ = overlay.mesh.send(Input::Candidates(candidates)).await;
            });
        }
        if self.announce_at <= now
            && self.links.open().next().is_some()
            && let Some(body) = self.news.take()
        {
            self.announce_at = now + ANNOUNCE_EVERY;
            let _ = self.begin(body);
        }
        self.changed = true;
    }

    fn connect(&mut self, peer: Peer, done: oneshot::Sender<Connecting>) {
        match self.links.connect(self.now(), peer, &mut self.effects) {
            Ok(true) => {
                self.links_changed();
                self.answer(done, Ok(true));
            }
            Ok(false) => {
                let waiting = self.waiting.entry(peer.address()).or_default();
                waiting.retain(|done| !done.is_closed());
                waiting.push(done);
            }
            Err(links::Full) => {
                let most = links::MAX_CHOSEN;
                let why = format!(
                    "there are {most} connected peers, and no more are allowed; disconnect one"
                );
                let _ = done.send(Err(Reason::Limit.because(why)));
            }
        }
    }

    async fn say(&mut self, text: String) -> Result<u32, CommandError> {
        let body = GossipBody::Say(clean(text.trim()).into_owned());
        if !gossip::may_be_said(&body) {
            return Err(CommandError::Usage(match text.trim().len() {
                0 => "there is nothing to say; usage: say TEXT".to_owned(),
                long => format!(
                    "a sentence has at most {MAX_SAY_BYTES} bytes, this one has {long}; say less"
                ),
            }));
        }
        if self.links.open().next().is_none() {
            return Err(Reason::State.because(
                "nobody would hear it: this node has no links; join a ring, or connect PEER",
            ));
        }
        match self.begin(body.clone()) {
            Ok(links) => {
                self.tell(event_text::news(self.overlay.data.net.me().me, &body)).await;
                Ok(links)
            }
            Err(gossip::TooMuch) => {
                Err(Reason::Limit.because("that is more than others listen to; wait a few seconds"))
            }
        }
    }

    /// Begins a piece of gossip; over how many links it went out.
    fn begin(&mut self, body: GossipBody) -> Result<u32, gossip::TooMuch> {
        let (now, me) = (self.now(), self.overlay.data.net.me().me);
        let piece = self.gossip.begin(
            now,
            fastrand::u128(..),
            me,
            self.overlay.data.notes.clock.unix_ms(),
            body,
        )?;
        Ok(self.pass_on(&piece, None))
    }

    async fn hear(&mut self, from: Peer, piece: &Gossip) {
        // Only over links, so that each sender can be counted.
        if !self.links.is_open(from.address()) {
            return;
        }
        match self.gossip.hear(self.now(), from.address(), piece) {
            Heard::News { pass_on } => {
                if let Some(piece) = pass_on {
                    self.pass_on(&piece, Some(from));
                }
                self.tell(event_text::news(piece.origin, &piece.body)).await;
                if !matches!(piece.body, GossipBody::Say(_)) {
                    provide::others_changed(&self.overlay.sharing);
                }
            }
            Heard::Known => {}
            Heard::Bad => {
                let text = format!("{from} passed on gossip that is empty or too long; dropped");
                self.stranger(text).await;
            }
            Heard::TooMuch { complaint: None } => {}
            Heard::TooMuch { complaint: Some(complaint) } => {
                self.stranger(event_text::complaint(from, complaint)).await;
            }
        }
    }

    /// Sends a piece over all links but one; over how many.
    fn pass_on(&self, piece: &Gossip, but: Option<Peer>) -> u32 {
        let mut count = 0;
        for link in self.links.open() {
            let peer = link.peer();
            if but.is_none_or(|but| but.address() != peer.address()) {
                self.overlay.data.core.tell_mesh(peer, MeshMessage::Gossip(piece.clone()));
                count += 1;
            }
        }
        count
    }

    async fn tell(&self, line: Line) {
        match line.step {
            Some(step) => self.overlay.data.notes.step(step, line.level, line.text).await,
            None => self.overlay.data.notes.event(line.level, line.text).await,
        }
    }

    /// A warning that a peer may cause again and again.
    async fn stranger(&self, text: String) {
        self.overlay.data.notes.stranger(text).await;
    }

    /// Carries out what the links want.
    async fn carry_out(&mut self) {
        let effects = std::mem::take(&mut self.effects);
        for effect in &effects {
            match *effect {
                Effect::Send { to, message } => {
                    self.overlay.data.core.tell_mesh(to, MeshMessage::Link(message));
                }
                Effect::Event(event) => self.tell_event(event).await,
                Effect::Dead(peer) => {
                    let _ = self.overlay.dead.try_send(peer);
                }
            }
        }
        self.effects = effects;
        self.effects.clear();
    }

    async fn tell_event(&mut self, event: links::Event) {
        self.links_changed();
        let peer = event.peer;
        let outcome = match event.change {
            Change::Opened => Some(Ok(false)),
            Change::Refused => Some(Err(Reason::Limit
                .because(format!("{peer} has as many links as it takes; try another peer")))),
            Change::Failed => {
                Some(Err(CommandError::peer(peer.address(), Fault::Absent(Absence::Silent))))
            }
            _ => None,
        };
        if let Some(outcome) = outcome {
            for done in self.waiting.remove(&peer.address()).into_iter().flatten() {
                self.answer(done, outcome.clone());
            }
        }
        let Some(line) = event_text::link(event) else { return };
        if event.kind == LinkKind::Chosen || self.lines.take(self.now(), LINES) {
            self.tell(line).await;
        }
    }

    /// Answers a command once what it changed is written.
    fn answer<T: Send + Sync + 'static>(&mut self, done: oneshot::Sender<T>, answer: T) {
        self.answers.push(Box::new(move || {
            let _ = done.send(answer);
        }));
    }

    /// Writes whom the user wants to be linked with, if that has changed.
    fn remember(&mut self) {
        let answers = std::mem::take(&mut self.answers);
        let answer = move || answers.into_iter().for_each(|answer| answer());
        if self.links.wishes().eq(self.wishes.iter().copied()) {
            return answer();
        }
        self.wishes = self.links.wishes().collect();
        self.overlay.peers.save_linked(&self.wishes, answer);
    }

    /// A link came or went: what is lacking is looked for soon.
    fn links_changed(&mut self) {
        self.changed = true;
        self.draw_soon();
    }

    fn draw_soon(&mut self) {
        self.draw_pause = DRAW_SOON;
        self.draw_at = self.draw_at.min(self.now() + DRAW_SOON);
    }

    /// Shows the rows when a person would see a difference.
    fn show(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let rows = rows::of(&self.links, &self.overlay.data.reputations.doubted());
        if rows::differ(&self.rows, &rows) {
            self.rows = Arc::new(rows);
            let rows = Arc::clone(&self.rows);
            self.overlay.data.notes.show(|shown| shown.peers = rows);
        }
    }
}

/// Members of the ring to draw from, in random order. Of a ring too large to be
/// known, the owners of random keys: each member is as likely as its range is
/// wide, wherever it is.
async fn candidates(overlay: &Overlay) -> Vec<Peer> {
    let look = |core: &chordal_core::chord::Host| {
        (core.membership() == Membership::Member).then(|| (core.members(), core.params().space))
    };
    let Some(Some(((mut members, census), space))) = overlay.data.core.look(look).await else {
        return Vec::new();
    };
    if census != CensusState::Complete {
        let mut owners = Vec::new();
        for _ in 0..RANDOM {
            let key = space.hash(&fastrand::u128(..).to_string());
            if let Ok(found) = overlay.data.core.lookup(key, None).await {
                owners.push(found.owner);
            }
        }
        members = owners;
    }
    fastrand::shuffle(&mut members);
    // Links are between hosts.
    others(overlay.data.net.me().me, members).collect()
}

#[cfg(test)]
mod tests;
