//! Files that a user offers in place, without copies on the ring.
//!
//! Owns the index of shared files, the watching of their directories, their hashes,
//! and the records by which owners learn of them.
//!
//! It never changes or copies a shared file.
//!
//! Called by `client` for the commands, by `data` to serve such a file.

pub(crate) mod provide;
pub(crate) mod shares;
