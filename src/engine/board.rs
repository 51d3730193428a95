//! What the parts of a node that are not the hub want on the screen. Each puts
//! its rows here when they change; the publisher takes them into the snapshot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::view::{FileRow, HandingOver, PeerRow, RegistryRow, ScanRow, SearchRow, Sharing};

use super::shared::{Input, Shared};

/// The rows. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Board {
    rows: Arc<Mutex<Rows>>,
}

/// What a snapshot takes from the board.
#[derive(Clone, Debug, Default)]
pub(super) struct Rows {
    /// Linked peers.
    pub(super) peers: Arc<Vec<PeerRow>>,
    /// Registries, by address.
    pub(super) registries: BTreeMap<SocketAddr, RegistryRow>,
    /// The last search.
    pub(super) search: Option<Arc<SearchRow>>,
    /// The last scan.
    pub(super) scan: Option<Arc<ScanRow>>,
    /// Files shared from here, by name.
    pub(super) shared: Arc<Vec<FileRow>>,
    /// How many they are.
    pub(super) sharing: Sharing,
    /// What a leave has yet to hand over.
    pub(super) handing_over: Option<HandingOver>,
}

impl Board {
    /// All rows as they are now.
    pub(super) fn rows(&self) -> Rows {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Changes rows of the board and has them published. Never waits.
    pub(super) fn show(&self, change: impl FnOnce(&mut Rows)) {
        change(&mut self.board.lock());
        // A hub that is too busy to hear this publishes soon anyhow.
        let _ = self.hub.try_send(Input::Changed);
    }
}
