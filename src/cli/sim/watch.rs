//! A simulation under the dashboard: it plays on a thread of its own, at the
//! speed that its user chooses, and shows one of its nodes.
//!
//! The thread owns the world. It lets events happen for some milliseconds, hears
//! what the dashboard wants, and takes a picture when one is due: so a key is
//! answered at once however much happens, and the dashboard never waits.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use chordal_core::time::Time;
use chordal_sim::{End, HostId, Scenario, Show, Words, World};
use chordal_tui as ui;
use chordal_tui::SimulationRequest;
use chordal_view::{Level, SimulationRow, Snapshot, Speed, UiEvent};

use super::super::args::LookArgs;
use super::super::dashboard::{self, Submission, Tab};
use super::super::failure::Failure;
use super::super::runtime::runtime;

/// Requests and commands that wait: a person presses and types them.
const REQUESTS: usize = 64;

/// Events happen for at most so long before keys are looked at.
const SLICE: Duration = Duration::from_millis(8);

/// Events between two looks at the clock.
const BATCH: usize = 32;

/// Time between two pictures: 30 a second.
const PICTURE: Duration = Duration::from_millis(33);

/// The least time to wait for something to do while nothing is due.
const LEAST_WAIT: Duration = Duration::from_millis(2);

/// Pictures of a large ring take their time: events get at least so many times
/// as much.
const SHARE: u32 = 4;

/// Over how long the speed is measured.
const MEASURE: Duration = Duration::from_secs(1);

/// Beyond every event.
const NEVER: Time = Time::from_micros(u64::MAX);

/// What the prompt says at the start.
const WELCOME: &str = "Space stops and goes on · < > speed · . one event · Esc, then n next node, \
                       K kill, P cut the network, ? all keys";

/// Plays a scenario under the dashboard until that ends. Its end is not the end of
/// the world, which goes on when its user wants.
pub(super) fn run(scenario: Scenario, paused: bool, look: LookArgs) -> Result<(), Failure> {
    if !ui::terminal::is_usable() {
        return Err(Failure::Usage(
            "a simulation can only be watched on a terminal (TERM must not be 'dumb'); \
             chordal sim --help lists what needs none"
                .to_owned(),
        ));
    }
    super::begin("watch", scenario.setup.seed, false)?;
    let bar = super::bar("the ring");
    let world = scenario.world(&mut |done, of| {
        bar.set_length(of);
        bar.set_position(done);
    });
    bar.finish_and_clear();

    let runtime = runtime()?;
    let (requests, asked) = mpsc::channel(REQUESTS);
    let (commands, submitted) = mpsc::channel(REQUESTS);
    let (player, feed) = Player::new(world, scenario, !paused, commands);
    let ear = Ear { handle: runtime.handle().clone(), asked, submitted };
    let thread = thread::Builder::new()
        .name("simulation".to_owned())
        .spawn(move || player.play(ear))
        .map_err(|error| {
            Failure::Failed(format!("cannot start a thread: {error}; close other programs"))
        })?;
    let welcome = WELCOME.to_owned();
    let end = runtime.block_on(dashboard::run_simulation(feed, look, requests, welcome));
    // It ends with the channels; a panic in it has been shown already.
    let _ = thread.join();
    end.map(drop)
}

/// What the player is told.
enum Heard {
    Request(SimulationRequest),
    Command(Submission),
    Nothing,
    /// The dashboard has ended.
    End,
}

/// Where it hears from.
struct Ear {
    handle: Handle,
    asked: mpsc::Receiver<SimulationRequest>,
    submitted: mpsc::Receiver<Submission>,
}

impl Ear {
    /// The next thing, waiting at most so long; `None`: as long as it takes.
    fn next(&mut self, wait: Option<Duration>) -> Heard {
        let Ear { handle, asked, submitted } = self;
        let next = async {
            tokio::select! {
                request = asked.recv() => request.map_or(Heard::End, Heard::Request),
                command = submitted.recv() => command.map_or(Heard::End, Heard::Command),
            }
        };
        handle.block_on(async {
            match wait {
                None => next.await,
                Some(wait) => tokio::time::timeout(wait, next).await.unwrap_or(Heard::Nothing),
            }
        })
    }
}

/// Real time beside the world's, at one moment.
#[derive(Clone, Copy)]
struct Mark {
    real: Instant,
    simulated: Time,
}

/// What plays a world.
struct Player {
    world: World,
    scenario: Scenario,
    /// The scenario's end has been told.
    over: bool,
    show: Show,
    words: Words,
    tab: Tab,
    replies: BTreeMap<u64, oneshot::Sender<End>>,
    /// The number of the next command.
    next: u64,
    running: bool,
    speed: Speed,
    pace: Option<f64>,
    /// From where time is counted since the speed changed.
    anchor: Mark,
    /// From where the speed is measured.
    measured: Mark,
    /// Events wait although their time has come.
    behind: bool,
    /// There is something new to be seen.
    dirty: bool,
    /// When the last picture was taken, and how long that took.
    pictured: Instant,
    cost: Duration,
}

impl Player {
    fn new(
        mut world: World,
        scenario: Scenario,
        running: bool,
        commands: mpsc::Sender<Submission>,
    ) -> (Player, ui::Feed) {
        let mut show = Show::new(&mut world);
        let now = Instant::now();
        let mark = Mark { real: now, simulated: world.now() };
        let title = scenario.title.clone();
        let row = SimulationRow { title, running, ..SimulationRow::default() };
        let first = show.snapshot(&world, row);
        let (tab, feed) = Tab::new(Arc::new(first), commands);
        let player = Player {
            world,
            scenario,
            over: false,
            show,
            words: Words::default(),
            tab,
            replies: BTreeMap::new(),
            next: 0,
            running,
            speed: Speed::REAL,
            pace: None,
            anchor: mark,
            measured: mark,
            behind: false,
            dirty: true,
            pictured: now,
            cost: now.elapsed(),
        };
        (player, feed)
    }

    /// Plays until nobody listens any more.
    fn play(mut self, mut ear: Ear) {
        let mut wait = Some(Duration::ZERO);
        loop {
            match ear.next(wait) {
                Heard::End => return,
                Heard::Request(request) => self.request(request),
                Heard::Command((command, reply)) => {
                    let number = self.next;
                    self.next += 1;
                    let (world, show) = (&mut self.world, &mut self.show);
                    match self.words.say(number, command, world, show, size_of) {
                        Some(end) => drop(reply.send(end)),
                        None => {
                            self.replies.insert(number, reply);
                            if !self.running {
                                let text = "time stands still; with Space the command goes on";
                                self.say(Level::Warn, text.to_owned());
                            }
                        }
                    }
                    self.dirty = true;
                }
                Heard::Nothing => {}
            }
            if self.running {
                self.advance();
            }
            self.report();
            wait = self.picture_if_due();
        }
    }

    /// Lets happen what is due by now, for one slice of time at the most.
    fn advance(&mut self) {
        let passed = self.speed.simulated(self.anchor.real.elapsed());
        let due = passed.map_or(NEVER, |passed| self.anchor.simulated + passed);
        let stop = self.next_stop();
        let goal = due.min(stop);
        let end = Instant::now() + SLICE;
        self.behind = false;
        'slice: loop {
            for _ in 0..BATCH {
                match self.world.next_at().filter(|at| *at <= goal) {
                    Some(_) => drop(self.world.step()),
                    None => break 'slice,
                }
            }
            if Instant::now() >= end {
                self.behind = true;
                break;
            }
        }
        if self.behind {
            // What was not managed is not made up for later.
            self.anchor = self.mark();
        } else if goal < NEVER {
            // Nothing happens between the last event and now.
            self.world.run_until(goal);
            if goal == stop {
                self.stopped();
            }
        } else {
            self.run(false);
            self.say(Level::Info, "nothing is left to happen".to_owned());
        }
        self.measure();
        self.dirty = true;
    }

    /// When the scenario wants something done.
    fn next_stop(&self) -> Time {
        let times = [self.scenario.calm, self.scenario.until].map(|at| Time::ZERO + at);
        let ahead = times.into_iter().find(|at| *at > self.world.now());
        ahead.filter(|_| !self.over).unwrap_or(NEVER)
    }

    /// Does it.
    fn stopped(&mut self) {
        if self.scenario.calm_down(&mut self.world) {
            self.say(Level::Info, "from now on nobody comes, goes or asks any more".to_owned());
        }
        if self.world.now() >= Time::ZERO + self.scenario.until {
            self.over = true;
            self.run(false);
            let trace = self.world.trace();
            let text = format!("the scenario ends here, trace {trace}; Space goes on without it");
            self.say(Level::Info, text);
        }
    }

    fn mark(&self) -> Mark {
        Mark { real: Instant::now(), simulated: self.world.now() }
    }

    fn measure(&mut self) {
        let real = self.measured.real.elapsed();
        if real >= MEASURE {
            let simulated = self.world.now() - self.measured.simulated;
            self.pace = Some(simulated.as_secs_f64() / real.as_secs_f64());
            self.measured = self.mark();
        }
    }

    /// Lets time pass, or stops it.
    fn run(&mut self, running: bool) {
        self.running = running;
        self.behind = false;
        self.restart_clock();
    }

    fn restart_clock(&mut self) {
        (self.anchor, self.measured, self.pace) = (self.mark(), self.mark(), None);
    }

    fn request(&mut self, request: SimulationRequest) {
        self.dirty = true;
        let host = self.show.host();
        match request {
            SimulationRequest::Run(running) => self.run(running),
            SimulationRequest::Step if self.running => {}
            SimulationRequest::Step => {
                let text = self.world.next_in_words();
                self.world.step();
                self.say(Level::Info, text.unwrap_or_else(|| "nothing is left".to_owned()));
            }
            SimulationRequest::Faster => {
                self.speed = self.speed.faster();
                self.restart_clock();
            }
            SimulationRequest::Slower => {
                self.speed = self.speed.slower();
                self.restart_clock();
            }
            SimulationRequest::Kill => {
                let name = self.shown_name();
                self.world.crash(host);
                self.say(Level::Warn, format!("{name} was killed; R starts it again"));
            }
            SimulationRequest::Restart => {
                self.world.restart(host);
                let name = self.shown_name();
                self.say(Level::Info, format!("{name} starts again, with what its disk has"));
            }
            SimulationRequest::Add => {
                let new = self.world.join();
                self.say(
                    Level::Info,
                    format!("{} joins through a random member", of_host(&self.world, new)),
                );
            }
            SimulationRequest::Part => {
                let [_, far] = self.show.halves(&self.world);
                // The near half is in no group, and neither are hosts that come: they
                // join it.
                self.world.part(&[far]);
                self.say(Level::Warn, "the network is cut into two halves; H heals it".to_owned());
            }
            SimulationRequest::Heal => {
                self.world.heal();
                self.say(Level::Info, "the network is whole again".to_owned());
            }
            SimulationRequest::Next => self.show.step(&mut self.world, false),
            SimulationRequest::Previous => self.show.step(&mut self.world, true),
            SimulationRequest::Show(peer) => {
                if !self.show.visit(&mut self.world, peer) {
                    self.say(Level::Warn, format!("{peer} is no host of this simulation"));
                }
            }
        }
        if self.show.host() != host {
            let name = self.shown_name();
            self.say(Level::Info, format!("from here on: {name}"));
        }
    }

    /// The shown node as people call it.
    fn shown_name(&self) -> String {
        let (peer, space) = (self.show.peer(&self.world), self.world.space());
        format!("{} ({peer})", space.show(peer.id(space)))
    }

    /// Passes on what has ended and what was noticed.
    fn report(&mut self) {
        let mut ends = Vec::new();
        for (operation, ended) in self.world.ended() {
            self.show.ended(operation, &ended);
            ends.extend(self.words.ended(&self.world, operation, &ended));
        }
        ends.extend(self.words.look(&self.world));
        for (number, end) in ends {
            if let Some(reply) = self.replies.remove(&number) {
                // Whoever asked may have gone.
                let _ = reply.send(end);
                self.dirty = true;
            }
        }
    }

    /// Takes a picture when it is time for one; how long to wait for the next
    /// thing to do, `None`: until somebody says something.
    fn picture_if_due(&mut self) -> Option<Duration> {
        let spacing = if self.running { PICTURE.max(self.cost * SHARE) } else { Duration::ZERO };
        let since = self.pictured.elapsed();
        if self.dirty && since >= spacing {
            self.picture();
        }
        let left = spacing.saturating_sub(self.pictured.elapsed());
        match (self.running, self.behind) {
            (false, _) => None,
            (true, true) => Some(Duration::ZERO),
            (true, false) => Some(left.clamp(LEAST_WAIT, PICTURE)),
        }
    }

    fn picture(&mut self) {
        let began = Instant::now();
        for event in self.show.events(&mut self.world) {
            self.tab.say(event);
        }
        let row = SimulationRow {
            title: self.scenario.title.clone(),
            running: self.running,
            speed: self.speed,
            pace: self.pace,
            ..SimulationRow::default()
        };
        let snapshot: Snapshot = self.show.snapshot(&self.world, row);
        self.tab.show(Arc::new(snapshot));
        self.pictured = Instant::now();
        self.cost = self.pictured - began;
        self.dirty = false;
    }

    /// A line of the simulation itself.
    fn say(&self, level: Level, text: String) {
        let unix_ms = self.world.now().as_micros() / 1_000;
        self.tab.say(UiEvent { unix_ms, level, step: None, text });
    }
}

fn of_host(world: &World, host: HostId) -> String {
    format!("a new host at {}", world.address(host))
}

/// The bytes of a file of this machine: a simulated put of it is as large.
fn size_of(path: &Path) -> Option<u64> {
    fs::metadata(path).ok().filter(fs::Metadata::is_file).map(|file| file.len())
}
