//! To whom bytes pass: what became of the last data connections to each node.
//!
//! A data connection that is not made in a moment says little: the node may be busy,
//! a packet lost, something in the way. So the node is doubted at first: others are
//! asked before it, a transfer that wants bytes now does not wait for it, and it is tried
//! again beside that, with patience. A member to which several connections in a row
//! were not made, while it answers messages, is called deaf; it is tried gently until
//! a connection is made again ([`watch`]), and then the core hears of it. How long "a
//! moment" is follows from how long the peer takes to answer messages.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use chordal_core::wire::handshake::Purpose;
use chordal_view::Level;

use crate::inputs::core::Core;
use crate::inputs::notes::Notes;
use crate::net::connection::{CONNECT_LIMIT, HELLO_LIMIT};
use crate::net::greeting;
use crate::net::greeting::Greeted;
use crate::net::handle::Net;

/// Data connections that fail one after the other before a node is called deaf.
const FAILURES: u32 = 2;

/// How long a failure counts without another attempt.
const COUNTS_FOR: Duration = Duration::from_secs(60);

/// How long a data connection may take to be made to a node that answers messages as
/// a LAN does: one packet may be lost, and a person waits behind two such attempts.
const MOMENT: Duration = Duration::from_secs(1);

/// Time for a data connection where no other could be asked, or others are asked
/// meanwhile.
pub(crate) const PATIENCE: Duration = CONNECT_LIMIT.saturating_add(HELLO_LIMIT);

/// Pauses before a node is tried again, after so many failures in a row.
const PAUSES: [Duration; 6] = [
    Duration::from_millis(300),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(8),
];

/// Time after the core has heard that bytes reach a host again in which it is not told
/// so once more: where they pass in one direction only, that would go on for ever.
const TELL_AGAIN: Duration = Duration::from_secs(10);

/// Peers that take long to answer messages and are known so: a bound on memory.
const SLOW_AT_MOST: usize = 1024;

/// What became of the last data connections to each node. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    doubted: Mutex<BTreeMap<SocketAddr, Doubted>>,
    /// Time within which those peers answer messages that need long for it.
    slow: Mutex<BTreeMap<SocketAddr, Duration>>,
    /// A node is doubted that was not.
    new: Notify,
}

/// A node to which a data connection was not made.
#[derive(Clone, Copy, Debug)]
struct Doubted {
    /// Failures in a row.
    failures: u32,
    /// When it was tried last.
    last: Instant,
    /// People have heard of it.
    told: bool,
}

impl Doubted {
    fn is_deaf(&self) -> bool {
        self.failures >= FAILURES
    }

    /// When it is to be tried again.
    fn due(&self) -> Instant {
        self.last + PAUSES[(self.failures as usize).min(PAUSES.len() - 1)]
    }
}

impl Reach {
    /// A data connection was made, or was not.
    pub(crate) fn saw(&self, address: SocketAddr, made: bool) {
        if made {
            self.0.doubted.lock().remove(&address);
        } else {
            self.note(address, 1);
        }
    }

    /// A data connection was not made in so short a time that it may have been about to
    /// be, or another node says that it could make none.
    pub(crate) fn doubt(&self, address: SocketAddr) {
        self.note(address, 0);
    }

    /// A peer answers messages within this time.
    pub(crate) fn answers_within(&self, address: SocketAddr, limit: Duration) {
        let mut slow = self.0.slow.lock();
        if limit * 2 <= MOMENT {
            slow.remove(&address);
        } else if slow.len() < SLOW_AT_MOST || slow.contains_key(&address) {
            slow.insert(address, limit);
        }
    }

    /// How long a data connection to this node may take to be made before another one
    /// is asked: a slow, busy or distant node takes as long over messages.
    pub(crate) fn moment(&self, address: SocketAddr) -> Duration {
        let slow = self.0.slow.lock();
        slow.get(&address).map_or(MOMENT, |limit| (*limit * 2).clamp(MOMENT, PATIENCE))
    }

    /// Whether the last data connection to a node was not made: others are asked first.
    pub(crate) fn doubts(&self, address: SocketAddr) -> bool {
        self.0.doubted.lock().get(&address).is_some_and(counts)
    }

    /// Whether several in a row were not.
    pub(crate) fn is_deaf(&self, address: SocketAddr) -> bool {
        self.0.doubted.lock().get(&address).is_some_and(|seen| counts(seen) && seen.is_deaf())
    }

    /// Those to whom several in a row were not made of late.
    pub(crate) fn deaf(&self) -> Vec<SocketAddr> {
        let doubted = self.0.doubted.lock();
        let deaf = doubted.iter().filter(|(_, seen)| counts(seen) && seen.is_deaf());
        deaf.map(|(address, _)| *address).collect()
    }

    fn note(&self, address: SocketAddr, failures: u32) {
        let now = Instant::now();
        let mut doubted = self.0.doubted.lock();
        doubted.retain(|_, seen| counts(seen));
        let known = doubted.contains_key(&address);
        let seen =
            doubted.entry(address).or_insert(Doubted { failures: 0, last: now, told: false });
        if failures > 0 || !known {
            (seen.failures, seen.last) = (seen.failures.saturating_add(failures), now);
        }
        if !known {
            self.0.new.notify_one();
        }
    }

    /// When the next trial is due, and of whom.
    fn next(&self) -> Option<(Instant, SocketAddr)> {
        self.0.doubted.lock().iter().map(|(address, seen)| (seen.due(), *address)).min()
    }

    /// A trial could not be made: it is the next one's turn.
    fn later(&self, address: SocketAddr) {
        if let Some(seen) = self.0.doubted.lock().get_mut(&address) {
            seen.last = Instant::now();
        }
    }

    fn forget(&self, address: SocketAddr) {
        self.0.doubted.lock().remove(&address);
    }

    /// Whether a node came to be called deaf and no event has told so; from now on
    /// one has.
    fn tells_of(&self, address: SocketAddr) -> bool {
        let mut doubted = self.0.doubted.lock();
        let news = doubted.get_mut(&address).filter(|seen| seen.is_deaf() && !seen.told);
        news.map(|seen| seen.told = true).is_some()
    }

    fn was_told_of(&self, address: SocketAddr) -> bool {
        self.0.doubted.lock().get(&address).is_some_and(|seen| seen.told)
    }
}

fn counts(seen: &Doubted) -> bool {
    seen.last.elapsed() < COUNTS_FOR
}

/// Tries the members that are doubted, until the node stops.
pub(crate) async fn watch(reach: Reach, net: Net, notes: Notes, core: Core) {
    let mut told: BTreeMap<SocketAddr, Instant> = BTreeMap::new();
    loop {
        let next = reach.next();
        let address = tokio::select! {
            () = net.stop.cancelled() => return,
            () = reach.0.new.notified() => continue,
            address = async {
                match next {
                    Some((due, address)) => {
                        tokio::time::sleep_until(due.into()).await;
                        address
                    }
                    None => std::future::pending().await,
                }
            } => address,
        };
        if !is_member(&core, address).await {
            reach.forget(address);
            continue;
        }
        let hello = net.me().hello(Purpose::Data);
        let until = tokio::time::Instant::now() + PATIENCE;
        let greeted = tokio::select! {
            () = net.stop.cancelled() => return,
            greeted = greeting::greet(address, &hello, until) => greeted,
        };
        let was_told = reach.was_told_of(address);
        match greeted {
            Ok(Greeted::Hello(_)) => {
                reach.saw(address, true);
                let now = Instant::now();
                told.retain(|_, at| now.saturating_duration_since(*at) < TELL_AGAIN);
                if told.insert(address, now).is_none() {
                    core.bytes_pass(address).await;
                }
                if was_told {
                    let text = format!("bytes reach {address} again");
                    tracing::info!("{text}");
                    notes.event(Level::Info, text).await;
                }
            }
            Ok(_) => {
                reach.saw(address, false);
                // A node that died meanwhile is not called deaf.
                if is_member(&core, address).await && reach.tells_of(address) {
                    let text = format!(
                        "no bytes reach {address}, though it answers messages: other nodes hold \
                         what it should until they do"
                    );
                    tracing::warn!("{text}");
                    notes.event(Level::Warn, text).await;
                }
            }
            // That is no fault of the other side.
            Err(error) => {
                tracing::debug!(%address, %error, "cannot try whether bytes reach it");
                reach.later(address);
            }
        }
        notes.changed().await;
    }
}

async fn is_member(core: &Core, address: SocketAddr) -> bool {
    let members = core.look(|core| core.members().0).await;
    members.is_some_and(|members| members.iter().any(|member| member.address() == address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_a_doubt_and_a_connection_clears_several() {
        let (reach, to) = (Reach::default(), SocketAddr::from(([127, 0, 0, 1], 2000)));
        reach.doubt(to);
        assert!(reach.doubts(to));
        reach.saw(to, false);
        assert_eq!(reach.deaf(), []);
        reach.saw(to, false);
        assert_eq!(reach.deaf(), [to]);
        assert!(reach.is_deaf(to) && reach.tells_of(to) && !reach.tells_of(to));
        reach.saw(to, true);
        assert!(!reach.doubts(to));
        assert_eq!(reach.deaf(), []);
    }

    #[test]
    fn who_takes_long_to_answer_messages_has_longer_for_connections() {
        let (reach, to) = (Reach::default(), SocketAddr::from(([127, 0, 0, 1], 2000)));
        assert_eq!(reach.moment(to), MOMENT);
        reach.answers_within(to, Duration::from_millis(1500));
        assert_eq!(reach.moment(to), Duration::from_secs(3));
        reach.answers_within(to, Duration::from_secs(3));
        assert_eq!(reach.moment(to), PATIENCE);
        reach.answers_within(to, Duration::from_millis(500));
        assert_eq!(reach.moment(to), MOMENT);
    }
}
