//! The lines of the events panel: what happened, at which level, and which step of
//! the protocol caused it.

use serde::{Deserialize, Serialize};

/// How important an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Level {
    /// Of interest when one watches the protocol.
    Detail,
    /// Another node or a client asked this node for something.
    Traffic,
    /// Something happened.
    Info,
    /// Something to keep an eye on.
    Warn,
    /// Something failed.
    Error,
}

/// The step of the protocol behind an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The node became a member.
    Joined,
    /// Its place was taken; it has another identifier now.
    Renamed,
    /// It took over another ring's parameters.
    Adopted,
    /// It left in order.
    Left,
    /// No other node is known any more.
    Alone,
    /// Its predecessor changed.
    Predecessor,
    /// Its first successor changed.
    Successor,
    /// Its successor list changed.
    Successors,
    /// A finger changed.
    Finger,
    /// A peer did not answer.
    Dropped,
    /// A lookup asked the next node.
    Hop,
    /// Another ring was met.
    Merged,
    /// A file's copies were counted.
    Copies,
    /// A file is kept here now, or its removal is.
    Kept,
    /// A file was given up to those it belongs to.
    Given,
    /// A copy could not be made.
    KeepFailed,
    /// A holder has no room.
    NoRoom,
    /// A version held here lost against a higher one that was made without knowing of it.
    Beaten,
    /// No known node holds a version any more.
    Forgotten,
    /// A file's bytes here are damaged.
    Damaged,
    /// A damaged file is whole again.
    Restored,
    /// A user sent a message to everyone.
    Said,
    /// There is a link with a peer.
    Linked,
    /// The link with a peer ended.
    Unlinked,
    /// A registry was reached, was lost, or told of peers.
    Registry,
    /// What this node shares changed.
    Shared,
    /// A peer is trusted less, or again.
    Trust,
}

/// A line of the events panel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UiEvent {
    /// Milliseconds since the Unix epoch.
    pub unix_ms: u64,
    /// How important it is.
    pub level: Level,
    /// The step of the protocol behind it, if one is.
    pub step: Option<Step>,
    /// One sentence. Cleaned of control characters at its source.
    pub text: String,
}
