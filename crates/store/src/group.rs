//! Group commit: callers that need the disk at the same time share one wait for it.
//!
//! The first caller leads: it does the work of all callers that have arrived by then. Those
//! that arrive meanwhile wait, and one of them leads the next group. So a single caller
//! waits for no other, and no extra thread is needed.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};

use parking_lot::Mutex;

/// Callers in one group at most: this bounds the memory of a group. There are rarely more
/// threads that wait.
const MAX_MEMBERS: usize = 256;

/// Work that is done for several callers at once. `T` is the input of a caller, `R` its
/// result.
#[derive(Debug)]
pub(super) struct Group<T, R> {
    queue: Mutex<Queue<T, R>>,
}

#[derive(Debug)]
struct Queue<T, R> {
    waiting: VecDeque<(T, SyncSender<Turn<R>>)>,
    /// A caller leads, or was told to.
    led: bool,
}

/// What a waiting caller is told.
enum Turn<R> {
    /// Lead the next group, as its first member.
    Lead,
    /// The work was done.
    Done(R),
}

impl<T, R> Default for Group<T, R> {
    fn default() -> Group<T, R> {
        Group { queue: Mutex::new(Queue { waiting: VecDeque::new(), led: false }) }
    }
}

impl<T, R> Group<T, R> {
    /// Does the work for `one` in a group. `work` takes the inputs in the order of arrival
    /// and returns a result for each; the leader's `work` runs, so all callers must pass
    /// the same. `None` if the leader's panicked.
    pub(super) fn join(&self, one: T, work: impl Fn(Vec<T>) -> Vec<R>) -> Option<R> {
        // Each turn is received before the next one is sent.
        let (sender, turns) = sync_channel(1);
        let mut queue = self.queue.lock();
        queue.waiting.push_back((one, sender));
        if !queue.led {
            queue.pass();
        }
        drop(queue);
        loop {
            match turns.recv().ok()? {
                Turn::Lead => self.lead(&work),
                Turn::Done(result) => return Some(result),
            }
        }
    }

    fn lead(&self, work: impl Fn(Vec<T>) -> Vec<R>) {
        let passing = Passing { group: self };
        let mut queue = self.queue.lock();
        let count = queue.waiting.len().min(MAX_MEMBERS);
        let (members, senders): (Vec<T>, Vec<_>) = queue.waiting.drain(..count).unzip();
        drop(queue);
        let results = work(members);
        drop(passing);
        for (sender, result) in senders.into_iter().zip(results) {
            // The receiver waits for nothing else, so this does not block.
            let _ = sender.send(Turn::Done(result));
        }
    }
}

impl<T, R> Queue<T, R> {
    /// Tells the next caller to lead, if there is one.
    fn pass(&mut self) {
        let next = self.waiting.front();
        self.led = next.is_some_and(|(_, sender)| sender.send(Turn::Lead).is_ok());
    }
}

/// Passes the lead on when dropped, also when the leader panics.
struct Passing<'a, T, R> {
    group: &'a Group<T, R>,
}

impl<T, R> Drop for Passing<'_, T, R> {
    fn drop(&mut self) {
        self.group.queue.lock().pass();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn everybody_gets_an_own_result_and_only_one_works_at_a_time() {
        let group = Group::default();
        let (working, worked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let work = |members: Vec<u32>| {
            assert_eq!(working.fetch_add(1, Ordering::SeqCst), 0);
            worked.fetch_add(members.len(), Ordering::SeqCst);
            std::thread::yield_now();
            working.fetch_sub(1, Ordering::SeqCst);
            members.into_iter().map(|member| member * 2).collect()
        };
        std::thread::scope(|scope| {
            for who in 0..8 {
                let (group, work) = (&group, &work);
                scope.spawn(move || {
                    for number in 0..200 {
                        let mine = who * 1000 + number;
                        assert_eq!(group.join(mine, work), Some(mine * 2));
                    }
                });
            }
        });
        assert_eq!(worked.into_inner(), 8 * 200);
    }

    #[test]
    fn those_who_come_while_one_works_are_worked_on_together() {
        let group = Group::default();
        let (begun, go_on) = (Barrier::new(2), Barrier::new(2));
        let work = |members: Vec<u32>| {
            if members == [0] {
                begun.wait();
                go_on.wait();
            }
            vec![members.len(); members.len()]
        };
        std::thread::scope(|scope| {
            let (group, work) = (&group, &work);
            scope.spawn(move || assert_eq!(group.join(0, work), Some(1)));
            begun.wait();
            for who in 1..=3 {
                scope.spawn(move || assert_eq!(group.join(who, work), Some(3)));
            }
            while group.queue.lock().waiting.len() < 3 {
                std::thread::yield_now();
            }
            go_on.wait();
        });
    }

    #[test]
    fn a_leader_that_panics_leaves_the_group_to_the_next() {
        let group: Group<u32, u32> = Group::default();
        let panicked = std::thread::scope(|scope| {
            scope.spawn(|| group.join(1, |_| panic!("a test's panic"))).join().is_err()
        });
        assert!(panicked);
        assert_eq!(group.join(2, |members| members), Some(2));
    }
}
