//! What may happen to a ring, how often, and what must hold all the while.

use std::collections::BTreeSet;
use std::fmt;
use std::hash::{Hash, Hasher};

use chordal::chord::invariant::{Members, NodeState, Report};
use chordal::chord::{Membership, Timer};
use chordal::wire::Tell;
use stateright::{Model, Property};

use crate::heal::{Healed, Healing};
use crate::world::{Place, Question, Saying, Setting, World};

/// How often what cannot go on for ever may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) joins: u8,
    pub(crate) crashes: u8,
    /// Questions to the living that count as not answered: false suspicion, and
    /// lost questions and answers.
    pub(crate) silences: u8,
    /// Statements lost.
    pub(crate) losses: u8,
    /// Statements that arrive twice.
    pub(crate) doubles: u8,
    /// Connections that break, also to the living.
    pub(crate) breaks: u8,
    /// Attempts of a join beyond the first.
    pub(crate) retries: u8,
    /// Looks at remembered peers.
    pub(crate) probes: u8,
    /// Stabilizations by their timer, of all nodes together; `u8::MAX`: any number.
    pub(crate) rounds: u8,
}

/// Which crashes may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crashes {
    /// Zave's assumption: none that leaves a member without a live successor.
    Spared,
    /// The same, but of two the one may die.
    ToTheLast,
    /// All.
    Any,
}

/// A state: the world, and what has been spent of the budget.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) world: World,
    pub(crate) spent: Budget,
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.world.hash(state);
        self.spent.hash(state);
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.world)
    }
}

/// One step.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Join(Place, Place),
    JoinAgain(Place),
    Stabilize(Place),
    Probe(Place),
    /// A question reaches the one asked.
    Asked(Question),
    /// An answer reaches the asker.
    Answered(Question),
    /// A question counts as not answered.
    Silent(Question),
    /// A statement arrives.
    Told(Saying),
    /// A statement arrives and will again.
    ToldTwice(Saying),
    Lost(Saying),
    /// Word that the other has died, true or not.
    Broken(Place, Place),
    Crash(Place),
}

/// As a person would tell it: `3 joins via 0`.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = |saying: &Saying| match &saying.tell {
            Tell::Notify => "notify".into(),
            tell => format!("{tell:?}"),
        };
        match self {
            Step::Join(place, via) => write!(f, "{place} joins via {via}"),
            Step::JoinAgain(place) => write!(f, "{place} tries again to join"),
            Step::Stabilize(place) => write!(f, "{place} stabilizes"),
            Step::Probe(place) => write!(f, "{place} probes"),
            Step::Asked(q) => write!(f, "{} hears the question of {}", q.to, q.from),
            Step::Answered(q) => write!(f, "{} hears the answer of {}", q.from, q.to),
            Step::Silent(q) => write!(f, "{} gives up on {}", q.from, q.to),
            Step::Told(s) => write!(f, "{} hears {} of {}", s.to, said(s), s.from),
            Step::ToldTwice(s) => {
                write!(f, "{} hears {} of {}, not for the last time", s.to, said(s), s.from)
            }
            Step::Lost(s) => write!(f, "{} of {} to {} is lost", said(s), s.from, s.to),
            Step::Broken(place, to) => write!(f, "{place} is told that {to} died"),
            Step::Crash(place) => write!(f, "{place} crashes"),
        }
    }
}

/// What must hold in every state.
pub(crate) type Law = (&'static str, fn(&Ring, &State) -> bool);

/// A ring and what may happen to it.
pub(crate) struct Ring {
    pub(crate) setting: Setting,
    pub(crate) members: Vec<Place>,
    pub(crate) joiners: Vec<Place>,
    pub(crate) budget: Budget,
    pub(crate) crashes: Crashes,
    /// A crashed node may come back, without memory.
    pub(crate) returns: bool,
    /// A joiner asks any member; otherwise the first.
    pub(crate) any_contact: bool,
    pub(crate) laws: Vec<Law>,
    pub(crate) witnesses: Vec<Law>,
    pub(crate) healing: Healing,
}

impl Ring {
    pub(crate) fn report(&self, state: &State) -> Report {
        Members::new(self.setting.space(), &state.world.states()).report()
    }

    pub(crate) fn healed(&self, state: &State) -> Healed {
        self.healing.of(&self.setting, &state.world)
    }

    /// Zave's assumption about crashes.
    fn is_spared(&self, world: &World, dying: Place) -> bool {
        self.crashes == Crashes::Any || {
            let mut after = world.clone();
            after.crash(dying);
            let alone = after.members().count() < 2;
            self.everyone_has_a_successor(&after) && (!alone || self.crashes == Crashes::ToTheLast)
        }
    }

    /// Whether every member has a live successor, or is the only one.
    pub(crate) fn everyone_has_a_successor(&self, world: &World) -> bool {
        let states = world.states();
        let lives = |place| world.is_member(place);
        states.len() < 2
            || states
                .iter()
                .all(|state| state.successors.iter().any(|peer| lives(self.setting.place(*peer))))
    }

    /// Whether whom members and joiners know or remember, taken together and followed
    /// both ways, leads from each of them to every other.
    pub(crate) fn linked(&self, world: &World) -> bool {
        let in_or_coming = |place: &Place| {
            matches!(world.membership(*place), Some(Membership::Member | Membership::Joining))
        };
        let members: BTreeSet<Place> = world.places().filter(in_or_coming).collect();
        let Some(first) = members.first() else { return true };
        let mut reached = BTreeSet::from([*first]);
        loop {
            let before = reached.len();
            for place in &members {
                let remembered = world.remembered(*place);
                let mut known = self.knows(world, *place);
                known.extend(remembered.into_iter().map(|peer| self.setting.place(peer)));
                if reached.contains(place) {
                    reached.extend(known.intersection(&members));
                } else if known.iter().any(|other| reached.contains(other)) {
                    reached.insert(*place);
                }
            }
            if reached.len() == before {
                return before == members.len();
            }
        }
    }

    /// Joiners that are members now.
    pub(crate) fn joined(&self, world: &World) -> impl Iterator<Item = Place> {
        self.joiners.iter().copied().filter(|place| world.is_member(*place))
    }

    /// Whether an old member has this first successor.
    pub(crate) fn follows_an_old_member(&self, world: &World, place: Place) -> bool {
        let peer = self.setting.peer(place);
        self.old(world).iter().any(|state| state.successors.first() == Some(&peer))
    }

    /// Whether an old member has this predecessor.
    pub(crate) fn precedes_an_old_member(&self, world: &World, place: Place) -> bool {
        let peer = self.setting.peer(place);
        self.old(world).iter().any(|state| state.predecessor == Some(peer))
    }

    fn old(&self, world: &World) -> Vec<NodeState> {
        let mut states = world.states();
        states.retain(|state| self.members.contains(&self.setting.place(state.peer)));
        states
    }

    fn knows(&self, world: &World, place: Place) -> BTreeSet<Place> {
        let states = world.states();
        let own = states.iter().filter(|state| self.setting.place(state.peer) == place);
        own.flat_map(|state| state.successors.iter().chain(&state.predecessor))
            .map(|peer| self.setting.place(*peer))
            .filter(|other| *other != place)
            .collect()
    }
}

impl Model for Ring {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let world = self.setting.world(&self.members, &self.joiners);
        vec![State { world, spent: Budget::default() }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let (world, spent, budget) = (&state.world, &state.spent, &self.budget);
        let members: Vec<Place> = world.members().collect();
        for place in world.places() {
            if world.membership(place) == Some(Membership::Left) && spent.joins < budget.joins {
                let contacts = if self.any_contact { members.len() } else { 1 };
                let joins = members.iter().take(contacts).map(|via| Step::Join(place, *via));
                steps.extend(joins);
            }
            if world.is_armed(place, Timer::Join)
                && world.membership(place) == Some(Membership::Joining)
                && spent.retries < budget.retries
            {
                steps.push(Step::JoinAgain(place));
            }
        }
        for place in &members {
            if spent.rounds < budget.rounds && world.is_armed(*place, Timer::Stabilize) {
                steps.push(Step::Stabilize(*place));
            }
            if spent.probes < budget.probes && world.is_armed(*place, Timer::Probe) {
                steps.push(Step::Probe(*place));
            }
            if spent.crashes < budget.crashes && self.is_spared(world, *place) {
                steps.push(Step::Crash(*place));
            }
            if spent.breaks < budget.breaks {
                let known = self.knows(world, *place);
                steps.extend(known.into_iter().map(|to| Step::Broken(*place, to)));
            }
        }
        for question in &world.questions {
            // Where operations are whole, it ends with its asker's next one.
            if self.setting.at_once {
                continue;
            }
            let silent = !world.is_up(question.to) || spent.silences < budget.silences;
            if silent {
                steps.push(Step::Silent(question.clone()));
            }
            if question.answer.is_some() {
                steps.push(Step::Answered(question.clone()));
            } else if world.is_up(question.to) && !question.arrived {
                steps.push(Step::Asked(question.clone()));
            }
        }
        for saying in &world.tells {
            steps.push(Step::Told(saying.clone()));
            if spent.doubles < budget.doubles {
                steps.push(Step::ToldTwice(saying.clone()));
            }
            if spent.losses < budget.losses {
                steps.push(Step::Lost(saying.clone()));
            }
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let setting = &self.setting;
        let mut next = state.clone();
        let (world, spent) = (&mut next.world, &mut next.spent);
        match step {
            Step::Join(place, via) => {
                spent.joins += 1;
                setting.join(world, place, via);
            }
            Step::JoinAgain(place) => {
                spent.retries += 1;
                setting.fire(world, place, Timer::Join);
            }
            Step::Stabilize(place) => {
                spent.rounds += u8::from(self.budget.rounds < u8::MAX);
                setting.fire(world, place, Timer::Stabilize);
            }
            Step::Probe(place) => {
                spent.probes += 1;
                setting.fire(world, place, Timer::Probe);
            }
            Step::Asked(question) | Step::Answered(question) => setting.carry(world, question),
            Step::Silent(question) => {
                spent.silences += u8::from(world.is_up(question.to));
                setting.silence(world, &question);
            }
            Step::Told(saying) => {
                world.tells.remove(&saying);
                setting.say(world, saying);
            }
            Step::ToldTwice(saying) => {
                spent.doubles += 1;
                setting.say(world, saying);
            }
            Step::Lost(saying) => {
                spent.losses += 1;
                world.tells.remove(&saying);
            }
            Step::Broken(place, to) => {
                spent.breaks += 1;
                setting.lose_connection(world, place, to);
            }
            Step::Crash(place) => {
                spent.crashes += 1;
                world.crash(place);
                if self.returns {
                    setting.come(world, place);
                }
            }
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Ring>> {
        let laws = self.laws.iter().map(|(name, law)| Property::always(name, *law));
        let witnesses = self.witnesses.iter().map(|(name, seen)| Property::sometimes(name, *seen));
        laws.chain(witnesses).collect()
    }
}
