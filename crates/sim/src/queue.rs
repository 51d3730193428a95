//! The queue of planned events, ordered by time and, at the same time, by the order in
//! which they were planned.
//!
//! A calendar queue (Brown, CACM 1988) with a heap for the current bucket. Events of the
//! next minute wait unordered in buckets of a sixty-fourth of a second, which are ordered
//! when their time comes; the others wait in a second heap. So an event of a ring of a
//! million nodes costs about as much as one of a small ring.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chordal_core::time::Time;

/// Microseconds of a bucket, as a power of two: shorter than the delay of messages, so that
/// a bucket fits into a processor's cache.
const BUCKET_BITS: u32 = 14;

/// Number of buckets: together about a minute, within which timers fire.
const BUCKETS: usize = 4096;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Queue<E> {
    /// Events of the current bucket and of the past.
    near: BinaryHeap<Reverse<Entry<E>>>,
    /// Events of the following buckets, each at its number modulo [`BUCKETS`].
    buckets: Vec<Vec<Entry<E>>>,
    /// Number of events in buckets.
    waiting: usize,
    /// Events beyond the last bucket.
    far: BinaryHeap<Reverse<Entry<E>>>,
    /// Number of the current bucket.
    begun: u64,
    /// Number of events planned so far.
    said: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Time,
    number: u64,
    event: E,
}

impl<E> Entry<E> {
    const fn bucket(&self) -> u64 {
        self.at.as_micros() >> BUCKET_BITS
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Entry<E>) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Entry<E>) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Entry<E>) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl<E> Queue<E> {
    /// An empty queue that begins at time zero.
    pub(super) fn new() -> Queue<E> {
        Queue {
            near: BinaryHeap::new(),
            buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
            waiting: 0,
            far: BinaryHeap::new(),
            begun: 0,
            said: 0,
        }
    }

    /// Number of planned events.
    pub(super) fn len(&self) -> usize {
        self.near.len() + self.waiting + self.far.len()
    }

    /// Plans an event.
    pub(super) fn push(&mut self, at: Time, event: E) {
        self.said += 1;
        self.place(Entry { at, number: self.said, event });
    }

    fn place(&mut self, entry: Entry<E>) {
        let ahead = entry.bucket().saturating_sub(self.begun);
        if ahead == 0 {
            self.near.push(Reverse(entry));
        } else if ahead < BUCKETS as u64 {
            self.waiting += 1;
            self.buckets[entry.bucket() as usize % BUCKETS].push(entry);
        } else {
            self.far.push(Reverse(entry));
        }
    }

    /// The time of the next event.
    pub(super) fn next_at(&mut self) -> Option<Time> {
        self.begin();
        self.near.peek().map(|Reverse(entry)| entry.at)
    }

    /// The next event, after a call of [`Queue::next_at`].
    pub(super) fn peek(&self) -> Option<&E> {
        self.near.peek().map(|Reverse(entry)| &entry.event)
    }

    /// Removes and returns the next event.
    pub(super) fn pop(&mut self) -> Option<(Time, E)> {
        self.begin();
        self.near.pop().map(|Reverse(entry)| (entry.at, entry.event))
    }

    /// Moves on to the bucket of the next event.
    fn begin(&mut self) {
        while self.near.is_empty() {
            if self.waiting == 0 {
                let Some(Reverse(first)) = self.far.peek() else { return };
                self.begun = first.bucket();
            } else {
                self.begun += 1;
            }
            let bucket = std::mem::take(&mut self.buckets[self.begun as usize % BUCKETS]);
            self.waiting -= bucket.len();
            self.near.extend(bucket.into_iter().map(Reverse));
            // Events beyond the last bucket may now be within it.
            while let Some(Reverse(first)) = self.far.peek()
                && first.bucket().saturating_sub(self.begun) < BUCKETS as u64
            {
                let Some(Reverse(first)) = self.far.pop() else { break };
                self.place(first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn at_one_time_the_first_said_comes_first() {
        let mut queue = Queue::new();
        for event in 0..100 {
            queue.push(Time::from_micros(5_000_000), event);
        }
        let order: Vec<i32> = std::iter::from_fn(|| queue.pop()).map(|(_, event)| event).collect();
        assert!(order.into_iter().eq(0..100));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_sorted_map(
            steps in prop::collection::vec((0u64..1 << 34, 0u32..34, prop::bool::ANY), 1..300),
        ) {
            let (mut queue, mut sorted) = (Queue::new(), BTreeMap::new());
            let mut now = Time::ZERO;
            for (number, (wait, bits, take)) in steps.into_iter().enumerate() {
                let at = Time::from_micros(now.as_micros() + (wait >> bits));
                queue.push(at, number);
                sorted.insert((at, number), number);
                prop_assert_eq!(queue.next_at(), sorted.keys().next().map(|(at, _)| *at));
                if take {
                    let expected = sorted.pop_first().map(|((at, _), number)| (at, number));
                    prop_assert_eq!(queue.pop(), expected);
                    now = expected.map_or(now, |(at, _)| at);
                }
                prop_assert_eq!(queue.len(), sorted.len());
            }
            while let Some(((at, _), number)) = sorted.pop_first() {
                prop_assert_eq!(queue.pop(), Some((at, number)));
            }
            prop_assert_eq!(queue.pop(), None);
        }
    }
}
