//! Where the copies of a key belong: the one function that put, get, repair
//! and the screen use. Where these disagree, copies are made in places at which
//! nobody looks.

use crate::id::{Id, Space};
use crate::peer::Peer;

/// The holders of `key`: its owner (the first node at or after it) and the
/// owner's next `replicas − 1` successors.
///
/// `nodes` are the candidates in ring order, starting anywhere, without
/// duplicates. With fewer nodes than `replicas`, all of them are holders.
pub fn placement(space: Space, key: Id, nodes: &[Peer], replicas: u8) -> Vec<Peer> {
    let owner =
        (0..nodes.len()).min_by_key(|&at| space.distance(key, nodes[at].id(space))).unwrap_or(0);
    nodes.iter().cycle().skip(owner).take(nodes.len().min(usize::from(replicas))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
