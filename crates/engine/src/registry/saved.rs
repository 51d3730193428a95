//! The list on disk: `peers.toml` in the registry's data directory.

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::net::start_error::StartError;
use chordal_core::id::Space;
use chordal_core::registry::list::List;
use chordal_core::wire::handshake::Params;
use chordal_core::wire::registry::Listed;
use chordal_store as store;

const FILE: &str = "peers.toml";

/// The first lines of the file.
const HEAD: &str = "# The peers of a registry, checked at its next start. Written by chordal.\n";

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct File {
    #[serde(default)]
    peers: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Row {
    address: SocketAddr,
    index: u16,
    ring: String,
    bits: u8,
    replicas: u8,
    member: bool,
    since_unix_s: u64,
}

/// What the directory holds.
#[derive(Debug)]
pub(super) struct Saved {
    /// Keeps other processes out of the directory.
    pub(super) lock: store::Lock,
    /// Each with the seconds since the Unix epoch when it came.
    pub(super) peers: Vec<(Listed, u64)>,
    /// What was wrong with the file.
    pub(super) note: Option<String>,
}

/// Takes the directory for this process and reads the file. One that is damaged
/// is no list: all peers that are there come again.
pub(super) fn load(dir: &Path) -> Result<Saved, StartError> {
    fs::create_dir_all(dir).map_err(|error| {
        StartError::Store(format!(
            "cannot create {}: {error}; choose another place with --data-dir",
            dir.display()
        ))
    })?;
    let lock = store::lock(dir).map_err(|error| StartError::Store(error.to_string()))?;
    let path = dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Saved { lock, peers: Vec::new(), note: None });
        }
        Err(error) => {
            return Err(StartError::Store(format!(
                "cannot read {}: {error}; check its permissions or choose another --data-dir",
                path.display()
            )));
        }
    };
    let file: File = match toml::from_str(&text) {
        Ok(file) => file,
        Err(error) => {
            let line = error.message();
            let note = format!("{} is damaged ({line}): the list begins empty", path.display());
            return Ok(Saved { lock, peers: Vec::new(), note: Some(note) });
        }
    };
    let peers = file.peers.into_iter().filter_map(|row| {
        let params =
            Params { ring: row.ring, space: Space::new(row.bits)?, replicas: row.replicas };
        let Row { address, index, member, since_unix_s, .. } = row;
        Some((Listed { address, index, params, member }, since_unix_s))
    });
    Ok(Saved { lock, peers: peers.collect(), note: None })
}

/// The file's text for a list.
pub(super) fn text(list: &List) -> Result<String, toml::ser::Error> {
    let peers = list.entries().map(|entry| {
        let Listed { address, index, params, member } = &entry.listed;
        Row {
            address: *address,
            index: *index,
            ring: params.ring.clone(),
            bits: params.space.bits(),
            replicas: params.replicas,
            member: *member,
            since_unix_s: entry.since_unix_s,
        }
    });
    toml::to_string(&File { peers: peers.collect() })
}

/// Replaces the file in one step.
pub(super) fn write(dir: &Path, text: &str) -> std::io::Result<()> {
    store::replace_text(&dir.join(FILE), HEAD, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chordal_core::registry::list::Check;
    use chordal_core::time::Time;

    #[test]
    fn a_list_is_read_as_it_was_written_and_damage_is_named() {
        let dir = tempfile::tempdir().expect("a directory");
        let params = Params { ring: "a\"b".to_owned(), space: Space::default(), replicas: 3 };
        let address = "[::1]:2000".parse().expect("an address");
        let listed = Listed { address, index: 2, params, member: true };
        let mut list = List::default();
        list.checked(Time::ZERO, 77, address, Check::Alive(listed.clone()));
        assert!(load(dir.path()).expect("nothing yet").peers.is_empty());
        write(dir.path(), &text(&list).expect("a text")).expect("written");
        assert_eq!(load(dir.path()).expect("read").peers, [(listed, 77)]);
        write(dir.path(), "peers = 7").expect("written");
        let saved = load(dir.path()).expect("it can be opened");
        assert!(saved.peers.is_empty() && saved.note.is_some());
        let file = dir.path().join(FILE);
        assert!(matches!(load(&file), Err(StartError::Store(_))), "a file is no directory");
        let again = load(dir.path()).expect_err("the directory is in use");
        assert!(again.to_string().contains("used by another chordal"), "{again}");
        drop(saved);
        assert!(load(dir.path()).is_ok());
    }
}
