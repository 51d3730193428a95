//! What the node's own questions are for.

use super::replicas::FileAsk;

/// What an open question is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Asked for the files.
    Files(FileAsk),
}
