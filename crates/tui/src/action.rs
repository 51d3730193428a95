//! The keys of the panels: one table behind the keys themselves, the help and
//! the hints of the bottom row.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::panel::Panel;
use super::state::{App, Focus, Overlay};
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
    /// Draw everything again.
    Repaint,
    /// Back to the shell for a while.
    Suspend,
    /// Leave the ring and end, without a question.
    Leave,
}

/// Where a key works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// While the panels have the focus, in every dashboard.
    Panels,
    /// While the panels of a node have the focus.
    Node,
    /// In the dashboard of registries.
    Registry,
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

const fn row(
    action: Action,
    keys: &'static [Key],
    scope: Scope,
    hint: &'static str,
    help: &'static str,
) -> Binding {
    Binding { action, keys, scope, hint, help }
}

/// Every key of the panels. The bottom row shows hints in this order, after those
/// of a simulation.
pub const BINDINGS: &[Binding] = &[
    row(Action::Run, &[char(' ')], Scope::Clock, "run", "simulated time passes, or stops"),
    row(Action::Step, &[char('.')], Scope::Clock, "step", "one event of the simulation"),
    row(Action::Faster, &[char('>')], Scope::Clock, "speed", "simulated time passes faster"),
    row(Action::Slower, &[char('<')], Scope::Clock, "", "simulated time passes slower"),
    row(
        Action::Prompt,
        &[char(':'), plain(KeyCode::Enter)],
        Scope::Node,
        "command",
        "go to the command line",
    ),
    row(
        Action::NextPanel,
        &[plain(KeyCode::Tab), plain(KeyCode::Right)],
        Scope::Node,
        "next",
        "focus the next panel",
    ),
    row(
        Action::PreviousPanel,
        &[plain(KeyCode::BackTab), plain(KeyCode::Left)],
        Scope::Node,
        "",
        "focus the panel before",
    ),
    row(
        Action::NextNode,
        &[plain(KeyCode::Tab)],
        Scope::Registry,
        "registry",
        "show the next registry",
    ),
    row(
        Action::PreviousNode,
        &[plain(KeyCode::BackTab)],
        Scope::Registry,
        "",
        "show the registry before",
    ),
    row(
        Action::NextPanel,
        &[plain(KeyCode::Right), plain(KeyCode::Left)],
        Scope::Registry,
        "panel",
        "focus the other panel: peers, events",
    ),
    row(Action::Zoom, &[char('z')], Scope::Panels, "zoom", "the panel fills the screen"),
    row(Action::NextNode, &[char('n')], Scope::Lab, "next node", "show the next node"),
    row(Action::PreviousNode, &[char('N')], Scope::Lab, "", "show the node before"),
    row(Action::Kill, &[char('K')], Scope::Lab, "kill", "kill the shown node"),
    row(Action::Restart, &[char('R')], Scope::Lab, "restart", "start the shown node again"),
    row(Action::Add, &[char('A')], Scope::Lab, "add", "add one more node"),
    row(Action::Part, &[char('P')], Scope::Simulation, "part", "cut the network into two halves"),
    row(Action::Heal, &[char('H')], Scope::Simulation, "heal", "make the network whole again"),
    row(
        Action::Visit,
        &[char('v')],
        Scope::Simulation,
        "visit",
        "show the node of the selected row",
    ),
    row(Action::Freeze, &[char(' ')], Scope::RealPanels, "freeze", "freeze the picture"),
    row(Action::Explain, &[char('x')], Scope::Node, "explain", "explain why things happen"),
    row(Action::Search, &[char('/')], Scope::Node, "search", "search the events"),
    row(Action::Level, &[char('l')], Scope::Node, "level", "filter the events by level"),
    row(Action::Follow, &[char('f')], Scope::Panels, "follow", "follow the newest event"),
    row(Action::Copy, &[char('y')], Scope::Panels, "copy", "copy the selected row"),
    row(Action::Cancel, &[char('c')], Scope::Node, "cancel", "stop the selected transfer"),
    row(Action::Pause, &[char('p')], Scope::Node, "pause", "pause the transfer, or resume it"),
    row(Action::Disconnect, &[char('d')], Scope::Node, "disconnect", "end the link with the peer"),
    row(Action::Results, &[char('r')], Scope::Node, "results", "the last results once more"),
    row(Action::Export, &[char('e')], Scope::Node, "", "export the picture as JSON"),
    row(Action::Mouse, &[char('m')], Scope::Node, "", "mouse on or off"),
    row(Action::Up, &[plain(KeyCode::Up), char('k')], Scope::Panels, "", "one row up"),
    row(Action::Down, &[plain(KeyCode::Down), char('j')], Scope::Panels, "", "one row down"),
    row(Action::PageUp, &[plain(KeyCode::PageUp)], Scope::Panels, "", "ten rows up"),
    row(Action::PageDown, &[plain(KeyCode::PageDown)], Scope::Panels, "", "ten rows down"),
    row(Action::First, &[plain(KeyCode::Home), char('g')], Scope::Panels, "", "the first row"),
    row(Action::Last, &[plain(KeyCode::End), char('G')], Scope::Panels, "", "the last row"),
    row(Action::Panel(Panel::Ring), &[char('1')], Scope::Node, "", "the ring"),
    row(Action::Panel(Panel::Fingers), &[char('2')], Scope::Node, "", "the finger table"),
    row(
        Action::Panel(Panel::Neighbours),
        &[char('3')],
        Scope::Node,
        "",
        "predecessor and successors",
    ),
    row(Action::Panel(Panel::Files), &[char('4')], Scope::Node, "", "the files held here"),
    row(Action::Panel(Panel::Transfers), &[char('5')], Scope::Node, "", "transfers"),
    row(Action::Panel(Panel::Peers), &[char('6')], Scope::Node, "", "linked peers and registries"),
    row(Action::Panel(Panel::Events), &[char('7')], Scope::Node, "", "events"),
    row(Action::Close, &[char('q')], Scope::Panels, "quit", "close, or leave and end"),
    row(Action::Leave, &[control('c')], Scope::Everywhere, "", "leave and end; again: now"),
    row(Action::Suspend, &[control('z')], Scope::Everywhere, "", "stop: back to the shell"),
    row(Action::Repaint, &[control('l')], Scope::Everywhere, "", "draw everything anew"),
    row(
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

/// The digits in the dashboard of registries.
pub const REGISTRY_DIGITS: (&str, &str) = ("1-9", "show a registry");

/// What a key means outside the prompt, or everywhere.
pub fn action(app: &App, event: KeyEvent) -> Option<Action> {
    let bound = |binding: &&Binding| binding.keys.iter().any(|key| key.matches(event));
    BINDINGS.iter().filter(|binding| is_live(app, binding)).find(bound).map(|found| found.action)
}

fn is_live(app: &App, binding: &Binding) -> bool {
    let panels = app.focus == Focus::Panels;
    match binding.scope {
        Scope::Panels => panels,
        Scope::Node => panels && !app.is_registry(),
        Scope::Registry => app.is_registry(),
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
    if app.is_registry() {
        return registry_hints(app);
    }
    let shown = |binding: &&Binding| {
        !binding.hint.is_empty() && is_live(app, binding) && now(binding.action)
    };
    let live = || BINDINGS.iter().filter(shown);
    let others = || live().filter(|binding| !is_simulated(app, binding));
    let hint = |binding: &Binding| hint(app, binding);
    // In a simulation time and nodes come first: they are what its user controls.
    let first = live().filter(|binding| is_simulated(app, binding)).map(hint);
    let own = others().filter(own).chain(others().filter(anywhere)).map(hint);
    first.chain([key("1-7", "panel")]).chain(own).collect()
}

/// Hints in the dashboard of registries: its own keys first, then how it ends.
fn registry_hints(app: &App) -> Vec<(String, &'static str)> {
    let alone = app.nodes.len() == 1;
    let elsewhere = |action| action == Action::NextNode && alone;
    let shown = |binding: &&Binding| {
        !binding.hint.is_empty()
            && is_live(app, binding)
            && !elsewhere(binding.action)
            && home(binding.action).is_none_or(|home| home == app.panel)
    };
    let mut bindings: Vec<&Binding> = BINDINGS.iter().filter(shown).collect();
    bindings.sort_by_key(|binding| match (binding.scope, binding.action) {
        (Scope::Registry, _) => 0,
        (_, Action::Close) => 1,
        _ => 2,
    });
    bindings.into_iter().map(|binding| hint(app, binding)).collect()
}

/// Whether a key is for the simulation that is shown.
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

/// What a key does, in the words of the dashboard of registries.
pub fn registry_help(binding: &Binding) -> &'static str {
    match binding.action {
        Action::Close => "close, or end the registries",
        Action::Leave => "end the registries",
        Action::Help => "list all keys",
        _ => binding.help,
    }
}

/// Every live key with its help, for the help screen: those of the panels,
/// then those of the prompt.
pub fn list(app: &App) -> Vec<(String, &'static str)> {
    let simulated = app.simulation().is_some();
    let registry = app.is_registry();
    let here = |scope| match scope {
        Scope::Panels | Scope::Everywhere => true,
        Scope::Node => !registry,
        Scope::Registry => registry,
        Scope::Lab => app.lab,
        Scope::RealPanels => !simulated,
        Scope::Simulation | Scope::Clock => simulated,
    };
    let live =
        |binding: &&Binding| here(binding.scope) && !matches!(binding.action, Action::Panel(_));
    let shown = |binding: &Binding| {
        let keys: Vec<_> = binding.keys.iter().map(|key| key.show()).collect();
        (keys.join(", "), if registry { registry_help(binding) } else { binding.help })
    };
    let prompt = if registry { &[] } else { PROMPT_KEYS };
    let prompt = prompt.iter().map(|&(keys, help)| (keys.to_owned(), help));
    let panels = if registry { REGISTRY_DIGITS } else { ("1-7", "go to a panel") };
    let panels = (panels.0.to_owned(), panels.1);
    let bound = BINDINGS.iter().filter(live).map(shown);
    std::iter::once(panels).chain(bound).chain(prompt).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use chordal_view::{Membership, Snapshot};

    #[test]
    fn no_key_means_two_things() {
        use Scope::{Clock, Lab, Node, RealPanels, Registry, Simulation};
        for elsewhere in [
            &[Simulation, Clock, Registry][..],
            &[RealPanels, Registry],
            &[Node, Lab, Simulation, Clock],
        ] {
            let mut keys: Vec<Key> = Vec::new();
            for binding in BINDINGS.iter().filter(|b| !elsewhere.contains(&b.scope)) {
                for key in binding.keys {
                    assert!(!keys.contains(key), "{} is bound twice", key.show());
                    keys.push(*key);
                    let digit = matches!(key.code, KeyCode::Char('0'..='9'));
                    assert!(!digit || !elsewhere.contains(&Node), "digits are registries");
                }
            }
        }
    }

    #[test]
    fn one_registry_alone_has_no_next_one() {
        use crate::tests::registry::snapshot;
        let offers = |registries: u16| {
            let snapshots = (0..registries).map(|at| snapshot(5000 + at, Vec::new())).collect();
            hints(&crate::fixture::started(snapshots)).iter().any(|hint| hint.1 == "registry")
        };
        assert!(offers(2) && !offers(1));
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
        let down = Snapshot { membership: Membership::Down, ..fixture::member() };
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
