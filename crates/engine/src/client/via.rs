//! Acting through a member of a ring without joining it: `--via`.
//!
//! [`run`] carries out one command; a [`Client`] as many as one likes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use chordal_core::error::{CommandError, StoppedBy};
use chordal_core::wire::handshake::Purpose;
use chordal_view::{Command, Outcome, ScanRow, TransferRow};

use super::commands;
use super::files;
use super::moving::{Moving, unless};
use super::scan::Scanner;
use crate::client::leave;
use crate::data::access::{Access, Outside};
use crate::data::idle::Idle;
use crate::data::limits::{Limits, TransferLimits};
use crate::data::plane::DataPlane;
use crate::data::reach::Reach;
use crate::data::reputation::Reputations;
use crate::data::signs::Signs;
use crate::net::client_connections::ClientConnections;
use crate::net::greeting;
use crate::net::greeting::client_hello;
use crate::net::shutdown_handles::ShutdownHandles;
use crate::overlay::mesh::link_commands;
use crate::overlay::search;
use crate::transfers::Phases;
use crate::transfers::{Shown, Transfers};

/// How often `progress` is called while bytes move, and how often those are
/// stopped that begin after an interruption.
const PROGRESS: Duration = Duration::from_millis(100);

/// How far a command has come, for progress bars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// What is done: "hashing", "sending", "securing copies 2/3", "receiving",
    /// "searching: 12 nodes, 3 files".
    pub phase: String,
    /// The transfer of the command; `None` where no bytes are counted.
    pub transfer: Option<TransferRow>,
    /// Bytes of it that were there when it began: an earlier attempt left them.
    pub there: u64,
    /// Of a directory: its files that are at work, each with what is done.
    pub files: Vec<(TransferRow, String)>,
}

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The member to act through.
    pub via: SocketAddr,
    /// Where downloads go.
    pub download_dir: PathBuf,
    /// How much its transfers may take.
    pub transfers: TransferLimits,
    /// How long a download waits for a source when none is left.
    pub wait: Duration,
    /// Cancelled when the command shall end: it does so soon, and what came is
    /// kept for the same command.
    pub interrupted: CancellationToken,
}

/// Carries out one command through `options.via`; `progress` is called as
/// bytes move.
///
/// Needs a multi-threaded tokio runtime: bytes move with blocking calls.
pub async fn run(
    options: &Options,
    command: Command,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Outcome, CommandError> {
    act(options, command, &progress).await
}

/// Looks which ports of a host have nodes behind them; needs no ring. `home`
/// stands for what is not given: its host, and the ports around its own.
/// `progress` is told of the results so far.
pub async fn scan(
    home: SocketAddr,
    host: Option<&str>,
    ports: Option<&str>,
    interrupted: &CancellationToken,
    progress: impl FnMut(&ScanRow) + Send,
) -> Result<Outcome, CommandError> {
    let scanner = Scanner { home, node: None };
    let result = tokio::select! {
        result = super::scan::scan(&scanner, host, ports, progress) => result,
        () = interrupted.cancelled() => Err(CommandError::INTERRUPTED),
    };
    result.map(Outcome::Scanned)
}

/// A client that carries out many commands through one member: the connections
/// that they need are kept between them. Cheap to clone; the clones are the same
/// client, and any number of commands may run at a time.
#[derive(Clone, Debug)]
pub struct Client {
    access: Access,
    transfers: Transfers,
    download_dir: PathBuf,
    interrupted: CancellationToken,
    /// Ends the task that waits for the interruption.
    _watched: Arc<DropGuard>,
}

impl Client {
    /// Asks the member of `options` for its identity and its ring.
    ///
    /// Needs a multi-threaded tokio runtime: bytes move with blocking calls.
    ///
    /// # Errors
    /// It cannot be reached, or `options.interrupted` was cancelled.
    pub async fn connect(options: &Options) -> Result<Client, CommandError> {
        enter(options).await
    }

    /// Carries out one command, without telling of its progress.
    pub async fn run(&self, command: Command) -> Result<Outcome, CommandError> {
        Box::pin(self.carry_out(command, &Silent)).await
    }

    async fn carry_out(
        &self,
        command: Command,
        phases: &dyn Phases,
    ) -> Result<Outcome, CommandError> {
        let Client { access, transfers, download_dir, interrupted, .. } = self;
        let moving = Moving {
            access,
            transfers,
            download_dir,
            min_copies: 0,
            reshare: false,
            interrupted: Some(interrupted),
        };
        match moving.carry_out(command).await {
            Ok(ended) => ended,
            Err(other) => unless(interrupted, Box::pin(rest(access, other, phases))).await,
        }
    }
}

async fn enter(options: &Options) -> Result<Client, CommandError> {
    let via = options.via;
    let introduced = tokio::select! {
        introduced = greeting::introduce(via) => introduced,
        () = options.interrupted.cancelled() => return Err(CommandError::INTERRUPTED),
    };
    let (member, params) = introduced?;
    let shutdown = ShutdownHandles::default();
    let transfers =
        Transfers::new(Instant::now(), options.transfers.at_once).with_patience(options.wait);
    let plane = DataPlane {
        hello: client_hello(Purpose::Data),
        counters: Arc::default(),
        signs: Signs::default(),
        shutdown: shutdown.clone(),
        idle: Idle::default(),
        limits: Limits::new(&options.transfers),
        reach: Reach::default(),
        patient: false,
    };
    let access = Access::Outside(Outside {
        via,
        member,
        params,
        plane,
        connections: ClientConnections::default(),
        others: Arc::default(),
        reputations: Reputations::default(),
    });
    let over = CancellationToken::new();
    tokio::spawn({
        let (over, interrupted) = (over.clone(), options.interrupted.clone());
        let transfers = transfers.clone();
        async move {
            let stop = async {
                interrupted.cancelled().await;
                loop {
                    // Nothing else reaches a thread that waits for bytes. Again
                    // and again: a transfer may have begun since.
                    transfers.stop_all();
                    shutdown.cut_all();
                    tokio::time::sleep(PROGRESS).await;
                }
            };
            tokio::select! {
                () = over.cancelled() => {}
                () = stop => {}
            }
        }
    });
    Ok(Client {
        access,
        transfers,
        download_dir: options.download_dir.clone(),
        interrupted: options.interrupted.clone(),
        _watched: Arc::new(over.drop_guard()),
    })
}

async fn act(
    options: &Options,
    command: Command,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Outcome, CommandError> {
    let client = enter(options).await?;
    let phases = Arc::new(Current::default());
    let report = || {
        let (phase, shown) = (phases.get(), client.transfers.shown());
        let mut now = Progress { phase, ..Progress::default() };
        for Shown { row, phase, there } in shown {
            match row.part_of {
                Some(_) if row.ended_ms.is_none() => now.files.push((row, phase)),
                Some(_) => {}
                None => (now.phase, now.transfer, now.there) = (phase, Some(row), there),
            }
        }
        if !now.phase.is_empty() {
            // The longest at work first, so that lines keep their places.
            now.files.reverse();
            progress(now);
        }
    };
    let (worker, working_on) = (client.clone(), Arc::clone(&phases));
    // The bytes move on another task, whose thread they hold; this one tells of progress.
    let mut work = AbortOnDropHandle::new(tokio::spawn(async move {
        Box::pin(worker.carry_out(command, &*working_on)).await
    }));
    let result = loop {
        match timeout(PROGRESS, &mut work).await {
            Ok(ended) => {
                break ended.unwrap_or_else(|error| Err(CommandError::Bug(error.to_string())));
            }
            Err(_) => report(),
        }
    };
    report();
    if options.interrupted.is_cancelled() { result.map_err(interrupted) } else { result }
}

/// How an interrupted command ended. It may have said how far it was; what broke
/// by that is of no interest.
fn interrupted(error: CommandError) -> CommandError {
    match error {
        CommandError::Stopped { by: StoppedBy::Process, .. } => error,
        _ => CommandError::INTERRUPTED,
    }
}

/// Progress is not watched.
struct Silent;

impl Phases for Silent {
    fn phase(&self, _: &str) {}
}

/// The commands that move no files.
async fn rest(
    access: &Access,
    command: Command,
    phases: &dyn Phases,
) -> Result<Outcome, CommandError> {
    match command {
        Command::Find { pattern } => search::command::find(access, None, &pattern, phases).await,
        Command::Rm { name } => files::remove(access, &files::file_name(&name)?).await,
        Command::Say { text } => link_commands::say(access, text).await,
        Command::Leave => match access {
            Access::Outside(outside) => leave::leave_outside(access, outside, phases).await,
            Access::Inside(_) => Err(CommandError::Bug("a member leaves by itself".to_owned())),
        },
        reading => commands::read(access, reading).await,
    }
}

/// The phase that a search is in.
#[derive(Debug, Default)]
struct Current(Mutex<String>);

impl Current {
    fn get(&self) -> String {
        self.0.lock().clone()
    }
}

impl Phases for Current {
    fn phase(&self, phase: &str) {
        phase.clone_into(&mut self.0.lock());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::error::Fault;

    #[test]
    fn who_interrupts_is_told_how_far_it_was_and_nothing_of_what_broke_by_that() {
        let kept = "3 of 9 files are stored; the same put goes on where it was".to_owned();
        let halted = CommandError::Stopped { by: StoppedBy::Process, kept: Some(kept) };
        assert_eq!(interrupted(halted.clone()), halted);
        assert_eq!(interrupted(CommandError::CANCELLED), CommandError::INTERRUPTED);
        let broken = Fault::Other("broken pipe".to_owned());
        let broken = CommandError::peer(([127, 0, 0, 1], 2000).into(), broken);
        assert_eq!(interrupted(broken), CommandError::INTERRUPTED);
    }
}
