//! The keys of the panels: one table behind the keys themselves, the help and
//! the hints of the bottom row.
//!
//! Each entry has a name of its own, by which settings can speak of it.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::state::{App, Focus, Overlay, Panel};
use chordal_view::TransferState;

/// What a key does in the panels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// To the command line.
    Prompt,
    /// The searchable list of keys and commands.
    Help,
    /// Close what is open; end the program when nothing is.
    Close,
    /// The focused panel fills the screen.
    Zoom,
    /// The picture stands still.
    Freeze,
    /// The next panel.
    NextPanel,
    /// The panel before.
    PreviousPanel,
    /// A panel by its digit.
    Panel(Panel),
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// Ten rows up.
    PageUp,
    /// Ten rows down.
    PageDown,
    /// The first row.
    First,
    /// The last row.
    Last,
    /// Search the events.
    Search,
    /// Show louder events only.
    Level,
    /// Back to the newest event.
    Follow,
    /// The selected row to the clipboard.
    Copy,
    /// Stop the selected transfer.
    Cancel,
    /// Have the selected transfer wait, or go on.
    Pause,
    /// End the link with the selected peer.
    Disconnect,
    /// The results of the last search or scan once more.
    Results,
    /// The snapshot to a file.
    Export,
    /// Explain each step of the protocol.
    Explain,
    /// Mouse on or off.
    Mouse,
    /// The next node of the lab.
    NextNode,
    /// The node before.
    PreviousNode,
    /// Kill the shown node.
    Kill,
    /// Start it again.
    Restart,
    /// One more node.
    Add,
    /// Simulated time passes, or stops.
    Run,
    /// One event of the simulation.
    Step,
    /// The simulation runs faster.
    Faster,
    /// The simulation runs slower.
    Slower,
    /// Cut the simulated network into two halves.
    Part,
    /// Make it whole again.
    Heal,
    /// Show the node of the selected row.
    Visit,
    /// Draw everything anew.
    Repaint,
    /// Back to the shell for a while.
    Suspend,
    /// Leave the ring and end, without a question.
    Leave,
}

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// While the panels have the focus.
    Panels,
    /// The same, but not in a simulation.
    RealPanels,
    /// While the panels of a lab or a simulation have the focus.
    Lab,
    /// While the panels of a simulation have the focus.
    Simulation,
    /// In a simulation, while its panels have the focus or nothing is typed yet:
    /// no command begins with such a key.
    Clock,
    /// Always, at the prompt too.
    Everywhere,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Its name in settings.
    pub name: &'static str,
    /// What it does.
    pub action: Action,
    /// The keys, the one to show first.
    pub keys: &'static [Key],
    /// Where they work.
    pub scope: Scope,
    /// A word or two for the bottom row; empty: not shown there.
    pub hint: &'static str,
    /// One line for the help.
    pub help: &'static str,
}

/// A key with the modifiers that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub code: KeyCode,
    /// With Control.
    pub control: bool,
}

impl Key {
    /// Whether this is the key that was pressed.
    pub fn matches(self, event: KeyEvent) -> bool {
        event.code == self.code
            && event.modifiers.contains(KeyModifiers::CONTROL) == self.control
            && !event.modifiers.contains(KeyModifiers::ALT)
    }

    /// As people write it: `Ctrl-L`, `PgUp`, `z`.
    pub fn show(self) -> String {
        let name = match self.code {
            KeyCode::Char(' ') => "Space".to_owned(),
            KeyCode::Char(c) if self.control => c.to_uppercase().collect(),
            KeyCode::Char(c) => c.to_string(),
            KeyCode::BackTab => "Shift-Tab".to_owned(),
            KeyCode::PageUp => "PgUp".to_owned(),
            KeyCode::PageDown => "PgDn".to_owned(),
            KeyCode::F(number) => format!("F{number}"),
            other => format!("{other:?}"),
        };
        if self.control { format!("Ctrl-{name}") } else { name }
    }
}

const fn plain(code: KeyCode) -> Key {
    Key { code, control: false }
}

const fn char(c: char) -> Key {
    plain(KeyCode::Char(c))
}

const fn control(c: char) -> Key {
    Key { code: KeyCode::Char(c), control: true }
}

const fn binding(
    name: &'static str,
    action: Action,
    keys: &'static [Key],
    scope: Scope,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding { name, action, keys, scope, hint, help }
}

/// Every key of the panels. The bottom row shows hints in this order, after those
/// of a simulation.
pub const BINDINGS: &[Binding] = &[
    binding(
        "run",
        Action::Run,
        &[char(' ')],
        Scope::Clock,
        "run",
        "simulated time passes, or stops",
    ),
    binding(
        "step",
        Action::Step,
        &[char('.')],
        Scope::Clock,
        "step",
        "one event of the simulation",
    ),
    binding(
        "faster",
        Action::Faster,
        &[char('>')],
        Scope::Clock,
        "speed",
        "simulated time passes faster",
    ),
    binding(
        "slower",
        Action::Slower,
        &[char('<')],
        Scope::Clock,
        "",
        "simulated time passes slower",
    ),
    binding(
        "prompt",
        Action::Prompt,
        &[char(':'), plain(KeyCode::Enter)],
        Scope::Panels,
        "command",
        "go to the command line",
    ),
    binding(
        "next-panel",
        Action::NextPanel,
        &[plain(KeyCode::Tab), plain(KeyCode::Right)],
        Scope::Panels,
        "next",
        "focus the next panel",
    ),
    binding(
        "previous-panel",
        Action::PreviousPanel,
        &[plain(KeyCode::BackTab), plain(KeyCode::Left)],
        Scope::Panels,
        "",
        "focus the panel before",
    ),
    binding(
        "zoom",
        Action::Zoom,
        &[char('z')],
        Scope::Panels,
        "zoom",
        "the panel fills the screen",
    ),
    binding(
        "next-node",
        Action::NextNode,
        &[char('n')],
        Scope::Lab,
        "next node",
        "show the next node",
    ),
    binding(
        "previous-node",
        Action::PreviousNode,
        &[char('N')],
        Scope::Lab,
        "",
        "show the node before",
    ),
    binding("kill", Action::Kill, &[char('K')], Scope::Lab, "kill", "kill the shown node"),
    binding(
        "restart",
        Action::Restart,
        &[char('R')],
        Scope::Lab,
        "restart",
        "start the shown node again",
    ),
    binding("add", Action::Add, &[char('A')], Scope::Lab, "add", "add one more node"),
    binding(
        "part",
        Action::Part,
        &[char('P')],
        Scope::Simulation,
        "part",
        "cut the network into two halves",
    ),
    binding(
        "heal",
        Action::Heal,
        &[char('H')],
        Scope::Simulation,
        "heal",
        "make the network whole again",
    ),
    binding(
        "visit",
        Action::Visit,
        &[char('v')],
        Scope::Simulation,
        "visit",
        "show the node of the selected row",
    ),
    binding(
        "freeze",
        Action::Freeze,
        &[char(' ')],
        Scope::RealPanels,
        "freeze",
        "freeze the picture",
    ),
    binding(
        "explain",
        Action::Explain,
        &[char('x')],
        Scope::Panels,
        "explain",
        "explain why things happen",
    ),
    binding("search", Action::Search, &[char('/')], Scope::Panels, "search", "search the events"),
    binding(
        "level",
        Action::Level,
        &[char('l')],
        Scope::Panels,
        "level",
        "filter the events by level",
    ),
    binding(
        "follow",
        Action::Follow,
        &[char('f')],
        Scope::Panels,
        "follow",
        "follow the newest event",
    ),
    binding("copy", Action::Copy, &[char('y')], Scope::Panels, "copy", "copy the selected row"),
    binding(
        "cancel",
        Action::Cancel,
        &[char('c')],
        Scope::Panels,
        "cancel",
        "stop the selected transfer",
    ),
    binding(
        "pause",
        Action::Pause,
        &[char('p')],
        Scope::Panels,
        "pause",
        "pause the transfer, or resume it",
    ),
    binding(
        "disconnect",
        Action::Disconnect,
        &[char('d')],
        Scope::Panels,
        "disconnect",
        "end the link with the peer",
    ),
    binding(
        "results",
        Action::Results,
        &[char('r')],
        Scope::Panels,
        "results",
        "the last results once more",
    ),
    binding(
        "export",
        Action::Export,
        &[char('e')],
        Scope::Panels,
        "",
        "export the picture as JSON",
    ),
    binding("mouse", Action::Mouse, &[char('m')], Scope::Panels, "", "mouse on or off"),
    binding("up", Action::Up, &[plain(KeyCode::Up), char('k')], Scope::Panels, "", "one row up"),
    binding(
        "down",
        Action::Down,
        &[plain(KeyCode::Down), char('j')],
        Scope::Panels,
        "",
        "one row down",
    ),
    binding("page-up", Action::PageUp, &[plain(KeyCode::PageUp)], Scope::Panels, "", "ten rows up"),
    binding(
        "page-down",
        Action::PageDown,
        &[plain(KeyCode::PageDown)],
        Scope::Panels,
        "",
        "ten rows down",
    ),
    binding(
        "first",
        Action::First,
        &[plain(KeyCode::Home), char('g')],
        Scope::Panels,
        "",
        "the first row",
    ),
    binding(
        "last",
        Action::Last,
        &[plain(KeyCode::End), char('G')],
        Scope::Panels,
        "",
        "the last row",
    ),
    binding("ring", Action::Panel(Panel::Ring), &[char('1')], Scope::Panels, "", "the ring"),
    binding(
        "fingers",
        Action::Panel(Panel::Fingers),
        &[char('2')],
        Scope::Panels,
        "",
        "the finger table",
    ),
    binding(
        "neighbours",
        Action::Panel(Panel::Neighbours),
        &[char('3')],
        Scope::Panels,
        "",
        "predecessor and successors",
    ),
    binding(
        "files",
        Action::Panel(Panel::Files),
        &[char('4')],
        Scope::Panels,
        "",
        "the files held here",
    ),
    binding(
        "transfers",
        Action::Panel(Panel::Transfers),
        &[char('5')],
        Scope::Panels,
        "",
        "transfers",
    ),
    binding(
        "peers",
        Action::Panel(Panel::Peers),
        &[char('6')],
        Scope::Panels,
        "",
        "linked peers and registries",
    ),
    binding("events", Action::Panel(Panel::Events), &[char('7')], Scope::Panels, "", "events"),
    binding("close", Action::Close, &[char('q')], Scope::Panels, "quit", "close, or leave and end"),
    binding(
        "leave",
        Action::Leave,
        &[control('c')],
        Scope::Everywhere,
        "",
        "leave and end; again: now",
    ),
    binding(
        "suspend",
        Action::Suspend,
        &[control('z')],
        Scope::Everywhere,
        "",
        "stop: back to the shell",
    ),
    binding(
        "repaint",
        Action::Repaint,
        &[control('l')],
        Scope::Everywhere,
        "",
        "draw everything anew",
    ),
    binding(
        "help",
        Action::Help,
        &[char('?'), plain(KeyCode::F(1))],
        Scope::Panels,
        "help",
        "list all keys and commands",
    ),
];

/// Keys of the prompt that only editing needs: for the help and the reference.
pub const PROMPT_KEYS: &[(&str, &str)] = &[
    ("Enter", "carry out the line"),
    ("Tab", "complete the word"),
    ("Right, End", "take the suggestion"),
    ("Up, Down", "lines that start alike"),
    ("Ctrl-R", "search older lines"),
    ("Esc", "to the panels"),
    ("Ctrl-U, -K, -W", "delete: start, end, word"),
    ("Ctrl-D", "quit (empty line)"),
    ("Left, Right", "in results: what Enter does"),
];

/// What a key means outside the prompt, or everywhere.
pub fn action(app: &App, event: KeyEvent) -> Option<Action> {
    let bound = |binding: &&Binding| binding.keys.iter().any(|key| key.matches(event));
    BINDINGS.iter().filter(|binding| is_live(app, binding)).find(bound).map(|found| found.action)
}

fn is_live(app: &App, binding: &Binding) -> bool {
    let panels = app.focus == Focus::Panels;
    match binding.scope {
        Scope::Panels => panels,
        Scope::RealPanels => panels && app.simulation().is_none(),
        Scope::Lab => panels && app.lab,
        Scope::Simulation => panels && app.simulation().is_some(),
        Scope::Clock => {
            let typing = app.focus == Focus::Prompt;
            let free = !typing || app.prompt.input.value().is_empty();
            free && app.simulation().is_some()
        }
        Scope::Everywhere => true,
    }
}

/// Hints for the bottom row, the most useful first: a key and what it does.
/// `? help` comes last and is meant to stay when others do not fit.
pub fn hints(app: &App) -> Vec<(String, &'static str)> {
    let key = |key: &str, does: &'static str| (key.to_owned(), does);
    match (&app.overlay, app.focus) {
        (Some(Overlay::Confirm { .. }), _) => return vec![key("y", "yes"), key("n", "no")],
        (Some(Overlay::Leaving { .. }), _) => return vec![key("Ctrl-C", "end now")],
        (Some(Overlay::Help { .. }), _) => {
            return vec![key("Esc", "close"), key("a-z", "search"), key("Up, Down", "scroll")];
        }
        (Some(Overlay::Output { .. }), _) => {
            return vec![key("q", "close"), key("PgUp, PgDn", "scroll")];
        }
        (Some(Overlay::Results), focus) => {
            let free = focus == Focus::Panels || app.prompt.input.value().is_empty();
            return if free { results_hints(app) } else { vec![key("Enter", "run")] };
        }
        (None, Focus::Prompt) if app.prompt.search.is_some() => {
            return vec![key("Enter", "run"), key("Ctrl-R", "older"), key("Esc", "edit")];
        }
        (None, Focus::Prompt) if is_clock_live(app) => {
            let clock = |binding: &&Binding| binding.scope == Scope::Clock;
            let clock = BINDINGS.iter().filter(clock).filter(|binding| !binding.hint.is_empty());
            let more = [key("Esc", "panels and more keys"), key("Tab", "complete")];
            return clock.map(|binding| hint(app, binding)).chain(more).collect();
        }
        (None, Focus::Prompt) => {
            return vec![
                key("Enter", "run"),
                key("Tab", "complete"),
                key("Up", "history"),
                key("Esc", "panels"),
                key("?", "help"),
            ];
        }
        (None, Focus::Panels) if app.control.searching_log => {
            return vec![key("Enter", "keep"), key("Esc", "show all")];
        }
        (None, Focus::Panels) => {}
    }
    let own = |binding: &&Binding| home(binding.action) == Some(app.panel);
    let anywhere = |binding: &&Binding| home(binding.action).is_none();
    let now = |action| match action {
        Action::Kill => app.is_up(),
        Action::Restart => !app.is_up(),
        Action::Results => app.nodes[app.shown].results.is_some(),
        Action::Part => app.simulation().is_some_and(|simulation| simulation.parts <= 1),
        Action::Heal => app.simulation().is_some_and(|simulation| simulation.parts > 1),
        Action::Visit => app.selected_node().is_some(),
        _ => true,
    };
    let shown = |binding: &&Binding| {
        !binding.hint.is_empty() && is_live(app, binding) && now(binding.action)
    };
    let live = || BINDINGS.iter().filter(shown);
    let others = || live().filter(|binding| !is_simulated(app, binding));
    let hint = |binding: &Binding| hint(app, binding);
    // In a simulation time and nodes come first: they are what its user governs.
    let first = live().filter(|binding| is_simulated(app, binding)).map(hint);
    let own = others().filter(own).chain(others().filter(anywhere)).map(hint);
    first.chain([key("1-7", "panel")]).chain(own).collect()
}

/// Whether a key's first use is to govern the simulation that is shown.
fn is_simulated(app: &App, binding: &Binding) -> bool {
    let scopes = [Scope::Clock, Scope::Lab, Scope::Simulation];
    app.simulation().is_some() && scopes.contains(&binding.scope)
}

/// A key and what it does just now.
fn hint(app: &App, binding: &Binding) -> (String, &'static str) {
    let simulation = app.simulation();
    let paused = || app.selected_transfer().is_some_and(|row| row.state == TransferState::Paused);
    let key = binding.keys[0].show();
    match binding.action {
        Action::Pause if paused() => (key, "resume"),
        Action::Run if simulation.is_some_and(|simulation| simulation.running) => (key, "pause"),
        // One hint for both directions.
        Action::Faster => ("< >".to_owned(), binding.hint),
        Action::NextNode if simulation.is_some() => (key, "next"),
        _ => (key, binding.hint),
    }
}

/// Whether the keys of a simulation's clock work at the prompt.
fn is_clock_live(app: &App) -> bool {
    let clock = |binding: &Binding| binding.scope == Scope::Clock && is_live(app, binding);
    app.prompt.search.is_none() && BINDINGS.iter().any(clock)
}

/// Hints over a list of results: what Enter does, as a word.
fn results_hints(app: &App) -> Vec<(String, &'static str)> {
    let tab = &app.nodes[app.shown];
    let (commands, command) = match &tab.results {
        Some(results) => (results.commands(&tab.snapshot).len(), results.command(&tab.snapshot)),
        None => (0, None),
    };
    let word = command.as_deref().and_then(|line| line.split(' ').next());
    let name = word.and_then(chordal_view::command::spec).map(|spec| spec.name);
    let mut hints: Vec<(&str, &'static str)> = Vec::new();
    hints.extend(name.map(|name| ("Enter", name)));
    if commands > 1 {
        let is_port = tab.results.as_ref().is_some_and(|results| results.port(0).is_some());
        hints.push(("Left, Right", if is_port { "action" } else { "source" }));
    }
    if tab.results.as_ref().is_some_and(|results| results.rows() > 0) {
        hints.extend([("Up, Down", "select"), ("y", "copy")]);
    }
    hints.push(("Esc", "close"));
    hints.into_iter().map(|(key, does)| (key.to_owned(), does)).collect()
}

/// The panel that an action belongs to, if it makes sense in one only.
const fn home(action: Action) -> Option<Panel> {
    match action {
        Action::Search | Action::Level | Action::Follow => Some(Panel::Events),
        Action::Cancel | Action::Pause => Some(Panel::Transfers),
        Action::Disconnect => Some(Panel::Peers),
        _ => None,
    }
}

/// Every live key with its help, for the help screen: those of the panels,
/// then those of the prompt.
pub fn list(app: &App) -> Vec<(String, &'static str)> {
    let simulated = app.simulation().is_some();
    let here = |scope| match scope {
        Scope::Panels | Scope::Everywhere => true,
        Scope::Lab => app.lab,
        Scope::RealPanels => !simulated,
        Scope::Simulation | Scope::Clock => simulated,
    };
    let live =
        |binding: &&Binding| here(binding.scope) && !matches!(binding.action, Action::Panel(_));
    let shown = |binding: &Binding| {
        let keys: Vec<_> = binding.keys.iter().map(|key| key.show()).collect();
        (keys.join(", "), binding.help)
    };
    let prompt = PROMPT_KEYS.iter().map(|&(keys, help)| (keys.to_owned(), help));
    // Seven digits, one line.
    let panels = ("1-7".to_owned(), "go to a panel");
    let bound = BINDINGS.iter().filter(live).map(shown);
    std::iter::once(panels).chain(bound).chain(prompt).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use chordal_view::{Snapshot, Standing};

    #[test]
    fn no_key_means_two_things_and_no_name_is_used_twice() {
        let simulated = [Scope::Simulation, Scope::Clock];
        for elsewhere in [&simulated[..], &[Scope::RealPanels]] {
            let mut keys: Vec<Key> = Vec::new();
            for binding in BINDINGS.iter().filter(|b| !elsewhere.contains(&b.scope)) {
                for key in binding.keys {
                    assert!(!keys.contains(key), "{} is bound twice", key.show());
                    keys.push(*key);
                }
            }
        }
        let mut names = Vec::new();
        for binding in BINDINGS {
            assert!(!names.contains(&binding.name), "{}", binding.name);
            names.push(binding.name);
        }
    }

    #[test]
    fn no_command_begins_with_a_key_of_the_clock() {
        let clock = BINDINGS.iter().filter(|binding| binding.scope == Scope::Clock);
        for key in clock.flat_map(|binding| binding.keys) {
            let KeyCode::Char(c) = key.code else { panic!("{} types nothing", key.show()) };
            let mut words = chordal_view::command::TABLE.iter().flat_map(|spec| spec.words());
            assert!(words.all(|word| !word.starts_with(c)), "{c}");
        }
    }

    #[test]
    fn the_keys_of_a_lab_are_listed_in_a_lab_only() {
        let mut app = crate::fixture::started(vec![crate::fixture::member()]);
        let kill = |app: &App| list(app).iter().any(|(key, _)| key == "K");
        assert!(!kill(&app));
        app.lab = true;
        assert!(kill(&app));
    }

    #[test]
    fn the_hints_follow_the_focus() {
        use crate::fixture;
        let mut app = fixture::started(vec![fixture::member()]);
        let first = |app: &App| hints(app).into_iter().map(|(_, what)| what).next();
        let offers = |app: &App, what| hints(app).iter().any(|hint| hint.1 == what);
        assert_eq!(first(&app), Some("run"));
        app.focus = Focus::Panels;
        assert!(offers(&app, "zoom") && !offers(&app, "search") && !offers(&app, "kill"));
        (app.panel, app.lab) = (Panel::Events, true);
        assert!(offers(&app, "search") && offers(&app, "kill") && !offers(&app, "restart"));
        let down = Snapshot { standing: Standing::Down, ..fixture::member() };
        app.snapshot_changed(0, Arc::new(down));
        assert!(offers(&app, "restart") && !offers(&app, "kill"));
        app.overlay = Some(Overlay::Leaving { since: app.now });
        assert_eq!(first(&app), Some("end now"));
    }

    #[test]
    fn keys_are_written_as_people_write_them() {
        assert_eq!(control('l').show(), "Ctrl-L");
        assert_eq!(char(' ').show(), "Space");
        assert_eq!(plain(KeyCode::PageUp).show(), "PgUp");
        assert_eq!(plain(KeyCode::F(1)).show(), "F1");
        assert_eq!(plain(KeyCode::Up).show(), "Up");
    }

    #[test]
    fn a_multiplexers_keys_are_left_alone() {
        let taken = |key: &Key| key.control && matches!(key.code, KeyCode::Char('a' | 'b'));
        assert!(!BINDINGS.iter().flat_map(|binding| binding.keys).any(taken));
    }
}
