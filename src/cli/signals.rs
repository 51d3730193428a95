//! The signals that end a headless process.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::failure::Failure;

use chordal_tui::stays_ignored;

/// SIGINT, SIGTERM and SIGHUP, which all mean the same: leave. From its
/// creation on the process does not die of them by itself. One that was ignored
/// when the process started stays ignored.
pub(super) struct EndSignals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hangup: Option<Signal>,
}

impl EndSignals {
    /// Listens from now on. Needs a tokio runtime.
    pub(super) fn listen() -> Result<EndSignals, Failure> {
        let on = |kind| {
            if stays_ignored(kind) {
                return Ok(None);
            }
            signal(kind)
                .map(Some)
                .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))
        };
        Ok(EndSignals {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hangup: on(SignalKind::hangup())?,
        })
    }

    /// The next one's name.
    pub(super) async fn next(&mut self) -> &'static str {
        tokio::select! {
            () = received(&mut self.interrupt) => "SIGINT",
            () = received(&mut self.terminate) => "SIGTERM",
            () = received(&mut self.hangup) => "SIGHUP",
        }
    }
}

/// Waits for a signal; for one that is ignored without end.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Makes writing beyond the limit for files (`ulimit -f`) an error that names
/// the file, instead of the end of the process. Needs a tokio runtime, which
/// may end: what is caught once stays caught.
pub(super) fn outlive_file_limit() -> Result<(), Failure> {
    let number = rustix::process::Signal::XFSZ.as_raw();
    signal(SignalKind::from_raw(number))
        .map(drop)
        .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))
}
