//! What becomes of a ring when no further fault comes.
//!
//! From any state one fair schedule is followed: first whatever is on its way
//! arrives, then all members stabilize, and so on, until the ring is ideal. The
//! schedule has no memory, so that each state has one future, which is looked at
//! once: states whose future is known are kept. When rounds change nothing any
//! more, those who remember somebody probe.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use chordal::chord::invariant::Members;
use chordal::chord::{Membership, Timer};

use crate::world::{Question, Setting, World};

/// How a ring comes to be ideal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Healed {
    /// By stabilize and rectify.
    Maintenance,
    /// Only when somebody probes whom it remembers.
    Remembering,
    /// Not at all.
    Never,
}

/// The futures known.
#[derive(Debug, Default)]
pub(crate) struct Healing {
    known: Mutex<HashMap<u64, Healed>>,
}

impl Healing {
    /// How this one comes to be ideal.
    pub(crate) fn of(&self, setting: &Setting, world: &World) -> Healed {
        let mut world = world.clone();
        let mut path = Vec::new();
        let mut seen = BTreeSet::new();
        let mut stirred = BTreeSet::new();
        let mut probed = BTreeSet::new();
        let mut probed_at = 0;
        let end = loop {
            let print = world.print();
            if let Some(end) = self.known.lock().expect("no panic").get(&print) {
                break *end;
            }
            path.push(print);
            if seen.insert(print) {
                if arrives(setting, &mut world) {
                    continue;
                }
                if is_ideal(setting, &world) {
                    break Healed::Maintenance;
                }
                round(setting, &mut world);
            } else if stirred.insert(print) {
                // Messages alone go in a circle, or rounds do: what is on its
                // way arrives once, in turn, and a timer fires all the same.
                seen.clear();
                each_arrives(setting, &mut world);
                round(setting, &mut world);
            } else if setting.memory && probed.insert(print) {
                // Rounds alone lead back to where the ring was.
                probed_at = path.len();
                seen.clear();
                for place in world.members().collect::<Vec<_>>() {
                    setting.fire(&mut world, place, Timer::Probe);
                }
            } else {
                break Healed::Never;
            }
        };
        let mut table = self.known.lock().expect("no panic");
        for (at, print) in path.iter().enumerate() {
            let by = if at < probed_at { end.max(Healed::Remembering) } else { end };
            // What is known of a world holds for its first time on the way.
            table.entry(*print).or_insert(by);
        }
        path.first().and_then(|first| table.get(first)).copied().unwrap_or(end)
    }

    /// How many worlds have been looked at, and how many of them heal only so.
    pub(crate) fn counts(&self) -> [usize; 3] {
        let known = self.known.lock().expect("no panic");
        [Healed::Maintenance, Healed::Remembering, Healed::Never]
            .map(|way| known.values().filter(|by| **by == way).count())
    }
}

/// The next of what is on its way arrives; whether there was any.
fn arrives(setting: &Setting, world: &mut World) -> bool {
    if let Some(saying) = world.tells.pop_first() {
        setting.say(world, saying);
    } else if let Some(question) = world.questions.first().cloned() {
        ends(setting, world, question);
    } else {
        return false;
    }
    true
}

/// Whatever is on its way now arrives.
fn each_arrives(setting: &Setting, world: &mut World) {
    for place in world.places() {
        let of_it = |question: &&Question| question.from == place;
        if let Some(question) = world.questions.iter().find(of_it).cloned() {
            ends(setting, world, question);
        }
    }
}

fn ends(setting: &Setting, world: &mut World, question: Question) {
    if question.answer.is_some() || world.is_up(question.to) && !question.arrived {
        setting.carry(world, question);
    } else {
        setting.silence(world, &question);
    }
}

/// All stabilize, and those who are on their way in try again.
fn round(setting: &Setting, world: &mut World) {
    for place in world.places() {
        match world.membership(place) {
            Some(Membership::Joining) => setting.fire(world, place, Timer::Join),
            Some(Membership::Member) => setting.fire(world, place, Timer::Stabilize),
            _ => {}
        }
    }
}

/// Whether all who came in are the one ideal ring.
fn is_ideal(setting: &Setting, world: &World) -> bool {
    let joining = world.places().any(|place| world.membership(place) == Some(Membership::Joining));
    let mut states = world.states();
    // A node without the guard may name itself; what counts are the others.
    states.iter_mut().for_each(|state| state.successors.retain(|peer| *peer != state.peer));
    !joining && Members::new(setting.space(), &states).ideal(setting.r)
}
