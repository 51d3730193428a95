//! The log: a file a day in the data directory, and standard error for a node
//! without a dashboard. Never the screen of a dashboard.
//!
//! `CHORDAL_LOG` chooses what is logged (`debug`, `chordal::engine=trace`);
//! `info` without it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io, panic};

use super::args::LogFormat;
use super::failure::Failure;

use tracing_appender::non_blocking::WorkerGuard;
use tracing_appender::rolling::{RollingFileAppender, Rotation};
use tracing_subscriber::filter::{ParseError, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use chordal_view::{Level, UiEvent};

/// Days that are kept: enough to look back over a week.
const KEPT_FILES: usize = 7;

/// Where this process logs to, for the message after a crash.
static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();

/// Set while nothing may write to standard error: a dashboard has the screen.
static QUIET: AtomicBool = AtomicBool::new(false);

/// Keeps the log's writer going; what is buffered is written when it is dropped.
#[derive(Debug)]
#[must_use = "the log ends when this is dropped"]
pub(super) struct Log {
    writer: WorkerGuard,
    /// Directories that were made for it, the innermost first.
    made: Vec<PathBuf>,
}

impl Log {
    /// The program did not start: what was made for its log goes again.
    pub(super) fn discard(self) {
        let Log { writer, made } = self;
        // Ends the thread that writes.
        drop(writer);
        let mut made = made.into_iter();
        if let Some(log) = made.next() {
            let _ = fs::remove_dir_all(log);
        }
        // Others may have put something there meanwhile: only while they are empty.
        while made.next().is_some_and(|directory| fs::remove_dir(directory).is_ok()) {}
    }
}

/// Where this process logs to, once it does.
pub(super) fn directory() -> Option<&'static Path> {
    DIRECTORY.get().map(PathBuf::as_path)
}

/// Whether the dashboard has the screen, which after a crash names the log itself.
pub(super) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Starts to log into `directory`, and to standard error as well in the given
/// form. Once a process.
pub(super) fn start(directory: PathBuf, stderr: Option<LogFormat>) -> Result<Log, Failure> {
    let refused = |why: String| {
        Failure::Failed(format!(
            "cannot log into {}: {why}; check its permissions or choose another --data-dir",
            directory.display()
        ))
    };
    let missing = |dir: &&Path| !dir.as_os_str().is_empty() && !dir.exists();
    let made = directory.ancestors().take_while(missing).map(Path::to_owned).collect();
    fs::create_dir_all(&directory).map_err(|error| refused(error.to_string()))?;
    let files = RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix("chordal")
        .filename_suffix("log")
        .max_log_files(KEPT_FILES)
        .build(&directory)
        .map_err(|error| refused(error.to_string()))?;
    let (writer, guard) = tracing_appender::non_blocking(files);
    let file = fmt::layer().with_ansi(false).with_writer(writer).with_filter(filter()?);
    let console = match stderr {
        None => None,
        Some(LogFormat::Text) => {
            let ansi = io::IsTerminal::is_terminal(&io::stderr());
            let layer = fmt::layer().with_ansi(ansi).with_target(false).with_writer(io::stderr);
            Some(layer.with_filter(filter()?).boxed())
        }
        Some(LogFormat::Json) => {
            let layer = fmt::layer().json().flatten_event(true).with_writer(io::stderr);
            Some(layer.with_filter(filter()?).boxed())
        }
    };
    tracing_subscriber::registry()
        .with(file)
        .with(console)
        .try_init()
        .map_err(|error| refused(error.to_string()))?;
    // The first directory of a process is its only one: try_init saw to that.
    let _ = DIRECTORY.set(directory);
    QUIET.store(stderr.is_none(), Ordering::Relaxed);
    log_panics(stderr.is_none());
    Ok(Log { writer: guard, made })
}

/// Logs an event of a node.
pub(super) fn event(event: &UiEvent) {
    let text = event.text.as_str();
    match event.level {
        Level::Detail => tracing::debug!(target: "chordal::events", "{text}"),
        Level::Traffic | Level::Info => tracing::info!(target: "chordal::events", "{text}"),
        Level::Warn => tracing::warn!(target: "chordal::events", "{text}"),
        Level::Error => tracing::error!(target: "chordal::events", "{text}"),
    }
}

fn filter() -> Result<Targets, Failure> {
    let wish = std::env::var("CHORDAL_LOG").unwrap_or_else(|_| "info".to_owned());
    wish.parse().map_err(|error: ParseError| {
        Failure::Usage(format!(
            "CHORDAL_LOG is '{wish}': {error}; use a level such as debug, or chordal::engine=debug"
        ))
    })
}

/// Puts every panic of any task into the log. Under a dashboard (`quiet`)
/// nothing may write to the screen, so that nothing else is done there.
fn log_panics(quiet: bool) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::force_capture();
        tracing::error!(target: "chordal", "{panic}\n{trace}");
        if !quiet {
            before(panic);
        }
    }));
}
