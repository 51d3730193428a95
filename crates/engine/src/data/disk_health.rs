//! Whether this node's disk takes what is stored.
//!
//! A task that meets a failing disk says so here. From then on nothing is
//! stored: other nodes hold what this one should ([`crate::data::full_owner`], and
//! `replicas::standins` of [`chordal_core::chord`]), and what can still be read is
//! offered as before. The disk is tried at once, with a file of its own,
//! for it may be one place of it alone that failed; then ever more rarely, until
//! it takes that file.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use chordal_core::record::Obstacle;
use chordal_store::{Store, StoreError};
use chordal_view::Level;

use crate::inputs::notes::Notes;
use crate::net::handle::Net;

/// Pauses between two trials of a disk that fails: the first ones are short, as a
/// cable is put back soon or not at all.
const PAUSES: [Duration; 5] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
];

/// What is known of a node's disk. Clones are the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct DiskHealth {
    state: Arc<Mutex<State>>,
    failed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    /// What failed, until the disk takes a file again.
    why: Option<String>,
    /// It has failed more than once: it is told.
    told: bool,
}

impl DiskHealth {
    /// What keeps this node from storing something that ended with this error, if
    /// something does. A disk that refuses is tried from now on.
    pub(crate) fn obstacle(&self, error: &StoreError) -> Option<Obstacle> {
        let obstacle = error.obstacle()?;
        if obstacle == Obstacle::SickDisk {
            self.state.lock().why.get_or_insert_with(|| error.to_string());
            self.failed.notify_one();
        }
        Some(obstacle)
    }

    /// What failed, while nothing can be stored: a sentence.
    pub(crate) fn why(&self) -> Option<String> {
        self.state.lock().why.clone()
    }

    /// The same, once the disk has failed in a trial too: for people.
    pub(crate) fn shown(&self) -> Option<String> {
        let state = self.state.lock();
        state.why.clone().filter(|_| state.told)
    }

    /// Tries a disk that has failed, until the node stops.
    pub(crate) async fn watch(self, net: Net, notes: Notes, store: Store) {
        let mut trials = 0;
        loop {
            let pause = async {
                match trials {
                    0 => self.failed.notified().await,
                    more => tokio::time::sleep(PAUSES[(more - 1).min(PAUSES.len() - 1)]).await,
                }
            };
            tokio::select! {
                () = net.stop.cancelled() => return,
                () = pause => {}
            }
            let store = store.clone();
            let tried = net.tasks.spawn_blocking(move || store.probe()).await;
            let Ok(tried) = tried else { return };
            trials = match tried {
                // That there is no room is no fault of the disk.
                Err(error) if error.obstacle() == Some(Obstacle::SickDisk) => trials + 1,
                _ => 0,
            };
            let (why, told) = {
                let mut state = self.state.lock();
                let told = std::mem::replace(&mut state.told, trials > 0);
                (if trials > 0 { state.why.clone() } else { state.why.take() }, told)
            };
            let why = why.unwrap_or_default();
            match (trials, told) {
                (0, false) => tracing::warn!(%why, "the disk failed once and takes files again"),
                (0, true) => {
                    let text = "the disk of this node works again: it takes files again".to_owned();
                    tracing::info!("{text}");
                    notes.event(Level::Info, text).await;
                }
                (_, false) => {
                    let text = format!(
                        "the disk of this node fails, so other nodes hold what it should: {why}"
                    );
                    tracing::error!("{text}");
                    notes.event(Level::Error, text).await;
                }
                (_, true) => tracing::debug!(%why, "the disk fails still"),
            }
            notes.changed().await;
        }
    }
}
