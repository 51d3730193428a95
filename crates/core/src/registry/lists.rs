//! A node's side: the lists of its registries, and which listed peer to connect to next.
//!
//! Each registry has its own list here; the node uses their union. A registry may be wrong,
//! out of date or malicious, so a listed address is only a candidate, and a registry cannot
//! crowd out what another one lists: they take turns.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::peer::{Peer, is_reachable};
use crate::wire::handshake::Params;
use crate::wire::registry::{Listed, News};

use super::MAX_PEERS;

/// The lists of all registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    by_registry: BTreeMap<SocketAddr, List>,
    /// The registry whose turn it was last.
    last: Option<SocketAddr>,
}

/// The usable entries of one registry's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct List {
    peers: BTreeMap<SocketAddr, Listed>,
    /// The pages of a new list that have arrived.
    coming: Option<BTreeMap<SocketAddr, Listed>>,
    /// It has sent its whole list at least once, or could not be reached.
    settled: bool,
    garbage: Garbage,
}

/// Invalid entries of a registry's list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Number of addresses that were ignored.
    pub ignored: u64,
    /// The first of them.
    pub first: Option<SocketAddr>,
    /// It has more peers than a list may have.
    pub crowded: bool,
}

impl Garbage {
    /// A note for the user, if there is a problem.
    pub fn note(&self) -> Option<String> {
        match self.first {
            Some(first) if self.ignored == 1 => {
                Some(format!("lists {first}, which cannot be a node's address; ignored"))
            }
            Some(first) => Some(format!(
                "lists {} addresses that cannot be a node's, such as {first}; ignored",
                self.ignored
            )),
            None if self.crowded => {
                Some(format!("lists more than {MAX_PEERS} peers; the others are ignored"))
            }
            None => None,
        }
    }
}

/// The properties of a node that decide which peers it connects to.
#[derive(Clone, Copy, Debug)]
pub struct Seeker<'a> {
    /// The node.
    pub me: Peer,
    /// Its ring.
    pub params: &'a Params,
    /// It is the only member of its ring.
    pub lonely: bool,
    /// It would adopt the parameters of another ring with that name: a lonely node without
    /// files of the ring.
    pub adopts: bool,
}

impl Lists {
    /// Handles a message of a registry. Invalid entries are left out and counted.
    pub fn take(&mut self, registry: SocketAddr, news: News) {
        let list = self.by_registry.entry(registry).or_default();
        match news {
            News::Peers { peers, more } => {
                let mut coming = list.coming.take().unwrap_or_default();
                for listed in peers {
                    list.garbage.insert(&mut coming, registry, listed);
                }
                if more {
                    list.coming = Some(coming);
                } else {
                    list.peers = coming;
                    list.settled = true;
                }
            }
            News::Came(listed) => list.garbage.insert(&mut list.peers, registry, listed),
            News::Gone { peer, .. } => {
                list.peers.remove(&peer.address());
            }
            News::Ping => {}
        }
    }

    /// Handles a registry that cannot be reached: its last list stays, since most of its
    /// peers are still alive.
    pub fn lost(&mut self, registry: SocketAddr) {
        let list = self.by_registry.entry(registry).or_default();
        list.coming = None;
        list.settled = true;
    }

    /// Number of peers on a registry's list.
    pub fn count(&self, registry: SocketAddr) -> usize {
        self.by_registry.get(&registry).map_or(0, |list| list.peers.len())
    }

    /// Whether a registry lists the peer.
    pub fn lists(&self, registry: SocketAddr, peer: Peer) -> bool {
        let list = self.by_registry.get(&registry);
        let listed = list.and_then(|list| list.peers.get(&peer.address()));
        listed.is_some_and(|listed| listed.index == peer.index())
    }

    /// The invalid entries of a registry's list.
    pub fn garbage(&self, registry: SocketAddr) -> Garbage {
        self.by_registry.get(&registry).map(|list| list.garbage.clone()).unwrap_or_default()
    }

    /// The peer that a node should connect to next, and the registry that lists it.
    ///
    /// A member considers members of rings with its own parameters that it does not know. A
    /// lonely node considers members of rings with its ring's name; if there are none, and
    /// every one of `registries` was heard, lonely nodes with smaller addresses than its
    /// own: so of two lonely nodes exactly one goes to the other. `ready` holds for
    /// addresses that may be tried now (and are not known); `draw` is any number, which
    /// chooses among equals.
    pub fn next(
        &mut self,
        seeker: Seeker<'_>,
        registries: usize,
        draw: usize,
        ready: impl Fn(SocketAddr) -> bool,
    ) -> Option<(SocketAddr, Listed)> {
        let usable = |listed: &&Listed| {
            listed.params.ring == seeker.params.ring
                && (seeker.adopts || listed.params == *seeker.params)
                && listed.address != seeker.me.address()
                && ready(listed.address)
        };
        let settled = self.by_registry.values().filter(|list| list.settled).count();
        let found = self.in_turn(|list| {
            let members = || list.peers.values().filter(usable).filter(|listed| listed.member);
            // Rings with the same parameters first: nothing needs to be adopted.
            let same = || members().filter(|listed| listed.params == *seeker.params);
            pick(same, draw).or_else(|| pick(members, draw))
        });
        if found.is_some() || !seeker.lonely || settled < registries {
            return found;
        }
        self.in_turn(|list| {
            let smaller = |listed: &&Listed| listed.address < seeker.me.address();
            list.peers.values().filter(smaller).find(usable).cloned()
        })
    }

    /// A listed peer on a ring with the same name but other parameters.
    pub fn elsewhere(&self, seeker: Seeker<'_>) -> Option<&Listed> {
        let other = |listed: &&Listed| {
            listed.params.ring == seeker.params.ring && listed.params != *seeker.params
        };
        self.by_registry.values().flat_map(|list| list.peers.values()).find(other)
    }

    /// The first peer that a registry offers, beginning after the registry whose turn it
    /// was last.
    fn in_turn(&mut self, offer: impl Fn(&List) -> Option<Listed>) -> Option<(SocketAddr, Listed)> {
        let behind = |registry: &SocketAddr| self.last.is_none_or(|last| *registry > last);
        let (after, before): (Vec<_>, Vec<_>) =
            self.by_registry.iter().partition(|(registry, _)| behind(registry));
        let found = after
            .into_iter()
            .chain(before)
            .find_map(|(registry, list)| Some((*registry, offer(list)?)));
        if let Some((registry, _)) = &found {
            self.last = Some(*registry);
        }
        found
    }
}

/// Chooses one of several by a number.
fn pick<'a, I: Iterator<Item = &'a Listed>>(all: impl Fn() -> I, draw: usize) -> Option<Listed> {
    let count = all().count();
    all().nth(draw.checked_rem(count)?).cloned()
}

impl Garbage {
    /// Adds a listed peer to a list, if it is valid.
    fn insert(
        &mut self,
        peers: &mut BTreeMap<SocketAddr, Listed>,
        registry: SocketAddr,
        listed: Listed,
    ) {
        let address = listed.address;
        // A loopback address of another machine is not one of this machine.
        let elsewhere = address.ip().is_loopback() && !registry.ip().is_loopback();
        if !is_reachable(address) || elsewhere || !listed.params.is_sane() {
            self.ignored = self.ignored.saturating_add(1);
            self.first.get_or_insert(address);
        } else if peers.len() < MAX_PEERS || peers.contains_key(&address) {
            peers.insert(address, listed);
        } else {
            self.crowded = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Space;
    use crate::limits::MAX_PAGE;

    fn registry(number: u16) -> SocketAddr {
        ([127, 0, 0, 1], 5_000 + number).into()
    }

    fn params(ring: &str, bits: u8) -> Params {
        Params { ring: ring.to_owned(), space: Space::new(bits).expect("in range"), replicas: 3 }
    }

    fn listed(port: u16, member: bool) -> Listed {
        let address = ([127, 0, 0, 1], port).into();
        Listed { address, index: 0, params: params("test", 10), member }
    }

    fn lists(of: &[(u16, &[Listed])]) -> Lists {
        let mut lists = Lists::default();
        for (number, peers) in of {
            lists.take(registry(*number), News::Peers { peers: peers.to_vec(), more: false });
        }
        lists
    }

    /// Whom a node at this port looks at, one after the other.
    fn looks(lists: &mut Lists, port: u16, lonely: bool) -> Vec<u16> {
        let ours = params("test", 10);
        let me = Peer::new(([127, 0, 0, 1], port).into(), 0);
        let mut seen = Vec::new();
        while let Some((_, next)) = {
            let seeker = Seeker { me, params: &ours, lonely, adopts: lonely };
            lists.next(seeker, 1, 0, |address| !seen.contains(&address.port()))
        } {
            seen.push(next.address.port());
        }
        seen
    }

    #[test]
    fn of_two_lonely_nodes_exactly_one_goes_to_the_other() {
        let mut all = lists(&[(0, &[listed(2000, false), listed(2001, false)])]);
        assert_eq!(looks(&mut all, 2000, true), [] as [u16; 0]);
        assert_eq!(looks(&mut all, 2001, true), [2000]);
        assert_eq!(looks(&mut all, 2001, false), [] as [u16; 0], "a member lets them come");
    }

    #[test]
    fn members_come_before_lonely_nodes_and_equal_parameters_before_others() {
        let other = Listed { params: params("test", 16), ..listed(1998, true) };
        let foreign = Listed { params: params("foreign", 10), ..listed(1999, true) };
        let peers = [listed(1997, false), other, foreign, listed(2005, true)];
        let mut all = lists(&[(0, &peers)]);
        assert_eq!(looks(&mut all, 2001, true), [2005, 1998, 1997]);
        assert_eq!(looks(&mut all, 2001, false), [2005], "a member keeps its parameters");
        let ours = params("test", 10);
        let me = Peer::new(([127, 0, 0, 1], 2001).into(), 0);
        let seeker = Seeker { me, params: &ours, lonely: true, adopts: false };
        let only = all.next(seeker, 1, 0, |at| at.port() == 1998);
        assert_eq!(only, None, "so does a node with files");
        assert_eq!(all.elsewhere(seeker).map(|listed| listed.address.port()), Some(1998));
    }

    #[test]
    fn a_lonely_node_hears_every_registry_before_it_goes_to_another_lonely_one() {
        let mut all = lists(&[(0, &[listed(2000, false)])]);
        let ours = params("test", 10);
        let me = Peer::new(([127, 0, 0, 1], 2001).into(), 0);
        let seeker = Seeker { me, params: &ours, lonely: true, adopts: false };
        assert_eq!(all.next(seeker, 2, 0, |_| true), None);
        all.lost(registry(1));
        let next = all.next(seeker, 2, 0, |_| true);
        assert_eq!(next, Some((registry(0), listed(2000, false))));
    }

    #[test]
    fn a_registry_full_of_dead_peers_does_not_keep_another_from_its_turn() {
        let dead: Vec<Listed> = (3_000..4_000).map(|port| listed(port, true)).collect();
        let mut all = lists(&[(0, &dead), (1, &[listed(2000, true)])]);
        let seen = looks(&mut all, 2001, true);
        assert_eq!(seen.len(), 1_001);
        assert!(seen.iter().position(|port| *port == 2000).is_some_and(|at| at < 2), "{seen:?}");
    }

    #[test]
    fn what_cannot_be_is_ignored_counted_and_named() {
        let bad = |address: &str| Listed {
            address: address.parse().expect("an address"),
            ..listed(0, true)
        };
        let insane =
            Listed { params: Params { replicas: 0, ..params("test", 10) }, ..listed(7, true) };
        let peers = [bad("0.0.0.0:2000"), bad("224.0.0.1:7"), bad("127.0.0.1:0"), insane];
        let mut all = lists(&[(0, &peers)]);
        assert_eq!(all.count(registry(0)), 0);
        assert_eq!(looks(&mut all, 2001, true), [] as [u16; 0]);
        let garbage = all.garbage(registry(0));
        assert_eq!(garbage.ignored, 4);
        assert!(garbage.note().is_some_and(|note| note.contains("0.0.0.0:2000")));
        assert_eq!(all.garbage(registry(1)).note(), None);
        let far: SocketAddr = "10.0.0.1:5000".parse().expect("an address");
        all.take(far, News::Came(listed(2000, true)));
        assert_eq!((all.count(far), all.garbage(far).ignored), (0, 1), "that is its own network");
    }

    #[test]
    fn an_endless_list_stays_within_its_limit() {
        let mut all = Lists::default();
        for n in 0..300u16 {
            let peers = (0..MAX_PAGE as u16).map(|i| listed(1 + n * 48 + i, true)).collect();
            all.take(registry(0), News::Peers { peers, more: true });
        }
        assert_eq!(all.count(registry(0)), 0, "it has not ended yet");
        all.take(registry(0), News::Peers { peers: Vec::new(), more: false });
        assert_eq!(all.count(registry(0)), MAX_PEERS);
        assert!(all.garbage(registry(0)).crowded);
    }

    #[test]
    fn pushes_change_the_list_and_a_lost_registry_keeps_its_last_one() {
        let mut all = lists(&[(0, &[listed(2000, true)])]);
        all.take(registry(0), News::Came(listed(2002, true)));
        let peer = Peer::new(listed(2000, true).address, 0);
        assert!(all.lists(registry(0), peer));
        all.take(registry(0), News::Gone { peer, left: true });
        assert!(!all.lists(registry(0), peer));
        all.lost(registry(0));
        assert_eq!(looks(&mut all, 2001, true), [2002]);
    }
}
