//! What people write for a place: a host, ports such as `5003` or `5000-5009`, a
//! member of the ring, a key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use chordal_core::id::{Id, Space};
use chordal_core::limits::MAX_SCAN_PORTS;
use chordal_core::name::FileName;
use chordal_core::peer::Peer;

use super::format::{clean, quoted};

/// Where the labs that this project grew from have their nodes.
const LAB: RangeInclusive<u16> = 5000..=5009;

/// Ports that share all digits but the last.
const DECADE: u16 = 10;

/// A host, not looked up yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// By its address.
    Ip(IpAddr),
    /// By its name.
    Name(String),
}

/// Reads the host of a scan; `Err` says in one sentence what is wrong. Asks no name
/// server.
pub fn host(text: &str) -> Result<Host, String> {
    let shown = clean(text);
    if text.is_empty() || is_number(text) {
        return Err(format!("'{shown}' is no host; ports are one word, such as 5000-5009"));
    }
    match any_host(text) {
        Ok(Host::Ip(ip)) if ip.is_unspecified() || ip.is_multicast() => {
            Err(format!("{ip} does not stand for one host; give the address of one"))
        }
        Err(_) if text.contains(':') => {
            Err(format!("'{shown}' is no host; write host and ports as two words"))
        }
        host => host,
    }
}

/// Reads a host alone: an IPv4 address of four decimal numbers, an IPv6 address with or
/// without brackets, or a name. `Err` says in one sentence what is wrong.
///
/// The system's own reading of names is never asked about what may be a number: it
/// takes `10.1` for 10.0.0.1 and `010.0.0.1` for 8.0.0.1.
pub fn any_host(text: &str) -> Result<Host, String> {
    let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if let Ok(ip) = bracketed.unwrap_or(text).parse::<Ipv6Addr>() {
        return Ok(Host::Ip(ip.into()));
    }
    let shown = clean(text);
    if is_like_ipv4(text) {
        return text.parse::<Ipv4Addr>().map(|ip| Host::Ip(ip.into())).map_err(|_| {
            format!(
                "'{shown}' is no IPv4 address: it takes four decimal numbers from 0 to 255 without \
                 leading zeros, such as 127.0.0.1"
            )
        });
    }
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    if !text.split('.').all(label) || !text.bytes().any(|byte| byte.is_ascii_alphabetic()) {
        return Err(format!(
            "'{shown}' is no host; write an IPv4 address, an IPv6 address in brackets, or a name"
        ));
    }
    Ok(Host::Name(text.to_owned()))
}

/// Reads a place in one word: a host, a port, or both. `Err` says in one sentence what is
/// wrong. Asks no name server.
pub fn place(text: &str) -> Result<(Option<Host>, Option<u16>), String> {
    let shown = clean(text);
    if is_number(text) {
        return Ok((None, Some(any_port(text)?)));
    }
    if let Some(rest) = text.strip_prefix(':')
        && !rest.contains(':')
    {
        return Ok((None, Some(any_port(rest)?)));
    }
    if let Some((inner, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        let port = match rest.strip_prefix(':') {
            Some(digits) => Some(any_port(digits)?),
            None if rest.is_empty() => None,
            None => return Err(no_place(&shown)),
        };
        let ip = inner.parse::<Ipv6Addr>().map_err(|_| no_place(&shown))?;
        return Ok((Some(Host::Ip(ip.into())), port));
    }
    match text.rsplit_once(':') {
        None => Ok((Some(any_host(text)?), None)),
        Some((before, last)) if before.contains(':') => {
            let whole = text.parse::<Ipv6Addr>().map_err(|_| no_place(&shown))?;
            if before.parse::<Ipv6Addr>().is_ok() && is_number(last) {
                return Err(format!(
                    "'{shown}' is an address, or an address and a port; write [{before}]:{last} or \
                     [{text}]"
                ));
            }
            Ok((Some(Host::Ip(whole.into())), None))
        }
        Some((host, digits)) => {
            let host = any_host(host)?;
            Ok((Some(host), Some(any_port(digits)?)))
        }
    }
}

/// Whether a text could pass for an IPv4 address with one reader or another: its last
/// part is a number, decimal or hexadecimal.
pub fn is_like_ipv4(text: &str) -> bool {
    let last = text.strip_suffix('.').unwrap_or(text).rsplit('.').next().unwrap_or_default();
    let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
    is_number(last) || hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Reads a port of 0 to 65535.
pub fn any_port(digits: &str) -> Result<u16, String> {
    let port = digits.parse().ok().filter(|_| is_number(digits));
    port.ok_or_else(|| format!("'{}' is not a port; use a number from 0 to 65535", clean(digits)))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn no_place(shown: &str) -> String {
    format!("'{shown}' is not an address; write HOST:PORT, :PORT or PORT, such as 127.0.0.1:2000")
}

/// Reads a port or a range of ports; `Err` says in one sentence what is wrong.
pub fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let shown = clean(text);
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (port(from, &shown)?, port(to, &shown)?);
    if from > to {
        return Err(format!("'{shown}' goes down; write the lower port first: {to}-{from}"));
    }
    let count = usize::from(to - from) + 1;
    if count > MAX_SCAN_PORTS {
        return Err(format!(
            "'{shown}' are {count} ports; give at most {MAX_SCAN_PORTS}, such as {from}-{}",
            usize::from(from) + MAX_SCAN_PORTS - 1
        ));
    }
    Ok(from..=to)
}

/// The ports to try when none are named, in order: the ten around a node's
/// own, and those of the labs.
pub fn usual_ports(own: u16) -> Vec<u16> {
    let first = own / DECADE * DECADE;
    let around = first.max(1)..=first.saturating_add(DECADE - 1);
    let mut ports: Vec<u16> = around.chain(LAB).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// The member that a person means: by its address, its port when no other has it,
/// its id, or the start of that. `Ok(None)`: none of these.
///
/// # Errors
/// Several members may be meant.
pub fn member(text: &str, space: Space, members: &[Peer]) -> Result<Option<Peer>, String> {
    let id = |peer: &Peer| space.show(peer.id(space));
    if let Some(peer) = members.iter().find(|peer| peer.to_string() == text || id(peer) == text) {
        return Ok(Some(*peer));
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    let by_port: Vec<&Peer> =
        members.iter().filter(|peer| peer.address().port().to_string() == port).collect();
    if let [peer] = by_port.as_slice() {
        return Ok(Some(**peer));
    }
    if text.is_empty() || !text.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(None);
    }
    let by_prefix: Vec<&Peer> = members.iter().filter(|peer| id(peer).starts_with(text)).collect();
    match by_prefix.as_slice() {
        [] => Ok(None),
        [peer] => Ok(Some(**peer)),
        // A port number may well begin like several ids.
        _ if port.parse::<u16>().is_ok_and(|port| port >= 1024) => Ok(None),
        several => {
            let ids: Vec<String> = several.iter().map(|peer| id(peer)).collect();
            let (text, ids) = (quoted(text), ids.join(", "));
            Err(format!("{text} could be any of {ids}; write more of the id"))
        }
    }
}

/// A key as a person writes it: a number of the space, or a file's name.
pub fn key(text: &str, space: Space) -> Id {
    let full_width = space.bits() <= 32 || text.len() == usize::from(space.bits()).div_ceil(4);
    full_width.then(|| space.parse(text)).flatten().unwrap_or_else(|| match FileName::new(text) {
        Ok(name) => name.key(space),
        Err(_) => space.hash(text),
    })
}

fn port(digits: &str, shown: &str) -> Result<u16, String> {
    let number = digits.bytes().all(|byte| byte.is_ascii_digit());
    match digits.parse() {
        Ok(port) if number && port > 0 => Ok(port),
        _ => Err(format!(
            "'{shown}' is no range of ports; write FROM-TO with numbers from 1 to 65535"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_port_or_two_with_a_dash() {
        assert_eq!(ports("5003"), Ok(5003..=5003));
        assert_eq!(ports("5000-5009"), Ok(5000..=5009));
        assert_eq!(ports("1-1024"), Ok(1..=1024));
        assert_eq!(ports("64512-65535"), Ok(64512..=65535));
    }

    #[test]
    fn a_host_is_an_address_or_a_name() {
        let ip = |text: &str| Host::Ip(text.parse().expect("an address"));
        assert_eq!(host("127.0.0.1"), Ok(ip("127.0.0.1")));
        assert_eq!(host("[::1]"), Ok(ip("::1")));
        assert_eq!(host("localhost"), Ok(Host::Name("localhost".into())));
        for (text, part) in [
            ("0.0.0.0", "one host"),
            ("::", "one host"),
            ("224.0.0.1", "one host"),
            ("5000", "one word, such as 5000-5009"),
            ("", "is no host"),
            ("127.0.0.1:5000", "as two words"),
        ] {
            let problem = host(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn what_some_reader_takes_for_another_address_is_refused() {
        for text in
            ["10.1", "127.1", "010.0.0.1", "127.0.0.01", "1.2.3.4.5", "256.0.0.1", "0x7f000001"]
                .into_iter()
                .chain(["0x7f.0.0.1", "127.0.0.0x1", "2130706433", "1.2.3.4.", "10.", "1..2"])
        {
            for word in [text.to_owned(), format!("{text}:2000")] {
                match place(&word) {
                    // A word of digits is a port.
                    Err(why) => assert!(why.contains("is no") || why.contains("a port"), "{why}"),
                    Ok(read) => panic!("{word}: {read:?}"),
                }
            }
            assert!(host(text).is_err(), "{text}");
        }
        let why = host("10.1").expect_err("three parts are missing");
        assert!(why.contains("four decimal numbers"), "{why}");
    }

    #[test]
    fn a_place_is_a_host_a_port_or_both() {
        let ip = |text: &str| Some(Host::Ip(text.parse().expect("an address")));
        let name = |text: &str| Some(Host::Name(text.to_owned()));
        for (text, read) in [
            ("2000", (None, Some(2000))),
            (":2001", (None, Some(2001))),
            ("127.0.0.1", (ip("127.0.0.1"), None)),
            ("127.0.0.1:0", (ip("127.0.0.1"), Some(0))),
            ("[::1]", (ip("::1"), None)),
            ("[::1]:2000", (ip("::1"), Some(2000))),
            ("::1", (ip("::1"), None)),
            ("fe80::a:b", (ip("fe80::a:b"), None)),
            ("1:2:3:4:5:6:7:8", (ip("1:2:3:4:5:6:7:8"), None)),
            ("node-1.example:80", (name("node-1.example"), Some(80))),
            ("3com", (name("3com"), None)),
        ] {
            assert_eq!(place(text), Ok(read), "{text}");
        }
        for text in
            ["", ":", "[::1", "[::1]2000", "[127.0.0.1]:1", "::1:2000", "a b:1", "http://x:1"]
                .into_iter()
                .chain(["127.0.0.1:2000:1", "x:+1", "x:", "-.-:1", "\u{e9}t\u{e9}:1", "x:70000"])
        {
            assert!(place(text).is_err(), "{text}");
        }
        assert!(place("::1:2000").expect_err("two readings").contains("[::1]:2000 or [::1:2000]"));
    }

    #[test]
    fn a_range_that_is_none_is_told_how_to_be_one() {
        for (text, part) in [
            ("", "FROM-TO"),
            ("-", "FROM-TO"),
            ("5000-", "FROM-TO"),
            ("+1-2", "FROM-TO"),
            ("1-2-3", "FROM-TO"),
            ("http", "FROM-TO"),
            ("0", "from 1 to 65535"),
            ("0-9", "from 1 to 65535"),
            ("65530-65536", "from 1 to 65535"),
            ("5009-5000", "the lower port first: 5000-5009"),
            ("1-65535", "65535 ports; give at most 1024, such as 1-1024"),
            ("5000-6024", "1025 ports"),
        ] {
            let problem = ports(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }

    #[test]
    fn the_usual_ports_are_the_decade_of_the_node_and_the_lab() {
        assert_eq!(usual_ports(2003), (2000..=2009).chain(5000..=5009).collect::<Vec<_>>());
        assert_eq!(usual_ports(5009), (5000..=5009).collect::<Vec<_>>());
        assert_eq!(usual_ports(7).first(), Some(&1), "nobody listens on port 0");
        assert_eq!(usual_ports(u16::MAX).last(), Some(&u16::MAX));
    }

    #[test]
    fn a_number_of_the_space_is_a_key_and_anything_else_a_name() {
        let space = Space::default();
        assert_eq!(key("189", space), Id::new(189));
        assert_eq!(key("SkyShip.jpg", space), Id::new(189));
        assert_eq!(key("1024", space), space.hash("1024"));
        let wide = Space::new(64).expect("allowed");
        assert_eq!(key("cafe", wide), wide.hash("cafe"));
        assert_eq!(key("000000000000cafe", wide), Id::new(0xcafe));
    }
}
