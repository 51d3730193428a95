//! Acting through a member of a ring without joining it: `--via`.
//!
//! (Being written.)

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::view::{Command, CommandFailed, Outcome};

/// How far a transfer has come, for a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is done: "hashing", "sending", "securing 2/3 copies", "receiving".
    pub phase: String,
    /// Bytes so far in this phase.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct Options {
    /// The member to act through.
    pub via: SocketAddr,
    /// Where downloads go.
    pub download_dir: PathBuf,
}

/// Carries out one command through `options.via`; `progress` is called as
/// bytes move.
pub async fn run(
    options: &Options,
    command: Command,
    progress: impl Fn(Progress) + Send + Sync,
) -> Result<Outcome, CommandFailed> {
    let _ = (options, command, progress);
    unimplemented!("being written")
}
