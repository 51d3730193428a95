//! Turns: so many transfers of the user run at a time, the others
//! wait, first come first served.

use std::collections::{BTreeSet, VecDeque};

/// The transfers that run and those that wait, by their numbers.
#[derive(Debug)]
pub(super) struct Turns {
    at_once: usize,
    running: BTreeSet<u64>,
    waiting: VecDeque<u64>,
}

impl Turns {
    /// `at_once` at a time; at least one.
    pub(super) fn new(at_once: usize) -> Turns {
        Turns { at_once: at_once.max(1), running: BTreeSet::new(), waiting: VecDeque::new() }
    }

    /// How many may run.
    pub(super) const fn at_once(&self) -> usize {
        self.at_once
    }

    /// Asks for a turn; whether it is this one's at once. Asking twice changes
    /// nothing.
    pub(super) fn ask(&mut self, number: u64) -> bool {
        if !self.running.contains(&number) && !self.waiting.contains(&number) {
            self.waiting.push_back(number);
            self.admit();
        }
        self.running.contains(&number)
    }

    /// Gives a turn, or the wait for one, up; returns the transfer whose turn it is instead.
    pub(super) fn leave(&mut self, number: u64) -> Option<u64> {
        self.waiting.retain(|waiting| *waiting != number);
        self.running.remove(&number);
        self.admit()
    }

    fn admit(&mut self) -> Option<u64> {
        if self.running.len() >= self.at_once {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running.insert(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_run_as_may_and_the_others_follow_as_they_came() {
        let mut turns = Turns::new(2);
        assert!(turns.ask(1) && turns.ask(2));
        assert!(!turns.ask(3) && !turns.ask(4) && !turns.ask(3));
        assert_eq!(turns.leave(2), Some(3), "who came first");
        assert!(turns.ask(3) && !turns.ask(4));
        // A transfer that gives up while waiting makes no room.
        assert!(!turns.ask(5));
        assert_eq!(turns.leave(4), None);
        assert_eq!(turns.leave(1), Some(5));
        assert_eq!([turns.leave(3), turns.leave(5), turns.leave(9)], [None; 3]);
        assert!(turns.ask(1), "nobody is left in the way");
    }
}
