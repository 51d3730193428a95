//! The dashboard: draws [`Snapshot`]s, takes keys, hands [`Command`]s to nodes. Over
//! registries (`chordal seed`) it is the same one, with other panels and no prompt.
//!
//! It owns the terminal from [`run()`]'s start to its end and nothing else: it
//! never asks a node anything in order to draw, and never touches a ring, a
//! store or a socket. One direction each: snapshots and events come in through a
//! [`Feed`], commands go out through it.
//!
//! - [`state`]: everything that a frame is drawn from; [`draw`] draws it.
//! - [`reducer`] (keys of panels and overlays), `prompt` (keys of the command
//!   line) and `ingest` (what nodes report) change the state and are pure.
//! - [`results`]: the lists of `find` and `scan`, from which Enter takes one.
//! - [`action`]: the one table behind keys, hints and help; [`explain`] says why
//!   things happen; [`complete`] and [`history`] serve the prompt.
//! - `session` waits, draws when something changed, and does what the reducer
//!   asks; `screen` and [`terminal`] are the real terminal.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use chordal_core::peer::Peer;
use chordal_view::{Command, CommandError, Outcome, Snapshot, UiEvent};

pub mod action;
pub mod complete;
pub mod draw;
pub mod explain;
#[cfg(any(test, feature = "fixture"))]
#[path = "tests/fixture.rs"]
pub mod fixture;
pub mod history;
mod inbox;
mod ingest;
pub mod panel;
mod prompt;
mod reader;
pub mod reducer;
mod result_keys;
pub mod results;
mod run;
mod screen;
mod session;
mod signals;
mod simulate;
pub mod state;
pub mod terminal;
#[cfg(test)]
mod tests;
pub mod theme;

pub use reducer::SAME_WISH;
pub use run::run;
pub use signals::stays_ignored;

/// One node's channels.
#[derive(Debug)]
pub struct Feed {
    /// Its state.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// What happens.
    pub events: mpsc::Receiver<UiEvent>,
    /// Commands for it, each with the channel for its result. A registry takes none.
    pub commands: mpsc::Sender<(Command, oneshot::Sender<Result<Outcome, CommandError>>)>,
}

/// What the dashboard asks of a lab; nodes are counted as their feeds are.
#[derive(Debug)]
pub enum LabRequest {
    /// End this node at once, as a crash would.
    Kill(usize),
    /// Start this node again. Its feed goes on.
    Restart(usize),
    /// Start one more node, which becomes the last; its feed comes back.
    Add(oneshot::Sender<Result<Feed, CommandError>>),
}

/// What the dashboard asks of a simulation. Its one feed shows one simulated node
/// after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimulationRequest {
    /// Let time pass, or stop it.
    Run(bool),
    /// One event, while time does not pass.
    Step,
    /// The next higher speed.
    Faster,
    /// The next lower speed.
    Slower,
    /// End the shown node's host at once, as a crash would.
    Kill,
    /// Start the shown node's host again.
    Restart,
    /// One more host, which joins through a random member.
    Add,
    /// Cut the network: each half of the ring reaches only itself.
    Part,
    /// Make it whole again.
    Heal,
    /// Show this node.
    Show(Peer),
    /// Show the node that comes next on the ring.
    Next,
    /// Show the node that comes before on the ring.
    Previous,
}

/// How a dashboard is set up.
#[derive(Debug)]
pub struct Options {
    /// ASCII glyphs only; `None`: when the locale is not UTF-8.
    pub ascii: Option<bool>,
    /// The colours: a name that [`theme::Theme::from_name`] knows, or `default`.
    pub theme: String,
    /// Where the history of the prompt is kept; `None`: nowhere.
    pub history: Option<PathBuf>,
    /// Where the log is, to be named after a crash.
    pub log_dir: Option<PathBuf>,
    /// Takes what is asked of a lab: without it nodes cannot be killed from here.
    pub lab: Option<mpsc::Sender<LabRequest>>,
    /// Takes what is asked of a simulation, when its nodes are shown.
    pub simulation: Option<mpsc::Sender<SimulationRequest>>,
    /// A line below the prompt at the start.
    pub first_message: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            ascii: None,
            theme: "default".to_owned(),
            history: None,
            log_dir: None,
            lab: None,
            simulation: None,
            first_message: None,
        }
    }
}

/// How a dashboard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every node has left its ring.
    Quit,
    /// The terminal went away; no node was asked to leave yet.
    Hangup,
    /// The user did not wait for the nodes to leave.
    Interrupted,
}

/// Why a dashboard cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum UiError {
    /// Standard input or output is no terminal, or one without cursor movements.
    #[error(
        "the dashboard needs a terminal (TERM must not be 'dumb'); use --headless to run without it"
    )]
    NotATerminal,
    /// Nothing to show.
    #[error("the dashboard was started without a node; this is a bug")]
    NoNode,
    /// No such colours.
    #[error("there is no theme '{0}'; --help lists them")]
    UnknownTheme(String),
    /// The terminal refused something.
    #[error("the terminal cannot be used: {0}; use --headless to run without the dashboard")]
    Terminal(#[from] std::io::Error),
}
