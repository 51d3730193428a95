//! ConnectionSlots for connections of others: when all are taken, the host that has the
//! most gives one up, the one that it took first.
//!
//! A program that means it says hello within milliseconds and closes when it
//! has its answer; a connection that is held the longest is needed least, and
//! a member whose connection ends makes another one when it needs it. So no
//! number of connections that are only held keeps others out.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// A slot on which nothing came for so long is only held: a program in earnest says hello
/// within milliseconds.
const HELD: Duration = Duration::from_millis(500);

/// A limited number of places.
#[derive(Debug)]
pub(crate) struct ConnectionSlots {
    at_most: usize,
    /// Taken slots, the oldest first.
    taken: Mutex<VecDeque<Taken>>,
}

/// A place as it was taken.
#[derive(Debug)]
struct Taken {
    host: IpAddr,
    since: Instant,
    /// Dropped, it tells the holder to give the place up.
    held: oneshot::Sender<()>,
}

/// A place, held until it is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionSlot {
    lost: oneshot::Receiver<()>,
    /// The host that gave it up, if one had to.
    pub(crate) from: Option<IpAddr>,
}

impl ConnectionSlots {
    pub(crate) const fn new(at_most: usize) -> ConnectionSlots {
        ConnectionSlots { at_most, taken: Mutex::new(VecDeque::new()) }
    }

    /// Takes a place for a connection from this host.
    pub(crate) fn take(&self, host: IpAddr) -> ConnectionSlot {
        let mut taken = self.taken.lock();
        taken.retain(|place| !place.held.is_closed());
        let mut from = None;
        if taken.len() >= self.at_most {
            let gives = of_the_most(&taken, BTreeMap::from([(host, 1)])).map(|(at, _)| at);
            from = gives.and_then(|at| taken.remove(at)).map(|place| place.host);
        }
        let (held, lost) = oneshot::channel();
        taken.push_back(Taken { host, since: Instant::now(), held });
        ConnectionSlot { lost, from }
    }

    /// Has the host that has the most give one up, though there are places left, if it
    /// has more than `beyond` and has held one for longer than [`HELD`]; whether it
    /// does.
    pub(crate) fn give_up(&self, beyond: usize) -> bool {
        let mut taken = self.taken.lock();
        taken.retain(|place| !place.held.is_closed());
        match of_the_most(&taken, BTreeMap::new()) {
            Some((at, count)) if count > beyond && taken[at].since.elapsed() > HELD => {
                taken.remove(at).is_some()
            }
            _ => false,
        }
    }
}

/// The place that a host took first which has the most, and how many it has, with
/// those that are `counted` already.
fn of_the_most(
    taken: &VecDeque<Taken>,
    counted: BTreeMap<IpAddr, usize>,
) -> Option<(usize, usize)> {
    let mut places = counted;
    taken.iter().for_each(|place| *places.entry(place.host).or_default() += 1);
    // Of hosts that have as many, the one that came first.
    let most = places.values().copied().max().unwrap_or_default();
    let at = taken.iter().position(|place| places.get(&place.host) == Some(&most))?;
    Some((at, most))
}

impl ConnectionSlot {
    /// Waits until the place has to be given up.
    pub(crate) async fn lost(&mut self) {
        let _ = (&mut self.lost).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 2));

    fn is_kept(place: &mut ConnectionSlot) -> bool {
        place.lost.try_recv() == Err(oneshot::error::TryRecvError::Empty)
    }

    #[tokio::test]
    async fn the_longest_holder_makes_room_and_a_dropped_place_is_free() {
        let places = ConnectionSlots::new(2);
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
    async fn where_something_else_is_short_only_what_is_held_for_long_is_given_up() {
        let places = ConnectionSlots::new(8);
        let (mut first, mut second) = (places.take(HERE), places.take(HERE));
        assert!(!places.give_up(0), "they came just now");
        for place in places.taken.lock().iter_mut() {
            place.since -= 2 * HELD;
        }
        assert!(!places.give_up(2), "it may have so many");
        assert!(places.give_up(1));
        first.lost().await;
        assert!(is_kept(&mut second) && !places.give_up(1));
    }

    #[tokio::test]
    async fn a_host_that_takes_all_places_makes_room_itself() {
        let places = ConnectionSlots::new(4);
        let mut first = places.take(HERE);
        let mut many: Vec<ConnectionSlot> = (0..3).map(|_| places.take(THERE)).collect();
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
