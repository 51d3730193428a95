//! Places for connections of strangers: when all are taken, the one that was
//! taken first becomes free.
//!
//! A program that means it says hello within milliseconds and closes when it
//! has its answer; whoever sits on a place for the longest means it least. So
//! no number of silent connections keeps others out.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// A limited number of places.
#[derive(Debug)]
pub(super) struct Places {
    at_most: usize,
    /// In the order in which they were taken.
    taken: Mutex<VecDeque<oneshot::Sender<()>>>,
}

/// A place, held until it is dropped.
#[derive(Debug)]
pub(super) struct Place(oneshot::Receiver<()>);

impl Places {
    pub(super) const fn new(at_most: usize) -> Places {
        Places { at_most, taken: Mutex::new(VecDeque::new()) }
    }

    /// Takes a place, if need be from whoever has had one for the longest.
    pub(super) fn take(&self) -> Place {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|place| !place.is_closed());
        if taken.len() >= self.at_most {
            // Dropped, it tells its holder.
            taken.pop_front();
        }
        let (held, place) = oneshot::channel();
        taken.push_back(held);
        Place(place)
    }
}

impl Place {
    /// Waits until the place has to be given up.
    pub(super) async fn lost(&mut self) {
        let _ = (&mut self.0).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_holder_makes_room_and_a_dropped_place_is_free() {
        let places = Places::new(2);
        let mut first = places.take();
        let second = places.take();
        drop(second);
        let mut third = places.take();
        assert!(first.0.try_recv() == Err(oneshot::error::TryRecvError::Empty), "there was room");
        let mut fourth = places.take();
        first.lost().await;
        for place in [&mut third, &mut fourth] {
            assert_eq!(place.0.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        }
    }
}
