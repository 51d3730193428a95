//! How a ring fares, in a word: what the light of the dashboard says, and `ring`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How a ring, or a node on it, fares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// A member of a ring on which everything is as it should be.
    Healthy,
    /// The only member of its own ring.
    Alone,
    /// On its way in.
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
    /// Out.
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
    /// So many have not said yet who their neighbours are.
    Unheard(u64),
    /// So many do not answer.
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

impl State {
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
