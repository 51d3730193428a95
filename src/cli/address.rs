//! Addresses as people type them.
//!
//! All of `127.0.0.1:2000`, `127.0.0.1 2001` (two words, as in the labs that
//! this program grew from), `:2001`, `2001`, `[::1]:2000` and
//! `localhost:2000` name a node. A host name is looked up once, at the start;
//! what counts on the ring is the address behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};

use chordal_view::target::{self, Host};

/// The port of a node when nobody names one.
pub(super) const DEFAULT_PORT: u16 = 2000;

/// Where a node listens, and whom a client asks, when nobody says otherwise.
pub(super) const DEFAULT: SocketAddr =
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), DEFAULT_PORT);

/// [`DEFAULT`] as the help shows it.
pub(super) const DEFAULT_TEXT: &str = "127.0.0.1:2000";

/// Why a text is not an address.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadAddress {
    /// Nothing that looks like an address.
    #[error("'{0}' is not an address; write HOST:PORT, :PORT or PORT, such as 127.0.0.1:2000")]
    NotAnAddress(String),
    /// Nearly one: one sentence.
    #[error("{0}")]
    Malformed(String),
    /// A port without the host that it belongs to.
    #[error("'{0}' names a port already; leave out '{1}'")]
    TwoPorts(String, String),
    /// The host's name leads nowhere.
    #[error("cannot find the host '{host}': {why}; check its name or give its IP address")]
    Unknown {
        /// The name.
        host: String,
        /// What the system said.
        why: String,
    },
}

/// Reads one word.
pub(super) fn parse(text: &str) -> Result<SocketAddr, BadAddress> {
    let (host, port) = target::place(text).map_err(BadAddress::Malformed)?;
    if let (Some(Host::Name(name)), None) = (&host, port)
        && !name.eq_ignore_ascii_case("localhost")
    {
        // A mistyped command is never sent to a name server.
        return Err(BadAddress::NotAnAddress(text.to_owned()));
    }
    resolve(host, port.unwrap_or(DEFAULT_PORT))
}

/// Reads the address that a node advertises: without a port it is port 0, which stands for
/// the one on which the node listens.
pub(super) fn parse_advertised(text: &str) -> Result<SocketAddr, BadAddress> {
    let (host, port) = target::place(text).map_err(BadAddress::Malformed)?;
    resolve(host, port.unwrap_or(0))
}

/// Reads a host and, as a second word, its port.
pub(super) fn parse_pair(host: &str, digits: &str) -> Result<SocketAddr, BadAddress> {
    let read = target::any_host(host).map_err(|why| match target::place(host) {
        Ok((_, Some(_))) if host.contains(':') => {
            BadAddress::TwoPorts(host.to_owned(), digits.to_owned())
        }
        // A word of digits is a port everywhere else, never a host.
        Ok(_) => BadAddress::NotAnAddress(host.to_owned()),
        Err(_) => BadAddress::Malformed(why),
    })?;
    let port = target::any_port(digits).map_err(BadAddress::Malformed)?;
    resolve(Some(read), port)
}

/// Whether a single word has the form of an address, right or wrong: what is
/// not may be a mistyped command. Asks no name server.
pub(super) fn has_form(word: &str) -> bool {
    word.contains(':') || word.eq_ignore_ascii_case("localhost") || target::is_like_ipv4(word)
}

/// Looks a host's name up; an IPv4 address comes before an IPv6 one, because
/// the address is hashed into the node's id and `localhost` should mean the
/// same node on every machine.
fn resolve(host: Option<Host>, port: u16) -> Result<SocketAddr, BadAddress> {
    let host = match host {
        None => return Ok(SocketAddr::new(DEFAULT.ip(), port)),
        Some(Host::Ip(ip)) => return Ok(SocketAddr::new(ip, port)),
        Some(Host::Name(name)) => name,
    };
    let unknown = |why: String| BadAddress::Unknown { host: host.clone(), why };
    let found: Vec<SocketAddr> = (host.as_str(), port)
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?
        .collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| unknown("it has no address".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match parse(text) {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_form_of_the_manual_names_a_node() {
        assert_eq!(read(DEFAULT_TEXT), DEFAULT.to_string());
        for (text, address) in [
            ("127.0.0.1:2000", "127.0.0.1:2000"),
            (":2001", "127.0.0.1:2001"),
            ("2001", "127.0.0.1:2001"),
            ("0", "127.0.0.1:0"),
            ("[::1]:2000", "[::1]:2000"),
            ("::1", "[::1]:2000"),
            ("10.0.0.7", "10.0.0.7:2000"),
            ("localhost:2000", "127.0.0.1:2000"),
            ("LOCALHOST", "127.0.0.1:2000"),
        ] {
            assert_eq!(read(text), address, "{text}");
        }
    }

    #[test]
    fn a_host_and_a_port_may_be_two_words() {
        for (host, port, address) in [
            ("127.0.0.1", "2001", "127.0.0.1:2001"),
            ("localhost", "2001", "127.0.0.1:2001"),
            ("::1", "2001", "[::1]:2001"),
            ("[::1]", "2001", "[::1]:2001"),
        ] {
            let parsed = parse_pair(host, port).expect("an address");
            assert_eq!(parsed.to_string(), address);
        }
        assert!(matches!(parse_pair("127.0.0.1:2000", "2001"), Err(BadAddress::TwoPorts(..))));
        assert!(matches!(parse_pair("2000", "2001"), Err(BadAddress::NotAnAddress(_))));
        let no_port = parse_pair("127.0.0.1", "http").expect_err("no number").to_string();
        assert_eq!(no_port, "'http' is not a port; use a number from 0 to 65535");
        assert!(parse_pair("10.1", "2000").expect_err("two parts").to_string().contains("four"));
    }

    #[test]
    fn an_advertised_host_needs_no_port() {
        for (text, address) in [
            ("10.0.0.8", "10.0.0.8:0"),
            ("10.0.0.8:2000", "10.0.0.8:2000"),
            ("::1", "[::1]:0"),
            ("localhost", "127.0.0.1:0"),
        ] {
            assert_eq!(parse_advertised(text).expect(text).to_string(), address);
        }
        assert!(parse_advertised("10.8").is_err());
    }

    #[test]
    fn what_is_no_address_is_refused_with_the_forms_that_are() {
        for text in ["", "jion", "a b:1", "http://x:1", "127.0.0.1:2000:1", "10.1", "10.1:2000"] {
            let said = read(text);
            assert!(said.starts_with(&format!("'{text}'")) || said.contains(" is no "), "{said}");
        }
        assert!(matches!(parse("jion"), Err(BadAddress::NotAnAddress(_))));
        assert_eq!(read("70000"), "'70000' is not a port; use a number from 0 to 65535");
        assert_eq!(read(":x"), "'x' is not a port; use a number from 0 to 65535");
    }
}
