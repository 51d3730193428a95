//! The state of a ring in one word, as the dashboard's light and `ring` show it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Health, Membership};

/// The state of a ring, or of a node on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// A member of a ring on which everything is as it should be.
    Healthy,
    /// The only member of its own ring.
    Alone,
    /// It is joining.
    Joining,
    /// A member of a ring that changes, or that is not as it should be yet.
    Converging {
        /// Members seen.
        seen: u64,
        /// What is missing.
        why: Unsettled,
    },
    /// The ring is in order, but files have fewer copies than wanted.
    Repairing {
        /// How many.
        files: u64,
    },
    /// Most of the members that were known lately are gone, and did not leave.
    CutOff {
        /// How many of them.
        missing: u64,
    },
    /// The node's disk refuses to store.
    SickDisk,
    /// Handing over its files.
    Leaving,
    /// It has left its ring.
    Left,
    /// Not running.
    Down,
}

/// Why a ring is still converging.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unsettled {
    /// Members came a moment ago.
    Growing,
    /// Members came or went a moment ago.
    Changing,
    /// This many have not yet said which their neighbours are.
    Unheard(u64),
    /// This many do not answer.
    Silent(u64),
    /// There is none, or more than one.
    NotOneRing,
    /// Its order is not that of the identifiers.
    Disordered,
    /// A successor list is out of order.
    BadLists,
    /// A member's predecessor or successor is not the one beside it.
    OutOfPlace,
    /// A successor list is short although there are nodes to fill it: one or two
    /// deaths could break the ring.
    ShortLists,
}

/// What is known of a ring and of the node that looks at it.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// What the node is to its ring.
    pub membership: Membership,
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

impl State {
    /// Judges a ring, for the snapshot of a node, for `ring` and for a simulation alike:
    /// the first of what is not as it should be.
    pub fn of(facts: &Facts) -> State {
        let Facts { seen, health, .. } = *facts;
        match facts.membership {
            Membership::Down => return State::Down,
            Membership::Left => return State::Left,
            Membership::Leaving => return State::Leaving,
            Membership::Joining => return State::Joining,
            Membership::Alone | Membership::Member => {}
        }
        if let Some(missing) = facts.missing {
            return State::CutOff { missing };
        }
        if facts.sick_disk {
            return State::SickDisk;
        }
        if facts.membership == Membership::Alone && facts.silent == 0 {
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

    /// Whether all is as it should be.
    pub const fn is_healthy(self) -> bool {
        matches!(self, State::Healthy)
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            State::Healthy => "healthy",
            State::Alone => "alone",
            State::Joining => "joining",
            State::Converging { .. } => "converging",
            State::Repairing { .. } => "repairing",
            State::CutOff { .. } => "cut off",
            State::SickDisk => "sick disk",
            State::Leaving => "leaving",
            State::Left => "left",
            State::Down => "down",
        }
    }

    /// More about it, where there is more.
    pub fn detail(self) -> Option<String> {
        let count = |n: u64, one: &str, many: &str| match n {
            1 => format!("1 {one}"),
            n => format!("{n} {many}"),
        };
        Some(match self {
            State::Converging { seen, why } => format!("{seen} seen, {why}"),
            State::Repairing { files } => count(files, "file", "files"),
            State::CutOff { missing } => {
                format!("from {}", count(missing, "member", "members"))
            }
            _ => return None,
        })
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())?;
        match self.detail() {
            Some(detail) => write!(f, " ({detail})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Unsettled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = |n: &u64, one: &'static str, many: &'static str| if *n == 1 { one } else { many };
        match self {
            Unsettled::Growing => f.write_str("still growing"),
            Unsettled::Changing => f.write_str("still changing"),
            Unsettled::Unheard(n) => write!(f, "{n} not heard yet"),
            Unsettled::Silent(n) => write!(f, "{n} {} not answer", one(n, "does", "do")),
            Unsettled::NotOneRing => f.write_str("not one ring"),
            Unsettled::Disordered => f.write_str("out of order"),
            Unsettled::BadLists => f.write_str("lists are being repaired"),
            Unsettled::OutOfPlace => f.write_str("not all in place"),
            Unsettled::ShortLists => f.write_str("lists are short"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Facts = Facts {
        membership: Membership::Member,
        sick_disk: false,
        missing: None,
        seen: 45,
        unheard: 0,
        silent: 0,
        settled: true,
        shrinking: false,
        health: Health { margin: Some(16), ..Health::UNSEEN },
        successors_max: 16,
        files: 0,
    };

    #[test]
    fn a_ring_is_healthy_when_nothing_speaks_against_it_and_otherwise_there_is_a_word() {
        let health = |health| Facts { health, ..WELL };
        for (facts, word) in [
            (WELL, "healthy"),
            (Facts { membership: Membership::Left, ..WELL }, "left"),
            (Facts { membership: Membership::Leaving, ..WELL }, "leaving"),
            (Facts { membership: Membership::Joining, ..WELL }, "joining"),
            (Facts { membership: Membership::Down, ..WELL }, "down"),
            (Facts { membership: Membership::Alone, seen: 1, ..WELL }, "alone"),
            (
                Facts { membership: Membership::Alone, seen: 1, missing: Some(7), ..WELL },
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
            assert_eq!(State::of(&facts).to_string(), word);
        }
        let two = Facts { seen: 2, health: Health { margin: Some(1), ..WELL.health }, ..WELL };
        assert!(State::of(&two).is_healthy(), "two can have no more than one successor");
    }

    #[test]
    fn a_state_is_a_word_with_what_there_is_to_say() {
        let growing = State::Converging { seen: 45, why: Unsettled::Growing };
        for (state, words) in [
            (State::Healthy, "healthy"),
            (growing, "converging (45 seen, still growing)"),
            (State::Repairing { files: 3 }, "repairing (3 files)"),
            (State::CutOff { missing: 7 }, "cut off (from 7 members)"),
            (State::SickDisk, "sick disk"),
            (
                State::Converging { seen: 8, why: Unsettled::Silent(1) },
                "converging (8 seen, 1 does not answer)",
            ),
        ] {
            assert_eq!(state.to_string(), words);
        }
    }
}
