//! The keys of a simulation.

use super::*;
use crate::SimulationRequest;
use chordal_view::{SimulationRow, Speed};

/// A node of a simulation whose time passes, its panels focused.
fn running() -> App {
    let simulation = SimulationRow {
        title: "watch".to_owned(),
        seed: 1,
        now: Duration::from_secs(3),
        events: 70,
        running: true,
        speed: Speed::REAL,
        pace: None,
        hosts: 3,
        down: 0,
        parts: 1,
    };
    let mut app = of(Snapshot { simulation: Some(simulation), ..fixture::member() });
    (app.lab, app.focus) = (true, Focus::Panels);
    app
}

/// The same app after a change of what the simulation says.
fn now(mut app: App, change: impl FnOnce(&mut SimulationRow)) -> App {
    let mut snapshot = (*app.nodes[0].snapshot).clone();
    change(snapshot.simulation.as_mut().expect("it is a simulation"));
    app.snapshot_changed(0, Arc::new(snapshot));
    app
}

fn asked(done: &[UiEffect]) -> Vec<SimulationRequest> {
    done.iter()
        .filter_map(|one| match one {
            UiEffect::Simulate(request) => Some(*request),
            _ => None,
        })
        .collect()
}

#[test]
fn space_stops_the_time_and_a_full_stop_takes_one_event() {
    let mut app = running();
    assert_eq!(asked(&text(&mut app, ".")), [], "while time passes");
    assert!(told(&app).contains("Space"), "{}", told(&app));
    assert_eq!(asked(&text(&mut app, " ")), [SimulationRequest::Run(false)]);
    assert!(app.frozen.is_none(), "the picture goes on");
    let mut app = now(app, |simulation| simulation.running = false);
    let all = asked(&text(&mut app, ". ><"));
    use SimulationRequest::{Faster, Run, Slower, Step};
    assert_eq!(all, [Step, Run(true), Faster, Slower]);
}

#[test]
fn the_clock_obeys_an_empty_prompt_too() {
    let mut app = running();
    app.focus = Focus::Prompt;
    assert_eq!(
        asked(&text(&mut app, " >")),
        [SimulationRequest::Run(false), SimulationRequest::Faster]
    );
    assert_eq!(line(&app), "");
    let done = text(&mut app, "put a.txt --as <x>");
    assert_eq!((asked(&done), line(&app)), (vec![], "put a.txt --as <x>"));
    // Where nothing is simulated these are characters like others.
    let mut real = of(fixture::member());
    assert_eq!((text(&mut real, ".").len(), line(&real)), (0, "."));
}

#[test]
fn hosts_die_and_return_without_a_question() {
    let mut app = running();
    assert_eq!(asked(&text(&mut app, "K")), [SimulationRequest::Kill]);
    assert_eq!(app.overlay, None);
    assert_eq!(asked(&text(&mut app, "R")), [], "it runs");
    let mut snapshot = (*app.nodes[0].snapshot).clone();
    snapshot.membership = Membership::Down;
    app.snapshot_changed(0, Arc::new(snapshot));
    assert_eq!(asked(&text(&mut app, "KR")), [SimulationRequest::Restart]);
    assert_eq!(asked(&text(&mut app, "A")), [SimulationRequest::Add]);
}

#[test]
fn the_network_is_cut_once_and_healed_once() {
    let mut app = running();
    assert_eq!(asked(&text(&mut app, "HP")), [SimulationRequest::Part]);
    let mut app = now(app, |simulation| simulation.parts = 2);
    assert_eq!(asked(&text(&mut app, "PH")), [SimulationRequest::Heal]);
}

#[test]
fn the_shown_node_is_chosen_along_the_ring_or_by_its_row() {
    let mut app = running();
    assert_eq!(
        asked(&text(&mut app, "nN")),
        [SimulationRequest::Next, SimulationRequest::Previous]
    );
    // Predecessor 48, then successor 495, of 466.
    let second = app.snapshot().successors[0].peer;
    assert_eq!(asked(&text(&mut app, "3jv")), [SimulationRequest::Show(second)]);
    assert_eq!(asked(&text(&mut app, "7v")), []);
    assert!(told(&app).contains("select a node"), "{}", told(&app));
}

#[test]
fn a_simulation_ends_without_a_question() {
    let mut app = running();
    app.focus = Focus::Prompt;
    let done = run(&mut app, "quit");
    assert!(done.contains(&UiEffect::Leave), "{done:?}");
}
