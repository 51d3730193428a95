//! One node's part in one search over the ring.
