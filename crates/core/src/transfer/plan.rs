//! The plan of one download: which source delivers which piece.
//!
//! The plan owns the set of missing pieces and the requests to sources. It gives every
//! source a run of its own, so that sources work in parallel without duplicate requests;
//! takes back what a lost source owes; and never again asks a source that sent a piece with
//! a wrong hash. When all missing pieces are requested, an idle source may be asked for
//! what another one still owes ([`Plan::relieve`]): the first to deliver wins. The plan
//! never touches bytes: the caller verifies a piece and then calls [`Plan::got`] or
//! [`Plan::bad`].

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::peer::Peer;
use crate::transfer::manifest::PieceIndex;

/// The state of one download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Pieces that are neither here nor requested.
    open: BTreeSet<PieceIndex>,
    /// Requested pieces.
    asked: BTreeMap<PieceIndex, Asked>,
    /// Sources that may be asked.
    sources: BTreeSet<Peer>,
    /// Sources that sent a wrong piece; never in `sources` again.
    bad: BTreeSet<Peer>,
}

/// The sources from which a piece was requested: at most two, so that at most half of the
/// bytes that arrive at the end are wasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    first: Peer,
    second: Option<Peer>,
}

impl Asked {
    fn of(self, source: Peer) -> bool {
        self.first == source || self.second == Some(source)
    }

    /// The remaining request when one source is lost.
    fn without(self, source: Peer) -> Option<Asked> {
        match (self.first == source, self.second) {
            (true, None) => None,
            (true, Some(other)) => Some(Asked { first: other, second: None }),
            (false, _) => {
                Some(Asked { second: self.second.filter(|other| *other != source), ..self })
            }
        }
    }
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

    /// The next pieces to request from this source: the first contiguous run that is not
    /// requested yet, at most `most` pieces. They count as requested from now on. `None`
    /// when there is none, or if it is not a source.
    pub fn next(&mut self, source: Peer, most: u32) -> Option<Range<PieceIndex>> {
        if !self.sources.contains(&source) || most == 0 {
            return None;
        }
        let start = self.open.pop_first()?;
        let asked = Asked { first: source, second: None };
        self.asked.insert(start, asked);
        let mut end = PieceIndex(start.0 + 1);
        while end.0 - start.0 < most && self.open.remove(&end) {
            self.asked.insert(end, asked);
            end.0 += 1;
        }
        Some(start..end)
    }

    /// The pieces that this source may be asked for to relieve another one that owes
    /// pieces: the later half of the pieces that were requested only from that one, as far
    /// as it is contiguous, at most `most` pieces. A source delivers in order, so the two
    /// meet in the middle. `None` while some pieces are not requested at all, or when there
    /// is nothing to take over.
    pub fn relieve(&mut self, source: Peer, owing: Peer, most: u32) -> Option<Range<PieceIndex>> {
        let fits = source != owing && self.sources.contains(&source) && most > 0;
        if !fits || !self.open.is_empty() {
            return None;
        }
        let alone = Asked { first: owing, second: None };
        let owed = self.asked.iter().filter(|(_, asked)| **asked == alone);
        let owed: Vec<PieceIndex> = owed.map(|(index, _)| *index).collect();
        let last = *owed.last()?;
        let mut start = last;
        let half = owed.len().div_ceil(2).min(most as usize);
        for index in owed.iter().rev().skip(1).take(half - 1) {
            if index.0 + 1 != start.0 {
                break;
            }
            start = *index;
        }
        let run = start..PieceIndex(last.0 + 1);
        for (_, asked) in self.asked.range_mut(run.clone()) {
            asked.second = Some(source);
        }
        Some(run)
    }

    /// Whether a piece is missing.
    pub fn wants(&self, index: PieceIndex) -> bool {
        self.open.contains(&index) || self.asked.contains_key(&index)
    }

    /// Records a piece that arrived and was verified; its source does not matter. Returns
    /// whether it was missing.
    pub fn got(&mut self, index: PieceIndex) -> bool {
        let was_open = self.open.remove(&index);
        self.asked.remove(&index).is_some() || was_open
    }

    /// Drops a source that sent a piece with a wrong hash: it is never asked again, and the
    /// pieces that it owes are open again. Returns whether it was a source.
    pub fn bad(&mut self, source: Peer) -> bool {
        self.bad.insert(source);
        self.lost(source)
    }

    /// Drops a lost source: the pieces that only it owes are open again. [`Plan::add`] can
    /// add it again. Returns whether it was a source.
    pub fn lost(&mut self, source: Peer) -> bool {
        let open = &mut self.open;
        self.asked.retain(|index, asked| match asked.without(source) {
            Some(rest) => {
                *asked = rest;
                true
            }
            None => {
                open.insert(*index);
                false
            }
        });
        self.sources.remove(&source)
    }

    /// Adds a source. Returns `false`, and does not, if it sent a wrong piece before.
    pub fn add(&mut self, source: Peer) -> bool {
        !self.bad.contains(&source) && {
            self.sources.insert(source);
            true
        }
    }

    /// Whether a source may be asked.
    pub fn has(&self, source: Peer) -> bool {
        self.sources.contains(&source)
    }

    /// Whether a source sent a wrong piece.
    pub fn is_bad(&self, source: Peer) -> bool {
        self.bad.contains(&source)
    }

    /// Number of missing pieces, requested or not.
    pub fn missing(&self) -> usize {
        self.open.len() + self.asked.len()
    }

    /// Number of pieces that are not requested.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Number of missing pieces that were requested from a source.
    pub fn outstanding(&self, source: Peer) -> usize {
        self.asked.values().filter(|asked| asked.of(source)).count()
    }

    /// Whether every piece is here.
    pub fn is_done(&self) -> bool {
        self.missing() == 0
    }

    /// Whether pieces are missing and there is no source left.
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
        assert!(plan.is_bad(peer(0)) && !plan.is_bad(peer(1)));
        assert!(!plan.has(peer(0)) && plan.has(peer(1)));
        assert_eq!(plan.next(peer(1), 2).map(run), Some(vec![0, 1]));
    }

    #[test]
    fn an_empty_content_is_done_at_once() {
        let plan = Plan::new(0, &have(&[]), []);
        assert!(plan.is_done() && !plan.exhausted());
    }

    #[test]
    fn an_idle_source_takes_over_the_later_half_and_the_first_to_deliver_wins() {
        let mut plan = Plan::new(6, &have(&[]), [peer(0), peer(1), peer(2)]);
        assert_eq!(plan.next(peer(0), 5).map(run), Some(vec![0, 1, 2, 3, 4]));
        assert_eq!(plan.relieve(peer(1), peer(0), 9), None, "piece 5 is nobody's");
        assert_eq!(plan.next(peer(1), 5).map(run), Some(vec![5]));
        assert!(plan.got(PieceIndex(5)));
        assert_eq!(plan.relieve(peer(0), peer(0), 9), None, "itself");
        assert_eq!(plan.relieve(peer(1), peer(0), 9).map(run), Some(vec![2, 3, 4]));
        assert_eq!(plan.missing(), 5);
        assert_eq!((plan.outstanding(peer(0)), plan.outstanding(peer(1))), (5, 3));
        assert_eq!(plan.relieve(peer(2), peer(1), 9), None, "two are asked already");
        assert_eq!(plan.relieve(peer(2), peer(0), 9).map(run), Some(vec![1]));
        assert!(plan.wants(PieceIndex(3)));
        assert!(plan.got(PieceIndex(3)));
        assert!(!plan.got(PieceIndex(3)) && !plan.wants(PieceIndex(3)));
        plan.lost(peer(0));
        assert_eq!((plan.open(), plan.outstanding(peer(1))), (1, 2), "only piece 0 was its alone");
        assert!(plan.bad(peer(1)));
        assert_eq!(plan.next(peer(2), 9).map(run), Some(vec![0]));
        assert_eq!(plan.next(peer(2), 9).map(run), Some(vec![2]));
        assert_eq!(plan.next(peer(2), 9).map(run), Some(vec![4]));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Next(u16, u32),
        Relieve(u16, u16, u32),
        Deliver(usize),
        Lost(u16),
        Bad(u16),
        Add(u16),
    }

    /// Peer 0 is the source that lives; 1..5 come and go.
    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u16..5, 1u32..5).prop_map(|(who, most)| Step::Next(who, most)),
            2 => (0u16..5, 0u16..5, 1u32..5).prop_map(|(who, of, most)| Step::Relieve(who, of, most)),
            4 => any::<usize>().prop_map(Step::Deliver),
            1 => (1u16..5).prop_map(Step::Lost),
            1 => (1u16..5).prop_map(Step::Bad),
            1 => (1u16..5).prop_map(Step::Add),
        ]
    }

    /// Who owes what, by the steps that were taken.
    #[derive(Debug, Default)]
    struct Model {
        owed: BTreeMap<u32, Vec<Peer>>,
        here: BTreeSet<u32>,
        caught: BTreeSet<Peer>,
        sources: BTreeSet<Peer>,
    }

    impl Model {
        fn lost(&mut self, who: Peer) {
            self.sources.remove(&who);
            self.owed.retain(|_, by| {
                by.retain(|by| *by != who);
                !by.is_empty()
            });
        }

        fn open(&self, count: u32) -> usize {
            count as usize - self.here.len() - self.owed.len()
        }
    }

    proptest! {
        #[test]
        fn every_piece_counts_once_and_all_arrive_while_one_source_lives(
            count in 0u32..40, steps in prop::collection::vec(step(), 0..200)
        ) {
            let mut plan = Plan::new(count, &have(&[]), (0..5).map(peer));
            let mut model = Model { sources: (0..5).map(peer).collect(), ..Model::default() };
            for step in steps {
                match step {
                    Step::Next(who, most) => {
                        let pieces = plan.next(peer(who), most).map(run).unwrap_or_default();
                        prop_assert!(pieces.is_empty() || model.sources.contains(&peer(who)));
                        prop_assert!(pieces.is_empty() || !model.caught.contains(&peer(who)));
                        prop_assert!(pieces.len() <= most as usize);
                        for piece in pieces {
                            prop_assert!(!model.here.contains(&piece), "asked for what is here");
                            let before = model.owed.insert(piece, vec![peer(who)]);
                            prop_assert!(before.is_none(), "asked twice");
                        }
                    }
                    Step::Relieve(who, of, most) => {
                        let run_of = plan.relieve(peer(who), peer(of), most).map(run);
                        let pieces = run_of.unwrap_or_default();
                        prop_assert!(pieces.is_empty() || model.open(count) == 0, "too early");
                        prop_assert!(pieces.is_empty() || model.sources.contains(&peer(who)));
                        prop_assert!(pieces.len() <= most as usize);
                        let alone = |by: &&Vec<Peer>| **by == [peer(of)];
                        let owed = model.owed.values().filter(alone).count();
                        prop_assert!(pieces.len() <= owed.div_ceil(2), "more than half");
                        for piece in pieces {
                            let by = model.owed.get_mut(&piece).expect("it was asked for");
                            prop_assert_eq!(&*by, &[peer(of)], "of one that it relieves");
                            prop_assert!(who != of);
                            by.push(peer(who));
                        }
                    }
                    Step::Deliver(pick) if !model.owed.is_empty() => {
                        let piece = *model.owed.keys().nth(pick % model.owed.len()).unwrap();
                        let times = model.owed.remove(&piece).map_or(0, |by| by.len());
                        model.here.insert(piece);
                        prop_assert!(plan.wants(PieceIndex(piece)));
                        prop_assert!(plan.got(PieceIndex(piece)));
                        for _ in 1..times {
                            prop_assert!(!plan.got(PieceIndex(piece)), "the second one counted");
                        }
                    }
                    Step::Deliver(_) => {}
                    Step::Lost(who) => {
                        plan.lost(peer(who));
                        model.lost(peer(who));
                    }
                    Step::Bad(who) => {
                        plan.bad(peer(who));
                        model.caught.insert(peer(who));
                        model.lost(peer(who));
                    }
                    Step::Add(who) => {
                        let taken = plan.add(peer(who));
                        prop_assert_eq!(taken, !model.caught.contains(&peer(who)));
                        model.sources.extend(taken.then(|| peer(who)));
                    }
                }
                prop_assert_eq!(plan.missing(), count as usize - model.here.len());
                prop_assert_eq!(plan.open(), model.open(count));
                for who in (0..5).map(peer) {
                    let owed = model.owed.values().filter(|by| by.contains(&who)).count();
                    prop_assert_eq!(plan.outstanding(who), owed);
                }
            }
            (1..5).for_each(|who| { plan.lost(peer(who)); model.lost(peer(who)); });
            prop_assert!(!plan.exhausted());
            let mut left: BTreeSet<u32> = model.owed.into_keys().collect();
            while let Some(pieces) = plan.next(peer(0), 3) {
                left.extend(run(pieces));
            }
            for piece in left {
                prop_assert!(plan.got(PieceIndex(piece)));
            }
            prop_assert!(plan.is_done());
        }

        #[test]
        fn one_live_source_relieves_all_that_stall(count in 1u32..200, stalled in 1u16..5) {
            let mut plan = Plan::new(count, &have(&[]), (0..=stalled).map(peer));
            let share = count.div_ceil(u32::from(stalled));
            for who in 1..=stalled {
                plan.next(peer(who), share);
            }
            let mut runs = 0;
            while !plan.is_done() {
                let owing = (1..=stalled).map(peer).max_by_key(|peer| plan.outstanding(*peer));
                let pieces = plan.relieve(peer(0), owing.unwrap(), 256);
                for piece in run(pieces.expect("something can be taken over")) {
                    prop_assert!(plan.got(PieceIndex(piece)));
                }
                runs += 1;
            }
            // Halves: a few runs for each that stalls.
            prop_assert!(runs <= usize::from(stalled) * 9, "{} runs", runs);
        }
    }
}
