//! The members that this node has seen and the peers that its user connected, kept in
//! `peers.toml` in its data directory: through the former it rejoins after a restart, with the
//! latter it is linked again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::task::TaskTracker;

use chordal_core::chord::{self, placement::others};
use chordal_core::mesh::links::MAX_CHOSEN;
use chordal_core::peer::Peer;

/// Changes within this time are written together.
pub(crate) const DELAY: Duration = Duration::from_millis(500);

/// Peers in the file.
const AT_MOST: usize = 32;

const FILE: &str = "peers.toml";

const HEAD: &str = "# Members of the ring, tried at the next start, and peers that were connected. \
                    Written by chordal.\n";

/// The file, and the lock of its writers. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct PeersFile {
    dir: PathBuf,
    /// Held by the writer.
    writing: Arc<Mutex<()>>,
    tasks: TaskTracker,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Remembered {
    /// `ip:port`, with `#index` behind it where the index is not 0.
    peers: Vec<String>,
    /// Likewise. Whom the user wants to be linked with, on whatever ring.
    #[serde(default)]
    linked: Vec<String>,
}

impl PeersFile {
    /// The file in this directory; it is written on threads of `tasks`.
    pub(crate) fn new(dir: PathBuf, tasks: TaskTracker) -> PeersFile {
        PeersFile { dir, writing: Arc::default(), tasks }
    }

    /// The members. A file that is missing or damaged is an empty one: it only
    /// saves time.
    pub(crate) fn load(&self, me: Peer) -> Vec<Peer> {
        others_of(&read(&self.dir).peers, me).take(AT_MOST).collect()
    }

    /// The peers that the user connected.
    pub(crate) fn load_linked(&self, me: Peer) -> Vec<Peer> {
        others_of(&read(&self.dir).linked, me).take(MAX_CHOSEN).collect()
    }

    /// Writes the members, on a thread of its own, and behind them those of
    /// earlier times as far as there is room: a peer that is gone now may be the first to
    /// be back after a power cut. Those that left are of no use. Failing
    /// costs only time at the next start and is logged.
    ///
    /// `done` is called when that is durable, or has failed. Returns whether there was
    /// a peer to remember.
    pub(crate) fn save(&self, core: &chord::Host, done: impl FnOnce() + Send + 'static) -> bool {
        let (me, departed) = (core.peer(), core.departed());
        // One way to each host is enough.
        let members: Vec<Peer> = others(me, core.members().0).collect();
        if members.is_empty() {
            // Being alone is no reason to forget the others.
            done();
            return false;
        }
        let content = move |before: Remembered| {
            let earlier = others_of(&before.peers, me)
                .filter(|peer| !departed.contains(peer))
                .filter(|peer| !members.iter().any(|member| member.address() == peer.address()));
            let peers = members.iter().copied().chain(earlier).take(AT_MOST);
            let peers = peers.map(|peer| peer.to_string()).collect();
            Remembered { peers, ..before }
        };
        self.write_later(content, done);
        true
    }

    /// Forgets the members: the user left the ring.
    pub(crate) fn forget(&self) {
        self.write_later(|before| Remembered { peers: Vec::new(), ..before }, || {});
    }

    /// Writes whom the user wants to be linked with. `done` is called when that is durable, or
    /// has failed.
    pub(crate) fn save_linked(&self, peers: &[Peer], done: impl FnOnce() + Send + 'static) {
        let linked = peers.iter().map(ToString::to_string).collect();
        self.write_later(|before| Remembered { linked, ..before }, done);
    }

    fn write_later(
        &self,
        content: impl FnOnce(Remembered) -> Remembered + Send + 'static,
        done: impl FnOnce() + Send + 'static,
    ) {
        let dir = self.dir.clone();
        let turn = Arc::clone(&self.writing);
        self.tasks.spawn_blocking(move || {
            let _one_at_a_time = turn.lock();
            let path = dir.join(FILE);
            if let Err(error) = write(&path, &content(read(&dir))) {
                tracing::warn!(%error, path = %path.display(), "the known peers could not be saved");
            }
            done();
        });
    }
}

fn read(dir: &Path) -> Remembered {
    let Ok(text) = fs::read_to_string(dir.join(FILE)) else { return Remembered::default() };
    toml::from_str(&text).unwrap_or_else(|error| {
        tracing::warn!(%error, "{FILE} is damaged and not used");
        Remembered::default()
    })
}

fn others_of(texts: &[String], me: Peer) -> impl Iterator<Item = Peer> {
    let peers = texts.iter().filter_map(|text| parse(text));
    peers.filter(move |peer| peer.address() != me.address())
}

fn write(path: &Path, remembered: &Remembered) -> std::io::Result<()> {
    let text = toml::to_string(remembered).map_err(std::io::Error::other)?;
    chordal_store::replace_text(path, HEAD, &text)
}

fn parse(text: &str) -> Option<Peer> {
    let (address, index) = match text.split_once('#') {
        Some((address, index)) => (address, index.parse().ok()?),
        None => (text, 0),
    };
    Some(Peer::new(address.parse().ok()?, index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_damage_is_survived() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = PeersFile::new(dir.path().to_owned(), TaskTracker::new());
        let peer = |port, index| Peer::new(([127, 0, 0, 1], port).into(), index);
        let peers = vec![peer(2001, 0).to_string(), peer(2002, 3).to_string()];
        let linked = vec![peer(2004, 0).to_string()];
        write(&dir.path().join(FILE), &Remembered { peers, linked }).expect("written");
        assert_eq!(file.load_linked(peer(2000, 0)), [peer(2004, 0)]);
        assert_eq!(file.load(peer(2000, 0)), [peer(2001, 0), peer(2002, 3)]);
        assert_eq!(file.load(peer(2001, 0)), [peer(2002, 3)], "self is no peer");
        fs::write(dir.path().join(FILE), "peers = ['127.0.0.1:2001']").expect("written");
        assert_eq!(file.load(peer(2000, 0)), [peer(2001, 0)], "as older versions wrote");
        assert!(file.load_linked(peer(2000, 0)).is_empty());
        fs::write(dir.path().join(FILE), "peers = 7").expect("written");
        assert!(file.load(peer(2000, 0)).is_empty());
        assert!(
            PeersFile::new(dir.path().join("nowhere"), TaskTracker::new())
                .load(peer(2000, 0))
                .is_empty()
        );
    }
}
