//! The dashboard's loop: waits, takes in everything that is ready, draws once.
//!
//! Order of attention: signals, keys, panics, nodes, timers. A key is painted at
//! once; what nodes report is painted at most [`FRAMES`] times a second, and
//! nothing is painted when nothing changed. It knows no terminal: a [`Screen`],
//! a stream of keys and a stream of signals are given to it.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crossterm::event::Event;
use futures_util::future::FutureExt;
use futures_util::{Stream, StreamExt};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use chordal_view::text::clean;
use chordal_view::{CensusState, Level, Membership};

use super::inbox::{Inbox, LAB_SILENT, News};
use super::reducer::UiEffect;
use super::screen::Screen;
use super::state::{App, Overlay};
use super::{Ended, Feed, LabRequest, SimulationRequest, UiError, draw, history, terminal};

/// Time between two frames that no key asked for: 15 a second.
const FRAMES: Duration = Duration::from_millis(66);

/// Time between two frames when only a clock on the screen moves.
const CLOCK: Duration = Duration::from_secs(1);

/// Time between two looks whether the terminal is still there.
const LOOK: Duration = Duration::from_secs(2);

/// News taken in before the next look at the keys: a flood of events must not
/// hold a key up.
const BATCH: usize = 256;

/// What is said when a simulation does not take requests.
const SIMULATION_SILENT: &str = "the simulation is busy; press the key again, or quit";

/// What a signal means here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signalled {
    /// Leave and end: INT, TERM, QUIT.
    End,
    /// The terminal goes away: HUP.
    Hangup,
    /// Stop until continued: TSTP from outside.
    Stop,
    /// Continued: CONT.
    Continue,
}

/// One dashboard from its first frame to its end.
pub(super) struct Session<S> {
    app: App,
    screen: S,
    inbox: Inbox,
    lab: Option<mpsc::Sender<LabRequest>>,
    simulation: Option<mpsc::Sender<SimulationRequest>>,
    start: Instant,
    title: String,
    /// Something changed since the last frame.
    dirty: bool,
    /// A key changed it: no waiting.
    urgent: bool,
    drawn: Option<Instant>,
    /// Nodes asked to leave that have not answered, once leaving has begun.
    leaving: Option<usize>,
    stopping: Option<Stop>,
    ended: Option<Ended>,
}

/// A stop that is to be carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// Asked for by a key: the whole group stops, as by the terminal.
    Key,
    /// Asked for by a signal to this process.
    Signal,
}

/// Why the loop cannot go on.
enum LoopError {
    Gone,
    Failed(io::Error),
}

impl<S: Screen> Session<S> {
    /// A session over these nodes; `app` shows their snapshots already.
    pub(super) fn new(
        app: App,
        screen: S,
        feeds: Vec<Feed>,
        lab: Option<mpsc::Sender<LabRequest>>,
    ) -> Session<S> {
        Session {
            app,
            screen,
            inbox: Inbox::new(feeds),
            lab,
            simulation: None,
            start: Instant::now(),
            title: String::new(),
            dirty: true,
            urgent: true,
            drawn: None,
            leaving: None,
            stopping: None,
            ended: None,
        }
    }

    /// The same over a simulation, if there is one.
    pub(super) fn over(
        mut self,
        simulation: Option<mpsc::Sender<SimulationRequest>>,
    ) -> Session<S> {
        self.simulation = simulation;
        self
    }

    /// Runs until the end. `panics` waits for a panic of a background task.
    pub(super) async fn run(
        mut self,
        keys: impl Stream<Item = io::Result<Event>> + Unpin,
        signals: impl Stream<Item = Signalled> + Unpin,
        panics: impl Future<Output = String>,
    ) -> Result<Ended, UiError> {
        let ended = self.until_end(keys, signals, panics).await;
        // The reader of keys is gone now: on a dead terminal it would spin.
        match ended {
            Ok(ended) => Ok(ended),
            Err(LoopError::Failed(_)) if self.screen.is_gone() => Ok(self.hang_up()),
            Err(LoopError::Failed(why)) => Err(UiError::Terminal(why)),
            Err(LoopError::Gone) => Ok(self.hang_up()),
        }
    }

    async fn until_end(
        &mut self,
        mut keys: impl Stream<Item = io::Result<Event>> + Unpin,
        mut signals: impl Stream<Item = Signalled> + Unpin,
        panics: impl Future<Output = String>,
    ) -> Result<Ended, LoopError> {
        let mut panics = pin!(panics.fuse());
        let mut panicked = false;
        let mut look = interval_at(Instant::now() + LOOK, LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.paint()?;
            let wake = self.next_wake();
            tokio::select! {
                biased;
                signal = signals.next() => self.signal(signal.unwrap_or(Signalled::Hangup))?,
                key = keys.next() => self.input(key)?,
                what = &mut panics, if !panicked => {
                    panicked = true;
                    self.app.background_panic(&what);
                    self.dirty = true;
                }
                news = self.inbox.next() => self.news(news),
                _ = look.tick() => if self.screen.is_gone() { return Err(LoopError::Gone) },
                () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {
                    self.on_timer();
                }
            }
            while let Some(Some(signal)) = ready(&mut signals).await {
                self.signal(signal)?;
            }
            for _ in 0..BATCH {
                let Some(key) = ready(&mut keys).await else { break };
                self.input(key)?;
            }
            for _ in 0..BATCH {
                let Some(news) = self.inbox.ready() else { break };
                self.news(news);
            }
            if let Some(stop) = self.stopping.take() {
                self.stop(stop, &mut signals).await?;
            }
            if let Some(ended) = self.ended {
                return Ok(ended);
            }
        }
    }

    fn paint(&mut self) -> Result<(), LoopError> {
        let now = Instant::now();
        let due = self.drawn.is_none_or(|drawn| now >= drawn + FRAMES);
        if !(self.dirty && (self.urgent || due)) {
            return Ok(());
        }
        self.tell_time(now);
        self.screen.draw(&mut self.app).map_err(LoopError::Failed)?;
        let title = window_title(&self.app);
        if title != self.title {
            self.screen.write(&terminal::title(&title)).map_err(LoopError::Failed)?;
            self.title = title;
        }
        self.drawn = Some(now);
        (self.dirty, self.urgent) = (false, false);
        Ok(())
    }

    fn tell_time(&mut self, now: Instant) {
        self.app.now = now - self.start;
        let unix = SystemTime::now().duration_since(UNIX_EPOCH);
        self.app.unix_s = unix.as_ref().map_or(0, Duration::as_secs);
    }

    /// When to wake up although nothing arrives; usually never.
    fn next_wake(&self) -> Option<Instant> {
        let drawn = self.drawn?;
        let frame = self.dirty.then_some(drawn + FRAMES);
        let tick = self.tick().map(|tick| drawn + tick);
        [frame, tick].into_iter().flatten().min()
    }

    /// How long a frame stays true while nothing arrives.
    fn tick(&self) -> Option<Duration> {
        let moving = draw::wants_tick(&self.app).map(|tick| tick.max(FRAMES));
        let leaving = matches!(self.app.overlay, Some(Overlay::Leaving { .. }));
        let clock = (self.app.frozen.is_some() || leaving).then_some(CLOCK);
        moving.into_iter().chain(clock).min()
    }

    fn on_timer(&mut self) {
        let now = Instant::now();
        self.tell_time(now);
        if let (Some(drawn), Some(tick)) = (self.drawn, self.tick())
            && now >= drawn + tick
        {
            self.dirty = true;
        }
    }

    fn signal(&mut self, signal: Signalled) -> Result<(), LoopError> {
        self.tell_time(Instant::now());
        (self.dirty, self.urgent) = (true, true);
        match signal {
            Signalled::Hangup => return Err(LoopError::Gone),
            Signalled::End => {
                let done = self.app.terminate();
                self.carry_out(done)?;
            }
            Signalled::Stop => self.stopping = Some(Stop::Signal),
            Signalled::Continue => {
                // Of a stop and a go in one batch the go counts: stopping now
                // would be for ever.
                self.stopping = None;
                self.resume()?;
            }
        }
        Ok(())
    }

    fn input(&mut self, input: Option<io::Result<Event>>) -> Result<(), LoopError> {
        let event = match input {
            None => return Err(LoopError::Gone),
            Some(Err(why)) if why.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Some(Err(why)) => return Err(LoopError::Failed(why)),
            Some(Ok(event)) => event,
        };
        self.tell_time(Instant::now());
        let done = match event {
            Event::Key(key) => self.app.key(key),
            Event::Paste(text) => {
                self.app.paste(&text);
                Vec::new()
            }
            Event::Mouse(event) => {
                self.app.mouse(event);
                Vec::new()
            }
            Event::Resize(..) | Event::FocusGained | Event::FocusLost => Vec::new(),
        };
        (self.dirty, self.urgent) = (true, true);
        self.carry_out(done)
    }

    fn news(&mut self, news: News) {
        self.tell_time(Instant::now());
        self.dirty |= self.is_seen(&news);
        match news {
            News::Snapshot(node, snapshot) => self.app.snapshot_changed(node, snapshot),
            News::Event(node, event) => self.app.event(node, event),
            News::Ended(node) => self.app.ended(node),
            News::Reply(ticket, result) => self.app.reply(ticket, result),
            News::Told(level, text) => self.app.tell(level, text),
            News::Added(feed) => {
                let snapshot = self.inbox.add(*feed);
                self.app.node_added(snapshot);
            }
            News::Left => {
                if let Some(missing) = &mut self.leaving {
                    *missing = missing.saturating_sub(1);
                    if *missing == 0 {
                        self.ended = Some(Ended::Quit);
                    }
                }
            }
        }
    }

    /// Whether news change the picture. Those of a lab's other nodes do not; of other
    /// registries it shows how many peers they have.
    fn is_seen(&self, news: &News) -> bool {
        let (shown, frozen) = (self.app.shown, self.app.frozen.is_some());
        let registry = self.app.is_registry();
        match news {
            News::Snapshot(node, _) => (*node == shown || registry) && !frozen,
            News::Ended(_) => registry,
            // A frozen picture counts what it does not show.
            News::Event(node, event) => *node == shown && (frozen || self.app.log.shows(event)),
            News::Reply(..) | News::Told(..) | News::Added(_) | News::Left => true,
        }
    }

    fn carry_out(&mut self, done: Vec<UiEffect>) -> Result<(), LoopError> {
        for one in done {
            match one {
                UiEffect::Submit { node, ticket, command } => {
                    self.inbox.submit(node, ticket, command);
                }
                UiEffect::Remember(line) => self.remember(line),
                UiEffect::Leave => self.leave(),
                UiEffect::EndNow => self.ended = Some(Ended::Interrupted),
                UiEffect::Suspend => self.stopping = Some(Stop::Key),
                UiEffect::Repaint => self.screen.repaint().map_err(LoopError::Failed)?,
                UiEffect::Mouse(on) => self.screen.mouse(on).map_err(LoopError::Failed)?,
                UiEffect::Copy(text) => {
                    let text = terminal::clipboard(&text);
                    self.screen.write(&text).map_err(LoopError::Failed)?;
                }
                UiEffect::Export { name, json } => {
                    self.inbox.run_blocking(move || export(&name, &json));
                }
                UiEffect::Kill(node) => self.ask_lab(LabRequest::Kill(node)),
                UiEffect::Restart(node) => self.ask_lab(LabRequest::Restart(node)),
                UiEffect::Add => {
                    let (reply, added) = oneshot::channel();
                    self.ask_lab(LabRequest::Add(reply));
                    self.inbox.expect(added);
                }
                UiEffect::Simulate(request) => self.ask_simulation(request),
            }
        }
        Ok(())
    }

    fn remember(&mut self, line: String) {
        let Some(path) = self.app.prompt.history.path().map(Path::to_owned) else { return };
        // Not awaited: that a history cannot be written is only logged.
        drop(tokio::task::spawn_blocking(move || {
            if let Err(why) = history::append(&path, &line) {
                tracing::warn!("the history {} cannot be written: {why}", path.display());
            }
        }));
    }

    fn leave(&mut self) {
        // Simulated nodes end with their world, and those of a lab all together:
        // no other node would take their files. A registry is on no ring.
        if self.simulation.is_some() || self.lab.is_some() || self.app.is_registry() {
            self.ended = Some(Ended::Quit);
            return;
        }
        let runs = |node: &usize| self.app.nodes[*node].snapshot.membership != Membership::Down;
        let nodes: Vec<usize> = (0..self.app.nodes.len()).filter(runs).collect();
        self.leaving = Some(nodes.len());
        if nodes.is_empty() {
            self.ended = Some(Ended::Quit);
        }
        for node in nodes {
            self.inbox.leave(node);
        }
    }

    fn ask_lab(&mut self, request: LabRequest) {
        let sent = self.lab.as_ref().is_some_and(|lab| lab.try_send(request).is_ok());
        if !sent {
            self.app.tell(Level::Error, LAB_SILENT);
        }
    }

    fn ask_simulation(&mut self, request: SimulationRequest) {
        let sent = self.simulation.as_ref().is_some_and(|asked| asked.try_send(request).is_ok());
        if !sent {
            self.app.tell(Level::Error, SIMULATION_SILENT);
        }
    }

    /// Gives the terminal back, stops, and goes on when continued.
    async fn stop(
        &mut self,
        stop: Stop,
        signals: &mut (impl Stream<Item = Signalled> + Unpin),
    ) -> Result<(), LoopError> {
        (self.dirty, self.urgent) = (true, true);
        if stop == Stop::Key && !self.screen.can_stop() {
            let text = "no shell would bring the program back from a stop; use another terminal";
            self.app.tell(Level::Warn, text);
            return Ok(());
        }
        self.screen.stop(stop == Stop::Key).map_err(LoopError::Failed)?;
        // The process stops some instants after asking for it, and other signals may
        // come first when it goes on.
        let mut kept = None;
        while kept.is_none() {
            match signals.next().await.unwrap_or(Signalled::Hangup) {
                Signalled::Continue => break,
                Signalled::Stop => {}
                other => kept = Some(other),
            }
        }
        self.resume()?;
        let text = if self.app.is_registry() {
            "stopped for a while: nobody was checked, and nodes may have gone"
        } else {
            "stopped for a while: peers drop a node that does not answer, \
             so the ring may have closed without this one"
        };
        self.app.tell(Level::Warn, text);
        kept.map_or(Ok(()), |signal| self.signal(signal))
    }

    fn resume(&mut self) -> Result<(), LoopError> {
        self.title.clear();
        self.screen.resume().map_err(LoopError::Failed)
    }

    /// The terminal is gone: no more writing. The program that runs the nodes has them leave.
    fn hang_up(&mut self) -> Ended {
        if !self.screen.is_gone() {
            // Only a signal: the terminal is still there for others.
            if let Err(why) = self.screen.give_back() {
                tracing::warn!("the terminal could not be restored: {why}");
            }
        }
        self.screen.abandon();
        Ended::Hangup
    }
}

/// What a stream has ready, without waiting. Unlike `now_or_never` it leaves
/// this task's own waker behind: crossterm keeps the first waker that it was
/// given since the last key, and would not wake this task at the next one.
async fn ready<S: Stream + Unpin>(stream: &mut S) -> Option<Option<S::Item>> {
    std::future::poll_fn(|context| {
        Poll::Ready(match stream.poll_next_unpin(context) {
            Poll::Ready(item) => Some(item),
            Poll::Pending => None,
        })
    })
    .await
}

/// `chordal 466 :2000 ●8`: for the list of windows or panes.
fn window_title(app: &App) -> String {
    let snapshot = &app.nodes[app.shown].snapshot;
    let (port, dot) = (snapshot.me.address().port(), app.glyphs.up);
    if let Some(registry) = &snapshot.registry {
        return format!("chordal registry :{port} {dot}{}", registry.peers.len());
    }
    let id = snapshot.space.show(snapshot.me.id(snapshot.space));
    let members = match snapshot.census {
        CensusState::Estimate(members) => format!("~{members}"),
        CensusState::Complete | CensusState::Partial => snapshot.living().to_string(),
    };
    clean(&format!("chordal {id} :{port} {dot}{members}")).into_owned()
}

/// Writes a snapshot into the working directory, never over another file.
fn export(name: &str, json: &str) -> (Level, String) {
    let write = |path: &Path| -> io::Result<()> {
        let mut file = std::fs::File::create_new(path)?;
        io::Write::write_all(&mut file, json.as_bytes())
    };
    let stem = name.strip_suffix(".json").unwrap_or(name);
    let again = (1..100).map(|number| PathBuf::from(format!("{stem} ({number}).json")));
    let mut failed = None;
    for path in std::iter::once(PathBuf::from(name)).chain(again) {
        match write(&path) {
            Ok(()) => return (Level::Info, format!("wrote the snapshot to {}", path.display())),
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => failed = Some(why),
            Err(why) => {
                failed = Some(why);
                break;
            }
        }
    }
    let why = failed.map(|why| why.to_string()).unwrap_or_default();
    (Level::Error, format!("{name} cannot be written: {why}; check the working directory"))
}

#[cfg(test)]
mod tests;
