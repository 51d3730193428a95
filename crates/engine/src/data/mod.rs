//! Bytes of files on their way between nodes.
//!
//! Owns data connections, fetches from several sources, chains of an upload, the
//! transfers shown, rates, and which peers bytes do not reach.
//!
//! It never decides which node holds a file, and never reads or writes a record:
//! the core and the store do.
//!
//! Called by `client` for a user's transfers and by `node` for copies.

pub(crate) mod eager;
pub(crate) mod fetch;
pub(crate) mod forward;
pub(crate) mod full_owner;
pub(crate) mod idle;
pub(crate) mod limits;
pub(crate) mod local_copy;
pub(crate) mod plane;
pub(crate) mod reach;
pub(crate) mod relay;
pub(crate) mod serve_data;
pub(crate) mod transfers;
