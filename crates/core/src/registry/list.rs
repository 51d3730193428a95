//! The list of a registry.
//!
//! Claims are not believed: a peer comes onto the list when the registry itself has reached
//! it at the claimed address, and stays as long as it answers. Its entry is what it said
//! when it was reached there.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::limits::MAX_PAGE;
use crate::peer::{Peer, is_reachable};
use crate::time::Time;
use crate::wire::registry::{Listed, News};

use super::{MAX_PEERS, MAX_PEERS_PER_HOST};

/// The list, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    entries: BTreeMap<SocketAddr, Entry>,
}

/// A peer on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What other nodes are told about it.
    pub listed: Listed,
    /// When it came onto the list, in seconds since the Unix epoch.
    pub since_unix_s: u64,
    /// When it last answered; `None` if it has not since this registry's start.
    pub checked: Option<Time>,
    /// Whether its last check was answered.
    pub state: State,
    /// A node reported it dead since it last answered.
    accused: bool,
}

/// The result of a peer's last check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It answered.
    Up,
    /// It did not answer, or was not checked yet: the next miss removes it.
    Suspect,
}

/// The result of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// It answered, with this description of itself.
    Alive(Listed),
    /// The connection was refused twice in a row.
    Refused,
    /// No answer came in time.
    Silent,
    /// Another program is there, or its answer cannot be understood; with the reason.
    Stranger(String),
}

/// A change of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A peer came.
    Came(Listed),
    /// The entry of a peer changed.
    Changed {
        /// The old entry.
        old: Listed,
        /// The new entry.
        new: Listed,
    },
    /// A peer missed a check; it is still on the list.
    Suspected(Peer),
    /// A suspect answered.
    Recovered(Peer),
    /// A peer is no longer on the list.
    Gone {
        /// The peer.
        peer: Peer,
        /// The reason.
        why: Why,
    },
}

/// Why a peer was taken off the list.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// It left.
    #[error("it left")]
    Left,
    /// See [`Check::Refused`].
    #[error("it refuses connections")]
    Refused,
    /// See [`Check::Silent`]; for the second time.
    #[error("it did not answer twice")]
    Silent,
    /// It did not answer after a node reported it dead.
    #[error("it was reported dead and does not answer")]
    Accused,
    /// See [`Check::Stranger`].
    #[error("{0}")]
    Stranger(String),
}

/// Why a peer does not come onto the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotListed {
    /// A node cannot have this address.
    #[error("{0} cannot be a node's address; the node should --advertise another")]
    Unreachable(SocketAddr),
    /// The list is full.
    #[error("the list is full with {MAX_PEERS} peers; start another registry")]
    Full,
    /// The list has too many peers of that host.
    #[error("{MAX_PEERS_PER_HOST} peers of host {0} are listed already; start another registry")]
    HostFull(std::net::IpAddr),
    /// Its report has no address.
    #[error("it does not say where it can be reached")]
    NoAddress,
    /// The address is the registry's own.
    #[error("that is this registry itself")]
    Itself,
    /// A node on another machine gives a loopback address.
    #[error("others cannot reach that; it should --advertise another")]
    Loopback,
    /// Too many addresses are waiting to be checked.
    #[error("too many wait to be looked at; it may try again")]
    Busy,
}

impl List {
    /// Whether there is room for a peer at this address, or it is on the list already.
    pub fn admits(&self, address: SocketAddr) -> Result<(), NotListed> {
        if !is_reachable(address) {
            return Err(NotListed::Unreachable(address));
        }
        if self.entries.contains_key(&address) {
            return Ok(());
        }
        if self.entries.len() >= MAX_PEERS {
            return Err(NotListed::Full);
        }
        let first = SocketAddr::new(address.ip(), 0);
        let last = SocketAddr::new(address.ip(), u16::MAX);
        if self.entries.range(first..=last).count() >= MAX_PEERS_PER_HOST {
            return Err(NotListed::HostFull(address.ip()));
        }
        Ok(())
    }

    /// Restores a saved list: all peers are suspect until they have been checked. Peers
    /// that cannot be on it are left out.
    pub fn restore(&mut self, saved: impl IntoIterator<Item = (Listed, u64)>) {
        for (listed, since_unix_s) in saved {
            if self.admits(listed.address).is_ok() && listed.params.is_sane() {
                let entry = Entry {
                    since_unix_s,
                    checked: None,
                    state: State::Suspect,
                    accused: false,
                    listed,
                };
                self.entries.insert(entry.listed.address, entry);
            }
        }
    }

    /// Handles the result of a check of the peer at `address`. A peer that is not on the
    /// list comes onto it if it answered and there is room.
    pub fn checked(
        &mut self,
        now: Time,
        unix_s: u64,
        address: SocketAddr,
        check: Check,
    ) -> Option<Change> {
        let why = match check {
            Check::Alive(listed) => return self.answered(now, unix_s, address, listed),
            Check::Refused => Why::Refused,
            Check::Stranger(why) => Why::Stranger(why),
            Check::Silent => {
                let entry = self.entries.get_mut(&address)?;
                if entry.state == State::Up && !entry.accused {
                    entry.state = State::Suspect;
                    return Some(Change::Suspected(entry.peer()));
                }
                if entry.accused { Why::Accused } else { Why::Silent }
            }
        };
        self.remove(address, why)
    }

    fn answered(
        &mut self,
        now: Time,
        unix_s: u64,
        address: SocketAddr,
        listed: Listed,
    ) -> Option<Change> {
        if listed.address != address || !listed.params.is_sane() {
            return self.remove(address, Why::Stranger("another node is there now".to_owned()));
        }
        let Some(entry) = self.entries.get_mut(&address) else {
            self.admits(address).ok()?;
            let entry = Entry {
                listed: listed.clone(),
                since_unix_s: unix_s,
                checked: Some(now),
                state: State::Up,
                accused: false,
            };
            self.entries.insert(address, entry);
            return Some(Change::Came(listed));
        };
        let was = std::mem::replace(&mut entry.state, State::Up);
        entry.checked = Some(now);
        entry.accused = false;
        if entry.listed != listed {
            let old = std::mem::replace(&mut entry.listed, listed.clone());
            return Some(Change::Changed { old, new: listed });
        }
        (was == State::Suspect).then(|| Change::Recovered(entry.peer()))
    }

    /// Handles a report that this peer is dead; returns whether to check it now. The report
    /// alone does not remove it, but the next miss does.
    pub fn accuse(&mut self, peer: Peer) -> bool {
        match self.entries.get_mut(&peer.address()) {
            Some(entry) if entry.listed.index == peer.index() => {
                entry.accused = true;
                true
            }
            _ => false,
        }
    }

    /// Handles a peer that says that it leaves.
    pub fn left(&mut self, address: SocketAddr) -> Option<Change> {
        self.remove(address, Why::Left)
    }

    fn remove(&mut self, address: SocketAddr, why: Why) -> Option<Change> {
        let entry = self.entries.remove(&address)?;
        Some(Change::Gone { peer: entry.peer(), why })
    }

    /// All entries, by address.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The entry of an address.
    pub fn entry(&self, address: SocketAddr) -> Option<&Entry> {
        self.entries.get(&address)
    }

    /// The whole list as messages; at least one page.
    pub fn pages(&self) -> Vec<News> {
        let listed: Vec<Listed> = self.entries().map(|entry| entry.listed.clone()).collect();
        let pages = listed.len().div_ceil(MAX_PAGE).max(1);
        let page = |n: usize| News::Peers {
            peers: listed.iter().skip(n * MAX_PAGE).take(MAX_PAGE).cloned().collect(),
            more: n + 1 < pages,
        };
        (0..pages).map(page).collect()
    }
}

impl Entry {
    /// The peer.
    pub fn peer(&self) -> Peer {
        Peer::new(self.listed.address, self.listed.index)
    }
}

impl Change {
    /// The message about it to the connected nodes.
    pub fn news(&self) -> Option<News> {
        match self {
            Change::Came(listed) | Change::Changed { new: listed, .. } => {
                Some(News::Came(listed.clone()))
            }
            Change::Gone { peer, why } => {
                Some(News::Gone { peer: *peer, left: matches!(why, Why::Left) })
            }
            Change::Suspected(_) | Change::Recovered(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::id::Space;
    use crate::wire::codec;
    use crate::wire::handshake::Params;

    fn listed(port: u16) -> Listed {
        let params = Params { ring: "test".to_owned(), space: Space::default(), replicas: 3 };
        Listed { address: ([127, 0, 0, 1], port).into(), index: 0, params, member: false }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn check(list: &mut List, port: u16, check: Check) -> Option<Change> {
        list.checked(at(1), 100, listed(port).address, check)
    }

    fn with(ports: &[u16]) -> List {
        let mut list = List::default();
        for port in ports {
            let came = check(&mut list, *port, Check::Alive(listed(*port)));
            assert_eq!(came, Some(Change::Came(listed(*port))));
        }
        list
    }

    fn gone(port: u16, why: Why) -> Change {
        Change::Gone { peer: Peer::new(listed(port).address, 0), why }
    }

    #[test]
    fn only_who_answered_is_listed() {
        let mut list = List::default();
        for failed in [Check::Refused, Check::Silent, Check::Stranger("a printer".to_owned())] {
            assert_eq!(check(&mut list, 2000, failed), None);
        }
        let elsewhere = check(&mut list, 2000, Check::Alive(listed(2001)));
        assert_eq!(elsewhere, None, "it names another address than the one it was reached at");
        assert_eq!(list.entries().count(), 0);
        let list = with(&[2000]);
        let entry = list.entries().next().expect("it is listed");
        assert_eq!((entry.since_unix_s, entry.state), (100, State::Up));
    }

    #[test]
    fn a_refusal_removes_at_once_and_silence_only_the_second_time() {
        let mut list = with(&[2000, 2001, 2002]);
        assert_eq!(check(&mut list, 2000, Check::Refused), Some(gone(2000, Why::Refused)));
        let peer = Peer::new(listed(2001).address, 0);
        assert_eq!(check(&mut list, 2001, Check::Silent), Some(Change::Suspected(peer)));
        let back = check(&mut list, 2001, Check::Alive(listed(2001)));
        assert_eq!(back, Some(Change::Recovered(peer)));
        assert_eq!(check(&mut list, 2001, Check::Silent), Some(Change::Suspected(peer)));
        assert_eq!(check(&mut list, 2001, Check::Silent), Some(gone(2001, Why::Silent)));
        assert_eq!(check(&mut list, 2001, Check::Silent), None, "it is gone already");
        assert_eq!(list.entries().count(), 1);
    }

    #[test]
    fn a_report_of_a_death_is_a_reason_to_look_and_no_more() {
        let mut list = with(&[2000]);
        let peer = Peer::new(listed(2000).address, 0);
        assert!(list.accuse(peer));
        assert!(!list.accuse(Peer::new(peer.address(), 1)), "somebody who was there before it");
        assert!(!list.accuse(Peer::new(listed(2001).address, 0)), "nobody knows it");
        assert_eq!(check(&mut list, 2000, Check::Alive(listed(2000))), None, "it lives");
        assert_eq!(check(&mut list, 2000, Check::Silent), Some(Change::Suspected(peer)));
        check(&mut list, 2000, Check::Alive(listed(2000)));
        assert!(list.accuse(peer));
        assert_eq!(check(&mut list, 2000, Check::Silent), Some(gone(2000, Why::Accused)));
    }

    #[test]
    fn what_a_peer_says_of_itself_replaces_what_the_list_said() {
        let mut list = with(&[2000]);
        let now = Listed { index: 1, member: true, ..listed(2000) };
        let changed = check(&mut list, 2000, Check::Alive(now.clone())).expect("a change");
        assert_eq!(changed, Change::Changed { old: listed(2000), new: now.clone() });
        assert_eq!(changed.news(), Some(News::Came(now)));
        let stranger = check(&mut list, 2000, Check::Alive(listed(2009)));
        assert!(matches!(stranger, Some(Change::Gone { why: Why::Stranger(_), .. })));
    }

    #[test]
    fn who_was_saved_is_suspect_and_checked_before_it_counts() {
        let mut list = List::default();
        let nowhere = Listed { address: ([0, 0, 0, 0], 2000).into(), ..listed(0) };
        list.restore([(listed(2000), 7), (nowhere, 8), (listed(2001), 9)]);
        let states: Vec<_> = list.entries().map(|e| (e.since_unix_s, e.checked, e.state)).collect();
        assert_eq!(states, [(7, None, State::Suspect), (9, None, State::Suspect)]);
        assert_eq!(check(&mut list, 2000, Check::Silent), Some(gone(2000, Why::Silent)));
        assert!(check(&mut list, 2001, Check::Alive(listed(2001))).is_some());
        assert_eq!(list.entry(listed(2001).address).map(|e| e.since_unix_s), Some(9));
    }

    #[test]
    fn neither_the_list_nor_a_host_on_it_grows_beyond_its_limit() {
        let mut list = List::default();
        let address = |n: u16| SocketAddr::from(([10, 0, (n >> 8) as u8, n as u8], 2000));
        for n in 0..MAX_PEERS as u16 {
            let peer = Listed { address: address(n), ..listed(0) };
            assert!(list.checked(at(0), 0, peer.address, Check::Alive(peer.clone())).is_some());
        }
        let late = Listed { address: address(MAX_PEERS as u16), ..listed(0) };
        assert_eq!(list.admits(late.address), Err(NotListed::Full));
        assert_eq!(list.checked(at(0), 0, late.address, Check::Alive(late.clone())), None);
        assert_eq!(list.admits(address(0)), Ok(()), "who is on it stays");

        let mut list = with(&(1..=MAX_PEERS_PER_HOST as u16).collect::<Vec<_>>());
        let more = listed(9_999);
        assert_eq!(list.admits(more.address), Err(NotListed::HostFull(more.address.ip())));
        assert_eq!(check(&mut list, 9_999, Check::Alive(more)), None);
        assert_eq!(list.admits(late.address), Ok(()));
        let none = ([127, 0, 0, 1], 0).into();
        assert_eq!(list.admits(none), Err(NotListed::Unreachable(none)));
    }

    #[test]
    fn the_list_travels_in_pages_that_fit_into_frames() {
        let ports: Vec<u16> = (1..=100).collect();
        let pages = with(&ports).pages();
        let mut got = Vec::new();
        for (n, page) in pages.iter().enumerate() {
            assert!(codec::encode(page).is_ok());
            let News::Peers { peers, more } = page else { panic!("{page:?}") };
            assert!(peers.len() <= MAX_PAGE);
            assert_eq!(*more, n + 1 < pages.len());
            got.extend(peers.iter().map(|listed| listed.address.port()));
        }
        assert_eq!(got, ports);
        let empty = List::default().pages();
        assert_eq!(empty, [News::Peers { peers: Vec::new(), more: false }]);
    }
}
