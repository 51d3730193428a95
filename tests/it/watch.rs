//! A simulation under the dashboard, on a real terminal: its time, its deaths,
//! its cut network.

use tempfile::TempDir;

use crate::process::{PROGRAM, command};
use crate::pty::{Key, Launch, Screen, Size, View};

const NORMAL: Size = (120, 36);

/// A simulation on a terminal of its own.
struct Sim {
    screen: Screen,
    _home: TempDir,
}

impl Sim {
    fn start(words: &[&str]) -> Sim {
        let home = TempDir::new().expect("a temporary directory");
        let launch = Launch { size: NORMAL, dir: home.path(), env: &[] };
        let all: Vec<&str> = [PROGRAM, "sim"].iter().chain(words).copied().collect();
        let screen = Screen::under_shell(&launch, &all);
        screen.wait_for("the dashboard shows the simulation", |view| {
            view.alternate() && view.shows("hosts") && view.shows("seed 1")
        });
        Sim { screen, _home: home }
    }

    /// From the prompt to the panels. What follows Escape at once would be read as
    /// one key with Alt.
    fn focus_panels(&mut self) {
        self.screen.key(Key::Escape);
        self.screen.wait_for_text(": to type a command");
    }

    fn quit(&mut self) {
        self.screen.line("quit");
        assert_eq!(self.screen.exit_code(), 0);
    }
}

/// The number before `what` in the first row.
fn number(view: &View<'_>, what: &str) -> Option<u64> {
    let row = view.rows().next()?;
    row.split_once(what)?.0.trim_end().rsplit(' ').next()?.parse().ok()
}

/// The id in the row that begins with this word in the panel of the neighbours.
fn neighbour(view: &View<'_>, word: &str) -> Option<String> {
    let row = view.rows().find(|row| row.contains(&format!("{word} ")) && row.contains(":2000"))?;
    row.split_once(word)?.1.split_whitespace().nth(1).map(ToOwned::to_owned)
}

#[test]
fn a_simulated_ring_stops_steps_loses_a_node_is_cut_and_heals() {
    let home = TempDir::new().expect("a temporary directory");
    let launch = Launch { size: NORMAL, dir: home.path(), env: &[] };
    let fresh = Screen::under_shell(&launch, &["true"]);
    fresh.exit_code();

    let mut sim = Sim::start(&["watch", "--nodes", "20", "--seed", "1"]);
    let screen = &mut sim.screen;
    screen.wait_for("time passes", |view| view.shows("time 0:01"));
    screen.send(" ");
    let mut events = 0;
    screen.wait_for("time stands still", |view| {
        events = number(view, " event").unwrap_or(0);
        view.shows("PAUSED") && events > 0
    });
    screen.send(".");
    screen.wait_for("one event happens", |view| number(view, " event") == Some(events + 1));
    screen.send(".");
    screen.wait_for("one more happens", |view| number(view, " event") == Some(events + 2));

    sim.focus_panels();
    let screen = &mut sim.screen;
    screen.send("3");
    let mut dead = String::new();
    screen.wait_for("the neighbours are listed", |view| {
        let own =
            view.rows().next().and_then(|row| Some(row.split_whitespace().nth(1)?.to_owned()));
        dead = own.unwrap_or_default();
        neighbour(view, "succ 1").is_some() && !dead.is_empty()
    });
    screen.send("K");
    screen.wait_for("the shown host dies", |view| {
        view.shows("19 hosts · 1 down") && view.shows("was killed")
    });
    screen.send("n");
    screen.wait_for("its successor does not know yet", |view| {
        neighbour(view, "pred").is_some_and(|before| before == dead) && view.shows("PAUSED")
    });
    screen.send(">>>>> ");
    screen.wait_for("the ring closes without it", |view| {
        view.shows("×50")
            && view.shows("healthy")
            && neighbour(view, "pred").is_some_and(|before| before != dead)
    });
    screen.send("NR");
    screen.wait_for("it runs already", |view| view.shows("this host runs"));

    screen.send("P");
    screen.wait_for("the network is cut", |view| view.shows("CUT IN 2"));
    screen.wait_for("the half is no healthy ring", |view| view.shows("cut off"));
    screen.send("H");
    screen.wait_for("the two rings become one", |view| {
        !view.shows("CUT IN") && view.shows("healthy") && view.shows("one ring")
    });

    screen.send(":");
    screen.wait_for("the prompt has the keys", |view| view.shows("TYPE"));
    screen.line("lookup SkyShip.jpg");
    screen.wait_for("a lookup is answered", |view| view.shows("its owner is"));
    screen.line("scan");
    screen.wait_for("what is only real is refused", |view| view.shows("no ports to scan"));
    sim.quit();
    assert_eq!(sim.screen.state(), fresh.state(), "the terminal is as it was");
}

#[test]
fn a_large_ring_comes_and_goes_and_a_signal_ends_it() {
    let mut sim = Sim::start(&["watch", "--nodes", "1000", "--churn", "2", "--seed", "1"]);
    sim.focus_panels();
    sim.screen.send(">>>");
    sim.screen.wait_for("hosts die", |view| view.shows(" down") && view.shows("nodes"));
    sim.screen.resize((50, 12));
    sim.screen.wait_for("it fits into a small pane", |view| view.shows("pred "));
    sim.screen.resize(NORMAL);
    // A key that comes together with the new size may wait for the next key (crossterm).
    sim.screen.wait_for("it is large again", |view| view.shows("7 Events"));
    sim.screen.send("?");
    sim.screen.wait_for("the keys are listed", |view| {
        view.shows("one event of the simulation") && view.shows("cut the network")
    });
    sim.screen.signal(rustix::process::Signal::TERM);
    assert_eq!(sim.screen.exit_code(), 0);
}

#[test]
fn without_a_terminal_nothing_is_simulated() {
    let output = command(&["sim", "watch", "--nodes", "100000"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(said.contains("a terminal (TERM"), "{said}");
}
