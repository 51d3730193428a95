//! The hub: the one task that owns the core.
//!
//! It takes one input at a time, hands it to [`chord::Node::handle`], drains
//! the effects in order, and publishes a snapshot when something changed. It
//! never waits for anything but its next input: frames go into bounded queues,
//! store operations and dialling run as tasks of their own that report back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, oneshot, watch};

use chordal_core::chord::{self, Effect, Notice, Reply, Slot, Ticket};
use chordal_core::peer::Peer;
use chordal_core::record::Obstacle;
use chordal_core::time::Time;
use chordal_core::wire::handshake::Purpose;
use chordal_core::wire::{Answer, Ask, Frame, MeshMessage, Message, Nonce, Request, Response};
use chordal_descriptors as descriptors;

use super::publish::Publisher;
use super::questions::{BEAT, LATE, Overdue, Questions};
use super::serve;
use super::serve::Asker;
use super::store_worker::StoreQueue;
use crate::client::user::User;
use crate::data::params;
use crate::inputs::inbox::{Inbox, Slots};
use crate::inputs::{Done, Input};
use crate::net::accept::Whose;
use crate::net::connection;
use crate::net::connection::{ConnectError, Ending};
use crate::net::handle::Identity;
use crate::net::links::{Links, Sent};
use crate::net::timers::{Alarm, Timers};
use crate::net::verify;
use crate::net::vital::is_vital;
use crate::overlay::{mesh, search};
use crate::sharing::provide;
use crate::upkeep::tombstones;
use crate::upkeep::tombstones::DayClock;

/// Inputs handled before the hub looks at its timers and at publishing again.
const BATCH: usize = 256;

/// The same by time: alarms are to be late only if this process had no turn.
const BATCH_TIME: Duration = Duration::from_millis(10);

/// A connection that could not be made in time is tried once more if this node
/// stood still so lately: the other side may have answered.
const STOOD_STILL_LATELY: Duration = Duration::from_secs(5);

/// Lookups, removals and pings for others under way at once: many times what
/// people ask for, and little memory.
const MAX_ANSWERING: usize = 256;

/// The state of the hub.
pub(crate) struct Hub {
    core: chord::Host,
    user: User,
    store_queue: StoreQueue,
    /// To itself.
    slots: Slots,
    identity: watch::Sender<Identity>,
    inbox: Inbox,
    started: Instant,
    /// When alarms last went off late.
    stood_still: Option<Instant>,
    timers: Timers,
    links: Links,
    next_connection: u64,
    /// Questions of the core that are on their way.
    questions: Questions,
    /// Mixed into the nonces on the wire: an answer to a question that an
    /// earlier run of this node asked must not pass for one to this run's.
    nonce_key: Nonce,
    /// Commands under way.
    waiters: BTreeMap<Ticket, Waiter>,
    next_ticket: Ticket,
    /// Requests to other nodes under way, by frame id.
    requests: BTreeMap<u32, (SocketAddr, oneshot::Sender<Response>)>,
    next_request: u32,
    /// Requests of others that take time, being answered.
    answering: Arc<Semaphore>,
    tombstones: DayClock,
    publisher: Publisher,
    effects: Vec<(Slot, Effect)>,
}

struct Waiter {
    done: oneshot::Sender<Reply>,
    copies: Option<watch::Sender<(u8, u8)>>,
}

impl Hub {
    pub(crate) fn new(
        core: chord::Host,
        user: User,
        store_queue: StoreQueue,
        slots: Slots,
        identity: watch::Sender<Identity>,
        inbox: Inbox,
        publisher: Publisher,
    ) -> Hub {
        let started = user.data.net.started;
        let tombstones = DayClock::begin(user.data.notes.clock, started);
        Hub {
            core,
            user,
            store_queue,
            slots,
            identity,
            inbox,
            started,
            stood_still: None,
            timers: Timers::default(),
            links: Links::default(),
            next_connection: 0,
            questions: Questions::default(),
            nonce_key: fastrand::u32(..),
            waiters: BTreeMap::new(),
            next_ticket: 0,
            requests: BTreeMap::new(),
            next_request: 0,
            answering: Arc::new(Semaphore::new(MAX_ANSWERING)),
            tombstones,
            publisher,
            effects: Vec::new(),
        }
    }

    /// Runs until [`Input::Close`] or until the node is stopped.
    pub(crate) async fn run(mut self, start: chord::Input) {
        self.handle(None, start);
        // Before any peer hears of what the disk kept while this node was away.
        self.collect();
        loop {
            self.publisher.publish_if_due(Instant::now(), &self.core, &self.links, &self.user);
            let due = [self.timers.next(), self.publisher.due(), self.user.data.notes.demand.due()];
            let wake = due.into_iter().flatten().min();
            let input = tokio::select! {
                biased;
                () = self.user.data.net.stop.cancelled() => return,
                input = self.inbox.next() => input,
                () = sleep_until(wake) => None,
            };
            if let Some(input) = input {
                let began = Instant::now();
                if self.take(input).is_none() {
                    return;
                }
                for _ in 1..BATCH {
                    if began.elapsed() > BATCH_TIME {
                        break;
                    }
                    let Some(input) = self.inbox.waiting() else { break };
                    if self.take(input).is_none() {
                        return;
                    }
                }
            }
            self.fire_alarms();
        }
    }

    /// Handles one input; `None` when it was the last.
    fn take(&mut self, input: Input) -> Option<()> {
        match input {
            Input::Connected { stream, whose } => self.connected(stream, whose),
            Input::Unreachable { address, error } => self.unreachable(address, &error),
            Input::Frame { connection, frame } => self.frame(connection, frame),
            Input::Ended { connection, ending } => self.ended(connection, ending),
            Input::Stored(done) => {
                for Done { slot, ticket, result } in done {
                    self.handle(Some(slot), chord::Input::Stored { ticket, result });
                }
            }
            Input::Lost { name, version } => {
                self.handle(None, chord::Input::Lost { name, version });
            }
            Input::Core { command, done, copies, shown } => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                if let (Some(text), chord::Command::Lookup { key }) = (shown, &command) {
                    self.publisher.lookup_begins(ticket, text, *key);
                }
                self.waiters.insert(ticket, Waiter { done, copies });
                self.handle(None, chord::Input::Command { ticket, command });
            }
            Input::Request { address, request, done } => self.request(address, request, done),
            Input::Mesh { from, to, message } => {
                let from = from.unwrap_or_else(|| self.core.peer());
                if to.address() == from.address() {
                    // From one position to another.
                    self.mesh_says(from, to.index(), message);
                } else {
                    let frame = Frame::Mesh { from: from.index(), to: to.index(), message };
                    self.send_frame(to.address(), frame);
                }
            }
            Input::Heard(peers) => self.handle(None, chord::Input::Heard { peers }),
            Input::BytesPass(host) => self.handle(None, chord::Input::BytesPass(host)),
            Input::Leave { over: false } => self.handle(None, chord::Input::LeaveOn),
            Input::Leave { over: true } => self.handle(None, chord::Input::LeaveOver),
            Input::Look(look) => look(&self.core),
            Input::Event(level, text) => self.publisher.event(level, text),
            Input::Step(step, level, text) => self.publisher.step(step, level, text),
            Input::Stranger(text) => self.publisher.stranger(text, Instant::now()),
            Input::Changed => self.publisher.touch(),
            Input::Close => {
                self.links.close();
                self.publisher.publish_now(Instant::now(), &self.core, &self.links, &self.user);
                return None;
            }
        }
        Some(())
    }

    fn fire_alarms(&mut self) {
        let now = Instant::now();
        let late = self.timers.next().map(|due| now.saturating_duration_since(due));
        if let Some(late) = late.filter(|late| *late > LATE) {
            self.stood_still(late, now);
        }
        while let Some(alarm) = self.timers.pop(now) {
            match alarm {
                Alarm::Core(slot, timer) => self.handle(Some(slot), chord::Input::Fired(timer)),
                Alarm::Collect => self.collect(),
                Alarm::Beat if self.questions.is_empty() => {}
                Alarm::Beat => self.timers.arm(Alarm::Beat, now + BEAT),
                Alarm::Answer(slot, nonce) => self.overdue(slot, nonce, now),
            }
        }
    }

    /// The limit of a question is over.
    fn overdue(&mut self, slot: Slot, nonce: Nonce, now: Instant) {
        let Some(address) = self.questions.address(slot, nonce) else { return };
        let mut heard = self.links.heard(address).max(self.user.data.signs.heard(address));
        let limit = self.links.limit(address);
        if self.links.awaits(address) && descriptors::are_short() {
            // It was not asked yet: this node has no file descriptor for that.
            heard = Some(now);
        }
        match self.questions.overdue(slot, nonce, heard, limit, now) {
            Overdue::Closed => {}
            Overdue::Wait(until, to, again) => {
                self.timers.arm(Alarm::Answer(slot, nonce), until);
                let position = self.core.node(slot).map(|node| node.peer().index());
                if let (Some(ask), Some(from)) = (again, position) {
                    let message = Message::Ask { nonce: nonce ^ self.nonce_key, ask };
                    self.send_frame(address, Frame::Core { from, to: to.index(), message });
                }
            }
            Overdue::Unanswered(from) => {
                self.links.missed(address, now);
                self.publisher.touch();
                self.handle(Some(slot), chord::Input::NoAnswer { from, nonce });
            }
        }
    }

    /// This node has not run for a while: what others answered meanwhile lies where
    /// the node has not looked yet, and other nodes on a busy machine had no turn either.
    fn stood_still(&mut self, late: Duration, now: Instant) {
        tracing::debug!(?late, "alarms went off late: the machine is busy");
        self.stood_still = Some(now);
        let links = &self.links;
        for (slot, nonce, until) in self.questions.stood_still(|to| links.limit(to), now) {
            self.timers.arm(Alarm::Answer(slot, nonce), until);
        }
    }

    /// Ends the tombstones that are a day old, and looks again in a while.
    fn collect(&mut self) {
        let now_s = self.tombstones.now_s(Instant::now());
        self.handle(None, chord::Input::Clock { now_s });
        self.timers.arm(Alarm::Collect, Instant::now() + tombstones::EVERY);
    }

    /// One input for the core or one position of it, and its effects, in order.
    fn handle(&mut self, to: Option<Slot>, input: chord::Input) {
        let now = self.now();
        let mut effects = std::mem::take(&mut self.effects);
        match to {
            Some(slot) => self.core.handle_at(now, slot, input, &mut effects),
            None => self.core.handle(now, input, &mut effects),
        }
        for (slot, effect) in effects.drain(..) {
            self.carry_out(slot, effect);
        }
        self.effects = effects;
    }

    fn carry_out(&mut self, slot: Slot, effect: Effect) {
        match effect {
            Effect::Send { to, message } => self.send(slot, to, message),
            Effect::Arm { timer, after } => {
                self.timers.arm_within(slot, timer, Instant::now(), &after);
            }
            Effect::Disarm(timer) => self.timers.disarm(Alarm::Core(slot, timer)),
            Effect::Store { ticket, op } => self.store_queue.start(slot, ticket, op),
            Effect::Cease { ticket } => self.store_queue.cease(slot, ticket),
            Effect::Reply { ticket, reply } => {
                self.publisher.lookup_ends(ticket, &reply);
                if let Some(waiter) = self.waiters.remove(&ticket) {
                    let joined = matches!(reply, Reply::Joined { .. });
                    let answer = move || {
                        let _ = waiter.done.send(reply);
                    };
                    if joined {
                        // A user who hears of the join may pull the plug: the way back is
                        // durable by then.
                        self.user.overlay.peers.save(&self.core, answer);
                    } else {
                        answer();
                    }
                }
            }
            Effect::Notice(notice) => self.notice(slot, &notice),
        }
    }

    fn notice(&mut self, slot: Slot, notice: &Notice) {
        if slot > 0 && is_of_a_place(notice) {
            // People follow the first position; of the others only that they come.
            let position = self.core.node(slot).map(chord::Node::peer);
            return self.publisher.moved(notice, position, &self.core);
        }
        if let Notice::Renamed { .. } | Notice::Adopted(_) = notice {
            let now = Identity { me: self.core.peer(), params: self.core.params().clone() };
            if let Notice::Adopted(params) = notice {
                let (store, params) = (self.user.data.store.clone(), params.clone());
                self.user.data.net.tasks.spawn_blocking(move || params::remember(&store, &params));
            }
            self.identity.send_replace(now);
        }
        if let Notice::Copies { ticket: Some(ticket), copies, wanted, .. } = notice
            && let Some(Waiter { copies: Some(watcher), .. }) = self.waiters.get(ticket)
        {
            watcher.send_replace((*copies, *wanted));
        }
        if let Notice::Alone | Notice::Left = notice {
            // No answer shows any more that the address is still this node's.
            self.user.data.net.verification.forget();
        }
        if let Notice::Joined { .. } | Notice::Successors(_) = notice {
            let _ = self.user.overlay.mesh.try_send(mesh::input::Input::Neighbours);
        }
        if provide::moves(notice) {
            provide::moved(&self.user.sharing);
        }
        if let Notice::PassedOver { over, .. } = notice
            && over.why == Obstacle::NoBytes
        {
            // The node that said so could not fetch it from this one, or cannot any more.
            let ours = over.peer.address() == self.core.peer().address();
            if let Some(other) = if ours { over.stand_in } else { Some(over.peer) } {
                self.user.data.reach.doubt(other.address());
            }
        }
        if let Notice::Dropped(peer) = notice {
            let _ = self.user.overlay.dead.try_send(*peer);
        }
        self.publisher.noticed(notice, &self.core, &self.user);
    }

    fn send(&mut self, slot: Slot, to: Peer, mut message: Message) {
        let Some(from) = self.core.node(slot).map(|node| node.peer().index()) else { return };
        if let Message::Ask { nonce, ask } = &mut message {
            let now = Instant::now();
            self.questions.asked(slot, *nonce, to, ask, now);
            if !self.timers.is_armed(Alarm::Beat) {
                self.timers.arm(Alarm::Beat, now + BEAT);
            }
            self.timers.arm(Alarm::Answer(slot, *nonce), now + self.links.limit(to.address()));
            *nonce ^= self.nonce_key;
        }
        let frame = Frame::Core { from, to: to.index(), message };
        self.send_frame(to.address(), frame);
    }

    /// Sends a frame; `false` when it was dropped.
    fn send_frame(&mut self, to: SocketAddr, frame: Frame) -> bool {
        let sent = self.links.send(self.core.peer().address(), to, frame);
        match sent {
            Sent::Yes => {}
            Sent::Dropped => tracing::debug!(%to, "a frame was dropped: the peer does not read"),
            Sent::Dial => self.dial(to),
        }
        sent != Sent::Dropped
    }

    fn dial(&self, to: SocketAddr) {
        let hello = self.identity.borrow().hello(Purpose::Member);
        let (net, hub) = (self.user.data.net.clone(), self.slots.rest.clone());
        self.user.data.net.tasks.spawn(async move {
            let dialling = async {
                // The peer that is believed to be at an address gets what is meant
                // for it: this node says so only of its own.
                verify::once(&net, to).await?;
                connection::dial(to, &hello).await
            };
            let input = tokio::select! {
                () = net.stop.cancelled() => return,
                result = dialling => match result {
                    Ok((stream, _)) => Input::Connected { stream, whose: Whose::Ours(to) },
                    Err(error) => Input::Unreachable { address: to, error },
                },
            };
            let _ = hub.send(input).await;
        });
    }

    fn connected(&mut self, stream: tokio::net::TcpStream, whose: Whose) {
        let (address, held) = match whose {
            Whose::Ours(address) => (Some(address), None),
            Whose::Theirs { hello, held } => {
                let member = hello.purpose == Purpose::Member;
                (hello.address.filter(|_| member), Some(held))
            }
        };
        let number = self.next_connection;
        self.next_connection += 1;
        let Slots { vital, rest } = self.slots.clone();
        let end_at = rest.clone();
        let connection = connection::run(
            stream,
            number,
            held,
            &self.user.data.net,
            move |frame| {
                let hub = if is_vital(&frame) { vital.clone() } else { rest.clone() };
                async move {
                    let _ = hub.send(Input::Frame { connection: number, frame }).await;
                }
            },
            move |ending| {
                Box::pin(async move {
                    let _ = end_at.send(Input::Ended { connection: number, ending }).await;
                })
            },
        );
        self.links.connected(connection, address);
    }

    fn unreachable(&mut self, address: SocketAddr, error: &ConnectError) {
        let lately = self.stood_still.is_some_and(|at| at.elapsed() < STOOD_STILL_LATELY);
        let in_vain = matches!(error, ConnectError::TimedOut | ConnectError::Silent);
        if in_vain && lately && self.links.awaits(address) {
            self.stood_still = None;
            return self.dial(address);
        }
        // No fault of the peer's; what waits for it goes on to wait.
        if error.is_shortage() && self.links.awaits(address) {
            return self.dial(address);
        }
        match error {
            ConnectError::Handshake(why) => {
                self.publisher.stranger(format!("{address}: {why}"), Instant::now());
            }
            ConnectError::Misplaced(why) => self.publisher.stranger(why.clone(), Instant::now()),
            ConnectError::Io(_) | ConnectError::TimedOut | ConnectError::Silent => {}
        }
        tracing::debug!(%address, %error, "cannot connect");
        self.links.unreachable(address);
        self.gone(address);
        self.lost(address);
    }

    fn ended(&mut self, number: u64, ending: Ending) {
        let Some(address) = self.links.ended(number) else { return };
        self.gone(address);
        match ending {
            Ending::Lost => self.lost(address),
            // What was asked over it is not answered any more.
            Ending::Bye => self.requests.retain(|_, (to, _)| *to != address),
        }
    }

    /// A peer's connection broke or was refused: whatever it was asked will
    /// not be answered.
    fn lost(&mut self, address: SocketAddr) {
        let now = Instant::now();
        self.links.refused(address, now);
        self.publisher.touch();
        self.requests.retain(|_, (to, done)| *to != address && !done.is_closed());
        for (slot, nonce, from) in self.questions.give_up(address) {
            self.timers.disarm(Alarm::Answer(slot, nonce));
            self.handle(Some(slot), chord::Input::NoAnswer { from, nonce });
        }
        let me = self.core.peer().address();
        let known: BTreeSet<Peer> = self
            .core
            .nodes()
            .iter()
            .flat_map(|node| {
                let fingers = node.fingers().into_iter().filter_map(|row| row.node);
                fingers.chain(node.members().0)
            })
            .filter(|peer| peer.address() == address && address != me)
            .collect();
        for peer in known {
            self.handle(None, chord::Input::PeerLost(peer));
        }
    }

    fn frame(&mut self, number: u64, frame: Frame) {
        let Some((connection, address)) = self.links.connection(number).cloned() else { return };
        match frame {
            Frame::Core { from, to, mut message } => {
                let Some(address) = address else { return };
                let Some(slot) = self.core.slot_of(to) else {
                    // No node has this index any more. The peer that asks hears so at once:
                    // the bytes of this node's other words would have it wait.
                    if let Message::Ask { nonce, .. } = message {
                        let message = Message::Answer { nonce, answer: Answer::NotMember };
                        connection.send(Frame::Core { from: to, to: from, message });
                    }
                    return;
                };
                let from = Peer::new(address, from);
                if matches!(&message, Message::Ask { ask: Ask::Next { enter: true, .. }, .. })
                    && self.user.departure.is_last()
                {
                    // A node that ends lets no other in.
                    return;
                }
                if let Message::Answer { nonce, .. } = &mut message {
                    *nonce ^= self.nonce_key;
                    let now = Instant::now();
                    if let Some(took) = self.questions.answered(slot, *nonce, from, now) {
                        self.links.answered(address, took, now);
                        self.user.data.reach.answers_within(address, self.links.limit(address));
                        self.timers.disarm(Alarm::Answer(slot, *nonce));
                        self.publisher.heard();
                    }
                }
                let counts = matches!(message, Message::Ask { ask: Ask::Inventory { .. }, .. });
                self.handle(Some(slot), chord::Input::Received { from, message });
                if counts {
                    self.publisher.copies_counted();
                }
            }
            Frame::Request { id, request } => {
                let asker = Asker { member: address, host: connection.host, here: connection.here };
                serve::answer(self, asker, request, move |response| {
                    connection.send(Frame::Response { id, response });
                });
            }
            Frame::Response { id, response } => {
                if self.requests.get(&id).is_some_and(|(to, _)| Some(*to) == address)
                    && let Some((_, done)) = self.requests.remove(&id)
                {
                    let _ = done.send(response);
                }
            }
            Frame::Mesh { from, to, message } => {
                let Some(address) = address else { return };
                self.mesh_says(Peer::new(address, from), to, message);
            }
            // Of registries, and for them.
            Frame::Report(_) | Frame::News(_) => {}
            Frame::Bye => {}
        }
    }

    /// Hands a message of a mesh on: of a search to the position with this index,
    /// others concern the host. A peer that sends more than is worked off loses the
    /// rest.
    fn mesh_says(&self, from: Peer, to: u16, message: MeshMessage) {
        if self.core.slot_of(to).is_none() {
            return;
        }
        let user = &self.user;
        let taken = match message {
            MeshMessage::Link(message) => {
                user.overlay.mesh.try_send(mesh::input::Input::Link { from, message }).is_ok()
            }
            MeshMessage::Gossip(gossip) => {
                user.overlay.mesh.try_send(mesh::input::Input::Gossip { from, gossip }).is_ok()
            }
            MeshMessage::Search(message) => user
                .overlay
                .search
                .try_send(search::input::Input::Message { from, to, message })
                .is_ok(),
        };
        if !taken {
            tracing::debug!(%from, "a message of its mesh was dropped: there are too many");
        }
    }

    /// Tells all rooms beside the core that an address is not connected any
    /// more.
    fn gone(&self, address: SocketAddr) {
        let _ = self.user.overlay.mesh.try_send(mesh::input::Input::Gone { address });
        let _ = self.user.overlay.search.try_send(search::input::Input::Gone { address });
    }

    fn request(&mut self, address: SocketAddr, request: Request, done: oneshot::Sender<Response>) {
        if address == self.core.peer().address() {
            let asker = Asker { member: Some(address), host: None, here: true };
            serve::answer(self, asker, request, move |response| {
                let _ = done.send(response);
            });
            return;
        }
        self.requests.retain(|_, (_, done)| !done.is_closed());
        let id = self.next_request;
        self.next_request = self.next_request.wrapping_add(1);
        if self.send_frame(address, Frame::Request { id, request }) {
            self.requests.insert(id, (address, done));
        }
    }

    /// The core's time.
    pub(crate) fn now(&self) -> Time {
        Time::from_micros(self.started.elapsed().as_micros() as u64)
    }

    /// The core, to read.
    pub(crate) fn core(&self) -> &chord::Host {
        &self.core
    }

    /// The members that vanished lately.
    pub(crate) fn vanished(&self) -> Vec<Peer> {
        self.publisher.vanished(&self.core)
    }

    /// A place among the requests that are being answered.
    pub(crate) fn place_to_answer(&self) -> Result<OwnedSemaphorePermit, TryAcquireError> {
        Arc::clone(&self.answering).try_acquire_owned()
    }

    /// The node as its user has it.
    pub(crate) fn user(&self) -> &User {
        &self.user
    }
}

/// Whether a notice is about one place on the ring, of which a host may have
/// several.
const fn is_of_a_place(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::Joined { .. }
            | Notice::Renamed { .. }
            | Notice::Adopted(_)
            | Notice::Left
            | Notice::Alone
            | Notice::Predecessor { .. }
            | Notice::Successor { .. }
            | Notice::Successors(_)
            | Notice::Finger { .. }
            | Notice::Hop { .. }
    )
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
