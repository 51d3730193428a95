//! Contents that seem to be damaged on this disk.
//!
//! A server that meets damage says so here, instead of leaving it to
//! the next scrub; a node that fetched a damaged piece asks back for a single byte,
//! which says the same. Such a content is read again at once, and if it is
//! damaged it is put aside and restored as after a scrub ([`super::scrub`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use chordal_core::record::ContentHash;

use super::Upkeep;
use super::scrub;

/// SuspectBlobs that wait. What does not fit is met again, or found by the scrub.
const QUEUE: usize = 64;

/// Bytes read a second: a gigabyte in half a minute, and a disk can still serve.
const RATE: u64 = 32 * 1024 * 1024;

/// How long the word of others about a content counts only once: no peer may
/// make a node read its disk all day.
const BELIEVED_AGAIN: Duration = Duration::from_secs(60 * 60);

/// Contents about which others have said something lately; beyond it they are
/// not listened to.
const BELIEVED_AT_MOST: usize = 256;

/// Where suspects are said. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SuspectBlobs {
    queue: mpsc::Sender<ContentHash>,
    believed: Arc<Mutex<Vec<(Instant, ContentHash)>>>,
}

impl SuspectBlobs {
    /// SuspectBlobs, and where [`run`] takes them from.
    pub(crate) fn new() -> (SuspectBlobs, mpsc::Receiver<ContentHash>) {
        let (queue, suspected) = mpsc::channel(QUEUE);
        (SuspectBlobs { queue, believed: Arc::default() }, suspected)
    }

    /// This node met what cannot be right. Never waits.
    pub(crate) fn found(&self, root: ContentHash) {
        let _ = self.queue.try_send(root);
    }

    /// Another node says that a content is damaged, and may be wrong. Never waits.
    pub(crate) fn reported(&self, root: ContentHash, now: Instant) {
        let mut believed = self.believed.lock();
        believed.retain(|(at, _)| now.saturating_duration_since(*at) < BELIEVED_AGAIN);
        let again = believed.iter().any(|(_, known)| *known == root);
        if !again && believed.len() < BELIEVED_AT_MOST && self.queue.try_send(root).is_ok() {
            believed.push((now, root));
        }
    }
}

/// Reads what is suspected, one content after the other.
pub(crate) async fn run(upkeep: Upkeep, mut suspected: mpsc::Receiver<ContentHash>) {
    loop {
        let next = tokio::select! {
            () = upkeep.net.stop.cancelled() => return,
            next = suspected.recv() => next,
        };
        let Some(root) = next else { return };
        scrub::verify(&upkeep, root, RATE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_of_others_about_a_content_counts_once_an_hour() {
        let (suspects, mut suspected) = SuspectBlobs::new();
        let (now, root) = (Instant::now(), ContentHash([7; 32]));
        suspects.reported(root, now);
        suspects.reported(root, now + BELIEVED_AGAIN / 2);
        assert_eq!(suspected.try_recv(), Ok(root));
        assert!(suspected.try_recv().is_err(), "once");
        suspects.found(root);
        assert_eq!(suspected.try_recv(), Ok(root), "this node's own eyes count always");
        suspects.reported(root, now + BELIEVED_AGAIN);
        assert_eq!(suspected.try_recv(), Ok(root));
    }

    #[test]
    fn of_a_flood_of_doubts_some_are_taken() {
        let (suspects, mut suspected) = SuspectBlobs::new();
        let now = Instant::now();
        let mut taken = 0;
        for number in 0..2_000_u16 {
            let mut root = [0; 32];
            root[..2].copy_from_slice(&number.to_be_bytes());
            suspects.reported(ContentHash(root), now);
            while suspected.try_recv().is_ok() {
                taken += 1;
            }
        }
        assert_eq!(taken, BELIEVED_AT_MOST);
    }
}
