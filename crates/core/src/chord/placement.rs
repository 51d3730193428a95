//! Where the copies of a key belong: the one function that put, get, repair
//! and the screen use. Where these disagree, copies are made in places at which
//! no node looks.
//!
//! Copies are counted by host, that is by address: the positions of one host
//! share its disk and die together. So a host that holds a key's copy holds it at
//! the first of its positions at or after the key, whichever other nodes are on the ring.

use crate::id::{Id, Space};
use crate::peer::Peer;

/// The holders of `key`: its owner (the first node at or after it) and behind it
/// the first position of each of the next `replicas − 1` hosts.
///
/// `nodes` are the candidates in ring order, starting anywhere, without
/// duplicates. With fewer hosts than `replicas`, each of them holds a copy.
pub fn placement(space: Space, key: Id, nodes: &[Peer], replicas: u8) -> Vec<Peer> {
    let owner =
        (0..nodes.len()).min_by_key(|&at| space.distance(key, nodes[at].id(space))).unwrap_or(0);
    let Some(&first) = nodes.get(owner) else { return Vec::new() };
    let behind = nodes.iter().cycle().skip(owner + 1).take(nodes.len() - 1).copied();
    let mut holders = vec![first];
    holders.extend(others(first, behind).take(usize::from(replicas.saturating_sub(1))));
    holders.truncate(usize::from(replicas));
    holders
}

/// Of these nodes the first of each host: the one to ask for what is a host's and not
/// one position's.
pub fn hosts(nodes: &[Peer]) -> Vec<Peer> {
    let first = nodes.first().copied();
    let rest = first.map(|me| others(me, nodes.iter().copied()));
    first.into_iter().chain(rest.into_iter().flatten()).collect()
}

/// Of these nodes the first of each host other than that of `me`, in their order.
pub fn others(me: Peer, nodes: impl IntoIterator<Item = Peer>) -> impl Iterator<Item = Peer> {
    let mut hosts = vec![me.address()];
    nodes.into_iter().filter(move |peer| {
        let new = !hosts.contains(&peer.address());
        if new {
            hosts.push(peer.address());
        }
        new
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn peer(port: u16) -> Peer {
        Peer::new(([127, 0, 0, 1], port).into(), 0)
    }

    #[test]
    fn sky_ship_lives_on_466_495_and_48() {
        // Ids: 2000 → 466, 2001 → 48, 2002 → 495; the file → 189.
        let space = Space::default();
        let ring = [peer(2001), peer(2000), peer(2002)];
        let holders = placement(space, space.hash("SkyShip.jpg"), &ring, 2);
        assert_eq!(holders, [peer(2000), peer(2002)]);
        assert_eq!(placement(space, Id::new(1000), &ring, 9), [peer(2001), peer(2000), peer(2002)]);
        assert_eq!(placement(space, Id::new(466), &ring, 1), [peer(2000)]);
        assert!(placement(space, Id::new(0), &[], 3).is_empty());
    }

    #[test]
    fn copies_lie_on_different_hosts_each_at_its_first_position_behind_the_key() {
        let space = Space::new(32).expect("in range");
        let mut ring: Vec<Peer> = (0..4u16)
            .flat_map(|host| (0..5).map(move |i| Peer::new(peer(2000 + host).address(), i)))
            .collect();
        ring.sort_by_key(|peer| peer.id(space));
        for number in 0..200 {
            let key = space.hash(&number.to_string());
            let holders = placement(space, key, &ring, 3);
            let hosts: BTreeSet<_> = holders.iter().map(Peer::address).collect();
            assert_eq!((holders.len(), hosts.len()), (3, 3), "{holders:?}");
            for holder in &holders {
                let own = ring.iter().filter(|peer| peer.address() == holder.address());
                let first = own.min_by_key(|peer| space.distance(key, peer.id(space)));
                assert_eq!(first, Some(holder));
            }
            assert_eq!(placement(space, key, &ring, 9).len(), 4, "more copies than hosts");
        }
    }
}
