//! The places of data connections that other sides made.
//!
//! Until a request has come as a whole, its connection has a place among those that ask and
//! costs no thread; while it is answered it has one among those that cost a thread each. An
//! accepted connection comes here for each of its requests, so whatever is asked of it before
//! it may cost more belongs here.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use chordal_core::wire::data::DataRequest;
use chordal_descriptors as descriptors;
use chordal_descriptors::Spare;

use super::plane::{DataConnection, DataError};
use crate::net::connection_slots::ConnectionSlots;

/// Requests that are answered at once, each by a thread. Further ones wait.
const MAX_ANSWERED: usize = 128;

/// Requests, those included that wait for a thread.
const MAX_REQUESTS: usize = 2 * MAX_ANSWERED;

/// File descriptors that a node needs beside those of data connections: its store, its
/// log, its listener and its runtime, and control connections of a small ring.
const OTHER_DESCRIPTORS: u64 = 32;

/// File descriptors that a request may need: its connection, the file, and the next
/// node of a chain.
const DESCRIPTORS_OF_A_REQUEST: u64 = 4;

/// The places for data connections of one node.
#[derive(Debug)]
pub(crate) struct Places {
    /// Of connections from which no whole request has come.
    asking: ConnectionSlots,
    /// Of requests.
    requests: Semaphore,
    /// Of those that are answered.
    answered: Semaphore,
}

impl Spare for Places {
    /// Ends the connection that asks nothing for the longest time, of the host that has the most.
    fn give_up(&self) -> bool {
        self.asking.give_up(0)
    }
}

/// The place of a request that is answered, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    _places: [SemaphorePermit<'a>; 2],
}

impl Places {
    /// As many as this process may have file descriptors for: requests that are answered hold
    /// some and wait for others, so all of them together must find enough.
    pub(crate) fn new() -> Arc<Places> {
        let most = |count: u64, most: usize| usize::try_from(count).map_or(most, |n| n.min(most));
        let limit = descriptors::limit().unwrap_or(u64::MAX);
        let answered = limit.saturating_sub(OTHER_DESCRIPTORS) / DESCRIPTORS_OF_A_REQUEST;
        let requests = most((limit / 2).max(2), MAX_REQUESTS);
        let places = Arc::new(Places {
            // Each has two descriptors.
            asking: ConnectionSlots::new(requests / 2),
            requests: Semaphore::new(requests),
            answered: Semaphore::new(most(answered.max(2), MAX_ANSWERED)),
        });
        descriptors::spare(&places);
        places
    }

    /// Waits for the next request of a connection that `host` made, and for a place to answer
    /// it. `None`: it did not come in time, or others need the place more.
    pub(crate) async fn next(
        &self,
        connection: &DataConnection,
        host: IpAddr,
        at_most: Duration,
    ) -> Result<Option<(DataRequest, Place<'_>)>, DataError> {
        let mut asking = self.asking.take(host);
        let request = tokio::select! {
            () = asking.lost() => return Ok(None),
            received = timeout(at_most, connection.receive_request()) => match received {
                Ok(request) => request?,
                Err(_) => return Ok(None),
            },
        };
        drop(asking);
        let Ok(place) = self.requests.try_acquire() else {
            tracing::warn!("a data connection was closed: there are too many");
            return Ok(None);
        };
        let answered = self.answered.acquire().await;
        Ok(answered.ok().map(|answered| (request, Place { _places: [place, answered] })))
    }
}
