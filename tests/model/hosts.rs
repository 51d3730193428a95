//! Hosts under the model checker: one of two positions, and one of one, which joins it
//! and may crash. Operations are whole; statements travel.
//!
//! Two positions of a host hand messages to each other within one step, so what is
//! checked here is what the driver of a host sees: when the second position follows,
//! that nothing of a host's own reaches the driver, and that the positions that are left
//! alone are a ring.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::hash::Hash;
use std::time::Duration;

use chordal::chord::invariant::{Members, NodeState, Report};
use chordal::chord::{Command, Config, Effect, Guards, Host, Input, Membership, Node, Slot, Timer};
use chordal::id::Space;
use chordal::peer::Peer;
use chordal::time::Time;
use chordal::wire::handshake::Params;
use chordal::wire::{Ask, Message, Nonce, Tell};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};

/// How many positions each host has.
const POSITIONS: [u16; 2] = [2, 1];

/// Where they lie on a ring of eight places: the other host's between these two.
const PLACES: [&[u128]; 2] = [&[1, 6], &[3]];

/// Rounds of maintenance in which every ring of this size heals.
const ROUNDS: usize = 12;

#[derive(Clone)]
struct Hosts {
    guards: Guards,
    addresses: [u16; 2],
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    /// `None`: it has crashed.
    hosts: [Option<Host>; 2],
    armed: BTreeSet<(usize, Slot, Timer)>,
    tells: BTreeSet<(Peer, Peer, Tell)>,
    joined: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Join,
    Fire(usize, Slot, Timer),
    Hear(Peer, Peer, Tell),
    Crash,
}

/// A question that is on its way, of this host and position.
type Question = (usize, Slot, Nonce, Peer, Ask);

fn space() -> Space {
    Space::new(3).expect("in range")
}

impl Hosts {
    fn new(guards: Guards) -> Hosts {
        let lies = |port: &u16, places: &[u128]| {
            let id = |slot| peer(*port, slot).id(space()).value();
            (0..).zip(places).all(|(slot, place)| id(slot) == *place)
        };
        let port = |places| (2000..u16::MAX).find(|port| lies(port, places));
        Hosts { guards, addresses: PLACES.map(|places| port(places).expect("there is one")) }
    }

    fn host_of(&self, peer: Peer) -> usize {
        usize::from(peer.address().port() != self.addresses[0])
    }

    fn init(&self) -> State {
        let params = Params { ring: "model".into(), space: space(), replicas: 1 };
        let config = Config { params, successors: 2, stabilize: Duration::ZERO };
        let host = |of: usize| {
            let (address, count) = (peer(self.addresses[of], 0).address(), POSITIONS[of]);
            let node = |slot| Node::one_of(config.clone(), address, slot, count);
            Some(Host::of((0..count).map(node).map(|n| n.with_guards(self.guards)).collect()))
        };
        let mut state = State {
            hosts: [host(0), host(1)],
            armed: BTreeSet::new(),
            tells: BTreeSet::new(),
            joined: false,
        };
        for of in 0..2 {
            let start = Input::Start { records: Vec::new(), remembered: Vec::new() };
            self.give(&mut state, of, None, start);
        }
        // It waits to join: on no ring.
        self.give(&mut state, 1, None, Input::Command { ticket: 0, command: Command::Leave });
        state
    }

    /// One input to a host, and all questions that follow, answered truthfully.
    fn give(&self, state: &mut State, of: usize, slot: Option<Slot>, input: Input) {
        let mut asked = VecDeque::new();
        self.handle(state, of, slot, input, &mut asked);
        while let Some((of, slot, nonce, to, ask)) = asked.pop_front() {
            let there = self.host_of(to);
            let from = state.hosts[of].as_ref().and_then(|host| host.node(slot)).map(Node::peer);
            let position = state.hosts[there].as_ref().and_then(|host| host.slot_of(to.index()));
            let answer = from.zip(position).and_then(|(from, position)| {
                let message = Message::Ask { nonce, ask };
                let input = Input::Received { from, message };
                self.handle(state, there, Some(position), input, &mut asked)
            });
            let input = match answer {
                Some(message) => Input::Received { from: to, message },
                None => Input::NoAnswer { from: to, nonce },
            };
            self.handle(state, of, Some(slot), input, &mut asked);
        }
        state.hosts.iter_mut().flatten().for_each(Host::forget_history);
        let up = [state.hosts[0].is_some(), state.hosts[1].is_some()];
        state.tells.retain(|(_, to, _)| up[self.host_of(*to)]);
    }

    /// One input to a host; the answer, if it was a question.
    fn handle(
        &self,
        state: &mut State,
        of: usize,
        slot: Option<Slot>,
        input: Input,
        asked: &mut VecDeque<Question>,
    ) -> Option<Message> {
        let host = state.hosts[of].as_mut()?;
        let mut out = Vec::new();
        match slot {
            Some(slot) => host.handle_at(Time::ZERO, slot, input, &mut out),
            None => host.handle(Time::ZERO, input, &mut out),
        }
        let mut answer = None;
        for (slot, effect) in out {
            match effect {
                Effect::Send { to, message } => {
                    assert_ne!(self.host_of(to), of, "{message:?} to itself");
                    let from = host.node(slot).expect("one of its positions").peer();
                    match message {
                        Message::Ask { nonce, ask } => asked.push_back((of, slot, nonce, to, ask)),
                        Message::Answer { .. } => answer = Some(message),
                        // A stabilization may happen at any time anyway.
                        Message::Tell(Tell::Changed) => {}
                        Message::Tell(tell) => {
                            state.tells.insert((from, to, tell));
                        }
                    }
                }
                Effect::Arm { timer: timer @ (Timer::Stabilize | Timer::Join), .. } => {
                    state.armed.insert((of, slot, timer));
                }
                Effect::Disarm(timer) => {
                    state.armed.remove(&(of, slot, timer));
                }
                Effect::Arm { .. } | Effect::Reply { .. } | Effect::Notice(_) => {}
                Effect::Store { .. } | Effect::Cease { .. } => unreachable!("there are no files"),
            }
        }
        answer
    }

    fn take(&self, state: &mut State, step: Step) {
        match step {
            Step::Join => {
                state.joined = true;
                let command = Command::Join { contact: peer(self.addresses[0], 0) };
                self.give(state, 1, None, Input::Command { ticket: 0, command });
            }
            Step::Fire(of, slot, timer) => {
                state.armed.remove(&(of, slot, timer));
                self.give(state, of, Some(slot), Input::Fired(timer));
            }
            Step::Hear(from, to, tell) => {
                state.tells.remove(&(from, to, tell.clone()));
                let of = self.host_of(to);
                let slot = state.hosts[of].as_ref().and_then(|host| host.slot_of(to.index()));
                if let Some(slot) = slot {
                    let message = Message::Tell(tell);
                    self.give(state, of, Some(slot), Input::Received { from, message });
                }
            }
            Step::Crash => {
                state.hosts[1] = None;
                state.armed.retain(|(of, ..)| *of == 0);
                state.tells.retain(|(_, to, _)| self.host_of(*to) == 0);
            }
        }
    }

    /// Whether maintenance alone makes it the ring that it should be.
    fn heals(&self, state: &State) -> bool {
        let mut state = state.clone();
        for _ in 0..ROUNDS {
            for (of, slot, timer) in state.armed.clone() {
                self.take(&mut state, Step::Fire(of, slot, timer));
            }
            for (from, to, tell) in state.tells.clone() {
                self.take(&mut state, Step::Hear(from, to, tell));
            }
        }
        Members::new(space(), &state.members()).ideal(2)
    }
}

fn peer(port: u16, slot: u16) -> Peer {
    Peer::new(([127, 0, 0, 1], port).into(), slot)
}

impl State {
    fn members(&self) -> Vec<NodeState> {
        let nodes = self.hosts.iter().flatten().flat_map(Host::nodes);
        nodes.filter(|node| node.membership() == Membership::Member).map(Node::ring_state).collect()
    }

    /// Zave's assumption: should the other host die now, each of two positions has a live
    /// successor.
    fn spares(&self) -> bool {
        let members = self.members();
        let here =
            |peer: &Peer| self.hosts[0].as_ref().is_some_and(|h| h.positions().contains(peer));
        let mut left = members.iter().filter(|member| here(&member.peer));
        self.hosts[1].is_some()
            && left.clone().count() == 2
            && left.all(|member| member.successors.iter().any(here))
    }

    fn report(&self) -> Report {
        Members::new(space(), &self.members()).report()
    }

    fn membership(&self, of: usize, slot: Slot) -> Option<Membership> {
        self.hosts[of].as_ref().and_then(|host| host.node(slot)).map(Node::membership)
    }
}

/// What the successors and predecessor of each member are.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for member in self.members() {
            let at = |peer: &Peer| peer.id(space()).value();
            let list: Vec<u128> = member.successors.iter().map(at).collect();
            let before = member.predecessor.as_ref().map(at);
            writeln!(f, "{} before {before:?}, list {list:?}", at(&member.peer))?;
        }
        Ok(())
    }
}

impl Model for Hosts {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.init()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if !state.joined {
            steps.push(Step::Join);
        } else if state.spares() {
            steps.push(Step::Crash);
        }
        steps.extend(state.armed.iter().map(|(of, slot, timer)| Step::Fire(*of, *slot, *timer)));
        let tells = state.tells.iter().cloned();
        steps.extend(tells.map(|(from, to, tell)| Step::Hear(from, to, tell)));
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = state.clone();
        self.take(&mut next, step);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Hosts>> {
        vec![
            Property::always("at least one ring", |_: &Hosts, s: &State| {
                s.report().at_least_one_ring
            }),
            Property::always("at most one ring", |_: &Hosts, s: &State| {
                s.report().at_most_one_ring
            }),
            Property::always("ordered ring", |_: &Hosts, s: &State| s.report().ordered_ring),
            Property::always("valid lists", |_: &Hosts, s: &State| s.report().valid_lists),
            Property::always("maintenance heals", Hosts::heals),
            Property::always("a host that is alone has one position", |_: &Hosts, s: &State| {
                s.joined || s.membership(0, 1) == Some(Membership::New)
            }),
            Property::sometimes(
                "three positions of two hosts are a ring",
                |_: &Hosts, s: &State| {
                    s.members().len() == 3 && Members::new(space(), &s.members()).ideal(2)
                },
            ),
            Property::sometimes("two positions of one host stay a ring", |_: &Hosts, s: &State| {
                s.hosts[1].is_none()
                    && s.members().len() == 2
                    && Members::new(space(), &s.members()).ideal(2)
            }),
        ]
    }
}

/// What does not hold, with the shortest way there; the states seen.
fn failures(guards: Guards) -> (Vec<(&'static str, Vec<Step>)>, usize) {
    let checker = Hosts::new(guards).checker().threads(1);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let model = checker.model();
    let fails = |name: &'static str| model.property(name).expectation == Expectation::Always;
    let discoveries = checker.discoveries();
    for property in model.properties() {
        let seen = discoveries.contains_key(property.name);
        assert!(guards != Guards::ALL || seen || fails(property.name), "never: {}", property.name);
    }
    let failures = discoveries.into_iter().filter(|(name, _)| fails(name));
    let failures = failures.map(|(name, path)| {
        println!("not: {name}\n{:?}", path.last_state());
        (name, path.into_actions())
    });
    (failures.collect(), checker.unique_state_count())
}

#[test]
fn the_second_position_of_a_host_follows_and_stays_when_the_other_host_dies() {
    let (failures, states) = failures(Guards::ALL);
    assert_eq!(failures, []);
    assert_eq!(states, 16, "different states; see the module");
}

#[test]
fn without_its_own_answer_a_dead_successor_of_a_position_stays() {
    let (failures, _) = failures(Guards { own_answer: false, ..Guards::ALL });
    let peer = |of: usize, slot| peer(Hosts::new(Guards::ALL).addresses[of], slot);
    let way = vec![
        Step::Join,
        Step::Hear(peer(1, 0), peer(0, 0), Tell::Notify),
        Step::Fire(1, 0, Timer::Stabilize),
        Step::Fire(0, 0, Timer::Stabilize),
        Step::Crash,
        Step::Hear(peer(1, 0), peer(0, 1), Tell::Notify),
    ];
    assert_eq!(failures, [("maintenance heals", way)]);
}
