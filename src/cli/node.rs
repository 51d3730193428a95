//! One node: with its dashboard, or without (`--headless`).

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::args::{NodeArgs, RingArgs, ScreenArgs};
use super::dashboard::{self, Tab};
use super::failure::Failure;
use super::log::{self, Log};
use super::output::print;
use super::runtime::runtime;
use super::signals::EndSignals;

use tokio::sync::mpsc;
use tokio::time::interval_at;

use chordal_core::wire::handshake::Params;
use chordal_engine::{Config, Node, StartError, default_data_dir};
use chordal_tui as ui;
use chordal_view::{Snapshot, UiEvent, text};

/// How often a node without a dashboard says how far its leave is.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// A node that was told to end now has this long to say what stays.
const NOW: Duration = Duration::from_secs(2);

/// Time for threads that are still inside a call of the system: everything is
/// said and done by then, and no call may keep the program from ending.
const THREADS_DEADLINE: Duration = Duration::from_secs(2);

/// What is said of a node that did not even say what stays.
const UNHANDED: &str = "ended at once: not every file may have been handed over; start the node \
     again with the same address to bring them back";

/// Runs a node until it is told to end; `adjust`: see [`super::main_with`].
pub(super) fn run(args: NodeArgs, adjust: fn(&mut Config)) -> Result<(), Failure> {
    let listen = args.listen().map_err(|error| Failure::Usage(error.to_string()))?;
    args.ring.check().map_err(Failure::Usage)?;
    if args.min_copies > args.ring.replicas {
        let (least, most) = (args.min_copies, args.ring.replicas);
        return Err(Failure::Usage(format!(
            "--min-copies {least} is more than the --replicas {most} that the ring makes: no put \
             would be acknowledged"
        )));
    }
    if !args.screen.headless {
        dashboard::needs_terminal()?;
    }
    // A node on port 0 has no address yet, and so no directory by default.
    let named = match args.advertise {
        Some(address) if address.port() == 0 => SocketAddr::new(address.ip(), listen.port()),
        Some(address) => address,
        None => listen,
    };
    let data_dir = match args.data_dir {
        Some(directory) => Some(directory),
        None if named.port() == 0 => None,
        None => Some(default_dir(named)?),
    };
    let mut config = Config {
        listen,
        advertise: args.advertise,
        join: args.join,
        seeds: args.seeds,
        share: args.share,
        reshare: !args.no_reshare,
        params: params(&args.ring),
        successors: usize::from(args.ring.successors),
        vnodes: args.ring.vnodes,
        stabilize: args.ring.stabilize,
        data_dir,
        download_dir: args.download_dir,
        transfers: args.transfers.limits(),
        min_copies: args.min_copies,
        quota: Some(args.quota).filter(|bytes| *bytes > 0),
        leave_deadline: args.leave_deadline,
        scrub: (!args.scrub_every.is_zero()).then_some(args.scrub_every),
        ..Config::at(listen)
    };
    adjust(&mut config);
    let runtime = runtime()?;
    let end = runtime.block_on(carry(config, args.screen));
    runtime.shutdown_timeout(THREADS_DEADLINE);
    end
}

/// What the members of the ring agree on.
pub(super) fn params(ring: &RingArgs) -> Params {
    Params { ring: ring.name.clone(), space: ring.space(), replicas: ring.replicas }
}

/// The line that tells scripts that a node listens.
pub(super) fn ready(snapshot: &Snapshot) -> String {
    let id = snapshot.space.show(snapshot.me.id(snapshot.space));
    format!("ready {id} {}\n", snapshot.me.address())
}

/// Whose fault it is that a node did not start.
pub(super) fn refused(error: StartError) -> Failure {
    match error {
        StartError::Unadvertisable(_) => Failure::Usage(error.to_string()),
        StartError::Listen { .. } | StartError::Store(_) => Failure::Failed(error.to_string()),
    }
}

async fn carry(config: Config, screen: ScreenArgs) -> Result<(), Failure> {
    // Before anything is begun that a signal must not cut off.
    let signals = screen.headless.then(EndSignals::listen).transpose()?;
    let early = config.data_dir.clone();
    let early = early.map(|directory| open_log(directory, &screen)).transpose()?;
    let mut node = match Node::start(config).await {
        Ok(node) => node,
        Err(error) => {
            early.into_iter().for_each(Log::discard);
            return Err(refused(error));
        }
    };
    let _log = match early {
        Some(log) => log,
        None => open_log(default_dir(node.address)?, &screen)?,
    };
    tracing::info!(address = %node.address, version = env!("CARGO_PKG_VERSION"), "listening");
    // The node keeps an empty channel: its events go where they are shown.
    let events = std::mem::replace(&mut node.events, mpsc::channel(1).1);
    match signals {
        Some(signals) => headless(node, events, signals).await,
        None => show(node, events, screen).await,
    }
}

fn open_log(data_dir: PathBuf, screen: &ScreenArgs) -> Result<Log, Failure> {
    log::start(data_dir.join("log"), screen.headless.then_some(screen.log_format))
}

fn default_dir(address: SocketAddr) -> Result<PathBuf, Failure> {
    default_data_dir(address).ok_or_else(|| {
        Failure::Usage(
            "this user has no home directory; say where to keep files: --data-dir".into(),
        )
    })
}

async fn show(
    node: Node,
    events: mpsc::Receiver<UiEvent>,
    screen: ScreenArgs,
) -> Result<(), Failure> {
    let (tab, feed) = Tab::new(node.snapshots.borrow().clone(), node.commands.clone());
    let mut snapshots = node.snapshots.clone();
    let relay = tokio::spawn(async move {
        let mut events = events;
        while tab.relay(&mut snapshots, &mut events).await.is_some() {}
    });
    let end = dashboard::run(vec![feed], screen, None).await;
    let left = leave(node, EndSignals::listen()?, matches!(end, Ok(ui::Ended::Interrupted))).await;
    relay.abort();
    end.and(left)
}

async fn headless(
    node: Node,
    mut events: mpsc::Receiver<UiEvent>,
    mut signals: EndSignals,
) -> Result<(), Failure> {
    let line = ready(&node.snapshots.borrow());
    print(line.as_bytes())?;
    let mut snapshots = node.snapshots.clone();
    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            event = events.recv() => match event {
                Some(event) => log::event(&event),
                None => return Err(stopped()),
            },
            alive = snapshots.changed() => alive.map_err(|_| stopped())?,
        }
    };
    tracing::info!(signal, "leaving the ring; another signal after a second ends it now");
    let rest = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            log::event(&event);
        }
    });
    let end = leave(node, signals, false).await;
    rest.abort();
    end
}

/// Has a node leave its ring and ends it; `now`: without handing anything over. A
/// signal after a while has it end now.
///
/// # Errors
/// What stayed on its disk.
async fn leave(node: Node, mut signals: EndSignals, now: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut ends = now.then_some(begun + NOW);
    if now {
        node.hurry();
    }
    let snapshots = node.snapshots.clone();
    let mut say = interval_at((begun + SAY_EVERY).into(), SAY_EVERY);
    let left = {
        let mut leaving = pin!(node.leave());
        loop {
            let late = async {
                match ends {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                left = &mut leaving => break Some(left),
                () = late => break None,
                signal = signals.next() => {
                    if ends.is_none() && begun.elapsed() > ui::SAME_WISH {
                        tracing::info!(signal, "ending now");
                        node.hurry();
                        ends = Some(Instant::now() + NOW);
                    }
                }
                _ = say.tick() => {
                    if let Some(row) = snapshots.borrow().handing_over {
                        tracing::info!("handing over: {}", text::handing_over(&row));
                    }
                }
            }
        }
    };
    let Some(left) = left else {
        node.kill().await;
        return Err(Failure::Failed(UNHANDED.to_owned()));
    };
    node.close().await;
    match text::left_behind(&left.kept, true) {
        Some(why) if !left.kept.is_failure() => tracing::info!("{why}"),
        Some(why) => return Err(Failure::Failed(why)),
        None => {}
    }
    Ok(())
}

fn stopped() -> Failure {
    let place = log::directory().map(|at| format!("; see the log in {}", at.display()));
    Failure::Failed(format!("the node stopped by itself{}", place.unwrap_or_default()))
}
