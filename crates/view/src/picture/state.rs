//! The one function that says how a ring fares, for the snapshot of a node, for
//! `ring` and for a simulation alike.

use crate::state::{State, Unsettled};
use crate::{Health, Standing};

/// What is known of a ring and of the node that looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What the node is to its ring.
    pub standing: Standing,
    /// Whether its disk refuses to store.
    pub sick_disk: bool,
    /// Members known lately that are gone and did not leave, when they are most.
    pub missing: Option<u64>,
    /// Members seen.
    pub seen: u64,
    /// Of these, those that have not said yet who their neighbours are.
    pub unheard: u64,
    /// Members that do not answer.
    pub silent: u64,
    /// Nothing has changed for a period.
    pub settled: bool,
    /// Some members went lately.
    pub shrinking: bool,
    /// The ring's properties.
    pub health: Health,
    /// Entries that a successor list may have, r.
    pub successors_max: usize,
    /// Files that have fewer copies than wanted.
    pub files: u64,
}

/// How the ring fares: the first of what is not as it should be.
pub fn state(facts: &Facts) -> State {
    let Facts { seen, health, .. } = *facts;
    match facts.standing {
        Standing::Down => return State::Down,
        Standing::Left => return State::Left,
        Standing::Leaving => return State::Leaving,
        Standing::Joining => return State::Joining,
        Standing::Alone | Standing::Member => {}
    }
    if let Some(missing) = facts.missing {
        return State::CutOff { missing };
    }
    if facts.sick_disk {
        return State::SickDisk;
    }
    if facts.standing == Standing::Alone && facts.silent == 0 {
        return State::Alone;
    }
    let nodes = usize::try_from(seen).unwrap_or(usize::MAX);
    let unsettled = [
        (facts.silent > 0, Unsettled::Silent(facts.silent)),
        (!health.one_ring, Unsettled::NotOneRing),
        (!health.ordered, Unsettled::Disordered),
        (!health.lists_valid, Unsettled::BadLists),
        (!facts.settled && facts.shrinking, Unsettled::Changing),
        (!facts.settled, Unsettled::Growing),
        (facts.unheard > 0, Unsettled::Unheard(facts.unheard)),
        (!health.in_place, Unsettled::OutOfPlace),
        (health.is_fragile(nodes, facts.successors_max), Unsettled::ShortLists),
    ];
    if let Some((_, why)) = unsettled.into_iter().find(|(holds, _)| *holds) {
        return State::Converging { seen, why };
    }
    if facts.files > 0 {
        return State::Repairing { files: facts.files };
    }
    State::Healthy
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::UNSEEN;

    const WELL: Facts = Facts {
        standing: Standing::Member,
        sick_disk: false,
        missing: None,
        seen: 45,
        unheard: 0,
        silent: 0,
        settled: true,
        shrinking: false,
        health: Health { margin: Some(16), ..UNSEEN },
        successors_max: 16,
        files: 0,
    };

    #[test]
    fn a_ring_is_healthy_when_nothing_speaks_against_it_and_otherwise_there_is_a_word() {
        let health = |health| Facts { health, ..WELL };
        for (facts, word) in [
            (WELL, "healthy"),
            (Facts { standing: Standing::Left, ..WELL }, "left"),
            (Facts { standing: Standing::Leaving, ..WELL }, "leaving"),
            (Facts { standing: Standing::Joining, ..WELL }, "joining"),
            (Facts { standing: Standing::Down, ..WELL }, "down"),
            (Facts { standing: Standing::Alone, seen: 1, ..WELL }, "alone"),
            (
                Facts { standing: Standing::Alone, seen: 1, missing: Some(7), ..WELL },
                "cut off (from 7 members)",
            ),
            (Facts { sick_disk: true, files: 3, ..WELL }, "sick disk"),
            (Facts { settled: false, ..WELL }, "converging (45 seen, still growing)"),
            (
                Facts { settled: false, shrinking: true, ..WELL },
                "converging (45 seen, still changing)",
            ),
            (Facts { unheard: 3, ..WELL }, "converging (45 seen, 3 not heard yet)"),
            (Facts { silent: 2, ..WELL }, "converging (45 seen, 2 do not answer)"),
            (Facts { files: 3, ..WELL }, "repairing (3 files)"),
            (
                health(Health { one_ring: false, ..WELL.health }),
                "converging (45 seen, not one ring)",
            ),
            (
                health(Health { in_place: false, ..WELL.health }),
                "converging (45 seen, not all in place)",
            ),
            (
                health(Health { margin: Some(1), ..WELL.health }),
                "converging (45 seen, lists are short)",
            ),
        ] {
            assert_eq!(state(&facts).to_string(), word);
        }
        let two = Facts { seen: 2, health: Health { margin: Some(1), ..WELL.health }, ..WELL };
        assert!(state(&two).is_healthy(), "two can have no more than one successor");
    }
}
