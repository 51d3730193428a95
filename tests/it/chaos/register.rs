//! Whether all that was seen of one name can have happened one after the other.
//!
//! A name is a register: `put` and `rm` write it, `get` reads it. A history of
//! it is *linearizable* (Herlihy and Wing, 1990) when every operation can be
//! given one moment between its beginning and its end so that each read sees
//! what was written last. The search is that of Wing and Gong (1993) with
//! Lowe's memory of states seen (2017).

use std::collections::BTreeSet;

use chordal::record::ContentHash;

use super::history::Value;

/// States that a search visits at the most before it gives up: a thousand times
/// more than the histories of these tests need.
const MOST_STATES: usize = 1_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Read,
}

/// One operation on a name, in microseconds of the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) kind: Kind,
    pub(crate) value: Value,
    pub(crate) start: u64,
    /// `None`: it was not acknowledged. It may happen at any later time, or never.
    pub(crate) end: Option<u64>,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Linearizable,
    /// No order explains it.
    Illegal,
    /// There are too many orders to try.
    Unknown,
}

/// Searches for an order that explains these operations on a name with the value
/// `initial`.
pub(crate) fn check(initial: Value, operations: &[Operation]) -> Verdict {
    let read = |value: Value| {
        operations.iter().any(|other| other.kind == Kind::Read && other.value == value)
    };
    // What nobody acknowledged and nobody saw explains nothing.
    let mut all: Vec<Operation> = operations
        .iter()
        .copied()
        .filter(|op| op.end.is_some() || op.kind == Kind::Write && read(op.value))
        .collect();
    all.sort_by_key(|op| op.start);
    let mut search = Search { all: &all, seen: BTreeSet::new() };
    search.from(initial)
}

/// Operations that have got their moment, and the value after them.
type State = (Vec<bool>, Value);

struct Search<'a> {
    all: &'a [Operation],
    seen: BTreeSet<State>,
}

impl Search<'_> {
    fn from(&mut self, initial: Value) -> Verdict {
        let mut open = vec![(vec![false; self.all.len()], initial)];
        while let Some((mut done, value)) = open.pop() {
            self.take_reads(&mut done, value);
            let next = self.next(&done);
            if self.all.iter().zip(&done).all(|(op, done)| *done || op.end.is_none()) {
                return Verdict::Linearizable;
            }
            for at in next.into_iter().filter(|at| self.all[*at].kind == Kind::Write) {
                let mut then = done.clone();
                then[at] = true;
                let state = (then, self.all[at].value);
                if self.seen.insert(state.clone()) {
                    open.push(state);
                }
            }
            if self.seen.len() > MOST_STATES {
                return Verdict::Unknown;
            }
        }
        Verdict::Illegal
    }

    /// Reads of the present value change nothing: their moment may be now.
    fn take_reads(&self, done: &mut [bool], value: Value) {
        loop {
            let fits = |at: &usize| {
                let op = &self.all[*at];
                op.kind == Kind::Read && op.value == value
            };
            let fitting: Vec<usize> = self.next(done).into_iter().filter(fits).collect();
            if fitting.is_empty() {
                return;
            }
            fitting.into_iter().for_each(|at| done[at] = true);
        }
    }

    /// What may be next: whatever began before the first end of all that is left.
    fn next(&self, done: &[bool]) -> Vec<usize> {
        let left = || self.all.iter().enumerate().filter(|(at, _)| !done[*at]);
        let first_end = left().filter_map(|(_, op)| op.end).min().unwrap_or(u64::MAX);
        left().filter(|(_, op)| op.start <= first_end).map(|(at, _)| at).collect()
    }
}

/// The operations with one more read, long after all of them, of a value that a
/// later acknowledged write replaced: no order explains that. `None`: there are no
/// two such writes.
pub(crate) fn spoiled(operations: &[Operation]) -> Option<Vec<Operation>> {
    let acknowledged = || operations.iter().filter(|op| op.kind == Kind::Write && op.end.is_some());
    let last = acknowledged().max_by_key(|op| op.start)?;
    // Only one write can have made this value, and it was over.
    let stale = acknowledged().find(|op| {
        op.end < Some(last.start)
            && op.value != last.value
            && operations.iter().filter(|o| o.kind == Kind::Write && o.value == op.value).count()
                == 1
    })?;
    let end = operations.iter().flat_map(|op| [Some(op.start), op.end]).flatten().max()?;
    let read = |value, start| Operation { kind: Kind::Read, value, start, end: Some(start) };
    let mut all = operations.to_vec();
    all.push(read(stale.value, end + 1));
    Some(all)
}

/// A short history that no order explains: a value comes back that was replaced.
pub(crate) fn illegal() -> Vec<Operation> {
    let value = |byte| Value::Content(ContentHash([byte; 32]));
    let operation = |kind, byte, at| {
        let (value, start, end) = (value(byte), at, Some(at + 1));
        Operation { kind, value, start, end }
    };
    let (first, second) = (operation(Kind::Write, 1, 1), operation(Kind::Write, 2, 3));
    vec![first, second, operation(Kind::Read, 1, 5)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(byte: u8) -> Value {
        Value::Content(ContentHash([byte; 32]))
    }

    fn write(byte: u8, start: u64, end: u64) -> Operation {
        Operation { kind: Kind::Write, value: content(byte), start, end: Some(end) }
    }

    fn lost(byte: u8, start: u64) -> Operation {
        Operation { kind: Kind::Write, value: content(byte), start, end: None }
    }

    fn remove(start: u64, end: u64) -> Operation {
        Operation { kind: Kind::Write, value: Value::Nothing, start, end: Some(end) }
    }

    fn read(value: Value, start: u64, end: u64) -> Operation {
        Operation { kind: Kind::Read, value, start, end: Some(end) }
    }

    fn legal(operations: &[Operation]) -> bool {
        match check(Value::Nothing, operations) {
            Verdict::Linearizable => true,
            Verdict::Illegal => false,
            Verdict::Unknown => panic!("it gave up"),
        }
    }

    #[test]
    fn operations_one_after_the_other_must_see_each_other() {
        assert!(legal(&[]));
        assert!(legal(&[read(Value::Nothing, 1, 2), write(1, 3, 4), read(content(1), 5, 6)]));
        assert!(!legal(&[write(1, 1, 2), read(Value::Nothing, 3, 4)]));
        assert!(!legal(&[read(content(1), 1, 2), write(1, 3, 4)]), "from the future");
        assert!(!legal(&[read(content(9), 1, 2)]), "nobody wrote it");
        assert!(legal(&[write(1, 1, 2), remove(3, 4), read(Value::Nothing, 5, 6)]));
        assert!(!legal(&[write(1, 1, 2), write(2, 3, 4), read(content(1), 5, 6)]));
        assert!(!legal(&illegal()));
    }

    #[test]
    fn operations_at_the_same_time_may_have_any_order_but_only_one() {
        let both = [write(1, 1, 10), write(2, 1, 10)];
        let with = |more: &[Operation]| legal(&[&both, more].concat());
        assert!(with(&[read(content(1), 11, 12)]) && with(&[read(content(2), 11, 12)]));
        assert!(with(&[read(content(1), 2, 3), read(content(2), 4, 5)]));
        assert!(with(&[read(content(2), 2, 3), read(content(1), 4, 5)]));
        assert!(!with(&[read(content(1), 11, 12), read(content(2), 13, 14)]));
        let back = [read(content(1), 2, 3), read(content(2), 4, 5), read(content(1), 6, 7)];
        assert!(!with(&back), "time went back");
    }

    #[test]
    fn what_nobody_acknowledged_may_happen_late_or_never_but_once() {
        let all = [write(1, 1, 2), lost(2, 3)];
        let with = |more: &[Operation]| legal(&[&all, more].concat());
        assert!(with(&[read(content(1), 50, 51)]) && with(&[read(content(2), 50, 51)]));
        assert!(with(&[read(content(1), 50, 51), read(content(2), 52, 53)]));
        assert!(!with(&[read(content(2), 50, 51), read(content(1), 52, 53)]));
        assert!(!legal(&[read(content(2), 1, 2), lost(2, 3)]), "it had not begun");
    }

    #[test]
    fn random_histories_of_a_real_register_are_legal_and_spoiled_ones_are_not() {
        let mut spoiled_ones = 0;
        for seed in 0..200 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut value, mut operations) = (Value::Nothing, Vec::new());
            for at in 0..60 {
                // Its moment, with a beginning before and an end behind it.
                let moment = 1_000 + at * 10;
                let (start, end) = (moment - random.u64(0..40), moment + random.u64(0..40));
                if random.bool() {
                    operations.push(read(value, start, end));
                    continue;
                }
                value = if random.u8(0..4) == 0 { Value::Nothing } else { content(at as u8) };
                let end = (random.u8(0..8) > 0).then_some(end);
                operations.push(Operation { kind: Kind::Write, value, start, end });
            }
            assert!(legal(&operations), "seed {seed}");
            if let Some(spoiled) = spoiled(&operations) {
                spoiled_ones += 1;
                assert!(!legal(&spoiled), "seed {seed}");
            }
        }
        assert!(spoiled_ones > 150, "{spoiled_ones}");
    }
}
