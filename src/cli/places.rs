//! Where a user's own things are kept; a node's are
//! [`chordal_engine::default_data_dir`].

use std::path::PathBuf;

use directories::ProjectDirs;

/// The prompt's history, shared by all nodes of a user.
pub(super) fn history() -> Option<PathBuf> {
    Some(home()?.join("history"))
}

/// The settings of a user.
pub(super) fn settings() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "chordal")?.config_dir().join("config.toml"))
}

fn home() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "chordal")?.data_dir().to_owned())
}
