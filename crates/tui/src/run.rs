//! [`run`]: sets up the real terminal around a session and tears it down.

use super::history::History;
use super::reader::Keys;
use super::screen::TerminalScreen;
use super::session::Session;
use super::signals::Signals;
use super::state::App;
use super::terminal::{self, PanicWatch};
use super::theme::{Glyphs, Theme};
use super::{Ended, Feed, Options, UiError, ingest};

/// Shows a dashboard over these nodes or registries until the user, a signal or the
/// terminal's end ends it. Owns the terminal meanwhile and gives it back as it
/// was, whatever happens. Nodes are asked to leave their rings, not ended;
/// registries go on.
pub async fn run(feeds: Vec<Feed>, options: Options) -> Result<Ended, UiError> {
    let theme = ready(feeds.is_empty(), &options.theme)?;
    // On the heap: the whole dashboard lives in this future.
    Box::pin(terminal::as_dashboard(show(feeds, theme, options))).await
}

async fn show(feeds: Vec<Feed>, theme: Theme, options: Options) -> Result<Ended, UiError> {
    let glyphs = glyphs(options.ascii);
    let snapshots = feeds.iter().map(|feed| feed.snapshots.borrow().clone()).collect();
    let mut app = App::new(snapshots, theme, glyphs);
    app.prompt.history = History::load(options.history);
    app.prompt.message = options.first_message.as_deref().map(ingest::first_message);
    app.lab = options.lab.is_some() || options.simulation.is_some();

    // Signals first: one that arrives while the modes change must not kill us.
    let signals = Signals::new()?;
    let screen = TerminalScreen::open()?;
    let panics = PanicWatch::new(screen.guard(), options.log_dir);
    let session = Session::new(app, screen, feeds, options.lab).over(options.simulation);
    session.run(Keys::read()?, signals, panics.background()).await
}

/// Whether a dashboard can be shown at all, and in which colours: a theme's
/// name, or `default`.
fn ready(nothing_to_show: bool, theme: &str) -> Result<Theme, UiError> {
    if nothing_to_show {
        return Err(UiError::NoNode);
    }
    if !terminal::is_usable() {
        return Err(UiError::NotATerminal);
    }
    match theme {
        "default" => Ok(Theme::default()),
        name => Theme::from_name(name).ok_or_else(|| UiError::UnknownTheme(name.to_owned())),
    }
}

/// The glyphs asked for; those of the locale when none were.
fn glyphs(ascii: Option<bool>) -> Glyphs {
    let ascii = ascii.unwrap_or_else(|| !locale_is_utf8());
    if ascii { Glyphs::ascii() } else { Glyphs::unicode() }
}

/// What the locale says about the terminal's encoding; the first variable that
/// is set decides, as for the C library.
fn locale_is_utf8() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_some_and(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}
