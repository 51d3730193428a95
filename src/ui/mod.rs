//! The dashboard (being written).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

use crate::view::{Command, CommandFailed, Outcome, Snapshot, UiEvent};

pub mod state;
pub mod theme;

/// (being written)
#[derive(Debug)]
pub struct Feed {
    /// (being written)
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// (being written)
    pub events: mpsc::Receiver<UiEvent>,
    /// (being written)
    pub commands: mpsc::Sender<(Command, oneshot::Sender<Result<Outcome, CommandFailed>>)>,
}

/// (being written)
#[derive(Debug)]
pub enum LabRequest {
    /// (being written)
    Kill(usize),
    /// (being written)
    Restart(usize),
    /// (being written)
    Add(oneshot::Sender<Result<Feed, CommandFailed>>),
}

/// (being written)
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Options {
    pub ascii: bool,
    pub theme: String,
    pub history: Option<PathBuf>,
    pub leave_deadline: Duration,
    pub log_dir: Option<PathBuf>,
    pub lab: Option<mpsc::Sender<LabRequest>>,
    pub first_message: Option<String>,
}

/// (being written)
#[derive(Debug)]
pub struct Ended;

/// (being written)
#[derive(Debug, thiserror::Error)]
#[error("being written")]
pub struct UiError;

/// (being written)
pub async fn run(feeds: Vec<Feed>, options: Options) -> Result<Ended, UiError> {
    let _ = (feeds, options);
    Err(UiError)
}
