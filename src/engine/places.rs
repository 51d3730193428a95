//! Places for connections of others: when all are taken, the host that has the
//! most gives one up, the one that it took first.
//!
//! A program that means it says hello within milliseconds and closes when it
//! has its answer; whoever sits on a place for the longest means it least, and
//! a member whose connection ends makes another one when it needs it. So no
//! number of connections that are only held keeps others out.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use tokio::sync::oneshot;

/// A limited number of places.
#[derive(Debug)]
pub(super) struct Places {
    at_most: usize,
    /// Whose they are, in the order in which they were taken.
    taken: Mutex<VecDeque<(IpAddr, oneshot::Sender<()>)>>,
}

/// A place, held until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    lost: oneshot::Receiver<()>,
    /// The host that gave it up, if one had to.
    pub(super) from: Option<IpAddr>,
}

impl Places {
    pub(super) const fn new(at_most: usize) -> Places {
        Places { at_most, taken: Mutex::new(VecDeque::new()) }
    }

    /// Takes a place for a connection from this host.
    pub(super) fn take(&self, host: IpAddr) -> Place {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|(_, place)| !place.is_closed());
        let mut from = None;
        if taken.len() >= self.at_most {
            let mut places = BTreeMap::from([(host, 1)]);
            taken.iter().for_each(|(host, _)| *places.entry(*host).or_default() += 1);
            // Of those that have as many, whoever came first.
            let most = places.values().copied().max().unwrap_or_default();
            let gives = taken.iter().position(|(host, _)| places.get(host) == Some(&most));
            // Dropped, it tells its holder.
            from = gives.and_then(|at| taken.remove(at)).map(|(host, _)| host);
        }
        let (held, lost) = oneshot::channel();
        taken.push_back((host, held));
        Place { lost, from }
    }
}

impl Place {
    /// Waits until the place has to be given up.
    pub(super) async fn lost(&mut self) {
        let _ = (&mut self.lost).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn is_kept(place: &mut Place) -> bool {
        place.lost.try_recv() == Err(oneshot::error::TryRecvError::Empty)
    }

    #[tokio::test]
    async fn the_longest_holder_makes_room_and_a_dropped_place_is_free() {
        let places = Places::new(2);
        let mut first = places.take(HERE);
        let second = places.take(HERE);
        drop(second);
        let mut third = places.take(HERE);
        assert!(is_kept(&mut first) && third.from.is_none(), "there was room");
        let mut fourth = places.take(HERE);
        first.lost().await;
        assert_eq!(fourth.from, Some(HERE));
        assert!(is_kept(&mut third) && is_kept(&mut fourth));
    }

    #[tokio::test]
    async fn a_host_that_takes_all_places_makes_room_itself() {
        let places = Places::new(4);
        let mut first = places.take(HERE);
        let mut many: Vec<Place> = (0..3).map(|_| places.take(THERE)).collect();
        let mut second = places.take(HERE);
        many[0].lost().await;
        assert_eq!(second.from, Some(THERE));
        for _ in 0..10 {
            many.push(places.take(THERE));
        }
        assert!(is_kept(&mut first), "whoever has few lost one");
        assert!(is_kept(&mut second), "whoever has few lost one");
    }
}
