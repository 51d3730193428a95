//! What the parts of a node that are not the hub want on the screen. Each puts
//! its rows here when they change; the publisher takes them into the snapshot.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use chordal_view::{FileRow, HandingOver, PeerRow, RegistryRow, ScanRow, SearchRow, Sharing};

/// The rows. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct UiRows {
    rows: Arc<Mutex<Rows>>,
}

/// What a snapshot takes from them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows {
    /// Linked peers.
    pub(crate) peers: Arc<Vec<PeerRow>>,
    /// Registries, by address.
    pub(crate) registries: BTreeMap<SocketAddr, RegistryRow>,
    /// The last search.
    pub(crate) search: Option<Arc<SearchRow>>,
    /// The last scan.
    pub(crate) scan: Option<Arc<ScanRow>>,
    /// Files shared from here, by name.
    pub(crate) shared: Arc<Vec<FileRow>>,
    /// How many they are.
    pub(crate) sharing: Sharing,
    /// What a leave has yet to hand over.
    pub(crate) handing_over: Option<HandingOver>,
}

/// Whether two round trips, in microseconds, look the same to a person: they are within a
/// factor of two.
pub(crate) fn same_trip(before: Option<u64>, after: Option<u64>) -> bool {
    match (before, after) {
        (Some(b), Some(a)) => a <= b.saturating_mul(2) && b <= a.saturating_mul(2),
        (before, after) => before == after,
    }
}

impl UiRows {
    /// All rows as they are now.
    pub(crate) fn rows(&self) -> Rows {
        self.rows.lock().clone()
    }

    /// Changes them.
    pub(super) fn change(&self, change: impl FnOnce(&mut Rows)) {
        change(&mut self.rows.lock());
    }
}
