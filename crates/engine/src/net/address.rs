//! What a person may write for a peer: `127.0.0.1:2000`, `:2000`, `2000`, a
//! host name with a port, or the start of a node's id.

use std::net::SocketAddr;

use tokio::net::lookup_host;

use chordal_core::error::{CommandError, Reason};
use chordal_core::id::Space;
use chordal_core::peer::Peer;
use chordal_view::target::{self, Host};
use chordal_view::text::quoted;

/// Finds the peer that `text` means, among the members known and beyond them.
///
/// A number that is a member's port or id means that member; otherwise a
/// number is a port of `host`, this node's own.
pub(crate) async fn resolve(
    text: &str,
    host: SocketAddr,
    space: Space,
    members: &[Peer],
) -> Result<Peer, CommandError> {
    if let Some(peer) = target::member(text, space, members).map_err(CommandError::Usage)? {
        return Ok(peer);
    }
    let (place, port) = match target::place(text) {
        Ok((place, Some(port))) => (place, port),
        Err(why) if text.contains(':') || target::is_like_ipv4(text) => {
            return Err(CommandError::Usage(why));
        }
        _ => return Err(no_peer(text)),
    };
    let name = match place {
        None => return Ok(at(SocketAddr::new(host.ip(), port), members)),
        Some(Host::Ip(ip)) => return Ok(at(SocketAddr::new(ip, port), members)),
        Some(Host::Name(name)) => name,
    };
    let found = lookup_host((name.as_str(), port)).await;
    let found =
        found.map_err(|error| Reason::NotFound.because(format!("{}: {error}", quoted(text))))?;
    let mut addresses: Vec<SocketAddr> = found.collect();
    addresses.sort_by_key(|address| address.is_ipv4() != host.is_ipv4());
    let first = addresses.first().ok_or_else(|| no_peer(text))?;
    Ok(at(*first, members))
}

fn no_peer(text: &str) -> CommandError {
    CommandError::Usage(format!(
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
        assert!(
            resolve("4", host, space, &members)
                .await
                .expect_err("ambiguous")
                .to_string()
                .contains("466")
        );
        for text in ["10.1:2000", "0x7f.1:2000", "127.0.0.01:2000", "10.1"] {
            let refused = resolve(text, host, space, &members).await.expect_err(text).to_string();
            assert!(refused.contains("four decimal numbers"), "{refused}");
        }
        assert!(resolve("nobody", host, space, &members).await.is_err());
    }
}
