//! What clients asked for, what they were told, and whether that can be true.
//!
//! Every operation on a name is noted before it is sent. One that was answered
//! with success is *acknowledged*; any other may have happened or may yet
//! happen (an overwrite that failed may be old or new).
//!
//! # What counts as wrong
//! A name's value is a content or nothing. Somebody who sees a value must see
//! that of an operation on this very name that had begun. Otherwise the bytes
//! are *invented*, and nothing excuses that. The value must also not be *stale*:
//! no operation may have been acknowledged before the look began that itself
//! began after the value's own one was acknowledged. Two things excuse a stale
//! value:
//! - Chord cannot tell a node that is cut off (or stopped, or deaf) from a dead
//!   one. While that lasts, and until the ring was seen repaired afterwards, a
//!   reader may be on a side that has not heard of the newer value.
//! - Two sides may each acknowledge an operation on one name. Then the larger
//!   version (counter, hash) wins everywhere, whichever was later by the clock.
//!
//! Kills, losses of disks, restarts, joins and leaves excuse nothing.
//!
//! From one repair to the next, as long as nobody was cut off, a name is a register
//! whose history must be linearizable ([`super::register`]). In each run a history
//! of its own that was spoiled on purpose must be found illegal.
//!
//! When the ring is repaired, a name's version is the same at all its holders
//! and never smaller than any that was acknowledged. Names all of whose copies
//! were destroyed at once are *forgiven*: what was acknowledged before does not
//! bind them any more.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chordal::record::{ContentHash, Record, Version};

use super::register::{self, Kind, Verdict};

/// Lines of the history that a failure shows.
const TAIL: usize = 120;

/// What a name stands for.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Value {
    #[default]
    Nothing,
    Content(ContentHash),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Nothing => write!(f, "nothing"),
            Value::Content(root) => write!(f, "{}", root.short()),
        }
    }
}

impl Value {
    /// What a record says; a node that never heard of a name knows nothing.
    pub(crate) fn of(record: Option<&Record>) -> Value {
        match record {
            Some(record) if !record.is_deleted() => Value::Content(record.version.root),
            _ => Value::Nothing,
        }
    }
}

#[derive(Debug)]
struct Operation {
    value: Value,
    start: u64,
    /// When it was acknowledged.
    end: Option<u64>,
    /// With what version, where that is told.
    version: Option<Version>,
    /// Whether it was acknowledged on one of two sides: it may take effect, or
    /// again, when a node of that side comes back.
    loose: bool,
}

#[derive(Debug, Default)]
struct Name {
    operations: Vec<Operation>,
    /// What began before then binds no more.
    forgiven: u64,
    /// Operations under way.
    open: usize,
    /// When its value was last known for sure, and which it was then.
    since: u64,
    initial: Value,
    /// What was read since then.
    reads: Vec<register::Operation>,
}

impl Name {
    /// The history since its value was known.
    fn operations(&self) -> Vec<register::Operation> {
        let writes = self.operations.iter().filter_map(|op| {
            let end = op.end.filter(|_| !op.loose);
            let counts = end.is_none() || op.start >= self.since;
            let (kind, value, start) = (Kind::Write, op.value, op.start);
            counts.then_some(register::Operation { kind, value, start, end })
        });
        writes.chain(self.reads.iter().copied()).collect()
    }
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, Name>,
    /// When somebody alive could not be heard by others: from, to.
    splits: Vec<(u64, Option<u64>)>,
    log: Vec<String>,
    wrong: Vec<String>,
    acknowledged: usize,
    failed: usize,
    reads: usize,
    unread: usize,
    registers: usize,
    undecided: usize,
    controls: usize,
}

/// An operation that was begun.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    name: String,
    at: usize,
}

/// The history. Times are microseconds since its beginning.
#[derive(Debug)]
pub(crate) struct History {
    state: Mutex<State>,
    begun: Instant,
}

/// How much was done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) acknowledged: usize,
    pub(crate) failed: usize,
    pub(crate) reads: usize,
    pub(crate) unread: usize,
    /// Histories of one name between two repairs that are linearizable.
    pub(crate) registers: usize,
    /// Those that have too many orders to try.
    pub(crate) undecided: usize,
    /// Those spoiled on purpose that were found illegal.
    pub(crate) controls: usize,
}

impl History {
    pub(crate) fn new() -> History {
        History { state: Mutex::default(), begun: Instant::now() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> u64 {
        // 0 is before all.
        1 + u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX - 1)
    }

    /// A line for whoever reads about a failure.
    pub(crate) fn note(&self, line: impl fmt::Display) {
        let now = self.now();
        self.state().note(now, line);
    }

    /// Something is not as it must be.
    pub(crate) fn wrong(&self, what: impl fmt::Display) {
        let now = self.now();
        self.state().wrong(now, what.to_string());
    }

    /// What was wrong so far.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.state().wrong.clone()
    }

    /// The last lines.
    pub(crate) fn tail(&self) -> Vec<String> {
        let state = self.state();
        state.log[state.log.len().saturating_sub(TAIL)..].to_vec()
    }

    pub(crate) fn counts(&self) -> Counts {
        let State { acknowledged, failed, reads, unread, registers, undecided, controls, .. } =
            *self.state();
        Counts { acknowledged, failed, reads, unread, registers, undecided, controls }
    }

    /// An operation is about to be sent that gives a name this value.
    pub(crate) fn begin(&self, name: &str, value: Value) -> Begun {
        let start = self.now();
        let mut state = self.state();
        state.note(start, format_args!("{name} := {value:?}"));
        let entry = state.names.entry(name.to_owned()).or_default();
        entry.open += 1;
        entry.operations.push(Operation { value, start, end: None, version: None, loose: false });
        Begun { name: name.to_owned(), at: entry.operations.len() - 1 }
    }

    /// It was answered with success.
    pub(crate) fn acknowledged(&self, begun: &Begun, version: Option<Version>) {
        let now = self.now();
        let mut state = self.state();
        state.acknowledged += 1;
        let Some(name) = state.names.get_mut(&begun.name) else { return };
        name.open -= 1;
        let operation = &mut name.operations[begun.at];
        (operation.end, operation.version) = (Some(now), version);
        let (value, start) = (operation.value, operation.start);
        let version = version.map_or_else(String::new, |version| format!(" as {version}"));
        let since = millis(start);
        let line = format!("{} := {value:?} acknowledged{version}, begun {since}", begun.name);
        state.note(now, line);
    }

    /// It was answered otherwise, or not at all.
    pub(crate) fn failed(&self, begun: &Begun, why: &str) {
        let now = self.now();
        let mut state = self.state();
        state.failed += 1;
        let Some(name) = state.names.get_mut(&begun.name) else { return };
        name.open -= 1;
        let (value, start) = (name.operations[begun.at].value, name.operations[begun.at].start);
        let since = millis(start);
        state.note(now, format_args!("{} := {value:?} failed, begun {since}: {why}", begun.name));
    }

    /// Somebody read a name and saw this; `start`: when the look began.
    pub(crate) fn read(&self, name: &str, start: u64, value: Value, by: &str) {
        let now = self.now();
        let mut state = self.state();
        state.reads += 1;
        state.note(now, format_args!("{name} = {value:?} by {by}, begun {}", millis(start)));
        let entry = state.names.entry(name.to_owned()).or_default();
        entry.reads.push(register::Operation { kind: Kind::Read, value, start, end: Some(now) });
        let split = state.split_within(start, now);
        if let Err(why) = state.judge(name, value, None, start, now, split) {
            state.wrong(now, format!("{name} was read as {value:?} {by}: {why}"));
        }
    }

    /// Somebody could not read a name, however often it was tried since `start`.
    pub(crate) fn unread(&self, name: &str, start: u64, why: &str) {
        let now = self.now();
        let mut state = self.state();
        state.unread += 1;
        state.note(now, format_args!("{name} cannot be read since {}: {why}", millis(start)));
        if state.split_within(start, now) {
            return;
        }
        let Some(entry) = state.names.get(name) else { return };
        let steady = entry.operations.iter().all(|o| o.end.is_some_and(|end| end < start));
        let last = entry.operations.iter().max_by_key(|operation| operation.start);
        let there = last.is_some_and(|last| {
            matches!(last.value, Value::Content(_)) && last.start >= entry.forgiven
        });
        if steady && there && entry.open == 0 {
            state.wrong(now, format!("{name} is acknowledged and cannot be read: {why}"));
        }
    }

    /// The ring is repaired and nobody works: this is what its holders say of a
    /// name.
    pub(crate) fn settled(&self, name: &str, record: Option<&Record>) {
        let now = self.now();
        let mut state = self.state();
        let (value, version) = (Value::of(record), record.map(|record| record.version));
        let Some(entry) = state.names.get(name) else { return };
        let binding = entry.operations.iter().filter(|o| o.start >= entry.forgiven);
        let largest = binding.filter_map(|operation| operation.version).max();
        let mut wrong = Vec::new();
        if largest > version {
            let shown = |version: Option<Version>| version.map(|version| version.to_string());
            wrong.push(format!(
                "{name} is {value:?} {:?}, but {:?} was acknowledged",
                shown(version),
                shown(largest)
            ));
        }
        if let Err(why) = state.judge(name, value, version, now, now, false) {
            wrong.push(format!("{name} is {value:?} after the repair: {why}"));
        }
        for line in wrong {
            state.wrong(now, line);
        }
        state.settle(name, value, now);
    }

    /// From now on somebody who lives may not be heard by everybody.
    pub(crate) fn split(&self) {
        let now = self.now();
        let mut state = self.state();
        if state.splits.last().is_none_or(|last| last.1.is_some()) {
            state.splits.push((now, None));
        }
    }

    /// The ring was seen repaired, with everybody heard.
    pub(crate) fn whole(&self) {
        let now = self.now();
        if let Some((_, end @ None)) = self.state().splits.last_mut() {
            *end = Some(now);
        }
    }

    /// Has the search for an order find an illegal history, if no spoiled one of
    /// this run was there to be found.
    pub(crate) fn control(&self) {
        let mut state = self.state();
        if state.controls == 0 {
            state.controls += 1;
            if register::check(Value::Nothing, &register::illegal()) != Verdict::Illegal {
                let now = self.now();
                state.wrong(now, "an illegal history is taken for a legal one".to_owned());
            }
        }
    }

    /// All copies of this name were destroyed.
    pub(crate) fn forgive(&self, name: &str) {
        let now = self.now();
        let mut state = self.state();
        state.note(now, format_args!("{name} had all its copies destroyed"));
        if let Some(name) = state.names.get_mut(name) {
            name.forgiven = now;
        }
    }

    /// Every name that was ever put.
    pub(crate) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }
}

impl State {
    fn note(&mut self, now: u64, line: impl fmt::Display) {
        self.log.push(format!("{} {line}", millis(now)));
    }

    fn wrong(&mut self, now: u64, what: String) {
        self.note(now, format_args!("WRONG: {what}"));
        self.wrong.push(what);
    }

    fn split_within(&self, from: u64, to: u64) -> bool {
        self.splits.iter().any(|(start, end)| *start <= to && end.is_none_or(|end| from <= end))
    }

    /// The value of a name is known for sure again: checks its history since it
    /// was known before, unless somebody was cut off meanwhile.
    fn settle(&mut self, name: &str, value: Value, now: u64) {
        let Some(mut entry) = self.names.remove(name) else { return };
        let apart = self.split_within(entry.since, now);
        // Copies of what was forgiven may come back with any old node.
        if !apart && entry.forgiven == 0 {
            let (kind, end) = (Kind::Read, Some(now));
            entry.reads.push(register::Operation { kind, value, start: now, end });
            let operations = entry.operations();
            match register::check(entry.initial, &operations) {
                Verdict::Linearizable => self.registers += 1,
                Verdict::Unknown => self.undecided += 1,
                Verdict::Illegal => {
                    let mut lines = format!(
                        "{name}: no order of these explains what was read; before: {:?}",
                        entry.initial
                    );
                    for op in &operations {
                        let end = op.end.map_or("never".to_owned(), millis);
                        let start = millis(op.start);
                        let _ =
                            write!(lines, "\n      {:?} {:?} {start} to {end}", op.kind, op.value);
                    }
                    self.wrong(now, lines);
                }
            }
            if let Some(spoiled) = register::spoiled(&operations) {
                match register::check(entry.initial, &spoiled) {
                    Verdict::Illegal => self.controls += 1,
                    found => self.wrong(now, format!("{name}: spoiled, it is {found:?}")),
                }
            }
        }
        if apart {
            entry.operations.iter_mut().for_each(|op| op.loose |= op.start >= entry.since);
        }
        (entry.since, entry.initial) = (now, value);
        entry.reads.clear();
        self.names.insert(name.to_owned(), entry);
    }

    /// Whether a look at a name from `start` to `end` may have shown a value.
    /// `split`: the looker may have been on a side of its own.
    fn judge(
        &self,
        name: &str,
        value: Value,
        version: Option<Version>,
        start: u64,
        end: u64,
        split: bool,
    ) -> Result<(), String> {
        let unheard = Name::default();
        let entry = self.names.get(name).unwrap_or(&unheard);
        // Before all, there was nothing, and no version.
        let first = (value == Value::Nothing).then_some((None, Some(0), 0));
        let mine = entry.operations.iter().filter(|o| o.value == value && o.start <= end);
        let mine =
            mine.map(|operation| (operation.version.or(version), operation.end, operation.start));
        let forgiven = entry.forgiven;
        let mut newest = None;
        for (version, acknowledged, begun) in first.into_iter().chain(mine) {
            // One that was not acknowledged may happen at any time.
            let Some(acknowledged) = acknowledged else { return Ok(()) };
            let newer = entry.operations.iter().filter(|other| {
                other.start > acknowledged
                    && other.start >= forgiven
                    && other.end.is_some_and(|other| other < start)
            });
            let mut newer = newer.filter(|other| {
                let other_end = other.end.unwrap_or(end);
                let writers_apart = begun > 0 && self.split_within(begun, other_end);
                let larger = match (version, other.version) {
                    (Some(mine), Some(other)) => mine > other,
                    _ => true,
                };
                !(split || writers_apart && larger)
            });
            match newer.next() {
                None => return Ok(()),
                Some(other) => newest = Some((other.value, other.start)),
            }
        }
        Err(match newest {
            Some((other, at)) => {
                format!("{other:?} was acknowledged after it, begun {}", millis(at))
            }
            None => "nobody ever put that under this name".to_owned(),
        })
    }
}

/// A time as it is shown.
fn millis(at: u64) -> String {
    format!("{:>6}.{}ms", at / 1000, at / 100 % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(byte: u8) -> Value {
        Value::Content(ContentHash([byte; 32]))
    }

    fn version(counter: u64, byte: u8) -> Version {
        Version { counter, root: ContentHash([byte; 32]) }
    }

    fn record(counter: u64, byte: u8) -> Record {
        let version = Version { counter, root: ContentHash([byte; 32]) };
        let name = chordal::name::FileName::new("a").expect("a name");
        Record { name, version, content: chordal::record::Content::File { size: 1 } }
    }

    /// Moves on, so that no two things happen at the same microsecond.
    fn later(history: &History) -> u64 {
        let now = history.now();
        while history.now() <= now + 1 {}
        history.now()
    }

    fn put(history: &History, byte: u8, counter: u64) {
        let begun = history.begin("a", content(byte));
        later(history);
        history.acknowledged(&begun, Some(version(counter, byte)));
        later(history);
    }

    fn read(history: &History, value: Value) -> bool {
        let start = later(history);
        let before = history.faults().len();
        history.read("a", start, value, "a test");
        history.faults().len() == before
    }

    fn settled(history: &History, record: Option<&Record>) -> bool {
        let before = history.faults().len();
        later(history);
        history.settled("a", record);
        history.faults().len() == before
    }

    #[test]
    fn who_reads_sees_what_was_acknowledged_last_or_what_is_under_way() {
        let history = History::new();
        put(&history, 1, 1);
        assert!(read(&history, content(1)));
        assert!(!read(&history, Value::Nothing), "it was denied");
        assert!(!read(&history, content(2)), "it was invented");
        put(&history, 2, 2);
        assert!(read(&history, content(2)));
        assert!(!read(&history, content(1)), "it is stale");
        let open = history.begin("a", content(3));
        assert!(read(&history, content(2)) && read(&history, content(3)));
        history.failed(&open, "a reason");
        assert!(read(&history, content(2)) && read(&history, content(3)));
        assert!(!read(&history, content(1)));
    }

    #[test]
    fn a_cut_excuses_old_values_until_it_is_repaired_but_never_wrong_bytes() {
        let history = History::new();
        put(&history, 1, 1);
        history.split();
        put(&history, 2, 2);
        assert!(read(&history, content(1)) && read(&history, content(2)));
        assert!(!read(&history, content(3)));
        history.whole();
        later(&history);
        assert!(!read(&history, content(1)));
        assert!(settled(&history, Some(&record(2, 2))));
        assert!(!settled(&history, Some(&record(1, 1))));
    }

    #[test]
    fn of_two_sides_the_larger_version_wins_and_only_while_there_were_two() {
        let history = History::new();
        put(&history, 1, 1);
        history.split();
        put(&history, 3, 3);
        put(&history, 2, 2);
        assert!(settled(&history, Some(&record(3, 3))));
        assert!(!settled(&history, Some(&record(2, 2))), "a larger one was acknowledged");
        history.whole();
        later(&history);
        put(&history, 4, 4);
        assert!(!settled(&history, Some(&record(3, 3))));
        assert!(settled(&history, Some(&record(4, 4))));
        assert!(!settled(&history, None), "it is lost");
        history.forgive("a");
        later(&history);
        assert!(settled(&history, None) && settled(&history, Some(&record(1, 1))));
        assert!(read(&history, Value::Nothing));
    }

    #[test]
    fn what_is_acknowledged_and_cannot_be_read_is_wrong() {
        let history = History::new();
        put(&history, 1, 1);
        history.unread("a", later(&history), "no");
        assert_eq!(history.faults().len(), 1);
        history.split();
        history.unread("a", later(&history), "no");
        let open = history.begin("b", content(1));
        history.failed(&open, "no");
        history.unread("b", later(&history), "no");
        assert_eq!(history.faults().len(), 1);
    }
}
