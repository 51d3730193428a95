//! How far each peer is trusted with downloads: [`chordal_core::mesh::reputation`]
//! with a clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use chordal_core::mesh::reputation::{self, Doubt, Level};
use chordal_core::time::Time;
use chordal_view::Trust;

pub(crate) use chordal_core::mesh::reputation::Conduct;

/// The reputations of all peers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Reputations {
    peers: Arc<Mutex<reputation::Reputations>>,
    /// The zero of the times in it.
    started: Instant,
}

impl Default for Reputations {
    fn default() -> Reputations {
        Reputations { peers: Arc::default(), started: Instant::now() }
    }
}

impl Reputations {
    /// Takes note of what a peer did.
    pub(crate) fn saw(&self, peer: SocketAddr, conduct: &Conduct) {
        let now = self.now();
        self.peers.lock().saw(now, peer, conduct);
    }

    /// How far a peer is trusted now, and why not fully.
    pub(crate) fn of(&self, peer: SocketAddr) -> (Trust, Option<String>) {
        match self.peers.lock().of(self.now(), peer) {
            Some(doubt) => (trust(doubt.level), Some(doubt.why)),
            None => (Trust::Good, None),
        }
    }

    /// Why a peer is not used now and for how long yet; `None` when it may be.
    pub(crate) fn shuns(&self, peer: SocketAddr) -> Option<(String, Duration)> {
        let now = self.now();
        let doubt = self.peers.lock().of(now, peer)?;
        (doubt.level == Level::Shunned).then(|| (doubt.why, doubt.until.since(now)))
    }

    /// All peers that are not trusted fully, with the reason and how long it
    /// still counts.
    pub(crate) fn doubted(&self) -> Vec<(SocketAddr, Trust, String, Duration)> {
        let now = self.now();
        let row = |(peer, Doubt { level, why, until })| (peer, trust(level), why, until.since(now));
        self.peers.lock().doubted(now).map(row).collect()
    }

    fn now(&self) -> Time {
        Time::ZERO + self.started.elapsed()
    }
}

const fn trust(level: Level) -> Trust {
    match level {
        Level::Good => Trust::Good,
        Level::Last => Trust::Last,
        Level::Shunned => Trust::Shunned,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_sent_a_damaged_piece_is_named_with_the_reason() {
        let all = Reputations::default();
        let peer: SocketAddr = "127.0.0.1:2003".parse().expect("an address");
        assert_eq!(all.of(peer), (Trust::Good, None));
        all.clone().saw(peer, &Conduct::BadPiece);
        assert_eq!(all.of(peer), (Trust::Shunned, Some("sent a damaged piece".to_owned())));
        let (why, left) = all.shuns(peer).expect("it is shunned");
        assert_eq!(why, "sent a damaged piece");
        assert!(left <= reputation::SHUN && left > reputation::SHUN / 2, "{left:?}");
        let (named, trust, ..) = all.doubted().pop().expect("somebody");
        assert_eq!((named, trust), (peer, Trust::Shunned));
    }
}
