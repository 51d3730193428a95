//! Where things are kept when nobody says otherwise (DESIGN §7): the data
//! directory of the platform (XDG on Linux), a directory for each address, so
//! that several nodes of one user never trip over each other.

use std::net::SocketAddr;
use std::path::PathBuf;

use directories::ProjectDirs;

/// The data directory of a node at this address, or `None` where the platform
/// names no home.
pub(super) fn data_dir(address: SocketAddr) -> Option<PathBuf> {
    Some(home()?.join(directory_name(address)))
}

/// The prompt's history, shared by all nodes of a user.
pub(super) fn history() -> Option<PathBuf> {
    Some(home()?.join("history"))
}

fn home() -> Option<PathBuf> {
    Some(ProjectDirs::from("", "", "chordal")?.data_dir().to_owned())
}

/// `<ip>-<port>`; the colons of an IPv6 address become dots, because some
/// systems know no file with a colon.
fn directory_name(address: SocketAddr) -> String {
    format!("{}-{}", address.ip().to_string().replace(':', "."), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_directory_of_its_own() {
        for (address, name) in [("127.0.0.1:2000", "127.0.0.1-2000"), ("[::1]:7", "..1-7")] {
            let address = address.parse().expect("an address");
            assert_eq!(directory_name(address), name);
        }
    }
}
