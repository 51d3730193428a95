//! What the dashboard knows: everything that a frame is drawn from.
//!
//! The event loop (`session`) changes it through the reducer; the drawing code
//! only reads it. Nothing here does I/O.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use ratatui::layout::Rect;

use chordal_view::{Level, Membership, SimulationRow, Snapshot, UiEvent};

use super::complete::{Completion, Directory};
use super::history::History;
use super::panel::{Memory, Panel, TableState};
use super::results::Results;
use super::theme::{Glyphs, Theme};

/// Lines kept for the events panel of one node.
pub const MAX_EVENTS: usize = 2_000;

/// The whole state of the dashboard.
#[derive(Debug)]
pub struct App {
    /// The nodes that can be shown: one, or those of a lab.
    pub nodes: Vec<NodeTab>,
    /// Which of them is shown.
    pub shown: usize,
    /// Whether nodes can be killed and restarted from here: in a lab, and in a
    /// simulation.
    pub lab: bool,
    /// Where keys go.
    pub focus: Focus,
    /// The focused panel, and the selected tab where panels share a place.
    pub panel: Panel,
    /// The focused panel fills the screen.
    pub zoom: bool,
    /// Selected row and scroll offset of each table, indexed by [`Panel::index`].
    pub tables: [TableState; Panel::ALL.len()],
    /// The command line.
    pub prompt: Prompt,
    /// What is drawn over the panels.
    pub overlay: Option<Overlay>,
    /// The events panel's own state.
    pub log: LogView,
    /// Set while the picture stands still.
    pub frozen: Option<Frozen>,
    /// Explain mode: protocol steps as sentences, actions with their command.
    pub explain: bool,
    /// Mouse capture is on.
    pub mouse: bool,
    /// The lookup whose hops are moving on the ring.
    pub trail: Option<Trail>,
    /// Time since the dashboard started, set before each frame.
    pub now: Duration,
    /// Seconds since the Unix epoch, set before each frame.
    pub unix_s: u64,
    /// Colours.
    pub theme: Theme,
    /// Line-drawing and state glyphs: unicode or ASCII.
    pub glyphs: Glyphs,
    /// A task in the background panicked: what to show in a red banner.
    pub banner: Option<String>,
    /// Where each panel was drawn last (the drawing code fills it in): what a
    /// click of the mouse means.
    pub areas: Vec<(Panel, Rect)>,
    /// What the drawing code keeps from one frame to the next.
    pub memory: Memory,
    /// What only the reducer needs to know.
    pub control: Control,
}

/// The reducer's own part of the state.
#[derive(Debug, Default)]
pub struct Control {
    /// The number of the next command.
    pub next_ticket: u64,
    /// Commands being carried out, oldest first.
    pub running: Vec<Running>,
    /// Events that came while the picture was frozen, with their node.
    pub held: VecDeque<(usize, UiEvent)>,
    /// Keys go into the log's search.
    pub searching_log: bool,
    /// The last key was a `q` that closed an answer: a `u` behind it means
    /// that `quit` is being typed.
    pub closed_by_q: bool,
}

/// A command being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// Its number.
    pub ticket: u64,
    /// By which node.
    pub node: usize,
    /// As it was typed.
    pub line: String,
}

/// One node of the dashboard.
#[derive(Debug)]
pub struct NodeTab {
    /// Its latest snapshot.
    pub snapshot: Arc<Snapshot>,
    /// When it came, on the clock of [`App::now`].
    pub at: Duration,
    /// Its latest events, oldest first, at most [`MAX_EVENTS`].
    pub events: VecDeque<UiEvent>,
    /// The last results that were listed for it.
    pub results: Option<Results>,
}

impl NodeTab {
    /// A node of which only this snapshot is known.
    pub fn new(snapshot: Arc<Snapshot>) -> NodeTab {
        NodeTab { snapshot, at: Duration::ZERO, events: VecDeque::new(), results: None }
    }
}

/// Where keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Focus {
    /// Into the command line (at start).
    Prompt,
    /// To the panels, where single keys act.
    Panels,
}

/// The command line.
#[derive(Debug, Default)]
pub struct Prompt {
    /// Text and cursor.
    pub input: tui_input::Input,
    /// Shown dim behind the cursor; Right or End takes it.
    pub ghost: String,
    /// Completions, shown as a menu that opens upward.
    pub menu: Vec<Completion>,
    /// The chosen one.
    pub menu_selected: Option<usize>,
    /// One line on the command or argument being typed.
    pub description: String,
    /// How the last command ended, or what is wrong with the line.
    pub message: Option<Message>,
    /// Reverse search (Ctrl-R): what is searched for.
    pub search: Option<String>,
    /// A command is being carried out: its line.
    pub running: Option<String>,
    /// Lines entered before.
    pub history: History,
    /// Up or Down is walking through the history.
    pub recall: Option<Recall>,
    /// The line that Ctrl-R found, and the line it came from.
    pub found: Option<Found>,
    /// Tab is cycling through the menu.
    pub cycle: Option<Cycle>,
    /// `message` complains about the line as it stands.
    pub complaint: bool,
    /// The local directory listed last, for completion.
    pub directory: Directory,
}

/// A walk through the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recall {
    /// The line that was typed: only lines that start with it are shown.
    pub typed: String,
    /// Which line of the history is shown.
    pub at: usize,
}

/// A reverse search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The line before the search.
    pub before: String,
    /// Which line of the history is shown, if any fits.
    pub at: Option<usize>,
}

/// The part of the line that Tab replaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// The line before the word.
    pub before: String,
    /// The word as it was typed.
    pub typed: String,
    /// The line behind the cursor.
    pub after: String,
}

/// A line under the prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Whether it tells of a failure.
    pub level: Level,
    /// One or a few short lines.
    pub text: String,
}

/// What is drawn over the panels; `q` and Esc close it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// The searchable list of live bindings and commands.
    Help {
        /// What is searched for.
        filter: String,
        /// First visible line.
        scroll: usize,
    },
    /// A command's long answer.
    Output {
        /// The command.
        title: String,
        /// Its lines.
        lines: Vec<String>,
        /// First visible line.
        scroll: usize,
    },
    /// The results of the shown node ([`NodeTab::results`]).
    Results,
    /// A question before something that cannot be taken back.
    Confirm {
        /// What would happen, with its consequence.
        question: String,
        /// What `y` does.
        action: Confirmed,
    },
    /// The program is leaving the ring.
    Leaving {
        /// Since when, on the clock of [`App::now`].
        since: Duration,
    },
}

/// What is done when a question is answered with yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirmed {
    /// Carry out this line of the prompt.
    Run(String),
    /// End the program.
    Quit,
    /// Kill the shown node of the lab.
    Kill,
}

/// The events panel's own state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogView {
    /// Events below this level are hidden.
    pub level: Level,
    /// Only events that contain this (case-insensitive).
    pub search: Option<String>,
    /// Lines scrolled up from the newest; 0 follows.
    pub scrolled: usize,
    /// Events that came while scrolled up.
    pub unseen: usize,
}

/// A frozen picture.
#[derive(Debug)]
pub struct Frozen {
    /// Since when, on the clock of [`App::now`].
    pub since: Duration,
    /// Events that came meanwhile.
    pub events: usize,
    /// The snapshot that is shown instead of the latest.
    pub snapshot: Arc<Snapshot>,
    /// When it came, on the clock of [`App::now`].
    pub at: Duration,
}

/// A lookup on the ring diagram: drawn hop by hop, then fading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trail {
    /// [`chordal_view::LookupRow::number`].
    pub number: u64,
    /// When it began to be shown, on the clock of [`App::now`].
    pub since: Duration,
}

impl Default for LogView {
    fn default() -> LogView {
        LogView { level: Level::Traffic, search: None, scrolled: 0, unseen: 0 }
    }
}

impl LogView {
    /// Whether an event passes the filter and the search.
    pub fn shows(&self, event: &UiEvent) -> bool {
        let found = |needle: &String| event.text.to_lowercase().contains(&needle.to_lowercase());
        event.level >= self.level && self.search.as_ref().is_none_or(found)
    }
}

impl App {
    /// A dashboard over these nodes (at least one), the prompt focused; or over these
    /// registries, which have none.
    pub fn new(snapshots: Vec<Arc<Snapshot>>, theme: Theme, glyphs: Glyphs) -> App {
        let registry = snapshots.iter().any(|snapshot| snapshot.registry.is_some());
        let (focus, panel, level) = if registry {
            (Focus::Panels, Panel::Peers, Level::Detail)
        } else {
            (Focus::Prompt, Panel::Ring, Level::Traffic)
        };
        App {
            nodes: snapshots.into_iter().map(NodeTab::new).collect(),
            shown: 0,
            lab: false,
            focus,
            panel,
            zoom: false,
            tables: [TableState::default(); Panel::ALL.len()],
            prompt: Prompt::default(),
            overlay: None,
            log: LogView { level, ..LogView::default() },
            frozen: None,
            explain: false,
            mouse: false,
            trail: None,
            now: Duration::ZERO,
            unix_s: 0,
            theme,
            glyphs,
            banner: None,
            areas: Vec::new(),
            memory: Memory::default(),
            control: Control::default(),
        }
    }

    /// Whether the shown node runs.
    pub fn is_up(&self) -> bool {
        self.nodes[self.shown].snapshot.membership != Membership::Down
    }

    /// Whether registries are shown instead of nodes.
    pub fn is_registry(&self) -> bool {
        self.nodes[self.shown].snapshot.registry.is_some()
    }

    /// The panels that the keys go through.
    pub fn panels(&self) -> &'static [Panel] {
        if self.is_registry() { &[Panel::Peers, Panel::Events] } else { &Panel::ALL }
    }

    /// The simulation that is shown, if one is.
    pub fn simulation(&self) -> Option<&SimulationRow> {
        self.nodes[self.shown].snapshot.simulation.as_ref()
    }

    /// The snapshot to draw: the frozen one, or the latest of the shown node.
    pub fn snapshot(&self) -> &Snapshot {
        match &self.frozen {
            Some(frozen) => &frozen.snapshot,
            None => &self.nodes[self.shown].snapshot,
        }
    }
}
