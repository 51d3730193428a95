//! What a person may write for a peer: `127.0.0.1:2000`, `:2000`, `2000`, a
//! host name with a port, or the start of a node's id.

use std::net::SocketAddr;

use tokio::net::lookup_host;

use crate::id::Space;
use crate::peer::Peer;
use crate::view::target;
use crate::view::text::quoted;

/// Finds the peer that `text` means, among the members known and beyond them.
///
/// A number that is a member's port or id means that member; otherwise a
/// number is a port of `host`, this node's own.
pub(super) async fn resolve(
    text: &str,
    host: SocketAddr,
    space: Space,
    members: &[Peer],
) -> Result<Peer, String> {
    if let Some(peer) = target::member(text, space, members)? {
        return Ok(peer);
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    if let Ok(port) = port.parse::<u16>() {
        return Ok(at(SocketAddr::new(host.ip(), port), members));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Ok(at(address, members));
    }
    if text.contains(':') {
        let found =
            lookup_host(text).await.map_err(|error| format!("{}: {error}", quoted(text)))?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_by_key(|address| address.is_ipv4() != host.is_ipv4());
        if let Some(address) = addresses.first() {
            return Ok(at(*address, members));
        }
    }
    Err(format!(
        "{} is no peer: give an address (127.0.0.1:2000), a port, or the start of a node's id",
        quoted(text)
    ))
}

/// The member at an address, or the address's first identity.
fn at(address: SocketAddr, members: &[Peer]) -> Peer {
    let member = members.iter().find(|peer| peer.address() == address);
    member.copied().unwrap_or_else(|| Peer::new(address, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_form_finds_its_peer() {
        let host: SocketAddr = "127.0.0.1:2000".parse().expect("an address");
        let space = Space::default();
        let peer = |port| Peer::new(([127, 0, 0, 1], port).into(), 0);
        // Ids: 2000 → 466, 2001 → 48, 2002 → 495.
        let members = [peer(2001), peer(2000), peer(2002)];
        for (text, expected) in [
            ("127.0.0.1:2001", peer(2001)),
            (":2001", peer(2001)),
            ("2001", peer(2001)),
            ("48", peer(2001)),
            ("466", peer(2000)),
            ("49", peer(2002)),
            ("5000", peer(5000)),
            ("localhost:7000", peer(7000)),
        ] {
            assert_eq!(resolve(text, host, space, &members).await, Ok(expected), "{text}");
        }
        assert!(resolve("4", host, space, &members).await.expect_err("ambiguous").contains("466"));
        assert!(resolve("nobody", host, space, &members).await.is_err());
    }
}
