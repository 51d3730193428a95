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
use chordal::chord::{Standing, Timer};

use crate::world::{Setting, World};

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
        let mut known = None;
        let mut probed_at = 0;
        let end = loop {
            let print = world.print();
            if let Some(end) = self.known.lock().expect("no panic").get(&print) {
                known = Some(*end);
                break *end;
            }
            if !seen.insert(print) {
                break Healed::Never;
            }
            path.push(print);
            if !arrives(setting, &mut world) {
                if is_ideal(setting, &world) {
                    break Healed::Maintenance;
                }
                if !round(setting, &mut world) {
                    if !setting.memory {
                        break Healed::Never;
                    }
                    probed_at = path.len();
                    for place in world.members().collect::<Vec<_>>() {
                        setting.fire(&mut world, place, Timer::Probe);
                    }
                }
            }
        };
        let _ = known;
        let mut table = self.known.lock().expect("no panic");
        for (at, print) in path.iter().enumerate() {
            let by = if at < probed_at { end.max(Healed::Remembering) } else { end };
            table.insert(*print, by);
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
        if question.answer.is_some() || world.is_up(question.to) {
            setting.carry(world, question);
        } else {
            setting.silence(world, &question);
        }
    } else {
        return false;
    }
    true
}

/// All stabilize, and what comes of it arrives; whether anything changed.
fn round(setting: &Setting, world: &mut World) -> bool {
    let before = world.clone();
    for place in world.places() {
        match world.standing(place) {
            Some(Standing::Joining) => setting.fire(world, place, Timer::Join),
            Some(Standing::Member) => setting.fire(world, place, Timer::Stabilize),
            _ => {}
        }
    }
    while arrives(setting, world) {}
    *world != before
}

/// Whether all who came in are the one ideal ring.
fn is_ideal(setting: &Setting, world: &World) -> bool {
    let joining = world.places().any(|place| world.standing(place) == Some(Standing::Joining));
    !joining && Members::new(setting.space(), &world.states()).ideal(setting.r)
}
