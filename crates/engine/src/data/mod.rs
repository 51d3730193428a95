//! Bytes of files on their way between nodes, and what of them is here.
//!
//! Owns data connections, fetches from several sources, chains of an upload, rates,
//! which peers bytes do not reach, how far each source is trusted, and the way into a
//! ring over which all that is asked ([`access`]). [`Data`] is its handle.
//!
//! It never decides which node holds a file, and never reads or writes a record:
//! the core and the store do.
//!
//! Called by `client` for a user's transfers, by `overlay` to ask other nodes, and by
//! `node` for copies.

use std::sync::Arc;

use chordal_core::wire::handshake::Purpose;
use chordal_store::Store;

use crate::inputs::core::Core;
use crate::inputs::notes::Notes;
use crate::net::handle::Net;
use crate::sharing::shares::handle::Shares;
use crate::transfers::Transfers;
use crate::upkeep::suspect_blobs::SuspectBlobs;
use crate::upkeep::uncommitted::Uncommitted;

use disk_health::DiskHealth;
use fetch::Fetcher;
use idle::Idle;
use limits::Limits;
use local_copy::Downloads;
use plane::DataPlane;
use reach::Reach;
use reputation::Reputations;
use signs::Signs;

pub(crate) mod access;
pub(crate) mod commit;
pub(crate) mod disk_health;
pub(crate) mod eager;
pub(crate) mod fetch;
pub(crate) mod forward;
pub(crate) mod full_owner;
pub(crate) mod idle;
pub(crate) mod limits;
pub(crate) mod local_copy;
pub(crate) mod owner;
pub(crate) mod params;
pub(crate) mod places;
pub(crate) mod plane;
pub(crate) mod reach;
pub(crate) mod relay;
pub(crate) mod reputation;
pub(crate) mod serve_data;
pub(crate) mod signs;

/// What a node moves bytes with. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    /// Its connections.
    pub(crate) net: Net,
    /// What people are told.
    pub(crate) notes: Notes,
    /// To the core.
    pub(crate) core: Core,
    /// Running and recent transfers.
    pub(crate) transfers: Transfers,
    /// The disk.
    pub(crate) store: Store,
    /// Whether that takes what is stored.
    pub(crate) disk: DiskHealth,
    /// Files shared from where they lie.
    pub(crate) shares: Shares,
    /// Contents that seem to be damaged here.
    pub(crate) suspects: SuspectBlobs,
    /// Contents that came over a chain and wait for a record.
    pub(crate) uncommitted: Uncommitted,
    /// What this node's user has downloaded and is downloading.
    pub(crate) downloads: Downloads,
    /// Copies without which this node acknowledges no put.
    pub(crate) min_copies: u8,
    /// How far each peer is trusted with downloads.
    pub(crate) reputations: Reputations,
    /// From whom files' bytes came of late.
    pub(crate) signs: Signs,
    /// Data connections that wait for a further request.
    pub(crate) idle: Idle,
    /// To whom they are made.
    pub(crate) reach: Reach,
    /// How fast they may be, all together.
    pub(crate) limits: Limits,
}

impl Data {
    /// This node's end of data connections.
    pub(crate) fn plane(&self) -> DataPlane {
        DataPlane {
            hello: self.net.me().hello(Purpose::Data),
            counters: Arc::clone(&self.net.counters),
            signs: self.signs.clone(),
            shutdown: self.net.shutdown.clone(),
            idle: self.idle.clone(),
            limits: self.limits.clone(),
            reach: self.reach.clone(),
            patient: false,
        }
    }

    /// What this node fetches something of that name with.
    pub(crate) fn fetcher(&self, name: &str) -> Fetcher {
        Fetcher {
            name: name.to_owned(),
            plane: DataPlane { patient: true, ..self.plane() },
            reputations: self.reputations.clone(),
            events: Some(self.notes.clone()),
            from_anybody: false,
        }
    }
}
