//! Why a command failed, from the node that finds out to the command line of the user.
//!
//! The type travels ([`crate::wire::Response::Failed`],
//! [`crate::wire::data::DataResponse::Failed`]). Programs decide by its variants and
//! reasons; its sentences are for people, and no function reads one.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Why a command has not done what it was asked for. The text is one sentence: what failed,
/// on what, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum CommandError {
    /// Its user stopped it, or the process was told to end.
    #[error("{by}{}", kept.as_deref().map(|kept| format!(": {kept}")).unwrap_or_default())]
    Stopped {
        /// Who or what stopped it.
        by: StoppedBy,
        /// What was done and is kept, and how to go on; `None` if nothing is.
        kept: Option<String>,
    },
    /// The node that carries it out is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// Its words mean nothing. Exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It was understood, and cannot be done.
    #[error("{why}")]
    Refused {
        /// What programs decide by.
        reason: Reason,
        /// The sentence for the user.
        why: String,
    },
    /// Another program is to blame.
    #[error("{address} {fault}")]
    Peer {
        /// Its address.
        address: SocketAddr,
        /// What it did.
        fault: Fault,
    },
    /// The disk of the node failed, or cannot take what it was to store.
    #[error("{0}")]
    Disk(String),
    /// A file or directory of the user.
    #[error("{fault}", fault = fault.said_of(path))]
    Local {
        /// Its path, as it is shown.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// The program is to blame.
    #[error("{0}; this is a bug: please report it")]
    Bug(String),
}

/// Who or what stopped a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum StoppedBy {
    /// Its user, who wants nothing of it.
    #[error("cancelled")]
    User,
    /// The end of the process: what was done is kept.
    #[error("interrupted")]
    Process,
}

/// Why a command that was understood cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// There is no file, transfer or link of that name.
    NotFound,
    /// The name has other content, and `--overwrite` was not given.
    Exists,
    /// The name stands for several contents.
    Ambiguous,
    /// Another node owns the name now: ask that one.
    NotOwner,
    /// The name was stored again or removed meanwhile.
    Superseded,
    /// There are nodes that should have the content, and none delivered it.
    NoSource,
    /// Too few copies were made. Those that were made stay.
    TooFewCopies,
    /// No node that should store the content can.
    NoRoom,
    /// Some of its files failed; those that did not are done.
    Partial,
    /// The node is on no ring, or joining or leaving one.
    NotMember,
    /// What is asked for is so already, or not possible in the present state.
    State,
    /// Only another program may ask for it: one on the same machine, or a member.
    NotAllowed,
    /// More than a limit allows.
    Limit,
    /// The ring is changing, or the node has too much to do: try again.
    TryAgain,
}

/// What another program did.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Fault {
    /// There is no connection to it.
    #[error("is inactive: {0}; is a node running there?")]
    Absent(Absence),
    /// There is none, for a reason of this machine's or a rare one: the system's words.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer a question in time.
    #[error("does not answer")]
    NoAnswer,
    /// It closed the connection.
    #[error("does not answer: it closed the connection")]
    Closed,
    /// It is another program, or another version of this one.
    #[error("is not chordal: it {0}; is the address right?")]
    NotChordal(String),
    /// It is a member of no ring, or does not say that it is.
    #[error("does not answer as a member of a ring; check the address, or try another member")]
    NotMember,
    /// It refuses the connection.
    #[error("refuses: {0}")]
    Refuses(String),
    /// Its answer does not fit the question.
    #[error("answered something else than what was asked; do both run the same version?")]
    Unfit,
    /// It is the owner of a name no more.
    #[error("no longer owns the name")]
    NotOwner,
    /// A connection to it broke, or it broke the rules on one.
    #[error("failed: {0}")]
    Broken(String),
    /// It pages through a list that does not end.
    #[error("lists its files without end")]
    Endless,
    /// What else it did, as the end of a sentence that begins with its address.
    #[error("{0}")]
    Other(String),
}

/// Why there is no connection to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Absence {
    /// The connection was refused.
    #[error("connection refused")]
    Refused,
    /// No answer came in time.
    #[error("no answer in time")]
    Silent,
    /// The system has no route to the host.
    #[error("no route to host")]
    NoRoute,
}

/// What is wrong with a file or directory of the user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PathFault {
    /// It cannot be read: the system's words.
    Unreadable(String),
    /// It is not shared, for this reason.
    Unshareable(String),
    /// It changed while it was being stored.
    Changed,
    /// What else, as the end of a sentence that begins with the path.
    Other(String),
}

impl PathFault {
    fn said_of(&self, path: &str) -> String {
        match self {
            PathFault::Unreadable(error) => format!("cannot read {path}: {error}"),
            PathFault::Unshareable(why) => format!("cannot share {path}: {why}"),
            PathFault::Changed => {
                format!("{path} changed while it was being stored; put it again")
            }
            PathFault::Other(what) => format!("{path} {what}"),
        }
    }
}

impl CommandError {
    /// A command that its user stopped, with nothing kept.
    pub const CANCELLED: CommandError = CommandError::Stopped { by: StoppedBy::User, kept: None };

    /// A command that the end of the process stopped, with nothing to tell of.
    pub const INTERRUPTED: CommandError =
        CommandError::Stopped { by: StoppedBy::Process, kept: None };

    /// An error of another program.
    pub const fn peer(address: SocketAddr, fault: Fault) -> CommandError {
        CommandError::Peer { address, fault }
    }

    /// An error of a file or directory of the user.
    pub fn local(path: &Path, fault: PathFault) -> CommandError {
        CommandError::Local { path: path.display().to_string(), fault }
    }

    /// The reason of a refusal.
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            CommandError::Refused { reason, .. } => Some(*reason),
            _ => None,
        }
    }

    /// The kind of error, for scripts: `"kind"` in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            CommandError::Stopped { by: StoppedBy::User, .. } => "cancelled",
            CommandError::Stopped { by: StoppedBy::Process, .. } => "interrupted",
            CommandError::Stopping => "stopping",
            CommandError::Usage(_) => "usage",
            CommandError::Refused { reason, .. } => reason.kind(),
            CommandError::Peer { .. } => "peer",
            CommandError::Disk(_) => "disk",
            CommandError::Local { .. } => "local",
            CommandError::Bug(_) => "bug",
        }
    }
}

impl Reason {
    /// A refusal for this reason, with its sentence.
    pub fn because(self, why: impl Into<String>) -> CommandError {
        CommandError::Refused { reason: self, why: why.into() }
    }

    /// The reason as a word for scripts.
    pub const fn kind(self) -> &'static str {
        match self {
            Reason::NotFound => "not-found",
            Reason::Exists => "exists",
            Reason::Ambiguous => "ambiguous",
            Reason::NotOwner => "not-owner",
            Reason::Superseded => "superseded",
            Reason::NoSource => "no-source",
            Reason::TooFewCopies => "too-few-copies",
            Reason::NoRoom => "no-room",
            Reason::Partial => "partial",
            Reason::NotMember => "not-member",
            Reason::State => "state",
            Reason::NotAllowed => "not-allowed",
            Reason::Limit => "limit",
            Reason::TryAgain => "try-again",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_is_one_sentence_with_its_subject() {
        let address = SocketAddr::from(([127, 0, 0, 1], 2000));
        let kept = Some("1 of 2 files are stored; the same put goes on where it was".to_owned());
        for (error, kind, text) in [
            (CommandError::CANCELLED, "cancelled", "cancelled"),
            (
                CommandError::Stopped { by: StoppedBy::Process, kept },
                "interrupted",
                "interrupted: 1 of 2 files are stored; the same put goes on where it was",
            ),
            (
                CommandError::peer(address, Fault::Absent(Absence::NoRoute)),
                "peer",
                "127.0.0.1:2000 is inactive: no route to host; is a node running there?",
            ),
            (
                Reason::NotFound.because("no file named x is on the ring"),
                "not-found",
                "no file named x is on the ring",
            ),
            (
                CommandError::Local {
                    path: "a.iso".to_owned(),
                    fault: PathFault::Unreadable("permission denied".to_owned()),
                },
                "local",
                "cannot read a.iso: permission denied",
            ),
        ] {
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        }
    }
}
