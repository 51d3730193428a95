//! Which piece comes from whom: the plan of one download.
//!
//! The plan owns the set of missing pieces and who was asked for which. It
//! hands every source a run of its own, so that sources work side by side
//! without asking twice; takes back what a lost source owes; and never asks a
//! source again that sent a piece which failed its hash. It never touches
//! bytes: the caller verifies a piece and then says [`Plan::got`] or
//! [`Plan::bad`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::peer::Peer;
use crate::transfer::manifest::PieceIndex;

/// The state of one download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Neither here nor asked for.
    open: BTreeSet<PieceIndex>,
    /// Asked for, of whom.
    asked: BTreeMap<PieceIndex, Peer>,
    /// Who may be asked.
    sources: BTreeSet<Peer>,
    /// Who sent a wrong piece; disjoint from `sources` for good.
    bad: BTreeSet<Peer>,
}

impl Plan {
    /// The plan for a content of `count` pieces of which some are here.
    pub fn new(
        count: u32,
        have: &BTreeSet<PieceIndex>,
        sources: impl IntoIterator<Item = Peer>,
    ) -> Plan {
        Plan {
            open: (0..count).map(PieceIndex).filter(|index| !have.contains(index)).collect(),
            asked: BTreeMap::new(),
            sources: sources.into_iter().collect(),
            bad: BTreeSet::new(),
        }
    }

    /// The next pieces to ask this source for: the first contiguous run that
    /// nobody was asked for, at most `most` pieces. They count as asked from
    /// now on. `None` when there is nothing to ask or the source is none.
    pub fn next(&mut self, source: Peer, most: u32) -> Option<Range<PieceIndex>> {
        if !self.sources.contains(&source) || most == 0 {
            return None;
        }
        let start = self.open.pop_first()?;
        self.asked.insert(start, source);
        let mut end = PieceIndex(start.0 + 1);
        while end.0 - start.0 < most && self.open.remove(&end) {
            self.asked.insert(end, source);
            end.0 += 1;
        }
        Some(start..end)
    }

    /// A piece came and is what its hash says. From whom does not matter: a
    /// piece that verified counts. Returns whether it was still missing.
    pub fn got(&mut self, index: PieceIndex) -> bool {
        let was_open = self.open.remove(&index);
        self.asked.remove(&index).is_some() || was_open
    }

    /// A source sent a piece that failed its hash: it is dropped, never asked
    /// again, and what it owes goes back. Returns whether it was a source.
    pub fn bad(&mut self, source: Peer) -> bool {
        self.bad.insert(source);
        self.lost(source)
    }

    /// A source went away: what it owes goes back. It may come again with
    /// [`Plan::add`]. Returns whether it was a source.
    pub fn lost(&mut self, source: Peer) -> bool {
        self.asked.retain(|index, by| {
            let stays = *by != source;
            if !stays {
                self.open.insert(*index);
            }
            stays
        });
        self.sources.remove(&source)
    }

    /// Another source was found. Refused (`false`) when it was bad before.
    pub fn add(&mut self, source: Peer) -> bool {
        !self.bad.contains(&source) && {
            self.sources.insert(source);
            true
        }
    }

    /// Who may be asked, in the order of peers.
    pub fn sources(&self) -> impl Iterator<Item = Peer> + '_ {
        self.sources.iter().copied()
    }

    /// Who sent a wrong piece.
    pub fn bad_sources(&self) -> impl Iterator<Item = Peer> + '_ {
        self.bad.iter().copied()
    }

    /// Pieces that are not here, whether asked for or not.
    pub fn missing(&self) -> usize {
        self.open.len() + self.asked.len()
    }

    /// Pieces that a source was asked for and has not sent.
    pub fn outstanding(&self, source: Peer) -> usize {
        self.asked.values().filter(|by| **by == source).count()
    }

    /// Whether every piece is here.
    pub fn is_done(&self) -> bool {
        self.missing() == 0
    }

    /// Whether pieces are missing and nobody is left to ask.
    pub fn exhausted(&self) -> bool {
        self.sources.is_empty() && !self.is_done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn peer(number: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], 2000 + number).into(), 0)
    }

    fn run(pieces: Range<PieceIndex>) -> Vec<u32> {
        (pieces.start.0..pieces.end.0).collect()
    }

    fn have(pieces: &[u32]) -> BTreeSet<PieceIndex> {
        pieces.iter().copied().map(PieceIndex).collect()
    }

    #[test]
    fn one_source_is_asked_for_runs_around_what_is_here() {
        let mut plan = Plan::new(8, &have(&[2, 6]), [peer(0)]);
        let mut runs = Vec::new();
        while let Some(pieces) = plan.next(peer(0), 3) {
            runs.push(run(pieces));
        }
        assert_eq!(runs, [vec![0, 1], vec![3, 4, 5], vec![7]]);
        assert_eq!(plan.missing(), 6);
        assert_eq!(plan.outstanding(peer(0)), 6);
        assert!([0, 1, 3, 4, 5, 7].into_iter().all(|index| plan.got(PieceIndex(index))));
        assert!(plan.is_done() && !plan.exhausted());
        assert!(!plan.got(PieceIndex(0)), "twice");
        assert!(!plan.got(PieceIndex(99)), "never asked for");
    }

    #[test]
    fn two_sources_get_disjoint_runs_and_one_takes_over_from_the_other() {
        let mut plan = Plan::new(4, &have(&[]), [peer(0), peer(1)]);
        assert_eq!(plan.next(peer(0), 2).map(run), Some(vec![0, 1]));
        assert_eq!(plan.next(peer(1), 2).map(run), Some(vec![2, 3]));
        assert_eq!(plan.next(peer(1), 2), None);
        assert!(plan.got(PieceIndex(0)));
        assert!(plan.lost(peer(0)));
        assert_eq!(plan.next(peer(0), 2), None, "lost");
        assert_eq!(plan.next(peer(1), 2).map(run), Some(vec![1]));
        assert!(plan.lost(peer(1)));
        assert!(plan.exhausted());
        assert!(plan.add(peer(0)));
        assert!(!plan.exhausted());
        assert_eq!(plan.next(peer(0), 9).map(run), Some(vec![1, 2, 3]));
    }

    #[test]
    fn a_bad_source_is_never_asked_again() {
        let mut plan = Plan::new(2, &have(&[]), [peer(0), peer(1)]);
        plan.next(peer(0), 2);
        assert!(plan.bad(peer(0)));
        assert!(!plan.add(peer(0)));
        assert_eq!(plan.next(peer(0), 1), None);
        assert_eq!(plan.bad_sources().collect::<Vec<_>>(), [peer(0)]);
        assert_eq!(plan.sources().collect::<Vec<_>>(), [peer(1)]);
        assert_eq!(plan.next(peer(1), 2).map(run), Some(vec![0, 1]));
    }

    #[test]
    fn an_empty_content_is_done_at_once() {
        let plan = Plan::new(0, &have(&[]), []);
        assert!(plan.is_done() && !plan.exhausted());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Next(u16, u32),
        Deliver(usize),
        Lost(u16),
        Bad(u16),
        Add(u16),
    }

    /// Peer 0 is the source that lives; 1..5 come and go.
    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u16..5, 1u32..5).prop_map(|(who, most)| Step::Next(who, most)),
            4 => any::<usize>().prop_map(Step::Deliver),
            1 => (1u16..5).prop_map(Step::Lost),
            1 => (1u16..5).prop_map(Step::Bad),
            1 => (1u16..5).prop_map(Step::Add),
        ]
    }

    proptest! {
        #[test]
        fn every_piece_arrives_once_while_one_source_lives(
            count in 0u32..40, steps in prop::collection::vec(step(), 0..200)
        ) {
            let mut plan = Plan::new(count, &have(&[]), (0..5).map(peer));
            // The model: who owes what, what is here, who was caught.
            let mut owed: BTreeMap<u32, Peer> = BTreeMap::new();
            let mut here: BTreeSet<u32> = BTreeSet::new();
            let mut caught: BTreeSet<Peer> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Next(who, most) => {
                        let pieces = plan.next(peer(who), most).map(run).unwrap_or_default();
                        prop_assert!(pieces.is_empty() || !caught.contains(&peer(who)));
                        prop_assert!(pieces.len() <= most as usize);
                        for piece in pieces {
                            prop_assert!(!here.contains(&piece), "asked for what is here");
                            prop_assert!(owed.insert(piece, peer(who)).is_none(), "asked twice");
                        }
                    }
                    Step::Deliver(pick) if !owed.is_empty() => {
                        let piece = *owed.keys().nth(pick % owed.len()).unwrap();
                        owed.remove(&piece);
                        here.insert(piece);
                        prop_assert!(plan.got(PieceIndex(piece)));
                    }
                    Step::Deliver(_) => {}
                    Step::Lost(who) => {
                        plan.lost(peer(who));
                        owed.retain(|_, by| *by != peer(who));
                    }
                    Step::Bad(who) => {
                        plan.bad(peer(who));
                        caught.insert(peer(who));
                        owed.retain(|_, by| *by != peer(who));
                    }
                    Step::Add(who) => {
                        prop_assert_eq!(plan.add(peer(who)), !caught.contains(&peer(who)));
                    }
                }
                prop_assert_eq!(plan.missing(), count as usize - here.len());
            }
            (1..5).for_each(|who| { plan.lost(peer(who)); });
            prop_assert!(!plan.exhausted());
            owed.retain(|_, by| *by == peer(0));
            while let Some(pieces) = plan.next(peer(0), 3) {
                owed.extend(run(pieces).into_iter().map(|piece| (piece, peer(0))));
            }
            for piece in owed.into_keys() {
                prop_assert!(plan.got(PieceIndex(piece)));
            }
            prop_assert!(plan.is_done());
        }
    }
}
