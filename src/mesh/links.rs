//! Whom to be linked with, and whether they live.
