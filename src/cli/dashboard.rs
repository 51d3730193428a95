//! What stands between engines and the dashboard: channels that stay when a
//! node of a lab is killed and started again, and the dashboard's options.

use std::sync::Arc;

use super::args::{LookArgs, ScreenArgs};
use super::failure::Failure;
use super::{log, places};

use tokio::sync::{mpsc, oneshot, watch};

use chordal_tui as ui;
use chordal_tui::theme::ThemeChoice;
use chordal_view::{Command, CommandError, Outcome, Snapshot, UiEvent};

/// Events on their way to the dashboard: a second's flood. When they are not
/// taken, the node's own channel fills, and the node counts what it drops.
const EVENTS: usize = 256;

/// A command and where its end goes.
pub(super) type Submission = (Command, oneshot::Sender<Result<Outcome, CommandError>>);

/// The engine's end of a dashboard's feed.
#[derive(Debug)]
pub(super) struct Tab {
    snapshots: watch::Sender<Arc<Snapshot>>,
    events: mpsc::Sender<UiEvent>,
}

impl Tab {
    /// A tab that shows `first`, and its other end.
    pub(super) fn new(first: Arc<Snapshot>, commands: mpsc::Sender<Submission>) -> (Tab, ui::Feed) {
        let (snapshots, latest) = watch::channel(first);
        let (events, shown) = mpsc::channel(EVENTS);
        (Tab { snapshots, events }, ui::Feed { snapshots: latest, events: shown, commands })
    }

    /// Passes on the next thing that a node publishes, events also to the log.
    /// `None` when the node has ended. Nothing is lost when it is dropped.
    pub(super) async fn relay(
        &self,
        snapshots: &mut watch::Receiver<Arc<Snapshot>>,
        events: &mut mpsc::Receiver<UiEvent>,
    ) -> Option<()> {
        let next_event = async {
            let place = self.events.reserve().await.ok()?;
            Some((place, events.recv().await?))
        };
        tokio::select! {
            changed = snapshots.changed() => {
                changed.ok()?;
                self.show(snapshots.borrow_and_update().clone());
            }
            next = next_event => {
                let (place, event) = next?;
                log::event(&event);
                place.send(event);
            }
        }
        Some(())
    }

    /// Shows a snapshot.
    pub(super) fn show(&self, snapshot: Arc<Snapshot>) {
        self.snapshots.send_replace(snapshot);
    }

    /// What is shown.
    pub(super) fn shown(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// Shows and logs a line of the program itself, unless the dashboard is
    /// too far behind to show it.
    pub(super) fn say(&self, event: UiEvent) {
        log::event(&event);
        let _ = self.events.try_send(event);
    }
}

/// Refuses wherever no dashboard can be drawn, before anything is started.
pub(super) fn needs_terminal() -> Result<(), Failure> {
    if ui::terminal::is_usable() {
        return Ok(());
    }
    Err(Failure::Usage(ui::UiError::NotATerminal.to_string()))
}

/// Shows the dashboard until its user, a signal or the terminal's end ends it.
pub(super) async fn run(
    feeds: Vec<ui::Feed>,
    screen: ScreenArgs,
    lab: Option<mpsc::Sender<ui::LabRequest>>,
) -> Result<ui::Ended, Failure> {
    let options = ui::Options { lab, ..options(screen.look) };
    ui::run(feeds, options).await.map_err(blamed)
}

/// Shows one node of a simulation after the other, likewise.
pub(super) async fn run_simulation(
    feed: ui::Feed,
    look: LookArgs,
    simulation: mpsc::Sender<ui::SimulationRequest>,
    first_message: String,
) -> Result<ui::Ended, Failure> {
    let options = ui::Options {
        simulation: Some(simulation),
        first_message: Some(first_message),
        ..options(look)
    };
    ui::run(vec![feed], options).await.map_err(blamed)
}

/// What all dashboards have in common.
fn options(look: LookArgs) -> ui::Options {
    ui::Options {
        ascii: look.ascii.then_some(true),
        theme: theme(look.theme),
        history: places::history(),
        log_dir: log::directory().map(ToOwned::to_owned),
        ..ui::Options::default()
    }
}

/// Shows the dashboard of registries, likewise.
pub(super) async fn run_registries(
    feeds: Vec<ui::Feed>,
    screen: ScreenArgs,
) -> Result<ui::Ended, Failure> {
    ui::run(feeds, options(screen.look)).await.map_err(blamed)
}

/// Events of a registry, logged on their way to its dashboard.
pub(super) fn logged(mut events: mpsc::Receiver<UiEvent>) -> mpsc::Receiver<UiEvent> {
    let (told, shown) = mpsc::channel(EVENTS);
    tokio::spawn(async move {
        // A place first: what cannot be shown yet stays with the registry,
        // which counts what it drops.
        while let Ok(place) = told.reserve().await {
            let Some(event) = events.recv().await else { return };
            log::event(&event);
            place.send(event);
        }
    });
    shown
}

/// Whose fault it is that there is no dashboard.
fn blamed(error: ui::UiError) -> Failure {
    match error {
        ui::UiError::NotATerminal | ui::UiError::UnknownTheme(_) => {
            Failure::Usage(error.to_string())
        }
        ui::UiError::NoNode | ui::UiError::Terminal(_) => Failure::Failed(error.to_string()),
    }
}

/// The theme that was chosen; without a choice, `NO_COLOR` (no-color.org)
/// counts for one.
fn theme(chosen: Option<String>) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    chosen.unwrap_or_else(|| {
        let choice = if plain { ThemeChoice::Mono } else { ThemeChoice::default() };
        choice.name().to_owned()
    })
}
