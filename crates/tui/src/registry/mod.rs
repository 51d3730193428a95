//! The dashboard of `chordal seed`: the registries of one process, who is on
//! their lists, and what happens.
//!
//! It is the node's dashboard in small: [`state`](self) and keys are pure,
//! drawing reads the state, one loop waits and draws what changed. It only
//! watches; there is nothing to command a registry.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use chordal_view::UiEvent;
use chordal_view::registry::RegistrySnapshot;

use super::reader::Keys;
use super::run::{glyphs, ready};
use super::screen::TerminalScreen;
use super::signals::Signals;
use super::terminal::{self, PanicWatch};
use super::theme::Theme;
use super::{Ended, UiError};

mod draw;
mod keys;
mod session;
mod state;
#[cfg(test)]
mod tests;

use session::Session;
use state::App;

/// One registry's channels.
#[derive(Debug)]
pub struct Feed {
    /// Its state.
    pub snapshots: watch::Receiver<Arc<RegistrySnapshot>>,
    /// What happens.
    pub events: mpsc::Receiver<UiEvent>,
}

/// How the dashboard is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// ASCII glyphs only; `None`: when the locale is not UTF-8.
    pub ascii: Option<bool>,
    /// The colours: a name that [`Theme::from_name`] knows, or `default`.
    pub theme: String,
    /// Where the log is, to be named after a crash.
    pub log_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Options {
        Options { ascii: None, theme: "default".to_owned(), log_dir: None }
    }
}

/// Every key with its help: for the reference.
pub fn keys() -> Vec<(String, &'static str)> {
    keys::list()
}

/// Shows the dashboard over these registries, in this order, until the user, a
/// signal or the terminal's end ends it. Owns the terminal meanwhile and gives
/// it back as it was, whatever happens. The registries go on: who calls this
/// ends them.
pub async fn run(feeds: Vec<Feed>, options: Options) -> Result<Ended, UiError> {
    let theme = ready(feeds.is_empty(), &options.theme)?;
    // On the heap: the whole dashboard lives in this future.
    Box::pin(terminal::as_dashboard(show(feeds, theme, options))).await
}

async fn show(feeds: Vec<Feed>, theme: Theme, options: Options) -> Result<Ended, UiError> {
    let snapshots = feeds.iter().map(|feed| feed.snapshots.borrow().clone()).collect();
    let app = App::new(snapshots, theme, glyphs(options.ascii));
    // Signals first: one that arrives while the modes change must not kill us.
    let signals = Signals::new()?;
    let screen = TerminalScreen::open()?;
    let panics = PanicWatch::new(screen.guard(), options.log_dir);
    let session = Session::new(app, screen, feeds);
    session.run(Keys::read()?, signals, panics.background()).await
}
